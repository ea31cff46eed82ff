/*
 * mount.c - the keys of a mount, and the mounts of a vhost in the order the router wants them.
 */
#include "conf/priv.h"

void conf_set_mountpoint(struct conf_loader *l, const struct conf_key *k, void *object,
			 const struct conf_node *v)
{
	struct conf_mount_draft *d = object;
	const char *remedy = NULL, *reason;
	struct str written, text;

	(void)k;
	if (!conf_take_text(l, v, &written))
		return;
	reason = conf_mountpoint_parse(written, &text, &remedy);
	if (reason) {
		conf_error(l, v, remedy, "%s", reason);
		return;
	}
	d->m.mountpoint = arena_dup(&l->c->arena, text);
	d->written = arena_dup(&l->c->arena, written);
}

/* The one target of this address, to which TLS is spoken in this way (NULL: it is not). */
static struct conf_target *target_of(struct conf_loader *l, const struct conf_origin *o, struct str address,
				     bool is_name, const struct conf_up_tls *tls, const struct conf_node *at)
{
	struct config *c = l->c;
	struct conf_target *t;
	struct str name;
	void **slot;

	if (o->is_unix)
		name = arena_printf(&c->arena, "unix:%.*s", STR_ARG(address));
	else
		name = arena_printf(&c->arena, o->is_ip6 ? "[%.*s]:%u" : "%.*s:%u", STR_ARG(address),
				    o->port);
	if (tls)
		name = conf_https_name(l, name, tls);
	slot = conf_map_at(&l->tmp, &l->targets, name);
	if (*slot)
		return *slot;
	*slot = t = arena_new(&c->arena, struct conf_target);
	*t = (struct conf_target){
		.name = name,
		.is_unix = o->is_unix,
		.is_name = is_name,
		.address = address,
		.port = o->is_unix ? 0 : o->port,
		.pos = at->pos,
	};
	if (tls) {
		t->tls = arena_new(&c->arena, struct conf_up_tls);
		*t->tls = *tls;
	}
	arena_grow(&c->arena, c->targets, c->ntargets, l->targets_cap);
	c->targets[c->ntargets++] = t;
	return t;
}

static bool host_of(struct conf_loader *l, const struct conf_origin *o, const struct conf_node *at,
		    struct str *out, bool *is_name)
{
	struct str host = o->address;
	const char *reason, *remedy = NULL;
	bool is_ip6;

	*is_name = false;
	if (o->is_unix) {
		*out = arena_dup(&l->c->arena, host);
		return true;
	}
	if (o->is_ip6) {
		if (conf_address_parse(&l->c->arena, host, out, &is_ip6) && is_ip6)
			return true;
		conf_error(l, at, NULL, "\"%.*s\" is no IPv6 address", CONF_QUOTE(host));
		return false;
	}
	reason = conf_upstream_parse(&l->c->arena, host, out, is_name, &remedy);
	if (reason)
		conf_error(l, at, remedy, "%s: \"%.*s\"", reason, CONF_QUOTE(host));
	return !reason;
}

void conf_set_origin(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	struct conf_mount_draft *d = object;
	const char *remedy = NULL, *reason;
	struct conf_origin o;
	struct str text;

	(void)k;
	if (!conf_take_text(l, v, &text))
		return;
	reason = conf_origin_parse(text, &o, &remedy);
	if (reason) {
		conf_error(l, v, remedy, "%s", reason);
		return;
	}
	d->has_origin = true;
	d->m.kind = o.kind;
	d->origin = o;
	switch (o.kind) {
	case CONF_ORIGIN_PROXY:
		d->m.base = arena_dup(&l->c->arena, o.base);
		break;
	case CONF_ORIGIN_REDIRECT:
		d->m.redirect = arena_dup(&l->c->arena, o.redirect);
		d->redirect_url = arena_dup(&l->c->arena, o.redirect_url);
		d->has_query = o.has_query;
		break;
	case CONF_ORIGIN_STATUS:
	case CONF_ORIGIN_METRICS:
		break;
	case CONF_ORIGIN_NOT_SERVED:
		conf_warning(l, v, NULL, "%s are not served: this mount answers 501", o.not_served);
		break;
	}
}

void conf_set_redirect_code(struct conf_loader *l, const struct conf_key *k, void *object,
			    const struct conf_node *v)
{
	uint64_t code;

	if (!conf_take_number(l, k, v, CONF_COUNT_MAX, &code))
		return;
	if (code == 301 || code == 302 || code == 307 || code == 308)
		((struct conf_mount_draft *)object)->m.redirect_status = (uint16_t)code;
	else
		conf_error(l, v, "301 and 308 are for good, 302 and 307 for now; 307 and 308 keep the method",
			   "%ju is none of 301, 302, 307 and 308", (uintmax_t)code);
}

void conf_set_append_path(struct conf_loader *l, const struct conf_key *k, void *object,
			  const struct conf_node *v)
{
	bool append;

	(void)k;
	if (conf_take_bool(l, v, &append))
		((struct conf_mount_draft *)object)->m.redirect_as_is = !append;
}

/* A key that protects the mount. */
void conf_set_guard(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	struct str text;

	if (!conf_take_text(l, v, &text))
		return;
	((struct conf_mount_draft *)object)->guarded = true;
	conf_warning(l, v->key, NULL, "\"%s\" is not checked yet: this mount answers 501", k->name);
}

void conf_set_basic_auth(struct conf_loader *l, const struct conf_key *k, void *object,
			 const struct conf_node *v)
{
	struct conf_mount *m = &((struct conf_mount_draft *)object)->m;

	conf_set_path(l, k, object, v);
	if (!m->auth_path.p)
		return;
	if (!m->auth_path.n) {
		conf_error(l, v, "leave it out to let everybody in", "\"%s\" is empty", k->name);
		return;
	}
	m->auth_pos = v->pos;
	conf_add_file(l, m->auth_path, v, true);
}

void conf_set_mount_limits(struct conf_loader *l, const struct conf_key *k, void *object,
			   const struct conf_node *v)
{
	(void)k;
	conf_walk_section(l, CONF_IN_MOUNT, CONF_IN_LIMITS, &((struct conf_mount_draft *)object)->m.limits,
			  v);
}

void conf_set_mount_timeouts(struct conf_loader *l, const struct conf_key *k, void *object,
			     const struct conf_node *v)
{
	(void)k;
	conf_walk_section(l, CONF_IN_MOUNT, CONF_IN_TIMEOUTS,
			  &((struct conf_mount_draft *)object)->m.timeouts, v);
}

static void finish_redirect(struct conf_loader *l, struct conf_mount_draft *d)
{
	const struct conf_node *code = d->seen[CONF_KEY_REDIRECT_CODE];
	const struct conf_node *append = d->seen[CONF_KEY_APPEND_PATH];
	const struct conf_node *origin = d->seen[CONF_KEY_ORIGIN];

	if (d->m.kind == CONF_ORIGIN_REDIRECT) {
		if (d->m.redirect_as_is)
			d->m.redirect = d->redirect_url;
		else if (d->has_query)
			conf_error(l, origin, "add \"append-path\": \"0\" to redirect to just this URL",
				   "a redirect's URL ends before \"?\" and \"#\": the request's follow");
	} else if (d->has_origin && (code || append)) {
		conf_error(l, code ? code->key : append->key, "a redirect's origin begins with \">\"",
			   "\"%s\" is for redirects", code ? "redirect-code" : "append-path");
	}
}

static bool is_private(const struct conf_vhost *v)
{
	for (size_t i = 0; i < v->nlisteners; i++) {
		struct str on = v->listeners[i]->interface;

		if (!v->listeners[i]->is_unix && !str_starts(on, STR("127.")) && !str_eq(on, STR("::1")) &&
		    !str_eq(on, STR("lo")))
			return false;
	}
	return true;
}

static void finish_auth(struct conf_loader *l, struct conf_mount_draft *d, const struct conf_vhost *v)
{
	static const enum conf_key_id more[] = { CONF_KEY_BASIC_AUTH_REALM, CONF_KEY_BASIC_AUTH_FORWARD };
	const struct conf_node *auth = d->seen[CONF_KEY_BASIC_AUTH];

	if (!d->m.auth_realm.n)
		d->m.auth_realm = v->name;
	if (auth && !v->tls && !is_private(v))
		conf_warning(l, auth->key, "give the vhost a certificate",
			     "passwords can be read on their way here: this vhost speaks plain HTTP");
	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		if (d->seen[more[i]] && !auth)
			conf_error(l, d->seen[more[i]]->key, "add \"basic-auth\": \"/etc/gatehouse/users\"",
				   "\"%s\" without \"basic-auth\"", conf_keys()[more[i]].name);
}

/* It tells which applications there are, and where. */
static void check_status(struct conf_loader *l, const struct conf_mount_draft *d, const struct conf_vhost *v)
{
	if ((d->m.kind != CONF_ORIGIN_STATUS && d->m.kind != CONF_ORIGIN_METRICS) || d->m.auth_path.n ||
	    v->client_ca.text.n || is_private(v))
		return;
	conf_warning(l, d->seen[CONF_KEY_ORIGIN], "add \"basic-auth\": \"/etc/gatehouse/users\", or a vhost "
		     "with \"interface\": \"127.0.0.1\"", "everybody can see this");
}

static void make_headers(struct conf_loader *l, struct conf_mount_draft *d, const struct conf_vhost *v)
{
	const struct conf_node *const *seen = d->seen;
	const struct conf_header_nodes down = { seen[CONF_KEY_MOUNT_HEADERS_REMOVE],
						seen[CONF_KEY_MOUNT_HEADERS],
						seen[CONF_KEY_MOUNT_HEADERS_ADD] };
	const struct conf_header_nodes up = { seen[CONF_KEY_MOUNT_REQUEST_HEADERS_REMOVE],
					      seen[CONF_KEY_MOUNT_REQUEST_HEADERS],
					      seen[CONF_KEY_MOUNT_REQUEST_HEADERS_ADD] };

	d->m.headers = v->headers;
	d->m.nheaders = v->nheaders;
	d->m.request_headers = v->request_headers;
	d->m.nrequest_headers = v->nrequest_headers;
	conf_make_headers(l, &down, false, &d->m.headers, &d->m.nheaders);
	conf_make_headers(l, &up, true, &d->m.request_headers, &d->m.nrequest_headers);
}

/* When it is known how it is spoken to. */
static void finish_proxy(struct conf_loader *l, struct conf_mount_draft *d)
{
	const struct conf_node *origin = d->seen[CONF_KEY_ORIGIN];
	const struct conf_origin *o = &d->origin;
	struct str address;
	bool is_name;

	if (d->has_origin && conf_finish_up_tls(l, d) && o->kind == CONF_ORIGIN_PROXY &&
	    host_of(l, o, origin, &address, &is_name))
		d->m.target = target_of(l, o, address, is_name, o->tls ? &d->tls : NULL, origin);
}

static void load_mount(struct conf_loader *l, struct conf_vhost_draft *vhost, const struct conf_node *node,
		       struct conf_mount *out)
{
	struct conf_mount_draft d = { .guarded = vhost->guarded, .tls = vhost->up_tls };

	d.m.kind = CONF_ORIGIN_NOT_SERVED;
	d.m.redirect_status = 301;
	d.m.limits = vhost->v.limits;
	d.m.timeouts = vhost->v.timeouts;
	d.m.pos = node->pos;
	conf_walk(l, CONF_IN_MOUNT, &d, node, d.seen);
	if (!d.seen[CONF_KEY_MOUNTPOINT])
		conf_error(l, node, "add \"mountpoint\": \"/\"", "this mount has no mountpoint");
	if (!d.seen[CONF_KEY_ORIGIN])
		conf_error(l, node, "add \"origin\": \"unix:/run/app.sock\"", "this mount has no origin");
	if (d.seen[CONF_KEY_MOUNTPOINT])
		d.m.pos = d.seen[CONF_KEY_MOUNTPOINT]->pos;
	if (d.m.exact)
		d.m.mountpoint = d.written;
	finish_proxy(l, &d);
	finish_redirect(l, &d);
	finish_auth(l, &d, &vhost->v);
	check_status(l, &d, &vhost->v);
	make_headers(l, &d, &vhost->v);
	if (d.guarded)
		d.m.kind = CONF_ORIGIN_NOT_SERVED;
	*out = d.m;
}

/* Longest first; equal ones stay together, in the order of their places. */
static int longest_first(const void *a, const void *b)
{
	const struct conf_mount *x = a, *y = b;
	int order;

	if (x->mountpoint.n != y->mountpoint.n)
		return x->mountpoint.n > y->mountpoint.n ? -1 : 1;
	order = x->mountpoint.n ? memcmp(x->mountpoint.p, y->mountpoint.p, x->mountpoint.n) : 0;
	if (order)
		return order;
	if (x->exact != y->exact)
		return x->exact ? -1 : 1;
	if (x->pos.line != y->pos.line)
		return x->pos.line < y->pos.line ? -1 : 1;
	return x->pos.column < y->pos.column ? -1 : 1;
}

void conf_load_mounts(struct conf_loader *l, struct conf_vhost_draft *d)
{
	const struct conf_node *item = NULL;
	struct conf_vhost *v = &d->v;
	size_t n = 1; /* one, when it is no list */

	for (item = d->mounts->child; item; item = item->next)
		n++;
	v->mounts = arena_alloc(&l->c->arena, n * sizeof *v->mounts);
	while ((item = conf_next_mapping(l, d->mounts, item)))
		load_mount(l, d, item, &v->mounts[v->nmounts++]);
	if (v->nmounts)
		qsort(v->mounts, v->nmounts, sizeof *v->mounts, longest_first);
	for (size_t i = 1; i < v->nmounts; i++) {
		const struct conf_mount *a = &v->mounts[i - 1], *b = &v->mounts[i];

		if (b->mountpoint.n && a->exact == b->exact && str_eq(a->mountpoint, b->mountpoint))
			conf_report_add(l->r, CONF_ERROR, b->pos, NULL,
					"\"%.*s\" is mounted twice, first at %s", CONF_QUOTE(b->mountpoint),
					conf_place(l, a->pos));
	}
}
