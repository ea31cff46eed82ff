/*
 * path.h - request targets: one reading of a path, and what a mount makes of it. Pure.
 *
 * The normalised path is what mounts are chosen by, and what is passed on, so that Gatehouse and the upstream
 * cannot disagree about it. Called by route and translate.
 */
#pragma once

#include "core/arena.h"

/* Splits an origin-form target; the query keeps its '?', and is empty when there is none. */
void path_split(struct str target, struct str *path, struct str *query);

/*
 * Normalises a path that begins with '/' (RFC 3986 sections 6.2.2.2 and 6.2.2.3): percent-encoded
 * unreserved characters are decoded, then dot segments removed, those above the root dropped. All else
 * stays as it is: other percent-encodings (%2f, %25, %00), ';', empty segments. The result is never
 * longer than the path; it lies in the arena, or is the path itself when there was nothing to do. False
 * when the path cannot be read in one way: no '/' at its beginning, '%' without two hex digits, a
 * fragment (RFC 9112 section 3.2.1).
 */
bool path_normalise(struct arena *a, struct str path, struct str *out) MUST_USE;

/*
 * True when `path` is `prefix` or lies below it, by whole segments. A prefix has no '/' at its end; the empty
 * one, and "/", hold every path that begins with '/'.
 */
bool path_is_under(struct str path, struct str prefix);

/*
 * What `path`, which is under `from`, is called under `to` instead. The result begins with '/'. `suffix` (a
 * query) is appended as it is.
 */
struct str path_rebase(struct arena *a, struct str path, struct str from, struct str to, struct str suffix)
	MUST_USE;
