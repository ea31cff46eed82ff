/*
 * Whole configurations as users have them, from the corpus: the reference's examples, as they stand or
 * completed to a file, the benchmark's, and Gatehouse's own. Each loads, or says what its documentation
 * announces.
 */
#include "tests/unit/conf/conf_test.h"
#include "conf/find.h"

static struct loaded load_example(const char *name, const char *other)
{
	struct conf_source src[2];
	char path[2][512];
	const char *names[] = { name, other };
	size_t n = 0;
	struct loaded l;
	unsigned mode;

	for (; n < 2 && names[n]; n++) {
		char file[256];

		snprintf(file, sizeof file, "tests/fuzz/corpus/conf_config/%s", names[n]);
		source_path(path[n], sizeof path[n], file);
		assert_int_equal(conf_read_file(path[n], CONF_FILE_BYTES, &src[n].bytes, &mode), 0);
		src[n].path = str_from_c(names[n]);
	}
	l = load_sources(src, n);
	for (size_t i = 0; i < n; i++)
		free((char *)(uintptr_t)src[i].bytes.p);
	return l;
}

static void counts(void **state)
{
	static const struct {
		const char *name, *other;
		size_t errors, warnings, notes;
	} examples[] = {
		{ "bench-gatehouse", NULL, 0, 0, 0 },
		{ "bench-lwsws-conf", "bench-lwsws-vhosts", 0, 0, 4 },
		{ "lwsws-global", "lwsws-vhost", 0, 1, 3 },
		{ "lwsws-three-vhosts", NULL, 0, 2, 2 },
		{ "lwsws-plugin-dir", "ten-lines.yaml", 0, 0, 1 },
		{ "lwsws-global", NULL, 1, 0, 2 }, /* nothing to listen on */
		{ "lwsws-mounts", NULL, 0, 5, 2 },
		{ "lwsws-raw", NULL, 0, 1, 0 }, /* the first one leads nowhere */
		{ "lwsws-csp", NULL, 0, 0, 0 },
		{ "mount-options", NULL, 0, 5, 10 },
		{ "vhost-options", NULL, 0, 0, 2 },
		{ "acme-vhost", NULL, 0, 0, 1 }, /* a directory that has moved */
		{ "raw-fallback", NULL, 0, 2, 0 },
		{ "proxytest", NULL, 0, 0, 1 },
		{ "ten-lines.yaml", NULL, 0, 0, 0 },
		{ "tabs.yaml", NULL, 0, 0, 0 },
		{ "everything.yaml", NULL, 0, 0, 0 },
	};
	bool wrong = false;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		struct loaded l = load_example(examples[i].name, examples[i].other);

		if (l.report.counts[CONF_ERROR] != examples[i].errors ||
		    l.report.counts[CONF_WARNING] != examples[i].warnings ||
		    l.report.counts[CONF_NOTE] != examples[i].notes) {
			print_error("%s: %zu errors, %zu warnings, %zu notes\n%s\n", examples[i].name,
				    l.report.counts[CONF_ERROR], l.report.counts[CONF_WARNING],
				    l.report.counts[CONF_NOTE], l.text);
			wrong = true;
		}
		unload(&l);
	}
	assert_false(wrong);
}

static void bench(void **state)
{
	struct loaded l = load_example("bench-gatehouse", NULL);
	const struct config *c = l.c;

	(void)state;
	assert_int_equal(c->global.workers, 1);
	assert_str(c->global.control_socket, "/run/gatehouse/control.sock");
	assert_str(c->global.state_dir, "/run/gatehouse");
	assert_true(c->global.limits.connections_per_address == LIMIT_NONE);
	assert_true(c->global.connections_per_address_written);
	assert_int_equal(c->nlisteners, 2);
	assert_str(c->listeners[0]->name, "127.0.0.1:4433");
	assert_true(c->listeners[0]->tls);
	assert_str(c->listeners[1]->name, "127.0.0.1:8080");
	assert_false(c->listeners[1]->tls);
	assert_int_equal(c->ntargets, 1);
	assert_str(c->targets[0]->name, "unix:/run/app.sock");
	assert_int_equal(c->nfiles, 2);
	assert_str(c->files[0]->path, "/etc/ssl/bench.pem");
	assert_false(c->files[0]->secret);
	assert_true(c->files[1]->secret);
	unload(&l);
}

/* The reference's three vhosts of one name: a listener each, two of them with TLS. */
static void three_vhosts(void **state)
{
	struct loaded l = load_example("lwsws-three-vhosts", NULL);
	const struct config *c = l.c;

	(void)state;
	assert_int_equal(c->nvhosts, 3);
	assert_int_equal(c->nlisteners, 3);
	assert_str(c->vhosts[0]->mounts[0].mountpoint, "/testserver");
	assert_str(c->vhosts[0]->mounts[1].mountpoint, "/");
	assert_int_equal(c->vhosts[0]->mounts[1].kind, CONF_ORIGIN_NOT_SERVED);
	assert_true(c->vhosts[1]->tls);
	assert_false(c->vhosts[2]->tls);
	assert_int_equal(c->vhosts[2]->mounts[0].kind, CONF_ORIGIN_REDIRECT);
	assert_str(c->vhosts[2]->mounts[0].redirect, "https://localhost");
	assert_int_equal(c->vhosts[2]->mounts[0].redirect_status, 301);
	assert_int_equal(c->nfiles, 3);
	assert_string_equal(c->listeners[2]->pos.file, "lwsws-three-vhosts");
	assert_int_equal(c->listeners[2]->pos.line, 39);
	assert_int_equal(c->listeners[2]->pos.column, 17);
	unload(&l);
}

static void options(void **state)
{
	struct loaded l = load_example("vhost-options", NULL);
	const struct conf_vhost *v = l.c->vhosts[0];

	(void)state;
	assert_str(v->listener->name, "unix:/run/gatehouse/front.sock");
	assert_true(v->listener->is_unix);
	assert_str(v->listener->unix_user, "www-data");
	assert_str(v->listener->unix_group, "www-data");
	assert_true(v->ssl_options_set == (268435456 | 33554432));
	assert_true(v->ssl_options_clear == 4);
	assert_int_equal(v->nheaders, 4);
	assert_str(v->headers[2].name, "X-XSS-Protection");
	assert_str(v->headers[2].value, "1; mode=block");
	assert_true(v->sts);
	assert_str(v->curves.text, "prime256v1");
	assert_int_equal(v->timeouts.keepalive_ms, 60000);
	assert_int_equal(v->timeouts.handshake_ms, 5000);
	assert_int_equal(v->timeouts.request_head_ms, 5000);
	assert_int_equal(v->timeouts.upstream_connect_ms, 5000);
	assert_int_equal(v->access_log, 0);
	assert_str(l.c->logs[0].path, "/var/log/gatehouse/www.log");
	/* client-cert-required, and no client-cert-ca */
	assert_str(v->client_ca.text, "/etc/ssl/www.ca");
	assert_int_equal(v->mounts[0].kind, CONF_ORIGIN_PROXY);
	unload(&l);
}

static void ten_lines(void **state)
{
	struct loaded l = load_example("ten-lines.yaml", NULL);
	const struct conf_vhost *v = l.c->vhosts[0];

	(void)state;
	assert_str(v->name, "www.example.com");
	assert_str(v->listener->name, "*:443");
	assert_int_equal(v->nmounts, 3);
	assert_str(v->mounts[0].mountpoint, "/api");
	assert_str(v->mounts[0].target->name, "127.0.0.1:8080");
	assert_str(v->mounts[0].base, "/v1");
	assert_str(v->mounts[1].mountpoint, "/old");
	assert_str(v->mounts[2].mountpoint, "/");
	assert_str(v->mounts[2].target->address, "/run/app.sock");
	assert_str(v->mounts[2].base, "");
	unload(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts),  cmocka_unit_test(bench), cmocka_unit_test(three_vhosts),
		cmocka_unit_test(options), cmocka_unit_test(ten_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
