/*
 * Requests, challenge certificates, and the facts of chains.
 */
#include "tests/unit/acme/acme_test.h"
#include "tests/unit/acme/arena.h"
#include "acme/cert.h"
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

static X509 *read_cert(struct str pem)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);

	BIO_free(bio);
	assert_non_null(cert);
	return cert;
}

static bool has_name(GENERAL_NAMES *all, int i, const char *name)
{
	ASN1_IA5STRING *text = sk_GENERAL_NAME_value(all, i)->d.dNSName;

	return sk_GENERAL_NAME_value(all, i)->type == GEN_DNS &&
	       str_eq(str_of((const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)),
		      str_from_c(name));
}

static void requests_have_their_names(void **state)
{
	static const struct str names[] = { STR("example.org"), STR("*.example.net") };

	(void)state;
	for (int kind = ACME_KEY_P256; kind <= ACME_KEY_RSA2048; kind++) {
		EVP_PKEY *key = acme_key_new((enum acme_key_kind)kind), *public;
		struct str der = acme_cert_request(&a, key, names, ARRAY_SIZE(names));
		const uint8_t *p = (const uint8_t *)der.p;
		X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)der.n);
		STACK_OF(X509_EXTENSION) *exts;
		GENERAL_NAMES *all;

		assert_non_null(req);
		public = X509_REQ_get_pubkey(req);
		assert_int_equal(EVP_PKEY_eq(public, key), 1);
		assert_int_equal(X509_REQ_verify(req, key), 1);
		exts = X509_REQ_get_extensions(req);
		all = X509V3_get_d2i(exts, NID_subject_alt_name, NULL, NULL);
		assert_int_equal(sk_GENERAL_NAME_num(all), 2);
		assert_true(has_name(all, 0, "example.org") && has_name(all, 1, "*.example.net"));
		GENERAL_NAMES_free(all);
		sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
		EVP_PKEY_free(public);
		EVP_PKEY_free(key);
		X509_REQ_free(req);
	}
}

/* A common name has 64 characters at most; the name stands in the alternative names in any case. */
static void long_names_need_no_subject(void **state)
{
	struct str name = arena_printf(&a, "%0100d.example.org", 1);
	EVP_PKEY *key = acme_key_new(ACME_KEY_P256);
	struct str der = acme_cert_request(&a, key, &name, 1);
	const uint8_t *p = (const uint8_t *)der.p;
	X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)der.n);

	(void)state;
	assert_non_null(req);
	assert_int_equal(X509_NAME_entry_count(X509_REQ_get_subject_name(req)), 0);
	X509_REQ_free(req);
	EVP_PKEY_free(key);
}

/* RFC 8737 section 3 */
static void challenges_have_their_identifier(void **state)
{
	static const struct str authorization = STR("token.thumbprint");
	struct str pem = acme_cert_for_challenge(&a, STR("example.org"), authorization);
	ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
	EVP_PKEY *key = acme_key_from_pem(pem);
	X509 *cert = read_cert(pem);
	uint8_t expected[34] = { 4, 32 };
	const ASN1_OCTET_STRING *value;
	GENERAL_NAMES *all;
	int at;

	(void)state;
	assert_non_null(key);
	assert_int_equal(X509_check_private_key(cert, key), 1);
	assert_int_equal(X509_verify(cert, key), 1);
	assert_int_equal(X509_cmp_current_time(X509_get0_notBefore(cert)), -1);
	assert_int_equal(X509_cmp_current_time(X509_get0_notAfter(cert)), 1);
	at = X509_get_ext_by_OBJ(cert, oid, -1);
	assert_true(at >= 0);
	assert_int_equal(X509_EXTENSION_get_critical(X509_get_ext(cert, at)), 1);
	value = X509_EXTENSION_get_data(X509_get_ext(cert, at));
	assert_int_equal(EVP_Digest(authorization.p, authorization.n, expected + 2, NULL, EVP_sha256(), NULL),
			 1);
	assert_int_equal(ASN1_STRING_length(value), sizeof expected);
	assert_memory_equal(ASN1_STRING_get0_data(value), expected, sizeof expected);
	all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	assert_int_equal(sk_GENERAL_NAME_num(all), 1);
	assert_true(has_name(all, 0, "example.org"));
	GENERAL_NAMES_free(all);
	ASN1_OBJECT_free(oid);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* A certificate with this serial number, key identifier of its issuer (if any), and names. */
static struct str issue(EVP_PKEY *key, uint64_t serial, const uint8_t *issuer, int n, const char *names)
{
	X509 *cert = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	struct str pem;
	char *p;

	assert_int_equal(X509_set_version(cert, X509_VERSION_3), 1);
	assert_int_equal(ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial), 1);
	assert_non_null(ASN1_TIME_set(X509_getm_notBefore(cert), 1800000000));
	assert_non_null(ASN1_TIME_set(X509_getm_notAfter(cert), 1807776000));
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	if (issuer) {
		AUTHORITY_KEYID *id = AUTHORITY_KEYID_new();

		id->keyid = ASN1_OCTET_STRING_new();
		assert_int_equal(ASN1_OCTET_STRING_set(id->keyid, issuer, n), 1);
		assert_int_equal(X509_add1_ext_i2d(cert, NID_authority_key_identifier, id, 0, 0), 1);
		AUTHORITY_KEYID_free(id);
	}
	if (names) {
		X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

		assert_non_null(ext);
		assert_int_equal(X509_add_ext(cert, ext, -1), 1);
		X509_EXTENSION_free(ext);
	}
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
	pem.n = (size_t)BIO_get_mem_data(bio, &p);
	pem.p = p;
	pem = arena_dup(&a, pem);
	BIO_free(bio);
	X509_free(cert);
	return pem;
}

/* The serial number and key identifier of RFC 9773 section 4.1, and the identifier it makes of them. */
static void facts(void **state)
{
	static const uint8_t issuer[] = { 0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3,
					  0x7b, 0x84, 0x7b, 0xa0, 0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4 };
	EVP_PKEY *key = acme_key_new(ACME_KEY_P256);
	struct acme_facts f;

	(void)state;
	assert_true(acme_cert_facts(&a, issue(key, 0x87654321, issuer, sizeof issuer, NULL), &f));
	assert_str(f.ari_id, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
	assert_str(f.serial, "0087654321");
	assert_int_equal(f.not_before, 1800000000);
	assert_int_equal(f.not_after, 1807776000);
	assert_true(acme_cert_facts(&a, issue(key, 1, NULL, 0, NULL), &f));
	assert_null(f.ari_id.p);
	assert_false(acme_cert_facts(
		&a, STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), &f));
	assert_false(acme_cert_facts(&a, STR_NONE, &f));
	EVP_PKEY_free(key);
}

static void chains_are_looked_at(void **state)
{
	static const struct str names[] = { STR("example.org"), STR("*.example.net") };
	EVP_PKEY *key = acme_key_new(ACME_KEY_P256), *other = acme_key_new(ACME_KEY_P256);
	struct str good = issue(key, 5, NULL, 0, "DNS:example.org,DNS:*.example.net");
	struct str less = issue(key, 5, NULL, 0, "DNS:example.org,DNS:www.example.net");

	(void)state;
	assert_null(acme_cert_wrong(good, key, names, 2));
	assert_string_equal(acme_cert_wrong(good, other, names, 2), "is for another key");
	assert_null(acme_cert_wrong(less, key, names, 1));
	assert_string_equal(acme_cert_wrong(less, key, names, 2), "lacks a name");
	assert_string_equal(acme_cert_wrong(STR("<html>"), key, names, 2), "is not a certificate");
	assert_true(acme_cert_der(&a, good).n > 100);
	assert_int_equal(acme_cert_der(&a, STR("<html>")).n, 0);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(requests_have_their_names, setup, teardown),
		cmocka_unit_test_setup_teardown(long_names_need_no_subject, setup, teardown),
		cmocka_unit_test_setup_teardown(challenges_have_their_identifier, setup, teardown),
		cmocka_unit_test_setup_teardown(facts, setup, teardown),
		cmocka_unit_test_setup_teardown(chains_are_looked_at, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
