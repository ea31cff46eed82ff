#include "proxy/worker/greet.h"
#include "core/log.h"
#include "h2/frame.h"
#include "proxy/worker/conn.h"
#include "proxy/worker/trust.h"
#include "raw-fallback/pp.h"
#include "raw-fallback/sniff.h"

enum { SILENT_MS = 1000 }; /* for a client that has said nothing when its listener or the worker goes */

/* What there is to choose from. */
struct choice {
	const struct conf_raw *raw;
	bool tls;
	bool fallback; /* what is neither TLS nor HTTP has somewhere to go */
};

static const struct conf_raw no_raw;

static struct choice choice_of(const struct conn *c)
{
	const struct site_listener *l = site_listener(conn_site(c), c->facts.listener);
	struct choice ch = { .raw = &no_raw };

	if (!l)
		return ch;
	ch.raw = site_listener_raw(l);
	ch.tls = site_listener_is_tls(l);
	ch.fallback = ch.raw->fallback && site_listener_onward(l);
	return ch;
}

static const struct timeouts *timeouts_of(const struct conn *c)
{
	return site_timeouts(conn_site(c), &c->facts);
}

/* ---- undecided ones ---- */

void greet_end(struct conn *c)
{
	if (list_empty(&c->greet.node))
		return;
	list_del(&c->greet.node);
	count_undecided_sub(c->door->admit->count);
}

/*
 * At the cap the oldest goes: whoever means it has spoken by then. All of the machine count; only one of this
 * worker's can be closed, and where it has none the new one is one too many.
 */
static void count(struct conn *c)
{
	struct admit *a = c->door->admit;
	uint64_t limit = site_config(site_current())->global.limits.undecided;
	unsigned n;

	while (!list_empty(&a->undecided) && (n = count_sum(a->count).undecided) >= limit) {
		struct conn *oldest = container_of(list_entry(a->undecided.next, struct greet, node),
						   struct conn, greet);

		if (admit_may_say(a))
			log_warn("%s: closed, one of %u connections of undecided protocol (limits.undecided)",
				 oldest->facts.peer_host, n);
		conn_end(oldest);
	}
	list_push(&a->undecided, &c->greet.node);
	count_undecided_add(a->count);
}

/* ---- the decision ---- */

static void go_raw(struct conn *c, const char *reason)
{
	greet_end(c);
	log_info("%s: raw: %s", c->facts.peer_host, reason);
	stream_peeked(c->stream);
	conn_open_raw(c);
}

static void go_http(struct conn *c, const struct choice *ch, enum sniff what)
{
	greet_end(c);
	if (!ch->tls || ch->raw->redirect_http || ch->raw->allow_http) {
		log_info("%s: %s by its first bytes%s", c->facts.peer_host, sniff_name(what),
			 !ch->tls		  ? ""
			 : ch->raw->redirect_http ? ", on a TLS port: redirected"
						  : ", on a TLS port: allowed");
		c->facts.to_https = ch->tls && ch->raw->redirect_http;
		stream_peeked(c->stream);
		conn_open_plain(c, what == SNIFF_H2);
	} else {
		conn_refuse_plain(c);
	}
}

static void go_tls(struct conn *c, const char *reason)
{
	greet_end(c);
	log_info("%s: TLS: %s", c->facts.peer_host, reason);
	stream_peeked(c->stream);
	conn_shake(c);
}

static void decide(struct conn *c, const struct choice *ch, enum sniff what)
{
	switch (what) {
	case SNIFF_HTTP:
	case SNIFF_H2:
		go_http(c, ch, what);
		return;
	case SNIFF_TLS:
		if (ch->tls) {
			go_tls(c, "a ClientHello");
			return;
		}
		break;
	case SNIFF_SSH:
	case SNIFF_RAW:
	case SNIFF_AGAIN:
		break;
	}
	if (ch->fallback)
		go_raw(c, what == SNIFF_SSH   ? "ssh by its first bytes"
			  : what == SNIFF_TLS ? "TLS on a port without"
					      : "neither TLS nor HTTP");
	else
		go_tls(c, "nothing else is there"); /* it will say so to the client */
}

/* What is on its way to TLS or HTTP has that protocol's time, counted from the connection's beginning. */
static void wait_for_more(struct conn *c, const struct choice *ch)
{
	const struct timeouts *t = timeouts_of(c);
	uint64_t now_ms = loop_now_ms(), due_ms = c->greet.since_ms + t->handshake_ms;

	if (c->greet.begun) /* in all: dripping does not extend it */
		return;
	c->greet.begun = true;
	timer_set(&c->timer, !ch->tls ? t->request_head_ms : due_ms > now_ms ? due_ms - now_ms : 0);
}

static void close_undecided(struct conn *c, const char *why)
{
	log_info("%s: closed: %s", c->facts.peer_host, why);
	conn_end(c);
}

/*
 * A listener for plain HTTP and nothing else: h2 with prior knowledge begins with its preface (RFC 9113
 * section 3.3), anything else is HTTP/1, whatever its method.
 */
static enum sniff look_for_preface(const char *bytes, size_t n)
{
	if (memcmp(bytes, H2_PREFACE, MIN(n, (size_t)H2_PREFACE_BYTES)) != 0)
		return SNIFF_HTTP;
	return n >= H2_PREFACE_BYTES ? SNIFF_H2 : SNIFF_AGAIN;
}

static void look(struct stream *s)
{
	struct conn *c = s->owner;
	struct choice ch = choice_of(c);
	bool only_http = !ch.tls && !ch.fallback;
	char bytes[SNIFF_BYTES];
	ssize_t n = stream_peek(s, bytes, sizeof bytes);
	enum sniff what;

	if (n == -ERR_AGAIN)
		return;
	if (n <= 0) {
		conn_end(c);
		return;
	}
	what = only_http ? look_for_preface(bytes, (size_t)n) : sniff_bytes(bytes, (size_t)n);
	if (what != SNIFF_AGAIN)
		decide(c, &ch, what);
	else if (!stream_is_hup(s)) /* peeking never shows the end */
		wait_for_more(c, &ch);
	else if (only_http)
		go_http(c, &ch, SNIFF_HTTP);
	else
		close_undecided(c, "ended within what could have become TLS or HTTP");
}

static void timed_out(struct timer *t)
{
	struct conn *c = container_of(t, struct conn, timer);
	struct choice ch = choice_of(c);
	enum err why = ch.tls || c->greet.header_due ? ERR_HANDSHAKE_TIMEOUT : ERR_HEAD_TIMEOUT;

	if (c->stream->can & STREAM_IN) /* it has just spoken: that comes next */
		timer_set(&c->timer, 1);
	else if (ch.tls && ch.fallback && !c->greet.begun && !c->greet.header_due &&
		 !c->door->draining && timeouts_of(c)->fallback_silence_ms) /* 0: never */
		go_raw(c, "silent (timeouts.fallback-silence)");
	else
		close_undecided(c, err_text(c->greet.begun || ch.tls ? why : ERR_KEEPALIVE_TIMEOUT));
}

static uint64_t first_byte_ms(const struct choice *ch, const struct timeouts *t)
{
	if (!ch->tls)
		return t->keepalive_ms;
	return ch->fallback && t->fallback_silence_ms ? t->fallback_silence_ms : t->handshake_ms;
}

/* Who is served in whatever way, once it is known who he is. */
static void begin(struct conn *c)
{
	struct choice ch = choice_of(c);

	if (!admit_address(c->door->admit, &c->facts, &c->address_hash)) {
		conn_end(c);
	} else if (ch.raw->only) {
		go_raw(c, "as every connection of this port");
	} else if (ch.tls && !ch.fallback && !ch.raw->redirect_http && !ch.raw->allow_http) {
		conn_shake(c);
	} else {
		count(c);
		timer_set(&c->timer, first_byte_ms(&ch, timeouts_of(c)));
		stream_own(c->stream, c, look);
		stream_want(c->stream, STREAM_IN);
		if (c->door->draining)
			greet_drain(c);
	}
}

/* ---- the PROXY header ---- */

static void use_header(struct conn *c, const struct pp *h)
{
	struct site_conn *f = &c->facts;

	if (h->is_local || h->src.ss_family == AF_UNSPEC)
		return;
	addr_end_set(&f->peer, (const struct sockaddr *)&h->src, sizeof h->src);
	addr_end_set(&f->local, (const struct sockaddr *)&h->dst, sizeof h->dst);
	addr_host(&f->peer.sa, f->peer_host, sizeof f->peer_host);
}

/* Exactly the header is taken away: what follows is looked at as if it had come first. */
static void read_header(struct stream *s)
{
	struct conn *c = s->owner;
	char bytes[PP_READ_MAX];
	struct pp h;
	ssize_t n = stream_peek(s, bytes, sizeof bytes), used;

	if (n == -ERR_AGAIN)
		return;
	used = n > 0 ? pp_read(bytes, (size_t)n, &h) : -1;
	if (used == 0 && !stream_is_hup(s))
		return;
	if (used <= 0) {
		close_undecided(c, "does not begin with a PROXY header (proxy-protocol)");
		return;
	}
	stream_peeked(s);
	if (stream_read(s, bytes, (size_t)used) != used) {
		conn_end(c);
		return;
	}
	c->greet.header_due = false;
	greet_end(c);
	use_header(c, &h);
	begin(c);
}

void greet_begin(struct conn *c)
{
	const struct conf_peers *proxies = &site_config(conn_site(c))->global.proxy_protocol;

	c->greet.since_ms = loop_now_ms();
	timer_init(&c->timer, timed_out);
	c->greet.header_due = trust_is_among(proxies, &c->facts.peer.sa);
	if (!c->greet.header_due) {
		begin(c);
		return;
	}
	count(c);
	timer_set(&c->timer, timeouts_of(c)->handshake_ms);
	stream_own(c->stream, c, read_header);
	stream_want(c->stream, STREAM_IN);
}

void greet_drain(struct conn *c)
{
	timer_set(&c->timer, SILENT_MS); /* its request may be on its way */
}
