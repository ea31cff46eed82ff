/* Timers against a clock that the test turns. The loop is not linked: this is its clock. */
#include "core/timer.h"
#include "core/loop.h"
#include "tests/unit/bug.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static uint64_t clock_ms = 1;

uint64_t loop_now_ms(void)
{
	return clock_ms;
}

static int teardown(void **state)
{
	(void)state;
	timer_close();
	return 0;
}

struct alarm {
	struct timer t;
	unsigned rings;
	uint64_t rang_ms;
	uint64_t again_ms; /* set again by the callback; UINT64_MAX: not */
	struct alarm *stops;
};

static void ring(struct timer *t)
{
	struct alarm *a = container_of(t, struct alarm, t);

	assert_false(timer_is_set(t));
	a->rings++;
	a->rang_ms = clock_ms;
	if (a->again_ms != UINT64_MAX)
		timer_set(t, a->again_ms);
	if (a->stops)
		timer_stop(&a->stops->t);
}

static void alarm_init(struct alarm *a)
{
	*a = (struct alarm){ .again_ms = UINT64_MAX };
	timer_init(&a->t, ring);
}

static void run_at(uint64_t ms)
{
	clock_ms = ms;
	timer_run();
}

static void test_expires_once_when_due(void **state)
{
	struct alarm a;
	uint64_t from = clock_ms;

	(void)state;
	alarm_init(&a);
	assert_int_equal(timer_wait_ms(), -1);
	assert_false(timer_is_set(&a.t));
	timer_set(&a.t, 10);
	assert_true(timer_is_set(&a.t));
	assert_int_equal(timer_wait_ms(), 10);
	run_at(from + 9);
	assert_int_equal(a.rings, 0);
	assert_int_equal(timer_wait_ms(), 1);
	run_at(from + 10);
	assert_int_equal(a.rings, 1);
	assert_false(timer_is_set(&a.t));
	assert_int_equal(timer_wait_ms(), -1);
	run_at(from + 100);
	assert_int_equal(a.rings, 1);
}

static void test_pushing_back_costs_no_move(void **state)
{
	struct alarm a, b;
	uint64_t from = clock_ms;

	(void)state;
	alarm_init(&a);
	alarm_init(&b);
	timer_set(&a.t, 10);
	timer_set(&b.t, 15);
	clock_ms = from + 8;
	timer_set(&a.t, 10);
	assert_int_equal(a.t.slot_ms, from + 10);
	assert_int_equal(timer_wait_ms(), 2); /* its old place comes up */
	run_at(from + 10);
	assert_int_equal(a.rings, 0);
	assert_int_equal(a.t.slot_ms, from + 18);
	run_at(from + 17);
	assert_int_equal(a.rings, 0);
	assert_int_equal(b.rings, 1);
	run_at(from + 18);
	assert_int_equal(a.rings, 1);
}

static void test_pulling_forward_moves_at_once(void **state)
{
	struct alarm a, b;
	uint64_t from = clock_ms;

	(void)state;
	alarm_init(&a);
	alarm_init(&b);
	timer_set(&b.t, 50);
	timer_set(&a.t, 100);
	timer_set(&a.t, 200); /* only marked */
	timer_set(&a.t, 5);
	assert_int_equal(timer_wait_ms(), 5);
	run_at(from + 5);
	assert_int_equal(a.rings, 1);
	assert_int_equal(b.rings, 0);
	timer_stop(&b.t);
	timer_stop(&b.t);
	run_at(from + 500);
	assert_int_equal(a.rings, 1);
	assert_int_equal(b.rings, 0);
}

static void test_nothing_is_called_twice_in_one_run(void **state)
{
	struct alarm a;

	(void)state;
	alarm_init(&a);
	a.again_ms = 0;
	timer_set(&a.t, 0);
	assert_int_equal(a.rings, 0);
	assert_int_equal(timer_wait_ms(), 0);
	timer_run();
	assert_int_equal(a.rings, 1);
	timer_run();
	assert_int_equal(a.rings, 1);
	assert_int_equal(timer_wait_ms(), 1);
	run_at(clock_ms + 1);
	assert_int_equal(a.rings, 2);
	timer_stop(&a.t);
}

static void test_a_callback_may_stop_one_that_is_due(void **state)
{
	struct alarm a, b;

	(void)state;
	alarm_init(&a);
	alarm_init(&b);
	a.stops = &b;
	b.stops = &a;
	timer_set(&a.t, 1);
	timer_set(&b.t, 1);
	run_at(clock_ms + 5);
	assert_int_equal(a.rings + b.rings, 1);
	assert_int_equal(timer_wait_ms(), -1);
}

static void ring_and_free(struct timer *t)
{
	free(container_of(t, struct alarm, t));
}

static void test_a_callback_may_free_its_timer(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		struct alarm *a = base_zalloc(sizeof *a);

		timer_init(&a->t, ring_and_free);
		timer_set(&a->t, i % 7);
	}
	run_at(clock_ms + 7);
	assert_int_equal(timer_wait_ms(), -1);
}

static void test_far_and_farther(void **state)
{
	struct alarm a;

	(void)state;
	alarm_init(&a);
	timer_set(&a.t, UINT64_MAX);
	assert_true(timer_is_set(&a.t));
	assert_int_equal(timer_wait_ms(), INT_MAX);
	timer_run();
	assert_int_equal(a.rings, 0);
	timer_set(&a.t, (uint64_t)INT_MAX + 1);
	assert_int_equal(timer_wait_ms(), INT_MAX);
	timer_stop(&a.t);
}

/* Each rings in the run at or after the last time set, in no run before, and once. */
static void test_many_against_a_plain_array(void **state)
{
	enum { TIMERS = 500, STEPS = 60000 };
	static struct alarm a[TIMERS];
	static uint64_t due_ms[TIMERS]; /* 0: not set */
	static unsigned rings[TIMERS];
	unsigned seed = 3;

	(void)state;
	for (int i = 0; i < TIMERS; i++)
		alarm_init(&a[i]);
	for (int step = 0; step < STEPS; step++) {
		uint64_t next_ms = UINT64_MAX;
		unsigned i, after;

		seed = seed * 1103515245 + 12345;
		i = (seed >> 8) % TIMERS;
		after = (seed >> 17) % 300;
		if (step % 5 == 0) {
			timer_stop(&a[i].t);
			due_ms[i] = 0;
		} else {
			timer_set(&a[i].t, after);
			due_ms[i] = clock_ms + after;
		}
		if (step % 3)
			continue;
		run_at(clock_ms + step % 4);
		for (int k = 0; k < TIMERS; k++) {
			bool is_due = due_ms[k] && due_ms[k] <= clock_ms;

			rings[k] += is_due;
			if (is_due)
				due_ms[k] = 0;
			assert_int_equal(a[k].rings, rings[k]);
			assert_int_equal(timer_is_set(&a[k].t), due_ms[k] != 0);
			if (due_ms[k])
				next_ms = MIN(next_ms, due_ms[k]);
		}
		if (next_ms == UINT64_MAX)
			assert_int_equal(timer_wait_ms(), -1);
		else
			assert_true(timer_wait_ms() > 0 && (uint64_t)timer_wait_ms() <= next_ms - clock_ms);
	}
	for (int k = 0; k < TIMERS; k++)
		timer_stop(&a[k].t);
	assert_int_equal(timer_wait_ms(), -1);
}

static void test_a_timer_left_behind_is_a_bug(void **state)
{
	struct alarm a;

	(void)state;
	alarm_init(&a);
	timer_set(&a.t, 1);
	assert_bug(timer_close());
	timer_stop(&a.t);
	timer_close();
	timer_set(&a.t, 1); /* there is a heap again when one is needed */
	timer_stop(&a.t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expires_once_when_due),
		cmocka_unit_test(test_pushing_back_costs_no_move),
		cmocka_unit_test(test_pulling_forward_moves_at_once),
		cmocka_unit_test(test_nothing_is_called_twice_in_one_run),
		cmocka_unit_test(test_a_callback_may_stop_one_that_is_due),
		cmocka_unit_test(test_a_callback_may_free_its_timer),
		cmocka_unit_test(test_far_and_farther),
		cmocka_unit_test(test_many_against_a_plain_array),
		cmocka_unit_test(test_a_timer_left_behind_is_a_bug),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
