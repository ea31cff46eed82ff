/*
 * seek.h - one look-up of a name, in a process of its own: it asks the C library, tells by a pipe, and is
 * ended by its own alarm when that takes too long.
 *
 * Knows nothing of who wants to know: the resolver, again and again; `gatehouse check` and `explain`, once.
 */
#pragma once

#include "core/msg.h"

/* A pipe that can be read when there is an answer, to be closed by the caller; or -errno. */
int seek_begin(struct str name, uint64_t deadline_ms) MUST_USE;
/* False: not yet. `is_late`: the deadline is over, so that without an answer there was no time for one. */
bool seek_read(int fd, bool is_late, struct msg_addresses *a) MUST_USE;
/* For several names at once: waits until all have an answer. */
void seek_all(const struct str *names, size_t n, uint64_t deadline_ms, struct msg_addresses *out);

/* "127.0.0.1, ::1", or why there is none. Returns out. */
enum { SEEK_TEXT_BYTES = ADDRS_MAX * 64 };
char *seek_text(const struct msg_addresses *a, char out[SEEK_TEXT_BYTES]);
/* Such a name does not exist, or has no address: to ask again is no use. */
bool seek_is_final(const struct msg_addresses *a);
