/* Who is sent first (RFC 9218). */
#include "tests/unit/h2/client.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_small_answers_pass_large_ones(void **state)
{
	const char *words, *small, *large_end;

	(void)state;
	client_window_update(0, 1 << 20);
	client_get(1, "/large");
	client_get(3, "/small");
	client_words();
	client_begin(0, 65000);
	x_end(&client.ups[0].e);
	x_leave(&client.ups[0].e);
	client_answer(1, 100);
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
	client_headers(1, H2_END_STREAM, GET "priority: u=7\n");
	client_headers(3, H2_END_STREAM, GET "priority: u=0\n");
	client_words();
	client_answer(0, 40000);
	client_answer(1, 40000);
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
	client_answer(0, 40000);
	client_answer(1, 40000);
	words = client_words();
	assert_true(strstr(words, "DATA:3:7232:END") < strstr(words, "DATA:1:"));
}

static void test_incremental_streams_share(void **state)
{
	const char *words;

	(void)state;
	client_window_update(0, 1 << 20);
	client_headers(1, H2_END_STREAM, GET "priority: u=3, i\n");
	client_headers(3, H2_END_STREAM, GET "priority: u=3, i\n");
	client_words();
	client_answer(0, 40000);
	client_answer(1, 40000);
	words = client_words();
	assert_string_equal(words, "HEADERS:1 DATA:1:16384 HEADERS:3 DATA:3:16384 DATA:1:16384 "
				   "DATA:1:7232:END DATA:3:16384 DATA:3:7232:END");
}

/* Others are sent one after the other, as far as there is anything to send (RFC 9218 section 10). */
static void test_other_streams_do_not(void **state)
{
	const char *words;

	(void)state;
	client_window_update(0, 1 << 20);
	client_get(1, "/");
	client_get(3, "/");
	client_window_update(1, 1 << 20);
	client_window_update(3, 1 << 20);
	client_words();
	client_answer(0, 200000);
	client_answer(1, 200000);
	words = client_words();
	assert_true(strstr(words, "DATA:1:3392:END") < strstr(words, "DATA:3:"));
}

/* Whatever is more urgent, or went before: in so many picks everybody has had one. */
static void test_nobody_starves(void **state)
{
	static const char *const priorities[] = {"u=0", "u=1", "u=3", "u=3, i", "u=7", "u=7"};
	enum { STREAMS = ARRAY_SIZE(priorities) };
	size_t sent[STREAMS] = {0};
	char fields[200];

	(void)state;
	client_window_update(0, 1 << 30);
	for (uint32_t i = 0; i < STREAMS; i++) {
		snprintf(fields, sizeof fields, GET "priority: %s\n", priorities[i]);
		client_headers(2 * i + 1, H2_END_STREAM, fields);
		client_window_update(2 * i + 1, 1 << 30);
	}
	client_words();
	for (uint32_t i = 0; i < STREAMS; i++)
		client_begin(i, 0);
	for (int turns = 0; turns < 100; turns++) {
		const char *words;

		for (uint32_t i = 0; i < STREAMS; i++) {
			size_t room = x_room(&client.ups[i].e, 65536);

			if (room)
				client_put(&client.ups[i].e, room);
		}
		words = client_words_of_a_turn();
		for (uint32_t i = 0; i < STREAMS; i++) {
			snprintf(fields, sizeof fields, "DATA:%u:", 2 * i + 1);
			sent[i] += strstr(words, fields) != NULL;
		}
	}
	for (uint32_t i = 0; i < STREAMS; i++)
		if (!sent[i])
			fail_msg("%s starves", priorities[i]);
	assert_true(sent[0] > 2 * sent[4]);
}

/* A stream that waits is put where its new priority wants it. */
static void test_priority_update_of_a_waiting_stream(void **state)
{
	const char *words;

	(void)state;
	client_frame(H2_SETTINGS, 0, 0, "\0\4\0\0\0\0", 6);
	client_get(1, "/");
	client_get(3, "/");
	client_words();
	client_answer(0, 30000);
	client_answer(1, 30000);
	client_words();
	client_frame(H2_PRIORITY_UPDATE, 0, 0, "\0\0\0\3u=1", 7);
	client_frame(H2_SETTINGS, 0, 0, "\0\4\0\1\0\0", 6);
	words = client_words();
	assert_true(strstr(words, "DATA:3:13616:END") < strstr(words, "DATA:1:"));
}

static void test_priorities_that_make_no_sense(void **state)
{
	static const char *const rows[] = {"u=8", "u=-1", "u", "u=1.5", "i=?2", "=", ",,", "\"u=1\"", "U=1"};
	char fields[200];

	(void)state;
	for (uint32_t i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(fields, sizeof fields, GET "priority: %s\n", rows[i]);
		client_headers(2 * i + 1, H2_END_STREAM, fields);
		assert_string_equal(client_words(), "");
		client_answer(i, 0);
		client_words();
	}
	client_frame(H2_PRIORITY_UPDATE, 0, 0, "\0\0\0\2u=1", 7);
	assert_non_null(strstr(client_words(), "PROTOCOL_ERROR"));
}

/* A reader as slow as its socket: the small answer comes before the large one is through. */
static void test_a_small_answer_is_not_stuck(void **state)
{
	size_t before;

	(void)state;
	client_window_update(0, 1 << 30);
	client_get(1, "/");
	client_window_update(1, 1 << 30);
	client_words();
	client_begin(0, 1 << 20);
	x_end(&client.ups[0].e);
	x_leave(&client.ups[0].e);
	loop_turn(0);
	client_get(3, "/");
	for (int i = 0; i < 4; i++)
		loop_turn(0);
	client_answer(1, 100);
	before = client.body_bytes;
	client_words_until("DATA:3:100:END");
	assert_true(client.body_bytes - before < 700000);
	client_words();
	assert_int_equal(client.body_bytes, 100 + (1 << 20));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLIENT_TEST(test_small_answers_pass_large_ones),
		CLIENT_TEST(test_urgency_decides),
		CLIENT_TEST(test_priority_update_before_and_after),
		CLIENT_TEST(test_incremental_streams_share),
		CLIENT_TEST(test_other_streams_do_not),
		CLIENT_TEST(test_nobody_starves),
		CLIENT_TEST(test_priority_update_of_a_waiting_stream),
		CLIENT_TEST(test_priorities_that_make_no_sense),
		CLIENT_TEST(test_a_small_answer_is_not_stuck),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
