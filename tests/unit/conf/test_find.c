/*
 * Which files a configuration consists of, and what is said when one cannot be had.
 */
#include "tests/unit/conf/conf_test.h"
#include "conf/find.h"
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/gatehouse-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static int drop_dir(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *in_dir(char *out, const char *name)
{
	snprintf(out, 256, "%s%s%s", dir, name[0] ? "/" : "", name);
	return out;
}

static void put_file(const char *name, const char *text)
{
	char path[256];
	FILE *f = fopen(in_dir(path, name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void put_dir(const char *name)
{
	char path[256];

	assert_int_equal(mkdir(in_dir(path, name), 0700), 0);
}

/* What is found at name, as "conf conf.d/a", or what is said. */
static void expect(const char *name, const char *expected)
{
	char path[256], *text = NULL;
	size_t n = 0, skip = strlen(dir) + 1;
	FILE *out = open_memstream(&text, &n);
	struct conf_found f;
	struct conf_report r;

	conf_report_init(&r);
	in_dir(path, name);
	if (conf_find(&f, path, &r)) {
		assert_int_equal(r.n, 0);
		for (size_t i = 0; i < f.n; i++)
			fprintf(out, "%s%s", i ? " " : "", f.sources[i].path.p + skip);
	} else {
		assert_true(r.counts[CONF_ERROR] > 0);
		for (size_t i = 0; i < r.n; i++)
			fprintf(out, "%s: %.*s\n",
				r.messages[i].pos.file + MIN(skip, strlen(r.messages[i].pos.file)),
				STR_ARG(r.messages[i].reason));
	}
	fclose(out);
	assert_string_equal(text, expected);
	conf_found_fini(&f);
	conf_report_fini(&r);
	free(text);
}

static void layouts(void **state)
{
	(void)state;
	put_file("alone", "x");
	expect("alone", "alone");
	expect("", ": there is no configuration in this directory\n");
	expect("nowhere", "nowhere: cannot read it: No such file or directory\n");
	put_dir("conf.d");
	expect("", ": there is no configuration in this directory\n");
	put_file("conf.d/b", "b");
	expect("", "conf.d/b");
	put_file("conf", "c");
	put_file("conf.d/a.yaml", "a");
	put_file("conf.d/10-z", "z");
	put_file("conf.d/.hidden", "h");
	put_file("conf.d/a.yaml~", "h");
	put_file("conf.d/a.yaml.dpkg-old", "h");
	put_file("conf.d/a.dpkg-new", "h");
	put_file("conf.d/a.rpmsave", "h");
	put_file("conf.d/a.rpmnew", "h");
	put_file("conf.d/rpm", "r");
	put_dir("conf.d/old");
	expect("", "conf conf.d/10-z conf.d/a.yaml conf.d/b conf.d/rpm");
	expect("/", "conf conf.d/10-z conf.d/a.yaml conf.d/b conf.d/rpm");
}

static void contents(void **state)
{
	char path[256];
	struct conf_found f;
	struct conf_report r;

	(void)state;
	put_file("conf", "one\n");
	put_dir("conf.d");
	put_file("conf.d/empty", "");
	conf_report_init(&r);
	assert_true(conf_find(&f, in_dir(path, ""), &r));
	assert_int_equal(f.n, 2);
	assert_str(f.sources[0].bytes, "one\n");
	assert_str(f.sources[1].bytes, "");
	conf_found_fini(&f);
	conf_report_fini(&r);
}

/* All that cannot be read is said at once. */
static void odd_files(void **state)
{
	char path[256];

	(void)state;
	put_dir("conf.d");
	assert_int_equal(mkfifo(in_dir(path, "conf"), 0600), 0);
	assert_int_equal(symlink("nowhere", in_dir(path, "conf.d/broken")), 0);
	put_file("conf.d/large", "");
	assert_int_equal(truncate(in_dir(path, "conf.d/large"), CONF_FILE_BYTES + 1), 0);
	put_file("conf.d/good", "x");
	expect("", "conf: cannot read it: not a regular file\n"
		   "conf.d/broken: cannot read it: No such file or directory\n"
		   "conf.d/large: cannot read it: larger than 1 MiB\n");
	assert_int_equal(truncate(in_dir(path, "conf.d/large"), CONF_FILE_BYTES), 0);
	expect("conf.d/large", "conf.d/large");
}

static void read_file(void **state)
{
	char path[256];
	struct str s;
	unsigned mode;

	(void)state;
	put_file("f", "0123456789");
	assert_int_equal(chmod(in_dir(path, "f"), 0640), 0);
	assert_int_equal(conf_read_file(path, 9, &s, &mode), EFBIG);
	assert_int_equal(conf_read_file(path, 10, &s, &mode), 0);
	assert_str(s, "0123456789");
	assert_int_equal(mode & 07777, 0640);
	free((char *)(uintptr_t)s.p);
	assert_int_equal(conf_read_file(dir, 10, &s, &mode), EISDIR);
	/* grows without end, says it is empty */
	assert_int_equal(conf_read_file("/proc/self/maps", 16, &s, &mode), EFBIG);
	assert_int_equal(conf_read_file("/proc/self/comm", 64, &s, &mode), 0);
	assert_true(s.n > 0);
	free((char *)(uintptr_t)s.p);
	assert_int_equal(conf_read_file("/dev/null", 16, &s, &mode), EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(layouts, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(contents, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(odd_files, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(read_file, make_dir, drop_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
