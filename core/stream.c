#include "core/stream.h"
#include "core/priv.h"
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct stream_ops sock_ops;

static void on_event(struct event *ev, uint32_t bits)
{
	struct stream *s = container_of(ev, struct stream, ev);

	if (bits & EPOLLIN)
		s->sock |= STREAM_IN;
	if (bits & EPOLLOUT)
		s->sock |= STREAM_OUT;
	/*
	 * A FIN that arrives together with data gives this one edge and no other: the bit stays, and we
	 * read to 0.
	 */
	if (bits & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->sock |= STREAM_IN | STREAM_HUP;
	if (bits & (EPOLLHUP | EPOLLERR))
		s->sock |= STREAM_BROKEN | STREAM_OUT; /* a writer must find out */
	s->ops->woken(s);
}

static struct stream *make(int fd, const struct stream_ops *ops, void *impl)
{
	struct stream *s = base_zalloc(sizeof *s);

	s->ev.fd = fd;
	s->ev.ready = on_event;
	s->ops = ops;
	s->impl = impl;
	list_init(&s->ready);
	W->streams++;
	return s;
}

static void bury(struct grave *g)
{
	free(container_of(g, struct stream, grave));
}

struct stream *stream_new(int fd)
{
	struct stream *s = make(fd, &sock_ops, NULL);

	/* A connected socket can nearly always be written to; trying it at once saves a turn. */
	s->sock = s->can = STREAM_OUT;
	if (loop_add(&s->ev, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) < 0) {
		close(fd);
		W->streams--;
		free(s);
		return NULL;
	}
	return s;
}

struct stream *stream_new_scripted(const struct stream_ops *ops, void *impl)
{
	return make(-1, ops, impl);
}

void stream_own(struct stream *s, void *owner, void (*on_ready)(struct stream *s))
{
	s->owner = owner;
	s->on_ready = on_ready;
	stream_want(s, 0);
}

static void queue_if_wanted(struct stream *s, struct list *where)
{
	if (s->calling || s->closed)
		return;
	if (!(s->can & s->want))
		list_del(&s->ready);
	else if (list_empty(&s->ready))
		list_push(where, &s->ready);
}

void stream_want(struct stream *s, unsigned bits)
{
	s->want = (uint8_t)bits;
	queue_if_wanted(s, &W->ready);
}

void stream_set_can(struct stream *s, unsigned can)
{
	s->can = (uint8_t)can;
	queue_if_wanted(s, &W->ready);
}

void stream_dispatch(struct stream *s)
{
	s->calling = true;
	s->on_ready(s);
	s->calling = false;
	queue_if_wanted(s, &W->ready_next);
}

ssize_t stream_readv(struct stream *s, const struct iovec *iov, int n)
{
	return s->ops->readv(s, iov, n);
}

ssize_t stream_read(struct stream *s, void *p, size_t n)
{
	struct iovec iov = { p, n };

	return s->ops->readv(s, &iov, 1);
}

ssize_t stream_writev(struct stream *s, const struct iovec *iov, int n)
{
	return s->ops->writev(s, iov, n);
}

ssize_t stream_write(struct stream *s, const void *p, size_t n)
{
	struct iovec iov = { (void *)(uintptr_t)p, n };

	return s->ops->writev(s, &iov, 1);
}

size_t stream_unacked(const struct stream *s)
{
	int n = 0;

	if (s->ev.fd < 0 || ioctl(s->ev.fd, SIOCOUTQ, &n) < 0)
		n = 0;
	return stream_unsent(s) + (size_t)n;
}

void stream_shutdown(struct stream *s)
{
	s->ops->shutdown(s);
}

void stream_close(struct stream *s)
{
	BUG_ON(s->closed);
	s->closed = true;
	list_del(&s->ready);
	if (s->ops->fini)
		s->ops->fini(s);
	if (s->ev.fd >= 0) {
		loop_del(&s->ev);
		close(s->ev.fd);
		s->ev.fd = -1;
	}
	W->streams--;
	loop_bury(&s->grave, bury);
}

void stream_reset(struct stream *s)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	if (s->ev.fd >= 0)
		setsockopt(s->ev.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	stream_close(s);
}

size_t stream_count(void)
{
	return W->streams;
}

/* ---- the plain socket ---- */

static size_t iov_bytes(const struct iovec *iov, int n)
{
	size_t total = 0;

	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	return total;
}

static ssize_t failed(struct stream *s, unsigned blocked_bit)
{
	enum err e = err_from_errno(errno);

	if (e == ERR_AGAIN)
		s->sock &= (uint8_t)~blocked_bit;
	else
		s->sock |= STREAM_BROKEN | STREAM_HUP | STREAM_IN;
	return -(ssize_t)e;
}

ssize_t stream_sock_readv(struct stream *s, const struct iovec *iov, int n)
{
	ssize_t r;

	do {
		r = n == 1 ? recv(s->ev.fd, iov->iov_base, iov->iov_len, 0) : readv(s->ev.fd, iov, n);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return failed(s, STREAM_IN);
	if (r == 0) {
		s->sock |= STREAM_HUP;
		return 0;
	}
	/*
	 * A short read has emptied the socket: the next byte brings an edge. Not so when a FIN is behind
	 * it.
	 */
	if (!(s->sock & STREAM_HUP) && (size_t)r < iov_bytes(iov, n))
		s->sock &= (uint8_t)~STREAM_IN;
	return r;
}

ssize_t stream_sock_writev(struct stream *s, const struct iovec *iov, int n)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };
	ssize_t r;

	do {
		r = n == 1 ? send(s->ev.fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL) :
			     sendmsg(s->ev.fd, &m, MSG_NOSIGNAL);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return failed(s, STREAM_OUT);
	/* A short write has filled the socket: room brings an edge. */
	if ((size_t)r < iov_bytes(iov, n))
		s->sock &= (uint8_t)~STREAM_OUT;
	return r;
}

/* How much it takes depends on how the bytes lie: only EAGAIN says that there is no more, or no more room. */
static ssize_t spliced(struct stream *s, ssize_t r, unsigned blocked_bit)
{
	if (r < 0)
		r = failed(s, blocked_bit);
	else if (r == 0 && blocked_bit == STREAM_IN)
		s->sock |= STREAM_HUP;
	s->can = s->sock;
	return r;
}

ssize_t stream_splice_in(struct stream *s, int pipe, size_t n)
{
	ssize_t r;

	do {
		r = splice(s->ev.fd, NULL, pipe, NULL, n, SPLICE_F_NONBLOCK);
	} while (r < 0 && errno == EINTR);
	return spliced(s, r, STREAM_IN);
}

ssize_t stream_splice_out(struct stream *s, int pipe, size_t n)
{
	ssize_t r;

	do {
		r = splice(pipe, NULL, s->ev.fd, NULL, n, SPLICE_F_NONBLOCK);
	} while (r < 0 && errno == EINTR);
	return spliced(s, r, STREAM_OUT);
}

ssize_t stream_peek(struct stream *s, void *p, size_t n)
{
	ssize_t r;

	do {
		r = recv(s->ev.fd, p, n, MSG_PEEK);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		r = failed(s, STREAM_IN);
	else if ((size_t)r < n && !(s->sock & STREAM_HUP))
		s->sock &= (uint8_t)~STREAM_IN;
	s->can = s->sock;
	return r;
}

void stream_peeked(struct stream *s)
{
	s->sock |= STREAM_IN;
	stream_set_can(s, s->sock);
}

/* Readiness that an owner uses up itself needs no queueing: it is in the middle of a call. */
static ssize_t sock_readv(struct stream *s, const struct iovec *iov, int n)
{
	ssize_t r = stream_sock_readv(s, iov, n);

	s->can = s->sock;
	return r;
}

static ssize_t sock_writev(struct stream *s, const struct iovec *iov, int n)
{
	ssize_t r = stream_sock_writev(s, iov, n);

	s->can = s->sock;
	return r;
}

static void sock_shutdown(struct stream *s)
{
	shutdown(s->ev.fd, SHUT_WR);
}

static void sock_woken(struct stream *s)
{
	stream_set_can(s, s->sock);
}

static const struct stream_ops sock_ops = {
	.name = "socket",
	.readv = sock_readv,
	.writev = sock_writev,
	.shutdown = sock_shutdown,
	.woken = sock_woken,
};
