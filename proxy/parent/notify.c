#include "proxy/parent/notify.h"
#include "core/log.h"
#include "core/target.h"
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_BYTES = 512, SEND_TIMEOUT_S = 1 };

PRINTF(2, 3) static void tell(struct notify *n, const char *fmt, ...)
{
	char text[TEXT_BYTES];
	va_list ap;
	int r;

	if (n->fd < 0)
		return;
	va_start(ap, fmt);
	r = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (r < 0 || send(n->fd, text, MIN((size_t)r, sizeof text - 1), MSG_NOSIGNAL) < 0)
		log_warn("the service manager cannot be told: %s", strerror(errno));
}

static void alive(struct timer *t)
{
	struct notify *n = container_of(t, struct notify, watchdog);

	tell(n, "WATCHDOG=1");
	timer_set(t, n->watchdog_ms);
}

static uint64_t watchdog_us(void)
{
	const char *pid = getenv("WATCHDOG_PID"), *us = getenv("WATCHDOG_USEC");
	uint64_t n;

	if (!us || !str_to_u64(str_from_c(us), UINT64_MAX, &n) || n == 0)
		return 0;
	if (pid && strtol(pid, NULL, 10) != getpid())
		return 0;
	return n;
}

static int dial(const char *path)
{
	const struct timeval patience = { .tv_sec = SEND_TIMEOUT_S };
	struct addr to;
	int fd;

	if (!addr_from_unix(&to, str_from_c(path)))
		return -1;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, &to.sa, to.len) < 0) {
		close(fd);
		return -1;
	}
	if (fd >= 0)
		(void)!setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	return fd;
}

void notify_open_at(struct notify *n, const char *path, uint64_t us)
{
	*n = (struct notify){ .fd = -1 };
	timer_init(&n->watchdog, alive);
	if (!path || !path[0])
		return;
	n->fd = dial(path);
	if (n->fd < 0) {
		log_warn("the service manager cannot be told: %s: %s", path, strerror(errno));
		return;
	}
	n->path = strdup(path);
	n->watchdog_us = us;
	/* twice as often as asked for, as sd_watchdog_enabled(3) advises */
	n->watchdog_ms = us ? MAX(us / 2000, 1U) : 0;
	if (n->watchdog_ms)
		timer_set(&n->watchdog, n->watchdog_ms);
}

void notify_open(struct notify *n)
{
	notify_open_at(n, getenv("NOTIFY_SOCKET"), watchdog_us());
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
}

void notify_close(struct notify *n)
{
	timer_stop(&n->watchdog);
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
	free(n->path);
	n->path = NULL;
}

void notify_ready(struct notify *n, const char *status)
{
	tell(n, "READY=1\nMAINPID=%d\nSTATUS=%s", (int)getpid(), status);
}

void notify_reloading(struct notify *n)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	tell(n, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=loading the configuration",
	     (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
}

void notify_successor(struct notify *n, pid_t pid)
{
	tell(n, "MAINPID=%d", (int)pid);
}

void notify_stopping(struct notify *n, uint64_t after_ms)
{
	tell(n, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu\nSTATUS=stopping: requests in progress get %llu ms",
	     (unsigned long long)after_ms * 1000, (unsigned long long)after_ms);
}
