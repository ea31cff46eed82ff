/*
 * alog.h - one access log: Apache's combined format or JSON, a line for each finished exchange, never
 * blocking.
 *
 * Lines are gathered and written as whole lines once a turn. What the file does not take is dropped and
 * counted, so a full disk or a stuck reader of a pipe costs lines, not service. Descriptors come from the
 * parent. Knows exchanges' facts; not vhosts. Called by site (which one for which vhost) and route (when).
 */
#pragma once

#include "core/exchange.h"

struct alog;

/*
 * Without a descriptor: lines are dropped, uncounted. Counted: an exchange may outlive the site that
 * named it.
 */
struct alog *alog_new(void) MUST_USE;
struct alog *alog_get(struct alog *l);
/* The last one writes what is gathered and closes the descriptor. */
void alog_put(struct alog *l);

/*
 * Writes what is gathered to the old descriptor, closes it, and goes on with fd, owned from here on; -1:
 * none. fd appends (O_APPEND). What is no regular file is made non-blocking.
 */
void alog_set_fd(struct alog *l, int fd);

struct alog_about {
	struct str client; /* its address as text */
	struct str vhost;  /* its name; empty: nobody knows */
	struct str id;     /* that an error page told; empty: none */
	bool json;         /* one object a line, instead of the combined format */
};
/* Gathers the line of a finished exchange. */
void alog_line(struct alog *l, const struct exchange *x, const struct alog_about *about);

/* Lines lost so far. */
uint64_t alog_dropped(const struct alog *l);
