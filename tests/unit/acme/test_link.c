/*
 * Between an order's process and the one that started it: who asks waits for the answer, and ends when
 * there is nobody to give one.
 */
#include "tests/unit/acme/acme_test.h"
#include "acme/link.h"
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER = 28 };

static char buf[ACME_LINK_BYTES];

/* The next message; there is one, or the end. */
static int next(int fd, struct acme_link_head *h, struct str *bytes)
{
	struct pollfd p = { fd, POLLIN, 0 };

	assert_int_equal(poll(&p, 1, 10000), 1);
	return acme_link_read(fd, buf, h, bytes);
}

static int status_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* In a process of its own; returns the other end. */
static int start(void (*order)(int fd), pid_t *pid)
{
	int pair[2];

	assert_int_equal(acme_link_pair(pair), 0);
	*pid = fork();
	if (*pid == 0) {
		close(pair[0]);
		order(pair[1]);
		_exit(0);
	}
	close(pair[1]);
	return pair[0];
}

static void ask_and_end(int fd)
{
	const struct acme_link_head h = { ACME_LINK_CHALLENGE, 1, 0 };
	char *large = base_zalloc(ACME_FILE_BYTES);

	if (acme_link_ask(fd, &h, STR("a\0b\0c")) != ANSWER ||
	    acme_link_ask(fd, &h, str_of(large, ACME_FILE_BYTES)) != 0)
		_exit(1);
	acme_link_end(fd, ACME_END_WAIT, 1234, STR("words"));
	free(large);
}

static void asked_and_answered(void **state)
{
	struct acme_link_head h;
	struct str bytes;
	pid_t pid;
	int fd = start(ask_and_end, &pid);

	(void)state;
	assert_int_equal(next(fd, &h, &bytes), 1);
	assert_int_equal(h.type, ACME_LINK_CHALLENGE);
	assert_int_equal(h.what, 1);
	assert_int_equal(bytes.n, 5);
	assert_memory_equal(bytes.p, "a\0b\0c", 5);
	assert_int_equal(acme_link_read(fd, buf, &h, &bytes), 0); /* it waits */
	acme_link_answer(fd, ANSWER);
	assert_int_equal(next(fd, &h, &bytes), 1);
	assert_int_equal(bytes.n, ACME_FILE_BYTES);
	acme_link_answer(fd, 0);
	assert_int_equal(next(fd, &h, &bytes), 1);
	assert_int_equal(h.type, ACME_LINK_END);
	assert_int_equal(h.what, ACME_END_WAIT);
	assert_int_equal(h.until_ms, 1234);
	assert_str(bytes, "words");
	assert_int_equal(next(fd, &h, &bytes), -1);
	assert_int_equal(status_of(pid), 0);
	close(fd);
}

static void ask(int fd)
{
	const struct acme_link_head h = { ACME_LINK_STATE, 0, 0 };

	(void)!acme_link_ask(fd, &h, STR("x"));
}

static void rest_a_while(int fd)
{
	acme_link_sleep(fd, 60000);
}

static void nobody_is_left(void **state)
{
	struct acme_link_head h;
	struct str bytes;
	pid_t pid;
	int fd = start(ask, &pid);

	(void)state;
	assert_int_equal(next(fd, &h, &bytes), 1);
	close(fd);
	assert_int_equal(status_of(pid), EXIT_FAILURE);
	fd = start(rest_a_while, &pid);
	close(fd);
	assert_int_equal(status_of(pid), EXIT_FAILURE);
}

static void nonsense(void **state)
{
	struct acme_link_head h = { ACME_LINK_TYPES, 0, 0 };
	struct str bytes;
	int pair[2];

	(void)state;
	assert_int_equal(acme_link_pair(pair), 0);
	assert_int_equal(write(pair[1], &h, sizeof h), sizeof h);
	assert_int_equal(next(pair[0], &h, &bytes), -1);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(next(pair[0], &h, &bytes), -1);
	close(pair[0]);
	close(pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asked_and_answered),
		cmocka_unit_test(nobody_is_left),
		cmocka_unit_test(nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
