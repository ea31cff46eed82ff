/*
 * http.c - reads requests: heads (RFC 9112 section 2) and bodies (sections 6 and 7).
 *
 * Strict on purpose: what this origin accepts, a proxy in front of it must have written properly.
 */
#include "examples/demo/demo.h"

#include <strings.h>

bool is(struct span s, const char *text)
{
	return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

static bool is_nocase(struct span s, const char *text)
{
	return s.n == strlen(text) && strncasecmp(s.p, text, s.n) == 0;
}

struct span trim(struct span s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

struct span split(struct span *s, char c)
{
	const char *at = s->n ? memchr(s->p, c, s->n) : NULL;
	struct span head = { s->p, at ? (size_t)(at - s->p) : s->n };

	s->p += head.n + !!at;
	s->n -= head.n + !!at;
	return head;
}

bool number(struct span s, unsigned base, uint64_t *out)
{
	uint64_t v = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		unsigned digit = 16;

		if (c >= '0' && c <= '9')
			digit = (unsigned)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			digit = (unsigned)((c | 32) - 'a') + 10;
		if (digit >= base || v > ((uint64_t)INT64_MAX - digit) / base)
			return false;
		v = v * base + digit;
	}
	*out = v;
	return s.n > 0;
}

bool has_token(struct span list, const char *token)
{
	while (list.n)
		if (is_nocase(trim(split(&list, ',')), token))
			return true;
	return false;
}

bool next_field(struct span *fields, struct span *name, struct span *value)
{
	struct span line;

	if (!fields->n)
		return false;
	line = split(fields, '\n');
	line.n--;	/* the CR: fields_are_sound saw it */
	*name = split(&line, ':');
	*value = trim(line);
	return true;
}

struct span field(const struct request *r, const char *wanted)
{
	struct span fields = r->fields, name, value;

	while (next_field(&fields, &name, &value))
		if (is_nocase(name, wanted))
			return value;
	return (struct span){ NULL, 0 };
}

/* Lines end in CRLF, names are not empty and have no white space, and HTAB is the only control character. */
static bool fields_are_sound(struct span fields)
{
	while (fields.n) {
		struct span line = split(&fields, '\n'), name;

		if (!line.n || line.p[line.n - 1] != '\r')
			return false;
		line.n--;
		for (size_t i = 0; i < line.n; i++)
			if ((uint8_t)line.p[i] < 0x20 && line.p[i] != '\t')
				return false;
		if (!memchr(line.p, ':', line.n))
			return false;
		name = split(&line, ':');
		if (!name.n || memchr(name.p, ' ', name.n) || memchr(name.p, '\t', name.n))
			return false;
	}
	return true;
}

/* Reads r->text. False on anything that is not a plain HTTP/1 request. */
static bool parse_head(struct request *r, size_t n)
{
	struct span all = { r->text, n }, line = split(&all, '\n'), version;

	if (!line.n || line.p[line.n - 1] != '\r')
		return false;
	line.n--;
	r->method = split(&line, ' ');
	r->target = split(&line, ' ');
	version = line;
	r->http10 = is(version, "HTTP/1.0");
	if (!r->method.n || !r->target.n || (!r->http10 && !is(version, "HTTP/1.1")))
		return false;
	r->query = r->target;
	r->path = split(&r->query, '?');
	r->fields = (struct span){ all.p, all.n - 2 };
	r->head = is(r->method, "HEAD");
	if (!fields_are_sound(r->fields))
		return false;
	r->close = r->http10 ? !has_token(field(r, "connection"), "keep-alive") :
			       has_token(field(r, "connection"), "close");
	return true;
}

/* RFC 9112 sections 3.2 and 6.3. False when host or body length are not beyond doubt. */
static bool find_framing(struct conn *c)
{
	struct span fields = c->req.fields, name, value;
	bool length = false, chunked = false;
	unsigned hosts = 0;

	c->body_left = 0;
	while (next_field(&fields, &name, &value)) {
		if (is_nocase(name, "content-length")) {
			if (length || !number(value, 10, &c->body_left))
				return false;
			length = true;
		} else if (is_nocase(name, "transfer-encoding")) {
			if (chunked || !is_nocase(value, "chunked"))
				return false;
			chunked = true;
		} else if (is_nocase(name, "host")) {
			hosts++;
		}
	}
	c->framing = chunked ? CHUNK_SIZE : length && c->body_left ? LENGTH : NO_BODY;
	if (hosts != 1 && !(c->req.http10 && hosts == 0))
		return false;
	return !(chunked && (length || c->req.http10));
}

/* Ends a connection that cannot be read on from; an answer that was begun stays visibly incomplete. */
static bool refuse(struct conn *c, unsigned status)
{
	c->req.close = true;
	if (!c->answered)
		respond_text(c, status);
	finish(c);
	return true;
}

bool read_head(struct conn *c)
{
	char *end;
	size_t n, skip = 0;

	while (c->in_n >= skip + 2 && memcmp(c->in + skip, "\r\n", 2) == 0)
		skip += 2;		/* RFC 9112 section 2.2 */
	if (skip)
		in_drop(c, skip);
	end = memmem(c->in, c->in_n, "\r\n\r\n", 4);
	if (!end)
		return c->in_n == IN_MAX ? refuse(c, 431) : false;
	n = (size_t)(end + 4 - c->in);
	c->req.text = malloc(n);
	if (!c->req.text)
		die("malloc");
	memcpy(c->req.text, c->in, n);
	in_drop(c, n);
	if (!parse_head(&c->req, n) || !find_framing(c))
		return refuse(c, 400);
	demo.requests++;
	c->phase = READ_BODY;
	c->body_bytes = 0;
	answer_before_body(c, c->framing != NO_BODY && is_nocase(field(&c->req, "expect"), "100-continue"));
	return true;
}

/* n bytes of the request body. */
static void take(struct conn *c, const char *p, size_t n)
{
	c->body_bytes += n;
	if (c->hash)
		EVP_DigestUpdate(c->hash, p, n);
	if (c->echo && n)
		chunk(c, p, n);
}

/* A line of the chunked framing without its CRLF; false when it is not complete yet. */
static bool next_line(struct conn *c, struct span *line)
{
	char *end = memmem(c->in, c->in_n, "\r\n", 2);

	*line = (struct span){ c->in, end ? (size_t)(end - c->in) : 0 };
	return end != NULL;
}

/* One line of a trailer section; the empty one ends the body. */
static bool take_trailer(struct conn *c, struct span line)
{
	size_t old = c->trailers ? strlen(c->trailers) : 0;

	if (!line.n) {
		c->framing = NO_BODY;
		return true;
	}
	if (old + line.n > IN_MAX || !fields_are_sound((struct span){ line.p, line.n + 2 }))
		return false;
	c->trailers = realloc(c->trailers, old + line.n + 3);
	if (!c->trailers)
		die("realloc");
	memcpy(c->trailers + old, line.p, line.n + 2);
	c->trailers[old + line.n + 2] = '\0';
	return true;
}

/* RFC 9112 section 7.1. False when bytes are missing; what is wrong ends the connection. */
static bool read_chunked(struct conn *c)
{
	struct span line, size;

	if (!next_line(c, &line))
		return c->in_n == IN_MAX ? refuse(c, 400) : false;
	if (c->framing == CHUNK_SIZE) {
		size = line;
		if (!number(split(&size, ';'), 16, &c->body_left))
			return refuse(c, 400);
		c->framing = c->body_left ? CHUNK_DATA : TRAILERS;
	} else if (c->framing == CHUNK_END) {
		if (line.n)
			return refuse(c, 400);
		c->framing = CHUNK_SIZE;
	} else if (!take_trailer(c, line)) {
		return refuse(c, 400);
	}
	in_drop(c, line.n + 2);
	return true;
}

bool read_body(struct conn *c)
{
	size_t n;

	if (c->framing == NO_BODY) {
		if (c->echo)
			last_chunk(c, "");
		if (c->answered)
			c->phase = ANSWER;	/* only its end is left */
		else
			answer(c);
		return true;
	}
	if (c->framing != LENGTH && c->framing != CHUNK_DATA)
		return read_chunked(c);
	n = c->in_n < c->body_left ? c->in_n : (size_t)c->body_left;
	if (!n)
		return false;
	take(c, c->in, n);
	in_drop(c, n);
	c->body_left -= n;
	if (!c->body_left)
		c->framing = c->framing == LENGTH ? NO_BODY : CHUNK_END;
	return true;
}
