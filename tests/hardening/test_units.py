"""The unit files are understood, and leave the service little."""

import os
import re
import subprocess

import pytest

DIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "dist")
SERVICES = {"gatehouse.service": 2.2, "gatehouse@.service": 1.6}


@pytest.fixture
def units(tmp_path):
    """Copies that start the program where it lies now."""
    for name in *SERVICES, "gatehouse.socket":
        with open(os.path.join(DIST, name)) as f:
            text = f.read()
        (tmp_path / name).write_text(text.replace("/usr/sbin/gatehouse", os.environ["GATEHOUSE_BIN"]))
    return tmp_path


def run(*args):
    return subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def test_nothing_is_wrong_with_them(units):
    done = run("systemd-analyze", "verify", *(str(units / name) for name in (*SERVICES, "gatehouse.socket")))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", SERVICES)
def test_exposure(units, name):
    done = run("systemd-analyze", "security", "--offline=true", str(units / name))
    assert done.stderr == ""
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert float(exposure.group(1)) <= SERVICES[name], done.stdout


def test_the_user_is_made(tmp_path):
    (tmp_path / "etc").mkdir()
    done = run("systemd-sysusers", "--root=%s" % tmp_path,
               os.path.join(os.path.abspath(DIST), "gatehouse.sysusers"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^gatehouse:", (tmp_path / "etc/passwd").read_text(), re.M)


def test_directories_are_made(tmp_path):
    done = run("systemd-tmpfiles", "--root=%s" % tmp_path, "--create",
               os.path.join(os.path.abspath(DIST), "gatehouse.tmpfiles"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "var/lib/gatehouse").stat().st_mode & 0o777 == 0o700


def test_what_they_name_is_what_there_is():
    """The same paths everywhere."""
    for name in SERVICES:
        text = open(os.path.join(DIST, name)).read()
        assert "ExecStart=/usr/sbin/gatehouse run -c /etc/gatehouse\n" in text
        for kind, path in ("Runtime", "/run"), ("State", "/var/lib"), ("Logs", "/var/log"):
            assert "%sDirectory=gatehouse\n" % kind in text
            assert " %s/gatehouse " % path in open(os.path.join(DIST, "gatehouse.tmpfiles")).read()
