"""A CA with an ACME directory (RFC 8555, 8737, 9773) that does what real ones do on bad days.

    with MockCA() as ca:
        ca.http_port, ca.tls_port = gate.plain_port, gate.tls_port      # where it looks for proofs
        ca.fault("newOrder", status=429, headers={"Retry-After": "5"})  # once; times=N: so often
        ...
        assert ca.count("newOrder") == 2

Every request is checked as a CA would (signature, nonce, url, account) and recorded in ca.requests. Resources
are directory, newNonce, newAccount, newOrder, revokeCert, renewalInfo, account, orders, order, authz,
challenge, finalize and cert. A fault at one strikes before it is served or, with after=True, when it was,
so that only the answer is lost.

Run as a program it serves until it is ended, and says where:   mockca.py [validity in seconds]
"""

import base64
import contextlib
import datetime
import hashlib
import hmac
import http.client
import http.server
import ipaddress
import json
import os
import secrets
import socket
import ssl
import sys
import tempfile
import threading
import time

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

UTC = datetime.timezone.utc
IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")    # RFC 8737 section 3
ACME = "urn:ietf:params:acme:error:"


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def thumbprint(jwk):
    """RFC 7638."""
    members = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    return b64(hashlib.sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).digest())


class Problem(Exception):
    def __init__(self, status, kind, detail, headers=()):
        super().__init__(detail)
        self.status, self.headers = status, dict(headers)
        self.body = {"type": ACME + kind, "detail": detail, "status": status}


class Lost(Exception):
    """No answer, or not a whole one."""


class Request:
    def __init__(self, resource, time_, payload, account):
        self.resource, self.time, self.payload, self.account = resource, time_, payload, account

    def __repr__(self):
        return "%s %s" % (self.resource, self.payload)


class Fault:
    """What goes wrong at a resource: a status, or how the connection suffers."""

    def __init__(self, times=1, after=False, status=None, headers=(), kind="serverInternal", how=None):
        self.times, self.after = times, after
        self.status, self.headers, self.kind = status, dict(headers), kind
        self.how = how      # None, "close", "hang", "truncate", "garbage", "slow", "badNonce", "huge"


class Authority:
    """Keys and certificates, in memory."""

    def __init__(self, name):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(UTC)
        public = self.key.public_key()
        self.cert = (x509.CertificateBuilder().subject_name(self.name).issuer_name(self.name)
                     .public_key(public).serial_number(x509.random_serial_number())
                     .not_valid_before(now - datetime.timedelta(days=365))
                     .not_valid_after(now + datetime.timedelta(days=3650))
                     .add_extension(x509.BasicConstraints(True, None), True)
                     .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
                     .sign(self.key, hashes.SHA256()))
        self.pem = self.cert.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, names, public, seconds, backdate=0):
        now = datetime.datetime.now(UTC).replace(microsecond=0)
        alternative = [x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit()
                       else x509.DNSName(name) for name in names]
        builder = (x509.CertificateBuilder()
                   .subject_name(x509.Name([])).issuer_name(self.name)
                   .public_key(public).serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(seconds=backdate))
                   .not_valid_after(now + datetime.timedelta(seconds=seconds))
                   .add_extension(x509.SubjectAlternativeName(alternative), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                       self.key.public_key()), False))
        return builder.sign(self.key, hashes.SHA256())


class MockCA:
    def __init__(self, validity=90 * 86400, port=0):
        self.validity, self.backdate = validity, 0
        self.http_port = self.tls_port = 0
        self.tokens = {}            # of dns-01: name -> value, put there by the test's hook
        self.offers = ["tls-alpn-01", "http-01", "dns-01"]
        self.binding = {}           # kid -> secret; not empty: newAccount needs one
        self.window = None          # of ARI: seconds from issuance, (start, end)
        self.ari_retry_after = None
        self.retry_after = {}       # resource -> value, of what is not finished yet
        self.steps = {"order": 0, "authz": 0}   # replies "processing"/"pending" before it is finished
        self.keeps_list = True      # of an account's orders
        # called with each Request before it is served, and before its answer is sent; may raise
        self.on_arrival = self.on_request = None
        self.requests, self.faults = [], {}
        self.nonces, self.accounts, self.orders, self.authzs, self.certs = set(), {}, {}, {}, {}
        self.reject_nonces = 0.0
        self.replaced = set()
        self.lock = threading.RLock()
        self.stopped = threading.Event()
        self.issuer, self.own = Authority("Mock issuer"), Authority("Mock https")
        self.server = self.serve(port)
        self.port = self.server.server_address[1]
        self.base = "https://127.0.0.1:%d" % self.port
        self.directory = self.base + "/directory"

    # ---- what tests do ----

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()

    def fault(self, resource, **what):
        with self.lock:
            self.faults.setdefault(resource, []).append(Fault(**what))

    def heal(self):
        with self.lock:
            self.faults.clear()

    def count(self, resource):
        with self.lock:
            return sum(request.resource == resource for request in self.requests)

    def times(self, resource):
        with self.lock:
            return [request.time for request in self.requests if request.resource == resource]

    def issued(self):
        """Certificates, in the order they were made."""
        with self.lock:
            return list(self.certs.values())

    # ---- the server ----

    def serve(self, port):
        ca = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60
            disable_nagle_algorithm = True
            wbufsize = -1

            def log_message(self, *_):
                pass

            def do_GET(self):
                ca.handle(self, None)

            do_HEAD = do_GET

            def do_POST(self):
                ca.handle(self, self.rfile.read(int(self.headers["Content-Length"])))

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass        # clients that go away are part of the tests

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self.own.issue(["127.0.0.1", "localhost"], key.public_key(), 86400 * 3650, 86400)
        with tempfile.NamedTemporaryFile() as file:
            file.write(cert.public_bytes(serialization.Encoding.PEM))
            file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                         serialization.NoEncryption()))
            file.flush()
            context.load_cert_chain(file.name)
        server = Server(("127.0.0.1", port), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        return server

    def handle(self, handler, body):
        resource = handler.path.split("/")[1].split("?")[0]
        try:
            try:
                self.suffer(handler, resource, False)
                status, headers, reply = self.answer(handler, resource, body)
                self.suffer(handler, resource, True)
            except Problem as problem:
                status, headers, reply = problem.status, problem.headers, problem.body
            self.send(handler, status, headers, reply)
        except (Lost, OSError):
            handler.close_connection = True
            with contextlib.suppress(OSError):
                handler.connection.shutdown(socket.SHUT_RDWR)

    def send(self, handler, status, headers, reply):
        data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        kind = "application/problem+json" if status >= 400 else "application/json"
        handler.send_response(status)
        with self.lock:
            nonce = b64(secrets.token_bytes(16))
            self.nonces.add(nonce)
        for name, value in {"Content-Type": kind, "Replay-Nonce": nonce, "Content-Length": str(len(data)),
                            "Cache-Control": "no-store", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(data)

    def suffer(self, handler, resource, after):
        """The first fault of the resource that is for now."""
        with self.lock:
            faults = self.faults.get(resource, [])
            fault = next((f for f in faults if f.after == after), None)
            if not fault:
                return
            fault.times -= 1
            if fault.times <= 0:
                faults.remove(fault)
            if not after:
                self.requests.append(Request(resource, time.time(), None, None))
        raw = handler.wfile
        if fault.how == "hang":
            self.stopped.wait(120)
        elif fault.how == "truncate":
            raw.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"half\":")
        elif fault.how == "garbage":
            raw.write(b"\x00\x16\x03 this is not HTTP\r\n\r\n")
        elif fault.how == "huge":
            raw.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            with contextlib.suppress(OSError):
                for _ in range(100):
                    raw.write(b" " * 1000000)
        elif fault.how == "slow":
            return self.drip(handler, resource)
        elif fault.how == "badNonce":
            raise Problem(400, "badNonce", "once more, with feeling")
        elif fault.status:
            raise Problem(fault.status, fault.kind, "fault injected at " + resource, fault.headers)
        raise Lost()

    def drip(self, handler, resource):
        """Byte by byte, a head that takes a second."""
        for byte in b"HTTP/1.1 103 Early Hints\r\n\r\n":
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            self.stopped.wait(0.03)

    # ---- what is asked ----

    def answer(self, handler, resource, body):
        path = handler.path.strip("/").split("/")
        if body is None and resource not in ("directory", "newNonce", "renewalInfo"):
            raise Problem(405, "malformed", "POST is the method")
        payload = account = None
        if body is not None:
            payload, account, jwk = self.unwrap(handler, resource, body)
        with self.lock:
            request = Request(resource, time.time(), payload, account)
            if self.on_arrival:
                self.on_arrival(request)
            self.requests.append(request)
            method = getattr(self, "serve_" + resource, self.missing)
            if body is None:
                result = method(*path[1:])
            elif resource == "newAccount":
                result = method(payload, jwk)
            else:
                result = method(payload, account, *path[1:])
        if self.on_request:
            self.on_request(request)
        return result

    def missing(self, *_):
        raise Problem(404, "malformed", "no such resource")

    def unwrap(self, handler, resource, body):
        """RFC 8555 section 6: (payload, account, jwk)."""
        jws = json.loads(body)
        header = json.loads(unb64(jws["protected"]))
        with self.lock:
            fresh = header.get("nonce") in self.nonces
            self.nonces.discard(header.get("nonce"))
        if not fresh or (self.reject_nonces and secrets.randbelow(1000) < self.reject_nonces * 1000):
            raise Problem(400, "badNonce", "a nonce that is not known")
        if handler.headers["Content-Type"] != "application/jose+json":
            raise Problem(415, "malformed", "not application/jose+json")
        if header.get("alg") != "ES256" or header.get("url") != self.base + handler.path:
            raise Problem(400, "malformed", "alg or url of the JWS")
        if ("jwk" in header) == ("kid" in header) or ("jwk" in header) != (resource == "newAccount"):
            raise Problem(400, "malformed", "jwk or kid")
        account = None
        if "kid" in header:
            account = self.accounts.get(header["kid"])
            if not account:
                raise Problem(400, "accountDoesNotExist", "there is no account %s" % header["kid"])
        jwk = header.get("jwk") or account["jwk"]
        numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(unb64(jwk["x"]), "big"),
                                                int.from_bytes(unb64(jwk["y"]), "big"), ec.SECP256R1())
        signature = unb64(jws["signature"])
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        try:
            numbers.public_key().verify(utils.encode_dss_signature(r, s),
                                        (jws["protected"] + "." + jws["payload"]).encode(),
                                        ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise Problem(400, "malformed", "the signature") from None
        raw = unb64(jws["payload"])
        return json.loads(raw) if raw else None, account, jwk

    def serve_directory(self):
        reply = {name: "%s/%s" % (self.base, name)
                 for name in ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange")}
        if self.window:
            reply["renewalInfo"] = self.base + "/renewalInfo"
        reply["meta"] = {"externalAccountRequired": bool(self.binding)}
        return 200, {}, reply

    def serve_newNonce(self):
        return 200, {}, b""

    def serve_newAccount(self, payload, jwk):
        for url, account in self.accounts.items():
            if account["jwk"] == jwk:
                return 200, {"Location": url}, account["object"]
        if payload.get("onlyReturnExisting"):
            raise Problem(400, "accountDoesNotExist", "no account has this key")
        if not payload.get("termsOfServiceAgreed"):
            raise Problem(403, "userActionRequired", "the terms")
        if self.binding:
            self.check_binding(payload.get("externalAccountBinding"), jwk)
        url = "%s/account/%d" % (self.base, len(self.accounts) + 1)
        reply = {"status": "valid", "contact": payload.get("contact", [])}
        if self.keeps_list:
            reply["orders"] = "%s/orders/%d" % (self.base, len(self.accounts) + 1)
        self.accounts[url] = {"jwk": jwk, "object": reply, "orders": [], "url": url}
        return 201, {"Location": url}, reply

    def check_binding(self, binding, jwk):
        if not binding:
            raise Problem(403, "externalAccountRequired", "whose account is it?")
        header = json.loads(unb64(binding["protected"]))
        secret = self.binding.get(header["kid"])
        mac = hmac.new(secret or b"", (binding["protected"] + "." + binding["payload"]).encode(), "sha256")
        if not secret or not hmac.compare_digest(mac.digest(), unb64(binding["signature"])) \
                or json.loads(unb64(binding["payload"])) != jwk or header["alg"] != "HS256":
            raise Problem(403, "unauthorized", "the external account binding")

    def serve_account(self, payload, account, _number):
        return 200, {}, account["object"]

    def serve_orders(self, payload, account, _number):
        return 200, {}, {"orders": account["orders"]}

    def serve_newOrder(self, payload, account):
        replaces = payload.get("replaces")
        if replaces and replaces in self.replaced:
            raise Problem(409, "alreadyReplaced", "another order replaces it")
        if replaces:
            self.replaced.add(replaces)
        number = str(len(self.orders) + 1)
        url = "%s/order/%s" % (self.base, number)
        names = [identifier["value"] for identifier in payload["identifiers"]]
        order = {"status": "pending", "identifiers": payload["identifiers"], "authorizations": [],
                 "finalize": "%s/finalize/%s" % (self.base, number)}
        if replaces:
            order["replaces"] = replaces
        for name in names:
            order["authorizations"].append(self.authorize(account, name))
        self.orders[number] = {"object": order, "account": account, "url": url, "names": names,
                               "steps": self.steps["order"]}
        account["orders"].append(url)
        return 201, {"Location": url}, order

    def authorize(self, account, name):
        number = str(len(self.authzs) + 1)
        wildcard = name.startswith("*.")
        base = name[2:] if wildcard else name
        challenges = [{"type": kind, "status": "pending", "token": b64(secrets.token_bytes(16)),
                       "url": "%s/challenge/%s/%s" % (self.base, number, kind)}
                      for kind in self.offers if not wildcard or kind == "dns-01"]
        reply = {"status": "pending", "identifier": {"type": "dns", "value": base}, "challenges": challenges}
        if wildcard:
            reply["wildcard"] = True
        self.authzs[number] = {"object": reply, "account": account, "steps": self.steps["authz"]}
        return "%s/authz/%s" % (self.base, number)

    def later(self, resource):
        value = self.retry_after.get(resource)
        return {"Retry-After": str(value)} if value is not None else {}

    def mine(self, table, number, account):
        entry = table.get(number)
        if not entry or entry["account"] is not account:
            raise Problem(404, "malformed", "not yours, or not there")
        return entry

    def serve_authz(self, payload, account, number):
        entry = self.mine(self.authzs, number, account)
        busy = [c for c in entry["object"]["challenges"] if c["status"] == "processing"]
        if busy and entry["steps"] > 0:
            entry["steps"] -= 1
        elif busy:
            self.finish(entry, busy[0])
        headers = self.later("authz") if entry["object"]["status"] == "pending" else {}
        return 200, headers, entry["object"]

    def serve_challenge(self, payload, account, number, kind):
        entry = self.mine(self.authzs, number, account)
        challenge = next(c for c in entry["object"]["challenges"] if c["type"] == kind)
        if entry["object"]["status"] != "pending":
            raise Problem(400, "malformed", "the authorization is not pending")
        challenge["status"] = "processing"
        if not entry["steps"]:
            self.finish(entry, challenge)
        return 200, {}, challenge

    def finish(self, entry, challenge):
        """Looks for the proof, as the rest of the world would."""
        name = entry["object"]["identifier"]["value"]
        expected = challenge["token"] + "." + thumbprint(entry["account"]["jwk"])
        wrong = None
        self.lock.release()
        try:
            getattr(self, "look_" + challenge["type"].replace("-", "_"))(name, challenge["token"], expected)
        except Exception as e:      # whatever it is, it is told
            wrong = "%s: %s" % (type(e).__name__, e)
        finally:
            self.lock.acquire()
        challenge["status"] = entry["object"]["status"] = "invalid" if wrong else "valid"
        if wrong:
            challenge["error"] = {"type": ACME + "unauthorized", "detail": wrong, "status": 403}
        for order in self.orders.values():
            states = [self.authzs[url.rsplit("/", 1)[1]]["object"]["status"]
                      for url in order["object"]["authorizations"]]
            if order["object"]["status"] == "pending":
                if all(state == "valid" for state in states):
                    order["object"]["status"] = "ready"
                elif "invalid" in states:
                    order["object"]["status"] = "invalid"

    def look_http_01(self, name, token, expected):
        c = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        with contextlib.closing(c):
            c.request("GET", "/.well-known/acme-challenge/" + token, headers={"Host": name})
            reply = c.getresponse()
            body = reply.read()
            assert reply.status == 200 and body.decode().strip() == expected, \
                "status %d, %r" % (reply.status, body[:200])

    def look_tls_alpn_01(self, name, token, expected):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["acme-tls/1"])
        with socket.create_connection(("127.0.0.1", self.tls_port), 5) as s:
            with context.wrap_socket(s, server_hostname=name) as t:
                assert t.selected_alpn_protocol() == "acme-tls/1", "ALPN"
                cert = x509.load_der_x509_certificate(t.getpeercert(True))
        names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [name], "names %s" % names
        extension = cert.extensions.get_extension_for_oid(IDENTIFIER)
        digest = hashlib.sha256(expected.encode()).digest()
        assert extension.critical and extension.value.value == b"\x04\x20" + digest, "acmeIdentifier"

    def look_dns_01(self, name, token, expected):
        value = b64(hashlib.sha256(expected.encode()).digest())
        found = self.tokens.get("_acme-challenge." + name)
        assert value in (found or ()), "TXT is %r" % (found,)

    def serve_order(self, payload, account, number):
        entry = self.mine(self.orders, number, account)
        if entry["object"]["status"] == "processing":
            entry["steps"] -= 1
            if entry["steps"] < 0:
                self.make(number, entry)
        headers = self.later("order") if entry["object"]["status"] == "processing" else {}
        return 200, headers, entry["object"]

    def serve_finalize(self, payload, account, number):
        entry = self.mine(self.orders, number, account)
        if entry["object"]["status"] != "ready":
            raise Problem(403, "orderNotReady", "its status is " + entry["object"]["status"])
        csr = x509.load_der_x509_csr(unb64(payload["csr"]))
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        asked = names.get_values_for_type(x509.DNSName)
        if sorted(asked) != sorted(entry["names"]) or not csr.is_signature_valid:
            raise Problem(400, "badCSR", "other names, or a bad signature")
        entry["key"] = csr.public_key()
        entry["object"]["status"] = "processing"
        if not entry["steps"]:
            self.make(number, entry)
        headers = self.later("order") if entry["object"]["status"] == "processing" else {}
        return 200, {**headers, "Location": entry["url"]}, entry["object"]

    def make(self, number, entry):
        cert = self.issuer.issue(entry["names"], entry["key"], self.validity, self.backdate)
        self.certs[number] = cert
        entry["object"]["status"] = "valid"
        entry["object"]["certificate"] = "%s/cert/%s" % (self.base, number)

    def serve_cert(self, payload, account, number):
        self.mine(self.orders, number, account)
        pem = self.certs[number].public_bytes(serialization.Encoding.PEM).decode() + self.issuer.pem
        return 200, {"Content-Type": "application/pem-certificate-chain"}, pem.encode()

    def serve_revokeCert(self, payload, account):
        cert = x509.load_der_x509_certificate(unb64(payload["certificate"]))
        if cert.serial_number not in [c.serial_number for c in self.certs.values()]:
            raise Problem(404, "malformed", "not from here")
        return 200, {}, b""

    def serve_renewalInfo(self, ident):
        """RFC 9773 section 4.1."""
        for cert in self.certs.values():
            issuer = cert.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
            issuer = issuer.value.key_identifier
            n = cert.serial_number
            if ident == b64(issuer) + "." + b64(n.to_bytes(n.bit_length() // 8 + 1, "big")):
                break
        else:
            raise Problem(404, "malformed", "no such certificate")
        begin = cert.not_valid_before.replace(tzinfo=UTC) + datetime.timedelta(seconds=self.backdate)
        start, end = (begin + datetime.timedelta(seconds=s) for s in self.window)
        headers = {"Retry-After": str(self.ari_retry_after)} if self.ari_retry_after is not None else {}
        return 200, headers, {"suggestedWindow": {"start": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
                                                  "end": end.strftime("%Y-%m-%dT%H:%M:%SZ")}}


def main():
    with MockCA(int(sys.argv[1]) if len(sys.argv) > 1 else 90 * 86400) as ca:
        path = os.path.join(tempfile.mkdtemp(prefix="mockca-"), "ca.pem")
        with open(path, "w") as f:
            f.write(ca.own.pem)
        print("directory-url %s\ndirectory-ca %s" % (ca.directory, path), flush=True)
        ca.stopped.wait()


if __name__ == "__main__":
    main()
