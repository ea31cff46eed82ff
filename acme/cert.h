/*
 * cert.h - what ACME needs of X.509: requests (RFC 2986), challenge certificates (RFC 8737), and the
 * facts of a chain that came back.
 *
 * Pure: bytes in, bytes out. Called by flow.c, agent.c and store.c. Texts lie in the arena that is given.
 */
#pragma once

#include "acme/jws.h"

/* What is worth knowing about a certificate: of the first one of a PEM text. */
struct acme_facts {
	int64_t not_before, not_after; /* seconds since the epoch */
	struct str serial;             /* hexadecimal */
	struct str ari_id;             /* RFC 9773 section 4.1; absent: it does not say who issued it */
};

/* DER, for these DNS names, signed with key. */
struct str acme_cert_request(struct arena *a, EVP_PKEY *key, const struct str *names, size_t n) MUST_USE;
/*
 * RFC 8737 section 3: a self-signed certificate for name whose acmeIdentifier is the SHA-256 of the key
 * authorization; PEM, its key behind it.
 */
struct str acme_cert_for_challenge(struct arena *a, struct str name, struct str authorization) MUST_USE;
/* False: not a certificate. */
bool acme_cert_facts(struct arena *a, struct str pem, struct acme_facts *out) MUST_USE;
/* The first certificate as DER; absent: there is none. */
struct str acme_cert_der(struct arena *a, struct str pem) MUST_USE;
/*
 * What is wrong with a chain for this key and these names (static text), or NULL. Names are matched as a
 * client would.
 */
const char *acme_cert_wrong(struct str pem, EVP_PKEY *key, const struct str *names, size_t n) MUST_USE;
