#include "core/arena.h"
#include "core/spares.h"
#include <stdarg.h>

struct arena_block {
	struct arena_block *next;
	size_t bytes; /* of data */
	_Alignas(max_align_t) char data[];
};

enum {
	ALIGN = _Alignof(max_align_t),
	ORDINARY = ARENA_BLOCK_BYTES - sizeof(struct arena_block), /* data of a block of the ordinary size */
	LARGE = ORDINARY / 4, /* a larger piece that does not fit has a block of its own */
	GAP = BASE_SANITIZED ? 16 : 0, /* behind each piece, poisoned: running over one is seen */
};

/* Blocks of the ordinary size that nobody uses: part of the worker's allocator. */
static struct spares spares;

static struct arena_block *block_get(size_t bytes)
{
	struct arena_block *b = bytes == ORDINARY ? spares_take(&spares) : NULL;

	BUG_ON(bytes > SIZE_MAX / 2);
	if (!b)
		b = base_alloc(sizeof *b + bytes);
	b->bytes = bytes;
	base_poison(b->data, bytes);
	return b;
}

static void block_put(struct arena_block *b)
{
	if (b->bytes == ORDINARY && spares_keep(&spares, b))
		return;
	base_unpoison(b->data, b->bytes);
	free(b);
}

size_t arena_settle(void)
{
	return spares_settle(&spares);
}

void arena_drop_spares(void)
{
	spares_drop(&spares);
}

void arena_init(struct arena *a)
{
	*a = (struct arena){ 0 };
}

void arena_fini(struct arena *a)
{
	struct arena_block *b = a->first;

	arena_init(a); /* before its block goes: an arena may lie in itself */
	while (b) {
		struct arena_block *next = b->next;

		block_put(b);
		b = next;
	}
}

/* Rounded up; an absurd n stays absurd, and block_get refuses it. */
static size_t padded(size_t n)
{
	return n > SIZE_MAX / 2 ? n : (n + GAP + ALIGN - 1) / ALIGN * ALIGN;
}

static void *alloc_from_new_block(struct arena *a, size_t n)
{
	struct arena_block *b;

	if (n > LARGE && a->first) {
		/* behind the current block, which goes on being given out */
		b = block_get(n);
		b->next = a->first->next;
		a->first->next = b;
	} else {
		b = block_get(MAX(n, (size_t)ORDINARY));
		b->next = a->first;
		a->first = b;
		a->at = b->data + n;
		a->end = b->data + b->bytes;
	}
	a->held_bytes += sizeof *b + b->bytes;
	return b->data;
}

void *arena_alloc(struct arena *a, size_t n)
{
	size_t total = padded(MAX(n, (size_t)1));
	char *p = a->at;

	if (likely(total <= (size_t)(a->end - a->at)))
		a->at += total;
	else
		p = alloc_from_new_block(a, total);
	base_unpoison(p, n);
	return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
	return memset(arena_alloc(a, n), 0, n);
}

char *arena_dup_c(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}

struct str arena_dup(struct arena *a, struct str s)
{
	return s.p ? str_of(arena_dup_c(a, s), s.n) : STR_NONE;
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list args;
	char *p;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	BUG_ON(n < 0);
	p = arena_alloc(a, (size_t)n + 1);
	va_start(args, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, args);
	va_end(args);
	return str_of(p, (size_t)n);
}
