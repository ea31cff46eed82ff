#include "tests/unit/support/ends.h"
#include "core/stream.h"
#include "core/timer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void word(struct test_end *t, const char *fmt, ...) PRINTF(2, 3);

static void word(struct test_end *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (t->len)
		t->words[t->len++] = ' ';
	va_start(ap, fmt);
	n = vsnprintf(t->words + t->len, sizeof t->words - t->len, fmt, ap);
	va_end(ap);
	assert_true(n > 0 && t->len + (size_t)n < sizeof t->words - 1);
	t->len += (size_t)n;
}

static void on_head(struct end *e, struct head *h)
{
	struct test_end *t = container_of(e, struct test_end, e);

	t->heads++;
	t->head = h;
	if (!h)
		word(t, "nothing");
	else if (h->kind == HEAD_REQUEST)
		word(t, "%.*s", STR_ARG(h->method));
	else if (h->kind == HEAD_TRAILERS)
		word(t, "trailers");
	else
		word(t, "H%u", h->status);
	if (t->on_head)
		t->on_head(t, h);
}

void test_end_take(struct test_end *t, size_t n)
{
	size_t fill = x_fill(&t->e);

	n = MIN(n, fill);
	if (n) {
		word(t, "D%zu", n);
		x_take_buf(&t->e, &t->got, n);
	}
	if (x_at_end(&t->e) && !t->ended) {
		t->ended = true;
		word(t, "END");
	}
}

static void on_data(struct end *e)
{
	struct test_end *t = container_of(e, struct test_end, e);

	t->datas++;
	if (!t->hold)
		test_end_take(t, SIZE_MAX);
	if (t->on_data)
		t->on_data(t);
}

static void on_room(struct end *e)
{
	struct test_end *t = container_of(e, struct test_end, e);

	t->rooms++;
	word(t, "room");
	if (t->on_room)
		t->on_room(t);
}

static void on_abort(struct end *e, enum err why)
{
	struct test_end *t = container_of(e, struct test_end, e);

	assert_null(e->x);
	t->aborts++;
	t->aborted = why;
	word(t, "abort:%s", err_name(why));
}

const struct end_ops test_end_ops = { "test", on_head, on_data, on_room, on_abort };

void test_end_init(struct test_end *t)
{
	memset(t, 0, sizeof *t);
	t->e.ops = &test_end_ops;
	buf_init(&t->got);
}

void test_end_fini(struct test_end *t)
{
	assert_null(t->e.x);
	buf_fini(&t->got);
}

const char *test_end_words(struct test_end *t)
{
	t->words[t->len] = '\0';
	t->len = 0;
	return t->words;
}

struct head *test_request(struct exchange *x, const char *method, const char *path)
{
	struct head *h = head_new(&x->arena, HEAD_REQUEST);

	h->method = arena_dup(&x->arena, str_from_c(method));
	h->path = arena_dup(&x->arena, str_from_c(path));
	h->authority = STR("test");
	return h;
}

struct head *test_response(struct exchange *x, unsigned status)
{
	struct head *h = head_new(&x->arena, status < 200 && status != 101 ? HEAD_INTERIM : HEAD_FINAL);

	h->status = (uint16_t)status;
	return h;
}

/* ---- router ---- */

struct test_router test_router;

static void page_head(struct end *e, struct head *h)
{
	struct exchange *x = e->x;

	(void)h;
	x_head(e, test_response(x, (unsigned)err_status(test_router.last_abort)));
	x_end(e);
	x_leave(e);
}

static void page_nothing(struct end *e)
{
	(void)e;
}

static void page_abort(struct end *e, enum err why)
{
	(void)e;
	(void)why;
}

static const struct end_ops page_ops = { "page", page_head, page_nothing, page_nothing, page_abort };

static void router_head(struct end *e, struct head *h)
{
	test_router.heads++;
	if (h->kind == HEAD_REQUEST)
		x_attach(e->x, &test_router.up->e);
}

static void router_abort(struct end *e, enum err why)
{
	test_router.aborts++;
	test_router.last_abort = why;
	if (test_router.again && test_router.again--) {
		x_attach(e->x, &test_router.up->e);
		return;
	}
	test_router.page = (struct end){ .ops = &page_ops };
	x_attach(e->x, &test_router.page);
}

static const struct end_ops router_ops = { "router", router_head, page_nothing, page_nothing, router_abort };

static void router_finished(struct exchange *x)
{
	(void)x;
	test_router.finished++;
}

static const struct x_router registered = { .ops = &router_ops, .finished = router_finished };

void test_loop_open(void)
{
	memset(&test_router, 0, sizeof test_router);
	assert_int_equal(loop_open(), 0);
	x_set_router(&registered);
}

void test_loop_close(void)
{
	loop_turn(0);
	assert_int_equal(x_count(), 0);
	assert_int_equal(stream_count(), 0);
	assert_int_equal(slab_count(), 0);
	loop_close();
}
