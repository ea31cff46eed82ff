/* Contexts: what is refused and in which words, the chain that is sent, warnings, and finding one again. */
#include "tests/unit/tls/rig.h"

/* Must fail with exactly this line; "*" at its end stands for OpenSSL's own words. */
static void refused(struct tls_files f, struct tls_policy p, const char *line)
{
	char err[512] = "";
	size_t n = strlen(line);
	struct tls_context *c = tls_context_new(&f, &p, err, sizeof err);

	assert_null(c);
	if (line[n - 1] == '*') {
		assert_true(strlen(err) > n - 1);
		err[n - 1] = '*';
		err[n] = 0;
	}
	assert_string_equal(err, line);
	assert_null(strchr(err, '\n'));
	assert_int_equal(ERR_peek_error(), 0);
}

static char *join(const char *a, const char *b, const char *c)
{
	size_t n = strlen(a) + strlen(b) + strlen(c) + 1;
	char *p = base_alloc(n);

	snprintf(p, n, "%s%s%s", a, b, c);
	return p;
}

static void bad_files_are_named_with_the_remedy(void **state)
{
	struct rig_cert a = rig_cert_self("a.test"), b = rig_cert_self("b.test");
	struct tls_policy p = { .min_version = 0 };
	char *both = join(a.pem, b.pem, "");
	char cut[200];
	BIO *m = BIO_new(BIO_s_mem());
	char *locked;

	(void)state;
	refused(rig_files("", a.key_pem, NULL), p, "site.crt: the file is empty");
	refused(rig_files(a.pem, "", NULL), p, "site.key: the file is empty");
	refused(rig_files("hello", a.key_pem, NULL), p,
		"site.crt: no certificate in it; it has to be PEM text (-----BEGIN CERTIFICATE-----)");
	refused(rig_files(a.key_pem, a.pem, NULL), p,
		"site.crt: holds a private key but no certificate; are the two files swapped?");
	refused(rig_files(a.pem, a.pem, NULL), p,
		"site.key: no private key in it; it has to be PEM text (-----BEGIN PRIVATE KEY-----); "
		"are the two files swapped?");
	refused(rig_files(a.pem, "\n", NULL), p,
		"site.key: no private key in it; it has to be PEM text (-----BEGIN PRIVATE KEY-----)");
	snprintf(cut, sizeof cut, "%.150s\n-----END CERTIFICATE-----\n", a.pem);
	refused(rig_files(cut, a.key_pem, NULL), p, "site.crt: certificate 1 in it cannot be read (*");
	snprintf(cut, sizeof cut, "%.100s\n-----END PRIVATE KEY-----\n", a.key_pem);
	refused(rig_files(a.pem, cut, NULL), p, "site.key: the private key cannot be read (*");
	refused(rig_files(a.pem, a.key_pem, "junk"), p,
		"ca.crt: no certificate in it; it has to be PEM text (-----BEGIN CERTIFICATE-----)");
	refused(rig_files(a.pem, b.key_pem, NULL), p,
		"site.crt: the key in site.key does not belong to this certificate; "
		"name the files that were made together");
	refused(rig_files(both, b.key_pem, NULL), p,
		"site.crt: the key in site.key belongs to certificate 2 in here; put that one first");
	assert_true(PEM_write_bio_PrivateKey(m, a.key, EVP_aes_128_cbc(), (const unsigned char *)"x", 1, NULL,
					     NULL));
	locked = rig_text(m);
	refused(rig_files(a.pem, locked, NULL), p,
		"site.key: the key is encrypted, and there is nobody to ask for the passphrase; decrypt it: "
		"openssl pkey -in OLD -out NEW");
	free(locked);
	free(both);
	rig_cert_fini(&a);
	rig_cert_fini(&b);
}

static void weak_keys_are_refused(void **state)
{
	struct rig_cert a = rig_cert_make("a.test", EVP_RSA_gen(1024), NULL, -RIG_DAY_S, RIG_DAY_S);

	(void)state;
	refused(rig_files(a.pem, a.key_pem, NULL), (struct tls_policy){ 0 },
		"site.key: a RSA key of 1024 bits is too weak for any browser; use P-256, "
		"or RSA of 2048 bits or more, and get a new certificate for it");
	rig_cert_fini(&a);
}

static void bad_policies_name_their_key(void **state)
{
	struct rig_cert a = rig_cert_self("a.test");
	struct tls_files f = rig_files(a.pem, a.key_pem, NULL);

	(void)state;
	refused(f, (struct tls_policy){ .ciphers = STR("NONSENSE") },
		"ciphers: OpenSSL finds none in \"NONSENSE\"; see: openssl ciphers -s -tls1_2");
	refused(f, (struct tls_policy){ .tls13_ciphers = STR("NONSENSE") },
		"tls13-ciphers: OpenSSL finds none in \"NONSENSE\"; see: openssl ciphers -s -tls1_3");
	refused(f, (struct tls_policy){ .curves = STR("P-256:P-257") },
		"ecdh-curve: OpenSSL does not know all of \"P-256:P-257\"; as in \"X25519:P-256:P-384\"");
	refused(f, (struct tls_policy){ .alpn = STR("h2,,http/1.1") },
		"alpn: a protocol's name has 1 to 255 bytes, as in \"h2, http/1.1\"");
	refused(f, (struct tls_policy){ .max_version = TLS1_1_VERSION },
		"no TLS version is left; allow TLS 1.2 or TLS 1.3");
	refused(f, (struct tls_policy){ .options_set = SSL_OP_NO_TLSv1_2 | SSL_OP_NO_TLSv1_3 },
		"no TLS version is left; allow TLS 1.2 or TLS 1.3");
	rig_cert_fini(&a);
}

static int chain_length(const struct tls_context *c)
{
	STACK_OF(X509) *chain = NULL;

	SSL_CTX_get0_chain_certs(c->ctx, &chain);
	return sk_X509_num(chain) < 0 ? 0 : sk_X509_num(chain);
}

static struct tls_context *make(const char *cert, const char *key, const char *ca)
{
	struct tls_files f = rig_files(cert, key, ca);
	struct tls_policy p = { .min_version = 0 };
	char err[512] = "";
	struct tls_context *c = tls_context_new(&f, &p, err, sizeof err);

	assert_string_equal(err, "");
	return c;
}

static void the_chain_is_completed_up_to_the_root(void **state)
{
	struct rig_cert root = rig_cert_self("root");
	struct rig_cert one = rig_cert_make("one", EVP_EC_gen("P-256"), &root, -RIG_DAY_S, RIG_DAY_S);
	struct rig_cert two = rig_cert_make("two", EVP_EC_gen("P-256"), &one, -RIG_DAY_S, RIG_DAY_S);
	struct rig_cert leaf = rig_cert_make("a.test", EVP_EC_gen("P-256"), &two, -RIG_DAY_S, RIG_DAY_S);
	struct rig_cert other = rig_cert_self("other");
	char *ca = join(root.pem, one.pem, two.pem), *full = join(leaf.pem, two.pem, one.pem);
	char *part = join(leaf.pem, two.pem, ""), *wrong = join(leaf.pem, one.pem, two.pem);
	char *with_key = join(leaf.key_pem, leaf.pem, two.pem);
	struct {
		const char *cert, *ca;
		int chain;
		const char *warning;
	} rows[] = {
		{ leaf.pem, NULL, 0, "" },
		{ full, NULL, 2, "" },
		{ leaf.pem, ca, 2, "" },
		{ part, ca, 2, "" },
		{ full, ca, 2, "" },
		{ leaf.pem, other.pem, 0, "" },
		{ with_key, NULL, 1, "" },
		{ wrong, NULL, 2,
		  "site.crt: certificate 2 is not the issuer of certificate 1; "
		  "the order is leaf, then each one's issuer" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tls_context *c = make(rows[i].cert, leaf.key_pem, rows[i].ca);
		char text[512];

		assert_non_null(c);
		assert_int_equal(chain_length(c), rows[i].chain);
		assert_int_equal(tls_context_warn(c, text, sizeof text), rows[i].warning[0] != 0);
		assert_string_equal(text, rows[i].warning);
		tls_context_put(c);
	}
	free(ca), free(full), free(part), free(wrong), free(with_key);
	rig_cert_fini(&root), rig_cert_fini(&one), rig_cert_fini(&two), rig_cert_fini(&leaf),
		rig_cert_fini(&other);
}

static void dates_are_warned_of(void **state)
{
	struct rig_cert old = rig_cert_make("a.test", EVP_EC_gen("P-256"), NULL, -2 * RIG_DAY_S, -RIG_DAY_S);
	struct rig_cert early = rig_cert_make("a.test", EVP_EC_gen("P-256"), NULL, RIG_DAY_S, 2 * RIG_DAY_S);
	struct tls_context *c;
	char text[512];

	(void)state;
	c = make(old.pem, old.key_pem, NULL);
	assert_true(tls_context_warn(c, text, sizeof text));
	assert_non_null(strstr(text, "site.crt: certificate 1 expired 2"));
	assert_non_null(strstr(text, " UTC; clients refuse it, renew it"));
	tls_context_put(c);
	c = make(early.pem, early.key_pem, NULL);
	assert_true(tls_context_warn(c, text, sizeof text));
	assert_non_null(strstr(text, "site.crt: certificate 1 is not valid before 2"));
	tls_context_put(c);
	rig_cert_fini(&old);
	rig_cert_fini(&early);
}

static void equal_inputs_are_one_context(void **state)
{
	struct rig_cert a = rig_cert_self("a.test");
	struct tls_context *one = make(a.pem, a.key_pem, NULL), *two = make(a.pem, a.key_pem, NULL);
	struct tls_files f = rig_files(a.pem, a.key_pem, NULL);
	char err[512];
	/* each differs in one input, and none may be taken for another by a byte moved between two of them */
	struct tls_policy p[] = {
		{ .ciphers = STR("ECDHE+AESGCM") },  { .tls13_ciphers = STR("TLS_AES_128_GCM_SHA256") },
		{ .curves = STR("P-256") },	     { .alpn = STR("h2") },
		{ .min_version = TLS1_3_VERSION },   { .max_version = TLS1_2_VERSION },
		{ .options_set = SSL_OP_NO_TICKET }, { .options_clear = SSL_OP_NO_TICKET },
	};
	struct tls_context *all[ARRAY_SIZE(p)];

	(void)state;
	assert_ptr_equal(one, two);
	assert_int_equal(tls_stats()->contexts, 1);
	assert_int_equal(tls_stats()->spared, 1);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		all[i] = tls_context_new(&f, &p[i], err, sizeof err);
		assert_non_null(all[i]);
		assert_int_equal(tls_stats()->contexts, i + 2);
	}
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		tls_context_put(all[i]);
	/* held by one of the two, it is still found; by none, it is gone */
	tls_context_put(one);
	assert_ptr_equal(make(a.pem, a.key_pem, NULL), two);
	tls_context_put(two);
	tls_context_put(two);
	assert_int_equal(tls_stats()->contexts, 0);
	rig_cert_fini(&a);
}

static void the_defaults_are_strict(void **state)
{
	struct rig_cert a = rig_cert_self("a.test");
	struct tls_context *c =
		rig_context(&a, (struct tls_policy){
					.min_version = TLS1_VERSION, /* below the floor */
					.options_clear = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION,
				});
	STACK_OF(SSL_CIPHER) *list = SSL_CTX_get_ciphers(c->ctx);

	(void)state;
	assert_int_equal(SSL_CTX_get_min_proto_version(c->ctx), TLS1_2_VERSION);
	assert_int_equal(SSL_CTX_get_max_proto_version(c->ctx), TLS1_3_VERSION);
	assert_true(SSL_CTX_get_options(c->ctx) & SSL_OP_NO_RENEGOTIATION);
	assert_true(SSL_CTX_get_options(c->ctx) & SSL_OP_NO_COMPRESSION);
	assert_false(SSL_CTX_get_options(c->ctx) & SSL_OP_CIPHER_SERVER_PREFERENCE);
	assert_int_equal(SSL_CTX_get_session_cache_mode(c->ctx), SSL_SESS_CACHE_OFF);
	assert_int_equal(sk_SSL_CIPHER_num(list), 3 + 6);
	for (int i = 0; i < sk_SSL_CIPHER_num(list); i++) {
		const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(list, i);

		assert_true(SSL_CIPHER_is_aead(cipher));
		assert_true(SSL_CIPHER_get_kx_nid(cipher) == NID_kx_ecdhe ||
			    SSL_CIPHER_get_kx_nid(cipher) == NID_kx_any);
	}
	tls_context_put(c);
	rig_cert_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(bad_files_are_named_with_the_remedy),
		RIG_TEST(weak_keys_are_refused),
		RIG_TEST(bad_policies_name_their_key),
		RIG_TEST(the_chain_is_completed_up_to_the_root),
		RIG_TEST(dates_are_warned_of),
		RIG_TEST(equal_inputs_are_one_context),
		RIG_TEST(the_defaults_are_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
