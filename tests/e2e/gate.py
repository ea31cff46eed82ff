"""Gatehouse and the demo application as tests start them.

    with Demo() as demo, Gate(tls(demo.origin), plain(demo.origin)) as gate:
        with gate.client() as c:                    # over TLS; gate.client(tls=False) for the plain listener
            assert c.get("/json").status == 200

Leaving the with statement is half of every test: SIGTERM must end Gatehouse with status 0, sanitizers must be
silent, and each worker must say that nothing is left alive.
"""

import atexit
import contextlib
import functools
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import peers

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GATEHOUSE = os.environ.get("GATEHOUSE_BIN") or ROOT + "/build/asan/gatehouse"
DEMO = os.environ.get("DEMO_BIN") or ROOT + "/build/asan/demo"
TIMEOUT = 20    # for what should happen at once; generous, because sanitizers and busy machines are slow


def wait_until(condition, what, timeout=TIMEOUT):
    """Polls until condition() is true, and returns what it returned. The only wait there is."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, "waited %d s in vain: %s" % (timeout, what)
        time.sleep(0.01)


def free_port():
    """A port that nothing listens on, and a lock: tests run side by side, it is theirs while that is open."""
    while True:
        port = random.randint(10000, 32000)     # below the range that outgoing connections take
        lock = socket.socket(socket.AF_UNIX)
        try:
            lock.bind("\0gatehouse-test-port-%d" % port)
            for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                with socket.socket(family) as s:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    if family == socket.AF_INET6:
                        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    s.bind((host, port))
            return port, lock
        except OSError:
            lock.close()


class Folder:
    """A temporary folder that Gatehouse's workers, who have a user of their own, may pass through."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="gh-")      # short: it has socket paths in it
        os.chmod(self.path, 0o711)
        atexit.register(self.remove)

    def __truediv__(self, name):
        return os.path.join(self.path, name)

    def write(self, name, text):
        with open(self / name, "wb" if isinstance(text, bytes) else "w") as f:
            f.write(text)
        return self / name

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


class Authority:
    """A certificate authority of its own, by the openssl program."""

    def __init__(self):
        self.folder = Folder()
        self.path = self.folder / "ca.crt"
        self.issued = {}
        self.key = self.folder / "ca.key"
        self.request("/CN=Gatehouse test CA", self.key, self.path, "-x509", "-days", "2")

    def request(self, subject, key, out, *more):
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                     "-subj", subject, "-keyout", key, "-out", out, *more)

    @staticmethod
    def openssl(*args):
        subprocess.run(("openssl",) + args, check=True, capture_output=True, stdin=subprocess.DEVNULL)

    def issue(self, *names, days=1):
        """(certificate file, key file) for these names; the same pair for the same names."""
        if (names, days) not in self.issued:
            base = self.folder / ("leaf%d" % len(self.issued))
            with open(base + ".ext", "w") as f:
                f.write("subjectAltName=%s\n" % ",".join(
                    ("IP:" if re.fullmatch(r"[\d.]+|.*:.*", name) else "DNS:") + name for name in names))
            self.request("/CN=" + names[0], base + ".key", base + ".csr")
            self.openssl("x509", "-req", "-in", base + ".csr", "-CA", self.path, "-CAkey", self.key,
                         "-set_serial", str(len(self.issued) + 2), "-days", str(days),
                         "-extfile", base + ".ext", "-out", base + ".crt")
            self.issued[names, days] = base + ".crt", base + ".key"
        return self.issued[names, days]

    def client_context(self, alpn=("http/1.1",)):
        context = ssl.create_default_context(cafile=self.path)
        context.set_alpn_protocols(list(alpn))
        return context


@functools.cache
def authority():
    """The one that the tests of a file share."""
    return Authority()


def plain(origin=None, name="localhost", **keys):
    """A vhost on the plain listener. An underscore in a key stands for a dash."""
    vhost = {"name": name, "interface": "127.0.0.1"}
    if origin:
        vhost["mounts"] = [{"mountpoint": "/", "origin": origin}]
    vhost.update({key.replace("_", "-"): value for key, value in keys.items()})
    return vhost


def tls(origin=None, name="localhost", **keys):
    """A vhost on the TLS listener, with a certificate for its name."""
    names = ("localhost", "127.0.0.1") if name == "localhost" else (name,)
    certificate, key = authority().issue(*names)
    return {"host-ssl-cert": certificate, "host-ssl-key": key, **plain(origin, name, **keys)}


class Process:
    """A child process whose output goes to a file."""

    def __init__(self, folder, args, **options):
        self.log_path = folder / "log"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
        self.pid = self.process.pid

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def wait_log(self, pattern, timeout=TIMEOUT):
        """Waits for a line of the log; returns the match."""
        def look():
            alive = self.process.poll() is None
            found = re.search(pattern, self.log())
            assert found or alive, "ended with %s\n%s" % (self.process.poll(), self.log())
            return found
        return wait_until(look, "%r in the log" % pattern, timeout)

    def end(self, number=signal.SIGTERM, timeout=TIMEOUT):
        """Ends it by a signal and returns the exit status (or the one it had)."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("did not end within %d s\n%s" % (timeout, self.log())) from None

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


REPORTS = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|UndefinedBehavior|\bBUG\b|Segmentation")
LAST_WORDS = re.compile(r"worker \d+: exit: live exchanges=(\d+) streams=(\d+) slabs=(\d+)")


class Gate:
    """A running Gatehouse. The vhosts come from tls() and plain(); those without a port share one a kind."""

    def __init__(self, *vhosts, env=(), args=(), **global_keys):
        self.folder = Folder()
        self.locks, self.process, self.failed = [], None, False
        self.program = GATEHOUSE
        self.before = []    # a command that ends by executing what follows it
        self.env, self.args = dict(env), list(args)
        self.tls_port, lock = free_port()
        self.plain_port, other = free_port()
        self.locks += [lock, other]
        self.workers_expected = int(global_keys.get("count_threads", 2))
        self.configure(*vhosts, **global_keys)

    def configure(self, *vhosts, **global_keys):
        """Writes the configuration file; when Gatehouse runs, reload() makes it read it."""
        for vhost in vhosts:
            is_tls = "host-ssl-cert" in vhost or "acme" in vhost
            vhost.setdefault("port", str(self.tls_port if is_tls else self.plain_port))
        keys = {"count-threads": "2", "state-dir": self.folder.path,
                "control-socket": self.folder / "control"}
        keys.update({key.replace("_", "-"): value for key, value in global_keys.items()})
        places = [vhost["interface"] for vhost in vhosts if vhost.get("unix-socket")]
        self.sockets = sorted({path.replace("@", "\0") for place in places
                               for path in (place if isinstance(place, list) else [place])})
        self.ports = sorted({int(vhost["port"]) for vhost in vhosts})
        self.path = self.folder.write("conf", json.dumps({"global": keys, "vhosts": list(vhosts)}, indent=1))

    def __enter__(self):
        self.start()
        return self

    def start(self):
        self.process = Process(self.folder, [*self.before, self.program, "run", "-c", self.path, *self.args],
                               env={**os.environ, **self.env})
        try:
            for port in self.ports:
                wait_until(lambda: self.answers(port), "port %d to be opened" % port)
            for path in self.sockets:
                wait_until(lambda: self.answers(path), "%s to be opened" % path)
        except BaseException:
            self.process.kill()
            print(self.log())
            raise

    def answers(self, place):
        """A port, or the path of a socket."""
        status = self.process.process.poll()
        assert status is None, "ended with %s" % status
        unix = isinstance(place, str)
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as s:
            s.settimeout(1)
            s.connect(place if unix else ("127.0.0.1", place))
            return True
        return False

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.stop()
        finally:
            self.process.kill()
            if kind is not None or self.failed:
                print("--- the log of Gatehouse\n%s" % self.log())
            self.folder.remove()
            for lock in self.locks:
                lock.close()

    def stop(self, timeout=TIMEOUT):
        """SIGTERM, and the questions every test ends with."""
        self.failed = True
        status = self.process.end(timeout=timeout)
        log = self.log()
        assert not REPORTS.search(log), REPORTS.search(log).group()
        assert status == 0, "exit status %d" % status
        last = LAST_WORDS.findall(log)
        assert len(last) >= self.workers_expected, "%d workers said that they left nothing" % len(last)
        assert all(words == ("0", "0", "0") for words in last), "something is left alive: %s" % (last,)
        self.failed = False

    def log(self):
        return self.process.log() if self.process else ""

    def wait_log(self, pattern, timeout=TIMEOUT):
        return self.process.wait_log(pattern, timeout)

    def signal(self, number):
        self.process.process.send_signal(number)

    def children(self):
        """Process ids of the parent's children."""
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
            return [int(pid) for pid in f.read().split()]

    def client(self, tls=True, name="localhost", alpn=("http/1.1",), port=None, timeout=TIMEOUT):
        """A connection to the TLS listener or the plain one."""
        port = port or (self.tls_port if tls else self.plain_port)
        return peers.Client.tcp(port, authority().client_context(alpn) if tls else None, name, timeout)

    def get(self, path, tls=True, name="localhost", **headers):
        """One request on a connection of its own."""
        with self.client(tls=tls, name=name) as c:
            return c.request("GET", path, host=name, **headers)


class Demo:
    """The demo application, on a Unix socket or (tcp=True) on a port. .origin is what a mount names."""

    def __init__(self, tcp=False):
        self.folder = Folder()
        self.tcp = tcp
        self.path = self.folder / "app.sock"

    def __enter__(self):
        self.start()
        return self

    def start(self):
        """Also starts it again after stop() or kill(), at the same place."""
        args = ["--tcp", str(getattr(self, "port", 0))] if self.tcp else [self.path]
        self.process = Process(self.folder, [DEMO] + args)
        place = self.process.wait_log(r"(?s).*listening on (\S+)\n\Z").group(1)
        self.port = int(place.split(":")[1]) if self.tcp else None
        self.origin = "http://127.0.0.1:%d/" % self.port if self.tcp else "unix:" + self.path

    def stop(self):
        status = self.process.end()
        assert status == 0, "the demo application: exit status %d\n%s" % (status, self.process.log())

    def kill(self):
        """Without a last word: the socket file stays behind."""
        self.process.kill()
        open(self.process.log_path, "w").close()

    def client(self):
        return peers.Client.tcp(self.port) if self.tcp else peers.Client.unix(self.path)

    def stats(self):
        """What it has seen so far; asked directly, which it counts too."""
        with self.client() as c:
            return c.get("/stats").json()

    def __exit__(self, kind, value, trace):
        try:
            if kind is None and self.process.process.poll() is None:
                self.stop()
        finally:
            self.process.kill()
            self.folder.remove()


TURN = bytes((k * 7 + k // 251) & 255 for k in range(65521))


def pattern(n, start=0):
    """What /bytes/N and /chunked/N answer."""
    skip = start % len(TURN)
    return (TURN * ((n + skip) // len(TURN) + 1))[skip:skip + n]
