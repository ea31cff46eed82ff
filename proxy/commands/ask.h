/*
 * ask.h - the other side of the control socket: commands that ask a Gatehouse which runs.
 *
 * Finds its socket, sends one request, prints what comes back. Called by main.
 */
#pragma once

#include "proxy/parent/control.h"

struct ask_options {
	const char *socket; /* NULL: the one that the configuration names, else the default places */
	const char *path;   /* of the configuration */
	const char *name;   /* of what the command is about; NULL: it needs none */
};

/* Returns the exit status. */
int ask_command(const struct ask_options *o, enum control_command c);
/* The same for CONTROL_STATUS, which can be told in several ways. */
enum ask_form { ASK_TEXT, ASK_JSON, ASK_METRICS };
int ask_status(const struct ask_options *o, enum ask_form form);
