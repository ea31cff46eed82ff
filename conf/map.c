#include "conf/priv.h"

static uint64_t hash(struct str s)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
	return h ^ h >> 32;
}

/* The slot that has the key, or the free one where it belongs. */
static struct conf_map_slot *slot_of(const struct conf_map *m, struct str key)
{
	size_t i = hash(key) & (m->cap - 1);

	while (m->slots[i].key.p && !str_eq(m->slots[i].key, key))
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

static void grow(struct arena *a, struct conf_map *m)
{
	struct conf_map old = *m;

	m->cap = old.cap ? 4 * old.cap : 64;
	m->slots = arena_zalloc(a, m->cap * sizeof *m->slots);
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].key.p)
			*slot_of(m, old.slots[i].key) = old.slots[i];
}

void **conf_map_at(struct arena *a, struct conf_map *m, struct str key)
{
	struct conf_map_slot *slot;

	if (m->n >= m->cap / 2)
		grow(a, m);
	slot = slot_of(m, key);
	if (!slot->key.p) {
		slot->key = key.p ? key : STR("");
		m->n++;
	}
	return &slot->value;
}
