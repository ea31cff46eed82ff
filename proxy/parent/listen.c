/*
 * Listening sockets. A listener of the configuration becomes one or more local addresses; an address becomes
 * a socket, unless a socket on all addresses of the same port exists, for the kernel lets only one of them
 * listen: then the two share it, and a connection's own local address tells them apart. Sockets live on over
 * reloads as long as a configuration has an address for them.
 */
#include "conf/find.h"
#include "proxy/parent/given.h"
#include "proxy/parent/iface.h"
#include "proxy/parent/listen.h"
#include "proxy/parent/reload.h"
#include "proxy/parent/sockfile.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum {
	BACKLOG = 4096, /* the kernel caps it by net.core.somaxconn */
	/* a vanished client is noticed within about ten minutes */
	KEEPALIVE_IDLE_S = 300,
	KEEPALIVE_INTERVAL_S = 60,
	KEEPALIVE_PROBES = 5,
};

/* ---- addresses ---- */

static const void *ip_of(const struct addr *a, size_t *n)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->ss;
	const struct sockaddr_in *in = (const struct sockaddr_in *)&a->ss;

	*n = a->sa.sa_family == AF_INET6 ? sizeof in6->sin6_addr : sizeof in->sin_addr;
	return a->sa.sa_family == AF_INET6 ? (const void *)&in6->sin6_addr : (const void *)&in->sin_addr;
}

static in_port_t port_of(const struct addr *a)
{
	/* at the same place in both families */
	return ((const struct sockaddr_in *)&a->ss)->sin_port;
}

static bool is_any(const struct addr *a)
{
	static const uint8_t zeros[16];
	size_t n;
	const void *ip = ip_of(a, &n);

	return a->sa.sa_family != AF_UNIX && memcmp(ip, zeros, n) == 0;
}

/* Of a link-local address: which link. */
static uint32_t scope_of(const struct addr *a)
{
	return a->sa.sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)&a->ss)->sin6_scope_id : 0;
}

static bool addr_same(const struct addr *a, const struct addr *b)
{
	const void *ip_a, *ip_b;
	size_t n;

	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_UNIX)
		return a->len == b->len && memcmp(&a->un, &b->un, a->len) == 0;
	ip_a = ip_of(a, &n);
	ip_b = ip_of(b, &n);
	return port_of(a) == port_of(b) && memcmp(ip_a, ip_b, n) == 0 && scope_of(a) == scope_of(b);
}

static bool shares_port(const struct addr *a, const struct addr *b)
{
	return a->sa.sa_family == b->sa.sa_family && a->sa.sa_family != AF_UNIX && port_of(a) == port_of(b);
}

static void add_row(struct parent_conf *next, const struct conf_listener *l, const struct addr *a,
		    bool optional)
{
	if (next->nrows == next->cap) {
		next->cap = next->cap ? 2 * next->cap : 8;
		next->rows = base_realloc(next->rows, next->cap * sizeof *next->rows);
	}
	next->rows[next->nrows++] = (struct parent_row){ .addr = *a, .listener = l, .optional = optional };
}

static bool wants_family(const struct conf_listener *l, int family)
{
	return (family == AF_INET6 && !l->no_ipv6) || (family == AF_INET && !l->only_ipv6);
}

static void rows_of_all_addresses(struct parent_conf *next, const struct conf_listener *l)
{
	struct addr a;

	if (wants_family(l, AF_INET) && addr_from_ip(&a, STR("0.0.0.0"), l->port))
		add_row(next, l, &a, false);
	if (wants_family(l, AF_INET6) && addr_from_ip(&a, STR("::"), l->port))
		add_row(next, l, &a, wants_family(l, AF_INET));
}

struct interface_rows {
	struct parent_conf *next;
	const struct conf_listener *listener;
};

static void row_of_interface(void *arg, const struct addr *a)
{
	struct interface_rows *rows = arg;
	const struct conf_listener *l = rows->listener;
	struct addr with_port = *a;

	if (!wants_family(l, a->sa.sa_family))
		return;
	((struct sockaddr_in *)&with_port.ss)->sin_port = htons(l->port);
	add_row(rows->next, l, &with_port, true);
}

/* All addresses that it has now; listen_watch sees it when there are others. */
static void rows_of_interface(struct parent_conf *next, const struct conf_listener *l)
{
	struct interface_rows rows = { next, l };
	size_t before = next->nrows;

	iface_addresses(l->interface, row_of_interface, &rows);
	if (next->nrows == before)
		log_warn("interface \"%.*s\" does not exist or has no address: "
			 "not listening on %.*s until it has", STR_ARG(l->interface), STR_ARG(l->name));
}

static void rows_of(struct parent_conf *next, const struct conf_listener *l, struct conf_report *r)
{
	struct addr a;

	if (l->is_unix) {
		sockfile_check(l, r);
		if (addr_from_unix(&a, l->interface))
			add_row(next, l, &a, false);
		else
			conf_report_add(r, CONF_ERROR, l->pos, "use a shorter path",
					"a Unix socket's path has at most 107 bytes");
	} else if (l->interface.n == 0) {
		rows_of_all_addresses(next, l);
	} else if (addr_from_ip(&a, l->interface, l->port)) {
		add_row(next, l, &a, false);
	} else {
		rows_of_interface(next, l);
	}
}

/* ---- sockets ---- */

static void set(int fd, int level, int option, int value)
{
	/* none of these is worth failing for */
	if (setsockopt(fd, level, option, &value, sizeof value) < 0)
		log_debug("setsockopt %d/%d: %s", level, option, strerror(errno));
}

/* Connections inherit these from the listening socket: no system call each. */
static void set_options(int fd, int family)
{
	if (family == AF_UNIX)
		return;
	if (family == AF_INET6)
		set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
}

static bool own_sockets_share(struct parent *p, const struct addr *a, int allowed)
{
	bool any = false;

	list_for_each(n, &p->sockets) {
		struct parent_socket *s = list_entry(n, struct parent_socket, node);

		if (shares_port(&s->addr, a)) {
			set(s->fd, SOL_SOCKET, SO_REUSEPORT, allowed);
			any = true;
		}
	}
	return any;
}

/*
 * A reload that goes from one address of a port to all, or back, needs both for a moment. The kernel allows
 * it to sockets that say SO_REUSEPORT; they only do for that moment.
 */
static int bind_ip(struct parent *p, int fd, const struct addr *a)
{
	if (bind(fd, &a->sa, a->len) == 0)
		return 0;
	if (errno != EADDRINUSE || !own_sockets_share(p, a, 1))
		return errno;
	set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	return bind(fd, &a->sa, a->len) < 0 ? errno : 0;
}

/* An interface's address may not be usable yet (RFC 4862 section 5.4), and will be by itself. */
static void bind_early(int fd, int family)
{
	if (family == AF_INET6)
		set(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
	else
		set(fd, IPPROTO_IP, IP_FREEBIND, 1);
}

/* Returns the socket, or -errno. */
static int open_socket(struct parent *p, const struct addr *a, const struct conf_listener *l)
{
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	set_options(fd, a->sa.sa_family);
	if (iface_is_named(l))
		bind_early(fd, a->sa.sa_family);
	r = a->sa.sa_family == AF_UNIX ? sockfile_bind(fd, a, sockfile_owner_of(l)) : bind_ip(p, fd, a);
	if (r == 0 && listen(fd, BACKLOG) < 0)
		r = errno;
	if (a->sa.sa_family != AF_UNIX) {
		own_sockets_share(p, a, 0);
		set(fd, SOL_SOCKET, SO_REUSEPORT, 0);
	}
	if (r) {
		close(fd);
		return -r;
	}
	return fd;
}

/* One that listens already gets what ours have. */
static void adopt(int fd, int family)
{
	set_options(fd, family);
	if (listen(fd, BACKLOG) < 0)
		log_warn("the service manager's socket keeps its backlog: %s", strerror(errno));
}

static unsigned first_unprivileged_port(void)
{
	struct str text = STR_NONE;
	uint64_t port = 1024;
	unsigned mode;

	if (conf_read_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", 64, &text, &mode) == 0 &&
	    !str_to_u64(str_of(text.p, text.n ? text.n - 1 : 0), UINT16_MAX, &port))
		port = 1024;
	free((char *)text.p);
	return (unsigned)port;
}

static void say_why(struct conf_report *r, const struct conf_listener *l, const char *name, int e)
{
	const char *remedy = NULL;
	char text[120];

	if (e == EACCES && l->is_unix) {
		remedy = "the directory must be writable for who starts Gatehouse";
	} else if (e == EACCES) {
		snprintf(text, sizeof text,
			 "start as root or with CAP_NET_BIND_SERVICE, or use a port from %u on",
			 first_unprivileged_port());
		remedy = text;
	} else if (e == EPERM && l->is_unix) {
		remedy = "a parent that finds this key only at a reload cannot do it: restart Gatehouse";
	} else if (e == ENOTSOCK) {
		remedy = "something else lies at this path: move it away";
	} else if (e == EADDRINUSE) {
		remedy = "another program listens there: `ss -lntxp` says which";
	} else if (e == EADDRNOTAVAIL) {
		remedy = "no interface has this address: `ip address` lists them";
	}
	conf_report_add(r, CONF_ERROR, l->pos, remedy, "cannot listen on %s: %s", name, strerror(e));
}

static struct parent_socket *find_socket(struct parent *p, const struct addr *a)
{
	list_for_each(n, &p->sockets) {
		struct parent_socket *s = list_entry(n, struct parent_socket, node);

		if (addr_same(&s->addr, a))
			return s;
	}
	return NULL;
}

static struct parent_socket *add_socket(struct parent *p, int fd, const struct addr *a)
{
	struct parent_socket *s = base_zalloc(sizeof *s);

	s->id = ++p->socket_ids;
	s->fd = fd;
	s->addr = *a;
	addr_text(&a->sa, a->len, s->name, sizeof s->name);
	list_push(&p->sockets, &s->node);
	return s;
}

static struct parent_socket *socket_for(struct parent *p, const struct parent_row *row, const struct addr *a,
					struct conf_report *r)
{
	struct parent_socket *s = find_socket(p, a);
	char name[ADDR_TEXT_BYTES];
	bool given;
	int fd;

	if (s)
		return s;
	addr_text(&a->sa, a->len, name, sizeof name);
	fd = given_take(&p->given, a, row->listener->port);
	given = fd >= 0;
	if (given)
		adopt(fd, a->sa.sa_family);
	else
		fd = open_socket(p, a, row->listener);
	if (fd < 0 && row->optional && (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)) {
		log_note("no IPv6 here: not listening on %s", name);
		return NULL;
	}
	if (fd < 0) {
		say_why(r, row->listener, name, -fd);
		return NULL;
	}
	s = add_socket(p, fd, a);
	s->given = given;
	return s;
}

/* ---- rows ---- */

/* What a row's socket is to be bound to: all addresses, when another listener has that. */
static const struct addr *binding_of(const struct parent_conf *next, const struct parent_row *row)
{
	for (size_t i = 0; i < next->nrows; i++)
		if (is_any(&next->rows[i].addr) && shares_port(&next->rows[i].addr, &row->addr))
			return &next->rows[i].addr;
	return &row->addr;
}

static void refuse_twins(const struct parent_conf *next, struct conf_report *r)
{
	for (size_t i = 0; i < next->nrows; i++)
		for (size_t k = 0; k < i; k++) {
			const struct parent_row *a = &next->rows[i], *b = &next->rows[k];

			if (addr_same(&a->addr, &b->addr))
				conf_report_add(r, CONF_ERROR, a->listener->pos,
						"write the interface the same way",
						"\"%.*s\" and \"%.*s\" are the same address",
						STR_ARG(a->listener->name), STR_ARG(b->listener->name));
		}
}

bool listen_open(struct parent *p, struct parent_conf *next, struct conf_report *r)
{
	size_t kept = 0;

	p->interfaces = iface_signature(next->conf);
	for (size_t i = 0; i < next->conf->nlisteners; i++)
		rows_of(next, next->conf->listeners[i], r);
	refuse_twins(next, r);
	if (r->counts[CONF_ERROR])
		return false;
	for (size_t i = 0; i < next->nrows; i++)
		next->rows[i].socket = socket_for(p, &next->rows[i], binding_of(next, &next->rows[i]), r);
	if (r->counts[CONF_ERROR])
		return false;
	for (size_t i = 0; i < next->nrows; i++)
		if (next->rows[i].socket)
			next->rows[kept++] = next->rows[i];
	next->nrows = kept;
	return true;
}

static bool has_row(const struct parent_conf *conf, const struct parent_socket *s)
{
	for (size_t i = 0; i < conf->nrows; i++)
		if (conf->rows[i].socket == s)
			return true;
	return false;
}

static void close_socket(struct parent *p, struct parent_socket *s)
{
	struct msg_listener m = { s->id };

	list_for_each(n, &p->children) {
		struct child *c = list_entry(n, struct child, node);

		if (c->role == MSG_WORKER && c->last_socket >= s->id)
			msg_send(&c->channel, MSG_LISTENER_GONE, &m, sizeof m, -1);
	}
	if (!s->given && !s->lent && s->addr.sa.sa_family == AF_UNIX && s->addr.un.sun_path[0])
		unlink(s->addr.un.sun_path);
	list_del(&s->node);
	close(s->fd);
	free(s);
}

void listen_close_unused(struct parent *p)
{
	list_for_each_safe(n, tmp, &p->sockets) {
		struct parent_socket *s = list_entry(n, struct parent_socket, node);

		/* a lent one's file is to go with it, but not yet */
		if (!s->lent && !has_row(&p->current, s))
			close_socket(p, s);
	}
}

/* ---- from parent to parent ---- */

bool listen_inherit(struct parent *p, int fd, const struct addr *a, bool given)
{
	int listens = 0;
	socklen_t n = sizeof listens;
	struct parent_socket *s;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) < 0 || !listens)
		return false;
	s = add_socket(p, fd, a);
	s->given = given;
	s->lent = true;
	return true;
}

void listen_own(struct parent *p)
{
	list_for_each(n, &p->sockets)
		list_entry(n, struct parent_socket, node)->lent = false;
	listen_close_unused(p);
	listen_settle(p);
}

void listen_leave(struct parent *p)
{
	list_for_each(n, &p->sockets)
		list_entry(n, struct parent_socket, node)->lent = true;
	listen_close(p);
}

void listen_close(struct parent *p)
{
	p->current.nrows = 0;
	while (!list_empty(&p->sockets))
		close_socket(p, list_entry(p->sockets.next, struct parent_socket, node));
}

void listen_settle(struct parent *p)
{
	for (size_t i = 0; i < p->current.nrows; i++) {
		const struct parent_row *row = &p->current.rows[i];
		int e;

		if (row->addr.sa.sa_family != AF_UNIX || row->socket->given || row->socket->lent)
			continue;
		e = sockfile_settle(&row->addr, sockfile_owner_of(row->listener));
		if (e)
			log_warn("%s keeps its owner and mode: %s", row->socket->name, strerror(e));
	}
}

void listen_watch(struct parent *p)
{
	uint64_t now;

	if (p->state != PARENT_SERVING || p->reload.phase != RELOAD_IDLE)
		return;
	now = iface_signature(p->current.conf);
	if (now == p->interfaces)
		return;
	p->interfaces = now;
	log_note("interfaces have other addresses now");
	reload_start(p);
}

static void send_row(struct child *c, const struct parent_conf *conf, const struct parent_row *row)
{
	struct msg_address m = {
		.generation = conf->generation,
		.id = row->socket->id,
		.is_any = addr_same(&row->addr, &row->socket->addr),
	};
	size_t n;
	const void *ip = ip_of(&row->addr, &n);

	if (row->addr.sa.sa_family != AF_UNIX)
		memcpy(m.ip, ip, n);
	msg_send2(&c->channel, MSG_ADDRESS, &m, sizeof m, row->listener->name, -1);
}

void listen_send(struct child *c, const struct parent_conf *conf)
{
	uint32_t sent = c->last_socket;

	list_for_each(n, &c->parent->sockets) {
		struct parent_socket *s = list_entry(n, struct parent_socket, node);
		struct msg_listener m = { s->id };

		if (s->id <= sent || (s->lent && !has_row(conf, s)))
			continue;
		msg_send2(&c->channel, MSG_LISTENER, &m, sizeof m, str_from_c(s->name), s->fd);
		c->last_socket = s->id;
	}
	for (size_t i = 0; i < conf->nrows; i++)
		send_row(c, conf, &conf->rows[i]);
}
