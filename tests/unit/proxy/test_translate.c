/* Header rules, up and down. */
#include "proxy/worker/translate.h"
#include "tests/unit/proxy/conf.h"

#define RULE(name, value, op) { { (name), sizeof(name) - 1 }, { (value), sizeof(value) - 1 }, (op) }
#define SET(name, value) RULE(name, value, CONF_HEADER_SET)
#define ADD(name, value) RULE(name, value, CONF_HEADER_ADD)
#define REMOVE(name) RULE(name, "", CONF_HEADER_REMOVE)

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

static struct head *response(unsigned status, const char *fields)
{
	struct head *h = head_new(&arena, status < 200 && status != 101 ? HEAD_INTERIM : HEAD_FINAL);

	h->status = (uint16_t)status;
	add_fields(h, fields);
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
	{"among crumbs that stand close", "Host: a.test\nCookie: a;b;c;d;e;f;g;h;i;j;k;l;gatehouse-retry=7\n",
	 "Host: a.test\nCookie: a; b; c; d; e; f; g; h; i; j; k; l\n" OURS},
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

/* Columns: peer, by TLS, trusted, the client's Forwarded, what goes up. */
static const struct {
	const char *peer;
	bool tls, trusted;
	const char *in, *out;
} forwarded_rows[] = {
	{"192.0.2.7", true, false, "", "for=192.0.2.7;host=\"a.test:8443\";proto=https"},
	{"192.0.2.7", false, false, "for=1.1.1.1", "for=192.0.2.7;host=\"a.test:8443\";proto=http"},
	{"2001:db8::1", true, true, "", "for=\"[2001:db8::1]\";host=\"a.test:8443\";proto=https"},
	{"unix", false, true, "for=1.1.1.1", "for=1.1.1.1, for=_unix;host=\"a.test:8443\";proto=http"},
};

static void tells_forwarded_when_it_is_to(void **state)
{
	struct translate_up t = plain;

	(void)state;
	t.forwarded = true;
	for (size_t i = 0; i < ARRAY_SIZE(forwarded_rows); i++) {
		struct head *h = request("GET", "Host: a.test:8443\n"), *up;

		if (forwarded_rows[i].in[0])
			head_add(&arena, h, STR("Forwarded"), str_from_c(forwarded_rows[i].in));
		t.peer = str_from_c(forwarded_rows[i].peer);
		t.tls = forwarded_rows[i].tls;
		t.trusted = forwarded_rows[i].trusted;
		up = translate_request(&arena, h, &t);
		assert_str(head_find(up, FIELD_FORWARDED)->value, forwarded_rows[i].out);
		assert_int_equal(head_remove(up, FIELD_FORWARDED), 1);
	}
}

static void tells_via_when_it_is_to(void **state)
{
	struct translate_down down = { .via = true, .date = STR("now") };
	struct translate_up up = plain;
	struct head *h;

	(void)state;
	up.via = STR("2.0 gatehouse");
	assert_string_equal(fields_text(translate_request(&arena, request("GET", "Host: a.test\n"), &up)),
			    "Host: a.test\n" OURS "via: 2.0 gatehouse\n");
	h = request("GET", "Via: 1.0 a\nHost: a.test\nVia: 1.1 b\n");
	assert_string_equal(fields_text(translate_request(&arena, h, &up)),
			    "Host: a.test\n" OURS "via: 1.0 a, 1.1 b, 2.0 gatehouse\n");
	h = response(200, "Via: 1.1 c\n");
	h->minor = 1;
	translate_response(&arena, h, &down);
	assert_string_equal(fields_text(h), "Via: 1.1 c\nvia: 1.1 gatehouse\ndate: now\n");
}

/* Who was let in by a password is told by name, and never by what the client says of itself. */
static void tells_the_user(void **state)
{
	static const char in[] = "Host: a.test\nX-Forwarded-User: root\nX_Forwarded_User: root\n"
				 "Authorization: Basic eDp5\n";
	struct translate_up t = plain;

	(void)state;
	assert_string_equal(fields_text(translate_request(&arena, request("GET", in), &t)),
			    "Host: a.test\nAuthorization: Basic eDp5\n" OURS);
	t.user = STR("x");
	assert_string_equal(fields_text(translate_request(&arena, request("GET", in), &t)),
			    "Host: a.test\n" OURS "x-forwarded-user: x\n");
	t.keeps_authorization = true;
	assert_string_equal(fields_text(translate_request(&arena, request("GET", in), &t)),
			    "Host: a.test\nAuthorization: Basic eDp5\n" OURS "x-forwarded-user: x\n");
	/* a trusted proxy has let somebody in itself; but not where a password is asked for here */
	t.trusted = true;
	assert_string_equal(fields_text(translate_request(&arena, request("GET", in), &t)),
			    "Host: a.test\nAuthorization: Basic eDp5\n" OURS "x-forwarded-user: x\n");
	t.user = STR_NONE;
	assert_string_equal(fields_text(translate_request(&arena, request("GET", in), &t)),
			    "Host: a.test\nX-Forwarded-User: root\nAuthorization: Basic eDp5\n" OURS);
}

static void prefixes_nest(void **state)
{
	static const struct {
		const char *outer, *own, *both;
		bool trusted;
	} rows[] = {
		{"/out", "/app", "/out/app", true}, {"/out/", "/app", "/out/app", true},
		{"/out", "", "/out", true},	    {"/", "/app", "/app", true},
		{"/out", "/app", "/app", false},
	};
	struct translate_up t = plain;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct head *h = request("GET", "Host: a.test\n");

		head_add(&arena, h, STR("X-Forwarded-Prefix"), str_from_c(rows[i].outer));
		t.trusted = rows[i].trusted;
		t.prefix = str_from_c(rows[i].own);
		h = translate_request(&arena, h, &t);
		assert_str(head_find(h, FIELD_X_FORWARDED_PREFIX)->value, rows[i].both);
		assert_int_equal(head_remove(h, FIELD_X_FORWARDED_PREFIX), 1);
	}
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

static const struct conf_header headers[] = {
	SET("X-Frame-Options", "DENY"), SET("x-own", "1"), SET("Link", "</a>"), ADD("Link", "</b>"),
};

/* Rules are followed one after the other: a mount's come behind its vhost's. */
static const struct conf_header rules_in_order[] = {
	REMOVE("X-Gone"), SET("X-Set", "1"), ADD("Link", "</a>"),
	REMOVE("link"),	  SET("x-set", "2"), ADD("LINK", "</b>"), ADD("Link", "</c>"),
};

static void rules_are_followed_in_their_order(void **state)
{
	struct translate_down down = { .rules = rules_in_order, .nrules = 3, .date = STR("now") };
	struct translate_up up = plain;
	struct head *h = response(200, "x-gone: 1\nLink: </u>\nX-SET: 0\nX-Gone: 2\n");

	(void)state;
	translate_response(&arena, h, &down);
	assert_string_equal(fields_text(h), "Link: </u>\nX-Set: 1\nLink: </a>\ndate: now\n");
	down.nrules = ARRAY_SIZE(rules_in_order);
	h = response(200, "x-gone: 1\nLink: </u>\nX-SET: 0\n");
	translate_response(&arena, h, &down);
	assert_string_equal(fields_text(h), "x-set: 2\nLINK: </b>\nLink: </c>\ndate: now\n");
	/* the same upwards, after all that is done here */
	up.rules = rules_in_order;
	up.nrules = ARRAY_SIZE(rules_in_order);
	h = translate_request(&arena, request("GET", "Host: a.test\nLink: 1\nx-set: 0\n"), &up);
	assert_string_equal(fields_text(h), "Host: a.test\n" OURS "x-set: 2\nLINK: </b>\nLink: </c>\n");
}

static void rules_have_the_last_word(void **state)
{
	static const struct conf_header rows[] = {
		REMOVE("X-Forwarded-For"), SET("X-Forwarded-Proto", "https"),
		SET("Authorization", "Bearer t"), REMOVE("Cookie"), ADD("X-Forwarded-User", "b"),
	};
	struct translate_up t = { .target = STR("/"), .peer = STR("192.0.2.7"), .rules = rows, .nrules = 5,
				  .user = STR("a") };
	struct head *h = translate_request(
		&arena, request("GET", "Host: a.test\nCookie: x\nAuthorization: Basic y\n"), &t);

	(void)state;
	assert_string_equal(fields_text(h),
			    "Host: a.test\nx-forwarded-host: a.test\nx-forwarded-user: a\n"
			    "X-Forwarded-Proto: https\nAuthorization: Bearer t\nX-Forwarded-User: b\n");
}

static void adds_a_vhosts_own_fields(void **state)
{
	struct translate_down t = {
		.rules = headers, .nrules = ARRAY_SIZE(headers), .sts = true, .date = STR("now"),
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
	t.nrules = 0;
	h = response(304, "Strict-Transport-Security: max-age=1\nDate: then\n");
	translate_response(&arena, h, &t);
	assert_string_equal(fields_text(h), "Strict-Transport-Security: max-age=1\nDate: then\n");
}

static void pages_keep_their_type_and_their_caching(void **state)
{
	static const struct conf_header rows[] = {
		SET("cache-control", "max-age=9"), SET("Content-Type", "x/y"),
		SET("Content-Security-Policy", "default-src *"),
	};
	struct translate_down t = {.rules = rows, .nrules = 3, .date = STR("now"), .is_ours = true};
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
		.rules = headers, .nrules = 1, .sts = true, .date = STR("now"), .is_mapped = true,
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
		cmocka_unit_test_setup_teardown(tells_forwarded_when_it_is_to, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_via_when_it_is_to, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_the_user, setup, teardown),
		cmocka_unit_test_setup_teardown(prefixes_nest, setup, teardown),
		cmocka_unit_test_setup_teardown(counts_forwards_of_options, setup, teardown),
		cmocka_unit_test_setup_teardown(rules_are_followed_in_their_order, setup, teardown),
		cmocka_unit_test_setup_teardown(rules_have_the_last_word, setup, teardown),
		cmocka_unit_test_setup_teardown(adds_a_vhosts_own_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(pages_keep_their_type_and_their_caching, setup, teardown),
		cmocka_unit_test_setup_teardown(leaves_interim_heads_and_tunnels_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(maps_locations_back, setup, teardown),
		cmocka_unit_test_setup_teardown(maps_cookie_paths_back, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
