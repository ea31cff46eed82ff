/*
 * stream.h - a byte stream: a plain socket, the same socket under TLS, or a script in a test.
 *
 * Knows readiness and bytes, nothing of what they mean. A stream is one heap object for the whole life of
 * its fd: it is handed from owner to owner (accept, sniffing, a connection, a relay), and TLS is put on
 * it by changing its ops. It is registered with epoll once, edge-triggered, in and out; interest is a bit
 * here.
 *
 * Rules for an owner: `on_ready` is called from the loop, never from inside a stream call, when something
 * wanted may be possible; it may close or hand on the stream. Reading goes on until ERR_AGAIN (or until
 * the owner has had enough for this turn: it is called again next turn as long as it wants and can).
 * Nobody calls on_ready directly.
 */
#pragma once

#include "core/err.h"
#include "core/loop.h"
#include <sys/uio.h>

enum stream_bit {
	STREAM_IN = 1,  /* readable, or its end is */
	STREAM_OUT = 2, /* writable */
	/* The peer has ended its direction, or the connection broke. Sticky; unread bytes may still wait. */
	STREAM_HUP = 4,
	/* Over in both directions: reset, or ended by both sides. Sticky, comes with STREAM_HUP; as above. */
	STREAM_BROKEN = 8,
};

struct stream;

struct stream_ops {
	const char *name;
	/* Bytes read (> 0), 0 at the peer's orderly end, -ERR_AGAIN, or -err. */
	ssize_t (*readv)(struct stream *s, const struct iovec *iov, int n);
	/*
	 * Bytes accepted (> 0, possibly fewer than offered), -ERR_AGAIN, or -err.
	 */
	ssize_t (*writev)(struct stream *s, const struct iovec *iov, int n);
	/*
	 * Ends our direction in order (TLS: close_notify, then FIN). May be incomplete: ERR_AGAIN means
	 * it goes on by itself.
	 */
	void (*shutdown)(struct stream *s);
	/* Bytes accepted but not yet with the kernel (TLS ciphertext). The stream sends them by itself. */
	size_t (*unsent)(const struct stream *s);
	/* The kernel reported `sock` bits: update s->can. */
	void (*woken)(struct stream *s);
	/* Frees what the ops keep; the fd is closed by stream_close. */
	void (*fini)(struct stream *s);
};

struct stream {
	struct event ev; /* ev.fd is the socket, -1 in a script */
	const struct stream_ops *ops;
	void (*on_ready)(struct stream *s);
	void *owner; /* the owner's, for on_ready */
	void *impl;  /* the ops' own state: TLS connection, script */
	struct list ready; /* in the loop's list of ready streams */
	struct grave grave;
	uint8_t sock; /* STREAM_* as the kernel last told */
	uint8_t can;  /* STREAM_* as the owner may use them */
	uint8_t want; /* STREAM_* the owner wants to be called for */
	bool calling; /* on_ready runs */
	bool closed;  /* waits for its grave */
};

/*
 * Takes over a connected, non-blocking fd and registers it. Returns the stream, owned by the caller, or
 * NULL with the fd closed when epoll refuses it. Nothing is wanted yet.
 */
struct stream *stream_new(int fd) MUST_USE;
/* A stream with the caller's own ops and no fd: for scripts in tests. */
struct stream *stream_new_scripted(const struct stream_ops *ops, void *impl) MUST_USE;

/* Hands the stream to a new owner: sets callback and owner, clears interest. */
void stream_own(struct stream *s, void *owner, void (*on_ready)(struct stream *s));

/*
 * Sets exactly this interest. When it is already possible, on_ready is called later in this turn (or next
 * turn when called from on_ready).
 */
void stream_want(struct stream *s, unsigned bits);
static inline void stream_want_more(struct stream *s, unsigned bits)
{
	stream_want(s, s->want | bits);
}
static inline void stream_want_less(struct stream *s, unsigned bits)
{
	stream_want(s, s->want & ~bits);
}

ssize_t stream_readv(struct stream *s, const struct iovec *iov, int n) MUST_USE;
ssize_t stream_read(struct stream *s, void *p, size_t n) MUST_USE;
ssize_t stream_writev(struct stream *s, const struct iovec *iov, int n) MUST_USE;
ssize_t stream_write(struct stream *s, const void *p, size_t n) MUST_USE;
/*
 * Of a plain socket: as stream_read and stream_write, into and out of a pipe, so that the bytes stay where
 * the kernel has them. For much at a time: of little, the copy costs less.
 */
ssize_t stream_splice_in(struct stream *s, int pipe, size_t n) MUST_USE;
ssize_t stream_splice_out(struct stream *s, int pipe, size_t n) MUST_USE;
/*
 * Of a plain socket: copies up to n of the bytes that wait, which stay where they are. Returns as
 * stream_read. When there are fewer than n the owner is called again only after more came, until it calls
 * stream_peeked.
 */
ssize_t stream_peek(struct stream *s, void *p, size_t n) MUST_USE;
/* Peeking is over: what waits is to be read, by whoever owns the stream next. */
void stream_peeked(struct stream *s);
void stream_shutdown(struct stream *s);
static inline size_t stream_unsent(const struct stream *s)
{
	return s->ops->unsent ? s->ops->unsent(s) : 0;
}
/*
 * Bytes accepted that the peer's kernel has not acknowledged: less than before means that it still takes
 * some, however slowly, and however long it may be until it takes enough for STREAM_OUT. A system call.
 */
size_t stream_unacked(const struct stream *s);
/* True once the peer has ended its direction or the connection broke; bytes may still wait. */
static inline bool stream_is_hup(const struct stream *s)
{
	return s->can & STREAM_HUP;
}

/* Closes the fd now (a reset when unread bytes wait, as the kernel does); memory goes after the turn. */
void stream_close(struct stream *s);
/* Closes so that the peer gets a reset whatever waits (SO_LINGER 0). */
void stream_reset(struct stream *s);

/* Live streams of this worker. */
size_t stream_count(void);

/* For ops: sets what the owner can do, and queues on_ready when it is wanted. */
void stream_set_can(struct stream *s, unsigned can);
/*
 * Plain socket operations, for ops that sit on the same fd. They keep s->sock true to the kernel (EAGAIN,
 * short reads, HUP).
 */
ssize_t stream_sock_readv(struct stream *s, const struct iovec *iov, int n) MUST_USE;
ssize_t stream_sock_writev(struct stream *s, const struct iovec *iov, int n) MUST_USE;
