/*
 * walk.c - a mapping against the key table, and the values in it.
 */
#include "conf/priv.h"
#include <stdarg.h>

PRINTF(5, 0)
static void say(struct conf_loader *l, enum conf_severity severity, const struct conf_node *at,
		const char *remedy, const char *fmt, va_list args)
{
	char text[1024];

	vsnprintf(text, sizeof text, fmt, args);
	conf_report_add(l->r, severity, at->pos, remedy, "%s", text);
}

void conf_error(struct conf_loader *l, const struct conf_node *at, const char *remedy, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(l, CONF_ERROR, at, remedy, fmt, args);
	va_end(args);
}

void conf_warning(struct conf_loader *l, const struct conf_node *at, const char *remedy, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(l, CONF_WARNING, at, remedy, fmt, args);
	va_end(args);
}

void conf_note(struct conf_loader *l, const struct conf_node *at, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(l, CONF_NOTE, at, NULL, fmt, args);
	va_end(args);
}

const char *conf_place(struct conf_loader *l, struct conf_pos pos)
{
	return arena_printf(&l->tmp, "%s:%u:%u", pos.file, pos.line, pos.column).p;
}

/* ---- values ---- */

static struct str with_data_dir(struct conf_loader *l, struct str s)
{
	static const char mark[] = "_lws_ddir_";
	const char *at = s.n ? memmem(s.p, s.n, mark, sizeof mark - 1) : NULL;
	size_t before = at ? (size_t)(at - s.p) : 0;

	if (!at)
		return s;
	return arena_printf(&l->tmp, "%.*s%.*s%.*s", (int)before, s.p, STR_ARG(l->data_dir),
			    (int)(s.n - before - (sizeof mark - 1)), at + sizeof mark - 1);
}

bool conf_take_text(struct conf_loader *l, const struct conf_node *v, struct str *out)
{
	if (v->kind != CONF_NODE_SCALAR) {
		conf_error(l, v, NULL, "%s cannot stand here: one value is expected",
			   v->kind == CONF_NODE_MAPPING ? "a mapping" : "a list");
		return false;
	}
	if (v->plain && !v->text.n) {
		conf_error(l, v->key ? v->key : v, NULL, "the value is missing");
		return false;
	}
	for (size_t i = 0; i < v->text.n; i++) {
		if ((unsigned char)v->text.p[i] < 0x20 || v->text.p[i] == 0x7f) {
			conf_error(l, v, NULL, "a control character or line break in a value");
			return false;
		}
	}
	*out = with_data_dir(l, v->text);
	return true;
}

static bool take(struct conf_loader *l, const struct conf_node *v, enum conf_kind kind,
		 enum conf_value result, struct str text)
{
	switch (result) {
	case CONF_VALUE_OK: return true;
	case CONF_VALUE_FORM:
		conf_error(l, v, conf_kind_written(kind), "\"%.*s\" is not %s", CONF_QUOTE(text),
			   conf_kind_text(kind));
		return false;
	case CONF_VALUE_ZEROS:
		conf_error(l, v, conf_kind_written(kind), "\"%.*s\" has leading zeros", CONF_QUOTE(text));
		return false;
	case CONF_VALUE_LARGE:
		conf_error(l, v, conf_kind_written(kind), "\"%.*s\" is too large for %s", CONF_QUOTE(text),
			   conf_kind_text(kind));
		return false;
	}
	return false;
}

bool conf_take_bool(struct conf_loader *l, const struct conf_node *v, bool *out)
{
	struct str text;

	return conf_take_text(l, v, &text) && take(l, v, CONF_BOOL, conf_to_bool(text, out), text);
}

bool conf_take_number(struct conf_loader *l, const struct conf_key *k, const struct conf_node *v,
		      uint64_t max, uint64_t *out)
{
	enum conf_value result = CONF_VALUE_FORM;
	struct str text;

	if (!conf_take_text(l, v, &text))
		return false;
	if (k->kind == CONF_DURATION)
		result = conf_to_ms(text, out);
	else if (k->kind == CONF_SIZE)
		result = conf_to_bytes(text, out);
	else
		result = conf_to_number(text, max, out);
	return take(l, v, k->kind, result, text);
}

const struct conf_node *conf_next_mapping(struct conf_loader *l, const struct conf_node *v,
					  const struct conf_node *item)
{
	if (v->kind == CONF_NODE_MAPPING)
		return item ? NULL : v;
	for (item = item ? item->next : v->child; item; item = item->next) {
		if (item->kind == CONF_NODE_MAPPING)
			return item;
		conf_error(l, item, NULL, "a mapping { \"key\": value, ... } is expected here");
	}
	return NULL;
}

const struct conf_node *conf_next_text(struct conf_loader *l, const struct conf_node *v,
				       const struct conf_node *item, struct str *out)
{
	if (v->kind != CONF_NODE_SEQUENCE)
		return !item && conf_take_text(l, v, out) ? v : NULL;
	for (item = item ? item->next : v->child; item; item = item->next)
		if (conf_take_text(l, item, out))
			break;
	return item;
}

/* ---- keys ---- */

static void twice(struct conf_loader *l, struct str name, const struct conf_node *first,
		  const struct conf_node *v)
{
	conf_error(l, v->key, NULL, "\"%.*s\" is written twice, first at %s", CONF_QUOTE(name),
		   conf_place(l, first->key->pos));
}

bool conf_first(struct conf_loader *l, struct conf_map *names, struct str name, const struct conf_node *value)
{
	void **slot = conf_map_at(&l->tmp, names, name);

	if (*slot)
		twice(l, value->key->text, *slot, value);
	else
		*slot = (void *)(uintptr_t)value;
	return *slot == value;
}

/* Names that may be any, but each only once. */
static void check_pairs(struct conf_loader *l, const struct conf_node *v)
{
	const struct conf_node *map = NULL;

	while ((map = conf_next_mapping(l, v, map))) {
		struct conf_map names = { 0 };

		for (const struct conf_node *value = map->child; value; value = value->next)
			conf_first(l, &names, value->key->text, value);
	}
}

/* The value of a key that does nothing (yet): what is wrong with it now will be wrong when it does. */
static void look_over(struct conf_loader *l, const struct conf_key *k, const struct conf_node *v)
{
	struct str text;
	uint64_t number;
	bool flag;

	switch (k->kind) {
	case CONF_ANY: break;
	case CONF_TEXT: (void)!conf_take_text(l, v, &text); break;
	case CONF_TEXTS:
		for (const struct conf_node *item = NULL; (item = conf_next_text(l, v, item, &text));)
			;
		break;
	case CONF_BOOL: (void)!conf_take_bool(l, v, &flag); break;
	case CONF_COUNT:
	case CONF_DURATION:
	case CONF_SIZE: (void)!conf_take_number(l, k, v, CONF_COUNT_MAX, &number); break;
	case CONF_PORT: (void)!conf_take_number(l, k, v, UINT16_MAX, &number); break;
	case CONF_BITS: (void)!conf_take_number(l, k, v, UINT64_MAX, &number); break;
	case CONF_SECTION:
	case CONF_LIST:
	case CONF_PAIRS: check_pairs(l, v); break;
	}
}

/* A collection is written as one, or not at all: all that stood below a key may be commented out. */
static bool is_collection(struct conf_loader *l, const struct conf_key *k, const struct conf_node *v)
{
	if (v->kind == CONF_NODE_SCALAR && v->plain && !v->text.n)
		return false;
	if (v->kind == CONF_NODE_MAPPING || (v->kind == CONF_NODE_SEQUENCE && k->kind != CONF_SECTION))
		return true;
	conf_error(l, v, conf_kind_written(k->kind), "\"%s\" is %s", k->name, conf_kind_text(k->kind));
	return false;
}

static void set(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	bool collection = k->kind == CONF_SECTION || k->kind == CONF_LIST || k->kind == CONF_PAIRS;
	size_t id = (size_t)(k - conf_keys());

	if (collection && !is_collection(l, k, v))
		return;
	if (k->state != CONF_NOTHING && k->state != CONF_LATER) {
		k->set(l, k, object, v);
		return;
	}
	look_over(l, k, v);
	if (!l->noted[id])
		conf_note(l, v->key, "\"%s\" %s: %s", k->name,
			  k->state == CONF_LATER ? "does nothing yet" : "has nothing to do here", k->what);
	l->noted[id] = true;
}

static void unknown(struct conf_loader *l, enum conf_scope scope, const struct conf_node *key)
{
	bool kept = l->r->n < CONF_REPORT_MESSAGES; /* of many, only the first are told */
	const struct conf_key *near = kept ? conf_key_near(scope, key->text) : NULL;
	const struct conf_key *elsewhere = kept ? conf_key_elsewhere(scope, key->text) : NULL;
	char remedy[128];

	if (elsewhere)
		snprintf(remedy, sizeof remedy, "\"%s\" stands %s", elsewhere->name,
			 conf_scope_text(elsewhere->scope));
	else if (near)
		snprintf(remedy, sizeof remedy, "did you mean \"%s\"?", near->name);
	conf_error(l, key, elsewhere || near ? remedy : NULL, "unknown key \"%.*s\" %s",
		   CONF_QUOTE(key->text), conf_scope_text(scope));
}

static bool same_value(const struct conf_node *a, const struct conf_node *b)
{
	return a->kind == CONF_NODE_SCALAR && b->kind == CONF_NODE_SCALAR && str_eq(a->text, b->text);
}

/* A key that was there before. True: its value is to be set nevertheless. */
static bool again(struct conf_loader *l, const struct conf_key *k, const struct conf_node *first,
		  const struct conf_node *v)
{
	if (k->flags & CONF_REPEATS)
		return true;
	if (first->pos.file == v->pos.file) {
		twice(l, v->key->text, first, v);
		return false;
	}
	if (k->kind == CONF_SECTION)
		return true;
	if (!same_value(first, v))
		conf_error(l, v->key, "keep one of them", "\"%s\" has another value at %s", k->name,
			   conf_place(l, first->key->pos));
	return false;
}

void conf_walk(struct conf_loader *l, enum conf_scope scope, void *object, const struct conf_node *map,
	       const struct conf_node **seen)
{
	BUG_ON(map->kind != CONF_NODE_MAPPING);
	for (const struct conf_node *v = map->child; v; v = v->next) {
		const struct conf_key *k = conf_key_find(scope, v->key->text);
		const struct conf_node **before = k ? &seen[k - conf_keys()] : NULL;

		if (!k) {
			unknown(l, scope, v->key);
			continue;
		}
		if (*before && !again(l, k, *before, v))
			continue;
		*before = v;
		set(l, k, object, v);
	}
}
