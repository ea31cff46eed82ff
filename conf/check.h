/*
 * check.h - `gatehouse check`: what is wrong with the configuration at a path, in full.
 *
 * Called by proxy, which adds what only it can judge (building TLS contexts) between the two halves.
 */
#pragma once

#include "conf/report.h"

/*
 * Loads the configuration at path as the parent would, certificates and keys included, and prints all that is
 * to be said about it and a closing line "2 errors, 1 warning". False when there was an error; with strict, a
 * warning is one.
 */
bool conf_check(const char *path, bool strict, FILE *out);
/* The second half alone: prints r and the closing line. False as above. */
bool conf_check_print(struct conf_report *r, bool strict, FILE *out);
