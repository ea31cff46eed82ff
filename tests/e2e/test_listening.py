"""Where Gatehouse listens: addresses, interfaces, families, Unix sockets with their owners."""

import contextlib
import grp
import os
import pwd
import signal
import socket
import subprocess
import sys

import pytest

import gate as g
from gate import Folder, Gate, free_port, plain, wait_until
from peers import Client
from recorder import Recorder

ROOT = os.geteuid() == 0


def as_root(test):
    """What an ordinary user cannot do is no test for one."""
    return test if ROOT else None


@pytest.fixture(scope="module")
def upstream():
    with Recorder() as r:
        yield r


def mark(value):
    return [{"X-Mark": value}]


def reached(port, *hosts):
    """{host: which vhost answers there}, without those where nobody does, or somebody who is leaving."""
    found = {}
    for host in hosts:
        with contextlib.suppress(ConnectionError, AssertionError):
            with Client(socket.create_connection((host, port), timeout=20)) as c:
                found[host] = c.get("/")["X-Mark"]
    return found


def reload(gate, number, *vhosts, **keys):
    gate.configure(*vhosts, count_threads="1", **keys)
    gate.signal(signal.SIGHUP)
    gate.wait_log(r"configuration %d is served" % number)


def run(path):
    return subprocess.run([g.GATEHOUSE, "run", "-c", path], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60)


# ---- addresses

HOSTS = "127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"


def test_several_addresses(upstream):
    port, lock = free_port()
    one = plain(upstream.origin, "one.example", headers=mark("one"), port=str(port),
                interface=["127.0.0.1", "127.0.0.2", "[::1]"])
    two = plain(upstream.origin, "two.example", headers=mark("two"), port=str(port),
                interface=["::1", "127.0.0.3"])
    with lock, Gate(plain(upstream.origin), one, two, count_threads="1") as gate:
        # where both are, the first answers whoever names neither
        assert reached(port, *HOSTS, "127.0.0.4") == {
            "127.0.0.1": "one", "127.0.0.2": "one", "127.0.0.3": "two", "::1": "one"}
        with Client(socket.create_connection(("::1", port), timeout=20)) as c:
            assert c.get("/", host="two.example")["X-Mark"] == "two"
        one["interface"] = "127.0.0.2"
        reload(gate, 2, plain(upstream.origin), one, two)
        wait_until(lambda: reached(port, *HOSTS) == {"127.0.0.2": "one", "127.0.0.3": "two", "::1": "two"},
                   "the addresses of the new configuration")


@pytest.mark.parametrize("keys, hosts", [
    ({}, {"127.0.0.1", "127.0.0.3", "::1"}),
    ({"noipv6": "on"}, {"127.0.0.1", "127.0.0.3"}),
    ({"ipv6only": "on"}, {"::1"}),
    ({"ipv6only": "off"}, {"127.0.0.1", "127.0.0.3"}),
    ({"interface": "0.0.0.0"}, {"127.0.0.1", "127.0.0.3"}),
    ({"interface": "::"}, {"::1"}),
    ({"interface": "lo"}, {"127.0.0.1", "::1"}),
    ({"interface": "lo", "noipv6": "1"}, {"127.0.0.1"}),
    ({"interface": ["lo", "127.0.0.3"], "ipv6only": "off"}, {"127.0.0.1", "127.0.0.3"}),
])
def test_families_and_interfaces(upstream, keys, hosts):
    port, lock = free_port()
    vhost = plain(upstream.origin, port=str(port), headers=mark("x"), **{"interface": "", **keys})
    with lock, Gate(plain(upstream.origin), count_threads="1") as gate:
        reload(gate, 2, plain(upstream.origin), vhost)
        wait_until(lambda: set(reached(port, "127.0.0.1", "127.0.0.3", "::1")) == hosts, "these addresses")


IN_A_NETWORK_OF_ITS_OWN = """
import sys
sys.path.insert(0, %r)
from test_listening import *
appear_and_vanish()
"""


def appear_and_vanish():
    """Runs in a network namespace, where lo is down at first and its addresses are ours to change."""
    def ip(*args):
        subprocess.run(("ip",) + args, check=True)

    port = 8080
    with Recorder() as up:
        # a listener elsewhere, so that something is served from the start
        folder = Folder()
        gate = Gate(count_threads="1")
        gate.configure(plain(up.origin, interface=folder / "in.sock", unix_socket="1", port="1"),
                       plain(up.origin, interface="lo", port=str(port), headers=mark("lo")),
                       count_threads="1")
        gate.ports = []
        with gate:
            gate.wait_log(r"interface \"lo\" does not exist or has no address: not listening on lo:%d" % port)
            gate.wait_log(r"note parent: serving ")
            with Client.unix(folder / "in.sock") as c:
                assert c.get("/").status == 200
                ip("link", "set", "lo", "up")
                wait_until(lambda: reached(port, "127.0.0.1", "::1", "127.0.0.9") ==
                           {"127.0.0.1": "lo", "::1": "lo"}, "the interface's addresses")
                ip("address", "add", "127.0.0.9/8", "dev", "lo")
                wait_until(lambda: "127.0.0.9" in reached(port, "127.0.0.9"), "the new address")
                ip("address", "del", "127.0.0.9/8", "dev", "lo")
                wait_until(lambda: not reached(port, "127.0.0.9"), "the address to be gone")
                assert c.get("/").status == 200
        folder.remove()


@as_root
def test_an_interface_comes_and_goes():
    here = os.path.dirname(os.path.abspath(__file__))
    done = subprocess.run(["unshare", "-n", sys.executable, "-c", IN_A_NETWORK_OF_ITS_OWN % here],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


# ---- Unix sockets

def unix(origin, path, **keys):
    return plain(origin, interface=path, unix_socket="1", **keys)


def ask(path):
    with Client.unix(path) as c:
        return c.get("/", X_Forwarded_For="203.0.113.9")


def owner(path):
    st = os.lstat(path)
    return pwd.getpwuid(st.st_uid).pw_name, grp.getgrgid(st.st_gid).gr_name, st.st_mode & 0o7777


def test_unix_sockets(upstream):
    folder = Folder()
    abstract = "gatehouse-test-%d" % os.getpid()
    with Gate(plain(upstream.origin), unix(upstream.origin, [folder / "a", folder / "b", "@" + abstract]),
              count_threads="1") as gate:
        assert gate.get("/", tls=False).status == 200
        for path in folder / "a", folder / "b", "\0" + abstract:
            assert ask(path).status == 200
            # nobody knows who it is, and what he says of others does not count
            assert upstream.requests[-1]["X-Forwarded-For"] == "unix"
        reload(gate, 2, plain(upstream.origin), unix(upstream.origin, folder / "b"), trusted_proxies="unix")
        assert ask(folder / "b").status == 200
        assert upstream.requests[-1]["X-Forwarded-For"] == "203.0.113.9, unix"
        wait_until(lambda: not os.path.exists(folder / "a"), "the file to be gone")
    assert not os.path.exists(folder / "b")
    folder.remove()


def test_owners_and_modes_of_unix_sockets(upstream):
    me, ours = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    others = ("nobody", "daemon") if ROOT else (me, ours)
    folder = Folder()

    def vhost(perms=None):
        return unix(upstream.origin, folder / "in", **({"unix_socket_perms": perms} if perms else {}))

    with Gate(plain(upstream.origin), vhost("%s:%s" % others), count_threads="1") as gate:
        assert owner(folder / "in") == (*others, 0o600)
        number = 2
        for perms, expected in (("%s:%s:0660" % others, (*others, 0o660)),
                                ("%s:%s:666" % (me, ours), (me, ours, 0o666)),
                                (None, (me, ours, 0o600)),
                                ("%s:%s:0640" % others, (*others, 0o640))):
            before = os.lstat(folder / "in").st_ino
            reload(gate, number, plain(upstream.origin), vhost(perms))
            wait_until(lambda: owner(folder / "in") == expected, "owner and mode %s" % (expected,))
            # the same socket goes on
            assert os.lstat(folder / "in").st_ino == before
            assert ask(folder / "in").status == 200
            number += 1
    folder.remove()


def test_unknown_owners_are_told(upstream):
    folder = Folder()
    gate = Gate(unix(upstream.origin, folder / "in", unix_socket_perms="nobody-at-all:no-such-group"))
    done = run(gate.path)
    assert done.returncode == 1
    assert 'there is no user "nobody-at-all"' in done.stderr
    assert 'there is no group "no-such-group"' in done.stderr
    assert not os.path.exists(folder / "in")
    gate.folder.remove()
    folder.remove()


def test_nothing_but_a_stale_socket_is_replaced(upstream):
    folder = Folder()
    victim = folder.write("victim", "keep me")
    perms = "nobody:daemon:0666" if ROOT else "%s:%s" % owner(victim)[:2]
    os.chmod(victim, 0o640)
    os.symlink(victim, folder / "in")
    for path in folder / "in", victim:
        gate = Gate(unix(upstream.origin, path, unix_socket_perms=perms))
        done = run(gate.path)
        assert done.returncode == 1 and "something else lies at this path" in done.stderr, done.stderr
        gate.folder.remove()
    assert os.path.islink(folder / "in") and open(victim).read() == "keep me"
    assert os.stat(victim).st_mode & 0o777 == 0o640 and os.stat(victim).st_uid == os.geteuid()
    # what a killed process leaves
    os.unlink(folder / "in")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(folder / "in")
    with Gate(plain(upstream.origin), unix(upstream.origin, folder / "in"), count_threads="1"):
        assert ask(folder / "in").status == 200
    folder.remove()
