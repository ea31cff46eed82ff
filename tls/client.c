#include "tls/client.h"
#include "tls/priv.h"
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

enum {
	SERVER_DEPTH_MAX = 10,
	/*
	 * A resumed session shows no certificate (RFC 8446 section 2.2), and brings the ticket of the next
	 * one: after this time it is looked at again all the same.
	 */
	VERIFIED_S = 3600,
};

/* ---- whom we trust ---- */

struct tls_trust {
	struct list node; /* in tls_w->trusts */
	unsigned refs;
	uint8_t hash[32];
	X509_STORE *store;
	char *name; /* of the file, as it was first named */
};

static struct tls_trust *find_trust(const uint8_t hash[32])
{
	list_for_each (pos, &tls_w->trusts) {
		struct tls_trust *t = list_entry(pos, struct tls_trust, node);

		if (memcmp(t->hash, hash, sizeof t->hash) == 0)
			return t;
	}
	return NULL;
}

static X509_STORE *store_of(STACK_OF(X509) * list)
{
	X509_STORE *store = X509_STORE_new();

	BUG_ON(!store);
	for (int i = 0; i < sk_X509_num(list); i++)
		BUG_ON(!X509_STORE_add_cert(store, sk_X509_value(list, i)));
	/* who is told to trust an intermediate CA, or a server's own certificate, trusts no other */
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	X509_STORE_set_depth(store, SERVER_DEPTH_MAX);
	return store;
}

struct tls_trust *tls_trust_new(const struct tls_file *f, struct conf_report *r)
{
	STACK_OF(X509) *list = sk_X509_new_null();
	struct tls_trust *t = NULL;
	struct tls_hash h = tls_hash_begin();
	uint8_t hash[32];

	BUG_ON(!list);
	tls_hash_str(h, f->pem);
	tls_hash_end(h, hash);
	t = find_trust(hash);
	if (t) {
		t->refs++;
	} else if (tls_certificates_read(list, f, r)) {
		t = base_zalloc(sizeof *t);
		t->refs = 1;
		memcpy(t->hash, hash, sizeof hash);
		t->store = store_of(list);
		t->name = base_alloc(f->name.text.n + 1);
		snprintf(t->name, f->name.text.n + 1, "%.*s", STR_ARG(f->name.text));
		list_push(&tls_w->trusts, &t->node);
		tls_w->stats.trusts++;
	}
	sk_X509_pop_free(list, X509_free);
	return t;
}

void tls_trust_put(struct tls_trust *t)
{
	BUG_ON(t->refs == 0);
	if (--t->refs)
		return;
	list_del(&t->node);
	tls_w->stats.trusts--;
	X509_STORE_free(t->store);
	free(t->name);
	free(t);
}

/* ---- a server ---- */

struct tls_client {
	struct list node; /* in tls_w->clients */
	unsigned refs;
	uint8_t hash[32];	     /* of all that it was made of */
	struct tls_context *context; /* policy, and our certificate */
	struct tls_trust *trust;
	char *name; /* a host's, or an address; empty: none */
	bool is_address;
	SSL_SESSION *sessions[TLS_SESSIONS_MAX]; /* the newest last */
	size_t nsessions;
	int64_t verified_s; /* when last it showed its certificate */
};

void tls_client_forget_sessions(struct tls_client *t)
{
	while (t->nsessions)
		SSL_SESSION_free(t->sessions[--t->nsessions]);
}

void tls_client_note_verified(struct tls_client *t)
{
	t->verified_s = loop_wall_s();
}

/* A ticket came (after the handshake, under TLS 1.3). Returns 1: it is ours now. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_client *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (!SSL_SESSION_is_resumable(session))
		return 0;
	if (t->nsessions == TLS_SESSIONS_MAX) {
		SSL_SESSION_free(t->sessions[0]);
		memmove(t->sessions, t->sessions + 1, --t->nsessions * sizeof *t->sessions);
	}
	t->sessions[t->nsessions++] = session;
	return 1;
}

/* A ticket is for one connection (RFC 8446 section C.4); under TLS 1.2 it is good until another comes. */
static void offer_session(struct tls_client *t, SSL *ssl)
{
	int64_t age_s = loop_wall_s() - t->verified_s;
	SSL_SESSION *session;

	if (age_s < 0 || age_s > VERIFIED_S)
		tls_client_forget_sessions(t);
	if (!t->nsessions)
		return;
	session = t->sessions[t->nsessions - 1];
	SSL_set_session(ssl, session);
	if (SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION)
		return;
	t->nsessions--;
	SSL_SESSION_free(session);
}

/* ---- why a certificate is not accepted ---- */

static void common_name(char out[128], const X509_NAME *name)
{
	out[0] = 0;
	if (X509_NAME_get_text_by_NID(name, NID_commonName, out, 128) < 0)
		X509_NAME_oneline(name, out, 128);
}

static void explain_name(struct tls_conn *c, X509 *leaf)
{
	char names[TLS_NAMES_BYTES];

	if (tls_names_text(leaf, names))
		tls_conn_explain(
			c,
			"the certificate is not for \"%s\", but for %s; \"upstream-name\" says whom it "
			"has to be for",
			c->client->name, names);
	else
		tls_conn_explain(c, "the certificate is not for \"%s\": it has no subjectAltName",
				 c->client->name);
}

static void explain_issuer(struct tls_conn *c, X509 *at)
{
	char issuer[128];

	common_name(issuer, X509_get_issuer_name(at));
	if (X509_check_issued(at, at) == X509_V_OK)
		tls_conn_explain(c,
				 "\"%s\" signed itself, and is not in %s; name a file that has it in "
				 "\"upstream-ca\"",
				 issuer, c->client->trust->name);
	else
		tls_conn_explain(c,
				 "the issuer \"%s\" is unknown: neither in %s nor sent along; name the CA's "
				 "certificate in \"upstream-ca\"",
				 issuer, c->client->trust->name);
}

static void explain_date(struct tls_conn *c, X509 *at, bool is_over)
{
	char when[TLS_DATE_BYTES], whose[128];

	common_name(whose, X509_get_subject_name(at));
	tls_date_text(when, is_over ? X509_get0_notAfter(at) : X509_get0_notBefore(at));
	if (is_over)
		tls_conn_explain(c, "the certificate of \"%s\" expired %s; renew it there", whose, when);
	else
		tls_conn_explain(c, "the certificate of \"%s\" is not valid before %s, or a clock is wrong",
				 whose, when);
}

static int on_verified(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_conn *c = SSL_get_app_data(ssl);
	X509 *at = X509_STORE_CTX_get_current_cert(store), *leaf = X509_STORE_CTX_get0_cert(store);
	int why = X509_STORE_CTX_get_error(store);

	if (ok)
		return ok;
	switch (why) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH: explain_name(c, leaf); break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN: explain_issuer(c, at ? at : leaf); break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		explain_date(c, at ? at : leaf, why == X509_V_ERR_CERT_HAS_EXPIRED);
		break;
	default: tls_conn_explain(c, "%s", X509_verify_cert_error_string(why));
	}
	return 0;
}

/* ---- making ---- */

static void set_name(struct tls_client *t, struct str name)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(t->context->ctx);
	struct in6_addr ip;

	t->name = base_alloc(name.n + 1);
	snprintf(t->name, name.n + 1, "%.*s", STR_ARG(name));
	if (!name.n)
		return;
	t->is_address = inet_pton(AF_INET, t->name, &ip) == 1 || inet_pton(AF_INET6, t->name, &ip) == 1;
	/* as browsers do (RFC 9525 sections 2 and 6.3) */
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
						       X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (t->is_address)
		BUG_ON(!X509_VERIFY_PARAM_set1_ip_asc(param, t->name));
	else
		BUG_ON(!X509_VERIFY_PARAM_set1_host(param, t->name, name.n));
}

static bool set_pair(struct tls_client *t, const struct tls_pair_files *pair, struct conf_report *r)
{
	const struct tls_files f = {.pairs = pair, .npairs = 1};

	return !pair->cert.name.text.n || tls_context_set_pairs(t->context, &f, r);
}

static void free_client(struct tls_client *t)
{
	tls_client_forget_sessions(t);
	tls_context_free(t->context);
	if (t->trust)
		tls_trust_put(t->trust);
	free(t->name);
	free(t);
}

static struct tls_client *build(const struct tls_client_options *o, struct conf_report *r)
{
	static const unsigned char http_1_1[] = "\x08http/1.1";
	struct tls_client *t = base_zalloc(sizeof *t);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	bool ok;

	BUG_ON(!ctx);
	t->refs = 1;
	t->context = base_zalloc(sizeof *t->context);
	t->context->ctx = ctx;
	t->trust = o->trust;
	if (t->trust) {
		t->trust->refs++;
		SSL_CTX_set1_cert_store(ctx, t->trust->store);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verified);
	}
	set_name(t, o->name);
	ok = tls_policy_apply(t->context, &o->policy, r);
	ok &= set_pair(t, &o->pair, r);
	ERR_clear_error();
	if (!ok) {
		free_client(t);
		return NULL;
	}
	BUG_ON(SSL_CTX_set_alpn_protos(ctx, http_1_1, sizeof http_1_1 - 1));
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	SSL_CTX_set_app_data(ctx, t);
	return t;
}

static void hash_options(uint8_t out[32], const struct tls_client_options *o)
{
	bool has_pair = o->pair.cert.name.text.n > 0; /* an empty file is not none */
	struct tls_hash h = tls_hash_begin();

	tls_hash_str(h, o->server);
	tls_hash_str(h, o->name);
	tls_hash_bytes(h, &has_pair, sizeof has_pair);
	tls_hash_bytes(h, o->trust ? o->trust->hash : (const uint8_t *)"", o->trust ? 32 : 0);
	tls_hash_policy(h, &o->policy);
	tls_hash_str(h, o->pair.cert.pem);
	tls_hash_str(h, o->pair.key.pem);
	tls_hash_end(h, out);
}

static struct tls_client *find_client(const uint8_t hash[32])
{
	list_for_each (pos, &tls_w->clients) {
		struct tls_client *t = list_entry(pos, struct tls_client, node);

		if (memcmp(t->hash, hash, sizeof t->hash) == 0)
			return t;
	}
	return NULL;
}

struct tls_client *tls_client_new(const struct tls_client_options *o, struct conf_report *r)
{
	struct tls_client *t;
	uint8_t hash[32];

	hash_options(hash, o);
	t = find_client(hash);
	if (t) {
		tls_w->stats.spared++;
		return tls_client_get(t);
	}
	t = build(o, r);
	if (!t)
		return NULL;
	memcpy(t->hash, hash, sizeof hash);
	list_push(&tls_w->clients, &t->node);
	tls_w->stats.clients++;
	return t;
}

struct tls_client *tls_client_get(struct tls_client *t)
{
	t->refs++;
	return t;
}

void tls_client_put(struct tls_client *t)
{
	BUG_ON(t->refs == 0);
	if (--t->refs)
		return;
	list_del(&t->node);
	tls_w->stats.clients--;
	free_client(t);
}

void tls_client_warn(const struct tls_client *t, const struct tls_client_options *o,
		     const struct tls_file *ca, struct conf_report *r)
{
	STACK_OF(X509) *list = sk_X509_new_null();

	BUG_ON(!list);
	if (t->context->npairs) {
		const struct tls_pair *pair = &t->context->pairs[0];

		tls_warn_dates(pair->leaf, 1, &o->pair.cert, r);
		for (int i = 0; i < sk_X509_num(pair->chain); i++)
			tls_warn_dates(sk_X509_value(pair->chain, i), i + 2, &o->pair.cert, r);
	}
	if (ca->name.text.n && tls_certificates_read(list, ca, r))
		for (int i = 0; i < sk_X509_num(list); i++)
			tls_warn_dates(sk_X509_value(list, i), i + 1, ca, r);
	sk_X509_pop_free(list, X509_free);
	ERR_clear_error();
}

/* ---- connecting ---- */

void tls_connect(struct stream *s, struct tls_client *t, tls_done *done)
{
	struct tls_conn *c = tls_conn_new(s, t->context->ctx, done);

	c->client = tls_client_get(t);
	SSL_set_app_data(c->ssl, c);
	SSL_set_connect_state(c->ssl);
	if (t->name[0] && !t->is_address)
		BUG_ON(!SSL_set_tlsext_host_name(c->ssl, t->name));
	offer_session(t, c->ssl);
	loop_post(&c->work); /* ours is the first word */
}
