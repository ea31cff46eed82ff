/*
 * net.c - networks of addresses, and lists of them.
 */
#include "conf/priv.h"
#include <arpa/inet.h>

const char *conf_net_parse(struct str s, struct conf_net *out)
{
	const char *slash = s.n ? memchr(s.p, '/', s.n) : NULL;
	struct str host = str_of(s.p, slash ? (size_t)(slash - s.p) : s.n);
	char text[INET6_ADDRSTRLEN + 1];
	uint64_t bits;
	bool is_ip6 = host.n && memchr(host.p, ':', host.n);
	unsigned most = is_ip6 ? 128 : 32;

	*out = (struct conf_net){ .ip = { [10] = 0xff, [11] = 0xff } };
	if (!host.n || host.n >= sizeof text || memchr(host.p, 0, host.n))
		return "neither an address nor a network";
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (inet_pton(is_ip6 ? AF_INET6 : AF_INET, text, is_ip6 ? out->ip : out->ip + 12) != 1)
		return "neither an address nor a network";
	bits = most;
	if (slash && conf_to_number(str_of(slash + 1, s.n - host.n - 1), most, &bits) != CONF_VALUE_OK)
		return is_ip6 ? "behind \"/\" comes a number from 0 to 128"
			      : "behind \"/\" comes a number from 0 to 32";
	out->bits = (uint8_t)(bits + 128 - most);
	for (unsigned i = out->bits; i < 128; i++)
		if (out->ip[i / 8] & 0x80 >> i % 8)
			return "bits are set behind the network's own";
	return NULL;
}

void conf_set_peers(struct conf_loader *l, const struct conf_key *k, void *object,
		      const struct conf_node *v)
{
	struct conf_peers *p = (void *)((char *)object + k->at);
	const struct conf_node *item = NULL;
	const char *reason;
	struct str text;
	size_t cap = p->n;

	while ((item = conf_next_text(l, v, item, &text))) {
		struct conf_net net;

		if (str_eq(text, STR("unix"))) {
			p->unix_peers = true;
			continue;
		}
		reason = conf_net_parse(text, &net);
		if (reason) {
			conf_error(l, item, "write 192.0.2.1, 10.0.0.0/8, 2001:db8::/32, or unix",
				   "\"%.*s\": %s", CONF_QUOTE(text), reason);
			continue;
		}
		arena_grow(&l->c->arena, p->nets, p->n, cap);
		p->nets[p->n++] = net;
	}
}
