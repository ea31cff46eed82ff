"""Mounts that show how Gatehouse is doing: `status:` and `metrics:`."""

import base64
import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess

from gate import GATEHOUSE, Demo, Gate, plain, tls, wait_until
from test_status import samples


def mounts(demo, **more):
    return [{"mountpoint": "/", "origin": demo.origin},
            {"mountpoint": "/status", "origin": "status:", **more},
            {"mountpoint": "/metrics", "origin": "metrics:", **more}]


def test_three_forms():
    with Demo() as demo, Gate(plain(mounts=mounts(demo)), tls(demo.origin)) as gate:
        with gate.client(tls=False) as c:
            for path in ("/status", "/status/"):
                page = c.get(path)
                assert page.status == 200 and page["Content-Type"] == "text/html; charset=utf-8"
                assert page["Cache-Control"] == "no-store"
            got = c.get("/status", Accept="application/json")
            assert got["Content-Type"] == "application/json"
            assert json.loads(got.body)["instance"]["pid"] == gate.process.pid
            text = c.get("/status", Accept="text/plain")
            assert text["Content-Type"].startswith("text/plain") and b"Gatehouse" in text.body
            metrics = c.get("/metrics")
            assert metrics["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert "gatehouse_connections_total" in samples(metrics.body.decode())
            head = c.request("HEAD", "/status")
            assert head.status == 200 and int(head["Content-Length"]) > 1000 and head.body == b""
            assert c.get("/status/x").status == 404
            refused = c.request("POST", "/status", body=b"x" * 100)
            assert refused.status == 405 and refused["Allow"] == "GET, HEAD"
            assert c.get("/json").status == 200


def test_the_page_allows_what_it_has_and_nothing_else():
    with Demo() as demo, Gate(plain(mounts=mounts(demo), headers={"x-own": "yes"})) as gate:
        page = gate.get("/status", tls=False)
        assert page["x-own"] == "yes"
        body, policy = page.body.decode(), page["Content-Security-Policy"]
        [style] = re.findall(r"<style>(.*?)</style>", body, re.S)
        [script] = re.findall(r"<script>(.*?)</script>", body, re.S)
        for part, directive in (style, "style-src"), (script, "script-src"):
            digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
            assert "%s 'sha256-%s'" % (directive, digest) in policy
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert not re.search(r'(src|href)=|style="| on\w+="', body)
        assert "<td class=\"text\">%s</td>" % demo.origin in body


def test_basic_auth_guards_them():
    with Demo() as demo:
        gate = Gate(plain())
        done = subprocess.run(["openssl", "passwd", "-5", "secret"], capture_output=True, text=True)
        users = gate.folder.write("users", "ann:" + done.stdout)
        gate.configure(plain(mounts=mounts(demo, **{"basic-auth": users})))
        with gate:
            for path in "/status", "/metrics":
                assert gate.get(path, tls=False).status == 401
                key = base64.b64encode(b"ann:secret").decode()
                assert gate.get(path, tls=False, Authorization="Basic " + key).status == 200


def test_check_warns_when_everybody_may_look():
    def check(*vhosts):
        gate = Gate(*vhosts)
        done = subprocess.run([GATEHOUSE, "check", "-c", gate.path], capture_output=True, text=True)
        return done.returncode, done.stdout

    mount = [{"mountpoint": "/s", "origin": "status:"}]
    status, out = check({"name": "a.test", "mounts": mount})
    assert status == 0 and "everybody can see this" in out and "basic-auth" in out
    status, out = check(plain(mounts=mount))
    assert status == 0 and "everybody" not in out


def test_many_ask_at_once_and_some_go():
    """One question serves all of them; who has gone before the answer is no harm."""
    with Demo() as demo, Gate(plain(mounts=mounts(demo)), timeouts={"drain": "1s"}) as gate, \
            contextlib.ExitStack() as stack:
        gate.wait_log("serving 1 vhost")
        stopped = gate.children()
        clients = [stack.enter_context(gate.client(tls=False)) for _ in range(30)]
        for c in clients:
            c.get("/json")
        for pid in stopped:     # the parent waits for them; those who stop being asked later answer at once
            os.kill(pid, signal.SIGSTOP)
        for i, c in enumerate(clients):
            c.send_request("GET", "/metrics" if i % 2 else "/status")
        for c in clients[:10]:
            c.close()
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        for c in clients[10:]:
            assert c.read_response().status == 200


def test_a_parent_that_does_not_answer():
    """503 within some seconds, for all who wait; and all is well when it answers again."""
    with Demo() as demo, Gate(plain(mounts=mounts(demo))) as gate:
        wait_until(lambda: gate.get("/status", tls=False).status == 200, "the first one")
        with gate.client(tls=False) as a, gate.client(tls=False) as b:
            os.kill(gate.process.pid, signal.SIGSTOP)
            try:
                answers = []
                wait_until(lambda: answers.append(a.get("/status").status) or answers[-1] == 503, "503")
                assert b.get("/json").status == 200
            finally:
                os.kill(gate.process.pid, signal.SIGCONT)
            wait_until(lambda: a.get("/metrics").status == 200, "it answers again")


def test_over_http2_with_many_vhosts():
    with Demo() as demo, Gate(tls(mounts=mounts(demo)),
                              *[plain(demo.origin, name="v%d.test" % i) for i in range(2000)]) as gate:
        done = subprocess.run(["curl", "-sk", "--http2", "https://localhost:%d/metrics" % gate.tls_port],
                              capture_output=True, text=True)
        found = samples(done.stdout)
        assert sum(name.startswith("gatehouse_vhost_requests_total") for name in found) == 2001
        done = subprocess.run(["curl", "-sk", "--http2", "https://localhost:%d/status" % gate.tls_port],
                              capture_output=True, text=True)
        assert done.stdout.count("<tr") > 1000 and "1001 more" in done.stdout
