"""What goes wrong around Gatehouse, and whom it hurts: only those whom it must."""

import os
import re
import signal
import subprocess
import threading
import time

import pytest

import gate as g
from gate import Demo, Folder, Gate, plain, tls, wait_until
from test_process import mark, workers
from test_service import as_root


@pytest.fixture(scope="module")
def demo():
    with Demo() as d:
        yield d


def title(pid):
    try:
        return open("/proc/%d/cmdline" % pid).read().rstrip("\0")
    except OSError:
        return ""


def worker(gate, index):
    """The process id, or None while there is none."""
    for pid in gate.children():
        if title(pid) == "gatehouse: worker %d" % index:
            return pid
    return None


def inodes(pid):
    """Of the sockets that a process has."""
    found = set()
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink("/proc/%d/fd/%s" % (pid, fd)))
        except OSError:
            continue
        if match:
            found.add(match.group(1))
    return found


def server_inode(port, sock):
    """Of the other end of a connection to this port."""
    peer = "%s:%04X" % ("0100007F", sock.getsockname()[1])
    with open("/proc/net/tcp") as f:
        for line in f:
            words = line.split()
            if words[2] == peer and words[1].endswith(":%04X" % port):
                return words[9]
    return None


def connections_of(gate, pid, n):
    """n connections that this worker has."""
    kept, others = [], []
    while len(kept) < n:
        c = gate.client(tls=False)
        assert c.get("/json").status == 200
        mine = server_inode(gate.plain_port, c.sock) in inodes(pid)
        (kept if mine else others).append(c)
        assert len(others) < 200
    for c in others:
        c.close()
    return kept


def test_a_worker_that_is_killed_all_the_time_hurts_only_its_own(demo):
    """Every 200 ms; the requests on the other worker all succeed, and there is always somebody new."""
    with Gate(plain(demo.origin)) as gate:
        workers(gate)
        stays = worker(gate, 1)
        kept = connections_of(gate, stays, 3)
        errors, done, fresh, over = [], [0], [0], threading.Event()

        def ask(c):
            while not over.is_set():
                try:
                    assert c.get("/json").status == 200
                    done[0] += 1
                except Exception as e:
                    errors.append(repr(e))
                    return

        def come():
            """A connection may go to the one that is about to die; never may there be nobody."""
            while not over.is_set():
                try:
                    with gate.client(tls=False) as c:
                        assert c.get("/json").status == 200
                        fresh[0] += 1
                except ConnectionRefusedError as e:
                    errors.append(repr(e))
                except (OSError, AssertionError):
                    pass
        threads = [threading.Thread(target=ask, args=(c,)) for c in kept] + [threading.Thread(target=come)]
        for t in threads:
            t.start()
        killed, next_kill = set(), time.monotonic()
        while len(killed) < 10:
            wait_until(lambda: time.monotonic() >= next_kill, "the time")
            pid = wait_until(lambda: worker(gate, 0), "worker 0")
            if pid not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
                next_kill = time.monotonic() + 0.2
        wait_until(lambda: gate.log().count("was ended by signal 9") == 10, "the last one's death")
        before, came = done[0], fresh[0]
        wait_until(lambda: done[0] > before + 20 and fresh[0] > came + 20, "requests")
        over.set()
        for t in threads:
            t.join()
        for c in kept:
            c.close()
        assert errors == []
        assert worker(gate, 1) == stays
        workers(gate)


def test_a_dead_worker_is_replaced_within_100_ms(demo):
    """The best of some: on a busy machine others may come first."""
    with Gate(plain(demo.origin)) as gate:
        took = []
        for _ in range(5):
            workers(gate)
            pid = worker(gate, 0)
            os.kill(pid, signal.SIGKILL)
            start = time.monotonic()
            wait_until(lambda: worker(gate, 0) not in (None, pid), "a new one")
            took.append(time.monotonic() - start)
            # one that dies young is started again later: not what is measured here
            born = time.monotonic()
            wait_until(lambda: time.monotonic() > born + 0.3, "it to be grown up")
        assert min(took) < 0.1, took


def test_a_key_that_cannot_be_read_changes_nothing(demo):
    folder = Folder()
    vhost = tls(demo.origin)
    key = folder.write("key", open(vhost["host-ssl-key"]).read())
    os.chmod(key, 0o600)
    vhost["host-ssl-key"] = key
    with Gate(vhost) as gate, gate.client() as c:
        pids = workers(gate)
        assert c.get("/json").status == 200
        os.rename(key, key + ".away")
        gate.configure({**vhost, "headers": mark("new")})
        gate.signal(signal.SIGHUP)
        gate.wait_log(r"error parent: .*cannot read(.|\n)*the configuration was not reloaded")
        assert c.get("/json")["X-Mark"] is None
        assert gate.get("/json").status == 200
        os.rename(key + ".away", key)
        gate.signal(signal.SIGHUP)
        gate.wait_log(r"configuration \d+ is served")
        wait_until(lambda: c.get("/json")["X-Mark"] == "new", "the new configuration")
        assert workers(gate) == pids
    folder.remove()


@as_root
def test_no_room_for_a_log_or_a_pid_file(demo):
    """A disk that is full at the start, at a reload and at a reopening: served all the same."""
    folder = Folder()
    os.mkdir(folder / "full")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=755", "tmpfs", folder / "full"], check=True)
    try:
        filler = os.open(folder / "full/filler", os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError):
            while True:
                os.write(filler, b"x" * 4096)
        os.close(filler)
        where = {"error_log": folder / "full/error", "pid_file": folder / "full/pid"}
        with Gate(plain(demo.origin, access_log=folder / "full/access"), **where) as gate:
            gate.stop = lambda: None    # nobody can read its last words
            assert gate.get("/json", tls=False).status == 200
            gate.configure(plain(demo.origin, access_log=folder / "full/access", headers=mark("1")), **where)
            gate.signal(signal.SIGHUP)
            wait_until(lambda: gate.get("/json", tls=False)["X-Mark"] == "1", "the reload")
            gate.signal(signal.SIGUSR1)
            for _ in range(20):
                assert gate.get("/json", tls=False).status == 200
            # room again
            os.unlink(folder / "full/filler")
            wait_until(lambda: gate.get("/json", tls=False).status == 200 and
                       "/json" in open(folder / "full/access").read(), "lines")
            assert gate.process.end() == 0
    finally:
        subprocess.run(["umount", "-l", folder / "full"], check=True)
    folder.remove()
