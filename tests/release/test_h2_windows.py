"""Uploads over HTTP/2 from far away: how wide the windows become, and what may be stored for them."""

import contextlib
import os
import queue
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))

import h2wire as h2                                             # noqa: E402
from gate import Gate, plain, wait_until                        # noqa: E402
from h2wire import H2                                           # noqa: E402
from peers import ScriptedUpstream, response                    # noqa: E402

MIB = 1 << 20
TRIP_S = 0.05       # until the client sees what was sent to it


class Faraway:
    """A client with an upload that never ends. What is sent to it arrives late; the other way is short."""

    def __init__(self, gate):
        self.c = H2.plain(gate)
        self.c.request(1, "POST", "/upload", end=False)
        self.credit = {0: 65535, 1: self.c.settings[h2.INITIAL_WINDOW_SIZE]}
        self.most = 0           # that it could have sent at once
        self.under_way, self.changed, self.closed = queue.Queue(), threading.Condition(), threading.Event()
        for frame in self.c.kept:
            self.take(frame)
        for run in self.receive, self.deliver:
            threading.Thread(target=run, daemon=True).start()

    def receive(self):
        with contextlib.suppress(h2.Closed, OSError):
            while True:
                self.under_way.put((time.monotonic() + TRIP_S, self.c.read_frame()))

    def deliver(self):
        with contextlib.suppress(OSError):
            while True:
                due, frame = self.under_way.get()
                if self.closed.wait(max(0, due - time.monotonic())):
                    return
                with self.changed:
                    self.take(frame)
                    self.changed.notify()

    def take(self, frame):
        if frame.type == h2.WINDOW_UPDATE:
            self.credit[frame.stream] += int.from_bytes(frame.payload, "big")
            self.most = max(self.most, self.may_send())
        elif frame.type == h2.PING and not frame.flags & h2.ACK:
            self.c.frame(h2.PING, h2.ACK, 0, frame.payload)
        assert frame.type not in (h2.RST_STREAM, h2.GOAWAY), frame

    def close(self):
        self.closed.set()
        self.c.close()

    def may_send(self):
        return min(self.credit.values())

    def send(self, n):
        """Returns how much of it was sent before no more credit came for a second."""
        piece, left = H2.pack(h2.DATA, 0, 1, bytes(16384)), n
        with self.changed:
            while left > 0 and self.changed.wait_for(lambda: self.may_send() >= 16384, 1):
                pieces = min(self.may_send(), left) // 16384 or 1
                self.c.send(piece * pieces)
                left -= pieces * 16384
                for stream in self.credit:
                    self.credit[stream] -= pieces * 16384
        return n - left


def memory(gate):
    sizes = []
    for pid in gate.children():
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            if b"worker" in f.read():
                with open("/proc/%d/status" % pid) as status:
                    sizes += [int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS:")]
    return sum(sizes)


def test_windows_grow_and_hold_no_more_than_is_promised():
    """While the application reads they become wide; when it stops, what they let in is bounded."""
    stop, done = threading.Event(), threading.Event()

    def script(served):
        if served.read_head().start.startswith("GET "):
            served.send(response(b"{}", Connection="close"))
            return
        while not stop.is_set() and served.sock.recv(MIB):
            pass
        done.wait(60)

    with ScriptedUpstream(script) as up, \
            Gate(plain(up.origin), count_threads="1", limits={"h2-windows": "16m"}) as gate:
        assert gate.get("/", tls=False).status == 200
        before = memory(gate)
        clients = [Faraway(gate) for _ in range(4)]
        for c in clients:
            assert c.send(32 * MIB) == 32 * MIB
        grown = [c.most for c in clients]
        print("windows of", [n >> 10 for n in grown], "KiB")
        assert max(grown) > 2 * MIB and sum(grown) < (16 + 4) * MIB
        stop.set()
        stored = [c.send(64 * MIB) for c in clients]
        print("then", [n >> 10 for n in stored], "KiB were taken;", memory(gate) - before >> 10, "KiB more")
        # two buffers a connection, what was promised, and what lies in the sockets of the application
        assert sum(stored) < (2 * 4 + 16 + 4) * MIB
        assert memory(gate) - before < (2 * 4 + 16 + 8) * MIB
        assert gate.get("/", tls=False).status == 200
        done.set()
        for c in clients:
            c.close()
        wait_until(lambda: memory(gate) - before < 6 * MIB, "memory to come back")
