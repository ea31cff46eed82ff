#!/usr/bin/python3
"""The rules of the house that no compiler checks.

    house.py DIRECTORY      prints FILE:LINE: RULE: what is wrong; exit status 1 when anything was found
    house_test.py           feeds every rule a small tree that breaks it, and one tree that breaks none

C is read well enough for this and no further: comments, strings and preprocessor lines are blanked out, then
the braces and semicolons of the outermost level divide a file into functions, types and objects.
"""

import os
import re
import sys
from collections import namedtuple

MAX_FILE_LINES = 900
MAX_FUNCTION_LINES = 100
MAX_COLUMNS = 110

# Which folders a folder's includes may reach (besides itself).
LAYERS = {
    "core": "",
    "conf": "core",
    "h1": "core",
    "h2": "core",
    "tls": "core conf",
    "raw-fallback": "core conf",
    "uds-upstream": "core conf h1 tls",
    "acme": "core conf h1 tls",
    "proxy": "core conf h1 h2 tls raw-fallback uds-upstream acme",
    "examples": "",
}

# Side by side in one folder: two processes that share no code of their own, and what is run by hand.
APART = {
    "proxy/parent": "proxy/worker proxy/commands",
    "proxy/worker": "proxy/parent proxy/commands",
}

# Which folders may include a system or library header, by the start of its name.
LIBRARIES = {
    "sys/epoll.h": "core examples",
    "openssl/": "tls uds-upstream acme proxy examples",
    "yaml.h": "conf",
    "jansson.h": "acme",
    "sys/capability.h": "proxy",
    "crypt.h": "proxy",
    "seccomp.h": "proxy",
    "assert.h": "",
    "cmocka.h": "",
}

# How the functions that a folder shows to others may begin; in proxy/ also with the name of a header.
PREFIXES = {
    "core": "base_ bug_ str_ log_ arena_ buf_ slab_ pool_ loop_ work_ timer_ stream_ dial_ outage_ msg_ err_ "
            "head_ field_ x_ pipe_ list_ addr_ addrs_ ip_ place_ names_ spares_ syntax_",
    "conf": "conf_",
    "h1": "h1_ h1s_",
    "h2": "h2_ h2c_ h2s_ hpack_ huff_",
    "tls": "tls_",
    "uds-upstream": "up_",
    "raw-fallback": "sniff_ relay_ pp_",
    "acme": "acme_",
    "proxy": "priv_",       # privilege.h: a priv.h would be something else
}

# Objects that may change and outlive a function, with the reason. Everything else is passed as an argument.
GLOBALS = {
    # path: {name: reason}
    "core/arena.c": {"spares": "the worker's allocator"},
    "core/buf.c": {"pool": "the worker's allocator"},
    "core/log.c": {"state": "the log"},
    "core/loop.c": {"W": "the worker handle"},
    "core/outage.c": {"here": "who hears of this worker's outages"},
    "core/names.c": {"here": "what this worker was told of names"},
    "core/timer.c": {"heap": "the part of the worker's loop that timers alone know"},
    "tls/tls.c": {"tls_w": "what all TLS connections of the worker share"},
    "proxy/worker/look.c": {"here": "what this worker has asked its parent to be shown"},
    "proxy/worker/raw.c": {"here": "this worker's targets of raw connections"},
    "proxy/source.c": {"here": "what this worker has asked its parent"},
    "proxy/worker/token.c": {"here": "what this worker answers CAs with"},
    "proxy/worker/site.c": {"current": "the configuration the worker runs: what COMMIT changes",
                            "dying": "what is being given back, turn by turn"},
    "uds-upstream/pool.c": {"here": "this worker's targets and their connections"},
    "examples/demo/main.c": {"demo": "a program of its own, and this is all of its state"},
}

BANNED = {
    "strcpy": "use snprintf, or copy a struct str",
    "strncpy": "use snprintf, or copy a struct str",
    "stpcpy": "use snprintf, or copy a struct str",
    "strcat": "use snprintf, or a buf",
    "strncat": "use snprintf, or a buf",
    "sprintf": "use snprintf",
    "vsprintf": "use vsnprintf",
    "atoi": "use str_to_u64",
    "atol": "use str_to_u64",
    "atoll": "use str_to_u64",
    "sscanf": "write a parser",
    "strtok": "walk a struct str",
    "strtok_r": "walk a struct str",
    "alloca": "use an arena, or a bounded array",
    "gets": "use a bounded read",
    "tmpnam": "use mkstemp",
    "mktemp": "use mkstemp",
    "inet_ntoa": "use inet_ntop",
    "inet_addr": "use inet_pton",
    "gethostbyname": "use getaddrinfo",
}

# What belongs to somebody's machine, not to the project.
WORDS = [re.compile(words) for words in (
    r"/tmp/build\b", r"(?<![\w.])/home/\w+/\w",
)]

SKIPPED_FOLDERS = {".git", "build", "__pycache__", ".pytest_cache", "corpus"}
TEXT = re.compile(r"\.(c|h|py|sh|md|vtc|js|css|html|txt|json|yml|yaml|cmake|service|in)$"
                  r"|(^|/)\.?[^./]+$")  # scripts and dotfiles

RULES = """include priv circle banned sleep if pragma comment prefix global long lines newline space columns
utf-8 word""".split()

Problem = namedtuple("Problem", "path line rule text")
# One outermost piece of C: kind is function, type, object or declaration, head its text outside of braces
Piece = namedtuple("Piece", "kind name head start end")


def blank(text):
    """The text with comments, strings and character constants turned to spaces; the lines of // comments."""
    out, slashes = list(text), []
    pattern = re.compile(r'/\*.*?(?:\*/|\Z)|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    for m in pattern.finditer(text):
        if m.group().startswith("//"):
            slashes.append(text.count("\n", 0, m.start()) + 1)
        for i in range(m.start(), m.end()):
            if out[i] != "\n":
                out[i] = " "
    return "".join(out), slashes


def directives(text):
    """The preprocessor lines, as (line number, text of the whole directive)."""
    found, lines, i = [], text.split("\n"), 0
    while i < len(lines):
        first = i
        if re.match(r"\s*#", lines[i]):
            while lines[i].endswith("\\") and i + 1 < len(lines):
                i += 1
            found.append((first + 1, i + 1, "\n".join(lines[first:i + 1])))
        i += 1
    return found


def without_directives(text):
    lines = text.split("\n")
    for first, last, _ in directives(text):
        for i in range(first - 1, last):
            lines[i] = ""
    return "\n".join(lines)


def classify(head):
    """What this head declares or defines: (kind, name)."""
    plain = re.sub(r"__attribute__\s*\(\(.*?\)\)(?=\s|$)", " ", head, flags=re.S).strip()
    while re.search(r"\)\s*[A-Z][A-Z_]+\s*(\([^()]*\))?$", plain):  # MUST_USE, PRINTF(1, 2)
        plain = re.sub(r"\s*[A-Z][A-Z_]+\s*(\([^()]*\))?$", "", plain)
    if "=" in plain:
        plain = plain.partition("=")[0].strip()
    elif plain.endswith(")"):
        depth, i = 1, len(plain) - 1
        while i and depth:
            i -= 1
            depth += {")": 1, "(": -1}.get(plain[i], 0)
        name = re.search(r"(\w+)\s*$", plain[:i])
        return "function", name.group(1) if name else ""
    elif re.match(r"(struct|union|enum)\s*\w*\s*({})?$", plain):
        return "type", plain
    name = re.search(r"(\w+)\s*(?:\[[^\]]*\]\s*)*$", plain)
    return "object", name.group(1) if name else plain


def pieces(code):
    """The outermost pieces of C code that has been blanked and has no directives."""
    found, depth, line, start = [], 0, 1, 1
    outer = ""      # of the piece at hand: what stands outside its braces
    for c in code:
        if c == "\n":
            line += 1
        if not outer and c.isspace():
            continue
        if not outer and depth == 0:
            start = line
        if c == "{":
            if depth == 0:
                function = classify(outer)[0] == "function"
            depth += 1
        elif c == "}":
            depth -= 1
            if depth == 0 and function:
                found.append(Piece(*classify(outer), outer, start, line))
                outer = ""
            elif depth == 0:
                outer += "{}"
        elif c == ";" and depth == 0:
            kind, name = classify(outer)
            if kind == "function" or re.match(r"(typedef|extern|_Static_assert)\b", outer):
                kind = "declaration"
            found.append(Piece(kind, name, outer, start, line))
            outer = ""
        elif depth == 0:
            outer += c
    return found


class Source:
    """One C file, read once."""

    def __init__(self, path, text):
        self.path, self.text = path, text
        self.folder = path.split("/")[0]
        self.blanked, self.slashes = blank(text)
        self.directives = directives(self.blanked)
        self.code = without_directives(self.blanked)
        self.pieces = pieces(self.code)
        self.lines = text.split("\n")
        self.includes = []
        for line, _, _ in self.directives:
            m = re.match(r'\s*#\s*include\s*(["<])([^">]+)', self.lines[line - 1])
            if m:
                self.includes.append((line, m.group(1) == '"', m.group(2)))


def check_includes(f, paths):
    for line, own, name in f.includes:
        if not own:
            for start, folders in LIBRARIES.items():
                if name.startswith(start) and f.folder in LAYERS and f.folder not in folders.split():
                    yield line, "include", "<%s> is not for %s/" % (name, f.folder)
            continue
        if name not in paths:
            yield line, "include", '"%s" is no file (includes are written from the root)' % name
            continue
        to = name.split("/")[0]
        if f.folder in LAYERS and to != f.folder and to not in LAYERS[f.folder].split():
            yield line, "include", "%s/ may not include %s/" % (f.folder, to)
        elif os.path.dirname(name) in APART.get(os.path.dirname(f.path), "").split():
            yield line, "include", "%s/ may not include %s/" % (
                os.path.dirname(f.path), os.path.dirname(name))
        elif name.endswith("/priv.h") and to != f.folder and f.folder != "tests":
            yield line, "priv", "%s belongs to %s/ alone" % (name, to)


def check_directives(f):
    if f.path != "core/base.h":
        for line, _, text in f.directives:
            if re.match(r"\s*#\s*(if|ifdef|ifndef|elif|else|endif)\b", text):
                yield line, "if", "conditional compilation belongs to core/base.h"
    if f.path.endswith(".h") and not any(re.match(r"#pragma once\s*$", text) for _, _, text in f.directives):
        yield 1, "pragma", "a header begins with #pragma once"


def check_calls(f):
    for number, text in enumerate(f.blanked.split("\n"), 1):
        for name in re.findall(r"(?<![\w.>])(\w+)\s*\(", text):
            if name in BANNED:
                yield number, "banned", "%s: %s" % (name, BANNED[name])
            elif name in ("sleep", "usleep", "nanosleep") and f.folder == "tests":
                yield number, "sleep", "%s: wait for something, with a deadline" % name


def check_comments(f):
    for line in f.slashes:
        yield line, "comment", "comments are /* like this */"


def check_names(f, paths):
    if f.folder not in PREFIXES:
        return
    allowed = tuple(PREFIXES[f.folder].split())
    if f.folder == "proxy":
        headers = (re.match(r"proxy/(?:\w+/)?(\w+)\.h$", path) for path in paths)
        allowed += tuple(m.group(1) + "_" for m in headers if m)
    for p in f.pieces:
        shown = f.path.endswith(".h") or not re.search(r"\bstatic\b", p.head)
        if p.kind == "function" and shown and not p.name.startswith(allowed):
            if (f.path, p.name) != ("proxy/main.c", "main"):
                yield p.start, "prefix", "%s: names in %s/ begin with %s" % (
                    p.name, f.folder, " ".join(allowed))


def check_objects(f):
    if f.folder not in LAYERS:
        return
    for p in f.pieces:
        if p.kind == "object" and "const" not in p.head.split("=")[0].split() \
                and not re.search(r"\*\s*const\b", p.head) and p.name not in GLOBALS.get(f.path, {}):
            yield p.start, "global", "%s can change: pass it, or name it in GLOBALS with the reason" % p.name
        if p.kind == "function":
            for number, text in enumerate(f.code.split("\n")[p.start - 1:p.end], p.start):
                m = re.match(r"\s+static\s+([^=;]*)", text)
                if m and "const" not in m.group(1):
                    yield number, "global", "a static variable in %s" % p.name


def check_lengths(f):
    for p in f.pieces:
        lines = p.end - p.start + 1
        if p.kind != "function" or lines <= MAX_FUNCTION_LINES:
            continue
        above = "\n".join(f.lines[:p.start - 1])
        comment = above[above.rfind("/*"):] if above.endswith("*/") else ""
        if not re.search(r"\blong:\s+\S[^*]{8,}", comment):
            yield p.start, "long", "%s has %d lines and no \"long: REASON\" above it" % (p.name, lines)


def check_text(path, text):
    lines = text.split("\n")
    if len(lines) - 1 > MAX_FILE_LINES:
        yield len(lines) - 1, "lines", "more than %d lines" % MAX_FILE_LINES
    if text and not text.endswith("\n"):
        yield len(lines), "newline", "no newline at the end of the file"
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            yield number, "space", "trailing white space"
        width = len(re.sub(r"\s*\\$", "", line).expandtabs(8))     # a table's backslash does not count
        if width > MAX_COLUMNS and not (path.endswith(".md") and line.startswith("|")):
            yield number, "columns", "more than %d columns" % MAX_COLUMNS
        for word in WORDS if path != "tests/house/house.py" else ():
            if word.search(line):
                yield number, "word", "names something outside the project: %s" % word.search(line).group()
        if re.search(r"(^|/)test_[^/]*\.py$", path) and re.search(r"\bsleep\(", line):
            yield number, "sleep", "wait for something, with a deadline (gate.wait_until)"


def check_circles(sources):
    """Depth first over the project's own includes; a circle is reported once, where it closes."""
    done, problems = set(), []

    def visit(path, trail):
        if path in done or path not in sources:
            return
        for line, own, name in sources[path].includes:
            if own and name in trail + [path]:
                circle = (trail + [path])[(trail + [path]).index(name):] + [name]
                problems.append(Problem(path, line, "circle", " -> ".join(circle)))
            elif own:
                visit(name, trail + [path])
        done.add(path)

    for path in sorted(sources):
        visit(path, [])
    return problems


def files_of(root):
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(d for d in folders if d not in SKIPPED_FOLDERS)
        for name in sorted(names):
            path = os.path.relpath(os.path.join(folder, name), root)
            if TEXT.search(path) and not os.path.islink(os.path.join(root, path)) and name != ".git":
                yield path


def check_tree(root):
    problems, sources, texts = [], {}, {}
    for path in files_of(root):
        with open(os.path.join(root, path), "rb") as file:
            raw = file.read()
        try:
            texts[path] = raw.decode("utf-8")
        except UnicodeDecodeError as e:
            problems.append(Problem(path, raw.count(b"\n", 0, e.start) + 1, "utf-8", "not UTF-8"))
    for path, text in texts.items():
        problems += [Problem(path, *p) for p in check_text(path, text)]
        if path.endswith((".c", ".h")):
            sources[path] = Source(path, text)
    for path, f in sources.items():
        problems += [Problem(path, *p) for p in check_includes(f, texts)]
        problems += [Problem(path, *p) for p in check_names(f, texts)]
        for check in (check_directives, check_calls, check_comments, check_objects, check_lengths):
            problems += [Problem(path, *p) for p in check(f)]
    return sorted(problems + check_circles(sources))


def main(args):
    if len(args) != 1 or not os.path.isdir(args[0]):
        print(__doc__, file=sys.stderr)
        return 2
    problems = check_tree(args[0])
    for p in problems:
        print("%s:%d: %s: %s" % p)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
