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

/*
 * Starts one; what it prints is logged, line by line. `done` is called once, from the loop, when it has
 * ended or its time is over. Returns a word for hook_forget, or NULL with errno.
 */
struct hook *hook_start(struct list *hooks, const struct priv_user *user, struct str program,
			const char *verb, struct str name, struct str value, hook_done *done,
			void *arg) MUST_USE;
/* It may go on, but nobody waits for it. */
void hook_forget(struct hook *h);
/* A process has been reaped: was it one of them? */
bool hook_reaped(struct list *hooks, int pid, int status);
/* None is waited for any more. */
void hook_fini(struct list *hooks);
