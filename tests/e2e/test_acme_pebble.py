"""Certificates from Pebble: each challenge, as a user would configure it."""

import pytest

from gate import Gate, plain
from pebble import Pebble, acme


@pytest.mark.parametrize("challenge", ["tls-alpn-01", "http-01"])
def test_first_certificate(challenge):
    pebble = Pebble()
    gate = Gate(acme("a.test", pebble, acme_challenge=challenge), plain(name="a.test"))
    with pebble.serving(gate), gate:
        assert pebble.served(gate, "a.test").names == {"a.test"}
