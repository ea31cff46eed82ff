/* The pages: which form they take, that they are well formed, and that nothing reflected gets out of its
 * place. */
#include "proxy/worker/page.h"
#include "proxy/worker/route.h"
#include "tests/unit/proxy/conf.h"
#include "tests/unit/support/ends.h"

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

static struct head *request(const char *method, const char *path)
{
	struct head *h = head_new(&arena, HEAD_REQUEST);

	h->method = str_from_c(method);
	h->path = str_from_c(path);
	h->authority = STR("a.test");
	return h;
}

static struct head *request_accepting(const char *accept)
{
	struct head *h = request("GET", "/");

	if (accept)
		head_add_id(&arena, h, FIELD_ACCEPT, str_from_c(accept));
	return h;
}

static struct str value(const struct head *h, enum field_id id)
{
	const struct field *f = head_find(h, id);

	return f ? f->value : STR_NONE;
}

/* ---- Accept ---- */

static const struct {
	const char *accept;
	enum page_format format;
} accepts[] = {
	{NULL, PAGE_HTML},
	{"", PAGE_HTML},
	{"*/*", PAGE_HTML},
	{"text/html", PAGE_HTML},
	{"text/*", PAGE_HTML},
	{"application/xhtml+xml", PAGE_HTML},
	{"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", PAGE_HTML},
	{"image/avif,image/webp,*/*;q=0.8", PAGE_HTML},
	{"image/png", PAGE_HTML},
	{"application/json", PAGE_JSON},
	{"APPLICATION/JSON", PAGE_JSON},
	{"application/json; charset=utf-8", PAGE_JSON},
	{"application/json, text/plain, */*", PAGE_JSON},
	{"application/*", PAGE_JSON},
	{"application/problem+json", PAGE_PROBLEM},
	{"application/problem+json, application/json;q=0.5", PAGE_PROBLEM},
	{"text/plain", PAGE_TEXT},
	{"text/plain, */*;q=0.1", PAGE_TEXT},
	{"text/plain, text/html", PAGE_HTML},
	{"text/plain, text/html;q=0.9", PAGE_TEXT},
	{"text/html;q=0.1, application/json;q=0.2", PAGE_JSON},
	{"text/html;q=0, */*", PAGE_JSON},
	{"text/*;q=0, */*;q=0.1", PAGE_JSON},
	{"application/json;q=0, text/plain;q=0.001", PAGE_TEXT},
	{"*/*;q=0", PAGE_HTML},
	{"text/plain;q=2", PAGE_HTML},
	{"text/plain;q=x, application/json;q=0.1", PAGE_JSON},
	{"text/plain;q=0.9999, application/json;q=0.1", PAGE_JSON},
	{"text/plain;q=1.000, text/html;q=0.999", PAGE_TEXT},
	{",,;q=1, / , text, text/plain", PAGE_TEXT},
	{"text/html;q=", PAGE_HTML},
};

static void chooses_a_format(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(accepts); i++) {
		enum page_format f = page_choose(request_accepting(accepts[i].accept));

		if (f != accepts[i].format)
			fail_msg("%s: %d", accepts[i].accept, f);
	}
	assert_int_equal(page_choose(NULL), PAGE_HTML);
}

static void several_accept_fields_are_one_list(void **state)
{
	struct head *h = request_accepting("text/html;q=0.5");

	(void)state;
	head_add_id(&arena, h, FIELD_ACCEPT, STR("application/json"));
	assert_int_equal(page_choose(h), PAGE_JSON);
}

/* ---- well formed ---- */

static size_t until(struct str s, size_t at, const char *stops)
{
	while (at < s.n && !strchr(stops, s.p[at]))
		at++;
	return at;
}

static bool is_void(struct str tag)
{
	return str_eq(tag, STR("meta")) || str_eq(tag, STR("link"));
}

static bool is_reference(struct str s, size_t at)
{
	static const struct str known[] = {
		{"&amp;", 5}, {"&lt;", 4}, {"&gt;", 4}, {"&quot;", 6}, {"&#39;", 5}};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (str_starts(str_of(s.p + at, s.n - at), known[i]))
			return true;
	return false;
}

static void check_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		assert_true(s.p[i] == '\n' || (s.p[i] >= ' ' && s.p[i] < 0x7f));
		assert_true(s.p[i] != '<' && s.p[i] != '>');
		assert_true(s.p[i] != '&' || is_reference(s, i));
	}
}

/* name="value" for each attribute, every one of a kind that the pages have, none that runs anything. */
static void check_attributes(struct str s)
{
	static const char *const known[] = {"lang", "charset", "name",	"content",
					    "rel",  "href",    "class", "html"};

	while (s.n) {
		size_t n = until(s, 0, "= ");
		struct str name = str_of(s.p, n);
		bool found = false;

		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			found |= str_eq(name, str_from_c(known[i]));
		assert_true(found);
		if (n < s.n && s.p[n] == '=') {
			size_t end;

			assert_int_equal(s.p[n + 1], '"');
			end = until(s, n + 2, "\"");
			assert_true(end < s.n);
			check_text(str_of(s.p + n + 2, end - n - 2));
			n = end + 1;
		}
		s = str_of(s.p + n, s.n - n);
		s = str_trim(s);
	}
}

/* Every element that is opened is closed, in order; the skeleton is complete; text is escaped. */
static void check_html(struct str s)
{
	struct str open[32];
	size_t depth = 0, at = 0;

	assert_true(
		str_starts(s, STR("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")));
	assert_true(str_ends(s, STR("</html>\n")));
	while (at < s.n) {
		size_t lt = until(s, at, "<"), gt;
		struct str tag;

		check_text(str_of(s.p + at, lt - at));
		if (lt == s.n)
			break;
		gt = until(s, lt, ">");
		assert_true(gt < s.n);
		tag = str_of(s.p + lt + 1, gt - lt - 1);
		at = gt + 1;
		if (tag.p[0] == '!')
			continue;
		if (tag.p[0] == '/') {
			assert_true(depth > 0);
			assert_true(str_eq(open[--depth], str_of(tag.p + 1, tag.n - 1)));
			continue;
		}
		check_attributes(str_trim(str_of(tag.p + until(tag, 0, " "), tag.n - until(tag, 0, " "))));
		tag.n = until(tag, 0, " ");
		for (size_t i = 0; i < tag.n; i++)
			assert_true((tag.p[i] >= 'a' && tag.p[i] <= 'z') || tag.p[i] == '1');
		if (!is_void(tag)) {
			assert_true(depth < ARRAY_SIZE(open));
			open[depth++] = tag;
		}
	}
	assert_int_equal(depth, 0);
	assert_non_null(memmem(s.p, s.n, "<title>", 7));
	assert_non_null(memmem(s.p, s.n, "name=\"viewport\"", 15));
	assert_non_null(memmem(s.p, s.n, "<link rel=\"stylesheet\" href=\"/error.css\">", 41));
	assert_null(memmem(s.p, s.n, "<script", 7));
	assert_null(memmem(s.p, s.n, "style=", 6));
}

/* A JSON string at *at, its content: printable ASCII with no escape but those of the pages. */
static struct str json_string(struct str s, size_t *at)
{
	size_t begin = *at + 1, i = begin;

	assert_true(*at < s.n && s.p[*at] == '"');
	for (; s.p[i] != '"'; i++) {
		assert_true(i + 1 < s.n && s.p[i] >= ' ' && s.p[i] < 0x7f && s.p[i] != '<');
		if (s.p[i] != '\\')
			continue;
		i++;
		assert_true(s.p[i] == '"' || s.p[i] == '\\' ||
			    str_starts(str_of(s.p + i, s.n - i), STR("u00"))); /* \u00XX */
	}
	*at = i + 1;
	return str_of(s.p + begin, i - begin);
}

/* One flat object of strings, and of the status as a number; no member twice. */
static void check_json(struct str s, unsigned status)
{
	struct str names[16];
	size_t at = 1, n = 0;

	assert_true(s.n > 3 && s.p[0] == '{' && str_ends(s, STR("}\n")));
	for (; s.p[at - 1] != '}'; at++) {
		struct str name = json_string(s, &at);

		assert_int_equal(s.p[at++], ':');
		for (size_t i = 0; i < n; i++)
			assert_false(str_eq(names[i], name));
		names[n++] = name;
		if (str_eq(name, STR("status"))) {
			assert_int_equal(strtoul(s.p + at, NULL, 10), status);
			at += 3;
		} else {
			assert_true(json_string(s, &at).n > 0);
		}
		assert_true(s.p[at] == ',' || s.p[at] == '}');
	}
	assert_int_equal(at, s.n - 1);
	assert_true(n >= 4);
}

static void check_body(enum page_format f, struct str body, unsigned status)
{
	switch (f) {
	case PAGE_HTML:
		check_html(body);
		break;
	case PAGE_JSON:
	case PAGE_PROBLEM:
		check_json(body, status);
		break;
	case PAGE_TEXT:
		assert_true(body.n > 3 && body.p[body.n - 1] == '\n');
		assert_int_equal(strtoul(body.p, NULL, 10), status);
		break;
	}
}

static const char *const formats[] = {
	[PAGE_HTML] = "text/html", [PAGE_JSON] = "application/json",
	[PAGE_PROBLEM] = "application/problem+json", [PAGE_TEXT] = "text/plain",
};

static void every_status_has_a_page(void **state)
{
	static const unsigned more[] = {301, 302, 307, 308, 401, 403, 404, 429, 500, 599};

	(void)state;
	for (unsigned e = 0; e < ERR_COUNT + ARRAY_SIZE(more); e++) {
		unsigned status = e < ERR_COUNT ? (unsigned)err_status((enum err)e) : more[e - ERR_COUNT];
		struct page_about about = {
			.status = (uint16_t)status, .id = STR("0123-4567"), .host = STR("a.test"),
		};

		if (!status)
			continue;
		if (status != 599)
			assert_false(str_eq(page_reason((uint16_t)status), STR("Error")));
		if (status < 400)
			about.location = STR("https://b.test/x?y=1");
		for (enum page_format f = PAGE_HTML; f <= PAGE_TEXT; f++) {
			struct str body;
			struct head *h = page_make(&arena, request_accepting(formats[f]), &about, &body);

			assert_int_equal(h->kind, HEAD_FINAL);
			assert_int_equal(h->status, status);
			assert_int_equal(h->length, body.n);
			assert_true(str_starts(value(h, FIELD_CONTENT_TYPE), str_from_c(formats[f])));
			assert_str(value(h, FIELD_X_CONTENT_TYPE_OPTIONS), "nosniff");
			assert_true(str_starts(value(h, FIELD_CONTENT_SECURITY_POLICY),
					       STR("default-src 'none'; style-src 'self'; ")));
			assert_str(value(h, FIELD_CACHE_CONTROL), status < 400 ? "" : "no-store");
			assert_str(value(h, FIELD_RETRY_AFTER),
				   status == 503 ? "5" : status == 429 ? "1" : "");
			assert_int_equal(value(h, FIELD_ALLOW).n > 0, status == 405);
			assert_null(head_find(h, FIELD_SERVER));
			check_body(f, body, status);
			assert_non_null(memmem(body.p, body.n, "0123-4567", 9));
		}
		arena_fini(&arena);
	}
}

/* RFC 7617 section 2; what stands in the realm cannot end it. */
static void a_401_says_how_to_sign_in(void **state)
{
	struct page_about about = { .status = 401, .id = STR("0123-4567"), .realm = STR("a \"b\" \\c") };
	struct str body;
	struct head *h;

	(void)state;
	h = page_make(&arena, request_accepting("text/html"), &about, &body);
	assert_str(value(h, FIELD_WWW_AUTHENTICATE),
		   "Basic realm=\"a \\\"b\\\" \\\\c\", charset=\"UTF-8\"");
}

/* For who takes HTML; others get what they can read. It loads again by itself like the built-in one. */
static void own_pages_are_shown(void **state)
{
	struct page_about about = { .status = 503, .id = STR("0123-4567"), .own = STR("<p>mine</p>") };
	struct str body;
	struct head *h;

	(void)state;
	h = page_make(&arena, request_accepting("text/html"), &about, &body);
	assert_str(body, "<p>mine</p>");
	assert_int_equal(h->length, body.n);
	assert_str(value(h, FIELD_CONTENT_TYPE), "text/html; charset=utf-8");
	assert_str(value(h, FIELD_CACHE_CONTROL), "no-store");
	assert_str(value(h, FIELD_REFRESH), "5");
	assert_int_equal(value(h, FIELD_CONTENT_SECURITY_POLICY).n, 0);
	h = page_make(&arena, request_accepting("application/json"), &about, &body);
	assert_true(str_starts(body, STR("{")));
	assert_true(value(h, FIELD_CONTENT_SECURITY_POLICY).n > 0);
	about.own = STR("");
	h = page_make(&arena, request_accepting("text/html"), &about, &body);
	assert_int_equal(h->length, 0);
}

static void unread_requests_have_a_page_too(void **state)
{
	struct page_about about = {.status = 400, .id = STR("0123-4567"), .server = STR("us")};
	struct str body;
	struct head *h = page_make(&arena, NULL, &about, &body);

	(void)state;
	check_html(body);
	assert_str(value(h, FIELD_SERVER), "us");
	assert_null(memmem(body.p, body.n, "Site", 4));
}

static const char *const nasty[] = {
	"<script>alert(1)</script>",
	"\"><img src=x onerror=y>",
	"' onload='x",
	"&lt;",
	"a&b<c>d\"e'f",
	"\x01\x1f\x7f\x80\xc3\xa9\xff",
	"\\\"\\u0000\\",
	"</title></main>",
	"{\"status\":200}",
	"%3cscript%3e",
	"\r\nSet-Cookie: x",
};

static void what_is_reflected_stays_in_its_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(nasty); i++) {
		struct page_about about = {
			.status = i % 2 ? 503 : 301, .id = str_from_c(nasty[i]), .host = str_from_c(nasty[i]),
			.location = i % 2 ? STR_NONE : str_from_c(nasty[i]),
		};

		for (enum page_format f = PAGE_HTML; f < PAGE_TEXT; f++) {
			struct str body;

			(void)!page_make(&arena, request_accepting(formats[f]), &about, &body);
			check_body(f, body, about.status);
			assert_null(memmem(body.p, body.n, "<img", 4));
		}
	}
}

/* The longest of everything fits, and all of it grows when it is escaped. */
static void long_values_fit(void **state)
{
	char *text = arena_alloc(&arena, 70000);
	struct page_about about = {.status = 308, .id = STR("0123-4567")};
	struct str body;

	(void)state;
	memset(text, '"', 70000);
	about.location = about.host = str_of(text, 70000);
	for (enum page_format f = PAGE_HTML; f <= PAGE_TEXT; f++) {
		(void)!page_make(&arena, request_accepting(formats[f]), &about, &body);
		check_body(f, body, 308);
	}
}

/* ---- the page that reloads itself ---- */

static struct head *down_page(struct head *h, bool tls)
{
	struct page_about about = {.status = 503, .id = STR("0123-4567"), .tls = tls};
	struct str body;
	struct head *r = page_make(&arena, h, &about, &body);
	bool waits = memmem(body.p, body.n, "class=\"waits\"", 13) != NULL;

	assert_int_equal(waits, head_find(r, FIELD_REFRESH) != NULL);
	assert_int_equal(waits, head_find(r, FIELD_SET_COOKIE) != NULL);
	return r;
}

static void reloads_itself(void **state)
{
	struct head *h = down_page(request("GET", "/a/b?c=d"), true);

	(void)state;
	assert_str(value(h, FIELD_REFRESH), "5");
	assert_str(value(h, FIELD_SET_COOKIE),
		   "gatehouse-retry=1; Max-Age=20; Path=/a/b; SameSite=Lax; HttpOnly; Secure");
	h = down_page(request("GET", "/"), false);
	assert_str(value(h, FIELD_SET_COOKIE),
		   "gatehouse-retry=1; Max-Age=20; Path=/; SameSite=Lax; HttpOnly");
}

static void stops_after_sixty(void **state)
{
	unsigned reloads = 0;
	struct head *r;
	struct str cookie = STR("x=y; gatehouse-retry=0; z");

	(void)state;
	for (;; reloads++) {
		struct head *h = request("GET", "/");
		struct str set;

		head_add_id(&arena, h, FIELD_COOKIE, STR("other=1"));
		head_add_id(&arena, h, FIELD_COOKIE, cookie);
		r = down_page(h, true);
		set = value(r, FIELD_SET_COOKIE);
		if (!set.n)
			break;
		assert_true(reloads < 100);
		cookie = str_of(set.p, (size_t)((const char *)memchr(set.p, ';', set.n) - set.p));
	}
	assert_int_equal(reloads, PAGE_RETRIES_MAX);
	assert_str(value(r, FIELD_RETRY_AFTER), "5");
}

static void only_a_get_of_html_reloads(void **state)
{
	struct head *h = request_accepting("application/json");

	(void)state;
	assert_null(head_find(down_page(h, true), FIELD_REFRESH));
	assert_null(head_find(down_page(request("POST", "/"), true), FIELD_REFRESH));
	assert_null(head_find(down_page(request("HEAD", "/"), true), FIELD_REFRESH));
	assert_null(head_find(down_page(NULL, true), FIELD_REFRESH));
	h = request("GET", "/");
	head_add_id(&arena, h, FIELD_COOKIE, STR("gatehouse-retry=-1"));
	assert_null(head_find(down_page(h, true), FIELD_REFRESH));
}

static void cookie_paths_cannot_add_attributes(void **state)
{
	static const char *const rows[][2] = {
		{"/a;Domain=evil/b", "Path=/;"},
		{"/a/b;c", "Path=/a/;"},
		{"/;", "Path=/;"},
		{"/a/;/b", "Path=/a/;"},
	};
	char *longest = arena_alloc(&arena, 4000);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct str set = value(down_page(request("GET", rows[i][0]), true), FIELD_SET_COOKIE);

		assert_non_null(memmem(set.p, set.n, rows[i][1], strlen(rows[i][1])));
		assert_null(memmem(set.p, set.n, "Domain", 6));
	}
	memset(longest, 'a', 3999);
	longest[0] = '/';
	longest[3999] = '\0';
	assert_true(value(down_page(request("GET", longest), true), FIELD_SET_COOKIE).n < 100);
}

/* ---- the style sheet ---- */

static void gives_the_style_sheet(void **state)
{
	struct page_about about = {.status = 200};
	struct head *h, *again;
	struct str body, etag;

	(void)state;
	h = page_make_css(&arena, request("GET", "/error.css"), &about, STR_NONE, &body);
	assert_int_equal(h->status, 200);
	assert_str(value(h, FIELD_CONTENT_TYPE), "text/css; charset=utf-8");
	assert_str(value(h, FIELD_CACHE_CONTROL), "public, max-age=86400");
	assert_int_equal(h->length, body.n);
	assert_true(str_eq(body, page_style));
	assert_null(memmem(body.p, body.n, "url(", 4));
	assert_null(memmem(body.p, body.n, "@import", 7));
	etag = value(h, FIELD_ETAG);
	assert_true(etag.n > 2 && etag.p[0] == '"');
	/* known already: with any of the list, weak or not */
	again = request("GET", "/error.css");
	head_add_id(&arena, again, FIELD_IF_NONE_MATCH, arena_printf(&arena, "\"x\", W/%.*s", STR_ARG(etag)));
	h = page_make_css(&arena, again, &about, STR_NONE, &body);
	assert_int_equal(h->status, 304);
	assert_int_equal(body.n, 0);
	assert_int_equal(h->length, HEAD_LENGTH_UNKNOWN);
	assert_true(str_eq(value(h, FIELD_ETAG), etag));
	/* another sheet has another tag */
	h = page_make_css(&arena, again, &about, STR("p{}"), &body);
	assert_int_equal(h->status, 200);
	assert_str(body, "p{}");
	/* HEAD has the same length, and POST is refused */
	h = page_make_css(&arena, request("HEAD", "/error.css"), &about, STR_NONE, &body);
	assert_int_equal(h->length, page_style.n);
	h = page_make_css(&arena, request("POST", "/error.css"), &about, STR_NONE, &body);
	assert_int_equal(h->status, 405);
	assert_str(value(h, FIELD_ALLOW), "GET, HEAD");
}

static void the_plain_answer_is_whole(void **state)
{
	struct str s = route_plain_on_tls();
	const char *end = memmem(s.p, s.n, "\r\n\r\n", 4), *length = memmem(s.p, s.n, "Content-Length: ", 16);

	(void)state;
	assert_true(str_starts(s, STR("HTTP/1.1 400 Bad Request\r\n")));
	assert_true(end && length && length < end);
	assert_int_equal(strtoul(length + 16, NULL, 10), s.n - (size_t)(end + 4 - s.p));
	assert_non_null(memmem(s.p, s.n, "\r\nConnection: close\r\n", 21));
}

/* ---- the end ---- */

static struct test_end down;

/* An exchange that has asked, as the router finds it. */
static struct exchange *asked(const char *method)
{
	struct exchange *x = x_new(&down.e);

	x->request = x->request_up = test_request(x, method, "/");
	return x;
}

static int open_loop(void **state)
{
	setup(state);
	test_loop_open();
	test_end_init(&down);
	return 0;
}

static int close_loop(void **state)
{
	loop_turn(0);
	test_end_fini(&down);
	test_loop_close();
	return teardown(state);
}

static void open_page(struct exchange *x, size_t n)
{
	struct head *h = test_response(x, 200);
	char *body = arena_alloc(&x->arena, n);

	memset(body, 'x', n);
	h->length = (int64_t)n;
	page_open(x, h, str_of(body, n));
}

static void tells_head_body_and_end(void **state)
{
	(void)state;
	open_page(asked("GET"), 1000);
	loop_turn(0);
	assert_string_equal(test_end_words(&down), "H200 D1000 END");
	x_leave(&down.e);
}

static void tells_no_body_to_a_head(void **state)
{
	(void)state;
	open_page(asked("HEAD"), 1000);
	loop_turn(0);
	assert_string_equal(test_end_words(&down), "H200 END");
	assert_int_equal(down.head->length, 1000);
	x_leave(&down.e);
}

static void waits_for_room(void **state)
{
	struct exchange *x = asked("GET");

	(void)state;
	x->pipe[X_DOWN].cap = 100;
	down.hold = true;
	open_page(x, 250);
	loop_turn(0);
	assert_int_equal(x_fill(&down.e), 100);
	test_end_take(&down, 100);
	loop_turn(0);
	assert_int_equal(x_fill(&down.e), 100);
	test_end_take(&down, 100);
	loop_turn(0);
	test_end_take(&down, 50);
	assert_true(down.ended);
	assert_int_equal(buf_len(&down.got), 250);
	x_leave(&down.e);
}

/* The worker's memory is used up: pages come from the reserve, what is larger waits. */
static void small_pages_wait_for_nobody(void **state)
{
	struct buf hoard;

	(void)state;
	buf_init(&hoard);
	slab_set_budget(SLAB_BYTES);
	buf_put_str(&hoard, STR("x"));
	assert_int_equal(slab_room(), 0);
	open_page(asked("GET"), PAGE_RESERVE_BYTES);
	loop_turn(0);
	assert_string_equal(test_end_words(&down), "H200 D16384 END");
	x_leave(&down.e);
	down.ended = false;
	open_page(asked("GET"), PAGE_RESERVE_BYTES + 1);
	loop_turn(0);
	assert_string_equal(test_end_words(&down), "H200");
	slab_set_budget(limits_default.memory_bytes);
	buf_fini(&hoard);
	while (!down.ended)
		loop_turn(0);
	assert_string_equal(test_end_words(&down), "D16385 END");
	x_leave(&down.e);
}

static void lets_a_client_go(void **state)
{
	struct exchange *x = asked("GET");

	(void)state;
	x->pipe[X_DOWN].cap = 100;
	down.hold = true;
	open_page(x, 250);
	loop_turn(0);
	x_abort(&down.e, ERR_RESET);
	loop_turn(0);
	assert_int_equal(x_count(), 0);
}

/* A large upload to what is not there: the answer comes, the body is let run into nothing. */
static void answers_before_the_body_came(void **state)
{
	struct exchange *x = asked("POST");
	static const char bytes[1000];

	(void)state;
	x_put(&down.e, bytes, sizeof bytes);
	open_page(x, 10);
	loop_turn(0);
	assert_string_equal(test_end_words(&down), "H200 D10 END");
	assert_true(x_is_unread(&down.e));
	assert_int_equal(x_room(&down.e, 1 << 30), 1 << 30);
	x_put(&down.e, bytes, sizeof bytes);
	x_end(&down.e);
	x_leave(&down.e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(chooses_a_format, setup, teardown),
		cmocka_unit_test_setup_teardown(several_accept_fields_are_one_list, setup, teardown),
		cmocka_unit_test_setup_teardown(every_status_has_a_page, setup, teardown),
		cmocka_unit_test_setup_teardown(a_401_says_how_to_sign_in, setup, teardown),
		cmocka_unit_test_setup_teardown(own_pages_are_shown, setup, teardown),
		cmocka_unit_test_setup_teardown(unread_requests_have_a_page_too, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_reflected_stays_in_its_place, setup, teardown),
		cmocka_unit_test_setup_teardown(long_values_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(reloads_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(stops_after_sixty, setup, teardown),
		cmocka_unit_test_setup_teardown(only_a_get_of_html_reloads, setup, teardown),
		cmocka_unit_test_setup_teardown(cookie_paths_cannot_add_attributes, setup, teardown),
		cmocka_unit_test_setup_teardown(gives_the_style_sheet, setup, teardown),
		cmocka_unit_test_setup_teardown(the_plain_answer_is_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_head_body_and_end, open_loop, close_loop),
		cmocka_unit_test_setup_teardown(tells_no_body_to_a_head, open_loop, close_loop),
		cmocka_unit_test_setup_teardown(waits_for_room, open_loop, close_loop),
		cmocka_unit_test_setup_teardown(small_pages_wait_for_nobody, open_loop, close_loop),
		cmocka_unit_test_setup_teardown(lets_a_client_go, open_loop, close_loop),
		cmocka_unit_test_setup_teardown(answers_before_the_body_came, open_loop, close_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
