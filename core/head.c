#include "core/head.h"

/* The n bytes at p, 2 <= n <= 8, as a word whose halves may overlap: two loads for a constant n. */
static inline uint64_t load(const char *p, size_t n)
{
	uint64_t both = 0;
	uint32_t low4, high4;
	uint16_t low2, high2;

	if (n == 8) {
		memcpy(&both, p, 8);
		return both;
	}
	if (n >= 4) {
		memcpy(&low4, p, 4);
		memcpy(&high4, p + n - 4, 4);
		return low4 | (uint64_t)high4 << 32;
	}
	memcpy(&low2, p, 2);
	memcpy(&high2, p + n - 2, 2);
	return low2 | (uint64_t)high2 << 32;
}

/* Is this name, n bytes long, that row's? Where it is called, n and the row are constants. */
static inline bool is_row(const char *name, const char *row, size_t n)
{
	if (n <= 8)
		return str_lower_8(load(name, n)) == load(row, n);
	for (size_t i = 0; i + 8 < n; i += 8)
		if (str_lower_8(load(name + i, 8)) != load(row + i, 8))
			return false;
	return str_lower_8(load(name + n - 8, 8)) == load(row + n - 8, 8);
}

enum field_id field_lookup(struct str name)
{
#define TRY(id, canonical, flags)                                                       \
	_Static_assert(sizeof(canonical) - 1 == LENGTH, canonical " is in another's group"); \
	if (is_row(name.p, canonical, LENGTH))                                          \
		return FIELD_##id;
#define GROUP(length)                                                                   \
	case length: {                                                                  \
		enum { LENGTH = length };                                               \
		FIELDS_##length(TRY)                                                    \
		break;                                                                  \
	}
	switch (name.n) {
	GROUP(2)
	GROUP(3)
	GROUP(4)
	GROUP(5)
	GROUP(6)
	GROUP(7)
	GROUP(8)
	GROUP(9)
	GROUP(10)
	GROUP(11)
	GROUP(12)
	GROUP(13)
	GROUP(14)
	GROUP(15)
	GROUP(16)
	GROUP(17)
	GROUP(18)
	GROUP(19)
	GROUP(20)
	GROUP(22)
	GROUP(23)
	GROUP(25)
	GROUP(27)
	}
#undef GROUP
#undef TRY
	return FIELD_UNKNOWN;
}

static const struct {
	struct str name;
	unsigned flags;
} rows[FIELD_COUNT] = {
#define X(id, name_, flags_) [FIELD_##id] = { { name_, sizeof(name_) - 1 }, flags_ },
	FIELD_TABLE(X)
#undef X
};

struct str field_name(enum field_id id)
{
	BUG_ON((unsigned)id >= FIELD_COUNT);
	return rows[id].name;
}

unsigned field_flags(enum field_id id)
{
	BUG_ON((unsigned)id >= FIELD_COUNT);
	return rows[id].flags;
}

struct head *head_new(struct arena *a, enum head_kind kind)
{
	struct head *h = arena_new(a, struct head);

	h->kind = kind;
	h->length = HEAD_LENGTH_UNKNOWN;
	h->cap = 16;
	h->fields = arena_alloc(a, h->cap * sizeof *h->fields);
	return h;
}

static struct field *add(struct arena *a, struct head *h, struct field f)
{
	arena_grow(a, h->fields, h->nfields, h->cap);
	h->fields[h->nfields] = f;
	return &h->fields[h->nfields++];
}

struct field *head_add(struct arena *a, struct head *h, struct str name, struct str value)
{
	return add(a, h, (struct field){ .name = name, .value = value, .id = (uint16_t)field_lookup(name) });
}

struct field *head_add_id(struct arena *a, struct head *h, enum field_id id, struct str value)
{
	BUG_ON(id == FIELD_UNKNOWN);
	return add(a, h, (struct field){ .name = field_name(id), .value = value, .id = (uint16_t)id });
}

struct field *head_find(const struct head *h, enum field_id id)
{
	head_for_each(f, h)
		if (f->id == id)
			return f;
	return NULL;
}

static bool has_name(const struct field *f, enum field_id id, struct str name)
{
	return f->id == id && (id != FIELD_UNKNOWN || str_eq_nocase(f->name, name));
}

struct field *head_find_name(const struct head *h, struct str name)
{
	enum field_id id = field_lookup(name);

	head_for_each(f, h)
		if (has_name(f, id, name))
			return f;
	return NULL;
}

unsigned head_remove(struct head *h, enum field_id id)
{
	unsigned n = 0;

	BUG_ON(id == FIELD_UNKNOWN);
	head_for_each(f, h)
		if (f->id == id) {
			f->removed = true;
			n++;
		}
	return n;
}

unsigned head_remove_name(struct head *h, struct str name)
{
	enum field_id id = field_lookup(name);
	unsigned n = 0;

	head_for_each(f, h)
		if (has_name(f, id, name)) {
			f->removed = true;
			n++;
		}
	return n;
}

void head_set(struct arena *a, struct head *h, enum field_id id, struct str value)
{
	struct field *first = head_find(h, id);

	if (!first) {
		head_add_id(a, h, id, value);
		return;
	}
	head_remove(h, id);
	*first = (struct field){ .name = field_name(id), .value = value, .id = (uint16_t)id };
}

bool head_list_next(struct str *rest, struct str *element)
{
	while (rest->n) {
		const char *comma = memchr(rest->p, ',', rest->n);
		size_t n = comma ? (size_t)(comma - rest->p) : rest->n;
		size_t used = comma ? n + 1 : n;

		*element = str_trim(str_of(rest->p, n));
		*rest = str_of(rest->p + used, rest->n - used);
		if (element->n)
			return true;
	}
	return false;
}

bool head_has_token(const struct head *h, enum field_id id, struct str token)
{
	head_for_each(f, h) {
		struct str rest = f->value, element;

		if (f->id != id)
			continue;
		while (head_list_next(&rest, &element))
			if (str_eq_nocase(element, token))
				return true;
	}
	return false;
}

bool head_response_has_body(const struct head *request, const struct head *response)
{
	unsigned status = response->status;

	if (status < 200 || status == 204 || status == 304)
		return false;
	if (str_eq(request->method, STR("HEAD")))
		return false;
	/* it opens a tunnel (RFC 9110 section 9.3.6) */
	return !(status < 300 && str_eq(request->method, STR("CONNECT")));
}

bool head_method_is_safe(struct str method)
{
	return str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")) || str_eq(method, STR("OPTIONS")) ||
	       str_eq(method, STR("TRACE"));
}
