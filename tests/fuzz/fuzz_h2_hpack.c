/*
 * Field blocks of one connection, decoded one after the other into one dynamic table. What decodes is encoded
 * again by our encoder and decoded by a second decoder: it must be the same list.
 *
 * Input: the first byte decides how much a list may have; then blocks, each behind two bytes of length. A
 * block of length 0xffff is none: the next two bytes are the table size that the peer allows.
 */
#include "h2/hpack_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct list_of {
	struct arena *a;
	struct head *h; /* kind trailers: what is no field is left out */
	size_t bytes, calls, fail_at;
};

static enum err take_line(void *ctx, const struct hpack_line *l)
{
	struct list_of *list = ctx;

	list->bytes += l->name.n + l->value.n + HPACK_ENTRY_OVERHEAD;
	BUG_ON(l->id && !str_eq(l->name, field_name(l->id)));
	BUG_ON((l->pseudo != HPACK_NOT_PSEUDO) != (l->name.n && l->name.p[0] == ':'));
	if (!l->pseudo)
		head_add(list->a, list->h, l->name, l->value)->id = l->id;
	return ++list->calls == list->fail_at ? ERR_BAD_FIELD_NAME : ERR_OK;
}

static void check_table(const struct hpack_table *t)
{
	size_t bytes = 0;

	if (!t)
		return;
	for (uint32_t i = 0; i < t->n; i++) {
		const struct hpack_entry *e = hpack_table_at(t, i);

		bytes += e->name_bytes + e->value_bytes + HPACK_ENTRY_OVERHEAD;
	}
	BUG_ON(bytes != t->bytes || t->bytes > t->max_bytes || t->max_bytes > HPACK_DEFAULT_TABLE_BYTES);
}

/* Names go out in lower case. */
static bool same_name(struct str sent, struct str came)
{
	return str_eq_nocase(sent, came);
}

static void encode_and_compare(struct hpack_encoder *e, struct hpack_decoder *d, struct list_of *sent)
{
	struct list_of came = { .a = sent->a, .h = head_new(sent->a, HEAD_TRAILERS) };
	struct field *f = came.h->fields;
	struct buf block;
	uint8_t *bytes;
	size_t n;
	bool too_large;
	enum err error;

	buf_init(&block);
	n = hpack_encode(e, sent->h, &block);
	BUG_ON(n != buf_len(&block));
	bytes = base_alloc(n + 1);
	buf_copy(&block, bytes, n);
	buf_fini(&block);
	BUG_ON(!hpack_decode(d, bytes, n, sent->a, SIZE_MAX, take_line, &came, &error, &too_large));
	free(bytes);
	BUG_ON(error || too_large || came.h->nfields != sent->h->nfields);
	f = came.h->fields;
	head_for_each(s, sent->h) {
		BUG_ON(!same_name(s->name, f->name) || !str_eq(s->value, f->value));
		f++;
	}
	check_table(e->table);
}

/* One block. Returns false when it does not decode: that would end the connection. */
static bool run(struct hpack_decoder *in, struct hpack_encoder *e, struct hpack_decoder *back,
		const uint8_t *p, size_t n, size_t max, size_t fail_at)
{
	struct list_of list = { .fail_at = fail_at };
	struct arena a;
	bool too_large, ok;
	enum err error;

	arena_init(&a);
	list.a = &a;
	list.h = head_new(&a, HEAD_TRAILERS);
	ok = hpack_decode(in, p, n, &a, max, take_line, &list, &error, &too_large);
	BUG_ON(list.bytes > max || (error && list.calls != fail_at) || (fail_at && list.calls > fail_at));
	/* what is beyond the bound is not stored: one line more at most, as long as the block can make it */
	BUG_ON(a.held_bytes > 4 * (max + 2 * n + HPACK_DEFAULT_TABLE_BYTES + ARENA_BLOCK_BYTES) +
				      4 * list.calls * sizeof(struct field) + ARENA_BLOCK_BYTES);
	check_table(in->table);
	if (ok)
		encode_and_compare(e, back, &list);
	arena_fini(&a);
	return ok;
}

static size_t take16(const uint8_t **p, const uint8_t *end)
{
	size_t v = 0;

	for (int i = 0; i < 2 && *p < end; i++)
		v = v << 8 | *(*p)++;
	return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *p = data, *end = data + n;
	struct hpack_decoder in, back;
	struct hpack_encoder e;
	size_t max, fail_at;
	bool ok = true;

	if (!n)
		return 0;
	hpack_decoder_init(&in, HPACK_DEFAULT_TABLE_BYTES);
	hpack_decoder_init(&back, HPACK_DEFAULT_TABLE_BYTES);
	hpack_encoder_init(&e);
	max = (size_t)64 << (*p & 15);
	fail_at = *p++ >> 4;
	while (ok && p < end) {
		size_t len = take16(&p, end);

		if (len == 0xffff) {
			hpack_encoder_resize(&e, (uint32_t)take16(&p, end));
			continue;
		}
		len = MIN(len, (size_t)(end - p));
		ok = run(&in, &e, &back, p, len, max, fail_at);
		p += len;
	}
	hpack_encoder_fini(&e);
	hpack_decoder_fini(&back);
	hpack_decoder_fini(&in);
	arena_drop_spares();
	return 0;
}
