/*
 * helper.h - what processes that serve no client have in common: they log, show that they live, and leave
 * when they are told to or when the parent is gone. Called by them, and from their tables of messages.
 */
#pragma once

#include "core/msg.h"

msg_handler helper_on_begin;
msg_handler helper_on_logfile;
msg_handler helper_on_status;
msg_handler helper_on_drain;
/* For born_begin: nobody is left to work for. */
void helper_ended(struct msg_channel *c, const char *why);
