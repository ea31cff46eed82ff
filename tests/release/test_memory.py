"""Memory and time of HTTP/1 in the program as it is shipped: what a sanitizer would distort."""

import contextlib
import hashlib
import os
import queue
import select
import socket
import threading
import time

import pytest

from gate import Demo, Gate, pattern, plain, tls, wait_until
from peers import ScriptedUpstream

MIB = 1 << 20
pytestmark = pytest.mark.usefixtures("descriptors")


@pytest.fixture(scope="module")
def demo():
    with Demo() as d:
        yield d


@pytest.fixture
def gate(demo):
    """Fresh for each test: its worker's peak is that test's."""
    with Gate(tls(demo.origin), plain(demo.origin), count_threads="1") as g:
        wait_until(lambda: len(g.children()) == 1, "one worker")
        assert g.get("/json").status == 200
        yield g


def memory(gate, key="VmRSS"):
    pid, = gate.children()
    with open("/proc/%d/status" % pid) as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(key + ":"))


def ticks(gate):
    with open("/proc/%d/stat" % gate.children()[0]) as f:
        return sum(int(n) for n in f.read().rpartition(")")[2].split()[11:13])


def wait_until_at_rest(gate):
    """The worker has used no CPU for a while."""
    seen = []

    def rests():
        seen.append(ticks(gate))
        return len(seen) > 20 and seen[-20:] == seen[-1:] * 20
    wait_until(rests, "the worker to come to rest")


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
def test_100_mib_each_way(gate, over_tls):
    """To the byte, in less than 32 MiB of the worker's memory, with a length and in chunks."""
    n, piece = 100 * MIB, pattern(MIB)
    with gate.client(tls=over_tls) as c:
        for path in "/bytes/%d" % n, "/chunked/%d?chunk=70000" % n:
            c.send_request("GET", path)
            fields = dict(c.read_head().headers)
            got, size = hashlib.sha256(), 0
            while size < n:
                if "Content-Length" in fields:
                    data = c.read(min(MIB, n - size))
                else:
                    data = c.read(int(c.read_until(b"\r\n"), 16))
                    assert c.read(2) == b"\r\n" and data
                got.update(data)
                size += len(data)
            if "Content-Length" not in fields:
                assert c.read(5) == b"0\r\n\r\n"
            assert size == n and got.digest() == WANT
        sent = hashlib.sha256(piece * 100)
        for framing in "Content-Length: %d" % n, "Transfer-Encoding: chunked":
            c.send("POST /upload HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n" % framing)
            for _ in range(100):
                c.send(piece if framing.startswith("C") else b"%x\r\n%s\r\n" % (MIB, piece))
            c.send(b"" if framing.startswith("C") else b"0\r\n\r\n")
            assert c.read_response().json() == {"bytes": n, "sha256": sent.hexdigest(), "trailers": []}
    assert memory(gate, "VmHWM") < 32 * MIB, memory(gate, "VmHWM")


WANT = hashlib.sha256(pattern(100 * MIB)).digest()


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
def test_200_stalled_readers(gate, over_tls):
    """Each costs no more than its pipe and its socket's worth; others are served meanwhile."""
    before = memory(gate)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gate.client(tls=over_tls)) for _ in range(200)]
        for c in clients:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            c.send_request("GET", "/bytes/%d" % (1000 * MIB))
        for c in clients:
            c.read_until(b"\r\n\r\n")
        wait_until_at_rest(gate)
        assert memory(gate) - before < 200 * 200 * 1024
        with gate.client() as other:
            for _ in range(20):
                began = time.monotonic()
                assert other.get("/json").status == 200
                assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
def test_a_thousand_connections_leave_no_memory(gate, over_tls):
    """Idle ones, and such that are reset: after the first round there is no more growth."""
    def a_round():
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(gate.client(tls=over_tls)) for _ in range(1000)]
            for c in clients:
                assert c.get("/status/204").status == 204
            assert memory(gate) - before < 1000 * 48 * 1024
            for c in clients[::2]:
                c.send_request("GET", "/bytes/300000")
            for c in clients:
                c.reset()
        wait_until(lambda: descriptors() < 40, "all to be closed")

    def descriptors():
        return len(os.listdir("/proc/%d/fd" % gate.children()[0]))

    before = memory(gate)
    a_round()
    after_one = memory(gate)
    for _ in range(3):
        a_round()
    # a worker gives back what a rush has needed some seconds after it
    wait_until(lambda: memory(gate) - after_one < 2 * MIB, "memory to come back to %d" % after_one)


def test_events_arrive_at_once():
    """Within 50 ms, each of a hundred, through TLS."""
    due = queue.Queue()

    def script(served):
        served.read_request()
        served.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n")
        while due.get(timeout=20):
            event = b"data: %r\n\n" % time.monotonic()
            served.send(b"%x\r\n%s\r\n" % (len(event), event))
        served.send(b"0\r\n\r\n")

    with ScriptedUpstream(script) as up, Gate(tls(up.origin)) as gate, gate.client() as c:
        c.send_request("GET", "/")
        c.read_head()
        delays = []
        for _ in range(100):
            due.put(True)
            event = c.read_until(b"\n\n\r\n")
            delays.append(time.monotonic() - float(event.split(b"data: ")[1]))
        due.put(False)
        assert c.read(5) == b"0\r\n\r\n"
    assert max(delays) < 0.05, max(delays)


def test_a_worker_at_rest_uses_no_cpu(gate):
    with contextlib.ExitStack() as stack:
        for n in range(50):
            c = stack.enter_context(gate.client(tls=n % 2 == 0))
            if n % 3:
                c.send_request("GET", "/slow?ms=60000" if n % 3 == 1 else "/bytes/1000000000")
        wait_until_at_rest(gate)
        before, begin = ticks(gate), time.monotonic()
        wait_until(lambda: time.monotonic() - begin > 1, "a second to pass")
        assert ticks(gate) - before <= 2


def test_pages_do_not_wait_for_memory_that_others_use_up():
    """Bodies from an upstream wait for it, pages of Gatehouse's own come from a reserve."""
    with contextlib.ExitStack() as stack:
        demo = stack.enter_context(Demo())
        mounts = [{"mountpoint": "/app", "origin": demo.origin},
                  {"mountpoint": "/moved", "origin": ">https://b.test"},
                  {"mountpoint": "/down", "origin": "unix:" + demo.path + ".no"}]
        gate = stack.enter_context(Gate(tls(mounts=mounts), plain(mounts=mounts), count_threads="1",
                                        limits={"memory": "1m"}))
        askers = [stack.enter_context(gate.client(tls=over_tls)) for over_tls in (False, True)]
        waiting = stack.enter_context(gate.client())
        hoarders = [stack.enter_context(gate.client(tls=False)) for _ in range(40)]
        for c in hoarders:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            c.send_request("GET", "/app/bytes/%d" % (1000 * MIB))
        wait_until_at_rest(gate)
        waiting.send_request("GET", "/app/bytes/100000")
        for c in askers:
            for path, status in (("/nowhere", 404), ("/down", 503), ("/moved", 301), ("/error.css", 200)):
                began = time.monotonic()
                answer = c.get(path)
                assert answer.status == status and answer.body and time.monotonic() - began < 1
        assert not select.select([waiting.sock], [], [], 0)[0]
        for c in hoarders:
            c.close()
        assert len(waiting.read_response().body) == 100000
