#!/usr/bin/python3
"""The test of house.py: every rule is fed a small tree that breaks it alone, and one tree breaks none."""

import os
import sys
import tempfile

import house

GOOD = {
    "core/base.h": """\
#pragma once
#ifdef __linux__
#define BASE_X 1
#endif
int base_one(void);
""",
    "core/list.h": """\
#pragma once
#include "core/base.h"
struct list {
	struct list *next;
};
extern struct list *list_here;
int list_two(const char *fmt, ...) PRINTF(1, 2) MUST_USE __attribute__((malloc, alloc_size(1)));
static inline int list_one(struct list *l)
{
	return l->next == l;
}
""",
    "core/base.c": """\
#include <sys/epoll.h>
#include "core/base.h"
/* strcpy(a, b) is // only talked about */
struct pair {
	int a;
} __attribute__((packed));
static const char *const names[] = { "sprintf(", "{", "//" };
static const struct pair pairs[] = { { 1 }, { 2 } };
static int helper(const char *(*f)(int))
{
	static const int two = 2;

	return *f(two) == '{';
}
__attribute__((cold)) int base_one(void)
{
	return names[0][0] + pairs[0].a + !helper;
}
""",
    "h1/priv.h": """\
#pragma once
#include "core/list.h"
int h1_a(void);
""",
    "h1/a.c": """\
#include "h1/priv.h"
#define ROW(x)""" + " " * 100 + """\\
	if (x) { \\
	}
int h1_a(void)
{
	return 0;
}

/*
 * One branch a state.
 * long: the table of the RFC read top to bottom, one branch a state
 */
static int machine(void)
{
""" + "\t;\n" * 120 + "}\n",
    "proxy/main.c": "int main(void)\n{\n\treturn 0;\n}\n",
    "proxy/worker/alog.h": "#pragma once\nint alog_open(void);\n",
    "proxy/worker/alog.c": "int alog_open(void)\n{\n\treturn 0;\n}\n",
    "tests/unit/h1/test_a.c": """\
#include <cmocka.h>
#include "h1/priv.h"
static int calls;
int main(void)
{
	return calls;
}
""",
    "README.md": "# Good\n" + "| a wide table " * 12 + "|\n",
}

# What the snippets below include, so that nothing but the rule under test is broken.
TARGETS = {
    "conf/conf.h": "#pragma once\n",
    "h1/h1.h": "#pragma once\n",
    "tls/tls.h": "#pragma once\n",
    "proxy/worker/page.h": "#pragma once\n",
    "core/z.h": '#pragma once\n#include "core/y.h"\n',
}


def function(head, *body):
    return head + "\n{\n" + "".join("\t%s\n" % line for line in body) + "}\n"


LONG = function("static int a(void)", *[";"] * 98)  # 101 lines
BAD = [
    ("include", "core/x.c", '#include "h1/priv.h"\n'),
    ("include", "h1/x.c", '#include "conf/conf.h"\n'),
    ("include", "h2/x.c", '#include "h1/h1.h"\n'),
    ("include", "h2/x.c", '#include "tls/tls.h"\n'),
    ("include", "tls/x.c", '#include "proxy/worker/page.h"\n'),
    ("include", "proxy/parent/x.c", '#include "proxy/worker/page.h"\n'),
    ("include", "conf/x.c", '#include "base.h"\n'),
    ("include", "h1/x.c", "#include <openssl/ssl.h>\n"),
    ("include", "proxy/x.c", "#include <sys/epoll.h>\n"),
    ("include", "core/x.c", "#  include  <yaml.h>\n"),
    ("priv", "proxy/x.c", '#include "h1/priv.h"\n'),
    ("circle", "core/y.h", '#pragma once\n#include "core/z.h"\n'),
    ("banned", "core/x.c", function("static int f(char *a)", "return strcpy(a, a) != 0;")),
    ("banned", "tests/x.c", function("static int f(char *a)", "return sprintf (a, a);")),
    ("banned", "h1/x.c", function("static int f(char *a)", "return -atoi(a);")),
    ("if", "core/x.c", "#if 0\n#endif\n"),
    ("if", "core/x.c", function("static int a(void)", "#  ifdef X", "#  endif")),
    ("if", "h1/x.h", "#pragma once\n#ifndef X\n#endif\n"),
    ("pragma", "h1/x.h", "int h1_x(void);\n"),
    ("comment", "core/x.c", "int base_x(void); // so\n"),
    ("comment", "core/x.c", 'static const char a[] = "\\"//"; // so\n'),
    ("prefix", "core/x.c", function("int one(void)", "return 1;")),
    ("prefix", "h1/x.c", function("struct x;\nconst struct x *core_x(void (*cb)(int), int n)", "return 0;")),
    ("prefix", "h1/x.h", "#pragma once\n" + function("static inline int one(void)", "return 1;")),
    ("prefix", "proxy/x.c", function("int main(void)", "return 0;")),
    ("prefix", "proxy/x.c", function("int path_x(void)", "return 0;")),
    ("prefix", "conf/x.c", "static const int t[] = { 1, 2 };\n" + function("int up_x(void)", "return t[0];")),
    ("global", "core/x.c", "static int count;\n"),
    ("global", "core/x.c", "static struct { int a; } state = { 1 };\n"),
    ("global", "core/x.c", "static struct {\n\tint a;\n} state;\n"),
    ("global", "core/x.c", "char name[64];\n"),
    ("global", "core/x.c", "static int *p = 0;\n"),
    ("global", "core/x.c", function("static int a(void)", "static int cache;", "return cache++;")),
    ("long", "core/x.c", LONG),
    ("long", "core/x.c", "/* long: */\n" + LONG),
    ("long", "core/x.c", "/* long: a very good reason */\n\n" + LONG),
    ("lines", "core/x.h", "#pragma once\n" + "\n" * 900),
    ("lines", "tests/x.py", "\n" * 901),
    ("space", "core/x.h", "#pragma once \n"),
    ("space", "README.md", "a \n"),
    ("columns", "core/x.h", "#pragma once\n\t/* " + "x" * 98 + " */\n"),
    ("columns", "README.md", "x" * 111 + "\n"),
    ("newline", "core/x.h", "#pragma once\nint base_x(void);"),
    ("utf-8", "core/x.h", b"#pragma once\n/* \xff */\n"),
    ("word", "core/x.h", "#pragma once\n/* as in /tmp/" + "build */\n"),
    ("sleep", "tests/e2e/test_x.py", "time.sle" + "ep(1)\n"),
    ("sleep", "tests/unit/h1/test_x.c", function("static int f(void)", "return usleep(5);")),
]


def problems_in(tree):
    with tempfile.TemporaryDirectory() as root:
        for path, text in tree.items():
            path = os.path.join(root, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
        return house.check_tree(root)


def main():
    failures = ["a good tree is refused: %s" % (p,) for p in problems_in(GOOD)]
    for rule, path, text in BAD:
        targets = {name: body for name, body in TARGETS.items() if '"%s"' % name in str(text)}
        found = problems_in({**GOOD, **targets, path: text})
        if {p.rule for p in found} != {rule} or any(p.path not in (path, "core/z.h") for p in found):
            failures.append("%s in %s: %r gives %s" % (rule, path, text[:70], found or "nothing"))
    untried = set(house.RULES) - {rule for rule, _, _ in BAD}
    failures += ["no snippet breaks the rule %s" % rule for rule in sorted(untried)]
    for failure in failures:
        print(failure)
    print("%d passed, %d failed" % (len(BAD) + 1 - len(failures), len(failures)))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
