/*
 * listen.h - listening sockets, and which listener of the configuration their connections belong to. Part of
 * the parent.
 */
#pragma once

#include "proxy/parent.h"

/* Fills next's rows, opening the sockets that are missing. False: r says why. */
bool listen_open(struct parent *p, struct parent_conf *next, struct conf_report *r) MUST_USE;
/* Closes what the current configuration has no row for. */
void listen_close_unused(struct parent *p);
/* After a commit: files of Unix sockets that were there before get the owner and mode that are wanted now. */
void listen_settle(struct parent *p);
/* From time to time: reloads when an interface that the configuration names has other addresses. */
void listen_watch(struct parent *p);
/* Sends a worker the sockets it does not have, and all rows. */
void listen_send(struct child *c, const struct parent_conf *conf);
