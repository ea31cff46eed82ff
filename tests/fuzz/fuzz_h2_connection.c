/*
 * One whole HTTP/2 connection over a scripted stream: the client's bytes on one side, what upstreams tell and
 * take on the other, both as the input says, in pieces, with resets, and with as much room in the socket as
 * it says. After every step nothing may be stored beyond its bounds; at the end nothing may be left alive.
 *
 * Input: a byte of options (see begin), then commands: a byte each, with what they need behind it (see step).
 */
#include "h2/priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { UPS = 64, COMMANDS_MAX = 400, OUT_MAX = 512 * 1024 };

/* ---- the client's side: a stream that reads what was fed and writes as long as there is room ---- */

static struct wire {
	struct stream *s; /* NULL once closed */
	struct buf in;
	size_t room, piece; /* for writes; of one read or write */
	bool ended, broken, shut;
	uint8_t tail[H2_FRAME_HEADER_BYTES]; /* of a frame header that came in part */
	size_t ntail, left;                  /* of the frame that is coming */
} wire;

static void wire_update(void)
{
	unsigned can = 0;

	if (buf_len(&wire.in) || wire.ended || wire.broken)
		can |= STREAM_IN;
	if (wire.room || wire.broken)
		can |= STREAM_OUT;
	if (wire.ended || wire.broken)
		can |= STREAM_HUP;
	if (wire.broken)
		can |= STREAM_BROKEN;
	if (wire.s)
		stream_set_can(wire.s, can);
}

static ssize_t wire_readv(struct stream *s, const struct iovec *iov, int n)
{
	size_t k = n ? MIN(iov->iov_len, wire.piece) : 0;

	(void)s;
	if (wire.broken)
		return -ERR_RESET;
	k = buf_copy(&wire.in, iov->iov_base, k);
	buf_drop(&wire.in, k);
	wire_update();
	return k ? (ssize_t)k : wire.ended ? 0 : -ERR_AGAIN;
}

/* What the server says must be frames, and those as the table says. */
static void hear(const uint8_t *p, size_t n)
{
	while (n) {
		size_t part = MIN(n, wire.left);
		struct h2_frame f;
		enum h2_code code;

		wire.left -= part;
		p += part;
		n -= part;
		for (; n && !wire.left && wire.ntail < H2_FRAME_HEADER_BYTES; n--)
			wire.tail[wire.ntail++] = *p++;
		if (wire.ntail < H2_FRAME_HEADER_BYTES)
			continue;
		wire.ntail = 0;
		h2_frame_read(&f, wire.tail);
		BUG_ON(h2_frame_check(&f, H2_MIN_MAX_FRAME_BYTES, &code) != H2_OK);
		BUG_ON(f.type > H2_CONTINUATION || f.type == H2_PUSH_PROMISE || f.type == H2_PRIORITY);
		wire.left = f.length;
	}
}

static ssize_t wire_writev(struct stream *s, const struct iovec *iov, int n)
{
	size_t total = 0, max = MIN(wire.room, wire.piece);

	(void)s;
	BUG_ON(wire.shut);
	if (wire.broken)
		return -ERR_RESET;
	for (int i = 0; i < n && total < max; i++) {
		size_t k = MIN(iov[i].iov_len, max - total);

		hear(iov[i].iov_base, k);
		total += k;
	}
	wire.room -= total;
	wire_update();
	return total ? (ssize_t)total : -ERR_AGAIN;
}

static void wire_shutdown(struct stream *s)
{
	(void)s;
	wire.shut = true;
}

static void wire_fini(struct stream *s)
{
	(void)s;
	wire.s = NULL;
}

static const struct stream_ops wire_ops = {
	.name = "fuzz",
	.readv = wire_readv,
	.writev = wire_writev,
	.shutdown = wire_shutdown,
	.fini = wire_fini,
};

/* ---- the upstreams' side ---- */

struct up {
	struct end e;
	bool final, ended, holds;
};

static struct fuzz {
	struct host host;
	struct h2c *c; /* NULL once closed */
	struct limits limits;
	struct timeouts timeouts;
	struct up ups[UPS];
	unsigned nups;
	bool draining;
} fuzz;

static void up_take(struct up *u, size_t n)
{
	size_t fill = x_fill(&u->e);

	x_take(&u->e, MIN(n, fill));
}

static void up_head(struct end *e, struct head *h)
{
	(void)e;
	BUG_ON(h->kind != HEAD_REQUEST && h->kind != HEAD_TRAILERS);
	if (h->kind != HEAD_REQUEST)
		return;
	/* whoever writes it as HTTP/1.1 relies on this */
	BUG_ON(!h->method.n || !h->path.n || (h->path.p[0] != '/' && !str_eq(h->path, STR("*"))));
	BUG_ON(h->websocket != str_eq(h->method, STR("CONNECT")));
	head_for_each(f, h) {
		BUG_ON(!f->name.n || field_flags(f->id) & FIELD_HOP);
		for (size_t i = 0; i < f->value.n; i++)
			BUG_ON(f->value.p[i] == '\r' || f->value.p[i] == '\n' || !f->value.p[i]);
	}
}

static void up_data(struct end *e)
{
	struct up *u = container_of(e, struct up, e);

	if (!u->holds)
		up_take(u, SIZE_MAX);
}

static void up_room(struct end *e)
{
	(void)e;
}

static void up_abort(struct end *e, enum err why)
{
	(void)e;
	BUG_ON(why == ERR_OK);
}

static const struct end_ops up_ops = { "up", up_head, up_data, up_room, up_abort };

static struct head *response(struct exchange *x, unsigned status)
{
	struct head *h = head_new(&x->arena, status < 200 && status != 101 ? HEAD_INTERIM : HEAD_FINAL);

	h->status = (uint16_t)status;
	head_add(&x->arena, h, STR("X-Name"), STR("value"));
	head_add_id(&x->arena, h, FIELD_SET_COOKIE, STR("a=b"));
	return h;
}

static void page_head(struct end *e, struct head *h)
{
	(void)h;
	x_head(e, response(e->x, 400));
	x_end(e);
	x_leave(e);
}

static const struct end_ops page_ops = { "page", page_head, up_room, up_room, up_abort };

static void page(struct exchange *x)
{
	struct end *e = arena_new(&x->arena, struct end);

	e->ops = &page_ops;
	x_attach(x, e);
}

static void route_head(struct end *e, struct head *h)
{
	struct up *u;

	if (h->kind != HEAD_REQUEST)
		return;
	if (fuzz.nups == UPS) {
		page(e->x);
		return;
	}
	u = &fuzz.ups[fuzz.nups++];
	u->e.ops = &up_ops;
	x_attach(e->x, &u->e);
}

static void route_abort(struct end *e, enum err why)
{
	(void)why;
	if (!e->x->request) { /* a page is told the request; here is none to tell */
		e->x->request = e->x->request_up = head_new(&e->x->arena, HEAD_REQUEST);
	}
	page(e->x);
}

static const struct end_ops router_ops = { "router", route_head, up_room, up_room, route_abort };
static const struct x_router router = { .ops = &router_ops };

/* ---- host ---- */

static const struct limits *host_limits(struct host *h)
{
	(void)h;
	return &fuzz.limits;
}

static const struct timeouts *host_timeouts(struct host *h)
{
	(void)h;
	return &fuzz.timeouts;
}

static void host_begin(struct host *h, struct exchange *x)
{
	(void)h;
	x->limits = &fuzz.limits;
	x->timeouts = &fuzz.timeouts;
	x->pipe[X_UP].cap = x->pipe[X_DOWN].cap = fuzz.limits.pipe_bytes;
}

static void host_closed(struct host *h, enum err why)
{
	(void)h;
	(void)why;
	fuzz.c = NULL;
}

static bool host_is_draining(struct host *h)
{
	(void)h;
	return fuzz.draining;
}

static const struct host_ops host_ops = {
	host_limits, host_timeouts, host_begin, host_closed, host_is_draining,
};

/* ---- what holds after every step ---- */

static size_t check_stream(const struct h2c *c, const struct h2s *st)
{
	const struct pipe *p = &st->e.x->pipe[X_UP];
	int64_t most = (int64_t)MAX(p->cap, (size_t)H2_INITIAL_WINDOW);

	BUG_ON(h2s_find(c, st->id) != st || st->id > c->last_id);
	BUG_ON(st->send_window > H2_MAX_WINDOW || st->recv_window > H2_MAX_WINDOW);
	BUG_ON((int64_t)buf_len(&p->b) + st->recv_window > most && !p->dead);
	BUG_ON(st->local_ended && st->remote_ended);
	BUG_ON(st->local_ended && !list_empty(&st->ready));
	return buf_len(&p->b);
}

static void check(void)
{
	const struct h2c *c = fuzz.c;
	size_t stored = 0, heads = 0, most;
	uint32_t n = 0;

	if (!c)
		return;
	BUG_ON(c->send_window < 0 || c->send_window > H2_MAX_WINDOW);
	BUG_ON(c->state < H2C_CLOSING && (c->recv_window < 0 || c->recv_window > H2_MAX_WINDOW));
	BUG_ON(c->state >= H2C_CLOSING && c->rest_bytes);
	BUG_ON(buf_len(&c->out) > OUT_MAX || c->rest_bytes > LOOP_SCRATCH_BYTES);
	BUG_ON(c->last_id > c->seen_id || c->nstreams > fuzz.limits.h2_streams);
	list_for_each(pos, &c->streams) {
		const struct h2s *st = list_entry(pos, struct h2s, node);

		stored += check_stream(c, st);
		heads += st->head_bytes;
		n++;
	}
	BUG_ON(n != c->nstreams || heads != c->head_bytes);
	/* when the last credit was given no more than the buffer was stored, and one window came since */
	most = fuzz.limits.h2_connection_buffer_bytes;
	BUG_ON(stored > most + MAX(most + c->promised_bytes, (uint64_t)H2_INITIAL_WINDOW));
	BUG_ON(c->promised_bytes > fuzz.limits.h2_windows_bytes);
}

/* ---- commands ---- */

struct input {
	const uint8_t *p, *end;
};

static uint8_t take8(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

static uint32_t take32(struct input *in)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++)
		v = v << 8 | take8(in);
	return v;
}

static size_t take_bytes(struct input *in, size_t n, const uint8_t **p)
{
	n = MIN(n, (size_t)(in->end - in->p));
	*p = in->p;
	in->p += n;
	return n;
}

static void feed(const void *p, size_t n)
{
	if (wire.s)
		buf_put(&wire.in, p, n);
	wire_update();
}

static void feed_frame(uint8_t type, uint8_t flags, uint32_t stream, const void *p, size_t n)
{
	uint8_t header[H2_FRAME_HEADER_BYTES];

	h2_frame_header(header, (uint32_t)n, type, flags, stream);
	feed(header, sizeof header);
	feed(p, n);
}

/* A request whose lines are all of the static table, but for authority and :protocol. */
static void feed_request(struct input *in)
{
	static const uint8_t get[] = "\x82\x86\x84\x41\x01x", post[] = "\x83\x86\x84\x41\x01x",
			     connect[] = "\x02\x07"
					 "CONNECT"
					 "\x00\x09:protocol\x09websocket"
					 "\x86\x84\x41\x01x";
	uint8_t what = take8(in), id = take8(in), flags = H2_END_HEADERS | (what & 0x80 ? H2_END_STREAM : 0);

	switch (what & 3) {
	case 0:
		feed_frame(H2_HEADERS, flags, id, get, sizeof get - 1);
		break;
	case 1:
		feed_frame(H2_HEADERS, flags, id, connect, sizeof connect - 1);
		break;
	default:
		feed_frame(H2_HEADERS, flags, id, post, sizeof post - 1);
	}
}

static void feed_any_frame(struct input *in)
{
	uint8_t type = take8(in), flags = take8(in), id = take8(in);
	const uint8_t *p;
	size_t n = take_bytes(in, take8(in), &p);

	feed_frame(type, flags, id, p, n);
}

static void feed_data(struct input *in)
{
	static const uint8_t zeros[H2_MIN_MAX_FRAME_BYTES];
	uint8_t id = take8(in), size = take8(in), flags = take8(in);

	feed_frame(H2_DATA, flags & (H2_END_STREAM | H2_PADDED), id, zeros, (size_t)size * 64);
}

static void feed_number(struct input *in)
{
	uint8_t type = take8(in), id = take8(in);
	uint32_t v = take32(in);
	uint8_t p[6] = { 0, id, (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

	if (type & 1)
		feed_frame(H2_SETTINGS, 0, 0, p, sizeof p);
	else
		feed_frame(type & 2 ? H2_RST_STREAM : H2_WINDOW_UPDATE, 0, id, p + 2, 4);
}

static void up_tell(struct input *in)
{
	uint8_t which = take8(in), what = take8(in), size = take8(in);
	struct up *u = &fuzz.ups[which % UPS];
	struct exchange *x = u->e.x;
	static const uint8_t zeros[256 * 512];
	size_t n = (size_t)size * 512;

	if (!x)
		return;
	switch (what % 8) {
	case 0:
		if (u->final)
			break;
		u->final = true;
		if (x->request->websocket && size & 1)
			x_open_tunnel(&u->e);
		x_head(&u->e, response(x, x->tunnel ? 101 : size & 2 ? 204 : 200));
		break;
	case 1:
		if (!u->final)
			x_head(&u->e, response(x, 103));
		break;
	case 2:
	case 3:
		n = x_room(&u->e, n);
		if (u->final && !u->ended)
			x_put(&u->e, zeros, n);
		break;
	case 4:
		if (!u->final || u->ended)
			break;
		if (size & 1 && !x->tunnel)
			x_head(&u->e, head_new(&x->arena, HEAD_TRAILERS));
		u->ended = true;
		x_end(&u->e);
		if (!x->tunnel || size & 2)
			x_leave(&u->e);
		break;
	case 5:
		x_abort(&u->e, ERR_UP_RESET);
		break;
	case 6:
		u->holds = size & 1;
		break;
	default:
		up_take(u, n);
	}
}

static void step(struct input *in)
{
	uint8_t command = take8(in);
	const uint8_t *p;
	size_t n;

	switch (command % 16) {
	case 0:
		n = take_bytes(in, take8(in), &p);
		feed(p, n);
		break;
	case 1:
	case 2:
		feed_request(in);
		break;
	case 3:
		feed_any_frame(in);
		break;
	case 4:
	case 5:
		feed_data(in);
		break;
	case 6:
		feed_number(in);
		break;
	case 7:
	case 8:
	case 9:
		up_tell(in);
		return; /* the turn comes later */
	case 10:
		wire.room += (size_t)take8(in) * 1024;
		wire_update();
		break;
	case 11:
		wire.piece = 1 + ((size_t)1 << take8(in) % 20);
		break;
	case 12:
		if (fuzz.c)
			h2c_drain(fuzz.c);
		break;
	case 13:
		wire.ended = take8(in) == 0xed;
		wire_update();
		break;
	case 14:
		wire.broken = take8(in) == 0xbe;
		wire_update();
		break;
	default:
		return; /* several commands in one turn */
	}
	loop_turn(0);
}

static void begin(uint8_t options)
{
	memset(&fuzz, 0, sizeof fuzz);
	memset(&wire, 0, sizeof wire);
	fuzz.limits = limits_default;
	fuzz.timeouts = timeouts_default;
	if (options & 1)
		fuzz.limits.pipe_bytes = 4096;
	if (options & 2)
		fuzz.limits.h2_connection_buffer_bytes = 100000;
	if (options & 4)
		fuzz.limits.h2_streams = 3;
	if (options & 8)
		fuzz.limits.abuse = 100000;
	if (options & 16)
		fuzz.limits.request_body_bytes = 20000;
	fuzz.draining = options & 32;
	fuzz.host.no_websocket_over_h2 = options & 64;
	fuzz.host.ops = &host_ops;
	BUG_ON(loop_open() < 0);
	x_set_router(&router);
	buf_init(&wire.in);
	wire.room = wire.piece = SIZE_MAX / 2;
	wire.s = stream_new_scripted(&wire_ops, NULL);
	fuzz.c = h2c_open(wire.s, &fuzz.host);
	wire_update();
	if (options & 128)
		return;
	feed(H2_PREFACE, H2_PREFACE_BYTES);
	feed_frame(H2_SETTINGS, 0, 0, NULL, 0);
	feed_frame(H2_SETTINGS, H2_ACK, 0, NULL, 0);
	loop_turn(0);
}

static void finish(void)
{
	wire.ended = true;
	wire.piece = SIZE_MAX;
	wire_update();
	for (int i = 0; i < 64 && fuzz.c; i++) {
		loop_turn(0);
		check();
	}
	BUG_ON(fuzz.c || wire.s);
	for (unsigned i = 0; i < fuzz.nups; i++)
		if (fuzz.ups[i].e.x)
			x_abort(&fuzz.ups[i].e, ERR_UP_RESET);
	for (int i = 0; i < 4; i++)
		loop_turn(0);
	buf_fini(&wire.in);
	BUG_ON(x_count() || stream_count() || slab_count());
	loop_close();
	arena_drop_spares();
	slab_drop_spares();
	timer_close();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct input in = { data, data + n };

	begin(take8(&in));
	for (int i = 0; i < COMMANDS_MAX && in.p < in.end; i++) {
		step(&in);
		check();
	}
	finish();
	return 0;
}
