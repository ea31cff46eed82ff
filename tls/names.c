#include "tls/priv.h"

/*
 * A hash table of all names, at most half full. The hash of a name runs from its end to its beginning, so
 * that one pass over the name a client sends yields the hashes of all its parent domains too. Keys are the
 * operator's, so nobody from outside can make them collide.
 */
struct slot {
	uint32_t hash;
	uint32_t index; /* of the name, plus one; 0: a free slot */
};

struct tls_names {
	struct str *keys; /* lower case, no trailing dot; ".example.com" for "*.example.com" */
	size_t n;
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

static ssize_t find(const struct tls_names *t, uint32_t hash, struct str key)
{
	for (size_t i = hash & t->mask; t->slots[i].index; i = (i + 1) & t->mask)
		if (t->slots[i].hash == hash && str_eq(t->keys[t->slots[i].index - 1], key))
			return (ssize_t)t->slots[i].index - 1;
	return -1;
}

static struct str key_of(struct str name)
{
	char *p;

	if (str_starts(name, STR("*.")))
		name.p++, name.n--;
	if (str_ends(name, STR(".")))
		name.n--;
	p = base_alloc(name.n + 1);
	for (size_t i = 0; i < name.n; i++)
		p[i] = str_lower_char(name.p[i]);
	return str_of(p, name.n);
}

struct tls_names *tls_names_new(const struct tls_name *names, size_t n)
{
	struct tls_names *t = base_zalloc(sizeof *t);
	size_t slots = 2;

	BUG_ON(n >= UINT32_MAX / 2);
	while (slots < 2 * n)
		slots *= 2;
	t->mask = slots - 1;
	t->slots = base_zalloc(slots * sizeof *t->slots);
	t->keys = base_zalloc(MAX(n, (size_t)1) * sizeof *t->keys);
	for (t->n = 0; t->n < n; t->n++) {
		struct str key = key_of(names[t->n].name);
		uint32_t hash = hash_of(key);
		size_t i = hash & t->mask;

		t->keys[t->n] = key;
		if (key.n == 0 || find(t, hash, key) >= 0)
			continue; /* the first of equal names has it */
		while (t->slots[i].index)
			i = (i + 1) & t->mask;
		t->slots[i] = (struct slot){ .hash = hash, .index = (uint32_t)t->n + 1 };
	}
	return t;
}

void tls_names_free(struct tls_names *t)
{
	for (size_t i = 0; i < t->n; i++)
		free((void *)(uintptr_t)t->keys[i].p);
	free(t->keys);
	free(t->slots);
	free(t);
}

/*
 * The nearest of the domains that `name` lies in. Wildcards are found at the dot (their key begins with it),
 * others behind it; hash[i] is that of what begins at i.
 */
static ssize_t find_parent(const struct tls_names *t, struct str name, const uint32_t *hash, bool wildcard)
{
	ssize_t found = -1;

	for (size_t i = 1; i + 1 < name.n && found < 0; i++) {
		size_t at = wildcard ? i : i + 1;

		if (name.p[i] == '.')
			found = find(t, hash[at], str_of(name.p + at, name.n - at));
	}
	return found;
}

ssize_t tls_names_find(const struct tls_names *t, struct str name)
{
	uint32_t hash[TLS_NAME_MAX], h = HASH_START;
	ssize_t found;

	BUG_ON(name.n > TLS_NAME_MAX);
	if (name.n == 0 || name.p[0] == '.')
		return -1;
	for (size_t i = name.n; i-- > 0;)
		hash[i] = h = hash_step(h, name.p[i]);
	found = find(t, hash[0], name);
	if (found < 0)
		found = find_parent(t, name, hash, true);
	if (found < 0)
		found = find_parent(t, name, hash, false);
	return found;
}
