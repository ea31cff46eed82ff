/* Which peers are believed, and whom they speak for. */
#include "proxy/worker/trust.h"
#include "core/target.h"
#include "tests/unit/guard.h"
#include "tests/unit/proxy/conf.h"

/* 10.0.0.0/8, 192.0.2.1, 198.51.100.128/25, 2001:db8::/33 and ::1 */
static struct conf_net nets[] = {
	{ { [10] = 0xff, [11] = 0xff, [12] = 10 }, 104 },
	{ { [10] = 0xff, [11] = 0xff, 192, 0, 2, 1 }, 128 },
	{ { [10] = 0xff, [11] = 0xff, 198, 51, 100, 128 }, 121 },
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 33 },
	{ { [15] = 1 }, 128 },
};
static const struct conf_global some = { .trusted = { nets, ARRAY_SIZE(nets), false } };
static const struct conf_global all = { .trusted = { &(struct conf_net){ { 0 }, 0 }, 1, false } };
static const struct conf_global none = { .trusted = { NULL, 0, true } };

static const struct {
	const char *address;
	bool trusted;
} peers[] = {
	{ "10.0.0.0", true },	      { "10.255.255.255", true },	 { "11.0.0.0", false },
	{ "9.255.255.255", false },   { "192.0.2.1", true },		 { "192.0.2.0", false },
	{ "198.51.100.128", true },   { "198.51.100.255", true },	 { "198.51.100.127", false },
	{ "2001:db8::1", true },      { "2001:db8:7fff:ffff::1", true }, { "2001:db8:8000::1", false },
	{ "2001:db9::1", false },     { "::1", true },			 { "::2", false },
	{ "::ffff:10.1.2.3", true },  { "::ffff:11.1.2.3", false },	 { "::10.1.2.3", false },
};

static void peers_are_told_apart(void **state)
{
	struct addr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		assert_true(addr_from_ip(&a, str_from_c(peers[i].address), 1));
		if (trust_peer(&some, &a.sa) != peers[i].trusted)
			fail_msg("%s", peers[i].address);
		assert_true(trust_peer(&all, &a.sa));
		assert_false(trust_peer(&none, &a.sa));
	}
	assert_true(addr_from_unix(&a, STR("/x")));
	assert_false(trust_peer(&some, &a.sa));
	assert_false(trust_peer(&all, &a.sa));
	assert_true(trust_peer(&none, &a.sa));
	a.sa.sa_family = AF_UNSPEC;
	assert_false(trust_peer(&all, &a.sa));
}

/* Columns: up to two X-Forwarded-For, the client. "-": the peer itself. */
static const struct {
	const char *one, *two, *client;
} chains[] = {
	{ NULL, NULL, "-" },
	{ "", NULL, "-" },
	{ " , ,", NULL, "-" },
	{ "203.0.113.9", NULL, "203.0.113.9" },
	{ "1.1.1.1, 203.0.113.9", NULL, "203.0.113.9" },
	{ "1.1.1.1, 203.0.113.9, 10.0.0.1", NULL, "203.0.113.9" },
	{ "1.1.1.1,203.0.113.9 ,10.0.0.1,\t192.0.2.1", NULL, "203.0.113.9" },
	{ "1.1.1.1", "203.0.113.9", "203.0.113.9" },
	{ "203.0.113.9", "10.0.0.2", "203.0.113.9" },
	{ "10.0.0.3, 10.0.0.2", "10.0.0.1", "10.0.0.3" },
	{ "203.0.113.9:8080, 10.0.0.1:1", NULL, "203.0.113.9" },
	{ "[2001:db9::9]:8080, 2001:db8::1", NULL, "2001:db9::9" },
	{ "2001:db9::9", NULL, "2001:db9::9" },
	{ "[2001:db9::9]", NULL, "2001:db9::9" },
	/* what cannot be read ends the chain: whoever wrote what stands before it is not known */
	{ "203.0.113.9, unknown", NULL, "-" },
	{ "203.0.113.9, unknown, 10.0.0.1", NULL, "10.0.0.1" },
	{ "203.0.113.9, 10.0.0.1 x", NULL, "-" },
	{ "[2001:db9::9", NULL, "-" },
	{ "[]", NULL, "-" },
	{ ":", NULL, "-" },
	{ "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21", NULL, "-" },
};

static void clients_are_found(void **state)
{
	struct arena a;
	struct guard guards[] = { guard_open(256), guard_open(256) };

	(void)state;
	arena_init(&a);
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
		struct head *h = head_new(&a, HEAD_REQUEST);
		const char *text[] = { chains[i].one, chains[i].two };
		struct str client;

		head_add_id(&a, h, FIELD_X_FORWARDED_FOR, STR("9.9.9.9"));
		head_remove(h, FIELD_X_FORWARDED_FOR);
		for (size_t k = 0; k < 2 && text[k]; k++) {
			size_t n = strlen(text[k]);
			const char *p = guard_tail(&guards[k], text[k], n);

			head_add_id(&a, h, FIELD_X_FORWARDED_FOR, str_of(p, n));
		}
		client = trust_client(&some, h, STR("-"));
		if (!str_eq(client, str_from_c(chains[i].client)))
			fail_msg("%s: %.*s", chains[i].one, STR_ARG(client));
	}
	guard_close(&guards[0]);
	guard_close(&guards[1]);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peers_are_told_apart),
		cmocka_unit_test(clients_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
