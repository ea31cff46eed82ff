/*
 * explain.c - libyaml's complaints in the words of somebody who writes a configuration.
 */
#include "conf/priv.h"

enum place {
	AT_PROBLEM, /* where libyaml stumbled */
	AT_CONTEXT, /* where what it was reading began */
	AT_OPEN,    /* at the innermost open bracket, when the file ended */
};

/*
 * Columns: libyaml's problem; start of its context (empty: any); characters the place may begin with
 * (empty: any); place; reason; remedy (empty: none; "quote": write the word at that place in quotes).
 * First match counts.
 */
#define COMPLAINT_TABLE(X)                                                                                  \
	X("did not find expected comment or line break", "while scanning a block scalar", ">|", AT_CONTEXT, \
	  "a text cannot begin with this character", "quote")                                               \
	X("did not find expected alphabetic or numeric character", "", "*&", AT_CONTEXT,                    \
	  "a text cannot begin with this character", "quote")                                               \
	X("did not find expected whitespace or line break", "while scanning a tag", "", AT_CONTEXT,         \
	  "a text cannot begin with this character", "quote")                                               \
	X("", "while scanning a tag", "!", AT_CONTEXT, "a text cannot begin with this character", "quote")  \
	X("", "while parsing a tag", "!", AT_CONTEXT, "a text cannot begin with this character", "quote")   \
	X("found undefined tag handle", "", "", AT_PROBLEM, "tags (!name) are not allowed",                 \
	  "write a text that begins with ! in quotes")                                                      \
	X("", "while scanning a directive", "", AT_CONTEXT, "directives are not allowed",                   \
	  "remove the line that begins with %")                                                             \
	X("", "while scanning a %", "", AT_CONTEXT, "directives are not allowed",                           \
	  "remove the line that begins with %")                                                             \
	X("found incompatible YAML document", "", "", AT_PROBLEM, "directives are not allowed",             \
	  "remove the line that begins with %")                                                             \
	X("found duplicate %", "", "", AT_PROBLEM, "directives are not allowed",                            \
	  "remove the line that begins with %")                                                             \
	X("found character that cannot start any token", "", "\t", AT_PROBLEM, "a tab cannot stand here",   \
	  "use blanks")                                                                                     \
	X("found character that cannot start any token", "", "@`%>|", AT_PROBLEM,                           \
	  "a text cannot begin with this character", "quote")                                               \
	X("found a tab character", "", "", AT_PROBLEM, "a tab cannot stand here", "use blanks")             \
	X("found unexpected end of stream", "while scanning a quoted scalar", "", AT_CONTEXT,               \
	  "this quote is never closed", "end the text with the same quote")                                 \
	X("found unexpected document indicator", "while scanning a quoted scalar", "", AT_CONTEXT,          \
	  "this quote is never closed", "end the text with the same quote")                                 \
	X("found invalid Unicode character escape code", "", "", AT_PROBLEM,                                \
	  "JSON's surrogate escapes (\\ud800 to \\udfff) are not read",                                     \
	  "write the character itself, in UTF-8")                                                           \
	X("did not find expected hexdecimal number", "", "", AT_PROBLEM, "this escape lacks a digit",       \
	  "write \\\\ for a backslash")                                                                     \
	X("found unknown escape character", "", "", AT_PROBLEM, "there is no such escape",                  \
	  "write \\\\ for a backslash")                                                                     \
	X("", "while parsing a flow", "{[", AT_OPEN, "this bracket is never closed", "")                    \
	X("did not find expected ',' or '}'", "", "", AT_PROBLEM, "expected \",\" or \"}\" before this",    \
	  "is a comma or a quote missing before it?")                                                       \
	X("did not find expected ',' or ']'", "", "", AT_PROBLEM, "expected \",\" or \"]\" before this",    \
	  "is a comma or a quote missing before it?")                                                       \
	X("did not find expected node content", "", "", AT_PROBLEM, "expected a value here", "")            \
	X("mapping values are not allowed in this context", "", "", AT_PROBLEM,                             \
	  "a key and its value cannot begin here",                                                          \
	  "check the indentation; write a text that has \": \" in it in quotes")                            \
	X("could not find expected ':'", "", "", AT_CONTEXT, "expected \"key: value\"",                     \
	  "is a colon, or the blank behind it, missing?")                                                   \
	X("did not find expected key", "", "", AT_PROBLEM, "expected a key here",                           \
	  "keys of one mapping begin in the same column")                                                   \
	X("did not find expected '-' indicator", "", "", AT_PROBLEM, "expected \"-\" here",                 \
	  "items of one list begin in the same column")                                                     \
	X("block sequence entries are not allowed", "", "", AT_PROBLEM, "a list cannot begin here",         \
	  "begin it on a line of its own; write a text that begins with \"- \" in quotes")                  \
	X("did not find expected <document start>", "", "", AT_PROBLEM,                                     \
	  "something stands behind the end of the configuration",                                           \
	  "is a bracket closed too early? does a line begin with %?")                                       \
	X("found unexpected ':'", "", "", AT_PROBLEM, "a colon cannot stand here",                          \
	  "write the text in quotes")

struct row {
	struct str problem, context;
	const char *characters;
	enum place place;
	const char *reason, *remedy;
};

static const struct row rows[] = {
#define X(problem_, context_, characters_, place_, reason_, remedy_) \
	{ .problem = { problem_, sizeof(problem_) - 1 },             \
	  .context = { context_, sizeof(context_) - 1 },             \
	  .characters = characters_,                                 \
	  .place = place_,                                           \
	  .reason = reason_,                                         \
	  .remedy = remedy_ },
	COMPLAINT_TABLE(X)
#undef X
};

/* What follows a place in the prepared bytes. */
static struct str from_place(struct str s, struct conf_pos pos)
{
	uint32_t code;

	for (unsigned at = 1; at < pos.line && s.n; at++) {
		while (s.n && s.p[0] != '\n' && s.p[0] != '\r')
			s.p++, s.n--;
		if (s.n > 1 && s.p[0] == '\r' && s.p[1] == '\n')
			s.p++, s.n--;
		if (s.n)
			s.p++, s.n--;
	}
	for (unsigned at = 1; at < pos.column && s.n && s.p[0] != '\n' && s.p[0] != '\r'; at++)
		if (!conf_take_char(&s, &code))
			break;
	return s;
}

static bool is_end(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!strchr(" \t\r\n", s.p[i]))
			return false;
	return true;
}

/* The word that a value begins with, as somebody would have meant it. */
static struct str word_of(struct str s, bool json_style)
{
	size_t n = 0;

	while (n < s.n && !strchr(" \t\r\n\"", s.p[n]) &&
	       !(json_style && strchr(",]}", s.p[n])))
		n++;
	return str_of(s.p, n);
}

static bool fits(const struct row *row, const struct conf_complaint *c, struct str here)
{
	return str_starts(str_from_c(c->problem), row->problem) &&
	       str_starts(str_from_c(c->context), row->context) &&
	       (!row->characters[0] || (here.n && strchr(row->characters, here.p[0])));
}

static struct conf_pos place_of(enum place place, const struct conf_complaint *c)
{
	switch (place) {
	case AT_OPEN:
		if (c->open_at.line && is_end(from_place(c->text->bytes, c->at)))
			return c->open_at;
		break;
	case AT_CONTEXT:
		if (c->context_at.line)
			return c->context_at;
		break;
	case AT_PROBLEM:
		break;
	}
	return c->at;
}

void conf_explain(const struct conf_complaint *c, struct conf_report *r)
{
	const struct row *row = NULL;
	struct conf_pos pos = c->at;
	struct str here, word;
	const char *remedy;
	char quoted[128];

	for (size_t i = 0; !row && i < ARRAY_SIZE(rows); i++) {
		pos = place_of(rows[i].place, c);
		here = from_place(c->text->bytes, pos);
		if (fits(&rows[i], c, here))
			row = &rows[i];
	}
	if (!row) {
		pos = c->at;
		pos.column = conf_original_column(c->text, pos.line, pos.column);
		conf_report_add(r, CONF_ERROR, pos, NULL, "%s%s%s", c->problem, c->context[0] ? " " : "",
				c->context);
		return;
	}
	word = word_of(here, c->text->json_style);
	snprintf(quoted, sizeof quoted, "quote it: \"%.*s\"", CONF_QUOTE(word));
	remedy = strcmp(row->remedy, "quote") == 0 ? quoted : row->remedy;
	pos.column = conf_original_column(c->text, pos.line, pos.column);
	conf_report_add(r, CONF_ERROR, pos, remedy, "%s", row->reason);
}
