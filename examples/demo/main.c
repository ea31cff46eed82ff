/*
 * main.c - a small web application to put behind Gatehouse: pages, JSON, events, WebSocket echo, uploads.
 *
 *	demo PATH		listens on a Unix socket
 *	demo --tcp PORT		listens on 127.0.0.1 (PORT 0: any free one)
 *
 * It prints one line, "demo: listening on ...", once it serves, and ends cleanly on SIGTERM or SIGINT. It is
 * also the origin of the end-to-end tests, so it reads requests strictly, keeps connections alive, takes
 * pipelined requests and never reads faster than it can answer.
 *
 *	/		a page that tries the rest
 *	/json		a small JSON document
 *	/bytes/N	N bytes with Content-Length; knows Range
 *	/chunked/N	N bytes in chunks (?chunk=SIZE)
 *	/events		server-sent events (?interval_ms= &count=)
 *	/upload		POST or PUT: counts and hashes the body
 *	/echo		sends the request body back as it comes
 *	/ws		WebSocket echo
 *	/headers	the request's head as JSON
 *	/trailers	an answer with trailers
 *	/slow		answers late (?ms=)
 *	/early		answers before the body (?close=1: and does not read it)
 *	/status/NNN	that status (1xx: before a 200)
 *	/stats		what it has seen so far
 *
 * Byte i of /bytes/N and /chunked/N is pattern[i % 65521], pattern[k] = (k * 7 + k / 251) & 255.
 */
#include "examples/demo/demo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINGER_MS 2000

struct demo demo;

_Noreturn void die(const char *what)
{
	fprintf(stderr, "demo: %s: %s\n", what, strerror(errno));
	exit(1);
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

char *out_grow(struct conn *c, size_t n)
{
	if (c->out_at == c->out_n)
		c->out_at = c->out_n = 0;
	if (c->out_n + n > c->out_cap) {
		if (c->out_at)
			memmove(c->out, c->out + c->out_at, c->out_n - c->out_at);
		c->out_n -= c->out_at;
		c->out_at = 0;
		while (c->out_n + n > c->out_cap)
			c->out_cap = c->out_cap ? 2 * c->out_cap : 4096;
		c->out = realloc(c->out, c->out_cap);
		if (!c->out)
			die("realloc");
	}
	c->out_n += n;
	return c->out + c->out_n - n;
}

size_t out_pending(const struct conn *c)
{
	return c->out_n - c->out_at;
}

void out_put(struct conn *c, const void *p, size_t n)
{
	memcpy(out_grow(c, n), p, n);
}

void out_printf(struct conn *c, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	out_put(c, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

/* Sends what it can. False when the connection is broken. */
static bool out_flush(struct conn *c)
{
	while (out_pending(c)) {
		ssize_t n = send(c->fd, c->out + c->out_at, out_pending(c), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		c->out_at += (size_t)n;
	}
	if (c->out_cap > OUT_HIGH / 4 && c->phase == READ_HEAD) {	/* idle: keeps no large buffer */
		free(c->out);
		c->out = NULL;
		c->out_cap = c->out_at = c->out_n = 0;
	}
	return true;
}

void in_drop(struct conn *c, size_t n)
{
	c->in_n -= n;
	memmove(c->in, c->in + n, c->in_n);
}

void timer_clear(struct conn *c)
{
	if (!c->link)
		return;
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	c->link = NULL;
}

void timer_set(struct conn *c, uint64_t delay_ms)
{
	timer_clear(c);
	c->due_ms = now_ms() + delay_ms;
	c->next = demo.timed;
	c->link = &demo.timed;
	if (c->next)
		c->next->link = &c->next;
	demo.timed = c;
}

void finish(struct conn *c)
{
	demo.events_open -= c->source == EVENTS;
	demo.sockets_open -= c->phase == FRAMES;
	demo.uploads_broken += c->phase == READ_BODY && c->hash;
	c->phase = c->req.close ? LEAVE : READ_HEAD;
	timer_clear(c);
	free(c->req.text);
	free(c->trailers);
	EVP_MD_CTX_free(c->hash);
	c->req = (struct request){ 0 };
	c->trailers = NULL;
	c->hash = NULL;
	c->source = NOTHING;
	c->answered = c->echo = false;
}

static bool step(struct conn *c)
{
	switch (c->phase) {
	case READ_HEAD:
		return read_head(c);
	case READ_BODY:
		return read_body(c);
	case ANSWER:
		return answer_more(c);
	case FRAMES:
		return read_frames(c);
	case LEAVE:
		c->in_n = 0;
		return false;
	}
	return false;
}

static void conn_free(struct conn *c)
{
	finish(c);
	*c->all_link = c->all_next;
	if (c->all_next)
		c->all_next->all_link = c->all_link;
	close(c->fd);
	free(c->out);
	free(c);
	demo.connections--;
}

/* Reads what there is. False when the connection is broken. */
static bool fill(struct conn *c)
{
	while (!c->eof && c->in_n < IN_MAX) {
		size_t room = IN_MAX - c->in_n;
		ssize_t n = recv(c->fd, c->in + c->in_n, room, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		c->in_n += (size_t)n;
		c->eof = n == 0;
		if ((size_t)n < room)
			break;
	}
	return true;
}

/* True when the peer has said its last word and nothing is left to say to it. */
static bool is_over(const struct conn *c)
{
	if (!c->eof)
		return false;
	switch (c->phase) {
	case READ_HEAD:
	case LEAVE:
		return !out_pending(c);
	case READ_BODY:
	case FRAMES:
		return out_pending(c) < OUT_HIGH;	/* all that came has been looked at */
	case ANSWER:
		return c->source == EVENTS || c->source == DELAY;
	}
	return true;
}

/* Moves a connection on until it waits for something. False when it is broken. */
static bool advance(struct conn *c)
{
	for (unsigned fills = 0; fills < 16; fills++) {
		bool full = false;

		while (!full && step(c))
			full = out_pending(c) >= OUT_HIGH;
		if (!out_flush(c))
			return false;
		if (!full || out_pending(c) >= OUT_HIGH)
			break;
	}
	return true;
}

/* The one place that ends a connection, but for the timer of one that leaves. */
static void run(struct conn *c, bool readable)
{
	bool sound = !readable || fill(c), producing;
	uint32_t interest;

	if (sound && out_pending(c) >= OUT_HIGH)
		sound = out_flush(c);
	if (sound && out_pending(c) < OUT_HIGH)
		sound = advance(c);
	if (!sound || is_over(c)) {
		conn_free(c);
		return;
	}
	if (c->phase == LEAVE && !out_pending(c) && !c->link) {
		shutdown(c->fd, SHUT_WR);
		timer_set(c, LINGER_MS);
	}
	producing = c->phase == ANSWER && c->source == BYTES;
	interest = (!c->eof && c->in_n < IN_MAX ? EPOLLIN : 0) | (out_pending(c) || producing ? EPOLLOUT : 0);
	if (interest != c->interest) {
		struct epoll_event ev = { .events = interest, .data.ptr = c };

		epoll_ctl(demo.epoll, EPOLL_CTL_MOD, c->fd, &ev);
		c->interest = interest;
	}
}

static void accept_all(void)
{
	int fd, one = 1;

	while ((fd = accept4(demo.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = malloc(sizeof(*c));
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

		if (!c)
			die("malloc");
		memset(c, 0, offsetof(struct conn, in));
		c->fd = fd;
		c->interest = ev.events;
		/* a Unix socket refuses this, and does not need it */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (epoll_ctl(demo.epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
			die("epoll_ctl");
		c->all_next = demo.all;
		c->all_link = &demo.all;
		if (c->all_next)
			c->all_next->all_link = &c->all_next;
		demo.all = c;
		demo.connections++;
		demo.accepted++;
	}
}

/* Runs those whose time has come; returns how long to sleep at most, -1 for ever. */
static int run_timers(void)
{
	uint64_t now = now_ms(), nearest = UINT64_MAX;
	struct conn *c, *next;

	for (c = demo.timed; c; c = next) {
		next = c->next;
		if (c->due_ms > now)
			continue;
		timer_clear(c);
		if (c->phase == LEAVE)
			conn_free(c);
		else
			run(c, false);
	}
	for (c = demo.timed; c; c = c->next)
		if (c->due_ms < nearest)
			nearest = c->due_ms;
	if (nearest == UINT64_MAX)
		return -1;
	now = now_ms();
	return nearest <= now ? 0 : nearest - now < 1000 ? (int)(nearest - now) : 1000;
}

static int listen_unix(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		die(path);
	}
	memcpy(sa.sun_path, path, strlen(path));
	unlink(path);
	/* whoever may enter the folder may connect: Gatehouse's workers have a user of their own */
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || chmod(path, 0666) < 0 ||
	    listen(fd, 4096) < 0)
		die(path);
	printf("demo: listening on %s\n", path);
	return fd;
}

static int listen_tcp(const char *text)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	socklen_t n = sizeof(sa);
	uint64_t port;

	if (!number((struct span){ text, strlen(text) }, 10, &port) || port > 65535) {
		errno = EINVAL;
		die(text);
	}
	sa.sin_port = htons((uint16_t)port);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 4096) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
		die(text);
	printf("demo: listening on 127.0.0.1:%u\n", ntohs(sa.sin_port));
	return fd;
}

static void watch(int fd, void *ptr)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = ptr };

	if (fd < 0 || epoll_ctl(demo.epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		die("epoll_ctl");
}

/* Until a signal ends it. */
static void serve(void)
{
	struct epoll_event events[256];

	for (;;) {
		int n = epoll_wait(demo.epoll, events, 256, run_timers());

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &demo.signals)
				return;
			if (events[i].data.ptr == &demo.listener)
				accept_all();
			else
				run(events[i].data.ptr, true);
		}
	}
}

int main(int argc, char **argv)
{
	sigset_t stops;
	bool tcp = argc == 3 && strcmp(argv[1], "--tcp") == 0;
	struct rlimit files;

	if (!tcp && (argc != 2 || argv[1][0] == '-')) {
		fprintf(stderr, "usage: demo PATH | demo --tcp PORT\n");
		return 2;
	}
	for (unsigned i = 0; i < PATTERN; i++)
		demo.pattern[i] = (uint8_t)(i * 7 + i / 251);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	sigemptyset(&stops);
	sigaddset(&stops, SIGTERM);
	sigaddset(&stops, SIGINT);
	sigprocmask(SIG_BLOCK, &stops, NULL);
	demo.epoll = epoll_create1(EPOLL_CLOEXEC);
	demo.signals = signalfd(-1, &stops, SFD_CLOEXEC);
	demo.listener = tcp ? listen_tcp(argv[2]) : listen_unix(argv[1]);
	fflush(stdout);
	watch(demo.signals, &demo.signals);
	watch(demo.listener, &demo.listener);
	serve();
	while (demo.all)
		conn_free(demo.all);
	if (!tcp)
		unlink(argv[1]);
	return 0;
}
