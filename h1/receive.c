/*
 * receive.c - what a client sends: request heads, bodies, a tunnel's bytes, what is only discarded.
 *
 * Heads and chunk lines are read through the worker's scratch area, with what was left of the last read in
 * front, so that a line is always contiguous. Other body bytes go straight into the pipe, never more than
 * it has room for.
 */
#include "h1/conn.h"

enum {
	HEAD_READ_BYTES = 16 * 1024,
	BODY_READ_BYTES = 64 * 1024,
	BODY_PIECES = BODY_READ_BYTES / SLAB_BYTES + 1,
	TURN_BYTES = 256 * 1024, /* of one connection: then others have their turn */
	DIRECT_MIN_BYTES = 4096, /* of a chunk; below that, more than the chunk is read at once */
};

bool h1s_wants_input(const struct h1s *c)
{
	switch ((enum h1s_state)c->state) {
	case H1S_IDLE:
	case H1S_HEAD:
	case H1S_LINGER: return true;
	case H1S_OPEN:
		return c->rq->is_routed && !c->rq->is_complete && !c->rq->is_given_up && !c->has_no_room;
	case H1S_TUNNEL: return !c->rq->is_complete && !c->has_no_room;
	case H1S_CLOSED: break;
	}
	return false;
}

/* How much of `want` the pipe takes; when nothing, input waits for `room`. */
static size_t room_for(struct h1s *c, uint64_t want)
{
	size_t room = x_room(&c->end, (size_t)MIN(want, (uint64_t)BODY_READ_BYTES));

	if (room == 0) {
		c->has_no_room = true;
		if (c->state == H1S_OPEN)
			h1s_wait_for_body(c);
	}
	return room;
}

/* ---- the head ---- */

static void begin_request(struct h1s *c)
{
	struct exchange *x = x_new(&c->end);
	struct h1s_request *rq = arena_new(&x->arena, struct h1s_request);

	c->host->ops->begin(c->host, x);
	x->facts.protocol = 11;
	rq->limits = (struct h1_limits){
		.line_bytes = (size_t)x->limits->request_line_bytes,
		.head_bytes = (size_t)x->limits->request_head_bytes,
		.fields = (size_t)x->limits->request_fields,
	};
	h1_parser_init(&rq->parser, H1_REQUEST, &rq->limits, &x->arena, NULL);
	c->rq = rq;
	h1s_set_state(c, H1S_HEAD);
}

/* Its last byte is there: says so, trailers first. */
static void complete(struct h1s *c)
{
	struct h1s_request *rq = c->rq;

	rq->is_complete = true;
	h1s_wait_for_nothing(c);
	if (rq->body.framing == H1_CHUNKED && rq->body.trailers.head->nfields > 0)
		x_head(&c->end, rq->body.trailers.head);
	x_end(&c->end);
	h1s_check_hup(c);
}

/*
 * The head is told. The body is left alone until the router has seen it: the limits of the route hold for
 * it, and an answer that needs none of it may be there by then.
 */
static void tell_request(struct h1s *c)
{
	struct h1s_request *rq = c->rq;
	struct head *h = rq->parser.head;
	struct exchange *x = c->end.x;

	x->facts.protocol = h->minor ? 11 : 10;
	rq->awaits_continue = h->expect_continue;
	h1_body_init(&rq->body, H1_REQUEST, rq->parser.framing, (uint64_t)h->length, &rq->limits, &x->arena);
	h1s_set_state(c, H1S_OPEN);
	h1s_wait_for_nothing(c);
	x_head(&c->end, h);
	if (rq->body.done)
		complete(c);
	else
		loop_post(&c->work);
}

static size_t take_head(struct h1s *c, const char *p, size_t n)
{
	struct h1s_request *rq = c->rq;
	ssize_t used = h1_parse(&rq->parser, p, n);

	if (used < 0) {
		h1s_refuse(c, (enum err)(-used));
		return n;
	}
	if (rq->parser.done) {
		tell_request(c);
		c->in_is_fresh = (size_t)used < n;
	} else if (c->waits != H1S_WAIT_HEAD) { /* in all: a head that drips in does not get more */
		h1s_wait_for(c, H1S_WAIT_HEAD, c->end.x->timeouts->request_head_ms);
	}
	return (size_t)used;
}

/*
 * Empty lines between requests (RFC 9112 section 2.2) begin none: they extend no time and cost no
 * exchange. A CR alone waits for what follows.
 */
static size_t take_idle(struct h1s *c, const char *p, size_t n)
{
	size_t at = 0;

	while (n - at >= 2 && p[at] == '\r' && p[at + 1] == '\n')
		at += 2;
	if (at == n || (n - at == 1 && p[at] == '\r'))
		return at;
	begin_request(c);
	return at + take_head(c, p + at, n - at);
}

/* ---- the body ---- */

void h1s_begin_body(struct h1s *c)
{
	struct h1s_request *rq = c->rq;
	const struct limits *l = c->end.x->limits;

	rq->is_routed = true;
	if (rq->is_complete || rq->is_given_up)
		return;
	rq->limits.trailers_bytes = (size_t)l->trailers_bytes;
	rq->limits.chunk_extensions_bytes = (size_t)l->chunk_extensions_bytes;
	if (rq->body.framing == H1_LENGTH && rq->body.left > l->request_body_bytes)
		h1s_refuse(c, ERR_BODY_LARGE);
	else
		h1s_wait_for_body(c);
}

/* n more bytes of it were put. */
static void note_body(struct h1s *c, size_t n)
{
	struct h1s_request *rq = c->rq;

	rq->body_bytes += n;
	rq->awaits_continue = false; /* RFC 9110 section 10.1.1: it need not wait */
	if (rq->body.framing == H1_CHUNKED && rq->body_bytes > c->end.x->limits->request_body_bytes)
		h1s_refuse(c, ERR_BODY_LARGE);
	else if (rq->body.done)
		complete(c);
	else
		h1s_wait_for_body(c);
}

static size_t take_body(struct h1s *c, const char *p, size_t n)
{
	struct h1s_request *rq = c->rq;
	size_t at = 0, bytes = 0;

	while (at < n && !rq->body.done) {
		uint64_t data = h1_body_direct(&rq->body);
		size_t offer = data ? room_for(c, MIN(data, (uint64_t)(n - at))) : n - at;
		struct str run;
		ssize_t used = h1_body_decode(&rq->body, p + at, offer, &run);

		if (used < 0) {
			h1s_refuse(c, (enum err)(-used));
			return n;
		}
		if (used == 0)
			break;
		if (run.n > 0)
			x_put(&c->end, run.p, run.n);
		bytes += run.n;
		at += (size_t)used;
	}
	c->in_is_fresh = at < n && (rq->body.done || c->has_no_room);
	note_body(c, bytes);
	return rq->is_given_up ? n : at;
}

static size_t take_tunnel(struct h1s *c, const char *p, size_t n)
{
	size_t room = room_for(c, n);

	x_put(&c->end, p, room);
	c->in_is_fresh = room < n;
	h1s_wait_for(c, H1S_WAIT_TUNNEL, c->end.x->timeouts->tunnel_idle_ms);
	return room;
}

/* ---- reading ---- */

/* Nothing more will come: the client's end (0), or an error. */
static void input_ended(struct h1s *c, ssize_t r)
{
	if (r == -ERR_AGAIN)
		return;
	if (r < 0 || c->state == H1S_IDLE || c->state == H1S_LINGER) {
		h1s_close(c, c->state == H1S_IDLE || c->state == H1S_LINGER ? ERR_OK : (enum err)(-r));
	} else if (c->state == H1S_HEAD) {
		h1s_close(c, ERR_EOF);
	} else if (c->state == H1S_OPEN) { /* RFC 9112 section 8: never completed upstream */
		h1s_refuse(c, ERR_BODY_SHORT);
	} else {
		c->rq->is_complete = true;
		x_end(&c->end);
		loop_post(&c->work);
	}
}

static size_t discard(struct h1s *c)
{
	ssize_t r = stream_read(c->s, loop_scratch(), BODY_READ_BYTES);
	uint64_t now_ms = loop_now_ms();

	if (r <= 0) {
		input_ended(c, r);
		return 0;
	}
	if (now_ms >= c->linger_until_ms) {
		h1s_close(c, ERR_OK);
		return 0;
	}
	h1s_wait_for_end(c);
	return (size_t)r;
}

/* Straight into the pipe: at most `max` bytes of a body, or of a tunnel. */
static size_t receive_direct(struct h1s *c, uint64_t max)
{
	size_t room = room_for(c, max);
	struct iovec iov[BODY_PIECES];
	ssize_t r;
	int n;

	if (room == 0)
		return 0;
	n = x_space(&c->end, room, iov, BODY_PIECES);
	r = stream_readv(c->s, iov, n);
	x_commit(&c->end, r > 0 ? (size_t)r : 0);
	if (r <= 0) {
		input_ended(c, r);
		return 0;
	}
	if (c->state == H1S_TUNNEL) {
		h1s_wait_for(c, H1S_WAIT_TUNNEL, c->end.x->timeouts->tunnel_idle_ms);
	} else {
		h1_body_skip(&c->rq->body, (uint64_t)r);
		note_body(c, (size_t)r);
	}
	return (size_t)r;
}

/* Returns how many of the bytes are used: all of them when c is CLOSED then, or the rest is of no use. */
static size_t take(struct h1s *c, const char *p, size_t n)
{
	switch ((enum h1s_state)c->state) {
	case H1S_IDLE: return take_idle(c, p, n);
	case H1S_HEAD: return take_head(c, p, n);
	case H1S_OPEN: return take_body(c, p, n);
	case H1S_TUNNEL: return take_tunnel(c, p, n);
	case H1S_LINGER:
	case H1S_CLOSED: break;
	}
	BUG_ON(true);
}

/* Through the scratch area: what was left, then what can be read. */
static size_t receive_lines(struct h1s *c)
{
	size_t kept = buf_len(&c->in), n = kept, used;
	char *p = loop_scratch();
	ssize_t r;

	if (!c->in_is_fresh) {
		if (kept == LOOP_SCRATCH_BYTES) { /* a single line of that length */
			h1s_refuse(c, ERR_HEAD_LARGE);
			return 0;
		}
		r = stream_read(c->s, p + kept, MIN((size_t)HEAD_READ_BYTES, LOOP_SCRATCH_BYTES - kept));
		if (r <= 0) {
			input_ended(c, r);
			return 0;
		}
		n += (size_t)r;
	}
	buf_copy(&c->in, p, kept);
	buf_drop(&c->in, kept);
	c->in_is_fresh = false;
	used = take(c, p, n);
	buf_put(&c->in, p + used, n - used);
	return n;
}

/* How much could bypass the scratch area now. */
static uint64_t direct_bytes(const struct h1s *c)
{
	uint64_t n;

	if (buf_len(&c->in) > 0 || (c->state != H1S_OPEN && c->state != H1S_TUNNEL))
		return 0;
	if (c->state == H1S_TUNNEL)
		return UINT64_MAX;
	n = h1_body_direct(&c->rq->body);
	return c->rq->body.framing == H1_LENGTH || n >= DIRECT_MIN_BYTES ? n : 0;
}

void h1s_receive(struct h1s *c)
{
	size_t got = 1;

	for (size_t total = 0; got > 0 && total < TURN_BYTES && h1s_wants_input(c); total += got) {
		uint64_t direct = direct_bytes(c);

		if (!c->in_is_fresh && !(c->s->can & STREAM_IN))
			return;
		if (c->state == H1S_LINGER)
			got = discard(c);
		else
			got = direct ? receive_direct(c, direct) : receive_lines(c);
	}
}
