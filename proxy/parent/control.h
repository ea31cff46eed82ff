/*
 * control.h - the control socket: what `gatehouse status`, `reload`, `stop` ... ask of a parent that runs.
 *
 * A SOCK_SEQPACKET socket in the file system, 0600, or 0660 for the group that `control-group` names. A
 * caller sends one packet, a word of the table, for some NUL and a name behind it, and gets packets back,
 * each a struct control_reply with bytes behind it; the last one is CONTROL_OVER. The parent never waits
 * for a caller: all of them have deadlines, and what is queued for one is bounded. Nothing that came from
 * the network is read here.
 *
 * Called by the parent (the first half) and by ask.c, which is the other side (the second half).
 */
#pragma once

#include "conf/report.h"
#include "core/target.h"

struct parent;
struct picture;

/* Columns: id, the packet. */
#define CONTROL_COMMAND_TABLE(X)      \
	X(STATUS, "status")           \
	X(RELOAD, "reload")           \
	X(TRY, "reload --dry-run")    \
	X(REOPEN, "reopen")           \
	X(CERT, "cert")               \
	X(CERT_RENEW, "cert renew")   \
	X(CERT_REVOKE, "cert revoke") \
	X(STOP, "stop")               \
	X(UPGRADE, "upgrade")

enum control_command {
#define X(id, word) CONTROL_##id,
	CONTROL_COMMAND_TABLE(X)
#undef X
	CONTROL_COMMAND_COUNT
};

/* ---- the parent ---- */

/* The socket and those who have come by it; zero before the first. */
struct control {
	int fd; /* 0: none */
	struct event ev;
	struct work accept;
	struct addr addr;
	dev_t dev;
	ino_t ino;
	gid_t group; /* (gid_t)-1: none */
	bool is_full;
	bool is_lent; /* by another parent, or to it: neither listened to nor removed */
	struct list clients;
	size_t nclients;
	struct control_socket *next; /* of a configuration that is being loaded */
};

void control_init(struct parent *p);
/*
 * Opens what the configuration names, when it is not open: then it waits for the commit. False: r says why. A
 * socket that nobody asked for (the default place) is worth a warning only.
 */
bool control_open(struct parent *p, const struct config *conf, struct conf_report *r) MUST_USE;
/* Commit: what was opened takes the place of what there was. */
void control_settle(struct parent *p);
/* What was opened is closed again. */
void control_abort(struct parent *p);
/* At the parent's end: who waits for that is told. The second part alone. */
void control_close(struct parent *p);
void control_close_socket(struct parent *p);

/* That of another parent, whose place this one is to take: not listened to before control_own. */
void control_inherit(struct parent *p, int fd, const struct addr *a);
void control_own(struct parent *p);
/*
 * An upgrade is over: what was said on the way goes to who asked (NULL: nothing), then who serves now, or 0:
 * it came to nothing.
 */
void control_upgrade_over(struct parent *p, const char *said, pid_t pid);

/* Leaves the socket to another parent. */
void control_lend(struct parent *p);

/* A reload begins, for those who asked for one; `dry`: for those who asked for a dry run. */
void control_reload_begins(struct parent *p, bool dry);
/*
 * It is over: what was said on the way goes to who asked, then what changes (NULL: it was refused). Of one
 * that is to be served, the end is told by control_served.
 */
void control_reload_over(struct parent *p, const char *said, const char *changes, bool dry);
/* All workers serve the current configuration. */
void control_served(struct parent *p);
/* What whoever asked for the status gets. */
void control_pictured(struct parent *p, const struct picture *picture);
/* Nothing is being loaded: perhaps somebody waits for that. */
void control_next(struct parent *p);

/* ---- both sides ---- */

enum control_kind {
	CONTROL_SAYS,  /* text for standard output */
	CONTROL_WARNS, /* text for standard error */
	CONTROL_ROWS,  /* of the picture (picture.h): .status has the low bits of picture_version */
	CONTROL_OVER,  /* nothing behind it: .status is the command's exit status */
};

struct control_reply {
	uint32_t kind, status;
};
enum { CONTROL_REPLY_BYTES = 32 * 1024, CONTROL_REQUEST_BYTES = 384 };

/* Exit statuses beside 0 (done), 1 (refused, and why is told) and 2 (usage); LSB's init scripts have them. */
enum { CONTROL_NOT_RUNNING = 3, CONTROL_NOT_ALLOWED = 4 };

const char *control_word(enum control_command c);

#define CONTROL_SYSTEM_PATH "/run/gatehouse/control"
/*
 * Where the socket lies when the configuration does not say: the service manager's runtime directory, for
 * root /run/gatehouse, for others $XDG_RUNTIME_DIR/gatehouse. False: nowhere.
 */
enum { CONTROL_PATH_BYTES = 108 };
bool control_default_path(char out[CONTROL_PATH_BYTES]) MUST_USE;
