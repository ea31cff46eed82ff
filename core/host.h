/*
 * host.h - what proxy tells a server connection, whatever protocol it speaks.
 *
 * Embedded in proxy's own object of the connection, which outlives the connection and learns of its end
 * by `closed`. Called by h1 and h2 connections; no verbs, no streams in here.
 */
#pragma once

#include "core/exchange.h"

struct host {
	const struct host_ops *ops;
	bool no_websocket_over_h2; /* set before an h2 connection is opened */
};

struct host_ops {
	/* Before a route is known. Borrowed until the loop's turn ends: ask again with each request. */
	const struct limits *(*limits)(struct host *h);
	const struct timeouts *(*timeouts)(struct host *h);
	/* A new exchange: fills the connection's part of its facts, gives it its configuration. */
	void (*begin)(struct host *h, struct exchange *x);
	/* The connection is gone, for this reason (ERR_OK: in order). Called once; h may be freed in it. */
	void (*closed)(struct host *h, enum err why);
	/* True while the worker drains: every answer says that it is the last. */
	bool (*is_draining)(struct host *h);
};
