/*
 * agent.h - the acme process: which certificates there are to care for, when something is to be done for
 * each, and the processes that do it, at most 8 at a time.
 *
 * On the loop. Knows what is kept of each certificate, and the parent's channel; it talks to no CA itself
 * and opens no file. Called by proxy's acme process, one function a message.
 */
#pragma once

#include "acme/link.h"
#include "core/list.h"
#include "core/msg.h"
#include "core/timer.h"

struct acme_agent {
	struct msg_channel *parent;
	struct config *conf;   /* NULL: none yet */
	struct list certs;     /* struct acme_care */
	struct list accounts;  /* struct acme_login */
	struct list errands;   /* struct acme_errand: those that run */
	unsigned running, failing; /* of them those for what has failed before */
	uint32_t last_id;      /* of STORE and CHALLENGE */
	struct timer timer;
	uint64_t probe_ms;     /* no challenge is looked at from here before then */
	int64_t clock_ms;      /* how far the wall clock is ahead of the other */
};

/* parent is borrowed. */
void acme_agent_open(struct acme_agent *g, struct msg_channel *parent);
void acme_agent_close(struct acme_agent *g);
/* These certificates from now on. The reference is the agent's. */
void acme_agent_load(struct acme_agent *g, struct config *conf);
/* Answers to what was sent. */
void acme_agent_stored(struct acme_agent *g, uint32_t id, int error);
void acme_agent_challenge_ready(struct acme_agent *g, uint32_t id, int error, struct str words);
/* False: there is no such certificate. */
bool acme_agent_do(struct acme_agent *g, enum msg_acme_verb verb, struct str id);
