/*
 * h1_pieces.h - for h1's fuzz targets: the same bytes whole and in pieces must come to the same.
 *
 * How an input is cut is drawn from the input itself, so that a crash is the same the next time.
 */
#pragma once

#include "h1/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct pieces {
	uint64_t state;
};

static inline struct pieces pieces_of(const void *p, size_t n)
{
	struct pieces c = {0xcbf29ce484222325};

	for (size_t i = 0; i < n; i++)
		c.state = (c.state ^ ((const uint8_t *)p)[i]) * 0x100000001b3;
	c.state |= 1;
	return c;
}

/* 1 to max, small ones more often. */
static inline size_t pieces_next(struct pieces *c, size_t max)
{
	c->state ^= c->state << 13;
	c->state ^= c->state >> 7;
	c->state ^= c->state << 17;
	return 1 + (size_t)(c->state >> 8) % (c->state & 1 ? MIN(max, (size_t)4) : max);
}

/* A copy of its own for the bytes that are offered, so that a read beyond them is seen. */
static inline ssize_t pieces_parse(struct h1_parser *p, const char *in, size_t n)
{
	char *copy = base_alloc(n ? n : 1);
	ssize_t r;

	if (n)
		memcpy(copy, in, n);
	r = h1_parse(p, copy, n);
	free(copy);
	return r;
}

/* Bytes used by then, or -enum err. */
static inline ssize_t pieces_parse_all(struct h1_parser *p, const char *in, size_t n, struct pieces *c)
{
	size_t used = 0, end = 0;

	while (!p->done && end < n) {
		ssize_t r;

		end += c ? pieces_next(c, n - end) : n;
		r = pieces_parse(p, in + used, end - used);
		if (r < 0)
			return r;
		used += (size_t)r;
	}
	return (ssize_t)used;
}

static inline void check_same_fields(const struct head *a, const struct head *b)
{
	BUG_ON(a->nfields != b->nfields);
	for (size_t i = 0; i < a->nfields; i++) {
		BUG_ON(!str_eq(a->fields[i].name, b->fields[i].name));
		BUG_ON(!str_eq(a->fields[i].value, b->fields[i].value));
		BUG_ON(a->fields[i].id != b->fields[i].id || a->fields[i].removed != b->fields[i].removed);
	}
}

static inline void check_same_head(const struct h1_parser *p, const struct h1_parser *q)
{
	const struct head *a = p->head, *b = q->head;

	BUG_ON(p->done != q->done || p->framing != q->framing || p->keep_alive != q->keep_alive);
	BUG_ON(p->upgrade_websocket != q->upgrade_websocket);
	BUG_ON(a->kind != b->kind || a->minor != b->minor || a->status != b->status ||
	       a->length != b->length);
	BUG_ON(!str_eq(a->method, b->method) || !str_eq(a->scheme, b->scheme) || !str_eq(a->path, b->path));
	BUG_ON(!str_eq(a->authority, b->authority) || !str_eq(a->reason, b->reason));
	BUG_ON(a->websocket != b->websocket || a->expect_continue != b->expect_continue);
	check_same_fields(a, b);
}

/* All of a buffer, in memory of its own; the buffer is emptied. */
static inline struct str flat(struct buf *b)
{
	size_t n = buf_len(b);
	char *p = base_alloc(n ? n : 1);

	buf_copy(b, p, n);
	buf_drop(b, n);
	return str_of(p, n);
}

/* What is written is strict, whatever was read: CRLF lines, no other control character but HTAB. */
static inline void check_strict(struct str s)
{
	BUG_ON(!str_ends(s, STR("\r\n\r\n")));
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '\r')
			BUG_ON(s.p[i + 1] != '\n');
		else if (c == '\n')
			BUG_ON(i == 0 || s.p[i - 1] != '\r');
		else
			BUG_ON((c < 0x20 && c != '\t') || c == 0x7f);
	}
}
