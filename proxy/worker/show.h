/*
 * show.h - the picture of a running Gatehouse (picture.h) as text for terminals, JSON, Prometheus' text
 * format, and HTML. Pure: all four walk the same tables.
 */
#pragma once

#include "proxy/picture.h"
#include "proxy/text.h"

void show_text(struct text *t, const struct picture *p, int64_t now_s);
void show_json(struct text *t, const struct picture *p);
/* Text format 0.0.4. */
#define SHOW_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
void show_metrics(struct text *t, const struct picture *p);

/* The whole page; `policy` becomes its Content-Security-Policy, which lets in what the page itself has. */
void show_html(struct text *t, const struct picture *p, int64_t now_s, struct text *policy);

/* ---- show_cells.c: rows as a reader wants them ---- */

struct show_column {
	const char *heading;
	bool is_text; /* not a number: to the left */
	void (*cell)(struct text *t, const struct picture_row *r);
};
/* Of a kind; *n: how many. None for kinds that are told otherwise. */
const struct show_column *show_columns(enum picture_kind kind, size_t *n);
/* "Gatehouse 0.1.0, process 17, up for 3 days, ...": a sentence each. */
void show_summary(struct text *t, const struct picture *p, int64_t now_s);
/* Whether a row wants attention: a target that is down, a certificate that ends soon, lost lines. */
bool show_is_alarming(const struct picture_row *r);
