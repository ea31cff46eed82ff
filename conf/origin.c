/*
 * origin.c - what a mount's origin, a mountpoint, a vhost's name and an address say. Pure.
 */
#include "conf/priv.h"
#include <arpa/inet.h>

enum { HOST_BYTES = 253, LABEL_BYTES = 63 };

static struct str after(struct str s, size_t n)
{
	return str_of(s.p + n, s.n - n);
}

static struct str without_slashes(struct str s)
{
	while (s.n && s.p[s.n - 1] == '/')
		s.n--;
	return s;
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool conf_address_parse(struct arena *a, struct str host, struct str *out, bool *is_ip6)
{
	char in[INET6_ADDRSTRLEN + 1], text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (host.n == 0 || host.n >= sizeof in || memchr(host.p, 0, host.n))
		return false;
	memcpy(in, host.p, host.n);
	in[host.n] = '\0';
	*is_ip6 = memchr(in, ':', host.n) != NULL;
	if (inet_pton(*is_ip6 ? AF_INET6 : AF_INET, in, &address) != 1)
		return false;
	BUG_ON(!inet_ntop(*is_ip6 ? AF_INET6 : AF_INET, &address, text, sizeof text));
	*out = arena_dup(a, str_from_c(text));
	return true;
}

/*
 * A path as it stands in a request target (RFC 3986 section 3.3), in the one form that the router compares
 * with: no dot segments, nothing percent-encoded that need not be.
 */
static const char *check_path(struct str path, const char **remedy)
{
	for (size_t i = 0; i < path.n; i++) {
		char c = path.p[i];

		if (c == '?' || c == '#')
			return "a path ends before \"?\" and \"#\"";
		if (c == '\\')
			return "a path has no backslash";
		if (c <= ' ' || c >= 0x7f || strchr("\"<>^`{|}", c)) {
			*remedy = "percent-encode it, as a request does";
			return "a path is made of printable ASCII characters without blanks";
		}
		if (c == '%' && (i + 2 >= path.n || !is_hex(path.p[i + 1]) || !is_hex(path.p[i + 2])))
			return "two hexadecimal digits follow \"%\" in a path";
		if (c == '%') {
			const char hex[] = { path.p[i + 1], path.p[i + 2], 0 };
			char plain = (char)strtol(hex, NULL, 16);

			if (is_alnum(plain) || (plain && strchr("-._~", plain))) {
				*remedy = "write the character itself";
				return "a percent-encoded letter, digit or one of - . _ ~";
			}
		}
		if (c == '/' && i + 1 < path.n && path.p[i + 1] == '.') {
			size_t dots = i + 2 < path.n && path.p[i + 2] == '.' ? 2 : 1;

			if (i + 1 + dots == path.n || path.p[i + 1 + dots] == '/')
				return "\".\" and \"..\" have no meaning here";
		}
	}
	return NULL;
}

const char *conf_mountpoint_parse(struct str s, struct str *out, const char **remedy)
{
	if (!s.n || s.p[0] != '/') {
		*remedy = "write \"/\" for all paths, or \"/app\"";
		return "a mountpoint begins with \"/\"";
	}
	*out = without_slashes(s);
	if (!out->n)
		*out = STR("/");
	return check_path(s, remedy);
}

/* Labels and dots (RFC 1123 section 2.1); and '_', which is not rare. */
static const char *check_labels(struct str rest, const char **remedy)
{
	size_t label = 0;

	if (rest.n > HOST_BYTES)
		return "a host name has at most 253 characters";
	for (size_t i = 0; i < rest.n; i++) {
		char c = rest.p[i];

		if ((unsigned char)c >= 0x80) {
			*remedy = "write the name's ASCII form, which begins with xn--";
			return "a host name is made of letters, digits, \"-\" and \".\"";
		}
		if (c != '.' && c != '-' && c != '_' && !is_alnum(c))
			return "a host name is made of letters, digits, \"-\" and \".\"";
		label = c == '.' ? 0 : label + 1;
		if (label > LABEL_BYTES)
			return "a label of a host name has at most 63 characters";
		if (c == '.' && (i == 0 || rest.p[i - 1] == '.'))
			return "an empty label in a host name";
	}
	return label ? NULL : "an empty label in a host name";
}

const char *conf_name_parse(struct str s, struct str *out, const char **remedy)
{
	struct str rest = s;

	if (rest.n && rest.p[rest.n - 1] == '.')
		rest.n--;
	*out = rest;
	if (!rest.n)
		return "a vhost's name is empty";
	if (memchr(rest.p, ':', rest.n)) {
		*remedy = "the port has a key of its own: \"port\"";
		return "a vhost's name is a host name, without a port";
	}
	if (str_starts(rest, STR("*.")))
		rest = after(rest, 2);
	if (rest.n && memchr(rest.p, '*', rest.n)) {
		*remedy = "names that no vhost has go to the first vhost of their port";
		return "\"*\" stands for the first label only, as in *.example.com";
	}
	return check_labels(rest, remedy);
}

/* "127.1", "0x7f000001": the C library would take them for addresses, and others for names. */
static bool is_like_a_number(struct str host)
{
	size_t dot = host.n;
	struct str last;

	while (dot && host.p[dot - 1] != '.')
		dot--;
	last = after(host, dot);
	if (last.n > 1 && last.p[0] == '0' && (last.p[1] | 0x20) == 'x')
		return true;
	for (size_t i = 0; i < last.n; i++)
		if (last.p[i] < '0' || last.p[i] > '9')
			return false;
	return true;
}

const char *conf_upstream_parse(struct arena *a, struct str host, struct str *out, bool *is_name,
				const char **remedy)
{
	struct str labels = host;
	const char *reason;
	bool is_ip6;
	char *p;

	*is_name = false;
	/* needs no looking up */
	if (str_eq_nocase(host, STR("localhost")))
		host = STR("127.0.0.1");
	if (conf_address_parse(a, host, out, &is_ip6)) {
		*remedy = "write it in brackets, and the port behind them: [::1]:8080";
		return is_ip6 ? "an IPv6 address stands in \"[\" and \"]\"" : NULL;
	}
	/* a dot at its end says that nothing is to be put behind it: it stays */
	if (labels.n && labels.p[labels.n - 1] == '.')
		labels.n--;
	reason = check_labels(labels, remedy);
	if (reason)
		return reason;
	if (is_like_a_number(labels)) {
		*remedy = "write four numbers from 0 to 255, or a host name";
		return "neither an IPv4 address nor a host name";
	}
	p = arena_alloc(a, host.n);
	for (size_t i = 0; i < host.n; i++)
		p[i] = str_lower_char(host.p[i]);
	*out = str_of(p, host.n);
	*is_name = true;
	return NULL;
}

/* "/run/app.sock:/base", "/run/app.sock", "@name:/base" */
static const char *unix_origin(struct str s, struct conf_origin *o, const char **remedy)
{
	const char *colon = s.n ? memchr(s.p, ':', s.n) : NULL;
	size_t n = colon ? (size_t)(colon - s.p) : s.n;

	o->is_unix = true;
	o->address = str_of(s.p, n);
	if (n < 2 || (s.p[0] != '/' && s.p[0] != '@')) {
		*remedy = "write http://+/run/app.sock:/ or unix:/run/app.sock";
		return "a socket's path begins with \"/\", an abstract name with \"@\"";
	}
	if (n > CONF_UNIX_PATH_BYTES) {
		*remedy = "a Unix socket's address has no room for more: move the socket";
		return "a socket's path has at most 107 bytes";
	}
	o->base = colon ? after(s, n + 1) : STR("");
	if (o->base.n && o->base.p[0] != '/') {
		*remedy = "write http://+/run/app.sock:/base";
		return "behind the socket and \":\" comes a path that begins with \"/\"";
	}
	return NULL;
}

/* "127.0.0.1:8080/base", "[::1]:8080", "localhost" */
static const char *tcp_origin(struct str s, struct conf_origin *o, const char **remedy)
{
	size_t n = 0;
	uint64_t port = o->tls ? 443 : 80;
	struct str host, rest;

	while (n < s.n && s.p[n] != '/' && s.p[n] != '?' && s.p[n] != '#')
		n++;
	o->base = after(s, n);
	host = str_of(s.p, n);
	if (memchr(s.p, '@', n))
		return "an origin holds no user name";
	if (host.n && host.p[0] == '[') {
		const char *end = memchr(host.p, ']', host.n);

		if (!end)
			return "the address's \"]\" is missing";
		rest = after(host, (size_t)(end - host.p) + 1);
		host = str_of(host.p + 1, (size_t)(end - host.p) - 1);
		o->is_ip6 = true;
	} else {
		for (n = 0; n < host.n && host.p[n] != ':'; n++)
			;
		rest = after(host, n);
		host.n = n;
	}
	if (rest.n && (rest.p[0] != ':' || conf_to_number(after(rest, 1), 65535, &port) || !port)) {
		*remedy = "write http://127.0.0.1:8080, or http://[::1]:8080 for an IPv6 address";
		return "a port is a number from 1 to 65535";
	}
	o->port = (uint16_t)port;
	o->address = host;
	return host.n ? NULL : "the origin's host is missing";
}

static const char *redirect(struct str s, struct conf_origin *o, const char **remedy)
{
	struct str url = after(s, 1), host;

	host = after(url, str_starts(url, STR("https://")) ? 8 : 7);
	o->kind = CONF_ORIGIN_REDIRECT;
	o->redirect_url = url;
	o->redirect = without_slashes(url);
	if (!host.n || strchr("/?#:", host.p[0]))
		return "the host to redirect to is missing";
	for (size_t i = 0; i < url.n; i++) {
		char c = url.p[i];

		if (c <= ' ' || c >= 0x7f || strchr("\"<>\\^`{|}", c)) {
			*remedy = "percent-encode it";
			return "a URL is made of printable ASCII characters without blanks";
		}
		o->has_query |= c == '?' || c == '#';
	}
	return NULL;
}

#define ORIGIN_FORMS "write unix:/run/app.sock, http://127.0.0.1:8080 or >https://www.example.com"

const char *conf_origin_parse(struct str s, struct conf_origin *o, const char **remedy)
{
	static const struct {
		struct str scheme;
		const char *what;
	} not_served[] = {
		{ STR("file://"), "files" },
		{ STR("cgi://"), "CGI programs" },
		{ STR("callback://"), "plugins" },
		{ STR("gzip://"), "files" },
	};
	const char *reason;
	struct str rest;

	*o = (struct conf_origin){ .kind = CONF_ORIGIN_PROXY };
	for (size_t i = 0; i < ARRAY_SIZE(not_served); i++) {
		if (str_starts(s, not_served[i].scheme)) {
			o->kind = CONF_ORIGIN_NOT_SERVED;
			o->not_served = not_served[i].what;
			return NULL;
		}
	}
	if (str_eq(s, STR("status:")) || str_eq(s, STR("metrics:"))) {
		o->kind = s.p[0] == 's' ? CONF_ORIGIN_STATUS : CONF_ORIGIN_METRICS;
		return NULL;
	}
	if (s.n && (s.p[0] == '>' || s.p[0] == '^') &&
	    (str_starts(after(s, 1), STR("https://")) || str_starts(after(s, 1), STR("http://"))))
		return redirect(s, o, remedy);
	o->tls = str_starts(s, STR("https://"));
	rest = after(s, o->tls ? 8 : str_starts(s, STR("http://")) ? 7 : 0);
	if (str_starts(s, STR("unix:"))) {
		reason = unix_origin(after(s, 5), o, remedy);
	} else if (rest.p > s.p && str_starts(rest, STR("+"))) {
		reason = unix_origin(after(rest, 1), o, remedy);
	} else if (rest.p > s.p && str_starts(rest, STR("unix:"))) {
		*remedy = o->tls ? "write https://+/run/app.sock:/base" : "write unix:/run/app.sock:/base";
		return "this is another server's way of naming a socket";
	} else if (rest.p > s.p) {
		reason = tcp_origin(rest, o, remedy);
	} else {
		*remedy = ORIGIN_FORMS;
		return "this is no origin";
	}
	if (reason)
		return reason;
	reason = check_path(o->base, remedy);
	o->base = without_slashes(o->base);
	return reason;
}
