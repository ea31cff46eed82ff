#include "h2/priv.h"
#include "core/log.h"

enum {
	READ_BYTES = 64 * 1024,
	READS_PER_TURN = 4,
	FREE_FRAMES = 1024, /* control frames that need no DATA: the first windows of many streams */
	EARNED_MAX = 65536,
	LINGER_MS = 1000, /* for the client to read GOAWAY and close: closing first could reset it away */
	FIRST_REQUEST_MS = 500, /* of a connection that came while the worker leaves */
};

/* What our other PINGs are for: told by their payload. */
static const uint8_t ping_alive[8] = "gh alive";
static const uint8_t ping_drain[8] = "gh drain";

/* ---- the end of a connection ---- */

static void set_state(struct h2c *c, enum h2c_state state)
{
	/* forward only; an error may come at any time */
	BUG_ON(state <= c->state);
	c->state = (uint8_t)state;
}

static void drop_input(struct h2c *c)
{
	free(c->rest);
	free(c->block.p);
	c->rest = NULL;
	c->block = (struct h2_block){0};
	c->rest_bytes = 0;
	c->held = false;
}

/* What comes is not looked at any more. What was said so far may take so long to leave, in all. */
static void begin_closing(struct h2c *c, uint64_t linger_ms)
{
	set_state(c, H2C_CLOSING);
	drop_input(c);
	c->preface_due_ms = c->ack_due_ms = c->rest_due_ms = c->idle_due_ms = c->pong_due_ms = 0;
	c->drain_due_ms = 0;
	c->linger_due_ms = h2_in_ms(linger_ms);
}

static void drop_streams(struct h2c *c, enum err why)
{
	list_for_each_safe (pos, tmp, &c->streams)
		h2s_drop(list_entry(pos, struct h2s, node), why);
}

static void bury(struct grave *g)
{
	free(container_of(g, struct h2c, grave));
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
	h2c_forget_windows(c);
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
	begin_closing(c, code == H2_ENHANCE_YOUR_CALM ? LINGER_MS : h2_timeouts(c)->linger_ms);
	if (!c->why)
		c->why = code == H2_ENHANCE_YOUR_CALM ? ERR_ABUSE : ERR_H2;
	drop_streams(c, c->why);
	send_goaway(c, code, why);
	h2c_wake(c);
}

void h2c_abort(struct h2c *c, enum err why)
{
	h2c_close(c, why);
}

/* Two steps (RFC 9113 section 6.8): requests that are under way now are still taken. */
static void announce_drain(struct h2c *c)
{
	c->drain_due_ms = 0;
	c->drain_announced = true;
	h2_write_goaway(&c->out, H2_MAX_WINDOW, H2_NO_ERROR, STR("shutting down"));
	h2_write_ping(&c->out, ping_drain, false);
	c->pong_due_ms = h2_in_ms(h2_timeouts(c)->ping_timeout_ms);
	h2c_wake(c);
}

/* A client that has just come would make nothing of a connection on which it may not even begin. */
void h2c_drain(struct h2c *c)
{
	if (c->state >= H2C_CLOSING || c->drain_announced || c->goaway_sent || c->drain_due_ms)
		return;
	if (c->last_id)
		announce_drain(c);
	else
		c->drain_due_ms = h2_in_ms(FIRST_REQUEST_MS);
	h2c_wake(c);
}

/* ---- abuse ---- */

static double full_budget(struct h2c *c)
{
	return (double)h2_limits(c)->abuse + (double)h2_limits(c)->h2_streams;
}

bool h2c_charge(struct h2c *c, enum h2_abuse what)
{
	static const struct {
		uint8_t cost;
		const char *text;
	} rows[] = {
#define X(name, cost, text) {cost, text},
		H2_ABUSE_TABLE(X)
#undef X
	};
	double refill = (double)(loop_now_ms() - c->abuse_ms) * H2_ABUSE_PER_S / 1000;

	c->abuse = MIN(c->abuse + refill, full_budget(c)) - rows[what].cost;
	c->abuse_ms = loop_now_ms();
	if (c->abuse >= 0)
		return true;
	if (c->state < H2C_CLOSING)
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

void h2c_earn(struct h2c *c, unsigned n)
{
	c->earned = MIN(c->earned + n, (uint32_t)EARNED_MAX);
}

void h2c_note_answer(struct h2c *c)
{
	c->abuse = MIN(c->abuse + 1, full_budget(c));
}

/* ---- PING answers ---- */

static void finish_drain(struct h2c *c)
{
	c->drain_announced = false;
	c->pong_due_ms = 0;
	send_goaway(c, H2_NO_ERROR, "shutting down");
}

void h2c_pong(struct h2c *c, const uint8_t opaque[8])
{
	if (!memcmp(opaque, H2_PING_MEASURE, 8) && h2c_measured(c))
		return;
	if (c->drain_announced && !memcmp(opaque, ping_drain, sizeof ping_drain))
		finish_drain(c);
	else if (memcmp(opaque, ping_alive, sizeof ping_alive) != 0)
		(void)!h2c_charge(c, H2_ABUSE_PING);
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

/*
 * What has come in part is waited for: anything but DATA for so long in all (half a field block among it),
 * DATA as long as it moves. What is held is not waited for.
 */
static void wait_for_rest(struct h2c *c)
{
	struct h2_frame f;

	if (c->held || c->state != H2C_OPEN || (!c->rest_bytes && !c->block.stream)) {
		c->rest_due_ms = 0;
		return;
	}
	if (!c->block.stream && c->rest_bytes >= H2_FRAME_HEADER_BYTES) {
		h2_frame_read(&f, c->rest);
		if (f.type == H2_DATA) {
			struct h2s *st = h2s_find(c, f.stream);

			if (st)
				h2s_wait_for_body(st);
			c->rest_due_ms = 0;
			return;
		}
	}
	if (!c->rest_due_ms)
		c->rest_due_ms = h2_in_ms(h2_timeouts(c)->request_head_ms);
}

static void use(struct h2c *c, const uint8_t *p, size_t n)
{
	size_t used = consume(c, p, n);

	keep_rest(c, p + used, n - used);
	wait_for_rest(c);
}

/* What is kept comes first, so that a frame is always contiguous. */
static uint8_t *take_rest(struct h2c *c)
{
	uint8_t *in = (uint8_t *)loop_scratch();

	BUG_ON(c->rest_bytes + READ_BYTES > LOOP_SCRATCH_BYTES);
	if (c->rest_bytes)
		memcpy(in, c->rest, c->rest_bytes);
	return in;
}

/* The client has gone; there is no half-closed connection in HTTP/2. Last words are tried once. */
static void input_has_ended(struct h2c *c, enum err why)
{
	if (why == ERR_OK && c->nstreams)
		why = ERR_GONE;
	if (!buf_len(&c->out) || h2_write_out(c))
		h2c_close(c, why);
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
		input_has_ended(c, (enum err) - r);
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

	if (h2_is_clogged(c) && stream_is_hup(s)) {
		h2c_close(c, ERR_GONE); /* it has ended, and does not read */
		return;
	}
	if (s->can & (STREAM_IN | STREAM_HUP))
		for (int i = 0; i < READS_PER_TURN && !h2_is_clogged(c) && read_some(c); i++)
			;
	h2c_wake(c);
}

void h2c_wake(struct h2c *c)
{
	if (c->state != H2C_CLOSED)
		loop_post(&c->flush);
}

/* ---- time ---- */

/* When to ask whether the client is still there; one that is asked already has its answer to give. */
static uint64_t ping_due_ms(struct h2c *c)
{
	return c->state < H2C_CLOSING && !c->pong_due_ms ? c->heard_ms + h2_timeouts(c)->ping_ms : 0;
}

static void arm(struct h2c *c)
{
	const uint64_t due[] = {c->preface_due_ms, c->ack_due_ms,  c->rest_due_ms,   c->idle_due_ms,
				c->write_due_ms,   c->pong_due_ms, c->linger_due_ms, ping_due_ms(c),
				c->drain_due_ms};
	uint64_t first = UINT64_MAX, now = loop_now_ms();

	for (size_t i = 0; i < ARRAY_SIZE(due); i++)
		if (due[i] && due[i] < first)
			first = due[i];
	if (first < UINT64_MAX)
		timer_set(&c->timer, first > now ? first - now : 0);
	else
		timer_stop(&c->timer);
}

static bool is_due(uint64_t due_ms)
{
	return due_ms && due_ms <= loop_now_ms();
}

void h2c_wait_for_reader(struct h2c *c)
{
	c->unacked_bytes = stream_unacked(c->s);
	c->write_due_ms = h2_in_ms(h2_timeouts(c)->write_ms);
}

/* A full socket takes nothing until a good part of it is free: the client may be slow, not stalled. */
static void check_reader(struct h2c *c)
{
	if (stream_unacked(c->s) < c->unacked_bytes)
		h2c_wait_for_reader(c);
	else
		h2c_close(c, ERR_WRITE_TIMEOUT);
}

/* Everything is written; what the stream still holds may leave slowly, as long as it moves. */
static void check_linger(struct h2c *c)
{
	size_t unsent = stream_unsent(c->s);

	if (!c->is_shut || !unsent) {
		h2c_close(c, c->why);
		return;
	}
	if (unsent != c->unsent_bytes) {
		c->unsent_bytes = unsent;
		c->write_due_ms = h2_in_ms(h2_timeouts(c)->write_ms);
	}
	c->linger_due_ms = h2_in_ms(LINGER_MS);
}

/* Time is up for something that does not end the connection at once. */
static void check_waits(struct h2c *c)
{
	if (is_due(c->pong_due_ms)) {
		finish_drain(c);
	} else if (is_due(c->ack_due_ms)) {
		h2c_fail(c, H2_SETTINGS_TIMEOUT, "SETTINGS were not acknowledged in time");
	} else if (is_due(c->rest_due_ms)) {
		h2c_fail(c, H2_PROTOCOL_ERROR, "timeouts.request-head ran out within a frame or field block");
	} else if (is_due(c->idle_due_ms)) {
		c->idle_due_ms = 0;
		c->why = ERR_KEEPALIVE_TIMEOUT;
		send_goaway(c, H2_NO_ERROR, "timeouts.h2-idle ran out");
	} else if (is_due(c->drain_due_ms)) {
		announce_drain(c);
	} else if (is_due(ping_due_ms(c))) {
		h2_write_ping(&c->out, ping_alive, false);
		c->pong_due_ms = h2_in_ms(h2_timeouts(c)->ping_timeout_ms);
	}
}

static void on_timer(struct timer *t)
{
	struct h2c *c = container_of(t, struct h2c, timer);

	if (is_due(c->write_due_ms))
		check_reader(c);
	else if (is_due(c->preface_due_ms))
		h2c_close(c, ERR_HEAD_TIMEOUT);
	else if (is_due(c->pong_due_ms) && !c->drain_announced)
		h2c_close(c, ERR_PING_TIMEOUT);
	else if (is_due(c->linger_due_ms))
		check_linger(c);
	else
		check_waits(c);
	h2c_wake(c);
}

/* Nothing will be sent any more. The client is given a moment to read it and to close first. */
static void shut(struct h2c *c)
{
	if (c->state < H2C_CLOSING)
		begin_closing(c, LINGER_MS);
	c->is_shut = true;
	c->linger_due_ms = h2_in_ms(LINGER_MS);
	stream_shutdown(c->s);
}

void h2c_settle(struct h2c *c)
{
	bool over = c->state == H2C_CLOSING || (c->goaway_sent && !c->nstreams);

	if (over && !buf_len(&c->out) && !c->is_shut)
		shut(c);
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
	if (c->owes_credit)
		h2c_credit(c);
	if (c->drain_due_ms && c->last_id)
		announce_drain(c);
	arm(c);
}

/* ---- the beginning ---- */

static void announce(struct h2c *c)
{
	const struct limits *l = h2_limits(c);
	/* RFC 8441's comes last: it is left out where WebSockets over HTTP/2 are switched off */
	const uint16_t ids[] = {H2_SETTING_MAX_CONCURRENT_STREAMS, H2_SETTING_INITIAL_WINDOW_SIZE,
				H2_SETTING_MAX_HEADER_LIST_SIZE, H2_SETTING_NO_RFC7540_PRIORITIES,
				H2_SETTING_ENABLE_CONNECT_PROTOCOL};
	const uint32_t values[] = {(uint32_t)MIN(l->h2_streams, (uint64_t)UINT32_MAX), c->recv_initial_window,
				   (uint32_t)MIN(l->request_head_bytes, (uint64_t)UINT32_MAX), 1, 1};

	h2_write_settings(&c->out, ids, values, ARRAY_SIZE(ids) - c->host->no_websocket_over_h2);
	c->ack_due_ms = h2_in_ms(h2_timeouts(c)->request_head_ms);
	c->preface_due_ms = h2_in_ms(h2_timeouts(c)->request_head_ms);
	h2c_credit(c);
}

static void init_streams(struct h2c *c)
{
	list_init(&c->streams);
	for (unsigned u = 0; u < H2_URGENCIES; u++)
		list_init(&c->ready[u]);
}

struct h2c *h2c_open(struct stream *s, struct host *host)
{
	struct h2c *c = base_zalloc(sizeof *c);

	_Static_assert(sizeof *c < 1600, "an idle connection is small");
	c->s = s;
	c->host = host;
	c->turn = UINT64_MAX;
	c->heard_ms = c->abuse_ms = loop_now_ms();
	c->abuse = full_budget(c);
	c->earned = FREE_FRAMES;
	timer_init(&c->timer, on_timer);
	work_init(&c->flush, h2_flush);
	init_streams(c);
	h2c_init_windows(c);
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
