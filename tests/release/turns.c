/*
 * Preloaded into a process: says on standard error whenever a turn of its loop, from one epoll_wait to the
 * next, took more CPU of its thread than any turn before.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

int epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	static int (*next)(int, struct epoll_event *, int, int);
	static uint64_t woken_us, longest_us = 500;
	uint64_t us = now_us() - woken_us;
	int n, e;

	if (woken_us && us > longest_us) {
		longest_us = us;
		dprintf(STDERR_FILENO, "%s: a turn took %llu us\n", program_invocation_name,
			(unsigned long long)us);
	}
	if (!next)
		next = (int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait");
	n = next(fd, events, max, timeout);
	e = errno;
	woken_us = now_us();
	errno = e;
	return n;
}
