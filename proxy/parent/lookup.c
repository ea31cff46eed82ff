#include "proxy/parent/lookup.h"
#include "proxy/parent/child.h"
#include "proxy/parent/reload.h"
#include "proxy/seek.h"
#include "proxy/parent/slot.h"

enum {
	HOLD_MS = 2000, /* so that the first request finds its upstream; a name may take longer than that */
	AGAIN_MS = 1000, /* a name is not asked for by workers more often */
};

struct name {
	struct list node; /* parent.lookup.names */
	bool is_wanted;
	bool is_known;    /* it has been looked up, in vain or not */
	bool is_failing;
	struct msg_name how;
	uint64_t asked_ms;
	struct msg_addresses last; /* good answer; n 0: there was none */
	struct str text;
	char bytes[];
};

static struct name *find(struct parent *p, struct str text)
{
	list_for_each(n, &p->lookup.names) {
		struct name *m = list_entry(n, struct name, node);

		if (str_eq(m->text, text))
			return m;
	}
	return NULL;
}

static struct child *resolver(const struct parent *p)
{
	struct child *c = p->helpers[PARENT_RESOLVER].child;

	return c && !c->expected ? c : NULL;
}

/* ---- which ---- */

static void ask(struct child *c, struct name *m)
{
	m->asked_ms = loop_now_ms();
	msg_send2(&c->channel, MSG_NAME, &m->how, sizeof m->how, m->text, -1);
}

static void want(struct parent *p, const struct config *conf, struct str text)
{
	const struct timeouts *t = &conf->global.timeouts;
	const struct msg_name how = { t->resolve_ms, t->resolve_interval_ms };
	struct name *m = find(p, text);
	bool is_new = !m;

	if (is_new) {
		m = base_zalloc(sizeof *m + text.n);
		memcpy(m->bytes, text.p, text.n);
		m->text = str_of(m->bytes, text.n);
		list_push(&p->lookup.names, &m->node);
	}
	m->is_wanted = true;
	if (!is_new && memcmp(&m->how, &how, sizeof how) == 0)
		return;
	m->how = how;
	if (resolver(p))
		ask(resolver(p), m);
}

static void want_target(struct parent *p, const struct config *conf, const struct conf_target *t)
{
	if (t && t->is_name)
		want(p, conf, t->address);
}

static void want_all(struct parent *p, const struct config *conf)
{
	if (!conf)
		return;
	for (size_t i = 0; i < conf->ntargets; i++)
		want_target(p, conf, conf->targets[i]);
	for (size_t i = 0; i < conf->nvhosts; i++)
		want_target(p, conf, conf->vhosts[i]->raw.onward);
}

static void forget(struct parent *p, struct name *m)
{
	if (resolver(p))
		msg_send(&resolver(p)->channel, MSG_NAME_GONE, m->text.p, m->text.n, -1);
	list_del(&m->node);
	free(m);
}

static bool all_known(const struct parent *p)
{
	list_for_each(n, &p->lookup.names)
		if (!list_entry(n, struct name, node)->is_known)
			return false;
	return true;
}

void lookup_settle(struct parent *p)
{
	struct lookup *l = &p->lookup;
	bool is_loading = p->reload.phase == RELOAD_LOADING;

	list_for_each(n, &l->names)
		list_entry(n, struct name, node)->is_wanted = false;
	want_all(p, p->current.conf);
	/* the last one counts where they differ in how long a look-up may take */
	if (is_loading)
		want_all(p, p->reload.next.conf);
	list_for_each_safe(n, next, &l->names)
		if (!list_entry(n, struct name, node)->is_wanted)
			forget(p, list_entry(n, struct name, node));
	timer_stop(&l->hold);
	if (is_loading && !all_known(p))
		timer_set(&l->hold, HOLD_MS);
	slot_settle_resolver(p);
}

bool lookup_is_ready(const struct parent *p)
{
	return !timer_is_set(&p->lookup.hold);
}

bool lookup_is_needed(const struct parent *p)
{
	return !list_empty(&p->lookup.names);
}

static void held_long_enough(struct timer *t)
{
	reload_go_on(container_of(t, struct parent, lookup.hold));
}

/* ---- their addresses ---- */

static void send_addresses(struct child *c, const struct name *m)
{
	msg_send2(&c->channel, MSG_ADDRESSES, &m->last, sizeof m->last, m->text, -1);
}

void lookup_brief(struct child *c)
{
	list_for_each(n, &c->parent->lookup.names) {
		struct name *m = list_entry(n, struct name, node);

		if (c->role == MSG_RESOLVER)
			ask(c, m);
		else if (m->last.n)
			send_addresses(c, m);
	}
}

static void failed(struct name *m, const struct msg_addresses *a)
{
	char text[SEEK_TEXT_BYTES];

	if (!m->is_failing)
		log_warn("upstream name %.*s does not resolve: %s; %s", STR_ARG(m->text), seek_text(a, text),
			 m->last.n ? "its last addresses go on being used"
				   : "until it does, requests get 503");
	m->is_failing = true;
}

/* Servers rotate their answers: the same addresses in another order are nothing new. */
static bool is_as_before(const struct msg_addresses *a, const struct msg_addresses *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++) {
		uint32_t k = 0;

		while (k < b->n && memcmp(&a->ips[i], &b->ips[k], sizeof a->ips[i]) != 0)
			k++;
		if (k == b->n)
			return false;
	}
	return true;
}

static void found(struct parent *p, struct name *m, const struct msg_addresses *a)
{
	bool was_failing = m->is_failing;
	char text[SEEK_TEXT_BYTES];

	m->is_failing = false;
	if (is_as_before(a, &m->last)) {
		if (was_failing)
			log_note("upstream name %.*s resolves again", STR_ARG(m->text));
		return;
	}
	m->last = *a;
	log_note("upstream name %.*s is %s", STR_ARG(m->text), seek_text(a, text));
	list_for_each(n, &p->children) {
		struct child *c = list_entry(n, struct child, node);

		if (c->role == MSG_WORKER)
			send_addresses(c, m);
	}
}

static bool makes_sense(const struct msg_addresses *a)
{
	if (a->n > ADDRS_MAX || (a->n == 0) != (a->error != 0))
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (!ip_is_valid(&a->ips[i]))
			return false;
	return true;
}

bool parent_on_found(struct msg_channel *channel, struct msg_in *m)
{
	struct parent *p = container_of(channel, struct child, channel)->parent;
	const struct msg_addresses *a = m->data;
	struct name *name = find(p, str_of((const char *)m->data + sizeof *a, m->n - sizeof *a));

	if (!makes_sense(a))
		return false;
	if (!name)
		return true; /* it is not wanted any more */
	name->is_known = true;
	if (a->n)
		found(p, name, a);
	else
		failed(name, a);
	if (timer_is_set(&p->lookup.hold) && all_known(p)) {
		timer_stop(&p->lookup.hold);
		reload_go_on(p);
	}
	return true;
}

bool parent_on_name_failed(struct msg_channel *channel, struct msg_in *m)
{
	struct parent *p = container_of(channel, struct child, channel)->parent;
	struct name *name = find(p, str_of(m->data, m->n));

	if (name && resolver(p) && loop_now_ms() - name->asked_ms >= AGAIN_MS)
		ask(resolver(p), name);
	return true;
}

/* ---- the whole ---- */

void lookup_open(struct parent *p)
{
	list_init(&p->lookup.names);
	timer_init(&p->lookup.hold, held_long_enough);
}

void lookup_close(struct parent *p)
{
	timer_stop(&p->lookup.hold);
	list_for_each_safe(n, next, &p->lookup.names)
		forget(p, list_entry(n, struct name, node));
}
