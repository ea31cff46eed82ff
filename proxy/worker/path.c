#include "proxy/worker/path.h"

void path_split(struct str target, struct str *path, struct str *query)
{
	const char *q = target.n ? memchr(target.p, '?', target.n) : NULL;
	size_t n = q ? (size_t)(q - target.p) : target.n;

	*path = str_of(target.p, n);
	*query = str_of(target.p + n, target.n - n);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = str_lower_char(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986 section 2.3 */
static bool is_unreserved(char c)
{
	char l = str_lower_char(c);

	return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
	       c == '~';
}

/* One character of the path at *i, decoded when it may be; -1: not an encoding. Moves *i on. */
static int next_char(struct str path, size_t *i)
{
	int high, low, c;

	if (path.p[*i] != '%')
		return (uint8_t)path.p[(*i)++];
	if (path.n - *i < 3)
		return -1;
	high = hex_digit(path.p[*i + 1]);
	low = hex_digit(path.p[*i + 2]);
	if (high < 0 || low < 0)
		return -1;
	c = high * 16 + low;
	if (c < 0x80 && is_unreserved((char)c)) {
		*i += 3;
		return c;
	}
	/* its two digits follow as they are: neither is a '%' or a '/' */
	(*i)++;
	return '%';
}

static bool is_dots(const char *segment, size_t n)
{
	return (n == 1 && segment[0] == '.') || (n == 2 && segment[0] == '.' && segment[1] == '.');
}

/* Nothing to decode, nothing to remove: most paths. */
static bool is_plain(struct str path)
{
	for (size_t i = 0; i < path.n; i++) {
		if (path.p[i] == '%' || path.p[i] == '#')
			return false;
		if (path.p[i] == '/' && i + 1 < path.n && path.p[i + 1] == '.')
			return false;
	}
	return true;
}

bool path_normalise(struct arena *a, struct str path, struct str *out)
{
	char *to;
	size_t n = 0;

	if (!path.n || path.p[0] != '/')
		return false;
	if (is_plain(path)) {
		*out = path;
		return true;
	}
	to = arena_alloc(a, path.n + 1);
	for (size_t i = 0; i < path.n;) {
		size_t slash = n, segment = n + 1;

		to[n++] = path.p[i++];
		while (i < path.n && path.p[i] != '/') {
			int c = next_char(path, &i);

			if (c < 0 || c == '#')
				return false;
			to[n++] = (char)c;
		}
		if (!is_dots(to + segment, n - segment))
			continue;
		/* RFC 3986 section 5.2.4: "." goes, ".." takes the segment before it along */
		if (n - segment == 2)
			while (slash && to[--slash] != '/')
				;
		n = slash;
		if (i == path.n)
			to[n++] = '/';
	}
	*out = str_of(to, n);
	return true;
}

bool path_is_under(struct str path, struct str prefix)
{
	if (prefix.n == 1)
		prefix.n = 0;
	if (!path.n || path.p[0] != '/')
		return false;
	return !prefix.n || (str_starts(path, prefix) && (path.n == prefix.n || path.p[prefix.n] == '/'));
}

struct str path_rebase(struct arena *a, struct str path, struct str from, struct str to, struct str suffix)
{
	struct str rest;
	char *p;
	size_t n = 0;

	BUG_ON(!path_is_under(path, from));
	if (from.n == 1)
		from.n = 0;
	if (to.n == 1)
		to.n = 0;
	rest = str_of(path.p + from.n, path.n - from.n);
	if (!to.n && !rest.n)
		rest = STR("/");
	p = arena_alloc(a, to.n + rest.n + suffix.n + 1);
	if (to.n)
		memcpy(p, to.p, to.n);
	n = to.n;
	if (rest.n)
		memcpy(p + n, rest.p, rest.n);
	n += rest.n;
	if (suffix.n)
		memcpy(p + n, suffix.p, suffix.n);
	n += suffix.n;
	p[n] = '\0';
	return str_of(p, n);
}
