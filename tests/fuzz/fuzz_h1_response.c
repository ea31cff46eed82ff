/*
 * Response heads: whole and in pieces they come to the same; what is accepted and written is strict, and is
 * read again as the same response. The first byte says what was asked for.
 */
#include "tests/fuzz/h1_pieces.h"

static const struct h1_limits limits = {.line_bytes = 2000, .head_bytes = 8000, .fields = 100};
static const struct h1_limits generous = {.line_bytes = 4000, .head_bytes = 20000, .fields = 200};

static struct str written(const struct h1_parser *p, uint8_t client_minor)
{
	enum h1_framing framing = h1_response_framing(p->request, p->head, client_minor);
	struct buf b;

	buf_init(&b);
	h1_write_response(&b, p->head, framing, p->keep_alive, client_minor);
	return flat(&b);
}

static void check_written(const struct h1_parser *p)
{
	struct str once = written(p, 1), twice;
	struct h1_parser again;
	struct arena a;
	ssize_t used;

	check_strict(once);
	arena_init(&a);
	h1_parser_init(&again, H1_RESPONSE, &generous, &a, p->request);
	used = pieces_parse_all(&again, once.p, once.n, NULL);
	BUG_ON(used < 0 || (size_t)used != once.n || !again.done);
	BUG_ON(p->head->status != again.head->status || p->head->kind != again.head->kind);
	BUG_ON(again.framing == H1_UNTIL_CLOSE);
	BUG_ON((p->framing == H1_NO_BODY) != (again.framing == H1_NO_BODY));
	BUG_ON(p->head->length != again.head->length);
	twice = written(&again, 1);
	BUG_ON(p->head->kind == HEAD_FINAL && p->head->status != 101 && !str_eq(once, twice));
	free((char *)twice.p);
	free((char *)once.p);
	once = written(p, 0);
	check_strict(once);
	free((char *)once.p);
	arena_fini(&a);
}

static void check_meaning(const struct h1_parser *p)
{
	const struct head *h = p->head;

	BUG_ON(h->status < 100 || h->status > 999);
	BUG_ON((h->kind == HEAD_INTERIM) != (h->status < 200 && h->status != 101));
	BUG_ON(p->framing == H1_LENGTH && h->length < 0);
	BUG_ON((p->framing == H1_CHUNKED || p->framing == H1_UNTIL_CLOSE) && h->length >= 0);
	BUG_ON(p->framing == H1_UNTIL_CLOSE && p->keep_alive);
	BUG_ON(head_find(h, FIELD_CONNECTION) || head_find(h, FIELD_TRANSFER_ENCODING));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct str methods[] = {{"GET", 3}, {"HEAD", 4}, {"POST", 4}};
	struct pieces cuts = pieces_of(data, n);
	struct h1_parser whole, cut;
	struct head *request;
	struct arena a;
	ssize_t used, used_cut;

	if (n == 0)
		return 0;
	arena_init(&a);
	request = head_new(&a, HEAD_REQUEST);
	request->method = methods[data[0] % ARRAY_SIZE(methods)];
	h1_parser_init(&whole, H1_RESPONSE, &limits, &a, request);
	h1_parser_init(&cut, H1_RESPONSE, &limits, &a, request);
	used = pieces_parse_all(&whole, (const char *)data + 1, n - 1, NULL);
	used_cut = pieces_parse_all(&cut, (const char *)data + 1, n - 1, &cuts);
	BUG_ON(used != used_cut);
	BUG_ON(used < 0 && err_status((enum err) - used) != 502);
	if (used >= 0)
		check_same_head(&whole, &cut);
	if (used >= 0 && whole.done) {
		check_meaning(&whole);
		check_written(&whole);
	}
	arena_fini(&a);
	return 0;
}
