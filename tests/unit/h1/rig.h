/*
 * rig.h - a server connection between a scripted client and a test's up end.
 */
#pragma once

#include "core/timer.h"
#include "h1/h1s.h"
#include "tests/unit/support/ends.h"
#include "tests/unit/support/script.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CR  "\r\n"
#define GET "GET / HTTP/1.1" CR "Host: a" CR CR

struct rig {
	struct script client;
	struct h1s *c; /* void once closed is 1 */
	struct host host;
	struct limits limits; /* of every exchange, also before it is routed */
	struct timeouts timeouts;
	struct test_end up;
	bool draining;
	unsigned begun, closed;
	enum err why;
};

static inline struct rig *rig_of(struct host *h)
{
	return container_of(h, struct rig, host);
}

static inline const struct limits *rig_limits(struct host *h)
{
	return &rig_of(h)->limits;
}

static inline const struct timeouts *rig_timeouts(struct host *h)
{
	return &rig_of(h)->timeouts;
}

static inline void rig_begin(struct host *h, struct exchange *x)
{
	rig_of(h)->begun++;
	x->limits = &rig_of(h)->limits;
	x->timeouts = &rig_of(h)->timeouts;
}

static inline void rig_closed(struct host *h, enum err why)
{
	rig_of(h)->closed++;
	rig_of(h)->why = why;
}

static inline bool rig_is_draining(struct host *h)
{
	return rig_of(h)->draining;
}

static const struct host_ops rig_ops = {
	.limits = rig_limits,
	.timeouts = rig_timeouts,
	.begin = rig_begin,
	.closed = rig_closed,
	.is_draining = rig_is_draining,
};

static inline void rig_open(struct rig *r)
{
	memset(r, 0, sizeof *r);
	test_loop_open();
	r->limits = limits_default;
	r->timeouts = timeouts_default;
	r->host.ops = &rig_ops;
	test_end_init(&r->up);
	test_router.up = &r->up;
	r->c = h1s_open(script_open(&r->client), &r->host);
}

/* Ends what is still there, and asserts that nothing is left. */
static inline void rig_close(struct rig *r)
{
	if (!r->closed)
		h1s_abort(r->c, ERR_DRAIN);
	loop_turn(0);
	assert_int_equal(r->closed, 1);
	if (r->up.e.x)
		x_leave(&r->up.e);
	test_end_fini(&r->up);
	script_close(&r->client);
	test_loop_close();
}

/* Turns until nothing moves any more. */
static inline void rig_run(struct rig *r)
{
	(void)r;
	for (int i = 0; i < 20; i++)
		loop_turn(0);
}

/* Turns until cond holds; fails after five seconds. */
#define RIG_UNTIL(cond)                                                                                      \
	do {                                                                                                 \
		uint64_t end_us_ = loop_clock_us() + 5000000;                                                \
		while (!(cond)) {                                                                            \
			if (loop_clock_us() > end_us_)                                                       \
				fail_msg("never came: %s", #cond);                                           \
			loop_turn(10);                                                                       \
		}                                                                                            \
	} while (0)

/* Lets time pass. */
static inline void rig_pass_ms(struct rig *r, uint64_t ms)
{
	uint64_t end_us = loop_clock_us() + ms * 1000;

	(void)r;
	while (loop_clock_us() < end_us)
		loop_turn(5);
}

/* That nothing keeps the loop awake. */
static inline void assert_sleeps(struct rig *r)
{
	uint64_t begin_us = loop_clock_us();

	rig_run(r);
	loop_turn(20);
	assert_true(loop_clock_us() - begin_us >= 15000);
}

/* The client says this; everything it brings about happens. */
static inline void rig_say(struct rig *r, const char *text)
{
	script_say(&r->client, text);
	rig_run(r);
}

#define assert_heard(r, want) assert_string_equal(script_heard(&(r)->client), (want))
#define assert_up(r, want)    assert_string_equal(test_end_words(&(r)->up), (want))

/* What the up end got of the body; the rig's is emptied. */
#define assert_body(r, want)                                                                                 \
	do {                                                                                                 \
		char got_[4096] = {0};                                                                       \
		size_t n_ = buf_copy(&(r)->up.got, got_, sizeof got_ - 1);                                   \
		buf_drop(&(r)->up.got, n_);                                                                  \
		assert_string_equal(got_, (want));                                                           \
	} while (0)

/* An answer's head; length < 0: unknown. */
static inline void rig_answer(struct rig *r, unsigned status, int64_t length)
{
	struct head *h = test_response(r->up.e.x, status);

	h->reason = STR("x");
	h->length = length;
	x_head(&r->up.e, h);
}

static inline void rig_put(struct rig *r, const char *text)
{
	x_put(&r->up.e, text, strlen(text));
}

/* The answer's end; the up end leaves. */
static inline void rig_end(struct rig *r)
{
	x_end(&r->up.e);
	x_leave(&r->up.e);
	r->up.ended = false;
	rig_run(r);
}

/* A whole answer. */
static inline void rig_answer_all(struct rig *r, const char *body)
{
	rig_answer(r, 200, (int64_t)strlen(body));
	rig_put(r, body);
	rig_end(r);
}

/* For an up end that answers every request by itself, with its path. */
static inline void rig_echo_path(struct test_end *t, struct head *h)
{
	struct exchange *x = t->e.x;
	struct head *answer = test_response(x, 200);

	answer->length = (int64_t)h->path.n;
	answer->reason = STR("x");
	x_head(&t->e, answer);
	x_put(&t->e, h->path.p, h->path.n);
	x_end(&t->e);
	x_leave(&t->e);
}

#define ANSWER(length, body) "HTTP/1.1 200 x" CR "Content-Length: " length CR CR body
#define LAST(length, body)   "HTTP/1.1 200 x" CR "Content-Length: " length CR "Connection: close" CR CR body
