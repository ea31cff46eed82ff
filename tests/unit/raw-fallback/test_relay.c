/* Two socket pairs and the relay between their inner ends. */
#include "raw-fallback/relay.h"
#include "tests/unit/support/ends.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct {
	int client, target; /* the outer ends */
	struct relay *relay;
	unsigned dones;
	enum err why;
	struct relay_totals totals;
} r;

static void done(void *owner, enum err why, const struct relay_totals *t)
{
	assert_ptr_equal(owner, &r);
	r.dones++;
	r.why = why;
	r.totals = *t;
	r.relay = NULL;
}

static void open_relay(const char *first, uint64_t idle_ms)
{
	int down[2], up[2];

	memset(&r, 0, sizeof r);
	test_loop_open();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, down), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, up), 0);
	r.client = down[1];
	r.target = up[1];
	r.relay = relay_open(stream_new(down[0]), stream_new(up[0]), first, strlen(first), idle_ms, done, &r);
}

static int setup(void **state)
{
	(void)state;
	open_relay("", 60000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (r.relay)
		relay_abort(r.relay, ERR_DRAIN);
	assert_int_equal(r.dones, 1);
	if (r.client >= 0)
		close(r.client);
	if (r.target >= 0)
		close(r.target);
	test_loop_close();
	return 0;
}

static void turns(void)
{
	for (int i = 0; i < 4; i++)
		loop_turn(0);
}

static void expect(int fd, const char *bytes)
{
	char got[256];
	ssize_t n;

	turns();
	n = read(fd, got, sizeof got);
	assert_int_equal(n, strlen(bytes));
	assert_memory_equal(got, bytes, strlen(bytes));
}

static void expect_end(int fd)
{
	char byte;

	turns();
	assert_int_equal(read(fd, &byte, 1), 0);
}

static void say(int fd, const char *bytes)
{
	assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
}

static void test_both_ways(void **state)
{
	(void)state;
	say(r.client, "SSH-2.0-a\r\n");
	say(r.target, "SSH-2.0-b\r\n");
	expect(r.target, "SSH-2.0-a\r\n");
	expect(r.client, "SSH-2.0-b\r\n");
	say(r.client, "more");
	expect(r.target, "more");
}

static void test_half_close_and_late_data(void **state)
{
	(void)state;
	say(r.client, "bye");
	shutdown(r.client, SHUT_WR);
	expect(r.target, "bye");
	expect_end(r.target);
	say(r.target, "late");
	expect(r.client, "late");
	assert_int_equal(r.dones, 0);
	shutdown(r.target, SHUT_WR);
	expect_end(r.client);
	assert_int_equal(r.dones, 1);
	assert_int_equal(r.why, ERR_OK);
	assert_int_equal(r.totals.up_bytes, 3);
	assert_int_equal(r.totals.down_bytes, 4);
}

static void test_target_closes_first(void **state)
{
	(void)state;
	say(r.target, "banner and goodbye");
	close(r.target);
	r.target = -1;
	expect(r.client, "banner and goodbye");
	expect_end(r.client);
}

static void test_slow_receiver_bounds_memory(void **state)
{
	static char block[65536], back[65536];
	uint64_t sent = 0, got = 0;
	ssize_t n;

	(void)state;
	/* until nobody takes any more: the sockets and one read's worth */
	for (int quiet = 0; quiet < 3; quiet++)
		while ((n = write(r.client, block, sizeof block)) > 0 || (turns(), false)) {
			sent += (uint64_t)n;
			quiet = 0;
			turns();
		}
	assert_true(slab_count() * SLAB_BYTES <= LOOP_SCRATCH_BYTES + SLAB_BYTES);
	assert_true(slab_count() > 0);
	shutdown(r.client, SHUT_WR);
	for (;;) {
		n = read(r.target, back, sizeof back);
		if (n > 0)
			got += (uint64_t)n;
		else if (n == 0)
			break;
		turns();
	}
	assert_int_equal(got, sent);
	assert_int_equal(slab_count(), 0);
}

static void test_large_both_ways(void **state)
{
	enum { TOTAL = 8 << 20 };
	static uint8_t out[2][TOTAL], in[2][TOTAL];
	size_t sent[2] = { 0, 0 }, got[2] = { 0, 0 };
	int fd[2] = { r.client, r.target };

	(void)state;
	for (size_t i = 0; i < TOTAL; i++) {
		out[0][i] = (uint8_t)(i * 2654435761u >> 13);
		out[1][i] = (uint8_t)(i * 40503u >> 7);
	}
	while (got[0] < TOTAL || got[1] < TOTAL) {
		for (int k = 0; k < 2; k++) {
			ssize_t n = sent[k] < TOTAL ? write(fd[k], out[k] + sent[k], TOTAL - sent[k]) : 0;

			sent[k] += (size_t)MAX(n, 0);
			n = read(fd[!k], in[k] + got[k], TOTAL - got[k]);
			got[k] += (size_t)MAX(n, 0);
		}
		loop_turn(0);
	}
	assert_memory_equal(in[0], out[0], TOTAL);
	assert_memory_equal(in[1], out[1], TOTAL);
}

static void test_idle(void **state)
{
	(void)state;
	open_relay("", 30);
	while (!r.dones)
		loop_turn(1000);
	assert_int_equal(r.why, ERR_TUNNEL_TIMEOUT);
	expect_end(r.client);
	expect_end(r.target);
	teardown(state);
}

static void test_header_goes_first(void **state)
{
	(void)state;
	open_relay("PROXY UNKNOWN\r\n", 60000);
	say(r.client, "x");
	expect(r.target, "PROXY UNKNOWN\r\nx");
	teardown(state);
}

static void test_abort(void **state)
{
	(void)state;
	relay_abort(r.relay, ERR_DRAIN);
	assert_int_equal(r.why, ERR_DRAIN);
	expect_end(r.client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_both_ways),
		TEST(test_half_close_and_late_data),
		TEST(test_target_closes_first),
		TEST(test_slow_receiver_bounds_memory),
		TEST(test_large_both_ways),
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_header_goes_first),
		TEST(test_abort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
