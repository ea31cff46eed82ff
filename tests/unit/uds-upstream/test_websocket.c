/* Tunnels: who may open one, bytes and ends both ways, and the WebSocket handshake of an extended CONNECT. */
#include "tests/unit/uds-upstream/rig.h"
#include "uds-upstream/priv.h"
#include <openssl/evp.h>
#include <openssl/sha.h>

/* The example of RFC 6455 section 1.3. */
static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==";
static const char accept_value[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
static const char switching[] = "HTTP/1.1 101 Switching Protocols\r\n"
				"Connection: Upgrade\r\nUpgrade: WebSocket\r\n"
				"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static void tell_request(struct test_end *t)
{
	struct head *h = client_begin(t, "GET", "/ws");

	h->length = 0;
	h->websocket = true;
	head_add_id(&t->e.x->arena, h, FIELD_SEC_WEBSOCKET_KEY, STR("dGhlIHNhbXBsZSBub25jZQ=="));
	h->websocket_key = head_find(h, FIELD_SEC_WEBSOCKET_KEY)->value;
	x_head(&t->e, h);
	x_end(&t->e);
}

static int asked(struct test_end *t)
{
	int fd;

	tell_request(t);
	fd = peer_accept();
	assert_string_equal(peer_read_head(fd),
			    "GET /ws HTTP/1.1\r\nHost: test\r\n"
			    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
			    "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
	return fd;
}

static int opened(struct test_end *t)
{
	int fd = asked(t);

	peer_send(fd, switching);
	UNTIL(t->heads == 1);
	assert_int_equal(t->head->status, 101);
	assert_true(t->e.x->tunnel);
	return fd;
}

static bool got_is(struct test_end *t, const char *text)
{
	char got[256];

	got[buf_copy(&t->got, got, sizeof got - 1)] = '\0';
	return strcmp(got, text) == 0;
}

static void the_digest(void **state)
{
	char made[UP_WEBSOCKET_KEY_BYTES], other[UP_WEBSOCKET_KEY_BYTES];
	unsigned char nonce[32];

	(void)state;
	assert_true(up_websocket_is_accepted(str_from_c(key), str_from_c(accept_value)));
	assert_false(up_websocket_is_accepted(str_from_c(key), STR("s3pPLMBiTxaQ9kYGzzhZRbK+xOp=")));
	assert_false(up_websocket_is_accepted(str_from_c(key), STR("s3pPLMBiTxaQ9kYGzzhZRbK+xOo")));
	assert_false(up_websocket_is_accepted(str_from_c(key), STR_NONE));
	assert_false(up_websocket_is_accepted(STR("eGhlIHNhbXBsZSBub25jZQ=="), str_from_c(accept_value)));
	up_websocket_make_key(made);
	up_websocket_make_key(other);
	assert_memory_not_equal(made, other, sizeof made);
	assert_int_equal(EVP_DecodeBlock(nonce, (const unsigned char *)made, sizeof made), 18);
	assert_memory_equal(made + 22, "==", 2);
}

static void bytes_go_both_ways(void **state)
{
	struct test_end t;
	int fd = opened(&t);

	(void)state;
	for (int i = 0; i < 3; i++) {
		x_put(&t.e, "up\r\n", 4);
		loop_turn(0);
		assert_string_equal(peer_read_until(fd, "\r\n"), "up\r\n");
		peer_send(fd, "down");
		loop_turn(DEADLINE_MS);
		assert_int_equal(buf_len(&t.got), 4 * (i + 1));
	}
	assert_true(got_is(&t, "downdowndown"));
	/* a tunnel has no time-out here */
	rig.x_timeouts.upstream_idle_ms = rig.x_timeouts.upstream_response_ms = 1;
	rig_settle();
	x_end(&t.e);
	peer_sees_end(fd);
	UNTIL(t.ended);
	client_leave(&t);
	assert_int_equal(up_count(), 0);
}

static void bytes_behind_the_101_are_the_tunnels(void **state)
{
	struct test_end t;
	int fd = asked(&t);

	(void)state;
	peer_send(fd, switching);
	peer_send(fd, "first");
	UNTIL(got_is(&t, "first"));
	assert_string_equal(test_end_words(&t), "H101 D5");
	x_end(&t.e);
	peer_sees_end(fd);
	UNTIL(t.ended);
	client_leave(&t);
}

static void each_direction_ends_by_itself(void **state)
{
	struct test_end t;
	int fd = opened(&t);

	(void)state;
	/* the upstream's first */
	peer_send(fd, "bye");
	shutdown(fd, SHUT_WR);
	UNTIL(t.ended);
	assert_true(got_is(&t, "bye"));
	x_put(&t.e, "still", 5);
	peer_read_until(fd, "still");
	assert_int_equal(up_count(), 1);
	x_end(&t.e);
	peer_sees_end(fd);
	client_leave(&t);
	assert_int_equal(up_count(), 0);

	/* the client's first */
	fd = opened(&t);
	x_put(&t.e, "last", 4);
	x_end(&t.e);
	peer_read_until(fd, "last");
	rig_settle();
	assert_int_equal(up_count(), 1);
	peer_send(fd, "still");
	UNTIL(got_is(&t, "still"));
	assert_false(t.ended);
	shutdown(fd, SHUT_WR);
	UNTIL(t.ended);
	peer_sees_end(fd);
	client_leave(&t);
	assert_int_equal(up_count(), 0);
}

/* The upstream has closed altogether, and a client that does not know goes on sending. */
/* Bytes of the other side keep it; silence ends it, with an error that says so. */
static void a_half_open_tunnel_ends_in_time(void **state)
{
	uint64_t begin_ms;
	struct test_end t;
	int fd;

	(void)state;
	rig.x_timeouts.tunnel_half_open_ms = 150;
	for (int ours = 0; ours < 2; ours++) {
		fd = opened(&t);
		if (ours)
			x_end(&t.e);
		else
			shutdown(fd, SHUT_WR);
		for (int i = 0; i < 6; i++) {
			if (ours)
				peer_send(fd, "x");
			else
				x_put(&t.e, "x", 1);
			begin_ms = rig_now_ms();
			UNTIL(rig_now_ms() >= begin_ms + 40);
			assert_int_equal(t.aborted, ERR_OK);
		}
		UNTIL(t.aborted);
		assert_int_equal(t.aborted, ERR_TUNNEL_HALF_OPEN);
		assert_int_equal(up_count(), 0);
		test_end_fini(&t);
		close(fd);
	}
}

static void an_upstream_that_closed_takes_no_more(void **state)
{
	struct test_end t;
	int fd = opened(&t);

	(void)state;
	close(fd);
	UNTIL(t.ended);
	x_put(&t.e, "x", 1);
	UNTIL(up_count() == 0);
	client_leave(&t);
	assert_int_equal(rig.facts.error, ERR_OK);
}

static void a_reset_ends_both(void **state)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };
	struct test_end t;
	int fd = opened(&t);

	(void)state;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
	close(fd);
	client_loses(&t, ERR_UP_RESET);
	assert_int_equal(up_count(), 0);
}

static void a_client_that_goes_closes_it(void **state)
{
	struct test_end t;
	int fd = opened(&t);

	(void)state;
	x_abort(&t.e, ERR_RESET);
	test_end_fini(&t);
	peer_sees_end(fd);
	assert_int_equal(up_count(), 0);
}

static void a_full_pipe_holds_each_way(void **state)
{
	static char bytes[300 * 1024];
	size_t put = 0, taken = 0, sent = 0;
	struct test_end t;
	int fd;

	(void)state;
	rig.pipe_bytes = 1000;
	fd = opened(&t);
	t.hold = true;
	for (int i = 0; i < 1000; i++) {
		size_t n = x_room(&t.e, sizeof bytes - put);
		ssize_t r = send(fd, bytes, sizeof bytes - sent, MSG_NOSIGNAL);

		sent += r > 0 ? (size_t)r : 0;
		x_put(&t.e, bytes, n);
		put += n;
		loop_turn(0);
	}
	assert_in_range(x_fill(&t.e), 1, 1000);
	while (taken < put || buf_len(&t.got) < sent) {
		static char in[65536];
		ssize_t r = recv(fd, in, sizeof in, 0);

		taken += r > 0 ? (size_t)r : 0;
		test_end_take(&t, SIZE_MAX);
		t.len = 0;
		loop_turn(1);
	}
	client_leave(&t);
	peer_sees_end(fd);
}

/* ---- who may open one ---- */

static const char *const bad[] = {
	/* no digest, a wrong one, no Upgrade, another protocol, not nominated, from HTTP/1.0 */
	"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
	"Sec-WebSocket-Accept: AAAALMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
	"HTTP/1.0 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
};

static void only_a_valid_101_opens_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct test_end t;
		int fd = asked(&t);

		peer_send(fd, bad[i]);
		client_gets_error(&t, ERR_UP_BAD_UPGRADE);
		peer_sees_end(fd);
		assert_int_equal(up_count(), 0);
	}
}

static void nobody_who_did_not_ask_gets_one(void **state)
{
	/* the second has the digest of no key at all */
	static const char *const answers[] = {
		switching,
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
		"Sec-WebSocket-Accept: Kfh9QIsMVZcl6xEPYxPHzW8SZ8w=\r\n\r\n",
	};

	(void)state;
	assert_true(up_websocket_is_accepted(STR(""), STR("Kfh9QIsMVZcl6xEPYxPHzW8SZ8w=")));
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct test_end t;
		int fd;

		client_ask(&t, "GET", "/");
		fd = peer_accept();
		assert_null(strcasestr(peer_read_head(fd), "upgrade"));
		peer_send(fd, answers[i]);
		client_gets_error(&t, ERR_UP_BAD_UPGRADE);
		peer_sees_end(fd);
	}
}

/* Then it is plain HTTP, and the connection goes on. */
static void a_refused_upgrade_is_an_answer(void **state)
{
	struct test_end t;
	int fd = asked(&t);

	(void)state;
	peer_send(fd, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
	UNTIL(t.ended);
	assert_false(t.e.x->tunnel);
	client_gets(&t, 403, "no");
	rig_get_on(fd);
	close(fd);
}

static void a_stale_connection_costs_it_nothing(void **state)
{
	struct test_end t;
	int fd;

	(void)state;
	rig.may_retry = true;
	peer_close_late(rig_get_new());
	tell_request(&t);
	fd = peer_accept();
	peer_read_head(fd);
	peer_send(fd, switching);
	UNTIL(t.heads == 1);
	assert_int_equal(t.head->status, 101);
	client_leave(&t);
	peer_sees_end(fd);
}

/* An extended CONNECT (RFC 8441) knows no key: one is made, and its digest is nothing to the client. */
static void an_extended_connect_goes_up_as_a_get(void **state)
{
	unsigned char sum[SHA_DIGEST_LENGTH], digest[32];
	char text[128], answer[256];
	const char *request, *at;
	struct test_end t;
	struct head *h = client_begin(&t, "CONNECT", "/ws");
	int fd;

	(void)state;
	h->length = HEAD_LENGTH_UNKNOWN;
	h->websocket = true;
	head_add(&t.e.x->arena, h, STR("sec-websocket-protocol"), STR("chat"));
	x_head(&t.e, h);
	x_put(&t.e, "ahead", 5); /* waits for the tunnel */
	fd = peer_accept();
	request = peer_read_head(fd);
	assert_true(str_starts(str_from_c(request), STR("GET /ws HTTP/1.1\r\nHost: test\r\n")));
	assert_non_null(strstr(request, "sec-websocket-protocol: chat\r\n"));
	assert_non_null(strstr(request, "sec-websocket-version: 13\r\n"));
	assert_non_null(strstr(request, "Connection: upgrade\r\nUpgrade: websocket\r\n"));
	assert_null(strcasestr(request, "transfer-encoding"));
	assert_null(strcasestr(request, "content-length"));
	at = strstr(request, "sec-websocket-key: ");
	assert_non_null(at);
	snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", at + 19);
	SHA1((const unsigned char *)text, strlen(text), sum);
	EVP_EncodeBlock(digest, sum, sizeof sum);
	snprintf(answer, sizeof answer,
		 "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
		 "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
		 (char *)digest);
	peer_sees_nothing(fd);
	peer_send(fd, answer);
	UNTIL(t.heads == 1);
	peer_read_until(fd, "ahead");
	assert_int_equal(t.head->status, 101);
	assert_null(head_find(t.head, FIELD_SEC_WEBSOCKET_ACCEPT));
	assert_non_null(head_find_name(t.head, STR("sec-websocket-protocol")));
	/* the request as it came is untouched */
	assert_true(str_eq(t.e.x->request->method, STR("CONNECT")));
	assert_null(head_find(t.e.x->request, FIELD_SEC_WEBSOCKET_KEY));
	x_put(&t.e, "hi", 2);
	peer_read_until(fd, "hi");
	client_leave(&t);
	peer_sees_end(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_digest),
		RIG_TEST(bytes_go_both_ways),
		RIG_TEST_TCP(bytes_go_both_ways),
		RIG_TEST(bytes_behind_the_101_are_the_tunnels),
		RIG_TEST(each_direction_ends_by_itself),
		RIG_TEST_TCP(each_direction_ends_by_itself),
		RIG_TEST(a_half_open_tunnel_ends_in_time),
		RIG_TEST_TCP(a_half_open_tunnel_ends_in_time),
		RIG_TEST(an_upstream_that_closed_takes_no_more),
		RIG_TEST_TCP(a_reset_ends_both),
		RIG_TEST(a_client_that_goes_closes_it),
		RIG_TEST(a_full_pipe_holds_each_way),
		RIG_TEST(only_a_valid_101_opens_one),
		RIG_TEST(nobody_who_did_not_ask_gets_one),
		RIG_TEST(a_refused_upgrade_is_an_answer),
		RIG_TEST(a_stale_connection_costs_it_nothing),
		RIG_TEST(an_extended_connect_goes_up_as_a_get),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
