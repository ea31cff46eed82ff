/*
 * tickets.h - the keys that encrypt session tickets: made here, rotated, the same in all workers. Part of the
 * parent.
 */
#pragma once

#include "proxy/parent/parent.h"

/* Makes the first key, and begins to rotate. */
void tickets_start(struct parent *p);
/* A key that another parent has used: after newer ones, before tickets_start. */
void tickets_inherit(struct parent *p, const struct tls_ticket_key *key);
/* How long until there is to be a new one. */
uint64_t tickets_due_ms(const struct parent *p);
void tickets_stop(struct parent *p);
void tickets_send(struct child *c);
