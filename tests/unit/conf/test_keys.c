/*
 * The key table: a row for every key that configurations of the past have, and the list that people read.
 */
#include "tests/unit/conf/conf_test.h"
#include "conf/keys.h"
#include "conf/manual.h"

/* Every key that the documentation of lwsws names, and where it stands there. */
static const struct {
	enum conf_scope scope;
	const char *name;
} ancestral[] = {
	{ CONF_IN_FILE, "global" },
	{ CONF_IN_FILE, "vhosts" },
	{ CONF_IN_GLOBAL, "username" },
	{ CONF_IN_GLOBAL, "groupname" },
	{ CONF_IN_GLOBAL, "uid" },
	{ CONF_IN_GLOBAL, "gid" },
	{ CONF_IN_GLOBAL, "count-threads" },
	{ CONF_IN_GLOBAL, "server-string" },
	{ CONF_IN_GLOBAL, "ws-pingpong-secs" },
	{ CONF_IN_GLOBAL, "init-ssl" },
	{ CONF_IN_GLOBAL, "reject-service-keywords" },
	{ CONF_IN_GLOBAL, "timeout-secs" },
	{ CONF_IN_GLOBAL, "plugin-dir" },
	{ CONF_IN_VHOST, "name" },
	{ CONF_IN_VHOST, "port" },
	{ CONF_IN_VHOST, "interface" },
	{ CONF_IN_VHOST, "host-ssl-key" },
	{ CONF_IN_VHOST, "host-ssl-cert" },
	{ CONF_IN_VHOST, "host-ssl-ca" },
	{ CONF_IN_VHOST, "mounts" },
	{ CONF_IN_VHOST, "ws-protocols" },
	{ CONF_IN_VHOST, "keeplive-timeout" },
	{ CONF_IN_VHOST, "keepalive_timeout" },
	{ CONF_IN_VHOST, "unix-socket" },
	{ CONF_IN_VHOST, "unix-socket-perms" },
	{ CONF_IN_VHOST, "sts" },
	{ CONF_IN_VHOST, "access-log" },
	{ CONF_IN_VHOST, "enable-client-ssl" },
	{ CONF_IN_VHOST, "ciphers" },
	{ CONF_IN_VHOST, "client-ssl-ciphers" },
	{ CONF_IN_VHOST, "tls13-ciphers" },
	{ CONF_IN_VHOST, "client-tls13-ciphers" },
	{ CONF_IN_VHOST, "ecdh-curve" },
	{ CONF_IN_VHOST, "noipv6" },
	{ CONF_IN_VHOST, "ipv6only" },
	{ CONF_IN_VHOST, "ssl-option-set" },
	{ CONF_IN_VHOST, "ssl-option-clear" },
	{ CONF_IN_VHOST, "ssl-client-option-set" },
	{ CONF_IN_VHOST, "ssl-client-option-clear" },
	{ CONF_IN_VHOST, "headers" },
	{ CONF_IN_VHOST, "client-cert-required" },
	{ CONF_IN_VHOST, "listen-accept-role" },
	{ CONF_IN_VHOST, "listen-accept-protocol" },
	{ CONF_IN_VHOST, "apply-listen-accept" },
	{ CONF_IN_VHOST, "fallback-listen-accept" },
	{ CONF_IN_VHOST, "allow-non-tls" },
	{ CONF_IN_VHOST, "redirect-http" },
	{ CONF_IN_VHOST, "allow-http-on-https" },
	{ CONF_IN_VHOST, "h2-half-closed-long-poll" },
	{ CONF_IN_VHOST, "ignore-missing-cert" },
	{ CONF_IN_MOUNT, "mountpoint" },
	{ CONF_IN_MOUNT, "origin" },
	{ CONF_IN_MOUNT, "default" },
	{ CONF_IN_MOUNT, "pmo" },
	{ CONF_IN_MOUNT, "cgi-env" },
	{ CONF_IN_MOUNT, "cgi-timeout" },
	{ CONF_IN_MOUNT, "cache-max-age" },
	{ CONF_IN_MOUNT, "cache-reuse" },
	{ CONF_IN_MOUNT, "cache-revalidate" },
	{ CONF_IN_MOUNT, "cache-intermediaries" },
	{ CONF_IN_MOUNT, "extra-mimetypes" },
	{ CONF_IN_MOUNT, "basic-auth" },
	{ CONF_IN_RAW_PROXY, "status" },
	{ CONF_IN_RAW_PROXY, "onward" },
	{ CONF_IN_RAW_PROXY, "default" },
	{ CONF_IN_RAW_PROXY, "raw" },
	{ CONF_IN_ACME, "auth-path" },
	{ CONF_IN_ACME, "cert-path" },
	{ CONF_IN_ACME, "key-path" },
	{ CONF_IN_ACME, "directory-url" },
	{ CONF_IN_ACME, "country" },
	{ CONF_IN_ACME, "state" },
	{ CONF_IN_ACME, "locality" },
	{ CONF_IN_ACME, "organization" },
	{ CONF_IN_ACME, "common-name" },
	{ CONF_IN_ACME, "email" },
};

static void every_ancestral_key_has_a_row(void **state)
{
	size_t missing = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ancestral); i++) {
		if (conf_key_find(ancestral[i].scope, str_from_c(ancestral[i].name)))
			continue;
		print_error("no row: %s %s\n", ancestral[i].name, conf_scope_text(ancestral[i].scope));
		missing++;
	}
	assert_int_equal(missing, 0);
}

/* Kebab case, a meaning, no other row of that name in its scope. */
static void every_row_is_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < CONF_KEY_COUNT; i++) {
		const struct conf_key *k = &conf_keys()[i];

		assert_true(k->what && k->what[0] && k->set);
		assert_int_equal(strspn(k->name, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(k->name));
		assert_ptr_equal(conf_key_find(k->scope, str_from_c(k->name)), k);
		assert_true(strlen(k->what) < 100 && k->what[strlen(k->what) - 1] != '.');
	}
}

static char *told(void (*tell)(FILE *out))
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	tell(f);
	fclose(f);
	return text;
}

/* Blanks between columns count as one. */
static bool begins(const char *line, const char *how)
{
	for (; *how; how++) {
		if (*line++ != *how)
			return false;
		while (*how == ' ' && *line == ' ')
			line++;
		while (*how == ' ' && how[1] == ' ')
			how++;
	}
	return true;
}

static bool has_line(const char *text, const char *beginning, const char *end)
{
	const char *next;

	for (const char *line = text; *line; line = next + 1) {
		next = strchr(line, '\n');
		if (begins(line, beginning) && str_ends(str_of(line, (size_t)(next - line)), str_from_c(end)))
			return true;
	}
	return false;
}

static void the_list_has_a_line_for_each(void **state)
{
	/* as it begins, as it ends */
	static const char *const lines[][2] = {
		{ "in global:", "" },
		{ "  count-threads  count 0 ", "0: one a CPU (a change takes new workers)" },
		{ "  init-ssl bool - ", "accepted, has nothing to do here: TLS is always there" },
		{ "  port port required ", "port to listen on" },
		{ "  redirect-code count 301 ", "307 or 308" },
		{ "  append-path bool yes ", "path and query" },
		{ "  tls-min-version text 1.2 ", "1.2 or 1.3" },
		{ "  sts bool no ", "send Strict-Transport-Security" },
		{ "  keepalive-timeout duration 60s ", "(also: keeplive-timeout keepalive_timeout)" },
		{ "  request-head size 64k ", "request head (431); also in a vhost" },
		{ "  request-body size none ", "request body (413); also in a vhost or mount" },
		{ "  ride-out duration 5s ", "" },
		{ "  ping duration 5m ", "" },
		{ "  tunnel-idle duration 24h ", "" },
		{ "  duration a duration: write 500ms, ", "plain number is seconds" },
	};
	char *text = told(conf_manual_print);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		if (!has_line(text, lines[i][0], lines[i][1]))
			fail_msg("%s...%s\n%s", lines[i][0], lines[i][1], text);
	free(text);
}

/* Requests begin a line, and nothing else does; what is no request has no bare dash or backslash. */
static void the_manual_is_roff(void **state)
{
	char *text = told(conf_manual_roff), *line, *rest = text;
	size_t keys = 0;

	(void)state;
	assert_non_null(strstr(text, "\n.TP\n\\fBcount\\-threads\\fR (a whole number; default: 0)\n"));
	assert_non_null(strstr(text, "\n.TP\n\\fBport\\fR (a port; required)\nport to listen on.\n"));
	while ((line = strsep(&rest, "\n"))) {
		if (line[0] == '.')
			assert_true(str_starts(str_from_c(line), STR(".TP")) ||
				    str_starts(str_from_c(line), STR(".SS Keys ")) ||
				    str_eq(str_from_c(line), STR(".SS Values")));
		assert_true(line[0] != '\'');
		keys += str_starts(str_from_c(line), STR("\\fB"));
		for (const char *p = line; *p; p++)
			assert_true(*p != '-' || (p > line && p[-1] == '\\'));
	}
	assert_int_equal(keys, CONF_KEY_COUNT);
	free(text);
}

static void text_is_escaped(void **state)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	conf_manual_roff_text(".a-b\\c", f);
	conf_manual_roff_text("'d", f);
	fclose(f);
	assert_string_equal(text, "\\&.a\\-b\\ec\\&'d");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_ancestral_key_has_a_row), cmocka_unit_test(every_row_is_whole),
		cmocka_unit_test(the_list_has_a_line_for_each),  cmocka_unit_test(the_manual_is_roff),
		cmocka_unit_test(text_is_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
