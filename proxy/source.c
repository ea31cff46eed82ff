#include "proxy/source.h"
#include <netinet/in.h>
#include <unistd.h>

enum {
	ASKED_MAX = 256, /* at once: others wait for their turn */
	WAIT_MS = 2000,
};

/* What a worker has asked. */
static struct {
	struct msg_channel *parent;
	struct list asked, unasked;
	size_t nasked;  /* answers to come: of those that were given up, too */
	uint32_t last_id;
} here = { .asked = { &here.asked, &here.asked }, .unasked = { &here.unasked, &here.unasked } };

void source_ask(struct msg_channel *parent)
{
	here.parent = parent;
}

bool source_is_possible(const struct sockaddr *client, const struct place *to)
{
	if (client->sa_family != AF_INET && client->sa_family != AF_INET6)
		return false;
	for (size_t i = 0; i < to->addrs->n; i++)
		if (to->addrs->addr[i].sa.sa_family == client->sa_family)
			return true;
	return false;
}

static void ask_next(void)
{
	struct list *n;

	while (here.nasked < ASKED_MAX && (n = list_pop(&here.unasked))) {
		struct source *s = list_entry(n, struct source, node);

		s->wanted.id = ++here.last_id;
		msg_send(here.parent, MSG_SOURCE_WANTED, &s->wanted, sizeof s->wanted, -1);
		list_push(&here.asked, n);
		here.nasked++;
	}
}

void source_cancel(struct source *s)
{
	if (!source_is_awaited(s))
		return;
	timer_stop(&s->timer);
	list_del(&s->node);
}

static void finish(struct source *s, int fd)
{
	source_cancel(s);
	s->done(s, fd);
}

static void timed_out(struct timer *t)
{
	finish(container_of(t, struct source, timer), -ETIMEDOUT);
}

void source_get(struct source *s, const struct sockaddr *client,
		void (*done)(struct source *s, int fd))
{
	*s = (struct source){ .done = done, .wanted.is_ip6 = client->sa_family == AF_INET6 };
	if (s->wanted.is_ip6)
		memcpy(s->wanted.ip, &((const struct sockaddr_in6 *)client)->sin6_addr, 16);
	else
		memcpy(s->wanted.ip, &((const struct sockaddr_in *)client)->sin_addr, 4);
	timer_init(&s->timer, timed_out);
	timer_set(&s->timer, WAIT_MS);
	list_init(&s->node);
	list_push(&here.unasked, &s->node);
	ask_next();
}

static struct source *find(uint32_t id)
{
	list_for_each(n, &here.asked) {
		struct source *s = list_entry(n, struct source, node);

		if (s->wanted.id == id)
			return s;
	}
	return NULL;
}

/* Answers come in the order of the questions. */
bool source_answered(uint32_t id, int fd)
{
	struct source *s = find(id);
	bool is_answer = here.nasked > 0;

	if (is_answer)
		here.nasked--;
	if (s)
		finish(s, fd);
	else if (fd >= 0)
		close(fd);
	ask_next();
	return is_answer;
}

/* ---- parent ---- */

/* The port is chosen by the connect, so that two connections of one address may have the same. */
static int make_it_his(int fd, const struct msg_source_wanted *w)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };
	const int on = 1;
	int r;

	memcpy(&in6.sin6_addr, w->ip, sizeof in6.sin6_addr);
	memcpy(&in.sin_addr, w->ip, sizeof in.sin_addr);
	if (w->is_ip6)
		r = setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof on);
	else
		r = setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on);
	if (r == 0)
		r = setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	if (r == 0)
		r = w->is_ip6 ? bind(fd, (const struct sockaddr *)&in6, sizeof in6)
			      : bind(fd, (const struct sockaddr *)&in, sizeof in);
	return r;
}

int source_make(const struct msg_source_wanted *wanted)
{
	int family = wanted->is_ip6 ? AF_INET6 : AF_INET;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), e;

	if (fd >= 0 && make_it_his(fd, wanted) == 0)
		return fd;
	e = errno;
	if (fd >= 0)
		close(fd);
	return -e;
}
