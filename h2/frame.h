/*
 * frame.h - HTTP/2 frames (RFC 9113 sections 4 and 6) without I/O: the table of types, reading a frame
 * header, the checks that need no connection state, writing frames.
 *
 * Knows bytes; nothing of streams' lives, windows or HPACK. Called by the connection (h2c).
 */
#pragma once

#include "core/buf.h"

enum {
	H2_FRAME_HEADER_BYTES = 9,
	H2_MIN_MAX_FRAME_BYTES = 16384,    /* SETTINGS_MAX_FRAME_SIZE's initial and smallest value */
	H2_MAX_WINDOW = 0x7fffffff,
	H2_INITIAL_WINDOW = 65535,
};

/* The client's connection preface (RFC 9113 section 3.4). */
#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
enum { H2_PREFACE_BYTES = 24 };

/* RFC 9113 section 7. Columns: name, code. */
#define H2_ERROR_TABLE(X)           \
	X(NO_ERROR, 0x0)            \
	X(PROTOCOL_ERROR, 0x1)      \
	X(INTERNAL_ERROR, 0x2)      \
	X(FLOW_CONTROL_ERROR, 0x3)  \
	X(SETTINGS_TIMEOUT, 0x4)    \
	X(STREAM_CLOSED, 0x5)       \
	X(FRAME_SIZE_ERROR, 0x6)    \
	X(REFUSED_STREAM, 0x7)      \
	X(CANCEL, 0x8)              \
	X(COMPRESSION_ERROR, 0x9)   \
	X(CONNECT_ERROR, 0xa)       \
	X(ENHANCE_YOUR_CALM, 0xb)   \
	X(INADEQUATE_SECURITY, 0xc) \
	X(HTTP_1_1_REQUIRED, 0xd)

enum h2_code {
#define X(name, code) H2_##name = code,
	H2_ERROR_TABLE(X)
#undef X
};
/* The code's name, or "unknown"; static. */
const char *h2_code_name(uint32_t code);

enum h2_flag {
	H2_END_STREAM = 0x1,
	H2_ACK = 0x1,
	H2_END_HEADERS = 0x4,
	H2_PADDED = 0x8,
	H2_PRIORITY_FLAG = 0x20,
};

/* Where a frame may appear. */
enum h2_place { H2_ON_STREAM, H2_ON_CONNECTION, H2_ON_BOTH };
/*
 * How far a size error reaches (RFC 9113 section 4.2): frames that alter connection state end the
 * connection.
 */
enum h2_scope { H2_OK, H2_STREAM_ERROR, H2_CONNECTION_ERROR };

/*
 * Frame types. Columns: name, type, place, smallest and largest payload (UINT32_MAX: as MAX_FRAME_SIZE),
 * defined flags, scope of a wrong size, section.
 */
#define H2_FRAME_TABLE(X)                                                                                  \
	X(DATA, 0x0, H2_ON_STREAM, 0, UINT32_MAX, H2_END_STREAM | H2_PADDED, H2_CONNECTION_ERROR, "6.1")   \
	X(HEADERS, 0x1, H2_ON_STREAM, 0, UINT32_MAX,                                                       \
	  H2_END_STREAM | H2_END_HEADERS | H2_PADDED | H2_PRIORITY_FLAG, H2_CONNECTION_ERROR, "6.2")       \
	X(PRIORITY, 0x2, H2_ON_STREAM, 5, 5, 0, H2_STREAM_ERROR, "6.3")                                    \
	X(RST_STREAM, 0x3, H2_ON_STREAM, 4, 4, 0, H2_CONNECTION_ERROR, "6.4")                              \
	X(SETTINGS, 0x4, H2_ON_CONNECTION, 0, UINT32_MAX, H2_ACK, H2_CONNECTION_ERROR, "6.5")              \
	X(PUSH_PROMISE, 0x5, H2_ON_STREAM, 4, UINT32_MAX, H2_END_HEADERS | H2_PADDED, H2_CONNECTION_ERROR, \
	  "6.6")                                                                                           \
	X(PING, 0x6, H2_ON_CONNECTION, 8, 8, H2_ACK, H2_CONNECTION_ERROR, "6.7")                           \
	X(GOAWAY, 0x7, H2_ON_CONNECTION, 8, UINT32_MAX, 0, H2_CONNECTION_ERROR, "6.8")                     \
	X(WINDOW_UPDATE, 0x8, H2_ON_BOTH, 4, 4, 0, H2_CONNECTION_ERROR, "6.9")                             \
	X(CONTINUATION, 0x9, H2_ON_STREAM, 0, UINT32_MAX, H2_END_HEADERS, H2_CONNECTION_ERROR, "6.10")     \
	X(PRIORITY_UPDATE, 0x10, H2_ON_CONNECTION, 4, UINT32_MAX, 0, H2_CONNECTION_ERROR, "RFC 9218 7.1")

enum h2_type {
#define X(name, type, place, min, max, flags, scope, section) H2_##name = type,
	H2_FRAME_TABLE(X)
#undef X
};

/*
 * Settings (RFC 9113 section 6.5.2, RFC 8441 section 3, RFC 9218 section 2.1).
 * Columns: name, id, initial value, smallest, largest, error outside of it.
 */
#define H2_SETTING_TABLE(X)                                                          \
	X(HEADER_TABLE_SIZE, 0x1, 4096, 0, UINT32_MAX, H2_PROTOCOL_ERROR)            \
	X(ENABLE_PUSH, 0x2, 1, 0, 1, H2_PROTOCOL_ERROR)                              \
	X(MAX_CONCURRENT_STREAMS, 0x3, UINT32_MAX, 0, UINT32_MAX, H2_PROTOCOL_ERROR) \
	X(INITIAL_WINDOW_SIZE, 0x4, 65535, 0, H2_MAX_WINDOW, H2_FLOW_CONTROL_ERROR)  \
	X(MAX_FRAME_SIZE, 0x5, 16384, 16384, 16777215, H2_PROTOCOL_ERROR)            \
	X(MAX_HEADER_LIST_SIZE, 0x6, UINT32_MAX, 0, UINT32_MAX, H2_PROTOCOL_ERROR)   \
	X(ENABLE_CONNECT_PROTOCOL, 0x8, 0, 0, 1, H2_PROTOCOL_ERROR)                  \
	X(NO_RFC7540_PRIORITIES, 0x9, 0, 0, 1, H2_PROTOCOL_ERROR)

enum h2_setting {
#define X(name, id, initial, min, max, code) H2_SETTING_##name = id,
	H2_SETTING_TABLE(X)
#undef X
	H2_SETTING_MAX = 0x9,
};

struct h2_frame {
	uint32_t length;
	uint8_t type, flags;
	uint32_t stream;
};

/* Reads 9 bytes. The reserved bit is ignored (RFC 9113 section 4.1). */
void h2_frame_read(struct h2_frame *f, const uint8_t *p);
/*
 * What can be said of a frame by its header alone: its place, its size against the table and
 * max_frame_bytes. Types without a row are H2_OK unless too large. *code is set when the result is not
 * H2_OK.
 */
enum h2_scope h2_frame_check(const struct h2_frame *f, uint32_t max_frame_bytes, enum h2_code *code) MUST_USE;
/*
 * Takes padding off the payload of DATA, HEADERS, PUSH_PROMISE (RFC 9113 section 6.1). Returns false when
 * the padding is as long as the payload or longer: PROTOCOL_ERROR on the connection.
 */
bool h2_frame_unpad(const struct h2_frame *f, const uint8_t **p, size_t *n) MUST_USE;
/* One setting against the table: H2_NO_ERROR, or the connection error its value is. Unknown ids are fine. */
enum h2_code h2_setting_check(uint16_t id, uint32_t value) MUST_USE;
/* The type's name ("HEADERS") or "unknown"; static. */
const char *h2_type_name(uint8_t type);

/* ---- writing: appended to out ---- */

void h2_frame_header(uint8_t out[H2_FRAME_HEADER_BYTES], uint32_t length, uint8_t type, uint8_t flags,
		     uint32_t stream);
void h2_write_settings(struct buf *out, const uint16_t *ids, const uint32_t *values, size_t n);
void h2_write_settings_ack(struct buf *out);
void h2_write_ping(struct buf *out, const uint8_t opaque[8], bool ack);
void h2_write_goaway(struct buf *out, uint32_t last_stream, enum h2_code code, struct str debug);
void h2_write_rst_stream(struct buf *out, uint32_t stream, enum h2_code code);
void h2_write_window_update(struct buf *out, uint32_t stream, uint32_t increment);

static inline uint32_t h2_get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint16_t h2_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
