/* So many a minute for an address. */
#include "proxy/rate.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct rate_table table;

static int clear(void **state)
{
	(void)state;
	memset(&table, 0, sizeof table);
	return 0;
}

static unsigned take_all(uint64_t hash, uint64_t now_ms)
{
	unsigned n = 0;

	while (n < 1000 && rate_take(&table, hash, 6, now_ms))
		n++;
	return n;
}

static const uint64_t A = 0x123456789abcdef1, B = 0xfedcba9876543211;

static void test_share(void **state)
{
	(void)state;
	assert_int_equal(take_all(A, 1000), 6);
	assert_int_equal(take_all(B, 1000), 6);
	assert_int_equal(take_all(A, 1000 + 9999), 0);
	assert_int_equal(take_all(A, 1000 + 10000), 1);
	assert_int_equal(take_all(A, 1000 + 40000), 3);
	assert_int_equal(take_all(A, 1000 + 200000), 6);
	assert_int_equal(take_all(B, 1000), 0); /* a worker whose clock lags */
}

/* Whoever floods the table with addresses makes it forget, but what it keeps is right. */
static void test_many_addresses(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= RATE_BUCKETS * RATE_WAYS * 4; i++)
		assert_true(rate_take(&table, i * 0x9e3779b97f4a7c15u, 6, 5000));
	assert_true(take_all(A, 5000) <= 6);
	assert_int_equal(take_all(A, 5000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_share, clear),
		cmocka_unit_test_setup(test_many_addresses, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
