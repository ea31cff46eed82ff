/*
 * target.h - where connections go: addresses, dialling, and what is known of a target's health.
 *
 * Knows sockets; nothing of HTTP or TLS. Called by uds-upstream and raw-fallback. A target belongs to one
 * worker and outlives configurations: it is found again by its name.
 */
#pragma once

#include "core/stream.h"
#include "core/timer.h"
#include <sys/socket.h>
#include <sys/un.h>

struct addr {
	socklen_t len;
	union {
		struct sockaddr sa;
		struct sockaddr_un un;
		struct sockaddr_storage ss;
	};
};

/* Path of a Unix socket; a leading '@' means the abstract name space. False when empty or over 107 bytes. */
bool addr_from_unix(struct addr *a, struct str path) MUST_USE;
/* Numeric IPv4 or IPv6 (without brackets or zone) and port. False when not numeric. */
bool addr_from_ip(struct addr *a, struct str host, uint16_t port) MUST_USE;
/*
 * "unix:/run/x.sock", "unix:@name", "127.0.0.1:80", "[::1]:80" into out (cap bytes, always terminated; bytes
 * that would break a log line become '?'). Returns out.
 */
char *addr_text(const struct sockaddr *sa, socklen_t len, char *out, size_t cap);
/* Only the host part, as logs and X-Forwarded-For want it; "unix" for a Unix peer. Returns out. */
char *addr_host(const struct sockaddr *sa, char *out, size_t cap);
enum { ADDR_TEXT_BYTES = 128 };

/* One attempt at a connection. Embedded in whoever waits for it; all zero before the first. */
struct dial {
	struct stream *stream; /* on success: owned by whoever takes it */
	struct timer timer;
	void (*done)(struct dial *d, enum err e);
	int sys_errno; /* of a failure, for the log */
};

/*
 * Begins to connect, non-blocking. ERR_OK: connected at once, take d->stream. ERR_AGAIN: `done` is called
 * later, once, from the loop: with ERR_OK (take d->stream) or with a failure; it may start d anew or free
 * it. Anything else: failed at once (ERR_UP_ABSENT, _REFUSED, _BACKLOG, _PERMISSION, _UNREACHABLE, _NO_FD).
 * Nothing may be under way on d.
 */
enum err dial_start(struct dial *d, const struct addr *to, uint64_t timeout_ms,
		    void (*done)(struct dial *d, enum err e)) MUST_USE;
/* Gives up; `done` is not called. Harmless when nothing is under way; a stream that was taken stays. */
void dial_cancel(struct dial *d);
/* The error table's row for a connect error. Never ERR_IO: a client is to get an answer. */
enum err dial_err(int sys_errno);
