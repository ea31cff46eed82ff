/* Who is expected back and for how long, what the log says of it, and the names that all workers know. */
#include "core/outage.h"
#include "core/log.h"
#include "tests/unit/support/ends.h"
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct outage_names names;
static struct outage o;
static int sink[2];

static int setup(void **state)
{
	(void)state;
	memset(&names, 0, sizeof names);
	test_loop_open();
	if (pipe2(sink, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	log_open(sink[1], LOG_LEVEL_INFO, "worker 0");
	outage_init(&o, "unix:/run/app.sock", &names);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_set_fd(-1);
	close(sink[0]);
	close(sink[1]);
	test_loop_close();
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* What was logged since the last call. */
static const char *logged(void)
{
	static char text[4096];
	ssize_t n = read(sink[0], text, sizeof text - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

#define LOGGED(part) assert_non_null(strstr(logged(), part))

static void wait_ms(uint64_t ms)
{
	uint64_t end_ms = loop_now_ms() + ms;

	while (loop_now_ms() < end_ms)
		loop_turn(1);
}

static void only_who_has_answered_is_waited_for(void **state)
{
	(void)state;
	assert_false(outage_failed(&o, ERR_UP_ABSENT, NULL, 5000));
	LOGGED("warn worker 0: upstream unix:/run/app.sock is down: no such socket file\n");
	assert_false(outage_failed(&o, ERR_UP_REFUSED, NULL, 5000));
	assert_string_equal(logged(), "");
	outage_end(&o);
	LOGGED("note worker 0: upstream unix:/run/app.sock is back after 0.000 s: "
	       "0 requests waited, 2 got an error\n");
	outage_note_answer(&o);
	o.told_ms = 0;
	assert_true(outage_failed(&o, ERR_UP_REFUSED, NULL, 5000));
	LOGGED("is down: connection refused; "
	       "requests wait up to 5000 ms for its return (timeouts.ride-out)\n");
	assert_int_equal(o.why, ERR_UP_REFUSED);
	assert_true(outage_failed(&o, ERR_UP_UNREACHABLE, "No route to host", 5000));
	assert_int_equal(o.why, ERR_UP_UNREACHABLE);
	o.held = 7;
	outage_end(&o);
	LOGGED("7 requests waited, 0 got an error\n");
	assert_false(outage_is_on(&o));
}

static void more_about_it_is_said(void **state)
{
	(void)state;
	assert_false(outage_failed(&o, ERR_UP_UNREACHABLE, "No route to host", 5000));
	LOGGED("is down: unreachable: No route to host\n");
}

static void the_time_runs_from_the_first_failure(void **state)
{
	(void)state;
	outage_note_answer(&o);
	assert_true(outage_failed(&o, ERR_UP_ABSENT, NULL, 40));
	wait_ms(20);
	/* also when a later one brings another bound */
	assert_true(outage_failed(&o, ERR_UP_ABSENT, NULL, 1000));
	wait_ms(20);
	assert_false(outage_failed(&o, ERR_UP_ABSENT, NULL, 1000));
	assert_false(outage_failed(&o, ERR_UP_ABSENT, NULL, 1000));
	assert_int_equal(o.refused, 2);
	outage_end(&o);
	assert_true(outage_failed(&o, ERR_UP_ABSENT, NULL, 40));
	assert_int_equal(o.refused, 0);
	outage_end(&o);
	/* no bound at all, and none of the kind that overflows */
	assert_false(outage_failed(&o, ERR_UP_ABSENT, NULL, 0));
	outage_end(&o);
	assert_true(outage_failed(&o, ERR_UP_ABSENT, NULL, UINT64_MAX));
}

static void a_full_backlog_proves_a_listener(void **state)
{
	(void)state;
	assert_true(outage_failed(&o, ERR_UP_BACKLOG, NULL, 5000));
	LOGGED("is down: backlog full; requests wait");
	outage_end(&o);
	/* whatever was before, and however long */
	assert_false(outage_failed(&o, ERR_UP_ABSENT, NULL, 5));
	wait_ms(10);
	assert_true(outage_failed(&o, ERR_UP_BACKLOG, NULL, 20));
	assert_true(outage_failed(&o, ERR_UP_BACKLOG, NULL, 20));
	wait_ms(20);
	assert_false(outage_failed(&o, ERR_UP_BACKLOG, NULL, 20));
}

static void our_own_want_is_waited_for(void **state)
{
	(void)state;
	/* for it may be there, and was not asked */
	assert_true(outage_failed(&o, ERR_UP_NO_FD, NULL, 20));
	LOGGED("cannot be dialled: out of file descriptors; requests wait up to 20 ms");
	wait_ms(20);
	assert_false(outage_failed(&o, ERR_UP_NO_FD, NULL, 20));
	outage_end(&o);
	LOGGED("is back after");
}

static void the_log_is_not_flooded(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_true(outage_failed(&o, ERR_UP_BACKLOG, NULL, 5000));
		outage_end(&o);
	}
	LOGGED("back after 0.000 s: 0 requests waited, 0 got an error\n");
	assert_string_equal(logged(), "");
	o.told_ms -= 500;
	assert_true(outage_failed(&o, ERR_UP_BACKLOG, NULL, 5000));
	outage_end(&o);
	LOGGED("got an error; 99 more such outages were not logged\n");
}

/* ---- names ---- */

static void other_workers_know_it_too(void **state)
{
	struct outage other, alone;

	(void)state;
	outage_init(&other, "unix:/run/app.sock", &names);
	outage_init(&alone, "unix:/run/app.sock", NULL);
	outage_note_answer(&o);
	assert_true(outage_failed(&other, ERR_UP_ABSENT, NULL, 5000));
	assert_false(outage_failed(&alone, ERR_UP_ABSENT, NULL, 5000));
	outage_end(&alone);
	outage_note_answer(&alone);
	assert_true(outage_failed(&alone, ERR_UP_ABSENT, NULL, 5000));
}

static void thousands_of_names(void **state)
{
	enum { N = OUTAGE_NAMES / 2 };
	char text[32];

	(void)state;
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < N; i++) {
			snprintf(text, sizeof text, "unix:/run/%d.sock", i);
			assert_int_equal(outage_names_has(&names, str_from_c(text)), round);
			outage_names_add(&names, str_from_c(text));
		}
	assert_false(outage_names_has(&names, STR("unix:/run/x.sock")));
	/* full: it takes no more, and says of no other that it is there */
	for (int i = 0; i < OUTAGE_NAMES; i++)
		names.hash[i] = 2;
	outage_names_add(&names, STR("unix:/run/x.sock"));
	assert_false(outage_names_has(&names, STR("unix:/run/x.sock")));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(only_who_has_answered_is_waited_for),
		TEST(more_about_it_is_said),
		TEST(the_time_runs_from_the_first_failure),
		TEST(a_full_backlog_proves_a_listener),
		TEST(our_own_want_is_waited_for),
		TEST(the_log_is_not_flooded),
		TEST(other_workers_know_it_too),
		TEST(thousands_of_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
