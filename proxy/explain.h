/*
 * explain.h - why a Unix socket cannot be connected to, in words that say whose folder or file is in the way,
 * and what to do.
 *
 * Looks at the file system as the process that calls: it has the identity of a worker, and unlike one may
 * look. May block on a slow account database. Called by a process of the parent's (reason.c, for the log) and
 * by probe (for `gatehouse check`).
 */
#pragma once

#include "core/base.h"

enum { EXPLAIN_BYTES = 1024 };

/*
 * One line about a connect to `path` (or "@name") that failed with this errno; never empty. Returns out,
 * which has EXPLAIN_BYTES.
 */
char *explain_unix(const char *path, int sys_errno, char *out);
/* True when that is nothing that waiting or starting the application would cure. */
bool explain_is_fault(int sys_errno);
