/* The field table, heads, token lists and what follows from a status. */
#include "core/head.h"
#include "tests/unit/bug.h"
#include "tests/unit/guard.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static int setup(void **state)
{
	struct arena *a = base_alloc(sizeof *a);

	arena_init(a);
	*state = a;
	return 0;
}

static int teardown(void **state)
{
	arena_fini(*state);
	free(*state);
	arena_drop_spares();
	return 0;
}

/* ---- the table ---- */

static void test_every_row_is_found_in_any_case(void **state)
{
	struct guard g = guard_open(64);

	(void)state;
	for (int id = 1; id < FIELD_COUNT; id++) {
		struct str name = field_name((enum field_id)id);
		char *at = guard_tail(&g, name.p, name.n);

		assert_int_equal(field_lookup(str_of(at, name.n)), id);
		for (size_t i = 0; i < name.n; i++) {
			assert_int_equal(at[i], str_lower_char(at[i]));
			if (at[i] >= 'a' && at[i] <= 'z')
				at[i] = (char)(at[i] - 0x20);
			assert_int_equal(field_lookup(str_of(at, name.n)), id);
		}
	}
	guard_close(&g);
}

static int lookup_naively(struct str name)
{
	for (int id = 1; id < FIELD_COUNT; id++) {
		struct str row = field_name((enum field_id)id);
		size_t same = 0;

		while (same < name.n && same < row.n && str_lower_char(name.p[same]) == row.p[same])
			same++;
		if (same == name.n && same == row.n)
			return id;
	}
	return FIELD_UNKNOWN;
}

static void test_nothing_else_is_found(void **state)
{
	struct guard g = guard_open(64);

	(void)state;
	for (int id = 1; id < FIELD_COUNT; id++) {
		struct str name = field_name((enum field_id)id);
		char *at = guard_tail(&g, name.p, name.n);

		for (size_t n = 0; n < name.n; n++)
			assert_int_equal(field_lookup(str_of(at, n)), lookup_naively(str_of(at, n)));
		for (size_t i = 0; i < name.n; i++) {
			for (int c = 0; c < 256; c++) {
				at[i] = (char)c;
				assert_int_equal(field_lookup(str_of(at, name.n)),
						 lookup_naively(str_of(at, name.n)));
			}
			at[i] = name.p[i];
		}
	}
	for (size_t n = 0; n <= 64; n++)
		assert_int_equal(field_lookup(str_of(guard_tail(&g,
			"----------------------------------------------------------------", n), n)),
			FIELD_UNKNOWN);
	assert_int_equal(field_lookup(STR_NONE), FIELD_UNKNOWN);
	guard_close(&g);
}

static void test_flags(void **state)
{
	static const enum field_id hop[] = {
		FIELD_CONNECTION, FIELD_KEEP_ALIVE, FIELD_TE, FIELD_UPGRADE, FIELD_TRANSFER_ENCODING,
		FIELD_PROXY_CONNECTION, FIELD_PROXY_AUTHENTICATE, FIELD_PROXY_AUTHORIZATION,
	};
	static const enum field_id no_nominate[] = {
		FIELD_HOST, FIELD_CONTENT_LENGTH, FIELD_TRANSFER_ENCODING, FIELD_FORWARDED,
		FIELD_X_FORWARDED_FOR, FIELD_X_FORWARDED_HOST, FIELD_X_FORWARDED_PROTO,
		FIELD_X_FORWARDED_PREFIX, FIELD_X_FORWARDED_USER,
	};
	unsigned hops = 0, kept = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hop); i++)
		assert_true(field_flags(hop[i]) & FIELD_HOP);
	for (size_t i = 0; i < ARRAY_SIZE(no_nominate); i++)
		assert_true(field_flags(no_nominate[i]) & FIELD_NO_NOMINATE);
	for (int id = 0; id < FIELD_COUNT; id++) {
		hops += !!(field_flags((enum field_id)id) & FIELD_HOP);
		kept += !!(field_flags((enum field_id)id) & FIELD_NO_NOMINATE);
	}
	assert_int_equal(hops, ARRAY_SIZE(hop));
	assert_int_equal(kept, ARRAY_SIZE(no_nominate));
	assert_int_equal(field_flags(FIELD_UNKNOWN), 0);
	assert_int_equal(field_name(FIELD_UNKNOWN).n, 0);
	assert_true(field_flags(FIELD_COOKIE) & FIELD_SECRET);
	assert_true(field_flags(FIELD_AUTHORIZATION) & FIELD_SECRET);
	assert_bug((void)field_flags(FIELD_COUNT));
	assert_bug((void)field_name(FIELD_COUNT));
}

/* ---- heads ---- */

/* "name: value|name: value" of what is not removed. */
static void assert_fields(struct arena *a, const struct head *h, const char *expected)
{
	struct str text = STR("");

	head_for_each(f, h)
		text = arena_printf(a, "%.*s%s%.*s: %.*s", STR_ARG(text), text.n ? "|" : "",
				    STR_ARG(f->name), STR_ARG(f->value));
	assert_string_equal(text.n ? text.p : "", expected);
}

static void test_a_new_head_is_empty(void **state)
{
	struct head *h = head_new(*state, HEAD_INTERIM);

	assert_int_equal(h->kind, HEAD_INTERIM);
	assert_int_equal(h->length, HEAD_LENGTH_UNKNOWN);
	assert_int_equal(h->nfields, 0);
	assert_null(head_find(h, FIELD_HOST));
	assert_null(head_find_name(h, STR("x")));
	assert_int_equal(head_remove(h, FIELD_HOST), 0);
	assert_fields(*state, h, "");
}

static void test_adding_and_finding(void **state)
{
	struct arena *a = *state;
	struct head *h = head_new(a, HEAD_REQUEST);

	head_add(a, h, STR("HOST"), STR("a"));
	head_add(a, h, STR("X-Own"), STR("1"));
	head_add_id(a, h, FIELD_ACCEPT, STR("*/*"));
	head_add(a, h, STR("x-own"), STR("2"));
	assert_fields(a, h, "HOST: a|X-Own: 1|accept: */*|x-own: 2");
	assert_true(str_eq(head_find(h, FIELD_HOST)->value, STR("a")));
	assert_true(str_eq(head_find_name(h, STR("hOsT"))->value, STR("a")));
	assert_true(str_eq(head_find_name(h, STR("X-OWN"))->value, STR("1")));
	assert_true(str_eq(head_find_name(h, STR("Accept"))->value, STR("*/*")));
	assert_null(head_find_name(h, STR("x-ow")));
	assert_bug((void)head_add_id(a, h, FIELD_UNKNOWN, STR("")));
}

static void test_removing(void **state)
{
	struct arena *a = *state;
	struct head *h = head_new(a, HEAD_REQUEST);

	head_add(a, h, STR("Via"), STR("1"));
	head_add(a, h, STR("X-Own"), STR("2"));
	head_add(a, h, STR("via"), STR("3"));
	head_add(a, h, STR("X-Other"), STR("4"));
	head_add(a, h, STR("x-OWN"), STR("5"));
	assert_int_equal(head_remove(h, FIELD_VIA), 2);
	assert_int_equal(head_remove(h, FIELD_VIA), 0);
	assert_fields(a, h, "X-Own: 2|X-Other: 4|x-OWN: 5");
	assert_int_equal(head_remove_name(h, STR("x-own")), 2);
	assert_int_equal(head_remove_name(h, STR("x-own")), 0);
	assert_fields(a, h, "X-Other: 4");
	assert_null(head_find(h, FIELD_VIA));
	assert_null(head_find_name(h, STR("X-Own")));
	head_add(a, h, STR("Via"), STR("6"));
	assert_int_equal(head_remove_name(h, STR("VIA")), 1);
	/* all fields without a row share an id: they are removed by name only */
	assert_bug((void)head_remove(h, FIELD_UNKNOWN));
}

static void test_setting_replaces_all_in_the_place_of_the_first(void **state)
{
	struct arena *a = *state;
	struct head *h = head_new(a, HEAD_REQUEST);

	head_add(a, h, STR("X-A"), STR("1"));
	head_set(a, h, FIELD_HOST, STR("new"));
	assert_fields(a, h, "X-A: 1|host: new");
	head_add(a, h, STR("X-B"), STR("2"));
	head_add(a, h, STR("Host"), STR("again"));
	head_set(a, h, FIELD_HOST, STR("one"));
	assert_fields(a, h, "X-A: 1|host: one|X-B: 2");
	head_remove(h, FIELD_HOST);
	head_set(a, h, FIELD_HOST, STR("last"));
	assert_fields(a, h, "X-A: 1|X-B: 2|host: last");
}

static void test_very_many_fields(void **state)
{
	enum { MANY = 70000 }; /* a response head is bounded in bytes, not in fields */
	struct arena *a = *state;
	struct head *h = head_new(a, HEAD_FINAL);
	unsigned n = 0;

	for (int i = 0; i < MANY; i++)
		head_add(a, h, i % 2 ? STR("Set-Cookie") : STR("a"), STR("v"));
	head_for_each(f, h)
		n++;
	assert_int_equal(n, MANY);
	assert_int_equal(head_remove(h, FIELD_SET_COOKIE), MANY / 2);
	assert_int_equal(head_remove_name(h, STR("A")), MANY / 2);
	assert_fields(a, h, "");
}

/* ---- lists ---- */

static void assert_elements(struct arena *a, const char *value, const char *expected)
{
	struct guard g = guard_open(256);
	size_t n = strlen(value);
	struct str rest = str_of(guard_tail(&g, value, n), n), element, text = STR("");

	while (head_list_next(&rest, &element))
		text = arena_printf(a, "%.*s[%.*s]", STR_ARG(text), STR_ARG(element));
	assert_string_equal(text.n ? text.p : "", expected);
	assert_false(head_list_next(&rest, &element));
	guard_close(&g);
}

static void test_list_elements(void **state)
{
	struct arena *a = *state;

	assert_elements(a, "", "");
	assert_elements(a, "close", "[close]");
	assert_elements(a, "a,b", "[a][b]");
	assert_elements(a, " a\t , b ", "[a][b]");
	assert_elements(a, ",, ,a, ,\t,b,,", "[a][b]");
	assert_elements(a, " , ,", "");
	assert_elements(a, "gzip;q=0.5, \"x,y\"", "[gzip;q=0.5][\"x][y\"]");
}

static void test_tokens(void **state)
{
	struct arena *a = *state;
	struct head *h = head_new(a, HEAD_REQUEST);
	struct field *f;

	head_add(a, h, STR("Connection"), STR("keep-alive"));
	head_add(a, h, STR("X-Other"), STR("close"));
	f = head_add(a, h, STR("connection"), STR("foo ,\tUpGrade"));
	assert_true(head_has_token(h, FIELD_CONNECTION, STR("upgrade")));
	assert_true(head_has_token(h, FIELD_CONNECTION, STR("Keep-Alive")));
	assert_false(head_has_token(h, FIELD_CONNECTION, STR("close")));
	assert_false(head_has_token(h, FIELD_CONNECTION, STR("up")));
	assert_false(head_has_token(h, FIELD_CONNECTION, STR("upgrade2")));
	f->removed = true;
	assert_false(head_has_token(h, FIELD_CONNECTION, STR("upgrade")));
}

/* ---- what follows from method and status ---- */

static void test_which_responses_have_a_body(void **state)
{
	static const struct {
		const char *method;
		uint16_t status;
		bool has_body;
	} rows[] = {
		{ "GET", 100, false },     { "GET", 101, false },	 { "GET", 103, false },
		{ "GET", 199, false },     { "GET", 200, true },	 { "GET", 204, false },
		{ "GET", 205, true },      { "GET", 206, true },	 { "GET", 304, false },
		{ "GET", 404, true },      { "GET", 503, true },	 { "HEAD", 200, false },
		{ "HEAD", 404, false },    { "POST", 201, true },	 { "CONNECT", 200, false },
		{ "CONNECT", 299, false }, { "CONNECT", 403, true },	 { "CONNECT", 302, true },
		{ "head", 200, true },
	};
	struct head *request = head_new(*state, HEAD_REQUEST), *response = head_new(*state, HEAD_FINAL);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		request->method = str_from_c(rows[i].method);
		response->status = rows[i].status;
		assert_int_equal(head_response_has_body(request, response), rows[i].has_body);
	}
}

static void test_which_methods_are_safe(void **state)
{
	(void)state;
	assert_true(head_method_is_safe(STR("GET")));
	assert_true(head_method_is_safe(STR("HEAD")));
	assert_true(head_method_is_safe(STR("OPTIONS")));
	assert_true(head_method_is_safe(STR("TRACE")));
	assert_false(head_method_is_safe(STR("get"))); /* methods are case-sensitive (RFC 9110 section 9.1) */
	assert_false(head_method_is_safe(STR("POST")));
	assert_false(head_method_is_safe(STR("PUT")));
	assert_false(head_method_is_safe(STR("PROPFIND")));
	assert_false(head_method_is_safe(STR("GETX")));
	assert_false(head_method_is_safe(STR_NONE));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_row_is_found_in_any_case),
		TEST(test_nothing_else_is_found),
		TEST(test_flags),
		TEST(test_a_new_head_is_empty),
		TEST(test_adding_and_finding),
		TEST(test_removing),
		TEST(test_setting_replaces_all_in_the_place_of_the_first),
		TEST(test_very_many_fields),
		TEST(test_list_elements),
		TEST(test_tokens),
		TEST(test_which_responses_have_a_body),
		TEST(test_which_methods_are_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
