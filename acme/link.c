#include "acme/link.h"
#include "core/loop.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* A message is sent as a whole: its buffer must have room for the largest. */
enum { SEND_BUFFER = 4 * ACME_FILE_BYTES };

int acme_link_pair(int pair[2])
{
	const int n = SEND_BUFFER;
	int flags;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	flags = fcntl(pair[0], F_GETFL);
	/* as much of it as the system grants is enough */
	(void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &n, sizeof n);
	if (flags >= 0 && fcntl(pair[0], F_SETFL, flags | O_NONBLOCK) == 0)
		return 0;
	flags = errno;
	close(pair[0]);
	close(pair[1]);
	return -flags;
}

/* ---- the order ---- */

NORETURN static void forsaken(void)
{
	_exit(EXIT_FAILURE);
}

static void say(int fd, const struct acme_link_head *h, struct str bytes)
{
	struct iovec iov[] = { { (void *)h, sizeof *h }, { (void *)bytes.p, bytes.n } };
	ssize_t r;

	BUG_ON(bytes.n > ACME_FILE_BYTES);
	do
		r = writev(fd, iov, ARRAY_SIZE(iov));
	while (r < 0 && errno == EINTR);
	if (r != (ssize_t)(sizeof *h + bytes.n))
		forsaken();
}

int acme_link_ask(int fd, const struct acme_link_head *h, struct str bytes)
{
	int32_t error;
	ssize_t r;

	say(fd, h, bytes);
	do
		r = read(fd, &error, sizeof error);
	while (r < 0 && errno == EINTR);
	if (r != sizeof error)
		forsaken();
	return error;
}

void acme_link_end(int fd, enum acme_end end, int64_t until_ms, struct str words)
{
	const struct acme_link_head h = { ACME_LINK_END, end, until_ms };

	say(fd, &h, words);
}

void acme_link_sleep(int fd, int64_t ms)
{
	int64_t until_ms = (int64_t)(loop_clock_us() / 1000) + ms;

	for (;;) {
		struct pollfd p = { fd, POLLIN, 0 };
		int64_t left_ms = until_ms - (int64_t)(loop_clock_us() / 1000);

		if (left_ms <= 0)
			return;
		/* nothing is to be said by it now */
		if (poll(&p, 1, (int)MIN(left_ms, (int64_t)INT_MAX)) > 0)
			forsaken();
	}
}

/* ---- the acme process ---- */

int acme_link_read(int fd, char *buf, struct acme_link_head *h, struct str *bytes)
{
	ssize_t r = recv(fd, buf, ACME_LINK_BYTES, MSG_DONTWAIT | MSG_TRUNC);

	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (r < (ssize_t)sizeof *h || r > ACME_LINK_BYTES)
		return -1;
	memcpy(h, buf, sizeof *h);
	*bytes = str_of(buf + sizeof *h, (size_t)r - sizeof *h);
	return h->type < ACME_LINK_TYPES ? 1 : -1;
}

void acme_link_answer(int fd, int error)
{
	const int32_t e = error;

	/* one that has gone is heard of by reading */
	(void)!send(fd, &e, sizeof e, MSG_DONTWAIT | MSG_NOSIGNAL);
}
