/*
 * answer.c - reading what an upstream sends: interim heads, the answer, its body, a tunnel.
 *
 * Never more is read than the pipe has room for, so whatever was read can be put. Heads and chunked bodies go
 * through the worker's scratch area; other bodies and tunnels are read straight into the pipe.
 */
#include "uds-upstream/priv.h"

static void expect_head(struct up_conn *c)
{
	h1_parser_init(&c->parser, H1_RESPONSE, &c->limits, &c->end.x->arena, c->request);
}

void up_answer_begin(struct up_conn *c)
{
	const struct limits *l = c->end.x->limits;

	c->limits = (struct h1_limits){
		.line_bytes = (size_t)MIN(l->response_head_bytes, (uint64_t)LOOP_SCRATCH_BYTES),
		.head_bytes = (size_t)l->response_head_bytes,
		.fields = UP_RESPONSE_FIELDS_MAX,
		.trailers_bytes = (size_t)l->trailers_bytes,
		.chunk_extensions_bytes = (size_t)l->chunk_extensions_bytes,
	};
	c->interims = 0;
	expect_head(c);
}

/* ---- the end of an answer ---- */

/* The whole body was read. The connection is kept if it can carry another request (RFC 9112 section 9.3). */
static void finish(struct up_conn *c, bool surplus)
{
	struct head *trailers = c->body.trailers.head;
	struct up_stats *stats = &c->target->stats;

	stats->whole++;
	up_stats_add(&stats->total_us, &stats->total_max_us, loop_clock_us() - c->end.x->facts.begin_us);
	if (trailers && trailers->nfields > 0)
		x_head(&c->end, trailers);
	x_end(&c->end);
	x_leave(&c->end);
	work_cancel(&c->flush);
	if (c->parser.keep_alive && !surplus && !c->deaf && up_conn_has_sent(c) && up_conn_is_quiet(c)) {
		stream_want(c->stream, STREAM_IN);
		up_pool_keep(c);
	} else {
		up_conn_close(c);
	}
}

/*
 * A body that ends with the connection is complete at an orderly end; and at the reset that a Unix socket
 * reports, behind all data, when the other side closed without having read everything: there no data is ever
 * lost. Under TLS only the server itself can say that it was all (RFC 9112 section 9.8).
 */
static bool is_whole(const struct up_conn *c, bool orderly)
{
	if (c->target->tls)
		return orderly && !tls_stream_truncated(c->stream);
	return orderly || c->target->is_local;
}

/* Nothing more will come, for this reason. */
static void end_reading(struct up_conn *c, enum err why)
{
	bool orderly = why == ERR_EOF;
	enum err lost = why == ERR_TLS ? ERR_UP_TLS : ERR_UP_RESET;

	if (why == ERR_TLS)
		up_conn_tell_tls(c, tls_stream_why(c->stream));

	if (c->state == UP_TUNNEL && orderly) {
		c->read_ended = true;
		stream_want_less(c->stream, STREAM_IN);
		x_end(&c->end);
		up_conn_end_tunnel(c);
	} else if (c->state == UP_TUNNEL) {
		up_conn_fail(c, lost);
	} else if (c->state == UP_ASKED && c->reused && !c->end.x->facts.answered) {
		up_conn_fail(c, ERR_UP_STALE);
	} else if (c->state == UP_ASKED) {
		up_conn_fail(c, orderly ? ERR_UP_CLOSED : lost);
	} else if (c->body.framing == H1_UNTIL_CLOSE && is_whole(c, orderly)) {
		finish(c, false);
	} else {
		up_conn_fail(c, orderly ? ERR_UP_BODY_SHORT : lost);
	}
}

/* ---- heads ---- */

/* 1xx (RFC 9110 section 15.2): passed on, but never taken for the answer. */
static enum err take_interim(struct up_conn *c, struct head *h)
{
	bool is_continue = h->status == 100;

	if (++c->interims > c->end.x->limits->interim_responses)
		return ERR_UP_INTERIM_MANY;
	if (!is_continue || c->awaits_continue)
		x_head(&c->end, h);
	if (is_continue && c->awaits_continue) {
		c->awaits_continue = false;
		up_conn_arm(c);
	}
	expect_head(c);
	return ERR_OK;
}

/* 101 to a WebSocket's request, and only to that (RFC 9110 section 15.2.2, RFC 6455 section 4.1). */
static enum err open_tunnel(struct up_conn *c, struct head *h)
{
	const struct field *accept = head_find(h, FIELD_SEC_WEBSOCKET_ACCEPT);

	if (!c->request->websocket || !c->parser.upgrade_websocket || !up_conn_has_sent(c) || !accept ||
	    !up_websocket_is_accepted(c->request->websocket_key, accept->value))
		return ERR_UP_BAD_UPGRADE;
	if (c->request != c->end.x->request_up) /* it answers a key that the client does not know */
		head_remove(h, FIELD_SEC_WEBSOCKET_ACCEPT);
	up_conn_enter(c, UP_TUNNEL);
	c->body_told = false;
	h1_out_begin(&c->out, H1_UNTIL_CLOSE, 0);
	h1_body_init(&c->body, H1_RESPONSE, H1_UNTIL_CLOSE, 0, &c->limits, &c->end.x->arena);
	x_open_tunnel(&c->end);
	x_head(&c->end, h);
	loop_post(&c->flush); /* a client may have sent ahead */
	return ERR_OK;
}

static enum err take_head(struct up_conn *c)
{
	struct head *h = c->parser.head;

	if (h->kind == HEAD_INTERIM)
		return take_interim(c, h);
	if (h->status == 101)
		return open_tunnel(c, h);
	up_conn_enter(c, UP_ANSWERING);
	h1_body_init(&c->body, H1_RESPONSE, c->parser.framing,
		     c->parser.framing == H1_LENGTH ? (uint64_t)h->length : 0, &c->limits, &c->end.x->arena);
	c->awaits_continue = false;
	up_conn_arm(c);
	x_head(&c->end, h);
	return ERR_OK;
}

/* ---- reading ---- */

/* One step through bytes that were read: how many it used, 0 when more are needed, -enum err. */
static ssize_t take(struct up_conn *c, const char *p, size_t n)
{
	struct str payload;
	ssize_t used;
	enum err e;

	if (c->state == UP_TUNNEL) {
		x_put(&c->end, p, n);
		return (ssize_t)n;
	}
	if (c->state == UP_ANSWERING) {
		used = h1_body_decode(&c->body, p, n, &payload);
		x_put(&c->end, payload.p, payload.n);
		return used;
	}
	used = h1_parse(&c->parser, p, n);
	if (used > 0 && c->parser.done) {
		e = take_head(c);
		if (e != ERR_OK)
			return -(ssize_t)e;
	}
	return used;
}

/* All of p[0..n): what is no whole line yet is kept. False when c has come to an end. */
static bool take_all(struct up_conn *c, const char *p, size_t n)
{
	for (;;) {
		ssize_t used;

		if (c->state == UP_ANSWERING && c->body.done) {
			finish(c, n > 0);
			return false;
		}
		used = n > 0 ? take(c, p, n) : 0;
		if (used < 0) {
			up_conn_fail(c, (enum err)-used);
			return false;
		}
		if (used == 0)
			break;
		p += used;
		n -= (size_t)used;
	}
	buf_put(&c->rest, p, n);
	return true;
}

/* The pipe is full, or the worker's memory: `room` goes on from here. */
static bool has_room(struct up_conn *c, size_t room)
{
	if (room == 0)
		stream_want_less(c->stream, STREAM_IN);
	return room > 0;
}

static void note_read(struct up_conn *c)
{
	struct x_facts *facts = &c->end.x->facts;
	struct up_stats *stats = &c->target->stats;

	if (!facts->answered) {
		facts->answered = true;
		up_queue_answered(c);
		facts->first_byte_us = loop_clock_us() - facts->begin_us;
		stats->answers++;
		up_stats_add(&stats->first_byte_us, &stats->first_byte_max_us, facts->first_byte_us);
	}
	if (c->state == UP_ANSWERING || c->state == UP_TUNNEL)
		up_conn_arm(c);
}

/* Lines and chunks, through the scratch area. False when reading stops here. */
static bool read_lines(struct up_conn *c)
{
	size_t kept = buf_len(&c->rest), room;
	char *p = loop_scratch();
	ssize_t r;

	if (kept == LOOP_SCRATCH_BYTES) { /* a single line: too long whatever the limit is */
		up_conn_fail(c, ERR_UP_HEAD_LARGE);
		return false;
	}
	room = x_room(&c->end, MIN((size_t)UP_READ_BYTES, LOOP_SCRATCH_BYTES - kept));
	if (!has_room(c, room))
		return false;
	r = stream_read(c->stream, p + kept, room);
	if (r == -ERR_AGAIN)
		return false;
	if (r <= 0) {
		end_reading(c, r == 0 ? ERR_EOF : (enum err)-r);
		return false;
	}
	note_read(c);
	buf_copy(&c->rest, p, kept);
	buf_drop(&c->rest, kept);
	return take_all(c, p, kept + (size_t)r);
}

/*
 * Straight into the pipe. One byte more than the body has is asked for: it tells surplus bytes, and without
 * any the read is a short one, which spares another to see that nothing is left.
 */
static bool read_body(struct up_conn *c)
{
	uint64_t left = h1_body_direct(&c->body);
	size_t room = x_room(&c->end, (size_t)MIN(left, (uint64_t)UP_READ_BYTES)), space = 0, body;
	struct iovec iov[UP_PIECES + 1];
	char surplus;
	ssize_t r;
	int n;

	if (!has_room(c, room))
		return false;
	n = x_space(&c->end, room, iov, UP_PIECES);
	for (int i = 0; i < n; i++)
		space += iov[i].iov_len;
	if (space == left)
		iov[n++] = (struct iovec){ &surplus, 1 };
	r = stream_readv(c->stream, iov, n);
	body = r > 0 ? MIN((size_t)r, space) : 0;
	x_commit(&c->end, body);
	if (r == -ERR_AGAIN)
		return false;
	if (r <= 0) {
		end_reading(c, r == 0 ? ERR_EOF : (enum err)-r);
		return false;
	}
	note_read(c);
	h1_body_skip(&c->body, body);
	if (!c->body.done)
		return true;
	finish(c, (size_t)r > body);
	return false;
}

void up_answer_read(struct up_conn *c)
{
	bool more = true;

	while (more && c->stream->can & STREAM_IN) {
		if (x_is_unread(&c->end)) { /* it will be told so */
			stream_want_less(c->stream, STREAM_IN);
			return;
		}
		more = c->state == UP_TUNNEL ||
				       (c->state == UP_ANSWERING && c->body.framing != H1_CHUNKED)
			       ? read_body(c)
			       : read_lines(c);
	}
}
