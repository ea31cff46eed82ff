/*
 * collect.h - what all workers know, put together with what the parent knows: one picture for all who asked.
 * Part of the parent.
 *
 * A worker that does not answer in time is shown as it was last seen. What one that died had counted by then
 * is kept, so that counters never go back.
 */
#pragma once

#include "core/timer.h"
#include "proxy/picture.h"

struct parent;
struct child;

/* Part of struct parent. */
struct collect {
	bool is_running;
	uint32_t id;         /* of the last question */
	struct timer deadline;
	struct picture gone; /* counters of workers that have ended */
	int64_t started_s;
};

/* Part of struct child. */
struct collect_child {
	struct picture *rows;   /* its last whole answer; NULL: none yet */
	struct picture *coming; /* the one that is on its way */
	size_t coming_bytes;
	uint32_t asked;         /* id of the last question it got; one that was born since got none */
	uint32_t answered;      /* and of the last one that it answered wholly */
	uint32_t look;          /* it asked for the picture, by this id; 0: it did not */
};

void collect_init(struct parent *p);
void collect_close(struct parent *p);
/*
 * Asks all workers, unless that is under way. When they have answered, control_pictured is called; within
 * this call when there is none.
 */
void collect_start(struct parent *p);
/* It has ended. */
void collect_child_gone(struct child *c);
