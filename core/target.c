#include "core/target.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

/* ---- addresses ---- */

enum { UN_PATH_BYTES = sizeof(((struct sockaddr_un *)NULL)->sun_path) };

bool addr_from_unix(struct addr *a, struct str path)
{
	bool abstract = path.n && path.p[0] == '@';

	/* one byte stays for the NUL, also where the kernel needs none: one limit for both kinds */
	if (path.n == 0 || path.n >= UN_PATH_BYTES || memchr(path.p, '\0', path.n))
		return false;
	if (abstract && path.n == 1)
		return false; /* not a name: as an address it means "any" */
	*a = (struct addr){ .len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + !abstract) };
	a->un.sun_family = AF_UNIX;
	memcpy(a->un.sun_path, path.p, path.n);
	if (abstract)
		a->un.sun_path[0] = '\0';
	return true;
}

bool addr_from_ip(struct addr *a, struct str host, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	char text[INET6_ADDRSTRLEN];

	if (host.n >= sizeof text || (host.n && memchr(host.p, '\0', host.n)))
		return false;
	snprintf(text, sizeof text, "%.*s", STR_ARG(host));
	*a = (struct addr){ 0 };
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
		memcpy(&a->ss, &in, sizeof in);
		a->len = sizeof in;
		return true;
	}
	if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1) {
		memcpy(&a->ss, &in6, sizeof in6);
		a->len = sizeof in6;
		return true;
	}
	return false;
}

/* A path as the kernel gives it: may lack its NUL, may contain anything. */
static void unix_text(const struct sockaddr_un *un, socklen_t len, char *out, size_t cap)
{
	size_t header = offsetof(struct sockaddr_un, sun_path);
	size_t n = len > header ? MIN((size_t)len - header, (size_t)UN_PATH_BYTES) : 0;
	char path[UN_PATH_BYTES];

	memcpy(path, un->sun_path, n);
	if (n && path[0] == '\0')
		path[0] = '@';
	else
		n = strnlen(path, n);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)path[i] < 0x20 || (unsigned char)path[i] >= 0x7f)
			path[i] = '?';
	snprintf(out, cap, "unix:%.*s", (int)n, path);
}

char *addr_host(const struct sockaddr *sa, char *out, size_t cap)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	char text[INET6_ADDRSTRLEN];

	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&in, sa, sizeof in);
		inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
		break;
	case AF_INET6:
		memcpy(&in6, sa, sizeof in6);
		inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof text);
		break;
	case AF_UNIX:
		snprintf(text, sizeof text, "unix");
		break;
	default:
		snprintf(text, sizeof text, "unknown");
	}
	snprintf(out, cap, "%s", text);
	return out;
}

char *addr_text(const struct sockaddr *sa, socklen_t len, char *out, size_t cap)
{
	char host[INET6_ADDRSTRLEN];
	in_port_t port;

	switch (sa->sa_family) {
	case AF_UNIX:
		unix_text((const struct sockaddr_un *)(const void *)sa, len, out, cap);
		break;
	case AF_INET:
		memcpy(&port, (const char *)sa + offsetof(struct sockaddr_in, sin_port), sizeof port);
		snprintf(out, cap, "%s:%u", addr_host(sa, host, sizeof host), ntohs(port));
		break;
	case AF_INET6:
		memcpy(&port, (const char *)sa + offsetof(struct sockaddr_in6, sin6_port), sizeof port);
		snprintf(out, cap, "[%s]:%u", addr_host(sa, host, sizeof host), ntohs(port));
		break;
	default:
		snprintf(out, cap, "unknown");
	}
	return out;
}

/* ---- dialling ---- */

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

static enum err failed(struct dial *d, int sys_errno)
{
	d->sys_errno = sys_errno;
	return dial_err(sys_errno);
}

/* The attempt is over: calls `done`, in which d may be used again or freed. */
static void finish(struct dial *d, int sys_errno)
{
	enum err e = ERR_OK;

	timer_stop(&d->timer);
	if (sys_errno) {
		stream_close(d->stream);
		d->stream = NULL;
		e = failed(d, sys_errno);
	} else {
		stream_own(d->stream, NULL, NULL);
	}
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

/* The kernel tells the outcome of a connect by OUT; until then the stream must not believe in it. */
static void wait_for_outcome(struct dial *d, uint64_t timeout_ms)
{
	d->stream->sock = 0;
	stream_set_can(d->stream, 0);
	stream_own(d->stream, d, on_ready);
	stream_want(d->stream, STREAM_OUT);
	timer_init(&d->timer, on_timeout);
	timer_set(&d->timer, timeout_ms);
}

enum err dial_start(struct dial *d, const struct addr *to, uint64_t timeout_ms,
		    void (*done)(struct dial *d, enum err e))
{
	const int on = 1;
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int e = 0;

	*d = (struct dial){ .done = done };
	if (fd < 0)
		return failed(d, errno);
	/* What leaves is gathered already: to wait for more (RFC 896) would only delay it. */
	if (to->sa.sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (connect(fd, &to->sa, to->len) < 0)
		e = errno;
	if (e && e != EINPROGRESS) {
		close(fd);
		return failed(d, e);
	}
	d->stream = stream_new(fd);
	if (!d->stream)
		return failed(d, ENOSPC);
	if (e == 0)
		return ERR_OK;
	wait_for_outcome(d, timeout_ms);
	return ERR_AGAIN;
}

void dial_cancel(struct dial *d)
{
	if (!timer_is_set(&d->timer))
		return; /* nothing is under way; a stream in d is its taker's */
	timer_stop(&d->timer);
	stream_close(d->stream);
	d->stream = NULL;
}
