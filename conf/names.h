/*
 * names.h - which of many vhosts a host name means.
 *
 * The one rule for SNI and for Host, so that TLS and HTTP never choose differently: the exact name; a
 * wildcard for one label more, as in a certificate (RFC 6125 section 6.4.3); the nearest name that is a
 * parent domain. Pure. Who is asked when none is meant, is the caller's business: tls and proxy.
 */
#pragma once

#include "core/arena.h"

struct conf_names;

enum { CONF_NAME_BYTES = 255 };

/*
 * A table in a, of n names as vhosts have them ("example.com", "*.example.com", "[::1]"), in any case, with
 * or without a trailing dot. Of equal names the first counts. Copies them.
 */
struct conf_names *conf_names_new(struct arena *a, const struct str *names, size_t n) MUST_USE;
/*
 * The index of the name that `name` belongs to (lower case, no port, no trailing dot, at most
 * CONF_NAME_BYTES), or -1. What it costs depends on the name's length alone. *steps (may be NULL) grows by
 * the slots looked at.
 */
ssize_t conf_names_find(const struct conf_names *t, struct str name, unsigned *steps) MUST_USE;
