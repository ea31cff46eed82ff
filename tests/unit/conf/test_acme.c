/* Certificates that a CA is asked for: which vhosts share one, where it is kept, what is refused. */
#include "tests/unit/conf/conf_test.h"

#define M "  mounts: [ { mountpoint: /, origin: 'unix:/a' } ]\n"

static const struct conf_acme_cert *only(const struct config *c)
{
	assert_int_equal(c->acme.ncerts, 1);
	return c->acme.certs[0];
}

static void defaults(void **state)
{
	struct loaded l = load_good("vhosts:\n- name: A.example.\n  port: 443\n  acme: yes\n" M);
	const struct conf_acme_cert *c = only(l.c);
	const struct conf_vhost *v = l.c->vhosts[0];

	(void)state;
	assert_string_equal(l.text, "");
	assert_ptr_equal(v->acme, c);
	assert_true(v->tls);
	assert_str(c->id, "a.example");
	assert_int_equal(c->nnames, 1);
	assert_int_equal(c->nchallenges, 2);
	assert_int_equal(c->challenges[0], CONF_ACME_TLS_ALPN_01);
	assert_int_equal(c->challenges[1], CONF_ACME_HTTP_01);
	assert_int_equal(v->ncerts, 1);
	assert_str(v->certs[0].cert.text, "/var/lib/gatehouse/acme/certs/a.example.pem");
	assert_str(v->certs[0].key.text, "/var/lib/gatehouse/acme/certs/a.example.pem");
	assert_null(c->certs[CONF_ACME_RSA]);
	assert_str(c->state->path, "/var/lib/gatehouse/acme/orders/a.example.json");
	assert_int_equal(c->naccounts, 1);
	assert_str(c->accounts[0]->directory, "https://acme-v02.api.letsencrypt.org/directory");
	assert_true(c->certs[0]->is_store);
	assert_false(c->certs[0]->needed);
	assert_int_equal(c->certs[0]->audience, CONF_FOR_WORKERS | CONF_FOR_ACME);
	/* workers must never see these */
	assert_int_equal(c->state->audience, CONF_FOR_ACME);
	assert_int_equal(c->accounts[0]->file->audience, CONF_FOR_ACME);
	unload(&l);
}

/* A block's keys come before the vhost's own, these before those of global. */
static void places(void **state)
{
	struct loaded l = load_good("global:\n"
				    "  state-dir: /s\n"
				    "  acme-staging: yes\n"
				    "  acme: { email: all@example.com, key: rsa }\n"
				    "vhosts:\n"
				    "- name: a.example\n  port: 443\n  acme: yes\n" M
				    "- name: b.example\n  port: 443\n  acme-key: both\n"
				    "  acme: { email: mailto:b@example.com }\n" M
				    "- name: c.example\n  port: 443\n  acme: no\n"
				    "  host-ssl-cert: /c\n  host-ssl-key: /k\n" M);
	const struct conf_acme *acme = &l.c->acme;

	(void)state;
	assert_int_equal(acme->ncerts, 2);
	assert_null(acme->certs[0]->certs[CONF_ACME_ECDSA]);
	assert_str(acme->certs[0]->certs[CONF_ACME_RSA]->path, "/s/acme-staging/certs/a.example.rsa.pem");
	assert_non_null(acme->certs[1]->certs[CONF_ACME_ECDSA]);
	assert_non_null(acme->certs[1]->certs[CONF_ACME_RSA]);
	assert_int_equal(l.c->vhosts[1]->ncerts, 2);
	assert_int_equal(acme->naccounts, 1); /* of one directory, whoever is written to */
	assert_int_equal(acme->accounts[0]->nemails, 2);
	assert_str(acme->accounts[0]->emails[1], "b@example.com");
	assert_str(acme->accounts[0]->directory, "https://acme-staging-v02.api.letsencrypt.org/directory");
	assert_null(l.c->vhosts[2]->acme);
	assert_str(l.c->vhosts[2]->certs[0].cert.text, "/c");
	unload(&l);
}

static void sharing(void **state)
{
	struct loaded l = load_good("vhosts:\n"
				    "- name: www.a.example\n  port: 443\n  acme: yes\n" M
				    "- name: a.example\n  port: 443\n  acme: yes\n"
				    "  acme-names: [ www.a.example, x.example, a.example ]\n" M
				    "- name: a.example\n  port: 8443\n  acme: yes\n" M
				    "- name: other.example\n  port: 443\n  acme: yes\n"
				    "  acme-names: x.example\n" M);
	const struct conf_acme *acme = &l.c->acme;

	(void)state;
	assert_int_equal(acme->ncerts, 2);
	assert_str(acme->certs[0]->id, "a.example");
	assert_int_equal(acme->certs[0]->nnames, 3);
	assert_ptr_equal(l.c->vhosts[0]->acme, acme->certs[0]);
	assert_ptr_equal(l.c->vhosts[2]->acme, acme->certs[0]);
	assert_ptr_equal(l.c->vhosts[3]->acme, acme->certs[1]);
	unload(&l);
}

/* The same path: both serve what is obtained for one of them, and neither has to be there. */
static void sharing_by_path(void **state)
{
	struct loaded l = load_good("vhosts:\n"
				    "- name: b.example\n  port: 443\n  host-ssl-cert: /s/a.crt\n"
				    "  host-ssl-key: /s/a.key\n" M
				    "- name: a.example\n  port: 443\n  host-ssl-cert: /s/a.crt\n"
				    "  host-ssl-key: /s/a.key\n"
				    "  ws-protocols: [ { lws-acme-client: { cert-path: /s/a.crt,\n"
				    "    key-path: /s/a.key, auth-path: /s/auth.jwk, country: TW } } ]\n" M);
	const struct conf_acme_cert *c = only(l.c);

	(void)state;
	assert_str(c->certs[0]->path, "/s/a.crt");
	assert_str(c->keys[0]->path, "/s/a.key");
	assert_str(c->accounts[0]->file->path, "/s/auth.jwk");
	assert_false(c->certs[0]->needed);
	assert_false(c->keys[0]->needed);
	assert_null(l.c->vhosts[0]->acme);
	assert_str(l.c->vhosts[0]->certs[0].key.text, "/s/a.key");
	unload(&l);
}

static void missing(void **state)
{
	struct loaded l = load_good("vhosts:\n"
				    "- name: a\n  port: 443\n  host-ssl-cert: /a\n  host-ssl-key: /b\n"
				    "  ignore-missing-cert: yes\n" M
				    "- name: b\n  port: 443\n  host-ssl-cert: /a\n  host-ssl-key: /c\n" M);

	(void)state;
	assert_true(l.c->files[0]->needed); /* of one that does not want to be without it */
	assert_false(l.c->files[1]->needed);
	assert_true(l.c->files[2]->needed);
	unload(&l);
}

static void refused(void **state)
{
	static const struct {
		const char *keys, *what;
	} cases[] = {
		{ "name: '*.a.example', acme: yes", "a CA wants dns-01 for a wildcard" },
		{ "name: '*.a.example', acme: yes, acme-hook: /h, acme-challenge: http-01",
		  "a CA wants dns-01 for a wildcard" },
		{ "name: 127.0.0.1, acme: yes", "not for addresses" },
		{ "name: a, acme: yes, acme-names: 10.0.0.1", "not for addresses" },
		{ "name: a, acme: yes, acme-challenge: dns-01", "dns-01 needs a program" },
		{ "name: a, acme: yes, acme-challenge: tls-sni-01", "is no challenge that can be met" },
		{ "name: a, acme: yes, acme-challenge: [ http-01, http-01 ]", "is written twice" },
		{ "name: a, acme: yes, acme-key: dsa", "no key of the kind \"dsa\"" },
		{ "name: a, acme: yes, acme-hook: hook", "a hook is a program's path" },
		{ "name: a, acme: yes, acme-email: nobody", "no e-mail address" },
		{ "name: a, acme: yes, directory-url: 'http://ca/'", "an https:// URL" },
		{ "name: a, acme: yes, eab-kid: x", "a key id without its key" },
		{ "name: a, acme: yes, eab-hmac: x", "a key without its key id" },
		{ "name: a, acme: yes, host-ssl-cert: /c, host-ssl-key: /k", "this certificate is obtained" },
		{ "name: a, acme: { cert-path: /x }, host-ssl-cert: /c, host-ssl-key: /k",
		  "kept at another path" },
		{ "name: a, acme: { key-path: /x }", "\"key-path\" without \"cert-path\"" },
		{ "name: a, acme: { cert-path: x }", "paths that begin with \"/\"" },
		{ "name: a, acme: { cert-path: /x, key: both }", "cannot be kept in one file" },
		{ "name: a, acme: { emial: x }", "did you mean" },
		{ "name: a, acme: maybe", "not yes or no" },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct loaded l;

		snprintf(text, sizeof text, "vhosts: [ { port: 443, %s, mounts: [ { mountpoint: /, "
			 "origin: 'unix:/a' } ] } ]\n", cases[i].keys);
		l = load_text(text);
		if (l.c || !strstr(l.text, cases[i].what))
			print_error("%s\n%s", cases[i].keys, l.text);
		assert_null(l.c);
		assert_non_null(strstr(l.text, cases[i].what));
		unload(&l);
	}
}

static void conflicts(void **state)
{
	struct loaded l = load_text("global: { acme: { cert-path: /x } }\n"
				    "vhosts:\n"
				    "- name: a\n  port: 443\n"
				    "  acme: { auth-path: /k, directory-url: 'https://x/' }\n" M
				    "- name: b\n  port: 443\n"
				    "  acme: { auth-path: /k, directory-url: 'https://y/' }\n" M
				    "- name: c\n  port: 443\n  acme: yes\n  acme-names: e\n" M
				    "- name: c\n  port: 8443\n  acme: yes\n  acme-names: d\n" M);

	(void)state;
	assert_null(l.c);
	assert_non_null(strstr(l.text, "\"cert-path\" cannot be set for all vhosts"));
	assert_non_null(strstr(l.text, "this account has another directory at conf:"));
	assert_non_null(strstr(l.text, "the certificate for \"c\" is asked for in another way at conf:"));
	unload(&l);

	l = load_good("vhosts:\n- name: a\n  port: 80\n  acme-key: rsa\n" M);
	assert_non_null(strstr(l.text, "\"acme-key\" without \"acme\" does nothing"));
	unload(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),	   cmocka_unit_test(places),  cmocka_unit_test(sharing),
		cmocka_unit_test(sharing_by_path), cmocka_unit_test(missing), cmocka_unit_test(refused),
		cmocka_unit_test(conflicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
