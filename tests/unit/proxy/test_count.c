/* proxy/count: columns of several workers in one page, and what a dead one leaves. */
#include "proxy/count.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

static struct count *parent;

static int open_page(void **state)
{
	(void)state;
	parent = count_make();
	return parent ? 0 : -1;
}

static int close_page(void **state)
{
	(void)state;
	count_free(parent);
	return 0;
}

static struct count *worker(int *column)
{
	struct count *c;

	*column = count_take_column(parent);
	assert_true(*column >= 0);
	c = count_open(count_fd(parent), (unsigned)*column);
	assert_non_null(c);
	return c;
}

static void names_are_known_to_all_and_outlive_whoever_wrote_them(void **state)
{
	int ca, cb;
	struct count *a = worker(&ca), *b = worker(&cb);

	(void)state;
	outage_names_add(count_names(a), STR("unix:/run/app.sock"));
	assert_true(outage_names_has(count_names(b), STR("unix:/run/app.sock")));
	assert_false(outage_names_has(count_names(b), STR("unix:/run/other.sock")));
	count_free(a);
	count_clear_column(parent, (unsigned)ca);
	assert_true(outage_names_has(count_names(b), STR("unix:/run/app.sock")));
	count_free(b);
}

static void counts_add_up_over_workers(void **state)
{
	int ca, cb;
	struct count *a = worker(&ca), *b = worker(&cb);
	struct count_sum sum;

	(void)state;
	assert_int_not_equal(ca, cb);
	count_add(a);
	count_add(a);
	count_add(b);
	sum = count_sum(a);
	assert_int_equal(sum.connections, 3);
	assert_int_equal(count_mine(a), 2);
	count_undecided_add(a);
	count_undecided_add(b);
	assert_int_equal(count_sum(b).undecided, 2);
	count_undecided_sub(a);
	assert_int_equal(count_sum(b).undecided, 1);
	/* nobody has begun to take connections */
	assert_int_equal(sum.workers, 0);
	count_set_state(a, COUNT_TAKES);
	count_set_state(b, COUNT_WAITS);
	sum = count_sum(a);
	assert_int_equal(sum.workers, 2);
	assert_int_equal(sum.shared, 3);
	assert_int_equal(sum.takers, 0);
	assert_int_equal(count_sum(b).takers, 1);
	/* one that leaves still has its connections, which count for the machine but not for the mean */
	count_set_state(b, COUNT_LEAVES);
	sum = count_sum(a);
	assert_int_equal(sum.workers, 1);
	assert_int_equal(sum.shared, 2);
	assert_int_equal(sum.connections, 3);
	count_sub(a);
	assert_int_equal(count_sum(b).connections, 2);
	count_free(a);
	count_free(b);
}

static void a_dead_worker_leaves_nothing(void **state)
{
	int ca, cb, again;
	struct count *a = worker(&ca), *b = worker(&cb), *c;

	(void)state;
	count_add(a);
	count_undecided_add(a);
	count_set_state(a, COUNT_TAKES);
	assert_int_equal(count_address_add(a, 77), 1);
	assert_int_equal(count_address_add(b, 77), 2);
	count_free(a);
	count_clear_column(parent, (unsigned)ca);
	assert_int_equal(count_sum(b).connections, 0);
	assert_int_equal(count_sum(b).undecided, 0);
	assert_int_equal(count_sum(b).workers, 0);
	assert_int_equal(count_address_add(b, 77), 2);
	/* the column is free again, and empty */
	c = worker(&again);
	assert_int_equal(again, ca);
	assert_int_equal(count_mine(c), 0);
	count_free(b);
	count_free(c);
}

static void columns_run_out(void **state)
{
	(void)state;
	for (int i = 0; i < COUNT_COLUMNS; i++)
		assert_int_equal(count_take_column(parent), i);
	assert_int_equal(count_take_column(parent), -1);
	count_clear_column(parent, 7);
	assert_int_equal(count_take_column(parent), 7);
}

static void addresses_are_counted_over_workers(void **state)
{
	int ca, cb;
	struct count *a = worker(&ca), *b = worker(&cb);

	(void)state;
	for (unsigned i = 1; i <= 10; i++) {
		assert_int_equal(count_address_add(a, 0x1234567800000001), 2 * i - 1);
		assert_int_equal(count_address_add(b, 0x1234567800000001), 2 * i);
	}
	for (unsigned i = 0; i < 10; i++)
		count_address_sub(a, 0x1234567800000001);
	assert_int_equal(count_address_add(b, 0x1234567800000001), 11);
	/* more taken away than was there: nothing runs below zero */
	count_address_sub(a, 0x1234567800000001);
	assert_int_equal(count_address_add(a, 0x1234567800000001), 12);
	count_free(a);
	count_free(b);
}

/* Many addresses in one bucket: those without a place are not counted, the others stay right. */
static void a_full_bucket_counts_no_more(void **state)
{
	int column;
	struct count *c = worker(&column);
	unsigned counted = 0;

	(void)state;
	for (uint64_t i = 1; i <= 64; i++)
		counted += count_address_add(c, i << 33 | 1);
	assert_int_equal(counted, 8);
	assert_int_equal(count_address_add(c, 1ULL << 33 | 1), 2);
	assert_int_equal(count_address_add(c, 64ULL << 33 | 1), 0);
	/* a place that is free again serves another */
	count_address_sub(c, 2ULL << 33 | 1);
	assert_int_equal(count_address_add(c, 64ULL << 33 | 1), 1);
	count_free(c);
}

static void what_is_no_page_is_refused(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	(void)state;
	assert_null(count_open(fd, 0));
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_null(count_open(fd, 0));
	assert_null(count_open(count_fd(parent), COUNT_COLUMNS));
	/* a worker cannot cut the file from under the others */
	assert_int_equal(ftruncate(count_fd(parent), 0), -1);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_page, close_page)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(counts_add_up_over_workers),
		TEST(names_are_known_to_all_and_outlive_whoever_wrote_them),
		TEST(a_dead_worker_leaves_nothing),
		TEST(columns_run_out),
		TEST(addresses_are_counted_over_workers),
		TEST(a_full_bucket_counts_no_more),
		TEST(what_is_no_page_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
