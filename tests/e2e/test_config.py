"""Broken configurations as users have them, in real files: all that `gatehouse check` says, word for word;
that none of it is ever served; and that a reload with it changes nothing.

They stand in broken-config.cases, as one or several files each and the whole report:

    === what is wrong
    --- conf
    the file
    --- conf.d/10-more
    another one
    >>>
    the report, and its last line

DIR stands for the folder they lie in, together with the files that good() makes.
"""

import grp
import os
import pwd
import re
import shutil
import signal
import subprocess

import pytest

import gate as g
from gate import Demo, Folder, Gate, authority, plain, tls, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))


def read_cases():
    """[(title, {path: text}, report)]"""
    cases = []
    with open(os.path.join(HERE, "broken-config.cases")) as f:
        for part in f.read().split("=== ")[1:]:
            title, rest = part.split("\n", 1)
            files, report = rest.split(">>>\n")
            pieces = re.split(r"^--- (.*)\n", files, flags=re.M)
            assert pieces[0] == "", title
            cases.append((title, dict(zip(pieces[1::2], pieces[2::2])), report))
    return cases


CASES = read_cases()


def good(folder):
    """What the configurations name that is not broken itself, or broken in one way each."""
    ca = authority()
    for name, files in (("a", ca.issue("a.example")), ("b", ca.issue("b.example")),
                        ("old", ca.issue("a.example", days=-1))):
        shutil.copy(files[0], folder / name + ".crt")
        shutil.copy(files[1], folder / name + ".key")
        os.chmod(folder / name + ".key", 0o600)
    shutil.copy(ca.path, folder / "ca.crt")
    ca.openssl("genrsa", "-out", folder / "weak.key", "1024")
    ca.openssl("req", "-x509", "-key", folder / "weak.key", "-subj", "/CN=a.example", "-out",
               folder / "weak.crt", "-addext", "subjectAltName=DNS:a.example")
    ca.openssl("pkey", "-in", folder / "a.key", "-aes128", "-passout", "pass:x",
               "-out", folder / "locked.key")
    open(folder / "empty.pem", "w").close()
    folder.write("users", "testuser:testpass\nmyuser:$6$abc\n")
    os.chmod(folder / "users", 0o600)
    folder.write("hashes", "alice:$6$salt$" + "x" * 86 + "\n")
    os.chmod(folder / "hashes", 0o600)
    folder.write("closed.key", "")
    os.chmod(folder / "closed.key", 0)
    os.mkdir(folder / "directory")
    os.symlink("loop", folder / "loop")


@pytest.fixture(scope="module")
def folder():
    f = Folder()
    good(f)
    yield f
    f.remove()


def put(folder, files):
    """The files of a case, and no others."""
    shutil.rmtree(folder / "etc", ignore_errors=True)
    os.makedirs(folder / "etc/conf.d")
    for path, content in files.items():
        if isinstance(content, str):
            content = content.replace("DIR", folder.path).encode()
        with open(folder / "etc/" + path, "wb") as f:
            f.write(content)
    return folder / "etc"


def plainly(command):
    """Root reads everything, unless it leaves its capabilities behind."""
    if os.geteuid() == 0:
        return ["setpriv", "--inh-caps=-all", "--bounding-set=-all", *command]
    return command


def run(*args):
    return subprocess.run(plainly([g.GATEHOUSE, *args]), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60)


def told(folder, *args):
    """(exit status, the report as broken-config.cases has it)"""
    done = run("check", "-c", folder / "etc", *args)
    return done.returncode, normal(folder, done.stdout.decode())


def normal(folder, said):
    """Without what is not the same everywhere."""
    said = said.replace(folder.path, "DIR").replace("(uid %d)" % os.geteuid(), "(uid N)")
    return re.sub(r"expired \d{4}-\d\d-\d\d \d\d:\d\d UTC", "expired DATE", said)


def test_there_are_enough():
    assert len(CASES) >= 40


@pytest.mark.parametrize("title, files, report", CASES, ids=[case[0] for case in CASES])
def test_check_says_it_all(folder, title, files, report):
    put(folder, files)
    status, said = told(folder)
    assert said == report
    errors, warnings = re.search(r"^(\d+) errors?, (\d+) warnings?\n\Z", report, re.M).groups()
    assert status == (1 if int(errors) else 0)
    if int(warnings):
        assert told(folder, "--strict")[0] == 1


# ---- what no text file of this tree may hold

ALIAS_BOMB = "a0: &a0 [ x, x, x, x, x, x, x, x, x, x ]\n" + "".join(
    "a%d: &a%d [ %s ]\n" % (i, i, ", ".join(["*a%d" % (i - 1)] * 10)) for i in range(1, 12))

BYTES = {
    "a hundred thousand brackets": (b"vhosts: " + b"[" * 100000, """\
DIR/etc/conf:1:40: error: nested deeper than 32 levels
    vhosts: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[...
                                           ^
1 error, 0 warnings
"""),
    "an alias bomb": (ALIAS_BOMB.encode(), """\
DIR/etc/conf:1:5: error: anchors (&name) are not allowed
    a0: &a0 [ x, x, x, x, x, x, x, x, x, x ]
        ^
help: write a text that begins with & in quotes
1 error, 0 warnings
"""),
    "a NUL": (b"vhosts:\n- name: a.example\x00\n  port: 80\n", """\
DIR/etc/conf:2:18: error: a NUL byte: this is no text file
    - name: a.example\\x00
                     ^
1 error, 0 warnings
"""),
    "Latin-1": ("vhosts:\n- name: \xe4.example\n".encode("latin-1"), """\
DIR/etc/conf:2:9: error: this is not UTF-8
    - name: \\xe4.example
            ^
help: save the file as UTF-8
1 error, 0 warnings
"""),
    "a terminal's escape sequence": (b"vhosts:\n- name: \x1b]0;x\x07a\n", """\
DIR/etc/conf:2:9: error: a control character
    - name: \\x1b]0;x\\x07a
            ^
1 error, 0 warnings
"""),
    "more than a file may have": (b"#" * (1 << 20) + b"\n", """\
DIR/etc/conf: error: cannot read it: larger than 1 MiB
1 error, 0 warnings
"""),
    "Windows' line ends, and tabs": (b"vhosts:\r\n-\tname: a.example\r\n\tport: 80\r\n\tmuonts: []\r\n", """\
DIR/etc/conf:2:3: warning: this vhost has no mounts: every request is answered 404
    -\tname: a.example
     \t^
help: add "mounts": [ { "mountpoint": "/", "origin": "unix:/run/app.sock" } ]
DIR/etc/conf:4:2: error: unknown key "muonts" in a vhost
    \tmuonts: []
    \t^
help: did you mean "mounts"?
1 error, 1 warning
"""),
}


@pytest.mark.parametrize("what", BYTES)
def test_no_bytes_harm_it(folder, what):
    content, report = BYTES[what]
    put(folder, {"conf": content})
    assert told(folder) == (1, report)


# ---- what is no mistake

CORPUS = os.path.join(HERE, "..", "fuzz", "corpus", "conf_config")

LWSWS_VHOSTS = """\
    {
     "vhosts": [ {
         "name": "localhost",
         "port": "%(tls)d",
         "interface": "lo",  # optional
         "host-ssl-key":  "%(key)s",
         "host-ssl-cert": "%(cert)s",
         "host-ssl-ca":   "%(ca)s",
         "sts": "1",
         "access-log": "DIR/access",
         "keeplive-timeout": "60",
         "enable-client-ssl": "1",
         "ws-protocols": [{
           "warmcat,timezoom": {
             "status": "ok"
           }
         }],
         "headers": [{
              "Content-Security-Policy": "script-src 'self'",
              "X-Frame-Options": "SAMEORIGIN"
         }],
         "mounts": [{
           "mountpoint": "/",
           "origin": "http://+%(socket)s:/",
           "default": "index.html"
           }, {
           "mountpoint": "/files",
           "origin": "file://_lws_ddir_/libwebsockets-test-server",
           "cache-max-age": "60",      # seconds
           "default": "test.html"
           }]
        },
        {
        "name": "localhost",
        "port": "%(plain)d",
        "mounts": [{
           "mountpoint": "/",
           "origin": ">https://localhost"
         }]
       }
    ]
    }
"""


def test_files_of_lwsws_are_served(folder):
    with open(os.path.join(CORPUS, "lwsws-global")) as f:
        conf = f.read()
    user, group = (("nobody", "daemon") if os.geteuid() == 0 else
                   (pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name))
    conf = conf.replace('"username": "apache"', '"username": "%s"' % user)
    conf = conf.replace('"groupname": "apache"', '"groupname": "%s"' % group)
    assert "apache" not in conf
    with Demo() as demo:
        gate = Gate(tls(), count_threads="1")
        cert, key = authority().issue("localhost", "127.0.0.1")
        places = {"tls": gate.tls_port, "plain": gate.plain_port, "socket": demo.path,
                  "cert": cert, "key": key, "ca": authority().path}
        gate.path = put(folder, {"conf": conf, "conf.d/localhost": LWSWS_VHOSTS % places})
        gate.ports = [gate.tls_port, gate.plain_port]
        with gate:
            answer = gate.get("/json")
            assert answer.status == 200 and answer["X-Frame-Options"] == "SAMEORIGIN"
            assert answer["Strict-Transport-Security"]
            answer = gate.get("/files/x")
            assert answer.status == 501 and answer["Server"] == "myserver v1"
            answer = gate.get("/x?y", tls=False)
            assert answer.status == 301 and answer["Location"] == "https://localhost/x?y"
            wait_until(lambda: '"GET /json HTTP/1.1" 200' in open(folder / "access").read(), "the log")
        # standing for the data directory, in what a reader sees
        assert 'origin": "file://_lws_ddir_/' in told(folder)[1]


def test_the_examples_of_the_readme_are_good(folder):
    with open(os.path.join(g.ROOT, "README.md")) as f:
        examples = re.findall(r"```yaml\n(vhosts:\n.*?)```", f.read(), re.S)      # others are parts
    assert len(examples) >= 3
    for example in examples:
        for theirs, ours in (("ssl/example.com.crt", "a.crt"), ("ssl/example.com.key", "a.key"),
                             ("gatehouse/down.html", "ca.crt"), ("gatehouse/users", "hashes")):
            example = example.replace("/etc/" + theirs, folder / ours)
        put(folder, {"conf": example.replace("example.com", "a.example")})
        done = subprocess.run([g.GATEHOUSE, "check", "-c", folder / "etc"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and not re.search(r": (error|warning): ", done.stdout), done


# ---- none of it is ever served

def test_a_first_start_ends_with_all_of_it(folder):
    for title in "several mistakes in several files", "a key that does not belong to its certificate":
        files, report = next(case[1:] for case in CASES if case[0] == title)
        done = subprocess.run([g.GATEHOUSE, "run", "-c", put(folder, files)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        assert done.returncode == 1
        assert normal(folder, done.stdout.decode()).endswith(without_count(report))


def without_count(report):
    return re.sub(r"\d+ errors?, \d+ warnings?\n\Z", "", report)


def test_a_reload_with_any_of_it_changes_nothing(folder):
    """One server, and all that is broken, one after the other: what it served it goes on serving."""
    gate = Gate(plain(mounts=[{"mountpoint": "/", "origin": ">https://good.example"}]), count_threads="1")
    with open(gate.path) as f:
        served = f.read()
    gate.path = put(folder, {"conf": served})
    broken = [(files, report) for _, files, report in CASES if not report.endswith("\n0 errors, 0 warnings\n")
              and not re.search(r"\n0 errors, \d+ warnings?\n\Z", report)]
    broken += [({"conf": content}, report) for content, report in BYTES.values()]
    assert len(broken) >= 40
    with gate, gate.client(tls=False) as c:
        for count, (files, report) in enumerate(broken, 1):
            before = len(gate.log())
            put(folder, files)
            gate.signal(signal.SIGHUP)
            wait_until(lambda: gate.log().count("was not reloaded") == count, "the refusal")
            lines = re.findall(r"^\S+ error parent: (.*\n)", gate.log()[before:], re.M)
            said = normal(folder, "".join(lines[:-1]))
            assert said.replace("\\x09", "\t") == without_count(report)    # a log line has no tab
            assert c.get("/")["Location"] == "https://good.example/"
        put(folder, {"conf": served.replace("good.example", "better.example")})
        gate.signal(signal.SIGHUP)
        gate.wait_log(r"configuration \d+ is served")
        wait_until(lambda: c.get("/")["Location"] == "https://better.example/", "the new configuration")


# ---- the list of keys

def test_the_list_of_keys():
    text, roff, commands = (run(*args).stdout.decode() for args in (["keys"], ["keys", "--roff"],
                                                                     ["help", "--roff"]))
    for key in "host-ssl-cert", "mountpoint", "ride-out", "reject-service-keywords":
        assert re.search(r"^  %s +\w+ " % key, text, re.M)
        assert "\\fB%s\\fR (" % key.replace("-", "\\-") in roff
    for command in "run", "check", "explain URL", "keys":
        assert ".B gatehouse %s\n" % command in commands
