#include "conf/names.h"

/*
 * A hash table of all names, at most half full. The hash of a name runs from its end to its beginning, so
 * that one pass over the name a client sends yields the hashes of all its parent domains too. Keys are the
 * operator's, so nobody from outside can make them collide.
 */
struct slot {
	uint32_t hash;
	uint32_t index; /* of the name, plus one; 0: a free slot */
};

struct conf_names {
	struct str *keys; /* lower case, no trailing dot; ".example.com" for "*.example.com" */
	size_t mask;
	struct slot *slots;
};

#define HASH_START 0x811c9dc5u

/* FNV-1a */
static uint32_t hash_step(uint32_t h, char c)
{
	return (h ^ (uint8_t)c) * 0x01000193u;
}

static uint32_t hash_of(struct str s)
{
	uint32_t h = HASH_START;

	while (s.n)
		h = hash_step(h, s.p[--s.n]);
	return h;
}

static ssize_t find(const struct conf_names *t, uint32_t hash, struct str key, unsigned *steps)
{
	for (size_t i = hash & t->mask; t->slots[i].index; i = (i + 1) & t->mask) {
		*steps += 1;
		if (t->slots[i].hash == hash && str_eq(t->keys[t->slots[i].index - 1], key))
			return (ssize_t)t->slots[i].index - 1;
	}
	return -1;
}

static struct str key_of(struct arena *a, struct str name)
{
	char *p;

	if (str_starts(name, STR("*.")))
		name.p++, name.n--;
	if (str_ends(name, STR(".")))
		name.n--;
	p = arena_alloc(a, name.n);
	for (size_t i = 0; i < name.n; i++)
		p[i] = str_lower_char(name.p[i]);
	return str_of(p, name.n);
}

struct conf_names *conf_names_new(struct arena *a, const struct str *names, size_t n)
{
	struct conf_names *t = arena_new(a, struct conf_names);
	unsigned steps = 0;
	size_t slots = 2;

	BUG_ON(n >= UINT32_MAX / 2);
	while (slots < 2 * n)
		slots *= 2;
	t->mask = slots - 1;
	t->slots = arena_zalloc(a, slots * sizeof *t->slots);
	t->keys = arena_alloc(a, n * sizeof *t->keys);
	for (size_t k = 0; k < n; k++) {
		struct str key = key_of(a, names[k]);
		uint32_t hash = hash_of(key);
		size_t i = hash & t->mask;

		t->keys[k] = key;
		if (key.n == 0 || find(t, hash, key, &steps) >= 0)
			continue;
		while (t->slots[i].index)
			i = (i + 1) & t->mask;
		t->slots[i] = (struct slot){ .hash = hash, .index = (uint32_t)k + 1 };
	}
	return t;
}

ssize_t conf_names_find(const struct conf_names *t, struct str name, unsigned *steps)
{
	uint32_t hash[CONF_NAME_BYTES], h = HASH_START; /* of what begins at this place */
	bool is_first_dot = true;
	unsigned uncounted = 0;
	ssize_t found;

	BUG_ON(name.n > CONF_NAME_BYTES);
	if (!steps)
		steps = &uncounted;
	if (name.n == 0 || name.p[0] == '.')
		return -1;
	for (size_t i = name.n; i-- > 0;)
		hash[i] = h = hash_step(h, name.p[i]);
	found = find(t, hash[0], name, steps);
	for (size_t i = 1; found < 0 && i + 1 < name.n; i++) {
		if (name.p[i] != '.')
			continue;
		/* the key of a wildcard begins with the dot */
		if (is_first_dot)
			found = find(t, hash[i], str_of(name.p + i, name.n - i), steps);
		if (found < 0 && name.p[i + 1] != '.')
			found = find(t, hash[i + 1], str_of(name.p + i + 1, name.n - i - 1), steps);
		is_first_dot = false;
	}
	return found;
}
