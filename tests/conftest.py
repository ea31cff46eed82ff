"""A skipped test is a failed one: what check runs, it has installed. And what several folders' tests need."""

import resource

import pytest


@pytest.fixture(scope="module")
def descriptors():
    """As many as tests with thousands of connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def pytest_sessionfinish(session):
    stats = session.config.pluginmanager.get_plugin("terminalreporter").stats
    if stats.get("skipped"):
        session.exitstatus = 1
