#include "h2/priv.h"

/*
 * The scheduler (RFC 9218) and the gathering of frames. Frames of all streams go into one queue of full
 * slabs, so that records and sends are full too; what is queued is kept short, so that priorities decide
 * late.
 */
enum {
	QUEUE_BYTES = 64 * 1024,     /* gathered before a write */
	CLOGGED_BYTES = 96 * 1024,   /* unsent, and nothing more is read */
	TURN_BYTES = 256 * 1024,     /* of one connection in one flush */
	QUANTUM_BYTES = 64 * 1024,   /* of a stream that is not incremental, before the next has its turn */
	SMALL_BYTES = 16 * 1024,     /* an answer that ends within this goes first */
	OTHERS_PICK = 8,             /* each so many picks go to somebody who would have to wait */
};

bool h2_is_clogged(const struct h2c *c)
{
	return buf_len(&c->out) >= CLOGGED_BYTES;
}

static bool has_final_frame(const struct h2s *st)
{
	return x_at_end(&st->e);
}

bool h2_can_send(const struct h2s *st)
{
	if (st->local_ended || !st->e.x)
		return false;
	if (st->interim || st->final)
		return true;
	if (!st->head_sent)
		return false;
	if (x_fill(&st->e))
		return st->send_window > 0 && st->c->send_window > 0;
	return has_final_frame(st);
}

static bool is_small(const struct h2s *st)
{
	return x_will_end(&st->e) && x_fill(&st->e) <= SMALL_BYTES;
}

static void enqueue(struct h2s *st)
{
	struct list *queue = &st->c->ready[st->priority.urgency];

	if (is_small(st))
		list_push_front(queue, &st->ready);
	else
		list_push(queue, &st->ready);
}

void h2s_schedule(struct h2s *st)
{
	bool blocked = st->head_sent && !st->local_ended && st->e.x && x_fill(&st->e) && !h2_can_send(st);

	h2s_set_write_wait(st, blocked);
	if (!list_empty(&st->ready) || !h2_can_send(st))
		return;
	enqueue(st);
	h2c_wake(st->c);
}

/* ---- frames ---- */

static void put_header(struct h2c *c, size_t length, uint8_t type, uint8_t flags, uint32_t stream)
{
	uint8_t header[H2_FRAME_HEADER_BYTES];

	h2_frame_header(header, (uint32_t)length, type, flags, stream);
	buf_put(&c->out, header, sizeof header);
}

/* A field block as HEADERS and as many CONTINUATION frames as it takes. */
static void put_head(struct h2s *st, struct head *h, bool end_stream)
{
	struct h2c *c = st->c;
	uint8_t type = H2_HEADERS, flags = end_stream ? H2_END_STREAM : 0;
	struct buf block;

	buf_init(&block);
	hpack_encode(&c->encoder, h, &block);
	do {
		size_t n = MIN(buf_len(&block), (size_t)c->peer_max_frame);

		if (n == buf_len(&block))
			flags |= H2_END_HEADERS;
		put_header(c, n, type, flags, st->id);
		buf_move(&c->out, &block, n);
		type = H2_CONTINUATION;
		flags = 0;
	} while (buf_len(&block));
	buf_fini(&block);
}

/* 101 is h1's word for it (RFC 8441 section 5). */
static struct head *as_h2(struct h2s *st, struct head *h)
{
	if (st->e.x->tunnel) {
		h->status = 200;
		head_remove(h, FIELD_SEC_WEBSOCKET_ACCEPT);
	} else if (h->kind == HEAD_FINAL && h->length >= 0 && !head_find(h, FIELD_CONTENT_LENGTH) &&
		   (h->length > 0 || head_response_has_body(st->e.x->request, h))) {
		head_add_id(&st->e.x->arena, h, FIELD_CONTENT_LENGTH,
			    arena_printf(&st->e.x->arena, "%lld", (long long)h->length));
	}
	return h;
}

static void put_heads(struct h2s *st)
{
	for (; st->interim; st->interim = st->interim->next)
		put_head(st, st->interim->h, false);
	if (st->final) {
		bool end = has_final_frame(st) && !st->trailers;

		put_head(st, as_h2(st, st->final), end);
		st->final = NULL;
		st->head_sent = true;
		if (end)
			h2s_local_end(st);
	}
}

/* One DATA frame of at most max bytes; or what ends the stream. Returns body bytes sent. */
static size_t put_data(struct h2s *st, size_t max)
{
	struct h2c *c = st->c;
	struct iovec iov[8];
	size_t n = x_fill(&st->e);
	bool last;
	int pieces;

	if (n && (st->send_window <= 0 || c->send_window <= 0))
		return 0;
	n = MIN(n, max);
	n = MIN(n, (size_t)c->peer_max_frame);
	if (n) {
		n = MIN(n, (size_t)st->send_window);
		n = MIN(n, (size_t)c->send_window);
	}
	last = x_will_end(&st->e) && n == x_fill(&st->e);
	if (last && st->trailers) {
		if (n)
			put_header(c, n, H2_DATA, 0, st->id);
	} else {
		put_header(c, n, H2_DATA, last ? H2_END_STREAM : 0, st->id);
	}
	pieces = x_peek(&st->e, n, iov, ARRAY_SIZE(iov));
	for (int i = 0; i < pieces; i++)
		buf_put(&c->out, iov[i].iov_base, iov[i].iov_len);
	st->send_window -= (int64_t)n;
	c->send_window -= (int64_t)n;
	c->earned += 2;
	x_take(&st->e, n);
	if (last && st->trailers)
		put_head(st, st->trailers, true);
	if (last)
		h2s_local_end(st);
	return n;
}

/*
 * The first of the most urgent; now and then the last of the next lower urgency instead, or of the same:
 * so nobody starves.
 */
static struct h2s *pick(struct h2c *c)
{
	struct list *first = NULL, *next = NULL;

	for (unsigned u = 0; u < H2_URGENCIES && !next; u++) {
		if (list_empty(&c->ready[u]))
			continue;
		if (first)
			next = &c->ready[u];
		else
			first = &c->ready[u];
	}
	if (!first)
		return NULL;
	if (++c->picks % OTHERS_PICK)
		return list_entry(first->next, struct h2s, ready);
	return list_entry(next ? next->next : first->prev, struct h2s, ready);
}

/* Lets the stream whose turn it is send its share. Returns false when none can. */
static bool send_one(struct h2c *c)
{
	struct h2s *st = pick(c);
	size_t share, sent = 0;

	if (!st)
		return false;
	list_del(&st->ready);
	if (st->interim || st->final)
		put_heads(st);
	share = st->priority.incremental ? H2_MIN_MAX_FRAME_BYTES : QUANTUM_BYTES;
	while (sent < share && buf_len(&c->out) < QUEUE_BYTES && h2_can_send(st)) {
		size_t n = put_data(st, share - sent);

		sent += n;
		if (!n)
			break;
	}
	if (sent)
		h2s_set_write_wait(st, false);
	h2s_schedule(st);
	return true;
}

/* ---- writing ---- */

/* Returns false when the connection has ended. */
static bool write_out(struct h2c *c, bool *blocked)
{
	struct iovec iov[16];
	int n = buf_peek(&c->out, SIZE_MAX, iov, ARRAY_SIZE(iov));
	ssize_t r = stream_writev(c->s, iov, n);

	*blocked = r == -ERR_AGAIN;
	if (r < 0 && r != -ERR_AGAIN) {
		h2c_close(c, (enum err)-r);
		return false;
	}
	if (r > 0) {
		buf_drop(&c->out, (size_t)r);
		c->write_due_ms = 0;
	}
	return true;
}

static void want_what_can_go_on(struct h2c *c)
{
	unsigned want = STREAM_HUP;

	if (buf_len(&c->out)) {
		want |= STREAM_OUT;
		if (!c->write_due_ms)
			c->write_due_ms = loop_now_ms() + c->host->ops->timeouts(c->host)->write_ms;
	} else {
		c->write_due_ms = 0;
	}
	if (!h2_is_clogged(c) && !c->input_ended)
		want |= STREAM_IN;
	stream_want(c->s, c->input_ended ? want & ~(unsigned)STREAM_HUP : want);
}

void h2_flush(struct work *w)
{
	struct h2c *c = container_of(w, struct h2c, flush);
	size_t written = 0;
	bool blocked = false;

	if (c->state == H2C_CLOSED)
		return;
	while (!blocked && written < TURN_BYTES) {
		size_t before;

		while (buf_len(&c->out) < QUEUE_BYTES && send_one(c))
			;
		before = buf_len(&c->out);
		if (!before)
			break;
		if (!write_out(c, &blocked))
			return;
		written += before - buf_len(&c->out);
	}
	if (written >= TURN_BYTES)
		loop_post_next(&c->flush);
	want_what_can_go_on(c);
	h2c_settle(c);
}
