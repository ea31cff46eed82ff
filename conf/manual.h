/*
 * manual.h - the list of all configuration keys for people: as text, and as part of a manual page.
 *
 * Derived from the rows of keys.h. Knows the key table, no configuration. Called by the command line and, for
 * the manual pages, by the build.
 */
#pragma once

#include "core/base.h"
#include <stdio.h>

/* Every key under its scope, a line each: name, type, default, what it is. */
void conf_manual_print(FILE *out);
/* The same as the sections of a manual page, in roff's man macros. */
void conf_manual_roff(FILE *out);
/* Text so that roff takes it as it is, wherever it stands. */
void conf_manual_roff_text(const char *text, FILE *out);
