/*
 * heir.h - this parent was started by another one, to take its place: the other side of upgrade.h. Part of
 * the parent.
 *
 * It starts as any parent does, but with the other's listening sockets, ticket keys and what it knows of
 * targets. Until it is told that all is its, nothing that outlives it is touched: socket files, the file with
 * the process id, what the service manager knows. One that ends before has never been there.
 */
#pragma once

#include "core/loop.h"

struct parent;

struct heir {
	struct event channel; /* to the other; fd -1: there is none, or it is over */
	struct work hear;
	int errors;           /* what standard error is to be; -1: what it is */
	bool waits;           /* to be told that all is its */
	bool serves;          /* and has said so */
	char *notify_path;
	uint64_t watchdog_us;
};

/* Reads the environment. False: it is not understood, which is told. */
bool heir_open(struct parent *p) MUST_USE;
/* The loop runs. */
void heir_begin(struct parent *p);
void heir_close(struct parent *p);

static inline bool heir_is_waiting(const struct heir *h)
{
	return h->waits;
}

/* The first configuration is committed. */
void heir_settle(struct parent *p);
/* It is served. Once the other knows, parent_begin is called. */
void heir_serves(struct parent *p);
/* Lines for the other to say. False: there is none, or no more. */
bool heir_tell(struct parent *p, int level, const char *text);
