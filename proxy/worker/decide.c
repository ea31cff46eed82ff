#include "proxy/worker/decide.h"
#include "proxy/worker/path.h"

static enum err fail(struct decision *d, enum err why)
{
	d->what = DECIDE_FAIL;
	d->why = why;
	return why;
}

/* Most clients name in HTTP the host that they named in TLS, by which the vhost was chosen already. */
static bool is_sni(struct str sni, struct str authority)
{
	return sni.n && str_starts(authority, sni) && (authority.n == sni.n || authority.p[sni.n] == ':');
}

/* The vhost that answers for this authority here. */
static enum err choose_vhost(const struct head *h, const struct decide_from *from, struct decision *d)
{
	if (!from->listener)
		return fail(d, ERR_MISDIRECTED);
	d->vhost = from->vhost;
	if (from->listener->strict || !is_sni(from->sni, h->authority))
		d->vhost = tables_vhost(from->listener, h->authority, &d->steps);
	if (!d->vhost)
		return fail(d, ERR_MISDIRECTED);
	/* RFC 9110 section 7.4: an https resource must not be given over an insecure connection */
	if (!from->tls && str_eq_nocase(h->scheme, STR("https")))
		return fail(d, ERR_MISDIRECTED);
	/* RFC 9110 section 15.5.20: what this connection proved is not what this vhost wants to be proved */
	if (!str_eq(d->vhost->client_ca, from->client_ca)) {
		d->vhost = NULL; /* nothing of it is shown */
		return fail(d, ERR_OTHER_CLIENT_CA);
	}
	return ERR_OK;
}

static bool contains_nocase(struct str s, struct str what)
{
	for (size_t i = 0; i + what.n <= s.n; i++)
		if (str_eq_nocase(str_of(s.p + i, what.n), what))
			return true;
	return false;
}

/* The first word in any User-Agent that is not served. */
static const struct conf_reject *find_reject(const struct head *h, const struct conf_global *g)
{
	for (size_t i = 0; g && i < g->nrejects; i++)
		head_for_each(f, h)
			if (f->id == FIELD_USER_AGENT && contains_nocase(f->value, g->rejects[i].keyword))
				return &g->rejects[i];
	return NULL;
}

/* Whether the upstream sees another path than the client: then its own paths are translated. */
static bool is_rebased(const struct conf_mount *m)
{
	size_t from = m->mountpoint.n > 1 ? m->mountpoint.n : 0, to = m->base.n > 1 ? m->base.n : 0;

	return !str_eq(str_of(m->mountpoint.p, from), str_of(m->base.p, to));
}

static void go_up(struct decision *d, const struct site_mount *m, struct str target)
{
	d->what = DECIDE_UP;
	d->mount = m;
	d->target = target;
	d->rebased = is_rebased(m->conf);
}

/*
 * OPTIONS * asks about the server as a whole (RFC 9110 section 9.3.7): its root is as near as a mount
 * comes.
 */
static void choose_asterisk(struct decision *d)
{
	const struct site_mount *root = tables_mount_at(d->vhost, STR("/"));

	if (root && root->conf->kind == CONF_ORIGIN_PROXY)
		go_up(d, root, STR("*"));
	else
		d->what = DECIDE_OPTIONS;
}

/* It is one page, not a tree of them. */
static void show_picture(struct decision *d, const struct conf_mount *c, struct str path)
{
	size_t n = c->mountpoint.n > 1 ? c->mountpoint.n : 0;

	if (path.n == n || (path.n == n + 1 && path.p[n] == '/') || c->exact)
		d->what = DECIDE_PICTURE;
	else
		fail(d, ERR_NOT_FOUND);
}

static void use_mount(struct arena *a, struct decision *d, const struct site_mount *m, struct str path,
		      struct str query)
{
	const struct conf_mount *c = m->conf;

	d->mount = m;
	switch (c->kind) {
	case CONF_ORIGIN_PROXY:
		go_up(d, m, path_rebase(a, path, c->mountpoint, c->base, query));
		break;
	case CONF_ORIGIN_REDIRECT:
		d->what = DECIDE_REDIRECT;
		d->target = c->redirect;
		if (!c->redirect_as_is)
			d->target = path_rebase(a, path, c->mountpoint, c->redirect, query);
		break;
	case CONF_ORIGIN_STATUS:
	case CONF_ORIGIN_METRICS:
		show_picture(d, c, path);
		break;
	case CONF_ORIGIN_NOT_SERVED:
		fail(d, ERR_NOT_SERVED);
		break;
	}
}

static void choose_mount(struct arena *a, const struct head *h, struct decision *d)
{
	bool is_options = str_eq(h->method, STR("OPTIONS"));
	struct str path, query;
	const struct site_mount *m;

	/* RFC 9110 section 7.6.2; TRACE, the other method it is for, is refused earlier */
	if (is_options && translate_max_forwards(h) == 0)
		return;
	if (is_options && str_eq(h->path, STR("*"))) {
		choose_asterisk(d);
		return;
	}
	path_split(h->path, &path, &query);
	if (!path_normalise(a, path, &path)) {
		fail(d, ERR_BAD_TARGET);
		return;
	}
	m = tables_mount(d->vhost, path, &d->steps);
	/* not for the upstream unless it is mounted just there: the pages of one that is down need it */
	if (str_eq(path, STR("/error.css")) && (!m || !str_eq(m->conf->mountpoint, path)))
		d->what = DECIDE_STYLE;
	else if (!m)
		fail(d, ERR_NOT_FOUND);
	else
		use_mount(a, d, m, path, query);
}

void decide_request(struct arena *a, const struct head *h, const struct decide_from *from,
		    struct decision *out)
{
	struct decision *d = out;

	*d = (struct decision){ .what = DECIDE_OPTIONS };
	if (choose_vhost(h, from, d))
		return;
	choose_mount(a, h, d);
	/* the page that says so needs its style sheet */
	if (d->what == DECIDE_STYLE || !(d->reject = find_reject(h, from->global)))
		return;
	d->mount = NULL;
	fail(d, ERR_REJECTED);
}

void decide_up(const struct decision *d, const struct decide_from *from, struct translate_up *t)
{
	const struct conf_mount *m = d->mount->conf;
	struct str name = d->vhost->conf->name;

	t->target = d->target;
	t->authority = str_starts(name, STR("*.")) ? str_of(name.p + 2, name.n - 2) : name;
	t->tls = from->tls;
	t->rules = m->request_headers;
	t->nrules = m->nrequest_headers;
	t->keeps_authorization = m->auth_forward;
	if (m->mountpoint.n > 1 && d->rebased)
		t->prefix = m->mountpoint;
	if (str_ends(t->prefix, STR("/")))
		t->prefix.n--; /* one of exactly that path */
}

void decide_down(const struct decision *d, const struct decide_from *from, const struct head *up,
		 struct translate_down *t)
{
	const struct conf_vhost *v = d->vhost ? d->vhost->conf : NULL;
	const struct conf_mount *m = d->mount ? d->mount->conf : NULL;

	t->is_ours = !up;
	if (v) {
		t->rules = m ? m->headers : v->headers;
		t->nrules = m ? m->nheaders : v->nheaders;
		t->sts = v->sts && from->tls;
	}
	/* a mount of one path shows nothing else that the upstream may name */
	if (up && d->rebased && !m->exact) {
		t->is_mapped = true;
		t->authority = up->authority;
		t->mountpoint = m->mountpoint;
		t->base = m->base;
	}
}
