/*
 * count.h - what all workers share: counters, for limits that hold for the machine, and which upstreams have
 * ever answered.
 *
 * One sealed memory file; a column for each worker, which only that worker writes and the parent clears
 * when it dies, so that no crash leaves a connection counted. Knows numbers, not sockets. Called by the
 * parent (make, columns) and by a worker's accept.
 */
#pragma once

#include "core/outage.h"

struct count;
struct rate_table;

/* Workers that can live at once, draining ones included. */
enum { COUNT_COLUMNS = 256 };

/* ---- parent ---- */

/* NULL with errno. */
struct count *count_make(void) MUST_USE;
/* To be passed to workers; borrowed. */
int count_fd(const struct count *c);
/* A column that is free, now taken; -1: none is. */
int count_take_column(struct count *c) MUST_USE;
/* Its worker is gone: nothing it counted is left. */
void count_clear_column(struct count *c, unsigned column);
void count_free(struct count *c);

/* ---- worker ---- */

/* Maps the file that fd is (which stays the caller's). NULL: not such a file, or no such column. */
struct count *count_open(int fd, unsigned column) MUST_USE;

/* One connection more or less of this worker; then of this address. */
void count_add(struct count *c);
void count_sub(struct count *c);
unsigned count_mine(const struct count *c);

/* One more or less of this worker's whose protocol is not known yet. */
void count_undecided_add(struct count *c);
void count_undecided_sub(struct count *c);

/* What this worker does about new connections. */
enum count_state {
	COUNT_LEAVES, /* drains, or has not begun */
	COUNT_WAITS,  /* takes none for the moment */
	COUNT_TAKES,
};
void count_set_state(struct count *c, enum count_state s);

struct count_sum {
	unsigned connections; /* of the machine */
	unsigned undecided;   /* of them */
	unsigned shared;      /* of them, held by workers that stay */
	unsigned workers;     /* that stay: COUNT_WAITS or COUNT_TAKES */
	unsigned takers;      /* COUNT_TAKES, without this one */
};
struct count_sum count_sum(const struct count *c);

/*
 * Connections of one address, by any hash of it. add returns how many there are now on the machine, this
 * one included; it is not counted, and 0 is returned, where the table's place for it is full.
 */
unsigned count_address_add(struct count *c, uint64_t hash);
void count_address_sub(struct count *c, uint64_t hash);
/* A random number, the same in all workers: so that nobody can choose addresses that collide. */
uint64_t count_secret(const struct count *c);
/* Borrowed until count_free. */
struct outage_names *count_names(struct count *c);
struct rate_table *count_rates(struct count *c);
