"""What a system service needs: privileges, the service manager, logs; with real processes."""

import contextlib
import glob
import grp
import os
import pwd
import re
import signal
import socket
import subprocess
import time

import pytest

import gate as g
from gate import Demo, Folder, Gate, authority, free_port, plain, tls, wait_until
from peers import Client
from test_process import status_of, workers

ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="for root")

CHOWN, SETGID, SETUID, NET_BIND_SERVICE = 1 << 0, 1 << 6, 1 << 7, 1 << 10
KEPT = SETGID | SETUID | NET_BIND_SERVICE


@pytest.fixture(scope="module")
def demo():
    with Demo() as d:
        yield d


def capabilities(pid):
    status = status_of(pid)
    return {name: int(status["Cap" + name], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}


def reload(gate, number, *vhosts, **keys):
    gate.configure(*vhosts, **keys)
    gate.signal(signal.SIGHUP)
    gate.wait_log(r"configuration %d is served" % number)


# ---- privileges

def test_every_process_has_what_it_needs_and_no_more(demo):
    with Gate(tls(demo.origin), plain(demo.origin)) as gate:
        pids = workers(gate)
        parent = capabilities(gate.process.pid)
        kept = KEPT if ROOT else 0
        assert parent == {"Inh": kept, "Prm": kept, "Eff": kept, "Bnd": parent["Bnd"], "Amb": 0}
        if ROOT:
            assert parent["Bnd"] == 0
        for pid in pids:
            status = status_of(pid)
            assert status["NoNewPrivs"] == "1"
            assert status["Seccomp"] == "2"
            assert all(n == 0 or name == "Bnd" for name, n in capabilities(pid).items())
            if ROOT:
                assert capabilities(pid)["Bnd"] == 0
                assert len(set(status["Uid"].split())) == 1 and status["Uid"].split()[0] != "0"
                assert "0" not in status["Gid"].split() + status["Groups"].split()
                # not dumpable: its files in /proc are root's. With sanitizers it must be.
                if "asan" not in status_name(gate):
                    assert os.stat("/proc/%d/mem" % pid).st_uid == 0
        with gate.client() as c:
            assert c.get("/json").status == 200


def status_name(gate):
    """What the program was built with, for what sanitizers change."""
    with open(g.GATEHOUSE, "rb") as f:
        return "asan" if b"__asan_init" in f.read() else "release"


@as_root
def test_a_key_keeps_a_capability_only_where_it_is_there(demo):
    user = pwd.getpwnam("daemon")
    folder = Folder()
    listener = plain(demo.origin, unix_socket="1", interface=folder / "s", unix_socket_perms="daemon:daemon")
    with Gate(plain(demo.origin), dict(listener)) as gate:
        workers(gate)
        assert capabilities(gate.process.pid)["Prm"] == KEPT | CHOWN
        assert os.stat(folder / "s").st_uid == user.pw_uid
    with Gate(plain(demo.origin)) as gate:
        workers(gate)
        gate.configure(plain(demo.origin), dict(listener))
        gate.signal(signal.SIGHUP)
        gate.wait_log(r"restart Gatehouse")
        assert gate.get("/json", tls=False).status == 200
    folder.remove()


@as_root
def test_a_stale_socket_of_another_user_is_replaced(demo):
    folder = Folder()
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
        left.listen()
        os.chown(path, pwd.getpwnam("daemon").pw_uid, 0)
        os.chmod(path, 0o600)
        gate = Gate(plain(demo.origin), plain(demo.origin, unix_socket="1", interface=path))
        done = subprocess.run([g.GATEHOUSE, "run", "-c", gate.path], capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "in use" in done.stderr, done.stderr
    with gate:
        with Client.unix(path) as c:
            assert c.get("/json").status == 200
    folder.remove()


@as_root
def test_root_alone_reads_the_key_also_at_a_reload(demo):
    vhost = tls(demo.origin)
    folder = Folder()
    key = folder.write("key", open(vhost["host-ssl-key"]).read())
    os.chmod(key, 0o600)
    vhost["host-ssl-key"] = key
    with Gate(vhost) as gate:
        workers(gate)
        reload(gate, 2, vhost, plain(demo.origin))
        with gate.client() as c:
            assert c.get("/json").status == 200
        # another user's, for nobody else to read: without CAP_DAC_READ_SEARCH that is an error
        os.chown(key, pwd.getpwnam("daemon").pw_uid, -1)
        gate.signal(signal.SIGHUP)
        gate.wait_log(r"error parent: .*Permission denied")
        gate.wait_log(r"the configuration was not reloaded")
        with gate.client() as c:
            assert c.get("/json").status == 200
    folder.remove()


@as_root
def test_a_reload_opens_a_low_port(demo):
    port = 997      # nothing has been given it
    with Gate(plain(demo.origin)) as gate:
        workers(gate)
        reload(gate, 2, plain(demo.origin), plain(demo.origin, port=str(port)))
        with gate.client(tls=False, port=port) as c:
            assert c.get("/json").status == 200


def test_a_worker_that_hangs_is_ended_and_replaced(demo):
    with Gate(plain(demo.origin)) as gate:
        pids = workers(gate)
        os.kill(pids[0], signal.SIGSTOP)
        gate.wait_log(r"gives no sign of life", timeout=30)
        gate.wait_log(r"\(pid %d\) was ended by signal 9" % pids[0])
        assert pids[0] not in workers(gate)
        assert gate.get("/json", tls=False).status == 200
