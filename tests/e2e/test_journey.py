"""One application, both listeners: each kind of exchange once, on one connection."""

import hashlib

import pytest

from gate import Demo, Gate, pattern, plain, tls, wait_until


@pytest.mark.parametrize("over_tls", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_journey(over_tls, tcp):
    with Demo(tcp=tcp) as demo, Gate(tls(demo.origin), plain(demo.origin)) as gate:
        with gate.client(tls=over_tls) as c:
            assert c.get("/json").json() == {"hello": "world"}
            assert c.get("/bytes/1000000").body == pattern(1000000)
            assert c.get("/chunked/1000000").body == pattern(1000000)
            assert c.request("HEAD", "/bytes/5")["Content-Length"] == "5"
            body = pattern(300000)
            want = {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(), "trailers": []}
            assert c.request("POST", "/upload", body).json() == want
            assert c.request("PUT", "/upload", [body[:1], body[1:]]).json() == want
            assert c.get("/trailers").trailers == [("X-Checksum", "42"), ("Server-Timing", "app;dur=1")]
            assert [i.status for i in c.get("/status/103").interim] == [103]
            assert c.get("/events?interval_ms=1&count=5").body.count(b"\n\n") == 5
            ws = c.websocket()
            for n in (1, 200, 100000):
                ws.echo(pattern(n))
            ws.close()
        wait_until(lambda: demo.stats()["sockets_open"] == 0, "the tunnel to end at the application too")
