/*
 * admit.h - who may come in: what one address may have, and how many may be of undecided protocol.
 *
 * One a worker, in accept. Knows counters and addresses; not sockets. Called by accept, and by conn and greet
 * as a connection goes on.
 */
#pragma once

#include "core/list.h"
#include "proxy/count.h"
#include "proxy/worker/site.h"

struct admit {
	struct count *count;
	uint64_t said_ms;      /* when a limit was last logged */
	struct list undecided; /* greet's connections of this worker, oldest first */
};

void admit_init(struct admit *a, struct count *count);
/* At most one line a while for all limits: true, and it is to be written. */
bool admit_may_say(struct admit *a);
/*
 * Counts a connection for its client's address, unless that has its share (limits.connections-per-address):
 * false. *hash is for admit_leave, in either case.
 */
bool admit_address(struct admit *a, const struct site_conn *facts, uint64_t *hash) MUST_USE;
void admit_leave(struct admit *a, uint64_t hash);
/* One more raw connection of that address: false when it is too soon (limits.raw-rate). */
bool admit_raw(struct admit *a, const struct site_conn *facts) MUST_USE;
