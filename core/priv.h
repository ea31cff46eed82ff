/*
 * priv.h - the worker handle's inside, shared by loop, stream and exchange only.
 */
#pragma once

#include "core/exchange.h"
#include "core/stream.h"
#include <sys/epoll.h>

enum { LOOP_EVENTS = 256 };

struct loop {
	int ep;
	bool stopping;
	uint64_t now_ms, turn;
	int64_t wall_s;

	/* what epoll_wait brought, while it is gone through: loop_del strikes out what is still to come */
	struct epoll_event events[LOOP_EVENTS];
	int nevents, at_event;
	size_t registered;

	struct list ready, ready_next; /* streams */
	struct list works, works_next;
	struct list hooks;
	struct grave *graves;
	size_t streams;

	const struct x_router *router;
	struct list x_queue, x_held, x_live;
	size_t x_count, x_tunnels;

	char *scratch;
	int pipe[2]; /* -1 before the first use */
};

/* Calls on_ready of one stream, and queues it for the next turn when it still wants what it can. */
void stream_dispatch(struct stream *s);
void x_loop_init(void);
