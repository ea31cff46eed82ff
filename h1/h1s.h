/*
 * h1s.h - an HTTP/1.x server connection: the down end of one exchange at a time.
 *
 * Knows streams, the wire functions and the treaty; not whether the stream is under TLS, not routing, not
 * configuration. Opened by proxy/accept once the first bytes or ALPN have decided for HTTP/1.
 */
#pragma once

#include "core/host.h"
#include "core/stream.h"
#include "h1/h1.h"

struct h1s;

/*
 * Takes over the stream. Bytes that were peeked are still in it. Returns the connection, which owns
 * itself: it ends by closed.
 */
struct h1s *h1s_open(struct stream *s, struct host *host);
/* Ends: at once when idle, otherwise after the exchange in progress (tunnels go on). */
void h1s_drain(struct h1s *c);
/* Ends now, whatever is in progress. */
void h1s_abort(struct h1s *c, enum err why);
