/* Addresses, and dialling real sockets on this machine. */
#include "core/target.h"
#include "tests/unit/bug.h"
#include "tests/unit/guard.h"
#include "tests/unit/support/ends.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* ---- addresses ---- */

static const char *text_of(const struct addr *a)
{
	static char text[ADDR_TEXT_BYTES];

	assert_ptr_equal(addr_text(&a->sa, a->len, text, sizeof text), text);
	return text;
}

static const char *host_of(const struct addr *a)
{
	static char text[ADDR_TEXT_BYTES];

	return addr_host(&a->sa, text, sizeof text);
}

static void test_unix_paths(void **state)
{
	struct guard g = guard_open(128);
	struct addr a;
	char path[109];

	(void)state;
	assert_true(addr_from_unix(&a, STR("/run/x.sock")));
	assert_int_equal(a.len, offsetof(struct sockaddr_un, sun_path) + 12);
	assert_string_equal(a.un.sun_path, "/run/x.sock");
	assert_string_equal(text_of(&a), "unix:/run/x.sock");
	assert_string_equal(host_of(&a), "unix");

	assert_true(addr_from_unix(&a, STR("@abs")));
	assert_int_equal(a.len, offsetof(struct sockaddr_un, sun_path) + 4);
	assert_memory_equal(a.un.sun_path, "\0abs", 4);
	assert_string_equal(text_of(&a), "unix:@abs");

	assert_false(addr_from_unix(&a, STR("")));
	assert_false(addr_from_unix(&a, STR("@")));
	assert_false(addr_from_unix(&a, STR("/a\0b")));
	assert_false(addr_from_unix(&a, STR("@a\0b")));

	for (int first = 0; first < 2; first++) {
		memset(path, 'x', sizeof path);
		path[0] = "/@"[first];
		assert_true(addr_from_unix(&a, str_of(guard_tail(&g, path, 107), 107)));
		assert_int_equal(a.len, sizeof(struct sockaddr_un) - (first ? 1 : 0));
		assert_int_equal(strlen(text_of(&a)), strlen("unix:") + 107);
		assert_false(addr_from_unix(&a, str_of(path, 108)));
		assert_false(addr_from_unix(&a, str_of(path, 109)));
	}
	guard_close(&g);
}

static void test_unix_addresses_as_the_kernel_gives_them(void **state)
{
	struct addr a = { .len = sizeof(sa_family_t) };
	char small[10];

	(void)state;
	a.un.sun_family = AF_UNIX;
	assert_string_equal(text_of(&a), "unix:"); /* a client without a name */
	a.len = sizeof a.un;
	memset(a.un.sun_path, 'p', sizeof a.un.sun_path); /* no NUL at all */
	assert_int_equal(strlen(text_of(&a)), strlen("unix:") + sizeof a.un.sun_path);
	memcpy(a.un.sun_path, "\0a\nb\0\xff", 6);
	a.len = offsetof(struct sockaddr_un, sun_path) + 6;
	assert_string_equal(text_of(&a), "unix:@a?b??");
	assert_string_equal(addr_text(&a.sa, a.len, small, sizeof small), "unix:@a?b");
}

static void test_ip_addresses(void **state)
{
	static const struct {
		const char *host, *text; /* text of port 80, NULL: refused */
	} rows[] = {
		{ "127.0.0.1", "127.0.0.1:80" },
		{ "255.255.255.255", "255.255.255.255:80" },
		{ "::1", "[::1]:80" },
		{ "2001:DB8:0:0::1", "[2001:db8::1]:80" },
		{ "::ffff:192.0.2.1", "[::ffff:192.0.2.1]:80" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
		  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:80" },
		{ "", NULL },
		{ "localhost", NULL },
		{ "127.1", NULL },
		{ "127.0.0.1 ", NULL },
		{ "0x7f.0.0.1", NULL },
		{ "256.0.0.1", NULL },
		{ "[::1]", NULL },
		{ "::1::", NULL },
		{ "fe80::1%lo", NULL },
		{ "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20", NULL },
	};
	struct guard g = guard_open(128);
	struct addr a;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = strlen(rows[i].host);

		assert_int_equal(addr_from_ip(&a, str_of(guard_tail(&g, rows[i].host, n), n), 80),
				 rows[i].text != NULL);
		if (rows[i].text)
			assert_string_equal(text_of(&a), rows[i].text);
	}
	assert_false(addr_from_ip(&a, STR("127.0.0.1\0x"), 80));
	assert_true(addr_from_ip(&a, STR("::1"), 65535));
	assert_string_equal(host_of(&a), "::1");
	assert_true(addr_from_ip(&a, STR("10.0.0.9"), 65535));
	assert_string_equal(host_of(&a), "10.0.0.9");
	a.sa.sa_family = AF_UNSPEC;
	assert_string_equal(host_of(&a), "unknown");
	assert_string_equal(text_of(&a), "unknown");
	guard_close(&g);
}

/* ---- dialling ---- */

static bool binds_first; /* so that the connection is one with itself */

/* Stands before the C library's. */
int connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t len)
{
	if (binds_first)
		assert_int_equal(bind(fd, to, len), 0);
	return (int)syscall(SYS_connect, fd, to.__sockaddr__, len);
}

static struct place places[64]; /* closed by teardown */
static size_t nplaces;

static struct place *place_of(const struct addr *a)
{
	struct place *p = &places[nplaces++];

	assert_true(nplaces <= ARRAY_SIZE(places));
	place_open(p, &(struct place_spec){ .addr = *a }, NULL);
	return p;
}

struct call {
	struct dial d;
	enum err result; /* ERR_AGAIN: not yet */
	unsigned calls;
	const struct addr *next; /* dialled from the callback */
};

static void on_done(struct dial *d, enum err e)
{
	struct call *c = container_of(d, struct call, d);

	c->calls++;
	c->result = e;
	if (c->next) {
		const struct addr *next = c->next;

		c->next = NULL;
		c->result = dial_start(d, place_of(next), 5000, on_done);
	}
}

static void start(struct call *c, const struct addr *to, uint64_t timeout_ms)
{
	*c = (struct call){ 0 };
	c->result = dial_start(&c->d, place_of(to), timeout_ms, on_done);
}

static void wait_for(struct call *c)
{
	uint64_t from = loop_clock_us();

	while (c->result == ERR_AGAIN) {
		assert_true(loop_clock_us() - from < 10 * 1000000);
		loop_turn(100);
	}
}

static enum err dial(struct call *c, const struct addr *to)
{
	start(c, to, 5000);
	wait_for(c);
	return c->result;
}

static int listen_at(struct addr *a, int backlog)
{
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &a->sa, a->len), 0);
	a->len = sizeof a->ss;
	assert_int_equal(getsockname(fd, &a->sa, &a->len), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

/* A listener at a free place of that kind; no listener with a backlog of -1, but the place stays taken. */
static int listen_tcp(struct addr *a, const char *host, int backlog)
{
	assert_true(addr_from_ip(a, str_from_c(host), 0));
	return listen_at(a, backlog);
}

static int listen_unix(struct addr *a, int backlog)
{
	a->len = sizeof(sa_family_t); /* the kernel picks an abstract name */
	a->sa.sa_family = AF_UNIX;
	return listen_at(a, backlog);
}

/* More than one connect, as a listener takes one more than it was told. */
static void fill_backlog(const struct addr *a, int fd[4])
{
	for (int i = 0; i < 4; i++) {
		fd[i] = socket(a->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)!connect(fd[i], &a->sa, a->len);
	}
}

static void close_all(int *fd, int n)
{
	for (int i = 0; i < n; i++)
		close(fd[i]);
}

static int setup(void **state)
{
	(void)state;
	test_loop_open();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	while (nplaces)
		place_close(&places[--nplaces]);
	assert_int_equal(timer_wait_ms(), -1);
	test_loop_close();
	timer_close();
	return 0;
}

static bool told;

static void on_ready(struct stream *s)
{
	(void)s;
	told = true;
}

/* The other side's bytes reach a stream that was dialled, and its bytes the other side. */
static void assert_carries(struct stream *s, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char b[4];

	assert_true(fd >= 0);
	assert_int_equal(stream_write(s, "ping", 4), 4);
	assert_int_equal(recv(fd, b, 4, MSG_WAITALL), 4);
	assert_memory_equal(b, "ping", 4);
	stream_own(s, NULL, on_ready);
	stream_want(s, STREAM_IN);
	assert_int_equal(send(fd, "pong", 4, 0), 4);
	for (told = false; !told;)
		loop_turn(1000);
	assert_int_equal(stream_read(s, b, 4), 4);
	assert_memory_equal(b, "pong", 4);
	close(fd);
}

static void test_a_unix_connect_is_decided_at_once(void **state)
{
	struct addr a;
	int fd = listen_unix(&a, 8);
	struct call c;

	(void)state;
	start(&c, &a, 5000);
	assert_int_equal(c.result, ERR_OK);
	assert_non_null(c.d.stream);
	assert_carries(c.d.stream, fd);
	dial_cancel(&c.d); /* nothing is under way: the stream stays */
	assert_int_equal(stream_count(), 1);
	stream_close(c.d.stream);
	assert_int_equal(c.calls, 0);
	close(fd);
}

static void assert_connects(const char *host)
{
	struct addr a;
	int fd = listen_tcp(&a, host, 8), nodelay = 0;
	socklen_t len = sizeof nodelay;
	struct call c;

	assert_int_equal(dial(&c, &a), ERR_OK);
	assert_true(c.calls <= 1);
	assert_int_equal(getsockopt(c.d.stream->ev.fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &len), 0);
	assert_int_equal(nodelay, 1);
	assert_carries(c.d.stream, fd);
	dial_cancel(&c.d);
	stream_close(c.d.stream);
	close(fd);
}

static void test_a_tcp_connect_is_told_later(void **state)
{
	(void)state;
	assert_connects("127.0.0.1");
	assert_connects("::1");
}

static void assert_fails(const struct addr *a, enum err expected, int sys_errno)
{
	struct call c;

	assert_int_equal(dial(&c, a), expected);
	assert_int_equal(c.d.sys_errno, sys_errno);
	assert_null(c.d.stream);
	assert_false(timer_is_set(&c.d.timer));
	assert_int_equal(stream_count(), 0);
	dial_cancel(&c.d);
}

static void test_nobody_there(void **state)
{
	char folder[] = "/tmp/gatehouse-test-target-XXXXXX", path[64], below[80];
	struct addr a;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/sock", folder);
	snprintf(below, sizeof below, "%s/sock", path);
	assert_true(addr_from_unix(&a, str_from_c(path)));
	assert_fails(&a, ERR_UP_ABSENT, ENOENT);

	fd = listen_at(&a, 8);
	close(fd); /* the file stays */
	assert_fails(&a, ERR_UP_REFUSED, ECONNREFUSED);
	assert_true(addr_from_unix(&a, str_from_c(below)));
	assert_fails(&a, ERR_UP_ABSENT, ENOTDIR);
	unlink(path);

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(addr_from_unix(&a, str_from_c(path)));
	assert_int_equal(bind(fd, &a.sa, a.len), 0);
	assert_fails(&a, ERR_UP_REFUSED, EPROTOTYPE);
	close(fd);
	unlink(path);
	rmdir(folder);

	assert_true(addr_from_unix(&a, STR("@gatehouse-test-nobody-listens")));
	assert_fails(&a, ERR_UP_REFUSED, ECONNREFUSED);

	fd = listen_tcp(&a, "127.0.0.1", -1);
	assert_fails(&a, ERR_UP_REFUSED, ECONNREFUSED);
	close(fd);
	fd = listen_tcp(&a, "::1", -1);
	assert_fails(&a, ERR_UP_REFUSED, ECONNREFUSED);
	close(fd);
}

static void test_a_connection_with_itself_is_none(void **state)
{
	struct addr a;
	int fd = listen_tcp(&a, "127.0.0.1", -1);

	(void)state;
	close(fd);
	binds_first = true;
	assert_fails(&a, ERR_UP_REFUSED, ECONNREFUSED);
	fd = listen_tcp(&a, "::1", -1);
	close(fd);
	assert_fails(&a, ERR_UP_REFUSED, ECONNREFUSED);
	binds_first = false;
}

static void test_a_full_unix_backlog_is_told_at_once(void **state)
{
	struct addr a;
	int fd = listen_unix(&a, 0), other[4];
	struct call c;

	(void)state;
	fill_backlog(&a, other);
	start(&c, &a, 5000);
	assert_int_equal(c.result, ERR_UP_BACKLOG);
	assert_int_equal(c.d.sys_errno, EAGAIN);
	close_all(other, 4);
	close(fd);
}

static void test_a_silent_host_times_out(void **state)
{
	struct addr a;
	int fd = listen_tcp(&a, "127.0.0.1", 0), other[4];
	uint64_t from;
	struct call c;

	(void)state;
	fill_backlog(&a, other);
	from = loop_clock_us();
	start(&c, &a, 50);
	assert_int_equal(c.result, ERR_AGAIN);
	assert_int_equal(stream_count(), 1);
	wait_for(&c);
	assert_int_equal(c.result, ERR_UP_CONNECT_TIMEOUT);
	assert_int_equal(c.calls, 1);
	assert_true(loop_clock_us() - from >= 49000);
	assert_null(c.d.stream);
	assert_int_equal(stream_count(), 0);
	close_all(other, 4);
	close(fd);
}

static void test_giving_up(void **state)
{
	struct addr a;
	int fd = listen_tcp(&a, "127.0.0.1", 0), other[4];
	struct call c = { 0 };

	(void)state;
	dial_cancel(&c.d); /* never begun */
	fill_backlog(&a, other);
	start(&c, &a, 1);
	assert_int_equal(c.result, ERR_AGAIN);
	dial_cancel(&c.d);
	assert_null(c.d.stream);
	assert_int_equal(stream_count(), 0);
	dial_cancel(&c.d);
	assert_int_equal(timer_wait_ms(), -1);
	loop_turn(10);
	assert_int_equal(c.calls, 0);
	close_all(other, 4);
	close(fd);

	/* also when the outcome waits already */
	fd = listen_tcp(&a, "127.0.0.1", 8);
	start(&c, &a, 5000);
	dial_cancel(&c.d);
	loop_turn(0);
	assert_int_equal(c.calls, 0);
	close(fd);
}

static void test_dialling_again_from_the_callback(void **state)
{
	struct addr absent, there;
	int taken = listen_tcp(&absent, "127.0.0.1", -1), fd = listen_tcp(&there, "127.0.0.1", 8);
	struct call c;

	(void)state;
	start(&c, &absent, 5000);
	c.next = &there;
	wait_for(&c);
	assert_int_equal(c.result, ERR_OK);
	assert_int_equal(c.calls, 2);
	assert_carries(c.d.stream, fd);
	stream_close(c.d.stream);
	close(taken);
	close(fd);
}

static void test_out_of_descriptors(void **state)
{
	struct addr a;
	int fd = listen_unix(&a, 8);
	struct rlimit old, none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = (struct rlimit){ .rlim_cur = 1, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_fails(&a, ERR_UP_NO_FD, EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	close(fd);
}

static void test_no_permission(void **state)
{
	char folder[] = "/tmp/gatehouse-test-target-XXXXXX", path[64];
	struct addr a;
	pid_t pid;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/sock", folder);
	assert_true(addr_from_unix(&a, str_from_c(path)));
	fd = listen_at(&a, 8);
	assert_int_equal(chmod(path, 0), 0);
	pid = bug_fork();
	if (pid == 0) {
		struct dial d = { 0 };

		/* root may do everything */
		if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
			_exit(1);
		_exit(dial_start(&d, place_of(&a), 1, on_done) == ERR_UP_PERMISSION ? 0 : 2);
	}
	assert_int_equal(bug_reap(pid), 0);
	close(fd);
	unlink(path);
	rmdir(folder);
}

/* A socket with an address of its own; one of another family is of no use, and closed. */
static void test_dialling_with_a_socket_of_the_callers(void **state)
{
	struct addr to, from, own = { .len = sizeof own.ss };
	int listener = listen_tcp(&to, "127.0.0.1", 4), fd;
	struct call c = { 0 };

	(void)state;
	assert_true(addr_from_ip(&from, STR("127.0.0.77"), 0));
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, &from.sa, from.len), 0);
	c.result = dial_start_on(&c.d, fd, place_of(&to), 5000, on_done);
	wait_for(&c);
	assert_int_equal(c.result, ERR_OK);
	assert_int_equal(getsockname(c.d.stream->ev.fd, &own.sa, &own.len), 0);
	assert_string_equal(host_of(&own), "127.0.0.77");
	stream_close(c.d.stream);
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(dial_start_on(&c.d, fd, place_of(&to), 5000, on_done), ERR_UP_UNREACHABLE);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	close(listener);
	loop_turn(0);
}

static void test_every_errno_has_a_row_with_an_answer(void **state)
{
	(void)state;
	for (int e = 1; e < 200; e++) {
		int status = err_status(dial_err(e));

		assert_true(status == 503 || status == 504);
	}
	assert_int_equal(dial_err(ENETUNREACH), ERR_UP_UNREACHABLE);
	assert_int_equal(dial_err(EHOSTUNREACH), ERR_UP_UNREACHABLE);
	assert_int_equal(dial_err(EPERM), ERR_UP_PERMISSION);
	assert_int_equal(dial_err(ENFILE), ERR_UP_NO_FD);
	assert_int_equal(dial_err(ETIMEDOUT), ERR_UP_CONNECT_TIMEOUT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Who answers there is somebody else: the next address comes first, round and round. */
static void a_doubtful_address_comes_last(void **state)
{
	struct place p = { .addrs = addrs_new(2) };
	uint64_t hash[2];

	(void)state;
	for (uint16_t i = 0; i < 2; i++) {
		assert_true(addr_from_ip(&p.addrs->addr[i], STR("127.0.0.1"), (uint16_t)(1000 + i)));
		hash[i] = addr_hash(&p.addrs->addr[i]);
	}
	place_doubt(&p, hash[1]); /* nobody would try it first */
	assert_int_equal(p.good, 0);
	place_doubt(&p, hash[0]);
	assert_int_equal(p.good, 1);
	place_doubt(&p, hash[1]);
	assert_int_equal(p.good, 0);
	addrs_put(p.addrs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_doubtful_address_comes_last),
		cmocka_unit_test(test_unix_paths),
		cmocka_unit_test(test_unix_addresses_as_the_kernel_gives_them),
		cmocka_unit_test(test_ip_addresses),
		TEST(test_a_unix_connect_is_decided_at_once),
		TEST(test_a_tcp_connect_is_told_later),
		TEST(test_nobody_there),
		TEST(test_a_connection_with_itself_is_none),
		TEST(test_a_full_unix_backlog_is_told_at_once),
		TEST(test_a_silent_host_times_out),
		TEST(test_giving_up),
		TEST(test_dialling_again_from_the_callback),
		TEST(test_out_of_descriptors),
		TEST(test_no_permission),
		TEST(test_dialling_with_a_socket_of_the_callers),
		cmocka_unit_test(test_every_errno_has_a_row_with_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
