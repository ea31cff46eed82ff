/* Streams over real sockets, and the loop's turns. */
#include "core/stream.h"
#include "core/timer.h"
#include "tests/unit/support/ends.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct watch {
	struct stream *s;
	int peer;
	unsigned calls, in_calls;
	char got[256];
	size_t n;
	bool end;
	bool greedy;  /* read one byte a call */
	bool closes;
};

static void on_ready(struct stream *s)
{
	struct watch *w = s->owner;
	ssize_t r;

	w->calls++;
	if (w->closes) {
		stream_close(s);
		w->s = NULL;
		return;
	}
	if (!(s->can & s->want & (STREAM_IN | STREAM_HUP)))
		return;
	w->in_calls++;
	while ((r = stream_read(s, w->got + w->n, w->greedy ? 1 : sizeof w->got - w->n)) > 0) {
		w->n += (size_t)r;
		if (w->greedy)
			return;
	}
	if (r == 0) {
		w->end = true;
		stream_want(s, 0);
	}
}

static void open_pair(struct watch *w)
{
	int fd[2];

	memset(w, 0, sizeof *w);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	w->s = stream_new(fd[0]);
	assert_non_null(w->s);
	w->peer = fd[1];
	stream_own(w->s, w, on_ready);
}

static void close_pair(struct watch *w)
{
	if (w->s)
		stream_close(w->s);
	if (w->peer >= 0)
		close(w->peer);
}

static int setup(void **state)
{
	(void)state;
	test_loop_open();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	test_loop_close();
	return 0;
}

static void test_called_only_for_what_is_wanted(void **state)
{
	struct watch w;

	(void)state;
	open_pair(&w);
	assert_int_equal(write(w.peer, "abc", 3), 3);
	loop_turn(0);
	loop_turn(0);
	assert_int_equal(w.calls, 0);
	/* the edge has passed, but readiness was noted */
	stream_want(w.s, STREAM_IN);
	loop_turn(0);
	assert_int_equal(w.calls, 1);
	assert_int_equal(w.n, 3);
	loop_turn(0);
	assert_int_equal(w.calls, 1);
	close_pair(&w);
}

static void test_fin_with_data_is_not_lost(void **state)
{
	struct watch w;

	(void)state;
	open_pair(&w);
	stream_want(w.s, STREAM_IN);
	assert_int_equal(write(w.peer, "abc", 3), 3);
	close(w.peer);
	w.peer = -1;
	loop_turn(100);
	assert_int_equal(w.n, 3);
	assert_true(w.end);
	assert_true(stream_is_hup(w.s));
	close_pair(&w);
}

static void test_hup_alone_can_be_wanted(void **state)
{
	struct watch w;

	(void)state;
	open_pair(&w);
	stream_want(w.s, STREAM_HUP);
	assert_int_equal(write(w.peer, "abc", 3), 3);
	loop_turn(0);
	assert_int_equal(w.calls, 0);
	shutdown(w.peer, SHUT_WR);
	loop_turn(100);
	assert_int_equal(w.in_calls, 1);
	assert_int_equal(w.n, 3);
	close_pair(&w);
}

static void test_who_has_not_read_all_is_called_next_turn(void **state)
{
	struct watch w;

	(void)state;
	open_pair(&w);
	w.greedy = true;
	stream_want(w.s, STREAM_IN);
	assert_int_equal(write(w.peer, "abc", 3), 3);
	loop_turn(-1);
	assert_int_equal(w.n, 1);
	loop_turn(-1); /* does not sleep */
	assert_int_equal(w.n, 2);
	loop_turn(-1);
	assert_int_equal(w.n, 3);
	close_pair(&w);
}

static void test_closing_in_the_callback(void **state)
{
	struct watch a, b;

	(void)state;
	open_pair(&a);
	open_pair(&b);
	a.closes = b.closes = true;
	stream_want(a.s, STREAM_OUT);
	stream_want(b.s, STREAM_OUT);
	loop_turn(0);
	assert_int_equal(a.calls + b.calls, 2);
	assert_int_equal(stream_count(), 0);
	close_pair(&a);
	close_pair(&b);
}


static void test_event_of_a_closed_stream_is_struck_out(void **state)
{
	struct watch a, b;

	(void)state;
	open_pair(&a);
	open_pair(&b);
	loop_turn(0);
	stream_want(a.s, STREAM_IN);
	stream_want(b.s, STREAM_IN);
	assert_int_equal(write(a.peer, "x", 1), 1);
	assert_int_equal(write(b.peer, "x", 1), 1);
	/* b closes before its event is looked at */
	stream_close(b.s);
	b.s = NULL;
	loop_turn(0);
	assert_int_equal(a.n, 1);
	assert_int_equal(b.calls, 0);
	close_pair(&a);
	close_pair(&b);
}

static void test_writing_until_full_and_on(void **state)
{
	static char block[65536];
	struct watch w;
	size_t sent = 0, drained = 0;
	ssize_t r;

	(void)state;
	open_pair(&w);
	while ((r = stream_write(w.s, block, sizeof block)) > 0)
		sent += (size_t)r;
	assert_int_equal(r, -ERR_AGAIN);
	stream_want(w.s, STREAM_OUT);
	loop_turn(0);
	loop_turn(0);
	assert_int_equal(w.calls, 0);
	while ((r = read(w.peer, block, sizeof block)) > 0)
		drained += (size_t)r;
	assert_int_equal(drained, sent);
	loop_turn(100);
	assert_int_equal(w.calls, 1);
	close_pair(&w);
}

static void test_errors_are_told(void **state)
{
	struct watch w;
	char b;

	(void)state;
	open_pair(&w);
	close(w.peer);
	w.peer = -1;
	assert_int_equal(stream_write(w.s, "x", 1), -ERR_RESET);
	assert_true(stream_is_hup(w.s));
	assert_int_equal(stream_read(w.s, &b, 1), 0);
	close_pair(&w);
}

static unsigned runs;
static struct work again;

static void count_run(struct work *work)
{
	(void)work;
	runs++;
}

static void post_for_ever(struct work *work)
{
	runs++;
	loop_post(work);
}

static void test_posted_work_runs_once_a_posting(void **state)
{
	struct work w;

	(void)state;
	runs = 0;
	work_init(&w, count_run);
	loop_post(&w);
	loop_post(&w);
	loop_turn(-1);
	assert_int_equal(runs, 1);
	loop_post_next(&w);
	loop_turn(-1);
	assert_int_equal(runs, 2);
	loop_post(&w);
	work_cancel(&w);
	loop_turn(0);
	assert_int_equal(runs, 2);
}

static void test_a_turn_ends_whoever_posts(void **state)
{
	(void)state;
	runs = 0;
	work_init(&again, post_for_ever);
	loop_post(&again);
	loop_turn(-1);
	assert_true(runs > 0 && runs < 1000);
	work_cancel(&again);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_called_only_for_what_is_wanted),
		TEST(test_fin_with_data_is_not_lost),
		TEST(test_hup_alone_can_be_wanted),
		TEST(test_who_has_not_read_all_is_called_next_turn),
		TEST(test_closing_in_the_callback),
		TEST(test_event_of_a_closed_stream_is_struck_out),
		TEST(test_writing_until_full_and_on),
		TEST(test_errors_are_told),
		TEST(test_posted_work_runs_once_a_posting),
		TEST(test_a_turn_ends_whoever_posts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
