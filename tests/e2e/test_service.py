"""What a system service needs: privileges, the service manager, logs; with real processes."""

import contextlib
import os
import pwd
import re
import signal
import socket
import subprocess
import time

import pytest

import gate as g
from gate import Demo, Folder, Gate, authority, free_port, plain, tls, wait_until
from peers import Client
from test_process import status_of, workers

ROOT = os.geteuid() == 0


def as_root(test):
    """What an ordinary user cannot do is no test for one: a skipped test would be a failed one."""
    return test if ROOT else None


CHOWN, SETGID, SETUID, NET_BIND_SERVICE = 1 << 0, 1 << 6, 1 << 7, 1 << 10
KEPT = SETGID | SETUID | NET_BIND_SERVICE


@pytest.fixture(scope="module")
def demo():
    with Demo() as d:
        yield d


def capabilities(pid):
    status = status_of(pid)
    return {name: int(status["Cap" + name], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}


def reload(gate, number, *vhosts, **keys):
    gate.configure(*vhosts, **keys)
    gate.signal(signal.SIGHUP)
    gate.wait_log(r"configuration %d is served" % number)


# ---- privileges

def test_every_process_has_what_it_needs_and_no_more(demo):
    with Gate(tls(demo.origin), plain(demo.origin)) as gate:
        pids = workers(gate)
        parent = capabilities(gate.process.pid)
        kept = KEPT if ROOT else 0
        assert parent == {"Inh": kept, "Prm": kept, "Eff": kept, "Bnd": parent["Bnd"], "Amb": 0}
        if ROOT:
            assert parent["Bnd"] == 0
        for pid in pids:
            status = status_of(pid)
            assert status["NoNewPrivs"] == "1"
            assert status["Seccomp"] == "2"
            assert all(n == 0 or name == "Bnd" for name, n in capabilities(pid).items())
            if ROOT:
                assert capabilities(pid)["Bnd"] == 0
                assert len(set(status["Uid"].split())) == 1 and status["Uid"].split()[0] != "0"
                assert "0" not in status["Gid"].split() + status["Groups"].split()
                # not dumpable: its files in /proc are root's. With sanitizers it must be.
                if not is_sanitized():
                    assert os.stat("/proc/%d/mem" % pid).st_uid == 0
        with gate.client() as c:
            assert c.get("/json").status == 200


def is_sanitized():
    with open(g.GATEHOUSE, "rb") as f:
        return b"__asan_init" in f.read()


@as_root
def test_a_key_keeps_a_capability_only_where_it_is_there(demo):
    user = pwd.getpwnam("daemon")
    folder = Folder()
    listener = plain(demo.origin, unix_socket="1", interface=folder / "s", unix_socket_perms="daemon:daemon")
    with Gate(plain(demo.origin), dict(listener)) as gate:
        workers(gate)
        assert capabilities(gate.process.pid)["Prm"] == KEPT | CHOWN
        assert os.stat(folder / "s").st_uid == user.pw_uid
    with Gate(plain(demo.origin)) as gate:
        workers(gate)
        gate.configure(plain(demo.origin), dict(listener))
        gate.signal(signal.SIGHUP)
        gate.wait_log(r"restart Gatehouse")
        assert gate.get("/json", tls=False).status == 200
    folder.remove()


@as_root
def test_a_stale_socket_of_another_user_is_replaced(demo):
    folder = Folder()
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
        left.listen()
        os.chown(path, pwd.getpwnam("daemon").pw_uid, 0)
        os.chmod(path, 0o600)
        gate = Gate(plain(demo.origin), plain(demo.origin, unix_socket="1", interface=path))
        done = subprocess.run([g.GATEHOUSE, "run", "-c", gate.path], capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 1 and "in use" in done.stderr, done.stderr
    with gate:
        workers(gate)
        with Client.unix(path) as c:
            assert c.get("/json").status == 200
    folder.remove()


@as_root
def test_root_alone_reads_the_key_also_at_a_reload(demo):
    vhost = tls(demo.origin)
    folder = Folder()
    key = folder.write("key", open(vhost["host-ssl-key"]).read())
    os.chmod(key, 0o600)
    vhost["host-ssl-key"] = key
    with Gate(vhost) as gate:
        workers(gate)
        reload(gate, 2, vhost, plain(demo.origin))
        with gate.client() as c:
            assert c.get("/json").status == 200
        # another user's, for nobody else to read: without CAP_DAC_READ_SEARCH that is an error
        os.chown(key, pwd.getpwnam("daemon").pw_uid, -1)
        gate.signal(signal.SIGHUP)
        gate.wait_log(r"error parent: .*Permission denied")
        gate.wait_log(r"the configuration was not reloaded")
        with gate.client() as c:
            assert c.get("/json").status == 200
    folder.remove()


@as_root
def test_a_reload_opens_a_low_port(demo):
    port = 997      # nothing has been given it
    with Gate(plain(demo.origin)) as gate:
        workers(gate)
        reload(gate, 2, plain(demo.origin), plain(demo.origin, port=str(port)))
        with gate.client(tls=False, port=port) as c:
            assert c.get("/json").status == 200


def test_a_worker_that_hangs_is_ended_and_replaced(demo):
    with Gate(plain(demo.origin)) as gate:
        pids = workers(gate)
        os.kill(pids[0], signal.SIGSTOP)
        gate.wait_log(r"gives no sign of life", timeout=30)
        gate.wait_log(r"\(pid %d\) was ended by signal 9" % pids[0])
        assert pids[0] not in workers(gate)
        assert gate.get("/json", tls=False).status == 200


# ---- the service manager

# Becomes the program, with what a service manager hands over: sockets from 3 on, and words about them.
START = """
import os, sys
fds, names, program = sys.argv[1], sys.argv[2], sys.argv[3:]
fds = [os.dup2(int(fd), 100 + i) for i, fd in enumerate(fds.split(",")) if fd]
for i, fd in enumerate(fds):
    os.dup2(fd, 3 + i)
if fds:
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)
os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execv(program[0], program)
"""


class Managed(Gate):
    """A Gatehouse that a service manager has started. told() is what it said since the last time."""

    def __init__(self, *vhosts, sockets=(), names="", watchdog_us=None, **keys):
        super().__init__(*vhosts, **keys)
        self.sockets, self.names = sockets, names
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(self.folder / "notify")
        self.manager.settimeout(g.TIMEOUT)
        self.env["NOTIFY_SOCKET"] = self.folder / "notify"
        if watchdog_us:
            self.env["WATCHDOG_USEC"] = str(watchdog_us)

    def start(self):
        fds = [s.fileno() for s in self.sockets]
        self.process = g.Process(self.folder, [
            "/usr/bin/python3", "-c", START, ",".join(map(str, fds)), self.names,
            self.program, "run", "-c", self.path], env={**os.environ, **self.env}, pass_fds=fds)

    def told(self):
        """The next datagram as a dictionary."""
        return dict(line.split("=", 1) for line in self.manager.recv(4096).decode().split("\n"))

    def told_until(self, key):
        while True:
            words = self.told()
            if key in words:
                return words

    def __exit__(self, *args):
        super().__exit__(*args)
        self.manager.close()


def test_the_service_manager_is_told(demo):
    with Managed(plain(demo.origin)) as gate:
        words = gate.told()
        assert words["READY"] == "1" and words["MAINPID"] == str(gate.process.pid)
        assert words["STATUS"] == "configuration 1: vhosts 1, listeners 1, workers 2"
        assert gate.get("/json", tls=False).status == 200
        # children are none of its business
        for pid in gate.children():
            assert b"NOTIFY_SOCKET" not in open("/proc/%d/environ" % pid, "rb").read()

        before = time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
        gate.signal(signal.SIGHUP)
        words = gate.told()
        assert words["RELOADING"] == "1"
        assert before <= int(words["MONOTONIC_USEC"]) <= time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
        assert gate.told()["STATUS"].startswith("configuration 2:")

        # a refused one ends as well, with what is served
        gate.configure(plain(demo.origin, nonsense="1"))
        gate.signal(signal.SIGHUP)
        assert "RELOADING" in gate.told()
        words = gate.told()
        assert words["READY"] == "1" and words["STATUS"].startswith("configuration 2:")

        gate.signal(signal.SIGTERM)
        words = gate.told()
        assert words["STOPPING"] == "1" and int(words["EXTEND_TIMEOUT_USEC"]) > 30_000_000


def test_the_watchdog_hears_of_it(demo):
    with Managed(plain(demo.origin), watchdog_us=200_000) as gate:
        gate.told_until("READY")
        for _ in range(3):
            assert gate.told() == {"WATCHDOG": "1"}
        # a parent that hangs is silent
        gate.signal(signal.SIGSTOP)
        gate.manager.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                gate.manager.recv(4096)
        gate.manager.settimeout(0.6)
        with pytest.raises(TimeoutError):
            gate.manager.recv(4096)
        gate.signal(signal.SIGCONT)
        gate.manager.settimeout(g.TIMEOUT)
        gate.told_until("WATCHDOG")


def test_sockets_of_the_service_manager_are_used(demo):
    folder = Folder()
    with contextlib.ExitStack() as stack:
        def listening(family, address):
            s = stack.enter_context(socket.socket(family))
            s.bind(address)
            s.listen()
            return s

        by_address = listening(socket.AF_INET, ("127.0.0.1", 0))
        by_name = listening(socket.AF_INET, ("127.0.0.1", 0))
        unix = listening(socket.AF_UNIX, folder / "s")
        unused = listening(socket.AF_INET, ("127.0.0.1", 0))
        both = listening(socket.AF_INET6, ("::", 0))
        os.chmod(folder / "s", 0o666)
        port, lock = free_port()
        stack.enter_context(lock)
        vhosts = [plain(demo.origin, port=str(by_address.getsockname()[1])),
                  plain(demo.origin, port=str(port)),
                  plain(demo.origin, interface=folder / "s", unix_socket="1", port="1")]
        with Managed(*vhosts, sockets=[by_address, by_name, unix, unused, both],
                     names="a:%d:c:unused:both" % port) as gate:
            gate.told_until("READY")
            assert "127.0.0.1:%d (unused) is closed" % unused.getsockname()[1] in gate.log()
            assert "(both) is closed: takes IPv4, too: BindIPv6Only=ipv6-only" in gate.log()
            for s in by_address, by_name:
                with Client.tcp(s.getsockname()[1]) as c:
                    assert c.get("/json").status == 200
            with Client.unix(folder / "s") as c:
                assert c.get("/json").status == 200
            # named by its port, it stands in for the address
            with pytest.raises(ConnectionRefusedError):
                Client.tcp(port)
            # and all this over a reload
            gate.signal(signal.SIGHUP)
            gate.wait_log("configuration 2 is served")
            with Client.tcp(by_name.getsockname()[1]) as c:
                assert c.get("/json").status == 200
        # its file is the manager's
        assert os.path.exists(folder / "s")
    folder.remove()


# ---- limits

def fd_limit(pid):
    with open("/proc/%d/limits" % pid) as f:
        return int(re.search(r"Max open files\s+(\d+)", f.read()).group(1))


def test_the_limit_of_descriptors_is_a_key(demo):
    with Gate(plain(demo.origin), rlimit_nofile="300") as gate:
        before = workers(gate)
        assert {fd_limit(pid) for pid in before} == {300}
        # workers with the old limit are replaced one by one
        reload(gate, 2, plain(demo.origin), rlimit_nofile="400")
        wait_until(lambda: {fd_limit(pid) for pid in workers(gate)} == {400}, "new workers")
        assert gate.get("/json", tls=False).status == 200
        # more than a parent that has given up its privileges may have
        reload(gate, 3, plain(demo.origin), rlimit_nofile="900000000")
        gate.wait_log(r"warn parent: rlimit-nofile: 900000000 is more than the \d+ that may be had")
        assert gate.get("/json", tls=False).status == 200


# ---- logs

class Syslog:
    """The daemon's socket. lines() waits for what matches."""

    def __init__(self, path):
        self.path = path
        self.open()

    def open(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.socket.settimeout(g.TIMEOUT)

    def restart(self):
        self.socket.close()
        os.unlink(self.path)
        self.open()

    def wait(self, pattern):
        while True:
            line = self.socket.recv(8192).decode()
            if re.search(pattern, line):
                return line


def test_syslog_gets_lines_of_rfc_3164(demo):
    folder = Folder()
    log = Syslog(folder / "log")
    with Gate(plain(demo.origin), error_log="syslog:" + log.path) as gate:
        line = log.wait("parent: serving 1 vhost")
        assert re.fullmatch(r"<29>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d gatehouse\[%d\]: parent: serving .*"
                            % gate.process.pid, line), line
        # the daemon starts anew, at the same path
        log.restart()
        gate.signal(signal.SIGHUP)
        log.wait("parent: configuration 2 is served")
        os.kill(workers_of(gate)[0], signal.SIGKILL)
        assert log.wait("was ended by signal 9").startswith("<27>")
        # a daemon that reads nothing, or is gone, stops nobody
        for _ in range(40):
            gate.signal(signal.SIGUSR1)
            assert gate.get("/json", tls=False).status == 200
        log.socket.close()
        gate.signal(signal.SIGUSR1)
        assert gate.get("/json", tls=False).status == 200
        assert gate.process.end() == 0
        gate.stop = lambda: None    # its last words went to the daemon
    folder.remove()


def workers_of(gate):
    def look():
        pids = gate.children()
        return pids if len(pids) == 2 else None
    return wait_until(look, "two workers")


def test_a_log_file_that_was_removed_comes_back_with_usr1(demo):
    folder = Folder()
    with Gate(plain(demo.origin, access_log=folder / "access")) as gate:
        workers(gate)
        assert gate.get("/json?1", tls=False).status == 200
        wait_until(lambda: "/json?1" in open(folder / "access").read(), "the line")
        os.unlink(folder / "access")
        assert gate.get("/json?2", tls=False).status == 200     # into the file that has no name
        assert not os.path.exists(folder / "access")
        gate.signal(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(folder / "access"), "the new file")

        def answered():
            assert gate.get("/json?3", tls=False).status == 200
            return "/json?3" in open(folder / "access").read()
        wait_until(answered, "a line in the new file")
    folder.remove()


@as_root
def test_a_full_disk_drops_lines_and_stops_nobody(demo):
    folder = Folder()
    os.mkdir(folder / "small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", folder / "small"], check=True)
    try:
        with Gate(plain(demo.origin, access_log=folder / "small/access")) as gate:
            with gate.client(tls=False) as c:
                for k in range(100):
                    assert c.get("/json?%d&%s" % (k, "x" * 2000)).status == 200
            gate.wait_log(r"warn worker \d: access log: lines are dropped: (No space|only part)")
            lines = open(folder / "small/access", "rb").read()
            assert len(lines) <= 65536
            # room again: whole lines again, and it is told how many were lost
            os.truncate(folder / "small/access", 0)

            def told():
                assert gate.get("/json", tls=False).status == 200
                return re.search(r"access log: written again; \d+ lines were dropped", gate.log())
            wait_until(told, "the count")
    finally:
        subprocess.run(["umount", "-l", folder / "small"], check=True)
    folder.remove()


def test_a_pipe_that_nobody_reads_drops_lines_and_stops_nobody(demo):
    folder = Folder()
    os.mkfifo(folder / "access")
    reader = os.open(folder / "access", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with Gate(plain(demo.origin, access_log=folder / "access")) as gate:
            with gate.client(tls=False) as c:
                for k in range(100):
                    assert c.get("/json?%d&%s" % (k, "x" * 2000)).status == 200
            gate.wait_log(r"warn worker \d: access log: lines are dropped")
            read = os.read(reader, 1 << 20)
            assert len(read) >= 4096
            with gate.client(tls=False) as c:
                assert c.get("/json").status == 200
    finally:
        os.close(reader)
    folder.remove()
