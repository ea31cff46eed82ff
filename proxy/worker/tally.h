/*
 * tally.h - what one vhost has answered, counted by this worker: lives on over configurations, like the
 * access log of the same name. Called by site (which one for which vhost), route (when) and survey (how
 * much).
 */
#pragma once

#include "core/exchange.h"
#include "proxy/picture.h"

struct tally {
	unsigned refs;
	uint64_t v[PICTURE_VHOST_VALUES];
};

struct tally *tally_new(void) MUST_USE;
struct tally *tally_get(struct tally *t);
/* NULL is allowed. */
void tally_put(struct tally *t);
/* An exchange is over. */
void tally_note(struct tally *t, const struct exchange *x);
