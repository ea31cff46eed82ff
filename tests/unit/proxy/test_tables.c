/* Which vhost a name means and which mount a path, and that many cost no more than few. */
#include "proxy/worker/tables.h"
#include "tests/unit/proxy/conf.h"

static struct config *c;
static struct tables tables;
static struct arena arena;

static int setup(void **state)
{
	(void)state;
	c = tconf_new();
	arena_init(&arena);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	arena_fini(&c->arena);
	return 0;
}

/* Columns: host as a client writes it, name of the vhost that answers. */
static const struct {
	const char *host, *vhost;
} hosts[] = {
	{"first.test", "first.test"},
	{"example.com", "example.com"},
	{"EXAMPLE.Com", "example.com"},
	{"example.com.", "example.com"},
	{"example.com:8443", "example.com"},
	{"Example.COM.:443", "example.com"},
	{"example.com:", "example.com"},
	{"www.example.com", "www.example.com"},
	/* wildcard for one label more */
	{"a.example.org", "*.example.org"},
	{"A.Example.Org:1", "*.example.org"},
	{"a.b.example.org", "first.test"},
	{"example.org", "first.test"},
	/* exact before wildcard before parent */
	{"www.example.net", "www.example.net"},
	{"mail.example.net", "*.example.net"},
	{"a.mail.example.net", "example.net"},
	/* the nearest parent domain */
	{"a.example.com", "example.com"},
	{"a.b.c.example.com", "example.com"},
	{"a.www.example.com", "www.example.com"},
	{"x.localhost", "localhost"},
	/* whole labels only */
	{"notexample.com", "first.test"},
	{"com", "first.test"},
	{"example.com.evil.test", "first.test"},
	/* addresses */
	{"127.0.0.1:8443", "127.0.0.1"},
	{"[::1]:8443", "[::1]"},
	{"[::1]", "[::1]"},
	{"[::2]", "first.test"},
	/* what is no name */
	{"", "first.test"},
	{".", "first.test"},
	{".example.org", "first.test"},
	{"..", "first.test"},
	{"*.example.org", "*.example.org"},
	{"[::1", "first.test"},
};

enum { HOSTS_STRICT_NONE = -1 };

/* `strict` is the index of the vhost that has the key, or HOSTS_STRICT_NONE. */
static struct site_listener *make_hosts(int strict)
{
	static const char *const names[] = {
		"first.test",	 "example.com", "www.example.com", "*.example.org", "www.example.net",
		"*.example.net", "example.net", "localhost",	   "127.0.0.1",	    "[::1]",
	};
	struct conf_listener *l = tconf_listener(c, "*:443", ARRAY_SIZE(names));

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		tconf_vhost(c, l, str_from_c(names[i]), 0);
	if (strict != HOSTS_STRICT_NONE)
		l->vhosts[strict]->strict_host_check = true;
	tables_init(&tables, &arena, c);
	return tables_listener(&tables, STR("*:443"));
}

static void chooses_vhosts(void **state)
{
	struct site_listener *l = make_hosts(HOSTS_STRICT_NONE);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct site_vhost *v = tables_vhost(l, str_from_c(hosts[i].host), NULL);

		assert_non_null(v);
		if (!str_eq(v->conf->name, str_from_c(hosts[i].vhost)))
			fail_msg("%s: %.*s", hosts[i].host, STR_ARG(v->conf->name));
	}
}

static void strict_has_no_default(void **state)
{
	struct site_listener *l = make_hosts(*state ? 9 : 0);

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct site_vhost *v = tables_vhost(l, str_from_c(hosts[i].host), NULL);
		bool is_default =
			!strcmp(hosts[i].vhost, "first.test") && strcmp(hosts[i].host, "first.test");

		assert_int_equal(v == NULL, is_default && hosts[i].host[0]);
	}
}

static void survives_long_and_dotted_names(void **state)
{
	struct site_listener *l = make_hosts(HOSTS_STRICT_NONE);
	char name[2000];
	struct site_vhost *v;

	(void)state;
	for (size_t n = 1; n < sizeof name; n++) {
		memset(name, n % 2 ? '.' : 'a', n);
		assert_non_null(tables_vhost(l, str_of(name, n), NULL));
	}
	/* 255 bytes are a name, 256 are none */
	memset(name, 'a', sizeof name);
	for (size_t n = 255; n <= 256; n++) {
		memcpy(name + n - 12, ".example.com", 12);
		v = tables_vhost(l, str_of(name, n), NULL);
		assert_str(v->conf->name, n == 255 ? "example.com" : "first.test");
	}
}

/* Whichever vhost of a port says it. */
static void strict_by_any_vhost(void **state)
{
	int any;

	*state = &any;
	strict_has_no_default(state);
	*state = NULL;
}

static void listeners_keep_their_vhosts_apart(void **state)
{
	struct conf_listener *a = tconf_listener(c, "*:443", 1), *b = tconf_listener(c, "*:80", 1);

	(void)state;
	tconf_vhost(c, a, STR("example.com"), 0);
	tconf_vhost(c, b, STR("example.com"), 0);
	tables_init(&tables, &arena, c);
	assert_ptr_equal(tables_vhost(tables_listener(&tables, STR("*:443")), STR("example.com"), NULL)->conf,
			 a->vhosts[0]);
	assert_ptr_equal(tables_vhost(tables_listener(&tables, STR("*:80")), STR("example.com"), NULL)->conf,
			 b->vhosts[0]);
	assert_null(tables_listener(&tables, STR("*:8080")));
}

/* Columns: normalised path, mountpoint. */
static const struct {
	const char *path, *mountpoint;
} mounts[] = {
	{"/", "/"},
	{"/x", "/"},
	{"/app", "/app"},
	{"/app/", "/app"},
	{"/app/x/y", "/app"},
	{"/apple", "/"},
	{"/apple/app", "/"},
	{"/ap", "/"},
	{"/app.", "/"},
	{"/app%2fx", "/"},
	{"/App", "/"},
	{"//app", "/"},
	{"/app//deep", "/app"},
	{"/app/deep", "/app/deep"},
	{"/app/deeper", "/app"},
	{"/app/deep/x", "/app/deep"},
	{"/app/deep/est/of/all", "/app/deep/est/of/all"},
	{"/app/deep/est/of/all/and/more", "/app/deep/est/of/all"},
	{"/app/deep/est/of", "/app/deep"},
	{"/.well-known/acme-challenge/token", "/.well-known"},
};

static void chooses_mounts(void **state)
{
	static const char *const points[] = {"/app/deep/est/of/all", "/.well-known", "/app/deep", "/app",
					     "/"};
	struct conf_listener *l = tconf_listener(c, "*:443", 1);
	struct conf_vhost *v = tconf_vhost(c, l, STR("a.test"), ARRAY_SIZE(points));

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(points); i++)
		tconf_mount(v, str_from_c(points[i]));
	tables_init(&tables, &arena, c);
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		struct site_mount *m = tables_mount(&tables.vhosts[0], str_from_c(mounts[i].path), NULL);

		assert_non_null(m);
		if (!str_eq(m->conf->mountpoint, str_from_c(mounts[i].mountpoint)))
			fail_msg("%s: %.*s", mounts[i].path, STR_ARG(m->conf->mountpoint));
	}
	assert_str(tables_mount_at(&tables.vhosts[0], STR("/"))->conf->mountpoint, "/");
	assert_str(tables_mount_at(&tables.vhosts[0], STR("/app"))->conf->mountpoint, "/app");
	assert_null(tables_mount_at(&tables.vhosts[0], STR("/app/x")));
}

/* Columns: normalised path, mountpoint that is found, whether it is an exact one. */
static const struct {
	const char *path, *mountpoint;
	bool exact;
} exact_mounts[] = {
	{"/", "/", true},
	{"/x", "/", false},
	{"/app", "/app", true},
	{"/app/", "/app", false},
	{"/app/x", "/app", false},
	{"/dir/", "/dir/", true},
	{"/dir", "/", false},
	{"/dir/x", "/", false},
	{"/dir//", "/", false},
	{"/only/this", "/only/this", true},
	{"/only/this/not", "/", false},
	{"/only", "/", false},
};

static void exact_mounts_have_one_path(void **state)
{
	struct conf_vhost *v = tconf_vhost(c, tconf_listener(c, "*:443", 1), STR("a.test"), 6);

	(void)state;
	tconf_mount(v, STR("/only/this"))->exact = true;
	tconf_mount(v, STR("/dir/"))->exact = true;
	tconf_mount(v, STR("/app"))->exact = true;
	tconf_mount(v, STR("/app"));
	tconf_mount(v, STR("/"))->exact = true;
	tconf_mount(v, STR("/"));
	tables_init(&tables, &arena, c);
	for (size_t i = 0; i < ARRAY_SIZE(exact_mounts); i++) {
		struct site_mount *m =
			tables_mount(&tables.vhosts[0], str_from_c(exact_mounts[i].path), NULL);

		assert_non_null(m);
		if (!str_eq(m->conf->mountpoint, str_from_c(exact_mounts[i].mountpoint)) ||
		    m->conf->exact != exact_mounts[i].exact)
			fail_msg("%s: %.*s, %d", exact_mounts[i].path, STR_ARG(m->conf->mountpoint),
				 m->conf->exact);
	}
	assert_false(tables_mount_at(&tables.vhosts[0], STR("/app"))->conf->exact);
	assert_null(tables_mount_at(&tables.vhosts[0], STR("/dir/")));
}

static void without_a_root_some_paths_have_no_mount(void **state)
{
	struct conf_listener *l = tconf_listener(c, "*:443", 2);
	struct conf_vhost *v = tconf_vhost(c, l, STR("a.test"), 1);

	(void)state;
	tconf_mount(v, STR("/app"));
	tconf_vhost(c, l, STR("b.test"), 0);
	tables_init(&tables, &arena, c);
	assert_non_null(tables_mount(&tables.vhosts[0], STR("/app/x"), NULL));
	assert_null(tables_mount(&tables.vhosts[0], STR("/"), NULL));
	assert_null(tables_mount(&tables.vhosts[0], STR("/apple"), NULL));
	assert_null(tables_mount(&tables.vhosts[1], STR("/"), NULL));
}

/* Mean number of table slots that finding each of n vhosts takes, and the same for a name that is none's. */
static void vhost_steps(size_t n, double *found, double *missed)
{
	unsigned steps = 0, misses = 0;
	struct conf_listener *l;
	struct site_listener *s;

	setup(NULL);
	l = tconf_listener(c, "*:443", n);
	c->vhosts = arena_alloc(&c->arena, n * sizeof *c->vhosts);
	for (size_t i = 0; i < n; i++) {
		struct conf_vhost *v = arena_new(&c->arena, struct conf_vhost);

		v->name = arena_printf(&c->arena, i % 3 ? "site%zu.example.com" : "*.site%zu.example.org", i);
		c->vhosts[c->nvhosts++] = l->vhosts[l->nvhosts++] = v;
	}
	tables_init(&tables, &arena, c);
	s = tables_listener(&tables, STR("*:443"));
	for (size_t i = 0; i < n; i++) {
		struct str host = arena_printf(
			&c->arena, i % 3 ? "Site%zu.example.com:443" : "www.site%zu.example.org", i);

		assert_ptr_equal(tables_vhost(s, host, &steps)->conf, l->vhosts[i]);
		tables_vhost(s, arena_printf(&c->arena, "other%zu.example.net", i), &misses);
	}
	*found = (double)steps / (double)n;
	*missed = (double)misses / (double)n;
	teardown(NULL);
}

static void many_vhosts_cost_no_more(void **state)
{
	double few, many, few_missed, many_missed;

	(void)state;
	vhost_steps(10, &few, &few_missed);
	vhost_steps(10000, &many, &many_missed);
	/* 1.5 slots a look-up of what is there, 2.5 of what is not, at most two for a label */
	assert_true(many < few + 1.5 && many < 5);
	assert_true(many_missed < 15);
}

static double mount_steps(size_t n)
{
	unsigned steps = 0;
	struct conf_vhost *v;

	setup(NULL);
	v = tconf_vhost(c, tconf_listener(c, "*:443", 1), STR("a.test"), n);
	for (size_t i = 0; i < n; i++)
		tconf_mount(v, arena_printf(&c->arena, "/service%zu/api", i));
	tables_init(&tables, &arena, c);
	for (size_t i = 0; i < n; i++) {
		struct str path =
			arena_printf(&c->arena, "/service%zu/api/a/very/deep/path/which/goes/on/and/on", i);
		struct site_mount *m = tables_mount(&tables.vhosts[0], path, &steps);

		assert_non_null(m);
		assert_ptr_equal(m->conf, &v->mounts[i]);
	}
	teardown(NULL);
	return (double)steps / (double)n;
}

static void many_mounts_cost_no_more(void **state)
{
	double few = mount_steps(10), many = mount_steps(1000);

	(void)state;
	assert_true(many < few + 2 && many < 6);
}

/* A path of many segments is looked up no deeper than the longest mountpoint. */
static void deep_paths_cost_no_more(void **state)
{
	struct conf_vhost *v = tconf_vhost(c, tconf_listener(c, "*:443", 1), STR("a.test"), 2);
	char path[16000];
	unsigned steps = 0;

	(void)state;
	tconf_mount(v, STR("/app"));
	tconf_mount(v, STR("/"));
	tables_init(&tables, &arena, c);
	memset(path, '/', sizeof path);
	assert_str(tables_mount(&tables.vhosts[0], str_of(path, sizeof path), &steps)->conf->mountpoint, "/");
	assert_true(steps <= 15);
}

static void maps_hold_what_they_are_given(void **state)
{
	static int values[1000];
	struct map m;

	(void)state;
	map_init(&m, &arena, 0);
	assert_null(map_find(&m, map_hash(STR("x")), STR("x"), NULL));
	map_init(&m, &arena, ARRAY_SIZE(values));
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		struct str key = arena_printf(&arena, "%zu", i);

		/* the same hash for ten keys: they are told apart by what they are */
		assert_true(map_add(&m, i / 10, key, &values[i]));
		assert_false(map_add(&m, i / 10, key, &values[0]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		assert_ptr_equal(map_find(&m, i / 10, arena_printf(&arena, "%zu", i), NULL), &values[i]);
	assert_null(map_find(&m, 0, STR("1000"), NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(chooses_vhosts, setup, teardown),
		cmocka_unit_test_setup_teardown(strict_has_no_default, setup, teardown),
		cmocka_unit_test_setup_teardown(strict_by_any_vhost, setup, teardown),
		cmocka_unit_test_setup_teardown(survives_long_and_dotted_names, setup, teardown),
		cmocka_unit_test_setup_teardown(listeners_keep_their_vhosts_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(chooses_mounts, setup, teardown),
		cmocka_unit_test_setup_teardown(exact_mounts_have_one_path, setup, teardown),
		cmocka_unit_test_setup_teardown(without_a_root_some_paths_have_no_mount, setup, teardown),
		cmocka_unit_test(many_vhosts_cost_no_more),
		cmocka_unit_test(many_mounts_cost_no_more),
		cmocka_unit_test_setup_teardown(deep_paths_cost_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(maps_hold_what_they_are_given, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
