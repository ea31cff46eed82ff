/*
 * What the keys about routing mean: header rules of vhost and mount, redirects, exact mounts, proxies that
 * are believed, error pages, and the places where a vhost listens.
 */
#include "tests/unit/conf/conf_test.h"

#define APP "  mounts: [ { mountpoint: /, origin: 'unix:/a' } ]\n"

static const char *rules_text(const struct conf_header *rules, size_t n)
{
	static char text[512];
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof text - at, "%c%.*s=%.*s ",
				       "=+-"[rules[i].op], STR_ARG(rules[i].name), STR_ARG(rules[i].value));
	return text;
}

/* Removed, set, added; a mount's behind its vhost's, wherever they stand. */
static void header_rules(void **state)
{
	struct loaded l = load_good("vhosts:\n"
				    "- name: a\n"
				    "  port: 80\n"
				    "  mounts:\n"
				    "  - { mountpoint: /, origin: 'unix:/a' }\n"
				    "  - mountpoint: /b\n"
				    "    origin: 'unix:/a'\n"
				    "    headers: { X-A: ' 2 ', X-C: '' }\n"
				    "    request-headers-remove: X-Q\n"
				    "    request-headers-add: { X-R: r }\n"
				    "  headers-add: [ { Link: a }, { link: b } ]\n"
				    "  headers: [ { X-A: 1, X-B: 1 } ]\n"
				    "  headers-remove: [ Server, X-Powered-By ]\n"
				    "  request-headers: { X-Q: q }\n");
	const struct conf_vhost *v = l.c->vhosts[0];
	const struct conf_mount *b = &v->mounts[0], *root = &v->mounts[1];

	(void)state;
	assert_string_equal(l.text, "");
	assert_string_equal(rules_text(v->headers, v->nheaders),
			    "-Server= -X-Powered-By= =X-A=1 =X-B=1 +Link=a +link=b ");
	assert_string_equal(rules_text(v->request_headers, v->nrequest_headers), "=X-Q=q ");
	assert_string_equal(rules_text(b->headers, b->nheaders),
			    "-Server= -X-Powered-By= =X-A=1 =X-B=1 +Link=a +link=b =X-A=2 =X-C= ");
	assert_string_equal(rules_text(b->request_headers, b->nrequest_headers), "=X-Q=q -X-Q= +X-R=r ");
	assert_ptr_equal(root->headers, v->headers);
	assert_int_equal(root->nheaders, v->nheaders);
	assert_ptr_equal(root->request_headers, v->request_headers);
	unload(&l);
}

static void redirects(void **state)
{
	struct loaded l = load_good(
		"vhosts:\n"
		"- name: a\n"
		"  port: 80\n"
		"  mounts:\n"
		"  - { mountpoint: /1, origin: '>https://b.example/x/' }\n"
		"  - { mountpoint: /2, origin: '^http://b.example:81', redirect-code: 308, append-path: on }"
		"\n"
		"  - { append-path: 0, mountpoint: /3, origin: '>https://b.example/x/?y#z',\n"
		"      redirect-code: 302 }\n"
		"  - { mountpoint: /4, origin: '>https://b.example/x/', append-path: no }\n");
	const struct conf_mount *m = l.c->vhosts[0]->mounts;

	(void)state;
	assert_str(m[0].redirect, "https://b.example/x");
	assert_int_equal(m[0].redirect_status, 301);
	assert_false(m[0].redirect_as_is);
	assert_str(m[1].redirect, "http://b.example:81");
	assert_int_equal(m[1].redirect_status, 308);
	assert_str(m[2].redirect, "https://b.example/x/?y#z");
	assert_int_equal(m[2].redirect_status, 302);
	assert_true(m[2].redirect_as_is);
	assert_str(m[3].redirect, "https://b.example/x/");
	unload(&l);
}

static void exact_mounts(void **state)
{
	struct loaded l = load_good("vhosts:\n"
				    "- name: a\n"
				    "  port: 80\n"
				    "  mounts:\n"
				    "  - { mountpoint: /app, origin: 'unix:/a' }\n"
				    "  - { mountpoint: /app, origin: 'unix:/a', exact-match: 1 }\n"
				    "  - { mountpoint: /app/, origin: 'unix:/a', exact-match: 1 }\n"
				    "  - { mountpoint: /dir/, origin: 'unix:/a' }\n");
	const struct conf_mount *m = l.c->vhosts[0]->mounts;

	(void)state;
	assert_str(m[0].mountpoint, "/app/");
	assert_true(m[0].exact);
	assert_str(m[1].mountpoint, "/app");
	assert_true(m[1].exact);
	assert_str(m[2].mountpoint, "/app");
	assert_false(m[2].exact);
	assert_str(m[3].mountpoint, "/dir");
	unload(&l);
}

static void networks(void **state)
{
	static const struct {
		const char *text;
		uint8_t first, last, bits;
	} rows[] = {
		{ "10.0.0.0/8", 0, 0, 104 },  { "192.0.2.1", 0, 1, 128 },	{ "0.0.0.0/0", 0, 0, 96 },
		{ "192.0.2.1/32", 0, 1, 128 }, { "192.0.2.128/25", 0, 128, 121 }, { "::/0", 0, 0, 0 },
		{ "2001:db8::/32", 0x20, 0, 32 }, { "fe80::1", 0xfe, 1, 128 },
	};
	static const char *const bad[] = {
		"", "/", "/8", "10/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/-1",
		"10.0.0.0/8/8", "10.0.0.1/8", "::1/127", "::/129", "[::1]", "10.0.0.0 ", "localhost",
		"1.2.3.4:80",
		"1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111",
	};
	struct conf_net net;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_null(conf_net_parse(str_from_c(rows[i].text), &net));
		assert_int_equal(net.ip[0], rows[i].first);
		assert_int_equal(net.ip[15], rows[i].last);
		assert_int_equal(net.bits, rows[i].bits);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (!conf_net_parse(str_from_c(bad[i]), &net))
			fail_msg("%s", bad[i]);
}

/* Lists of several files come together only when they are the same; one value is a list, too. */
static void proxies(void **state)
{
	struct loaded l = load_good("global: { trusted-proxies: [ 10.0.0.0/8, unix, '::1' ], via: 1,\n"
				    "  forwarded: on }\n"
				    "vhosts:\n- name: a\n  port: 80\n" APP);

	(void)state;
	assert_int_equal(l.c->global.trusted.n, 2);
	assert_int_equal(l.c->global.trusted.nets[1].ip[15], 1);
	assert_true(l.c->global.trusted.unix_peers && l.c->global.via && l.c->global.forwarded);
	unload(&l);
	l = load_good("global: { trusted-proxies: 192.0.2.1 }\nvhosts:\n- name: a\n  port: 80\n" APP);
	assert_int_equal(l.c->global.trusted.n, 1);
	assert_false(l.c->global.trusted.unix_peers || l.c->global.via || l.c->global.forwarded);
	unload(&l);
}

static void error_pages(void **state)
{
	struct loaded l = load_good("vhosts:\n"
				    "- name: a\n"
				    "  port: 80\n"
				    "  error-pages: { 503: /etc/down.html, '502': /etc/down.html }\n"
				    "  error-document-404: /etc/none.html\n" APP);
	const struct conf_vhost *v = l.c->vhosts[0];

	(void)state;
	assert_int_equal(v->npages, 3);
	assert_int_equal(v->pages[0].status, 503);
	assert_str(v->pages[1].path, "/etc/down.html");
	assert_int_equal(v->pages[2].status, 404);
	assert_int_equal(l.c->nfiles, 2);
	assert_str(l.c->files[1]->path, "/etc/none.html");
	assert_false(l.c->files[1]->secret);
	unload(&l);
}

/* A vhost in several places is one of each listener's. */
static void places(void **state)
{
	struct loaded l = load_good("vhosts:\n"
				    "- { name: a, port: 80, interface: [ 127.0.0.1, '::1', eth0 ],\n"
				    "    mounts: [ { mountpoint: /, origin: 'unix:/a' } ] }\n"
				    "- { name: b, port: 80, interface: '::1',\n"
				    "    mounts: [ { mountpoint: /, origin: 'unix:/a' } ] }\n");
	const struct config *c = l.c;

	(void)state;
	assert_int_equal(c->nlisteners, 3);
	assert_str(c->listeners[0]->name, "127.0.0.1:80");
	assert_str(c->listeners[1]->name, "[::1]:80");
	assert_str(c->listeners[2]->name, "eth0:80");
	assert_int_equal(c->vhosts[0]->nlisteners, 3);
	assert_ptr_equal(c->vhosts[0]->listener, c->listeners[0]);
	assert_int_equal(c->listeners[0]->nvhosts, 1);
	assert_int_equal(c->listeners[1]->nvhosts, 2);
	assert_ptr_equal(c->listeners[1]->vhosts[0], c->vhosts[0]);
	assert_ptr_equal(c->listeners[1]->vhosts[1], c->vhosts[1]);
	assert_int_equal(c->listeners[2]->nvhosts, 1);
	unload(&l);
}

static void sockets(void **state)
{
	struct loaded l = load_good("vhosts:\n"
				    "- { name: a, unix-socket: 1, interface: [ /a, '@b' ], "
				    "unix-socket-perms: 'www-data:adm:0660',\n"
				    "    mounts: [ { mountpoint: /, origin: 'unix:/x' } ] }\n"
				    "- { name: b, unix-socket: 1, interface: /c, unix-socket-perms: 'x:y',\n"
				    "    mounts: [ { mountpoint: /, origin: 'unix:/x' } ] }\n");

	(void)state;
	assert_str(l.c->listeners[0]->name, "unix:/a");
	assert_str(l.c->listeners[0]->unix_user, "www-data");
	assert_str(l.c->listeners[0]->unix_group, "adm");
	assert_int_equal(l.c->listeners[0]->unix_mode, 0660);
	assert_str(l.c->listeners[1]->name, "unix:@b");
	assert_int_equal(l.c->listeners[2]->unix_mode, 0);
	unload(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_rules), cmocka_unit_test(redirects), cmocka_unit_test(exact_mounts),
		cmocka_unit_test(networks),	cmocka_unit_test(proxies),   cmocka_unit_test(error_pages),
		cmocka_unit_test(places),	cmocka_unit_test(sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
