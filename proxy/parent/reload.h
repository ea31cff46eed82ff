/*
 * reload.h - from a configuration on disk to the one that is served, in two phases. Part of the parent.
 */
#pragma once

#include "proxy/parent/parent.h"

/* Reads the configuration and begins. What goes wrong is told, and at the first start ends the parent. */
void reload_start(struct parent *p);
/*
 * Certificates in the store are newer than those that are served: loads what is served once more, with
 * the store as it is now; at once, but not again within a second. Nothing that the user may have written
 * since counts.
 */
void reload_renew(struct parent *p);
/* Can something be loaded now? */
bool reload_is_possible(const struct parent *p);
/*
 * Files that the configuration names are others than those that are served: loads what is served once more,
 * with the files as they are now. quiet: whatever is wrong with them is not told. Only when possible.
 */
void reload_files(struct parent *p, bool quiet);
/* Begins what was asked for while something else was under way. */
void reload_next(struct parent *p);
/* Only tries it, and says what it would change. Nothing else may be under way. */
void reload_try(struct parent *p);
/* For whoever asked for the reload that is under way: whole lines. */
void reload_note(struct parent *p, const char *text);
/* Forgets what is under way. */
void reload_abort(struct parent *p);
/* At the parent's end. */
void reload_close(struct parent *p);

/* ---- what children report ---- */

void reload_trial_ready(struct parent *p);
/* One has loaded the next configuration, or a name was found: perhaps that was all. */
void reload_go_on(struct parent *p);
/* One cannot load it, or died over it: text is whole lines. */
void reload_failed(struct parent *p, const char *text);

/* Gives back all that a configuration holds. Harmless on an empty one. */
void reload_conf_fini(struct parent_conf *c);
