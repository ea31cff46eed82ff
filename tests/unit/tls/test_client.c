/* TLS towards servers: tls/client.h. The other end, an OpenSSL server, is what the rig calls the client. */
#include "tests/unit/tls/rig.h"

static struct rig_cert ca;

static struct rig_cert ca_called(const char *name)
{
	return rig_cert_with(name, EVP_EC_gen("P-256"), NULL, -RIG_DAY_S, RIG_DAY_S,
			     "basicConstraints=critical,CA:TRUE");
}

struct peer {
	struct rig_cert cert;
	SSL_CTX *ctx;
};

/* A server with a certificate of `issuer` (NULL: its own) and these extensions; free it. */
static struct peer peer_at(const struct rig_cert *issuer, const char *extensions, long not_before_s,
			   long not_after_s)
{
	struct peer p = {
		rig_cert_with("the leaf", EVP_EC_gen("P-256"), issuer, not_before_s, not_after_s, extensions),
		SSL_CTX_new(TLS_server_method())};

	assert_int_equal(SSL_CTX_use_certificate(p.ctx, p.cert.x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(p.ctx, p.cert.key), 1);
	SSL_CTX_set_session_id_context(p.ctx, (const unsigned char *)"x", 1);
	SSL_CTX_set_mode(p.ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return p;
}

static struct peer peer_for(const char *extensions)
{
	return peer_at(&ca, extensions, -RIG_DAY_S, RIG_DAY_S);
}

static void peer_fini(struct peer *p)
{
	rig_cert_fini(&p->cert);
	SSL_CTX_free(p->ctx);
}

static struct tls_trust *trust(const struct rig_cert *c)
{
	const struct tls_file f = rig_file("ca.crt", c->pem, 1);
	struct conf_report r;
	struct tls_trust *t;

	conf_report_init(&r);
	t = tls_trust_new(&f, &r);
	assert_non_null(t);
	assert_int_equal(r.n, 0);
	conf_report_fini(&r);
	return t;
}

static struct tls_client *client_of(const struct tls_client_options *o)
{
	struct conf_report r;
	struct tls_client *t;

	conf_report_init(&r);
	t = tls_client_new(o, &r);
	for (size_t i = 0; i < r.n; i++)
		print_error("%.*s\n", STR_ARG(r.messages[i].reason));
	assert_non_null(t);
	conf_report_fini(&r);
	return t;
}

/* That trusts `ca` and wants this name. */
static struct tls_client *client_for(const char *name)
{
	const struct tls_client_options o = {
		.server = STR("https://one"), .name = str_from_c(name), .trust = trust(&ca)};
	struct tls_client *t = client_of(&o);

	tls_trust_put(o.trust);
	return t;
}

static int on_sni(SSL *ssl, int *alert, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	snprintf(arg, 64, "%s", name ? name : "-");
	return SSL_TLSEXT_ERR_OK;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
		   unsigned in_n, void *arg)
{
	(void)ssl;
	(void)arg;
	assert_int_equal(in_n, 9); /* nothing but http/1.1 */
	assert_memory_equal(in, "\x08http/1.1", 9);
	*out = in + 1;
	*out_n = 8;
	return SSL_TLSEXT_ERR_OK;
}

static void open_on(struct rig *r, struct tls_client *t, int fd[2])
{
	memset(r, 0, sizeof *r);
	r->fd = fd[1];
	r->s = stream_new(fd[0]);
	assert_non_null(r->s);
	stream_own(r->s, r, rig_on_ready);
	tls_connect(r->s, t, rig_done);
}

/* Our side only; the test plays the server on r->fd. */
static void open_raw(struct rig *r, struct tls_client *t)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	open_on(r, t, fd);
}

static void open_to(struct rig *r, struct tls_client *t, struct peer *p)
{
	open_raw(r, t);
	r->ssl = SSL_new(p->ctx);
	SSL_set_fd(r->ssl, r->fd);
	SSL_set_accept_state(r->ssl);
}

static void connects(struct rig *r, struct tls_client *t, struct peer *p)
{
	open_to(r, t, p);
	rig_connect(r);
}

/* Some bytes in both directions: tickets come with the first. */
static void talk(struct rig *r)
{
	r->client.to_write += 100;
	rig_send(r, 100);
	rig_until(r, r->client.read == r->server_side.to_write && r->server_side.read == r->client.to_write);
}

static void is_refused(struct tls_client *t, struct peer *p, const char *why)
{
	struct rig r;

	open_to(&r, t, p);
	rig_until(&r, r.server.done);
	assert_string_equal(err_name(r.server.err), "UP_CERTIFICATE");
	if (!strstr(r.server.why, why))
		fail_msg("\"%s\" is not in \"%s\"", why, r.server.why);
	rig_until(&r, r.client_failed); /* by the alert */
	rig_close(&r);
}

static void is_accepted(struct tls_client *t, struct peer *p)
{
	struct rig r;

	connects(&r, t, p);
	talk(&r);
	rig_close(&r);
}

/* ---- a connection ---- */

static void bytes_go_both_ways(void **state)
{
	struct peer p = peer_for("subjectAltName=DNS:a.test,DNS:b.test");
	struct tls_client *t = client_for("a.test");
	const struct tls_facts *facts;
	char sni[64] = "";
	struct rig r;

	(void)state;
	SSL_CTX_set_tlsext_servername_callback(p.ctx, on_sni);
	SSL_CTX_set_tlsext_servername_arg(p.ctx, sni);
	SSL_CTX_set_alpn_select_cb(p.ctx, on_alpn, NULL);
	open_to(&r, t, &p);
	assert_null(tls_stream_facts(r.s));
	rig_connect(&r);
	facts = tls_stream_facts(r.s);
	assert_string_equal(sni, "a.test");
	assert_true(str_eq(facts->alpn, STR("http/1.1")));
	assert_int_equal(facts->version, TLS1_3_VERSION);
	assert_false(facts->resumed);
	r.client.to_write = 3 * 1000 * 1000;
	rig_send(&r, 3 * 1000 * 1000);
	rig_until(&r, r.client.read == 3 * 1000 * 1000 && r.server_side.read == 3 * 1000 * 1000);
	r.client.closes = r.server_side.closes = true;
	stream_want_more(r.s, STREAM_OUT);
	rig_until(&r, r.client.end && r.server_side.end);
	assert_false(tls_stream_truncated(r.s));
	rig_close(&r);
	assert_int_equal(tls_stats()->up_handshakes, 1);
	assert_int_equal(tls_stats()->handshakes, 0);
	tls_client_put(t);
	peer_fini(&p);
}

static void an_end_without_close_notify_is_truncation(void **state)
{
	struct peer p = peer_for("subjectAltName=DNS:a.test");
	struct tls_client *t = client_for("a.test");
	struct rig r;

	(void)state;
	connects(&r, t, &p);
	talk(&r);
	shutdown(r.fd, SHUT_WR);
	rig_until(&r, r.server_side.end);
	assert_true(tls_stream_truncated(r.s));
	rig_close(&r);
	tls_client_put(t);
	peer_fini(&p);
}

/* ---- who the server is ---- */

static void names_are_checked(void **state)
{
	struct peer p = peer_for("subjectAltName=DNS:a.test,DNS:*.b.test,IP:127.0.0.1,IP:::1");
	struct peer none = peer_for("keyUsage=digitalSignature");
	struct {
		const char *name;
		bool ok;
	} cases[] = {
		{"a.test", true},     {"x.b.test", true},  {"x.y.b.test", false},
		{"b.test", false},    {"127.0.0.1", true}, {"::1", true},
		{"127.0.0.2", false}, {"the leaf", false}, {"aa.test", false},
		{"A.TEST", true},     {"", true},
	};
	struct tls_client *t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		t = client_for(cases[i].name);
		if (cases[i].ok)
			is_accepted(t, &p);
		else
			is_refused(t, &p, "but for a.test, *.b.test, 127.0.0.1, ::1");
		tls_client_put(t);
	}
	t = client_for("the leaf"); /* the subject is no name (RFC 9525 section 2) */
	is_refused(t, &none, "it has no subjectAltName");
	tls_client_put(t);
	peer_fini(&none);
	peer_fini(&p);
}

static void an_address_is_no_sni(void **state)
{
	struct peer p = peer_for("subjectAltName=IP:127.0.0.1");
	struct tls_client *t = client_for("127.0.0.1");
	char sni[64] = "";

	(void)state;
	SSL_CTX_set_tlsext_servername_callback(p.ctx, on_sni);
	SSL_CTX_set_tlsext_servername_arg(p.ctx, sni);
	is_accepted(t, &p);
	assert_string_equal(sni, "-");
	tls_client_put(t);
	peer_fini(&p);
}

static void strangers_are_refused(void **state)
{
	struct rig_cert other = ca_called("Another CA");
	struct peer strange = peer_at(&other, "subjectAltName=DNS:a.test", -RIG_DAY_S, RIG_DAY_S);
	struct peer itself = peer_at(NULL, "subjectAltName=DNS:a.test", -RIG_DAY_S, RIG_DAY_S);
	struct peer over = peer_at(&ca, "subjectAltName=DNS:a.test", -2 * RIG_DAY_S, -RIG_DAY_S);
	struct peer early = peer_at(&ca, "subjectAltName=DNS:a.test", RIG_DAY_S, 2 * RIG_DAY_S);
	struct peer not_server =
		peer_at(&ca, "subjectAltName=DNS:a.test extendedKeyUsage=clientAuth", -RIG_DAY_S, RIG_DAY_S);
	struct tls_client *t = client_for("a.test");

	(void)state;
	is_refused(t, &strange, "the issuer \"Another CA\" is unknown: neither in ca.crt nor sent along");
	is_refused(t, &itself, "\"the leaf\" signed itself, and is not in ca.crt");
	is_refused(t, &over, "the certificate of \"the leaf\" expired 20");
	is_refused(t, &early, "the certificate of \"the leaf\" is not valid before 20");
	is_refused(t, &not_server, "urpose");
	assert_int_equal(tls_stats()->up_failed, 5);
	tls_client_put(t);
	peer_fini(&strange);
	peer_fini(&itself);
	peer_fini(&over);
	peer_fini(&early);
	peer_fini(&not_server);
	rig_cert_fini(&other);
}

/* A server's own certificate as the file of CAs: nobody else is trusted. */
static void a_leaf_may_be_trusted(void **state)
{
	struct peer p = peer_at(NULL, "subjectAltName=DNS:a.test", -RIG_DAY_S, RIG_DAY_S);
	struct peer other = peer_at(NULL, "subjectAltName=DNS:a.test", -RIG_DAY_S, RIG_DAY_S);
	const struct tls_client_options o = {.name = STR("a.test"), .trust = trust(&p.cert)};
	struct tls_client *t = client_of(&o);

	(void)state;
	tls_trust_put(o.trust);
	is_accepted(t, &p);
	is_refused(t, &other, "");
	tls_client_put(t);
	peer_fini(&p);
	peer_fini(&other);
}

static void unverified_is_anybody(void **state)
{
	struct peer p = peer_at(NULL, "subjectAltName=DNS:b.test", -2 * RIG_DAY_S, -RIG_DAY_S);
	const struct tls_client_options o = {.name = STR("a.test")};
	struct tls_client *t = client_of(&o);

	(void)state;
	is_accepted(t, &p);
	tls_client_put(t);
	peer_fini(&p);
}

/* ---- who we are ---- */

static void our_certificate_is_shown(int version)
{
	struct rig_cert ours = rig_cert_with("us", EVP_EC_gen("P-256"), &ca, -RIG_DAY_S, RIG_DAY_S, NULL);
	struct peer p = peer_for("subjectAltName=DNS:a.test");
	struct tls_client_options o = {.name = STR("a.test"), .trust = trust(&ca)};
	struct tls_client *t;
	struct rig r;

	SSL_CTX_set_max_proto_version(p.ctx, version);
	SSL_CTX_set_verify(p.ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	X509_STORE_add_cert(SSL_CTX_get_cert_store(p.ctx), ca.x);
	o.pair.cert = rig_file("us.crt", ours.pem, 1);
	o.pair.key = rig_file("us.key", ours.key_pem, 2);
	t = client_of(&o);
	is_accepted(t, &p);
	tls_client_put(t);

	o.pair = (struct tls_pair_files){0};
	t = client_of(&o);
	open_to(&r, t, &p);
	if (version == TLS1_3_VERSION) { /* told behind the handshake: RFC 8446 section 4.4.2.4 */
		rig_until(&r, r.server.read_error);
		assert_int_equal(r.server.err, ERR_OK);
		assert_int_equal(r.server.read_error, ERR_TLS);
		assert_string_equal(tls_stream_why(r.s),
				    "the server sent the alert \"certificate required\"");
	} else {
		rig_until(&r, r.server.done);
		assert_int_equal(r.server.err, ERR_TLS);
		assert_string_equal(r.server.why, "the server sent the alert \"handshake failure\"");
	}
	rig_close(&r);
	tls_client_put(t);
	tls_trust_put(o.trust);
	peer_fini(&p);
	rig_cert_fini(&ours);
}

static void our_certificate_is_shown_1_3(void **state)
{
	(void)state;
	our_certificate_is_shown(TLS1_3_VERSION);
}

static void our_certificate_is_shown_1_2(void **state)
{
	(void)state;
	our_certificate_is_shown(TLS1_2_VERSION);
}

/* ---- sessions ---- */

static bool resumes(struct tls_client *t, struct peer *p)
{
	bool resumed;
	struct rig r;

	connects(&r, t, p);
	resumed = tls_stream_facts(r.s)->resumed;
	assert_int_equal(SSL_session_reused(r.ssl), resumed);
	talk(&r);
	rig_close(&r);
	return resumed;
}

/* Each ticket once: of three connections that begin at the same time, two have one. */
static void tickets_are_used_once(void **state)
{
	struct peer p = peer_for("subjectAltName=DNS:a.test");
	struct tls_client *t = client_for("a.test");
	struct rig r[3];

	(void)state;
	SSL_CTX_set_num_tickets(p.ctx, 2);
	assert_false(resumes(t, &p));
	for (int i = 0; i < 3; i++)
		open_to(&r[i], t, &p);
	for (int i = 0; i < 3; i++) {
		rig_connect(&r[i]);
		assert_int_equal(tls_stream_facts(r[i].s)->resumed, i < 2);
		talk(&r[i]);
		rig_close(&r[i]);
	}
	assert_true(resumes(t, &p));
	assert_int_equal(tls_stats()->up_resumed, 3);
	tls_client_put(t);
	peer_fini(&p);
}

static void a_session_of_1_2_serves_many(void **state)
{
	struct peer p = peer_for("subjectAltName=DNS:a.test");
	struct tls_client *t = client_for("a.test");

	(void)state;
	SSL_CTX_set_max_proto_version(p.ctx, TLS1_2_VERSION);
	assert_false(resumes(t, &p));
	for (int i = 0; i < 3; i++)
		assert_true(resumes(t, &p));
	tls_client_put(t);
	peer_fini(&p);
}

/* Whoever else answers at that place has other keys: a full handshake, and its certificate is looked at. */
static void a_session_is_no_passport(void **state)
{
	struct peer p = peer_for("subjectAltName=DNS:a.test"), q = peer_for("subjectAltName=DNS:b.test");
	struct tls_client *t = client_for("a.test");

	(void)state;
	assert_false(resumes(t, &p));
	is_refused(t, &q, "not for \"a.test\"");
	assert_false(resumes(t, &p)); /* after a failure none is tried */
	assert_true(resumes(t, &p));
	tls_client_put(t);
	peer_fini(&p);
	peer_fini(&q);
}

/* ---- what is no handshake ---- */

/* The server says this, and ends its side. */
static void fails_with(struct tls_client *t, struct str said, enum err e, const char *why)
{
	struct rig r;

	open_raw(&r, t);
	assert_int_equal(write(r.fd, said.p, said.n), said.n);
	shutdown(r.fd, SHUT_WR);
	rig_until(&r, r.server.done);
	assert_string_equal(err_name(r.server.err), err_name(e));
	if (!strstr(r.server.why, why))
		fail_msg("\"%s\" is not in \"%s\"", why, r.server.why);
	rig_close(&r);
}

static void what_is_no_tls_is_told(void **state)
{
	struct tls_client *t = client_for("a.test");

	(void)state;
	fails_with(t, STR("HTTP/1.1 400 Bad Request\r\n\r\n"), ERR_TLS,
		   "this is no TLS, it begins with \"HTTP/\"");
	fails_with(t, STR("GARBAGE"), ERR_TLS, "this is no TLS");
	fails_with(t, STR(""), ERR_EOF, "closed by the peer before the first byte");
	fails_with(t, STR("\x16\x03\x03"), ERR_EOF, "closed by the peer during the handshake");
	fails_with(t, STR("\x15\x03\x03\x00\x02\x02\x28"), ERR_TLS,
		   "the server sent the alert \"handshake failure\"");
	tls_client_put(t);
}

static void an_owner_may_leave_early(void **state)
{
	struct tls_client *t = client_for("a.test");
	struct rig r;

	(void)state;
	open_raw(&r, t);
	tls_client_put(t);
	stream_close(r.s);
	r.s = NULL;
	loop_turn(0);
	assert_int_equal(r.server.done, 0);
	rig_close(&r);
}

/* ---- making ---- */

static void equal_ones_are_one(void **state)
{
	struct tls_client *a = client_for("a.test"), *b = client_for("a.test"), *c = client_for("c.test");
	struct tls_client_options o = { .server = STR("https://one"),
					.name = STR("a.test"),
					.pair = { rig_file("us.crt", "", 1), rig_file("us.key", "", 2) } };
	struct conf_report r;

	(void)state;
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	/* but an empty file is not like none */
	conf_report_init(&r);
	o.trust = trust(&ca);
	assert_null(tls_client_new(&o, &r));
	assert_int_equal(r.counts[CONF_ERROR], 2);
	conf_report_fini(&r);
	tls_trust_put(o.trust);
	assert_int_equal(tls_stats()->clients, 2);
	assert_int_equal(tls_stats()->trusts, 1);
	tls_client_put(a);
	tls_client_put(b);
	tls_client_put(c);
	assert_int_equal(tls_stats()->clients, 0);
	assert_int_equal(tls_stats()->trusts, 0);
}

static void what_cannot_be_used_is_told(void **state)
{
	struct rig_cert ours = rig_cert_self("us"), other = rig_cert_self("other");
	const struct tls_file empty = rig_file("none.crt", "", 3);
	struct tls_client_options o = {
		.pair = {rig_file("us.crt", ours.pem, 1), rig_file("us.key", other.key_pem, 2)},
		.policy = {.ciphers = {.text = STR("NONE")}}};
	struct conf_report r;

	(void)state;
	conf_report_init(&r);
	assert_null(tls_client_new(&o, &r));
	assert_null(tls_trust_new(&empty, &r));
	assert_int_equal(r.counts[CONF_ERROR], 3);
	assert_non_null(strstr(r.messages[0].reason.p, "no suite"));
	assert_non_null(strstr(r.messages[1].reason.p, "does not belong to the certificate"));
	assert_non_null(strstr(r.messages[2].reason.p, "is empty"));
	conf_report_fini(&r);
	rig_cert_fini(&ours);
	rig_cert_fini(&other);
}

static void what_is_over_is_warned_of(void **state)
{
	struct rig_cert ours = rig_cert_make("us", EVP_EC_gen("P-256"), NULL, -2 * RIG_DAY_S, -RIG_DAY_S);
	const struct tls_file ca_file = rig_file("ca.crt", ours.pem, 3);
	const struct tls_client_options o = {
		.pair = {rig_file("us.crt", ours.pem, 1), rig_file("us.key", ours.key_pem, 2)}};
	struct tls_client *t = client_of(&o);
	struct conf_report r;

	(void)state;
	conf_report_init(&r);
	tls_client_warn(t, &o, &ca_file, &r);
	assert_int_equal(r.counts[CONF_WARNING], 2);
	assert_non_null(strstr(r.messages[0].reason.p, "certificate 1 in \"us.crt\" expired"));
	assert_non_null(strstr(r.messages[1].reason.p, "certificate 1 in \"ca.crt\" expired"));
	conf_report_fini(&r);
	tls_client_put(t);
	rig_cert_fini(&ours);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		RIG_TEST(bytes_go_both_ways),
		RIG_TEST(an_end_without_close_notify_is_truncation),
		RIG_TEST(names_are_checked),
		RIG_TEST(an_address_is_no_sni),
		RIG_TEST(strangers_are_refused),
		RIG_TEST(a_leaf_may_be_trusted),
		RIG_TEST(unverified_is_anybody),
		RIG_TEST(our_certificate_is_shown_1_3),
		RIG_TEST(our_certificate_is_shown_1_2),
		RIG_TEST(tickets_are_used_once),
		RIG_TEST(a_session_of_1_2_serves_many),
		RIG_TEST(a_session_is_no_passport),
		RIG_TEST(what_is_no_tls_is_told),
		RIG_TEST(an_owner_may_leave_early),
		RIG_TEST(equal_ones_are_one),
		RIG_TEST(what_cannot_be_used_is_told),
		RIG_TEST(what_is_over_is_warned_of),
	};
	int failed;

	ca = ca_called("The CA");
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rig_cert_fini(&ca);
	return failed;
}
