/*
 * body.c - message bodies as they are read: by length, chunked (RFC 9112 section 7.1), until the close.
 */
#include "h1/priv.h"

/* Where in a chunked body the next byte belongs. */
enum chunk_state {
	CHUNK_SIZE,  /* hexadecimal digits */
	CHUNK_SPACE, /* white space before an extension */
	CHUNK_EXTENSION,
	CHUNK_LINE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILERS,
};

/* More digits than 63 bits need are refused, leading zeros or not: nothing in a size line is unbounded. */
enum { CHUNK_DIGITS_MAX = 16 };

void h1_body_init(struct h1_body *b, enum h1_what what, enum h1_framing framing, uint64_t length,
		  const struct h1_limits *limits, struct arena *arena)
{
	*b = (struct h1_body){
		.what = what,
		.framing = framing,
		.state = CHUNK_SIZE,
		.left = framing == H1_LENGTH ? length : 0,
		.done = framing == H1_NO_BODY || (framing == H1_LENGTH && length == 0),
		.trailers = {.limits = limits, .arena = arena},
	};
}

uint64_t h1_body_direct(const struct h1_body *b)
{
	if (b->framing == H1_UNTIL_CLOSE)
		return UINT64_MAX;
	/* left counts up while a chunk's size is being read */
	return b->framing == H1_CHUNKED && b->state != CHUNK_DATA ? 0 : b->left;
}

void h1_body_skip(struct h1_body *b, uint64_t n)
{
	BUG_ON(n > h1_body_direct(b));
	if (b->framing == H1_UNTIL_CLOSE)
		return;
	b->left -= n;
	if (b->left > 0)
		return;
	if (b->framing == H1_LENGTH)
		b->done = true;
	else if (b->state == CHUNK_DATA)
		b->state = CHUNK_DATA_CR;
}

/* 1*HEXDIG within 63 bits. */
static enum err take_digit(struct h1_body *b, char c)
{
	unsigned digit = c <= '9' ? (unsigned)(c - '0') : (unsigned)(c | 0x20) - 'a' + 10;

	if (b->digits == CHUNK_DIGITS_MAX || b->left > INT64_MAX >> 4)
		return ERR_BAD_CHUNK;
	b->digits++;
	b->left = b->left << 4 | digit;
	return ERR_OK;
}

/*
 * What follows the digits: *( BWS ";" ... ) CRLF. Extensions have no meaning here and are not passed on
 * (RFC 9112 section 7.1.1), but no byte in them may be taken for the end of the line by anyone.
 */
static enum err take_extension(struct h1_body *b, char c)
{
	if (c == '\r' && b->state != CHUNK_SPACE) {
		b->state = CHUNK_LINE_LF;
		return ERR_OK;
	}
	if (!syntax_is(c, SYNTAX_VALUE))
		return ERR_BAD_CHUNK;
	if (c == ';')
		b->state = CHUNK_EXTENSION;
	else if (b->state != CHUNK_EXTENSION && (c == ' ' || c == '\t'))
		b->state = CHUNK_SPACE;
	else if (b->state != CHUNK_EXTENSION)
		return ERR_BAD_CHUNK;
	return ++b->extension_bytes > b->trailers.limits->chunk_extensions_bytes ? ERR_CHUNK_EXT_LARGE
										 : ERR_OK;
}

/* The size line is complete: data, or the trailer section behind the last chunk. */
static void begin_chunk(struct h1_body *b)
{
	b->digits = 0;
	b->state = b->left > 0 ? CHUNK_DATA : CHUNK_TRAILERS;
	if (b->state == CHUNK_TRAILERS)
		h1_parser_init_trailers(&b->trailers, b->what, b->trailers.limits, b->trailers.arena);
}

/* One byte of the lines between the data. */
static enum err take_byte(struct h1_body *b, char c)
{
	switch ((enum chunk_state)b->state) {
	case CHUNK_SIZE:
		if (syntax_is(c, SYNTAX_HEX))
			return take_digit(b, c);
		return b->digits ? take_extension(b, c) : ERR_BAD_CHUNK;
	case CHUNK_SPACE:
	case CHUNK_EXTENSION:
		return take_extension(b, c);
	case CHUNK_LINE_LF:
		if (c != '\n')
			return ERR_BAD_CHUNK;
		begin_chunk(b);
		return ERR_OK;
	case CHUNK_DATA_CR:
		b->state = CHUNK_DATA_LF;
		return c == '\r' ? ERR_OK : ERR_BAD_CHUNK;
	case CHUNK_DATA_LF:
		b->state = CHUNK_SIZE;
		return c == '\n' ? ERR_OK : ERR_BAD_CHUNK;
	case CHUNK_DATA:
	case CHUNK_TRAILERS:
		break;
	}
	BUG_ON(true);
}

static ssize_t decode_chunked(struct h1_body *b, const char *in, size_t n, struct str *payload)
{
	size_t at = 0;
	ssize_t used;
	enum err e;

	for (; at < n && b->state != CHUNK_DATA && b->state != CHUNK_TRAILERS; at++) {
		e = take_byte(b, in[at]);
		if (e != ERR_OK)
			return -(ssize_t)h1_err(b->what, e);
	}
	if (at > 0)
		return (ssize_t)at;
	if (b->state == CHUNK_DATA) {
		*payload = str_of(in, (size_t)MIN(b->left, (uint64_t)n));
		h1_body_skip(b, payload->n);
		return (ssize_t)payload->n;
	}
	used = h1_parse(&b->trailers, in, n);
	b->done = b->trailers.done;
	return used;
}

ssize_t h1_body_decode(struct h1_body *b, const char *in, size_t n, struct str *payload)
{
	*payload = STR_NONE;
	if (b->done || n == 0)
		return 0;
	if (b->framing == H1_CHUNKED)
		return decode_chunked(b, in, n, payload);
	*payload = str_of(in, (size_t)MIN(h1_body_direct(b), (uint64_t)n));
	h1_body_skip(b, payload->n);
	return (ssize_t)payload->n;
}
