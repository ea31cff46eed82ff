/*
 * reason.c - why the socket of a target that is down cannot be connected to, as `gatehouse check` says it.
 *
 * A worker sees no files, and the parent would not see what a worker is denied: so a process with that
 * worker's user and groups looks, says it, and is gone.
 */
#include "proxy/explain.h"
#include "proxy/map.h"
#include "proxy/parent/parent.h"
#include <unistd.h>

enum {
	APART_MS = 5000, /* what several workers find out is said once */
	SAID_MAX = 20,   /* in LOG_GATE_MS, of all targets */
};

static const struct conf_target *named(const struct conf_target *t, struct str name)
{
	return t && t->is_unix && str_eq(t->name, name) ? t : NULL;
}

static const struct conf_target *find(const struct config *conf, struct str name)
{
	const struct conf_target *t = NULL;

	for (size_t i = 0; i < conf->ntargets && !t; i++)
		t = named(conf->targets[i], name);
	for (size_t i = 0; i < conf->nvhosts && !t; i++)
		t = named(conf->vhosts[i]->raw.onward, name);
	return t;
}

static bool is_new(struct reasons *r, struct str name)
{
	uint64_t hash = map_hash(name), now_ms = loop_now_ms(), unsaid;

	for (size_t i = 0; i < ARRAY_SIZE(r->last); i++)
		if (r->last[i].hash == hash && now_ms - r->last[i].ms < APART_MS)
			return false;
	r->last[r->next].hash = hash;
	r->last[r->next].ms = now_ms;
	r->next = (r->next + 1) % ARRAY_SIZE(r->last);
	return log_gate_pass(&r->gate, now_ms, SAID_MAX, &unsaid);
}

NORETURN static void say(const struct priv_user *user, const struct conf_target *t, int sys_errno)
{
	char path[PATH_MAX], text[EXPLAIN_BYTES];

	if (priv_become(user))
		_exit(EXIT_FAILURE);
	snprintf(path, sizeof path, "%.*s", STR_ARG(t->address));
	log_warn("upstream %.*s: %s", STR_ARG(t->name), explain_unix(path, sys_errno, text));
	_exit(EXIT_SUCCESS);
}

bool parent_on_outage(struct msg_channel *channel, struct msg_in *m)
{
	const struct child *c = container_of(channel, struct child, channel);
	struct parent *p = c->parent;
	const struct msg_outage *o = m->data;
	struct str name = str_of((const char *)m->data + sizeof *o, m->n - sizeof *o);
	const struct conf_target *t = p->current.conf ? find(p->current.conf, name) : NULL;
	pid_t pid;

	if (!t || !is_new(&p->reasons, name))
		return true;
	pid = fork();
	if (pid == 0)
		say(&c->user, t, o->sys_errno);
	if (pid < 0)
		log_error("cannot find out why %.*s is down: %s", STR_ARG(name), strerror(errno));
	return true;
}
