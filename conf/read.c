#include "conf/priv.h"
#include <yaml.h>

/* A collection that is open. */
struct open {
	struct conf_node *node;
	struct conf_node **end; /* where its next child goes */
	struct conf_node *key; /* in a mapping: waits for its value */
	bool block; /* written by indentation, not with brackets */
	struct conf_pos first; /* its first child, for the others' indentation */
	yaml_mark_t mark; /* where it begins */
};

struct conf_reader {
	yaml_parser_t parser;
	struct arena *a;
	const char *file;
	struct conf_report *r;
	struct conf_prepared text;
	struct conf_node *root;
	struct open stack[CONF_DEPTH];
	unsigned depth, documents;
};

/* As libyaml counts, which is in the prepared bytes. */
static struct conf_pos raw_pos(const struct conf_reader *rd, yaml_mark_t mark)
{
	return (struct conf_pos){ rd->file, (unsigned)mark.line + 1, (unsigned)mark.column + 1 };
}

static struct conf_pos pos_of(const struct conf_reader *rd, yaml_mark_t mark)
{
	struct conf_pos pos = raw_pos(rd, mark);

	pos.column = conf_original_column(&rd->text, pos.line, pos.column);
	return pos;
}

static bool refuse(struct conf_reader *rd, struct conf_pos pos, const char *remedy, const char *reason)
{
	conf_report_add(rd->r, CONF_ERROR, pos, remedy, "%s", reason);
	return false;
}

/*
 * Indentation has to mean the same with tabs of any width: for the children of one collection among each
 * other, and against the collection around.
 */
static bool check_tabs(struct conf_reader *rd, struct conf_pos pos)
{
	struct open *o = &rd->stack[rd->depth - 1];
	struct open *outer = rd->depth > 1 ? &rd->stack[rd->depth - 2] : NULL;
	bool same = true;

	if (o->first.line) {
		same = conf_same_with_any_tab(&rd->text, pos, o->first);
	} else {
		o->first = pos;
		if (outer && outer->block)
			same = conf_same_with_any_tab(&rd->text, pos, outer->first);
	}
	if (same)
		return true;
	return refuse(rd, pos, "indent all lines of a file with tabs, or all with blanks",
		      "tabs and blanks are mixed in the indentation");
}

/* Puts a node where it belongs: a key, a value, an item, or the root. */
static bool place(struct conf_reader *rd, struct conf_node *node)
{
	struct open *o;

	if (rd->depth == 0) {
		rd->root = node;
		return true;
	}
	o = &rd->stack[rd->depth - 1];
	if (o->block && !o->key && !check_tabs(rd, node->pos))
		return false;
	if (o->node->kind == CONF_NODE_MAPPING && !o->key) {
		if (node->kind != CONF_NODE_SCALAR)
			return refuse(rd, node->pos, NULL, "a key has to be a plain name");
		if (node->plain && str_eq(node->text, STR("<<")))
			return refuse(rd, node->pos, "write the keys out", "merge keys (<<) are not allowed");
		o->key = node;
		return true;
	}
	TAKE(node->key, &o->key);
	*o->end = node;
	o->end = &node->next;
	return true;
}

static bool begin(struct conf_reader *rd, const yaml_event_t *e, enum conf_node_kind kind, bool block)
{
	struct conf_node *node = arena_new(rd->a, struct conf_node);

	node->kind = kind;
	node->pos = pos_of(rd, e->start_mark);
	if (rd->depth == CONF_DEPTH)
		return refuse(rd, node->pos, NULL, "nested deeper than 32 levels");
	if (!place(rd, node))
		return false;
	rd->stack[rd->depth++] = (struct open){
		.node = node,
		.end = &node->child,
		.block = block,
		.mark = e->start_mark,
	};
	return true;
}

static bool scalar(struct conf_reader *rd, const yaml_event_t *e)
{
	struct conf_node *node = arena_new(rd->a, struct conf_node);

	node->kind = CONF_NODE_SCALAR;
	node->pos = pos_of(rd, e->start_mark);
	node->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->text = arena_dup(rd->a, str_of((const char *)e->data.scalar.value, e->data.scalar.length));
	return place(rd, node);
}

static bool start_document(struct conf_reader *rd, const yaml_event_t *e)
{
	bool directives =
		e->data.document_start.version_directive ||
		e->data.document_start.tag_directives.start != e->data.document_start.tag_directives.end;

	if (rd->documents++)
		return refuse(rd, pos_of(rd, e->start_mark), "put the other document into a file of its own",
			      "a second document in one file");
	if (directives)
		return refuse(rd, pos_of(rd, e->start_mark), "remove the line that begins with %",
			      "directives are not allowed");
	return true;
}

static bool no_name(struct conf_reader *rd, const yaml_event_t *e, const yaml_char_t *anchor,
		    const yaml_char_t *tag)
{
	if (anchor)
		return refuse(rd, pos_of(rd, e->start_mark), "write a text that begins with & in quotes",
			      "anchors (&name) are not allowed");
	if (tag)
		return refuse(rd, pos_of(rd, e->start_mark), "write a text that begins with ! in quotes",
			      "tags (!name) are not allowed");
	return true;
}

/* One event. False: reading ends here. */
static bool event(struct conf_reader *rd, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT: return start_document(rd, e);
	case YAML_ALIAS_EVENT:
		return refuse(rd, pos_of(rd, e->start_mark), "write a text that begins with * in quotes",
			      "aliases (*name) are not allowed");
	case YAML_SCALAR_EVENT:
		return no_name(rd, e, e->data.scalar.anchor, e->data.scalar.tag) && scalar(rd, e);
	case YAML_SEQUENCE_START_EVENT:
		return no_name(rd, e, e->data.sequence_start.anchor, e->data.sequence_start.tag) &&
		       begin(rd, e, CONF_NODE_SEQUENCE,
			     e->data.sequence_start.style == YAML_BLOCK_SEQUENCE_STYLE);
	case YAML_MAPPING_START_EVENT:
		return no_name(rd, e, e->data.mapping_start.anchor, e->data.mapping_start.tag) &&
		       begin(rd, e, CONF_NODE_MAPPING,
			     e->data.mapping_start.style == YAML_BLOCK_MAPPING_STYLE);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT: rd->depth--; return true;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_END_EVENT: return true;
	}
	return true;
}

static void complain(const struct conf_reader *rd)
{
	const struct open *o = rd->depth ? &rd->stack[rd->depth - 1] : NULL;
	const yaml_parser_t *p = &rd->parser;
	struct conf_complaint c = {
		.problem = p->problem ? p->problem : "this cannot be read",
		.context = p->context ? p->context : "",
		.at = raw_pos(rd, p->problem_mark),
		.text = &rd->text,
	};

	if (p->context)
		c.context_at = raw_pos(rd, p->context_mark);
	if (o && !o->block)
		c.open_at = raw_pos(rd, o->mark);
	conf_explain(&c, rd->r);
}

struct conf_reader *conf_reader_open(struct arena *a, struct str bytes, const char *file,
				     struct conf_report *r)
{
	struct conf_reader *rd = base_zalloc(sizeof *rd);
	struct conf_fault fault;

	*rd = (struct conf_reader){ .a = a, .file = file, .r = r };
	if (bytes.n > CONF_FILE_BYTES) {
		refuse(rd, (struct conf_pos){ .file = file }, "put vhosts into several files",
		       "larger than 1 MiB");
		free(rd);
		return NULL;
	}
	if (!conf_prepare(a, bytes, &rd->text, &fault)) {
		refuse(rd, (struct conf_pos){ file, fault.line, fault.column }, fault.remedy, fault.reason);
		free(rd);
		return NULL;
	}
	BUG_ON(!yaml_parser_initialize(&rd->parser)); /* out of memory */
	yaml_parser_set_encoding(&rd->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&rd->parser, (const unsigned char *)rd->text.bytes.p, rd->text.bytes.n);
	return rd;
}

enum conf_reading conf_reader_step(struct conf_reader *rd, unsigned events)
{
	while (events--) {
		yaml_event_t e;
		bool end, ok;

		if (!yaml_parser_parse(&rd->parser, &e)) {
			BUG_ON(rd->parser.error == YAML_MEMORY_ERROR);
			complain(rd);
			return CONF_READING_STOPPED;
		}
		end = e.type == YAML_STREAM_END_EVENT;
		ok = event(rd, &e);
		yaml_event_delete(&e);
		if (!ok)
			return CONF_READING_STOPPED;
		if (end)
			return CONF_READING_DONE;
	}
	return CONF_READING_MORE;
}

struct conf_node *conf_reader_close(struct conf_reader *rd)
{
	struct conf_node *root = rd->root;

	yaml_parser_delete(&rd->parser);
	free(rd);
	return root;
}

/* FNV-1a, each piece with its kind and length before it. */
static uint64_t hash_bytes(uint64_t h, const void *p, size_t n)
{
	const uint8_t *bytes = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ bytes[i]) * 0x100000001b3u;
	return h;
}

static uint64_t hash_text(uint64_t h, enum conf_node_kind kind, struct str s)
{
	const uint64_t what[2] = { kind, s.n };

	h = hash_bytes(h, what, sizeof what);
	return s.n ? hash_bytes(h, s.p, s.n) : h;
}

uint64_t conf_node_hash(const struct conf_node *node)
{
	uint64_t h = hash_text(0xcbf29ce484222325u, node->kind, node->text);

	for (const struct conf_node *n = node->child; n; n = n->next) {
		uint64_t below = conf_node_hash(n);

		if (n->key)
			h = hash_text(h, CONF_NODE_SCALAR, n->key->text);
		h = hash_bytes(h, &below, sizeof below);
	}
	return h;
}

const struct conf_node *conf_node_get(const struct conf_node *node, const char *key)
{
	if (!node || node->kind != CONF_NODE_MAPPING)
		return NULL;
	for (const struct conf_node *v = node->child; v; v = v->next)
		if (str_eq(v->key->text, str_from_c(key)))
			return v;
	return NULL;
}
