#include "core/syntax.h"
#include <arpa/inet.h>

#define IS_DIGIT(c)   ((c) >= '0' && (c) <= '9')
#define IS_ALPHA(c)   (((c) >= 'a' && (c) <= 'z') || ((c) >= 'A' && (c) <= 'Z'))
#define IS_HEX(c)     (IS_DIGIT(c) || ((c) >= 'a' && (c) <= 'f') || ((c) >= 'A' && (c) <= 'F'))
#define IS_VISIBLE(c) ((c) >= 0x21 && (c) <= 0x7e)

/* RFC 9110 section 5.6.2 */
#define IS_TCHAR(c)                                                                                          \
	(IS_DIGIT(c) || IS_ALPHA(c) || (c) == '!' || (c) == '#' || (c) == '$' || (c) == '%' || (c) == '&' || \
	 (c) == '\'' || (c) == '*' || (c) == '+' || (c) == '-' || (c) == '.' || (c) == '^' || (c) == '_' ||  \
	 (c) == '`' || (c) == '|' || (c) == '~')
/* RFC 9110 section 5.5, obs-text included */
#define IS_VALUE(c) ((c) == '\t' || ((c) >= 0x20 && (c) != 0x7f))
/*
 * RFC 9112 section 3.2. More than RFC 3986 allows, since browsers send '|', '^' and braces as they are;
 * a fragment never belongs here, and '\' is '/' to some and a letter to others.
 */
#define IS_TARGET(c) (IS_VISIBLE(c) && (c) != '#' && (c) != '\\')
/* unreserved and sub-delims of RFC 3986 section 2, without the ',' that makes a list */
#define IS_REG_NAME(c)                                                                                       \
	(IS_DIGIT(c) || IS_ALPHA(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~' || (c) == '!' || \
	 (c) == '$' || (c) == '&' || (c) == '\'' || (c) == '(' || (c) == ')' || (c) == '*' || (c) == '+' ||  \
	 (c) == ';' || (c) == '=')

#define CLASS(c)                                                               \
	((IS_TCHAR(c) ? SYNTAX_TCHAR : 0) | (IS_VALUE(c) ? SYNTAX_VALUE : 0) | \
	 (IS_TARGET(c) ? SYNTAX_TARGET : 0) |                                  \
	 (IS_REG_NAME(c) ? SYNTAX_REG_NAME : 0) | (IS_HEX(c) ? SYNTAX_HEX : 0))
#define CLASS_4(c)  CLASS(c), CLASS((c) + 1), CLASS((c) + 2), CLASS((c) + 3)
#define CLASS_16(c) CLASS_4(c), CLASS_4((c) + 4), CLASS_4((c) + 8), CLASS_4((c) + 12)
#define CLASS_64(c) CLASS_16(c), CLASS_16((c) + 16), CLASS_16((c) + 32), CLASS_16((c) + 48)

const uint8_t syntax_chars[256] = { CLASS_64(0), CLASS_64(64), CLASS_64(128), CLASS_64(192) };

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
		if (syntax_is(s.p[i], SYNTAX_REG_NAME))
			continue;
		if (s.p[i] != '%' || s.n - i < 3 || !syntax_is(s.p[i + 1], SYNTAX_HEX) ||
		    !syntax_is(s.p[i + 2], SYNTAX_HEX))
			return false;
		i += 2;
	}
	return s.n > 0; /* RFC 9110 section 4.2.1: an empty host is invalid */
}

bool syntax_host_is_valid(struct str s)
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
