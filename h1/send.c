/*
 * send.c - what a client gets: heads, bodies out of the pipe, a tunnel's bytes; and what follows an answer.
 */
#include "h1/conn.h"

enum {
	WRITE_BYTES = 64 * 1024,
	PIPE_PIECES = WRITE_BYTES / SLAB_BYTES + 2,
	PIECES = PIPE_PIECES + 3,
	TURN_BYTES = 256 * 1024,
};

/*
 * Whether another request may follow. Said only when this one is wholly there: else an early answer would
 * leave it open whether what comes next is the rest of its body.
 */
static bool can_keep_alive(const struct h1s *c, enum h1_framing framing)
{
	const struct h1s_request *rq = c->rq;

	return rq->parser.keep_alive && rq->is_complete && !rq->is_given_up && framing != H1_UNTIL_CLOSE &&
	       !c->is_draining && !c->host->ops->is_draining(c->host);
}

static void open_tunnel(struct h1s *c)
{
	h1_out_begin(&c->out, H1_UNTIL_CLOSE, 0);
	h1s_set_state(c, H1S_TUNNEL);
	c->rq->is_complete = false;
	h1s_wait_for(c, H1S_WAIT_TUNNEL, c->end.x->timeouts->tunnel_idle_ms);
	loop_post(&c->work); /* a client may have sent ahead */
}

static void begin_answer(struct h1s *c)
{
	struct h1s_request *rq = c->rq;
	const struct head *request = rq->parser.head, *h = rq->answer;
	enum h1_framing framing = h1_response_framing(request, h, request->minor);

	rq->is_answered = true;
	rq->keeps_alive = can_keep_alive(c, framing);
	h1_write_response(&c->out.own, h, framing, rq->keeps_alive, request->minor);
	h1_out_begin(&c->out, framing, framing == H1_LENGTH ? (uint64_t)h->length : 0);
	if (c->end.x && c->end.x->tunnel)
		open_tunnel(c);
}

/* One gathered write. Returns how much the stream took; 0: nothing to write, or it takes no more now. */
static size_t write_once(struct h1s *c)
{
	struct iovec pipe[PIPE_PIECES], iov[PIECES];
	size_t in_pipe = 0, offered;
	int npipe = 0, n;
	ssize_t r;

	if (c->rq->is_answered)
		npipe = x_peek(&c->end, WRITE_BYTES, pipe, PIPE_PIECES);
	for (int i = 0; i < npipe; i++)
		in_pipe += pipe[i].iov_len;
	n = h1_out_gather(&c->out, pipe, npipe, x_will_end(&c->end) && in_pipe == x_fill(&c->end),
			  c->rq->trailers, iov, PIECES, &offered);
	c->out_waits = n > 0;
	if (n == 0 || !(c->s->can & STREAM_OUT))
		return 0;
	r = stream_writev(c->s, iov, n);
	if (r < 0) {
		if (r != -ERR_AGAIN)
			h1s_close(c, (enum err)(-r));
		return 0;
	}
	x_take(&c->end, h1_out_sent(&c->out, (size_t)r));
	return (size_t)r;
}

/* The answer is written to its end: the next request, or the end of the connection. */
static void finish_answer(struct h1s *c)
{
	bool goes_on = c->rq->keeps_alive; /* what it has said holds, also when the worker leaves by now */

	x_leave(&c->end);
	if (goes_on)
		h1s_enter_idle(c);
	else
		h1s_linger(c);
}

/* Each direction ends by itself. */
static void pass_end(struct h1s *c)
{
	if (!c->is_shut) {
		c->is_shut = true;
		stream_shutdown(c->s);
	}
	if (!c->rq->is_complete)
		return;
	x_leave(&c->end);
	h1s_close(c, ERR_OK);
}

static void go_on(struct h1s *c)
{
	struct h1s_request *rq = c->rq;

	if (!rq->is_answered || !x_at_end(&c->end) || !h1_out_is_empty(&c->out))
		return;
	if (!c->out.ended) /* shorter than its head said: not to be taken for whole */
		h1s_close(c, ERR_UP_BODY_SHORT);
	else if (c->state == H1S_TUNNEL)
		pass_end(c);
	else
		finish_answer(c);
}

void h1s_send(struct h1s *c)
{
	bool waited = c->out_waits;
	size_t total = 0, n;

	if (!c->rq)
		return;
	if (c->rq->answer && !c->rq->is_answered)
		begin_answer(c);
	while (total < TURN_BYTES && (n = write_once(c)) > 0)
		total += n;
	if (c->state == H1S_CLOSED)
		return;
	/* beyond the length, or to HEAD: there is no place for it */
	if (c->rq->is_answered && c->out.ended)
		x_take(&c->end, x_fill(&c->end));
	if (total > 0) {
		c->has_written = true;
		if (c->state == H1S_TUNNEL)
			h1s_wait_for(c, H1S_WAIT_TUNNEL, c->end.x->timeouts->tunnel_idle_ms);
	}
	if (c->out_waits && (total > 0 || !waited))
		h1s_wait_for_reader(c);
	go_on(c);
}

void h1s_send_last(struct h1s *c)
{
	c->is_draining = true; /* what it says of the connection is true, too */
	if (c->rq->answer && !c->rq->is_answered)
		begin_answer(c);
	write_once(c);
}
