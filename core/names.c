#include "core/names.h"
#include "core/loop.h"

/* One name is not complained of more often. */
enum { COMPLAIN_MS = 1000 };

struct name {
	struct list node;
	struct list places; /* struct place */
	uint64_t complained_ms;
	size_t n;
	struct ip ips[ADDRS_MAX];
	struct str text;
	char bytes[];
};

/* The part of the worker's state that names alone know. */
static struct {
	struct list names;
	void (*failed)(void *owner, struct str name);
	void *owner;
} here = { .names = { &here.names, &here.names } };

static struct name *find_or_make(struct str text)
{
	struct name *m;

	list_for_each(n, &here.names) {
		m = list_entry(n, struct name, node);
		if (str_eq(m->text, text))
			return m;
	}
	m = base_zalloc(sizeof *m + text.n);
	memcpy(m->bytes, text.p, text.n);
	m->text = str_of(m->bytes, text.n);
	list_init(&m->places);
	list_push(&here.names, &m->node);
	return m;
}

/* Dials that are under way keep the ones they began with. */
static void follow(struct place *p)
{
	const struct name *m = p->name;

	addrs_put(p->addrs);
	p->addrs = addrs_new(m->n);
	for (size_t i = 0; i < m->n; i++)
		addr_from_parsed_ip(&p->addrs->addr[i], &m->ips[i], p->port);
}

void place_open(struct place *p, const struct place_spec *at, void (*moved)(struct place *p))
{
	*p = (struct place){ .port = at->port, .moved = moved };
	if (at->name.n) {
		p->name = find_or_make(at->name);
		list_push(&p->name->places, &p->node);
		follow(p);
	} else {
		p->addrs = addrs_new(1);
		p->addrs->addr[0] = at->addr;
	}
}

void place_close(struct place *p)
{
	if (p->name)
		list_del(&p->node);
	addrs_put(p->addrs);
	*p = (struct place){ 0 };
}

void names_set(struct str name, const struct ip *ips, size_t n)
{
	struct name *m = find_or_make(name);

	BUG_ON(n > ADDRS_MAX);
	if (n == m->n && memcmp(m->ips, ips, n * sizeof *ips) == 0)
		return;
	m->n = n;
	memcpy(m->ips, ips, n * sizeof *ips);
	list_for_each_safe(pos, next, &m->places) {
		struct place *p = list_entry(pos, struct place, node);
		uint64_t good = p->addrs->n ? addr_hash(&p->addrs->addr[p->good]) : 0;

		follow(p);
		p->good = 0;
		for (size_t i = 0; i < p->addrs->n; i++)
			if (addr_hash(&p->addrs->addr[i]) == good)
				p->good = i;
		p->moved(p);
	}
}

void names_sweep(void)
{
	list_for_each_safe(pos, next, &here.names) {
		struct name *m = list_entry(pos, struct name, node);

		if (!list_empty(&m->places))
			continue;
		list_del(&m->node);
		free(m);
	}
}

void names_on_failure(void (*failed)(void *owner, struct str name), void *owner)
{
	here.failed = failed;
	here.owner = owner;
}

void names_failed(struct place *p)
{
	struct name *m = p->name;
	uint64_t now_ms = loop_now_ms();

	if (!m || !here.failed || (m->complained_ms && now_ms - m->complained_ms < COMPLAIN_MS))
		return;
	m->complained_ms = now_ms;
	here.failed(here.owner, m->text);
}
