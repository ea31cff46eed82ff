/* Rows of numbers: put together, sent, and shown. */
#include "proxy/picture.h"
#include "proxy/worker/show.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct picture p;
static struct text t;

static int setup(void **state)
{
	(void)state;
	picture_init(&p);
	t = (struct text){ 0 };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	picture_fini(&p);
	free(t.p);
	return 0;
}

static const char *shown(void)
{
	text_put(&t, str_of("", 1));
	return t.p;
}

static void has(const char *part)
{
	if (!strstr(shown(), part))
		fail_msg("no \"%s\" in: %s", part, t.p);
}

static void finds_rows(void **state)
{
	char name[16];

	(void)state;
	assert_null(picture_find(&p, PICTURE_VHOST, STR("0"), STR("a")));
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "%u", i);
		picture_at(&p, PICTURE_VHOST, str_from_c(name), STR("a"))->v[0] = i;
		picture_at(&p, PICTURE_VHOST, str_from_c(name), STR("b"))->v[0] = 10000 + i;
		picture_at(&p, PICTURE_TARGET, str_from_c(name), STR("a"))->v[0] = 20000 + i;
	}
	assert_int_equal(p.n, 3000);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof name, "%u", i);
		assert_int_equal(picture_find(&p, PICTURE_VHOST, str_from_c(name), STR("a"))->v[0], i);
		assert_int_equal(picture_find(&p, PICTURE_VHOST, str_from_c(name), STR("b"))->v[0],
				 10000 + i);
		assert_int_equal(picture_at(&p, PICTURE_TARGET, str_from_c(name), STR("a"))->v[0], 20000 + i);
	}
	assert_int_equal(p.n, 3000);
	assert_null(picture_find(&p, PICTURE_TARGET, STR("0"), STR("b")));
}

static void merges(void **state)
{
	struct picture_row a = { .kind = PICTURE_TARGET }, b = { .kind = PICTURE_TARGET };

	(void)state;
	a.v[PICTURE_TARGET_requests] = 3;
	b.v[PICTURE_TARGET_requests] = 4;
	a.v[PICTURE_TARGET_total_max] = 30;
	b.v[PICTURE_TARGET_total_max] = 4;
	picture_merge(&a, &b);
	assert_int_equal(a.v[PICTURE_TARGET_requests], 7);
	assert_int_equal(a.v[PICTURE_TARGET_total_max], 30);
}

static void travels(void **state)
{
	char *bytes = base_alloc(2 * PICTURE_ROW_BYTES), *long_text = base_zalloc(PICTURE_TEXT_MAX + 100);
	struct picture other;
	size_t next = 0, n;

	(void)state;
	memset(long_text, 'x', PICTURE_TEXT_MAX + 100);
	picture_at(&p, PICTURE_VHOST, STR("a.test"), STR("*:443"))->v[PICTURE_VHOST_duration] = UINT64_MAX;
	picture_at(&p, PICTURE_TOTAL, STR_NONE, STR_NONE)->v[0] = 1;
	picture_at(&p, PICTURE_LOG, str_of(long_text, PICTURE_TEXT_MAX + 100), STR_NONE)->v[0] = 2;
	n = picture_fill(&p, &next, bytes, 2 * PICTURE_ROW_BYTES);
	assert_int_equal(next, 3);
	picture_init(&other);
	assert_true(picture_take(&other, str_of(bytes, n)));
	assert_int_equal(other.n, 3);
	assert_int_equal(picture_find(&other, PICTURE_VHOST, STR("a.test"), STR("*:443"))
				 ->v[PICTURE_VHOST_duration], UINT64_MAX);
	assert_int_equal(other.rows[2].text[0].n, PICTURE_TEXT_MAX);
	/* every cut, and every kind and length that is none */
	for (size_t cut = 1; cut < n; cut++) {
		struct picture_row row;
		char *copy = memcpy(base_alloc(cut), bytes, cut); /* so that a byte too many shows */
		struct str in = str_of(copy, cut);
		size_t rows = 0;

		for (; in.n && picture_read(&in, &row); rows++)
			;
		assert_true(rows < 3);
		free(copy);
	}
	for (size_t i = 0; i < 12; i++) {
		char was = bytes[i];
		struct str in = str_of(bytes, n);
		struct picture_row row;

		bytes[i] = (char)0xff;
		if (i != 4 && i != 8) /* a length that could be */
			assert_false(picture_read(&in, &row));
		bytes[i] = was;
	}
	picture_fini(&other);
	free(bytes);
	free(long_text);
}

static void json(void **state)
{
	(void)state;
	picture_at(&p, PICTURE_INSTANCE, STR("1.0"), STR("/etc/\"x\"\n\xff"))
		->v[PICTURE_INSTANCE_loading] = 1;
	picture_at(&p, PICTURE_CERTIFICATE, STR("/c"), STR("0A"))->on_disk = STR("0B");
	picture_at(&p, PICTURE_VHOST, STR("a"), STR("b"))->v[PICTURE_VHOST_duration] = 1000001;
	show_json(&t, &p);
	has("{\"instance\":{\"version\":\"1.0\","
	    "\"configuration\":\"/etc/\\\"x\\\"\\u000a\\u00ff\",\"pid\":0,");
	has("\"loading\":true");
	has(",\n\"totals\":null,\n\"workers\":[],\n");
	has("\n{\"path\":\"/c\",\"serial\":\"0A\",\"serial_on_disk\":\"0B\",\"expires\":0,");
	has("\"duration_seconds\":1.000001}");
}

static void metrics(void **state)
{
	(void)state;
	picture_at(&p, PICTURE_INSTANCE, STR("1.0"), STR_NONE)->v[PICTURE_INSTANCE_pid] = 7;
	picture_at(&p, PICTURE_VHOST, STR("a\"\\\n"), STR("*:443"))->v[PICTURE_VHOST_in_2xx] = 3;
	picture_at(&p, PICTURE_VHOST, STR("b"), STR("*:443"))->v[PICTURE_VHOST_in_5xx] = 4;
	show_metrics(&t, &p);
	has("gatehouse_info{version=\"1.0\",configuration=\"\",pid=\"7\"} 1\n");
	has("\ngatehouse_generation 0\n");
	has("# TYPE gatehouse_vhost_responses_total counter\n"
	    "gatehouse_vhost_responses_total{name=\"a\\\"\\\\?\",listener=\"*:443\",class=\"1xx\"} 0\n"
	    "gatehouse_vhost_responses_total{name=\"a\\\"\\\\?\",listener=\"*:443\",class=\"2xx\"} 3\n");
	has("gatehouse_vhost_responses_total{name=\"b\",listener=\"*:443\",class=\"5xx\"} 4\n");
}

static void text(void **state)
{
	struct picture_row *r = picture_at(&p, PICTURE_TARGET, STR("unix:/a\x1b[31m"), STR_NONE);

	(void)state;
	r->v[PICTURE_TARGET_down] = 2;
	show_text(&t, &p, 0);
	has("unix:/a?[31m  down");
	has("  !\n");
}

/* All bytes: what comes out is ASCII without a quote of its own, and as long as it says. */
static void json_escapes_everything(void **state)
{
	char all[256], *out;

	(void)state;
	for (size_t i = 0; i < sizeof all; i++)
		all[i] = (char)i;
	out = base_alloc(TEXT_JSON_MOST * sizeof all);
	for (size_t i = 0; i < sizeof all; i++) {
		size_t n = text_json_escape(out, TEXT_JSON_MOST, str_of(&all[i], 1));

		assert_true(n == 1 || n == 2 || n == 6);
		for (size_t k = 0; k < n; k++)
			assert_true(out[k] >= ' ' && out[k] < 0x7f && out[k] != '<');
		assert_true(n > 1 || (out[0] != '"' && out[0] != '\\'));
	}
	/* nothing is cut in two */
	for (size_t cap = 0; cap < 200; cap++) {
		size_t n = text_json_escape(out, cap, str_of(all, sizeof all));

		assert_true(n <= cap && cap - n < TEXT_JSON_MOST);
		assert_true(n % TEXT_JSON_MOST == 0 || n > 6 * ' ');
	}
	free(out);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(finds_rows), CASE(merges), CASE(travels), CASE(json),
		CASE(metrics), CASE(text), CASE(json_escapes_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
