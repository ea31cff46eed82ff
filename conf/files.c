/*
 * files.c - the files that a configuration names.
 */
#include "conf/priv.h"

struct conf_file *conf_file_at(struct conf_loader *l, struct str path, struct conf_pos pos)
{
	struct config *c = l->c;
	void **slot = conf_map_at(&l->tmp, &l->files, path);
	struct conf_file *f = *slot;

	if (!f) {
		*slot = f = arena_new(&c->arena, struct conf_file);
		f->path = path;
		f->pos = pos;
		arena_grow(&c->arena, c->files, c->nfiles, l->files_cap);
		c->files[c->nfiles++] = f;
	}
	return f;
}

void conf_add_file(struct conf_loader *l, struct str path, const struct conf_node *at, bool secret)
{
	struct conf_file *f = conf_file_at(l, path, at->pos);

	f->audience |= CONF_FOR_WORKERS;
	f->secret |= secret;
	f->needed = true;
}
