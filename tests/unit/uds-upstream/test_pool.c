/* Which connections are kept, which one is taken, who waits: up.h. */
#include "tests/unit/uds-upstream/rig.h"
#include "core/names.h"
#include "uds-upstream/priv.h"
#include <netinet/in.h>

/* Opens n connections that are in use at once, answers them in order, and leaves them idle. */
static void fill_pool(int *fds, size_t n)
{
	struct test_end t[8];

	assert_true(n <= ARRAY_SIZE(t));
	for (size_t i = 0; i < n; i++) {
		client_ask(&t[i], "GET", "/");
		fds[i] = peer_accept();
		peer_read_head(fds[i]);
	}
	for (size_t i = 0; i < n; i++) {
		peer_send(fds[i], "HTTP/1.1 204 No Content\r\n\r\n");
		client_gets(&t[i], 204, "");
	}
	assert_int_equal(up_count(), n);
}

static void reuses_a_connection(void **state)
{
	int fd = rig_get_new();

	(void)state;
	assert_false(rig.facts.upstream_reused);
	assert_true(rig.facts.connect_us > 0);
	assert_true(rig.facts.first_byte_us >= rig.facts.connect_us);
	assert_string_equal(rig.facts.upstream, rig.name);
	for (int i = 0; i < 100; i++)
		rig_get_on(fd);
	peer_accepts_none();
	assert_int_equal(up_count(), 1);
	assert_true(rig.facts.upstream_reused);
	assert_int_equal(rig.facts.tries, 1);
	assert_int_equal(rig.facts.sends, 1);
	assert_int_equal(rig.facts.connect_us, 0);
	assert_int_equal(rig.facts.error, ERR_OK);
	close(fd);
}

static void takes_the_one_used_last(void **state)
{
	int fds[3];

	(void)state;
	fill_pool(fds, 3);
	/* the third was put back last: it does all the work from now on */
	for (int i = 0; i < 10; i++)
		rig_get_on(fds[2]);
	peer_sees_nothing(fds[0]);
	peer_sees_nothing(fds[1]);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
}

static void keeps_as_many_as_were_in_use_at_once(void **state)
{
	int fds[8];

	(void)state;
	fill_pool(fds, 8);
	for (int round = 0; round < 3; round++) {
		struct test_end t[8];

		for (int i = 0; i < 8; i++)
			client_ask(&t[i], "GET", "/");
		/* last in, first out */
		for (int i = 0; i < 8; i++) {
			peer_read_head(fds[7 - i]);
			peer_send(fds[7 - i], "HTTP/1.1 204 No Content\r\n\r\n");
			client_gets(&t[i], 204, "");
		}
		for (int i = 0; i < 4; i++) {
			int swapped = fds[i];

			fds[i] = fds[7 - i];
			fds[7 - i] = swapped;
		}
	}
	peer_accepts_none();
	assert_int_equal(up_count(), 8);
	for (int i = 0; i < 8; i++)
		close(fds[i]);
}

static void keeps_no_more_than_the_limit(void **state)
{
	int fds[3];
	struct test_end t[3];

	(void)state;
	rig.limits.idle_connections = 1;
	up_target_put(rig.target);
	rig_get_target();
	for (int i = 0; i < 3; i++) {
		client_ask(&t[i], "GET", "/");
		fds[i] = peer_accept();
		peer_read_head(fds[i]);
	}
	for (int i = 0; i < 3; i++) {
		peer_send(fds[i], "HTTP/1.1 204 No Content\r\n\r\n");
		client_gets(&t[i], 204, "");
	}
	assert_int_equal(up_count(), 1);
	peer_sees_end(fds[0]);
	peer_sees_end(fds[1]);
	rig_get_on(fds[2]);
	close(fds[2]);
}

static void a_smaller_limit_holds_at_once(void **state)
{
	int fds[4];

	(void)state;
	fill_pool(fds, 4);
	rig.limits.idle_connections = 2;
	assert_ptr_equal(rig_target_again(), rig.target);
	up_target_put(rig.target);
	peer_sees_end(fds[0]);
	peer_sees_end(fds[1]);
	assert_int_equal(up_count(), 2);
	close(fds[2]);
	close(fds[3]);
}

static void an_unused_connection_expires(void **state)
{
	int old[2], fd;
	uint64_t begin_ms;

	(void)state;
	rig.limits.keepalive_ms = 200;
	up_target_put(rig.target);
	rig_get_target();
	fill_pool(old, 2);
	begin_ms = rig_now_ms();
	/* the one that is used stays while the other goes, by the one timer they have */
	while (up_count() == 2) {
		assert_true(rig_now_ms() < begin_ms + DEADLINE_MS);
		rig_get_on(old[1]);
	}
	assert_in_range(rig_now_ms() - begin_ms, 190, 1000);
	peer_sees_end(old[0]);
	fd = old[1];
	rig_get_on(fd);
	UNTIL(up_count() == 0);
	peer_sees_end(fd);
}

/* Each one at its own time. */
static void unused_connections_expire_one_by_one(void **state)
{
	struct test_end t[2];
	uint64_t kept_ms[2];
	int fds[2];

	(void)state;
	rig.limits.keepalive_ms = 100;
	up_target_put(rig.target);
	rig_get_target();
	for (int i = 0; i < 2; i++) {
		client_ask(&t[i], "GET", "/");
		fds[i] = peer_accept();
		peer_read_head(fds[i]);
	}
	for (int i = 0; i < 2; i++) {
		peer_send(fds[i], "HTTP/1.1 204 No Content\r\n\r\n");
		client_gets(&t[i], 204, "");
		kept_ms[i] = rig_now_ms();
		UNTIL(i == 1 || rig_now_ms() > kept_ms[0] + 50);
	}
	UNTIL(up_count() == 1);
	assert_in_range(rig_now_ms() - kept_ms[0], 95, 145);
	peer_sees_end(fds[0]);
	UNTIL(up_count() == 0);
	assert_true(rig_now_ms() - kept_ms[1] >= 95);
	peer_sees_end(fds[1]);
}

static void a_connection_that_ends_while_idle_is_closed(void **state)
{
	int fd = rig_get_new();

	(void)state;
	close(fd);
	UNTIL(up_count() == 0);
	close(rig_get_new());
}

static void a_connection_that_is_half_closed_while_idle_is_closed(void **state)
{
	int fd = rig_get_new();

	(void)state;
	shutdown(fd, SHUT_WR);
	UNTIL(up_count() == 0);
	peer_sees_end(fd);
}

static void a_connection_that_speaks_while_idle_is_closed(void **state)
{
	int fd = rig_get_new();

	(void)state;
	peer_send(fd, "HTTP/1.1 408 Request Timeout\r\n\r\n");
	UNTIL(up_count() == 0);
	peer_drain(fd);
	close(rig_get_new());
}

/* The request finds a new connection, and the client does not notice. */
static void is_served_anew(struct test_end *t)
{
	int fd = peer_accept();

	peer_read_head(fd);
	peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew");
	client_gets(t, 200, "new");
	close(fd);
	UNTIL(up_count() == 0);
}

/* The end of a kept connection and a request meet in one turn: the loop hears of the end first. */
static void a_connection_that_ended_this_turn_is_not_used(void **state)
{
	struct test_end t;
	int fd = rig_get_new();

	(void)state;
	close(fd);
	client_ask(&t, "POST", "/");
	is_served_anew(&t);
	assert_int_equal(rig.facts.tries, 1);
	assert_int_equal(rig.facts.error, ERR_OK);
}

/*
 * The loop has not heard of the end when the request is there. Over a Unix socket the first write tells, with
 * nothing written: again, whatever the method.
 */
static void a_stale_unix_connection_costs_no_request_anything(void **state)
{
	static const char *const methods[] = { "GET", "POST" };

	(void)state;
	rig.may_retry = true;
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
		for (int late = 0; late < 2; late++) {
			struct test_end t;
			int fd = rig_get_new();

			if (late)
				peer_close_late(fd);
			else
				rig.close_at_open = fd;
			client_ask(&t, methods[i], "/");
			is_served_anew(&t);
			assert_int_equal(rig.facts.tries, 2);
			assert_int_equal(rig.facts.sends, 1);
			assert_int_equal(rig.facts.error, ERR_OK);
		}
	}
	assert_int_equal(rig.retries, 4);
}

/* Over TCP the write succeeds: a safe request goes out again, another looks before it is written. */
static void a_stale_tcp_connection_costs_a_get_a_try_and_a_post_a_look(void **state)
{
	struct test_end t;
	int fd = rig_get_new();

	(void)state;
	rig.may_retry = true;
	rig.close_at_open = fd;
	client_ask(&t, "GET", "/");
	is_served_anew(&t);
	assert_int_equal(rig.facts.tries, 2);
	assert_int_equal(rig.facts.sends, 2);

	rig.close_at_open = rig_get_new();
	client_ask(&t, "POST", "/");
	is_served_anew(&t);
	assert_int_equal(rig.facts.tries, 1);
	assert_int_equal(rig.retries, 1);
}

/* What an upstream says before it closes an unused connection is not the answer to what it has not read. */
static void a_farewell_is_not_the_answer(void **state)
{
	struct test_end t;
	int fd = rig_get_new();

	(void)state;
	rig.may_retry = true;
	rig.last_words = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
	peer_close_late(fd);
	client_ask(&t, "GET", "/");
	is_served_anew(&t);
	assert_int_equal(rig.retries, 1);
}

/* An upstream that accepts, and closes before anything can be written, is not dialled for ever. */
static void accept_and_close(struct work *w)
{
	int fd = peer_try_accept();

	(void)w;
	assert_true(fd >= 0);
	close(fd);
}

static struct work accepting[8];
static size_t naccepting;

static void accept_and_close_late(struct exchange *x)
{
	(void)x;
	assert_true(naccepting < ARRAY_SIZE(accepting));
	work_init(&accepting[naccepting], accept_and_close);
	/* behind the verb that dials, before the flush it posts: both are works of this turn */
	loop_post(&accepting[naccepting++]);
}

static void an_upstream_that_hangs_up_is_not_dialled_for_ever(void **state)
{
	struct test_end t;

	(void)state;
	rig.may_retry = true;
	naccepting = 0;
	rig.at_open = accept_and_close_late;
	client_ask(&t, "POST", "/");
	UNTIL(t.ended);
	assert_int_equal(naccepting, 3);
	client_gets(&t, 502, "");
	assert_int_equal(rig.facts.tries, 3);
	assert_int_equal(rig.facts.sends, 0);
}

/* What the stream knows is enough: no call asks the kernel. */
static void mark_ended(struct exchange *x)
{
	struct up_conn *kept = list_entry(rig.target->idle.next, struct up_conn, node);

	(void)x;
	kept->stream->can |= STREAM_HUP;
	rig.at_open = NULL;
}

static void a_connection_known_to_have_ended_is_not_used(void **state)
{
	struct test_end t;
	int fd = rig_get_new();

	(void)state;
	rig.at_open = mark_ended;
	client_ask(&t, "GET", "/");
	is_served_anew(&t);
	assert_int_equal(rig.facts.tries, 1);
	peer_sees_end(fd);
}

/* The exchange has had its share of the turn when it has a connection, and in the next turn that one ends. */
static void use_up_share(struct exchange *x)
{
	x->visits = X_VISITS_PER_TURN;
	rig.at_open = NULL;
}

static void a_connection_that_ends_before_it_is_asked_is_not_used(void **state)
{
	struct test_end t;
	int fd = rig_get_new();
	char byte;

	(void)state;
	rig.at_open = use_up_share;
	client_ask(&t, "GET", "/");
	loop_turn(0);
	assert_int_equal(recv(fd, &byte, 1, 0), -1);
	close(fd);
	is_served_anew(&t);
	assert_int_equal(rig.facts.tries, 1);
}

/* A new connection that must be had takes the place of the oldest idle one, when the limit has shrunk. */
static void sending_again_may_cost_an_idle_connection(void **state)
{
	struct test_end t;
	int fds[2];

	(void)state;
	rig.may_retry = true;
	fill_pool(fds, 2);
	client_ask(&t, "GET", "/");
	peer_close_late(fds[1]);
	rig.limits.connections = 1;
	up_target_put(rig_target_again());
	is_served_anew(&t);
	assert_int_equal(rig.retries, 1);
	peer_sees_end(fds[0]);
}

/* The same with a body: nothing of it is lost when nothing had been written. */
static void a_body_survives_a_stale_connection(void **state)
{
	struct test_end t;
	int fd = rig_get_new();

	(void)state;
	rig.may_retry = true;
	peer_close_late(fd);
	client_post(&t, 4);
	x_put(&t.e, "body", 4);
	x_end(&t.e);
	fd = peer_accept();
	peer_read_until(fd, "\r\n\r\nbody");
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t, 204, "");
	assert_int_equal(rig.retries, 1);
	close(fd);
}

/* As many requests as there are stale connections, none of which the loop has heard of. */
static void a_pool_of_stale_connections_is_not_gone_through(void **state)
{
	struct test_end t[4];
	int fds[4], fd;

	(void)state;
	rig.may_retry = true;
	fill_pool(fds, 4);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	for (int i = 0; i < 4; i++)
		client_ask(&t[i], "POST", "/");
	for (int i = 0; i < 4; i++) {
		fd = peer_accept();
		peer_read_head(fd);
		peer_send(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nx");
		close(fd);
	}
	for (int i = 0; i < 4; i++)
		client_gets(&t[i], 200, "x");
}

static void waits_in_order_for_a_connection(void **state)
{
	struct test_end t[4];
	int fds[2];

	(void)state;
	rig.limits.connections = 2;
	up_target_put(rig.target);
	rig_get_target();
	for (int i = 0; i < 4; i++) {
		char path[16];

		snprintf(path, sizeof path, "/%d", i);
		client_ask(&t[i], "GET", path);
		rig_settle();
	}
	fds[0] = peer_accept();
	fds[1] = peer_accept();
	peer_accepts_none();
	assert_int_equal(up_count(), 2);
	assert_non_null(strstr(peer_read_head(fds[0]), "GET /0 "));
	assert_non_null(strstr(peer_read_head(fds[1]), "GET /1 "));

	/* the first that is free goes to the third request */
	peer_send(fds[1], "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
	client_gets(&t[1], 200, "1");
	assert_non_null(strstr(peer_read_head(fds[1]), "GET /2 "));
	/* one that cannot be used again makes room for a new one */
	peer_send(fds[0], "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n0");
	client_gets(&t[0], 200, "0");
	peer_sees_end(fds[0]);
	fds[0] = peer_accept();
	assert_non_null(strstr(peer_read_head(fds[0]), "GET /3 "));

	peer_send(fds[0], "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3");
	peer_send(fds[1], "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
	client_gets(&t[3], 200, "3");
	client_gets(&t[2], 200, "2");
	close(fds[0]);
	close(fds[1]);
}

/* A request that comes when a connection has just become free does not overtake those who wait. */
static void nobody_overtakes(void **state)
{
	struct test_end t[3];
	int fd;

	(void)state;
	rig.limits.connections = 1;
	up_target_put(rig.target);
	rig_get_target();
	client_ask(&t[0], "GET", "/0");
	client_ask(&t[1], "GET", "/1");
	fd = peer_accept();
	peer_read_head(fd);
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_ask(&t[2], "GET", "/2");
	client_gets(&t[0], 204, "");
	assert_non_null(strstr(peer_read_head(fd), "GET /1 "));
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t[1], 204, "");
	assert_non_null(strstr(peer_read_head(fd), "GET /2 "));
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t[2], 204, "");
	close(fd);
}

static void a_wait_ends(void **state)
{
	struct test_end t[2];
	int fd;

	(void)state;
	rig.limits.connections = 1;
	up_target_put(rig.target);
	rig_get_target();
	client_ask(&t[0], "GET", "/0");
	fd = peer_accept();
	rig.x_timeouts.upstream_response_ms = 50;
	client_ask(&t[1], "GET", "/1");
	client_gets_error(&t[1], ERR_UP_BUSY);
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t[0], 204, "");
	close(fd);
}

static void one_that_waits_may_leave(void **state)
{
	struct test_end t[3];
	int fd;

	(void)state;
	rig.limits.connections = 1;
	up_target_put(rig.target);
	rig_get_target();
	for (int i = 0; i < 3; i++)
		client_ask(&t[i], "GET", i == 2 ? "/last" : "/");
	fd = peer_accept();
	peer_read_head(fd);
	client_leave(&t[1]);
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t[0], 204, "");
	assert_non_null(strstr(peer_read_head(fd), "GET /last "));
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t[2], 204, "");
	close(fd);
}

/* All that wait get a failure of the target, not only the first. */
static void all_that_wait_hear_that_the_target_is_down(void **state)
{
	struct test_end t[3];
	int fd;

	(void)state;
	rig.limits.connections = 1;
	rig.x_timeouts.ride_out_ms = 0;
	up_target_put(rig.target);
	rig_get_target();
	for (int i = 0; i < 3; i++)
		client_ask(&t[i], "GET", "/");
	fd = peer_accept();
	rig_unlisten();
	peer_read_head(fd);
	peer_send(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
	client_gets(&t[0], 200, "");
	for (int i = 1; i < 3; i++)
		client_gets_error(&t[i], ERR_UP_ABSENT);
	close(fd);
}

static void a_target_is_found_by_its_name(void **state)
{
	struct up_limits limits = { 1, 1, 1000 };
	struct up_target *other, *same;
	struct place_spec elsewhere = { 0 };

	(void)state;
	assert_true(addr_from_unix(&elsewhere.addr, STR("/nowhere")));
	other = up_target_get(STR("unix:/nowhere"), &elsewhere, &limits, NULL);
	assert_ptr_not_equal(other, rig.target);
	assert_string_equal(up_target_name(other), "unix:/nowhere");
	same = up_target_get(STR("unix:/nowhere"), &elsewhere, &limits, NULL);
	assert_ptr_equal(same, other);
	up_target_put(same);
	up_target_put(other);
	/* it is gone, and may be made again */
	other = up_target_get(STR("unix:/nowhere"), &elsewhere, &limits, NULL);
	up_target_put(other);
}

static void a_target_given_back_closes_what_it_kept(void **state)
{
	struct test_end t;
	int fds[2], fd;

	(void)state;
	fill_pool(fds, 2);
	client_ask(&t, "GET", "/");
	rig_settle();
	fd = fds[1];
	peer_read_head(fd);
	up_target_put(rig.target);
	rig.target = NULL;
	peer_sees_end(fds[0]);
	assert_int_equal(up_count(), 1);
	/* the one in use goes on to its end */
	peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	client_gets(&t, 200, "ok");
	peer_sees_end(fd);
	assert_int_equal(up_count(), 0);
}

static void draining_keeps_nothing(void **state)
{
	struct test_end t;
	int fds[2], fd;

	(void)state;
	fill_pool(fds, 2);
	client_ask(&t, "GET", "/");
	rig_settle();
	fd = fds[1];
	up_drain();
	peer_sees_end(fds[0]);
	peer_read_head(fd);
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t, 204, "");
	peer_sees_end(fd);
	assert_int_equal(up_count(), 0);
}

/* Each of these answers is whole, and none leaves a connection that can be used again. */
static void what_ends_a_connection_ends_it(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\nx",
		"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxsurplus",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nsurplus",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ny",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct test_end t;
		int fd;

		client_ask(&t, "GET", "/");
		fd = peer_accept();
		peer_read_head(fd);
		peer_send(fd, answers[i]);
		client_gets(&t, 200, "x");
		assert_int_equal(up_count(), 0);
		peer_sees_end(fd);
	}
}

/* Surplus bytes are seen too where the body is read straight into the pipe. */
static void surplus_behind_a_large_body_ends_a_connection(void **state)
{
	enum { BODY = 30000 };
	static char body[BODY + 7];
	struct test_end t;
	int fd;

	(void)state;
	memset(body, 'x', BODY);
	memcpy(body + BODY, "surplus", 7);
	client_ask(&t, "GET", "/");
	fd = peer_accept();
	peer_read_head(fd);
	peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n");
	UNTIL(t.heads == 1);
	peer_send_bytes(fd, body, sizeof body);
	UNTIL(t.ended);
	assert_int_equal(buf_len(&t.got), BODY);
	client_gets(&t, 200, NULL);
	assert_int_equal(up_count(), 0);
	peer_sees_end(fd);
}

/* A read that filled the memory it had leaves open whether more is there: that is no reason to close. */
static void a_read_without_a_rest_keeps_the_connection(void **state)
{
	static const char answer[] = "HTTP/1.1 204 No Content\r\n\r\n";
	int fd = rig_get_new();

	(void)state;
	rig.pipe_bytes = sizeof answer - 1;
	for (int i = 0; i < 3; i++) {
		struct test_end t;

		client_ask(&t, "GET", "/");
		peer_read_head(fd);
		peer_send(fd, answer);
		client_gets(&t, 204, "");
		rig_settle();
		assert_int_equal(up_count(), 1);
	}
	close(fd);
}

static void http10_with_keep_alive_is_kept(void **state)
{
	struct test_end t;
	int fd;

	(void)state;
	client_ask(&t, "GET", "/");
	fd = peer_accept();
	peer_read_head(fd);
	peer_send(fd, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx");
	client_gets(&t, 200, "x");
	assert_int_equal(up_count(), 1);
	rig_get_on(fd);
	close(fd);
}

/* The rig's listener under a name, which leads there, or elsewhere. */
static void name_leads_to(const char *address)
{
	struct addr a;
	struct ip ip;

	assert_true(addr_from_ip(&a, str_from_c(address), 0));
	assert_true(ip_from_sockaddr(&ip, &a.sa));
	names_set(STR("app"), &ip, 1);
}

static void a_name_that_leads_elsewhere_takes_no_old_connection(void **state)
{
	struct sockaddr_in in;
	struct place_spec at = { .name = STR("app") };
	struct test_end t;
	int fds[3];

	(void)state;
	memcpy(&in, &rig.address.ss, sizeof in);
	at.port = ntohs(in.sin_port);
	name_leads_to("127.0.0.1");
	up_target_put(rig.target);
	rig.target = up_target_get(STR("app:1"), &at, &rig.limits, NULL);
	fill_pool(fds, 2);
	client_ask(&t, "GET", "/");
	peer_read_head(fds[1]);
	name_leads_to("127.0.0.9");
	peer_sees_end(fds[0]);
	assert_int_equal(up_count(), 1);
	/* what is under way ends as it would have */
	peer_send(fds[1], "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t, 204, "");
	peer_sees_end(fds[1]);
	assert_int_equal(up_count(), 0);
	name_leads_to("127.0.0.1");
	fds[2] = rig_get_new();
	name_leads_to("127.0.0.1");
	rig_get_on(fds[2]);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	up_target_put(rig.target);
	rig.target = NULL;
	loop_turn(0);
	names_sweep();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		RIG_TEST(reuses_a_connection),
		RIG_TEST_TCP(reuses_a_connection),
		RIG_TEST(takes_the_one_used_last),
		RIG_TEST(keeps_as_many_as_were_in_use_at_once),
		RIG_TEST(keeps_no_more_than_the_limit),
		RIG_TEST(a_smaller_limit_holds_at_once),
		RIG_TEST(an_unused_connection_expires),
		RIG_TEST(unused_connections_expire_one_by_one),
		RIG_TEST(a_connection_that_ends_while_idle_is_closed),
		RIG_TEST_TCP(a_connection_that_ends_while_idle_is_closed),
		RIG_TEST(a_connection_that_is_half_closed_while_idle_is_closed),
		RIG_TEST_TCP(a_connection_that_is_half_closed_while_idle_is_closed),
		RIG_TEST(a_connection_that_speaks_while_idle_is_closed),
		RIG_TEST(a_connection_that_ended_this_turn_is_not_used),
		RIG_TEST_TCP(a_connection_that_ended_this_turn_is_not_used),
		RIG_TEST(a_stale_unix_connection_costs_no_request_anything),
		RIG_TEST_TCP(a_stale_tcp_connection_costs_a_get_a_try_and_a_post_a_look),
		RIG_TEST(a_farewell_is_not_the_answer),
		RIG_TEST(an_upstream_that_hangs_up_is_not_dialled_for_ever),
		RIG_TEST(a_connection_known_to_have_ended_is_not_used),
		RIG_TEST(a_connection_that_ends_before_it_is_asked_is_not_used),
		RIG_TEST(sending_again_may_cost_an_idle_connection),
		RIG_TEST(a_body_survives_a_stale_connection),
		RIG_TEST(a_pool_of_stale_connections_is_not_gone_through),
		RIG_TEST_TCP(a_pool_of_stale_connections_is_not_gone_through),
		RIG_TEST(waits_in_order_for_a_connection),
		RIG_TEST_TCP(waits_in_order_for_a_connection),
		RIG_TEST(nobody_overtakes),
		RIG_TEST(a_wait_ends),
		RIG_TEST(one_that_waits_may_leave),
		RIG_TEST(all_that_wait_hear_that_the_target_is_down),
		RIG_TEST(a_target_is_found_by_its_name),
		RIG_TEST(a_target_given_back_closes_what_it_kept),
		RIG_TEST(draining_keeps_nothing),
		RIG_TEST(what_ends_a_connection_ends_it),
		RIG_TEST(surplus_behind_a_large_body_ends_a_connection),
		RIG_TEST(a_read_without_a_rest_keeps_the_connection),
		RIG_TEST(http10_with_keep_alive_is_kept),
		RIG_TEST_TCP(a_name_that_leads_elsewhere_takes_no_old_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
