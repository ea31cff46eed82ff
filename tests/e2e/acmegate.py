"""A gate whose certificates come from the mock CA, and what tests do to it.

    with MockCA() as ca, AcmeGate(ca, vhost(ca)) as gate:
        serial = gate.wait_certificate(ca)
"""

import contextlib
import functools
import glob
import json
import os
import signal
import socket
import ssl
import threading

from gate import Folder, Gate, plain, wait_until
from mockca import Lost

NAME = "a.example"


def vhost(ca, name=NAME, **more):
    """A vhost on TLS with a certificate from that CA; more: keys of its `acme`, _ for -."""
    keys = {"directory-url": ca.directory, "directory-ca": trust(ca)}
    keys.update({key.replace("_", "-"): value for key, value in more.items()})
    return plain(None, name, acme=keys)


@functools.cache
def trust(*cas):
    """A file of what those CAs' own https is to be trusted by."""
    folder = Folder()
    folders.append(folder)
    return folder.write("ca.pem", "".join(ca.own.pem for ca in cas))


folders = []    # they live as long as the tests


class AcmeGate(Gate):
    """A gate whose vhosts with `acme` are on the TLS port, where the CA looks for them."""

    def __init__(self, ca, *vhosts, **keys):
        super().__init__(**keys)
        for v in vhosts:
            v["port"] = str(self.tls_port)
        self.configure(*vhosts, plain(None, "plain.example"), **keys)
        ca.http_port, ca.tls_port = self.plain_port, self.tls_port

    def certificate(self, ca, name=NAME):
        """(serial number, not after) of what is served, verified; or None."""
        context = ssl.create_default_context(cadata=ca.issuer.pem)
        try:
            with socket.create_connection(("127.0.0.1", self.tls_port), 5) as s:
                with context.wrap_socket(s, server_hostname=name) as t:
                    cert = t.getpeercert()
        except ssl.SSLCertVerificationError as e:
            raise AssertionError("%s is served what is not good: %s" % (name, e)) from None
        except OSError:
            return None
        return int(cert["serialNumber"], 16), ssl.cert_time_to_seconds(cert["notAfter"])

    def wait_certificate(self, ca, name=NAME, other_than=None, timeout=20):
        def look():
            found = self.certificate(ca, name)
            return found if found and found[0] != other_than else None
        return wait_until(look, "a certificate for " + name, timeout)[0]

    def state(self, name=NAME):
        with open(os.path.join(self.folder.path, "acme/orders", name + ".json")) as f:
            return json.load(f)

    def kill_all(self):
        """The parent and all below it, at once."""
        pids = [self.process.pid]
        for pid in pids:
            with contextlib.suppress(OSError):
                for task in glob.glob("/proc/%d/task/*/children" % pid):
                    with open(task) as f:
                        pids += [int(child) for child in f.read().split()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Stop:
    """Ends the gate at a request: before it is served, or when it has been and the answer is on its way."""

    def __init__(self, gate, ca, at, before):
        self.gate, self.at, self.seen, self.done = gate, at, 0, threading.Event()
        self.lock = threading.Lock()
        ca.on_arrival = self.look if before else None
        ca.on_request = None if before else self.look

    def look(self, _):
        with self.lock:
            self.seen += 1
            if self.seen != self.at or self.done.is_set():
                return
            self.gate.kill_all()
            self.done.set()
        raise Lost()
