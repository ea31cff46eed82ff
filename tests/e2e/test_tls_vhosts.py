"""TLS as each vhost wants it, on one port: seen by openssl's client, whatever the order of the vhosts."""

import re
import socket
import ssl
import subprocess

import pytest

import h2wire
from gate import Authority, Demo, Gate, authority, plain, tls
from peers import Client

P_1_2, P_1_3 = "-tls1_2", "-tls1_3"
NO_TICKET, MIDDLEBOX, SERVER_PREFERENCE = 1 << 14, 1 << 20, 1 << 22
NO_TLS_1_2, NO_TLS_1_3 = 1 << 27, 1 << 29


@pytest.fixture(scope="module")
def demo():
    with Demo() as d:
        yield d


@pytest.fixture(scope="module")
def clients():
    """The CA of clients, and a client's certificate."""
    ca = Authority()
    ca.client = ca.issue("client.test")
    return ca


def ask(gate, name, *args):
    """All that openssl s_client says."""
    done = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % gate.tls_port,
                           "-servername", name, "-verify_hostname", name.lower().rstrip("."),
                           "-CAfile", authority().path, *args], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=60)
    return (done.stdout + done.stderr).decode("latin-1")


def agreed(said):
    """(version, suite, group, ALPN) of a handshake; None where there was none."""
    found = re.search(r"New, (\S+), Cipher is (\S+)", said)
    version = re.search(r"^    Protocol  : (\S+)|New, (TLSv1.3)", said, re.M)
    if not found or found.group(2) == "(NONE)":
        return None
    assert "Verification: OK" in said, said
    group = re.search(r"Server Temp Key: (?:ECDH, )?([\w-]+)", said)
    alpn = re.search(r"ALPN protocol: (\S+)", said)
    return (version.group(1) or version.group(2), found.group(2), group and group.group(1),
            alpn and alpn.group(1))


POLICIES = {
    "usual.test": {},
    "suite12.test": {"ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"},
    "suite13.test": {"tls13_ciphers": "TLS_CHACHA20_POLY1305_SHA256"},
    "curve.test": {"ecdh_curve": "P-384"},
    "h1.test": {"alpn": "http/1.1"},
    "h2.test": {"alpn": "h2"},
    "only13.test": {"tls_min_version": "1.3"},
    "no13.test": {"ssl_option_set": NO_TLS_1_3},
    "no12.test": {"ssl_option_set": NO_TLS_1_2},
    "ours.test": {"ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"},
    "theirs.test": {"ssl_option_clear": SERVER_PREFERENCE},
    "compat.test": {"ssl_option_clear": MIDDLEBOX},
}
BOTH = ["-alpn", "h2,http/1.1"]
AES = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
CHACHA_FIRST = "ECDHE-ECDSA-CHACHA20-POLY1305:" + AES
# name, how it is asked, what is agreed on: version, suite, group, ALPN; None: no handshake
HANDSHAKES = [
    ("usual.test", [*BOTH], ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519", "h2")),
    ("usual.test", [P_1_2], ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", "X25519", None)),
    ("usual.test", ["-alpn", "http/1.0"], ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519", "http/1.0")),
    ("usual.test", ["-alpn", "imap"], None),
    ("usual.test", ["-tls1_1", "-cipher", "ALL@SECLEVEL=0"], None),
    ("usual.test", [P_1_2, "-cipher", "ECDHE-ECDSA-AES128-SHA:AES128-SHA"], None),
    ("usual.test", ["-groups", "P-384"], ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "secp384r1", None)),
    ("suite12.test", [P_1_2, "-cipher", AES], ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", "X25519", None)),
    ("suite12.test", [P_1_2, "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], None),
    ("suite12.test", [P_1_3], ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519", None)),
    ("suite13.test", [P_1_3], ("TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256", "X25519", None)),
    ("suite13.test", [P_1_3, "-ciphersuites", "TLS_AES_128_GCM_SHA256"], None),
    ("curve.test", [P_1_3], ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "secp384r1", None)),
    ("curve.test", [P_1_2], ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", "secp384r1", None)),
    ("curve.test", ["-groups", "X25519"], None),
    ("h1.test", [*BOTH], ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519", "http/1.1")),
    ("h1.test", ["-alpn", "h2"], None),
    ("h2.test", [*BOTH], ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519", "h2")),
    ("h2.test", ["-alpn", "http/1.1"], None),
    ("only13.test", [P_1_2], None),
    ("only13.test", [P_1_3], ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519", None)),
    ("no13.test", [P_1_3], None),
    ("no13.test", [*BOTH], ("TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", "X25519", "h2")),
    ("no12.test", [P_1_2], None),
    ("no12.test", [], ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519", None)),
    ("ours.test", [P_1_2, "-cipher", AES], ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", "X25519", None)),
    ("theirs.test", [P_1_2], ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", "X25519", None)),
    ("theirs.test", [P_1_3], ("TLSv1.3", "TLS_AES_256_GCM_SHA384", "X25519", None)),
    ("usual.test", [P_1_2, "-cipher", CHACHA_FIRST],
     ("TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305", "X25519", None)),
    # however a name is spelt, and whoever it is a part of
    ("USUAL.Test", [*BOTH], ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519", "h2")),
    ("h1.test.", [*BOTH], ("TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519", "http/1.1")),
]


@pytest.mark.parametrize("turned", [False, True], ids=["first to last", "last to first"])
def test_each_vhost_has_its_own_policy(demo, turned):
    vhosts = [tls(demo.origin, name, **keys) for name, keys in POLICIES.items()]
    with Gate(*(vhosts[::-1] if turned else vhosts), count_threads="1") as gate:
        for name, args, expected in HANDSHAKES:
            said = ask(gate, name, *args)
            assert agreed(said) == expected, (name, args, said)
        # the record that makes middleboxes believe in TLS 1.2 (RFC 8446 appendix D.4)
        for name, there in ("usual.test", True), ("compat.test", False):
            got = re.search(r"<<<.*RecordHeader.*\n    14 03 03", ask(gate, name, P_1_3, "-msg"))
            assert bool(got) == there


def test_tickets_are_for_who_wants_them(demo):
    with Gate(tls(demo.origin, "a.test"), tls(demo.origin, "b.test", ssl_option_set=NO_TICKET),
              count_threads="1") as gate:
        for name, there in ("a.test", True), ("b.test", False):
            assert ("TLS session ticket:" in ask(gate, name, P_1_2)) == there


# ---- who has shown what

def connect(gate, context, name, session=None):
    sock = socket.create_connection(("127.0.0.1", gate.tls_port), timeout=20)
    return Client(context.wrap_socket(sock, server_hostname=name, session=session))


def client_context(version, certificate=None):
    context = authority().client_context()
    context.check_hostname = False
    context.minimum_version = context.maximum_version = version
    if certificate:
        context.load_cert_chain(*certificate)
    return context


def guarded(demo, ca, name):
    return tls(demo.origin, name, client_cert_required="1", client_cert_ca=ca.path)


def enter(gate, context, name, session=None):
    """(let in, by that session, a session to come again with)"""
    try:
        with connect(gate, context, name, session) as c:
            good = c.get("/json", host=name).status == 200
            return good, c.sock.session_reused, c.sock.session
    except (OSError, AssertionError):
        return False, False, None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets_never_cross_a_client_certificate_policy(demo, clients, version):
    other = Authority()
    vhosts = [tls(demo.origin, "open.test"), tls(demo.origin, "open2.test"),
              guarded(demo, clients, "in.test"), guarded(demo, clients, "same.test"),
              guarded(demo, other, "other.test")]
    with Gate(*vhosts, count_threads="2") as gate:
        without, known = client_context(version), client_context(version, clients.client)
        _, _, open_session = enter(gate, without, "open.test")
        _, _, known_session = enter(gate, known, "in.test")
        assert open_session.has_ticket and known_session.has_ticket
        for _ in range(6):      # of two workers, whoever takes it
            # where nothing else is asked for they are good
            for context, session, name in ((without, open_session, "open2.test"),
                                           (known, known_session, "same.test")):
                assert enter(gate, context, name, session)[:2] == (True, True), name
            # where more is asked for they are not
            for name in "in.test", "same.test", "other.test":
                assert enter(gate, without, name, open_session)[:2] == (False, False), name
            assert enter(gate, known, "other.test", known_session)[:2] == (False, False)
            # nor where less is: it goes on with a handshake of its own
            assert enter(gate, known, "open.test", known_session)[:2] == (True, False)


def test_h2_is_misdirected_as_http_1_is(demo, clients):
    vhosts = [tls(demo.origin, "open.test"), tls(demo.origin, "open2.test", tls_min_version="1.3"),
              guarded(demo, clients, "in.test"), guarded(demo, clients, "same.test")]
    with Gate(*vhosts, count_threads="1") as gate:
        for name, certificate, good, bad in (
                ("open.test", None, ["open.test", "open2.test", "sub.open2.test", "nobody.test"],
                 ["in.test", "same.test", "sub.in.test", "IN.test."]),
                ("in.test", clients.client, ["in.test", "same.test", "In.Test.:%d"],
                 ["open.test", "open2.test", "nobody.test"])):
            context = authority().client_context(("h2",))
            if certificate:
                context.load_cert_chain(*certificate)
            with h2wire.H2.tls(gate, name=name, context=context) as c:
                stream = 1
                for hosts, status in (good, 200), (bad, 421), (good, 200):
                    for host in hosts:
                        host = host % gate.tls_port if "%d" in host else host
                        answer = c.get(stream, scheme="https", host=host)
                        assert answer.status == status, (name, host)
                        stream += 2


def test_plain_http_on_a_tls_port_does_not_get_around_certificates(demo, clients):
    for guarded_first in False, True:
        listed = [tls(demo.origin, "open.test"), guarded(demo, clients, "in.test")]
        if guarded_first:
            listed.reverse()
        listed[0].update({"allow-http-on-https": "1", "allow-non-tls": "1"})
        with Gate(*listed, count_threads="1") as gate:
            with gate.client(tls=False, port=gate.tls_port) as c:
                assert c.get("/json", host="open.test").status == 200
                for host in "in.test", "IN.test.", "sub.in.test", "in.test:%d" % gate.tls_port:
                    answer = c.get("/json", host=host)
                    assert answer.status == 421 and b"json" not in answer.body
                c.send("GET https://in.test/json HTTP/1.1\r\nHost: open.test\r\n\r\n")
                assert c.read_response().status == 421
                c.send("GET https://open.test/json HTTP/1.1\r\nHost: open.test\r\n\r\n")
                assert c.read_response().status == 421      # not over an insecure connection
            with gate.client(tls=False, port=gate.tls_port) as c:
                c.send("GET /json HTTP/1.0\r\n\r\n")
                assert c.read_response().status == (421 if guarded_first else 200)


def test_a_vhost_without_tls_on_a_port_with_it(demo, clients):
    """Where the first vhost of the port allows it."""
    def marked(vhost, mark, **keys):
        return {**vhost, "headers": [{"X-Mark": mark}], **{k.replace("_", "-"): v for k, v in keys.items()}}

    allowed = {"allow_non_tls": "1", "allow_http_on_https": "1"}
    gate = Gate(count_threads="1")
    gate.configure(marked(tls(demo.origin, "secure.test"), "secure", **allowed),
                   marked(plain(demo.origin, "plain.test"), "plain", port=str(gate.tls_port)),
                   marked(guarded(demo, clients, "in.test"), "in"), count_threads="1")
    with gate:
        with gate.client(tls=False, port=gate.tls_port) as c:
            for host, mark in (("plain.test", "plain"), ("secure.test", "secure"), ("in.test", None)):
                answer = c.get("/json", host=host)
                assert (answer.status, answer["X-Mark"]) == (200 if mark else 421, mark)
        context = authority().client_context()
        with connect(gate, context, "secure.test") as c:
            assert c.get("/json", host="secure.test")["X-Mark"] == "secure"
            assert c.get("/json", host="in.test").status == 421
    gate = Gate(count_threads="1")
    gate.configure(tls(demo.origin, "secure.test", allow_non_tls="1"),
                   plain(demo.origin, "plain.test", port=str(gate.tls_port)), count_threads="1")
    with pytest.raises(AssertionError):
        gate.start()
    assert "this vhost speaks plain HTTP on 127.0.0.1:%d, but" % gate.tls_port in gate.log()
    gate.folder.remove()


# ---- the rest

HSTS = "max-age=15768000; includeSubDomains"


def test_strict_transport_security(demo):
    mounts = [{"mountpoint": "/", "origin": demo.origin}, {"mountpoint": "/old", "origin": ">https://b.test"}]
    own = [{"Strict-Transport-Security": "max-age=5"}]
    with Gate(tls(mounts=mounts, sts="1"), tls(demo.origin, "off.test"),
              tls(demo.origin, "own.test", sts="1", headers=own),
              plain(mounts=mounts)) as gate:
        with gate.client() as c:
            for path in "/json", "/old", "/error.css", "/status/500":
                assert c.get(path)["Strict-Transport-Security"] == HSTS, path
            assert c.request("TRACE", "/json")["Strict-Transport-Security"] == HSTS
        with gate.client(name="off.test") as c:
            assert c.get("/json", host="off.test")["Strict-Transport-Security"] is None
        with gate.client(name="own.test") as c:
            assert c.get("/json", host="own.test")["Strict-Transport-Security"] == "max-age=5"
        # RFC 6797 section 7.2: never over plain HTTP
        assert gate.get("/json", tls=False)["Strict-Transport-Security"] is None


def test_names(demo):
    def marked(name):
        return tls(demo.origin, name, headers=[{"X-Mark": name}])

    names = "first.test", "a_b.test", "*.wild.test", "Upper.Test", "dot.test."
    with Gate(*(marked(name) for name in names), count_threads="1") as gate:
        for asked, mark in (("a_b.test", "a_b.test"), ("A_B.TEST.", "a_b.test"),
                            ("x.wild.test", "*.wild.test"), ("x_y.wild.test", "*.wild.test"),
                            ("y.x.wild.test", "first.test"), ("wild.test", "first.test"),
                            ("upper.test", "Upper.Test"), ("www.upper.test", "Upper.Test"),
                            ("dot.test", "dot.test."), ("DOT.test.:443", "dot.test.")):
            context = authority().client_context()
            context.check_hostname = False
            with connect(gate, context, asked.split(":")[0]) as c:
                assert c.get("/json", host=asked)["X-Mark"] == mark, asked
