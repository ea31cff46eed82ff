/*
 * The files that outlive the process: what is written comes back, and what is broken is no state.
 */
#include "tests/unit/acme/acme_test.h"
#include "tests/unit/acme/arena.h"
#include "acme/store.h"
#include "acme/https.h"

static struct acme_state example(void)
{
	static struct str names[] = { STR("a.example"), STR("*.b.example") };
	struct acme_state s = {
		.failures = 3,
		.refused = true,
		.account = 1,
		.challenge = 7,
		.next_ms = 1800000000123,
		.asked_ms = { 1800000000002, 1800000000001 },
		.error = STR("\"no\" \\ said the CA"),
	};

	s.parts[CONF_ACME_RSA].order = (struct acme_order){
		.url = STR("https://ca.example/order/1"),
		.directory = STR("https://ca.example/directory"),
		.key = STR("-----BEGIN PRIVATE KEY-----\n"),
		.chain = STR("-----BEGIN CERTIFICATE-----\n"),
		.names = names,
		.nnames = ARRAY_SIZE(names),
		.tries = 2,
	};
	s.parts[CONF_ACME_ECDSA] = (struct acme_part){
		.issued_by = STR("https://ca.example/directory"),
		.issued_ms = 1799999999999,
		.early = 1,
		.replaced = STR("aki.old"),
		.ari = { STR("aki.serial"), 5, 6, 7, 8, 9 },
	};
	acme_state_set_wait(&s, STR("https://ca.example/directory"), 1800000005000);
	return s;
}

static void states_come_back(void **state)
{
	struct acme_state in = example(), out;
	struct str text = acme_state_write(&a, &in);
	const struct acme_order *o = &out.parts[CONF_ACME_RSA].order;
	const struct acme_part *p = &out.parts[CONF_ACME_ECDSA];

	(void)state;
	assert_true(acme_state_read(&a, text, &out));
	assert_str(o->url, "https://ca.example/order/1");
	assert_str(o->directory, "https://ca.example/directory");
	assert_str(o->key, "-----BEGIN PRIVATE KEY-----\n");
	assert_str(o->chain, "-----BEGIN CERTIFICATE-----\n");
	assert_int_equal(o->nnames, 2);
	assert_str(o->names[1], "*.b.example");
	assert_int_equal(o->tries, 2);
	assert_str(p->issued_by, "https://ca.example/directory");
	assert_int_equal(p->issued_ms, 1799999999999);
	assert_int_equal(p->early, 1);
	assert_str(p->replaced, "aki.old");
	assert_str(p->ari.id, "aki.serial");
	assert_int_equal(p->ari.start_ms, 5);
	assert_int_equal(p->ari.end_ms, 6);
	assert_int_equal(p->ari.at_ms, 7);
	assert_int_equal(p->ari.check_ms, 8);
	assert_int_equal(p->ari.failures, 9);
	assert_int_equal(p->order.key.n, 0);
	assert_int_equal(out.failures, 3);
	assert_true(out.refused);
	assert_int_equal(out.account, 1);
	assert_int_equal(out.challenge, 7);
	assert_int_equal(out.next_ms, 1800000000123);
	assert_int_equal(out.asked_ms[0], 1800000000002);
	assert_int_equal(out.asked_ms[1], 1800000000001);
	assert_str(out.error, "\"no\" \\ said the CA");
	assert_int_equal(acme_state_wait(&out, STR("https://ca.example/directory")), 1800000005000);
	assert_int_equal(acme_state_wait(&out, STR("https://other.example/")), 0);
	assert_true(str_eq(acme_state_write(&a, &out), text));
}

/*
 * Cut anywhere, as a full disk leaves it, or with any byte changed: read in some way, and never believed
 * wrongly.
 */
static void broken_states(void **state)
{
	struct acme_state in = example(), out;
	struct str text = acme_state_write(&a, &in);

	(void)state;
	for (size_t n = 1; n + 2 < text.n; n++) {
		char *cut = base_alloc(n);

		memcpy(cut, text.p, n);
		assert_false(acme_state_read(&a, str_of(cut, n), &out));
		assert_int_equal(out.failures, 0);
		assert_int_equal(out.parts[CONF_ACME_RSA].order.key.n, 0);
		free(cut);
	}
	for (size_t i = 0; i < text.n; i++) {
		struct acme_url parts;
		struct str copy = arena_dup(&a, text), url;

		((char *)(uintptr_t)copy.p)[i] ^= 0x11;
		if (!acme_state_read(&a, copy, &out))
			continue;
		url = out.parts[CONF_ACME_RSA].order.url;
		assert_true(!url.n || acme_url_read(url, &parts));
	}
}

static void strange_states(void **state)
{
	static const char *const none[] = {
		"[]", "1", "\"x\"", "{", "{}", "{\"version\":2}", "{\"version\":\"1\"}", "null", " ",
		"{\"version\":1,\"version\":1}",
	};
	struct acme_state s;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_false(acme_state_read(&a, str_from_c(none[i]), &s));
	assert_true(acme_state_read(&a, STR_NONE, &s)); /* there is none yet */
	/* members of another type than theirs count as missing */
	assert_true(acme_state_read(
		&a,
		STR("{\"version\":1,\"failures\":-1,\"next_ms\":\"5\",\"rsa\":[],"
		    "\"ecdsa\":{\"order\":{\"key\":\"k\",\"directory\":\"https://ca/\","
		    "\"url\":\"http://ca/\",\"names\":{}},\"issued_ms\":9e99}}"),
		&s));
	assert_int_equal(s.failures, 0);
	assert_int_equal(s.next_ms, 0);
	assert_int_equal(s.parts[CONF_ACME_ECDSA].issued_ms, 0);
	assert_str(s.parts[CONF_ACME_ECDSA].order.key, "k");
	assert_int_equal(s.parts[CONF_ACME_ECDSA].order.url.n, 0);
	/* an order without its key is none */
	assert_true(acme_state_read(&a,
				    STR("{\"version\":1,\"rsa\":{\"order\":{\"url\":\"https://ca/order\","
					"\"directory\":\"https://ca/\"}}}"),
				    &s));
	assert_int_equal(s.parts[CONF_ACME_RSA].order.url.n, 0);
}

static void too_large(void **state)
{
	struct str big = { base_alloc(ACME_FILE_BYTES + 1), ACME_FILE_BYTES + 1 };
	struct acme_state s;

	(void)state;
	memset((char *)(uintptr_t)big.p, ' ', big.n);
	memcpy((char *)(uintptr_t)big.p, "{\"version\":1}", 13);
	assert_false(acme_state_read(&a, big, &s));
	assert_true(acme_state_read(&a, str_of(big.p, big.n - 1), &s));
	free((char *)(uintptr_t)big.p);
}

/* As many as there may be; the oldest goes. */
static void waits(void **state)
{
	struct acme_state s = { 0 };

	(void)state;
	for (int i = 0; i < ACME_WAITS_MAX + 2; i++)
		acme_state_set_wait(&s, arena_printf(&a, "https://ca%d.example/", i), 100 + i);
	assert_int_equal(s.nwaits, ACME_WAITS_MAX);
	assert_int_equal(acme_state_wait(&s, STR("https://ca1.example/")), 0);
	assert_int_equal(acme_state_wait(&s, STR("https://ca2.example/")), 102);
	acme_state_set_wait(&s, STR("https://ca2.example/"), 7);
	assert_int_equal(s.nwaits, ACME_WAITS_MAX);
	assert_int_equal(acme_state_wait(&s, STR("https://ca2.example/")), 7);
}

static void accounts(void **state)
{
	struct acme_account in = { .key = acme_key_new(ACME_KEY_P256) }, out;
	struct str text;

	(void)state;
	acme_account_register(&in, STR("https://ca.example/directory"), STR("https://ca.example/acct/1"));
	acme_account_register(&in, STR("https://b.example/directory"), STR("https://b.example/acct/2"));
	acme_account_register(&in, STR("https://ca.example/directory"), STR("https://ca.example/acct/3"));
	text = acme_account_write(&a, &in);
	assert_true(acme_account_read(&a, text, &out));
	assert_int_equal(EVP_PKEY_eq(in.key, out.key), 1);
	assert_int_equal(out.n, 2);
	assert_str(acme_account_url(&out, STR("https://ca.example/directory")), "https://ca.example/acct/3");
	assert_str(acme_account_url(&out, STR("https://b.example/directory")), "https://b.example/acct/2");
	acme_account_register(&out, STR("https://ca.example/directory"), STR_NONE);
	assert_str(acme_account_url(&out, STR("https://ca.example/directory")), "");
	assert_int_equal(out.n, 1);
	EVP_PKEY_free(in.key);
	EVP_PKEY_free(out.key);
}

static void broken_accounts(void **state)
{
	static const struct str rsa =
		STR("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"d\":\"AQAB\"}");
	struct acme_account in = { .key = acme_key_new(ACME_KEY_P256) }, out;
	struct str text = acme_account_write(&a, &in);

	(void)state;
	for (size_t n = 0; n + 2 < text.n; n++) {
		assert_false(acme_account_read(&a, str_of(text.p, n), &out));
		assert_null(out.key);
	}
	/* of another kind: what the reference kept there */
	assert_false(acme_account_read(&a, rsa, &out));
	EVP_PKEY_free(in.key);
}

static void urls(void **state)
{
	static const struct {
		const char *url, *host, *path;
		uint16_t port;
	} rows[] = {
		{ "https://ca.example", "ca.example", "/", 443 },
		{ "HTTPS://ca.example/a/b?c=d", "ca.example", "/a/b?c=d", 443 },
		{ "https://127.0.0.1:14000/dir", "127.0.0.1", "/dir", 14000 },
		{ "https://[::1]:8443/", "::1", "/", 8443 },
		{ "https://[::1]", "::1", "/", 443 },
		{ "http://ca.example/", NULL, NULL, 0 },
		{ "https://", NULL, NULL, 0 },
		{ "https:///path", NULL, NULL, 0 },
		{ "https://ca.example:0/", NULL, NULL, 0 },
		{ "https://ca.example:70000/", NULL, NULL, 0 },
		{ "https://ca.example:/", NULL, NULL, 0 },
		{ "https://user@ca.example/", NULL, NULL, 0 },
		{ "https://[::1/", NULL, NULL, 0 },
		{ "https://[::1]x/", NULL, NULL, 0 },
		{ "https://ca.example?x", NULL, NULL, 0 },
		{ "https://ca.example/a b", NULL, NULL, 0 },
		{ "https://ca.example/\"", NULL, NULL, 0 },
		{ "https://ca.example/\\", NULL, NULL, 0 },
		{ "https://ca.example/\r\nX: y", NULL, NULL, 0 },
		{ "https://ca.example/#x", NULL, NULL, 0 },
		{ "", NULL, NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct acme_url u;

		assert_int_equal(acme_url_read(str_from_c(rows[i].url), &u), rows[i].host != NULL);
		if (!rows[i].host)
			continue;
		assert_str(u.host, rows[i].host);
		assert_str(u.path, rows[i].path);
		assert_int_equal(u.port, rows[i].port);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(states_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_states, setup, teardown),
		cmocka_unit_test_setup_teardown(strange_states, setup, teardown),
		cmocka_unit_test_setup_teardown(too_large, setup, teardown),
		cmocka_unit_test_setup_teardown(waits, setup, teardown),
		cmocka_unit_test_setup_teardown(accounts, setup, teardown),
		cmocka_unit_test_setup_teardown(broken_accounts, setup, teardown),
		cmocka_unit_test_setup_teardown(urls, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
