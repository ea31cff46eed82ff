"""An upstream that takes nothing but strict HTTP/1.1, and keeps what it got."""

import re

from peers import Message, ScriptedUpstream, Served, response

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
VALUE = rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?"
FIELDS = rb"(?:%s: %s\r\n)*\r\n" % (TOKEN, VALUE)
HEAD = re.compile(rb"%s (?:/[!-~]*|\*) HTTP/1\.1\r\n%s" % (TOKEN, FIELDS))
CHUNK_LINE = re.compile(rb"[0-9a-fA-F]{1,16}\r\n")
AT_MOST_ONCE = "host", "connection", "upgrade", "content-length", "transfer-encoding"
NEVER = "keep-alive", "proxy-connection", "te"


class Recording(Served):
    """Remembers what was read, and takes the end of the connection for an exception."""

    taken = b""

    def take(self, n):
        got = super().take(n)
        self.taken += got
        return got

    def more(self):
        if not super().more():
            raise ConnectionError("the end")
        return True

    def read_section(self, shape):
        """Bytes up to an empty line, which look like that."""
        start = len(self.taken)
        while not self.taken[start:].endswith(b"\r\n\r\n") and self.taken[start:] != b"\r\n":
            self.read_until(b"\r\n")
        section = self.taken[start:]
        assert re.fullmatch(shape, section), "not strict: %r" % section
        return section


def fields_of(section):
    return [tuple(line.split(": ", 1)) for line in section.decode("latin-1").split("\r\n") if line]


def read_chunks(wire):
    body = b""
    while True:
        line = wire.read_until(b"\r\n")
        assert CHUNK_LINE.fullmatch(line), "not a strict chunk: %r" % line
        size = int(line, 16)
        if not size:
            return body, fields_of(wire.read_section(FIELDS))
        body += wire.read(size)
        assert wire.read(2) == b"\r\n", "a chunk does not end where it should"


def read_strictly(wire):
    """One request. Everything that RFC 9112 lets a sender choose has been chosen."""
    head = wire.read_section(HEAD)
    start, _, rest = head.partition(b"\r\n")
    fields = fields_of(rest)
    names = [name.lower() for name, _ in fields]
    assert "host" in names, "no Host: %r" % head
    assert all(names.count(name) <= 1 for name in AT_MOST_ONCE), head
    assert not any(name in names for name in NEVER), head
    request = Message(start.decode(), fields)
    request.head = head
    length = request["Content-Length"]
    if request["Transfer-Encoding"] is not None:
        assert request["Transfer-Encoding"] == "chunked" and length is None, head
        request.body, request.trailers = read_chunks(wire)
    elif length is not None:
        assert str(int(length)) == length, head
        request.body = wire.read(int(length))
    if request["Upgrade"] is not None:
        assert (request["Upgrade"], request["Connection"]) == ("websocket", "upgrade"), head
    else:
        assert request["Connection"] is None, head
    return request


class Recorder(ScriptedUpstream):
    """Answers "ok" to everything.

    .requests: Messages whose .head is what came, to the byte. .unfinished: the bytes of what broke off.
    """

    def __init__(self, answer=response(b"ok"), **options):
        super().__init__(self.record, **options)
        self.answer, self.requests, self.unfinished, self.past = answer, [], [], []

    def record(self, served):
        wire = Recording(served.sock)
        try:
            while True:
                wire.taken = b""
                request = read_strictly(wire)
                self.requests.append(request)
                wire.send(self.answer)
        except ConnectionError:
            if wire.taken or wire.buffer:
                self.unfinished.append(wire.taken + wire.buffer)

    def begin(self):
        """From here on .requests is empty."""
        self.past.append(self.requests)     # where one that comes late is still found
        self.requests = []

    def all_requests(self):
        return sum(self.past, []) + self.requests
