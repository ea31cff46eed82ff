/*
 * worker.h - a worker: one thread, one loop, all bytes from the network.
 *
 * Born by the parent with a control socket and no privilege; everything else comes as messages. Called by
 * main.
 */
#pragma once

#include "core/msg.h"

/* Runs until told to leave, or until the parent is gone. Returns the exit status. */
int worker_run(void);

/* What it takes from the parent, by type (handlers.c). */
#define X(NAME, name, from, to, min, max, fds) msg_handler worker_on_##name;
MSG_DOWN_TABLE(X)
#undef X
extern const struct msg_handlers handlers_worker;
