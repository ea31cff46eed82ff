/*
 * h1_out: a head, a body taken from a pipe in pieces, its framing and trailers, however little of each
 * gathering the stream accepts.
 */
#include "tests/unit/h1/wire.h"

/* One message going out: the test's pipe, and what arrived. */
struct rig {
	struct h1_out o;
	struct buf pipe;
	bool at_end;
	const struct head *trailers;
	char got[4096];
	size_t n;
};

static void rig_open(struct rig *r)
{
	*r = (struct rig){.n = 0};
	h1_out_init(&r->o);
	buf_init(&r->pipe);
}

static void rig_close(struct rig *r)
{
	h1_out_fini(&r->o);
	buf_fini(&r->pipe);
}

/* One gathering, of which the stream accepts at most `max` bytes. Returns how many those were. */
static size_t rig_write(struct rig *r, size_t max, int cap)
{
	struct iovec pieces[4], iov[8];
	size_t from_pipe, accepted = 0, taken;
	int npieces = buf_peek(&r->pipe, SIZE_MAX, pieces, 4);
	int n = h1_out_gather(&r->o, pieces, npieces, r->at_end, r->trailers, iov, cap, &from_pipe);

	assert_true(n <= cap);
	for (int i = 0; i < n && accepted < max; i++) {
		size_t part = MIN(iov[i].iov_len, max - accepted);

		assert_true(iov[i].iov_len > 0);
		assert_true(r->n + part < sizeof r->got);
		memcpy(r->got + r->n, iov[i].iov_base, part);
		r->n += part;
		accepted += part;
	}
	taken = h1_out_sent(&r->o, accepted);
	assert_true(taken <= from_pipe);
	buf_drop(&r->pipe, taken);
	return accepted;
}

/* Writes in steps of `max` bytes until nothing goes any more. */
static void rig_drain(struct rig *r, size_t max, int cap)
{
	while (rig_write(r, max, cap) > 0)
		;
}

#define HEAD "head" CR CR

static void check(enum h1_framing framing, uint64_t length, const struct head *trailers, const char *first,
		  const char *second, const char *want)
{
	for (size_t max = 1; max <= strlen(want) + 1; max++) {
		for (int cap = 2; cap <= 8; cap++) {
			struct rig r;

			rig_open(&r);
			r.trailers = trailers;
			buf_put_str(&r.o.own, STR(HEAD));
			h1_out_begin(&r.o, framing, length);
			buf_put_str(&r.pipe, str_from_c(first));
			rig_drain(&r, max, cap);
			assert_int_equal(buf_len(&r.pipe), 0);
			assert_false(r.o.ended && framing == H1_CHUNKED);
			buf_put_str(&r.pipe, str_from_c(second));
			r.at_end = true;
			rig_drain(&r, max, cap);
			assert_int_equal(r.n, strlen(want));
			assert_memory_equal(r.got, want, r.n);
			assert_true(r.o.ended);
			assert_true(h1_out_is_empty(&r.o));
			rig_close(&r);
		}
	}
}

static void writes_lengths(void **state)
{
	(void)state;
	check(H1_LENGTH, 6, NULL, "abc", "def", HEAD "abcdef");
	check(H1_LENGTH, 3, NULL, "abc", "", HEAD "abc");
	check(H1_LENGTH, 0, NULL, "", "", HEAD);
	check(H1_NO_BODY, 0, NULL, "", "", HEAD);
	check(H1_UNTIL_CLOSE, 0, NULL, "abc", "def", HEAD "abcdef");
}

static void writes_chunks(void **state)
{
	(void)state;
	check(H1_CHUNKED, 0, NULL, "abc", "0123456789",
	      HEAD "3" CR "abc" CR "a" CR "0123456789" CR "0" CR CR);
	check(H1_CHUNKED, 0, NULL, "abc", "", HEAD "3" CR "abc" CR "0" CR CR);
	check(H1_CHUNKED, 0, NULL, "", "abc", HEAD "3" CR "abc" CR "0" CR CR);
	check(H1_CHUNKED, 0, NULL, "", "", HEAD "0" CR CR);
}

static void writes_trailers(void **state)
{
	struct head *h;
	struct arena a;

	(void)state;
	arena_init(&a);
	h = head_new(&a, HEAD_TRAILERS);
	check(H1_CHUNKED, 0, h, "abc", "", HEAD "3" CR "abc" CR "0" CR CR);
	head_add(&a, h, STR("A"), STR("b"));
	head_add(&a, h, STR("Gone"), STR("x"))->removed = true;
	head_add(&a, h, STR("c"), STR(""));
	check(H1_CHUNKED, 0, h, "abc", "d", HEAD "3" CR "abc" CR "1" CR "d" CR "0" CR "A: b" CR "c: " CR CR);
	check(H1_CHUNKED, 0, h, "", "", HEAD "0" CR "A: b" CR "c: " CR CR);
	/* elsewhere there is no place for them */
	check(H1_LENGTH, 1, h, "a", "", HEAD "a");
	arena_fini(&a);
}

/* RFC 9112 section 6.3: what is told beyond the length never leaves. */
static void never_exceeds_its_length(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	h1_out_begin(&r.o, H1_LENGTH, 2);
	buf_put_str(&r.pipe, STR("abc"));
	rig_drain(&r, SIZE_MAX, 8);
	assert_int_equal(r.n, 2);
	assert_true(r.o.ended);
	rig_close(&r);
}

static void never_ends_a_short_body(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	h1_out_begin(&r.o, H1_LENGTH, 4);
	buf_put_str(&r.pipe, STR("abc"));
	r.at_end = true;
	rig_drain(&r, SIZE_MAX, 8);
	assert_false(r.o.ended);
	rig_close(&r);
}

/* Head, chunk and last chunk in one write. */
static void writes_a_whole_answer_at_once(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	buf_put_str(&r.o.own, STR(HEAD));
	h1_out_begin(&r.o, H1_CHUNKED, 0);
	buf_put_str(&r.pipe, STR("abc"));
	r.at_end = true;
	rig_write(&r, SIZE_MAX, 8);
	assert_int_equal(r.n, strlen(HEAD "3" CR "abc" CR "0" CR CR));
	assert_true(r.o.ended);
	rig_close(&r);
}

/* Bytes that come while a chunk is half written wait for the next one. */
static void keeps_to_the_chunk_it_began(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	h1_out_begin(&r.o, H1_CHUNKED, 0);
	buf_put_str(&r.pipe, STR("abc"));
	rig_write(&r, 4, 8);
	buf_put_str(&r.pipe, STR("de"));
	rig_drain(&r, SIZE_MAX, 8);
	assert_int_equal(r.n, strlen("3" CR "abc" CR "2" CR "de" CR));
	assert_memory_equal(r.got, "3" CR "abc" CR "2" CR "de" CR, r.n);
	rig_close(&r);
}

/* An interim head, then the final one, both before anything was accepted. */
static void gathers_heads(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r);
	buf_put_str(&r.o.own, STR("100" CR CR));
	buf_put_str(&r.o.own, STR(HEAD));
	h1_out_begin(&r.o, H1_LENGTH, 1);
	buf_put_str(&r.pipe, STR("a"));
	rig_write(&r, SIZE_MAX, 8);
	assert_int_equal(r.n, strlen("100" CR CR HEAD "a"));
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_lengths),
		cmocka_unit_test(writes_chunks),
		cmocka_unit_test(writes_trailers),
		cmocka_unit_test(never_exceeds_its_length),
		cmocka_unit_test(never_ends_a_short_body),
		cmocka_unit_test(writes_a_whole_answer_at_once),
		cmocka_unit_test(keeps_to_the_chunk_it_began),
		cmocka_unit_test(gathers_heads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
