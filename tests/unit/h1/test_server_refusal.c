/*
 * The server connection when a request cannot go on: what the client gets, what the up end hears, and that
 * the answer is not reset away.
 */
#include "tests/unit/h1/rig.h"

/* An answer of test_router's page: a bare head, its length unknown. */
#define PAGE(status)                                                                                         \
	"HTTP/1.1 " status " " CR "Transfer-Encoding: chunked" CR "Connection: close" CR CR "0" CR CR
/* To a client whose version is not known. */
#define PAGE_1_0(status) "HTTP/1.1 " status " " CR "Connection: close" CR CR

struct row {
	const char *in, *want;
	enum err err;
};

static const struct row rows[] = {
	{"GET / HTTP/1.1" CR "Host: a" CR "b : c" CR CR, PAGE("400"), ERR_BAD_FIELD_NAME},
	{"GET / HTTP/1.1" CR CR, PAGE("400"), ERR_BAD_HOST},
	{"GARBAGE" CR, PAGE_1_0("400"), ERR_BAD_REQUEST_LINE},
	{"\n", PAGE_1_0("400"), ERR_BAD_LINE_END},
	{"GET / HTTP/1.2" CR, PAGE_1_0("400"), ERR_BAD_VERSION},
	{"CONNECT a:1 HTTP/1.1" CR, PAGE("400"), ERR_CONNECT_REFUSED},
	{"TRACE / HTTP/1.1" CR, PAGE("405"), ERR_TRACE_REFUSED},
	{"GET / HTTP/1.1" CR "Host: a" CR "Expect: b" CR CR, PAGE("417"), ERR_EXPECTATION},
	{"GET /0123456789012345678901234567890123456789", PAGE_1_0("414"), ERR_REQUEST_LINE_LONG},
	{"GET / HTTP/1.1" CR "a: 0123456789012345678901234567890123456789012345678901234567890123456789",
	 PAGE("431"), ERR_HEAD_LARGE},
	{"GET / HTTP/1.1" CR "a:" CR "b:" CR "c:" CR "d:" CR, PAGE("431"), ERR_FIELDS_MANY},
};

/* Nothing is forwarded, nothing behind it is processed, and the rest is discarded until the client's end. */
static void refuses_heads(void **state)
{
	struct rig r;

	(void)state;
	for (const struct row *row = rows; row < rows + ARRAY_SIZE(rows); row++) {
		rig_open(&r);
		r.limits.request_line_bytes = 40;
		r.limits.request_head_bytes = 80;
		r.limits.request_fields = 3;
		rig_say(&r, row->in);
		rig_say(&r, GET GET);
		assert_heard(&r, row->want);
		assert_int_equal(test_router.last_abort, row->err);
		assert_int_equal(r.up.heads, 0);
		assert_int_equal(r.begun, 1);
		assert_true(r.client.is_shut);
		assert_int_equal(buf_len(&r.client.in), 0);
		assert_false(r.closed);
		script_end(&r.client);
		rig_run(&r);
		assert_true(r.closed);
		rig_close(&r);
	}
}

/* What was read is there for the page and the log, but told to nobody. */
static void shows_what_it_refuses(void **state)
{
	struct exchange *x;
	struct rig r;

	(void)state;
	rig_open(&r);
	r.client.window = 0;
	rig_say(&r, "GET /p HTTP/1.1" CR "User-Agent: u" CR "b : c" CR);
	x = list_entry(x_live()->next, struct exchange, live_node);
	assert_true(str_eq(x->request->path, STR("/p")));
	assert_non_null(head_find(x->request, FIELD_USER_AGENT));
	assert_int_equal(r.up.heads, 0);
	rig_close(&r);

	rig_open(&r);
	r.client.window = 0;
	rig_say(&r, "\x16\x03\x01" CR);
	x = list_entry(x_live()->next, struct exchange, live_node);
	assert_null(x->request);
	rig_close(&r);
}

/* The request before it is answered as if nothing were wrong. */
static void refuses_a_pipelined_head(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.up.on_head = rig_echo_path;
	rig_say(&r, GET "bad" CR CR);
	assert_heard(&r, ANSWER("1", "/") PAGE_1_0("400"));
	rig_close(&r);
}

#define POST(fields) "POST / HTTP/1.1" CR "Host: a" CR fields CR CR

/* Before any of it is read. */
static void refuses_a_long_body(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.limits.request_body_bytes = 4;
	r.client.read_max = strlen(POST("Content-Length: 5"));
	rig_say(&r, POST("Content-Length: 5"));
	script_say(&r.client, "12345");
	assert_int_equal(test_router.last_abort, ERR_BODY_LARGE);
	assert_heard(&r, PAGE("413"));
	assert_int_equal(r.up.aborted, ERR_BODY_LARGE);
	assert_int_equal(buf_len(&r.up.got), 0);
	rig_close(&r);

	rig_open(&r);
	r.limits.request_body_bytes = 5;
	rig_say(&r, POST("Content-Length: 5") "12345");
	assert_body(&r, "12345");
	rig_answer_all(&r, "");
	rig_close(&r);
}

static void refuses_too_many_chunks(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.limits.request_body_bytes = 4;
	rig_say(&r, POST("Transfer-Encoding: chunked") "4" CR "1234" CR);
	assert_heard(&r, "");
	rig_say(&r, "1" CR "5");
	assert_heard(&r, PAGE("413"));
	assert_int_equal(r.up.aborted, ERR_BODY_LARGE);
	assert_false(r.up.ended);
	buf_fini(&r.up.got);
	rig_close(&r);
}

/* Also when all of it came with the head: the route's limit holds. */
static void make_limit_small(struct test_end *t, struct head *h)
{
	static struct limits small;

	(void)h;
	small = limits_default;
	small.request_body_bytes = 2;
	t->e.x->limits = &small;
}

static void applies_the_routes_limits(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.up.on_head = make_limit_small;
	rig_say(&r, POST("Transfer-Encoding: chunked") "3" CR "123" CR "0" CR CR);
	assert_heard(&r, PAGE("413"));
	assert_false(r.up.ended);
	buf_fini(&r.up.got);
	rig_close(&r);
}

static void refuses_bad_chunks(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, POST("Transfer-Encoding: chunked") "1" CR "a" CR "x");
	assert_heard(&r, PAGE("400"));
	assert_int_equal(r.up.aborted, ERR_BAD_CHUNK);
	assert_false(r.up.ended);
	buf_fini(&r.up.got);
	rig_close(&r);
}

/* After a refusal nothing more is read until the answer is written. */
static void stops_reading_after_a_refusal(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.client.window = 0;
	rig_say(&r, POST("Transfer-Encoding: chunked") "1" CR "a" CR "x");
	rig_say(&r, "y");
	assert_int_equal(buf_len(&r.client.in), 1);
	assert_sleeps(&r);
	script_accept(&r.client, 1000);
	rig_run(&r);
	assert_heard(&r, PAGE("400"));
	assert_int_equal(buf_len(&r.client.in), 0);
	buf_fini(&r.up.got);
	rig_close(&r);
}

/* Nobody reads the body any more: that it is malformed changes nothing about its answer. */
static void completes_an_early_answer_to_a_bad_body(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.client.window = 0;
	rig_say(&r, POST("Transfer-Encoding: chunked"));
	rig_answer_all(&r, "early");
	rig_say(&r, "x");
	assert_false(r.closed);
	script_accept(&r.client, 1000);
	rig_run(&r);
	assert_heard(&r, LAST("5", "early"));
	assert_true(r.client.is_shut);
	rig_close(&r);
}

/* Once the answer has begun there is no other: the connection ends without its last chunk. */
static void breaks_off_after_the_answer_began(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, POST("Transfer-Encoding: chunked"));
	rig_answer(&r, 200, HEAD_LENGTH_UNKNOWN);
	rig_put(&r, "abc");
	rig_run(&r);
	rig_say(&r, "x");
	assert_heard(&r, "HTTP/1.1 200 x" CR "Transfer-Encoding: chunked" CR "Connection: close" CR CR "3" CR
			 "abc" CR);
	assert_int_equal(r.up.aborted, ERR_BAD_CHUNK);
	assert_true(r.closed);
	assert_false(r.client.is_shut);
	rig_close(&r);
}

/* A body that ends before its length is never completed upstream (RFC 9112 section 8). */
static void refuses_a_short_body(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, POST("Content-Length: 5") "123");
	script_end(&r.client);
	rig_run(&r);
	assert_int_equal(r.up.aborted, ERR_BODY_SHORT);
	assert_false(r.up.ended);
	assert_heard(&r, PAGE("400"));
	assert_true(r.closed);
	buf_fini(&r.up.got);
	rig_close(&r);
}

/* An answer before the end of the body: sent, our direction ended, the rest discarded. */
static void discards_behind_an_early_answer(void **state)
{
	static char data[1000000];
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, POST("Content-Length: 2000000"));
	rig_answer_all(&r, "early");
	assert_heard(&r, LAST("5", "early"));
	assert_true(r.client.is_shut);
	for (int i = 0; i < 2; i++) {
		script_feed(&r.client, data, sizeof data);
		rig_run(&r);
		assert_int_equal(buf_len(&r.client.in), 0);
	}
	assert_false(r.closed);
	script_end(&r.client);
	rig_run(&r);
	assert_true(r.closed);
	assert_int_equal(r.why, ERR_OK);
	rig_close(&r);
}

/* While an early answer is on its way the body is read and dropped: a client may write it all first. */
static void reads_while_an_early_answer_is_written(void **state)
{
	static char data[500000];
	struct rig r;

	(void)state;
	rig_open(&r);
	r.client.window = 10;
	rig_say(&r, POST("Content-Length: 500000"));
	rig_answer(&r, 200, 5);
	rig_put(&r, "early");
	rig_end(&r);
	script_feed(&r.client, data, sizeof data);
	rig_run(&r);
	assert_int_equal(buf_len(&r.client.in), 0);
	script_accept(&r.client, 1000);
	rig_run(&r);
	/* by then the request was whole, but the head had said so already: it is cut off in the 10 bytes */
	assert_heard(&r, LAST("5", "early"));
	rig_close(&r);
}

/* A body that is whole before its answer is written costs no connection. */
static void keeps_alive_when_an_early_answer_finds_the_body_whole(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.up.on_head = rig_echo_path;
	rig_say(&r, POST("Content-Length: 3") "abc" GET);
	assert_heard(&r, ANSWER("1", "/") ANSWER("1", "/"));
	assert_false(r.client.is_shut);
	rig_close(&r);
}

/* An up end that answers at once but goes on reading gets all of the body. */
static void passes_a_body_while_the_answer_runs(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, POST("Transfer-Encoding: chunked"));
	rig_answer(&r, 200, HEAD_LENGTH_UNKNOWN);
	rig_run(&r);
	rig_say(&r, "3" CR "abc" CR);
	assert_body(&r, "abc");
	rig_put(&r, "ABC");
	rig_say(&r, "0" CR CR);
	assert_true(r.up.ended);
	rig_end(&r);
	assert_heard(&r, "HTTP/1.1 200 x" CR "Transfer-Encoding: chunked" CR "Connection: close" CR CR "3" CR
			 "ABC" CR "0" CR CR);
	assert_true(r.client.is_shut);
	rig_close(&r);
}

/* The up end fails before its answer: the router's page, and the connection goes on. */
static void survives_a_failed_upstream(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, GET);
	x_abort(&r.up.e, ERR_UP_REFUSED);
	rig_run(&r);
	assert_heard(&r, "HTTP/1.1 503 " CR "Transfer-Encoding: chunked" CR CR "0" CR CR);
	r.up.on_head = rig_echo_path;
	rig_say(&r, GET);
	assert_heard(&r, ANSWER("1", "/"));
	rig_close(&r);
}

/* Death within an answer: everything that was told arrives, but no end that looks like one. */
static void breaks_off_with_the_upstream(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, GET);
	rig_answer(&r, 200, HEAD_LENGTH_UNKNOWN);
	rig_put(&r, "abc");
	x_abort(&r.up.e, ERR_UP_RESET);
	rig_run(&r);
	assert_heard(&r, "HTTP/1.1 200 x" CR "Transfer-Encoding: chunked" CR CR "3" CR "abc" CR);
	assert_true(r.closed);
	assert_int_equal(r.why, ERR_UP_RESET);
	assert_false(r.client.is_shut);
	rig_close(&r);

	rig_open(&r);
	rig_say(&r, GET);
	rig_answer(&r, 200, 5);
	x_abort(&r.up.e, ERR_UP_RESET);
	rig_run(&r);
	assert_heard(&r, LAST("5", ""));
	assert_true(r.closed);
	rig_close(&r);
}

/* The same for a reader that takes its time: the failure waits behind the bytes. */
static void breaks_off_behind_the_bytes(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.client.window = 5;
	rig_say(&r, GET);
	rig_answer(&r, 200, 5);
	rig_put(&r, "abc");
	x_abort(&r.up.e, ERR_UP_RESET);
	rig_run(&r);
	assert_false(r.closed);
	script_accept(&r.client, 1000);
	rig_run(&r);
	assert_heard(&r, ANSWER("5", "abc"));
	assert_true(r.closed);
	rig_close(&r);
}

/* An up end that ends a body before its length is not believed. */
static void breaks_off_a_short_answer(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, GET);
	rig_answer(&r, 200, 5);
	rig_put(&r, "abc");
	rig_end(&r);
	assert_heard(&r, ANSWER("5", "abc"));
	assert_true(r.closed);
	assert_int_equal(r.why, ERR_UP_BODY_SHORT);
	rig_close(&r);
}

/* Nor one that sends more than it said. */
static void cuts_a_long_answer(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, GET);
	rig_answer(&r, 200, 2);
	rig_put(&r, "abc");
	rig_end(&r);
	assert_heard(&r, ANSWER("2", "ab"));
	assert_false(r.closed);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_heads),
		cmocka_unit_test(shows_what_it_refuses),
		cmocka_unit_test(refuses_a_pipelined_head),
		cmocka_unit_test(refuses_a_long_body),
		cmocka_unit_test(refuses_too_many_chunks),
		cmocka_unit_test(applies_the_routes_limits),
		cmocka_unit_test(refuses_bad_chunks),
		cmocka_unit_test(stops_reading_after_a_refusal),
		cmocka_unit_test(completes_an_early_answer_to_a_bad_body),
		cmocka_unit_test(breaks_off_after_the_answer_began),
		cmocka_unit_test(refuses_a_short_body),
		cmocka_unit_test(discards_behind_an_early_answer),
		cmocka_unit_test(reads_while_an_early_answer_is_written),
		cmocka_unit_test(keeps_alive_when_an_early_answer_finds_the_body_whole),
		cmocka_unit_test(passes_a_body_while_the_answer_runs),
		cmocka_unit_test(survives_a_failed_upstream),
		cmocka_unit_test(breaks_off_with_the_upstream),
		cmocka_unit_test(breaks_off_behind_the_bytes),
		cmocka_unit_test(breaks_off_a_short_answer),
		cmocka_unit_test(cuts_a_long_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
