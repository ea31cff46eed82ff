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

#define NAME(f) STR_ARG((f)->name.text)

/* An error about a whole file. */
static void complain(struct conf_report *r, const struct tls_file *f, const char *what, const char *remedy)
{
	conf_report_add(r, CONF_ERROR, f->name.pos, remedy, "\"%.*s\" %s", NAME(f), what);
}

bool tls_certificates_read(STACK_OF(X509) * to, const struct tls_file *f, struct conf_report *r)
{
	BIO *b = reader(f->pem);
	int n = 0;
	X509 *x;
	bool at_end;

	ERR_clear_error();
	while ((x = PEM_read_bio_X509_AUX(b, NULL, NULL, NULL))) {
		BUG_ON(!sk_X509_push(to, x));
		n++;
	}
	BIO_free(b);
	at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	if (at_end && n) {
		ERR_clear_error();
		return true;
	}
	if (f->pem.n == 0)
		complain(r, f, "is empty", NULL);
	else if (n == 0 && !holds(f->pem, STR("BEGIN CERTIFICATE")) && holds(f->pem, STR("PRIVATE KEY-----")))
		complain(r, f, "holds a private key, but no certificate", "are the two files swapped?");
	else if (at_end)
		complain(r, f, "holds no certificate", "it has to be PEM text: -----BEGIN CERTIFICATE-----");
	else
		conf_report_add(r, CONF_ERROR, f->name.pos, "copy the file again",
				"certificate %d in \"%.*s\" cannot be read: %s", n + 1, NAME(f),
				why_openssl());
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

static EVP_PKEY *read_key(const struct tls_file *f, struct conf_report *r)
{
	BIO *b = reader(f->pem);
	bool asked = false;
	EVP_PKEY *key;

	ERR_clear_error();
	key = PEM_read_bio_PrivateKey(b, NULL, no_passphrase, &asked);
	BIO_free(b);
	if (key) {
		ERR_clear_error();
		return key;
	}
	if (f->pem.n == 0)
		complain(r, f, "is empty", NULL);
	else if (asked)
		complain(r, f, "is encrypted, and there is nobody to ask for the passphrase",
			 "decrypt it: openssl pkey -in OLD -out NEW");
	else if (!holds(f->pem, STR("PRIVATE KEY-----")))
		complain(r, f, "holds no private key",
			 holds(f->pem, STR("BEGIN CERTIFICATE"))
				 ? "are the two files swapped?"
				 : "it has to be PEM text: -----BEGIN PRIVATE KEY-----");
	else
		conf_report_add(r, CONF_ERROR, f->name.pos, "copy the file again",
				"the private key in \"%.*s\" cannot be read: %s", NAME(f), why_openssl());
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

static bool check_match(const struct tls_pair *pair, const struct tls_pair_files *f, struct conf_report *r)
{
	int at = 0;

	if (X509_check_private_key(pair->leaf, pair->key) == 1)
		return true;
	while (at < sk_X509_num(pair->chain) &&
	       X509_check_private_key(sk_X509_value(pair->chain, at), pair->key) != 1)
		at++;
	ERR_clear_error();
	if (at < sk_X509_num(pair->chain))
		conf_report_add(r, CONF_ERROR, f->cert.name.pos, "put that one first",
				"the key in \"%.*s\" belongs to certificate %d in \"%.*s\"", NAME(&f->key),
				at + 2, NAME(&f->cert));
	else
		conf_report_add(r, CONF_ERROR, f->key.name.pos, "name the two files that were made together",
				"the key in \"%.*s\" does not belong to the certificate in \"%.*s\"",
				NAME(&f->key), NAME(&f->cert));
	return false;
}

static bool check_strength(const struct tls_pair *pair, const struct tls_pair_files *f, struct conf_report *r)
{
	if (EVP_PKEY_get_security_bits(pair->key) >= KEY_STRENGTH_MIN_BITS)
		return true;
	conf_report_add(r, CONF_ERROR, f->key.name.pos,
			"use P-256, or RSA of 2048 bits or more, and get a new certificate for it",
			"the key in \"%.*s\" is too weak for any browser: %s of %d bits", NAME(&f->key),
			EVP_PKEY_get0_type_name(pair->key), EVP_PKEY_get_bits(pair->key));
	return false;
}

bool tls_pair_read(struct tls_pair *pair, const struct tls_pair_files *f, STACK_OF(X509) * pool,
		   struct conf_report *r)
{
	bool ok;

	*pair = (struct tls_pair){ .chain = sk_X509_new_null() };
	BUG_ON(!pair->chain);
	ok = tls_certificates_read(pair->chain, &f->cert, r);
	if (ok)
		pair->leaf = sk_X509_shift(pair->chain);
	pair->key = read_key(&f->key, r);
	ok = ok && pair->key && check_match(pair, f, r) && check_strength(pair, f, r);
	if (ok)
		complete_chain(pair, pool);
	else
		tls_pair_fini(pair);
	return ok;
}

void tls_pair_fini(struct tls_pair *pair)
{
	X509_free(pair->leaf);
	sk_X509_pop_free(pair->chain, X509_free);
	EVP_PKEY_free(pair->key);
	*pair = (struct tls_pair){ 0 };
}
