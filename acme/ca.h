/*
 * ca.h - the conversation with one directory: what it offers, nonces, signed requests, problems in words.
 *
 * Knows RFC 8555 sections 6 and 7.1 to 7.2: how one talks to a CA, not what about. Called by flow.c and
 * ari.c. Whatever fails leaves its reason in ca->failure.
 */
#pragma once

#include "acme/https.h"
#include "acme/jws.h"
#include <jansson.h>

/* What the CA offers; empty: it does not. */
#define ACME_RESOURCE_TABLE(X)                       \
	X(NEW_NONCE, "newNonce", true)               \
	X(NEW_ACCOUNT, "newAccount", true)           \
	X(NEW_ORDER, "newOrder", true)               \
	X(REVOKE_CERT, "revokeCert", false)          \
	X(RENEWAL_INFO, "renewalInfo", false) /* RFC 9773 section 4 */

enum acme_resource {
#define X(id, name, needed) ACME_##id,
	ACME_RESOURCE_TABLE(X)
#undef X
	ACME_RESOURCE_COUNT
};

/*
 * Problems that change what is done (RFC 8555 section 6.7, RFC 9773 section 7.4); all others are only
 * told.
 */
#define ACME_PROBLEM_TABLE(X)                      \
	X(BAD_NONCE, "badNonce")                   \
	X(NO_ACCOUNT, "accountDoesNotExist")       \
	X(RATE_LIMITED, "rateLimited")             \
	X(ALREADY_REPLACED, "alreadyReplaced")     \
	X(ORDER_NOT_READY, "orderNotReady")        \
	X(ALREADY_REVOKED, "alreadyRevoked")       \
	X(SERVER_INTERNAL, "serverInternal")

enum acme_problem {
	ACME_PROBLEM_OTHER,
#define X(id, name) ACME_PROBLEM_##id,
	ACME_PROBLEM_TABLE(X)
#undef X
};

enum { ACME_WORDS_BYTES = 1024 };

struct acme_failure {
	bool away;         /* no answer, or one that says "later": another time it may be a good one */
	unsigned status;   /* 0: no answer */
	enum acme_problem problem;
	int64_t until_ms;  /* Retry-After; 0: none */
	char words[ACME_WORDS_BYTES]; /* of plain ASCII */
};

struct acme_ca {
	struct acme_https https;
	struct arena arena;     /* of the conversation */
	struct arena last;      /* of the last reply */
	struct str directory;
	struct str resources[ACME_RESOURCE_COUNT];
	bool binding_required;  /* externalAccountRequired */
	EVP_PKEY *key;          /* the account's, borrowed */
	struct str kid;         /* its URL; empty: it has none yet */
	struct str nonce;       /* not used yet; empty: none */
	/* the last reply; void with the next request */
	struct acme_response reply;
	json_t *json;           /* its body, when that is an object */
	int64_t retry_after_ms; /* 0: none */
	struct acme_failure failure;
};

/* Fetches the directory. trust_pem as for acme_https_open. Follow with acme_ca_close, also when it failed. */
bool acme_ca_open(struct acme_ca *ca, struct str directory, struct str trust_pem, EVP_PKEY *key) MUST_USE;
void acme_ca_close(struct acme_ca *ca);

/* What a request is besides its URL and payload; bits. */
enum acme_post {
	ACME_POST_PLAIN = 0,
	ACME_POST_KEY = 1,    /* signed with the key named in it, not by account */
	ACME_POST_ONCE = 2,   /* makes something each time it is sent */
	ACME_POST_CHAIN = 4,  /* asks for a certificate chain */
};

/* A payload as text, in the conversation's arena. */
struct str acme_ca_compose(struct acme_ca *ca, const json_t *payload) MUST_USE;
/* Signed, with badNonce dealt with. True: 2xx. payload empty: POST-as-GET. */
bool acme_ca_post(struct acme_ca *ca, struct str url, struct str payload, unsigned how) MUST_USE;
/* Unsigned. True: 2xx. */
bool acme_ca_get(struct acme_ca *ca, struct str url) MUST_USE;

/* The last reply is an object; otherwise it failed, as if there had been none. */
bool acme_ca_is_object(struct acme_ca *ca) MUST_USE;
/* Members of the last reply, in the conversation's arena; empty: not there, or not what it should be. */
struct str acme_ca_text(struct acme_ca *ca, json_t *object, const char *name) MUST_USE;
struct str acme_ca_url(struct acme_ca *ca, json_t *object, const char *name) MUST_USE;
/* The Location field as URL (relative ones do not occur: RFC 8555 section 7.1 has them absolute). */
struct str acme_ca_location(struct acme_ca *ca) MUST_USE;
/* Adds what a problem document (RFC 7807) says, in plain words, behind what is there. */
void acme_ca_describe(char words[ACME_WORDS_BYTES], const json_t *problem);
/* Says what is wrong; returns false. */
bool acme_ca_fail(struct acme_ca *ca, bool away, const char *fmt, ...) PRINTF(3, 4);
/* The wall clock. */
int64_t acme_ca_now_ms(void);
