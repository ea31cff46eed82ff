"""The demo application itself: an origin that errs would make every other test doubtful."""

import hashlib
import os
import socket

import pytest

from gate import Demo, pattern, wait_until
from peers import WebSocket


@pytest.fixture(scope="module", params=[False, True], ids=["unix", "tcp"])
def demo(request):
    with Demo(tcp=request.param) as d:
        yield d


@pytest.fixture
def client(demo):
    with demo.client() as c:
        yield c


def test_many_answers_on_one_connection(client):
    assert b"It works" in client.get("/").body
    assert client.get("/", If_None_Match='"demo-1"').status == 304
    assert client.get("/json").json() == {"hello": "world"}
    for n in (0, 1, 65521, 65522, 300000):
        assert client.get("/bytes/%d" % n).body == pattern(n)
        assert client.get("/chunked/%d?chunk=999" % n).body == pattern(n)
    assert client.request("HEAD", "/bytes/77")["Content-Length"] == "77"
    assert client.request("HEAD", "/chunked/77").body == b""
    for status in (200, 204, 304, 404, 503, 999):
        assert client.get("/status/%d" % status).status == status
    hints = client.get("/status/103")
    assert hints.status == 200 and [i.status for i in hints.interim] == [103]
    assert client.get("/trailers").trailers == [("X-Checksum", "42"), ("Server-Timing", "app;dur=1")]
    assert client.get("/slow?ms=20").status == 200
    assert client.get("/nowhere").status == 404


@pytest.mark.parametrize("range_, status, body", [
    ("bytes=10-19", 206, pattern(10, 10)), ("bytes=95-", 206, pattern(5, 95)),
    ("bytes=-3", 206, pattern(3, 97)),
    ("bytes=90-900", 206, pattern(10, 90)), ("bytes=100-", 416, b""), ("bytes=0-1,3-4", 200, pattern(100)),
])
def test_range(client, range_, status, body):
    answer = client.get("/bytes/100", Range=range_)
    assert (answer.status, answer.body) == (status, body)


def test_head_is_echoed_field_by_field(client):
    client.send(b"OPTIONS /headers?a=%20b HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a:\t2 \r\nX-B: \xe9\"\r\n\r\n")
    assert client.read_response().json() == {
        "method": "OPTIONS", "target": "/headers?a=%20b", "version": "HTTP/1.1",
        "headers": [["Host", "x"], ["X-A", "1"], ["x-a", "2"], ["X-B", "\xe9\""]]}


def test_uploads(client):
    body = os.urandom(1000000)
    digest = hashlib.sha256(body).hexdigest()
    want = {"bytes": len(body), "sha256": digest, "trailers": []}
    assert client.request("POST", "/upload", body).json() == want
    assert client.request("PUT", "/upload", [body[:1], body[1:700000], body[700000:]]).json() == want
    assert client.request("POST", "/echo", [body[:50000], body[50000:200000]]).body == body[:200000]
    assert client.request("GET", "/upload").status == 405
    client.send(b"POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"3;a=b\r\nabc\r\n0\r\nX-Sum: 1\r\nX-End: 2\r\n\r\n")
    assert client.read_response().json()["trailers"] == [["X-Sum", "1"], ["X-End", "2"]]


def test_100_continue(client):
    client.send("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert client.read_head().status == 100
    client.send("ab")
    assert client.read_response().json()["bytes"] == 2


def test_early_answer(client):
    client.send("POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
    assert client.read_response().status == 200
    client.send("ab")
    assert client.get("/json").status == 200
    client.send("POST /early?close=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
    assert client.read_response()["Connection"] == "close"
    client.expect_end()


def test_pipelined(client):
    client.send("".join("GET /bytes/%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(2000)))
    for n in range(2000):
        assert client.read_response().body == pattern(n)


def test_byte_by_byte(client):
    for byte in (b"\r\nPOST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                 b"2\r\nab\r\n0\r\nA: b\r\n\r\n"):
        client.send(bytes([byte]))
    assert client.read_response().json()["bytes"] == 2


def test_events(demo, client):
    client.send_request("GET", "/events?interval_ms=1&count=3")
    answer = client.read_response()
    assert answer["Content-Type"] == "text/event-stream" and answer.body.count(b"\n\n") == 3
    with demo.client() as other:
        other.send_request("GET", "/events?interval_ms=1")
        other.read_until(b"id: 5")
        assert demo.stats()["events_open"] == 1
    wait_until(lambda: demo.stats()["events_open"] == 0, "the event stream to be given up")


def test_websocket(client):
    ws = client.websocket()
    for n in (0, 1, 125, 126, 65535, 65536, 700000):
        ws.echo(os.urandom(n))
    ws.send(b"frag", WebSocket.TEXT, fin=False)
    ws.send(b"are you there", WebSocket.PING)
    ws.send(b"ment", WebSocket.CONTINUATION)
    assert ws.receive() == (WebSocket.TEXT, False, b"frag")
    assert ws.receive() == (WebSocket.PONG, True, b"are you there")
    assert ws.receive() == (WebSocket.CONTINUATION, True, b"ment")
    ws.close(4321)


def test_websocket_protocol_errors(demo):
    for frame in (b"\x82\x01a", b"\xc2\x80abcd", b"\x80\x80abcd", b"\x09\x80abcd", b"\x89\xfe\0\x80abcd"):
        with demo.client() as c:
            ws = c.websocket(Sec_WebSocket_Protocol="chat, other")
            assert ws.answer["Sec-WebSocket-Protocol"] == "chat"
            c.send(frame)
            assert ws.receive() == (WebSocket.CLOSE, True, b"\x03\xea")
            c.expect_end()
    with demo.client() as c:
        assert c.get("/ws").status == 426
        assert c.get("/json").status == 200


@pytest.mark.parametrize("request_", [
    "GET / HTTP/2.0\r\nHost: x\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\nHost: x\n\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n",
    "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n",
    "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
    "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n",
    "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
])
def test_refused(client, request_):
    client.send(request_)
    answer = client.read_response()
    assert answer.status == 400 and answer["Connection"] == "close"
    client.expect_end()


def test_large_head(client):
    assert len(client.get("/headers", X_Large="x" * 60000).json()["headers"][1][1]) == 60000
    client.send("GET / HTTP/1.1\r\nX: " + "x" * 65536)
    assert client.read_response().status == 431


def test_http10(demo, client):
    client.send("GET /chunked/10 HTTP/1.0\r\n\r\n")
    answer = client.read_response()
    assert answer.body == pattern(10) and not answer["Transfer-Encoding"]
    with demo.client() as c:
        for _ in range(2):
            c.send("GET /bytes/10 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert c.read_response()["Connection"] == "keep-alive"


def test_half_close_still_gets_the_answer(client):
    client.send_request("GET", "/chunked/3000000")
    client.send_end()
    assert client.read_response().body == pattern(3000000)
    client.expect_end()


def test_broken_upload_is_counted(demo):
    before = demo.stats()["uploads_broken"]
    with demo.client() as c:
        c.send("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    wait_until(lambda: demo.stats()["uploads_broken"] == before + 1, "the upload to be given up")


def test_a_reader_that_stops_stops_the_writer(demo):
    """... and costs no CPU and no memory meanwhile."""
    with demo.client() as c:
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.send_request("GET", "/events?interval_ms=0")
        c.read_until(b"id: 5")

        def cpu_ticks():
            with open("/proc/%d/stat" % demo.process.pid) as f:
                return sum(int(n) for n in f.read().split()[13:15])
        wait_until(lambda: stands_still(cpu_ticks), "the demo application to wait")
    assert demo.stats()["connections"] == 1


def stands_still(value, turns=30):
    before = value()
    with socket.socket() as s:
        s.settimeout(0.01)
        for _ in range(turns):
            try:
                s.recv(1)
            except OSError:
                pass
    return value() == before
