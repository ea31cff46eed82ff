#include "conf/priv.h"

bool conf_take_char(struct str *s, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *p = (const unsigned char *)s->p;
	size_t n;

	if (!s->n)
		return false;
	if (p[0] < 0x80)
		n = 1, *code = p[0];
	else if (p[0] >= 0xc2 && p[0] < 0xe0)
		n = 2, *code = p[0] & 0x1f;
	else if (p[0] >= 0xe0 && p[0] < 0xf0)
		n = 3, *code = p[0] & 0x0f;
	else if (p[0] >= 0xf0 && p[0] < 0xf5)
		n = 4, *code = p[0] & 0x07;
	else
		return false;
	if (s->n < n)
		return false;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return false;
		*code = *code << 6 | (p[i] & 0x3f);
	}
	if (*code < least[n] || (*code >= 0xd800 && *code < 0xe000) || *code > 0x10ffff)
		return false;
	*s = str_of(s->p + n, s->n - n);
	return true;
}

/*
 * Why a character may not stand in a configuration. What libyaml refuses, and the line ends that only
 * YAML 1.1 knows: an editor does not show them as such.
 */
static const char *refused_char(uint32_t code)
{
	if (code == 0)
		return "a NUL byte: this is no text file";
	if ((code < 0x20 && code != '\t' && code != '\n' && code != '\r') || (code >= 0x7f && code < 0xa0))
		return "a control character";
	if (code == 0x2028 || code == 0x2029)
		return "a Unicode line separator";
	if (code == 0xfeff || (code >= 0xfffe && code <= 0xffff))
		return "a character that no text holds";
	return NULL;
}

/* JSON-style: the first thing that is neither blank nor comment opens an object or a list. */
static bool is_json_style(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '#')
			while (i + 1 < s.n && s.p[i + 1] != '\n' && s.p[i + 1] != '\r')
				i++;
		else if (!strchr(" \t\r\n", s.p[i]))
			return s.p[i] == '{' || s.p[i] == '[';
	}
	return false;
}

enum { TAB = 8 }; /* columns from one tab stop to the next */

struct prepare {
	char *out;
	size_t n, line; /* where the line begins in out */
	bool json;
	bool indentation; /* nothing but indentation so far in this line */
	bool comment;
	char quote;   /* within a string: what ends it */
	bool escaped; /* a backslash stood before, within "" */
	char before;  /* last character outside blanks, comments and strings */
};

/*
 * lwsws takes '#' anywhere outside strings for a comment, YAML only after a blank: in JSON-style files it is
 * cut here. A quote opens a string where a value or key may begin; '' within '' goes on.
 */
static void json_char(struct prepare *p, char c)
{
	if (p->quote) {
		if (p->escaped)
			p->escaped = false;
		else if (c == '\\' && p->quote == '"')
			p->escaped = true;
		else if (c == p->quote)
			p->quote = 0;
		return;
	}
	if (c == '#') {
		p->comment = true;
		return;
	}
	if ((c == '"' || c == '\'') && (p->before == 0 || strchr("{[,:", p->before)))
		p->quote = c;
	else if (c == '\'' && p->before == '\'' && p->n && p->out[p->n - 1] == '\'')
		p->quote = c;
	if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
		p->before = c;
}

static void add_line(struct arena *a, struct conf_prepared *out, const char *start)
{
	arena_grow(a, out->lines, out->nlines, out->lines_cap);
	out->lines[out->nlines++] = (struct conf_line){ .at = start };
}

/* A character of the original, or the blanks that stand for a tab in the indentation. */
static void put(struct prepare *p, struct conf_line *line, const char *c, struct str rest)
{
	bool blank_follows = rest.n && (rest.p[0] == ' ' || rest.p[0] == '\t');

	if (*c != ' ' && *c != '\t' && !((*c == '-' || *c == '?') && blank_follows))
		p->indentation = false;
	if (p->indentation && *c == '\t') {
		do
			p->out[p->n++] = ' ';
		while ((p->n - p->line) % TAB);
	} else {
		while (c < rest.p)
			p->out[p->n++] = *c++;
	}
	if (p->indentation) {
		line->indent++;
		line->indent_seen = (unsigned)(p->n - p->line);
	}
}

static size_t count_tabs(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '\t';
	return n;
}

bool conf_prepare(struct arena *a, struct str in, struct conf_prepared *out, struct conf_fault *fault)
{
	size_t tabs = count_tabs(in);
	struct prepare p = { .out = arena_alloc(a, in.n + (TAB - 1) * tabs), .indentation = true };
	unsigned column = 1;

	*out = (struct conf_prepared){ .tabs = tabs > 0 };
	if (str_starts(in, STR("\xef\xbb\xbf")))
		in = str_of(in.p + 3, in.n - 3);
	p.json = out->json_style = is_json_style(in);
	add_line(a, out, in.p);
	while (in.n) {
		const char *at = in.p;
		uint32_t code;

		*fault = (struct conf_fault){ (unsigned)out->nlines, column, NULL, NULL };
		if (!conf_take_char(&in, &code)) {
			fault->reason = "this is not UTF-8";
			fault->remedy = "save the file as UTF-8";
			return false;
		}
		fault->reason = refused_char(code);
		if (fault->reason)
			return false;
		if (code == '\n' || code == '\r') {
			p.comment = false;
			p.escaped = false;
			p.indentation = true;
			p.out[p.n++] = (char)code;
			p.line = p.n;
			if (code == '\r' && in.n && in.p[0] == '\n')
				continue;
			add_line(a, out, in.p);
			column = 1;
			continue;
		}
		column++;
		if (p.json && !p.comment)
			json_char(&p, *at);
		if (!p.comment)
			put(&p, &out->lines[out->nlines - 1], at, in);
	}
	out->bytes = str_of(p.out, p.n);
	return true;
}

/*
 * Walks the indentation of a line, with tabs `tab` wide. Stops behind it, or when `stop` columns are reached:
 * of the original, or of what is seen. Returns both.
 */
static void walk(const struct conf_line *line, unsigned tab, unsigned stop, bool stop_at_seen,
		 unsigned *original, unsigned *seen)
{
	for (*original = *seen = 0; *original < line->indent; ++*original) {
		if ((stop_at_seen ? *seen : *original) >= stop)
			break;
		*seen += line->at[*original] == '\t' ? tab - *seen % tab : 1;
	}
}

unsigned conf_original_column(const struct conf_prepared *p, unsigned line, unsigned column)
{
	const struct conf_line *l = line <= p->nlines ? &p->lines[line - 1] : NULL;
	unsigned original, seen;

	if (!l || l->indent == l->indent_seen)
		return column;
	if (column > l->indent_seen)
		return column - l->indent_seen + l->indent;
	walk(l, TAB, column - 1, true, &original, &seen);
	return original + 1;
}

/* -1, 0, 1: how the column at the end of one indentation lies to that of another, with tabs so wide. */
static int compare(const struct conf_prepared *p, struct conf_pos a, struct conf_pos b, unsigned tab)
{
	unsigned at_a, at_b, seen_a, seen_b;

	walk(&p->lines[a.line - 1], tab, a.column - 1, false, &at_a, &seen_a);
	walk(&p->lines[b.line - 1], tab, b.column - 1, false, &at_b, &seen_b);
	if (at_a != a.column - 1 || at_b != b.column - 1)
		return 2; /* something else stands before it: not a matter of indentation */
	return seen_a < seen_b ? -1 : seen_a > seen_b;
}

bool conf_same_with_any_tab(const struct conf_prepared *p, struct conf_pos a, struct conf_pos b)
{
	int wide = compare(p, a, b, TAB);

	return !p->tabs || (wide == compare(p, a, b, 4) && wide == compare(p, a, b, 2));
}
