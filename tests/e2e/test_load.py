"""What passes exactly as it is, what moves as it comes, and what many connections leave behind: nothing."""

import contextlib
import gzip
import hashlib
import os
import queue

import pytest

import gate as gate_module
from gate import Demo, Folder, Gate, pattern, plain, tls, wait_until
from peers import ScriptedUpstream, answering, response
from recorder import Recorder

OK = response(b"ok")
pytestmark = pytest.mark.usefixtures("descriptors")


@pytest.fixture(scope="module")
def up():
    with Recorder() as u:
        yield u


@pytest.fixture(scope="module")
def demo():
    with Demo() as d:
        yield d


@pytest.fixture(scope="module")
def gate(up, demo):
    mounts = [{"mountpoint": "/", "origin": demo.origin}, {"mountpoint": "/up", "origin": up.origin + ":/up"}]
    with Gate(plain(mounts=mounts), tls(mounts=mounts), count_threads="1") as g:
        yield g


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def client(gate, request):
    with gate.client(tls=request.param) as c:
        yield c


def worker(gate):
    return wait_until(lambda: len(gate.children()) == 1 and gate.children()[0], "one worker")


def descriptors_of(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


# ---- exactly as it is

def head(start, fields):
    return "\r\n".join([start] + ["%s: %s" % f for f in fields] + ["", ""]).encode("latin-1")


FIELDS = [
    ("Server", "odd/1.0 (x; y)"), ("Set-Cookie", "a=1; Path=/; HttpOnly"), ("ETag", 'W/"x,y"'),
    ("Set-Cookie", "b=2; Expires=Wed, 21 Oct 2037 07:28:00 GMT"), ("x-lower", "1"), ("X-Twice", "1"),
    ("X-Other", "between"), ("X-Twice", "2, 3"), ("Set-Cookie", "a=1; Path=/; HttpOnly"), ("X-Empty", ""),
    ("X-Obs", "\xe9\xff"), ("Vary", "Accept-Encoding, *"), ("Cache-Control", "no-cache,  private"),
    ("WWW-Authenticate", 'Basic realm="a, b"'), ("WWW-Authenticate", "Negotiate"), ("Date", "any"),
]


@pytest.mark.parametrize("start, more, body", [
    ("HTTP/1.1 200 OK", [("Content-Encoding", "gzip"), ("Accept-Ranges", "x")], gzip.compress(b"x" * 9999)),
    ("HTTP/1.1 206 Partial Content", [("Content-Range", "bytes 3-6/10")], b"3456"),
    ("HTTP/1.1 416 Range Not Satisfiable", [("Content-Range", "bytes */10")], b""),
    ("HTTP/1.1 404 ", [], b"nothing"), ("HTTP/1.1 299 Odd, but fine \xe9", [], b"\0\xff\r\n0\r\n\r\n"),
    ("HTTP/1.1 999 Why not", [], b""),
], ids=["gzip", "206", "416", "no reason", "odd reason", "999"])
def test_answers_pass_as_they_are(up, client, start, more, body):
    fields = FIELDS + more + [("Content-Length", str(len(body)))]
    up.play(answering(head(start, fields) + body))
    for _ in range(2):
        answer = client.get("/up")
        assert (answer.start, answer.headers, answer.body) == (start, fields, body)


def test_requests_pass_as_they_are(up, client):
    fields = [("Host", "localhost"), ("Range", "bytes=0-1, 5-"), ("If-None-Match", '"a", W/"b"'),
              ("X-Twice", "1"), ("Accept-Encoding", "gzip;q=0.5, *"), ("x-lower", ""), ("X-Twice", "2"),
              ("Authorization", "Basic x"), ("If-Modified-Since", "any"), ("Via", "1.1 elsewhere"),
              ("Content-Length", "4")]
    for method in "GET", "PATCH", "PROPFIND", "QUERY", "x-own!":
        up.play(up.record)
        up.begin()
        client.send(head("%s /up?q HTTP/1.1" % method, fields) + b"\r\n\0\xff")
        assert client.read_response().status == 200
        got, = up.requests
        assert got.start == "%s /up?q HTTP/1.1" % method and got.body == b"\r\n\0\xff"
        assert got.headers[:len(fields)] == fields


def test_large_heads_pass(up, client):
    cookies = "; ".join("name%d=%s" % (n, "x" * 600) for n in range(28))
    assert len(cookies) > 16384
    fields = [("X-%d" % n, "y" * 1000) for n in range(24)] + [("Content-Length", "0"), ("Date", "x")]
    up.play(answering(head("HTTP/1.1 200 OK", fields)))
    assert client.get("/up", Cookie=cookies).headers == fields
    up.play(up.record)
    up.begin()
    client.get("/up", Cookie=cookies)
    assert up.requests[0]["Cookie"] == cookies


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_large_bodies_pass_both_ways(client, chunked):
    n = 20 << 20
    body = pattern(n)
    got = client.get("/%s/%d" % ("chunked" if chunked else "bytes", n)).body
    assert hashlib.sha256(got).digest() == hashlib.sha256(body).digest()
    pieces = [body[at:at + 99999] for at in range(0, n, 99999)]
    answer = client.request("POST", "/upload", pieces if chunked else body).json()
    assert answer == {"bytes": n, "sha256": hashlib.sha256(body).hexdigest(), "trailers": []}


# ---- as it comes

def test_events_pass_one_by_one(up, client):
    """The next one is sent when this one has arrived: whoever held one back would stop it all."""
    events = [b"data: %d\n\n" % n for n in range(50)]
    arrived = queue.Queue()

    def script(served):
        served.read_request()
        served.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n")
        for event in events:
            arrived.get(timeout=20)
            served.send(b"%x\r\n%s\r\n" % (len(event), event))
        served.send(b"0\r\n\r\n")

    up.play(script)
    client.send_request("GET", "/up")
    assert client.read_head()["Content-Type"] == "text/event-stream"
    for event in events:
        arrived.put(None)
        assert client.read_until(b"\n\n\r\n").endswith(event + b"\r\n")
    assert client.read(5) == b"0\r\n\r\n"


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_bytes_of_an_upload_pass_one_by_one(up, client, chunked):
    pieces, arrived = [b"%05d" % n for n in range(50)], queue.Queue()

    def script(served):
        served.read_head()
        for piece in pieces:
            served.read_until(piece)
            arrived.put(None)
        if chunked:
            served.read_until(b"0\r\n\r\n")
        served.send(OK)

    up.play(script)
    client.send("POST /up HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n"
                % ("Transfer-Encoding: chunked" if chunked else "Content-Length: 250"))
    for piece in pieces:
        client.send(b"5\r\n%s\r\n" % piece if chunked else piece)
        arrived.get(timeout=20)
    client.send(b"0\r\n\r\n" if chunked else b"")
    assert client.read_response().body == b"ok"


def test_a_small_answer_does_not_wait_for_large_ones(gate):
    """One worker: some read without end, some have stopped reading."""
    with contextlib.ExitStack() as stack:
        for over_tls in (False, True) * 4:
            c = stack.enter_context(gate.client(tls=over_tls))
            c.send_request("GET", "/bytes/1000000000")
            c.read_until(b"\r\n\r\n")
            busy = c
        small = stack.enter_context(gate.client())
        for _ in range(50):
            assert busy.more()
            busy.take(len(busy.buffer))
            assert small.get("/json").json() == {"hello": "world"}


# ---- and nothing stays behind

def test_a_thousand_connections_leave_nothing(demo):
    """Idle ones, and such that are reset at all stages."""
    stages = [b"", b"\r\n", b"GET /", b"GET /slow?ms=60000 HTTP/1.1\r\nHost: localhost\r\n\r\n",
              b"GET /bytes/100000000 HTTP/1.1\r\nHost: localhost\r\n\r\n",
              b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc"]
    with Gate(plain(demo.origin), tls(demo.origin), count_threads="1") as gate, gate.client() as other:
        pid = worker(gate)
        assert other.get("/json").status == 200
        before = descriptors_of(pid)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(gate.client(tls=n % 8 == 0)) for n in range(1000)]
            wait_until(lambda: descriptors_of(pid) >= before + 1000, "all to be accepted")
            assert other.get("/json").status == 200
            for n, c in enumerate(clients):
                c.send(stages[n % len(stages)])
            for n, c in enumerate(clients):
                if n % len(stages) == 4:
                    c.read_until(b"\r\n\r\n")
                c.reset()
        # a few kept connections to the application may be more than there were
        wait_until(lambda: descriptors_of(pid) <= before + 4, "all to be closed")
        wait_until(lambda: other.get("/stats").json()["connections"] <= 6, "the other ends to be freed")


def test_without_descriptors_for_an_upstream_requests_wait(demo, monkeypatch):
    """As for one that restarts: until there are some again, or until the ride-out is over."""
    folder = Folder()
    limited = folder.write("limited", '#!/bin/sh\nulimit -n 24\nexec "%s" "$@"\n' % gate_module.GATEHOUSE)
    os.chmod(limited, 0o755)
    monkeypatch.setattr(gate_module, "GATEHOUSE", limited)
    for ride_out, status in (("300ms", 503), ("20s", 200)):
        with Gate(plain(demo.origin), count_threads="1", timeouts={"ride-out": ride_out}) as gate, \
                contextlib.ExitStack() as stack:
            pid = worker(gate)
            first = stack.enter_context(gate.client(tls=False))
            assert first.get("/error.css").status == 200
            others = [stack.enter_context(gate.client(tls=False)) for _ in range(24)]
            gate.wait_log("cannot take connections: Too many open files")
            first.send_request("GET", "/json")
            gate.wait_log("cannot be dialled: out of file descriptors; requests wait up to")
            if status == 503:
                assert first.read_response().status == 503
                assert first.request("POST", "/upload", bytes(1 << 20)).status == 503
                gate.wait_log("503 .*out of file descriptors")
            for c in others:
                c.close()
            if status == 200:
                assert first.read_response().status == 200
            wait_until(lambda: gate.get("/json", tls=False).status == 200, "descriptors to be free again")
            assert worker(gate) == pid
    folder.remove()
