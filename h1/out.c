/*
 * out.c - a message on its way out: own bytes (head, chunk lines, trailers) around pieces of a pipe, in one
 * gathered write.
 */
#include "h1/priv.h"

/* What stands behind the data of a chunk; the last chunk is the tail of the same string. */
static const char closing[] = "\r\n0\r\n\r\n";
enum { CLOSES_CHUNK = 2, CLOSES_BODY = sizeof closing - 1 };

void h1_out_init(struct h1_out *o)
{
	*o = (struct h1_out){.framing = H1_NO_BODY, .ended = true};
	buf_init(&o->own);
}

void h1_out_fini(struct h1_out *o)
{
	buf_fini(&o->own);
}

void h1_out_begin(struct h1_out *o, enum h1_framing framing, uint64_t length)
{
	BUG_ON(o->in_chunk);
	o->framing = framing;
	o->left = framing == H1_LENGTH ? length : 0;
	o->ended = framing == H1_NO_BODY || (framing == H1_LENGTH && length == 0);
}

static void put_trailers(struct buf *out, const struct head *trailers)
{
	head_for_each(f, trailers)
	{
		buf_put_str(out, f->name);
		buf_put_str(out, STR(": "));
		buf_put_str(out, f->value);
		buf_put_str(out, STR("\r\n"));
	}
}

/*
 * Puts before the pipe's bytes what must go there: the line of a new chunk, or the last chunk when
 * nothing waits any more.
 */
static void open_chunk(struct h1_out *o, size_t waiting, bool at_end, const struct head *trailers)
{
	char line[24];
	int n;

	if (o->in_chunk || o->ended)
		return;
	if (waiting > 0) {
		n = snprintf(line, sizeof line, "%zx\r\n", waiting);
		buf_put(&o->own, line, (size_t)n);
		o->left = waiting;
		o->in_chunk = true;
	} else if (at_end) {
		buf_put_str(&o->own, STR("0\r\n"));
		if (trailers)
			put_trailers(&o->own, trailers);
		buf_put_str(&o->own, STR("\r\n"));
		o->ended = true;
	}
}

/* Appends pieces of the pipe, at most max bytes. Returns the number of pieces then. */
static int add_pieces(struct iovec *iov, int n, int cap, const struct iovec *pipe, int npipe, uint64_t max,
		      size_t *bytes)
{
	*bytes = 0;
	for (int i = 0; i < npipe && n < cap && *bytes < max; i++) {
		iov[n].iov_base = pipe[i].iov_base;
		iov[n].iov_len = (size_t)MIN((uint64_t)pipe[i].iov_len, max - *bytes);
		*bytes += iov[n++].iov_len;
	}
	return n;
}

int h1_out_gather(struct h1_out *o, const struct iovec *pipe, int npipe, bool at_end,
		  const struct head *trailers, struct iovec *iov, int cap, size_t *pipe_bytes)
{
	size_t waiting = 0;
	int n;

	for (int i = 0; i < npipe; i++)
		waiting += pipe[i].iov_len;
	if (o->framing == H1_CHUNKED)
		open_chunk(o, waiting, at_end, trailers);

	o->closing_bytes = 0;
	*pipe_bytes = 0;
	n = buf_peek(&o->own, SIZE_MAX, iov, cap);
	if (o->framing == H1_NO_BODY)
		return n;
	n = add_pieces(iov, n, cap, pipe, npipe, o->framing == H1_UNTIL_CLOSE ? UINT64_MAX : o->left,
		       pipe_bytes);
	if (o->framing == H1_UNTIL_CLOSE && at_end && waiting == 0)
		o->ended = true;
	if (o->in_chunk && *pipe_bytes == o->left && n < cap) {
		o->closing_bytes = at_end && *pipe_bytes == waiting && !trailers ? CLOSES_BODY : CLOSES_CHUNK;
		iov[n++] = (struct iovec){(char *)closing, o->closing_bytes};
	}
	return n;
}

size_t h1_out_sent(struct h1_out *o, size_t n)
{
	size_t own = MIN(n, buf_len(&o->own)), from_pipe = n - own, from_closing = 0;

	buf_drop(&o->own, own);
	if (o->framing == H1_UNTIL_CLOSE || o->framing == H1_NO_BODY)
		return from_pipe;
	if (from_pipe > o->left) {
		from_closing = (size_t)(from_pipe - o->left);
		from_pipe = (size_t)o->left;
	}
	BUG_ON(from_closing > o->closing_bytes);
	o->left -= from_pipe;
	if (o->left > 0)
		return from_pipe;
	if (o->framing == H1_LENGTH) {
		o->ended = true;
	} else if (o->in_chunk && o->closing_bytes) {
		buf_put(&o->own, closing + from_closing, o->closing_bytes - from_closing);
		o->in_chunk = false;
		o->ended = o->closing_bytes == CLOSES_BODY;
	}
	o->closing_bytes = 0;
	return from_pipe;
}

bool h1_out_is_empty(const struct h1_out *o)
{
	return buf_len(&o->own) == 0;
}
