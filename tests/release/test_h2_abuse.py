"""What a hostile HTTP/2 client can make of one connection, with nothing of the answers read.

While it goes on, the worker grows by less than 16 MiB, others are served within a second, little reaches the
application, and the connection is ended.
"""

import contextlib
import json
import os
import socket
import struct
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))

import h2wire as h2                                             # noqa: E402
from gate import Demo, Gate, plain, wait_until                  # noqa: E402
from h2wire import H2, block, fields_of, indexed, number        # noqa: E402
from peers import Client, ScriptedUpstream                      # noqa: E402

GROWTH = 16 << 20
SERVED_S = 1.0
BUDGET = 100 + 128      # limits.abuse and limits.h2-streams


class Watch:
    """Another client, and the worker's memory, while something goes on."""

    def __init__(self, gate):
        self.gate, self.slowest, self.served, self.stopping = gate, 0, 0, False
        self.worker, = [pid for pid in gate.children() if self.has(pid, b"worker")]

    @staticmethod
    def has(pid, word):
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return word in f.read()

    def status(self, key):
        with open("/proc/%d/status" % self.worker) as f:
            return next(int(line.split()[1]) << 10 for line in f if line.startswith(key + ":"))

    def cpu(self):
        with open("/proc/%d/stat" % self.worker) as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def look(self):
        with Client.tcp(self.gate.plain_port) as c:
            while not self.stopping:
                begin = time.monotonic()
                assert c.get("/json").status == 200
                self.slowest = max(self.slowest, time.monotonic() - begin)
                self.served += 1
                self.peak = max(self.peak, self.status("VmRSS"))

    def __enter__(self):
        with contextlib.suppress(OSError), open("/proc/%d/clear_refs" % self.worker, "w") as f:
            f.write("5")        # the peak begins anew
        self.before, self.hwm, self.peak = self.status("VmRSS"), self.status("VmHWM"), 0
        self.cpu_before = self.cpu()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.stopping = True
        self.thread.join()
        hwm = self.status("VmHWM")
        peak = max(self.peak, hwm if hwm > self.hwm else 0)
        self.growth = peak - self.before
        print("grew by %d KiB, slowest of %d others %.0f ms, %.2f s of CPU" % (
            self.growth >> 10, self.served, self.slowest * 1000, self.cpu() - self.cpu_before))
        if kind is None:
            assert self.served > 0, "nobody else was served"
            assert self.growth < GROWTH, "the worker grew by %d bytes" % self.growth
            assert self.slowest < SERVED_S, "another client waited for %.3f s" % self.slowest


@pytest.fixture(scope="module")
def demo():
    with Demo() as running:
        yield running


@pytest.fixture(scope="module")
def gate(demo):
    with Gate(plain(demo.origin), count_threads="1") as running:
        with running.client(tls=False) as c:        # warm: allocators have what they keep
            for _ in range(100):
                assert c.get("/json").status == 200
        yield running


# ---- floods: frames for one stream each, or for none ----

GET = block(fields_of(path="/slow?ms=60000"))
POST = block(fields_of("POST", "/upload"))


def request(stream, payload=GET, flags=h2.END_HEADERS | h2.END_STREAM):
    return H2.pack(h2.HEADERS, flags, stream, payload)


def post(stream):
    return request(stream, POST, h2.END_HEADERS)


def update(stream, n):
    return H2.pack(h2.WINDOW_UPDATE, 0, stream, struct.pack(">I", n))


def rst(stream):
    return H2.pack(h2.RST_STREAM, 0, stream, struct.pack(">I", h2.CANCEL))


def bomb(stream, name, end=True):
    """A list of 50 MiB in a frame: one line of nearly 4 KiB, again and again."""
    payload = block(fields_of(path="/headers"))
    if stream == 1:
        payload += indexed(name, "c" * (4096 - 32 - len(name)))
    flags = h2.END_STREAM | (h2.END_HEADERS if end else 0)
    return H2.pack(h2.HEADERS, flags, stream, payload + b"\xbe" * (16384 - len(payload)))


def long_bomb(stream):
    rest = H2.pack(h2.CONTINUATION, 0, stream, b"\xbe" * 16384)
    return bomb(stream, "x", end=False) + 4 * rest + H2.pack(h2.CONTINUATION, h2.END_HEADERS, stream, b"\xbe")


def churn(stream):
    """The dynamic table is emptied and filled with every request."""
    return request(stream, number(0, 5, 0x20) + number(4096, 5, 0x20) + GET +
                   b"".join(indexed("x-%d" % i, "y" * 400) for i in range(9))) + rst(stream)


FLOODS = {
    # what ends streams, the client's doing or provoked
    "reset": lambda n: request(n) + rst(n),
    "reset_of_uploads": lambda n: post(n) + H2.pack(h2.DATA, 0, n, b"x") + rst(n),
    "zero_window_update": lambda n: request(n) + update(n, 0),
    "overflowing_window_update": lambda n: request(n) + update(n, 0x7fffffff),
    "self_dependency": lambda n: request(n) + H2.pack(h2.PRIORITY, 0, n, struct.pack(">IB", n, 0)),
    "self_dependent_headers": lambda n: request(n, struct.pack(">IB", n, 0) + GET, h2.END_HEADERS |
                                                h2.END_STREAM | h2.PRIORITY_FLAG),
    "short_priority": lambda n: request(n) + H2.pack(h2.PRIORITY, 0, n, b""),
    "data_after_the_end": lambda n: request(n) + H2.pack(h2.DATA, 0, n, b"x"),
    "headers_after_the_end": lambda n: request(n) + request(n),
    "bad_trailers": lambda n: post(n) + request(n, h2.literal(":path", "/")),
    "trailers_without_an_end": lambda n: post(n) + request(n, h2.literal("x", "y"), h2.END_HEADERS),
    "more_than_its_length": lambda n: request(n, POST + h2.literal("content-length", "1"), h2.END_HEADERS) +
    H2.pack(h2.DATA, 0, n, b"xyz"),
    "malformed": lambda n: request(n, GET + h2.literal("UPPER", "x")),
    "beyond_the_limit": lambda n: post(n),
    # single frames
    "settings": lambda n: H2.pack(h2.SETTINGS),
    "large_settings": lambda n: H2.pack(h2.SETTINGS, 0, 0, struct.pack(">HI", 4, n & 0xffff) * 2730),
    "settings_acknowledgement": lambda n: H2.pack(h2.SETTINGS, h2.ACK),
    "ping": lambda n: H2.pack(h2.PING, 0, 0, bytes(8)),
    "ping_answer": lambda n: H2.pack(h2.PING, h2.ACK, 0, bytes(8)),
    "priority": lambda n: H2.pack(h2.PRIORITY, 0, n, struct.pack(">IB", n + 2, 0)),
    "priority_update": lambda n: H2.pack(h2.PRIORITY_UPDATE, 0, 0, struct.pack(">I", n) + b"u=1"),
    "window_update": lambda n: update(0, 1),
    "unknown": lambda n: H2.pack(0x42, 0, n),
    "large_unknown": lambda n: H2.pack(0x42, 0, n, bytes(16384)),
    "goaway": lambda n: H2.pack(h2.GOAWAY, 0, 0, bytes(8)),
    "empty_data": lambda n: (post(1) if n == 1 else b"") + H2.pack(h2.DATA, 0, 1),
    "padded_empty_data": lambda n: (post(1) if n == 1 else b"") +
    H2.pack(h2.DATA, h2.PADDED, 1, b"\xff" + bytes(255)),
    "continuation": lambda n: request(1, GET, 0) if n == 1 else H2.pack(h2.CONTINUATION, 0, 1),
    "long_continuation": lambda n: request(1, GET, 0) if n == 1 else
    H2.pack(h2.CONTINUATION, 0, 1, h2.literal("x", "y" * 16000)),
    # HPACK
    "empty_names": lambda n: request(n, GET + b"\0\0\0" * 100),
    "bomb": lambda n: bomb(n, "x"),
    "bomb_by_cookie": lambda n: bomb(n, "cookie"),
    "long_bomb": long_bomb,
    "table_size_setting": lambda n: H2.pack(h2.SETTINGS, 0, 0, struct.pack(">HI", 1, 4096 * (n & 2))),
    "table_size_updates": lambda n: request(n, b"\x20\x3f\xe1\x1f" * 1000 + GET),
    "table_churn": churn,
}


def attack(gate, frames, most_s=30):
    """Sends until the server ends the connection, and reads nothing. Returns how many frames went out."""
    sock = socket.create_connection(("127.0.0.1", gate.plain_port), timeout=5)
    sent = 0
    with sock:
        sock.sendall(h2.PREFACE + H2.pack(h2.SETTINGS) + H2.pack(h2.SETTINGS, h2.ACK))
        end = time.monotonic() + most_s
        try:
            while time.monotonic() < end:
                sock.sendall(b"".join(frames(2 * i + 1) for i in range(sent, sent + 16)))
                sent += 16
        except (ConnectionError, TimeoutError):
            return sent
    raise AssertionError("the connection is still there after %d s and %d frames" % (most_s, sent))


@pytest.mark.parametrize("what", FLOODS)
def test_flood(gate, demo, what):
    before = demo.stats()["requests"]
    with Watch(gate) as watch:
        attack(gate, FLOODS[what])
        wait_until(lambda: watch.served > 3, "others to be served")
    after = demo.stats()["requests"]
    assert after - before - watch.served - 1 <= BUDGET + 128, "they reached the application"
    # what was under way at the upstream is given up
    wait_until(lambda: demo.stats()["connections"] <= 4, "upstream connections to be let go")


# ---- answers that nobody takes ----


def unread(gate, streams, settings, path, credit=b""):
    """A client that asks on so many streams and reads nothing, and whose receive buffer is small."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(5)
    sock.connect(("127.0.0.1", gate.plain_port))
    settings = b"".join(struct.pack(">HI", *pair) for pair in settings.items())
    sock.sendall(h2.PREFACE + H2.pack(h2.SETTINGS, 0, 0, settings) + H2.pack(h2.SETTINGS, h2.ACK) + credit)
    for i in range(streams):
        sock.sendall(request(2 * i + 1, block(fields_of(path=path))))
    return sock


def test_unread_socket_behind_huge_windows(gate, demo):
    huge = {h2.INITIAL_WINDOW_SIZE: 0x7fffffff}
    with Watch(gate) as watch:
        with unread(gate, 128, huge, "/bytes/1000000000", update(0, 0x7fffffff - 65535)):
            wait_until(lambda: demo.stats()["connections"] >= 128, "all to be asked for")
            served = watch.served
            wait_until(lambda: watch.served > served + 50, "others to be served")
    wait_until(lambda: demo.stats()["connections"] <= 4, "upstream connections to be let go")


def test_shut_windows_on_many_streams(gate, demo):
    with Watch(gate) as watch:
        with unread(gate, 128, {h2.INITIAL_WINDOW_SIZE: 0}, "/bytes/1000000000"):
            wait_until(lambda: demo.stats()["connections"] >= 128, "all to be asked for")
            served = watch.served
            wait_until(lambda: watch.served > served + 50, "others to be served")
    wait_until(lambda: demo.stats()["connections"] <= 4, "upstream connections to be let go")


def test_one_byte_windows_on_many_streams(gate, demo):
    """Each byte of window makes a frame: that is no reason to send the next byte."""
    with Watch(gate):
        sock = unread(gate, 128, {h2.INITIAL_WINDOW_SIZE: 1}, "/bytes/1000000000")
        with sock, pytest.raises((ConnectionError, TimeoutError)):
            while True:
                sock.sendall(b"".join(update(2 * i + 1, 1) for i in range(128)))
    wait_until(lambda: demo.stats()["connections"] <= 4, "upstream connections to be let go")


def test_large_heads_on_many_streams(gate, demo):
    """Heads of 60 KiB each by a few bytes, for answers that take long: their memory is bounded, too."""
    before = demo.stats()["requests"]
    with Watch(gate) as watch, H2.plain(gate) as c:
        for i in range(128):
            payload = block(fields_of(path="/slow?ms=60000"))
            if i == 0:
                payload += indexed("cookie", "c" * 3900)
            c.send(request(2 * i + 1, payload + b"\xbe" * 14))
        c.ping()
        c.until(h2.PING)
        refused = sum(frame.type == h2.RST_STREAM for frame in c.kept)
        wait_until(lambda: watch.served > 3, "others to be served")
    assert refused > 64
    assert demo.stats()["requests"] - before - watch.served - 1 <= 128 - refused
    wait_until(lambda: demo.stats()["connections"] <= 4, "upstream connections to be let go")


# ---- uploads that nobody takes ----


def test_uploads_to_an_upstream_that_does_not_read():
    """As much as the windows allow, on all streams: they are not given back."""
    done = threading.Event()

    def deaf(served):
        done.wait(60)

    def script(served):
        if served.read_head().start.startswith("GET /json"):
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        else:
            deaf(served)

    with ScriptedUpstream(script, backlog=512) as up, \
            Gate(plain(up.origin), count_threads="1") as gate:
        with Watch(gate) as watch, H2.plain(gate) as c:
            window = {}
            for i in range(128):
                c.send(post(2 * i + 1))
                window[2 * i + 1] = c.settings[h2.INITIAL_WINDOW_SIZE]
            total, sent = 65535, 0
            c.sock.settimeout(1)
            while True:
                for frame in [f for f in c.kept if f.type == h2.WINDOW_UPDATE]:
                    c.kept.remove(frame)
                    n, = struct.unpack(">I", frame.payload)
                    if frame.stream:
                        window[frame.stream] += n
                    else:
                        total += n
                stream = max(window, key=window.get)
                n = min(total, window[stream], 16384)
                if not n:
                    try:
                        c.kept.append(c.until(h2.WINDOW_UPDATE))
                    except TimeoutError:
                        break
                    continue
                c.data(stream, bytes(n))
                window[stream] -= n
                total -= n
                sent += n
            print("%d KiB were taken" % (sent >> 10))
            served = watch.served
            wait_until(lambda: watch.served > served + 20, "others to be served")
        done.set()


def test_stream_limit_holds_towards_the_upstream(gate, demo):
    """However fast streams are reset and opened again, the application sees no more at once."""
    most = 0
    with H2.plain(gate) as c:
        for i in range(200):
            c.request(2 * i + 1, path="/slow?ms=60000")
            if i >= 100:
                c.reset(2 * (i - 100) + 1)
            if i % 10 == 0:
                most = max(most, demo.stats()["connections"])
        c.expect_alive()
    assert most <= 128 + 4
    wait_until(lambda: demo.stats()["connections"] <= 4, "upstream connections to be let go")


def test_json_is_json(gate):
    """The other client's answers are what they should be, after all this."""
    with gate.client(tls=False) as c:
        assert json.loads(c.get("/json").body) == {"hello": "world"}
