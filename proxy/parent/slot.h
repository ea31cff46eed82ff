/*
 * slot.h - which processes there are to be: a slot for each worker, one for each helper. A slot starts its
 * process again when that dies, and replaces it when it would be started as another user now. Part of the
 * parent.
 */
#pragma once

#include "proxy/parent/parent.h"

void slot_open(struct parent *p);
void slot_close(struct parent *p);

/*
 * As many workers as the current configuration asks for, and the helpers that it needs, all started as the
 * right user.
 */
void slot_settle(struct parent *p);
/* The same of the resolver alone, which is needed while a configuration is being loaded. */
void slot_settle_resolver(struct parent *p);
/* From here on nobody is started again. */
void slot_stop(struct parent *p);
/* Do all workers serve the current configuration? */
bool slot_all_serve(const struct parent *p);

/* ---- what becomes of a child ---- */

/* A worker has loaded what it was told to. */
void slot_loaded(struct child *c);
/* One that has a slot is dead. */
void slot_died(struct child *c);
