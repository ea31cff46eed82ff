/*
 * probe.h - `gatehouse check` connects to each upstream, as the user that workers run as.
 *
 * Knows targets and how to dial them; why one cannot be reached is explain.h's. Called by main.
 */
#pragma once

#include "conf/report.h"

/*
 * A line for each target of c: "ok", "warn" (absent for now: the application has to be started) or "FAIL"
 * (something has to be changed), with what to do. The last two are counted in r as warnings and errors.
 * Needs that no loop is open.
 */
void probe_upstreams(const struct config *c, struct conf_report *r, FILE *out);
