#include "core/msg.h"
#include <fcntl.h>
#include <unistd.h>

/* Messages of one channel that are handled in one turn, before others get theirs. */
enum { MESSAGES_PER_TURN = 64, RETRY_MS = 5 };

const struct msg_rule msg_rules[MSG_COUNT] = {
#define X(NAME, name, from, to, min, max, fds) [MSG_##NAME] = { #NAME, from, to, fds, min, max },
	MSG_TABLE(X)
#undef X
};

struct header {
	uint32_t type, n; /* n: payload bytes, as a check that nothing was cut */
};

struct queued {
	struct list node;
	int fd; /* a duplicate, or -1 */
	struct header header;
	size_t n;
	char payload[];
};

/* Room for one descriptor more than any row allows: so that a surplus is seen, and closed. */
enum { FDS_SEEN = 2 };
union control {
	char bytes[CMSG_SPACE(FDS_SEEN * sizeof(int))];
	struct cmsghdr align;
};

int msg_pair(int fd[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) < 0 ? -errno : 0;
}

/* ---- sending ---- */

static ssize_t send_one(int sock, const struct header *h, const void *fixed, size_t n_fixed, struct str rest,
			int fd)
{
	struct iovec iov[] = {
		{ (void *)h, sizeof *h },
		{ (void *)fixed, n_fixed },
		{ (void *)rest.p, rest.n },
	};
	union control control;
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };

	if (fd >= 0) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof control);
		m.msg_control = control.bytes;
		m.msg_controllen = CMSG_SPACE(sizeof fd);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	for (;;) {
		ssize_t r = sendmsg(sock, &m, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (r >= 0 || errno != EINTR)
			return r;
	}
}

static void fail(struct msg_channel *c, const char *why)
{
	if (!c->broken) {
		c->broken = true;
		c->why = why;
		loop_post(&c->work);
	}
}

/* Not now, but later: the socket is full, or too many descriptors are on their way already. */
static bool is_full(struct msg_channel *c)
{
	if (errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM) {
		timer_set(&c->retry, RETRY_MS);
		return true;
	}
	return errno == EAGAIN;
}

/*
 * A peer that is gone is told by reading: what it said before must still be heard. Everything else is the
 * channel's end.
 */
static void send_failed(struct msg_channel *c)
{
	if (errno != EPIPE && errno != ECONNRESET)
		fail(c, "cannot send");
}

static void drop(struct msg_channel *c, struct queued *q)
{
	list_del(&q->node);
	c->queued--;
	if (q->fd >= 0)
		close(q->fd);
	free(q);
}

static void flush(struct msg_channel *c)
{
	while (!list_empty(&c->queue)) {
		struct queued *q = list_entry(c->queue.next, struct queued, node);

		if (send_one(c->ev.fd, &q->header, q->payload, q->n, STR_NONE, q->fd) < 0) {
			if (is_full(c))
				return;
			send_failed(c);
		}
		drop(c, q);
	}
}

static void enqueue(struct msg_channel *c, const struct header *h, const void *fixed, size_t n_fixed,
		    struct str rest, int fd)
{
	struct queued *q;

	if (c->queued == MSG_QUEUE_MAX) {
		fail(c, "does not read its messages");
		return;
	}
	q = base_alloc(sizeof *q + n_fixed + rest.n);
	q->header = *h;
	q->n = n_fixed + rest.n;
	if (n_fixed)
		memcpy(q->payload, fixed, n_fixed);
	if (rest.n)
		memcpy(q->payload + n_fixed, rest.p, rest.n);
	q->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (fd >= 0 && q->fd < 0) {
		free(q);
		fail(c, "no descriptor for a message");
		return;
	}
	list_push(&c->queue, &q->node);
	c->queued++;
}

void msg_send2(struct msg_channel *c, enum msg_type type, const void *fixed, size_t n_fixed, struct str rest,
	       int fd)
{
	const struct msg_rule *rule = &msg_rules[type];
	struct header h = { type, (uint32_t)(n_fixed + rest.n) };

	BUG_ON(!(rule->from & c->self) || !(rule->to & c->peer));
	BUG_ON(h.n < rule->min || h.n > rule->max || (fd >= 0) != rule->fds);
	if (!msg_is_open(c) || c->broken)
		return;
	if (list_empty(&c->queue)) {
		if (send_one(c->ev.fd, &h, fixed, n_fixed, rest, fd) >= 0)
			return;
		if (!is_full(c)) {
			send_failed(c);
			return;
		}
	}
	enqueue(c, &h, fixed, n_fixed, rest, fd);
}

void msg_send(struct msg_channel *c, enum msg_type type, const void *data, size_t n, int fd)
{
	msg_send2(c, type, data, n, STR_NONE, fd);
}

/* ---- receiving ---- */

struct incoming {
	struct header header;
	_Alignas(16) char payload[MSG_PAYLOAD_MAX];
};

/* All descriptors that came, at most FDS_SEEN; the kernel has closed what found no room. */
static int take_fds(struct msghdr *m, int fds[FDS_SEEN])
{
	int n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t have;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		have = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < have && n < FDS_SEEN; i++)
			memcpy(&fds[n++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
	}
	return n;
}

/* What is wrong with a message, or NULL. */
static const char *check(const struct msg_channel *c, const struct header *h, size_t got, int nfds, int flags)
{
	const struct msg_rule *rule;

	if (got < sizeof *h || (flags & MSG_TRUNC))
		return "message cut short or too long";
	if (h->type >= MSG_COUNT)
		return "message of an unknown type";
	rule = &msg_rules[h->type];
	if (!(rule->from & c->peer) || !(rule->to & c->self) || !c->handlers->on[h->type])
		return "message that this role may not send";
	if (h->n != got - sizeof *h)
		return "message whose size is not what it says";
	if (h->n < rule->min || h->n > rule->max)
		return "message of a wrong size";
	if ((flags & MSG_CTRUNC) || nfds != rule->fds)
		return "message with a wrong number of descriptors";
	return NULL;
}

/* Returns false when nothing more can be read now, or ever. */
static bool receive_one(struct msg_channel *c)
{
	struct incoming in;
	struct iovec iov[] = { { &in.header, sizeof in.header }, { in.payload, sizeof in.payload } };
	union control control;
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov),
			    .msg_control = control.bytes, .msg_controllen = sizeof control.bytes };
	int fds[FDS_SEEN] = { -1, -1 };
	struct msg_in message;
	const char *wrong;
	ssize_t r = recvmsg(c->ev.fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	int nfds;

	if (r <= 0) {
		if (r < 0 && errno == EINTR)
			return true;
		if (r < 0 && errno == EAGAIN)
			c->readable = false;
		else
			fail(c, r == 0 || errno == ECONNRESET ? NULL : "cannot receive");
		return false;
	}
	nfds = take_fds(&m, fds);
	wrong = check(c, &in.header, (size_t)r, nfds, m.msg_flags);
	if (!wrong) {
		message = (struct msg_in){ in.header.type, in.payload, in.header.n, fds[0] };
		if (!c->handlers->on[in.header.type](c, &message))
			wrong = "message whose content makes no sense";
		fds[0] = message.fd;
	}
	for (int i = 0; i < FDS_SEEN; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (wrong)
		fail(c, wrong);
	return !wrong;
}

/* ---- on the loop ---- */

static void run(struct work *w)
{
	struct msg_channel *c = container_of(w, struct msg_channel, work);

	if (!c->broken)
		flush(c);
	for (int i = 0; i < MESSAGES_PER_TURN && c->readable && !c->broken && msg_is_open(c); i++)
		if (!receive_one(c))
			break;
	if (!msg_is_open(c))
		return;
	if (c->broken) {
		msg_close(c);
		c->ended(c, c->why);
	} else if (c->readable) {
		loop_post_next(&c->work);
	}
}

static void ready(struct event *ev, uint32_t bits)
{
	struct msg_channel *c = container_of(ev, struct msg_channel, ev);

	if (bits & (EPOLLIN | EPOLLHUP | EPOLLERR))
		c->readable = true;
	loop_post(&c->work);
}

static void retry(struct timer *t)
{
	loop_post(&container_of(t, struct msg_channel, retry)->work);
}

int msg_open(struct msg_channel *c, int fd, enum msg_role self, enum msg_role peer,
	     const struct msg_handlers *handlers, void (*ended)(struct msg_channel *c, const char *why))
{
	int r;

	*c = (struct msg_channel){
		.ev = { fd, ready }, .self = (uint8_t)self, .peer = (uint8_t)peer,
		.handlers = handlers, .ended = ended,
	};
	work_init(&c->work, run);
	timer_init(&c->retry, retry);
	list_init(&c->queue);
	r = loop_add(&c->ev, EPOLLIN | EPOLLOUT | EPOLLET);
	if (r < 0) {
		close(fd);
		c->ev.fd = -1;
	}
	return r;
}

void msg_close(struct msg_channel *c)
{
	if (!msg_is_open(c))
		return;
	work_cancel(&c->work);
	timer_stop(&c->retry);
	while (!list_empty(&c->queue))
		drop(c, list_entry(c->queue.next, struct queued, node));
	loop_del(&c->ev);
	close(c->ev.fd);
	c->ev.fd = -1;
}
