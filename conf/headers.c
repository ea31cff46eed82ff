/*
 * headers.c - header rules: fields that are set, added or removed on their way down or up.
 */
#include "conf/priv.h"
#include "core/head.h"

/* RFC 9110 section 5.6.2 */
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", s.p[i]))
			return false;
	return s.n > 0;
}

/* What says where a message ends, or belongs to one connection: never a user's to change. NULL: it is. */
static const char *whose(struct str name, bool up)
{
	enum field_id id = field_lookup(name);

	if (field_flags(id) & FIELD_HOP || id == FIELD_CONTENT_LENGTH || id == FIELD_TRAILER)
		return "belongs to the connection";
	if (up && (id == FIELD_HOST || id == FIELD_EXPECT || id == FIELD_SEC_WEBSOCKET_KEY))
		return "is the client's";
	return NULL;
}

/* What is being made from the keys of one vhost or mount. */
struct making {
	struct conf_loader *l;
	struct conf_header *rules;
	size_t n, cap;
	bool up;
};

static void add_rule(struct making *m, enum conf_header_op op, const struct conf_node *at, struct str name,
		     struct str value)
{
	struct arena *a = &m->l->c->arena;
	const char *owner = whose(name, m->up);

	if (!is_token(name)) {
		conf_error(m->l, at, NULL, "\"%.*s\" is no header name", CONF_QUOTE(name));
		return;
	}
	if (owner) {
		conf_error(m->l, at, NULL, "\"%.*s\" %s and cannot be %s", CONF_QUOTE(name), owner,
			   op == CONF_HEADER_REMOVE ? "removed" : "set");
		return;
	}
	arena_grow(a, m->rules, m->n, m->cap);
	m->rules[m->n++] = (struct conf_header){
		.name = arena_dup(a, name), .value = arena_dup(a, str_trim(value)), .op = op
	};
}

static void add_names(struct making *m, const struct conf_node *names)
{
	const struct conf_node *item = NULL;
	struct conf_map seen = { 0 };
	struct str name;

	while ((item = conf_next_text(m->l, names, item, &name))) {
		void **slot = conf_map_at(&m->l->tmp, &seen, conf_lower(&m->l->tmp, name));

		if (*slot)
			conf_error(m->l, item, NULL, "\"%.*s\" is there twice", CONF_QUOTE(name));
		*slot = m->l;
		add_rule(m, CONF_HEADER_REMOVE, item, name, STR_NONE);
	}
}

/* What is set has one value; what is added may come again, in another mapping. */
static void add_pairs(struct making *m, enum conf_header_op op, const struct conf_node *list)
{
	const struct conf_node *map = NULL;
	struct conf_map seen = { 0 };
	struct str value;

	while ((map = conf_next_mapping(m->l, list, map))) {
		if (op == CONF_HEADER_ADD)
			seen = (struct conf_map){ 0 };
		for (const struct conf_node *v = map->child; v; v = v->next)
			if (conf_first(m->l, &seen, conf_lower(&m->l->tmp, v->key->text), v) &&
			    conf_take_text(m->l, v, &value))
				add_rule(m, op, v->key, v->key->text, value);
	}
}

void conf_make_headers(struct conf_loader *l, const struct conf_header_nodes *from, bool up,
		       struct conf_header **rules, size_t *n)
{
	struct making m = { .l = l, .rules = *rules, .n = *n, .cap = *n, .up = up };

	if (from->remove)
		add_names(&m, from->remove);
	if (from->set)
		add_pairs(&m, CONF_HEADER_SET, from->set);
	if (from->add)
		add_pairs(&m, CONF_HEADER_ADD, from->add);
	*rules = m.rules;
	*n = m.n;
}
