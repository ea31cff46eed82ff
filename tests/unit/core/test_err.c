/* The error table's rows, and the tables of limits and timeouts. */
#include "core/err.h"
#include "core/limits.h"
#include "tests/unit/bug.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_every_row_is_whole_and_unlike_the_others(void **state)
{
	(void)state;
	for (int e = 0; e < ERR_COUNT; e++) {
		int status = err_status((enum err)e);

		assert_true(status == 0 || (status >= 400 && status <= 504));
		assert_true(strlen(err_text((enum err)e)) > 4);
		for (int other = 0; other < e; other++) {
			assert_string_not_equal(err_name((enum err)e), err_name((enum err)other));
			assert_string_not_equal(err_text((enum err)e), err_text((enum err)other));
		}
		/* what an upstream did wrong is never told as the client's fault */
		if (strncmp(err_name((enum err)e), "UP_", 3) == 0)
			assert_true(status >= 502);
	}
}

static void test_rows_that_others_rely_on(void **state)
{
	(void)state;
	assert_int_equal(ERR_OK, 0);
	assert_string_equal(err_name(ERR_BAD_HOST), "BAD_HOST");
	assert_int_equal(err_status(ERR_BAD_HOST), 400);
	assert_int_equal(err_status(ERR_REQUEST_LINE_LONG), 414);
	assert_int_equal(err_status(ERR_HEAD_LARGE), 431);
	assert_int_equal(err_status(ERR_FIELDS_MANY), 431);
	assert_int_equal(err_status(ERR_BODY_LARGE), 413);
	assert_int_equal(err_status(ERR_TRACE_REFUSED), 405);
	assert_int_equal(err_status(ERR_MISDIRECTED), 421);
	assert_int_equal(err_status(ERR_UP_ABSENT), 503);
	assert_int_equal(err_status(ERR_UP_CLOSED), 502);
	assert_int_equal(err_status(ERR_UP_RESPONSE_TIMEOUT), 504);
}

static void test_no_row_is_a_bug(void **state)
{
	(void)state;
	assert_bug((void)err_status(ERR_COUNT));
	assert_bug((void)err_text((enum err) - 1));
	assert_bug((void)err_name(ERR_COUNT));
}

static void test_errno_of_a_socket_call(void **state)
{
	(void)state;
	assert_int_equal(err_from_errno(EAGAIN), ERR_AGAIN);
	assert_int_equal(err_from_errno(EWOULDBLOCK), ERR_AGAIN);
	assert_int_equal(err_from_errno(ECONNRESET), ERR_RESET);
	assert_int_equal(err_from_errno(EPIPE), ERR_RESET);
	assert_int_equal(err_from_errno(ETIMEDOUT), ERR_IO);
	assert_int_equal(err_from_errno(EBADF), ERR_IO);
}

static void test_defaults_are_those_of_the_tables(void **state)
{
	(void)state;
	assert_int_equal(timeouts_default.handshake_ms, 10000);
	assert_int_equal(timeouts_default.tunnel_idle_ms, 86400000);
	assert_int_equal(limits_default.request_line_bytes, 16384);
	assert_int_equal(limits_default.connections, 16384);
	assert_true(limits_default.request_body_bytes == LIMIT_NONE);
	/* each on by default, and its key in the spelling of the configuration */
#define X(field, key, dflt, what)                                                                \
	assert_true(timeouts_default.field == (dflt) && (dflt) > 0);                             \
	assert_int_equal(strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(key));
	TIMEOUT_TABLE(X)
#undef X
#define X(field, key, dflt, what)                                                                \
	assert_true(limits_default.field == (dflt) && (dflt) > 0);                               \
	assert_int_equal(strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(key));
	LIMIT_TABLE(X)
#undef X
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_row_is_whole_and_unlike_the_others),
		cmocka_unit_test(test_rows_that_others_rely_on),
		cmocka_unit_test(test_no_row_is_a_bug),
		cmocka_unit_test(test_errno_of_a_socket_call),
		cmocka_unit_test(test_defaults_are_those_of_the_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
