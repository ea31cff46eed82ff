/*
 * From the configuration on disk to the one that is served; the first start goes the same way.
 *
 *	IDLE     read all files into a bundle             none there: told
 *	TRIAL    a trial process loads it, and is ended   wrong: told, all of it
 *	         open its sockets and logs                wrong: told, closed again
 *	LOADING  every worker loads it                    wrong in one: ABORT to all
 *	IDLE     COMMIT to all; what is not named any more is closed
 *
 * Until COMMIT nothing that is served has changed.
 */
#include "proxy/reload.h"
#include "proxy/child.h"
#include "proxy/listen.h"
#include "proxy/logs.h"
#include "proxy/slot.h"
#include <signal.h>
#include <unistd.h>

/* A trial or a worker that has not answered by then is stuck. */
enum { DEADLINE_MS = 120 * 1000 };

void reload_conf_fini(struct parent_conf *c)
{
	if (!c->generation)
		return;
	conf_put(c->conf);
	if (c->bundle >= 0)
		close(c->bundle);
	free(c->rows);
	priv_fini(&c->user);
	*c = (struct parent_conf){ 0 };
}

/* ---- ending it ---- */

static void finish(struct parent *p)
{
	struct reload *r = &p->reload;

	timer_stop(&r->deadline);
	if (r->trial) {
		r->trial->expected = true;
		child_kill(r->trial);
		r->trial = NULL;
	}
	r->phase = RELOAD_IDLE;
	if (r->again && p->state == PARENT_SERVING)
		reload_start(p);
}

/* Workers forget it; one that had not come to serve the current one when it began, loads that again. */
static void take_back(struct parent *p)
{
	struct msg_generation m = { p->reload.next.generation };

	list_for_each(n, &p->children) {
		struct child *c = list_entry(n, struct child, node);

		if (c->role != MSG_WORKER || (c->loading != m.generation && c->loaded != m.generation))
			continue;
		msg_send(&c->channel, MSG_ABORT, &m, sizeof m, -1);
		c->loading = 0;
		c->loaded = c->committed;
		if (c->committed != p->current.generation)
			child_load(c, &p->current);
	}
}

void reload_abort(struct parent *p)
{
	if (p->reload.phase == RELOAD_IDLE)
		return;
	if (p->reload.phase == RELOAD_LOADING)
		take_back(p);
	reload_conf_fini(&p->reload.next);
	listen_close_unused(p);
	finish(p);
}

/* What is wrong with it has been told. */
static void refuse(struct parent *p)
{
	if (p->state == PARENT_STARTING) {
		parent_give_up(p);
		return;
	}
	log_error("the configuration was not reloaded: the one before goes on being served");
	reload_abort(p);
	if (p->reload.phase == RELOAD_IDLE)
		parent_tell_ready(p);
}

void reload_failed(struct parent *p, const char *text)
{
	if (p->reload.phase == RELOAD_IDLE || p->state == PARENT_STOPPING)
		return;
	parent_tell_text(p, LOG_LEVEL_ERROR, text);
	refuse(p);
}

static void too_late(struct timer *t)
{
	reload_failed(container_of(t, struct parent, reload.deadline), "it was not loaded in time\n");
}

/* ---- its steps ---- */

static void say_user(struct parent *p, struct str user, struct str group, enum priv_found found,
		     struct conf_report *r)
{
	const struct conf_pos nowhere = { 0 };

	switch (found) {
	case PRIV_OK:
		break;
	case PRIV_NOBODY:
		if (p->state != PARENT_STARTING)
			break;
		conf_report_add(r, CONF_WARNING, nowhere,
				"make a user \"gatehouse\", or name one with `username`",
				"workers run as \"nobody\"");
		break;
	case PRIV_IGNORED:
		conf_report_add(r, CONF_WARNING, nowhere, NULL,
				"`username` has no effect: only a parent started as root can change it");
		break;
	case PRIV_NO_USER:
		conf_report_add(r, CONF_ERROR, nowhere, NULL, "there is no user \"%.*s\"",
				STR_ARG(user.n ? user : STR("nobody")));
		break;
	case PRIV_NO_GROUP:
		conf_report_add(r, CONF_ERROR, nowhere, NULL, "there is no group \"%.*s\"",
				STR_ARG(group));
		break;
	}
}

/* False: there is nothing that could be tried. */
static bool read_configuration(struct parent *p, struct conf_report *r)
{
	const struct parent_options *o = p->options;
	struct parent_conf *next = &p->reload.next;
	struct str user = STR_NONE, group = STR_NONE;
	enum priv_found found;

	*next = (struct parent_conf){ 0 };
	next->bundle = o->path ? conf_make_bundle(o->path, NULL, r, &next->conf) :
				 conf_make_bundle_from(&o->source, 1, NULL, r, &next->conf);
	if (next->bundle < 0)
		return false;
	next->generation = ++p->generations;
	if (next->conf) {
		user = next->conf->global.username;
		group = next->conf->global.groupname;
	}
	found = priv_find(&next->user, user, group, o->as_caller);
	if (next->conf)
		say_user(p, user, group, found, r);
	return true;
}

/* Also of a configuration that has errors: the trial finds all of them, so that they are told together. */
void reload_start(struct parent *p)
{
	struct reload *l = &p->reload;
	struct conf_report r;
	bool is_there;

	if (l->phase != RELOAD_IDLE) {
		l->again = true;
		return;
	}
	l->again = false;
	if (p->state == PARENT_SERVING)
		notify_reloading(&p->notify);
	conf_report_init(&r);
	l->phase = RELOAD_TRIAL;
	timer_init(&l->deadline, too_late);
	timer_set(&l->deadline, DEADLINE_MS);
	is_there = read_configuration(p, &r);
	l->is_refused = r.counts[CONF_ERROR] > 0;
	parent_tell(p, &r);
	conf_report_fini(&r);
	if (!is_there) {
		refuse(p);
		return;
	}
	l->trial = child_spawn(p, MSG_TRIAL, 0, &l->next);
	if (l->trial)
		child_load(l->trial, &l->next);
	else
		reload_failed(p, "there is no process to try the configuration\n");
}

static bool takes_part(const struct child *c)
{
	return c->role == MSG_WORKER && c->slot;
}

static void commit(struct parent *p)
{
	struct parent_conf before = p->current;

	list_for_each(n, &p->children) {
		struct child *c = list_entry(n, struct child, node);

		if (takes_part(c))
			child_commit(c, &p->reload.next);
	}
	p->current = p->reload.next;
	p->reload.next = (struct parent_conf){ 0 };
	reload_conf_fini(&before);
	listen_close_unused(p);
	listen_settle(p);
	logs_settle(p);
	p->reload.phase = RELOAD_IDLE;
	parent_settle(p);
	slot_settle(p);
	finish(p);
}

void reload_worker_ready(struct parent *p)
{
	list_for_each(n, &p->children) {
		struct child *c = list_entry(n, struct child, node);

		if (takes_part(c) && c->loaded != p->reload.next.generation)
			return;
	}
	commit(p);
}

void reload_trial_ready(struct parent *p)
{
	struct reload *l = &p->reload;
	struct conf_report r;

	conf_report_init(&r);
	l->trial->expected = true;
	child_kill(l->trial);
	l->trial = NULL;
	if (l->is_refused || !l->next.conf) {
		refuse(p);
	} else if (!listen_open(p, &l->next, &r) || !logs_open(p, l->next.conf, &r)) {
		parent_tell(p, &r);
		refuse(p);
	} else {
		l->phase = RELOAD_LOADING;
		list_for_each(n, &p->children)
			if (takes_part(list_entry(n, struct child, node)))
				child_load(list_entry(n, struct child, node), &l->next);
		/* at the first start there is none yet, and they load what has been committed */
		reload_worker_ready(p);
	}
	conf_report_fini(&r);
}
