/*
 * sniff.h - what a connection speaks, by its first bytes. Pure.
 *
 * Called by proxy on bytes that were peeked at. The answer is given by the first byte that rules the
 * other protocols out; a proper prefix of TLS or HTTP is SNIFF_AGAIN, and a client that stays there is
 * closed when time is up, never taken for raw.
 */
#pragma once

#include "core/base.h"

enum sniff {
	SNIFF_AGAIN, /* could still be TLS or HTTP */
	SNIFF_TLS,   /* a ClientHello (RFC 8446 sections 4.1.2 and 5.1) */
	SNIFF_HTTP,  /* a registered method and a space (RFC 9110 section 16.1.1) */
	SNIFF_H2,    /* the HTTP/2 preface (RFC 9113 section 3.4) */
	SNIFF_SSH,   /* an identification string (RFC 4253 section 4.2) */
	SNIFF_RAW,   /* none of these */
};

/* With this many bytes there is always an answer. */
enum { SNIFF_BYTES = 32 };

/* n may be 0: SNIFF_AGAIN. */
enum sniff sniff_bytes(const void *bytes, size_t n);
/* "TLS", "HTTP/1" ...; static, for the log. */
const char *sniff_name(enum sniff s);
