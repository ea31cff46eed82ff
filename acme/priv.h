/*
 * priv.h - the parts of the flow, and what they share. A step returns true when the next one can be taken;
 * otherwise it has said how and why it ends, by one of the functions below.
 */
#pragma once

#include "acme/ca.h"
#include "acme/flow.h"
#include "acme/plan.h"

struct acme_flow {
	struct acme_task *t;
	struct acme_state *state;
	struct acme_part *part;      /* of state */
	struct acme_ca ca;           /* while there is a conversation */
	const struct conf_acme_account *conf; /* with whom */
	struct acme_account *account;
	EVP_PKEY *key;               /* of the certificate to be; NULL: none yet */
	struct arena arena;          /* what lives as long as the flow */
	int64_t give_up_ms;          /* no more waiting then */
	bool no_renewal_info;        /* the CA does not say when to renew */
	bool proof_failed;           /* the CA could not see the proof: another kind of it may do */
	enum acme_end end;
	int64_t until_ms;
	char words[ACME_WORDS_BYTES];
};

/* ---- ends; all return false ---- */

/* As the conversation failed. */
bool acme_flow_fail(struct acme_flow *f);
bool acme_flow_refuse(struct acme_flow *f, const char *fmt, ...) PRINTF(2, 3);
/* Waits as long as the last reply says, or a little longer each time (tries: 0, 1, ...). False: not here. */
bool acme_flow_pause(struct acme_flow *f, unsigned tries) MUST_USE;

/* ---- what must outlive the process ---- */

void acme_flow_keep_state(struct acme_flow *f);
/* Says so when it fails; all goes on, as the parent has it in memory. */
void acme_flow_keep(struct acme_flow *f, enum acme_link_type type, struct str bytes, const char *what);

uint64_t acme_flow_random(void);

/* ---- steps ---- */

/* There is an account, with a URL; registers one when there is none (RFC 8555 section 7.3). */
bool acme_account_ready(struct acme_flow *f) MUST_USE;
/* The one that was known is gone. */
void acme_account_forget(struct acme_flow *f);

/* From an order to a chain in part->order (RFC 8555 section 7.4). */
bool acme_order_run(struct acme_flow *f) MUST_USE;
void acme_order_drop(struct acme_flow *f);

/* All of these authorizations are valid (RFC 8555 section 7.5). */
bool acme_authorize(struct acme_flow *f, const struct str *urls, size_t n) MUST_USE;

/* Asks for the window (RFC 9773 section 4.1); keeps it. */
bool acme_ari_ask(struct acme_flow *f) MUST_USE;
