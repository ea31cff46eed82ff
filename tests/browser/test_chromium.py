"""Chromium as a client: a page with many parts, a WebSocket, events and an upload, all over HTTP/2."""

import base64
import hashlib
import json
import os
import queue
import re
import subprocess

import pytest

from gate import Demo, Folder, Gate, authority, pattern, tls, wait_until
from peers import ScriptedUpstream, response

UPLOAD = 3000000
LARGE = 20000000
PARTS = 60

PAGE = """<!doctype html><title>Gatehouse</title>
<link rel="stylesheet" href="/style.css"><script src="/app/json" type="application/json"></script>
<img src="/image.svg?1" loading="eager"><img src="/image.svg?2" fetchpriority="high">
<script>
async function digest(body) {
    const sum = await crypto.subtle.digest('SHA-256', body);
    return Array.from(new Uint8Array(sum), b => b.toString(16).padStart(2, '0')).join('');
}
async function get(path, priority) {
    const answer = await fetch(path, { priority });
    return [answer.status, await digest(await answer.arrayBuffer())];
}
function websocket() {
    return new Promise((resolve, reject) => {
        const seen = [], socket = new WebSocket('wss://' + location.host + '/app/ws');
        socket.binaryType = 'arraybuffer';
        socket.onopen = () => { socket.send('hello'); socket.send(new Uint8Array(100000).fill(7)); };
        socket.onmessage = ({ data }) => {
            seen.push(typeof data == 'string' ? data : data.byteLength);
            if (seen.length == 2) socket.close(1000);
        };
        socket.onclose = ({ code }) => resolve([...seen, code]);
        socket.onerror = () => reject(new Error('WebSocket'));
    });
}
function events() {
    return new Promise((resolve, reject) => {
        const seen = [], source = new EventSource('/app/events?count=5&interval_ms=20');
        source.onmessage = ({ data }) => {
            seen.push(data);
            if (seen.length == 5) { source.close(); resolve(seen.length); }
        };
        source.onerror = () => reject(new Error('EventSource'));
    });
}
async function upload() {
    const body = new Uint8Array(%d).map((_, i) => i %% 251);
    const answer = await (await fetch('/app/upload', { method: 'POST', body })).json();
    return [answer.bytes, answer.sha256 == await digest(body)];
}
async function run() {
    const large = get('/app/bytes/%d', 'low');
    const parts = Array.from({ length: %d },
        (_, i) => get('/app/bytes/' + i * 1000, ['high', 'low', 'auto'][i %% 3]));
    const result = { parts: await Promise.all(parts), websocket: await websocket(),
        events: await events(), upload: await upload(), large: await large };
    result.protocols = [...new Set(performance.getEntries()
        .map(entry => entry.nextHopProtocol).filter(name => name))];
    return result;
}
window.onload = () => run().catch(e => ({ error: String(e) })).then(result =>
    fetch('/report', { method: 'POST', body: JSON.stringify(result) }));
</script>
""" % (UPLOAD, LARGE, PARTS)

FILES = {
    "/": (PAGE.encode(), "text/html"),
    "/style.css": (b"body { color: black }", "text/css"),
    "/image.svg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "image/svg+xml"),
}


def key_hash(certificate):
    """Of the certificate's public key, as Chromium's list of exceptions wants it."""
    key = subprocess.run(["openssl", "x509", "-in", certificate, "-pubkey", "-noout"], check=True,
                         capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, check=True,
                         capture_output=True).stdout
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


class Browser:
    """Chromium without a window, at one page."""

    def __init__(self, url, certificate):
        self.folder = Folder()
        args = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--no-first-run", "--disable-extensions", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--no-proxy-server",
                "--remote-debugging-port=0", "--user-data-dir=" + self.folder.path,
                "--ignore-certificate-errors-spki-list=" + key_hash(certificate), url]
        env = {**os.environ, "HOME": self.folder.path, "XDG_CONFIG_HOME": self.folder.path,
               "XDG_CACHE_HOME": self.folder.path}
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(args, env=env, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        if kind is not None:
            with open(self.folder / "log", errors="replace") as log:
                print("--- what Chromium said\n" + log.read())
        self.folder.remove()


def visit(demo, **keys):
    """What the page reports, and the lines of the access log."""
    reports = queue.Queue()

    def serve(served):
        while (request := served.read_request()) is not None:
            path = request.start.split()[1].split("?")[0]
            if path == "/report":
                reports.put(json.loads(request.body))
                served.send(response())
            elif path in FILES:
                body, kind = FILES[path]
                served.send(response(body, Content_Type=kind))
            else:
                served.send(response(status="404 Not Found"))

    folder = Folder()
    with ScriptedUpstream(serve) as page:
        vhost = tls(page.origin, access_log=folder / "access", **keys)
        vhost["mounts"].append({"mountpoint": "/app", "origin": demo.origin})
        # a Chromium to whom the last frame comes with the end of the stream leaves its own side open
        with Gate(vhost, count_threads="1", timeouts={"tunnel-half-open": "500ms"}) as gate, \
                Browser("https://localhost:%d/" % gate.tls_port, vhost["host-ssl-cert"]):
            report = reports.get(timeout=60)

            def lines():
                with open(folder / "access") as f:
                    text = f.read()
                return "/report" in text and "/app/ws" in text and text.splitlines()
            log = wait_until(lines, "the report and the WebSocket's end in the access log")
    folder.remove()
    assert "error" not in report, report
    return report, log


@pytest.fixture(scope="module")
def demo():
    with Demo() as d:
        yield d


def sum_of(n):
    return hashlib.sha256(pattern(n)).hexdigest()


def check(report):
    assert report["parts"] == [[200, sum_of(i * 1000)] for i in range(PARTS)]
    assert report["large"] == [200, sum_of(LARGE)]
    assert report["websocket"] == ["hello", 100000, 1000]
    assert report["events"] == 5
    assert report["upload"] == [UPLOAD, True]


def websocket_line(log):
    line, = (line for line in log if "/app/ws" in line)
    return line


def test_everything_over_http2(demo):
    report, log = visit(demo)
    check(report)
    assert report["protocols"] == ["h2"]
    assert all("HTTP/2.0" in line for line in log), log
    assert re.search(r'"CONNECT /app/ws HTTP/2\.0" 200 ', websocket_line(log))     # RFC 8441


def test_websockets_by_http1_where_http2_has_none(demo):
    report, log = visit(demo, websocket_over_h2="off")
    check(report)
    assert re.search(r'"GET /app/ws HTTP/1\.1" 101 ', websocket_line(log))
    assert sum("HTTP/2.0" not in line for line in log) == 1, log
