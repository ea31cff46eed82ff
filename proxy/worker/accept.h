/*
 * accept.h - a worker's listening sockets and the connections that came in by them.
 *
 * From accept(2) to the point where a protocol's connection (h1s) has taken over the stream: which listener
 * it belongs to, the limits of the machine, the TLS handshake, plain HTTP on a TLS port. Afterwards it is
 * that connection's host: it knows where it came from, and ends it when its listener or the worker goes.
 * Knows the site; not routing, not requests. Called by the worker.
 */
#pragma once

#include "core/loop.h"
#include "core/msg.h"
#include "core/timer.h"
#include "proxy/worker/admit.h"
#include "proxy/worker/site.h"

struct accept {
	struct count *count;
	struct list sockets, doors;
	struct list conns;        /* all connections, of whatever door */
	struct loop_hook hook;
	struct timer again;       /* when to look whether connections can be taken again */
	uint64_t again_ms;
	uint64_t fds_until_ms;    /* out of descriptors: not before */
	struct admit admit;
	uint64_t generation;      /* whose rows count */
	size_t nconns;
	uint64_t taken;           /* connections, ever */
	bool recheck;             /* something changed that decides whether to take connections */
	bool held;                /* no connections for the moment */
	bool draining;
};

/* count is borrowed. */
void accept_init(struct accept *a, struct count *count);
/* All sockets and connections must be gone. */
void accept_fini(struct accept *a);

/* A listening socket, owned from here on; taken from once it has rows. False: known already. */
bool accept_add_socket(struct accept *a, uint32_t id, int fd) MUST_USE;
bool accept_remove_socket(struct accept *a, uint32_t id) MUST_USE;
/* Connections on the socket with that local address belong to that listener. False: no such socket. */
bool accept_add_row(struct accept *a, const struct msg_address *m, struct str listener) MUST_USE;

/*
 * Swaps s in (site_swap), and the rows of its generation. Connections of a listener that it does not have are
 * drained, on the site they had.
 */
void accept_commit(struct accept *a, uint64_t generation, struct site *s);
/* Forgets rows that were added for it. */
void accept_abort(struct accept *a, uint64_t generation);

/* Takes what has already been queued by the kernel, closes all listening sockets, drains all connections. */
void accept_drain(struct accept *a);
/* Ends every connection now. */
void accept_cut(struct accept *a);
