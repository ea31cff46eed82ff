#include "proxy/parent/collect.h"
#include "proxy/parent/parent.h"
#include <unistd.h>

enum {
	DEADLINE_MS = 1000,
	ROWS_BYTES_MAX = 32 << 20, /* of one worker: ten thousand vhosts take two million */
};

static void free_picture(struct picture **p)
{
	if (*p) {
		picture_fini(*p);
		free(*p);
	}
	*p = NULL;
}

/* ---- the workers' part ---- */

/* A counter goes on where the one before ended; what was open then is open no more. */
static void add_counters(struct picture *to, const struct picture_row *row)
{
	struct picture_row counters = *row;
	const struct picture_kind_info *k = &picture_kinds[row->kind];
	bool any = false;

	for (size_t i = 0; i < k->nvalues; i++) {
		if (k->values[i].sort != PICTURE_COUNTER)
			counters.v[i] = 0;
		any |= counters.v[i] != 0;
	}
	if (any)
		picture_merge(picture_at(to, row->kind, row->text[0], row->text[1]), &counters);
}

/* What the configuration names is shown, certificates and sums always. */
static void add_row(struct picture *to, const struct picture_row *row)
{
	struct picture_row *known = picture_find(to, row->kind, row->text[0], row->text[1]);

	if (!known && (row->kind == PICTURE_CERTIFICATE || row->kind == PICTURE_TOTAL))
		known = picture_at(to, row->kind, row->text[0], row->text[1]);
	if (known)
		picture_merge(known, row);
}

static bool owes_answer(const struct child *c)
{
	return c->known.asked == c->parent->collect.id && c->known.answered != c->known.asked;
}

static void add_worker(struct picture *to, const struct child *c)
{
	const struct picture_row *said = c->known.rows ? picture_find(c->known.rows, PICTURE_WORKER, STR_NONE,
								      STR_NONE) : NULL;
	char name[64];
	struct picture_row *r;

	/* one that drains may have the same number as one that serves */
	snprintf(name, sizeof name, c->slot ? "worker %u" : "worker %u (%d)", c->index, (int)c->pid);
	r = picture_at(to, PICTURE_WORKER, str_from_c(name), STR_NONE);
	if (said)
		memcpy(r->v, said->v, sizeof r->v);
	r->v[PICTURE_WORKER_pid] = (uint64_t)c->pid;
	r->v[PICTURE_WORKER_age] = (loop_now_ms() - c->born_ms) / 1000;
	r->v[PICTURE_WORKER_silent] = owes_answer(c);
	for (size_t i = 0; c->known.rows && i < c->known.rows->n; i++)
		if (c->known.rows->rows[i].kind != PICTURE_WORKER)
			add_row(to, &c->known.rows->rows[i]);
}

/* ---- the parent's part ---- */

static void add_instance(const struct parent *p, struct picture *to)
{
	struct picture_row *r = picture_at(to, PICTURE_INSTANCE, STR(GATEHOUSE_VERSION),
					   str_from_c(p->options->path));

	r->v[PICTURE_INSTANCE_pid] = (uint64_t)getpid();
	r->v[PICTURE_INSTANCE_started] = (uint64_t)p->collect.started_s;
	r->v[PICTURE_INSTANCE_generation] = p->current.generation;
	r->v[PICTURE_INSTANCE_loading] = p->reload.phase != RELOAD_IDLE;
	r->v[PICTURE_INSTANCE_log_dropped] = log_dropped();
}

static void add_listener(const struct parent *p, struct picture *to, const struct conf_listener *l)
{
	struct picture_row *r = picture_at(to, PICTURE_LISTENER, l->name, STR_NONE);

	r->v[PICTURE_LISTENER_tls] = l->tls;
	r->v[PICTURE_LISTENER_vhosts] = l->nvhosts;
	for (size_t i = 0; i < p->current.nrows; i++)
		r->v[PICTURE_LISTENER_sockets] += p->current.rows[i].listener == l;
}

/* What there is to be said of, in the order of the configuration. */
static void add_configuration(const struct parent *p, struct picture *to)
{
	const struct config *c = p->current.conf;

	if (!c)
		return;
	for (size_t i = 0; i < c->nlisteners; i++)
		add_listener(p, to, c->listeners[i]);
	for (size_t i = 0; i < c->nvhosts; i++)
		picture_at(to, PICTURE_VHOST, c->vhosts[i]->name,
			   c->vhosts[i]->listener ? c->vhosts[i]->listener->name : STR_NONE);
	for (size_t i = 0; i < c->ntargets; i++)
		picture_at(to, PICTURE_TARGET, c->targets[i]->name, STR_NONE);
	for (size_t i = 0; i < c->nlogs; i++)
		picture_at(to, PICTURE_LOG, c->logs[i].path, STR_NONE);
}

static void make_picture(struct parent *p, struct picture *out)
{
	picture_init(out);
	add_instance(p, out);
	picture_at(out, PICTURE_TOTAL, STR_NONE, STR_NONE);
	add_configuration(p, out);
	for (size_t i = 0; i < p->collect.gone.n; i++)
		add_row(out, &p->collect.gone.rows[i]);
	list_for_each(n, &p->children) {
		struct child *c = list_entry(n, struct child, node);

		if (c->role == MSG_WORKER)
			add_worker(out, c);
	}
}

/* ---- asking ---- */

/* As PICTURE, to a worker that wants it. */
static void send_picture(struct child *c, const struct picture *picture)
{
	char *part = base_alloc(MSG_TEXT_MAX);
	size_t next = 0;

	while (next < picture->n) {
		size_t n = picture_fill(picture, &next, part, MSG_TEXT_MAX);
		struct msg_rows m = { c->known.look, next == picture->n };

		msg_send2(&c->channel, MSG_PICTURE, &m, sizeof m, str_of(part, n), -1);
	}
	free(part);
	c->known.look = 0;
}

static void finish(struct parent *p)
{
	struct picture picture;

	p->collect.is_running = false;
	timer_stop(&p->collect.deadline);
	make_picture(p, &picture);
	control_pictured(p, &picture);
	list_for_each(n, &p->children) {
		struct child *c = list_entry(n, struct child, node);

		if (c->known.look)
			send_picture(c, &picture);
	}
	picture_fini(&picture);
}

static void finish_if_complete(struct parent *p)
{
	if (!p->collect.is_running)
		return;
	list_for_each(n, &p->children) {
		if (owes_answer(list_entry(n, struct child, node)))
			return;
	}
	finish(p);
}

static void too_late(struct timer *t)
{
	finish(container_of(t, struct parent, collect.deadline));
}

void collect_start(struct parent *p)
{
	struct msg_rows m;

	if (p->collect.is_running)
		return;
	p->collect.is_running = true;
	m = (struct msg_rows){ ++p->collect.id, 1 };
	timer_set(&p->collect.deadline, DEADLINE_MS);
	list_for_each(n, &p->children) {
		struct child *c = list_entry(n, struct child, node);

		if (c->role != MSG_WORKER)
			continue;
		free_picture(&c->known.coming);
		c->known.asked = m.id;
		msg_send(&c->channel, MSG_SURVEY, &m, sizeof m, -1);
	}
	finish_if_complete(p);
}

bool parent_on_rows(struct msg_channel *channel, struct msg_in *m)
{
	struct child *c = container_of(channel, struct child, channel);
	struct collect_child *k = &c->known;
	const struct msg_rows *head = m->data;

	if (head->id != k->asked)
		return head->id && head->id < k->asked; /* too late */
	if (k->answered == head->id)
		return false;
	if (!k->coming) {
		k->coming = base_alloc(sizeof *k->coming);
		picture_init(k->coming);
		k->coming_bytes = 0;
	}
	k->coming_bytes += m->n;
	if (k->coming_bytes > ROWS_BYTES_MAX ||
	    !picture_take(k->coming, str_of((const char *)m->data + sizeof *head, m->n - sizeof *head)))
		return false;
	if (!head->is_last)
		return true;
	free_picture(&k->rows);
	k->rows = k->coming;
	k->coming = NULL;
	k->answered = head->id;
	finish_if_complete(c->parent);
	return true;
}

bool parent_on_look(struct msg_channel *channel, struct msg_in *m)
{
	struct child *c = container_of(channel, struct child, channel);
	const struct msg_rows *head = m->data;

	if (c->known.look || !head->id)
		return false; /* one at a time */
	c->known.look = head->id;
	collect_start(c->parent);
	return true;
}

/* ---- life and death ---- */

/* Names that no configuration had for long are not kept. */
static void prune(struct parent *p)
{
	struct picture named, kept;

	if (!p->current.conf || p->collect.gone.n < 1024 + 4 * p->current.conf->nvhosts)
		return;
	picture_init(&named);
	picture_init(&kept);
	add_configuration(p, &named);
	picture_at(&named, PICTURE_TOTAL, STR_NONE, STR_NONE);
	for (size_t i = 0; i < p->collect.gone.n; i++) {
		const struct picture_row *r = &p->collect.gone.rows[i];

		if (picture_find(&named, r->kind, r->text[0], r->text[1]))
			add_counters(&kept, r);
	}
	picture_fini(&named);
	picture_fini(&p->collect.gone);
	p->collect.gone = kept;
}

void collect_child_gone(struct child *c)
{
	struct collect_child *k = &c->known;

	for (size_t i = 0; k->rows && i < k->rows->n; i++)
		if (k->rows->rows[i].kind != PICTURE_WORKER)
			add_counters(&c->parent->collect.gone, &k->rows->rows[i]);
	free_picture(&k->rows);
	free_picture(&k->coming);
	prune(c->parent);
	finish_if_complete(c->parent);
}

void collect_init(struct parent *p)
{
	timer_init(&p->collect.deadline, too_late);
	picture_init(&p->collect.gone);
	p->collect.started_s = loop_wall_s();
}

void collect_close(struct parent *p)
{
	timer_stop(&p->collect.deadline);
	picture_fini(&p->collect.gone);
}
