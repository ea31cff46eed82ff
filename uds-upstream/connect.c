/*
 * connect.c - how a request gets its connection: a kept one that is still good, or a new one, under TLS where
 * the target wants it; or a place in the queue.
 */
#include "uds-upstream/priv.h"

static void note_try(struct up_conn *c, bool reused)
{
	struct x_facts *facts = &c->end.x->facts;

	facts->tries += !c->is_tried;
	c->is_tried = true;
	facts->upstream_reused = reused;
	facts->sent = facts->answered = false;
	c->reused = reused;
}

/* ---- a kept one ---- */

/* A read that filled all the memory it was given does not tell whether it was the last one. */
bool up_conn_is_quiet(const struct up_conn *c)
{
	struct stream *s = c->stream;
	char byte;

	return !stream_is_hup(s) && (!(s->can & STREAM_IN) || stream_read(s, &byte, 1) == -ERR_AGAIN);
}

/*
 * A kept connection that has anything to read, or an end, is not used: those bytes would be taken for the
 * answer, and what has ended takes no request. What the loop has not yet heard of costs a system call to
 * find out, which a request that may be sent again is not worth; neither is one over a Unix socket, where
 * the first write fails, having written nothing, when the other side has closed. TLS takes it all the same.
 */
static bool is_stale(const struct up_conn *c)
{
	char byte;

	if (!up_conn_is_quiet(c))
		return true;
	if ((c->target->is_local && !c->target->tls) || head_method_is_safe(c->request->method))
		return false;
	return recv(c->stream->ev.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ||
	       err_from_errno(errno) != ERR_AGAIN;
}

/* Leaves c with a kept stream that is fit for its request, if there is one. */
static bool find_kept(struct up_conn *c)
{
	struct up_conn *kept;

	for (;;) {
		if (c->stream && !is_stale(c))
			return true;
		up_conn_drop_stream(c);
		kept = up_pool_take(c->target);
		if (!kept)
			return false;
		c->stream = kept->stream;
		c->address = kept->address;
		kept->stream = NULL;
		up_conn_close(kept);
		up_pool_count(c);
	}
}

/* ---- a new one ---- */

/* It can carry the request. */
static void established(struct up_conn *c)
{
	struct x_facts *facts = &c->end.x->facts;
	struct up_stats *stats = &c->target->stats;

	facts->connect_us = loop_clock_us() - facts->begin_us;
	stats->connects++;
	up_stats_add(&stats->connect_us, &stats->connect_max_us,
		     facts->connect_us - MIN(facts->queue_us, facts->connect_us));
	up_queue_connected(c);
	up_conn_begin(c);
}

/* `detail` is for the log, or NULL. */
static void not_connected(struct up_conn *c, enum err why, const char *detail)
{
	c->target->stats.failures++;
	c->target->outage.sys_errno = c->dial.sys_errno;
	up_conn_drop_stream(c);
	up_pool_uncount(c);
	if (up_queue_failed(c, why, detail))
		return;
	log_info("%s: %s%s%s%s", c->target->name, err_text(why), detail ? " (" : "", detail ? detail : "",
		 detail ? ")" : "");
	up_conn_give_up(c, why);
}

static void not_dialled(struct up_conn *c, enum err why)
{
	not_connected(c, why, why == ERR_UP_UNREACHABLE ? strerror(c->dial.sys_errno) : NULL);
}

/* ---- TLS ---- */

void up_conn_tell_tls(const struct up_conn *c, const char *why)
{
	uint64_t unsaid;

	if (log_gate_pass(&c->target->tls_lines, loop_now_ms(), 1, &unsaid))
		log_warn("upstream %s: TLS: %s", c->target->name, why ? why : "no reason given");
}

/*
 * A server that goes away in the middle is not up, and is waited for. One that does not want us, or that we
 * do not want, is: it would be the same again.
 */
static void not_secured(struct up_conn *c, enum err why, const char *detail)
{
	char text[256];

	place_doubt(&c->target->place, c->address);
	if (why != ERR_TLS && why != ERR_UP_CERTIFICATE) {
		snprintf(text, sizeof text, "%s", detail); /* it goes with the stream */
		not_connected(c, ERR_UP_HANDSHAKE, text);
		return;
	}
	c->target->stats.failures++;
	up_conn_tell_tls(c, detail);
	up_queue_connected(c);
	up_conn_give_up(c, why == ERR_TLS ? ERR_UP_TLS : why);
}

static void secured(struct stream *s, enum err e, const char *why)
{
	struct up_conn *c = s->owner;

	if (e != ERR_OK) {
		not_secured(c, e, why);
		return;
	}
	c->target->stats.handshakes++;
	c->target->stats.resumed += tls_stream_facts(s)->resumed;
	established(c);
}

static void secure(struct up_conn *c)
{
	uint64_t now_ms = loop_now_ms();

	up_conn_enter(c, UP_SECURING);
	stream_own(c->stream, c, NULL);
	timer_set(&c->timer, c->dial_until_ms - MIN(now_ms, c->dial_until_ms));
	tls_connect(c->stream, c->target->tls, secured);
}

void up_conn_not_secured_in_time(struct up_conn *c)
{
	place_doubt(&c->target->place, c->address);
	not_connected(c, ERR_UP_CONNECT_TIMEOUT, "within the TLS handshake");
}

/* ---- dialling ---- */

static void connected(struct up_conn *c)
{
	c->stream = c->dial.stream;
	c->address = c->dial.address;
	if (c->target->tls)
		secure(c);
	else
		established(c);
}

static void dialled(struct dial *d, enum err e)
{
	struct up_conn *c = container_of(d, struct up_conn, dial);

	if (e == ERR_OK)
		connected(c);
	else
		not_dialled(c, e);
}

static void dial(struct up_conn *c)
{
	uint64_t connect_ms = up_queue_note_dial(c);
	enum err e;

	up_conn_enter(c, UP_DIALLING);
	note_try(c, false);
	c->dialled_ms = loop_now_ms();
	c->dial_until_ms = c->dialled_ms + connect_ms;
	up_pool_count(c);
	e = dial_start(&c->dial, &c->target->place, connect_ms, dialled);
	if (e == ERR_OK)
		connected(c);
	else if (e != ERR_AGAIN)
		not_dialled(c, e);
}

void up_conn_connect(struct up_conn *c, bool in_turn)
{
	bool is_next = in_turn || up_queue_is_passed(c->target);

	if ((c->stream || is_next) && !c->wants_new && find_kept(c)) {
		note_try(c, true);
		c->target->stats.reuses++;
		up_conn_begin(c);
	} else if (is_next && up_pool_admits(c->target, c->wants_new)) {
		dial(c);
	} else {
		up_queue_put(c);
	}
}
