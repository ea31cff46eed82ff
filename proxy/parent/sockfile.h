/*
 * sockfile.h - the file of a listening Unix socket: a stale one is replaced, its owner and mode are what
 * `unix-socket-perms` says. Part of the parent.
 *
 * What lies at the path may have been put there by somebody else: no link is followed, and nothing but a
 * socket is touched.
 */
#pragma once

#include "conf/report.h"
#include "core/target.h"

/* Whom the file is to belong to. */
struct sockfile_owner {
	struct str user, group; /* empty: the parent's own */
	unsigned mode;          /* 0: 0600 */
};
static inline struct sockfile_owner sockfile_owner_of(const struct conf_listener *l)
{
	return (struct sockfile_owner){ l->unix_user, l->unix_group, l->unix_mode };
}

/*
 * Binds fd; the file is 0600 and the parent's own until it is given away. Abstract names have no file.
 * Returns 0 or an errno: ENOTSOCK, something else is there; EADDRINUSE, somebody listens.
 */
int sockfile_bind(int fd, const struct addr *a, struct sockfile_owner o) MUST_USE;
/* Owner and mode of a file that is there already. Returns 0 or an errno. */
int sockfile_settle(const struct addr *a, struct sockfile_owner o) MUST_USE;
/* Says so when user or group do not exist. */
void sockfile_check(const struct conf_listener *l, struct conf_report *r);
