"""Upstreams that have names: the resolver process, several addresses, answers that change, stay away or lie.

Gatehouse runs in a mount namespace of its own, in which the files that the C library reads are the test's.
"""

import contextlib
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import threading

import pytest

from gate import GATEHOUSE, REPORTS, Folder, Gate, Process, authority, free_port, plain, wait_until
from peers import ScriptedUpstream, answering, response

WRAPPER = """#!/bin/sh
exec unshare --mount --propagation private sh -c '
	for name in hosts nsswitch.conf resolv.conf host.conf; do
		mount --bind "$0/$name" "/etc/$name" || exit 1
	done
	exec "$@"' %s %s "$@"
"""


class Names(Folder):
    """The files in which names are looked up, and a program that is Gatehouse with these for its own."""

    def __init__(self, dns=None, **hosts):
        super().__init__()
        self.write("host.conf", "multi on\n")
        self.write("nsswitch.conf", "hosts: files %s\n" % ("dns" if dns else ""))
        self.write("resolv.conf", "nameserver %s\noptions timeout:1 attempts:1\n" % (dns or "127.0.0.1"))
        self.set(**hosts)
        self.program = self.write("gatehouse", WRAPPER % (self.path, GATEHOUSE))
        for name in os.listdir(self.path):
            os.chmod(self / name, 0o755)

    def set(self, **hosts):
        """app="127.0.0.1 ::1": what app.test is. In place: the file is mounted."""
        self.write("hosts", "".join("%s %s.test\n" % (address, name) for name, addresses in hosts.items()
                                    for address in addresses.split()))


class NamedGate(Gate):
    def __init__(self, names, *vhosts, **keys):
        keys.setdefault("timeouts", {"resolve-interval": "100ms"})
        super().__init__(*vhosts, **keys)
        self.program = names.program

    def start(self):
        super().start()
        self.wait_log(r"serving \d+ vhost")

    def reload(self, number, *vhosts, **keys):
        keys.setdefault("timeouts", {"resolve-interval": "100ms"})
        self.configure(*vhosts, **keys)
        self.signal(signal.SIGHUP)
        self.wait_log(r"configuration %d is served" % number)

    def resolvers(self):
        return [pid for pid in self.children() if title_of(pid) == "gatehouse: resolver"]

    def ask(self, path="/"):
        return self.get(path, tls=False)

    def ask_until(self, status):
        return wait_until(lambda: (r := self.ask()).status == status and r, "an answer with %d" % status)


def title_of(pid):
    with contextlib.suppress(OSError), open("/proc/%d/cmdline" % pid) as f:
        return f.read().rstrip("\0")


def status_of(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t") for line in f)


@pytest.fixture
def port():
    number, lock = free_port()
    yield number
    lock.close()


def up(host, port):
    """An upstream that answers with its address."""
    return ScriptedUpstream(answering(response(host.encode())), tcp=(host, port))


def test_a_name_is_looked_up_before_the_first_request(port):
    with up("127.0.0.1", port), NamedGate(Names(app="127.0.0.1"),
                                          plain("http://App.test:%d/" % port)) as gate:
        for _ in range(3):
            assert gate.ask().body == b"127.0.0.1"
        gate.wait_log(r"upstream name app\.test is 127\.0\.0\.1\n")
        assert " down" not in gate.log()


@pytest.mark.parametrize("here, addresses", [("127.0.0.4", "127.0.0.2 127.0.0.3 127.0.0.4"),
                                             ("::1", "127.0.0.2 ::1"), ("127.0.0.2", "::1 127.0.0.2")])
def test_addresses_are_tried_in_turn(port, here, addresses):
    with up(here, port), NamedGate(Names(app=addresses), plain("http://app.test:%d/" % port)) as gate:
        for _ in range(3):
            assert gate.ask().body == here.encode()
        told = gate.wait_log(r"upstream name app\.test is (.*)\n").group(1)
        assert sorted(told.split(", ")) == sorted(addresses.split())
        assert " down" not in gate.log()


def test_a_change_is_taken_up(port):
    names = Names(app="127.0.0.2")
    with up("127.0.0.2", port), up("127.0.0.3", port) as other, \
            NamedGate(names, plain("http://app.test:%d/" % port)) as gate:
        assert gate.ask().body == b"127.0.0.2"
        names.set(app="127.0.0.3")
        gate.wait_log(r"upstream name app\.test is 127\.0\.0\.3\n")
        # kept connections to where it was are not used
        wait_until(lambda: gate.ask().body == b"127.0.0.3", "the other address")
        for _ in range(8):
            assert gate.ask().body == b"127.0.0.3"
        # nor is it asked anew for each request
        assert other.connections <= 2
        # and when the name is gone, it stays where it was
        names.set()
        gate.wait_log(r"upstream name app\.test does not resolve: .*; its last addresses go on being used")
        assert gate.ask().body == b"127.0.0.3"
        names.set(app="127.0.0.3")
        gate.wait_log(r"upstream name app\.test resolves again")


def test_a_name_that_comes_later_is_found_by_the_next_request(port):
    names = Names()
    with up("127.0.0.1", port), NamedGate(names, plain("http://app.test:%d/" % port),
                                          timeouts={"resolve-interval": "1h"}) as gate:
        gate.wait_log(r"upstream name app\.test does not resolve: .*requests get 503")
        answer = gate.ask()
        assert answer.status == 503 and answer["retry-after"]
        gate.wait_log(r"upstream app\.test:%d is down: its name has no address" % port)
        names.set(app="127.0.0.1")
        assert gate.ask_until(200).body == b"127.0.0.1"


def test_requests_wait_for_a_name_that_moved(port):
    """All its addresses refuse: it is looked up at once, and who waits for its return is served elsewhere."""
    names = Names(app="127.0.0.2")
    with NamedGate(names, plain("http://app.test:%d/" % port),
                   timeouts={"resolve-interval": "1h", "ride-out": "20s"}) as gate:
        with up("127.0.0.2", port):
            assert gate.ask().body == b"127.0.0.2"
        with up("127.0.0.3", port):
            names.set(app="127.0.0.3")
            assert gate.ask().body == b"127.0.0.3"
        assert "is back after" in gate.log()


def test_without_names_there_is_no_resolver_and_a_reload_brings_one(port):
    with up("127.0.0.1", port) as here, NamedGate(Names(app="127.0.0.1"), plain(here.origin)) as gate:
        assert gate.ask().status == 200
        assert not gate.resolvers()
        gate.reload(2, plain("http://app.test:%d/" % port))
        assert len(gate.resolvers()) == 1
        assert gate.ask().status == 200
        gate.reload(3, plain(here.origin))
        wait_until(lambda: not gate.resolvers(), "the resolver to end")
        assert gate.ask().status == 200


def test_the_resolver_has_no_privilege(port):
    with up("127.0.0.1", port), NamedGate(Names(app="127.0.0.1"),
                                          plain("http://app.test:%d/" % port)) as gate:
        pid, = gate.resolvers()
        status = status_of(pid)
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        assert {status["Cap" + name] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
        assert "0" not in status["Uid"].split() + status["Gid"].split() + status["Groups"].split()
        # standard streams, control socket, epoll: nothing of the parent's
        files = [os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)]
        assert not [name for name in files if "bundle" in name or name.endswith("conf")], files
        assert sum(name.startswith("socket:") for name in files) == 1, files


def test_the_resolver_may_die(port):
    names = Names(app="127.0.0.2")
    with up("127.0.0.2", port), up("127.0.0.3", port), \
            NamedGate(names, plain("http://app.test:%d/" % port)) as gate:
        for _ in range(3):
            before, = gate.resolvers()
            os.kill(before, signal.SIGKILL)
            assert gate.ask().body == b"127.0.0.2"
            wait_until(lambda: gate.resolvers() not in ([], [before]), "another resolver")
        names.set(app="127.0.0.3")
        wait_until(lambda: gate.ask().body == b"127.0.0.3", "the change, from another resolver")


def test_workers_that_are_born_later_know_the_addresses(port):
    with up("127.0.0.1", port), NamedGate(Names(app="127.0.0.1"), plain("http://app.test:%d/" % port),
                                          timeouts={"resolve-interval": "1h"}, count_threads="1") as gate:
        assert gate.ask().status == 200
        for _ in range(2):
            worker, = (pid for pid in gate.children() if "worker" in title_of(pid))
            os.kill(worker, signal.SIGKILL)
            assert gate.ask().status == 200
        gate.reload(2, plain("http://app.test:%d/x" % port), count_threads="2")
        assert gate.ask().status == 200
        gate.workers_expected = 2


# ---- DNS

class Dns:
    """A name server: A of what is in .addresses; nothing, when asked for a name in .silent; no to others."""

    def __init__(self):
        self.addresses, self.silent, self.asked = {}, set(), []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for last in range(1, 255):
            self.host = "127.9.%d.%d" % (os.getpid() % 256, last)
            with contextlib.suppress(OSError):
                self.socket.bind((self.host, 53))
                break
        threading.Thread(target=self.serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                self.answer(*self.socket.recvfrom(512))

    def answer(self, question, client):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        name, (kind,) = ".".join(labels), struct.unpack_from("!H", question, at + 1)
        self.asked.append(name)
        if name in self.silent:
            return
        addresses = self.addresses.get(name, []) if kind == 1 else []
        code = 0 if name in self.addresses else 3
        head = question[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(addresses), 0, 0)
        records = b"".join(struct.pack("!HHHIH", 0xc00c, 1, 1, 0, 4) + socket.inet_aton(a) for a in addresses)
        self.socket.sendto(head + question[12:at + 5] + records, client)


def test_a_slow_name_delays_no_other(port):
    with Dns() as dns, up("127.0.0.1", port), up("127.0.0.2", port):
        dns.silent = {"slow.test"}
        names = Names(dns=dns.host, quick="127.0.0.1")
        mounts = [{"mountpoint": "/", "origin": "http://quick.test:%d" % port},
                  {"mountpoint": "/slow", "origin": "http://slow.test:%d" % port}]
        with NamedGate(names, plain(mounts=mounts), timeouts={
                "resolve": "700ms", "resolve-interval": "100ms"}) as gate:
            wait_until(lambda: "slow.test" in dns.asked, "the slow name to be asked for")
            assert gate.ask().status == 200
            names.set(quick="127.0.0.2")
            wait_until(lambda: gate.ask().body == b"127.0.0.2", "a change of the other name")
            gate.wait_log(r"slow\.test does not resolve: no answer within timeouts\.resolve; .* get 503")
            assert gate.ask("/slow").status == 503
            # once it has an answer it is as good as the other
            dns.addresses["slow.test"] = ["127.0.0.3", "127.0.0.1"]
            dns.silent.clear()
            wait_until(lambda: gate.ask("/slow").status == 200, "the slow name")
            assert gate.ask("/slow").body == b"127.0.0.1"


def test_only_addresses_of_hosts_are_believed(port):
    with Dns() as dns, up("127.0.0.1", port):
        many = ["127.1.%d.1" % i for i in range(20)]
        dns.addresses = {"app.test": ["0.0.0.0", "224.0.0.1", "127.0.0.1"], "none.test": ["255.255.255.255"],
                         "many.test": many}
        names = Names(dns=dns.host)
        mounts = [{"mountpoint": "/" + name, "origin": "http://%s.test:%d" % (name, port)}
                  for name in ("app", "none", "many")]
        with NamedGate(names, plain(mounts=mounts)) as gate:
            assert gate.ask("/app").body == b"127.0.0.1"
            assert gate.ask("/none").status == 503
            gate.wait_log(r"upstream name app\.test is 127\.0\.0\.1\n")
            gate.wait_log(r"upstream name none\.test does not resolve: No address associated with hostname")
            told = gate.wait_log(r"upstream name many\.test is (.*)\n").group(1).split(", ")
            assert len(told) == 16 and set(told) < set(many)


def test_nothing_of_a_look_up_outlives_gatehouse(port):
    """Not even one that is killed."""
    def look_ups():
        done = subprocess.run(["pgrep", "-P", str(resolver)], capture_output=True, text=True)
        return [int(pid) for pid in done.stdout.split()]

    with Dns() as dns:
        dns.silent = {"slow.test"}
        with NamedGate(Names(dns=dns.host), plain("http://slow.test:%d" % port),
                       timeouts={"resolve": "60s", "resolve-interval": "100ms"}) as gate:
            resolver, = gate.resolvers()
            pids = wait_until(look_ups, "a look-up")
            os.kill(resolver, signal.SIGKILL)
            wait_until(lambda: not any(os.path.exists("/proc/%d/exe" % pid) for pid in pids), "its end")
            resolver, = wait_until(gate.resolvers, "another resolver")
            pids = wait_until(look_ups, "another look-up")
        wait_until(lambda: not any(os.path.exists("/proc/%d/exe" % pid) for pid in pids), "its end")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_start_that_waits_for_a_name_can_be_ended(port, number):
    with Dns() as dns:
        dns.silent = {"slow.test"}
        gate = NamedGate(Names(dns=dns.host), plain("http://slow.test:%d" % port))
        gate.process = Process(gate.folder, [gate.program, "run", "-c", gate.path])
        try:
            wait_until(lambda: "slow.test" in dns.asked, "the name to be asked for")
            gate.process.process.send_signal(number)
            assert gate.process.process.wait(20) == 0
            assert not REPORTS.search(gate.log()) and "serving" not in gate.log()
        finally:
            gate.process.kill()
            gate.folder.remove()


def test_a_reload_that_waits_for_a_name_holds_up_nobody(port):
    with Dns() as dns, up("127.0.0.1", port) as here, \
            NamedGate(Names(dns=dns.host), plain(here.origin), timeouts={"resolve": "60s"}) as gate:
        dns.silent = {"slow.test"}
        gate.configure(plain(mounts=[{"mountpoint": "/", "origin": here.origin},
                                     {"mountpoint": "/slow", "origin": "http://slow.test:%d" % port}]))
        gate.signal(signal.SIGHUP)
        wait_until(lambda: "slow.test" in dns.asked, "the name to be asked for")
        assert gate.ask("/slow").status == 200      # still of the configuration before
        # meanwhile another is written, and asked for
        gate.configure(plain(here.origin))
        gate.signal(signal.SIGHUP)
        gate.wait_log(r"configuration 3 is served")
        assert gate.ask().status == 200
        wait_until(lambda: not gate.resolvers(), "the resolver to end")


def test_certificates_are_for_the_name(port):
    """Whatever its addresses are."""
    def context(name):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(*authority().issue(name))
        return c

    answer = answering(response(b"over TLS"))
    mount = {"mountpoint": "/", "origin": "https://app.test:%d/" % port, "upstream-ca": authority().path}
    for name, status in (("app.test", 200), ("other.test", 502)):
        with ScriptedUpstream(answer, tcp=("127.0.0.3", port), tls=context(name)), \
                NamedGate(Names(app="127.0.0.2 127.0.0.3"), plain(mounts=[mount])) as gate:
            assert gate.ask().status == status


# ---- raw connections

def test_raw_connections_go_to_names(port):
    def echo(served):
        served.send(b"hello")
        served.send_end()

    vhost = plain(onlyraw="1", ws_protocols=[{"raw-proxy": {"status": "ok",
                                                            "onward": "app.test:%d" % port}}])
    with ScriptedUpstream(echo, tcp=("127.0.0.3", port)), \
            NamedGate(Names(app="127.0.0.2 127.0.0.3"), vhost) as gate:
        with socket.create_connection(("127.0.0.1", gate.plain_port), timeout=20) as s:
            assert s.recv(5, socket.MSG_WAITALL) == b"hello"
        gate.wait_log(r"raw connection to app\.test:%d " % port)


# ---- in words, before it runs

def run(names, command, *args, mounts):
    gate = Gate(plain(mounts=mounts), timeouts={"resolve": "300ms"})
    done = subprocess.run([names.program, command, "-c", gate.path, *(arg % gate.plain_port for arg in args)],
                          capture_output=True, text=True, timeout=60)
    gate.folder.remove()
    return done.returncode, done.stdout


def test_check_says_what_names_are(port):
    with Dns() as dns, up("127.0.0.3", port):
        dns.silent = {"slow.test"}
        names = Names(dns=dns.host, app="127.0.0.2 127.0.0.3", down="127.0.0.4")
        origins = ["http://%s.test:%d" % (name, port) for name in ("app", "down", "none", "slow")]
        status, said = run(names, "check",
                           mounts=[{"mountpoint": "/%d" % i, "origin": o} for i, o in enumerate(origins)])
        assert status == 1
        two = r"127\.0\.0\.[23], 127\.0\.0\.[23]"
        for line in (r"ok    app\.test:%d \(.*\): is " + two + r"; connects as \w+$",
                     r"warn  down\.test:%d .*: is 127\.0\.0\.4; Connection refused: is it running",
                     r"FAIL  none\.test:%d .*: the name does not resolve: .* not known: is it spelled right"
                     r".*getent ahosts none\.test",
                     r"warn  slow\.test:%d .*: the name does not resolve: no answer within timeouts"):
            assert re.search("^" + line % port, said, re.M), said


def test_check_tries_where_raw_connections_go(port):
    vhost = plain(onlyraw="1", ws_protocols=[{"raw-proxy": {"status": "ok",
                                                            "onward": "app.test:%d" % port}}])
    names, gate = Names(app="127.0.0.3"), Gate(vhost)
    for word, listener in (("warn", contextlib.nullcontext), ("ok", lambda: up("127.0.0.3", port))):
        with listener():
            done = subprocess.run([names.program, "check", "-c", gate.path], capture_output=True, text=True,
                                  timeout=60)
            assert re.search(r"^%s +app\.test:%d \(.*\): is 127\.0\.0\.3; " % (word, port), done.stdout, re.M)
    gate.folder.remove()


def test_explain_says_what_names_are(port):
    mounts = [{"mountpoint": "/", "origin": "http://app.test:%d" % port},
              {"mountpoint": "/x", "origin": "http://none.test:%d" % port}]
    names = Names(app="127.0.0.2")
    assert "app.test:%d, which is 127.0.0.2\n" % port in run(names, "explain", "http://localhost:%d/",
                                                             mounts=mounts)[1]
    assert "none.test:%d: its name does not resolve: Name or service not known\n" % port in \
        run(names, "explain", "http://localhost:%d/x", mounts=mounts)[1]


if os.geteuid():        # a mount namespace takes root, and a skipped test would be a failed one
    for name in [name for name in globals() if name.startswith("test_")]:
        del globals()[name]


def test_localhost_is_no_name():
    with ScriptedUpstream(answering(response()), tcp=True) as here, \
            Gate(plain("http://localhost:%d/" % here.port)) as gate:
        assert gate.get("/", tls=False).status == 200
        assert not [pid for pid in gate.children() if "resolver" in title_of(pid)]
