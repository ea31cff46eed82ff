"""Upstreams that are down: who waits for their return, in which order and how long."""

import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from gate import Demo, Gate, authority, plain, tls, wait_until
from peers import ScriptedUpstream, answering, response

OK = response(b"ok")
SECONDS = float(os.environ.get("RIDEOUT_SECONDS", "4"))     # under load; 30 to be thorough


def curl(gate, *args, path="/json"):
    """HTTP/2 over TLS; starts it, .finish() gives (status, body)."""
    class Curl:
        process = subprocess.Popen(
            ["curl", "-sS", "--http2", "--cacert", authority().path, "-m", "20",
             "-w", "\n%{http_code} %{http_version}", *args,
             "https://localhost:%d%s" % (gate.tls_port, path)], stdout=subprocess.PIPE)

        def finish(self):
            body, _, rest = self.process.communicate(timeout=30)[0].rpartition(b"\n")
            status, version = rest.split()
            assert version == b"2"
            return int(status), body
    return Curl()


class Absent:
    """A place for an upstream that is known to have answered, and where nobody listens now."""

    def __init__(self, gate_keys=(), stale=False, **options):
        self.up = ScriptedUpstream(answering(OK), **options)
        self.stale, self.gate_keys, self.saved = stale, dict(gate_keys), None

    def __enter__(self):
        self.up.__enter__()
        self.gate = Gate(plain(self.up.origin), tls(self.up.origin), **self.gate_keys)
        self.gate.__enter__()
        assert self.gate.get("/", tls=False).body == b"ok"
        self.leave()
        return self

    def leave(self):
        """The listener goes; kept connections end."""
        self.up.listener.shutdown(socket.SHUT_RDWR)
        self.up.listener.close()
        if not self.stale:
            os.unlink(self.up.path)
        for sock in list(self.up.live):
            sock.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: not self.up.live, "its connections to end")

    def come_back(self, *scripts, backlog=128):
        self.up.scripts, self.up.connections = scripts or self.up.scripts, 0
        self.up.listener = socket.socket(socket.AF_UNIX)
        if self.stale:
            os.unlink(self.up.path)
        self.up.listener.bind(self.up.path)
        os.chmod(self.up.path, 0o666)
        self.up.listener.listen(backlog)
        self.up.start(self.up.accept)

    def __exit__(self, *why):
        if not os.path.exists(self.up.path):
            open(self.up.path, "w").close()     # for whoever removes it
        self.gate.__exit__(*why)
        self.up.__exit__(*why)


# ---- held and served

@pytest.mark.parametrize("stale", [False, True], ids=["removed", "stale"])
def test_requests_wait_for_the_return(stale):
    """From HTTP/1.1 and HTTP/2 clients alike, with and without a body."""
    with Absent(stale=stale) as a:
        clients = [a.gate.client(tls=i % 2 == 0) for i in range(10)]
        for i, c in enumerate(clients):
            c.send_request(("GET", "POST")[i % 2], "/%d" % i, b"x" * 100000 if i % 2 else None)
        twos = [curl(a.gate), curl(a.gate, "-d", "x" * 1000)]
        a.gate.wait_log("is down: .*requests wait up to 5000 ms for its return")
        for c in clients:
            c.sock.settimeout(0.05)
            with pytest.raises(TimeoutError):
                c.more()
            c.sock.settimeout(20)
        a.come_back()
        for i, c in enumerate(clients):
            answer = c.read_response()
            assert (answer.status, answer.body) == (200, b"ok")
            c.close()
        for two in twos:
            assert two.finish() == (200, b"ok")
        a.gate.wait_log(r"is back after 0\.\d+ s: \d+ requests waited, 0 got an error")
        assert " 503 " not in a.gate.log()


def test_one_worker_serves_them_in_their_order():
    order = []

    def script(served):
        while True:
            request = served.read_request()
            if request is None:
                return
            order.append(request.start)
            served.send(OK)

    with Absent({"count_threads": "1", "limits": {"upstream-connections": "1"}}) as a:
        clients = [a.gate.client(tls=False) for _ in range(30)]
        for i, c in enumerate(clients):
            c.send_request("GET", "/%d" % i)
            if i == 0:
                a.gate.wait_log("is down: ")
            else:       # it is read before the next one is sent
                wait_until(lambda: unread(a.gate, c) == 0, "request %d to be read" % i)
        a.come_back(script)
        for c in clients:
            assert c.read_response().body == b"ok"
            c.close()
    assert order == ["GET /%d HTTP/1.1" % i for i in range(30)]


def unread(gate, client):
    """Bytes that the gateway has not yet read from this TCP client, from /proc/net/tcp."""
    local = client.sock.getsockname()[1]
    with open("/proc/net/tcp") as f:
        for line in f:
            fields = line.split()
            if fields[2].endswith(":%04X" % local) and fields[1].endswith(":%04X" % gate.plain_port):
                return int(fields[4].split(":")[1], 16)
    return -1


def test_nobody_waits_beyond_the_ride_out():
    with Absent({"timeouts": {"ride-out": "400ms"}}) as a:
        began = time.monotonic()
        with a.gate.client() as c, a.gate.client() as d:
            c.send_request("GET", "/")
            a.gate.wait_log("is down: .*requests wait up to 400 ms for its return")
            d.send_request("POST", "/", b"x")
            two = curl(a.gate)
            assert c.read_response().status == 503
            assert d.read_response().status == 503
            assert 0.35 < time.monotonic() - began < 3
            assert two.finish()[0] == 503
            # at once from now on; which worker has them does not matter, each has had its own time
            wait_until(lambda: quick(a.gate), "an answer at once")
            a.come_back()
            assert c.get("/").body == b"ok"      # the very next one
            assert curl(a.gate).finish() == (200, b"ok")


def quick(gate):
    began = time.monotonic()
    assert gate.get("/").status == 503
    return time.monotonic() - began < 0.3


def test_one_that_never_answered_is_503_at_once(tmp_path):
    with Gate(plain("unix:%s/none.sock" % tmp_path), tls("unix:%s/none.sock" % tmp_path)) as gate:
        began = time.monotonic()
        for _ in range(5):
            assert gate.get("/").status == 503
        assert curl(gate).finish()[0] == 503
        assert time.monotonic() - began < 4
        assert "requests wait up to" not in gate.log()


def test_all_workers_know_who_has_answered():
    """Also those that were started, or reloaded, while it is down."""
    with Absent({"count_threads": "1"}) as a:
        parents = set(a.gate.children())
        os.kill(parents.pop(), signal.SIGKILL)
        wait_until(lambda: a.gate.children() and not set(a.gate.children()) & parents, "another worker")
        a.gate.signal(signal.SIGHUP)
        a.gate.wait_log("configuration 2 is served")
        with a.gate.client() as c:
            c.send_request("GET", "/")
            a.gate.wait_log("is down: .*requests wait up to")
            a.gate.signal(signal.SIGHUP)        # nor does a reload cut those who wait
            a.gate.wait_log("configuration 3 is served")
            a.come_back()
            assert c.read_response().body == b"ok"


def test_a_client_that_goes_is_let_go():
    requests = []

    def script(served):
        request = served.read_request()
        requests.append(request.start)
        served.send(response(b"ok", Connection="close"))

    with Absent({"count_threads": "1"}) as a:
        first, second = a.gate.client(tls=False), a.gate.client()
        first.send_request("GET", "/first")
        a.gate.wait_log("is down: ")
        second.send_request("GET", "/second")
        first.reset()
        two = curl(a.gate, path="/h2")
        two.process.kill()
        two.process.wait()
        a.come_back(script)
        assert second.read_response().body == b"ok"
        second.close()
        assert a.gate.get("/last").body == b"ok"
    assert "GET /first HTTP/1.1" not in requests and requests[-1] == "GET /last HTTP/1.1"


# ---- listeners that do not serve

def test_a_full_backlog_is_waited_for():
    """Of one that never answered, even."""
    up = ScriptedUpstream(answering(OK), backlog=1)
    with Gate(plain(up.origin), tls(up.origin)) as gate:
        fillers = []
        while True:
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            try:
                s.connect(up.path)
            except BlockingIOError:
                s.close()
                break
            fillers.append(s)
        clients = [gate.client(tls=i % 2 == 0) for i in range(20)]
        for c in clients:
            c.send_request("GET", "/")
        two = curl(gate)
        gate.wait_log("is down: backlog full; requests wait up to 5000 ms")
        for s in fillers:
            s.close()
        with up:
            for c in clients:
                assert c.read_response().body == b"ok"
                c.close()
            assert two.finish() == (200, b"ok")
        assert " 503 " not in gate.log()


def test_a_listener_that_never_answers_is_504():
    with ScriptedUpstream(lambda served: served.read_end()) as up, \
            Gate(plain(up.origin), tls(up.origin), timeouts={"upstream-response": "300ms"}) as gate:
        for tls_on in False, True:
            assert gate.get("/", tls=tls_on).status == 504
        assert curl(gate).finish()[0] == 504
        with gate.client() as c:
            assert c.request("POST", "/", b"x" * 1000).status == 504
    # and one that accepts nobody, although its backlog has room
    up = ScriptedUpstream(backlog=16)
    with Gate(plain(up.origin), timeouts={"upstream-response": "300ms"}) as gate:
        assert gate.get("/", tls=False).status == 504
    up.__exit__(None, None, None)


# ---- under load

def test_as_many_connections_are_kept_as_were_in_use_at_once():
    """1,024 streams at a time, again and again: whoever comes finds a connection."""
    with Demo() as demo, Gate(tls(demo.origin), count_threads="1") as gate:
        for _ in range(4):
            text = load("h2load", "-c8", "-m128", "-n8192", "https://localhost:%d/slow?ms=50" %
                        gate.tls_port).communicate(timeout=60)[0]
            assert "8192 succeeded, 0 failed" in text, text
        assert demo.stats()["accepted"] <= 1024 + 1, demo.stats()


class Restarts:
    """Kills the demo application each half second, and starts it again a moment later."""

    def __init__(self, demo, how):
        self.demo, self.how, self.stopped, self.n = demo, how, threading.Event(), 0
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopped.wait(0.5):
            if self.how == "ended":
                self.demo.stop()
            else:
                self.demo.kill()
                if self.how == "removed" and not self.demo.tcp:
                    os.unlink(self.demo.path)
            self.stopped.wait(0.1)
            self.demo.start()
            self.n += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()


def load(*args):
    return subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("tcp, how", [(False, "stale"), (False, "removed"), (False, "ended"), (True, "ended"),
                                      (True, "killed")])
def test_restarts_under_load_fail_no_get(tcp, how):
    with Demo(tcp=tcp) as demo, Gate(plain(demo.origin), tls(demo.origin)) as gate:
        assert gate.get("/json").status == 200
        seconds = "%d" % SECONDS
        with Restarts(demo, how) as restarts:
            over_tls = "https://localhost:%d/json" % gate.tls_port
            loads = [
                load("h2load", "-c10", "-m10", "-D" + seconds, over_tls),
                load("h2load", "--h1", "-c10", "-D" + seconds, over_tls),
                load("wrk", "-c20", "-t1", "-d%ss" % seconds, "--timeout", "20s",
                     "http://127.0.0.1:%d/json" % gate.plain_port)]
            texts = [process.communicate(timeout=SECONDS + 60)[0] for process in loads]
        assert restarts.n >= SECONDS
        for text in texts[:2]:
            done, failed = re.search(r"requests: .* (\d+) succeeded, (\d+) failed", text).groups()
            assert int(done) > 100 and failed == "0", text
        assert int(re.search(r"(\d+) requests in", texts[2])[1]) > 100
        assert "Non-2xx" not in texts[2] and "Socket errors" not in texts[2], texts[2]


def test_an_outage_does_not_flood_the_log():
    """A line when it begins, some about requests, one when it is over; not one a request."""
    with Absent({"timeouts": {"ride-out": "1ms"}, "count_threads": "1"}) as a:
        with a.gate.client() as c:
            for _ in range(200):
                assert c.get("/").status == 503
        log = a.gate.log()
        assert log.count(" is down: ") == 1 and 20 <= log.count(": 503 ") <= 40, log
        a.come_back()
        assert a.gate.get("/").status == 200
        a.gate.wait_log(r"is back after [\d.]+ s: \d requests waited, 200 got an error")
