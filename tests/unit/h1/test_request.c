/*
 * Request heads: what is refused, with which row of the error table, and how the rest is understood. Every
 * row is parsed whole, split at every place and byte by byte.
 */
#include "tests/unit/h1/wire.h"

#define HOST "Host: a.org" CR
#define GET  "GET / HTTP/1.1" CR HOST

struct bad {
	const char *section;
	enum err err;
	const char *in;
	size_t n;
};
#define BAD(section, err, in)                                                                                \
	{                                                                                                    \
		section, ERR_##err, in, sizeof(in) - 1                                                       \
	}

static const struct bad bad_lines[] = {
	BAD("9112 2.2 bare LF", BAD_LINE_END, "GET / HTTP/1.1\nHost: a\n\n"),
	BAD("9112 2.2 bare LF after a good line", BAD_LINE_END, GET "a: b\n" CR),
	BAD("9112 2.2 bare LF instead of the last line", BAD_LINE_END, GET "\n"),
	BAD("9112 2.2 lone LF before the request", BAD_LINE_END, "\nGET / HTTP/1.1" CR HOST CR),
	BAD("9112 2.2 bare CR in the request line", BAD_METHOD, "GET\r/ HTTP/1.1" CR HOST CR),
	BAD("9112 2.2 bare CR in a target", BAD_TARGET, "GET /\r HTTP/1.1" CR HOST CR),
	BAD("9112 2.2 bare CR in a value", BAD_FIELD_VALUE, GET "a: b\rc" CR CR),
	BAD("9112 2.2 CR CR LF", BAD_FIELD_VALUE, GET "a: b\r" CR CR),
	BAD("9112 2.2 nine empty lines", BAD_REQUEST_LINE, CR CR CR CR CR CR CR CR CR GET CR),
	BAD("9112 3 no method", BAD_METHOD, " / HTTP/1.1" CR HOST CR),
	BAD("9112 3 white space before", BAD_METHOD, " GET / HTTP/1.1" CR HOST CR),
	BAD("9110 9.1 method is no token", BAD_METHOD, "G(T / HTTP/1.1" CR HOST CR),
	BAD("9110 9.1 tab behind the method", BAD_METHOD, "GET\t/ HTTP/1.1" CR HOST CR),
	BAD("9110 9.1 NUL in the method", BAD_METHOD, "G\0T / HTTP/1.1" CR HOST CR),
	BAD("9110 9.1 high byte in the method", BAD_METHOD, "G\xc3\xa9T / HTTP/1.1" CR HOST CR),
	BAD("9112 3 method alone", BAD_REQUEST_LINE, "GET" CR HOST CR),
	BAD("9112 3 two spaces before the target", BAD_TARGET, "GET  / HTTP/1.1" CR HOST CR),
	BAD("9112 3 two spaces before the version", BAD_REQUEST_LINE, "GET /  HTTP/1.1" CR HOST CR),
	BAD("9112 3 space in the target", BAD_REQUEST_LINE, "GET /a b HTTP/1.1" CR HOST CR),
	BAD("9112 3 space behind the version", BAD_VERSION, "GET / HTTP/1.1 " CR HOST CR),
	BAD("9112 2.3 HTTP/0.9", BAD_VERSION, "GET /" CR),
	BAD("9112 2.3 HTTP/0.9 with a space", BAD_REQUEST_LINE, "GET / " CR),
	BAD("9112 2.3 lower case", BAD_REQUEST_LINE, "GET / http/1.1" CR HOST CR),
	BAD("9112 2.3 HTTP/1.2", BAD_VERSION, "GET / HTTP/1.2" CR HOST CR),
	BAD("9112 2.3 HTTP/2.0", BAD_VERSION, "GET / HTTP/2.0" CR HOST CR),
	BAD("9112 2.3 HTTP/1.10", BAD_VERSION, "GET / HTTP/1.10" CR HOST CR),
	BAD("9112 2.3 HTTP/01.1", BAD_VERSION, "GET / HTTP/01.1" CR HOST CR),
	BAD("9112 2.3 HTTP/1,1", BAD_VERSION, "GET / HTTP/1,1" CR HOST CR),
	BAD("9112 2.3 HTTP/1.", BAD_VERSION, "GET / HTTP/1." CR HOST CR),
	BAD("9112 2.3 HTTP/", BAD_VERSION, "GET / HTTP/" CR HOST CR),
	BAD("9112 2.3 another protocol", BAD_REQUEST_LINE, "GET / ICY/1.1" CR HOST CR),
	BAD("9113 3.4 h2 preface", BAD_VERSION, "PRI * HTTP/2.0" CR CR "SM" CR CR),
};

static const struct bad bad_targets[] = {
	BAD("9112 3.2 no slash", BAD_TARGET, "GET a HTTP/1.1" CR HOST CR),
	BAD("9112 3.2 query alone", BAD_TARGET, "GET ?a HTTP/1.1" CR HOST CR),
	BAD("9112 3.2.1 fragment", BAD_TARGET, "GET /a#b HTTP/1.1" CR HOST CR),
	BAD("3986 3.3 backslash", BAD_TARGET, "GET /a\\b HTTP/1.1" CR HOST CR),
	BAD("9112 3.2 tab", BAD_TARGET, "GET /a\tb HTTP/1.1" CR HOST CR),
	BAD("9112 3.2 NUL", BAD_TARGET, "GET /a\0b HTTP/1.1" CR HOST CR),
	BAD("9112 3.2 DEL", BAD_TARGET, "GET /a\x7f HTTP/1.1" CR HOST CR),
	BAD("9112 3.2 UTF-8", BAD_TARGET, "GET /\xc3\xa9 HTTP/1.1" CR HOST CR),
	BAD("9112 3.2.3 authority-form with GET", BAD_TARGET, "GET a.org:80 HTTP/1.1" CR HOST CR),
	BAD("9112 3.2.4 * with GET", BAD_TARGET, "GET * HTTP/1.1" CR HOST CR),
	BAD("9112 3.2.4 * and more with OPTIONS", BAD_TARGET, "OPTIONS *a HTTP/1.1" CR HOST CR),
	BAD("9112 3.2.2 other scheme", BAD_TARGET, "GET ftp://a.org/ HTTP/1.1" CR HOST CR),
	BAD("9112 3.2.2 scheme without slashes", BAD_TARGET, "GET http:a.org/ HTTP/1.1" CR HOST CR),
	BAD("9112 3.2.2 no host", BAD_TARGET, "GET http:/// HTTP/1.1" CR HOST CR),
	BAD("9112 3.2.2 no host but a port", BAD_TARGET, "GET http://:80/ HTTP/1.1" CR HOST CR),
	BAD("9110 4.2.4 userinfo", BAD_TARGET, "GET http://u@a.org/ HTTP/1.1" CR HOST CR),
	BAD("9112 3.2.2 bad port", BAD_TARGET, "GET http://a.org:x/ HTTP/1.1" CR HOST CR),
	BAD("9110 9.3.6 CONNECT", CONNECT_REFUSED, "CONNECT a.org:443 HTTP/1.1" CR HOST CR),
	BAD("9110 9.3.6 CONNECT of a path", CONNECT_REFUSED, "CONNECT / HTTP/1.1" CR HOST CR),
	BAD("9110 9.3.8 TRACE", TRACE_REFUSED, "TRACE / HTTP/1.1" CR HOST CR),
};

static const struct bad bad_fields[] = {
	BAD("9112 5.1 space before the colon", BAD_FIELD_NAME, GET "a : b" CR CR),
	BAD("9112 5.1 tab before the colon", BAD_FIELD_NAME, GET "a\t: b" CR CR),
	BAD("9112 5.1 space before Content-Length's colon", BAD_FIELD_NAME, GET "Content-Length : 1" CR CR),
	BAD("9110 5.1 empty name", BAD_FIELD_NAME, GET ": b" CR CR),
	BAD("9110 5.1 no colon", BAD_FIELD_NAME, GET "a" CR CR),
	BAD("9110 5.1 space in a name", BAD_FIELD_NAME, GET "a b: c" CR CR),
	BAD("9110 5.1 NUL in a name", BAD_FIELD_NAME, GET "a\0: c" CR CR),
	BAD("9110 5.1 high byte in a name", BAD_FIELD_NAME, GET "\xe9: c" CR CR),
	BAD("9110 5.1 bracket in a name", BAD_FIELD_NAME, GET "a[b]: c" CR CR),
	BAD("9110 5.5 NUL in a value", BAD_FIELD_VALUE, GET "a: b\0c" CR CR),
	BAD("9110 5.5 DEL in a value", BAD_FIELD_VALUE, GET "a: \x7f" CR CR),
	BAD("9110 5.5 ESC in a value", BAD_FIELD_VALUE, GET "a: \x1b[0m" CR CR),
	BAD("9110 5.5 vertical tab around a value", BAD_FIELD_VALUE, GET "a: \v b" CR CR),
	BAD("9112 5.2 obs-fold", OBS_FOLD, GET "a: b" CR " c" CR CR),
	BAD("9112 5.2 obs-fold with a tab", OBS_FOLD, GET "a: b" CR "\tc: d" CR CR),
	BAD("9112 2.2 white space before the first field", OBS_FOLD, "GET / HTTP/1.1" CR " Host: a" CR CR),
};

#define WITH_HOST(value) "GET / HTTP/1.1" CR "Host: " value CR CR
static const struct bad bad_hosts[] = {
	BAD("9112 3.2 missing", BAD_HOST, "GET / HTTP/1.1" CR CR),
	BAD("9112 3.2 missing beside absolute-form", BAD_HOST, "GET http://a/ HTTP/1.1" CR CR),
	BAD("9112 3.2 twice", BAD_HOST, GET HOST CR),
	BAD("9112 3.2 twice, differing", BAD_HOST, GET "Host: b" CR CR),
	BAD("9112 3.2 twice in HTTP/1.0", BAD_HOST, "GET / HTTP/1.0" CR HOST HOST CR),
	BAD("9112 3.2 bad beside absolute-form", BAD_HOST, "GET http://a/ HTTP/1.1" CR "Host: b c" CR CR),
	BAD("9110 4.2.1 empty", BAD_HOST, WITH_HOST("")),
	BAD("9110 7.2 list", BAD_HOST, WITH_HOST("a,b")),
	BAD("9110 7.2 list with space", BAD_HOST, WITH_HOST("a, b")),
	BAD("9110 7.2 path", BAD_HOST, WITH_HOST("a/b")),
	BAD("9110 7.2 query", BAD_HOST, WITH_HOST("a?b")),
	BAD("9110 7.2 space", BAD_HOST, WITH_HOST("a b")),
	BAD("9110 7.2 tab", BAD_HOST, WITH_HOST("a\tb")),
	BAD("9110 7.2 userinfo", BAD_HOST, WITH_HOST("u@a")),
	BAD("9110 7.2 userinfo with password", BAD_HOST, WITH_HOST("u:p@a")),
	BAD("9110 7.2 URL", BAD_HOST, WITH_HOST("http://a")),
	BAD("9110 7.2 port is no number", BAD_HOST, WITH_HOST("a:b")),
	BAD("9110 7.2 port over 65535", BAD_HOST, WITH_HOST("a:65536")),
	BAD("9110 7.2 huge port", BAD_HOST, WITH_HOST("a:99999999999999999999999")),
	BAD("9110 7.2 negative port", BAD_HOST, WITH_HOST("a:-1")),
	BAD("9110 7.2 signed port", BAD_HOST, WITH_HOST("a:+80")),
	BAD("9110 7.2 space before the port", BAD_HOST, WITH_HOST("a: 80")),
	BAD("9110 7.2 two ports", BAD_HOST, WITH_HOST("a:1:2")),
	BAD("9110 7.2 port alone", BAD_HOST, WITH_HOST(":80")),
	BAD("9110 7.2 bare IPv6", BAD_HOST, WITH_HOST("::1")),
	BAD("9110 7.2 open bracket", BAD_HOST, WITH_HOST("[::1")),
	BAD("9110 7.2 no IPv6 in brackets", BAD_HOST, WITH_HOST("[a]")),
	BAD("9110 7.2 empty brackets", BAD_HOST, WITH_HOST("[]")),
	BAD("9110 7.2 junk behind the bracket", BAD_HOST, WITH_HOST("[::1]a")),
	BAD("6874 zone", BAD_HOST, WITH_HOST("[fe80::1%25eth0]")),
	BAD("3986 2.1 bad percent-encoding", BAD_HOST, WITH_HOST("a%2")),
	BAD("3986 2.1 bad percent-encoding", BAD_HOST, WITH_HOST("a%zz")),
	BAD("3986 3.2.2 backslash", BAD_HOST, WITH_HOST("a\\b")),
	BAD("3986 3.2.2 quote", BAD_HOST, WITH_HOST("a\"b")),
	BAD("3986 3.2.2 high byte", BAD_HOST, WITH_HOST("\xc3\xa9")),
};

static const struct bad bad_framings[] = {
	BAD("9110 8.6 empty", BAD_LENGTH, GET "Content-Length:" CR CR),
	BAD("9110 8.6 sign", BAD_LENGTH, GET "Content-Length: +1" CR CR),
	BAD("9110 8.6 negative", BAD_LENGTH, GET "Content-Length: -1" CR CR),
	BAD("9110 8.6 hexadecimal", BAD_LENGTH, GET "Content-Length: 0x1" CR CR),
	BAD("9110 8.6 junk", BAD_LENGTH, GET "Content-Length: 1a" CR CR),
	BAD("9110 8.6 fraction", BAD_LENGTH, GET "Content-Length: 1.0" CR CR),
	BAD("9110 8.6 underscore", BAD_LENGTH, GET "Content-Length: 1_0" CR CR),
	BAD("9110 8.6 inner space", BAD_LENGTH, GET "Content-Length: 1 0" CR CR),
	BAD("9110 8.6 64 bits", BAD_LENGTH, GET "Content-Length: 9223372036854775808" CR CR),
	BAD("9110 8.6 overflow", BAD_LENGTH, GET "Content-Length: 18446744073709551617" CR CR),
	BAD("9112 6.3 list of equal ones", BAD_LENGTH, GET "Content-Length: 5, 5" CR CR),
	BAD("9112 6.3 differing", BAD_LENGTH, GET "Content-Length: 5" CR "content-length: 6" CR CR),
	BAD("9112 6.3 second is junk", BAD_LENGTH, GET "Content-Length: 5" CR "Content-Length:" CR CR),
	BAD("9112 6.3 both", TWO_FRAMINGS, GET "Content-Length: 5" CR "Transfer-Encoding: chunked" CR CR),
	BAD("9112 6.3 both, the other order", TWO_FRAMINGS,
	    GET "Transfer-Encoding: chunked" CR "Content-Length: 5" CR CR),
	BAD("9112 6.1 in HTTP/1.0", BAD_TRANSFER_ENCODING,
	    "POST / HTTP/1.0" CR HOST "Transfer-Encoding: chunked" CR CR),
	BAD("9112 6.1 in HTTP/1.0, with a length", BAD_TRANSFER_ENCODING,
	    "POST / HTTP/1.0" CR HOST "Content-Length: 1" CR "Transfer-Encoding: chunked" CR CR),
	BAD("9112 6.1 identity", BAD_TRANSFER_ENCODING, GET "Transfer-Encoding: identity" CR CR),
	BAD("9112 6.1 empty", BAD_TRANSFER_ENCODING, GET "Transfer-Encoding:" CR CR),
	BAD("9112 6.1 gzip first", BAD_TRANSFER_ENCODING, GET "Transfer-Encoding: gzip, chunked" CR CR),
	BAD("9112 6.1 chunked first", BAD_TRANSFER_ENCODING, GET "Transfer-Encoding: chunked, gzip" CR CR),
	BAD("9112 6.1 chunked twice", BAD_TRANSFER_ENCODING, GET "Transfer-Encoding: chunked, chunked" CR CR),
	BAD("9112 6.1 two fields", BAD_TRANSFER_ENCODING,
	    GET "Transfer-Encoding: chunked" CR "Transfer-Encoding: chunked" CR CR),
	BAD("9112 6.1 empty element", BAD_TRANSFER_ENCODING, GET "Transfer-Encoding: ,chunked" CR CR),
	BAD("9112 6.1 parameter", BAD_TRANSFER_ENCODING, GET "Transfer-Encoding: chunked;a=b" CR CR),
	BAD("9112 6.1 quoted", BAD_TRANSFER_ENCODING, GET "Transfer-Encoding: \"chunked\"" CR CR),
	BAD("9112 6.1 prefix", BAD_TRANSFER_ENCODING, GET "Transfer-Encoding: chunke" CR CR),
	BAD("9112 6.1 vertical tab", BAD_FIELD_VALUE, GET "Transfer-Encoding: \vchunked" CR CR),
	BAD("9110 10.1.1 other expectation", EXPECTATION, GET "Expect: tea" CR CR),
	BAD("9110 10.1.1 one more", EXPECTATION, GET "Expect: 100-continue" CR "Expect: tea" CR CR),
};

static void check_bad(const struct bad *rows, size_t n)
{
	for (const struct bad *b = rows; b < rows + n; b++) {
		struct outcome o = wire_parse(H1_REQUEST, &wire_limits, NULL, b->in, b->n);

		if (o.err != b->err)
			fail_msg("%s: %s instead of %s (%s)", b->section, err_name(o.err), err_name(b->err),
				 o.text);
	}
}

static void refuses_lines(void **state)
{
	(void)state;
	check_bad(bad_lines, ARRAY_SIZE(bad_lines));
}

static void refuses_targets(void **state)
{
	(void)state;
	check_bad(bad_targets, ARRAY_SIZE(bad_targets));
}

static void refuses_fields(void **state)
{
	(void)state;
	check_bad(bad_fields, ARRAY_SIZE(bad_fields));
}

static void refuses_hosts(void **state)
{
	(void)state;
	check_bad(bad_hosts, ARRAY_SIZE(bad_hosts));
}

static void refuses_framings(void **state)
{
	(void)state;
	check_bad(bad_framings, ARRAY_SIZE(bad_framings));
}

struct good {
	const char *section, *in, *want;
};

static const struct good goods[] = {
	{"9112 3", GET CR, "GET a.org / 1.1 none=0 keep|Host: a.org"},
	{"9112 2.2 empty lines before", CR CR GET CR, "GET a.org / 1.1 none=0 keep|Host: a.org"},
	{"9112 5 order, case, duplicates, empty values", GET "B: 1" CR "a:2" CR "B:  3\t" CR "c:" CR CR,
	 "GET a.org / 1.1 none=0 keep|Host: a.org|B: 1|a: 2|B: 3|c: "},
	{"9110 5.5 tab and high bytes within", GET "a: b\t\xe9 c" CR CR,
	 "GET a.org / 1.1 none=0 keep|Host: a.org|a: b\t\xe9 c"},
	{"9110 5.6.2 every token character", GET "!#$%&'*+-.^_`|~09azAZ: b" CR CR,
	 "GET a.org / 1.1 none=0 keep|Host: a.org|!#$%&'*+-.^_`|~09azAZ: b"},
	{"9110 9.1 unknown method", "BREW /pot HTTP/1.1" CR HOST CR,
	 "BREW a.org /pot 1.1 none=0 keep|Host: a.org"},
	{"9110 9.1 methods have case", "connect / HTTP/1.1" CR HOST CR,
	 "connect a.org / 1.1 none=0 keep|Host: a.org"},
	{"9112 3.2.1 target as it came", "GET //a/../b;c%2f?d=/e?f HTTP/1.1" CR HOST CR,
	 "GET a.org //a/../b;c%2f?d=/e?f 1.1 none=0 keep|Host: a.org"},
	{"what browsers send", "GET /a|b^{c}?\"<>` HTTP/1.1" CR HOST CR,
	 "GET a.org /a|b^{c}?\"<>` 1.1 none=0 keep|Host: a.org"},
	{"9112 3.2.4 *", "OPTIONS * HTTP/1.1" CR HOST CR, "OPTIONS a.org * 1.1 none=0 keep|Host: a.org"},
	{"9112 3.2.2 absolute-form wins", "GET http://b.example:81/x?y HTTP/1.1" CR HOST CR,
	 "GET !httpb.example:81 /x?y 1.1 none=0 keep|Host: b.example:81"},
	{"9112 3.2.2 scheme without case", "GET HTTPS://B/ HTTP/1.1" CR HOST CR,
	 "GET !httpsB / 1.1 none=0 keep|Host: B"},
	{"9112 3.2.2 no path", "GET http://b HTTP/1.1" CR HOST CR, "GET !httpb / 1.1 none=0 keep|Host: b"},
	{"9112 3.2.2 query without path", "GET http://b?c HTTP/1.1" CR HOST CR,
	 "GET !httpb /?c 1.1 none=0 keep|Host: b"},
	{"9112 3.2.4 OPTIONS without path", "OPTIONS http://b HTTP/1.1" CR HOST CR,
	 "OPTIONS !httpb * 1.1 none=0 keep|Host: b"},
	{"9112 3.2.2 without Host in HTTP/1.0", "GET http://b/ HTTP/1.0" CR CR,
	 "GET !httpb / 1.0 none=0|host: b"},
	{"9112 3.2 HTTP/1.0 without Host", "GET / HTTP/1.0" CR CR, "GET  / 1.0 none=0"},
	{"9112 3.2 name with port", WITH_HOST("a-b_c.example.:8443"),
	 "GET a-b_c.example.:8443 / 1.1 none=0 keep|Host: a-b_c.example.:8443"},
	{"3986 3.2.3 empty port", WITH_HOST("a:"), "GET a: / 1.1 none=0 keep|Host: a:"},
	{"3986 3.2.2 IPv4", WITH_HOST("127.0.0.1:65535"),
	 "GET 127.0.0.1:65535 / 1.1 none=0 keep|Host: 127.0.0.1:65535"},
	{"3986 3.2.2 IPv6", WITH_HOST("[::ffff:1.2.3.4]:0"),
	 "GET [::ffff:1.2.3.4]:0 / 1.1 none=0 keep|Host: [::ffff:1.2.3.4]:0"},
	{"3986 3.2.2 reg-name", WITH_HOST("a%2Db!$&'()*+;=~"),
	 "GET a%2Db!$&'()*+;=~ / 1.1 none=0 keep|Host: a%2Db!$&'()*+;=~"},
	{"9112 9.3 close", GET "Connection: Close" CR CR,
	 "GET a.org / 1.1 none=0|Host: a.org|-Connection: Close"},
	{"9112 9.3 HTTP/1.0 keep-alive", "GET / HTTP/1.0" CR HOST "Connection: a, Keep-Alive" CR CR,
	 "GET a.org / 1.0 none=0 keep|Host: a.org|-Connection: a, Keep-Alive"},
	{"9112 9.3 close wins", "GET / HTTP/1.0" CR HOST "Connection: keep-alive, close" CR CR,
	 "GET a.org / 1.0 none=0|Host: a.org|-Connection: keep-alive, close"},
	{"9110 8.6", "POST / HTTP/1.1" CR HOST "Content-Length: 0012" CR CR,
	 "POST a.org / 1.1 length=12 keep|Host: a.org|Content-Length: 0012"},
	{"9110 8.6 63 bits", GET "Content-Length: 9223372036854775807" CR CR,
	 "GET a.org / 1.1 length=9223372036854775807 keep|Host: a.org"
	 "|Content-Length: 9223372036854775807"},
	{"9110 8.6 zero", GET "Content-Length: 0" CR CR,
	 "GET a.org / 1.1 length=0 keep|Host: a.org|Content-Length: 0"},
	{"9112 6.3 equal ones become one", GET "Content-Length: 5" CR "a: b" CR "content-length: 5" CR CR,
	 "GET a.org / 1.1 length=5 keep|Host: a.org|Content-Length: 5|a: b|-content-length: 5"},
	{"9112 6.1", GET "Transfer-Encoding: \t CHUNKED " CR CR,
	 "GET a.org / 1.1 chunked=-1 keep|Host: a.org|-Transfer-Encoding: CHUNKED"},
	{"9110 7.6.1 hop-by-hop fields",
	 GET "TE: trailers" CR "Keep-Alive: 1" CR "Proxy-Connection: x" CR "Upgrade: h2c" CR "A: b" CR CR,
	 "GET a.org / 1.1 none=0 keep|Host: a.org|-TE: trailers|-Keep-Alive: 1|-Proxy-Connection: x"
	 "|-Upgrade: h2c|A: b"},
	{"9110 7.6.1 nominated fields", GET "A: 1" CR "B: 2" CR "a: 3" CR "Connection: c, A" CR "C: 4" CR CR,
	 "GET a.org / 1.1 none=0 keep|Host: a.org|-A: 1|B: 2|-a: 3|-Connection: c, A|-C: 4"},
	{"9110 7.6.1 never Host, framing or our own",
	 "POST / HTTP/1.1" CR HOST "Content-Length: 1" CR "X-Forwarded-For: a" CR "Forwarded: b" CR
	 "Connection: host, Content-Length, x-forwarded-for, forwarded" CR CR,
	 "POST a.org / 1.1 length=1 keep|Host: a.org|Content-Length: 1|X-Forwarded-For: a|Forwarded: b"
	 "|-Connection: host, Content-Length, x-forwarded-for, forwarded"},
	{"9110 7.8 WebSocket",
	 GET "Upgrade: WebSocket" CR "Connection: keep-alive, Upgrade" CR "Sec-WebSocket-Key: abc" CR CR,
	 "GET a.org / 1.1 none=0 keep ws|Host: a.org|-Upgrade: WebSocket"
	 "|-Connection: keep-alive, Upgrade|Sec-WebSocket-Key: abc"},
	{"9110 7.8 WebSocket among others",
	 GET "Upgrade: h2c, websocket" CR "Connection: upgrade" CR "Sec-WebSocket-Key: abc" CR CR,
	 "GET a.org / 1.1 none=0 keep ws|Host: a.org|-Upgrade: h2c, websocket"
	 "|-Connection: upgrade|Sec-WebSocket-Key: abc"},
	{"9110 7.8 not nominated", GET "Upgrade: websocket" CR "Sec-WebSocket-Key: abc" CR CR,
	 "GET a.org / 1.1 none=0 keep|Host: a.org|-Upgrade: websocket|Sec-WebSocket-Key: abc"},
	{"6455 4.1 no key", GET "Upgrade: websocket" CR "Connection: upgrade" CR CR,
	 "GET a.org / 1.1 none=0 keep|Host: a.org|-Upgrade: websocket|-Connection: upgrade"},
	{"6455 4.1 not GET",
	 "POST / HTTP/1.1" CR HOST "Upgrade: websocket" CR "Connection: upgrade" CR
	 "Sec-WebSocket-Key: a" CR CR,
	 "POST a.org / 1.1 none=0 keep|Host: a.org|-Upgrade: websocket|-Connection: upgrade"
	 "|Sec-WebSocket-Key: a"},
	{"6455 4.1 with a body",
	 GET "Upgrade: websocket" CR "Connection: upgrade" CR "Sec-WebSocket-Key: a" CR
	     "Content-Length: 1" CR CR,
	 "GET a.org / 1.1 length=1 keep|Host: a.org|-Upgrade: websocket|-Connection: upgrade"
	 "|Sec-WebSocket-Key: a|Content-Length: 1"},
	{"9110 7.8 from HTTP/1.0 ignored",
	 "GET / HTTP/1.0" CR HOST "Upgrade: websocket" CR "Connection: upgrade" CR
	 "Sec-WebSocket-Key: a" CR CR,
	 "GET a.org / 1.0 none=0|Host: a.org|-Upgrade: websocket|-Connection: upgrade"
	 "|Sec-WebSocket-Key: a"},
	{"9110 10.1.1", "POST / HTTP/1.1" CR HOST "Expect: 100-Continue" CR "Content-Length: 1" CR CR,
	 "POST a.org / 1.1 length=1 keep expect|Host: a.org|Expect: 100-Continue|Content-Length: 1"},
	{"9110 10.1.1 without a body", GET "Expect: 100-continue" CR CR,
	 "GET a.org / 1.1 none=0 keep|Host: a.org|Expect: 100-continue"},
	{"9110 10.1.1 from HTTP/1.0 ignored",
	 "POST / HTTP/1.0" CR HOST "Expect: tea" CR "Content-Length: 1" CR CR,
	 "POST a.org / 1.0 length=1|Host: a.org|-Expect: tea|Content-Length: 1"},
};

static void understands(void **state)
{
	(void)state;
	for (const struct good *g = goods; g < goods + ARRAY_SIZE(goods); g++) {
		struct outcome o = wire_parse(H1_REQUEST, &wire_limits, NULL, g->in, strlen(g->in));

		if (o.err || !o.done || o.used != strlen(g->in) || strcmp(o.text, g->want) != 0)
			fail_msg("%s:\n%s %s\ninstead of\n%s", g->section, err_name(o.err), o.text, g->want);
	}
}

static void stops_at_the_end_of_the_head(void **state)
{
	static const char two[] = GET CR "GET /2 HTTP/1.1";
	struct outcome o = wire_parse(H1_REQUEST, &wire_limits, NULL, two, sizeof two - 1);

	(void)state;
	assert_true(o.done);
	assert_int_equal(o.used, sizeof(GET CR) - 1);
}

static void needs_every_byte(void **state)
{
	static const char in[] = GET "a: b" CR CR;

	(void)state;
	for (size_t n = 0; n < sizeof in - 1; n++) {
		struct outcome o = wire_parse(H1_REQUEST, &wire_limits, NULL, in, n);

		assert_int_equal(o.err, ERR_OK);
		assert_false(o.done);
	}
}

static void takes_a_nul_for_no_end(void **state)
{
	static const char in[] = GET "a: b\0" CR "Content-Length: 5" CR CR;
	struct outcome o = wire_parse(H1_REQUEST, &wire_limits, NULL, in, sizeof in - 1);

	(void)state;
	assert_int_equal(o.err, ERR_BAD_FIELD_VALUE);
}

/* A head of `n` bytes as far as it goes: "GET /aaa... HTTP/1.1". */
static struct outcome parse_with(struct h1_limits limits, const char *in)
{
	return wire_parse(H1_REQUEST, &limits, NULL, in, strlen(in));
}

static void keeps_to_limits(void **state)
{
	static const char in[] = "GET /1234 HTTP/1.1" CR "Host: a" CR "b: c" CR CR;
	const struct h1_limits exact = {.line_bytes = 18, .head_bytes = sizeof in - 1, .fields = 2};
	struct h1_limits l = exact;

	(void)state;
	assert_true(parse_with(exact, in).done);
	l.line_bytes--;
	assert_int_equal(parse_with(l, in).err, ERR_REQUEST_LINE_LONG);
	l = exact;
	l.head_bytes--;
	assert_int_equal(parse_with(l, in).err, ERR_HEAD_LARGE);
	l = exact;
	l.fields--;
	assert_int_equal(parse_with(l, in).err, ERR_FIELDS_MANY);
}

static void refuses_a_long_line_before_its_end(void **state)
{
	struct h1_limits l = wire_limits;

	(void)state;
	l.line_bytes = 10;
	assert_int_equal(parse_with(l, "GET /12345").err, ERR_OK);
	assert_int_equal(parse_with(l, "GET /123456").err, ERR_OK); /* may be a CR yet */
	assert_int_equal(parse_with(l, "GET /1234567").err, ERR_REQUEST_LINE_LONG);
	l = wire_limits;
	l.head_bytes = sizeof GET - 1 + 6;
	assert_int_equal(parse_with(l, GET "123456").err, ERR_OK);
	assert_int_equal(parse_with(l, GET "1234567").err, ERR_HEAD_LARGE);
}

static void bounds_connection_options(void **state)
{
	struct h1_limits l = wire_limits;

	(void)state;
	l.fields = 3;
	assert_true(parse_with(l, GET "Connection: a, b, c" CR CR).done);
	assert_int_equal(parse_with(l, GET "Connection: a, b" CR "Connection: c, d" CR CR).err,
			 ERR_FIELDS_MANY);
}

/* Whatever the limit says, a head counts no further. */
static void bounds_fields_in_any_case(void **state)
{
	struct h1_limits l = { .line_bytes = 100, .head_bytes = SIZE_MAX, .fields = SIZE_MAX };
	ssize_t r = 0;
	struct h1_parser p;
	struct arena a;
	size_t n = 0;

	(void)state;
	arena_init(&a);
	h1_parser_init(&p, H1_REQUEST, &l, &a, NULL);
	assert_true(h1_parse(&p, "GET / HTTP/1.1" CR, 16) == 16);
	for (; r >= 0 && n <= UINT16_MAX; n++)
		r = h1_parse(&p, "a:" CR, 4);
	assert_int_equal(r, -ERR_FIELDS_MANY);
	assert_int_equal(n, H1_FIELDS_MAX + 1);
	arena_fini(&a);
}

/* An error leaves what was read, for the log. */
static void shows_what_was_read(void **state)
{
	static const char in[] = "GET /x HTTP/1.1" CR "Host: a" CR "b : c" CR;
	struct h1_parser p;
	struct arena a;

	(void)state;
	arena_init(&a);
	h1_parser_init(&p, H1_REQUEST, &wire_limits, &a, NULL);
	assert_int_equal(h1_parse(&p, in, sizeof in - 1), -ERR_BAD_FIELD_NAME);
	assert_true(str_eq(p.head->method, STR("GET")));
	assert_true(str_eq(p.head->path, STR("/x")));
	assert_int_equal(p.head->nfields, 1);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_lines),
		cmocka_unit_test(refuses_targets),
		cmocka_unit_test(refuses_fields),
		cmocka_unit_test(refuses_hosts),
		cmocka_unit_test(refuses_framings),
		cmocka_unit_test(understands),
		cmocka_unit_test(stops_at_the_end_of_the_head),
		cmocka_unit_test(needs_every_byte),
		cmocka_unit_test(takes_a_nul_for_no_end),
		cmocka_unit_test(keeps_to_limits),
		cmocka_unit_test(refuses_a_long_line_before_its_end),
		cmocka_unit_test(bounds_connection_options),
		cmocka_unit_test(bounds_fields_in_any_case),
		cmocka_unit_test(shows_what_was_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
