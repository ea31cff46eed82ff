/*
 * born.h - the first steps of every child, and what is told the parent of a bundle: what worker and trial
 * have in common.
 */
#pragma once

#include "conf/report.h"
#include "core/msg.h"

/* Loop, log, TLS, sandbox, control socket. False: nothing can be done here. */
bool born_begin(struct msg_channel *c, enum msg_role role, const struct msg_handlers *handlers,
		void (*ended)(struct msg_channel *c, const char *why)) MUST_USE;

/* Standard error is where the log goes, and what a library or a sanitizer may have to say. */
bool born_set_error_log(int fd) MUST_USE;

/* Tells the parent all that is in r: FAILED. */
void born_failed(struct msg_channel *c, uint64_t generation, const struct conf_report *r);
/* The same of something that can be served, if there is any: WARNINGS. */
void born_warn(struct msg_channel *c, uint64_t generation, const struct conf_report *r);
