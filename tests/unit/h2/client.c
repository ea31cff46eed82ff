#include "tests/unit/h2/client.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

struct client client;

static const struct limits *host_limits(struct host *h)
{
	(void)h;
	return &client.limits;
}

static const struct timeouts *host_timeouts(struct host *h)
{
	(void)h;
	return &client.timeouts;
}

static void host_begin(struct host *h, struct exchange *x)
{
	(void)h;
	x->limits = &client.limits;
	x->timeouts = &client.timeouts;
	x->pipe[X_UP].cap = x->pipe[X_DOWN].cap = client.limits.pipe_bytes;
}

static void host_closed(struct host *h, enum err why)
{
	(void)h;
	client.c = NULL;
	client.closed_why = why;
}

static bool host_is_draining(struct host *h)
{
	(void)h;
	return client.draining;
}

static const struct host_ops host_ops = {
	host_limits, host_timeouts, host_begin, host_closed, host_is_draining,
};

/* Every request gets an up end of its own. */
static void route_head(struct end *e, struct head *h)
{
	struct test_end *up;

	if (h->kind != HEAD_REQUEST)
		return;
	assert_true(client.nups < CLIENT_UPS);
	up = &client.ups[client.nups++];
	test_end_init(up);
	x_attach(e->x, &up->e);
}

static void ignore(struct end *e)
{
	(void)e;
}

static void page_head(struct end *e, struct head *h)
{
	(void)h;
	x_head(e, test_response(e->x, (unsigned)err_status(test_router.last_abort)));
	x_end(e);
	x_leave(e);
}

static void page_abort(struct end *e, enum err why)
{
	(void)e;
	(void)why;
}

static const struct end_ops page_ops = {"page", page_head, ignore, ignore, page_abort};

static void route_abort(struct end *e, enum err why)
{
	struct end *page = arena_new(&e->x->arena, struct end);

	test_router.last_abort = why;
	page->ops = &page_ops;
	x_attach(e->x, page);
}

static const struct end_ops router_ops = {"router", route_head, ignore, ignore, route_abort};
static const struct x_router router = {.ops = &router_ops};

void client_send(const void *p, size_t n)
{
	while (n && client.c) {
		ssize_t r = write(client.fd, p, n);

		if (r < 0) {
			loop_turn(0);
			continue;
		}
		p = (const char *)p + r;
		n -= (size_t)r;
	}
}

void client_frame(uint8_t type, uint8_t flags, uint32_t stream, const void *p, size_t n)
{
	uint8_t header[H2_FRAME_HEADER_BYTES];

	h2_frame_header(header, (uint32_t)n, type, flags, stream);
	client_send(header, sizeof header);
	client_send(p, n);
}

size_t client_block(const char *fields, uint8_t *out, size_t cap)
{
	size_t n = 0;

	while (*fields) {
		const char *end = strchr(fields, '\n'), *sep = strstr(fields + 1, ": ");
		size_t name = (size_t)(sep - fields), value = (size_t)(end - sep) - 2;

		assert_true(sep && end && name < 127 && n + name + value + 8 < cap);
		out[n++] = 0x00;
		out[n++] = (uint8_t)name;
		memcpy(out + n, fields, name);
		n += name;
		if (value < 127) {
			out[n++] = (uint8_t)value;
		} else {
			out[n++] = 127;
			for (size_t left = value - 127;; left >>= 7) {
				out[n++] = (uint8_t)(left >= 128 ? left | 128 : left);
				if (left < 128)
					break;
			}
		}
		memcpy(out + n, sep + 2, value);
		n += value;
		fields = end + 1;
	}
	return n;
}

void client_headers(uint32_t stream, uint8_t flags, const char *fields)
{
	static uint8_t block[1 << 17];

	client_frame(H2_HEADERS, flags | H2_END_HEADERS, stream, block,
		     client_block(fields, block, sizeof block));
}

void client_get(uint32_t stream, const char *path)
{
	char fields[256];

	snprintf(fields, sizeof fields, ":method: GET\n:scheme: http\n:authority: test\n:path: %s\n", path);
	client_headers(stream, H2_END_STREAM, fields);
}

void client_window_update(uint32_t stream, uint32_t increment)
{
	uint8_t p[4] = {(uint8_t)(increment >> 24), (uint8_t)(increment >> 16), (uint8_t)(increment >> 8),
			(uint8_t)increment};

	client_frame(H2_WINDOW_UPDATE, 0, stream, p, sizeof p);
}

static enum err show_line(void *ctx, const struct hpack_line *l)
{
	size_t *len = ctx;
	int n = snprintf(client.head + *len, sizeof client.head - *len, "%.*s: %.*s\n", STR_ARG(l->name),
			 STR_ARG(l->value));

	*len += (size_t)n;
	return ERR_OK;
}

static void show_head(const uint8_t *p, size_t n)
{
	struct arena a;
	size_t len = 0;
	bool too_large;
	enum err e;

	arena_init(&a);
	client.head[0] = '\0';
	assert_true(hpack_decode(&client.decoder, p, n, &a, 65536, show_line, &len, &e, &too_large));
	arena_fini(&a);
}

static size_t word(size_t len, const struct h2_frame *f, const uint8_t *p)
{
	char *out = client.words + len;
	size_t cap = sizeof client.words - len;
	const char *end = f->flags & H2_END_STREAM ? ":END" : "";

	switch (f->type) {
	case H2_DATA:
		client.body_bytes += f->length;
		return (size_t)snprintf(out, cap, "DATA:%u:%u%s ", f->stream, f->length, end);
	case H2_HEADERS:
		if (f->flags & H2_END_HEADERS)
			show_head(p, f->length);
		return (size_t)snprintf(out, cap, "HEADERS:%u%s ", f->stream, end);
	case H2_RST_STREAM:
		return (size_t)snprintf(out, cap, "RST:%u:%s ", f->stream, h2_code_name(h2_get32(p)));
	case H2_GOAWAY:
		return (size_t)snprintf(out, cap, "GOAWAY:%u:%s ", h2_get32(p),
					h2_code_name(h2_get32(p + 4)));
	case H2_WINDOW_UPDATE: return (size_t)snprintf(out, cap, "UPDATE:%u:%u ", f->stream, h2_get32(p));
	case H2_SETTINGS:
	case H2_PING:
		return (size_t)snprintf(out, cap, "%s%s ", h2_type_name(f->type),
					f->flags & H2_ACK ? ":ACK" : "");
	}
	return (size_t)snprintf(out, cap, "%s:%u ", h2_type_name(f->type), f->stream);
}

static bool read_some(void)
{
	ssize_t r = read(client.fd, client.in + client.n, sizeof client.in - client.n);

	if (r == 0)
		client.eof = true;
	if (r > 0)
		client.n += (size_t)r;
	return r > 0;
}

static size_t take_words(size_t len)
{
	size_t at = 0;

	while (client.n - at >= H2_FRAME_HEADER_BYTES) {
		struct h2_frame f;

		h2_frame_read(&f, client.in + at);
		if (client.n - at < H2_FRAME_HEADER_BYTES + f.length)
			break;
		len += word(len, &f, client.in + at + H2_FRAME_HEADER_BYTES);
		assert_true(len < sizeof client.words - 64);
		at += H2_FRAME_HEADER_BYTES + f.length;
	}
	memmove(client.in, client.in + at, client.n - at);
	client.n -= at;
	return len;
}

/* One turn, waiting so long at most; appends what came to the words. Returns false when nothing did. */
static bool turn(int wait_ms, size_t *len)
{
	bool was_eof = client.eof, moved;

	loop_turn(wait_ms);
	moved = read_some();
	*len = take_words(*len);
	if (client.eof && !was_eof)
		*len += (size_t)snprintf(client.words + *len, sizeof client.words - *len, "CLOSED ");
	return moved;
}

static const char *end_words(size_t len)
{
	if (len)
		client.words[len - 1] = '\0';
	return client.words;
}

const char *client_words(void)
{
	size_t len = 0;

	client.words[0] = '\0';
	for (int quiet = 0; quiet < 3; quiet++)
		if (turn(0, &len))
			quiet = -1;
	return end_words(len);
}

const char *client_words_of_a_turn(void)
{
	size_t len = 0;

	client.words[0] = '\0';
	turn(0, &len);
	return end_words(len);
}

const char *client_words_until(const char *what)
{
	size_t len = 0;

	client.words[0] = '\0';
	for (uint64_t end_ms = loop_now_ms() + 5000; !strstr(client.words, what);) {
		if (loop_now_ms() >= end_ms)
			fail_msg("%s did not come, but: %s", what, client.words);
		turn(20, &len);
	}
	return end_words(len);
}

void client_init(void)
{
	memset(&client, 0, sizeof client);
	client.limits = limits_default;
	client.timeouts = timeouts_default;
}

void client_open(bool raw)
{
	int fd[2];

	client.host.ops = &host_ops;
	test_loop_open();
	x_set_router(&router);
	hpack_decoder_init(&client.decoder, HPACK_DEFAULT_TABLE_BYTES);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	client.fd = fd[1];
	client.c = h2c_open(stream_new(fd[0]), &client.host);
	if (raw)
		return;
	client_send(H2_PREFACE, H2_PREFACE_BYTES);
	client_frame(H2_SETTINGS, 0, 0, NULL, 0);
	client_frame(H2_SETTINGS, H2_ACK, 0, NULL, 0);
	client_words();
}

void client_close(void)
{
	close(client.fd);
	for (int i = 0; i < 4; i++)
		loop_turn(0);
	assert_null(client.c);
	for (unsigned i = 0; i < client.nups; i++) {
		if (client.ups[i].e.x)
			x_abort(&client.ups[i].e, ERR_UP_RESET);
		test_end_fini(&client.ups[i]);
	}
	hpack_decoder_fini(&client.decoder);
	test_loop_close();
}

void client_put(struct end *e, size_t bytes)
{
	static const char zeros[1 << 20];

	x_put(e, zeros, bytes);
}

void client_begin(unsigned up, size_t bytes)
{
	struct end *e = &client.ups[up].e;

	x_head(e, test_response(e->x, 200));
	if (bytes)
		client_put(e, bytes);
}

void client_answer(unsigned up, size_t bytes)
{
	client_begin(up, bytes);
	x_end(&client.ups[up].e);
	x_leave(&client.ups[up].e);
}

int client_setup(void **state)
{
	(void)state;
	client_init();
	client_open(false);
	return 0;
}

int client_setup_raw(void **state)
{
	(void)state;
	client_init();
	client_open(true);
	return 0;
}

int client_teardown(void **state)
{
	(void)state;
	client_close();
	return 0;
}
