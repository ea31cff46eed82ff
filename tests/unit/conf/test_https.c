/* https:// origins: which targets there are, and how TLS is spoken to each. */
#include "tests/unit/conf/conf_test.h"

#define MOUNT(path, origin) "  - mountpoint: " path "\n    origin: \"" origin "\"\n"

static const struct conf_target *target(const struct loaded *l, size_t i)
{
	assert_true(i < l->c->ntargets);
	return l->c->targets[i];
}

static void forms_of_origins(void **state)
{
	struct loaded l = load_good("vhosts:\n- name: a\n  port: 80\n  mounts:\n" /**/
				    MOUNT("/1", "https://127.0.0.1/base/") /**/
				    MOUNT("/2", "https://[::1]:8443") /**/
				    MOUNT("/3", "https://LOCALHOST:8443") /**/
				    MOUNT("/4", "https://+/run/a.sock:/base") /**/
				    MOUNT("/5", "https://+@name") /**/
				    MOUNT("/6", "http://127.0.0.1:443") /**/
				    MOUNT("/7", "https://127.0.0.1:443/other"));
	static const struct { const char *name, *address, *tls; uint16_t port; } expected[] = {
		{ "https://127.0.0.1:443", "127.0.0.1", "127.0.0.1", 443 },
		{ "https://[::1]:8443", "::1", "::1", 8443 },
		{ "https://127.0.0.1:8443", "127.0.0.1", "localhost", 8443 },
		{ "https://+/run/a.sock", "/run/a.sock", "", 0 },
		{ "https://+@name", "@name", "", 0 },
		{ "127.0.0.1:443", "127.0.0.1", NULL, 443 },
	};

	(void)state;
	assert_int_equal(l.c->ntargets, ARRAY_SIZE(expected));
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		const struct conf_target *t = target(&l, i);

		assert_str(t->name, expected[i].name);
		assert_str(t->address, expected[i].address);
		assert_int_equal(t->port, expected[i].port);
		assert_int_equal(t->tls != NULL, expected[i].tls != NULL);
		if (t->tls) {
			assert_str(t->tls->name, expected[i].tls);
			assert_str(t->tls->ca.text, CONF_SYSTEM_CA);
			assert_false(t->tls->unverified);
		}
	}
	assert_int_equal(l.c->nfiles, 1);
	assert_str(l.c->files[0]->path, CONF_SYSTEM_CA);
	assert_str(l.c->vhosts[0]->mounts[0].base, "/base");
	unload(&l);
}

static void a_mount_overrides_its_vhost(void **state)
{
	struct loaded l = load_good("vhosts:\n- name: a\n  port: 80\n"
				    "  client-ssl-ca: /v.ca\n  client-ssl-cert: /v.crt\n"
				    "  client-ssl-key: /v.key\n  client-ssl-ciphers: AES\n"
				    "  ssl-client-option-set: 4\n  ssl-client-option-set: 8\n  mounts:\n" /**/
				    MOUNT("/1", "https://+/a") "    upstream-name: App.Example.\n" /**/
				    MOUNT("/2", "https://127.0.0.1:2") /**/
				    "    upstream-ca: /m.ca\n    upstream-cert: /m.crt\n"
				    "    upstream-key: /m.key\n" /**/
				    MOUNT("/3", "https://127.0.0.1:3") "    upstream-ca: system\n" /**/
				    MOUNT("/4", "https://127.0.0.1:4") "    upstream-verify: off\n");
	const struct conf_up_tls *t = target(&l, 0)->tls;

	(void)state;
	assert_str(t->name, "app.example");
	assert_str(t->ca.text, "/v.ca");
	assert_str(t->cert.text, "/v.crt");
	assert_str(t->key.text, "/v.key");
	assert_str(t->ciphers.text, "AES");
	assert_int_equal(t->options_set, 12);
	t = target(&l, 1)->tls;
	assert_str(t->ca.text, "/m.ca");
	assert_str(t->cert.text, "/m.crt");
	assert_str(t->key.text, "/m.key");
	assert_str(target(&l, 2)->tls->ca.text, CONF_SYSTEM_CA);
	assert_true(target(&l, 3)->tls->unverified);
	for (size_t i = 0; i < l.c->nfiles; i++)
		assert_int_equal(l.c->files[i]->secret, str_eq(l.c->files[i]->path, STR("/v.key")) ||
								str_eq(l.c->files[i]->path, STR("/m.key")));
	unload(&l);
}

/* One address is as many targets as there are ways of speaking to it. */
static void differing_ways_are_targets_of_their_own(void **state)
{
	struct loaded l = load_good("vhosts:\n- name: a\n  port: 80\n  mounts:\n" /**/
				    MOUNT("/1", "https://+/a") "    upstream-name: x.example\n" /**/
				    MOUNT("/2", "https://+/a") "    upstream-name: y.example\n" /**/
				    MOUNT("/3", "https://+/a:/b") "    upstream-name: x.example\n" /**/
				    MOUNT("/4", "https://+/a") "    upstream-name: y.example\n"
				    "    upstream-ca: /ca\n" /**/
				    MOUNT("/5", "unix:/a") /**/
				    MOUNT("/6", "https://+/a") "    upstream-name: y.example\n");
	const struct conf_mount *m = l.c->vhosts[0]->mounts;

	(void)state;
	assert_int_equal(l.c->ntargets, 4);
	assert_str(m[0].target->name, "https://+/a");
	assert_str(m[1].target->name, "https://+/a#2");
	assert_ptr_equal(m[2].target, m[0].target);
	assert_str(m[3].target->name, "https://+/a#3");
	assert_str(m[4].target->name, "unix:/a");
	assert_ptr_equal(m[5].target, m[1].target);
	unload(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms_of_origins),
		cmocka_unit_test(a_mount_overrides_its_vhost),
		cmocka_unit_test(differing_ways_are_targets_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
