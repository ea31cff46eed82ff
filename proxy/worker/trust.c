#include "proxy/worker/trust.h"
#include <arpa/inet.h>

static bool is_among(const struct conf_peers *list, const uint8_t ip[16])
{
	for (size_t i = 0; i < list->n; i++) {
		const struct conf_net *net = &list->nets[i];
		unsigned whole = net->bits / 8, rest = net->bits % 8;

		if (memcmp(net->ip, ip, whole) == 0 &&
		    (!rest || (net->ip[whole] ^ ip[whole]) >> (8 - rest) == 0))
			return true;
	}
	return false;
}

/* RFC 4291 section 2.5.5.2 */
static void from_ip4(uint8_t ip[16], const void *ip4)
{
	memset(ip, 0, 10);
	memset(ip + 10, 0xff, 2);
	memcpy(ip + 12, ip4, 4);
}

bool trust_is_among(const struct conf_peers *list, const struct sockaddr *peer)
{
	uint8_t ip[16];

	if (peer->sa_family == AF_UNIX)
		return list->unix_peers;
	if (!list->n)
		return false;
	if (peer->sa_family == AF_INET6)
		memcpy(ip, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr, sizeof ip);
	else if (peer->sa_family == AF_INET)
		from_ip4(ip, &((const struct sockaddr_in *)(const void *)peer)->sin_addr);
	else
		return false;
	return is_among(list, ip);
}

bool trust_peer(const struct conf_global *g, const struct sockaddr *peer)
{
	return trust_is_among(&g->trusted, peer);
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80": *host is the address alone. */
static bool read_address(struct str s, struct str *host, uint8_t ip[16])
{
	const char *end = s.n ? memchr(s.p, s.p[0] == '[' ? ']' : ':', s.n) : NULL;
	char text[INET6_ADDRSTRLEN];
	uint8_t ip4[4];

	*host = s;
	if (end && s.p[0] == '[')
		*host = str_of(s.p + 1, (size_t)(end - s.p) - 1);
	else if (end && !memchr(end + 1, ':', s.n - (size_t)(end - s.p) - 1))
		*host = str_of(s.p, (size_t)(end - s.p));
	if (!host->n || host->n >= sizeof text)
		return false;
	memcpy(text, host->p, host->n);
	text[host->n] = '\0';
	if (inet_pton(AF_INET6, text, ip) == 1)
		return true;
	if (inet_pton(AF_INET, text, ip4) != 1)
		return false;
	from_ip4(ip, ip4);
	return true;
}

/* Takes the last element off a list. */
static struct str take_last(struct str *list)
{
	const char *comma = list->n ? memrchr(list->p, ',', list->n) : NULL;
	size_t n = comma ? (size_t)(comma - list->p) : 0, skip = comma ? n + 1 : 0;
	struct str last = str_trim(str_of(list->p + skip, list->n - skip));

	list->n = n;
	return last;
}

struct str trust_client(const struct conf_global *g, const struct head *h, struct str peer)
{
	struct str client = peer, host;
	uint8_t ip[16];

	for (size_t i = h->nfields; i-- > 0;) {
		const struct field *f = &h->fields[i];
		struct str rest = f->value;

		if (f->removed || f->id != FIELD_X_FORWARDED_FOR)
			continue;
		while (rest.n) {
			struct str element = take_last(&rest);

			if (!element.n)
				continue;
			if (!read_address(element, &host, ip))
				return client;
			client = host;
			if (!is_among(&g->trusted, ip))
				return client;
		}
	}
	return client;
}
