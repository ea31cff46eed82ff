#include "core/base.h"
#include "core/log.h"
#include <unistd.h>

void bug_die(const char *file, int line, const char *what)
{
	if (log_is_on(LOG_LEVEL_ERROR))
		log_error("bug: %s at %s:%d", what, file, line);
	else
		dprintf(STDERR_FILENO, "bug: %s at %s:%d\n", what, file, line);
	abort();
}

static uint64_t load_8(const char *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof x);
	return x;
}

static bool differ_8(const char *a, const char *b)
{
	return str_lower_8(load_8(a)) != str_lower_8(load_8(b));
}

bool str_eq_nocase(struct str a, struct str b)
{
	size_t i = 0;

	if (a.n != b.n)
		return false;
	if (a.n < 8) {
		for (; i < a.n; i++)
			if (str_lower_char(a.p[i]) != str_lower_char(b.p[i]))
				return false;
		return true;
	}
	for (; i + 8 <= a.n; i += 8)
		if (differ_8(a.p + i, b.p + i))
			return false;
	/* the rest, together with some that were compared already */
	return !differ_8(a.p + a.n - 8, b.p + a.n - 8);
}

bool str_to_u64(struct str s, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

		if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, digit, &value) || value > max)
			return false;
	}
	*out = value;
	return true;
}

bool str_take_text(struct str *s, struct str *out)
{
	const char *nul = s->n ? memchr(s->p, 0, s->n) : NULL;

	if (!nul)
		return false;
	*out = str_of(s->p, (size_t)(nul - s->p));
	*s = str_of(nul + 1, s->n - out->n - 1);
	return true;
}

static void *had(void *p)
{
	BUG_ON(p == NULL); /* out of memory */
	return p;
}

/* Of 0 bytes too there is something to free. */
void *base_alloc(size_t n)
{
	return had(malloc(MAX(n, (size_t)1)));
}

void *base_zalloc(size_t n)
{
	return had(calloc(MAX(n, (size_t)1), 1));
}

void *base_realloc(void *p, size_t n)
{
	return had(realloc(p, MAX(n, (size_t)1)));
}

char *str_dup(struct str s)
{
	char *p = base_alloc(s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = 0;
	return p;
}
