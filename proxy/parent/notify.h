/*
 * notify.h - tells the service manager how the server is: systemd's datagrams, sd_notify(3). Part of the
 * parent.
 *
 * Without NOTIFY_SOCKET in the environment all of it does nothing.
 */
#pragma once

#include "core/timer.h"

struct notify {
	int fd;               /* -1: nobody is to be told */
	char *path;           /* of the manager's socket; NULL: there is none */
	uint64_t watchdog_us; /* as it was asked for */
	uint64_t watchdog_ms; /* between signs of life; 0: none are wanted */
	struct timer watchdog;
};

/* Reads the environment, and takes out of it what children are not to see. On the loop. */
void notify_open(struct notify *n);
/* The same by what notify_open has found in another process. path may be NULL. */
void notify_open_at(struct notify *n, const char *path, uint64_t watchdog_us);
void notify_close(struct notify *n);

/* Requests are served; the text says what is. Also after a reload, whatever became of it. */
void notify_ready(struct notify *n, const char *status);
void notify_reloading(struct notify *n);
/* From now on that process is the server. */
void notify_successor(struct notify *n, pid_t pid);
/* It takes so long at most. */
void notify_stopping(struct notify *n, uint64_t after_ms);
