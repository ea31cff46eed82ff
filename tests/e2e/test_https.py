"""https:// origins: whom Gatehouse believes, who it is to them, what becomes of requests when TLS fails."""

import contextlib
import functools
import hashlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from gate import GATEHOUSE, Authority, Folder, Gate, authority, plain, tls, wait_until
from peers import ScriptedUpstream, answering, response

OK = response(b"ok")


def served_by(certificate, key, clients=None, version=None):
    """The server's side. clients: a CA file that their certificates have to be of."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 128)
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    if version:
        context.maximum_version = version
    return context


@functools.cache
def stranger():
    """Another CA."""
    return Authority()


def context(*names, by=authority, **options):
    return served_by(*by().issue(*(names or ("127.0.0.1",))), **options)


def mounted(up, **keys):
    """A vhost's key `mounts`: this upstream, whose CA is known unless something else is said."""
    mount = {"mountpoint": "/", "origin": up.origin, "upstream-ca": authority().path}
    mount.update({key.replace("_", "-"): value for key, value in keys.items()})
    return {"mounts": [{key: value for key, value in mount.items() if value is not None}]}


def gate_to(up, gate_keys=(), vhost_keys=(), env=(), **keys):
    return Gate(plain(**mounted(up, **keys), **dict(vhost_keys)),
                tls(**mounted(up, **keys), **dict(vhost_keys)), env=env, **dict(gate_keys))


def curl(gate, *args, path="/", binary=False):
    """(exit status, HTTP status, body) over HTTP/2."""
    done = subprocess.run(["curl", "-sS", "--http2", "--cacert", authority().path, "-m", "60", "-w",
                           "%{stderr}%{http_code}", *args, "https://localhost:%d%s" % (gate.tls_port, path)],
                          capture_output=True)
    return done.returncode, int(done.stderr[-3:]), done.stdout


# ---- that it works

@pytest.mark.parametrize("tcp", [True, False], ids=["tcp", "unix"])
def test_requests_over_tls_on_kept_connections(tcp):
    seen = []

    def script(served):
        seen.append((served.sock.version(), served.sock.selected_alpn_protocol()))
        while (request := served.read_request()) is not None:
            seen.append((request.start, request["Host"], request["X-Forwarded-Proto"], request.body))
            served.send(response(b"hello " + request.body))

    # keep-alive of one worker: the second request finds the connection of the first
    with ScriptedUpstream(script, tcp=tcp, tls=context("127.0.0.1", "app.test")) as up, \
            gate_to(up, {"count_threads": 1}, upstream_name=None if tcp else "app.test") as gate:
        assert gate.get("/one", tls=False).body == b"hello "
        with gate.client() as c:
            assert c.request("POST", "/two", b"x").body == b"hello x"
        assert curl(gate, "-d", "y", path="/three") == (0, 200, b"hello y")
        assert up.connections == 1
    assert seen == [("TLSv1.3", "http/1.1"),
                    ("GET /one HTTP/1.1", "localhost", "http", b""),
                    ("POST /two HTTP/1.1", "localhost", "https", b"x"),
                    ("POST /three HTTP/1.1", "localhost:%d" % gate.tls_port, "https", b"y")]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_sessions_are_resumed(version):
    reused = []

    def script(served):
        reused.append(served.sock.session_reused)
        served.read_request()
        served.send(response(b"ok", Connection="close"))

    with ScriptedUpstream(script, tcp=True, tls=context(version=version)) as up, \
            gate_to(up, {"count_threads": 1}) as gate:
        for _ in range(4):
            assert gate.get("/").body == b"ok"
        gate.signal(1)      # over a reload, too
        gate.wait_log("configuration 2")
        assert gate.get("/").body == b"ok"
    assert reused == [False, True, True, True, True]


def test_large_bodies_both_ways():
    size = 100 << 20
    block = os.urandom(1 << 20)
    digest = hashlib.sha256(block * 100).hexdigest().encode()

    def script(served):
        while (head := served.sock.recv(1)):
            served.buffer += head
            head = served.read_head()
            if head.start.startswith("GET"):
                served.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                for _ in range(100):
                    served.send(block)
                continue
            total, left = hashlib.sha256(), int(head["Content-Length"])
            while left:
                data = served.take(min(left, len(served.buffer))) or served.sock.recv(min(left, 1 << 18))
                assert data
                total.update(data)
                left -= len(data)
            served.send(response(total.hexdigest().encode()))

    folder = Folder()
    upload = folder.write("body", block * 100)
    with ScriptedUpstream(script, tcp=True, tls=context()) as up, gate_to(up) as gate:
        with gate.client(tls=False, timeout=60) as c:
            assert hashlib.sha256(c.get("/").body).hexdigest().encode() == digest
            assert c.request("POST", "/", block * 100).body == digest
        status, code, body = curl(gate)
        assert (status, code) == (0, 200) and hashlib.sha256(body).hexdigest().encode() == digest
        assert curl(gate, "-T", upload) == (0, 200, digest)
    folder.remove()


def test_a_websocket_is_tunnelled():
    ended = threading.Event()

    def script(served):
        from base64 import b64encode
        request = served.read_request()
        proof = hashlib.sha1((request["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode())
        served.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    "Sec-WebSocket-Accept: %s\r\n\r\n" % b64encode(proof.digest()).decode())
        while (data := served.sock.recv(65536)):
            served.send(data)
        ended.set()
        served.sock.unwrap()

    with ScriptedUpstream(script, tls=context("app.test")) as up, \
            gate_to(up, upstream_name="app.test") as gate, gate.client(tls=False) as c:
        ws = c.websocket("/")
        data = os.urandom(1 << 20)
        ws.wire.send_reading(data)
        assert ws.wire.read(len(data)) == data
        c.send_end()
        c.expect_end()
        assert ended.wait(10)


# ---- whom it believes

def test_the_systems_certificates_are_known():
    """They are read by the parent, where OpenSSL's programs look for them."""
    with ScriptedUpstream(answering(OK), tcp=True, tls=context()) as up:
        with gate_to(up, env={"SSL_CERT_FILE": authority().path}, upstream_ca=None) as gate:
            assert gate.get("/").body == b"ok"
        with gate_to(up, upstream_ca=None) as gate:     # those of this machine do not know our CA
            assert gate.get("/").status == 502
            gate.wait_log('the issuer "Gatehouse test CA" is unknown: neither in the system')


def expired():
    return authority().issue("127.0.0.1", days=-1)


def self_signed():
    folder = Folder()
    Authority.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-days", "2", "-subj", "/CN=myself", "-addext", "subjectAltName=IP:127.0.0.1",
                      "-keyout", folder / "key", "-out", folder / "crt")
    return folder


@pytest.mark.parametrize("server, keys, said", [
    (lambda: context("app.test", "b.test"), {},
     r'the certificate is not for "127.0.0.1", but for app.test, b.test; "upstream-name" says whom'),
    (context, {"upstream_name": "app.test"}, r'the certificate is not for "app.test", but for 127.0.0.1'),
    (lambda: context(by=stranger), {}, r'the issuer "Gatehouse test CA" is unknown: neither in \S+ nor'),
    (lambda: served_by(*expired()), {}, r'the certificate of "127.0.0.1" expired 20.*; renew it there'),
], ids=["name", "upstream-name", "issuer", "expired"])
def test_strangers_are_refused(server, keys, said):
    """502 at once, no second try, one line in the log that says why."""
    with ScriptedUpstream(answering(OK), tcp=True, tls=server()) as up, \
            gate_to(up, {"count_threads": 1}, **keys) as gate:
        assert gate.get("/").status == 502
        assert up.connections == 1
        assert curl(gate)[1] == 502
        assert gate.client(tls=False).request("POST", "/", b"x").status == 502
        assert up.connections == 3
        assert len(re.findall("upstream https://127.0.0.1:.*: TLS: " + said, gate.log())) == 1
        assert " is down" not in gate.log()


def test_a_certificate_may_vouch_for_itself():
    folder = self_signed()
    with ScriptedUpstream(answering(OK), tcp=True, tls=served_by(folder / "crt", folder / "key")) as up:
        with gate_to(up) as gate:
            assert gate.get("/").status == 502
            gate.wait_log(r'"myself" signed itself, and is not in \S+; name a file that has it in')
        with gate_to(up, upstream_ca=folder / "crt") as gate:
            assert gate.get("/").body == b"ok"
        with gate_to(up, upstream_ca=None, upstream_verify="off") as gate:
            gate.wait_log("warning: whoever answers at this origin is believed to be the application")
            assert gate.get("/").body == b"ok"
    folder.remove()


def test_the_name_of_a_socket_is_its_upstream_name():
    with ScriptedUpstream(answering(OK), tls=context("app.test")) as up:
        with gate_to(up, upstream_name="app.test") as gate:
            assert gate.get("/").body == b"ok"
        with gate_to(up, upstream_name="b.test") as gate:
            assert gate.get("/").status == 502
        with gate_to(up) as gate:       # the CA alone
            assert gate.get("/").body == b"ok"
            gate.wait_log("warning: a socket has no name")


def test_the_host_of_an_origin_is_its_name():
    """In SNI, and in the certificate; an address is in no SNI (RFC 6066 section 3)."""
    names = []
    server = context("localhost", "127.0.0.1")
    server.sni_callback = lambda sock, name, context: names.append(name)
    with ScriptedUpstream(answering(OK), tcp=True, tls=server) as up:
        with gate_to(up) as gate:
            assert gate.get("/").body == b"ok"
        up.origin = up.origin.replace("127.0.0.1", "LocalHost")
        with gate_to(up) as gate:
            assert gate.get("/").body == b"ok"
    assert names == [None, "localhost"]


# ---- who it is

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_client_certificate_is_shown(version):
    certificate, key = authority().issue("gateway.test")
    server = context(clients=authority().path, version=version)

    def script(served):
        request = served.read_request()
        if request:
            served.send(response(served.sock.getpeercert()["subject"][0][0][1].encode(), Connection="close"))

    with ScriptedUpstream(script, tcp=True, tls=server) as up:
        with gate_to(up, upstream_cert=certificate, upstream_key=key) as gate:
            assert gate.get("/").body == b"gateway.test"
            assert gate.get("/").body == b"gateway.test"     # resumed
        vhost = {"client-ssl-cert": certificate, "client-ssl-key": key, "client-ssl-ca": authority().path}
        with gate_to(up, vhost_keys=vhost, upstream_ca=None) as gate:
            assert gate.get("/").body == b"gateway.test"
        with gate_to(up) as gate:
            assert gate.get("/").status == 502
            assert gate.client().request("POST", "/", b"x").status == 502
            gate.wait_log("TLS: the server sent the alert")


def test_broken_files_are_found_before_they_are_used():
    certificate, key = authority().issue("gateway.test")
    other = stranger().issue("gateway.test")[1]
    with ScriptedUpstream(answering(OK), tcp=True, tls=context()) as up:
        for keys, said in (({"upstream_ca": key}, "holds a private key, but no certificate"),
                           ({"upstream_ca": "/nowhere"}, 'cannot read "/nowhere": No such file'),
                           ({"upstream_cert": certificate, "upstream_key": other},
                            "does not belong to the certificate"),
                           ({"upstream_cert": key, "upstream_key": key}, "holds a private key")):
            gate = gate_to(up, **keys)
            done = subprocess.run([GATEHOUSE, "check", "-c", gate.path], capture_output=True, text=True)
            assert done.returncode == 1 and said in done.stdout + done.stderr, done
            gate.folder.remove()
        gate = gate_to(up, upstream_cert=expired()[0], upstream_key=expired()[1])
        done = subprocess.run([GATEHOUSE, "check", "-c", gate.path], capture_output=True, text=True)
        assert done.returncode == 0 and re.search("certificate 1 in .* expired", done.stdout), done
        gate.folder.remove()


# ---- check

def test_check_shakes_hands():
    """A line for each: what the workers would meet."""
    wanting = context(clients=authority().path)
    with ScriptedUpstream(answering(OK), tcp=True, tls=context()) as good, \
            ScriptedUpstream(answering(OK), tls=context("app.test")) as other, \
            ScriptedUpstream(answering(OK), tcp=True, tls=wanting) as shy, \
            ScriptedUpstream(answering(OK), tcp=True) as plain_one:
        origins = [good.origin, other.origin, shy.origin, plain_one.origin.replace("http:", "https:"),
                   "https://127.0.0.1:1"]
        mounts = [{"mountpoint": "/%d" % i, "origin": origin, "upstream-ca": authority().path}
                  for i, origin in enumerate(origins)]
        mounts[1]["upstream-name"] = "b.test"
        plain_one.scripts = (lambda served: (served.sock.recv(1000), served.send(response())),)
        gate = Gate(plain(mounts=mounts))
        done = subprocess.run([GATEHOUSE, "check", "-c", gate.path], capture_output=True, text=True)
        gate.folder.remove()
    said = re.findall(r"^(ok|warn|FAIL) +https://\S+ \(\S+\): (.+)$", done.stdout, re.M)
    assert done.returncode == 1 and [word for word, _ in said] == ["ok", "FAIL", "FAIL", "FAIL", "warn"], done
    for (_, text), expected in zip(said, (
            "connects as .*, over TLS", 'the certificate is not for "b.test", but for app.test; ',
            'no TLS: the server sent the alert "certificate required"',
            "no TLS: this is no TLS, it begins with", "Connection refused")):
        assert re.match(expected, text), (text, expected)


# ---- ends

@pytest.mark.parametrize("notified", [True, False], ids=["close_notify", "cut"])
def test_a_body_that_ends_with_its_connection(notified):
    """Only the server itself can say that it was all: RFC 9112 section 9.8."""
    def script(served):
        served.read_request()
        served.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000)
        if notified:
            served.sock.unwrap()

    with ScriptedUpstream(script, tcp=True, tls=context()) as up, gate_to(up) as gate:
        with gate.client(tls=False) as c:
            c.send_request("GET", "/")
            if notified:
                assert c.read_response().body == b"x" * 1000
            else:
                with pytest.raises(AssertionError, match="the end came"):
                    c.read_response()
        status, code, body = curl(gate)
        assert code == 200 and body == b"x" * 1000 and (status == 0) == notified


def test_a_body_with_a_length_needs_no_close_notify():
    def script(served):
        served.read_request()
        served.send(OK)

    with ScriptedUpstream(script, tcp=True, tls=context()) as up, gate_to(up) as gate:
        for _ in range(3):
            assert gate.get("/").body == b"ok"
            assert gate.client().request("POST", "/", b"x").body == b"ok"


def test_a_kept_connection_that_ended_costs_nothing():
    """Neither a GET nor, when the end was seen in time, a POST."""
    def script(served):
        served.read_request()
        served.send(OK)
        served.sock.unwrap()

    with ScriptedUpstream(script, tls=context("app.test")) as up, \
            gate_to(up, {"count_threads": 1}, upstream_name="app.test") as gate:
        for method in ("GET", "POST", "GET", "POST"):
            assert gate.client().request(method, "/", b"x").body == b"ok"
            wait_until(lambda: not up.live, "its connection to end")
        assert up.connections == 4


def test_it_says_goodbye():
    """A kept connection is ended by close_notify; that of a client that leaves within the answer, too."""
    ends = []

    def script(served):
        request = served.read_request()
        served.send(OK if request.start.startswith("GET /keep") else b"HTTP/1.1 200 OK\r\n\r\nx")
        try:
            ends.append(served.sock.recv(1))
        except (ssl.SSLError, ConnectionError) as e:
            ends.append(e)

    with ScriptedUpstream(script, tcp=True, tls=context()) as up, \
            gate_to(up, {"timeouts": {"upstream-keepalive": "100ms"}}) as gate:
        assert gate.get("/keep").body == b"ok"
        wait_until(lambda: ends, "the kept connection to end")
        with gate.client() as c:
            c.send_request("GET", "/leave")
            c.read_until(b"x")
        wait_until(lambda: len(ends) == 2, "the other one to end")
    assert ends == [b"", b""]


# ---- absent, slow, and no TLS at all

def test_a_handshake_that_stalls():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        up = type("Silent", (), {"origin": "https://127.0.0.1:%d" % listener.getsockname()[1]})
        with gate_to(up, {"timeouts": {"upstream-connect": "200ms"}}) as gate:
            assert gate.get("/").status == 504
            assert curl(gate)[1] == 504
            gate.wait_log("is down: timeouts.upstream-connect ran out: within the TLS handshake")


def test_what_speaks_no_tls_is_told():
    with ScriptedUpstream(answering(OK), tcp=True) as up:
        up.origin = up.origin.replace("http:", "https:")
        up.scripts = (lambda served: (served.sock.recv(1000), served.send(response(b"", "400 Bad Request"))),)
        with gate_to(up) as gate:
            assert gate.get("/").status == 502
            gate.wait_log(r'TLS: this is no TLS, it begins with "HTTP/"')


def test_requests_wait_while_it_restarts():
    """Absent, then there but ending every handshake, then itself again: nobody sees an error."""
    with ScriptedUpstream(answering(OK), tls=context("app.test")) as up, \
            gate_to(up, {"count_threads": 1}, upstream_name="app.test") as gate:
        assert gate.get("/").body == b"ok"
        up.listener.shutdown(socket.SHUT_RDWR)
        up.listener.close()
        os.unlink(up.path)
        for sock in list(up.live):
            sock.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: not up.live, "its connections to end")
        clients = [gate.client(tls=i % 2) for i in range(6)]
        for i, c in enumerate(clients):
            c.send_request(("GET", "POST")[i % 2], "/", b"x" if i % 2 else None)
        gate.wait_log("is down: .*requests wait up to")
        up.listener = socket.socket(socket.AF_UNIX)
        up.listener.bind(up.path)
        os.chmod(up.path, 0o666)
        up.listener.listen()
        for _ in range(3):      # a process that has not read its certificate yet
            up.listener.accept()[0].close()
        up.start(up.accept)
        for c in clients:
            answer = c.read_response()
            assert (answer.status, answer.body) == (200, b"ok")
            c.close()
        gate.wait_log("is back after")


# ---- reload

def test_a_reload_with_another_ca_takes_new_connections():
    """What was trusted by the configuration before is not by the one after; and back."""
    folder = Folder()
    ca = folder / "ca.crt"
    shutil.copy(authority().path, ca)
    with ScriptedUpstream(answering(OK), tcp=True, tls=context()) as up, \
            gate_to(up, {"count_threads": 1}, upstream_ca=ca) as gate:
        assert gate.get("/").body == b"ok"
        gate.signal(1)
        gate.wait_log("configuration 2")
        assert gate.get("/").body == b"ok"
        assert up.connections == 1
        shutil.copy(stranger().path, ca)
        gate.signal(1)
        gate.wait_log("configuration 3")
        assert gate.get("/").status == 502
        shutil.copy(authority().path, ca)
        gate.signal(1)
        gate.wait_log("configuration 4")
        assert gate.get("/").body == b"ok"
        assert up.connections == 3
    folder.remove()
