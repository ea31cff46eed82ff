/* A target that is down: who waits for its return, for how long, and how they are let through: up.h. */
#include "tests/unit/uds-upstream/rig.h"
#include "uds-upstream/priv.h"

/* It has answered once, and nobody listens any more. */
static void go_down(void)
{
	int fd = rig_get_new();

	close(fd);
	rig_unlisten();
	UNTIL(up_count() == 0);
}

static void ask_path(struct test_end *t, int i)
{
	char path[16];

	snprintf(path, sizeof path, "/%d", i);
	client_ask(t, "GET", path);
}

/* The next connection brings request number i, and gets its answer. */
static void serve_path(struct test_end *t, int i)
{
	char line[32];
	int fd = peer_accept();

	snprintf(line, sizeof line, "GET /%d HTTP/1.1\r\n", i);
	assert_non_null(strstr(peer_read_head(fd), line));
	peer_send(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
	client_gets(t, 200, "ok");
	close(fd);
}

static void wait_ms(uint64_t ms)
{
	uint64_t end_ms = rig_now_ms() + ms;

	UNTIL(rig_now_ms() >= end_ms);
}

/* ---- held, and served ---- */

static void requests_wait_for_the_return(void **state)
{
	enum { N = 20 };
	struct test_end t[N];

	(void)state;
	go_down();
	for (int i = 0; i < N; i++)
		ask_path(&t[i], i);
	wait_ms(3 * UP_TICK_MS);
	assert_int_equal(rig.ntells, 0);
	assert_int_equal(rig.target->outage.held, N);
	rig_listen();
	for (int i = 0; i < N; i++)
		serve_path(&t[i], i);
	assert_int_equal(rig.ntells, 0);
	assert_int_equal(rig.facts.error, ERR_OK);
	assert_int_equal(rig.facts.tries, 1);
	assert_true(rig.facts.queue_us >= 3 * UP_TICK_MS * 1000);
	assert_true(rig.facts.connect_us >= rig.facts.queue_us);
	assert_false(outage_is_on(&rig.target->outage));
	assert_false(rig.target->is_gated);
	assert_int_equal(rig.finished, N + 1);
}

static void what_happens_is_counted(void **state)
{
	const struct up_stats *s = up_target_stats(rig.target);
	struct test_end t;
	int fd = rig_get_new();

	(void)state;
	rig_get_on(fd);
	assert_int_equal(s->connects, 1);
	assert_int_equal(s->reuses, 1);
	assert_int_equal(s->answers, 2);
	assert_int_equal(s->whole, 2);
	assert_int_equal(s->waited + s->failures + s->again + s->queue_us, 0);
	assert_true(s->connect_us > 0 && s->first_byte_us >= s->connect_us);
	assert_true(s->total_us >= s->first_byte_us);
	close(fd);
	rig_unlisten();
	UNTIL(up_count() == 0);
	ask_path(&t, 0);
	wait_ms(2 * UP_TICK_MS);
	rig_listen();
	serve_path(&t, 0);
	assert_int_equal(s->connects, 2);
	assert_int_equal(s->waited, 1);
	assert_true(s->failures >= 2);
	assert_true(s->queue_us >= 2 * UP_TICK_MS * 1000);
	assert_true(s->connect_us < s->queue_us);
	assert_int_equal(s->again, 0);
	assert_int_equal(s->requests, 3);
	assert_int_equal(s->lost, 0);
	assert_true(s->connect_max_us <= s->connect_us && s->connect_max_us >= s->connect_us / 2);
	assert_true(s->total_max_us >= s->queue_max_us && s->queue_max_us >= 2 * UP_TICK_MS * 1000);
}

static void how_it_stands_is_told(void **state)
{
	const struct up_target *t = up_target_next(NULL);
	struct test_end a, b;
	struct up_now now;
	uint64_t up_ms;
	int fd;

	(void)state;
	assert_ptr_equal(t, rig.target);
	assert_null(up_target_next(t));
	now = up_target_now(t);
	assert_int_equal(now.in_use + now.idle + now.queued + now.since_ms, 0);
	fd = rig_asked(&a, "GET");
	now = up_target_now(t);
	assert_int_equal(now.in_use, 1);
	assert_int_equal(now.idle, 0);
	assert_true(now.since_ms > 0 && !now.is_down);
	up_ms = now.since_ms;
	peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	client_gets(&a, 200, "ok");
	now = up_target_now(t);
	assert_int_equal(now.in_use, 0);
	assert_int_equal(now.idle, 1);
	close(fd);
	rig_unlisten();
	UNTIL(up_count() == 0);
	wait_ms(2);
	ask_path(&b, 0);
	UNTIL((now = up_target_now(t)).queued == 1);
	assert_true(now.is_down && now.since_ms > up_ms);
	assert_int_equal(now.why, ERR_UP_ABSENT);
	assert_int_equal(now.idle, 0);
	rig_listen();
	serve_path(&b, 0);
	now = up_target_now(t);
	assert_true(!now.is_down && now.since_ms > up_ms);
	assert_int_equal(now.queued, 0);
}

/* Without anybody who waits, the very next request finds it, without waiting for any timer. */
static void the_next_request_after_the_return_is_served(void **state)
{
	struct test_end t;
	uint64_t begin_ms;

	(void)state;
	rig.x_timeouts.ride_out_ms = 20;
	go_down();
	client_ask(&t, "GET", "/");
	client_gets_error(&t, ERR_UP_ABSENT);
	rig_listen();
	begin_ms = rig_now_ms();
	close(rig_get_new());
	assert_true(rig_now_ms() - begin_ms < UP_TICK_MS);
	assert_false(outage_is_on(&rig.target->outage));
}

/* The same while nobody waits any more, and the time of waiting is not over. */
static void a_request_that_finds_nobody_waiting_tries_at_once(void **state)
{
	struct test_end t;
	uint64_t begin_ms;

	(void)state;
	go_down();
	client_ask(&t, "GET", "/");
	rig_settle();
	client_leave(&t);
	rig_listen();
	begin_ms = rig_now_ms();
	close(rig_get_new());
	assert_true(rig_now_ms() - begin_ms < UP_TICK_MS);
}

static void a_body_waits_in_its_pipe(void **state)
{
	struct test_end t;
	size_t put, total = 300 * 1000, left;
	int fd;

	(void)state;
	go_down();
	client_post(&t, (int64_t)total);
	put = rig_put_zeros(&t, total);
	assert_true(put > 0 && put < total);
	wait_ms(2 * UP_TICK_MS);
	assert_int_equal(rig_put_zeros(&t, total), 0); /* and no more: it is the client that waits */
	rig_listen();
	fd = peer_accept();
	peer_read_head(fd);
	for (left = total; left > 0;) {
		static char bytes[64 * 1024];
		ssize_t r = recv(fd, bytes, sizeof bytes, 0);

		if (r > 0)
			left -= (size_t)r;
		put += rig_put_zeros(&t, total - put);
		loop_turn(1);
	}
	x_end(&t.e);
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t, 204, "");
	close(fd);
}

/* A GET that was lost on its way waits too, and is sent a second time, not a third. */
static void a_lost_get_waits_and_is_sent_again(void **state)
{
	struct test_end t;
	int fd;

	(void)state;
	rig.may_retry = true;
	fd = rig_get_new();
	client_ask(&t, "GET", "/");
	peer_read_head(fd);
	rig_unlisten();
	close(fd);
	UNTIL(rig.target->outage.held == 1);
	rig_listen();
	fd = peer_accept();
	peer_read_head(fd);
	peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	client_gets(&t, 200, "ok");
	close(fd);
	assert_int_equal(rig.facts.sends, 2);
	assert_int_equal(rig.facts.tries, 2);
	assert_int_equal(rig.facts.error, ERR_OK);
}

/* One of which nothing was written waits whatever its method. */
static void a_post_on_a_stale_connection_waits(void **state)
{
	struct test_end t;
	int fd = rig_get_new();

	(void)state;
	rig.may_retry = true;
	client_post(&t, 4);
	x_put(&t.e, "body", 4);
	x_end(&t.e);
	rig_unlisten();
	peer_close_late(fd);
	wait_ms(2 * UP_TICK_MS);
	rig_listen();
	fd = peer_accept();
	peer_read_until(fd, "\r\n\r\nbody");
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t, 204, "");
	close(fd);
}

static void a_post_that_was_lost_does_not_wait(void **state)
{
	struct test_end t;
	int fd = rig_get_new();

	(void)state;
	rig.may_retry = true;
	client_post(&t, 4);
	x_put(&t.e, "body", 4);
	x_end(&t.e);
	peer_read_until(fd, "\r\n\r\nbody");
	rig_unlisten();
	close(fd);
	client_gets_error(&t, ERR_UP_STALE);
	assert_false(outage_is_on(&rig.target->outage));
}

/* ---- who is not held, and how long ---- */

static void nobody_waits_beyond_the_ride_out(void **state)
{
	struct test_end t[3];
	uint64_t begin_ms;

	(void)state;
	go_down();
	rig.x_timeouts.ride_out_ms = 150;
	begin_ms = rig_now_ms();
	client_ask(&t[0], "GET", "/");
	wait_ms(100);
	client_ask(&t[1], "GET", "/"); /* from the first failure, not from its own */
	client_gets_error(&t[0], ERR_UP_ABSENT);
	client_gets_error(&t[1], ERR_UP_ABSENT);
	assert_in_range(rig_now_ms() - begin_ms, 145, 400);
	assert_int_equal(rig.target->outage.refused, 2);
	/* from then on at once, each for itself */
	begin_ms = rig_now_ms();
	client_ask(&t[2], "GET", "/");
	client_gets_error(&t[2], ERR_UP_ABSENT);
	assert_true(rig_now_ms() - begin_ms < 2 * UP_TICK_MS);
	assert_int_equal(rig.facts.tries, 1);
	assert_int_equal(rig.facts.error, ERR_UP_ABSENT);
	rig_listen();
	close(rig_get_new());
	/* and the next outage is waited for again */
	UNTIL(up_count() == 0);
	rig_unlisten();
	ask_path(&t[0], 0);
	wait_ms(2 * UP_TICK_MS);
	rig_listen();
	serve_path(&t[0], 0);
}

static void one_that_never_answered_is_not_waited_for(void **state)
{
	struct test_end t;
	int fd;

	(void)state;
	rig_unlisten();
	client_ask(&t, "GET", "/");
	client_gets_error(&t, ERR_UP_ABSENT);
	/* to be connected to is no answer */
	rig_listen();
	fd = rig_asked(&t, "GET");
	close(fd);
	client_gets_error(&t, ERR_UP_CLOSED);
	rig_unlisten();
	client_ask(&t, "GET", "/");
	client_gets_error(&t, ERR_UP_ABSENT);
}

static struct outage_names names;

static void what_one_worker_knows_all_know(void **state)
{
	struct test_end t;

	(void)state;
	memset(&names, 0, sizeof names);
	up_share(&names);
	up_target_put(rig.target);
	rig_get_target();
	go_down();
	assert_true(outage_names_has(&names, str_from_c(rig.name)));
	/* another worker, or this one after a reload that had no such target in between */
	up_target_put(rig.target);
	rig.target = NULL;
	loop_turn(0);
	rig_get_target();
	client_ask(&t, "GET", "/0");
	wait_ms(2 * UP_TICK_MS);
	rig_listen();
	serve_path(&t, 0);
	up_share(NULL);
}

static void without_a_ride_out_nobody_waits(void **state)
{
	struct test_end t;

	(void)state;
	go_down();
	rig.x_timeouts.ride_out_ms = 0;
	client_ask(&t, "GET", "/");
	client_gets_error(&t, ERR_UP_ABSENT);
}

static void a_client_that_goes_is_let_go_at_once(void **state)
{
	struct test_end t[3];

	(void)state;
	go_down();
	for (int i = 0; i < 3; i++)
		ask_path(&t[i], i);
	rig_settle();
	assert_int_equal(rig.target->nconns, 3);
	client_leave(&t[0]);
	client_leave(&t[1]);
	rig_settle();
	assert_int_equal(rig.target->nconns, 1);
	wait_ms(2 * UP_TICK_MS);
	rig_listen();
	serve_path(&t[2], 2);
	peer_accepts_none();
	assert_false(timer_is_set(&rig.target->tick));
}

/* The last one goes: nothing is tried any more. */
static void nothing_is_tried_for_nobody(void **state)
{
	struct test_end t;

	(void)state;
	go_down();
	client_ask(&t, "GET", "/");
	rig_settle();
	client_leave(&t);
	wait_ms(2 * UP_TICK_MS);
	assert_false(timer_is_set(&rig.target->tick));
	assert_false(rig.target->is_gated);
	rig_listen();
	peer_accepts_none();
}

/* ---- let through ---- */

/* Accepts what is there; returns how many. */
static int accept_all(int *fds, int n)
{
	int fd;

	while ((fd = peer_try_accept()) >= 0)
		fds[n++] = fd;
	return n;
}

static void they_are_let_through_little_by_little(void **state)
{
	enum { N = 60 };
	struct test_end t[N];
	int fds[N], n = 0, most_new = 0, rounds = 0;

	(void)state;
	go_down();
	for (int i = 0; i < N; i++)
		ask_path(&t[i], i);
	rig_settle();
	rig_listen();
	while (n < N) {
		int before = n;

		wait_ms(1);
		n = accept_all(fds, n);
		if (n == before)
			continue;
		if (before == 0)
			assert_in_range(n, 1, 2); /* the probe, and whoever may come after it */
		most_new = MAX(most_new, n - before);
		rounds++;
	}
	assert_true(rounds >= 5);
	assert_true(most_new <= 32);
	for (int i = 0; i < N; i++) {
		peer_read_head(fds[i]);
		peer_send(fds[i], "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
		client_gets(&t[i], 200, "ok");
		close(fds[i]);
	}
	assert_int_equal(rig.ntells, 0);
}

static void the_bound_of_connections_holds(void **state)
{
	struct test_end t[6];
	int fds[8], n = 0;

	(void)state;
	rig.limits.connections = 2;
	up_target_put(rig.target);
	rig_get_target();
	go_down();
	for (int i = 0; i < 6; i++)
		ask_path(&t[i], i);
	rig_settle();
	rig_listen();
	UNTIL((n = accept_all(fds, n)) == 2);
	wait_ms(8 * UP_TICK_MS);
	assert_int_equal(accept_all(fds, n), 2);
	for (int i = 0; i < 6; i++) {
		peer_read_head(fds[i % 2]);
		peer_send(fds[i % 2], "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
		client_gets(&t[i], 200, "ok");
	}
	close(fds[0]);
	close(fds[1]);
}

/* Longer than counting to the end of the ramp takes: the gate must not be forgotten. */
static void a_long_queue_for_few_connections_is_served(void **state)
{
	struct test_end t[2];
	int fd;

	(void)state;
	rig.limits.connections = 1;
	up_target_put(rig.target);
	rig_get_target();
	go_down();
	for (int i = 0; i < 2; i++)
		ask_path(&t[i], i);
	rig_settle();
	rig_listen();
	fd = peer_accept();
	wait_ms(15 * UP_TICK_MS);
	assert_false(rig.target->is_gated);
	peer_read_head(fd);
	peer_send(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
	client_gets(&t[0], 200, "ok");
	close(fd);
	serve_path(&t[1], 1);
}

/* ---- a full backlog ---- */

/* Fills the queue of a listener that accepts nobody; returns how many it took. */
static int fill_backlog(int *fds, int cap)
{
	for (int n = 0; n < cap; n++) {
		fds[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(fds[n], &rig.address.sa, rig.address.len) < 0) {
			assert_int_equal(errno, EAGAIN);
			close(fds[n]);
			return n;
		}
	}
	fail_msg("the backlog takes everybody");
	return 0;
}

/* Also for one that never answered: somebody listens there. */
static void a_full_backlog_is_waited_for(void **state)
{
	enum { N = 30 };
	struct test_end t[N];
	int fds[4], n, fd;

	(void)state;
	assert_int_equal(listen(rig.listener, 1), 0);
	n = fill_backlog(fds, ARRAY_SIZE(fds));
	for (int i = 0; i < N; i++)
		ask_path(&t[i], i);
	wait_ms(3 * UP_TICK_MS);
	assert_int_equal(rig.ntells, 0);
	/* one after the other, as there is room; in their order */
	for (int i = 0; i < n; i++) {
		UNTIL((fd = peer_try_accept()) >= 0);
		close(fd);
		close(fds[i]);
	}
	for (int i = 0; i < N; i++)
		serve_path(&t[i], i);
	assert_int_equal(rig.ntells, 0);
}

static void a_backlog_that_stays_full_is_503(void **state)
{
	struct test_end t;
	int fds[4], n;

	(void)state;
	assert_int_equal(listen(rig.listener, 1), 0);
	n = fill_backlog(fds, ARRAY_SIZE(fds));
	rig.x_timeouts.ride_out_ms = 100;
	for (int i = 0; i < 2; i++) {
		client_ask(&t, "GET", "/");
		client_gets_error(&t, ERR_UP_BACKLOG);
	}
	while (n)
		close(fds[--n]);
}

/* It was absent for longer than anybody waits; a listener that is overrun is another thing. */
static void a_full_backlog_after_an_absence_is_waited_for(void **state)
{
	struct test_end t;
	int fds[4], n, fd;

	(void)state;
	rig_unlisten();
	client_ask(&t, "GET", "/");
	client_gets_error(&t, ERR_UP_ABSENT);
	rig_listen_with(1);
	n = fill_backlog(fds, ARRAY_SIZE(fds));
	ask_path(&t, 7);
	wait_ms(3 * UP_TICK_MS);
	while (n) {
		UNTIL((fd = peer_try_accept()) >= 0);
		close(fd);
		close(fds[--n]);
	}
	serve_path(&t, 7);
}

/* ---- dialling that takes time ---- */

/* With a full backlog TCP leaves a connection hanging: nobody else tries, and it ends in time. */
static void a_probe_that_hangs_ends_with_the_ride_out(void **state)
{
	struct test_end t[3];
	uint64_t begin_ms;
	int fds[4];

	(void)state;
	go_down();
	rig.x_timeouts.ride_out_ms = 300;
	begin_ms = rig_now_ms();
	ask_path(&t[0], 0);
	rig_settle();
	rig_listen_with(0);
	for (int i = 0; i < 4; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fds[i], &rig.address.sa, rig.address.len);
	}
	ask_path(&t[1], 1);
	ask_path(&t[2], 2);
	UNTIL(rig.target->probe);
	wait_ms(2 * UP_TICK_MS);
	assert_int_equal(rig.target->nopen, 1);
	for (int i = 0; i < 3; i++)
		UNTIL(t[i].ended);
	assert_in_range(rig_now_ms() - begin_ms, 290, 900);
	assert_null(rig.target->probe);
	for (int i = 0; i < 3; i++) {
		assert_true(t[i].head->status == 503 || t[i].head->status == 504);
		client_leave(&t[i]);
	}
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}

/* Its client goes: the next one probes. */
static void a_probe_whose_client_goes_makes_way(void **state)
{
	struct test_end t[2];
	int fds[4], fd = -1;

	(void)state;
	go_down();
	ask_path(&t[0], 0);
	rig_settle();
	rig_listen_with(0);
	for (int i = 0; i < 4; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fds[i], &rig.address.sa, rig.address.len);
	}
	ask_path(&t[1], 1);
	UNTIL(rig.target->probe);
	client_leave(&t[0]);
	rig_settle();
	assert_null(rig.target->probe);
	UNTIL(rig.target->probe);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	/* what hung before comes first, and is over */
	for (;;) {
		char byte;

		fd = peer_accept();
		UNTIL(recv(fd, &byte, 1, MSG_PEEK) >= 0 || errno != EAGAIN);
		if (recv(fd, &byte, 1, MSG_PEEK) > 0)
			break;
		close(fd);
	}
	assert_non_null(strstr(peer_read_head(fd), "GET /1 "));
	peer_send(fd, "HTTP/1.1 204 No Content\r\n\r\n");
	client_gets(&t[1], 204, "");
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		RIG_TEST(requests_wait_for_the_return),
		RIG_TEST_TCP(requests_wait_for_the_return),
		RIG_TEST(what_happens_is_counted),
		RIG_TEST(how_it_stands_is_told),
		RIG_TEST(the_next_request_after_the_return_is_served),
		RIG_TEST(a_request_that_finds_nobody_waiting_tries_at_once),
		RIG_TEST(a_body_waits_in_its_pipe),
		RIG_TEST_TCP(a_body_waits_in_its_pipe),
		RIG_TEST(a_lost_get_waits_and_is_sent_again),
		RIG_TEST_TCP(a_lost_get_waits_and_is_sent_again),
		RIG_TEST(a_post_on_a_stale_connection_waits),
		RIG_TEST(a_post_that_was_lost_does_not_wait),
		RIG_TEST(nobody_waits_beyond_the_ride_out),
		RIG_TEST(one_that_never_answered_is_not_waited_for),
		RIG_TEST(what_one_worker_knows_all_know),
		RIG_TEST(without_a_ride_out_nobody_waits),
		RIG_TEST(a_client_that_goes_is_let_go_at_once),
		RIG_TEST(nothing_is_tried_for_nobody),
		RIG_TEST(they_are_let_through_little_by_little),
		RIG_TEST_TCP(they_are_let_through_little_by_little),
		RIG_TEST(the_bound_of_connections_holds),
		RIG_TEST(a_long_queue_for_few_connections_is_served),
		RIG_TEST(a_full_backlog_is_waited_for),
		RIG_TEST(a_backlog_that_stays_full_is_503),
		RIG_TEST(a_full_backlog_after_an_absence_is_waited_for),
		RIG_TEST_TCP(a_probe_that_hangs_ends_with_the_ride_out),
		RIG_TEST_TCP(a_probe_whose_client_goes_makes_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
