/*
 * Request heads: whole and in pieces they come to the same; what is accepted and written is strict, and is
 * read again as the same request.
 */
#include "tests/fuzz/h1_pieces.h"

static const struct h1_limits limits = {.line_bytes = 2000, .head_bytes = 8000, .fields = 100};
/* For what was written: it may have grown. */
static const struct h1_limits generous = {.line_bytes = 4000, .head_bytes = 20000, .fields = 200};

static unsigned count(const struct head *h, enum field_id id)
{
	unsigned n = 0;

	head_for_each(f, h) n += f->id == id;
	return n;
}

static void check_meaning(const struct h1_parser *p)
{
	const struct head *h = p->head;

	BUG_ON(h->method.n == 0 || h->path.n == 0 || (h->path.p[0] != '/' && !str_eq(h->path, STR("*"))));
	BUG_ON(str_eq(h->method, STR("CONNECT")) || str_eq(h->method, STR("TRACE")));
	BUG_ON(count(h, FIELD_HOST) != (h->authority.n > 0));
	BUG_ON(count(h, FIELD_CONTENT_LENGTH) > 1 || count(h, FIELD_TRANSFER_ENCODING) ||
	       count(h, FIELD_CONNECTION));
	BUG_ON((p->framing == H1_CHUNKED) != (h->length == HEAD_LENGTH_UNKNOWN));
	BUG_ON(p->framing == H1_UNTIL_CLOSE || (p->framing == H1_NO_BODY && h->length != 0));
	BUG_ON(h->websocket && (h->length != 0 || !str_eq(h->method, STR("GET")) || h->minor == 0));
}

static struct str written(const struct head *h)
{
	struct buf b;

	buf_init(&b);
	h1_write_request(&b, h, h1_request_framing(h));
	return flat(&b);
}

static void check_written(const struct h1_parser *p)
{
	struct str once = written(p->head), twice;
	struct h1_parser again;
	struct arena a;
	ssize_t used;

	check_strict(once);
	arena_init(&a);
	h1_parser_init(&again, H1_REQUEST, &generous, &a, NULL);
	used = pieces_parse_all(&again, once.p, once.n, NULL);
	if (p->head->authority.n == 0) { /* from HTTP/1.0: an empty Host is all that can be said of it */
		BUG_ON(used != -ERR_BAD_HOST);
	} else {
		BUG_ON(used < 0 || (size_t)used != once.n || !again.done);
		BUG_ON(!str_eq(p->head->method, again.head->method) ||
		       !str_eq(p->head->path, again.head->path));
		BUG_ON(!str_eq(p->head->authority, again.head->authority));
		BUG_ON(p->head->length != again.head->length || p->head->websocket != again.head->websocket);
		twice = written(again.head);
		BUG_ON(!str_eq(once, twice));
		free((char *)twice.p);
	}
	free((char *)once.p);
	arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct pieces cuts = pieces_of(data, n);
	struct h1_parser whole, cut;
	struct arena a;
	ssize_t used, used_cut;

	arena_init(&a);
	h1_parser_init(&whole, H1_REQUEST, &limits, &a, NULL);
	h1_parser_init(&cut, H1_REQUEST, &limits, &a, NULL);
	used = pieces_parse_all(&whole, (const char *)data, n, NULL);
	used_cut = pieces_parse_all(&cut, (const char *)data, n, &cuts);
	BUG_ON(used != used_cut);
	BUG_ON(used < 0 && err_status((enum err) - used) < 400);
	if (used >= 0)
		check_same_head(&whole, &cut);
	if (used >= 0 && whole.done) {
		check_meaning(&whole);
		check_written(&whole);
	}
	arena_fini(&a);
	return 0;
}
