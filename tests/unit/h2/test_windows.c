/* Flow control: both windows, both ways. */
#include "h2/priv.h"
#include "tests/unit/h2/client.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_send_windows(void **state)
{
	(void)state;
	client_get(1, "/");
	client_words();
	client_begin(0, 65536);
	client_words();
	assert_int_equal(client.body_bytes, 65535);
	client_window_update(1, 10);
	assert_string_equal(client_words(), ""); /* the connection's is at 0 */
	client_window_update(0, 1);
	assert_string_equal(client_words(), "DATA:1:1");
	x_end(&client.ups[0].e);
	assert_string_equal(client_words(), "DATA:1:0:END");
	x_leave(&client.ups[0].e);
}

static void test_initial_window_changes_live_streams(void **state)
{
	static const uint8_t zero[] = {0, 4, 0, 0, 0, 0}, ten[] = {0, 4, 0, 0, 0, 10};

	(void)state;
	client_frame(H2_SETTINGS, 0, 0, zero, sizeof zero);
	client_get(1, "/");
	assert_string_equal(client_words(), "SETTINGS:ACK");
	client_answer(0, 12);
	assert_string_equal(client_words(), "HEADERS:1");
	client_frame(H2_SETTINGS, 0, 0, ten, sizeof ten);
	assert_string_equal(client_words(), "SETTINGS:ACK DATA:1:10");
	client_window_update(1, 2);
	assert_string_equal(client_words(), "DATA:1:2:END");
}

static void test_window_overflows(void **state)
{
	(void)state;
	client_get(1, "/");
	client_words();
	client_window_update(1, H2_MAX_WINDOW);
	assert_string_equal(client_words(), "RST:1:FLOW_CONTROL_ERROR");
	client_window_update(0, H2_MAX_WINDOW);
	assert_string_equal(client_words(), "GOAWAY:1:FLOW_CONTROL_ERROR CLOSED");
}

/* ---- receiving ---- */

static void send_data(uint32_t id, size_t n)
{
	static uint8_t zeros[16384];

	for (size_t part; n; n -= part) {
		part = MIN(n, sizeof zeros);
		client_frame(H2_DATA, 0, id, zeros, part);
	}
}

/* A POST whose body the upstream does not take by itself. */
static struct test_end *post_and_hold(uint32_t id)
{
	client_headers(id, 0, POST);
	client_words();
	client.ups[client.nups - 1].hold = true;
	return &client.ups[client.nups - 1];
}

static void pong(void)
{
	client_frame(H2_PING, H2_ACK, 0, "gh width", 8);
}

static void test_uploads_never_exceed_the_pipe(void **state)
{
	struct test_end *up = post_and_hold(1);

	(void)state;
	send_data(1, 65536);
	assert_string_equal(client_words(), "PING"); /* measures; no credit while nobody reads */
	assert_int_equal(x_fill(&up->e), 65536);
	test_end_take(up, 65536);
	assert_string_equal(client_words(), "UPDATE:1:65536");
	send_data(1, 65536);
	assert_string_equal(client_words(), "");
	assert_int_equal(x_fill(&up->e), 65536);
}

static void test_credit_comes_as_it_is_taken(void **state)
{
	struct test_end *up = post_and_hold(1);

	(void)state;
	send_data(1, 40000);
	assert_string_equal(client_words(), "PING");
	test_end_take(up, 10000); /* 30000 wait, 25536 may still come */
	assert_string_equal(client_words(), "");
	test_end_take(up, 29000);
	assert_string_equal(client_words(), "UPDATE:1:39000");
}

/* The window follows what comes in a round trip, up to the connection's buffer. */
static void test_windows_grow_with_what_comes(void **state)
{
	(void)state;
	client_headers(1, 0, POST);
	send_data(1, 65536);
	assert_string_equal(client_words(), "PING UPDATE:1:65536");
	pong();
	/* twice the window at once, for this stream and for later ones */
	assert_string_equal(client_words(), "UPDATE:1:65536");
	client_headers(3, 0, POST);
	assert_string_equal(client_words(), "UPDATE:3:65536");
	for (size_t n = 131072; n <= 524288; n *= 2) {
		send_data(1, n);
		client_words();
		pong();
		client_words();
	}
	client_headers(5, 0, POST);
	assert_string_equal(client_words(), "UPDATE:5:983040");
}

/* All that may be sent, and a PING is answered after `trip_ms`. */
static void send_over_a_long_way(uint64_t trip_ms)
{
	uint64_t end_ms = loop_now_ms() + trip_ms;

	send_data(1, (size_t)MIN(client.c->recv_window, h2s_find(client.c, 1)->recv_window));
	do
		client_words_of_a_turn();
	while (client.c->measured.ping_ms && loop_now_ms() < end_ms);
	if (client.c->measured.ping_ms)
		pong();
	client_words();
	test_end_words(&client.ups[0]);
}

/* Half of what is left is promised, beyond the connection's buffer; it comes back with the connection. */
static void test_windows_beyond_the_buffer(void **state)
{
	size_t budget = slab_room() + slab_count() * SLAB_BYTES;

	(void)state;
	client.limits.h2_connection_buffer_bytes = 128 << 10;
	client.limits.h2_windows_bytes = 1 << 20;
	client_headers(1, 0, POST);
	client_words();
	/* a machine that stops for a while looks like a way that queues: then again */
	for (int i = 0; i < 100 && client.c->promised_bytes < 3 << 18; i++)
		send_over_a_long_way(30);
	assert_in_range(client.c->promised_bytes, 3 << 18, 1 << 20);
	assert_int_equal(client.c->recv_target, (128 << 10) + client.c->promised_bytes);
	assert_int_equal(slab_room() + slab_count() * SLAB_BYTES, budget - client.c->promised_bytes);
	h2c_abort(client.c, ERR_DRAIN);
	assert_int_equal(slab_room() + slab_count() * SLAB_BYTES, budget);
}

/* An upstream that does not keep up makes no window grow beyond it. */
static void test_windows_of_slow_upstreams(void **state)
{
	struct test_end *up = post_and_hold(1);

	(void)state;
	client.limits.h2_connection_buffer_bytes = 128 << 10;
	for (int i = 0; i < 40; i++) {
		send_over_a_long_way(5);
		test_end_take(up, x_fill(&up->e) / 4);
	}
	assert_int_equal(client.c->promised_bytes, 0);
	assert_in_range(client.c->recv_target, 64 << 10, 128 << 10);
}

static void test_windows_do_not_grow_for_slow_senders(void **state)
{
	(void)state;
	client_headers(1, 0, POST);
	for (int i = 0; i < 8; i++) {
		send_data(1, 16384);
		client_words();
		pong();
	}
	client_headers(3, 0, POST);
	assert_string_equal(client_words(), "");
}

static void test_data_beyond_the_stream_window(void **state)
{
	struct test_end *up = post_and_hold(1);

	(void)state;
	send_data(1, 65536 + 1);
	assert_non_null(strstr(client_words(), "RST:1:FLOW_CONTROL_ERROR"));
	assert_string_equal(test_end_words(up), "POST abort:H2");
}

static void test_data_beyond_the_connection_window(void **state)
{
	(void)state;
	for (uint32_t id = 1; id < 40; id += 2) {
		post_and_hold(id);
		send_data(id, 65536);
	}
	/* twice the buffer may be stored: it is what was granted when there was room */
	for (uint32_t id = 41; client.c && id < 99; id += 2) {
		client_headers(id, 0, POST);
		send_data(id, 65536);
	}
	assert_non_null(strstr(client_words(), "FLOW_CONTROL_ERROR"));
}

static void test_padding_is_credited(void **state)
{
	static uint8_t padded[256] = {255};
	int streams = 0, connections = 0;

	(void)state;
	client_headers(1, 0, POST);
	for (int i = 0; i < 4000; i++) {
		const char *words;

		padded[0] = 254;
		client_frame(H2_DATA, H2_PADDED, 1, padded, 256); /* one byte, 255 of padding */
		if (i % 64)
			continue;
		words = client_words();
		streams += strstr(words, "UPDATE:1:") != NULL;
		connections += strstr(words, "UPDATE:0:") != NULL;
		if (strstr(words, "PING"))
			pong();
	}
	assert_true(streams >= 4000 * 256 / 65536 && connections >= 1);
	assert_non_null(client.c);
}

/* Of each stream little enough is stored that its pipe tells no more room; of all of them too much. */
static void test_connection_credit_is_not_forgotten(void **state)
{
	enum { EACH = 20000 };
	uint32_t n = 0;

	(void)state;
	for (; (n + 1) * EACH <= 1048576 + 524288; n++) {
		post_and_hold(2 * n + 1);
		send_data(2 * n + 1, EACH);
		client_frame(H2_DATA, H2_END_STREAM, 2 * n + 1, NULL, 0);
		client_words();
	}
	client_words();
	for (uint32_t i = 0; i < n; i++)
		test_end_take(&client.ups[i], EACH / 20); /* a first `room`, too early */
	assert_null(strstr(client_words(), "UPDATE:0:"));
	for (uint32_t i = 0; i < n; i++)
		test_end_take(&client.ups[i], EACH);
	assert_non_null(strstr(client_words(), "UPDATE:0:"));
}

static void test_connection_credit_when_streams_end(void **state)
{
	uint32_t n = 0;

	(void)state;
	for (; (n + 1) * 65536 <= 1048576 + 524288; n++) {
		post_and_hold(2 * n + 1);
		send_data(2 * n + 1, 65536);
	}
	assert_null(strstr(client_words(), "UPDATE:0:"));
	for (uint32_t i = 0; i < n; i++)
		client_frame(H2_RST_STREAM, 0, 2 * i + 1, "\0\0\0\10", 4);
	assert_non_null(strstr(client_words(), "UPDATE:0:"));
}

/* A spent budget of the worker holds credit and new streams back, until there is memory again. */
static void test_spent_memory(void **state)
{
	struct test_end *up = post_and_hold(1);
	struct buf hog;

	(void)state;
	buf_init(&hog);
	send_data(1, 65536);
	client_words();
	slab_set_budget((slab_count() + 1) * SLAB_BYTES);
	for (int i = 0; i < 2 * SLAB_BYTES; i++)
		buf_put(&hog, "x", 1);
	test_end_take(up, 65536);
	buf_fini(&up->got);
	while (slab_room())
		buf_put(&hog, "x", 1);
	assert_string_equal(client_words(), "");
	client_get(3, "/");
	assert_string_equal(client_words(), "RST:3:REFUSED_STREAM");
	buf_fini(&hog);
	assert_string_equal(client_words(), "UPDATE:1:65536");
	slab_set_budget(SIZE_MAX);
}

/* Until it has acknowledged our SETTINGS a client may send what RFC 9113 section 6.9.2 begins with. */
static void test_small_pipes(void **state)
{
	struct test_end *up;

	(void)state;
	client_init();
	client.limits.pipe_bytes = 16384;
	client_open(true);
	client_send(H2_PREFACE, H2_PREFACE_BYTES);
	client_frame(H2_SETTINGS, 0, 0, NULL, 0);
	up = post_and_hold(1);
	send_data(1, 65535);
	assert_string_equal(client_words(), "PING");
	assert_int_equal(x_fill(&up->e), 65535);
	client_frame(H2_SETTINGS, H2_ACK, 0, NULL, 0);
	test_end_take(up, 65535);
	assert_string_equal(client_words(), "UPDATE:1:65535"); /* from -49151 to 16384 */
	send_data(1, 16385);
	assert_non_null(strstr(client_words(), "RST:1:FLOW_CONTROL_ERROR"));
	client_close();
}

/* A route may have less than its connection announced: what was granted holds, no more is. */
static void test_a_route_with_a_small_pipe(void **state)
{
	static struct limits small;
	struct test_end *up = post_and_hold(1);

	(void)state;
	small = client.limits;
	small.pipe_bytes = 16384;
	up->e.x->limits = &small;
	up->e.x->pipe[X_UP].cap = small.pipe_bytes;
	send_data(1, 65536);
	assert_string_equal(client_words(), "PING");
	test_end_take(up, 50000);
	assert_string_equal(client_words(), "");
	test_end_take(up, 10000);
	assert_string_equal(client_words(), "UPDATE:1:10848");
	test_end_take(up, 5536);
	assert_string_equal(client_words(), "UPDATE:1:5536"); /* 16384 in all */
	send_data(1, 16385);
	assert_non_null(strstr(client_words(), "RST:1:FLOW_CONTROL_ERROR"));
}

/* Nobody reads it, but the client may have to send it all before it reads the answer. */
static void test_an_unread_upload_is_credited(void **state)
{
	(void)state;
	client_headers(1, 0, POST);
	client_words();
	client_answer(0, 70000);
	client_words();
	for (int i = 0; i < 5; i++) {
		send_data(1, 32768);
		assert_non_null(strstr(client_words(), "UPDATE:1:"));
	}
	client_window_update(0, 70000);
	client_window_update(1, 70000);
	assert_non_null(strstr(client_words(), ":END"));
	/* also once the answer is out: a reset could take it from a client that has not read it */
	send_data(1, 32768);
	assert_non_null(strstr(client_words(), "UPDATE:1:"));
	client_frame(H2_DATA, H2_END_STREAM, 1, NULL, 0);
	assert_string_equal(client_words(), "");
	assert_int_equal(x_count(), 0);
}

static void test_data_on_reset_streams_is_credited(void **state)
{
	static uint8_t body[16384];
	int updates = 0;

	(void)state;
	for (int i = 0; i < 40; i++) {
		const char *words;

		client_headers(2 * (uint32_t)i + 1, 0, POST);
		client_words();
		client_answer((unsigned)i, 0); /* early */
		client_words();
		client_frame(H2_DATA, 0, 2 * (uint32_t)i + 1, body, sizeof body);
		client_frame(H2_DATA, 0, 2 * (uint32_t)i + 1, body, sizeof body);
		words = client_words();
		updates += strstr(words, "UPDATE:0:") != NULL;
		assert_null(strstr(words, "GOAWAY"));
	}
	assert_true(updates >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLIENT_TEST(test_send_windows),
		CLIENT_TEST(test_initial_window_changes_live_streams),
		CLIENT_TEST(test_window_overflows),
		CLIENT_TEST(test_uploads_never_exceed_the_pipe),
		CLIENT_TEST(test_credit_comes_as_it_is_taken),
		CLIENT_TEST(test_windows_grow_with_what_comes),
		CLIENT_TEST(test_windows_beyond_the_buffer),
		CLIENT_TEST(test_windows_of_slow_upstreams),
		CLIENT_TEST(test_windows_do_not_grow_for_slow_senders),
		CLIENT_TEST(test_data_beyond_the_stream_window),
		CLIENT_TEST(test_data_beyond_the_connection_window),
		CLIENT_TEST(test_padding_is_credited),
		CLIENT_TEST(test_connection_credit_is_not_forgotten),
		CLIENT_TEST(test_connection_credit_when_streams_end),
		CLIENT_TEST(test_spent_memory),
		cmocka_unit_test(test_small_pipes),
		CLIENT_TEST(test_a_route_with_a_small_pipe),
		CLIENT_TEST(test_an_unread_upload_is_credited),
		CLIENT_TEST(test_data_on_reset_streams_is_credited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
