"""A certificate from a CA that has bad days: never a second order, and never one that is lost."""

import glob
import json
import os
import threading

import pytest

from acmegate import AcmeGate, Stop, trust, vhost
from gate import wait_until
from mockca import MockCA, Problem, thumbprint


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


def test_the_other_challenge():
    """What cannot be seen in one way is shown in the other, once; then there is patience."""
    with MockCA() as ca, AcmeGate(ca, vhost(ca), vhost(ca, "b.example", challenge="http-01")) as gate:
        ca.tls_port = 1     # nobody is there
        gate.wait_certificate(ca)
        gate.wait_certificate(ca, "b.example")
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


def test_looked_for_while_nobody_asks():
    """The CA answers 503 while it looks for the proof: that stays in place, and the order is the same."""
    with MockCA() as ca:
        ca.steps["authz"] = 1000    # finished by the timer below, not by who asks
        polls = []

        def look():
            entry = next(iter(ca.authzs.values()))
            busy = next(c for c in entry["object"]["challenges"] if c["status"] == "processing")
            with ca.lock:
                ca.finish(entry, busy)

        def answered(request):
            if request.resource == "challenge":
                threading.Timer(0.5, look).start()

        def arrived(request):
            polls.extend([0] * (request.resource == "authz"))
            if request.resource == "authz" and len(polls) == 2:
                raise Problem(503, "serverInternal", "busy")
        ca.on_request, ca.on_arrival = answered, arrived
        with AcmeGate(ca, vhost(ca)) as gate:
            gate.wait_certificate(ca)
        assert len(ca.orders) == 1 and len(polls) >= 2
