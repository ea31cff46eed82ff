/*
 * conn.h - the inside of the server connection, shared by server.c (life, verbs, time), receive.c and send.c.
 */
#pragma once

#include "core/timer.h"
#include "h1/h1s.h"

/*
 * Columns: state, the states it may turn into.
 *
 *	IDLE     between two requests: no exchange, no memory
 *	HEAD     a request head is being read
 *	OPEN     the request was told or refused: its body comes in, its answer goes out
 *	TUNNEL   behind a 101: opaque bytes, each direction with its own end
 *	LINGER   our direction is ended; what still comes is discarded until the client's end
 */
#define H1S_STATE_TABLE(X)                                                                                   \
	X(IDLE, 1 << H1S_HEAD | 1 << H1S_LINGER | 1 << H1S_CLOSED)                                           \
	X(HEAD, 1 << H1S_OPEN | 1 << H1S_CLOSED)                                                             \
	X(OPEN, 1 << H1S_IDLE | 1 << H1S_TUNNEL | 1 << H1S_LINGER | 1 << H1S_CLOSED)                         \
	X(TUNNEL, 1 << H1S_CLOSED)                                                                           \
	X(LINGER, 1 << H1S_CLOSED)                                                                           \
	X(CLOSED, 0)

enum h1s_state {
#define X(name, next) H1S_##name,
	H1S_STATE_TABLE(X)
#undef X
};

/* What the input timer waits for. */
enum h1s_wait {
	H1S_WAIT_NOTHING, /* if it expires, it was not worth stopping */
	H1S_WAIT_REQUEST,
	H1S_WAIT_HEAD,
	H1S_WAIT_BODY,
	H1S_WAIT_GONE, /* a half-closed client's last sign of life */
	H1S_WAIT_TUNNEL,
	H1S_WAIT_LINGER,
};

/* What there is only during an exchange; lies in its arena. */
struct h1s_request {
	struct h1_limits limits;
	struct h1_parser parser;
	struct h1_body body;
	struct head *answer;   /* final head, once told */
	struct head *trailers; /* of the answer */
	uint64_t body_bytes;
	bool is_routed;  /* limits and timeouts of the exchange are the route's */
	bool is_complete; /* its END was told; in a tunnel: the client's */
	bool is_given_up; /* what is left of it is not read */
	bool awaits_continue;
	bool is_answered; /* the answer's head is written */
	bool keeps_alive; /* as that head said */
};

struct h1s {
	struct stream *s;
	struct host *host;
	struct end end;
	struct h1s_request *rq; /* HEAD, OPEN and TUNNEL */
	struct buf in;          /* read, but not used yet */
	struct h1_out out;
	struct timer in_timer, out_timer;
	struct work work;
	struct grave grave;
	uint64_t linger_until_ms;
	uint64_t unsent_since_ms; /* LINGER: the stream holds as much of the answer since then */
	size_t unsent_bytes;
	size_t unacked_bytes; /* when the output timer was set */
	uint8_t state, waits;
	bool in_is_fresh; /* `in` may be used before more is read */
	bool has_no_room; /* the pipe is full: `room` will be told */
	bool out_waits;   /* more is to be written when the stream takes it */
	bool has_written; /* since the timer of GONE last looked */
	bool is_shut;     /* our direction is ended */
	bool is_draining;
};

static inline struct head *h1s_request_head(const struct h1s *c)
{
	return c->rq->parser.head;
}

/* ---- server.c ---- */

void h1s_set_state(struct h1s *c, enum h1s_state next);
void h1s_wait_for(struct h1s *c, enum h1s_wait what, uint64_t ms);
static inline void h1s_wait_for_nothing(struct h1s *c)
{
	c->waits = H1S_WAIT_NOTHING;
}
/* Waits for the client to take more, as long as it takes any. */
void h1s_wait_for_reader(struct h1s *c);
/* Waits for the client to go on with the body, when it is its turn. */
void h1s_wait_for_body(struct h1s *c);
/* Waits for more to discard. */
void h1s_wait_for_end(struct h1s *c);
/* If the client has ended its direction: only what is written from now on can tell that it is there. */
void h1s_check_hup(struct h1s *c);
/*
 * The request cannot go on; the client gets the answer of that error's row. After an answer that went
 * another way has begun, closes; so c may be CLOSED afterwards.
 */
void h1s_refuse(struct h1s *c, enum err why);
/* Between two requests again. */
void h1s_enter_idle(struct h1s *c);
/* Ends our direction, then waits for the client's end. */
void h1s_linger(struct h1s *c);
/* Ends it all. ERR_OK: in order. c is CLOSED afterwards; its memory goes after the turn. */
void h1s_close(struct h1s *c, enum err why);

/* ---- receive.c ---- */

/* Whether anything is to be read now. */
bool h1s_wants_input(const struct h1s *c);
/* Reads as long as there is something, and room for it. c may be CLOSED afterwards. */
void h1s_receive(struct h1s *c);
/* The router has seen the head: the body may be read. */
void h1s_begin_body(struct h1s *c);

/* ---- send.c ---- */

/* Writes what there is, and goes on from the end of an answer. c may be CLOSED afterwards. */
void h1s_send(struct h1s *c);
/* The up end is gone: what the stream takes of what it told before. c may be CLOSED afterwards. */
void h1s_send_last(struct h1s *c);
