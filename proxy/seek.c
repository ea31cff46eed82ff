#include "proxy/seek.h"
#include "proxy/parent/child.h"
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <unistd.h>

/* ---- in its own process ---- */

/*
 * In the order in which the C library has sorted them (RFC 6724), but one family after the other (RFC 8305
 * section 4): if one leads nowhere, not all of its addresses are tried first.
 */
static void gather(struct msg_addresses *out, const struct addrinfo *list)
{
	const struct addrinfo *next[2] = { list, list };
	size_t turn = list->ai_family == AF_INET6;

	while (out->n < ADDRS_MAX && (next[0] || next[1])) {
		const struct addrinfo **i = &next[turn];
		struct ip ip;
		bool is_new;

		while (*i && (*i)->ai_family != (turn ? AF_INET6 : AF_INET))
			*i = (*i)->ai_next;
		turn = !turn;
		if (!*i)
			continue;
		is_new = ip_from_sockaddr(&ip, (*i)->ai_addr);
		*i = (*i)->ai_next;
		for (uint32_t k = 0; is_new && k < out->n; k++)
			is_new = memcmp(&out->ips[k], &ip, sizeof ip) != 0;
		if (is_new)
			out->ips[out->n++] = ip;
	}
}

static void look_up(const char *name, struct msg_addresses *out)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;

	*out = (struct msg_addresses){ 0 };
	out->error = getaddrinfo(name, NULL, &hints, &list);
	if (out->error == EAI_SYSTEM)
		out->error = errno ? errno : EIO;
	if (out->error == 0) {
		gather(out, list);
		freeaddrinfo(list);
		if (out->n == 0)
			out->error = EAI_NODATA;
	}
}

NORETURN static void be_look_up(struct str text, uint64_t deadline_ms, int fd)
{
	const struct itimerval alarm = {
		.it_value = { (time_t)(deadline_ms / 1000), (suseconds_t)(deadline_ms % 1000 * 1000) },
	};
	struct msg_addresses a;
	char name[MSG_NAME_MAX + 1];

	snprintf(name, sizeof name, "%.*s", STR_ARG(text));
	/* nothing of the resolver's own stays open, nor does this live longer */
	if (dup2(fd, CHILD_SOCKET) < 0 || close_range(CHILD_SOCKET + 1, ~0U, 0) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || setitimer(ITIMER_REAL, &alarm, NULL) < 0)
		_exit(EXIT_FAILURE);
	look_up(name, &a);
	_exit(write(CHILD_SOCKET, &a, sizeof a) == (ssize_t)sizeof a ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* ---- whoever wants to know ---- */

int seek_begin(struct str name, uint64_t deadline_ms)
{
	int fd[2], e;
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -errno;
	pid = fcntl(fd[0], F_SETFL, O_NONBLOCK) < 0 ? -1 : fork();
	e = errno;
	if (pid == 0)
		be_look_up(name, deadline_ms, fd[1]);
	close(fd[1]);
	if (pid < 0)
		close(fd[0]);
	return pid < 0 ? -e : fd[0];
}

/* It was made by a process that has read what others sent. */
static bool makes_sense(const struct msg_addresses *a, ssize_t bytes)
{
	static const struct ip none = { .is_ip6 = 0 };

	if (bytes != (ssize_t)sizeof *a || a->n > ADDRS_MAX || (a->n == 0) != (a->error != 0))
		return false;
	for (uint32_t i = 0; i < ADDRS_MAX; i++)
		if (i < a->n ? !ip_is_valid(&a->ips[i]) : memcmp(&a->ips[i], &none, sizeof none) != 0)
			return false;
	return true;
}

/* It writes all at once; without a word it has died, mostly by its alarm. */
bool seek_read(int fd, bool is_late, struct msg_addresses *a)
{
	ssize_t r = read(fd, a, sizeof *a);

	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (r == 0)
		*a = (struct msg_addresses){ .error = is_late ? ETIMEDOUT : EAI_FAIL };
	else if (!makes_sense(a, r))
		*a = (struct msg_addresses){ .error = EBADMSG };
	return true;
}

void seek_all(const struct str *names, size_t n, uint64_t deadline_ms, struct msg_addresses *out)
{
	int *fds = base_alloc(n * sizeof *fds);

	for (size_t i = 0; i < n; i++) {
		fds[i] = seek_begin(names[i], deadline_ms);
		out[i] = (struct msg_addresses){ .error = fds[i] < 0 ? -fds[i] : 0 };
	}
	for (size_t i = 0; i < n; i++) {
		struct pollfd p = { .fd = fds[i], .events = POLLIN };

		while (fds[i] >= 0 && !seek_read(fds[i], true, &out[i]))
			poll(&p, 1, -1);
		if (fds[i] >= 0)
			close(fds[i]);
	}
	free(fds);
}

/* ---- in words ---- */

char *seek_text(const struct msg_addresses *a, char out[SEEK_TEXT_BYTES])
{
	char host[ADDR_TEXT_BYTES];
	size_t n = 0;

	if (a->error)
		snprintf(out, SEEK_TEXT_BYTES, "%s",
			 a->error == ETIMEDOUT ? "no answer within timeouts.resolve"
			 : a->error < 0	       ? gai_strerror(a->error)
					       : strerror(a->error));
	for (uint32_t i = 0; i < a->n && n < SEEK_TEXT_BYTES; i++) {
		struct addr to;

		addr_from_parsed_ip(&to, &a->ips[i], 0);
		n += (size_t)snprintf(out + n, SEEK_TEXT_BYTES - n, "%s%s", i ? ", " : "",
				      addr_host(&to.sa, host, sizeof host));
	}
	return out;
}

bool seek_is_final(const struct msg_addresses *a)
{
	return a->error == EAI_NONAME || a->error == EAI_NODATA;
}
