/* What comes back from an upstream: heads, bodies, ends, and everything that may be wrong with them. */
#include "tests/unit/uds-upstream/rig.h"

/* ---- broken answers ---- */

/* After `text` the peer closes. None of it reaches the client but as the error's page. */
static const struct {
	const char *text;
	enum err want;
} broken_heads[] = {
	{ "", ERR_UP_CLOSED },
	{ "garbage\r\n\r\n", ERR_UP_BAD_HEAD },
	{ "<html>HTTP/0.9</html>\r\n", ERR_UP_BAD_HEAD },
	{ "\r\nHTTP/1.1 200 OK\r\n\r\n", ERR_UP_BAD_HEAD },
	{ "HTTP/2.0 200 OK\r\n\r\n", ERR_UP_BAD_HEAD },
	{ "HTTP/1.1 20 OK\r\n\r\n", ERR_UP_BAD_HEAD },
	{ "HTTP/1.1 2000 OK\r\n\r\n", ERR_UP_BAD_HEAD },
	{ "HTTP/1.1 2xx OK\r\n\r\n", ERR_UP_BAD_HEAD },
	{ "HTTP/1.1 099 OK\r\n\r\n", ERR_UP_BAD_HEAD },
	{ "HTTP/1.1 200\tOK\r\n\r\n", ERR_UP_BAD_HEAD },
	{ "HTTP/1.1 200 OK\n\n", ERR_UP_BAD_HEAD },
	{ "HTTP/1.1 200 O\001K\r\n\r\n", ERR_UP_BAD_HEAD },
	{ "HTTP/1.1 200 OK\r\nA: b\001c\r\n\r\n", ERR_UP_BAD_HEAD },
	{ "HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", ERR_UP_BAD_HEAD },
	{ "HTTP/1.1 200 OK\r\n: c\r\n\r\n", ERR_UP_BAD_HEAD },
	{ "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", ERR_UP_BAD_HEAD },
	{ "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", ERR_UP_BAD_HEAD },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy", ERR_UP_BAD_FRAMING },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nxy", ERR_UP_BAD_FRAMING },
	{ "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx", ERR_UP_BAD_FRAMING },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\nx", ERR_UP_BAD_FRAMING },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nx", ERR_UP_BAD_FRAMING },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nx", ERR_UP_BAD_FRAMING },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	  ERR_UP_BAD_FRAMING },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", ERR_UP_BAD_FRAMING },
	{ "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ERR_UP_BAD_FRAMING },
	{ "HTTP/1.1 200 OK", ERR_UP_CLOSED },
	{ "HTTP/1.1 200 OK\r\nContent-Le", ERR_UP_CLOSED },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r", ERR_UP_CLOSED },
	{ "HTTP/1.1 100 Continue\r\n\r\n", ERR_UP_CLOSED },
	{ "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n", ERR_UP_CLOSED },
	{ "HTTP/1.1 103 Early Hints\r\n\r\ngarbage\r\n", ERR_UP_BAD_HEAD },
	{ "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
	  ERR_UP_BAD_UPGRADE },
	{ "HTTP/1.1 101 Switching Protocols\r\n\r\n", ERR_UP_BAD_UPGRADE },
};

static void a_broken_head_is_502(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(broken_heads); i++) {
		struct test_end t;
		int fd = rig_asked(&t, "GET");

		rig.aborted = ERR_OK;
		peer_send(fd, broken_heads[i].text);
		close(fd);
		UNTIL(rig.aborted);
		if (rig.aborted != broken_heads[i].want)
			fail_msg("%s: %s", broken_heads[i].text, err_name(rig.aborted));
		assert_int_equal(err_status(rig.aborted), 502);
		client_gets(&t, 502, "");
		assert_int_equal(rig.facts.error, broken_heads[i].want);
		assert_int_equal(up_count(), 0);
	}
}

/* It makes no difference in what pieces they come. */
static void a_broken_head_is_502_byte_by_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(broken_heads); i++) {
		struct test_end t;
		int fd = rig_asked(&t, "GET");

		rig.aborted = ERR_OK;
		for (const char *at = broken_heads[i].text; *at && !rig.aborted; at++) {
			if (send(fd, at, 1, MSG_NOSIGNAL) < 0)
				break;
			loop_turn(0);
		}
		close(fd);
		UNTIL(rig.aborted);
		if (rig.aborted != broken_heads[i].want)
			fail_msg("%s: %s", broken_heads[i].text, err_name(rig.aborted));
		client_gets(&t, 502, "");
	}
}

static void a_nul_in_a_head_is_502(void **state)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n";
	struct test_end t;
	int fd = rig_asked(&t, "GET");

	(void)state;
	peer_send_bytes(fd, text, sizeof text - 1);
	client_gets_error(&t, ERR_UP_BAD_HEAD);
	peer_sees_end(fd);
}

/* A whole head, and then a body that is broken or cut: what came of it, and never an END. */
static const struct {
	const char *head, *body;
	enum err want;
	const char *got;
} broken_bodies[] = {
	{ "Content-Length: 5\r\n", "abc", ERR_UP_BODY_SHORT, "abc" },
	{ "Content-Length: 5\r\n", "", ERR_UP_BODY_SHORT, "" },
	{ "Transfer-Encoding: chunked\r\n", "", ERR_UP_BODY_SHORT, "" },
	{ "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n", ERR_UP_BODY_SHORT, "abc" },
	{ "Transfer-Encoding: chunked\r\n", "3\r\nab", ERR_UP_BODY_SHORT, "ab" },
	{ "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n", ERR_UP_BODY_SHORT, "abc" },
	{ "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\nA: b\r\n", ERR_UP_BODY_SHORT, "abc" },
	{ "Transfer-Encoding: chunked\r\n", "x\r\n", ERR_UP_BAD_CHUNK, "" },
	{ "Transfer-Encoding: chunked\r\n", "-1\r\n", ERR_UP_BAD_CHUNK, "" },
	{ "Transfer-Encoding: chunked\r\n", "0x3\r\nabc\r\n0\r\n\r\n", ERR_UP_BAD_CHUNK, "" },
	{ "Transfer-Encoding: chunked\r\n", "1_0\r\n", ERR_UP_BAD_CHUNK, "" },
	{ "Transfer-Encoding: chunked\r\n", "\r\n", ERR_UP_BAD_CHUNK, "" },
	{ "Transfer-Encoding: chunked\r\n", "3\nabc\r\n", ERR_UP_BAD_CHUNK, "" },
	{ "Transfer-Encoding: chunked\r\n", "3\r\nabcd\r\n", ERR_UP_BAD_CHUNK, "abc" },
	{ "Transfer-Encoding: chunked\r\n", "3;a=\001\r\nabc\r\n", ERR_UP_BAD_CHUNK, "" },
	{ "Transfer-Encoding: chunked\r\n", "8000000000000000\r\n", ERR_UP_BAD_CHUNK, "" },
	{ "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\nA b: c\r\n\r\n", ERR_UP_BAD_HEAD, "abc" },
};

static void a_broken_body_is_never_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(broken_bodies); i++) {
		for (int at_once = 0; at_once < 2; at_once++) {
			struct test_end t;
			int fd = rig_asked(&t, "GET");
			char got[64];

			peer_send(fd, "HTTP/1.1 200 OK\r\n");
			peer_send(fd, broken_bodies[i].head);
			peer_send(fd, "\r\n");
			if (!at_once)
				UNTIL(t.heads == 1);
			peer_send(fd, broken_bodies[i].body);
			close(fd);
			UNTIL(t.aborted || t.ended);
			got[buf_copy(&t.got, got, sizeof got - 1)] = '\0';
			assert_string_equal(got, broken_bodies[i].got);
			client_loses(&t, broken_bodies[i].want);
			assert_int_equal(rig.facts.status, 200);
			assert_int_equal(rig.facts.error, broken_bodies[i].want);
			assert_int_equal(up_count(), 0);
		}
	}
}

static void a_reset_within_a_body_is_no_end(void **state)
{
	static const char *const heads[] = { "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
					     "HTTP/1.1 200 OK\r\n\r\nabc" };
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		struct test_end t;
		int fd = rig_asked(&t, "GET");

		peer_send(fd, heads[i]);
		UNTIL(buf_len(&t.got) == 3);
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
		close(fd);
		client_loses(&t, ERR_UP_RESET);
	}
}

static void a_reset_instead_of_an_answer_is_502(void **state)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };
	struct test_end t;
	int fd = rig_asked(&t, "GET");

	(void)state;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
	close(fd);
	client_gets_error(&t, ERR_UP_RESET);
}

/* ---- limits ---- */

static void too_many_interim_heads_are_502(void **state)
{
	struct test_end t;
	int fd = rig_asked(&t, "GET");

	(void)state;
	/* also those that are not passed on count */
	for (int i = 0; i < 16; i++)
		peer_send(fd, "HTTP/1.1 100 Continue\r\n\r\n");
	for (int i = 0; i < 16; i++)
		peer_send(fd, "HTTP/1.1 103 Early Hints\r\n\r\n");
	UNTIL(t.heads == 16);
	assert_int_equal(t.head->status, 103);
	peer_send(fd, "HTTP/1.1 103 Early Hints\r\n\r\n");
	client_gets_error(&t, ERR_UP_INTERIM_MANY);
	peer_drain(fd);
}

static void a_large_head_passes_and_a_larger_one_is_502(void **state)
{
	static char value[200 * 1024];
	static const size_t sizes[] = { 24 * 1024, 127 * 1024, 129 * 1024, sizeof value - 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct test_end t;
		int fd = rig_asked(&t, "GET");

		memset(value, 'v', sizes[i]);
		peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nA: ");
		/* larger than limits.response-head: it may be closed before all is sent */
		for (size_t at = 0; at < sizes[i];) {
			ssize_t r = send(fd, value + at, sizes[i] - at, MSG_NOSIGNAL);

			if (r < 0 && errno != EAGAIN)
				break;
			at += r > 0 ? (size_t)r : 0;
			loop_turn(0);
		}
		if (sizes[i] < limits_default.response_head_bytes) {
			peer_send(fd, "\r\n\r\nx");
			UNTIL(t.heads);
			assert_int_equal(head_find_name(t.head, STR("a"))->value.n, sizes[i]);
			client_gets(&t, 200, "x");
			assert_int_equal(slab_count(), 0);
			close(fd);
			UNTIL(up_count() == 0);
		} else {
			client_gets_error(&t, ERR_UP_HEAD_LARGE);
			peer_drain(fd);
		}
	}
}

static void a_limit_of_any_size_bounds_a_line(void **state)
{
	static char value[512 * 1024];
	struct test_end t;
	int fd;

	(void)state;
	rig.x_limits.response_head_bytes = LIMIT_NONE;
	fd = rig_asked(&t, "GET");
	peer_send(fd, "HTTP/1.1 200 OK\r\nA: ");
	memset(value, 'v', sizeof value);
	for (size_t at = 0; at < sizeof value;) {
		ssize_t r = send(fd, value + at, sizeof value - at, MSG_NOSIGNAL);

		if (r < 0 && errno != EAGAIN)
			break;
		at += r > 0 ? (size_t)r : 0;
		loop_turn(0);
	}
	client_gets_error(&t, ERR_UP_HEAD_LARGE);
	peer_drain(fd);
}

static void too_many_fields_are_502(void **state)
{
	struct test_end t;
	int fd = rig_asked(&t, "GET");

	(void)state;
	peer_send(fd, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i <= 1024; i++)
		peer_send(fd, "A: b\r\n");
	client_gets_error(&t, ERR_UP_HEAD_LARGE);
	peer_drain(fd);
}

static void large_trailers_break_the_answer_off(void **state)
{
	struct test_end t;
	int fd = rig_asked(&t, "GET");

	(void)state;
	peer_send(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n");
	for (int i = 0; i < 17; i++) {
		static char line[1024 + 1];

		memset(line, 'a', 1024);
		memcpy(line, "T: ", 3);
		memcpy(line + 1022, "\r\n", 2);
		if (send(fd, line, 1024, MSG_NOSIGNAL) < 0)
			break;
		rig_settle();
	}
	client_loses(&t, ERR_UP_HEAD_LARGE);
	peer_drain(fd);
}

/* ---- interim heads ---- */

static void an_interim_head_is_never_the_answer(void **state)
{
	struct test_end t;
	int fd = rig_asked(&t, "GET");

	(void)state;
	peer_send(fd, "HTTP/1.1 100 Continue\r\n\r\n");
	peer_send(fd, "HTTP/1.1 102 Processing\r\n\r\n");
	peer_send(fd, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
	UNTIL(t.heads == 2);
	assert_false(t.e.x->told_final);
	assert_int_equal(t.head->kind, HEAD_INTERIM);
	assert_non_null(head_find(t.head, FIELD_LINK));
	peer_send(fd, "HTTP/1.1 199 Whatever\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	UNTIL(t.ended);
	assert_string_equal(test_end_words(&t), "H102 H103 H199 H200 D2 END");
	client_gets(&t, 200, "ok");
	rig_get_on(fd);
	close(fd);
}

/* ---- how bodies end ---- */

/* Whole answers, in one piece, in two, and byte by byte; all but the last leave the connection in use. */
static const struct {
	const char *method, *text;
	unsigned status;
	int64_t length;
	const char *body, *words;
} whole[] = {
	{ "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, 5, "hello", "" },
	{ "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, 0, "", "H200 END" },
	{ "GET", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", 200, 1, "x", "" },
	{ "GET", "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\nx", 200, 1, "x", "" },
	{ "GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 200, 1, "x", "" },
	{ "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n00\r\n\r\n", 200,
	  -1, "hello", "" },
	{ "GET",
	  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nT: v\r\n\r\n",
	  200, -1, "hello", "" },
	{ "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, -1, "", "H200 END" },
	{ "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, 0, "", "H204 END" },
	{ "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, 0, "", "H204 END" },
	{ "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, 5, "", "H304 END" },
	{ "GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", 304, -1, "", "H304 END" },
	{ "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, 5, "", "H200 END" },
	{ "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, -1, "", "H200 END" },
	{ "HEAD", "HTTP/1.1 404 Not Found\r\n\r\n", 404, -1, "", "H404 END" },
	{ "BREW", "HTTP/1.1 418 I'm a teapot\r\nContent-Length: 1\r\n\r\nx", 418, 1, "x", "" },
};

static void whole_answers(void **state)
{
	int fd = rig_get_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(whole); i++) {
		size_t n = strlen(whole[i].text);

		for (size_t split = 0; split <= n; split++) {
			struct test_end t;

			client_ask(&t, whole[i].method, "/");
			peer_read_head(fd);
			peer_send_bytes(fd, whole[i].text, split);
			loop_turn(0);
			peer_send_bytes(fd, whole[i].text + split, n - split);
			UNTIL(t.ended || t.aborted);
			assert_int_equal(t.e.x->response->length, whole[i].length);
			assert_int_equal(t.e.x->response->kind, HEAD_FINAL);
			if (*whole[i].words)
				assert_string_equal(test_end_words(&t), whole[i].words);
			if (strstr(whole[i].text, "T: v")) {
				assert_int_equal(t.head->kind, HEAD_TRAILERS);
				assert_int_equal(t.head->nfields, 1);
			}
			client_gets(&t, whole[i].status, whole[i].body);
			assert_int_equal(up_count(), 1);
		}
		for (size_t at = 0; at < 1; at++) {
			struct test_end t;

			client_ask(&t, whole[i].method, "/");
			peer_read_head(fd);
			for (size_t j = 0; j < n; j++) {
				peer_send_bytes(fd, whole[i].text + j, 1);
				loop_turn(0);
			}
			client_gets(&t, whole[i].status, whole[i].body);
		}
	}
	peer_accepts_none();
	close(fd);
}

static void a_body_that_ends_with_the_connection_is_whole(void **state)
{
	static const char *const heads[] = { "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n",
					     "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		for (int at_once = 0; at_once < 2; at_once++) {
			struct test_end t;
			int fd = rig_asked(&t, "GET");

			peer_send(fd, heads[i]);
			if (!at_once)
				UNTIL(t.heads == 1);
			peer_send(fd, "hel");
			if (!at_once)
				UNTIL(buf_len(&t.got) == 3);
			assert_false(t.ended);
			peer_send(fd, "lo");
			close(fd);
			client_gets(&t, 200, "hello");
			assert_int_equal(up_count(), 0);
		}
	}
}

/* Fields reach the client end as they came: order, duplicates, case; only what is hop-by-hop is marked. */
static void fields_pass(void **state)
{
	static const char text[] = "HTTP/1.1 200 Fine\r\nB: 1\r\nSet-Cookie: a\r\na: 2\r\nSet-Cookie: b\r\n"
				   "Connection: x-hop\r\nX-Hop: 3\r\nKeep-Alive: timeout=5\r\n"
				   "Content-Length: 0\r\n\r\n";
	static const char *const want[] = { "B", "Set-Cookie", "a", "Set-Cookie", "Content-Length" };
	struct test_end t;
	int fd = rig_asked(&t, "GET");
	size_t n = 0;

	(void)state;
	peer_send(fd, text);
	UNTIL(t.ended);
	assert_true(str_eq(t.head->reason, STR("Fine")));
	head_for_each(f, t.head)
	{
		assert_true(n < ARRAY_SIZE(want));
		assert_true(str_eq(f->name, str_from_c(want[n])));
		n++;
	}
	assert_int_equal(n, ARRAY_SIZE(want));
	client_gets(&t, 200, "");
	close(fd);
}

/* Events of a stream are told in the turn that they come. */
static void bytes_move_in_the_turn_they_come(void **state)
{
	static const char *const heads[] = { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
					     "HTTP/1.1 200 OK\r\n\r\n",
					     "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		struct test_end t;
		int fd = rig_asked(&t, "GET");

		peer_send(fd, heads[i]);
		UNTIL(t.heads == 1);
		for (int event = 1; event <= 10; event++) {
			peer_send(fd, i == 0 ? "9\r\ndata: x\n\n\r\n" : "data: x\n\n");
			loop_turn(DEADLINE_MS);
			assert_int_equal(buf_len(&t.got), 9 * event);
		}
		client_leave(&t);
		peer_drain(fd);
	}
}

/* ---- flow ---- */

static void a_full_pipe_stops_reading(void **state)
{
	static char body[1024 * 1024];
	size_t sent = 0, before = 0;
	struct test_end t;
	int fd = rig_asked(&t, "GET");

	(void)state;
	t.hold = true;
	peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n");
	UNTIL(t.heads == 1);
	do {
		ssize_t r = send(fd, body + sent, sizeof body - sent, MSG_NOSIGNAL);

		before = sent;
		sent += r > 0 ? (size_t)r : 0;
		rig_settle();
	} while (sent > before);
	assert_in_range(x_fill(&t.e), 1, limits_default.pipe_bytes);
	assert_in_range(sent, 1, sizeof body - 1);
	/* a reader that takes makes it go on */
	while (!t.ended) {
		test_end_take(&t, SIZE_MAX);
		t.len = 0;
		loop_turn(1);
		if (sent < sizeof body) {
			ssize_t r = send(fd, body + sent, sizeof body - sent, MSG_NOSIGNAL);

			sent += r > 0 ? (size_t)r : 0;
		}
	}
	assert_int_equal(buf_len(&t.got), sizeof body);
	client_gets(&t, 200, NULL);
	rig_get_on(fd);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		RIG_TEST(a_broken_head_is_502),
		RIG_TEST_TCP(a_broken_head_is_502),
		RIG_TEST(a_broken_head_is_502_byte_by_byte),
		RIG_TEST(a_nul_in_a_head_is_502),
		RIG_TEST(a_broken_body_is_never_whole),
		RIG_TEST_TCP(a_broken_body_is_never_whole),
		RIG_TEST_TCP(a_reset_within_a_body_is_no_end),
		RIG_TEST_TCP(a_reset_instead_of_an_answer_is_502),
		RIG_TEST(too_many_interim_heads_are_502),
		RIG_TEST(a_large_head_passes_and_a_larger_one_is_502),
		RIG_TEST(a_limit_of_any_size_bounds_a_line),
		RIG_TEST(too_many_fields_are_502),
		RIG_TEST(large_trailers_break_the_answer_off),
		RIG_TEST(an_interim_head_is_never_the_answer),
		RIG_TEST(whole_answers),
		RIG_TEST(a_body_that_ends_with_the_connection_is_whole),
		RIG_TEST_TCP(a_body_that_ends_with_the_connection_is_whole),
		RIG_TEST(fields_pass),
		RIG_TEST(bytes_move_in_the_turn_they_come),
		RIG_TEST(a_full_pipe_stops_reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
