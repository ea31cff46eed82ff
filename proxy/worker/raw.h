/*
 * raw.h - raw connections: from the decision that a client speaks neither TLS nor HTTP to the relay's end.
 *
 * Dials the target, waits for it while it is down, and relays. Knows targets, streams and time; not
 * listeners, sniffing or limits. Called by conn; site makes the targets.
 */
#pragma once

#include "core/outage.h"
#include "core/target.h"
#include "proxy/worker/site.h"

struct raw;
struct raw_target;

/* Once in a worker: where it is kept which targets have ever answered. Borrowed while there are targets. */
void raw_share(struct outage_names *names);
/* Finds or makes this worker's target by its name; counted. Name and place are copied. */
struct raw_target *raw_target_get(struct str name, const struct place_spec *at) MUST_USE;
void raw_target_put(struct raw_target *t);

/*
 * Takes over `down`, whose bytes were at most peeked at. facts are borrowed until `closed`, which is called
 * once, perhaps before this returns; of the timeouts it keeps what it needs.
 */
struct raw_plan {
	struct raw_target *target;
	bool proxy_header; /* the target is told the client's address */
	bool transparent;  /* or sees it, where both are of one family */
	const struct timeouts *timeouts;
	void (*closed)(void *owner);
	void *owner;
};
/* *out is where the owner keeps it: set before `closed` can be called. */
void raw_open(struct raw **out, struct stream *down, const struct site_conn *facts,
	      const struct raw_plan *plan);
/* Ends now; `closed` is called. */
void raw_abort(struct raw *r, enum err why);

/* Relays of this worker. */
size_t raw_count(void);
