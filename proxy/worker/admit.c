#include "proxy/worker/admit.h"
#include "core/log.h"
#include "core/loop.h"
#include "proxy/rate.h"
#include <netinet/in.h>

enum { SAY_MS = 10 * 1000 };

void admit_init(struct admit *a, struct count *count)
{
	*a = (struct admit){ .count = count };
	list_init(&a->undecided);
}

bool admit_may_say(struct admit *a)
{
	if (a->said_ms && loop_now_ms() - a->said_ms < SAY_MS)
		return false;
	a->said_ms = loop_now_ms();
	return true;
}

/* ---- addresses ---- */

static bool is_loopback(const union addr_end *e)
{
	if (e->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&e->in6.sin6_addr);
	return e->sa.sa_family != AF_INET || ntohl(e->in.sin_addr.s_addr) >> 24 == 127;
}

/* Never 0. The secret keeps clients from choosing addresses that meet in one place of the table. */
static uint64_t hash_address(const union addr_end *e, uint64_t secret)
{
	uint64_t half[2], h;

	memset(half, 0, sizeof half);
	if (e->sa.sa_family == AF_INET6)
		memcpy(half, &e->in6.sin6_addr, 16);
	else if (e->sa.sa_family == AF_INET)
		memcpy(half, &e->in.sin_addr, 4);
	h = half[0] ^ secret;
	for (int i = 0; i < 2; i++) {
		h ^= h >> 32;
		h *= 0xd6e8feb86659fd93ULL;
		h ^= h >> 32;
		h *= 0xd6e8feb86659fd93ULL;
		h ^= i == 0 ? half[1] + secret : 0;
	}
	return (h ^ h >> 32) | 1;
}

/* By default whoever is on this machine is not counted; a value that was written counts everybody. */
static bool is_limited(uint64_t limit, bool written, const struct site_conn *facts)
{
	return limit != LIMIT_NONE && (written || !is_loopback(&facts->peer));
}

bool admit_address(struct admit *a, const struct site_conn *facts, uint64_t *hash)
{
	const struct conf_global *g = &site_config(site_current())->global;
	uint64_t limit = g->limits.connections_per_address;
	unsigned n;

	*hash = 0;
	if (!is_limited(limit, g->connections_per_address_written, facts))
		return true;
	*hash = hash_address(&facts->peer, count_secret(a->count));
	n = count_address_add(a->count, *hash);
	if (!n)
		*hash = 0;
	if (n <= limit)
		return true;
	if (admit_may_say(a))
		log_warn("%s: refused, has %u connections (limits.connections-per-address)",
			 facts->peer_host, n - 1);
	return false;
}

void admit_leave(struct admit *a, uint64_t hash)
{
	if (hash)
		count_address_sub(a->count, hash);
}

bool admit_raw(struct admit *a, const struct site_conn *facts)
{
	const struct conf_global *g = &site_config(site_current())->global;
	uint64_t limit = g->limits.raw_rate, hash;

	if (!is_limited(limit, g->raw_rate_written, facts))
		return true;
	hash = hash_address(&facts->peer, count_secret(a->count));
	if (rate_take(count_rates(a->count), hash, limit, loop_now_ms()))
		return true;
	if (admit_may_say(a))
		log_warn("%s: refused, more than %llu raw connections a minute (limits.raw-rate)",
			 facts->peer_host, (unsigned long long)limit);
	return false;
}
