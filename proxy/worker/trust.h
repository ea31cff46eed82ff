/*
 * trust.h - proxies in front of this one that are believed, and the client they speak for. Pure.
 *
 * Called by route: a trusted peer's X-Forwarded-* go up, and logs tell the client it names.
 */
#pragma once

#include "conf/config.h"
#include "core/head.h"
#include <sys/socket.h>

/* The list (`trusted-proxies`, `proxy-protocol`) names this peer's address. */
bool trust_is_among(const struct conf_peers *list, const struct sockaddr *peer) MUST_USE;
bool trust_peer(const struct conf_global *g, const struct sockaddr *peer) MUST_USE;

/*
 * Whom a trusted peer speaks for: of the addresses in X-Forwarded-For, the last one that is not a trusted
 * proxy's itself; the first one, when all are. A slice of h, or `peer` when there is none that can be read.
 */
struct str trust_client(const struct conf_global *g, const struct head *h, struct str peer) MUST_USE;
