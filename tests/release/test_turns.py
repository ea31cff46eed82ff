"""A reload of a thousand vhosts freezes nobody: no turn of a worker takes more than 10 ms of CPU."""

import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))

from gate import Demo, Folder, Gate, authority, tls     # noqa: E402

MANY = 1000
TURNS = os.path.join(os.path.dirname(__file__), "turns.c")


class Site:
    """A thousand vhosts, each with a certificate file of its own, in a folder of configuration files."""

    def __init__(self, origin, port):
        self.origin, self.port, self.folder = origin, str(port), Folder()
        self.certificate, self.key = [open(p).read() for p in authority().issue("localhost", "127.0.0.1")]

    def vhost(self, i, mark):
        # what stands before a certificate makes the file another one, and its context
        return {"name": "site%d.example" % i, "port": self.port, "interface": "127.0.0.1",
                "host-ssl-cert": self.folder.write("%d.crt" % i, "%s\n%s" % (mark, self.certificate)),
                "host-ssl-key": self.folder.write("%d.key" % i, "%d\n%s" % (i, self.key)),
                "headers": [{"X-Mark": mark}], "mounts": [{"mountpoint": "/", "origin": self.origin}]}

    def write(self, to, mark):
        for begin in range(0, MANY, 500):
            vhosts = [self.vhost(i, mark) for i in range(begin, begin + 500)]
            with open(os.path.join(to, "%04d" % begin), "w") as f:
                json.dump({"vhosts": vhosts}, f)


def turns(log):
    """Milliseconds of the worker's longest turn."""
    return max([int(us) / 1000 for us in re.findall(r"worker 0: a turn took (\d+) us", log)], default=0)


def test_no_turn_is_long():
    os.umask(0o077)
    with Demo() as demo:
        first = tls(demo.origin)
        gate = Gate(first, count_threads="1")
        library = gate.folder / "turns.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, TURNS], check=True)
        os.chmod(library, 0o755)
        gate.env["LD_PRELOAD"] = library
        os.mkdir(gate.folder / "conf.d")
        site = Site(demo.origin, first["port"])
        site.write(gate.folder / "conf.d", "a")
        gate.path = gate.folder.path
        with gate:
            assert gate.get("/json").status == 200
            # every context is another one; the old ones are given back
            site.write(gate.folder / "conf.d", "b")
            gate.signal(signal.SIGHUP)
            gate.wait_log(r"reload: 1000 vhosts change(.|\n)*configuration \d+ is served", timeout=60)
            # nothing is, but all is read
            served = gate.log().count("is served")
            gate.signal(signal.SIGHUP)
            gate.wait_log(r"(is served(.|\n)*){%d}" % (served + 1), timeout=60)
            with gate.client(name="localhost") as c:
                assert c.request("GET", "/json", host="site7.example")["X-Mark"] == "b"
            longest = turns(gate.log())
            print("longest turn: %.1f ms" % longest)
            assert 0 < longest < 10
        site.folder.remove()
