"""Runs h2spec, strictly, against a TLS listener and a plain one. ctest knows it where there is an h2spec.

    h2spec.py PROGRAM
"""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))

from gate import Demo, Gate, plain, tls     # noqa: E402

# On a plain listener what is not the preface is HTTP/1, and gets its answer in HTTP/1.
PLAIN_FAILURES = {"Sends invalid connection preface"}
CASES = 147


def run(program, *args):
    """The descriptions of the cases that failed."""
    result = subprocess.run([program, "--strict", "-h", "127.0.0.1", "-o", "10", *args],
                            stdout=subprocess.PIPE, text=True, timeout=280)
    print(result.stdout[-3000:])
    last = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", result.stdout)
    assert last and int(last.group(1)) >= CASES and last.group(3) == "0", "it did not run all its cases"
    failed = re.findall(r"^\s*\u00d7 \d+: (.*)$", result.stdout.partition("Failures:")[2], re.MULTILINE)
    assert len(failed) == int(last.group(4))
    return set(failed)


def main():
    with Demo() as demo, Gate(tls(demo.origin), plain(demo.origin)) as gate:
        over_tls = run(sys.argv[1], "-p", str(gate.tls_port), "-t", "-k")
        over_tcp = run(sys.argv[1], "-p", str(gate.plain_port))
    assert not over_tls, over_tls
    assert over_tcp <= PLAIN_FAILURES, over_tcp


if __name__ == "__main__":
    main()
