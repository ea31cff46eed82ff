#include "h2/hpack_table.h"

const struct hpack_static hpack_static[HPACK_STATIC_COUNT + 1] = {
#define X(index, n, v, field, p) [index] = { { n, sizeof(n) - 1 }, { v, sizeof(v) - 1 }, field, p },
	HPACK_STATIC_TABLE(X)
#undef X
};

uint8_t hpack_static_of(enum field_id id)
{
	static const uint8_t first[FIELD_COUNT] = {
#define X(index, n, v, field, p) [field] = index,
		HPACK_STATIC_FIELDS(X)
#undef X
	};

	return first[id];
}

uint32_t hpack_hash(struct str s, uint32_t seed)
{
	uint64_t h = seed ^ s.n * 0x9e3779b97f4a7c15u, x;

	for (; s.n >= sizeof x; s.p += sizeof x, s.n -= sizeof x) {
		memcpy(&x, s.p, sizeof x);
		h = (h ^ x) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	if (s.n) {
		x = 0;
		memcpy(&x, s.p, s.n);
		h = (h ^ x) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	return (uint32_t)(h ^ h >> 29);
}

struct hpack_table *hpack_table_new(uint32_t max_bytes)
{
	struct hpack_table *t = base_zalloc(sizeof *t);

	t->max_bytes = max_bytes;
	return t;
}

static uint32_t place(const struct hpack_table *t, uint32_t i)
{
	return (t->newest - i) & (t->cap - 1);
}

const struct hpack_entry *hpack_table_at(const struct hpack_table *t, uint32_t i)
{
	return t->entries[place(t, i)];
}

static void evict_to(struct hpack_table *t, uint32_t bytes)
{
	while (t->bytes > bytes) {
		struct hpack_entry *oldest = t->entries[place(t, t->n - 1)];

		t->bytes -= oldest->name_bytes + oldest->value_bytes + HPACK_ENTRY_OVERHEAD;
		free(oldest);
		t->n--;
	}
}

void hpack_table_resize(struct hpack_table *t, uint32_t max_bytes)
{
	t->max_bytes = max_bytes;
	evict_to(t, max_bytes);
}

void hpack_table_free(struct hpack_table *t)
{
	if (!t)
		return;
	evict_to(t, 0);
	free(t->entries);
	free(t->line_hashes);
	free(t->name_hashes);
	free(t);
}

/* Doubles the ring and lays it out anew, oldest first. */
static void grow(struct hpack_table *t)
{
	uint32_t cap = t->cap ? 2 * t->cap : 8;
	struct hpack_entry **entries = base_alloc(cap * sizeof *entries);
	uint32_t *lines = base_alloc(cap * sizeof *lines), *names = base_alloc(cap * sizeof *names);

	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t from = place(t, t->n - 1 - i);

		entries[i] = t->entries[from];
		lines[i] = t->line_hashes[from];
		names[i] = t->name_hashes[from];
	}
	free(t->entries);
	free(t->line_hashes);
	free(t->name_hashes);
	t->entries = entries;
	t->line_hashes = lines;
	t->name_hashes = names;
	t->cap = cap;
	t->newest = t->n - 1;
}

void hpack_table_add(struct hpack_table *t, const struct hpack_line *l, uint32_t name_hash,
		     uint32_t line_hash)
{
	size_t bytes = l->name.n + l->value.n + HPACK_ENTRY_OVERHEAD;
	struct hpack_entry *e;

	if (bytes > t->max_bytes) {
		evict_to(t, 0);
		return;
	}
	/* copied before anything is evicted: the name may be an old entry's (RFC 7541 section 4.4) */
	e = base_alloc(sizeof *e + l->name.n + l->value.n);
	e->name_bytes = (uint32_t)l->name.n;
	e->value_bytes = (uint32_t)l->value.n;
	e->id = l->id;
	e->pseudo = l->pseudo;
	memcpy(e->text, l->name.p, l->name.n);
	memcpy(e->text + l->name.n, l->value.p, l->value.n);
	evict_to(t, t->max_bytes - (uint32_t)bytes);
	if (t->n == t->cap)
		grow(t);
	t->n++;
	t->bytes += (uint32_t)bytes;
	t->newest = (t->newest + 1) & (t->cap - 1);
	t->entries[t->newest] = e;
	t->line_hashes[t->newest] = line_hash;
	t->name_hashes[t->newest] = name_hash;
}
