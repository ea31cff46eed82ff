/*
 * names.h - which addresses the names of upstreams have: what a worker is told, and who wants to know.
 *
 * Knows nothing of how a name is looked up. Places of targets (core/target.h) follow it; the worker's
 * messages fill it. A name that nobody has told of has no addresses.
 */
#pragma once

#include "core/target.h"

/* The name's addresses are these from now on, in this order; n is at most ADDRS_MAX. */
void names_set(struct str name, const struct ip *ips, size_t n);
/* Forgets names that no place has. */
void names_sweep(void);

/* Once in a worker: who is to be told that no address of a name leads anywhere. */
void names_on_failure(void (*failed)(void *owner, struct str name), void *owner);
/* For dialling: it was so with this place, of which all addresses have been tried. Seldom passed on. */
void names_failed(struct place *p);
