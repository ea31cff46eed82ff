/*
 * target.h - where connections go: addresses, dialling, and what is known of a target's health.
 *
 * Knows sockets; nothing of HTTP or TLS, nor how names become addresses. Called by uds-upstream and proxy. A
 * target belongs to one worker and outlives configurations: it is found again by its name.
 */
#pragma once

#include "core/stream.h"
#include "core/timer.h"
#include <netinet/in.h>
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

/*
 * Who is at an end of a connection that was accepted, in little room: there are many. Of a Unix socket only
 * that it is one.
 */
union addr_end {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};
/* n 0: nobody knows (AF_UNSPEC). */
void addr_end_set(union addr_end *e, const struct sockaddr *sa, socklen_t n);

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

/* The same bytes for the same address; never 0. Without a connection to it, nobody can choose it. */
uint64_t addr_hash(const struct addr *a);

/* An IP address without a port, as it is told from process to process. */
struct ip {
	uint8_t bytes[16]; /* in network order; of IPv4 the first four, behind them zeros */
	uint32_t scope;    /* interface of an IPv6 address that is local to a link (RFC 4007); else 0 */
	uint32_t is_ip6;
};
/* False when it is none that can be connected to: another family, unspecified, multicast. */
bool ip_from_sockaddr(struct ip *ip, const struct sockaddr *sa) MUST_USE;
/* The same of one that somebody else made: also false when it is not in its one form. */
bool ip_is_valid(const struct ip *ip) MUST_USE;
void addr_from_parsed_ip(struct addr *a, const struct ip *ip, uint16_t port);

/* Addresses of one target, in the order in which they are to be tried. Counted, and never changed. */
struct addrs {
	unsigned refs;
	size_t n;
	struct addr addr[];
};
enum { ADDRS_MAX = 16 };
struct addrs *addrs_new(size_t n); /* to be filled before anybody else sees it */
void addrs_put(struct addrs *s);
bool addrs_have(const struct addrs *s, uint64_t hash);

/*
 * Where a target is. One that has a name follows what the worker is told of that (core/names.h); any other is
 * where it is. Embedded in the target.
 */
struct place {
	struct addrs *addrs;   /* of a name that has not been found: none */
	size_t good;           /* the one that was connected to last */
	struct name *name;     /* NULL: it has none */
	uint16_t port;
	struct list node;      /* name.places */
	void (*moved)(struct place *p);
};

/* What a configuration says about a place: its address, or its name and port. */
struct place_spec {
	struct addr addr;
	struct str name; /* empty: it has an address */
	uint16_t port;
};
/* `moved` is called from the loop when the addresses of its name have changed. */
void place_open(struct place *p, const struct place_spec *at, void (*moved)(struct place *p));
/* Harmless when all zero. */
void place_close(struct place *p);
/*
 * Whoever answers at this address (dial.address) is not who is wanted, or does not stay: if it is the one
 * that would be tried first, the next one is.
 */
void place_doubt(struct place *p, uint64_t address);

/* One attempt at a connection. Embedded in whoever waits for it; all zero before the first. */
struct dial {
	struct stream *stream; /* on success: owned by whoever takes it */
	uint64_t address;      /* on success: addr_hash of where it leads to */
	int sys_errno;         /* of a failure, for the log */
	struct timer timer;
	uint64_t until_ms;
	struct place *place;
	struct addrs *addrs;   /* while under way */
	size_t first, tried;   /* where it began; how many were tried in vain */
	bool is_given;         /* dial_start_on: there is this socket and no other; < 0: it was used */
	int given;
	void (*done)(struct dial *d, enum err e);
};

/*
 * Begins to connect, non-blocking. ERR_OK: connected at once, take d->stream. ERR_AGAIN: `done` is called
 * later, once, from the loop: with ERR_OK (take d->stream) or with a failure; it may start d anew or free
 * it. Anything else: failed at once (ERR_UP_ABSENT, _REFUSED, _BACKLOG, _PERMISSION, _UNREACHABLE,
 * _UNRESOLVED, _NO_FD). Nothing may be under way on d, and `to` lives as long as something is.
 *
 * Addresses are tried one after the other, the one that was good last first: the next when one fails, or when
 * its share of the time is over.
 */
enum err dial_start(struct dial *d, struct place *to, uint64_t timeout_ms,
		    void (*done)(struct dial *d, enum err e)) MUST_USE;
/* The same with a socket that the caller has made, for one address of its family. It is d's from then on. */
enum err dial_start_on(struct dial *d, int fd, struct place *to, uint64_t timeout_ms,
		       void (*done)(struct dial *d, enum err e)) MUST_USE;
/* Gives up; `done` is not called. Harmless when nothing is under way; a stream that was taken stays. */
void dial_cancel(struct dial *d);
/* The error table's row for a connect error. Never ERR_IO: a client is to get an answer. */
enum err dial_err(int sys_errno);
