/*
 * serial.c - what tells one certificate from another.
 */
#include "tls/priv.h"
#include <openssl/pem.h>
#include <time.h>

static bool describe(const X509 *x, char serial[TLS_SERIAL_BYTES], int64_t *ends_s)
{
	BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
	char *hex = n ? BN_bn2hex(n) : NULL;
	struct tm end = { 0 };
	bool ok = hex && ASN1_TIME_to_tm(X509_get0_notAfter(x), &end) == 1;

	if (ok) {
		snprintf(serial, TLS_SERIAL_BYTES, "%s", hex);
		*ends_s = timegm(&end);
	}
	OPENSSL_free(hex);
	BN_free(n);
	return ok;
}

bool tls_context_certificate(const struct tls_context *c, size_t n, char serial[TLS_SERIAL_BYTES],
			     int64_t *ends_s)
{
	return n < c->npairs && describe(c->pairs[n].leaf, serial, ends_s);
}

bool tls_certificate_of(struct str pem, char serial[TLS_SERIAL_BYTES], int64_t *ends_s)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)MIN(pem.n, (size_t)INT_MAX));
	X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	bool ok = x && describe(x, serial, ends_s);

	X509_free(x);
	BIO_free(bio);
	return ok;
}
