#include "proxy/parent/tickets.h"

enum { ROTATION_MS = 12 * 3600 * 1000 };

void tickets_send(struct child *c)
{
	struct parent *p = c->parent;

	_Static_assert(sizeof p->tickets == MSG_TICKET_BYTES * MSG_TICKETS_MAX, "msg.h knows the size");
	msg_send(&c->channel, MSG_TICKETS, p->tickets, p->ntickets * sizeof p->tickets[0], -1);
}

/* The newest is first; the oldest falls off: a ticket is good for at least 24 hours. */
static void rotate(struct timer *t)
{
	struct parent *p = container_of(t, struct parent, ticket_timer);

	memmove(&p->tickets[1], &p->tickets[0], sizeof p->tickets - sizeof p->tickets[0]);
	tls_ticket_make(&p->tickets[0]);
	p->ntickets = MIN(p->ntickets + 1, (size_t)TLS_TICKET_KEYS);
	list_for_each(n, &p->children) {
		struct child *c = list_entry(n, struct child, node);

		if (c->committed)
			tickets_send(c);
	}
	timer_set(t, ROTATION_MS);
}

void tickets_inherit(struct parent *p, const struct tls_ticket_key *key)
{
	if (p->ntickets < TLS_TICKET_KEYS)
		p->tickets[p->ntickets++] = *key;
}

uint64_t tickets_due_ms(const struct parent *p)
{
	return p->ticket_timer.due_ms > loop_now_ms() ? p->ticket_timer.due_ms - loop_now_ms() : 1;
}

void tickets_start(struct parent *p)
{
	timer_init(&p->ticket_timer, rotate);
	if (p->ntickets)
		timer_set(&p->ticket_timer, MIN(p->tickets_due_ms, (uint64_t)ROTATION_MS));
	else
		rotate(&p->ticket_timer);
}

void tickets_stop(struct parent *p)
{
	timer_stop(&p->ticket_timer);
	explicit_bzero(p->tickets, sizeof p->tickets);
}
