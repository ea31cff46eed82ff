#include "acme/cert.h"
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <time.h>

enum {
	COMMON_NAME_MAX = 64, /* RFC 5280, ub-common-name */
	CHALLENGE_DAYS = 30,  /* nobody checks; clocks differ */
	SHA256_BYTES = 32,
};
#define SECONDS_A_DAY 86400L

/* RFC 8737 section 3: id-pe-acmeIdentifier */
#define ACME_IDENTIFIER "1.3.6.1.5.5.7.1.31"

static struct str take_der(struct arena *a, uint8_t **der, int n)
{
	struct str s;

	BUG_ON(n <= 0);
	s = arena_dup(a, str_of((char *)*der, (size_t)n));
	OPENSSL_free(*der);
	return s;
}

static X509_EXTENSION *alternative_names(const struct str *names, size_t n)
{
	GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
	X509_EXTENSION *ext;

	BUG_ON(!all);
	for (size_t i = 0; i < n; i++) {
		GENERAL_NAME *name = GENERAL_NAME_new();
		ASN1_IA5STRING *text = ASN1_IA5STRING_new();

		BUG_ON(!name || !text || !ASN1_STRING_set(text, names[i].p, (int)names[i].n));
		GENERAL_NAME_set0_value(name, GEN_DNS, text);
		BUG_ON(!sk_GENERAL_NAME_push(all, name));
	}
	ext = X509V3_EXT_i2d(NID_subject_alt_name, 0, all);
	BUG_ON(!ext);
	GENERAL_NAMES_free(all);
	return ext;
}

static void set_common_name(X509_NAME *subject, struct str name)
{
	if (name.n <= COMMON_NAME_MAX)
		BUG_ON(!X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const uint8_t *)name.p,
						   (int)name.n, -1, 0));
}

struct str acme_cert_request(struct arena *a, EVP_PKEY *key, const struct str *names, size_t n)
{
	X509_REQ *req = X509_REQ_new();
	STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
	uint8_t *der = NULL;
	struct str s;

	BUG_ON(!req || !exts || !X509_REQ_set_version(req, X509_REQ_VERSION_1) ||
	       !X509_REQ_set_pubkey(req, key) || !sk_X509_EXTENSION_push(exts, alternative_names(names, n)));
	set_common_name(X509_REQ_get_subject_name(req), names[0]);
	BUG_ON(!X509_REQ_add_extensions(req, exts) || !X509_REQ_sign(req, key, EVP_sha256()));
	s = take_der(a, &der, i2d_X509_REQ(req, &der));
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	X509_REQ_free(req);
	return s;
}

/* Critical, an OCTET STRING with the hash in it (RFC 8737 section 3). */
static X509_EXTENSION *identifier(struct str authorization)
{
	uint8_t content[2 + SHA256_BYTES] = { V_ASN1_OCTET_STRING, SHA256_BYTES };
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	ASN1_OBJECT *oid = OBJ_txt2obj(ACME_IDENTIFIER, 1);
	X509_EXTENSION *ext;

	BUG_ON(!value || !oid ||
	       EVP_Digest(authorization.p, authorization.n, content + 2, NULL, EVP_sha256(), NULL) != 1 ||
	       !ASN1_OCTET_STRING_set(value, content, sizeof content));
	ext = X509_EXTENSION_create_by_OBJ(NULL, oid, 1, value);
	BUG_ON(!ext);
	ASN1_OBJECT_free(oid);
	ASN1_OCTET_STRING_free(value);
	return ext;
}

static void add(X509 *cert, X509_EXTENSION *ext)
{
	BUG_ON(!X509_add_ext(cert, ext, -1));
	X509_EXTENSION_free(ext);
}

struct str acme_cert_for_challenge(struct arena *a, struct str name, struct str authorization)
{
	EVP_PKEY *key = acme_key_new(ACME_KEY_P256);
	X509 *cert = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	struct str pem;
	char *p;

	BUG_ON(!cert || !bio || !X509_set_version(cert, X509_VERSION_3) ||
	       !ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) || !X509_set_pubkey(cert, key) ||
	       !X509_gmtime_adj(X509_getm_notBefore(cert), -SECONDS_A_DAY) ||
	       !X509_gmtime_adj(X509_getm_notAfter(cert), CHALLENGE_DAYS * SECONDS_A_DAY));
	set_common_name(X509_get_subject_name(cert), STR("ACME challenge"));
	BUG_ON(!X509_set_issuer_name(cert, X509_get_subject_name(cert)));
	add(cert, alternative_names(&name, 1));
	add(cert, identifier(authorization));
	BUG_ON(!X509_sign(cert, key, EVP_sha256()) || !PEM_write_bio_X509(bio, cert) ||
	       !PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
	pem.n = (size_t)BIO_get_mem_data(bio, &p);
	pem.p = p;
	pem = arena_dup(a, pem);
	BIO_free(bio);
	X509_free(cert);
	EVP_PKEY_free(key);
	return pem;
}

/* ---- what came back ---- */

static X509 *first(struct str pem)
{
	BIO *bio = pem.n && pem.n < INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return cert;
}

static bool seconds(const ASN1_TIME *t, int64_t *out)
{
	struct tm tm;

	if (!t || ASN1_TIME_to_tm(t, &tm) != 1)
		return false;
	*out = timegm(&tm);
	return true;
}

/* The serial number's content octets, with the zero that a high first bit needs. */
static struct str serial_octets(struct arena *a, const X509 *cert)
{
	uint8_t *der = NULL;
	int n = i2d_ASN1_INTEGER(X509_get0_serialNumber(cert), &der);
	struct str s;

	/* one octet of type, one of length: RFC 5280 section 4.1.2.2 has at most 20 of content */
	if (n < 3 || der[1] >= 0x80) {
		OPENSSL_free(der);
		return STR_NONE;
	}
	s = arena_dup(a, str_of((char *)der + 2, (size_t)n - 2));
	OPENSSL_free(der);
	return s;
}

static struct str hexadecimal(struct arena *a, struct str bytes)
{
	static const char digits[] = "0123456789abcdef";
	char *out = arena_alloc(a, 2 * bytes.n + 1);

	for (size_t i = 0; i < bytes.n; i++) {
		out[2 * i] = digits[(uint8_t)bytes.p[i] >> 4];
		out[2 * i + 1] = digits[(uint8_t)bytes.p[i] & 15];
	}
	out[2 * bytes.n] = 0;
	return str_of(out, 2 * bytes.n);
}

bool acme_cert_facts(struct arena *a, struct str pem, struct acme_facts *out)
{
	X509 *cert = first(pem);
	const ASN1_OCTET_STRING *issuer;
	struct str serial;
	bool good;

	*out = (struct acme_facts){ .ari_id = STR_NONE };
	if (!cert)
		return false;
	good = seconds(X509_get0_notBefore(cert), &out->not_before) &&
	       seconds(X509_get0_notAfter(cert), &out->not_after);
	serial = serial_octets(a, cert);
	out->serial = hexadecimal(a, serial);
	issuer = X509_get0_authority_key_id(cert);
	if (issuer && serial.n) {
		const char *p = (const char *)ASN1_STRING_get0_data(issuer);
		struct str id = acme_b64_encode(a, str_of(p, (size_t)ASN1_STRING_length(issuer)));

		out->ari_id = arena_printf(a, "%s.%s", id.p, acme_b64_encode(a, serial).p);
	}
	X509_free(cert);
	return good;
}

struct str acme_cert_der(struct arena *a, struct str pem)
{
	X509 *cert = first(pem);
	struct str s = STR_NONE;
	uint8_t *der = NULL;

	if (cert)
		s = take_der(a, &der, i2d_X509(cert, &der));
	X509_free(cert);
	return s;
}

static bool is_for(X509 *cert, struct str name)
{
	/* a wildcard is matched by any name below it */
	const char *below = "any";
	char concrete[256];
	int n;

	if (!str_starts(name, STR("*.")))
		return X509_check_host(cert, name.p, name.n, 0, NULL) == 1;
	n = snprintf(concrete, sizeof concrete, "%s%.*s", below, (int)name.n - 1, name.p + 1);
	return n > 0 && n < (int)sizeof concrete && X509_check_host(cert, concrete, (size_t)n, 0, NULL) == 1;
}

const char *acme_cert_wrong(struct str pem, EVP_PKEY *key, const struct str *names, size_t n)
{
	X509 *cert = first(pem);
	const char *wrong = NULL;

	if (!cert)
		return "is not a certificate";
	if (X509_check_private_key(cert, key) != 1)
		wrong = "is for another key";
	for (size_t i = 0; i < n && !wrong; i++)
		if (!is_for(cert, names[i]))
			wrong = "lacks a name";
	X509_free(cert);
	return wrong;
}
