"""WebSockets over HTTP/2 (RFC 8441): an extended CONNECT on this side, an Upgrade at the application."""

import json
import os
import struct
import subprocess

import pytest

import h2wire as h2
from gate import Demo, Gate, authority, plain, tls, wait_until
from h2wire import H2
from peers import ScriptedUpstream, WebSocket


class Tunnel:
    """One stream as the wire that peers.WebSocket speaks through."""

    def __init__(self, c, stream):
        self.c, self.stream, self.buffer, self.ended = c, stream, b"", False

    def send(self, data):
        for at in range(0, len(data), 16384):
            self.c.data(self.stream, data[at:at + 16384])

    send_reading = send     # no more is sent here than fits into the windows and pipes

    def more(self):
        frame = self.c.until(h2.DATA, h2.RST_STREAM, stream=self.stream)
        if frame.type == h2.RST_STREAM:
            raise h2.Reset(struct.unpack(">I", frame.payload)[0])
        self.buffer += frame.payload
        self.ended = bool(frame.flags & h2.END_STREAM)
        if frame.payload and not self.ended:
            self.c.window_update(0, len(frame.payload))
            self.c.window_update(self.stream, len(frame.payload))

    def read(self, n):
        while len(self.buffer) < n:
            assert not self.ended, "the end came early"
            self.more()
        taken, self.buffer = self.buffer[:n], self.buffer[n:]
        return taken

    def expect_end(self):
        while not self.ended:
            self.more()
        assert not self.buffer
        self.c.data(self.stream, end=True)


def connect(c, stream, path="/ws", end=False, protocol="websocket", more=()):
    fields = h2.fields_of("CONNECT", path, more=[("sec-websocket-version", "13")] + list(more))
    c.headers(stream, fields[:1] + [(":protocol", protocol)] + fields[1:], end)


def websocket(c, stream, **keys):
    connect(c, stream, **keys)
    answer = dict(c.until(h2.HEADERS, stream=stream).payload)
    assert answer[":status"] == "200", answer
    assert "sec-websocket-accept" not in answer
    return WebSocket(Tunnel(c, stream), answer)


@pytest.fixture(scope="module")
def demo():
    with Demo() as running:
        yield running


@pytest.fixture(scope="module")
def gate(demo):
    with Gate(tls(demo.origin), plain(demo.origin), count_threads="1") as running:
        yield running


@pytest.mark.parametrize("secure", [False, True])
def test_echo(gate, secure):
    with H2.tls(gate) if secure else H2.plain(gate) as c:
        assert c.settings[h2.ENABLE_CONNECT_PROTOCOL] == 1
        ws = websocket(c, 1)
        for n in (0, 1, 125, 126, 16384, 30000):
            ws.echo(os.urandom(n))
        ws.echo(b"text", WebSocket.TEXT)
        ws.close()


def test_many_on_one_connection_beside_requests(gate, demo):
    with H2.tls(gate) as c:
        open_before = demo.stats()["sockets_open"]
        sockets = [websocket(c, 2 * i + 1) for i in range(20)]
        assert demo.stats()["sockets_open"] == open_before + 20
        for i, ws in enumerate(sockets):
            ws.send(b"%d" % i)
        for i, ws in enumerate(sockets):
            assert ws.receive()[2] == b"%d" % i
        assert c.get(101).status == 200
        for ws in sockets:
            ws.close()
        wait_until(lambda: demo.stats()["sockets_open"] == open_before, "all to be closed")


def test_reset_frees_the_application(gate, demo):
    with H2.plain(gate) as c:
        before = demo.stats()["sockets_open"]
        ws = websocket(c, 1)
        ws.echo(b"x")
        c.reset(1)
        wait_until(lambda: demo.stats()["sockets_open"] == before, "the socket to be given up", timeout=1)
        assert c.get(3).status == 200


def test_what_the_application_is_asked():
    asked = []

    def script(served):
        head = served.read_head()
        asked.append(head)
        served.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope")

    with ScriptedUpstream(script) as up, Gate(plain(up.origin), count_threads="1") as gate, \
            H2.plain(gate) as c:
        connect(c, 1, "/chat?x=y", more=[("sec-websocket-protocol", "a, b"), ("origin", "http://localhost"),
                                         ("sec-websocket-key", "mine"), ("content-length", "7")])
        answer = c.response(1)
        assert answer.status == 403 and answer.body == b"nope"
        c.expect_reset(1, h2.NO_ERROR)      # refused: nobody reads what would follow
        head, = asked
        assert head.start == "GET /chat?x=y HTTP/1.1"
        assert head["Upgrade"] == "websocket" and head["Connection"].lower() == "upgrade"
        assert len(head["Sec-WebSocket-Key"]) == 24 and head["Sec-WebSocket-Version"] == "13"
        assert head["Sec-WebSocket-Protocol"] == "a, b" and head["Origin"] == "http://localhost"
        assert head["Content-Length"] is None and head["Host"] == "localhost"


@pytest.mark.parametrize("accept", ["wrong", None])
def test_accept_is_verified(accept):
    """RFC 6455 section 4.1: an answer to a key that was not sent opens nothing."""
    def script(served):
        served.read_head()
        served.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n")
        served.send(b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept.encode() if accept else b"\r\n")

    with ScriptedUpstream(script) as up, Gate(plain(up.origin), count_threads="1") as gate, \
            H2.plain(gate) as c:
        connect(c, 1)
        assert c.response(1).status == 502


def test_other_protocols_are_not_served(gate):
    with H2.plain(gate) as c:
        connect(c, 1, protocol="connect-udp")
        assert c.response(1).status == 501


def test_switched_off(demo):
    """Not announced, and malformed then (RFC 8441 section 3); by HTTP/1.1 it goes on."""
    with Gate(tls(demo.origin, websocket_over_h2="off"), count_threads="1") as gate:
        with H2.tls(gate) as c:
            assert h2.ENABLE_CONNECT_PROTOCOL not in c.settings
            connect(c, 1)
            c.expect_reset(1, h2.PROTOCOL_ERROR)
            assert c.get(3).status == 200
        with gate.client() as c:
            ws = c.websocket()
            ws.echo(b"x")
            ws.close()


def test_tunnel_behind_an_application_that_dies():
    with Demo() as demo, Gate(plain(demo.origin), count_threads="1") as gate, H2.plain(gate) as c:
        ws = websocket(c, 1)
        ws.echo(b"x")
        demo.kill()
        frame = c.until(h2.DATA, h2.RST_STREAM, stream=1)
        assert frame.type == h2.RST_STREAM or frame.flags & h2.END_STREAM
        c.expect_alive()


NODE = """
const http2 = require('http2'), fs = require('fs');
const client = http2.connect('https://localhost:' + process.argv[2],
    { ca: fs.readFileSync(process.argv[3]), family: 4 });
client.on('error', e => { throw e; });
client.on('remoteSettings', settings => {
    if (!settings.enableConnectProtocol) throw new Error('not announced');
    const stream = client.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': '/ws',
        ':scheme': 'https', ':authority': 'localhost', 'sec-websocket-version': '13' });
    let got = Buffer.alloc(0);
    stream.on('response', headers => {
        if (headers[':status'] !== 200) throw new Error('status ' + headers[':status']);
        stream.write(Buffer.from([0x81, 0x85, 0, 0, 0, 0, ...Buffer.from('hello')]));
    });
    stream.on('data', data => {
        got = Buffer.concat([got, data]);
        if (got.length < 7) return;
        console.log(JSON.stringify([got[0], got[1], got.subarray(2).toString()]));
        stream.close();
        client.close();
    });
});
"""


def test_node(gate):
    result = subprocess.run(["node", "-e", NODE, "-", str(gate.tls_port), authority().path],
                            capture_output=True, text=True, timeout=30)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [0x81, 5, "hello"]
