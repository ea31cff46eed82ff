#include "tls/priv.h"
#include <openssl/err.h>

enum { CLIENT_DEPTH_MAX = 10 }; /* of a client's chain */

/* ---- finding what exists ---- */

struct tls_hash tls_hash_begin(void)
{
	struct tls_hash h = {EVP_MD_CTX_new()};

	BUG_ON(!h.m || !EVP_DigestInit_ex(h.m, EVP_sha256(), NULL));
	return h;
}

void tls_hash_bytes(struct tls_hash h, const void *p, size_t n)
{
	uint64_t len = n;

	BUG_ON(!EVP_DigestUpdate(h.m, &len, sizeof len) || !EVP_DigestUpdate(h.m, p, n));
}

void tls_hash_str(struct tls_hash h, struct str s)
{
	tls_hash_bytes(h, s.p ? s.p : "", s.n);
}

void tls_hash_policy(struct tls_hash h, const struct tls_policy *p)
{
	const struct str strings[] = {p->ciphers.text, p->tls13_ciphers.text, p->curves.text, p->alpn};
	const uint64_t numbers[] = {
		(uint64_t)p->min_version,
		(uint64_t)p->max_version,
		p->options_set,
		p->options_clear,
	};

	tls_hash_bytes(h, numbers, sizeof numbers);
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
		tls_hash_str(h, strings[i]);
}

void tls_hash_end(struct tls_hash h, uint8_t out[32])
{
	BUG_ON(!EVP_DigestFinal_ex(h.m, out, NULL));
	EVP_MD_CTX_free(h.m);
}

/* Only what a configuration does not name is optional: an empty file is none. */
static bool is_named(const struct tls_file *f)
{
	return f->name.text.n > 0;
}

static void hash_inputs(uint8_t out[32], const struct tls_files *f, const struct tls_policy *p)
{
	const uint64_t numbers[] = {f->npairs, is_named(&f->ca), is_named(&f->client_ca)};
	struct tls_hash h = tls_hash_begin();

	tls_hash_bytes(h, numbers, sizeof numbers);
	tls_hash_policy(h, p);
	tls_hash_str(h, f->ca.pem);
	tls_hash_str(h, f->client_ca.pem);
	for (size_t i = 0; i < f->npairs; i++) {
		tls_hash_str(h, f->pairs[i].cert.pem);
		tls_hash_str(h, f->pairs[i].key.pem);
	}
	tls_hash_end(h, out);
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

/* For one kind of key there is one certificate: OpenSSL would forget the first of two. */
static bool is_new_kind(const struct tls_context *c, EVP_PKEY *key)
{
	for (size_t i = 0; i < c->npairs; i++)
		if (EVP_PKEY_is_a(X509_get0_pubkey(c->pairs[i].leaf), EVP_PKEY_get0_type_name(key)))
			return false;
	return true;
}

/* The pair goes into c. */
static bool use_pair(struct tls_context *c, struct tls_pair *pair, const struct tls_pair_files *f,
		     struct conf_report *r)
{
	const char *why;

	if (!is_new_kind(c, pair->key)) {
		conf_report_add(r, CONF_ERROR, f->cert.name.pos,
				"keep one of them: a second certificate is for another kind of key",
				"the key in \"%.*s\" is of the same kind as one before it (%s)",
				STR_ARG(f->key.name.text), EVP_PKEY_get0_type_name(pair->key));
		return false;
	}
	if (SSL_CTX_use_cert_and_key(c->ctx, pair->leaf, pair->key, pair->chain, 1) != 1) {
		why = ERR_reason_error_string(ERR_peek_last_error());
		conf_report_add(r, CONF_ERROR, f->cert.name.pos, NULL,
				"OpenSSL refuses a certificate in \"%.*s\": %s", STR_ARG(f->cert.name.text),
				why ? why : "unknown reason");
		return false;
	}
	EVP_PKEY_free(pair->key); /* OpenSSL has it, and nobody else needs it */
	pair->key = NULL;
	TAKE(c->pairs[c->npairs++], pair);
	return true;
}

bool tls_context_set_pairs(struct tls_context *c, const struct tls_files *f, struct conf_report *r)
{
	STACK_OF(X509) *pool = sk_X509_new_null();
	bool ok = true;

	BUG_ON(!pool || !f->npairs);
	if (is_named(&f->ca))
		ok = tls_certificates_read(pool, &f->ca, r);
	c->pairs = base_zalloc(f->npairs * sizeof *c->pairs);
	for (size_t i = 0; i < f->npairs; i++) {
		struct tls_pair pair;

		if (tls_pair_read(&pair, &f->pairs[i], pool, r) && use_pair(c, &pair, &f->pairs[i], r))
			continue;
		tls_pair_fini(&pair);
		ok = false;
	}
	sk_X509_pop_free(pool, X509_free);
	return ok;
}

/*
 * Clients need a certificate that leads up to one of these, whichever of them is a root: who is told to trust
 * an intermediate CA alone, trusts no other.
 */
static bool set_client_ca(struct tls_context *c, const struct tls_file *f, struct conf_report *r)
{
	X509_STORE *store = SSL_CTX_get_cert_store(c->ctx);
	STACK_OF(X509) *list = sk_X509_new_null();
	bool ok;

	BUG_ON(!list);
	ok = tls_certificates_read(list, f, r);
	for (int i = 0; ok && i < sk_X509_num(list); i++)
		BUG_ON(!X509_STORE_add_cert(store, sk_X509_value(list, i)) ||
		       !SSL_CTX_add_client_CA(c->ctx, sk_X509_value(list, i)));
	sk_X509_pop_free(list, X509_free);
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	X509_STORE_set_depth(store, CLIENT_DEPTH_MAX);
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	c->asks_client = true;
	return ok;
}

/*
 * A ticket stands for all that its first handshake proved and agreed on, so it must not be good where a
 * client has to prove something else, or where the suite it brings along is not wanted.
 */
static void set_sessions(struct tls_context *c, const struct tls_files *f, const struct tls_policy *p)
{
	struct tls_hash h = tls_hash_begin();

	tls_hash_str(h, f->client_ca.pem);
	tls_hash_end(h, c->client_ca);
	h = tls_hash_begin();
	tls_hash_str(h, STR("gatehouse"));
	tls_hash_bytes(h, c->client_ca, sizeof c->client_ca);
	tls_hash_str(h, p->ciphers.text);
	tls_hash_str(h, p->tls13_ciphers.text);
	tls_hash_end(h, c->sessions);
	BUG_ON(!SSL_CTX_set_session_id_context(c->ctx, c->sessions, sizeof c->sessions));
	tls_ticket_setup(c->ctx);
}

void tls_context_free(struct tls_context *c)
{
	SSL_CTX_free(c->ctx);
	for (size_t i = 0; i < c->npairs; i++)
		tls_pair_fini(&c->pairs[i]);
	free(c->pairs);
	free(c->groups);
	free(c->alpn);
	free(c);
}

static struct tls_context *build(const struct tls_files *f, const struct tls_policy *p, struct conf_report *r)
{
	struct tls_context *c = base_zalloc(sizeof *c);
	bool ok;

	c->ctx = SSL_CTX_new(TLS_server_method());
	BUG_ON(!c->ctx);
	c->refs = 1;
	ok = tls_policy_apply(c, p, r);
	if (f->npairs)
		ok &= tls_context_set_pairs(c, f, r);
	if (is_named(&f->client_ca))
		ok &= set_client_ca(c, &f->client_ca, r);
	ERR_clear_error();
	if (!ok) {
		tls_context_free(c);
		return NULL;
	}
	/* Our BIO takes whatever OpenSSL writes, so a write is never half done. */
	SSL_CTX_set_mode(c->ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_client_hello_cb(c->ctx, tls_client_hello, NULL);
	SSL_CTX_set_app_data(c->ctx, c);
	set_sessions(c, f, p);
	return c;
}

struct tls_context *tls_context_new(const struct tls_files *f, const struct tls_policy *p,
				    struct conf_report *r)
{
	struct tls_context *c;
	uint8_t hash[32];

	hash_inputs(hash, f, p);
	c = find(hash);
	if (c) {
		tls_w->stats.spared++;
		return tls_context_get(c);
	}
	c = build(f, p, r);
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
	tls_context_free(c);
}

bool tls_context_is_empty(const struct tls_context *c)
{
	return c->npairs == 0;
}

struct str tls_context_client_ca(const struct tls_context *c)
{
	return c->asks_client ? str_of((const char *)c->client_ca, sizeof c->client_ca) : STR_NONE;
}

/* ---- using ---- */

void tls_context_apply(SSL *ssl, const struct tls_context *c)
{
	if (SSL_get_SSL_CTX(ssl) == c->ctx)
		return;
	/* Brings certificates, TLS 1.2 ciphers, the store of client CAs, callbacks; nothing else. */
	BUG_ON(!SSL_set_SSL_CTX(ssl, c->ctx));
	SSL_clear_options(ssl, SSL_get_options(ssl) & ~c->options);
	SSL_set_options(ssl, c->options);
	SSL_set_verify(ssl, SSL_CTX_get_verify_mode(c->ctx), NULL);
	BUG_ON(!SSL_set_session_id_context(ssl, c->sessions, sizeof c->sessions));
	SSL_set_num_tickets(ssl, SSL_CTX_get_num_tickets(c->ctx));
	BUG_ON(!SSL_set1_groups_list(ssl, c->groups));
	BUG_ON(!SSL_set_min_proto_version(ssl, c->min_version));
	BUG_ON(!SSL_set_max_proto_version(ssl, c->max_version));
}
