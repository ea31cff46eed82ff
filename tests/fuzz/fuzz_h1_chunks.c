/*
 * Chunked bodies: whole, in pieces, and with data that bypasses the decoder they come to the same; what was
 * decoded, written as chunks through a stream that takes little at a time, decodes to the same again.
 */
#include "tests/fuzz/h1_pieces.h"

static const struct h1_limits limits = {
	.fields = 20,
	.trailers_bytes = 1000,
	.chunk_extensions_bytes = 500,
};
static const struct h1_limits generous = {.fields = 20, .trailers_bytes = 4000};

struct result {
	ssize_t used; /* or -enum err */
	struct h1_body body;
	struct buf data;
	struct arena arena;
};

static void result_fini(struct result *r)
{
	buf_fini(&r->data);
	arena_fini(&r->arena);
}

/* One step with in[at..end). */
static ssize_t step(struct result *r, const char *in, size_t at, size_t end, bool bypass)
{
	uint64_t direct = h1_body_direct(&r->body);
	struct str run = STR_NONE;
	char *copy;
	ssize_t used;

	if (bypass && direct > 0) {
		run = str_of(in + at, (size_t)MIN(direct, (uint64_t)(end - at)));
		h1_body_skip(&r->body, run.n);
		buf_put_str(&r->data, run);
		return (ssize_t)run.n;
	}
	copy = base_alloc(end - at);
	memcpy(copy, in + at, end - at);
	used = h1_body_decode(&r->body, copy, end - at, &run);
	BUG_ON(used > 0 && run.n > 0 && (run.n != (size_t)used || run.n > direct));
	if (run.n)
		buf_put_str(&r->data, run);
	free(copy);
	return used;
}

static void decode(struct result *r, const struct h1_limits *l, const char *in, size_t n, struct pieces *c)
{
	size_t at = 0, end = 0;

	*r = (struct result){.used = 0};
	buf_init(&r->data);
	arena_init(&r->arena);
	h1_body_init(&r->body, H1_REQUEST, H1_CHUNKED, 0, l, &r->arena);
	while (end < n && !r->body.done) {
		ssize_t used = 1;

		end += c ? pieces_next(c, n - end) : n;
		while (at < end && !r->body.done && used > 0) {
			used = step(r, in, at, end, c && pieces_next(c, 2) == 1);
			at += used > 0 ? (size_t)used : 0;
		}
		if (used < 0) {
			r->used = used;
			return;
		}
	}
	r->used = (ssize_t)at;
}

static void check_same_data(struct buf *a, struct buf *b)
{
	size_t n = buf_len(a);
	char *p = base_alloc(n + 1), *q = base_alloc(n + 1);

	BUG_ON(n != buf_len(b));
	buf_copy(a, p, n);
	buf_copy(b, q, n);
	BUG_ON(memcmp(p, q, n) != 0);
	free(p);
	free(q);
}

/* Writes data, which it drops, and trailers; pieces of it wait at once, and little is accepted at a time. */
static struct str encode(struct buf *data, const struct head *trailers, struct pieces *c)
{
	struct buf pipe, wire;
	struct h1_out o;
	struct str s;

	buf_init(&pipe);
	buf_init(&wire);
	h1_out_init(&o);
	h1_out_begin(&o, H1_CHUNKED, 0);
	while (!o.ended || !h1_out_is_empty(&o)) {
		struct iovec front[2], iov[8];
		size_t from_pipe, accepted = 0, max = pieces_next(c, 100), in_pipe = 0;
		int nfront, n;

		buf_move(&pipe, data, MIN(buf_len(data), pieces_next(c, 50) - 1));
		nfront = buf_peek(&pipe, SIZE_MAX, front, 2);
		for (int i = 0; i < nfront; i++)
			in_pipe += front[i].iov_len;
		n = h1_out_gather(&o, front, nfront, buf_len(data) == 0 && in_pipe == buf_len(&pipe),
				  trailers, iov, (int)(1 + pieces_next(c, 7)), &from_pipe);
		for (int i = 0; i < n && accepted < max; i++) {
			size_t part = MIN(iov[i].iov_len, max - accepted);

			buf_put(&wire, iov[i].iov_base, part);
			accepted += part;
		}
		buf_drop(&pipe, h1_out_sent(&o, accepted));
	}
	BUG_ON(buf_len(&pipe));
	h1_out_fini(&o);
	s = flat(&wire);
	return s;
}

static void check_written(struct result *r, struct pieces *c)
{
	const struct head *trailers = r->body.trailers.head;
	struct result again;
	struct buf data;
	struct str s;
	char *copy = base_alloc(buf_len(&r->data) + 1);

	buf_init(&data);
	buf_put(&data, copy, buf_copy(&r->data, copy, buf_len(&r->data)));
	free(copy);
	s = encode(&data, trailers->nfields ? trailers : NULL, c);
	decode(&again, &generous, s.p, s.n, c);
	BUG_ON(again.used < 0 || (size_t)again.used != s.n || !again.body.done);
	check_same_data(&r->data, &again.data);
	head_for_each(f, trailers)
	{
		const struct field *g = head_find_name(again.body.trailers.head, f->name);

		BUG_ON(!g || again.body.trailers.head->nfields > trailers->nfields);
	}
	free((char *)s.p);
	buf_fini(&data);
	result_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct pieces cuts = pieces_of(data, n);
	struct result whole, cut;

	decode(&whole, &limits, (const char *)data, n, NULL);
	decode(&cut, &limits, (const char *)data, n, &cuts);
	BUG_ON((whole.used < 0 || cut.used < 0) && whole.used != cut.used);
	if (whole.used >= 0) {
		BUG_ON(whole.used != cut.used || whole.body.done != cut.body.done);
		check_same_data(&whole.data, &cut.data);
	}
	if (whole.used >= 0 && whole.body.done) {
		check_same_fields(whole.body.trailers.head, cut.body.trailers.head);
		check_written(&whole, &cuts);
	}
	result_fini(&whole);
	result_fini(&cut);
	return 0;
}
