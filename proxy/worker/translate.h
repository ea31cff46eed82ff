/*
 * translate.h - header rules: the request head that goes up, and what changes in a response on its way down.
 * Pure.
 *
 * Hop-by-hop fields are marked removed by whoever read the head; nothing here puts them back. Knows heads and
 * the configuration's header rows; not exchanges. Called by route.
 */
#pragma once

#include "conf/config.h"
#include "core/head.h"

/*
 * The cookie by which the 503 page counts how often it refreshed itself; never passed on to an upstream.
 */
#define TRANSLATE_OWN_COOKIE "gatehouse-retry"

struct translate_up {
	struct str target;    /* path and query to ask for, or "*" */
	struct str authority; /* Host when the client told none (HTTP/1.0) */
	struct str peer;      /* the client's address, as X-Forwarded-For wants it */
	bool tls;             /* it came by TLS */
	bool trusted;         /* the peer is a trusted proxy: what it says of others counts */
	struct str prefix;    /* mountpoint that was taken off; empty: none was */
	struct str user;      /* who was let in by a password; absent: nobody was asked */
	bool keeps_authorization; /* the password goes up, too */
	bool forwarded;       /* add Forwarded */
	struct str via;       /* an element for Via; empty: none */
	const struct conf_header *rules; /* what the configuration wants otherwise: the last word */
	size_t nrules;
};
/* A new head in a, which shares h's strings and those of t. */
struct head *translate_request(struct arena *a, const struct head *h, const struct translate_up *t) MUST_USE;

struct translate_down {
	const struct conf_header *rules;
	size_t nrules;
	bool is_ours;         /* the answer is a page: rules do not change what makes it one */
	bool sts;             /* add Strict-Transport-Security: the vhost asks for it, and it is TLS */
	struct str date;      /* for an answer that has none; copied */
	bool via;             /* add Via to what came from an upstream */
	/* A mounted upstream names its own places as it knows them: */
	bool is_mapped;
	struct str authority; /* the client's, by which the upstream may call itself */
	struct str mountpoint, base;
};
/* Changes a final or interim head in place. */
void translate_response(struct arena *a, struct head *h, const struct translate_down *t);

/* Location of an upstream, as the client must see it; the value itself when it is none of ours. */
struct str translate_location(struct arena *a, struct str value, const struct translate_down *t) MUST_USE;
/* The same for Set-Cookie's Path attribute (RFC 6265 section 4.1.2.4). */
struct str translate_set_cookie(struct arena *a, struct str value, const struct translate_down *t) MUST_USE;

/* Max-Forwards (RFC 9110 section 7.6.2), or -1 when there is none that can be read. */
int64_t translate_max_forwards(const struct head *h);
