/*
 * born.h - the first steps of every child, and loading a bundle: what worker and trial have in common, so
 * that a configuration that passes the trial is one that a worker can load.
 */
#pragma once

#include "conf/report.h"
#include "core/msg.h"

/* Loop, log, TLS, sandbox, control socket. False: nothing can be done here. */
bool born_begin(struct msg_channel *c, enum msg_role role, const struct msg_handlers *handlers,
		void (*ended)(struct msg_channel *c, const char *why)) MUST_USE;

/* Standard error is where the log goes, and what a library or a sanitizer may have to say. */
bool born_set_error_log(int fd) MUST_USE;

/*
 * The bundle's configuration, one reference; or NULL, and the parent has been told why. r is initialised, and
 * gets what is to be said about it.
 */
struct config *born_load(struct msg_channel *c, uint64_t generation, int fd, struct conf_report *r) MUST_USE;
/* Tells the parent all that is in r: FAILED. */
void born_failed(struct msg_channel *c, uint64_t generation, const struct conf_report *r);
/* The same of something that can be served, if there is any: WARNINGS. */
void born_warn(struct msg_channel *c, uint64_t generation, const struct conf_report *r);
