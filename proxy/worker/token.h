/*
 * token.h - what this worker answers CAs with that look whose names these are (RFC 8555 section 8).
 *
 * State of the worker, not of a configuration: it comes from the parent by itself, and a worker that is
 * born gets all of it before it serves. Certificates for tls-alpn-01 go on to tls. Called by worker and
 * route.
 */
#pragma once

#include "core/head.h"

/* The parent's messages: name NUL token NUL content (enum msg_challenge_kind). False: it is not that. */
bool token_add(uint32_t id, uint32_t kind, struct str text) MUST_USE;
void token_drop(uint32_t id);
/* At the worker's end. */
void token_fini(void);

/*
 * The body of the answer to a GET or HEAD for a token that is known (RFC 8555 section 8.3), whatever the
 * host; absent: it is no such request. Borrowed until the next turn.
 */
struct str token_find(const struct head *request);
