"""Clocks that are set, and time that passes quickly: session tickets, dates, timeouts."""

import email.utils
import os
import re
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))

import pytest                                               # noqa: E402

import gate as g                                            # noqa: E402
from gate import Demo, Gate, authority, plain, tls, wait_until      # noqa: E402
from peers import Client                                    # noqa: E402
from test_process import workers                            # noqa: E402

CLOCK = os.path.join(os.path.dirname(__file__), "clock.c")
HOUR, DAY, YEAR = 3600, 86400, 365 * 86400


class Clocked(Gate):
    """A gate whose clocks the test sets."""

    def __init__(self, *vhosts, **keys):
        super().__init__(*vhosts, **keys)
        library = self.folder / "clock.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, CLOCK], check=True)
        os.chmod(library, 0o755)
        self.offsets = self.folder.write("offsets", bytes(16))
        os.chmod(self.offsets, 0o644)
        self.env.update(LD_PRELOAD=library, CLOCK_OFFSETS=self.offsets)
        self.wall = self.passed = 0

    def set(self):
        with open(self.offsets, "r+b") as f:
            f.write(struct.pack("=qq", (self.wall + self.passed) * 10 ** 9, self.passed * 10 ** 9))

    def step(self, seconds):
        """Somebody sets the wall clock."""
        self.wall += seconds
        self.set()

    def wait(self, seconds):
        """Time passes."""
        self.passed += seconds
        self.set()


@pytest.fixture(scope="module")
def demo():
    with Demo() as d:
        yield d


def connect(gate, context, session=None):
    s = socket.create_connection(("127.0.0.1", gate.tls_port), timeout=g.TIMEOUT)
    return context.wrap_socket(s, server_hostname="localhost", session=session)


def new_session(gate, context):
    with connect(gate, context) as t:
        assert Client(t).get("/json").status == 200     # in TLS 1.3 the ticket comes behind the handshake
        return t.session


def is_resumed(gate, context, session):
    with connect(gate, context, session) as t:
        assert Client(t).get("/json").status == 200
        return t.session_reused


def key_names(gate, context, path):
    """The name of the key that a fresh ticket is encrypted with: its first 16 bytes (RFC 5077 section 4)."""
    subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % gate.tls_port, "-tls1_2",
                    "-servername", "localhost", "-sess_out", path],
                   input=b"", capture_output=True, check=True)
    text = subprocess.run(["openssl", "sess_id", "-in", path, "-noout", "-text"], capture_output=True,
                          text=True, check=True).stdout
    return re.search(r"TLS session ticket:\n\s+0000 - (.{47})", text).group(1)


def test_ticket_keys_rotate(demo):
    """A new one every 12 hours; tickets of the two before are still accepted."""
    with Clocked(tls(demo.origin)) as gate:
        workers(gate)
        context = authority().client_context()
        path = gate.folder / "session"
        session, first = new_session(gate, context), key_names(gate, context, path)
        assert key_names(gate, context, path) == first
        seen = {first}
        for round_ in range(3):
            assert is_resumed(gate, context, session)
            # the wall clock, by which a ticket itself grows old, stands still
            gate.wall -= 12 * HOUR + 1
            gate.wait(12 * HOUR + 1)
            wait_until(lambda: key_names(gate, context, path) not in seen, "a new key")
            seen.add(key_names(gate, context, path))
            # in all workers
            wait_until(lambda: all(key_names(gate, context, path) in seen - {first} for _ in range(6)),
                       "the new key everywhere")
        wait_until(lambda: not is_resumed(gate, context, session), "the oldest key to be forgotten")
        assert is_resumed(gate, context, new_session(gate, context))


def test_the_wall_clock_is_set(demo):
    """Forward and back: whoever is connected stays so, dates follow, nobody waits longer or shorter."""
    with Clocked(tls(demo.origin), plain(demo.origin), args=["-v"]) as gate:
        pids = workers(gate)
        context = authority().client_context()
        session = new_session(gate, context)
        with gate.client(tls=False) as kept:
            for seconds in (YEAR, -2 * YEAR, YEAR, 5, -5):
                assert kept.get("/nowhere-%d" % seconds).status == 404
                gate.step(seconds)
                assert kept.get("/json").status == 200
                wait_until(lambda: abs(date(gate) - time.time() - gate.wall) < 3, "the date to follow")
                assert is_resumed(gate, context, new_session(gate, context))
        assert is_resumed(gate, context, session)
        assert workers(gate) == pids
        assert not re.search(r" (error|warn) worker", gate.log())


def date(gate):
    """What Gatehouse says, of itself, what time it is."""
    with gate.client(tls=False) as c:
        c.send(b"GET / HTTP/1.1\r\n\r\n")
        answer = c.read_response()
    assert answer.status == 400
    return email.utils.parsedate_to_datetime(answer["Date"]).timestamp()
