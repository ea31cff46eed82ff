"""What each vhost demands of TLS, and that no other vhost's connection, ticket or name gets around it."""

import socket
import ssl

import pytest

from gate import Authority, Demo, Gate, authority, tls
from peers import Client


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


def connect(gate, name, client=None, session=None, version=None):
    """A connection whose SNI is `name`; client is (certificate, key)."""
    context = authority().client_context()
    context.check_hostname = False
    if client:
        context.load_cert_chain(*client)
    if version:
        context.minimum_version = context.maximum_version = version
    sock = socket.create_connection(("127.0.0.1", gate.tls_port), timeout=20)
    return Client(context.wrap_socket(sock, server_hostname=name))


def guarded(demo, clients, name="guarded.test", **keys):
    return tls(demo.origin, name, client_cert_required="1", client_cert_ca=clients.path,
               headers=[{"X-Secret": "1"}], **keys)


def is_let_in(gate, name, client, version):
    try:
        with connect(gate, name, client, version=version) as c:
            return c.get("/json", host=name).status == 200
    except (OSError, ssl.SSLError, AssertionError):
        return False


def test_client_certificates_are_demanded_by_the_vhost_that_says_so(demo, clients):
    foreign = authority().issue("client.test")
    for vhosts in ([tls(demo.origin, "open.test"), guarded(demo, clients)],
                   [guarded(demo, clients), tls(demo.origin, "open.test")]):
        with Gate(*vhosts) as gate:
            for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
                assert is_let_in(gate, "guarded.test", clients.client, version)
                assert not is_let_in(gate, "guarded.test", None, version)
                assert not is_let_in(gate, "guarded.test", foreign, version)
                assert is_let_in(gate, "open.test", None, version)


def test_another_vhosts_connection_does_not_get_around_it(demo, clients):
    other = Authority()
    with Gate(tls(demo.origin, "open.test"), guarded(demo, clients),
              guarded(demo, clients, "same.test"), guarded(demo, other, "other.test")) as gate:
        with connect(gate, "open.test") as c:
            answer = c.get("/json", host="guarded.test")
            assert answer.status == 421 and answer["X-Secret"] is None
            assert c.get("/json", host="open.test").status == 200
        with connect(gate, "guarded.test", clients.client) as c:
            assert c.get("/json", host="guarded.test").status == 200
            assert c.get("/json", host="same.test").status == 200
            assert c.get("/json", host="other.test").status == 421
            assert c.get("/json", host="open.test").status == 421


def test_a_reload_that_demands_certificates_holds_for_live_connections(demo, clients):
    with Gate(tls(demo.origin, "a.test")) as gate, connect(gate, "a.test") as c:
        assert c.get("/json", host="a.test").status == 200
        gate.configure(guarded(demo, clients, "a.test"))
        gate.signal(1)
        gate.wait_log(r"configuration 2 is served")
        assert c.get("/json", host="a.test").status == 421


def test_ecdsa_and_rsa_side_by_side(demo):
    ec = authority().issue("a.test")
    base = authority().folder / "rsa"
    authority().openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=a.test",
                        "-addext", "subjectAltName=DNS:a.test",
                        "-keyout", base + ".key", "-out", base + ".crt")
    vhost = tls(demo.origin, "a.test", host_ssl_cert=[ec[0], base + ".crt"],
                host_ssl_key=[ec[1], base + ".key"])
    with Gate(vhost) as gate:
        for ciphers, issuer in (("ECDHE-ECDSA-AES128-GCM-SHA256", "Gatehouse test CA"),
                                ("ECDHE-RSA-AES128-GCM-SHA256", "a.test")):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(ciphers)
            context.load_verify_locations(authority().path)
            context.load_verify_locations(base + ".crt")
            with socket.create_connection(("127.0.0.1", gate.tls_port), timeout=20) as sock:
                with context.wrap_socket(sock, server_hostname="a.test") as s:
                    assert dict(pair[0] for pair in s.getpeercert()["issuer"])["commonName"] == issuer
                    assert Client(s).get("/json", host="a.test").status == 200


def test_the_lowest_version_is_the_vhosts(demo):
    with Gate(tls(demo.origin, "new.test", tls_min_version="1.3"), tls(demo.origin, "old.test")) as gate:
        for name, good in ("new.test", False), ("old.test", True):
            assert is_let_in(gate, name, None, ssl.TLSVersion.TLSv1_2) == good
            assert is_let_in(gate, name, None, ssl.TLSVersion.TLSv1_3)
