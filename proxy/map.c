#include "proxy/map.h"

uint64_t map_hash(struct str key)
{
	uint64_t h = MAP_HASH_START;

	for (size_t i = 0; i < key.n; i++)
		h = map_hash_step(h, key.p[i]);
	return h;
}

void map_init(struct map *m, struct arena *a, size_t n)
{
	size_t slots = 2;

	while (slots < 2 * n)
		slots *= 2;
	*m = (struct map){ .slots = arena_zalloc(a, slots * sizeof *m->slots), .mask = slots - 1 };
}

/* FNV leaves names that differ in a digit close together: spreads them. */
static size_t spread(uint64_t hash)
{
	hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdu;
	return (size_t)(hash ^ hash >> 33);
}

/* Where the key is, or the free slot where it would be. */
static struct map_slot *look(const struct map *m, uint64_t hash, struct str key, unsigned *steps)
{
	size_t at = spread(hash) & m->mask;

	for (;; at = (at + 1) & m->mask) {
		struct map_slot *s = &m->slots[at];

		++*steps;
		if (!s->value || (s->hash == hash && str_eq(s->key, key)))
			return s;
	}
}

bool map_add(struct map *m, uint64_t hash, struct str key, void *value)
{
	unsigned steps = 0;
	struct map_slot *s = look(m, hash, key, &steps);

	BUG_ON(!value || m->n > m->mask / 2);
	if (s->value)
		return false;
	*s = (struct map_slot){ .hash = hash, .key = key, .value = value };
	m->n++;
	return true;
}

void *map_find(const struct map *m, uint64_t hash, struct str key, unsigned *steps)
{
	unsigned ignored = 0;

	return m->n ? look(m, hash, key, steps ? steps : &ignored)->value : NULL;
}
