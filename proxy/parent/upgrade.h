/*
 * upgrade.h - another binary takes this parent's place, without anybody noticing. Part of the parent.
 *
 *	WAITING   a reload is under way: that comes first
 *	STARTED   the new parent has what heir.h lists; both serve as soon as it does
 *	OVER      it has said that it serves, and been told that all is its: what goes on here is finished
 *	ENDING    not wanted any more: it has been told to stop
 *
 * Until OVER nothing has changed here; one that fails, or takes too long, was never there. Reloads that are
 * asked for meanwhile come afterwards, from whoever then serves.
 */
#pragma once

#include "core/loop.h"
#include "core/timer.h"

struct parent;

enum upgrade_phase { UPGRADE_NONE, UPGRADE_WAITING, UPGRADE_STARTED, UPGRADE_OVER, UPGRADE_ENDING };

struct upgrade {
	enum upgrade_phase phase;
	char *path;           /* where a new binary is looked for */
	pid_t pid;            /* of the new parent; 0: none lives */
	struct event channel; /* to it; fd -1: none */
	struct work hear;
	struct timer deadline;
	char *said;           /* by it, so far: for who asked */
	bool reopen;          /* log files: asked for meanwhile */
};

void upgrade_init(struct parent *p);
void upgrade_fini(struct parent *p);

/* SIGUSR2. NULL: it has begun, and how it ends is logged. Else why not, for whoever asked. */
const char *upgrade_start(struct parent *p) MUST_USE;
/* A reload has ended. */
void upgrade_go_on(struct parent *p);
/* This parent is told to stop: so is the new one, unless it has taken over. */
void upgrade_cancel(struct parent *p, bool at_once);
/* The time for that is over. */
void upgrade_kill(struct parent *p);
/* A process of the parent's has ended. False: it was not this one. */
bool upgrade_reaped(struct parent *p, pid_t pid, int status);

/* Is there another parent now that may become the one that counts? */
static inline bool upgrade_is_under_way(const struct upgrade *u)
{
	return u->phase == UPGRADE_STARTED;
}
/* Does another parent count now? */
static inline bool upgrade_is_over(const struct upgrade *u)
{
	return u->phase == UPGRADE_OVER;
}
