#include "tls/priv.h"
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <time.h>

/*
 * Under TLS 1.2 only what gives forward secrecy and is an AEAD. The client's order decides, for it knows
 * whether it has AES in hardware; no choice of its own can be a bad one.
 */
#define CIPHERS_DEFAULT "ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS_DEFAULT	"X25519:P-256:P-384"
#define ALPN_DEFAULT	STR("h2,http/1.1")

/* No key of a configuration can take these away: renegotiation and compression are attacks by now. */
#define OPTIONS_ALWAYS (SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION)

/*
 * A ticket is good wherever this is equal. It has to differ wherever clients are authenticated differently;
 * no policy says so yet.
 */
#define SESSION_ID_CONTEXT STR("gatehouse")

/* ---- finding what exists ---- */

static void hash_bytes(EVP_MD_CTX *m, const void *p, size_t n)
{
	uint64_t len = n; /* so that no two different lists of inputs are the same bytes */

	BUG_ON(!EVP_DigestUpdate(m, &len, sizeof len) || !EVP_DigestUpdate(m, p, n));
}

static void hash_inputs(uint8_t hash[32], const struct tls_files *f, const struct tls_policy *p)
{
	const struct str strings[] = {
		f->cert_name, f->cert,	  f->key_name,	    f->key,    f->ca_name,
		f->ca,	      p->ciphers, p->tls13_ciphers, p->curves, p->alpn,
	};
	const uint64_t numbers[] = {
		(uint64_t)p->min_version,
		(uint64_t)p->max_version,
		p->options_set,
		p->options_clear,
	};
	EVP_MD_CTX *m = EVP_MD_CTX_new();

	BUG_ON(!m || !EVP_DigestInit_ex(m, EVP_sha256(), NULL));
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
		hash_bytes(m, strings[i].p, strings[i].n);
	hash_bytes(m, numbers, sizeof numbers);
	BUG_ON(!EVP_DigestFinal_ex(m, hash, NULL));
	EVP_MD_CTX_free(m);
}

static struct list *bucket(const uint8_t hash[32])
{
	return &tls_w->contexts[(hash[0] | (unsigned)hash[1] << 8) % TLS_CONTEXT_BUCKETS];
}

static struct tls_context *find(const uint8_t hash[32])
{
	list_for_each (pos, bucket(hash)) {
		struct tls_context *c = list_entry(pos, struct tls_context, node);

		if (memcmp(c->hash, hash, sizeof c->hash) == 0)
			return c;
	}
	return NULL;
}

/* ---- building ---- */

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

/* "h2, http/1.1" as RFC 7301 section 3.1 has it on the wire. */
static bool set_alpn(struct tls_context *c, struct str list, char *err, size_t err_cap)
{
	list = or_default(list, ALPN_DEFAULT);
	c->alpn = base_alloc(list.n + 1);
	while (list.n) {
		const char *comma = memchr(list.p, ',', list.n);
		size_t n = comma ? (size_t)(comma - list.p) : list.n;
		struct str name = str_trim(str_of(list.p, n));

		if (name.n == 0 || name.n > 255) {
			snprintf(err, err_cap,
				 "alpn: a protocol's name has 1 to 255 bytes, as in \"h2, http/1.1\"");
			return false;
		}
		c->alpn[c->alpn_n++] = (unsigned char)name.n;
		memcpy(c->alpn + c->alpn_n, name.p, name.n);
		c->alpn_n += (unsigned)name.n;
		n += comma != NULL;
		list = str_of(list.p + n, list.n - n);
	}
	return true;
}

/*
 * HTTP/2 is not for suites without forward secrecy or with CBC (RFC 9113 section 9.2.2), which only an
 * operator's own `ciphers` can bring in. The suite is chosen before the protocol.
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

static bool set_versions(struct tls_context *c, const struct tls_policy *p, char *err, size_t err_cap)
{
	c->min_version = MAX(p->min_version, TLS1_2_VERSION); /* a floor that nothing lowers */
	c->max_version = p->max_version ? p->max_version : TLS1_3_VERSION;
	SSL_CTX_clear_options(c->ctx, p->options_clear);
	SSL_CTX_set_options(c->ctx, p->options_set | OPTIONS_ALWAYS);
	c->options = SSL_CTX_get_options(c->ctx);
	for (int v = c->min_version; v <= c->max_version; v++)
		if (!(c->options & (v == TLS1_2_VERSION ? SSL_OP_NO_TLSv1_2 : SSL_OP_NO_TLSv1_3)))
			return SSL_CTX_set_min_proto_version(c->ctx, c->min_version) &&
			       SSL_CTX_set_max_proto_version(c->ctx, c->max_version);
	snprintf(err, err_cap, "no TLS version is left; allow TLS 1.2 or TLS 1.3");
	return false;
}

static bool set_ciphers(struct tls_context *c, const struct tls_policy *p, char *err, size_t err_cap)
{
	char *ciphers = dup_c(or_default(p->ciphers, STR(CIPHERS_DEFAULT))),
	     *suites = dup_c(p->tls13_ciphers);
	bool ok = false;

	c->groups = dup_c(or_default(p->curves, STR(GROUPS_DEFAULT)));
	if (!SSL_CTX_set_cipher_list(c->ctx, ciphers))
		snprintf(err, err_cap,
			 "ciphers: OpenSSL finds none in \"%s\"; see: openssl ciphers -s -tls1_2", ciphers);
	else if (*suites && !SSL_CTX_set_ciphersuites(c->ctx, suites))
		snprintf(err, err_cap,
			 "tls13-ciphers: OpenSSL finds none in \"%s\"; see: openssl ciphers -s -tls1_3",
			 suites);
	else if (!SSL_CTX_set1_groups_list(c->ctx, c->groups))
		snprintf(err, err_cap,
			 "ecdh-curve: OpenSSL does not know all of \"%s\"; as in \"" GROUPS_DEFAULT "\"",
			 c->groups);
	else
		ok = true;
	free(ciphers);
	free(suites);
	return ok;
}

static bool set_pair(struct tls_context *c, const struct tls_files *f, char *err, size_t err_cap)
{
	struct tls_pair pair;
	const char *why;
	bool ok;

	if (!tls_pair_read(&pair, f, err, err_cap))
		return false;
	ok = SSL_CTX_use_cert_and_key(c->ctx, pair.leaf, pair.key, pair.chain, 1) == 1;
	if (!ok) {
		why = ERR_reason_error_string(ERR_peek_last_error());
		snprintf(err, err_cap, "%.*s: OpenSSL refuses this certificate or one of its chain: %s",
			 STR_ARG(f->cert_name), why ? why : "unknown reason");
	}
	tls_pair_fini(&pair);
	return ok;
}

static void free_context(struct tls_context *c)
{
	SSL_CTX_free(c->ctx);
	free(c->groups);
	free(c->alpn);
	free(c->cert_name);
	free(c);
}

static struct tls_context *build(const struct tls_files *f, const struct tls_policy *p, char *err,
				 size_t err_cap)
{
	struct tls_context *c = base_zalloc(sizeof *c);

	c->ctx = SSL_CTX_new(TLS_server_method());
	BUG_ON(!c->ctx);
	c->refs = 1;
	c->cert_name = dup_c(f->cert_name);
	if (!set_versions(c, p, err, err_cap) || !set_ciphers(c, p, err, err_cap) ||
	    !set_alpn(c, p->alpn, err, err_cap) || !set_pair(c, f, err, err_cap)) {
		free_context(c);
		ERR_clear_error();
		return NULL;
	}
	/* Our BIO takes whatever OpenSSL writes, so a write is never half done. */
	SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_client_hello_cb(c->ctx, tls_client_hello, NULL);
	SSL_CTX_set_alpn_select_cb(c->ctx, select_alpn, c);
	SSL_CTX_set_session_id_context(c->ctx, (const unsigned char *)SESSION_ID_CONTEXT.p,
				       (unsigned)SESSION_ID_CONTEXT.n);
	tls_ticket_setup(c->ctx);
	ERR_clear_error();
	return c;
}

struct tls_context *tls_context_new(const struct tls_files *f, const struct tls_policy *p, char *err,
				    size_t err_cap)
{
	struct tls_context *c;
	uint8_t hash[32];

	hash_inputs(hash, f, p);
	c = find(hash);
	if (c) {
		tls_w->stats.spared++;
		return tls_context_get(c);
	}
	c = build(f, p, err, err_cap);
	if (!c)
		return NULL;
	memcpy(c->hash, hash, sizeof hash);
	list_push(bucket(hash), &c->node);
	tls_w->stats.contexts++;
	return c;
}

struct tls_context *tls_context_get(struct tls_context *c)
{
	c->refs++;
	return c;
}

void tls_context_put(struct tls_context *c)
{
	BUG_ON(c->refs == 0);
	if (--c->refs)
		return;
	list_del(&c->node);
	tls_w->stats.contexts--;
	free_context(c);
}

/* ---- using ---- */

void tls_context_apply(SSL *ssl, const struct tls_context *c)
{
	if (SSL_get_SSL_CTX(ssl) == c->ctx)
		return;
	/* Brings certificates, TLS 1.2 ciphers, callbacks and the session-id context; nothing else. */
	BUG_ON(!SSL_set_SSL_CTX(ssl, c->ctx));
	SSL_clear_options(ssl, SSL_get_options(ssl) & ~c->options);
	SSL_set_options(ssl, c->options);
	SSL_set_verify(ssl, SSL_CTX_get_verify_mode(c->ctx), SSL_CTX_get_verify_callback(c->ctx));
	SSL_set_num_tickets(ssl, SSL_CTX_get_num_tickets(c->ctx));
	BUG_ON(!SSL_set1_groups_list(ssl, c->groups));
	BUG_ON(!SSL_set_min_proto_version(ssl, c->min_version));
	BUG_ON(!SSL_set_max_proto_version(ssl, c->max_version));
}

static void date(char out[64], const ASN1_TIME *t)
{
	struct tm tm = { 0 };

	ASN1_TIME_to_tm(t, &tm);
	snprintf(out, 64, "%04d-%02d-%02d %02d:%02d UTC", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		 tm.tm_hour, tm.tm_min);
}

/* `nth` is for the reader of the file: 1 is the leaf. */
static bool warn_dates(const struct tls_context *c, X509 *x, int nth, char *text, size_t cap)
{
	bool is_over = X509_cmp_time(X509_get0_notAfter(x), NULL) < 0;
	char when[64];

	if (!is_over && X509_cmp_time(X509_get0_notBefore(x), NULL) < 0)
		return false;
	date(when, is_over ? X509_get0_notAfter(x) : X509_get0_notBefore(x));
	snprintf(text, cap, "%s: certificate %d %s %s%s", c->cert_name, nth,
		 is_over ? "expired" : "is not valid before", when,
		 is_over ? "; clients refuse it, renew it"
			 : "; clients refuse it until then, or the clock is wrong");
	return true;
}

bool tls_context_warn(const struct tls_context *c, char *text, size_t cap)
{
	X509 *x = SSL_CTX_get0_certificate(c->ctx);
	STACK_OF(X509) *chain = NULL;

	snprintf(text, cap, "%s", "");
	SSL_CTX_get0_chain_certs(c->ctx, &chain);
	if (warn_dates(c, x, 1, text, cap))
		return true;
	for (int i = 0; i < sk_X509_num(chain); i++) {
		X509 *up = sk_X509_value(chain, i);

		if (warn_dates(c, up, i + 2, text, cap))
			return true;
		if (X509_check_issued(up, x) != X509_V_OK) {
			ERR_clear_error();
			snprintf(text, cap,
				 "%s: certificate %d is not the issuer of certificate %d; "
				 "the order is leaf, then each one's issuer",
				 c->cert_name, i + 2, i + 1);
			return true;
		}
		x = up;
	}
	return false;
}
