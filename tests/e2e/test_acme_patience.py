"""Certificates in time: what a CA asks for is obeyed, and none expires while one could be had."""

import time

from acmegate import AcmeGate, vhost
from gate import wait_until
from mockca import MockCA


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
