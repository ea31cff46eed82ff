/* PROXY headers of both versions, cut at every place, and what is none. */
#include "raw-fallback/pp.h"
#include "core/target.h"
#include "tests/unit/guard.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SIG "\r\n\r\n\0\r\nQUIT\n"

struct row {
	struct str bytes;
	size_t length;    /* of the header; 0: refused */
	const char *src, *dst;
	bool local;
};
#define ROW(text, ...) { { text, sizeof(text) - 1 }, __VA_ARGS__ }

static const struct row good[] = {
	ROW("PROXY TCP4 1.2.3.4 5.6.7.8 99 443\r\nGET", 35, "1.2.3.4:99", "5.6.7.8:443", false),
	ROW("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", 32, "[2001:db8::1]:1", "[::1]:2", false),
	ROW("PROXY UNKNOWN\r\n", 15, NULL, NULL, false),
	ROW("PROXY UNKNOWN ffff:f::1 whatever 1 2\r\n", 38, NULL, NULL, false),
	ROW(SIG "\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x63\x01\xbbGET",
	    28, "1.2.3.4:99", "5.6.7.8:443", false),
	ROW(SIG "\x21\x21\0\x24" "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
	    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x01\0\x02", 52, "[2001:db8::1]:1", "[::1]:2", false),
	ROW(SIG "\x21\x11\0\x10\x01\x02\x03\x04\x05\x06\x07\x08\0\x63\x01\xbb\x04\0\x01\0", 32, "1.2.3.4:99",
	    "5.6.7.8:443", false),
	ROW(SIG "\x20\0\0\0", 16, NULL, NULL, true),
	ROW(SIG "\x21\0\0\0", 16, NULL, NULL, false),
};

#define BAD(text) ROW(text, 0, NULL, NULL, false)
static const struct row bad[] = {
	BAD("GET / HTTP/1.1\r\n"),
	BAD("PROXY TCP4 1.2.3.4 5.6.7.8 99 443\n"),
	BAD("PROXY TCP4  1.2.3.4 5.6.7.8 99 443\r\n"),
	BAD("PROXY TCP4 1.2.3.4 5.6.7.8 99 443 \r\n"),
	BAD("PROXY TCP4 1.2.3.4 5.6.7.8 99 65536\r\n"),
	BAD("PROXY TCP4 1.2.3.4 5.6.7.8 99\r\n"),
	BAD("PROXY TCP4 1.2.3 5.6.7.8 99 443\r\n"),
	BAD("PROXY TCP6 1.2.3.4 5.6.7.8 99 443\r\n"),
	BAD("PROXY TCP5 1.2.3.4 5.6.7.8 99 443\r\n"),
	BAD("PROXY UNKNOWN 01234567890123456789012345678901234567890123456789"
	    "012345678901234567890123456789012345678901234567"
	    "8901234567890\r\n"),
	BAD(SIG "\x31\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x63\x01\xbb"),
	BAD(SIG "\x22\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x63\x01\xbb"),
	BAD(SIG "\x21\x11\0\x0b\x01\x02\x03\x04\x05\x06\x07\x08\0\x63\x01"),
	BAD(SIG "\x21\x11\xff\xff\x01"),
};

static void check_address(const struct sockaddr_storage *ss, const char *want)
{
	char text[ADDR_TEXT_BYTES];

	if (!want) {
		assert_int_equal(ss->ss_family, AF_UNSPEC);
		return;
	}
	addr_text((const struct sockaddr *)ss, sizeof *ss, text, sizeof text);
	assert_string_equal(text, want);
}

static void test_good(void **state)
{
	struct guard g = guard_open(256);
	struct pp pp;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		for (size_t n = 0; n < good[i].length; n++)
			assert_int_equal(pp_read(guard_tail(&g, good[i].bytes.p, n), n, &pp), 0);
		for (size_t n = good[i].length; n <= good[i].bytes.n; n++)
			assert_int_equal(pp_read(guard_tail(&g, good[i].bytes.p, n), n, &pp), good[i].length);
		assert_int_equal(pp.is_local, good[i].local);
		check_address(&pp.src, good[i].src);
		check_address(&pp.dst, good[i].dst);
	}
	guard_close(&g);
}

/* Refused at the latest when all of it is there, and at no place taken for a header. */
static void test_bad(void **state)
{
	struct guard g = guard_open(256);
	struct pp pp;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ssize_t r = 0;

		for (size_t n = 0; n <= bad[i].bytes.n; n++) {
			r = pp_read(guard_tail(&g, bad[i].bytes.p, n), n, &pp);
			assert_true(r <= 0);
		}
		if (r != -1)
			fail_msg("row %zu is not refused", i);
	}
	guard_close(&g);
}

static void test_written_is_read(void **state)
{
	static const char *const hosts[][2] = { { "1.2.3.4", "5.6.7.8" }, { "2001:db8::1", "::1" } };
	uint8_t out[PP_WRITE_MAX];
	struct addr src, dst;
	struct pp pp;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		size_t n;

		memset(&src, 0, sizeof src);
		memset(&dst, 0, sizeof dst);
		assert_true(addr_from_ip(&src, str_from_c(hosts[i][0]), 1234));
		assert_true(addr_from_ip(&dst, str_from_c(hosts[i][1]), 443));
		n = pp_write(out, &src.sa, &dst.sa);
		assert_int_equal(pp_read(out, n, &pp), n);
		assert_false(pp.is_local);
		assert_memory_equal(&pp.src, &src.ss, src.len);
		assert_memory_equal(&pp.dst, &dst.ss, dst.len);
	}
	src.ss.ss_family = AF_UNIX;
	assert_int_equal(pp_read(out, pp_write(out, &src.sa, &dst.sa), &pp), 16);
	assert_true(pp.is_local);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_written_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
