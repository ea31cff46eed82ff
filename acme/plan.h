/*
 * plan.h - when to act: renewal, patience with what fails, and how long others want to be left alone.
 *
 * Pure: a clock and a random number come as arguments. Called by agent.c and flow.c. Times are
 * milliseconds since the epoch; a time in the past means now.
 */
#pragma once

#include "acme/cert.h"
#include "acme/store.h"

#define ACME_SECOND_MS INT64_C(1000)
#define ACME_MINUTE_MS (60 * ACME_SECOND_MS)
#define ACME_HOUR_MS (60 * ACME_MINUTE_MS)
#define ACME_DAY_MS (24 * ACME_HOUR_MS)

/* What a back-off never goes beyond, whatever the clock does. */
#define ACME_BACKOFF_MAX_MS (6 * ACME_HOUR_MS)
/* Whoever wants to be left alone for longer is asked again after that. */
#define ACME_WAIT_MAX_MS (8 * ACME_DAY_MS)

enum acme_act {
	ACME_ACT_ORDER, /* a certificate, or go on with the order for it */
	ACME_ACT_ASK,   /* the CA when to renew (RFC 9773) */
};

struct acme_next {
	enum acme_act act;
	int64_t at_ms;
};

/*
 * What was put down as the time to wait for, or 0 when it has come, or lies further ahead than anybody
 * may have put it: the clock was set back since.
 */
int64_t acme_plan_bound(int64_t at_ms, int64_t now_ms);
/*
 * The next thing to do for a certificate, p being of s. facts: of the one in use; NULL: there is none.
 */
struct acme_next acme_plan_next(const struct acme_state *s, const struct acme_part *p,
				const struct acme_facts *facts, int64_t now_ms);
/* When the certificate ought to be renewed, failures apart. */
int64_t acme_plan_renewal(const struct acme_part *p, const struct acme_facts *facts);

/*
 * After failure number `failures` (1: the first): when to try again. `asked`: it cost an order, so it is
 * not tried as often. expiry_ms: of the certificate in use, which must not be missed; 0: there is none.
 * random: any number.
 */
int64_t acme_plan_retry(unsigned failures, bool asked, int64_t now_ms, int64_t expiry_ms, uint32_t random);
/*
 * When newOrder may be sent: not more than twice within a minute for what fails, unless the CA was away and
 * a certificate would expire over it.
 */
int64_t acme_plan_new_order(const struct acme_state *s, int64_t now_ms, int64_t expiry_ms);

/*
 * Notes in s that it did not work, or (is_waiting) that it goes on later. refused: it cost an order.
 * until_ms: what the CA asks for; 0: nothing.
 */
void acme_plan_failed(struct acme_state *s, bool is_waiting, bool refused, struct str words, int64_t now_ms,
		      int64_t expiry_ms, int64_t until_ms, uint32_t random);
/*
 * facts: of what takes the place of p's: that was renewed with nearly all of its life left, or lives no
 * time.
 */
bool acme_plan_is_early(const struct acme_part *p, const struct acme_facts *facts, int64_t now_ms);

/*
 * Chooses the moment in a window (RFC 9773 section 4.2), unless it is the same window as before. False:
 * the window makes no sense, and *r is as it was.
 */
bool acme_plan_window(struct acme_ari *r, struct str id, int64_t start_ms, int64_t end_ms,
		      uint64_t random) MUST_USE;

/* Retry-After, seconds or a date (RFC 9110 section 10.2.3); 0: neither. */
int64_t acme_plan_retry_after(struct str value, int64_t now_ms);
/* RFC 3339, as ACME has it; 0: not a time. */
int64_t acme_plan_time(struct str text);
