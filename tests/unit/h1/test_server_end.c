/*
 * The server connection in time: that every wait ends, that a client which has gone is let go of, tunnels,
 * draining.
 */
#include "tests/unit/h1/rig.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAGE(status)                                                                                         \
	"HTTP/1.1 " status " " CR "Transfer-Encoding: chunked" CR "Connection: close" CR CR "0" CR CR
#define PAGE_1_0(status) "HTTP/1.1 " status " " CR "Connection: close" CR CR
#define POST(fields)	 "POST / HTTP/1.1" CR "Host: a" CR fields CR CR

/* ---- time ---- */

static void ends_an_idle_connection(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.timeouts.keepalive_ms = 20;
	r.up.on_head = rig_echo_path;
	rig_say(&r, GET);
	RIG_UNTIL(r.client.is_shut);
	assert_heard(&r, ANSWER("1", "/"));
	script_end(&r.client);
	rig_run(&r);
	assert_true(r.closed);
	rig_close(&r);
}

/* In all: a head that drips in gets no more. */
static void ends_a_dripping_head(void **state)
{
	uint64_t begin_us;
	struct rig r;

	(void)state;
	rig_open(&r);
	r.timeouts.request_head_ms = 50;
	rig_say(&r, "GET / HTTP/1.1" CR);
	begin_us = loop_clock_us();
	while (!r.client.is_shut) {
		script_say(&r.client, "a");
		loop_turn(1);
		assert_true(loop_clock_us() - begin_us < 2000000);
	}
	assert_true(loop_clock_us() - begin_us > 40000);
	assert_heard(&r, PAGE("408"));
	assert_int_equal(test_router.last_abort, ERR_HEAD_TIMEOUT);
	rig_close(&r);
}

/* From its first byte, however long the connection was idle before. */
static void gives_a_head_its_whole_time(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.timeouts.keepalive_ms = 100;
	r.timeouts.request_head_ms = 2000;
	r.up.on_head = rig_echo_path;
	rig_say(&r, GET);
	rig_say(&r, "GET / HT");
	rig_pass_ms(&r, 200);
	rig_say(&r, "TP/1.1" CR "Host: a" CR CR);
	assert_heard(&r, ANSWER("1", "/") ANSWER("1", "/"));
	rig_close(&r);
}

static void ends_a_stalled_body(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.timeouts.request_body_ms = 30;
	rig_say(&r, POST("Content-Length: 5") "123");
	RIG_UNTIL(r.client.is_shut);
	assert_heard(&r, PAGE("408"));
	assert_int_equal(r.up.aborted, ERR_BODY_TIMEOUT);
	buf_fini(&r.up.got);
	rig_close(&r);
}

/* A slow body that moves is not cut; nor one that waits for the upstream, or for 100 Continue. */
static void does_not_cut_a_slow_body(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.timeouts.request_body_ms = 100;
	rig_say(&r, POST("Content-Length: 30"));
	for (int i = 0; i < 30; i++) {
		rig_say(&r, "x");
		rig_pass_ms(&r, 10);
	}
	assert_true(r.up.ended);
	buf_fini(&r.up.got);
	rig_answer_all(&r, "");
	script_heard(&r.client);

	rig_say(&r, POST("Content-Length: 3" CR "Expect: 100-continue"));
	rig_pass_ms(&r, 200);
	assert_heard(&r, "");
	rig_answer(&r, 100, 0);
	rig_run(&r);
	r.up.e.x->pipe[X_UP].cap = 1;
	r.up.hold = true;
	rig_say(&r, "abc");
	rig_pass_ms(&r, 200);
	assert_heard(&r, "HTTP/1.1 100 x" CR CR);
	rig_answer_all(&r, "");
	assert_heard(&r, LAST("0", ""));
	rig_close(&r);
}

/* From 100 Continue on, or from the first byte that comes without it, the client is to go on. */
static void ends_a_body_that_stalls_after_100_continue(void **state)
{
	struct rig r;

	(void)state;
	for (int i = 0; i < 2; i++) {
		rig_open(&r);
		r.timeouts.request_body_ms = 30;
		rig_say(&r, POST("Content-Length: 3" CR "Expect: 100-continue"));
		if (i == 0)
			rig_answer(&r, 100, 0);
		else
			rig_say(&r, "a");
		RIG_UNTIL(r.client.is_shut);
		assert_int_equal(r.up.aborted, ERR_BODY_TIMEOUT);
		script_heard(&r.client);
		buf_fini(&r.up.got);
		rig_close(&r);
	}
}

static void ends_a_reader_that_stalls(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.timeouts.write_ms = 30;
	r.client.window = 20;
	rig_say(&r, GET);
	rig_answer(&r, 200, 100);
	rig_put(&r, "abc");
	RIG_UNTIL(r.closed);
	assert_int_equal(r.why, ERR_WRITE_TIMEOUT);
	rig_run(&r);
	assert_int_equal(r.up.aborted, ERR_WRITE_TIMEOUT);
	rig_close(&r);
}

/* Whatever the upstream goes on to say. */
static void ends_a_reader_that_takes_nothing(void **state)
{
	uint64_t begin_us;
	struct rig r;

	(void)state;
	rig_open(&r);
	r.timeouts.write_ms = 100;
	r.client.window = 0;
	rig_say(&r, GET);
	rig_answer(&r, 200, 1000);
	begin_us = loop_clock_us();
	while (!r.closed) {
		rig_put(&r, "x");
		rig_pass_ms(&r, 10);
		assert_true(loop_clock_us() - begin_us < 500000);
	}
	assert_int_equal(r.why, ERR_WRITE_TIMEOUT);
	rig_run(&r);
	rig_close(&r);
}

static void does_not_cut_a_slow_reader(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.timeouts.write_ms = 100;
	r.client.window = 20;
	rig_say(&r, GET);
	rig_answer(&r, 200, 3);
	rig_put(&r, "abc");
	for (int i = 0; i < 30; i++) {
		rig_pass_ms(&r, 10);
		script_accept(&r.client, 1);
	}
	assert_false(r.closed);
	script_accept(&r.client, 100);
	rig_end(&r);
	assert_heard(&r, ANSWER("3", "abc"));
	/* nor one whose upstream has nothing to say for a while */
	rig_say(&r, GET);
	rig_answer(&r, 200, 3);
	rig_pass_ms(&r, 200);
	rig_put(&r, "abc");
	rig_end(&r);
	assert_heard(&r, ANSWER("3", "abc"));
	rig_close(&r);
}

/* Behind an early answer: two seconds without progress. */
static void ends_lingering_without_progress(void **state)
{
	uint64_t begin_us;
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, "GET / HTTP/1.0" CR CR);
	rig_answer_all(&r, "");
	assert_true(r.client.is_shut);
	begin_us = loop_clock_us();
	RIG_UNTIL(r.closed);
	assert_in_range(loop_clock_us() - begin_us, 1900000, 3000000);
	assert_int_equal(r.why, ERR_OK);
	rig_close(&r);
}

/* What the stream still holds of the answer may leave slowly, but it must move. */
static void lingers_while_the_answer_leaves(void **state)
{
	struct rig r;

	(void)state;
	for (size_t last = 0; last <= 50; last += 50) {
		rig_open(&r);
		r.timeouts.write_ms = 1000;
		r.client.unsent = 50;
		rig_say(&r, "GET / HTTP/1.0" CR CR);
		rig_answer_all(&r, "");
		rig_pass_ms(&r, 2300);
		assert_false(r.closed);
		r.client.unsent = last; /* gone, or stuck */
		RIG_UNTIL(r.closed);
		script_heard(&r.client);
		rig_close(&r);
	}
}

/* And `linger` in all, whatever comes. */
static void ends_lingering_in_all(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.timeouts.linger_ms = 50;
	rig_say(&r, POST("Content-Length: 10000000"));
	rig_answer_all(&r, "");
	for (uint64_t begin_us = loop_clock_us(); !r.closed;) {
		assert_true(loop_clock_us() - begin_us < 2000000);
		script_say(&r.client, "x");
		loop_turn(1);
	}
	rig_close(&r);
}

/* ---- a client that goes ---- */

static void lets_go_of_a_reset_client(void **state)
{
	static const char *const before[] = {"", "GET / HT", GET, POST("Content-Length: 5") "123"};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		rig_open(&r);
		rig_say(&r, before[i]);
		script_break(&r.client);
		rig_run(&r);
		assert_true(r.closed);
		assert_int_equal(r.why, ERR_RESET);
		assert_int_equal(r.up.aborted, i >= 2 ? ERR_RESET : ERR_OK);
		buf_fini(&r.up.got);
		rig_close(&r);
	}
}

/* Also while nothing can be read, since the pipe is full. */
static void lets_go_of_a_reset_upload(void **state)
{
	static char data[200000];
	struct rig r;

	(void)state;
	rig_open(&r);
	r.up.hold = true;
	rig_say(&r, POST("Content-Length: 200000"));
	script_feed(&r.client, data, sizeof data);
	rig_run(&r);
	script_break(&r.client);
	rig_run(&r);
	assert_true(r.closed);
	assert_int_equal(r.up.aborted, ERR_RESET);
	rig_close(&r);
}

static void lets_go_of_a_client_that_cannot_be_written_to(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, GET);
	rig_answer(&r, 200, 100);
	r.client.end = ERR_RESET; /* found out by writing */
	rig_put(&r, "abc");
	rig_run(&r);
	assert_true(r.closed);
	assert_int_equal(r.up.aborted, ERR_RESET);
	rig_close(&r);
}

/* A half-closed client gets a quick answer. */
static void answers_a_half_closed_client(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	script_say(&r.client, GET);
	script_end(&r.client);
	rig_run(&r);
	rig_answer_all(&r, "abc");
	assert_heard(&r, ANSWER("3", "abc"));
	assert_true(r.closed);
	assert_int_equal(r.why, ERR_OK);
	rig_close(&r);
}

/* But within a second its upstream is free when there is none. */
static void lets_go_of_a_closed_client(void **state)
{
	uint64_t begin_us;
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, GET);
	script_end(&r.client);
	begin_us = loop_clock_us();
	RIG_UNTIL(r.up.aborts);
	assert_in_range(loop_clock_us() - begin_us, 500000, 1000000);
	assert_int_equal(r.up.aborted, ERR_GONE);
	assert_true(r.closed);
	rig_close(&r);
}

/* Also when its end came with its request. */
static void lets_go_of_a_client_that_said_all_at_once(void **state)
{
	uint64_t begin_us;
	struct rig r;

	(void)state;
	rig_open(&r);
	script_say(&r.client, POST("Content-Length: 3") "abc");
	script_end(&r.client);
	begin_us = loop_clock_us();
	rig_run(&r);
	assert_true(r.up.ended);
	assert_sleeps(&r);
	RIG_UNTIL(r.up.aborts);
	assert_in_range(loop_clock_us() - begin_us, 500000, 1000000);
	buf_fini(&r.up.got);
	rig_close(&r);
}

/* One that does not read is bounded by its own time. */
static void waits_for_a_half_closed_slow_reader(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.client.window = 5;
	script_say(&r.client, GET);
	script_end(&r.client);
	rig_run(&r);
	rig_answer_all(&r, "abc");
	rig_pass_ms(&r, 1700);
	assert_false(r.closed);
	script_accept(&r.client, 1000);
	rig_run(&r);
	assert_heard(&r, ANSWER("3", "abc"));
	rig_close(&r);
}

/* One that takes what it is sent is there, for as long as something is sent. */
static void streams_to_a_half_closed_client(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, GET);
	rig_answer(&r, 200, HEAD_LENGTH_UNKNOWN);
	script_end(&r.client);
	for (int i = 0; i < 4; i++) {
		rig_pass_ms(&r, 400);
		assert_false(r.closed);
		rig_put(&r, "x");
	}
	rig_end(&r);
	assert_true(r.closed);
	assert_heard(&r, "HTTP/1.1 200 x" CR "Transfer-Encoding: chunked" CR CR "1" CR "x" CR "1" CR "x" CR
			 "1" CR "x" CR "1" CR "x" CR "0" CR CR);
	rig_close(&r);
}

static void forgets_half_a_head(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, "GET / HTTP/1.1" CR "Ho");
	script_end(&r.client);
	rig_run(&r);
	assert_heard(&r, "");
	assert_true(r.closed);
	assert_int_equal(r.up.heads, 0);
	rig_close(&r);
}

static void ends_in_order(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.up.on_head = rig_echo_path;
	rig_say(&r, GET);
	script_end(&r.client);
	rig_run(&r);
	assert_true(r.closed);
	assert_int_equal(r.why, ERR_OK);
	script_heard(&r.client);
	rig_close(&r);
}

/* A body that the close ends must not seem whole when it is not: the client sees a reset. */
static void resets_a_body_that_the_close_would_end(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	int l = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0), peer;
	struct stream *s;
	struct rig r;
	char got[256];
	size_t n = 0;
	ssize_t got_n;

	(void)state;
	assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	peer = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(peer >= 0);
	close(l);

	rig_open(&r);
	h1s_abort(r.c, ERR_DRAIN);
	r.closed = 0;
	s = stream_new(peer);
	assert_non_null(s);
	r.c = h1s_open(s, &r.host);
	assert_int_equal(write(fd, "GET / HTTP/1.0" CR CR, 18), 18);
	RIG_UNTIL(r.up.heads);
	rig_answer(&r, 200, HEAD_LENGTH_UNKNOWN);
	rig_put(&r, "abc");
	rig_run(&r);
	while (n < strlen("HTTP/1.1 200 x" CR "Connection: close" CR CR "abc")) {
		got_n = read(fd, got + n, sizeof got - n);
		assert_true(got_n > 0);
		n += (size_t)got_n;
	}
	x_abort(&r.up.e, ERR_UP_RESET);
	rig_run(&r);
	assert_true(r.closed);
	assert_int_equal(read(fd, got, sizeof got), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
	rig_close(&r);
}

/* ---- tunnels ---- */

#define UPGRADE                                                                                              \
	"GET /ws HTTP/1.1" CR "Host: a" CR "Connection: upgrade" CR "Upgrade: websocket" CR                  \
	"Sec-WebSocket-Key: k" CR CR
#define UPGRADED "HTTP/1.1 101 x" CR "Connection: upgrade" CR "Upgrade: websocket" CR CR

static void open_tunnel(struct rig *r)
{
	x_open_tunnel(&r->up.e);
	r->up.ended = false;
	rig_answer(r, 101, 0);
	rig_run(r);
}

static void tunnels_both_ways(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, UPGRADE "sent ahead");
	assert_true(r.up.head->websocket);
	assert_body(&r, "");
	open_tunnel(&r);
	assert_heard(&r, UPGRADED);
	assert_body(&r, "sent ahead");
	rig_say(&r, GET);
	assert_body(&r, GET);
	rig_put(&r, "down");
	rig_run(&r);
	assert_heard(&r, "down");
	assert_int_equal(r.begun, 1);
	rig_close(&r);
}

/* Each direction ends by itself. */
static void half_closes_tunnels(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, UPGRADE);
	open_tunnel(&r);
	script_heard(&r.client);
	rig_say(&r, "last");
	script_end(&r.client);
	rig_run(&r);
	assert_true(r.up.ended);
	assert_body(&r, "last");
	assert_false(r.closed);
	rig_put(&r, "answer");
	rig_run(&r);
	assert_heard(&r, "answer");
	rig_end(&r);
	assert_true(r.client.is_shut);
	assert_true(r.closed);
	assert_int_equal(r.why, ERR_OK);
	rig_close(&r);

	rig_open(&r);
	rig_say(&r, UPGRADE);
	open_tunnel(&r);
	script_heard(&r.client);
	rig_put(&r, "last");
	x_end(&r.up.e);
	rig_run(&r);
	assert_heard(&r, "last");
	assert_true(r.client.is_shut);
	assert_false(r.closed);
	script_say(&r.client, "more");
	script_hang_up(&r.client);
	rig_run(&r);
	assert_body(&r, "more");
	assert_true(r.up.ended);
	assert_true(r.closed);
	rig_close(&r);
}

static void breaks_tunnels(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, UPGRADE);
	open_tunnel(&r);
	script_break(&r.client);
	rig_run(&r);
	assert_true(r.closed);
	assert_int_equal(r.up.aborted, ERR_RESET);
	script_heard(&r.client);
	rig_close(&r);

	rig_open(&r);
	rig_say(&r, UPGRADE);
	open_tunnel(&r);
	rig_put(&r, "x");
	x_abort(&r.up.e, ERR_UP_RESET);
	rig_run(&r);
	assert_heard(&r, UPGRADED "x");
	assert_true(r.closed);
	assert_false(r.client.is_shut);
	rig_close(&r);
}

static void ends_idle_tunnels(void **state)
{
	uint64_t begin_us;
	struct rig r;

	(void)state;
	rig_open(&r);
	r.timeouts.tunnel_idle_ms = 100;
	rig_say(&r, UPGRADE);
	open_tunnel(&r);
	begin_us = loop_clock_us();
	while (loop_clock_us() - begin_us < 300000) { /* bytes either way keep it */
		script_say(&r.client, "x");
		loop_turn(10);
		assert_false(r.closed);
		test_end_words(&r.up);
	}
	while (loop_clock_us() - begin_us < 600000) {
		rig_put(&r, "x");
		loop_turn(10);
		assert_false(r.closed);
	}
	RIG_UNTIL(r.closed);
	assert_int_equal(r.why, ERR_TUNNEL_TIMEOUT);
	rig_run(&r);
	buf_fini(&r.up.got);
	script_heard(&r.client);
	rig_close(&r);
}

static void tunnels_without_room(void **state)
{
	static char data[200000];
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, UPGRADE);
	open_tunnel(&r);
	r.up.hold = true;
	script_feed(&r.client, data, sizeof data);
	rig_run(&r);
	assert_int_equal(x_fill(&r.up.e), limits_default.pipe_bytes);
	assert_sleeps(&r);
	r.up.hold = false;
	test_end_take(&r.up, SIZE_MAX);
	RIG_UNTIL(buf_len(&r.up.got) == sizeof data);
	buf_fini(&r.up.got);
	script_heard(&r.client);
	rig_close(&r);
}

/* What came with the request, into a pipe that takes less. */
static void tunnels_what_was_sent_ahead(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, UPGRADE "0123456789");
	r.up.e.x->pipe[X_UP].cap = 4;
	r.up.hold = true;
	open_tunnel(&r);
	rig_say(&r, "abcdefghij");
	for (int i = 0; i < 20; i++) {
		assert_in_range(x_fill(&r.up.e), 1, 4);
		test_end_take(&r.up, 1);
		rig_run(&r);
	}
	assert_body(&r, "0123456789abcdefghij");
	script_heard(&r.client);
	rig_close(&r);
}

/* After a refused upgrade the connection is plain HTTP again (RFC 9110 section 7.8). */
static void goes_on_after_a_refused_upgrade(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	r.up.on_head = rig_echo_path;
	rig_say(&r, UPGRADE GET);
	assert_heard(&r, ANSWER("3", "/ws") ANSWER("1", "/"));
	rig_close(&r);
}

/* ---- draining ---- */

static void drains(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r); /* idle */
	h1s_drain(r.c);
	rig_run(&r);
	assert_false(r.client.is_shut);
	RIG_UNTIL(r.client.is_shut);
	script_end(&r.client);
	rig_run(&r);
	assert_true(r.closed);
	rig_close(&r);

	rig_open(&r); /* a request in progress */
	rig_say(&r, GET);
	h1s_drain(r.c);
	rig_run(&r);
	assert_false(r.client.is_shut);
	rig_answer_all(&r, "a");
	assert_heard(&r, LAST("1", "a"));
	assert_true(r.client.is_shut);
	rig_close(&r);

	rig_open(&r); /* whose head is written already */
	rig_say(&r, GET GET);
	rig_answer(&r, 200, 1);
	rig_run(&r);
	h1s_drain(r.c);
	rig_put(&r, "a");
	rig_end(&r);
	rig_run(&r);
	rig_answer_all(&r, "b");
	assert_heard(&r, ANSWER("1", "a") LAST("1", "b"));
	assert_true(r.client.is_shut);
	rig_close(&r);

	rig_open(&r); /* whose request was on its way */
	h1s_drain(r.c);
	rig_say(&r, GET GET);
	rig_answer_all(&r, "a");
	assert_heard(&r, LAST("1", "a"));
	assert_true(r.client.is_shut);
	assert_int_equal(r.begun, 1);
	rig_close(&r);

	rig_open(&r); /* the worker says so */
	r.draining = true;
	r.up.on_head = rig_echo_path;
	rig_say(&r, GET);
	assert_heard(&r, LAST("1", "/"));
	rig_close(&r);

	rig_open(&r); /* a tunnel goes on */
	rig_say(&r, UPGRADE);
	open_tunnel(&r);
	h1s_drain(r.c);
	rig_say(&r, "x");
	assert_body(&r, "x");
	assert_false(r.client.is_shut);
	script_heard(&r.client);
	rig_close(&r);
}

static void aborts(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	rig_say(&r, GET);
	h1s_abort(r.c, ERR_DRAIN);
	rig_run(&r);
	assert_true(r.closed);
	assert_int_equal(r.up.aborted, ERR_DRAIN);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_an_idle_connection),
		cmocka_unit_test(ends_a_dripping_head),
		cmocka_unit_test(gives_a_head_its_whole_time),
		cmocka_unit_test(ends_a_stalled_body),
		cmocka_unit_test(does_not_cut_a_slow_body),
		cmocka_unit_test(ends_a_body_that_stalls_after_100_continue),
		cmocka_unit_test(ends_a_reader_that_stalls),
		cmocka_unit_test(ends_a_reader_that_takes_nothing),
		cmocka_unit_test(does_not_cut_a_slow_reader),
		cmocka_unit_test(ends_lingering_without_progress),
		cmocka_unit_test(lingers_while_the_answer_leaves),
		cmocka_unit_test(ends_lingering_in_all),
		cmocka_unit_test(lets_go_of_a_reset_client),
		cmocka_unit_test(lets_go_of_a_reset_upload),
		cmocka_unit_test(lets_go_of_a_client_that_cannot_be_written_to),
		cmocka_unit_test(answers_a_half_closed_client),
		cmocka_unit_test(lets_go_of_a_closed_client),
		cmocka_unit_test(lets_go_of_a_client_that_said_all_at_once),
		cmocka_unit_test(waits_for_a_half_closed_slow_reader),
		cmocka_unit_test(streams_to_a_half_closed_client),
		cmocka_unit_test(forgets_half_a_head),
		cmocka_unit_test(ends_in_order),
		cmocka_unit_test(resets_a_body_that_the_close_would_end),
		cmocka_unit_test(tunnels_both_ways),
		cmocka_unit_test(half_closes_tunnels),
		cmocka_unit_test(breaks_tunnels),
		cmocka_unit_test(ends_idle_tunnels),
		cmocka_unit_test(tunnels_without_room),
		cmocka_unit_test(tunnels_what_was_sent_ahead),
		cmocka_unit_test(goes_on_after_a_refused_upgrade),
		cmocka_unit_test(drains),
		cmocka_unit_test(aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
