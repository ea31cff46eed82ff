#include "proxy/commands/cert.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	VALID_DAYS = 365,
	LEFT_S = 7 * 86400,    /* less left: made anew */
	SKEW_S = -86400,       /* clocks of virtual machines */
};

static FILE *open_at(int dir, const char *name, const char *mode)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	FILE *f = fd < 0 ? NULL : fdopen(fd, mode);

	if (fd >= 0 && !f)
		close(fd);
	return f;
}

static bool names_host(X509 *cert, const char *name)
{
	struct in6_addr ip;

	if (inet_pton(AF_INET, name, &ip) == 1 || inet_pton(AF_INET6, name, &ip) == 1)
		return X509_check_ip_asc(cert, name, 0) == 1;
	return X509_check_host(cert, name, 0, X509_CHECK_FLAG_NO_WILDCARDS, NULL) == 1;
}

/* A pair that a client will accept for some time to come. */
static bool is_good(int dir, const char *crt, const char *key, const char *name)
{
	FILE *f_crt = open_at(dir, crt, "r"), *f_key = open_at(dir, key, "r");
	X509 *x = f_crt ? PEM_read_X509(f_crt, NULL, NULL, NULL) : NULL;
	EVP_PKEY *k = f_key ? PEM_read_PrivateKey(f_key, NULL, NULL, NULL) : NULL;
	time_t soon = time(NULL) + LEFT_S;
	bool good = x && k && X509_check_private_key(x, k) == 1 && names_host(x, name) &&
		    names_host(x, "localhost") && X509_cmp_time(X509_get0_notAfter(x), &soon) > 0 &&
		    X509_cmp_current_time(X509_get0_notBefore(x)) < 0;

	EVP_PKEY_free(k);
	X509_free(x);
	if (f_crt)
		fclose(f_crt);
	if (f_key)
		fclose(f_key);
	return good;
}

static bool add_extension(X509 *x, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = e && X509_add_ext(x, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok;
}

/* 127 bits: positive, and never the same again (RFC 5280 section 4.1.2.2). */
static bool set_serial(X509 *x)
{
	BIGNUM *n = BN_new();
	bool ok = n && BN_rand(n, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
		  BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));

	BN_free(n);
	return ok;
}

static X509 *sign(EVP_PKEY *key, const char *name)
{
	X509 *x = X509_new();
	struct in6_addr ip;
	bool is_ip = inet_pton(AF_INET, name, &ip) == 1 || inet_pton(AF_INET6, name, &ip) == 1;
	static const unsigned char organisation[] = "Gatehouse, for trying out";
	char names[512];
	X509_NAME *subject;

	if (!x)
		return NULL;
	snprintf(names, sizeof names, "%s:%s,DNS:localhost,IP:127.0.0.1,IP:::1", is_ip ? "IP" : "DNS", name);
	subject = X509_get_subject_name(x);
	/* what can be trusted with it is this one server, never another certificate: it is no CA */
	if (X509_set_version(x, 2) == 1 && set_serial(x) &&
	    X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_ASC, organisation, -1, -1, 0) == 1 &&
	    X509_set_issuer_name(x, subject) == 1 && X509_gmtime_adj(X509_getm_notBefore(x), SKEW_S) &&
	    X509_time_adj_ex(X509_getm_notAfter(x), VALID_DAYS, 0, NULL) && X509_set_pubkey(x, key) == 1 &&
	    add_extension(x, NID_basic_constraints, "critical,CA:FALSE") &&
	    add_extension(x, NID_key_usage, "critical,digitalSignature") &&
	    add_extension(x, NID_ext_key_usage, "serverAuth") &&
	    add_extension(x, NID_subject_alt_name, names) &&
	    add_extension(x, NID_subject_key_identifier, "hash") && X509_sign(x, key, EVP_sha256()) > 0)
		return x;
	X509_free(x);
	return NULL;
}

/* Written beside, then renamed: whoever reads it sees the old one or the new one. */
static bool write_file(int dir, const char *name, mode_t mode, X509 *x, EVP_PKEY *key)
{
	char beside[NAME_MAX + 1];
	FILE *f = NULL;
	bool ok;
	int fd;

	snprintf(beside, sizeof beside, ".%s.new", name);
	unlinkat(dir, beside, 0);
	fd = openat(dir, beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd >= 0)
		f = fdopen(fd, "w");
	if (!f)
		return false;
	ok = x ? PEM_write_X509(f, x) == 1 : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1;
	ok = fchmod(fd, mode) == 0 && ok;
	ok = fclose(f) == 0 && ok;
	return ok && renameat(dir, beside, dir, name) == 0;
}

static const char *make(int dir, const char *crt, const char *key, const char *name)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	X509 *x = k ? sign(k, name) : NULL;
	const char *wrong = NULL;

	if (!x)
		wrong = "cannot make a certificate for that name";
	else if (!write_file(dir, key, 0600, NULL, k) || !write_file(dir, crt, 0644, x, NULL))
		wrong = "cannot write the certificate";
	X509_free(x);
	EVP_PKEY_free(k);
	return wrong;
}

const char *cert_make(const char *dir, const char *name)
{
	char crt[NAME_MAX + 1], key[NAME_MAX + 1];
	const char *wrong = NULL;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	/* two that start at the same time must not mix their pairs */
	if (fd < 0 || flock(fd, LOCK_EX) < 0) {
		wrong = "cannot use the directory for certificates";
	} else {
		snprintf(crt, sizeof crt, "%.200s.crt", name);
		snprintf(key, sizeof key, "%.200s.key", name);
		if (!is_good(fd, crt, key, name))
			wrong = make(fd, crt, key, name);
	}
	if (fd >= 0)
		close(fd);
	return wrong;
}
