/*
 * helper.h - what processes that serve no client have in common: they log, show that they live, and leave
 * when they are told to or when the parent is gone. Called by them, and from their tables of messages.
 */
#pragma once

#include "core/msg.h"

bool helper_on_begin(struct msg_channel *c, struct msg_in *m);
bool helper_on_logfile(struct msg_channel *c, struct msg_in *m);
bool helper_on_status(struct msg_channel *c, struct msg_in *m);
bool helper_on_drain(struct msg_channel *c, struct msg_in *m);
/* For born_begin: nobody is left to work for. */
void helper_ended(struct msg_channel *c, const char *why);
