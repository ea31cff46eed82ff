#include "proxy/worker/route.h"
#include "core/log.h"
#include "proxy/worker/alog.h"
#include "proxy/worker/auth.h"
#include "proxy/worker/decide.h"
#include "proxy/worker/look.h"
#include "proxy/worker/page.h"
#include "proxy/worker/token.h"
#include "proxy/worker/tally.h"
#include "proxy/worker/trust.h"
#include "uds-upstream/up.h"
#include <netinet/in.h>
#include <sys/random.h>

/* proxy's own state of an exchange (x->route), in its arena. */
struct route {
	struct site *site;     /* counted; an established tunnel has let it go */
	const struct site_listener *listener;
	struct mount_ref ref;  /* the vhost before the request is read is that of the SNI */
	struct alog *log;      /* counted; only of a tunnel */
	struct tally *tally;   /* the same */
	struct decision decision;
	struct str vhost_name; /* the same */
	bool log_json;         /* the same */
	struct str id;         /* of an error page, by which it is found in the logs */
	struct str client_ca;  /* of the connection */
	struct str peer;       /* whoever has connected, as text */
	struct str client;     /* the same, or whom a trusted proxy speaks for */
	bool is_trusted;       /* the peer is such a proxy */
	bool to_https;         /* it came in plain by a TLS port */
	bool is_proxied;       /* the request head for the upstream is made */
	bool is_ours;          /* the answer is Gatehouse's own */
};

static struct exchange *exchange_of(struct end *e)
{
	return container_of(e, struct exchange, router);
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
	r->peer = r->client = arena_dup(&x->arena, str_from_c(conn->peer_host));
	x->route = r;
	x->conf = site_config(s);
	x->facts.peer = conn->peer;
	x->facts.local = conn->local;
	x->facts.tls = conn->tls;
	x->facts.tls_version = conn->tls_version;
	x->facts.tls_cipher = conn->tls_cipher;
	x->facts.sni = arena_dup(&x->arena, conn->sni);
	r->client_ca = arena_dup(&x->arena, conn->client_ca);
	r->to_https = conn->to_https;
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
	static const int limits[] = { 408, 413, 414, 429, 431 };

	if (status >= 500)
		return LOG_LEVEL_WARN;
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if (status == limits[i])
			return LOG_LEVEL_NOTE;
	return LOG_LEVEL_INFO;
}

static void log_failure(const struct exchange *x, enum err why, const struct page_about *a)
{
	const struct route *r = x->route;
	const struct head *h = x->request;
	struct str method = h ? h->method : STR("-"), path = h ? h->path : STR_NONE;
	const char *upstream = x->facts.upstream;
	enum log_level level = level_of(a->status);
	char more[48] = "";
	uint64_t unsaid = 0;

	/* of thousands in an outage few are worth a line; the access log has them all */
	if (a->status >= 500 && upstream && r->ref.mount && r->ref.mount->target &&
	    !up_target_may_tell(r->ref.mount->target, why, &unsaid))
		level = LOG_LEVEL_INFO;
	if (!log_is_on(level))
		return;
	if (unsaid)
		snprintf(more, sizeof more, " (and %llu more before)", (unsigned long long)unsaid);
	path.n = MIN(path.n, (size_t)1024);
	log_line(level, "%u %.*s: %s%s%s: %.*s %.*s%.*s from %.*s%s", a->status, STR_ARG(a->id),
		 err_text(why), upstream ? ": " : "", upstream ? upstream : "", STR_ARG(method),
		 STR_ARG(a->host), STR_ARG(path), STR_ARG(r->client), more);
}

/* What the vhost shows instead of the built-in page. */
static struct str own_page(const struct site_vhost *v, unsigned status)
{
	for (size_t i = 0; v && i < v->conf->npages; i++)
		if (v->conf->pages[i].status == status)
			return v->pages[i];
	return STR_NONE;
}

/* The page of this error's row. What has none, and yet came from an upstream, is its failure. */
static void fail(struct exchange *x, enum err why)
{
	int status = err_status(why);
	struct route *r = x->route;
	struct page_about a = about(x, (uint16_t)(status ? status : 502));
	struct head *h;
	struct str body;

	if (r->decision.reject) {
		a.status = r->decision.reject->status;
		a.message = r->decision.reject->message;
	}
	if (!x->facts.error)
		x->facts.error = why;
	a.id = r->id = make_id(&x->arena);
	a.own = own_page(r->ref.vhost, a.status);
	if (r->ref.mount)
		a.realm = r->ref.mount->conf->auth_realm;
	log_failure(x, why, &a);
	h = page_make(&x->arena, x->request, &a, &body);
	answer(x, h, body);
}

static void give_options(struct exchange *x)
{
	struct page_about a = about(x, 200);

	answer(x, page_make_options(&x->arena, &a), STR_NONE);
}

/* Before everything else: a CA asks for it whatever is mounted, redirected or guarded here. */
static void give_token(struct exchange *x, struct str token)
{
	struct page_about a = about(x, 200);
	struct str body = arena_dup(&x->arena, token);

	answer(x, page_make_token(&x->arena, &a, body), body);
}

static void give_style(struct exchange *x, const struct head *request)
{
	const struct route *r = x->route;
	struct page_about a = about(x, 200);
	struct str body;
	struct head *h = page_make_css(&x->arena, request, &a, site_style(r->site), &body);

	answer(x, h, body);
}

static void give_picture(struct exchange *x)
{
	struct route *r = x->route;
	struct page_about a = about(x, 200);

	r->is_ours = true;
	look_open(x, &a, r->ref.mount->conf->kind == CONF_ORIGIN_METRICS);
}

static void redirect(struct exchange *x, struct str to)
{
	struct page_about a = about(x, ((struct route *)x->route)->ref.mount->conf->redirect_status);
	struct str body;
	struct head *h;

	a.location = to;
	h = page_make(&x->arena, x->request, &a, &body);
	answer(x, h, body);
}

static unsigned port_of(const union addr_end *e)
{
	if (e->sa.sa_family == AF_INET6)
		return ntohs(e->in6.sin6_port);
	return e->sa.sa_family == AF_INET ? ntohs(e->in.sin_port) : 443;
}

/*
 * Plain HTTP on a TLS port: the same host, port, path and query, over TLS. Only GET and HEAD are sure to be
 * asked again as they were after a 301 (RFC 9110 section 15.4.2).
 */
static void redirect_to_https(struct exchange *x, const struct head *h)
{
	const struct route *r = x->route;
	struct page_about a = about(x, 308);
	struct str host = h->authority, path = h->path.n && h->path.p[0] == '/' ? h->path : STR("/"), body;
	unsigned port = port_of(&x->facts.local);
	const char *end;
	struct head *answer_head;
	char suffix[8] = "";

	if (str_eq(h->method, STR("GET")) || str_eq(h->method, STR("HEAD")))
		a.status = 301;
	if (!host.n && r->ref.vhost)
		host = r->ref.vhost->conf->name;
	end = host.n ? memchr(host.p, host.p[0] == '[' ? ']' : ':', host.n) : NULL;
	if (end)
		host.n = (size_t)(end - host.p) + (host.p[0] == '[');
	if (port != 443)
		snprintf(suffix, sizeof suffix, ":%u", port);
	a.location = arena_printf(&x->arena, "https://%.*s%s%.*s", STR_ARG(host), suffix, STR_ARG(path));
	answer_head = page_make(&x->arena, x->request, &a, &body);
	answer(x, answer_head, body);
}

/* ---- routing ---- */

/* The vhost before the request is read; the listener may be gone. */
static struct decide_from from(const struct exchange *x)
{
	const struct route *r = x->route;

	return (struct decide_from){
		.listener = r->listener,
		.vhost = r->ref.vhost,
		.global = r->site ? &site_config(r->site)->global : NULL,
		.sni = x->facts.sni,
		.client_ca = r->client_ca,
		.tls = x->facts.tls,
	};
}

static void go_up(struct exchange *x, const struct decide_from *f)
{
	struct route *r = x->route;
	const struct conf_global *global = &site_config(r->site)->global;
	struct translate_up t = {
		.peer = r->peer,
		.trusted = r->is_trusted,
		.user = x->facts.user,
		.forwarded = global->forwarded,
	};

	if (global->via)
		t.via = x->facts.protocol == 20	  ? STR("2.0 gatehouse")
			: x->facts.protocol == 10 ? STR("1.0 gatehouse")
						  : STR("1.1 gatehouse");
	decide_up(&r->decision, f, &t);
	x->request_up = translate_request(&x->arena, x->request, &t);
	r->is_proxied = true;
	up_open(x, r->ref.mount->target);
}

/* Limits and timeouts are the vhost's from here on, and then the mount's. */
static void settle(struct exchange *x, const struct decision *d)
{
	struct route *r = x->route;

	r->ref.vhost = d->vhost;
	if (d->vhost)
		use_limits(x, &d->vhost->conf->limits, &d->vhost->conf->timeouts);
	if (!d->mount)
		return;
	r->ref.mount = d->mount;
	x->mount = &r->ref;
	use_limits(x, &d->mount->conf->limits, &d->mount->conf->timeouts);
}

/* What the mount demands of a request. */
static enum err admit(struct exchange *x, struct auth *auth)
{
	struct route *r = x->route;
	uint64_t attempts = site_config(r->site)->global.limits.auth_attempts;
	struct str user;
	enum err e;

	if (auth) {
		e = auth_check(auth, site_allowance(r->site), attempts, x->request, &user);
		if (e)
			return e;
		x->facts.user = arena_dup(&x->arena, user);
	}
	/* of a body of unknown length the down end counts the bytes */
	if (x->request->length > 0 && (uint64_t)x->request->length > x->limits->request_body_bytes)
		return ERR_BODY_LARGE;
	return ERR_OK;
}

static void carry_out(struct exchange *x, const struct decision *d, const struct decide_from *f)
{
	switch (d->what) {
	case DECIDE_UP:
		go_up(x, f);
		break;
	case DECIDE_REDIRECT:
		redirect(x, d->target);
		break;
	case DECIDE_STYLE:
		give_style(x, x->request);
		break;
	case DECIDE_PICTURE:
		give_picture(x);
		break;
	case DECIDE_OPTIONS:
		give_options(x);
		break;
	case DECIDE_FAIL:
		fail(x, d->why);
		break;
	}
}

/* What a trusted proxy says of its client counts. */
static void trust(struct exchange *x, const struct head *h)
{
	const struct conf_global *global = &site_config(((struct route *)x->route)->site)->global;
	struct route *r = x->route;

	r->is_trusted = trust_peer(global, &x->facts.peer.sa);
	if (r->is_trusted)
		r->client = trust_client(global, h, r->peer);
}

/* ---- the end's verbs ---- */

/* The request. Its trailers are told to whoever is attached, by the core. */
static void head(struct end *e, struct head *h)
{
	struct exchange *x = exchange_of(e);
	struct route *r = x->route;
	struct decide_from f;
	enum err why = ERR_OK;
	struct str token;

	BUG_ON(!r);
	token = token_find(h);
	if (token.p) {
		give_token(x, token);
		return;
	}
	if (r->to_https) {
		redirect_to_https(x, h);
		return;
	}
	f = from(x);
	trust(x, h);
	decide_request(&x->arena, h, &f, &r->decision);
	settle(x, &r->decision);
	if (r->decision.mount)
		why = admit(x, r->decision.mount->auth);
	if (why)
		fail(x, why);
	else
		carry_out(x, &r->decision, &f);
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
	if (r->ref.vhost) {
		r->tally = tally_get(r->ref.vhost->tally);
		r->vhost_name = arena_dup(&x->arena, r->ref.vhost->conf->name);
		r->log_json = r->ref.vhost->conf->access_log_json;
	}
	r->listener = NULL;
	r->ref = (struct mount_ref){ 0 };
	r->decision = (struct decision){ 0 };
	x->mount = NULL;
	x->conf = NULL;
	site_put(r->site);
	r->site = NULL;
}

static void response(struct exchange *x, struct head *h)
{
	struct route *r = x->route;
	struct decide_from f;
	struct translate_down t = { 0 };

	if (!r || !r->site || h->kind != HEAD_FINAL)
		return;
	f = from(x);
	r->decision.vhost = r->ref.vhost;
	decide_down(&r->decision, &f, r->is_ours ? NULL : x->request_up, &t);
	t.date = site_date(r->site);
	t.via = !r->is_ours && site_config(r->site)->global.via;
	translate_response(&x->arena, h, &t);
	if (x->tunnel)
		let_go(x);
}

/* Whose answer it was, while the site is held: also when nobody was found. */
static const struct site_vhost *vhost_of(const struct route *r)
{
	if (r->ref.vhost)
		return r->ref.vhost;
	return r->listener && r->listener->nvhosts ? r->listener->vhosts[0] : NULL;
}

static void write_line(struct alog *log, const struct exchange *x, const struct site_vhost *v)
{
	const struct route *r = x->route;
	const struct alog_about about = {
		.client = r->client,
		.vhost = v ? v->conf->name : r->vhost_name,
		.id = r->id,
		.json = v ? v->conf->access_log_json : r->log_json,
	};

	alog_line(log, x, &about);
}

static void finished(struct exchange *x)
{
	struct route *r = x->route;
	const struct site_vhost *v;
	struct alog *log;
	struct tally *tally;

	if (!r)
		return;
	v = vhost_of(r);
	log = v ? v->log : r->log;
	tally = v ? v->tally : r->tally;
	/* a connection that ended between two requests has nothing to tell */
	if (log && (x->request || x->facts.status))
		write_line(log, x, v);
	if (tally && (x->request || x->facts.status))
		tally_note(tally, x);
	alog_put(r->log);
	tally_put(r->tally);
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
