/*
 * child.h - processes: how they are started, kept, and ended. Part of the parent; the two constants are what
 * a child knows before the first message.
 */
#pragma once

#include "proxy/parent/parent.h"

/* A child is this program with one argument, its title: "gatehouse: worker 3", "gatehouse: trial". */
#define CHILD_TITLE "gatehouse: "
/* "worker", "trial": the title's next word. */
const char *child_role_name(enum msg_role role);

/* Its end of the control socket. */
enum { CHILD_SOCKET = 3 };

/* NULL with the reason logged. `conf` says as whom. */
struct child *child_spawn(struct parent *p, enum msg_role role, unsigned index,
			  const struct parent_conf *conf) MUST_USE;
/* Tells it to load a configuration. */
void child_load(struct child *c, const struct parent_conf *conf);
/* Makes it serve the configuration it has loaded. */
void child_commit(struct child *c, const struct parent_conf *conf);
void child_drain(struct child *c, uint64_t after_ms);
void child_kill(struct child *c);
/* Collects those that have ended. */
void child_reap(struct parent *p);
/* Asks all that live long for a sign of life, and ends those that gave none. */
void child_ping(struct parent *p);
