#include "h2/priv.h"

/* What each frame does: the states of RFC 9113 section 5.1, the rules of section 6, requests by section 8. */

/* ---- DATA ---- */

enum history { UNKNOWN, CLOSED, RESET_BY_US };

static enum history history(const struct h2c *c, uint32_t id)
{
	for (unsigned i = 0; i < H2_CLOSED_KEPT; i++)
		if ((c->closed[i] & ~H2_RESET_BY_US) == id)
			return c->closed[i] & H2_RESET_BY_US ? RESET_BY_US : CLOSED;
	return UNKNOWN;
}

void h2_note_closed(struct h2c *c, uint32_t id, bool reset_by_us)
{
	c->closed[c->closed_at++ % H2_CLOSED_KEPT] = id | (reset_by_us ? H2_RESET_BY_US : 0);
}

/* RFC 9113 section 5.1. Streams of even numbers would be ours, and there is none. */
static bool is_idle(const struct h2c *c, uint32_t id)
{
	return id > c->seen_id || !(id & 1);
}

/* A frame for a stream that is not live: idle (RFC 9113 section 5.1), or closed a while or a moment ago. */
static void stream_not_live(struct h2c *c, uint32_t id, bool is_data)
{
	if (is_idle(c, id)) {
		h2c_fail(c, H2_PROTOCOL_ERROR, "frame on an idle stream");
		return;
	}
	/* what was under way when our RST_STREAM was is ignored (RFC 9113 section 5.1) */
	if (history(c, id) == RESET_BY_US)
		return;
	if (h2c_charge(c, H2_ABUSE_CLOSED_STREAM) && is_data)
		h2_write_rst_stream(&c->out, id, H2_STREAM_CLOSED);
}

static void provoked(struct h2s *st, enum h2_code code, enum err why)
{
	struct h2c *c = st->c;

	h2s_reset(st, code, why);
	(void)!h2c_charge(c, H2_ABUSE_PROVOKED_RESET);
}

static bool length_is_wrong(struct h2s *st, size_t n, bool ends)
{
	if (st->body_left < 0)
		return false;
	if ((uint64_t)st->body_left < n)
		return true;
	st->body_left -= (int64_t)n;
	return ends && st->body_left > 0;
}

/* Body bytes beyond limits.request-body. A tunnel's are no body. */
static bool is_too_large(const struct h2s *st, size_t n)
{
	const struct exchange *x = st->e.x;

	return n && !x->request->websocket && !x_is_unread(&st->e) &&
	       x->pipe[X_UP].total_bytes + n > x->limits->request_body_bytes;
}

/* DATA that breaks no rule of its stream: n bytes of payload. */
static void take_data(struct h2s *st, const uint8_t *p, size_t n, bool ends)
{
	struct h2c *c = st->c;

	if (!n && !ends && !h2c_charge(c, H2_ABUSE_EMPTY_DATA))
		return;
	if (is_too_large(st, n)) {
		if (!x_refuse(&st->e, ERR_BODY_LARGE)) {
			h2s_reset(st, H2_CANCEL, ERR_BODY_LARGE);
			return;
		}
		n = 0;
	}
	if (n >= H2_DATA_EARNS_BYTES)
		h2c_earn(c, 1); /* who uploads may measure with PING */
	h2s_data(st, p, n);
	h2c_measure(c, n);
	if (ends)
		h2s_remote_end(st);
}

static void on_data(struct h2c *c, const struct h2_frame *f, const uint8_t *p, size_t n)
{
	struct h2s *st = h2s_find(c, f->stream);
	bool ends = f->flags & H2_END_STREAM;

	if (!h2_frame_unpad(f, &p, &n)) {
		h2c_fail(c, H2_PROTOCOL_ERROR, "padding longer than its frame");
		return;
	}
	/* the whole payload, padding included, counts for both windows (RFC 9113 section 6.9.1) */
	c->recv_window -= f->length;
	if (c->recv_window < 0) {
		h2c_fail(c, H2_FLOW_CONTROL_ERROR, "connection window exceeded");
		return;
	}
	if (!st) {
		stream_not_live(c, f->stream, true);
	} else if (st->remote_ended) {
		provoked(st, H2_STREAM_CLOSED, ERR_H2);
	} else if (st->recv_window < f->length) {
		provoked(st, H2_FLOW_CONTROL_ERROR, ERR_H2);
	} else if (length_is_wrong(st, n, ends)) {
		provoked(st, H2_PROTOCOL_ERROR, ERR_BAD_LENGTH);
	} else {
		st->recv_window -= f->length;
		take_data(st, p, n, ends);
	}
	h2c_credit(c);
}

/* ---- field blocks ---- */

/* For blocks of streams that are refused or closed: the decoder must stay in step. */
static enum err ignore_line(void *ctx, const struct hpack_line *l)
{
	(void)ctx;
	(void)l;
	return ERR_OK;
}

static bool decode(struct h2c *c, const uint8_t *p, size_t n, struct arena *a, struct h2_request *r,
		   enum err *e, bool *too_large)
{
	size_t max = r && r->trailers ? h2_limits(c)->trailers_bytes : h2_limits(c)->request_head_bytes;

	if (hpack_decode(&c->decoder, p, n, a, max, r ? h2_request_line : ignore_line, r, e, too_large))
		return true;
	h2c_fail(c, H2_COMPRESSION_ERROR, "field block does not decode (RFC 7541)");
	return false;
}

static bool decode_and_forget(struct h2c *c, const uint8_t *p, size_t n)
{
	struct arena a;
	bool too_large, ok;
	enum err e;

	arena_init(&a);
	ok = decode(c, p, n, &a, NULL, &e, &too_large);
	arena_fini(&a);
	return ok;
}

static void on_trailers(struct h2s *st, const uint8_t *p, size_t n, uint8_t flags)
{
	struct h2c *c = st->c;
	struct arena *a = &st->e.x->arena;
	struct h2_request r;
	bool too_large;
	enum err e;

	h2_request_init(&r, a, true, h2_limits(c)->request_fields, &st->priority);
	if (!decode(c, p, n, a, &r, &e, &too_large))
		return;
	if (st->remote_ended) {
		provoked(st, H2_STREAM_CLOSED, ERR_H2);
	} else if (st->e.x->request->websocket) {
		provoked(st, H2_PROTOCOL_ERROR, ERR_H2); /* RFC 9113 section 8.5: DATA only */
	} else if (!(flags & H2_END_STREAM) || e || length_is_wrong(st, 0, true)) {
		provoked(st, H2_PROTOCOL_ERROR, e ? e : ERR_BAD_LENGTH); /* RFC 9113 section 8.1 */
	} else if (too_large) {
		provoked(st, H2_ENHANCE_YOUR_CALM, ERR_TRAILERS_LARGE);
	} else {
		if (r.head->nfields)
			x_head(&st->e, r.head);
		h2s_remote_end(st);
	}
}

static void take_hint(struct h2c *c, struct h2s *st)
{
	for (unsigned i = 0; i < H2_HINTS; i++)
		if (c->hints[i].id == st->id)
			st->priority = c->hints[i].priority;
}

/* What is answered with a page rather than reset: it is a request, only one that is not served. */
static bool is_answered(enum err e)
{
	return e == ERR_CONNECT_REFUSED || e == ERR_TRACE_REFUSED || e == ERR_FIELDS_MANY ||
	       e == ERR_HEAD_LARGE || e == ERR_EXPECTATION || e == ERR_NOT_SERVED;
}

static void on_request(struct h2c *c, uint32_t id, const uint8_t *p, size_t n, uint8_t flags)
{
	struct h2s *st = h2s_new(c, id);
	struct arena *a = &st->e.x->arena;
	bool ends = flags & H2_END_STREAM, too_large;
	struct h2_request r;
	enum err e;

	h2_request_init(&r, a, false, h2_limits(c)->request_fields, &st->priority);
	if (!decode(c, p, n, a, &r, &e, &too_large))
		return;
	take_hint(c, st);
	if (too_large)
		e = ERR_HEAD_LARGE;
	if (!e)
		e = h2_request_finish(&r, !c->host->no_websocket_over_h2);
	if (!e && ends && r.length > 0)
		e = ERR_BAD_LENGTH;
	if (e && !is_answered(e)) {
		provoked(st, H2_PROTOCOL_ERROR, e);
		return;
	}
	if (ends && r.head->length < 0)
		r.head->length = 0;
	st->body_left = r.head->websocket ? -1 : r.length;
	st->head_bytes = (uint32_t)a->held_bytes;
	c->head_bytes += st->head_bytes;
	x_head(&st->e, r.head);
	if ((e == ERR_HEAD_LARGE || e == ERR_FIELDS_MANY) && !h2c_charge(c, H2_ABUSE_LARGE_HEAD))
		return;
	if (e)
		(void)!x_refuse(&st->e, e);
	if (ends)
		h2s_remote_end(st);
	else
		h2s_credit(st);
}

/* HEADERS for a stream that was opened before, and is over. */
static void block_of_closed(struct h2c *c, uint32_t id, const uint8_t *p, size_t n)
{
	enum history h = history(c, id);

	if (!decode_and_forget(c, p, n) || h == RESET_BY_US)
		return;
	/* or was skipped: then its number is too low (RFC 9113 section 5.1.1) */
	h2c_fail(c, h == CLOSED ? H2_STREAM_CLOSED : H2_PROTOCOL_ERROR, "HEADERS on a closed stream");
}

/* RFC 9113 section 8.7: not processed, so it may be sent again. What follows on the stream is ignored. */
static void refuse(struct h2c *c, uint32_t id, const uint8_t *p, size_t n)
{
	if (!decode_and_forget(c, p, n))
		return;
	h2_note_closed(c, id, true);
	h2_write_rst_stream(&c->out, id, H2_REFUSED_STREAM);
}

static bool has_no_room(struct h2c *c)
{
	const struct limits *l = h2_limits(c);

	return c->nstreams >= l->h2_streams || !slab_room() ||
	       c->head_bytes > H2_HEADS_PER_BUFFER * l->h2_connection_buffer_bytes;
}

/* A whole block: a request, trailers, or of a stream that takes none. */
static void on_block(struct h2c *c, uint32_t id, const uint8_t *p, size_t n, uint8_t flags)
{
	struct h2s *st = h2s_find(c, id);

	if (st) {
		on_trailers(st, p, n, flags);
		return;
	}
	if (!is_idle(c, id)) {
		block_of_closed(c, id, p, n);
		return;
	}
	c->seen_id = id;
	if (c->goaway_sent) { /* beyond the last one we take (RFC 9113 section 6.8) */
		refuse(c, id, p, n);
	} else if (has_no_room(c)) {
		c->last_id = id;
		if (h2c_charge(c, H2_ABUSE_REFUSED_STREAM))
			refuse(c, id, p, n);
	} else {
		c->last_id = id;
		on_request(c, id, p, n, flags);
	}
}

static void on_headers(struct h2c *c, const struct h2_frame *f, const uint8_t *p, size_t n)
{
	bool self = false;

	if (!(f->stream & 1)) {
		h2c_fail(c, H2_PROTOCOL_ERROR, "stream id is even (RFC 9113 section 5.1.1)");
		return;
	}
	if (!h2_frame_unpad(f, &p, &n) || (f->flags & H2_PRIORITY_FLAG && n < 5)) {
		h2c_fail(c, H2_PROTOCOL_ERROR, "HEADERS shorter than its parts");
		return;
	}
	if (f->flags & H2_PRIORITY_FLAG) {
		/*
		 * RFC 7540's priorities are not used, but a self-dependency is still an error of the
		 * stream there
		 */
		self = (h2_get32(p) & 0x7fffffff) == f->stream;
		p += 5;
		n -= 5;
	}
	if (f->flags & H2_END_HEADERS) {
		on_block(c, f->stream, p, n, f->flags);
	} else {
		c->block = (struct h2_block){.stream = f->stream, .flags = f->flags, .n = n};
		c->block.p = base_alloc(n + 1);
		memcpy(c->block.p, p, n);
		c->block.priority_self = self;
		return;
	}
	if (self && h2s_find(c, f->stream))
		provoked(h2s_find(c, f->stream), H2_PROTOCOL_ERROR, ERR_H2);
}

static void on_continuation(struct h2c *c, const struct h2_frame *f, const uint8_t *p, size_t n)
{
	struct h2_block b = c->block;

	if (!b.stream || b.stream != f->stream) {
		h2c_fail(c, H2_PROTOCOL_ERROR, "CONTINUATION without its HEADERS");
		return;
	}
	/* as much as a list that is answered with 431 may take, compressed; a flood never gets that far */
	if (b.n + n > 2 * h2_limits(c)->request_head_bytes) {
		h2c_fail(c, H2_ENHANCE_YOUR_CALM, "field block over limits.request-head");
		return;
	}
	if (!h2c_charge(c, H2_ABUSE_CONTINUATION))
		return;
	c->block.p = b.p = base_realloc(b.p, b.n + n + 1);
	memcpy(b.p + b.n, p, n);
	c->block.n = b.n += n;
	if (!(f->flags & H2_END_HEADERS))
		return;
	c->block = (struct h2_block){0};
	on_block(c, f->stream, b.p, b.n, b.flags);
	free(b.p);
	if (b.priority_self && h2s_find(c, f->stream))
		provoked(h2s_find(c, f->stream), H2_PROTOCOL_ERROR, ERR_H2);
}

/* ---- control ---- */

static void on_priority(struct h2c *c, const struct h2_frame *f, const uint8_t *p)
{
	struct h2s *st = h2s_find(c, f->stream);

	if ((h2_get32(p) & 0x7fffffff) == f->stream) {
		/* RFC 7540 section 5.3.1 */
		if (st)
			provoked(st, H2_PROTOCOL_ERROR, ERR_H2);
		else if (h2c_charge(c, H2_ABUSE_PROVOKED_RESET))
			h2_write_rst_stream(&c->out, f->stream, H2_PROTOCOL_ERROR);
		return;
	}
	(void)!h2c_is_earned(c, H2_ABUSE_PRIORITY);
}

/* RFC 9218 section 7.1. */
static void on_priority_update(struct h2c *c, const uint8_t *p, size_t n)
{
	uint32_t id = h2_get32(p) & 0x7fffffff;
	struct h2s *st = h2s_find(c, id);
	struct h2_priority fresh = {.urgency = 3};

	if (id == 0 || !(id & 1)) {
		h2c_fail(c, H2_PROTOCOL_ERROR, "PRIORITY_UPDATE of no stream");
		return;
	}
	if (!h2c_is_earned(c, H2_ABUSE_PRIORITY))
		return;
	h2_priority_read(&fresh, str_of((const char *)p + 4, n - 4));
	if (st) {
		st->priority = fresh;
		list_del(&st->ready);
		h2s_schedule(st);
	} else if (is_idle(c, id)) {
		unsigned at = c->hint_at++ % H2_HINTS;

		c->hints[at].id = id;
		c->hints[at].priority = fresh;
	}
}

static void on_rst_stream(struct h2c *c, const struct h2_frame *f)
{
	struct h2s *st = h2s_find(c, f->stream);

	if (!st) {
		stream_not_live(c, f->stream, false);
		return;
	}
	h2s_drop(st, ERR_GONE);
	(void)!h2c_charge(c, H2_ABUSE_CLIENT_RESET);
}

static bool set_initial_window(struct h2c *c, uint32_t value)
{
	int64_t delta = (int64_t)value - c->peer_initial_window;

	c->peer_initial_window = value;
	list_for_each (pos, &c->streams) {
		struct h2s *st = list_entry(pos, struct h2s, node);

		st->send_window += delta;
		if (st->send_window > H2_MAX_WINDOW)
			return false;
		h2s_schedule(st);
	}
	return true;
}

/* Ours hold from now on: until then a client that did not know them could send more than that. */
static void on_settings_ack(struct h2c *c)
{
	if (!c->ack_due_ms) {
		(void)!h2c_charge(c, H2_ABUSE_SETTINGS);
		return;
	}
	c->ack_due_ms = 0;
	if (c->recv_initial_window < H2_INITIAL_WINDOW)
		list_for_each (pos, &c->streams)
			list_entry(pos, struct h2s, node)->recv_window -=
				H2_INITIAL_WINDOW - (int64_t)c->recv_initial_window;
}

static void on_settings(struct h2c *c, const struct h2_frame *f, const uint8_t *p, size_t n)
{
	if (f->flags & H2_ACK) {
		on_settings_ack(c);
		return;
	}
	if (!h2c_charge(c, H2_ABUSE_SETTINGS))
		return;
	for (; n >= 6; p += 6, n -= 6) {
		uint16_t id = h2_get16(p);
		uint32_t value = h2_get32(p + 2);
		enum h2_code code = h2_setting_check(id, value);

		/* MAX_FRAME_SIZE: ours are never larger than its smallest value */
		if (!code && id == H2_SETTING_HEADER_TABLE_SIZE)
			hpack_encoder_resize(&c->encoder, value);
		else if (!code && id == H2_SETTING_INITIAL_WINDOW_SIZE && !set_initial_window(c, value))
			code = H2_FLOW_CONTROL_ERROR;
		if (code) {
			h2c_fail(c, code, "setting out of its range (RFC 9113 section 6.5.2)");
			return;
		}
	}
	h2_write_settings_ack(&c->out);
}

static void on_ping(struct h2c *c, const struct h2_frame *f, const uint8_t *p)
{
	if (f->flags & H2_ACK)
		h2c_pong(c, p);
	else if (h2c_is_earned(c, H2_ABUSE_PING))
		h2_write_ping(&c->out, p, true);
}

static void on_window_update(struct h2c *c, const struct h2_frame *f, const uint8_t *p)
{
	uint32_t increment = h2_get32(p) & 0x7fffffff;
	struct h2s *st = f->stream ? h2s_find(c, f->stream) : NULL;

	if (f->stream && !st) {
		if (is_idle(c, f->stream))
			h2c_fail(c, H2_PROTOCOL_ERROR, "frame on an idle stream");
		return; /* a closed one: they cross (RFC 9113 section 5.1) */
	}
	if (!h2c_is_earned(c, H2_ABUSE_WINDOW_UPDATE))
		return;
	if (!f->stream) {
		if (!increment || c->send_window + increment > H2_MAX_WINDOW) {
			h2c_fail(c, increment ? H2_FLOW_CONTROL_ERROR : H2_PROTOCOL_ERROR,
				 "WINDOW_UPDATE out of its range");
			return;
		}
		c->send_window += increment;
		if (c->send_window - increment <= 0)
			list_for_each (pos, &c->streams)
				h2s_schedule(list_entry(pos, struct h2s, node));
		return;
	}
	if (!increment || st->send_window + increment > H2_MAX_WINDOW) {
		provoked(st, increment ? H2_FLOW_CONTROL_ERROR : H2_PROTOCOL_ERROR, ERR_H2);
		return;
	}
	st->send_window += increment;
	h2s_schedule(st);
}

void h2_on_frame(struct h2c *c, const struct h2_frame *f, const uint8_t *p)
{
	enum h2_code code;

	if (c->block.stream && f->type != H2_CONTINUATION) {
		h2c_fail(c, H2_PROTOCOL_ERROR, "frame inside a field block (RFC 9113 section 4.3)");
		return;
	}
	switch (h2_frame_check(f, H2_MIN_MAX_FRAME_BYTES, &code)) {
	case H2_CONNECTION_ERROR:
		h2c_fail(c, code, "frame of wrong size or place (RFC 9113 section 6)");
		return;
	case H2_STREAM_ERROR: /* of PRIORITY only */
		if (h2s_find(c, f->stream))
			provoked(h2s_find(c, f->stream), code, ERR_H2);
		else if (h2c_charge(c, H2_ABUSE_PROVOKED_RESET))
			h2_write_rst_stream(&c->out, f->stream, code);
		return;
	case H2_OK: break;
	}
	switch (f->type) {
	case H2_DATA: on_data(c, f, p, f->length); break;
	case H2_HEADERS: on_headers(c, f, p, f->length); break;
	case H2_PRIORITY: on_priority(c, f, p); break;
	case H2_RST_STREAM: on_rst_stream(c, f); break;
	case H2_SETTINGS: on_settings(c, f, p, f->length); break;
	case H2_PUSH_PROMISE:
		h2c_fail(c, H2_PROTOCOL_ERROR, "PUSH_PROMISE from a client (RFC 9113 section 8.4)");
		break;
	case H2_PING: on_ping(c, f, p); break;
	case H2_WINDOW_UPDATE: on_window_update(c, f, p); break;
	case H2_CONTINUATION: on_continuation(c, f, p, f->length); break;
	case H2_PRIORITY_UPDATE: on_priority_update(c, p, f->length); break;
	case H2_GOAWAY: /* the client will end; its streams go on */
	default: /* RFC 9113 section 5.5: ignored */ (void)!h2c_charge(c, H2_ABUSE_UNKNOWN_FRAME);
	}
}
