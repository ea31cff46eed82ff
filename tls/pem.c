#include "tls/priv.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

enum {
	CHAIN_MAX = 10,
	/* RSA 2048, P-224 and better: what security level 2 of OpenSSL demands. */
	KEY_STRENGTH_MIN_BITS = 112,
};

static const char *why_openssl(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : "unknown reason";
}

static BIO *reader(struct str s)
{
	BIO *b = BIO_new_mem_buf(s.p ? s.p : "", (int)MIN(s.n, (size_t)INT_MAX));

	BUG_ON(!b);
	return b;
}

static bool holds(struct str s, struct str what)
{
	return s.n && memmem(s.p, s.n, what.p, what.n) != NULL;
}

/* All certificates of one file, first to last, appended to `to`. */
static bool read_certificates(STACK_OF(X509) * to, struct str name, struct str pem, char *err, size_t err_cap)
{
	BIO *b = reader(pem);
	int n = 0;
	X509 *x;

	ERR_clear_error();
	while ((x = PEM_read_bio_X509_AUX(b, NULL, NULL, NULL))) {
		BUG_ON(!sk_X509_push(to, x));
		n++;
	}
	BIO_free(b);
	if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE && n) {
		ERR_clear_error();
		return true;
	}
	if (pem.n == 0)
		snprintf(err, err_cap, "%.*s: the file is empty", STR_ARG(name));
	else if (n == 0 && !holds(pem, STR("BEGIN CERTIFICATE")) && holds(pem, STR("PRIVATE KEY-----")))
		snprintf(err, err_cap,
			 "%.*s: holds a private key but no certificate; are the two files swapped?",
			 STR_ARG(name));
	else if (ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
		snprintf(err, err_cap,
			 "%.*s: no certificate in it; it has to be PEM text (-----BEGIN CERTIFICATE-----)",
			 STR_ARG(name));
	else
		snprintf(err, err_cap, "%.*s: certificate %d in it cannot be read (%s); copy the file again",
			 STR_ARG(name), n + 1, why_openssl());
	ERR_clear_error();
	return false;
}

/* Nobody is there to be asked. */
static int no_passphrase(char *buf, int size, int writing, void *asked)
{
	(void)buf, (void)size, (void)writing;
	*(bool *)asked = true;
	return -1;
}

static EVP_PKEY *read_key(const struct tls_files *f, char *err, size_t err_cap)
{
	BIO *b = reader(f->key);
	bool asked = false;
	EVP_PKEY *key;

	ERR_clear_error();
	key = PEM_read_bio_PrivateKey(b, NULL, no_passphrase, &asked);
	BIO_free(b);
	if (key) {
		ERR_clear_error();
		return key;
	}
	if (f->key.n == 0)
		snprintf(err, err_cap, "%.*s: the file is empty", STR_ARG(f->key_name));
	else if (asked)
		snprintf(err, err_cap,
			 "%.*s: the key is encrypted, and there is nobody to ask for the passphrase; "
			 "decrypt it: openssl pkey -in OLD -out NEW",
			 STR_ARG(f->key_name));
	else if (!holds(f->key, STR("PRIVATE KEY-----")))
		snprintf(err, err_cap,
			 "%.*s: no private key in it; it has to be PEM text (-----BEGIN PRIVATE KEY-----)%s",
			 STR_ARG(f->key_name),
			 holds(f->key, STR("BEGIN CERTIFICATE")) ? "; are the two files swapped?" : "");
	else
		snprintf(err, err_cap, "%.*s: the private key cannot be read (%s); copy the file again",
			 STR_ARG(f->key_name), why_openssl());
	ERR_clear_error();
	return NULL;
}

static bool is_self_issued(X509 *x)
{
	return X509_NAME_cmp(X509_get_subject_name(x), X509_get_issuer_name(x)) == 0;
}

/* Adds from `pool` what lies between the last certificate and a root, which clients have themselves. */
static void complete_chain(struct tls_pair *pair, STACK_OF(X509) * pool)
{
	while (sk_X509_num(pair->chain) < CHAIN_MAX) {
		int n = sk_X509_num(pair->chain);
		X509 *last = n ? sk_X509_value(pair->chain, n - 1) : pair->leaf, *up = NULL;

		if (is_self_issued(last))
			break;
		for (int i = 0; i < sk_X509_num(pool) && !up; i++)
			if (X509_check_issued(sk_X509_value(pool, i), last) == X509_V_OK)
				up = sk_X509_value(pool, i);
		if (!up || is_self_issued(up))
			break;
		BUG_ON(!X509_up_ref(up) || !sk_X509_push(pair->chain, up));
	}
	ERR_clear_error();
}

static bool check_pair(const struct tls_pair *pair, const struct tls_files *f, char *err, size_t err_cap)
{
	int bits = EVP_PKEY_get_security_bits(pair->key);

	if (X509_check_private_key(pair->leaf, pair->key) != 1) {
		int at = 0;

		while (at < sk_X509_num(pair->chain) &&
		       X509_check_private_key(sk_X509_value(pair->chain, at), pair->key) != 1)
			at++;
		ERR_clear_error();
		if (at < sk_X509_num(pair->chain))
			snprintf(err, err_cap,
				 "%.*s: the key in %.*s belongs to certificate %d in here; "
				 "put that one first",
				 STR_ARG(f->cert_name), STR_ARG(f->key_name), at + 2);
		else
			snprintf(err, err_cap,
				 "%.*s: the key in %.*s does not belong to this certificate; "
				 "name the files that were made together",
				 STR_ARG(f->cert_name), STR_ARG(f->key_name));
		return false;
	}
	if (bits < KEY_STRENGTH_MIN_BITS) {
		snprintf(err, err_cap,
			 "%.*s: a %s key of %d bits is too weak for any browser; "
			 "use P-256, or RSA of 2048 bits or more, and get a new certificate for it",
			 STR_ARG(f->key_name), EVP_PKEY_get0_type_name(pair->key),
			 EVP_PKEY_get_bits(pair->key));
		return false;
	}
	return true;
}

bool tls_pair_read(struct tls_pair *pair, const struct tls_files *f, char *err, size_t err_cap)
{
	STACK_OF(X509) *pool = sk_X509_new_null();
	bool ok;

	*pair = (struct tls_pair){ .chain = sk_X509_new_null() };
	BUG_ON(!pool || !pair->chain);
	ok = read_certificates(pair->chain, f->cert_name, f->cert, err, err_cap) &&
	     (f->ca.n == 0 || read_certificates(pool, f->ca_name, f->ca, err, err_cap));
	if (ok) {
		pair->leaf = sk_X509_shift(pair->chain);
		pair->key = read_key(f, err, err_cap);
		ok = pair->key && check_pair(pair, f, err, err_cap);
	}
	if (ok)
		complete_chain(pair, pool);
	else
		tls_pair_fini(pair);
	sk_X509_pop_free(pool, X509_free);
	return ok;
}

void tls_pair_fini(struct tls_pair *pair)
{
	X509_free(pair->leaf);
	sk_X509_pop_free(pair->chain, X509_free);
	EVP_PKEY_free(pair->key);
	*pair = (struct tls_pair){ 0 };
}
