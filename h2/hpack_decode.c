#include "h2/huffman.h"
#include "h2/hpack_table.h"

enum { SIZE_UPDATES_MAX = 16 };

/* A header block being read. Any failure is sticky and a compression error. */
struct block {
	const uint8_t *p, *end;
	bool failed;
	bool passing; /* lines are wanted for the dynamic table's sake only */
};

/* What is only passed on to the table may stay where it is. */
static struct str keep(const struct block *b, struct arena *a, const void *p, size_t n)
{
	return b->passing ? str_of(p, n) : arena_dup(a, str_of(p, n));
}

void hpack_decoder_init(struct hpack_decoder *d, uint32_t max_bytes)
{
	d->table = NULL;
	d->max_bytes = max_bytes;
}

void hpack_decoder_fini(struct hpack_decoder *d)
{
	hpack_table_free(d->table);
	d->table = NULL;
}

/* An integer with a prefix of `bits` bits (RFC 7541 section 5.1), within 32 bits and five more octets. */
static uint32_t read_int(struct block *b, unsigned bits)
{
	uint32_t mask = (1u << bits) - 1;
	uint64_t value = *b->p++ & mask;

	if (value < mask)
		return (uint32_t)value;
	for (unsigned shift = 0; shift <= 28; shift += 7) {
		uint8_t octet;

		if (b->p == b->end)
			break;
		octet = *b->p++;
		value += (uint64_t)(octet & 0x7f) << shift;
		if (!(octet & 0x80)) {
			b->failed |= value > UINT32_MAX;
			return (uint32_t)value;
		}
	}
	b->failed = true;
	return 0;
}

static struct str read_huffman(struct block *b, const uint8_t *p, size_t n, struct arena *a)
{
	char small[1024], *out = small;
	ssize_t got;

	if (b->passing || huff_decoded_max(n) > sizeof small)
		out = arena_alloc(a, huff_decoded_max(n));
	got = huff_decode(p, n, out);
	if (got < 0) {
		b->failed = true;
		return STR_NONE;
	}
	return out == small ? arena_dup(a, str_of(out, (size_t)got)) : str_of(out, (size_t)got);
}

/* A string literal (RFC 7541 section 5.2), kept in a. */
static struct str read_string(struct block *b, struct arena *a)
{
	const uint8_t *p;
	bool huffman;
	uint32_t n;

	if (b->p == b->end) {
		b->failed = true;
		return STR_NONE;
	}
	huffman = *b->p & 0x80;
	n = read_int(b, 7);
	if (b->failed || n > (size_t)(b->end - b->p)) {
		b->failed = true;
		return STR_NONE;
	}
	p = b->p;
	b->p += n;
	return huffman ? read_huffman(b, p, n, a) : keep(b, a, p, n);
}

/*
 * Name, and with a value where one is asked for, of an index (RFC 7541 section 2.3.3). An entry of the
 * dynamic table is copied into a: the block that refers to it may evict it.
 */
static void read_index(struct hpack_decoder *d, struct block *b, uint32_t index, bool with_value,
		       struct arena *a, struct hpack_line *l)
{
	const struct hpack_entry *e;

	if (index >= 1 && index <= HPACK_STATIC_COUNT) {
		const struct hpack_static *s = &hpack_static[index];

		l->name = s->name;
		l->id = s->id;
		l->pseudo = s->pseudo;
		if (with_value)
			l->value = s->value;
		return;
	}
	if (index == 0 || index - HPACK_STATIC_COUNT - 1 >= d->table->n) {
		b->failed = true;
		return;
	}
	e = hpack_table_at(d->table, index - HPACK_STATIC_COUNT - 1);
	l->id = e->id;
	l->pseudo = e->pseudo;
	l->name = e->id ? field_name(e->id) : keep(b, a, e->text, e->name_bytes);
	if (with_value)
		l->value = keep(b, a, e->text + e->name_bytes, e->value_bytes);
}

static uint8_t pseudo_of(struct str name)
{
	static const struct {
		struct str name;
		uint8_t pseudo;
	} known[] = {
		{{":method", 7}, HPACK_METHOD},	       {{":scheme", 7}, HPACK_SCHEME},
		{{":authority", 10}, HPACK_AUTHORITY}, {{":path", 5}, HPACK_PATH},
		{{":status", 7}, HPACK_STATUS},	       {{":protocol", 9}, HPACK_PROTOCOL},
	};

	if (!name.n || name.p[0] != ':')
		return HPACK_NOT_PSEUDO;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (str_eq(name, known[i].name))
			return known[i].pseudo;
	return HPACK_UNKNOWN_PSEUDO;
}

/* The name of a literal: by index, or spelled out. */
static void read_name(struct hpack_decoder *d, struct block *b, uint32_t index, struct arena *a,
		      struct hpack_line *l)
{
	if (index) {
		read_index(d, b, index, false, a, l);
		return;
	}
	l->name = read_string(b, a);
	if (b->failed)
		return;
	l->pseudo = pseudo_of(l->name);
	/*
	 * a name in upper case is malformed, and told as it is; it must not pass for the field it
	 * resembles
	 */
	l->id = (uint16_t)field_lookup(l->name);
	if (l->id && !str_eq(l->name, field_name(l->id)))
		l->id = FIELD_UNKNOWN;
}

/* RFC 7541 section 6.1 and 6.2. */
static void read_line(struct hpack_decoder *d, struct block *b, struct arena *a, struct hpack_line *l)
{
	uint8_t first = *b->p;

	*l = (struct hpack_line){0};
	if (first & 0x80) {
		read_index(d, b, read_int(b, 7), true, a, l);
		return;
	}
	l->never_indexed = (first & 0xf0) == 0x10;
	read_name(d, b, read_int(b, first & 0x40 ? 6 : 4), a, l);
	if (b->failed)
		return;
	l->value = read_string(b, a);
	if (!b->failed && first & 0x40)
		hpack_table_add(d->table, l, 0, 0);
}

/*
 * Size updates stand at the beginning of a block only; two are enough to say anything (RFC 7541 section
 * 4.2).
 */
static void read_size_updates(struct hpack_decoder *d, struct block *b)
{
	for (unsigned i = 0; b->p < b->end && !b->failed && (*b->p & 0xe0) == 0x20; i++) {
		uint32_t max = read_int(b, 5);

		if (max > d->max_bytes || i >= SIZE_UPDATES_MAX)
			b->failed = true;
		else if (!b->failed)
			hpack_table_resize(d->table, max);
	}
}

bool hpack_decode(struct hpack_decoder *d, const uint8_t *p, size_t n, struct arena *a, size_t list_bytes,
		  enum err (*line)(void *ctx, const struct hpack_line *l), void *ctx, enum err *message_error,
		  bool *too_large)
{
	struct block b = {.p = p, .end = p + n};
	size_t list = 0;

	*message_error = ERR_OK;
	*too_large = false;
	if (!d->table)
		d->table = hpack_table_new(d->max_bytes);
	read_size_updates(d, &b);
	while (b.p < b.end && !b.failed) {
		struct hpack_line l;
		struct arena passing;

		if ((*b.p & 0xe0) == 0x20)
			return false;
		if (!*too_large && !*message_error) {
			read_line(d, &b, a, &l);
			list += l.name.n + l.value.n + HPACK_ENTRY_OVERHEAD;
			*too_large = list > list_bytes;
			if (!b.failed && !*too_large)
				*message_error = line(ctx, &l);
			continue;
		}
		/* memory for one line at a time */
		b.passing = true;
		arena_init(&passing);
		read_line(d, &b, &passing, &l);
		arena_fini(&passing);
	}
	return !b.failed;
}
