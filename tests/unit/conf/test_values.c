/*
 * The pure parts: scalars, origins, mountpoints, names, addresses, the key table, the map.
 */
#include "tests/unit/conf/conf_test.h"
#include "tests/unit/guard.h"

static struct guard guard;

/* The text where reading on is fatal. */
static struct str laid(const char *text)
{
	return str_of(guard_tail(&guard, text, strlen(text)), strlen(text));
}

static void booleans(void **state)
{
	static const char *const yes[] = { "1", "yes", "on", "true", "YES", "On", "True" };
	static const char *const no[] = { "0", "no", "off", "false", "NO", "Off", "False" };
	static const char *const neither[] = {
		"", "2", "01", "y", "n", "yes ", "t", "enabled", "null", "-1"
	};
	bool value;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		assert_int_equal(conf_to_bool(laid(yes[i]), &value), CONF_VALUE_OK);
		assert_true(value);
		assert_int_equal(conf_to_bool(laid(no[i]), &value), CONF_VALUE_OK);
		assert_false(value);
	}
	for (size_t i = 0; i < ARRAY_SIZE(neither); i++)
		assert_int_equal(conf_to_bool(laid(neither[i]), &value), CONF_VALUE_FORM);
}

struct number {
	const char *text;
	enum conf_value result;
	uint64_t value;
};

static void check_numbers(const struct number *rows, size_t n, enum conf_value (*f)(struct str, uint64_t *))
{
	for (size_t i = 0; i < n; i++) {
		uint64_t value = 0;

		if (f(laid(rows[i].text), &value) != rows[i].result || value != rows[i].value) {
			print_error("%s\n", rows[i].text);
			assert_true(false);
		}
	}
}

static enum conf_value to_number(struct str s, uint64_t *out)
{
	return conf_to_number(s, UINT64_MAX, out);
}

static void numbers(void **state)
{
	static const struct number plain[] = {
		{ "0", CONF_VALUE_OK, 0 },
		{ "7", CONF_VALUE_OK, 7 },
		{ "18446744073709551615", CONF_VALUE_OK, UINT64_MAX },
		{ "18446744073709551616", CONF_VALUE_LARGE, 0 },
		{ "00", CONF_VALUE_ZEROS, 0 },
		{ "017", CONF_VALUE_ZEROS, 0 },
		{ "", CONF_VALUE_FORM, 0 },
		{ "+1", CONF_VALUE_FORM, 0 },
		{ "-1", CONF_VALUE_FORM, 0 },
		{ "0x10", CONF_VALUE_FORM, 0 },
		{ "1_000", CONF_VALUE_FORM, 0 },
		{ "1:30", CONF_VALUE_FORM, 0 },
		{ "1e3", CONF_VALUE_FORM, 0 },
		{ "1.0", CONF_VALUE_FORM, 0 },
		{ " 1", CONF_VALUE_FORM, 0 },
	};
	static const struct number times[] = {
		{ "0", CONF_VALUE_OK, 0 },
		{ "5", CONF_VALUE_OK, 5000 },
		{ "500ms", CONF_VALUE_OK, 500 },
		{ "5s", CONF_VALUE_OK, 5000 },
		{ "2m", CONF_VALUE_OK, 120000 },
		{ "1h", CONF_VALUE_OK, 3600000 },
		{ "7d", CONF_VALUE_OK, 7 * 86400000ull },
		{ "365d", CONF_VALUE_OK, 365 * 86400000ull },
		{ "366d", CONF_VALUE_LARGE, 0 },
		{ "99999999999999999999s", CONF_VALUE_LARGE, 0 },
		{ "05s", CONF_VALUE_ZEROS, 0 },
		{ "", CONF_VALUE_FORM, 0 },
		{ "s", CONF_VALUE_FORM, 0 },
		{ "5 s", CONF_VALUE_FORM, 0 },
		{ "5S", CONF_VALUE_FORM, 0 },
		{ "1m30s", CONF_VALUE_FORM, 0 },
		{ "1.5s", CONF_VALUE_FORM, 0 },
		{ "5k", CONF_VALUE_FORM, 0 },
	};
	static const struct number sizes[] = {
		{ "0", CONF_VALUE_OK, 0 },
		{ "100", CONF_VALUE_OK, 100 },
		{ "64k", CONF_VALUE_OK, 65536 },
		{ "64K", CONF_VALUE_OK, 65536 },
		{ "1m", CONF_VALUE_OK, 1 << 20 },
		{ "2g", CONF_VALUE_OK, 2ull << 30 },
		{ "1024g", CONF_VALUE_OK, 1ull << 40 },
		{ "1025g", CONF_VALUE_LARGE, 0 },
		{ "064k", CONF_VALUE_ZEROS, 0 },
		{ "64kb", CONF_VALUE_FORM, 0 },
		{ "k", CONF_VALUE_FORM, 0 },
		{ "1s", CONF_VALUE_FORM, 0 },
		{ "-1k", CONF_VALUE_FORM, 0 },
	};

	(void)state;
	check_numbers(plain, ARRAY_SIZE(plain), to_number);
	check_numbers(times, ARRAY_SIZE(times), conf_to_ms);
	check_numbers(sizes, ARRAY_SIZE(sizes), conf_to_bytes);
}

static void good_origins(void **state)
{
	static const struct {
		const char *text;
		enum conf_origin_kind kind;
		bool is_unix;
		const char *address;
		uint16_t port;
		const char *base, *redirect;
	} rows[] = {
		{ "http://+/run/app.sock:/base", CONF_ORIGIN_PROXY, true, "/run/app.sock", 0, "/base", "" },
		{ "http://+/run/app.sock:/", CONF_ORIGIN_PROXY, true, "/run/app.sock", 0, "", "" },
		{ "http://+/run/app.sock:", CONF_ORIGIN_PROXY, true, "/run/app.sock", 0, "", "" },
		{ "http://+/run/app.sock", CONF_ORIGIN_PROXY, true, "/run/app.sock", 0, "", "" },
		{ "http://+@app:/b/", CONF_ORIGIN_PROXY, true, "@app", 0, "/b", "" },
		{ "unix:/run/app.sock", CONF_ORIGIN_PROXY, true, "/run/app.sock", 0, "", "" },
		{ "unix:/a:/x:/y", CONF_ORIGIN_PROXY, true, "/a", 0, "/x:/y", "" },
		{ "unix:@app", CONF_ORIGIN_PROXY, true, "@app", 0, "", "" },
		{ "http://127.0.0.1", CONF_ORIGIN_PROXY, false, "127.0.0.1", 80, "", "" },
		{ "http://127.0.0.1:8080/v1//", CONF_ORIGIN_PROXY, false, "127.0.0.1", 8080, "/v1", "" },
		{ "http://[::1]:8080/", CONF_ORIGIN_PROXY, false, "::1", 8080, "", "" },
		{ "http://[::1]", CONF_ORIGIN_PROXY, false, "::1", 80, "", "" },
		{ "http://app.internal:1", CONF_ORIGIN_PROXY, false, "app.internal", 1, "", "" },
		{ "https://a", CONF_ORIGIN_PROXY, false, "a", 443, "", "" },
		{ "https://[::1]:8443/b", CONF_ORIGIN_PROXY, false, "::1", 8443, "/b", "" },
		{ "https://+/run/x:/b/", CONF_ORIGIN_PROXY, true, "/run/x", 0, "/b", "" },
		{ ">https://www.example.com", CONF_ORIGIN_REDIRECT, false, "", 0, "",
		  "https://www.example.com" },
		{ "^https://a/b/", CONF_ORIGIN_REDIRECT, false, "", 0, "", "https://a/b" },
		{ ">http://a:81", CONF_ORIGIN_REDIRECT, false, "", 0, "", "http://a:81" },
		{ "file:///var/www", CONF_ORIGIN_NOT_SERVED, false, "", 0, "", "" },
		{ "cgi:///bin/x", CONF_ORIGIN_NOT_SERVED, false, "", 0, "", "" },
		{ "callback://x", CONF_ORIGIN_NOT_SERVED, false, "", 0, "", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *remedy = NULL;
		struct conf_origin o;

		assert_null(conf_origin_parse(laid(rows[i].text), &o, &remedy));
		assert_int_equal(o.kind, rows[i].kind);
		assert_int_equal(o.is_unix, rows[i].is_unix);
		assert_str(o.address, rows[i].address);
		assert_int_equal(o.port, rows[i].port);
		assert_str(o.base, rows[i].base);
		assert_str(o.redirect, rows[i].redirect);
	}
}

static void bad_origins(void **state)
{
	static const char *const rows[] = {
		"",
		"x",
		"/run/app.sock",
		"http:",
		"http://",
		"http:///x",
		"http://+",
		"http://+run/x",
		"unix:",
		"unix:x",
		"unix:/",
		"unix:@",
		"unix:/a:b",
		"unix:/a:/b?c",
		"unix:/a:/b#c",
		"unix:/a:/b c",
		"unix:/a:/../b",
		"http://127.0.0.1:0",
		"http://127.0.0.1:65536",
		"http://127.0.0.1:",
		"http://127.0.0.1:08",
		"http://127.0.0.1:x",
		"http://[::1",
		"http://[::1]x",
		"http://u@127.0.0.1",
		"http://127.0.0.1?x",
		"http://127.0.0.1/\\x",
		"https://",
		"https://+",
		"https://+run/x:/",
		"https://u@a",
		"https:/a",
		"https://unix:/run/x",
		"ftp://a",
		"http://unix:/run/x",
		">",
		"^",
		">https://",
		">https:///x",
		">ftp://x",
		">https://?b",
		">https://:443",
		">https://a b",
		"HTTP://127.0.0.1",
		"127.0.0.1:80",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *remedy = NULL;
		struct conf_origin o;

		if (!conf_origin_parse(laid(rows[i]), &o, &remedy)) {
			print_error("%s\n", rows[i]);
			assert_true(false);
		}
	}
}

/* 107 bytes are what sun_path holds. */
static void socket_paths(void **state)
{
	const char *remedy = NULL;
	struct conf_origin o;
	char text[128] = "unix:/";

	(void)state;
	memset(text + 6, 'x', 106);
	assert_null(conf_origin_parse(str_of(text, 5 + 107), &o, &remedy));
	assert_int_equal(o.address.n, 107);
	text[5 + 107] = 'x';
	assert_string_equal(conf_origin_parse(str_of(text, 5 + 108), &o, &remedy),
			    "a socket's path has at most 107 bytes");
	text[5 + 107] = ':';
	assert_null(conf_origin_parse(str_of(text, 5 + 108), &o, &remedy));
}

static void mountpoints(void **state)
{
	static const struct {
		const char *text, *out; /* out NULL: refused */
	} rows[] = {
		{ "/", "/" }, { "//", "/" },
		{ "/app", "/app" }, { "/app/", "/app" },
		{ "/a/b//", "/a/b" }, { "/a%2fb", "/a%2fb" },
		{ "/a%20b", "/a%20b" }, { "/.well-known", "/.well-known" },
		{ "/a..b", "/a..b" }, { "/...", "/..." },
		{ "/a;b=c", "/a;b=c" }, { "", NULL },
		{ "app", NULL }, { "/a/./b", NULL },
		{ "/..", NULL }, { "/a/..", NULL },
		{ "/.", NULL }, { "/%41", NULL },
		{ "/%7e", NULL }, { "/%", NULL },
		{ "/%4", NULL }, { "/%4g", NULL },
		{ "/a b", NULL }, { "/a?b", NULL },
		{ "/a#b", NULL }, { "/\xc3\xa4", NULL },
		{ "/a\\b", NULL }, { "/<", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *remedy = NULL, *reason;
		struct str out;

		reason = conf_mountpoint_parse(laid(rows[i].text), &out, &remedy);
		if (!rows[i].out != !!reason)
			print_error("%s: %s\n", rows[i].text, reason);
		assert_int_equal(!rows[i].out, !!reason);
		if (!reason)
			assert_str(out, rows[i].out);
	}
}

static void names(void **state)
{
	static const char *const good[] = { "a",
					    "localhost",
					    "www.example.com",
					    "WWW.Example.com.",
					    "*.example.com",
					    "xn--bcher-kva.example",
					    "a_b.example",
					    "192.0.2.1",
					    "a-b" };
	static const char *const bad[] = {
		"",    ".", "*",	   "*.",  "a..b", ".a",	   "*a.example",
		"a.*", "*.*.a", "a b",	   "a/b", "a:80", "[::1]", "b\xc3\xbc.example",
		"a,b", "a..", "http://a"
	};
	char label[64 + 1];
	const char *remedy = NULL;
	struct str out;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_null(conf_name_parse(laid(good[i]), &out, &remedy));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (!conf_name_parse(laid(bad[i]), &out, &remedy))
			print_error("%s\n", bad[i]);
		assert_non_null(conf_name_parse(laid(bad[i]), &out, &remedy));
	}
	memset(label, 'a', sizeof label);
	assert_null(conf_name_parse(str_of(label, 63), &out, &remedy));
	assert_non_null(conf_name_parse(str_of(label, 64), &out, &remedy));
}

/* Every key once in its scope, with a text for everything that is printed about it. */
static void key_rows(void **state)
{
	const struct conf_key *keys = conf_keys();

	(void)state;
	for (size_t i = 0; i < CONF_KEY_COUNT; i++) {
		const struct conf_key *k = &keys[i];

		assert_non_null(k->name);
		assert_ptr_equal(conf_key_find(k->scope, str_from_c(k->name)), k);
		assert_non_null(conf_scope_text(k->scope));
		assert_non_null(conf_kind_text(k->kind));
		assert_non_null(conf_kind_written(k->kind));
		assert_non_null(conf_state_text(k->state));
		assert_non_null(k->what);
		assert_true(k->set != NULL);
		if (k->scope != CONF_IN_LIMITS && k->scope != CONF_IN_TIMEOUTS)
			continue;
		assert_true(k->levels & 1 << CONF_IN_GLOBAL);
		assert_true(k->dflt >= k->least);
	}
	assert_ptr_equal(conf_key_find(CONF_IN_VHOST, STR("keepalive_timeout")),
			 &keys[CONF_KEY_KEEPALIVE_TIMEOUT]);
	assert_ptr_equal(conf_key_find(CONF_IN_VHOST, STR("keeplive-timeout")),
			 &keys[CONF_KEY_KEEPALIVE_TIMEOUT]);
	assert_null(conf_key_find(CONF_IN_VHOST, STR("keeplive-timeout keepalive_timeout")));
	assert_null(conf_key_find(CONF_IN_VHOST, STR("keep")));
	assert_null(conf_key_find(CONF_IN_VHOST, STR("")));
}

static void near(void **state)
{
	static const struct {
		enum conf_scope scope;
		const char *text, *name; /* name NULL: nothing is near */
	} rows[] = {
		{ CONF_IN_VHOST, "nam", "name" },
		{ CONF_IN_VHOST, "pot", "port" },
		{ CONF_IN_VHOST, "mount", "mounts" },
		{ CONF_IN_VHOST, "acess-log", "access-log" },
		{ CONF_IN_VHOST, "host_ssl_cert", "host-ssl-cert" },
		{ CONF_IN_VHOST, "host-ssl-crt", "host-ssl-cert" },
		{ CONF_IN_MOUNT, "mount-point", "mountpoint" },
		{ CONF_IN_MOUNT, "orign", "origin" },
		{ CONF_IN_MOUNT, "orgiin", "origin" },
		{ CONF_IN_GLOBAL, "user-name", "username" },
		{ CONF_IN_LIMITS, "request-headers", "request-head" },
		{ CONF_IN_FILE, "vhost", "vhosts" },
		{ CONF_IN_VHOST, "x", NULL },
		{ CONF_IN_VHOST, "", NULL },
		{ CONF_IN_VHOST, "certificate", NULL },
		{ CONF_IN_MOUNT, "proxy-pass", NULL },
	};
	char longest[1000];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct conf_key *k = conf_key_near(rows[i].scope, laid(rows[i].text));

		assert_string_equal(k ? k->name : "nothing", rows[i].name ? rows[i].name : "nothing");
	}
	memset(longest, 'a', sizeof longest);
	assert_null(conf_key_near(CONF_IN_VHOST, str_of(longest, sizeof longest)));
	assert_ptr_equal(conf_key_elsewhere(CONF_IN_MOUNT, STR("sts")), &conf_keys()[CONF_KEY_STS]);
	assert_null(conf_key_elsewhere(CONF_IN_VHOST, STR("sts")));
}

static void map(void **state)
{
	enum { N = 5000 };
	struct conf_map m = { 0 };
	struct arena a;
	char name[32];

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < N; i++) {
		int n = snprintf(name, sizeof name, "key %zu", i * 7);
		void **slot = conf_map_at(&a, &m, arena_dup(&a, str_of(name, (size_t)n)));

		assert_null(*slot);
		*slot = (void *)(i + 1);
	}
	assert_null(*conf_map_at(&a, &m, STR_NONE));
	*conf_map_at(&a, &m, STR_NONE) = &m;
	assert_ptr_equal(*conf_map_at(&a, &m, STR("")), &m);
	for (size_t i = 0; i < N; i++) {
		int n = snprintf(name, sizeof name, "key %zu", i * 7);

		assert_ptr_equal(*conf_map_at(&a, &m, str_of(name, (size_t)n)), (void *)(i + 1));
	}
	assert_int_equal(m.n, N + 1);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(booleans),    cmocka_unit_test(numbers), cmocka_unit_test(good_origins),
		cmocka_unit_test(bad_origins), cmocka_unit_test(names),	  cmocka_unit_test(socket_paths),
		cmocka_unit_test(mountpoints), cmocka_unit_test(near),	  cmocka_unit_test(key_rows),
		cmocka_unit_test(map),
	};
	int failed;

	guard = guard_open(4096);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	guard_close(&guard);
	return failed;
}
