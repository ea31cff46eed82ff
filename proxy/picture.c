#include "proxy/picture.h"
#include "proxy/map.h"

#define X(field, metric, label, sort, format, sum, what) \
	{ #field, metric, label, what, PICTURE_##sort, PICTURE_##format, PICTURE_##sum },
static const struct picture_value instance_values[] = { PICTURE_INSTANCE_TABLE(X) };
static const struct picture_value total_values[] = { PICTURE_TOTAL_TABLE(X) };
static const struct picture_value worker_values[] = { PICTURE_WORKER_TABLE(X) };
static const struct picture_value listener_values[] = { PICTURE_LISTENER_TABLE(X) };
static const struct picture_value vhost_values[] = { PICTURE_VHOST_TABLE(X) };
static const struct picture_value upstream_values[] = { PICTURE_TARGET_TABLE(X) };
static const struct picture_value certificate_values[] = { PICTURE_CERTIFICATE_TABLE(X) };
static const struct picture_value log_values[] = { PICTURE_LOG_TABLE(X) };
#undef X

const struct picture_kind_info picture_kinds[PICTURE_KINDS] = {
#define X(KIND, kind, many, text, other) \
	{ #kind, many, { text, other }, kind##_values, ARRAY_SIZE(kind##_values) },
	PICTURE_KIND_TABLE(X)
#undef X
};

uint64_t picture_version(void)
{
	uint64_t h = MAP_HASH_START;

	for (size_t k = 0; k < PICTURE_KINDS; k++)
		for (size_t i = 0; i < picture_kinds[k].nvalues; i++) {
			h = map_hash_step(h, (char)k);
			for (const char *c = picture_kinds[k].values[i].name; *c; c++)
				h = map_hash_step(h, *c);
		}
	return h;
}

/* ---- rows ---- */

void picture_init(struct picture *p)
{
	*p = (struct picture){ 0 };
	arena_init(&p->arena);
}

void picture_fini(struct picture *p)
{
	arena_fini(&p->arena);
}

/* Where in the index its number is, or belongs. There is always a free place. */
static uint32_t *place_of(const struct picture *p, enum picture_kind kind, struct str text, struct str other)
{
	uint64_t h = (map_hash(text) + kind) * 31 + map_hash(other);
	size_t i = (h ^ h >> 32) & p->mask;

	for (; p->index[i]; i = (i + 1) & p->mask) {
		const struct picture_row *r = &p->rows[p->index[i] - 1];

		if (r->kind == kind && str_eq(r->text[0], text) && str_eq(r->text[1], other))
			break;
	}
	return &p->index[i];
}

static void grow_index(struct picture *p)
{
	p->mask = p->mask ? 4 * p->mask + 3 : 63;
	p->index = arena_zalloc(&p->arena, (p->mask + 1) * sizeof *p->index);
	for (size_t i = 0; i < p->n; i++)
		*place_of(p, p->rows[i].kind, p->rows[i].text[0], p->rows[i].text[1]) = (uint32_t)i + 1;
}

struct picture_row *picture_at(struct picture *p, enum picture_kind kind, struct str text, struct str other)
{
	uint32_t *place;

	if (2 * p->n >= p->mask)
		grow_index(p);
	place = place_of(p, kind, text, other);
	if (!*place) {
		arena_grow(&p->arena, p->rows, p->n, p->cap);
		p->rows[p->n++] = (struct picture_row){
			.kind = kind,
			.text = { arena_dup(&p->arena, text), arena_dup(&p->arena, other) },
		};
		*place = (uint32_t)p->n;
	}
	return &p->rows[*place - 1];
}

struct picture_row *picture_find(const struct picture *p, enum picture_kind kind, struct str text,
				 struct str other)
{
	uint32_t n = p->n ? *place_of(p, kind, text, other) : 0;

	return n ? &p->rows[n - 1] : NULL;
}

void picture_merge(struct picture_row *to, const struct picture_row *from)
{
	const struct picture_kind_info *k = &picture_kinds[to->kind];

	BUG_ON(to->kind != from->kind);
	for (size_t i = 0; i < k->nvalues; i++) {
		if (k->values[i].sum == PICTURE_MAX)
			to->v[i] = MAX(to->v[i], from->v[i]);
		else
			to->v[i] += from->v[i];
	}
}

/* ---- bytes ---- */

struct header {
	uint32_t kind;
	uint32_t text_bytes[PICTURE_TEXTS];
};

size_t picture_write(char *out, const struct picture_row *row)
{
	struct header h = { .kind = row->kind };
	size_t n = sizeof h, values = picture_kinds[row->kind].nvalues * sizeof *row->v;

	for (size_t i = 0; i < PICTURE_TEXTS; i++)
		h.text_bytes[i] = (uint32_t)MIN(row->text[i].n, (size_t)PICTURE_TEXT_MAX);
	memcpy(out, &h, sizeof h);
	memcpy(out + n, row->v, values);
	n += values;
	for (size_t i = 0; i < PICTURE_TEXTS; i++) {
		if (h.text_bytes[i])
			memcpy(out + n, row->text[i].p, h.text_bytes[i]);
		n += h.text_bytes[i];
	}
	return n;
}

size_t picture_fill(const struct picture *p, size_t *next, char *out, size_t cap)
{
	size_t n = 0;

	while (*next < p->n && cap - n >= PICTURE_ROW_BYTES)
		n += picture_write(out + n, &p->rows[(*next)++]);
	return n;
}

static bool take(struct str *in, void *out, size_t n)
{
	if (in->n < n)
		return false;
	memcpy(out, in->p, n);
	*in = str_of(in->p + n, in->n - n);
	return true;
}

bool picture_read(struct str *in, struct picture_row *row)
{
	struct header h;

	if (!take(in, &h, sizeof h) || h.kind >= PICTURE_KINDS)
		return false;
	*row = (struct picture_row){ .kind = (enum picture_kind)h.kind };
	if (!take(in, row->v, picture_kinds[h.kind].nvalues * sizeof *row->v))
		return false;
	for (size_t i = 0; i < PICTURE_TEXTS; i++) {
		if (h.text_bytes[i] > PICTURE_TEXT_MAX || h.text_bytes[i] > in->n)
			return false;
		row->text[i] = str_of(in->p, h.text_bytes[i]);
		*in = str_of(in->p + h.text_bytes[i], in->n - h.text_bytes[i]);
	}
	return true;
}

bool picture_take(struct picture *p, struct str in)
{
	struct picture_row row;

	while (in.n) {
		if (!picture_read(&in, &row))
			return false;
		memcpy(picture_at(p, row.kind, row.text[0], row.text[1])->v, row.v, sizeof row.v);
	}
	return true;
}
