/* Building a site, all at once or a little at a time, and what is said when it cannot be; TLS is made up. */
#include "proxy/worker/site.h"
#include "core/loop.h"
#include "tests/unit/proxy/conf.h"
#include "tests/unit/proxy/no_tls.h"
#include "tls/tls.h"
#include "uds-upstream/up.h"

/* ---- stand-ins for uds-upstream and tls ---- */

static struct fake {
	int targets; /* alive */
	const char *bad_cert;		  /* this name's certificate cannot be used */
} fake;

struct up_target *up_target_get(struct str name, const struct place_spec *at, const struct up_limits *limits,
				struct tls_client *tls)
{
	(void)name, (void)at, (void)limits, (void)tls;
	fake.targets++;
	return base_alloc(1);
}

void up_target_put(struct up_target *t)
{
	fake.targets--;
	free(t);
}

struct tls_context *tls_context_new(const struct tls_files *f, const struct tls_policy *p,
				    struct conf_report *r)
{
	const struct tls_file *cert = &f->pairs[0].cert;

	(void)p;
	assert_true(cert->pem.n > 0);
	if (fake.bad_cert && str_eq(cert->name.text, str_from_c(fake.bad_cert))) {
		conf_report_add(r, CONF_ERROR, cert->name.pos, NULL, "%s does not match its key",
				fake.bad_cert);
		return NULL;
	}
	made_up.contexts++;
	return base_alloc(1);
}

void tls_context_warn(const struct tls_context *c, const struct tls_files *f, struct str name,
		      struct conf_report *r)
{
	(void)c;
	conf_report_add(r, CONF_WARNING, f->pairs[0].cert.name.pos, NULL, "%.*s expired", STR_ARG(name));
}

struct tls_listener *tls_listener_new(const struct tls_name *names, size_t n, bool strict)
{
	(void)names, (void)n, (void)strict;
	made_up.listeners++;
	return base_alloc(1);
}

/* ---- the rig ---- */

static struct config *make_config(void)
{
	struct config *c = tconf_new();
	struct conf_listener *tls = tconf_listener(c, "*:443", 2), *plain = tconf_listener(c, "*:80", 1);
	struct conf_vhost *v = tconf_vhost(c, tls, STR("a.test"), 1);

	tls->tls = v->tls = true;
	tconf_cert(c, v, (struct conf_entry){ STR("a.pem"), { "conf", 7, 9 } });
	tconf_proxy(c, v, "/", "unix:/run/a.sock", "");
	v = tconf_vhost(c, tls, STR("*.b.test"), 1);
	v->tls = true;
	tconf_cert(c, v, (struct conf_entry){ STR("b.pem"), { "conf", 17, 9 } });
	tconf_proxy(c, v, "/", "unix:/run/b.sock", "");
	v = tconf_vhost(c, plain, STR("a.test"), 1);
	tconf_proxy(c, v, "/", "unix:/run/a.sock", "");
	return c;
}

static int setup(void **state)
{
	(void)state;
	fake = (struct fake){ 0 };
	return loop_open();
}

/* Whatever was tried, nothing is left of it. */
static int teardown(void **state)
{
	(void)state;
	loop_close();
	assert_int_equal(made_up.contexts, 0);
	assert_int_equal(made_up.listeners, 0);
	assert_int_equal(fake.targets, 0);
	return 0;
}

static void expect(struct conf_report *r, const char *expected)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	conf_report_sort(r);
	conf_report_print(r, CONF_NOTE, f);
	fclose(f);
	conf_report_fini(r);
	assert_string_equal(text, expected);
	free(text);
}

static void what_cannot_run_says_why(void **state)
{
	struct config *c = make_config();
	struct conf_report r;

	(void)state;
	fake.bad_cert = "a.pem";
	c->targets[0]->address =
		STR("/run/"
		    "long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/long/"
		    "long/long/long/long/long/long.sock");
	c->targets[0]->pos = (struct conf_pos){ "conf", 3, 4 };
	conf_report_init(&r);
	assert_null(site_new(c, &r));
	expect(&r, "conf:3:4: error: unix:/run/a.sock is no address that can be connected to\n"
		   "conf:7:9: error: a.pem does not match its key\n");
}

static void a_try_says_what_will_not_please(void **state)
{
	struct conf_report r;

	(void)state;
	conf_report_init(&r);
	site_try(make_config(), &r);
	expect(&r, "conf:7:9: warning: a.test expired\nconf:17:9: warning: *.b.test expired\n");
}

/* Of what has errors, each certificate is looked at nevertheless, if it is there. */
static void a_try_goes_on_after_errors(void **state)
{
	struct conf_report r;
	struct config *c = make_config();

	(void)state;
	conf_report_init(&r);
	conf_report_add(&r, CONF_ERROR, (struct conf_pos){ "conf", 1, 1 }, NULL, "an error");
	c->targets[0]->is_unix = false; /* not looked at */
	fake.bad_cert = "a.pem";
	site_try(c, &r);
	expect(&r, "conf:1:1: error: an error\n"
		   "conf:7:9: error: a.pem does not match its key\n"
		   "conf:17:9: warning: *.b.test expired\n");

	c = make_config();
	conf_report_init(&r);
	conf_report_add(&r, CONF_ERROR, (struct conf_pos){ "conf", 7, 9 }, NULL, "cannot read \"a.pem\"");
	c->files[0]->bytes = STR_NONE;
	site_try(c, &r);
	expect(&r, "conf:7:9: error: cannot read \"a.pem\"\nconf:17:9: warning: *.b.test expired\n");

	c = make_config();
	conf_report_init(&r);
	conf_report_add(&r, CONF_ERROR, (struct conf_pos){ "conf", 7, 9 }, NULL, "no certificate");
	c->vhosts[0]->ncerts = 0;
	c->vhosts[1]->client_ca = (struct conf_entry){ STR("none.pem"), { "conf", 18, 9 } };
	site_try(c, &r);
	expect(&r, "conf:7:9: error: no certificate\n");
}

/* A reload of many vhosts is built piece by piece, and is not seen before it is whole. */
static void builds_a_little_at_a_time(void **state)
{
	struct site *s = site_open(make_config());
	struct conf_report report;
	int r, calls = 1;

	(void)state;
	conf_report_init(&report);
	while ((r = site_build(s, 1, &report)) == 0)
		calls++;
	assert_int_equal(r, 1);
	assert_true(calls <= 4);
	assert_int_equal(made_up.contexts, 2);
	assert_null(site_current());
	site_put(s);
	/* one that is given up half-way */
	s = site_open(make_config());
	r = site_build(s, 1, &report);
	assert_true(r >= 0);
	site_put(s);
	conf_report_fini(&report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_cannot_run_says_why, setup, teardown),
		cmocka_unit_test_setup_teardown(a_try_says_what_will_not_please, setup, teardown),
		cmocka_unit_test_setup_teardown(a_try_goes_on_after_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(builds_a_little_at_a_time, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
