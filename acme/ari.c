/*
 * ari.c - when the CA wants a certificate renewed (RFC 9773 section 4).
 */
#include "acme/priv.h"
#include "core/log.h"

/* Without a Retry-After; with one: it is believed within a day (section 4.3.2). */
#define USUALLY_MS (6 * ACME_HOUR_MS)

static int64_t member_time(struct acme_ca *ca, const char *name)
{
	return acme_plan_time(acme_ca_text(ca, json_object_get(ca->json, "suggestedWindow"), name));
}

static bool read_window(struct acme_flow *f)
{
	struct acme_ari *r = &f->part->ari;
	int64_t before_ms = r->at_ms;

	if (!acme_plan_window(r, f->t->facts.ari_id, member_time(&f->ca, "start"), member_time(&f->ca, "end"),
			      acme_flow_random()))
		return false;
	if (r->at_ms != before_ms) {
		struct str why = acme_ca_url(&f->ca, f->ca.json, "explanationURL");

		log_note("%s: the CA wants it renewed in %lld s%s%.*s", f->t->cert->names[0].p,
			 (long long)((r->at_ms - acme_ca_now_ms()) / ACME_SECOND_MS), why.n ? ": see " : "",
			 STR_ARG(why));
	}
	return true;
}

/* Failures are patience, not trouble: the certificate is renewed without this, too (section 4.3.3). */
bool acme_ari_ask(struct acme_flow *f)
{
	struct acme_ari *r = &f->part->ari;
	int64_t now_ms = acme_ca_now_ms(), check_ms = 0;
	struct str base = f->ca.resources[ACME_RENEWAL_INFO], url;

	if (!str_eq(r->id, f->t->facts.ari_id))
		*r = (struct acme_ari){ .id = arena_dup(&f->arena, f->t->facts.ari_id) };
	if (!f->ca.failure.away && !base.n) {
		r->check_ms = now_ms + ACME_DAY_MS;
		return true;
	}
	url = arena_printf(&f->ca.arena, "%.*s%s%s", STR_ARG(base), str_ends(base, STR("/")) ? "" : "/",
			   r->id.p);
	if (base.n && acme_ca_get(&f->ca, url) && read_window(f)) {
		check_ms = f->ca.retry_after_ms ? f->ca.retry_after_ms : now_ms + USUALLY_MS;
		r->failures = 0;
	} else {
		r->failures++;
		check_ms = f->ca.retry_after_ms ? f->ca.retry_after_ms :
						  acme_plan_retry(r->failures, true, now_ms, 0,
								  (uint32_t)acme_flow_random());
		log_info("%s: the CA does not say when to renew: %s", f->t->cert->names[0].p,
			 f->ca.failure.words[0] ? f->ca.failure.words : "no window");
	}
	r->check_ms = MAX(now_ms + ACME_SECOND_MS, MIN(check_ms, now_ms + ACME_DAY_MS));
	return true;
}
