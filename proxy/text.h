/*
 * text.h - text that grows: pages, status, log lines; and the escapes of HTML, JSON and Prometheus. Pure.
 *
 * A text lies in an arena, which gives it back, or in memory of its own. Knows nothing of what it says.
 */
#pragma once

#include "core/arena.h"

struct text {
	struct arena *arena; /* NULL: free(p) */
	char *p;             /* not terminated */
	size_t n, cap;
};

static inline struct str text_str(const struct text *t)
{
	return str_of(t->p, t->n);
}
void text_put(struct text *t, struct str s);
void text_printf(struct text *t, const char *fmt, ...) PRINTF(2, 3);
void text_number(struct text *t, uint64_t n);

/* As HTML text or attribute. What is not printable ASCII has no business there: it becomes '?'. */
void text_html(struct text *t, struct str s);
/* A JSON string, with its quotes (RFC 8259 section 7). */
void text_json(struct text *t, struct str s);
/* What stands between the quotes of a label of Prometheus' text format. */
void text_label(struct text *t, struct str s);

/*
 * What stands between the quotes of a JSON string: printable ASCII alone, whatever the bytes; those from 0x80
 * on as the characters of their number, so that none is lost. '<' is escaped too, for who takes it for
 * HTML. A byte takes at most TEXT_JSON_MOST; what does not fit into cap whole ends it. Returns how many were
 * written.
 */
enum { TEXT_JSON_MOST = 6 };
size_t text_json_escape(char *out, size_t cap, struct str s);
