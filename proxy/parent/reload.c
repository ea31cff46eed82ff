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
#include "proxy/parent/reload.h"
#include "conf/diff.h"
#include "proxy/parent/child.h"
#include "proxy/parent/listen.h"
#include "proxy/parent/logs.h"
#include "proxy/parent/lookup.h"
#include "proxy/parent/slot.h"
#include <signal.h>
#include <unistd.h>

/* A trial or a worker that has not answered by then is stuck. */
enum { DEADLINE_MS = 120 * 1000 };

enum {
	RENEW_MS = 1000,               /* from one renewal to the next: certificates may come by the dozen */
	RENEW_REFUSED_MS = 60 * 1000,  /* when it could not be loaded */
};

/* Of what is told to who asked for a reload. */
enum { SAID_BYTES_MAX = 64 * 1024, CHANGES_MAX = 100 };

void reload_conf_fini(struct parent_conf *c)
{
	if (!c->generation)
		return;
	conf_put(c->conf);
	if (c->bundle >= 0)
		close(c->bundle);
	free(c->rows);
	priv_fini(&c->user);
	priv_fini(&c->acme_user);
	*c = (struct parent_conf){ 0 };
}

/* ---- telling who asked for it ---- */

void reload_note(struct parent *p, const char *text)
{
	struct reload *r = &p->reload;
	size_t n = strlen(text);

	if (r->phase == RELOAD_IDLE || n > SAID_BYTES_MAX - r->said_bytes)
		return;
	r->said = base_realloc(r->said, r->said_bytes + n + 1);
	memcpy(r->said + r->said_bytes, text, n + 1);
	r->said_bytes += n;
}

static void forget_said(struct reload *r)
{
	free(r->said);
	r->said = NULL;
	r->said_bytes = 0;
}

static void tell_end(struct parent *p, const char *changes)
{
	struct reload *r = &p->reload;

	control_reload_over(p, r->said, changes, r->is_dry);
	forget_said(r);
}

/* It can be served, but not all is well with it. */
static void tell_what_was_kept_quiet(struct parent *p)
{
	struct reload *r = &p->reload;
	char *said = r->said;

	r->said = NULL;
	r->said_bytes = 0;
	r->is_quiet = false;
	if (said)
		parent_tell_text(p, LOG_LEVEL_WARN, said);
	free(said);
}

/* Before the next configuration takes the current one's place. */
static void tell_changes(struct parent *p)
{
	struct conf_diff d;
	char *text = NULL;
	size_t n = 0;
	FILE *f;

	if (!p->current.generation) {
		forget_said(&p->reload);
		return;
	}
	if (p->reload.is_quiet)
		tell_what_was_kept_quiet(p);
	f = open_memstream(&text, &n);
	BUG_ON(!f);
	conf_diff(&d, p->current.conf, p->reload.next.conf);
	conf_diff_summary(&d, f);
	putc('\n', f);
	conf_diff_list(&d, CHANGES_MAX, f);
	conf_diff_fini(&d);
	BUG_ON(fclose(f) != 0);
	log_note("%s: %.*s",
		 p->reload.why == RELOAD_FILES	 ? "changed files" :
		 p->reload.why == RELOAD_RENEWAL ? "renewal" : "reload",
		 (int)strcspn(text, "\n"), text);
	tell_end(p, text);
	free(text);
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
	r->is_dry = r->is_quiet = false;
	reload_next(p);
}

void reload_next(struct parent *p)
{
	if (p->reload.again && p->state == PARENT_SERVING)
		reload_start(p);
	else if (p->current.certs != p->issue.certs)
		reload_renew(p);
	control_next(p);
	upgrade_go_on(p);
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
	tell_end(p, NULL);
	reload_conf_fini(&p->reload.next);
	lookup_settle(p);
	listen_close_unused(p);
	control_abort(p);
	finish(p);
}

/* What is wrong with it has been told. */
static void refuse(struct parent *p)
{
	if (p->state == PARENT_STARTING) {
		parent_give_up(p);
		return;
	}
	if (p->reload.is_dry) {
		reload_abort(p);
		return;
	}
	switch (p->reload.why) {
	case RELOAD_ASKED:
		log_error("the configuration was not reloaded: the one before goes on being served");
		break;
	case RELOAD_RENEWAL:
		p->reload.renew_ms = loop_now_ms() + RENEW_REFUSED_MS;
		log_error("new certificates are not served: the ones before go on being served");
		break;
	case RELOAD_FILES:
		if (!p->reload.is_quiet)
			log_error("changed files are not served: the ones before go on being served");
		watch_refused(p, !p->reload.is_quiet);
		break;
	}
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

static void say_user(struct parent *p, const char *key, struct str user, struct str group,
		     enum priv_found found, struct conf_report *r)
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
				"`%s` has no effect: only a parent started as root can change it", key);
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

/* Whom its processes are to run as. */
static void find_users(struct parent *p, struct conf_report *r)
{
	struct parent_conf *next = &p->reload.next;
	bool as_caller = p->options->as_caller;
	struct str user = STR_NONE, group = STR_NONE, acme = STR_NONE;
	enum priv_found found;

	if (next->conf) {
		user = next->conf->global.username;
		group = next->conf->global.groupname;
		acme = next->conf->global.acme_username;
	}
	found = priv_find(&next->user, user, group, as_caller);
	if (next->conf)
		say_user(p, "username", user, group, found, r);
	found = priv_find(&next->acme_user, acme.n ? acme : user, acme.n ? STR_NONE : group, as_caller);
	if (acme.n)
		say_user(p, "acme-username", acme, STR_NONE, found, r);
}

/* ---- where the next configuration comes from: each returns the bundle's descriptor, or -1 ---- */

static int bundle_asked(struct parent *p, struct conf_given *given, struct conf_report *r)
{
	const struct parent_options *o = p->options;
	struct config **conf = &p->reload.next.conf;

	given->more = o->more;
	return o->path ? conf_make_bundle(o->path, given, r, conf) :
			 conf_make_bundle_from(&o->source, 1, given, r, conf);
}

/* From what is served. */
static int bundle_renewal(struct parent *p, struct conf_given *given, struct conf_report *r)
{
	int fd = conf_bundle_again(p->current.bundle, p->current.conf, CONF_FOR_WORKERS, given);

	if (fd < 0)
		conf_report_add(r, CONF_ERROR, (struct conf_pos){ 0 }, NULL, "cannot make the bundle: %s",
				strerror(errno));
	else
		p->reload.next.conf = conf_from_bundle(fd, r);
	return fd;
}

/* The same, with the files that it names as they are now. */
static int bundle_files(struct parent *p, struct conf_given *given, struct conf_report *r)
{
	struct conf_source *sources;
	struct conf_bundle b;
	size_t n = 0;
	int fd;

	if (!conf_bundle_map(&b, p->current.bundle))
		return -1;
	sources = base_zalloc((b.n + 1) * sizeof *sources);
	for (size_t i = 0; i < b.n; i++)
		if (b.records[i].kind == CONF_RECORD_SOURCE)
			sources[n++] = (struct conf_source){ b.records[i].path, b.records[i].bytes };
	fd = conf_make_bundle_from(sources, n, given, r, &p->reload.next.conf);
	free(sources);
	conf_bundle_unmap(&b);
	return fd;
}

/* False: there is nothing that could be tried. */
static bool read_next(struct parent *p, enum reload_why why, struct conf_report *r)
{
	static int (*const bundle[])(struct parent *p, struct conf_given *given, struct conf_report *r) = {
		[RELOAD_ASKED] = bundle_asked,
		[RELOAD_RENEWAL] = bundle_renewal,
		[RELOAD_FILES] = bundle_files,
	};
	struct parent_conf *next = &p->reload.next;
	struct conf_given given = { .nkept = 0 };
	struct conf_record *kept = store_kept(&p->store, &given.nkept);

	given.kept = kept;
	*next = (struct parent_conf){ .certs = p->issue.certs };
	next->bundle = bundle[why](p, &given, r);
	free(kept);
	if (next->bundle < 0)
		return false;
	next->generation = ++p->generations;
	find_users(p, r);
	return true;
}

/* Also of a configuration that has errors: the trial finds all of them, so that they are told together. */
static void begin(struct parent *p, enum reload_why why)
{
	struct reload *l = &p->reload;
	struct conf_report r;
	bool is_there;

	conf_report_init(&r);
	l->phase = RELOAD_TRIAL;
	l->why = why;
	if (why == RELOAD_ASKED)
		control_reload_begins(p, l->is_dry);
	timer_init(&l->deadline, too_late);
	timer_set(&l->deadline, DEADLINE_MS);
	is_there = read_next(p, why, &r);
	l->is_refused = r.counts[CONF_ERROR] > 0;
	if (why != RELOAD_RENEWAL || l->is_refused) /* warnings have been told before */
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

/* Of two parents, who is the one to reload? */
static bool waits_for_upgrade(const struct parent *p)
{
	return upgrade_is_under_way(&p->upgrade) ||
	       (p->state == PARENT_SERVING && heir_is_waiting(&p->heir));
}

void reload_start(struct parent *p)
{
	struct reload *l = &p->reload;

	if (l->phase != RELOAD_IDLE || waits_for_upgrade(p)) {
		l->again = true;
		return;
	}
	l->again = false;
	if (p->state == PARENT_SERVING)
		notify_reloading(&p->notify);
	begin(p, RELOAD_ASKED);
}

bool reload_is_possible(const struct parent *p)
{
	return p->state == PARENT_SERVING && p->reload.phase == RELOAD_IDLE && !waits_for_upgrade(p);
}

void reload_files(struct parent *p, bool quiet)
{
	BUG_ON(!reload_is_possible(p));
	p->reload.is_quiet = quiet;
	begin(p, RELOAD_FILES);
}

static void renew(struct timer *t)
{
	reload_renew(container_of(t, struct parent, reload.renew_timer));
}

void reload_renew(struct parent *p)
{
	struct reload *l = &p->reload;
	uint64_t now_ms = loop_now_ms();

	/* otherwise it is asked for again when that is over */
	if (l->phase != RELOAD_IDLE || p->state != PARENT_SERVING || p->current.certs == p->issue.certs ||
	    waits_for_upgrade(p))
		return;
	if (now_ms < l->renew_ms) {
		if (!timer_is_set(&l->renew_timer)) {
			timer_init(&l->renew_timer, renew);
			timer_set(&l->renew_timer, l->renew_ms - now_ms);
		}
		return;
	}
	l->renew_ms = now_ms + RENEW_MS;
	begin(p, RELOAD_RENEWAL);
}

void reload_close(struct parent *p)
{
	timer_stop(&p->reload.renew_timer);
	reload_conf_fini(&p->current);
}

void reload_try(struct parent *p)
{
	BUG_ON(p->reload.phase != RELOAD_IDLE);
	p->reload.is_dry = true;
	begin(p, RELOAD_ASKED);
}

static bool takes_part(const struct child *c)
{
	return c->role == MSG_WORKER && c->slot;
}

static void commit(struct parent *p)
{
	struct parent_conf before = p->current;

	tell_changes(p);
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
	control_settle(p);
	watch_settle(p);
	p->reload.phase = RELOAD_IDLE;
	parent_settle(p);
	lookup_settle(p);
	slot_settle(p);
	finish(p);
}

void reload_go_on(struct parent *p)
{
	if (p->reload.phase != RELOAD_LOADING)
		return;
	list_for_each(n, &p->children) {
		struct child *c = list_entry(n, struct child, node);

		if (takes_part(c) && c->loaded != p->reload.next.generation)
			return;
	}
	if (lookup_is_ready(p)) /* otherwise this is called again */
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
	} else if (l->is_dry) {
		tell_changes(p);
		reload_abort(p);
	} else if (!store_open(&p->store, l->next.conf, &r) || !listen_open(p, &l->next, &r) ||
		   !logs_open(p, l->next.conf, &r) || !control_open(p, l->next.conf, &r)) {
		parent_tell(p, &r);
		refuse(p);
	} else {
		parent_tell(p, &r);
		l->phase = RELOAD_LOADING;
		lookup_settle(p);
		list_for_each(n, &p->children)
			if (takes_part(list_entry(n, struct child, node)))
				child_load(list_entry(n, struct child, node), &l->next);
		/* at the first start there is none yet, and they load what has been committed */
		reload_go_on(p);
	}
	conf_report_fini(&r);
}
