/*
 * rate.h - how often something may happen to one address: so many times a minute.
 *
 * A bounded table in memory that all workers share, all zero at first. Who has had his share gets the next
 * turn when a minute's part for one is over: nobody has twice as much around the turn of a minute. Pure:
 * knows hashes and the time it is told. Called by admit.
 */
#pragma once

#include "core/base.h"
#include <stdatomic.h>

enum { RATE_WAYS = 8, RATE_BUCKETS = 1024 };

struct rate_table {
	_Alignas(64) _Atomic uint64_t place[RATE_BUCKETS][RATE_WAYS];
};

/*
 * Once more for this hash of an address: false when that is more than per_minute (> 0) in the last one. A
 * full table forgets whoever has used the least.
 */
bool rate_take(struct rate_table *t, uint64_t hash, uint64_t per_minute, uint64_t now_ms) MUST_USE;
