/* What a new configuration changes. */
#include "conf/diff.h"
#include "tests/unit/conf/conf_test.h"

/* Compares two texts; free the result. */
static char *diff(const char *before, const char *after, size_t most)
{
	struct loaded a = load_good(before), b = load_good(after);
	struct conf_diff d;
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	conf_diff(&d, a.c, b.c);
	unload(&a);
	unload(&b);
	conf_diff_summary(&d, out);
	putc('\n', out);
	conf_diff_list(&d, most, out);
	fclose(out);
	conf_diff_fini(&d);
	return text;
}

static void expect(const char *before, const char *after, const char *expected)
{
	char *text = diff(before, after, 10);

	assert_string_equal(text, expected);
	free(text);
}

#define VHOST(name, port, more)                         \
	"- name: " name "\n  port: " port "\n" more \
	"  mounts: [ { mountpoint: /, origin: 'unix:/run/a' } ]\n"

static void nothing(void **state)
{
	(void)state;
	expect("vhosts:\n" VHOST("a.test", "80", ""), "vhosts:\n" VHOST("a.test", "80", ""),
	       "nothing changes\n");
	/* blanks, comments, and how a text is quoted do not count; nor does the order of vhosts */
	expect("vhosts:\n" VHOST("a.test", "80", "  sts: yes\n") VHOST("b.test", "80", ""),
	       "vhosts:\n# b\n" VHOST("b.test", "80", "") VHOST("'a.test'", "80", "\n  sts:   'yes' # s\n"),
	       "nothing changes\n");
}

static void vhosts(void **state)
{
	(void)state;
	expect("vhosts:\n" VHOST("a.test", "80", "") VHOST("b.test", "80", "") VHOST("c.test", "80", ""),
	       "vhosts:\n" VHOST("a.test", "80", "  sts: no\n") VHOST("b.test", "80", "  sts: no\n")
	       VHOST("d.test", "80", ""),
	       "2 vhosts change, 1 vhost is new, 1 vhost goes\n"
	       "  vhost a.test on *:80 changes\n"
	       "  vhost b.test on *:80 changes\n"
	       "  vhost d.test on *:80 is new\n"
	       "  vhost c.test on *:80 goes\n");
}

/* Deep within a vhost, and where two different trees have the same texts. */
static void depths(void **state)
{
	(void)state;
	expect("vhosts:\n- { name: a.test, port: 80, mounts: [ { mountpoint: /, origin: 'unix:/a' } ] }\n",
	       "vhosts:\n- { name: a.test, port: 80, mounts: [ { mountpoint: /, origin: 'unix:/b' } ] }\n",
	       "1 vhost changes\n  vhost a.test on *:80 changes\n");
	expect("vhosts:\n" VHOST("a.test", "80", "  headers-remove: [ a, b ]\n"),
	       "vhosts:\n" VHOST("a.test", "80", "  headers-remove: [ ab ]\n"),
	       "1 vhost changes\n  vhost a.test on *:80 changes\n");
}

static void listeners(void **state)
{
	(void)state;
	expect("vhosts:\n" VHOST("a.test", "80", ""),
	       "vhosts:\n" VHOST("a.test", "80", "") VHOST("a.test", "8080", "")
	       VHOST("a.test", "81", "  interface: 127.0.0.1\n"),
	       "2 vhosts are new, 2 listeners open\n"
	       "  vhost a.test on *:8080 is new\n"
	       "  vhost a.test on 127.0.0.1:81 is new\n"
	       "  listener *:8080 opens\n"
	       "  listener 127.0.0.1:81 opens\n");
	expect("vhosts:\n" VHOST("a.test", "80", ""), "vhosts:\n" VHOST("a.test", "81", ""),
	       "1 vhost is new, 1 vhost goes, 1 listener opens, 1 listener closes\n"
	       "  vhost a.test on *:81 is new\n"
	       "  vhost a.test on *:80 goes\n"
	       "  listener *:81 opens\n"
	       "  listener *:80 closes\n");
}

#define GLOBAL(keys) "global: { " keys " }\nvhosts:\n" VHOST("a.test", "80", "")

static void settings(void **state)
{
	(void)state;
	expect(GLOBAL("username: root, limits: { connections: 10 }, timeouts: { drain: 1s }"),
	       GLOBAL("username: nobody, limits: { connections: 11 }, server-string: x"),
	       "3 global keys change, 1 global key replaces the workers one by one\n"
	       "  global key username replaces the workers one by one\n"
	       "  global key server-string changes\n"
	       "  global key limits.connections changes\n"
	       "  global key timeouts.drain changes\n");
}

static void bounded(void **state)
{
	char *text = diff("vhosts:\n" VHOST("a.test", "80", "") VHOST("b.test", "80", ""),
			  "vhosts:\n" VHOST("c.test", "80", ""), 1);

	(void)state;
	assert_string_equal(text, "1 vhost is new, 2 vhosts go\n"
				  "  vhost c.test on *:80 is new\n"
				  "  ... and 2 more\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing),   cmocka_unit_test(vhosts),	 cmocka_unit_test(depths),
		cmocka_unit_test(listeners), cmocka_unit_test(settings), cmocka_unit_test(bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
