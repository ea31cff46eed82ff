/*
 * When to act: tables of certificates and states, and what is to be done when.
 */
#include "tests/unit/acme/acme_test.h"
#include "acme/plan.h"

#define NOW_MS (INT64_C(1800000000) * ACME_SECOND_MS)
#define DAYS(n) ((n) * ACME_DAY_MS)

static struct acme_facts living(int64_t from_ms, int64_t to_ms)
{
	return (struct acme_facts){ .not_before = (NOW_MS + from_ms) / 1000,
				    .not_after = (NOW_MS + to_ms) / 1000, .ari_id = STR("aki.serial") };
}

static void renewed_with_a_third_left(void **state)
{
	static const struct {
		int64_t life_ms, issued_ms, renewal_ms; /* from not_before */
	} rows[] = {
		{ DAYS(90), 0, DAYS(60) },
		{ DAYS(90), ACME_HOUR_MS, DAYS(90) - (DAYS(90) - ACME_HOUR_MS) / 3 },
		{ DAYS(10), 0, DAYS(10) - DAYS(10) / 3 },
		{ DAYS(6), 0, DAYS(3) },
		{ 40 * ACME_SECOND_MS, 0, 20 * ACME_SECOND_MS },
		/* dated back by an hour, good for 40 s from its issuance */
		{ ACME_HOUR_MS + 40 * ACME_SECOND_MS, ACME_HOUR_MS, ACME_HOUR_MS + 20 * ACME_SECOND_MS },
		/* issued at a time that makes no sense: the clock was wrong */
		{ DAYS(90), DAYS(100), DAYS(60) },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct acme_facts facts = living(0, rows[i].life_ms);
		struct acme_part p = { .issued_ms = rows[i].issued_ms ? NOW_MS + rows[i].issued_ms : 0 };

		assert_int_equal(acme_plan_renewal(&p, &facts), NOW_MS + rows[i].renewal_ms);
	}
}

static void the_ca_says_when(void **state)
{
	struct acme_facts facts = living(0, DAYS(90));
	struct acme_part p = { .ari = { .id = STR("aki.serial"), .at_ms = NOW_MS + DAYS(1) } };

	(void)state;
	assert_int_equal(acme_plan_renewal(&p, &facts), NOW_MS + DAYS(1));
	p.ari.at_ms = NOW_MS + DAYS(91); /* when it is too late */
	assert_int_equal(acme_plan_renewal(&p, &facts), NOW_MS + DAYS(60));
	p.ari = (struct acme_ari){ .id = STR("another"), .at_ms = NOW_MS + DAYS(1) };
	assert_int_equal(acme_plan_renewal(&p, &facts), NOW_MS + DAYS(60));
}

static void what_comes_next(void **state)
{
	struct acme_facts facts = living(0, DAYS(90));
	struct acme_state s = { 0 };
	struct acme_part *p = &s.parts[0];
	struct acme_next next;

	(void)state;
	/* nothing there: at once; or when what failed may be tried again */
	next = acme_plan_next(&s, p, NULL, NOW_MS);
	assert_int_equal(next.act, ACME_ACT_ORDER);
	assert_true(next.at_ms <= NOW_MS);
	s.next_ms = NOW_MS + 5000;
	assert_int_equal(acme_plan_next(&s, p, NULL, NOW_MS).at_ms, NOW_MS + 5000);
	/* written down before the clock was set back by years */
	s.next_ms = NOW_MS + DAYS(5000);
	assert_true(acme_plan_next(&s, p, NULL, NOW_MS).at_ms <= NOW_MS);
	s.next_ms = 0;
	/* one of unknown origin is renewed in time, and nobody is asked about it */
	next = acme_plan_next(&s, p, &facts, NOW_MS);
	assert_int_equal(next.act, ACME_ACT_ORDER);
	assert_int_equal(next.at_ms, NOW_MS + DAYS(60));
	/* of a known one the CA is asked, and again when it said so */
	p->issued_by = STR("https://ca/directory");
	next = acme_plan_next(&s, p, &facts, NOW_MS);
	assert_int_equal(next.act, ACME_ACT_ASK);
	assert_true(next.at_ms <= NOW_MS);
	p->ari = (struct acme_ari){ .id = STR("aki.serial"), .check_ms = NOW_MS + ACME_HOUR_MS };
	next = acme_plan_next(&s, p, &facts, NOW_MS);
	assert_int_equal(next.act, ACME_ACT_ASK);
	assert_int_equal(next.at_ms, NOW_MS + ACME_HOUR_MS);
	p->ari.check_ms = NOW_MS + DAYS(5000);
	assert_true(acme_plan_next(&s, p, &facts, NOW_MS).at_ms <= NOW_MS);
	/* a certificate that is due is not kept waiting for that */
	next = acme_plan_next(&s, p, &facts, NOW_MS + DAYS(61));
	assert_int_equal(next.act, ACME_ACT_ORDER);
	assert_true(next.at_ms <= NOW_MS + DAYS(61));
	/* an order under way goes on */
	p->order.key = STR("key");
	next = acme_plan_next(&s, p, &facts, NOW_MS);
	assert_int_equal(next.act, ACME_ACT_ORDER);
	assert_true(next.at_ms <= NOW_MS);
}

static void back_off_grows(void **state)
{
	int64_t last = 0;

	(void)state;
	for (unsigned n = 1; n < 40; n++) {
		int64_t least = acme_plan_retry(n, false, NOW_MS, 0, 0) - NOW_MS;
		int64_t most = acme_plan_retry(n, false, NOW_MS, 0, 1023) - NOW_MS;

		assert_true(least >= last && most >= least && most <= least + least / 4);
		assert_true(most <= ACME_HOUR_MS);
		last = least;
	}
	assert_int_equal(acme_plan_retry(1, false, NOW_MS, 0, 0), NOW_MS + ACME_SECOND_MS);
	assert_int_equal(acme_plan_retry(1, true, NOW_MS, 0, 0), NOW_MS + ACME_MINUTE_MS);
	assert_true(acme_plan_retry(1000000, true, NOW_MS, 0, 1023) <= NOW_MS + ACME_BACKOFF_MAX_MS * 5 / 4);
}

/* However long it has been away: a CA that is back a second before the end is asked in time. */
static void back_off_ends_before_expiry(void **state)
{
	int64_t expiry_ms = NOW_MS + DAYS(30), at_ms = NOW_MS, back_ms = expiry_ms - 2 * ACME_SECOND_MS;
	unsigned n = 1, tries = 0;

	(void)state;
	while (at_ms < back_ms) {
		at_ms = acme_plan_retry(n++, true, at_ms, expiry_ms, 1023);
		tries++;
	}
	assert_true(at_ms < expiry_ms);
	assert_true(tries < 200);
	/* one that has expired already is no reason to hurry */
	assert_true(acme_plan_retry(9, true, NOW_MS, NOW_MS - 1, 0) >= NOW_MS + ACME_HOUR_MS);
}

static void two_orders_a_minute(void **state)
{
	struct acme_state s = { 0 };

	(void)state;
	assert_int_equal(acme_plan_new_order(&s, NOW_MS, 0), NOW_MS);
	s.asked_ms[0] = NOW_MS - 1000;
	assert_int_equal(acme_plan_new_order(&s, NOW_MS, 0), NOW_MS);
	s.asked_ms[1] = NOW_MS - 2000;
	assert_int_equal(acme_plan_new_order(&s, NOW_MS, 0), NOW_MS + 58000);
	assert_int_equal(acme_plan_new_order(&s, NOW_MS + 58000, 0), NOW_MS + 58000);
	/* a certificate would expire over it */
	assert_int_equal(acme_plan_new_order(&s, NOW_MS, NOW_MS + 30000), NOW_MS);
	s.refused = true; /* more of them would not help */
	assert_int_equal(acme_plan_new_order(&s, NOW_MS, NOW_MS + 30000), NOW_MS + 58000);
	s.refused = false;
	assert_int_equal(acme_plan_new_order(&s, NOW_MS, NOW_MS - 1), NOW_MS + 58000);
	assert_int_equal(acme_plan_new_order(&s, NOW_MS, NOW_MS + DAYS(3)), NOW_MS + 58000);
	/* the clock was set back since */
	s.asked_ms[1] = NOW_MS + DAYS(1);
	assert_int_equal(acme_plan_new_order(&s, NOW_MS, 0), NOW_MS);
}

static void failures_are_noted(void **state)
{
	struct acme_state s = { .failures = 2 };

	(void)state;
	acme_plan_failed(&s, true, false, STR("later"), NOW_MS, 0, NOW_MS + 7000, 0);
	assert_int_equal(s.failures, 2);
	assert_int_equal(s.next_ms, NOW_MS + 7000);
	assert_str(s.error, "");
	acme_plan_failed(&s, false, true, STR("no"), NOW_MS, 0, 0, 0);
	assert_int_equal(s.failures, 3);
	assert_int_equal(s.next_ms, NOW_MS + 4 * ACME_MINUTE_MS);
	assert_str(s.error, "no");
	/* what the CA asks for is obeyed to the millisecond, whatever the failures */
	acme_plan_failed(&s, false, false, STR("429"), NOW_MS, NOW_MS + 3000, NOW_MS + 5000, 999);
	assert_int_equal(s.next_ms, NOW_MS + 5000);
}

static void renewed_too_early(void **state)
{
	struct acme_facts facts = living(0, DAYS(90));
	struct acme_part p = { 0 };

	(void)state;
	assert_false(acme_plan_is_early(&p, &facts, NOW_MS)); /* the first */
	p.issued_ms = NOW_MS - DAYS(60);
	assert_false(acme_plan_is_early(&p, &facts, NOW_MS));
	p.issued_ms = NOW_MS - ACME_HOUR_MS;
	assert_true(acme_plan_is_early(&p, &facts, NOW_MS));
	facts = living(0, 40 * ACME_SECOND_MS);
	p.issued_ms = NOW_MS - 20 * ACME_SECOND_MS;
	assert_false(acme_plan_is_early(&p, &facts, NOW_MS));
	facts = living(-DAYS(2), -DAYS(1)); /* expired when it came */
	assert_true(acme_plan_is_early(&p, &facts, NOW_MS));
}

static void windows(void **state)
{
	struct acme_ari r = { 0 };

	(void)state;
	for (uint64_t random = 0; random < 50; random++) {
		r = (struct acme_ari){ 0 };
		assert_true(acme_plan_window(&r, STR("id"), NOW_MS, NOW_MS + 10, random));
		assert_true(r.at_ms >= NOW_MS && r.at_ms < NOW_MS + 10);
	}
	/* the moment stays while the window does */
	r.at_ms = NOW_MS + 3;
	assert_true(acme_plan_window(&r, STR("id"), NOW_MS, NOW_MS + 10, 8));
	assert_int_equal(r.at_ms, NOW_MS + 3);
	assert_true(acme_plan_window(&r, STR("id"), NOW_MS + 1, NOW_MS + 10, 8));
	assert_int_equal(r.at_ms, NOW_MS + 9);
	assert_true(acme_plan_window(&r, STR("other"), NOW_MS + 1, NOW_MS + 10, 0));
	assert_int_equal(r.at_ms, NOW_MS + 1);
	/* none */
	assert_false(acme_plan_window(&r, STR("id"), NOW_MS, NOW_MS, 0));
	assert_false(acme_plan_window(&r, STR("id"), NOW_MS, NOW_MS - 1, 0));
	assert_false(acme_plan_window(&r, STR("id"), 0, NOW_MS, 0));
	assert_int_equal(r.at_ms, NOW_MS + 1);
}

static void retry_after(void **state)
{
	static const struct {
		const char *value;
		int64_t at_ms;
	} rows[] = {
		{ "5", NOW_MS + 5000 },
		{ " 0 ", NOW_MS },
		{ "Fri, 15 Jan 2027 08:00:30 GMT", NOW_MS + 30000 },
		{ "Friday, 15-Jan-27 08:00:30 GMT", NOW_MS + 30000 },
		{ "Fri Jan 15 08:00:30 2027", NOW_MS + 30000 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT", NOW_MS }, /* gone by */
		{ "99999999", NOW_MS + ACME_WAIT_MAX_MS },
		{ "", 0 },
		{ "-5", 0 },
		{ "soon", 0 },
		{ "5 minutes", 0 },
		{ "99999999999999999999", 0 },
		{ "Fri, 15 Jan 2027 08:00:30 GMT and a very long text that is no part of a date at all", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(acme_plan_retry_after(str_from_c(rows[i].value), NOW_MS), rows[i].at_ms);
}

static void rfc3339(void **state)
{
	static const struct {
		const char *text;
		int64_t s;
	} rows[] = {
		{ "2025-01-02T04:00:00Z", 1735790400 },
		{ "2025-01-02t04:00:00z", 1735790400 },
		{ "2025-01-02T04:00:00.123456Z", 1735790400 },
		{ "2025-01-02T06:00:00+02:00", 1735790400 },
		{ "2025-01-01T20:30:00-07:30", 1735790400 },
		{ "2025-01-02T04:00:00", 0 },
		{ "2025-01-02", 0 },
		{ "2025-01-02T04:00:00+2:00", 0 },
		{ "2025-01-02T04:00:00Zulu", 0 },
		{ "1735790400", 0 },
		{ "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(acme_plan_time(str_from_c(rows[i].text)), rows[i].s * ACME_SECOND_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(renewed_with_a_third_left),
		cmocka_unit_test(the_ca_says_when),
		cmocka_unit_test(what_comes_next),
		cmocka_unit_test(back_off_grows),
		cmocka_unit_test(back_off_ends_before_expiry),
		cmocka_unit_test(two_orders_a_minute),
		cmocka_unit_test(failures_are_noted),
		cmocka_unit_test(renewed_too_early),
		cmocka_unit_test(windows),
		cmocka_unit_test(retry_after),
		cmocka_unit_test(rfc3339),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
