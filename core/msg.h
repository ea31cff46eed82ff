/*
 * msg.h - control messages between the parent and its children, over a SOCK_SEQPACKET socketpair.
 *
 * Knows framing, bounds and descriptors; not what a message does: each role brings a table of handlers
 * (proxy/handlers.c). Used on the loop, the same way at both ends. Every message is checked against its
 * row before a handler sees it; a message that breaks its row, comes from a role that may not send it, or
 * that its handler calls invalid, ends the channel: the parent then ends that child, a child then leaves.
 *
 * Both ends are the same binary (the parent re-executes itself from a descriptor), so payloads are plain
 * structs in host order.
 */
#pragma once

#include "core/loop.h"
#include "core/target.h"
#include "core/timer.h"
#include <sys/socket.h>

/* Roles are bits, so that a row can name several. */
enum msg_role {
	MSG_PARENT = 1,
	MSG_WORKER = 2,
	MSG_TRIAL = 4,
	MSG_RESOLVER = 8,
	MSG_ACME = 16,
	/* processes of which there is one at most, and which serve no client */
	MSG_HELPERS = MSG_RESOLVER | MSG_ACME,
};

/* ---- payloads ---- */

struct msg_hello {
	uint32_t index;       /* "worker <index>" */
	uint32_t column;      /* of the counters */
	uint32_t log_level;
};

struct msg_begin {
	uint32_t log_level;
};

/* LOAD, READY, COMMIT, ABORT; WARNINGS and FAILED have their text behind it. */
struct msg_generation {
	uint64_t generation;
};

/* LISTENER: the socket's name ("[::]:443", "unix:/run/x.sock") stands behind it. */
struct msg_listener {
	uint32_t id;
};

/*
 * ADDRESS: connections on socket `id` whose local end is this address belong to the listener whose name
 * stands behind it. A generation's rows replace those of the one before at its COMMIT.
 */
struct msg_address {
	uint64_t generation;
	uint32_t id;
	uint32_t is_any;      /* all that no other row of the socket names */
	uint8_t ip[16];       /* in network order, behind it zeros; of the socket's family */
};

enum { MSG_LOG_ERROR = UINT32_MAX }; /* the error log's index */
struct msg_logfile {
	uint64_t generation;
	uint32_t index;       /* into config.logs, or MSG_LOG_ERROR */
};

/* SOURCE_WANTED: a socket is to have this address as its own, towards a raw target. */
struct msg_source_wanted {
	uint32_t id;          /* chosen by the worker */
	uint32_t is_ip6;
	uint8_t ip[16];       /* in network order, behind it zeros */
};

/* SOURCE, SOURCE_FAILED */
struct msg_source {
	uint32_t id;
	int32_t error;        /* errno, of SOURCE_FAILED */
};

struct msg_drain {
	uint64_t after_ms;    /* what still goes on then is cut; 0: at once */
};

struct msg_counts {
	uint64_t generation;
	uint64_t connections, exchanges, streams, upstreams, slabs;
	uint64_t tunnels, relays; /* WebSockets; raw connections */
	uint64_t accepted, log_dropped;
};

/* OUTAGE: the target's name stands behind it. */
struct msg_outage {
	int32_t sys_errno;    /* of connecting to it */
};

/* ---- addresses of upstreams: the process that looks names up ---- */

/* NAME: the name stands behind it. */
struct msg_name {
	uint64_t deadline_ms; /* of a look-up */
	uint64_t interval_ms; /* to the next one */
};

/* FOUND, ADDRESSES: whose they are stands behind it. */
struct msg_addresses {
	int32_t error;        /* EAI_... of getaddrinfo, or an errno; 0: there are addresses */
	uint32_t n;
	struct ip ips[ADDRS_MAX]; /* behind the first n zeros */
};

/* ---- certificates: the process that obtains them (RFC 8555) ---- */

/* STORE: the file's path stands behind it; its bytes are the descriptor's, none: it is to be removed. */
struct msg_store {
	uint32_t id;          /* chosen by the sender */
};

/* STORED: what STORE with that id has come to. The bytes are served even when they could not be written. */
struct msg_stored {
	uint32_t id;
	int32_t error;        /* errno; 0: they will survive a crash of the machine */
};

/* Columns: kind, name in a configuration, name NUL token NUL content: what they are. */
#define MSG_CHALLENGE_TABLE(X)                                                    \
	X(TLS_ALPN, "tls-alpn-01") /* host name, -, certificate and key as PEM */ \
	X(HTTP, "http-01")         /* host name, token, key authorization */      \
	X(DNS, "dns-01")           /* _acme-challenge.NAME, -, the record's text */

enum msg_challenge_kind {
#define X(NAME, name) MSG_CHALLENGE_##NAME,
	MSG_CHALLENGE_TABLE(X)
#undef X
	MSG_CHALLENGE_KINDS
};

/* CHALLENGE, TOKEN: name NUL token NUL content stand behind it; the content goes to the end. */
struct msg_challenge {
	uint32_t id;          /* chosen by the sender of CHALLENGE; in TOKEN by the parent */
	uint32_t kind;        /* enum msg_challenge_kind */
};

/* CHALLENGE_READY: with an error, a reason stands behind it. */
struct msg_challenge_ready {
	uint32_t id;
	int32_t error;        /* errno; 0: the CA may look */
};

/* UNCHALLENGE, TOKEN_GONE, TOKEN_HAVE */
struct msg_challenge_id {
	uint32_t id;
};

#define MSG_ACME_STATE_TABLE(X)                                          \
	X(NONE, "none yet")                                              \
	X(ORDERING, "being obtained")                                    \
	X(VALID, "valid")                                                \
	X(FAILED, "failed: will be tried again")                         \
	X(REVOKED, "revoked")

enum msg_acme_state_id {
#define X(NAME, text) MSG_ACME_##NAME,
	MSG_ACME_STATE_TABLE(X)
#undef X
	MSG_ACME_STATES
};

/* ACME_STATE: certificate id NUL serial NUL the CA's last error in words (or nothing) stand behind it. */
struct msg_acme_state {
	uint32_t state;       /* enum msg_acme_state_id */
	uint32_t tries;       /* that failed since the last success */
	int64_t next_s;       /* wall clock: when something is done next; 0: nothing is planned */
	int64_t renew_s;      /* when it is to be renewed, as far as is known; 0: there is none */
	int64_t not_before_s, not_after_s; /* of the certificate that is there; 0: none */
};

/* ACME_DO: the certificate's id stands behind it. */
enum msg_acme_verb { MSG_ACME_RENEW, MSG_ACME_REVOKE };
struct msg_acme_do {
	uint32_t verb;
};

/* SURVEY, ROWS, LOOK, PICTURE; ROWS and PICTURE have whole rows behind it (proxy/picture.h). */
struct msg_rows {
	uint32_t id;          /* of the question; the answer has the same */
	uint32_t is_last;     /* nothing more of this answer comes */
};

enum {
	MSG_PATH_MAX = 4095,
	MSG_CHALLENGE_MAX = 16 * 1024,
	MSG_WORDS_MAX = 2048,
	MSG_TEXT_MAX = 32 * 1024, /* WARNINGS, FAILED: all errors of a configuration, cut there */
	MSG_NAME_MAX = 256,
	MSG_TICKET_BYTES = 80,    /* struct tls_ticket_key */
	MSG_TICKETS_MAX = 3,
};

/*
 * The rows. Columns: name, the same in lower case (handlers are called worker_on_load, parent_on_ready),
 * who may send it, who takes it, least and most payload bytes, descriptors that come with it.
 */
#define MSG_DOWN_TABLE(X)                                                                                  \
	/* first of all: who you are; the page of counters shared by all workers */                         \
	X(HELLO, hello, MSG_PARENT, MSG_WORKER, sizeof(struct msg_hello), sizeof(struct msg_hello), 1)      \
	/* a sealed bundle: load it, answer READY or FAILED */                                              \
	X(LOAD, load, MSG_PARENT, MSG_WORKER | MSG_TRIAL, sizeof(struct msg_generation),                    \
	  sizeof(struct msg_generation), 1)                                                                 \
	/* serve what was loaded; or forget it */                                                           \
	X(COMMIT, commit, MSG_PARENT, MSG_WORKER, sizeof(struct msg_generation),                            \
	  sizeof(struct msg_generation), 0)                                                                 \
	X(ABORT, abort, MSG_PARENT, MSG_WORKER, sizeof(struct msg_generation),                              \
	  sizeof(struct msg_generation), 0)                                                                 \
	/* a listening socket, by number; later: no longer */                                               \
	X(LISTENER, listener, MSG_PARENT, MSG_WORKER, sizeof(struct msg_listener),                          \
	  sizeof(struct msg_listener) + MSG_NAME_MAX, 1)                                                    \
	X(LISTENER_GONE, listener_gone, MSG_PARENT, MSG_WORKER, sizeof(struct msg_listener),                \
	  sizeof(struct msg_listener), 0)                                                                   \
	/* whose connections its connections are */                                                        \
	X(ADDRESS, address, MSG_PARENT, MSG_WORKER, sizeof(struct msg_address) + 1,                         \
	  sizeof(struct msg_address) + MSG_NAME_MAX, 0)                                                    \
	/* session ticket keys, newest first */                                                             \
	X(TICKETS, tickets, MSG_PARENT, MSG_WORKER, MSG_TICKET_BYTES,                                       \
	  MSG_TICKET_BYTES * MSG_TICKETS_MAX, 0)                                                            \
	/* a log file opened (anew) */                                                                      \
	X(LOGFILE, logfile, MSG_PARENT, MSG_WORKER | MSG_HELPERS, sizeof(struct msg_logfile),               \
	  sizeof(struct msg_logfile), 1)                                                                    \
	/* take no more connections, finish, leave */                                                       \
	X(DRAIN, drain, MSG_PARENT, MSG_WORKER | MSG_HELPERS, sizeof(struct msg_drain),                     \
	  sizeof(struct msg_drain), 0)                                                                      \
	/* what SOURCE_WANTED asked for; or why not */                                                      \
	X(SOURCE, source, MSG_PARENT, MSG_WORKER, sizeof(struct msg_source), sizeof(struct msg_source), 1)  \
	X(SOURCE_FAILED, source_failed, MSG_PARENT, MSG_WORKER, sizeof(struct msg_source),                  \
	  sizeof(struct msg_source), 0)                                                                     \
	/* what to answer a CA with; TOKEN_HAVE says that it is done. Later: no longer */                   \
	X(TOKEN, token, MSG_PARENT, MSG_WORKER, sizeof(struct msg_challenge) + 3,                           \
	  sizeof(struct msg_challenge) + MSG_CHALLENGE_MAX, 0)                                              \
	X(TOKEN_GONE, token_gone, MSG_PARENT, MSG_WORKER, sizeof(struct msg_challenge_id),                  \
	  sizeof(struct msg_challenge_id), 0)                                                               \
	/* what do you know? ROWS are the answer */                                                         \
	X(SURVEY, survey, MSG_PARENT, MSG_WORKER, sizeof(struct msg_rows), sizeof(struct msg_rows), 0)      \
	/* what all workers know: the answer to LOOK */                                                     \
	X(PICTURE, picture, MSG_PARENT, MSG_WORKER, sizeof(struct msg_rows),                                \
	  sizeof(struct msg_rows) + MSG_TEXT_MAX, 0)                                                        \
	/* a name's addresses are these from now on */                                                      \
	X(ADDRESSES, addresses, MSG_PARENT, MSG_WORKER, sizeof(struct msg_addresses) + 1,                   \
	  sizeof(struct msg_addresses) + MSG_NAME_MAX, 0)                                                   \
	/* are you alive? COUNTS is a worker's answer, ALIVE that of others */                              \
	X(STATUS, status, MSG_PARENT, MSG_WORKER | MSG_HELPERS, 0, 0, 0)

/* What workers do not take. */
#define MSG_HELPER_TABLE(X)                                                                                \
	/* first of all */                                                                                  \
	X(BEGIN, begin, MSG_PARENT, MSG_HELPERS, sizeof(struct msg_begin), sizeof(struct msg_begin), 0) \
	/* look this name up, now and then again and again; later: no more */                               \
	X(NAME, name, MSG_PARENT, MSG_RESOLVER, sizeof(struct msg_name) + 1,                                \
	  sizeof(struct msg_name) + MSG_NAME_MAX, 0)                                                        \
	X(NAME_GONE, name_gone, MSG_PARENT, MSG_RESOLVER, 1, MSG_NAME_MAX, 0)                               \
	/* certificates to care for: sources, and the store's files; again whenever these have changed */  \
	X(ACME_LOAD, acme_load, MSG_PARENT, MSG_ACME, sizeof(struct msg_generation),                        \
	  sizeof(struct msg_generation), 1)                                                                 \
	X(STORED, stored, MSG_PARENT, MSG_ACME, sizeof(struct msg_stored), sizeof(struct msg_stored), 0)    \
	X(CHALLENGE_READY, challenge_ready, MSG_PARENT, MSG_ACME, sizeof(struct msg_challenge_ready),       \
	  sizeof(struct msg_challenge_ready) + MSG_WORDS_MAX, 0)                                            \
	/* what a user wants done now */                                                                    \
	X(ACME_DO, acme_do, MSG_PARENT, MSG_ACME, sizeof(struct msg_acme_do) + 1,                           \
	  sizeof(struct msg_acme_do) + MSG_NAME_MAX, 0)

#define MSG_UP_TABLE(X)                                                                                     \
	X(READY, ready, MSG_WORKER | MSG_TRIAL, MSG_PARENT, sizeof(struct msg_generation),                  \
	  sizeof(struct msg_generation), 0)                                                                 \
	/* what is to be said about a bundle that can be served, as text */                                 \
	X(WARNINGS, warnings, MSG_TRIAL, MSG_PARENT, sizeof(struct msg_generation) + 1,                     \
	  sizeof(struct msg_generation) + MSG_TEXT_MAX, 0)                                                  \
	/* the bundle cannot be served; all that is wrong, as text */                                       \
	X(FAILED, failed, MSG_WORKER | MSG_TRIAL, MSG_PARENT, sizeof(struct msg_generation) + 1,            \
	  sizeof(struct msg_generation) + MSG_TEXT_MAX, 0)                                                  \
	X(COUNTS, counts, MSG_WORKER, MSG_PARENT, sizeof(struct msg_counts), sizeof(struct msg_counts), 0)  \
	X(ROWS, rows, MSG_WORKER, MSG_PARENT, sizeof(struct msg_rows),                                      \
	  sizeof(struct msg_rows) + MSG_TEXT_MAX, 0)                                                        \
	/* what do all workers know? PICTURE is the answer; one at a time */                                \
	X(LOOK, look, MSG_WORKER, MSG_PARENT, sizeof(struct msg_rows), sizeof(struct msg_rows), 0)          \
	X(ALIVE, alive, MSG_HELPERS, MSG_PARENT, 0, 0, 0)                                                   \
	X(SOURCE_WANTED, source_wanted, MSG_WORKER, MSG_PARENT, sizeof(struct msg_source_wanted),           \
	  sizeof(struct msg_source_wanted), 0)                                                              \
	/* a target cannot be connected to, for a reason that lies in the file system */                    \
	X(OUTAGE, outage, MSG_WORKER, MSG_PARENT, sizeof(struct msg_outage) + 1,                            \
	  sizeof(struct msg_outage) + MSG_PATH_MAX, 0)                                                      \
	/* what a look-up has come to */                                                                    \
	X(FOUND, found, MSG_RESOLVER, MSG_PARENT, sizeof(struct msg_addresses) + 1,                         \
	  sizeof(struct msg_addresses) + MSG_NAME_MAX, 0)                                                   \
	/* no address of this name can be connected to */                                                   \
	X(NAME_FAILED, name_failed, MSG_WORKER, MSG_PARENT, 1, MSG_NAME_MAX, 0)                             \
	/* a file of the store, to be written and served; STORED answers it */                              \
	X(STORE, store, MSG_ACME, MSG_PARENT, sizeof(struct msg_store) + 1,                                 \
	  sizeof(struct msg_store) + MSG_PATH_MAX, 1)                                                       \
	/* to be met by every worker, or the hook; CHALLENGE_READY answers it. Later: no longer */          \
	X(CHALLENGE, challenge, MSG_ACME, MSG_PARENT, sizeof(struct msg_challenge) + 3,                     \
	  sizeof(struct msg_challenge) + MSG_CHALLENGE_MAX, 0)                                              \
	X(UNCHALLENGE, unchallenge, MSG_ACME, MSG_PARENT, sizeof(struct msg_challenge_id),                  \
	  sizeof(struct msg_challenge_id), 0)                                                               \
	X(TOKEN_HAVE, token_have, MSG_WORKER, MSG_PARENT, sizeof(struct msg_challenge_id),                  \
	  sizeof(struct msg_challenge_id), 0)                                                               \
	/* how a certificate stands */                                                                      \
	X(ACME_STATE, acme_state, MSG_ACME, MSG_PARENT, sizeof(struct msg_acme_state) + 3,                  \
	  sizeof(struct msg_acme_state) + MSG_NAME_MAX + MSG_WORDS_MAX, 0)

#define MSG_TABLE(X) MSG_DOWN_TABLE(X) MSG_HELPER_TABLE(X) MSG_UP_TABLE(X)

enum msg_type {
#define X(NAME, name, from, to, min, max, fds) MSG_##NAME,
	MSG_TABLE(X)
#undef X
	MSG_COUNT
};

struct msg_rule {
	const char *name;
	uint8_t from, to; /* enum msg_role bits */
	uint8_t fds;      /* 0 or 1 */
	uint32_t min, max;
};
extern const struct msg_rule msg_rules[MSG_COUNT];

/* The largest payload of any row. */
enum { MSG_PAYLOAD_MAX = sizeof(struct msg_generation) + MSG_TEXT_MAX };

/* What may wait for a peer that does not read, before it counts as dead. */
enum { MSG_QUEUE_MAX = 8192 };

/* ---- channel ---- */

struct msg_channel;

/* A message that has passed its row. */
struct msg_in {
	enum msg_type type;
	const void *data; /* aligned for any payload; void when the handler returns */
	size_t n;
	int fd;           /* of rows with one; closed afterwards unless taken (msg_take_fd) */
};

/* False: the content makes no sense; the channel then ends. May send, and may close the channel. */
typedef bool msg_handler(struct msg_channel *c, struct msg_in *m);

/* A role's handlers, by type; NULL where it takes no such message. */
struct msg_handlers {
	msg_handler *on[MSG_COUNT];
};

struct msg_channel {
	struct event ev;
	struct work work;    /* reading and writing, out of the loop's hands */
	struct timer retry;  /* after ETOOMANYREFS: nothing else tells when there is room */
	struct list queue;   /* struct queued */
	size_t queued;
	uint8_t self, peer;  /* enum msg_role */
	bool readable, broken;
	const char *why;     /* with broken */
	const struct msg_handlers *handlers;
	/*
	 * The channel has ended and is closed: `why` is NULL when the peer closed it, else what was wrong.
	 * Called from the loop, never from inside msg_send.
	 */
	void (*ended)(struct msg_channel *c, const char *why);
};

/* A pair of sockets for it, non-blocking and close-on-exec. Returns 0 or -errno. */
int msg_pair(int fd[2]) MUST_USE;

/*
 * Takes over one of the pair. `peer` is the role that the other end was born with. The channel's memory
 * must outlive the turn in which it is closed (loop_bury). Returns 0, or -errno with fd closed.
 */
int msg_open(struct msg_channel *c, int fd, enum msg_role self, enum msg_role peer,
	     const struct msg_handlers *handlers,
	     void (*ended)(struct msg_channel *c, const char *why)) MUST_USE;
/* Closes; `ended` is not called. What was queued is dropped. Harmless when closed. */
void msg_close(struct msg_channel *c);
static inline bool msg_is_open(const struct msg_channel *c)
{
	return c->ev.fd >= 0;
}

/*
 * Sends, or queues what the socket has no room for. fd is borrowed (-1: none) and duplicated as needed.
 * Never fails here: a peer that does not read for MSG_QUEUE_MAX messages is ended later. What breaks the
 * row is a bug. Without effect on a closed channel.
 */
void msg_send(struct msg_channel *c, enum msg_type type, const void *data, size_t n, int fd);
/* The same with a fixed part and what follows it. */
void msg_send2(struct msg_channel *c, enum msg_type type, const void *fixed, size_t n_fixed, struct str rest,
	       int fd);
/* Messages not yet with the kernel. */
static inline size_t msg_unsent(const struct msg_channel *c)
{
	return c->queued;
}

/* For handlers: the descriptor is theirs now. */
static inline int msg_take_fd(struct msg_in *m)
{
	int fd = m->fd;

	m->fd = -1;
	return fd;
}
