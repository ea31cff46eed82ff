/*
 * trial.h - the process that loads a new configuration before any worker does, and says whether it can be
 * served. Thrown away afterwards. Called by main.
 */
#pragma once

#include "core/msg.h"

/* Runs until the parent has heard enough. Returns the exit status. */
int trial_run(void);

bool trial_on_load(struct msg_channel *c, struct msg_in *m);
extern const struct msg_handlers handlers_trial;
