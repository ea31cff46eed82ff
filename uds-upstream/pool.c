/*
 * pool.c - this worker's targets: which connections are kept, and who gets one.
 *
 * Kept connections are used last in, first out, and go when they have not been used for upstream-keepalive.
 * So a target keeps as many as were in use at once within that time, and no more: when the oldest of n idle
 * ones was put back, none of the others was idle, for it would lie below; nor was one opened since, for this
 * one would have been taken instead. All n were in use.
 */
#include "uds-upstream/priv.h"

/* The part of the worker's state that upstreams alone know. */
static struct {
	struct list targets;
	size_t open; /* of all targets */
	struct outage_names *names;
} here = { .targets = { &here.targets, &here.targets } };

size_t up_count(void)
{
	return here.open;
}

void up_share(struct outage_names *names)
{
	here.names = names;
}

/* ---- targets ---- */

static void expire(struct timer *timer);

static struct up_target *find(struct str name, const struct tls_client *tls)
{
	list_for_each(pos, &here.targets) {
		struct up_target *t = list_entry(pos, struct up_target, node);

		if (t->tls == tls && str_eq(str_from_c(t->name), name))
			return t;
	}
	return NULL;
}

static void moved(struct place *p);

static struct up_target *target_new(struct str name, const struct place_spec *at, struct tls_client *tls)
{
	struct up_target *t = base_zalloc(sizeof *t + name.n + 1);

	memcpy(t->name, name.p, name.n);
	t->tls = tls ? tls_client_get(tls) : NULL;
	list_init(&t->idle);
	list_init(&t->waiting);
	list_init(&t->resting);
	timer_init(&t->expiry, expire);
	timer_init(&t->tick, up_queue_tick);
	work_init(&t->serve, up_queue_serve);
	place_open(&t->place, at, moved);
	t->is_local = !at->name.n && at->addr.sa.sa_family == AF_UNIX;
	outage_init(&t->outage, t->name, here.names);
	list_push(&here.targets, &t->node);
	return t;
}

static void bury_target(struct grave *g)
{
	free(container_of(g, struct up_target, grave));
}

void up_target_free_if_unused(struct up_target *t)
{
	if (t->refs || t->nconns)
		return;
	BUG_ON(t->nopen || t->nidle);
	list_del(&t->node);
	if (t->tls)
		tls_client_put(t->tls);
	timer_stop(&t->expiry);
	timer_stop(&t->tick);
	work_cancel(&t->serve);
	place_close(&t->place);
	loop_bury(&t->grave, bury_target);
}

static struct up_conn *oldest_idle(struct up_target *t)
{
	return list_empty(&t->idle) ? NULL : list_entry(t->idle.prev, struct up_conn, node);
}

static void keep_at_most(struct up_target *t, uint64_t n)
{
	while (t->nidle > n)
		up_conn_close(oldest_idle(t));
}

struct up_target *up_target_get(struct str name, const struct place_spec *at, const struct up_limits *limits,
				struct tls_client *tls)
{
	struct up_target *t = find(name, tls);

	if (!t)
		t = target_new(name, at, tls);
	t->refs++;
	t->limits = *limits;
	keep_at_most(t, limits->idle_connections);
	return t;
}

void up_target_put(struct up_target *t)
{
	BUG_ON(t->refs == 0);
	if (t->refs == 1)
		keep_at_most(t, 0);
	if (--t->refs == 0)
		up_target_free_if_unused(t);
}

const char *up_target_name(const struct up_target *t)
{
	return t->name;
}

const struct up_stats *up_target_stats(const struct up_target *t)
{
	return &t->stats;
}

bool up_target_may_tell(struct up_target *t, enum err why, uint64_t *unsaid)
{
	*unsaid = 0;
	if (!outage_is_on(&t->outage) && why != ERR_UP_CERTIFICATE && why != ERR_UP_TLS)
		return true;
	return log_gate_pass(&t->lines, loop_now_ms(), UP_LINES_MAX, unsaid);
}

struct up_now up_target_now(const struct up_target *t)
{
	const struct outage *o = &t->outage;
	struct up_now now = {
		.in_use = t->nopen - t->nidle,
		.idle = t->nidle,
		.is_down = outage_is_on(o),
		.why = outage_is_on(o) ? o->why : ERR_OK,
		.since_ms = outage_is_on(o) ? o->since_ms : t->up_since_ms,
	};

	list_for_each (pos, &t->waiting)
		now.queued++;
	return now;
}

const struct up_target *up_target_next(const struct up_target *t)
{
	const struct list *node = t ? t->node.next : here.targets.next;

	return node == &here.targets ? NULL : list_entry(node, struct up_target, node);
}

void up_drain(void)
{
	list_for_each_safe(pos, next, &here.targets) {
		struct up_target *t = list_entry(pos, struct up_target, node);

		t->draining = true;
		keep_at_most(t, 0);
	}
}

/* ---- kept connections ---- */

/* One timer a target, for its oldest connection: putting one back seldom has to touch it. */
static void expire(struct timer *timer)
{
	struct up_target *t = container_of(timer, struct up_target, expiry);
	struct up_conn *c;

	while ((c = oldest_idle(t))) {
		uint64_t idle_ms = loop_now_ms() - c->idle_since_ms;

		if (idle_ms < t->limits.keepalive_ms) {
			timer_set(timer, t->limits.keepalive_ms - idle_ms);
			return;
		}
		up_conn_close(c);
	}
}

struct up_conn *up_pool_take(struct up_target *t)
{
	struct up_conn *c;

	if (list_empty(&t->idle))
		return NULL;
	c = list_entry(list_pop(&t->idle), struct up_conn, node);
	t->nidle--;
	up_conn_enter(c, UP_ATTACHED);
	return c;
}

/* Of a name, whose addresses change. */
static bool leads_elsewhere(const struct up_conn *c)
{
	return c->target->place.name && !addrs_have(c->target->place.addrs, c->address);
}

/* Exchanges that are under way go on where they are. */
static void moved(struct place *p)
{
	struct up_target *t = container_of(p, struct up_target, place);

	list_for_each_safe(pos, next, &t->idle) {
		struct up_conn *c = list_entry(pos, struct up_conn, node);

		if (leads_elsewhere(c))
			up_conn_close(c);
	}
}

void up_pool_keep(struct up_conn *c)
{
	struct up_target *t = c->target;

	if (!t->refs || t->draining || leads_elsewhere(c)) {
		up_conn_close(c);
		return;
	}
	up_conn_enter(c, UP_IDLE);
	c->idle_since_ms = loop_now_ms();
	list_push_front(&t->idle, &c->node);
	t->nidle++;
	if (!timer_is_set(&t->expiry))
		timer_set(&t->expiry, t->limits.keepalive_ms);
	keep_at_most(t, t->limits.idle_connections);
	up_queue_serve_later(t);
}

void up_pool_forget(struct up_conn *c)
{
	if (c->state != UP_IDLE)
		return;
	list_del(&c->node);
	c->target->nidle--;
}

/* ---- the bound ---- */

bool up_pool_admits(struct up_target *t, bool instead_of_idle)
{
	uint64_t max = MAX(t->limits.connections, (uint64_t)1);

	if (instead_of_idle && t->nopen >= max && t->nidle > 0)
		up_conn_close(oldest_idle(t));
	return t->nopen < max;
}

void up_pool_count(struct up_conn *c)
{
	BUG_ON(c->counted);
	c->counted = true;
	c->target->nopen++;
	here.open++;
}

void up_pool_uncount(struct up_conn *c)
{
	if (!c->counted)
		return;
	c->counted = false;
	c->target->nopen--;
	here.open--;
	up_queue_serve_later(c->target);
}
