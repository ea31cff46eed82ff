#include "core/timer.h"
#include "core/loop.h"

/* A binary heap by slot_ms, at[1..n]: the part of the worker's loop that timers alone know. */
static struct heap {
	struct timer **at;
	uint32_t n, cap;
	bool running;
} heap;

static void place(struct timer *t, uint32_t i)
{
	heap.at[i] = t;
	t->index = i;
}

static void sift_up(struct timer *t, uint32_t i)
{
	for (; i > 1 && heap.at[i / 2]->slot_ms > t->slot_ms; i /= 2)
		place(heap.at[i / 2], i);
	place(t, i);
}

static void sift_down(struct timer *t, uint32_t i)
{
	for (uint32_t child; (child = 2 * i) <= heap.n; i = child) {
		if (child < heap.n && heap.at[child + 1]->slot_ms < heap.at[child]->slot_ms)
			child++;
		if (heap.at[child]->slot_ms >= t->slot_ms)
			break;
		place(heap.at[child], i);
	}
	place(t, i);
}

static void heap_add(struct timer *t)
{
	if (heap.n + 1 >= heap.cap) {
		heap.cap = heap.cap ? 2 * heap.cap : 64;
		heap.at = base_realloc(heap.at, heap.cap * sizeof(struct timer *));
	}
	sift_up(t, ++heap.n);
}

static void heap_remove(struct timer *t)
{
	uint32_t i = t->index;
	struct timer *last = heap.at[heap.n--];

	t->index = 0;
	if (last == t)
		return;
	/* it may belong above or below the place that became free */
	sift_down(last, i);
	sift_up(last, last->index);
}

void timer_set(struct timer *t, uint64_t after_ms)
{
	if (heap.running && after_ms == 0)
		after_ms = 1;
	if (__builtin_add_overflow(loop_now_ms(), after_ms, &t->due_ms))
		t->due_ms = UINT64_MAX;
	if (t->index && t->slot_ms <= t->due_ms)
		return; /* moved when its place comes up */
	t->slot_ms = t->due_ms;
	if (t->index)
		sift_up(t, t->index);
	else
		heap_add(t);
}

void timer_stop(struct timer *t)
{
	t->due_ms = 0;
	if (t->index)
		heap_remove(t);
}

void timer_run(void)
{
	uint64_t now_ms = loop_now_ms();

	heap.running = true;
	while (heap.n && heap.at[1]->slot_ms <= now_ms) {
		struct timer *t = heap.at[1];

		if (t->due_ms > now_ms) {
			t->slot_ms = t->due_ms;
			sift_down(t, 1);
			continue;
		}
		timer_stop(t);
		t->expired(t);
	}
	heap.running = false;
}

int timer_wait_ms(void)
{
	uint64_t now_ms = loop_now_ms();

	if (heap.n == 0)
		return -1;
	if (heap.at[1]->slot_ms <= now_ms)
		return 0;
	return (int)MIN(heap.at[1]->slot_ms - now_ms, (uint64_t)INT_MAX);
}

void timer_close(void)
{
	BUG_ON(heap.n);
	free(heap.at);
	heap.at = NULL;
	heap.cap = 0;
}
