/*
 * buf.h - byte queues made of slabs, and the worker's memory budget.
 *
 * A slab exists only while it holds bytes. Bodies, unsent output and saved ciphertext live here; heads
 * live in arenas. Slabs are counted against the worker's budget (`memory`). The budget never makes an
 * operation fail: whoever produces asks slab_room() first (pipes do it for their writers) and stops its
 * source at 0; a reserve beyond the budget is left for control frames, heads and error pages, which are
 * bounded elsewhere.
 */
#pragma once

#include "core/list.h"
#include <sys/uio.h>

enum { SLAB_BYTES = 16384 }; /* a full TLS record */

struct slab {
	struct slab *next;
	uint32_t off, end; /* bytes held: data[off .. end) */
	char data[SLAB_BYTES];
};

struct buf {
	struct slab *first, *last;
	size_t n;
};

static inline size_t buf_len(const struct buf *b)
{
	return b->n;
}

void buf_init(struct buf *b);
/* Drops everything. */
void buf_fini(struct buf *b);

/* Appends a copy of all n bytes. */
void buf_put(struct buf *b, const void *p, size_t n);
static inline void buf_put_str(struct buf *b, struct str s)
{
	buf_put(b, s.p, s.n);
}

/*
 * Writable memory behind the last byte, at most `max` bytes and at most `cap` pieces (what is left of the
 * last slab, then fresh ones). Returns the number of pieces filled into iov. Void at the next call on b.
 * Follow with buf_commit, also when nothing came, with 0: it gives unused slabs back.
 */
int buf_space(struct buf *b, size_t max, struct iovec *iov, int cap) MUST_USE;
void buf_commit(struct buf *b, size_t n);

/*
 * Readable pieces from the front, at most max bytes and cap pieces; void at the next change of b. Returns
 * their number.
 */
int buf_peek(const struct buf *b, size_t max, struct iovec *iov, int cap) MUST_USE;
/* Drops n <= buf_len bytes from the front. */
void buf_drop(struct buf *b, size_t n);
/*
 * Moves the first n <= buf_len(src) bytes of src to the end of dst. Whole slabs change hands; only a part
 * of one, and what is so little that it would waste a slab, is copied. src and dst differ.
 */
void buf_move(struct buf *dst, struct buf *src, size_t n);
/* Copies up to n bytes from the front into p, without dropping them. Returns how many. */
size_t buf_copy(const struct buf *b, void *p, size_t n);

/* ---- the worker's budget ---- */

/* Bytes that may still be stored before the budget is spent; 0 when it is. */
size_t slab_room(void);
/*
 * Sets bytes of the budget aside for what a peer is allowed to send at once and may never send: at most half
 * of what is left of `most`, of the budget and of a quarter of the whole of it, so that the next one finds
 * some. Returns how many of `bytes` were granted; slab_unpromise gives them back.
 */
size_t slab_promise(size_t bytes, size_t most) MUST_USE;
void slab_unpromise(size_t bytes);
/* Slabs in use, and the most ever in use at once. */
size_t slab_count(void);
size_t slab_peak(void);
/* Sets the budget (configuration key `memory`), in bytes. */
void slab_set_budget(size_t bytes);
/* From time to time: frees spare slabs that were not needed lately. Returns how many. */
size_t slab_settle(void);
/* Returns spare slabs to the system: at exit and for tests that count memory. */
void slab_drop_spares(void);

/*
 * Who found no room because of the budget (not because of its own pipe) waits here and is woken, once, in
 * order, when a sixteenth of the budget is free again. `woken` is called outside of any verb; the waiter
 * is unlinked before, and may wait again at once, behind the others. list_init the node first; list_del
 * gives up waiting. To wait twice is to wait once.
 */
struct slab_waiter {
	struct list node;
	void (*woken)(struct slab_waiter *w);
};
void slab_wait(struct slab_waiter *w);
/* Calls those whose turn it is; the loop does, once a turn. */
void slab_wake(void);
