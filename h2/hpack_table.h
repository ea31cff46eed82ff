/*
 * hpack_table.h - the inside of HPACK: static and dynamic table, shared by decoder and encoder only.
 */
#pragma once

#include "h2/hpack.h"

/* RFC 7541 appendix A. Columns: index, name, value, field id, pseudo-field. */
#define HPACK_STATIC_PSEUDO(X)                                  \
	X(1, ":authority", "", FIELD_UNKNOWN, HPACK_AUTHORITY)  \
	X(2, ":method", "GET", FIELD_UNKNOWN, HPACK_METHOD)     \
	X(3, ":method", "POST", FIELD_UNKNOWN, HPACK_METHOD)    \
	X(4, ":path", "/", FIELD_UNKNOWN, HPACK_PATH)           \
	X(5, ":path", "/index.html", FIELD_UNKNOWN, HPACK_PATH) \
	X(6, ":scheme", "http", FIELD_UNKNOWN, HPACK_SCHEME)    \
	X(7, ":scheme", "https", FIELD_UNKNOWN, HPACK_SCHEME)   \
	X(8, ":status", "200", FIELD_UNKNOWN, HPACK_STATUS)     \
	X(9, ":status", "204", FIELD_UNKNOWN, HPACK_STATUS)     \
	X(10, ":status", "206", FIELD_UNKNOWN, HPACK_STATUS)    \
	X(11, ":status", "304", FIELD_UNKNOWN, HPACK_STATUS)    \
	X(12, ":status", "400", FIELD_UNKNOWN, HPACK_STATUS)    \
	X(13, ":status", "404", FIELD_UNKNOWN, HPACK_STATUS)    \
	X(14, ":status", "500", FIELD_UNKNOWN, HPACK_STATUS)
#define HPACK_STATIC_FIELDS(X)                                                                        \
	X(15, "accept-charset", "", FIELD_ACCEPT_CHARSET, HPACK_NOT_PSEUDO)                           \
	X(16, "accept-encoding", "gzip, deflate", FIELD_ACCEPT_ENCODING, HPACK_NOT_PSEUDO)            \
	X(17, "accept-language", "", FIELD_ACCEPT_LANGUAGE, HPACK_NOT_PSEUDO)                         \
	X(18, "accept-ranges", "", FIELD_ACCEPT_RANGES, HPACK_NOT_PSEUDO)                             \
	X(19, "accept", "", FIELD_ACCEPT, HPACK_NOT_PSEUDO)                                           \
	X(20, "access-control-allow-origin", "", FIELD_ACCESS_CONTROL_ALLOW_ORIGIN, HPACK_NOT_PSEUDO) \
	X(21, "age", "", FIELD_AGE, HPACK_NOT_PSEUDO)                                                 \
	X(22, "allow", "", FIELD_ALLOW, HPACK_NOT_PSEUDO)                                             \
	X(23, "authorization", "", FIELD_AUTHORIZATION, HPACK_NOT_PSEUDO)                             \
	X(24, "cache-control", "", FIELD_CACHE_CONTROL, HPACK_NOT_PSEUDO)                             \
	X(25, "content-disposition", "", FIELD_CONTENT_DISPOSITION, HPACK_NOT_PSEUDO)                 \
	X(26, "content-encoding", "", FIELD_CONTENT_ENCODING, HPACK_NOT_PSEUDO)                       \
	X(27, "content-language", "", FIELD_CONTENT_LANGUAGE, HPACK_NOT_PSEUDO)                       \
	X(28, "content-length", "", FIELD_CONTENT_LENGTH, HPACK_NOT_PSEUDO)                           \
	X(29, "content-location", "", FIELD_CONTENT_LOCATION, HPACK_NOT_PSEUDO)                       \
	X(30, "content-range", "", FIELD_CONTENT_RANGE, HPACK_NOT_PSEUDO)                             \
	X(31, "content-type", "", FIELD_CONTENT_TYPE, HPACK_NOT_PSEUDO)                               \
	X(32, "cookie", "", FIELD_COOKIE, HPACK_NOT_PSEUDO)                                           \
	X(33, "date", "", FIELD_DATE, HPACK_NOT_PSEUDO)                                               \
	X(34, "etag", "", FIELD_ETAG, HPACK_NOT_PSEUDO)                                               \
	X(35, "expect", "", FIELD_EXPECT, HPACK_NOT_PSEUDO)                                           \
	X(36, "expires", "", FIELD_EXPIRES, HPACK_NOT_PSEUDO)                                         \
	X(37, "from", "", FIELD_FROM, HPACK_NOT_PSEUDO)                                               \
	X(38, "host", "", FIELD_HOST, HPACK_NOT_PSEUDO)                                               \
	X(39, "if-match", "", FIELD_IF_MATCH, HPACK_NOT_PSEUDO)                                       \
	X(40, "if-modified-since", "", FIELD_IF_MODIFIED_SINCE, HPACK_NOT_PSEUDO)                     \
	X(41, "if-none-match", "", FIELD_IF_NONE_MATCH, HPACK_NOT_PSEUDO)                             \
	X(42, "if-range", "", FIELD_IF_RANGE, HPACK_NOT_PSEUDO)                                       \
	X(43, "if-unmodified-since", "", FIELD_IF_UNMODIFIED_SINCE, HPACK_NOT_PSEUDO)                 \
	X(44, "last-modified", "", FIELD_LAST_MODIFIED, HPACK_NOT_PSEUDO)                             \
	X(45, "link", "", FIELD_LINK, HPACK_NOT_PSEUDO)                                               \
	X(46, "location", "", FIELD_LOCATION, HPACK_NOT_PSEUDO)                                       \
	X(47, "max-forwards", "", FIELD_MAX_FORWARDS, HPACK_NOT_PSEUDO)                               \
	X(48, "proxy-authenticate", "", FIELD_PROXY_AUTHENTICATE, HPACK_NOT_PSEUDO)                   \
	X(49, "proxy-authorization", "", FIELD_PROXY_AUTHORIZATION, HPACK_NOT_PSEUDO)                 \
	X(50, "range", "", FIELD_RANGE, HPACK_NOT_PSEUDO)                                             \
	X(51, "referer", "", FIELD_REFERER, HPACK_NOT_PSEUDO)                                         \
	X(52, "refresh", "", FIELD_REFRESH, HPACK_NOT_PSEUDO)                                         \
	X(53, "retry-after", "", FIELD_RETRY_AFTER, HPACK_NOT_PSEUDO)                                 \
	X(54, "server", "", FIELD_SERVER, HPACK_NOT_PSEUDO)                                           \
	X(55, "set-cookie", "", FIELD_SET_COOKIE, HPACK_NOT_PSEUDO)                                   \
	X(56, "strict-transport-security", "", FIELD_STRICT_TRANSPORT_SECURITY, HPACK_NOT_PSEUDO)     \
	X(57, "transfer-encoding", "", FIELD_TRANSFER_ENCODING, HPACK_NOT_PSEUDO)                     \
	X(58, "user-agent", "", FIELD_USER_AGENT, HPACK_NOT_PSEUDO)                                   \
	X(59, "vary", "", FIELD_VARY, HPACK_NOT_PSEUDO)                                               \
	X(60, "via", "", FIELD_VIA, HPACK_NOT_PSEUDO)                                                 \
	X(61, "www-authenticate", "", FIELD_WWW_AUTHENTICATE, HPACK_NOT_PSEUDO)
#define HPACK_STATIC_TABLE(X) HPACK_STATIC_PSEUDO(X) HPACK_STATIC_FIELDS(X)

enum { HPACK_STATIC_COUNT = 61 };

struct hpack_static {
	struct str name, value;
	uint16_t id;
	uint8_t pseudo;
};
/* By index, from 1; [0] is empty. */
extern const struct hpack_static hpack_static[HPACK_STATIC_COUNT + 1];
/* First static index of a field id, 0 when its name is not in the static table. */
uint8_t hpack_static_of(enum field_id id);

/* An entry of the dynamic table: one allocation. */
struct hpack_entry {
	uint32_t name_bytes, value_bytes;
	uint16_t id;
	uint8_t pseudo;
	char text[]; /* name, value */
};

/*
 * The dynamic table (RFC 7541 section 2.3.2): a ring, newest first by index. Hashes lie side by side, so
 * that the encoder's search is one pass over a few cache lines.
 */
struct hpack_table {
	struct hpack_entry **entries;
	uint32_t *line_hashes; /* of name and value */
	uint32_t *name_hashes;
	uint32_t cap;   /* a power of two, 0 at first */
	uint32_t newest; /* place of index 0 */
	uint32_t n;
	uint32_t bytes, max_bytes; /* RFC 7541 section 4.1 */
};

struct hpack_table *hpack_table_new(uint32_t max_bytes);
void hpack_table_free(struct hpack_table *t);
/* Evicts what no longer fits (RFC 7541 section 4.3). */
void hpack_table_resize(struct hpack_table *t, uint32_t max_bytes);
/*
 * Adds a copy; an entry larger than the table empties it (RFC 7541 section 4.4). name may lie in an entry
 * that is evicted by this.
 */
void hpack_table_add(struct hpack_table *t, const struct hpack_line *l, uint32_t name_hash,
		     uint32_t line_hash);
/* i-th newest, from 0; i < t->n. */
const struct hpack_entry *hpack_table_at(const struct hpack_table *t, uint32_t i);

uint32_t hpack_hash(struct str s, uint32_t seed);
