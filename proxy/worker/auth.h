/*
 * auth.h - the users of one password file, and whether a request is from one of them (RFC 7617).
 *
 * A line is "user:hash" (crypt(5); what `htpasswd -B` and `openssl passwd -6` write). Hashes are slow by
 * design, and are computed where everybody else's requests wait: so what was once found right or wrong is
 * remembered by a keyed digest, and how much may be computed is bounded.
 * Knows bytes of a file and the Authorization field; not mounts, not pages. Called by site (make, keep over
 * reloads) and route (ask).
 */
#pragma once

#include "core/arena.h"
#include "core/err.h"
#include "core/head.h"

struct auth;

/*
 * Bytes are copied. `wrong` is called for every line that cannot be used, with its number and what is to be
 * done; then NULL is returned. What it says never shows a password.
 */
struct auth *auth_new(struct str path, struct str bytes,
		      void (*wrong)(void *arg, unsigned line, struct str what), void *arg) MUST_USE;
struct auth *auth_get(struct auth *a);
void auth_put(struct auth *a);
/* It was made from the same: what it remembers still holds. */
bool auth_is_from(const struct auth *a, struct str path, struct str bytes);

/*
 * A worker's allowance: `per_second` passwords, at most a second's worth at once. One that takes longer than
 * a tenth of its share of that second counts for more, so that nine tenths of the time are for others.
 */
struct auth_allowance {
	uint64_t due_us; /* when all that was spent will have been earned */
};

/*
 * ERR_OK, and *user (borrowed as long as a); ERR_UNAUTHORIZED; or ERR_AUTH_MANY when it would have to be
 * computed and the allowance is spent.
 */
enum err auth_check(struct auth *a, struct auth_allowance *w, uint64_t per_second, const struct head *request,
		    struct str *user) MUST_USE;

/* ---- pure ---- */

/*
 * "user:password" of an Authorization field's value, decoded into out (of cap bytes). False when it is no
 * Basic credentials (RFC 7617 section 2), or too long.
 */
bool auth_decode(struct str value, char *out, size_t cap, struct str *user, struct str *password) MUST_USE;
