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
#include "core/outage.h"
#include "core/target.h"

struct up_target;
struct tls_client;

struct up_limits {
	uint64_t connections;      /* `upstream-connections`: beyond it requests wait their turn */
	uint64_t idle_connections; /* `upstream-idle-connections` */
	uint64_t keepalive_ms;     /* `upstream-keepalive` */
};

/*
 * Once in a worker: where it is kept which targets have ever answered, for all workers. Borrowed for as long
 * as there are targets; NULL: each worker knows its own.
 */
void up_share(struct outage_names *names);

/*
 * Finds or makes this worker's target by its name ("unix:/run/app.sock", "127.0.0.1:80") and by how TLS is
 * spoken to it (NULL: it is not); counted. Its pool and health live on over configurations as long as
 * somebody holds it: the name says where it is. The limits of the newest configuration hold. Name and place
 * are copied, tls is held.
 */
struct up_target *up_target_get(struct str name, const struct place_spec *at, const struct up_limits *limits,
				struct tls_client *tls) MUST_USE;
/* Gives it back. The last one closes its idle connections; those in use go on. */
void up_target_put(struct up_target *t);
/* Terminated; void when the target is given back. */
const char *up_target_name(const struct up_target *t);

/*
 * Of this worker, since the target was made: counters that only grow. Times are in microseconds and from the
 * request's beginning, but for the first, which is without the wait.
 * Columns: field, what it counts.
 */
#define UP_COUNTER_TABLE(X)                                                                                  \
	X(requests, "requests given to it, each once")                                                       \
	X(connects, "connections made")                                                                      \
	X(connect_us, "time that making them took, in all")                                                  \
	X(handshakes, "TLS handshakes done")                                        \
	X(resumed, "of them, with a session from before")                           \
	X(failures, "connections that could not be made")                                                    \
	X(reuses, "requests on a kept connection")                                                           \
	X(again, "requests that were sent or dialled for once more")                                         \
	X(waited, "requests let through after waiting for their turn or its return")                         \
	X(queue_us, "time that they waited, in all")                                                         \
	X(answers, "answers begun")                                                                          \
	X(first_byte_us, "time to their first byte, in all")                                                 \
	X(whole, "answers read to their end")                                                                \
	X(total_us, "time to that end, in all")                                                              \
	X(lost, "tries that brought no whole answer, through its fault; \"again\" has those made good")

/* The longest of each kind. */
#define UP_MAXIMUM_TABLE(X)                                                                                  \
	X(connect_max_us, "longest time to connect")                                                         \
	X(queue_max_us, "longest wait")                                                                      \
	X(first_byte_max_us, "longest time to a first byte")                                                 \
	X(total_max_us, "longest time to an answer's end")

struct up_stats {
#define X(field, what) uint64_t field;
	UP_COUNTER_TABLE(X)
	UP_MAXIMUM_TABLE(X)
#undef X
};
/* Borrowed as long as t is held. */
const struct up_stats *up_target_stats(const struct up_target *t);

/*
 * Before a line about a request that failed there for `why`: false in an outage, and when there is no
 * understanding over TLS, once there were many of late: all would say the same. *unsaid were not before it.
 */
bool up_target_may_tell(struct up_target *t, enum err why, uint64_t *unsaid) MUST_USE;

/* How it stands at this moment, in this worker. */
struct up_now {
	size_t in_use, idle; /* connections: those being dialled are in use */
	size_t queued;	     /* requests that wait for one, or for its return */
	bool is_down;
	enum err why;	   /* when it is down */
	uint64_t since_ms; /* of loop_now_ms: down, or up; 0: nobody has tried yet */
};
struct up_now up_target_now(const struct up_target *t);
/*
 * All targets of this worker, one after the other: NULL begins, and ends. Borrowed until the loop is next
 * entered; those of an earlier configuration are among them as long as they are in use, and so may one be of
 * the same name to which TLS was spoken otherwise.
 */
const struct up_target *up_target_next(const struct up_target *t);

/*
 * Becomes the up end of x (x_attach): a pooled connection or a new one, after waiting for its turn or for the
 * end of an outage where need be; the caller holds t for as long as x lives, whose facts borrow its name.
 * Sends x->request_up, with the time-outs of x->timeouts and the limits of x->limits as they are then. Never
 * fails at once: a failure is an abort. May be called again for the same exchange after an abort came back,
 * when up_may_retry said so: then it is a new connection.
 */
void up_open(struct exchange *x, struct up_target *t);
/*
 * After an abort for `why`: true when the request should be sent again, by up_open. The connection was lost
 * and nothing of the request had been written to it; or the request is safe, no byte of its body was taken,
 * no byte of an answer came, and it had been sent only this once. All within timeouts.ride-out from the
 * request's beginning. False for a target that cannot be reached: it was waited for already.
 */
bool up_may_retry(const struct exchange *x, enum err why);

/* Closes all idle connections, and keeps none of the targets there are from now on: at exit and on drain. */
void up_drain(void);
size_t up_count(void); /* live upstream connections, idle ones and those being dialled included */
