/*
 * guard.h - bytes laid against an unreadable page: a parser that looks a byte too far, or too early, dies.
 *
 * AddressSanitizer sees most of that, but not what goes on inside memchr or a wide load. In a unit test:
 *
 *	struct guard g = guard_open(4096);
 *	for (size_t n = 0; n <= len; n++)
 *		feed(guard_tail(&g, input, n), n);
 *	guard_close(&g);
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct guard {
	char *map;	/* unreadable page, usable pages, unreadable page */
	size_t page, usable;
};

/* Room for inputs of up to max_bytes. Ends the test program when there is no memory. */
static inline struct guard guard_open(size_t max_bytes)
{
	struct guard g = { .page = (size_t)sysconf(_SC_PAGESIZE) };

	g.usable = (max_bytes + g.page) / g.page * g.page;
	g.map = mmap(NULL, g.usable + 2 * g.page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (g.map == MAP_FAILED || mprotect(g.map + g.page, g.usable, PROT_READ | PROT_WRITE) < 0)
		abort();
	return g;
}

static inline void guard_close(struct guard *g)
{
	munmap(g->map, g->usable + 2 * g->page);
}

/* A copy of p[0..n) that ends where the unreadable page begins; void at the next call. */
static inline char *guard_tail(struct guard *g, const void *p, size_t n)
{
	char *at = g->map + g->page + g->usable - n;

	if (n > g->usable)
		abort();
	memset(g->map + g->page, 0xa5, g->usable - n);
	if (n)
		memcpy(at, p, n);
	return at;
}

/* A copy of p[0..n) that begins where the unreadable page ends; void at the next call. */
static inline char *guard_head(struct guard *g, const void *p, size_t n)
{
	char *at = g->map + g->page;

	if (n > g->usable)
		abort();
	if (n)
		memcpy(at, p, n);
	memset(at + n, 0xa5, g->usable - n);
	return at;
}
