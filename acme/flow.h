/*
 * flow.h - what is done with a CA, from the first request to the last: a straight line, in a process of
 * its own.
 *
 * Knows RFC 8555 section 7, 8737 and 9773. Whatever must outlive the process is handed over the link
 * before the next step is taken, so that one that is killed anywhere can be begun again and goes on where
 * it was. Called by agent.c, in the child.
 */
#pragma once

#include "acme/cert.h"
#include "acme/link.h"

enum acme_job {
	ACME_JOB_ORDER,  /* a certificate, or go on with the order for it */
	ACME_JOB_ASK,    /* when to renew (RFC 9773) */
	ACME_JOB_REVOKE, /* the one in use (RFC 8555 section 7.6) */
};

struct acme_task {
	enum acme_job job;
	const struct conf_acme_cert *cert;
	enum conf_acme_kind kind;
	struct acme_account *accounts; /* as many as cert->naccounts, in the same order; each with a key */
	struct acme_state state;
	struct str chain;              /* in use; empty: none */
	struct acme_facts facts;       /* of it */
	const struct str *taken;       /* URLs of orders for other certificates */
	size_t ntaken;
	int link;
};

/* Does it, says how it ended, and ends the process. */
NORETURN void acme_flow_run(struct acme_task *t);
