/*
 * Keys and signatures, against the examples of RFC 7515 (appendix A.3), 7638 and 4648.
 */
#include "tests/unit/acme/acme_test.h"
#include "tests/unit/acme/arena.h"
#include "acme/jws.h"
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>

/* RFC 7515 appendix A.3.1 */
#define KEY_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define KEY_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define KEY_D "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"

static EVP_PKEY *example_key(void)
{
	EVP_PKEY *key = acme_jwk_key(STR(KEY_X), STR(KEY_Y), STR(KEY_D));

	assert_non_null(key);
	return key;
}

static void base64url(void **state)
{
	static const struct {
		struct str bytes;
		const char *text;
	} rows[] = {
		{ STR(""), "" },
		{ STR("f"), "Zg" },
		{ STR("fo"), "Zm8" },
		{ STR("foo"), "Zm9v" },
		{ STR("foob"), "Zm9vYg" },
		{ STR("fooba"), "Zm9vYmE" },
		{ STR("foobar"), "Zm9vYmFy" },
		{ STR("\xfb\xff\xfe\0"), "-__-AA" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct str back = acme_b64_decode(&a, str_from_c(rows[i].text));

		assert_str(acme_b64_encode(&a, rows[i].bytes), rows[i].text);
		assert_true(back.p != NULL);
		assert_true(str_eq(back, rows[i].bytes));
	}
	assert_str(acme_b64_decode(&a, STR("Zm9vYg==")), "foob");
	assert_str(acme_b64_decode(&a, STR("+//+")), "\xfb\xff\xfe");
	assert_null(acme_b64_decode(&a, STR("Z")).p);
	assert_null(acme_b64_decode(&a, STR("Zm9v!")).p);
	assert_null(acme_b64_decode(&a, STR("Zm 9v")).p);
	assert_null(acme_b64_decode(&a, STR("Zm\0v")).p);
}

static void jwk_is_the_examples(void **state)
{
	EVP_PKEY *key = example_key();

	(void)state;
	assert_str(acme_jwk_public(&a, key),
		   "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"" KEY_X "\",\"y\":\"" KEY_Y "\"}");
	assert_str(acme_jwk_private(&a, key),
		   "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"" KEY_X "\",\"y\":\"" KEY_Y
		   "\",\"d\":\"" KEY_D "\"}");
	/* made with another implementation of RFC 7638 */
	assert_str(acme_jwk_thumbprint(&a, key), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
	EVP_PKEY_free(key);
}

static void broken_keys_are_none(void **state)
{
	static const struct str good_x = { KEY_X, sizeof KEY_X - 1 };

	(void)state;
	assert_null(acme_jwk_key(STR_NONE, STR_NONE, STR_NONE));
	assert_null(acme_jwk_key(good_x, STR(KEY_Y), STR_NONE));
	assert_null(acme_jwk_key(good_x, good_x, STR(KEY_D)));          /* not on the curve */
	assert_null(acme_jwk_key(good_x, STR(KEY_Y), good_x));          /* another secret */
	assert_null(acme_jwk_key(str_of(KEY_X, 20), STR(KEY_Y), STR(KEY_D)));
	assert_null(acme_key_from_pem(STR("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")));
	assert_null(acme_key_from_pem(STR_NONE));
}

static void pem_and_back(void **state)
{
	(void)state;
	for (int kind = ACME_KEY_P256; kind <= ACME_KEY_RSA2048; kind++) {
		EVP_PKEY *key = acme_key_new((enum acme_key_kind)kind);
		EVP_PKEY *back = acme_key_from_pem(acme_key_to_pem(&a, key));

		assert_int_equal(EVP_PKEY_get_base_id(key),
				 kind == ACME_KEY_P256 ? EVP_PKEY_EC : EVP_PKEY_RSA);
		assert_non_null(back);
		assert_int_equal(EVP_PKEY_eq(key, back), 1);
		EVP_PKEY_free(key);
		EVP_PKEY_free(back);
	}
}

/* A member of flattened JSON whose value needs no escape. */
static struct str member(struct str json, const char *name)
{
	struct str open = arena_printf(&a, "\"%s\":\"", name);
	const char *at = strstr(json.p, open.p);

	assert_non_null(at);
	at += open.n;
	return arena_dup(&a, str_of(at, strcspn(at, "\"")));
}

static bool verifies(EVP_PKEY *key, struct str input, struct str signature)
{
	struct str raw = acme_b64_decode(&a, signature);
	ECDSA_SIG *sig = ECDSA_SIG_new();
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint8_t *der = NULL;
	int n, good;

	assert_int_equal(raw.n, 64);
	assert_int_equal(ECDSA_SIG_set0(sig, BN_bin2bn((const uint8_t *)raw.p, 32, NULL),
					BN_bin2bn((const uint8_t *)raw.p + 32, 32, NULL)), 1);
	n = i2d_ECDSA_SIG(sig, &der);
	assert_true(n > 0);
	assert_int_equal(EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, key), 1);
	good = EVP_DigestVerify(c, der, (size_t)n, (const uint8_t *)input.p, input.n);
	EVP_MD_CTX_free(c);
	ECDSA_SIG_free(sig);
	OPENSSL_free(der);
	return good == 1;
}

/* RFC 7515 appendix A.3.1: the example's signature is one by the example's key. */
static void the_example_verifies(void **state)
{
	static const struct str input =
		STR("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQog"
		    "Imh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ");
	static const struct str signature =
		STR("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQ"
		    "xfKTUJqPP3-Kg6NU1Q");
	EVP_PKEY *key = example_key();

	(void)state;
	assert_true(verifies(key, input, signature));
	EVP_PKEY_free(key);
}

static void requests_are_signed(void **state)
{
	EVP_PKEY *key = example_key();
	struct str by_kid = acme_jws_sign(&a, key, STR("https://ca/acct/1"), STR("nonce-1"),
					  STR("https://ca/order"), STR("{\"a\":1}"));
	struct str by_key = acme_jws_sign(&a, key, STR_NONE, STR("n"), STR("https://ca/new"), STR_NONE);
	struct str protected = member(by_kid, "protected"), payload = member(by_kid, "payload");
	struct str signature;

	(void)state;
	assert_str(acme_b64_decode(&a, protected),
		   "{\"alg\":\"ES256\",\"kid\":\"https://ca/acct/1\",\"nonce\":\"nonce-1\","
		   "\"url\":\"https://ca/order\"}");
	assert_str(acme_b64_decode(&a, payload), "{\"a\":1}");
	signature = member(by_kid, "signature");
	assert_true(verifies(key, arena_printf(&a, "%s.%s", protected.p, payload.p), signature));
	assert_false(verifies(key, arena_printf(&a, "%s.%sAA", protected.p, payload.p), signature));
	assert_str(acme_b64_decode(&a, member(by_key, "protected")),
		   "{\"alg\":\"ES256\",\"jwk\":{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"" KEY_X "\",\"y\":\""
		   KEY_Y "\"},\"nonce\":\"n\",\"url\":\"https://ca/new\"}");
	assert_str(member(by_key, "payload"), ""); /* POST-as-GET */
	EVP_PKEY_free(key);
}

static void accounts_are_bound(void **state)
{
	EVP_PKEY *key = example_key();
	struct str jws = acme_jws_bind(&a, key, STR("kid-1"), STR("secret"), STR("https://ca/new"));
	struct str input = arena_printf(&a, "%s.%s", member(jws, "protected").p, member(jws, "payload").p);
	uint8_t mac[32];

	(void)state;
	assert_str(acme_b64_decode(&a, member(jws, "protected")),
		   "{\"alg\":\"HS256\",\"kid\":\"kid-1\",\"url\":\"https://ca/new\"}");
	assert_true(str_eq(acme_b64_decode(&a, member(jws, "payload")), acme_jwk_public(&a, key)));
	assert_non_null(HMAC(EVP_sha256(), "secret", 6, (const uint8_t *)input.p, input.n, mac, NULL));
	assert_true(str_eq(acme_b64_decode(&a, member(jws, "signature")), str_of((char *)mac, sizeof mac)));
	EVP_PKEY_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(base64url, setup, teardown),
		cmocka_unit_test_setup_teardown(jwk_is_the_examples, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_keys_are_none, setup, teardown),
		cmocka_unit_test_setup_teardown(pem_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(the_example_verifies, setup, teardown),
		cmocka_unit_test_setup_teardown(requests_are_signed, setup, teardown),
		cmocka_unit_test_setup_teardown(accounts_are_bound, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
