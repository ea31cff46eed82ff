/* Pieces that are used again: how many are kept, and when they go. */
#include "core/spares.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { RUSH = 500 };

static void *take(struct spares *s)
{
	void *p = spares_take(s);

	return p ? p : base_alloc(32);
}

static void put(struct spares *s, void *p)
{
	if (!spares_keep(s, p))
		free(p);
}

static void rush(struct spares *s, size_t n)
{
	void *p[RUSH];

	for (size_t i = 0; i < n; i++)
		p[i] = take(s);
	assert_int_equal(s->used, n);
	for (size_t i = 0; i < n; i++)
		put(s, p[i]);
	assert_int_equal(s->used, 0);
}

/* A sanitizer sees more when none is kept. */
static size_t kept(size_t n)
{
	return BASE_SANITIZED ? 0 : n;
}

static void test_the_next_wave_finds_what_the_last_one_left(void **state)
{
	struct spares s = { 0 };

	(void)state;
	rush(&s, RUSH);
	assert_int_equal(s.n, kept(RUSH));
	spares_settle(&s);
	rush(&s, RUSH);
	spares_settle(&s);
	assert_int_equal(s.n, kept(RUSH));
	spares_drop(&s);
	assert_int_equal(s.n, 0);
}

static void test_a_rush_is_over(void **state)
{
	struct spares s = { 0 };

	(void)state;
	rush(&s, RUSH);
	spares_settle(&s);
	assert_int_equal(s.n, kept(RUSH));
	rush(&s, 100);
	spares_settle(&s);
	assert_int_equal(s.n, kept(100));
	spares_settle(&s);
	spares_settle(&s);
	assert_int_equal(s.n, kept(64)); /* a few stay */
	spares_drop(&s);
}

static void test_last_in_first_out(void **state)
{
	struct spares s = { 0 };
	void *a = take(&s), *b = take(&s);

	(void)state;
	put(&s, a);
	put(&s, b);
	if (!BASE_SANITIZED) {
		assert_ptr_equal(spares_take(&s), b);
		assert_ptr_equal(spares_take(&s), a);
		put(&s, a);
		put(&s, b);
	}
	spares_drop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_next_wave_finds_what_the_last_one_left),
		cmocka_unit_test(test_a_rush_is_over),
		cmocka_unit_test(test_last_in_first_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
