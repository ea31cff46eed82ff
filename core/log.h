/*
 * log.h - the error log: whole lines, escaped, never blocking. One of the two mutable globals.
 *
 * A line is "2026-01-31T12:34:56.789Z level role: text". A write that would block or fails is dropped and
 * counted; the count is told with the next line that gets through. A datagram socket is syslog's: it gets
 * lines of RFC 3164, and is connected anew when the daemon was. The journal, where JOURNAL_STREAM says that
 * the descriptor leads to it, gets "<severity>role: text". In the text, what could break a line or move a
 * terminal becomes \xHH; a line is cut at 4096 bytes. The process must ignore SIGPIPE. Access logs are
 * proxy's own and use log_escape.
 */
#pragma once

#include "core/base.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_NOTE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* role ("parent", "worker 0") is copied. fd is borrowed and never closed; -1: nothing is written. */
void log_open(int fd, enum log_level max, const char *role);
/* Only the descriptor or the level: at reopening, at reload. */
void log_set_fd(int fd);
void log_set_level(enum log_level max);
bool log_is_on(enum log_level l);
/* Lines dropped since the start. */
uint64_t log_dropped(void);

void log_line(enum log_level l, const char *fmt, ...) PRINTF(2, 3);
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_note(...) log_line(LOG_LEVEL_NOTE, __VA_ARGS__)
#define log_info(...)                                          \
	do {                                                   \
		if (log_is_on(LOG_LEVEL_INFO))                 \
			log_line(LOG_LEVEL_INFO, __VA_ARGS__); \
	} while (0)
#define log_debug(...)                                          \
	do {                                                    \
		if (log_is_on(LOG_LEVEL_DEBUG))                 \
			log_line(LOG_LEVEL_DEBUG, __VA_ARGS__); \
	} while (0)

/*
 * Before lines of one kind, of which there may be very many in a time: some of them are said, the others
 * counted. All zero before the first.
 */
struct log_gate {
	uint64_t since_ms; /* the time that is counted in */
	unsigned said;     /* in it */
	uint64_t unsaid;   /* altogether, since one was last said */
};
enum { LOG_GATE_MS = 10 * 1000 };
/*
 * True: this line is among the `most` of LOG_GATE_MS and is to be said; *unsaid were not before it. now_ms is
 * any clock that does not go back.
 */
bool log_gate_pass(struct log_gate *g, uint64_t now_ms, unsigned most, uint64_t *unsaid) MUST_USE;

/*
 * Writes s into out (cap bytes) so that it cannot break a line or a quoted field: bytes below 0x20, 0x7f
 * and above, '"' and '\' become \xHH. Cuts at cap. Returns bytes written (not terminated).
 */
size_t log_escape(char *out, size_t cap, struct str s);
