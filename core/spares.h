/*
 * spares.h - pieces of memory of one size that are used again instead of freed.
 *
 * As many are kept as were lately in use at once, so that work that comes in waves finds what the last wave
 * left; what a rush leaves goes back when spares_settle finds that it is over. Knows nothing of what the
 * pieces are; their first bytes are its own while it has them. For core's allocators alone: arena and buf.
 */
#pragma once

#include "core/base.h"

struct spare;

struct spares {
	struct spare *first; /* last in, first out: what is still in the cache */
	size_t n, used;
	size_t most;         /* in use at once since spares_settle; and in the time before that */
	size_t most_before;
};

/* One more is in use: a spare one, or NULL: the caller has to make it. */
void *spares_take(struct spares *s) MUST_USE;
/* One less is in use. False: it is not wanted, and the caller frees it. */
bool spares_keep(struct spares *s, void *piece) MUST_USE;
/* From time to time: frees those that were not needed since the last time but one. Returns how many. */
size_t spares_settle(struct spares *s);
/* Frees all. */
void spares_drop(struct spares *s);
