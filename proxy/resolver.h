/*
 * resolver.h - the process that finds the addresses of upstream names, so that no worker ever waits for it.
 * Called by main.
 */
#pragma once

#include "core/msg.h"

/* Runs until told to leave, or until the parent is gone. Returns the exit status. */
int resolver_run(void);

bool resolver_on_name(struct msg_channel *c, struct msg_in *m);
bool resolver_on_name_gone(struct msg_channel *c, struct msg_in *m);
extern const struct msg_handlers handlers_resolver;
