/*
 * source.h - sockets that have a client's address as their own, for targets that are to see it.
 *
 * Only the parent can make them (IP_TRANSPARENT takes a capability, and workers have none): a worker asks for
 * one and waits. Knows sockets and control messages; not what they are for. Called by raw, by worker and by
 * the parent.
 */
#pragma once

#include "core/msg.h"
#include "core/target.h"

/* ---- worker ---- */

/* One that is waited for. Embedded in whoever waits; all zero before the first. */
struct source {
	struct list node;
	struct timer timer;
	struct msg_source_wanted wanted;
	void (*done)(struct source *s, int fd);
};

/* Once in a worker: whom to ask. Borrowed. */
void source_ask(struct msg_channel *parent);
/* Is there an address of `to` that a socket with the client's address could reach? */
bool source_is_possible(const struct sockaddr *client, const struct place *to) MUST_USE;
/*
 * `done` is called later, once, from the loop: with a socket that is the caller's, bound and ready to
 * connect, or with -errno. Nothing may be under way on s.
 */
void source_get(struct source *s, const struct sockaddr *client,
		void (*done)(struct source *s, int fd));
static inline bool source_is_awaited(const struct source *s)
{
	return timer_is_set(&s->timer);
}
/* Gives up; `done` is not called. Harmless when nothing is under way. */
void source_cancel(struct source *s);
/* The parent's answer: fd, which is taken over, or -errno. False: it answers no question. */
bool source_answered(uint32_t id, int fd) MUST_USE;

/* ---- parent ---- */

/* Returns a socket with that address, or -errno. */
int source_make(const struct msg_source_wanted *wanted) MUST_USE;
