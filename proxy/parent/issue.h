/*
 * issue.h - the parent's part in obtaining certificates: it keeps the files of the process that does it,
 * has its challenges met by every worker or by the hook, and knows how each certificate stands. Part of
 * the parent.
 *
 * That process (acme) is as little trusted as a worker: it can have files of the store written, and
 * nothing else.
 */
#pragma once

#include "proxy/parent/parent.h"

/* How a certificate stands, as the acme process told last. */
struct issue_state {
	struct list node; /* issue.states */
	struct msg_acme_state known;
	char *id, *serial, *error; /* error: empty when all is well */
};

void issue_init(struct parent *p);
void issue_fini(struct parent *p);

/* Does the current configuration have certificates obtained? */
bool issue_is_needed(const struct parent *p);
/* Tells the acme process what to care for: after its birth, and after every commit. */
void issue_load(struct child *acme, const struct parent_conf *conf);
/* Tells a worker that is born what to answer CAs with. */
void issue_brief(struct child *worker);
/* One has died. */
void issue_child_gone(struct parent *p, const struct child *c);

/* NULL: nothing is known of it yet. Borrowed until the next turn. */
const struct issue_state *issue_state(const struct parent *p, struct str id);
const char *issue_state_text(uint32_t state);
/* Asks the acme process for something. False: it does not run. */
bool issue_do(struct parent *p, enum msg_acme_verb verb, struct str id) MUST_USE;

/* ---- issued.c: for `gatehouse cert`; texts are the caller's (free) ---- */

/* How all of them stand. */
char *issue_tell(const struct parent *p) MUST_USE;
/* Asks for something to be done with the certificate that has this name; says what comes of it. */
char *issue_ask(struct parent *p, enum msg_acme_verb verb, struct str name, bool *ok) MUST_USE;
