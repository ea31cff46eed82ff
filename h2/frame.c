#include "h2/frame.h"

struct frame_row {
	const char *name;
	enum h2_place place;
	uint32_t min, max;
	enum h2_scope size_scope;
};

static const struct frame_row *row_of(uint8_t type)
{
	static const struct frame_row rows[] = {
#define X(name, type, place, min, max, flags, scope, section) [type] = { #name, place, min, max, scope },
		H2_FRAME_TABLE(X)
#undef X
	};

	return type < ARRAY_SIZE(rows) && rows[type].name ? &rows[type] : NULL;
}

const char *h2_type_name(uint8_t type)
{
	const struct frame_row *row = row_of(type);

	return row ? row->name : "unknown";
}

const char *h2_code_name(uint32_t code)
{
	static const char *const names[] = {
#define X(name, code) [code] = #name,
		H2_ERROR_TABLE(X)
#undef X
	};

	return code < ARRAY_SIZE(names) ? names[code] : "unknown";
}

void h2_frame_read(struct h2_frame *f, const uint8_t *p)
{
	f->length = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
	f->type = p[3];
	f->flags = p[4];
	f->stream = h2_get32(p + 5) & 0x7fffffff;
}

static enum h2_scope fail(enum h2_scope scope, enum h2_code why, enum h2_code *code)
{
	*code = why;
	return scope;
}

enum h2_scope h2_frame_check(const struct h2_frame *f, uint32_t max_frame_bytes, enum h2_code *code)
{
	const struct frame_row *row = row_of(f->type);

	/* of any type: the connection is out of step if we do not read it (RFC 9113 section 4.2) */
	if (f->length > max_frame_bytes)
		return fail(H2_CONNECTION_ERROR, H2_FRAME_SIZE_ERROR, code);
	if (!row)
		return H2_OK;
	if (f->stream ? row->place == H2_ON_CONNECTION : row->place == H2_ON_STREAM)
		return fail(H2_CONNECTION_ERROR, H2_PROTOCOL_ERROR, code);
	if (f->length < row->min || f->length > row->max)
		return fail(row->size_scope, H2_FRAME_SIZE_ERROR, code);
	/* RFC 9113 section 6.5: six bytes each, and none in an acknowledgement */
	if (f->type == H2_SETTINGS && (f->length % 6 || (f->flags & H2_ACK && f->length)))
		return fail(H2_CONNECTION_ERROR, H2_FRAME_SIZE_ERROR, code);
	return H2_OK;
}

bool h2_frame_unpad(const struct h2_frame *f, const uint8_t **p, size_t *n)
{
	uint8_t padding;

	if (!(f->flags & H2_PADDED))
		return true;
	if (*n < 1 || (*p)[0] >= *n)
		return false;
	padding = (*p)[0];
	*p += 1;
	*n -= 1u + padding;
	return true;
}

enum h2_code h2_setting_check(uint16_t id, uint32_t value)
{
	static const struct {
		uint32_t min, max;
		enum h2_code code;
	} rows[H2_SETTING_MAX + 1] = {
#define X(name, id, initial, least, most, error) [id] = { least, most, error },
		H2_SETTING_TABLE(X)
#undef X
	};

	if (id > H2_SETTING_MAX || !rows[id].max)
		return H2_NO_ERROR;
	return value < rows[id].min || value > rows[id].max ? rows[id].code : H2_NO_ERROR;
}

/* ---- writing ---- */

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

void h2_frame_header(uint8_t out[H2_FRAME_HEADER_BYTES], uint32_t length, uint8_t type, uint8_t flags,
		     uint32_t stream)
{
	out[0] = (uint8_t)(length >> 16);
	out[1] = (uint8_t)(length >> 8);
	out[2] = (uint8_t)length;
	out[3] = type;
	out[4] = flags;
	put32(out + 5, stream);
}

static void put_header(struct buf *out, uint32_t length, uint8_t type, uint8_t flags, uint32_t stream)
{
	uint8_t header[H2_FRAME_HEADER_BYTES];

	h2_frame_header(header, length, type, flags, stream);
	buf_put(out, header, sizeof header);
}

void h2_write_settings(struct buf *out, const uint16_t *ids, const uint32_t *values, size_t n)
{
	put_header(out, (uint32_t)(6 * n), H2_SETTINGS, 0, 0);
	for (size_t i = 0; i < n; i++) {
		uint8_t setting[6] = { (uint8_t)(ids[i] >> 8), (uint8_t)ids[i] };

		put32(setting + 2, values[i]);
		buf_put(out, setting, sizeof setting);
	}
}

void h2_write_settings_ack(struct buf *out)
{
	put_header(out, 0, H2_SETTINGS, H2_ACK, 0);
}

void h2_write_ping(struct buf *out, const uint8_t opaque[8], bool ack)
{
	put_header(out, 8, H2_PING, ack ? H2_ACK : 0, 0);
	buf_put(out, opaque, 8);
}

void h2_write_goaway(struct buf *out, uint32_t last_stream, enum h2_code code, struct str debug)
{
	uint8_t fixed[8];

	put32(fixed, last_stream);
	put32(fixed + 4, code);
	put_header(out, (uint32_t)(sizeof fixed + debug.n), H2_GOAWAY, 0, 0);
	buf_put(out, fixed, sizeof fixed);
	buf_put_str(out, debug);
}

static void put_value(struct buf *out, uint8_t type, uint32_t stream, uint32_t value)
{
	uint8_t payload[4];

	put32(payload, value);
	put_header(out, sizeof payload, type, 0, stream);
	buf_put(out, payload, sizeof payload);
}

void h2_write_rst_stream(struct buf *out, uint32_t stream, enum h2_code code)
{
	put_value(out, H2_RST_STREAM, stream, code);
}

void h2_write_window_update(struct buf *out, uint32_t stream, uint32_t increment)
{
	put_value(out, H2_WINDOW_UPDATE, stream, increment);
}
