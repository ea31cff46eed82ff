#include "proxy/worker/tables.h"

/* ---- names ---- */

/*
 * Only the host of an authority (RFC 3986 section 3.2), lower case, into out. Empty when it can be no
 * name here.
 */
static struct str bare_host(struct str authority, char out[CONF_NAME_BYTES])
{
	const char *end;
	size_t n = authority.n;

	if (n && authority.p[0] == '[') {
		end = memchr(authority.p, ']', n);
		n = end ? (size_t)(end - authority.p) + 1 : n;
	} else if (n) {
		end = memchr(authority.p, ':', n);
		n = end ? (size_t)(end - authority.p) : n;
		if (n && authority.p[n - 1] == '.')
			n--;
	}
	if (n > CONF_NAME_BYTES)
		return STR_NONE;
	for (size_t i = 0; i < n; i++)
		out[i] = str_lower_char(authority.p[i]);
	return str_of(out, n);
}

struct site_vhost *tables_vhost(const struct site_listener *l, struct str host, unsigned *steps)
{
	char buf[CONF_NAME_BYTES];
	ssize_t i = conf_names_find(l->names, bare_host(host, buf), steps);

	if (i >= 0)
		return l->vhosts[i];
	return l->nvhosts && (!l->strict || !host.n) ? l->vhosts[0] : NULL;
}

/* ---- paths ---- */

/* Mountpoints are kept without the '/' of the root: "" and "/app". */
static struct str mount_key(struct str mountpoint)
{
	return mountpoint.n == 1 ? str_of(mountpoint.p, 0) : mountpoint;
}

struct site_mount *tables_mount(const struct site_vhost *v, struct str path, unsigned *steps)
{
	struct site_mount *best = NULL, *m;
	uint64_t h = MAP_HASH_START;

	if (v->exact.n && path.n <= v->longest_exact)
		best = map_find(&v->exact, map_hash(path), path, steps);
	if (best)
		return best;
	for (size_t i = 0; i <= path.n && i <= v->longest_mountpoint; i++) {
		if (i == path.n || path.p[i] == '/') {
			m = map_find(&v->mountpoints, h, str_of(path.p, i), steps);
			if (m)
				best = m;
		}
		if (i < path.n)
			h = map_hash_step(h, path.p[i]);
	}
	return best;
}

struct site_mount *tables_mount_at(const struct site_vhost *v, struct str mountpoint)
{
	struct str key = mount_key(mountpoint);

	return map_find(&v->mountpoints, map_hash(key), key, NULL);
}

static void make_vhost(struct site_vhost *v, struct arena *a, const struct conf_vhost *c)
{
	v->conf = c;
	v->nmounts = c->nmounts;
	v->mounts = arena_zalloc(a, c->nmounts * sizeof *v->mounts);
	map_init(&v->mountpoints, a, c->nmounts);
	map_init(&v->exact, a, c->nmounts);
	for (size_t i = 0; i < c->nmounts; i++) {
		struct str key = mount_key(c->mounts[i].mountpoint), path = c->mounts[i].mountpoint;

		v->mounts[i].conf = &c->mounts[i];
		if (c->mounts[i].exact) {
			map_add(&v->exact, map_hash(path), path, &v->mounts[i]);
			v->longest_exact = MAX(v->longest_exact, path.n);
			continue;
		}
		map_add(&v->mountpoints, map_hash(key), key, &v->mounts[i]);
		v->longest_mountpoint = MAX(v->longest_mountpoint, key.n);
	}
}

/* ---- all of it ---- */

/* The address of a vhost's configuration as a key. */
static struct str address_key(struct conf_vhost *const *v)
{
	return str_of((const char *)v, sizeof *v);
}

static void make_listener(struct site_listener *l, struct arena *a, const struct conf_listener *c,
			  const struct map *vhosts)
{
	struct str *names = base_alloc((c->nvhosts + 1) * sizeof *names);

	l->conf = c;
	l->nvhosts = c->nvhosts;
	l->vhosts = arena_zalloc(a, c->nvhosts * sizeof(struct site_vhost *));
	for (size_t i = 0; i < c->nvhosts; i++) {
		struct str key = address_key(&c->vhosts[i]);

		l->vhosts[i] = map_find(vhosts, map_hash(key), key, NULL);
		BUG_ON(!l->vhosts[i]);
		l->strict |= c->vhosts[i]->strict_host_check;
		names[i] = c->vhosts[i]->name;
	}
	l->names = conf_names_new(a, names, c->nvhosts);
	free(names);
}

struct site_listener *tables_listener(const struct tables *t, struct str name)
{
	return map_find(&t->listener_names, map_hash(name), name, NULL);
}

void tables_init(struct tables *t, struct arena *a, const struct config *c)
{
	struct map vhosts; /* by the address of their configuration */

	*t = (struct tables){
		.listeners = arena_zalloc(a, c->nlisteners * sizeof *t->listeners),
		.nlisteners = c->nlisteners,
		.vhosts = arena_zalloc(a, c->nvhosts * sizeof *t->vhosts),
		.nvhosts = c->nvhosts,
	};
	map_init(&vhosts, a, c->nvhosts);
	for (size_t i = 0; i < c->nvhosts; i++) {
		struct str key = address_key(&c->vhosts[i]);

		make_vhost(&t->vhosts[i], a, c->vhosts[i]);
		map_add(&vhosts, map_hash(key), key, &t->vhosts[i]);
	}
	map_init(&t->listener_names, a, c->nlisteners);
	for (size_t i = 0; i < c->nlisteners; i++) {
		make_listener(&t->listeners[i], a, c->listeners[i], &vhosts);
		map_add(&t->listener_names, map_hash(c->listeners[i]->name), c->listeners[i]->name,
			&t->listeners[i]);
	}
}
