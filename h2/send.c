#include "h2/priv.h"

/*
 * The scheduler (RFC 9218) and the gathering of frames. Frames of all streams go into one queue of full
 * slabs, so that records and sends are full too; what is queued is kept short, so that priorities decide
 * late.
 */
enum {
	QUEUE_BYTES = 64 * 1024,   /* gathered before a write */
	CLOGGED_BYTES = 96 * 1024, /* unsent, and nothing more is read */
	TURN_BYTES = 256 * 1024,   /* of one connection in one flush */
	QUANTUM_BYTES = 64 * 1024, /* of a stream that is not incremental, before the next has its turn */
	SMALL_BYTES = 16 * 1024,   /* an answer that ends within this goes first */
	OTHERS_PICK = 8,	   /* each so many picks go to somebody who would have to wait */
};

bool h2_is_clogged(const struct h2c *c)
{
	return buf_len(&c->out) >= CLOGGED_BYTES;
}

static bool can_send(const struct h2s *st)
{
	if (st->local_ended)
		return false;
	if (st->interim || st->final)
		return true;
	if (!st->head_sent)
		return false;
	if (x_fill(&st->e))
		return st->send_window > 0 && st->c->send_window > 0;
	return x_at_end(&st->e);
}

static bool is_small(const struct h2s *st)
{
	return x_will_end(&st->e) && x_fill(&st->e) <= SMALL_BYTES;
}

/* Puts it into its queue if it can send; notes how long it could not. */
static void enqueue(struct h2s *st, bool goes_on)
{
	struct list *queue = &st->c->ready[st->priority.urgency];

	if (!can_send(st)) {
		h2s_set_write_wait(st, st->head_sent && !st->local_ended && x_fill(&st->e));
		return;
	}
	h2s_set_write_wait(st, false);
	if (goes_on || is_small(st))
		list_push_front(queue, &st->ready);
	else
		list_push(queue, &st->ready);
}

void h2s_schedule(struct h2s *st)
{
	if (!list_empty(&st->ready))
		return;
	enqueue(st, false);
	if (!list_empty(&st->ready))
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
		size_t n = MIN(buf_len(&block), (size_t)H2_MIN_MAX_FRAME_BYTES);

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
		h->status = st->e.x->facts.status = 200;
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
		bool end = x_at_end(&st->e) && !st->trailers;

		put_head(st, as_h2(st, st->final), end);
		st->final = NULL;
		st->head_sent = true;
		if (end)
			h2s_local_end(st);
	}
}

/* n bytes of the body behind their frame header. */
static void put_payload(struct h2s *st, size_t n)
{
	struct iovec iov[8];

	while (n) {
		int pieces = x_peek(&st->e, n, iov, ARRAY_SIZE(iov));
		size_t taken = 0;

		for (int i = 0; i < pieces; i++) {
			buf_put(&st->c->out, iov[i].iov_base, iov[i].iov_len);
			taken += iov[i].iov_len;
		}
		x_take(&st->e, taken);
		n -= taken;
	}
}

/*
 * One DATA frame of at most max bytes, or what ends the stream, or both. Returns body bytes sent; the
 * stream may be gone then (st->local_ended).
 */
static size_t put_data(struct h2s *st, size_t max)
{
	struct h2c *c = st->c;
	size_t fill = x_fill(&st->e), n;
	bool last;

	max = MIN(max, (size_t)H2_MIN_MAX_FRAME_BYTES);
	n = MIN(fill, max);
	if (n) { /* can_send: both windows are open */
		n = MIN(n, (size_t)st->send_window);
		n = MIN(n, (size_t)c->send_window);
	}
	last = n == fill && x_will_end(&st->e);
	/* small frames that small windows made give no reason to answer each of them */
	if (n == fill || n >= H2_DATA_EARNS_BYTES)
		h2c_earn(c, 2);
	if (n || !last || !st->trailers)
		put_header(c, n, H2_DATA, last && !st->trailers ? H2_END_STREAM : 0, st->id);
	st->send_window -= (int64_t)n;
	c->send_window -= (int64_t)n;
	put_payload(st, n);
	if (last && st->trailers)
		put_head(st, st->trailers, true);
	if (last)
		h2s_local_end(st);
	return n;
}

/*
 * The first of the most urgent. Now and then somebody who would have to wait for all of them: the last of
 * these, or the first of a lower urgency, each of them in turn. So nobody starves.
 */
static struct h2s *pick(struct h2c *c, bool *out_of_turn)
{
	struct list *queues[H2_URGENCIES], *n;
	unsigned nqueues = 0, i;

	for (unsigned u = 0; u < H2_URGENCIES; u++)
		if (!list_empty(&c->ready[u]))
			queues[nqueues++] = &c->ready[u];
	if (!nqueues)
		return NULL;
	*out_of_turn = ++c->picks % OTHERS_PICK == 0;
	i = *out_of_turn ? c->picks / OTHERS_PICK % nqueues : 0;
	n = *out_of_turn && i == 0 ? queues[0]->prev : queues[i]->next;
	return list_entry(n, struct h2s, ready);
}

/*
 * Lets the stream whose turn it is send its share. Incremental ones share frame by frame; others go on
 * until they are through, or have nothing to send (RFC 9218 section 10). Returns false when none can send.
 */
static bool send_one(struct h2c *c)
{
	bool out_of_turn;
	struct h2s *st = pick(c, &out_of_turn);
	size_t share, sent = 0;

	if (!st)
		return false;
	list_del(&st->ready);
	if (st->interim || st->final)
		put_heads(st);
	share = st->priority.incremental ? H2_MIN_MAX_FRAME_BYTES : QUANTUM_BYTES;
	while (sent < share && buf_len(&c->out) < QUEUE_BYTES && can_send(st))
		sent += put_data(st, share - sent);
	if (!st->local_ended)
		enqueue(st, !out_of_turn && !st->priority.incremental);
	return true;
}

/* ---- writing ---- */

bool h2_write_out(struct h2c *c)
{
	struct iovec iov[16];
	int n = buf_peek(&c->out, SIZE_MAX, iov, ARRAY_SIZE(iov));
	ssize_t r = stream_writev(c->s, iov, n);

	if (r < 0 && r != -ERR_AGAIN) {
		h2c_close(c, (enum err) - r);
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
			h2c_wait_for_reader(c);
	} else if (!c->is_shut) {
		c->write_due_ms = 0;
	}
	if (!h2_is_clogged(c))
		want |= STREAM_IN;
	stream_want(c->s, want);
}

void h2_flush(struct work *w)
{
	struct h2c *c = container_of(w, struct h2c, flush);
	size_t written = 0;

	while (written < TURN_BYTES) {
		size_t before;

		while (buf_len(&c->out) < QUEUE_BYTES && send_one(c))
			;
		before = buf_len(&c->out);
		if (!before || !(c->s->can & STREAM_OUT))
			break;
		if (!h2_write_out(c))
			return;
		written += before - buf_len(&c->out);
	}
	if (written >= TURN_BYTES)
		loop_post_next(&c->flush);
	want_what_can_go_on(c);
	h2c_settle(c);
}
