#include "proxy/worker/conn.h"
#include "core/log.h"
#include "h1/h1s.h"
#include "h2/h2c.h"
#include "proxy/worker/greet.h"
#include "proxy/worker/route.h"
#include "proxy/worker/tables.h"
#include "tls/tls.h"

enum {
	PARTING_MS = 2000, /* for a client to read our last words before the close */
};

struct site *conn_site(const struct conn *c)
{
	return c->door->last ? c->door->last : site_current();
}

void conn_end(struct conn *c)
{
	greet_end(c);
	timer_stop(&c->timer);
	if (c->stream)
		stream_close(c->stream);
	if (c->tls)
		tls_listener_put(c->tls);
	c->ended(c);
	free(c);
}

/* ---- host of the protocol's connection ---- */

static struct conn *conn_of(struct host *h)
{
	return container_of(h, struct conn, host);
}

static const struct limits *limits(struct host *h)
{
	return site_limits(conn_site(conn_of(h)), &conn_of(h)->facts);
}

static const struct timeouts *timeouts(struct host *h)
{
	return site_timeouts(conn_site(conn_of(h)), &conn_of(h)->facts);
}

static void begin(struct host *h, struct exchange *x)
{
	route_begin(x, conn_site(conn_of(h)), &conn_of(h)->facts);
}

static void closed(struct host *h, enum err why)
{
	struct conn *c = conn_of(h);

	if (why != ERR_OK)
		log_info("%s: %s", c->facts.peer_host, err_text(why));
	c->h1 = NULL;
	c->h2 = NULL;
	conn_end(c);
}

static bool is_draining(struct host *h)
{
	return conn_of(h)->door->draining;
}

static const struct host_ops host_ops = { limits, timeouts, begin, closed, is_draining };

/* ---- plain HTTP on a TLS port ---- */

/* What still comes is read, so that the close is orderly and the client gets to read the answer. */
static void part(struct stream *s)
{
	ssize_t r = stream_read(s, loop_scratch(), LOOP_SCRATCH_BYTES);

	if (r == 0 || (r < 0 && r != -ERR_AGAIN))
		conn_end(s->owner);
}

static void parted(struct timer *t)
{
	conn_end(container_of(t, struct conn, timer));
}

static void take_leave(struct conn *c)
{
	stream_shutdown(c->stream);
	timer_stop(&c->timer);
	timer_init(&c->timer, parted);
	timer_set(&c->timer, PARTING_MS);
	stream_own(c->stream, c, part);
	stream_want(c->stream, STREAM_IN);
}

void conn_refuse_plain(struct conn *c)
{
	struct str answer = route_plain_on_tls();

	log_info("%s: %s", c->facts.peer_host, err_text(ERR_HTTP_ON_TLS));
	if (stream_write(c->stream, answer.p, answer.n) == (ssize_t)answer.n)
		take_leave(c);
	else
		conn_end(c);
}

/* ---- until the protocol is known ---- */

/* By what was agreed on, or by what the first bytes are. */
static void open_protocol(struct conn *c, bool is_h2)
{
	struct stream *s = c->stream;

	timer_stop(&c->timer);
	c->stream = NULL;
	if (is_h2) {
		const struct site_vhost *v = site_vhost(conn_site(c), &c->facts);

		c->host.no_websocket_over_h2 = v && !v->conf->websocket_over_h2;
		c->h2 = h2c_open(s, &c->host);
	} else {
		c->h1 = h1s_open(s, &c->host);
	}
}

static void timed_out(struct timer *t)
{
	struct conn *c = container_of(t, struct conn, timer);

	log_info("%s: %s", c->facts.peer_host, err_text(ERR_HANDSHAKE_TIMEOUT));
	conn_end(c);
}

static void shaken(struct stream *s, enum err e, const char *why)
{
	struct conn *c = s->owner;
	const struct tls_facts *f;

	if (e == ERR_HTTP_ON_TLS) {
		conn_refuse_plain(c);
	} else if (e == ERR_NO_CERTIFICATE) {
		if (admit_may_say(c->door->admit))
			log_warn("%s: TLS handshake for %.*s: %s (acme, ignore-missing-cert)",
				 c->facts.peer_host, STR_ARG(tls_stream_sni(s)), why);
		conn_end(c);
	} else if (e != ERR_OK) {
		log_info("%s: TLS handshake: %s", c->facts.peer_host, why ? why : err_text(e));
		conn_end(c);
	} else {
		f = tls_stream_facts(s);
		if (str_eq(f->alpn, TLS_ACME_PROTOCOL)) { /* RFC 8737 section 3: nothing comes after it */
			log_info("%s: a CA was shown whose %.*s is", c->facts.peer_host, STR_ARG(f->sni));
			take_leave(c);
			return;
		}
		c->facts.sni = f->sni;
		c->facts.client_ca = f->client_ca;
		c->facts.tls_version = (uint16_t)f->version;
		c->facts.tls_cipher = f->cipher;
		open_protocol(c, str_eq(f->alpn, STR("h2")));
	}
}

/* During the handshake the stream is TLS's own business. */
static void not_ready(struct stream *s)
{
	(void)s;
}

struct conn *conn_new(struct stream *s, struct door *d, void (*ended)(struct conn *c))
{
	struct conn *c = base_zalloc(sizeof *c);

	c->host.ops = &host_ops;
	c->door = d;
	c->ended = ended;
	c->stream = s;
	list_init(&c->greet.node);
	timer_init(&c->timer, timed_out);
	stream_own(s, c, not_ready);
	return c;
}

void conn_begin(struct conn *c)
{
	greet_begin(c);
}

void conn_shake(struct conn *c)
{
	struct site *s = conn_site(c);

	c->facts.tls = true;
	c->tls = tls_listener_get(site_listener_tls(site_listener(s, c->facts.listener)));
	timer_stop(&c->timer);
	timer_init(&c->timer, timed_out);
	timer_set(&c->timer, site_timeouts(s, &c->facts)->handshake_ms);
	tls_accept(c->stream, c->tls, shaken);
}

void conn_open_plain(struct conn *c, bool is_h2)
{
	open_protocol(c, is_h2);
}

/* ---- raw ---- */

static void raw_closed(void *owner)
{
	struct conn *c = owner;

	c->raw = NULL;
	conn_end(c);
}

static void tunnel_over(struct timer *t)
{
	raw_abort(container_of(t, struct conn, timer)->raw, ERR_DRAIN);
}

void conn_open_raw(struct conn *c)
{
	struct site *s = conn_site(c);
	const struct site_listener *l = site_listener(s, c->facts.listener);
	const struct raw_plan plan = {
		.target = l ? site_listener_onward(l) : NULL,
		.proxy_header = l && site_listener_raw(l)->proxy_header,
		.transparent = l && site_listener_raw(l)->transparent,
		.timeouts = site_timeouts(s, &c->facts),
		.closed = raw_closed,
		.owner = c,
	};
	struct stream *down = c->stream;

	if (!plan.target || !admit_raw(c->door->admit, &c->facts)) {
		conn_end(c);
		return;
	}
	timer_stop(&c->timer);
	timer_init(&c->timer, tunnel_over);
	if (c->door->draining)
		timer_set(&c->timer, site_config(s)->global.timeouts.drain_tunnels_ms);
	c->stream = NULL;
	raw_open(&c->raw, down, &c->facts, &plan);
}

void conn_drain(struct conn *c)
{
	if (c->h1)
		h1s_drain(c->h1);
	else if (c->h2)
		h2c_drain(c->h2);
	else if (c->raw)
		timer_set(&c->timer, site_config(conn_site(c))->global.timeouts.drain_tunnels_ms);
	else if (!c->facts.tls)
		greet_drain(c);
	/* one that shakes hands is told by is_draining */
}

void conn_cut(struct conn *c)
{
	if (c->h1)
		h1s_abort(c->h1, ERR_DRAIN);
	else if (c->h2)
		h2c_abort(c->h2, ERR_DRAIN);
	else if (c->raw)
		raw_abort(c->raw, ERR_DRAIN);
	else
		conn_end(c);
}
