/*
 * given.h - listening sockets that the service manager opened before the start: sd_listen_fds(3). Part of the
 * parent.
 */
#pragma once

#include "core/list.h"
#include "core/target.h"

struct given {
	struct list node;
	int fd;
	struct addr addr;
	char name[64]; /* FileDescriptorName= */
};

/* Takes those that the environment tells of; what is no listening stream socket is closed, and logged. */
void given_open(struct list *all);
/*
 * The socket for that address, or else one of its family with the port's number for a name: the manager then
 * decides the address. It is the caller's; -1: there is none.
 */
int given_take(struct list *all, const struct addr *a, uint16_t port) MUST_USE;
/* No listener wanted these: closed, and logged. */
void given_close(struct list *all);
