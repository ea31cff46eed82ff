/*
 * watch.h - files that the configuration names and that somebody replaces: they are taken up by
 * themselves. Part of the parent.
 *
 * inotify says that something in a directory has changed; what counts is whether the bytes are others than
 * those that are served. Then what is served is loaded once more, with the files as they are now, the same
 * way as any configuration: a trial finds out whether a certificate and its key belong together. While
 * they do not, the other half may be on its way: that is told only when it lasts. The configuration's own
 * files are not looked at; taking them up is the operator's decision.
 */
#pragma once

#include "core/arena.h"
#include "core/loop.h"
#include "core/timer.h"

struct parent;

/* An entry of a directory, on the way to a file. */
struct watch_entry {
	int wd;
	const char *name;
};

struct watch {
	struct event ev; /* fd 0: there is none */
	struct work read;
	struct timer timer;
	struct arena arena; /* of the names */
	struct watch_entry *entries;
	size_t n, cap;
	uint64_t since_ms;   /* something may be new; 0: nothing is */
	uint64_t refused_ms; /* what is there cannot be served; 0: it can */
	bool is_limited;     /* told that not everything can be watched */
};

void watch_init(struct parent *p);
/* A configuration is committed: its files from now on. */
void watch_settle(struct parent *p);
/* What was new in the files cannot be served. */
void watch_refused(struct parent *p, bool was_told);
void watch_close(struct parent *p);
