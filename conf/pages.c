/*
 * pages.c - files that are shown instead of the built-in error pages.
 */
#include "conf/priv.h"

static void add_page(struct conf_loader *l, struct conf_vhost_draft *d, uint16_t status,
		     const struct conf_node *v)
{
	struct conf_vhost *vhost = &d->v;
	struct str path;

	if (!conf_take_text(l, v, &path))
		return;
	if (!path.n || path.p[0] != '/') {
		conf_error(l, v, "write the whole path, from \"/\" on",
			   "the page for %u is a file whose path begins with \"/\"", status);
		return;
	}
	for (size_t i = 0; i < vhost->npages; i++)
		if (vhost->pages[i].status == status) {
			conf_error(l, v, "keep one of them", "there is a page for %u already", status);
			return;
		}
	arena_grow(&l->c->arena, vhost->pages, vhost->npages, d->pages_cap);
	path = arena_dup(&l->c->arena, path);
	vhost->pages[vhost->npages++] = (struct conf_page){ status, path };
	conf_add_file(l, path, v, false);
}

void conf_set_error_pages(struct conf_loader *l, const struct conf_key *k, void *object,
			  const struct conf_node *v)
{
	const struct conf_node *map = NULL;
	uint64_t status;

	(void)k;
	while ((map = conf_next_mapping(l, v, map)))
		for (const struct conf_node *page = map->child; page; page = page->next) {
			struct str name = page->key->text;

			if (conf_to_number(name, 599, &status) == CONF_VALUE_OK && status >= 400)
				add_page(l, object, (uint16_t)status, page);
			else
				conf_error(l, page->key, "write \"404\": \"/path/to/page.html\"",
					   "\"%.*s\" is no error status", CONF_QUOTE(name));
		}
}

void conf_set_error_document(struct conf_loader *l, const struct conf_key *k, void *object,
			     const struct conf_node *v)
{
	(void)k;
	add_page(l, object, 404, v);
}
