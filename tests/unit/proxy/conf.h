/*
 * conf.h - configurations for tests, made by hand: no files, no YAML.
 */
#pragma once

#include "conf/config.h"
#include "core/log.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define assert_str(s, c) \
	do { \
		struct str got_ = (s); \
		if (!str_eq(got_, str_from_c(c))) \
			fail_msg("\"%.*s\" instead of \"%s\"", STR_ARG(got_), (c)); \
	} while (0)

/* An empty configuration in its own arena, with one reference. */
static inline struct config *tconf_new(void)
{
	struct arena a;
	struct config *c;

	arena_init(&a);
	c = arena_new(&a, struct config);
	c->arena = a;
	c->refs = 1;
	c->global.limits = limits_default;
	c->global.timeouts = timeouts_default;
	return c;
}

#define tconf_add(c, array, n, element) \
	do { \
		__typeof__((c)->array) new_ = arena_alloc(&(c)->arena, ((c)->n + 1) * sizeof *new_); \
		if ((c)->n) \
			memcpy(new_, (c)->array, (c)->n * sizeof *new_); \
		new_[(c)->n++] = (element); \
		(c)->array = new_; \
	} while (0)

static inline struct conf_listener *tconf_listener(struct config *c, const char *name, size_t max_vhosts)
{
	struct conf_listener *l = arena_new(&c->arena, struct conf_listener);

	l->name = str_from_c(name);
	l->vhosts = arena_zalloc(&c->arena, max_vhosts * sizeof(struct conf_vhost *));
	tconf_add(c, listeners, nlisteners, l);
	return l;
}

/* For many of them: make room in c->vhosts first. */
static inline struct conf_vhost *tconf_vhost(struct config *c, struct conf_listener *l, struct str name,
					     size_t max_mounts)
{
	struct conf_vhost *v = arena_new(&c->arena, struct conf_vhost);

	v->name = name;
	v->listener = l;
	v->access_log = -1;
	v->limits = limits_default;
	v->timeouts = timeouts_default;
	v->mounts = arena_zalloc(&c->arena, max_mounts * sizeof *v->mounts);
	l->vhosts[l->nvhosts++] = v;
	tconf_add(c, vhosts, nvhosts, v);
	return v;
}

/* One more, which is its own key, and whose bytes are its name. */
static inline void tconf_cert(struct config *c, struct conf_vhost *v, struct conf_entry name)
{
	struct conf_file *f = arena_new(&c->arena, struct conf_file);

	f->path = f->bytes = name.text;
	f->needed = true;
	tconf_add(c, files, nfiles, f);
	v->certs = arena_new(&c->arena, struct conf_cert);
	v->certs[0] = (struct conf_cert){ .cert = name, .key = name };
	v->ncerts = 1;
}

static inline struct conf_mount *tconf_mount(struct conf_vhost *v, struct str mountpoint)
{
	struct conf_mount *m = &v->mounts[v->nmounts++];

	m->mountpoint = mountpoint;
	m->limits = v->limits;
	m->timeouts = v->timeouts;
	m->redirect_status = 301;
	m->headers = v->headers;
	m->nheaders = v->nheaders;
	m->request_headers = v->request_headers;
	m->nrequest_headers = v->nrequest_headers;
	return m;
}

/* A mount on a socket of this name; base may be "". */
static inline struct conf_mount *tconf_proxy(struct config *c, struct conf_vhost *v, const char *mountpoint,
					     const char *target, const char *base)
{
	struct conf_mount *m = tconf_mount(v, str_from_c(mountpoint));
	struct str name = str_from_c(target);

	m->base = str_from_c(base);
	for (size_t i = 0; i < c->ntargets; i++)
		if (str_eq(c->targets[i]->name, name))
			m->target = c->targets[i];
	if (!m->target) {
		m->target = arena_new(&c->arena, struct conf_target);
		m->target->name = name;
		m->target->is_unix = true;
		m->target->address = str_of(name.p + 5, name.n - 5); /* behind "unix:" */
		tconf_add(c, targets, ntargets, m->target);
	}
	return m;
}
