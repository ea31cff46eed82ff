/*
 * Operations on a head, beside the same ones on a plain array of names and values.
 *
 * A line is an operation: "name: value" adds, "=name: value" sets, "-name" removes, "?name: token" looks both
 * up. What has no row in the field table is added, removed and found by name.
 */
#include "core/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MODEL_FIELDS = 300 };

struct model {
	struct {
		struct str name, value;
	} fields[MODEL_FIELDS];
	size_t n;
};

static bool same_name(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (str_lower_char(a.p[i]) != str_lower_char(b.p[i]))
			return false;
	return true;
}

static enum field_id id_of(struct str name)
{
	for (int id = 1; id < FIELD_COUNT; id++)
		if (same_name(name, field_name((enum field_id)id)))
			return (enum field_id)id;
	return FIELD_UNKNOWN;
}

static unsigned model_remove(struct model *m, struct str name, size_t from)
{
	unsigned removed = 0;

	for (size_t i = from; i < m->n; i++)
		if (same_name(m->fields[i].name, name))
			removed++;
		else
			m->fields[i - removed] = m->fields[i];
	m->n -= removed;
	return removed;
}

static size_t model_find(const struct model *m, struct str name)
{
	size_t i = 0;

	while (i < m->n && !same_name(m->fields[i].name, name))
		i++;
	return i;
}

static void model_add(struct model *m, struct str name, struct str value)
{
	m->fields[m->n].name = name;
	m->fields[m->n++].value = value;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Byte by byte: an element begins and ends with what is no blank, commas part them. */
static bool list_has(struct str list, struct str token)
{
	size_t at = 0;

	while (at < list.n) {
		size_t end, next;

		while (at < list.n && (is_blank(list.p[at]) || list.p[at] == ','))
			at++;
		for (next = at; next < list.n && list.p[next] != ','; next++)
			;
		for (end = next; end > at && is_blank(list.p[end - 1]); end--)
			;
		if (end > at && same_name(str_of(list.p + at, end - at), token))
			return true;
		at = next;
	}
	return false;
}

static bool model_has_token(const struct model *m, struct str name, struct str token)
{
	for (size_t i = 0; i < m->n; i++)
		if (same_name(m->fields[i].name, name) && list_has(m->fields[i].value, token))
			return true;
	return false;
}

static void must_agree(const struct head *h, const struct model *m)
{
	size_t i = 0;

	head_for_each(f, h) {
		BUG_ON(i == m->n);
		BUG_ON(!str_eq(f->name, m->fields[i].name) || !str_eq(f->value, m->fields[i].value));
		BUG_ON(f->id != id_of(f->name));
		i++;
	}
	BUG_ON(i != m->n);
}

static void look_up(const struct head *h, const struct model *m, struct str name, struct str token)
{
	enum field_id id = id_of(name);
	size_t at = model_find(m, name);
	struct field *f = head_find_name(h, name);

	BUG_ON(field_lookup(name) != id);
	BUG_ON((f == NULL) != (at == m->n));
	BUG_ON(f && !str_eq(f->value, m->fields[at].value));
	if (id != FIELD_UNKNOWN) {
		BUG_ON(head_find(h, id) != f);
		BUG_ON(head_has_token(h, id, token) != model_has_token(m, name, token));
	}
}

static void set(struct arena *a, struct head *h, struct model *m, struct str name, struct str value)
{
	enum field_id id = id_of(name);
	size_t at = model_find(m, name);

	if (id == FIELD_UNKNOWN)
		return;
	head_set(a, h, id, value);
	if (at == m->n) {
		model_add(m, field_name(id), value);
		return;
	}
	model_remove(m, name, at + 1);
	m->fields[at].name = field_name(id);
	m->fields[at].value = value;
}

static void run(struct arena *a, struct head *h, struct model *m, struct str line)
{
	char operation = line.n ? line.p[0] : '\0';
	const char *colon;
	struct str name, value = STR("");

	if (operation == '=' || operation == '-' || operation == '?')
		line = str_of(line.p + 1, line.n - 1);
	name = line;
	colon = line.n ? memchr(line.p, ':', line.n) : NULL;
	if (colon) {
		name.n = (size_t)(colon - line.p);
		value = str_trim(str_of(colon + 1, line.n - name.n - 1));
	}
	switch (operation) {
	case '=':
		set(a, h, m, name, value);
		break;
	case '-':
		BUG_ON(head_remove_name(h, name) != model_remove(m, name, 0));
		break;
	case '?':
		look_up(h, m, name, value);
		break;
	default:
		if (id_of(name) != FIELD_UNKNOWN && value.n % 2) {
			head_add_id(a, h, id_of(name), value);
			name = field_name(id_of(name));
		} else {
			head_add(a, h, name, value);
		}
		model_add(m, name, value);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str rest = str_of((const char *)data, n);
	struct model m = { .n = 0 };
	struct arena a;
	struct head *h;

	arena_init(&a);
	h = head_new(&a, HEAD_REQUEST);
	while (rest.n && m.n < MODEL_FIELDS) {
		const char *end = memchr(rest.p, '\n', rest.n);
		size_t line_bytes = end ? (size_t)(end - rest.p) : rest.n;
		size_t used = end ? line_bytes + 1 : line_bytes;

		run(&a, h, &m, str_of(rest.p, line_bytes));
		rest = str_of(rest.p + used, rest.n - used);
	}
	must_agree(h, &m);
	arena_fini(&a);
	return 0;
}
