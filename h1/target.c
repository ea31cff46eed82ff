/*
 * target.c - request targets (RFC 9112 section 3.2).
 */
#include "h1/priv.h"

/* scheme "://" host [ ":" port ] [ path ] [ "?" query ] (RFC 9112 section 3.2.2) */
static enum err read_absolute(struct arena *a, struct head *h, struct str target, struct str scheme)
{
	struct str rest = str_of(target.p + scheme.n + 3, target.n - scheme.n - 3);
	size_t n = 0;

	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
		n++;
	h->scheme = scheme;
	h->authority = str_of(rest.p, n);
	if (!syntax_host_is_valid(h->authority))
		return ERR_BAD_TARGET;
	h->path = str_of(rest.p + n, rest.n - n);
	if (h->path.n == 0) /* RFC 9112 section 3.2.4 */
		h->path = str_eq(h->method, STR("OPTIONS")) ? STR("*") : STR("/");
	else if (h->path.p[0] == '?')
		h->path = arena_printf(a, "/%.*s", STR_ARG(h->path));
	return ERR_OK;
}

enum err h1_read_target(struct arena *a, struct head *h, struct str target)
{
	static const struct str schemes[] = { { "http", 4 }, { "https", 5 } };

	h->path = target;
	if (str_eq(target, STR("*"))) /* RFC 9112 section 3.2.4 */
		return str_eq(h->method, STR("OPTIONS")) ? ERR_OK : ERR_BAD_TARGET;
	if (target.p[0] == '/')
		return ERR_OK;
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		size_t n = schemes[i].n;

		if (target.n >= n + 3 && str_eq_nocase(str_of(target.p, n), schemes[i]) &&
		    memcmp(target.p + n, "://", 3) == 0)
			return read_absolute(a, h, target, schemes[i]);
	}
	/* authority-form is for CONNECT alone, asterisk-form for OPTIONS (RFC 9112 section 3.2.3) */
	return ERR_BAD_TARGET;
}
