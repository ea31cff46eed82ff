/* Contexts: what is refused and in which words, the chain that is sent, warnings, and finding one again. */
#include "tests/unit/tls/rig.h"

/* Each message as "COLUMN error: reason; remedy", in lines. */
static char *text_of(const struct conf_report *r)
{
	static const char *const severities[] = { "note", "warning", "error" };
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	for (size_t i = 0; i < r->n; i++) {
		const struct conf_message *m = &r->messages[i];

		fprintf(f, "%u %s: %.*s%s%.*s\n", m->pos.column, severities[m->severity], STR_ARG(m->reason),
			m->remedy.n ? "; " : "", STR_ARG(m->remedy));
	}
	fclose(f);
	return text;
}

/* "~" stands for OpenSSL's own words, up to the next ';' or the end of the line. */
static bool is_like(const char *text, const char *pattern)
{
	while (*pattern) {
		if (*pattern == '~') {
			size_t n = strcspn(text, ";\n");

			if (!n)
				return false;
			text += n;
			pattern++;
		} else if (*text++ != *pattern++) {
			return false;
		}
	}
	return !*text;
}

static void expect(struct conf_report *r, const char *pattern)
{
	char *text = text_of(r);

	if (!is_like(text, pattern))
		fail_msg("not\n%sbut\n%s", pattern, text);
	free(text);
	conf_report_fini(r);
	assert_int_equal(ERR_peek_error(), 0);
}

/* Must fail with exactly these lines. */
static void refused(const struct rig_files *f, struct tls_policy p, const char *lines)
{
	struct conf_report r;

	conf_report_init(&r);
	assert_null(tls_context_new(&f->f, &p, &r));
	expect(&r, lines);
}

static const struct tls_policy defaults;

static void refused_pair(const char *cert, const char *key, const char *lines)
{
	struct rig_files f;

	rig_files_init(&f, cert, key);
	refused(&f, defaults, lines);
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
	char *both = join(a.pem, b.pem, "");
	char cut[200];
	BIO *m = BIO_new(BIO_s_mem());
	char *locked;
	struct rig_files f;

	(void)state;
	refused_pair("", a.key_pem, "1 error: \"site.crt\" is empty\n");
	refused_pair(a.pem, "", "2 error: \"site.key\" is empty\n");
	refused_pair("hello", a.key_pem,
		     "1 error: \"site.crt\" holds no certificate; "
		     "it has to be PEM text: -----BEGIN CERTIFICATE-----\n");
	refused_pair(a.key_pem, a.pem,
		     "1 error: \"site.crt\" holds a private key, but no certificate; "
		     "are the two files swapped?\n"
		     "2 error: \"site.key\" holds no private key; are the two files swapped?\n");
	refused_pair(a.pem, "\n",
		     "2 error: \"site.key\" holds no private key; "
		     "it has to be PEM text: -----BEGIN PRIVATE KEY-----\n");
	snprintf(cut, sizeof cut, "%.150s\n-----END CERTIFICATE-----\n", a.pem);
	refused_pair(cut, a.key_pem,
		     "1 error: certificate 1 in \"site.crt\" cannot be read: ~; copy the file again\n");
	snprintf(cut, sizeof cut, "%.100s\n-----END PRIVATE KEY-----\n", a.key_pem);
	refused_pair(a.pem, cut,
		     "2 error: the private key in \"site.key\" cannot be read: ~; copy the file again\n");
	refused_pair(a.pem, b.key_pem,
		     "2 error: the key in \"site.key\" does not belong to the certificate in \"site.crt\"; "
		     "name the two files that were made together\n");
	refused_pair(both, b.key_pem,
		     "1 error: the key in \"site.key\" belongs to certificate 2 in \"site.crt\"; "
		     "put that one first\n");
	assert_true(PEM_write_bio_PrivateKey(m, a.key, EVP_aes_128_cbc(), (const unsigned char *)"x", 1, NULL,
					     NULL));
	locked = rig_text(m);
	refused_pair(a.pem, locked,
		     "2 error: \"site.key\" is encrypted, and there is nobody to ask for the passphrase; "
		     "decrypt it: openssl pkey -in OLD -out NEW\n");
	/* a file that is named has to be good, also when nothing depends on it */
	rig_files_init(&f, a.pem, a.key_pem);
	f.f.ca = rig_file("ca.crt", "junk", 5);
	f.f.client_ca = rig_file("clients.crt", "", 6);
	refused(&f, defaults,
		"5 error: \"ca.crt\" holds no certificate; "
		"it has to be PEM text: -----BEGIN CERTIFICATE-----\n"
		"6 error: \"clients.crt\" is empty\n");
	free(locked);
	free(both);
	rig_cert_fini(&a);
	rig_cert_fini(&b);
}

static void weak_keys_are_refused(void **state)
{
	struct rig_cert a = rig_cert_make("a.test", EVP_RSA_gen(1024), NULL, -RIG_DAY_S, RIG_DAY_S);

	(void)state;
	refused_pair(a.pem, a.key_pem,
		     "2 error: the key in \"site.key\" is too weak for any browser: RSA of 1024 bits; "
		     "use P-256, or RSA of 2048 bits or more, and get a new certificate for it\n");
	rig_cert_fini(&a);
}

#define POLICY(member, string) ((struct tls_policy){ .member = { STR(string), { "conf", 1, 30 } } })

static void bad_policies_name_their_place(void **state)
{
	struct rig_cert a = rig_cert_self("a.test");
	struct rig_files f;

	(void)state;
	rig_files_init(&f, a.pem, a.key_pem);
	refused(&f, POLICY(ciphers, "NONSENSE"),
		"30 error: OpenSSL finds no suite in \"NONSENSE\"; see: openssl ciphers -s -tls1_2\n");
	refused(&f, POLICY(ciphers, "ECDHE+AESGCM:eNULL"), "30 error: the suite ~; add :!aNULL:!eNULL\n");
	refused(&f, POLICY(ciphers, "ECDHE+AESGCM:aNULL:@SECLEVEL=0"),
		"30 error: the suite ~; add :!aNULL:!eNULL\n");
	refused(&f, POLICY(tls13_ciphers, "NONSENSE"),
		"30 error: OpenSSL finds no suite in \"NONSENSE\"; see: openssl ciphers -s -tls1_3\n");
	refused(&f, POLICY(curves, "P-256:P-257"),
		"30 error: OpenSSL does not know all of \"P-256:P-257\"; "
		"write them as in X25519:P-256:P-384\n");
	refused(&f, (struct tls_policy){ .max_version = TLS1_1_VERSION },
		"0 error: no TLS version is left; allow TLS 1.2 or TLS 1.3\n");
	refused(&f,
		(struct tls_policy){ .options_set = SSL_OP_NO_TLSv1_2 | SSL_OP_NO_TLSv1_3,
				     .set_pos = { "conf", 1, 31 } },
		"31 error: no TLS version is left; allow TLS 1.2 or TLS 1.3\n");
	/* all at once */
	f.pairs[0].key.pem = STR("");
	refused(&f,
		(struct tls_policy){ .ciphers = { STR("x"), { "conf", 1, 30 } },
				     .curves = { STR("y"), { "conf", 1, 31 } } },
		"30 error: OpenSSL finds no suite in \"x\"; see: openssl ciphers -s -tls1_2\n"
		"31 error: OpenSSL does not know all of \"y\"; write them as in X25519:P-256:P-384\n"
		"2 error: \"site.key\" is empty\n");
	rig_cert_fini(&a);
}

static void options_do_not_lower_the_floor(void **state)
{
	static const struct {
		uint64_t set, clear;
		const char *line;
	} rows[] = {
		{ 1, 0,
		  "1 error: SSL_OP_NO_EXTENDED_MASTER_SECRET: it takes away the protection of RFC 7627; "
		  "leave out the bit 1\n" },
		{ 256, 0,
		  "1 error: SSL_OP_ALLOW_CLIENT_RENEGOTIATION: renegotiation is never allowed; "
		  "leave out the bit 256\n" },
		{ 1024, 0,
		  "1 error: SSL_OP_ALLOW_NO_DHE_KEX: sessions would be resumed without forward secrecy; "
		  "leave out the bit 1024\n" },
		{ 262144, 0,
		  "1 error: SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION: renegotiation is never allowed; "
		  "leave out the bit 262144\n" },
		{ 8388608, 0,
		  "1 error: SSL_OP_TLS_ROLLBACK_BUG: an attacker could choose the version; "
		  "leave out the bit 8388608\n" },
		{ 0, 131072,
		  "2 error: SSL_OP_NO_COMPRESSION: compression is never allowed; "
		  "leave out the bit 131072\n" },
		{ 0, 33554432 | 67108864,
		  "2 error: SSL_OP_NO_SSLv3: TLS 1.2 is the lowest version; leave out the bit 33554432\n"
		  "2 error: SSL_OP_NO_TLSv1: TLS 1.2 is the lowest version; leave out the bit 67108864\n" },
		{ 0, 268435456,
		  "2 error: SSL_OP_NO_TLSv1_1: TLS 1.2 is the lowest version; "
		  "leave out the bit 268435456\n" },
		{ 0, 1073741824,
		  "2 error: SSL_OP_NO_RENEGOTIATION: renegotiation is never allowed; "
		  "leave out the bit 1073741824\n" },
	};
	struct rig_cert a = rig_cert_self("a.test");
	struct rig_files f;

	(void)state;
	rig_files_init(&f, a.pem, a.key_pem);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		refused(&f,
			(struct tls_policy){ .options_set = rows[i].set,
					     .options_clear = rows[i].clear,
					     .set_pos = { "conf", 1, 1 },
					     .clear_pos = { "conf", 1, 2 } },
			rows[i].line);
	rig_cert_fini(&a);
}

static int chain_length(const struct tls_context *c)
{
	STACK_OF(X509) *chain = NULL;

	SSL_CTX_get0_chain_certs(c->ctx, &chain);
	return sk_X509_num(chain) < 0 ? 0 : sk_X509_num(chain);
}

/* What is said about a context that can be used, by somebody who wants it for this name. */
static void warned(const struct rig_files *f, const char *name, const char *lines)
{
	struct tls_context *c = rig_context_of(f, defaults);
	struct conf_report r;

	conf_report_init(&r);
	tls_context_warn(c, &f->f, str_from_c(name), &r);
	expect(&r, lines);
	tls_context_put(c);
}

static void warned_pair(const struct rig_cert *c, const char *name, const char *lines)
{
	struct rig_files f;

	rig_files_init(&f, c->pem, c->key_pem);
	warned(&f, name, lines);
}

static void the_chain_is_completed_up_to_the_root(void **state)
{
	struct rig_cert root = rig_cert_self("root");
	struct rig_cert one = rig_cert_make("one", EVP_EC_gen("P-256"), &root, -RIG_DAY_S, RIG_DAY_S);
	struct rig_cert two = rig_cert_make("two", EVP_EC_gen("P-256"), &one, -RIG_DAY_S, RIG_DAY_S);
	struct rig_cert leaf = rig_cert_with("a.test", EVP_EC_gen("P-256"), &two, -RIG_DAY_S, RIG_DAY_S,
					     "subjectAltName=DNS:a.test");
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
		  "1 warning: certificate 2 in \"site.crt\" is not the issuer of certificate 1; "
		  "the order is: this host's certificate, its issuer's, that one's issuer's ...\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct tls_context *c;
		struct rig_files f;

		rig_files_init(&f, rows[i].cert, leaf.key_pem);
		f.f.ca = rig_file("ca.crt", rows[i].ca, 5);
		c = rig_context_of(&f, defaults);
		assert_int_equal(chain_length(c), rows[i].chain);
		warned(&f, "a.test", rows[i].warning);
		tls_context_put(c);
	}
	free(ca), free(full), free(part), free(wrong), free(with_key);
	rig_cert_fini(&root), rig_cert_fini(&one), rig_cert_fini(&two), rig_cert_fini(&leaf),
		rig_cert_fini(&other);
}

#define SAN "subjectAltName=DNS:a.test"

/* Its dates are told as they are in it: this one, of so many days from now. */
static void warned_date(const struct rig_cert *c, int days)
{
	time_t when = time(NULL) + days * RIG_DAY_S;
	struct tls_context *x = rig_context(c, defaults);
	struct conf_report r;
	struct rig_files f;
	char date[64], *text;

	rig_files_init(&f, c->pem, c->key_pem);
	conf_report_init(&r);
	tls_context_warn(x, &f.f, STR("a.test"), &r);
	text = text_of(&r);
	strftime(date, sizeof date, " %Y-%m-%d ", gmtime(&when));
	assert_non_null(strstr(text, date));
	free(text);
	conf_report_fini(&r);
	tls_context_put(x);
}

static void dates_are_warned_of(void **state)
{
	struct rig_cert old =
		rig_cert_with("a.test", EVP_EC_gen("P-256"), NULL, -2 * RIG_DAY_S, -RIG_DAY_S, SAN);
	struct rig_cert early =
		rig_cert_with("a.test", EVP_EC_gen("P-256"), NULL, RIG_DAY_S, 2 * RIG_DAY_S, SAN);

	(void)state;
	warned_pair(&old, "a.test",
		    "1 warning: certificate 1 in \"site.crt\" expired ~; renew it: clients refuse it\n");
	warned_date(&old, -1);
	warned_pair(&early, "a.test",
		    "1 warning: certificate 1 in \"site.crt\" is not valid before ~; "
		    "clients refuse it until then, or this machine's clock is wrong\n");
	warned_date(&early, 1);
	rig_cert_fini(&old);
	rig_cert_fini(&early);
}

#define REFUSED "; get one with this name in its subjectAltName: clients refuse this one\n"

static void names_are_warned_of(void **state)
{
	static const struct {
		const char *extensions, *name, *lines;
	} rows[] = {
		{ "subjectAltName=DNS:a.test", "a.test", "" },
		{ "subjectAltName=DNS:A.Test", "a.test", "" },
		{ "subjectAltName=DNS:*.b.test,DNS:a.test", "x.b.test", "" },
		{ "subjectAltName=DNS:*.b.test", "*.b.test", "" },
		{ "subjectAltName=IP:192.0.2.1", "192.0.2.1", "" },
		{ "subjectAltName=IP:2001:db8::1", "[2001:db8::1]", "" },
		{ "subjectAltName=DNS:x.b.test", "*.b.test",
		  "1 warning: the certificate in \"site.crt\" is not for \"*.b.test\", "
		  "but for x.b.test" REFUSED },
		{ "subjectAltName=DNS:*.b.test", "x.y.b.test",
		  "1 warning: the certificate in \"site.crt\" is not for \"x.y.b.test\", "
		  "but for *.b.test" REFUSED },
		{ "subjectAltName=DNS:a,DNS:b,DNS:c,DNS:d,DNS:e,DNS:f", "a.test",
		  "1 warning: the certificate in \"site.crt\" is not for \"a.test\", "
		  "but for a, b, c, d and 2 more" REFUSED },
		{ "subjectAltName=DNS:192.0.2.1", "192.0.2.1",
		  "1 warning: the certificate in \"site.crt\" is not for \"192.0.2.1\", "
		  "but for 192.0.2.1" REFUSED },
		/* the subject's name does not count any more */
		{ NULL, "a.test",
		  "1 warning: the certificate in \"site.crt\" is not for \"a.test\": "
		  "it names no host" REFUSED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig_cert c = rig_cert_with("a.test", EVP_EC_gen("P-256"), NULL, -RIG_DAY_S, RIG_DAY_S,
						  rows[i].extensions);

		warned_pair(&c, rows[i].name, rows[i].lines);
		rig_cert_fini(&c);
	}
}

static void other_purposes_and_missing_issuers_are_warned_of(void **state)
{
	struct rig_cert root = rig_cert_self("Some CA");
	struct rig_cert client = rig_cert_with("a.test", EVP_EC_gen("P-256"), &root, -RIG_DAY_S, RIG_DAY_S,
					       SAN " extendedKeyUsage=clientAuth");
	struct rig_cert alone = rig_cert_with("a.test", EVP_EC_gen("P-256"), &root, -RIG_DAY_S, RIG_DAY_S,
					      SAN " authorityInfoAccess=caIssuers;URI:http://ca.test/ca.crt");
	struct rig_cert next = rig_cert_make("next", EVP_EC_gen("P-256"), &root, -RIG_DAY_S, RIG_DAY_S);
	struct rig_cert below = rig_cert_with("a.test", EVP_EC_gen("P-256"), &next, -RIG_DAY_S, RIG_DAY_S,
					      SAN " authorityInfoAccess=caIssuers;URI:http://ca.test/ca.crt");
	struct rig_files f;

	(void)state;
	warned_pair(&client, "a.test",
		    "1 warning: the certificate in \"site.crt\" is not for servers (key usage); "
		    "get one for TLS servers: clients refuse this one\n");
	warned_pair(&alone, "a.test",
		    "1 warning: the chain in \"site.crt\" is incomplete: the issuer \"Some CA\" is missing; "
		    "append its issuer's certificate to the file, or name a file with it in "
		    "\"host-ssl-ca\"\n");
	rig_files_init(&f, below.pem, below.key_pem);
	f.f.ca = rig_file("ca.crt", next.pem, 5);
	warned(&f, "a.test", "");
	rig_cert_fini(&root), rig_cert_fini(&client), rig_cert_fini(&alone), rig_cert_fini(&next),
		rig_cert_fini(&below);
}

static void one_certificate_for_each_kind_of_key(void **state)
{
	struct rig_cert ec = rig_cert_self("a.test"), other_ec = rig_cert_self("a.test");
	struct rig_cert rsa = rig_cert_make("a.test", EVP_RSA_gen(2048), NULL, -RIG_DAY_S, RIG_DAY_S);
	struct rig_cert ed = rig_cert_make("a.test", EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL,
					   -RIG_DAY_S, RIG_DAY_S);
	struct rig_files f;
	struct tls_context *c;

	(void)state;
	rig_files_init(&f, ec.pem, ec.key_pem);
	rig_files_add(&f, rsa.pem, rsa.key_pem);
	c = rig_context_of(&f, defaults);
	assert_int_equal(c->npairs, 2);
	tls_context_put(c);
	/* warnings are about each of them, at its place */
	warned(&f, "a.test",
	       "1 warning: the certificate in \"site.crt\" is not for \"a.test\": it names no host" REFUSED
	       "11 warning: the certificate in \"second.crt\" is not for \"a.test\": "
	       "it names no host" REFUSED);
	rig_files_add(&f, ec.pem, ec.key_pem);
	refused(&f, defaults,
		"21 error: the key in \"second.key\" is of the same kind as one before it (EC); "
		"keep one of them: a second certificate is for another kind of key\n");
	rig_files_init(&f, ec.pem, ec.key_pem);
	rig_files_add(&f, other_ec.pem, other_ec.key_pem);
	refused(&f, defaults,
		"11 error: the key in \"second.key\" is of the same kind as one before it (EC); "
		"keep one of them: a second certificate is for another kind of key\n");
	/* keys in another order than their certificates */
	rig_files_init(&f, ec.pem, rsa.key_pem);
	rig_files_add(&f, rsa.pem, ec.key_pem);
	refused(&f, defaults,
		"2 error: the key in \"site.key\" does not belong to the certificate in \"site.crt\"; "
		"name the two files that were made together\n"
		"12 error: the key in \"second.key\" does not belong to the certificate in \"second.crt\"; "
		"name the two files that were made together\n");
	rig_files_init(&f, rsa.pem, rsa.key_pem);
	rig_files_add(&f, ed.pem, ed.key_pem);
	tls_context_put(rig_context_of(&f, defaults));
	rig_cert_fini(&ec), rig_cert_fini(&other_ec), rig_cert_fini(&rsa), rig_cert_fini(&ed);
}

static void equal_inputs_are_one_context(void **state)
{
	struct rig_cert a = rig_cert_self("a.test");
	struct rig_cert b = rig_cert_make("a.test", EVP_RSA_gen(2048), NULL, -RIG_DAY_S, RIG_DAY_S);
	struct tls_context *one = rig_context(&a, defaults), *two = rig_context(&a, defaults);
	/* each differs in one input, and none may be taken for another by a byte moved between two of them */
	struct tls_policy p[] = {
		{ .ciphers = { .text = STR("ECDHE+AESGCM") } },
		{ .tls13_ciphers = { .text = STR("TLS_AES_128_GCM_SHA256") } },
		{ .curves = { .text = STR("P-256") } },
		{ .alpn = STR("h2") },
		{ .min_version = TLS1_3_VERSION },
		{ .max_version = TLS1_2_VERSION },
		{ .options_set = SSL_OP_NO_TICKET },
		{ .options_clear = SSL_OP_NO_TICKET },
	};
	struct tls_context *all[ARRAY_SIZE(p)];
	struct rig_files f[3];

	(void)state;
	assert_ptr_equal(one, two);
	assert_int_equal(tls_stats()->contexts, 1);
	assert_int_equal(tls_stats()->spared, 1);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		all[i] = rig_context(&a, p[i]);
		assert_int_equal(tls_stats()->contexts, i + 2);
	}
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		tls_context_put(all[i]);
	/* the same for files */
	for (size_t i = 0; i < ARRAY_SIZE(f); i++)
		rig_files_init(&f[i], a.pem, a.key_pem);
	rig_files_add(&f[0], b.pem, b.key_pem);
	f[1].f.ca = rig_file("ca.crt", a.pem, 5);
	f[2].f.client_ca = rig_file("ca.crt", a.pem, 6);
	for (size_t i = 0; i < ARRAY_SIZE(f); i++) {
		all[i] = rig_context_of(&f[i], defaults);
		assert_int_equal(tls_stats()->contexts, i + 2);
	}
	for (size_t i = 0; i < ARRAY_SIZE(f); i++)
		tls_context_put(all[i]);
	/* held by one of the two, it is still found; by none, it is gone */
	tls_context_put(one);
	assert_ptr_equal(rig_context(&a, defaults), two);
	tls_context_put(two);
	tls_context_put(two);
	assert_int_equal(tls_stats()->contexts, 0);
	rig_cert_fini(&a);
	rig_cert_fini(&b);
}

static void the_defaults_are_strict(void **state)
{
	struct rig_cert a = rig_cert_self("a.test");
	struct tls_context *c = rig_context(&a, (struct tls_policy){
							.min_version = TLS1_VERSION, /* below the floor */
						});
	STACK_OF(SSL_CIPHER) *list = SSL_CTX_get_ciphers(c->ctx);

	(void)state;
	assert_int_equal(SSL_CTX_get_min_proto_version(c->ctx), TLS1_2_VERSION);
	assert_int_equal(SSL_CTX_get_max_proto_version(c->ctx), TLS1_3_VERSION);
	assert_true(SSL_CTX_get_options(c->ctx) & SSL_OP_NO_RENEGOTIATION);
	assert_true(SSL_CTX_get_options(c->ctx) & SSL_OP_NO_COMPRESSION);
	assert_true(SSL_CTX_get_options(c->ctx) & SSL_OP_CIPHER_SERVER_PREFERENCE);
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
		RIG_TEST(bad_policies_name_their_place),
		RIG_TEST(options_do_not_lower_the_floor),
		RIG_TEST(one_certificate_for_each_kind_of_key),
		RIG_TEST(names_are_warned_of),
		RIG_TEST(other_purposes_and_missing_issuers_are_warned_of),
		RIG_TEST(the_chain_is_completed_up_to_the_root),
		RIG_TEST(dates_are_warned_of),
		RIG_TEST(equal_inputs_are_one_context),
		RIG_TEST(the_defaults_are_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
