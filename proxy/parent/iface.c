#include "proxy/parent/iface.h"
#include "proxy/map.h"
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

size_t iface_addresses(struct str name, void (*each)(void *arg, const struct addr *a), void *arg)
{
	struct ifaddrs *all;
	size_t n = 0;

	if (getifaddrs(&all) < 0)
		return 0;
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		int family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;
		struct addr a = { .len = sizeof(struct sockaddr_in) };

		if ((family != AF_INET && family != AF_INET6) || !(i->ifa_flags & IFF_UP) ||
		    !str_eq(name, str_from_c(i->ifa_name)))
			continue;
		if (family == AF_INET6)
			a.len = sizeof(struct sockaddr_in6);
		memcpy(&a.ss, i->ifa_addr, a.len);
		each(arg, &a);
		n++;
	}
	freeifaddrs(all);
	return n;
}

bool iface_is_named(const struct conf_listener *l)
{
	struct addr a;

	return !l->is_unix && l->interface.n && !addr_from_ip(&a, l->interface, 1);
}

/* In whatever order they come. */
static void mix(void *arg, const struct addr *a)
{
	uint64_t *sum = arg;

	*sum += map_hash(str_of((const char *)&a->ss, a->len));
}

uint64_t iface_signature(const struct config *c)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < c->nlisteners; i++) {
		if (!iface_is_named(c->listeners[i]))
			continue;
		sum = sum * 31 + map_hash(c->listeners[i]->interface);
		iface_addresses(c->listeners[i]->interface, mix, &sum);
	}
	return sum;
}
