/* Header rules, up and down. */
#include "proxy/translate.h"
#include "tests/unit/proxy/conf.h"

static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

/* Adds the fields of "name: value\n..." to h. */
static void add_fields(struct head *h, const char *text)
{
	while (*text) {
		const char *colon = strchr(text, ':'), *end = strchr(text, '\n');

		assert_true(colon && end && colon < end);
		head_add(&arena, h, str_of(text, (size_t)(colon - text)),
			 str_trim(str_of(colon + 1, (size_t)(end - colon) - 1)));
		text = end + 1;
	}
}

static const char *fields_text(const struct head *h)
{
	struct str all = STR("");

	head_for_each(f, h) all =
		arena_printf(&arena, "%.*s%.*s: %.*s\n", STR_ARG(all), STR_ARG(f->name), STR_ARG(f->value));
	return all.p;
}

static struct head *request(const char *method, const char *fields)
{
	struct head *h = head_new(&arena, HEAD_REQUEST);
	const struct field *host;

	h->method = str_from_c(method);
	h->path = STR("/x");
	add_fields(h, fields);
	host = head_find(h, FIELD_HOST);
	h->authority = host ? host->value : STR_NONE;
	return h;
}

static const struct translate_up plain = {
	.target = {"/x", 2}, .authority = {"vhost.test", 10}, .peer = {"192.0.2.7", 9}, .tls = true,
};

#define OURS "x-forwarded-for: 192.0.2.7\nx-forwarded-proto: https\nx-forwarded-host: a.test\n"

/* Columns: what, fields of the client, fields that go up. */
static const struct {
	const char *what, *in, *out;
} up_rules[] = {
	{"nothing but Host", "Host: a.test\n", "Host: a.test\n" OURS},
	{"order, case and duplicates stay",
	 "X-One: 1\nHost: a.test\nx-TWO: 2\nX-One: 3\nAccept: a\nAccept: b\n",
	 "X-One: 1\nHost: a.test\nx-TWO: 2\nX-One: 3\nAccept: a\nAccept: b\n" OURS},
	{"end-to-end fields pass",
	 "Host: a.test\nAuthorization: Basic x\nRange: bytes=0-1\nIf-None-Match: \"e\"\n"
	 "Expect: 100-continue\nTrailer: x\nVia: 1.1 other\nX-Real-IP: 1.2.3.4\nX_Other: y\n",
	 "Host: a.test\nAuthorization: Basic x\nRange: bytes=0-1\nIf-None-Match: \"e\"\n"
	 "Expect: 100-continue\nTrailer: x\nVia: 1.1 other\nX-Real-IP: 1.2.3.4\nX_Other: y\n" OURS},
	{"a client's own word about others does not count",
	 "Host: a.test\nX-Forwarded-For: 1.1.1.1\nX-Forwarded-Proto: http\nX-Forwarded-Host: evil\n"
	 "X-Forwarded-Prefix: /e\nx-forwarded-FOR: 2.2.2.2\nForwarded: for=3.3.3.3\n",
	 "Host: a.test\n" OURS},
	{"nor spelt with underscores",
	 "Host: a.test\nX_Forwarded_For: 1\nx-forwarded_for: 2\nX_FORWARDED-PROTO: 3\nx_forwarded_host: 4\n"
	 "X_Forwarded_Prefix: 5\nContent_Length: 6\nTransfer_Encoding: chunked\n",
	 "Host: a.test\n" OURS},
	{"names that only resemble them pass",
	 "Host: a.test\nX_Forwarded: 1\nX_Forwarded_Fore: 2\nA_X_Forwarded_For: 3\n",
	 "Host: a.test\nX_Forwarded: 1\nX_Forwarded_Fore: 2\nA_X_Forwarded_For: 3\n" OURS},
	{"crumbs are joined where the first was",
	 "Host: a.test\nCookie: a=1\nAccept: x\nCookie: b=2; c=3\nCookie: d=4\n",
	 "Host: a.test\nCookie: a=1; b=2; c=3; d=4\nAccept: x\n" OURS},
	{"one cookie field stays as it is", "Host: a.test\nCookie: a=1;b=2;  c\n",
	 "Host: a.test\nCookie: a=1;b=2;  c\n" OURS},
	{"our own cookie stays here", "Host: a.test\nCookie: a=1; gatehouse-retry=7; b=2\n",
	 "Host: a.test\nCookie: a=1; b=2\n" OURS},
	{"at the end", "Host: a.test\nCookie: a=1; gatehouse-retry=7\n", "Host: a.test\nCookie: a=1\n" OURS},
	{"alone", "Host: a.test\nCookie: gatehouse-retry=7\n", "Host: a.test\n" OURS},
	{"twice, with crumbs",
	 "Host: a.test\nCookie: gatehouse-retry=7\nCookie: b=2\nCookie: gatehouse-retry=8\n",
	 "Host: a.test\nCookie: b=2\n" OURS},
	{"one whose name ends alike is none of ours", "Host: a.test\nCookie: my-gatehouse-retry=7\n",
	 "Host: a.test\nCookie: my-gatehouse-retry=7\n" OURS},
	{"Max-Forwards is OPTIONS' and TRACE's", "Host: a.test\nMax-Forwards: 3\n",
	 "Host: a.test\nMax-Forwards: 3\n" OURS},
};

static void translates_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(up_rules); i++) {
		struct head *h = request("GET", up_rules[i].in);
		const char *before = fields_text(h),
			   *after = fields_text(translate_request(&arena, h, &plain));

		if (strcmp(after, up_rules[i].out))
			fail_msg("%s:\n%s", up_rules[i].what, after);
		assert_string_equal(fields_text(h), before);
	}
}

static void keeps_what_it_does_not_know(void **state)
{
	struct head *h = request("POST", "Host: a.test:8443\nConnection: x\nX: 1\n"), *up;

	(void)state;
	h->minor = 0;
	h->scheme = STR("http");
	h->length = 12;
	h->expect_continue = h->websocket = true;
	h->websocket_key = STR("key");
	head_remove(h, FIELD_CONNECTION);
	up = translate_request(&arena, h, &plain);
	assert_str(up->method, "POST");
	assert_str(up->path, "/x");
	assert_str(up->authority, "a.test:8443");
	assert_int_equal(up->length, 12);
	assert_int_equal(up->minor, 1);
	assert_int_equal(up->scheme.n, 0);
	assert_true(up->expect_continue && up->websocket);
	assert_str(up->websocket_key, "key");
	assert_string_equal(fields_text(up), "Host: a.test:8443\nX: 1\nx-forwarded-for: 192.0.2.7\n"
					     "x-forwarded-proto: https\nx-forwarded-host: a.test:8443\n");
}

/* absolute-form: its host wins over the field (RFC 9112 section 3.2.2). */
static void authority_is_the_host(void **state)
{
	struct head *h = request("GET", "A: 1\nHost: other.test\n");

	(void)state;
	h->authority = STR("a.test");
	assert_string_equal(fields_text(translate_request(&arena, h, &plain)), "A: 1\nHost: a.test\n" OURS);
}

static void without_host_the_vhost_is_named(void **state)
{
	struct head *h = request("GET", "A: 1\n"), *up = translate_request(&arena, h, &plain);

	(void)state;
	assert_string_equal(fields_text(up), "host: vhost.test\nA: 1\nx-forwarded-for: 192.0.2.7\n"
					     "x-forwarded-proto: https\nx-forwarded-host: vhost.test\n");
	assert_str(up->authority, "vhost.test");
	/* an h2 request has no Host field, but an authority */
	h->authority = STR("a.test");
	assert_string_equal(fields_text(translate_request(&arena, h, &plain)), "host: a.test\nA: 1\n" OURS);
	/* an empty Host is none */
	h = request("GET", "Host:\n");
	assert_string_equal(fields_text(translate_request(&arena, h, &plain)),
			    "Host: vhost.test\nx-forwarded-for: 192.0.2.7\nx-forwarded-proto: https\n"
			    "x-forwarded-host: vhost.test\n");
}

static void tells_a_prefix_and_plain_http(void **state)
{
	struct translate_up t = plain;

	(void)state;
	t.prefix = STR("/app");
	t.tls = false;
	assert_string_equal(fields_text(translate_request(&arena, request("GET", "Host: a.test\n"), &t)),
			    "Host: a.test\nx-forwarded-for: 192.0.2.7\nx-forwarded-proto: http\n"
			    "x-forwarded-host: a.test\nx-forwarded-prefix: /app\n");
}

static void a_trusted_proxy_is_believed(void **state)
{
	struct translate_up t = plain;

	(void)state;
	t.trusted = true;
	assert_string_equal(fields_text(translate_request(
				    &arena,
				    request("GET", "Host: a.test\nX-Forwarded-For: 1.1.1.1, 2.2.2.2\n"
						   "X-Forwarded-Proto: http\nX-Forwarded-For: 3.3.3.3\n"
						   "X-Forwarded-Host: b.test\nX_Forwarded_For: x\n"),
				    &t)),
			    "Host: a.test\nX-Forwarded-Proto: http\nX-Forwarded-Host: b.test\n"
			    "x-forwarded-for: 1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.7\n");
	assert_string_equal(fields_text(translate_request(&arena, request("GET", "Host: a.test\n"), &t)),
			    "Host: a.test\n" OURS);
}

static void counts_forwards_of_options(void **state)
{
	static const struct {
		const char *in, *out;
		int64_t read;
	} rows[] = {
		{"3", "2", 3},	   {"1", "0", 1},     {" 10 ", "9", 10},
		{"x", "x", -1},	   {"-1", "-1", -1},  {"", "", -1},
		{"99999999999999999999", "99999999999999999999", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct head *h = request("OPTIONS", "Host: a.test\n"), *up;

		head_add(&arena, h, STR("Max-Forwards"), str_from_c(rows[i].in));
		assert_int_equal(translate_max_forwards(h), rows[i].read);
		up = translate_request(&arena, h, &plain);
		assert_str(head_find(up, FIELD_MAX_FORWARDS)->value, rows[i].out);
	}
	assert_int_equal(translate_max_forwards(request("OPTIONS", "Host: a.test\n")), -1);
}

/* ---- down ---- */

static struct head *response(unsigned status, const char *fields)
{
	struct head *h = head_new(&arena, status < 200 && status != 101 ? HEAD_INTERIM : HEAD_FINAL);

	h->status = (uint16_t)status;
	add_fields(h, fields);
	return h;
}

static const struct conf_header headers[] = {
	{{"X-Frame-Options", 15}, {"DENY", 4}},
	{{"x-own", 5}, {"1", 1}},
	{{"Link", 4}, {"</a>", 4}},
	{{"Link", 4}, {"</b>", 4}},
};

static void adds_a_vhosts_own_fields(void **state)
{
	struct translate_down t = {
		.headers = headers, .nheaders = ARRAY_SIZE(headers), .sts = true, .date = STR("now"),
	};
	struct head *h =
		response(200, "Server: app\nx-frame-options: SAMEORIGIN\nX-Own: a\nlink: c\nX-OWN: b\n");

	(void)state;
	translate_response(&arena, h, &t);
	assert_string_equal(fields_text(h),
			    "Server: app\n"
			    "strict-transport-security: max-age=15768000; includeSubDomains\n"
			    "X-Frame-Options: DENY\nx-own: 1\nLink: </a>\nLink: </b>\ndate: now\n");
	/* what the upstream knows better stays */
	t.nheaders = 0;
	h = response(304, "Strict-Transport-Security: max-age=1\nDate: then\n");
	translate_response(&arena, h, &t);
	assert_string_equal(fields_text(h), "Strict-Transport-Security: max-age=1\nDate: then\n");
}

static void pages_keep_their_type_and_their_caching(void **state)
{
	static const struct conf_header rows[] = {
		{{"cache-control", 13}, {"max-age=9", 9}},
		{{"Content-Type", 12}, {"x/y", 3}},
		{{"Content-Security-Policy", 23}, {"default-src *", 13}},
	};
	struct translate_down t = {.headers = rows, .nheaders = 3, .date = STR("now"), .is_ours = true};
	const char *fields =
		"Content-Type: text/html\nCache-Control: no-store\nContent-Security-Policy: none\n";
	struct head *h = response(503, fields);

	(void)state;
	translate_response(&arena, h, &t);
	assert_string_equal(fields_text(h), "Content-Type: text/html\nCache-Control: no-store\n"
					    "Content-Security-Policy: default-src *\ndate: now\n");
	t.is_ours = false;
	h = response(503, fields);
	translate_response(&arena, h, &t);
	assert_string_equal(fields_text(h), "cache-control: max-age=9\nContent-Type: x/y\n"
					    "Content-Security-Policy: default-src *\ndate: now\n");
}

static void leaves_interim_heads_and_tunnels_alone(void **state)
{
	static const unsigned statuses[] = {100, 101, 103};
	struct translate_down t = {
		.headers = headers, .nheaders = 1, .sts = true, .date = STR("now"), .is_mapped = true,
		.mountpoint = STR("/app"), .base = STR(""), .authority = STR("a.test"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		struct head *h = response(statuses[i], "Location: /x\n");

		translate_response(&arena, h, &t);
		assert_string_equal(fields_text(h), "Location: /x\n");
	}
}

/* Columns: mountpoint, base, Location of the upstream, as the client must see it. */
static const struct {
	const char *mountpoint, *base, *in, *out;
} locations[] = {
	/* a mount whose prefix is taken off */
	{"/app", "", "/x", "/app/x"},
	{"/app", "", "/", "/app/"},
	{"/app", "", "/x?a=/b#/c", "/app/x?a=/b#/c"},
	{"/app", "", "/x#f", "/app/x#f"},
	{"/app", "", "https://a.test/x", "https://a.test/app/x"},
	{"/app", "", "HTTP://A.Test/x?q", "HTTP://A.Test/app/x?q"},
	{"/app", "", "http://a.test", "http://a.test/app/"},
	{"/app", "", "http://a.test?q", "http://a.test/app/?q"},
	{"/app", "", "http://a.test:80/x", "http://a.test:80/app/x"},
	{"/app", "", "https://a.test:443/x", "https://a.test:443/app/x"},
	{"/app", "", "//a.test/x", "//a.test/app/x"},
	/* dots do not lead out of the mount */
	{"/app", "", "/../x", "/app/x"},
	{"/app", "", "/a/%2e%2e/x", "/app/x"},
	/* of other origins, and relative ones */
	{"/app", "", "https://b.test/x", "https://b.test/x"},
	{"/app", "", "https://a.test:8443/x", "https://a.test:8443/x"},
	{"/app", "", "https://a.test.evil/x", "https://a.test.evil/x"},
	{"/app", "", "https://a.test@evil/x", "https://a.test@evil/x"},
	{"/app", "", "//b.test/x", "//b.test/x"},
	{"/app", "", "x/y", "x/y"},
	{"/app", "", "../x", "../x"},
	{"/app", "", "?q", "?q"},
	{"/app", "", "", ""},
	{"/app", "", "mailto:a@a.test", "mailto:a@a.test"},
	{"/app", "", "http:/x", "http:/x"},
	{"/app", "", "/%zz", "/%zz"},
	/* an upstream that heeds X-Forwarded-Prefix */
	{"/app", "", "/app/x", "/app/x"},
	{"/app", "", "/app", "/app"},
	{"/app", "", "/apple", "/app/apple"},
	/* with a base */
	{"/app", "/base", "/base/x", "/app/x"},
	{"/app", "/base", "/base", "/app"},
	{"/app", "/base", "/basement", "/basement"},
	{"/app", "/base", "/other", "/other"},
	{"/app", "/base", "http://a.test/base/x", "http://a.test/app/x"},
	{"/", "/base", "/base/x", "/x"},
	{"/", "/base", "/base", "/"},
	{"/", "/base", "/x", "/x"},
	{"/", "/base", "/base//b.test/x", "/.//b.test/x"},
	{"/", "/base", "https://a.test/base//b.test/x", "https://a.test//b.test/x"},
	{"/a", "/a/b", "/a/b/x", "/a/x"},
	{"/a/b", "/a", "/a/b/x", "/a/b/x"},
	{"/a/b", "/a", "/a/x", "/a/b/x"},
};

static void maps_locations_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(locations); i++) {
		struct translate_down t = {
			.is_mapped = true,
			.authority = STR("a.test"),
			.date = STR("now"),
			.mountpoint = str_from_c(locations[i].mountpoint),
			.base = str_from_c(locations[i].base),
		};
		struct head *h = response(302, "");

		head_add(&arena, h, STR("Location"), str_from_c(locations[i].in));
		translate_response(&arena, h, &t);
		if (!str_eq(h->fields[0].value, str_from_c(locations[i].out)))
			fail_msg("%s at %s%s: %.*s instead of %s", locations[i].in, locations[i].base,
				 locations[i].mountpoint, STR_ARG(h->fields[0].value), locations[i].out);
	}
}

/* Columns: mountpoint, base, Set-Cookie of the upstream, as the client must see it. */
static const struct {
	const char *mountpoint, *base, *in, *out;
} cookies[] = {
	{"/app", "", "a=b; Path=/", "a=b; Path=/app"},
	{"/app", "", "a=b; Path=/x", "a=b; Path=/app/x"},
	{"/app", "", "a=b; path = /x ; Secure", "a=b; path = /app/x ; Secure"},
	{"/app", "", "a=b;PATH=/x;HttpOnly", "a=b;PATH=/app/x;HttpOnly"},
	{"/app", "", "a=b; Secure", "a=b; Secure"},
	{"/app", "", "a=b", "a=b"},
	{"/app", "", "", ""},
	{"/app", "", "path=/x", "path=/x"},
	{"/app", "", "a=b; Path", "a=b; Path"},
	{"/app", "", "a=b; Path=", "a=b; Path="},
	{"/app", "", "a=b; Path=x", "a=b; Path=x"},
	{"/app", "", "a=b; Path=/app/x", "a=b; Path=/app/x"},
	{"/app", "", "a=b; XPath=/x; Domain=/x", "a=b; XPath=/x; Domain=/x"},
	{"/app", "", "a=b; Path=/x; Path=/y", "a=b; Path=/app/x; Path=/app/y"},
	{"/app", "/base", "a=b; Path=/base", "a=b; Path=/app"},
	{"/app", "/base", "a=b; Path=/base/", "a=b; Path=/app/"},
	{"/app", "/base", "a=b; Path=/base/x; Secure", "a=b; Path=/app/x; Secure"},
	{"/app", "/base", "a=b; Path=/", "a=b; Path=/"},
	{"/app", "/base", "a=b; Path=/basement", "a=b; Path=/basement"},
	{"/", "/base", "a=b; Path=/base", "a=b; Path=/"},
	{"/", "/base", "a=b; Path=/", "a=b; Path=/"},
};

static void maps_cookie_paths_back(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cookies); i++) {
		struct translate_down t = {
			.is_mapped = true, .authority = STR("a.test"), .date = STR("now"),
			.mountpoint = str_from_c(cookies[i].mountpoint), .base = str_from_c(cookies[i].base),
		};
		struct head *h = response(200, "Set-Cookie: other\n");

		head_add(&arena, h, STR("Set-Cookie"), str_from_c(cookies[i].in));
		translate_response(&arena, h, &t);
		assert_str(h->fields[0].value, "other");
		assert_str(h->fields[1].value, cookies[i].out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(translates_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_what_it_does_not_know, setup, teardown),
		cmocka_unit_test_setup_teardown(authority_is_the_host, setup, teardown),
		cmocka_unit_test_setup_teardown(without_host_the_vhost_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_a_prefix_and_plain_http, setup, teardown),
		cmocka_unit_test_setup_teardown(a_trusted_proxy_is_believed, setup, teardown),
		cmocka_unit_test_setup_teardown(counts_forwards_of_options, setup, teardown),
		cmocka_unit_test_setup_teardown(adds_a_vhosts_own_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(pages_keep_their_type_and_their_caching, setup, teardown),
		cmocka_unit_test_setup_teardown(leaves_interim_heads_and_tunnels_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(maps_locations_back, setup, teardown),
		cmocka_unit_test_setup_teardown(maps_cookie_paths_back, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
