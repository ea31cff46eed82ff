"""Certificates from Pebble, as a user would configure and watch them."""

import contextlib
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import threading

import pytest

import gate as gates
from gate import Demo, Gate, plain, wait_until
from pebble import Pebble, acme
from test_upgrade import Upgraded

HOOK = """#!/bin/sh
# add|remove NAME VALUE: into the name server's folder
echo "$@" >> {log}
case $1 in
add) echo "$3" >> {records}/"$2" ;;
remove) sed -i "/$3/d" {records}/"$2"; [ -s {records}/"$2" ] || rm {records}/"$2" ;;
esac
"""


def hook(pebble):
    path = pebble.folder.write("hook", HOOK.format(log=pebble.folder / "hook.log", records=pebble.records))
    os.chmod(path, 0o755)
    open(pebble.folder / "hook.log", "w").close()
    os.chmod(pebble.folder / "hook.log", 0o666)
    return path


def command(gate, *args):
    done = subprocess.run([gates.GATEHOUSE, "cert", "-c", gate.path, *args], capture_output=True, text=True,
                          timeout=gates.TIMEOUT)
    return done.returncode, done.stdout + done.stderr


def cert(gate, name):
    """What `gatehouse cert` says about one of them: a dictionary of its rows; "" is the first line's."""
    status, text = command(gate)
    assert status == 0, text
    rows = {}
    for line in text.splitlines():
        if not line.startswith(" "):
            current, rows_of = line.split(": ", 1)[0], {}
            rows[current] = rows_of
            rows_of[""] = line.split(": ", 1)[-1]
        else:
            key, value = line.strip().split("  ", 1) if "  " in line.strip() else line.split(None, 1)
            rows_of[key.strip()] = value.strip()
    return rows[name]


def orders(pebble):
    return pebble.log().count("POST /order-plz")


@pytest.mark.parametrize("challenge", ["tls-alpn-01", "http-01", "dns-01"])
def test_each_challenge(challenge):
    pebble = Pebble()
    keys = {"acme_hook": hook(pebble)} if challenge == "dns-01" else {}
    gate = Gate(acme("a.test", pebble, acme_challenge=challenge, **keys), plain(name="a.test"))
    with pebble.serving(gate), gate:
        served = pebble.served(gate, "a.test")
        assert served.names == {"a.test"}
        rows = wait_until(lambda: cert(gate, "a.test").get("serial") and cert(gate, "a.test"), "its state")
        assert rows[""] == "valid" and int(rows["serial"].replace(":", ""), 16) == int(served.serial, 16)
        assert orders(pebble) == 1
        if challenge == "dns-01":
            with open(pebble.folder / "hook.log") as f:
                lines = f.read().split("\n")
            assert lines[0].startswith("add _acme-challenge.a.test ")
            wait_until(lambda: not os.listdir(pebble.records), "the hook to remove the record")


def test_names_kinds_and_sharing():
    """A wildcard beside its domain; both kinds of key; a vhost whose name is in another's certificate."""
    pebble = Pebble()
    gate = Gate(acme("a.test", pebble, acme_names=["b.test", "c.test"], acme_key="both"),
                acme("b.test", pebble, acme_key="both"),
                acme("*.w.test", pebble, acme_names="w.test", acme_hook=hook(pebble)), plain(name="x.test"))
    with pebble.serving(gate), gate:
        a = pebble.served(gate, "a.test")
        assert a.names == {"a.test", "b.test", "c.test"}
        assert pebble.served(gate, "b.test").serial == a.serial
        assert pebble.served(gate, "any.w.test").names == {"*.w.test", "w.test"}
        kinds = {"ECDSA": "ECDHE-ECDSA-AES128-GCM-SHA256", "RSA": "ECDHE-RSA-AES128-GCM-SHA256"}
        for kind, suite in kinds.items():
            found = wait_until(lambda: pebble.look(gate, "a.test", ciphers=suite), kind)
            assert kind in found.cipher and found.names == a.names
        assert len(os.listdir(gate.folder / "acme/certs")) == 3
        assert orders(pebble) == 3


def test_wildcard_needs_dns():
    pebble = Pebble()
    with contextlib.closing(pebble):
        gate = Gate(acme("*.a.test", pebble))
        done = subprocess.run([gates.GATEHOUSE, "check", "-c", gate.path], capture_output=True, text=True)
        assert done.returncode == 1 and "dns-01 for a wildcard" in done.stdout, done.stdout


def status_of(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def children(gate):
    """Role and pid of each of the parent's children."""
    found = {}
    for pid in gate.children():
        with contextlib.suppress(OSError), open("/proc/%d/cmdline" % pid) as f:
            title = f.read().strip("\0").split(": ")
            if len(title) == 2:     # otherwise it is not born yet, or dead
                found.setdefault(title[1].split()[0], []).append(pid)
    return found


def test_store_is_nobody_elses():
    """0700 and 0600, root's; no worker can read it; the acme process has no privilege either."""
    pebble = Pebble()
    gate = Gate(acme("a.test", pebble), acme_username="daemon")
    with pebble.serving(gate), gate:
        pebble.served(gate, "a.test")
        store = gate.folder / "acme"
        for folder, folders, files in os.walk(store):
            assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700 and os.stat(folder).st_uid == os.geteuid()
            for name in files:
                found = os.stat(os.path.join(folder, name))
                assert stat.S_IMODE(found.st_mode) == 0o600 and found.st_size > 0
        process = status_of(children(gate)["acme"][0])
        assert set(process["CapPrm"] + process["CapEff"] + process["CapBnd"] + process["CapAmb"]) == {"0"}
        assert process["NoNewPrivs"] == "1"
        if os.geteuid() == 0:
            import pwd
            assert process["Uid"].split() == [str(pwd.getpwnam("daemon").pw_uid)] * 4
            worker = status_of(children(gate)["worker"][0])
            assert worker["Uid"].split()[0] != "0" != process["Uid"].split()[0]


def kill_all(gate):
    """SIGKILL of the parent; its children leave by themselves."""
    pids = gate.children()
    gate.process.process.send_signal(signal.SIGKILL)
    gate.process.process.wait()
    wait_until(lambda: not any(os.path.exists("/proc/%d" % pid) for pid in pids), "all to be gone")


def test_restart_keeps_and_second_is_refused():
    pebble = Pebble()
    gate = Gate(acme("a.test", pebble))
    with pebble.serving(gate), gate:
        first = pebble.served(gate, "a.test")
        second = subprocess.run([gates.GATEHOUSE, "run", "-c", gate.path], capture_output=True, text=True,
                                timeout=gates.TIMEOUT)
        assert second.returncode == 1
        assert "another gatehouse (pid %d) uses the directory" % gate.process.pid in second.stderr
        kill_all(gate)
        gate.start()
        assert pebble.served(gate, "a.test").serial == first.serial
        assert orders(pebble) == 1


def test_kill_in_the_middle():
    """SIGKILL of the whole while an order is under way: the same order goes on."""
    pebble = Pebble(nonce_reject=20)
    gate = Gate(acme("a.test", pebble))
    with pebble.serving(gate), gate:
        for _ in range(3):
            wait_until(lambda: orders(pebble), "an order")
            kill_all(gate)
            gate.start()
        pebble.served(gate, "a.test")
        assert "certs" in os.listdir(gate.folder / "acme")


def fetch(gate, path, host, method="GET"):
    with gate.client(tls=False) as c:
        return c.request(method, path, host=host)


@pytest.mark.parametrize("asks_tls_port", [False, True])
def test_tokens_come_first(asks_tls_port):
    """Before redirect-http on the TLS port, before basic-auth and mounts; unknown ones are the mounts'."""
    pebble = Pebble()
    with Demo() as demo:
        users = pebble.folder.write("users", "u:$2y$05$" + "a" * 53 + "\n")
        os.chmod(users, 0o644)
        guarded = plain(demo.origin, "a.test", strict_host_check="1")
        guarded["mounts"][0]["basic-auth"] = users
        gate = Gate(acme("a.test", pebble, demo.origin, acme_challenge="http-01", redirect_http="1",
                         acme_names="elsewhere.test"), guarded)
        plain_port = gate.plain_port
        if asks_tls_port:
            gate.plain_port = gate.tls_port
        with pebble.serving(gate):
            gate.plain_port = plain_port
            with gate:
                pebble.served(gate, "a.test")
                place = "/.well-known/acme-challenge/unknown"
                assert fetch(gate, place, "a.test").status == 401
                with gate.client(tls=False, port=gate.tls_port) as c:
                    answer = c.request("GET", place, host="a.test")
                assert answer.status == 301 and answer["location"].startswith("https://a.test")


def test_unknown_name_gets_an_alert():
    """acme-tls/1 without a challenge, and a name without a certificate; plain HTTP and others go on."""
    pebble = Pebble()
    with Demo() as demo:
        gate = Gate(gates.tls(demo.origin), acme("a.test", pebble, demo.origin), plain(demo.origin))
        with contextlib.closing(pebble), gate:     # nobody listens there
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["acme-tls/1"])
            for name in ("a.test", "localhost"):
                with socket.create_connection(("127.0.0.1", gate.tls_port), gates.TIMEOUT) as s, \
                        pytest.raises(ssl.SSLError, match="(?i)alert"):
                    context.wrap_socket(s, server_hostname=name)
            context.set_alpn_protocols(["http/1.1"])
            with socket.create_connection(("127.0.0.1", gate.tls_port), gates.TIMEOUT) as s, \
                    pytest.raises(ssl.SSLError, match="(?i)handshake.failure"):
                context.wrap_socket(s, server_hostname="a.test")
            gate.wait_log("TLS handshake for a.test: the vhost has no certificate yet")
            assert gate.get("/json").status == 200
            assert gate.get("/json", tls=False).status == 200
            rows = wait_until(lambda: "error" in cert(gate, "a.test") and cert(gate, "a.test"), "an error")
            assert rows["error"]


def test_renewal_touches_nothing():
    """A WebSocket lives through renewals on request; a broken configuration on disk does not matter."""
    pebble = Pebble()
    with Demo() as demo:
        gate = Gate(acme("a.test", pebble, demo.origin), plain(demo.origin, "a.test"))
        with pebble.serving(gate), gate:
            first = pebble.served(gate, "a.test")
            with gates.peers.Client.tcp(gate.tls_port, pebble.client_context(), "a.test") as c:
                socket_ = c.websocket(host="a.test")
                with open(gate.path) as f:
                    good = f.read()
                gate.folder.write("conf", "vhosts: [ broken")
                pids = gate.children()
                gate.folder.write("conf2", good)
                status, text = command(gate, "renew", "a.test", "--socket", gate.folder / "control")
                assert status == 0, text
                second = pebble.served(gate, "a.test", other_than=first.serial)
                assert second.serial != first.serial
                socket_.echo(b"still here")
                workers = [pid for pid in pids if pid in gate.children()]
                assert len(workers) == len(pids)
                gate.folder.write("conf", good)


def test_revoke():
    pebble = Pebble()
    gate = Gate(acme("a.test", pebble))
    with pebble.serving(gate), gate:
        first = pebble.served(gate, "a.test")
        status, text = command(gate, "revoke", "nobody.test")
        assert status == 1 and "no certificate of this name" in text
        status, text = command(gate, "revoke", "a.test")
        assert status == 0, text
        wait_until(lambda: "POST /revoke-cert" in pebble.log(), "the CA to be told")
        wait_until(lambda: cert(gate, "a.test").get("serial") != first.serial.lower() or
                   "revoked" in cert(gate, "a.test")[""], "the state")


def test_account_binding_and_bad_nonces():
    key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
    pebble = Pebble(eab=("kid-1", key), nonce_reject=50)
    gate = Gate(acme("a.test", pebble, eab_kid="kid-1", eab_hmac_file="-"))
    gate.folder.write("eab", key + "\n")
    with open(gate.path) as f:
        text = f.read()
    gate.folder.write("conf", text.replace('"-"', '"%s"' % (gate.folder / "eab")))
    with pebble.serving(gate), gate:
        pebble.served(gate, "a.test")


def test_reload_during_an_order():
    """And a vhost that wants clients' certificates and speaks HTTP/2 alone: the CA has neither."""
    pebble = Pebble()
    strict = {"client_cert_required": "1", "client_cert_ca": gates.authority().path, "alpn": "h2"}
    gate = Gate(acme("a.test", pebble), plain(name="a.test"),
                acme("b.test", pebble, acme_challenge="tls-alpn-01", tls_min_version="1.3", **strict))
    with pebble.serving(gate), gate:
        for _ in range(3):
            gate.signal(signal.SIGHUP)
        a, b = pebble.served(gate, "a.test"), pebble.served(gate, "b.test", alpn="h2")
        assert a.serial != b.serial and orders(pebble) == 2


def test_reference_paths():
    """The reference's block: a key and a certificate in files of their own, shared by their paths."""
    pebble = Pebble()
    gate = Gate(plain(name="x.test"))
    certs = gate.folder / "own"
    os.mkdir(certs, 0o700)
    paths = {"host-ssl-cert": certs + "/a.crt", "host-ssl-key": certs + "/a.key", "ignore-missing-cert": "1"}
    block = {"auth-path": certs + "/auth.jwk", "cert-path": certs + "/a.crt", "key-path": certs + "/a.key",
             "directory-url": pebble.url, "directory-ca": gates.authority().path, "common-name": "a.test",
             "email": "a@example.com", "country": "TW"}
    gate.configure({**plain(name="a.test"), **paths, "ws-protocols": [{"lws-acme-client": block}]},
                   {**plain(name="other.test"), **paths}, plain(name="x.test"))
    with pebble.serving(gate), gate:
        a = pebble.served(gate, "a.test")
        assert a.names == {"a.test"}
        assert sorted(os.listdir(certs)) == ["a.crt", "a.key", "auth.jwk"]
        with open(certs + "/auth.jwk") as f:
            assert '"kty"' in f.read()
        context = pebble.client_context()
        context.check_hostname = False
        with socket.create_connection(("127.0.0.1", gate.tls_port), gates.TIMEOUT) as s, \
                context.wrap_socket(s, server_hostname="other.test") as t:
            assert t.getpeercert()["serialNumber"] == a.serial


class Crowd:
    """Stands where Pebble looks for a token, and asks the gate for it a hundred times before it answers."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.bodies = []
        self.before = None  # what happens first

    def ask(self, gate, path):
        with gate.client(tls=False) as c:
            for _ in range(10):
                answer = c.request("GET", path, host="a.test")
                self.bodies.append((answer.status, answer["content-type"], answer.body))

    def serve(self, gate):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with gates.peers.Served(sock) as served:
                path = served.read_request().start.split()[1]
                if self.before:
                    self.before()
                threads = [threading.Thread(target=self.ask, args=(gate, path)) for _ in range(10)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                served.send(gates.peers.response(self.bodies[-1][2], connection="close"))


def test_concurrent_validations():
    pebble, crowd = Pebble(), Crowd()
    gate = Gate(acme("a.test", pebble, acme_challenge="http-01"), plain(name="a.test"))
    port, gate.plain_port = gate.plain_port, crowd.port
    with contextlib.closing(crowd.listener), pebble.serving(gate):
        gate.plain_port = port
        threading.Thread(target=crowd.serve, args=(gate,), daemon=True).start()
        with gate:
            pebble.served(gate, "a.test")
            assert len(crowd.bodies) >= 100 and len(set(crowd.bodies)) == 1
            assert crowd.bodies[0][:2] == (200, "application/octet-stream")


def mounted(folder, size, *commands):
    """A command in a mount namespace of its own, with a small file system at the folder."""
    script = "mount -t tmpfs -o size=%s,mode=700 tmpfs %s && %s exec \"$@\"" % (
        size, folder, "".join(command + " && " for command in commands))
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]


def test_full_store():
    """A certificate that cannot be written is served, and written when there is room."""
    pebble = Pebble()
    gate = Gate(acme("a.test", pebble), state_dir="/")
    state = gate.folder / "state"
    os.mkdir(state)
    with open(gate.path) as f:
        text = f.read().replace('"state-dir": "/"', '"state-dir": "%s"' % state)
    gate.folder.write("conf", text)
    gate.before = mounted(state, "64k", "(dd if=/dev/zero of=%s/ballast bs=4096 2>/dev/null; true)" % state)
    with pebble.serving(gate), gate:
        first = pebble.served(gate, "a.test")
        gate.wait_log(r"cannot write .*/certs/a.test.pem: No space left on device: kept in memory")
        inside = "/proc/%d/root%s" % (gate.process.pid, state)
        assert not os.path.exists(inside + "/acme/certs/a.test.pem")
        os.unlink(inside + "/ballast")
        gate.wait_log(r"certs/a.test.pem is written now")
        assert os.stat(inside + "/acme/certs/a.test.pem").st_size > 0
        assert pebble.served(gate, "a.test").serial == first.serial and orders(pebble) == 1


def workers(gate):
    return children(gate).get("worker", [])


def test_workers_that_die_or_hang_meanwhile():
    """Who is born while a CA looks knows the token; who hangs is started again and holds up nobody."""
    pebble, crowd = Pebble(), Crowd()
    gate = Gate(acme("a.test", pebble, acme_challenge="http-01"), plain(name="a.test"))
    port, gate.plain_port = gate.plain_port, crowd.port
    with contextlib.closing(crowd.listener), pebble.serving(gate):
        gate.plain_port = port

        def kill_workers():
            before = set(workers(gate))
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: len(set(workers(gate)) - before) == len(before), "new workers")

        crowd.before = kill_workers
        threading.Thread(target=crowd.serve, args=(gate,), daemon=True).start()
        gate.workers_expected = 1
        with gate:
            first = pebble.served(gate, "a.test")
            assert len(crowd.bodies) >= 100 and len(set(crowd.bodies)) == 1
            crowd.before = None
            hung = workers(gate)[0]
            os.kill(hung, signal.SIGSTOP)
            assert command(gate, "renew", "a.test")[0] == 0
            gate.wait_log(r"worker \d \(pid %d\) does not take the token for a.test: ended" % hung)
            pebble.served(gate, "a.test", other_than=first.serial)


def test_a_users_certificate_may_be_missing():
    """Until it is there its own handshakes fail; then it is served, without a reload."""
    with Demo() as demo:
        certificate, key = gates.authority().issue("late.test")
        late = plain(demo.origin, "late.test", ignore_missing_cert="1")
        gate = Gate(gates.tls(demo.origin), late, plain(demo.origin))
        late.update({"host-ssl-cert": gate.folder / "late.crt", "host-ssl-key": gate.folder / "late.key",
                     "port": str(gate.tls_port)})
        gate.configure(gates.tls(demo.origin), late, plain(demo.origin))
        with gate:
            with pytest.raises(ssl.SSLError, match="(?i)handshake.failure"):
                gate.client(name="late.test")
            assert gate.get("/json").status == 200
            for source, name in ((key, "late.key"), (certificate, "late.crt")):
                shutil.copy(source, gate.folder / name)

            def is_served():
                with contextlib.suppress(ssl.SSLError):
                    return gate.get("/json", name="late.test").status == 200
            wait_until(is_served, "the certificate to be served")


def test_an_upgrade_takes_the_store_over():
    pebble = Pebble()
    gate = Upgraded(acme("a.test", pebble), plain(name="a.test"))
    with pebble.serving(gate), gate:
        first = pebble.served(gate, "a.test")
        assert gate.upgrade().wait(gates.TIMEOUT) == 0
        assert pebble.served(gate, "a.test").serial == first.serial
        wait_until(lambda: command(gate, "renew", "a.test")[0] == 0, "its process of certificates")
        pebble.served(gate, "a.test", other_than=first.serial)
        assert orders(pebble) == 2
