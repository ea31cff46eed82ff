/*
 * Heads as they are written: strict HTTP/1.1, whatever came in.
 */
#include "tests/unit/h1/wire.h"

/* The whole of a buffer as a C string; the buffer is emptied. */
static const char *text_of(struct buf *b, char *out, size_t cap)
{
	size_t n = buf_copy(b, out, cap - 1);

	assert_int_equal(n, buf_len(b));
	out[n] = 0;
	buf_drop(b, n);
	return out;
}

/* Parses a head and writes it again, as it would go up. */
static void check_request(const char *in, const char *want)
{
	struct h1_parser p;
	struct arena a;
	struct buf b;
	char out[4096];

	arena_init(&a);
	buf_init(&b);
	h1_parser_init(&p, H1_REQUEST, &wire_limits, &a, NULL);
	assert_int_equal(h1_parse(&p, in, strlen(in)), strlen(in));
	assert_true(p.done);
	h1_write_request(&b, p.head, h1_request_framing(p.head));
	assert_string_equal(text_of(&b, out, sizeof out), want);
	buf_fini(&b);
	arena_fini(&a);
}

static void writes_requests(void **state)
{
	(void)state;
	check_request("GET /a?b HTTP/1.1" CR "Host:  a" CR "B:c" CR "a:  d " CR CR,
		      "GET /a?b HTTP/1.1" CR "Host: a" CR "B: c" CR "a: d" CR CR);
	/* RFC 9112 section 3.2.2 */
	check_request("GET http://b/c HTTP/1.1" CR "X: y" CR "Host: a" CR CR,
		      "GET /c HTTP/1.1" CR "X: y" CR "Host: b" CR CR);
	/* RFC 9112 section 2.3: what goes up is our own version */
	check_request("GET / HTTP/1.0" CR CR, "GET / HTTP/1.1" CR "Host: " CR CR);
	/* RFC 9110 section 7.6.1 */
	check_request("GET / HTTP/1.1" CR "Host: a" CR "Connection: b" CR "B: c" CR "TE: d" CR CR,
		      "GET / HTTP/1.1" CR "Host: a" CR CR);
	check_request("OPTIONS * HTTP/1.1" CR "Host: a" CR CR, "OPTIONS * HTTP/1.1" CR "Host: a" CR CR);
}

static void writes_request_framing(void **state)
{
	(void)state;
	check_request("POST / HTTP/1.1" CR "Host: a" CR "content-length: 05" CR "B: c" CR
		      "Content-Length: 5" CR CR,
		      "POST / HTTP/1.1" CR "Host: a" CR "content-length: 5" CR "B: c" CR CR);
	check_request("POST / HTTP/1.1" CR "Host: a" CR "Transfer-Encoding: CHUNKED" CR "B: c" CR CR,
		      "POST / HTTP/1.1" CR "Host: a" CR "B: c" CR "Transfer-Encoding: chunked" CR CR);
	check_request("DELETE / HTTP/1.1" CR "Host: a" CR "Content-Length: 0" CR CR,
		      "DELETE / HTTP/1.1" CR "Host: a" CR "Content-Length: 0" CR CR);
	check_request("DELETE / HTTP/1.1" CR "Host: a" CR CR, "DELETE / HTTP/1.1" CR "Host: a" CR CR);
	/* RFC 9110 section 8.6 */
	check_request("POST / HTTP/1.1" CR "Host: a" CR CR,
		      "POST / HTTP/1.1" CR "Host: a" CR "Content-Length: 0" CR CR);
}

static void writes_upgrades(void **state)
{
	(void)state;
	check_request("GET / HTTP/1.1" CR "Host: a" CR "Connection: keep-alive, upgrade, b" CR "B: c" CR
		      "Upgrade: websocket, h2c" CR "Sec-WebSocket-Key: d" CR CR,
		      "GET / HTTP/1.1" CR "Host: a" CR "Sec-WebSocket-Key: d" CR "Connection: upgrade" CR
		      "Upgrade: websocket" CR CR);
	check_request("GET / HTTP/1.1" CR "Host: a" CR "Connection: upgrade" CR "Upgrade: h2c" CR CR,
		      "GET / HTTP/1.1" CR "Host: a" CR CR);
}

struct response {
	const char *method, *in;
	uint8_t client_minor;
	bool keep_alive;
	const char *want;
};

#define OK "HTTP/1.1 200 OK" CR

static const struct response responses[] = {
	{"GET", OK "Content-Length: 3" CR "A: b" CR CR, 1, true, OK "Content-Length: 3" CR "A: b" CR CR},
	{"GET", OK "A: b" CR "Content-Length: 3" CR CR, 1, false,
	 OK "A: b" CR "Content-Length: 3" CR "Connection: close" CR CR},
	{"GET", OK "Content-Length: 3" CR CR, 0, true,
	 OK "Content-Length: 3" CR "Connection: keep-alive" CR CR},
	{"GET", OK CR, 1, true, OK "Transfer-Encoding: chunked" CR CR},
	{"GET", OK "Transfer-Encoding: chunked" CR CR, 1, true, OK "Transfer-Encoding: chunked" CR CR},
	{"GET", OK "Transfer-Encoding: chunked" CR CR, 0, false, OK "Connection: close" CR CR},
	{"HEAD", OK "Content-Length: 3" CR CR, 1, true, OK "Content-Length: 3" CR CR},
	{"HEAD", OK CR, 1, true, OK CR},
	{"GET", "HTTP/1.1 204 x" CR "Content-Length: 3" CR CR, 1, true, "HTTP/1.1 204 x" CR CR},
	{"GET", "HTTP/1.1 304 x" CR "Content-Length: 3" CR CR, 1, true,
	 "HTTP/1.1 304 x" CR "Content-Length: 3" CR CR},
	{"GET", "HTTP/1.1 304 x" CR CR, 1, true, "HTTP/1.1 304 x" CR CR},
	{"GET", "HTTP/1.0 200" CR "Content-Length: 0" CR CR, 1, true,
	 "HTTP/1.1 200 " CR "Content-Length: 0" CR CR},
	/* RFC 9110 section 15.2: without framing, and the connection goes on */
	{"GET", "HTTP/1.1 103 Early Hints" CR "Link: a" CR CR, 1, false,
	 "HTTP/1.1 103 Early Hints" CR "Link: a" CR CR},
	{"GET", "HTTP/1.1 101 x" CR "Upgrade: websocket" CR "Connection: Upgrade" CR "A: b" CR CR, 1, false,
	 "HTTP/1.1 101 x" CR "A: b" CR "Connection: upgrade" CR "Upgrade: websocket" CR CR},
	{"GET", OK "Connection: a" CR "A: b" CR "Keep-Alive: c" CR "Content-Length: 0" CR CR, 1, true,
	 OK "Content-Length: 0" CR CR},
};

static void writes_responses(void **state)
{
	char out[1024];

	(void)state;
	for (const struct response *r = responses; r < responses + ARRAY_SIZE(responses); r++) {
		struct head *request;
		struct h1_parser p;
		struct arena a;
		struct buf b;

		arena_init(&a);
		buf_init(&b);
		request = wire_request(&a, r->method);
		h1_parser_init(&p, H1_RESPONSE, &wire_limits, &a, request);
		assert_int_equal(h1_parse(&p, r->in, strlen(r->in)), strlen(r->in));
		h1_write_response(&b, p.head, h1_response_framing(request, p.head, r->client_minor),
				  r->keep_alive, r->client_minor);
		assert_string_equal(text_of(&b, out, sizeof out), r->want);
		buf_fini(&b);
		arena_fini(&a);
	}
}

/* Across the ends of slabs, whatever the head's length. */
static void writes_across_slabs(void **state)
{
	static const char want_line[] = "GET / HTTP/1.1" CR "Host: a" CR;
	static char value[3 * SLAB_BYTES], out[4 * SLAB_BYTES];

	(void)state;
	memset(value, 'v', sizeof value);
	for (size_t n = 0; n<sizeof value; n += n> SLAB_BYTES - 100 && n < SLAB_BYTES ? 1 : 977) {
		struct head *h;
		struct arena a;
		struct buf b;

		arena_init(&a);
		buf_init(&b);
		h = wire_request(&a, "GET");
		h->path = STR("/");
		h->length = 0;
		head_add(&a, h, STR("Host"), STR("a"));
		head_add(&a, h, STR("X"), str_of(value, n));
		head_add(&a, h, STR("Y"), STR("z"));
		h1_write_request(&b, h, H1_NO_BODY);
		text_of(&b, out, sizeof out);
		assert_memory_equal(out, want_line, sizeof want_line - 1);
		assert_int_equal(strlen(out), sizeof want_line - 1 + 3 + n + 2 + 6 + 2);
		assert_string_equal(out + strlen(out) - 10, CR "Y: z" CR CR);
		buf_fini(&b);
		arena_fini(&a);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_requests),     cmocka_unit_test(writes_request_framing),
		cmocka_unit_test(writes_upgrades),     cmocka_unit_test(writes_responses),
		cmocka_unit_test(writes_across_slabs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
