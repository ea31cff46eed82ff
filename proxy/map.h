/*
 * map.h - a look-up table that is filled once and then only read: names of vhosts, mountpoints, files.
 *
 * Open addressing, at most half full, in somebody's arena. Keys come from the configuration, so nobody
 * from outside can make it slow. The caller hashes, because a walk over a path or a name gets the hashes
 * of all its prefixes (or suffixes) on the way. Knows nothing of what it holds.
 */
#pragma once

#include "core/arena.h"

struct map_slot {
	uint64_t hash;
	struct str key;
	void *value; /* NULL: a free slot */
};

struct map {
	struct map_slot *slots;
	size_t mask; /* number of slots less one */
	size_t n;
};

/* FNV-1a. A hash that is looked up was made by the same steps, in the same order, as the one added. */
#define MAP_HASH_START 0xcbf29ce484222325u
static inline uint64_t map_hash_step(uint64_t h, char c)
{
	return (h ^ (uint8_t)c) * 0x100000001b3u;
}
/* From the first byte to the last. */
uint64_t map_hash(struct str key);

/* Room for n entries. */
void map_init(struct map *m, struct arena *a, size_t n);
/*
 * key is borrowed as long as m, value is not NULL. False when the key is there already: the first one
 * stays.
 */
bool map_add(struct map *m, uint64_t hash, struct str key, void *value);
/* The value, or NULL. *steps (may be NULL) grows by the slots looked at. */
void *map_find(const struct map *m, uint64_t hash, struct str key, unsigned *steps);
