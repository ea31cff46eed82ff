/*
 * base.h - what every file includes: standard headers, slices, assertions, small macros.
 *
 * Knows nothing of the program. The only header with conditional compilation in it.
 */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define MIN(a, b)                                  \
	({                                         \
		__typeof__(a) min_a_ = (a);        \
		__typeof__(b) min_b_ = (b);        \
		min_a_ < min_b_ ? min_a_ : min_b_; \
	})
#define MAX(a, b)                                  \
	({                                         \
		__typeof__(a) max_a_ = (a);        \
		__typeof__(b) max_b_ = (b);        \
		max_a_ > max_b_ ? max_a_ : max_b_; \
	})

/* Moves ownership: the value of *src goes to dst, *src becomes zero. */
#define TAKE(dst, src)                           \
	do {                                     \
		(dst) = *(src);                  \
		memset((src), 0, sizeof *(src)); \
	} while (0)

/* Our own fault, never the peer's: says where, and ends the process. On in release builds too. */
#define BUG_ON(cond)                                        \
	do {                                                \
		if (unlikely(cond))                         \
			bug_die(__FILE__, __LINE__, #cond); \
	} while (0)
NORETURN void bug_die(const char *file, int line, const char *what);

/* A borrowed run of bytes, not terminated. Void when its owner goes. {NULL, 0} means absent. */
struct str {
	const char *p;
	size_t n;
};

#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })
#define STR_NONE ((struct str){ NULL, 0 })
/* For "%.*s". */
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_of(const char *p, size_t n)
{
	return (struct str){ p, n };
}

static inline struct str str_from_c(const char *c)
{
	return (struct str){ c, c ? strlen(c) : 0 };
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII only: never the locale's idea of case. */
static inline char str_lower_char(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* The same for eight characters at once, whatever their order in the word. */
static inline uint64_t str_lower_8(uint64_t x)
{
	const uint64_t ones = 0x0101010101010101u, high = ones * 0x80;
	uint64_t low7 = x & ~high;
	/* The high bit of each byte: at least 'A'; beyond 'Z'. A carry never leaves its byte. */
	uint64_t from_a = low7 + ones * (0x80 - 'A'), beyond_z = low7 + ones * (0x7f - 'Z');
	uint64_t is_upper = from_a & ~beyond_z & ~x & high;

	return x | is_upper >> 2;
}

/* Equality without regard to ASCII case. */
bool str_eq_nocase(struct str a, struct str b);

/* Decimal digits only (no sign, no space), at most max. Returns false on anything else or overflow. */
bool str_to_u64(struct str s, uint64_t max, uint64_t *out) MUST_USE;

/* What comes before the next NUL, which is taken off s with it. False: there is none, and s is as it was. */
bool str_take_text(struct str *s, struct str *out) MUST_USE;
/* A copy with a NUL behind it (not counted), the caller's: free. Also of what is absent. */
char *str_dup(struct str s) MUST_USE;

static inline bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_of(s.p, prefix.n), prefix);
}

static inline bool str_ends(struct str s, struct str suffix)
{
	return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

/* Without leading and trailing SP and HTAB (OWS of RFC 9110 section 5.6.3). */
static inline struct str str_trim(struct str s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/*
 * malloc and realloc that do not return on failure: memory is bounded by budgets, so failure is the
 * machine's end.
 */
void *base_alloc(size_t n) MUST_USE __attribute__((malloc, alloc_size(1)));
void *base_zalloc(size_t n) MUST_USE __attribute__((malloc, alloc_size(1)));
void *base_realloc(void *p, size_t n) MUST_USE __attribute__((alloc_size(2)));

/*
 * True when built with AddressSanitizer: pools then give every object back to malloc, and arenas poison
 * what they have not given out, so that it sees misuse.
 */
#if defined(__SANITIZE_ADDRESS__)
#define BASE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BASE_SANITIZED 1
#endif
#endif
#ifndef BASE_SANITIZED
#define BASE_SANITIZED 0
#endif

#if BASE_SANITIZED
void __asan_poison_memory_region(const volatile void *p, size_t n);
void __asan_unpoison_memory_region(const volatile void *p, size_t n);
#define base_poison(p, n) __asan_poison_memory_region((p), (n))
#define base_unpoison(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define base_poison(p, n) ((void)(p), (void)(n))
#define base_unpoison(p, n) ((void)(p), (void)(n))
#endif
