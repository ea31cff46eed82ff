/*
 * resolver.h - the process that finds the addresses of upstream names, so that no worker ever waits for it.
 * Called by main; and by `gatehouse check`, which may wait.
 */
#pragma once

#include "core/msg.h"

/* Runs until told to leave, or until the parent is gone. Returns the exit status. */
int resolver_run(void);

/* The look-up itself, which may take long: what getaddrinfo says, bounded. */
void resolver_look_up(const char *name, struct msg_addresses *out);

bool resolver_on_name(struct msg_channel *c, struct msg_in *m);
bool resolver_on_name_gone(struct msg_channel *c, struct msg_in *m);
extern const struct msg_handlers handlers_resolver;
