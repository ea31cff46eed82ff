"""Files that the configuration names are taken up by themselves when they change."""

import os
import shutil
import socket
import ssl

import pytest

import gate as g
from gate import Authority, Demo, Folder, Gate, authority, tls, wait_until
from test_process import mark, workers


@pytest.fixture(scope="module")
def demo():
    with Demo() as d:
        yield d


@pytest.fixture(scope="module")
def pairs():
    """Certificates of another authority, as good as those that are there."""
    other = Authority()
    pairs = []
    for _ in range(4):
        pairs.append([open(path, "rb").read() for path in other.issue("localhost", "127.0.0.1")])
        other.issued.clear()
    return pairs


def served(gate):
    """The certificate that a client gets."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", gate.tls_port), timeout=g.TIMEOUT) as s:
        with context.wrap_socket(s, server_hostname="localhost") as t:
            return t.getpeercert(binary_form=True)


def der(pair):
    return ssl.PEM_cert_to_DER_cert(pair[0].decode())


def vhost(demo, folder, **keys):
    return tls(demo.origin, host_ssl_cert=folder / "crt", host_ssl_key=folder / "key", **keys)


def put(folder, pair):
    for name, data in zip(("crt", "key"), pair):
        folder.write(name, data)


def rename(folder, pair):
    for name, data in zip(("crt", "key"), pair):
        os.rename(folder.write(name + ".new", data), folder / name)


@pytest.mark.parametrize("write", [put, rename])
def test_a_pair_is_taken_up(demo, pairs, write):
    folder = Folder()
    write(folder, pairs[0])
    with Gate(vhost(demo, folder)) as gate:
        pids = workers(gate)
        assert served(gate) == der(pairs[0])
        write(folder, pairs[1])
        wait_until(lambda: served(gate) == der(pairs[1]), "the new certificate")
        gate.wait_log(r"note parent: changed files: 1 certificate changes")
        # again, and without the old watches being of any use
        write(folder, pairs[2])
        wait_until(lambda: served(gate) == der(pairs[2]), "the newest certificate")
        assert workers(gate) == pids
        assert " error " not in gate.log()
    folder.remove()


def test_links_that_are_turned_to_other_files(demo, pairs):
    """As certbot has it: live/NAME/*.pem lead to archive/NAME/*N.pem."""
    folder = Folder()
    for i, pair in enumerate(pairs[:3]):
        folder.write("crt%d" % i, pair[0])
        folder.write("key%d" % i, pair[1])
    os.mkdir(folder / "live")

    def turn(i):
        for name in "crt", "key":
            link = folder / ("live/" + name)
            os.symlink("../%s%d" % (name, i), link + ".new")
            os.rename(link + ".new", link)
    turn(0)
    where = {"host_ssl_cert": folder / "live/crt", "host_ssl_key": folder / "live/key"}
    with Gate(tls(demo.origin, **where)) as gate:
        workers(gate)
        turn(1)
        wait_until(lambda: served(gate) == der(pairs[1]), "the new certificate")
        # the file behind the link
        folder.write("crt1", pairs[2][0])
        folder.write("key1", pairs[2][1])
        wait_until(lambda: served(gate) == der(pairs[2]), "the newest certificate")
        # a whole directory
        shutil.copytree(folder / "live", folder / "next", symlinks=True)
        for name in "crt", "key":
            os.unlink(folder / "next/" + name)
            os.symlink("../%s0" % name, folder / "next/" + name)
        os.rename(folder / "live", folder / "old")
        os.rename(folder / "next", folder / "live")
        wait_until(lambda: served(gate) == der(pairs[0]), "the first certificate")
    folder.remove()


def test_half_of_a_pair_waits_quietly_for_the_other(demo, pairs):
    folder = Folder()
    put(folder, pairs[0])
    with Gate(vhost(demo, folder), args=["-v"]) as gate:
        workers(gate)
        folder.write("key", pairs[1][1])
        # it has been tried
        gate.wait_log(r"(info parent: trial \(pid \d+\) has ended(.|\n)*){2}")
        assert served(gate) == der(pairs[0])
        assert " error " not in gate.log()
        folder.write("crt", pairs[1][0])
        wait_until(lambda: served(gate) == der(pairs[1]), "the new certificate")
        assert " error " not in gate.log()
        # when it does not come, that is told
        folder.write("crt", pairs[2][0])
        gate.wait_log(r"error parent: .*(crt|key)(.|\n)*changed files are not served: the ones before go on")
        assert served(gate) == der(pairs[1])
        folder.write("key", pairs[2][1])
        wait_until(lambda: served(gate) == der(pairs[2]), "the newest certificate")
        # as is a file that goes, and comes back
        os.unlink(folder / "key")
        gate.wait_log(r"error parent: .*cannot read(.|\n)*changed files are not served")
        assert served(gate) == der(pairs[2])
        put(folder, pairs[3])
        wait_until(lambda: served(gate) == der(pairs[3]), "another certificate")
    folder.remove()


def test_other_files_and_nothing_else(demo):
    """A style sheet counts; the configuration's own file, and bytes that are the same, do not."""
    folder = Folder()
    style = {"error_css": folder.write("css", "a {}")}
    certificate, _ = authority().issue("localhost", "127.0.0.1")
    with Gate(tls(demo.origin), **style) as gate:
        workers(gate)
        assert gate.get("/error.css").body == b"a {}"
        gate.configure(tls(demo.origin, headers=mark("1")), **style)
        os.utime(certificate)
        folder.write("css", "a {}")
        folder.write("css", "b {}")
        wait_until(lambda: gate.get("/error.css").body == b"b {}", "the new style")
        assert gate.get("/json")["X-Mark"] is None
        assert "configuration 3" not in gate.log()
    folder.remove()
