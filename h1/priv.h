/*
 * priv.h - what the files of h1/ share: character classes, the rules for targets and hosts, what a finished
 * head means.
 */
#pragma once

#include "h1/h1.h"

/* Bits of h1_chars[], one entry for each byte value. */
enum h1_char {
	H1_TCHAR = 1,	 /* token (RFC 9110 section 5.6.2) */
	H1_VALUE = 2,	 /* field value, reason phrase, chunk extension (RFC 9110 section 5.5) */
	H1_TARGET = 4,	 /* request target: visible ASCII but '#' and '\' */
	H1_REG_NAME = 8, /* reg-name of a host but ',' and '%' (RFC 3986 section 3.2.2) */
	H1_HEX = 16,
};
extern const uint8_t h1_chars[256];

static inline bool h1_is(char c, enum h1_char class)
{
	return h1_chars[(uint8_t)c] & class;
}

/* How many of the first bytes of s are of that class. */
static inline size_t h1_span(struct str s, enum h1_char class)
{
	size_t n = 0;

	while (n < s.n && h1_is(s.p[n], class))
		n++;
	return n;
}

/*
 * Reads the target of h->method into scheme, authority and path (RFC 9112 section 3.2). All of its bytes
 * are H1_TARGET. The parts are borrowed from it or lie in the arena.
 */
enum err h1_read_target(struct arena *a, struct head *h, struct str target) MUST_USE;
/* uri-host [ ":" port ], without userinfo (RFC 9110 section 7.2). */
bool h1_host_is_valid(struct str host);

/*
 * What the fields of a complete head mean: framing, length, host, persistence, upgrade, expectation; then
 * marks what is not passed on.
 */
enum err h1_finish_request(struct h1_parser *p) MUST_USE;
enum err h1_finish_response(struct h1_parser *p) MUST_USE;

/* For trailer sections; `arena` gets the head. */
void h1_parser_init_trailers(struct h1_parser *p, enum h1_what what, const struct h1_limits *limits,
			     struct arena *arena);

/* The row of the error table for an error in that kind of message: a response's are 502. */
enum err h1_err(enum h1_what what, enum err e);
