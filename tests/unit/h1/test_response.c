/*
 * Response heads: an upstream's are read as strictly as a client's, and every error is a 502.
 */
#include "tests/unit/h1/wire.h"

#define OK "HTTP/1.1 200 OK" CR

struct bad {
	const char *section;
	enum err err;
	const char *in;
	size_t n;
};
#define BAD(section, err, in)                                                                                \
	{                                                                                                    \
		section, ERR_UP_##err, in, sizeof(in) - 1                                                    \
	}

static const struct bad bads[] = {
	BAD("9112 4 garbage", BAD_HEAD, "garbage" CR CR),
	BAD("9112 4 HTTP/0.9", BAD_HEAD, "<html>" CR "</html>" CR),
	BAD("9112 4 empty line before", BAD_HEAD, CR OK CR),
	BAD("9112 2.3 version", BAD_HEAD, "HTTP/1.2 200 OK" CR CR),
	BAD("9112 2.3 HTTP/2", BAD_HEAD, "HTTP/2.0 200 OK" CR CR),
	BAD("9112 2.3 lower case", BAD_HEAD, "http/1.1 200 OK" CR CR),
	BAD("9112 4 no status", BAD_HEAD, "HTTP/1.1" CR CR),
	BAD("9112 4 empty status", BAD_HEAD, "HTTP/1.1 " CR CR),
	BAD("9112 4 two digits", BAD_HEAD, "HTTP/1.1 20 OK" CR CR),
	BAD("9112 4 two digits alone", BAD_HEAD, "HTTP/1.1 20" CR CR),
	BAD("9112 4 four digits", BAD_HEAD, "HTTP/1.1 2000 OK" CR CR),
	BAD("9112 4 letters", BAD_HEAD, "HTTP/1.1 2x0 OK" CR CR),
	BAD("9112 4 sign", BAD_HEAD, "HTTP/1.1 -20 OK" CR CR),
	BAD("9112 4 below 100", BAD_HEAD, "HTTP/1.1 099 OK" CR CR),
	BAD("9112 4 two spaces", BAD_HEAD, "HTTP/1.1  200 OK" CR CR),
	BAD("9112 4 tab", BAD_HEAD, "HTTP/1.1\t200 OK" CR CR),
	BAD("9112 4 no space before the reason", BAD_HEAD, "HTTP/1.1 200OK" CR CR),
	BAD("9112 4 NUL in the reason", BAD_HEAD, "HTTP/1.1 200 O\0K" CR CR),
	BAD("9112 4 CR in the reason", BAD_HEAD, "HTTP/1.1 200 O\rK" CR CR),
	BAD("9112 2.2 bare LF", BAD_HEAD, "HTTP/1.1 200 OK\n\n"),
	BAD("9112 2.2 bare LF in a field", BAD_HEAD, OK "a: b\n" CR),
	BAD("9112 5.2 obs-fold", BAD_HEAD, OK "a: b" CR " c" CR CR),
	BAD("9110 5.1 empty name", BAD_HEAD, OK ": b" CR CR),
	BAD("9110 5.1 empty name with space", BAD_HEAD, OK " : b" CR CR),
	BAD("9110 5.1 no colon", BAD_HEAD, OK "a" CR CR),
	BAD("9110 5.1 space within a name", BAD_HEAD, OK "a b: c" CR CR),
	BAD("9110 5.5 NUL", BAD_HEAD, OK "a: b\0" CR CR),
	BAD("9110 5.5 control", BAD_HEAD, OK "a: \x01" CR CR),
	BAD("9112 6.3 differing", BAD_FRAMING, OK "Content-Length: 5" CR "Content-Length: 6" CR CR),
	BAD("9110 8.6 negative", BAD_FRAMING, OK "Content-Length: -5" CR CR),
	BAD("9110 8.6 junk", BAD_FRAMING, OK "Content-Length: 5;" CR CR),
	BAD("9110 8.6 list", BAD_FRAMING, OK "Content-Length: 5, 5" CR CR),
	BAD("9110 8.6 overflow", BAD_FRAMING, OK "Content-Length: 99999999999999999999" CR CR),
	BAD("9112 6.3 both", BAD_FRAMING, OK "Content-Length: 5" CR "Transfer-Encoding: chunked" CR CR),
	BAD("9112 6.3 both, space before the colon", BAD_FRAMING,
	    OK "Content-Length: 5" CR "Transfer-Encoding : chunked" CR CR),
	BAD("9112 6.1 other coding", BAD_FRAMING, OK "Transfer-Encoding: gzip, chunked" CR CR),
	BAD("9112 6.1 in HTTP/1.0", BAD_FRAMING, "HTTP/1.0 200 OK" CR "Transfer-Encoding: chunked" CR CR),
};

static void refuses(void **state)
{
	(void)state;
	for (const struct bad *b = bads; b < bads + ARRAY_SIZE(bads); b++) {
		struct outcome o = wire_parse(H1_RESPONSE, &wire_limits, "GET", b->in, b->n);

		if (o.err != b->err)
			fail_msg("%s: %s instead of %s (%s)", b->section, err_name(o.err), err_name(b->err),
				 o.text);
	}
}

struct good {
	const char *section, *method, *in, *want;
};

static const struct good goods[] = {
	{"9112 6.3 until the close", "GET", OK CR, "200 OK 1.1 close=-1"},
	{"9112 4 no reason", "GET", "HTTP/1.1 200 " CR CR, "200 1.1 close=-1"},
	{"9112 4 no space either", "GET", "HTTP/1.1 200" CR CR, "200 1.1 close=-1"},
	{"9112 4 spaces, tabs and high bytes in the reason", "GET", "HTTP/1.1 404 Non \ttrouv\xe9" CR CR,
	 "404 Non \ttrouv\xe9 1.1 close=-1"},
	{"9110 15 status beyond 599", "GET", "HTTP/1.1 999 x" CR CR, "999 x 1.1 close=-1"},
	{"9110 8.6", "GET", OK "Content-Length: 5" CR CR, "200 OK 1.1 length=5 keep|Content-Length: 5"},
	{"9112 6.3 equal ones become one", "GET", OK "Content-Length: 5" CR "Content-Length: 5" CR CR,
	 "200 OK 1.1 length=5 keep|Content-Length: 5|-Content-Length: 5"},
	{"9112 6.1", "GET", OK "Transfer-Encoding: Chunked" CR CR,
	 "200 OK 1.1 chunked=-1 keep|-Transfer-Encoding: Chunked"},
	{"9112 5.1 white space before the colon", "GET", OK "Content-Length \t: 5" CR "A : b" CR CR,
	 "200 OK 1.1 length=5 keep|Content-Length: 5|A: b"},
	{"9112 9.3 HTTP/1.0", "GET", "HTTP/1.0 200 OK" CR "Content-Length: 0" CR CR,
	 "200 OK 1.0 length=0|Content-Length: 0"},
	{"9112 9.3 HTTP/1.0 keep-alive", "GET",
	 "HTTP/1.0 200 OK" CR "Content-Length: 0" CR "Connection: keep-alive" CR CR,
	 "200 OK 1.0 length=0 keep|Content-Length: 0|-Connection: keep-alive"},
	{"9112 9.3 close", "GET", OK "Content-Length: 0" CR "Connection: close" CR CR,
	 "200 OK 1.1 length=0|Content-Length: 0|-Connection: close"},
	{"9110 7.6.1 nominated and hop-by-hop fields", "GET",
	 OK "Connection: a" CR "A: b" CR "Keep-Alive: x" CR "Proxy-Connection: y" CR
	    "Content-Length: 0" CR CR,
	 "200 OK 1.1 length=0 keep|-Connection: a|-A: b|-Keep-Alive: x|-Proxy-Connection: y"
	 "|Content-Length: 0"},
	{"9110 9.3.2 HEAD with a length", "HEAD", OK "Content-Length: 5" CR CR,
	 "200 OK 1.1 none=5 keep|Content-Length: 5"},
	{"9110 9.3.2 HEAD, chunked", "HEAD", OK "Transfer-Encoding: chunked" CR CR,
	 "200 OK 1.1 none=-1 keep|-Transfer-Encoding: chunked"},
	{"9110 15.4.5 304 with a length", "GET", "HTTP/1.1 304 x" CR "Content-Length: 5" CR CR,
	 "304 x 1.1 none=5 keep|Content-Length: 5"},
	{"9110 15.3.5 204 without a length", "GET", "HTTP/1.1 204 x" CR CR, "204 x 1.1 none=0 keep"},
	{"9110 8.6 204 with a length", "GET", "HTTP/1.1 204 x" CR "Content-Length: 5" CR CR,
	 "204 x 1.1 none=0 keep|Content-Length: 5"},
	{"9110 15.2 100", "POST", "HTTP/1.1 100 Continue" CR CR, "interim 100 Continue 1.1 none=0 keep"},
	{"9110 15.2 103", "GET", "HTTP/1.1 103 Early Hints" CR "Link: </a>" CR CR,
	 "interim 103 Early Hints 1.1 none=0 keep|Link: </a>"},
	{"9110 15.2.2 101", "GET", "HTTP/1.1 101 x" CR "Upgrade: websocket" CR "Connection: Upgrade" CR CR,
	 "101 x 1.1 none=0 keep ws|-Upgrade: websocket|-Connection: Upgrade"},
	{"9110 15.2.2 101 to something else", "GET",
	 "HTTP/1.1 101 x" CR "Upgrade: h2c" CR "Connection: Upgrade" CR CR,
	 "101 x 1.1 none=0 keep|-Upgrade: h2c|-Connection: Upgrade"},
	{"6265 3 many Set-Cookie", "GET", OK "Set-Cookie: a" CR "Set-Cookie: b" CR "Content-Length: 1" CR CR,
	 "200 OK 1.1 length=1 keep|Set-Cookie: a|Set-Cookie: b|Content-Length: 1"},
};

static void understands(void **state)
{
	(void)state;
	for (const struct good *g = goods; g < goods + ARRAY_SIZE(goods); g++) {
		struct outcome o = wire_parse(H1_RESPONSE, &wire_limits, g->method, g->in, strlen(g->in));

		if (o.err || !o.done || o.used != strlen(g->in) || strcmp(o.text, g->want) != 0)
			fail_msg("%s:\n%s %s\ninstead of\n%s", g->section, err_name(o.err), o.text, g->want);
	}
}

static void keeps_to_limits(void **state)
{
	static const char in[] = OK "a: b" CR "c: d" CR CR;
	struct h1_limits l = {.line_bytes = 15, .head_bytes = sizeof in - 1, .fields = 2};

	(void)state;
	assert_true(wire_parse(H1_RESPONSE, &l, "GET", in, sizeof in - 1).done);
	l.line_bytes--;
	assert_int_equal(wire_parse(H1_RESPONSE, &l, "GET", in, sizeof in - 1).err, ERR_UP_HEAD_LARGE);
	l.line_bytes++;
	l.head_bytes--;
	assert_int_equal(wire_parse(H1_RESPONSE, &l, "GET", in, sizeof in - 1).err, ERR_UP_HEAD_LARGE);
	l.head_bytes++;
	l.fields--;
	assert_int_equal(wire_parse(H1_RESPONSE, &l, "GET", in, sizeof in - 1).err, ERR_UP_HEAD_LARGE);
}

static void passes_large_heads(void **state)
{
	struct h1_limits l = wire_limits;
	size_t n = 24 * 1024;
	char *in = malloc(n);
	struct h1_parser p;
	struct arena a;

	(void)state;
	assert_non_null(in);
	l.head_bytes = 128 * 1024;
	memset(in, 'x', n);
	memcpy(in, OK "Set-Cookie: ", 17 + 12);
	memcpy(in + n - 4, CR CR, 4);
	arena_init(&a);
	h1_parser_init(&p, H1_RESPONSE, &l, &a, wire_request(&a, "GET"));
	assert_int_equal(h1_parse(&p, in, n), n);
	assert_true(p.done);
	assert_int_equal(p.head->fields[0].value.n, n - 4 - 29);
	arena_fini(&a);
	free(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses),
		cmocka_unit_test(understands),
		cmocka_unit_test(keeps_to_limits),
		cmocka_unit_test(passes_large_heads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
