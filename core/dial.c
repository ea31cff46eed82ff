/*
 * dial.c - connecting to a target: its addresses in turn, each within its share of the time (the order of
 * RFC 8305 section 4 without its haste: whoever serves answers at once, or refuses).
 */
#include "core/names.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum err dial_err(int sys_errno)
{
	switch (sys_errno) {
	case ENOENT:
	case ENOTDIR:
		return ERR_UP_ABSENT;
	case ECONNREFUSED:
	case ECONNRESET: /* accepted by the kernel, thrown away before we could look */
	case EPROTOTYPE: /* a datagram socket at that path */
		return ERR_UP_REFUSED;
	case EAGAIN:
		return ERR_UP_BACKLOG;
	case EACCES:
	case EPERM:
		return ERR_UP_PERMISSION;
	case EMFILE:
	case ENFILE:
	case ENOSPC: /* epoll's bound of watches a user */
		return ERR_UP_NO_FD;
	case ETIMEDOUT:
		return ERR_UP_CONNECT_TIMEOUT;
	case ENODATA: /* not of connecting: a name without an address */
		return ERR_UP_UNRESOLVED;
	}
	/* ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL (no port left), ENOMEM, ... */
	return ERR_UP_UNREACHABLE;
}

/*
 * A connect to a local port in the range of those that the kernel picks for clients may get that very port,
 * and so be connected to itself. Nobody listens there then, and nobody could while it lasts.
 */
static bool is_connected_to_itself(int fd)
{
	struct addr local = { .len = sizeof local.ss }, peer = { .len = sizeof peer.ss };

	if (getsockname(fd, &local.sa, &local.len) < 0 || getpeername(fd, &peer.sa, &peer.len) < 0)
		return false;
	return local.len == peer.len && memcmp(&local.ss, &peer.ss, local.len) == 0;
}

/*
 * Of several failures the first that says most is told: whoever refuses is there, and that one of two
 * families leads nowhere is of no interest then.
 */
static void note_failure(struct dial *d, int sys_errno)
{
	if (!d->sys_errno || dial_err(d->sys_errno) == ERR_UP_UNREACHABLE)
		d->sys_errno = sys_errno;
}

/* Nothing is wrong with the address, and another would fare no better. */
static bool is_ours(int sys_errno)
{
	return dial_err(sys_errno) == ERR_UP_NO_FD;
}

static size_t place_in_turn(const struct dial *d)
{
	return (d->first + d->tried) % d->addrs->n;
}

/* Nothing is under way any more. */
static void stop(struct dial *d)
{
	timer_stop(&d->timer);
	addrs_put(d->addrs);
	d->addrs = NULL;
	if (d->is_given && d->given >= 0)
		close(d->given);
	d->given = -1;
}

static enum err succeeded(struct dial *d)
{
	size_t i = place_in_turn(d);

	stream_own(d->stream, NULL, NULL);
	d->sys_errno = 0;
	d->address = addr_hash(&d->addrs->addr[i]);
	if (d->addrs == d->place->addrs)
		d->place->good = i;
	stop(d);
	return ERR_OK;
}

static enum err failed(struct dial *d)
{
	stop(d);
	if (!is_ours(d->sys_errno))
		names_failed(d->place);
	return dial_err(d->sys_errno);
}

/* ---- one address after the other ---- */

static void on_timeout(struct timer *t);
static void on_ready(struct stream *s);

/* The last one has all that is left. */
static uint64_t share_ms(const struct dial *d)
{
	uint64_t now_ms = loop_now_ms();

	return d->until_ms > now_ms ? (d->until_ms - now_ms) / (d->is_given ? 1 : d->addrs->n - d->tried) : 0;
}

static int take_given(struct dial *d, int family)
{
	int fd = d->given, domain = AF_UNSPEC;
	socklen_t len = sizeof domain;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != family) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	d->given = -1;
	return fd;
}

/* The kernel tells the outcome of a connect by OUT; until then the stream must not believe in it. */
static void wait_for_outcome(struct dial *d)
{
	d->stream->sock = 0;
	stream_set_can(d->stream, 0);
	stream_own(d->stream, d, on_ready);
	stream_want(d->stream, STREAM_OUT);
	timer_set(&d->timer, share_ms(d));
}

/* 0: connected; EINPROGRESS; or why not. */
static int try_one(struct dial *d, const struct addr *to)
{
	const int on = 1;
	int family = to->sa.sa_family, e = 0;
	int fd = d->is_given ? take_given(d, family)
			     : socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	/* What leaves is gathered already: to wait for more (RFC 896) would only delay it. */
	if (family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (connect(fd, &to->sa, to->len) < 0)
		e = errno;
	if (e && e != EINPROGRESS) {
		close(fd);
		return e;
	}
	d->stream = stream_new(fd);
	return d->stream ? e : ENOSPC;
}

static enum err try_all(struct dial *d)
{
	for (; d->tried < d->addrs->n; d->tried++) {
		int e = try_one(d, &d->addrs->addr[place_in_turn(d)]);

		if (e == 0)
			return succeeded(d);
		if (e == EINPROGRESS) {
			wait_for_outcome(d);
			return ERR_AGAIN;
		}
		note_failure(d, e);
		if (is_ours(e)) {
			d->sys_errno = e;
			break;
		}
	}
	return failed(d);
}

/* What was under way is over. Calls `done` unless there is another address; in it d may be used or freed. */
static void finish(struct dial *d, int sys_errno)
{
	enum err e;

	if (sys_errno) {
		stream_close(d->stream);
		d->stream = NULL;
		note_failure(d, sys_errno);
		d->tried++;
		e = try_all(d);
	} else {
		e = succeeded(d);
	}
	if (e != ERR_AGAIN)
		d->done(d, e);
}

static void on_timeout(struct timer *t)
{
	finish(container_of(t, struct dial, timer), ETIMEDOUT);
}

static void on_ready(struct stream *s)
{
	int e = 0;
	socklen_t len = sizeof e;

	if (getsockopt(s->ev.fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
		e = errno;
	if (e == 0 && is_connected_to_itself(s->ev.fd)) /* only TCP comes here */
		e = ECONNREFUSED;
	finish(s->owner, e);
}

/* ---- the attempt ---- */

static enum err start(struct dial *d, bool is_given, int given, struct place *to, uint64_t timeout_ms,
		      void (*done)(struct dial *d, enum err e))
{
	*d = (struct dial){
		.done = done,
		.is_given = is_given,
		.given = given,
		.place = to,
		.addrs = to->addrs,
		.first = to->good,
		.sys_errno = to->addrs->n ? 0 : ENODATA,
	};
	d->addrs->refs++;
	timer_init(&d->timer, on_timeout);
	if (__builtin_add_overflow(loop_now_ms(), timeout_ms, &d->until_ms))
		d->until_ms = UINT64_MAX;
	return try_all(d);
}

enum err dial_start(struct dial *d, struct place *to, uint64_t timeout_ms,
		    void (*done)(struct dial *d, enum err e))
{
	return start(d, false, -1, to, timeout_ms, done);
}

enum err dial_start_on(struct dial *d, int fd, struct place *to, uint64_t timeout_ms,
		       void (*done)(struct dial *d, enum err e))
{
	return start(d, true, fd, to, timeout_ms, done);
}

void dial_cancel(struct dial *d)
{
	if (!timer_is_set(&d->timer))
		return; /* nothing is under way; a stream in d is its taker's */
	stream_close(d->stream);
	d->stream = NULL;
	stop(d);
}
