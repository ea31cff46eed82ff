/* core/msg: every row of the table against every way to break it, with the raw bytes on the other side. */
#include "core/msg.h"
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

enum { BIG = MSG_PAYLOAD_MAX + 64 };

/* One channel under test, and the naked socket of its peer. */
struct rig {
	struct msg_channel c;
	int peer;
	unsigned got, ended;
	enum msg_type type;
	size_t n;
	char data[BIG];
	ino_t inode;          /* of the descriptor that came */
	bool refuse, close, take, numbered;
	int taken;
	char why[128];
	size_t fds_before;
};

static size_t count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static ino_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static ino_t inode_of_path(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

static bool on_message(struct msg_channel *c, struct msg_in *m)
{
	struct rig *r = container_of(c, struct rig, c);

	r->got++;
	r->type = m->type;
	r->n = m->n;
	assert_int_equal((uintptr_t)m->data % 16, 0);
	memcpy(r->data, m->data, m->n);
	if (m->fd >= 0)
		r->inode = inode_of(m->fd);
	if (r->numbered) {
		struct msg_listener l;
		char name[32];
		int n = snprintf(name, sizeof name, "listener %u", r->got - 1);

		memcpy(&l, m->data, sizeof l);
		assert_int_equal(l.id, r->got - 1);
		assert_int_equal(m->n, sizeof l + (size_t)n);
		assert_memory_equal(r->data + sizeof l, name, (size_t)n);
		assert_int_equal(r->inode, inode_of_path(l.id % 2 ? "/dev/null" : "/dev/zero"));
	}
	if (r->take)
		r->taken = msg_take_fd(m);
	if (r->close)
		msg_close(c);
	return !r->refuse;
}

static void on_end(struct msg_channel *c, const char *why)
{
	struct rig *r = container_of(c, struct rig, c);

	assert_false(msg_is_open(c));
	r->ended++;
	snprintf(r->why, sizeof r->why, "%s", why ? why : "(closed)");
}

#define X(NAME, name, from, to, min, max, fds) .on[MSG_##NAME] = on_message,
static const struct msg_handlers all = { MSG_TABLE(X) };
#undef X

static enum msg_role one_of(unsigned roles)
{
	return (enum msg_role)(roles & -roles);
}

static void rig_open(struct rig *r, enum msg_role self, enum msg_role peer)
{
	int fd[2];

	memset(r, 0, sizeof *r);
	r->taken = -1;
	r->fds_before = count_fds();
	assert_int_equal(loop_open(), 0);
	assert_int_equal(msg_pair(fd), 0);
	assert_int_equal(msg_open(&r->c, fd[0], self, peer, &all, on_end), 0);
	r->peer = fd[1];
}

static void rig_open_for(struct rig *r, enum msg_type t)
{
	rig_open(r, one_of(msg_rules[t].to), one_of(msg_rules[t].from));
}

static void rig_close(struct rig *r)
{
	msg_close(&r->c);
	if (r->peer >= 0)
		close(r->peer);
	if (r->taken >= 0)
		close(r->taken);
	loop_close();
	/* no descriptor that came, came too much, or was queued, is left */
	assert_int_equal(count_fds(), r->fds_before);
}

static void turns(int n)
{
	while (n-- > 0)
		loop_turn(0);
}

/* The bytes as given: a header that says (type, said), n bytes behind it, nfds descriptors. */
static void raw(int sock, uint32_t type, uint32_t said, size_t n, int nfds)
{
	static char bytes[8 + BIG];
	char control[CMSG_SPACE(4 * sizeof(int))] = { 0 };
	int fds[4];
	struct iovec iov = { bytes, 8 + n };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	memcpy(bytes, &type, 4);
	memcpy(bytes + 4, &said, 4);
	for (size_t i = 0; i < n; i++)
		bytes[8 + i] = (char)('a' + i % 26);
	if (nfds) {
		struct cmsghdr *c;

		for (int i = 0; i < nfds; i++)
			assert_true((fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0);
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE((size_t)nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, (size_t)nfds * sizeof(int));
	}
	assert_int_equal(sendmsg(sock, &m, MSG_NOSIGNAL), 8 + n);
	for (int i = 0; i < nfds; i++)
		close(fds[i]);
}

static void assert_refused(struct rig *r, const char *why)
{
	turns(2);
	assert_int_equal(r->got, 0);
	assert_int_equal(r->ended, 1);
	assert_non_null(strstr(r->why, why));
	rig_close(r);
}

static void good_rows_pass(void **state)
{
	struct rig r;

	(void)state;
	for (enum msg_type t = 0; t < MSG_COUNT; t++) {
		const struct msg_rule *rule = &msg_rules[t];
		const uint32_t sizes[] = { rule->min, rule->max };

		assert_true(rule->min <= rule->max && rule->max <= MSG_PAYLOAD_MAX && rule->fds <= 1);
		rig_open_for(&r, t);
		for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
			raw(r.peer, t, sizes[i], sizes[i], rule->fds);
			turns(1);
			assert_int_equal(r.got, i + 1);
			assert_int_equal(r.type, t);
			assert_int_equal(r.n, sizes[i]);
			for (size_t k = 0; k < r.n; k++)
				assert_int_equal(r.data[k], 'a' + k % 26);
		}
		assert_int_equal(r.ended, 0);
		rig_close(&r);
	}
}

static void wrong_sizes_end_the_sender(void **state)
{
	struct rig r;

	(void)state;
	for (enum msg_type t = 0; t < MSG_COUNT; t++) {
		const struct msg_rule *rule = &msg_rules[t];

		if (rule->min > 0) {
			rig_open_for(&r, t);
			raw(r.peer, t, rule->min - 1, rule->min - 1, rule->fds);
			assert_refused(&r, "wrong size");
		}
		rig_open_for(&r, t);
		raw(r.peer, t, rule->max + 1, rule->max + 1, rule->fds);
		assert_refused(&r, rule->max == MSG_PAYLOAD_MAX ? "too long" : "wrong size");
		rig_open_for(&r, t);
		raw(r.peer, t, rule->max + 1, rule->max, rule->fds);
		assert_refused(&r, "not what it says");
		rig_open_for(&r, t);
		raw(r.peer, t, rule->min, BIG, rule->fds);
		assert_refused(&r, "too long");
	}
}

static void wrong_senders_are_ended(void **state)
{
	static const enum msg_role roles[] = {
		MSG_PARENT, MSG_WORKER, MSG_TRIAL, MSG_RESOLVER, MSG_ACME,
	};
	struct rig r;

	(void)state;
	for (enum msg_type t = 0; t < MSG_COUNT; t++)
		for (size_t s = 0; s < ARRAY_SIZE(roles); s++)
			for (size_t p = 0; p < ARRAY_SIZE(roles); p++) {
				const struct msg_rule *rule = &msg_rules[t];

				rig_open(&r, roles[s], roles[p]);
				raw(r.peer, t, rule->min, rule->min, rule->fds);
				if (!(rule->to & roles[s]) || !(rule->from & roles[p])) {
					assert_refused(&r, "may not send");
					continue;
				}
				turns(1);
				assert_int_equal(r.got, 1);
				rig_close(&r);
			}
}

static void wrong_descriptor_counts_end_the_sender(void **state)
{
	struct rig r;

	(void)state;
	for (enum msg_type t = 0; t < MSG_COUNT; t++)
		for (int n = 0; n <= 4; n++) {
			const struct msg_rule *rule = &msg_rules[t];

			if (n == rule->fds)
				continue;
			rig_open_for(&r, t);
			raw(r.peer, t, rule->min, rule->min, n);
			assert_refused(&r, "descriptors");
		}
}

static void what_is_no_message_ends_the_sender(void **state)
{
	struct rig r;

	(void)state;
	for (size_t n = 1; n < 8; n++) {
		rig_open(&r, MSG_PARENT, MSG_WORKER);
		assert_int_equal(send(r.peer, "\0\0\0\0\0\0\0\0", n, MSG_NOSIGNAL), n);
		assert_refused(&r, "cut short");
	}
	rig_open(&r, MSG_PARENT, MSG_WORKER);
	raw(r.peer, MSG_COUNT, 0, 0, 0);
	assert_refused(&r, "unknown type");
	rig_open(&r, MSG_PARENT, MSG_WORKER);
	raw(r.peer, UINT32_MAX, 0, 0, 1);
	assert_refused(&r, "unknown type");
}

static void a_handler_may_refuse_take_and_close(void **state)
{
	const struct msg_rule *rule = &msg_rules[MSG_LOAD];
	struct rig r;

	(void)state;
	rig_open_for(&r, MSG_LOAD);
	r.refuse = true;
	raw(r.peer, MSG_LOAD, rule->min, rule->min, 1);
	raw(r.peer, MSG_LOAD, rule->min, rule->min, 1);
	turns(2);
	assert_int_equal(r.got, 1);
	assert_int_equal(r.ended, 1);
	assert_non_null(strstr(r.why, "makes no sense"));
	rig_close(&r);

	rig_open_for(&r, MSG_LOAD);
	r.take = true;
	raw(r.peer, MSG_LOAD, rule->min, rule->min, 1);
	turns(1);
	assert_int_equal(inode_of(r.taken), r.inode);
	assert_true(fcntl(r.taken, F_GETFD) & FD_CLOEXEC);
	rig_close(&r);

	rig_open_for(&r, MSG_LOAD);
	r.close = true;
	raw(r.peer, MSG_LOAD, rule->min, rule->min, 1);
	raw(r.peer, MSG_LOAD, rule->min, rule->min, 1);
	turns(2);
	assert_int_equal(r.got, 1);
	assert_int_equal(r.ended, 0);
	rig_close(&r);
}

static void last_words_are_heard(void **state)
{
	struct msg_generation g = { 7 };
	struct rig r;

	(void)state;
	rig_open(&r, MSG_PARENT, MSG_WORKER);
	raw(r.peer, MSG_READY, sizeof g, sizeof g, 0);
	raw(r.peer, MSG_READY, sizeof g, sizeof g, 0);
	close(r.peer);
	r.peer = -1;
	/* a failing send must not hide them */
	msg_send(&r.c, MSG_COMMIT, &g, sizeof g, -1);
	turns(2);
	assert_int_equal(r.got, 2);
	assert_int_equal(r.ended, 1);
	assert_string_equal(r.why, "(closed)");
	msg_send(&r.c, MSG_COMMIT, &g, sizeof g, -1);
	rig_close(&r);
}

/* What has queued because nobody read arrives later, in order, with its own descriptor. */
static void a_full_socket_queues(void **state)
{
	enum { MESSAGES = 2000 };
	struct rig r, other;
	char name[32];

	(void)state;
	rig_open(&r, MSG_PARENT, MSG_WORKER);
	for (uint32_t i = 0; i < MESSAGES; i++) {
		struct msg_listener l = { i };
		int fd = open(i % 2 ? "/dev/null" : "/dev/zero", O_RDONLY | O_CLOEXEC);

		snprintf(name, sizeof name, "listener %u", i);
		msg_send2(&r.c, MSG_LISTENER, &l, sizeof l, str_from_c(name), fd);
		close(fd);
	}
	assert_true(msg_unsent(&r.c) > 100);
	assert_int_equal(r.ended, 0);

	memset(&other, 0, sizeof other);
	other.numbered = true;
	other.taken = -1;
	assert_int_equal(msg_open(&other.c, r.peer, MSG_WORKER, MSG_PARENT, &all, on_end), 0);
	r.peer = -1;
	for (int i = 0; i < MESSAGES && other.got < MESSAGES; i++)
		turns(1);
	assert_int_equal(other.got, MESSAGES);
	assert_int_equal(other.ended, 0);
	assert_int_equal(msg_unsent(&r.c), 0);
	msg_close(&other.c);
	rig_close(&r);
}

static void who_never_reads_is_ended(void **state)
{
	struct msg_generation g = { 1 };
	struct rig r;

	(void)state;
	rig_open(&r, MSG_PARENT, MSG_WORKER);
	for (unsigned i = 0; i < MSG_QUEUE_MAX + 4000; i++)
		msg_send(&r.c, MSG_COMMIT, &g, sizeof g, -1);
	assert_int_equal(msg_unsent(&r.c), MSG_QUEUE_MAX);
	/* not from inside msg_send */
	assert_int_equal(r.ended, 0);
	turns(1);
	assert_int_equal(r.ended, 1);
	assert_non_null(strstr(r.why, "does not read"));
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_rows_pass),
		cmocka_unit_test(wrong_sizes_end_the_sender),
		cmocka_unit_test(wrong_senders_are_ended),
		cmocka_unit_test(wrong_descriptor_counts_end_the_sender),
		cmocka_unit_test(what_is_no_message_ends_the_sender),
		cmocka_unit_test(a_handler_may_refuse_take_and_close),
		cmocka_unit_test(last_words_are_heard),
		cmocka_unit_test(a_full_socket_queues),
		cmocka_unit_test(who_never_reads_is_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
