/*
 * conf_test.h - what the tests of conf share: loading texts, and the report as one string.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "conf/priv.h"

struct loaded {
	struct conf_report report;
	struct config *c; /* NULL: errors */
	char *text;       /* the report, printed */
};

static inline char *report_text(const struct conf_report *r)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	conf_report_print(r, CONF_NOTE, out);
	fclose(out);
	return text;
}

static inline struct loaded load_sources(const struct conf_source *src, size_t n)
{
	struct loaded l;

	conf_report_init(&l.report);
	l.c = conf_load(src, n, NULL, &l.report);
	l.text = report_text(&l.report);
	assert_int_equal(l.c == NULL, l.report.counts[CONF_ERROR] > 0);
	return l;
}

/* One file, named "conf". */
static inline struct loaded load_str(struct str text)
{
	return load_sources(&(struct conf_source){ STR("conf"), text }, 1);
}

static inline struct loaded load_text(const char *text)
{
	return load_str(str_from_c(text));
}

/* It has to load; notes and warnings may be there. */
static inline struct loaded load_good(const char *text)
{
	struct loaded l = load_text(text);

	if (!l.c)
		print_error("%s", l.text);
	assert_non_null(l.c);
	return l;
}

static inline void unload(struct loaded *l)
{
	conf_put(l->c);
	conf_report_fini(&l->report);
	free(l->text);
}

static inline void assert_str(struct str s, const char *expected)
{
	char *c = strndup(s.p ? s.p : "", s.n);

	assert_string_equal(c, expected);
	free(c);
}

/* The name of a file of the source tree, which lies where this one was compiled from: tests run anywhere. */
static inline const char *source_path(char *out, size_t cap, const char *name)
{
	static const char here[] = __FILE__, below[] = "tests/unit/conf/conf_test.h";

	snprintf(out, cap, "%.*s%s", (int)(sizeof here - sizeof below), here, name);
	return out;
}
