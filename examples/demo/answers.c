/*
 * answers.c - what each path answers.
 */
#include "examples/demo/demo.h"

#include <time.h>

static const char page[] =
	"<!doctype html>\n"
	"<html lang=\"en\">\n"
	"<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n"
	"<title>Gatehouse demo</title>\n"
	"<style>\n"
	":root { color-scheme: light dark; font: 17px/1.5 system-ui, sans-serif }\n"
	"body { max-width: 40rem; margin: 4rem auto; padding: 0 1rem }\n"
	"h1 { font-weight: 600; margin-bottom: 0 }\n"
	"p { margin-top: .3rem }\n"
	"dl { display: grid; grid-template-columns: 9rem 1fr; gap: .6rem; margin: 2rem 0 }\n"
	"dt { opacity: .7 }\n"
	"dd { margin: 0; font-family: ui-monospace, monospace; overflow-wrap: anywhere }\n"
	"</style>\n"
	"<h1>It works</h1>\n"
	"<p>This page comes from a small application on a Unix socket, through Gatehouse.</p>\n"
	"<dl>\n"
	"<dt>JSON<dd id=\"json\">...\n"
	"<dt>Events<dd id=\"events\">...\n"
	"<dt>WebSocket<dd id=\"ws\">...\n"
	"<dt>Upload<dd id=\"upload\">...\n"
	"</dl>\n"
	"<script>\n"
	"const show = (id, text) => document.getElementById(id).textContent = text;\n"
	"fetch('/json').then(r => r.text()).then(t => show('json', t));\n"
	"fetch('/upload', { method: 'POST', body: 'x'.repeat(100000) }).then(r => r.json())\n"
	"    .then(j => show('upload', j.bytes + ' bytes, sha256 ' + j.sha256));\n"
	"new EventSource('/events').onmessage = e => show('events', e.data);\n"
	"const ws = new WebSocket(location.origin.replace(/^http/, 'ws') + '/ws');\n"
	"ws.onopen = () => ws.send('hello');\n"
	"ws.onmessage = e => show('ws', 'echo: ' + e.data);\n"
	"</script>\n";

static uint64_t query_number(const struct request *r, const char *wanted, uint64_t otherwise)
{
	struct span query = r->query, value;

	while (query.n) {
		value = split(&query, '&');
		if (is(split(&value, '='), wanted) && number(value, 10, &otherwise))
			break;
	}
	return otherwise;
}

/* The number behind a prefix of the path, as in /bytes/100. */
static bool path_number(const struct request *r, const char *prefix, uint64_t *out)
{
	size_t n = strlen(prefix);

	return r->path.n > n && memcmp(r->path.p, prefix, n) == 0 &&
	       number((struct span){ r->path.p + n, r->path.n - n }, 10, out);
}

static const char *reason(unsigned status)
{
	switch (status) {
	case 200: return "OK";
	case 204: return "No Content";
	case 206: return "Partial Content";
	case 304: return "Not Modified";
	case 400: return "Bad Request";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 416: return "Range Not Satisfiable";
	case 426: return "Upgrade Required";
	case 431: return "Request Header Fields Too Large";
	case 503: return "Service Unavailable";
	}
	return "Status";
}

void start(struct conn *c, unsigned status, const char *type)
{
	char date[40];
	time_t t = time(NULL);
	struct tm tm;

	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&t, &tm));
	out_printf(c, "HTTP/1.1 %u %s\r\nDate: %s\r\nServer: demo\r\n", status, reason(status), date);
	if (type)
		out_printf(c, "Content-Type: %s\r\n", type);
	if (c->req.close)
		out_printf(c, "Connection: close\r\n");
	else if (c->req.http10)
		out_printf(c, "Connection: keep-alive\r\n");
	c->answered = true;
	c->source = NOTHING;
}

/* A whole answer. */
static void respond(struct conn *c, unsigned status, const char *type, const char *body, size_t n)
{
	start(c, status, type);
	if (status != 204 && status != 304)
		out_printf(c, "Content-Length: %zu\r\n", n);
	out_printf(c, "\r\n");
	if (!c->req.head && status != 204 && status != 304)
		out_put(c, body, n);
}

void respond_text(struct conn *c, unsigned status)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%u %s\n", status, reason(status));

	respond(c, status, "text/plain", text, (size_t)n);
}

/* An answer of unknown length: chunked, or for HTTP/1.0 ended by the close. Its body comes from source. */
static void respond_streaming(struct conn *c, const char *type, const char *fields, enum source source)
{
	c->chunked = !c->req.http10;
	if (c->req.http10)
		c->req.close = true;
	start(c, 200, type);
	out_printf(c, "%s%s\r\n", fields, c->chunked ? "Transfer-Encoding: chunked\r\n" : "");
	c->source = c->req.head ? NOTHING : source;
}

/* What out has from mark on becomes the body of a JSON answer. */
static void respond_json_from(struct conn *c, size_t mark)
{
	size_t n = out_pending(c) - mark;
	char *body = malloc(n);

	if (!body)
		die("malloc");
	memcpy(body, c->out + c->out_n - n, n);
	c->out_n -= n;
	respond(c, 200, "application/json", body, n);
	free(body);
}

void chunk(struct conn *c, const void *p, size_t n)
{
	if (c->chunked)
		out_printf(c, "%zx\r\n", n);
	out_put(c, p, n);
	if (c->chunked)
		out_put(c, "\r\n", 2);
}

void last_chunk(struct conn *c, const char *trailers)
{
	if (c->chunked)
		out_printf(c, "0\r\n%s\r\n", trailers);
}

static void answer_page(struct conn *c)
{
	static const char etag[] = "\"demo-1\"";

	if (is(field(&c->req, "if-none-match"), etag)) {
		start(c, 304, NULL);
		out_printf(c, "ETag: %s\r\n\r\n", etag);
		return;
	}
	start(c, 200, "text/html; charset=utf-8");
	out_printf(c, "ETag: %s\r\nContent-Length: %zu\r\n\r\n", etag, sizeof(page) - 1);
	if (!c->req.head)
		out_put(c, page, sizeof(page) - 1);
}

/* One range "bytes=a-b", "bytes=a-" or "bytes=-n" (RFC 9110 section 14.1.2); anything else is ignored. */
static void answer_bytes(struct conn *c, uint64_t total)
{
	struct span range = field(&c->req, "range"), first;
	uint64_t from = 0, to = total, n;
	bool part = false;

	if (range.n > 6 && memcmp(range.p, "bytes=", 6) == 0 && !memchr(range.p, ',', range.n)) {
		range.p += 6, range.n -= 6;
		first = split(&range, '-');
		if (!first.n && number(range, 10, &n)) {
			from = n < total ? total - n : 0;
			part = true;
		} else if (number(first, 10, &n)) {
			from = n;
			if (number(range, 10, &n) && n < total)
				to = n + 1;
			part = true;
		}
	}
	if (part && from >= to) {
		start(c, 416, NULL);
		out_printf(c, "Content-Range: bytes */%" PRIu64 "\r\nContent-Length: 0\r\n\r\n", total);
		return;
	}
	start(c, part ? 206 : 200, "application/octet-stream");
	if (part)
		out_printf(c, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n",
			   from, to - 1, total);
	out_printf(c, "Accept-Ranges: bytes\r\nContent-Length: %" PRIu64 "\r\n\r\n", to - from);
	c->chunked = false;
	c->at = from;
	c->left = to - from;
	c->chunk_bytes = 65536;
	c->source = c->req.head ? NOTHING : BYTES;
}

static void out_json(struct conn *c, struct span s)
{
	out_put(c, "\"", 1);
	for (size_t i = 0; i < s.n; i++) {
		uint8_t b = (uint8_t)s.p[i];

		if (b == '"' || b == '\\')
			out_printf(c, "\\%c", b);
		else if (b < 0x20 || b >= 0x7f)
			out_printf(c, "\\u%04x", b);
		else
			out_put(c, &s.p[i], 1);
	}
	out_put(c, "\"", 1);
}

/* A field section as a list of [name, value]. */
static void json_fields(struct conn *c, struct span fields)
{
	struct span name, value;
	const char *comma = "";

	out_put(c, "[", 1);
	while (next_field(&fields, &name, &value)) {
		out_printf(c, "%s[", comma);
		out_json(c, name);
		out_put(c, ",", 1);
		out_json(c, value);
		out_put(c, "]", 1);
		comma = ",";
	}
	out_put(c, "]", 1);
}

static void answer_headers(struct conn *c)
{
	size_t mark = out_pending(c);

	out_printf(c, "{\"method\":");
	out_json(c, c->req.method);
	out_printf(c, ",\"target\":");
	out_json(c, c->req.target);
	out_printf(c, ",\"version\":\"%s\",\"headers\":", c->req.http10 ? "HTTP/1.0" : "HTTP/1.1");
	json_fields(c, c->req.fields);
	out_printf(c, "}\n");
	respond_json_from(c, mark);
}

static void answer_upload(struct conn *c)
{
	struct span trailers = { c->trailers, c->trailers ? strlen(c->trailers) : 0 };
	unsigned char digest[EVP_MAX_MD_SIZE];
	size_t mark = out_pending(c);

	EVP_DigestFinal_ex(c->hash, digest, NULL);
	out_printf(c, "{\"bytes\":%" PRIu64 ",\"sha256\":\"", c->body_bytes);
	for (int i = 0; i < 32; i++)
		out_printf(c, "%02x", digest[i]);
	out_printf(c, "\",\"trailers\":");
	json_fields(c, trailers);
	out_printf(c, "}\n");
	demo.uploads++;
	respond_json_from(c, mark);
}

static void answer_stats(struct conn *c)
{
	size_t mark = out_pending(c);

	out_printf(c, "{\"connections\":%" PRIu64 ",\"accepted\":%" PRIu64 ",\"requests\":%" PRIu64,
		   demo.connections, demo.accepted, demo.requests);
	out_printf(c, ",\"events_open\":%" PRIu64 ",\"sockets_open\":%" PRIu64,
		   demo.events_open, demo.sockets_open);
	out_printf(c, ",\"uploads\":%" PRIu64 ",\"uploads_broken\":%" PRIu64 "}\n",
		   demo.uploads, demo.uploads_broken);
	respond_json_from(c, mark);
}

static void answer_status(struct conn *c, uint64_t status)
{
	if (status >= 100 && status < 200 && status != 101) {
		out_printf(c, "HTTP/1.1 %" PRIu64 " Interim\r\nLink: </style.css>; rel=preload\r\n\r\n",
			   status);
		respond_text(c, 200);
	} else if (status >= 200 && status <= 999) {
		respond_text(c, (unsigned)status);
	} else {
		respond_text(c, 404);
	}
}

void answer_before_body(struct conn *c, bool expects)
{
	struct request *r = &c->req;

	if (is(r->path, "/early")) {
		/* who waits for a 100 will not send the body after this, so nothing can be read on */
		r->close |= expects || query_number(r, "close", 0);
		respond_text(c, 200);
		if (r->close)
			finish(c);
		return;
	}
	if (expects)
		out_printf(c, "HTTP/1.1 100 Continue\r\n\r\n");
	if (is(r->path, "/echo")) {
		respond_streaming(c, "application/octet-stream", "", NOTHING);
		c->echo = !r->head;
	} else if (is(r->path, "/upload") && (is(r->method, "POST") || is(r->method, "PUT"))) {
		c->hash = EVP_MD_CTX_new();
		if (!c->hash || !EVP_DigestInit_ex(c->hash, EVP_sha256(), NULL))
			die("sha256");
	}
}

void answer(struct conn *c)
{
	struct request *r = &c->req;
	uint64_t n;

	c->phase = ANSWER;
	if (is(r->path, "/")) {
		answer_page(c);
	} else if (is(r->path, "/json")) {
		respond(c, 200, "application/json", "{\"hello\":\"world\"}\n", 18);
	} else if (path_number(r, "/bytes/", &n)) {
		answer_bytes(c, n);
	} else if (path_number(r, "/chunked/", &n)) {
		respond_streaming(c, "application/octet-stream", "", BYTES);
		c->at = 0;
		c->left = n;
		c->chunk_bytes = query_number(r, "chunk", 16384);
		if (c->chunk_bytes < 1 || c->chunk_bytes > 65536)
			c->chunk_bytes = 65536;
	} else if (is(r->path, "/events")) {
		respond_streaming(c, "text/event-stream", "Cache-Control: no-store\r\n", EVENTS);
		c->interval_ms = query_number(r, "interval_ms", 1000);
		c->left = query_number(r, "count", UINT64_MAX);
		c->events = 0;
		demo.events_open += c->source == EVENTS;
		timer_set(c, 0);
	} else if (is(r->path, "/slow")) {
		c->source = DELAY;
		timer_set(c, query_number(r, "ms", 2000));
	} else if (is(r->path, "/headers")) {
		answer_headers(c);
	} else if (is(r->path, "/upload")) {
		if (c->hash)
			answer_upload(c);
		else
			respond_text(c, 405);
	} else if (path_number(r, "/status/", &n)) {
		answer_status(c, n);
	} else if (is(r->path, "/trailers")) {
		respond_streaming(c, "text/plain", "Trailer: X-Checksum, Server-Timing\r\n", NOTHING);
		if (!r->head) {
			chunk(c, "see the trailers\n", 17);
			last_chunk(c, "X-Checksum: 42\r\nServer-Timing: app;dur=1\r\n");
		}
	} else if (is(r->path, "/stats")) {
		answer_stats(c);
	} else if (is(r->path, "/ws")) {
		answer_upgrade(c);
	} else {
		respond_text(c, 404);
	}
}

static bool answer_events(struct conn *c)
{
	char text[128];
	struct timespec t;
	int n;

	if (c->left) {
		if (c->due_ms > now_ms())
			return false;
		clock_gettime(CLOCK_REALTIME, &t);
		n = snprintf(text, sizeof(text),
			     "id: %" PRIu64 "\ndata: {\"n\":%" PRIu64 ",\"time\":%lld.%03ld}\n\n",
			     c->events, c->events, (long long)t.tv_sec, t.tv_nsec / 1000000);
		chunk(c, text, (size_t)n);
		c->events++;
		c->left--;
		timer_set(c, c->interval_ms);
		return c->left == 0;
	}
	last_chunk(c, "");
	finish(c);
	return true;
}

bool answer_more(struct conn *c)
{
	size_t n;

	switch (c->source) {
	case NOTHING:
		finish(c);
		return true;
	case BYTES:
		n = PATTERN - c->at % PATTERN;
		if (n > c->left)
			n = (size_t)c->left;
		if (n > c->chunk_bytes)
			n = (size_t)c->chunk_bytes;
		if (n)
			chunk(c, demo.pattern + c->at % PATTERN, n);
		c->at += n;
		c->left -= n;
		if (!c->left) {
			last_chunk(c, "");
			finish(c);
		}
		return true;
	case EVENTS:
		return answer_events(c);
	case DELAY:
		if (c->due_ms > now_ms())
			return false;
		timer_clear(c);
		respond_text(c, 200);
		return true;
	}
	return false;
}
