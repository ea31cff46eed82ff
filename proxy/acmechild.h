/*
 * acmechild.h - the process that obtains certificates: what the parent says goes to acme/agent.h. Called by
 * main.
 */
#pragma once

#include "core/msg.h"

/* Runs until told to leave, or until the parent is gone. Returns the exit status. */
int acmechild_run(void);

bool acmechild_on_acme_load(struct msg_channel *c, struct msg_in *m);
bool acmechild_on_stored(struct msg_channel *c, struct msg_in *m);
bool acmechild_on_challenge_ready(struct msg_channel *c, struct msg_in *m);
bool acmechild_on_acme_do(struct msg_channel *c, struct msg_in *m);

extern const struct msg_handlers handlers_acme;
