/*
 * priv.h - what the files of uds-upstream/ share: a target, and a connection to it.
 *
 * pool.c:      targets; which connections are kept, who gets one
 * queue.c:     who waits for one; while the target is down, too
 * client.c:    a connection's life: verbs, sending, time, its end
 * connect.c:   how a request gets one: kept or new
 * answer.c:    reading what comes back
 * websocket.c: the key and its digest
 */
#pragma once

#include "core/log.h"
#include "h1/h1.h"
#include "tls/client.h"
#include "uds-upstream/up.h"

enum {
	/* Tries of one request, whatever their outcome: a kept connection, then at most two new ones. */
	UP_TRIES_MAX = 3,
	/* Fields of a response head or trailer section; limits.response-head bounds their bytes. */
	UP_RESPONSE_FIELDS_MAX = 1024,
	/*
	 * A client that waits for 100 (Continue) hears it from us after this time: many an upstream
	 * never sends it, and waits for the body (RFC 9110 section 10.1.1).
	 */
	UP_CONTINUE_MS = 1000,
	/* Asked of the kernel at once: what a pipe holds by default. */
	UP_READ_BYTES = 64 * 1024,
	/* Pieces of a pipe in one system call. */
	UP_PIECES = 16,
	/* How often a target that is down is tried for those who wait, and how they are let through. */
	UP_TICK_MS = 25,
	/*
	 * Before a request is sent again, unless the target answers on a newer connection: a process that is
	 * dying closes its connections one by one, and may long have a listener that leads nowhere. A second
	 * loss would be the last.
	 */
	UP_REST_MS = 250,
	/*
	 * Lines in LOG_GATE_MS about requests that fail for one and the same reason, which has lines of its
	 * own: enough to find the number that somebody reads out from his page, unless there are hundreds.
	 */
	UP_LINES_MAX = 20,
	/* As many in a tick need no counting any more. */
	UP_RAMP_MAX = 1024,
};

struct up_target {
	struct list node;    /* among this worker's targets */
	unsigned refs;       /* up_target_get */
	bool draining;       /* keeps nothing any more */
	bool is_local;       /* a Unix socket */
	struct place place;
	struct tls_client *tls; /* NULL: plain */
	struct up_limits limits;
	struct up_stats stats;
	struct list idle;    /* kept connections, the one used last in front */
	struct list waiting; /* requests for which there is none, in order of arrival */
	struct list resting; /* requests that were lost, in the order in which they were */
	size_t nidle;
	size_t nopen;        /* connections that are open or being dialled: what limits.connections bounds */
	size_t nconns;       /* struct up_conn of this target, those without a connection included */
	struct timer expiry; /* of the oldest idle one */
	struct work serve;   /* who waits */
	struct outage outage;
	struct log_gate tls_lines; /* up_conn_tell_tls */
	struct log_gate lines; /* up_target_may_tell */
	uint64_t up_since_ms; /* outside of an outage; 0: nobody has reached it yet */
	bool is_gated;       /* only so many of those who wait may dial: */
	uint64_t passes;     /* until the next tick */
	uint64_t ramp;       /* in a tick, after an outage */
	struct timer tick;
	struct up_conn *probe; /* dials, and nobody else does, while the target is down; NULL: nobody */
	struct grave grave;
	char name[];
};

#define UP_STATES(X) \
	X(IDLE)      /* kept by the target */ \
	X(ATTACHED)  /* up end of an exchange, not yet told the request; may have come with a kept stream */ \
	X(RESTING)   /* it was lost on its way, and is not to be lost again: waits for a sign of life */ \
	X(WAITING)   /* for one of the target's connections to come free, or for its return */ \
	X(DIALLING) \
	X(SECURING)  /* TLS handshake */ \
	X(ASKED)     /* the request is being sent or has been; no final head yet */ \
	X(ANSWERING) /* the response body is being read */ \
	X(TUNNEL)    /* bytes both ways after 101 */ \
	X(CLOSED)

enum up_state {
#define X(name) UP_##name,
	UP_STATES(X)
#undef X
};

/* A connection; and, before it has one and after it has lost it, the end that wants one. */
struct up_conn {
	struct end end;
	struct up_target *target;
	struct list node;      /* idle, waiting or resting */
	struct stream *stream;
	uint64_t address;      /* addr_hash of where it leads to */
	enum up_state state;   /* changed by up_conn_enter alone */
	bool counted;          /* in target->nopen */
	bool reused;           /* the stream has carried a request before this one */
	bool wants_new;        /* no kept stream: the last try was lost on one */
	bool is_held;          /* has waited in an outage */
	bool is_tried;         /* dialling again is not another try */
	bool written;          /* bytes of this request were accepted */
	bool body_told;        /* body_up's END was told, and the trailers before it */
	bool deaf;             /* a write failed: nothing more is sent, but an answer may still come */
	bool awaits_continue;  /* the client holds its body back until it hears 100 */
	bool shut;             /* tunnel: our direction was ended */
	bool read_ended;       /* tunnel: the upstream's direction was */
	uint64_t interims;     /* heads before the final one */
	uint64_t idle_since_ms, waits_since_us, rests_since_ms;
	uint64_t dialled_ms;   /* when its connection was begun */
	uint64_t dial_until_ms;
	struct head *request;  /* as it is written */
	struct head *trailers; /* of the request */
	struct h1_out out;
	struct h1_limits limits;
	struct h1_parser parser;
	struct h1_body body;
	struct buf rest;       /* of a line that is not whole yet */
	struct timer timer;
	struct work flush;
	struct dial dial;
	struct grave grave;
};

/* ---- pool.c ---- */

/* One more duration, in a sum and its maximum. */
static inline void up_stats_add(uint64_t *sum, uint64_t *max, uint64_t us)
{
	*sum += us;
	*max = MAX(*max, us);
}

/* The kept connection that was used last, now ATTACHED; NULL when there is none. */
struct up_conn *up_pool_take(struct up_target *t) MUST_USE;
/* c has done its work and its stream is fit for another request: keeps it if the target may. */
void up_pool_keep(struct up_conn *c);
/* For up_conn_close: c leaves the pool. */
void up_pool_forget(struct up_conn *c);
/* True when one more may be opened; a new connection that must be had may cost the oldest idle one. */
bool up_pool_admits(struct up_target *t, bool instead_of_idle) MUST_USE;
/* c counts, or no longer counts, among the target's open connections. */
void up_pool_count(struct up_conn *c);
void up_pool_uncount(struct up_conn *c);
/* The target's memory goes when nobody holds or uses it. */
void up_target_free_if_unused(struct up_target *t);

/* ---- queue.c ---- */

/* c's request waits its turn. up_conn_connect is called then. */
void up_queue_put(struct up_conn *c);
/* The same for one that is to be sent again, before it waits its turn. */
void up_queue_rest(struct up_conn *c);
/* c gets an answer. */
void up_queue_answered(struct up_conn *c);
/* Nobody waits whom a new request would overtake. */
bool up_queue_is_passed(const struct up_target *t);
/* A connection may have come free, or room for one. */
void up_queue_serve_later(struct up_target *t);
/* c is about to dial: how long it may take. */
uint64_t up_queue_note_dial(struct up_conn *c);
/* That failed. True: c waits for the end of the outage; false: it gets the error. */
bool up_queue_failed(struct up_conn *c, enum err why, const char *detail) MUST_USE;
/* That succeeded. */
void up_queue_connected(struct up_conn *c);
/* For up_conn_close: c leaves the queue. */
void up_queue_forget(struct up_conn *c);
/* For the target. */
void up_queue_serve(struct work *w);
void up_queue_tick(struct timer *timer);

/* ---- client.c ---- */

struct up_conn *up_conn_new(struct up_target *t) MUST_USE;
/* The only place where the state changes; asserts that it may. */
void up_conn_enter(struct up_conn *c, enum up_state s);
/* Sets the time-out that this state has. */
void up_conn_arm(struct up_conn *c);
/* Every byte of the request has been accepted. */
bool up_conn_has_sent(const struct up_conn *c);
/* A direction of a tunnel is over: times the other, or leaves and closes when that is over, too. */
void up_conn_end_tunnel(struct up_conn *c);
/* c has its stream: sends the request. */
void up_conn_begin(struct up_conn *c);
void up_conn_drop_stream(struct up_conn *c);
/* The exchange goes on without this connection, for this reason, which was logged. */
void up_conn_give_up(struct up_conn *c, enum err why);
/* The same, and logs it. */
void up_conn_fail(struct up_conn *c, enum err why);
/* Closes; its memory goes after the turn. It must have left its exchange. */
void up_conn_close(struct up_conn *c);

/* ---- connect.c ---- */

/*
 * Has the request: sends it on a kept stream or a new one, or queues it. `in_turn`: it has waited, and is not
 * to wait behind others.
 */
void up_conn_connect(struct up_conn *c, bool in_turn);
/* Its time is over. */
void up_conn_not_secured_in_time(struct up_conn *c);
/* True when nothing is to be read from its stream now: neither bytes nor an end. */
bool up_conn_is_quiet(const struct up_conn *c);
/* Says once in a while what its stream says is wrong with TLS. */
void up_conn_tell_tls(const struct up_conn *c, const char *why);

/* ---- answer.c ---- */

/* Before the first read of a request's answer. */
void up_answer_begin(struct up_conn *c);
/* Reads until nothing is there or nothing more may be put. c may be closed or kept afterwards. */
void up_answer_read(struct up_conn *c);

/* ---- websocket.c ---- */

enum { UP_WEBSOCKET_KEY_BYTES = 24 };

/* A new key: 16 random bytes in base64 (RFC 6455 section 4.1), not terminated. */
void up_websocket_make_key(char out[UP_WEBSOCKET_KEY_BYTES]);
/* True when `accept` is what a server that understood `key` answers (RFC 6455 section 4.2.2). */
bool up_websocket_is_accepted(struct str key, struct str accept) MUST_USE;
