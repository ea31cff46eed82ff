/* What is to be done with a request, from the vhost to the header rules. */
#include "proxy/worker/decide.h"
#include "tests/unit/proxy/conf.h"

static struct config *c;
static struct tables tables;
static struct arena arena;
static struct decide_from from;
static struct decision d;

static const struct conf_header vhost_rules[] = { { { "X-V", 3 }, { "1", 1 }, CONF_HEADER_SET } };
static const struct conf_header mount_rules[] = { { { "X-M", 3 }, { "1", 1 }, CONF_HEADER_SET } };

static struct conf_mount *redirect(struct conf_vhost *v, const char *mountpoint, const char *to)
{
	struct conf_mount *m = tconf_mount(v, str_from_c(mountpoint));

	m->kind = CONF_ORIGIN_REDIRECT;
	m->redirect = str_from_c(to);
	return m;
}

static int setup(void **state)
{
	struct conf_listener *l, *strict;
	struct conf_vhost *v;
	struct conf_mount *m;

	(void)state;
	c = tconf_new();
	arena_init(&arena);
	l = tconf_listener(c, "*:443", 3);
	strict = tconf_listener(c, "*:8443", 1);
	v = tconf_vhost(c, l, STR("a.test"), 16);
	v->headers = (struct conf_header *)(uintptr_t)vhost_rules;
	v->nheaders = 1;
	v->sts = true;
	tconf_proxy(c, v, "/", "unix:/root", "");
	tconf_proxy(c, v, "/app", "unix:/app", "/base");
	tconf_proxy(c, v, "/one", "unix:/app", "/other")->exact = true;
	tconf_proxy(c, v, "/dir/", "unix:/app", "")->exact = true;
	tconf_proxy(c, v, "/same", "unix:/app", "/same");
	redirect(v, "/moved", "https://b.test/to");
	redirect(v, "/gone", "https://b.test/?x=1#y")->redirect_as_is = true;
	redirect(v, "/gone/one/", "https://b.test/one")->exact = true;
	m = tconf_proxy(c, v, "/own", "unix:/app", "");
	m->headers = m->request_headers = (struct conf_header *)(uintptr_t)mount_rules;
	m->nheaders = m->nrequest_headers = 1;
	m->auth_forward = true;
	tconf_mount(v, STR("/none"))->kind = CONF_ORIGIN_NOT_SERVED;
	v = tconf_vhost(c, l, STR("*.b.test"), 1);
	redirect(v, "/x", "https://a.test");
	v = tconf_vhost(c, l, STR("c.test"), 1);
	tconf_proxy(c, v, "/error.css", "unix:/css", "/style.css")->exact = true;
	v = tconf_vhost(c, strict, STR("s.test"), 1);
	v->strict_host_check = true;
	tconf_proxy(c, v, "/", "unix:/root", "");
	tables_init(&tables, &arena, c);
	from = (struct decide_from){ .listener = &tables.listeners[0], .vhost = &tables.vhosts[0],
				     .tls = true };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	arena_fini(&c->arena);
	return 0;
}

static struct head *ask(const char *method, const char *host, const char *path)
{
	struct head *h = head_new(&arena, HEAD_REQUEST);

	h->method = str_from_c(method);
	h->authority = str_from_c(host);
	h->path = str_from_c(path);
	decide_request(&arena, h, &from, &d);
	return h;
}

/* Columns: host, path, what is done, with which error, the mountpoint, what is asked for there. */
static const struct {
	const char *host, *path;
	enum decide_what what;
	enum err why;
	const char *mountpoint, *target;
	bool rebased;
} rows[] = {
	{ "a.test", "/", DECIDE_UP, ERR_OK, "/", "/", false },
	{ "a.test", "/x?y", DECIDE_UP, ERR_OK, "/", "/x?y", false },
	{ "a.test", "/app/x?y", DECIDE_UP, ERR_OK, "/app", "/base/x?y", true },
	{ "a.test", "/apple", DECIDE_UP, ERR_OK, "/", "/apple", false },
	{ "a.test", "/one", DECIDE_UP, ERR_OK, "/one", "/other", true },
	{ "a.test", "/one?q", DECIDE_UP, ERR_OK, "/one", "/other?q", true },
	{ "a.test", "/%6fne", DECIDE_UP, ERR_OK, "/one", "/other", true },
	{ "a.test", "/one/", DECIDE_UP, ERR_OK, "/", "/one/", false },
	{ "a.test", "/dir/", DECIDE_UP, ERR_OK, "/dir/", "/", true },
	{ "a.test", "/dir", DECIDE_UP, ERR_OK, "/", "/dir", false },
	{ "a.test", "/same/x", DECIDE_UP, ERR_OK, "/same", "/same/x", false },
	{ "a.test", "/moved", DECIDE_REDIRECT, ERR_OK, "/moved", "https://b.test/to", false },
	{ "a.test", "/moved/x?y", DECIDE_REDIRECT, ERR_OK, "/moved", "https://b.test/to/x?y", false },
	{ "a.test", "/gone", DECIDE_REDIRECT, ERR_OK, "/gone", "https://b.test/?x=1#y", false },
	{ "a.test", "/gone/x?z", DECIDE_REDIRECT, ERR_OK, "/gone", "https://b.test/?x=1#y", false },
	{ "a.test", "/gone/one/?z", DECIDE_REDIRECT, ERR_OK, "/gone/one/", "https://b.test/one?z", false },
	{ "a.test", "/none", DECIDE_FAIL, ERR_NOT_SERVED, "/none", "", false },
	{ "a.test", "/%", DECIDE_FAIL, ERR_BAD_TARGET, NULL, "", false },
	{ "a.test", "/error.css", DECIDE_STYLE, ERR_OK, NULL, "", false },
	{ "a.test", "/x/../error.css?y", DECIDE_STYLE, ERR_OK, NULL, "", false },
	{ "a.test", "/error.css/x", DECIDE_UP, ERR_OK, "/", "/error.css/x", false },
	{ "x.b.test", "/", DECIDE_FAIL, ERR_NOT_FOUND, NULL, "", false },
	{ "x.b.test", "/x", DECIDE_REDIRECT, ERR_OK, "/x", "https://a.test", false },
	{ "c.test", "/error.css", DECIDE_UP, ERR_OK, "/error.css", "/style.css", true },
	{ "other.test", "/x", DECIDE_UP, ERR_OK, "/", "/x", false },
};

static void requests_lead_somewhere(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *mountpoint = rows[i].mountpoint;

		ask("GET", rows[i].host, rows[i].path);
		if (d.what != rows[i].what || d.why != rows[i].why || d.rebased != rows[i].rebased ||
		    !str_eq(d.target, str_from_c(rows[i].target)) || !d.mount != !mountpoint ||
		    (mountpoint && !str_eq(d.mount->conf->mountpoint, str_from_c(mountpoint))))
			fail_msg("%s%s: %d, %s, \"%.*s\"", rows[i].host, rows[i].path, d.what,
				 err_name(d.why), STR_ARG(d.target));
		assert_true(d.steps > 0);
	}
}

static void asterisks_ask_the_root(void **state)
{
	(void)state;
	ask("OPTIONS", "a.test", "*");
	assert_int_equal(d.what, DECIDE_UP);
	assert_str(d.target, "*");
	assert_str(d.mount->conf->mountpoint, "/");
	ask("OPTIONS", "x.b.test", "*");
	assert_int_equal(d.what, DECIDE_OPTIONS);
	assert_null(d.mount);
}

static void misdirected_requests_have_no_vhost(void **state)
{
	struct head *h;

	(void)state;
	from.listener = &tables.listeners[1];
	from.vhost = &tables.vhosts[3];
	ask("GET", "s.test", "/");
	assert_int_equal(d.what, DECIDE_UP);
	ask("GET", "a.test", "/");
	assert_int_equal(d.why, ERR_MISDIRECTED);
	assert_null(d.vhost);
	/* also by a connection whose SNI was right */
	from.sni = STR("s.test");
	ask("GET", "a.test", "/");
	assert_int_equal(d.why, ERR_MISDIRECTED);
	from.listener = NULL;
	ask("GET", "s.test", "/");
	assert_int_equal(d.why, ERR_MISDIRECTED);
	assert_null(d.vhost);
	/* an https resource over plain HTTP */
	from = (struct decide_from){ .listener = &tables.listeners[0], .vhost = &tables.vhosts[0] };
	h = ask("GET", "a.test", "/");
	assert_int_equal(d.what, DECIDE_UP);
	h->scheme = STR("https");
	decide_request(&arena, h, &from, &d);
	assert_int_equal(d.why, ERR_MISDIRECTED);
}

static void the_mount_says_how_to_ask(void **state)
{
	static const struct {
		const char *path, *prefix;
	} prefixes[] = { { "/app/x", "/app" }, { "/one", "/one" }, { "/dir/", "/dir" }, { "/same/x", "" },
			 { "/x", "" } };
	struct translate_up t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		t = (struct translate_up){ .peer = STR("p") };
		ask("GET", "a.test", prefixes[i].path);
		decide_up(&d, &from, &t);
		assert_str(t.prefix, prefixes[i].prefix);
		assert_str(t.authority, "a.test");
		assert_str(t.peer, "p");
		assert_true(t.tls);
		assert_false(t.keeps_authorization);
	}
	ask("GET", "a.test", "/own/x");
	decide_up(&d, &from, &t);
	assert_ptr_equal(t.rules, mount_rules);
	assert_int_equal(t.nrules, 1);
	assert_true(t.keeps_authorization);
	/* a client that names no host gets one that the upstream can use */
	ask("GET", "c.test", "/error.css");
	decide_up(&d, &from, &t);
	assert_str(t.authority, "c.test");
}

static void answers_follow_the_rules_of_mount_or_vhost(void **state)
{
	struct translate_down t = { 0 };
	struct head *h = ask("GET", "a.test:8443", "/app/x");

	(void)state;
	decide_down(&d, &from, h, &t);
	assert_ptr_equal(t.rules, vhost_rules);
	assert_true(t.is_mapped && t.sts);
	assert_false(t.is_ours);
	assert_str(t.authority, "a.test:8443");
	assert_str(t.mountpoint, "/app");
	assert_str(t.base, "/base");
	t = (struct translate_down){ 0 };
	decide_down(&d, &from, NULL, &t);
	assert_true(t.is_ours);
	assert_false(t.is_mapped);
	/* a mount of one path shows nothing but that */
	t = (struct translate_down){ 0 };
	h = ask("GET", "a.test", "/one");
	decide_down(&d, &from, h, &t);
	assert_false(t.is_mapped);
	h = ask("GET", "a.test", "/own");
	decide_down(&d, &from, h, &t);
	assert_ptr_equal(t.rules, mount_rules);
	h = ask("GET", "x.b.test", "/");
	t = (struct translate_down){ 0 };
	decide_down(&d, &from, NULL, &t);
	assert_int_equal(t.nrules, 0);
	assert_false(t.sts);
	d = (struct decision){ 0 };
	decide_down(&d, &from, NULL, &t);
	assert_int_equal(t.nrules, 0);
}

/* A client that was let in by one policy is not let in by another, whichever asks for more. */
static void what_a_client_proved_is_good_for_the_same_policy_alone(void **state)
{
	static const struct {
		const char *vhost, *conn;
		bool good;
	} policies[] = {
		{ "", "", true },   { "ca", "ca", true },   { "ca", "", false },
		{ "", "ca", false }, { "ca", "cb", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(policies); i++)
		for (int by_sni = 0; by_sni < 2; by_sni++) {
			tables.vhosts[0].client_ca = str_from_c(policies[i].vhost);
			from.client_ca = str_from_c(policies[i].conn);
			from.sni = by_sni ? STR("a.test") : STR_NONE;
			ask("GET", "a.test", "/");
			assert_int_equal(d.what == DECIDE_UP, policies[i].good);
			if (policies[i].good)
				continue;
			assert_int_equal(d.why, ERR_OTHER_CLIENT_CA);
			assert_null(d.vhost); /* its headers and pages are not for everybody */
			assert_null(d.mount);
		}
}

/* Whatever it asks for; the word may stand anywhere, in any case. */
static void words_in_the_user_agent_are_rejected(void **state)
{
	static struct conf_reject rejects[] = { { { "scum bot", 8 }, 404, { "Not Found", 9 } },
						{ { "Evil", 4 }, 403, { NULL, 0 } } };
	static struct conf_global global = { .rejects = rejects, .nrejects = ARRAY_SIZE(rejects) };
	static const struct {
		const char *agent, *second;
		const struct conf_reject *reject;
	} agents[] = {
		{ "scum bot", "", &rejects[0] },
		{ "Mozilla/5.0 (SCUM BOT/1)", "", &rejects[0] },
		{ "x", "evil", &rejects[1] },
		{ "scumbot scum-bot scum bo", "evi", NULL },
		{ "", "", NULL },
	};

	(void)state;
	from.global = &global;
	for (size_t i = 0; i < ARRAY_SIZE(agents); i++) {
		struct head *h = head_new(&arena, HEAD_REQUEST);

		h->method = STR("GET");
		h->authority = STR("a.test");
		h->path = STR("/moved");
		head_add_id(&arena, h, FIELD_USER_AGENT, str_from_c(agents[i].agent));
		head_add_id(&arena, h, FIELD_USER_AGENT, str_from_c(agents[i].second));
		decide_request(&arena, h, &from, &d);
		assert_ptr_equal(d.reject, agents[i].reject);
		assert_int_equal(d.what, d.reject ? DECIDE_FAIL : DECIDE_REDIRECT);
		assert_int_equal(d.why, d.reject ? ERR_REJECTED : ERR_OK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(requests_lead_somewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(asterisks_ask_the_root, setup, teardown),
		cmocka_unit_test_setup_teardown(misdirected_requests_have_no_vhost, setup, teardown),
		cmocka_unit_test_setup_teardown(words_in_the_user_agent_are_rejected, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_client_proved_is_good_for_the_same_policy_alone, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_mount_says_how_to_ask, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_follow_the_rules_of_mount_or_vhost, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
