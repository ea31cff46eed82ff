#include "core/loop.h"
#include "core/priv.h"
#include "core/timer.h"
#include <time.h>
#include <fcntl.h>
#include <unistd.h>

struct loop *W;

/*
 * Rounds of ready streams, exchanges and posted work in one turn: a bound for the case that somebody
 * posts for ever.
 */
enum { ROUNDS_PER_TURN = 64 };

static void read_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	/* 0 means "not set" to timers */
	W->now_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 + 1;
	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	W->wall_s = t.tv_sec;
}

int loop_open(void)
{
	int ep = epoll_create1(EPOLL_CLOEXEC);

	BUG_ON(W != NULL);
	if (ep < 0)
		return -errno;
	W = base_zalloc(sizeof *W);
	W->ep = ep;
	list_init(&W->ready);
	list_init(&W->ready_next);
	list_init(&W->works);
	list_init(&W->works_next);
	list_init(&W->hooks);
	x_loop_init();
	W->scratch = base_alloc(LOOP_SCRATCH_BYTES);
	W->pipe[0] = W->pipe[1] = -1;
	read_clock();
	return 0;
}

static void run_graves(void)
{
	struct grave *g;

	while ((g = W->graves)) {
		W->graves = g->next;
		g->bury(g);
	}
}

void loop_close(void)
{
	run_graves();
	timer_close();
	BUG_ON(W->registered || W->streams || W->x_count);
	BUG_ON(!list_empty(&W->works) || !list_empty(&W->works_next) || !list_empty(&W->hooks));
	close(W->ep);
	if (W->pipe[0] >= 0) {
		close(W->pipe[0]);
		close(W->pipe[1]);
	}
	free(W->scratch);
	free(W);
	W = NULL;
}

static bool is_unfinished(void)
{
	return !list_empty(&W->ready_next) || !list_empty(&W->works_next) || !list_empty(&W->x_held) ||
	       !list_empty(&W->ready) || !list_empty(&W->works) || !list_empty(&W->x_queue);
}

static void wait_for_events(int max_wait_ms)
{
	int wait_ms = is_unfinished() ? 0 : timer_wait_ms();

	if (max_wait_ms >= 0 && (wait_ms < 0 || wait_ms > max_wait_ms))
		wait_ms = max_wait_ms;
	W->nevents = epoll_wait(W->ep, W->events, LOOP_EVENTS, wait_ms);
	BUG_ON(W->nevents < 0 && errno != EINTR);
	read_clock();
	W->turn++;
	for (W->at_event = 0; W->at_event < W->nevents; W->at_event++) {
		struct epoll_event *e = &W->events[W->at_event];
		struct event *ev = e->data.ptr;

		if (ev)
			ev->ready(ev, e->events);
	}
	W->nevents = 0;
}

static void run_works(void)
{
	struct list now, *n;

	list_init(&now);
	list_splice(&now, &W->works);
	while ((n = list_pop(&now))) {
		struct work *w = list_entry(n, struct work, node);

		w->run(w);
	}
}

/* What was left for this turn goes first, in its old order. */
static void resume(struct list *current, struct list *left)
{
	list_splice(left, current);
	list_splice(current, left);
}

void loop_turn(int max_wait_ms)
{
	wait_for_events(max_wait_ms);
	resume(&W->ready, &W->ready_next);
	resume(&W->works, &W->works_next);
	x_new_turn();
	timer_run();
	slab_wake();
	for (int round = 0; round < ROUNDS_PER_TURN; round++) {
		struct list *n;

		while ((n = list_pop(&W->ready)))
			stream_dispatch(list_entry(n, struct stream, ready));
		x_run();
		run_works();
		if (list_empty(&W->ready) && list_empty(&W->works) && list_empty(&W->x_queue))
			break;
	}
	list_for_each_safe(pos, tmp, &W->hooks) {
		struct loop_hook *h = list_entry(pos, struct loop_hook, node);

		h->run(h);
	}
	run_graves();
}

void loop_run(void)
{
	W->stopping = false;
	while (!W->stopping)
		loop_turn(-1);
}

void loop_stop(void)
{
	W->stopping = true;
}

uint64_t loop_now_ms(void)
{
	return W->now_ms;
}

int64_t loop_wall_s(void)
{
	return W->wall_s;
}

uint64_t loop_clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t loop_turn_number(void)
{
	return W->turn;
}

int loop_add(struct event *ev, uint32_t bits)
{
	struct epoll_event e = { .events = bits, .data.ptr = ev };

	if (epoll_ctl(W->ep, EPOLL_CTL_ADD, ev->fd, &e) < 0)
		return -errno;
	W->registered++;
	return 0;
}

void loop_del(struct event *ev)
{
	int r = epoll_ctl(W->ep, EPOLL_CTL_DEL, ev->fd, NULL);

	BUG_ON(r < 0);
	W->registered--;
	for (int i = W->at_event + 1; i < W->nevents; i++)
		if (W->events[i].data.ptr == ev)
			W->events[i].data.ptr = NULL;
}

void loop_post(struct work *w)
{
	if (!work_is_posted(w))
		list_push(&W->works, &w->node);
}

void loop_post_next(struct work *w)
{
	if (!work_is_posted(w))
		list_push(&W->works_next, &w->node);
}

void loop_bury(struct grave *g, void (*bury)(struct grave *g))
{
	g->bury = bury;
	g->next = W->graves;
	W->graves = g;
}

void loop_hook_add(struct loop_hook *h, void (*run)(struct loop_hook *h))
{
	h->run = run;
	list_push(&W->hooks, &h->node);
}

char *loop_scratch(void)
{
	return W->scratch;
}

const int *loop_pipe(void)
{
	if (W->pipe[0] < 0) {
		if (pipe2(W->pipe, O_NONBLOCK | O_CLOEXEC) < 0)
			return NULL;
		/* a smaller one, where a user may have no more, does as well */
		(void)!fcntl(W->pipe[1], F_SETPIPE_SZ, LOOP_SCRATCH_BYTES);
	}
	return W->pipe;
}
