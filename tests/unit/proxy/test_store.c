/* Files of the store: as a whole or not at all, kept in memory until they can be written, nobody else's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/log.h"
#include "core/loop.h"
#include "proxy/parent/store.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];

static struct str path_of(char *out, const char *name)
{
	return str_of(out, (size_t)snprintf(out, PATH_MAX, "%s/%s", dir, name));
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/gh-store-XXXXXX");
	log_open(-1, LOG_LEVEL_ERROR, "test");
	return mkdtemp(dir) && loop_open() == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	loop_close();
	snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command);
}

static void open_store(struct store *s, const char *name)
{
	struct config c = { .acme = { .ncerts = 1 } };
	struct conf_report r;
	char path[PATH_MAX];

	c.global.state_dir = path_of(path, name);
	conf_report_init(&r);
	assert_true(store_open(s, &c, &r));
	conf_report_fini(&r);
}

static void assert_file(const char *name, const char *expected)
{
	char path[PATH_MAX], bytes[256] = "";
	struct stat st;
	int fd;

	path_of(path, name);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, bytes, sizeof bytes), strlen(expected));
	assert_string_equal(bytes, expected);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	close(fd);
}

static int count_files(const char *name)
{
	char path[PATH_MAX];
	struct dirent *e;
	int n = 0;
	DIR *d;

	path_of(path, name);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

static void replaces_and_removes(void **state)
{
	struct store s;
	char path[PATH_MAX];

	(void)state;
	store_init(&s);
	open_store(&s, "state");
	assert_int_equal(store_write(&s, path_of(path, "state/acme/certs/a.pem"), STR("one")), 0);
	assert_file("state/acme/certs/a.pem", "one");
	assert_int_equal(store_write(&s, path_of(path, "state/acme/certs/a.pem"), STR("two")), 0);
	assert_file("state/acme/certs/a.pem", "two");
	assert_int_equal(count_files("state/acme/certs"), 1);
	assert_int_equal(store_write(&s, path_of(path, "state/acme/certs/a.pem"), STR_NONE), 0);
	assert_int_equal(store_write(&s, path_of(path, "state/acme/certs/a.pem"), STR_NONE), 0);
	assert_int_equal(count_files("state/acme/certs"), 0);
	/* a directory that is not ours is not made */
	assert_int_equal(store_write(&s, path_of(path, "else/a.pem"), STR_NONE), ENOENT);
	store_fini(&s);
}

/* A name that is taken by a directory stands for a disk that is full. */
static void keeps_what_cannot_be_written(void **state)
{
	char path[PATH_MAX], other[PATH_MAX];
	struct conf_record *kept;
	struct store s;
	size_t n;

	(void)state;
	store_init(&s);
	open_store(&s, "state");
	path_of(path, "state/acme");
	assert_int_equal(mkdir(path, 0700), 0);
	path_of(path, "state/acme/a.pem");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(store_write(&s, path_of(path, "state/acme/a.pem"), STR("one")), EISDIR);
	assert_int_equal(store_write(&s, path_of(path, "state/acme/a.pem"), STR("two")), EISDIR);
	assert_int_equal(store_write(&s, path_of(other, "state/acme/b.pem"), STR("b")), 0);
	kept = store_kept(&s, &n);
	assert_int_equal(n, 1);
	assert_true(str_eq(kept[0].path, path_of(path, "state/acme/a.pem")));
	assert_true(str_eq(kept[0].bytes, STR("two")));
	free(kept);
	assert_int_equal(count_files("state/acme"), 2); /* nothing half-written */
	assert_true(timer_is_set(&s.retry));

	assert_int_equal(rmdir(path), 0);
	while (timer_is_set(&s.retry))
		loop_turn(-1);
	assert_file("state/acme/a.pem", "two");
	free(store_kept(&s, &n));
	assert_int_equal(n, 0);
	store_fini(&s);
}

/* It says who has it, and does not wait. */
static void one_at_a_time(void **state)
{
	struct config c = { .acme = { .ncerts = 1 } };
	struct conf_report r;
	struct store s, other;
	char path[PATH_MAX], *text = NULL, expected[64];
	size_t n = 0;
	FILE *f;

	(void)state;
	store_init(&s);
	store_init(&other);
	open_store(&s, "state");
	open_store(&s, "state"); /* again, as a reload does */
	c.global.state_dir = path_of(path, "state");
	conf_report_init(&r);
	assert_false(store_open(&other, &c, &r));
	f = open_memstream(&text, &n);
	conf_report_print(&r, CONF_ERROR, f);
	fclose(f);
	snprintf(expected, sizeof expected, "another gatehouse (pid %d) uses", (int)getpid());
	assert_non_null(strstr(text, expected));
	free(text);
	conf_report_fini(&r);
	/* who takes over has the same open file */
	store_take_lock(&other, dup(store_lock_fd(&s)));
	store_fini(&s);
	open_store(&other, "state");
	store_fini(&other);
	open_store(&s, "state");
	store_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(replaces_and_removes, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_what_cannot_be_written, setup, teardown),
		cmocka_unit_test_setup_teardown(one_at_a_time, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
