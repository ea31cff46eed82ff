/* Where raw connections go, and what a listener does with them. */
#include "tests/unit/conf/conf_test.h"

static void onward(void **state)
{
	static const struct {
		const char *text, *address; /* NULL: refused */
		bool is_unix;
		uint16_t port;
	} cases[] = {
		{ "ipv4:127.0.0.1:22", "127.0.0.1", false, 22 },
		{ "ipv6:[::1]:22", "::1", false, 22 },
		{ "unix:/run/x.sock", "/run/x.sock", true, 0 },
		{ "unix:@name", "@name", true, 0 },
		{ "localhost:65535", "localhost", false, 65535 },
		{ "name.example:22", "name.example", false, 22 },
		{ "under_score.:22", "under_score.", false, 22 },
		{ "10.0.0.1:1", "10.0.0.1", false, 1 },
		{ "[2001:db8::1]:2222", "2001:db8::1", false, 2222 },
		{ "", NULL, false, 0 },
		{ "ipv4:", NULL, false, 0 },
		{ "ipv4:127.0.0.1", NULL, false, 0 },
		{ "ipv4:127.0.0.1:", NULL, false, 0 },
		{ "ipv4:127.0.0.1:0", NULL, false, 0 },
		{ "ipv4:127.0.0.1:65536", NULL, false, 0 },
		{ "ipv4:127.0.0.1:22x", NULL, false, 0 },
		{ "ipv4:127.0.0:22", NULL, false, 0 },
		{ "ipv4:[::1]:22", NULL, false, 0 },
		{ "ipv6:127.0.0.1:22", NULL, false, 0 },
		{ "ipv6:::1:22", NULL, false, 0 },
		{ "[127.0.0.1]:22", NULL, false, 0 },
		{ ":22", NULL, false, 0 },
		{ "[]:22", NULL, false, 0 },
		{ "name..example:22", NULL, false, 0 },
		{ "127.0.1:22", NULL, false, 0 },
		{ "0x7f000001:22", NULL, false, 0 },
		{ "a:b:22", NULL, false, 0 },
		{ "ipv4:name.example:22", NULL, false, 0 },
		{ "ipv6:name.example:22", NULL, false, 0 },
		{ "unix:", NULL, false, 0 },
		{ "unix:run", NULL, false, 0 },
		{ "unix:@", NULL, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct conf_origin o;
		const char *remedy = NULL, *reason;

		reason = conf_onward_parse(str_from_c(cases[i].text), &o, &remedy);
		if (!cases[i].address) {
			if (!reason)
				print_error("%s is taken\n", cases[i].text);
			assert_non_null(reason);
			assert_non_null(remedy);
			continue;
		}
		if (reason)
			print_error("%s: %s\n", cases[i].text, reason);
		assert_null(reason);
		assert_str(o.address, cases[i].address);
		assert_int_equal(o.is_unix, cases[i].is_unix);
		assert_int_equal(o.port, cases[i].port);
	}
}

#define RAW(options) "ws-protocols: [ { raw-proxy: { status: ok, " options " } } ]\n"

static struct loaded load_vhost(const char *keys)
{
	static char text[4096];

	snprintf(text, sizeof text, "vhosts:\n- name: a.example\n  port: 80\n  %s", keys);
	return load_good(text);
}

static void modes(void **state)
{
	struct loaded l = load_vhost("fallback-listen-accept: 1\n  listen-accept-role: raw-proxy\n"
				     "  mounts: [ { mountpoint: /, origin: \"unix:/a\" } ]\n"
				     "  " RAW("onward: \"ipv6:[0:0::1]:22\", onward-proxy-protocol: 1"));
	const struct conf_raw *raw = &l.c->listeners[0]->vhosts[0]->raw;

	(void)state;
	assert_string_equal(l.text, "");
	assert_true(raw->fallback);
	assert_true(raw->proxy_header);
	assert_false(raw->only);
	assert_str(raw->onward->name, "[::1]:22");
	assert_int_equal(l.c->ntargets, 1); /* of the mount */
	unload(&l);

	l = load_vhost("onlyraw: yes\n  " RAW("onward: \"unix:/run/x\""));
	assert_string_equal(l.text, "");
	assert_true(l.c->vhosts[0]->raw.only);
	assert_str(l.c->vhosts[0]->raw.onward->name, "unix:/run/x");
	unload(&l);

	/* the options may have the name that the vhost says */
	l = load_vhost("apply-listen-accept: 1\n  ws-protocols: { mine: { onward: \"localhost:22\" } }\n"
		       "  listen-accept-protocol: mine\n");
	assert_string_equal(l.text, "");
	assert_str(l.c->vhosts[0]->raw.onward->name, "127.0.0.1:22");
	assert_false(l.c->vhosts[0]->raw.onward->is_name);
	unload(&l);

	l = load_vhost("onlyraw: yes\n  " RAW("onward: \"SSH.Internal:22\""));
	assert_string_equal(l.text, "");
	assert_str(l.c->vhosts[0]->raw.onward->name, "ssh.internal:22");
	assert_true(l.c->vhosts[0]->raw.onward->is_name);
	unload(&l);
}

static void assert_says(const char *keys, const char *what)
{
	struct loaded l = load_vhost(keys);

	if (!strstr(l.text, what))
		print_error("%s\nnot in:\n%s", what, l.text);
	assert_non_null(strstr(l.text, what));
	unload(&l);
}

static void warnings(void **state)
{
	(void)state;
	assert_says("apply-listen-accept: 1\n", "warning: raw connections have nowhere to go");
	assert_says("mounts: []\n  " RAW("onward: \"localhost:22\""), "warning: no connection goes there");
	assert_says("redirect-http: 1\n", "\"redirect-http\" without a certificate does nothing");
	assert_says("allow-http-on-https: 1\n", "\"allow-http-on-https\" without a certificate does nothing");
	assert_says("onlyraw: 1\n  " RAW("onward: \"localhost:22\"") "- name: b.example\n  port: 80\n",
		    "takes every connection on *:80 as raw");
	assert_says("sts: 0\n- name: b.example\n  port: 80\n  fallback-listen-accept: 1\n  "
		    RAW("onward: \"localhost:22\""), "decides about raw connections on *:80");
}

static void refused(void **state)
{
	struct loaded l = load_text("vhosts:\n- name: a\n  port: 80\n  listen-accept-role: raw-skt\n"
				    "  " RAW("onward: \"name.example.1:22\""));

	(void)state;
	assert_null(l.c);
	assert_non_null(strstr(l.text, "there is no role \"raw-skt\" here"));
	assert_non_null(strstr(l.text, "neither an IPv4 address nor a host name"));
	unload(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(onward),
		cmocka_unit_test(modes),
		cmocka_unit_test(warnings),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
