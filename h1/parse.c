/*
 * parse.c - heads and trailer sections, line by line (RFC 9112 sections 2 to 5).
 *
 * Every line is copied into the arena once it is whole, so that names and values can be borrowed from
 * there. What the fields mean is meaning.c's.
 */
#include "h1/priv.h"

void h1_parser_init(struct h1_parser *p, enum h1_what what, const struct h1_limits *limits,
		    struct arena *arena, const struct head *request)
{
	BUG_ON(what == H1_RESPONSE && !request);
	*p = (struct h1_parser){
		.what = what,
		.limits = limits,
		.arena = arena,
		.head = head_new(arena, what == H1_REQUEST ? HEAD_REQUEST : HEAD_FINAL),
		.request = request,
	};
}

void h1_parser_init_trailers(struct h1_parser *p, enum h1_what what, const struct h1_limits *limits,
			     struct arena *arena)
{
	*p = (struct h1_parser){
		.what = what,
		.limits = limits,
		.arena = arena,
		.head = head_new(arena, HEAD_TRAILERS),
		.trailers = true,
		.started = true,
	};
}

enum err h1_err(enum h1_what what, enum err e)
{
	if (what == H1_REQUEST || e == ERR_OK)
		return e;
	if (e == ERR_HEAD_LARGE || e == ERR_REQUEST_LINE_LONG || e == ERR_FIELDS_MANY ||
	    e == ERR_TRAILERS_LARGE)
		return ERR_UP_HEAD_LARGE;
	if (e == ERR_BAD_LENGTH || e == ERR_BAD_TRANSFER_ENCODING || e == ERR_TWO_FRAMINGS)
		return ERR_UP_BAD_FRAMING;
	if (e == ERR_BAD_CHUNK || e == ERR_CHUNK_EXT_LARGE)
		return ERR_UP_BAD_CHUNK;
	return ERR_UP_BAD_HEAD;
}

/* Not 0 when any of the eight bytes at p is below 0x20 or is 0x7f. */
static uint64_t controls(const char *p)
{
	const uint64_t ones = UINT64_MAX / 255;
	uint64_t x, del;

	memcpy(&x, p, sizeof x);
	del = x ^ ones * 0x7f;
	return (((x - ones * 0x20) & ~x) | ((del - ones) & ~del)) & ones * 0x80;
}

/*
 * All of s is SYNTAX_VALUE. Most bytes of a head are values: eight are looked at together (the last eight
 * once more), and singly only when there is a tab or worse among them.
 */
static bool is_value(struct str s)
{
	uint64_t found = 0;

	if (s.n >= 8) {
		for (size_t i = 0; i < s.n - 8; i += 8)
			found |= controls(s.p + i);
		found |= controls(s.p + s.n - 8);
		if (!found)
			return true;
	}
	return syntax_span(s, SYNTAX_VALUE) == s.n;
}

/* "HTTP/1.0" or "HTTP/1.1", nothing else (RFC 9112 section 2.3). */
static bool read_version(struct head *h, struct str s)
{
	if (s.n != 8 || memcmp(s.p, "HTTP/1.", 7) != 0 || (s.p[7] != '0' && s.p[7] != '1'))
		return false;
	h->minor = (uint8_t)(s.p[7] - '0');
	return true;
}

/* method SP request-target SP HTTP-version (RFC 9112 section 3) */
static enum err request_line(struct h1_parser *p, struct str line)
{
	struct head *h = p->head;
	struct str rest = line, target;

	h->method = str_of(line.p, syntax_span(line, SYNTAX_TCHAR));
	if (h->method.n == line.n)
		return ERR_BAD_REQUEST_LINE;
	if (h->method.n == 0 || line.p[h->method.n] != ' ')
		return ERR_BAD_METHOD;

	rest = str_of(line.p + h->method.n + 1, line.n - h->method.n - 1);
	target = h->path = str_of(rest.p, syntax_span(rest, SYNTAX_TARGET));
	if (target.n == rest.n)
		return ERR_BAD_VERSION; /* HTTP/0.9 */
	if (target.n == 0 || rest.p[target.n] != ' ')
		return ERR_BAD_TARGET;

	rest = str_of(rest.p + target.n + 1, rest.n - target.n - 1);
	if (!str_starts(rest, STR("HTTP/"))) /* more than two spaces */
		return ERR_BAD_REQUEST_LINE;
	if (!read_version(h, rest))
		return ERR_BAD_VERSION;
	if (str_eq(h->method, STR("CONNECT")))
		return ERR_CONNECT_REFUSED;
	if (str_eq(h->method, STR("TRACE")))
		return ERR_TRACE_REFUSED;
	return h1_read_target(p->arena, h, target);
}

/* HTTP-version SP status-code SP [ reason-phrase ], also without the last SP (RFC 9112 section 4) */
static enum err status_line(struct h1_parser *p, struct str line)
{
	struct head *h = p->head;
	uint64_t status;

	if (line.n < 12 || !read_version(h, str_of(line.p, 8)) || line.p[8] != ' ' ||
	    !str_to_u64(str_of(line.p + 9, 3), 999, &status) || status < 100)
		return ERR_UP_BAD_HEAD;
	h->status = (uint16_t)status;
	if (line.n == 12)
		return ERR_OK;
	h->reason = str_of(line.p + 13, line.n - 13);
	if (line.p[12] != ' ' || !is_value(h->reason))
		return ERR_UP_BAD_HEAD;
	return ERR_OK;
}

/*
 * Fields that must not come as trailers, since they would change what was already acted upon: framing,
 * routing, authentication, request modifiers, content format (RFC 9110 section 6.5.1). They are dropped.
 */
static bool is_forbidden_trailer(enum field_id id)
{
	static const uint8_t ids[] = {
		FIELD_CONTENT_LENGTH,
		FIELD_HOST,
		FIELD_FORWARDED,
		FIELD_X_FORWARDED_FOR,
		FIELD_X_FORWARDED_HOST,
		FIELD_X_FORWARDED_PROTO,
		FIELD_X_FORWARDED_PREFIX,
		FIELD_AUTHORIZATION,
		FIELD_WWW_AUTHENTICATE,
		FIELD_COOKIE,
		FIELD_SET_COOKIE,
		FIELD_CACHE_CONTROL,
		FIELD_EXPECT,
		FIELD_MAX_FORWARDS,
		FIELD_PRAGMA,
		FIELD_RANGE,
		FIELD_CONTENT_ENCODING,
		FIELD_CONTENT_TYPE,
		FIELD_CONTENT_RANGE,
		FIELD_TRAILER,
	};

	return field_flags(id) & FIELD_HOP || memchr(ids, id, sizeof ids);
}

/* field-name ":" OWS field-value OWS (RFC 9112 section 5) */
static enum err field_line(struct h1_parser *p, struct str line)
{
	struct str name = str_of(line.p, syntax_span(line, SYNTAX_TCHAR)), value;
	size_t colon = name.n;
	struct field *f;

	if (name.n == 0)
		return line.p[0] == ' ' || line.p[0] == '\t' ? ERR_OBS_FOLD : ERR_BAD_FIELD_NAME;
	if (p->what == H1_RESPONSE) /* RFC 9112 section 5.1: stripped here, refused from clients */
		while (colon < line.n && (line.p[colon] == ' ' || line.p[colon] == '\t'))
			colon++;
	if (colon == line.n || line.p[colon] != ':')
		return ERR_BAD_FIELD_NAME;
	value = str_trim(str_of(line.p + colon + 1, line.n - colon - 1));
	if (!is_value(value))
		return ERR_BAD_FIELD_VALUE;
	if (p->head->nfields >= MIN(p->limits->fields, (size_t)H1_FIELDS_MAX))
		return ERR_FIELDS_MANY;
	f = head_add(p->arena, p->head, name, value);
	if (p->trailers && is_forbidden_trailer(f->id))
		f->removed = true;
	return ERR_OK;
}

static enum err end_of_section(struct h1_parser *p)
{
	enum err e = ERR_OK;

	if (!p->trailers)
		e = p->what == H1_REQUEST ? h1_finish_request(p) : h1_finish_response(p);
	p->done = e == ERR_OK;
	return e;
}

/* One whole line with its LF. */
static enum err read_line(struct h1_parser *p, const char *s, size_t n)
{
	struct str line = {s, n - 2};

	if (n < 2 || s[n - 2] != '\r')
		return ERR_BAD_LINE_END;
	if (line.n > 0)
		line = arena_dup(p->arena, line);

	if (!p->started) {
		if (line.n == 0 && p->what == H1_REQUEST && p->empty_lines < H1_EMPTY_LINES_MAX) {
			p->empty_lines++;
			return ERR_OK;
		}
		p->started = true;
		return p->what == H1_REQUEST ? request_line(p, line) : status_line(p, line);
	}
	if (line.n > 0)
		return field_line(p, line);
	return end_of_section(p);
}

/*
 * The limits, for a line of which n bytes are there, its end included when it is `whole`. Judged before
 * the line is read or its end awaited, so that it makes no difference in what pieces a head arrives.
 */
static enum err check_size(const struct h1_parser *p, size_t n, bool whole)
{
	if (p->trailers)
		return p->seen_bytes + n > p->limits->trailers_bytes ? ERR_TRAILERS_LARGE : ERR_OK;
	/* of what is not whole, the last byte may be the CR */
	if (!p->started && n > p->limits->line_bytes + (whole ? 2 : 1))
		return ERR_REQUEST_LINE_LONG;
	return p->seen_bytes + n > p->limits->head_bytes ? ERR_HEAD_LARGE : ERR_OK;
}

ssize_t h1_parse(struct h1_parser *p, const char *in, size_t n)
{
	size_t at = 0;

	BUG_ON(p->done || p->scanned > n);
	while (!p->done && at < n) {
		const char *lf = memchr(in + at + p->scanned, '\n', n - at - p->scanned);
		size_t line_bytes = lf ? (size_t)(lf - (in + at)) + 1 : n - at;
		enum err e = check_size(p, line_bytes, lf);

		if (e == ERR_OK && lf)
			e = read_line(p, in + at, line_bytes);
		if (e != ERR_OK)
			return -(ssize_t)h1_err(p->what, e);
		if (!lf) {
			p->scanned = n - at;
			break;
		}
		p->scanned = 0;
		p->seen_bytes += line_bytes;
		at += line_bytes;
	}
	return (ssize_t)at;
}
