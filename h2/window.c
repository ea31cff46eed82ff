#include "h2/priv.h"

/*
 * What the client may send. Each connection has limits.h2-connection-buffer for sure; windows that a long and
 * fast way needs beyond that are promised out of the worker's budget.
 */
enum {
	GROWTH_MIN = 2,     /* of a window, in one round trip */
	GROWTH_MAX = 8,
};

static uint64_t own_buffer(struct h2c *c)
{
	return MIN(h2_limits(c)->h2_connection_buffer_bytes, (uint64_t)H2_MAX_WINDOW);
}

static size_t stored_bytes(const struct h2c *c)
{
	size_t n = 0;

	list_for_each (pos, &c->streams) {
		const struct h2s *st = list_entry(pos, struct h2s, node);

		if (st->e.x)
			n += buf_len(&st->e.x->pipe[X_UP].b);
	}
	return n;
}

/* Whoever takes from a pipe makes room: each stream that stores bytes is to tell when it has. */
static void ask_for_room(struct h2c *c)
{
	list_for_each (pos, &c->streams)
		x_room(&list_entry(pos, struct h2s, node)->e, SIZE_MAX);
}

/* An upstream that does not keep up needs no wide windows: what is promised and was not used goes back. */
static void unpromise(struct h2c *c, uint64_t own, uint64_t stored)
{
	uint64_t used = (uint64_t)c->recv_window + stored; /* more than its own */
	size_t needed = (size_t)MIN(used - own, (uint64_t)c->promised_bytes);

	slab_unpromise(c->promised_bytes - needed);
	c->promised_bytes = needed;
	c->recv_target = MIN(c->recv_target, own + needed);
}

/* While more is stored than its own buffer nothing is given: so what is promised is never exceeded. */
void h2c_credit(struct h2c *c)
{
	uint64_t own = own_buffer(c), buffer = MIN(own + c->promised_bytes, (uint64_t)H2_MAX_WINDOW), stored;
	int64_t full = MAX((int64_t)buffer, (int64_t)H2_INITIAL_WINDOW);

	c->owes_credit = false;
	if (c->state >= H2C_CLOSING || full - c->recv_window < full / H2_CREDIT_SHARE)
		return;
	if (!slab_room()) {
		slab_wait(&c->memory);
		return;
	}
	stored = stored_bytes(c);
	if (stored > own) {
		unpromise(c, own, stored);
		c->owes_credit = true;
		ask_for_room(c);
		return;
	}
	h2_write_window_update(&c->out, 0, (uint32_t)(full - c->recv_window));
	c->recv_window = full;
	h2c_wake(c);
}

static void memory_woken(struct slab_waiter *w)
{
	h2c_credit(container_of(w, struct h2c, memory));
}

/* ---- growth with the bandwidth-delay product ---- */

/*
 * A window of `want` bytes as far as it may be: up to its own buffer; beyond that what is promised, where the
 * upstream keeps up and a wider window helps, because the sender is through with the one it has in the
 * shortest round trip. What longer ones brought waited somewhere on the way, and more would wait there.
 */
static uint64_t allowed(struct h2c *c, uint64_t want, bool helps)
{
	uint64_t have = own_buffer(c) + c->promised_bytes;

	want = MIN(want, (uint64_t)H2_MAX_WINDOW);
	if (want > have && helps && stored_bytes(c) <= c->recv_target / 2) {
		size_t more = slab_promise(want - have, h2_limits(c)->h2_windows_bytes);

		c->promised_bytes += more;
		have += more;
	}
	return MIN(want, have);
}

static void grow(struct h2c *c, uint64_t times, bool helps)
{
	uint64_t target = allowed(c, c->recv_target * MIN(times, (uint64_t)GROWTH_MAX), helps);

	c->measured.bytes = 0;
	if (target <= c->recv_target)
		return;
	c->recv_target = target;
	h2c_credit(c);
	list_for_each (pos, &c->streams)
		h2s_credit(list_entry(pos, struct h2s, node));
}

static void begin_to_measure(struct h2c *c)
{
	c->measured.bytes = 0;
	c->measured.ping_ms = loop_now_ms();
	h2_write_ping(&c->out, (const uint8_t *)H2_PING_MEASURE, false);
	h2c_wake(c);
}

/*
 * A sender that filled half of a window in a part of a round trip had to wait for credit in the rest of it.
 * That is known as soon as it has, once the round trip is. A PING now and then is enough for small bodies.
 */
void h2c_measure(struct h2c *c, size_t n)
{
	uint64_t half = c->recv_target / 2, took_ms;

	if (c->state != H2C_OPEN || c->recv_target >= H2_MAX_WINDOW)
		return;
	if (!c->measured.bytes)
		c->measured.begin_ms = loop_now_ms();
	c->measured.bytes += n;
	took_ms = MAX(loop_now_ms() - c->measured.begin_ms, (uint64_t)1);
	if (c->measured.bytes - n < half && c->measured.bytes >= half)
		c->measured.half_ms = took_ms;
	if (c->measured.bytes >= half && c->measured.least_ms >= GROWTH_MIN * took_ms)
		grow(c, c->measured.least_ms / took_ms, true);
	else if (!c->measured.ping_ms && c->measured.bytes >= half / 2)
		begin_to_measure(c);
}

/*
 * One that filled half of it in the whole round trip may have had to wait: with twice as much it need not.
 * And that round trip tells how long the half took.
 */
bool h2c_measured(struct h2c *c)
{
	uint64_t trip_ms = MAX(loop_now_ms() - c->measured.ping_ms, (uint64_t)1), least_ms;
	uint64_t bytes = c->measured.bytes, half = c->recv_target / 2;

	if (!c->measured.ping_ms)
		return false;
	c->measured.ping_ms = 0;
	least_ms = c->measured.least_ms ? MIN(c->measured.least_ms, trip_ms) : trip_ms;
	c->measured.least_ms = least_ms;
	c->measured.bytes = 0;
	if (bytes >= half)
		grow(c, MAX(least_ms / c->measured.half_ms, (uint64_t)GROWTH_MIN),
		     bytes * least_ms / trip_ms >= half);
	return true;
}

/* ---- beginning and end ---- */

void h2c_init_windows(struct h2c *c)
{
	c->peer_initial_window = H2_INITIAL_WINDOW;
	c->send_window = c->recv_window = H2_INITIAL_WINDOW;
	c->recv_target = MIN(h2_limits(c)->pipe_bytes, (uint64_t)H2_MAX_WINDOW);
	c->recv_initial_window = (uint32_t)c->recv_target;
	list_init(&c->memory.node);
	c->memory.woken = memory_woken;
}

void h2c_forget_windows(struct h2c *c)
{
	list_del(&c->memory.node);
	slab_unpromise(c->promised_bytes);
	c->promised_bytes = 0;
}
