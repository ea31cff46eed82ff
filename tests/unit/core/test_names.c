/* Names whose addresses come and go, and dialling several addresses in turn. */
#include "core/names.h"
#include "tests/unit/support/ends.h"
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- rig ---- */

/* Stands before the C library's: what becomes of connects, by the last byte of an IPv4 address. */
static struct {
	int error[8];       /* fails at once, with this; 0: goes its way */
	unsigned calls;
	char order[32];     /* "123": which ones */
} fake;

int connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t len)
{
	struct sockaddr_in in;
	unsigned which;

	memcpy(&in, to.__sockaddr__, sizeof in);
	which = ntohl(in.sin_addr.s_addr) & 7;
	fake.order[fake.calls++ % sizeof fake.order] = (char)('0' + which);
	if (fake.error[which]) {
		errno = fake.error[which];
		return -1;
	}
	return (int)syscall(SYS_connect, fd, to.__sockaddr__, len);
}

static struct rig {
	uint16_t port;
	int listener[8], filler[8][4]; /* by the last byte of 127.0.0.x */
	struct place place;
	unsigned moves, complaints;
	char complaint[64];
	struct dial d;
	enum err result; /* ERR_AGAIN: not yet */
} rig;

static struct ip ip4(unsigned last)
{
	return (struct ip){ .bytes = { 127, 0, 0, (uint8_t)last } };
}

/* "12": 127.0.0.1 and 127.0.0.2 */
static void app_is_at(const char *which)
{
	struct ip ips[ADDRS_MAX];
	size_t n = 0;

	for (; which[n]; n++)
		ips[n] = ip4((unsigned)(which[n] - '0'));
	names_set(STR("app"), ips, n);
}

static void listen_on(unsigned last, int backlog)
{
	struct ip ip = ip4(last);
	struct addr a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	addr_from_parsed_ip(&a, &ip, rig.port);
	assert_int_equal(bind(fd, &a.sa, a.len), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, &a.sa, &a.len), 0);
	if (!rig.port) {
		struct sockaddr_in in;

		memcpy(&in, &a.ss, sizeof in);
		rig.port = ntohs(in.sin_port);
	}
	rig.listener[last] = fd;
}

/* Whoever connects to this one waits for ever. */
static void listen_in_vain(unsigned last)
{
	struct ip ip = ip4(last);
	struct addr a;

	listen_on(last, 0);
	addr_from_parsed_ip(&a, &ip, rig.port);
	for (int i = 0; i < 4; i++) {
		rig.filler[last][i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)!syscall(SYS_connect, rig.filler[last][i], &a.sa, a.len);
	}
}

static void moved(struct place *p)
{
	assert_ptr_equal(p, &rig.place);
	rig.moves++;
}

static void complain(void *owner, struct str name)
{
	assert_ptr_equal(owner, &rig);
	rig.complaints++;
	snprintf(rig.complaint, sizeof rig.complaint, "%.*s", STR_ARG(name));
}

static void open_place(void)
{
	place_open(&rig.place, &(struct place_spec){ .name = STR("app"), .port = rig.port }, moved);
}

static int setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof fake);
	memset(&rig, 0, sizeof rig);
	for (int i = 0; i < 8; i++)
		rig.listener[i] = -1;
	test_loop_open();
	names_on_failure(complain, &rig);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++)
		if (rig.listener[i] >= 0)
			close(rig.listener[i]);
	for (int i = 0; i < 8; i++)
		for (int k = 0; k < 4; k++)
			if (rig.filler[i][k] > 0)
				close(rig.filler[i][k]);
	place_close(&rig.place);
	names_sweep();
	assert_int_equal(timer_wait_ms(), -1);
	test_loop_close();
	timer_close();
	return 0;
}

static void on_done(struct dial *d, enum err e)
{
	assert_ptr_equal(d, &rig.d);
	assert_int_equal(rig.result, ERR_AGAIN);
	rig.result = e;
}

static void start(uint64_t timeout_ms)
{
	rig.result = dial_start(&rig.d, &rig.place, timeout_ms, on_done);
}

static enum err dial(uint64_t timeout_ms)
{
	uint64_t from = loop_clock_us();

	start(timeout_ms);
	while (rig.result == ERR_AGAIN) {
		assert_true(loop_clock_us() - from < 10 * 1000000);
		loop_turn(100);
	}
	return rig.result;
}

/* Connects, to 127.0.0.x. */
static void assert_reaches(unsigned last)
{
	struct ip ip = ip4(last);
	struct addr a;

	assert_int_equal(dial(5000), ERR_OK);
	addr_from_parsed_ip(&a, &ip, rig.port);
	assert_true(rig.d.address == addr_hash(&a));
	assert_int_equal(rig.d.sys_errno, 0);
	stream_close(rig.d.stream);
	loop_turn(0);
}

static void assert_order(const char *order)
{
	assert_string_equal(fake.order, order);
	memset(&fake.order, 0, sizeof fake.order);
	fake.calls = 0;
}

/* ---- tests ---- */

static void a_name_nobody_told_of_has_no_address(void **state)
{
	(void)state;
	open_place();
	assert_int_equal(dial(5000), ERR_UP_UNRESOLVED);
	assert_int_equal(rig.complaints, 1);
	assert_string_equal(rig.complaint, "app");
	/* not said again within the same second */
	assert_int_equal(dial(5000), ERR_UP_UNRESOLVED);
	assert_int_equal(rig.complaints, 1);
	assert_int_equal(fake.calls, 0);
}

static void one_refuses_and_the_next_is_taken_from_then_on(void **state)
{
	(void)state;
	listen_on(3, 8);
	open_place();
	app_is_at("123");
	fake.error[2] = ENETUNREACH;
	assert_reaches(3); /* nobody listens on 1: told at once or by the loop */
	assert_order("123");
	assert_reaches(3);
	assert_order("3");
	/* and when it fails, the others have their turn again */
	fake.error[3] = ECONNREFUSED;
	assert_int_equal(dial(5000), ERR_UP_REFUSED);
	assert_order("312");
	assert_int_equal(rig.complaints, 1);
}

static void the_failure_that_says_most_is_told(void **state)
{
	(void)state;
	rig.port = 1;
	open_place();
	app_is_at("123");
	fake.error[1] = ENETUNREACH;
	fake.error[2] = ECONNREFUSED;
	fake.error[3] = EHOSTUNREACH;
	assert_int_equal(dial(5000), ERR_UP_REFUSED);
	assert_int_equal(rig.d.sys_errno, ECONNREFUSED);
	assert_order("123");
	fake.error[2] = ENETUNREACH;
	assert_int_equal(dial(5000), ERR_UP_UNREACHABLE);
}

static void what_is_our_own_fault_ends_it(void **state)
{
	(void)state;
	rig.port = 1;
	open_place();
	app_is_at("12");
	fake.error[1] = EMFILE;
	assert_int_equal(dial(5000), ERR_UP_NO_FD);
	assert_order("1");
	assert_int_equal(rig.complaints, 0);
}

static void a_silent_one_has_its_share_of_the_time(void **state)
{
	uint64_t from;

	(void)state;
	listen_in_vain(1);
	listen_in_vain(2);
	listen_on(3, 8);
	open_place();
	app_is_at("123");
	from = loop_clock_us();
	assert_int_equal(dial(120), ERR_OK);
	assert_true(loop_clock_us() - from >= 79 * 1000);
	assert_order("123");
	stream_close(rig.d.stream);
	/* all of it is not more than the whole */
	app_is_at("12");
	from = loop_clock_us();
	assert_int_equal(dial(100), ERR_UP_CONNECT_TIMEOUT);
	assert_true(loop_clock_us() - from >= 99 * 1000);
	assert_order("12");
	assert_int_equal(stream_count(), 0);
}

static void giving_up_between_two(void **state)
{
	(void)state;
	listen_in_vain(1);
	open_place();
	app_is_at("1");
	start(5000);
	assert_int_equal(rig.result, ERR_AGAIN);
	dial_cancel(&rig.d);
	dial_cancel(&rig.d);
	assert_int_equal(stream_count(), 0);
	loop_turn(0);
	assert_int_equal(rig.result, ERR_AGAIN);
}

static void addresses_change_while_one_is_dialled(void **state)
{
	(void)state;
	listen_in_vain(1);
	listen_on(2, 8);
	open_place();
	app_is_at("12");
	start(200);
	app_is_at("3");
	assert_int_equal(rig.moves, 2);
	while (rig.result == ERR_AGAIN)
		loop_turn(100);
	/* it went on with what it began with, and the place does not take that for its own */
	assert_int_equal(rig.result, ERR_OK);
	assert_int_equal(rig.place.addrs->n, 1);
	assert_int_equal(rig.place.good, 0);
	assert_false(addrs_have(rig.place.addrs, rig.d.address));
	stream_close(rig.d.stream);
}

static void the_good_one_stays_so_at_another_place(void **state)
{
	(void)state;
	listen_on(2, 8);
	open_place();
	app_is_at("12");
	assert_reaches(2);
	app_is_at("3412");
	assert_int_equal(rig.place.good, 3);
	assert_int_equal(rig.moves, 2);
	app_is_at("3412");
	assert_int_equal(rig.moves, 2);
	app_is_at("");
	assert_int_equal(rig.place.addrs->n, 0);
	assert_int_equal(rig.moves, 3);
	app_is_at("21");
	assert_int_equal(rig.place.good, 0);
}

static void names_without_places_are_forgotten(void **state)
{
	(void)state;
	app_is_at("1");
	open_place();
	assert_int_equal(rig.place.addrs->n, 1);
	names_sweep();
	place_close(&rig.place);
	open_place();
	assert_int_equal(rig.place.addrs->n, 1);
	place_close(&rig.place);
	names_sweep();
	open_place();
	assert_int_equal(rig.place.addrs->n, 0);
}

static void only_addresses_of_hosts_are_taken(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "127.0.0.1", true }, { "10.0.0.1", true }, { "223.255.255.255", true },
		{ "0.0.0.0", false }, { "0.1.2.3", false }, { "224.0.0.1", false },
		{ "255.255.255.255", false }, { "::1", true }, { "2001:db8::1", true },
		{ "::ffff:10.0.0.1", true }, { "::", false }, { "ff02::1", false }, { "fe80::1", true },
	};
	struct sockaddr unix_socket = { .sa_family = AF_UNIX };
	struct addr a, back;
	struct ip ip;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_true(addr_from_ip(&a, str_from_c(rows[i].text), 80));
		assert_int_equal(ip_from_sockaddr(&ip, &a.sa), rows[i].good);
		if (!rows[i].good)
			continue;
		addr_from_parsed_ip(&back, &ip, 80);
		assert_int_equal(a.len, back.len);
		assert_memory_equal(&a.ss, &back.ss, a.len);
	}
	assert_false(ip_from_sockaddr(&ip, &unix_socket));
	ip = ip4(1);
	assert_true(ip_is_valid(&ip));
	ip.bytes[15] = 1; /* two spellings of one address */
	assert_false(ip_is_valid(&ip));
	ip = ip4(1);
	ip.scope = 2;
	assert_false(ip_is_valid(&ip));
	ip = ip4(1);
	ip.is_ip6 = 2;
	assert_false(ip_is_valid(&ip));
	ip.is_ip6 = 1;
	assert_true(ip_is_valid(&ip)); /* 7f00:1:: */
	ip.scope = 2;
	assert_false(ip_is_valid(&ip));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_name_nobody_told_of_has_no_address),
		TEST(one_refuses_and_the_next_is_taken_from_then_on),
		TEST(the_failure_that_says_most_is_told),
		TEST(what_is_our_own_fault_ends_it),
		TEST(a_silent_one_has_its_share_of_the_time),
		TEST(giving_up_between_two),
		TEST(addresses_change_while_one_is_dialled),
		TEST(the_good_one_stays_so_at_another_place),
		TEST(names_without_places_are_forgotten),
		TEST(only_addresses_of_hosts_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
