/*
 * write.c - heads as strict HTTP/1.1, and what framing their bodies need.
 */
#include "h1/priv.h"

/*
 * Many short strings go to a buffer: they are laid into its free memory directly, and one that does not
 * fit there is appended.
 */
struct writer {
	struct buf *out;
	char *begin, *at, *end;
};

static void writer_open(struct writer *w, struct buf *out)
{
	struct iovec iov;
	int n = buf_space(out, SLAB_BYTES, &iov, 1);

	*w = (struct writer){.out = out};
	if (n == 1) {
		w->begin = w->at = iov.iov_base;
		w->end = w->begin + iov.iov_len;
	}
}

static void writer_close(struct writer *w)
{
	buf_commit(w->out, (size_t)(w->at - w->begin));
}

static void put(struct writer *w, struct str s)
{
	if (unlikely((size_t)(w->end - w->at) < s.n)) {
		writer_close(w);
		buf_put_str(w->out, s);
		writer_open(w, w->out);
	} else if (s.n) {
		memcpy(w->at, s.p, s.n);
		w->at += s.n;
	}
}

static void put_field(struct writer *w, struct str name, struct str value)
{
	put(w, name);
	put(w, STR(": "));
	put(w, value);
	put(w, STR("\r\n"));
}

static void put_length(struct writer *w, struct str name, int64_t length)
{
	char digits[24];
	int n = snprintf(digits, sizeof digits, "%lld", (long long)length);

	put_field(w, name, str_of(digits, (size_t)n));
}

/*
 * Fields in their order. A Content-Length is written where it stood, or behind the others, when `length`
 * is to be told; of Transfer-Encoding only our own is written.
 */
static void put_fields(struct writer *w, const struct head *h, bool tells_length, bool chunked)
{
	head_for_each(f, h)
	{
		if (f->id == FIELD_CONTENT_LENGTH) {
			if (tells_length)
				put_length(w, f->name, h->length);
			tells_length = false;
		} else if (f->id != FIELD_TRANSFER_ENCODING && f->id != FIELD_CONNECTION) {
			put_field(w, f->name, f->value);
		}
	}
	if (tells_length)
		put_length(w, STR("Content-Length"), h->length);
	if (chunked)
		put(w, STR("Transfer-Encoding: chunked\r\n"));
}

static void put_upgrade(struct writer *w)
{
	put(w, STR("Connection: upgrade\r\nUpgrade: websocket\r\n"));
}

void h1_write_request(struct buf *out, const struct head *h, enum h1_framing framing)
{
	struct writer w;

	BUG_ON(framing == H1_UNTIL_CLOSE); /* RFC 9112 section 6.3: no request can be */
	writer_open(&w, out);
	put(&w, h->method);
	put(&w, STR(" "));
	put(&w, h->path);
	put(&w, STR(" HTTP/1.1\r\n"));
	if (!head_find(h, FIELD_HOST)) /* from h2, or from an HTTP/1.0 client that told none */
		put_field(&w, STR("Host"), h->authority);
	put_fields(&w, h, framing == H1_LENGTH, framing == H1_CHUNKED);
	if (h->websocket)
		put_upgrade(&w);
	put(&w, STR("\r\n"));
	writer_close(&w);
}

void h1_write_response(struct buf *out, const struct head *h, enum h1_framing framing, bool keep_alive,
		       uint8_t client_minor)
{
	char line[] = "HTTP/1.1 000 ";
	bool may_tell_length = h->status >= 200 && h->status != 204; /* RFC 9110 section 8.6 */
	struct writer w;

	BUG_ON(h->status < 100 || h->status > 999);
	line[9] = (char)('0' + h->status / 100);
	line[10] = (char)('0' + h->status / 10 % 10);
	line[11] = (char)('0' + h->status % 10);

	writer_open(&w, out);
	put(&w, STR(line));
	put(&w, h->reason);
	put(&w, STR("\r\n"));
	/* without a body it is the length that a GET would have got (RFC 9110 section 9.3.2) */
	put_fields(&w, h,
		   may_tell_length && h->length >= 0 && (framing == H1_LENGTH || framing == H1_NO_BODY),
		   framing == H1_CHUNKED);
	if (h->status == 101)
		put_upgrade(&w);
	else if (h->status >= 200 && !keep_alive)
		put(&w, STR("Connection: close\r\n"));
	else if (h->status >= 200 && client_minor == 0)
		put(&w, STR("Connection: keep-alive\r\n"));
	put(&w, STR("\r\n"));
	writer_close(&w);
}

enum h1_framing h1_request_framing(const struct head *h)
{
	if (h->length == HEAD_LENGTH_UNKNOWN)
		return H1_CHUNKED;
	if (h->length > 0 || head_find(h, FIELD_CONTENT_LENGTH))
		return H1_LENGTH;
	/* RFC 9110 section 8.6: where content is expected, its absence is told */
	return str_eq(h->method, STR("POST")) || str_eq(h->method, STR("PUT")) ||
			       str_eq(h->method, STR("PATCH"))
		       ? H1_LENGTH
		       : H1_NO_BODY;
}

enum h1_framing h1_response_framing(const struct head *request, const struct head *response,
				    uint8_t client_minor)
{
	if (!head_response_has_body(request, response))
		return H1_NO_BODY;
	if (response->length >= 0)
		return H1_LENGTH;
	return client_minor >= 1 ? H1_CHUNKED : H1_UNTIL_CLOSE;
}
