/*
 * h1.h - HTTP/1.1 on the wire (RFC 9112), both directions, without I/O.
 *
 * Parses heads, decodes bodies, writes heads and bodies. Knows bytes, heads and arenas; no sockets, no
 * exchange, no configuration. Called by the server connection (h1s), by the upstream client connection,
 * and by acme. Strict in the same way towards both sides, with one exception that RFC 9112 section 5.1
 * asks for: white space before the colon of a response field is stripped.
 *
 * All parsing functions: > 0 bytes consumed, 0 need more, < 0 -enum err.
 */
#pragma once

#include "core/buf.h"
#include "core/err.h"
#include "core/head.h"

struct h1_limits {
	size_t line_bytes; /* request line; status line */
	size_t head_bytes; /* whole head */
	size_t fields;	   /* of a head or trailer section; H1_FIELDS_MAX holds in any case */
	size_t trailers_bytes;
	size_t chunk_extensions_bytes; /* of one body */
};

/* What struct head can count, with room for fields that are added later. */
enum { H1_FIELDS_MAX = 16384 };
/* Empty lines before a request line that are passed over (RFC 9112 section 2.2). */
enum { H1_EMPTY_LINES_MAX = 8 };

/* How a body is delimited on this wire (RFC 9112 section 6.3). */
enum h1_framing { H1_NO_BODY, H1_LENGTH, H1_CHUNKED, H1_UNTIL_CLOSE };

/* Whose message it is: errors about a response are the upstream's (UP_*). */
enum h1_what { H1_REQUEST, H1_RESPONSE };

/*
 * One head being read. Consumes whole lines, so that a head that drips in costs its length once; what is
 * left of a line stays with the caller, contiguous, and is offered again with more behind it.
 */
struct h1_parser {
	enum h1_what what;
	const struct h1_limits *limits;
	struct arena *arena;
	struct head *head;
	size_t seen_bytes;   /* of whole lines */
	size_t scanned;	     /* of the incomplete line, known to hold no LF */
	uint8_t empty_lines; /* before a request line */
	bool trailers;	     /* a trailer section: no first line, and no more than fields */
	bool started;	     /* first line is read */
	bool done;
	/* of a finished head */
	enum h1_framing framing;
	bool keep_alive;	    /* persistence as this message tells it (RFC 9112 section 9.3) */
	bool upgrade_websocket;	    /* Upgrade: websocket, nominated by Connection */
	const struct head *request; /* of a response: decides about its body (HEAD, CONNECT) */
};

/*
 * Makes p->head in the arena. limits and arena must outlive the parser. `request` only for H1_RESPONSE,
 * where it must be there.
 */
void h1_parser_init(struct h1_parser *p, enum h1_what what, const struct h1_limits *limits,
		    struct arena *arena, const struct head *request);
/*
 * Reads lines from in; what it does not consume is to be offered again with more behind it. When p->done,
 * p->head is complete: hop-by-hop fields (RFC 9110 section 7.6.1) and those that Connection nominates are
 * marked removed, a repeated equal Content-Length is reduced to one, length is set, host is checked and
 * authority set (requests). On an error p->head holds what was read so far, for the log, and p is of no
 * further use.
 */
ssize_t h1_parse(struct h1_parser *p, const char *in, size_t n) MUST_USE;

/* A body being read. */
struct h1_body {
	enum h1_what what;
	enum h1_framing framing;
	uint8_t state;
	uint8_t digits; /* of the chunk size being read */
	bool done;	/* its last byte (chunked: the end of the trailer section) was consumed */
	uint64_t left;	/* of the length, or of the chunk */
	uint64_t extension_bytes;
	struct h1_parser trailers; /* chunked, when done: .head, with nfields 0 when there were none */
};
/*
 * length: head->length, for H1_LENGTH. limits and arena are for chunk extensions and trailers and must
 * outlive the body.
 */
void h1_body_init(struct h1_body *b, enum h1_what what, enum h1_framing framing, uint64_t length,
		  const struct h1_limits *limits, struct arena *arena);
/*
 * Consumes from in: either one run of body bytes, *payload, or what stands between them, and then *payload
 * is empty; so while h1_body_direct is not 0, n bounds the run. Call again while it returns > 0 and bytes
 * are left. H1_UNTIL_CLOSE never is done: the caller ends it at the end of the stream.
 */
ssize_t h1_body_decode(struct h1_body *b, const char *in, size_t n, struct str *payload) MUST_USE;
/*
 * Body bytes that can be read straight into their destination now (H1_LENGTH: left; H1_UNTIL_CLOSE: any;
 * within a chunk: left).
 */
uint64_t h1_body_direct(const struct h1_body *b);
/* n <= h1_body_direct bytes were read that way. */
void h1_body_skip(struct h1_body *b, uint64_t n);

/* ---- writing ---- */

/*
 * Appends a head. Fields that are removed are not written; Content-Length and Transfer-Encoding are
 * written as `framing` and head->length say (one of them at most); for requests `Connection` only says
 * upgrade, for responses `close` unless keep_alive (and `keep-alive` towards HTTP/1.0). Interim heads are
 * written without framing.
 */
void h1_write_request(struct buf *out, const struct head *h, enum h1_framing framing);
void h1_write_response(struct buf *out, const struct head *h, enum h1_framing framing, bool keep_alive,
		       uint8_t client_minor);

/*
 * What framing a message to be written needs, from its length and (response) the request it answers and
 * the client's minor version.
 */
enum h1_framing h1_request_framing(const struct head *h);
enum h1_framing h1_response_framing(const struct head *request, const struct head *response,
				    uint8_t client_minor);

/*
 * A message being written: head bytes, then a body that is taken from a pipe, framed. Holds nothing of
 * the body: gathers pieces of the pipe and its own bytes into one iovec, and is told how much of that was
 * accepted.
 */
struct h1_out {
	struct buf own; /* head, chunk lines, trailers: not yet accepted */
	enum h1_framing framing;
	bool ended;    /* END is in `own` or accepted */
	uint64_t left; /* H1_LENGTH: of the body. H1_CHUNKED: of the chunk whose line is written */
	bool in_chunk;
	uint8_t closing_bytes; /* behind the pipe's pieces in the last gathering */
};
void h1_out_init(struct h1_out *o);
void h1_out_fini(struct h1_out *o);
/* A head was appended to o->own; its body follows. */
void h1_out_begin(struct h1_out *o, enum h1_framing framing, uint64_t length);
/*
 * Fills iov (cap pieces) with what can be written now: own bytes, then the pipe's pieces (pipe[0..npipe),
 * which are the pipe's front), then what closes a chunk. `at_end`: the pipe will give nothing beyond
 * these pieces. `trailers` may be NULL. Returns the number of pieces; *pipe_bytes is how many of the
 * pipe's bytes are among them.
 */
int h1_out_gather(struct h1_out *o, const struct iovec *pipe, int npipe, bool at_end,
		  const struct head *trailers, struct iovec *iov, int cap, size_t *pipe_bytes) MUST_USE;
/* n bytes of the last gathering were accepted. Returns how many of them were the pipe's: take those. */
size_t h1_out_sent(struct h1_out *o, size_t n) MUST_USE;
/* Everything told so far has been accepted. */
bool h1_out_is_empty(const struct h1_out *o);
