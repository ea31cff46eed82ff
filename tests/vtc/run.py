#!/usr/bin/python3
"""Runs one varnishtest case against a plain listener of Gatehouse.

The case knows two macros: ${gate}, where Gatehouse listens, and ${up}, the Unix socket where its upstream is
to be (server s1 -listen "${up}"). Comments in the case may add keys, as JSON, also over several lines:

    # vhost: {"timeouts": {"request-head": "1s"}}
    # vhost: {"mounts": [{"mountpoint": "/app", "origin": "unix:${up}:/base"}]}
    # global: {"limits": {"request-line": "1k"}}

What every test asks at the end is asked here too: see gate.py.
"""

import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from gate import Folder, Gate, plain  # noqa: E402


def keys(case, name):
    found = {}
    for text in re.findall(r"^# %s: (\{.*(?:\n#  .*)*)$" % name, case, re.M):
        found.update(json.loads(text.replace("\n#", "")))
    return found


def main(path):
    with open(path) as f:
        case = f.read()
    folder = Folder()
    up = folder / "up.sock"
    case = case.replace("${up}", up)
    os.umask(0)         # Gatehouse's workers have a user of their own and must be able to connect
    try:
        with Gate(plain("unix:" + up, **keys(case, "vhost")), **keys(case, "global")) as gate:
            command = ["varnishtest", "-t", "60", "-Dgate=127.0.0.1:%d" % gate.plain_port, "-Dup=" + up, path]
            status = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
            if status:
                print("--- the log of Gatehouse\n" + gate.log())
        return status
    finally:
        folder.remove()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
