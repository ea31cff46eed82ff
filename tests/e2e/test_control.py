"""The control socket: what the commands that ask a running Gatehouse say, do, and return."""

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess

import pytest
from gate import GATEHOUSE, TIMEOUT, Demo, Folder, Gate, Process, plain, tls, wait_until

ROOT = os.geteuid() == 0
SAYS, WARNS, ROWS, OVER = range(4)
nobody = {"user": pwd.getpwnam("nobody").pw_uid, "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}


def program_for_all(folder):
    """A copy where every user may get at it."""
    program = folder / "gatehouse"
    if not os.path.exists(program):
        shutil.copy(GATEHOUSE, program)
    return program


def ask(gate, command, *args, **options):
    """(status, stdout, stderr) of `gatehouse COMMAND`, which finds the socket by the configuration."""
    program = program_for_all(gate.folder) if "user" in options else GATEHOUSE
    done = subprocess.run([program, command, "-c", gate.path, *args], capture_output=True, text=True,
                          timeout=TIMEOUT, **options)
    return done.returncode, done.stdout, done.stderr


def connect(gate):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(gate.folder / "control")      # which waits while the backlog is full
    s.settimeout(TIMEOUT)
    return s


def answer(s):
    """All packets of an answer: (kind, status, bytes)."""
    packets = []
    while not packets or packets[-1][0] != OVER:
        packet = s.recv(65536)
        assert packet, "it ended without an answer"
        packets.append(struct.unpack("II", packet[:8]) + (packet[8:],))
    return packets


def test_reload_says_what_changes():
    with Demo() as demo, Gate(plain(demo.origin), tls(demo.origin)) as gate:
        assert ask(gate, "reload") == (0, "nothing changes\n", "")
        gate.configure(plain(demo.origin, sts="no"), tls(demo.origin),
                       plain(demo.origin, name="b.test", port=str(gate.tls_port + 8000)),
                       limits={"connections": "1000"}, timeouts={"drain": "5s"})
        changes = ("1 vhost changes, 1 vhost is new, 1 listener opens, 2 global keys change",
                   "  vhost localhost on 127.0.0.1:%d changes" % gate.plain_port,
                   "  vhost b.test on 127.0.0.1:%d is new" % (gate.tls_port + 8000),
                   "  listener 127.0.0.1:%d opens" % (gate.tls_port + 8000),
                   "  global key limits.connections changes",
                   "  global key timeouts.drain changes")
        status, out, err = ask(gate, "reload", "--dry-run")
        assert (status, out.splitlines(), err) == (0, list(changes), "")
        assert "is served" not in gate.log()[gate.log().index("nothing changes"):].split("\n", 2)[2]
        status, out, err = ask(gate, "reload")
        assert (status, out.splitlines(), err) == (0, list(changes), "")
        # it is served when the command is over, by every worker
        for _ in range(10):
            assert gate.get("/json", tls=False, name="b.test").status == 200
        assert gate.client(tls=False, port=gate.tls_port + 8000)
        gate.configure(plain(demo.origin))
        status, out, err = ask(gate, "reload")
        assert out.startswith("1 vhost changes, 2 vhosts go, 2 listeners close, 2 global keys change\n")


def test_reload_says_that_tunnels_stay():
    with Demo() as demo, Gate(plain(demo.origin)) as gate:
        with gate.client(tls=False) as c:
            ws = c.websocket()
            ws.echo(b"before")
            assert ask(gate, "reload") == (0, "nothing changes, 1 tunnel stays\n", "")
            ws.echo(b"after")


def test_reload_takes_up_changed_files():
    with Demo() as demo, Folder_of_certificates() as pair, \
            Gate(tls(demo.origin, host_ssl_cert=pair[0], host_ssl_key=pair[1])) as gate:
        assert ask(gate, "reload")[1] == "nothing changes\n"
        renew(pair)
        assert ask(gate, "reload")[1].splitlines()[0] == "1 certificate changes"


@contextlib.contextmanager
def Folder_of_certificates():
    folder = Folder()
    pair = folder / "crt", folder / "key"
    renew(pair)
    yield pair
    folder.remove()


def renew(pair):
    from gate import authority
    authority().request("/CN=localhost", pair[1], pair[0], "-x509", "-days", "2")


@pytest.mark.parametrize("args", [(), ("--dry-run",)])
def test_a_bad_configuration_is_refused_with_all_its_errors(args):
    with Demo() as demo, Gate(plain(demo.origin)) as gate:
        gate.folder.write("conf", '{"vhosts": [{"name": "a.test", "prot": "1"}], "glob": 1}')
        # a configuration that cannot be read does not say where the socket is
        status, out, err = ask(gate, "reload", "--socket", gate.folder / "control", *args)
        assert status == 1 and out == ""
        assert "did you mean" in err and '"glob"' in err, err
        assert ("not reloaded" in err) == (not args)
        if args:
            assert "did you mean" not in gate.log()
        assert gate.get("/json", tls=False).status == 200
        gate.configure(plain(demo.origin))
        assert ask(gate, "reload")[0] == 0


def test_reopen_and_stop():
    with Demo() as demo, Gate(plain(demo.origin), timeouts={"drain": "5s"}) as gate:
        gate.configure(plain(demo.origin, access_log=gate.folder / "access"), timeouts={"drain": "5s"})
        assert ask(gate, "reload")[0] == 0
        gate.get("/json", tls=False)
        os.rename(gate.folder / "access", gate.folder / "old")
        assert ask(gate, "reopen") == (0, "", "")
        assert os.path.exists(gate.folder / "access")
        status, out, err = ask(gate, "stop")
        assert (status, err) == (0, "") and "5000 ms (timeouts.drain)" in out
        # the command was over when it had ended
        assert gate.process.process.wait(1) == 0
        assert not os.path.exists(gate.folder / "control")
        status, out, err = ask(gate, "reload")
        assert status == 3 and "nothing is running at " + gate.folder / "control" in err


def test_who_may_ask():
    with Demo() as demo, Gate(plain(demo.origin)) as gate:
        path = gate.folder / "control"
        wait_until(lambda: os.path.exists(path), "the control socket")     # later than the listeners
        mode = os.stat(path)
        assert stat.S_IMODE(mode.st_mode) == 0o600 and mode.st_uid == os.geteuid()
        if not ROOT:
            return
        status, out, err = ask(gate, "reload", "--socket", path, **nobody)
        assert status == 4 and "permission denied" in err
        os.chmod(path, 0o666)   # somebody's mistake lets nobody in
        status, out, err = ask(gate, "reload", "--socket", path, **nobody)
        assert status == 4 and "permission denied" in err
        gate.wait_log("uid %d may not ask" % nobody["user"])
        gate.configure(plain(demo.origin), control_group="nogroup")
        assert ask(gate, "reload")[0] == 0
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
        member = {**nobody, "extra_groups": [os.stat(path).st_gid]}
        assert ask(gate, "reload", "--socket", path, **member)[0] == 0
        gate.configure(plain(demo.origin))
        assert ask(gate, "reload")[0] == 0
        assert ask(gate, "reload", "--socket", path, **member)[0] == 4


def test_a_live_socket_is_an_error_and_a_stale_one_is_replaced():
    with Demo() as demo, Gate(plain(demo.origin)) as gate:
        control = gate.folder / "control"
        other = Gate(plain(demo.origin), control_socket=control)
        process = Process(other.folder, [GATEHOUSE, "run", "-c", other.path])
        assert process.process.wait(TIMEOUT) == 1
        assert "process %d listens there" % gate.process.pid in process.log()
        assert ask(gate, "reload")[0] == 0
        # another Gatehouse whose configuration comes to name it keeps its own
        with Gate(plain(demo.origin)) as third:
            third.configure(plain(demo.origin), control_socket=control)
            status, out, err = ask(third, "reload", "--socket", third.folder / "control")
            assert status == 1 and "process %d listens there" % gate.process.pid in err
            third.configure(plain(demo.origin))
            assert ask(third, "reload")[0] == 0
        assert ask(gate, "reload")[0] == 0
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.bind(gate.folder / "stale")
        gate.configure(plain(demo.origin), control_socket=gate.folder / "stale")
        assert ask(gate, "reload", "--socket", control)[0] == 0
        assert not os.path.exists(control)
        assert ask(gate, "reload")[0] == 0
        # none at all
        gate.configure(plain(demo.origin), control_socket="")
        assert ask(gate, "reload", "--socket", gate.folder / "stale")[0] == 0
        assert not os.path.exists(gate.folder / "stale")
        # SIGHUP does without
        gate.configure(plain(demo.origin))
        gate.signal(signal.SIGHUP)
        wait_until(lambda: os.path.exists(control), "the socket is back")
        assert ask(gate, "reload")[0] == 0


def test_callers_do_not_hold_each_other_up():
    """As many as there may be: silent ones, ones that do not read, ones that say nonsense."""
    with Demo() as demo, Gate(plain(demo.origin)) as gate, contextlib.ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(connect(gate))
        for _ in range(10):
            s = stack.enter_context(connect(gate))
            s.send(b"reload")
        for junk in (b"x", b"reload\0", b"stop it", b"y" * 64, b"cert renew", b"cert renew\0", b"cert\0a"):
            with connect(gate) as s:
                s.send(junk)
                kind, status, text = answer(s)[-2]
                assert kind == WARNS and b"does not know this command" in text
                assert s.recv(10) == b""
        with connect(gate) as s:
            s.send(b"z" * 385)
            assert s.recv(10) == b""
        running = [subprocess.Popen([GATEHOUSE, "reload", "-c", gate.path], stdout=subprocess.PIPE)
                   for _ in range(8)]
        for p in running:
            assert p.communicate(timeout=TIMEOUT)[0] == b"nothing changes\n" and p.returncode == 0
        # one reload serves all who waited for it
        assert len(re.findall("configuration [0-9]+ is served", gate.log())) < 30
        # at the cap the next one waits until the silent ones have had their time
        for _ in range(30):
            stack.enter_context(connect(gate))
        assert ask(gate, "reload")[0] == 0
        assert gate.get("/json", tls=False).status == 200


def test_default_place():
    with Demo() as demo:
        folder = Folder()
        gate = Gate(plain(demo.origin), env={"RUNTIME_DIRECTORY": folder.path})
        with open(gate.path) as f:
            text = re.sub(r'"control-socket": "[^"]*"', '"state-dir": "/tmp"', f.read(), 1)
        gate.path = gate.folder.write("conf", re.sub(r'"state-dir": "/tmp/gh[^"]*",', "", text, 1))
        with gate:
            assert os.path.exists(folder / "control")
            assert ask(gate, "reload", env={**os.environ, "RUNTIME_DIRECTORY": folder.path})[0] == 0
        folder.remove()


def test_an_ordinary_user():
    """Who starts his own finds it in his own place; root may ask too, and nobody else."""
    who = nobody if ROOT else {}
    with Demo() as demo:
        gate = Gate(plain(demo.origin))
        runtime = gate.folder / "runtime"
        os.mkdir(runtime, 0o700)
        with open(gate.path) as f:
            conf = json.load(f)
        del conf["global"]["control-socket"], conf["global"]["state-dir"]
        gate.folder.write("conf", json.dumps(conf))
        program = program_for_all(gate.folder)
        if ROOT:
            os.chown(runtime, who["user"], who["group"])
        env = {key: value for key, value in os.environ.items() if key != "RUNTIME_DIRECTORY"}
        env["XDG_RUNTIME_DIR"] = runtime
        process = Process(gate.folder, [program, "run", "-c", gate.path], env=env, **who)
        try:
            process.wait_log("serving 1 vhost")
            path = runtime + "/gatehouse/control"
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
            own = subprocess.run([program, "reload", "-c", gate.path], env=env, capture_output=True,
                                 text=True, **who)
            assert (own.returncode, own.stdout) == (0, "nothing changes\n"), own
            assert ask(gate, "status", "--socket", path)[0] == 0
            if ROOT:
                other = {"user": who["user"] - 1, "group": who["group"], "extra_groups": []}
                os.chmod(runtime, 0o711)
                assert ask(gate, "status", "--socket", path, **other)[0] == 4
            done = subprocess.run([program, "stop", "-c", gate.path], env=env, **who)
            assert done.returncode == 0 and process.process.wait(1) == 0
        finally:
            process.kill()
            gate.folder.remove()
