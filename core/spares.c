#include "core/spares.h"

enum { KEPT = 64 }; /* however little there is to do */

struct spare {
	struct spare *next;
};

void *spares_take(struct spares *s)
{
	struct spare *piece = s->first;

	if (piece) {
		s->first = piece->next;
		s->n--;
	}
	s->used++;
	s->most = MAX(s->most, s->used);
	return piece;
}

static size_t wanted(const struct spares *s)
{
	size_t lately = MAX(s->most, s->most_before);

	return MAX(lately - MIN(lately, s->used), (size_t)KEPT);
}

bool spares_keep(struct spares *s, void *piece)
{
	struct spare *p = piece;

	BUG_ON(s->used == 0);
	s->used--;
	if (BASE_SANITIZED || s->n >= wanted(s))
		return false;
	p->next = s->first;
	s->first = p;
	s->n++;
	return true;
}

static void shrink(struct spares *s, size_t n)
{
	while (s->n > n) {
		struct spare *p = s->first;

		s->first = p->next;
		s->n--;
		free(p);
	}
}

size_t spares_settle(struct spares *s)
{
	size_t before = s->n;

	s->most_before = s->most;
	s->most = s->used;
	shrink(s, wanted(s));
	return before - s->n;
}

void spares_drop(struct spares *s)
{
	shrink(s, 0);
}
