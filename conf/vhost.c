/*
 * vhost.c - the keys of a vhost, and what they say together.
 */
#include "conf/priv.h"

/* ---- setters ---- */

void conf_set_vhost_name(struct conf_loader *l, const struct conf_key *k, void *object,
			 const struct conf_node *v)
{
	struct conf_vhost_draft *d = object;
	const char *remedy = NULL, *reason;
	struct str text;

	(void)k;
	if (!conf_take_text(l, v, &text))
		return;
	reason = conf_name_parse(text, &text, &remedy);
	if (reason)
		conf_error(l, v, remedy, "%s", reason);
	else
		d->v.name = conf_lower(&l->c->arena, text);
}

void conf_set_port(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	struct conf_vhost_draft *d = object;
	struct str text = v->text;
	uint64_t port;

	if (v->kind == CONF_NODE_SCALAR && conf_to_number(text, UINT64_MAX, &port) == CONF_VALUE_OK &&
	    (port == 0 || port > UINT16_MAX))
		conf_error(l, v, conf_kind_written(CONF_PORT), "there is no port %.*s", CONF_QUOTE(text));
	else if (conf_take_number(l, k, v, UINT16_MAX, &port))
		d->port = (uint16_t)port;
}

void conf_set_ipv6only(struct conf_loader *l, const struct conf_key *k, void *object,
		       const struct conf_node *v)
{
	struct conf_vhost_draft *d = object;
	bool only;

	(void)k;
	if (!conf_take_bool(l, v, &only))
		return;
	d->only_ipv6 = only;
	d->no_ipv6 |= !only;
}

/* As chmod takes it: 660 or 0660. False: it is no such thing, or would let nobody in. */
static bool to_mode(struct str s, unsigned *out)
{
	unsigned mode = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '7' || i > 3)
			return false;
		mode = mode * 8 + (unsigned)(s.p[i] - '0');
	}
	*out = mode;
	return s.n >= 3 && mode > 0 && mode <= 0777;
}

/* What comes before the next ':', which is taken off with it. */
static struct str take_part(struct str *s)
{
	const char *colon = s->n ? memchr(s->p, ':', s->n) : NULL;
	struct str part = str_of(s->p, colon ? (size_t)(colon - s->p) : s->n);
	size_t used = part.n + (colon != NULL);

	*s = str_of(s->p + used, s->n - used);
	return part;
}

void conf_set_unix_perms(struct conf_loader *l, const struct conf_key *k, void *object,
			 const struct conf_node *v)
{
	struct conf_vhost_draft *d = object;
	struct str text, user, group;

	(void)k;
	if (!conf_take_text(l, v, &text))
		return;
	text = arena_dup(&l->c->arena, text);
	user = take_part(&text);
	group = take_part(&text);
	if (!user.n || !group.n) {
		conf_error(l, v, "write user:group, or user:group:0660", "\"%.*s\" is not user:group",
			   CONF_QUOTE(v->text));
		return;
	}
	if (text.n && !to_mode(text, &d->unix_mode)) {
		conf_error(l, v, "write user:group:0660", "\"%.*s\" is no mode of a file",
			   CONF_QUOTE(text));
		return;
	}
	d->unix_user = user;
	d->unix_group = group;
}

void conf_set_access_log(struct conf_loader *l, const struct conf_key *k, void *object,
			 const struct conf_node *v)
{
	struct config *c = l->c;
	struct conf_vhost_draft *d = object;
	struct conf_log *log;
	struct str path;
	void **slot;

	if (!conf_take_text(l, v, &path) || !path.n)
		return;
	if (path.p[0] != '/')
		conf_error(l, v, "write the whole path, from \"/\" on",
			   "\"%s\" is a path that begins with \"/\"", k->name);
	slot = conf_map_at(&l->tmp, &l->logs, path);
	if (!*slot) {
		arena_grow(&c->arena, c->logs, c->nlogs, l->logs_cap);
		log = &c->logs[c->nlogs++];
		*log = (struct conf_log){ .path = arena_dup(&c->arena, path), .pos = v->pos };
		*slot = (void *)(uintptr_t)c->nlogs; /* its index and one: NULL is new */
	}
	d->v.access_log = (int)(uintptr_t)*slot - 1;
}

void conf_set_mounts(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	(void)l;
	(void)k;
	((struct conf_vhost_draft *)object)->mounts = v; /* when the vhost's limits are known */
}

/* When `global` is known: sections of a vhost override it. */
void conf_set_vhost_limits(struct conf_loader *l, const struct conf_key *k, void *object,
			   const struct conf_node *v)
{
	(void)k;
	conf_walk_section(l, CONF_IN_VHOST, CONF_IN_LIMITS, &((struct conf_vhost_draft *)object)->v.limits,
			  v);
}

void conf_set_vhost_timeouts(struct conf_loader *l, const struct conf_key *k, void *object,
			     const struct conf_node *v)
{
	(void)k;
	conf_walk_section(l, CONF_IN_VHOST, CONF_IN_TIMEOUTS,
			  &((struct conf_vhost_draft *)object)->v.timeouts, v);
}

void conf_set_keepalive_timeout(struct conf_loader *l, const struct conf_key *k, void *object,
				const struct conf_node *v)
{
	uint64_t ms;

	if (conf_take_number(l, k, v, 0, &ms))
		((struct conf_vhost_draft *)object)->v.timeouts.keepalive_ms = ms;
}

/* ---- ws-protocols ---- */

/* The options of one protocol: two are known, the rest are plugins of the reference. */
static void protocol(struct conf_loader *l, struct conf_vhost_draft *d, const struct conf_node *options)
{
	const struct conf_node *seen[CONF_KEY_COUNT] = { NULL };
	struct str name = options->key->text;

	if (options->kind != CONF_NODE_MAPPING) {
		conf_error(l, options, conf_kind_written(CONF_SECTION), "\"%.*s\" takes a mapping of options",
			   CONF_QUOTE(name));
		return;
	}
	if (conf_is_raw_protocol(d, name)) {
		conf_walk(l, CONF_IN_RAW_PROXY, &d->v.raw, options, seen);
		return;
	}
	if (str_eq(name, STR("lws-acme-client"))) {
		conf_walk_acme(l, d, options);
		return;
	}
	if (!l->plugin_noted)
		conf_note(l, options->key, "\"%.*s\" has nothing to do here: there are no plugins",
			  CONF_QUOTE(name));
	l->plugin_noted = true;
}

void conf_set_ws_protocols(struct conf_loader *l, const struct conf_key *k, void *object,
			   const struct conf_node *v)
{
	const struct conf_node *map = NULL;
	struct conf_map names = { 0 };

	(void)k;
	while ((map = conf_next_mapping(l, v, map)))
		for (const struct conf_node *options = map->child; options; options = options->next)
			if (conf_first(l, &names, options->key->text, options))
				protocol(l, object, options);
}

/* ---- the vhost as a whole ---- */

/* One name, one vhost on a listener. */
static void check_name(struct conf_loader *l, const struct conf_vhost_draft *d)
{
	const struct conf_node *at = d->seen[CONF_KEY_NAME];

	for (size_t i = 0; at && d->v.name.n && i < d->v.nlisteners; i++) {
		struct str listener = d->v.listeners[i]->name;
		struct str both = arena_printf(&l->tmp, "%.*s %.*s", STR_ARG(listener), STR_ARG(d->v.name));
		void **slot = conf_map_at(&l->tmp, &l->names, both);

		if (*slot)
			conf_error(l, at, "a vhost has one name on one port: put the mounts of both into one",
				   "\"%.*s\" on %.*s is there already, at %s", CONF_QUOTE(d->v.name),
				   STR_ARG(listener), conf_place(l, ((const struct conf_node *)*slot)->pos));
		else
			*slot = (void *)(uintptr_t)at;
	}
}

static void make_headers(struct conf_loader *l, struct conf_vhost_draft *d)
{
	const struct conf_node *const *seen = d->seen;
	const struct conf_header_nodes down = { seen[CONF_KEY_HEADERS_REMOVE], seen[CONF_KEY_HEADERS],
						seen[CONF_KEY_HEADERS_ADD] };
	const struct conf_header_nodes up = { seen[CONF_KEY_REQUEST_HEADERS_REMOVE],
					      seen[CONF_KEY_REQUEST_HEADERS],
					      seen[CONF_KEY_REQUEST_HEADERS_ADD] };

	conf_make_headers(l, &down, false, &d->v.headers, &d->v.nheaders);
	conf_make_headers(l, &up, true, &d->v.request_headers, &d->v.nrequest_headers);
}

void conf_load_vhost(struct conf_loader *l, const struct conf_node *node)
{
	struct conf_vhost_draft d = { .node = node };
	const struct conf_node *keepalive;
	struct config *c = l->c;
	struct conf_vhost *v;

	d.v.pos = node->pos;
	d.v.hash = conf_node_hash(node);
	d.v.access_log = -1;
	d.v.access_log_json = c->global.access_log_json;
	d.v.limits = c->global.limits;
	d.v.timeouts = c->global.timeouts;
	d.v.alpn = l->default_alpn;
	d.v.websocket_over_h2 = true;
	d.acme = l->acme;
	conf_walk(l, CONF_IN_VHOST, &d, node, d.seen);

	keepalive = conf_node_get(d.seen[CONF_KEY_VHOST_TIMEOUTS], "keepalive");
	if (keepalive && d.seen[CONF_KEY_KEEPALIVE_TIMEOUT])
		conf_error(l, d.seen[CONF_KEY_KEEPALIVE_TIMEOUT]->key, "keep one of them",
			   "this is timeouts.keepalive, which is written at %s",
			   conf_place(l, keepalive->key->pos));
	if (!d.seen[CONF_KEY_NAME])
		conf_error(l, node, "add \"name\": \"www.example.com\"", "this vhost has no name");
	conf_check_acme(l, &d);
	conf_finish_tls(l, &d);
	conf_finish_client_tls(l, &d);
	conf_check_raw(l, &d);
	conf_load_listeners(l, &d);
	check_name(l, &d);
	make_headers(l, &d);
	if (d.mounts)
		conf_load_mounts(l, &d);
	else if (!d.seen[CONF_KEY_MOUNTS] && !d.seen[CONF_KEY_APPLY_LISTEN_ACCEPT] &&
		 !d.seen[CONF_KEY_ONLYRAW])
		conf_warning(l, node, "add \"mounts\": [ { \"mountpoint\": \"/\", "
			     "\"origin\": \"unix:/run/app.sock\" } ]",
			     "this vhost has no mounts: every request is answered 404");

	v = arena_new(&c->arena, struct conf_vhost);
	*v = d.v;
	conf_add_acme(l, &d, v);
	arena_grow(&c->arena, c->vhosts, c->nvhosts, l->vhosts_cap);
	c->vhosts[c->nvhosts++] = v;
}
