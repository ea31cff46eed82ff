/*
 * report.h - what is to be said about a configuration: errors, warnings and notes, each with its place.
 *
 * Collected in one pass over all files, printed once, in the order of the files. Knows texts and places, not
 * YAML. Called by conf itself, and by whoever finds fault with a value later (a certificate that does not fit
 * its key): he has the value's struct conf_pos.
 */
#pragma once

#include "conf/config.h"

enum conf_severity { CONF_NOTE, CONF_WARNING, CONF_ERROR };

struct conf_message {
	enum conf_severity severity;
	struct conf_pos pos;  /* line 0: the file as a whole; file NULL: none */
	struct str reason;
	struct str remedy;    /* empty: none */
	unsigned file_order, order; /* of its file, and in which it was said: for sorting */
};

/*
 * The errors shown are bounded (CONF_REPORT_MESSAGES), the counts are not. Everything in it lives until
 * conf_report_fini.
 */
enum { CONF_REPORT_MESSAGES = 500 };
struct conf_report {
	struct arena arena;
	struct conf_message *messages;
	size_t n, cap;
	size_t counts[3]; /* by severity, also of those not kept */
	struct conf_text *texts; /* of the files, for the lines shown */
	size_t ntexts, texts_cap;
};

void conf_report_init(struct conf_report *r);
void conf_report_fini(struct conf_report *r);

/*
 * Says one thing. Texts are copied, pos is too. remedy is what the reader can do ("write ..."), or NULL. No
 * text needs escaping: that is done when printing.
 */
void conf_report_add(struct conf_report *r, enum conf_severity severity, struct conf_pos pos,
		     const char *remedy, const char *fmt, ...) PRINTF(5, 6);
/*
 * The same for a line "FILE:LINE:COLUMN: text" of somebody who knows no report: its place becomes the
 * message's when FILE is a file of this report. Any other line is a message without a place.
 */
void conf_report_add_line(struct conf_report *r, enum conf_severity severity, const char *line);
/* Makes a file's lines known (a copy), so that messages about it show the line and a caret. */
void conf_report_text(struct conf_report *r, struct str path, struct str bytes);

/* Puts the messages into the order of files, lines and columns. conf_load and conf_check do it. */
void conf_report_sort(struct conf_report *r);
/*
 * Each message as
 *	FILE:LINE:COLUMN: error: REASON
 *	    the line
 *	    ^
 *	help: REMEDY
 * from severity `least` on. Control characters are escaped, long lines cut around the caret.
 */
void conf_report_print(const struct conf_report *r, enum conf_severity least, FILE *out);
/* One message the same way. */
void conf_report_print_one(const struct conf_report *r, const struct conf_message *m, FILE *out);
