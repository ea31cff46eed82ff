#include "core/buf.h"
#include "core/spares.h"

enum {
	/* buf_move copies up to this much into dst's last slab: small pieces must not hold a slab each */
	COPY_MAX = SLAB_BYTES / 4,
	WAKE_SHARE = 16, /* of the budget must be free to wake who waits */
	PROMISE_SHARE = 4, /* of the budget may be promised */
};

/* The worker's allocator of slabs: what is spare, last in first out, what is in use, and who waits for it. */
static struct pool {
	struct spares spares;
	size_t peak; /* slabs in use */
	size_t budget_bytes, promised_bytes;
	struct list waiters;
} pool = {
	.budget_bytes = SIZE_MAX,
	.waiters = { &pool.waiters, &pool.waiters },
};

static struct slab *slab_get(void)
{
	struct slab *s = spares_take(&pool.spares);

	if (!s)
		s = base_alloc(sizeof *s);
	s->next = NULL;
	s->off = s->end = 0;
	pool.peak = MAX(pool.peak, pool.spares.used);
	return s;
}

static void slab_put(struct slab *s)
{
	if (!spares_keep(&pool.spares, s))
		free(s);
}

size_t slab_settle(void)
{
	return spares_settle(&pool.spares);
}

void slab_drop_spares(void)
{
	spares_drop(&pool.spares);
}

size_t slab_room(void)
{
	size_t used_bytes = pool.spares.used * SLAB_BYTES + pool.promised_bytes;

	return used_bytes < pool.budget_bytes ? pool.budget_bytes - used_bytes : 0;
}

size_t slab_promise(size_t bytes, size_t most)
{
	size_t left;

	most = MIN(most, pool.budget_bytes / PROMISE_SHARE);
	left = most > pool.promised_bytes ? most - pool.promised_bytes : 0;
	left = MIN(left, slab_room());
	bytes = MIN(bytes, left / 2);
	pool.promised_bytes += bytes;
	return bytes;
}

void slab_unpromise(size_t bytes)
{
	BUG_ON(bytes > pool.promised_bytes);
	pool.promised_bytes -= bytes;
}

size_t slab_count(void)
{
	return pool.spares.used;
}

size_t slab_peak(void)
{
	return pool.peak;
}

void slab_set_budget(size_t bytes)
{
	pool.budget_bytes = bytes;
}

void slab_wait(struct slab_waiter *w)
{
	if (list_empty(&w->node))
		list_push(&pool.waiters, &w->node);
}

/*
 * All at once: they only queue up here and take memory later, one after the other, and whoever then finds
 * none waits again behind the rest. So nobody is forgotten, and nobody comes first twice.
 */
void slab_wake(void)
{
	struct list now, *n;
	size_t room = slab_room();

	if (list_empty(&pool.waiters) || room == 0 || room < pool.budget_bytes / WAKE_SHARE)
		return;
	list_init(&now);
	list_splice(&now, &pool.waiters);
	while ((n = list_pop(&now))) {
		struct slab_waiter *w = list_entry(n, struct slab_waiter, node);

		w->woken(w);
	}
}

/* ---- buffers ---- */

static size_t held(const struct slab *s)
{
	return s->end - s->off;
}

static size_t tail(const struct slab *s)
{
	return SLAB_BYTES - s->end;
}

void buf_init(struct buf *b)
{
	*b = (struct buf){ 0 };
}

void buf_fini(struct buf *b)
{
	struct slab *s;

	while ((s = b->first)) {
		b->first = s->next;
		slab_put(s);
	}
	buf_init(b);
}

/* Where the slab behind the last one hangs: NULL but between buf_space and buf_commit. */
static struct slab **behind_last(struct buf *b)
{
	return b->last ? &b->last->next : &b->first;
}

static void link_last(struct buf *b, struct slab *s)
{
	struct slab **link = behind_last(b);

	BUG_ON(*link != NULL); /* buf_space without buf_commit */
	s->next = NULL;
	*link = s;
	b->last = s;
}

static struct slab *unlink_first(struct buf *b)
{
	struct slab *s = b->first;

	b->first = s->next;
	if (!b->first)
		b->last = NULL;
	return s;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
	const char *from = p;

	while (n) {
		size_t part;

		if (!b->last || tail(b->last) == 0)
			link_last(b, slab_get());
		part = MIN(n, tail(b->last));
		memcpy(b->last->data + b->last->end, from, part);
		b->last->end += (uint32_t)part;
		b->n += part;
		from += part;
		n -= part;
	}
}

int buf_space(struct buf *b, size_t max, struct iovec *iov, int cap)
{
	struct slab **link = behind_last(b);
	int n = 0;

	BUG_ON(*link != NULL);
	if (b->last && tail(b->last) && max && cap > 0) {
		iov[n].iov_base = b->last->data + b->last->end;
		iov[n].iov_len = MIN(max, tail(b->last));
		max -= iov[n++].iov_len;
	}
	for (; max && n < cap; n++) {
		*link = slab_get();
		iov[n].iov_base = (*link)->data;
		iov[n].iov_len = MIN(max, (size_t)SLAB_BYTES);
		max -= iov[n].iov_len;
		link = &(*link)->next;
	}
	return n;
}

void buf_commit(struct buf *b, size_t n)
{
	struct slab *fresh = *behind_last(b);

	*behind_last(b) = NULL;
	b->n += n;
	if (b->last) {
		size_t part = MIN(n, tail(b->last));

		b->last->end += (uint32_t)part;
		n -= part;
	}
	while (fresh) {
		struct slab *s = fresh;

		fresh = s->next;
		s->end = (uint32_t)MIN(n, (size_t)SLAB_BYTES);
		n -= s->end;
		if (s->end)
			link_last(b, s);
		else
			slab_put(s);
	}
	BUG_ON(n); /* more than buf_space gave */
}

int buf_peek(const struct buf *b, size_t max, struct iovec *iov, int cap)
{
	int n = 0;

	max = MIN(max, b->n);
	for (struct slab *s = b->first; max && n < cap; s = s->next, n++) {
		iov[n].iov_base = s->data + s->off;
		iov[n].iov_len = MIN(max, held(s));
		max -= iov[n].iov_len;
	}
	return n;
}

void buf_drop(struct buf *b, size_t n)
{
	BUG_ON(n > b->n);
	b->n -= n;
	while (n) {
		size_t part = MIN(n, held(b->first));

		b->first->off += (uint32_t)part;
		n -= part;
		if (held(b->first) == 0)
			slab_put(unlink_first(b));
	}
}

/*
 * By pointer, or by copying when there is so little in it that the last slab of dst takes it without
 * growing: else a stream of small pieces would hold a slab for each.
 */
void buf_move(struct buf *dst, struct buf *src, size_t n)
{
	BUG_ON(n > src->n || dst == src);
	while (n) {
		struct slab *s = src->first;
		size_t part = MIN(n, held(s));

		if (part < held(s) || (dst->last && part <= COPY_MAX && part <= tail(dst->last))) {
			buf_put(dst, s->data + s->off, part);
			buf_drop(src, part);
		} else {
			src->n -= part;
			link_last(dst, unlink_first(src));
			dst->n += part;
		}
		n -= part;
	}
}

size_t buf_copy(const struct buf *b, void *p, size_t n)
{
	size_t done = 0;

	n = MIN(n, b->n);
	for (struct slab *s = b->first; done < n; s = s->next) {
		size_t part = MIN(n - done, held(s));

		memcpy((char *)p + done, s->data + s->off, part);
		done += part;
	}
	return n;
}
