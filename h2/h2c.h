/*
 * h2c.h - an HTTP/2 server connection (RFC 9113) and its streams, each the down end of an exchange.
 *
 * Knows streams (core/stream.h), frames, HPACK and the treaty; not whether TLS is below, not routing, not
 * configuration. Opened by proxy/accept when ALPN or the preface on a plain listener has decided for
 * HTTP/2.
 */
#pragma once

#include "core/exchange.h"
#include "core/host.h"
#include "core/stream.h"

struct h2c;

/* Takes over the stream; the preface is still in it. Ends by itself, with host->closed. */
struct h2c *h2c_open(struct stream *s, struct host *host);
/*
 * Two-step GOAWAY (RFC 9113 section 6.8): the highest id first, after a round trip the last one taken.
 * Streams in progress finish, tunnels go on; ends when none is left.
 */
void h2c_drain(struct h2c *c);
/* Ends now, whatever is in progress. */
void h2c_abort(struct h2c *c, enum err why);
