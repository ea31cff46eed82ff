#include "proxy/worker/tally.h"

struct tally *tally_new(void)
{
	struct tally *t = base_zalloc(sizeof *t);

	t->refs = 1;
	return t;
}

struct tally *tally_get(struct tally *t)
{
	t->refs++;
	return t;
}

void tally_put(struct tally *t)
{
	if (t && --t->refs == 0)
		free(t);
}

void tally_note(struct tally *t, const struct exchange *x)
{
	unsigned class = x->facts.status / 100;

	t->v[PICTURE_VHOST_requests]++;
	if (class >= 1 && class <= 5)
		t->v[PICTURE_VHOST_in_1xx + class - 1]++;
	else
		t->v[PICTURE_VHOST_gone]++;
	t->v[PICTURE_VHOST_request_bytes] += x->facts.request_bytes;
	t->v[PICTURE_VHOST_response_bytes] += x->facts.response_bytes;
	if (x->tunnel)
		t->v[PICTURE_VHOST_websockets]++;
	else if (x->facts.begin_us)
		t->v[PICTURE_VHOST_duration] += loop_clock_us() - x->facts.begin_us;
}
