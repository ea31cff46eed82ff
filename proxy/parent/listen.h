/*
 * listen.h - listening sockets, and which listener of the configuration their connections belong to. Part of
 * the parent.
 */
#pragma once

#include "proxy/parent/parent.h"

/* Fills next's rows, opening the sockets that are missing. False: r says why. */
bool listen_open(struct parent *p, struct parent_conf *next, struct conf_report *r) MUST_USE;
/* Closes what the current configuration has no row for. */
void listen_close_unused(struct parent *p);
/* One of another parent, whose place this one is to take; its file is not touched until listen_own. */
bool listen_inherit(struct parent *p, int fd, const struct addr *a, bool given) MUST_USE;
/* The other parent leaves it all to this one. */
void listen_own(struct parent *p);
/* This parent leaves it all to another: closes them, and nothing more. */
void listen_leave(struct parent *p);
/* At the end: closes all. */
void listen_close(struct parent *p);
/* After a commit: files of Unix sockets that were there before get the owner and mode that are wanted now. */
void listen_settle(struct parent *p);
/* From time to time: reloads when an interface that the configuration names has other addresses. */
void listen_watch(struct parent *p);
/* Sends a worker the sockets it does not have, and all rows. */
void listen_send(struct child *c, const struct parent_conf *conf);
