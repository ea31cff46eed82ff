#include "proxy/worker/site.h"
#include "core/loop.h"
#include "core/target.h"
#include "proxy/worker/alog.h"
#include "proxy/worker/auth.h"
#include "proxy/worker/clients.h"
#include "proxy/worker/context.h"
#include "proxy/worker/raw.h"
#include "proxy/worker/tables.h"
#include "proxy/worker/tally.h"
#include "tls/tls.h"
#include "uds-upstream/up.h"
#include <time.h>

enum {
	BURY_US = 2000, /* of one turn, for one that is given back */
	MANY = 32,      /* with fewer vhosts that is done at once */
};

/* A file of users, of whom somebody guards a mount. */
struct guard {
	struct guard *next;
	struct auth *auth; /* NULL: it cannot be used, and that was told */
};

struct site {
	unsigned refs;
	struct config *conf;
	struct arena arena;         /* of the tables */
	struct tables tables;
	struct map files;           /* config.files, by path */
	struct map log_paths;       /* logs, by path */
	struct alog **logs;         /* in the order of config.logs */
	struct map tallies;         /* by vhost_key */
	struct up_target **targets; /* in the order of config.targets */
	struct tls_client **clients; /* in the same; NULL: TLS is not spoken, or not yet built */
	struct clients making;      /* of these, until they are */
	struct map guards;          /* by path */
	struct guard *first_guard;
	struct auth_allowance allowance;
	size_t next_vhost;          /* whose TLS context is to be built */
	size_t next_put;            /* and given back */
	struct list dying;
	struct work bury;
	size_t next_target;         /* the same */
	bool is_ready, is_wrong;
	int64_t date_s;             /* what `date` says */
	char date[32];
};

/* The one object of proxy that a COMMIT changes. */
static struct site *current;
/* Sites that nobody refers to, but with so many contexts that giving them back takes more than a turn. */
static struct list dying = { &dying, &dying };

struct site *site_current(void)
{
	return current;
}

void site_swap(struct site *s)
{
	struct site *old = current;

	if (s && old)
		s->allowance = old->allowance;
	current = s;
	if (old)
		site_put(old);
}

struct site *site_get(struct site *s)
{
	s->refs++;
	return s;
}

struct config *site_config(const struct site *s)
{
	return s->conf;
}

/* ---- making ---- */

/* A log that the site in use writes goes on as it is: whoever still holds the old site writes the same. */
static void open_logs(struct site *s)
{
	const struct config *c = s->conf;

	s->logs = arena_zalloc(&s->arena, c->nlogs * sizeof(struct alog *));
	map_init(&s->log_paths, &s->arena, c->nlogs);
	for (size_t i = 0; i < c->nlogs; i++) {
		struct str path = c->logs[i].path;
		uint64_t hash = map_hash(path);
		struct alog *old = current ? map_find(&current->log_paths, hash, path, NULL) : NULL;

		s->logs[i] = old ? alog_get(old) : alog_new();
		map_add(&s->log_paths, hash, path, s->logs[i]);
	}
	for (size_t i = 0; i < s->tables.nvhosts; i++) {
		struct site_vhost *v = &s->tables.vhosts[i];

		if (v->conf->access_log >= 0)
			v->log = s->logs[v->conf->access_log];
	}
}

/* Its name, and where clients come to it. */
static struct str vhost_key(struct arena *a, const struct conf_vhost *v)
{
	struct str at = v->listener ? v->listener->name : STR_NONE;

	return arena_printf(a, "%.*s %.*s", STR_ARG(v->name), STR_ARG(at));
}

/* The same for what is counted. */
static void open_tallies(struct site *s)
{
	map_init(&s->tallies, &s->arena, s->tables.nvhosts);
	for (size_t i = 0; i < s->tables.nvhosts; i++) {
		struct site_vhost *v = &s->tables.vhosts[i];
		struct str key = vhost_key(&s->arena, v->conf);
		uint64_t hash = map_hash(key);
		struct tally *old = current ? map_find(&current->tallies, hash, key, NULL) : NULL;

		v->tally = old ? tally_get(old) : tally_new();
		map_add(&s->tallies, hash, key, v->tally);
	}
}

struct site *site_open(struct config *c)
{
	struct site *s = base_zalloc(sizeof *s);

	s->refs = 1;
	s->conf = c;
	s->date_s = -1;
	arena_init(&s->arena);
	tables_init(&s->tables, &s->arena, c);
	map_init(&s->files, &s->arena, c->nfiles);
	for (size_t i = 0; i < c->nfiles; i++)
		map_add(&s->files, map_hash(c->files[i]->path), c->files[i]->path, c->files[i]);
	open_logs(s);
	open_tallies(s);
	s->targets = arena_zalloc(&s->arena, c->ntargets * sizeof(struct up_target *));
	s->clients = arena_zalloc(&s->arena, c->ntargets * sizeof(struct tls_client *));
	clients_init(&s->making, &s->arena, &s->files, c->ntargets);
	return s;
}

static struct str file_bytes(const struct site *s, struct str path)
{
	const struct conf_file *f = path.n ? map_find(&s->files, map_hash(path), path, NULL) : NULL;

	return f ? f->bytes : STR_NONE;
}

bool site_place(const struct conf_target *t, struct place_spec *out)
{
	*out = (struct place_spec){ .port = t->port };
	if (t->is_name) {
		out->name = t->address;
		return true;
	}
	if (t->is_unix)
		return addr_from_unix(&out->addr, t->address);
	return addr_from_ip(&out->addr, t->address, t->port);
}

static void build_listener(struct site_listener *l)
{
	const struct conf_target *onward;
	struct place_spec at;
	struct tls_name *names = base_alloc(l->nvhosts * sizeof *names);
	size_t n = 0;

	for (size_t i = 0; i < l->nvhosts; i++)
		if (l->vhosts[i]->tls)
			names[n++] = (struct tls_name){ l->vhosts[i]->conf->name, l->vhosts[i]->tls };
	if (n)
		l->tls = tls_listener_new(names, n, l->strict);
	free(names);
	onward = site_listener_raw(l)->onward;
	if (onward && site_place(onward, &at))
		l->onward = raw_target_get(onward->name, &at);
}

static void build_targets(struct site *s, struct conf_report *r)
{
	const struct conf_global *g = &s->conf->global;
	const struct up_limits limits = {
		.connections = g->limits.upstream_connections,
		.idle_connections = g->limits.upstream_idle_connections,
		.keepalive_ms = g->timeouts.upstream_keepalive_ms,
	};

	for (size_t i = 0; i < s->conf->ntargets; i++) {
		const struct conf_target *t = s->conf->targets[i];
		struct place_spec at;
		bool ok = site_place(t, &at);

		if (ok)
			s->targets[i] = up_target_get(t->name, &at, &limits, s->clients[i]);
		else
			conf_report_add(r, CONF_ERROR, t->pos, NULL,
					"%.*s is no address that can be connected to", STR_ARG(t->name));
		s->is_wrong |= !ok;
	}
}

static void bind_mounts(struct site *s)
{
	struct map targets;

	map_init(&targets, &s->arena, s->conf->ntargets);
	for (size_t i = 0; i < s->conf->ntargets; i++)
		map_add(&targets, map_hash(s->conf->targets[i]->name), s->conf->targets[i]->name,
			s->targets[i]);
	for (size_t i = 0; i < s->tables.nvhosts; i++) {
		struct site_vhost *v = &s->tables.vhosts[i];

		for (size_t k = 0; k < v->nmounts; k++) {
			const struct conf_target *t = v->mounts[k].conf->target;

			if (t)
				v->mounts[k].target = map_find(&targets, map_hash(t->name), t->name, NULL);
			BUG_ON(t && !v->mounts[k].target);
		}
	}
}

struct complaint {
	struct str path;
	struct conf_report *report;
};

static void complain_of_line(void *arg, unsigned line, struct str what)
{
	struct complaint *c = arg;
	struct conf_pos pos = { c->path.p, line, 1 }; /* a path of the configuration: terminated */

	conf_report_add(c->report, CONF_ERROR, pos, NULL, "%.*s", STR_ARG(what));
}

static struct auth *read_users(const struct conf_file *f, struct conf_report *r)
{
	struct complaint c = { f->path, r };

	return auth_new(f->path, f->bytes, complain_of_line, &c);
}

/* Users whom the site in use has already let in need not be asked again. */
static struct auth *auth_of(struct site *s, struct str path, struct conf_report *r)
{
	const struct conf_file *f = map_find(&s->files, map_hash(path), path, NULL);
	struct guard *old = current ? map_find(&current->guards, map_hash(path), path, NULL) : NULL;
	struct auth *a;

	if (old && auth_is_from(old->auth, path, f->bytes))
		return auth_get(old->auth);
	a = read_users(f, r);
	s->is_wrong |= !a;
	return a;
}

static struct auth *guard_mount(struct site *s, struct str path, struct conf_report *r)
{
	struct guard *g = map_find(&s->guards, map_hash(path), path, NULL);

	if (g)
		return g->auth;
	g = arena_new(&s->arena, struct guard);
	g->auth = auth_of(s, path, r);
	g->next = s->first_guard;
	s->first_guard = g;
	map_add(&s->guards, map_hash(path), path, g);
	return g->auth;
}

static void build_guards(struct site *s, struct conf_report *r)
{
	map_init(&s->guards, &s->arena, s->conf->nfiles);
	for (size_t i = 0; i < s->tables.nvhosts; i++) {
		struct site_vhost *v = &s->tables.vhosts[i];

		for (size_t k = 0; k < v->nmounts; k++)
			if (v->mounts[k].conf->auth_path.n)
				v->mounts[k].auth = guard_mount(s, v->mounts[k].conf->auth_path, r);
	}
}

static void bind_pages(struct site *s)
{
	for (size_t i = 0; i < s->tables.nvhosts; i++) {
		struct site_vhost *v = &s->tables.vhosts[i];

		v->pages = arena_alloc(&s->arena, v->conf->npages * sizeof *v->pages);
		for (size_t k = 0; k < v->conf->npages; k++)
			v->pages[k] = file_bytes(s, v->conf->pages[k].path);
	}
}

static void finish(struct site *s, struct conf_report *r)
{
	build_guards(s, r);
	clients_fini(&s->making);
	build_targets(s, r);
	if (s->is_wrong)
		return;
	bind_mounts(s);
	bind_pages(s);
	for (size_t i = 0; i < s->tables.nlisteners; i++)
		build_listener(&s->tables.listeners[i]);
	s->is_ready = true;
}

/*
 * A pair of files of which only one is there yet cannot be used: what was served before is better than
 * nothing.
 */
static struct tls_context *before(const struct conf_vhost *v)
{
	for (size_t i = 0; current && i < current->tables.nvhosts; i++) {
		const struct site_vhost *old = &current->tables.vhosts[i];

		if (old->tls && old->conf->acme && str_eq(old->conf->name, v->name) &&
		    str_eq(old->conf->acme->id, v->acme->id) && !tls_context_is_empty(old->tls))
			return old->tls;
	}
	return NULL;
}

static struct tls_context *context_for(struct site *s, const struct conf_vhost *v, struct conf_report *r)
{
	struct tls_context *c = context_new(v, &s->files, r), *old;

	if (!c || !v->acme || !tls_context_is_empty(c) || !file_bytes(s, v->certs[0].cert.text).p)
		return c;
	old = before(v);
	if (!old)
		return c;
	tls_context_put(c);
	return tls_context_get(old);
}

/* False: there was nothing to be done. */
static bool build_client(struct site *s, size_t i, struct conf_report *r)
{
	const struct conf_target *t = s->conf->targets[i];

	if (!t->tls)
		return false;
	s->clients[i] = clients_make(&s->making, t, r);
	s->is_wrong |= !s->clients[i];
	return true;
}

int site_build(struct site *s, uint64_t max_us, struct conf_report *r)
{
	uint64_t begin_us = loop_clock_us();

	BUG_ON(s->is_ready);
	while (s->next_vhost < s->tables.nvhosts) {
		struct site_vhost *v = &s->tables.vhosts[s->next_vhost++];

		if (v->conf->tls)
			v->tls = context_for(s, v->conf, r);
		s->is_wrong |= v->conf->tls && !v->tls;
		if (v->tls)
			v->client_ca = tls_context_client_ca(v->tls);
		if (max_us && loop_clock_us() - begin_us >= max_us)
			return 0;
	}
	while (s->next_target < s->conf->ntargets) {
		bool did = build_client(s, s->next_target++, r);

		if (did && max_us && loop_clock_us() - begin_us >= max_us)
			return 0;
	}
	finish(s, r);
	return s->is_ready ? 1 : -1;
}

struct site *site_new(struct config *c, struct conf_report *r)
{
	struct site *s = site_open(c);

	if (site_build(s, 0, r) > 0)
		return s;
	site_put(s);
	return NULL;
}

/* Goes on for about max_us (0: to the end). True: no vhost holds a context any more. */
static bool put_contexts(struct site *s, uint64_t max_us)
{
	uint64_t begin_us = loop_clock_us();

	while (s->next_put < s->tables.nvhosts) {
		struct site_vhost *v = &s->tables.vhosts[s->next_put++];

		if (v->tls)
			tls_context_put(v->tls);
		tally_put(v->tally);
		if (max_us && loop_clock_us() - begin_us >= max_us)
			return false;
	}
	return true;
}

static void put_rest(struct site *s)
{
	list_del(&s->dying);
	work_cancel(&s->bury);
	for (size_t i = 0; i < s->conf->ntargets; i++) {
		if (s->targets[i])
			up_target_put(s->targets[i]);
		if (s->clients[i])
			tls_client_put(s->clients[i]);
	}
	clients_fini(&s->making);
	for (size_t i = 0; i < s->conf->nlogs; i++)
		alog_put(s->logs[i]);
	for (struct guard *g = s->first_guard; g; g = g->next)
		auth_put(g->auth);
	arena_fini(&s->arena);
	conf_put(s->conf);
	free(s);
}

static void bury(struct work *w)
{
	struct site *s = container_of(w, struct site, bury);

	if (put_contexts(s, BURY_US))
		put_rest(s);
	else
		loop_post_next(w);
}

void site_put(struct site *s)
{
	BUG_ON(!s->refs);
	if (--s->refs)
		return;
	for (size_t i = 0; i < s->tables.nlisteners; i++) {
		if (s->tables.listeners[i].tls)
			tls_listener_put(s->tables.listeners[i].tls);
		if (s->tables.listeners[i].onward)
			raw_target_put(s->tables.listeners[i].onward);
	}
	list_push(&dying, &s->dying);
	work_init(&s->bury, bury);
	if (s->tables.nvhosts > MANY) {
		loop_post_next(&s->bury);
	} else {
		put_contexts(s, 0);
		put_rest(s);
	}
}

void site_finish(void)
{
	while (!list_empty(&dying)) {
		struct site *s = list_entry(dying.next, struct site, dying);

		put_contexts(s, 0);
		put_rest(s);
	}
}

static void look_over_clients(const struct config *c, struct arena *a, const struct map *files,
			      struct tls_client **clients, struct conf_report *r)
{
	struct clients making;

	clients_init(&making, a, files, c->ntargets);
	for (size_t i = 0; i < c->ntargets; i++) {
		const struct conf_target *t = c->targets[i];

		if (t->tls && clients_are_whole(&making, t))
			clients[i] = clients_make(&making, t, r);
		if (clients[i])
			clients_warn(&making, clients[i], t, r);
	}
	clients_fini(&making);
}

/* What there is to be said about each certificate and password file, whatever else is wrong. */
static void look_over(const struct config *c, struct tls_context **contexts, struct tls_client **clients,
		      struct conf_report *r)
{
	struct arena a;
	struct map files, guards;

	arena_init(&a);
	map_init(&files, &a, c->nfiles);
	map_init(&guards, &a, c->nfiles);
	for (size_t i = 0; i < c->nfiles; i++)
		map_add(&files, map_hash(c->files[i]->path), c->files[i]->path, c->files[i]);
	for (size_t i = 0; i < c->nvhosts; i++) {
		const struct conf_vhost *v = c->vhosts[i];

		if (v->tls && context_is_whole(v, &files))
			contexts[i] = context_new(v, &files, r);
		if (contexts[i] && !v->acme)
			context_warn(contexts[i], v, &files, r);
		for (size_t k = 0; k < v->nmounts; k++) {
			struct str path = v->mounts[k].auth_path;
			struct conf_file *f = path.n ? map_find(&files, map_hash(path), path, NULL) : NULL;

			if (!f || !f->bytes.p || map_find(&guards, map_hash(path), path, NULL))
				continue;
			map_add(&guards, map_hash(path), path, f);
			auth_put(read_users(f, r));
		}
	}
	look_over_clients(c, &a, &files, clients, r);
	arena_fini(&a);
}

void site_try(struct config *c, struct conf_report *r)
{
	/* kept to the end, so that the site need not make them again */
	struct tls_context **contexts = base_zalloc((c->nvhosts + 1) * sizeof(struct tls_context *));
	struct tls_client **clients = base_zalloc((c->ntargets + 1) * sizeof(struct tls_client *));
	struct site *s = NULL;

	look_over(c, contexts, clients, r);
	if (!r->counts[CONF_ERROR])
		s = site_new(conf_get(c), r);
	if (s)
		site_put(s);
	site_finish();
	for (size_t i = 0; i < c->nvhosts; i++)
		if (contexts[i])
			tls_context_put(contexts[i]);
	free(contexts);
	for (size_t i = 0; i < c->ntargets; i++)
		if (clients[i])
			tls_client_put(clients[i]);
	free(clients);
	conf_put(c);
	conf_report_sort(r);
}

/* ---- for accept and route ---- */

void site_set_log(struct site *s, size_t index, int fd)
{
	BUG_ON(index >= s->conf->nlogs);
	alog_set_fd(s->logs[index], fd);
}

const struct tables *site_tables(const struct site *s)
{
	return &s->tables;
}

const struct alog *site_log(const struct site *s, size_t index)
{
	return s->logs[index];
}

struct site_listener *site_listener(const struct site *s, struct str name)
{
	return tables_listener(&s->tables, name);
}

bool site_listener_is_tls(const struct site_listener *l)
{
	return l->tls != NULL;
}

struct tls_listener *site_listener_tls(const struct site_listener *l)
{
	return l->tls;
}

const struct conf_raw *site_listener_raw(const struct site_listener *l)
{
	return &l->vhosts[0]->conf->raw;
}

struct raw_target *site_listener_onward(const struct site_listener *l)
{
	return l->onward;
}

void site_conn_init(struct site_conn *conn, struct str listener, const struct sockaddr *peer,
		    socklen_t peer_len, const struct sockaddr *local, socklen_t local_len)
{
	*conn = (struct site_conn){ .listener = listener };
	addr_end_set(&conn->peer, peer, peer_len);
	addr_end_set(&conn->local, local, local_len);
	addr_host(&conn->peer.sa, conn->peer_host, sizeof conn->peer_host);
}

struct site_vhost *site_vhost(const struct site *s, const struct site_conn *conn)
{
	const struct site_listener *l = site_listener(s, conn->listener);
	struct site_vhost *v = l ? tables_vhost(l, conn->sni, NULL) : NULL;

	return !v && l && l->nvhosts ? l->vhosts[0] : v;
}

const struct limits *site_limits(const struct site *s, const struct site_conn *conn)
{
	const struct site_vhost *v = site_vhost(s, conn);

	return v ? &v->conf->limits : &s->conf->global.limits;
}

const struct timeouts *site_timeouts(const struct site *s, const struct site_conn *conn)
{
	const struct site_vhost *v = site_vhost(s, conn);

	return v ? &v->conf->timeouts : &s->conf->global.timeouts;
}

struct str site_style(const struct site *s)
{
	return file_bytes(s, s->conf->global.error_css);
}

struct auth_allowance *site_allowance(struct site *s)
{
	return &s->allowance;
}

struct str site_date(struct site *s)
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t now = (time_t)loop_wall_s();
	struct tm tm;

	if (s->date_s != now && gmtime_r(&now, &tm)) {
		snprintf(s->date, sizeof s->date, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday],
			 tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
		s->date_s = now;
	}
	return str_from_c(s->date);
}
