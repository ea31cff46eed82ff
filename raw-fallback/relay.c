#include "raw-fallback/relay.h"
#include "core/buf.h"
#include <unistd.h>

enum {
	TURN_BYTES = 1024 * 1024, /* of one direction in one callback, before others have their turn */
	KEPT_PIECES = 16,
	BULK_BYTES = 16 * 1024, /* at a time: what comes next is passed on inside the kernel */
};

/* One direction. What the receiver did not take is kept, and nothing more is read until that has gone. */
struct lane {
	struct stream *from, *to;
	struct buf kept;
	uint64_t bytes;
	bool bulk;      /* much came the last time */
	bool read_end;  /* `from` has ended */
	bool told_end;  /* and `to` was told */
};

struct relay {
	struct lane up, down;
	struct timer idle;
	uint64_t idle_ms;
	void (*done)(void *owner, enum err why, const struct relay_totals *t);
	void *owner;
	bool closed;
	struct grave grave;
};

static void bury(struct grave *g)
{
	free(container_of(g, struct relay, grave));
}

static void close_relay(struct relay *r, enum err why)
{
	struct relay_totals t = { r->up.bytes, r->down.bytes };

	r->closed = true;
	timer_stop(&r->idle);
	buf_fini(&r->up.kept);
	buf_fini(&r->down.kept);
	/* what broke on one side breaks on the other: a reset must not look like an end */
	(why == ERR_RESET ? stream_reset : stream_close)(r->up.from);
	(why == ERR_RESET ? stream_reset : stream_close)(r->up.to);
	r->done(r->owner, why, &t);
	loop_bury(&r->grave, bury);
}

/* Returns ERR_OK when all that was kept has gone, ERR_AGAIN, or an error of the receiver. */
static enum err send_kept(struct lane *l)
{
	while (buf_len(&l->kept)) {
		struct iovec iov[KEPT_PIECES];
		int n = buf_peek(&l->kept, SIZE_MAX, iov, KEPT_PIECES);
		ssize_t w = stream_writev(l->to, iov, n);

		if (w < 0)
			return (enum err)-w;
		buf_drop(&l->kept, (size_t)w);
	}
	return ERR_OK;
}

static enum err keep(struct lane *l, const char *p, size_t n)
{
	buf_put(&l->kept, p, n);
	return ERR_AGAIN;
}

/* Reads once through the worker's scratch and passes it on. */
static enum err copy_once(struct lane *l, size_t *n)
{
	char *p = loop_scratch();
	ssize_t r = stream_read(l->from, p, LOOP_SCRATCH_BYTES), w;

	if (r <= 0)
		return (enum err)-r;
	*n = (size_t)r;
	w = stream_write(l->to, p, *n);
	if (w < 0 && w != -ERR_AGAIN)
		return (enum err)-w;
	w = MAX(w, 0);
	if ((size_t)w < *n)
		return keep(l, p + w, *n - (size_t)w);
	return *n < LOOP_SCRATCH_BYTES ? ERR_AGAIN : ERR_OK;
}

/* The same without the two copies, but for what the receiver does not take. */
static enum err splice_once(struct lane *l, const int *pipe, size_t *n)
{
	ssize_t r = stream_splice_in(l->from, pipe[1], LOOP_SCRATCH_BYTES), w = 0;
	size_t left;

	if (r <= 0)
		return (enum err)-r;
	*n = left = (size_t)r;
	while (left && (w = stream_splice_out(l->to, pipe[0], left)) > 0)
		left -= (size_t)w;
	if (!left)
		return ERR_OK;
	/* as much as a pipe holds, and it is there */
	BUG_ON(read(pipe[0], loop_scratch(), left) != (ssize_t)left);
	return w < 0 && w != -ERR_AGAIN ? (enum err)-w : keep(l, loop_scratch(), left);
}

/* Returns ERR_OK when there may be more to read. */
static enum err pass_once(struct lane *l, size_t *passed)
{
	const int *pipe = l->bulk ? loop_pipe() : NULL;
	size_t n = 0;
	enum err e = pipe ? splice_once(l, pipe, &n) : copy_once(l, &n);

	l->read_end = e == ERR_OK && n == 0;
	if (n)
		l->bulk = n >= BULK_BYTES;
	l->bytes += n;
	*passed += n;
	return l->read_end ? ERR_AGAIN : e;
}

/* Moves what can be moved in one direction. Returns ERR_OK, or why the relay ends. */
static enum err move(struct relay *r, struct lane *l)
{
	size_t passed = 0;
	enum err e = send_kept(l);

	while (e == ERR_OK && !l->read_end && l->from->can & (STREAM_IN | STREAM_HUP) && passed < TURN_BYTES)
		e = pass_once(l, &passed);
	if (passed)
		timer_set(&r->idle, r->idle_ms);
	if (l->read_end && !l->told_end && !buf_len(&l->kept)) {
		l->told_end = true;
		stream_shutdown(l->to);
	}
	return e == ERR_AGAIN ? ERR_OK : e;
}

static unsigned wanted(const struct lane *in, const struct lane *out)
{
	unsigned want = 0;

	if (!in->read_end && !buf_len(&in->kept))
		want |= STREAM_IN;
	if (buf_len(&out->kept))
		want |= STREAM_OUT;
	return want;
}

static void run(struct relay *r)
{
	enum err e = move(r, &r->up);

	if (e == ERR_OK)
		e = move(r, &r->down);
	if (e != ERR_OK || (r->up.told_end && r->down.told_end)) {
		close_relay(r, e);
		return;
	}
	/* a peer that broke while we wait to write to it: the write tells */
	stream_want(r->up.from, wanted(&r->up, &r->down));
	stream_want(r->up.to, wanted(&r->down, &r->up));
}

static void on_ready(struct stream *s)
{
	struct relay *r = s->owner;

	if (!r->closed)
		run(r);
}

static void on_idle(struct timer *t)
{
	close_relay(container_of(t, struct relay, idle), ERR_TUNNEL_TIMEOUT);
}

struct relay *relay_open(struct stream *down, struct stream *up, const void *first, size_t first_n,
			 uint64_t idle_ms,
			 void (*done)(void *owner, enum err why, const struct relay_totals *t),
			 void *owner)
{
	struct relay *r = base_zalloc(sizeof *r);

	r->up = (struct lane){ .from = down, .to = up };
	r->down = (struct lane){ .from = up, .to = down };
	buf_init(&r->up.kept);
	buf_init(&r->down.kept);
	buf_put(&r->up.kept, first, first_n);
	r->idle_ms = idle_ms;
	r->done = done;
	r->owner = owner;
	timer_init(&r->idle, on_idle);
	timer_set(&r->idle, idle_ms);
	stream_own(down, r, on_ready);
	stream_own(up, r, on_ready);
	stream_want(down, STREAM_IN);
	stream_want(up, STREAM_IN | (first_n ? STREAM_OUT : 0));
	return r;
}

void relay_abort(struct relay *r, enum err why)
{
	if (!r->closed)
		close_relay(r, why);
}
