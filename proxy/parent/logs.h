/*
 * logs.h - the log files that workers and the parent write. Part of the parent.
 */
#pragma once

#include "proxy/parent/parent.h"

/* Opens those of the configuration that are not open. False: r says why. */
bool logs_open(struct parent *p, const struct config *conf, struct conf_report *r) MUST_USE;
/* After a commit: closes those that are not named any more; the error log is the parent's from here on. */
void logs_settle(struct parent *p);
/* Sends a worker those of a configuration. */
void logs_send(struct child *c, const struct parent_conf *conf);
/* The one of them that other processes write, too. */
void logs_send_error_log(struct child *c, const struct parent_conf *conf);
/* New files under the old names. */
void logs_reopen(struct parent *p);
void logs_close(struct parent *p);
