"""Upstreams that err, die, go and come back, and what the client sees of it."""

import codecs
import contextlib
import os
import queue
import re
import socket
import ssl

import pytest

from gate import Folder, Gate, plain, tls
from peers import ScriptedUpstream, answering, answering_once, response
from recorder import Recorder

OK = response(b"ok")


@pytest.fixture(scope="module")
def unix_up():
    with ScriptedUpstream(answering(OK)) as u:
        yield u


@pytest.fixture(scope="module")
def tcp_up():
    with ScriptedUpstream(answering(OK), tcp=True) as u:
        yield u


@pytest.fixture(scope="module")
def gate(unix_up, tcp_up):
    limits = {"response-head": "32k", "interim-responses": "8"}
    mounts = [{"mountpoint": "/", "origin": unix_up.origin}, {"mountpoint": "/tcp", "origin": tcp_up.origin}]
    with Gate(plain(mounts=mounts), tls(mounts=mounts), limits=limits) as g:
        yield g


@pytest.fixture(params=["/", "/tcp"], ids=["unix", "tcp"])
def path(request):
    return request.param


@pytest.fixture
def up(path, unix_up, tcp_up):
    """That of the path. Its first connection runs what a test puts first in .scripts."""
    u = tcp_up if path == "/tcp" else unix_up
    yield u
    assert not u.errors


def raw(client):
    """Everything that comes: (bytes, "end" or "reset")."""
    try:
        while client.more():
            pass
        how = "end"
    except (ConnectionResetError, ssl.SSLEOFError):
        how = "reset"
    return client.take(len(client.buffer)), how


def is_whole(answer, method="GET"):
    """Whether HTTP/1.1 takes these bytes for a complete response."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    if re.search(rb"(?i)\r\ntransfer-encoding: chunked", head):
        return re.search(rb"(\A|\r\n)0\r\n(.+\r\n)*\r\n\Z", body) is not None
    assert length, "neither length nor chunks: %r" % head
    return len(body) == int(length[1])


def read_broken():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "upstream-broken.txt")
    with open(path) as f:
        lines = [line.rstrip("\n") for line in f if line[0] not in "#[\n"]
    return {line: codecs.decode(line, "unicode_escape").encode("latin-1") for line in lines}


BROKEN = read_broken()


# ---- answers that are none

@pytest.mark.parametrize("answer", BROKEN)
def test_a_broken_answer_is_502(gate, unix_up, answer):
    unix_up.play(answering_once(BROKEN[answer]))
    for method, body in ("GET", None), ("POST", b"question"), ("HEAD", None):
        with gate.client(tls=False) as c:
            got = c.request(method, "/", body)
            assert got.status == 502, got
            assert method == "HEAD" or b"ok" not in got.body.split()
            assert c.get("/error.css").status == 200        # the client's connection goes on
    assert unix_up.connections == 3     # none was sent twice


def test_no_answer_at_all_is_502(gate, up, path):
    """A GET may be asked again, once; a POST never."""
    for method, connections in ("GET", 2), ("HEAD", 2), ("POST", 1), ("PUT", 1), ("DELETE", 1):
        up.play(answering_once(b""))
        with gate.client(tls=False) as c:
            assert c.request(method, path, b"x" if method in ("POST", "PUT") else None).status == 502
        assert up.connections == connections, method


@pytest.mark.parametrize("answer, what", [
    (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 40000, "limits.response-head"),
    (b"HTTP/1.1 200 " + b"x" * 40000, "limits.response-head"),
    (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 8000, "limits.response-head"),
    (b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + OK, "limits.interim-responses"),
    (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 1000, "limits.interim-responses"),
], ids=range(5))
def test_an_answer_over_a_limit_is_502(gate, unix_up, answer, what):
    unix_up.play(answering_once(answer))
    assert gate.get("/limit?" + what, tls=False).status == 502
    gate.wait_log(r"502 [-0-9A-Z]+: [^\n]*%s[^\n]* GET [^\n]*/limit\?%s" % (what, what))


def test_white_space_before_a_colon_is_stripped(gate, unix_up):
    unix_up.play(answering(b"HTTP/1.1 200 OK\r\nContent-Length \t: 2\r\nA : b\r\nDate: x\r\n\r\nok"))
    with gate.client(tls=False) as c:
        for _ in range(2):
            answer = c.get("/")
            assert answer.headers == [("Content-Length", "2"), ("A", "b"), ("Date", "x")]
            assert answer.body == b"ok"
    assert unix_up.connections == 1


# ---- the end of a body

CUT = {
    "short of its length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npartial",
    "no body at all": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
    "no chunk at all": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "within a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\npa",
    "between chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npartial\r\n",
    "in the last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npartial\r\n0\r\n",
    "in the trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npartial\r\n0\r\nA: b\r\n",
    "bad size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npartial\r\n0x0\r\n\r\n",
    "bad first size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-7\r\npartial\r\n0\r\n\r\n",
    "bad end of a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npartial0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npartial\r\n0\n\n",
    "bad trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npartial\r\n0\r\nA: \0\r\n\r\n",
}


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("name", CUT)
def test_a_cut_body_never_seems_whole(gate, up, path, name, over_tls):
    up.play(answering_once(CUT[name]))
    with gate.client(tls=over_tls) as c:
        c.send_request("GET", path)
        answer, how = raw(c)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and not is_whole(answer), answer
        assert how == "end"     # nothing was lost on the way


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("name", [name for name in CUT if b"chunked" in CUT[name]])
def test_to_http_1_0_a_cut_body_ends_with_a_reset(gate, unix_up, name, over_tls):
    """Where the end of the connection is that of the body, an orderly one would make it whole."""
    unix_up.play(answering_once(CUT[name]))
    with gate.client(tls=over_tls) as c:
        if over_tls:
            c.sock.suppress_ragged_eofs = False
        c.send("GET / HTTP/1.0\r\n\r\n")
        answer, how = raw(c)
        assert how == "reset"
        assert b"0\r\n" not in answer.partition(b"\r\n\r\n")[2]


def test_a_reset_within_a_body_is_an_error_too(gate, tcp_up):
    def script(served):
        served.read_request()
        served.send(CUT["short of its length"])
        go.get()
        served.reset()

    go = queue.Queue()
    tcp_up.play(script)
    with gate.client(tls=False) as c:
        c.send_request("GET", "/tcp")
        c.read_until(b"partial")
        go.put(None)
        assert raw(c) == (b"", "end")


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_body_that_ends_with_the_connection_is_whole(gate, up, path, version, over_tls):
    body = os.urandom(300000)
    up.play(answering_once(b"HTTP/1.1 200 OK\r\nDate: x\r\n\r\n" + body))
    with gate.client(tls=over_tls) as c:
        c.send("GET %s HTTP/%s\r\nHost: localhost\r\n\r\n" % (path, version))
        answer = c.read_response()
        assert answer.body == body
        if version == "1.1":
            assert answer["Transfer-Encoding"] == "chunked"
            assert c.get("/error.css").status == 200
        else:
            assert answer["Connection"] == "close" and answer["Transfer-Encoding"] is None


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
], ids=range(5))
def test_surplus_bytes_reach_nobody(gate, up, path, answer):
    for surplus in b"surplus", b"\r\n", response(b"surplus"), b"\0" * 100000:
        up.play(answering(answer + surplus), answering(OK))
        with gate.client(tls=False) as c:
            first = c.get(path)
            assert first.status in (200, 204, 304) and first.body in (b"ok", b"")
            for _ in range(3):
                assert c.request("POST", path, b"x").body == b"ok"
            c.send_end()
            c.expect_end()
        assert up.connections == 2


def test_what_comes_between_answers_reaches_nobody(gate, up, path):
    def script(served):
        served.read_request()
        served.send(OK)
        asked.get()
        served.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 7\r\n\r\nsurplus")
        with contextlib.suppress(ConnectionError):
            served.read_end()
        gone.put(None)

    asked, gone = queue.Queue(), queue.Queue()
    up.play(script, answering(OK))
    with gate.client(tls=False) as c:
        assert c.get(path).body == b"ok"
        asked.put(None)
        gone.get(timeout=20)    # Gatehouse has closed it
        assert c.request("POST", path, b"x").body == b"ok"
    assert up.connections == 2


# ---- which answers have a body

@pytest.mark.parametrize("method, answer, fields", [
    ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", {"Content-Length": "1000000"}),
    ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", {"Content-Length": None}),
    ("HEAD", b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n", {"Content-Length": "5"}),
    ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", {"Content-Length": None}),
    ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", {"Content-Length": None}),
    ("GET", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", {"Transfer-Encoding": None}),
    ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n", {"Content-Length": "5"}),
    ("GET", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", {"Content-Length": None}),
    ("POST", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", {"Content-Length": "0"}),
], ids=range(9))
def test_answers_without_a_body(gate, up, path, method, answer, fields):
    up.play(answering(answer))
    with gate.client(tls=False) as c:
        for _ in range(3):
            got = c.request(method, path, b"x" if method == "POST" else None)
            assert {name: got[name] for name in fields} == fields
            assert got.start == answer.split(b"\r\n")[0].decode() and got.body == b""
        assert c.buffer == b""
    assert up.connections == 1


def test_interim_answers_come_before_the_final_one(gate, up, path):
    hints = (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Hint: 1\r\n\r\n"
             b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
    up.play(answering(hints + OK))
    with gate.client(tls=False) as c:
        for _ in range(2):
            answer = c.get(path)
            assert [i.status for i in answer.interim] == [103, 102] and answer.body == b"ok"
            assert answer.interim[0].headers == [("Link", "</a.css>; rel=preload"), ("X-Hint", "1")]
            assert answer["Link"] is None
        c.send("GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" % path)
        assert c.read_response().interim == []
    assert up.connections == 1


def test_an_interim_answer_does_not_wait_for_the_final_one(gate, up, path):
    def script(served):
        served.read_request()
        served.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        seen.get(timeout=20)
        served.send(OK)

    seen = queue.Queue()
    up.play(script)
    with gate.client() as c:
        c.send_request("GET", path)
        assert c.read_head().status == 103
        seen.put(None)
        assert c.read_response().body == b"ok"


WEBSOCKET = {"Connection": "upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}


@pytest.mark.parametrize("lines", [
    "", "Upgrade: websocket\r\n", "Connection: upgrade\r\n", "Connection: upgrade\r\nUpgrade: h2c\r\n",
    "Connection: upgrade\r\nUpgrade: websocket\r\n",
    "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: bm90IHRoZSByaWdodCBvbmU=\r\n",
])
def test_an_upgrade_that_is_none_is_502(gate, up, path, lines):
    up.play(answering_once(("HTTP/1.1 101 Switching Protocols\r\n%s\r\n" % lines).encode() + b"\x81\x02hi"))
    with gate.client(tls=False) as c:
        assert c.request("GET", path, **WEBSOCKET).status == 502
        assert c.get("/error.css").status == 200


def test_trailers_pass_and_never_become_fields(gate, up, path):
    up.play(answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n"
                       b"0\r\nX-Sum: 1\r\nx-sum : 2\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\n"))
    with gate.client(tls=False) as c:
        for _ in range(2):
            answer = c.get(path)
            assert answer.body == b"ok" and answer.trailers == [("X-Sum", "1"), ("x-sum", "2")]
            assert answer["X-Sum"] is None and answer["Set-Cookie"] is None
        c.send("GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" % path)
        answer = c.read_response()
        assert answer.body == b"ok" and answer["X-Sum"] is None
    assert up.connections == 1


# ---- kept connections

def counting(log, script):
    def wrapped(served):
        read = served.read_request

        def counted():
            request = read()
            if request:
                log.append(request.start)
            return request
        served.read_request = counted
        script(served)
    return wrapped


def test_kept_connections_are_used_again_the_last_one_first(gate, up, path):
    up.play(answering(OK))
    with gate.client(tls=False) as c:
        for _ in range(50):
            assert c.get(path).body == b"ok"
    assert up.connections == 1


def test_a_connection_that_will_close_is_not_used_again(gate, up, path):
    for answer in response(b"ok", Connection="close"), b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok":
        up.play(answering(answer))
        with gate.client(tls=False) as c:
            for _ in range(3):
                assert c.request("POST", path, b"x").body == b"ok"
        assert up.connections == 3


def test_http_1_0_keeps_alive_upstream_too(gate, up, path):
    up.play(answering(b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok"))
    with gate.client(tls=False) as c:
        for _ in range(3):
            assert c.get(path).body == b"ok"
    assert up.connections == 1


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_stale_connection_costs_a_get_nothing_and_repeats_no_post(gate, up, path, how):
    """It ends between two requests, as early or late as it happens."""
    def script(served):
        served.read_request()
        served.send(OK)
        (served.reset if how == "reset" else served.close)()

    requests = []
    up.play(counting(requests, script))
    with gate.client(tls=False) as c:
        for n in range(200):
            assert c.request(("GET", "HEAD")[n % 2], "%s?%d" % (path, n)).status == 200
            # one that was on its way when the connection ended is lost: nobody can know what became of it
            assert c.request(("POST", "PUT")[n % 2], "%s?%d" % (path, n), b"x").status in (200, 502)
    changing = [r for r in requests if r.startswith("P")]
    assert len(changing) == len(set(changing)) and len(set(requests)) == 200 + len(changing)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_kept_connection_that_fails_the_next_request(gate, up, path, how):
    """It takes the request, and ends without an answer: only what is safe is sent again, and only once."""
    def script(served):
        served.read_request()
        served.send(OK)
        served.read_request()
        (served.reset if how == "reset" else served.close)()

    for method, status, times in ("GET", 200, 2), ("HEAD", 200, 2), ("POST", 502, 1), ("DELETE", 502, 1):
        requests = []
        up.play(counting(requests, script))
        with gate.client(tls=False) as c:
            assert c.get(path).status == 200
            assert c.request(method, path + "?second", b"x" if method == "POST" else None).status == status
        assert len([r for r in requests if "second" in r]) == times


def test_an_upload_that_has_begun_is_never_sent_again(gate, up, path):
    def script(served):
        served.read_request()
        served.send(OK)
        served.read_head()
        served.read(10)
        served.reset()

    for method in "POST", "GET":
        requests = []
        up.play(counting(requests, script), answering(OK))
        with gate.client(tls=False) as c:
            assert c.get(path).status == 200
            c.send("%s %s HTTP/1.1\r\nHost: localhost\r\n" % (method, path))
            c.send("Content-Length: 20\r\n\r\n0123456789")
            assert c.read_response().status == 502
        assert up.connections == 1


# ---- early answers

@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_answer_before_the_body_is_delivered(gate, up, path, over_tls, chunked):
    """... although the upstream reads no more, and closes."""
    def script(served):
        served.read_head()
        served.send(response(b"too much", "403 Forbidden"))

    up.play(script)
    for _ in range(5):
        with gate.client(tls=over_tls) as c:
            body = bytes(4 << 20)
            c.send_request("POST", path, [body] if chunked else body)
            answer = c.read_response()
            assert (answer.status, answer.body) == (403, b"too much")
            if answer["Connection"] == "close":     # else it had taken the whole body by then
                c.expect_end()


def test_an_answer_while_the_body_is_on_its_way(gate, up, path):
    """Both directions move on their own."""
    def script(served):
        head = served.read_head()
        served.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10):
            n = len(served.read(int(head["Content-Length"]) // 10))
            served.send(b"5\r\n%05d\r\n" % n)
        served.send(b"0\r\n\r\n")

    up.play(script)
    with gate.client(tls=False) as c:
        c.send("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000\r\n\r\n" % path)
        assert c.read_head().status == 200
        for _ in range(10):
            c.send(bytes(1000))
            assert c.read_until(b"\r\n01000\r\n")
        assert c.read_until(b"0\r\n\r\n")


# ---- absent, and back

@pytest.fixture
def away():
    """A gateway whose upstream is not there (yet): (Gate, place of the socket)."""
    folder = Folder()
    place = folder / "app.sock"
    with Gate(plain("unix:" + place), tls("unix:" + place), timeouts={"ride-out": "100ms"}) as gate:
        yield gate, place
    folder.remove()


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
def test_an_absent_upstream_is_503_for_everything(away, over_tls):
    gate, place = away
    for stale in False, True:
        if stale:       # a file without a listener: its owner was killed
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(place)
        with gate.client(tls=over_tls) as c:
            for accept in "text/html", "application/json", "text/plain":
                page = c.get("/", Accept=accept)
                assert page.status == 503 and page["Content-Type"].startswith(accept)
                assert page["Cache-Control"] == "no-store" and int(page["Retry-After"]) > 0
                assert (b"/error.css" in page.body) == (accept == "text/html")
            assert c.get("/error.css").status == 200
            head = c.request("HEAD", "/", Accept="text/plain")
            assert head.status == 503 and head.body == b"" and int(head["Content-Length"]) > 0
            assert c.request("POST", "/", b"x").status == 503
            assert c.request("PUT", "/", [b"x", b"y"]).status == 503


@pytest.mark.parametrize("over_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_absent_upstream_is_503_for_a_large_upload(away, over_tls, chunked):
    size, piece = (16 << 20 if over_tls else 100 << 20), bytes(1 << 20)
    with away[0].client(tls=over_tls) as c:
        c.send("POST / HTTP/1.1\r\nHost: localhost\r\n")
        c.send("Transfer-Encoding: chunked\r\n\r\n" if chunked else "Content-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(piece)):
            c.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        c.send(b"0\r\n\r\n" if chunked else b"")
        assert c.read_response().status == 503


def test_the_first_request_after_its_return_is_served(away):
    gate, place = away
    with gate.client() as c:
        for _ in range(3):
            assert c.get("/").status == 503
            with Recorder() as up:
                os.rename(up.path, place)
                try:
                    for method in "POST", "GET", "HEAD":
                        assert c.request(method, "/", b"x" if method == "POST" else None).status == 200
                finally:
                    os.rename(place, up.path)
            assert c.get("/").status == 503


def test_nobody_listens_on_a_port(gate):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        with Gate(plain("http://127.0.0.1:%d/" % s.getsockname()[1])) as gate, gate.client(tls=False) as c:
            assert c.get("/").status == 503
            assert c.request("POST", "/", bytes(1 << 20)).status == 503
            s.listen()
            c2 = gate.client(tls=False)
            with c2:
                c2.send_request("GET", "/")
                served, _ = s.accept()
                with served:
                    assert served.recv(100).startswith(b"GET / ")
                    served.sendall(OK)
                    assert c2.read_response().body == b"ok"


def test_what_is_no_socket_or_not_ours(away):
    gate, place = away
    open(place, "w").close()
    os.chmod(place, 0)
    assert gate.get("/").status == 503
    os.unlink(place)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(place)
        os.chmod(place, 0o666)
        assert gate.get("/").status == 503
    os.unlink(place)
    os.mkdir(place)
    assert gate.get("/").status == 503
    os.rmdir(place)
