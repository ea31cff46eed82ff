"""The answers that Gatehouse gives itself, each brought about as a client would."""

import base64
import html.parser
import json
import os
import re
import signal
import subprocess

import pytest

from gate import Demo, Gate, authority, plain, tls
from peers import ScriptedUpstream, answering_once

CSP = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
ACCEPT = {"html": "text/html,application/xhtml+xml,*/*;q=0.8", "json": "application/json",
          "problem": "application/problem+json", "text": "text/plain"}
TYPES = {"html": "text/html; charset=utf-8", "json": "application/json",
         "problem": "application/problem+json", "text": "text/plain; charset=utf-8"}


class WellFormed(html.parser.HTMLParser):
    """Every tag is closed in order; collects what is linked and the text."""

    EMPTY = "meta", "link"

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.text = [], [], ""
        assert text.startswith("<!doctype html>")
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("href", "src")]
        assert tag not in ("script", "style") and not any(name.startswith("on") or name == "style"
                                                          for name, _ in attrs)
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def gate():
    """A mount for each thing that can go wrong."""
    def silent(served):
        while served.read_request() is not None:
            pass

    with Demo() as demo, ScriptedUpstream(answering_once(b"garbage\r\n\r\n")) as broken, \
            ScriptedUpstream(silent) as mute:
        gate = Gate(count_threads="1")
        users = gate.folder.write("users", "alice:$6$rounds=1000$abcdefgh$" + "x" * 86 + "\n")
        os.chmod(users, 0o600)
        mounts = [
            {"mountpoint": "/app", "origin": demo.origin},
            {"mountpoint": "/users", "origin": demo.origin, "basic-auth": users},
            {"mountpoint": "/small", "origin": demo.origin, "limits": {"request-body": "10"}},
            {"mountpoint": "/cgi", "origin": "cgi:///bin/true"},
            {"mountpoint": "/broken", "origin": broken.origin},
            {"mountpoint": "/down", "origin": "unix:" + gate.folder / "nobody.sock"},
            {"mountpoint": "/mute", "origin": mute.origin, "timeouts": {"upstream-response": "50ms"}},
        ]
        keys = {"limits": {"request-line": "4k", "request-head": "8k"},
                "timeouts": {"request-head": "300ms", "request-body": "300ms"}, "strict_host_check": "1"}
        gate.configure(tls(mounts=mounts, **keys), plain(mounts=mounts, **keys), count_threads="1",
                       limits={"auth-attempts": 1},
                       reject_service_keywords={"forbidden": "403", "unlucky": "500"})
        with gate:
            yield gate


def guess(c, **headers):
    """Guesses passwords until there are too many of them."""
    for n in range(100):
        credentials = base64.b64encode(b"alice:%d" % n).decode()
        answer = c.get("/users", Authorization="Basic " + credentials, **headers)
        if answer.status != 401:
            return answer
    raise AssertionError("no end of guessing")


# status, how to get it
WAYS = {
    400: lambda c, **h: c.get("/app%", **h),
    401: lambda c, **h: c.get("/users", **h),
    403: lambda c, **h: c.get("/app", User_Agent="forbidden", **h),
    404: lambda c, **h: c.get("/nowhere", **h),
    405: lambda c, **h: c.request("TRACE", "/app", **h),
    413: lambda c, **h: c.request("POST", "/small", b"x" * 11, **h),
    414: lambda c, **h: c.get("/" + "x" * 5000, **h),
    417: lambda c, **h: c.request("POST", "/app/upload", b"", Expect="miracles", **h),
    421: lambda c, **h: c.get("/app", host="elsewhere.example", **h),
    429: guess,
    431: lambda c, **h: c.get("/app", X_Large="x" * 9000, **h),
    500: lambda c, **h: c.get("/app", User_Agent="unlucky", **h),
    501: lambda c, **h: c.get("/cgi", **h),
    502: lambda c, **h: c.get("/broken", **h),
    503: lambda c, **h: c.get("/down", **h),
    504: lambda c, **h: c.get("/mute", **h),
}
# what is refused before its fields were read cannot be answered in what they ask for
UNREAD = 405, 414, 431


def check(answer, status, form, gate):
    assert answer.status == status
    assert answer["Content-Type"] == TYPES[form]
    assert answer["Cache-Control"] == "no-store"
    assert answer["Content-Security-Policy"] == CSP
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Server"] is None and answer["Date"]
    assert not re.search(rb"(?i)gatehouse|\b\d+\.\d+\.\d+\b", answer.body)
    if form == "html":
        page = WellFormed(answer.body.decode())
        assert page.links == ["/error.css"]
        text = page.text
    elif form == "text":
        text = answer.body.decode()
    else:
        said = json.loads(answer.body)
        assert said["status"] == status and said["title"] and said["detail"]
        text = "%d %s" % (status, said["request"])
    assert str(status) in text
    # the number in the page is the one in the log
    number = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}", text).group()
    if status >= 500 or status in (408, 413, 414, 429, 431):
        gate.wait_log(r"%d %s: " % (status, number))


@pytest.mark.parametrize("status", WAYS)
@pytest.mark.parametrize("form", ACCEPT)
def test_each_status(gate, status, form):
    for over_tls in True, False:
        with gate.client(tls=over_tls) as c:
            answer = WAYS[status](c, Accept=ACCEPT[form])
        check(answer, status, "html" if status in UNREAD else form, gate)
        assert (answer["WWW-Authenticate"] is not None) == (status == 401)
        assert answer["Retry-After"] == {503: "5", 429: "1"}.get(status)
        assert (answer["Allow"] is not None) == (status == 405)
        assert (answer["Refresh"] is not None) == (status == 503 and form == "html")


def test_408(gate):
    with gate.client(tls=False) as c:
        c.send("GET /app HTTP/1.1\r\nHost: localhost\r\n")
        check(c.read_response(), 408, "html", gate)
        c.expect_end()
    with gate.client(tls=False) as c:
        c.send("POST /app/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
               "Accept: text/plain\r\n\r\n12")
        check(c.read_response("POST"), 408, "text", gate)


def test_head_is_told_the_length_of_the_page(gate):
    for path, status in ("/nowhere", 404), ("/broken", 502):
        with gate.client(tls=False) as c:
            page, head = c.get(path), c.request("HEAD", path)
            assert head.status == status and not head.body
            assert head["Content-Length"] == page["Content-Length"] == str(len(page.body))


def test_h2_gets_the_same(gate):
    for path, status in (("/nowhere", 404), ("/down", 503), ("/broken", 502)):
        done = subprocess.run(["curl", "-s", "-i", "--http2", "--cacert", authority().path,
                               "-H", "Accept: application/json", "https://localhost:%d%s" % (
                                   gate.tls_port, path)], capture_output=True, text=True)
        head, body = done.stdout.replace("\r", "").split("\n\n")
        assert head.startswith("HTTP/2 %d" % status)
        assert "\ncontent-security-policy: %s\n" % CSP in head + "\n"
        assert json.loads(body)["status"] == status


def test_a_large_upload_to_nobody_gets_its_answer(gate):
    with gate.client(tls=False) as c:
        c.send("POST /down HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n")
        c.send(b"x" * 1000000)
        assert c.read_response("POST").status == 503


# ---- what a configuration makes of them

def mounts(demo):
    return [{"mountpoint": "/app", "origin": demo.origin},
            {"mountpoint": "/down", "origin": demo.origin + ".no"}]


def test_style_sheets():
    with Demo() as demo:
        gate = Gate(plain(mounts=mounts(demo)), count_threads="1")
        with gate, gate.client(tls=False) as c:
            built_in = c.get("/error.css")
            assert built_in.status == 200 and built_in["Content-Type"] == "text/css; charset=utf-8"
            assert b"prefers-color-scheme: dark" in built_in.body
            assert built_in["Cache-Control"] == "public, max-age=86400"
            assert c.get("/error.css", If_None_Match=built_in["ETag"]).status == 304
            assert c.request("POST", "/error.css", b"").status == 405
            css = gate.folder.write("own.css", "body { color: red }\n")
            gate.configure(plain(mounts=mounts(demo)), count_threads="1", error_css=css)
            gate.signal(signal.SIGHUP)
            gate.wait_log(r"configuration 2 is served")
            own = c.get("/error.css", If_None_Match=built_in["ETag"])
            assert own.status == 200 and own.body == b"body { color: red }\n"
            assert own["ETag"] != built_in["ETag"]


def test_own_pages_and_server_string():
    with Demo() as demo:
        gate = Gate(count_threads="1")
        down = gate.folder.write("down.html", "<!doctype html><title>Down</title><p>Wir kommen wieder: ü\n")
        none = gate.folder.write("none.html", "<p>none</p>")
        large = gate.folder.write("large.html", "x" * 300000)
        keys = {"error_pages": {"503": down, "405": large}, "error_document_404": none,
                "headers": {"Content-Security-Policy": "default-src 'self'", "Content-Type": "x/y"}}
        gate.configure(plain(mounts=mounts(demo), **keys), plain(mounts=[], name="other.example"),
                       count_threads="1", server_string="my server")
        with gate, gate.client(tls=False) as c:
            answer = c.get("/down")
            assert answer.status == 503 and answer.body == open(down, "rb").read()
            assert answer["Content-Type"] == "text/html; charset=utf-8"
            assert answer["Content-Security-Policy"] == "default-src 'self'"
            assert answer["Retry-After"] == "5" and answer["Refresh"] == "5"
            assert answer["Server"] == "my server"
            answer = c.get("/x")
            assert answer.status == 404 and answer.body == b"<p>none</p>"
            assert answer["Content-Security-Policy"] == "default-src 'self'"
            # others get what they can read, and other vhosts have what is built in
            assert c.get("/x", Accept="application/json").json()["status"] == 404
            assert b"Nothing is here" in c.get("/", host="other.example").body
            # what an upstream says itself is passed on as it is
            answer = c.get("/app/status/404")
            assert answer.status == 404 and b"none" not in answer.body and answer["Server"] != "my server"
            with gate.client(tls=False) as other:
                assert len(other.request("TRACE", "/app").body) == 300000
            open(none, "w").write("<p>changed</p>")
            gate.signal(signal.SIGHUP)
            gate.wait_log(r"configuration 2 is served")
            assert c.get("/x").body == b"<p>changed</p>"


def test_a_page_that_is_not_there_is_told():
    gate = Gate(plain("unix:/x", error_pages={"503": "/nowhere/down.html"}))
    with pytest.raises(AssertionError):
        gate.start()
    assert re.search(r"conf:\d+:\d+: error: cannot read \"/nowhere/down\.html\"", gate.log())
    gate.folder.remove()
