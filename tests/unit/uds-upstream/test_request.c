/* How a request goes up: head, body, both ways at once, answers that come early, Expect. */
#include "tests/unit/uds-upstream/rig.h"

/* ---- what is written ---- */

static void a_request_is_fresh_http11(void **state)
{
	struct test_end t;
	struct head *h = client_begin(&t, "GET", "/a?b=c");
	int fd;

	(void)state;
	h->length = 0;
	h->minor = 0;
	head_add(&t.e.x->arena, h, STR("X-One"), STR("1"));
	head_add(&t.e.x->arena, h, STR("x-two"), STR("2"))->removed = true;
	x_head(&t.e, h);
	x_end(&t.e);
	fd = peer_accept();
	assert_string_equal(peer_read_head(fd), "GET /a?b=c HTTP/1.1\r\nHost: test\r\nX-One: 1\r\n\r\n");
	peer_sees_nothing(fd);
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t, 204, "");
	close(fd);
}

static void a_head_and_its_first_bytes_leave_in_one_turn(void **state)
{
	struct test_end t;
	int fd;

	(void)state;
	client_post(&t, 10);
	x_put(&t.e, "first", 5);
	x_put(&t.e, "later", 5);
	x_end(&t.e);
	loop_turn(0);
	fd = peer_try_accept();
	assert_true(fd >= 0);
	assert_string_equal(peer_read_until(fd, "firstlater"),
			    "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nfirstlater");
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t, 204, "");
	close(fd);
}

static void a_body_of_unknown_length_goes_chunked(void **state)
{
	struct test_end t;
	struct head *trailers;
	int fd = rig_posted(&t, HEAD_LENGTH_UNKNOWN);

	(void)state;
	for (int i = 0; i < 3; i++) {
		x_put(&t.e, "bytes", 5);
		loop_turn(0);
		assert_string_equal(peer_read_until(fd, "bytes\r\n"), "5\r\nbytes\r\n");
	}
	trailers = head_new(&t.e.x->arena, HEAD_TRAILERS);
	head_add(&t.e.x->arena, trailers, STR("Sum"), STR("15"));
	x_head(&t.e, trailers);
	x_end(&t.e);
	assert_string_equal(peer_read_head(fd), "0\r\nSum: 15\r\n\r\n");
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t, 204, "");
	rig_get_on(fd);
	close(fd);
}

/* Trailers and END that were told while the connection was still being made. */
static void what_was_told_before_the_connection_goes_with_it(void **state)
{
	struct test_end t;
	struct head *trailers;
	int fd;

	(void)state;
	client_post(&t, HEAD_LENGTH_UNKNOWN);
	x_put(&t.e, "all", 3);
	trailers = head_new(&t.e.x->arena, HEAD_TRAILERS);
	head_add(&t.e.x->arena, trailers, STR("A"), STR("b"));
	x_head(&t.e, trailers);
	x_end(&t.e);
	fd = peer_accept();
	peer_read_head(fd);
	assert_string_equal(peer_read_head(fd), "3\r\nall\r\n0\r\nA: b\r\n\r\n");
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t, 204, "");
	close(fd);
}

/* More pieces than go into one system call: the last chunk is not told before all of them. */
static void a_large_pipe_is_sent_whole(void **state)
{
	enum { BODY = 600 * 1024 };
	static const struct h1_limits limits = { 16384, 65536, 100, 16384, 16384 };
	static char in[65536];
	struct arena arena;
	struct h1_body body;
	struct test_end t;
	size_t got = 0, kept = 0;
	int fd;

	(void)state;
	rig.pipe_bytes = 1024 * 1024;
	client_post(&t, HEAD_LENGTH_UNKNOWN);
	for (size_t put = 0; put < BODY;)
		put += rig_put_zeros(&t, BODY - put);
	x_end(&t.e);
	fd = peer_accept();
	peer_read_head(fd);
	arena_init(&arena);
	h1_body_init(&body, H1_REQUEST, H1_CHUNKED, 0, &limits, &arena);
	while (!body.done) {
		ssize_t r = -1, used;
		struct str payload;
		size_t at = 0;

		UNTIL((r = recv(fd, in + kept, sizeof in - kept, 0)) > 0);
		kept += (size_t)r;
		while ((used = h1_body_decode(&body, in + at, kept - at, &payload)) > 0) {
			at += (size_t)used;
			got += payload.n;
		}
		assert_int_equal(used, 0);
		kept -= at;
		memmove(in, in + at, kept);
	}
	arena_fini(&arena);
	assert_int_equal(got, BODY);
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t, 204, "");
	close(fd);
}

/* ---- both ways, through pipes much smaller than what goes through them ---- */

enum { MANY = 10 * 1024 * 1024 };

struct both_ways {
	struct test_end t;
	size_t put, got;
};

static unsigned char byte_at(size_t i)
{
	return (unsigned char)((i * 2654435761u) >> 13);
}

static void put_more(struct test_end *t)
{
	struct both_ways *b = container_of(t, struct both_ways, t);
	unsigned char bytes[4096];
	size_t n;

	while (b->put < MANY && (n = x_room(&t->e, MIN(sizeof bytes, MANY - b->put)))) {
		for (size_t i = 0; i < n; i++)
			bytes[i] = byte_at(b->put + i);
		x_put(&t->e, bytes, n);
		b->put += n;
		if (b->put == MANY)
			x_end(&t->e);
	}
	t->len = 0;
}

static void check_more(struct test_end *t)
{
	struct both_ways *b = container_of(t, struct both_ways, t);
	unsigned char bytes[4096];
	size_t n;

	while ((n = buf_copy(&t->got, bytes, sizeof bytes))) {
		for (size_t i = 0; i < n; i++)
			assert_int_equal(bytes[i], byte_at(b->got + i));
		b->got += n;
		buf_drop(&t->got, n);
	}
	t->len = 0;
}

/* The peer: sends back what it gets, decoded and framed anew, without ever holding more than a little. */
static void echo(int fd, bool chunked, struct both_ways *b)
{
	static const struct h1_limits limits = { 16384, 65536, 100, 16384, 16384 };
	static char in[8192];
	struct arena arena;
	struct h1_body body;
	struct buf out;
	size_t kept = 0;
	bool ended = false;
	uint64_t end_ms = rig_now_ms() + 60 * 1000;

	arena_init(&arena);
	buf_init(&out);
	h1_body_init(&body, H1_REQUEST, chunked ? H1_CHUNKED : H1_LENGTH, MANY, &limits, &arena);
	while (!b->t.ended) {
		struct iovec iov[4];
		ssize_t r;

		assert_true(rig_now_ms() < end_ms);
		assert_int_equal(b->t.aborted, ERR_OK);
		r = buf_len(&out) < 65536 && !body.done ? recv(fd, in + kept, sizeof in - kept, 0) : -1;
		assert_int_not_equal(r, 0);
		for (size_t n = kept + (r > 0 ? (size_t)r : 0), at = 0; r > 0;) {
			struct str payload;
			ssize_t used = h1_body_decode(&body, in + at, n - at, &payload);
			char line[24];

			assert_true(used >= 0);
			if (payload.n) {
				snprintf(line, sizeof line, "%zx\r\n", payload.n);
				if (chunked)
					buf_put_str(&out, str_from_c(line));
				buf_put_str(&out, payload);
				if (chunked)
					buf_put_str(&out, STR("\r\n"));
			}
			at += (size_t)used;
			if (used == 0 || at == n) {
				memmove(in, in + at, n - at);
				kept = n - at;
				break;
			}
		}
		if (body.done && !ended) {
			ended = true;
			if (chunked)
				buf_put_str(&out, STR("0\r\n\r\n"));
		}
		if (buf_len(&out)) {
			r = writev(fd, iov, buf_peek(&out, SIZE_MAX, iov, ARRAY_SIZE(iov)));
			if (r > 0)
				buf_drop(&out, (size_t)r);
		}
		loop_turn(0);
	}
	buf_fini(&out);
	arena_fini(&arena);
}

static void go_both_ways(bool chunked, size_t pipe_bytes)
{
	struct both_ways b = { .put = 0 };
	int fd;

	rig.pipe_bytes = pipe_bytes;
	client_post(&b.t, chunked ? HEAD_LENGTH_UNKNOWN : MANY);
	b.t.on_room = put_more;
	b.t.on_data = check_more;
	put_more(&b.t);
	fd = peer_accept();
	peer_read_head(fd);
	peer_send(fd, "HTTP/1.1 200 OK\r\n");
	peer_send(fd, chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "Content-Length: 10485760\r\n\r\n");
	echo(fd, chunked, &b);
	assert_int_equal(b.put, MANY);
	assert_int_equal(b.got, MANY);
	client_gets(&b.t, 200, NULL);
	assert_int_equal(slab_count(), 0);
	assert_int_equal(rig.facts.request_bytes, MANY);
	assert_int_equal(rig.facts.response_bytes, MANY);
	rig_get_on(fd);
	close(fd);
	UNTIL(up_count() == 0);
}

static void ten_mebibytes_both_ways(void **state)
{
	(void)state;
	go_both_ways(false, 64 * 1024);
	go_both_ways(true, 64 * 1024);
	go_both_ways(false, 700);
	go_both_ways(true, 700);
}

/* ---- answers before the request was read ---- */

static const char too_large[] = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno";
static const char too_large_close[] = "HTTP/1.0 413 Content Too Large\r\n\r\nno";

static void an_early_answer_is_delivered(void **state)
{
	static const char *const answers[] = { too_large, too_large_close };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		for (int closes = 0; closes < 2; closes++) {
			struct test_end t;
			int fd = rig_posted(&t, 100 * 1024 * 1024);

			while (rig_put_zeros(&t, SIZE_MAX))
				loop_turn(0);
			peer_send(fd, answers[i]);
			/* whether it closes with our bytes unread, or waits for us to stop */
			if (closes || i == 1)
				close(fd);
			client_gets(&t, 413, "no");
			assert_int_equal(up_count(), 0);
			if (!closes && i == 0)
				peer_drain(fd);
			assert_int_equal(rig.facts.error, ERR_OK);
		}
	}
}

/* Whether the answer is seen before the write that fails or behind it: the client gets the answer. */
static void an_answer_behind_a_failed_write_is_delivered(void **state)
{
	(void)state;
	for (int kept = 0; kept < 2; kept++) {
		for (int late = 0; late < 2; late++) {
			struct test_end t;
			int fd = kept ? rig_get_new() : -1;

			client_post(&t, 100 * 1024 * 1024);
			if (!kept)
				fd = peer_accept();
			peer_read_head(fd);
			rig_settle();
			if (late) {
				rig.last_words = too_large;
				peer_close_late(fd);
				rig_put_zeros(&t, 1000);
			} else {
				rig_put_zeros(&t, 1000);
				peer_send(fd, too_large);
				close(fd);
			}
			client_gets(&t, 413, "no");
			assert_int_equal(rig.facts.error, ERR_OK);
			assert_int_equal(up_count(), 0);
		}
	}
}

static void an_upstream_that_no_longer_reads_may_still_answer(void **state)
{
	struct test_end t;
	int fd = rig_posted(&t, 100 * 1024 * 1024);

	(void)state;
	shutdown(fd, SHUT_RD);
	for (int i = 0; i < 3; i++) {
		rig_put_zeros(&t, 1000);
		rig_settle();
	}
	assert_int_equal(t.aborts + t.heads, 0);
	peer_send(fd, too_large);
	client_gets(&t, 413, "no");
	assert_int_equal(up_count(), 0);
	peer_drain(fd);
}

static void an_answer_while_the_body_goes_on_does_not_stop_it(void **state)
{
	struct test_end t;
	int fd = rig_posted(&t, 10);

	(void)state;
	peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
	UNTIL(buf_len(&t.got) == 1);
	x_put(&t.e, "0123456789", 10);
	x_end(&t.e);
	peer_read_until(fd, "0123456789");
	peer_send(fd, "k");
	client_gets(&t, 200, "ok");
	rig_get_on(fd);
	close(fd);
}

/* ---- Expect: 100-continue (RFC 9110 section 10.1.1) ---- */

static int expecting(struct test_end *t)
{
	struct head *h = client_begin(t, "POST", "/");
	int fd;

	h->length = 4;
	h->expect_continue = true;
	head_add_id(&t->e.x->arena, h, FIELD_EXPECT, STR("100-continue"));
	x_head(&t->e, h);
	fd = peer_accept();
	assert_non_null(strstr(peer_read_head(fd), "expect: 100-continue\r\n"));
	return fd;
}

static void the_upstreams_100_passes_once(void **state)
{
	struct test_end t;
	int fd = expecting(&t);

	(void)state;
	peer_send(fd, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
	UNTIL(t.heads == 1);
	assert_int_equal(t.head->status, 100);
	x_put(&t.e, "body", 4);
	x_end(&t.e);
	peer_read_until(fd, "body");
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	UNTIL(t.ended);
	assert_string_equal(test_end_words(&t), "H100 H204 END");
	client_gets(&t, 204, "");
	rig_get_on(fd);
	close(fd);
}

static void without_a_100_we_tell_one(void **state)
{
	struct test_end t;
	uint64_t begin_ms = rig_now_ms();
	int fd = expecting(&t);

	(void)state;
	UNTIL(t.heads == 1);
	assert_in_range(rig_now_ms() - begin_ms, 990, 3000);
	assert_int_equal(t.head->status, 100);
	assert_int_equal(t.head->kind, HEAD_INTERIM);
	x_put(&t.e, "body", 4);
	x_end(&t.e);
	/* the upstream's own comes late */
	peer_send(fd, "HTTP/1.1 100 Continue\r\n\r\n");
	peer_read_until(fd, "body");
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	UNTIL(t.ended);
	assert_string_equal(test_end_words(&t), "H100 H204 END");
	client_gets(&t, 204, "");
	close(fd);
}

static void a_final_answer_instead_of_100_passes(void **state)
{
	struct test_end t;
	int fd = expecting(&t);

	(void)state;
	peer_send(fd, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
	UNTIL(t.ended);
	assert_string_equal(test_end_words(&t), "H417 END");
	client_gets(&t, 417, "");
	/* its body was never sent: nothing else can follow on that connection */
	peer_sees_end(fd);
}

/* A client that does not wait gets no 100 from us. */
static void a_body_that_comes_anyway_needs_no_100(void **state)
{
	struct test_end t;
	uint64_t end_ms;
	int fd = expecting(&t);

	(void)state;
	x_put(&t.e, "body", 4);
	x_end(&t.e);
	peer_read_until(fd, "body");
	end_ms = rig_now_ms() + 1200;
	UNTIL(rig_now_ms() > end_ms);
	assert_int_equal(t.heads, 0);
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t, 204, "");
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		RIG_TEST(a_request_is_fresh_http11),
		RIG_TEST(a_head_and_its_first_bytes_leave_in_one_turn),
		RIG_TEST(a_body_of_unknown_length_goes_chunked),
		RIG_TEST(what_was_told_before_the_connection_goes_with_it),
		RIG_TEST_TCP(what_was_told_before_the_connection_goes_with_it),
		RIG_TEST(a_large_pipe_is_sent_whole),
		RIG_TEST_TCP(a_large_pipe_is_sent_whole),
		RIG_TEST(ten_mebibytes_both_ways),
		RIG_TEST_TCP(ten_mebibytes_both_ways),
		RIG_TEST(an_early_answer_is_delivered),
		RIG_TEST(an_answer_behind_a_failed_write_is_delivered),
		RIG_TEST_TCP(an_answer_behind_a_failed_write_is_delivered),
		RIG_TEST(an_upstream_that_no_longer_reads_may_still_answer),
		RIG_TEST(an_answer_while_the_body_goes_on_does_not_stop_it),
		RIG_TEST(the_upstreams_100_passes_once),
		RIG_TEST(without_a_100_we_tell_one),
		RIG_TEST(a_final_answer_instead_of_100_passes),
		RIG_TEST(a_body_that_comes_anyway_needs_no_100),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
