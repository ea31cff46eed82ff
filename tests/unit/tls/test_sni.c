/* How a client names its server, read strictly. */
#include "tests/unit/guard.h"
#include "tests/unit/tls/rig.h"

/* The extension's body for a list of one name; returns its length. */
static size_t extension(unsigned char *p, const char *name, size_t n)
{
	p[0] = (unsigned char)((n + 3) >> 8), p[1] = (unsigned char)(n + 3);
	p[2] = 0;
	p[3] = (unsigned char)(n >> 8), p[4] = (unsigned char)n;
	memcpy(p + 5, name, n);
	return n + 5;
}

static void server_names_are_read_strictly(void **state)
{
	struct guard g = guard_open(512);
	unsigned char p[512], *q;
	char name[300], out[CONF_NAME_BYTES];
	size_t n;

	(void)state;
	n = extension(p, "WWW.Example.COM.", 16);
	assert_int_equal(tls_sni_parse((unsigned char *)guard_tail(&g, p, n), n, out), 15);
	assert_memory_equal(out, "www.example.com", 15);
	/* cut anywhere, and one byte too long */
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(tls_sni_parse((unsigned char *)guard_tail(&g, p, cut), cut, out), -1);
	p[n] = 'x';
	assert_int_equal(tls_sni_parse((unsigned char *)guard_tail(&g, p, n + 1), n + 1, out), -1);
	/* another type of name; two names */
	q = (unsigned char *)guard_tail(&g, p, n);
	q[2] = 1;
	assert_int_equal(tls_sni_parse(q, n, out), -1);
	memcpy(p, "\0\x0a\0\0\2aa\0\0\2bb", 12);
	assert_int_equal(tls_sni_parse((unsigned char *)guard_tail(&g, p, 12), 12, out), -1);
	/* empty, only a dot, bytes no name has */
	assert_int_equal(tls_sni_parse(p, extension(p, "", 0), out), -1);
	assert_int_equal(tls_sni_parse(p, extension(p, ".", 1), out), -1);
	assert_int_equal(tls_sni_parse(p, extension(p, "a\0b", 3), out), -1);
	assert_int_equal(tls_sni_parse(p, extension(p, "a b", 3), out), -1);
	assert_int_equal(tls_sni_parse(p, extension(p, "a\nb", 3), out), -1);
	assert_int_equal(tls_sni_parse(p, extension(p, "\xc3\xa4", 2), out), -1);
	/* lengths */
	memset(name, 'a', sizeof name);
	n = extension(p, name, CONF_NAME_BYTES);
	assert_int_equal(tls_sni_parse((unsigned char *)guard_tail(&g, p, n), n, out), CONF_NAME_BYTES);
	n = extension(p, name, CONF_NAME_BYTES + 1);
	assert_int_equal(tls_sni_parse((unsigned char *)guard_tail(&g, p, n), n, out), -1);
	guard_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(server_names_are_read_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
