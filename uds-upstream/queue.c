/*
 * queue.c - requests that wait for a connection: until there is one for them, or until their target is back.
 *
 * One queue a target, in the order in which the requests arrived, whoever's they are. While the target is
 * down, and until the queue is empty again, it is gated: every UP_TICK_MS lets some through, of which each
 * may dial. During the outage that is one, the probe; after it two, four, eight and so on, so that whoever
 * has just begun to listen is not overrun. A connection that comes free may be had at any time.
 */
#include "uds-upstream/priv.h"

static void open_gate(struct up_target *t)
{
	t->is_gated = false;
	t->ramp = 0;
	timer_stop(&t->tick);
}

/* So many may dial until the next tick. */
static void let_through(struct up_target *t, uint64_t n)
{
	t->is_gated = true;
	t->passes = n;
	if (!timer_is_set(&t->tick))
		timer_set(&t->tick, UP_TICK_MS);
	loop_post(&t->serve);
}

/* ---- the order ---- */

static uint64_t arrival(const struct up_conn *c)
{
	return c->end.x->facts.begin_us;
}

static struct up_conn *first_of(struct up_target *t)
{
	return list_empty(&t->waiting) ? NULL : list_entry(t->waiting.next, struct up_conn, node);
}

/* Most are the latest; one that was let through in vain is the earliest. */
static void insert(struct up_target *t, struct up_conn *c)
{
	struct up_conn *first = first_of(t);
	struct list *after = t->waiting.prev;

	if (first && arrival(c) < arrival(first))
		after = &t->waiting;
	while (after != &t->waiting && arrival(list_entry(after, struct up_conn, node)) > arrival(c))
		after = after->prev;
	list_push_front(after, &c->node);
}

void up_queue_put(struct up_conn *c)
{
	struct outage *o = &c->target->outage;

	up_conn_enter(c, UP_WAITING);
	insert(c->target, c);
	c->waits_since_us = loop_clock_us();
	o->held += outage_is_on(o) && !c->is_held;
	c->is_held |= outage_is_on(o);
	up_conn_arm(c);
}

static struct up_conn *take_first(struct up_target *t)
{
	struct up_conn *c = first_of(t);
	uint64_t waited_us = loop_clock_us() - c->waits_since_us;

	list_del(&c->node);
	c->end.x->facts.queue_us += waited_us;
	t->stats.queue_us += waited_us;
	t->stats.queue_max_us = MAX(t->stats.queue_max_us, c->end.x->facts.queue_us);
	return c;
}

/* ---- those who are lucky to have another try ---- */

void up_queue_rest(struct up_conn *c)
{
	up_conn_enter(c, UP_RESTING);
	list_push(&c->target->resting, &c->node);
	c->rests_since_ms = loop_now_ms();
	up_conn_arm(c);
}

/* A connection that was begun after they were lost proves that somebody is there. */
void up_queue_answered(struct up_conn *c)
{
	struct list *resting = &c->target->resting;

	outage_note_answer(&c->target->outage);
	while (!c->reused && !list_empty(resting)) {
		struct up_conn *lost = list_entry(resting->next, struct up_conn, node);

		if (lost->rests_since_ms >= c->dialled_ms)
			break;
		list_del(&lost->node);
		timer_set(&lost->timer, 0);
	}
}

/* ---- who is let through ---- */

bool up_queue_is_passed(const struct up_target *t)
{
	return list_empty(&t->waiting) && !t->probe;
}

static bool may_pass(struct up_target *t, const struct up_conn *c)
{
	if (t->nidle > 0 && !c->wants_new)
		return true;
	if (t->is_gated && !t->passes)
		return false;
	if (!up_pool_admits(t, c->wants_new))
		return false;
	t->passes -= t->is_gated;
	return true;
}

/* In order of arrival, for as long as there is a connection for the next one. */
void up_queue_serve(struct work *w)
{
	struct up_target *t = container_of(w, struct up_target, serve);
	struct up_conn *c;

	while ((c = first_of(t)) && may_pass(t, c)) {
		up_conn_connect(take_first(t), true);
	}
	if (!first_of(t) && !t->probe)
		open_gate(t);
}

void up_queue_serve_later(struct up_target *t)
{
	if (!list_empty(&t->waiting))
		loop_post(&t->serve);
}

/* ---- outages ---- */

/* The time for waiting is over: all get the error, and later ones try for themselves. */
static void refuse_all(struct up_target *t)
{
	while (first_of(t)) {
		t->outage.refused++;
		up_conn_fail(take_first(t), t->outage.why);
	}
}

void up_queue_tick(struct timer *timer)
{
	struct up_target *t = container_of(timer, struct up_target, tick);

	if (!outage_is_on(&t->outage)) {
		t->ramp *= 2;
		let_through(t, t->ramp);
	} else if (loop_now_ms() >= t->outage.until_ms) {
		refuse_all(t);
	} else {
		let_through(t, t->probe ? 0 : 1);
	}
	if ((!first_of(t) && !t->probe) || t->ramp >= UP_RAMP_MAX)
		open_gate(t);
}

bool up_queue_failed(struct up_conn *c, enum err why, const char *detail)
{
	struct up_target *t = c->target;

	if (t->probe == c)
		t->probe = NULL;
	if (!outage_failed(&t->outage, why, detail, c->end.x->timeouts->ride_out_ms))
		return false;
	up_queue_put(c);
	t->ramp = 0;
	let_through(t, 0);
	return true;
}

void up_queue_connected(struct up_conn *c)
{
	struct up_target *t = c->target;

	if (t->probe == c)
		t->probe = NULL;
	if (!t->up_since_ms || outage_is_on(&t->outage))
		t->up_since_ms = loop_now_ms();
	if (!outage_is_on(&t->outage))
		return;
	outage_end(&t->outage);
	t->ramp = 1;
	let_through(t, t->ramp);
}

uint64_t up_queue_note_dial(struct up_conn *c)
{
	struct up_target *t = c->target;
	uint64_t connect_ms = c->end.x->timeouts->upstream_connect_ms, now_ms = loop_now_ms();

	if (!outage_is_on(&t->outage) || now_ms >= t->outage.until_ms)
		return connect_ms;
	if (!t->probe)
		t->probe = c;
	return MIN(connect_ms, t->outage.until_ms - now_ms);
}

void up_queue_forget(struct up_conn *c)
{
	struct up_target *t = c->target;

	list_del(&c->node);
	if (t->probe == c) {
		t->probe = NULL;
		up_queue_serve_later(t);
	}
}
