"""What `gatehouse status` and `gatehouse metrics` tell of one that runs."""

import contextlib
import json
import os
import re
import signal
import subprocess

from gate import GATEHOUSE, TIMEOUT, Demo, Folder, Gate, authority, plain, tls, wait_until


def ask(gate, *args):
    done = subprocess.run([GATEHOUSE, *args, "-c", gate.path], capture_output=True, text=True,
                          timeout=TIMEOUT)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def status(gate):
    return json.loads(ask(gate, "status", "--json"))


def samples(text):
    """{'name{labels}': value} of Prometheus' text format, each line looked at."""
    found, types = {}, {}
    for line in text.splitlines():
        comment = re.fullmatch(r"# (HELP|TYPE) (\w+) (.*)", line)
        if comment:
            if comment[1] == "TYPE":
                assert comment[2] not in types and comment[3] in ("counter", "gauge")
                assert comment[2].endswith("_total") == (comment[3] == "counter"), line
                types[comment[2]] = comment[3]
            continue
        m = re.fullmatch(r'(\w+)(\{(?:\w+="(?:[^"\\]|\\.)*",?)+\})? (\d+(?:\.\d+)?)', line)
        assert m and m[1] in types and line not in found, line
        found[m[1] + (m[2] or "")] = float(m[3])
    return found


def only(rows, **texts):
    rows = [row for row in rows if all(row[key] == value for key, value in texts.items())]
    assert len(rows) == 1, rows
    return rows[0]


def test_what_is_counted():
    with Demo() as demo, Gate(tls(demo.origin), plain(demo.origin), plain(demo.origin, name="other.test"),
                              plain("unix:/run/no-such-socket", name="down.test")) as gate:
        for _ in range(10):
            assert gate.get("/json").status == 200
        assert gate.get("/status/404", tls=False).status == 404
        for _ in range(3):
            assert gate.get("/", tls=False, name="down.test").status == 503
        with gate.client(tls=False) as c:
            c.websocket().echo(b"x")
            got = status(gate)
            assert sum(w["tunnels"] for w in got["workers"]) == 1
            assert sum(w["connections"] for w in got["workers"]) == 1
        assert got["instance"]["pid"] == gate.process.pid
        assert got["instance"]["configuration"] == gate.path and got["instance"]["generation"] == 1
        assert sorted(w["pid"] for w in got["workers"]) == sorted(gate.children())
        assert all(w["resident_bytes"] > 1 << 20 and not w["silent"] for w in got["workers"])
        assert [row["tls"] for row in got["listeners"]] == [True, False]
        vhosts = got["vhosts"]
        secure = only(vhosts, listener="127.0.0.1:%d" % gate.tls_port)
        assert (secure["requests"], secure["in_2xx"]) == (10, 10) and secure["duration_seconds"] > 0
        assert only(vhosts, name="other.test")["requests"] == 0
        assert only(vhosts, name="down.test")["in_5xx"] == 3
        assert only(vhosts, name="localhost", listener="127.0.0.1:%d" % gate.plain_port)["in_4xx"] == 1
        up, down = got["upstreams"]
        assert up["name"] == demo.origin and up["down"] == 0 and up["answers"] == 12
        assert down["down"] >= 1 and down["failures"] == 3
        [certificate] = got["certificates"]
        assert certificate["path"] == tls()["host-ssl-cert"] and certificate["workers"] == 2
        assert certificate["serial"] == certificate["serial_on_disk"]
        text = ask(gate, "status")
        assert re.search(r"unix:/run/no-such-socket +down .* !\n", text)
        assert re.search(re.escape(demo.origin) + " +up ", text)
        metrics = samples(ask(gate, "metrics"))
        assert metrics['gatehouse_vhost_responses_total{name="down.test",listener="127.0.0.1:%d",class="5xx"}'
                       % gate.plain_port] == 3
        assert metrics["gatehouse_tls_handshakes_total"] == 10
        assert metrics['gatehouse_upstream_down{name="unix:/run/no-such-socket"}'] >= 1


def test_counters_outlive_reloads_and_workers():
    with Demo() as demo, Gate(plain(demo.origin), timeouts={"drain-tunnels": "1h"}) as gate:
        for _ in range(8):
            gate.get("/json", tls=False)
        assert status(gate)["vhosts"][0]["requests"] == 8
        gate.configure(plain("unix:/run/no-such-socket", name="new.test"), plain(demo.origin))
        assert ask(gate, "reload")
        got = status(gate)
        assert only(got["vhosts"], name="localhost")["requests"] == 8
        assert [row["name"] for row in got["vhosts"]] == ["new.test", "localhost"]
        assert got["instance"]["generation"] == 2 and {w["generation"] for w in got["workers"]} == {2}
        before = gate.children()
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(gate.children()) - set(before)) == 2, "two new workers")
        wait_until(lambda: sum(w["generation"] == 2 for w in status(gate)["workers"]) == 2, "they serve")
        gate.get("/json", tls=False)
        got = status(gate)
        assert only(got["vhosts"], name="localhost")["requests"] == 9
        assert only(got["upstreams"], name=demo.origin)["answers"] == 9
        assert len(got["workers"]) == 2
        gate.workers_expected = 2


def test_who_still_holds_an_older_configuration():
    """A worker that is replaced drains, and is shown with what it serves."""
    with Demo() as demo, Gate(plain(demo.origin), count_threads="2") as gate:
        with gate.client(tls=False) as a, gate.client(tls=False) as b:
            sockets = [a.websocket(), b.websocket()]
            gate.configure(plain(demo.origin), rlimit_nofile="4096")
            assert "replaces the workers" in ask(gate, "reload")
            wait_until(lambda: len(gate.children()) >= 3, "a worker that drains")
            got = wait_until(lambda: [w for w in status(gate)["workers"] if w["draining"]], "it is shown")
            assert all(w["tunnels"] >= 1 and "(" in w["name"] for w in got)
            for s in sockets:
                s.echo(b"still there")
        wait_until(lambda: len(gate.children()) == 2, "it has ended")
        gate.workers_expected = 2


def test_a_silent_worker_is_shown_as_it_was():
    with Demo() as demo, Gate(plain(demo.origin)) as gate:
        for _ in range(4):
            gate.get("/json", tls=False)
        assert status(gate)["vhosts"][0]["requests"] == 4
        pid = gate.children()[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            got = status(gate)
            assert only(got["workers"], pid=pid)["silent"] and got["vhosts"][0]["requests"] == 4
            assert sum(w["silent"] for w in got["workers"]) == 1
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_until(lambda: not any(w["silent"] for w in status(gate)["workers"]), "it answers again")


def test_certificates_on_disk():
    """The one that is served, and the one that lies there now."""
    folder = Folder()
    pair = folder / "crt", folder / "key"

    def renew():
        authority().request("/CN=localhost", pair[1], pair[0], "-x509", "-days", "30",
                            "-addext", "subjectAltName=DNS:localhost")

    renew()
    with Demo() as demo, Gate(tls(demo.origin, host_ssl_cert=pair[0], host_ssl_key=pair[1])) as gate:
        old = status(gate)["certificates"][0]
        assert old["serial"] == old["serial_on_disk"] and old["days_left"] in (29, 30)
        renew()
        got = status(gate)["certificates"][0]
        assert got["serial"] == old["serial"] != got["serial_on_disk"] or got["serial"] != old["serial"]
        ask(gate, "reload")
        new = status(gate)["certificates"]
        assert len(new) == 1 and new[0]["serial"] == new[0]["serial_on_disk"] != old["serial"]
        os.unlink(pair[0])
        assert "No such file" in status(gate)["certificates"][0]["serial_on_disk"]
    folder.remove()


def test_lost_lines_are_counted():
    """A disk that is full, and a pipe that nobody reads, hold nobody up."""
    folder = Folder()
    os.mkfifo(folder / "pipe")
    reader = os.open(folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with Demo() as demo, Gate(plain(demo.origin, access_log="/dev/full"),
                              plain(demo.origin, name="pipe.test", access_log=folder / "pipe"),
                              error_log="/dev/full") as gate, contextlib.ExitStack() as stack:
        stack.callback(os.close, reader)
        agent = "x" * 4000
        for _ in range(20):
            assert gate.get("/json", tls=False).status == 200
        with gate.client(tls=False) as c:
            for _ in range(60):
                assert c.get("/json", host="pipe.test", User_Agent=agent).status == 200
        got = wait_until(lambda: status(gate), "")
        logs = {row["path"]: row["dropped"] for row in got["logs"]}
        assert logs["/dev/full"] == 20
        assert 30 < logs[folder / "pipe"] < 60       # it takes 64 KiB
        assert got["instance"]["log_dropped"] + got["totals"]["log_dropped"] > 0
        # it is read again: whole lines come
        lines = os.read(reader, 1 << 20).decode().splitlines()
        assert all(line.endswith(agent + '"') for line in lines[:-1])
        gate.get("/json", tls=False, name="pipe.test")
        # the error log has nothing to say what a test could read
        gate.stop = lambda: gate.process.end()
    folder.remove()


def test_metrics_of_many_at_once():
    with Demo() as demo, Gate(*[plain(demo.origin, name="v%d.test" % i) for i in range(300)]) as gate:
        asking = [subprocess.Popen([GATEHOUSE, "metrics", "-c", gate.path], stdout=subprocess.PIPE, text=True)
                  for _ in range(8)]
        for p in asking:
            found = samples(p.communicate(timeout=TIMEOUT)[0])
            assert sum(name.startswith("gatehouse_vhost_requests_total") for name in found) == 300
            assert p.returncode == 0
