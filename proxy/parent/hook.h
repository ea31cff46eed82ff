/*
 * hook.h - programs of the user's that publish records for dns-01 (RFC 8555 section 8.4): `HOOK
 * add|remove NAME VALUE`. Part of the parent, which starts them outside any sandbox, as the user of the
 * acme process and without a privilege.
 */
#pragma once

#include "core/loop.h"
#include "core/timer.h"
#include "proxy/privilege.h"

/* why: NULL when it ended with status 0; otherwise void when this returns. */
typedef void hook_done(void *arg, const char *why);

/* Those that run, and those that wait until fewer do. */
struct hooks {
	struct list running, waiting;
	unsigned nrunning;
	struct work start;
	const struct priv_user *user; /* whom they run as; borrowed, and read when one starts */
};

void hook_init(struct hooks *all, const struct priv_user *user);
/*
 * Starts one, soon; what it prints is logged, line by line. `done` is called once, from the loop, when it
 * has ended, cannot be started, or its time is over. Returns a word for hook_forget.
 */
struct hook *hook_start(struct hooks *all, struct str program, const char *verb, struct str name,
			struct str value, hook_done *done, void *arg);
/* It may go on, but nobody waits for it. */
void hook_forget(struct hook *h);
/* A process has been reaped: was it one of them? */
bool hook_reaped(struct hooks *all, int pid, int status);
/* None is waited for any more. */
void hook_fini(struct hooks *all);
