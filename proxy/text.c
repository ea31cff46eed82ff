#include "proxy/text.h"
#include <stdarg.h>

enum { FIRST_BYTES = 1024 };

static char *room(struct text *t, size_t n)
{
	size_t cap = t->cap ? t->cap : FIRST_BYTES;
	char *p;

	if (n <= t->cap - t->n)
		return t->p + t->n;
	while (cap - t->n < n)
		cap *= 2;
	if (t->arena) {
		p = arena_alloc(t->arena, cap);
		if (t->n)
			memcpy(p, t->p, t->n);
	} else {
		p = base_realloc(t->p, cap);
	}
	t->p = p;
	t->cap = cap;
	return t->p + t->n;
}

void text_put(struct text *t, struct str s)
{
	if (s.n)
		memcpy(room(t, s.n), s.p, s.n);
	t->n += s.n;
}

void text_printf(struct text *t, const char *fmt, ...)
{
	va_list args, again;
	int n;

	va_start(args, fmt);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	BUG_ON(n < 0);
	vsnprintf(room(t, (size_t)n + 1), (size_t)n + 1, fmt, again);
	va_end(again);
	t->n += (size_t)n;
}

void text_number(struct text *t, uint64_t n)
{
	char digits[20], *d = digits + sizeof digits;

	do
		*--d = (char)('0' + n % 10);
	while (n /= 10);
	text_put(t, str_of(d, (size_t)(digits + sizeof digits - d)));
}

void text_html(struct text *t, struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '&')
			text_put(t, STR("&amp;"));
		else if (c == '<')
			text_put(t, STR("&lt;"));
		else if (c == '>')
			text_put(t, STR("&gt;"));
		else if (c == '"')
			text_put(t, STR("&quot;"));
		else if (c == '\'')
			text_put(t, STR("&#39;"));
		else
			text_put(t, c >= ' ' && c < 0x7f ? str_of(&c, 1) : STR("?"));
	}
}

size_t text_json_escape(char *out, size_t cap, struct str s)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		const char quoted[] = { '\\', (char)c };
		const char coded[] = { '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] };
		struct str piece = str_of((const char *)&c, 1);

		if (c == '"' || c == '\\')
			piece = str_of(quoted, sizeof quoted);
		else if (c < ' ' || c >= 0x7f || c == '<')
			piece = str_of(coded, sizeof coded);
		if (piece.n > cap - n)
			break;
		memcpy(out + n, piece.p, piece.n);
		n += piece.n;
	}
	return n;
}

void text_json(struct text *t, struct str s)
{
	char *p = room(t, TEXT_JSON_MOST * s.n + 2);
	size_t n = text_json_escape(p + 1, TEXT_JSON_MOST * s.n, s);

	p[0] = p[n + 1] = '"';
	t->n += n + 2;
}

void text_label(struct text *t, struct str s)
{
	char *p = room(t, 2 * s.n);

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '"' || c == '\\')
			*p++ = '\\';
		*p++ = c >= ' ' && c < 0x7f ? c : '?';
	}
	t->n = (size_t)(p - t->p);
}
