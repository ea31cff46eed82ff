"""Each module has one Gatehouse with a plain listener, before the demo application."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))

from gate import Demo, Gate, plain      # noqa: E402
from h2wire import H2                   # noqa: E402


@pytest.fixture(scope="module")
def demo():
    with Demo() as running:
        yield running


@pytest.fixture(scope="module")
def gate(demo):
    with Gate(plain(demo.origin), count_threads="1") as running:
        yield running


@pytest.fixture
def c(gate):
    """A connection; what the test leaves on it goes with it."""
    with H2.plain(gate) as client:
        yield client


@pytest.fixture
def unsent(demo):
    """Asserts afterwards that the application has seen no request of the test."""
    before = demo.stats()["requests"]
    yield
    assert demo.stats()["requests"] == before + 1
