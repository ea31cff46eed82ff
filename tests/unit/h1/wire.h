/*
 * wire.h - for the tests of h1's wire functions: inputs fed in pieces against a guard page, heads as text.
 */
#pragma once

#include "h1/h1.h"
#include "tests/unit/guard.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define CR "\r\n"

static const struct h1_limits wire_limits = {
	.line_bytes = 16 * 1024,
	.head_bytes = 64 * 1024,
	.fields = 200,
	.trailers_bytes = 16 * 1024,
	.chunk_extensions_bytes = 16 * 1024,
};

/* What became of one input. */
struct outcome {
	enum err err;
	bool done;
	size_t used;
	char text[4096]; /* of the head, as wire_text writes it */
};

static inline struct head *wire_request(struct arena *a, const char *method)
{
	struct head *h = head_new(a, HEAD_REQUEST);

	h->method = str_from_c(method);
	h->minor = 1;
	return h;
}

static inline const char *wire_framing(enum h1_framing f)
{
	switch (f) {
	case H1_NO_BODY: return "none";
	case H1_LENGTH: return "length";
	case H1_CHUNKED: return "chunked";
	case H1_UNTIL_CLOSE: return "close";
	}
	return NULL;
}

/*
 * "GET http example.org /x 1.1 length=0/none keep ws expect|Name: value|-Removed: value": one line, parts
 * that are not there left out.
 */
static inline void wire_text(char *out, size_t cap, const struct h1_parser *p)
{
	const struct head *h = p->head;
	size_t n = 0;

#define ADD(...) n += (size_t)snprintf(out + n, n < cap ? cap - n : 0, __VA_ARGS__)
	if (h->kind == HEAD_REQUEST) {
		ADD("%.*s %s%.*s%.*s %.*s", STR_ARG(h->method), h->scheme.n ? "!" : "", STR_ARG(h->scheme),
		    STR_ARG(h->authority), STR_ARG(h->path));
	} else if (h->kind != HEAD_TRAILERS) {
		ADD("%s%d%s%.*s", h->kind == HEAD_INTERIM ? "interim " : "", h->status,
		    h->reason.n ? " " : "", STR_ARG(h->reason));
	}
	if (h->kind != HEAD_TRAILERS)
		ADD(" 1.%d %s=%lld%s%s%s", h->minor, wire_framing(p->framing), (long long)h->length,
		    p->keep_alive ? " keep" : "", p->upgrade_websocket ? " ws" : "",
		    h->expect_continue ? " expect" : "");
	for (const struct field *f = h->fields; f < h->fields + h->nfields; f++)
		ADD("|%s%.*s: %.*s", f->removed ? "-" : "", STR_ARG(f->name), STR_ARG(f->value));
#undef ADD
	if (n >= cap)
		fail_msg("text of a head does not fit");
}

/*
 * Feeds in[0..n): first up to `first` bytes, then `step` more each time, as a connection would: what was
 * not consumed is offered again. Each piece lies against the guard page.
 */
static inline struct outcome wire_feed(struct h1_parser *p, const char *in, size_t n, size_t first,
				       size_t step)
{
	struct guard g = guard_open(n + 1);
	struct outcome o = {.err = ERR_OK};

	for (size_t end = MIN(first, n); !p->done; end = MIN(end + step, n)) {
		ssize_t r = h1_parse(p, guard_tail(&g, in + o.used, end - o.used), end - o.used);

		if (r < 0) {
			o.err = (enum err) - r;
			break;
		}
		o.used += (size_t)r;
		if (end == n)
			break;
	}
	o.done = p->done;
	if (o.err == ERR_OK && o.done)
		wire_text(o.text, sizeof o.text, p);
	guard_close(&g);
	return o;
}

/*
 * Parses the input whole, split in two at every place, and byte by byte; all must come to the same.
 * Returns the outcome.
 */
static inline struct outcome wire_parse(enum h1_what what, const struct h1_limits *limits, const char *method,
					const char *in, size_t n)
{
	struct outcome first = {.err = ERR_OK}, o;

	for (size_t split = 0; split <= n + 1; split++) {
		struct arena a;
		struct h1_parser p;
		bool by_byte = split == n + 1;

		arena_init(&a);
		h1_parser_init(&p, what, limits, &a, what == H1_RESPONSE ? wire_request(&a, method) : NULL);
		o = wire_feed(&p, in, n, by_byte ? 1 : n - split, by_byte ? 1 : n);
		arena_fini(&a);
		if (split == 0)
			first = o;
		assert_int_equal(o.err, first.err);
		assert_int_equal(o.done, first.done);
		assert_string_equal(o.text, first.text);
		if (o.done)
			assert_int_equal(o.used, first.used);
	}
	return first;
}
