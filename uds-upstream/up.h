/*
 * up.h - upstreams: one target's pool of kept-alive connections, and the h1 client connection that is the
 * up end of an exchange.
 *
 * Knows targets, streams, the h1 wire functions and the treaty; not routing, not what the request came in
 * by. Called by proxy's router (up_open), which gets every failure before the response head back as an
 * abort.
 */
#pragma once

#include "core/exchange.h"
#include "core/target.h"

struct up_target;

struct up_limits {
	uint64_t connections;      /* `upstream-connections` */
	uint64_t idle_connections; /* `upstream-idle-connections` */
	uint64_t connect_ms, keepalive_ms;
};

/*
 * Finds or makes this worker's target by its name ("unix:/run/app.sock", "127.0.0.1:80"); counted. Its
 * pool and health live on over configurations as long as somebody holds it. The limits of the newest
 * configuration hold.
 */
struct up_target *up_target_get(struct str name, const struct addr *address, const struct up_limits *limits) MUST_USE;
/* Gives it back. The last one closes its idle connections; those in use go on. */
void up_target_put(struct up_target *t);
const char *up_target_name(const struct up_target *t);

/*
 * Becomes the up end of x (x_attach): a pooled connection or a new one. May be called again for the same
 * exchange after an abort came back, when up_may_retry said so. Sends x->request_up. Never fails at once:
 * a failure is an abort.
 */
void up_open(struct exchange *x, struct up_target *t);
/*
 * After an abort for `why`: true when the request may be sent again: nothing of it was written, or it is
 * safe, had no body byte taken, got no byte of an answer, and has been sent only once.
 */
bool up_may_retry(const struct exchange *x, enum err why);

/* Closes all idle connections; targets that nobody holds go: at exit and on drain. */
void up_drain(void);
size_t up_count(void); /* live upstream connections, idle ones included */
