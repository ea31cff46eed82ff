/* HPACK: RFC 7541's own examples, libnghttp2 as the other side, and hostile blocks. */
#include "h2/hpack.h"
#include "h2/huffman.h"
#include "tests/unit/guard.h"
#include <nghttp2/nghttp2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct lines {
	char text[16384];
	size_t len, lines, fail_at;
};

static enum err collect(void *ctx, const struct hpack_line *l)
{
	struct lines *c = ctx;
	int n = snprintf(c->text + c->len, sizeof c->text - c->len, "%.*s: %.*s\n", STR_ARG(l->name),
			 STR_ARG(l->value));

	assert_true(n > 0 && c->len + (size_t)n < sizeof c->text);
	c->len += (size_t)n;
	return ++c->lines == c->fail_at ? ERR_BAD_FIELD_NAME : ERR_OK;
}

struct result {
	bool ok, too_large;
	enum err error;
	size_t held_bytes;
};

static struct result decode(struct hpack_decoder *d, const void *block, size_t n, size_t list_bytes,
			    struct lines *into)
{
	struct result r;
	struct arena a;
	struct guard g = guard_open(n);

	arena_init(&a);
	into->len = into->lines = 0;
	into->text[0] = '\0';
	r.ok = hpack_decode(d, (const uint8_t *)guard_tail(&g, block, n), n, &a, list_bytes, collect, into,
			    &r.error, &r.too_large);
	r.held_bytes = a.held_bytes;
	arena_fini(&a);
	guard_close(&g);
	return r;
}

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = 0;

	for (; *hex; hex++) {
		char digits[3] = {hex[0], hex[1], 0};

		if (*hex == ' ')
			continue;
		out[n++] = (uint8_t)strtoul(digits, NULL, 16);
		hex++;
	}
	return n;
}

/* RFC 7541 appendix C: blocks of one connection, in order. */
static void check_sequence(const char *const *hex, const char *const *expected, size_t n, uint32_t table)
{
	struct hpack_decoder d;
	struct lines got = {.len = 0};

	hpack_decoder_init(&d, table);
	for (size_t i = 0; i < n; i++) {
		uint8_t block[512];
		struct result r = decode(&d, block, unhex(hex[i], block), 65536, &got);

		assert_true(r.ok);
		assert_int_equal(r.error, ERR_OK);
		assert_string_equal(got.text, expected[i]);
	}
	hpack_decoder_fini(&d);
}

static const char *const requests[] = {
	":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n",
	":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache\n",
	":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\n"
	"custom-key: custom-value\n",
};

static void test_rfc7541_c3_requests(void **state)
{
	static const char *const hex[] = {
		"8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
		"8286 84be 5808 6e6f 2d63 6163 6865",
		"8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
	};

	(void)state;
	check_sequence(hex, requests, 3, 4096);
}

static void test_rfc7541_c4_requests_huffman(void **state)
{
	static const char *const hex[] = {
		"8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
		"8286 84be 5886 a8eb 1064 9cbf",
		"8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
	};

	(void)state;
	check_sequence(hex, requests, 3, 4096);
}

static void test_rfc7541_c6_responses_with_eviction(void **state)
{
	static const char *const hex[] = {
		"4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b"
		"ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
		"4883 640e ffc1 c0bf",
		"88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab"
		"77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f"
		"9587 3160 65c0 03ed 4ee5 b106 3d50 07",
	};
	static const char *const expected[] = {
		":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n"
		"location: https://www.example.com\n",
		":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n"
		"location: https://www.example.com\n",
		":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n"
		"location: https://www.example.com\ncontent-encoding: gzip\n"
		"set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n",
	};

	(void)state;
	check_sequence(hex, expected, 3, 256);
}

/* Blocks that are compression errors (RFC 9113 section 4.3), whatever came before. */
static void test_broken_blocks(void **state)
{
	static const struct {
		const char *hex, *why;
	} rows[] = {
		{"80", "index 0 (section 6.1)"},
		{"be", "index beyond the tables (section 2.3.3)"},
		{"ff", "integer without its end (section 5.1)"},
		{"ffffffffffffffffffff", "integer without end"},
		{"ff8080808010", "integer over 32 bits"},
		{"7f", "name index without its end"},
		{"40", "literal without a name"},
		{"4003 6162", "name shorter than told (section 5.2)"},
		{"4001 61", "literal without a value"},
		{"4001 6105 6162", "value shorter than told"},
		{"4082 ffff 00", "Huffman string with EOS padding over 7 bits (section 5.2)"},
		{"4084 ffff ffff 00", "EOS inside a Huffman string (section 5.2)"},
		{"4081 1e 00", "Huffman padding that is not ones (section 5.2)"},
		{"3fe21f", "size update over what we allow (section 4.2)"},
		{"8220", "size update behind a field (section 4.2)"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct hpack_decoder d;
		struct lines got = {.len = 0};
		uint8_t block[64];

		hpack_decoder_init(&d, 4096);
		if (decode(&d, block, unhex(rows[i].hex, block), 65536, &got).ok)
			fail_msg("accepted: %s", rows[i].why);
		hpack_decoder_fini(&d);
	}
}

/* A block of 16 KiB whose list would be 500 MiB costs the limit, and the table stays in step. */
static void test_bomb_is_bounded(void **state)
{
	static uint8_t block[16384];
	struct hpack_decoder d;
	struct lines got = {.len = 0};
	struct result r;
	size_t n = 0;

	(void)state;
	hpack_decoder_init(&d, 4096);
	block[n++] = 0x40;
	block[n++] = 1;
	block[n++] = 'a';
	block[n++] = 0x7f; /* 4000 */
	block[n++] = 0xa1;
	block[n++] = 0x1e;
	memset(block + n, 'x', 4000);
	n += 4000;
	memset(block + n, 0xbe, sizeof block - n); /* index 62, over and over */
	r = decode(&d, block, sizeof block, 8192, &got);
	assert_true(r.ok);
	assert_true(r.too_large);
	assert_int_equal(got.lines, 2);
	assert_true(r.held_bytes < 64 * 1024);
	/* in step: the entry is there */
	r = decode(&d, (const uint8_t[]){0xbe}, 1, 8192, &got);
	assert_true(r.ok && !r.too_large);
	assert_int_equal(got.lines, 1);
	hpack_decoder_fini(&d);
}

static void test_refused_line_keeps_the_table_in_step(void **state)
{
	struct hpack_decoder d;
	struct lines got = {.fail_at = 1};
	uint8_t block[64];
	struct result r;

	(void)state;
	hpack_decoder_init(&d, 4096);
	r = decode(&d, block, unhex("4001 6101 31 4001 6201 32", block), 65536, &got);
	assert_true(r.ok);
	assert_int_equal(r.error, ERR_BAD_FIELD_NAME);
	assert_int_equal(got.lines, 1);
	got.fail_at = 0;
	r = decode(&d, block, unhex("be bf", block), 65536, &got);
	assert_true(r.ok);
	assert_string_equal(got.text, "b: 2\na: 1\n");
	hpack_decoder_fini(&d);
}

/* ---- libnghttp2 as the other side ---- */

static uint32_t seed;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static const char *const names[] = {
	"content-type",	 "x-app",      "server", "date",
	"etag",		 "set-cookie", "vary",	 "x-a-rather-long-name-of-a-field",
	"cache-control", "location"};

static struct str random_value(struct arena *a)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789 /;=,-_.~\"%";
	char text[300];
	size_t n = rnd(8) ? rnd(24) : rnd(sizeof text);

	for (size_t i = 0; i < n; i++)
		text[i] = rnd(20) ? alphabet[rnd(sizeof alphabet - 1)] : (char)(0x80 + rnd(0x7f));
	if (rnd(3))
		n = 1, text[0] = (char)('0' + rnd(4)); /* so that values repeat */
	return arena_dup(a, str_trim(str_of(text, n)));
}

static struct head *random_head(struct arena *a)
{
	struct head *h = head_new(a, HEAD_FINAL);
	unsigned n = rnd(12);

	h->status = (uint16_t)(rnd(4) ? 200 : 200 + rnd(300));
	while (n--) {
		struct str name = str_from_c(names[rnd(ARRAY_SIZE(names))]);
		struct field *f = head_add(a, h, name, random_value(a));

		f->id = (uint16_t)field_lookup(name);
	}
	return h;
}

static void inflate_and_compare(nghttp2_hd_inflater *inflater, const struct buf *block, const struct head *h)
{
	static uint8_t flat[65536];
	size_t n = buf_copy(block, flat, sizeof flat), at = 0, line = 0;

	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t used = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, flat + at, n - at, 1);

		assert_true(used >= 0);
		at += (size_t)used;
		if (flags & NGHTTP2_HD_INFLATE_EMIT) {
			struct str name = str_of((char *)nv.name, nv.namelen);
			struct str value = str_of((char *)nv.value, nv.valuelen);

			if (line == 0) {
				assert_true(str_eq(name, STR(":status")));
			} else {
				assert_true(str_eq_nocase(name, h->fields[line - 1].name));
				assert_true(str_eq(value, h->fields[line - 1].value));
				if (h->fields[line - 1].id == FIELD_SET_COOKIE)
					assert_true(nv.flags & NGHTTP2_NV_FLAG_NO_INDEX);
			}
			line++;
		}
		if (flags & NGHTTP2_HD_INFLATE_FINAL)
			break;
	}
	nghttp2_hd_inflate_end_headers(inflater);
	assert_int_equal(line, h->nfields + 1u);
}

static void test_encoder_against_libnghttp2(void **state)
{
	struct hpack_encoder e;
	nghttp2_hd_inflater *inflater;

	(void)state;
	seed = 1;
	hpack_encoder_init(&e);
	assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
	for (int i = 0; i < 3000; i++) {
		struct arena a;
		struct buf out;
		struct head *h;

		arena_init(&a);
		buf_init(&out);
		if (!rnd(100)) {
			uint32_t size = rnd(2) ? rnd(8192) : 0;

			hpack_encoder_resize(&e, size);
			assert_int_equal(nghttp2_hd_inflate_change_table_size(inflater, size), 0);
		}
		h = random_head(&a);
		hpack_encode(&e, h, &out);
		inflate_and_compare(inflater, &out, h);
		buf_fini(&out);
		arena_fini(&a);
	}
	nghttp2_hd_inflate_del(inflater);
	hpack_encoder_fini(&e);
}

static void test_decoder_against_libnghttp2(void **state)
{
	struct hpack_decoder d;
	nghttp2_hd_deflater *deflater;
	struct lines got = {.len = 0};

	(void)state;
	seed = 2;
	hpack_decoder_init(&d, 4096);
	assert_int_equal(nghttp2_hd_deflate_new(&deflater, 4096), 0);
	for (int i = 0; i < 3000; i++) {
		static uint8_t block[65536];
		static char expected[16384];
		struct arena a;
		struct head *h;
		nghttp2_nv nv[16];
		size_t n = 0, len = 0;
		ssize_t bytes;

		if (!rnd(100))
			assert_int_equal(nghttp2_hd_deflate_change_table_size(deflater, rnd(4097)), 0);
		arena_init(&a);
		h = random_head(&a);
		expected[0] = '\0';
		head_for_each(f, h)
		{
			nv[n++] = (nghttp2_nv){(uint8_t *)(uintptr_t)f->name.p,
					       (uint8_t *)(uintptr_t)f->value.p, f->name.n, f->value.n,
					       rnd(10) ? 0 : NGHTTP2_NV_FLAG_NO_INDEX};
			len += (size_t)snprintf(expected + len, sizeof expected - len, "%.*s: %.*s\n",
						STR_ARG(f->name), STR_ARG(f->value));
		}
		bytes = nghttp2_hd_deflate_hd(deflater, block, sizeof block, nv, n);
		assert_true(bytes >= 0);
		assert_true(decode(&d, block, (size_t)bytes, 65536, &got).ok);
		assert_string_equal(got.text, expected);
		arena_fini(&a);
	}
	nghttp2_hd_deflate_del(deflater);
	hpack_decoder_fini(&d);
}

static void test_a_repeated_response_head_is_a_few_bytes(void **state)
{
	struct hpack_encoder e;
	struct arena a;
	struct buf out;
	struct head *h;
	size_t bytes = 0;

	(void)state;
	arena_init(&a);
	buf_init(&out);
	hpack_encoder_init(&e);
	h = head_new(&a, HEAD_FINAL);
	h->status = 200;
	head_add_id(&a, h, FIELD_DATE, STR("Sat, 21 Nov 2026 22:00:00 GMT"));
	head_add_id(&a, h, FIELD_CONTENT_TYPE, STR("text/html; charset=utf-8"));
	head_add_id(&a, h, FIELD_CONTENT_LENGTH, STR("1024"));
	head_add_id(&a, h, FIELD_SERVER, STR("app"));
	for (int i = 0; i < 3; i++)
		bytes = hpack_encode(&e, h, &out);
	assert_int_equal(bytes, 5);
	buf_fini(&out);
	hpack_encoder_fini(&e);
	arena_fini(&a);
}

static void test_huffman_round_trip(void **state)
{
	(void)state;
	seed = 3;
	for (int i = 0; i < 20000; i++) {
		char text[200], back[400];
		uint8_t code[1024];
		struct str s = {text, rnd(sizeof text)};
		size_t n;

		for (size_t k = 0; k < s.n; k++)
			text[k] = (char)(i & 1 ? rnd(256) : ' ' + rnd(95));
		n = huff_encoded_bytes(s);
		huff_encode(s, code);
		assert_int_equal(huff_decode(code, n, back), s.n);
		assert_memory_equal(back, text, s.n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc7541_c3_requests),
		cmocka_unit_test(test_rfc7541_c4_requests_huffman),
		cmocka_unit_test(test_rfc7541_c6_responses_with_eviction),
		cmocka_unit_test(test_broken_blocks),
		cmocka_unit_test(test_bomb_is_bounded),
		cmocka_unit_test(test_refused_line_keeps_the_table_in_step),
		cmocka_unit_test(test_encoder_against_libnghttp2),
		cmocka_unit_test(test_decoder_against_libnghttp2),
		cmocka_unit_test(test_a_repeated_response_head_is_a_few_bytes),
		cmocka_unit_test(test_huffman_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
