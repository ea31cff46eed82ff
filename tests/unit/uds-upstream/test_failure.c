/* What is sent again and what is not, who is absent, how long anything is waited for, a client that goes. */
#include "tests/unit/uds-upstream/rig.h"
#include "uds-upstream/priv.h"

/* ---- again, or not ---- */

static void a_lost_get_is_sent_again_once(void **state)
{
	struct test_end t;
	int fd;

	(void)state;
	rig.may_retry = true;
	client_ask(&t, "GET", "/");
	fd = peer_accept();
	peer_read_head(fd);
	close(fd);
	fd = peer_accept();
	assert_string_equal(peer_read_head(fd), "GET / HTTP/1.1\r\nHost: test\r\n\r\n");
	close(fd);
	client_gets_error(&t, ERR_UP_CLOSED);
	peer_accepts_none();
	assert_int_equal(rig.facts.sends, 2);
	assert_int_equal(rig.facts.tries, 2);
}

/* Not at once: the listener of a process that is dying leads nowhere. */
static void a_lost_get_rests_before_it_is_sent_again(void **state)
{
	struct test_end t;
	uint64_t lost_ms;
	int fd, again;

	(void)state;
	rig.may_retry = true;
	fd = rig_asked(&t, "GET");
	close(fd);
	lost_ms = rig_now_ms();
	UNTIL(rig.retries == 1);
	peer_accepts_none();
	fd = peer_accept();
	assert_in_range(rig_now_ms() - lost_ms, UP_REST_MS - 1, UP_REST_MS + 500);
	peer_read_head(fd);
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t, 204, "");
	close(fd);
	/* but when the target answers on a newer connection */
	fd = rig_asked(&t, "GET");
	close(fd);
	UNTIL(rig.retries == 2);
	lost_ms = rig_now_ms();
	UNTIL(rig_now_ms() > lost_ms + 2);
	fd = rig_get_new();
	assert_int_equal(rig.finished, 2);
	again = peer_accept();
	assert_in_range(rig_now_ms() - lost_ms, 0, UP_REST_MS - 50);
	peer_read_head(again);
	peer_send(again, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t, 204, "");
	close(again);
	close(fd);
	UNTIL(up_count() == 0);
	/* a client that goes meanwhile leaves nothing behind */
	fd = rig_asked(&t, "GET");
	close(fd);
	UNTIL(rig.retries == 3);
	client_leave(&t);
	rig_settle();
	assert_int_equal(rig.target->nconns, 0);
	peer_accepts_none();
}

static void a_post_is_never_sent_twice(void **state)
{
	(void)state;
	rig.may_retry = true;
	for (int kept = 0; kept < 2; kept++) {
		struct test_end t;
		int fd = kept ? rig_get_new() : -1;

		client_post(&t, 4);
		x_put(&t.e, "body", 4);
		x_end(&t.e);
		if (!kept)
			fd = peer_accept();
		peer_read_until(fd, "\r\n\r\nbody");
		close(fd);
		client_gets_error(&t, kept ? ERR_UP_STALE : ERR_UP_CLOSED);
		peer_accepts_none();
	}
	assert_int_equal(rig.retries, 0);
}

/* The same when only the head was sent, and nothing of the body. */
static void a_post_whose_head_was_sent_is_not_sent_again(void **state)
{
	struct test_end t;
	int fd = rig_get_new();

	(void)state;
	rig.may_retry = true;
	client_post(&t, 4);
	peer_read_head(fd);
	close(fd);
	client_gets_error(&t, ERR_UP_STALE);
	peer_accepts_none();
}

static void a_get_is_not_sent_again_once_bytes_came(void **state)
{
	static const char *const bytes[] = { "H", "HTTP/1.1 103 Early Hints\r\n\r\n" };

	(void)state;
	rig.may_retry = true;
	for (size_t i = 0; i < ARRAY_SIZE(bytes); i++) {
		for (int kept = 0; kept < 2; kept++) {
			struct test_end t;
			int fd = kept ? rig_get_new() : -1;

			client_ask(&t, "GET", "/");
			if (!kept)
				fd = peer_accept();
			peer_read_head(fd);
			peer_send(fd, bytes[i]);
			close(fd);
			client_gets_error(&t, ERR_UP_CLOSED);
			peer_accepts_none();
		}
	}
}

static void a_get_is_not_sent_again_once_its_body_was_taken(void **state)
{
	struct test_end t;
	struct head *h = client_begin(&t, "GET", "/");
	int fd;

	(void)state;
	rig.may_retry = true;
	h->length = 8;
	x_head(&t.e, h);
	x_put(&t.e, "body", 4);
	fd = peer_accept();
	peer_read_until(fd, "\r\n\r\nbody");
	close(fd);
	client_gets_error(&t, ERR_UP_CLOSED);
	peer_accepts_none();
}

static void nothing_is_sent_again_after_the_ride_out(void **state)
{
	struct test_end t;
	int fd;

	(void)state;
	rig.may_retry = true;
	rig.x_timeouts.ride_out_ms = 20;
	fd = rig_asked(&t, "GET");
	UNTIL(loop_clock_us() - t.e.x->facts.begin_us > 20 * 1000);
	close(fd);
	client_gets_error(&t, ERR_UP_CLOSED);
	peer_accepts_none();
}

static void a_malformed_answer_is_not_asked_for_again(void **state)
{
	struct test_end t;
	int fd;

	(void)state;
	rig.may_retry = true;
	fd = rig_asked(&t, "GET");
	peer_send(fd, "garbage\r\n");
	client_gets_error(&t, ERR_UP_BAD_HEAD);
	peer_sees_end(fd);
	peer_accepts_none();
}

/* ---- absent ---- */

static void an_absent_upstream_is_503_and_its_return_is_noticed(void **state)
{
	struct test_end t;

	(void)state;
	rig.may_retry = true;
	rig_unlisten();
	client_ask(&t, "GET", "/");
	client_gets_error(&t, ERR_UP_ABSENT);
	client_ask(&t, "HEAD", "/");
	client_gets_error(&t, ERR_UP_ABSENT);
	/* a large upload gets its answer, and what it still puts is dropped */
	client_post(&t, 100 * 1024 * 1024);
	rig_put_zeros(&t, SIZE_MAX);
	client_gets_error(&t, ERR_UP_ABSENT);
	assert_int_equal(rig.facts.tries, 1);
	assert_int_equal(rig.facts.sends, 0);
	rig_listen();
	close(rig_get_new());
}

static void a_socket_without_a_listener_is_503(void **state)
{
	struct test_end t;

	(void)state;
	close(rig.listener);
	rig.listener = -1;
	client_ask(&t, "GET", "/");
	client_gets_error(&t, ERR_UP_REFUSED);
}

/* ---- time ---- */

static void connecting_is_bounded(void **state)
{
	struct test_end t;
	int fds[8], n = 0;

	(void)state;
	/* with a full backlog, the kernel lets a TCP connect hang */
	assert_int_equal(listen(rig.listener, 0), 0);
	for (; n < 4; n++) {
		fds[n] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		assert_true(connect(fds[n], &rig.address.sa, rig.address.len) < 0);
	}
	rig.x_timeouts.upstream_connect_ms = 50;
	client_ask(&t, "GET", "/");
	client_gets_error(&t, ERR_UP_CONNECT_TIMEOUT);
	assert_int_equal(up_count(), 0);
	while (n)
		close(fds[--n]);
}

static void an_answer_that_does_not_come_is_504(void **state)
{
	struct test_end t;
	uint64_t begin_ms = rig_now_ms();
	int fd;

	(void)state;
	rig.may_retry = true;
	rig.x_timeouts.upstream_response_ms = 100;
	fd = rig_asked(&t, "GET");
	/* interim heads and half a head do not make it longer */
	for (int i = 0; i < 20 && !t.ended; i++) {
		if (send(fd, "HTTP/1.1 102 Processing\r\n\r\n", 27, MSG_NOSIGNAL) < 0)
			break;
		loop_turn(10);
	}
	client_gets_error(&t, ERR_UP_RESPONSE_TIMEOUT);
	assert_in_range(rig_now_ms() - begin_ms, 95, 1000);
	peer_sees_end(fd);
	peer_accepts_none();
}

static void an_upstream_that_does_not_read_is_504(void **state)
{
	struct test_end t;
	int fd;

	(void)state;
	rig.x_timeouts.upstream_response_ms = 100;
	fd = rig_posted(&t, 100 * 1024 * 1024);
	while (!t.heads) {
		rig_put_zeros(&t, SIZE_MAX);
		loop_turn(5);
	}
	client_gets_error(&t, ERR_UP_RESPONSE_TIMEOUT);
	peer_drain(fd);
}

/* The upstream is not to blame for a client that sends nothing, nor for a slow one. */
static void a_slow_upload_is_not_cut(void **state)
{
	struct test_end t;
	uint64_t begin_ms;
	int fd;

	(void)state;
	rig.x_timeouts.upstream_response_ms = 40;
	fd = rig_posted(&t, 10);
	begin_ms = rig_now_ms();
	for (int i = 0; i < 10; i++) {
		uint64_t next_ms = rig_now_ms() + (i == 5 ? 120 : 20);

		UNTIL(rig_now_ms() > next_ms);
		x_put(&t.e, "x", 1);
	}
	x_end(&t.e);
	peer_read_until(fd, "xxxxxxxxxx");
	assert_true(rig_now_ms() - begin_ms > 200);
	assert_int_equal(t.heads, 0);
	client_gets_error(&t, ERR_UP_RESPONSE_TIMEOUT);
	peer_sees_end(fd);
}

static void a_body_that_stops_is_cut(void **state)
{
	struct test_end t;
	uint64_t begin_ms = rig_now_ms();
	int fd;

	(void)state;
	rig.x_timeouts.upstream_idle_ms = 60;
	fd = rig_asked(&t, "GET");
	peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
	client_loses(&t, ERR_UP_IDLE_TIMEOUT);
	peer_sees_end(fd);

	begin_ms = rig_now_ms();
	fd = rig_asked(&t, "GET");
	peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
	for (int i = 0; i < 10; i++) {
		uint64_t next_ms = rig_now_ms() + 20;

		UNTIL(rig_now_ms() > next_ms);
		peer_send(fd, "x");
	}
	assert_true(rig_now_ms() - begin_ms > 200);
	client_loses(&t, ERR_UP_IDLE_TIMEOUT);
	peer_sees_end(fd);
}

static void a_client_that_does_not_read_is_not_the_upstreams_fault(void **state)
{
	static char body[128 * 1024];
	struct test_end t;
	uint64_t end_ms;
	size_t sent = 0;
	int fd;

	(void)state;
	rig.x_timeouts.upstream_idle_ms = 40;
	rig.pipe_bytes = 4096;
	fd = rig_asked(&t, "GET");
	t.hold = true;
	peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 131072\r\n\r\n");
	end_ms = rig_now_ms() + 200;
	while (rig_now_ms() < end_ms) {
		ssize_t r = send(fd, body + sent, sizeof body - sent, MSG_NOSIGNAL);

		sent += r > 0 ? (size_t)r : 0;
		loop_turn(5);
	}
	assert_int_equal(t.aborts, 0);
	t.hold = false;
	test_end_take(&t, SIZE_MAX);
	peer_send_bytes(fd, body + sent, sizeof body - sent);
	UNTIL(t.ended);
	assert_int_equal(buf_len(&t.got), sizeof body);
	client_gets(&t, 200, NULL);
	close(fd);
}

/* ---- the client goes ---- */

static void a_client_that_goes_frees_its_upstream(void **state)
{
	struct test_end t;
	int fd;

	(void)state;
	/* before the connection is used */
	client_ask(&t, "GET", "/");
	x_abort(&t.e, ERR_GONE);
	test_end_fini(&t);
	rig_settle();
	assert_int_equal(up_count(), 0);
	while ((fd = peer_try_accept()) >= 0)
		peer_sees_end(fd);

	/* before the answer, then within it */
	fd = rig_asked(&t, "GET");
	x_abort(&t.e, ERR_GONE);
	test_end_fini(&t);
	peer_sees_end(fd);
	assert_int_equal(up_count(), 0);

	fd = rig_asked(&t, "GET");
	peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
	UNTIL(buf_len(&t.got) == 3);
	client_leave(&t);
	peer_sees_end(fd);
	assert_int_equal(up_count(), 0);
}

static void a_broken_off_upload_is_never_completed(void **state)
{
	struct test_end t;
	int fd = rig_posted(&t, HEAD_LENGTH_UNKNOWN);

	(void)state;
	x_put(&t.e, "part", 4);
	rig_settle();
	x_put(&t.e, "more", 4);
	x_abort(&t.e, ERR_RESET);
	test_end_fini(&t);
	assert_string_equal(peer_read_until(fd, "\r\npart\r\n"), "4\r\npart\r\n");
	peer_sees_end(fd);
	assert_int_equal(up_count(), 0);
}

/* A down end that ends short of the length it told: the upstream must not take it for the whole. */
static void a_short_upload_is_never_completed(void **state)
{
	struct test_end t;
	int fd = rig_posted(&t, 10);

	(void)state;
	x_put(&t.e, "part", 4);
	x_end(&t.e);
	client_gets_error(&t, ERR_BODY_SHORT);
	peer_read_until(fd, "part");
	peer_sees_end(fd);
}

/* The down end has the request answered by a page; the answer that comes in the same turn is nobody's. */
static void a_refused_request_lets_its_upstream_go(void **state)
{
	static const char *const answers[] = { "", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
					       "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" };
	static char body[100 * 1000];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct test_end t;
		int fd = rig_posted(&t, 10);

		peer_send(fd, answers[i]);
		if (i == 2)
			assert_true(send(fd, body, sizeof body, MSG_NOSIGNAL) > 80 * 1000);
		assert_true(x_refuse(&t.e, ERR_BODY_TIMEOUT));
		UNTIL(t.ended);
		assert_string_equal(test_end_words(&t), "H408 END");
		client_leave(&t);
		peer_sees_end(fd);
		assert_int_equal(up_count(), 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		RIG_TEST(a_lost_get_is_sent_again_once),
		RIG_TEST_TCP(a_lost_get_is_sent_again_once),
		RIG_TEST(a_lost_get_rests_before_it_is_sent_again),
		RIG_TEST(a_post_is_never_sent_twice),
		RIG_TEST_TCP(a_post_is_never_sent_twice),
		RIG_TEST(a_post_whose_head_was_sent_is_not_sent_again),
		RIG_TEST(a_get_is_not_sent_again_once_bytes_came),
		RIG_TEST(a_get_is_not_sent_again_once_its_body_was_taken),
		RIG_TEST(nothing_is_sent_again_after_the_ride_out),
		RIG_TEST(a_malformed_answer_is_not_asked_for_again),
		RIG_TEST(an_absent_upstream_is_503_and_its_return_is_noticed),
		RIG_TEST(a_socket_without_a_listener_is_503),
		RIG_TEST_TCP(connecting_is_bounded),
		RIG_TEST(an_answer_that_does_not_come_is_504),
		RIG_TEST(an_upstream_that_does_not_read_is_504),
		RIG_TEST(a_slow_upload_is_not_cut),
		RIG_TEST(a_body_that_stops_is_cut),
		RIG_TEST(a_client_that_does_not_read_is_not_the_upstreams_fault),
		RIG_TEST(a_client_that_goes_frees_its_upstream),
		RIG_TEST(a_broken_off_upload_is_never_completed),
		RIG_TEST(a_short_upload_is_never_completed),
		RIG_TEST(a_refused_request_lets_its_upstream_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
