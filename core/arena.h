/*
 * arena.h - memory that is given out piece by piece and returned as a whole.
 *
 * One per exchange (message heads) and one per configuration. Never shrinks, never frees a piece. Blocks
 * of the ordinary size come from the worker's spare ones, so that the steady path calls no malloc. Knows
 * nothing of what it holds. A struct arena may be moved by assignment: nothing points to it.
 */
#pragma once

#include "core/base.h"

enum { ARENA_BLOCK_BYTES = 8192 };

struct arena_block;

struct arena {
	struct arena_block *first; /* the one being given out; behind it those that are full */
	char *at, *end;            /* what is left of it */
	size_t held_bytes;         /* of all blocks, for limits and the log */
};

void arena_init(struct arena *a);
/* Returns every block. The arena is empty and usable afterwards. */
void arena_fini(struct arena *a);

/* n bytes aligned for any type; n may be 0. Never fails. Borrowed until arena_fini. */
void *arena_alloc(struct arena *a, size_t n) MUST_USE;
/* The same, zeroed. */
void *arena_zalloc(struct arena *a, size_t n) MUST_USE;
/* A copy of s with a NUL behind it (not counted). What is absent stays absent. */
struct str arena_dup(struct arena *a, struct str s) MUST_USE;
/* The same as a C string; of an absent s the empty one. */
char *arena_dup_c(struct arena *a, struct str s) MUST_USE;
/* Formatted text with a NUL behind it (not counted). */
struct str arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3) MUST_USE;

#define arena_new(a, type) ((type *)arena_zalloc((a), sizeof(type)))

/*
 * Makes room for element number n of an array that holds n elements and has room for `cap`; they are
 * copied, the old place is left. `cap` must be wide enough for twice what it is.
 */
#define arena_grow(a, array, n, cap)                                                  \
	do {                                                                          \
		if ((n) >= (cap)) {                                                   \
			size_t cap_ = (cap) ? 2 * (size_t)(cap) : 16;                 \
			void *p_ = arena_alloc((a), cap_ * sizeof *(array));          \
			if (cap)                                                      \
				memcpy(p_, (array), (size_t)(cap) * sizeof *(array)); \
			(array) = p_;                                                 \
			(cap) = (__typeof__(cap))cap_;                                \
		}                                                                     \
	} while (0)

/* From time to time: frees spare blocks that were not needed lately. Returns how many. */
size_t arena_settle(void);
/* Empties the worker's list of spare blocks: at exit, and for tests that count memory. */
void arena_drop_spares(void);
