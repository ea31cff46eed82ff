/*
 * The server connection when all goes well: requests in, answers out, one after the other.
 */
#include "tests/unit/h1/rig.h"

static void answers_a_request(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, "GET /p?q HTTP/1.1" CR "Host: a" CR "B: c" CR CR);
	assert_up(&r, "GET END");
	assert_true(str_eq(r.up.head->path, STR("/p?q")));
	assert_int_equal(r.up.e.x->facts.protocol, 11);
	rig_answer_all(&r, "hello");
	assert_heard(&r, ANSWER("5", "hello"));
	assert_false(r.closed);
	rig_close(&r);
}

/* RFC 9112 section 2.2: in whatever pieces it arrives, and whatever the stream takes at once. */
static void reads_in_pieces(void **state)
{
	static const char in[] = "POST /a HTTP/1.1" CR "Host: a" CR "Content-Length: 3" CR CR "abc"
				 "POST /b HTTP/1.1" CR "Host: a" CR "Transfer-Encoding: chunked" CR CR
				 "1;x" CR "d" CR "0" CR "T: u" CR CR GET;
	struct rig r;

	(void)state;
	for (size_t split = 0; split < sizeof in; split++) {
		rig_open(&r);
		if (split % 3 == 0)
			r.client.read_max = 1;
		if (split % 5 == 0)
			r.client.write_max = 1;
		script_feed(&r.client, in, split);
		rig_run(&r);
		script_feed(&r.client, in + split, sizeof in - 1 - split);
		for (const char *const *want = (const char *const[]){"abc", "d", "", NULL}; *want; want++) {
			RIG_UNTIL(r.up.ended);
			assert_body(&r, *want);
			rig_answer_all(&r, *want);
		}
		RIG_UNTIL(x_count() == 0);
		rig_run(&r);
		assert_heard(&r, ANSWER("3", "abc") ANSWER("1", "d") ANSWER("0", ""));
		assert_int_equal(r.begun, 3);
		rig_close(&r);
	}
}

static void keeps_alive_without_memory(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	for (int i = 0; i < 3; i++) {
		rig_say(&r, GET);
		rig_answer_all(&r, "x");
		assert_heard(&r, ANSWER("1", "x"));
		assert_int_equal(x_count(), 0);
		assert_int_equal(slab_count(), 0);
	}
	assert_int_equal(r.begun, 3);
	rig_close(&r);
}

/* RFC 9112 section 9.3.2 */
static void answers_pipelined_requests_in_order(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, "GET /1 HTTP/1.1" CR "Host: a" CR CR "GET /2 HTTP/1.1" CR "Host: a" CR CR
		    "GET /3 HTTP/1.1" CR "Host: a" CR CR);
	assert_int_equal(r.up.heads, 1);
	r.up.on_head = rig_echo_path;
	rig_answer_all(&r, "first");
	assert_heard(&r, ANSWER("5", "first") ANSWER("2", "/2") ANSWER("2", "/3"));
	assert_int_equal(r.begun, 3);
	rig_close(&r);
}

/* RFC 9112 section 9.6 */
static void processes_nothing_behind_close(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.up.on_head = rig_echo_path;
	rig_say(&r, "GET /1 HTTP/1.1" CR "Host: a" CR "Connection: close" CR CR GET);
	assert_heard(&r, LAST("2", "/1"));
	assert_int_equal(r.begun, 1);
	assert_true(r.client.is_shut);
	assert_false(r.closed);
	script_end(&r.client);
	rig_run(&r);
	assert_true(r.closed);
	assert_int_equal(r.why, ERR_OK);
	rig_close(&r);
}

/* RFC 9112 section 2.2: they begin no request. */
static void passes_over_empty_lines(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.up.on_head = rig_echo_path;
	rig_say(&r, CR CR CR CR CR CR CR CR CR CR "\r");
	assert_int_equal(r.begun, 0);
	rig_say(&r, "\n");
	assert_int_equal(r.begun, 0);
	assert_int_equal(slab_count(), 0);
	rig_say(&r, GET CR);
	rig_say(&r, "\r");
	rig_say(&r, "\n" GET);
	assert_heard(&r, ANSWER("1", "/") ANSWER("1", "/"));
	rig_close(&r);
}

static void speaks_http_1_0(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, "GET / HTTP/1.0" CR "Connection: keep-alive" CR CR);
	assert_int_equal(r.up.e.x->facts.protocol, 10);
	rig_answer_all(&r, "abc");
	assert_heard(&r, "HTTP/1.1 200 x" CR "Content-Length: 3" CR "Connection: keep-alive" CR CR "abc");

	rig_say(&r, "GET / HTTP/1.0" CR CR);
	rig_answer_all(&r, "abc");
	assert_heard(&r, LAST("3", "abc"));
	assert_true(r.client.is_shut);
	rig_close(&r);
}

/* RFC 9112 section 6.3: no chunks, so the close ends it. */
static void ends_a_body_of_unknown_length_for_http_1_0(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, "GET / HTTP/1.0" CR "Connection: keep-alive" CR CR);
	rig_answer(&r, 200, HEAD_LENGTH_UNKNOWN);
	rig_put(&r, "abc");
	rig_run(&r);
	assert_heard(&r, "HTTP/1.1 200 x" CR "Connection: close" CR CR "abc");
	assert_false(r.client.is_shut);
	rig_put(&r, "def");
	rig_end(&r);
	assert_heard(&r, "def");
	assert_true(r.client.is_shut);
	rig_close(&r);
}

static void passes_bodies_up(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, "POST / HTTP/1.1" CR "Host: a" CR "Content-Length: 6" CR CR "abc");
	assert_int_equal(r.up.head->length, 6);
	assert_body(&r, "abc");
	assert_false(r.up.ended);
	rig_say(&r, "def" GET);
	assert_body(&r, "def");
	assert_up(&r, "POST D3 D3 END");
	rig_answer_all(&r, "");
	assert_up(&r, "GET END");
	rig_answer_all(&r, "");
	assert_heard(&r, ANSWER("0", "") ANSWER("0", ""));
	rig_close(&r);
}

/* RFC 9112 section 7.1 */
static void passes_chunks_and_trailers_up(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, "POST / HTTP/1.1" CR "Host: a" CR "Transfer-Encoding: chunked" CR CR "3;x=y" CR "abc" CR);
	assert_int_equal(r.up.head->length, HEAD_LENGTH_UNKNOWN);
	assert_body(&r, "abc");
	rig_say(&r, "2" CR "de" CR "0" CR "Digest: f" CR "Host: evil" CR CR);
	assert_body(&r, "de");
	assert_up(&r, "POST D3 trailers D2 END");
	assert_int_equal(r.up.head->kind, HEAD_TRAILERS);
	assert_non_null(head_find_name(r.up.head, STR("digest")));
	assert_null(head_find(r.up.head, FIELD_HOST));
	rig_answer_all(&r, "");
	assert_false(r.client.is_shut);
	rig_close(&r);
}

/* A chunk larger than any buffer goes straight into the pipe. */
static void passes_large_chunks_up(void **state)
{
	static char data[100000];
	struct rig r;

	(void)state;
	memset(data, 'd', sizeof data);
	rig_open(&r);
	rig_say(&r, "POST / HTTP/1.1" CR "Host: a" CR "Transfer-Encoding: chunked" CR CR);
	rig_say(&r, "186a0" CR);
	script_feed(&r.client, data, sizeof data);
	script_say(&r.client, CR "0" CR CR GET);
	RIG_UNTIL(r.up.ended);
	assert_int_equal(buf_len(&r.up.got), sizeof data);
	buf_drop(&r.up.got, sizeof data);
	rig_answer_all(&r, "");
	assert_int_equal(r.begun, 2);
	rig_close(&r);
}

static void passes_bodies_down(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, GET);
	rig_answer(&r, 200, HEAD_LENGTH_UNKNOWN);
	rig_run(&r);
	assert_heard(&r, "HTTP/1.1 200 x" CR "Transfer-Encoding: chunked" CR CR);
	rig_put(&r, "event: 1");
	loop_turn(0); /* what arrives in a turn leaves in that turn */
	assert_heard(&r, "8" CR "event: 1" CR);
	rig_put(&r, "0123456789abcdef");
	loop_turn(0);
	assert_heard(&r, "10" CR "0123456789abcdef" CR);
	rig_end(&r);
	assert_heard(&r, "0" CR CR);
	assert_false(r.client.is_shut);
	rig_close(&r);
}

/* RFC 9110 section 6.5 */
static void passes_trailers_down(void **state)
{
	struct head *h;
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, GET);
	rig_answer(&r, 200, HEAD_LENGTH_UNKNOWN);
	rig_put(&r, "abc");
	h = head_new(&r.up.e.x->arena, HEAD_TRAILERS);
	head_add(&r.up.e.x->arena, h, STR("Digest"), STR("d"));
	x_head(&r.up.e, h);
	rig_end(&r);
	assert_heard(&r, "HTTP/1.1 200 x" CR "Transfer-Encoding: chunked" CR CR "3" CR "abc" CR "0" CR
			 "Digest: d" CR CR);
	rig_close(&r);
}

/* All of a pipe that holds more than one write. */
static void passes_large_bodies_down(void **state)
{
	static char data[300000];
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, GET);
	r.up.e.x->pipe[X_DOWN].cap = sizeof data;
	rig_answer(&r, 200, HEAD_LENGTH_UNKNOWN);
	x_put(&r.up.e, data, sizeof data);
	rig_end(&r);
	assert_int_equal(x_count(), 0);
	/* four chunks of 64 KiB, and what is left: 0x93e0 */
	assert_int_equal(buf_len(&r.client.out),
			 strlen("HTTP/1.1 200 x" CR "Transfer-Encoding: chunked" CR CR) + sizeof data +
				 4 * strlen("10000" CR CR) + strlen("93e0" CR CR) + strlen("0" CR CR));
	buf_fini(&r.client.out);
	rig_close(&r);
}

/* One write for a small answer, head and body together. */
static void gathers_an_answer_into_one_write(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, GET);
	rig_answer(&r, 200, HEAD_LENGTH_UNKNOWN);
	rig_put(&r, "abc");
	rig_end(&r);
	assert_int_equal(r.client.writes, 1);
	rig_close(&r);
}

/* RFC 9110 section 9.3.2; whatever the up end puts there. */
static void answers_head_without_a_body(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, "HEAD / HTTP/1.1" CR "Host: a" CR CR);
	rig_answer(&r, 200, 5);
	rig_put(&r, "hello");
	rig_end(&r);
	assert_heard(&r, ANSWER("5", ""));
	rig_say(&r, GET);
	rig_answer(&r, 304, HEAD_LENGTH_UNKNOWN);
	rig_end(&r);
	assert_heard(&r, "HTTP/1.1 304 x" CR CR);
	rig_say(&r, GET);
	rig_answer(&r, 204, 0);
	rig_end(&r);
	assert_heard(&r, "HTTP/1.1 204 x" CR CR);
	assert_false(r.client.is_shut);
	rig_close(&r);
}

/* RFC 9110 section 15.2 */
static void passes_interim_heads(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, GET);
	rig_answer(&r, 103, 0);
	rig_run(&r);
	assert_heard(&r, "HTTP/1.1 103 x" CR CR);
	rig_answer(&r, 102, 0);
	rig_answer_all(&r, "a");
	assert_heard(&r, "HTTP/1.1 102 x" CR CR ANSWER("1", "a"));
	rig_say(&r, "GET / HTTP/1.0" CR CR);
	rig_answer(&r, 103, 0);
	rig_answer_all(&r, "a");
	assert_heard(&r, LAST("1", "a"));
	rig_close(&r);
}

/* RFC 9110 section 10.1.1: the client gets to see it before it sends. */
static void passes_100_continue(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, "PUT / HTTP/1.1" CR "Host: a" CR "Content-Length: 2" CR "Expect: 100-continue" CR CR);
	assert_up(&r, "PUT");
	rig_answer(&r, 100, 0);
	rig_run(&r);
	assert_heard(&r, "HTTP/1.1 100 x" CR CR);
	rig_say(&r, "ab");
	assert_body(&r, "ab");
	rig_answer_all(&r, "");
	assert_heard(&r, ANSWER("0", ""));
	rig_close(&r);
}

/* RFC 9110 section 10.1.1: a final answer instead, and nobody knows what would come next. */
static void answers_instead_of_100_continue(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, "PUT / HTTP/1.1" CR "Host: a" CR "Content-Length: 2" CR "Expect: 100-continue" CR CR);
	rig_answer_all(&r, "no");
	assert_heard(&r, LAST("2", "no"));
	assert_true(r.client.is_shut);
	rig_close(&r);
}

/* While it does not read, no more than the pipe and one write are held; then everything arrives. */
static void waits_for_a_slow_reader(void **state)
{
	static char data[20000];
	size_t put = 0, heard;
	struct rig r;

	(void)state;
	memset(data, 'd', sizeof data);
	rig_open(&r);
	r.client.window = 1000;
	rig_say(&r, GET);
	rig_answer(&r, 200, 40 * (int64_t)sizeof data);
	for (int i = 0; i < 40; i++) {
		size_t room = x_room(&r.up.e, sizeof data);

		x_put(&r.up.e, data, room);
		put += room;
		rig_run(&r);
	}
	assert_true(put <= limits_default.pipe_bytes + 1000);
	heard = buf_len(&r.client.out);
	assert_int_equal(heard, 1000);
	while (put < 40 * sizeof data) {
		size_t room;

		script_accept(&r.client, 5000);
		rig_run(&r);
		room = x_room(&r.up.e, MIN(sizeof data, 40 * sizeof data - put));
		x_put(&r.up.e, data, room);
		put += room;
	}
	x_end(&r.up.e);
	x_leave(&r.up.e);
	script_accept(&r.client, SIZE_MAX / 2);
	RIG_UNTIL(x_count() == 0);
	assert_int_equal(buf_len(&r.client.out), strlen(ANSWER("800000", "")) + 40 * sizeof data);
	assert_false(r.client.is_shut);
	buf_drop(&r.client.out, buf_len(&r.client.out));
	rig_close(&r);
}

/* An upload is not read beyond the pipe, and goes on with its room. */
static void waits_for_a_slow_upstream(void **state)
{
	static char data[300000];
	struct rig r;

	(void)state;
	rig_open(&r);
	r.up.hold = true;
	rig_say(&r, "POST / HTTP/1.1" CR "Host: a" CR "Content-Length: 300000" CR CR);
	script_feed(&r.client, data, sizeof data);
	rig_run(&r);
	assert_int_equal(x_fill(&r.up.e), limits_default.pipe_bytes);
	assert_int_equal(buf_len(&r.client.in), sizeof data - limits_default.pipe_bytes);
	assert_sleeps(&r);
	test_end_take(&r.up, 10000);
	rig_run(&r);
	assert_int_equal(x_fill(&r.up.e), limits_default.pipe_bytes - 10000);
	r.up.hold = false;
	test_end_take(&r.up, SIZE_MAX);
	RIG_UNTIL(r.up.ended);
	assert_int_equal(buf_len(&r.up.got), sizeof data);
	buf_drop(&r.up.got, sizeof data);
	rig_answer_all(&r, "");
	assert_false(r.client.is_shut);
	rig_close(&r);
}

static void make_pipe_small(struct test_end *t, struct head *h)
{
	(void)h;
	t->e.x->pipe[X_UP].cap = 1000;
}

/* The same for a body that came with its head, into a pipe that takes less of it; chunk lines included. */
static void waits_with_bytes_behind_the_head(void **state)
{
	static char data[9000];
	struct rig r;

	(void)state;
	memset(data, 'd', sizeof data);
	rig_open(&r);
	r.up.hold = true;
	r.up.on_head = make_pipe_small;
	script_say(&r.client, "POST / HTTP/1.1" CR "Host: a" CR "Transfer-Encoding: chunked" CR CR);
	for (int i = 0; i < 2; i++) {
		script_say(&r.client, "2328" CR);
		script_feed(&r.client, data, sizeof data);
		script_say(&r.client, CR);
	}
	script_say(&r.client, "0" CR "Trailer-Field: abc" CR CR GET);
	rig_run(&r);
	assert_int_equal(x_fill(&r.up.e), 1000);
	while (!r.up.ended) {
		assert_true(x_fill(&r.up.e) <= 1000);
		test_end_take(&r.up, 100);
		rig_run(&r);
	}
	assert_int_equal(buf_len(&r.up.got), 2 * sizeof data);
	buf_drop(&r.up.got, 2 * sizeof data);
	assert_int_equal(r.up.head->kind, HEAD_TRAILERS);
	rig_answer_all(&r, "");
	assert_int_equal(r.begun, 2);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_a_request),
		cmocka_unit_test(reads_in_pieces),
		cmocka_unit_test(keeps_alive_without_memory),
		cmocka_unit_test(answers_pipelined_requests_in_order),
		cmocka_unit_test(processes_nothing_behind_close),
		cmocka_unit_test(passes_over_empty_lines),
		cmocka_unit_test(speaks_http_1_0),
		cmocka_unit_test(ends_a_body_of_unknown_length_for_http_1_0),
		cmocka_unit_test(passes_bodies_up),
		cmocka_unit_test(passes_chunks_and_trailers_up),
		cmocka_unit_test(passes_large_chunks_up),
		cmocka_unit_test(passes_bodies_down),
		cmocka_unit_test(passes_trailers_down),
		cmocka_unit_test(passes_large_bodies_down),
		cmocka_unit_test(gathers_an_answer_into_one_write),
		cmocka_unit_test(answers_head_without_a_body),
		cmocka_unit_test(passes_interim_heads),
		cmocka_unit_test(passes_100_continue),
		cmocka_unit_test(answers_instead_of_100_continue),
		cmocka_unit_test(waits_for_a_slow_reader),
		cmocka_unit_test(waits_for_a_slow_upstream),
		cmocka_unit_test(waits_with_bytes_behind_the_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
