/*
 * server.c - the life of a server connection: states, verbs, time, the end.
 */
#include "h1/conn.h"

/*
 * A client that has ended its direction after its request, as `nc -N` does, is told from one that has
 * gone only by what becomes of bytes that are sent to it. It gets this long for an answer to begin; the
 * upstream of one that has gone is free within a second.
 */
enum { GONE_MS = 800 };
/* Without progress while lingering (RFC 9112 section 9.6). */
enum { LINGER_STEP_MS = 2000 };
/* What a client has sent before it learns that its connection is to go. */
enum { ON_ITS_WAY_MS = 500 };

void h1s_set_state(struct h1s *c, enum h1s_state next)
{
	static const uint8_t allowed[] = {
#define X(name, states) [H1S_##name] = (states),
		H1S_STATE_TABLE(X)
#undef X
	};

	BUG_ON(!(allowed[c->state] & 1 << next));
	c->state = (uint8_t)next;
}

/* ---- interest and time ---- */

/* Derives what is wanted of the stream from everything else; the last thing whoever is called does. */
static void settle(struct h1s *c)
{
	unsigned want = 0;

	if (c->state == H1S_CLOSED)
		return;
	if (h1s_wants_input(c))
		want |= STREAM_IN;
	if (c->out_waits)
		want |= STREAM_OUT;
	if (!stream_is_hup(c->s))
		want |= STREAM_HUP;
	if (!c->is_shut) /* then both sides have ended theirs */
		want |= STREAM_BROKEN;
	stream_want(c->s, want);
}

void h1s_wait_for(struct h1s *c, enum h1s_wait what, uint64_t ms)
{
	c->waits = (uint8_t)what;
	timer_set(&c->in_timer, ms);
}

void h1s_wait_for_reader(struct h1s *c)
{
	c->unacked_bytes = stream_unacked(c->s);
	timer_set(&c->out_timer, c->end.x->timeouts->write_ms);
}

void h1s_wait_for_body(struct h1s *c)
{
	const struct h1s_request *rq = c->rq;

	if (rq->is_complete || rq->is_given_up || c->has_no_room || rq->awaits_continue)
		h1s_wait_for_nothing(c);
	else
		h1s_wait_for(c, H1S_WAIT_BODY, c->end.x->timeouts->request_body_ms);
}

void h1s_check_hup(struct h1s *c)
{
	if (!stream_is_hup(c->s) || c->state != H1S_OPEN || !c->rq->is_complete)
		return;
	c->has_written = false;
	h1s_wait_for(c, H1S_WAIT_GONE, GONE_MS);
}

static void check_gone(struct h1s *c)
{
	/* had it gone, it would have answered with a reset; while it does not read, `write` bounds it */
	if (!c->has_written && !c->out_waits) {
		h1s_close(c, ERR_GONE);
		return;
	}
	c->has_written = false;
	h1s_wait_for(c, H1S_WAIT_GONE, GONE_MS);
}

void h1s_wait_for_end(struct h1s *c)
{
	h1s_wait_for(c, H1S_WAIT_LINGER, LINGER_STEP_MS);
}

/* What the stream still holds of the answer may leave slowly, as long as it moves. */
static void check_linger(struct h1s *c)
{
	size_t unsent = stream_unsent(c->s);
	uint64_t now_ms = loop_now_ms();

	if (unsent != c->unsent_bytes) {
		c->unsent_bytes = unsent;
		c->unsent_since_ms = now_ms;
	}
	if (unsent == 0 || now_ms - c->unsent_since_ms >= c->host->ops->timeouts(c->host)->write_ms)
		h1s_close(c, ERR_OK);
	else
		h1s_wait_for_end(c);
}

static void in_expired(struct timer *t)
{
	struct h1s *c = container_of(t, struct h1s, in_timer);

	switch ((enum h1s_wait)c->waits) {
	case H1S_WAIT_NOTHING: break;
	case H1S_WAIT_REQUEST: h1s_linger(c); break;
	case H1S_WAIT_HEAD: h1s_refuse(c, ERR_HEAD_TIMEOUT); break;
	case H1S_WAIT_BODY: h1s_refuse(c, ERR_BODY_TIMEOUT); break;
	case H1S_WAIT_GONE: check_gone(c); break;
	case H1S_WAIT_TUNNEL: h1s_close(c, ERR_TUNNEL_TIMEOUT); break;
	case H1S_WAIT_LINGER: check_linger(c); break;
	}
	settle(c);
}

static void out_expired(struct timer *t)
{
	struct h1s *c = container_of(t, struct h1s, out_timer);

	if (!c->out_waits)
		return;
	/* a full socket takes nothing until a good part of it is free: it may be slow, not stalled */
	if (stream_unacked(c->s) < c->unacked_bytes)
		h1s_wait_for_reader(c);
	else
		h1s_close(c, ERR_WRITE_TIMEOUT);
}

/* ---- events ---- */

static void on_ready(struct stream *s)
{
	struct h1s *c = s->owner;
	unsigned bits = s->can & s->want;

	if (bits & STREAM_BROKEN) {
		h1s_close(c, ERR_RESET);
		return;
	}
	if (bits & STREAM_HUP)
		h1s_check_hup(c);
	if (bits & STREAM_IN)
		h1s_receive(c);
	if (bits & STREAM_OUT && c->state != H1S_CLOSED)
		loop_post(&c->work);
	settle(c);
}

/* Once a turn, behind the verbs: what they marked. */
static void run(struct work *w)
{
	struct h1s *c = container_of(w, struct h1s, work);

	if (c->state == H1S_OPEN && !c->rq->is_routed)
		h1s_begin_body(c);
	if (c->in_is_fresh)
		h1s_receive(c);
	if (c->state != H1S_CLOSED)
		h1s_send(c);
	settle(c);
}

/* ---- verbs ---- */

static void on_head(struct end *e, struct head *h)
{
	struct h1s *c = container_of(e, struct h1s, end);
	uint8_t minor = h1s_request_head(c)->minor;

	if (h->kind == HEAD_TRAILERS) {
		c->rq->trailers = h;
	} else if (h->kind == HEAD_FINAL) {
		c->rq->answer = h;
	} else if (minor >= 1) { /* RFC 9110 section 15.2: none to HTTP/1.0 */
		h1_write_response(&c->out.own, h, H1_NO_BODY, true, minor);
		if (h->status == 100 && c->rq->awaits_continue) {
			c->rq->awaits_continue = false;
			h1s_wait_for_body(c);
		}
	}
	loop_post(&c->work);
}

static void on_data(struct end *e)
{
	loop_post(&container_of(e, struct h1s, end)->work);
}

static void on_room(struct end *e)
{
	struct h1s *c = container_of(e, struct h1s, end);

	c->has_no_room = false;
	if (c->state == H1S_OPEN)
		h1s_wait_for_body(c);
	loop_post(&c->work);
}

static void on_abort(struct end *e, enum err why)
{
	struct h1s *c = container_of(e, struct h1s, end);

	h1s_send_last(c);
	if (c->state != H1S_CLOSED)
		h1s_close(c, why);
}

static const struct end_ops ops = {"h1", on_head, on_data, on_room, on_abort};

/* ---- life ---- */

/* What was read of a head that is refused, for the page and the log. It is told to nobody. */
static void show_request(struct h1s *c)
{
	struct head *h = h1s_request_head(c);

	if (h->method.n > 0 && h->path.n > 0)
		c->end.x->request = h;
}

void h1s_refuse(struct h1s *c, enum err why)
{
	c->rq->is_given_up = true;
	h1s_wait_for_nothing(c);
	if (c->state == H1S_HEAD) {
		h1s_set_state(c, H1S_OPEN);
		show_request(c);
	}
	/* whoever answers does not read: then its answer is still right */
	if (x_is_unread(&c->end) || x_refuse(&c->end, why))
		return;
	h1s_close(c, why);
}

/*
 * When the worker leaves, a request may be on its way to a connection that seems idle, and could not be told
 * from one that is lost (RFC 9112 section 9.5): it is waited for a moment, and answered as the last one.
 */
static void wait_for_request(struct h1s *c)
{
	uint64_t keepalive_ms = c->host->ops->timeouts(c->host)->keepalive_ms;

	h1s_wait_for(c, H1S_WAIT_REQUEST, c->is_draining ? ON_ITS_WAY_MS : keepalive_ms);
}

void h1s_enter_idle(struct h1s *c)
{
	h1s_set_state(c, H1S_IDLE);
	c->rq = NULL;
	c->has_no_room = false;
	wait_for_request(c);
	if (c->in_is_fresh) /* RFC 9112 section 9.3.2: pipelined requests, in order */
		loop_post(&c->work);
}

void h1s_linger(struct h1s *c)
{
	h1s_set_state(c, H1S_LINGER);
	c->rq = NULL;
	buf_fini(&c->in);
	c->in_is_fresh = false;
	c->linger_until_ms = loop_now_ms() + c->host->ops->timeouts(c->host)->linger_ms;
	c->is_shut = true;
	stream_shutdown(c->s);
	h1s_wait_for_end(c);
}

static void bury(struct grave *g)
{
	free(container_of(g, struct h1s, grave));
}

void h1s_close(struct h1s *c, enum err why)
{
	/* What ends with the connection must not seem to have ended in order. */
	bool cut = c->out.framing == H1_UNTIL_CLOSE && !c->out.ended;
	struct host *host = c->host;

	h1s_set_state(c, H1S_CLOSED);
	if (c->end.x)
		x_abort(&c->end, why);
	timer_stop(&c->in_timer);
	timer_stop(&c->out_timer);
	work_cancel(&c->work);
	buf_fini(&c->in);
	h1_out_fini(&c->out);
	c->in_is_fresh = false;
	if (cut || why == ERR_WRITE_TIMEOUT)
		stream_reset(c->s);
	else
		stream_close(c->s);
	loop_bury(&c->grave, bury);
	host->ops->closed(host, why);
}

struct h1s *h1s_open(struct stream *s, struct host *host)
{
	struct h1s *c = base_zalloc(sizeof *c);

	_Static_assert(sizeof *c < 400, "an idle connection is small");
	c->s = s;
	c->host = host;
	c->end.ops = &ops;
	c->state = H1S_IDLE;
	buf_init(&c->in);
	h1_out_init(&c->out);
	timer_init(&c->in_timer, in_expired);
	timer_init(&c->out_timer, out_expired);
	work_init(&c->work, run);
	stream_own(s, c, on_ready);
	wait_for_request(c);
	settle(c);
	return c;
}

void h1s_drain(struct h1s *c)
{
	c->is_draining = true;
	if (c->state == H1S_IDLE)
		wait_for_request(c);
	settle(c);
}

void h1s_abort(struct h1s *c, enum err why)
{
	h1s_close(c, why);
}
