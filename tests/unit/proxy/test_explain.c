/* What is said about a socket that cannot be connected to. Run by root, it looks as nobody. */
#include "proxy/explain.h"
#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { NOBODY = 65534, OTHERS_GROUP = 12345 };

static char dir[64], text[EXPLAIN_BYTES];

static const char *at(const char *name)
{
	static char path[4][128];
	static unsigned n;
	char *p = path[n++ % 4];

	snprintf(p, sizeof path[0], "%s/%s", dir, name);
	return p;
}

static void make_socket(const char *path, int type)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0);

	snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
	close(fd);
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/explain-XXXXXX");
	if (!mkdtemp(dir) || chmod(dir, 0755) < 0)
		return -1;
	mkdir(at("d"), 0755);
	make_socket(at("d/sock"), SOCK_STREAM);
	chmod(at("d/sock"), 0666);
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* What an unprivileged process says; in one of its own, for there is no way back. */
static const char *explained(const char *path, int sys_errno)
{
	int fd[2], status;
	size_t n = 0;
	ssize_t r;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	if (pid == 0) {
		if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
			_exit(1);
		explain_unix(path, sys_errno, text);
		_exit(write(fd[1], text, strlen(text)) < 0);
	}
	close(fd[1]);
	while ((r = read(fd[0], text + n, sizeof text - 1 - n)) > 0)
		n += (size_t)r;
	text[n] = 0;
	close(fd[0]);
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	return text;
}

#define SAYS(path, e, part)                                                  \
	do {                                                                 \
		const char *said_ = explained(path, e);                      \
		if (!strstr(said_, part))                                    \
			fail_msg("wanted \"%s\", got \"%s\"", part, said_); \
	} while (0)

static void the_folder_in_the_way_is_named(void **state)
{
	char wanted[256];

	(void)state;
	chmod(at("d"), 0700);
	snprintf(wanted, sizeof wanted, " may not pass %s, which belongs to user ", at("d"));
	if (geteuid() != 0)
		return; /* one's own folder: nothing to be seen */
	SAYS(at("d/sock"), EACCES, wanted);
	SAYS(at("d/sock"), EACCES, "nobody (groups nogroup)");
	SAYS(at("d/sock"), EACCES, " and group root, mode 0700; chmod o+x ");
	/* through a link, before it and at its end */
	assert_int_equal(symlink(at("d"), at("link")), 0);
	SAYS(at("link/sock"), EACCES, wanted);
	assert_int_equal(symlink("d/sock", at("direct")), 0);
	SAYS(at("direct"), EACCES, wanted);
	/* a group that may: whoever joins it can */
	assert_int_equal(chown(at("d"), 0, 4), 0); /* adm */
	chmod(at("d"), 0750);
	SAYS(at("d/sock"), EACCES, " and group adm, mode 0750; usermod -aG adm nobody, then reload");
	chmod(at("d"), 0700);
	SAYS(at("d/sock"), EACCES, "; chmod g+x ");
	/* a number without a name */
	assert_int_equal(chown(at("d"), 12345, OTHERS_GROUP), 0);
	SAYS(at("d/sock"), EACCES, "belongs to user uid 12345 and group gid 12345, mode 0700; chmod o+x ");
	/* of one's own group */
	assert_int_equal(chown(at("d"), 0, NOBODY), 0);
	SAYS(at("d/sock"), EACCES, "group nogroup, mode 0700; chmod g+x ");
}

static void the_socket_itself_is_named(void **state)
{
	char wanted[256];

	(void)state;
	chmod(at("d/sock"), 0644);
	snprintf(wanted, sizeof wanted, " may not write to %s, which belongs to user root", at("d/sock"));
	if (geteuid() == 0)
		SAYS(at("d/sock"), EACCES, wanted);
	chmod(at("d/sock"), 0666);
	SAYS(at("d/sock"), EACCES, "AppArmor or SELinux");
}

static void what_is_missing_is_named(void **state)
{
	char wanted[256];

	(void)state;
	snprintf(wanted, sizeof wanted, "there is no %s: the application is not running", at("d/other"));
	SAYS(at("d/other"), ENOENT, wanted);
	SAYS(at("d/other"), ENOENT, "PrivateTmp=yes"); /* the test lives in /tmp */
	snprintf(wanted, sizeof wanted, "there is no %s;", at("e"));
	SAYS(at("e/sock"), ENOENT, wanted);
	SAYS("/nowhere/sock", ENOENT, "there is no /nowhere");
	assert_null(strstr(explained("/nowhere/sock", ENOENT), "PrivateTmp"));
	SAYS(at("d/sock"), ENOENT, "is now");
	/* a link that leads nowhere */
	assert_int_equal(symlink("/nowhere/x", at("link")), 0);
	SAYS(at("link"), ENOENT, "there is no /nowhere");
	assert_int_equal(symlink(at("a"), at("b")) | symlink(at("b"), at("a")), 0);
	SAYS(at("a"), ELOOP, "Too many levels");
}

static void what_is_no_listener_is_named(void **state)
{
	int fd;

	(void)state;
	SAYS(at("d/sock"), ECONNREFUSED, "nobody listens on ");
	fd = open(at("file"), O_CREAT | O_WRONLY, 0666);
	close(fd);
	chmod(at("file"), 0666);
	SAYS(at("file"), ECONNREFUSED, "file is a regular file, not a socket");
	SAYS(at("file/sock"), ENOTDIR, "file is a regular file, not a folder");
	chmod(at("d"), 0777);
	SAYS(at("d"), ECONNREFUSED, "d is a folder, not a socket");
	make_socket(at("dgram"), SOCK_DGRAM);
	chmod(at("dgram"), 0666);
	SAYS(at("dgram"), EPROTOTYPE, "a socket of another kind");
	SAYS(at("d/sock"), EAGAIN, "does not accept");
	SAYS("@name", ECONNREFUSED, "abstract name @name");
	SAYS("@name", EACCES, "Permission denied");
	SAYS(at("d/sock"), EIO, "Input/output error");
}

static void long_paths_are_cut(void **state)
{
	char path[2 * PATH_MAX];

	(void)state;
	memset(path, 'x', sizeof path);
	for (size_t i = 0; i < sizeof path; i += 100)
		path[i] = '/';
	path[sizeof path - 1] = 0;
	SAYS(path, ENAMETOOLONG, "there is no /");
	assert_true(strlen(text) < EXPLAIN_BYTES);
}

static void faults_need_a_change(void **state)
{
	(void)state;
	assert_true(explain_is_fault(EACCES));
	assert_true(explain_is_fault(ENOTDIR));
	assert_false(explain_is_fault(ENOENT));
	assert_false(explain_is_fault(ECONNREFUSED));
	assert_false(explain_is_fault(EAGAIN));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(the_folder_in_the_way_is_named),
		TEST(the_socket_itself_is_named),
		TEST(what_is_missing_is_named),
		TEST(what_is_no_listener_is_named),
		TEST(long_paths_are_cut),
		TEST(faults_need_a_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
