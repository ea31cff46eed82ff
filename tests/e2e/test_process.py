"""The process tree: start, stop, reload, supervision, listening; with real processes and signals."""

import contextlib
import glob
import itertools
import json
import os
import pwd
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

import gate as g
from gate import Demo, Folder, Gate, authority, free_port, plain, tls, wait_until
from peers import Client, ScriptedUpstream

BIN = g.GATEHOUSE


@pytest.fixture(scope="module")
def demo():
    with Demo() as d:
        yield d


def run(*args, **options):
    """Runs to its end; for what ends by itself."""
    return subprocess.run([BIN, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, **options)


def run_configuration(gate):
    return run("run", "-c", gate.path)


def mark(value):
    return [{"X-Mark": value}]


def reload(gate, *vhosts, number=2, **keys):
    """A new configuration, served: number is its generation."""
    gate.configure(*vhosts, **keys)
    gate.signal(signal.SIGHUP)
    gate.wait_log(r"configuration %d is served" % number)


def is_gone(pid):
    """Ended; perhaps nobody has collected it."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def status_of(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(re.findall(r"(\w+):\s*(.*)", f.read()))


def workers(gate, n=2):
    """Process ids of n workers, once they serve and there is no other process."""
    gate.wait_log(r"note parent: serving ")

    def look():
        pids = gate.children()
        with contextlib.suppress(FileNotFoundError):
            titles = [open("/proc/%d/cmdline" % pid).read().rstrip("\0") for pid in pids]
            if sorted(titles) == ["gatehouse: worker %d" % i for i in range(n)]:
                return pids
    return wait_until(look, "%d workers" % n)


def send_slow(demo, client, ms):
    """A request that the application has begun to think about."""
    seen = demo.stats()["requests"]
    client.send_request("GET", "/slow?ms=%d" % ms)
    asked = itertools.count(1)
    wait_until(lambda: demo.stats()["requests"] > seen + next(asked), "the request to arrive")


# ---- start and stop

def test_term_and_int_end_with_status_0(demo):
    for number in signal.SIGTERM, signal.SIGINT:
        with Gate(plain(demo.origin)) as gate:
            assert gate.get("/json", tls=False).status == 200
            assert gate.process.end(number) == 0


def test_a_bad_configuration_is_told_with_its_place(demo):
    gate = Gate(plain(demo.origin, mounst=[]))
    done = run_configuration(gate)
    assert done.returncode == 1
    assert re.search(r"conf:\d+:\d+: error: unknown key \"mounst\"", done.stderr)
    assert 'did you mean "mounts"' in done.stderr
    assert done.stdout == ""
    gate.folder.remove()


def test_what_only_the_trial_sees_is_told_too(demo):
    """A key that does not belong to its certificate."""
    certificate, _ = authority().issue("localhost", "127.0.0.1")
    _, key = authority().issue("other.test")
    vhost = {**tls(demo.origin), "host-ssl-cert": certificate, "host-ssl-key": key}
    gate = Gate(vhost)
    done = run_configuration(gate)
    assert done.returncode == 1
    assert key in done.stderr, done.stderr
    gate.folder.remove()


def test_a_port_in_use_is_told_with_the_place_of_its_key(demo):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        gate = Gate(plain(demo.origin, port=str(port)))
        done = run_configuration(gate)
        assert done.returncode == 1
        match = re.search(r"conf:(\d+):(\d+): error: cannot listen on 127.0.0.1:%d: Address already in use"
                          % port, done.stderr)
        assert match, done.stderr
        line = open(gate.path).read().split("\n")[int(match.group(1)) - 1]
        assert '"port"' in line and line[int(match.group(2)) - 1:].startswith('"%d"' % port)
        assert "`ss -lntxp` says which" in done.stderr
    gate.folder.remove()


def test_a_pid_file_is_there_while_it_runs(demo):
    folder = Folder()
    with Gate(plain(demo.origin), pid_file=folder / "pid") as gate:
        gate.wait_log("serving 1 vhost")
        assert open(folder / "pid").read() == "%d\n" % gate.process.pid
    assert not os.path.exists(folder / "pid")
    folder.remove()


def test_a_drain_lets_a_request_finish(demo):
    with Gate(plain(demo.origin)) as gate, gate.client(tls=False) as idle, gate.client(tls=False) as busy:
        assert idle.get("/json").status == 200
        send_slow(demo, busy, 700)
        gate.wait_log("serving")
        gate.signal(signal.SIGTERM)
        idle.expect_end()
        answer = busy.read_response()
        assert answer.status == 200
        assert answer["Connection"] == "close"
        busy.expect_end()
        assert gate.process.end() == 0


def test_who_is_too_slow_is_cut_when_drain_is_over(demo):
    with Gate(plain(demo.origin), timeouts={"drain": "300ms"}) as gate, gate.client(tls=False) as c:
        c.send_request("GET", "/events?interval_ms=20")
        assert c.read_head().status == 200
        began = time.monotonic()
        assert gate.process.end() == 0
        assert 0.25 < time.monotonic() - began < 10
        gate.wait_log(r"1 connections are cut")


def test_the_second_term_ends_at_once(demo):
    with Gate(plain(demo.origin)) as gate, gate.client(tls=False) as c:
        c.send_request("GET", "/events?interval_ms=20")
        assert c.read_head().status == 200
        gate.signal(signal.SIGTERM)
        gate.wait_log(r"get 30000 ms")
        began = time.monotonic()
        assert gate.process.end() == 0
        assert time.monotonic() - began < 10


def test_workers_end_when_the_parent_is_killed(demo):
    gate = Gate(plain(demo.origin))
    gate.start()
    try:
        with gate.client(tls=False) as busy, gate.client(tls=False) as idle:
            assert idle.get("/json").status == 200
            pids = workers(gate)
            send_slow(demo, busy, 500)
            gate.process.kill()
            idle.expect_end()
            assert busy.read_response().status == 200
        wait_until(lambda: all(map(is_gone, pids)), "the workers to end")
        assert len(g.LAST_WORDS.findall(gate.log())) == 2
        assert not g.REPORTS.search(gate.log())
        assert not gate_answers(gate.plain_port)
    finally:
        gate.process.kill()
        gate.folder.remove()


def gate_answers(port, host="127.0.0.1"):
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=5):
        return True
    return False


# ---- privileges

def test_workers_have_no_privilege(demo):
    with Gate(plain(demo.origin)) as gate:
        for pid in workers(gate):
            status = status_of(pid)
            assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
            assert status["NoNewPrivs"] == "1"
            if os.geteuid() == 0:
                assert "0" not in status["Uid"].split() + status["Gid"].split() + status["Groups"].split()
                assert status["CapBnd"] == "0" * 16
            else:
                assert status["Uid"].split() == [str(os.geteuid())] * 4
            # standard streams, control socket, epoll, counters, listening sockets: nothing of the parent's
            names = [os.readlink(name) for name in glob.glob("/proc/%d/fd/*" % pid)]
            assert not [name for name in names if "gatehouse-bundle" in name or name.endswith("conf")], names
        assert gate.get("/json", tls=False).status == 200


def uids(gate):
    with contextlib.suppress(FileNotFoundError):
        return {int(status_of(pid)["Uid"].split()[0]) for pid in gate.children()}


def test_another_username_replaces_the_workers_one_by_one(demo):
    with Gate(plain(demo.origin), username="daemon") as gate, gate.client(tls=False) as busy:
        before = workers(gate)
        if os.geteuid():
            gate.wait_log("`username` has no effect")
            assert uids(gate) == {os.geteuid()}
        else:
            assert uids(gate) == {pwd.getpwnam("daemon").pw_uid}
            send_slow(demo, busy, 1000)
            reload(gate, plain(demo.origin), username="games")
            assert busy.read_response().status == 200
            wait_until(lambda: uids(gate) == {pwd.getpwnam("games").pw_uid}, "workers of another user")
            assert not set(workers(gate)) & set(before)
        assert gate.get("/json", tls=False).status == 200
        gate.configure(plain(demo.origin), username="no-such-user")
        gate.signal(signal.SIGHUP)
        if os.geteuid() == 0:
            gate.wait_log(r'there is no user "no-such-user"')
        assert gate.get("/json", tls=False).status == 200


def test_a_low_port_needs_privilege(demo):
    first = int(open("/proc/sys/net/ipv4/ip_unprivileged_port_start").read())
    if os.geteuid() and first > 1:
        gate = Gate(plain(demo.origin, port="1"))
        done = run_configuration(gate)
        assert done.returncode == 1
        assert "cannot listen on 127.0.0.1:1: Permission denied" in done.stderr
        assert "use a port from %d on" % first in done.stderr
        gate.folder.remove()


# ---- reload

def test_a_reload_changes_the_next_request_of_a_live_connection(demo):
    with Gate(plain(demo.origin, headers=mark("one"))) as gate, gate.client(tls=False) as c:
        assert c.get("/json")["X-Mark"] == "one"
        before = workers(gate)
        reload(gate, plain(demo.origin, headers=mark("two")))
        wait_until(lambda: c.get("/json")["X-Mark"] == "two", "the new header")
        assert workers(gate) == before


def test_a_bad_reload_changes_nothing(demo):
    certificate, _ = authority().issue("localhost", "127.0.0.1")
    _, wrong_key = authority().issue("other.test")
    with socket.socket() as taken, Gate(tls(demo.origin, headers=mark("good"))) as gate, gate.client() as c:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        pids = workers(gate)
        for vhosts, text in (
                ([tls(demo.origin, prot="1")], r'unknown key "prot"'),
                ([tls(demo.origin, host_ssl_key=wrong_key)], re.escape(wrong_key)),
                ([tls(demo.origin), plain(demo.origin, port=str(taken.getsockname()[1]))],
                 r"Address already in use")):
            gate.configure(*vhosts)
            told = len(re.findall("was not reloaded", gate.log()))
            gate.signal(signal.SIGHUP)
            wait_until(lambda: len(re.findall("was not reloaded", gate.log())) > told, "the refusal")
            gate.wait_log(text)
            assert c.get("/json")["X-Mark"] == "good"
        gate.configure(tls(demo.origin, headers=mark("better")))
        gate.signal(signal.SIGHUP)
        gate.wait_log(r"configuration \d+ is served")
        wait_until(lambda: c.get("/json")["X-Mark"] == "better", "the new header")
        assert workers(gate) == pids


def test_a_removed_listener_drains_and_others_stay(demo):
    port, lock = free_port()
    with lock, Gate(plain(demo.origin), plain(demo.origin, port=str(port))) as gate:
        with gate.client(tls=False) as stays, Client.tcp(port) as goes, Client.tcp(port) as busy:
            for c in stays, goes, busy:
                assert c.get("/json").status == 200
            send_slow(demo, busy, 500)
            reload(gate, plain(demo.origin))
            goes.expect_end()
            assert busy.read_response()["Connection"] == "close"
            busy.expect_end()
            wait_until(lambda: not gate_answers(port), "the port to be closed")
            assert stays.get("/json").status == 200
            # and back again
            reload(gate, plain(demo.origin), plain(demo.origin, port=str(port)), number=3)
            with Client.tcp(port) as c:
                assert c.get("/json").status == 200


def test_a_websocket_outlives_a_reload_and_its_listener(demo):
    port, lock = free_port()
    with lock, Gate(plain(demo.origin), plain(demo.origin, port=str(port))) as gate:
        with Client.tcp(port) as c:
            socket_ = c.websocket()
            socket_.echo(b"one")
            reload(gate, plain(demo.origin, headers=mark("x")), plain(demo.origin, port=str(port)))
            socket_.echo(b"two")
            reload(gate, plain(demo.origin), number=3)
            wait_until(lambda: not gate_answers(port), "the port to be closed")
            socket_.echo(b"three")
            socket_.close()


class Traffic:
    """Requests without a pause, on kept connections and on new ones; any failure is kept."""

    def __init__(self, gate, n=4):
        self.gate, self.errors, self.done = gate, [], 0
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.drive, args=(i % 2 == 0,)) for i in range(n)]

    def drive(self, keep):
        client = None
        try:
            while not self.over.is_set():
                client = client or self.gate.client()
                answer = client.get("/json")
                assert answer.status == 200
                self.done += 1
                if not keep or answer["Connection"] == "close":
                    client.close()
                    client = None
        except Exception as e:
            self.errors.append(repr(e))
        finally:
            if client:
                client.close()

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()


def test_reloads_under_load_fail_no_request(demo):
    with Gate(tls(demo.origin)) as gate, Traffic(gate) as traffic:
        pids = workers(gate)
        for number in range(2, 22):
            reload(gate, tls(demo.origin, headers=mark(str(number))), number=number)
        done = traffic.done
        wait_until(lambda: traffic.done > done + 20, "traffic to go on")
        assert workers(gate) == pids
    assert traffic.errors == []


def test_hups_while_a_reload_is_under_way_end_in_the_last_configuration(demo):
    with Gate(plain(demo.origin, headers=mark("0"))) as gate:
        for i in range(1, 8):
            gate.configure(plain(demo.origin, headers=mark(str(i))))
            gate.signal(signal.SIGHUP)
        wait_until(lambda: gate.get("/json", tls=False)["X-Mark"] == "7", "the last configuration")


def test_more_and_fewer_workers(demo):
    with Gate(plain(demo.origin), count_threads="1") as gate:
        workers(gate, 1)
        reload(gate, plain(demo.origin), count_threads="3")
        workers(gate, 3)
        reload(gate, plain(demo.origin), count_threads="2", number=3)
        workers(gate, 2)
        assert gate.get("/json", tls=False).status == 200


# ---- supervision

def test_a_killed_worker_is_replaced(demo):
    with Gate(tls(demo.origin)) as gate:
        for _ in range(3):
            before = workers(gate)
            os.kill(before[0], signal.SIGKILL)
            wait_until(lambda: before[0] not in gate.children(), "it to be gone")
            after = workers(gate)
            assert set(before) & set(after) == {before[1]}
            for _ in range(10):
                assert gate.get("/json").status == 200
        assert len(re.findall("was ended by signal 9", gate.log())) == 3


def test_a_worker_that_does_not_answer_is_replaced(demo):
    with Gate(plain(demo.origin), count_threads="1") as gate:
        stuck, = workers(gate, 1)
        os.kill(stuck, signal.SIGSTOP)
        wait_until(lambda: stuck not in gate.children(), "the stuck worker to be ended")
        gate.wait_log("gives no sign of life")
        assert gate.get("/json", tls=False).status == 200


def test_a_new_worker_serves_the_newest_configuration(demo):
    with Gate(plain(demo.origin, headers=mark("old")), count_threads="1") as gate:
        reload(gate, plain(demo.origin, headers=mark("new")), count_threads="1")
        os.kill(workers(gate, 1)[0], signal.SIGKILL)
        assert gate.get("/json", tls=False)["X-Mark"] == "new"


def test_sessions_are_resumed_by_any_worker_also_after_reload_and_death(demo):
    def resumed(session, times=8):
        for _ in range(times):
            with socket.create_connection(("127.0.0.1", gate.tls_port), timeout=20) as s:
                with context.wrap_socket(s, server_hostname="localhost", session=session) as t:
                    if not t.session_reused:
                        return False
        return True

    context = authority().client_context()
    with Gate(tls(demo.origin), count_threads="3") as gate:
        # in TLS 1.3 the ticket comes behind the handshake
        with socket.create_connection(("127.0.0.1", gate.tls_port), timeout=20) as s:
            with context.wrap_socket(s, server_hostname="localhost") as t:
                client = Client(t)
                assert client.get("/json").status == 200
                session = t.session
        assert resumed(session)
        reload(gate, tls(demo.origin, headers=mark("x")), count_threads="3")
        assert resumed(session)
        old = workers(gate, 3)
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not set(old) & set(gate.children()), "new workers")
        workers(gate, 3)
        assert resumed(session)


def test_log_files_are_opened_anew(demo):
    folder = Folder()
    with Gate(plain(demo.origin, access_log=folder / "access"), error_log=folder / "error") as gate:
        wait_until(lambda: os.path.exists(folder / "error") and "serving" in open(folder / "error").read(),
                   "the error log")
        assert gate.get("/json?one", tls=False).status == 200
        wait_until(lambda: "/json?one" in open(folder / "access").read(), "the line")
        for name in "access", "error":
            os.rename(folder / name, folder / (name + ".1"))
        gate.signal(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(folder / "error") and
                   "opened anew" in open(folder / "error").read(), "new files")
        wait_until(lambda: gate.get("/json?two", tls=False) and
                   "/json?two" in open(folder / "access").read(), "the line in the new file")
        assert "?two" not in open(folder / "access.1").read()
        gate.stop = lambda timeout=0: None    # its last words are in the error log
        assert gate.process.end() == 0
        last = g.LAST_WORDS.findall(open(folder / "error").read())
        assert last == [("0", "0", "0")] * 2
    folder.remove()


# ---- listening

def test_an_address_and_all_addresses_share_a_port(demo):
    port, lock = free_port()
    one = plain(demo.origin, headers=mark("one"), port=str(port))
    every = plain(demo.origin, headers=mark("every"), port=str(port), interface="")
    hosts = {"127.0.0.1": "one", "127.0.0.2": "every", "::1": "every"}
    if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"):
        del hosts["::1"]

    def marks():
        found = {}
        for host in hosts:
            with contextlib.suppress(OSError):
                with Client(socket.create_connection((host, port), timeout=20)) as c:
                    found[host] = c.get("/json")["X-Mark"]
        return found

    with lock, Gate(one) as gate, Client.tcp(port) as kept:
        assert marks() == {"127.0.0.1": "one"}
        reload(gate, one, every, number=2)
        wait_until(lambda: marks() == hosts, "each address to have its own")
        reload(gate, every, number=3)
        wait_until(lambda: marks() == dict.fromkeys(hosts, "every"), "one for all")
        reload(gate, one, number=4)
        wait_until(lambda: marks() == {"127.0.0.1": "one"}, "only the one")
        kept.close()


def test_an_interface_by_name(demo):
    port, lock = free_port()
    with lock, Gate(plain(demo.origin, interface="lo", port=str(port))):
        with Client.tcp(port) as c:
            assert c.get("/json").status == 200


def test_a_unix_listener(demo):
    folder = Folder()
    vhost = plain(demo.origin, interface=folder / "in.sock", unix_socket="1")
    with Gate(plain(demo.origin), vhost) as gate:
        assert os.stat(folder / "in.sock").st_mode & 0o777 == 0o600
        with Client.unix(folder / "in.sock") as c:
            assert c.get("/json").status == 200
        assert gate.get("/json", tls=False).status == 200
    assert not os.path.exists(folder / "in.sock")
    folder.remove()


def test_a_stale_socket_file_is_replaced_and_a_live_one_is_not(demo):
    def vhost():
        return plain(demo.origin, interface=folder / "in.sock", unix_socket="1")

    folder = Folder()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(folder / "in.sock")
        s.listen()
        gate = Gate(plain(demo.origin), vhost())
        done = run_configuration(gate)
        assert done.returncode == 1 and "Address already in use" in done.stderr
        gate.folder.remove()
    with Gate(plain(demo.origin), vhost()):
        with Client.unix(folder / "in.sock") as c:
            assert c.get("/json").status == 200
    folder.remove()


def test_connections_are_spread_over_the_workers(demo):
    def counts():
        return [len([1 for fd in glob.glob("/proc/%d/fd/*" % pid)
                     if os.path.exists(fd) and os.readlink(fd).startswith("socket:")]) for pid in pids]

    with Gate(plain(demo.origin)) as gate, contextlib.ExitStack() as stack:
        def are_even():
            """After a few connections more; a busy machine may keep one worker from running for a while."""
            for _ in range(16):
                assert stack.enter_context(gate.client(tls=False)).get("/status/204").status == 204
            # control socket, listening socket, connections, one or two upstreams kept alive
            return min(counts()) >= 24 and min(counts()) >= max(counts()) * 3 / 4

        pids = workers(gate)
        wait_until(are_even, "connections to be spread evenly")


def test_the_machine_has_so_many_connections_and_no_more(demo):
    with Gate(plain(demo.origin), limits={"connections": "6"}) as gate:
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(gate.client(tls=False)) for _ in range(6)]
            for c in held:
                assert c.get("/json").status == 200
            late = stack.enter_context(gate.client(tls=False))
            late.send_request("GET", "/json")
            gate.wait_log(r"6 connections \(limits.connections\)")
            late.sock.settimeout(0.3)
            with pytest.raises(TimeoutError):
                late.read_response()
            late.sock.settimeout(20)
            held[0].close()
            assert late.read_response().status == 200


def test_an_address_has_so_many_connections_and_no_more(demo):
    with Gate(plain(demo.origin), limits={"connections-per-address": "3"}) as gate:
        for _ in range(2):
            with contextlib.ExitStack() as stack:
                # one that only looked whether the port is open may not be counted out yet
                def open_three():
                    clients = [stack.enter_context(gate.client(tls=False)) for _ in range(3)]
                    with contextlib.suppress(OSError, AssertionError):
                        return all([c.get("/json").status == 200 for c in clients])
                wait_until(lambda: open_three() or stack.close(), "three connections")
                with gate.client(tls=False) as fourth, pytest.raises((AssertionError, OSError)):
                    fourth.get("/json")
                gate.wait_log(r"127.0.0.1: refused, has 3 connections \(limits.connections-per-address\)")


def cpu_s(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_out_of_descriptors_it_neither_spins_nor_dies(demo, monkeypatch):
    folder = Folder()
    limited = folder.write("limited", '#!/bin/sh\nulimit -n 24\nexec "%s" "$@"\n' % BIN)
    os.chmod(limited, 0o755)
    monkeypatch.setattr(g, "GATEHOUSE", limited)
    with Gate(plain(demo.origin), count_threads="1") as gate, contextlib.ExitStack() as stack:
        pid, = workers(gate, 1)
        assert gate.get("/json", tls=False).status == 200
        held = [stack.enter_context(gate.client(tls=False)) for _ in range(40)]
        gate.wait_log("cannot take connections: Too many open files")
        used, began = cpu_s(pid), time.monotonic()
        wait_until(lambda: time.monotonic() > began + 1, "a second to pass")
        assert cpu_s(pid) - used < 0.3
        for c in held:
            c.close()
        assert gate.get("/json", tls=False).status == 200
        assert workers(gate, 1) == [pid]
    folder.remove()


def test_plain_http_on_a_tls_port_is_told_so(demo):
    with Gate(tls(demo.origin)) as gate:
        with Client.tcp(gate.tls_port) as c:
            answer = c.get("/json")
            assert answer.status == 400 and b"HTTPS" in answer.body
            c.expect_end()
        with Client.tcp(gate.tls_port) as c:
            c.send(b"\x00\x01\x02 this is neither\r\n\r\n")
            c.read_end()
        assert gate.get("/json").status == 200


def test_a_handshake_that_does_not_come_is_ended(demo):
    with Gate(tls(demo.origin), timeouts={"handshake": "300ms"}) as gate, Client.tcp(gate.tls_port) as c:
        began = time.monotonic()
        c.expect_end()
        assert time.monotonic() - began > 0.2


# ---- the command line

def test_commands_and_options():
    assert run("version").stdout.startswith("gatehouse ")
    for args in ["help"], ["--help"], ["run", "-h"]:
        done = run(*args)
        assert done.returncode == 0 and "gatehouse proxy" in done.stdout
    for args, text in ((["chekc"], "did you mean check?"), (["proxy", "--form", "1"], "did you mean --from?"),
                       (["run", "--strict"], "unknown option --strict"), (["check", "-c"], "needs a value"),
                       (["proxy"], "--from"), (["run", "here"], "unexpected argument"),
                       (["proxy", "--from", "x", "--to", "3000"], "HOST:PORT"),
                       (["check", "--strict=1"], "takes no value")):
        done = run(*args)
        assert done.returncode == 2 and text in done.stderr, (args, done)


def test_check(demo):
    gate = Gate(tls(demo.origin))
    assert run("check", "-c", gate.path).returncode == 0
    assert run("check", "--config=" + gate.path, "--strict").returncode == 0
    gate.configure({**tls(demo.origin), "mounts": [{"mountpoint": "/", "origin": "cgi:///bin/x"}]})
    done = run("check", "-c", gate.path)
    assert done.returncode == 0 and "warning" in done.stdout
    assert run("check", "-c" + gate.path, "--strict").returncode == 1
    _, wrong_key = authority().issue("other.test")
    gate.configure(tls(demo.origin, host_ssl_key=wrong_key))
    done = run("check", "-c", gate.path)
    assert done.returncode == 1 and wrong_key in done.stdout
    done = run("check", "-c", gate.folder / "nothing")
    assert done.returncode == 1 and "nothing" in done.stdout
    gate.folder.remove()


class Quick:
    """`gatehouse proxy` until the end of the with statement."""

    def __init__(self, folder, *args):
        self.log_path = folder / "log"
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                [BIN, "proxy", *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                text=True, env={**os.environ, "XDG_STATE_HOME": folder.path})
        self.line = self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.terminate()
        status = self.process.wait(20)
        log = open(self.log_path).read()
        if kind:
            print(log)
        assert status == 0 and not g.REPORTS.search(log), log
        assert self.process.stdout.read() == ""


def test_proxy_without_a_configuration(demo):
    folder = Folder()
    port, lock = free_port()
    certificates = []
    with lock:
        for to in demo.origin, demo.path:
            with Quick(folder, "--from", "localhost:%d" % port, "--to", to) as quick:
                match = re.fullmatch(r"curl --cacert (\S+) (https://localhost:%d/)\n" % port, quick.line)
                assert match, quick.line
                context = ssl.create_default_context(cafile=match.group(1))
                for name in "localhost", "127.0.0.1":
                    with Client.tcp(port, context, name) as c:
                        assert c.get("/json").json() == {"hello": "world"}
                done = subprocess.run(["curl", "-sS", "--cacert", match.group(1), match.group(2) + "json"],
                                      capture_output=True, text=True, timeout=30)
                assert done.stdout == '{"hello":"world"}\n' or json.loads(done.stdout), done
                certificates.append(open(match.group(1)).read())
                key = match.group(1).replace(".crt", ".key")
                assert os.stat(key).st_mode & 0o777 == 0o600
    # the second one used the first one's
    assert certificates[0] == certificates[1]
    folder.remove()


def test_proxy_to_a_port_that_only_one_loopback_has():
    folder = Folder()
    port, lock = free_port()
    with lock, ScriptedUpstream(lambda s: s.read_request() and s.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), tcp=True) as up:
        number = re.search(r":(\d+)/", up.origin).group(1)
        certificate, key = authority().issue("localhost", "127.0.0.1")
        for to in number, "localhost:" + number, "http://localhost:%s/base" % number, "127.0.0.1:" + number:
            with Quick(folder, "--from", str(port), "--to", to, "--cert", certificate, "--key", key,
                       "--workers", "1") as quick:
                assert quick.line == "curl https://localhost:%d/\n" % port
                with Client.tcp(port, authority().client_context()) as c:
                    assert c.get("/").body == b"ok"
    folder.remove()


def test_proxy_says_what_is_wrong():
    folder = Folder()
    port, lock = free_port()
    with lock:
        done = run("proxy", "--from", "localhost:%d" % port, "--to", "nonsense://x",
                   env={**os.environ, "XDG_STATE_HOME": folder.path})
        assert done.returncode == 1 and "no origin" in done.stderr
    folder.remove()
