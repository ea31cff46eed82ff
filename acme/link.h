/*
 * link.h - between the acme process and the process of one order, over a SOCK_SEQPACKET pair.
 *
 * The order asks, one thing at a time, and waits; what it asks for is done by others (the parent, the
 * workers). Knows framing, not what is asked. Called by flow.c (blocking) and agent.c (on the loop).
 */
#pragma once

#include "acme/store.h"

enum acme_link_type {
	ACME_LINK_STATE,     /* keep this state; acme_state_write's bytes */
	ACME_LINK_ACCOUNT,   /* keep the account's URL; empty: it is gone */
	ACME_LINK_KEY,       /* keep the certificate's key, PEM */
	ACME_LINK_CHAIN,     /* and its chain: it is in use from now on */
	ACME_LINK_CHALLENGE, /* `what`: enum conf_acme_challenge; name NUL token NUL content */
	ACME_LINK_END,       /* `what`: enum acme_end; reason in words. Without an answer */
	ACME_LINK_TYPES
};

/* How it ended for now. */
enum acme_end {
	ACME_END_DONE,
	ACME_END_WAIT,    /* the order goes on, later */
	ACME_END_AWAY,    /* no CA could be talked to, or it had no time */
	ACME_END_REFUSED, /* a CA does not want to, or could not see the proof */
	ACME_END_ENDS
};

struct acme_link_head {
	uint32_t type, what;
	int64_t until_ms; /* END: not before; 0: as you like */
};

enum { ACME_LINK_BYTES = sizeof(struct acme_link_head) + ACME_FILE_BYTES };

/* Both close-on-exec; pair[1], the order's, blocks. Returns 0 or -errno. */
int acme_link_pair(int pair[2]) MUST_USE;

/*
 * For the order: asks, and returns 0 when it was done, or the errno that prevented it. Ends the process
 * when there is nobody to ask any more.
 */
int acme_link_ask(int fd, const struct acme_link_head *h, struct str bytes) MUST_USE;
/* The last thing it says. */
void acme_link_end(int fd, enum acme_end end, int64_t until_ms, struct str words);
/* Waits; ends the process as above. */
void acme_link_sleep(int fd, int64_t ms);

/*
 * For the other side: what came, into buf of ACME_LINK_BYTES; *bytes points into it. 1: a message, 0:
 * none now, -1: the order is gone, or talks nonsense.
 */
int acme_link_read(int fd, char *buf, struct acme_link_head *h, struct str *bytes) MUST_USE;
void acme_link_answer(int fd, int error);
