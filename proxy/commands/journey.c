#include "proxy/commands/journey.h"
#include "conf/bundle.h"
#include "core/loop.h"
#include "core/target.h"
#include "h1/h1.h"
#include "proxy/worker/decide.h"
#include "proxy/worker/look.h"
#include "proxy/worker/page.h"
#include "proxy/seek.h"
#include "proxy/worker/site.h"
#include "proxy/worker/trust.h"
#include "tls/tls.h"
#include <stdarg.h>
#include <unistd.h>

/* An address for documentation (RFC 5737): no client has it. */
#define SOME_CLIENT "192.0.2.1"

struct journey {
	const struct journey_options *o;
	FILE *out;
	struct arena arena;
	struct site *site;
	bool tls;
	struct str host, port, target; /* of the URL */
	const struct conf_listener *listener;
	struct site_conn conn;
	struct str client; /* for whom logs take it */
	bool is_trusted;
	struct head *request;
	struct decision d;
	struct decide_from from;
};

/* ---- telling ---- */

static void row(struct journey *j, const char *what, const char *fmt, ...) PRINTF(3, 4);
static void row(struct journey *j, const char *what, const char *fmt, ...)
{
	va_list args;

	fprintf(j->out, "  %-11s ", what);
	va_start(args, fmt);
	vfprintf(j->out, fmt, args);
	va_end(args);
	fputc('\n', j->out);
}

static bool complain(const char *fmt, ...) PRINTF(1, 2);
static bool complain(const char *fmt, ...)
{
	va_list args;

	fputs("gatehouse: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return false;
}

static struct str place(struct journey *j, const struct conf_pos *pos)
{
	return arena_printf(&j->arena, "%s:%u", pos->file ? pos->file : "-", pos->line);
}

static void tell_fields(struct journey *j, const struct head *h)
{
	head_for_each(f, h)
		fprintf(j->out, "  %.*s: %.*s\n", STR_ARG(f->name), STR_ARG(f->value));
}

/* ---- the URL ---- */

static bool read_url(struct journey *j)
{
	struct str url = str_from_c(j->o->url), rest;
	const char *end;
	size_t n;

	j->tls = url.n > 8 && str_eq_nocase(str_of(url.p, 8), STR("https://"));
	if (!j->tls && !(url.n > 7 && str_eq_nocase(str_of(url.p, 7), STR("http://"))))
		return complain("%s: a URL begins with https:// or http:// and a host", j->o->url);
	n = j->tls ? 8 : 7;
	rest = str_of(url.p + n, url.n - n);
	for (n = 0; n < rest.n && !strchr("/?#", rest.p[n]); n++)
		;
	j->host = str_of(rest.p, n);
	rest = str_of(rest.p + n, rest.n - n);
	end = rest.n ? memchr(rest.p, '#', rest.n) : NULL; /* a client keeps that to itself */
	if (end)
		rest.n = (size_t)(end - rest.p);
	j->target = rest.n && rest.p[0] == '/' ? rest : arena_printf(&j->arena, "/%.*s", STR_ARG(rest));
	for (n = j->host.n; n && j->host.p[n - 1] >= '0' && j->host.p[n - 1] <= '9'; n--)
		;
	j->port = j->tls ? STR("443") : STR("80");
	if (n && j->host.p[n - 1] == ':' && n < j->host.n)
		j->port = str_of(j->host.p + n, j->host.n - n);
	return true;
}

/* Without port and brackets, as TLS names it. */
static struct str bare_host(const struct journey *j)
{
	const char *end = j->host.n ? memchr(j->host.p, j->host.p[0] == '[' ? ']' : ':', j->host.n) : NULL;
	size_t skip = j->host.n && j->host.p[0] == '[';

	return str_of(j->host.p + skip, (end ? (size_t)(end - j->host.p) : j->host.n) - skip);
}

/* ---- the listener ---- */

/* How near a listener is to what the URL says: its host is its address, it is on all, it is elsewhere. */
static int nearness(const struct journey *j, const struct conf_listener *l)
{
	uint64_t port;

	if (l->is_unix || !str_to_u64(j->port, UINT16_MAX, &port) || l->port != port)
		return 0;
	if (l->interface.n)
		return str_eq(l->interface, bare_host(j)) ? 3 : 1;
	return 2;
}

static void complain_of_listeners(const struct journey *j, const char *what, struct str name)
{
	const struct config *c = site_config(j->site);

	fprintf(stderr, "gatehouse: %s %.*s; there are", what, STR_ARG(name));
	for (size_t i = 0; i < c->nlisteners; i++)
		fprintf(stderr, "%s %.*s", i ? "," : "", STR_ARG(c->listeners[i]->name));
	fputc('\n', stderr);
}

static bool find_listener(struct journey *j)
{
	const struct config *c = site_config(j->site);
	int best = 0;

	for (size_t i = 0; i < c->nlisteners; i++) {
		const struct conf_listener *l = c->listeners[i];
		int near = j->o->listener ? str_eq(l->name, str_from_c(j->o->listener)) : nearness(j, l);

		if (near > best) {
			best = near;
			j->listener = l;
		}
	}
	if (j->listener)
		return true;
	if (j->o->listener)
		complain_of_listeners(j, "no listener is called", str_from_c(j->o->listener));
	else
		complain_of_listeners(j, "nobody listens on port", j->port);
	return false;
}

static bool connect_as_client(struct journey *j)
{
	const char *client = j->o->client ? j->o->client : SOME_CLIENT;
	struct addr a = { .len = sizeof a.un, .un.sun_family = AF_UNIX };
	struct str host = bare_host(j);

	if (j->listener->is_unix)
		a.un.sun_path[0] = '\0';
	else if (!addr_from_ip(&a, str_from_c(client), 1024))
		return complain("%s is no client's address", client);
	site_conn_init(&j->conn, j->listener->name, &a.sa, a.len, &a.sa, 0);
	j->conn.tls = j->tls;
	/* RFC 6066 section 3: an address is no server name */
	if (j->conn.tls && !addr_from_ip(&a, host, 1))
		j->conn.sni = host;
	return true;
}

/* ---- the request ---- */

static bool read_request(struct journey *j)
{
	const struct limits *l = site_limits(j->site, &j->conn);
	struct h1_limits limits = { .line_bytes = l->request_line_bytes, .head_bytes = l->request_head_bytes,
				    .fields = l->request_fields };
	struct h1_parser p;
	struct str text;
	ssize_t n;

	text = arena_printf(&j->arena, "%s %.*s HTTP/1.1\r\nHost: %.*s\r\n",
			    j->o->method ? j->o->method : "GET", STR_ARG(j->target), STR_ARG(j->host));
	for (size_t i = 0; i < j->o->nheaders; i++)
		text = arena_printf(&j->arena, "%.*s%s\r\n", STR_ARG(text), j->o->headers[i]);
	text = arena_printf(&j->arena, "%.*s\r\n", STR_ARG(text));
	h1_parser_init(&p, H1_REQUEST, &limits, &j->arena, NULL);
	n = h1_parse(&p, text.p, text.n);
	if (n > 0 && p.done) {
		j->request = p.head;
		return true;
	}
	row(j, "answer", "%d: %s", err_status(n < 0 ? (enum err)-n : ERR_BAD_REQUEST_LINE),
	    err_text(n < 0 ? (enum err)-n : ERR_BAD_REQUEST_LINE));
	return false;
}

/* ---- what comes of it ---- */

static const char *why_this_vhost(struct journey *j)
{
	struct str name = j->d.vhost->conf->name, host = bare_host(j);

	if (str_ends(host, STR(".")))
		host.n--;
	if (str_eq_nocase(name, host))
		return "by its name";
	if (host.n > name.n && host.p[host.n - name.n - 1] == '.' &&
	    str_eq_nocase(str_of(host.p + host.n - name.n, name.n), name))
		return "as a parent domain";
	if (str_starts(name, STR("*.")) && host.n > name.n - 1 &&
	    str_eq_nocase(str_of(host.p + host.n - (name.n - 1), name.n - 1), str_of(name.p + 1, name.n - 1)))
		return "by its wildcard";
	return "as the first one here: no other has this name";
}

static void tell_vhost(struct journey *j)
{
	const struct conf_vhost *v;
	struct str where = place(j, &j->listener->pos);

	row(j, "listener", "%.*s, %s (%.*s)", STR_ARG(j->listener->name),
	    j->tls ? "TLS" : "plain HTTP", STR_ARG(where));
	if (j->is_trusted)
		row(j, "proxy", "%s is trusted; the client is %.*s", j->conn.peer_host, STR_ARG(j->client));
	if (!j->d.vhost)
		return;
	v = j->d.vhost->conf;
	where = place(j, &v->pos);
	row(j, "vhost", "%.*s, %s (%.*s)", STR_ARG(v->name), why_this_vhost(j), STR_ARG(where));
	if (v->client_ca.text.n)
		row(j, "client", "with a certificate from %.*s", STR_ARG(v->client_ca.text));
	if (v->access_log >= 0)
		row(j, "access log", "%.*s", STR_ARG(site_config(j->site)->logs[v->access_log].path));
}

/* Only what the configuration changes. */
static void tell_limits(struct journey *j, const struct limits *l, const struct timeouts *t)
{
#define X(field, key, dflt, what)                                                                        \
	if (l->field != limits_default.field)                                                            \
		row(j, "limit", l->field == LIMIT_NONE ? "%s: none" : "%s: %llu", key,                   \
		    (unsigned long long)l->field);
	LIMIT_TABLE(X)
#undef X
#define X(field, key, dflt, what)                 \
	if (t->field != timeouts_default.field)   \
		row(j, "timeout", "%s: %llu ms", key, (unsigned long long)t->field);
	TIMEOUT_TABLE(X)
#undef X
}

static void tell_mount(struct journey *j)
{
	const struct conf_mount *m;
	struct str where;

	if (!j->d.mount)
		return;
	m = j->d.mount->conf;
	where = place(j, &m->pos);
	row(j, "mount", "%.*s%s (%.*s)", STR_ARG(m->mountpoint), m->exact ? ", exactly" : "", STR_ARG(where));
	if (m->auth_path.n)
		row(j, "password", "of a user in %.*s; realm \"%.*s\"", STR_ARG(m->auth_path),
		    STR_ARG(m->auth_realm));
	tell_limits(j, &m->limits, &m->timeouts);
}

static void tell_upstream(struct journey *j, const struct conf_target *t)
{
	uint64_t deadline_ms = site_config(j->site)->global.timeouts.resolve_ms;
	struct msg_addresses a = { 0 };
	char text[SEEK_TEXT_BYTES];

	if (!t->is_name) {
		row(j, "upstream", "%.*s", STR_ARG(t->name));
		return;
	}
	seek_all(&t->address, 1, deadline_ms, &a);
	row(j, "upstream", a.error ? "%.*s: its name does not resolve: %s" : "%.*s, which is %s",
	    STR_ARG(t->name), seek_text(&a, text));
}

static void tell_way(struct journey *j)
{
	const struct conf_mount *m = j->d.mount ? j->d.mount->conf : NULL;
	struct str css = site_config(j->site)->global.error_css;

	switch (j->d.what) {
	case DECIDE_UP:
		tell_upstream(j, m->target);
		break;
	case DECIDE_REDIRECT:
		row(j, "answer", "%u, to %.*s", m->redirect_status, STR_ARG(j->d.target));
		break;
	case DECIDE_STYLE:
		row(j, "answer", "200, the style sheet %.*s", STR_ARG(css.n ? css : STR("that is built in")));
		break;
	case DECIDE_PICTURE:
		row(j, "answer", "200, how Gatehouse is doing");
		break;
	case DECIDE_OPTIONS:
		row(j, "answer", "200, what the server can do");
		break;
	case DECIDE_FAIL:
		row(j, "answer", "%d: %s", j->d.reject ? j->d.reject->status : err_status(j->d.why),
		    err_text(j->d.why));
		break;
	}
	if (j->o->verbose)
		row(j, "look-up", "%u slots of tables", j->d.steps);
}

static struct head *tell_request(struct journey *j)
{
	const struct conf_global *g = &site_config(j->site)->global;
	struct translate_up t = {
		.peer = str_from_c(j->conn.peer_host),
		.trusted = j->is_trusted,
		.user = j->d.mount->conf->auth_path.n ? STR("(the user's name)") : STR_NONE,
		.forwarded = g->forwarded,
		.via = g->via ? STR("1.1 gatehouse") : STR_NONE,
	};
	struct head *up;

	decide_up(&j->d, &j->from, &t);
	up = translate_request(&j->arena, j->request, &t);
	fprintf(j->out, "\nThe upstream gets\n  %.*s %.*s HTTP/1.1\n", STR_ARG(up->method),
		STR_ARG(up->path));
	tell_fields(j, up);
	return up;
}

/* Fields that an answer would lose, unless a later rule puts one of that name there. */
static void tell_removals(struct journey *j, const struct head *h, const struct translate_down *t)
{
	bool said = false;

	for (size_t i = 0; i < t->nrules; i++) {
		const struct conf_header *r = &t->rules[i];

		if (r->op != CONF_HEADER_REMOVE || head_find_name(h, r->name))
			continue;
		fprintf(j->out, "%s%.*s", said ? ", " : "  without ", STR_ARG(r->name));
		said = true;
	}
	if (said)
		fputc('\n', j->out);
}

/* What would be added to an answer, and what becomes of the upstream's own places in it. */
static void tell_response(struct journey *j, const struct head *up)
{
	struct head *h = head_new(&j->arena, HEAD_FINAL);
	struct translate_down t = { .via = site_config(j->site)->global.via };

	h->minor = 1;
	h->status = 200;
	decide_down(&j->d, &j->from, up, &t);
	/* it is there, so that none is made for now */
	head_add_id(&j->arena, h, FIELD_DATE, STR("(now)"));
	translate_response(&j->arena, h, &t);
	head_remove(h, FIELD_DATE);
	fprintf(j->out, "\nThe client gets its answer\n");
	tell_removals(j, h, &t);
	tell_fields(j, h);
	if (t.is_mapped) {
		struct str there = arena_printf(&j->arena, "%.*s/x", STR_ARG(t.base));
		struct str here = translate_location(&j->arena, there, &t);

		fprintf(j->out, "  Location: %.*s becomes Location: %.*s, Set-Cookie's Path likewise\n",
			STR_ARG(there), STR_ARG(here));
	}
	if (h->nfields == 1 && !t.nrules && !t.is_mapped) /* the date, which is removed */
		fprintf(j->out, "  as it is\n");
}

/* The head of the page, as route would make it. */
static struct head *page_head(struct journey *j)
{
	const struct conf_global *g = &site_config(j->site)->global;
	const struct conf_mount *m = j->d.mount ? j->d.mount->conf : NULL;
	struct page_about a = { .host = j->request->authority, .server = g->server_string, .tls = j->tls };
	struct str body;

	switch (j->d.what) {
	case DECIDE_STYLE:
		return page_make_css(&j->arena, j->request, &a, site_style(j->site), &body);
	case DECIDE_REDIRECT:
		a.status = m->redirect_status;
		a.location = j->d.target;
		break;
	case DECIDE_FAIL:
		a.status = (uint16_t)err_status(j->d.why);
		break;
	case DECIDE_PICTURE:
		return page_make_own(&j->arena, &a, look_type(j->request, m->kind == CONF_ORIGIN_METRICS),
				     STR_NONE, 0);
	case DECIDE_UP:
	case DECIDE_OPTIONS:
		return page_make_options(&j->arena, &a);
	}
	if (j->d.reject) {
		a.status = j->d.reject->status;
		a.message = j->d.reject->message;
	}
	return page_make(&j->arena, j->request, &a, &body);
}

/* An answer of Gatehouse's own, by the rules of the vhost or mount that it is for. */
static void tell_page(struct journey *j)
{
	struct head *h = page_head(j);
	struct translate_down t = { 0 };

	decide_down(&j->d, &j->from, NULL, &t);
	t.date = STR("(now)");
	translate_response(&j->arena, h, &t);
	fprintf(j->out, "\nThe client gets\n  HTTP/1.1 %u %.*s\n", h->status, STR_ARG(h->reason));
	tell_fields(j, h);
}

static void tell(struct journey *j)
{
	const struct conf_global *g = &site_config(j->site)->global;
	struct head *up;

	j->from = (struct decide_from){
		.listener = site_listener(j->site, j->conn.listener),
		.vhost = site_vhost(j->site, &j->conn),
		.global = g,
		.sni = j->conn.sni,
		.tls = j->conn.tls,
	};
	/* a client with the certificate that this demands */
	if (j->from.vhost && j->conn.tls)
		j->from.client_ca = j->from.vhost->client_ca;
	j->client = str_from_c(j->conn.peer_host);
	j->is_trusted = trust_peer(g, &j->conn.peer.sa);
	if (j->is_trusted)
		j->client = trust_client(g, j->request, j->client);
	decide_request(&j->arena, j->request, &j->from, &j->d);
	tell_vhost(j);
	tell_mount(j);
	tell_way(j);
	if (j->d.what == DECIDE_UP) {
		up = tell_request(j);
		tell_response(j, up);
	} else if (j->d.what != DECIDE_PICTURE) { /* that is painted while the client waits */
		tell_page(j);
	}
}

/* Why it ends before there is a request; NULL: it does not. */
static const char *obstacle(struct journey *j)
{
	const struct site_listener *l = site_listener(j->site, j->conn.listener);
	const struct conf_raw *raw = &j->listener->vhosts[0]->raw;

	if (raw->only)
		return "none: every connection is relayed unseen";
	if (j->tls && !j->listener->tls)
		return "none: plain HTTP is spoken here: ask for http://";
	if (!j->tls && j->listener->tls && raw->redirect_http)
		return "301, to https:// and the same place (redirect-http)";
	if (!j->tls && j->listener->tls && !raw->allow_http)
		return raw->fallback ? "none: what is no TLS is relayed unseen"
				     : "400: TLS is spoken here: ask for https://";
	if (j->tls && j->conn.sni.n && !tables_vhost(l, j->conn.sni, NULL))
		return "none: TLS ends with unrecognized_name (strict-host-check)";
	return NULL;
}

static struct site *read_site(const char *path)
{
	struct conf_report r;
	struct config *conf = NULL;
	struct site *s = NULL;
	int fd;

	conf_report_init(&r);
	fd = conf_make_bundle(path, NULL, &r, NULL);
	if (fd >= 0) {
		conf = conf_from_bundle(fd, &r);
		close(fd);
	}
	if (conf)
		s = site_new(conf, &r);
	if (!s)
		conf_report_print(&r, CONF_ERROR, stderr);
	conf_report_fini(&r);
	return s;
}

int journey_tell(const struct journey_options *o, FILE *out)
{
	struct journey j = { .o = o, .out = out };
	const char *stopped;
	bool good = false;

	arena_init(&j.arena);
	if (loop_open() < 0)
		return EXIT_FAILURE;
	tls_init();
	if (read_url(&j) && (j.site = read_site(o->path))) {
		good = find_listener(&j) && connect_as_client(&j);
		if (good) {
			fprintf(out, "%s %s\n\n", o->method ? o->method : "GET", o->url);
			stopped = obstacle(&j);
			if (stopped)
				row(&j, "listener", "%.*s", STR_ARG(j.listener->name));
			if (stopped)
				row(&j, "answer", "%s", stopped);
			else if (read_request(&j))
				tell(&j);
		}
		site_put(j.site);
		site_finish();
	}
	arena_fini(&j.arena);
	tls_fini();
	loop_close();
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
