/*
 * conn.h - one client connection, from the accepted stream to the protocol that takes it over, and as that
 * protocol's host afterwards.
 *
 * Shakes hands, looks at what was agreed, opens the protocol's connection or the raw one; answers plain HTTP
 * on a TLS port; tells each exchange where it came in. What it speaks is greet's to find out. Knows site,
 * route, TLS and the protocols; not listening sockets, counters, balance. Made by accept, which it tells of
 * its end.
 */
#pragma once

#include "core/host.h"
#include "core/stream.h"
#include "core/timer.h"
#include "proxy/worker/admit.h"
#include "proxy/worker/raw.h"
#include "proxy/worker/site.h"

struct accept;
struct tls_listener;
struct h1s;
struct h2c;

/*
 * A listener of the configuration, by name. It outlives the configuration that named it as long as there are
 * connections that came in by it.
 */
struct door {
	struct list node;    /* accept.doors */
	struct list conns;
	struct accept *accept;
	struct admit *admit; /* accept's */
	struct site *last;   /* the last site that had it; NULL: the current one has */
	unsigned rows;       /* of listening sockets that lead here */
	uint64_t generation; /* accept's: the newest that has such a row */
	bool draining;       /* its connections are to end */
	struct str name;
	char bytes[];
};

/* What greet knows of a connection. */
struct greet {
	struct list node;   /* admit.undecided, while its protocol is not known */
	uint64_t since_ms;
	bool header_due;    /* a PROXY header comes first */
	bool begun;         /* the first bytes are there, and do not tell the protocol yet */
};

struct conn {
	struct host host;
	struct list node;       /* door.conns */
	struct list all_node;   /* accept.conns */
	struct door *door;
	void (*ended)(struct conn *c);
	struct stream *stream;  /* ours until the protocol's connection has it */
	struct h1s *h1;         /* one of these once the protocol is known */
	struct h2c *h2;
	struct raw *raw;
	struct tls_listener *tls;
	struct timer timer;
	uint64_t address_hash;  /* of admit_address; 0: it is not counted */
	struct greet greet;
	struct site_conn facts;
};

/* Takes over s. The caller fills facts and links it. `ended` unlinks; the memory goes right after it. */
struct conn *conn_new(struct stream *s, struct door *d, void (*ended)(struct conn *c)) MUST_USE;
/* Begins to serve it. */
void conn_begin(struct conn *c);
/* Ends after what is in progress; a connection without a request yet gets one answered. */
void conn_drain(struct conn *c);
/* Ends now. */
void conn_cut(struct conn *c);

/* ---- for greet: each of these may end the connection at once ---- */

/* The site that it is served by. */
struct site *conn_site(const struct conn *c);
/* TLS is what is spoken. */
void conn_shake(struct conn *c);
/* Plain HTTP is. */
void conn_open_plain(struct conn *c, bool is_h2);
/* It is, where TLS should be: says so. */
void conn_refuse_plain(struct conn *c);
/* Something else is, which is the listener's target's to understand. */
void conn_open_raw(struct conn *c);
/* The end. */
void conn_end(struct conn *c);
