"""Clients that others wrote: curl, Python's, node's, wrk, h2load."""

import hashlib
import http.client
import json
import os
import re
import subprocess

import pytest

from gate import Demo, Folder, Gate, authority, pattern, plain, tls, wait_until


@pytest.fixture(scope="module")
def demo():
    with Demo() as d:
        yield d


@pytest.fixture(scope="module")
def gate(demo):
    with Gate(tls(demo.origin), plain(demo.origin)) as g:
        yield g


@pytest.fixture(scope="module")
def url(gate):
    return "https://localhost:%d" % gate.tls_port


@pytest.fixture(scope="module")
def folder():
    f = Folder()
    yield f
    f.remove()


def run(*args, timeout=60, **options):
    done = subprocess.run(args, capture_output=True, timeout=timeout, **options)
    assert done.returncode == 0, done
    return done.stdout


def curl(*args, **options):
    return run("curl", "-sS", "--fail", "--http1.1", "--cacert", authority().path, *args, **options)


def digest(body):
    return {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(), "trailers": []}


# ---- curl

def test_curl_uses_one_connection_for_many(url):
    out = curl("-w", "\n%{http_code} %{http_version} %{num_connects}\n", *[url + "/status/200"] * 20)
    assert re.findall(rb"\n200 1\.1 (\d)\n", out) == [b"1"] + [b"0"] * 19


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_curl_downloads(url, version):
    assert curl(version, url + "/bytes/3000000") == pattern(3000000)
    assert curl(version, url + "/chunked/3000000") == pattern(3000000)
    assert json.loads(curl(version, "-d", "a=b", url + "/upload")) == digest(b"a=b")


def test_curl_resumes(url, folder):
    path = folder.write("part", pattern(300000))
    curl("-C", "-", "-o", path, url + "/bytes/1000000")
    with open(path, "rb") as f:
        assert f.read() == pattern(1000000)


def test_curl_uploads(url, folder):
    """A large one waits for 100 (Continue); one from a pipe goes in chunks."""
    body = pattern(3000000)
    path = folder.write("body", body)
    trace = folder / "trace"
    assert json.loads(curl("-v", "--stderr", trace, "-T", path, url + "/upload")) == digest(body)
    with open(trace) as f:
        assert "< HTTP/1.1 100 Continue" in f.read()
    assert json.loads(curl("-T", "-", url + "/upload", input=body)) == digest(body)


def test_curl_head_and_options(url):
    assert b"Content-Length: 77\r\n" in curl("-I", url + "/bytes/77")
    assert json.loads(curl("-X", "OPTIONS", url + "/headers"))["method"] == "OPTIONS"


def test_curl_reads_events_as_they_come(url):
    with subprocess.Popen(["curl", "-sSN", "--cacert", authority().path, url + "/events?interval_ms=5"],
                          stdout=subprocess.PIPE) as process:
        lines = [process.stdout.readline() for _ in range(30)]
        process.terminate()
    assert len([line for line in lines if line.startswith(b"id:")]) >= 9


# ---- Python

def test_python(gate):
    context = authority().client_context()
    connection = http.client.HTTPSConnection("localhost", gate.tls_port, timeout=20, context=context)
    connection.connect()
    first = connection.sock

    def ask(method, path, body=None, **headers):
        connection.request(method, path, body, headers)
        answer = connection.getresponse().read()
        assert connection.sock is first     # it is kept
        return answer

    assert ask("GET", "/bytes/100000") == pattern(100000)
    assert ask("GET", "/chunked/100000") == pattern(100000)
    assert ask("HEAD", "/bytes/5") == ask("GET", "/status/204") == ask("GET", "/status/304") == b""
    assert json.loads(ask("POST", "/upload", pattern(200000))) == digest(pattern(200000))
    pieces = [b"ab", b"c" * 70000]
    assert json.loads(ask("PUT", "/upload", iter(pieces))) == digest(b"".join(pieces))
    connection.close()


# ---- node

NODE = r"""
const https = require('https'), crypto = require('crypto'), fs = require('fs');
const [port, ca] = process.argv.slice(1);
const connections = new Set();
const to = { host: 'localhost', family: 4, port };      // a machine may have localhost be ::1 first
const agent = new https.Agent({ keepAlive: true, maxSockets: 4, ca: fs.readFileSync(ca) });
const ask = (method, path, body, headers) => new Promise((resolve, reject) => {
  const seen = [], r = https.request({ ...to, agent, method, path, headers });
  r.on('error', reject).on('information', i => seen.push(i.statusCode)).on('continue', () => r.end(body));
  r.on('socket', s => s.on('secureConnect', () => connections.add(s))).on('response', a => {
    const pieces = [];
    a.on('error', reject).on('data', p => pieces.push(p)).on('end', () => resolve({
      status: a.statusCode, trailers: a.trailers, seen, body: Buffer.concat(pieces) }));
  });
  if (!(headers || {}).Expect)
    r.end(body);
});
const websocket = () => new Promise((resolve, reject) => {
  const key = crypto.randomBytes(16).toString('base64');
  const headers = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': key };
  const r = https.request({ ...to, path: '/ws', ca: fs.readFileSync(ca), agent: false, headers });
  r.on('error', reject).on('response', a => reject(a.statusCode)).on('upgrade', (a, socket, head) => {
    socket.on('data', d => { head = Buffer.concat([head, d]); if (head.length >= 4) socket.end(); });
    socket.on('close', () => resolve(head.toString('latin1')));
    socket.write(Buffer.from([0x82, 0x82, 1, 2, 3, 4, 0x68 ^ 1, 0x69 ^ 2]));
  }).end();
});
(async () => {
  const out = {};
  const many = await Promise.all(Array.from({ length: 40 }, (_, n) => ask('GET', '/bytes/' + n * 1000)));
  out.sizes = many.map(a => a.body.length);
  out.trailers = (await ask('GET', '/trailers')).trailers;
  out.hints = (await ask('GET', '/status/103')).seen;
  out.expected = JSON.parse((await ask('POST', '/upload', 'abc', { Expect: '100-continue' })).body).bytes;
  out.missing = (await ask('GET', '/nowhere')).status;
  out.websocket = await websocket();
  out.connections = connections.size;
  agent.destroy();
  console.log(JSON.stringify(out));
})().catch(e => { console.error(e); process.exit(1); });
"""


def test_node(gate):
    out = json.loads(run("node", "-e", NODE, str(gate.tls_port), authority().path))
    assert out == {"sizes": [n * 1000 for n in range(40)], "connections": 4, "expected": 3, "missing": 404,
                   "trailers": {"x-checksum": "42", "server-timing": "app;dur=1"}, "hints": [103],
                   "websocket": "\x82\x02hi"}


# ---- many at once

@pytest.mark.parametrize("path", ["/json", "/bytes/100000", "/chunked/5000"])
def test_wrk(gate, path):
    for base in "https://localhost:%d" % gate.tls_port, "http://localhost:%d" % gate.plain_port:
        out = run("wrk", "-t1", "-c16", "-d1", base + path).decode()
        assert int(re.search(r"(\d+) requests in", out)[1]) > 50, out
        assert "Socket errors" not in out and "Non-2xx" not in out, out


@pytest.mark.parametrize("path", ["/json", "/bytes/100000", "/chunked/5000"])
def test_h2load(gate, path):
    for base in "https://localhost:%d" % gate.tls_port, "http://localhost:%d" % gate.plain_port:
        out = run("h2load", "--h1", "-n1000", "-c16", base + path).decode()
        assert "1000 succeeded, 0 failed, 0 errored, 0 timeout" in out and "1000 2xx" in out, out


def test_websockets_at_once(gate, demo):
    clients = [gate.client(tls=n % 2 == 0) for n in range(20)]
    sockets = [c.websocket() for c in clients]
    for n in (0, 1, 125, 126, 65535, 65536, 300000):
        for i, ws in enumerate(sockets):
            ws.echo(pattern(n, i))
    for ws in sockets:
        ws.close()
    for c in clients:
        c.close()
    wait_until(lambda: demo.stats()["sockets_open"] == 0, "the tunnels to end")
