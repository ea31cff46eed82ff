/*
 * timer.h - one-shot timers of the worker's loop, embedded in what they guard.
 *
 * A timer that is set again to a later time is only marked; it is moved when its old place comes up. So a
 * keep-alive timer that is pushed back with every request costs a store. Resolution is the loop's clock:
 * one millisecond, read once a turn.
 */
#pragma once

#include "core/base.h"

struct timer {
	void (*expired)(struct timer *t);
	uint64_t due_ms;  /* when it is to expire; 0: not set */
	uint64_t slot_ms; /* key in the heap; <= due_ms, as a later time is only marked */
	uint32_t index;   /* place in the heap, 1-based; 0: not in it */
};

static inline void timer_init(struct timer *t, void (*expired)(struct timer *t))
{
	*t = (struct timer){ .expired = expired };
}

/*
 * Sets or moves: expires once, after_ms from the turn's clock; with 0 the next time that timers are run
 * (never within this run: a callback that sets 0 is called again one millisecond later). Never calls
 * back itself.
 */
void timer_set(struct timer *t, uint64_t after_ms);
/* Unsets. Harmless when not set. Must be called before the timer's memory goes. */
void timer_stop(struct timer *t);

static inline bool timer_is_set(const struct timer *t)
{
	return t->due_ms != 0;
}

/* ---- for the loop ---- */

/* Calls what is due. A callback may set and stop any timer, and free its own. */
void timer_run(void);
/*
 * How long to sleep at most: until the next timer, or until a moved one must be looked at; -1: none is
 * set.
 */
int timer_wait_ms(void);
/* Returns the heap's memory. No timer may be set. */
void timer_close(void);
