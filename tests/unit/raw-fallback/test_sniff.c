/* Each protocol's first bytes, cut at every place. */
#include "raw-fallback/sniff.h"
#include "tests/unit/guard.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define TLS_HELLO "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

/* `decided`: how many bytes it takes; before that it is undecided. */
static const struct {
	struct str bytes;
	enum sniff answer;
	size_t decided;
} rows[] = {
#define ROW(text, answer, decided) { { text, sizeof(text) - 1 }, answer, decided }
	ROW(TLS_HELLO, SNIFF_TLS, 6),
	ROW("\x16\x03\x03\x00\x04\x01", SNIFF_TLS, 6),
	ROW("\x16\x02\x01", SNIFF_RAW, 2),
	ROW("\x16\x03\x05", SNIFF_RAW, 3),
	ROW("\x16\x03\x01\x00\x03\x01", SNIFF_RAW, 5),
	ROW("\x16\x03\x01\x40\x01\x01", SNIFF_RAW, 5),
	ROW("\x16\x03\x01\x02\x00\x02", SNIFF_RAW, 6),
	ROW("\x15\x03\x01\x00\x02\x01", SNIFF_RAW, 1),
	ROW("\x80\x2e\x01\x03\x01", SNIFF_RAW, 1),
	ROW("GET / HTTP/1.1\r\n", SNIFF_HTTP, 4),
	ROW("POST /x HTTP/1.1\r\n", SNIFF_HTTP, 5),
	ROW("PROPFIND / HTTP/1.1\r\n", SNIFF_HTTP, 9),
	ROW("VERSION-CONTROL / HTTP/1.1\r\n", SNIFF_HTTP, 16),
	ROW("\r\nGET / HTTP/1.1\r\n", SNIFF_HTTP, 6),
	ROW("\r\n\r\nGET / HTTP/1.1\r\n", SNIFF_HTTP, 8),
	ROW("\r\n\r\n\r\nGET /", SNIFF_RAW, 5),
	ROW("\rGET", SNIFF_RAW, 2),
	ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", SNIFF_H2, 24),
	ROW("PRI * HTTP/2.0\r\n\r\nSX", SNIFF_RAW, 20),
	ROW("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", SNIFF_SSH, 4),
	ROW("SSX", SNIFF_RAW, 3),
	ROW("SEARCH / HTTP/1.1", SNIFF_HTTP, 7),
	ROW("GETX / HTTP/1.1", SNIFF_RAW, 4),
	ROW("get / HTTP/1.1", SNIFF_RAW, 1),
	ROW("GE\0T", SNIFF_RAW, 3),
	ROW("hello\n", SNIFF_RAW, 1),
	ROW("\0", SNIFF_RAW, 1),
	ROW("", SNIFF_AGAIN, 1),
};

static void test_decided_by_the_first_byte_that_decides(void **state)
{
	struct guard g = guard_open(64);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t n = 0; n <= rows[i].bytes.n; n++) {
			enum sniff want = n >= rows[i].decided ? rows[i].answer : SNIFF_AGAIN;
			enum sniff got = sniff_bytes(guard_tail(&g, rows[i].bytes.p, n), n);

			if (got != want)
				fail_msg("row %zu, %zu bytes: %s, not %s", i, n, sniff_name(got),
					 sniff_name(want));
		}
	guard_close(&g);
}

/* Whoever waits for SNIFF_BYTES never waits for ever. */
static void test_always_decided_by_then(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		char bytes[SNIFF_BYTES];
		size_t from = (size_t)i % ARRAY_SIZE(rows), keep;

		for (size_t k = 0; k < sizeof bytes; k++) {
			seed = seed * 1664525 + 1013904223;
			bytes[k] = (char)(seed >> 24);
		}
		keep = MIN(rows[from].bytes.n, (size_t)(seed >> 8) % sizeof bytes);
		memcpy(bytes, rows[from].bytes.p, keep);
		assert_int_not_equal(sniff_bytes(bytes, sizeof bytes), SNIFF_AGAIN);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decided_by_the_first_byte_that_decides),
		cmocka_unit_test(test_always_decided_by_then),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
