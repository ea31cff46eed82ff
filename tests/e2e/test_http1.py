"""HTTP/1 connections: what follows what, expectations, upgrades, limits."""

import pytest

from gate import Gate, plain, tls
from peers import ScriptedUpstream, answering, response
from recorder import Recorder

H = b"Host: localhost\r\n"
GET = b"GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n"
KEY = "AAAAAAAAAAAAAAAAAAAAAA=="


@pytest.fixture(scope="module")
def up():
    with Recorder() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def gate(up):
    limits = {"request-line": "2k", "request-head": "8k", "request-fields": "50", "request-body": "64k",
              "trailers": "1k", "chunk-extensions": "256"}
    mounts = [{"mountpoint": "/", "origin": up.origin},
              {"mountpoint": "/small", "origin": up.origin, "limits": {"request-body": "10"}}]
    with Gate(plain(mounts=mounts), tls(mounts=mounts), limits=limits) as g:
        yield g


@pytest.fixture
def client(gate):
    with gate.client(tls=False) as c:
        yield c


@pytest.fixture
def recorded(up):
    up.begin()
    return up


def post(*lines, path="/forbidden"):
    """The head of a POST with these field lines."""
    return "\r\n".join(["POST %s HTTP/1.1" % path, "Host: localhost", *lines, "", ""]).encode()


def get(*lines, path="/forbidden"):
    return post(*lines, path=path).replace(b"POST", b"GET")


def chunks(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces + (b"",))


# ---- one connection, many requests

def test_pipelined_requests_are_answered_in_order():
    def echo(served):
        while request := served.read_request():
            served.send(response(request.start.split()[1].encode() + b" " + request.body))

    with ScriptedUpstream(echo) as up, Gate(plain(up.origin)) as gate, gate.client(tls=False) as c:
        c.send(b"".join(b"GET /%d HTTP/1.1\r\n%s\r\n" % (n, H) +
                        b"POST /%d HTTP/1.1\r\n%sContent-Length: 3\r\n\r\nabc\r\n" % (n, H) +
                        b"PUT /%d HTTP/1.1\r\n%sTransfer-Encoding: chunked\r\n\r\n" % (n, H) + chunks(b"x")
                        for n in range(100)))
        for n in range(100):
            for body in b"", b"abc", b"x":
                assert c.read_response().body == b"/%d %s" % (n, body)


def test_a_bad_one_behind_good_ones(client, recorded):
    client.send(2 * GET + get("A : b") + GET)
    assert [client.read_response().status for _ in range(3)] == [200, 200, 400]
    client.expect_end()
    assert len(recorded.requests) == 2


@pytest.mark.parametrize("request_", [
    get("Connection: close", path="/"), get("Connection: x, CLOSE ,keep-alive", path="/"),
    post("Connection: close", "Content-Length: 2", path="/") + b"ab",
    post("Connection: close", "Transfer-Encoding: chunked", path="/") + chunks(b"ab"),
    b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n",
], ids=repr)
def test_nothing_behind_close_is_processed(client, recorded, request_):
    client.send(request_ + GET)
    answer = client.read_response()
    assert (answer.status, answer["Connection"]) == (200, "close")
    client.expect_end()
    assert len(recorded.requests) == 1


def test_http_1_0_keeps_alive_when_asked(client):
    for _ in range(3):
        client.send("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
        answer = client.read_response()
        assert (answer.body, answer["Connection"]) == (b"ok", "keep-alive")
    client.send(GET)
    assert client.read_response()["Connection"] is None


def test_empty_lines_between_requests_are_ignored(client):
    for _ in range(3):
        client.send(GET + b"\r\n" * 20)
        assert client.read_response().body == b"ok"


def test_a_half_closed_client_gets_its_answer(client):
    client.send(GET)
    client.send_end()
    assert client.read_response().body == b"ok"
    client.expect_end()


def test_half_a_request_is_forgotten(gate, recorded):
    for request in (get()[:-2], b"GET /forbidden HTT", post("Content-Length: 5") + b"abcd",
                    post("Transfer-Encoding: chunked") + chunks(b"abc")[:-2],
                    post("Transfer-Encoding: chunked") + b"3\r\nab"):
        with gate.client(tls=False) as c:
            c.send(request)
            c.send_end()
            c.read_end()
    assert not recorded.requests


def test_options_with_max_forwards_0_is_answered_here(client, recorded):
    for target in b"/forbidden", b"*", b"http://localhost/forbidden":
        client.send(b"OPTIONS " + target + b" HTTP/1.1\r\n" + H + b"Max-Forwards: 0\r\n\r\n")
        answer = client.read_response()
        assert answer.status == 200 and "GET" in answer["Allow"]
    assert not recorded.requests


def test_hop_by_hop_fields_of_an_answer_go_no_further():
    answer = (b"HTTP/1.1 200 OK\r\nA: 1\r\nConnection: x-drop, Content-Length,, keep-alive\r\nX-Drop: 1\r\n"
              b"Keep-Alive: 5\r\nTE: x\r\nUpgrade: h2c\r\nProxy-Connection: x\r\nContent-Length: 2\r\n"
              b"B: 2\r\nDate: now\r\n\r\nok")
    with ScriptedUpstream(answering(answer)) as up, Gate(plain(up.origin)) as gate:
        with gate.client(tls=False) as c:
            want = [("A", "1"), ("Content-Length", "2"), ("B", "2"), ("Date", "now")]
            assert c.get("/").headers == want
            assert c.get("/").headers == want


# ---- 100 (Continue)

@pytest.mark.parametrize("framing, body", [("Content-Length: 3", b"abc"),
                                           ("Transfer-Encoding: chunked", chunks(b"abc"))])
def test_100_continue_comes_before_the_body(framing, body):
    def script(served):
        for _ in range(2):
            request = served.read_head()
            assert request["Expect"] == "100-continue" and served.buffer == b""
            served.send("HTTP/1.1 100 Continue\r\n\r\n")
            served.send(response(served.read_body(request.headers)[0]))

    with ScriptedUpstream(script) as up, Gate(plain(up.origin)) as gate, gate.client(tls=False) as c:
        for _ in range(2):
            c.send(post(framing, "Expect: 100-continue"))
            assert c.read_head().status == 100
            c.send(body)
            assert c.read_response().body == b"abc"


def test_the_final_answer_comes_instead_of_100_continue():
    def script(served):
        served.read_head()
        served.send(response(b"no", "403 Forbidden"))
        assert served.read_end() == b""

    with ScriptedUpstream(script) as up, Gate(plain(up.origin)) as gate, gate.client(tls=False) as c:
        c.send(post("Content-Length: 1000", "Expect: 100-continue"))
        answer = c.read_response()
        assert (answer.status, answer.body, answer["Connection"]) == (403, b"no", "close")
        c.expect_end()


def test_an_upstream_that_does_not_say_continue_gets_the_body():
    with ScriptedUpstream(answering(response(b"thanks"))) as up, Gate(plain(up.origin)) as gate:
        with gate.client(tls=False) as c:
            c.send(post("Content-Length: 3", "Expect: 100-continue"))
            assert c.read_head().status == 100
            c.send("abc")
            assert c.read_response().body == b"thanks"


def test_a_client_that_does_not_wait_for_100(client, recorded):
    client.send(post("Content-Length: 3", "Expect: 100-continue") + b"abc" + GET)
    assert [client.read_response().body for _ in range(2)] == [b"ok", b"ok"]
    assert [r.body for r in recorded.requests] == [b"abc", b""]


# ---- upgrades

def test_after_a_refused_upgrade_it_is_http_again(client, recorded):
    client.send(get("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: " + KEY,
                    "Sec-WebSocket-Version: 13") + GET)
    assert [client.read_response().body for _ in range(2)] == [b"ok", b"ok"]
    first, second = recorded.requests
    assert first["Upgrade"] == "websocket" and second.start == "GET /next HTTP/1.1"


@pytest.mark.parametrize("lines, body", [
    (["Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: " + KEY, "Content-Length: 1"], b"a"),
    (["Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: " + KEY,
      "Transfer-Encoding: chunked"], chunks(b"a")),
    (["Connection: upgrade", "Upgrade: websocket"], b""),
    (["Upgrade: websocket", "Sec-WebSocket-Key: " + KEY], b""),
    (["Connection: upgrade", "Upgrade: websockets", "Sec-WebSocket-Key: " + KEY], b""),
    (["Connection: upgrade", "Upgrade: h2c, foo/2", "HTTP2-Settings: AAMAAABk"], b""),
])
def test_what_is_no_websocket_is_not_upgraded(client, recorded, lines, body):
    client.send(get(*lines, path="/") + body + GET)
    assert [client.read_response().body for _ in range(2)] == [b"ok", b"ok"]
    assert [r["Upgrade"] for r in recorded.requests] == [None, None]
    assert recorded.requests[0].body == body.strip(b"1\r\n0")


# ---- limits, each named in the log

@pytest.mark.parametrize("key, status, requests", [
    ("request-line", 414, [get(path="/forbidden" + "x" * 2048), b"x" * 2050, b"GET /" + b"x" * 100000,
                           b"\r\n" * 3 + b"GET /" + b"x" * 2048]),
    ("request-head", 431, [get("X: " + "x" * 8192), get()[:-2] + b"X: " + b"x" * 100000,
                           get()[:-2] + b"X" * 9000,
                           get(*["X-%d: %s" % (n, "x" * 1000) for n in range(9)])]),
    ("request-fields", 431, [get(*["X: y"] * 50), get("Connection: " + "a," * 51)]),
    ("request-body", 413, [post("Content-Length: 65537"), post("Content-Length: 9223372036854775807"),
                           post("Content-Length: 65537", "Expect: 100-continue"),
                           post("Content-Length: 11", path="/small/forbidden"),
                           post("Transfer-Encoding: chunked") + chunks(bytes(65537)),
                           post("Transfer-Encoding: chunked") + chunks(*[bytes(4096)] * 17),
                           post("Transfer-Encoding: chunked", path="/small/forbidden") + chunks(b"x" * 11)]),
    ("trailers", 431, [post("Transfer-Encoding: chunked") + b"0\r\nX: %s\r\n\r\n" % (b"x" * 1024),
                       post("Transfer-Encoding: chunked") + b"0\r\n" + b"x" * 2000,
                       post("Transfer-Encoding: chunked") + b"0\r\n" + b"X: %s\r\n" % (b"y" * 30) * 40]),
    ("chunk-extensions", 413, [post("Transfer-Encoding: chunked") + b"1;%s\r\na\r\n" % (b"x" * 300),
                               post("Transfer-Encoding: chunked") + b"1;" + b"x" * 300,
                               post("Transfer-Encoding: chunked") + b"1;abcdefg\r\na\r\n" * 40]),
])
def test_over_a_limit(gate, recorded, key, status, requests):
    for i, request in enumerate(requests):
        with gate.client(tls=False) as c:
            c.send(request)
            answer = c.read_response()
            assert (answer.status, answer["Connection"]) == (status, "close")
            c.expect_end()
        gate.wait_log(r"(?s)(\b%d [-0-9A-Z]+: [^\n]*limits\.%s\b.*){%d}" % (status, key, i + 1))
    assert not recorded.requests


@pytest.mark.parametrize("request_", [
    b"GET /%s HTTP/1.1\r\n" % (b"x" * (2048 - 14)) + H + b"\r\n",
    get("X: " + "x" * (8192 - len(get("X: ")))),
    get(*["X: y"] * 49),
    post("Content-Length: 65536") + bytes(65536),
    post("Transfer-Encoding: chunked") + chunks(bytes(65535), b"x"),
    post("Content-Length: 10", path="/small/x") + bytes(10),
    post("Transfer-Encoding: chunked") + b"0\r\nX: %s\r\n\r\n" % (b"x" * (1024 - 7)),
    post("Transfer-Encoding: chunked") + b"1;%s\r\na\r\n0\r\n\r\n" % (b"x" * 255),
], ids=range(8))
def test_just_within_a_limit(client, request_):
    client.send(request_)
    assert client.read_response().status == 200


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("framing", ["Content-Length: 8388608", "Transfer-Encoding: chunked"])
def test_a_refusal_is_not_reset_away_by_the_body_that_still_comes(gate, over_tls, framing):
    with gate.client(tls=over_tls) as c:
        c.send(post(framing))
        c.send(bytes(8 << 20) if "8" in framing else chunks(bytes(8 << 20)))
        assert c.read_response().status == 413
        c.expect_end()
