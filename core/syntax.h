/*
 * syntax.h - the character classes and the host of HTTP (RFC 9110), for both protocols.
 *
 * Pure. Called by the codecs of h1 and h2, so that both read a request in the same way.
 */
#pragma once

#include "core/base.h"

/* Bits of syntax_chars[], one entry for each byte value. */
enum syntax_class {
	SYNTAX_TCHAR = 1,    /* token (RFC 9110 section 5.6.2) */
	SYNTAX_VALUE = 2,    /* field value, reason phrase, chunk extension (RFC 9110 section 5.5) */
	SYNTAX_TARGET = 4,   /* request target: visible ASCII but '#' and '\' */
	SYNTAX_REG_NAME = 8, /* reg-name of a host but ',' and '%' (RFC 3986 section 3.2.2) */
	SYNTAX_HEX = 16,
};
extern const uint8_t syntax_chars[256];

static inline bool syntax_is(char c, enum syntax_class class)
{
	return syntax_chars[(uint8_t)c] & class;
}

/* How many of the first bytes of s are of that class. */
static inline size_t syntax_span(struct str s, enum syntax_class class)
{
	size_t n = 0;

	while (n < s.n && syntax_is(s.p[n], class))
		n++;
	return n;
}

/* All of s is, and there is at least one byte. */
static inline bool syntax_all(struct str s, enum syntax_class class)
{
	return s.n && syntax_span(s, class) == s.n;
}

/* uri-host [ ":" port ], without userinfo (RFC 9110 section 7.2). */
bool syntax_host_is_valid(struct str host);
