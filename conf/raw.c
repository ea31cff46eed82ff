/*
 * raw.c - the keys about connections that are neither TLS nor HTTP, and where these go.
 */
#include "conf/priv.h"

/* ---- where raw connections go: pure ---- */

static struct str after(struct str s, size_t n)
{
	return str_of(s.p + n, s.n - n);
}

/* "A:P" or "[A]:P"; *host is without brackets. */
static const char *split(struct str s, struct str *host, bool *brackets, uint16_t *port)
{
	size_t colon = s.n;
	uint64_t number;

	while (colon && s.p[colon - 1] != ':')
		colon--;
	if (!colon)
		return "the port is missing";
	*host = str_of(s.p, colon - 1);
	if (conf_to_number(after(s, colon), UINT16_MAX, &number) != CONF_VALUE_OK || !number)
		return "behind the last \":\" comes a port from 1 to 65535";
	*port = (uint16_t)number;
	*brackets = host->n > 2 && host->p[0] == '[' && host->p[host->n - 1] == ']';
	if (*brackets)
		*host = str_of(host->p + 1, host->n - 2);
	return host->n ? NULL : "the address is missing";
}

/* In its canonical text, which lies in a. */
static const char *host_of(struct arena *a, const struct conf_origin *o, struct str *out, bool *is_name,
			   const char **remedy)
{
	bool is_ip6;

	*is_name = false;
	if (!o->is_ip6)
		return conf_upstream_parse(a, o->address, out, is_name, remedy);
	if (conf_address_parse(a, o->address, out, &is_ip6) && is_ip6)
		return NULL;
	return "between \"[\" and \"]\" stands a numeric IPv6 address";
}

static const char *check_host(const struct conf_origin *o, bool *is_name, const char **remedy)
{
	const char *reason;
	struct arena a;
	struct str text;

	arena_init(&a);
	reason = host_of(&a, o, &text, is_name, remedy);
	arena_fini(&a);
	return reason;
}

const char *conf_onward_parse(struct str s, struct conf_origin *o, const char **remedy)
{
	bool only_ip4 = str_starts(s, STR("ipv4:")), only_ip6 = str_starts(s, STR("ipv6:")), brackets;
	const char *reason;
	bool is_name;

	*o = (struct conf_origin){ .kind = CONF_ORIGIN_PROXY };
	*remedy = "write ipv4:127.0.0.1:22, ipv6:[::1]:22, unix:/run/app.sock or localhost:22";
	if (str_starts(s, STR("unix:"))) {
		o->is_unix = true;
		o->address = after(s, 5);
		if (o->address.n < 2 || (o->address.p[0] != '/' && o->address.p[0] != '@'))
			return "a socket's path begins with \"/\", an abstract name with \"@\"";
		return o->address.n > CONF_UNIX_PATH_BYTES ? "a socket's path has at most 107 bytes" : NULL;
	}
	reason = split(only_ip4 || only_ip6 ? after(s, 5) : s, &o->address, &brackets, &o->port);
	if (reason)
		return reason;
	o->is_ip6 = brackets;
	reason = check_host(o, &is_name, remedy);
	if (reason)
		return reason;
	if (brackets ? only_ip4 : only_ip6)
		return only_ip4 ? "\"ipv4:\" takes an IPv4 address"
				: "\"ipv6:\" takes an address in \"[\" and \"]\"";
	return only_ip4 && is_name ? "\"ipv4:\" takes an IPv4 address" : NULL;
}

/* ---- setters ---- */

void conf_set_onward(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	struct arena *a = &l->c->arena;
	struct conf_raw *raw = object;
	const char *remedy, *reason;
	struct conf_target *t;
	struct conf_origin o;
	struct str text;

	(void)k;
	if (!conf_take_text(l, v, &text))
		return;
	reason = conf_onward_parse(text, &o, &remedy);
	if (reason) {
		conf_error(l, v, remedy, "%s", reason);
		return;
	}
	t = arena_new(a, struct conf_target);
	t->pos = v->pos;
	t->is_unix = o.is_unix;
	t->port = o.port;
	if (o.is_unix)
		t->address = arena_dup(a, o.address);
	else
		BUG_ON(host_of(a, &o, &t->address, &t->is_name, &remedy));
	t->name = o.is_unix ? arena_printf(a, "unix:%.*s", STR_ARG(t->address))
			  : o.is_ip6 ? arena_printf(a, "[%.*s]:%u", STR_ARG(t->address), t->port)
				     : arena_printf(a, "%.*s:%u", STR_ARG(t->address), t->port);
	raw->onward = t;
}

/* A flag of struct conf_raw, and where the first of them stands. Two keys may name one flag. */
void conf_set_raw_mode(struct conf_loader *l, const struct conf_key *k, void *object,
		       const struct conf_node *v)
{
	struct conf_vhost_draft *d = object;
	bool on;

	if (!conf_take_bool(l, v, &on) || !on)
		return;
	*(bool *)(void *)((char *)object + k->at) = true;
	if (!d->v.raw.pos.line)
		d->v.raw.pos = v->key->pos;
}

void conf_set_raw_role(struct conf_loader *l, const struct conf_key *k, void *object,
		       const struct conf_node *v)
{
	struct str text;

	(void)k;
	(void)object;
	if (conf_take_text(l, v, &text) && !str_eq(text, STR("raw-proxy")) &&
	    !str_eq(text, STR("raw_proxy"))) /* as the reference writes it in C */
		conf_error(l, v, "write \"raw-proxy\"", "there is no role \"%.*s\" here", CONF_QUOTE(text));
}

/* A flag that changes nothing. */
void conf_set_look(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	bool on;

	(void)k;
	(void)object;
	(void)!conf_take_bool(l, v, &on);
}

/* ---- what they say together ---- */

bool conf_is_raw_protocol(const struct conf_vhost_draft *d, struct str name)
{
	const struct conf_node *protocol = conf_node_get(d->node, "listen-accept-protocol");

	return str_eq(name, STR("raw-proxy")) ||
	       (protocol && protocol->kind == CONF_NODE_SCALAR && str_eq(name, protocol->text));
}

void conf_check_raw(struct conf_loader *l, const struct conf_vhost_draft *d)
{
	const struct conf_raw *raw = &d->v.raw;
	const struct conf_node *redirect = d->seen[CONF_KEY_REDIRECT_HTTP];
	const struct conf_node *allow = d->seen[CONF_KEY_ALLOW_HTTP_ON_HTTPS];

	if ((raw->only || raw->fallback) && !raw->onward)
		conf_report_add(l->r, CONF_WARNING, raw->pos,
				"add \"ws-protocols\": "
				"[ { \"raw-proxy\": { \"onward\": \"ipv4:127.0.0.1:22\" } } ]",
				"raw connections have nowhere to go: they are closed");
	else if (raw->onward && !raw->only && !raw->fallback)
		conf_report_add(l->r, CONF_WARNING, raw->onward->pos,
				"add \"fallback-listen-accept\": \"1\"", "no connection goes there");
	if (raw->transparent && raw->onward && raw->onward->is_unix)
		conf_report_add(l->r, CONF_WARNING, raw->onward->pos, "use \"onward-proxy-protocol\"",
				"\"onward-transparent\" does nothing: a Unix socket knows no addresses");
	if (raw->only && d->v.tls)
		conf_report_add(l->r, CONF_WARNING, raw->pos, "leave \"host-ssl-cert\" out",
				"on a raw port TLS is the target's business: the certificate is not used");
	if (raw->redirect_http && !d->v.tls)
		conf_warning(l, redirect->key, "add \"host-ssl-cert\" and \"host-ssl-key\"",
			     "\"redirect-http\" without a certificate does nothing");
	if (raw->allow_http && !d->v.tls)
		conf_warning(l, allow->key, "leave it out",
			     "\"allow-http-on-https\" without a certificate does nothing");
	else if (raw->allow_http && raw->redirect_http)
		conf_warning(l, allow->key, "keep one of them",
			     "\"redirect-http\" comes first: no plain HTTP is served");
}

/* The first vhost decides for its listener. */
void conf_finish_raw(struct conf_loader *l)
{
	for (size_t i = 0; i < l->c->nlisteners; i++) {
		const struct conf_listener *n = l->c->listeners[i];

		for (size_t k = 1; k < n->nvhosts; k++) {
			const struct conf_vhost *v = n->vhosts[k], *first = n->vhosts[0];

			if (v->raw.pos.line)
				conf_report_add(l->r, CONF_WARNING, v->raw.pos,
						"write it in the port's first vhost",
						"the vhost at %s decides about raw connections on %.*s",
						conf_place(l, first->pos), STR_ARG(n->name));
			else if (first->raw.only)
				conf_report_add(l->r, CONF_WARNING, v->pos, "give it another port",
						"the vhost at %s takes every connection on %.*s as raw",
						conf_place(l, first->pos), STR_ARG(n->name));
		}
	}
}

bool conf_has_transparent(const struct config *c)
{
	for (size_t i = 0; i < c->nlisteners; i++) {
		const struct conf_raw *raw = &c->listeners[i]->vhosts[0]->raw;

		if (raw->transparent && raw->onward)
			return true;
	}
	return false;
}
