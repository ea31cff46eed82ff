/* The treaty, a test for each of its sentences. */
#include "core/exchange.h"
#include "tests/unit/support/ends.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct test_end down, up;
static struct exchange *x;

static int setup(void **state)
{
	(void)state;
	test_loop_open();
	test_end_init(&down);
	test_end_init(&up);
	test_router.up = &up;
	x = x_new(&down.e);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_turn(0);
	test_end_fini(&down);
	test_end_fini(&up);
	assert_int_equal(test_router.finished, 1);
	test_loop_close();
	return 0;
}

static void put(struct end *e, size_t n)
{
	static const char bytes[64 * 1024];

	assert_true(n <= sizeof bytes);
	x_put(e, bytes, n);
}

static void request(const char *method)
{
	x_head(&down.e, test_request(x, method, "/"));
}

/* Ends a complete exchange in order. */
static void finish(void)
{
	x_leave(&up.e);
	x_leave(&down.e);
}

static void answer_in_full(void)
{
	x_head(&up.e, test_response(x, 200));
	put(&up.e, 5);
	x_end(&up.e);
	loop_turn(0);
}

static void test_request_and_response_pass(void **state)
{
	(void)state;
	request("POST");
	put(&down.e, 3);
	x_end(&down.e);
	assert_string_equal(test_end_words(&up), "");
	loop_turn(0);
	assert_string_equal(test_end_words(&up), "POST D3 END");
	answer_in_full();
	assert_string_equal(test_end_words(&down), "H200 D5 END");
	assert_int_equal(x->facts.status, 200);
	assert_int_equal(x->facts.request_bytes, 3);
	assert_int_equal(x->facts.response_bytes, 5);
	finish();
}

static void tell_from_verb(struct test_end *t, struct head *h)
{
	if (h->kind != HEAD_REQUEST)
		return;
	x_head(&t->e, test_response(t->e.x, 204));
	/* not called from inside this verb */
	assert_int_equal(down.heads, 0);
	x_end(&t->e);
	assert_int_equal(down.heads + down.datas, 0);
}

static void test_no_verb_inside_a_verb(void **state)
{
	(void)state;
	up.on_head = tell_from_verb;
	request("GET");
	x_end(&down.e);
	loop_turn(0);
	assert_string_equal(test_end_words(&down), "H204 END");
	finish();
}

static void test_interim_heads_and_trailers(void **state)
{
	(void)state;
	request("GET");
	x_end(&down.e);
	loop_turn(0);
	x_head(&up.e, test_response(x, 100));
	x_head(&up.e, test_response(x, 103));
	x_head(&up.e, test_response(x, 200));
	loop_turn(0);
	assert_string_equal(test_end_words(&down), "H100 H103 H200");
	put(&up.e, 1);
	x_head(&up.e, head_new(&x->arena, HEAD_TRAILERS));
	x_end(&up.e);
	loop_turn(0);
	assert_string_equal(test_end_words(&down), "trailers D1 END");
	finish();
}

static void test_room_at_half_and_once(void **state)
{
	size_t cap = x->pipe[X_DOWN].cap;

	(void)state;
	down.hold = true;
	request("GET");
	x_end(&down.e);
	loop_turn(0);
	x_head(&up.e, test_response(x, 200));
	assert_int_equal(x_room(&up.e, SIZE_MAX), cap);
	put(&up.e, cap);
	assert_int_equal(x_room(&up.e, 1), 0);
	loop_turn(0);
	test_end_words(&up);
	test_end_take(&down, cap / 2 - 1);
	loop_turn(0);
	assert_int_equal(up.rooms, 0);
	test_end_take(&down, 1);
	loop_turn(0);
	assert_int_equal(up.rooms, 1);
	test_end_take(&down, cap);
	loop_turn(0);
	assert_int_equal(up.rooms, 1);
	/* who was told enough is not owed a call */
	assert_int_equal(x_room(&up.e, 10), 10);
	put(&up.e, 10);
	test_end_take(&down, 10);
	loop_turn(0);
	assert_int_equal(up.rooms, 1);
	x_end(&up.e);
	finish();
}

static void produce_for_ever(struct test_end *t)
{
	put(&t->e, x_room(&t->e, 64 * 1024));
	x_room(&t->e, 1);
}

static void test_fair_share_of_a_turn(void **state)
{
	uint64_t before;

	(void)state;
	request("GET");
	x_end(&down.e);
	loop_turn(0);
	x_head(&up.e, test_response(x, 200));
	up.on_room = produce_for_ever;
	for (int turn = 0; turn < 5; turn++) {
		before = x->facts.response_bytes;
		up.rooms = 0;
		if (turn == 0)
			produce_for_ever(&up);
		loop_turn(-1); /* does not sleep: what was cut short is left */
		assert_true(x->facts.response_bytes > before);
		assert_true(x->facts.response_bytes - before <= X_BYTES_PER_TURN);
		assert_true(up.rooms <= X_VISITS_PER_TURN);
	}
	up.on_room = NULL;
	loop_turn(0);
	loop_turn(0);
	test_end_words(&up);
	test_end_words(&down);
	x_end(&up.e);
	finish();
}

static void test_up_aborts_before_the_head(void **state)
{
	(void)state;
	request("GET");
	x_end(&down.e);
	loop_turn(0);
	x_abort(&up.e, ERR_UP_REFUSED);
	assert_null(up.e.x);
	loop_turn(0);
	assert_int_equal(test_router.last_abort, ERR_UP_REFUSED);
	assert_string_equal(test_end_words(&down), "H503 END");
	assert_int_equal(x->facts.error, ERR_UP_REFUSED);
	x_leave(&down.e);
}

static void test_sent_again_with_what_the_client_sent(void **state)
{
	(void)state;
	up.hold = true;
	test_router.again = 1;
	request("PUT");
	put(&down.e, 7);
	x_head(&down.e, head_new(&x->arena, HEAD_TRAILERS));
	x_end(&down.e);
	loop_turn(0);
	assert_string_equal(test_end_words(&up), "PUT trailers");
	x_abort(&up.e, ERR_UP_STALE);
	up.hold = false;
	loop_turn(0);
	assert_string_equal(test_end_words(&up), "PUT trailers D7 END");
	answer_in_full();
	finish();
}

static void test_up_aborts_after_the_head(void **state)
{
	(void)state;
	request("GET");
	x_end(&down.e);
	loop_turn(0);
	x_head(&up.e, test_response(x, 200));
	put(&up.e, 4);
	x_abort(&up.e, ERR_UP_BODY_SHORT);
	loop_turn(0);
	assert_int_equal(test_router.aborts, 0);
	/* what came before is told before, and no END */
	assert_string_equal(test_end_words(&down), "H200 D4 abort:UP_BODY_SHORT");
}

static void test_abort_waits_for_a_slow_reader(void **state)
{
	(void)state;
	down.hold = true;
	request("GET");
	x_end(&down.e);
	loop_turn(0);
	x_head(&up.e, test_response(x, 200));
	put(&up.e, 4);
	x_abort(&up.e, ERR_UP_RESET);
	loop_turn(0);
	assert_string_equal(test_end_words(&down), "H200");
	test_end_take(&down, 3);
	loop_turn(0);
	assert_int_equal(down.aborts, 0);
	test_end_take(&down, 1);
	assert_int_equal(down.aborts, 0);
	loop_turn(0);
	assert_string_equal(test_end_words(&down), "D3 D1 abort:UP_RESET");
}

static void test_client_gone(void **state)
{
	(void)state;
	request("POST");
	put(&down.e, 2);
	loop_turn(0);
	test_end_words(&up);
	x_abort(&down.e, ERR_GONE);
	assert_null(down.e.x);
	assert_int_equal(up.aborts, 0);
	loop_turn(0);
	/* without END: an upload that broke off is never completed */
	assert_string_equal(test_end_words(&up), "abort:GONE");
	assert_false(up.ended);
}

static void test_client_gone_before_its_request(void **state)
{
	(void)state;
	x_abort(&down.e, ERR_GONE);
	assert_int_equal(test_router.aborts, 0);
}

static void test_refused_request_gets_its_page(void **state)
{
	(void)state;
	assert_true(x_refuse(&down.e, ERR_BAD_HOST));
	loop_turn(0);
	assert_string_equal(test_end_words(&down), "H400 END");
	x_leave(&down.e);
}

static void test_refused_in_its_body(void **state)
{
	(void)state;
	request("POST");
	put(&down.e, 2);
	loop_turn(0);
	assert_string_equal(test_end_words(&up), "POST D2");
	assert_true(x_refuse(&down.e, ERR_BODY_LARGE));
	/* the up end does not know yet: what it tells is ignored */
	x_head(&up.e, test_response(x, 200));
	x_put(&up.e, "x", 1);
	assert_true(x_is_unread(&up.e));
	assert_int_equal(x_fill(&up.e), 0);
	loop_turn(0);
	assert_string_equal(test_end_words(&up), "abort:BODY_LARGE");
	assert_string_equal(test_end_words(&down), "H413 END");
	x_leave(&down.e);
}

static void test_refused_and_up_leaves_meanwhile(void **state)
{
	(void)state;
	request("POST");
	loop_turn(0);
	test_end_words(&up);
	assert_true(x_refuse(&down.e, ERR_BODY_TIMEOUT));
	x_abort(&up.e, ERR_UP_RESET);
	loop_turn(0);
	assert_int_equal(up.aborts, 0);
	assert_string_equal(test_end_words(&down), "H408 END");
	x_leave(&down.e);
}

static void test_too_late_to_refuse(void **state)
{
	(void)state;
	request("POST");
	loop_turn(0);
	x_head(&up.e, test_response(x, 200));
	assert_false(x_refuse(&down.e, ERR_BAD_CHUNK));
	x_abort(&down.e, ERR_BAD_CHUNK);
}

static void test_early_answer_leaves_the_body_unread(void **state)
{
	size_t cap = x->pipe[X_UP].cap;

	(void)state;
	up.hold = true;
	request("POST");
	put(&down.e, cap);
	assert_int_equal(x_room(&down.e, 1), 0);
	loop_turn(0);
	x_head(&up.e, test_response(x, 413));
	x_end(&up.e);
	x_leave(&up.e);
	assert_true(x_is_unread(&down.e));
	assert_int_equal(slab_count(), 0);
	loop_turn(0);
	/* the stopped source is told that it may go on, into the void */
	assert_string_equal(test_end_words(&down), "H413 END room");
	assert_int_equal(x_room(&down.e, 12345), 12345);
	put(&down.e, 12345);
	assert_int_equal(slab_count(), 0);
	x_leave(&down.e);
}

static void test_tunnel_has_two_ends(void **state)
{
	(void)state;
	request("GET");
	x_end(&down.e);
	loop_turn(0);
	assert_string_equal(test_end_words(&up), "GET END");
	up.ended = false;
	x_open_tunnel(&up.e);
	x_head(&up.e, test_response(x, 101));
	loop_turn(0);
	assert_true(x->tunnel);
	put(&down.e, 3);
	put(&up.e, 4);
	loop_turn(0);
	assert_string_equal(test_end_words(&up), "D3");
	assert_string_equal(test_end_words(&down), "H101 D4");
	x_end(&up.e);
	loop_turn(0);
	put(&down.e, 2);
	x_end(&down.e);
	loop_turn(0);
	assert_string_equal(test_end_words(&down), "END");
	assert_string_equal(test_end_words(&up), "D2 END");
	finish();
}

static void test_two_step_death(void **state)
{
	(void)state;
	request("GET");
	x_end(&down.e);
	loop_turn(0);
	answer_in_full();
	finish();
	/* both have left, the memory is still there until the turn ends */
	assert_true(x->finished);
	assert_int_equal(x_count(), 0);
	assert_int_equal(test_router.finished, 1);
}

static void test_down_leaves_first(void **state)
{
	(void)state;
	request("POST");
	loop_turn(0);
	x_head(&up.e, test_response(x, 200));
	x_end(&up.e);
	loop_turn(0);
	test_end_words(&up);
	/* gives up on reading the body: the up end is let go */
	x_leave(&down.e);
	loop_turn(0);
	assert_string_equal(test_end_words(&up), "abort:GONE");
}

static void test_down_leaves_in_order_and_up_takes_the_rest(void **state)
{
	(void)state;
	up.hold = true;
	request("GET");
	x_end(&down.e);
	loop_turn(0);
	x_open_tunnel(&up.e);
	x_head(&up.e, test_response(x, 101));
	x_end(&up.e);
	put(&down.e, 9);
	x_end(&down.e);
	loop_turn(0);
	x_leave(&down.e);
	loop_turn(0);
	assert_int_equal(up.aborts, 0);
	test_end_words(&up);
	test_end_take(&up, 9);
	assert_string_equal(test_end_words(&up), "D9 END");
	x_leave(&up.e);
}

/* The exchange is over then, though there is nobody left to be told of the abort. */
static void test_down_leaves_in_order_and_up_fails(void **state)
{
	(void)state;
	up.hold = true;
	request("GET");
	x_end(&down.e);
	loop_turn(0);
	x_open_tunnel(&up.e);
	x_head(&up.e, test_response(x, 101));
	x_end(&up.e);
	put(&down.e, 9);
	x_end(&down.e);
	loop_turn(0);
	x_leave(&down.e);
	loop_turn(0);
	x_abort(&up.e, ERR_UP_RESET);
	assert_int_equal(x_count(), 0);
}

static void test_spent_budget_is_backpressure(void **state)
{
	struct buf hog;

	(void)state;
	slab_set_budget(64 * SLAB_BYTES);
	buf_init(&hog);
	request("GET");
	x_end(&down.e);
	loop_turn(0);
	x_head(&up.e, test_response(x, 200));
	while (slab_room())
		buf_put(&hog, "x", 1), hog.last->end = SLAB_BYTES, hog.n += SLAB_BYTES - 1;
	assert_int_equal(x_room(&up.e, 1), 0);
	loop_turn(0);
	assert_int_equal(up.rooms, 0);
	buf_fini(&hog);
	loop_turn(0);
	loop_turn(0);
	assert_int_equal(up.rooms, 1);
	slab_set_budget(limits_default.memory_bytes);
	x_end(&up.e);
	finish();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_request_and_response_pass),
		TEST(test_no_verb_inside_a_verb),
		TEST(test_interim_heads_and_trailers),
		TEST(test_room_at_half_and_once),
		TEST(test_fair_share_of_a_turn),
		TEST(test_up_aborts_before_the_head),
		TEST(test_sent_again_with_what_the_client_sent),
		TEST(test_up_aborts_after_the_head),
		TEST(test_abort_waits_for_a_slow_reader),
		TEST(test_client_gone),
		TEST(test_client_gone_before_its_request),
		TEST(test_refused_request_gets_its_page),
		TEST(test_refused_in_its_body),
		TEST(test_refused_and_up_leaves_meanwhile),
		TEST(test_too_late_to_refuse),
		TEST(test_early_answer_leaves_the_body_unread),
		TEST(test_tunnel_has_two_ends),
		TEST(test_two_step_death),
		TEST(test_down_leaves_first),
		TEST(test_down_leaves_in_order_and_up_takes_the_rest),
		TEST(test_down_leaves_in_order_and_up_fails),
		TEST(test_spent_budget_is_backpressure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
