/*
 * loop.h - one worker's epoll loop: events, ready streams, the exchange queue, deferred work, graves.
 *
 * Knows file descriptors and callbacks, nothing of what they carry. There is one loop a process, reached
 * through the worker handle W, the only mutable global beside the log.
 *
 * A turn: wait; read the clock; event callbacks (they only note readiness); timers; then, until nothing
 * is left or all that is left has had its share of this turn: ready streams, the exchange queue, deferred
 * work (flushing what connections gathered). Then hooks (access log) and graves. What was cut short stays
 * queued, and the next wait does not sleep.
 */
#pragma once

#include "core/list.h"
#include <sys/epoll.h>

struct loop;
extern struct loop *W;

/*
 * A file descriptor in the epoll set. `ready` gets the EPOLL* bits and must not call verbs, only note and
 * queue.
 */
struct event {
	int fd;
	void (*ready)(struct event *ev, uint32_t bits);
};

/* Work for later in this turn, once, however often it is posted. */
struct work {
	struct list node;
	void (*run)(struct work *w);
};

/* Memory that is returned after the turn (two-step death). Embedded in what dies; `bury` frees it. */
struct grave {
	struct grave *next;
	void (*bury)(struct grave *g);
};

/* A callback at the end of every turn, for as long as it is linked. */
struct loop_hook {
	struct list node;
	void (*run)(struct loop_hook *h);
};

/* Makes W. One a process at a time. Returns 0, or -errno when epoll cannot be had. */
int loop_open(void) MUST_USE;
/* Runs graves, frees W. All events, timers and work must be gone (BUG_ON otherwise). */
void loop_close(void);

/* One turn; waits at most max_wait_ms (-1: as long as it takes). */
void loop_turn(int max_wait_ms);
/* Turns until loop_stop. */
void loop_run(void);
void loop_stop(void);

/* Monotonic milliseconds, read once a turn; never 0. */
uint64_t loop_now_ms(void);
/* Wall clock seconds, read once a turn. */
int64_t loop_wall_s(void);
/* Monotonic microseconds, read from the clock now: for measured times only. */
uint64_t loop_clock_us(void);
/* Number of the turn, for per-turn budgets. */
uint64_t loop_turn_number(void);

/*
 * Registers fd for `bits` (EPOLL*; edge-triggered or not as the bits say). Returns 0 or -errno (ENOSPC,
 * ENOMEM).
 */
int loop_add(struct event *ev, uint32_t bits) MUST_USE;
/*
 * Takes the fd out of the set; the fd stays open. Events of it that were already fetched this turn are
 * not delivered.
 */
void loop_del(struct event *ev);

/* Queues w behind the exchange queue of this turn, unless it is queued. */
void loop_post(struct work *w);
/* Queues w for the next turn, which then does not sleep. */
void loop_post_next(struct work *w);
static inline void work_init(struct work *w, void (*run)(struct work *w))
{
	list_init(&w->node);
	w->run = run;
}
static inline void work_cancel(struct work *w)
{
	list_del(&w->node);
}
static inline bool work_is_posted(const struct work *w)
{
	return !list_empty(&w->node);
}

void loop_bury(struct grave *g, void (*bury)(struct grave *g));

void loop_hook_add(struct loop_hook *h, void (*run)(struct loop_hook *h));
static inline void loop_hook_del(struct loop_hook *h)
{
	list_del(&h->node);
}

/*
 * A scratch area shared by all connections of the worker, for one read and its processing: void when the
 * callback returns. `rest` bytes kept from the last read are copied to its front, so that a line is
 * always contiguous.
 */
enum { LOOP_SCRATCH_BYTES = 256 * 1024 };
char *loop_scratch(void);
/*
 * The same inside the kernel, for bytes that go from socket to socket: a pipe, to read from and to write to,
 * that holds at most LOOP_SCRATCH_BYTES and is left empty. NULL while there is no descriptor for it.
 */
const int *loop_pipe(void);
