/*
 * What a good configuration means: values, defaults, levels, listeners, targets; and that loading piece by
 * piece is loading.
 */
#include "tests/unit/conf/conf_test.h"
#include "tests/unit/guard.h"

#define APP "  mounts: [ { mountpoint: /, origin: 'unix:/a' } ]\n"

static void defaults(void **state)
{
	struct loaded l = load_good("vhosts:\n- name: a\n  port: 80\n" APP);
	const struct config *c = l.c;

	(void)state;
	assert_string_equal(l.text, "");
	assert_int_equal(c->global.workers, 0);
	assert_memory_equal(&c->global.limits, &limits_default, sizeof limits_default);
	assert_memory_equal(&c->vhosts[0]->timeouts, &timeouts_default, sizeof timeouts_default);
	assert_memory_equal(&c->vhosts[0]->mounts[0].limits, &limits_default, sizeof limits_default);
	assert_false(c->global.connections_per_address_written);
	assert_int_equal(c->vhosts[0]->access_log, -1);
	assert_false(c->vhosts[0]->tls);
	assert_int_equal(c->refs, 1);
	assert_ptr_equal(c->listeners[0]->vhosts[0], c->vhosts[0]);
	assert_string_equal(c->vhosts[0]->pos.file, "conf");
	assert_int_equal(c->vhosts[0]->pos.line, 2);
	assert_int_equal(c->vhosts[0]->pos.column, 3);
	assert_int_equal(c->listeners[0]->pos.line, 3);
	assert_int_equal(c->listeners[0]->pos.column, 9);
	assert_int_equal(c->targets[0]->pos.column, 38);
	unload(&l);
}

/* A vhost overrides the global part, a mount the vhost, wherever in the files they stand. */
static void levels(void **state)
{
	struct loaded l = load_good("vhosts:\n"
				    "- name: a\n"
				    "  port: 80\n"
				    "  mounts:\n"
				    "  - { mountpoint: /, origin: 'unix:/a', limits: { request-body: 3 } }\n"
				    "  - { mountpoint: /b, origin: 'unix:/a', timeouts: { write: 7ms } }\n"
				    "  limits: { request-body: 2k, request-line: 9 }\n"
				    "global:\n"
				    "  limits: { request-body: 1m, request-line: 8, abuse: 5 }\n"
				    "  timeouts: { write: 2d, keepalive: 0 }\n");
	const struct conf_vhost *v = l.c->vhosts[0];

	(void)state;
	assert_int_equal(l.c->global.limits.request_body_bytes, 1 << 20);
	assert_int_equal(v->limits.request_body_bytes, 2048);
	assert_int_equal(v->limits.request_line_bytes, 9);
	assert_int_equal(v->limits.abuse, 5);
	assert_int_equal(v->timeouts.keepalive_ms, 0);
	assert_str(v->mounts[0].mountpoint, "/b");
	assert_int_equal(v->mounts[0].limits.request_body_bytes, 2048);
	assert_int_equal(v->mounts[0].timeouts.write_ms, 7);
	assert_int_equal(v->mounts[1].limits.request_body_bytes, 3);
	assert_int_equal(v->mounts[1].limits.request_line_bytes, 9);
	assert_int_equal(v->mounts[1].timeouts.write_ms, 2 * 86400 * 1000);
	unload(&l);
}

/* timeout-secs gives way to what `timeouts` says, whichever comes first. */
static void timeout_secs(void **state)
{
	struct loaded l = load_good("global: { timeouts: { handshake: 3s }, timeout-secs: 9 }\n"
				    "vhosts:\n- name: a\n  port: 80\n" APP);

	(void)state;
	assert_int_equal(l.c->global.timeouts.handshake_ms, 3000);
	assert_int_equal(l.c->global.timeouts.request_head_ms, 9000);
	assert_int_equal(l.c->global.timeouts.upstream_connect_ms, 9000);
	unload(&l);
	l = load_good("global: { timeout-secs: 9, timeouts: { handshake: 3s } }\n"
		      "vhosts:\n- name: a\n  port: 80\n" APP);
	assert_int_equal(l.c->global.timeouts.handshake_ms, 3000);
	unload(&l);
}

static void per_address(void **state)
{
	struct loaded l = load_good("global: { ip-limit-wsi: 0 }\nvhosts:\n- name: a\n  port: 80\n" APP);

	(void)state;
	assert_true(l.c->global.limits.connections_per_address == LIMIT_NONE);
	assert_true(l.c->global.connections_per_address_written);
	unload(&l);
	l = load_good(
		"global: { limits: { connections-per-address: 512 } }\nvhosts:\n- name: a\n  port: 80\n" APP);
	assert_int_equal(l.c->global.limits.connections_per_address, 512);
	assert_true(l.c->global.connections_per_address_written);
	unload(&l);
}

static void listeners(void **state)
{
	static const struct {
		const char *keys, *name, *interface;
		bool no_ipv6, only_ipv6;
	} rows[] = {
		{ "port: 443", "*:443", "", false, false },
		{ "port: 443\n  interface: ''", "*:443", "", false, false },
		{ "port: 443\n  noipv6: on", "*:443", "", true, false },
		{ "port: 443\n  ipv6only: on", "*:443", "", false, true },
		{ "port: 443\n  ipv6only: off", "*:443", "", true, false },
		{ "port: 443\n  interface: 0.0.0.0", "*:443", "", true, false },
		{ "port: 443\n  interface: '::'", "*:443", "", false, true },
		{ "port: 443\n  interface: '[::]'", "*:443", "", false, true },
		{ "port: 443\n  interface: 127.0.0.1", "127.0.0.1:443", "127.0.0.1", false, false },
		{ "port: 443\n  interface: localhost", "127.0.0.1:443", "127.0.0.1", false, false },
		{ "port: 443\n  interface: '0:0::0:1'", "[::1]:443", "::1", false, false },
		{ "port: 443\n  interface: '[::1]'", "[::1]:443", "::1", false, false },
		{ "port: 443\n  interface: eth0", "eth0:443", "eth0", false, false },
		{ "port: 443\n  interface: eth0\n  noipv6: 1", "eth0:443", "eth0", true, false },
		{ "unix-socket: 1\n  interface: /run/x", "unix:/run/x", "/run/x", false, false },
		{ "unix-socket: 1\n  interface: '@x'\n  port: 7", "unix:@x", "@x", false, false },
		{ "port: 65535", "*:65535", "", false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[256];
		struct loaded l;

		snprintf(text, sizeof text, "vhosts:\n- name: a\n  %s\n" APP, rows[i].keys);
		l = load_good(text);
		assert_string_equal(l.text, "");
		assert_int_equal(l.c->nlisteners, 1);
		assert_str(l.c->listeners[0]->name, rows[i].name);
		assert_str(l.c->listeners[0]->interface, rows[i].interface);
		assert_int_equal(l.c->listeners[0]->no_ipv6, rows[i].no_ipv6);
		assert_int_equal(l.c->listeners[0]->only_ipv6, rows[i].only_ipv6);
		unload(&l);
	}
}

/* A name is one target however it is written; a dot at its end makes it another name. */
static void named_upstreams(void **state)
{
	struct loaded l =
		load_good("vhosts:\n"
			  "- { name: a, port: 80, mounts: ["
			  " { mountpoint: /, origin: 'http://App_1.internal:81' },"
			  " { mountpoint: /x, origin: 'http://app_1.INTERNAL:81/x' },"
			  " { mountpoint: /y, origin: 'http://app_1.internal.:81' },"
			  " { mountpoint: /z, origin: 'http://127.0.0.1:81' } ] }\n");
	const struct config *c = l.c;

	(void)state;
	assert_int_equal(c->ntargets, 3);
	assert_str(c->targets[0]->name, "app_1.internal:81");
	assert_str(c->targets[0]->address, "app_1.internal");
	assert_true(c->targets[0]->is_name);
	assert_str(c->targets[1]->name, "app_1.internal.:81");
	assert_false(c->targets[2]->is_name);
	unload(&l);
}

/* Vhosts of one address and port share its listener, in their order. */
static void sharing(void **state)
{
	struct loaded l =
		load_good("vhosts:\n"
			  "- { name: b, port: 80, mounts: [ { mountpoint: /, origin: 'unix:/a' } ] }\n"
			  "- { name: x, port: 81, mounts: [ { mountpoint: /, origin: 'unix:/b' } ] }\n"
			  "- { name: a, port: 80, mounts: [ { mountpoint: /, origin: 'unix:/a:/x' } ] }\n"
			  "- { name: b, port: 81, mounts: [ { mountpoint: /, origin: 'http://[0::1]' } ] }\n"
			  "- { name: c, port: 81, mounts: [ { mountpoint: /, origin: 'http://[::1]:80/' },"
			  " { mountpoint: /x/, origin: 'http://LOCALHOST:80/' } ] }\n");
	const struct config *c = l.c;

	(void)state;
	assert_int_equal(c->nlisteners, 2);
	assert_int_equal(c->listeners[0]->nvhosts, 2);
	assert_str(c->listeners[0]->vhosts[0]->name, "b");
	assert_str(c->listeners[0]->vhosts[1]->name, "a");
	assert_int_equal(c->listeners[1]->nvhosts, 3);
	assert_int_equal(c->ntargets, 4);
	assert_str(c->targets[0]->name, "unix:/a");
	assert_str(c->targets[1]->name, "unix:/b");
	assert_str(c->targets[2]->name, "[::1]:80");
	assert_str(c->targets[2]->address, "::1");
	assert_int_equal(c->targets[2]->port, 80);
	assert_str(c->targets[3]->name, "127.0.0.1:80");
	assert_ptr_equal(c->vhosts[0]->mounts[0].target, c->vhosts[2]->mounts[0].target);
	assert_ptr_equal(c->vhosts[3]->mounts[0].target, c->vhosts[4]->mounts[1].target);
	unload(&l);
}

static void names_and_logs(void **state)
{
	struct loaded l = load_good("vhosts:\n"
				    "- name: WWW.Example.COM.\n  port: 80\n  access-log: /var/log/a\n" APP
				    "- name: '*.Example.com'\n  port: 80\n  access-log: /var/log/b\n" APP
				    "- name: x_1.example\n  port: 80\n  access-log: ''\n" APP
				    "- name: 192.0.2.1\n  port: 80\n  access-log: /var/log/a\n" APP);

	(void)state;
	assert_string_equal(l.text, "");
	assert_str(l.c->vhosts[0]->name, "www.example.com");
	assert_str(l.c->vhosts[1]->name, "*.example.com");
	assert_int_equal(l.c->nlogs, 2);
	assert_int_equal(l.c->vhosts[0]->access_log, 0);
	assert_int_equal(l.c->vhosts[1]->access_log, 1);
	assert_int_equal(l.c->vhosts[2]->access_log, -1);
	assert_int_equal(l.c->vhosts[3]->access_log, 0);
	unload(&l);
}

static void data_dir(void **state)
{
	static const struct conf_options opt = { .data_dir = { "/opt/share", 10 } };
	struct conf_source src = {
		STR("conf"),
		STR("global: { error-css: '_lws_ddir_/a.css', server-string: 'a _lws_ddir_ b' }\n"
		    "vhosts:\n- name: a\n  port: 80\n" APP)
	};
	struct conf_report r;
	struct config *c;

	(void)state;
	conf_report_init(&r);
	c = conf_load(&src, 1, &opt, &r);
	assert_non_null(c);
	assert_str(c->global.error_css, "/opt/share/a.css");
	assert_str(c->global.server_string, "a /opt/share b");
	assert_int_equal(c->nfiles, 1);
	conf_put(c);
	c = conf_load(&src, 1, NULL, &r);
	assert_str(c->global.error_css, "/usr/share/a.css");
	conf_put(c);
	conf_report_fini(&r);
}

static void alpn(void **state)
{
	struct loaded l =
		load_good("global: { default-alpn: 'h2, http/1.1' }\n"
			  "vhosts:\n- name: a\n  port: 80\n" APP
				    "- name: b\n  port: 80\n  alpn: http/1.1\n" APP);

	(void)state;
	assert_str(l.c->vhosts[0]->alpn, "h2,http/1.1");
	assert_str(l.c->vhosts[1]->alpn, "http/1.1");
	unload(&l);
}

/* Strings and native values, JSON and YAML: all the same. */
static void spellings(void **state)
{
	static const char *const texts[] = {
		"{\"vhosts\":[{\"name\":\"a\",\"port\":\"80\",\"noipv6\":\"on\",\"keepalive-timeout\":\"90\","
		"\"mounts\":[{\"mountpoint\":\"/\",\"origin\":\"http://+/run/a:/\"}]}]}",
		"{\"vhosts\":[{\"name\":\"a\",\"port\":80,\"noipv6\":true,\"keepalive-timeout\":90,"
		"\"mounts\":[{\"mountpoint\":\"\\/\",\"origin\":\"unix:\\u002frun/a\"}]}]}",
		"# c\n{\"vhosts\":[{\"name\":\"a\",#\"\n\"port\":80#c\n,\"noipv6\":1,#\n"
		"\"keepalive_timeout\":\"90s\"#}\n, \"mounts\":[{\"mountpoint\":'/',"
		"\"origin\":\"unix:/run/a\"}]}]}#",
		"vhosts:\n- name: a\n  port: 80\n  noipv6: YES\n  keeplive-timeout: 90s # c\n"
		"  mounts:\n  - mountpoint: /\n    origin: unix:/run/a\n",
		"---\nvhosts:\n\t- name: a\n\t  port: 80\n\t  noipv6: On\n"
		"\t  timeouts:\n\t\t\tkeepalive: 90000ms\n"
		"\t  mounts:\n\t\t- mountpoint: /\n\t\t  origin: unix:/run/a\n...\n",
		"\xef\xbb\xbfvhosts:\r\n- name: a\r\n  port: 80\r\n  noipv6: true\r\n"
		"  keepalive-timeout: 90\r\n"
		"  mounts:\r\n  - mountpoint: /\r\n    origin: unix:/run/a\r\n",
		"vhosts: { name: a, port: 80, noipv6: 1, keepalive-timeout: 90,\n"
		"  mounts: { mountpoint: /, origin: 'unix:/run/a:' } }",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct loaded l = load_good(texts[i]);
		const struct conf_vhost *v = l.c->vhosts[0];

		assert_string_equal(l.text, "");
		assert_str(v->name, "a");
		assert_int_equal(v->listener->port, 80);
		assert_true(v->listener->no_ipv6);
		assert_int_equal(v->timeouts.keepalive_ms, 90000);
		assert_str(v->mounts[0].mountpoint, "/");
		assert_str(v->mounts[0].target->name, "unix:/run/a");
		unload(&l);
	}
}

/* A '#' within a string is no comment, in either style of quotes. */
static void hashes(void **state)
{
	struct loaded l = load_good("{ \"global\": { \"server-string\": \"a # \\\" # b\", # \"c\"\n"
				    "\"username\": 'it''s # x', \"groupname\": \"#\" },\n"
				    "\"vhosts\": [ { \"name\": \"a\", \"port\": 80, \"mounts\":\n"
				    " [ { \"mountpoint\": \"/\", \"origin\": \"unix:/a\" } ] } ] }");

	(void)state;
	assert_str(l.c->global.server_string, "a # \" # b");
	assert_str(l.c->global.username, "it's # x");
	assert_str(l.c->global.groupname, "#");
	unload(&l);
}

/* A key whose whole contents are commented out. */
static void nothing_below(void **state)
{
	struct loaded l = load_good("global:\n  # username: x\n"
				    "vhosts:\n- name: a\n  port: 80\n  limits:\n  headers:\n" APP);

	(void)state;
	assert_string_equal(l.text, "");
	assert_memory_equal(&l.c->vhosts[0]->limits, &limits_default, sizeof limits_default);
	unload(&l);
}

static void merging(void **state)
{
	const struct conf_source src[] = {
		{ STR("conf"), STR("global: { count-threads: 2, limits: { abuse: 3 }, plugin-dir: /a }") },
		{ STR("conf.d/a"),
		  STR("global: { count-threads: \"2\", plugin-dir: /b, limits: { memory: 2m } }") },
		{ STR("conf.d/b"), STR("# nothing\n") },
		{ STR("conf.d/c"), STR("") },
		{ STR("conf.d/d"), STR("vhosts:\n- name: a\n  port: 80\n" APP) },
	};
	struct loaded l = load_sources(src, ARRAY_SIZE(src));

	(void)state;
	assert_non_null(l.c);
	assert_int_equal(l.c->global.workers, 2);
	assert_int_equal(l.c->global.limits.abuse, 3);
	assert_int_equal(l.c->global.limits.memory_bytes, 2 << 20);
	assert_string_equal(l.c->vhosts[0]->pos.file, "conf.d/d");
	assert_int_equal(l.c->vhosts[0]->limits.abuse, 3);
	unload(&l);
}

static void basic_auth(void **state)
{
	struct loaded l = load_good("vhosts:\n- name: a.example\n  port: 80\n"
				    "  interface: [ '::1', 127.0.0.1 ]\n"
				    "  mounts:\n"
				    "  - { mountpoint: /, origin: 'unix:/a', basic-auth: /p }\n"
				    "  - { mountpoint: /bb, origin: 'unix:/a' }\n"
				    "  - { mountpoint: /c, origin: 'unix:/a', basic-auth: /p,\n"
				    "      basic-auth-realm: 'The \"c\"', basic-auth-forward: 1 }\n");
	const struct conf_mount *m = l.c->vhosts[0]->mounts;

	(void)state;
	assert_string_equal(l.text, "");
	assert_str(m[2].auth_path, "/p");
	assert_str(m[2].auth_realm, "a.example");
	assert_false(m[2].auth_forward);
	assert_int_equal(m[2].kind, CONF_ORIGIN_PROXY);
	assert_int_equal(m[2].auth_pos.line, 6);
	assert_int_equal(m[0].auth_path.n, 0);
	assert_str(m[1].auth_realm, "The \"c\"");
	assert_true(m[1].auth_forward);
	assert_int_equal(l.c->nfiles, 1);
	assert_true(l.c->files[0]->secret);
	unload(&l);
}

static void counting(void **state)
{
	struct loaded l = load_good("vhosts:\n- name: a\n  port: 80\n" APP);
	struct config *second = conf_get(l.c);

	(void)state;
	assert_ptr_equal(second, l.c);
	assert_int_equal(l.c->refs, 2);
	conf_put(second);
	assert_int_equal(l.c->refs, 1);
	conf_put(NULL);
	unload(&l);
}

/* The input ends where an unreadable page begins, wherever it is cut. */
static void guarded(void **state)
{
	static const char text[] =
		"{ \"vhosts\": [ { \"name\": \"\xc3\xa4\", \"port\": 80, # c\r\n"
		"\t\"mounts\": [ { \"mountpoint\": \"/\", \"origin\": '>https://a' } ] } ] }\n"
		"%TAG ! x\n--- &a *b !c d\n...\n";
	struct guard g = guard_open(sizeof text);

	(void)state;
	for (size_t n = 0; n < sizeof text; n++) {
		struct loaded l = load_str(str_of(guard_tail(&g, text, n), n));

		unload(&l);
		l = load_str(str_of(guard_head(&g, text + n, sizeof text - 1 - n), sizeof text - 1 - n));
		unload(&l);
	}
	guard_close(&g);
}

/* A thousand vhosts, in steps: the same configuration, and no step that a client would notice. */
static void steps(void **state)
{
	char *text = NULL;
	size_t n = 0, steps = 0;
	FILE *out = open_memstream(&text, &n);
	struct conf_source src;
	struct conf_loader *loader;
	struct conf_report r;
	struct config *c;

	(void)state;
	fputs("vhosts:\n", out);
	for (int i = 0; i < 1000; i++)
		fprintf(out, "- name: host%d\n  port: 80\n" APP, i);
	fclose(out);
	src = (struct conf_source){ STR("conf"), { text, n } };
	conf_report_init(&r);
	loader = conf_load_open(&src, 1, NULL, &r);
	while (!conf_load_step(loader, 1))
		steps++;
	assert_true(steps > 50);
	c = conf_load_close(loader);
	assert_non_null(c);
	assert_int_equal(c->nvhosts, 1000);
	assert_int_equal(c->listeners[0]->nvhosts, 1000);
	assert_int_equal(c->ntargets, 1);
	conf_put(c);

	/* giving up half way, in every phase */
	for (size_t stop = 0; stop < steps; stop += 7) {
		loader = conf_load_open(&src, 1, NULL, &r);
		for (size_t i = 0; i < stop; i++)
			conf_load_step(loader, 1);
		assert_null(conf_load_close(loader));
	}
	conf_report_fini(&r);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),  cmocka_unit_test(levels), cmocka_unit_test(timeout_secs),
		cmocka_unit_test(listeners), cmocka_unit_test(named_upstreams),
		cmocka_unit_test(sharing), cmocka_unit_test(names_and_logs),
		cmocka_unit_test(data_dir),  cmocka_unit_test(alpn), cmocka_unit_test(spellings),
		cmocka_unit_test(hashes),    cmocka_unit_test(merging), cmocka_unit_test(basic_auth),
		cmocka_unit_test(counting),  cmocka_unit_test(guarded), cmocka_unit_test(per_address),
		cmocka_unit_test(steps), cmocka_unit_test(nothing_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
