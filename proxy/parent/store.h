/*
 * store.h - the directory that outlives the process: who has it, and how files in it are written. Part of the
 * parent.
 *
 * Knows files, not what is in them. A file that cannot be written is kept in memory, counts as written
 * from then on, and is tried again until it is.
 */
#pragma once

#include "conf/bundle.h"
#include "core/list.h"
#include "core/timer.h"
#include <limits.h>

struct store {
	int lock;            /* the directory, locked; -1: none is in use */
	char dir[PATH_MAX];
	struct list kept;    /* struct store_kept */
	size_t kept_bytes;
	struct timer retry;
	uint64_t delay_ms;
};

void store_init(struct store *s);
/* Gives the lock up. What could not be written is lost, and told. */
void store_fini(struct store *s);

/*
 * Makes the directory of a configuration that needs one and locks it; never waits. False: r says why.
 * Harmless when it is in use already.
 */
bool store_open(struct store *s, const struct config *c, struct conf_report *r) MUST_USE;

/*
 * For a new binary that takes over: the locked directory, borrowed (-1: none), and the other end of that. The
 * lock belongs to the open file, so both may have it, and it lasts until the last of them closes it.
 */
int store_lock_fd(const struct store *s);
void store_take_lock(struct store *s, int fd);

/*
 * Replaces a file as a whole, or removes it when there are no bytes. Returns 0 or an errno: then the
 * bytes are kept, and the error was logged.
 */
int store_write(struct store *s, struct str path, struct str bytes) MUST_USE;
/* What is kept. The array is the caller's (free), what it points to is borrowed until the next write. */
struct conf_record *store_kept(const struct store *s, size_t *n) MUST_USE;
