/*
 * Bodies as they are read: length, chunked with extensions and trailers, until the close.
 */
#include "tests/unit/h1/wire.h"

struct decoded {
	enum err err;
	bool done;
	size_t used;
	char body[256];
	size_t n;
	char trailers[512];
};

/* Feeds as a connection would: pieces that end at first, first + step, ... */
static struct decoded decode(enum h1_what what, const struct h1_limits *limits, enum h1_framing framing,
			     uint64_t length, const char *in, size_t n, size_t first, size_t step)
{
	struct guard g = guard_open(n + 1);
	struct decoded d = {.err = ERR_OK};
	struct h1_body b;
	struct arena a;

	arena_init(&a);
	h1_body_init(&b, what, framing, length, limits, &a);
	for (size_t end = MIN(first, n); !b.done; end = MIN(end + step, n)) {
		struct str run;
		ssize_t r;

		do {
			r = h1_body_decode(&b, guard_tail(&g, in + d.used, end - d.used), end - d.used, &run);
			if (r <= 0)
				break;
			assert_true(run.n <= (size_t)r);
			assert_true(d.n + run.n <= sizeof d.body);
			if (run.n)
				memcpy(d.body + d.n, run.p, run.n);
			d.n += run.n;
			d.used += (size_t)r;
		} while (!b.done);
		if (r < 0) {
			d.err = (enum err) - r;
			break;
		}
		if (end == n)
			break;
	}
	d.done = b.done;
	if (d.done && framing == H1_CHUNKED)
		wire_text(d.trailers, sizeof d.trailers, &b.trailers);
	arena_fini(&a);
	guard_close(&g);
	return d;
}

/* Whole, split at every place, byte by byte. */
static struct decoded decode_all(enum h1_what what, const struct h1_limits *limits, enum h1_framing framing,
				 uint64_t length, const char *in, size_t n)
{
	struct decoded first = decode(what, limits, framing, length, in, n, n, n);

	for (size_t split = 0; split <= n; split++) {
		struct decoded d = decode(what, limits, framing, length, in, n, split, split == n ? 1 : n);

		if (split == n)
			d = decode(what, limits, framing, length, in, n, 1, 1);
		assert_int_equal(d.err, first.err);
		assert_int_equal(d.done, first.done);
		if (d.err)
			continue;
		assert_int_equal(d.used, first.used);
		assert_int_equal(d.n, first.n);
		assert_memory_equal(d.body, first.body, d.n);
		assert_string_equal(d.trailers, first.trailers);
	}
	return first;
}

struct bad {
	const char *section;
	enum err err;
	const char *in;
	size_t n;
};
#define BAD(section, err, in)                                                                                \
	{                                                                                                    \
		section, ERR_##err, in, sizeof(in) - 1                                                       \
	}
#define END "0" CR CR

static const struct bad bads[] = {
	BAD("9112 7.1 empty size", BAD_CHUNK, CR "a" CR END),
	BAD("9112 7.1 no hexadecimal", BAD_CHUNK, "g" CR),
	BAD("9112 7.1 plus", BAD_CHUNK, "+1" CR "a" CR END),
	BAD("9112 7.1 minus", BAD_CHUNK, "-1" CR "a" CR END),
	BAD("9112 7.1 0x", BAD_CHUNK, "0x1" CR "a" CR END),
	BAD("9112 7.1 underscore", BAD_CHUNK, "1_0" CR),
	BAD("9112 7.1 space before", BAD_CHUNK, " 1" CR "a" CR END),
	BAD("9112 7.1 space behind", BAD_CHUNK, "1 " CR "a" CR END),
	BAD("9112 7.1 space and junk behind", BAD_CHUNK, "1 2" CR "a" CR END),
	BAD("9112 7.1 junk behind", BAD_CHUNK, "1," CR "a" CR END),
	BAD("9112 7.1 NUL behind", BAD_CHUNK, "1\0" CR "a" CR END),
	BAD("9112 7.1 quoted", BAD_CHUNK, "\"1\"" CR "a" CR END),
	BAD("9112 7.1 64 bits", BAD_CHUNK, "8000000000000000" CR),
	BAD("9112 7.1 overflow", BAD_CHUNK, "10000000000000001" CR "a" CR END),
	BAD("9112 7.1 seventeen digits", BAD_CHUNK, "00000000000000001" CR "a" CR END),
	BAD("9112 2.2 bare LF behind the size", BAD_CHUNK, "1\na" CR END),
	BAD("9112 2.2 bare CR behind the size", BAD_CHUNK, "1\ra" CR END),
	BAD("9112 2.2 CR CR LF", BAD_CHUNK, "1\r" CR "a" CR END),
	BAD("9112 7.1 data not followed by CRLF", BAD_CHUNK, "1" CR "ab" CR END),
	BAD("9112 7.1 data followed by LF", BAD_CHUNK, "1" CR "a\n" END),
	BAD("9112 7.1 data followed by CR and another", BAD_CHUNK, "1" CR "a\rX" END),
	BAD("9112 7.1 data followed by nothing", BAD_CHUNK, "1" CR "a" END),
	BAD("9112 7.1.1 LF in an extension", BAD_CHUNK, "1;a\nb" CR "a" CR END),
	BAD("9112 7.1.1 CR in an extension", BAD_CHUNK, "1;a\rb" CR "a" CR END),
	BAD("9112 7.1.1 NUL in an extension", BAD_CHUNK, "1;a\0b" CR "a" CR END),
	BAD("9112 7.1.1 control in an extension", BAD_CHUNK, "1;a=\"\x01\"" CR "a" CR END),
	BAD("9112 7.1.1 control in the last extension", BAD_CHUNK, "0;\x7f" CR CR),
	BAD("9112 7.1.2 bare LF in trailers", BAD_LINE_END, "0" CR "a: b\n" CR),
	BAD("9112 7.1.2 bare LF at the end", BAD_LINE_END, "0" CR "\n"),
	BAD("9112 7.1.2 space before the colon", BAD_FIELD_NAME, "0" CR "a : b" CR CR),
	BAD("9112 7.1.2 junk", BAD_FIELD_NAME, "0" CR "GET / HTTP/1.1" CR CR),
	BAD("9112 5.2 obs-fold", OBS_FOLD, "0" CR "a: b" CR " c" CR CR),
	BAD("9110 5.5 NUL in a trailer", BAD_FIELD_VALUE, "0" CR "a: \0" CR CR),
};

static void refuses(void **state)
{
	(void)state;
	for (const struct bad *b = bads; b < bads + ARRAY_SIZE(bads); b++) {
		struct decoded d = decode_all(H1_REQUEST, &wire_limits, H1_CHUNKED, 0, b->in, b->n);

		if (d.err != b->err)
			fail_msg("%s: %s instead of %s", b->section, err_name(d.err), err_name(b->err));
	}
}

static void refuses_an_upstreams(void **state)
{
	struct h1_limits l = wire_limits;

	(void)state;
	assert_int_equal(decode_all(H1_RESPONSE, &l, H1_CHUNKED, 0, "x", 1).err, ERR_UP_BAD_CHUNK);
	assert_int_equal(decode_all(H1_RESPONSE, &l, H1_CHUNKED, 0, "0" CR ":" CR, 6).err, ERR_UP_BAD_HEAD);
	assert_int_equal(decode_all(H1_RESPONSE, &l, H1_CHUNKED, 0, "0" CR "a : b" CR CR, 12).err, ERR_OK);
	l.trailers_bytes = 3;
	assert_int_equal(decode_all(H1_RESPONSE, &l, H1_CHUNKED, 0, "0" CR "a: b", 7).err, ERR_UP_HEAD_LARGE);
}

struct good {
	const char *section, *in, *body, *trailers;
};

static const struct good goods[] = {
	{"9112 7.1", "3" CR "abc" CR END, "abc", ""},
	{"9112 7.1 empty", END, "", ""},
	{"9112 7.1 many zeros", "0000" CR CR, "", ""},
	{"9112 7.1 several, upper and lower case",
	 "A" CR "0123456789" CR "a" CR "abcdefghij" CR "001" CR "k" CR END, "0123456789abcdefghijk", ""},
	{"9112 7.1 data that looks like framing", "8" CR "0" CR CR "1" CR CR END, "0" CR CR "1" CR, ""},
	{"9112 7.1.1 extensions", "1;a" CR "x" CR "1 ; b = \"c;d\"\t" CR "y" CR "0;z=\xc3\xa9" CR CR, "xy",
	 ""},
	{"9112 7.1.2 trailers", "1" CR "x" CR "0" CR "A: b" CR "c:d" CR CR, "x", "|A: b|c: d"},
	{"9110 6.5.1 forbidden trailers are dropped",
	 "0" CR "Content-Length: 5" CR "transfer-encoding: chunked" CR "Host: a" CR "Authorization: b" CR
	 "Set-Cookie: c" CR "X-Forwarded-For: d" CR "Connection: e" CR "Digest: f" CR CR,
	 "",
	 "|-Content-Length: 5|-transfer-encoding: chunked|-Host: a|-Authorization: b|-Set-Cookie: c"
	 "|-X-Forwarded-For: d|-Connection: e|Digest: f"},
};

static void decodes_chunks(void **state)
{
	(void)state;
	for (const struct good *g = goods; g < goods + ARRAY_SIZE(goods); g++) {
		size_t n = strlen(g->in);
		struct decoded d = decode_all(H1_REQUEST, &wire_limits, H1_CHUNKED, 0, g->in, n);

		if (d.err || !d.done || d.used != n || d.n != strlen(g->body) ||
		    memcmp(d.body, g->body, d.n) != 0 || strcmp(d.trailers, g->trailers) != 0)
			fail_msg("%s: %s %.*s %s", g->section, err_name(d.err), (int)d.n, d.body, d.trailers);
	}
}

static void stops_at_the_end(void **state)
{
	static const char in[] = "1" CR "a" CR END "GET /";
	struct decoded d = decode_all(H1_REQUEST, &wire_limits, H1_CHUNKED, 0, in, sizeof in - 1);

	(void)state;
	assert_true(d.done);
	assert_int_equal(d.used, sizeof in - 1 - 5);
}

static void needs_every_byte(void **state)
{
	static const char in[] = "1;x" CR "a" CR "0" CR "b: c" CR CR;

	(void)state;
	for (size_t n = 0; n < sizeof in - 1; n++) {
		struct decoded d = decode_all(H1_REQUEST, &wire_limits, H1_CHUNKED, 0, in, n);

		assert_int_equal(d.err, ERR_OK);
		assert_false(d.done);
	}
}

static void bounds_extensions(void **state)
{
	static const char in[] = "1;ab" CR "x" CR "1 ;" CR "y" CR "0;z" CR CR;
	struct h1_limits l = wire_limits;

	(void)state;
	l.chunk_extensions_bytes = 7;
	assert_true(decode_all(H1_REQUEST, &l, H1_CHUNKED, 0, in, sizeof in - 1).done);
	l.chunk_extensions_bytes = 6;
	assert_int_equal(decode_all(H1_REQUEST, &l, H1_CHUNKED, 0, in, sizeof in - 1).err,
			 ERR_CHUNK_EXT_LARGE);
}

static void bounds_trailers(void **state)
{
	static const char in[] = "0" CR "a: b" CR "c: d" CR CR;
	struct h1_limits l = wire_limits;

	(void)state;
	l.trailers_bytes = 14;
	l.fields = 2;
	assert_true(decode_all(H1_REQUEST, &l, H1_CHUNKED, 0, in, sizeof in - 1).done);
	l.trailers_bytes = 13;
	assert_int_equal(decode_all(H1_REQUEST, &l, H1_CHUNKED, 0, in, sizeof in - 1).err,
			 ERR_TRAILERS_LARGE);
	l.trailers_bytes = 14;
	l.fields = 1;
	assert_int_equal(decode_all(H1_REQUEST, &l, H1_CHUNKED, 0, in, sizeof in - 1).err, ERR_FIELDS_MANY);
}

static void decodes_by_length(void **state)
{
	struct decoded d = decode_all(H1_REQUEST, &wire_limits, H1_LENGTH, 3, "abcGET", 6);

	(void)state;
	assert_true(d.done);
	assert_int_equal(d.used, 3);
	assert_memory_equal(d.body, "abc", 3);
	d = decode_all(H1_REQUEST, &wire_limits, H1_LENGTH, 3, "ab", 2);
	assert_false(d.done);
	d = decode_all(H1_REQUEST, &wire_limits, H1_LENGTH, 0, "ab", 2);
	assert_true(d.done);
	assert_int_equal(d.used, 0);
	d = decode_all(H1_REQUEST, &wire_limits, H1_NO_BODY, 0, "ab", 2);
	assert_true(d.done);
	assert_int_equal(d.used, 0);
}

static void decodes_until_the_close(void **state)
{
	struct decoded d = decode_all(H1_RESPONSE, &wire_limits, H1_UNTIL_CLOSE, 0, "abc", 3);

	(void)state;
	assert_false(d.done);
	assert_int_equal(d.n, 3);
}

/* Within a chunk and within a length, bytes can bypass the decoder. */
static void lets_bytes_bypass(void **state)
{
	static const char line[] = "5" CR "ab";
	struct h1_body b;
	struct arena a;
	struct str run;

	(void)state;
	arena_init(&a);
	h1_body_init(&b, H1_REQUEST, H1_CHUNKED, 0, &wire_limits, &a);
	assert_int_equal(h1_body_direct(&b), 0);
	assert_int_equal(h1_body_decode(&b, line, 5, &run), 3);
	assert_int_equal(run.n, 0);
	assert_int_equal(h1_body_direct(&b), 5);
	assert_int_equal(h1_body_decode(&b, line + 3, 2, &run), 2);
	assert_int_equal(run.n, 2);
	assert_int_equal(h1_body_direct(&b), 3);
	h1_body_skip(&b, 3);
	assert_int_equal(h1_body_direct(&b), 0);
	assert_int_equal(h1_body_decode(&b, CR END, 7, &run), 5);
	assert_int_equal(h1_body_decode(&b, CR, 2, &run), 2);
	assert_true(b.done);

	h1_body_init(&b, H1_REQUEST, H1_LENGTH, 4, &wire_limits, &a);
	assert_int_equal(h1_body_direct(&b), 4);
	h1_body_skip(&b, 1);
	assert_int_equal(h1_body_direct(&b), 3);
	h1_body_skip(&b, 3);
	assert_true(b.done);

	h1_body_init(&b, H1_RESPONSE, H1_UNTIL_CLOSE, 0, &wire_limits, &a);
	assert_true(h1_body_direct(&b) == UINT64_MAX);
	h1_body_skip(&b, 1000);
	assert_false(b.done);
	arena_fini(&a);
}

/* While a size is being read nothing may bypass: what was read of it is not yet a size. */
static void nothing_bypasses_within_a_size(void **state)
{
	struct h1_body b;
	struct arena a;
	struct str run;

	(void)state;
	arena_init(&a);
	h1_body_init(&b, H1_REQUEST, H1_CHUNKED, 0, &wire_limits, &a);
	assert_int_equal(h1_body_decode(&b, "1", 1, &run), 1);
	assert_int_equal(h1_body_direct(&b), 0);
	assert_int_equal(h1_body_decode(&b, "0;", 2, &run), 2);
	assert_int_equal(h1_body_direct(&b), 0);
	assert_int_equal(h1_body_decode(&b, CR, 2, &run), 2);
	assert_int_equal(h1_body_direct(&b), 16);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses),
		cmocka_unit_test(refuses_an_upstreams),
		cmocka_unit_test(decodes_chunks),
		cmocka_unit_test(stops_at_the_end),
		cmocka_unit_test(needs_every_byte),
		cmocka_unit_test(bounds_extensions),
		cmocka_unit_test(bounds_trailers),
		cmocka_unit_test(decodes_by_length),
		cmocka_unit_test(decodes_until_the_close),
		cmocka_unit_test(lets_bytes_bypass),
		cmocka_unit_test(nothing_bypasses_within_a_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
