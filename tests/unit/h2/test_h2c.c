/* The server connection: requests, states, the end. */
#include "tests/unit/h2/client.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <cmocka.h>

static void test_request_and_answer(void **state)
{
	(void)state;
	client_get(1, "/a");
	assert_string_equal(client_words(), "");
	assert_string_equal(test_end_words(&client.ups[0]), "GET END");
	assert_true(str_eq(client.ups[0].e.x->request->path, STR("/a")));
	assert_true(str_eq(client.ups[0].e.x->request->authority, STR("test")));
	client_answer(0, 5);
	assert_string_equal(client_words(), "HEADERS:1 DATA:1:5:END");
	assert_string_equal(client.head, ":status: 200\n");
	client_get(3, "/b");
	client_words();
	client_answer(1, 0);
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
	client_begin(0, 3);
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
	client_answer(0, 1);
	assert_string_equal(client_words(), "HEADERS:1 DATA:1:1:END");
}

/*
 * Requests that are malformed (RFC 9113 section 8.1.1): the stream ends, nothing is forwarded, the
 * connection goes on.
 */
static void test_malformed_requests(void **state)
{
	static const char *const rows[] = {
		GET "Upper: x\n",
		GET "a b: x\n",
		GET "connection: close\n",
		GET "transfer-encoding: chunked\n",
		GET "upgrade: h2c\n",
		GET "keep-alive: 1\n",
		GET "proxy-connection: x\n",
		GET "te: gzip\n",
		GET "x: a\rb\n",
		GET "x:  leading\n",
		GET "host: other\n",
		GET "content-length: 1\n",
		GET "content-length: x\n",
		GET "content-length: 0\ncontent-length: 1\n",
		GET ":path: /again\n",
		GET ":status: 200\n",
		GET ":unknown: x\n",
		"x: 1\n" GET,
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
		GET ":protocol: websocket\n",
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
	client_answer(0, 0);
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

/* ---- WebSockets (RFC 8441) ---- */

static struct end *open_tunnel(uint8_t flags, const char *fields)
{
	struct end *e = &client.ups[0].e;

	client_headers(1, flags, fields);
	assert_string_equal(client_words(), "");
	assert_true(e->x->request->websocket);
	x_open_tunnel(e);
	x_head(e, test_response(e->x, 101));
	assert_string_equal(client_words(), "HEADERS:1");
	assert_string_equal(client.head, ":status: 200\n");
	assert_int_equal(e->x->facts.status, 200);
	return e;
}

static void test_extended_connect(void **state)
{
	struct end *e = open_tunnel(0, CONNECT "content-length: 2\n");

	(void)state;
	assert_string_equal(test_end_words(&client.ups[0]), "CONNECT");
	assert_null(head_find(e->x->request, FIELD_CONTENT_LENGTH));
	client_put(e, 2);
	client_frame(H2_DATA, 0, 1, "hey", 3);
	assert_string_equal(client_words(), "DATA:1:2");
	assert_string_equal(test_end_words(&client.ups[0]), "D3");
	x_end(e);
	assert_string_equal(client_words(), "DATA:1:0:END");
	client_frame(H2_DATA, H2_END_STREAM, 1, "bye", 3);
	assert_string_equal(client_words(), "");
	assert_string_equal(test_end_words(&client.ups[0]), "D3 END");
	x_leave(e);
}

/* The client's END comes with its request: opening the tunnel does not undo it. */
static void test_a_tunnel_that_nothing_is_sent_through(void **state)
{
	struct end *e = open_tunnel(H2_END_STREAM, CONNECT);

	(void)state;
	assert_true(x_at_end(e));
	client_put(e, 2);
	x_end(e);
	x_leave(e);
	assert_string_equal(client_words(), "DATA:1:2:END");
}

/* ... nor does what comes between the opening and its news. */
static void test_a_tunnel_that_is_ended_while_it_opens(void **state)
{
	struct end *e = &client.ups[0].e;

	(void)state;
	client_headers(1, 0, CONNECT);
	client_words();
	client_frame(H2_DATA, H2_END_STREAM, 1, "x", 1);
	x_open_tunnel(e);
	x_head(e, test_response(e->x, 101));
	assert_string_equal(client_words(), "HEADERS:1");
	assert_string_equal(test_end_words(&client.ups[0]), "CONNECT D1 END");
	x_end(e);
	x_leave(e);
	assert_string_equal(client_words(), "DATA:1:0:END");
}

static void test_a_tunnel_ends_when_nobody_reads(void **state)
{
	struct end *e = open_tunnel(0, CONNECT);

	(void)state;
	x_end(e);
	assert_string_equal(client_words(), "DATA:1:0:END");
	x_leave(e);
	assert_string_equal(client_words(), "RST:1:NO_ERROR");
}

static void test_a_tunnel_knows_no_limit_of_bodies(void **state)
{
	static const uint8_t zeros[1000];

	(void)state;
	client.limits.request_body_bytes = 10;
	open_tunnel(0, CONNECT);
	client_frame(H2_DATA, 0, 1, zeros, sizeof zeros);
	assert_string_equal(client_words(), "");
	assert_string_equal(test_end_words(&client.ups[0]), "CONNECT D1000");
	client_frame(H2_RST_STREAM, 0, 1, "\0\0\0\10", 4);
	client_words();
	assert_int_equal(client.ups[0].aborted, ERR_GONE);
}

/* RFC 9113 section 8.5: DATA only. */
static void test_trailers_in_a_tunnel(void **state)
{
	(void)state;
	open_tunnel(0, CONNECT);
	client_headers(1, H2_END_STREAM, "x: y\n");
	assert_string_equal(client_words(), "RST:1:PROTOCOL_ERROR");
}

static void test_a_tunnel_that_is_refused(void **state)
{
	(void)state;
	client_headers(1, 0, CONNECT);
	client_words();
	x_head(&client.ups[0].e, test_response(client.ups[0].e.x, 403));
	x_end(&client.ups[0].e);
	x_leave(&client.ups[0].e);
	assert_string_equal(client_words(), "HEADERS:1:END RST:1:NO_ERROR");
}

static void test_other_protocols_are_not_served(void **state)
{
	(void)state;
	client_headers(1, 0,
		       ":method: CONNECT\n:protocol: connect-udp\n:scheme: http\n:authority: test\n"
		       ":path: /ws\n");
	assert_string_equal(client_words(), "HEADERS:1:END RST:1:NO_ERROR");
	assert_string_equal(client.head, ":status: 501\n");
}

/* Switched off it is not announced, and then malformed. */
static void test_websockets_switched_off(void **state)
{
	static const uint8_t without[] = {0, 0, 24, H2_SETTINGS}, with[] = {0, 0, 30, H2_SETTINGS};

	(void)state;
	for (int off = 0; off < 2; off++) {
		client_init();
		client.host.no_websocket_over_h2 = off;
		client_open(true);
		loop_turn(0);
		assert_int_equal(recv(client.fd, client.in, 4, 0), 4);
		assert_memory_equal(client.in, off ? without : with, 4);
		while (recv(client.fd, client.in, sizeof client.in, 0) > 0)
			;
		client_send(H2_PREFACE, H2_PREFACE_BYTES);
		client_frame(H2_SETTINGS, 0, 0, NULL, 0);
		client_headers(1, 0, CONNECT);
		assert_string_equal(client_words(),
				    off ? "SETTINGS:ACK RST:1:PROTOCOL_ERROR" : "SETTINGS:ACK");
		client_close();
	}
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
	client_answer(0, 0);
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
	size_t n = client_block(GET, block, sizeof block);

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
	client_begin(0, 4);
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
	client_answer(0, 0);
	assert_string_equal(client_words(), "HEADERS:1:END");
	client_answer(1, 0);
	assert_string_equal(client_words(), "HEADERS:3:END CLOSED");
}

/* What follows on a stream that was refused was under way: it is no error. */
static void test_refused_streams_are_ignored(void **state)
{
	(void)state;
	client.limits.h2_streams = 1;
	client_get(1, "/");
	client_headers(3, 0, POST);
	assert_string_equal(client_words(), "RST:3:REFUSED_STREAM");
	client_frame(H2_DATA, 0, 3, "abc", 3);
	client_headers(3, H2_END_STREAM, "x: y\n");
	client_window_update(3, 10);
	client_frame(H2_RST_STREAM, 0, 3, "\0\0\0\10", 4);
	assert_string_equal(client_words(), "");
}

static void test_streams_beyond_the_last_are_ignored(void **state)
{
	(void)state;
	client_get(1, "/");
	h2c_drain(client.c);
	client_words();
	client_frame(H2_PING, H2_ACK, 0, "whatever", 8); /* not ours: does not count */
	assert_string_equal(client_words(), "");
	client_frame(H2_PING, H2_ACK, 0, "gh drain", 8);
	assert_string_equal(client_words(), "GOAWAY:1:NO_ERROR");
	client_headers(3, 0, POST);
	client_frame(H2_DATA, 0, 3, "abc", 3);
	client_headers(3, H2_END_STREAM, "x: y\n");
	assert_string_equal(client_words(), "RST:3:REFUSED_STREAM");
	client_answer(0, 0);
	assert_string_equal(client_words(), "HEADERS:1:END CLOSED");
}

static void test_a_client_that_answers_no_ping_is_drained_too(void **state)
{
	(void)state;
	client.timeouts.ping_timeout_ms = 20;
	client_get(1, "/");
	client_words();
	h2c_drain(client.c);
	client_words_until("GOAWAY:2147483647:NO_ERROR PING GOAWAY:1:NO_ERROR");
	client_answer(0, 0);
	assert_string_equal(client_words(), "HEADERS:1:END CLOSED");
}

static void test_a_connection_that_comes_while_draining(void **state)
{
	(void)state;
	client_init();
	client.draining = true;
	client_open(true);
	client_send(H2_PREFACE, H2_PREFACE_BYTES);
	client_frame(H2_SETTINGS, 0, 0, NULL, 0);
	assert_null(strstr(client_words(), "GOAWAY")); /* before it could begin */
	client_get(1, "/");
	assert_string_equal(client_words(), "GOAWAY:2147483647:NO_ERROR PING");
	client_frame(H2_PING, H2_ACK, 0, "gh drain", 8);
	client_answer(0, 0);
	assert_string_equal(client_words(), "GOAWAY:1:NO_ERROR HEADERS:1:END CLOSED");
	client_close();
}

/* Heads in memory are bounded by the connection's buffer, however many streams there are. */
static void test_many_large_heads(void **state)
{
	static char fields[60000];
	uint32_t id = 1;

	(void)state;
	client.limits.h2_connection_buffer_bytes = 100000;
	memset(fields, 'y', sizeof fields - 1);
	memcpy(fields, GET "x: ", sizeof(GET "x: ") - 1);
	fields[sizeof fields - 2] = '\n';
	for (; id < 99; id += 2) {
		uint8_t block[1 << 16];
		size_t n = client_block(fields, block, sizeof block), part = 16384;

		client_frame(H2_HEADERS, H2_END_STREAM, id, block, part);
		for (size_t at = part; at < n; at += part)
			client_frame(H2_CONTINUATION, n - at <= part ? H2_END_HEADERS : 0, id, block + at,
				     MIN(part, n - at));
		if (strstr(client_words(), "REFUSED_STREAM"))
			break;
	}
	assert_in_range(client.nups, 4, 6);
	client_answer(0, 0); /* makes room */
	client_words();
	client_get(id + 2, "/");
	assert_string_equal(client_words(), "");
}

static void test_last_words(void **state)
{
	(void)state;
	client_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
	shutdown(client.fd, SHUT_WR);
	assert_non_null(strstr(client_words(), "GOAWAY:0:PROTOCOL_ERROR CLOSED"));
	assert_int_equal(client.closed_why, ERR_H2);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLIENT_TEST(test_request_and_answer),
		CLIENT_TEST_RAW(test_preface_must_come),
		CLIENT_TEST_RAW(test_first_frame_must_be_settings),
		CLIENT_TEST_RAW(test_byte_by_byte),
		CLIENT_TEST(test_body_both_ways_and_trailers),
		CLIENT_TEST(test_interim_heads),
		CLIENT_TEST(test_malformed_requests),
		CLIENT_TEST(test_refused_requests_get_their_page),
		CLIENT_TEST(test_length_that_disagrees),
		CLIENT_TEST(test_extended_connect),
		CLIENT_TEST(test_a_tunnel_that_nothing_is_sent_through),
		CLIENT_TEST(test_a_tunnel_that_is_ended_while_it_opens),
		CLIENT_TEST(test_a_tunnel_ends_when_nobody_reads),
		CLIENT_TEST(test_a_tunnel_knows_no_limit_of_bodies),
		CLIENT_TEST(test_trailers_in_a_tunnel),
		CLIENT_TEST(test_a_tunnel_that_is_refused),
		CLIENT_TEST(test_other_protocols_are_not_served),
		cmocka_unit_test(test_websockets_switched_off),
		CLIENT_TEST(test_frames_on_idle_streams),
		CLIENT_TEST(test_data_after_the_end),
		CLIENT_TEST(test_headers_on_closed_and_on_skipped_streams),
		CLIENT_TEST(test_headers_on_a_skipped_stream),
		CLIENT_TEST(test_continuation),
		CLIENT_TEST(test_client_reset_frees_the_upstream),
		CLIENT_TEST(test_upstream_failure_after_the_head),
		CLIENT_TEST(test_stream_limit),
		CLIENT_TEST(test_two_step_drain),
		CLIENT_TEST(test_refused_streams_are_ignored),
		CLIENT_TEST(test_streams_beyond_the_last_are_ignored),
		CLIENT_TEST(test_a_client_that_answers_no_ping_is_drained_too),
		cmocka_unit_test(test_a_connection_that_comes_while_draining),
		CLIENT_TEST(test_many_large_heads),
		CLIENT_TEST_RAW(test_last_words),
		CLIENT_TEST(test_client_gone_frees_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
