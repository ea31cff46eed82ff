#include "acme/plan.h"
#include <time.h>

/* Certificates that live shorter than this are renewed at half of it, others with a third left. */
#define SHORT_MS (10 * ACME_DAY_MS)

/* The back-off: of tries that cost the CA nothing much, and of those that were an order. */
#define FIRST_MS ACME_SECOND_MS
#define FIRST_ASKED_MS ACME_MINUTE_MS
#define CA_IS_AWAY_MAX_MS (15 * ACME_MINUTE_MS)
/* Of what is left until a certificate expires, a try gets at most this part, and at the end so much. */
enum { PARTS_LEFT = 4, LEAST_MS = 500 };

/* What is served is still good, or nothing is: then there is nothing to be late for. */
static int64_t cap_by_expiry(int64_t delay_ms, int64_t now_ms, int64_t expiry_ms)
{
	int64_t left_ms = expiry_ms - now_ms;

	if (left_ms <= 0)
		return delay_ms;
	return MIN(delay_ms, MAX(left_ms / PARTS_LEFT, (int64_t)LEAST_MS));
}

int64_t acme_plan_retry(unsigned failures, bool asked, int64_t now_ms, int64_t expiry_ms, uint32_t random)
{
	int64_t delay_ms = asked ? FIRST_ASKED_MS : FIRST_MS;
	int64_t max_ms = asked ? ACME_BACKOFF_MAX_MS : CA_IS_AWAY_MAX_MS;

	for (unsigned i = 1; i < failures && delay_ms < max_ms; i++)
		delay_ms *= 2;
	delay_ms = MIN(delay_ms, max_ms);
	/* by up to a quarter longer: many that failed together do not come back together */
	delay_ms += (int64_t)(random % 1024) * delay_ms / 4096;
	return now_ms + cap_by_expiry(delay_ms, now_ms, expiry_ms);
}

int64_t acme_plan_new_order(const struct acme_state *s, int64_t now_ms, int64_t expiry_ms)
{
	int64_t oldest = s->asked_ms[ACME_ASKED_MAX - 1];
	bool is_late = !s->refused && expiry_ms > now_ms && expiry_ms <= oldest + 2 * ACME_MINUTE_MS;

	/* one in the future was written before the clock was set back */
	if (!oldest || oldest > now_ms || is_late)
		return now_ms;
	return MAX(oldest + ACME_MINUTE_MS, now_ms);
}

void acme_plan_failed(struct acme_state *s, bool is_waiting, bool refused, struct str words, int64_t now_ms,
		      int64_t expiry_ms, int64_t until_ms, uint32_t random)
{
	if (is_waiting) {
		s->next_ms = until_ms;
		return;
	}
	s->failures++;
	s->refused = refused;
	s->error = words;
	s->next_ms = until_ms > now_ms ? until_ms :
					 acme_plan_retry(s->failures, refused, now_ms, expiry_ms, random);
}

bool acme_plan_is_early(const struct acme_part *p, const struct acme_facts *facts, int64_t now_ms)
{
	int64_t life_ms = facts->not_after * ACME_SECOND_MS - now_ms;

	return life_ms <= 0 || (p->issued_ms && now_ms - p->issued_ms < life_ms / 4);
}

int64_t acme_plan_renewal(const struct acme_part *p, const struct acme_facts *facts)
{
	int64_t start_ms = facts->not_before * ACME_SECOND_MS, end_ms = facts->not_after * ACME_SECOND_MS;
	int64_t life_ms;

	/* many CAs date certificates back: their life begins when they are there */
	if (p->issued_ms > start_ms && p->issued_ms < end_ms)
		start_ms = p->issued_ms;
	life_ms = end_ms - start_ms;
	if (p->ari.at_ms && str_eq(p->ari.id, facts->ari_id) && p->ari.at_ms < end_ms)
		return p->ari.at_ms;
	return end_ms - life_ms / (life_ms < SHORT_MS ? 2 : 3);
}

int64_t acme_plan_bound(int64_t at_ms, int64_t now_ms)
{
	return at_ms <= now_ms || at_ms > now_ms + ACME_WAIT_MAX_MS ? 0 : at_ms;
}

struct acme_next acme_plan_next(const struct acme_state *s, const struct acme_part *p,
				const struct acme_facts *facts, int64_t now_ms)
{
	struct acme_next next = { ACME_ACT_ORDER, 0 };
	int64_t check_ms;

	if (facts && !p->order.key.n)
		next.at_ms = acme_plan_renewal(p, facts);
	next.at_ms = MAX(next.at_ms, acme_plan_bound(s->next_ms, now_ms));
	if (!facts || !facts->ari_id.n || !p->issued_by.n || p->order.key.n)
		return next;
	check_ms = str_eq(p->ari.id, facts->ari_id) ? acme_plan_bound(p->ari.check_ms, now_ms) : 0;
	if (check_ms < next.at_ms && next.at_ms > now_ms)
		next = (struct acme_next){ ACME_ACT_ASK, check_ms };
	return next;
}

bool acme_plan_window(struct acme_ari *r, struct str id, int64_t start_ms, int64_t end_ms, uint64_t random)
{
	if (start_ms <= 0 || end_ms <= start_ms)
		return false;
	if (r->at_ms && str_eq(r->id, id) && r->start_ms == start_ms && r->end_ms == end_ms)
		return true;
	r->id = id;
	r->start_ms = start_ms;
	r->end_ms = end_ms;
	r->at_ms = start_ms + (int64_t)(random % (uint64_t)(end_ms - start_ms));
	return true;
}

/* ---- times as others write them ---- */

/* The three forms of RFC 9110 section 5.6.7. */
static bool read_date(const char *text, struct tm *tm)
{
	static const char *const forms[] = {
		"%a, %d %b %Y %H:%M:%S GMT",
		"%A, %d-%b-%y %H:%M:%S GMT",
		"%a %b %e %H:%M:%S %Y",
	};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		const char *end;

		*tm = (struct tm){ 0 };
		end = strptime(text, forms[i], tm);
		if (end && !*end)
			return true;
	}
	return false;
}

int64_t acme_plan_retry_after(struct str value, int64_t now_ms)
{
	char text[64];
	uint64_t s;
	struct tm tm;
	int64_t at_ms;

	value = str_trim(value);
	if (str_to_u64(value, INT32_MAX, &s)) {
		at_ms = now_ms + (int64_t)s * ACME_SECOND_MS;
	} else {
		if (!value.n || value.n >= sizeof text)
			return 0;
		snprintf(text, sizeof text, "%.*s", STR_ARG(value));
		if (!read_date(text, &tm))
			return 0;
		at_ms = (int64_t)timegm(&tm) * ACME_SECOND_MS;
	}
	return MAX(MIN(at_ms, now_ms + ACME_WAIT_MAX_MS), now_ms);
}

/* "+02:00", "-0700": seconds ahead of UTC. */
static bool read_offset(const char *p, int64_t *out)
{
	uint64_t h, m;

	if (strcasecmp(p, "z") == 0) {
		*out = 0;
		return true;
	}
	if ((*p != '+' && *p != '-') || strlen(p) != 6 || p[3] != ':' ||
	    !str_to_u64(str_of(p + 1, 2), 23, &h) || !str_to_u64(str_of(p + 4, 2), 59, &m))
		return false;
	*out = (int64_t)(h * 3600 + m * 60) * (*p == '-' ? -1 : 1);
	return true;
}

int64_t acme_plan_time(struct str text)
{
	char copy[64];
	const char *p;
	struct tm tm = { 0 };
	int64_t offset, s;

	if (!text.n || text.n >= sizeof copy)
		return 0;
	snprintf(copy, sizeof copy, "%.*s", STR_ARG(text));
	if (text.n > 10 && copy[10] == 't')
		copy[10] = 'T';
	p = strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm);
	if (p && *p == '.')
		for (p++; *p >= '0' && *p <= '9';)
			p++;
	if (!p || !read_offset(p, &offset))
		return 0;
	s = timegm(&tm) - offset;
	return s > 0 && s < INT64_MAX / 4000 ? s * ACME_SECOND_MS : 0;
}
