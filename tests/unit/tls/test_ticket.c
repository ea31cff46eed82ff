/* Session tickets: over rotation, over workers and contexts, and who gets a new one. */
#include "tests/unit/tls/rig.h"

static struct rig_cert cert;

struct seen {
	bool resumed;
	unsigned tickets;
};

static bool is_same_ticket(const SSL_SESSION *a, const SSL_SESSION *b)
{
	const unsigned char *p, *q;
	size_t n, m;

	SSL_SESSION_get0_ticket(a, &p, &n);
	SSL_SESSION_get0_ticket(b, &q, &m);
	return n == m && memcmp(p, q, n) == 0;
}

/* One connection that offers `*session` and, when a ticket came, puts it in its place. */
static struct seen connect_once(struct tls_listener *l, int version, SSL_SESSION **session)
{
	SSL_CTX *ctx = rig_client_ctx(version);
	struct seen seen;
	struct rig r;

	SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x02h2", 3);
	rig_open(&r, l, ctx, "a.test", *session);
	rig_connect(&r);
	assert_true(str_eq(tls_stream_facts(r.s)->alpn, STR("h2"))); /* chosen anew each time */
	rig_send(&r, 1);					     /* behind any ticket */
	rig_until(&r, r.client.read == 1);
	assert_int_equal(tls_stream_facts(r.s)->resumed, SSL_session_reused(r.ssl));
	if (!r.session &&
	    *session) { /* of a ticket that is renewed under TLS 1.2 OpenSSL's client tells nobody */
		r.session = SSL_get1_session(r.ssl);
		r.tickets = !is_same_ticket(r.session, *session);
	}
	seen = (struct seen){ .resumed = SSL_session_reused(r.ssl), .tickets = r.tickets };
	if (r.session) {
		SSL_SESSION_free(*session);
		TAKE(*session, &r.session);
	}
	rig_close(&r);
	SSL_CTX_free(ctx);
	return seen;
}

static struct tls_listener *new_listener(void)
{
	return rig_listener(rig_context(&cert, (struct tls_policy){ 0 }));
}

static void check(struct seen seen, bool resumed, unsigned tickets)
{
	assert_int_equal(seen.resumed, resumed);
	assert_int_equal(seen.tickets, tickets);
}

static void tls13_gets_a_new_one_each_time(void **state)
{
	struct tls_listener *l = new_listener();
	SSL_SESSION *s = NULL;

	(void)state;
	check(connect_once(l, TLS1_3_VERSION, &s), false, 1);
	for (int i = 0; i < 3; i++)
		check(connect_once(l, TLS1_3_VERSION, &s), true, 1);
	assert_int_equal(tls_stats()->handshakes, 4);
	assert_int_equal(tls_stats()->resumed, 3);
	SSL_SESSION_free(s);
	tls_listener_put(l);
}

static void tls12_keeps_its_own(void **state)
{
	struct tls_listener *l = new_listener();
	SSL_SESSION *s = NULL;

	(void)state;
	check(connect_once(l, TLS1_2_VERSION, &s), false, 1);
	check(connect_once(l, TLS1_2_VERSION, &s), true, 0);
	check(connect_once(l, TLS1_2_VERSION, &s), true, 0);
	SSL_SESSION_free(s);
	tls_listener_put(l);
}

static void rotation(void **state)
{
	struct tls_listener *l = new_listener();

	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct tls_ticket_key keys[TLS_TICKET_KEYS + 1];
		SSL_SESSION *s = NULL, *oldest;

		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			tls_ticket_make(&keys[i]);
		tls_set_tickets(keys + 3, 1);
		check(connect_once(l, version, &s), false, 1);
		oldest = SSL_SESSION_dup(s); /* the client spoils one that is replaced */
		/* once rotated: it still resumes, and is replaced by one of the new key */
		tls_set_tickets(keys + 2, 2);
		check(connect_once(l, version, &s), true, 1);
		check(connect_once(l, version, &s), true, version == TLS1_3_VERSION);
		/* twice: the oldest key is the third */
		tls_set_tickets(keys + 1, 3);
		check(connect_once(l, version, &oldest), true, 1);
		SSL_SESSION_free(oldest);
		/* thrice: the key of `s` is the oldest, the first one is forgotten */
		tls_set_tickets(keys, 3);
		check(connect_once(l, version, &s), true, 1);
		tls_set_tickets(keys, 1);
		check(connect_once(l, version, &s), true, version == TLS1_3_VERSION);
		tls_set_tickets(keys + 3, 1);
		check(connect_once(l, version, &s), false, 1);
		check(connect_once(l, version, &s), true, version == TLS1_3_VERSION);
		SSL_SESSION_free(s);
	}
	tls_listener_put(l);
}

/* What another worker gave out, or this one before it was restarted; another certificate, as after a renewal.
 */
static void other_workers_and_contexts(void **state)
{
	struct tls_listener *l = new_listener();
	struct rig_cert renewed = rig_cert_self("a.test");
	struct tls_ticket_key key;
	SSL_SESSION *s = NULL;

	(void)state;
	tls_ticket_make(&key);
	tls_set_tickets(&key, 1);
	check(connect_once(l, TLS1_3_VERSION, &s), false, 1);
	tls_listener_put(l);
	tls_fini();

	tls_init();
	tls_set_tickets(&key, 1);
	l = rig_listener(rig_context(&renewed, (struct tls_policy){ 0 }));
	check(connect_once(l, TLS1_3_VERSION, &s), true, 1);
	tls_listener_put(l);
	tls_fini();

	/* without the parent's keys a worker has one of its own, and nobody else's */
	tls_init();
	l = new_listener();
	check(connect_once(l, TLS1_3_VERSION, &s), false, 1);
	check(connect_once(l, TLS1_3_VERSION, &s), true, 1);
	SSL_SESSION_free(s);
	tls_listener_put(l);
	rig_cert_fini(&renewed);
}

/* Nobody waits for a ticket: it costs no packet of its own, no slab, and does not count as unsent. */
static void a_ticket_goes_with_the_first_answer(void **state)
{
	struct tls_listener *l = new_listener();
	SSL_CTX *ctx = rig_client_ctx(TLS1_3_VERSION);
	struct rig r;

	(void)state;
	for (int by_shutdown = 0; by_shutdown < 2; by_shutdown++) {
		uint64_t sends = tls_stats()->sends;

		rig_open(&r, l, ctx, NULL, NULL);
		rig_connect(&r);
		for (int i = 0; i < 5; i++)
			rig_step(&r);
		assert_int_equal(r.tickets, 0);
		assert_int_equal(tls_stats()->sends - sends, 1);
		assert_int_equal(stream_unsent(r.s), 0);
		assert_int_equal(slab_count(), 0);
		assert_true(r.s->can & STREAM_OUT);
		if (by_shutdown)
			stream_shutdown(r.s);
		else
			rig_send(&r, 1000);
		rig_until(&r, by_shutdown ? r.client.end : r.client.read == 1000);
		assert_int_equal(r.tickets, 1);
		assert_int_equal(tls_stats()->sends - sends, 2);
		rig_close(&r);
	}
	SSL_CTX_free(ctx);
	tls_listener_put(l);
}

/* A copy of s whose ticket differs in one bit. */
static SSL_SESSION *tampered(SSL_SESSION *s, size_t at)
{
	const unsigned char *ticket, *p;
	unsigned char *der = NULL, *where;
	SSL_SESSION *copy;
	size_t n;
	int len = i2d_SSL_SESSION(s, &der);

	SSL_SESSION_get0_ticket(s, &ticket, &n);
	where = memmem(der, (size_t)len, ticket, n);
	assert_non_null(where);
	where[at < n ? at : n - 1] ^= 1;
	p = der;
	copy = d2i_SSL_SESSION(NULL, &p, len);
	assert_non_null(copy);
	OPENSSL_free(der);
	return copy;
}

static void tampered_tickets_do_not_resume(void **state)
{
	static const size_t places[] = { 0, 15, 16, 31, 32, 60, 100, SIZE_MAX };
	struct tls_listener *l = new_listener();

	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_SESSION *s = NULL;

		check(connect_once(l, version, &s), false, 1);
		for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
			SSL_SESSION *bad = tampered(s, places[i]);

			check(connect_once(l, version, &bad), false, 1);
			SSL_SESSION_free(bad);
		}
		SSL_SESSION_free(s);
	}
	tls_listener_put(l);
}

/* Clients see what a ticket is worth: never more than the keys are kept for. */
static void lifetime(void **state)
{
	struct tls_listener *l = new_listener();
	SSL_SESSION *s = NULL;

	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		connect_once(l, version, &s);
		assert_int_equal(SSL_SESSION_get_ticket_lifetime_hint(s), 24 * 3600);
	}
	SSL_SESSION_free(s);
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
		RIG_TEST(tls13_gets_a_new_one_each_time),
		RIG_TEST(tls12_keeps_its_own),
		RIG_TEST(rotation),
		RIG_TEST(other_workers_and_contexts),
		RIG_TEST(tampered_tickets_do_not_resume),
		RIG_TEST(lifetime),
		RIG_TEST(a_ticket_goes_with_the_first_answer),
	};

	return cmocka_run_group_tests(tests, make_cert, drop_cert);
}
