/*
 * priv.h - the inside of an HTTP/2 connection, shared by its files: h2c.c (the connection), window.c
 * (what the client may send), frames.c (frames in), h2s.c (streams as ends), send.c (scheduler, frames out),
 * request.c (field lines to a request head).
 */
#pragma once

#include "core/timer.h"
#include "h2/frame.h"
#include "h2/h2c.h"
#include "h2/hpack.h"

/*
 * What costs of the connection's budget: limits.abuse, and one for each stream that may be open, for a
 * client that moves on may reset them all. One token comes back with every answer that was sent to its end,
 * and H2_ABUSE_PER_S each second, up to the full budget. Columns: name, cost, what.
 */
#define H2_ABUSE_TABLE(X)                                                  \
	X(CLIENT_RESET, 1, "streams reset by the client")                  \
	X(PROVOKED_RESET, 1, "streams that we had to reset")               \
	X(REFUSED_STREAM, 1, "streams beyond the announced limit")         \
	X(PING, 1, "PING frames")                                          \
	X(SETTINGS, 1, "SETTINGS frames")                                  \
	X(PRIORITY, 1, "PRIORITY and PRIORITY_UPDATE frames")              \
	X(WINDOW_UPDATE, 1, "WINDOW_UPDATE frames that no DATA asked for") \
	X(EMPTY_DATA, 1, "empty DATA frames")                              \
	X(CONTINUATION, 4, "CONTINUATION frames")                          \
	X(LARGE_HEAD, 4, "heads over limits.request-head or -fields")      \
	X(UNKNOWN_FRAME, 1, "frames of unknown type")                      \
	X(CLOSED_STREAM, 1, "frames on closed streams")

enum h2_abuse {
#define X(name, cost, what) H2_ABUSE_##name,
	H2_ABUSE_TABLE(X)
#undef X
};
enum { H2_ABUSE_PER_S = 10 };

enum {
	H2_BUCKETS = 32,
	H2_URGENCIES = 8,
	H2_CLOSED_KEPT = 128,
	H2_HINTS = 4,
	H2_HEADS_PER_BUFFER = 3,  /* request heads held, in limits.h2-connection-buffer */
	H2_CREDIT_SHARE = 4,      /* of a window is given back at a time: while some is left */
	H2_DATA_EARNS_BYTES = 64, /* a DATA frame gives reason for control frames from this size on */
};

/* RFC 9218 section 4. */
struct h2_priority {
	uint8_t urgency;
	bool incremental;
};

struct h2_head_link {
	struct h2_head_link *next;
	struct head *h;
};

/*
 * One stream: the down end of its exchange. Made by HEADERS, gone when both directions have ended or
 * either side reset it.
 */
struct h2s {
	struct end e;
	struct h2c *c;
	struct h2s *bucket_next;
	struct list node;        /* of c->streams */
	struct list ready;       /* of c->ready[urgency] while something can be sent */
	struct timer timer;      /* a body that does not come, an answer that is not read */
	struct grave grave;
	struct h2_head_link *interim; /* told, not sent */
	struct head *final, *trailers; /* told, not sent */
	int64_t body_left;       /* of content-length; < 0: not told */
	int64_t send_window;     /* may be negative (RFC 9113 section 6.9.2) */
	int64_t recv_window;     /* what the peer may still send */
	uint64_t body_due_ms, write_due_ms; /* 0: nothing is waited for */
	uint64_t linger_end_ms;  /* the answer was sent; until then the rest is dropped */
	uint32_t id;
	uint32_t head_bytes;     /* its part of c->head_bytes */
	struct h2_priority priority;
	bool remote_ended, local_ended; /* END_STREAM received, sent */
	bool head_sent;
	bool reset_sent;
};

enum h2c_state {
	H2C_PREFACE,  /* the client's preface is not complete */
	H2C_SETTINGS, /* its first frame must be SETTINGS (RFC 9113 section 3.4) */
	H2C_OPEN,
	H2C_CLOSING,  /* the last GOAWAY is sent, or in `out`; what comes is not looked at */
	H2C_CLOSED,
};

/* A field block that goes on in CONTINUATION frames. */
struct h2_block {
	uint32_t stream; /* 0: none */
	uint8_t flags;   /* of its HEADERS */
	uint8_t *p;
	size_t n;
	bool priority_self; /* its PRIORITY part names its own stream */
};

struct h2c {
	struct stream *s;
	struct host *host;
	const struct limits *limits;     /* the host's, as of `turn`: h2_limits() */
	const struct timeouts *timeouts;
	uint64_t turn;
	struct timer timer;
	struct work flush;
	struct grave grave;

	/* in */
	uint8_t *rest;           /* of a frame that is not complete; or frames, while they are held */
	size_t rest_bytes;
	struct h2_block block;
	struct hpack_decoder decoder;

	/* out */
	struct buf out;          /* frames, in order */
	struct hpack_encoder encoder;
	struct list ready[H2_URGENCIES];
	unsigned picks;

	/* streams */
	struct h2s *buckets[H2_BUCKETS];
	struct list streams;
	uint32_t nstreams;
	uint32_t last_id;        /* last one taken: what GOAWAY tells */
	uint32_t seen_id;        /* last one opened, refused ones among them: all above are idle */
	uint32_t closed[H2_CLOSED_KEPT]; /* ids, H2_RESET_BY_US; the newest at closed_at - 1 */
	unsigned closed_at;
	struct {
		uint32_t id;
		struct h2_priority priority;
	} hints[H2_HINTS];       /* PRIORITY_UPDATE that came before its stream */
	unsigned hint_at;
	size_t head_bytes;       /* of requests and what was made of them when they came */

	/* windows */
	struct slab_waiter memory; /* credit waits for the worker's budget */
	uint32_t peer_initial_window;
	uint32_t recv_initial_window; /* ours, per stream */
	int64_t send_window;
	int64_t recv_window;     /* what the peer may still send, all streams together */
	uint64_t recv_target;    /* per-stream window: grows with the bandwidth-delay product */
	size_t promised_bytes;   /* of the worker's budget, for windows beyond limits.h2-connection-buffer */
	struct {
		uint64_t bytes;    /* of DATA since the measuring PING, its answer, or the last growth */
		uint64_t begin_ms; /* when the first of them came */
		uint64_t half_ms;  /* how long it took until half of a window had come */
		uint64_t ping_ms;  /* when the PING was sent; 0: none is under way */
		uint64_t least_ms; /* shortest round trip so far; 0: none was measured */
	} measured;

	/* time; 0: nothing is waited for */
	uint64_t preface_due_ms, ack_due_ms, rest_due_ms, idle_due_ms;
	uint64_t write_due_ms, pong_due_ms, linger_due_ms;
	uint64_t drain_due_ms;   /* to be drained, with the first request or then */
	uint64_t heard_ms;       /* when the peer last sent anything */

	double abuse;            /* tokens left */
	uint64_t abuse_ms;       /* when it was last filled up */
	size_t unsent_bytes;     /* of the stream, when we last looked: at the end it is waited for */
	size_t unacked_bytes;    /* of the stream, when write_due_ms was set */
	uint32_t earned;         /* control frames that DATA gave reason for */

	uint8_t state;           /* enum h2c_state */
	bool owes_credit;        /* of the connection's window: too much is stored */
	bool goaway_sent;        /* with the last id */
	bool drain_announced;    /* first step of two, a PING of it is under way */
	bool held;               /* frames wait in `rest` because output was clogged */
	bool is_shut;            /* our direction is ended */
	enum err why;            /* first reason of the end */
};

/* In closed[]: ids have 31 bits. */
#define H2_RESET_BY_US 0x80000000u

/* ---- h2c.c ---- */

/* The connection ends with this code: GOAWAY is sent, streams are dropped. */
void h2c_fail(struct h2c *c, enum h2_code code, const char *why);
/* Takes from the budget; false when it is used up and the connection has been ended. */
bool h2c_charge(struct h2c *c, enum h2_abuse what) MUST_USE;
/* The same, unless DATA either way has given reason for it. */
bool h2c_is_earned(struct h2c *c, enum h2_abuse what) MUST_USE;
/* DATA gave reason for n control frames. */
void h2c_earn(struct h2c *c, unsigned n);
/* An answer was sent to its end. */
void h2c_note_answer(struct h2c *c);
/* A PING came back. */
void h2c_pong(struct h2c *c, const uint8_t opaque[8]);
/* Something can or must be sent: flushes later in this turn. */
void h2c_wake(struct h2c *c);
/* Output waits for the client to take more, as long as it takes any. */
void h2c_wait_for_reader(struct h2c *c);
/* After a flush: ends what is at its end, and sets the timer. */
void h2c_settle(struct h2c *c);
/* Closes the stream of bytes and tells the host; memory goes after the turn. */
void h2c_close(struct h2c *c, enum err why);

/* The host's are borrowed for a turn: asked for once in each. */
static inline void h2_ask_host(struct h2c *c)
{
	if (c->turn == loop_turn_number())
		return;
	c->turn = loop_turn_number();
	c->limits = c->host->ops->limits(c->host);
	c->timeouts = c->host->ops->timeouts(c->host);
}
static inline const struct limits *h2_limits(struct h2c *c)
{
	h2_ask_host(c);
	return c->limits;
}
static inline const struct timeouts *h2_timeouts(struct h2c *c)
{
	h2_ask_host(c);
	return c->timeouts;
}
static inline uint64_t h2_in_ms(uint64_t after_ms)
{
	return loop_now_ms() + after_ms;
}

/* ---- window.c ---- */

void h2c_init_windows(struct h2c *c);
/* The end: nothing waits for memory, and none is promised. */
void h2c_forget_windows(struct h2c *c);
/* Connection window: gives back what the stored bytes allow. */
void h2c_credit(struct h2c *c);
/* n body bytes came. While wider windows could help, a PING measures how much comes in a round trip. */
void h2c_measure(struct h2c *c, size_t n);
#define H2_PING_MEASURE "gh width"
/* That PING has come back. False: none was under way. */
bool h2c_measured(struct h2c *c) MUST_USE;

/* ---- frames.c ---- */

/* A whole frame; its payload is at p unless the header alone is an error. */
void h2_on_frame(struct h2c *c, const struct h2_frame *f, const uint8_t *p);
/* For frames on it that come later: which streams were open, the last H2_CLOSED_KEPT of them. */
void h2_note_closed(struct h2c *c, uint32_t id, bool reset_by_us);

/* ---- h2s.c ---- */

extern const struct end_ops h2s_ops;
struct h2s *h2s_find(const struct h2c *c, uint32_t id);
/* A new stream with its exchange; counted. */
struct h2s *h2s_new(struct h2c *c, uint32_t id);
/* RST_STREAM, and the exchange is aborted for that reason. */
void h2s_reset(struct h2s *st, enum h2_code code, enum err why);
/* The client's RST_STREAM, or the connection's end: the same without a frame. */
void h2s_drop(struct h2s *st, enum err why);
/* END_STREAM of the peer. */
void h2s_remote_end(struct h2s *st);
/* Everything was sent, END_STREAM with it. */
void h2s_local_end(struct h2s *st);
/* Payload of DATA, without padding. */
void h2s_data(struct h2s *st, const uint8_t *p, size_t n);
/* Lets the peer send as much as there is room for. */
void h2s_credit(struct h2s *st);
/* Part of a DATA frame came: that is progress too. */
void h2s_wait_for_body(struct h2s *st);
/* Puts it among those that can send, if it can. */
void h2s_schedule(struct h2s *st);
void h2s_set_write_wait(struct h2s *st, bool blocked);

/* ---- send.c ---- */

/* Gathers frames of all streams and writes, once a turn. */
void h2_flush(struct work *w);
/* Writes what is gathered, as much as the stream takes. False: that failed, the connection is closed. */
bool h2_write_out(struct h2c *c);
/* Output is so long that nothing more is read. */
bool h2_is_clogged(const struct h2c *c);

/* ---- request.c ---- */

/* Collects the field lines of a request or of its trailers (RFC 9113 section 8). */
struct h2_request {
	struct arena *arena;
	struct head *head;
	uint8_t seen;       /* pseudo-fields, a bit each */
	bool fields_begun;
	bool trailers;
	struct str protocol, host;
	int64_t length;     /* content-length, < 0: none */
	size_t max_fields;
	struct h2_priority *priority;
};
void h2_request_init(struct h2_request *r, struct arena *a, bool trailers, size_t max_fields,
		     struct h2_priority *priority);
/* For hpack_decode. */
enum err h2_request_line(void *ctx, const struct hpack_line *l);
/*
 * The whole list is there. Returns why the message is malformed, or what it is refused for
 * (ERR_CONNECT_REFUSED ...).
 */
enum err h2_request_finish(struct h2_request *r, bool websocket_allowed) MUST_USE;
/* Priority field value or PRIORITY_UPDATE payload (RFC 9218 section 4): what it does not say stays. */
void h2_priority_read(struct h2_priority *p, struct str value);
