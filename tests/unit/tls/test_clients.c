/*
 * Clients that have to show a certificate, wherever the vhost stands that asks for it; tickets, which never
 * cross from one such policy to another; and which of a vhost's certificates a client gets.
 */
#include "tests/unit/tls/rig.h"

static struct rig_cert cert;	     /* of most vhosts */
static struct rig_cert ca, other_ca; /* of clients */

static struct tls_context *context(const char *client_ca, struct tls_policy p)
{
	struct rig_files f;

	rig_files_init(&f, cert.pem, cert.key_pem);
	f.f.client_ca = rig_file("clients.crt", client_ca, 6);
	return rig_context_of(&f, p);
}

/* a.test and b.test in this order; puts both contexts. */
static struct tls_listener *pair_of(struct tls_context *a, struct tls_context *b, bool swapped)
{
	struct tls_name n[2];
	struct tls_listener *l;

	n[swapped] = (struct tls_name){ STR("a.test"), a };
	n[!swapped] = (struct tls_name){ STR("b.test"), b };
	l = tls_listener_new(n, 2, false);
	tls_context_put(a);
	tls_context_put(b);
	return l;
}

/* A client with this certificate (NULL: none). */
static SSL_CTX *client(int version, const struct rig_cert *c)
{
	SSL_CTX *ctx = rig_client_ctx(version);

	if (c) {
		assert_true(SSL_CTX_use_certificate(ctx, c->x));
		assert_true(SSL_CTX_use_PrivateKey(ctx, c->key));
	}
	return ctx;
}

/* One connection. Returns why it failed, "" when it did not; then *client_ca says what the client proved. */
static const char *attempt(struct tls_listener *l, SSL_CTX *ctx, const char *sni, char why[256],
			   uint8_t client_ca[32])
{
	struct rig r;

	rig_open(&r, l, ctx, sni, NULL);
	rig_until(&r, r.server.done);
	snprintf(why, 256, "%s", r.server.why);
	memset(client_ca, 0, 32);
	if (r.server.err == ERR_OK) {
		struct str proved = tls_stream_facts(r.s)->client_ca;

		assert_true(proved.n == 0 || proved.n == 32);
		if (proved.n)
			memcpy(client_ca, proved.p, 32);
	} else {
		assert_int_equal(r.server.err, ERR_TLS);
	}
	rig_close(&r);
	return why;
}

static void only_certificates_of_the_ca_are_let_in(void **state)
{
	struct rig_cert good = rig_cert_make("good", EVP_EC_gen("P-256"), &ca, -RIG_DAY_S, RIG_DAY_S);
	struct rig_cert rsa = rig_cert_make("rsa", EVP_RSA_gen(2048), &ca, -RIG_DAY_S, RIG_DAY_S);
	struct rig_cert foreign = rig_cert_make("bad", EVP_EC_gen("P-256"), &other_ca, -RIG_DAY_S, RIG_DAY_S);
	struct rig_cert old = rig_cert_make("old", EVP_EC_gen("P-256"), &ca, -2 * RIG_DAY_S, -RIG_DAY_S);
	struct rig_cert server = rig_cert_with("server", EVP_EC_gen("P-256"), &ca, -RIG_DAY_S, RIG_DAY_S,
					       "extendedKeyUsage=serverAuth");
	const struct {
		const struct rig_cert *c;
		const char *why;
	} rows[] = {
		{ &good, "" },
		{ &rsa, "" },
		{ NULL, "the client has sent no certificate (client-cert-required)" },
		{ &foreign,
		  "the client's certificate is not accepted: unable to get local issuer certificate" },
		{ &old, "the client's certificate is not accepted: certificate has expired" },
		{ &server, "the client's certificate is not accepted: unsuitable certificate purpose" },
	};
	char why[256];
	uint8_t proved[32], none[32] = { 0 };

	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
		for (int swapped = 0; swapped < 2; swapped++) { /* whichever SSL objects are made from */
			struct tls_context *asks = context(ca.pem, (struct tls_policy){ 0 });
			struct str fingerprint = tls_context_client_ca(asks);
			struct tls_listener *l =
				pair_of(asks, context(NULL, (struct tls_policy){ 0 }), swapped);

			assert_int_equal(fingerprint.n, 32);
			for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
				SSL_CTX *ctx = client(version, rows[i].c);

				assert_string_equal(attempt(l, ctx, "a.test", why, proved), rows[i].why);
				assert_memory_equal(proved, *why ? none : (const uint8_t *)fingerprint.p, 32);
				/* where nothing is asked for, nothing is proved */
				assert_string_equal(attempt(l, ctx, "b.test", why, proved), "");
				assert_memory_equal(proved, none, 32);
				SSL_CTX_free(ctx);
			}
			tls_listener_put(l);
		}
	rig_cert_fini(&good), rig_cert_fini(&rsa), rig_cert_fini(&foreign), rig_cert_fini(&old),
		rig_cert_fini(&server);
}

/* Who trusts one department's CA does not trust the company's. */
static void an_intermediate_ca_may_be_all_that_is_trusted(void **state)
{
	struct rig_cert part = rig_cert_with("part", EVP_EC_gen("P-256"), &ca, -RIG_DAY_S, RIG_DAY_S,
					     "basicConstraints=critical,CA:TRUE");
	struct rig_cert good = rig_cert_make("good", EVP_EC_gen("P-256"), &part, -RIG_DAY_S, RIG_DAY_S);
	struct rig_cert aside = rig_cert_make("aside", EVP_EC_gen("P-256"), &ca, -RIG_DAY_S, RIG_DAY_S);
	struct tls_listener *l = rig_listener(context(part.pem, (struct tls_policy){ 0 }));
	SSL_CTX *let_in = client(0, &good), *kept_out = client(0, &aside);
	uint8_t proved[32];
	char why[256];

	(void)state;
	assert_string_equal(attempt(l, let_in, "a.test", why, proved), "");
	assert_string_equal(
		attempt(l, kept_out, "a.test", why, proved),
		"the client's certificate is not accepted: unable to get local issuer certificate");
	SSL_CTX_free(let_in);
	SSL_CTX_free(kept_out);
	tls_listener_put(l);
	rig_cert_fini(&part), rig_cert_fini(&good), rig_cert_fini(&aside);
}

/* A handshake with `name` that offers `session`, and the ticket it brought. */
static bool resumes(struct tls_listener *l, SSL_CTX *ctx, const char *name, SSL_SESSION *session,
		    SSL_SESSION **out)
{
	bool resumed;
	struct rig r;

	rig_open(&r, l, ctx, name, session);
	rig_connect(&r);
	rig_send(&r, 1);
	rig_until(&r, r.client.read == 1);
	resumed = SSL_session_reused(r.ssl);
	assert_int_equal(tls_stream_facts(r.s)->resumed, resumed);
	if (out)
		*out = SSL_SESSION_up_ref(r.session) ? r.session : NULL;
	rig_close(&r);
	return resumed;
}

static void tickets_never_cross_a_policy(void **state)
{
	struct rig_cert good = rig_cert_make("good", EVP_EC_gen("P-256"), &ca, -RIG_DAY_S, RIG_DAY_S);
	struct rig_cert both = rig_cert_make("good", EVP_EC_gen("P-256"), &other_ca, -RIG_DAY_S, RIG_DAY_S);
	const struct tls_policy defaults = { 0 };
	/* a ticket of a.test, offered to b.test */
	const struct {
		const char *a, *b; /* client CAs */
		struct tls_policy policy_b;
		bool resumed;
	} rows[] = {
		{ NULL, NULL, { .min_version = 0 }, true },
		{ ca.pem, ca.pem, { .min_version = 0 }, true },
		{ NULL, ca.pem, { .min_version = 0 }, false },
		{ ca.pem, NULL, { .min_version = 0 }, false },
		{ ca.pem, other_ca.pem, { .min_version = 0 }, false },
		/* what does not matter to a session */
		{ NULL, NULL, { .curves = { .text = STR("P-256") } }, true },
		/* a suite comes with a session, and might be none of b.test's */
		{ NULL, NULL, { .ciphers = { .text = STR("ECDHE+CHACHA20") } }, false },
	};

	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			struct tls_listener *l = pair_of(context(rows[i].a, defaults),
							 context(rows[i].b, rows[i].policy_b), i % 2);
			SSL_CTX *ctx = client(version, &good);
			SSL_CTX *ctx_b = client(version, rows[i].b == other_ca.pem ? &both : &good);
			SSL_SESSION *session;

			assert_false(resumes(l, ctx, "a.test", NULL, &session));
			assert_non_null(session);
			/* a ticket is used once, so each try takes a copy */
			for (int to_b = 1; to_b >= 0; to_b--) {
				SSL_SESSION *copy = SSL_SESSION_dup(session);

				assert_int_equal(resumes(l, to_b ? ctx_b : ctx, to_b ? "b.test" : "a.test",
							 copy, NULL),
						 to_b ? rows[i].resumed : true);
				SSL_SESSION_free(copy);
			}
			SSL_SESSION_free(session);
			SSL_CTX_free(ctx);
			SSL_CTX_free(ctx_b);
			tls_listener_put(l);
		}
	rig_cert_fini(&good);
	rig_cert_fini(&both);
}

/* Who was let in by a ticket has proved the same as at first, and no one else has. */
static void a_ticket_carries_the_proof(void **state)
{
	struct rig_cert good = rig_cert_make("good", EVP_EC_gen("P-256"), &ca, -RIG_DAY_S, RIG_DAY_S);

	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct tls_context *asks = context(ca.pem, (struct tls_policy){ 0 });
		struct str fingerprint = tls_context_client_ca(asks);
		struct tls_listener *l = rig_listener(asks);
		SSL_CTX *ctx = client(version, &good), *bare = client(version, NULL);
		SSL_SESSION *session;
		struct rig r;

		resumes(l, ctx, "a.test", NULL, &session);
		rig_open(&r, l, bare, "a.test", session); /* it has the ticket, and does not need the key */
		rig_connect(&r);
		assert_true(tls_stream_facts(r.s)->resumed);
		assert_true(str_eq(tls_stream_facts(r.s)->client_ca, fingerprint));
		rig_close(&r);
		SSL_SESSION_free(session);
		SSL_CTX_free(ctx);
		SSL_CTX_free(bare);
		tls_listener_put(l);
	}
	rig_cert_fini(&good);
}

static const char *served_key(struct tls_listener *l, SSL_CTX *ctx, const char *sni)
{
	const char *type;
	struct rig r;
	X509 *x;

	rig_open(&r, l, ctx, sni, NULL);
	rig_connect(&r);
	x = SSL_get1_peer_certificate(r.ssl);
	type = EVP_PKEY_get0_type_name(X509_get0_pubkey(x)); /* static */
	X509_free(x);
	rig_close(&r);
	return type;
}

static void clients_choose_between_ecdsa_and_rsa(void **state)
{
	static const struct {
		int version;
		const char *ciphers, *algorithms, *key;
	} rows[] = {
		{ TLS1_3_VERSION, NULL, "ECDSA+SHA256:RSA-PSS+SHA256", "EC" },
		{ TLS1_3_VERSION, NULL, "ECDSA+SHA256", "EC" },
		{ TLS1_3_VERSION, NULL, "RSA-PSS+SHA256", "RSA" },
		{ TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDSA+SHA256:RSA+SHA256", "EC" },
		{ TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", "ECDSA+SHA256:RSA+SHA256", "RSA" },
		{ TLS1_2_VERSION, "ECDHE+AESGCM", "RSA+SHA256", "RSA" },
	};
	struct rig_cert ec = rig_cert_self("b.test");
	struct rig_cert rsa = rig_cert_make("b.test", EVP_RSA_gen(2048), NULL, -RIG_DAY_S, RIG_DAY_S);
	struct rig_files f[2];
	struct tls_listener *l[2];

	(void)state;
	rig_files_init(&f[0], ec.pem, ec.key_pem);
	rig_files_add(&f[0], rsa.pem, rsa.key_pem);
	rig_files_init(&f[1], rsa.pem, rsa.key_pem);
	rig_files_add(&f[1], ec.pem, ec.key_pem);
	for (size_t i = 0; i < 2;
	     i++) { /* in whichever order they are written, and wherever the vhost stands */
		struct tls_context *one = rig_context(&ec, (struct tls_policy){ 0 });

		l[i] = pair_of(one, rig_context_of(&f[i], (struct tls_policy){ 0 }), i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		SSL_CTX *ctx = rig_client_ctx(rows[i].version);

		if (rows[i].ciphers)
			assert_true(SSL_CTX_set_cipher_list(ctx, rows[i].ciphers));
		assert_true(SSL_CTX_set1_sigalgs_list(ctx, rows[i].algorithms));
		for (size_t k = 0; k < 2; k++)
			assert_string_equal(served_key(l[k], ctx, "b.test"), rows[i].key);
		SSL_CTX_free(ctx);
	}
	tls_listener_put(l[0]);
	tls_listener_put(l[1]);
	rig_cert_fini(&ec);
	rig_cert_fini(&rsa);
}

static int make_certs(void **state)
{
	(void)state;
	cert = rig_cert_self("a.test");
	ca = rig_cert_with("CA", EVP_EC_gen("P-256"), NULL, -2 * RIG_DAY_S, RIG_DAY_S,
			   "basicConstraints=critical,CA:TRUE");
	other_ca = rig_cert_with("Other CA", EVP_EC_gen("P-256"), NULL, -2 * RIG_DAY_S, RIG_DAY_S,
				 "basicConstraints=critical,CA:TRUE");
	return 0;
}

static int drop_certs(void **state)
{
	(void)state;
	rig_cert_fini(&cert);
	rig_cert_fini(&ca);
	rig_cert_fini(&other_ca);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(only_certificates_of_the_ca_are_let_in),
		RIG_TEST(an_intermediate_ca_may_be_all_that_is_trusted),
		RIG_TEST(tickets_never_cross_a_policy),
		RIG_TEST(a_ticket_carries_the_proof),
		RIG_TEST(clients_choose_between_ecdsa_and_rsa),
	};

	return cmocka_run_group_tests(tests, make_certs, drop_certs);
}
