/*
 * check.h - how `gatehouse check` says what is wrong with a configuration.
 */
#pragma once

#include "conf/report.h"

/*
 * Prints r, and a closing line "2 errors, 1 warning". False when there was an error; with strict, a warning
 * is one.
 */
bool conf_check_print(struct conf_report *r, bool strict, FILE *out);
