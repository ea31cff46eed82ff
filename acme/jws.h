/*
 * jws.h - account keys and the signed bodies of ACME requests (RFC 7515, 7517, 7638; RFC 8555 section 6.2).
 *
 * Knows keys, base64url and JSON text; no network, no files. Called by ca.c, flow.c and store.c. Texts lie in
 * the arena that is given.
 */
#pragma once

#include "core/arena.h"
#include <openssl/evp.h>

enum acme_key_kind { ACME_KEY_P256, ACME_KEY_RSA2048 };

/* A fresh key, the caller's (EVP_PKEY_free). Never fails: what it needs is memory and randomness. */
EVP_PKEY *acme_key_new(enum acme_key_kind kind) MUST_USE;
/* PKCS #8 in PEM; and back, NULL for what is no such key. */
struct str acme_key_to_pem(struct arena *a, EVP_PKEY *key) MUST_USE;
EVP_PKEY *acme_key_from_pem(struct str pem) MUST_USE;

/* RFC 7515 section 2: without padding. Decoding: absent for what is none (padding is passed over). */
struct str acme_b64_encode(struct arena *a, struct str bytes) MUST_USE;
struct str acme_b64_decode(struct arena *a, struct str text) MUST_USE;

/* A P-256 key as JWK, members in the order of RFC 7638; with its secret, for the account's file. */
struct str acme_jwk_public(struct arena *a, EVP_PKEY *key) MUST_USE;
struct str acme_jwk_private(struct arena *a, EVP_PKEY *key) MUST_USE;
/* From the JWK's members x, y and d; NULL: not a key of that curve. */
EVP_PKEY *acme_jwk_key(struct str x, struct str y, struct str d) MUST_USE;
/* RFC 7638, with SHA-256. */
struct str acme_jwk_thumbprint(struct arena *a, EVP_PKEY *key) MUST_USE;

/*
 * A request's body, signed with ES256. kid: the account's URL; empty: the key itself is named. payload empty:
 * POST-as-GET (RFC 8555 section 6.3).
 */
struct str acme_jws_sign(struct arena *a, EVP_PKEY *key, struct str kid, struct str nonce, struct str url,
			 struct str payload) MUST_USE;
/*
 * An external account binding (RFC 8555 section 7.3.4): the account's key under HS256 with the CA's
 * secret.
 */
struct str acme_jws_bind(struct arena *a, EVP_PKEY *key, struct str kid, struct str secret,
			 struct str url) MUST_USE;
