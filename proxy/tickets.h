/*
 * tickets.h - the keys that encrypt session tickets: made here, rotated, the same in all workers. Part of the
 * parent.
 */
#pragma once

#include "proxy/parent.h"

/* Makes the first key, and begins to rotate. */
void tickets_start(struct parent *p);
void tickets_stop(struct parent *p);
void tickets_send(struct child *c);
