#include "proxy/worker/worker.h"
#include "conf/bundle.h"
#include "core/log.h"
#include "core/names.h"
#include "core/outage.h"
#include "core/stream.h"
#include "proxy/worker/accept.h"
#include "proxy/born.h"
#include "proxy/explain.h"
#include "proxy/worker/look.h"
#include "proxy/worker/raw.h"
#include "proxy/worker/route.h"
#include "proxy/source.h"
#include "proxy/worker/token.h"
#include "proxy/worker/survey.h"
#include "tls/tls.h"
#include "uds-upstream/up.h"
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

enum {
	BUILD_US = 3000,     /* of one turn, for a new configuration */
	LEAVE_MS = 1000,     /* after the cut, for the last bytes and closes */
	BUSY = 256,          /* connections and exchanges that leave memory worth giving back */
	FREED = 256,         /* slabs and blocks that are, too */
};

struct worker {
	struct msg_channel parent;
	struct count *count;
	struct accept accept;
	struct loop_hook hook;

	/* a configuration that is loaded, or being built, and not yet served */
	struct conf_unpacking *unpacking; /* then: */
	struct site *next;
	struct conf_report next_report;
	uint64_t next_generation;
	struct work build;

	size_t busiest;      /* connections and exchanges at once, since memory was last given back */
	int statm;           /* /proc/self/statm */
	bool leaving;
	struct timer cut;    /* the time for what is in progress is over */
	struct timer leave;  /* so is the time for everything */
};

static struct worker *worker_of(struct msg_channel *c)
{
	return container_of(c, struct worker, parent);
}

/* ---- loading ---- */

static void forget_next(struct worker *w)
{
	work_cancel(&w->build);
	accept_abort(&w->accept, w->next_generation);
	if (w->unpacking)
		conf_put(conf_unpack_close(w->unpacking));
	if (w->next)
		site_put(w->next);
	if (w->next_generation)
		conf_report_fini(&w->next_report);
	w->unpacking = NULL;
	w->next = NULL;
	w->next_generation = 0;
}

static void refuse(struct worker *w)
{
	born_failed(&w->parent, w->next_generation, &w->next_report);
	forget_next(w);
}

static void unpack(struct worker *w)
{
	struct conf_unpacking *u = w->unpacking;
	struct config *conf;

	if (!conf_unpack_step(u, BUILD_US))
		return;
	w->unpacking = NULL;
	conf = conf_unpack_close(u);
	if (conf) {
		conf->generation = w->next_generation;
		w->next = site_open(conf);
	} else {
		refuse(w);
	}
}

/* A few milliseconds a turn: clients are served meanwhile. */
static void build(struct work *work)
{
	struct worker *w = container_of(work, struct worker, build);
	struct msg_generation m = { w->next_generation };
	int r = 0;

	if (w->unpacking)
		unpack(w);
	else
		r = site_build(w->next, BUILD_US, &w->next_report);
	if (r == 0 && w->next_generation)
		loop_post_next(&w->build);
	else if (r > 0)
		msg_send(&w->parent, MSG_READY, &m, sizeof m, -1);
	else if (r < 0)
		refuse(w);
}

bool worker_on_load(struct msg_channel *c, struct msg_in *m)
{
	struct worker *w = worker_of(c);
	const struct msg_generation *g = m->data;

	if (!w->count || w->leaving || !g->generation)
		return w->leaving;
	forget_next(w);
	conf_report_init(&w->next_report);
	w->next_generation = g->generation;
	w->unpacking = conf_unpack_open(m->fd, &w->next_report);
	if (w->unpacking)
		loop_post_next(&w->build);
	else
		refuse(w);
	return true;
}

bool worker_on_commit(struct msg_channel *c, struct msg_in *m)
{
	struct worker *w = worker_of(c);
	const struct msg_generation *g = m->data;
	struct site *s = w->next;

	if (!s || g->generation != w->next_generation || work_is_posted(&w->build))
		return w->leaving;
	w->next = NULL;
	w->next_generation = 0;
	conf_report_fini(&w->next_report);
	slab_set_budget(site_config(s)->global.limits.memory_bytes);
	accept_commit(&w->accept, g->generation, s);
	names_sweep();
	return true;
}

bool worker_on_abort(struct msg_channel *c, struct msg_in *m)
{
	struct worker *w = worker_of(c);
	const struct msg_generation *g = m->data;

	if (g->generation == w->next_generation)
		forget_next(w);
	return true;
}

/* ---- what comes with it ---- */

bool worker_on_hello(struct msg_channel *c, struct msg_in *m)
{
	struct worker *w = worker_of(c);
	const struct msg_hello *hello = m->data;
	char role[32];

	if (w->count || hello->log_level > LOG_LEVEL_DEBUG)
		return false;
	snprintf(role, sizeof role, "worker %u", hello->index);
	log_open(STDERR_FILENO, (enum log_level)hello->log_level, role);
	w->count = count_open(m->fd, hello->column);
	if (!w->count)
		return false;
	accept_init(&w->accept, w->count);
	look_init(&w->parent);
	up_share(count_names(w->count));
	raw_share(count_names(w->count));
	source_ask(&w->parent);
	return true;
}

bool worker_on_listener(struct msg_channel *c, struct msg_in *m)
{
	struct worker *w = worker_of(c);
	const struct msg_listener *l = m->data;

	return w->leaving || (w->count && accept_add_socket(&w->accept, l->id, msg_take_fd(m)));
}

bool worker_on_listener_gone(struct msg_channel *c, struct msg_in *m)
{
	const struct msg_listener *l = m->data;

	/* a worker that drains has none left */
	return worker_of(c)->leaving || accept_remove_socket(&worker_of(c)->accept, l->id);
}

bool worker_on_address(struct msg_channel *c, struct msg_in *m)
{
	struct worker *w = worker_of(c);
	const struct msg_address *a = m->data;
	struct str name = str_of((const char *)m->data + sizeof *a, m->n - sizeof *a);

	return w->leaving || (w->count && accept_add_row(&w->accept, a, name));
}

bool worker_on_tickets(struct msg_channel *c, struct msg_in *m)
{
	(void)c;
	if (m->n % sizeof(struct tls_ticket_key))
		return false;
	tls_set_tickets(m->data, m->n / sizeof(struct tls_ticket_key));
	return true;
}

bool worker_on_addresses(struct msg_channel *c, struct msg_in *m)
{
	const struct msg_addresses *a = m->data;
	struct str name = str_of((const char *)m->data + sizeof *a, m->n - sizeof *a);

	(void)c;
	if (a->n > ADDRS_MAX)
		return false;
	names_set(name, a->ips, a->n);
	return true;
}

/* What is in the way can only be seen by who may look. */
static void outage_began(void *owner, const struct outage *o)
{
	struct worker *w = owner;
	struct msg_outage m = { o->sys_errno };
	struct str name = str_from_c(o->name);

	if ((o->sys_errno == ENOENT || explain_is_fault(o->sys_errno)) && name.n <= MSG_PATH_MAX)
		msg_send2(&w->parent, MSG_OUTAGE, &m, sizeof m, name, -1);
}

static void name_failed(void *owner, struct str name)
{
	struct worker *w = owner;

	msg_send(&w->parent, MSG_NAME_FAILED, name.p, name.n, -1);
}

bool worker_on_logfile(struct msg_channel *c, struct msg_in *m)
{
	struct worker *w = worker_of(c);
	const struct msg_logfile *l = m->data;
	struct site *s = w->next_generation == l->generation ? w->next : site_current();

	if (l->index == MSG_LOG_ERROR)
		return born_set_error_log(m->fd);
	if (!s || l->index >= site_config(s)->nlogs)
		return w->leaving;
	site_set_log(s, l->index, msg_take_fd(m));
	return true;
}

bool worker_on_source(struct msg_channel *c, struct msg_in *m)
{
	const struct msg_source *s = m->data;

	(void)c;
	return source_answered(s->id, msg_take_fd(m));
}

bool worker_on_source_failed(struct msg_channel *c, struct msg_in *m)
{
	const struct msg_source *s = m->data;

	(void)c;
	return s->error > 0 && source_answered(s->id, -s->error);
}

bool worker_on_token(struct msg_channel *c, struct msg_in *m)
{
	const struct msg_challenge *t = m->data;
	struct msg_challenge_id have = { t->id };

	if (!token_add(t->id, t->kind, str_of((const char *)m->data + sizeof *t, m->n - sizeof *t)))
		return false;
	msg_send(c, MSG_TOKEN_HAVE, &have, sizeof have, -1);
	return true;
}

bool worker_on_token_gone(struct msg_channel *c, struct msg_in *m)
{
	const struct msg_challenge_id *gone = m->data;

	(void)c;
	token_drop(gone->id);
	return true;
}

static size_t business(const struct worker *w)
{
	return w->accept.nconns + x_count();
}

/* After a rush: what the allocators keep for the next one goes back to the system. */
static void give_memory_back(struct worker *w)
{
	bool is_over = w->busiest >= BUSY && business(w) <= w->busiest / 4;

	if (arena_settle() + slab_settle() < FREED && !is_over)
		return;
	if (is_over) {
		w->busiest = business(w);
		arena_drop_spares();
		slab_drop_spares();
	}
	malloc_trim(0);
}

/* The parent asks every few seconds. */
bool worker_on_status(struct msg_channel *c, struct msg_in *m)
{
	struct worker *w = worker_of(c);
	struct msg_counts counts = {
		.generation = w->accept.generation,
		.connections = w->accept.nconns,
		.exchanges = x_count(),
		.streams = stream_count(),
		.upstreams = up_count(),
		.slabs = slab_count(),
		.tunnels = x_tunnel_count(),
		.relays = raw_count(),
		.accepted = w->accept.taken,
		.log_dropped = log_dropped(),
	};

	(void)m;
	give_memory_back(w);
	msg_send(c, MSG_COUNTS, &counts, sizeof counts, -1);
	return true;
}

bool worker_on_survey(struct msg_channel *c, struct msg_in *m)
{
	struct worker *w = worker_of(c);
	const struct msg_rows *question = m->data;
	const struct survey_facts facts = {
		.generation = w->accept.generation,
		.connections = w->accept.nconns,
		.accepted = w->accept.taken,
		.is_draining = w->leaving,
		.statm = w->statm,
	};

	survey_send(c, question->id, &facts);
	return true;
}

bool worker_on_picture(struct msg_channel *c, struct msg_in *m)
{
	const struct msg_rows *head = m->data;

	(void)c;
	return look_take(head, str_of((const char *)m->data + sizeof *head, m->n - sizeof *head));
}

/* ---- leaving ---- */

static bool is_idle(const struct worker *w)
{
	return w->accept.nconns == 0 && x_count() == 0 && stream_count() == 0;
}

/* Upstream connections come back to their pool as the last exchanges end. */
static void at_turn_end(struct loop_hook *h)
{
	struct worker *w = container_of(h, struct worker, hook);

	w->busiest = MAX(w->busiest, business(w));
	if (!w->leaving)
		return;
	if (w->accept.nconns == 0 && x_count() == 0)
		up_drain();
	if (is_idle(w))
		loop_stop();
}

static void give_up(struct timer *t)
{
	(void)t;
	loop_stop();
}

static void cut(struct timer *t)
{
	struct worker *w = container_of(t, struct worker, cut);

	if (w->accept.nconns)
		log_note("%zu connections are cut (timeouts.drain)", w->accept.nconns);
	accept_cut(&w->accept);
	up_drain();
	timer_set(&w->leave, LEAVE_MS);
}

/* The second time it may only be sooner. */
static void leave(struct worker *w, uint64_t after_ms)
{
	if (!w->leaving) {
		w->leaving = true;
		forget_next(w);
		accept_drain(&w->accept);
		up_drain();
	}
	if (!timer_is_set(&w->cut) || loop_now_ms() + after_ms < w->cut.due_ms)
		timer_set(&w->cut, after_ms);
}

bool worker_on_drain(struct msg_channel *c, struct msg_in *m)
{
	const struct msg_drain *d = m->data;

	if (!worker_of(c)->count)
		return false;
	leave(worker_of(c), d->after_ms);
	return true;
}

/* Without a parent there are no new configurations, and no other workers: finish and go. */
static void parent_ended(struct msg_channel *c, const char *why)
{
	struct worker *w = worker_of(c);

	if (why)
		log_error("the parent is not understood: %s", why);
	if (w->leaving)
		return;
	if (!w->count) {
		loop_stop();
		return;
	}
	log_warn("the parent is gone: finishing");
	leave(w, site_current() ? site_config(site_current())->global.timeouts.drain_ms : 0);
}

/* ---- the whole ---- */

/* Everything given back, so that a leak shows; but only what is idle can be. */
static int end(struct worker *w)
{
	site_swap(NULL);
	site_finish();
	up_drain();
	loop_turn(0);
	log_note("exit: live exchanges=%zu streams=%zu slabs=%zu", x_count(), stream_count(), slab_count());
	if (!is_idle(w))
		return EXIT_SUCCESS;
	timer_stop(&w->cut);
	timer_stop(&w->leave);
	look_fini();
	loop_hook_del(&w->hook);
	msg_close(&w->parent);
	if (w->count) {
		accept_fini(&w->accept);
		count_free(w->count);
	}
	token_fini();
	tls_fini();
	loop_close();
	arena_drop_spares();
	slab_drop_spares();
	return EXIT_SUCCESS;
}

int worker_run(void)
{
	struct worker w = { .statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC) };

	if (!born_begin(&w.parent, MSG_WORKER, &handlers_worker, parent_ended))
		return EXIT_FAILURE;
	/* what is freed is joined at once: else all that a large configuration leaves, in one turn */
	mallopt(M_MXFAST, 0);
	work_init(&w.build, build);
	timer_init(&w.cut, cut);
	timer_init(&w.leave, give_up);
	loop_hook_add(&w.hook, at_turn_end);
	route_init();
	names_on_failure(name_failed, &w);
	outage_on_beginning(outage_began, &w);
	loop_run();
	return end(&w);
}
