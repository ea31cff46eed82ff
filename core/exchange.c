#include "core/exchange.h"
#include "core/priv.h"

enum pending { TELL_HEAD = 1, TELL_DATA = 2, TELL_ROOM = 4, TELL_ABORT = 8 };

struct head_box {
	struct head_box *next;
	struct head *h;
};

/* ---- the queue ---- */

void x_loop_init(void)
{
	list_init(&W->x_queue);
	list_init(&W->x_held);
	list_init(&W->x_live);
}

void x_set_router(const struct x_router *r)
{
	W->router = r;
}

static void queue(struct exchange *x)
{
	if (list_empty(&x->queue_node))
		list_push(&W->x_queue, &x->queue_node);
}

static void tell(struct exchange *x, enum x_side side, unsigned what)
{
	if (!x->end[side])
		return;
	x->pending[side] |= (uint8_t)what;
	queue(x);
}

static struct pipe *pipe_read_by(const struct end *e)
{
	return &e->x->pipe[e->side];
}

static struct pipe *pipe_written_by(const struct end *e)
{
	return &e->x->pipe[x_other(e->side)];
}

/* False once the exchange has dropped this end but its abort is still to be delivered. */
static bool takes_part(const struct end *e)
{
	return e->x && e->x->end[e->side] == e;
}

static void pipe_kill(struct pipe *p)
{
	buf_fini(&p->b);
	p->dead = true;
}

/* ---- beginning and end ---- */

static void memory_woken(struct slab_waiter *w)
{
	struct exchange *x = container_of(w, struct exchange, memory);

	for (enum x_side reader = X_DOWN; reader <= X_UP; reader++) {
		struct pipe *p = &x->pipe[reader];

		if (p->starved && buf_len(&p->b) < p->cap) {
			p->starved = false;
			tell(x, x_other(reader), TELL_ROOM);
		}
	}
}

static void end_join(struct exchange *x, struct end *e, enum x_side side)
{
	e->x = x;
	e->side = side;
	x->end[side] = e;
	x->pending[side] = 0;
}

struct exchange *x_new(struct end *down)
{
	struct arena a;
	struct exchange *x;

	arena_init(&a);
	x = arena_new(&a, struct exchange);
	x->arena = a;
	list_init(&x->queue_node);
	list_push(&W->x_live, &x->live_node);
	list_init(&x->memory.node);
	x->memory.woken = memory_woken;
	x->limits = &limits_default;
	x->timeouts = &timeouts_default;
	for (enum x_side side = X_DOWN; side <= X_UP; side++) {
		buf_init(&x->pipe[side].b);
		x->pipe[side].cap = limits_default.pipe_bytes;
	}
	x->router.ops = W->router->ops;
	end_join(x, down, X_DOWN);
	end_join(x, &x->router, X_UP);
	W->x_count++;
	return x;
}

static void bury(struct grave *g)
{
	struct exchange *x = container_of(g, struct exchange, grave);
	struct arena a = x->arena;

	arena_fini(&a);
}

static void finish_if_over(struct exchange *x)
{
	if (x->end[X_DOWN] || x->end[X_UP] || x->dismissed || x->finished)
		return;
	x->finished = true;
	if (W->router->finished)
		W->router->finished(x);
	W->x_tunnels -= x->tunnel;
	list_del(&x->queue_node);
	list_del(&x->live_node);
	list_del(&x->memory.node);
	buf_fini(&x->pipe[X_DOWN].b);
	buf_fini(&x->pipe[X_UP].b);
	W->x_count--;
	loop_bury(&x->grave, bury);
}

/* The end at this side is gone: nothing more is told to it, and what it would have read is dropped. */
static void drop(struct exchange *x, enum x_side side)
{
	struct pipe *unread = &x->pipe[side];

	if (x->end[side])
		x->end[side]->x = NULL;
	x->end[side] = NULL;
	x->pending[side] = 0;
	pipe_kill(unread);
	if (unread->starved) {
		unread->starved = false;
		tell(x, x_other(side), TELL_ROOM);
	}
}

static void tell_abort(struct exchange *x, enum x_side side, enum err why)
{
	x->abort_why[side] = why;
	tell(x, side, TELL_ABORT);
}

static void note_failure(struct exchange *x, enum err why)
{
	if (!x->facts.error)
		x->facts.error = why;
}

/* The down end has gone: whoever answers is let go. */
static void down_gone(struct exchange *x, enum err why)
{
	drop(x, X_DOWN);
	if (x->end[X_UP] == &x->router)
		drop(x, X_UP);
	else if (x->end[X_UP])
		tell_abort(x, X_UP, why);
	finish_if_over(x);
}

static bool leave_dismissed(struct end *e)
{
	struct exchange *x = e->x;

	if (!x || x->dismissed != e)
		return false;
	x->dismissed = NULL;
	e->x = NULL;
	finish_if_over(x);
	return true;
}

void x_leave(struct end *e)
{
	struct exchange *x = e->x;

	if (leave_dismissed(e))
		return;
	BUG_ON(!takes_part(e));
	if (e->side == X_DOWN && !(x->pipe[X_UP].ended && x->pipe[X_DOWN].ended)) {
		down_gone(x, ERR_GONE);
		return;
	}
	BUG_ON(!x->pipe[X_DOWN].ended);
	drop(x, e->side);
	finish_if_over(x);
}

/* The router takes the up end's place again; what the client sent so far is kept for whoever comes next. */
static void return_to_router(struct exchange *x)
{
	end_join(x, &x->router, X_UP);
	x->heads[X_UP] = NULL;
}

void x_abort(struct end *e, enum err why)
{
	struct exchange *x = e->x;

	if (leave_dismissed(e))
		return;
	BUG_ON(!takes_part(e));
	note_failure(x, why);
	if (e->side == X_DOWN) {
		down_gone(x, why);
	} else if (!x->told_final) {
		BUG_ON(e == &x->router);
		e->x = NULL;
		return_to_router(x);
		tell_abort(x, X_UP, why);
	} else {
		drop(x, X_UP);
		tell_abort(x, X_DOWN, why);
		finish_if_over(x); /* the down end may have left in order */
	}
}

bool x_refuse(struct end *e, enum err why)
{
	struct exchange *x = e->x;
	struct end *up = x->end[X_UP];

	BUG_ON(!takes_part(e) || e->side != X_DOWN);
	if (x->told_final)
		return false;
	note_failure(x, why);
	if (up != &x->router) {
		x->dismissed = up;
		x->dismissed_why = why;
		return_to_router(x);
	}
	x->pending[X_UP] = 0;
	tell_abort(x, X_UP, why);
	return true;
}

/* ---- telling ---- */

static void push_head(struct exchange *x, enum x_side to, struct head *h)
{
	struct head_box **at = &x->heads[to];
	struct head_box *box = arena_new(&x->arena, struct head_box);

	box->h = h;
	while (*at)
		at = &(*at)->next;
	*at = box;
	tell(x, to, TELL_HEAD);
}

void x_attach(struct exchange *x, struct end *up)
{
	BUG_ON(x->told_final || x->end[X_UP] != &x->router);
	x->router.x = NULL;
	end_join(x, up, X_UP);
	x->heads[X_UP] = NULL;
	push_head(x, X_UP, x->request_up);
	if (x->request_trailers)
		push_head(x, X_UP, x->request_trailers);
	if (buf_len(&x->pipe[X_UP].b) || x->pipe[X_UP].ended)
		tell(x, X_UP, TELL_DATA);
}

static void note_request(struct exchange *x, struct head *h)
{
	BUG_ON(x->request);
	x->request = x->request_up = h;
	x->facts.wall_s = loop_wall_s();
	x->facts.begin_us = loop_clock_us();
}

static void note_response(struct exchange *x, struct head *h)
{
	BUG_ON(x->told_final && h->kind != HEAD_TRAILERS);
	if (W->router->response)
		W->router->response(x, h);
	if (h->kind != HEAD_FINAL)
		return;
	x->told_final = true;
	x->response = h;
	x->facts.status = h->status;
}

void x_head(struct end *e, struct head *h)
{
	struct exchange *x = e->x;

	if (!takes_part(e))
		return;
	if (e->side == X_UP)
		note_response(x, h);
	else if (h->kind == HEAD_TRAILERS)
		x->request_trailers = h;
	else
		note_request(x, h);
	push_head(x, x_other(e->side), h);
}

static size_t room_of(struct end *e, size_t want, size_t budget)
{
	struct pipe *p;
	size_t room, fill;

	if (!takes_part(e))
		return want;
	p = pipe_written_by(e);
	if (p->dead)
		return want;
	fill = buf_len(&p->b);
	room = fill < p->cap ? p->cap - fill : 0;
	if (room > budget) {
		room = budget;
		if (!budget)
			slab_wait(&e->x->memory);
	}
	if (room >= want)
		return want;
	p->starved = true;
	return room;
}

size_t x_room(struct end *e, size_t want)
{
	return room_of(e, want, slab_room());
}

size_t x_room_reserve(struct end *e, size_t want)
{
	return room_of(e, want, SIZE_MAX);
}

static void note_put(struct end *e, struct pipe *p, size_t n)
{
	if (!n)
		return;
	p->total_bytes += n;
	if (p->dead)
		pipe_kill(p);
	else
		tell(e->x, x_other(e->side), TELL_DATA);
}

void x_put(struct end *e, const void *bytes, size_t n)
{
	struct pipe *p;

	if (!takes_part(e))
		return;
	p = pipe_written_by(e);
	BUG_ON(p->ended);
	if (!p->dead)
		buf_put(&p->b, bytes, n);
	note_put(e, p, n);
}

int x_space(struct end *e, size_t max, struct iovec *iov, int cap)
{
	BUG_ON(!takes_part(e));
	return buf_space(&pipe_written_by(e)->b, max, iov, cap);
}

void x_commit(struct end *e, size_t n)
{
	struct pipe *p = pipe_written_by(e);

	BUG_ON(!takes_part(e) || (n && p->ended));
	buf_commit(&p->b, n);
	note_put(e, p, n);
}

void x_end(struct end *e)
{
	struct pipe *p;

	if (!takes_part(e))
		return;
	p = pipe_written_by(e);
	BUG_ON(p->ended);
	p->ended = true;
	tell(e->x, x_other(e->side), TELL_DATA);
}

bool x_is_unread(const struct end *e)
{
	return !takes_part(e) || pipe_written_by(e)->dead;
}

void x_open_tunnel(struct end *e)
{
	if (!takes_part(e))
		return;
	BUG_ON(e->side != X_UP || e->x->told_final || e->x->tunnel);
	e->x->tunnel = true;
	W->x_tunnels++;
	e->x->pipe[X_UP].ended = false;
}

/* ---- taking ---- */

int x_peek(struct end *e, size_t max, struct iovec *iov, int cap)
{
	return takes_part(e) ? buf_peek(&pipe_read_by(e)->b, max, iov, cap) : 0;
}

size_t x_fill(const struct end *e)
{
	return takes_part(e) ? buf_len(&pipe_read_by(e)->b) : 0;
}

static void note_taken(struct end *e, struct pipe *p, size_t n)
{
	struct exchange *x = e->x;

	x->moved_bytes += n;
	if (e->side == X_DOWN)
		x->facts.response_bytes += n;
	else
		x->facts.request_bytes += n;
	if (p->starved && buf_len(&p->b) <= p->cap / 2) {
		p->starved = false;
		tell(x, x_other(e->side), TELL_ROOM);
	}
	/* an abort that had to wait for this */
	if (x->pending[e->side] & TELL_ABORT && !buf_len(&p->b))
		queue(x);
}

void x_take(struct end *e, size_t n)
{
	struct pipe *p;

	if (!takes_part(e))
		return;
	p = pipe_read_by(e);
	buf_drop(&p->b, n);
	note_taken(e, p, n);
}

void x_take_buf(struct end *e, struct buf *dst, size_t n)
{
	struct pipe *p;

	if (!takes_part(e))
		return;
	p = pipe_read_by(e);
	buf_move(dst, &p->b, n);
	note_taken(e, p, n);
}

bool x_will_end(const struct end *e)
{
	return takes_part(e) && pipe_read_by(e)->ended;
}

bool x_at_end(const struct end *e)
{
	return x_will_end(e) && !buf_len(&pipe_read_by(e)->b);
}

/* ---- calling the verbs ---- */

static void deliver_heads(struct exchange *x, struct end *e)
{
	struct head_box *box;

	while (x->end[e->side] == e && (box = x->heads[e->side])) {
		x->heads[e->side] = box->next;
		e->ops->head(e, box->h);
	}
}

static void deliver_abort(struct exchange *x, struct end *e)
{
	enum x_side side = e->side;
	enum err why = x->abort_why[side];

	/* The router stays to answer; any other end has left before it hears of it. */
	if (e != &x->router)
		drop(x, side);
	e->ops->abort(e, why);
	finish_if_over(x);
}

/* Calls what is pending for one side. An end that is replaced meanwhile gets the bits set since. */
static void deliver(struct exchange *x, enum x_side side)
{
	struct end *e = x->end[side];
	unsigned bits = x->pending[side];

	if (!e || !bits)
		return;
	/* The client gets what came before the failure. */
	if (side == X_DOWN && bits & TELL_ABORT && buf_len(&x->pipe[X_DOWN].b))
		bits &= ~(unsigned)TELL_ABORT;
	x->pending[side] &= (uint8_t)~bits;
	if (bits & TELL_HEAD)
		deliver_heads(x, e);
	if (bits & TELL_DATA && x->end[side] == e)
		e->ops->data(e);
	if (bits & TELL_ROOM && x->end[side] == e)
		e->ops->room(e);
	if (bits & TELL_ABORT && x->end[side] == e)
		deliver_abort(x, e);
}

static void dismiss(struct exchange *x)
{
	struct end *up = x->dismissed;

	if (!up)
		return;
	x->dismissed = NULL;
	up->x = NULL;
	up->ops->abort(up, x->dismissed_why);
	finish_if_over(x);
}

static bool has_had_its_share(struct exchange *x)
{
	if (x->turn != W->turn) {
		x->turn = W->turn;
		x->visits = 0;
		x->moved_bytes = 0;
	}
	return x->visits >= X_VISITS_PER_TURN || x->moved_bytes >= X_BYTES_PER_TURN;
}

bool x_run(void)
{
	struct list *n;

	while ((n = list_pop(&W->x_queue))) {
		struct exchange *x = list_entry(n, struct exchange, queue_node);

		if (has_had_its_share(x)) {
			list_push(&W->x_held, n);
			continue;
		}
		x->visits++;
		dismiss(x);
		if (!x->finished)
			deliver(x, X_UP);
		if (!x->finished)
			deliver(x, X_DOWN);
	}
	return !list_empty(&W->x_held);
}

void x_new_turn(void)
{
	list_splice(&W->x_queue, &W->x_held);
}

size_t x_count(void)
{
	return W->x_count;
}

size_t x_tunnel_count(void)
{
	return W->x_tunnels;
}

struct list *x_live(void)
{
	return &W->x_live;
}
