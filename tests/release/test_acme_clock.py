"""Months of a certificate's life, by a clock that is ahead (libfaketime; a sanitizer would be in its way)."""

import glob
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))

from acmegate import AcmeGate, vhost        # noqa: E402
from gate import wait_until                 # noqa: E402
from mockca import MockCA                   # noqa: E402

FAKETIME = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")[0]


def start_ahead(gate, days):
    gate.stop()
    gate.env = {"LD_PRELOAD": FAKETIME, "FAKETIME": "+%dd" % days}
    gate.start()


def test_ninety_days():
    """With a third of its life left a certificate is renewed, and not before."""
    with MockCA() as ca, AcmeGate(ca, vhost(ca)) as gate:
        first = gate.wait_certificate(ca)
        start_ahead(gate, 59)
        assert gate.certificate(ca)[0] == first
        wait_until(lambda: ca.count("directory") == 2, "the question when to renew, after a day")
        assert ca.count("newOrder") == 1
        start_ahead(gate, 61)
        gate.wait_certificate(ca, other_than=first)
        assert ca.count("newOrder") == 2


def test_expired_while_nobody_was_there():
    """It is replaced at once; the new one is not good by a clock that is ahead, and there is no rush."""
    with MockCA() as ca, AcmeGate(ca, vhost(ca)) as gate:
        first = gate.wait_certificate(ca)
        start_ahead(gate, 200)
        gate.wait_certificate(ca, other_than=first)
        wait_until(lambda: gate.state().get("ecdsa", {}).get("early"), "what came to be seen as expired")
        wait_until(lambda: ca.count("newOrder") == 3, "one more try")
        wait_until(lambda: gate.state().get("next_ms"), "patience")
        assert ca.count("newOrder") == 3


def test_clock_set_back():
    """What was put down for later does not hang in the future."""
    with MockCA() as ca, AcmeGate(ca, vhost(ca)) as gate:
        gate.stop()
        ca.fault("newOrder", status=503, times=3)
        gate.env = {"LD_PRELOAD": FAKETIME, "FAKETIME": "+400d"}
        gate.start()
        wait_until(lambda: ca.count("newOrder") >= 2, "failures")
        gate.stop()
        gate.env = {}
        ca.heal()
        gate.start()
        gate.wait_certificate(ca)
