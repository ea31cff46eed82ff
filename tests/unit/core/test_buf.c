/* Buffers against a flat array, slabs that change hands, and the worker's budget. */
#include "core/buf.h"
#include "tests/unit/bug.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static int teardown(void **state)
{
	(void)state;
	slab_set_budget(SIZE_MAX);
	slab_drop_spares();
	return slab_count() == 0 ? 0 : -1;
}

/* ---- the same operations on a buffer and on a flat array ---- */

enum { MODEL_BYTES = 1 << 20 };

struct model {
	struct buf b;
	char *flat;
	size_t n;
};

static unsigned seed;
static unsigned char next_byte;

static size_t random_below(size_t n)
{
	seed = seed * 1103515245 + 12345;
	return n ? (seed >> 8) % n : 0;
}

/* Small ones, ones about a slab, and large ones. */
static size_t random_size(void)
{
	switch (random_below(4)) {
	case 0:
		return random_below(20);
	case 1:
		return SLAB_BYTES - 5 + random_below(10);
	case 2:
		return random_below(SLAB_BYTES);
	}
	return random_below((size_t)5 * SLAB_BYTES);
}

static void fill(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)next_byte++;
	next_byte += 3; /* so that neighbouring runs differ */
}

static void assert_same(const struct model *m)
{
	struct iovec iov[MODEL_BYTES / 256];
	size_t at = 0, slabs = 0;
	int n;

	assert_int_equal(buf_len(&m->b), m->n);
	n = buf_peek(&m->b, SIZE_MAX, iov, ARRAY_SIZE(iov));
	for (int i = 0; i < n; i++) {
		assert_true(iov[i].iov_len > 0);
		assert_memory_equal(iov[i].iov_base, m->flat + at, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	assert_int_equal(at, m->n);
	for (struct slab *s = m->b.first; s; s = s->next)
		slabs++;
	assert_int_equal(slabs, n);
}

static void model_put(struct model *m, size_t n)
{
	n = MIN(n, MODEL_BYTES - m->n);
	fill(m->flat + m->n, n);
	buf_put(&m->b, m->flat + m->n, n);
	m->n += n;
}

static void model_space(struct model *m, size_t max, int cap)
{
	struct iovec iov[8];
	size_t offered = 0, used;
	int n;

	max = MIN(max, MODEL_BYTES - m->n);
	n = buf_space(&m->b, max, iov, cap);
	assert_true(n <= cap);
	for (int i = 0; i < n; i++) {
		assert_true(iov[i].iov_len > 0);
		offered += iov[i].iov_len;
	}
	assert_true(offered <= max);
	if (cap * SLAB_BYTES >= (int)max + SLAB_BYTES)
		assert_int_equal(offered, max);
	used = random_below(4) ? random_below(offered + 1) : offered;
	fill(m->flat + m->n, used);
	for (size_t i = 0, at = 0; at < used; i++) {
		size_t part = MIN(iov[i].iov_len, used - at);

		memcpy(iov[i].iov_base, m->flat + m->n + at, part);
		at += part;
	}
	buf_commit(&m->b, used);
	m->n += used;
}

static void model_drop(struct model *m, size_t n)
{
	n = MIN(n, m->n);
	buf_drop(&m->b, n);
	m->n -= n;
	memmove(m->flat, m->flat + n, m->n);
}

static void model_move(struct model *to, struct model *from, size_t n)
{
	n = MIN(n, from->n);
	n = MIN(n, MODEL_BYTES - to->n);
	memcpy(to->flat + to->n, from->flat, n);
	to->n += n;
	from->n -= n;
	memmove(from->flat, from->flat + n, from->n);
	buf_move(&to->b, &from->b, n);
}

static void model_copy(struct model *m, size_t n)
{
	char *p = malloc(MAX(n, (size_t)1)); /* of exactly this size, so that ASan sees a byte too many */

	assert_non_null(p);
	assert_int_equal(buf_copy(&m->b, p, n), MIN(n, m->n));
	assert_memory_equal(p, m->flat, MIN(n, m->n));
	free(p);
}

static void model_peek(struct model *m, size_t max, int cap)
{
	struct iovec iov[4];
	size_t at = 0;
	int n = buf_peek(&m->b, max, iov, cap);

	assert_true(n <= cap);
	for (int i = 0; i < n; i++) {
		assert_memory_equal(iov[i].iov_base, m->flat + at, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	assert_true(at <= max);
	if (n < cap)
		assert_int_equal(at, MIN(max, m->n));
}

static void test_any_operations_against_a_flat_array(void **state)
{
	struct model m[2];

	(void)state;
	seed = 7;
	for (int i = 0; i < 2; i++) {
		buf_init(&m[i].b);
		m[i].flat = malloc(MODEL_BYTES);
		m[i].n = 0;
	}
	for (int step = 0; step < 6000; step++) {
		struct model *a = &m[random_below(2)], *b = a == m ? m + 1 : m;

		switch (random_below(7)) {
		case 0:
			model_put(a, random_size());
			break;
		case 1:
			model_space(a, random_size(), (int)random_below(9));
			break;
		case 2:
		case 3:
			model_drop(a, random_size());
			break;
		case 4:
			model_move(a, b, random_size());
			break;
		case 5:
			model_copy(a, random_size());
			break;
		case 6:
			model_peek(a, random_size(), (int)random_below(5));
			break;
		}
		assert_same(a);
		assert_same(b);
		if (a->n == 0 && b->n == 0)
			assert_int_equal(slab_count(), 0);
	}
	for (int i = 0; i < 2; i++) {
		buf_fini(&m[i].b);
		free(m[i].flat);
	}
	assert_int_equal(slab_count(), 0);
}

/* ---- slabs ---- */

static void put_bytes(struct buf *b, size_t n)
{
	char block[SLAB_BYTES] = { 0 };

	for (; n; n -= MIN(n, sizeof block))
		buf_put(b, block, MIN(n, sizeof block));
}

static void test_a_slab_exists_only_while_it_holds_bytes(void **state)
{
	struct buf b;
	struct iovec iov[4];

	(void)state;
	buf_init(&b);
	buf_put(&b, "", 0);
	assert_int_equal(slab_count(), 0);
	buf_put_str(&b, STR("x"));
	assert_int_equal(slab_count(), 1);
	put_bytes(&b, SLAB_BYTES - 1);
	assert_int_equal(slab_count(), 1);
	buf_put(&b, "y", 1);
	assert_int_equal(slab_count(), 2);
	buf_drop(&b, SLAB_BYTES);
	assert_int_equal(slab_count(), 1);
	buf_drop(&b, 1);
	assert_int_equal(slab_count(), 0);

	assert_int_equal(buf_space(&b, (size_t)4 * SLAB_BYTES, iov, 4), 4);
	assert_int_equal(slab_count(), 4);
	buf_commit(&b, 0);
	assert_int_equal(slab_count(), 0);
	assert_null(b.first);
	assert_int_equal(buf_space(&b, (size_t)4 * SLAB_BYTES, iov, 4), 4);
	buf_commit(&b, SLAB_BYTES + 1);
	assert_int_equal(slab_count(), 2);
	assert_int_equal(buf_space(&b, 0, iov, 4), 0);
	buf_commit(&b, 0);
	assert_int_equal(buf_space(&b, 1, iov, 0), 0);
	buf_commit(&b, 0);
	buf_fini(&b);
	assert_int_equal(slab_count(), 0);
}

static void test_space_begins_behind_the_last_byte(void **state)
{
	struct buf b;
	struct iovec iov[2], seen;

	(void)state;
	buf_init(&b);
	buf_put(&b, "abc", 3);
	assert_int_equal(buf_peek(&b, 3, &seen, 1), 1);
	assert_int_equal(buf_space(&b, SLAB_BYTES, iov, 2), 2);
	assert_ptr_equal(iov[0].iov_base, (char *)seen.iov_base + 3);
	assert_int_equal(iov[0].iov_len, SLAB_BYTES - 3);
	assert_int_equal(iov[1].iov_len, 3);
	buf_commit(&b, 0);
	buf_fini(&b);
}

static void test_whole_slabs_move_by_pointer(void **state)
{
	struct buf a, b;
	struct iovec before[4], after[4];

	(void)state;
	buf_init(&a);
	buf_init(&b);
	put_bytes(&a, 3 * SLAB_BYTES);
	put_bytes(&b, SLAB_BYTES);
	assert_int_equal(buf_peek(&a, SIZE_MAX, before, 4), 3);
	buf_move(&b, &a, (size_t)2 * SLAB_BYTES + 10);
	assert_int_equal(buf_peek(&b, SIZE_MAX, after, 4), 4);
	assert_ptr_equal(after[1].iov_base, before[0].iov_base);
	assert_ptr_equal(after[2].iov_base, before[1].iov_base);
	assert_int_equal(after[3].iov_len, 10);
	assert_int_equal(buf_peek(&a, SIZE_MAX, after, 4), 1);
	assert_ptr_equal(after[0].iov_base, (char *)before[2].iov_base + 10);
	assert_int_equal(slab_count(), 5);
	buf_fini(&a);
	buf_fini(&b);
}

static void test_small_moves_do_not_hold_a_slab_each(void **state)
{
	struct buf a, b;

	(void)state;
	for (size_t piece = 1; piece < SLAB_BYTES; piece = piece * 3 + 1) {
		size_t total = 0;

		buf_init(&a);
		buf_init(&b);
		for (int i = 0; i < 200; i++) {
			put_bytes(&a, piece);
			buf_move(&b, &a, piece);
			total += piece;
		}
		assert_int_equal(buf_len(&b), total);
		assert_true(slab_count() * SLAB_BYTES <= 4 * total + SLAB_BYTES);
		buf_fini(&b);
	}
}

static void test_the_last_slab_returned_is_the_first_used(void **state)
{
	struct buf b;
	struct slab *s;

	(void)state;
	if (BASE_SANITIZED)
		return; /* no slab is spared then */
	buf_init(&b);
	put_bytes(&b, (size_t)3 * SLAB_BYTES);
	s = b.last;
	buf_drop(&b, buf_len(&b));
	buf_put(&b, "x", 1);
	assert_ptr_equal(b.first, s);
	buf_fini(&b);
}

static void test_misuse_is_a_bug(void **state)
{
	struct buf b;
	struct iovec iov;

	(void)state;
	buf_init(&b);
	buf_put(&b, "abc", 3);
	assert_bug(buf_drop(&b, 4));
	assert_bug(buf_move(&b, &b, 1));
	assert_int_equal(buf_space(&b, SLAB_BYTES - 3, &iov, 1), 1);
	assert_bug(buf_commit(&b, SLAB_BYTES - 2));
	buf_commit(&b, SLAB_BYTES - 3);
	assert_int_equal(buf_space(&b, 1, &iov, 1), 1);
	assert_bug(buf_put(&b, "x", 1));
	assert_bug((void)(buf_space(&b, 1, &iov, 1) + 1));
	buf_commit(&b, 0);
	buf_fini(&b);
}

/* ---- the budget ---- */

static void test_promises(void **state)
{
	(void)state;
	slab_set_budget(1 << 20);
	assert_int_equal(slab_promise(1000, 1 << 19), 1000);
	/* half of what is left of a quarter of the budget */
	assert_int_equal(slab_promise(1 << 20, 1 << 19), ((1 << 18) - 1000) / 2);
	assert_int_equal(slab_room(), (1 << 20) - 1000 - ((1 << 18) - 1000) / 2);
	slab_unpromise(((1 << 18) - 1000) / 2);
	assert_int_equal(slab_promise(1 << 20, 2000), 500); /* or of what may be */
	slab_unpromise(1500);
	assert_int_equal(slab_promise(1 << 20, 0), 0);
	assert_int_equal(slab_room(), 1 << 20);
	slab_set_budget(SIZE_MAX);
}

static void test_room_is_what_the_budget_leaves(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	assert_true(slab_room() > SIZE_MAX / 2);
	slab_set_budget((size_t)2 * SLAB_BYTES + 5);
	assert_int_equal(slab_room(), 2 * SLAB_BYTES + 5);
	put_bytes(&b, 1);
	assert_int_equal(slab_room(), SLAB_BYTES + 5);
	/* it never makes an operation fail */
	put_bytes(&b, (size_t)3 * SLAB_BYTES);
	assert_int_equal(slab_room(), 0);
	assert_int_equal(slab_count(), 4);
	buf_fini(&b);
	assert_int_equal(slab_room(), 2 * SLAB_BYTES + 5);
	assert_true(slab_peak() >= 4);
	slab_set_budget(SIZE_MAX);
}

struct waiter {
	struct slab_waiter w;
	char name;
	bool again;
	struct waiter *stops;
};

static char woken[32];

static void on_woken(struct slab_waiter *sw)
{
	struct waiter *w = container_of(sw, struct waiter, w);
	size_t n = strlen(woken);

	assert_true(list_empty(&sw->node));
	woken[n] = w->name;
	woken[n + 1] = '\0';
	if (w->again)
		slab_wait(sw);
	if (w->stops)
		list_del(&w->stops->w.node);
}

static void waiter_init(struct waiter *w, char name)
{
	*w = (struct waiter){ .name = name, .w.woken = on_woken };
	list_init(&w->w.node);
}

static void assert_woken(const char *names)
{
	woken[0] = '\0';
	slab_wake();
	assert_string_equal(woken, names);
}

static void test_waiters_are_woken_once_and_in_order(void **state)
{
	struct waiter a, b, c;
	struct buf buf;

	(void)state;
	waiter_init(&a, 'a');
	waiter_init(&b, 'b');
	waiter_init(&c, 'c');
	buf_init(&buf);
	slab_set_budget((size_t)32 * SLAB_BYTES);
	put_bytes(&buf, (size_t)32 * SLAB_BYTES);
	assert_woken("");
	slab_wait(&a.w);
	slab_wait(&b.w);
	slab_wait(&c.w);
	slab_wait(&a.w); /* waits already */
	assert_woken("");
	buf_drop(&buf, SLAB_BYTES);
	assert_woken(""); /* a 32nd is not yet a 16th */
	buf_drop(&buf, SLAB_BYTES);
	assert_woken("abc");
	assert_woken("");

	/* who waits again comes behind those who wait still, and not in the same turn */
	a.again = true;
	slab_wait(&a.w);
	slab_wait(&b.w);
	assert_woken("ab");
	slab_wait(&c.w);
	a.again = false;
	assert_woken("ac");

	/* giving up, before and while others are woken */
	slab_wait(&a.w);
	slab_wait(&b.w);
	slab_wait(&c.w);
	list_del(&a.w.node);
	b.stops = &c;
	assert_woken("b");
	assert_woken("");

	buf_fini(&buf);
	slab_set_budget(SIZE_MAX);
}

static void test_a_small_budget_wakes_too(void **state)
{
	struct waiter a;
	struct buf buf;

	(void)state;
	waiter_init(&a, 'a');
	buf_init(&buf);
	slab_set_budget(SLAB_BYTES);
	put_bytes(&buf, 1);
	slab_wait(&a.w);
	assert_woken("");
	buf_fini(&buf);
	assert_woken("a");
	slab_set_budget(5);
	put_bytes(&buf, 1);
	slab_wait(&a.w);
	assert_woken("");
	buf_fini(&buf);
	assert_woken("a");
	slab_set_budget(SIZE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_operations_against_a_flat_array),
		cmocka_unit_test(test_a_slab_exists_only_while_it_holds_bytes),
		cmocka_unit_test(test_space_begins_behind_the_last_byte),
		cmocka_unit_test(test_whole_slabs_move_by_pointer),
		cmocka_unit_test(test_small_moves_do_not_hold_a_slab_each),
		cmocka_unit_test(test_the_last_slab_returned_is_the_first_used),
		cmocka_unit_test(test_misuse_is_a_bug),
		cmocka_unit_test(test_promises),
		cmocka_unit_test(test_room_is_what_the_budget_leaves),
		cmocka_unit_test(test_waiters_are_woken_once_and_in_order),
		cmocka_unit_test(test_a_small_budget_wakes_too),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
