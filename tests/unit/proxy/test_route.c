/* The router end and the site under it, with upstreams and TLS that only say what they were asked. */
#include "proxy/worker/route.h"
#include "proxy/worker/alog.h"
#include "proxy/worker/page.h"
#include "proxy/worker/tables.h"
#include "tests/unit/proxy/conf.h"
#include "tests/unit/proxy/no_tls.h"
#include "tests/unit/support/ends.h"
#include "tls/tls.h"
#include "uds-upstream/up.h"
#include <sys/mman.h>
#include <unistd.h>

/* ---- stand-ins for uds-upstream and tls ---- */

struct up_target {
	struct str name;
	unsigned refs;
	char text[64];
};

static struct fake {
	struct up_target targets[8];
	size_t ntargets;
	struct up_limits limits;
	struct test_end up;
	struct up_target *opened;  /* by the last up_open */
	unsigned opens;
	unsigned may_retry;        /* how many times it says yes */
	unsigned asked;
	struct tls_name names[8];  /* of the last listener */
	size_t nnames;
	bool strict;
} fake;

struct up_target *up_target_get(struct str name, const struct place_spec *at, const struct up_limits *limits,
				struct tls_client *tls)
{
	struct up_target *t = NULL;

	(void)tls;
	assert_true(at->addr.len > 0);
	fake.limits = *limits;
	for (size_t i = 0; i < fake.ntargets; i++)
		if (str_eq(str_from_c(fake.targets[i].text), name))
			t = &fake.targets[i];
	if (!t) {
		t = &fake.targets[fake.ntargets++];
		snprintf(t->text, sizeof t->text, "%.*s", STR_ARG(name));
	}
	t->refs++;
	return t;
}

void up_target_put(struct up_target *t)
{
	assert_true(t->refs > 0);
	t->refs--;
}

const char *up_target_name(const struct up_target *t)
{
	return t->text;
}

void up_open(struct exchange *x, struct up_target *t)
{
	assert_true(t->refs > 0);
	fake.opened = t;
	fake.opens++;
	x->facts.upstream = t->text;
	x_attach(x, &fake.up.e);
}

bool up_target_may_tell(struct up_target *t, enum err why, uint64_t *unsaid)
{
	(void)t, (void)why;
	*unsaid = 0;
	return true;
}

bool up_may_retry(const struct exchange *x, enum err why)
{
	(void)x;
	(void)why;
	fake.asked++;
	return fake.may_retry && fake.may_retry--;
}

struct tls_context *tls_context_new(const struct tls_files *f, const struct tls_policy *p,
				    struct conf_report *r)
{
	(void)f, (void)p, (void)r;
	made_up.contexts++;
	return base_alloc(1);
}

void tls_context_warn(const struct tls_context *c, const struct tls_files *f, struct str name,
		      struct conf_report *r)
{
	(void)c, (void)f, (void)name, (void)r;
}

struct tls_listener *tls_listener_new(const struct tls_name *names, size_t n, bool strict)
{
	assert_true(n <= ARRAY_SIZE(fake.names));
	memcpy(fake.names, names, n * sizeof *names);
	fake.nnames = n;
	fake.strict = strict;
	made_up.listeners++;
	return base_alloc(1);
}

/* ---- the rig ---- */

static struct test_end down;
static struct exchange *x;
static struct site_conn conn;
static int log_file;

static const struct conf_header vhost_headers[] = {
	{ { "X-Own", 5 }, { "1", 1 }, CONF_HEADER_SET },
};

/* A listener with TLS, one without, a strict one; and a configuration that has something of everything. */
static struct config *make_config(void)
{
	struct config *c = tconf_new();
	struct conf_listener *tls = tconf_listener(c, "*:443", 4), *plain = tconf_listener(c, "*:80", 4);
	struct conf_listener *strict = tconf_listener(c, "*:8443", 2);
	struct conf_vhost *v = tconf_vhost(c, tls, STR("a.test"), 8);
	struct conf_mount *m;

	c->global.server_string = STR("test-server");
	tconf_add(c, logs, nlogs, ((struct conf_log){.path = STR("/log/a")}));
	tconf_add(c, logs, nlogs, ((struct conf_log){.path = STR("/log/b")}));
	tls->tls = v->tls = v->sts = true;
	tconf_cert(c, v, (struct conf_entry){ STR("a.pem"), { "conf", 7, 9 } });
	v->headers = (struct conf_header *)(uintptr_t)vhost_headers;
	v->nheaders = 1;
	v->access_log = 0;
	tconf_proxy(c, v, "/deep/er", "unix:/run/deeper.sock", "/base");
	m = tconf_proxy(c, v, "/limited", "unix:/run/a.sock", "/limited");
	m->limits.request_body_bytes = 1000;
	m->limits.pipe_bytes = 4096;
	m->timeouts.upstream_response_ms = 77;
	tconf_proxy(c, v, "/app", "unix:/run/a.sock", "");
	m = tconf_mount(v, STR("/old"));
	m->kind = CONF_ORIGIN_REDIRECT;
	m->redirect = STR("https://new.test/y");
	m = tconf_mount(v, STR("/cgi"));
	m->kind = CONF_ORIGIN_NOT_SERVED;
	tconf_proxy(c, v, "/", "unix:/run/root.sock", "");
	v = tconf_vhost(c, tls, STR("*.b.test"), 1);
	v->tls = true;
	tconf_cert(c, v, (struct conf_entry){ STR("b.pem"), { 0 } });
	v->access_log = 1;
	v->limits.pipe_bytes = 8192;
	v->timeouts.keepalive_ms = 5;
	tconf_proxy(c, v, "/only", "unix:/run/b.sock", "");
	v = tconf_vhost(c, plain, STR("a.test"), 2);
	v->sts = true;
	tconf_proxy(c, v, "/error.css", "unix:/run/css.sock", "/error.css");
	tconf_proxy(c, v, "/", "unix:/run/root.sock", "");
	v = tconf_vhost(c, strict, STR("s.test"), 1);
	v->strict_host_check = true;
	v->access_log = 1;
	tconf_proxy(c, v, "/", "unix:/run/root.sock", "");
	return c;
}

static struct site *make_site(void)
{
	struct conf_report r;
	struct site *s;

	conf_report_init(&r);
	s = site_new(make_config(), &r);
	if (!s)
		fail_msg("%.*s", STR_ARG(r.messages[0].reason));
	conf_report_fini(&r);
	return s;
}

static void connect_to(const char *listener, const char *sni)
{
	struct addr peer, local;

	assert_true(addr_from_ip(&peer, STR("192.0.2.7"), 1234));
	assert_true(addr_from_ip(&local, STR("127.0.0.1"), 443));
	site_conn_init(&conn, str_from_c(listener), &peer.sa, peer.len, &local.sa, local.len);
	conn.tls = strcmp(listener, "*:80") != 0;
	conn.sni = str_from_c(sni);
}

static int setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof fake);
	test_loop_open();
	route_init();
	test_end_init(&down);
	test_end_init(&fake.up);
	site_swap(make_site());
	log_file = memfd_create("access", 0);
	site_set_log(site_current(), 0, dup(log_file));
	connect_to("*:443", "a.test");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	site_swap(NULL);
	loop_turn(0);
	test_end_fini(&down);
	test_end_fini(&fake.up);
	test_loop_close();
	close(log_file);
	assert_int_equal(made_up.contexts, 0);
	assert_int_equal(made_up.listeners, 0);
	for (size_t i = 0; i < fake.ntargets; i++)
		assert_int_equal(fake.targets[i].refs, 0);
	return 0;
}

/* A new exchange by `conn`, and its request, which the test may still change. */
static struct head *begin(const char *method, const char *host, const char *path)
{
	struct head *h;

	x = x_new(&down.e);
	route_begin(x, site_current(), &conn);
	h = test_request(x, method, path);
	h->authority = str_from_c(host);
	h->length = 0;
	if (host[0])
		head_add_id(&x->arena, h, FIELD_HOST, h->authority);
	return h;
}

static void tell(struct head *h)
{
	x_head(&down.e, h);
	loop_turn(0);
}

static void ask(const char *method, const char *host, const char *path)
{
	tell(begin(method, host, path));
}

/* The client's part is over; the exchange, too. */
static void done(void)
{
	if (fake.up.e.x) {
		if (!x->told_final)
			x_head(&fake.up.e, test_response(x, 200));
		x_end(&fake.up.e);
		x_leave(&fake.up.e);
	}
	loop_turn(0);
	if (down.e.x)
		x_leave(&down.e);
	loop_turn(0);
	assert_int_equal(x_count(), 0);
	test_end_words(&down);
	test_end_words(&fake.up);
	down.ended = fake.up.ended = false;
}

static const char *logged(void)
{
	static const size_t cap = 8192;
	char *text = arena_alloc(&site_config(site_current())->arena, cap);
	ssize_t n = pread(log_file, text, cap - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static struct str value(const struct head *h, const char *name)
{
	const struct field *f = head_find_name(h, str_from_c(name));

	return f ? f->value : STR_NONE;
}

/* ---- where requests go ---- */

/* Columns: path, target, path there. */
static const struct {
	const char *path, *target, *up;
} routes[] = {
	{"/", "unix:/run/root.sock", "/"},
	{"/x?q=%2e%2e/../", "unix:/run/root.sock", "/x?q=%2e%2e/../"},
	{"/app", "unix:/run/a.sock", "/"},
	{"/app?q", "unix:/run/a.sock", "/?q"},
	{"/app/x", "unix:/run/a.sock", "/x"},
	{"/apple", "unix:/run/root.sock", "/apple"},
	{"/%61pp/x", "unix:/run/a.sock", "/x"},
	{"/x/../app/y", "unix:/run/a.sock", "/y"},
	{"/x/%2e%2e/app/y", "unix:/run/a.sock", "/y"},
	{"/app/../x", "unix:/run/root.sock", "/x"},
	{"/app/../../x", "unix:/run/root.sock", "/x"},
	{"/app%2f../x", "unix:/run/root.sock", "/app%2f../x"},
	{"/app;v=1/x", "unix:/run/root.sock", "/app;v=1/x"},
	{"/app//x", "unix:/run/a.sock", "//x"},
	{"//app/x", "unix:/run/root.sock", "//app/x"},
	{"/deep/er/x", "unix:/run/deeper.sock", "/base/x"},
	{"/deep/er", "unix:/run/deeper.sock", "/base"},
	{"/deep/x", "unix:/run/root.sock", "/deep/x"},
};

static void paths_lead_to_their_mounts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		ask("GET", "a.test", routes[i].path);
		assert_non_null(fake.opened);
		if (strcmp(fake.opened->text, routes[i].target))
			fail_msg("%s: %s", routes[i].path, fake.opened->text);
		assert_str(fake.up.head->path, routes[i].up);
		assert_str(x->request->path, routes[i].path);
		fake.opened = NULL;
		done();
	}
}

static void the_request_is_translated(void **state)
{
	(void)state;
	ask("GET", "A.test:8443", "/app/x");
	assert_str(value(fake.up.head, "host"), "A.test:8443");
	assert_str(value(fake.up.head, "x-forwarded-for"), "192.0.2.7");
	assert_str(value(fake.up.head, "x-forwarded-proto"), "https");
	assert_str(value(fake.up.head, "x-forwarded-prefix"), "/app");
	done();
	ask("GET", "a.test", "/x");
	assert_str(value(fake.up.head, "x-forwarded-prefix"), "");
	done();
	/* a mount on a base of the same name takes nothing off */
	ask("GET", "a.test", "/limited/x");
	assert_str(fake.up.head->path, "/limited/x");
	assert_str(value(fake.up.head, "x-forwarded-prefix"), "");
	done();
	/* HTTP/1.0 without Host: the first vhost, and a name that the upstream can use */
	ask("GET", "", "/x");
	assert_str(value(fake.up.head, "host"), "a.test");
	done();
	connect_to("*:80", "");
	ask("GET", "a.test", "/x");
	assert_str(value(fake.up.head, "x-forwarded-proto"), "http");
	done();
}

/* The name in HTTP decides, whatever the one in TLS was. */
static void hosts_decide(void **state)
{
	static const char *const hosts[] = {"x.b.test", "x.b.test:8443", "X.B.Test."};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		ask("GET", hosts[i], "/only");
		assert_string_equal(fake.opened->text, "unix:/run/b.sock");
		done();
	}
	connect_to("*:443", "x.b.test");
	ask("GET", "x.b.test.evil.test", "/only");
	assert_string_equal(fake.opened->text, "unix:/run/root.sock");
	done();
	ask("GET", "a.test", "/only");
	assert_string_equal(fake.opened->text, "unix:/run/root.sock");
	done();
	ask("GET", "x.b.test:1", "/only");
	assert_string_equal(fake.opened->text, "unix:/run/b.sock");
	done();
}

static void facts_and_limits_are_those_of_the_route(void **state)
{
	struct head *h = begin("POST", "a.test", "/limited/x");

	(void)state;
	assert_true(x->facts.tls);
	assert_str(x->facts.sni, "a.test");
	assert_int_equal(x->facts.peer.sa.sa_family, AF_INET);
	assert_int_equal(x->pipe[X_UP].cap, limits_default.pipe_bytes);
	h->length = 1000;
	tell(h);
	assert_int_equal(x->limits->request_body_bytes, 1000);
	assert_int_equal(x->timeouts->upstream_response_ms, 77);
	assert_int_equal(x->pipe[X_UP].cap, 4096);
	assert_int_equal(x->pipe[X_DOWN].cap, 4096);
	assert_non_null(x->mount);
	assert_ptr_equal(x->conf, site_config(site_current()));
	assert_int_equal(fake.limits.connections, limits_default.upstream_connections);
	done();
	connect_to("*:443", "x.b.test");
	h = begin("GET", "x.b.test", "/only");
	assert_int_equal(x->pipe[X_UP].cap, 8192);
	assert_int_equal(site_timeouts(site_current(), &conn)->keepalive_ms, 5);
	assert_int_equal(site_limits(site_current(), &conn)->pipe_bytes, 8192);
	tell(h);
	assert_string_equal(fake.opened->text, "unix:/run/b.sock");
	done();
	connect_to("gone", "");
	assert_ptr_equal(site_limits(site_current(), &conn), &site_config(site_current())->global.limits);
	assert_ptr_equal(site_timeouts(site_current(), &conn), &site_config(site_current())->global.timeouts);
}

/* ---- answered here ---- */

static void expect_page(unsigned status)
{
	assert_int_equal(fake.opens, 0);
	assert_non_null(down.head);
	assert_int_equal(down.head->status, status);
	assert_str(value(down.head, "server"), "test-server");
	assert_true(value(down.head, "date").n == 29);
	done();
}

static void what_cannot_go_up_is_answered(void **state)
{
	struct head *h;

	(void)state;
	ask("GET", "a.test", "/cgi/x");
	assert_int_equal(x->facts.error, ERR_NOT_SERVED);
	expect_page(501);
	ask("GET", "a.test", "/%zz");
	assert_int_equal(x->facts.error, ERR_BAD_TARGET);
	expect_page(400);
	connect_to("*:443", "x.b.test");
	ask("GET", "x.b.test", "/only.");
	assert_int_equal(x->facts.error, ERR_NOT_FOUND);
	expect_page(404);
	connect_to("*:443", "a.test");
	h = begin("POST", "a.test", "/limited");
	h->length = 1001;
	tell(h);
	assert_int_equal(x->facts.error, ERR_BODY_LARGE);
	expect_page(413);
}

static void pages_carry_the_vhosts_own_fields(void **state)
{
	(void)state;
	ask("GET", "a.test", "/cgi");
	assert_str(value(down.head, "x-own"), "1");
	assert_str(value(down.head, "strict-transport-security"), "max-age=15768000; includeSubDomains");
	assert_non_null(strstr(test_end_words(&down), "H501 D"));
	done();
	ask("GET", "x.b.test", "/");
	assert_int_equal(value(down.head, "x-own").n, 0);
	assert_int_equal(value(down.head, "strict-transport-security").n, 0);
	done();
	/* sts says nothing where there is no TLS (RFC 6797 section 7.2) */
	connect_to("*:80", "");
	ask("GET", "a.test", "/%");
	assert_int_equal(value(down.head, "strict-transport-security").n, 0);
	done();
}

static void redirects(void **state)
{
	(void)state;
	ask("GET", "a.test", "/old/x/../y?q=1");
	assert_str(value(down.head, "location"), "https://new.test/y/y?q=1");
	expect_page(301);
	ask("GET", "a.test", "/old");
	assert_str(value(down.head, "location"), "https://new.test/y");
	expect_page(301);
}

static void strict_hosts_are_misdirected(void **state)
{
	struct head *h;

	(void)state;
	connect_to("*:8443", "s.test");
	ask("GET", "other.test", "/");
	assert_int_equal(x->facts.error, ERR_MISDIRECTED);
	expect_page(421);
	connect_to("*:8443", "other.test");
	ask("GET", "other.test", "/");
	expect_page(421);
	ask("GET", "s.test", "/");
	assert_int_equal(fake.opens, 1);
	done();
	/* an https resource over plain HTTP (RFC 9110 section 7.4) */
	fake.opens = 0;
	connect_to("*:80", "");
	h = begin("GET", "a.test", "/");
	h->scheme = STR("HTTPS");
	tell(h);
	assert_int_equal(x->facts.error, ERR_MISDIRECTED);
	expect_page(421);
}

static void options_end_here_when_they_may_go_no_further(void **state)
{
	struct head *h = begin("OPTIONS", "a.test", "/x");

	(void)state;
	head_add(&x->arena, h, STR("Max-Forwards"), STR("0"));
	tell(h);
	assert_true(value(down.head, "allow").n > 0);
	assert_int_equal(down.head->length, 0);
	expect_page(200);
	h = begin("OPTIONS", "a.test", "/x");
	head_add(&x->arena, h, STR("Max-Forwards"), STR("2"));
	tell(h);
	assert_int_equal(fake.opens, 1);
	assert_str(value(fake.up.head, "max-forwards"), "1");
	done();
	ask("OPTIONS", "a.test", "*");
	assert_string_equal(fake.opened->text, "unix:/run/root.sock");
	assert_str(fake.up.head->path, "*");
	done();
	/* without a proxied root there is nobody to ask */
	fake.opens = 0;
	ask("OPTIONS", "x.b.test", "*");
	expect_page(200);
}

static void the_style_sheet_is_answered_here(void **state)
{
	(void)state;
	ask("GET", "a.test", "/error.css");
	assert_str(value(down.head, "content-type"), "text/css; charset=utf-8");
	assert_int_equal(buf_len(&down.got), page_style.n);
	expect_page(200);
	ask("GET", "a.test", "/x/../error%2ecss?v=1");
	expect_page(200);
	/* also where nothing is mounted that would hold it */
	ask("GET", "x.b.test", "/error.css");
	expect_page(200);
	/* but not where it is mounted itself */
	connect_to("*:80", "");
	ask("GET", "a.test", "/error.css");
	assert_string_equal(fake.opened->text, "unix:/run/css.sock");
	done();
}

/* ---- failures ---- */

static void a_dead_upstream_gets_a_page(void **state)
{
	(void)state;
	ask("GET", "a.test", "/app/x");
	x_abort(&fake.up.e, ERR_UP_ABSENT);
	loop_turn(0);
	assert_int_equal(fake.asked, 1);
	assert_int_equal(down.head->status, 503);
	assert_str(value(down.head, "retry-after"), "5");
	assert_str(value(down.head, "refresh"), "5");
	assert_int_equal(x->facts.error, ERR_UP_ABSENT);
	assert_string_equal(x->facts.upstream, "unix:/run/a.sock");
	done();
	/* none of the error table that an upstream may tell leaves the client without an answer */
	for (unsigned e = ERR_EOF; e < ERR_COUNT; e++) {
		ask("GET", "a.test", "/app/x");
		x_abort(&fake.up.e, (enum err)e);
		loop_turn(0);
		assert_int_equal(down.head->status, err_status((enum err)e) ? err_status((enum err)e) : 502);
		done();
	}
}

static void what_may_be_sent_again_is(void **state)
{
	(void)state;
	fake.may_retry = 1;
	ask("GET", "a.test", "/app/x");
	x_abort(&fake.up.e, ERR_UP_STALE);
	loop_turn(0);
	assert_int_equal(fake.opens, 2);
	assert_string_equal(fake.opened->text, "unix:/run/a.sock");
	assert_str(fake.up.head->path, "/x");
	x_abort(&fake.up.e, ERR_UP_RESET);
	loop_turn(0);
	assert_int_equal(fake.opens, 2);
	assert_int_equal(down.head->status, 502);
	done();
}

/* The client's own fault, found while an upstream has the request already. */
static void a_refused_request_gets_its_page(void **state)
{
	(void)state;
	ask("POST", "a.test", "/app/x");
	assert_true(x_refuse(&down.e, ERR_BAD_CHUNK));
	loop_turn(0);
	assert_int_equal(fake.up.aborted, ERR_BAD_CHUNK);
	assert_int_equal(down.head->status, 400);
	assert_str(value(down.head, "x-own"), "1");
	done();
}

static void an_unreadable_request_gets_its_page(void **state)
{
	(void)state;
	x = x_new(&down.e);
	route_begin(x, site_current(), &conn);
	assert_true(x_refuse(&down.e, ERR_HEAD_LARGE));
	loop_turn(0);
	assert_int_equal(down.head->status, 431);
	assert_str(value(down.head, "x-own"), "1");
	done();
	assert_non_null(strstr(logged(), "] \"-\" 431 "));
}

/* ---- responses ---- */

static void responses_are_translated(void **state)
{
	struct head *r;

	(void)state;
	ask("GET", "a.test", "/app/x");
	r = test_response(x, 103);
	head_add(&x->arena, r, STR("Location"), STR("/y"));
	x_head(&fake.up.e, r);
	assert_int_equal(r->nfields, 1);
	r = test_response(x, 302);
	head_add(&x->arena, r, STR("Location"), STR("/y"));
	head_add(&x->arena, r, STR("Set-Cookie"), STR("a=b; Path=/"));
	x_head(&fake.up.e, r);
	loop_turn(0);
	assert_ptr_equal(down.head, r);
	assert_str(value(r, "location"), "/app/y");
	assert_str(value(r, "set-cookie"), "a=b; Path=/app");
	assert_str(value(r, "x-own"), "1");
	assert_str(value(r, "server"), "");
	assert_true(value(r, "date").n == 29);
	done();
	/* where the path is the client's own, so is the Location */
	ask("GET", "a.test", "/limited/x");
	r = test_response(x, 302);
	head_add(&x->arena, r, STR("Location"), STR("/y"));
	x_head(&fake.up.e, r);
	assert_str(value(r, "location"), "/y");
	done();
}

static void each_exchange_is_logged_once(void **state)
{
	const char *text;

	(void)state;
	ask("GET", "a.test", "/app/x?q");
	x_head(&fake.up.e, test_response(x, 200));
	x_put(&fake.up.e, "hello", 5);
	done();
	ask("GET", "a.test", "/cgi");
	done();
	/* a connection that ends between two requests is none */
	begin("GET", "a.test", "/");
	x_leave(&down.e);
	loop_turn(0);
	/* nor does another vhost's log see it */
	ask("GET", "x.b.test", "/only");
	done();
	loop_turn(0);
	text = logged();
	assert_int_equal(strncmp(text, "192.0.2.7 - - [", 15), 0);
	assert_non_null(strstr(text, "] \"GET /app/x?q HTTP/1.1\" 200 5 \"-\" \"-\"\n"));
	assert_non_null(strstr(text, "] \"GET /cgi HTTP/1.1\" 501 "));
	assert_null(strchr(strchr(strchr(text, '\n') + 1, '\n') + 1, '\n'));
}

/* ---- configurations that change ---- */

static void an_exchange_keeps_the_site_it_began_with(void **state)
{
	struct site *old = site_current();

	(void)state;
	ask("GET", "a.test", "/app/x");
	site_swap(make_site());
	assert_true(site_current() != old);
	assert_int_equal(made_up.contexts, 4);
	assert_ptr_equal(x->conf, site_config(old));
	/* log files opened anew, and moved away before: what is logged by the old one goes to the new file */
	close(log_file);
	log_file = memfd_create("anew", 0);
	site_set_log(site_current(), 0, dup(log_file));
	x_abort(&fake.up.e, ERR_UP_REFUSED);
	loop_turn(0);
	assert_int_equal(down.head->status, 503);
	done();
	assert_int_equal(made_up.contexts, 2);
	loop_turn(0);
	assert_non_null(strstr(logged(), "] \"GET /app/x HTTP/1.1\" 503 "));
	ask("GET", "a.test", "/app/x");
	assert_ptr_equal(x->conf, site_config(site_current()));
	done();
}

static void a_tunnel_lets_its_site_go(void **state)
{
	struct head *r;

	(void)state;
	ask("GET", "a.test", "/limited/x");
	r = test_response(x, 101);
	x_open_tunnel(&fake.up.e);
	x_head(&fake.up.e, r);
	assert_int_equal(r->nfields, 0);
	site_swap(make_site());
	assert_int_equal(made_up.contexts, 2);
	assert_null(x->conf);
	assert_null(x->mount);
	assert_int_equal(x->timeouts->upstream_response_ms, 77);
	assert_int_equal(x->limits->pipe_bytes, 4096);
	assert_string_equal(x->facts.upstream, "unix:/run/a.sock");
	loop_turn(0);
	x_put(&fake.up.e, "bytes", 5);
	x_end(&fake.up.e);
	loop_turn(0);
	x_end(&down.e);
	loop_turn(0);
	x_leave(&fake.up.e);
	x_leave(&down.e);
	loop_turn(0);
	assert_non_null(strstr(logged(), "] \"GET /limited/x HTTP/1.1\" 101 5 "));
}

/* A listener that the new configuration has no more drains on the last one that had it. */
static void a_removed_listener_is_served_by_its_last_site(void **state)
{
	struct site *old = site_get(site_current());
	struct config *c = tconf_new();
	struct conf_report r;

	(void)state;
	conf_report_init(&r);
	site_swap(site_new(c, &r));
	conf_report_fini(&r);
	assert_null(site_listener(site_current(), STR("*:443")));
	x = x_new(&down.e);
	route_begin(x, old, &conn);
	site_put(old);
	tell(test_request(x, "GET", "/app/y"));
	assert_string_equal(fake.opened->text, "unix:/run/a.sock");
	done();
	assert_int_equal(made_up.contexts, 0);
}

static void listeners_are_as_configured(void **state)
{
	struct site_listener *l = site_listener(site_current(), STR("*:443"));

	(void)state;
	assert_true(site_listener_is_tls(l));
	assert_non_null(site_listener_tls(l));
	l = site_listener(site_current(), STR("*:80"));
	assert_non_null(l);
	assert_false(site_listener_is_tls(l));
	assert_null(site_listener_tls(l));
	assert_null(site_listener(site_current(), STR("*:1")));
	assert_int_equal(fake.nnames, 2);
	assert_str(fake.names[0].name, "a.test");
	assert_str(fake.names[1].name, "*.b.test");
	assert_string_equal(conn.peer_host, "192.0.2.7");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(paths_lead_to_their_mounts, setup, teardown),
		cmocka_unit_test_setup_teardown(the_request_is_translated, setup, teardown),
		cmocka_unit_test_setup_teardown(hosts_decide, setup, teardown),
		cmocka_unit_test_setup_teardown(facts_and_limits_are_those_of_the_route, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_go_up_is_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(pages_carry_the_vhosts_own_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(redirects, setup, teardown),
		cmocka_unit_test_setup_teardown(strict_hosts_are_misdirected, setup, teardown),
		cmocka_unit_test_setup_teardown(options_end_here_when_they_may_go_no_further, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_style_sheet_is_answered_here, setup, teardown),
		cmocka_unit_test_setup_teardown(a_dead_upstream_gets_a_page, setup, teardown),
		cmocka_unit_test_setup_teardown(what_may_be_sent_again_is, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refused_request_gets_its_page, setup, teardown),
		cmocka_unit_test_setup_teardown(an_unreadable_request_gets_its_page, setup, teardown),
		cmocka_unit_test_setup_teardown(responses_are_translated, setup, teardown),
		cmocka_unit_test_setup_teardown(each_exchange_is_logged_once, setup, teardown),
		cmocka_unit_test_setup_teardown(an_exchange_keeps_the_site_it_began_with, setup, teardown),
		cmocka_unit_test_setup_teardown(a_tunnel_lets_its_site_go, setup, teardown),
		cmocka_unit_test_setup_teardown(a_removed_listener_is_served_by_its_last_site, setup,
						teardown),
		cmocka_unit_test_setup_teardown(listeners_are_as_configured, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
