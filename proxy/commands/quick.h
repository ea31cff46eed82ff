/*
 * quick.h - `gatehouse proxy --from HOST:PORT --to ORIGIN`: https in front of something, without a
 * configuration file.
 *
 * Makes a configuration up, and a certificate where none is given, and runs the parent on it. Nothing on the
 * system is changed but a directory of its own for the certificate. Called by main.
 */
#pragma once

#include "core/log.h"

struct quick_options {
	const char *from;      /* "localhost:8443", "8443", "192.0.2.1:443", "[::1]:8443", "name:443" */
	const char *to;        /* an origin, or shorter: "localhost:3000", "3000", "/run/app.sock" */
	const char *cert, *key; /* both or none */
	const char *workers;   /* NULL: as many as CPUs */
	enum log_level log_level;
};

/* Returns the exit status. */
int quick_run(const struct quick_options *o);
