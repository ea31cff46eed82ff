"""onward-transparent: a raw target sees the client's address, by the routing that the README gives."""

import os
import re
import subprocess
import sys

from gate import Gate, plain, tls, wait_until
from test_fallback import Sshd, Target, dial, fallback, raw, reload


def as_root(test):
    """What an ordinary user cannot do is no test for one."""
    return test if os.getuid() == 0 else None


NET_RAW = 1 << 13

IN_NETWORKS_OF_THEIR_OWN = """
import sys
sys.path.insert(0, %r)
from test_transparent import *
log_in_from_elsewhere()
"""


def ip(*args):
    subprocess.run(["ip", *args], check=True)


def route_answers_back():
    """What sshd sends from its loopback addresses to wherever comes back to this machine."""
    ip("rule", "add", "from", "127.0.0.1", "iif", "lo", "lookup", "123")
    ip("route", "add", "local", "default", "dev", "lo", "table", "123")
    ip("-6", "rule", "add", "from", "::1", "iif", "lo", "lookup", "123")
    ip("-6", "route", "add", "local", "default", "dev", "lo", "table", "123")


def connect_to_another_machine(pid):
    """An address of each family here, and on the machine that the process is in."""
    def other(*args):
        subprocess.run(["nsenter", "-t", str(pid), "-n", "ip", *args], check=True)

    ip("link", "set", "lo", "up")
    ip("link", "add", "here", "type", "veth", "peer", "name", "there", "netns", str(pid))
    for run, name, addresses in ((ip, "here", ("192.0.2.1/24", "2001:db8::1/64", "2001:db8::2/64")),
                                 (other, "there", ("192.0.2.9/24", "2001:db8::9/64"))):
        run("link", "set", name, "up")
        for address in addresses:
            run("address", "add", address, "dev", name, *["nodad"] * (":" in address))


def capabilities(pid):
    with open("/proc/%d/status" % pid) as status:
        return int(re.search(r"CapPrm:\s+(\w+)", status.read()).group(1), 16)


def log_in_from_elsewhere():
    """Runs in a network namespace of its own; the clients are in another one."""
    elsewhere = subprocess.Popen(["unshare", "-n", "cat"], stdin=subprocess.PIPE)
    wait_until(lambda: os.readlink("/proc/%d/ns/net" % elsewhere.pid) != os.readlink("/proc/self/ns/net"),
               "another network")
    connect_to_another_machine(elsewhere.pid)
    route_answers_back()
    with Sshd("127.0.0.1", "::1") as sshd:
        def vhost(address, onward):
            return tls(interface=address, **fallback(sshd, onward=onward, **{"onward-transparent": "1"}))

        def log_in(host, *where):
            """What sshd says about who came."""
            done = subprocess.run([*where, *sshd.ssh(gate.tls_port, "echo", "in", host=host)],
                                  capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
            assert done.stdout == b"in\n", done
            return re.findall(r"Connection from (\S+) port (\d+)", sshd.process.log())[-1]

        def assert_seen(host, *where):
            """And about which connection Gatehouse says that it came by this one."""
            seen, port = log_in(*where)
            assert seen == host
            gate.wait_log(r"raw connection to \S+ from %s:%s ended: " %
                          (re.escape("[%s]" % host if ":" in host else host), port))

        there = ["nsenter", "-t", str(elsewhere.pid), "-n"]
        gate = Gate(vhost("192.0.2.1", "ipv4:127.0.0.1:%d" % sshd.port),
                    vhost("2001:db8::1", "ipv6:[::1]:%d" % sshd.port),
                    vhost("2001:db8::2", "ipv4:127.0.0.1:%d" % sshd.port), count_threads="1")
        gate.ports = []
        with gate:
            gate.wait_log("note parent: serving ")
            assert_seen("192.0.2.9", "192.0.2.1", *there)
            assert_seen("2001:db8::9", "2001:db8::1", *there)
            assert_seen("192.0.2.1", "192.0.2.1")       # one of this machine
            assert_seen("127.0.0.1", "2001:db8::2", *there)     # of the other family: as ever
            assert capabilities(gate.process.pid) & NET_RAW
            assert not any(capabilities(pid) for pid in gate.children())
    elsewhere.communicate()


def test_what_takes_a_start():
    """A capability that was given up does not come back with a reload."""
    with Target() as target, Gate(plain(apply_listen_accept="1", **raw(target)), count_threads="1") as gate:
        gate.configure(plain(apply_listen_accept="1", **raw(target, **{"onward-transparent": "1"})),
                       count_threads="1")
        reload(gate)
        assert "onward-transparent: raw connections will fail: Operation not permitted" in gate.log()
        with dial(gate.plain_port) as w:
            w.expect_end()
        gate.wait_log(r"no socket with that address: Operation not permitted")


@as_root
def test_sshd_sees_the_client():
    here = os.path.dirname(os.path.abspath(__file__))
    done = subprocess.run(["unshare", "-n", sys.executable, "-c", IN_NETWORKS_OF_THEIR_OWN % here],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
