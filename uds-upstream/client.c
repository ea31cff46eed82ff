/*
 * client.c - the life of an upstream connection: the verbs of an up end, sending, time, its end.
 *
 * A request goes out in one gathered write a turn: the head and whatever of the body has come by then
 * (flush, which the loop runs behind the exchange queue). What comes back is answer.c's.
 */
#include "uds-upstream/priv.h"

/* ---- state ---- */

#define MAY(state) (1u << UP_##state)

/* From which state to which; whatever a state, it may end. */
static const unsigned transitions[] = {
	[UP_IDLE] = MAY(ATTACHED) | MAY(CLOSED),
	[UP_ATTACHED] = MAY(RESTING) | MAY(WAITING) | MAY(DIALLING) | MAY(ASKED) | MAY(CLOSED),
	[UP_RESTING] = MAY(WAITING) | MAY(DIALLING) | MAY(CLOSED),
	[UP_WAITING] = MAY(DIALLING) | MAY(ASKED) | MAY(CLOSED),
	[UP_DIALLING] = MAY(SECURING) | MAY(WAITING) | MAY(ASKED) | MAY(CLOSED),
	[UP_SECURING] = MAY(WAITING) | MAY(ASKED) | MAY(CLOSED),
	[UP_ASKED] = MAY(ANSWERING) | MAY(TUNNEL) | MAY(CLOSED),
	[UP_ANSWERING] = MAY(IDLE) | MAY(CLOSED),
	[UP_TUNNEL] = MAY(CLOSED),
	[UP_CLOSED] = 0,
};

void up_conn_enter(struct up_conn *c, enum up_state s)
{
	BUG_ON(!(transitions[c->state] & 1u << s));
	c->state = s;
}

static void on_timer(struct timer *timer);
static void on_flush(struct work *w);
static const struct end_ops up_end_ops;

struct up_conn *up_conn_new(struct up_target *t)
{
	struct up_conn *c = base_zalloc(sizeof *c);

	c->end.ops = &up_end_ops;
	c->target = t;
	c->state = UP_ATTACHED;
	list_init(&c->node);
	h1_out_init(&c->out);
	buf_init(&c->rest);
	timer_init(&c->timer, on_timer);
	work_init(&c->flush, on_flush);
	t->nconns++;
	return c;
}

static void bury(struct grave *g)
{
	free(container_of(g, struct up_conn, grave));
}

void up_conn_drop_stream(struct up_conn *c)
{
	if (!c->stream)
		return;
	if (c->target->tls)
		stream_shutdown(c->stream); /* close_notify comes first: RFC 8446 section 6.1 */
	stream_close(c->stream);
	c->stream = NULL;
	up_pool_uncount(c);
}

void up_conn_close(struct up_conn *c)
{
	struct up_target *t = c->target;

	BUG_ON(c->end.x);
	up_pool_forget(c);
	up_queue_forget(c);
	up_conn_enter(c, UP_CLOSED);
	dial_cancel(&c->dial);
	up_conn_drop_stream(c);
	up_pool_uncount(c);
	timer_stop(&c->timer);
	work_cancel(&c->flush);
	h1_out_fini(&c->out);
	buf_fini(&c->rest);
	t->nconns--;
	up_target_free_if_unused(t);
	loop_bury(&c->grave, bury);
}

void up_conn_give_up(struct up_conn *c, enum err why)
{
	c->target->stats.lost += err_status(why) >= 500;
	x_abort(&c->end, why);
	up_conn_close(c);
}

void up_conn_fail(struct up_conn *c, enum err why)
{
	log_info("%s: %s", c->target->name, err_text(why));
	up_conn_give_up(c, why);
}

/* ---- time ---- */

/* One direction of the tunnel is over. */
static bool is_half_open(const struct up_conn *c)
{
	return c->shut || c->deaf || c->read_ended;
}

/*
 * The timer is never stopped between two requests, only set again: that is a store. So it may also expire
 * in a state that has none.
 */
void up_conn_arm(struct up_conn *c)
{
	const struct timeouts *t = c->end.x->timeouts;

	switch (c->state) {
	case UP_WAITING:
	case UP_ASKED:
		timer_set(&c->timer, c->awaits_continue ? UP_CONTINUE_MS : t->upstream_response_ms);
		break;
	case UP_ANSWERING: timer_set(&c->timer, t->upstream_idle_ms); break;
	case UP_RESTING: timer_set(&c->timer, UP_REST_MS); break;
	case UP_TUNNEL: /* otherwise timed by the down end */
		if (is_half_open(c))
			timer_set(&c->timer, t->tunnel_half_open_ms);
		break;
	case UP_IDLE:
	case UP_ATTACHED:
	case UP_DIALLING: /* timed by the dial */
	case UP_SECURING: /* by what is left of its time */
	case UP_CLOSED: break;
	}
}

/* It is not the upstream that keeps us waiting: we do not read, or there is nothing to be sent yet. */
static bool waits_for_down(const struct up_conn *c)
{
	if (!(c->stream->want & STREAM_IN))
		return true;
	return c->state == UP_ASKED && !c->deaf && !up_conn_has_sent(c) && h1_out_is_empty(&c->out) &&
	       x_fill(&c->end) == 0;
}

static void tell_continue(struct up_conn *c)
{
	struct exchange *x = c->end.x;
	struct head *h = head_new(&x->arena, HEAD_INTERIM);

	h->minor = 1;
	h->status = 100;
	h->reason = STR("Continue");
	h->length = 0;
	c->awaits_continue = false;
	x_head(&c->end, h);
}

static void on_timer(struct timer *timer)
{
	struct up_conn *c = container_of(timer, struct up_conn, timer);

	switch (c->state) {
	case UP_RESTING:
		list_del(&c->node);
		up_conn_connect(c, false);
		return;
	case UP_WAITING:
		up_conn_fail(c, outage_is_on(&c->target->outage) ? c->target->outage.why : ERR_UP_BUSY);
		return;
	case UP_SECURING:
		up_conn_not_secured_in_time(c);
		return;
	case UP_ASKED:
		if (c->awaits_continue)
			tell_continue(c);
		else if (!waits_for_down(c)) {
			up_conn_fail(c, ERR_UP_RESPONSE_TIMEOUT);
			return;
		}
		up_conn_arm(c);
		return;
	case UP_ANSWERING:
		if (waits_for_down(c))
			up_conn_arm(c);
		else
			up_conn_fail(c, ERR_UP_IDLE_TIMEOUT);
		return;
	case UP_TUNNEL:
		if (!is_half_open(c))
			return;
		if (!c->read_ended && waits_for_down(c))
			up_conn_arm(c);
		else
			up_conn_fail(c, ERR_TUNNEL_HALF_OPEN);
		return;
	case UP_IDLE:
	case UP_ATTACHED:
	case UP_DIALLING:
	case UP_CLOSED: return;
	}
}

/* ---- sending ---- */

bool up_conn_has_sent(const struct up_conn *c)
{
	return c->out.ended && h1_out_is_empty(&c->out);
}

void up_conn_end_tunnel(struct up_conn *c)
{
	if (c->state != UP_TUNNEL)
		return;
	if (!c->read_ended || !(c->shut || c->deaf)) {
		up_conn_arm(c);
		return;
	}
	x_leave(&c->end);
	up_conn_close(c);
}

static void note_written(struct up_conn *c, size_t from_pipe)
{
	struct x_facts *facts = &c->end.x->facts;

	if (!c->written) {
		c->written = true;
		facts->sent = true;
		facts->sends++;
	}
	if (from_pipe > 0)
		c->awaits_continue = false; /* the client did not wait */
	up_conn_arm(c);
}

/* Writes until all that was told is accepted. Returns ERR_OK then, ERR_AGAIN, or why nothing more will be. */
static enum err send_all(struct up_conn *c)
{
	struct iovec pipe[UP_PIECES], iov[UP_PIECES + 4];

	while (c->stream->can & STREAM_OUT) {
		int npipe = x_peek(&c->end, SIZE_MAX, pipe, UP_PIECES), n;
		size_t peeked = 0, gathered, from_pipe;
		ssize_t r;

		for (int i = 0; i < npipe; i++)
			peeked += pipe[i].iov_len;
		n = h1_out_gather(&c->out, pipe, npipe, c->body_told && peeked == x_fill(&c->end),
				  c->trailers, iov, ARRAY_SIZE(iov), &gathered);
		if (n == 0)
			return ERR_OK;
		r = stream_writev(c->stream, iov, n);
		if (r < 0)
			return (enum err)-r;
		from_pipe = h1_out_sent(&c->out, (size_t)r);
		x_take(&c->end, from_pipe);
		note_written(c, from_pipe);
	}
	return ERR_AGAIN;
}

/*
 * Nothing more can be sent. That alone is no failure: an upstream may have answered before it closed its
 * ears, and its answer is read first. But a kept connection that took nothing at all was over before.
 */
static void go_deaf(struct up_conn *c)
{
	if (c->reused && !c->written) {
		up_conn_fail(c, ERR_UP_STALE);
		return;
	}
	c->deaf = true;
	stream_want_less(c->stream, STREAM_OUT);
	up_conn_end_tunnel(c);
}

static void on_flush(struct work *w)
{
	struct up_conn *c = container_of(w, struct up_conn, flush);
	enum err e;

	if (c->deaf || c->shut)
		return;
	e = send_all(c);
	if (e == ERR_AGAIN) {
		stream_want_more(c->stream, STREAM_OUT);
	} else if (e != ERR_OK) {
		go_deaf(c);
	} else if (c->body_told && !c->out.ended) {
		up_conn_fail(c, ERR_BODY_SHORT);
	} else if (c->state == UP_TUNNEL && c->body_told) {
		c->shut = true;
		stream_shutdown(c->stream);
		up_conn_end_tunnel(c);
	}
}

/* ---- on a connection ---- */

static void on_ready(struct stream *s)
{
	struct up_conn *c = s->owner;
	unsigned can = s->can & s->want;

	if (can & STREAM_OUT) {
		stream_want_less(s, STREAM_OUT);
		loop_post(&c->flush);
	}
	if (!(can & STREAM_IN))
		return;
	if (c->state != UP_IDLE && c->state != UP_ATTACHED) {
		up_answer_read(c);
		return;
	}
	/* its end, or bytes that nobody asked for; under TLS, perhaps only a ticket */
	if (up_conn_is_quiet(c))
		return;
	if (c->state == UP_IDLE)
		up_conn_close(c);
	else
		up_conn_drop_stream(c);
}

void up_conn_begin(struct up_conn *c)
{
	enum h1_framing framing = h1_request_framing(c->request);

	c->target->stats.waited += c->end.x->facts.queue_us > 0;
	up_conn_enter(c, UP_ASKED);
	c->written = c->deaf = c->shut = c->read_ended = false;
	c->awaits_continue = c->request->expect_continue;
	stream_own(c->stream, c, on_ready);
	h1_write_request(&c->out.own, c->request, framing);
	h1_out_begin(&c->out, framing, framing == H1_LENGTH ? (uint64_t)c->request->length : 0);
	up_answer_begin(c);
	up_conn_arm(c);
	stream_want(c->stream, STREAM_IN);
	loop_post(&c->flush);
}

/* ---- the verbs ---- */

static struct up_conn *conn_of(struct end *e)
{
	return container_of(e, struct up_conn, end);
}

/*
 * An extended CONNECT (RFC 8441 section 5) goes up as the GET that RFC 6455 knows, with a key of our own.
 */
static struct head *as_websocket(struct exchange *x, const struct head *connect)
{
	struct head *h = arena_alloc(&x->arena, sizeof *h);
	char *key = arena_alloc(&x->arena, UP_WEBSOCKET_KEY_BYTES);

	*h = *connect;
	h->cap = h->nfields; /* the array is the other head's: adding makes a new one */
	h->method = STR("GET");
	h->length = 0;
	up_websocket_make_key(key);
	h->websocket_key = str_of(key, UP_WEBSOCKET_KEY_BYTES);
	head_set(&x->arena, h, FIELD_SEC_WEBSOCKET_KEY, h->websocket_key);
	if (!head_find_name(h, STR("sec-websocket-version")))
		head_add(&x->arena, h, STR("sec-websocket-version"), STR("13"));
	return h;
}

static void up_head(struct end *e, struct head *h)
{
	struct up_conn *c = conn_of(e);

	if (h->kind == HEAD_TRAILERS) {
		c->trailers = h;
		return;
	}
	c->request = h->websocket && str_eq(h->method, STR("CONNECT")) ? as_websocket(e->x, h) : h;
	c->trailers = NULL;
	c->body_told = false;
	if (e->x->facts.sends > 0)
		up_queue_rest(c);
	else
		up_conn_connect(c, false);
}

static void up_data(struct end *e)
{
	struct up_conn *c = conn_of(e);

	c->body_told = x_will_end(e);
	if (c->state >= UP_ASKED)
		loop_post(&c->flush);
}

static void up_room(struct end *e)
{
	struct up_conn *c = conn_of(e);

	if (c->state < UP_ASKED || c->read_ended)
		return;
	stream_want_more(c->stream, STREAM_IN);
	up_conn_arm(c);
}

/* The client is gone, or somebody else answers it. An upload that is broken off ends short. */
static void up_abort(struct end *e, enum err why)
{
	(void)why;
	up_conn_close(conn_of(e));
}

static const struct end_ops up_end_ops = { "upstream", up_head, up_data, up_room, up_abort };

void up_open(struct exchange *x, struct up_target *t)
{
	bool again = x->facts.tries > 0;
	struct up_conn *c = NULL;

	x->facts.upstream = t->name;
	x->facts.error = ERR_OK; /* a failure that is made good is none */
	if (!again && list_empty(&t->waiting))
		c = up_pool_take(t);
	if (!c)
		c = up_conn_new(t);
	t->stats.requests += !again;
	t->stats.again += again;
	c->is_held = c->is_tried = false;
	c->wants_new = again; /* not on yet another connection that may be stale */
	x_attach(x, &c->end);
}

bool up_may_retry(const struct exchange *x, enum err why)
{
	const struct x_facts *f = &x->facts;
	const struct pipe *body = &x->pipe[X_UP];

	if (why != ERR_UP_STALE && why != ERR_UP_CLOSED && why != ERR_UP_RESET)
		return false;
	if (f->tries >= UP_TRIES_MAX || loop_clock_us() - f->begin_us > x->timeouts->ride_out_ms * 1000)
		return false;
	if (!f->sent)
		return true;
	return f->sends == 1 && !f->answered && head_method_is_safe(x->request_up->method) &&
	       body->total_bytes == buf_len(&body->b);
}
