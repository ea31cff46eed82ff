/*
 * head.h - a message head: control data and fields, as both protocols and both directions share it.
 *
 * Knows RFC 9110's field names and which of them are hop-by-hop; knows nothing of how a head is written
 * on a wire. Codecs fill it, the router changes it, ends write it. All strings are borrowed from the
 * arena of the exchange.
 */
#pragma once

#include "core/arena.h"

/*
 * Known fields, grouped by the length of their name so that a look-up is a switch and a few compares.
 * Columns: id, canonical lower-case name, flags (FIELD_*).
 */
#define FIELDS_2(X) X(TE, "te", FIELD_HOP)
#define FIELDS_3(X)      \
	X(AGE, "age", 0) \
	X(VIA, "via", 0)
#define FIELDS_4(X)                        \
	X(HOST, "host", FIELD_NO_NOMINATE) \
	X(ETAG, "etag", 0)                 \
	X(DATE, "date", 0)                 \
	X(VARY, "vary", 0)                 \
	X(LINK, "link", 0)                 \
	X(FROM, "from", 0)
#define FIELDS_5(X)          \
	X(ALLOW, "allow", 0) \
	X(RANGE, "range", 0)
#define FIELDS_6(X)                       \
	X(ACCEPT, "accept", 0)            \
	X(COOKIE, "cookie", FIELD_SECRET) \
	X(EXPECT, "expect", 0)            \
	X(SERVER, "server", 0)            \
	X(PRAGMA, "pragma", 0)            \
	X(ORIGIN, "origin", 0)
#define FIELDS_7(X)                      \
	X(UPGRADE, "upgrade", FIELD_HOP) \
	X(TRAILER, "trailer", 0)         \
	X(REFERER, "referer", 0)         \
	X(EXPIRES, "expires", 0)         \
	X(REFRESH, "refresh", 0)
#define FIELDS_8(X)                \
	X(IF_MATCH, "if-match", 0) \
	X(IF_RANGE, "if-range", 0) \
	X(LOCATION, "location", 0) \
	X(PRIORITY, "priority", 0)
#define FIELDS_9(X) X(FORWARDED, "forwarded", FIELD_NO_NOMINATE)
#define FIELDS_10(X)                           \
	X(CONNECTION, "connection", FIELD_HOP) \
	X(KEEP_ALIVE, "keep-alive", FIELD_HOP) \
	X(USER_AGENT, "user-agent", 0)         \
	X(SET_COOKIE, "set-cookie", FIELD_SECRET)
#define FIELDS_11(X) X(RETRY_AFTER, "retry-after", 0)
#define FIELDS_12(X)                       \
	X(CONTENT_TYPE, "content-type", 0) \
	X(MAX_FORWARDS, "max-forwards", 0) \
	X(X_REQUEST_ID, "x-request-id", 0)
#define FIELDS_13(X)                                    \
	X(AUTHORIZATION, "authorization", FIELD_SECRET) \
	X(CACHE_CONTROL, "cache-control", 0)            \
	X(CONTENT_RANGE, "content-range", 0)            \
	X(ACCEPT_RANGES, "accept-ranges", 0)            \
	X(IF_NONE_MATCH, "if-none-match", 0)            \
	X(LAST_MODIFIED, "last-modified", 0)
#define FIELDS_14(X)                           \
	X(ACCEPT_CHARSET, "accept-charset", 0) \
	X(CONTENT_LENGTH, "content-length", FIELD_NO_NOMINATE)
#define FIELDS_15(X)                                             \
	X(ACCEPT_ENCODING, "accept-encoding", 0)                 \
	X(ACCEPT_LANGUAGE, "accept-language", 0)                 \
	X(X_FORWARDED_FOR, "x-forwarded-for", FIELD_NO_NOMINATE) \
	X(X_FRAME_OPTIONS, "x-frame-options", 0)
#define FIELDS_16(X)                                               \
	X(CONTENT_LANGUAGE, "content-language", 0)                 \
	X(CONTENT_LOCATION, "content-location", 0)                 \
	X(CONTENT_ENCODING, "content-encoding", 0)                 \
	X(PROXY_CONNECTION, "proxy-connection", FIELD_HOP)         \
	X(WWW_AUTHENTICATE, "www-authenticate", 0)                 \
	X(X_FORWARDED_HOST, "x-forwarded-host", FIELD_NO_NOMINATE) \
	X(X_FORWARDED_USER, "x-forwarded-user", FIELD_NO_NOMINATE)
#define FIELDS_17(X)                                                             \
	X(IF_MODIFIED_SINCE, "if-modified-since", 0)                             \
	X(SEC_WEBSOCKET_KEY, "sec-websocket-key", 0)                             \
	X(TRANSFER_ENCODING, "transfer-encoding", FIELD_HOP | FIELD_NO_NOMINATE) \
	X(X_FORWARDED_PROTO, "x-forwarded-proto", FIELD_NO_NOMINATE)
#define FIELDS_18(X)                                           \
	X(PROXY_AUTHENTICATE, "proxy-authenticate", FIELD_HOP) \
	X(X_FORWARDED_PREFIX, "x-forwarded-prefix", FIELD_NO_NOMINATE)
#define FIELDS_19(X)                                     \
	X(CONTENT_DISPOSITION, "content-disposition", 0) \
	X(IF_UNMODIFIED_SINCE, "if-unmodified-since", 0) \
	X(PROXY_AUTHORIZATION, "proxy-authorization", FIELD_HOP | FIELD_SECRET)
#define FIELDS_20(X) X(SEC_WEBSOCKET_ACCEPT, "sec-websocket-accept", 0)
#define FIELDS_22(X) X(X_CONTENT_TYPE_OPTIONS, "x-content-type-options", 0)
#define FIELDS_23(X) X(CONTENT_SECURITY_POLICY, "content-security-policy", 0)
#define FIELDS_25(X)                                                 \
	X(STRICT_TRANSPORT_SECURITY, "strict-transport-security", 0) \
	X(UPGRADE_INSECURE_REQUESTS, "upgrade-insecure-requests", 0)
#define FIELDS_27(X) X(ACCESS_CONTROL_ALLOW_ORIGIN, "access-control-allow-origin", 0)

#define FIELD_TABLE(X)                                                                                  \
	FIELDS_2(X) FIELDS_3(X) FIELDS_4(X) FIELDS_5(X) FIELDS_6(X) FIELDS_7(X) FIELDS_8(X) FIELDS_9(X) \
	FIELDS_10(X) FIELDS_11(X) FIELDS_12(X) FIELDS_13(X) FIELDS_14(X) FIELDS_15(X) FIELDS_16(X)      \
	FIELDS_17(X) FIELDS_18(X) FIELDS_19(X) FIELDS_20(X) FIELDS_22(X) FIELDS_23(X)                   \
	FIELDS_25(X) FIELDS_27(X)

enum field_flag {
	FIELD_HOP = 1,         /* hop-by-hop: never passed on (RFC 9110 section 7.6.1) */
	FIELD_NO_NOMINATE = 2, /* Connection may not remove it: Host, framing, our own X-Forwarded-* */
	FIELD_SECRET = 4,      /* HPACK: never indexed; log: never shown */
};

enum field_id {
	FIELD_UNKNOWN,
#define X(id, name, flags) FIELD_##id,
	FIELD_TABLE(X)
#undef X
	FIELD_COUNT
};

struct field {
	struct str name; /* as it came; h1 is compared without case, h2 is lower case already */
	struct str value;
	uint16_t id;
	bool removed; /* passed over by everyone; cheaper than moving the rest */
};

enum head_kind {
	HEAD_REQUEST,
	HEAD_INTERIM, /* 1xx but 101 */
	HEAD_FINAL,   /* a response; 101 when it opens a tunnel */
	HEAD_TRAILERS,
};

#define HEAD_LENGTH_UNKNOWN (-1)

struct head {
	enum head_kind kind;
	uint8_t minor; /* h1: HTTP/1.minor as received; h2: 1 */
	uint16_t status;
	struct str method;
	struct str scheme;    /* "http" or "https": of the target in absolute-form and in h2, else empty */
	struct str authority; /* host[:port]: :authority, else absolute-form's, else Host's */
	struct str path;      /* origin-form with query, or "*" */
	struct str reason;    /* h1 only, may be empty */
	/*
	 * Body length that the receiver may rely on: >= 0; or HEAD_LENGTH_UNKNOWN, and then its end is
	 * told by END on the pipe. A request without a body has 0. In an answer to HEAD, and in 304, it
	 * is the length that a GET would have had, if told: a field, not framing.
	 */
	int64_t length;
	bool websocket;        /* request: asks for a WebSocket (Upgrade, or extended CONNECT) */
	bool expect_continue;  /* request: waits for 100 before its body */
	struct str websocket_key; /* request, h1: Sec-WebSocket-Key; empty from h2 (up makes one) */
	struct field *fields;
	uint32_t nfields, cap;
};

/* By ASCII-case-insensitive name; FIELD_UNKNOWN when it has no row. */
enum field_id field_lookup(struct str name);
/* Canonical lower-case name, static. */
struct str field_name(enum field_id id);
unsigned field_flags(enum field_id id);

/* An empty head of this kind in the arena: length unknown, no fields. */
struct head *head_new(struct arena *a, enum head_kind kind) MUST_USE;
/* Appends; name and value are borrowed. The returned field is void at the next add. */
struct field *head_add(struct arena *a, struct head *h, struct str name, struct str value);
/* The same for a known field, under its canonical name. */
struct field *head_add_id(struct arena *a, struct head *h, enum field_id id, struct str value);
/* First one not removed, or NULL. */
struct field *head_find(const struct head *h, enum field_id id);
struct field *head_find_name(const struct head *h, struct str name);
/* Marks all of that id (of that name) as removed; returns how many. */
unsigned head_remove(struct head *h, enum field_id id);
unsigned head_remove_name(struct head *h, struct str name);
/* Replaces all of that id by one. */
void head_set(struct arena *a, struct head *h, enum field_id id, struct str value);

/* Iterates over fields that are not removed. */
#define head_for_each(f, h)                                                                       \
	for (struct field *f = (h)->fields, *f##_end = (h)->nfields ? f + (h)->nfields : f;       \
	     f < f##_end; f++)                                                                    \
		if (!f->removed)

/*
 * One element of a comma-separated list (RFC 9110 section 5.6.1), trimmed, empty elements passed over.
 * *rest starts as the value and shrinks. Returns false at the end. Quoted strings are not looked into:
 * for token lists only.
 */
bool head_list_next(struct str *rest, struct str *element);
/* True when any field of that id, as a token list, has this token (case-insensitive). */
bool head_has_token(const struct head *h, enum field_id id, struct str token);

/*
 * Response statuses that never have a body (RFC 9110 section 6.4.1): 1xx, 204, 304; or any answer to
 * HEAD, a 2xx to CONNECT apart.
 */
bool head_response_has_body(const struct head *request, const struct head *response);
/* GET, HEAD, OPTIONS, TRACE (RFC 9110 section 9.2.1). */
bool head_method_is_safe(struct str method);
