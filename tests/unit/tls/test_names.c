/* Which name a client means, and how it says so. */
#include "tests/unit/guard.h"
#include "tests/unit/tls/rig.h"

static struct tls_names *names_of(const char *const *list, size_t n)
{
	struct tls_name *names = base_zalloc(n * sizeof *names);
	struct tls_names *t;

	for (size_t i = 0; i < n; i++)
		names[i].name = str_from_c(list[i]);
	t = tls_names_new(names, n);
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
		{ "a.b.example.com", 2 },
		{ "deep.example.com", 2 },
		{ "a.deep.example.com", 3 },
		{ "a.b.deep.example.com", 3 },
		{ "a.www.example.com", 2 },
		{ "parent.test", 5 },
		{ "a.parent.test", 5 },
		{ "sub.parent.test", 6 },
		{ "a.sub.parent.test", 6 },
		{ "asub.parent.test", 5 },
		{ "a.only.test", 7 },
		{ "a.b.only.test", 7 },
		{ "only.test", -1 },
		{ "xparent.test", -1 },
		{ "test", -1 },
		{ "parent.test.evil", -1 },
		{ "", -1 },
		{ ".", -1 },
		{ "..", -1 },
		{ ".example.com", -1 },
		{ "a..example.com", 2 },
		{ "xn--bcher-kva.test", 9 },
	};
	struct tls_names *t = names_of(list, ARRAY_SIZE(list));

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ssize_t found = tls_names_find(t, str_from_c(rows[i].name));

		if (found != rows[i].index)
			fail_msg("%s: %zd, not %d", rows[i].name, found, rows[i].index);
	}
	tls_names_free(t);
}

static void longest_names(void **state)
{
	static const char *const list[] = { "a.test", "*.b.test" };
	struct tls_names *t = names_of(list, ARRAY_SIZE(list));
	struct guard g = guard_open(TLS_NAME_MAX);
	char name[TLS_NAME_MAX];

	(void)state;
	for (size_t n = 1; n <= sizeof name; n++) {
		for (size_t i = 0; i < n; i++)
			name[i] = i % 2 ? '.' : 'a';
		assert_int_equal(tls_names_find(t, str_of(guard_tail(&g, name, n), n)), -1);
	}
	memset(name, '.', sizeof name);
	assert_int_equal(tls_names_find(t, str_of(guard_tail(&g, name, sizeof name), sizeof name)), -1);
	guard_close(&g);
	tls_names_free(t);
}

static void ten_thousand_names(void **state)
{
	enum { N = 10000 };
	struct tls_name *names = base_zalloc(N * sizeof *names);
	char(*text)[32] = base_zalloc(N * sizeof *text);
	struct tls_names *t;

	(void)state;
	for (size_t i = 0; i < N; i++) {
		snprintf(text[i], sizeof text[i], i % 3 ? "host%zu.test" : "*.host%zu.test", i);
		names[i].name = str_from_c(text[i]);
	}
	t = tls_names_new(names, N);
	for (size_t i = 0; i < N; i++) {
		char name[40];

		snprintf(name, sizeof name, "a.host%zu.test", i);
		assert_int_equal(tls_names_find(t, str_from_c(name)), i);
		assert_int_equal(tls_names_find(t, str_of(name + 2, strlen(name) - 2)),
				 i % 3 ? (ssize_t)i : -1);
	}
	tls_names_free(t);
	free(text);
	free(names);
}

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
	char name[300], out[TLS_NAME_MAX];
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
	n = extension(p, name, TLS_NAME_MAX);
	assert_int_equal(tls_sni_parse((unsigned char *)guard_tail(&g, p, n), n, out), TLS_NAME_MAX);
	n = extension(p, name, TLS_NAME_MAX + 1);
	assert_int_equal(tls_sni_parse((unsigned char *)guard_tail(&g, p, n), n, out), -1);
	guard_close(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nearest_name_is_found),
		cmocka_unit_test(longest_names),
		cmocka_unit_test(ten_thousand_names),
		cmocka_unit_test(server_names_are_read_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
