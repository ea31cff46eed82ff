/*
 * iface.h - network interfaces by name, and the addresses they have at the moment. Part of the parent.
 */
#pragma once

#include "conf/config.h"
#include "core/target.h"

/*
 * Calls `each` for every address of the interface, which has port 0; of a link-local one the link is in it.
 * Returns how many there were.
 */
size_t iface_addresses(struct str name, void (*each)(void *arg, const struct addr *a), void *arg);

/* The listener is on an interface, not on an address. */
bool iface_is_named(const struct conf_listener *l);
/* Differs when an interface that the configuration names has got or lost an address. 0: it names none. */
uint64_t iface_signature(const struct config *c);
