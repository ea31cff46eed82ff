#include "raw-fallback/pp.h"
#include <arpa/inet.h>
#include <netinet/in.h>

static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";

enum { V1_MAX = 107, V2_FIXED = 16, V2_IPV4 = 12, V2_IPV6 = 36 };
enum { V2_LOCAL = 0x20, V2_PROXY = 0x21, TCP_IPV4 = 0x11, TCP_IPV6 = 0x21 };

static void set_ipv4(struct sockaddr_storage *ss, const void *ip, uint16_t port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;

	memset(ss, 0, sizeof *ss);
	in->sin_family = AF_INET;
	memcpy(&in->sin_addr, ip, 4);
	in->sin_port = htons(port);
}

static void set_ipv6(struct sockaddr_storage *ss, const void *ip, uint16_t port)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	memset(ss, 0, sizeof *ss);
	in6->sin6_family = AF_INET6;
	memcpy(&in6->sin6_addr, ip, 16);
	in6->sin6_port = htons(port);
}

/* ---- version 1: one line of text ---- */

/* The next word of the line, ended by exactly one space or by the line's end. */
static struct str word(struct str *line)
{
	struct str w = *line;
	const char *space = line->n ? memchr(line->p, ' ', line->n) : NULL;

	if (space) {
		w.n = (size_t)(space - line->p);
		*line = str_of(space + 1, line->n - w.n - 1);
	} else {
		*line = STR_NONE;
	}
	return w;
}

static bool read_ip(struct str s, int family, uint8_t ip[16])
{
	char text[INET6_ADDRSTRLEN];

	if (!s.n || s.n >= sizeof text)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(family, text, ip) == 1;
}

static bool read_v1_addresses(struct str line, int family, struct pp *out)
{
	struct str src = word(&line), dst = word(&line), src_port = word(&line), dst_port = word(&line);
	uint8_t a[16], b[16];
	uint64_t p, q;

	if (line.p || !read_ip(src, family, a) || !read_ip(dst, family, b))
		return false;
	if (!str_to_u64(src_port, 65535, &p) || !str_to_u64(dst_port, 65535, &q))
		return false;
	(family == AF_INET ? set_ipv4 : set_ipv6)(&out->src, a, (uint16_t)p);
	(family == AF_INET ? set_ipv4 : set_ipv6)(&out->dst, b, (uint16_t)q);
	return true;
}

static ssize_t read_v1(const char *p, size_t n, struct pp *out)
{
	const char *end = memchr(p, '\n', MIN(n, (size_t)V1_MAX));
	struct str line, kind;

	if (!end)
		return n >= V1_MAX ? -1 : 0;
	line = str_of(p, (size_t)(end - p));
	if (!str_ends(line, STR("\r")))
		return -1;
	line.n--;
	word(&line); /* "PROXY" */
	kind = word(&line);
	if (str_eq(kind, STR("TCP4"))) {
		if (!read_v1_addresses(line, AF_INET, out))
			return -1;
	} else if (str_eq(kind, STR("TCP6"))) {
		if (!read_v1_addresses(line, AF_INET6, out))
			return -1;
	} else if (!str_eq(kind, STR("UNKNOWN"))) {
		return -1;
	}
	return end + 1 - p;
}

/* ---- version 2: binary ---- */

static ssize_t read_v2(const uint8_t *p, size_t n, struct pp *out)
{
	size_t length;

	if (n < V2_FIXED)
		return 0;
	length = (size_t)(p[14] << 8 | p[15]);
	if ((p[12] != V2_LOCAL && p[12] != V2_PROXY) || V2_FIXED + length > PP_READ_MAX)
		return -1;
	if (n < V2_FIXED + length)
		return 0;
	out->is_local = p[12] == V2_LOCAL;
	if (out->is_local)
		return (ssize_t)(V2_FIXED + length);
	p += V2_FIXED;
	switch (p[-3]) {
	case TCP_IPV4:
		if (length < V2_IPV4)
			return -1;
		set_ipv4(&out->src, p, (uint16_t)(p[8] << 8 | p[9]));
		set_ipv4(&out->dst, p + 4, (uint16_t)(p[10] << 8 | p[11]));
		break;
	case TCP_IPV6:
		if (length < V2_IPV6)
			return -1;
		set_ipv6(&out->src, p, (uint16_t)(p[32] << 8 | p[33]));
		set_ipv6(&out->dst, p + 16, (uint16_t)(p[34] << 8 | p[35]));
		break;
	default: /* datagrams, Unix sockets, unspecified: accepted, addresses unknown */
		break;
	}
	return (ssize_t)(V2_FIXED + length);
}

ssize_t pp_read(const void *bytes, size_t n, struct pp *out)
{
	static const char v1[] = { 'P', 'R', 'O', 'X', 'Y', ' ' };

	memset(out, 0, sizeof *out);
	if (memcmp(bytes, signature, MIN(n, sizeof signature)) == 0)
		return n < sizeof signature ? 0 : read_v2(bytes, n, out);
	if (memcmp(bytes, v1, MIN(n, sizeof v1)) == 0)
		return n < sizeof v1 ? 0 : read_v1(bytes, n, out);
	return -1;
}

size_t pp_write(uint8_t out[PP_WRITE_MAX], const struct sockaddr *src, const struct sockaddr *dst)
{
	size_t length = 0;

	memcpy(out, signature, sizeof signature);
	out[12] = V2_PROXY;
	if (src->sa_family == AF_INET && dst->sa_family == AF_INET) {
		const struct sockaddr_in *s = (const struct sockaddr_in *)(const void *)src;
		const struct sockaddr_in *d = (const struct sockaddr_in *)(const void *)dst;

		out[13] = TCP_IPV4;
		memcpy(out + 16, &s->sin_addr, 4);
		memcpy(out + 20, &d->sin_addr, 4);
		memcpy(out + 24, &s->sin_port, 2);
		memcpy(out + 26, &d->sin_port, 2);
		length = V2_IPV4;
	} else if (src->sa_family == AF_INET6 && dst->sa_family == AF_INET6) {
		const struct sockaddr_in6 *s = (const struct sockaddr_in6 *)(const void *)src;
		const struct sockaddr_in6 *d = (const struct sockaddr_in6 *)(const void *)dst;

		out[13] = TCP_IPV6;
		memcpy(out + 16, &s->sin6_addr, 16);
		memcpy(out + 32, &d->sin6_addr, 16);
		memcpy(out + 48, &s->sin6_port, 2);
		memcpy(out + 50, &d->sin6_port, 2);
		length = V2_IPV6;
	} else {
		out[12] = V2_LOCAL;
		out[13] = 0;
	}
	out[14] = 0;
	out[15] = (uint8_t)length;
	return V2_FIXED + length;
}
