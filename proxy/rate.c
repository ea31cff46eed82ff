#include "proxy/rate.h"

/*
 * A place: a tag in the upper bits; below it the time at which all that was taken is made up for (the generic
 * cell rate algorithm's theoretical arrival time), in milliseconds: 34 years.
 */
enum { TIME_BITS = 40, MINUTE_MS = 60 * 1000 };
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)

static bool is_at(uint64_t place, uint64_t tag)
{
	return (place & ~TIME_MASK) == tag;
}

/* Where the tag is, or else the place that is worth the least. */
static _Atomic uint64_t *find(_Atomic uint64_t *bucket, uint64_t tag)
{
	_Atomic uint64_t *least = bucket;

	for (unsigned i = 0; i < RATE_WAYS; i++) {
		if (is_at(atomic_load(&bucket[i]), tag))
			return &bucket[i];
		if ((atomic_load(&bucket[i]) & TIME_MASK) < (atomic_load(least) & TIME_MASK))
			least = &bucket[i];
	}
	return least;
}

bool rate_take(struct rate_table *t, uint64_t hash, uint64_t per_minute, uint64_t now_ms)
{
	uint64_t tag = hash & ~TIME_MASK, each_ms = MINUTE_MS / per_minute;
	_Atomic uint64_t *place = find(t->place[hash % RATE_BUCKETS], tag);
	uint64_t old = atomic_load(place), due;

	do {
		due = is_at(old, tag) ? MAX(old & TIME_MASK, now_ms) : now_ms;
		if (due + each_ms > now_ms + MINUTE_MS)
			return false;
	} while (!atomic_compare_exchange_weak(place, &old, tag | (due + each_ms)));
	return true;
}
