/*
 * parent.h - the parent process: reads configurations, owns what outlives them, keeps workers running.
 *
 * It parses nothing that came from the network. main calls parent_run; the rest is shared by its files:
 *	parent.c   start, signals, stop
 *	reload.c   from a configuration on disk to one that is served, in two phases
 *	listen.c   listening sockets, and which listener their connections belong to
 *	child.c    processes: how they begin, what they say, how they end
 *	slot.c     which of them there are to be, and who takes the place of one that died
 *	control*.c commands, by the control socket
 *	collect.c  what all workers know, put together
 *	logs.c     log files
 *	reason.c   why a target's socket cannot be connected to
 *	lookup.c   addresses of upstreams that have names
 *	issue.c    what the process that obtains certificates asks for
 *	hook.c     programs that publish DNS records for it
 *	store.c    the directory with its files
 *	watch.c    files that change on disk
 *	tickets.c  session ticket keys
 *	notify.c   what the service manager is told
 *	upgrade.c  another binary takes its place
 *	heir.c     it takes the place of another
 *	given.c    listening sockets that it opened
 */
#pragma once

#include "conf/bundle.h"
#include "core/log.h"
#include "core/msg.h"
#include "core/target.h"
#include "proxy/parent/collect.h"
#include "proxy/parent/control.h"
#include "proxy/count.h"
#include "proxy/parent/heir.h"
#include "proxy/parent/hook.h"
#include "proxy/parent/notify.h"
#include "proxy/privilege.h"
#include "proxy/parent/store.h"
#include "proxy/parent/upgrade.h"
#include "proxy/parent/watch.h"
#include "tls/tls.h"

struct parent_options {
	const char *path;          /* of the configuration */
	struct conf_source more;   /* read behind it; without a path: there is none */
	struct conf_source source; /* instead of a path, when that is NULL: one that is made up */
	bool as_caller;            /* also as root: workers run as whoever started the parent */
	const char *greeting;      /* a line for standard output once requests are served; NULL: none */
	enum log_level log_level;
	char **argv;               /* how it was started, for another binary to be started the same way */
};

/* Runs until it is told to stop. Returns the exit status. */
int parent_run(const struct parent_options *o);

/* ---- shared by the parent's files ---- */

struct parent;

/* A listening socket. Its number is never used again, and workers know it by that. */
struct parent_socket {
	struct list node; /* parent.sockets, by id */
	uint32_t id;
	int fd;
	struct addr addr;
	char name[ADDR_TEXT_BYTES];
	bool given; /* by the service manager, who also keeps its file */
	bool lent;  /* by another parent, whose place this one has not yet taken */
};

/* Connections on `socket` with this local address belong to `listener`. */
struct parent_row {
	struct parent_socket *socket;
	struct addr addr;
	const struct conf_listener *listener;
	bool optional; /* not every machine has it: the IPv6 half of all addresses, one of an interface */
};

/* A configuration with all that the parent made for it. */
struct parent_conf {
	uint64_t generation; /* 0: none */
	int bundle;          /* sealed memory file */
	struct config *conf;
	struct parent_row *rows;
	size_t nrows, cap;
	struct priv_user user;
	struct priv_user acme_user;
	uint64_t certs;      /* issue.certs when its bundle was made */
};

/* A file that workers write to: opened here, by its path, over reloads. */
struct parent_log {
	struct list node;
	int fd;
	char path[];
};

struct child {
	struct list node; /* parent.children */
	struct parent *parent;
	struct parent_slot *slot; /* NULL: the trial, or one that only drains */
	struct msg_channel channel;
	struct grave grave;
	pid_t pid;
	enum msg_role role;
	unsigned index;           /* of a worker */
	int column;               /* in the counters; -1: none */
	uint64_t born_ms;
	uint64_t sent;            /* generation it was last told to load */
	uint64_t loading;         /* the same until it answers, or it is taken back; 0: none */
	uint64_t loaded, committed;
	struct msg_counts counts; /* what it said last: .generation is the one it serves */
	uint32_t last_socket;     /* highest id it was sent */
	uint32_t token_have;      /* and of the tokens that it has taken */
	unsigned unanswered;      /* STATUS messages */
	struct collect_child known; /* what it told of itself */
	struct priv_user user;    /* whom it was started as */
	uint64_t fd_limit;        /* and with which limit */
	bool expected;            /* that it ends */
};

/* A place for a process that is always there. */
struct parent_slot {
	struct parent *parent;
	enum msg_role role;
	unsigned index;          /* of a worker */
	struct child *child;     /* NULL while it waits to be started again, or is not wanted */
	struct child *replaced;  /* serves until `child` does */
	struct timer respawn;
	uint64_t delay_ms;
};

enum reload_phase {
	RELOAD_IDLE,
	RELOAD_TRIAL,   /* a trial process loads it */
	RELOAD_LOADING, /* all workers load it */
};

enum reload_why {
	RELOAD_ASKED,   /* somebody wants the configuration to be read */
	RELOAD_RENEWAL, /* what is loaded is what is served, with the store as it is now */
	RELOAD_FILES,   /* the same, with the files that it names as they are now */
};

struct reload {
	enum reload_phase phase;
	struct parent_conf next;
	struct child *trial;
	struct timer deadline;
	bool is_refused; /* whatever the trial says: told already */
	bool is_dry; /* ends when it has been tried */
	bool again; /* asked for meanwhile */
	char *said; /* on the way: for whoever asked for it */
	size_t said_bytes;
	enum reload_why why;
	bool is_quiet;           /* what is wrong is not told, but noted */
	uint64_t renew_ms;       /* not before then */
	struct timer renew_timer;
};

/* Names of upstreams. */
struct lookup {
	struct list names;
	struct timer hold; /* a configuration waits for their addresses; not set: not, or not any more */
};

/* Which reasons for outages were told lately. */
struct reasons {
	struct {
		uint64_t hash, ms;
	} last[16];
	size_t next;
	struct log_gate gate;
};

/* What the process that obtains certificates has asked for. */
struct issue {
	struct list challenges, states;
	struct hooks hooks;
	size_t nchallenges;
	uint32_t ids;   /* given out to tokens */
	uint64_t certs; /* that have come so far */
};

enum parent_state { PARENT_STARTING, PARENT_SERVING, PARENT_STOPPING };

enum { PARENT_SLOTS_MAX = COUNT_COLUMNS / 2 };

/* Processes that serve no client; each is there when the configuration needs it. */
enum { PARENT_RESOLVER, PARENT_ACME, PARENT_HELPERS };

struct parent {
	const struct parent_options *options;
	enum parent_state state;
	int exit_status;
	int exe, null;             /* this program; /dev/null */
	struct event signals;
	struct work signals_work;
	struct count *count;
	struct parent_conf current;
	struct reload reload;
	uint64_t generations;      /* given out */
	uint64_t told;             /* generation that the log says is served */
	struct list children;
	struct parent_slot *slots; /* PARENT_SLOTS_MAX of them, nslots in use */
	unsigned nslots;
	struct parent_slot helpers[PARENT_HELPERS];
	uint64_t fd_limit;         /* of children that are born now */
	uint64_t fd_limit_start;   /* without the key */
	struct list sockets;
	struct list given;         /* until a configuration is served */
	uint32_t socket_ids;
	uint64_t interfaces;       /* iface_signature when listening sockets were last looked for */
	struct list logs;
	struct parent_log *error_log; /* NULL: standard error */
	struct tls_ticket_key tickets[TLS_TICKET_KEYS];
	size_t ntickets;
	uint64_t tickets_due_ms;   /* of those that another parent has made: until there is to be a new one */
	struct upgrade upgrade;
	struct heir heir;
	bool has_pid_file;
	bool is_terminated;        /* the first SIGTERM has come */
	struct notify notify;
	struct lookup lookup;
	struct reasons reasons;
	struct issue issue;
	struct store store;
	struct watch watch;
	struct control control;
	struct collect collect;
	struct timer ticket_timer, ping_timer, stop_timer;
};

/* Says what is in the report, or in the lines of text: at the start on standard error, later in the log. */
void parent_tell(struct parent *p, const struct conf_report *r);
void parent_tell_text(struct parent *p, enum log_level level, const char *text);
/* A configuration has been committed: what it asks of the parent itself, before workers are born. */
void parent_settle(struct parent *p);
/* All workers serve the current configuration. */
void parent_serves(struct parent *p);
/* What the service manager waits for after a start and after every reload, refused ones too. */
void parent_tell_ready(struct parent *p);
/* SIGTERM's meaning: what is in progress is finished, within timeouts.drain. */
void parent_terminate(struct parent *p);
/* All is this parent's now: the world is told. */
void parent_begin(struct parent *p);
/* Another parent has taken over: finishes what is in progress, and ends. */
void parent_leave(struct parent *p);
/* ... but is dead: ends soon, so that the service manager starts anew. */
void parent_abandon(struct parent *p);
/* Cannot start: ends with status 1. */
void parent_give_up(struct parent *p);
/* A child has been reaped. */
void parent_child_gone(struct parent *p);

/* What a parent takes from its children, by type (handlers.c). */
#define X(NAME, name, from, to, min, max, fds) msg_handler parent_on_##name;
MSG_UP_TABLE(X)
#undef X
extern const struct msg_handlers handlers_parent;
