/* Arenas: pieces that never overlap, blocks that go back, spare ones that are used again. */
#include "core/arena.h"
#include "tests/unit/bug.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static int teardown(void **state)
{
	(void)state;
	arena_drop_spares();
	return 0;
}

static void test_pieces_are_aligned_and_apart(void **state)
{
	enum { PIECES = 3000 };
	static char *piece[PIECES];
	static size_t bytes[PIECES];
	struct arena a;
	unsigned seed = 1;

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < PIECES; i++) {
		seed = seed * 1103515245 + 12345;
		bytes[i] = seed >> 16 & (i % 50 ? 127 : 16383);
		piece[i] = arena_alloc(&a, bytes[i]);
		assert_non_null(piece[i]);
		assert_int_equal((uintptr_t)piece[i] % _Alignof(max_align_t), 0);
		memset(piece[i], (int)(i & 255), bytes[i]);
	}
	for (size_t i = 0; i < PIECES; i++)
		for (size_t k = 0; k < bytes[i]; k++)
			assert_int_equal((unsigned char)piece[i][k], i & 255);
	arena_fini(&a);
	assert_int_equal(a.held_bytes, 0);
	assert_null(a.first);
}

static void test_an_empty_piece_is_a_piece(void **state)
{
	struct arena a;
	char *p, *q;

	(void)state;
	arena_init(&a);
	p = arena_alloc(&a, 0);
	q = arena_zalloc(&a, 0);
	assert_non_null(p);
	assert_non_null(q);
	assert_ptr_not_equal(p, q);
	arena_fini(&a);
}

static void test_a_large_piece_leaves_the_current_block(void **state)
{
	struct arena a;
	char *small, *large, *next;
	size_t held;

	(void)state;
	arena_init(&a);
	small = arena_alloc(&a, 100);
	assert_int_equal(a.held_bytes, ARENA_BLOCK_BYTES);
	large = arena_alloc(&a, 100000);
	assert_true(a.held_bytes >= ARENA_BLOCK_BYTES + 100000);
	held = a.held_bytes;
	next = arena_alloc(&a, 100);
	assert_true(next > small && next < small + 256);
	assert_int_equal(a.held_bytes, held);
	memset(large, 1, 100000);
	arena_fini(&a);
}

static void test_a_large_piece_may_be_the_first(void **state)
{
	struct arena a;
	char *p;

	(void)state;
	arena_init(&a);
	p = arena_alloc(&a, 3 * ARENA_BLOCK_BYTES);
	memset(p, 1, 3 * ARENA_BLOCK_BYTES);
	p = arena_alloc(&a, 10);
	memset(p, 2, 10);
	arena_fini(&a);
}

static void test_an_arena_is_usable_after_its_end(void **state)
{
	struct arena a;
	char *p;

	(void)state;
	arena_init(&a);
	memset(arena_alloc(&a, 100), 1, 100);
	arena_fini(&a);
	p = arena_zalloc(&a, 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(p[i], 0);
	assert_int_equal(a.held_bytes, ARENA_BLOCK_BYTES);
	arena_fini(&a);
	arena_fini(&a);
}

struct self {
	struct arena arena;
	char more[100];
};

static void test_an_arena_may_lie_in_itself(void **state)
{
	struct arena a;
	struct self *s;

	(void)state;
	arena_init(&a);
	s = arena_new(&a, struct self);
	TAKE(s->arena, &a);
	for (int i = 0; i < 100; i++)
		assert_non_null(arena_alloc(&s->arena, 1000));
	arena_fini(&s->arena);
	/* ASan would have told of a write to what was freed; leaks are told at the end */
}

static void test_blocks_are_used_again(void **state)
{
	enum { PIECES = 20 }; /* in several blocks */
	char *piece[PIECES];
	struct arena a;

	(void)state;
	if (BASE_SANITIZED)
		return; /* no block is spared then: test_misuse_is_seen */
	arena_init(&a);
	for (int i = 0; i < PIECES; i++) {
		piece[i] = arena_alloc(&a, 1500);
		memset(piece[i], 0xff, 1500);
	}
	arena_fini(&a);
	for (int i = 0; i < PIECES; i++) {
		char *p = arena_zalloc(&a, 1500);
		bool is_old = false;

		for (int k = 0; k < PIECES; k++)
			is_old = is_old || p == piece[k];
		assert_true(is_old);
		assert_int_equal(p[0] | p[1499], 0);
	}
	arena_fini(&a);
}

static void test_misuse_is_seen(void **state)
{
	struct arena a;
	volatile char *p;
	char sum = 0;

	(void)state;
	if (!BASE_SANITIZED)
		return;
	arena_init(&a);
	p = arena_alloc(&a, 20);
	p[19] = 1;
	assert_dies(p[20] = 1);
	assert_dies(sum += p[ARENA_BLOCK_BYTES / 2]);
	arena_fini(&a);
	assert_dies(sum += p[0]);
	(void)sum;
}

static void test_copies(void **state)
{
	struct arena a;
	struct str s;

	(void)state;
	arena_init(&a);
	s = arena_dup(&a, STR("a\0b"));
	assert_int_equal(s.n, 3);
	assert_memory_equal(s.p, "a\0b", 4);
	s = arena_dup(&a, STR(""));
	assert_non_null(s.p);
	assert_int_equal(s.n, 0);
	s = arena_dup(&a, STR_NONE);
	assert_null(s.p);
	assert_string_equal(arena_dup_c(&a, STR_NONE), "");
	assert_string_equal(arena_dup_c(&a, STR("abc")), "abc");
	s = arena_printf(&a, "%s-%05d", "x", 42);
	assert_int_equal(s.n, 7);
	assert_string_equal(s.p, "x-00042");
	s = arena_printf(&a, "%*s", 20000, "");
	assert_int_equal(s.n, 20000);
	arena_fini(&a);
}

static void test_growing_an_array(void **state)
{
	struct arena a;
	uint32_t *array = NULL, n = 0, cap = 0;

	(void)state;
	arena_init(&a);
	for (; n < 5000; n++) {
		arena_grow(&a, array, n, cap);
		assert_true(cap > n);
		array[n] = n * 3;
	}
	for (uint32_t i = 0; i < n; i++)
		assert_int_equal(array[i], i * 3);
	arena_fini(&a);
}

static void test_an_absurd_size_is_a_bug(void **state)
{
	struct arena a;
	volatile size_t absurd = SIZE_MAX - 5;

	(void)state;
	arena_init(&a);
	assert_bug((void)(arena_alloc(&a, absurd) == NULL));
	assert_non_null(arena_alloc(&a, 1));
	assert_bug((void)(arena_alloc(&a, absurd) == NULL));
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces_are_aligned_and_apart),
		cmocka_unit_test(test_an_empty_piece_is_a_piece),
		cmocka_unit_test(test_a_large_piece_leaves_the_current_block),
		cmocka_unit_test(test_a_large_piece_may_be_the_first),
		cmocka_unit_test(test_an_arena_is_usable_after_its_end),
		cmocka_unit_test(test_an_arena_may_lie_in_itself),
		cmocka_unit_test(test_blocks_are_used_again),
		cmocka_unit_test(test_misuse_is_seen),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_growing_an_array),
		cmocka_unit_test(test_an_absurd_size_is_a_bug),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
