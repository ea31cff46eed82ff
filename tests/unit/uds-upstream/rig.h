/*
 * rig.h - for the tests of upstreams: a listening peer played by the test, a client end, and a router that
 * sends every request to one target. All in one loop; every wait has a deadline.
 */
#pragma once

#include "h1/h1.h"
#include "tests/unit/support/ends.h"
#include "uds-upstream/up.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

enum { DEADLINE_MS = 10 * 1000 };

static struct rig {
	char dir[32];
	struct addr address;
	char name[ADDR_TEXT_BYTES];
	int listener;
	struct up_target *target;
	struct up_limits limits;
	struct limits x_limits;
	struct timeouts x_timeouts;
	struct end pages[16];    /* taken in turn */
	unsigned npages;
	int close_at_open;       /* a peer's connection that ends just before up_open; 0: none */
	void (*at_open)(struct exchange *x); /* called then */
	int close_late;          /* and one that ends behind a turn's verbs, before what they wrote is sent */
	const char *last_words;  /* which it sends before; NULL: nothing */
	struct work late;
	bool may_retry;          /* ask up_may_retry after an abort */
	unsigned retries;
	enum err aborted;        /* last abort that came back to the router */
	enum err tells[8];       /* all of them */
	unsigned ntells;
	struct x_facts facts;    /* of the exchange that finished last */
	unsigned finished;
	size_t pipe_bytes;       /* 0: as the default */
} rig;

/* ---- the router ---- */

static void rig_page_head(struct end *e, struct head *h)
{
	int status = err_status(rig.aborted);

	if (h->kind != HEAD_REQUEST)
		return;
	x_head(e, test_response(e->x, status ? (unsigned)status : 500));
	x_end(e);
	x_leave(e);
}

static void rig_nothing(struct end *e)
{
	(void)e;
}

static void rig_page_abort(struct end *e, enum err why)
{
	(void)e;
	(void)why;
}

static const struct end_ops rig_page_ops = { "page", rig_page_head, rig_nothing, rig_nothing,
					     rig_page_abort };

static void rig_route(struct end *e, struct head *h)
{
	if (h->kind != HEAD_REQUEST)
		return;
	if (rig.close_at_open) {
		close(rig.close_at_open);
		rig.close_at_open = 0;
	}
	if (rig.at_open)
		rig.at_open(e->x);
	up_open(e->x, rig.target);
}

static void rig_abort(struct end *e, enum err why)
{
	struct exchange *x = e->x;
	struct end *page;

	rig.aborted = why;
	if (rig.ntells < ARRAY_SIZE(rig.tells))
		rig.tells[rig.ntells++] = why;
	if (rig.may_retry && up_may_retry(x, why)) {
		rig.retries++;
		if (rig.at_open)
			rig.at_open(x);
		up_open(x, rig.target);
		return;
	}
	page = &rig.pages[rig.npages++ % ARRAY_SIZE(rig.pages)];
	*page = (struct end){ .ops = &rig_page_ops };
	x_attach(x, page);
}

static void rig_finished(struct exchange *x)
{
	rig.facts = x->facts;
	rig.finished++;
}

static const struct end_ops rig_router_ops = { "router", rig_route, rig_nothing, rig_nothing, rig_abort };
static const struct x_router rig_router = { .ops = &rig_router_ops, .finished = rig_finished };

/* ---- beginning and end of a test ---- */

static inline void rig_listen_with(int backlog)
{
	const int on = 1;

	rig.listener = socket(rig.address.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(rig.listener >= 0);
	setsockopt(rig.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	assert_int_equal(bind(rig.listener, &rig.address.sa, rig.address.len), 0);
	assert_int_equal(listen(rig.listener, backlog), 0);
}

static inline void rig_listen(void)
{
	rig_listen_with(64);
}

/* Nobody listens any more; the socket file goes too. */
static inline void rig_unlisten(void)
{
	if (rig.listener >= 0)
		close(rig.listener);
	rig.listener = -1;
	if (rig.address.sa.sa_family == AF_UNIX)
		unlink(rig.address.un.sun_path);
}

static inline struct up_target *rig_target_again(void)
{
	const struct place_spec at = { .addr = rig.address };

	return up_target_get(str_from_c(rig.name), &at, &rig.limits, NULL);
}

static inline void rig_get_target(void)
{
	rig.target = rig_target_again();
}

static inline void rig_open_on(bool tcp)
{
	char path[64];

	memset(&rig, 0, sizeof rig);
	test_loop_open();
	x_set_router(&rig_router);
	rig.limits = (struct up_limits){ 1024, LIMIT_NONE, 30 * 1000 };
	rig.x_limits = limits_default;
	rig.x_timeouts = timeouts_default;
	snprintf(rig.dir, sizeof rig.dir, "/tmp/up-test-XXXXXX");
	assert_non_null(mkdtemp(rig.dir));
	if (tcp) {
		assert_true(addr_from_ip(&rig.address, STR("127.0.0.1"), 0));
	} else {
		snprintf(path, sizeof path, "%s/sock", rig.dir);
		assert_true(addr_from_unix(&rig.address, str_from_c(path)));
	}
	rig_listen();
	if (tcp)
		getsockname(rig.listener, &rig.address.sa, &rig.address.len);
	addr_text(&rig.address.sa, rig.address.len, rig.name, sizeof rig.name);
	rig_get_target();
}

static inline int rig_open(void **state)
{
	(void)state;
	rig_open_on(false);
	return 0;
}

static inline int rig_open_tcp(void **state)
{
	(void)state;
	rig_open_on(true);
	return 0;
}

static inline int rig_close(void **state)
{
	(void)state;
	rig_unlisten();
	rmdir(rig.dir);
	if (rig.target)
		up_target_put(rig.target);
	loop_turn(0);
	assert_int_equal(up_count(), 0);
	test_loop_close();
	return 0;
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_open, rig_close)
#define RIG_TEST_TCP(f) cmocka_unit_test_setup_teardown(f, rig_open_tcp, rig_close)

/* ---- waiting ---- */

static inline uint64_t rig_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Turns the loop until the condition holds; fails the test when it does not in time. */
#define UNTIL(condition)                                                                   \
	do {                                                                               \
		uint64_t until_end_ = rig_now_ms() + DEADLINE_MS;                          \
		while (!(condition)) {                                                     \
			if (rig_now_ms() > until_end_)                                     \
				fail_msg("%s:%d: never: %s", __FILE__, __LINE__, #condition); \
			loop_turn(2);                                                      \
		}                                                                          \
	} while (0)

/* Turns the loop until it has nothing left to do at once. */
static inline void rig_settle(void)
{
	for (int i = 0; i < 4; i++)
		loop_turn(0);
}

/* ---- the peer ---- */

static void rig_close_late(struct work *w)
{
	(void)w;
	if (rig.last_words)
		assert_true(send(rig.close_late, rig.last_words, strlen(rig.last_words), MSG_NOSIGNAL) > 0);
	rig.last_words = NULL;
	close(rig.close_late);
}

/* fd ends in the next turn, behind the verbs and before what they wrote is sent. */
static inline void peer_close_late(int fd)
{
	rig.close_late = fd;
	work_init(&rig.late, rig_close_late);
	loop_post(&rig.late);
}

static inline int peer_try_accept(void)
{
	return accept4(rig.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static inline int peer_accept(void)
{
	int fd = -1;

	UNTIL((fd = peer_try_accept()) >= 0);
	return fd;
}

/* Nobody is waiting to be accepted. */
static inline void peer_accepts_none(void)
{
	rig_settle();
	assert_int_equal(peer_try_accept(), -1);
	assert_int_equal(errno, EAGAIN);
}

static inline void peer_send_bytes(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		ssize_t r = -1;

		UNTIL((r = send(fd, at, n, MSG_NOSIGNAL)) > 0 || errno != EAGAIN);
		assert_true(r > 0);
		at += r;
		n -= (size_t)r;
	}
}

static inline void peer_send(int fd, const char *text)
{
	peer_send_bytes(fd, text, strlen(text));
}

/* What came within the line or body that ends so; static, void at the next call. */
static inline const char *peer_read_until(int fd, const char *end)
{
	static char text[256 * 1024];
	size_t n = 0;
	uint64_t limit_ms = rig_now_ms() + DEADLINE_MS;

	text[0] = '\0';
	while (n < strlen(end) || memcmp(text + n - strlen(end), end, strlen(end)) != 0) {
		ssize_t r = recv(fd, text + n, 1, 0);

		if (r == 0 || (r < 0 && errno != EAGAIN) || rig_now_ms() > limit_ms || n + 2 > sizeof text)
			fail_msg("wanted ...\"%s\", got \"%s\" (%zd)", end, text, r);
		if (r < 0)
			loop_turn(2);
		else
			text[++n] = '\0';
	}
	return text;
}

static inline const char *peer_read_head(int fd)
{
	return peer_read_until(fd, "\r\n\r\n");
}

/* The connection ends here: nothing unread, orderly or by a reset. */
static inline void peer_sees_end(int fd)
{
	char byte;
	ssize_t r = -1;

	UNTIL((r = recv(fd, &byte, 1, 0)) >= 0 || errno != EAGAIN);
	if (r > 0)
		fail_msg("a byte more: '%c'", byte);
	close(fd);
}

/* The connection is up, and silent. */
static inline void peer_sees_nothing(int fd)
{
	char byte;

	rig_settle();
	assert_int_equal(recv(fd, &byte, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
}

/* Everything until the end of the connection is thrown away. */
static inline void peer_drain(int fd)
{
	static char bytes[64 * 1024];
	ssize_t r = -1;

	do {
		UNTIL((r = recv(fd, bytes, sizeof bytes, 0)) >= 0 || errno != EAGAIN);
	} while (r > 0);
	close(fd);
}

/* ---- the client ---- */

/* A new exchange whose request is still to be told: fields may be added to the head. */
static inline struct head *client_begin(struct test_end *t, const char *method, const char *path)
{
	struct exchange *x;

	test_end_init(t);
	x = x_new(&t->e);
	x->limits = &rig.x_limits;
	x->timeouts = &rig.x_timeouts;
	if (rig.pipe_bytes)
		x->pipe[X_UP].cap = x->pipe[X_DOWN].cap = rig.pipe_bytes;
	return test_request(x, method, path);
}

/* A whole request without a body. */
static inline void client_ask(struct test_end *t, const char *method, const char *path)
{
	struct head *h = client_begin(t, method, path);

	h->length = 0;
	x_head(&t->e, h);
	x_end(&t->e);
}

/* A request with a body; of unknown length when length is negative. Nothing of it is told yet. */
static inline void client_post(struct test_end *t, int64_t length)
{
	struct head *h = client_begin(t, "POST", "/");

	h->length = length;
	x_head(&t->e, h);
}

static inline void client_leave(struct test_end *t)
{
	if (t->e.x)
		x_leave(&t->e);
	test_end_fini(t);
}

/* Waits for the whole answer: its status and body as words; leaves. */
static inline void client_gets(struct test_end *t, unsigned status, const char *body)
{
	static char got[64 * 1024];

	UNTIL(t->ended || t->aborted);
	assert_int_equal(t->aborted, ERR_OK);
	assert_int_equal(t->head->kind == HEAD_TRAILERS ? t->e.x->response->status : t->head->status, status);
	if (body) {
		assert_true(buf_len(&t->got) < sizeof got);
		got[buf_copy(&t->got, got, sizeof got - 1)] = '\0';
		assert_string_equal(got, body);
	}
	client_leave(t);
}

/* The final head came, then the answer broke off for this reason. */
static inline void client_loses(struct test_end *t, enum err why)
{
	UNTIL(t->aborted || t->ended);
	assert_false(t->ended);
	assert_string_equal(err_name(t->aborted), err_name(why));
	test_end_fini(t);
}

/* No answer came: the error's page instead. */
static inline void client_gets_error(struct test_end *t, enum err why)
{
	UNTIL(t->ended || t->aborted);
	assert_true(t->ended);
	assert_string_equal(err_name(rig.aborted), err_name(why));
	assert_int_equal(t->head->status, err_status(why));
	client_leave(t);
}

/* One GET that is answered on fd, which stays open. */
static inline void rig_get_on(int fd)
{
	struct test_end t;

	client_ask(&t, "GET", "/");
	peer_read_head(fd);
	peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	client_gets(&t, 200, "ok");
}

/* The same on a new connection, which is accepted, and kept afterwards. */
static inline int rig_get_new(void)
{
	struct test_end t;
	int fd;

	client_ask(&t, "GET", "/");
	fd = peer_accept();
	peer_read_head(fd);
	peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	client_gets(&t, 200, "ok");
	return fd;
}

/* A request without a body on a new connection, whose peer has read the head. */
static inline int rig_asked(struct test_end *t, const char *method)
{
	int fd;

	client_ask(t, method, "/");
	fd = peer_accept();
	peer_read_head(fd);
	return fd;
}

/* A POST whose body is still to come; its head was read. */
static inline int rig_posted(struct test_end *t, int64_t length)
{
	int fd;

	client_post(t, length);
	fd = peer_accept();
	peer_read_head(fd);
	return fd;
}

/* Puts what there is room for of a body of zeros; returns how much. */
static inline size_t rig_put_zeros(struct test_end *t, size_t n)
{
	static const char zeros[64 * 1024];

	n = x_room(&t->e, MIN(n, sizeof zeros));
	x_put(&t->e, zeros, n);
	return n;
}
