#include "h2/huffman.h"
#include "h2/hpack_table.h"

/*
 * What is worth a place in the table: fields whose value usually stays are indexed when they are first
 * seen; of all others the hash of the last value is remembered, and a value that comes a second time in a
 * row is indexed then.
 */
enum { REMEMBERED = 64 };

struct hpack_memory {
	uint16_t values[REMEMBERED]; /* by the name's hash */
};

void hpack_encoder_init(struct hpack_encoder *e)
{
	memset(e, 0, sizeof *e);
	e->max_bytes = e->smallest_bytes = HPACK_DEFAULT_TABLE_BYTES;
}

void hpack_encoder_fini(struct hpack_encoder *e)
{
	hpack_table_free(e->table);
	free(e->memory);
	e->table = NULL;
	e->memory = NULL;
}

void hpack_encoder_resize(struct hpack_encoder *e, uint32_t max_bytes)
{
	uint32_t use = MIN(max_bytes, (uint32_t)HPACK_DEFAULT_TABLE_BYTES);

	if (use == e->max_bytes)
		return;
	/*
	 * two updates at most: the smallest size since the last block, then the final one (RFC 7541
	 * section 4.2)
	 */
	if (!e->size_changed || use < e->smallest_bytes)
		e->smallest_bytes = MIN(use, e->max_bytes);
	e->max_bytes = use;
	e->size_changed = true;
}

static void put_int(struct buf *out, uint8_t pattern, unsigned bits, size_t value)
{
	uint8_t octets[12];
	size_t n = 0, mask = (1u << bits) - 1;

	if (value < mask) {
		octets[n++] = (uint8_t)(pattern | value);
	} else {
		octets[n++] = (uint8_t)(pattern | mask);
		for (value -= mask; value >= 0x80; value >>= 7)
			octets[n++] = (uint8_t)(value | 0x80);
		octets[n++] = (uint8_t)value;
	}
	buf_put(out, octets, n);
}

static void put_string(struct buf *out, struct str s)
{
	uint8_t encoded[512];
	size_t n = huff_encoded_bytes(s);

	if (n < s.n && n <= sizeof encoded) {
		put_int(out, 0x80, 7, n);
		huff_encode(s, encoded);
		buf_put(out, encoded, n);
	} else {
		put_int(out, 0, 7, s.n);
		buf_put_str(out, s);
	}
}

/*
 * Place among the `n` live hashes, 0 being the newest, of one equal to h at or after i; n when there is
 * none.
 */
static uint32_t find_hash(const struct hpack_table *t, const uint32_t *hashes, uint32_t h, uint32_t i)
{
	while (i < t->n && hashes[(t->newest - i) & (t->cap - 1)] != h)
		i++;
	return i;
}

/* Index of the whole line, or 0. */
static uint32_t find_line(const struct hpack_table *t, const struct hpack_line *l, uint32_t hash)
{
	for (uint32_t i = find_hash(t, t->line_hashes, hash, 0); i < t->n;
	     i = find_hash(t, t->line_hashes, hash, i + 1)) {
		const struct hpack_entry *e = hpack_table_at(t, i);

		if (str_eq(l->name, str_of(e->text, e->name_bytes)) &&
		    str_eq(l->value, str_of(e->text + e->name_bytes, e->value_bytes)))
			return HPACK_STATIC_COUNT + 1 + i;
	}
	return 0;
}

/* Index of the name, or 0. */
static uint32_t find_name(const struct hpack_table *t, const struct hpack_line *l, uint32_t hash)
{
	uint32_t index = l->id ? hpack_static_of(l->id) : 0;

	if (index)
		return index;
	for (uint32_t i = find_hash(t, t->name_hashes, hash, 0); i < t->n;
	     i = find_hash(t, t->name_hashes, hash, i + 1)) {
		const struct hpack_entry *e = hpack_table_at(t, i);

		if (str_eq(l->name, str_of(e->text, e->name_bytes)))
			return HPACK_STATIC_COUNT + 1 + i;
	}
	return 0;
}

/* Fields whose value belongs to one answer, or to a moment. */
static bool is_volatile(enum field_id id)
{
	switch ((int)id) {
	case FIELD_UNKNOWN:
	case FIELD_AGE:
	case FIELD_CONTENT_LENGTH:
	case FIELD_CONTENT_RANGE:
	case FIELD_DATE:
	case FIELD_ETAG:
	case FIELD_EXPIRES:
	case FIELD_LAST_MODIFIED:
	case FIELD_LINK:
	case FIELD_LOCATION:
	case FIELD_X_REQUEST_ID:
		return true;
	}
	return false;
}

static bool is_worth_indexing(struct hpack_encoder *e, const struct hpack_line *l, uint32_t name_hash,
			      uint32_t line_hash)
{
	uint16_t *last, mark = (uint16_t)(line_hash >> 16 | 1);
	bool again;

	if (l->name.n + l->value.n + HPACK_ENTRY_OVERHEAD > e->max_bytes / 4)
		return false;
	if (!is_volatile(l->id))
		return true;
	if (!e->memory)
		e->memory = base_zalloc(sizeof *e->memory);
	last = &e->memory->values[name_hash % REMEMBERED];
	again = *last == mark;
	*last = mark;
	return again;
}

static void put_literal(struct buf *out, uint8_t pattern, unsigned bits, uint32_t name_index,
			const struct hpack_line *l)
{
	put_int(out, pattern, bits, name_index);
	if (!name_index)
		put_string(out, l->name);
	put_string(out, l->value);
}

/* l->name in lower case. */
static void put_line(struct hpack_encoder *e, struct buf *out, const struct hpack_line *l)
{
	uint32_t name_hash = l->id ? l->id * 0x9e3779b1u : hpack_hash(l->name, 0);
	uint32_t line_hash = hpack_hash(l->value, name_hash);
	uint32_t index;

	if (l->never_indexed) {
		put_literal(out, 0x10, 4, find_name(e->table, l, name_hash), l);
		return;
	}
	index = find_line(e->table, l, line_hash);
	if (index) {
		put_int(out, 0x80, 7, index);
		return;
	}
	index = find_name(e->table, l, name_hash);
	if (is_worth_indexing(e, l, name_hash, line_hash)) {
		put_literal(out, 0x40, 6, index, l);
		hpack_table_add(e->table, l, name_hash, line_hash);
	} else {
		put_literal(out, 0, 4, index, l);
	}
}

static void put_status(struct hpack_encoder *e, struct buf *out, uint16_t status)
{
	char digits[8];
	struct hpack_line l = { .name = STR(":status"), .value = { digits, 3 }, .pseudo = HPACK_STATUS };

	snprintf(digits, sizeof digits, "%03u", status % 1000u);
	for (uint8_t i = 8; i <= 14; i++) /* the statuses of the static table */
		if (str_eq(hpack_static[i].value, l.value)) {
			put_int(out, 0x80, 7, i);
			return;
		}
	put_line(e, out, &l);
}

static void put_size_updates(struct hpack_encoder *e, struct buf *out)
{
	if (!e->size_changed)
		return;
	if (e->smallest_bytes < e->max_bytes) {
		hpack_table_resize(e->table, e->smallest_bytes);
		put_int(out, 0x20, 5, e->smallest_bytes);
	}
	hpack_table_resize(e->table, e->max_bytes);
	put_int(out, 0x20, 5, e->max_bytes);
	e->smallest_bytes = e->max_bytes;
	e->size_changed = false;
}

/* In lower case, as RFC 9113 section 8.2.1 wants names; false when it is too long to be bothered with. */
static bool lower_name(const struct field *f, char *room, size_t cap, struct str *name)
{
	if (f->id) {
		*name = field_name(f->id);
		return true;
	}
	if (f->name.n > cap)
		return false;
	for (size_t i = 0; i < f->name.n; i++)
		room[i] = str_lower_char(f->name.p[i]);
	*name = str_of(room, f->name.n);
	return true;
}

/* Names beyond any use: literal, character by character, in no table. */
static void put_long_name(struct buf *out, const struct field *f)
{
	put_int(out, 0, 4, 0);
	put_int(out, 0, 7, f->name.n);
	for (size_t i = 0; i < f->name.n; i++) {
		char c = str_lower_char(f->name.p[i]);

		buf_put(out, &c, 1);
	}
	put_string(out, f->value);
}

size_t hpack_encode(struct hpack_encoder *e, const struct head *h, struct buf *out)
{
	size_t before = buf_len(out);
	char room[256];

	if (!e->table)
		e->table = hpack_table_new(HPACK_DEFAULT_TABLE_BYTES);
	put_size_updates(e, out);
	if (h->kind != HEAD_TRAILERS)
		put_status(e, out, h->status);
	head_for_each(f, h) {
		struct hpack_line l = { .value = f->value, .id = f->id };

		if (!lower_name(f, room, sizeof room, &l.name)) {
			put_long_name(out, f);
			continue;
		}
		l.never_indexed = field_flags(f->id) & FIELD_SECRET;
		put_line(e, out, &l);
	}
	return buf_len(out) - before;
}
