"""Every wait ends, and its log line names the key; what moves is never cut; who leaves frees what it held."""

import contextlib
import queue
import socket
import ssl
import time

import pytest

from gate import Demo, Gate, plain, tls, wait_until
from h2wire import INITIAL_WINDOW_SIZE, H2
from peers import Client, answering_once, response
from recorder import Recorder

OK = response(b"ok")
OK_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SHORT = 0.4             # every time-out here
PACE = 0.1              # of what moves slowly
LONG = 3 * SHORT        # how long it does
SOON = SHORT + 1.5      # by when a time-out of SHORT must have struck, on a busy machine too
A_SECOND = 1.5          # likewise
TIMEOUTS = {key: "%dms" % (SHORT * 1000) for key in (
    "handshake", "request-head", "request-body", "write", "keepalive", "linger", "upstream-connect",
    "upstream-response", "upstream-idle", "upstream-keepalive", "tunnel-idle")}


@pytest.fixture(scope="module")
def up():
    with Recorder() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def gate(up):
    with Gate(plain(up.origin), tls(up.origin), timeouts=TIMEOUTS, args=["-v"]) as g:
        yield g


@pytest.fixture(autouse=True)
def begin(up):
    up.play(up.record)


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def over_tls(request):
    return request.param


@pytest.fixture
def clients(gate):
    """Of both listeners, three each: a test sets off all its cases, and then waits once."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(gate.client(tls=over_tls)) for over_tls in (False, True) * 3]


class Watch:
    def __init__(self):
        self.began = time.monotonic()

    def passed(self):
        return time.monotonic() - self.began

    def check(self):
        """A time-out of SHORT has struck since, neither early nor late."""
        assert SHORT - 0.05 <= self.passed() <= SOON, self.passed()


def is_silent(wire, seconds=PACE):
    """Whether nothing comes for so long: what gives a slow peer its pace."""
    timeout = wire.sock.gettimeout()
    wire.sock.settimeout(seconds)
    try:
        wire.more()
        return False
    except TimeoutError:
        return True
    finally:
        wire.sock.settimeout(timeout)


def ended(wire):
    """Reads to the peer's end, however it ends."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        wire.read_end()


# ---- the client's side

@pytest.mark.parametrize("hello", [b"", b"\x16", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"],
                         ids=["silence", "a byte", "half a hello"])
def test_handshake(gate, hello):
    watch = Watch()
    with Client.tcp(gate.tls_port) as c:
        for byte in hello:
            c.send(bytes([byte]))
            assert is_silent(c, 0.02)       # dripping does not extend it
        ended(c)
    watch.check()
    gate.wait_log("timeouts.handshake")


def test_request_head(gate, clients):
    for c in clients[:2]:
        assert c.get("/").body == b"ok"     # the next one's is told likewise
    watch = Watch()
    for c in clients:
        c.send("GET / HT")
    while all(is_silent(c, 0.01) for c in clients) and watch.passed() < SOON:
        for c in clients:
            c.send("X")
    for c in clients:
        assert c.read_response().status == 408
        c.expect_end()
    watch.check()
    gate.wait_log("408 .*timeouts.request-head")


def test_keepalive(clients):
    for c in clients[:2]:
        assert c.get("/").body == b"ok"
    for c in clients[2:4]:
        c.send("\r\n")
    watch = Watch()
    for c in clients:
        c.expect_end()
        watch.check()


def test_request_body(gate, clients):
    watch = Watch()
    for c in clients:
        c.send("POST / HTTP/1.1\r\nHost: localhost\r\n")
    for c in clients[:2]:
        c.send("Content-Length: 10\r\n\r\nabc")
    for c in clients[2:4]:
        c.send("Transfer-Encoding: chunked\r\n\r\n5\r\nabc")
    for c in clients[4:]:
        c.send("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n")
    for c in clients:
        assert c.read_response().status == 408
        c.expect_end()
    watch.check()
    gate.wait_log("408 .*timeouts.request-body")


def test_a_slow_upload_that_moves_is_not_cut(clients):
    """Neither by the client's time-outs nor by those of the upstream, which has nothing to answer yet."""
    for c in clients:
        c.send("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    watch = Watch()
    while watch.passed() < LONG:
        assert is_silent(clients[0])
        for c in clients:
            c.send("1\r\nx\r\n")
    for c in clients:
        c.send("0\r\n\r\n")
        assert c.read_response().body == b"ok"


def endless(gone):
    """A script: an answer without an end, as fast as it is taken. Then `gone` gets the time."""
    def script(served):
        served.read_request()
        served.send(OK_CHUNKED)
        with contextlib.suppress(ConnectionError):
            while True:
                served.send(b"10000\r\n" + bytes(65536) + b"\r\n")
        gone.put(time.monotonic())
    return script


def test_write(gate, up, over_tls):
    gone = queue.Queue()
    up.play(endless(gone))
    with gate.client(tls=over_tls) as c:
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        if over_tls:
            c.sock.suppress_ragged_eofs = False
        c.send_request("GET", "/")
        gone.get(timeout=20)
        gate.wait_log("timeouts.write")
        with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
            while c.sock.recv(65536):
                pass


def test_a_slow_reader_that_moves_is_not_cut(up, clients):
    """However full the socket is meanwhile."""
    up.play(answering_once(response(bytes(8 << 20))))
    for c in clients[:2]:
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        c.send_request("GET", "/")
        c.read_until(b"\r\n\r\n")
    watch, taken = Watch(), 0
    while watch.passed() < LONG:
        taken += min(len(c.read(4096)) for c in clients[:2])
        wait_until(lambda: watch.passed() > taken / 200000, "the next time to read")


def test_a_slow_reader_of_http_2_that_moves_is_not_cut(gate, up):
    """... by the connection's own wait: its windows are wide open."""
    up.play(answering_once(response(bytes(8 << 20))))
    with H2.plain(gate, rcvbuf=16384, settings={INITIAL_WINDOW_SIZE: 1 << 24}) as c:
        c.window_update(0, 1 << 24)
        c.request(1, path="/")
        watch, taken = Watch(), 0
        while taken < 8 << 20:
            slowly = watch.passed() < LONG
            data = c.sock.recv(4096 if slowly else 1 << 20)
            assert data, "it is cut"
            taken += len(data)
            if slowly:
                wait_until(lambda: watch.passed() > taken / 200000, "the next time to read")
            else:
                c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)


def test_linger(up, clients):
    """Behind an early answer what still comes is discarded, but not for ever."""
    def script(served):
        served.read_head()
        served.send(response(b"no", "403 Forbidden"))

    up.play(script)
    for i, c in enumerate(clients):
        framing = "Transfer-Encoding: chunked" if i < 2 else "Content-Length: 1000000"
        c.send("POST / HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n" % framing)
        assert c.read_response().status == 403
    watch, sent, going = Watch(), 0, list(clients)
    while going and watch.passed() < SOON:
        for c in list(going):
            try:
                c.send("1\r\nx\r\n")
            except (ConnectionError, ssl.SSLError):
                going.remove(c)
        sent += 1
        wait_until(lambda: watch.passed() > sent * 0.02, "the next time to send")
    watch.check()


def test_tunnel_idle():
    short = {"tunnel-idle": TIMEOUTS["tunnel-idle"]}
    with Demo() as demo, Gate(plain(demo.origin), tls(demo.origin), timeouts=short, args=["-v"]) as g:
        with g.client(tls=False) as one, g.client() as other:
            sockets = [one.websocket(), other.websocket()]
            watch = Watch()
            while watch.passed() < LONG:
                assert is_silent(one)
                for ws in sockets:
                    ws.echo(b"still here")
            watch = Watch()
            ended(one)
            ended(other)
            watch.check()
        g.wait_log("timeouts.tunnel-idle")
        wait_until(lambda: demo.stats()["sockets_open"] == 0, "the application's end to be freed")


# ---- the upstream's side

def test_upstream_connect(up):
    """A listener with a full backlog: its kernel drops the SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(3):
            s = stack.enter_context(socket.socket())
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port))
        with Gate(plain("http://127.0.0.1:%d/" % port), timeouts=TIMEOUTS) as g:
            watch = Watch()
            assert g.get("/", tls=False).status == 504
            watch.check()
            g.wait_log("504 .*timeouts.upstream-connect")


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 O", b"HTTP/1.1 103 Early Hints\r\n\r\n"],
                         ids=["silence", "half a head", "1xx"])
def test_upstream_response(gate, up, begin):
    """... to any method; also when the head drips, and when the upstream does not even read."""
    def script(served):
        served.read_head()
        served.send(begin)
        with contextlib.suppress(ConnectionError):
            for byte in b"K\r\nServer: x" * 100 if begin.endswith(b"O") else b"":
                served.send(bytes([byte]))
                is_silent(served, 0.05)
            served.read_end()
        gone.put(None)

    gone = queue.Queue()
    up.play(script)
    with contextlib.ExitStack() as stack:
        clients = [(method, stack.enter_context(gate.client(tls=over_tls)))
                   for method in ("GET", "HEAD", "POST", "PATCH") for over_tls in (False, True)]
        watch = Watch()
        for method, c in clients:
            c.send_request(method, "/", {"POST": b"xx", "PATCH": bytes(4 << 20)}.get(method, None))
        for method, c in clients:
            assert c.read_response(method).status == 504
        watch.check()
        for _ in clients:
            gone.get(timeout=20)
    gate.wait_log("504 .*timeouts.upstream-response")


def test_a_slow_answer_that_moves_is_not_cut(up, clients):
    def script(served):
        served.read_request()
        served.send("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")
        for _ in range(12):
            assert is_silent(served)
            served.send("x")

    up.play(script)
    for c in clients:
        c.send_request("GET", "/")
    for c in clients:
        assert c.read_response().body == b"x" * 12


def test_upstream_idle(gate, up, clients):
    """An answer that stops is cut, and does not seem whole."""
    answers = ["Content-Length: 10\r\n\r\npartial", "Transfer-Encoding: chunked\r\n\r\n7\r\npartial",
               "A: until the end\r\n\r\npartial"]

    def script(served):
        served.read_request()
        served.send("HTTP/1.1 200 OK\r\n" + answer)
        with contextlib.suppress(ConnectionError):
            served.read_end()
        gone.put(None)

    gone = queue.Queue()
    up.play(script)
    for i, c in enumerate(clients):
        answer = answers[i // 2]
        c.send_request("GET", "/")
        c.read_until(b"partial")
    watch = Watch()
    for c in clients:
        assert b"0\r\n\r\n" not in c.read_end()
        gone.get(timeout=20)
    watch.check()
    gate.wait_log("timeouts.upstream-idle")


def test_upstream_keepalive(up, clients):
    def script(served):
        served.read_request()
        served.send(OK)
        watch = Watch()
        served.read_end()
        watch.check()
        gone.put(None)

    gone = queue.Queue()
    up.play(script)
    assert clients[0].get("/").body == b"ok"
    gone.get(timeout=20)


# ---- who leaves frees what it held

def waiting(asked, gone):
    """A script: takes a head, answers as its path says, and waits for the end; then `gone` gets that path."""
    def script(served):
        path = served.read_head().start.split()[1]
        served.send(PHASES[path][2])
        asked.put(path)
        with contextlib.suppress(ConnectionError):
            served.read_end()
        gone.put((path, time.monotonic()))
    return script


def leave(client, how):
    if how == "reset":
        client.reset()
        return
    if how == "notify":
        client.sock.setblocking(False)
        with contextlib.suppress(ssl.SSLError):
            client.sock.unwrap()
    client.close()


PHASES = {
    "/before-the-answer": ("GET", "", b""),
    "/with-a-body": ("POST", "Content-Length: 2\r\n\r\nab", b""),
    "/within-an-upload": ("POST", "Content-Length: 20\r\n\r\nab", b""),
    "/within-chunks": ("POST", "Transfer-Encoding: chunked\r\n\r\n5\r\nab", b""),
    "/within-the-answer": ("GET", "", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"),
    "/within-chunks-of-the-answer": ("GET", "", OK_CHUNKED + b"5\r\nab"),
    "/within-both": ("POST", "Content-Length: 20\r\n\r\nab", OK_CHUNKED + b"5\r\nab"),
}


@pytest.fixture(scope="module")
def patient(up):
    """A gateway with the time-outs that it has by default: they are not what frees anything here."""
    with Gate(plain(up.origin), tls(up.origin)) as g:
        yield g


@pytest.mark.parametrize("how", ["close", "reset", "notify"])
def test_clients_that_go_free_their_upstreams(patient, up, over_tls, how):
    asked, gone = queue.Queue(), queue.Queue()
    up.play(waiting(asked, gone))
    clients = []
    for path, (method, lines, answer) in PHASES.items():
        c = patient.client(tls=over_tls)
        c.send("%s %s HTTP/1.1\r\nHost: localhost\r\n%s" % (method, path, lines or "\r\n"))
        assert asked.get(timeout=20) == path
        if answer:
            c.read_until(b"ab")
        clients.append(c)
    left = time.monotonic()
    for c in clients:
        leave(c, how if over_tls or how != "notify" else "close")
    ends = [gone.get(timeout=20) for _ in clients]
    assert all(when - left < A_SECOND for _, when in ends), [(path, when - left) for path, when in ends]


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_reader_that_stopped_and_goes_frees_its_upstream(patient, up, over_tls, how):
    gone = queue.Queue()
    up.play(endless(gone))
    c = patient.client(tls=over_tls)
    c.send_request("GET", "/")
    c.read_until(b"\0" * 1000)
    wait_until(lambda: is_silent(up_socket(up), 0.1), "the upstream to be stopped")
    left = time.monotonic()
    leave(c, how)
    assert gone.get(timeout=20) - left < A_SECOND


def up_socket(up):
    sock, = up.live
    return Client(sock)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_closed_tunnel_frees_its_upstream(over_tls, how):
    with Demo() as demo, Gate(plain(demo.origin), tls(demo.origin)) as gate:
        c = gate.client(tls=over_tls)
        c.websocket().echo(b"hello")
        assert demo.stats()["sockets_open"] == 1
        left = time.monotonic()
        leave(c, how)
        wait_until(lambda: demo.stats()["sockets_open"] == 0, "the tunnel to end")
        assert time.monotonic() - left < A_SECOND


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
@pytest.mark.parametrize("request_", [
    "Content-Length: 5\r\n\r\nabcd", "Content-Length: 5\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n5\r\nabcd", "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n",
    "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n",
    "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\nA: b\r\n"], ids=range(7))
def test_a_broken_off_upload_is_never_completed(patient, up, over_tls, how, request_):
    before = len(up.unfinished)
    up.begin()
    c = patient.client(tls=over_tls)
    c.send("POST / HTTP/1.1\r\nHost: localhost\r\n" + request_)
    wait_until(lambda: up.live, "it to arrive upstream")
    if how == "half-close":
        c.send_end()
        ended(c)
        c.close()
    else:
        leave(c, how)
    wait_until(lambda: len(up.unfinished) > before, "it to break off upstream")
    assert not up.requests
