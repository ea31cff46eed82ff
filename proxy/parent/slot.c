#include "proxy/parent/slot.h"
#include "proxy/parent/child.h"
#include "proxy/parent/issue.h"
#include "proxy/parent/logs.h"
#include "proxy/parent/lookup.h"
#include "proxy/parent/reload.h"
#include <sched.h>
#include <unistd.h>

enum {
	YOUNG_MS = 250, /* who dies younger is started again later, and later */
	DELAY_FIRST_MS = 20,
	DELAY_MAX_MS = 1000,
};

static const enum msg_role helper_roles[PARENT_HELPERS] = {
	[PARENT_RESOLVER] = MSG_RESOLVER,
	[PARENT_ACME] = MSG_ACME,
};

static bool is_helper(const struct parent_slot *s)
{
	return s->role & MSG_HELPERS;
}

/* ---- filling ---- */

/* What it is to do. While a reload is under way a new worker joins it: it would have to load that anyway. */
static void instruct(struct child *c, const struct parent_conf *conf)
{
	if (c->role & MSG_HELPERS)
		logs_send_error_log(c, conf);
	else
		child_load(c, conf);
	if (c->role == MSG_ACME)
		issue_load(c, conf);
}

static void fill(struct parent_slot *s)
{
	struct parent *p = s->parent;
	bool is_loading = p->reload.phase == RELOAD_LOADING && !is_helper(s);
	bool is_first = !p->current.generation; /* the resolver is needed before there is a current one */
	const struct parent_conf *conf = is_loading || is_first ? &p->reload.next : &p->current;

	s->child = child_spawn(p, s->role, s->index, conf);
	if (!s->child) {
		if (p->state == PARENT_STARTING && !is_helper(s))
			parent_give_up(p);
		else
			timer_set(&s->respawn, DELAY_MAX_MS);
		return;
	}
	s->child->slot = s;
	if (s->role == MSG_WORKER)
		issue_brief(s->child);
	if (s->role == MSG_WORKER || s->role == MSG_RESOLVER)
		lookup_brief(s->child);
	instruct(s->child, conf);
}

static void respawn(struct timer *t)
{
	fill(container_of(t, struct parent_slot, respawn));
}

static void init(struct parent_slot *s, struct parent *p, enum msg_role role, unsigned index)
{
	*s = (struct parent_slot){ .parent = p, .role = role, .index = index };
	timer_init(&s->respawn, respawn);
}

/* ---- emptying ---- */

/* It serves on until it has drained, but takes no part in anything any more. */
static void release(struct child *c)
{
	const struct config *conf = c->parent->current.conf;

	c->slot = NULL;
	child_drain(c, conf->global.timeouts.drain_tunnels_ms);
}

static void empty(struct parent_slot *s)
{
	timer_stop(&s->respawn);
	if (s->child)
		release(s->child);
	if (s->replaced)
		release(s->replaced);
	s->child = s->replaced = NULL;
}

/* ---- as the configuration asks ---- */

static bool is_as_wanted(const struct child *c)
{
	const struct parent *p = c->parent;
	const struct priv_user *user = c->role == MSG_ACME ? &p->current.acme_user : &p->current.user;

	return priv_equal(&c->user, user) && (c->fd_limit == p->fd_limit || c->role == MSG_RESOLVER);
}

/* One at a time: the next is replaced when this one serves. */
static void replace_next_worker(struct parent *p)
{
	for (unsigned i = 0; i < p->nslots; i++)
		if (p->slots[i].replaced)
			return;
	for (unsigned i = 0; i < p->nslots; i++) {
		struct parent_slot *s = &p->slots[i];

		if (!s->child || is_as_wanted(s->child))
			continue;
		s->replaced = s->child;
		fill(s);
		return;
	}
}

static unsigned workers_wanted(const struct parent *p)
{
	unsigned n = p->current.conf->global.workers;
	cpu_set_t cpus;

	if (n == 0 && sched_getaffinity(0, sizeof cpus, &cpus) == 0)
		n = (unsigned)CPU_COUNT(&cpus);
	if (n == 0)
		n = (unsigned)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);
	return MIN(n, (unsigned)PARENT_SLOTS_MAX);
}

static void settle_workers(struct parent *p)
{
	unsigned wanted = workers_wanted(p);

	while (p->nslots > wanted)
		empty(&p->slots[--p->nslots]);
	while (p->nslots < wanted && p->state != PARENT_STOPPING) {
		struct parent_slot *s = &p->slots[p->nslots];

		init(s, p, MSG_WORKER, p->nslots++);
		fill(s);
	}
	replace_next_worker(p);
}

static bool is_needed(const struct parent_slot *s)
{
	const struct parent *p = s->parent;

	if (s->role == MSG_RESOLVER)
		return lookup_is_needed(p);
	/* there is not to be a second one beside that of another parent either */
	return s->role == MSG_ACME && issue_is_needed(p) && !heir_is_waiting(&p->heir);
}

/* There is never a second one beside it: who is to be replaced leaves first, and its death fills the slot. */
static void settle_helper(struct parent_slot *s)
{
	bool needed = is_needed(s);

	if (s->child && (!needed || !is_as_wanted(s->child)))
		child_drain(s->child, 0);
	else if (s->child && !s->child->expected)
		instruct(s->child, &s->parent->current);
	else if (!needed)
		timer_stop(&s->respawn);
	else if (!s->child && !timer_is_set(&s->respawn))
		fill(s);
}

void slot_settle_resolver(struct parent *p)
{
	if (p->state != PARENT_STOPPING)
		settle_helper(&p->helpers[PARENT_RESOLVER]);
}

void slot_settle(struct parent *p)
{
	if (p->state != PARENT_STOPPING)
		for (size_t i = 0; i < PARENT_HELPERS; i++)
			settle_helper(&p->helpers[i]);
	settle_workers(p);
}

/* ---- what becomes of a child ---- */

bool slot_all_serve(const struct parent *p)
{
	for (unsigned i = 0; i < p->nslots; i++)
		if (!p->slots[i].child || p->slots[i].child->counts.generation != p->current.generation)
			return false;
	return true;
}

void slot_loaded(struct child *c)
{
	struct parent *p = c->parent;
	struct parent_slot *s = c->slot;

	if (c->loaded == p->current.generation) {
		child_commit(c, &p->current);
		if (s && s->child == c && s->replaced) {
			release(s->replaced);
			s->replaced = NULL;
			replace_next_worker(p);
		}
	} else if (c->loaded == p->reload.next.generation) {
		reload_go_on(p);
	}
}

void slot_died(struct child *c)
{
	struct parent_slot *s = c->slot;
	struct parent *p = s->parent;

	if (s->replaced == c) {
		s->replaced = NULL;
		return;
	}
	s->child = NULL;
	if (p->state == PARENT_STOPPING)
		return;
	if (is_helper(s) && !is_needed(s))
		return;
	if (p->state == PARENT_STARTING && !is_helper(s)) {
		log_error("a worker ended before it served: giving up");
		parent_give_up(p);
		return;
	}
	if (p->reload.phase == RELOAD_LOADING && !is_helper(s))
		reload_failed(p, "a worker died while it loaded the configuration\n");
	if (c->expected || loop_now_ms() - c->born_ms >= YOUNG_MS)
		s->delay_ms = 0;
	timer_set(&s->respawn, s->delay_ms);
	s->delay_ms = MIN(MAX(s->delay_ms * 2, (uint64_t)DELAY_FIRST_MS), (uint64_t)DELAY_MAX_MS);
}

/* ---- the whole ---- */

void slot_open(struct parent *p)
{
	p->slots = base_zalloc(PARENT_SLOTS_MAX * sizeof *p->slots);
	for (size_t i = 0; i < PARENT_HELPERS; i++)
		init(&p->helpers[i], p, helper_roles[i], 0);
}

void slot_close(struct parent *p)
{
	free(p->slots);
}

void slot_stop(struct parent *p)
{
	for (unsigned i = 0; i < p->nslots; i++)
		timer_stop(&p->slots[i].respawn);
	for (size_t i = 0; i < PARENT_HELPERS; i++)
		timer_stop(&p->helpers[i].respawn);
}
