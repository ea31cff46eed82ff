/*
 * target.c - request targets and hosts (RFC 9112 section 3.2, RFC 3986 section 3.2.2).
 */
#include "h1/priv.h"

#include <arpa/inet.h>

/* The content of the brackets. Zones and IPvFuture are refused: nobody routes by them. */
static bool is_ipv6(struct str s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (s.n >= sizeof text)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = 0;
	return strlen(text) == s.n && inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_reg_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (h1_is(s.p[i], H1_REG_NAME))
			continue;
		if (s.p[i] != '%' || s.n - i < 3 || !h1_is(s.p[i + 1], H1_HEX) || !h1_is(s.p[i + 2], H1_HEX))
			return false;
		i += 2;
	}
	return s.n > 0; /* RFC 9110 section 4.2.1: an empty host is invalid */
}

bool h1_host_is_valid(struct str s)
{
	struct str host = s;
	uint64_t port;

	if (s.n && s.p[0] == '[') {
		const char *end = memchr(s.p, ']', s.n);

		if (!end || !is_ipv6(str_of(s.p + 1, (size_t)(end - s.p) - 1)))
			return false;
		host.n = (size_t)(end - s.p) + 1;
	} else {
		const char *colon = s.n ? memchr(s.p, ':', s.n) : NULL;

		if (colon)
			host.n = (size_t)(colon - s.p);
		if (!is_reg_name(host))
			return false;
	}
	if (host.n == s.n)
		return true;
	if (s.p[host.n] != ':')
		return false;
	/* RFC 3986 section 3.2.3: the port may be empty */
	s = str_of(s.p + host.n + 1, s.n - host.n - 1);
	return s.n == 0 || str_to_u64(s, 65535, &port);
}

/* "http://host[:port][/path][?query]"; `scheme` is that of the target without "://" (RFC 9112 section 3.2.2).
 */
static enum err read_absolute(struct arena *a, struct head *h, struct str target, struct str scheme)
{
	struct str rest = str_of(target.p + scheme.n + 3, target.n - scheme.n - 3);
	size_t n = 0;

	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
		n++;
	h->scheme = scheme;
	h->authority = str_of(rest.p, n);
	if (!h1_host_is_valid(h->authority))
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
	static const struct str schemes[] = {{"http", 4}, {"https", 5}};

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
