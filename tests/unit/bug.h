/*
 * bug.h - asserts that something is our own fault: that a BUG_ON ends the process.
 *
 * Runs the statement in a child, which has the test's memory but whose end nobody else notices.
 */
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child: what the dying says is expected, and need not be read. */
static inline pid_t bug_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
	return pid;
}

/* The child's wait status. */
static inline int bug_reap(pid_t pid)
{
	int status = 0;

	return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

#define assert_bug(statement)                                                                  \
	do {                                                                                   \
		pid_t bug_pid_ = bug_fork();                                                   \
		int bug_status_;                                                               \
		if (bug_pid_ == 0) {                                                           \
			statement;                                                             \
			_exit(0);                                                              \
		}                                                                              \
		bug_status_ = bug_reap(bug_pid_);                                              \
		assert_true(WIFSIGNALED(bug_status_) && WTERMSIG(bug_status_) == SIGABRT);     \
	} while (0)

/* The same for what only a sanitizer sees: the process ends, one way or other. */
#define assert_dies(statement)                                                                 \
	do {                                                                                   \
		pid_t bug_pid_ = bug_fork();                                                   \
		if (bug_pid_ == 0) {                                                           \
			statement;                                                             \
			_exit(0);                                                              \
		}                                                                              \
		assert_int_not_equal(bug_reap(bug_pid_), 0);                                   \
	} while (0)
