#include "h2/priv.h"

/* Without progress, once the answer to a request that has not ended was sent. */
enum { LINGER_STEP_MS = 2000 };

/* ---- the table of live streams ---- */

static struct h2s **bucket(const struct h2c *c, uint32_t id)
{
	/* client streams are odd */
	return (struct h2s **)(uintptr_t)&c->buckets[(id >> 1) % H2_BUCKETS];
}

struct h2s *h2s_find(const struct h2c *c, uint32_t id)
{
	struct h2s *st = *bucket(c, id);

	while (st && st->id != id)
		st = st->bucket_next;
	return st;
}

static void unlink_stream(struct h2s *st)
{
	struct h2s **at = bucket(st->c, st->id);

	while (*at != st)
		at = &(*at)->bucket_next;
	*at = st->bucket_next;
}

static void bury(struct grave *g)
{
	free(container_of(g, struct h2s, grave));
}

/* The stream is closed; its exchange has been left already. */
static void forget(struct h2s *st)
{
	struct h2c *c = st->c;

	BUG_ON(st->e.x);
	timer_stop(&st->timer);
	list_del(&st->node);
	list_del(&st->ready);
	unlink_stream(st);
	c->nstreams--;
	c->head_bytes -= st->head_bytes;
	h2_note_closed(c, st->id, st->reset_sent);
	loop_bury(&st->grave, bury);
	h2c_wake(c); /* a draining connection may be at its end; an idle one begins to wait */
}

static void leave(struct h2s *st)
{
	x_leave(&st->e);
	forget(st);
}

/* The client may stop sending: nobody reads it, and all it is to get was sent (RFC 9113 section 8.1). */
static void leave_early(struct h2s *st)
{
	h2_write_rst_stream(&st->c->out, st->id, H2_NO_ERROR);
	st->reset_sent = true;
	leave(st);
}

/* ---- time ---- */

/* Who does not read may have read meanwhile what it did not credit: only our own waiting counts. */
static void on_timer(struct timer *t)
{
	struct h2s *st = container_of(t, struct h2s, timer);
	uint64_t now = loop_now_ms(), body = st->body_due_ms, write = st->write_due_ms;

	if (write && write <= now) {
		h2s_reset(st, H2_CANCEL, ERR_WRITE_TIMEOUT);
		return;
	}
	if (body && body <= now) {
		st->body_due_ms = 0;
		if (st->linger_end_ms)
			leave_early(st);
		else if (st->e.x->tunnel)
			h2s_reset(st, H2_CANCEL, ERR_TUNNEL_TIMEOUT);
		else if (!x_refuse(&st->e, ERR_BODY_TIMEOUT))
			h2s_reset(st, H2_CANCEL, ERR_BODY_TIMEOUT);
		return;
	}
	if (!body || (write && write < body))
		body = write;
	if (body)
		timer_set(t, body - now);
}

static void wait_until(struct h2s *st, uint64_t *due_ms, uint64_t after_ms)
{
	*due_ms = loop_now_ms() + after_ms;
	if (!timer_is_set(&st->timer) || st->timer.due_ms > *due_ms)
		timer_set(&st->timer, after_ms);
}

/* A body is waited for only while the peer may send: what a full pipe holds back is not its fault. */
void h2s_wait_for_body(struct h2s *st)
{
	struct exchange *x = st->e.x;
	uint64_t left = st->linger_end_ms - MIN(st->linger_end_ms, loop_now_ms());

	if (st->linger_end_ms)
		wait_until(st, &st->body_due_ms, MIN(left, (uint64_t)LINGER_STEP_MS));
	else if (x->tunnel)
		wait_until(st, &st->body_due_ms, x->timeouts->tunnel_idle_ms);
	else if (st->remote_ended || st->recv_window <= 0 || x_is_unread(&st->e) || x->request->websocket)
		st->body_due_ms = 0;
	else /* once the answer has begun, both sides may stream for long */
		wait_until(st, &st->body_due_ms,
			   x->told_final ? x->timeouts->upstream_idle_ms : x->timeouts->request_body_ms);
}

void h2s_set_write_wait(struct h2s *st, bool blocked)
{
	if (!blocked)
		st->write_due_ms = 0;
	else if (!st->write_due_ms)
		wait_until(st, &st->write_due_ms, st->e.x->timeouts->write_ms);
}

/* ---- ends of a stream ---- */

/*
 * The answer is complete and the request is not. RFC 9113 section 8.1 has RST_STREAM(NO_ERROR) for that,
 * but clients drop the answer for it that they have not read yet (curl does). So what still comes is
 * taken first, into the void, as HTTP/1 does it.
 */
static void linger(struct h2s *st)
{
	st->linger_end_ms = loop_now_ms() + st->e.x->timeouts->linger_ms;
	h2s_credit(st);
}

void h2s_remote_end(struct h2s *st)
{
	st->remote_ended = true;
	h2s_wait_for_body(st);
	x_end(&st->e);
	if (st->local_ended)
		leave(st);
}

/* A tunnel whose other side has ended may still be sent to, until that does not read any more. */
static bool is_tunnel_in_use(struct h2s *st)
{
	if (!st->e.x->tunnel || x_is_unread(&st->e))
		return false;
	x_room(&st->e, SIZE_MAX); /* so that `room` tells when it leaves */
	return true;
}

/* What follows a refused CONNECT would have been a tunnel's bytes: no client waits for them to go. */
static bool may_send_body(const struct exchange *x)
{
	const struct head *h = x->request;

	return !x->tunnel && !(h && (h->websocket || str_eq(h->method, STR("CONNECT"))));
}

void h2s_local_end(struct h2s *st)
{
	st->local_ended = true;
	h2s_set_write_wait(st, false);
	list_del(&st->ready);
	h2c_note_answer(st->c);
	if (st->remote_ended)
		leave(st);
	else if (may_send_body(st->e.x))
		linger(st);
	else if (!is_tunnel_in_use(st))
		leave_early(st);
}

void h2s_drop(struct h2s *st, enum err why)
{
	if (st->e.x) /* else it hears of the other end's abort */
		x_abort(&st->e, why);
	forget(st);
}

void h2s_reset(struct h2s *st, enum h2_code code, enum err why)
{
	h2_write_rst_stream(&st->c->out, st->id, code);
	st->reset_sent = true;
	h2s_drop(st, why);
}

/* ---- what comes from the peer ---- */

void h2s_data(struct h2s *st, const uint8_t *p, size_t n)
{
	if (n)
		x_put(&st->e, p, n);
	h2s_credit(st);
}

/* Of the route where that has less than the connection announced; else it grows with the connection's. */
static uint64_t target_of(const struct h2s *st)
{
	uint64_t own = st->e.x->limits->pipe_bytes;

	return own < st->c->recv_initial_window ? own : MAX(own, st->c->recv_target);
}

/* A window is never larger than the room behind it. What nobody reads has all the room it wants. */
void h2s_credit(struct h2s *st)
{
	int64_t target = (int64_t)MIN(target_of(st), (uint64_t)H2_MAX_WINDOW), room;

	h2s_wait_for_body(st);
	if (st->remote_ended)
		return;
	if (st->e.x->pipe[X_UP].cap < (size_t)target)
		st->e.x->pipe[X_UP].cap = (size_t)target;
	room = (int64_t)x_room(&st->e, (size_t)target);
	if (room - st->recv_window < target / H2_CREDIT_SHARE)
		return;
	h2_write_window_update(&st->c->out, st->id, (uint32_t)(room - st->recv_window));
	st->recv_window = room;
	h2s_wait_for_body(st);
	h2c_wake(st->c);
}

/* ---- the four verbs ---- */

static struct h2s *of(struct end *e)
{
	return container_of(e, struct h2s, e);
}

static void add_interim(struct h2s *st, struct head *h)
{
	struct h2_head_link **at = &st->interim;
	struct h2_head_link *link = arena_new(&st->e.x->arena, struct h2_head_link);

	link->h = h;
	while (*at)
		at = &(*at)->next;
	*at = link;
}

static void on_head(struct end *e, struct head *h)
{
	struct h2s *st = of(e);

	switch (h->kind) {
	case HEAD_REQUEST: BUG_ON(true); break;
	case HEAD_INTERIM: add_interim(st, h); break;
	case HEAD_FINAL:
		st->final = h;
		if (!e->x->tunnel)
			break;
		h2s_wait_for_body(st);
		/* the client's END, when it came before: opening the tunnel has undone it */
		if (st->remote_ended && !e->x->pipe[X_UP].ended)
			x_end(e);
		break;
	case HEAD_TRAILERS: st->trailers = h; break;
	}
	h2s_schedule(st);
}

static void on_data(struct end *e)
{
	struct h2s *st = of(e);

	if (e->x->tunnel)
		h2s_wait_for_body(st);
	h2s_schedule(st);
}

static void on_room(struct end *e)
{
	struct h2s *st = of(e);
	struct h2c *c = st->c;

	if (st->local_ended && !is_tunnel_in_use(st))
		leave_early(st);
	else
		h2s_credit(st);
	h2c_credit(c);
}

/* The up end failed after its head: no END_STREAM, so that a truncated answer does not look complete. */
static void on_abort(struct end *e, enum err why)
{
	h2s_reset(of(e), why == ERR_DRAIN ? H2_CANCEL : H2_INTERNAL_ERROR, why);
	h2c_wake(of(e)->c);
}

const struct end_ops h2s_ops = {"h2", on_head, on_data, on_room, on_abort};

struct h2s *h2s_new(struct h2c *c, uint32_t id)
{
	struct h2s *st = base_zalloc(sizeof *st);

	st->e.ops = &h2s_ops;
	st->c = c;
	st->id = id;
	st->body_left = -1;
	st->priority = (struct h2_priority){.urgency = 3};
	st->send_window = c->peer_initial_window;
	st->recv_window = c->recv_initial_window;
	if (c->ack_due_ms) /* it may not know yet */
		st->recv_window = MAX(st->recv_window, (int64_t)H2_INITIAL_WINDOW);
	timer_init(&st->timer, on_timer);
	list_init(&st->ready);
	list_push(&c->streams, &st->node);
	st->bucket_next = *bucket(c, id);
	*bucket(c, id) = st;
	c->nstreams++;
	c->host->ops->begin(c->host, x_new(&st->e));
	st->e.x->facts.protocol = 20;
	return st;
}
