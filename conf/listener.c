/*
 * listener.c - where vhosts listen, and how they come together on one listener.
 */
#include "conf/priv.h"

enum { INTERFACE_NAME_BYTES = 15 }; /* IFNAMSIZ without its NUL */

/* One of the places where a vhost listens. */
struct place {
	struct str interface;
	bool no_ipv6, only_ipv6;
	const struct conf_node *at; /* where that is written */
};

static bool place_unix(struct conf_loader *l, struct place *p)
{
	struct str s = p->interface;

	if (s.n < 2 || (s.p[0] != '/' && s.p[0] != '@'))
		conf_error(l, p->at, "write \"interface\": \"/run/gatehouse.sock\"",
			   "\"unix-socket\" needs the socket's path in \"interface\"");
	else if (s.n > CONF_UNIX_PATH_BYTES)
		conf_error(l, p->at, NULL, "a socket's path has at most 107 bytes");
	else
		return true;
	return false;
}

/* What is written like an IPv4 address is no interface's name. */
static bool is_digits_and_dots(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '.' && (s.p[i] < '0' || s.p[i] > '9'))
			return false;
	return s.n > 0;
}

/* An address or an interface, in one spelling. False: that cannot be said. */
static bool place_ip(struct conf_loader *l, struct place *p)
{
	struct str s = p->interface;
	bool is_ip6;

	if (str_eq(s, STR("localhost")))
		s = STR("127.0.0.1");
	if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		s = str_of(s.p + 1, s.n - 2);
	if (!s.n)
		return true;
	if (conf_address_parse(&l->c->arena, s, &p->interface, &is_ip6)) {
		bool all = str_eq(p->interface, STR("0.0.0.0")) || str_eq(p->interface, STR("::"));

		if (is_ip6 ? p->no_ipv6 : p->only_ipv6)
			conf_error(l, p->at, NULL,
				   "this is an IPv%c address, which other keys of this vhost rule out",
				   is_ip6 ? '6' : '4');
		p->only_ipv6 = all && is_ip6;
		p->no_ipv6 = all && !is_ip6;
		if (all)
			p->interface = STR("");
		return true;
	}
	if (memchr(s.p, '/', s.n))
		conf_error(l, p->at, "for a Unix socket add \"unix-socket\": \"1\"",
			   "\"%.*s\" is no interface", CONF_QUOTE(s));
	else if (s.n > INTERFACE_NAME_BYTES || memchr(s.p, ':', s.n) || memchr(s.p, ' ', s.n) ||
		 is_digits_and_dots(s))
		conf_error(l, p->at, "write a numeric address, or an interface's name such as eth0",
			   "\"%.*s\" is neither an address nor an interface", CONF_QUOTE(s));
	else
		return true;
	return false;
}

static struct str listener_name(struct conf_loader *l, const struct conf_vhost_draft *d,
				const struct place *p)
{
	struct arena *a = &l->c->arena;

	if (d->unix_socket)
		return arena_printf(a, "unix:%.*s", STR_ARG(p->interface));
	if (!p->interface.n)
		return arena_printf(a, "*:%u", d->port);
	if (memchr(p->interface.p, ':', p->interface.n))
		return arena_printf(a, "[%.*s]:%u", STR_ARG(p->interface), d->port);
	return arena_printf(a, "%.*s:%u", STR_ARG(p->interface), d->port);
}

/* What vhosts of one listener have to agree on. */
static void check_agreement(struct conf_loader *l, const struct conf_vhost_draft *d, const struct place *p,
			    const struct conf_listener *n)
{
	const struct conf_node *port = d->seen[CONF_KEY_PORT] ? d->seen[CONF_KEY_PORT] : d->node;

	if (n->tls != d->v.tls && !n->plain_too)
		conf_error(l, port,
			   d->v.tls ? "give the other one a certificate, or another port"
				    : "give it \"host-ssl-cert\" and \"host-ssl-key\", or another port",
			   "this vhost speaks %s on %.*s, but the one at %s speaks %s",
			   d->v.tls ? "TLS" : "plain HTTP", STR_ARG(n->name), conf_place(l, n->pos),
			   n->tls ? "TLS" : "plain HTTP");
	if (!n->is_unix && (n->no_ipv6 != p->no_ipv6 || n->only_ipv6 != p->only_ipv6))
		conf_warning(l, port,
			     "write \"noipv6\", \"ipv6only\" and \"interface\" alike in all vhosts of a port",
			     "the vhost at %s decides about the address families of port %u",
			     conf_place(l, n->pos), n->port);
	if (n->is_unix && (!str_eq(n->unix_user, d->unix_user) || !str_eq(n->unix_group, d->unix_group) ||
			   n->unix_mode != d->unix_mode))
		conf_warning(l, d->seen[CONF_KEY_UNIX_SOCKET_PERMS] ? d->seen[CONF_KEY_UNIX_SOCKET_PERMS]
								    : d->node,
			     "write \"unix-socket-perms\" alike in all vhosts of a socket",
			     "the vhost at %s decides who may use %.*s", conf_place(l, n->pos),
			     STR_ARG(n->name));
}

/* The one of this address and port, or a new one. */
static struct conf_listener *find_or_add(struct conf_loader *l, const struct conf_vhost_draft *d,
					 const struct place *p)
{
	const struct conf_node *port = d->seen[CONF_KEY_PORT];
	struct str name = listener_name(l, d, p);
	void **slot = conf_map_at(&l->tmp, &l->listeners, name);
	struct conf_listener *n = *slot;
	struct config *c = l->c;

	if (n) {
		check_agreement(l, d, p, n);
		return n;
	}
	*slot = n = arena_new(&c->arena, struct conf_listener);
	*n = (struct conf_listener){
		.name = name,
		.interface = arena_dup(&c->arena, p->interface),
		.unix_user = d->unix_user,
		.unix_group = d->unix_group,
		.unix_mode = d->unix_mode,
		.is_unix = d->unix_socket,
		.no_ipv6 = p->no_ipv6,
		.only_ipv6 = p->only_ipv6,
		.port = d->unix_socket ? 0 : d->port,
		.tls = d->v.tls,
		.plain_too = d->v.tls && d->v.raw.allow_http,
		.pos = port ? port->pos : d->node->pos,
	};
	arena_grow(&c->arena, c->listeners, c->nlisteners, l->listeners_cap);
	c->listeners[c->nlisteners++] = n;
	return n;
}

static void add_place(struct conf_loader *l, struct conf_vhost_draft *d, struct str interface,
		      const struct conf_node *at)
{
	struct place p = { interface, d->no_ipv6, d->only_ipv6, at };
	struct conf_listener *n;

	if (d->unix_socket ? !place_unix(l, &p) : !place_ip(l, &p))
		return;
	if (!d->unix_socket && !d->port)
		return; /* that is told once */
	n = find_or_add(l, d, &p);
	for (size_t i = 0; i < d->v.nlisteners; i++)
		if (d->v.listeners[i] == n) {
			conf_error(l, at, NULL, "this vhost listens on %.*s already", STR_ARG(n->name));
			return;
		}
	arena_grow(&l->c->arena, d->v.listeners, d->v.nlisteners, d->listeners_cap);
	d->v.listeners[d->v.nlisteners++] = n;
}

void conf_load_listeners(struct conf_loader *l, struct conf_vhost_draft *d)
{
	const struct conf_node *where = d->seen[CONF_KEY_INTERFACE], *item = NULL;
	struct str interface;

	if (d->no_ipv6 && d->only_ipv6) {
		conf_error(l, d->seen[CONF_KEY_NOIPV6] ? d->seen[CONF_KEY_NOIPV6]->key : d->node, NULL,
			   "neither IPv4 nor IPv6 is left to listen on");
		d->no_ipv6 = false;
	}
	if (!d->unix_socket && !d->seen[CONF_KEY_PORT])
		conf_error(l, d->node, d->v.tls ? "add \"port\": \"443\"" : "add \"port\": \"80\"",
			   "this vhost has no port");
	if (!where)
		add_place(l, d, STR(""), d->node);
	else if (where->kind == CONF_NODE_SEQUENCE && !where->child)
		conf_error(l, where, "leave the key out to listen on all addresses", "the list is empty");
	else
		while ((item = conf_next_text(l, where, item, &interface)))
			add_place(l, d, interface, item);
	if (d->v.nlisteners)
		d->v.listener = d->v.listeners[0];
}

void conf_finish_listeners(struct conf_loader *l)
{
	struct config *c = l->c;

	for (size_t i = 0; i < c->nvhosts; i++)
		for (size_t k = 0; k < c->vhosts[i]->nlisteners; k++)
			c->vhosts[i]->listeners[k]->nvhosts++;
	for (size_t i = 0; i < c->nlisteners; i++) {
		struct conf_listener *n = c->listeners[i];

		n->vhosts = arena_alloc(&c->arena, n->nvhosts * sizeof(*n->vhosts));
		n->nvhosts = 0;
	}
	for (size_t i = 0; i < c->nvhosts; i++)
		for (size_t k = 0; k < c->vhosts[i]->nlisteners; k++) {
			struct conf_listener *n = c->vhosts[i]->listeners[k];

			n->vhosts[n->nvhosts++] = c->vhosts[i];
		}
}
