/* What a worker can do in its sandbox, and what ends it: each in a process of its own. */
#include "proxy/sandbox.h"
#include "tests/unit/bug.h"
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <cmocka.h>

enum { GOOD = 0, BAD = 1, NO_SANDBOX = 2 };

static int in_sandbox(enum msg_role role, int (*act)(void))
{
	pid_t pid = bug_fork();

	if (pid == 0)
		_exit(sandbox_enter(role) ? NO_SANDBOX : act());
	return bug_reap(pid);
}

#define assert_good(role, act)                                    \
	do {                                                      \
		int status_ = in_sandbox(role, act);              \
		assert_true(WIFEXITED(status_));                  \
		assert_int_equal(WEXITSTATUS(status_), GOOD);     \
	} while (0)

#define assert_ended(role, act)                                   \
	do {                                                      \
		int status_ = in_sandbox(role, act);              \
		assert_true(WIFSIGNALED(status_));                \
		assert_int_equal(WTERMSIG(status_), SIGSYS);      \
	} while (0)

/* ---- what ends it ---- */

static int run_a_program(void)
{
	char name[] = "/bin/true", *argv[] = { name, NULL };

	return execve(name, argv, NULL);
}

static int packet_socket(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0) < 0 ? BAD : GOOD;
}

static int datagram_socket(void)
{
	return socket(AF_INET, SOCK_DGRAM, 0) < 0 ? BAD : GOOD;
}

static int raw_socket(void)
{
	return socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6) < 0 ? BAD : GOOD;
}

static int signal_to_another(void)
{
	return kill(getppid(), 0);
}

static int stream_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) < 0 ? BAD : GOOD;
}

static int bound_socket(void)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return bind(fd, (struct sockaddr *)&any, sizeof any) < 0 ? BAD : GOOD;
}

static int another_user(void)
{
	return setuid(1) < 0 ? BAD : GOOD;
}

static int remove_a_file(void)
{
	return unlink("/nonexistent") < 0 ? BAD : GOOD;
}

static int executable_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ? BAD : GOOD;
}

static int now_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0 ? BAD : GOOD;
}

static int trace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? BAD : GOOD;
}

static int fork_one(void)
{
	return fork() < 0 ? BAD : GOOD;
}

static void test_what_ends_it(void **state)
{
	(void)state;
	assert_ended(MSG_WORKER, run_a_program);
	assert_ended(MSG_WORKER, packet_socket);
	assert_ended(MSG_WORKER, datagram_socket);
	assert_ended(MSG_WORKER, raw_socket);
	assert_ended(MSG_WORKER, bound_socket);
	assert_ended(MSG_WORKER, signal_to_another);
	assert_ended(MSG_WORKER, another_user);
	assert_ended(MSG_WORKER, remove_a_file);
	assert_ended(MSG_WORKER, executable_memory);
	assert_ended(MSG_WORKER, now_executable);
	/* a worker dials, a trial does not */
	assert_ended(MSG_TRIAL, stream_socket);
	assert_ended(MSG_TRIAL, run_a_program);
}

/* The leak checker does these. */
static void test_what_ends_it_without_sanitizers(void **state)
{
	(void)state;
	if (BASE_SANITIZED)
		return;
	assert_ended(MSG_WORKER, trace);
	assert_ended(MSG_WORKER, fork_one);
}

/* ---- what is refused ---- */

static int read_a_file(void)
{
	return open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES ? GOOD : BAD;
}

static int look_at_a_file(void)
{
	struct stat st;

	return stat("/etc/passwd", &st) < 0 && errno == EACCES ? GOOD : BAD;
}

static void test_files_are_refused(void **state)
{
	(void)state;
	if (BASE_SANITIZED)
		return;
	assert_good(MSG_WORKER, read_a_file);
	assert_good(MSG_WORKER, look_at_a_file);
	assert_good(MSG_TRIAL, read_a_file);
}

/* ---- what works ---- */

static struct sockaddr_un server;
static char folder[] = "/tmp/gh-sandbox-XXXXXX";

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	char c;

	return connect(fd, (struct sockaddr *)&server, sizeof server) == 0 && send(fd, "x", 1, 0) == 1 &&
			       recv(fd, &c, 1, 0) < 0 && errno == EAGAIN ? GOOD : BAD;
}

static int memory(void)
{
	char *p = malloc(1 << 20);
	char *more = p ? realloc(p, 8 << 20) : NULL;

	free(more);
	return more ? GOOD : BAD;
}

static int look_at_own(void)
{
	struct stat st;

	return stream_socket() == GOOD && fstat(STDERR_FILENO, &st) == 0 ? GOOD : BAD;
}

static int die_by_abort(void)
{
	abort();
}

/* Landlock alone, without seccomp. */
static int files_left(void)
{
	int dir = open(folder, O_RDONLY | O_DIRECTORY);

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || sandbox_leave_files(MSG_WORKER))
		return NO_SANDBOX;
	if (open("/etc/passwd", O_RDONLY) >= 0 || open(server.sun_path, O_PATH) < 0)
		return BAD;
	if (openat(dir, "new", O_WRONLY | O_CREAT, 0600) >= 0 || unlink(server.sun_path) == 0)
		return BAD;
	return dial();
}

static void test_what_works(void **state)
{
	int status;

	(void)state;
	assert_good(MSG_WORKER, dial);
	assert_good(MSG_WORKER, memory);
	assert_good(MSG_WORKER, look_at_own);
	assert_good(MSG_TRIAL, memory);
	/* an assertion that fails ends it as ever */
	status = in_sandbox(MSG_WORKER, die_by_abort);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void test_landlock_leaves_sockets(void **state)
{
	pid_t pid = bug_fork();
	int status;

	(void)state;
	if (pid == 0)
		_exit(files_left());
	status = bug_reap(pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), GOOD);
}

/* ---- who looks names up: modules of the machine do, which an error must not end ---- */

static int is_denied(long r)
{
	return r < 0 && errno == ENOSYS ? GOOD : BAD;
}

static int may_not_run_a_program(void)
{
	return is_denied(run_a_program());
}

static int may_not_have_a_packet_socket(void)
{
	return is_denied(socket(AF_PACKET, SOCK_RAW, 0));
}

static int may_not_talk_to_the_audit(void)
{
	return is_denied(socket(AF_NETLINK, SOCK_RAW, 9));
}

static int may_not_be_another_user(void)
{
	return is_denied(setuid(1));
}

static int may_not_write_what_is_executed(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return is_denied(p == MAP_FAILED ? -1 : 0);
}

static int finds_localhost(void)
{
	struct addrinfo *list;

	return getaddrinfo("localhost", NULL, NULL, &list) == 0 ? GOOD : BAD;
}

static int loads_code(void)
{
	int fd = open("/proc/self/exe", O_RDONLY);

	if (fd < 0) /* landlock: its own file is none of the machine's modules */
		fd = open("/etc/passwd", O_RDONLY);
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ? BAD : GOOD;
}

static int reads_what_says_how(void)
{
	return open("/etc/hosts", O_RDONLY) < 0 || open("/etc/hosts", O_WRONLY) >= 0 ? BAD : GOOD;
}

static int reads_nothing_else(void)
{
	return open(folder, O_RDONLY) < 0 && open("/proc/self/maps", O_RDONLY) < 0 ? GOOD : BAD;
}

static void test_a_resolver_looks_up_and_no_more(void **state)
{
	(void)state;
	assert_good(MSG_RESOLVER, finds_localhost);
	assert_good(MSG_RESOLVER, stream_socket);
	assert_good(MSG_RESOLVER, datagram_socket);
	assert_good(MSG_RESOLVER, loads_code);
	assert_good(MSG_RESOLVER, may_not_run_a_program);
	assert_good(MSG_RESOLVER, may_not_have_a_packet_socket);
	assert_good(MSG_RESOLVER, may_not_talk_to_the_audit);
	assert_good(MSG_RESOLVER, may_not_be_another_user);
	assert_good(MSG_RESOLVER, may_not_write_what_is_executed);
	if (BASE_SANITIZED)
		return;
	assert_good(MSG_RESOLVER, reads_what_says_how);
	assert_good(MSG_RESOLVER, reads_nothing_else);
}

static int forks(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(GOOD);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : BAD;
}

static int reads_whom_to_trust(void)
{
	return open("/etc/ssl/certs", O_RDONLY | O_DIRECTORY) < 0 ? BAD : GOOD;
}

static void test_who_asks_a_ca(void **state)
{
	(void)state;
	assert_good(MSG_ACME, finds_localhost);
	assert_good(MSG_ACME, stream_socket);
	assert_good(MSG_ACME, forks);
	assert_good(MSG_ACME, reads_whom_to_trust);
	assert_good(MSG_ACME, may_not_run_a_program);
	assert_good(MSG_ACME, may_not_have_a_packet_socket);
	assert_good(MSG_ACME, may_not_be_another_user);
	assert_good(MSG_ACME, may_not_write_what_is_executed);
	if (BASE_SANITIZED)
		return;
	assert_good(MSG_ACME, reads_what_says_how);
	assert_good(MSG_ACME, reads_nothing_else);
}

static int listening = -1;

static int setup(void **state)
{
	(void)state;
	server.sun_family = AF_UNIX;
	listening = socket(AF_UNIX, SOCK_STREAM, 0);
	if (!mkdtemp(folder) || listening < 0)
		return -1;
	snprintf(server.sun_path, sizeof server.sun_path, "%s/s", folder);
	return bind(listening, (struct sockaddr *)&server, sizeof server) < 0 ? -1 : listen(listening, 8);
}

static int teardown(void **state)
{
	(void)state;
	close(listening);
	unlink(server.sun_path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_ends_it),
		cmocka_unit_test(test_what_ends_it_without_sanitizers),
		cmocka_unit_test(test_files_are_refused),
		cmocka_unit_test(test_what_works),
		cmocka_unit_test(test_landlock_leaves_sockets),
		cmocka_unit_test(test_a_resolver_looks_up_and_no_more),
		cmocka_unit_test(test_who_asks_a_ca),
	};

	/* the tests are for kernels that have both, as every supported distribution's */
	return sandbox_missing() ? EXIT_FAILURE : cmocka_run_group_tests(tests, setup, teardown);
}
