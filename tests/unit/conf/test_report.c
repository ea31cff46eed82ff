/*
 * How messages look: order, lines, carets under tabs and wide characters, long lines, harmful bytes.
 */
#include "tests/unit/conf/conf_test.h"

static struct conf_report report;

static int begin(void **state)
{
	(void)state;
	conf_report_init(&report);
	return 0;
}

static int end(void **state)
{
	(void)state;
	conf_report_fini(&report);
	return 0;
}

static void expect(const char *expected)
{
	char *text;

	conf_report_sort(&report);
	text = report_text(&report);
	assert_string_equal(text, expected);
	free(text);
}

static void order(void **state)
{
	(void)state;
	conf_report_text(&report, STR("b"), STR("one\ntwo"));
	conf_report_text(&report, STR("a"), STR("uno\r\ndue\rtre\n"));
	conf_report_add(&report, CONF_NOTE, (struct conf_pos){ "a", 3, 2 }, NULL, "6");
	conf_report_add(&report, CONF_ERROR, (struct conf_pos){ "a", 2, 1 }, NULL, "5");
	conf_report_add(&report, CONF_ERROR, (struct conf_pos){ "b", 2, 3 }, NULL, "3");
	conf_report_add(&report, CONF_WARNING, (struct conf_pos){ "b", 2, 3 }, "help", "4");
	conf_report_add(&report, CONF_ERROR, (struct conf_pos){ "b", 1, 9 }, NULL, "2");
	conf_report_add(&report, CONF_ERROR, (struct conf_pos){ "b", 0, 0 }, NULL, "1");
	conf_report_add(&report, CONF_ERROR, (struct conf_pos){ "c", 7, 7 }, NULL, "7");
	conf_report_add(&report, CONF_ERROR, (struct conf_pos){ NULL, 0, 0 }, NULL, "8 %d", 9);
	expect("b: error: 1\n"
	       "b:1:9: error: 2\n"
	       "    one\n"
	       "            ^\n"
	       "b:2:3: error: 3\n"
	       "    two\n"
	       "      ^\n"
	       "b:2:3: warning: 4\n"
	       "    two\n"
	       "      ^\n"
	       "help: help\n"
	       "a:2:1: error: 5\n"
	       "    due\n"
	       "    ^\n"
	       "a:3:2: note: 6\n"
	       "    tre\n"
	       "     ^\n"
	       "error: 8 9\n"
	       "c:7:7: error: 7\n");
	assert_int_equal(report.counts[CONF_ERROR], 6);
	assert_int_equal(report.counts[CONF_WARNING], 1);
	assert_int_equal(report.counts[CONF_NOTE], 1);
}

static void carets(void **state)
{
	(void)state;
	conf_report_text(&report, STR("f"),
			 STR("\t\"a\":\tb\n\xc3\xa4\xe2\x82\xac x\n\xff x\n\x1b[0m\xc2\x9b x\n"));
	conf_report_add(&report, CONF_ERROR, (struct conf_pos){ "f", 1, 7 }, NULL, "tabs");
	conf_report_add(&report, CONF_ERROR, (struct conf_pos){ "f", 2, 4 }, NULL, "wide");
	conf_report_add(&report, CONF_ERROR, (struct conf_pos){ "f", 3, 3 }, NULL, "bad");
	conf_report_add(&report, CONF_ERROR, (struct conf_pos){ "f", 4, 7 }, NULL, "\x1b]0;x\x07\xff");
	expect("f:1:7: error: tabs\n"
	       "    \t\"a\":\tb\n"
	       "    \t    \t^\n"
	       "f:2:4: error: wide\n"
	       "    \xc3\xa4\xe2\x82\xac x\n"
	       "       ^\n"
	       "f:3:3: error: bad\n"
	       "    \\xff x\n"
	       "         ^\n"
	       "f:4:7: error: \\x1b]0;x\\x07\\xff\n"
	       "    \\x1b[0m\\xc2\\x9b x\n"
	       "                    ^\n");
}

#define TEN "0123456789"
#define GAP "          "

/* A line of 300 characters is cut around the caret, wherever that is. */
static void long_lines(void **state)
{
	char line[300];

	(void)state;
	for (size_t i = 0; i < sizeof line; i++)
		line[i] = (char)('0' + i % 10);
	conf_report_text(&report, STR("f"), str_of(line, sizeof line));
	conf_report_add(&report, CONF_ERROR, (struct conf_pos){ "f", 1, 100 }, NULL, "left");
	conf_report_add(&report, CONF_ERROR, (struct conf_pos){ "f", 1, 151 }, NULL, "middle");
	conf_report_add(&report, CONF_ERROR, (struct conf_pos){ "f", 1, 300 }, NULL, "right");
	expect("f:1:100: error: left\n"
	       "    " TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "...\n"
	       "   " GAP GAP GAP GAP GAP GAP GAP GAP GAP GAP "^\n"
	       "f:1:151: error: middle\n"
	       "    ..." TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "...\n"
	       "                                                                   ^\n"
	       "f:1:300: error: right\n"
	       "    ...9012345678901234567890123456789012345678901234567890123456789\n"
	       "                                                                   ^\n");
}

/* A message about a value that was loaded: its place is enough to show the line. */
static void later(void **state)
{
	struct conf_source src = { STR("conf"), STR("vhosts:\n- name: a\n  port: 80\n  mounts:\n"
						    "  - { mountpoint: /, origin: 'unix:/a' }\n") };
	struct config *c = conf_load(&src, 1, NULL, &report);

	(void)state;
	assert_non_null(c);
	conf_report_add(&report, CONF_ERROR, c->listeners[0]->pos, "choose another one", "cannot bind: %s",
			"in use");
	conf_put(c);
	expect("conf:3:9: error: cannot bind: in use\n"
	       "      port: 80\n"
	       "            ^\n"
	       "help: choose another one\n");
}

/* Lines that others wrote with a place in front. */
static void lines(void **state)
{
	(void)state;
	conf_report_text(&report, STR("/etc/g/conf"), STR("one\ntwo\n"));
	conf_report_add_line(&report, CONF_ERROR, "/etc/g/conf:2:3: no such cipher: x");
	conf_report_add_line(&report, CONF_WARNING, "/etc/g/conf.d/a:2:3: unknown file");
	conf_report_add_line(&report, CONF_WARNING, "/etc/g/conf:2: no column");
	conf_report_add_line(&report, CONF_WARNING, "/etc/g/conf:2:99999999999: x");
	conf_report_add_line(&report, CONF_WARNING, "/etc/g/conf:2:3");
	conf_report_add_line(&report, CONF_WARNING, "");
	expect("/etc/g/conf:2:3: error: no such cipher: x\n"
	       "    two\n"
	       "      ^\n"
	       "warning: /etc/g/conf.d/a:2:3: unknown file\n"
	       "warning: /etc/g/conf:2: no column\n"
	       "warning: /etc/g/conf:2:99999999999: x\n"
	       "warning: /etc/g/conf:2:3\n"
	       "warning: \n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(order, begin, end),
		cmocka_unit_test_setup_teardown(carets, begin, end),
		cmocka_unit_test_setup_teardown(long_lines, begin, end),
		cmocka_unit_test_setup_teardown(later, begin, end),
		cmocka_unit_test_setup_teardown(lines, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
