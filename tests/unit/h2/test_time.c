/* Every wait ends: timers of the connection and of its streams. */
#include "tests/unit/h2/client.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <cmocka.h>

/* What is to run out; and what is not, while something moves every few milliseconds. */
enum { SHORT_MS = 40, LONG_MS = 500 };

/* So many milliseconds go by, with a step now and then that keeps something moving, or NULL. */
static void pass(uint64_t ms, void (*step)(void))
{
	uint64_t end_ms = loop_now_ms() + ms, next_ms = 0;

	while (loop_now_ms() < end_ms) {
		if (step && loop_now_ms() >= next_ms) {
			next_ms = loop_now_ms() + SHORT_MS / 4;
			step();
		}
		loop_turn(SHORT_MS / 4);
	}
}

/* It ends, and nobody looks at the client's socket. */
static void must_end(enum err why)
{
	uint64_t end_ms = loop_now_ms() + 5000;

	while (client.c && loop_now_ms() < end_ms)
		loop_turn(SHORT_MS);
	assert_null(client.c);
	if (why)
		assert_int_equal(client.closed_why, why);
}

static void must_close(enum err why)
{
	client_words_until("CLOSED");
	assert_null(client.c);
	assert_int_equal(client.closed_why, why);
}

/* ---- the connection ---- */

static int setup_hasty(void **state)
{
	(void)state;
	client_init();
	client.timeouts.request_head_ms = SHORT_MS;
	client_open(true);
	return 0;
}

static void test_preface_that_does_not_come(void **state)
{
	(void)state;
	client_words();
	must_close(ERR_HEAD_TIMEOUT);
}

static void test_half_a_preface(void **state)
{
	(void)state;
	client_send(H2_PREFACE, 20);
	must_close(ERR_HEAD_TIMEOUT);
}

static void test_settings_that_do_not_come(void **state)
{
	(void)state;
	client_send(H2_PREFACE "\0\0\0\4", H2_PREFACE_BYTES + 4);
	must_close(ERR_HEAD_TIMEOUT);
}

static void test_settings_that_are_not_acknowledged(void **state)
{
	(void)state;
	client_send(H2_PREFACE, H2_PREFACE_BYTES);
	client_frame(H2_SETTINGS, 0, 0, NULL, 0);
	client_words_until("GOAWAY:0:SETTINGS_TIMEOUT CLOSED");
}

static void test_half_a_field_block(void **state)
{
	(void)state;
	client.timeouts.request_head_ms = SHORT_MS;
	client_frame(H2_HEADERS, H2_END_STREAM, 1, "\x82", 1);
	client_words_until("GOAWAY:0:PROTOCOL_ERROR CLOSED");
}

static void drip_continuation(void)
{
	if (client.c)
		client_frame(H2_CONTINUATION, 0, 1, NULL, 0);
}

static void test_a_block_that_drips(void **state)
{
	(void)state;
	client.timeouts.request_head_ms = SHORT_MS;
	client_frame(H2_HEADERS, H2_END_STREAM, 1, "\x82", 1);
	pass(3 * SHORT_MS, drip_continuation);
	client_words_until("GOAWAY:0:PROTOCOL_ERROR");
}

static void test_half_a_frame(void **state)
{
	(void)state;
	client.timeouts.request_head_ms = SHORT_MS;
	client_send("\0\0\5\1\5\0\0\0\1ab", 11);
	client_words_until("GOAWAY:0:PROTOCOL_ERROR CLOSED");
}

static void test_idle(void **state)
{
	(void)state;
	client.timeouts.h2_idle_ms = SHORT_MS;
	client_get(1, "/");
	client_words();
	pass(2 * SHORT_MS, NULL);
	assert_string_equal(client_words(), ""); /* a stream is open */
	client_answer(0, 0);
	client_words_until("HEADERS:1:END GOAWAY:1:NO_ERROR CLOSED");
}

static void ping(void)
{
	if (client.c)
		client_frame(H2_PING, 0, 0, "12345678", 8);
}

static void test_pings_do_not_keep_an_idle_connection(void **state)
{
	(void)state;
	client.timeouts.h2_idle_ms = SHORT_MS;
	client_get(1, "/");
	client_words();
	client_answer(0, 0);
	client_words();
	pass(3 * SHORT_MS, ping);
	client_words_until("GOAWAY:1:NO_ERROR");
}

static void test_a_silent_client_is_found_out(void **state)
{
	(void)state;
	client.timeouts.ping_ms = client.timeouts.ping_timeout_ms = SHORT_MS;
	client_get(1, "/");
	client_words_until("PING");
	must_close(ERR_PING_TIMEOUT);
	assert_int_equal(client.ups[0].aborted, ERR_PING_TIMEOUT);
}

static void test_a_long_poll_on_a_live_connection_stays(void **state)
{
	(void)state;
	client.timeouts.ping_ms = SHORT_MS;
	client.timeouts.ping_timeout_ms = LONG_MS;
	client.limits.abuse = 0;
	client.limits.h2_streams = 1;
	client_get(1, "/");
	for (int i = 0; i < 4; i++) {
		client_words_until("PING");
		client_frame(H2_PING, H2_ACK, 0, "gh alive", 8);
	}
	client_words();
	assert_non_null(client.c);
	client_answer(0, 1);
	client_words_until("HEADERS:1 DATA:1:1:END");
}

/* ---- sending ---- */

static int setup_lenient(void **state)
{
	(void)state;
	client_init();
	client.limits.abuse = 100000;
	client_open(false);
	return 0;
}

static void open_windows(uint32_t id)
{
	client_window_update(0, H2_MAX_WINDOW - H2_INITIAL_WINDOW);
	client_window_update(id, H2_MAX_WINDOW - H2_INITIAL_WINDOW);
}

static void test_a_client_that_does_not_read(void **state)
{
	(void)state;
	client.timeouts.write_ms = SHORT_MS;
	client_get(1, "/");
	open_windows(1);
	client_words();
	client_begin(0, 1 << 20);
	must_end(ERR_WRITE_TIMEOUT);
}

static void ping_and_look(void)
{
	ping();
	client_words();
}

static void test_a_window_that_stays_shut(void **state)
{
	(void)state;
	client.timeouts.write_ms = SHORT_MS;
	client.limits.abuse = 1000;
	client_get(1, "/");
	client_words();
	client_answer(0, 70000);
	assert_non_null(strstr(client_words(), "DATA:1:16383"));
	pass(3 * SHORT_MS, ping_and_look);
	client_get(3, "/");
	client_words();
	assert_int_equal(client.nups, 2); /* the stream is gone, the connection is not */
	client_window_update(0, 100);
	assert_string_equal(client_words(), "");
}

static void test_a_shut_window_is_told(void **state)
{
	(void)state;
	client.timeouts.write_ms = SHORT_MS;
	client_get(1, "/");
	client_words();
	client_answer(0, 70000);
	client_words_until("RST:1:CANCEL");
}

static void widen(void)
{
	client_window_update(0, 1);
	client_window_update(1, 1);
	client_words();
}

static void test_a_slow_reader_that_moves_is_not_cut(void **state)
{
	(void)state;
	client.timeouts.write_ms = LONG_MS;
	client_get(1, "/");
	client_words();
	client_answer(0, 70000);
	client_words();
	pass(2 * LONG_MS, widen);
	open_windows(1);
	client_words_until(":END");
}

static void test_an_unread_goaway_is_not_waited_for(void **state)
{
	(void)state;
	client.timeouts.linger_ms = SHORT_MS;
	client_get(1, "/");
	open_windows(1);
	client_words();
	client_begin(0, 1 << 20);
	loop_turn(0);
	loop_turn(0);
	client_frame(H2_PING, 0, 1, "12345678", 8); /* an error */
	must_end(ERR_OK);
}

static void test_a_client_that_ends_and_does_not_read(void **state)
{
	static char pings[17 * 512];

	(void)state;
	client_get(1, "/");
	open_windows(1);
	client_words();
	client_begin(0, 1 << 20);
	for (size_t i = 0; i < sizeof pings; i += 17)
		memcpy(pings + i,
		       "\0\0\10\6\0\0\0\0\0"
		       "12345678",
		       17);
	while (send(client.fd, pings, sizeof pings, MSG_NOSIGNAL) > 0) /* until nothing more is read either */
		loop_turn(0);
	shutdown(client.fd, SHUT_WR);
	must_end(ERR_GONE);
}

/* ---- bodies ---- */

static void test_a_body_that_stalls(void **state)
{
	(void)state;
	client.timeouts.request_body_ms = SHORT_MS;
	client_headers(1, 0, POST);
	client_frame(H2_DATA, 0, 1, "abc", 3);
	assert_string_equal(client_words_until("RST"), "HEADERS:1:END RST:1:NO_ERROR");
	assert_string_equal(client.head, ":status: 408\n");
	assert_string_equal(test_end_words(&client.ups[0]), "POST D3 abort:BODY_TIMEOUT");
}

static void drip_data(void)
{
	client_send("x", 1);
}

static void test_a_slow_frame_that_moves_is_not_cut(void **state)
{
	(void)state;
	client.timeouts.request_body_ms = LONG_MS;
	client_headers(1, 0, POST);
	client_send("\0\x40\0\0\0\0\0\0\1", 9);
	pass(2 * LONG_MS, drip_data);
	assert_string_equal(client_words(), "");
	client_words_until("HEADERS:1:END RST:1:NO_ERROR"); /* once it stops */
}

static void test_a_full_pipe_is_not_the_clients_fault(void **state)
{
	static uint8_t body[16384];

	(void)state;
	client.timeouts.request_body_ms = SHORT_MS;
	client_headers(1, 0, POST);
	client_words();
	client.ups[0].hold = true;
	for (int i = 0; i < 4; i++)
		client_frame(H2_DATA, 0, 1, body, sizeof body);
	client_frame(H2_PING, H2_ACK, 0, "gh width", 8);
	client_words();
	for (int i = 0; i < 4; i++)
		client_frame(H2_DATA, 0, 1, body, sizeof body);
	client_words();
	pass(3 * SHORT_MS, NULL);
	assert_string_equal(test_end_words(&client.ups[0]), "POST");
}

static void test_an_idle_tunnel(void **state)
{
	struct end *e = &client.ups[0].e;

	(void)state;
	client.timeouts.tunnel_idle_ms = SHORT_MS;
	client_headers(1, 0, CONNECT);
	client_words();
	pass(2 * SHORT_MS, NULL); /* not open yet */
	x_open_tunnel(e);
	x_head(e, test_response(e->x, 101));
	client_words_until("HEADERS:1 RST:1:CANCEL");
	assert_int_equal(client.ups[0].aborted, ERR_TUNNEL_TIMEOUT);
}

#define HASTY(name) cmocka_unit_test_setup_teardown(name, setup_hasty, client_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HASTY(test_preface_that_does_not_come),
		HASTY(test_half_a_preface),
		HASTY(test_settings_that_do_not_come),
		HASTY(test_settings_that_are_not_acknowledged),
		CLIENT_TEST(test_half_a_field_block),
		CLIENT_TEST(test_a_block_that_drips),
		CLIENT_TEST(test_half_a_frame),
		CLIENT_TEST(test_idle),
		CLIENT_TEST(test_pings_do_not_keep_an_idle_connection),
		CLIENT_TEST(test_a_silent_client_is_found_out),
		CLIENT_TEST(test_a_long_poll_on_a_live_connection_stays),
		CLIENT_TEST(test_a_client_that_does_not_read),
		CLIENT_TEST(test_a_window_that_stays_shut),
		CLIENT_TEST(test_a_shut_window_is_told),
		CLIENT_TEST(test_a_slow_reader_that_moves_is_not_cut),
		CLIENT_TEST(test_an_unread_goaway_is_not_waited_for),
		cmocka_unit_test_setup_teardown(test_a_client_that_ends_and_does_not_read, setup_lenient,
						client_teardown),
		CLIENT_TEST(test_a_body_that_stalls),
		CLIENT_TEST(test_a_slow_frame_that_moves_is_not_cut),
		CLIENT_TEST(test_a_full_pipe_is_not_the_clients_fault),
		CLIENT_TEST(test_an_idle_tunnel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
