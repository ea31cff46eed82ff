#include "proxy/route.h"
#include "core/log.h"
#include "proxy/alog.h"
#include "proxy/page.h"
#include "proxy/path.h"
#include "proxy/tables.h"
#include "proxy/translate.h"
#include "uds-upstream/up.h"
#include <sys/random.h>

/* proxy's own state of an exchange (x->route), in its arena. */
struct route {
	struct site *site;     /* counted; an established tunnel has let it go */
	const struct site_listener *listener;
	struct mount_ref ref;  /* the vhost before the request is read is that of the SNI */
	struct alog *log;      /* counted; only of a tunnel */
	struct str peer;       /* the client's address as text */
	bool is_proxied;       /* the request head for the upstream is made */
	bool is_ours;          /* the answer is Gatehouse's own */
};

static struct exchange *exchange_of(struct end *e)
{
	return container_of(e, struct exchange, router);
}

static const struct conf_vhost *vhost_conf(const struct route *r)
{
	return r->ref.vhost ? r->ref.vhost->conf : NULL;
}

/* ---- beginning ---- */

static void use_limits(struct exchange *x, const struct limits *limits, const struct timeouts *timeouts)
{
	x->limits = limits;
	x->timeouts = timeouts;
	x->pipe[X_UP].cap = x->pipe[X_DOWN].cap = limits->pipe_bytes;
}

void route_begin(struct exchange *x, struct site *s, const struct site_conn *conn)
{
	struct route *r = arena_new(&x->arena, struct route);
	const struct conf_global *global = &site_config(s)->global;

	r->site = site_get(s);
	r->listener = site_listener(s, conn->listener);
	r->ref.vhost = site_vhost(s, conn);
	r->peer = arena_dup(&x->arena, str_from_c(conn->peer_host));
	x->route = r;
	x->conf = site_config(s);
	x->facts.peer = conn->peer;
	x->facts.local = conn->local;
	x->facts.tls = conn->tls;
	x->facts.tls_version = conn->tls_version;
	x->facts.sni = arena_dup(&x->arena, conn->sni);
	if (r->ref.vhost)
		use_limits(x, &r->ref.vhost->conf->limits, &r->ref.vhost->conf->timeouts);
	else
		use_limits(x, &global->limits, &global->timeouts);
}

/* ---- answers of our own ---- */

/* Eight characters that can be read out on the telephone (no I, L, O, U), in two groups. */
static struct str make_id(struct arena *a)
{
	static const char letters[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint64_t random = 0;
	char id[9];

	if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0)
		random = loop_clock_us();
	for (size_t i = 0; i < sizeof id; i++) {
		if (i == 4) {
			id[i] = '-';
			continue;
		}
		id[i] = letters[random & 31];
		random >>= 5;
	}
	return arena_dup(a, str_of(id, sizeof id));
}

static struct page_about about(const struct exchange *x, uint16_t status)
{
	const struct route *r = x->route;

	return (struct page_about){
		.status = status,
		.host = x->request ? x->request->authority : STR_NONE,
		.server = site_config(r->site)->global.server_string,
		.tls = x->facts.tls,
	};
}

static void answer(struct exchange *x, struct head *h, struct str body)
{
	struct route *r = x->route;

	r->is_ours = true;
	page_open(x, h, body);
}

/* What an operator wants to see of a failure depends on whose it is; limits tell their key. */
static enum log_level level_of(int status)
{
	if (status >= 500)
		return LOG_LEVEL_WARN;
	return status == 408 || status == 413 || status == 414 || status == 431 ? LOG_LEVEL_NOTE
										: LOG_LEVEL_INFO;
}

static void log_failure(const struct exchange *x, enum err why, const struct page_about *a)
{
	const struct route *r = x->route;
	const struct head *h = x->request;
	struct str method = h ? h->method : STR("-"), path = h ? h->path : STR_NONE;

	if (!log_is_on(level_of(a->status)))
		return;
	path.n = MIN(path.n, (size_t)1024);
	log_line(level_of(a->status), "%u %.*s: %s%s%s: %.*s %.*s%.*s from %.*s", a->status, STR_ARG(a->id),
		 err_text(why), x->facts.upstream ? ": " : "", x->facts.upstream ? x->facts.upstream : "",
		 STR_ARG(method), STR_ARG(a->host), STR_ARG(path), STR_ARG(r->peer));
}

/* The page of this error's row. What has none, and yet came from an upstream, is its failure. */
static void fail(struct exchange *x, enum err why)
{
	int status = err_status(why);
	struct page_about a = about(x, (uint16_t)(status ? status : 502));
	struct head *h;
	struct str body;

	if (!x->facts.error)
		x->facts.error = why;
	a.id = make_id(&x->arena);
	log_failure(x, why, &a);
	h = page_make(&x->arena, x->request, &a, &body);
	answer(x, h, body);
}

static void give_options(struct exchange *x)
{
	struct page_about a = about(x, 200);

	answer(x, page_make_options(&x->arena, &a), STR_NONE);
}

static void give_style(struct exchange *x, const struct head *request)
{
	const struct route *r = x->route;
	struct page_about a = about(x, 200);
	struct str body;
	struct head *h = page_make_css(&x->arena, request, &a, site_style(r->site), &body);

	answer(x, h, body);
}

static void redirect(struct exchange *x, const struct conf_mount *m, struct str path, struct str query)
{
	struct page_about a = about(x, m->redirect_status);
	struct str body;
	struct head *h;

	a.location = path_rebase(&x->arena, path, m->mountpoint, m->redirect, query);
	h = page_make(&x->arena, x->request, &a, &body);
	answer(x, h, body);
}

/* ---- routing ---- */

/* Whether the upstream sees another path than the client: then its own paths are translated. */
static bool is_rebased(const struct conf_mount *m)
{
	size_t from = m->mountpoint.n > 1 ? m->mountpoint.n : 0, to = m->base.n > 1 ? m->base.n : 0;

	return !str_eq(str_of(m->mountpoint.p, from), str_of(m->base.p, to));
}

static void go_up(struct exchange *x, struct str target)
{
	struct route *r = x->route;
	const struct conf_mount *m = r->ref.mount->conf;
	struct str name = vhost_conf(r)->name;
	const struct translate_up t = {
		.target = target,
		.authority = str_starts(name, STR("*.")) ? str_of(name.p + 2, name.n - 2) : name,
		.peer = r->peer,
		.tls = x->facts.tls,
		.prefix = m->mountpoint.n > 1 && is_rebased(m) ? m->mountpoint : STR_NONE,
	};

	x->request_up = translate_request(&x->arena, x->request, &t);
	r->is_proxied = true;
	up_open(x, r->ref.mount->target);
}

static enum err use_mount(struct exchange *x, const struct site_mount *m)
{
	struct route *r = x->route;

	r->ref.mount = m;
	x->mount = &r->ref;
	use_limits(x, &m->conf->limits, &m->conf->timeouts);
	/* of a body of unknown length the down end counts the bytes */
	if (x->request->length > 0 && (uint64_t)x->request->length > x->limits->request_body_bytes)
		return ERR_BODY_LARGE;
	return ERR_OK;
}

/*
 * OPTIONS * asks about the server as a whole (RFC 9110 section 9.3.7): its root is as near as a mount
 * comes.
 */
static enum err route_asterisk(struct exchange *x)
{
	struct route *r = x->route;
	const struct site_mount *root = tables_mount_exact(r->ref.vhost, STR("/"));
	enum err e;

	if (!root || root->conf->kind != CONF_ORIGIN_PROXY) {
		give_options(x);
		return ERR_OK;
	}
	e = use_mount(x, root);
	if (!e)
		go_up(x, STR("*"));
	return e;
}

static enum err route_path(struct exchange *x, const struct head *h)
{
	struct route *r = x->route;
	struct str path, query;
	const struct site_mount *m;
	enum err e;

	path_split(h->path, &path, &query);
	if (!path_normalise(&x->arena, path, &path))
		return ERR_BAD_TARGET;
	m = tables_mount(r->ref.vhost, path, NULL);
	/* not for the upstream unless it is mounted just there: the pages of one that is down need it */
	if (str_eq(path, STR("/error.css")) && (!m || !str_eq(m->conf->mountpoint, path))) {
		give_style(x, h);
		return ERR_OK;
	}
	if (!m)
		return ERR_NOT_FOUND;
	e = use_mount(x, m);
	if (e)
		return e;
	switch (m->conf->kind) {
	case CONF_ORIGIN_PROXY:
		go_up(x, path_rebase(&x->arena, path, m->conf->mountpoint, m->conf->base, query));
		return ERR_OK;
	case CONF_ORIGIN_REDIRECT:
		redirect(x, m->conf, path, query);
		return ERR_OK;
	case CONF_ORIGIN_NOT_SERVED:
		return ERR_NOT_SERVED;
	}
	return ERR_INTERNAL;
}

/* Most clients name in HTTP the host that they named in TLS, by which the vhost was chosen already. */
static bool is_sni(const struct exchange *x, struct str authority)
{
	struct str sni = x->facts.sni;

	return sni.n && str_starts(authority, sni) && (authority.n == sni.n || authority.p[sni.n] == ':');
}

/* The vhost that answers for this authority here, or none. */
static enum err use_vhost(struct exchange *x, const struct head *h)
{
	struct route *r = x->route;

	if (!r->listener)
		return ERR_MISDIRECTED;
	if (r->listener->strict || !is_sni(x, h->authority))
		r->ref.vhost = tables_vhost(r->listener, h->authority, NULL);
	if (!r->ref.vhost)
		return ERR_MISDIRECTED;
	use_limits(x, &vhost_conf(r)->limits, &vhost_conf(r)->timeouts);
	/* RFC 9110 section 7.4: an https resource must not be given over an insecure connection */
	if (!x->facts.tls && str_eq_nocase(h->scheme, STR("https")))
		return ERR_MISDIRECTED;
	return ERR_OK;
}

static enum err route(struct exchange *x, const struct head *h)
{
	bool is_options = str_eq(h->method, STR("OPTIONS"));
	enum err e = use_vhost(x, h);

	if (e)
		return e;
	/* RFC 9110 section 7.6.2; TRACE, the other method it is for, is refused earlier */
	if (is_options && translate_max_forwards(h) == 0) {
		give_options(x);
		return ERR_OK;
	}
	if (is_options && str_eq(h->path, STR("*")))
		return route_asterisk(x);
	return route_path(x, h);
}

/* ---- the end's verbs ---- */

/* The request. Its trailers are told to whoever is attached, by the core. */
static void head(struct end *e, struct head *h)
{
	struct exchange *x = exchange_of(e);
	enum err why;

	BUG_ON(!x->route);
	why = route(x, h);
	if (why)
		fail(x, why);
}

/* Bytes of the body wait in their pipe for the end that takes the router's place. */
static void data(struct end *e)
{
	(void)e;
}

/* The router tells nothing, so it is never short of room. */
static void room(struct end *e)
{
	(void)e;
}

/*
 * The upstream failed before its answer, or the client's request turned out bad. While an upstream is down,
 * requests for it are answered at once: here is where they would wait for it instead.
 */
static void failed(struct end *e, enum err why)
{
	struct exchange *x = exchange_of(e);
	const struct route *r = x->route;

	BUG_ON(!r);
	if (r->is_proxied && !r->is_ours && up_may_retry(x, why))
		up_open(x, r->ref.mount->target);
	else
		fail(x, why);
}

/* ---- on its way down ---- */

/* A tunnel may outlive many configurations: what it needs of its own is copied, and the site goes. */
static void let_go(struct exchange *x)
{
	struct route *r = x->route;
	struct limits *limits = arena_alloc(&x->arena, sizeof *limits);
	struct timeouts *timeouts = arena_alloc(&x->arena, sizeof *timeouts);

	*limits = *x->limits;
	*timeouts = *x->timeouts;
	x->limits = limits;
	x->timeouts = timeouts;
	if (x->facts.upstream)
		x->facts.upstream = arena_dup_c(&x->arena, str_from_c(x->facts.upstream));
	if (r->ref.vhost && r->ref.vhost->log)
		r->log = alog_get(r->ref.vhost->log);
	r->listener = NULL;
	r->ref = (struct mount_ref){ 0 };
	x->mount = NULL;
	x->conf = NULL;
	site_put(r->site);
	r->site = NULL;
}

static void response(struct exchange *x, struct head *h)
{
	struct route *r = x->route;
	const struct conf_vhost *v;
	struct translate_down t = { 0 };

	if (!r || !r->site || h->kind != HEAD_FINAL)
		return;
	v = vhost_conf(r);
	t.date = site_date(r->site);
	t.is_ours = r->is_ours;
	if (v) {
		t.headers = v->headers;
		t.nheaders = v->nheaders;
		t.sts = v->sts && x->facts.tls;
	}
	if (r->ref.mount && !r->is_ours && is_rebased(r->ref.mount->conf)) {
		t.is_mapped = true;
		t.authority = x->request_up->authority;
		t.mountpoint = r->ref.mount->conf->mountpoint;
		t.base = r->ref.mount->conf->base;
	}
	translate_response(&x->arena, h, &t);
	if (x->tunnel)
		let_go(x);
}

static struct alog *log_of(const struct route *r)
{
	if (r->log)
		return r->log;
	if (r->ref.vhost)
		return r->ref.vhost->log;
	return r->listener && r->listener->nvhosts ? r->listener->vhosts[0]->log : NULL;
}

static void finished(struct exchange *x)
{
	struct route *r = x->route;
	struct alog *log;

	if (!r)
		return;
	log = log_of(r);
	/* a connection that ended between two requests has nothing to tell */
	if (log && (x->request || x->facts.status))
		alog_line(log, x, r->peer);
	alog_put(r->log);
	if (r->site)
		site_put(r->site);
	x->route = NULL;
}

static const struct end_ops router_ops = { .name = "router", .head = head, .data = data, .room = room,
					   .abort = failed };

void route_init(void)
{
	static const struct x_router router = {
		.ops = &router_ops, .finished = finished, .response = response};

	x_set_router(&router);
}

/* ---- for accept ---- */

#define PLAIN_ON_TLS "This port speaks HTTPS: ask for https:// instead of http://.\n"

struct str route_plain_on_tls(void)
{
	return STR("HTTP/1.1 400 Bad Request\r\n"
		   "Content-Type: text/plain; charset=utf-8\r\n"
		   "Content-Length: 61\r\n"
		   "Cache-Control: no-store\r\n"
		   "Connection: close\r\n"
		   "\r\n" PLAIN_ON_TLS);
}
