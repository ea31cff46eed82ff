/*
 * lookup.h - addresses of upstreams that have names: which names are in use, their last good answers, and who
 * is told. The resolver process finds them. Part of the parent.
 */
#pragma once

#include "proxy/parent/parent.h"

void lookup_open(struct parent *p);
void lookup_close(struct parent *p);

/*
 * Names in use are those of the current configuration and of the one that is being loaded. Starts and ends
 * the resolver. The one that is being loaded waits a while for names that have not been looked up before.
 */
void lookup_settle(struct parent *p);
/* That is over: all have been, or it has taken too long. If not, reload_go_on is called later. */
bool lookup_is_ready(const struct parent *p);
/* There are names. */
bool lookup_is_needed(const struct parent *p);
/* For a process that has just been born: a resolver gets the names, a worker their addresses. */
void lookup_brief(struct child *c);
