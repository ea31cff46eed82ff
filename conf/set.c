/*
 * set.c - setters that the rows of several scopes name (`at` is where the value goes), and the sections
 * `limits` and `timeouts` wherever they stand.
 */
#include "conf/priv.h"

void conf_set_none(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	struct str text;

	(void)k;
	(void)object;
	(void)!conf_take_text(l, v, &text);
}

/* Taken when the vhost or mount has been read as a whole. */
void conf_set_later(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	(void)l;
	(void)k;
	(void)object;
	(void)v;
}

void conf_set_text(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	struct str text;

	if (conf_take_text(l, v, &text))
		*(struct str *)(void *)((char *)object + k->at) = arena_dup(&l->c->arena, text);
}

void conf_set_flag(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	(void)!conf_take_bool(l, v, (bool *)(void *)((char *)object + k->at));
}

/* Several values add up. */
void conf_set_bits(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	uint64_t bits;

	if (conf_take_number(l, k, v, UINT64_MAX, &bits))
		*(uint64_t *)(void *)((char *)object + k->at) |= bits;
}

void conf_set_path(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	struct str *path = (void *)((char *)object + k->at);

	conf_set_text(l, k, object, v);
	if (path->n && path->p[0] != '/')
		conf_error(l, v, "write the whole path, from \"/\" on",
			   "\"%s\" is a path that begins with \"/\"", k->name);
}

/* ---- limits and timeouts ---- */

/* 0 for connections-per-address and raw-rate means off, and "none" where there is no limit by default. */
void conf_set_limit(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	uint64_t *field = (void *)((char *)object + k->at);
	bool connections = k - conf_keys() == CONF_KEY_LIMIT_connections_per_address;
	bool raw_rate = k - conf_keys() == CONF_KEY_LIMIT_raw_rate;
	uint64_t value;

	if (k->dflt == LIMIT_NONE && v->kind == CONF_NODE_SCALAR && str_eq(v->text, STR("none"))) {
		*field = LIMIT_NONE;
		return;
	}
	if (!conf_take_number(l, k, v, CONF_COUNT_MAX, &value))
		return;
	if (value < k->least)
		conf_error(l, v, NULL, "limits.%s has to be at least %ju", k->name, (uintmax_t)k->least);
	else
		*field = (connections || raw_rate) && value == 0 ? LIMIT_NONE : value;
	l->c->global.connections_per_address_written |= connections;
	l->c->global.raw_rate_written |= raw_rate;
}

void conf_set_timeout(struct conf_loader *l, const struct conf_key *k, void *object,
		      const struct conf_node *v)
{
	uint64_t value;

	if (!conf_take_number(l, k, v, 0, &value))
		return;
	if (value < k->least)
		conf_error(l, v, NULL, "timeouts.%s has to be at least %jums", k->name, (uintmax_t)k->least);
	else
		*(uint64_t *)(void *)((char *)object + k->at) = value;
}

/* What counts for more than this vhost or mount stands above. */
static void check_levels(struct conf_loader *l, enum conf_scope level, enum conf_scope scope,
			 const struct conf_node *map)
{
	for (const struct conf_node *v = map->child; v; v = v->next) {
		const struct conf_key *k = conf_key_find(scope, v->key->text);
		bool below_global;

		if (!k || k->levels & 1u << level)
			continue;
		below_global = k->levels & 1u << CONF_IN_VHOST;
		conf_error(l, v->key, below_global ? "write it in the vhost" : "write it in global",
			   "\"%s\" cannot be set %s", k->name, conf_scope_text(level));
	}
}

void conf_walk_section(struct conf_loader *l, enum conf_scope level, enum conf_scope scope, void *object,
		       const struct conf_node *map)
{
	const struct conf_node *seen[CONF_KEY_COUNT] = { NULL };

	check_levels(l, level, scope, map);
	conf_walk(l, scope, object, map, level == CONF_IN_GLOBAL ? l->global_seen : seen);
}
