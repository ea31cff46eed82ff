/*
 * probe.h - looks whether a challenge that is in place can be seen from here, and gives advice.
 *
 * It may be hidden from this machine, behind a NAT, and yet be seen by the CA; or the other way round. So
 * nothing waits for what comes of it. In a process of its own, which lives for some seconds. Called by
 * agent.c.
 */
#pragma once

#include "acme/store.h"

/* A challenge that is not yet in place. */
struct acme_proof {
	enum conf_acme_challenge challenge;
	struct str text; /* allocated; absent: there is none */
};

/* Copies text: name NUL token NUL content (core/msg.h). One that was kept before is dropped. */
void acme_probe_keep(struct acme_proof *p, enum conf_acme_challenge challenge, struct str text);
/* It is in place: starts the process, if there is something to look at, and drops it. */
void acme_probe_look(struct acme_proof *p);
void acme_probe_drop(struct acme_proof *p);
