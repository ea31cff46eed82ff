"""Where requests go, what is changed on their way and back, and who is let in."""

import base64
import os
import re
import signal
import ssl
import subprocess

import pytest

import gate as g
from gate import Demo, Gate, authority, plain, tls, wait_until
from peers import ScriptedUpstream, response
from recorder import Recorder


@pytest.fixture(scope="module")
def upstream():
    with Recorder() as r:
        yield r


def mount(mountpoint, origin, **keys):
    return {"mountpoint": mountpoint, "origin": origin,
            **{key.replace("_", "-"): value for key, value in keys.items()}}


def vhost(*mounts, kind=plain, **keys):
    return kind(mounts=list(mounts), **keys)


def last(upstream):
    request = upstream.requests[-1]
    assert request.start.endswith(" HTTP/1.1")
    return request


def target(request):
    return request.start.split(" ")[1]


# ---- mounts

MOUNTS = [
    # asked for, asked of the upstream, X-Forwarded-Prefix
    ("/", "/root/", None),
    ("/x?y=1&z", "/root/x?y=1&z", None),
    ("/app", "/", "/app"),
    ("/app?q", "/?q", "/app"),
    ("/app/", "/", "/app"),
    ("/app/x/y;z?q=/../", "/x/y;z?q=/../", "/app"),
    ("/apple", "/root/apple", None),
    ("/a%70p/x", "/x", "/app"),
    ("/x/../app/./y", "/y", "/app"),
    ("/../../app/y", "/y", "/app"),
    ("/app/%2e%2e/x", "/root/x", None),
    ("/app%2fx", "/root/app%2fx", None),
    ("/app//x", "//x", "/app"),
    ("/app/deep", "/d", "/app/deep"),
    ("/app/deep/er", "/d/er", "/app/deep"),
    ("/app/deeper", "/deeper", "/app"),
    ("/same/x", "/same/x", None),
    ("/only", "/one", "/only"),
    ("/only?q", "/one?q", "/only"),
    ("/only/", "/root/only/", None),
    ("/only/x", "/root/only/x", None),
]


def test_mounts(upstream):
    mounts = (mount("/", upstream.origin + ":/root"), mount("/app", upstream.origin),
              mount("/app/deep", upstream.origin + ":/d/"), mount("/same", upstream.origin + ":/same"),
              mount("/only", upstream.origin + ":/one", exact_match="1"))
    with Gate(vhost(*mounts), count_threads="1") as gate, gate.client(tls=False) as c:
        for path, asked, prefix in MOUNTS:
            assert c.get(path).body == b"ok", path
            assert target(last(upstream)) == asked, path
            # what a client says of prefixes does not count; the root's own is no prefix
            assert last(upstream)["X-Forwarded-Prefix"] == prefix, path
            c.get(path, X_Forwarded_Prefix="/evil")
            assert last(upstream)["X-Forwarded-Prefix"] == prefix, path


def test_without_a_mount_nothing_is_there(upstream):
    with Gate(vhost(mount("/app", upstream.origin)), count_threads="1") as gate:
        seen = len(upstream.requests)
        assert gate.get("/", tls=False).status == 404
        assert gate.get("/apple", tls=False).status == 404
        assert len(upstream.requests) == seen


REDIRECTS = [
    ("/old", 301, "https://new.example/to"),
    ("/old/x?y", 301, "https://new.example/to/x?y"),
    ("/old/a/../b", 301, "https://new.example/to/b"),
    ("/302/x", 302, "http://new.example:81/x"),
    ("/307/x", 307, "https://new.example/x"),
    ("/308", 308, "https://new.example"),
    ("/308?q", 308, "https://new.example?q"),
    ("/there", 301, "https://new.example/?from=here#top"),
    ("/there/x?q", 301, "https://new.example/?from=here#top"),
    ("/here", 302, "https://new.example/exactly"),
]


def test_redirects():
    mounts = (mount("/old", ">https://new.example/to/"),
              mount("/302", "^http://new.example:81", redirect_code="302"),
              mount("/307", ">https://new.example", redirect_code="307"),
              mount("/308", ">https://new.example", redirect_code=308, append_path="on"),
              mount("/there", ">https://new.example/?from=here#top", append_path="off"),
              mount("/here", ">https://new.example/exactly", exact_match=1, redirect_code=302))
    with Gate(vhost(*mounts), count_threads="1") as gate, gate.client(tls=False) as c:
        for path, status, location in REDIRECTS:
            for method, body in (("GET", None), ("POST", b"body"), ("HEAD", None)):
                answer = c.request(method, path, body)
                assert (answer.status, answer["Location"]) == (status, location), path
        assert c.get("/here/x").status == 404
        # a line break cannot get into the answer, nor a name of another host by a second slash
        assert c.get("/308/%0d%0aX:y")["Location"] == "https://new.example/%0d%0aX:y"
        assert c.get("/308//evil.example/")["Location"] == "https://new.example//evil.example/"


# ---- headers

def test_header_rules():
    answer = response(b"ok", Server="app/1.0", X_Powered_By="magic", X_Frame_Options="ALLOW", Link="</u>")
    with Recorder(answer) as up:
        mounts = (mount("/", up.origin),
                  mount("/own", up.origin, headers={"X-Frame-Options": "SAMEORIGIN", "X-Own": "1"},
                        headers_remove="X-Vhost", request_headers_add=[{"X-Tag": "a"}, {"X-Tag": "b"}],
                        request_headers_remove=["Cookie", "X-Secret"]),
                  mount("/gone", ">https://b.example"))
        keys = {"headers": [{"X-Frame-Options": "DENY", "X-Vhost": "v"}], "headers_add": {"Link": "</v>"},
                "headers_remove": ["Server", "X-Powered-By"], "request_headers": {"X-Secret": "s"}}
        with Gate(vhost(*mounts, **keys), count_threads="1") as gate, gate.client(tls=False) as c:
            answer = c.get("/")
            assert answer["Server"] is None and answer["X-Powered-By"] is None
            assert answer["X-Frame-Options"] == "DENY" and answer["X-Vhost"] == "v"
            assert answer.all("Link") == ["</u>", "</v>"]
            assert last(up)["X-Secret"] == "s"
            answer = c.get("/own", Cookie="a=1", X_Secret="mine", X_Tag="0")
            assert answer["X-Frame-Options"] == "SAMEORIGIN" and answer["X-Own"] == "1"
            assert answer["X-Vhost"] is None and answer["Server"] is None
            assert last(up)["Cookie"] is None and last(up)["X-Secret"] is None
            assert last(up).all("X-Tag") == ["0", "a", "b"]
            # pages have them, too
            for path, status in ("/gone", 301), ("/error.css", 200):
                answer = c.get(path)
                assert (answer.status, answer["X-Vhost"]) == (status, "v")


LOCATIONS = [
    # the upstream's, what the client gets
    ("/base/x?y#z", "/app/x?y#z"),
    ("/base", "/app"),
    ("/baseball", "/baseball"),
    ("/other", "/other"),
    ("http://HOST/base/x", "http://HOST/app/x"),
    ("//HOST/base/x", "//HOST/app/x"),
    ("https://elsewhere.example/base/x", "https://elsewhere.example/base/x"),
    ("x/y", "x/y"),
]
COOKIES = [
    ("a=1; Path=/base/x; HttpOnly", "a=1; Path=/app/x; HttpOnly"),
    ("a=1; path=/base", "a=1; path=/app"),
    ("a=1; Path=/other", "a=1; Path=/other"),
    ("a=1", "a=1"),
]


def test_locations_and_cookies_are_mapped_back():
    script = []

    def answer(served):
        while served.read_request() is not None:
            served.send(script[0])

    with ScriptedUpstream(answer) as up, \
            Gate(vhost(mount("/app", up.origin + ":/base")), count_threads="1") as gate, \
            gate.client(tls=False) as c:
        host = "localhost:%d" % gate.plain_port
        for theirs, ours in LOCATIONS:
            script[:] = [response(b"", "302 Found", Location=theirs.replace("HOST", host))]
            assert c.get("/app/x", host=host)["Location"] == ours.replace("HOST", host), theirs
        for theirs, ours in COOKIES:
            script[:] = [response(b"", Set_Cookie=theirs)]
            assert c.get("/app/x", host=host)["Set-Cookie"] == ours, theirs


# ---- proxies in front

SAID = {"X_Forwarded_For": "203.0.113.9, 127.0.0.3", "X_Forwarded_Proto": "https",
        "X_Forwarded_Host": "outer.example", "X_Forwarded_Prefix": "/out", "X_Forwarded_User": "alice",
        "Forwarded": "for=203.0.113.9"}


def test_nobody_is_believed_by_default(upstream):
    with Gate(vhost(mount("/", upstream.origin)), count_threads="1") as gate:
        gate.get("/", tls=False, **SAID)
    got = last(upstream)
    assert got["X-Forwarded-For"] == "127.0.0.1" and got["X-Forwarded-Proto"] == "http"
    assert got["X-Forwarded-Host"] == "localhost"
    assert not any(got[name] for name in ("X-Forwarded-Prefix", "X-Forwarded-User", "Forwarded", "Via"))


def test_trusted_proxies_are_believed(upstream):
    gate = Gate(count_threads="1")
    log = gate.folder.write("access", "")
    os.chmod(log, 0o666)
    gate.configure(vhost(mount("/app", upstream.origin), access_log=log), count_threads="1",
                   trusted_proxies=["10.0.0.0/8", "127.0.0.0/8"], forwarded="1", via="1")
    with gate:
        assert gate.get("/app", tls=False, Via="1.0 outer", **SAID)["Via"] == "1.1 gatehouse"
        got = last(upstream)
        assert got["X-Forwarded-For"] == "203.0.113.9, 127.0.0.3, 127.0.0.1"
        assert got["X-Forwarded-Proto"] == "https" and got["X-Forwarded-Host"] == "outer.example"
        assert got["X-Forwarded-Prefix"] == "/out/app" and got["X-Forwarded-User"] == "alice"
        assert got["Forwarded"] == 'for=203.0.113.9, for=127.0.0.1;host="localhost";proto=http'
        assert got["Via"] == "1.0 outer, 1.1 gatehouse"
        gate.get("/app", tls=False)
        assert last(upstream)["X-Forwarded-For"] == "127.0.0.1"
        # the log tells who it was, not who passed it on
        clients = wait_until(lambda: re.findall(r"^(\S+) - ", open(log).read(), re.M), "lines in the log")
        assert clients[0] == "203.0.113.9"


# ---- names

def test_strict_hosts(upstream):
    def one(kind, name, **keys):
        return vhost(mount("/", upstream.origin), kind=kind, name=name, **keys)

    with Gate(one(tls, "localhost", strict_host_check="1"), one(tls, "b.example"),
              one(plain, "localhost", strict_host_check="1")) as gate:
        assert gate.get("/").status == 200
        for wrong in "elsewhere.example", "localhost.evil.example", "127.0.0.1":
            with gate.client() as c:
                assert c.get("/", host=wrong).status == 421, wrong
                assert c.get("/", host="localhost").status == 200
            with gate.client(tls=False) as c:
                assert c.get("/", host=wrong).status == 421, wrong
        with gate.client() as c:
            assert c.get("/", host="b.example").status == 200
        with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
            gate.client(name="elsewhere.example")


def test_the_first_vhost_answers_for_other_names(upstream):
    with Gate(vhost(mount("/", upstream.origin + ":/first"), name="a.example"),
              vhost(mount("/", upstream.origin + ":/wild"), name="*.b.example"),
              vhost(mount("/", upstream.origin + ":/c"), name="c.example")) as gate, \
            gate.client(tls=False) as c:
        for host, asked in (("a.example", "/first/"), ("x.b.example", "/wild/"), ("y.x.b.example", "/first/"),
                            ("C.EXAMPLE.:1", "/c/"), ("sub.c.example", "/c/"), ("d.example", "/first/")):
            c.get("/", host=host)
            assert target(last(upstream)) == asked, host


def test_words_in_the_user_agent(upstream):
    with Gate(vhost(mount("/", upstream.origin), headers={"X-Vhost": "1"}), count_threads="1",
              reject_service_keywords=[{"scumbot": "404 Not Found"}, {"leech": "429 Go Slow"}, {"evil": 403}]
              ) as gate, gate.client(tls=False) as c:
        seen = len(upstream.requests)
        for agent, path, start, text in (
                ("Mozilla/5.0 ScumBot/2.1", "/", "HTTP/1.1 404 Not Found", b"Not Found"),
                ("leech", "/x", "HTTP/1.1 429 Go Slow", b"Go Slow"),
                ("an evil one", "/x", "HTTP/1.1 403 Forbidden", b"not for everyone")):
            answer = c.get(path, User_Agent=agent)
            assert answer.start == start and text in answer.body and answer["X-Vhost"] == "1"
            assert c.get(path, User_Agent=agent, Accept="application/json").json()["status"] == answer.status
        assert len(upstream.requests) == seen
        assert c.get("/error.css", User_Agent="evil").status == 200
        assert c.get("/", User_Agent="Mozilla/5.0 scum bot").status == 200
        said = subprocess.run([g.GATEHOUSE, "explain", "-c", gate.path, "-H", "User-Agent: scumbot",
                               "http://localhost:%d/" % gate.plain_port], capture_output=True, text=True)
        assert "404: a word of reject-service-keywords is in the User-Agent" in said.stdout


# ---- limits

def test_limits_and_timeouts_of_a_mount():
    def silent(served):
        while served.read_request() is not None:
            pass

    with Recorder() as up, ScriptedUpstream(silent) as mute:
        mounts = (mount("/", up.origin), mount("/small", up.origin, limits={"request-body": "10"}),
                  mount("/mute", mute.origin, timeouts={"upstream-response": "100ms"}))
        with Gate(vhost(*mounts, limits={"request-body": "100"}), count_threads="1") as gate:
            for path, n, status in (("/", 100, 200), ("/", 101, 413), ("/small", 10, 200),
                                    ("/small", 11, 413), ("/smaller", 11, 200)):
                with gate.client(tls=False) as c:
                    assert c.request("POST", path, b"x" * n).status == status, (path, n)
                with gate.client(tls=False) as c:
                    assert c.request("POST", path, [b"x" * n]).status == status, (path, n)
            assert gate.get("/mute", tls=False).status == 504


# ---- passwords

def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode()).decode()}


def users(gate, **passwords):
    """A password file, as htpasswd writes it."""
    path = gate.folder / "users"
    for i, (user, password) in enumerate(passwords.items()):
        subprocess.run(["htpasswd", "-i", "-B", "-C", "4", *(["-c"] if i == 0 else []), path, user],
                       input=password, text=True, check=True, capture_output=True)
    os.chmod(path, 0o600)
    return path


def guarded(upstream, path, **keys):
    return [mount("/", upstream.origin), mount("/in", upstream.origin, basic_auth=path, **keys)]


def test_passwords(upstream):
    gate = Gate(count_threads="1")
    path = users(gate, alice="open sesame", böb="ö:ö")
    log = gate.folder.write("access", "")
    os.chmod(log, 0o666)
    mounts = guarded(upstream, path) + [
        mount("/fwd", upstream.origin, basic_auth=path, basic_auth_realm='the "inner" room',
              basic_auth_forward="1"),
        mount("/moved", ">https://b.example", basic_auth=path)]
    gate.configure(vhost(*mounts, access_log=log), count_threads="1")
    with gate:
        with gate.client(tls=False) as c:
            assert c.get("/").status == 200
            seen = len(upstream.requests)
            for wrong in ({}, basic("alice", "open"), basic("bob", "open sesame"), basic("", ""),
                          {"Authorization": "Basic x"}, {"Authorization": "Bearer x"},
                          {"Authorization": "Basic"}):
                for path in "/in", "/in/x?y", "/%69n", "/x/../in", "/fwd", "/moved", "/in/error.css":
                    answer = c.get(path, **wrong)
                    assert answer.status == 401, (path, wrong)
                    assert answer["Location"] is None
                    realm = r"the \"inner\" room" if path == "/fwd" else "localhost"
                    assert answer["WWW-Authenticate"] == 'Basic realm="%s", charset="UTF-8"' % realm
                    assert b"sign in" in answer.body
            assert len(upstream.requests) == seen
            assert c.get("/inside").status == 200       # another mount
            answer = c.get("/in/x", X_Forwarded_User="root", **basic("alice", "open sesame"))
            assert answer.status == 200
            assert last(upstream)["X-Forwarded-User"] == "alice" and last(upstream)["Authorization"] is None
            assert c.get("/in", **basic("böb", "ö:ö")).status == 200
            assert c.get("/fwd", **basic("alice", "open sesame")).status == 200
            assert last(upstream)["Authorization"] == basic("alice", "open sesame")["Authorization"]
            assert c.get("/moved/x", **basic("alice", "open sesame"))["Location"] == "https://b.example/x"
            # where nobody is asked, both are the client's and the upstream's matter
            c.get("/", X_Forwarded_User="root", **basic("alice", "x"))
            assert last(upstream)["X-Forwarded-User"] is None and last(upstream)["Authorization"]
        with gate.client(tls=False) as c:
            assert c.request("POST", "/in", b"x" * 100000).status == 401
        wait_until(lambda: re.search(r'^127\.0\.0\.1 - alice \[.*"GET /in/x ', open(log).read(), re.M),
                   "the user in the log")


def test_passwords_of_tunnels_and_h2():
    with Demo() as demo:
        gate = Gate(count_threads="1")
        path = users(gate, alice="a")
        gate.configure(vhost(*guarded(demo, path)), vhost(*guarded(demo, path), kind=tls), count_threads="1")
        with gate:
            with gate.client() as c:
                ws = c.websocket("/in/ws", **basic("alice", "a"))
                ws.echo(b"hello")
                ws.close()
            with gate.client() as c:
                assert c.get("/in/ws", Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Version="13",
                             Sec_WebSocket_Key="eHh4eHh4eHh4eHh4eHh4eA==").status == 401
            for user, status in (("alice:a", "200"), ("alice:b", "401")):
                done = subprocess.run(["curl", "-s", "--http2", "--cacert", authority().path, "-u", user,
                                       "-o", "/dev/null", "-w", "%{http_code} %{http_version}",
                                       "https://localhost:%d/in/json" % gate.tls_port],
                                      capture_output=True, text=True)
                assert done.stdout == status + " 2"


def test_guessing_is_slowed_down(upstream):
    gate = Gate(count_threads="1")
    path = users(gate, alice="a")
    gate.configure(vhost(*guarded(upstream, path)), count_threads="1", limits={"auth-attempts": 2})
    with gate:
        with gate.client(tls=False) as c:
            assert c.get("/in", **basic("alice", "a")).status == 200
            answers = [c.get("/in", **basic("alice", "x%d" % i)) for i in range(30)]
            assert {answer.status for answer in answers} == {401, 429}
            refused = [answer for answer in answers if answer.status == 429]
            assert len(refused) > 20
            assert refused[0]["Retry-After"] == "1" and refused[0]["WWW-Authenticate"] is None
            # who has been let in before is let in all the time, and so is who needs no password
            assert c.get("/in", **basic("alice", "a")).status == 200
            assert c.get("/").status == 200
        gate.wait_log(r"limits\.auth-attempts")


def test_users_come_and_go_by_reloads(upstream):
    gate = Gate(count_threads="1")
    path = users(gate, alice="a", carol="c")
    keys = {"count_threads": "1", "limits": {"auth-attempts": 1}}
    gate.configure(vhost(*guarded(upstream, path)), **keys)
    with gate:
        with gate.client(tls=False) as c:
            assert c.get("/in", **basic("alice", "a")).status == 200
            # an unchanged file: whoever was let in need not be computed again
            for number in 2, 3:
                gate.configure(vhost(*guarded(upstream, path)), **keys)
                gate.signal(signal.SIGHUP)
                gate.wait_log(r"configuration %d is served" % number)
                for _ in range(3):
                    assert c.get("/in", **basic("alice", "a")).status == 200
            users(gate, bob="b")
            gate.signal(signal.SIGHUP)
            gate.wait_log(r"configuration 4 is served")
            assert c.get("/in", **basic("alice", "a")).status in (401, 429)
            wait_until(lambda: c.get("/in", **basic("bob", "b")).status == 200, "the new user to be let in")


def run(command, path):
    return subprocess.run([g.GATEHOUSE, command, "-c", path], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60)


def test_plain_passwords_are_refused_with_the_command_that_hashes_them(upstream):
    gate = Gate(count_threads="1")
    path = gate.folder.write("the users", "# as elsewhere\ntestuser:testpass\nmyuser:his pass:'$x\\n\n")
    os.chmod(path, 0o600)
    gate.configure(vhost(*guarded(upstream, path)), count_threads="1")
    for command in "check", "run":
        done = run(command, gate.path)
        said = done.stdout + done.stderr
        assert done.returncode == 1
        assert "testpass" not in said and "his pass" not in said
        found = re.search(r"the users:2:1: .*turns the file into hashes: (.*)", said)
        assert found, said
    subprocess.run(["sh", "-c", found.group(1)], check=True)
    lines = open(path).read().splitlines()
    assert [line.split("$")[:2] for line in lines if "$6$" in line] == [["testuser:", "6"], ["myuser:", "6"]]
    assert os.stat(path).st_mode & 0o777 == 0o600
    with gate:
        with gate.client(tls=False) as c:
            assert c.get("/in", **basic("testuser", "testpass")).status == 200
            assert c.get("/in", **basic("myuser", "his pass:'$x\\n")).status == 200


def test_a_bad_password_file_changes_nothing(upstream):
    gate = Gate(count_threads="1")
    path = users(gate, alice="a")
    gate.configure(vhost(*guarded(upstream, path)), count_threads="1")
    with gate:
        open(path, "a").write("bob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
        gate.signal(signal.SIGHUP)
        gate.wait_log(r"users:2:1: error: the password of \"bob\" is hashed in a way that is too weak")
        assert gate.get("/in", tls=False, **basic("alice", "a")).status == 200
