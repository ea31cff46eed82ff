/*
 * pp.h - the PROXY protocol, versions 1 and 2 (haproxy.org's proxy-protocol.txt, 2020), both ways. Pure.
 *
 * Called by proxy where a header is required from an address (`proxy-protocol`), and by the relay towards
 * targets that want one. Never guesses: whoever calls pp_read knows that a header must be there.
 */
#pragma once

#include "core/base.h"
#include <sys/socket.h>

struct pp {
	bool is_local; /* a health check of the proxy itself: keep the connection's own addresses */
	struct sockaddr_storage src, dst; /* AF_UNSPEC when not told (UNKNOWN, Unix) */
};

/*
 * Reads one header. > 0: its length, to be consumed exactly. 0: more is needed (never when n >=
 * PP_READ_MAX). < 0: this is no header; the connection must be closed.
 */
enum { PP_READ_MAX = 536 }; /* v1: 107; v2: 16 and what a peer may sensibly add */
ssize_t pp_read(const void *bytes, size_t n, struct pp *out) MUST_USE;

/* Writes a version 2 header (TCP over IPv4 or IPv6; LOCAL for anything else) and returns its length. */
enum { PP_WRITE_MAX = 52 };
size_t pp_write(uint8_t out[PP_WRITE_MAX], const struct sockaddr *src, const struct sockaddr *dst);
