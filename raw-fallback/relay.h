/*
 * relay.h - bytes between two plain streams, as if there were no relay.
 *
 * Knows streams and time; nothing of what the bytes are, of configuration or targets. Half-closes pass
 * both ways, late data with them. Called by proxy once sniffing has decided and the target is dialled.
 */
#pragma once

#include "core/stream.h"
#include "core/timer.h"

struct relay;

struct relay_totals {
	uint64_t up_bytes, down_bytes; /* passed towards the target, towards the client */
};

/*
 * Takes over both streams; bytes that were peeked at are still in `down`. `first` (first_n <= 64 bytes)
 * goes to the target before anything else: a PROXY header. `done` is called once, from the loop, when
 * both directions have ended or either side broke (ERR_OK, or why); the relay is gone then. idle_ms
 * without a byte either way ends it with ERR_TUNNEL_TIMEOUT.
 */
struct relay *relay_open(struct stream *down, struct stream *up, const void *first, size_t first_n,
			 uint64_t idle_ms,
			 void (*done)(void *owner, enum err why, const struct relay_totals *t),
			 void *owner);
/* Ends now; `done` is called with `why`. */
void relay_abort(struct relay *r, enum err why);
