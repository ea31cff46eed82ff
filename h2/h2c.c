#include "h2/priv.h"
#include "core/log.h"

enum {
	READ_BYTES = 64 * 1024,
	FREE_UPDATES = 1024, /* WINDOW_UPDATE frames that need no DATA: the first windows of many streams */
	LINGER_MS = 1000,    /* for the client to read GOAWAY and close: closing first could reset it away */
};

/* What our own PINGs are for: told by their payload. */
static const uint8_t ping_measure[8] = "gh width";
static const uint8_t ping_alive[8] = "gh alive";
static const uint8_t ping_drain[8] = "gh drain";

/* ---- the end of a connection ---- */

static void set_state(struct h2c *c, enum h2c_state state)
{
	/* forward only; an error may come at any time */
	BUG_ON(state <= c->state);
	c->state = state;
}

static void drop_streams(struct h2c *c, enum err why)
{
	list_for_each_safe(pos, tmp, &c->streams)
		h2s_drop(list_entry(pos, struct h2s, node), why);
}

static void bury(struct grave *g)
{
	free(container_of(g, struct h2c, grave));
}

static void drop_input(struct h2c *c)
{
	free(c->rest);
	free(c->block.p);
	c->rest = NULL;
	c->block.p = NULL;
	c->rest_bytes = 0;
}

void h2c_close(struct h2c *c, enum err why)
{
	if (c->state == H2C_CLOSED)
		return;
	if (!c->why)
		c->why = why;
	set_state(c, H2C_CLOSED);
	drop_streams(c, why ? why : ERR_GONE);
	drop_input(c);
	timer_stop(&c->timer);
	work_cancel(&c->flush);
	buf_fini(&c->out);
	hpack_decoder_fini(&c->decoder);
	hpack_encoder_fini(&c->encoder);
	stream_close(c->s);
	c->host->ops->closed(c->host, c->why);
	loop_bury(&c->grave, bury);
}

static void send_goaway(struct h2c *c, enum h2_code code, const char *why)
{
	h2_write_goaway(&c->out, c->last_id, code, str_from_c(why));
	c->goaway_sent = true;
}

void h2c_fail(struct h2c *c, enum h2_code code, const char *why)
{
	if (c->state >= H2C_CLOSING)
		return;
	log_info("h2: connection error %s: %s", h2_code_name(code), why);
	set_state(c, H2C_CLOSING);
	if (!c->why)
		c->why = code == H2_ENHANCE_YOUR_CALM ? ERR_ABUSE : ERR_H2;
	drop_streams(c, c->why);
	drop_input(c);
	send_goaway(c, code, why);
	h2c_wake(c);
}

void h2c_abort(struct h2c *c, enum err why)
{
	h2c_close(c, why);
}

void h2c_drain(struct h2c *c)
{
	if (c->state >= H2C_CLOSING || c->drain_announced || c->goaway_sent)
		return;
	/* two steps (RFC 9113 section 6.8): requests that are under way now are still taken */
	c->drain_announced = true;
	h2_write_goaway(&c->out, H2_MAX_WINDOW, H2_NO_ERROR, STR("shutting down"));
	h2_write_ping(&c->out, ping_drain, false);
	c->pong_due_ms = h2_in_ms(h2_timeouts(c)->ping_timeout_ms);
	h2c_wake(c);
}

/* ---- abuse ---- */

bool h2c_charge(struct h2c *c, enum h2_abuse what)
{
	static const struct {
		uint8_t cost;
		const char *text;
	} rows[] = {
#define X(name, cost, text) { cost, text },
		H2_ABUSE_TABLE(X)
#undef X
	};
	double full = (double)h2_limits(c)->abuse, refill = (double)(loop_now_ms() - c->abuse_ms);

	c->abuse = MIN(c->abuse + refill * H2_ABUSE_PER_S / 1000, full);
	c->abuse_ms = loop_now_ms();
	c->abuse -= rows[what].cost;
	if (c->abuse >= 0)
		return true;
	log_note("h2: limits.abuse is used up by %s", rows[what].text);
	h2c_fail(c, H2_ENHANCE_YOUR_CALM, rows[what].text);
	return false;
}

bool h2c_is_earned(struct h2c *c, enum h2_abuse what)
{
	if (!c->earned)
		return h2c_charge(c, what);
	c->earned--;
	return true;
}

/* ---- windows ---- */

static size_t stored_bytes(const struct h2c *c)
{
	size_t n = 0;

	list_for_each(pos, &c->streams) {
		const struct h2s *st = list_entry(pos, struct h2s, node);

		if (st->e.x)
			n += buf_len(&st->e.x->pipe[X_UP].b);
	}
	return n;
}

void h2c_credit(struct h2c *c)
{
	int64_t full = (int64_t)MAX(h2_limits(c)->h2_connection_buffer_bytes, (uint64_t)H2_INITIAL_WINDOW);

	full = MIN(full, (int64_t)H2_MAX_WINDOW);
	if (c->state >= H2C_CLOSING || full - c->recv_window < full / 2)
		return;
	if (stored_bytes(c) > h2_limits(c)->h2_connection_buffer_bytes || !slab_room())
		return;
	h2_write_window_update(&c->out, 0, (uint32_t)(full - c->recv_window));
	c->recv_window = full;
	h2c_wake(c);
}

void h2c_measure(struct h2c *c, size_t n)
{
	c->measured_bytes += n;
	if (c->measuring || c->recv_target >= h2_limits(c)->h2_connection_buffer_bytes ||
	    c->measured_bytes < c->recv_target / 2)
		return;
	c->measuring = true;
	c->measured_bytes = 0;
	h2_write_ping(&c->out, ping_measure, false);
	h2c_wake(c);
}

/* The measuring PING has come back. */
static void measured(struct h2c *c)
{
	if (c->measuring && c->measured_bytes * 3 >= c->recv_target * 2) {
		c->recv_target = MIN(2 * c->recv_target, h2_limits(c)->h2_connection_buffer_bytes);
		list_for_each(pos, &c->streams)
			h2s_credit(list_entry(pos, struct h2s, node));
	}
	c->measuring = false;
	c->measured_bytes = 0;
}

/* ---- PING answers ---- */

static void finish_drain(struct h2c *c)
{
	c->drain_announced = false;
	send_goaway(c, H2_NO_ERROR, "shutting down");
}

void h2c_pong(struct h2c *c, const uint8_t opaque[8])
{
	if (c->measuring && !memcmp(opaque, ping_measure, sizeof ping_measure)) {
		measured(c);
		return;
	}
	if (!c->pong_due_ms) {
		(void)!h2c_charge(c, H2_ABUSE_PING);
		return;
	}
	c->pong_due_ms = 0;
	if (c->drain_announced)
		finish_drain(c);
}

/* ---- bytes in ---- */

/* Returns bytes used; the rest is no complete frame. */
static size_t consume(struct h2c *c, const uint8_t *p, size_t n)
{
	const uint8_t *begin = p;

	if (c->state == H2C_PREFACE) {
		size_t k = MIN(n, (size_t)H2_PREFACE_BYTES);

		if (memcmp(p, H2_PREFACE, k) != 0) {
			h2c_fail(c, H2_PROTOCOL_ERROR, "no connection preface (RFC 9113 section 3.4)");
			return n;
		}
		if (n < H2_PREFACE_BYTES)
			return 0;
		set_state(c, H2C_SETTINGS);
		p += H2_PREFACE_BYTES;
		n -= H2_PREFACE_BYTES;
	}
	while (n >= H2_FRAME_HEADER_BYTES) {
		struct h2_frame f;

		c->held = h2_is_clogged(c);
		if (c->held)
			break;
		h2_frame_read(&f, p);
		if (f.length <= H2_MIN_MAX_FRAME_BYTES && n < H2_FRAME_HEADER_BYTES + f.length)
			break;
		if (c->state == H2C_SETTINGS) {
			if (f.type != H2_SETTINGS || f.flags & H2_ACK) {
				h2c_fail(c, H2_PROTOCOL_ERROR, "first frame is not SETTINGS");
				break;
			}
			c->preface_due_ms = 0;
			set_state(c, H2C_OPEN);
		}
		h2_on_frame(c, &f, p + H2_FRAME_HEADER_BYTES);
		if (c->state >= H2C_CLOSING)
			break;
		p += H2_FRAME_HEADER_BYTES + f.length;
		n -= H2_FRAME_HEADER_BYTES + f.length;
	}
	return (size_t)(p - begin);
}

static void keep_rest(struct h2c *c, const uint8_t *p, size_t n)
{
	free(c->rest);
	c->rest = NULL;
	c->rest_bytes = 0;
	if (!n || c->state >= H2C_CLOSING)
		return;
	c->rest = base_alloc(n);
	memcpy(c->rest, p, n);
	c->rest_bytes = n;
}

static void use(struct h2c *c, const uint8_t *p, size_t n)
{
	size_t used = consume(c, p, n);

	if (c->state != H2C_CLOSED)
		keep_rest(c, p + used, n - used);
}

/* What is kept comes first, so that a frame is always contiguous. */
static uint8_t *take_rest(struct h2c *c)
{
	uint8_t *in = (uint8_t *)loop_scratch();

	if (c->rest_bytes)
		memcpy(in, c->rest, c->rest_bytes);
	return in;
}

/* Returns false when nothing more is to be read now. */
static bool read_some(struct h2c *c)
{
	uint8_t *in = take_rest(c);
	size_t n = c->rest_bytes;
	ssize_t r;

	r = stream_read(c->s, in + n, READ_BYTES);
	if (r == -ERR_AGAIN)
		return false;
	if (r <= 0) {
		c->input_ended = true;
		h2c_close(c, r < 0 ? (enum err)-r : c->nstreams ? ERR_GONE : ERR_OK);
		return false;
	}
	if (c->state >= H2C_CLOSING)
		return true;
	c->heard_ms = loop_now_ms();
	if (!c->drain_announced)
		c->pong_due_ms = 0; /* whoever talks is alive */
	use(c, in, n + (size_t)r);
	return (size_t)r == READ_BYTES;
}

static void on_ready(struct stream *s)
{
	struct h2c *c = s->owner;

	if (s->can & (STREAM_IN | STREAM_HUP) && !h2_is_clogged(c))
		for (int i = 0; i < 4 && c->state != H2C_CLOSED && !h2_is_clogged(c) && read_some(c); i++)
			;
	if (c->state != H2C_CLOSED)
		h2c_wake(c);
}

void h2c_wake(struct h2c *c)
{
	if (c->state != H2C_CLOSED)
		loop_post(&c->flush);
}

/* ---- time ---- */

static uint64_t earliest(const struct h2c *c)
{
	const uint64_t due[] = { c->preface_due_ms, c->ack_due_ms, c->block_due_ms, c->idle_due_ms,
				 c->write_due_ms, c->pong_due_ms, c->linger_due_ms,
				 c->heard_ms + h2_timeouts(c)->ping_ms };
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < ARRAY_SIZE(due); i++)
		if (due[i] && due[i] < first)
			first = due[i];
	return first;
}

static void arm(struct h2c *c)
{
	uint64_t first = earliest(c), now = loop_now_ms();

	timer_set(&c->timer, first > now ? first - now : 0);
}

static void on_timer(struct timer *t)
{
	struct h2c *c = container_of(t, struct h2c, timer);
	uint64_t now = loop_now_ms();

#define IS_DUE(field) (c->field && c->field <= now)
	if (IS_DUE(write_due_ms)) {
		h2c_close(c, ERR_WRITE_TIMEOUT);
		return;
	}
	if (IS_DUE(preface_due_ms)) {
		h2c_close(c, ERR_HEAD_TIMEOUT);
		return;
	}
	if (IS_DUE(linger_due_ms)) {
		h2c_close(c, c->why);
		return;
	}
	if (IS_DUE(pong_due_ms) && c->drain_announced) {
		c->pong_due_ms = 0;
		finish_drain(c);
	} else if (IS_DUE(pong_due_ms)) {
		h2c_close(c, ERR_PING_TIMEOUT);
		return;
	} else if (IS_DUE(ack_due_ms)) {
		c->ack_due_ms = 0;
		h2c_fail(c, H2_SETTINGS_TIMEOUT, "SETTINGS were not acknowledged in time");
	} else if (IS_DUE(block_due_ms)) {
		c->block_due_ms = 0;
		h2c_fail(c, H2_PROTOCOL_ERROR, "timeouts.request-head ran out within a field block");
	} else if (IS_DUE(idle_due_ms)) {
		c->idle_due_ms = 0;
		c->why = ERR_KEEPALIVE_TIMEOUT;
		send_goaway(c, H2_NO_ERROR, "timeouts.h2-idle ran out");
	} else if (c->heard_ms + h2_timeouts(c)->ping_ms <= now && !c->pong_due_ms) {
		h2_write_ping(&c->out, ping_alive, false);
		c->pong_due_ms = now + h2_timeouts(c)->ping_timeout_ms;
		c->heard_ms = now;
	}
#undef IS_DUE
	h2c_wake(c);
}

void h2c_settle(struct h2c *c)
{
	bool over = c->state == H2C_CLOSING || (c->goaway_sent && !c->nstreams);

	if (over && !buf_len(&c->out) && !c->linger_due_ms) {
		if (c->state < H2C_CLOSING)
			set_state(c, H2C_CLOSING);
		c->linger_due_ms = h2_in_ms(LINGER_MS);
		stream_shutdown(c->s);
	}
	if (c->nstreams)
		c->idle_due_ms = 0;
	else if (!c->idle_due_ms && c->state == H2C_OPEN && !c->goaway_sent)
		c->idle_due_ms = h2_in_ms(h2_timeouts(c)->h2_idle_ms);
	/* frames that were held while output was clogged */
	if (c->held && !h2_is_clogged(c)) {
		c->held = false;
		use(c, take_rest(c), c->rest_bytes);
		h2c_wake(c);
	}
	arm(c);
}

/* ---- the beginning ---- */

static void announce(struct h2c *c)
{
	const struct limits *l = h2_limits(c);
	const uint16_t ids[] = { H2_SETTING_MAX_CONCURRENT_STREAMS, H2_SETTING_INITIAL_WINDOW_SIZE,
				 H2_SETTING_MAX_HEADER_LIST_SIZE, H2_SETTING_ENABLE_CONNECT_PROTOCOL,
				 H2_SETTING_NO_RFC7540_PRIORITIES };
	const uint32_t values[] = { (uint32_t)MIN(l->h2_streams, (uint64_t)UINT32_MAX),
				    c->recv_initial_window,
				    (uint32_t)MIN(l->request_head_bytes, (uint64_t)UINT32_MAX), 1, 1 };

	h2_write_settings(&c->out, ids, values, ARRAY_SIZE(ids));
	c->ack_due_ms = h2_in_ms(h2_timeouts(c)->request_head_ms);
	c->preface_due_ms = h2_in_ms(h2_timeouts(c)->request_head_ms);
	h2c_credit(c);
}

struct h2c *h2c_open(struct stream *s, struct host *host)
{
	struct h2c *c = base_zalloc(sizeof *c);

	c->s = s;
	c->host = host;
	c->peer_initial_window = H2_INITIAL_WINDOW;
	c->peer_max_frame = H2_MIN_MAX_FRAME_BYTES;
	c->send_window = c->recv_window = H2_INITIAL_WINDOW;
	c->recv_target = MIN(h2_limits(c)->pipe_bytes, (uint64_t)H2_MAX_WINDOW);
	c->recv_initial_window = (uint32_t)c->recv_target;
	c->heard_ms = c->abuse_ms = loop_now_ms();
	c->abuse = (double)h2_limits(c)->abuse;
	c->earned = FREE_UPDATES;
	timer_init(&c->timer, on_timer);
	work_init(&c->flush, h2_flush);
	list_init(&c->streams);
	for (unsigned u = 0; u < H2_URGENCIES; u++)
		list_init(&c->ready[u]);
	buf_init(&c->out);
	hpack_decoder_init(&c->decoder, HPACK_DEFAULT_TABLE_BYTES);
	hpack_encoder_init(&c->encoder);
	stream_own(s, c, on_ready);
	announce(c);
	if (host->ops->is_draining(host))
		h2c_drain(c);
	stream_want(s, STREAM_IN | STREAM_HUP);
	h2c_wake(c);
	return c;
}
