#include "conf/priv.h"
#include <stdarg.h>

enum {
	SHOWN_COLUMNS = 100, /* of a line; longer ones are cut around the caret */
	SHOWN_BEFORE = 60,   /* of these, before the caret */
};

void conf_report_init(struct conf_report *r)
{
	*r = (struct conf_report){ 0 };
	arena_init(&r->arena);
}

void conf_report_fini(struct conf_report *r)
{
	arena_fini(&r->arena);
	*r = (struct conf_report){ 0 };
}

/* Files come in some order; those nobody has shown come last. */
static size_t file_order(const struct conf_report *r, const char *file)
{
	for (size_t i = 0; file && i < r->ntexts; i++)
		if (strcmp(r->texts[i].path.p, file) == 0)
			return i;
	return r->ntexts;
}

void conf_report_add(struct conf_report *r, enum conf_severity severity, struct conf_pos pos,
		     const char *remedy, const char *fmt, ...)
{
	struct conf_message *m;
	char text[1024];
	va_list args;
	int n;

	r->counts[severity]++;
	if (r->n == CONF_REPORT_MESSAGES)
		return;
	va_start(args, fmt);
	n = vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	BUG_ON(n < 0);

	arena_grow(&r->arena, r->messages, r->n, r->cap);
	m = &r->messages[r->n];
	*m = (struct conf_message){
		.severity = severity,
		.pos = pos,
		.reason = arena_dup(&r->arena, str_of(text, MIN((size_t)n, sizeof text - 1))),
		.order = (unsigned)r->n++,
	};
	if (pos.file)
		m->pos.file = arena_dup_c(&r->arena, str_from_c(pos.file));
	if (remedy)
		m->remedy = arena_dup(&r->arena, str_from_c(remedy));
	m->file_order = (unsigned)file_order(r, pos.file);
}

void conf_report_text(struct conf_report *r, struct str path, struct str bytes)
{
	arena_grow(&r->arena, r->texts, r->ntexts, r->texts_cap);
	r->texts[r->ntexts++] = (struct conf_text){
		.path = arena_dup(&r->arena, path),
		.bytes = arena_dup(&r->arena, bytes),
	};
}

/* ":12" off the front of a text. */
static bool take_number(const char **text, unsigned *out)
{
	size_t n = **text == ':' ? strspn(*text + 1, "0123456789") : 0;
	uint64_t value;

	if (!str_to_u64(str_of(*text + 1, n), UINT32_MAX, &value))
		return false;
	*out = (unsigned)value;
	*text += 1 + n;
	return true;
}

void conf_report_add_line(struct conf_report *r, enum conf_severity severity, const char *line)
{
	struct conf_pos pos = { 0 };

	for (size_t i = 0; i < r->ntexts; i++) {
		struct str path = r->texts[i].path;
		const char *rest = line;

		if (!str_starts(str_from_c(line), path))
			continue;
		rest += path.n;
		if (!take_number(&rest, &pos.line) || !take_number(&rest, &pos.column) ||
		    strncmp(rest, ": ", 2) != 0)
			continue;
		pos.file = path.p;
		conf_report_add(r, severity, pos, NULL, "%s", rest + 2);
		return;
	}
	conf_report_add(r, severity, (struct conf_pos){ 0 }, NULL, "%s", line);
}

static int compare(const void *a, const void *b)
{
	const struct conf_message *x = a, *y = b;

	if (x->file_order != y->file_order)
		return x->file_order < y->file_order ? -1 : 1;
	if (x->pos.line != y->pos.line)
		return x->pos.line < y->pos.line ? -1 : 1;
	if (x->pos.column != y->pos.column)
		return x->pos.column < y->pos.column ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

void conf_report_sort(struct conf_report *r)
{
	if (r->n)
		qsort(r->messages, r->n, sizeof *r->messages, compare);
}

/* How many bytes the character at s begins with: 1 also for a byte that begins none. */
static size_t char_bytes(struct str s)
{
	struct str c = s;
	uint32_t code;

	return conf_take_char(&c, &code) ? (size_t)(c.p - s.p) : 1;
}

/* One character so that it harms no terminal. Returns the columns it takes; out NULL: only that. */
static size_t put_char(struct str c, FILE *out)
{
	unsigned char first = (unsigned char)c.p[0];
	bool c1 = c.n == 2 && first == 0xc2 && (unsigned char)c.p[1] < 0xa0;

	if ((c.n == 1 && (first < 0x20 || first >= 0x7f) && first != '\t') || c1) {
		for (size_t i = 0; out && i < c.n; i++)
			fprintf(out, "\\x%02x", (unsigned char)c.p[i]);
		return 4 * c.n;
	}
	if (out)
		fwrite(c.p, 1, c.n, out);
	return 1;
}

static void put(struct str s, FILE *out)
{
	while (s.n) {
		size_t n = char_bytes(s);

		put_char(str_of(s.p, n), out);
		s = str_of(s.p + n, s.n - n);
	}
}

/* A line of the file, without its end. */
static bool find_line(struct str s, unsigned line, struct str *out)
{
	size_t start = 0, end;

	for (unsigned at = 1; at < line; at++) {
		while (start < s.n && s.p[start] != '\n' && s.p[start] != '\r')
			start++;
		if (start == s.n)
			return false;
		start += s.p[start] == '\r' && start + 1 < s.n && s.p[start + 1] == '\n' ? 2 : 1;
	}
	for (end = start; end < s.n && s.p[end] != '\n' && s.p[end] != '\r'; end++)
		;
	*out = str_of(s.p + start, end - start);
	return true;
}

/* The line and, under its column, the caret. Tabs stand in both, so that they agree on any terminal. */
static void put_line(struct str line, unsigned column, FILE *out)
{
	unsigned skip = column > SHOWN_COLUMNS ? column - SHOWN_BEFORE : 1;
	struct str rest = line;
	unsigned at = 1;

	for (; rest.n && at < skip; at++) {
		size_t n = char_bytes(rest);

		rest = str_of(rest.p + n, rest.n - n);
	}
	line = rest;
	fprintf(out, "    %s", skip > 1 ? "..." : "");
	for (; rest.n && at < skip + SHOWN_COLUMNS; at++) {
		size_t n = char_bytes(rest);

		put_char(str_of(rest.p, n), out);
		rest = str_of(rest.p + n, rest.n - n);
	}
	fprintf(out, "%s\n    %s", rest.n ? "..." : "", skip > 1 ? "   " : "");
	rest = line;
	for (at = skip; at < column; at++) {
		size_t n = rest.n ? char_bytes(rest) : 0;
		size_t width = n ? put_char(str_of(rest.p, n), NULL) : 1;

		fprintf(out, "%*s", (int)width, n && rest.p[0] == '\t' ? "\t" : " ");
		rest = str_of(rest.p + n, rest.n - n);
	}
	fputs("^\n", out);
}

void conf_report_print_one(const struct conf_report *r, const struct conf_message *m, FILE *out)
{
	static const char *const names[] = {
		[CONF_NOTE] = "note",
		[CONF_WARNING] = "warning",
		[CONF_ERROR] = "error",
	};
	size_t i = file_order(r, m->pos.file);
	struct str line;

	if (m->pos.file) {
		put(str_from_c(m->pos.file), out);
		if (m->pos.line)
			fprintf(out, ":%u:%u", m->pos.line, m->pos.column);
		fputs(": ", out);
	}
	fprintf(out, "%s: ", names[m->severity]);
	put(m->reason, out);
	fputc('\n', out);
	if (m->pos.line && i < r->ntexts && find_line(r->texts[i].bytes, m->pos.line, &line))
		put_line(line, m->pos.column, out);
	if (m->remedy.n) {
		fputs("help: ", out);
		put(m->remedy, out);
		fputc('\n', out);
	}
}

void conf_report_print(const struct conf_report *r, enum conf_severity least, FILE *out)
{
	size_t all = r->counts[CONF_NOTE] + r->counts[CONF_WARNING] + r->counts[CONF_ERROR];

	for (size_t i = 0; i < r->n; i++)
		if (r->messages[i].severity >= least)
			conf_report_print_one(r, &r->messages[i], out);
	if (all > r->n)
		fprintf(out, "and %zu more\n", all - r->n);
}
