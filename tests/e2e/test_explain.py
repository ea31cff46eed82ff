"""gatehouse explain: what it says a request becomes is what it becomes."""

import os
import re
import subprocess

import pytest

import gate as g
from gate import Folder, Gate, plain, tls
from recorder import Recorder


def explain(path, url, *args):
    """(exit status, what it says)"""
    done = subprocess.run([g.GATEHOUSE, "explain", url, "-c", path, *args], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60)
    return done.returncode, done.stdout + done.stderr


def rows(said):
    """{"vhost": "www.example.com, ...", ...}"""
    return dict(re.findall(r"^  (\w[\w ]{0,10}?) {2,}(.*)", said, re.M))


def section(said, title):
    """The lines of "The upstream gets" and the like."""
    return [line[2:] for line in said.split("\n" + title + "\n")[1].split("\n\n")[0].rstrip().split("\n")]


def mounts(up):
    return [
        {"mountpoint": "/", "origin": up.origin},
        {"mountpoint": "/app", "origin": up.origin + ":/base", "headers": {"X-Mount": "1"},
         "request-headers": {"X-Tenant": "a"}, "request-headers-remove": "Cookie",
         "limits": {"request-body": "1k"}},
        {"mountpoint": "/app/this", "origin": up.origin, "exact-match": "1"},
        {"mountpoint": "/old", "origin": ">https://new.example/x", "redirect-code": 308},
        {"mountpoint": "/files", "origin": "file:///srv"},
    ]


REQUESTS = [
    ("GET", "/", {}),
    ("GET", "/app/x/../y?q=1#fragment", {"Cookie": "a=1; b=2", "X-Forwarded-For": "203.0.113.9"}),
    ("POST", "/app", {"Content-Length": "0", "Connection": "X-Drop", "X-Drop": "1", "X_Forwarded_For": "1"}),
    ("GET", "/app/this", {"X-Forwarded-Proto": "https"}),
    ("OPTIONS", "/%61pp/z", {"Max-Forwards": "3"}),
]


def test_it_says_what_is_done():
    with Recorder() as up:
        vhost = {"mounts": mounts(up), "headers": {"X-Vhost": "1"}, "headers-remove": "Server", "sts": "1"}
        keys = {"trusted_proxies": "127.0.0.1", "forwarded": "1", "via": "1", "count_threads": "1"}
        with Gate(tls(**vhost), plain(**{**vhost, "sts": "0"}), **keys) as gate:
            for over_tls in True, False:
                base = "http%s://localhost:%d" % (("s", gate.tls_port) if over_tls else ("", gate.plain_port))
                for method, path, headers in REQUESTS:
                    fields = [arg for pair in headers.items() for arg in ("--header", "%s: %s" % pair)]
                    status, said = explain(gate.path, base + path, "--client", "127.0.0.1",
                                           "--method", method, *fields)
                    assert status == 0, said
                    with gate.client(tls=over_tls) as c:
                        head = "".join("%s: %s\r\n" % pair for pair in headers.items())
                        c.send("%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (method, path.split("#")[0],
                                                                         base.split("/")[2], head))
                        answer = c.read_response(method)
                    asked = up.requests[-1]
                    # framing is the wire's own matter
                    sent = [line for line in asked.head.decode().rstrip().split("\r\n")
                            if not line.lower().startswith("content-length:")]
                    told = [line for line in section(said, "The upstream gets")
                            if not line.lower().startswith("content-length:")]
                    assert told == sent
                    got = ["%s: %s" % field for field in answer.headers]
                    for line in section(said, "The client gets its answer"):
                        if re.match(r"(?!without|Location)", line):
                            assert line in got
                    assert rows(said)["vhost"].startswith("localhost, by its name")
                    assert rows(said)["upstream"] == "unix:" + up.path


def answer_of(gate, url, *args):
    status, said = explain(gate.path, url, *args)
    assert status == 0, said
    return rows(said).get("answer")


def test_it_says_what_is_answered_here():
    with Recorder() as up:
        gate = Gate(tls(mounts=mounts(up), strict_host_check="1"),
                    tls(mounts=[], name="b.example"), plain(mounts=mounts(up)[1:]),
                    plain(mounts=[], name="*.c.example"))
        https, http = "https://localhost:%d" % gate.tls_port, "http://localhost:%d" % gate.plain_port
        assert answer_of(gate, https + "/old/x?y") == "308, to https://new.example/x/x?y"
        assert answer_of(gate, https + "/files/x").startswith("501: ")
        assert answer_of(gate, https + "/error.css").startswith("200, the style sheet")
        assert answer_of(gate, https + "/", "--method", "TRACE").startswith("405: ")
        assert answer_of(gate, https + "/", "--method", "G(T").startswith("400: ")
        assert answer_of(gate, https + "/", "-H", "X : 1").startswith("400: ")
        assert answer_of(gate, http + "/").startswith("404: ")
        assert answer_of(gate, http.replace("http:", "https:") + "/").startswith("none: plain HTTP")
        assert answer_of(gate, https.replace("https:", "http:") + "/").startswith("400: TLS")
        assert "unrecognized_name" in answer_of(gate, https.replace("localhost", "d.example"))
        assert answer_of(gate, https.replace("localhost", "b.example")).startswith("404: ")
        for host, how in (("x.c.example", "by its wildcard"), ("other", "as the first one here"),
                          ("sub.localhost", "as a parent domain"), ("LOCALHOST", "by its name")):
            assert how in rows(explain(gate.path, http.replace("localhost", host))[1])["vhost"]
        gate.folder.remove()


def test_it_says_how_it_is_answered_here():
    with Recorder() as up:
        vhost = {"mounts": mounts(up)[1:], "headers": {"X-Vhost": "1"}, "headers-remove": "X-Frame-Options"}
        with Gate(tls(**vhost, sts="1"), plain(**vhost), count_threads="1", server_string="mine",
                  reject_service_keywords={"scumbot": "404 Go away"}) as gate:
            for over_tls in True, False:
                base = "http%s://localhost:%d" % (("s", gate.tls_port) if over_tls else ("", gate.plain_port))
                for path, agent in (("/old/x?y", "x"), ("/files/x", "x"), ("/error.css", "x"),
                                    ("/nowhere", "x"), ("/app", "scumbot/1")):
                    status, said = explain(gate.path, base + path, "-H", "User-Agent: " + agent)
                    assert status == 0, said
                    answer = gate.get(path, tls=over_tls, User_Agent=agent)
                    start, *fields = section(said, "The client gets")
                    assert start == answer.start
                    got = ["%s: %s" % field for field in answer.headers
                           if field[0].lower() not in ("date", "content-length", "connection")]
                    assert [line for line in fields if not line.lower().startswith("date: ")] == got


def test_it_asks_for_the_certificate_that_is_asked_for():
    guarded = tls("unix:/x", name="in.example", client_cert_required="1", client_cert_ca=g.authority().path,
                  allow_http_on_https="1")
    gate = Gate(guarded, tls("unix:/x"))
    port = gate.tls_port
    status, said = explain(gate.path, "https://in.example:%d/" % port)
    assert rows(said)["client"] == "with a certificate from " + g.authority().path
    assert rows(said)["upstream"] == "unix:/x"
    assert answer_of(gate, "http://in.example:%d/" % port).startswith("421: ")
    assert answer_of(gate, "http://localhost:%d/" % port) is None       # it goes up
    gate.folder.remove()


@pytest.mark.parametrize("args, said", [
    (("ftp://x/",), "a URL begins with"),
    (("localhost/",), "a URL begins with"),
    (("http://localhost:1/",), "nobody listens on port 1; there are 127.0.0.1:"),
    (("http://localhost/", "--listener", "x"), "no listener is called x; there are"),
    (("http://localhost:PORT/", "--client", "somebody"), "somebody is no client's address"),
    ((), "explain needs a URL"),
    (("http://localhost/", "http://localhost/"), "unexpected argument"),
    (("http://localhost/", "--heeder", "x"), "did you mean --header?"),
])
def test_mistakes_are_told(args, said):
    gate = Gate(plain("unix:/x"))
    args = [arg.replace("PORT", str(gate.plain_port)) for arg in args]
    done = subprocess.run([g.GATEHOUSE, "explain", "-c", gate.path, *args], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode != 0 and said in done.stderr and not done.stdout
    gate.folder.remove()


def test_a_broken_configuration_is_told():
    folder = Folder()
    path = folder.write("conf", '{ "vhosts": [ { "name": "a", "port": 80, "mounts": [], "x": 1 } ] }')
    status, said = explain(path, "http://a/")
    assert status == 1 and 'unknown key "x"' in said
    assert not os.path.exists(folder / "nothing")
    status, said = explain(folder / "nothing", "http://a/")
    assert status == 1 and "nothing" in said
    folder.remove()
