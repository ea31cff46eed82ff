"""`gatehouse check` connects to each upstream as the workers' user, and says what is in the way."""

import os
import re
import socket
import subprocess

import pytest

from gate import GATEHOUSE, Folder, Gate, plain
from peers import ScriptedUpstream, answering, response


@pytest.fixture
def place():
    folder = Folder()
    yield folder
    folder.remove()


def check(origins, *args):
    """(exit status, {target: (word, text)})"""
    mounts = [{"mountpoint": "/%d" % i, "origin": origin} for i, origin in enumerate(origins)]
    gate = Gate(plain(mounts=mounts))
    done = subprocess.run([GATEHOUSE, "check", "-c", gate.path, *args], capture_output=True, text=True,
                          timeout=60)
    gate.folder.remove()
    lines = re.findall(r"^(ok|warn|FAIL) +(\S+) \(\S+:\d+:\d+\): (.+)$", done.stdout, re.M)
    return done.returncode, {name: (word, text) for word, name, text in lines}


def test_what_answers_is_ok():
    script = answering(response())
    with ScriptedUpstream(script) as up, ScriptedUpstream(script, tcp=True) as tcp:
        status, said = check([up.origin, tcp.origin], "--strict")
        assert status == 0 and [word for word, _ in said.values()] == ["ok", "ok"], said
        assert all(text.startswith("connects as ") for _, text in said.values())


def test_what_is_absent_is_a_warning(place):
    stale, missing = place / "stale.sock", place / "missing.sock"
    with socket.socket(socket.AF_UNIX) as s, socket.socket() as port:
        s.bind(stale)
        os.chmod(stale, 0o666)
        port.bind(("127.0.0.1", 0))
        origins = ["unix:" + stale, "unix:" + missing, "http://127.0.0.1:%d" % port.getsockname()[1]]
        status, said = check(origins)
        assert status == 0 and [word for word, _ in said.values()] == ["warn"] * 3, said
        assert "nobody listens on " + stale in said["unix:" + stale][1]
        assert "there is no " + missing in said["unix:" + missing][1]
        assert "PrivateTmp" in said["unix:" + missing][1]
        assert check(origins, "--strict")[0] == 1


def test_what_is_forbidden_fails(place):
    path = place / "a/app.sock"
    os.mkdir(place / "a", 0o700)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)
        s.listen()
        if os.geteuid() == 0:       # the workers are somebody else
            status, said = check(["unix:" + path])
            word, text = said["unix:" + path]
            assert status == 1 and word == "FAIL"
            assert re.search(r"nobody|gatehouse", text) and "may not pass %s, " % (place / "a") in text
            assert "mode 0700" in text and "chmod" in text
            os.chmod(place / "a", 0o755)
        os.chmod(path, 0o600)
        if os.geteuid() == 0:
            assert "may not write to " + path in check(["unix:" + path])[1]["unix:" + path][1]
        os.chmod(path, 0o666)
        assert check(["unix:" + path], "--strict")[0] == 0


# ---- the same, of a server that runs

def test_the_log_says_the_same(place):
    """Once in an outage, whoever finds it out."""
    os.mkdir(place / "a", 0o700)
    path, missing = place / "a/app.sock", place / "missing.sock"
    mounts = [{"mountpoint": "/a", "origin": "unix:" + path},
              {"mountpoint": "/b", "origin": "unix:" + missing}]
    with socket.socket(socket.AF_UNIX) as s, Gate(plain(mounts=mounts)) as gate:
        s.bind(path)
        s.listen()
        if os.geteuid():        # who may pass may not write
            os.chmod(path, 0)
        for _ in range(10):
            assert gate.get("/a", tls=False).status == gate.get("/b", tls=False).status == 503
        said = check(["unix:" + path, "unix:" + missing])[1]
        for name, (_, text) in said.items():
            gate.wait_log(re.escape("warn parent: upstream %s: %s" % (name, text)) + "\n")
            assert gate.log().count(text) == 1
        # what is in the way next is another outage's
        os.chmod(place / "a", 0o711)
        os.chmod(path, 0o666)
        assert said["unix:" + path][0] == "FAIL" and check(["unix:" + path])[1]["unix:" + path][0] == "ok"


def test_the_log_says_it_of_raw_connections(place):
    vhost = plain(onlyraw="1", ws_protocols=[{"raw-proxy": {"status": "ok",
                                                            "onward": "unix:" + place / "missing.sock"}}])
    with Gate(vhost) as gate:
        with socket.create_connection(("127.0.0.1", gate.plain_port), timeout=20) as s:
            assert s.recv(1) == b""
        gate.wait_log(r"warn parent: upstream unix:\S+: there is no \S+missing\.sock: the application is not")
