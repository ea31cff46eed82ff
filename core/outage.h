/*
 * outage.h - a target that cannot be reached: since when, why, and whether its requests wait for its return.
 *
 * Knows time and the errors of connecting; neither who waits nor how to connect. One for each target and
 * worker, embedded in what uds-upstream knows of it. Says one log line when an outage begins and one when it
 * is over.
 *
 * A target that has ever answered is expected back: whoever fails to reach it is held until the time of
 * `ride-out` from the first failure is over. One that never did is not waited for, with two exceptions: a
 * full backlog proves that somebody listens, and for want of a descriptor of our own it was not even asked.
 * Any connection ends the outage.
 */
#pragma once

#include "core/err.h"
#include <stdatomic.h>

/*
 * Names of targets that have ever answered, in memory that all workers share and that outlives them: all zero
 * at first. Full, it takes no more: a worker then only knows its own.
 */
enum { OUTAGE_NAMES = 1 << 14 };
struct outage_names {
	_Atomic uint64_t hash[OUTAGE_NAMES];
};
void outage_names_add(struct outage_names *names, struct str name);
/* The same for a hash that was found in such a table. */
void outage_names_add_hash(struct outage_names *names, uint64_t hash);
bool outage_names_has(const struct outage_names *names, struct str name);

struct outage {
	const char *name;           /* for the log; borrowed */
	struct outage_names *names; /* borrowed; NULL: there are none */
	bool has_answered;          /* as far as this worker knows */
	bool is_told;               /* its beginning was logged, and so will be its end */
	uint64_t since_ms;          /* first failure; 0: there is no outage */
	uint64_t until_ms;          /* nobody is held beyond */
	enum err why;               /* last failure */
	int sys_errno;              /* of it, set by whoever tells of it; 0: it has none */
	uint64_t held;              /* counted by whoever holds them: who has waited in this outage */
	uint64_t refused;           /* who got an error */
	uint64_t told_ms;           /* when a beginning was last logged */
	uint64_t untold;            /* outages since */
};

void outage_init(struct outage *o, const char *name, struct outage_names *names);

/* It has answered. Cheap after the first time. */
void outage_note_answer(struct outage *o);
/*
 * A connection failed for this reason, `detail` being more about it or NULL. True: whoever wanted it is to
 * wait, for an outage that is ridden out; false: he gets the error.
 */
bool outage_failed(struct outage *o, enum err why, const char *detail, uint64_t ride_out_ms);
/* A connection was made. */
void outage_end(struct outage *o);

/* Once in a worker: who hears of outages whose beginning is logged. */
void outage_on_beginning(void (*began)(void *owner, const struct outage *o), void *owner);

static inline bool outage_is_on(const struct outage *o)
{
	return o->since_ms != 0;
}
