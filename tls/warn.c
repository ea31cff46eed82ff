/*
 * warn.c - certificates that can be used, but that clients will not like.
 */
#include "tls/priv.h"
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

enum { NAMES_SHOWN = 4 };

static void warn(struct conf_report *r, const struct tls_file *f, const char *remedy, const char *fmt, ...)
	PRINTF(4, 5);

static void warn(struct conf_report *r, const struct tls_file *f, const char *remedy, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	conf_report_add(r, CONF_WARNING, f->name.pos, remedy, "%s", text);
}

#define NAME(f) STR_ARG((f)->name.text)

/* ---- dates ---- */

void tls_date_text(char out[TLS_DATE_BYTES], const ASN1_TIME *t)
{
	struct tm tm = { 0 };

	ASN1_TIME_to_tm(t, &tm);
	snprintf(out, TLS_DATE_BYTES, "%04d-%02d-%02d %02d:%02d UTC", tm.tm_year + 1900, tm.tm_mon + 1,
		 tm.tm_mday, tm.tm_hour, tm.tm_min);
}

void tls_warn_dates(X509 *x, int nth, const struct tls_file *f, struct conf_report *r)
{
	bool is_over = X509_cmp_time(X509_get0_notAfter(x), NULL) < 0;
	char when[TLS_DATE_BYTES];

	if (!is_over && X509_cmp_time(X509_get0_notBefore(x), NULL) < 0)
		return;
	tls_date_text(when, is_over ? X509_get0_notAfter(x) : X509_get0_notBefore(x));
	if (is_over)
		warn(r, f, "renew it: clients refuse it", "certificate %d in \"%.*s\" expired %s", nth,
		     NAME(f), when);
	else
		warn(r, f, "clients refuse it until then, or this machine's clock is wrong",
		     "certificate %d in \"%.*s\" is not valid before %s", nth, NAME(f), when);
}

/* ---- the chain ---- */

/* Whether it says where its issuer's certificate is to be had (RFC 5280 section 4.2.2.1): public CAs do. */
static bool names_issuer(X509 *x)
{
	AUTHORITY_INFO_ACCESS *aia = X509_get_ext_d2i(x, NID_info_access, NULL, NULL);
	bool found = false;

	for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(aia); i++)
		found |= OBJ_obj2nid(sk_ACCESS_DESCRIPTION_value(aia, i)->method) == NID_ad_ca_issuers;
	AUTHORITY_INFO_ACCESS_free(aia);
	return found;
}

/* A chain cannot be known to end too early, but one that was forgotten altogether is seen. */
static void warn_incomplete(const struct tls_pair *pair, const struct tls_file *f, struct conf_report *r)
{
	char issuer[128] = "";

	if (sk_X509_num(pair->chain) > 0 || X509_check_issued(pair->leaf, pair->leaf) == X509_V_OK ||
	    !names_issuer(pair->leaf))
		return;
	X509_NAME_get_text_by_NID(X509_get_issuer_name(pair->leaf), NID_commonName, issuer, sizeof issuer);
	warn(r, f, "append its issuer's certificate to the file, or name a file with it in \"host-ssl-ca\"",
	     "the chain in \"%.*s\" is incomplete: the issuer \"%s\" is missing", NAME(f), issuer);
}

static void warn_chain(const struct tls_pair *pair, const struct tls_file *f, struct conf_report *r)
{
	X509 *x = pair->leaf;

	for (int i = 0; i < sk_X509_num(pair->chain); i++) {
		X509 *up = sk_X509_value(pair->chain, i);

		tls_warn_dates(up, i + 2, f, r);
		if (X509_check_issued(up, x) != X509_V_OK) {
			warn(r, f,
			     "the order is: this host's certificate, its issuer's, that one's issuer's ...",
			     "certificate %d in \"%.*s\" is not the issuer of certificate %d", i + 2, NAME(f),
			     i + 1);
			return;
		}
		x = up;
	}
	warn_incomplete(pair, f, r);
}

/* ---- the name ---- */

static bool is_for(X509 *x, struct str name)
{
	char text[CONF_NAME_BYTES + 1];
	struct in6_addr ip;
	/* clients look at nothing else any more (RFC 9525 section 2) */
	unsigned flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;

	/* a wildcard is good when any name that it stands for is */
	if (str_starts(name, STR("*.")))
		snprintf(text, sizeof text, "gatehouse%.*s", (int)name.n - 1, name.p + 1);
	else if (str_starts(name, STR("[")))
		snprintf(text, sizeof text, "%.*s", (int)name.n - 2, name.p + 1);
	else
		snprintf(text, sizeof text, "%.*s", STR_ARG(name));
	if (inet_pton(AF_INET, text, &ip) == 1 || inet_pton(AF_INET6, text, &ip) == 1)
		return X509_check_ip_asc(x, text, 0) == 1;
	return X509_check_host(x, text, 0, flags, NULL) == 1;
}

/* A host name or an address as text, empty when it is something else. */
static void name_text(char out[128], const GENERAL_NAME *g)
{
	const ASN1_STRING *s = g->d.dNSName;

	out[0] = 0;
	if (g->type == GEN_DNS)
		snprintf(out, 128, "%.*s", MIN(ASN1_STRING_length(s), 80),
			 (const char *)ASN1_STRING_get0_data(s));
	else if (g->type == GEN_IPADD && ASN1_STRING_length(s) == 4)
		inet_ntop(AF_INET, ASN1_STRING_get0_data(s), out, 128);
	else if (g->type == GEN_IPADD && ASN1_STRING_length(s) == 16)
		inet_ntop(AF_INET6, ASN1_STRING_get0_data(s), out, 128);
}

int tls_names_text(X509 *x, char out[TLS_NAMES_BYTES])
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	char text[128];
	size_t n = 0;
	int count = 0;

	out[0] = 0;
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		name_text(text, sk_GENERAL_NAME_value(names, i));
		if (!text[0] || count++ >= NAMES_SHOWN || n >= TLS_NAMES_BYTES)
			continue;
		n += (size_t)snprintf(out + n, TLS_NAMES_BYTES - n, "%s%s", count > 1 ? ", " : "", text);
	}
	if (count > NAMES_SHOWN && n < TLS_NAMES_BYTES)
		snprintf(out + n, TLS_NAMES_BYTES - n, " and %d more", count - NAMES_SHOWN);
	GENERAL_NAMES_free(names);
	return count;
}

static void warn_name(X509 *x, struct str name, const struct tls_file *f, struct conf_report *r)
{
	char names[TLS_NAMES_BYTES];

	if (is_for(x, name))
		return;
	if (tls_names_text(x, names))
		warn(r, f, "get one with this name in its subjectAltName: clients refuse this one",
		     "the certificate in \"%.*s\" is not for \"%.*s\", but for %s", NAME(f), STR_ARG(name),
		     names);
	else
		warn(r, f, "get one with this name in its subjectAltName: clients refuse this one",
		     "the certificate in \"%.*s\" is not for \"%.*s\": it names no host", NAME(f),
		     STR_ARG(name));
}

void tls_context_warn(const struct tls_context *c, const struct tls_files *f, struct str name,
		      struct conf_report *r)
{
	for (size_t i = 0; i < c->npairs; i++) {
		const struct tls_file *file = &f->pairs[i].cert;
		X509 *leaf = c->pairs[i].leaf;

		warn_name(leaf, name, file, r);
		if (X509_check_purpose(leaf, X509_PURPOSE_SSL_SERVER, 0) != 1)
			warn(r, file, "get one for TLS servers: clients refuse this one",
			     "the certificate in \"%.*s\" is not for servers (key usage)", NAME(file));
		tls_warn_dates(leaf, 1, file, r);
		warn_chain(&c->pairs[i], file, r);
	}
	ERR_clear_error();
}
