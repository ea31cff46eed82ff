/*
 * handover.h - what a parent hands to the parent that takes its place, and what the two say meanwhile.
 *
 * They may be of different versions: it is text, a line for each thing, and who reads it passes over lines
 * that he does not know. The text is in a memory file; the descriptors it names are inherited over exec,
 * under the numbers that they had. Knows the form, not what it means; called by upgrade.c, which writes it,
 * and by heir.c, which reads it.
 */
#pragma once

#include "core/base.h"

/* Columns: first word of the line; has it a descriptor? What follows then. */
#define HANDOVER_TABLE(X)                                                                              \
	X(channel, true)   /* between the two, for handover_say */                                     \
	X(socket, true)    /* listening: "own", or "given" by the service manager; its address, hex */ \
	X(control, true)   /* the control socket; its address, hex */                                  \
	X(errors, true)    /* standard error as it was, where a log has taken its place */             \
	X(lock, true)      /* the state directory, locked */                                           \
	X(ticket, false)   /* a key of session tickets, hex; the newest first */                       \
	X(rotation, false) /* milliseconds until there is to be another */                             \
	X(answered, false) /* a target that has ever answered: outage_names, hex */                    \
	X(notify, false)   /* the service manager: microseconds of its watchdog, path of its socket */

enum handover_word {
#define X(word, has_fd) HANDOVER_##word,
	HANDOVER_TABLE(X)
#undef X
	HANDOVER_COUNT /* unknown */
};

/* In the environment of who is to take over: his process id, the number of the memory file. */
#define HANDOVER_VARIABLE "GATEHOUSE_HANDOVER"

/* ---- writing ---- */

/* A line; fd -1 where the word has none. What it would need a line break for is left out. */
void handover_put(FILE *f, enum handover_word word, int fd, const char *fmt, ...) PRINTF(4, 5);
/* The bytes as hex digits, in memory to be freed. */
char *handover_hex(const void *bytes, size_t n) MUST_USE;

/* ---- reading ---- */

struct handover_row {
	enum handover_word word;
	int fd;          /* -1: none */
	struct str rest; /* borrowed from the text */
};
/* Cuts the next line off the text. False: it was the last one. */
bool handover_next(struct str *text, struct handover_row *row);
/* Cuts off what is before the next space. */
struct str handover_cut(struct str *rest);
/* Exactly n bytes of hex digits. */
bool handover_unhex(struct str text, void *out, size_t n) MUST_USE;

/* ---- what they say: one datagram each ---- */

#define HANDOVER_TOLD "told"       /* and a level, and lines: of the configuration, for the log */
#define HANDOVER_SERVING "serving" /* all is well: it may be given over */
#define HANDOVER_OVER "over"       /* it is yours */

enum { HANDOVER_SAY_MAX = 64 * 1024 };

/* What does not fit into a datagram is cut; who does not listen misses it. */
void handover_say(int fd, const char *word, struct str text);
/* A datagram into buf (HANDOVER_SAY_MAX bytes): 1; 0: there is none now, -1: nor will there be another. */
int handover_hear(int fd, char *buf, struct str *said) MUST_USE;
