/*
 * Broken configurations and the whole text that is said about each. They stand in broken-*.txt:
 *
 *	=== what is wrong
 *	the configuration
 *	>>>
 *	the report
 */
#include "tests/unit/conf/conf_test.h"
#include "conf/find.h"

struct cases {
	struct str text;
	size_t count, wrong;
};

static struct str take_line(struct str *s)
{
	const char *end = s->n ? memchr(s->p, '\n', s->n) : NULL;
	struct str line = str_of(s->p, end ? (size_t)(end - s->p) + 1 : s->n);

	*s = str_of(s->p + line.n, s->n - line.n);
	return line;
}

/* Up to a line that begins with the mark, or the end. */
static struct str take_until(struct str *s, struct str mark)
{
	struct str part = str_of(s->p, 0);

	while (s->n && !str_starts(*s, mark))
		part.n += take_line(s).n;
	return part;
}

static void one(struct cases *c)
{
	struct str title = take_line(&c->text), input, expected;
	struct loaded l;

	input = take_until(&c->text, STR(">>>"));
	take_line(&c->text);
	expected = take_until(&c->text, STR("==="));
	l = load_str(input);
	c->count++;
	if (!str_eq(str_from_c(l.text), expected)) {
		c->wrong++;
		print_error("%.*sexpected:\n%.*sgot:\n%s\n", STR_ARG(title), STR_ARG(expected), l.text);
	}
	unload(&l);
}

static void run_file(const char *name, size_t least)
{
	char path[512];
	struct cases c = { .count = 0 };
	struct str whole;
	unsigned mode;

	source_path(path, sizeof path, name);
	assert_int_equal(conf_read_file(path, CONF_FILE_BYTES, &whole, &mode), 0);
	c.text = whole;
	take_until(&c.text, STR("==="));
	while (c.text.n)
		one(&c);
	free((char *)(uintptr_t)whole.p);
	assert_int_equal(c.wrong, 0);
	assert_true(c.count >= least);
}

static void syntax(void **state)
{
	(void)state;
	run_file("tests/unit/conf/broken-syntax.txt", 28);
}

static void keys(void **state)
{
	(void)state;
	run_file("tests/unit/conf/broken-keys.txt", 25);
}

static void vhosts(void **state)
{
	(void)state;
	run_file("tests/unit/conf/broken-vhosts.txt", 40);
}

static void routing(void **state)
{
	(void)state;
	run_file("tests/unit/conf/broken-routing.txt", 25);
}

static void tls(void **state)
{
	(void)state;
	run_file("tests/unit/conf/broken-tls.txt", 15);
}

static void https(void **state)
{
	(void)state;
	run_file("tests/unit/conf/broken-https.txt", 6);
}

static void expect(struct str input, const char *expected)
{
	struct loaded l = load_str(input);

	assert_string_equal(l.text, expected);
	unload(&l);
}

/* What no text file of this tree may hold. */
static void bytes(void **state)
{
	(void)state;
	expect(STR("vhosts:\n- name: a\0b\n"), "conf:2:10: error: a NUL byte: this is no text file\n"
					       "    - name: a\\x00b\n"
					       "             ^\n");
	expect(STR("vhosts:\n- name: \xe4.example\n"), "conf:2:9: error: this is not UTF-8\n"
						       "    - name: \\xe4.example\n"
						       "            ^\n"
						       "help: save the file as UTF-8\n");
	expect(STR("vhosts:\n- name: \x1b[31m\n"), "conf:2:9: error: a control character\n"
						   "    - name: \\x1b[31m\n"
						   "            ^\n");
	expect(STR("vhosts:\n- name: a\xe2\x80\xa8"
		   "b\n"),
	       "conf:2:10: error: a Unicode line separator\n"
	       "    - name: a\xe2\x80\xa8"
	       "b\n"
	       "             ^\n");
	expect(STR("\xff\xfe{\0}\0"), "conf:1:1: error: this is not UTF-8\n"
				      "    \\xff\\xfe{\\x00}\\x00\n"
				      "    ^\n"
				      "help: save the file as UTF-8\n");
	expect(STR("{ \"a\": \"\xed\xa0\xbd\" }"), "conf:1:9: error: this is not UTF-8\n"
						   "    { \"a\": \"\\xed\\xa0\\xbd\" }\n"
						   "            ^\n"
						   "help: save the file as UTF-8\n");
}

/* One error, at once, whatever is piled up. */
static void bombs(void **state)
{
	enum { N = 100000 };
	static const struct {
		const char *text, *reason;
	} piles[] = {
		{ "[", "nested deeper than 32 levels" },     { "{a: ", "nested deeper than 32 levels" },
		{ "[{a: ", "nested deeper than 32 levels" }, { "- ", "nested deeper than 32 levels" },
		{ "{", "a key has to be a plain name" },     { "? ", "a key has to be a plain name" },
	};
	static char text[N * 8];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(piles); i++) {
		size_t n = strlen(piles[i].text);
		struct loaded l;

		for (size_t k = 0; k < N; k++)
			memcpy(text + k * n, piles[i].text, n);
		l = load_str(str_of(text, N * n));
		assert_int_equal(l.report.n, 1);
		assert_str(l.report.messages[0].reason, piles[i].reason);
		assert_int_equal(l.report.messages[0].pos.line, 1);
		assert_true(l.report.messages[0].pos.column <= 32 * 4 + 1);
		unload(&l);
	}
}

static void too_large(void **state)
{
	struct str text = str_of(base_alloc(CONF_FILE_BYTES + 1), CONF_FILE_BYTES + 1);
	struct loaded l;

	(void)state;
	memset((char *)(uintptr_t)text.p, '#', text.n);
	expect(text, "conf: error: larger than 1 MiB\n"
		     "help: put vhosts into several files\n");
	text.n--; /* a comment as large as a file may be: only the vhosts are missing */
	l = load_str(text);
	assert_int_equal(l.report.n, 1);
	assert_str(l.report.messages[0].reason, "there is no vhost: nothing to listen on");
	unload(&l);
	free((char *)(uintptr_t)text.p);
}

/* Unknown keys without end: counted, not kept. */
static void many_errors(void **state)
{
	enum { N = 2000 };
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	struct loaded l;

	(void)state;
	fputs("{", out);
	for (int i = 0; i < N; i++)
		fprintf(out, "\"key%d\": 1,\n", i);
	fputs("}", out);
	fclose(out);
	l = load_text(text);
	assert_int_equal(l.report.counts[CONF_ERROR], N);
	assert_int_equal(l.report.n, CONF_REPORT_MESSAGES);
	assert_non_null(strstr(l.text, "\nand 1500 more\n"));
	unload(&l);
	free(text);
}

#define VHOST(name)                                                                                          \
	"vhosts:\n- name: " name "\n  port: 80\n  mounts: [ { mountpoint: /, origin: 'unix:/a' } ]\n"

static void files(void **state)
{
	struct conf_source src[] = {
		{ STR("conf"), STR("global: { username: a, count-threads: 2, limits: { memory: 8m } }\n") },
		{ STR("conf.d/1"),
		  STR("global: { username: b, count-threads: 2, limits: { memory: 9m } }\n") },
		{ STR("conf.d/2"), STR("vhosts: [\n") },
		{ STR("conf.d/3"), STR(VHOST("www.example")) },
		{ STR("conf.d/4"), STR(VHOST("WWW.example.")) },
		{ STR("conf.d/5"), STR("vhosts: { nam: a }\n") },
	};
	struct loaded l = load_sources(src, ARRAY_SIZE(src));

	(void)state;
	assert_string_equal(
		l.text,
		"conf.d/1:1:11: error: \"username\" has another value at conf:1:11\n"
		"    global: { username: b, count-threads: 2, limits: { memory: 9m } }\n"
		"              ^\n"
		"help: keep one of them\n"
		"conf.d/1:1:52: error: \"memory\" has another value at conf:1:52\n"
		"    global: { username: b, count-threads: 2, limits: { memory: 9m } }\n"
		"                                                       ^\n"
		"help: keep one of them\n"
		"conf.d/2:1:9: error: this bracket is never closed\n"
		"    vhosts: [\n"
		"            ^\n"
		"conf.d/4:2:9: error: \"www.example\" on *:80 is there already, at conf.d/3:2:9\n"
		"    - name: WWW.example.\n"
		"            ^\n"
		"help: a vhost has one name on one port: put the mounts of both into one\n"
		"conf.d/5:1:9: error: this vhost has no name\n"
		"    vhosts: { nam: a }\n"
		"            ^\n"
		"help: add \"name\": \"www.example.com\"\n"
		"conf.d/5:1:9: error: this vhost has no port\n"
		"    vhosts: { nam: a }\n"
		"            ^\n"
		"help: add \"port\": \"80\"\n"
		"conf.d/5:1:9: warning: this vhost has no mounts: every request is answered 404\n"
		"    vhosts: { nam: a }\n"
		"            ^\n"
		"help: add \"mounts\": [ { \"mountpoint\": \"/\", \"origin\": \"unix:/run/app.sock\" } ]\n"
		"conf.d/5:1:11: error: unknown key \"nam\" in a vhost\n"
		"    vhosts: { nam: a }\n"
		"              ^\n"
		"help: did you mean \"name\"?\n");
	unload(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(syntax), cmocka_unit_test(keys),	 cmocka_unit_test(vhosts),
		cmocka_unit_test(routing),
		cmocka_unit_test(tls),
		cmocka_unit_test(https),
		cmocka_unit_test(bytes),  cmocka_unit_test(bombs),	 cmocka_unit_test(too_large),
		cmocka_unit_test(files),  cmocka_unit_test(many_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
