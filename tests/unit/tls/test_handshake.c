/* Handshakes: both versions, SNI, ALPN, and every way in which they fail. */
#include "tests/unit/tls/rig.h"
#include <ctype.h>

static struct rig_cert cert; /* of most tests */

static struct tls_listener *plain_listener(void)
{
	return rig_listener(rig_context(&cert, (struct tls_policy){ 0 }));
}

static void both_versions(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct tls_listener *l = plain_listener();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		SSL_CTX *ctx = rig_client_ctx(versions[i]);
		const struct tls_facts *facts;
		struct rig r;

		rig_open(&r, l, ctx, "A.Test.", NULL);
		assert_null(tls_stream_facts(r.s));
		assert_int_equal(r.server.done, 0); /* never from inside tls_accept */
		rig_connect(&r);
		assert_int_equal(r.server.done, 1);
		facts = tls_stream_facts(r.s);
		assert_int_equal(facts->version, versions[i]);
		assert_true(str_eq(facts->sni, STR("a.test")));
		assert_int_equal(facts->alpn.n, 0);
		assert_false(facts->resumed);
		assert_string_equal(facts->cipher, SSL_get_cipher_name(r.ssl));
		assert_null(tls_stream_why(r.s));
		rig_close(&r);
		SSL_CTX_free(ctx);
	}
	assert_int_equal(tls_stats()->handshakes, 2);
	tls_listener_put(l);
}

/* The bytes of both sides pass one at a time, through the test's hands. */
static void byte_at_a_time(void **state)
{
	struct tls_listener *l = plain_listener();
	SSL_CTX *ctx = rig_client_ctx(TLS1_3_VERSION);
	BIO *to = BIO_new(BIO_s_mem()), *from = BIO_new(BIO_s_mem());
	struct rig r;
	char c;

	(void)state;
	rig_open_raw(&r, l);
	r.ssl = SSL_new(ctx);
	SSL_set_app_data(r.ssl, &r);
	SSL_set_bio(r.ssl, from, to);
	SSL_set_connect_state(r.ssl);
	r.client.to_write = 300;
	while (!r.server.done || r.server_side.read < 300) {
		if (SSL_do_handshake(r.ssl) == 1)
			rig_client_write(&r);
		while (BIO_read(to, &c, 1) == 1) {
			assert_int_equal(write(r.fd, &c, 1), 1);
			loop_turn(0);
		}
		while (read(r.fd, &c, 1) == 1)
			assert_int_equal(BIO_write(from, &c, 1), 1);
	}
	assert_int_equal(r.server.err, ERR_OK);
	rig_close(&r);
	SSL_CTX_free(ctx);
	tls_listener_put(l);
}

/* The certificate that a client with this SNI gets, or what both sides say about it. */
static const char *served(struct tls_listener *l, const char *sni, char name[520])
{
	SSL_CTX *ctx = rig_client_ctx(0);
	struct rig r;

	rig_open(&r, l, ctx, sni, NULL);
	rig_until(&r, r.server.done && (r.client_failed || SSL_is_init_finished(r.ssl)));
	name[0] = 0;
	if (r.server.err == ERR_OK) {
		X509 *x = SSL_get1_peer_certificate(r.ssl);

		X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, name, 520);
		X509_free(x);
	} else {
		snprintf(name, 520, "%s|%s", r.server.why, r.client_error);
	}
	rig_close(&r);
	SSL_CTX_free(ctx);
	return name;
}

static void sni_chooses_the_certificate(void **state)
{
	static const char *const names[] = { "first.test", "b.test", "*.b.test", "c.test" };
	static const char *const rows[][2] = {
		{ NULL, "first.test" },	  { "first.test", "first.test" }, { "unknown.test", "first.test" },
		{ "B.TEST", "b.test" },	  { "b.test.", "b.test" },	  { "x.b.test", "*.b.test" },
		{ "x.c.test", "c.test" }, { "x.y.c.test", "c.test" },
	};
	struct tls_name n[ARRAY_SIZE(names)];
	struct tls_listener *loose, *strict;
	char name[520];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct rig_cert c = rig_cert_self(names[i]);

		n[i] = (struct tls_name){ str_from_c(names[i]),
					  rig_context(&c, (struct tls_policy){ .min_version = 0 }) };
		rig_cert_fini(&c);
	}
	loose = tls_listener_new(n, ARRAY_SIZE(n), false);
	strict = tls_listener_new(n, ARRAY_SIZE(n), true);
	for (size_t i = 0; i < ARRAY_SIZE(n); i++)
		tls_context_put(n[i].context);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(served(loose, rows[i][0], name), rows[i][1]);
	assert_string_equal(served(strict, NULL, name), "first.test");
	assert_string_equal(served(strict, "x.b.test", name), "*.b.test");
	assert_string_equal(served(strict, "unknown.test", name),
			    "no vhost of the name unknown.test here|tlsv1 unrecognized name");
	tls_listener_put(loose);
	tls_listener_put(strict);
}

/*
 * Switching the context must bring all of a vhost's policy: here the first vhost differs from the second in
 * everything, and each is stricter than the other in something.
 */
static void sni_brings_the_whole_policy(void **state)
{
	struct rig_cert one = rig_cert_self("one.test"), two = rig_cert_self("two.test");
	struct tls_name n[] = {
		{ STR("one.test"),
		  rig_context(&one,
			      (struct tls_policy){ .min_version = TLS1_3_VERSION,
						   .tls13_ciphers = { .text = STR("TLS_AES_256_GCM_SHA384") },
						   .curves = { .text = STR("P-384") },
						   .options_set = SSL_OP_NO_TICKET,
						   .alpn = STR("one") }) },
		{ STR("two.test"),
		  rig_context(
			  &two,
			  (struct tls_policy){ .max_version = TLS1_2_VERSION,
					       .ciphers = { .text = STR("ECDHE-ECDSA-AES128-GCM-SHA256") },
					       .curves = { .text = STR("P-256") },
					       .alpn = STR("two") }) },
	};
	struct tls_name swapped[] = { n[1], n[0] };
	struct tls_listener *l[] = { tls_listener_new(n, 2, false), tls_listener_new(swapped, 2, false) };

	(void)state;
	for (size_t i = 0; i < 2; i++) { /* whichever is the one that SSL objects are made from */
		SSL_CTX *ctx = rig_client_ctx(0);
		struct rig r;

		SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\3two\3one", 8);
		rig_open(&r, l[i], ctx, "one.test", NULL);
		rig_connect(&r);
		assert_int_equal(SSL_version(r.ssl), TLS1_3_VERSION);
		assert_string_equal(SSL_get_cipher_name(r.ssl), "TLS_AES_256_GCM_SHA384");
		assert_int_equal(SSL_get_negotiated_group(r.ssl), NID_secp384r1);
		assert_true(str_eq(tls_stream_facts(r.s)->alpn, STR("one")));
		rig_send(&r, 10);
		rig_until(&r, r.client.read == 10);
		assert_int_equal(r.tickets, 0);
		rig_close(&r);

		rig_open(&r, l[i], ctx, "two.test", NULL);
		rig_connect(&r);
		assert_int_equal(SSL_version(r.ssl), TLS1_2_VERSION);
		assert_string_equal(SSL_get_cipher_name(r.ssl), "ECDHE-ECDSA-AES128-GCM-SHA256");
		assert_true(str_eq(tls_stream_facts(r.s)->alpn, STR("two")));
		assert_int_equal(r.tickets, 1);
		rig_close(&r);
		SSL_CTX_free(ctx);
	}
	tls_listener_put(l[0]);
	tls_listener_put(l[1]);
	tls_context_put(n[0].context);
	tls_context_put(n[1].context);
	rig_cert_fini(&one);
	rig_cert_fini(&two);
}

static void alpn_is_ours_to_choose(void **state)
{
	static const struct {
		const char *ours, *offer, *chosen; /* chosen NULL: refused */
	} rows[] = {
		{ "", "\x08http/1.1", "http/1.1" },
		{ "", "\x08http/1.1\x02h2", "h2" },
		{ "h2, http/1.1", "\x08http/1.1\x02h2", "h2" },
		{ "http/1.1,h2", "\x02h2\x08http/1.1", "http/1.1" },
		{ "h2", "\x08http/1.1", NULL },
		{ "", "\x08http/1.0", "http/1.0" },
		{ "http/1.1", "\x08http/1.0\x08http/1.1", "http/1.1" },
		{ "h2", "\x08http/1.0", NULL },
		{ "", "\x08http/0.9", NULL },
		{ "h2", "", "" },
		{ "h2,http/1.1", "\x02h3\x08http/1.1", "http/1.1" },
	};

	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
		for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
			struct tls_listener *l = rig_listener(
				rig_context(&cert, (struct tls_policy){ .alpn = str_from_c(rows[i].ours) }));
			SSL_CTX *ctx = rig_client_ctx(version);
			struct rig r;

			if (rows[i].offer[0])
				SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)rows[i].offer,
							(unsigned)strlen(rows[i].offer));
			rig_open(&r, l, ctx, NULL, NULL);
			if (rows[i].chosen) {
				rig_connect(&r);
				assert_true(str_eq(tls_stream_facts(r.s)->alpn, str_from_c(rows[i].chosen)));
			} else {
				rig_fail(&r);
				assert_int_equal(r.server.err, ERR_TLS);
				assert_string_equal(r.server.why,
						    "none of the protocols that the client offers (ALPN)");
				assert_string_equal(r.client_error, "tlsv1 alert no application protocol");
			}
			rig_close(&r);
			SSL_CTX_free(ctx);
			tls_listener_put(l);
		}
}

/* The client's key share is for a group that is not ours: HelloRetryRequest, and a second hello. */
static void a_second_hello(void **state)
{
	struct tls_name n[] = {
		{ STR("first.test"),
		  rig_context(&cert, (struct tls_policy){ .curves = { .text = STR("P-384") } }) },
		{ STR("a.test"),
		  rig_context(&cert, (struct tls_policy){ .curves = { .text = STR("P-256") } }) },
	};
	struct tls_listener *l = tls_listener_new(n, 2, true);
	SSL_CTX *ctx = rig_client_ctx(TLS1_3_VERSION);
	struct rig r;

	(void)state;
	assert_true(SSL_CTX_set1_groups_list(ctx, "P-521:P-256"));
	rig_open(&r, l, ctx, "a.test", NULL);
	rig_connect(&r);
	assert_int_equal(SSL_get_negotiated_group(r.ssl), NID_X9_62_prime256v1);
	assert_true(str_eq(tls_stream_facts(r.s)->sni, STR("a.test")));
	rig_close(&r);
	SSL_CTX_free(ctx);
	tls_context_put(n[0].context);
	tls_context_put(n[1].context);
	tls_listener_put(l);
}

static void h2_needs_a_modern_suite(void **state)
{
	static const char *const rows[][2] = {
		{ "ECDHE-ECDSA-AES128-GCM-SHA256", "h2" },
		{ "ECDHE-ECDSA-CHACHA20-POLY1305", "h2" },
		{ "ECDHE-ECDSA-AES128-SHA256", "http/1.1" },
		{ "ECDHE-ECDSA-AES128-SHA", "http/1.1" },
	};
	struct tls_listener *l = rig_listener(
		rig_context(&cert, (struct tls_policy){ .ciphers = { .text = STR("ALL:!aNULL") } }));

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		SSL_CTX *ctx = rig_client_ctx(TLS1_2_VERSION);
		struct rig r;

		assert_true(SSL_CTX_set_cipher_list(ctx, rows[i][0]));
		SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x02h2\x08http/1.1", 12);
		rig_open(&r, l, ctx, NULL, NULL);
		rig_connect(&r);
		assert_true(str_eq(tls_stream_facts(r.s)->alpn, str_from_c(rows[i][1])));
		rig_close(&r);
		SSL_CTX_free(ctx);
	}
	tls_listener_put(l);
}

/* A client that insists on ChaCha20 gets it, and one that prefers AES gets AES. */
static void the_clients_cipher_order_counts(void **state)
{
	static const char *const orders[] = { "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
					      "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256" };
	struct tls_listener *l = plain_listener();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		SSL_CTX *ctx = rig_client_ctx(TLS1_3_VERSION);
		struct rig r;

		assert_true(SSL_CTX_set_ciphersuites(ctx, orders[i]));
		rig_open(&r, l, ctx, NULL, NULL);
		rig_connect(&r);
		assert_memory_equal(tls_stream_facts(r.s)->cipher, orders[i],
				    strlen(tls_stream_facts(r.s)->cipher));
		rig_close(&r);
		SSL_CTX_free(ctx);
	}
	tls_listener_put(l);
}

static void refusals_say_why(void **state)
{
	static const struct {
		int version;
		const char *ciphers, *suites, *groups;
		const char *why, *client;
	} rows[] = {
		{ TLS1_1_VERSION, "ALL:@SECLEVEL=0", NULL, NULL,
		  "unsupported protocol (client offers at most TLS 1.1)", "tlsv1 alert protocol version" },
		{ TLS1_2_VERSION, "AES128-GCM-SHA256", NULL, NULL, "no shared cipher",
		  "sslv3 alert handshake failure" },
		{ TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA", NULL, NULL, "no shared cipher",
		  "sslv3 alert handshake failure" },
		{ TLS1_3_VERSION, NULL, "TLS_AES_128_CCM_SHA256", NULL, "no shared cipher",
		  "sslv3 alert handshake failure" },
		{ TLS1_3_VERSION, NULL, NULL, "P-521", "no suitable key share",
		  "sslv3 alert handshake failure" },
	};
	struct tls_listener *l = plain_listener();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		SSL_CTX *ctx = rig_client_ctx(rows[i].version);
		struct rig r;

		if (rows[i].ciphers)
			assert_true(SSL_CTX_set_cipher_list(ctx, rows[i].ciphers));
		if (rows[i].suites)
			assert_true(SSL_CTX_set_ciphersuites(ctx, rows[i].suites));
		if (rows[i].groups)
			assert_true(SSL_CTX_set1_groups_list(ctx, rows[i].groups));
		rig_open(&r, l, ctx, NULL, NULL);
		rig_fail(&r);
		assert_int_equal(r.server.err, ERR_TLS);
		assert_string_equal(r.server.why, rows[i].why);
		assert_string_equal(r.client_error, rows[i].client);
		rig_close(&r);
		SSL_CTX_free(ctx);
	}
	assert_int_equal(tls_stats()->failed, ARRAY_SIZE(rows));
	tls_listener_put(l);
}

/* A browser that does not trust the certificate: under TLS 1.3 its alert comes when we think we are done. */
static void the_clients_alert_is_named(void **state)
{
	struct tls_listener *l = plain_listener();

	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX *ctx = rig_client_ctx(version);
		struct rig r;

		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
		rig_open(&r, l, ctx, NULL, NULL);
		rig_until(&r, r.server.done && r.client_failed);
		assert_int_equal(r.server.err, ERR_TLS);
		assert_string_equal(r.server.why, "the client sent the alert \"unknown CA\"");
		rig_close(&r);
		SSL_CTX_free(ctx);
	}
	tls_listener_put(l);
}

static void put_bytes(struct rig *r, const void *p, size_t n)
{
	assert_int_equal(write(r->fd, p, n), n);
}

static void what_is_no_tls_is_named(void **state)
{
	static const struct {
		const char *bytes;
		enum err err;
		const char *why;
	} rows[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", ERR_HTTP_ON_TLS, "plain HTTP on a TLS port" },
		{ "OPTIONS * HTTP/1.1\r\n\r\n", ERR_HTTP_ON_TLS, "plain HTTP on a TLS port" },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ERR_HTTP_ON_TLS, "plain HTTP on a TLS port" },
		{ "CONNECT a:1 HTTP/1.1\r\n\r\n", ERR_HTTP_ON_TLS, "plain HTTP on a TLS port" },
		{ "SSH-2.0-OpenSSH_9.2\r\n", ERR_TLS, "this is no TLS, it begins with \"SSH-2\"" },
		{ "\x01\x02\"\\\x7f\x80\r\n", ERR_TLS,
		  "this is no TLS, it begins with \"\\x01\\x02\\x22\\x5c\\x7f\"" },
	};
	struct tls_listener *l = plain_listener();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char answer[64];
		struct rig r;

		rig_open_raw(&r, l);
		put_bytes(&r, rows[i].bytes, strlen(rows[i].bytes));
		rig_until(&r, r.server.done);
		assert_int_equal(r.server.err, rows[i].err);
		assert_string_equal(r.server.why, rows[i].why);
		assert_int_equal(read(r.fd, answer, sizeof answer), -1); /* no alert in binary */
		if (rows[i].err == ERR_HTTP_ON_TLS) {
			/* the stream is a plain socket again */
			assert_int_equal(tls_stats()->connections, 0);
			assert_null(tls_stream_facts(r.s));
			assert_true(r.s->can & STREAM_OUT);
			assert_int_equal(stream_write(r.s, "no", 2), 2);
			assert_int_equal(read(r.fd, answer, sizeof answer), 2);
			put_bytes(&r, "more", 4);
			rig_until(&r, r.s->can & STREAM_IN);
			assert_int_equal(stream_read(r.s, answer, sizeof answer), 4);
		}
		rig_close(&r);
	}
	tls_listener_put(l);
}

static void plain_http_a_byte_at_a_time(void **state)
{
	struct tls_listener *l = plain_listener();
	struct rig r;

	(void)state;
	rig_open_raw(&r, l);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(r.server.done, 0);
		put_bytes(&r, &"GET / HTTP"[i], 1);
		loop_turn(0);
	}
	rig_until(&r, r.server.done);
	assert_int_equal(r.server.err, ERR_HTTP_ON_TLS);
	rig_close(&r);
	tls_listener_put(l);
}

/* Nothing a stranger sends may do more than end the handshake; ASan watches. */
static void garbage(void **state)
{
	struct tls_listener *l = plain_listener();
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		unsigned char p[300];
		struct rig r;
		size_t n;

		for (size_t i = 0; i < sizeof p; i++)
			p[i] = (unsigned char)((seed = seed * 1664525 + 1013904223) >> 24);
		n = 1 + p[0] % (sizeof p - 1);
		if (round % 4) { /* what passes for a record, then for a hello, then for its length */
			memcpy(p, "\x16\x03\x01", 3);
			p[3] = (unsigned char)((n - 5) >> 8), p[4] = (unsigned char)(n - 5);
			if (round % 4 > 1)
				p[5] = 1, p[6] = 0;
			if (round % 4 > 2 && n > 9)
				p[7] = (unsigned char)((n - 9) >> 8), p[8] = (unsigned char)(n - 9), p[9] = 3,
				p[10] = 3;
		}
		rig_open_raw(&r, l);
		put_bytes(&r, p, n);
		shutdown(r.fd, SHUT_WR);
		rig_until(&r, r.server.done);
		assert_int_not_equal(r.server.err, ERR_OK);
		assert_int_not_equal(r.server.why[0], 0);
		for (const char *why = r.server.why; *why; why++)
			assert_true(isprint((unsigned char)*why));
		rig_close(&r);
	}
	tls_listener_put(l);
}

static void the_end_of_the_socket(void **state)
{
	struct tls_listener *l = plain_listener();
	struct rig r;

	(void)state;
	rig_open_raw(&r, l);
	shutdown(r.fd, SHUT_WR);
	rig_until(&r, r.server.done);
	assert_int_equal(r.server.err, ERR_EOF);
	assert_string_equal(r.server.why, "closed by the peer before the first byte");
	rig_close(&r);
	rig_open_raw(&r, l);
	put_bytes(&r, "\x16\x03\x01\x02\x00", 5);
	shutdown(r.fd, SHUT_WR);
	rig_until(&r, r.server.done);
	assert_int_equal(r.server.err, ERR_EOF);
	assert_string_equal(r.server.why, "closed by the peer during the handshake");
	rig_close(&r);
	tls_listener_put(l);
}

/* A time-out of the owner's: in any phase, and also when `done` is about to be called. */
static void closed_by_the_owner(void **state)
{
	struct tls_listener *l = plain_listener();
	SSL_CTX *ctx = rig_client_ctx(0);

	(void)state;
	for (int turns = 0; turns < 4; turns++) {
		struct rig r;

		rig_open(&r, l, ctx, NULL, NULL);
		for (int i = 0; i < turns && !r.server.done; i++)
			rig_step(&r);
		rig_close(&r);
		assert_int_equal(tls_stats()->connections, 0);
	}
	SSL_CTX_free(ctx);
	tls_listener_put(l);
}

/* A reload during a handshake, and a connection that outlives its configuration. */
static void the_listener_goes_first(void **state)
{
	struct tls_listener *l = plain_listener();
	SSL_CTX *ctx = rig_client_ctx(0);
	struct rig r;

	(void)state;
	rig_open(&r, l, ctx, "a.test", NULL);
	tls_listener_put(l);
	assert_int_equal(tls_stats()->contexts, 1);
	rig_connect(&r);
	assert_int_equal(tls_stats()->contexts, 0);
	r.client.to_write = 1000;
	rig_send(&r, 1000);
	rig_until(&r, r.client.read == 1000 && r.server_side.read == 1000);
	assert_true(str_eq(tls_stream_facts(r.s)->sni, STR("a.test")));
	rig_close(&r);
	SSL_CTX_free(ctx);
}

/* Its record can be there before tls_accept is called: no edge will come for it. */
static void bytes_that_came_before(void **state)
{
	struct tls_listener *l = plain_listener();
	SSL_CTX *ctx = rig_client_ctx(0);
	struct rig r = { .fd = -1 };
	int fd[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	r.fd = fd[1];
	r.s = stream_new(fd[0]);
	stream_own(r.s, &r, rig_on_ready);
	r.ssl = SSL_new(ctx);
	SSL_set_app_data(r.ssl, &r);
	SSL_set_fd(r.ssl, r.fd);
	SSL_set_connect_state(r.ssl);
	rig_step(&r);
	rig_until(&r, r.s->can & STREAM_IN);
	tls_accept(r.s, l, rig_done);
	assert_int_equal(r.server.done, 0);
	rig_connect(&r);
	rig_close(&r);
	SSL_CTX_free(ctx);
	tls_listener_put(l);
}

static int make_cert(void **state)
{
	(void)state;
	cert = rig_cert_self("a.test");
	return 0;
}

static int drop_cert(void **state)
{
	(void)state;
	rig_cert_fini(&cert);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(both_versions),
		RIG_TEST(byte_at_a_time),
		RIG_TEST(sni_chooses_the_certificate),
		RIG_TEST(sni_brings_the_whole_policy),
		RIG_TEST(alpn_is_ours_to_choose),
		RIG_TEST(a_second_hello),
		RIG_TEST(h2_needs_a_modern_suite),
		RIG_TEST(the_clients_cipher_order_counts),
		RIG_TEST(refusals_say_why),
		RIG_TEST(the_clients_alert_is_named),
		RIG_TEST(what_is_no_tls_is_named),
		RIG_TEST(plain_http_a_byte_at_a_time),
		RIG_TEST(garbage),
		RIG_TEST(the_end_of_the_socket),
		RIG_TEST(closed_by_the_owner),
		RIG_TEST(the_listener_goes_first),
		RIG_TEST(bytes_that_came_before),
	};

	return cmocka_run_group_tests(tests, make_cert, drop_cert);
}
