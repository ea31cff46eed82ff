#include "conf/config.h"
#include <sys/mman.h>

struct config *conf_get(struct config *c)
{
	BUG_ON(c->refs == 0);
	c->refs++;
	return c;
}

void conf_put(struct config *c)
{
	struct arena arena;

	if (!c)
		return;
	BUG_ON(c->refs == 0);
	if (--c->refs)
		return;
	if (c->map)
		munmap(c->map, c->map_bytes);
	arena = c->arena;
	arena_fini(&arena);
}
