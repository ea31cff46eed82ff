/*
 * care.h - what the files of the acme process share: the certificates that are cared for, the logins they are
 * obtained with, and the errands that run for them. Included by agent.c (when), errand.c (the processes) and
 * keep.c (what is written).
 */
#pragma once

#include "acme/agent.h"
#include "acme/flow.h"
#include "acme/probe.h"

/* An account's file, whoever uses it. */
struct acme_login {
	struct list node;
	struct arena arena;
	struct str path;
	struct acme_account account;
	uint32_t unwritten; /* id of the STORE of its key; 0: that was written, or cannot be */
	struct acme_errand *enrols; /* who registers it now; NULL: nobody */
};

/* What is in use, for one kind of key. */
struct acme_use {
	struct arena arena;
	struct str chain;
	struct acme_facts facts; /* not_after 0: there is none */
	bool unfit;              /* not for these names, or not for its key */
	bool forced;             /* somebody wants a new one */
	bool revoke;             /* or this one gone */
};

struct acme_care {
	struct list node;
	struct str id; /* allocated */
	const struct conf_acme_cert *conf;
	struct arena arena; /* of state */
	struct acme_state state;
	struct acme_use parts[CONF_ACME_KINDS];
	struct acme_errand *errand; /* NULL: none runs */
	uint32_t *challenges; /* met by the workers at the moment */
	size_t nchallenges;
	bool revoked;
	struct msg_acme_state told; /* to the parent */
	struct str told_words; /* allocated */
};

/* A process at work. */
struct acme_errand {
	struct list node;
	struct grave grave;
	struct event link;
	struct work work;
	struct acme_agent *agent;
	struct acme_care *cert; /* NULL: nobody waits for what it does any more */
	enum conf_acme_kind kind;
	enum acme_job job;
	bool failing;
	size_t met;        /* challenges that were met when it began */
	uint32_t asked;    /* id of what it waits for; 0: nothing */
	struct acme_proof proof; /* the challenge that is to be looked at from here */
	struct timer deadline;
};

/* ---- keep.c: what the parent writes. What sends returns the id of what was sent, or 0 and errno ---- */

uint32_t acme_keep_file(struct acme_agent *g, struct str path, struct str bytes);
uint32_t acme_keep_state(struct acme_agent *g, struct acme_care *c);
uint32_t acme_keep_login(struct acme_agent *g, struct acme_login *a);
/* These bytes become the state; texts of the one before are gone with it. False: it is an empty one now. */
bool acme_keep_read(struct acme_care *c, struct str bytes);
/* This chain is in use from now on. */
void acme_use_set(struct acme_use *p, struct str chain);

/* NULL: there is none. */
struct acme_login *acme_login_of(struct acme_agent *g, const struct conf_acme_account *conf);
void acme_login_add(struct acme_agent *g, const struct conf_acme_account *conf);
void acme_login_free(struct acme_login *a);
/* Each that c may use has a key that will outlive a crash. False: not yet; the agent is woken then. */
bool acme_login_ready(struct acme_agent *g, const struct acme_care *c) MUST_USE;

/* ---- errand.c ---- */

/* c->errand is its process; NULL: it could not be started, and c->state says when it may be tried again. */
void acme_errand_start(struct acme_agent *g, struct acme_care *c, enum conf_acme_kind kind,
		       enum acme_job job);
/* Not heard of any more. */
void acme_errand_close(struct acme_errand *e);
/* What it waits for has come to this. */
void acme_errand_answer(struct acme_errand *e, int error);
/* Collects those that have ended. One that is not heard of any more ends with its next request. */
void acme_errand_reap(void);
/* The first n of its challenges need not be met any longer. */
void acme_care_withdraw(struct acme_agent *g, struct acme_care *c, size_t n);

/* ---- agent.c ---- */

/* How it stands, to the parent, if that has changed. */
void acme_care_tell(struct acme_agent *g, struct acme_care *c);
/* Looks for what is to be done, soon; never from inside of what changes things. */
void acme_agent_wake(struct acme_agent *g);
