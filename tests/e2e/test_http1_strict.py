"""What HTTP/1 clients may send and what the upstream gets for it; and what is refused.

The cases stand in http1-passed.txt and http1-refused.txt. The upstream is a Recorder, which takes nothing but
strict HTTP/1.1. Whatever must never reach it whole has the word "forbidden" in it.
"""

import codecs
import fcntl
import os
import re
import struct
import termios
import time

import pytest

from gate import Folder, Gate, plain, tls
from peers import Client
from recorder import Recorder

CRLF = b"\r\n"
FORBIDDEN = b"GET /forbidden/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def up():
    with Recorder() as recorder:
        yield recorder
        assert not [r for r in recorder.all_requests() if b"forbidden" in r.head]
        assert not [u for u in recorder.unfinished if b"smuggled" in u]


@pytest.fixture(scope="module")
def folder():
    f = Folder()
    yield f
    f.remove()


@pytest.fixture(scope="module")
def gate(up, folder):
    mounts = [{"mountpoint": "/", "origin": up.origin},
              {"mountpoint": "/app", "origin": up.origin + ":/base"},
              {"mountpoint": "/deep/er", "origin": up.origin + ":/"}]
    other = [{"mountpoint": "/", "origin": up.origin + ":/other"}]
    with Gate(plain(mounts=mounts), plain(name="other.test", mounts=other), tls(up.origin),
              plain(mounts=mounts, interface=folder / "in.sock", unix_socket="1")) as g:
        yield g


@pytest.fixture
def client(gate):
    with gate.client(tls=False) as c:
        yield c


def head(*lines, start=b"GET /forbidden HTTP/1.1", host=b"Host: localhost"):
    """A head of these field lines."""
    return CRLF.join([start] + [host] * bool(host) + list(lines) + [b"", b""])


def chunked(body):
    return head(b"Transfer-Encoding: chunked", start=b"POST /forbidden HTTP/1.1") + body


def refused(client, up, request, status=400):
    """Sends that: the answer is a refusal, the last one, and the upstream never gets it whole."""
    up.begin()
    client.send(request + FORBIDDEN)
    answer = client.read_response()
    assert answer.status == status, answer
    assert answer["Connection"] == "close"
    client.expect_end()
    assert not up.requests
    return answer


# ---- the cases

def read_lines(name):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name)) as f:
        return [line.rstrip("\n") for line in f if not line.startswith("#")]


def unescape(line):
    return codecs.decode(line, "unicode_escape").encode("latin-1")


def read_refused():
    cases = {}
    for line in read_lines("http1-refused.txt"):
        if line.startswith("["):
            section = cases.setdefault(line.strip("[]"), {})
        elif line:
            section[line] = unescape(line)
    return cases


class Passed:
    """A case of http1-passed.txt."""

    def __init__(self, lines):
        lines = [unescape(line) for line in lines]
        at = lines.index(b"--")
        before = lines[:at] if b"" in lines[:at] else lines[:at] + [b""]
        empty = before.index(b"")
        self.request = CRLF.join(before[:empty]) + 2 * CRLF + CRLF.join(before[empty + 1:])
        if b"\r\ntransfer-encoding: " in self.request.lower():
            self.request += 2 * CRLF
        self.wanted, _, rest = CRLF.join(lines[at + 1:]).rstrip().partition(2 * CRLF)
        self.body, *trailers = rest.split(CRLF)
        self.trailers = [tuple(line.decode().split(": ")) for line in trailers]

    def check(self, got, peer=b"127.0.0.1", scheme=b"http"):
        host = re.search(rb"(?i)\r\nhost: (.*)\r", self.wanted)[1]
        saw = CRLF.join([b"x-forwarded-for: " + peer, b"x-forwarded-proto: " + scheme,
                         b"x-forwarded-host: " + host])
        assert got.head == self.wanted.replace(b"...", saw) + 2 * CRLF
        assert (got.body, got.trailers) == (self.body, self.trailers)


def read_passed():
    cases = {}
    for line in read_lines("http1-passed.txt"):
        if line.startswith("== "):
            lines = cases.setdefault(line[3:], [])
        elif cases:
            lines.append(line)
    return {name: Passed(lines) for name, lines in cases.items()}


REFUSED = read_refused()
PASSED = read_passed()


# ---- heads and bodies that could be read in two ways, or not at all

@pytest.mark.parametrize("line", REFUSED["start-line"])
def test_start_lines_refused(client, up, line):
    refused(client, up, head(start=REFUSED["start-line"][line]))


@pytest.mark.parametrize("line", REFUSED["field"])
def test_field_lines_refused(gate, up, line):
    line = REFUSED["field"][line]
    for lines in [line], [b"B: c", line], [line, b"B: c"]:
        with gate.client(tls=False) as c:
            refused(c, up, head(*lines))
    with gate.client(tls=False) as c:   # also as the first line, where there is nothing to fold to
        refused(c, up, head(line, host=None, start=b"GET /forbidden HTTP/1.0"))


@pytest.mark.parametrize("line", REFUSED["host"])
def test_hosts_refused(gate, up, line):
    line = REFUSED["host"][line]
    for start in b"GET /forbidden HTTP/1.1", b"GET http://localhost/forbidden HTTP/1.1":
        with gate.client(tls=False) as c:
            refused(c, up, head(host=line, start=start))
    if line.startswith(b"Host"):        # HTTP/1.0 needs none
        with gate.client(tls=False) as c:
            refused(c, up, head(host=line, start=b"GET /forbidden HTTP/1.0"))


@pytest.mark.parametrize("lines", REFUSED["framing"])
def test_framings_refused(gate, up, lines):
    lines = REFUSED["framing"][lines]
    for method in b"POST", b"GET":
        with gate.client(tls=False) as c:
            refused(c, up, head(lines, start=method + b" /forbidden HTTP/1.1") + b"5\r\nabcde\r\n0\r\n\r\n")


@pytest.mark.parametrize("lines", [[b"Transfer-Encoding: chunked"],
                                   [b"Transfer-Encoding: chunked", b"Content-Length: 15"]])
def test_http_1_0_knows_no_transfer_encoding(client, up, lines):
    refused(client, up, head(*lines, start=b"POST /forbidden HTTP/1.0") + b"5\r\nabcde\r\n0\r\n\r\n")


@pytest.mark.parametrize("body", REFUSED["chunks"])
def test_chunks_refused(gate, up, body):
    for before in b"", b"3\r\nabc\r\n":
        with gate.client(tls=False) as c:
            refused(c, up, chunked(before + REFUSED["chunks"][body]))


def test_control_characters_refused_everywhere(gate, up):
    """NUL and others at every place of a head; all of them within each of its parts."""
    sample = head(b"Name: value")
    for at in range(len(sample)):
        if sample[at - 1:at + 1] != CRLF:
            for c in b"\0", b"\x01\x0b\x1f\x7f"[at % 4:at % 4 + 1]:
                with gate.client(tls=False) as client:
                    refused(client, up, sample[:at] + c + sample[at:])
    for c in set(range(32)) - set(b"\t\r\n") | {127}:
        for part in b"GET", b"forbidden", b"localhost", b"Name", b"value":
            at = sample.index(part) + 2
            with gate.client(tls=False) as client:
                refused(client, up, sample[:at] + bytes([c]) + sample[at:])


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\n\r", b"\0\r\n", b"\x0b\r\n", b"\x0c",
                                 b"\xc2\x85", b"\xe2\x80\xa8"])
def test_only_crlf_ends_a_line(gate, up, end):
    """Each line end of a chunked request is replaced."""
    parts = (chunked(b"5\r\nabcde\r\n0\r\nX: y\r\n\r\n")).split(CRLF)
    for i in range(1, len(parts)):
        before, after = CRLF.join(parts[:i]), CRLF.join(parts[i:])
        if end == b"\r\n\r" and (not after or after.startswith(CRLF)):
            continue    # that CR is the next request's, or these bytes are another case's
        with gate.client(tls=False) as client:
            refused(client, up, before + end + after)


@pytest.mark.parametrize("path", ["/forbidden/%zz", "/forbidden/%", "/forbidden/%4", "/forbidden/%4/%41"])
def test_broken_percent_encodings_of_a_path_are_refused(client, path):
    assert client.get(path).status == 400
    assert client.get("/").body == b"ok"


def test_trace_is_not_reflected(gate, up):
    for lines in [b"X-Secret: s"], [b"X-Secret: s", b"Max-Forwards: 0"]:
        with gate.client(tls=False) as c:
            answer = refused(c, up, head(*lines, start=b"TRACE /forbidden HTTP/1.1"), 405)
            assert b"Secret" not in answer.body and "TRACE" not in answer["Allow"]


def test_an_unknown_expectation_is_refused(client, up):
    refused(client, up, head(b"Expect: 200-ok"), 417)


def test_https_is_not_asked_for_in_the_clear(client):
    client.send(head(start=b"GET https://localhost/forbidden HTTP/1.1"))
    assert client.read_response().status == 421


# ---- what is understood is written anew

@pytest.mark.parametrize("name", PASSED)
def test_passed(client, up, name):
    up.begin()
    client.send(PASSED[name].request)
    assert client.read_response().body == b"ok"
    got, = up.requests
    PASSED[name].check(got)


def test_over_tls_too(gate, up):
    for name in "plain", "a client's word about itself", "chunks":
        up.begin()
        with gate.client() as c:
            c.send(PASSED[name].request)
            assert c.read_response().body == b"ok"
        got, = up.requests
        PASSED[name].check(got, scheme=b"https")
    for request in head(b"A : b"), head(b"Transfer-Encoding: gzip"), chunked(b"0x1\r\na\r\n"):
        with gate.client() as c:
            refused(c, up, request)


# ---- it makes no difference in what pieces it comes

def in_pieces(request):
    """Every way to cut it in two, and its bytes one by one."""
    for at in range(1, len(request)):
        yield [request[:at], request[at:]]
    yield [bytes([byte]) for byte in request]


def connect(folder):
    client = Client.unix(folder / "in.sock")
    client.send(CRLF)   # decides for HTTP/1, where "P" alone would wait for the preface of HTTP/2
    return client


def send_apart(client, pieces):
    """Each goes once Gatehouse has read the one before: of a Unix socket the kernel tells when."""
    deadline = time.monotonic() + 20
    for piece in pieces:
        client.send(piece)
        while struct.unpack("i", fcntl.ioctl(client.sock, termios.TIOCOUTQ, bytes(4))) != (0,):
            assert time.monotonic() < deadline, "it is not read"
            os.sched_yield()


@pytest.mark.parametrize("request_", [
    head(b"A : b"), head(b"X: y\r\n folded"), head(b"X: y\nZ: a"), head(host=b"Host: a,b"),
    head(b"Content-Length: 6", b"Transfer-Encoding: chunked"), head(b"Transfer-Encoding: chunked\x0b"),
    head(b"Content-Length: 5", b"Content-Length: 6"), chunked(b"1;a\nb\r\na\r\n"), chunked(b"1\r\naX\r\n"),
], ids=range(9))
def test_refused_in_whatever_pieces(folder, gate, up, request_):
    up.begin()
    for pieces in in_pieces(request_):
        with connect(folder) as c:
            try:
                send_apart(c, pieces + [FORBIDDEN])
            except BrokenPipeError:
                pass    # it did not take all of it
            answer = c.read_response()
            assert (answer.status, answer["Connection"]) == (400, "close"), pieces
            c.expect_end()
    assert not up.requests


@pytest.mark.parametrize("name", ["trailers stay trailers", "chunks", "length", "hop-by-hop",
                                  "absolute-form", "empty lines before it"])
def test_passed_in_whatever_pieces(folder, gate, up, name):
    with connect(folder) as c:
        for pieces in in_pieces(PASSED[name].request):
            up.begin()
            send_apart(c, pieces)
            assert c.read_response().body == b"ok"
            got, = up.requests
            PASSED[name].check(got, peer=b"unix")
