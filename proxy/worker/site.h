/*
 * site.h - one configuration as a worker runs it: TLS contexts, targets, access logs, look-up tables.
 *
 * Made from the immutable struct config beside the one in use, then swapped in. Counted: an exchange keeps
 * the site it began with to its end, the next request on a live connection takes the current one; a
 * connection itself only keeps facts (struct site_conn). Knows nothing of exchanges, heads or sockets;
 * route.h does the rest. Called by worker and trial (make, swap), accept (what a new connection needs) and
 * route.
 *
 * The life of a reload in a worker:
 *
 *	s = site_open(config)                        takes over the caller's reference
 *	site_set_log(s, i, fd) for each conf.logs    before the commit, or whenever logs are reopened
 *	site_build(s, 3000, report) once a turn until it returns 1 (READY) or -1 (tell the report, site_put)
 *	COMMIT: site_swap(s)                         ABORT: site_put(s)
 *	then accept asks site_listener(site_current(), name) for each of its listening sockets
 */
#pragma once

#include "conf/report.h"
#include "core/target.h"

struct site;
struct site_listener;
struct site_vhost;
struct alog;
struct raw_target;
struct tables;
struct tls_listener;
struct conf_target;
struct place_spec;

/* Where a target is. False: nowhere. */
bool site_place(const struct conf_target *t, struct place_spec *out) MUST_USE;

/* ---- making and changing ---- */

/* Nothing is built yet. Takes over one reference to c. The caller owns the result: site_put. */
struct site *site_open(struct config *c) MUST_USE;
/*
 * Goes on building for about max_us (0: until done). Returns 1: ready, 0: call again next turn, -1: it
 * cannot be run; then only site_put is left, and r, the same in all calls, has all that is wrong.
 */
int site_build(struct site *s, uint64_t max_us, struct conf_report *r) MUST_USE;
/* Both at once. Takes over c, also on failure (NULL). */
struct site *site_new(struct config *c, struct conf_report *r) MUST_USE;

struct site *site_get(struct site *s);
/* The last one frees it: contexts, targets, logs and the configuration are given back. */
void site_put(struct site *s);
/* Large ones are freed a few milliseconds a turn; this frees the rest of them now. */
void site_finish(void);

/* What new requests and connections use; borrowed, NULL before the first swap. */
struct site *site_current(void);
/* COMMIT: takes over the caller's reference to s, gives the old one back. NULL at exit. */
void site_swap(struct site *s);

/* Borrowed as long as s. */
struct config *site_config(const struct site *s);
/*
 * For the trial and for `check`: adds to r all that is wrong with c, down to its TLS contexts, and what will
 * not please (expired certificates ...). Takes over c, which may have errors: then r has some already.
 */
void site_try(struct config *c, struct conf_report *r);

/*
 * The descriptor of config.logs[index], now owned here; -1: lines are dropped. A log of the same path in the
 * site in use is one with it, so that after a reopening nobody writes to the old file.
 */
void site_set_log(struct site *s, size_t index, int fd);

/* ---- for accept ---- */

/*
 * What a connection knows about itself. Filled by accept with site_conn_init, then when TLS is established;
 * lives as long as the connection, and may not be moved. Strings are borrowed for that long.
 */
struct site_conn {
	struct str listener;          /* name of the listener it came in by */
	union addr_end peer;          /* the client: after a PROXY header, the one named there */
	union addr_end local;
	char peer_host[48];           /* as text, for logs and X-Forwarded-For */
	bool tls;
	uint16_t tls_version;
	const char *tls_cipher;       /* static */
	struct str sni;               /* lower case; empty: none was sent */
	struct str client_ca;         /* tls_facts.client_ca */
	bool to_https;                /* plain HTTP on a TLS port: requests are redirected */
};
void site_conn_init(struct site_conn *conn, struct str listener, const struct sockaddr *peer,
		    socklen_t peer_len, const struct sockaddr *local, socklen_t local_len);

/* By name; NULL when this site has none of it. Borrowed as long as s. */
struct site_listener *site_listener(const struct site *s, struct str name);
bool site_listener_is_tls(const struct site_listener *l);
/* What tls_accept wants; borrowed as long as the site. NULL without TLS. */
struct tls_listener *site_listener_tls(const struct site_listener *l);
/* What it does with connections that speak something else. */
const struct conf_raw *site_listener_raw(const struct site_listener *l);
/* Where raw ones go; NULL: nowhere. */
struct raw_target *site_listener_onward(const struct site_listener *l);

/*
 * Limits and timeouts before a route is known: those of the vhost that the SNI names, else of the listener's
 * first; of the global part when the listener is gone. Borrowed as long as s: ask anew for each request.
 */
const struct limits *site_limits(const struct site *s, const struct site_conn *conn);
const struct timeouts *site_timeouts(const struct site *s, const struct site_conn *conn);

/* ---- for survey: borrowed as long as s ---- */

const struct tables *site_tables(const struct site *s);
/* Of config.logs[index]. */
const struct alog *site_log(const struct site *s, size_t index);

/* ---- for route ---- */

/* The vhost before a route is known, as site_limits has it; NULL when the listener is gone. */
struct site_vhost *site_vhost(const struct site *s, const struct site_conn *conn);
/* The date of this second for a Date field (RFC 9110 section 5.6.7); void in the next one. */
struct str site_date(struct site *s);
/* The style sheet that error-css names; absent: none. */
struct str site_style(const struct site *s);
/* For all passwords that are checked here; borrowed as long as s. */
struct auth_allowance *site_allowance(struct site *s);
