/*
 * Floods: each ends the connection after a bounded number of frames, and few of them reach an upstream. What
 * a well-behaved client does often is none.
 */
#include "tests/unit/h2/client.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { BUDGET = 100, STREAMS = 16, SENT = 4000 };

static int setup_small(void **state)
{
	(void)state;
	client_init();
	client.limits.abuse = BUDGET;
	client.limits.h2_streams = STREAMS;
	client_open(false);
	return 0;
}

/* Sends frames one after the other until the connection is ended; now and then the server has its turn. */
static void flood(void (*one)(uint32_t i))
{
	const char *words;

	for (uint32_t i = 0; i < SENT && client.c; i++) {
		one(i);
		if (i % 8 == 0)
			loop_turn(0);
	}
	words = client_words();
	if (!strstr(words, "GOAWAY") || !strstr(words, "ENHANCE_YOUR_CALM"))
		fail_msg("not ended: %.200s", words);
	assert_true(client.nups <= BUDGET + 2 * STREAMS);
}

/* ---- what ends streams ---- */

static void post(uint32_t id)
{
	client_headers(id, 0, POST);
}

static void reset(uint32_t i)
{
	client_get(2 * i + 1, "/");
	client_frame(H2_RST_STREAM, 0, 2 * i + 1, "\0\0\0\10", 4);
}

static void zero_update(uint32_t i)
{
	client_get(2 * i + 1, "/");
	client_window_update(2 * i + 1, 0);
}

static void overflowing_update(uint32_t i)
{
	client_get(2 * i + 1, "/");
	client_window_update(2 * i + 1, H2_MAX_WINDOW);
}

static void self_dependency(uint32_t i)
{
	uint8_t p[5] = {0, 0, (uint8_t)((2 * i + 1) >> 8), (uint8_t)(2 * i + 1), 0};

	client_get(2 * i + 1, "/");
	client_frame(H2_PRIORITY, 0, 2 * i + 1, p, sizeof p);
}

static void self_dependent_headers(uint32_t i)
{
	uint8_t block[256] = {0, 0, (uint8_t)((2 * i + 1) >> 8), (uint8_t)(2 * i + 1), 0};
	size_t n = 5 + client_block(GET, block + 5, sizeof block - 5);

	client_frame(H2_HEADERS, H2_END_STREAM | H2_END_HEADERS | H2_PRIORITY_FLAG, 2 * i + 1, block, n);
}

static void short_priority(uint32_t i)
{
	client_get(2 * i + 1, "/");
	client_frame(H2_PRIORITY, 0, 2 * i + 1, "\0\0\0\0", 4);
}

static void data_after_the_end(uint32_t i)
{
	client_get(2 * i + 1, "/");
	client_frame(H2_DATA, 0, 2 * i + 1, "x", 1);
}

static void bad_trailers(uint32_t i)
{
	post(2 * i + 1);
	client_headers(2 * i + 1, H2_END_STREAM, ":path: /\n");
}

static void trailers_without_an_end(uint32_t i)
{
	post(2 * i + 1);
	client_headers(2 * i + 1, 0, "x: y\n");
}

static void malformed(uint32_t i)
{
	client_headers(2 * i + 1, H2_END_STREAM, GET "Upper: x\n");
}

static void empty_names(uint32_t i)
{
	uint8_t block[256];
	size_t n = client_block(GET, block, sizeof block - 30);

	for (int k = 0; k < 10; k++, n += 3)
		memcpy(block + n, "\0\0\0", 3);
	client_frame(H2_HEADERS, H2_END_STREAM | H2_END_HEADERS, 2 * i + 1, block, n);
}

static void wrong_length(uint32_t i)
{
	client_headers(2 * i + 1, H2_END_STREAM, GET "content-length: 1\n");
}

static void turns(void)
{
	for (int i = 0; i < 3; i++)
		loop_turn(0);
}

static void many_fields(uint32_t i)
{
	uint8_t block[2048];
	size_t n = client_block(GET, block, sizeof block);

	for (int k = 0; k < 250; k++, n += 4)
		memcpy(block + n, "\0\1x\0", 4);
	client_frame(H2_HEADERS, H2_END_STREAM | H2_END_HEADERS, 2 * i + 1, block, n);
	turns();
}

/* One large line, kept in the table, and then as often as a frame can say: a list of 50 MiB each. */
static void bomb(uint32_t i)
{
	static uint8_t block[16384];
	size_t n = client_block(GET, block, sizeof block);

	if (i == 0) {
		memcpy(block + n, "\x40\6cookie\x7f\x81\x1e", 11);
		memset(block + n + 11, 'c', 3968);
		n += 11 + 3968;
	}
	memset(block + n, 0xbe, sizeof block - n);
	client_frame(H2_HEADERS, H2_END_STREAM | H2_END_HEADERS, 2 * i + 1, block, sizeof block);
	turns();
}

static void beyond_the_limit(uint32_t i)
{
	post(2 * i + 1);
}

/* ---- single frames ---- */

static void ping(uint32_t i)
{
	(void)i;
	client_frame(H2_PING, 0, 0, "12345678", 8);
}

static void ping_answer(uint32_t i)
{
	(void)i;
	client_frame(H2_PING, H2_ACK, 0, "12345678", 8);
}

static void settings(uint32_t i)
{
	(void)i;
	client_frame(H2_SETTINGS, 0, 0, NULL, 0);
}

static void table_size(uint32_t i)
{
	uint8_t p[6] = {0, 1, 0, 0, (uint8_t)(i % 2 ? 16 : 0), 0};

	client_frame(H2_SETTINGS, 0, 0, p, sizeof p);
}

static void settings_answer(uint32_t i)
{
	(void)i;
	client_frame(H2_SETTINGS, H2_ACK, 0, NULL, 0);
}

static void empty_data(uint32_t i)
{
	if (i == 0)
		post(1);
	client_frame(H2_DATA, 0, 1, NULL, 0);
}

static void padded_empty_data(uint32_t i)
{
	if (i == 0)
		post(1);
	client_frame(H2_DATA, H2_PADDED, 1, "\3\0\0\0", 4);
}

static void unknown_frame(uint32_t i)
{
	client_frame(0x42, 0, i, NULL, 0);
}

static void goaway(uint32_t i)
{
	(void)i;
	client_frame(H2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8);
}

static void priority(uint32_t i)
{
	(void)i;
	client_frame(H2_PRIORITY, 0, 99, "\0\0\0\1\1", 5);
}

static void priority_update(uint32_t i)
{
	if (i == 0)
		client_get(1, "/");
	client_frame(H2_PRIORITY_UPDATE, 0, 0, i % 2 ? "\0\0\0\1u=1" : "\0\0\0\1u=2", 7);
}

static void continuation(uint32_t i)
{
	if (i == 0)
		client_frame(H2_HEADERS, 0, 1, NULL, 0);
	client_frame(H2_CONTINUATION, 0, 1, NULL, 0);
}

static void window_update(uint32_t i)
{
	(void)i;
	client_window_update(0, 1);
}

static void frames_on_a_closed_stream(uint32_t i)
{
	if (i == 0) {
		client_get(1, "/");
		client_frame(H2_RST_STREAM, 0, 1, "\0\0\0\10", 4);
	}
	client_frame(H2_RST_STREAM, 0, 1, "\0\0\0\10", 4);
}

/* One byte of window at a time, each of which becomes a frame. */
static void one_byte_windows(uint32_t i)
{
	if (i == 0) {
		client_frame(H2_SETTINGS, 0, 0, "\0\4\0\0\0\0", 6);
		client_get(1, "/");
		client_words();
		client_begin(0, 60000);
	}
	client_window_update(1, 1);
}

/* ---- no abuse ---- */

static void test_a_client_that_moves_on(void **state)
{
	(void)state;
	/* a page whose pictures are all cancelled at once, after some that came */
	for (uint32_t i = 0; i < 3; i++) {
		client_get(2 * i + 1, "/");
		client_words();
		client_answer(i, 10);
		client_words();
	}
	for (uint32_t i = 3; i < 3 + STREAMS; i++)
		client_get(2 * i + 1, "/");
	client_words();
	for (uint32_t i = 3; i < 3 + STREAMS; i++)
		client_frame(H2_RST_STREAM, 0, 2 * i + 1, "\0\0\0\10", 4);
	client_words();
	client_get(99, "/");
	assert_string_equal(client_words(), "");
	assert_non_null(client.c);
	assert_non_null(client.ups[3 + STREAMS].e.x);
}

/* Credit for each frame of both windows, and a PING for each, as some clients do. */
static void test_busy_control_frames(void **state)
{
	(void)state;
	client.limits.abuse = client.limits.h2_streams = 1;
	client_get(1, "/");
	client_words();
	client_begin(0, 0);
	for (int i = 0; i < 3000; i++) {
		client_put(&client.ups[0].e, 100);
		client_words();
		client_window_update(0, 100);
		client_window_update(1, 100);
	}
	assert_non_null(client.c);
}

static void test_many_answers(void **state)
{
	(void)state;
	client.limits.abuse = client.limits.h2_streams = 1;
	for (uint32_t i = 0; i < 200; i++) {
		client_get(2 * i + 1, "/");
		client_words();
		client_answer(i, 0);
		client_words();
		client_frame(H2_RST_STREAM, 0, 2 * i + 1, "\0\0\0\0", 4); /* crossed its end */
	}
	assert_non_null(client.c);
}

/* What was under way when a stream was reset by us costs nothing. */
static void test_refused_uploads(void **state)
{
	static uint8_t body[1024];

	(void)state;
	client.limits.abuse = 1;
	client.limits.request_body_bytes = 10;
	for (uint32_t i = 0; i < STREAMS; i++)
		post(2 * i + 1);
	client_words();
	for (uint32_t n = 0; n < 8; n++) {
		for (uint32_t i = 0; i < STREAMS; i++)
			client_frame(H2_DATA, 0, 2 * i + 1, body, sizeof body);
		client_words();
	}
	assert_non_null(client.c);
	assert_string_equal(client.head, ":status: 413\n");
}

#define FLOOD_TABLE(X)                \
	X(reset)                       \
	X(zero_update)                 \
	X(overflowing_update)          \
	X(self_dependency)             \
	X(self_dependent_headers)      \
	X(short_priority)              \
	X(data_after_the_end)          \
	X(bad_trailers)                \
	X(trailers_without_an_end)     \
	X(malformed)                   \
	X(empty_names)                 \
	X(wrong_length)                \
	X(beyond_the_limit)            \
	X(many_fields)                 \
	X(bomb)                        \
	X(ping)                        \
	X(ping_answer)                 \
	X(settings)                    \
	X(table_size)                  \
	X(settings_answer)             \
	X(empty_data)                  \
	X(padded_empty_data)           \
	X(unknown_frame)               \
	X(goaway)                      \
	X(priority)                    \
	X(priority_update)             \
	X(continuation)                \
	X(window_update)               \
	X(frames_on_a_closed_stream)   \
	X(one_byte_windows)

#define X(name)                                                                                              \
	static void flood_##name(void **state)                                                               \
	{                                                                                                    \
		(void)state;                                                                                 \
		flood(name);                                                                                 \
	}
FLOOD_TABLE(X)
#undef X

#define SMALL(name) cmocka_unit_test_setup_teardown(name, setup_small, client_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
#define X(name) SMALL(flood_##name),
		FLOOD_TABLE(X)
#undef X
			SMALL(test_a_client_that_moves_on),
		SMALL(test_busy_control_frames),
		SMALL(test_many_answers),
		SMALL(test_refused_uploads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
