/* The server connection: states, windows, order of sending, budget, ends. */
#include "tests/unit/h2/client.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define POST ":method: POST\n:scheme: http\n:authority: test\n:path: /\n"

static int setup(void **state)
{
	(void)state;
	client_open(false);
	return 0;
}

static int setup_raw(void **state)
{
	(void)state;
	client_open(true);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	client_close();
	return 0;
}

static void put(struct end *e, size_t n)
{
	static const char bytes[1 << 20];

	x_put(e, bytes, n);
}

static void answer(unsigned up, size_t bytes)
{
	struct end *e = &client.ups[up].e;

	x_head(e, test_response(e->x, 200));
	if (bytes)
		put(e, bytes);
	x_end(e);
	x_leave(e);
}

static void begin(unsigned up, size_t bytes)
{
	struct end *e = &client.ups[up].e;

	x_head(e, test_response(e->x, 200));
	put(e, bytes);
}

static void test_request_and_answer(void **state)
{
	(void)state;
	client_get(1, "/a");
	assert_string_equal(client_words(), "");
	assert_string_equal(test_end_words(&client.ups[0]), "GET END");
	assert_true(str_eq(client.ups[0].e.x->request->path, STR("/a")));
	assert_true(str_eq(client.ups[0].e.x->request->authority, STR("test")));
	answer(0, 5);
	assert_string_equal(client_words(), "HEADERS:1 DATA:1:5:END");
	assert_string_equal(client.head, ":status: 200\n");
	client_get(3, "/b");
	client_words();
	answer(1, 0);
	assert_string_equal(client_words(), "HEADERS:3:END");
}

static void test_preface_must_come(void **state)
{
	(void)state;
	client_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
	assert_string_equal(client_words(), "SETTINGS UPDATE:0:983041 GOAWAY:0:PROTOCOL_ERROR CLOSED");
}

static void test_first_frame_must_be_settings(void **state)
{
	(void)state;
	client_send(H2_PREFACE, H2_PREFACE_BYTES);
	client_frame(H2_PING, 0, 0, "12345678", 8);
	assert_non_null(strstr(client_words(), "GOAWAY:0:PROTOCOL_ERROR CLOSED"));
}

static void test_byte_by_byte(void **state)
{
	static const char preface[] = H2_PREFACE "\0\0\0\4\0\0\0\0\0";

	(void)state;
	for (size_t i = 0; i < sizeof preface - 1; i++) {
		client_send(preface + i, 1);
		loop_turn(0);
	}
	assert_string_equal(client_words(), "SETTINGS UPDATE:0:983041 SETTINGS:ACK");
}

static void test_body_both_ways_and_trailers(void **state)
{
	(void)state;
	client_headers(1, 0, POST "content-length: 6\n");
	client_frame(H2_DATA, 0, 1, "abc", 3);
	client_frame(H2_DATA, H2_PADDED, 1, "\2def\0\0", 6);
	client_headers(1, H2_END_STREAM, "x-sum: 1\n");
	assert_string_equal(client_words(), "");
	assert_string_equal(test_end_words(&client.ups[0]), "POST trailers D6 END");
	begin(0, 3);
	x_head(&client.ups[0].e, head_new(&client.ups[0].e.x->arena, HEAD_TRAILERS));
	head_add(&client.ups[0].e.x->arena, client.ups[0].head, STR("x"), STR("y"));
	x_end(&client.ups[0].e);
	x_leave(&client.ups[0].e);
	assert_string_equal(client_words(), "HEADERS:1 DATA:1:3 HEADERS:1:END");
}

static void test_interim_heads(void **state)
{
	struct end *e = &client.ups[0].e;

	(void)state;
	client_get(1, "/");
	client_words();
	x_head(e, test_response(e->x, 103));
	assert_string_equal(client_words(), "HEADERS:1");
	assert_string_equal(client.head, ":status: 103\n");
	answer(0, 1);
	assert_string_equal(client_words(), "HEADERS:1 DATA:1:1:END");
}

/*
 * Requests that are malformed (RFC 9113 section 8.1.1): the stream ends, nothing is forwarded, the
 * connection goes on.
 */
static void test_malformed_requests(void **state)
{
#define BASE ":method: GET\n:scheme: http\n:authority: test\n:path: /\n"
	static const char *const rows[] = {
		BASE "Upper: x\n",
		BASE "a b: x\n",
		BASE "connection: close\n",
		BASE "transfer-encoding: chunked\n",
		BASE "upgrade: h2c\n",
		BASE "keep-alive: 1\n",
		BASE "proxy-connection: x\n",
		BASE "te: gzip\n",
		BASE "x: a\rb\n",
		BASE "x:  leading\n",
		BASE "host: other\n",
		BASE "content-length: 1\n",
		BASE "content-length: x\n",
		BASE "content-length: 0\ncontent-length: 1\n",
		BASE ":path: /again\n",
		BASE ":status: 200\n",
		BASE ":unknown: x\n",
		"x: 1\n" BASE,
		":scheme: http\n:authority: test\n:path: /\n",
		":method: GET\n:authority: test\n:path: /\n",
		":method: GET\n:scheme: http\n:authority: test\n",
		":method: GET\n:scheme: http\n:authority: test\n:path: \n",
		":method: GET\n:scheme: http\n:authority: test\n:path: x\n",
		":method: GET\n:scheme: http\n:authority: test\n:path: *\n",
		":method: GET\n:scheme: http\n:authority: test\n:path: /a b\n",
		":method: G T\n:scheme: http\n:authority: test\n:path: /\n",
		":method: GET\n:scheme: http\n:authority: u@test\n:path: /\n",
		":method: GET\n:scheme: http\n:authority: test/x\n:path: /\n",
		":method: GET\n:scheme: http\n:authority: \n:path: /\n",
		":method: GET\n:scheme: http\n:path: /\n",
		BASE ":protocol: websocket\n",
	};
	char expected[64];
	uint32_t id = 1;

	(void)state;
	client.limits.abuse = 1000;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++, id += 2) {
		client_headers(id, H2_END_STREAM, rows[i]);
		snprintf(expected, sizeof expected, "RST:%u:PROTOCOL_ERROR", id);
		assert_string_equal(client_words(), expected);
	}
	assert_int_equal(client.nups, 0);
	client_get(id, "/");
	client_words();
	assert_int_equal(client.nups, 1);
	answer(0, 0);
}

static void test_refused_requests_get_their_page(void **state)
{
	(void)state;
	client_headers(1, H2_END_STREAM, ":method: CONNECT\n:authority: test:1\n");
	assert_string_equal(client_words(), "HEADERS:1:END");
	assert_string_equal(client.head, ":status: 400\n");
	client_headers(3, H2_END_STREAM, ":method: TRACE\n:scheme: http\n:authority: test\n:path: /\n");
	assert_string_equal(client_words(), "HEADERS:3:END");
	assert_string_equal(client.head, ":status: 405\n");
	assert_int_equal(client.nups, 0);
}

static void test_length_that_disagrees(void **state)
{
	(void)state;
	client_headers(1, 0, POST "content-length: 2\n");
	client_frame(H2_DATA, H2_END_STREAM, 1, "abc", 3);
	assert_string_equal(client_words(), "RST:1:PROTOCOL_ERROR");
	client_headers(3, 0, POST "content-length: 2\n");
	client_words();
	client_frame(H2_DATA, H2_END_STREAM, 3, "a", 1);
	assert_string_equal(client_words(), "RST:3:PROTOCOL_ERROR");
	assert_non_null(strstr(test_end_words(&client.ups[0]), "abort"));
}

static void test_extended_connect(void **state)
{
	struct end *e = &client.ups[0].e;

	(void)state;
	client_headers(1, 0, ":method: CONNECT\n:protocol: websocket\n:scheme: http\n:authority: test\n"
			     ":path: /ws\n");
	assert_string_equal(client_words(), "");
	assert_string_equal(test_end_words(&client.ups[0]), "GET");
	assert_true(e->x->request->websocket);
	x_open_tunnel(e);
	x_head(e, test_response(e->x, 101));
	put(e, 2);
	client_frame(H2_DATA, 0, 1, "hey", 3);
	assert_string_equal(client_words(), "HEADERS:1 DATA:1:2");
	assert_string_equal(client.head, ":status: 200\n");
	assert_string_equal(test_end_words(&client.ups[0]), "D3");
	x_end(e);
	assert_string_equal(client_words(), "DATA:1:0:END");
	client_frame(H2_DATA, H2_END_STREAM, 1, "bye", 3);
	assert_string_equal(client_words(), "");
	assert_string_equal(test_end_words(&client.ups[0]), "D3 END");
	x_leave(e);
}

/* ---- windows ---- */

static void test_send_windows(void **state)
{
	(void)state;
	client_get(1, "/");
	client_words();
	begin(0, 65536);
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
	static const uint8_t zero[] = { 0, 4, 0, 0, 0, 0 }, ten[] = { 0, 4, 0, 0, 0, 10 };

	(void)state;
	client_frame(H2_SETTINGS, 0, 0, zero, sizeof zero);
	client_get(1, "/");
	assert_string_equal(client_words(), "SETTINGS:ACK");
	answer(0, 12);
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

static void test_uploads_never_exceed_the_pipe(void **state)
{
	static uint8_t body[16384];

	(void)state;
	client_headers(1, 0, POST);
	client_words();
	client.ups[0].hold = true;
	for (int i = 0; i < 4; i++)
		client_frame(H2_DATA, 0, 1, body, sizeof body);
	assert_string_equal(client_words(), "PING"); /* measures; no credit while nobody reads */
	assert_int_equal(x_fill(&client.ups[0].e), 65536);
	client.ups[0].hold = false;
	test_end_take(&client.ups[0], 65536);
	assert_string_equal(client_words(), "UPDATE:1:65536");
	/* more than was granted is an error of the stream, and is not stored */
	for (int i = 0; i < 4; i++)
		client_frame(H2_DATA, 0, 1, body, sizeof body);
	client.ups[0].hold = true;
	client_frame(H2_DATA, 0, 1, body, 1);
	assert_non_null(client_words());
}

static void test_data_beyond_the_stream_window(void **state)
{
	static uint8_t body[16384];

	(void)state;
	client_headers(1, 0, POST);
	client_words();
	client.ups[0].hold = true;
	for (int i = 0; i < 4; i++)
		client_frame(H2_DATA, 0, 1, body, sizeof body);
	client_frame(H2_DATA, 0, 1, body, 1);
	assert_non_null(strstr(client_words(), "RST:1:FLOW_CONTROL_ERROR"));
	assert_non_null(strstr(test_end_words(&client.ups[0]), "abort"));
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
		answer((unsigned)i, 0); /* early: RST_STREAM(NO_ERROR) */
		client_words();
		client_frame(H2_DATA, 0, 2 * (uint32_t)i + 1, body, sizeof body);
		client_frame(H2_DATA, 0, 2 * (uint32_t)i + 1, body, sizeof body);
		words = client_words();
		updates += strstr(words, "UPDATE:0:") != NULL;
		assert_null(strstr(words, "GOAWAY"));
	}
	assert_true(updates >= 2);
}

/* ---- order ---- */

static void test_small_answers_pass_large_ones(void **state)
{
	const char *words, *small, *large_end;

	(void)state;
	client_window_update(0, 1 << 20);
	client_get(1, "/large");
	client_get(3, "/small");
	client_words();
	begin(0, 65000);
	x_end(&client.ups[0].e);
	x_leave(&client.ups[0].e);
	answer(1, 100);
	words = client_words();
	small = strstr(words, "DATA:3:100:END");
	large_end = strstr(words, ":END HEADERS") ? NULL : strstr(words, "DATA:1:");
	assert_non_null(small);
	assert_true(!large_end || small < strrchr(words, ' '));
}

static void test_urgency_decides(void **state)
{
	const char *words;

	(void)state;
	client_window_update(0, 1 << 20);
	client_headers(1, H2_END_STREAM, BASE "priority: u=7\n");
	client_headers(3, H2_END_STREAM, BASE "priority: u=0\n");
	client_words();
	answer(0, 40000);
	answer(1, 40000);
	words = client_words();
	assert_true(strstr(words, "DATA:3:7232:END") < strstr(words, "DATA:1:"));
}

static void test_priority_update_before_and_after(void **state)
{
	const char *words;

	(void)state;
	client_window_update(0, 1 << 20);
	client_frame(H2_PRIORITY_UPDATE, 0, 0, "\0\0\0\3u=1", 7);
	client_get(1, "/");
	client_get(3, "/");
	client_words();
	answer(0, 40000);
	answer(1, 40000);
	words = client_words();
	assert_true(strstr(words, "DATA:3:7232:END") < strstr(words, "DATA:1:"));
}

static void test_incremental_streams_share(void **state)
{
	const char *words;

	(void)state;
	client_window_update(0, 1 << 20);
	client_headers(1, H2_END_STREAM, BASE "priority: u=3, i\n");
	client_headers(3, H2_END_STREAM, BASE "priority: u=3, i\n");
	client_words();
	answer(0, 40000);
	answer(1, 40000);
	words = client_words();
	assert_string_equal(words, "HEADERS:1 DATA:1:16384 HEADERS:3 DATA:3:16384 DATA:1:16384 "
				   "DATA:1:7232:END DATA:3:16384 DATA:3:7232:END");
}

/* ---- states ---- */

static void test_frames_on_idle_streams(void **state)
{
	(void)state;
	client_frame(H2_DATA, 0, 1, "x", 1);
	assert_string_equal(client_words(), "GOAWAY:0:PROTOCOL_ERROR CLOSED");
}

static void test_data_after_the_end(void **state)
{
	(void)state;
	client_get(1, "/");
	client_words();
	client_frame(H2_DATA, 0, 1, "x", 1);
	assert_string_equal(client_words(), "RST:1:STREAM_CLOSED");
}

static void test_headers_on_closed_and_on_skipped_streams(void **state)
{
	(void)state;
	client_get(5, "/");
	client_words();
	answer(0, 0);
	client_words();
	client_get(5, "/");
	assert_string_equal(client_words(), "GOAWAY:5:STREAM_CLOSED CLOSED");
}

static void test_headers_on_a_skipped_stream(void **state)
{
	(void)state;
	client_get(5, "/");
	client_words();
	client_get(3, "/");
	assert_string_equal(client_words(), "GOAWAY:5:PROTOCOL_ERROR CLOSED");
}

static void test_continuation(void **state)
{
	uint8_t block[256];
	size_t n = client_block(BASE, block, sizeof block);

	(void)state;
	client_frame(H2_HEADERS, H2_END_STREAM, 1, block, 10);
	client_frame(H2_CONTINUATION, 0, 1, block + 10, 5);
	client_frame(H2_CONTINUATION, H2_END_HEADERS, 1, block + 15, n - 15);
	assert_string_equal(client_words(), "");
	assert_string_equal(test_end_words(&client.ups[0]), "GET END");
	client_frame(H2_HEADERS, H2_END_STREAM, 3, block, 10);
	client_frame(H2_PING, 0, 0, "12345678", 8);
	assert_string_equal(client_words(), "GOAWAY:1:PROTOCOL_ERROR CLOSED");
}

static void test_client_reset_frees_the_upstream(void **state)
{
	(void)state;
	client_get(1, "/");
	client_words();
	client_frame(H2_RST_STREAM, 0, 1, "\0\0\0\10", 4);
	assert_string_equal(client_words(), "");
	assert_string_equal(test_end_words(&client.ups[0]), "GET END abort:GONE");
}

static void test_upstream_failure_after_the_head(void **state)
{
	(void)state;
	client_get(1, "/");
	client_words();
	begin(0, 4);
	x_abort(&client.ups[0].e, ERR_UP_BODY_SHORT);
	assert_string_equal(client_words(), "HEADERS:1 DATA:1:4 RST:1:INTERNAL_ERROR");
}

static void test_stream_limit(void **state)
{
	(void)state;
	client.limits.h2_streams = 2;
	client_get(1, "/");
	client_get(3, "/");
	client_get(5, "/");
	assert_string_equal(client_words(), "RST:5:REFUSED_STREAM");
	assert_int_equal(client.nups, 2);
}

static void test_two_step_drain(void **state)
{
	(void)state;
	client_get(1, "/");
	client_words();
	h2c_drain(client.c);
	assert_string_equal(client_words(), "GOAWAY:2147483647:NO_ERROR PING");
	client_get(3, "/");
	client_frame(H2_PING, H2_ACK, 0, "gh drain", 8);
	assert_string_equal(client_words(), "GOAWAY:3:NO_ERROR");
	client_get(5, "/");
	assert_string_equal(client_words(), "RST:5:REFUSED_STREAM");
	answer(0, 0);
	assert_string_equal(client_words(), "HEADERS:1:END");
	answer(1, 0);
	assert_string_equal(client_words(), "HEADERS:3:END CLOSED");
}

static void test_client_gone_frees_all(void **state)
{
	(void)state;
	client_get(1, "/");
	client_get(3, "/");
	client_words();
	shutdown(client.fd, SHUT_RDWR);
	client_words();
	assert_int_equal(client.ups[0].aborted, ERR_GONE);
	assert_int_equal(client.ups[1].aborted, ERR_GONE);
}

/* ---- floods: each ends after a bounded number ---- */

static void flood(void (*one)(uint32_t i))
{
	const char *words = "";

	client.limits.abuse = 100;
	for (uint32_t i = 0; i < 3000 && client.c; i++)
		one(i);
	words = client_words();
	if (!strstr(words, "GOAWAY") || !strstr(words, "ENHANCE_YOUR_CALM"))
		fail_msg("not ended: %.200s", words);
	assert_true(client.nups < CLIENT_UPS);
}

static void flood_reset(uint32_t i)
{
	client_get(2 * i + 1, "/");
	client_frame(H2_RST_STREAM, 0, 2 * i + 1, "\0\0\0\10", 4);
	if (i % 8 == 0)
		loop_turn(0);
}

static void flood_zero_update(uint32_t i)
{
	client_get(2 * i + 1, "/");
	client_window_update(2 * i + 1, 0);
	if (i % 8 == 0)
		loop_turn(0);
}

static void flood_ping(uint32_t i)
{
	(void)i;
	client_frame(H2_PING, 0, 0, "12345678", 8);
}

static void flood_settings(uint32_t i)
{
	(void)i;
	client_frame(H2_SETTINGS, 0, 0, NULL, 0);
}

static void flood_empty_data(uint32_t i)
{
	if (i == 0)
		client_headers(1, 0, POST);
	client_frame(H2_DATA, 0, 1, NULL, 0);
}

static void flood_unknown(uint32_t i)
{
	(void)i;
	client_frame(0x42, 0, 0, NULL, 0);
}

static void flood_priority(uint32_t i)
{
	(void)i;
	client_frame(H2_PRIORITY, 0, 99, "\0\0\0\1\1", 5);
}

static void flood_continuation(uint32_t i)
{
	if (i == 0)
		client_frame(H2_HEADERS, 0, 1, NULL, 0);
	client_frame(H2_CONTINUATION, 0, 1, NULL, 0);
}

static void flood_window_update(uint32_t i)
{
	(void)i;
	client_window_update(0, 1);
}

static void test_floods(void **state)
{
	static void (*const floods[])(uint32_t) = {
		flood_reset,   flood_zero_update, flood_ping,         flood_settings,      flood_empty_data,
		flood_unknown, flood_priority,    flood_continuation, flood_window_update,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(floods); i++) {
		client_open(false);
		flood(floods[i]);
		client_close();
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_RAW(name) cmocka_unit_test_setup_teardown(name, setup_raw, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_request_and_answer),
		TEST_RAW(test_preface_must_come),
		TEST_RAW(test_first_frame_must_be_settings),
		TEST_RAW(test_byte_by_byte),
		TEST(test_body_both_ways_and_trailers),
		TEST(test_interim_heads),
		TEST(test_malformed_requests),
		TEST(test_refused_requests_get_their_page),
		TEST(test_length_that_disagrees),
		TEST(test_extended_connect),
		TEST(test_send_windows),
		TEST(test_initial_window_changes_live_streams),
		TEST(test_window_overflows),
		TEST(test_uploads_never_exceed_the_pipe),
		TEST(test_data_beyond_the_stream_window),
		TEST(test_data_on_reset_streams_is_credited),
		TEST(test_small_answers_pass_large_ones),
		TEST(test_urgency_decides),
		TEST(test_priority_update_before_and_after),
		TEST(test_incremental_streams_share),
		TEST(test_frames_on_idle_streams),
		TEST(test_data_after_the_end),
		TEST(test_headers_on_closed_and_on_skipped_streams),
		TEST(test_headers_on_a_skipped_stream),
		TEST(test_continuation),
		TEST(test_client_reset_frees_the_upstream),
		TEST(test_upstream_failure_after_the_head),
		TEST(test_stream_limit),
		TEST(test_two_step_drain),
		TEST(test_client_gone_frees_all),
		cmocka_unit_test(test_floods),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
