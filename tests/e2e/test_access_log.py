"""Access logs: what a line says of a request, in both formats."""

import json
import os
import re
import signal

from gate import Demo, Gate, plain, tls, wait_until


def lines(path, n):
    def look():
        with open(path, encoding="ascii") as f:
            found = f.read().splitlines()
        return found if len(found) >= n else None
    return wait_until(look, "%d lines" % n)


def test_json():
    with Demo() as demo:
        gate = Gate(plain())
        path = gate.folder / "access"
        gate.configure(tls(demo.origin, access_log=path), plain(demo.origin, access_log=path),
                       plain("unix:/run/no-such-socket", name="down.test", access_log=path),
                       access_log_format="json")
        with gate:
            with gate.client() as c:
                c.request("GET", '/json?q="<', User_Agent='a"b\\c\xe4<', Referer="https://r.test/")
                c.request("POST", "/echo", body=b"x" * 1000)
            gate.get("/", tls=False, name="down.test")
            with gate.client(tls=False) as c:
                c.websocket().echo(b"hello")
            with gate.client(tls=False) as c:
                c.send(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
                c.read_response()
            got = [json.loads(line) for line in lines(path, 5)]
            log = gate.log()
        # a WebSocket's line comes when it has ended
        first, post, down, websocket, bad = sorted(got, key=lambda line: (
            line["status"] == 400, line.get("websocket", False), line["status"]))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["time"])
        assert first["client"] == "127.0.0.1" and first["vhost"] == "localhost"
        assert (first["method"], first["target"], first["protocol"]) == ("GET", '/json?q="<', "HTTP/1.1")
        assert (first["status"], first["user_agent"]) == (200, 'a"b\\c\xc3\xa4<')     # each byte for itself
        assert first["referer"] == "https://r.test/" and first["sni"] == "localhost"
        assert first["tls"] == "TLSv1.3" and first["cipher"].startswith("TLS_")
        assert first["upstream"] == demo.origin and first["tries"] == 1 and not first["reused"]
        assert 0 < first["connected"] < first["first_byte"] <= first["duration"] < 20
        assert post["request_bytes"] == 1000 and post["reused"]
        assert down["status"] == 503 and down["vhost"] == "down.test" and "tls" not in down
        assert down["error"] and down["id"] in log
        assert websocket["websocket"] and websocket["status"] == 101
        assert bad["status"] == 400 and "upstream" not in bad


def test_a_vhost_has_its_own_format():
    with Demo() as demo:
        gate = Gate(plain())
        one, two = gate.folder / "one", gate.folder / "two"
        gate.configure(plain(demo.origin, access_log=one, access_log_format="combined"),
                       plain(demo.origin, name="b.test", access_log=two), access_log_format="json")
        with gate:
            gate.get("/json", tls=False)
            gate.get("/json", tls=False, name="b.test")
            assert re.match(r'127\.0\.0\.1 - - \[.*\] "GET /json HTTP/1\.1" 200 \d+ "-" "-"',
                            lines(one, 1)[0])
            assert json.loads(lines(two, 1)[0])["vhost"] == "b.test"


def test_a_file_that_is_removed_costs_nothing():
    """Lines go on into the file that has no name any more, until it is opened anew."""
    with Demo() as demo:
        gate = Gate(plain())
        path = gate.folder / "access"
        gate.configure(plain(demo.origin, access_log=path))
        with gate:
            gate.get("/json", tls=False)
            lines(path, 1)
            gate.wait_log("serving 1 vhost")
            os.unlink(path)
            assert gate.get("/json", tls=False).status == 200
            gate.signal(signal.SIGUSR1)
            wait_until(lambda: os.path.exists(path), "a new file")
            def written():
                gate.get("/json", tls=False)
                return os.path.getsize(path)
            wait_until(written, "a line in it")
