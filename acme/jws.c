#include "acme/jws.h"
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

enum { COORDINATE_BYTES = 32, RSA_BITS = 2048, SHA256_BYTES = 32 };

/* ---- base64url ---- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct str acme_b64_encode(struct arena *a, struct str bytes)
{
	char *out = arena_alloc(a, bytes.n * 4 / 3 + 4), *p = out;
	const uint8_t *in = (const uint8_t *)bytes.p;
	uint32_t word = 0;
	unsigned bits = 0;

	for (size_t i = 0; i < bytes.n; i++) {
		word = word << 8 | in[i];
		for (bits += 8; bits >= 6; bits -= 6)
			*p++ = alphabet[word >> (bits - 6) & 63];
	}
	if (bits)
		*p++ = alphabet[word << (6 - bits) & 63];
	*p = 0;
	return str_of(out, (size_t)(p - out));
}

struct str acme_b64_decode(struct arena *a, struct str text)
{
	char *out = arena_alloc(a, text.n * 3 / 4 + 1), *p = out;
	uint32_t word = 0;
	unsigned bits = 0;

	while (text.n && text.p[text.n - 1] == '=')
		text.n--;
	if (text.n % 4 == 1)
		return STR_NONE;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		const char *at;

		/* secrets are often handed out in the other alphabet */
		c = c == '+' ? '-' : c == '/' ? '_' : c;
		at = c ? strchr(alphabet, c) : NULL;
		if (!at)
			return STR_NONE;
		word = word << 6 | (uint32_t)(at - alphabet);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			*p++ = (char)(word >> bits & 255);
		}
	}
	return str_of(out, (size_t)(p - out));
}

/* ---- keys ---- */

EVP_PKEY *acme_key_new(enum acme_key_kind kind)
{
	EVP_PKEY *key = kind == ACME_KEY_P256 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
					      : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_BITS);

	BUG_ON(!key);
	return key;
}

struct str acme_key_to_pem(struct arena *a, EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	struct str pem;
	char *p;

	BUG_ON(!bio || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1);
	pem.n = (size_t)BIO_get_mem_data(bio, &p);
	pem.p = p;
	pem = arena_dup(a, pem);
	BIO_free(bio);
	return pem;
}

/* Nobody is there to be asked. */
static int no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf, (void)size, (void)writing, (void)arg;
	return -1;
}

EVP_PKEY *acme_key_from_pem(struct str pem)
{
	BIO *bio = pem.n && pem.n < INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;

	BIO_free(bio);
	return key;
}

static struct str number(struct arena *a, EVP_PKEY *key, const char *name)
{
	uint8_t bytes[COORDINATE_BYTES];
	BIGNUM *n = NULL;

	BUG_ON(EVP_PKEY_get_bn_param(key, name, &n) != 1);
	BUG_ON(BN_bn2binpad(n, bytes, sizeof bytes) != sizeof bytes);
	BN_clear_free(n);
	return acme_b64_encode(a, str_of((char *)bytes, sizeof bytes));
}

struct str acme_jwk_public(struct arena *a, EVP_PKEY *key)
{
	struct str x = number(a, key, OSSL_PKEY_PARAM_EC_PUB_X), y = number(a, key, OSSL_PKEY_PARAM_EC_PUB_Y);

	return arena_printf(a, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", x.p, y.p);
}

struct str acme_jwk_private(struct arena *a, EVP_PKEY *key)
{
	struct str public = acme_jwk_public(a, key), d = number(a, key, OSSL_PKEY_PARAM_PRIV_KEY);

	return arena_printf(a, "%.*s,\"d\":\"%s\"}", (int)public.n - 1, public.p, d.p);
}

/* The point as OpenSSL wants it: 4, x, y. */
static bool read_point(struct arena *a, struct str x, struct str y, uint8_t out[1 + 2 * COORDINATE_BYTES])
{
	x = acme_b64_decode(a, x);
	y = acme_b64_decode(a, y);
	if (x.n != COORDINATE_BYTES || y.n != COORDINATE_BYTES)
		return false;
	out[0] = POINT_CONVERSION_UNCOMPRESSED;
	memcpy(out + 1, x.p, x.n);
	memcpy(out + 1 + COORDINATE_BYTES, y.p, y.n);
	return true;
}

static EVP_PKEY *make_key(const uint8_t *point, size_t n, const BIGNUM *secret)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params;
	EVP_PKEY *key = NULL;

	BUG_ON(!c || !b || !OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) ||
	       !OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, n) ||
	       !OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_PRIV_KEY, secret));
	params = OSSL_PARAM_BLD_to_param(b);
	BUG_ON(!params);
	if (EVP_PKEY_fromdata_init(c) != 1 || EVP_PKEY_fromdata(c, &key, EVP_PKEY_KEYPAIR, params) != 1)
		key = NULL;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b);
	EVP_PKEY_CTX_free(c);
	return key;
}

/* That the secret belongs to the point: a file may have been edited. */
static bool is_pair(EVP_PKEY *key)
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	bool good = c && EVP_PKEY_check(c) == 1;

	EVP_PKEY_CTX_free(c);
	return good;
}

EVP_PKEY *acme_jwk_key(struct str x, struct str y, struct str d)
{
	uint8_t point[1 + 2 * COORDINATE_BYTES];
	BIGNUM *secret = NULL;
	EVP_PKEY *key = NULL;
	struct arena a;

	arena_init(&a);
	d = acme_b64_decode(&a, d);
	if (d.n == COORDINATE_BYTES && read_point(&a, x, y, point)) {
		secret = BN_bin2bn((const uint8_t *)d.p, COORDINATE_BYTES, NULL);
		BUG_ON(!secret);
		key = make_key(point, sizeof point, secret);
		BN_clear_free(secret);
	}
	arena_fini(&a);
	if (key && !is_pair(key)) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	return key;
}

struct str acme_jwk_thumbprint(struct arena *a, EVP_PKEY *key)
{
	struct str jwk = acme_jwk_public(a, key);
	uint8_t hash[SHA256_BYTES];

	BUG_ON(EVP_Digest(jwk.p, jwk.n, hash, NULL, EVP_sha256(), NULL) != 1);
	return acme_b64_encode(a, str_of((char *)hash, sizeof hash));
}

/* ---- signatures ---- */

/* RFC 7518 section 3.4: r and s, each as long as the curve's order, instead of DER. */
static struct str sign_es256(struct arena *a, EVP_PKEY *key, struct str input)
{
	uint8_t der[128], raw[2 * COORDINATE_BYTES];
	const uint8_t *p = der;
	size_t n = sizeof der;
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	ECDSA_SIG *sig;

	BUG_ON(!c || EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key) != 1 ||
	       EVP_DigestSign(c, der, &n, (const uint8_t *)input.p, input.n) != 1);
	EVP_MD_CTX_free(c);
	sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
	BUG_ON(!sig || BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, COORDINATE_BYTES) != COORDINATE_BYTES ||
	       BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + COORDINATE_BYTES, COORDINATE_BYTES) !=
		       COORDINATE_BYTES);
	ECDSA_SIG_free(sig);
	return acme_b64_encode(a, str_of((char *)raw, sizeof raw));
}

static struct str sign_hs256(struct arena *a, struct str secret, struct str input)
{
	uint8_t mac[SHA256_BYTES];

	BUG_ON(!HMAC(EVP_sha256(), secret.p, (int)secret.n, (const uint8_t *)input.p, input.n, mac, NULL));
	return acme_b64_encode(a, str_of((char *)mac, sizeof mac));
}

/* Flattened JSON (RFC 7515 section 7.2.2). A NULL key: HS256 with secret. */
static struct str flatten(struct arena *a, struct str header, struct str payload, EVP_PKEY *key,
			  struct str secret)
{
	struct str protected = acme_b64_encode(a, header), body = acme_b64_encode(a, payload);
	struct str input = arena_printf(a, "%s.%s", protected.p, body.p);
	struct str signature = key ? sign_es256(a, key, input) : sign_hs256(a, secret, input);

	return arena_printf(a, "{\"protected\":\"%s\",\"payload\":\"%s\",\"signature\":\"%s\"}", protected.p,
			    body.p, signature.p);
}

/*
 * Nonces, URLs and key ids come from others and are put into JSON as they are: ca.c and store.c let none
 * through that would need an escape.
 */
struct str acme_jws_sign(struct arena *a, EVP_PKEY *key, struct str kid, struct str nonce, struct str url,
			 struct str payload)
{
	struct str who = kid.n ? arena_printf(a, "\"kid\":\"%.*s\"", STR_ARG(kid))
			       : arena_printf(a, "\"jwk\":%s", acme_jwk_public(a, key).p);
	struct str header = arena_printf(a, "{\"alg\":\"ES256\",%s,\"nonce\":\"%.*s\",\"url\":\"%.*s\"}",
					 who.p, STR_ARG(nonce), STR_ARG(url));

	return flatten(a, header, payload, key, STR_NONE);
}

struct str acme_jws_bind(struct arena *a, EVP_PKEY *key, struct str kid, struct str secret, struct str url)
{
	struct str header = arena_printf(a, "{\"alg\":\"HS256\",\"kid\":\"%.*s\",\"url\":\"%.*s\"}",
					 STR_ARG(kid), STR_ARG(url));

	return flatten(a, header, acme_jwk_public(a, key), NULL, secret);
}
