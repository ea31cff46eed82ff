#include "core/target.h"
#include <arpa/inet.h>
#include <netinet/in.h>

/* ---- addresses ---- */

enum { UN_PATH_BYTES = sizeof(((struct sockaddr_un *)NULL)->sun_path) };

bool addr_from_unix(struct addr *a, struct str path)
{
	bool abstract = path.n && path.p[0] == '@';

	/* one byte stays for the NUL, also where the kernel needs none: one limit for both kinds */
	if (path.n == 0 || path.n >= UN_PATH_BYTES || memchr(path.p, '\0', path.n))
		return false;
	if (abstract && path.n == 1)
		return false; /* not a name: as an address it means "any" */
	*a = (struct addr){ .len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + !abstract) };
	a->un.sun_family = AF_UNIX;
	memcpy(a->un.sun_path, path.p, path.n);
	if (abstract)
		a->un.sun_path[0] = '\0';
	return true;
}

bool addr_from_ip(struct addr *a, struct str host, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	char text[INET6_ADDRSTRLEN];

	if (host.n >= sizeof text || (host.n && memchr(host.p, '\0', host.n)))
		return false;
	snprintf(text, sizeof text, "%.*s", STR_ARG(host));
	*a = (struct addr){ 0 };
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
		memcpy(&a->ss, &in, sizeof in);
		a->len = sizeof in;
		return true;
	}
	if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1) {
		memcpy(&a->ss, &in6, sizeof in6);
		a->len = sizeof in6;
		return true;
	}
	return false;
}

/* A path as the kernel gives it: may lack its NUL, may contain anything. */
static void unix_text(const struct sockaddr_un *un, socklen_t len, char *out, size_t cap)
{
	size_t header = offsetof(struct sockaddr_un, sun_path);
	size_t n = len > header ? MIN((size_t)len - header, (size_t)UN_PATH_BYTES) : 0;
	char path[UN_PATH_BYTES];

	memcpy(path, un->sun_path, n);
	if (n && path[0] == '\0')
		path[0] = '@';
	else
		n = strnlen(path, n);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)path[i] < 0x20 || (unsigned char)path[i] >= 0x7f)
			path[i] = '?';
	snprintf(out, cap, "unix:%.*s", (int)n, path);
}

void addr_end_set(union addr_end *e, const struct sockaddr *sa, socklen_t n)
{
	memset(e, 0, sizeof *e);
	if (n && sa->sa_family == AF_UNIX)
		e->sa.sa_family = AF_UNIX;
	else if (n)
		memcpy(e, sa, MIN((size_t)n, sizeof *e));
}

char *addr_host(const struct sockaddr *sa, char *out, size_t cap)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	char text[INET6_ADDRSTRLEN];

	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&in, sa, sizeof in);
		inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
		break;
	case AF_INET6:
		memcpy(&in6, sa, sizeof in6);
		inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof text);
		break;
	case AF_UNIX:
		snprintf(text, sizeof text, "unix");
		break;
	default:
		snprintf(text, sizeof text, "unknown");
	}
	snprintf(out, cap, "%s", text);
	return out;
}

char *addr_text(const struct sockaddr *sa, socklen_t len, char *out, size_t cap)
{
	char host[INET6_ADDRSTRLEN];
	in_port_t port;

	switch (sa->sa_family) {
	case AF_UNIX:
		unix_text((const struct sockaddr_un *)(const void *)sa, len, out, cap);
		break;
	case AF_INET:
		memcpy(&port, (const char *)sa + offsetof(struct sockaddr_in, sin_port), sizeof port);
		snprintf(out, cap, "%s:%u", addr_host(sa, host, sizeof host), ntohs(port));
		break;
	case AF_INET6:
		memcpy(&port, (const char *)sa + offsetof(struct sockaddr_in6, sin6_port), sizeof port);
		snprintf(out, cap, "[%s]:%u", addr_host(sa, host, sizeof host), ntohs(port));
		break;
	default:
		snprintf(out, cap, "unknown");
	}
	return out;
}

/* FNV-1a */
uint64_t addr_hash(const struct addr *a)
{
	const unsigned char *p = (const unsigned char *)&a->ss;
	uint64_t h = 0xcbf29ce484222325u;

	for (socklen_t i = 0; i < a->len; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h ? h : 1;
}

/* ---- addresses without a port ---- */

bool ip_is_valid(const struct ip *ip)
{
	static const uint8_t zeros[16] = { 0 };
	struct in6_addr in6;

	if (ip->is_ip6 > 1 || memcmp(ip->bytes, zeros, sizeof zeros) == 0)
		return false;
	if (!ip->is_ip6) /* RFC 6890: nothing from 224.0.0.0 on is a host's own */
		return ip->scope == 0 && ip->bytes[0] != 0 && ip->bytes[0] < 224 &&
		       memcmp(ip->bytes + 4, zeros, 12) == 0;
	memcpy(&in6, ip->bytes, sizeof in6);
	return !IN6_IS_ADDR_MULTICAST(&in6) && (ip->scope == 0 || IN6_IS_ADDR_LINKLOCAL(&in6));
}

bool ip_from_sockaddr(struct ip *ip, const struct sockaddr *sa)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	*ip = (struct ip){ 0 };
	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof in);
		memcpy(ip->bytes, &in.sin_addr, sizeof in.sin_addr);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof in6);
		memcpy(ip->bytes, &in6.sin6_addr, sizeof in6.sin6_addr);
		ip->is_ip6 = 1;
		ip->scope = IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr) ? in6.sin6_scope_id : 0;
	}
	return ip_is_valid(ip);
}

void addr_from_parsed_ip(struct addr *a, const struct ip *ip, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port),
				    .sin6_scope_id = ip->scope };

	*a = (struct addr){ .len = ip->is_ip6 ? sizeof in6 : sizeof in };
	memcpy(&in.sin_addr, ip->bytes, sizeof in.sin_addr);
	memcpy(&in6.sin6_addr, ip->bytes, sizeof in6.sin6_addr);
	if (ip->is_ip6)
		memcpy(&a->ss, &in6, sizeof in6);
	else
		memcpy(&a->ss, &in, sizeof in);
}

/* ---- several of them ---- */

struct addrs *addrs_new(size_t n)
{
	struct addrs *s;

	BUG_ON(n > ADDRS_MAX);
	s = base_zalloc(sizeof *s + n * sizeof *s->addr);
	s->refs = 1;
	s->n = n;
	return s;
}

void addrs_put(struct addrs *s)
{
	if (s && --s->refs == 0)
		free(s);
}

bool addrs_have(const struct addrs *s, uint64_t hash)
{
	for (size_t i = 0; i < s->n; i++)
		if (addr_hash(&s->addr[i]) == hash)
			return true;
	return false;
}

void place_doubt(struct place *p, uint64_t address)
{
	if (p->addrs->n > 1 && addr_hash(&p->addrs->addr[p->good]) == address)
		p->good = (p->good + 1) % p->addrs->n;
}
