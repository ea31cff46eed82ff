/* The access log: its format, what it escapes, and that it never blocks. */
#include "proxy/worker/alog.h"
#include "core/log.h"
#include "tests/unit/proxy/conf.h"
#include "tests/unit/support/ends.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct alog *alog;
static struct exchange *x;
static struct test_end down;
static int file;
static char text[512 * 1024];

static int setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	setenv("TZ", "XST-5:30", 1);
	tzset();
	test_loop_open();
	test_end_init(&down);
	x = x_new(&down.e);
	x->request = test_request(x, "GET", "/index.html?a=b");
	x->facts.protocol = 11;
	x->facts.status = 200;
	x->facts.response_bytes = 1234;
	x->facts.wall_s = 971190936; /* 2000-10-10T15:15:36Z */
	file = memfd_create("access", 0);
	alog = alog_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	alog_put(alog);
	x_leave(&down.e);
	loop_turn(0);
	test_end_fini(&down);
	test_loop_close();
	if (file >= 0)
		close(file);
	return 0;
}

static void log_to_file(void)
{
	alog_set_fd(alog, dup(file));
}

static const char *written(void)
{
	ssize_t n = pread(file, text, sizeof text - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static void line(void)
{
	alog_line(alog, x, &(struct alog_about){ .client = STR("192.0.2.7") });
}

static void field(enum field_id id, const char *value)
{
	head_set(&x->arena, x->request, id, arena_dup(&x->arena, str_from_c(value)));
}

#define DATE "[10/Oct/2000:20:45:36 +0530]"

static void writes_apaches_combined_format(void **state)
{
	(void)state;
	log_to_file();
	field(FIELD_REFERER, "https://a.test/start");
	field(FIELD_USER_AGENT, "Mozilla/4.08 [en] (Win98; I ;Nav)");
	x->facts.user = STR("frank");
	line();
	assert_string_equal(written(), "");
	loop_turn(0);
	assert_string_equal(written(), "192.0.2.7 - frank " DATE " \"GET /index.html?a=b HTTP/1.1\" 200 1234 "
				       "\"https://a.test/start\" \"Mozilla/4.08 [en] (Win98; I ;Nav)\"\n");
}

static void says_nothing_of_what_it_does_not_know(void **state)
{
	(void)state;
	log_to_file();
	x->facts.response_bytes = 0;
	x->facts.protocol = 10;
	line();
	x->facts.protocol = 20;
	line();
	x->request = NULL;
	x->facts.status = 408;
	line();
	loop_turn(0);
	assert_string_equal(written(),
			    "192.0.2.7 - - " DATE " \"GET /index.html?a=b HTTP/1.0\" 200 - \"-\" \"-\"\n"
			    "192.0.2.7 - - " DATE " \"GET /index.html?a=b HTTP/2.0\" 200 - \"-\" \"-\"\n"
			    "192.0.2.7 - - " DATE " \"-\" 408 - \"-\" \"-\"\n");
}

static void a_client_that_left_is_499(void **state)
{
	(void)state;
	log_to_file();
	x->facts.status = 0;
	line();
	x->facts.response_bytes = UINT64_MAX;
	line();
	loop_turn(0);
	assert_non_null(strstr(written(), "\" 499 1234 \""));
	assert_non_null(strstr(text, "\" 499 18446744073709551615 \""));
}

static void shows_the_peer_it_is_given(void **state)
{
	(void)state;
	log_to_file();
	alog_line(alog, x, &(struct alog_about){ .client = STR("2001:db8::1") });
	alog_line(alog, x, &(struct alog_about){ .client = STR("unix") });
	alog_line(alog, x, &(struct alog_about){ .client = STR_NONE });
	loop_turn(0);
	assert_int_equal(strncmp(written(), "2001:db8::1 - - [", 17), 0);
	assert_non_null(strstr(text, "\nunix - - ["));
	assert_non_null(strstr(text, "\n- - - ["));
}

static void zones_west_and_other_seconds(void **state)
{
	(void)state;
	setenv("TZ", "YST+9:30", 1);
	tzset();
	log_to_file();
	line();
	x->facts.wall_s++;
	line();
	loop_turn(0);
	assert_non_null(strstr(written(), "[10/Oct/2000:05:45:36 -0930]"));
	assert_non_null(strstr(text, "[10/Oct/2000:05:45:37 -0930]"));
}

/* Whatever a client sends, a line stays one line of its nine fields. */
static void escapes(void **state)
{
	const char *p;
	unsigned quotes = 0;

	(void)state;
	log_to_file();
	x->request->method = STR("GE\"T");
	x->request->path = STR("/\x01\n\\\"\x7f\xc3\xa9");
	x->facts.user = STR("a\"b\nc");
	field(FIELD_REFERER, "\" 200 1 \"x\" \"y\"\r\nfake");
	field(FIELD_USER_AGENT, "\x1b[31mred\t\\x41");
	line();
	loop_turn(0);
	for (p = written(); *p; p++) {
		quotes += *p == '"';
		assert_true((*p >= ' ' && *p < 0x7f) || (*p == '\n' && !p[1]));
	}
	assert_int_equal(quotes, 6);
	assert_string_equal(text, "192.0.2.7 - a\\x22b\\x0ac " DATE
				  " \"GE\\x22T /\\x01\\x0a\\x5c\\x22\\x7f\\xc3\\xa9 HTTP/1.1\" 200 1234 "
				  "\"\\x22 200 1 \\x22x\\x22 \\x22y\\x22\\x0d\\x0afake\" "
				  "\"\\x1b[31mred\\x09\\x5cx41\"\n");
}

static unsigned lines_of(const char *s)
{
	unsigned n = 0;

	for (; *s; s++)
		n += *s == '\n';
	return n;
}

static void bounds_what_one_line_shows(void **state)
{
	char *huge = arena_alloc(&x->arena, 60001);

	(void)state;
	log_to_file();
	memset(huge, '"', 60000);
	huge[60000] = '\0';
	x->request->path = str_of(huge, 60000);
	x->facts.user = str_of(huge, 60000);
	x->request->method = str_of(huge, 60000);
	field(FIELD_REFERER, huge);
	field(FIELD_USER_AGENT, huge);
	for (int i = 0; i < 10; i++)
		line();
	loop_turn(0);
	assert_int_equal(lines_of(written()), 10);
	assert_true(strlen(text) < 10 * 32 * 1024);
	assert_int_equal(alog_dropped(alog), 0);
}

static void json_line(void)
{
	alog_line(alog, x, &(struct alog_about){ .client = STR("192.0.2.7"), .vhost = STR("a.test"),
						 .json = true });
}

static void writes_json(void **state)
{
	const char *begin = "{\"time\":\"2000-10-10T15:15:36Z\",\"client\":\"192.0.2.7\","
			    "\"vhost\":\"a.test\",\"host\":\"test\","
			    "\"method\":\"GET\",\"target\":\"/index.html?a=b\",\"protocol\":\"HTTP/1.1\","
			    "\"status\":200,\"request_bytes\":0,\"response_bytes\":1234";

	(void)state;
	log_to_file();
	x->facts.begin_us = 0;
	json_line();
	x->facts.upstream = "unix:/run/app.sock";
	x->facts.tries = 2;
	x->facts.connect_us = 1500;
	x->facts.first_byte_us = 2000001;
	x->facts.tls = true;
	x->facts.tls_version = 0x0304;
	x->facts.tls_cipher = "TLS_AES_128_GCM_SHA256";
	json_line();
	loop_turn(0);
	assert_int_equal(strncmp(written(), begin, strlen(begin)), 0);
	assert_int_equal(strncmp(text + strlen(begin), "}\n", 2), 0);
	assert_non_null(strstr(text, "1234,\"upstream\":\"unix:/run/app.sock\",\"tries\":2,\"reused\":false,"
				     "\"connected\":0.001500,\"first_byte\":2.000001,\"tls\":\"TLSv1.3\","
				     "\"cipher\":\"TLS_AES_128_GCM_SHA256\"}\n"));
}

/* Fields of any length and of any bytes: each line is as long as it may be, and within its quotes. */
static void json_is_bounded_and_escaped(void **state)
{
	char *long_value = base_alloc(20001);

	(void)state;
	for (int i = 0; i < 20000; i++)
		long_value[i] = (char)(i % 255 + 1);
	long_value[20000] = '\0';
	log_to_file();
	for (int i = 0; i < 3; i++) {
		field(FIELD_REFERER, long_value);
		field(FIELD_USER_AGENT, long_value + i);
		x->request->path = x->request->authority = x->request->method = str_of(long_value, 20000);
		json_line();
	}
	loop_turn(0);
	assert_int_equal(lines_of(written()), 3);
	for (const char *c = text; *c; c++)
		assert_true((*c >= ' ' && *c < 0x7f) || *c == '\n');
	assert_true(strlen(text) < 3 * 40 * 1024);
	assert_int_equal(alog_dropped(alog), 0);
	free(long_value);
}

/* More than the gathering holds is written in between: a regular file loses nothing. */
static void a_busy_turn_loses_nothing(void **state)
{
	(void)state;
	log_to_file();
	for (int i = 0; i < 2000; i++)
		line();
	loop_turn(0);
	assert_int_equal(lines_of(written()), 2000);
	assert_int_equal(alog_dropped(alog), 0);
}

static void without_a_descriptor_nothing_happens(void **state)
{
	(void)state;
	line();
	loop_turn(0);
	assert_int_equal(alog_dropped(alog), 0);
	log_to_file();
	loop_turn(0);
	assert_string_equal(written(), "");
}

static void reopening_splits_between_lines(void **state)
{
	int old = file;

	(void)state;
	log_to_file();
	line();
	file = memfd_create("new", 0);
	log_to_file();
	line();
	line();
	loop_turn(0);
	assert_int_equal(lines_of(written()), 2);
	close(file);
	file = old;
	assert_int_equal(lines_of(written()), 1);
}

static void the_last_one_writes_what_is_gathered(void **state)
{
	(void)state;
	log_to_file();
	alog_get(alog);
	line();
	alog_put(alog);
	assert_string_equal(written(), "");
	alog_put(alog);
	assert_int_equal(lines_of(written()), 1);
	alog = alog_new();
}

/* A pipe that nobody reads. Its end is a blocking one, as a shell hands it over. */
static void a_full_pipe_costs_lines_not_time(void **state)
{
	int p[2];
	char byte;
	unsigned whole = 0;
	ssize_t n;
	size_t have = 0;

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_true(fcntl(p[1], F_SETPIPE_SZ, 4096) == 4096);
	alog_set_fd(alog, p[1]);
	for (int turn = 0; turn < 10; turn++) {
		for (int i = 0; i < 50; i++)
			line();
		loop_turn(0);
	}
	/* the whole lines it took, and the begun one whose rest is kept */
	assert_in_range(alog_dropped(alog), 400, 499);
	/* as soon as somebody reads, lines are whole again */
	assert_true(fcntl(p[0], F_SETFL, O_NONBLOCK) == 0);
	while ((n = read(p[0], &byte, 1)) == 1)
		text[have++] = byte;
	for (int i = 0; i < 3; i++) {
		line();
		loop_turn(0);
	}
	while ((n = read(p[0], &byte, 1)) == 1)
		text[have++] = byte;
	text[have] = '\0';
	for (const char *at = text, *end; (end = strchr(at, '\n')); at = end + 1, whole++) {
		assert_int_equal(strncmp(at, "192.0.2.7 - - [", 15), 0);
		assert_int_equal(strncmp(end - 7, "\"-\" \"-\"", 7), 0);
	}
	assert_int_equal(text[have - 1], '\n');
	assert_int_equal(whole + alog_dropped(alog), 503);
	close(p[0]);
}

static void a_broken_pipe_costs_lines_only(void **state)
{
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	close(p[0]);
	alog_set_fd(alog, p[1]);
	line();
	line();
	loop_turn(0);
	assert_int_equal(alog_dropped(alog), 2);
	log_to_file();
	line();
	loop_turn(0);
	assert_int_equal(lines_of(written()), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(writes_apaches_combined_format, setup, teardown),
		cmocka_unit_test_setup_teardown(says_nothing_of_what_it_does_not_know, setup, teardown),
		cmocka_unit_test_setup_teardown(a_client_that_left_is_499, setup, teardown),
		cmocka_unit_test_setup_teardown(shows_the_peer_it_is_given, setup, teardown),
		cmocka_unit_test_setup_teardown(zones_west_and_other_seconds, setup, teardown),
		cmocka_unit_test_setup_teardown(escapes, setup, teardown),
		cmocka_unit_test_setup_teardown(bounds_what_one_line_shows, setup, teardown),
		cmocka_unit_test_setup_teardown(writes_json, setup, teardown),
		cmocka_unit_test_setup_teardown(json_is_bounded_and_escaped, setup, teardown),
		cmocka_unit_test_setup_teardown(a_busy_turn_loses_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_descriptor_nothing_happens, setup, teardown),
		cmocka_unit_test_setup_teardown(reopening_splits_between_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(the_last_one_writes_what_is_gathered, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_pipe_costs_lines_not_time, setup, teardown),
		cmocka_unit_test_setup_teardown(a_broken_pipe_costs_lines_only, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
