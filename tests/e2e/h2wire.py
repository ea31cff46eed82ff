"""An HTTP/2 client that sends whatever frames a test wants, and reads strictly what comes back.

    with H2.plain(gate) as c:
        c.request(1, path="/json")
        assert c.response(1).status == 200

It keeps no rules for what it sends. What it receives must be what RFC 9113 allows a server: known frames of
legal sizes, SETTINGS first, no DATA beyond the windows it gave, heads that decode.
"""

import collections
import socket
import struct

import hpack
import hyperframe.frame     # noqa: F401 (comes with hpack; a missing package is told here)

from gate import TIMEOUT, authority

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = \
    range(10)
PRIORITY_UPDATE = 0x10
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_FLAG = 1, 1, 4, 8, 32

(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED,
 FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM,
 INADEQUATE_SECURITY, HTTP_1_1_REQUIRED) = range(14)

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, \
    MAX_HEADER_LIST_SIZE = range(1, 7)
ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES = 8, 9

CONNECTION_SPECIFIC = "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"

Frame = collections.namedtuple("Frame", "type flags stream payload")


class Closed(Exception):
    """The server has closed the connection."""


class Reset(Exception):
    """The server has reset the stream that was waited for."""

    def __init__(self, code):
        super().__init__("RST_STREAM, code %d" % code)
        self.code = code


def number(value, bits, pattern=0):
    """RFC 7541 section 5.1."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([pattern | value])
    out, value = [pattern | limit], value - limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + [value])


def text(s):
    s = s.encode("latin-1") if isinstance(s, str) else s
    return number(len(s), 7) + s


def literal(name, value, pattern=0x00, bits=4):
    """A field line spelled out, without indexing: any bytes at all."""
    return number(0, bits, pattern) + text(name) + text(value)


def indexed(name, value):
    """The same, to be kept in the dynamic table."""
    return literal(name, value, 0x40, 6)


def block(fields):
    return b"".join(literal(name, value) for name, value in fields)


def fields_of(method="GET", path="/", scheme="http", host="localhost", more=()):
    """A request; a pseudo-field that is None is left out."""
    pseudo = [(":method", method), (":scheme", scheme), (":authority", host), (":path", path)]
    return [(name, value) for name, value in pseudo if value is not None] + list(more)


class Response:
    def __init__(self):
        self.headers, self.trailers, self.interim, self.body = None, None, [], b""
        self.frames = []    # sizes of its DATA frames

    @property
    def status(self):
        return int(self.headers[0][1])

    def __getitem__(self, wanted):
        values = [value for name, value in self.headers if name == wanted]
        assert len(values) < 2, "%s is there %d times" % (wanted, len(values))
        return values[0] if values else None

    def all(self, wanted):
        return [value for name, value in self.headers if name == wanted]


class H2:
    def __init__(self, sock, settings=(), acknowledge=True, preface=True):
        self.sock, self.buffer, self.frames_sent = sock, b"", 0
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.settings = {}              # the server's
        self.acknowledged = 0           # how many of our SETTINGS
        self.window, self.windows, self.initial_window = 65535, {}, 65535
        self.kept = []                  # frames that were read past, waiting for somebody to ask for them
        self.first = True
        self.head_bytes = 0             # of the last field block
        self.alpn = getattr(sock, "selected_alpn_protocol", lambda: "h2")()
        if not preface:
            return
        self.send(PREFACE)
        self.send_settings(settings)
        if acknowledge:
            self.until(SETTINGS)
            self.frame(SETTINGS, ACK)

    @classmethod
    def plain(cls, gate, timeout=TIMEOUT, rcvbuf=None, **keys):
        sock = socket.socket()
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        sock.settimeout(timeout)
        sock.connect(("127.0.0.1", gate.plain_port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(sock, **keys)

    @classmethod
    def tls(cls, gate, timeout=TIMEOUT, name="localhost", context=None, **keys):
        sock = socket.create_connection(("127.0.0.1", gate.tls_port), timeout=timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = context or authority().client_context(("h2",))
        return cls(context.wrap_socket(sock, server_hostname=name), **keys)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    # ---- sending ----

    def send(self, data):
        self.sock.sendall(data)

    @staticmethod
    def pack(kind, flags=0, stream=0, payload=b"", length=None):
        n = len(payload) if length is None else length
        return struct.pack(">BHBBI", n >> 16, n & 0xffff, kind, flags, stream) + payload

    def frame(self, kind, flags=0, stream=0, payload=b"", length=None):
        self.send(self.pack(kind, flags, stream, payload, length))

    def send_settings(self, settings=()):
        settings = list(settings.items() if isinstance(settings, dict) else settings)
        for key, value in settings:
            if key == INITIAL_WINDOW_SIZE:
                change = value - self.initial_window
                self.initial_window = value
                # the smaller one holds when the server has acknowledged it: until then be lenient
                for stream in self.windows:
                    self.windows[stream] += max(change, 0)
            if key == HEADER_TABLE_SIZE:
                self.decoder.max_allowed_table_size = max(value, 4096)
        self.frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in settings))

    def headers(self, stream, fields, end=True, flags=END_HEADERS, raw=True):
        payload = block(fields) if raw else self.encoder.encode(fields)
        self.frame(HEADERS, flags | (END_STREAM if end else 0), stream, payload)

    def request(self, stream, method="GET", path="/json", end=True, more=(), **keys):
        self.headers(stream, fields_of(method, path, more=more, **keys), end)

    def data(self, stream, payload=b"", end=False):
        self.frame(DATA, END_STREAM if end else 0, stream, payload)

    def reset(self, stream, code=CANCEL):
        self.frame(RST_STREAM, 0, stream, struct.pack(">I", code))

    def window_update(self, stream, n):
        if stream:
            self.windows[stream] = self.windows.get(stream, self.initial_window) + n
        else:
            self.window += n
        self.frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", n))

    def ping(self, payload=b"12345678"):
        self.frame(PING, 0, 0, payload)

    # ---- receiving ----

    def more(self):
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed
        self.buffer += data

    def read(self, n):
        while len(self.buffer) < n:
            self.more()
        taken, self.buffer = self.buffer[:n], self.buffer[n:]
        return taken

    def read_frame(self):
        """The next frame, a field block whole; its payload then is the list of fields."""
        high, low, kind, flags, stream = struct.unpack(">BHBBI", self.read(9))
        frame = Frame(kind, flags, stream, self.read(high << 16 | low))
        self.check(frame)
        if kind == HEADERS:
            payload = frame.payload
            while not frame.flags & END_HEADERS:
                high, low, kind, flags, other = struct.unpack(">BHBBI", self.read(9))
                assert kind == CONTINUATION and other == stream, "a block is broken off"
                frame = frame._replace(flags=frame.flags | flags & END_HEADERS)
                payload += self.read(high << 16 | low)
            self.head_bytes = len(payload)
            frame = frame._replace(payload=self.decoder.decode(payload, raw=False))
            self.check_head(frame.payload)
        if kind == SETTINGS:
            self.note_settings(frame)
        return frame

    def check(self, frame):
        kind, n = frame.type, len(frame.payload)
        assert not self.first or kind == SETTINGS, "its first frame is of type %d" % kind
        self.first = False
        assert n <= 16384, "a frame of %d bytes" % n
        assert kind in (DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE), "type %d" % kind
        assert (frame.stream != 0) == (kind in (DATA, HEADERS, RST_STREAM)) or kind == WINDOW_UPDATE
        if kind == DATA:
            self.window -= n
            self.windows[frame.stream] = self.windows.get(frame.stream, self.initial_window) - n
            assert self.window >= 0 and self.windows[frame.stream] >= 0, "DATA beyond a window"

    @staticmethod
    def check_head(fields):
        for i, (name, value) in enumerate(fields):
            assert name == name.lower() and value == value.strip()
            assert (name == ":status") == (i == 0) or not name.startswith(":")
            assert name not in CONNECTION_SPECIFIC

    def note_settings(self, frame):
        if frame.flags & ACK:
            self.acknowledged += 1
        for at in range(0, len(frame.payload), 6):
            key, value = struct.unpack(">HI", frame.payload[at:at + 6])
            self.settings[key] = value

    def until(self, *kinds, stream=None):
        """The next frame of these kinds, of that stream; others wait for whoever asks for them."""
        def fits(frame):
            return frame.type in kinds and (stream is None or frame.stream == stream)

        for i, frame in enumerate(self.kept):
            if fits(frame):
                return self.kept.pop(i)
        while True:
            frame = self.read_frame()
            if fits(frame):
                return frame
            self.kept.append(frame)

    def response(self, stream, credit=True):
        """The whole answer on this stream; raises Reset."""
        answer = Response()
        while True:
            frame = self.until(HEADERS, DATA, RST_STREAM, stream=stream)
            if frame.type == RST_STREAM:
                raise Reset(struct.unpack(">I", frame.payload)[0])
            if frame.type == DATA:
                answer.body += frame.payload
                answer.frames.append(len(frame.payload))
                if credit and frame.payload and not frame.flags & END_STREAM:
                    self.window_update(0, len(frame.payload))
                    self.window_update(stream, len(frame.payload))
            elif answer.headers is not None:
                answer.trailers = frame.payload
            elif frame.payload[0][1].startswith("1"):
                answer.interim.append(frame.payload)
            else:
                answer.headers = frame.payload
            if frame.flags & END_STREAM:
                return answer

    def get(self, stream, path="/json", **keys):
        self.request(stream, path=path, **keys)
        return self.response(stream)

    # ---- expecting ----

    def expect_reset(self, stream, *codes):
        frame = self.until(RST_STREAM, GOAWAY)
        assert frame.type == RST_STREAM, "GOAWAY: %r" % frame.payload[4:]
        assert frame.stream == stream
        code, = struct.unpack(">I", frame.payload)
        assert code in codes, "RST_STREAM, code %d" % code

    def expect_goaway(self, *codes, last=None):
        """GOAWAY with one of these codes, and then the end."""
        frame = self.until(GOAWAY, RST_STREAM)
        assert frame.type == GOAWAY, "RST_STREAM on %d, %r" % (frame.stream, frame.payload)
        last_id, code = struct.unpack(">II", frame.payload[:8])
        assert code in codes, "GOAWAY, code %d: %r" % (code, frame.payload[8:])
        assert last is None or last_id == last, "GOAWAY, last stream %d" % last_id
        self.expect_end()

    def expect_end(self):
        try:
            while True:
                self.read_frame()
        except Closed:
            pass

    def expect_alive(self):
        """The connection goes on: a PING is answered, and nothing came before that somebody should see."""
        self.ping(b"are you?")
        frame = self.until(PING, GOAWAY, RST_STREAM)
        assert frame.type == PING and frame.flags & ACK and frame.payload == b"are you?", frame
