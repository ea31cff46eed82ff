/* Slices, numbers, small macros, lists, and how a bug ends the process. */
#include "core/list.h"
#include "core/log.h"
#include "tests/unit/bug.h"
#include "tests/unit/guard.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_lower_8_changes_upper_case_ascii_only(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 256; c++)
		for (unsigned neighbour = 0; neighbour < 256; neighbour += 51)
			for (int at = 0; at < 8; at++) {
				unsigned char bytes[8], expected[8];
				uint64_t x;

				memset(bytes, (int)neighbour, 8);
				bytes[at] = (unsigned char)c;
				for (int i = 0; i < 8; i++)
					expected[i] = (unsigned char)str_lower_char((char)bytes[i]);
				memcpy(&x, bytes, 8);
				x = str_lower_8(x);
				assert_memory_equal(&x, expected, 8);
			}
}

static bool eq_nocase_naively(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_lower_char(a[i]) != str_lower_char(b[i]))
			return false;
	return true;
}

static void test_eq_nocase_at_every_length_and_place(void **state)
{
	static const char text[] = "Content-Security-Policy: ABCXYZ[@`{az}";
	struct guard left = guard_open(64), right = guard_open(64);

	(void)state;
	for (size_t n = 0; n < sizeof text; n++) {
		char *a = guard_tail(&left, text, n), *b = guard_tail(&right, text, n);

		assert_true(str_eq_nocase(str_of(a, n), str_of(b, n)));
		for (size_t i = 0; i < n; i++)
			for (int bit = 0; bit < 8; bit++) {
				b[i] = (char)(text[i] ^ (1 << bit));
				assert_int_equal(str_eq_nocase(str_of(a, n), str_of(b, n)),
						 eq_nocase_naively(a, b, n));
				b[i] = text[i];
			}
		if (n)
			assert_false(str_eq_nocase(str_of(a, n), str_of(b, n - 1)));
	}
	assert_true(str_eq_nocase(STR_NONE, STR("")));
	guard_close(&left);
	guard_close(&right);
}

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t max, value;
		bool ok;
	} rows[] = {
		{ "0", UINT64_MAX, 0, true },
		{ "007", UINT64_MAX, 7, true },
		{ "18446744073709551615", UINT64_MAX, UINT64_MAX, true },
		{ "18446744073709551616", UINT64_MAX, 0, false },
		{ "99999999999999999999", UINT64_MAX, 0, false },
		{ "184467440737095516150", UINT64_MAX, 0, false },
		{ "9223372036854775807", INT64_MAX, INT64_MAX, true },
		{ "9223372036854775808", INT64_MAX, 0, false },
		{ "255", 255, 255, true },
		{ "256", 255, 0, false },
		{ "0", 0, 0, true },
		{ "", 9, 0, false },
		{ "+1", 9, 0, false },
		{ "-1", 9, 0, false },
		{ " 1", 9, 0, false },
		{ "1 ", 9, 0, false },
		{ "1a", 9, 0, false },
		{ "0x1", 9, 0, false },
		{ "1_0", 99, 0, false },
		{ "\xb1", 9, 0, false },
		{ "/", 9, 0, false },
		{ ":", 9, 0, false },
	};
	struct guard g = guard_open(64);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = strlen(rows[i].text);
		uint64_t value = 4711;

		assert_int_equal(str_to_u64(str_of(guard_tail(&g, rows[i].text, n), n), rows[i].max, &value),
				 rows[i].ok);
		assert_true(value == (rows[i].ok ? rows[i].value : 4711));
	}
	guard_close(&g);
}

static void test_slices(void **state)
{
	(void)state;
	assert_true(str_eq(STR_NONE, STR("")));
	assert_true(str_eq(STR("abc"), str_from_c("abc")));
	assert_false(str_eq(STR("abc"), STR("abd")));
	assert_false(str_eq(STR("abc"), STR("ab")));
	assert_int_equal(str_from_c(NULL).n, 0);

	assert_true(str_starts(STR("/app/x"), STR("/app")));
	assert_true(str_starts(STR("/app"), STR("/app")));
	assert_false(str_starts(STR("/ap"), STR("/app")));
	assert_true(str_starts(STR_NONE, STR("")));
	assert_true(str_starts(STR("a"), STR_NONE));
	assert_false(str_starts(STR_NONE, STR("a")));
	assert_true(str_ends(STR_NONE, STR_NONE));
	assert_true(str_ends(STR("a.example.com"), STR(".example.com")));
	assert_false(str_ends(STR("example.com"), STR(".example.com")));

	assert_true(str_eq(str_trim(STR(" \t a \t b\t ")), STR("a \t b")));
	assert_true(str_eq(str_trim(STR(" \t ")), STR("")));
	assert_true(str_eq(str_trim(STR_NONE), STR("")));
	assert_true(str_eq(str_trim(STR("\va\n")), STR("\va\n")));
}

static void test_macros(void **state)
{
	struct str s = STR("moved"), t;
	struct {
		int first;
		struct list node;
	} outer;
	int calls = 0;

	(void)state;
	TAKE(t, &s);
	assert_true(str_eq(t, STR("moved")));
	assert_null(s.p);
	assert_int_equal(s.n, 0);

	assert_int_equal(MIN(calls++, 5), 0);
	assert_int_equal(MAX(calls++, 0), 1);
	assert_int_equal(calls, 2);

	assert_ptr_equal(container_of(&outer.node, __typeof__(outer), node), &outer);
}

static void test_memory_of_nothing(void **state)
{
	char *p = base_alloc(0), *q = base_zalloc(0), *r = base_zalloc(100);

	(void)state;
	assert_non_null(p);
	assert_non_null(q);
	for (int i = 0; i < 100; i++)
		assert_int_equal(r[i], 0);
	r[0] = 'x';
	r = base_realloc(r, 100000);
	assert_int_equal(r[0], 'x');
	r = base_realloc(r, 0);
	assert_non_null(r);
	free(p);
	free(q);
	free(r);
}

/* ---- lists ---- */

struct item {
	int value;
	struct list node;
};

static void assert_list(struct list *head, const char *expected)
{
	char text[16];
	size_t n = 0;

	list_for_each(pos, head)
		text[n++] = (char)('0' + list_entry(pos, struct item, node)->value);
	text[n] = '\0';
	assert_string_equal(text, expected);
	/* the same backwards */
	for (struct list *pos = head->prev; pos != head; pos = pos->prev)
		assert_int_equal(list_entry(pos, struct item, node)->value, text[--n] - '0');
	assert_int_equal(n, 0);
}

static void test_lists(void **state)
{
	struct item items[6];
	struct list a, b;

	(void)state;
	list_init(&a);
	list_init(&b);
	for (int i = 0; i < 6; i++) {
		items[i].value = i;
		list_init(&items[i].node);
		assert_true(list_empty(&items[i].node));
	}
	assert_list(&a, "");
	list_push(&a, &items[1].node);
	list_push(&a, &items[2].node);
	list_push_front(&a, &items[0].node);
	assert_list(&a, "012");
	list_push(&b, &items[3].node);
	list_push(&b, &items[4].node);
	list_splice(&a, &b);
	assert_list(&a, "01234");
	assert_list(&b, "");
	list_splice(&a, &b);
	assert_list(&a, "01234");
	list_splice(&b, &a);
	assert_list(&a, "");
	assert_list(&b, "01234");

	list_del(&items[2].node);
	list_del(&items[2].node);
	assert_true(list_empty(&items[2].node));
	assert_list(&b, "0134");
	list_for_each_safe(pos, tmp, &b)
		if (list_entry(pos, struct item, node)->value % 2)
			list_del(pos);
	assert_list(&b, "04");
	assert_ptr_equal(list_pop(&b), &items[0].node);
	assert_true(list_empty(&items[0].node));
	assert_ptr_equal(list_pop(&b), &items[4].node);
	assert_null(list_pop(&b));
}

/* ---- bugs ---- */

static void die_with_log(int fd)
{
	log_open(fd, LOG_LEVEL_ERROR, "worker 0");
	BUG_ON(fd > 0);
}

static void die_without_log(int fd)
{
	dup2(fd, STDERR_FILENO);
	BUG_ON(fd > 0);
}

static void assert_says_where(void (*die)(int fd))
{
	char said[512];
	int fd[2];
	ssize_t n;
	pid_t pid;
	int status;

	assert_int_equal(pipe(fd), 0);
	pid = bug_fork();
	if (pid == 0) {
		die(fd[1]);
		_exit(0);
	}
	status = bug_reap(pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	n = read(fd[0], said, sizeof said - 1);
	assert_true(n > 0);
	said[n] = '\0';
	assert_non_null(strstr(said, "bug: fd > 0 at "));
	assert_non_null(strstr(said, "test_base.c:"));
	close(fd[0]);
	close(fd[1]);
}

static void test_a_bug_says_where(void **state)
{
	(void)state;
	assert_says_where(die_with_log);
	assert_says_where(die_without_log);
}

static void test_no_memory_is_the_end(void **state)
{
	volatile size_t absurd = SIZE_MAX / 4;

	(void)state;
	if (BASE_SANITIZED)
		assert_dies(free(base_alloc(absurd))); /* the sanitizer's own allocator does not return */
	else
		assert_bug(free(base_alloc(absurd)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lower_8_changes_upper_case_ascii_only),
		cmocka_unit_test(test_eq_nocase_at_every_length_and_place),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_macros),
		cmocka_unit_test(test_memory_of_nothing),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_a_bug_says_where),
		cmocka_unit_test(test_no_memory_is_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
