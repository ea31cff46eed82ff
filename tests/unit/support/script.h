/*
 * script.h - a stream that a test plays the peer of: bytes in the pieces and at the times it wants, and a
 * record of what came back.
 */
#pragma once

#include "core/buf.h"
#include "core/stream.h"

struct script {
	struct stream *s; /* NULL once its owner has closed it */
	struct buf in;	  /* fed, not yet read */
	struct buf out;	  /* written by the owner */
	size_t read_max;  /* of one read */
	size_t write_max; /* of one write */
	size_t window;	  /* what is still accepted before it would block */
	enum err end;	  /* what a read finds behind `in`: AGAIN, EOF, or an error */
	size_t unsent;	  /* accepted, but said to be on its way yet */
	bool is_shut;	  /* the owner has ended its direction */
	unsigned reads, writes;
};

/* The stream is the owner's from here on; everything goes through at once. */
struct stream *script_open(struct script *sc);
/* Frees what is left; the owner must have closed the stream. */
void script_close(struct script *sc);

void script_feed(struct script *sc, const void *p, size_t n);
static inline void script_say(struct script *sc, const char *text)
{
	script_feed(sc, text, strlen(text));
}
/* The peer ends its direction in order. */
void script_end(struct script *sc);
/* The same after the owner has ended its own. */
void script_hang_up(struct script *sc);
/* The peer resets the connection. */
void script_break(struct script *sc);
/* Accepts this much more. */
void script_accept(struct script *sc, size_t n);
/* What was written since the last call; void at the next call. */
const char *script_heard(struct script *sc);
