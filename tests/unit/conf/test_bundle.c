/*
 * The bundle: what goes in comes out, what was tampered with is refused; the parent's and the worker's side.
 */
#include "tests/unit/conf/conf_test.h"
#include "conf/bundle.h"
#include "conf/check.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void round_trip(void **state)
{
	static const struct conf_record in[] = {
		{ STR("/etc/a"), STR("bytes"), CONF_RECORD_SOURCE },
		{ STR("/etc/b"), STR(""), CONF_RECORD_FILE },
		{ STR("/etc/c"), STR("a\0b\n"), CONF_RECORD_FILE },
	};
	int fd = conf_bundle_write(in, ARRAY_SIZE(in));
	struct conf_bundle b;

	(void)state;
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_true(conf_bundle_map(&b, fd));
	close(fd);
	assert_int_equal(b.n, 3);
	for (size_t i = 0; i < b.n; i++) {
		assert_int_equal(b.records[i].kind, in[i].kind);
		assert_true(str_eq(b.records[i].path, in[i].path));
		assert_true(str_eq(b.records[i].bytes, in[i].bytes));
		assert_int_equal(b.records[i].path.p[b.records[i].path.n], 0);
	}
	conf_bundle_unmap(&b);

	fd = conf_bundle_write(NULL, 0);
	assert_true(conf_bundle_map(&b, fd));
	assert_int_equal(b.n, 0);
	conf_bundle_unmap(&b);
	close(fd);
}

static int sealed(const void *p, size_t n, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

enum { ALL_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL };

static bool maps(const void *p, size_t n)
{
	int fd = sealed(p, n, ALL_SEALS);
	struct conf_bundle b;
	bool mapped = conf_bundle_map(&b, fd);
	size_t sum = 0;

	close(fd);
	if (!mapped) {
		assert_null(b.map);
		return false;
	}
	/* whatever it says now, every byte of it can be read */
	for (size_t i = 0; i < b.n; i++) {
		for (size_t k = 0; k <= b.records[i].path.n; k++)
			sum += (unsigned char)b.records[i].path.p[k];
		for (size_t k = 0; k <= b.records[i].bytes.n; k++)
			sum += (unsigned char)b.records[i].bytes.p[k];
	}
	conf_bundle_unmap(&b);
	return sum < SIZE_MAX;
}

/* Every byte changed, every length cut: refused, or harmless. */
static void tampered(void **state)
{
	static const struct conf_record in[] = {
		{ STR("/etc/a"), STR("global: {}"), CONF_RECORD_SOURCE },
		{ STR("/etc/b"), STR("xyz"), CONF_RECORD_FILE },
	};
	static const unsigned char changes[] = { 0x01, 0x80, 0xff };
	int fd = conf_bundle_write(in, ARRAY_SIZE(in));
	unsigned char good[512], bad[513];
	ssize_t n = pread(fd, good, sizeof good, 0);
	size_t refused = 0;

	(void)state;
	assert_true(n > 0 && (size_t)n < sizeof good);
	close(fd);
	assert_true(maps(good, (size_t)n));
	for (size_t i = 0; i < (size_t)n; i++)
		for (size_t k = 0; k < sizeof changes; k++) {
			memcpy(bad, good, (size_t)n);
			bad[i] ^= changes[k];
			refused += !maps(bad, (size_t)n);
		}
	assert_true(refused > 200); /* all but the texts themselves, and slices that stay inside */
	for (size_t i = 0; i < (size_t)n; i++)
		assert_false(maps(good, i));
	memcpy(bad, good, (size_t)n);
	bad[n] = 0;
	assert_false(maps(bad, (size_t)n + 1));
}

static void unsealed(void **state)
{
	static const struct conf_record in[] = { { STR("/etc/a"), STR(""), CONF_RECORD_SOURCE } };
	int fd = conf_bundle_write(in, 1), pipes[2];
	struct conf_bundle b;
	char copy[256];
	ssize_t n = pread(fd, copy, sizeof copy, 0);

	(void)state;
	close(fd);
	fd = sealed(copy, (size_t)n, F_SEAL_GROW | F_SEAL_WRITE);
	assert_false(conf_bundle_map(&b, fd));
	close(fd);
	assert_int_equal(pipe(pipes), 0);
	assert_false(conf_bundle_map(&b, pipes[0]));
	close(pipes[0]);
	close(pipes[1]);
	assert_false(conf_bundle_map(&b, -1));
}

/* ---- with files ---- */

static char dir[64];

static const char *in_dir(char *out, const char *name)
{
	snprintf(out, 256, "%s/%s", dir, name);
	return out;
}

static void put_file(const char *name, const char *text, mode_t mode)
{
	char path[256];
	FILE *f = fopen(in_dir(path, name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/gatehouse-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int drop_dir(void **state)
{
	static const char *const names[] = { "conf", "cert", "key", "css" };
	char path[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unlink(in_dir(path, names[i]));
	return rmdir(dir);
}

static void put_conf(void)
{
	char text[1024];

	snprintf(text, sizeof text,
		 "global:\n"
		 "  error-css: %s/css\n"
		 "vhosts:\n"
		 "- name: a\n"
		 "  port: 443\n"
		 "  host-ssl-cert: %s/cert\n"
		 "  host-ssl-key: %s/key\n"
		 "  mounts: [ { mountpoint: /, origin: 'unix:/a' } ]\n"
		 "- name: b\n"
		 "  port: 443\n"
		 "  host-ssl-cert: %s/cert\n"
		 "  host-ssl-key: %s/key\n"
		 "  mounts: [ { mountpoint: /, origin: 'unix:/a' } ]\n",
		 dir, dir, dir, dir, dir);
	put_file("conf", text, 0600);
}

static void both_sides(void **state)
{
	struct config *parent = NULL, *worker;
	struct conf_report r;
	char path[256];
	int fd;

	(void)state;
	put_conf();
	put_file("cert", "CERT", 0644);
	put_file("key", "KEY", 0600);
	put_file("css", "body {}", 0644);
	conf_report_init(&r);
	fd = conf_make_bundle(in_dir(path, "conf"), NULL, &r, &parent);
	assert_true(fd >= 0);
	assert_int_equal(r.n, 0);
	assert_int_equal(parent->nfiles, 3);
	assert_str(parent->files[0]->bytes, "body {}");
	assert_str(parent->files[2]->bytes, "KEY");

	/* the worker needs no file any more */
	drop_dir(state);
	worker = conf_from_bundle(fd, &r);
	close(fd);
	assert_non_null(worker);
	assert_int_equal(worker->nvhosts, 2);
	assert_int_equal(worker->nfiles, 3);
	assert_str(worker->files[1]->path, parent->files[1]->path.p);
	assert_str(worker->files[1]->bytes, "CERT");
	assert_str(worker->files[2]->bytes, "KEY");
	assert_true(worker->files[2]->secret);
	assert_true(worker->files[2]->bytes.p > (const char *)worker->map);
	assert_string_equal(worker->files[2]->pos.file, path);
	assert_int_equal(worker->files[2]->pos.line, 7);
	conf_put(parent);
	conf_put(worker);
	conf_report_fini(&r);
	assert_int_equal(make_dir(state), 0);
}

static void unreadable(void **state)
{
	struct conf_report r;
	struct config *c;
	char path[256], expected[2048], *text;
	int fd;

	(void)state;
	put_conf();
	put_file("key", "KEY", 0604);
	in_dir(path, "conf");
	conf_report_init(&r);
	fd = conf_make_bundle(path, NULL, &r, &c);
	assert_true(fd >= 0);
	assert_null(c);
	assert_int_equal(r.n, 0); /* it is for the other side to say */
	assert_null(conf_from_bundle(fd, &r));
	text = report_text(&r);
	snprintf(expected, sizeof expected,
		 "%s:2:14: error: cannot read \"%s/css\": No such file or directory\n"
		 "      error-css: %s/css\n"
		 "                 ^\n"
		 "help: check the path\n"
		 "%s:6:18: error: cannot read \"%s/cert\": No such file or directory\n"
		 "      host-ssl-cert: %s/cert\n"
		 "                     ^\n"
		 "help: check the path\n"
		 "%s:7:17: warning: everybody can read \"%s/key\", which holds secrets\n"
		 "      host-ssl-key: %s/key\n"
		 "                    ^\n"
		 "help: chmod o-r\n",
		 path, dir, dir, path, dir, dir, path, dir, dir);
	assert_string_equal(text, expected);
	free(text);
	conf_report_fini(&r);

	/* all that is there, for who looks for more */
	conf_report_init(&r);
	c = conf_from_bundle_anyhow(fd, &r);
	close(fd);
	assert_int_equal(r.counts[CONF_ERROR], 2);
	assert_int_equal(r.counts[CONF_WARNING], 1);
	assert_null(c->files[0]->bytes.p);
	assert_null(c->files[1]->bytes.p);
	assert_str(c->files[2]->bytes, "KEY");
	conf_put(c);
	conf_report_fini(&r);
}

/* A file that cannot be read hides neither its neighbours' errors nor those of the files that they name. */
static void all_errors_at_once(void **state)
{
	char path[256];
	struct conf_report r;
	struct config *c;
	int fd;

	(void)state;
	put_file("conf", "vhosts:\n- name: a\n  prt: 80\n  host-ssl-cert: /none/x\n  host-ssl-key: /none/y\n",
		 0600);
	assert_int_equal(mkdir(in_dir(path, "conf.d"), 0700), 0);
	assert_int_equal(symlink("/none/z", in_dir(path, "conf.d/z")), 0);
	conf_report_init(&r);
	fd = conf_make_bundle(dir, NULL, &r, &c);
	assert_null(c);
	assert_int_equal(r.counts[CONF_ERROR], 1); /* conf.d/z */
	c = conf_from_bundle_anyhow(fd, &r);
	assert_int_equal(r.counts[CONF_ERROR], 5); /* no port, unknown key, x, y */
	assert_int_equal(c->nvhosts, 1);
	close(fd);
	conf_put(c);
	conf_report_fini(&r);
	unlink(in_dir(path, "conf.d/z"));
	rmdir(in_dir(path, "conf.d"));
}

static void no_bundle(void **state)
{
	struct conf_report r;
	char *text;

	(void)state;
	conf_report_init(&r);
	assert_null(conf_from_bundle(-1, &r));
	text = report_text(&r);
	assert_string_equal(text, "error: this is no bundle\n");
	free(text);
	conf_report_fini(&r);
}

/* A configuration that names a file its bundle lacks: a bug of the writer, not a crash of the reader. */
static void lacking(void **state)
{
	static const struct conf_record in[] = {
		{ STR("conf"),
		  STR("{ \"vhosts\": [ { \"name\": \"a\", \"port\": 1, \"host-ssl-cert\": \"/c\", "
		      "\"host-ssl-key\": \"/k\" } ] }"),
		  CONF_RECORD_SOURCE },
		{ STR("/k"), STR("KEY"), CONF_RECORD_FILE },
	};
	int fd = conf_bundle_write(in, ARRAY_SIZE(in));
	struct conf_report r;

	(void)state;
	conf_report_init(&r);
	assert_null(conf_from_bundle(fd, &r));
	assert_int_equal(r.counts[CONF_ERROR], 1);
	close(fd);
	conf_report_fini(&r);
}

static char *checked(bool strict, bool good, const char *text)
{
	struct conf_source src = { STR("conf"), str_from_c(text) };
	struct conf_report r;
	char *out = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&out, &n);

	conf_report_init(&r);
	conf_put(conf_load(&src, 1, NULL, &r));
	assert_int_equal(conf_check_print(&r, strict, f), good);
	fclose(f);
	conf_report_fini(&r);
	return out;
}

static void check(void **state)
{
	static const char warning[] =
		"vhosts:\n- name: a\n  port: 80\n  mounts: [ { mountpoint: /, origin: 'file:///x' } ]\n";
	char *text = checked(false, true, warning);

	(void)state;
	assert_non_null(strstr(text, ":4:38: warning: files are not served: this mount answers 501\n"));
	assert_non_null(strstr(text, "\n0 errors, 1 warning\n"));
	free(text);
	text = checked(true, false, warning);
	assert_non_null(strstr(text, "\n0 errors, 1 warning (with --strict a warning is an error)\n"));
	free(text);
	text = checked(false, false, "vhosts:\n- name: a\n  prt: 80\n");
	assert_non_null(strstr(text, "\n2 errors, 1 warning\n"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(tampered),
		cmocka_unit_test(unsealed),
		cmocka_unit_test_setup_teardown(both_sides, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(unreadable, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(all_errors_at_once, make_dir, drop_dir),
		cmocka_unit_test(check),
		cmocka_unit_test(no_bundle),
		cmocka_unit_test(lacking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
