/*
 * store.h - what outlives the process: the account's file and the state of a certificate, as JSON (jansson).
 *
 * Pure: bytes to structs and back; who reads and writes files is the parent. What does not hold what it
 * should is no state: a broken file costs an order at most, never a loop. Called by flow.c and agent.c.
 * Texts lie in the arena that is given. Times are milliseconds since the epoch unless they say otherwise;
 * 0: none.
 */
#pragma once

#include "acme/jws.h"
#include "conf/config.h"

enum {
	ACME_FILE_BYTES = 128 * 1024, /* of all files it reads */
	ACME_NAMES_MAX = 100,         /* in one certificate: what public CAs take */
	ACME_WAITS_MAX = 8,           /* directories */
	ACME_ASKED_MAX = 2,
};

/* The order under way. `url` empty and a key there: newOrder may have been sent, its answer was not heard. */
struct acme_order {
	struct str url, directory;
	struct str key;   /* PEM: of the certificate to be */
	struct str chain; /* PEM: issued, but not yet in its own file */
	struct str *names;
	size_t nnames;
	unsigned tries;   /* that ended before the order did */
};

/* RFC 9773: when the CA wants the certificate renewed. */
struct acme_ari {
	struct str id; /* of the certificate that is meant */
	int64_t start_ms, end_ms;
	int64_t at_ms;    /* the moment chosen in it */
	int64_t check_ms; /* ask again then */
	unsigned failures;
};

/* What a directory said about coming back. */
struct acme_wait {
	struct str directory;
	int64_t until_ms;
};

/* The certificate for one kind of key. */
struct acme_part {
	struct acme_order order;
	/* of the one in use */
	struct str issued_by;
	int64_t issued_ms;
	unsigned early;      /* how often in a row it was renewed long before it had to be */
	struct str replaced; /* its ARI id, when the CA knows of another one that replaces it */
	struct acme_ari ari;
};

/* A certificate's names, and how it goes with them. */
struct acme_state {
	struct acme_part parts[CONF_ACME_KINDS];
	/* of what fails; with a success nearly all of it is gone */
	unsigned failures;
	bool refused;        /* the last of them cost an order */
	unsigned account;    /* to begin with: index into those of the configuration */
	unsigned challenge;  /* the same: what worked last, or is next */
	int64_t next_ms;     /* not again before */
	int64_t asked_ms[ACME_ASKED_MAX]; /* newOrder, the last one first */
	struct str error;    /* the last one, in words */
	struct acme_wait waits[ACME_WAITS_MAX];
	size_t nwaits;
};

/* False: not a state; *out is then an empty one. Empty bytes are an empty state. */
bool acme_state_read(struct arena *a, struct str bytes, struct acme_state *out) MUST_USE;
struct str acme_state_write(struct arena *a, const struct acme_state *s) MUST_USE;
/* Until when the directory wants to be left alone; 0: it does not. */
int64_t acme_state_wait(const struct acme_state *s, struct str directory);
void acme_state_set_wait(struct acme_state *s, struct str directory, int64_t until_ms);

/* An account at a directory: its URL. */
struct acme_registration {
	struct str directory, url;
};

/* The file is a JWK (RFC 7517), with a member for what it is registered as. */
struct acme_account {
	EVP_PKEY *key; /* NULL: none */
	struct acme_registration registrations[ACME_WAITS_MAX];
	size_t n;
};

/* False: not an account that can be used; *out is then without a key. The key is the caller's. */
bool acme_account_read(struct arena *a, struct str bytes, struct acme_account *out) MUST_USE;
struct str acme_account_write(struct arena *a, const struct acme_account *acc) MUST_USE;
/* Empty: not registered there. */
struct str acme_account_url(const struct acme_account *acc, struct str directory);
/* An empty url forgets. What it is given is borrowed. */
void acme_account_register(struct acme_account *acc, struct str directory, struct str url);
