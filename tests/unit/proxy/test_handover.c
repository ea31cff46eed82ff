#include "proxy/parent/handover.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static void assert_str(struct str s, const char *want)
{
	assert_int_equal(s.n, strlen(want));
	assert_memory_equal(s.p, want, s.n);
}

static void test_what_is_put_is_read(void **state)
{
	char *text = NULL, *hex = handover_hex("\x00\x7f\xff", 3);
	struct handover_row row;
	uint8_t bytes[3];
	struct str rest;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	handover_put(f, HANDOVER_socket, 7, "own %s", hex);
	handover_put(f, HANDOVER_notify, -1, "%d %s", 5, "/run/a b");
	handover_put(f, HANDOVER_notify, -1, "%d %s", 5, "/run/a\nb");
	fclose(f);
	free(hex);
	rest = str_of(text, n);
	assert_true(handover_next(&rest, &row));
	assert_int_equal(row.word, HANDOVER_socket);
	assert_int_equal(row.fd, 7);
	assert_str(handover_cut(&row.rest), "own");
	assert_true(handover_unhex(row.rest, bytes, sizeof bytes));
	assert_memory_equal(bytes, "\x00\x7f\xff", sizeof bytes);
	assert_true(handover_next(&rest, &row));
	assert_int_equal(row.word, HANDOVER_notify);
	assert_int_equal(row.fd, -1);
	assert_str(row.rest, "5 /run/a b");
	assert_false(handover_next(&rest, &row));
	free(text);
}

/* Of another version, or broken: passed over, but a descriptor is seen. */
static void test_what_is_not_known(void **state)
{
	static const struct {
		const char *line;
		int fd;
	} lines[] = {
		{ "", -1 },
		{ "socket", -1 },
		{ "socket x own", -1 },
		{ "socket -1 own 00", -1 },
		{ "socket 99999999999 own 00", -1 },
		{ "ticket 5 00", 5 },
		{ "socket2 5 own", 5 },
		{ "something -1 new", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		char text[64];
		struct handover_row row;
		struct str rest;

		snprintf(text, sizeof text, "%s\nrotation -1 5\ncut off", lines[i].line);
		rest = str_from_c(text);
		assert_true(handover_next(&rest, &row));
		assert_int_equal(row.word, HANDOVER_COUNT);
		assert_int_equal(row.fd, lines[i].fd);
		assert_true(handover_next(&rest, &row));
		assert_int_equal(row.word, HANDOVER_rotation);
		assert_false(handover_next(&rest, &row));
	}
}

static void test_hex(void **state)
{
	uint8_t byte;

	(void)state;
	assert_true(handover_unhex(STR("a5"), &byte, 1));
	assert_int_equal(byte, 0xa5);
	assert_false(handover_unhex(STR("a"), &byte, 1));
	assert_false(handover_unhex(STR("a5a"), &byte, 1));
	assert_false(handover_unhex(STR("A5"), &byte, 1));
	assert_false(handover_unhex(STR("g0"), &byte, 1));
}

static void test_saying(void **state)
{
	static char buf[HANDOVER_SAY_MAX], text[2 * HANDOVER_SAY_MAX];
	struct str said;
	int fd[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
	assert_int_equal(handover_hear(fd[1], buf, &said), 0);
	handover_say(fd[0], HANDOVER_SERVING, STR_NONE);
	handover_say(fd[0], HANDOVER_TOLD, STR("0 a\nb"));
	memset(text, 'x', sizeof text);
	handover_say(fd[0], HANDOVER_TOLD, str_of(text, sizeof text));
	close(fd[0]);
	assert_int_equal(handover_hear(fd[1], buf, &said), 1);
	assert_str(said, HANDOVER_SERVING);
	assert_int_equal(handover_hear(fd[1], buf, &said), 1);
	assert_str(handover_cut(&said), HANDOVER_TOLD);
	assert_str(said, "0 a\nb");
	assert_int_equal(handover_hear(fd[1], buf, &said), 1);
	assert_in_range(said.n, HANDOVER_SAY_MAX / 2, HANDOVER_SAY_MAX);
	assert_int_equal(handover_hear(fd[1], buf, &said), -1);
	close(fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_put_is_read),
		cmocka_unit_test(test_what_is_not_known),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_saying),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
