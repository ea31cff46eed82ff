/*
 * hpack.h - header compression (RFC 7541) without I/O: decoder into, encoder out of, message heads.
 *
 * Knows field lines; of HTTP only what compression needs: which fields are secret, which are worth
 * indexing. Called by the connection (h2c). Both directions keep a dynamic table whose memory grows with
 * what is in it: an idle connection that has seen three requests holds a few hundred bytes.
 */
#pragma once

#include "core/buf.h"
#include "core/err.h"
#include "core/head.h"

enum {
	HPACK_DEFAULT_TABLE_BYTES = 4096,
	HPACK_ENTRY_OVERHEAD = 32, /* RFC 7541 section 4.1 */
};

struct hpack_table;  /* dynamic table, private */
struct hpack_memory; /* what the encoder saw last, private */

struct hpack_decoder {
	struct hpack_table *table;
	uint32_t max_bytes;     /* what our SETTINGS allow */
};
struct hpack_encoder {
	struct hpack_table *table;
	struct hpack_memory *memory;
	uint32_t max_bytes;     /* what the peer's SETTINGS allow, and we use at most our own default */
	uint32_t smallest_bytes; /* since the last block: RFC 7541 section 4.2 */
	bool size_changed;
};

void hpack_decoder_init(struct hpack_decoder *d, uint32_t max_bytes);
void hpack_decoder_fini(struct hpack_decoder *d);

/* One field line, as it is decoded. Name and value lie in the arena given to hpack_decode. */
struct hpack_line {
	struct str name, value;
	uint16_t id;      /* enum field_id, or FIELD_UNKNOWN; pseudo-fields too have FIELD_UNKNOWN */
	uint8_t pseudo;   /* enum hpack_pseudo */
	bool never_indexed;
};
enum hpack_pseudo {
	HPACK_NOT_PSEUDO,
	HPACK_METHOD,
	HPACK_SCHEME,
	HPACK_AUTHORITY,
	HPACK_PATH,
	HPACK_STATUS,
	HPACK_PROTOCOL,       /* RFC 8441 */
	HPACK_UNKNOWN_PSEUDO, /* any other name beginning with ':' */
};

/*
 * Decodes a whole header block, calling `line` for every field line in order. The callback returns
 * ERR_OK, or an error by which the message (not the connection) fails: decoding goes on without further
 * calls, because the dynamic table must stay in step.
 *
 * list_bytes bounds the decoded list (name + value + 32 each, RFC 9113 section 6.5.2): what is beyond is
 * decoded for the table's sake but not copied and not told, and *too_large is set; a block that would
 * make the decoder copy more than that costs no more memory. Returns false on a compression error
 * (COMPRESSION_ERROR on the connection).
 */
bool hpack_decode(struct hpack_decoder *d, const uint8_t *p, size_t n, struct arena *a, size_t list_bytes,
		  enum err (*line)(void *ctx, const struct hpack_line *l), void *ctx, enum err *message_error,
		  bool *too_large) MUST_USE;

void hpack_encoder_init(struct hpack_encoder *e);
void hpack_encoder_fini(struct hpack_encoder *e);
/* The peer's SETTINGS_HEADER_TABLE_SIZE: takes effect with an update at the start of the next block. */
void hpack_encoder_resize(struct hpack_encoder *e, uint32_t max_bytes);

/*
 * Appends the block of a response head (or trailers) to out: ":status" first (not for trailers), then the
 * fields that are not removed, names in lower case. Repeating fields are indexed; secret ones
 * (FIELD_SECRET, and what comes with never_indexed) never; values that hardly repeat (etag,
 * content-length of large bodies, location, ...) are sent as literals without indexing. Returns bytes
 * appended.
 */
size_t hpack_encode(struct hpack_encoder *e, const struct head *h, struct buf *out);
