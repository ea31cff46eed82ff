/*
 * route.h - the router end: every exchange's up end at its beginning, and again when its up end fails early.
 *
 * Chooses vhost and mount, makes the head that goes up, attaches an upstream or a page, decides about
 * sending again, changes responses on their way down, writes the access log line. Knows the site,
 * upstreams and pages; not how requests come in. Registered by the worker; accept tells it where an
 * exchange comes from.
 */
#pragma once

#include "core/exchange.h"
#include "proxy/worker/site.h"

/* Once in a worker, before the first connection: x_set_router. */
void route_init(void);

/*
 * For h1s_host.begin: where this exchange came in by. Takes a reference to s, fills x->facts' connection
 * part, x->limits and x->timeouts. s is site_current(); for a connection of a listener that the current
 * site no longer has (it drains), the last one that had it, which accept keeps with that listener.
 */
void route_begin(struct exchange *x, struct site *s, const struct site_conn *conn);

/*
 * The whole answer to plain HTTP on a TLS port that does not allow it: static bytes, to be written as
 * they are before closing.
 */
struct str route_plain_on_tls(void);
