/* Which of many vhosts a name means. */
#include "conf/names.h"
#include "tests/unit/guard.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	arena_drop_spares();
	return 0;
}

static struct conf_names *names_of(const char *const *list, size_t n)
{
	struct str *names = base_alloc(n * sizeof *names);
	struct conf_names *t;

	for (size_t i = 0; i < n; i++)
		names[i] = str_from_c(list[i]);
	t = conf_names_new(&arena, names, n);
	free(names);
	return t;
}

static void the_nearest_name_is_found(void **state)
{
	static const char *const list[] = {
		"default.test",	      /* 0 */
		"Example.Com.",	      /* 1 */
		"*.example.com",      /* 2 */
		"*.deep.example.com", /* 3 */
		"www.example.com",    /* 4 */
		"parent.test",	      /* 5 */
		"sub.parent.test",    /* 6 */
		"*.only.test",	      /* 7 */
		"www.example.com",    /* 8: the first of equal ones has it */
		"xn--bcher-kva.test", /* 9 */
	};
	static const struct {
		const char *name;
		int index;
	} rows[] = {
		{ "default.test", 0 },
		{ "example.com", 1 },
		{ "www.example.com", 4 },
		{ "other.example.com", 2 },
		{ "a.b.example.com", 1 }, /* a wildcard is for one label, a parent for any number */
		{ "deep.example.com", 2 },
		{ "a.deep.example.com", 3 },
		{ "a.b.deep.example.com", 1 },
		{ "a.www.example.com", 4 },
		{ "parent.test", 5 },
		{ "a.parent.test", 5 },
		{ "sub.parent.test", 6 },
		{ "a.sub.parent.test", 6 },
		{ "asub.parent.test", 5 },
		{ "a.only.test", 7 },
		{ "a.b.only.test", -1 },
		{ "only.test", -1 },
		{ "xparent.test", -1 },
		{ "test", -1 },
		{ "parent.test.evil", -1 },
		{ "", -1 },
		{ ".", -1 },
		{ "..", -1 },
		{ ".example.com", -1 },
		{ "a..example.com", 1 },
		{ "xn--bcher-kva.test", 9 },
	};
	struct conf_names *t = names_of(list, ARRAY_SIZE(list));

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ssize_t found = conf_names_find(t, str_from_c(rows[i].name), NULL);

		if (found != rows[i].index)
			fail_msg("%s: %zd, not %d", rows[i].name, found, rows[i].index);
	}
}

static void longest_names(void **state)
{
	static const char *const list[] = { "a.test", "*.b.test" };
	struct conf_names *t = names_of(list, ARRAY_SIZE(list));
	struct guard g = guard_open(CONF_NAME_BYTES);
	char name[CONF_NAME_BYTES];

	(void)state;
	for (size_t n = 1; n <= sizeof name; n++) {
		for (size_t i = 0; i < n; i++)
			name[i] = i % 2 ? '.' : 'a';
		assert_int_equal(conf_names_find(t, str_of(guard_tail(&g, name, n), n), NULL), -1);
	}
	memset(name, '.', sizeof name);
	assert_int_equal(conf_names_find(t, str_of(guard_tail(&g, name, sizeof name), sizeof name), NULL),
			 -1);
	guard_close(&g);
}

static void ten_thousand_names(void **state)
{
	enum { N = 10000 };
	struct str *names = base_alloc(N * sizeof *names);
	char(*text)[32] = base_zalloc(N * sizeof *text);
	struct conf_names *t;

	(void)state;
	for (size_t i = 0; i < N; i++) {
		snprintf(text[i], sizeof text[i], i % 3 ? "host%zu.test" : "*.host%zu.test", i);
		names[i] = str_from_c(text[i]);
	}
	t = conf_names_new(&arena, names, N);
	for (size_t i = 0; i < N; i++) {
		char name[40];

		snprintf(name, sizeof name, "a.host%zu.test", i);
		assert_int_equal(conf_names_find(t, str_from_c(name), NULL), i);
		assert_int_equal(conf_names_find(t, str_of(name + 2, strlen(name) - 2), NULL),
				 i % 3 ? (ssize_t)i : -1);
	}
	free(text);
	free(names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_nearest_name_is_found, setup, teardown),
		cmocka_unit_test_setup_teardown(longest_names, setup, teardown),
		cmocka_unit_test_setup_teardown(ten_thousand_names, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
