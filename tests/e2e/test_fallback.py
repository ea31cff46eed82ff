"""ssh, https and plain HTTP on one port: the first bytes decide, and the relay is as good as none."""

import concurrent.futures
import contextlib
import hashlib
import os
import pwd
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import peers
from gate import Demo, Folder, Gate, Process, authority, free_port, pattern, plain, tls, wait_until

BANNER = b"SSH-2.0-target\r\n"


class Target:
    """A raw target. Each connection is given to serve(wire) in a thread of its own; by default an echo."""

    def __init__(self, serve=None, unix=None, start=True):
        self.serve, self.unix, self.failures = serve or self.echo, unix, []
        self.threads, self.accepted, self.peers = [], 0, []
        self.port, self.lock = (None, None) if unix else free_port()
        self.onward = "unix:" + unix if unix else "ipv4:127.0.0.1:%d" % self.port
        self.listener = None
        if start:
            self.start()

    def start(self):
        if self.unix:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(self.unix)
            os.chmod(self.unix, 0o777)
        else:
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(128)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                sock, peer = listener.accept()
                sock.settimeout(20)
                self.accepted += 1
                self.peers.append(peer)
                thread = threading.Thread(target=self.run, args=(peers.Wire(sock),), daemon=True)
                self.threads.append(thread)
                thread.start()

    def run(self, wire):
        try:
            with wire:
                self.serve(wire)
        except Exception as e:      # pylint: disable=broad-except
            self.failures.append(e)

    @staticmethod
    def echo(wire):
        """Its banner first, then what comes, in capitals."""
        wire.send(BANNER)
        while wire.buffer or wire.more():
            wire.send(wire.take(len(wire.buffer)).upper())

    def stop(self):
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop()
        for thread in self.threads:
            thread.join(20)
        if self.lock:
            self.lock.close()
        if kind is None:
            assert not self.failures, self.failures


def raw(target, **options):
    """Keys that send raw connections to a target."""
    return {"listen_accept_role": "raw-proxy", "listen_accept_protocol": "raw-proxy",
            "ws_protocols": [{"raw-proxy": {"status": "ok", "onward": target.onward, **options}}]}


def fallback(target, **options):
    return {"fallback_listen_accept": "1", **raw(target, **options)}


def dial(port, timeout=20):
    sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peers.Wire(sock)


def in_two(wire, data, split):
    """In two segments, the second when the first has had the time to be looked at."""
    wire.send(data[:split])
    select.select([wire.sock], [], [], 0.002)
    wire.send(data[split:])


def gone(wire):
    """Closed, perhaps with a reset: what was not read goes lost."""
    with contextlib.suppress(ConnectionResetError):
        return wire.read_end()


def reload(gate):
    """Reads the configuration anew, and waits until it is served."""
    served = "configuration %d is served" % (gate.log().count(" is served") + 2)
    gate.signal(signal.SIGHUP)
    gate.wait_log(served)


def assert_ssh(wire, split=99):
    hello = b"SSH-2.0-client\r\n"
    in_two(wire, hello, split)
    assert wire.read(len(BANNER)) == BANNER
    assert wire.read(len(hello)) == hello.upper()


def assert_redirect(wire, gate, method="GET", split=99, status=301):
    request = ("%s /a/b?c=d HTTP/1.1\r\nHost: www.example.com:80\r\n"
               "Connection: close\r\n\r\n" % method).encode()
    in_two(wire, request, split)
    answer = wire.read_end().decode()
    assert answer.startswith("HTTP/1.1 %d " % status), answer
    location = r"(?im)^location: https://www\.example\.com:%d/a/b\?c=d\r$" % gate.tls_port
    assert re.search(location, answer), answer


def test_all_on_one_port():
    """https, redirect and ssh at once, with the first bytes split at every point."""
    with Demo() as demo, Target() as target, \
            Gate(tls(demo.origin, redirect_http="1", **fallback(target))) as gate, \
            concurrent.futures.ThreadPoolExecutor(6) as pool:
        def https(k):
            with gate.client() as c:
                assert c.get("/bytes/%d" % (k * 100)).body == pattern(k * 100)

        def ssh(k):
            with dial(gate.tls_port) as w:
                assert_ssh(w, k % 14 + 1)

        def redirected(k):
            with dial(gate.tls_port) as w:
                assert_redirect(w, gate, split=k % 40 + 1)

        jobs = [pool.submit(what, k) for k in range(70) for what in (https, ssh, redirected)]
        for job in jobs:
            job.result()
        assert target.accepted == 70


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls_object = authority().client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(Exception):
        tls_object.do_handshake()
    return outgoing.read()


def test_client_hello_split():
    """A ServerHello comes whatever the place where the ClientHello is torn apart."""
    with Demo() as demo, Target() as target, Gate(tls(demo.origin, **fallback(target))) as gate:
        hello = client_hello()
        for split in (1, 2, 3, 4, 5, 6, 7, 31, 32, 33, len(hello) - 1):
            with dial(gate.tls_port) as w:
                in_two(w, hello, split)
                assert w.read(6)[0] == 0x16
        assert target.accepted == 0


def test_prefixes_are_never_raw():
    """What could become TLS or HTTP waits, is closed when time is up or the client ends, and is never raw."""
    with Demo() as demo, Target() as target, \
            Gate(tls(demo.origin, redirect_http="1", **fallback(target)),
                 timeouts={"handshake": "700ms", "fallback-silence": "300ms"}) as gate:
        for prefix in (b"\x16", b"\x16\x03\x01", b"G", b"GE", b"SEARC", b"PRI * HT"):
            began = time.monotonic()
            with dial(gate.tls_port) as w:
                w.send(prefix)
                assert not gone(w)
            assert 0.3 < time.monotonic() - began < 10
            with dial(gate.tls_port) as w:
                w.send(prefix)
                w.send_end()
                assert not gone(w)
        with dial(gate.tls_port) as w:      # closed without a byte
            w.send_end()
            w.expect_end()
        assert target.accepted == 0


def test_silence():
    """A client that waits for the server to speak first."""
    with Demo() as demo, Target() as target, \
            Gate(tls(demo.origin, **fallback(target)), timeouts={"fallback-silence": "300ms"}) as gate:
        began = time.monotonic()
        with dial(gate.tls_port) as w:
            assert w.read(len(BANNER)) == BANNER
            assert 0.29 < time.monotonic() - began < 5
            w.send("late")
            assert w.read(4) == b"LATE"


def test_modes():
    with Demo() as demo, Target() as target:
        with Gate(tls(demo.origin, redirect_http="1")) as gate:         # nothing raw
            for method, status in (("GET", 301), ("HEAD", 301), ("POST", 308), ("PUT", 308)):
                with dial(gate.tls_port) as w:
                    assert_redirect(w, gate, method, status=status)
            with dial(gate.tls_port) as w:
                w.send("SSH-2.0-client\r\n")
                w.read_end()
            assert gate.get("/json").json() == {"hello": "world"}
        with Gate(tls(demo.origin, allow_http_on_https="1", **fallback(target))) as gate:
            with peers.Client.tcp(gate.tls_port) as c:
                assert c.get("/json").json() == {"hello": "world"}
            assert gate.get("/json").json() == {"hello": "world"}
            with dial(gate.tls_port) as w:
                assert_ssh(w)
        with Gate(tls(demo.origin, **fallback(target))) as gate:        # plain HTTP: the 400 as ever
            with dial(gate.tls_port) as w:
                w.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert w.read_end().startswith(b"HTTP/1.1 400 ")
        with Gate(plain(demo.origin, **fallback(target))) as gate:      # a plain listener
            assert gate.get("/json", tls=False).json() == {"hello": "world"}
            with dial(gate.plain_port) as w:
                assert_ssh(w)
        with Gate(plain(apply_listen_accept="1", **raw(target))) as gate:
            with dial(gate.plain_port) as w:
                assert w.read(len(BANNER)) == BANNER    # nothing is waited for
                w.send("GET / HTTP/1.1\r\n")
                assert w.read(16) == b"GET / HTTP/1.1\r\n"


def test_half_close():
    """Each direction ends on its own, and what comes late arrives."""
    body = os.urandom(3000000)

    def late(wire):
        got = wire.read_end()
        wire.send(hashlib.sha256(got).hexdigest().encode())
        wire.send(b"x" * 1000000)

    with Demo() as demo, Target(late) as target, \
            Gate(tls(demo.origin, **fallback(target))) as gate, dial(gate.tls_port) as w:
        w.send(b"raw: ")
        w.send(body)
        w.send_end()
        assert w.read_end() == hashlib.sha256(b"raw: " + body).hexdigest().encode() + b"x" * 1000000


def test_reset_is_passed_on():
    resets = []

    def see(wire):
        wire.send(BANNER)
        try:
            wire.read_end()
        except ConnectionResetError:
            resets.append(True)

    with Target(see) as target, Gate(plain(apply_listen_accept="1", **raw(target))) as gate:
        w = dial(gate.plain_port)
        w.read(len(BANNER))
        w.reset()
        wait_until(lambda: resets, "the target to see the reset")


def test_unix_target_and_log():
    folder = Folder()
    with Demo() as demo, Target(unix=folder / "raw.sock") as target, \
            Gate(tls(demo.origin, **fallback(target))) as gate:
        with dial(gate.tls_port) as w:
            assert_ssh(w)
        gate.wait_log(r"raw connection to unix:\S+ from a Unix socket ended: 16 bytes up, 32 down")
    folder.remove()
    with Demo() as demo, Target() as target, Gate(tls(demo.origin, **fallback(target))) as gate:
        with dial(gate.tls_port) as w:
            assert_ssh(w)
            mine = w.sock.getsockname()[1]
        ours = target.peers[-1][1]
        gate.wait_log(r"127\.0\.0\.1:%d: raw connection to 127\.0\.0\.1:%d from 127\.0\.0\.1:%d ended: "
                      r"16 bytes up, 32 down, \d+\.\d+ s" % (mine, target.port, ours))


def test_target_down():
    """One that never answered is refused at once."""
    with Demo() as demo, Target(start=False) as target, \
            Gate(tls(demo.origin, **fallback(target)), timeouts={"ride-out": "15s"}) as gate:
        with dial(gate.tls_port) as w:
            w.send("SSH-2.0-client\r\n")
            gone(w)
        gate.wait_log(r"upstream 127\.0\.0\.1:%d is down" % target.port)
        gate.wait_log(r"no raw connection to 127\.0\.0\.1:%d: upstream: connection refused" % target.port)
        target.start()
        with dial(gate.tls_port) as w:
            assert_ssh(w)


def test_target_restarts():
    """One that has answered is waited for, by all who come."""
    with Demo() as demo, Target() as target, \
            Gate(tls(demo.origin, **fallback(target)), timeouts={"ride-out": "15s"}) as gate:
        with dial(gate.tls_port) as w:
            assert_ssh(w)
        target.stop()
        waiting = [dial(gate.tls_port) for _ in range(5)]
        for w in waiting:
            w.send("SSH-2.0-client\r\n")
        gate.wait_log(r"wait up to 15000 ms")
        waiting.pop().reset()
        gate.wait_log(r"no raw connection to \S+ client went away")
        target.start()
        for w in waiting:
            with w:
                assert w.read(len(BANNER)) == BANNER
                assert w.read(16) == b"SSH-2.0-CLIENT\r\n"    # unread it would be reset


def test_reload_and_drain():
    """A relay lives through reloads; one of a listener that is gone, for drain-tunnels."""
    with Demo() as demo, Target() as target:
        vhost = tls(demo.origin, **fallback(target))
        with Gate(vhost, timeouts={"drain-tunnels": "300ms"}) as gate, dial(gate.tls_port) as w:
            assert_ssh(w)
            for k in range(10):
                reload(gate)
                w.send("after %d" % k)
                assert w.read(7) == b"AFTER %d" % k
            gate.configure(plain(demo.origin))
            reload(gate)
            w.expect_end()
            gate.wait_log(r"raw connection to \S+ from \S+ ended: .*: shutting down")


def test_tunnel_idle():
    with Target() as target, Gate(plain(apply_listen_accept="1", **raw(target)),
                                  timeouts={"tunnel-idle": "400ms"}) as gate:
        with dial(gate.plain_port) as w:
            assert w.read(len(BANNER)) == BANNER
            w.expect_end()
        gate.wait_log(r"ended: .*timeouts\.tunnel-idle")


def test_limits():
    with Demo() as demo, Target() as target:
        with Gate(tls(demo.origin, **fallback(target)), limits={"raw-rate": "3"}) as gate:
            for _ in range(3):
                with dial(gate.tls_port) as w:
                    assert_ssh(w)
            with dial(gate.tls_port) as w:
                w.send("SSH-2.0-client\r\n")
                gone(w)
            gate.wait_log(r"more than 3 raw connections a minute \(limits\.raw-rate\)")
            assert gate.get("/json").status == 200
            assert target.accepted == 3
        with Gate(tls(demo.origin, **fallback(target)), count_threads="1",
                  timeouts={"fallback-silence": "60s"}, limits={"undecided": "3"}) as gate:
            first = [dial(gate.tls_port) for _ in range(6)]
            for w in first[:3]:
                gone(w)
            assert gate.get("/json").status == 200      # and one more of the silent ones had to go
            with first[-1] as w:
                assert_ssh(w)
            for w in first:
                w.close()
            gate.wait_log(r"limits\.undecided")


def test_undecided_limit_is_the_machines():
    """Beyond it there is at most the one that a worker without any has just got."""
    with Demo() as demo, Target() as target, \
            Gate(tls(demo.origin, **fallback(target)), count_threads="3",
                 timeouts={"fallback-silence": "60s"}, limits={"undecided": "8"}) as gate:
        silent = [dial(gate.tls_port) for _ in range(60)]

        def left():
            ready, _, _ = select.select([w.sock for w in silent], [], [], 0)
            return len(silent) - len(ready)
        wait_until(lambda: left() <= 8 + 2, "all but a few to be closed")
        assert gate.get("/json").status == 200
        assert left() >= 8 - 1
        with dial(gate.tls_port) as w:
            assert_ssh(w)
        for w in silent:
            w.close()


def test_address_limit():
    with Target() as target, Gate(plain(apply_listen_accept="1", **raw(target)), count_threads="1",
                                  limits={"connections-per-address": "4"}) as gate:
        wait_until(lambda: gate.log().count(" ended: ") == 1, "the end of what Gate asked with")
        held = [dial(gate.plain_port) for _ in range(4)]
        for w in held:
            assert w.read(len(BANNER)) == BANNER
        with dial(gate.plain_port) as w:
            gone(w)
        gate.wait_log(r"limits\.connections-per-address")
        for w in held:
            w.close()


def test_onward_proxy_protocol():
    """The target is told who the client is, before anything else."""
    heads = []

    def see(wire):
        heads.append(wire.read(28))
        Target.echo(wire)

    with Demo() as demo, Target(see) as target, \
            Gate(tls(demo.origin, **fallback(target, **{"onward-proxy-protocol": "1"}))) as gate:
        with dial(gate.tls_port) as w:
            assert_ssh(w)
            mine = w.sock.getsockname()[1]
        assert heads == [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" +
                         bytes((127, 0, 0, 1)) * 2 + struct.pack(">HH", mine, gate.tls_port)]


# ---- a real OpenSSH, through the TLS port ----

class Sshd:
    """A server with keys and configuration of its own; whoever runs the test may log in with `key`."""

    def __init__(self, *addresses):
        self.folder = Folder()
        self.port, self.lock = free_port()
        self.user = pwd.getpwuid(os.getuid()).pw_name
        for name in ("host", "client"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name],
                           check=True)
        shutil.copy(self.folder / "client.pub", self.folder / "authorized")
        self.config = self.folder.write("sshd", """
            %s
            HostKey %s
            AuthorizedKeysFile %s
            PidFile none
            StrictModes no
            UsePAM no
            PermitRootLogin prohibit-password
            PasswordAuthentication no
            Subsystem sftp internal-sftp
            LogLevel VERBOSE
            """ % ("\n".join("ListenAddress [%s]:%d" % (address, self.port)
                             for address in addresses or ["127.0.0.1"]),
                   self.folder / "host", self.folder / "authorized"))
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)

    def __enter__(self):
        self.process = Process(self.folder, ["/usr/sbin/sshd", "-D", "-e", "-f", self.config])
        self.process.wait_log(r"Server listening on")
        self.onward = "ipv4:127.0.0.1:%d" % self.port
        return self

    def __exit__(self, *_):
        self.process.end()
        self.lock.close()
        self.folder.remove()

    def options(self, *more):
        return ["-F", "none", "-i", self.folder / "client", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
                "-o", "UserKnownHostsFile=" + self.folder / "known", "-o", "StrictHostKeyChecking=no", *more]

    def ssh(self, port, *args, host="127.0.0.1"):
        return ["ssh", *self.options("-p", str(port)), self.user + "@" + host, *args]

    def run(self, port, *args):
        return subprocess.run(self.ssh(port, *args), check=True, capture_output=True, timeout=60,
                              stdin=subprocess.DEVNULL).stdout


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def test_openssh():
    with Demo() as demo, Sshd() as sshd, \
            Gate(tls(demo.origin, redirect_http="1", **fallback(sshd))) as gate:
        port, folder = gate.tls_port, sshd.folder
        assert sshd.run(port, "echo", "in") == b"in\n"

        # sshd's log line names the port that Gatehouse's has
        ours = gate.wait_log(r"raw connection to \S+ from 127\.0\.0\.1:(\d+) ended: ").group(1)
        assert re.search(r"Connection from 127\.0\.0\.1 port %s " % ours, sshd.process.log())

        with open(folder / "large", "wb") as f:
            for _ in range(100):
                f.write(os.urandom(1 << 20))
        for source, sink in ((folder / "large", "%s@127.0.0.1:%s" % (sshd.user, folder / "up")),
                             ("%s@127.0.0.1:%s" % (sshd.user, folder / "large"), folder / "down")):
            subprocess.run(["scp", "-q", *sshd.options("-P", str(port)), source, sink], check=True,
                           timeout=120)
        assert sha256(folder / "large") == sha256(folder / "up") == sha256(folder / "down")

        def git(*args):
            subprocess.run(["git", *args], check=True, capture_output=True, timeout=60, env={
                **os.environ, "GIT_SSH_COMMAND": "ssh " + " ".join(sshd.options()),
                "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"})

        git("init", "-q", folder / "repository")
        shutil.copy(folder / "host.pub", folder / "repository/file")
        git("-C", folder / "repository", "add", "file")
        git("-C", folder / "repository", "-c", "user.name=a", "-c", "user.email=a@example.com",
            "commit", "-q", "-m", "one")
        git("clone", "-q", "ssh://%s@127.0.0.1:%d%s" % (sshd.user, port, folder / "repository"),
            folder / "clone")
        assert sha256(folder / "clone/file") == sha256(folder / "host.pub")
        assert gate.get("/json").status == 200


def test_openssh_session_and_forwarding():
    """A session that goes on through ten reloads, and carries somebody else's connection."""
    with Demo() as demo, Sshd() as sshd, Target() as target, \
            Gate(tls(demo.origin, **fallback(sshd))) as gate:
        port, lock = free_port()
        command = sshd.ssh(gate.tls_port, "-L", "%d:127.0.0.1:%d" % (port, target.port),
                           "-o", "ExitOnForwardFailure=yes", "cat")
        with lock, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL, bufsize=0) as session:
            for k in range(10):
                session.stdin.write(b"line %d\n" % k)
                assert session.stdout.readline() == b"line %d\n" % k
                with dial(port) as w:
                    assert_ssh(w)
                reload(gate)
            session.stdin.close()
            assert session.wait(20) == 0


# ---- behind a proxy that says whom it speaks for ----

HEADER_1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n"
HEADER_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes((192, 0, 2, 7, 198, 51, 100, 1)) + \
    struct.pack(">HH", 40000, 443)


def test_proxy_protocol():
    """It is required, read exactly, and whoever it names is the client."""
    heads = []

    def see(wire):
        heads.append(wire.read(28))
        Target.echo(wire)

    request = b"GET /headers HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with Demo() as demo, Target(see) as target, \
            Gate(plain(demo.origin, **fallback(target, **{"onward-proxy-protocol": "1"})),
                 proxy_protocol=["10.0.0.0/8", "127.0.0.0/8"]) as gate:
        for header in (HEADER_1, HEADER_2):
            for split in (1, 8, 12, 13, 16, 27, len(header), len(header) + 3):
                with dial(gate.plain_port) as w:
                    in_two(w, header + request, split)
                    assert w.read_end().startswith(b"HTTP/1.1 ")
            with dial(gate.plain_port) as w:
                w.send(header)
                assert_ssh(w)
            gate.wait_log(r"192\.0\.2\.7:40000: raw connection to \S+ from \S+ ended")
        assert heads == [HEADER_2, HEADER_2]        # and passed on
        for bad in (request, b"PROXY TCP4 192.0.2.7\r\n", HEADER_2[:12] + b"\x31" + HEADER_2[13:], b"P"):
            with dial(gate.plain_port) as w:
                w.send(bad)
                with contextlib.suppress(OSError):      # it may have been refused already
                    w.send_end()
                assert not gone(w)
    with Demo() as demo, Target() as target, \
            Gate(plain(demo.origin, **fallback(target)), proxy_protocol="10.0.0.0/8") as gate:
        with dial(gate.plain_port) as w:            # from others it is what it is: bytes
            w.send(HEADER_1)
            assert w.read(len(BANNER) + 5) == BANNER + b"PROXY"
