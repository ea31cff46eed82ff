"""Pebble, the ACME server for tests, and a name server that knows every name.

    gate = Gate(acme("a.test", pebble, origin), plain(origin))
    with pebble.serving(gate), gate:
        assert pebble.served(gate, "a.test").names == {"a.test"}

Pebble looks for http-01 on the gate's plain port and for tls-alpn-01 on its TLS port; all names are
127.0.0.1. Its directory has a certificate of the tests' own authority.
"""

import contextlib
import json
import os
import socket
import ssl
import struct
import threading
import urllib.request

import gate as gates
from gate import Folder, Process, authority, free_port, wait_until


class Names:
    """A name server: A of every name is 127.0.0.1, TXT is what somebody wrote into a folder."""

    A, TXT, AAAA = 1, 16, 28

    def __init__(self, folder):
        self.folder = folder    # of a file a name, whose lines are texts: what a hook writes
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.port = self.udp.getsockname()[1]
        self.asked = []
        threading.Thread(target=self.run, daemon=True).start()

    def texts(self, name):
        try:
            with open(os.path.join(self.folder, name)) as f:
                return f.read().split()
        except OSError:
            return []

    def answers(self, name, kind):
        if kind == self.A:
            return [bytes((127, 0, 0, 1))]
        if kind == self.TXT:
            return [bytes((len(text),)) + text.encode() for text in self.texts(name)]
        return []

    def run(self):
        while True:
            try:
                query, whence = self.udp.recvfrom(4096)
            except OSError:
                return
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            kind = struct.unpack_from("!H", query, at + 1)[0]
            name = ".".join(labels).lower()
            self.asked.append((name, kind))
            records = self.answers(name, kind)
            reply = query[:2] + struct.pack("!5H", 0x8580, 1, len(records), 0, 0) + query[12:at + 5]
            for data in records:
                reply += struct.pack("!HHHIH", 0xc00c, kind, 1, 0, len(data)) + data
            self.udp.sendto(reply, whence)

    def close(self):
        self.udp.close()


class Served:
    """A certificate that was shown to a client who trusts the CA."""

    def __init__(self, certificate, cipher):
        self.serial = certificate["serialNumber"]
        self.names = {name for kind, name in certificate["subjectAltName"] if kind == "DNS"}
        self.ends = ssl.cert_time_to_seconds(certificate["notAfter"])
        self.cipher = cipher


class Pebble:
    def __init__(self, strict=True, validity=None, nonce_reject=0, eab=None):
        self.folder = Folder()
        self.locks, self.process = [], None
        self.port, lock = free_port()
        self.management, other = free_port()
        self.locks += [lock, other]
        self.records = self.folder / "records"
        os.mkdir(self.records, 0o777)
        os.chmod(self.records, 0o777)
        self.names = Names(self.records)
        self.url = "https://127.0.0.1:%d/dir" % self.port
        self.strict, self.nonce_reject = strict, nonce_reject
        self.extra = {}
        if validity:
            self.extra["certificateValidityPeriod"] = validity
        if eab:
            self.extra.update(externalAccountBindingRequired=True, externalAccountMACKeys=dict([eab]))

    def config(self, gate):
        certificate, key = authority().issue("127.0.0.1", "localhost")
        return self.folder.write("pebble.json", json.dumps({"pebble": {
            "listenAddress": "127.0.0.1:%d" % self.port,
            "managementListenAddress": "127.0.0.1:%d" % self.management,
            "certificate": certificate, "privateKey": key,
            "httpPort": gate.plain_port, "tlsPort": gate.tls_port,
            "ocspResponderURL": "", "externalAccountBindingRequired": False, **self.extra}}))

    def start(self, gate):
        """Also after stop(): one that knows nothing of what it issued before."""
        self.process = Process(self.folder, [
            "pebble", "-config", self.config(gate), "-strict=%s" % str(self.strict).lower(),
            "-dnsserver", "127.0.0.1:%d" % self.names.port,
        ], env={**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": str(self.nonce_reject),
                "PEBBLE_AUTHZREUSE": "0"})
        wait_until(lambda: self.answers(), "pebble to listen")
        self.context = ssl.create_default_context(cafile=authority().path)
        with urllib.request.urlopen("https://127.0.0.1:%d/roots/0" % self.management,
                                    context=self.context) as answer:
            self.root = answer.read().decode()

    def answers(self):
        assert self.process.process.poll() is None, self.log()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.management), 1):
            return True
        return False

    def stop(self):
        self.process.kill()

    def log(self):
        return self.process.log() if self.process else ""

    @contextlib.contextmanager
    def serving(self, gate):
        try:
            self.start(gate)
            yield self
        except BaseException:
            print("--- the log of pebble\n%s" % self.log())
            raise
        finally:
            self.close()

    def close(self):
        if self.process:
            self.process.kill()
        self.names.close()
        self.folder.remove()
        for lock in self.locks:
            lock.close()

    def client_context(self, alpn=("http/1.1",), ciphers=None):
        context = ssl.create_default_context(cadata=self.root)
        context.set_alpn_protocols(list(alpn))
        if ciphers:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(ciphers)
        return context

    def look(self, gate, name, ciphers=None, alpn="http/1.1"):
        """The certificate that is served for a name, or None: there is none that the CA has issued."""
        try:
            with socket.create_connection(("127.0.0.1", gate.tls_port), gates.TIMEOUT) as s, \
                    self.client_context([alpn], ciphers).wrap_socket(s, server_hostname=name) as t:
                return Served(t.getpeercert(), t.cipher()[0])
        except (ssl.SSLError, ConnectionError):
            return None

    def served(self, gate, name, other_than=None, alpn="http/1.1", timeout=gates.TIMEOUT):
        """Waits for one."""
        def look():
            found = self.look(gate, name, alpn=alpn)
            return found and found.serial != other_than and found
        return wait_until(look, "a certificate for %s" % name, timeout)


def acme(name, ca, origin=None, **keys):
    """A vhost whose certificate is obtained from there."""
    return gates.plain(origin, name, acme="yes", directory_url=ca.url, directory_ca=authority().path, **keys)
