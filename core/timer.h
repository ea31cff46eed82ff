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
	uint64_t slot_ms; /* key in the heap, <= due_ms */
	uint32_t index;   /* place in the heap, 1-based; 0: not in it */
};

static inline void timer_init(struct timer *t, void (*expired)(struct timer *t))
{
	*t = (struct timer){ .expired = expired };
}

/* Sets or moves: expires once, after_ms from the turn's clock. after_ms of 0 expires in the next turn. */
void timer_set(struct timer *t, uint64_t after_ms);
/* Unsets. Harmless when not set. Must be called before the timer's memory goes. */
void timer_stop(struct timer *t);

static inline bool timer_is_set(const struct timer *t)
{
	return t->due_ms != 0;
}

/* For the loop: calls what is due; and milliseconds until the next one, -1 when there is none. */
void timer_run(void);
int timer_wait_ms(void);
