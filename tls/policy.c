#include "tls/priv.h"
#include <openssl/err.h>

/*
 * Under TLS 1.2 only what gives forward secrecy and is an AEAD, under TLS 1.3 all there is. Our order
 * decides: what costs both sides least, and is as good as any. Who has no AES in hardware says so by naming
 * ChaCha20 first, and gets it.
 */
#define CIPHERS_DEFAULT                                                               \
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                  \
	"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE+CHACHA20"
#define SUITES_DEFAULT	"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define OPTIONS_DEFAULT (SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA)
#define GROUPS_DEFAULT	"X25519:P-256:P-384"
#define ALPN_DEFAULT	STR("h2,http/1.1")

/* ---- options ---- */

/* No key of a configuration can take these away: renegotiation and compression are attacks by now. */
#define OPTIONS_ALWAYS (SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION)

/*
 * What `ssl-option-set` and `ssl-option-clear` must not do. Columns: bits, their name, what is wrong.
 */
#define NEVER_SET_TABLE(X)                                                                                   \
	X(SSL_OP_NO_EXTENDED_MASTER_SECRET, "SSL_OP_NO_EXTENDED_MASTER_SECRET",                              \
	  "it takes away the protection of RFC 7627")                                                        \
	X(SSL_OP_ALLOW_CLIENT_RENEGOTIATION, "SSL_OP_ALLOW_CLIENT_RENEGOTIATION",                            \
	  "renegotiation is never allowed")                                                                  \
	X(SSL_OP_ALLOW_NO_DHE_KEX, "SSL_OP_ALLOW_NO_DHE_KEX",                                                \
	  "sessions would be resumed without forward secrecy")                                               \
	X(SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION, "SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION",              \
	  "renegotiation is never allowed")                                                                  \
	X(SSL_OP_TLS_ROLLBACK_BUG, "SSL_OP_TLS_ROLLBACK_BUG", "an attacker could choose the version")

#define NEVER_CLEAR_TABLE(X)                                                                                 \
	X(SSL_OP_NO_COMPRESSION, "SSL_OP_NO_COMPRESSION", "compression is never allowed")                    \
	X(SSL_OP_NO_SSLv3, "SSL_OP_NO_SSLv3", "TLS 1.2 is the lowest version")                               \
	X(SSL_OP_NO_TLSv1, "SSL_OP_NO_TLSv1", "TLS 1.2 is the lowest version")                               \
	X(SSL_OP_NO_TLSv1_1, "SSL_OP_NO_TLSv1_1", "TLS 1.2 is the lowest version")                           \
	X(SSL_OP_NO_RENEGOTIATION, "SSL_OP_NO_RENEGOTIATION", "renegotiation is never allowed")

struct never {
	uint64_t bits;
	const char *name, *why;
};

static const struct never never_set[] = {
#define X(bits, name, why) { bits, name, why },
	NEVER_SET_TABLE(X)
#undef X
};

static const struct never never_clear[] = {
#define X(bits, name, why) { bits, name, why },
	NEVER_CLEAR_TABLE(X)
#undef X
};

static bool check_options(uint64_t options, const struct never *rows, size_t n, struct conf_pos pos,
			  struct conf_report *r)
{
	bool ok = true;
	char remedy[64];

	for (size_t i = 0; i < n; i++) {
		if (!(options & rows[i].bits))
			continue;
		snprintf(remedy, sizeof remedy, "leave out the bit %llu", (unsigned long long)rows[i].bits);
		conf_report_add(r, CONF_ERROR, pos, remedy, "%s: %s", rows[i].name, rows[i].why);
		ok = false;
	}
	return ok;
}

static bool set_options(struct tls_context *c, const struct tls_policy *p, struct conf_report *r)
{
	bool ok = check_options(p->options_set, never_set, ARRAY_SIZE(never_set), p->set_pos, r);

	ok &= check_options(p->options_clear, never_clear, ARRAY_SIZE(never_clear), p->clear_pos, r);
	SSL_CTX_set_options(c->ctx, OPTIONS_DEFAULT);
	SSL_CTX_clear_options(c->ctx, p->options_clear);
	SSL_CTX_set_options(c->ctx, p->options_set | OPTIONS_ALWAYS);
	c->options = SSL_CTX_get_options(c->ctx);
	return ok;
}

/* ---- versions, ciphers, groups ---- */

static bool set_versions(struct tls_context *c, const struct tls_policy *p, struct conf_report *r)
{
	c->min_version = MAX(p->min_version, TLS1_2_VERSION); /* a floor that nothing lowers */
	c->max_version = p->max_version ? p->max_version : TLS1_3_VERSION;
	for (int v = c->min_version; v <= c->max_version; v++)
		if (!(c->options & (v == TLS1_2_VERSION ? SSL_OP_NO_TLSv1_2 : SSL_OP_NO_TLSv1_3)))
			return SSL_CTX_set_min_proto_version(c->ctx, c->min_version) &&
			       SSL_CTX_set_max_proto_version(c->ctx, c->max_version);
	conf_report_add(r, CONF_ERROR, p->set_pos, "allow TLS 1.2 or TLS 1.3", "no TLS version is left");
	return false;
}

static char *dup_c(struct str s)
{
	char *p = base_alloc(s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = 0;
	return p;
}

static struct str or_default(struct str s, struct str dflt)
{
	return s.n ? s : dflt;
}

/* Weak suites are an operator's choice; what hides nothing, or from nobody in particular, is not. */
static bool check_suites(const struct tls_context *c, const struct conf_entry *ciphers, struct conf_report *r)
{
	STACK_OF(SSL_CIPHER) *list = SSL_CTX_get_ciphers(c->ctx);

	for (int i = 0; i < sk_SSL_CIPHER_num(list); i++) {
		const SSL_CIPHER *suite = sk_SSL_CIPHER_value(list, i);
		bool hides = SSL_CIPHER_get_cipher_nid(suite) != NID_undef;

		if (hides && SSL_CIPHER_get_auth_nid(suite) != NID_auth_null)
			continue;
		conf_report_add(r, CONF_ERROR, ciphers->pos, "add :!aNULL:!eNULL", "the suite %s has no %s",
				SSL_CIPHER_get_name(suite), hides ? "authentication" : "encryption");
		return false;
	}
	return true;
}

static bool set_ciphers(struct tls_context *c, const struct tls_policy *p, struct conf_report *r)
{
	char *ciphers = dup_c(or_default(p->ciphers.text, STR(CIPHERS_DEFAULT)));
	bool ok = SSL_CTX_set_cipher_list(c->ctx, ciphers) == 1;

	if (ok)
		ok = check_suites(c, &p->ciphers, r);
	else
		conf_report_add(r, CONF_ERROR, p->ciphers.pos, "see: openssl ciphers -s -tls1_2",
				"OpenSSL finds no suite in \"%s\"", ciphers);
	free(ciphers);
	return ok;
}

static bool set_suites(struct tls_context *c, const struct tls_policy *p, struct conf_report *r)
{
	char *suites = dup_c(or_default(p->tls13_ciphers.text, STR(SUITES_DEFAULT)));
	bool ok = SSL_CTX_set_ciphersuites(c->ctx, suites);

	if (!ok)
		conf_report_add(r, CONF_ERROR, p->tls13_ciphers.pos, "see: openssl ciphers -s -tls1_3",
				"OpenSSL finds no suite in \"%s\"", suites);
	free(suites);
	return ok;
}

static bool set_groups(struct tls_context *c, const struct tls_policy *p, struct conf_report *r)
{
	c->groups = dup_c(or_default(p->curves.text, STR(GROUPS_DEFAULT)));
	if (SSL_CTX_set1_groups_list(c->ctx, c->groups))
		return true;
	conf_report_add(r, CONF_ERROR, p->curves.pos, "write them as in " GROUPS_DEFAULT,
			"OpenSSL does not know all of \"%s\"", c->groups);
	return false;
}

/* ---- ALPN ---- */

static void add_alpn(struct tls_context *c, struct str name)
{
	BUG_ON(name.n == 0 || name.n > 255); /* conf takes only names it knows */
	c->alpn[c->alpn_n++] = (unsigned char)name.n;
	memcpy(c->alpn + c->alpn_n, name.p, name.n);
	c->alpn_n += (unsigned)name.n;
}

/*
 * "h2, http/1.1" as RFC 7301 section 3.1 has it on the wire. Whoever serves HTTP/1.1 serves HTTP/1.0, which
 * some clients offer alone.
 */
static void set_alpn(struct tls_context *c, struct str list)
{
	bool has_http_1 = false;

	list = or_default(list, ALPN_DEFAULT);
	c->alpn = base_alloc(list.n + sizeof "http/1.0" + 1);
	while (list.n) {
		const char *comma = memchr(list.p, ',', list.n);
		size_t n = comma ? (size_t)(comma - list.p) : list.n;
		struct str name = str_trim(str_of(list.p, n));

		add_alpn(c, name);
		has_http_1 |= str_eq(name, STR("http/1.1"));
		n += comma != NULL;
		list = str_of(list.p + n, list.n - n);
	}
	if (has_http_1)
		add_alpn(c, STR("http/1.0"));
}

/*
 * HTTP/2 is not for suites without forward secrecy or with CBC (RFC 9113 section 9.2.2 and appendix A), which
 * only an operator's own `ciphers` can bring in. The suite is chosen before the protocol.
 */
static bool is_h2_suite(const SSL *ssl)
{
	const SSL_CIPHER *suite = SSL_get_pending_cipher(ssl);
	int exchange = suite ? SSL_CIPHER_get_kx_nid(suite) : NID_undef;

	return suite && SSL_CIPHER_is_aead(suite) &&
	       (exchange == NID_kx_any || exchange == NID_kx_ecdhe || exchange == NID_kx_dhe);
}

static bool is_h2(const unsigned char *name)
{
	return name[0] == 2 && name[1] == 'h' && name[2] == '2';
}

/*
 * The first of ours that the client offers. None: no_application_protocol (RFC 7301 section 3.2), rather than
 * a protocol that the client has not asked for.
 */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *offer,
		       unsigned offer_n, void *arg)
{
	const struct tls_context *c = arg;

	for (unsigned i = 0; i < c->alpn_n; i += 1u + c->alpn[i]) {
		if (is_h2(c->alpn + i) && !is_h2_suite(ssl))
			continue;
		for (unsigned j = 0; j < offer_n; j += 1u + offer[j])
			if (offer[j] == c->alpn[i] && memcmp(offer + j + 1, c->alpn + i + 1, offer[j]) == 0) {
				*out = offer + j + 1;
				*out_n = offer[j];
				return SSL_TLSEXT_ERR_OK;
			}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

bool tls_policy_apply(struct tls_context *c, const struct tls_policy *p, struct conf_report *r)
{
	bool ok = set_options(c, p, r);

	ok &= set_versions(c, p, r);
	ok &= set_ciphers(c, p, r);
	ok &= set_suites(c, p, r);
	ok &= set_groups(c, p, r);
	set_alpn(c, p->alpn);
	SSL_CTX_set_alpn_select_cb(c->ctx, select_alpn, c);
	ERR_clear_error();
	return ok;
}
