"""Ten thousand vhosts and a thousand mounts: a request costs no more than with ten.

What is counted is how many slots of look-up tables are looked at, as `gatehouse explain -v` tells it of the
router's own look-ups; that they lead to the right place is seen by real requests.
"""

import json
import os
import random
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))

import gate as g                            # noqa: E402
from gate import Gate, plain                # noqa: E402
from recorder import Recorder               # noqa: E402


def vhosts(n, origin):
    """The first one is big; every third is a wildcard."""
    mounts = [{"mountpoint": "/service%d/api" % i, "origin": "%s:/%d" % (origin, i)} for i in range(n // 10)]
    yield plain(name="first.example", mounts=mounts + [{"mountpoint": "/", "origin": origin}])
    for i in range(1, n):
        name = "*.wild%d.example" % i if i % 3 == 0 else "site%d.example" % i
        yield plain(origin, name, headers=[{"X-Mark": str(i)}])


def host(i):
    return "first.example" if i == 0 else "www.wild%d.example" % i if i % 3 == 0 else "site%d.example" % i


def steps(gate, host, path):
    done = subprocess.run([g.GATEHOUSE, "explain", "-v", "-c", gate.path,
                           "http://%s:%d%s" % (host, gate.plain_port, path)],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 0, done.stderr
    return int(re.search(r"look-up +(\d+) slots", done.stdout).group(1))


def configured(n, upstream):
    """A gate whose configuration is a folder: a file has at most 1 MiB."""
    first, *rest = vhosts(n, upstream.origin)
    gate = Gate(first, count_threads="1")
    os.mkdir(gate.folder / "conf.d")
    for i in range(0, len(rest), 1000):
        part = [{**vhost, "port": first["port"]} for vhost in rest[i:i + 1000]]
        gate.folder.write("conf.d/%02d" % (i // 1000), json.dumps({"vhosts": part}))
    gate.path = gate.folder.path
    return gate


def cost(n, upstream, asked=12):
    """Slots looked at, for vhosts, for mounts, for a name that nobody has: the mean of some."""
    gate = configured(n, upstream)
    chosen = random.Random(n).sample(range(n), min(asked, n - 1))
    found = [steps(gate, host(i), "/") for i in chosen]
    mounted = [steps(gate, "first.example", "/service%d/api/and/a/long/path" % (i % (n // 10 or 1)))
               for i in chosen]
    missed = [steps(gate, "nobody%d.anywhere.test" % i, "/") for i in chosen]
    gate.folder.remove()
    return [sum(counts) / len(counts) for counts in (found, mounted, missed)]


def test_many_cost_no_more_than_few():
    with Recorder() as up:
        few, many = cost(10, up), cost(10000, up)
    for a_few, a_lot in zip(few, many):
        assert a_lot <= a_few + 4 and a_lot < 20, (few, many)


def test_many_are_served():
    with Recorder() as up:
        with configured(10000, up) as gate, gate.client(tls=False) as c:
            for i in random.Random(1).sample(range(1, 10000), 500) + [9999]:
                assert c.get("/", host=host(i))["X-Mark"] == str(i)
            for i in random.Random(2).sample(range(1000), 100) + [999]:
                c.get("/service%d/api/x" % i, host="first.example")
                assert up.requests[-1].start == "GET /%d/x HTTP/1.1" % i
            assert c.get("/", host="nobody.test")["X-Mark"] is None


