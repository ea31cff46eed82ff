#include "proxy/resolver.h"
#include "proxy/born.h"
#include "proxy/helper.h"
#include "proxy/seek.h"
#include <signal.h>
#include <unistd.h>

enum {
	RUNNING_MAX = 64,   /* look-ups at once; more wait */
	GRACE_MS = 500,     /* for a look-up to end by itself */
	APART_MS = 1000,    /* of two look-ups of one name */
};

struct resolver {
	struct msg_channel parent;
	struct list names;
	struct list waiting; /* name.wait */
	unsigned running;
};

struct name {
	struct list node, wait;
	struct resolver *resolver;
	struct msg_name how;
	uint64_t begun_ms;  /* of the last look-up */
	struct event ev;    /* its pipe; -1: none is under way */
	struct work answer;
	struct timer timer; /* the next one; the end of this one */
	struct grave grave;
	struct str text;
	char bytes[];
};

/* ---- one after the other ---- */

static void begin(struct name *m);

static void tell(struct name *m, const struct msg_addresses *a)
{
	msg_send2(&m->resolver->parent, MSG_FOUND, a, sizeof *a, m->text, -1);
	timer_set(&m->timer, m->how.interval_ms);
}

static void tell_error(struct name *m, int error)
{
	const struct msg_addresses a = { .error = error };

	tell(m, &a);
}

static void stop(struct name *m)
{
	struct resolver *r = m->resolver;

	timer_stop(&m->timer);
	work_cancel(&m->answer);
	list_del(&m->wait);
	if (m->ev.fd < 0)
		return;
	loop_del(&m->ev);
	close(m->ev.fd);
	m->ev.fd = -1;
	r->running--;
	if (!list_empty(&r->waiting))
		begin(list_entry(list_pop(&r->waiting), struct name, wait));
}

static void on_answer(struct work *w)
{
	struct name *m = container_of(w, struct name, answer);
	struct msg_addresses a;

	if (!seek_read(m->ev.fd, loop_now_ms() - m->begun_ms >= m->how.deadline_ms, &a))
		return;
	stop(m);
	tell(m, &a);
}

static void on_pipe(struct event *ev, uint32_t bits)
{
	(void)bits;
	loop_post(&container_of(ev, struct name, ev)->answer);
}

static void on_timer(struct timer *t)
{
	struct name *m = container_of(t, struct name, timer);

	if (m->ev.fd < 0) {
		begin(m);
	} else {
		stop(m);
		tell_error(m, ETIMEDOUT);
	}
}

static int start(struct name *m)
{
	int fd = seek_begin(m->text, m->how.deadline_ms), r;

	if (fd < 0)
		return -fd;
	m->ev.fd = fd;
	r = loop_add(&m->ev, EPOLLIN);
	if (r < 0) {
		close(fd);
		m->ev.fd = -1;
	}
	return -r;
}

/* Now, or when another has ended. */
static void begin(struct name *m)
{
	struct resolver *r = m->resolver;
	int e;

	timer_stop(&m->timer);
	if (r->running == RUNNING_MAX) {
		if (list_empty(&m->wait))
			list_push(&r->waiting, &m->wait);
		return;
	}
	m->begun_ms = loop_now_ms();
	e = start(m);
	if (e) {
		tell_error(m, e);
		return;
	}
	r->running++;
	timer_set(&m->timer, m->how.deadline_ms + GRACE_MS);
}

/* ---- which ---- */

static struct resolver *resolver_of(struct msg_channel *c)
{
	return container_of(c, struct resolver, parent);
}

static struct name *find(struct resolver *r, struct str text)
{
	list_for_each(n, &r->names) {
		struct name *m = list_entry(n, struct name, node);

		if (str_eq(m->text, text))
			return m;
	}
	return NULL;
}

static struct name *name_new(struct resolver *r, struct str text)
{
	struct name *m = base_zalloc(sizeof *m + text.n);

	memcpy(m->bytes, text.p, text.n);
	m->text = str_of(m->bytes, text.n);
	m->resolver = r;
	m->ev = (struct event){ -1, on_pipe };
	work_init(&m->answer, on_answer);
	timer_init(&m->timer, on_timer);
	list_init(&m->wait);
	list_push(&r->names, &m->node);
	return m;
}

bool resolver_on_name(struct msg_channel *c, struct msg_in *m)
{
	struct resolver *r = resolver_of(c);
	const struct msg_name *how = m->data;
	struct str text = str_of((const char *)m->data + sizeof *how, m->n - sizeof *how);
	struct name *name = find(r, text);
	uint64_t since_ms;

	if (!name) {
		name = name_new(r, text);
		name->how = *how;
		begin(name);
		return true;
	}
	name->how = *how;
	since_ms = loop_now_ms() - name->begun_ms;
	if (name->ev.fd < 0 && list_empty(&name->wait))
		timer_set(&name->timer, since_ms < APART_MS ? APART_MS - since_ms : 0);
	return true;
}

static void bury(struct grave *g)
{
	free(container_of(g, struct name, grave));
}

static void forget(struct name *m)
{
	list_del(&m->node);
	stop(m);
	loop_bury(&m->grave, bury);
}

bool resolver_on_name_gone(struct msg_channel *c, struct msg_in *m)
{
	struct name *name = find(resolver_of(c), str_of(m->data, m->n));

	if (name)
		forget(name);
	return name;
}

/* ---- the whole ---- */

int resolver_run(void)
{
	struct resolver r = { .running = 0 };

	/* nobody waits for look-ups: their pipes tell */
	signal(SIGCHLD, SIG_IGN);
	list_init(&r.names);
	list_init(&r.waiting);
	if (!born_begin(&r.parent, MSG_RESOLVER, &handlers_resolver, helper_ended))
		return EXIT_FAILURE;
	loop_run();
	msg_close(&r.parent);
	while (!list_empty(&r.waiting))
		list_pop(&r.waiting);
	list_for_each_safe(n, next, &r.names)
		forget(list_entry(n, struct name, node));
	loop_turn(0);
	loop_close();
	return EXIT_SUCCESS;
}
