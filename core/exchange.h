/*
 * exchange.h - the treaty: one request and its response, as two ends and two pipes.
 *
 * The down end (an h1 connection, an h2 stream) and the up end (an upstream connection, a built-in page)
 * implement the same four verbs and do not know what the other is. `body_up` and `body_down` are the two
 * bounded pipes between them. The core calls the verbs; ends only tell (x_head, x_put, x_take, x_abort
 * ...), which sets bits and queues the exchange. So no verb is ever called from inside a verb or a stream
 * callback, and nothing dies under its caller's feet.
 *
 * An exchange begins with the router end (registered once, by proxy) as its up end. The router's `head`
 * attaches the real one. An abort by the up end before it told a final head comes back to the router,
 * which then installs an error page (or another upstream); afterwards it goes to the down end.
 *
 * Order towards an end: heads (interim ones, the final one), body bytes, END; trailers are told before
 * END, while body bytes may still wait, and belong behind them. An abort towards the down end comes only
 * when it has taken all body bytes told before. An end that has left or aborted is never called again;
 * what an end still tells after x_refuse has dropped it, and before it hears of that, is ignored.
 */
#pragma once

#include "core/buf.h"
#include "core/err.h"
#include "core/head.h"
#include "core/limits.h"
#include "core/loop.h"
#include "core/target.h"

enum x_side { X_DOWN, X_UP };
static inline enum x_side x_other(enum x_side s)
{
	return s == X_DOWN ? X_UP : X_DOWN;
}

struct end;

/* The four verbs, called by the core only. `e` is the end that is told. */
struct end_ops {
	const char *name; /* for the log: "h1", "h2", "upstream", "page", "router" */
	/*
	 * A head came: the request (to an up end, also when it is attached), or a response or trailers.
	 * Borrowed until the exchange ends.
	 */
	void (*head)(struct end *e, struct head *h);
	/* Bytes or END wait in the pipe this end reads. Called again only after more came. */
	void (*data)(struct end *e);
	/* The pipe this end writes has room again, after x_room had told it too little. */
	void (*room)(struct end *e);
	/*
	 * The other end is gone for this reason, or the router could not replace it. The exchange is over
	 * for this end; it has left already.
	 */
	void (*abort)(struct end *e, enum err why);
};

struct end {
	const struct end_ops *ops;
	struct exchange *x; /* NULL when it takes part in none */
	enum x_side side;
};

/* Owned by the exchange; read and written through x_*. */
struct pipe {
	struct buf b;
	size_t cap;
	uint64_t total_bytes; /* ever put */
	bool ended;   /* END was told by the writer */
	bool dead;    /* the reader is gone: what is put is dropped, room stays */
	bool starved; /* the writer was told less than it asked for: owes it one `room` */
};

/* What the access log and counters want to know. Plain values, set by whoever knows. */
struct x_facts {
	union addr_end peer, local; /* client's address (after PROXY protocol), and ours */
	bool tls;
	bool early_data;
	uint8_t protocol; /* 10, 11 or 20 */
	uint16_t tls_version;
	const char *tls_cipher; /* static; NULL: no TLS */
	uint16_t status;  /* told to the client; 0: none */
	enum err error;   /* first reason that something failed, or ERR_OK */
	struct str sni;   /* in the exchange's arena */
	struct str user;  /* authenticated name, or empty */
	const char *upstream; /* name of the target, static for the configuration; NULL: answered here */
	bool upstream_reused;
	uint8_t tries;        /* how often it was sent or dialled */
	uint8_t sends;        /* tries in which bytes of it were written */
	bool sent, answered;  /* in the last try: bytes of it were written, bytes of an answer came */
	int64_t wall_s;       /* when the request head was complete */
	uint64_t begin_us;    /* loop_clock_us then */
	uint64_t connect_us, first_byte_us; /* after begin_us; 0: never */
	uint64_t queue_us;    /* spent waiting for a connection that may be had */
	uint64_t request_bytes, response_bytes; /* body bytes told by and to the client */
};

struct config;    /* conf/; only proxy looks inside */
struct mount_ref; /* proxy/route: which vhost and mount was chosen */

struct exchange {
	struct arena arena; /* this object itself lies in its first block */
	struct end *end[2];     /* by side; NULL: has left */
	struct pipe pipe[2];    /* by the side that reads: pipe[X_UP] is body_up, pipe[X_DOWN] is body_down */
	struct end router;      /* the up end at the beginning, and after an early abort */
	struct head *request;   /* as received; the router makes the one that goes up */
	struct head *request_up; /* what the up end gets; == request until the router says otherwise */
	struct head *response;  /* final head, once told */
	const struct limits *limits;     /* of the route; the defaults before */
	const struct timeouts *timeouts;
	struct config *conf;    /* counted by proxy; NULL in tests */
	const struct mount_ref *mount;
	void *route;            /* proxy's own state for this exchange, in the arena */
	struct x_facts facts;
	bool tunnel;            /* both pipes are opaque bytes, each with its own END */
	bool told_final;        /* the up end told its final head */
	uint8_t interim_count;

	/* the core's own */
	struct list queue_node;
	struct list live_node;
	struct slab_waiter memory;
	struct head_box *heads[2]; /* not yet delivered, by the side that is told */
	struct head *request_trailers; /* told again to another up end */
	struct end *dismissed;     /* up end that x_refuse replaced and that has not heard of it yet */
	uint8_t pending[2];        /* verbs to call, by side */
	uint8_t visits;            /* in this turn */
	bool finished;
	enum err abort_why[2], dismissed_why;
	uint64_t turn;
	size_t moved_bytes; /* in this turn */
	struct grave grave;
};

/* Fairness: what one exchange may do in one turn. */
enum { X_VISITS_PER_TURN = 4, X_BYTES_PER_TURN = 256 * 1024 };

/*
 * Registered once by proxy. `ops` are the router end's verbs. `finished` is called once for every
 * exchange when both ends have left, before its memory goes: access log, counters, reference to the
 * configuration.
 */
struct x_router {
	const struct end_ops *ops;
	void (*finished)(struct exchange *x);
	/* Every head that an up end tells, before the down end sees it: header rules. May be NULL. */
	void (*response)(struct exchange *x, struct head *h);
};
void x_set_router(const struct x_router *r);

/* ---- beginning and end ---- */

/*
 * A new exchange between `down` (owned by the caller, must outlive its part in it) and the router. Pipes
 * have limits_default's size until the router sets others. The caller fills x->facts' connection part,
 * makes the request head in x->arena and tells it with x_head. Never fails.
 */
struct exchange *x_new(struct end *down) MUST_USE;

/*
 * Puts `up` in the up end's place (from the router's verbs, or from the abort that came back to it). It
 * gets `head` with x->request_up, then `data` for what waits in body_up. Only before the final head was
 * told.
 */
void x_attach(struct exchange *x, struct end *up);

/*
 * This end has nothing more to tell or to take, in order. An up end may leave once it told END (or as a
 * page does: with the head and all its bytes told); body_up then is dead if it had not ended. A down end
 * leaves when it has taken body_down's END and told body_up's: an up end that still takes what is left of it
 * goes on and leaves when it has. Or when it gives up on reading the request: then the up end is told
 * `abort`. e->x is NULL afterwards.
 */
void x_leave(struct end *e);

/*
 * This end cannot go on. It has left: e->x is NULL afterwards. By the down end: the up end gets `abort`.
 * By the up end: before its final head the router gets `abort`; after it the down end.
 */
void x_abort(struct end *e, enum err why);

/*
 * By the down end, which stays: the request cannot go on (malformed, too large, too slow), and the client
 * is to get the answer of that error's row. Whoever is the up end gets `abort`, then the router. Also
 * without a request told before. Returns false when the final head was told already: then only x_abort is
 * left.
 */
bool x_refuse(struct end *e, enum err why) MUST_USE;

/* ---- telling ---- */

/*
 * Tells the other end a head, made in x->arena. By the up end: interim heads, one final head, trailers
 * (before x_end). By the down end: the request, trailers.
 */
void x_head(struct end *e, struct head *h);

/*
 * How much this end may put into the pipe it writes, at most `want` bytes; less than `want` means that
 * `room` will be told once when there is more. Takes account of the worker's memory budget. Unlimited
 * (want) when the reader is gone.
 */
size_t x_room(struct end *e, size_t want);
/*
 * The same whatever the worker's memory budget says: for an answer that is so small, and so final, that the
 * reserve beyond the budget bears it (an error page).
 */
size_t x_room_reserve(struct end *e, size_t want);
/* Copies n <= x_room bytes in. */
void x_put(struct end *e, const void *p, size_t n);
/*
 * Memory of the pipe to read into directly, at most max <= x_room bytes; follow with x_commit, also with
 * 0. As buf_space.
 */
int x_space(struct end *e, size_t max, struct iovec *iov, int cap) MUST_USE;
void x_commit(struct end *e, size_t n);
/* No more bytes from this end. */
void x_end(struct end *e);
/* True when the other end no longer reads what this end writes. */
bool x_is_unread(const struct end *e);

/*
 * Both pipes become opaque: told by the up end with its final head (101, or 2xx for an extended CONNECT),
 * before x_head. A body_up that had ended (a GET's) is open again; each direction now ends by x_end.
 */
void x_open_tunnel(struct end *e);

/* ---- taking ---- */

/* Pieces waiting for this end, at most max bytes; as buf_peek. */
int x_peek(struct end *e, size_t max, struct iovec *iov, int cap) MUST_USE;
/* How many bytes wait for this end. */
size_t x_fill(const struct end *e);
/* n bytes were used. Below half of the pipe the writer is told `room`, if it was short of it. */
void x_take(struct end *e, size_t n);
/* Moves n waiting bytes to dst without copying; counts as taken. */
void x_take_buf(struct end *e, struct buf *dst, size_t n);
/* All bytes are taken and the writer told END. */
bool x_at_end(const struct end *e);
/* The writer told END; bytes may still wait. */
bool x_will_end(const struct end *e);

/* ---- for the loop, tests and the status page ---- */

/*
 * Runs the queue until empty or until all that is left has had its share. Returns true when some is left
 * for the next turn.
 */
bool x_run(void);
/* Forgets what every exchange had in this turn. */
void x_new_turn(void);
size_t x_count(void);
/* Those of them that are tunnels. */
size_t x_tunnel_count(void);
/* All live exchanges, linked by live_node. */
struct list *x_live(void);
