"""A certificate from a CA that has bad days: never a second order, never one that is lost, always in time."""

import contextlib
import functools
import glob
import json
import os
import signal
import socket
import ssl
import threading
import time

import pytest

from gate import Folder, Gate, plain, wait_until
from mockca import Lost, MockCA, Problem, thumbprint

NAME = "a.example"


def vhost(ca, name=NAME, **more):
    """A vhost on TLS with a certificate from that CA; more: keys of its `acme`, _ for -."""
    keys = {"directory-url": ca.directory, "directory-ca": trust(ca)}
    keys.update({key.replace("_", "-"): value for key, value in more.items()})
    return plain(None, name, acme=keys)


@functools.cache
def trust(*cas):
    """A file of what those CAs' own https is to be trusted by."""
    folder = Folder()
    folders.append(folder)
    return folder.write("ca.pem", "".join(ca.own.pem for ca in cas))


folders = []    # they live as long as the tests


class AcmeGate(Gate):
    """A gate whose vhosts with `acme` are on the TLS port, where the CA looks for them."""

    def __init__(self, ca, *vhosts, **keys):
        super().__init__(**keys)
        for v in vhosts:
            v["port"] = str(self.tls_port)
        self.configure(*vhosts, plain(None, "plain.example"), **keys)
        ca.http_port, ca.tls_port = self.plain_port, self.tls_port

    def certificate(self, ca, name=NAME):
        """(serial number, not after) of what is served, verified; or None."""
        context = ssl.create_default_context(cadata=ca.issuer.pem)
        try:
            with socket.create_connection(("127.0.0.1", self.tls_port), 5) as s:
                with context.wrap_socket(s, server_hostname=name) as t:
                    cert = t.getpeercert()
        except ssl.SSLCertVerificationError as e:
            raise AssertionError("%s is served what is not good: %s" % (name, e)) from None
        except OSError:
            return None
        return int(cert["serialNumber"], 16), ssl.cert_time_to_seconds(cert["notAfter"])

    def wait_certificate(self, ca, name=NAME, other_than=None, timeout=20):
        def look():
            found = self.certificate(ca, name)
            return found if found and found[0] != other_than else None
        return wait_until(look, "a certificate for " + name, timeout)[0]

    def state(self, name=NAME):
        with open(os.path.join(self.folder.path, "acme/orders", name + ".json")) as f:
            return json.load(f)

    def kill_all(self):
        """The parent and all below it, at once."""
        pids = [self.process.pid]
        for pid in pids:
            with contextlib.suppress(OSError):
                for task in glob.glob("/proc/%d/task/*/children" % pid):
                    with open(task) as f:
                        pids += [int(child) for child in f.read().split()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_one_certificate():
    """The straight way: each request once, and what is kept is a whole."""
    with MockCA() as ca, AcmeGate(ca, vhost(ca, challenge="tls-alpn-01")) as gate:
        gate.wait_certificate(ca)
        for resource in ("directory", "newAccount", "newOrder", "challenge", "finalize", "cert"):
            assert ca.count(resource) == 1, ca.requests
        for path in glob.glob(gate.folder.path + "/acme/*/*"):
            assert os.stat(path).st_mode & 0o777 == 0o600 and os.path.getsize(path) > 0, path
        with open(glob.glob(gate.folder.path + "/acme/accounts/*")[0]) as f:
            jwk = json.load(f)
        account = next(iter(ca.accounts.values()))
        assert jwk["kty"] == "EC" and "d" in jwk and thumbprint(account["jwk"]) == thumbprint(jwk)


@pytest.mark.parametrize("kind", ["http-01", "tls-alpn-01"])
def test_restart_keeps_it(kind):
    with MockCA() as ca, AcmeGate(ca, vhost(ca, challenge=kind)) as gate:
        serial = gate.wait_certificate(ca)
        gate.stop()
        gate.start()
        assert gate.wait_certificate(ca) == serial
        assert ca.count("newOrder") == 1 and ca.count("newAccount") == 1


def test_names_and_kinds():
    """Several names, an RSA key and an elliptic one beside each other."""
    with MockCA() as ca, AcmeGate(ca, vhost(ca, names=["b.example", "c.example"], key="both")) as gate:
        serial = gate.wait_certificate(ca)
        wait_until(lambda: len(ca.issued()) == 2, "the second certificate")
        assert {type(cert.public_key()).__name__ for cert in ca.issued()} == \
            {"_EllipticCurvePublicKey", "_RSAPublicKey"}
        assert serial == ca.issued()[0].serial_number
        assert all(request.payload["identifiers"] == [{"type": "dns", "value": name} for name in
                                                      ("a.example", "b.example", "c.example")]
                   for request in ca.requests if request.resource == "newOrder")


def test_half_of_all_nonces_are_refused():
    names = ["n%d.example" % i for i in range(20)]
    with MockCA() as ca:
        ca.reject_nonces = 0.5
        with AcmeGate(ca, *(vhost(ca, name) for name in names)) as gate:
            for name in names:
                gate.wait_certificate(ca, name, timeout=60)
        assert ca.count("newOrder") == len(names) and len(ca.accounts) == 1


FAULTS = {
    "503": {"status": 503},
    "500": {"status": 500},
    "close": {"how": "close"},
    "truncate": {"how": "truncate"},
    "garbage": {"how": "garbage"},
    "slow": {"how": "slow"},
    "huge": {"how": "huge"},
    "badNonce": {"how": "badNonce"},
    "lost": {"how": "close", "after": True},
}


def test_every_fault_at_every_resource():
    """Each strikes one of many orders, and none of them is made twice."""
    resources = ["newNonce", "newAccount", "newOrder", "authz", "challenge", "order", "finalize", "cert"]
    with MockCA() as ca:
        for resource in resources:
            for fault in FAULTS.values():
                ca.fault(resource, **fault)
        names = ["n%d.example" % i for i in range(40)]
        with AcmeGate(ca, *(vhost(ca, name) for name in names)) as gate:
            for name in names:
                gate.wait_certificate(ca, name, timeout=60)
        assert not [f for resource, f in ca.faults.items() if f and resource != "newNonce"], ca.faults
        assert len(ca.orders) == len(names) and len(ca.accounts) == 1


class Stop:
    """Ends the gate at a request: before it is served, or when it has been and the answer is on its way."""

    def __init__(self, gate, ca, at, before):
        self.gate, self.at, self.seen, self.done = gate, at, 0, threading.Event()
        self.lock = threading.Lock()
        ca.on_arrival = self.look if before else None
        ca.on_request = None if before else self.look

    def look(self, _):
        with self.lock:
            self.seen += 1
            if self.seen != self.at or self.done.is_set():
                return
            self.gate.kill_all()
            self.done.set()
        raise Lost()


@pytest.mark.parametrize("before", [True, False], ids=["unheard", "unanswered"])
def test_killed_at_each_request(before):
    """SIGKILL of everything at the first request, at the second, ...: there is one order, one account."""
    at = 1
    while True:
        with MockCA() as ca, AcmeGate(ca, vhost(ca), count_threads="1") as gate:
            stop = Stop(gate, ca, at, before)
            wait_until(lambda: stop.done.is_set() or gate.certificate(ca), "request %d" % at)
            if not stop.done.is_set():
                assert at > 8, "%d requests in all" % at
                return
            gate.process.process.wait()
            gate.start()
            gate.wait_certificate(ca)
            assert len(ca.orders) == 1 and len(ca.accounts) == 1, (at, ca.requests)
            assert len(ca.issued()) == 1
        at += 1


def test_too_many_requests():
    """Retry-After: 5 means five seconds; it is remembered over a restart."""
    with MockCA() as ca:
        ca.fault("newOrder", status=429, kind="rateLimited", headers={"Retry-After": "5"})
        with AcmeGate(ca, vhost(ca)) as gate:
            wait_until(lambda: ca.count("newOrder") == 1, "the first order")
            gate.wait_log("rateLimited")
            gate.kill_all()
            gate.process.process.wait()
            gate.start()
            gate.wait_certificate(ca)
        first, second = ca.times("newOrder")
        assert 5 <= second - first < 6, second - first


def test_what_takes_time():
    """An order that is being processed, a proof that is being looked for: Retry-After is obeyed."""
    with MockCA() as ca:
        ca.steps = {"order": 2, "authz": 2}
        ca.retry_after = {"order": 1, "authz": 1}
        with AcmeGate(ca, vhost(ca)) as gate:
            gate.wait_certificate(ca)
        authz, order = ca.times("authz")[1:], ca.times("finalize") + ca.times("order")[1:]
        assert len(authz) == 3 and len(order) == 4, ca.requests
        assert all(0.95 < b - a < 2 for times in (authz, order) for a, b in zip(times, times[1:]))
        assert ca.count("newOrder") == 1


def test_no_answer_at_all():
    """Thirty seconds, and then again."""
    with MockCA() as ca:
        ca.fault("newAccount", how="hang")
        with AcmeGate(ca, vhost(ca)) as gate:
            gate.wait_certificate(ca, timeout=60)
        first, second = ca.times("newAccount")
        assert 29 < second - first < 36, second - first


def test_lost_account():
    """The CA has forgotten the account, and all its orders."""
    with MockCA(validity=8) as ca, AcmeGate(ca, vhost(ca)) as gate:
        serial = gate.wait_certificate(ca)
        with ca.lock:
            ca.accounts.clear()
        gate.wait_certificate(ca, other_than=serial)
        assert ca.count("newAccount") == 2
        gate.wait_log("does not know the account any more")


def test_lost_account_within_an_order():
    with MockCA() as ca:
        with AcmeGate(ca, vhost(ca)) as gate:
            stop = Stop(gate, ca, 4, True)
            wait_until(stop.done.is_set, "the fourth request")
            gate.process.process.wait()
            with ca.lock:
                ca.accounts.clear()
            gate.start()
            gate.wait_certificate(ca)
        assert ca.count("newOrder") == 2


def test_never_expired():
    """A CA that is away for much of a short life: what is served is good all the time."""
    with MockCA(validity=12) as ca, AcmeGate(ca, vhost(ca)) as gate:
        serial = gate.wait_certificate(ca)
        for resource in ("directory", "newNonce", "newOrder"):
            ca.fault(resource, status=503, times=10000)
        back = time.monotonic() + 9

        def look():
            found = gate.certificate(ca)    # fails when it is not good any more
            assert found
            if time.monotonic() > back:
                ca.heal()
            return found[0] != serial
        wait_until(look, "a new certificate", 30)


def test_away_at_new_order_only():
    with MockCA(validity=12) as ca, AcmeGate(ca, vhost(ca)) as gate:
        serial = gate.wait_certificate(ca)
        ca.fault("newOrder", status=503, times=3)
        gate.wait_certificate(ca, other_than=serial)


def test_the_other_challenge():
    """What cannot be seen in one way is shown in the other, once; then there is patience."""
    with MockCA() as ca, AcmeGate(ca, vhost(ca), vhost(ca, "b.example", challenge="http-01")) as gate:
        ca.tls_port = 1     # nobody is there
        gate.wait_certificate(ca)
        gate.wait_certificate(ca, "b.example")
        assert ca.count("newOrder") == 3


def test_a_name_that_fails():
    """Two orders in the first minute, and nobody waits for it."""
    with MockCA() as ca:
        with AcmeGate(ca, vhost(ca, "bad.example"), vhost(ca, "good.example")) as gate:
            look = ca.look_tls_alpn_01, ca.look_http_01

            def fail_bad(real):
                def check(name, token, expected):
                    if name == "bad.example":
                        raise ValueError("no such name")
                    real(name, token, expected)
                return check
            ca.look_tls_alpn_01, ca.look_http_01 = map(fail_bad, look)
            gate.wait_certificate(ca, "good.example")
            gate.wait_log(r"bad\.example by tls-alpn-01: ValueError: no such name \(unauthorized\); and .*"
                          r"bad\.example by http-01: .*; next try in (6|7)\d s")
            bad = [r for r in ca.requests if r.resource == "newOrder"
                   and r.payload["identifiers"][0]["value"] == "bad.example"]
            assert len(bad) == 2
            state = gate.state("bad.example")
            assert state["failures"] == 1 and state["next_ms"] > (time.time() + 50) * 1000
            gate.kill_all()
            gate.process.process.wait()
            gate.start()    # and no sooner after a restart
            gate.wait_certificate(ca, "good.example")
            assert ca.count("newOrder") == 3


def test_only_what_is_offered():
    with MockCA() as ca:
        ca.offers = ["http-01"]
        with AcmeGate(ca, vhost(ca)) as gate:
            gate.wait_certificate(ca)
        assert ca.count("newOrder") == 1


def test_customers_only():
    """External account binding; without it the reason is told."""
    with MockCA() as ca:
        ca.binding = {"kid-1": b"0123456789abcdef"}
        with AcmeGate(ca, vhost(ca)) as gate:
            gate.wait_log("eab-kid")
        bound = vhost(ca, eab_kid="kid-1", eab_hmac="MDEyMzQ1Njc4OWFiY2RlZg")
        with AcmeGate(ca, bound) as gate:
            gate.wait_certificate(ca)


def test_directories_in_turn():
    with MockCA() as away, MockCA() as ca:
        away.fault("directory", status=503, times=10000)
        both = vhost(ca, directory_url=[away.directory, ca.directory], directory_ca=trust(away, ca))
        with AcmeGate(ca, both) as gate:
            gate.wait_certificate(ca)
        assert away.count("directory") >= 1 and away.count("newOrder") == 0


def test_the_ca_says_when():
    """RFC 9773: renewed within the window, by an order that says what it replaces."""
    with MockCA() as ca:
        ca.window, ca.ari_retry_after = (3, 5), 1
        with AcmeGate(ca, vhost(ca)) as gate:
            serial = gate.wait_certificate(ca)
            wait_until(lambda: ca.count("renewalInfo") >= 2, "being asked again")
            ca.window = (1000, 2000)
            wait_until(lambda: ca.count("renewalInfo") >= 3, "being asked again")
            asked = ca.times("renewalInfo")
            assert all(0.95 < b - a < 2 for a, b in zip(asked, asked[1:])), asked
            ca.window, ca.ari_retry_after = (0, 1), 3600
            gate.wait_certificate(ca, other_than=serial)
            orders = [r.payload for r in ca.requests if r.resource == "newOrder"]
            assert "replaces" not in orders[0] and "." in orders[1]["replaces"]


def test_replaced_by_another():
    """409: the order is made all the same, without saying what it replaces."""
    with MockCA() as ca:
        ca.window = (2, 3)
        with AcmeGate(ca, vhost(ca)) as gate:
            serial = gate.wait_certificate(ca)
            ca.fault("newOrder", status=409, kind="alreadyReplaced")
            ca.window = (1000, 2000)
            ca.ari_retry_after = 1
            wait_until(lambda: ca.count("renewalInfo"), "being asked")
            gate.wait_certificate(ca, other_than=serial)
        orders = [r.payload for r in ca.requests if r.resource == "newOrder" and r.payload]
        assert len(orders) == 2 and "replaces" not in orders[1]


def test_broken_files():
    """What lies there is no state, no account, no certificate: it is begun anew, and served."""
    with MockCA() as ca, AcmeGate(ca, vhost(ca)) as gate:
        gate.wait_certificate(ca)
        gate.stop()
        for path in glob.glob(gate.folder.path + "/acme/*/*"):
            with open(path, "r+b") as f:
                f.truncate(os.path.getsize(path) // 2)
        gate.start()
        gate.wait_certificate(ca)
        assert ca.count("newOrder") == 2 and len(ca.accounts) == 2


def test_an_order_that_is_gone():
    """The CA has lost the order, not the account: another one is made."""
    with MockCA() as ca, AcmeGate(ca, vhost(ca)) as gate:
        stop = Stop(gate, ca, 5, True)
        wait_until(stop.done.is_set, "the fifth request")
        gate.process.process.wait()
        with ca.lock:
            ca.orders.clear()
        gate.start()
        gate.wait_certificate(ca)


def test_words():
    """A CA's reason is told as it stands, on one line and without control characters."""
    with MockCA() as ca:
        real = ca.serve_newOrder

        def refuse(payload, account):
            raise Problem(403, "rejectedIdentifier", "not \x1b[31mthis\nname")
        ca.serve_newOrder = refuse
        with AcmeGate(ca, vhost(ca)) as gate:
            gate.wait_log(r"the CA answers 403: not \?\[31mthis\?name \(rejectedIdentifier\); next try")
            assert gate.state()["error"].endswith("(rejectedIdentifier)")
        ca.serve_newOrder = real
