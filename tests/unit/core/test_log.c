/* Log lines: their form, what is escaped, and that nothing ever blocks. */
#include "core/log.h"
#include "tests/unit/bug.h"
#include "tests/unit/guard.h"
#include <regex.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct sink {
	int fd[2]; /* a pipe: read here, the log writes there */
	char text[65536];
};

static struct sink sink;

static int setup(void **state)
{
	(void)state;
	if (pipe2(sink.fd, O_CLOEXEC) < 0 || fcntl(sink.fd[0], F_SETFL, O_NONBLOCK) < 0)
		return -1;
	log_open(sink.fd[1], LOG_LEVEL_INFO, "worker 0");
	log_note("first"); /* tells of what an earlier test dropped */
	return read(sink.fd[0], sink.text, sizeof sink.text) > 0 ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	log_set_fd(-1);
	close(sink.fd[0]);
	close(sink.fd[1]);
	return 0;
}

/* All that was written since the last call. */
static const char *written(void)
{
	ssize_t n = read(sink.fd[0], sink.text, sizeof sink.text - 1);

	sink.text[n > 0 ? n : 0] = '\0';
	return sink.text;
}

/* The text behind the prefix of the one line in s. */
static const char *text_of(const char *s)
{
	const char *colon = strstr(s, " worker 0: ");

	assert_non_null(colon);
	assert_ptr_equal(strchr(s, '\n'), s + strlen(s) - 1);
	return colon + strlen(" worker 0: ");
}

static void assert_matches(const char *text, const char *pattern)
{
	regex_t re;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&re, text, 0, NULL, 0) != 0)
		fail_msg("\"%s\" is not of the form %s", text, pattern);
	regfree(&re);
}

static void test_a_line(void **state)
{
	(void)state;
	log_warn("hello %d", 42);
	assert_matches(written(), "^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]"
				  "\\.[0-9]{3}Z warn worker 0: hello 42\n$");
}

static void test_time_is_utc(void **state)
{
	time_t before = time(NULL), after;
	struct tm tm = { 0 };
	int ms;
	char *end;

	(void)state;
	assert_int_equal(setenv("TZ", "Pacific/Kiritimati", 1), 0);
	log_open(sink.fd[1], LOG_LEVEL_INFO, "worker 0");
	log_error("x");
	after = time(NULL);
	written();
	end = strptime(sink.text, "%Y-%m-%dT%H:%M:%S", &tm);
	assert_non_null(end);
	ms = (int)strtol(end + 1, NULL, 10);
	assert_true(ms >= 0 && ms < 1000);
	assert_true(timegm(&tm) >= before && timegm(&tm) <= after);
	assert_int_equal(unsetenv("TZ"), 0);
}

static void test_levels(void **state)
{
	static const char *const names[] = { "error", "warn", "note", "info", "debug" };

	(void)state;
	for (int max = LOG_LEVEL_ERROR; max <= LOG_LEVEL_DEBUG; max++) {
		log_set_level((enum log_level)max);
		for (int l = LOG_LEVEL_ERROR; l <= LOG_LEVEL_DEBUG; l++) {
			char word[32];

			assert_int_equal(log_is_on((enum log_level)l), l <= max);
			log_line((enum log_level)l, "x");
			snprintf(word, sizeof word, "Z %s worker", names[l]);
			assert_int_equal(strstr(written(), word) != NULL, l <= max);
		}
	}
	log_set_level(LOG_LEVEL_ERROR);
	log_warn("x");
	log_note("x");
	log_info("x");
	log_debug("x");
	assert_string_equal(written(), "");
}

static void test_no_descriptor_no_line(void **state)
{
	uint64_t before = log_dropped();

	(void)state;
	log_set_fd(-1);
	assert_false(log_is_on(LOG_LEVEL_ERROR));
	log_error("x");
	assert_string_equal(written(), "");
	assert_int_equal(log_dropped(), before);
}

static void test_text_cannot_break_its_line(void **state)
{
	(void)state;
	log_note("%s", "a\r\nb\tc\x1b[31m\x7f\xc2\x9b\xff\"\\");
	assert_string_equal(text_of(written()), "a\\x0d\\x0ab\\x09c\\x1b[31m\\x7f\\xc2\\x9b\\xff\"\\\n");
}

static void test_a_long_line_is_cut_and_whole(void **state)
{
	static char text[10000];

	(void)state;
	memset(text, 'x', sizeof text - 1);
	log_note("%s", text);
	assert_int_equal(strlen(written()), 4096);
	assert_int_equal(text_of(sink.text)[100], 'x');
	memset(text, '\n', sizeof text - 1);
	log_note("%s", text);
	assert_true(strlen(written()) > 4090);
	assert_true(strlen(sink.text) <= 4096);
	assert_memory_equal(sink.text + strlen(sink.text) - 5, "\\x0a\n", 5); /* no half escape */
}

static void test_a_long_role_is_cut(void **state)
{
	(void)state;
	log_open(sink.fd[1], LOG_LEVEL_INFO, "a role that is much longer than what is kept of it");
	log_note("text");
	assert_non_null(strstr(written(), " note a role that"));
	assert_non_null(strstr(sink.text, ": text\n"));
}

static void test_errno_is_kept(void **state)
{
	uint64_t before = log_dropped();
	int fd;

	(void)state;
	errno = EXDEV;
	log_note("x");
	assert_int_equal(errno, EXDEV);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	log_set_fd(fd);
	errno = EXDEV;
	log_note("this cannot be written");
	assert_int_equal(errno, EXDEV);
	assert_int_equal(log_dropped(), before + 1);
	close(fd);
}

static void fill_pipe(void)
{
	static const char block[4096];
	int flags = fcntl(sink.fd[1], F_GETFL);

	fcntl(sink.fd[1], F_SETFL, flags | O_NONBLOCK);
	while (write(sink.fd[1], block, sizeof block) > 0)
		;
	fcntl(sink.fd[1], F_SETFL, flags);
}

static void drain_pipe(void)
{
	while (read(sink.fd[0], sink.text, sizeof sink.text) > 0)
		;
}

static void assert_drops_while_full(void)
{
	uint64_t before = log_dropped();

	fill_pipe();
	log_note("one");
	log_note("two");
	log_note("three");
	assert_int_equal(log_dropped(), before + 3);
	drain_pipe();
	log_note("four");
	assert_string_equal(text_of(written()), "four [lines lost before this one: 3]\n");
	log_note("five");
	assert_string_equal(text_of(written()), "five\n");
	assert_int_equal(log_dropped(), before + 3);
}

static void test_a_full_pipe_never_blocks(void **state)
{
	(void)state;
	assert_drops_while_full();
	assert_int_equal(fcntl(sink.fd[1], F_GETFL) & O_NONBLOCK, 0); /* it is not ours to change */
	assert_int_equal(fcntl(sink.fd[1], F_SETFL, O_NONBLOCK), 0);
	assert_drops_while_full();
}

static void test_what_is_lost_is_told_in_a_full_line_too(void **state)
{
	static char text[5000];

	(void)state;
	memset(text, 'x', sizeof text - 1);
	fill_pipe();
	log_note("lost");
	drain_pipe();
	log_note("%s", text);
	assert_int_equal(strlen(written()), 4096);
	assert_non_null(strstr(sink.text, "xxx [lines lost before this one: 1]\n"));
}

static void test_a_bad_descriptor_drops(void **state)
{
	uint64_t before = log_dropped();

	(void)state;
	log_set_fd(9999);
	log_note("x");
	assert_int_equal(log_dropped(), before + 1);
	log_set_fd(sink.fd[1]);
	log_note("y");
	assert_non_null(strstr(written(), "[lines lost before this one: 1]"));
}

/* A full disk, here as a limit of the file's size. */
static void test_a_torn_line_is_ended_before_the_next(void **state)
{
	char path[] = "/tmp/gatehouse-test-log-XXXXXX", text[1000];
	int fd = mkstemp(path);
	struct rlimit old, small = { .rlim_cur = 60 };
	ssize_t n;

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;

	log_open(fd, LOG_LEVEL_INFO, "worker 0");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	log_note("this line does not fit into sixty bytes");
	log_note("nor does this one");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	log_note("here we go on");
	n = pread(fd, text, sizeof text - 1, 0);
	assert_true(n > 60);
	text[n] = '\0';
	assert_matches(text, "^[^\n]{60}\n[^\n]* note worker 0: here we go on "
			     "\\[lines lost before this one: 2\\]\n$");
	close(fd);
}

static void test_the_journal_gets_severities(void **state)
{
	char name[64];
	struct stat st;

	(void)state;
	assert_int_equal(fstat(sink.fd[1], &st), 0);
	snprintf(name, sizeof name, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", name, 1);
	log_set_fd(sink.fd[1]);
	log_warn("hello");
	assert_string_equal(written(), "<4>worker 0: hello\n");
	/* said of another descriptor */
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_set_fd(sink.fd[1]);
	log_warn("hello");
	assert_string_equal(text_of(written()), "hello\n");
	unsetenv("JOURNAL_STREAM");
}

static void test_syslog_gets_datagrams_and_never_blocks(void **state)
{
	uint64_t before = log_dropped();
	int fd[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd), 0);
	log_set_fd(fd[1]);
	log_error("hello\n");
	sink.text[recv(fd[0], sink.text, sizeof sink.text - 1, 0)] = '\0';
	assert_matches(sink.text, "^<27>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} gatehouse\\[[0-9]+\\]: "
				  "worker 0: hello\\\\x0a$");
	/* nobody reads: the queue is full some time */
	for (int i = 0; i < 10000; i++)
		log_note("%d", i);
	assert_true(log_dropped() > before);
	close(fd[0]);
	close(fd[1]);
	log_set_fd(sink.fd[1]);
	log_note("first");
	written();
}

static void test_escape(void **state)
{
	struct guard in = guard_open(256), out = guard_open(64);
	char all[256], *to;
	size_t n;

	(void)state;
	for (int c = 0; c < 256; c++) {
		char expected[8];
		bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';

		all[c] = (char)c;
		snprintf(expected, sizeof expected, plain ? "%c" : "\\x%02x", c);
		to = guard_tail(&out, "....", 4);
		n = log_escape(to, 4, str_of(guard_tail(&in, &all[c], 1), 1));
		assert_int_equal(n, strlen(expected));
		assert_memory_equal(to, expected, n);
	}
	/* cut at every place, never within an escape, never a byte too far */
	for (size_t cap = 0; cap <= 9; cap++) {
		static const size_t fits[] = { 0, 1, 1, 1, 1, 5, 6, 6, 6, 6 };

		to = guard_tail(&out, ".........", cap);
		n = log_escape(to, cap, STR("a\nb\n"));
		assert_int_equal(n, fits[cap]);
		assert_memory_equal(to, "a\\x0ab", n);
	}
	assert_int_equal(log_escape(to, 0, STR_NONE), 0);
	guard_close(&in);
	guard_close(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* Few of many are said, and how many were not. */
static void a_gate_counts_what_it_holds_back(void **state)
{
	struct log_gate g = { 0 };
	uint64_t unsaid = 7;

	(void)state;
	assert_true(log_gate_pass(&g, 1, 2, &unsaid));
	assert_int_equal(unsaid, 0);
	assert_true(log_gate_pass(&g, 2, 2, &unsaid));
	for (int i = 0; i < 5; i++)
		assert_false(log_gate_pass(&g, LOG_GATE_MS, 2, &unsaid));
	assert_true(log_gate_pass(&g, 1 + LOG_GATE_MS, 2, &unsaid));
	assert_int_equal(unsaid, 5);
	assert_true(log_gate_pass(&g, 1 + LOG_GATE_MS, 2, &unsaid));
	assert_int_equal(unsaid, 0);
	assert_false(log_gate_pass(&g, 1 + LOG_GATE_MS, 2, &unsaid));
	assert_true(log_gate_pass(&g, 3 * LOG_GATE_MS, 1, &unsaid));
	assert_int_equal(unsaid, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_gate_counts_what_it_holds_back),
		TEST(test_a_line),
		TEST(test_time_is_utc),
		TEST(test_levels),
		TEST(test_no_descriptor_no_line),
		TEST(test_text_cannot_break_its_line),
		TEST(test_a_long_line_is_cut_and_whole),
		TEST(test_a_long_role_is_cut),
		TEST(test_errno_is_kept),
		TEST(test_a_full_pipe_never_blocks),
		TEST(test_what_is_lost_is_told_in_a_full_line_too),
		TEST(test_a_bad_descriptor_drops),
		TEST(test_a_torn_line_is_ended_before_the_next),
		TEST(test_the_journal_gets_severities),
		TEST(test_syslog_gets_datagrams_and_never_blocks),
		TEST(test_escape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
