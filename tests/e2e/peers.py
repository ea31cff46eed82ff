"""What Gatehouse talks to in tests: a client that sends what it is told, an upstream that follows a script.

Neither knows better than the test: bytes go out as they are given, and what comes back is read strictly.
"""

import base64
import contextlib
import hashlib
import json
import os
import select
import socket
import ssl
import struct
import tempfile
import threading
import time

TIMEOUT = 20


class Wire:
    """A connected socket with a buffer. Reading past the peer's end is an error, waiting too long as well."""

    def __init__(self, sock):
        self.sock, self.buffer = sock, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Ends the connection with a reset (on a Unix socket: as if the process had died)."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def send_reading(self, data):
        """Sends, and reads what comes while it takes no more."""
        timeout = self.sock.gettimeout()
        self.sock.setblocking(False)
        while data:
            select.select([self.sock], [self.sock], [], timeout)
            with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                data = data[self.sock.send(data[:65536]):]
            with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                assert self.more(), "the end came while it was sent"
        self.sock.settimeout(timeout)

    def send_end(self):
        """Half-close: nothing more will be sent."""
        self.sock.shutdown(socket.SHUT_WR)

    def more(self):
        """Reads once; False at the end."""
        data = self.sock.recv(65536)
        self.buffer += data
        return bool(data)

    def take(self, n):
        taken, self.buffer = self.buffer[:n], self.buffer[n:]
        return taken

    def read(self, n):
        pieces = []
        while len(self.buffer) < n:
            pieces.append(self.take(len(self.buffer)))      # a buffer of all of it would be copied each time
            n -= len(pieces[-1])
            assert self.more(), "the end came %d bytes early" % n
        return b"".join(pieces) + self.take(n)

    def read_until(self, mark):
        while mark not in self.buffer:
            assert self.more(), "the end came before %r; there was %r" % (mark, self.buffer[-200:])
        return self.take(self.buffer.index(mark) + len(mark))

    def read_end(self):
        """Everything up to the peer's end."""
        while self.more():
            pass
        return self.take(len(self.buffer))

    def expect_end(self):
        """Nothing more comes, and the connection ends."""
        rest = self.read_end()
        assert rest == b"", "there was more: %r" % rest[:200]

    def read_fields(self):
        """A field section: a list of (name, value), names as they were sent."""
        fields = []
        while True:
            line = self.read_until(b"\r\n")[:-2]
            if not line:
                return fields
            name, colon, value = line.partition(b":")
            assert colon, "not a field: %r" % line
            fields.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))

    def read_chunked(self):
        """(body, trailers)"""
        body = b""
        while True:
            size = int(self.read_until(b"\r\n").split(b";")[0], 16)
            if not size:
                return body, self.read_fields()
            body += self.read(size)
            assert self.read(2) == b"\r\n", "a chunk does not end where it should"

    def read_body(self, fields, otherwise=b""):
        """(body, trailers) as the fields say."""
        values = {name.lower(): value for name, value in fields}
        if values.get("transfer-encoding") == "chunked":
            assert "content-length" not in values, "two framings at once"
            return self.read_chunked()
        if "content-length" in values:
            return self.read(int(values["content-length"])), []
        return otherwise() if callable(otherwise) else otherwise, []


class Message:
    """A response or request: .headers is a list of pairs, message["name"] the only such value or None."""

    def __init__(self, start, headers, body=b"", trailers=(), interim=()):
        self.start, self.headers, self.body = start, headers, body
        self.trailers, self.interim = list(trailers), list(interim)

    @property
    def status(self):
        return int(self.start.split(" ")[1])

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def __getitem__(self, name):
        values = self.all(name)
        assert len(values) < 2, "%s is there %d times" % (name, len(values))
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "<%s %r %r>" % (self.start, self.headers, self.body[:80])


class Client(Wire):
    """An HTTP/1.1 client."""

    @classmethod
    def tcp(cls, port, context=None, name="localhost", timeout=TIMEOUT):
        sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(context.wrap_socket(sock, server_hostname=name) if context else sock)

    @classmethod
    def unix(cls, path, timeout=TIMEOUT):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        sock.connect(path)
        return cls(sock)

    def read_head(self):
        """The next head, interim or final."""
        start = self.read_until(b"\r\n")[:-2].decode("latin-1")
        assert start.startswith("HTTP/1.1 "), "not a status line: %r" % start
        return Message(start, self.read_fields())

    def read_response(self, method="GET"):
        interim = []
        while True:
            head = self.read_head()
            if head.status >= 200 or head.status == 101:
                break
            interim.append(head)
        body, trailers = b"", []
        if method != "HEAD" and head.status not in (101, 204, 304):
            body, trailers = self.read_body(head.headers, self.read_end)
        return Message(head.start, head.headers, body, trailers, interim)

    def send_request(self, method, path, body=None, host="localhost", **headers):
        """An underscore in a field's name stands for a dash; a list of bytes as body goes out in chunks."""
        head = "%s %s HTTP/1.1\r\nHost: %s\r\n" % (method, path, host)
        head += "".join("%s: %s\r\n" % (name.replace("_", "-"), value) for name, value in headers.items())
        if isinstance(body, list):
            self.send(head + "Transfer-Encoding: chunked\r\n\r\n")
            for piece in body:
                self.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.send(b"0\r\n\r\n")
        elif body is not None:
            self.send((head + "Content-Length: %d\r\n\r\n" % len(body)).encode() + body)
        else:
            self.send(head + "\r\n")

    def request(self, method, path, body=None, **headers):
        self.send_request(method, path, body, **headers)
        return self.read_response(method)

    def get(self, path, **headers):
        return self.request("GET", path, **headers)

    def websocket(self, path="/ws", host="localhost", **headers):
        """Upgrades this connection; returns the WebSocket."""
        key = base64.b64encode(os.urandom(16)).decode()
        answer = self.request("GET", path, host=host, Connection="Upgrade", Upgrade="websocket",
                              Sec_WebSocket_Version="13", Sec_WebSocket_Key=key, **headers)
        assert answer.status == 101, answer
        proof = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        assert answer["Sec-WebSocket-Accept"] == base64.b64encode(proof).decode()
        return WebSocket(self, answer)


class WebSocket:
    """The client's side of RFC 6455 on an upgraded connection."""

    CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

    def __init__(self, wire, answer):
        self.wire, self.answer = wire, answer

    def frame(self, payload, opcode=BINARY, fin=True):
        mask, n = os.urandom(4), len(payload)
        size = bytes([0x80 | n]) if n < 126 else struct.pack(">BH", 0xfe, n) if n < 65536 else \
            struct.pack(">BQ", 0xff, n)
        repeated = (mask * (n // 4 + 1))[:n]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(n, "big")
        return bytes([opcode | (0x80 if fin else 0)]) + size + mask + masked

    def send(self, payload, opcode=BINARY, fin=True):
        self.wire.send(self.frame(payload, opcode, fin))

    def receive(self):
        """One frame: (opcode, fin, payload)."""
        first, n = self.wire.read(2)
        assert n < 128, "a server's frame is masked"
        if n == 126:
            n, = struct.unpack(">H", self.wire.read(2))
        elif n == 127:
            n, = struct.unpack(">Q", self.wire.read(8))
        return first & 15, bool(first & 128), self.wire.read(n)

    def echo(self, payload, opcode=BINARY):
        # a peer that echoes as it reads may not read on before it is read from
        self.wire.send_reading(self.frame(payload, opcode))
        assert self.receive() == (opcode, True, payload)

    def close(self, code=1000):
        self.send(struct.pack(">H", code), self.CLOSE)
        assert self.receive() == (self.CLOSE, True, struct.pack(">H", code))
        self.wire.expect_end()


class Served(Wire):
    """An upstream's end of a connection."""

    def read_request(self):
        """The next request with its body, or None at the end of the connection."""
        while not self.buffer:
            if not self.more():
                return None
        start = self.read_until(b"\r\n")[:-2].decode("latin-1")
        headers = self.read_fields()
        body, trailers = self.read_body(headers)
        return Message(start, headers, body, trailers)

    def read_head(self):
        start = self.read_until(b"\r\n")[:-2].decode("latin-1")
        return Message(start, self.read_fields())


def answering(*answers):
    """A script: to each request the next of these answers (the last one again and again), until the end."""
    def script(served):
        for i in range(1 << 30):
            if served.read_request() is None:
                return
            served.send(answers[min(i, len(answers) - 1)])
    return script


def answering_once(answer):
    """A script: one request is read, this is sent, and the connection is closed."""
    def script(served):
        served.read_request()
        served.send(answer)
    return script


def response(body=b"", status="200 OK", **headers):
    """A whole response with Content-Length."""
    head = "HTTP/1.1 %s\r\nContent-Length: %d\r\n" % (status, len(body))
    head += "".join("%s: %s\r\n" % (name.replace("_", "-"), value) for name, value in headers.items())
    return (head + "\r\n").encode() + body


class ScriptedUpstream:
    """An upstream on a Unix socket (tcp=True: a port of 127.0.0.1; (host, port): that one). Connection i runs
    scripts[i], later ones the last.

    tls=CONTEXT: it is spoken to over TLS. The end of a script is then one without close_notify, if it does
    not call served.sock.unwrap().

    A script is called with a Served in a thread of its own; the connection is closed when it returns. What
    goes wrong in a script fails the test at the end of the with statement.
    """

    def __init__(self, *scripts, tcp=False, tls=None, backlog=128):
        self.scripts, self.tcp, self.tls = scripts, tcp, tls
        self.folder = tempfile.mkdtemp(prefix="gh-")
        os.chmod(self.folder, 0o711)
        self.connections, self.errors, self.threads, self.live = 0, [], [], set()
        host, port = tcp if isinstance(tcp, tuple) else ("127.0.0.1", 0)
        self.listener = socket.socket((socket.AF_INET6 if ":" in host else socket.AF_INET) if tcp else
                                      socket.AF_UNIX)
        if tcp:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((host, port))
            self.port = self.listener.getsockname()[1]
            self.origin = "%s://%s:%d/" % ("https" if tls else "http",
                                           "[%s]" % host if ":" in host else host, self.port)
        else:
            self.path = os.path.join(self.folder, "up.sock")
            self.listener.bind(self.path)
            os.chmod(self.path, 0o666)
            self.origin = "https://+%s:/" % self.path if tls else "unix:" + self.path
        self.listener.listen(backlog)

    def __enter__(self):
        self.start(self.accept)
        return self

    def play(self, *scripts):
        """From now on these, the next connection being the first one. Those there were have ended."""
        for sock in list(self.live):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + TIMEOUT
        while self.live:
            assert time.monotonic() < deadline, "a script does not end"
            time.sleep(0.001)
        self.scripts, self.connections = scripts, 0

    def start(self, run, *args):
        thread = threading.Thread(target=run, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return      # closed: the test is over
            sock.settimeout(TIMEOUT)
            script = self.scripts[min(self.connections, len(self.scripts) - 1)]
            self.connections += 1
            self.live.add(sock)
            self.start(self.serve, script, sock)

    def serve(self, script, sock):
        try:
            if self.tls:
                self.live.discard(sock)
                sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False,
                                            suppress_ragged_eofs=False)
                self.live.add(sock)
                sock.do_handshake()
            with Served(sock) as served:
                script(served)
        except (ConnectionError, ssl.SSLError):
            pass        # Gatehouse may leave whenever it likes
        except BaseException as e:
            self.errors.append(e)
        finally:
            self.live.discard(sock)

    def __exit__(self, kind, value, trace):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for sock in list(self.live):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(TIMEOUT)
        if not self.tcp:
            os.unlink(self.path)
        os.rmdir(self.folder)
        if kind is None and self.errors:
            raise self.errors[0]
