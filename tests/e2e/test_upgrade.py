"""A new binary takes the place of the one that runs, without anybody noticing."""

import ctypes
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import threading

import pytest

import gate as g
from gate import Demo, Folder, Gate, authority, plain, tls, wait_until
from h2wire import ACK, DATA, END_STREAM, GOAWAY, H2, HEADERS, PING, RST_STREAM
from peers import Client, ScriptedUpstream, response
from test_fallback import Target, assert_ssh, dial, fallback
from test_process import Traffic, is_gone, mark, workers
from test_service import KEPT, NET_BIND_SERVICE, ROOT, Managed, as_root, capabilities

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture(scope="module", autouse=True)
def subreaper():
    """Who has lost his parent becomes ours: so that his exit status can be asked for."""
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


@pytest.fixture(scope="module")
def demo():
    with Demo() as d:
        yield d


class Heir:
    """What subprocess.Popen is to a child, for one that has become ours."""

    def __init__(self, pid):
        self.pid, self.status = pid, None

    def poll(self):
        if self.status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.status = os.waitstatus_to_exitcode(status)
            except ChildProcessError:
                if not os.path.exists("/proc/%d" % self.pid):
                    self.status = 0     # who started it has asked already
        return self.status

    def wait(self, timeout=g.TIMEOUT):
        return wait_until(lambda: self.poll() is not None and [self.status], "%d to end" % self.pid,
                          timeout)[0]

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


class Upgraded(Gate):
    """A gate whose binary lies in a folder of its own, where another can be put."""

    def __init__(self, *vhosts, **keys):
        self.home = Folder()
        super().__init__(*vhosts, **keys)
        self.program = self.home / "gatehouse"
        self.install()
        self.number = 0

    def install(self, text=None):
        """As a package manager does it: the old file keeps its bytes, and loses its name."""
        new = self.program + ".new"
        if text:
            with open(new, "w") as f:
                f.write(text)
        else:
            shutil.copyfile(g.GATEHOUSE, new)
        os.chmod(new, 0o755)
        os.rename(new, self.program)

    def begin(self):
        """The process that is to take over."""
        self.number += 1
        self.signal(signal.SIGUSR2)
        look = r"upgrade: process (\d+) is started"
        wait_until(lambda: len(re.findall(look, self.log())) == self.number, "the upgrade to begin")
        return int(re.findall(look, self.log())[-1])

    def upgrade(self):
        """Returns the old process, which may have something to finish."""
        pid, old = self.begin(), self.process.process
        self.wait_log(r"process %d serves now" % pid)
        self.follow(pid)
        return old

    def follow(self, pid):
        self.process.process, self.process.pid = Heir(pid), pid
        said = len(re.findall(r"note parent: serving ", self.log()))
        wait_until(lambda: said or re.search(r"note parent: serving ", self.log()), "it to serve")

    def __exit__(self, *args):
        super().__exit__(*args)
        self.home.remove()


def test_the_new_one_serves_and_the_old_one_leaves(demo):
    folder = Folder()
    unix = folder / "s"
    listeners = tls(demo.origin), plain(demo.origin), plain(demo.origin, unix_socket="1", interface=unix)
    with Upgraded(*listeners, pid_file=folder / "pid") as gate:
        before = workers(gate)
        inode = os.stat(unix).st_ino
        for _ in range(3):
            gate.install()
            old = gate.upgrade()
            assert old.wait(g.TIMEOUT) == 0
            wait_until(lambda: open(folder / "pid").read() == "%d\n" % gate.process.pid, "the pid file")
            after = workers(gate)
            assert not set(before) & set(after)
            before = after
            assert os.stat(unix).st_ino == inode
            assert os.readlink("/proc/%d/exe" % gate.process.pid) == gate.program
            assert gate.get("/json").status == 200 and gate.get("/json", tls=False).status == 200
            with Client.unix(unix) as c:
                assert c.get("/json").status == 200
        # it is a parent like any other
        gate.configure(plain(demo.origin, headers=mark("new")), pid_file=folder / "pid")
        gate.signal(signal.SIGHUP)
        wait_until(lambda: gate.get("/json", tls=False)["X-Mark"] == "new", "the reload")
        assert not os.path.exists(unix)
    assert not os.path.exists(folder / "pid")
    folder.remove()


def test_nobody_notices(demo):
    with Upgraded(tls(demo.origin)) as gate, Traffic(gate) as traffic:
        workers(gate)
        for _ in range(4):
            done = traffic.done
            wait_until(lambda: traffic.done > done + 20, "traffic")
            old = gate.upgrade()
            assert old.wait(g.TIMEOUT) == 0
        done = traffic.done
        wait_until(lambda: traffic.done > done + 20, "traffic to go on")
    assert traffic.errors == []


class Streams(Traffic):
    """The same over HTTP/2, four streams at a time; GOAWAY is obeyed (RFC 9113 section 6.8)."""

    def drive(self, _):
        try:
            while not self.over.is_set():
                with H2.tls(self.gate) as c:
                    self.use(c)
        except Exception as e:
            self.errors.append(repr(e))

    def use(self, c):
        last, going, may_open = 1, set(), True
        while going or may_open:
            may_open = may_open and not self.over.is_set()
            while may_open and len(going) < 4:
                c.request(last)
                going.add(last)
                last += 2
            frame = c.read_frame()
            if frame.type == PING and not frame.flags & ACK:
                c.frame(PING, ACK, 0, frame.payload)
            elif frame.type == GOAWAY:
                limit, code = struct.unpack(">II", frame.payload[:8])
                assert code == 0 and limit >= max(going, default=0), "streams are left unanswered"
                may_open = False
            elif frame.type == DATA and frame.payload:
                c.window_update(0, len(frame.payload))
            elif frame.type == HEADERS:
                assert frame.payload[0] == (":status", "200")
            assert frame.type != RST_STREAM
            if frame.type in (HEADERS, DATA) and frame.flags & END_STREAM:
                going.remove(frame.stream)
                self.done += 1


def test_nobody_notices_over_http_2(demo):
    with Upgraded(tls(demo.origin)) as gate, Streams(gate) as traffic:
        workers(gate)
        for _ in range(4):
            done = traffic.done
            wait_until(lambda: traffic.done > done + 50, "traffic")
            old = gate.upgrade()
            assert old.wait(g.TIMEOUT) == 0
        done = traffic.done
        wait_until(lambda: traffic.done > done + 50, "traffic to go on")
    assert traffic.errors == []


def test_what_is_in_progress_is_finished(demo):
    asked, go = threading.Event(), threading.Event()

    def script(served):
        served.read_request()
        asked.set()
        assert go.wait(g.TIMEOUT)
        served.send(response(b"at last"))
    with ScriptedUpstream(script) as up, \
            Upgraded(plain(up.origin), plain(demo.origin, "other.test")) as gate, gate.client(tls=False) as c:
        workers(gate)
        c.send_request("GET", "/")
        assert asked.wait(g.TIMEOUT)
        old = gate.upgrade()
        assert gate.get("/json", tls=False, name="other.test").status == 200
        assert old.poll() is None
        go.set()
        answer = c.read_response()
        assert answer.body == b"at last" and answer["Connection"] == "close"
        assert old.wait(g.TIMEOUT) == 0


def test_sessions_are_resumed(demo):
    with Upgraded(tls(demo.origin)) as gate:
        workers(gate)
        context = authority().client_context()

        def connect(session=None):
            s = socket.create_connection(("127.0.0.1", gate.tls_port), timeout=20)
            t = context.wrap_socket(s, server_hostname="localhost", session=session)
            return Client(t), t
        client, t = connect()
        with client:
            assert client.get("/json").status == 200
            session = t.session
        assert gate.upgrade().wait(g.TIMEOUT) == 0
        for _ in range(6):
            client, t = connect(session)
            with client:
                assert t.session_reused


def test_tunnels_and_events_live_on(demo):
    """A WebSocket, server-sent events, a relay: through two upgrades and the reloads between them."""
    with Target() as target, Upgraded(plain(demo.origin), tls(demo.origin, **fallback(target))) as gate, \
            gate.client(tls=False) as c, gate.client(tls=False) as events, dial(gate.tls_port) as ssh:
        workers(gate)
        assert_ssh(ssh)
        tunnel = c.websocket()
        events.send_request("GET", "/events?interval_ms=20&count=50")
        assert events.read_head().status == 200
        old = []
        for i in range(2):
            gate.signal(signal.SIGHUP)
            old.append(gate.upgrade())
            tunnel.echo(b"%d" % i)
            ssh.send(b"more")
            assert ssh.read(4) == b"MORE"
        assert old[0].poll() is None
        assert events.read_chunked()[0].count(b"data: ") == 50
        tunnel.close()
        for client in c, events, ssh:
            client.close()
        assert [process.wait(g.TIMEOUT) for process in old] == [0, 0]


class ManagedUpgrade(Upgraded, Managed):
    pass


def test_the_service_manager_follows(demo):
    with ManagedUpgrade(plain(demo.origin), watchdog_us=20_000_000) as gate:
        assert gate.told()["MAINPID"] == str(gate.process.pid)
        for _ in range(2):
            old = gate.upgrade()
            # from the one that it listens to, then from the one that it is to listen to
            assert gate.told() == {"MAINPID": str(gate.process.pid)}
            words = gate.told()
            assert words["READY"] == "1" and words["MAINPID"] == str(gate.process.pid)
            assert old.wait(g.TIMEOUT) == 0
        # it says nothing of one that does not come up
        gate.install("#!/bin/sh\nexit 1\n")
        gate.begin()
        gate.wait_log("nothing has changed")
        gate.signal(signal.SIGTERM)
        assert "STOPPING" in gate.told()


def test_sockets_of_the_service_manager_stay_its_own(demo):
    folder = Folder()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(folder / "s")
        s.listen()
        os.chmod(folder / "s", 0o666)
        listener = plain(demo.origin, unix_socket="1", interface=folder / "s")
        with ManagedUpgrade(listener, sockets=[s]) as gate:
            gate.told_until("READY")
            assert gate.upgrade().wait(g.TIMEOUT) == 0
            with Client.unix(folder / "s") as c:
                assert c.get("/json").status == 200
        assert os.path.exists(folder / "s")
    folder.remove()


def test_privileges_pass_on(demo):
    with Upgraded(plain(demo.origin)) as gate:
        workers(gate)
        before = capabilities(gate.process.pid)
        assert gate.upgrade().wait(g.TIMEOUT) == 0
        assert capabilities(gate.process.pid) == before
        assert before["Prm"] == (KEPT if ROOT else 0)
        # and are of use: other users, low ports
        workers(gate)
        if ROOT:
            gate.configure(plain(demo.origin), plain(demo.origin, port="996"))
            gate.signal(signal.SIGHUP)
            gate.wait_log("configuration 2 is served")
            with gate.client(tls=False, port=996) as c:
                assert c.get("/json").status == 200


@as_root
def test_low_ports_without_root_pass_on(demo):
    """As the unit with User= and an ambient capability starts it."""
    with Upgraded(plain(demo.origin), control_socket="") as gate:
        gate.stop()
        gate.folder.write("log", "")
        gate.process = g.Process(gate.folder, [
            "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
            *("--%s=-all,+net_bind_service" % kind for kind in ("inh-caps", "ambient-caps", "bounding-set")),
            "--", gate.program, "run", "-c", gate.path])
        workers(gate)
        assert capabilities(gate.process.pid)["Prm"] == NET_BIND_SERVICE
        assert gate.upgrade().wait(g.TIMEOUT) == 0
        assert capabilities(gate.process.pid)["Prm"] == NET_BIND_SERVICE


@pytest.mark.parametrize("text, told", [
    ("#!/bin/sh\necho out of luck >&2\nexit 7\n", r"out of luck(.|\n)*ended with status 7: nothing"),
    ("#!/nonexistent\n", r"error parent: cannot execute \S*gatehouse: No such file"),
    ("#!/bin/sh\nkill -9 $$\n", r"was ended by signal 9: nothing has changed"),
])
def test_one_that_does_not_come_up_changes_nothing(demo, text, told):
    with Upgraded(plain(demo.origin)) as gate:
        before = workers(gate)
        gate.install(text)
        gate.begin()
        gate.wait_log(told)
        gate.wait_log(r"nothing has changed")
        assert workers(gate) == before
        gate.install()
        gate.upgrade()
        assert gate.get("/json", tls=False).status == 200


def test_its_complaints_are_told(demo):
    folder = Folder()
    unix = folder / "s"
    good = plain(demo.origin), plain(demo.origin, unix_socket="1", interface=unix)
    with Upgraded(*good, error_log=folder / "errors", pid_file=folder / "pid") as gate:
        def log():
            return open(folder / "errors").read() if os.path.exists(folder / "errors") else ""
        gate.log = gate.process.log = log
        workers_told = wait_until(lambda: "note parent: serving" in log(), "it to serve")
        assert workers_told
        gate.configure(plain(demo.origin, mounst=[]), error_log=folder / "errors", pid_file=folder / "pid")
        gate.begin()
        wait_until(lambda: "nothing has changed" in log(), "the end of it")
        assert re.search(r"error parent: .*conf:\d+:\d+: error: unknown key \"mounst\"", log())
        assert open(folder / "pid").read() == "%d\n" % gate.process.pid
        with Client.unix(unix) as c:
            assert c.get("/json").status == 200
        # one that fails later than that: its port is taken
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            gate.configure(*good, plain(demo.origin, port=str(taken.getsockname()[1])),
                           error_log=folder / "errors", pid_file=folder / "pid")
            gate.begin()
            wait_until(lambda: log().count("nothing has changed") == 2, "the end of it")
            assert "cannot listen on 127.0.0.1:%d" % taken.getsockname()[1] in log()
        assert os.path.exists(folder / "pid")
        with Client.unix(unix) as c:
            assert c.get("/json").status == 200
        gate.configure(*good, error_log=folder / "errors", pid_file=folder / "pid")
        old = gate.upgrade()
        assert old.wait(g.TIMEOUT) == 0
    folder.remove()


def test_only_one_at_a_time(demo):
    with Upgraded(plain(demo.origin)) as gate:
        workers(gate)
        gate.install("#!/bin/sh\nexec sleep 60\n")
        pid = gate.begin()
        gate.signal(signal.SIGUSR2)
        gate.wait_log(r"no upgrade: an upgrade is under way")
        os.kill(pid, signal.SIGKILL)
        gate.wait_log(r"nothing has changed")
        assert gate.get("/json", tls=False).status == 200


def test_a_reload_that_is_asked_for_meanwhile_comes_afterwards(demo):
    with Upgraded(plain(demo.origin)) as gate:
        workers(gate)
        # it fails: the old one reloads
        gate.install("#!/bin/sh\nexec sleep 60\n")
        pid = gate.begin()
        gate.configure(plain(demo.origin, headers=mark("1")))
        gate.signal(signal.SIGHUP)
        gate.wait_log(r"reload: reading the configuration")
        assert gate.get("/json", tls=False)["X-Mark"] is None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: gate.get("/json", tls=False)["X-Mark"] == "1", "the reload")
        # it takes over, but has read what was there before: it reloads
        gate.install("""#!/bin/sh
while [ ! -e "$0.go" ]; do sleep 0.02; done
exec %s "$@"
""" % g.GATEHOUSE)
        pid = gate.begin()
        gate.signal(signal.SIGHUP)
        wait_until(lambda: gate.log().count("reload: reading the configuration") == 2, "the signal's arrival")
        open(gate.program + ".go", "w").close()
        gate.wait_log(r"process %d serves now" % pid)
        gate.follow(pid)
        gate.wait_log(r"configuration 2 is served(.|\n)*configuration 2 is served")
        assert gate.get("/json", tls=False)["X-Mark"] == "1"


def test_a_reload_under_way_comes_first(demo):
    with Upgraded(plain(demo.origin)) as gate:
        workers(gate)
        gate.configure(plain(demo.origin, headers=mark("1")))
        gate.signal(signal.SIGHUP)
        old = gate.upgrade()
        assert old.wait(g.TIMEOUT) == 0
        assert gate.get("/json", tls=False)["X-Mark"] == "1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_is_told_to_stop_meanwhile_stops_both(demo, number):
    with Upgraded(plain(demo.origin)) as gate:
        workers(gate)
        gate.install("#!/bin/sh\nexec sleep 60\n")
        pid = gate.begin()
        assert gate.process.end(number) == 0
        assert is_gone(pid)
        gate.stop = lambda: None


def test_the_old_one_is_killed_meanwhile(demo):
    """Somebody has to go on."""
    with Upgraded(plain(demo.origin)) as gate:
        workers(gate)
        gate.install("""#!/bin/sh
while [ ! -e "$0.go" ]; do sleep 0.02; done
exec %s "$@"
""" % g.GATEHOUSE)
        pid = gate.begin()
        gate.process.process.kill()
        gate.process.process.wait()
        open(gate.program + ".go", "w").close()
        gate.process.process, gate.process.pid = Heir(pid), pid
        gate.wait_log(r"the parent that started this one is gone")
        wait_until(lambda: gate.log().count("note parent: serving") == 2, "it to serve")
        assert gate.get("/json", tls=False).status == 200


def test_a_listener_goes_with_an_upgrade(demo):
    folder = Folder()
    gone = plain(demo.origin, unix_socket="1", interface=folder / "s")
    with Upgraded(plain(demo.origin), gone, tls(demo.origin)) as gate:
        workers(gate)
        gate.configure(plain(demo.origin))
        old = gate.upgrade()
        wait_until(lambda: not os.path.exists(folder / "s"), "the file to go")
        assert old.wait(g.TIMEOUT) == 0
        with pytest.raises(OSError):
            gate.client(tls=True)
        assert gate.get("/json", tls=False).status == 200
    folder.remove()


def test_an_application_that_restarts_is_waited_for(demo):
    """That it has ever answered is known to the new binary, too."""
    with Demo() as app, Upgraded(plain(app.origin)) as gate:
        workers(gate)
        assert gate.get("/json", tls=False).status == 200
        app.stop()
        assert gate.upgrade().wait(g.TIMEOUT) == 0
        with gate.client(tls=False) as c:
            c.send_request("GET", "/json")
            app.start()
            assert c.read_response().status == 200


def test_it_can_be_asked_for(demo):
    """By the control socket, which goes over, too."""
    with Upgraded(plain(demo.origin)) as gate:
        def ask(*words):
            return subprocess.run([g.GATEHOUSE, *words, "-c", gate.path], capture_output=True, text=True,
                                  timeout=60)
        workers(gate)
        inode = os.stat(gate.folder / "control").st_ino
        for _ in range(2):
            old, done = gate.process.process, ask("upgrade")
            assert done.returncode == 0, done.stderr
            pid = int(re.match(r"process (\d+) serves now", done.stdout).group(1))
            gate.follow(pid)
            assert old.wait(g.TIMEOUT) == 0
            assert os.stat(gate.folder / "control").st_ino == inode
        gate.configure(plain(demo.origin, mounst=[]))
        done = ask("upgrade")
        assert done.returncode == 1 and done.stdout == ""
        assert 'did you mean "mounts"' in done.stderr and "nothing has changed" in done.stderr
        gate.configure(plain(demo.origin, headers=mark("1")))
        assert ask("reload").returncode == 0
        assert gate.get("/json", tls=False)["X-Mark"] == "1"
    assert not os.path.exists(gate.folder / "control")


def test_what_is_made_up_cannot_be_upgraded(demo):
    port, lock = g.free_port()
    folder = Folder()
    process = g.Process(folder, [g.GATEHOUSE, "proxy", "--from", "localhost:%d" % port, "--to", demo.origin],
                        env={**os.environ, "XDG_STATE_HOME": folder.path})
    try:
        process.wait_log("curl --cacert")
        process.process.send_signal(signal.SIGUSR2)
        process.wait_log(r"no upgrade: `gatehouse proxy` has no configuration")
        assert process.end() == 0
    finally:
        process.kill()
        folder.remove()
        lock.close()
