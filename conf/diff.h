/*
 * diff.h - what a new configuration changes: vhosts, listeners, certificates, files, global keys.
 *
 * Compares what is written, and the bytes of the files that are named; order does not count, but for the
 * order within a vhost. Pure. Called by the parent, for whoever asked for a reload.
 */
#pragma once

#include "conf/config.h"

/* Columns: id, what it is (one, more), what happens to it (to one, to more). */
#define CONF_CHANGE_TABLE(X)                                                         \
	X(VHOST_CHANGES, "vhost", "vhosts", "changes", "change")                     \
	X(VHOST_COMES, "vhost", "vhosts", "is new", "are new")                       \
	X(VHOST_GOES, "vhost", "vhosts", "goes", "go")                               \
	X(LISTENER_OPENS, "listener", "listeners", "opens", "open")                  \
	X(LISTENER_CLOSES, "listener", "listeners", "closes", "close")               \
	X(CERTIFICATE_CHANGES, "certificate", "certificates", "changes", "change")   \
	X(FILE_CHANGES, "other file", "other files", "changes", "change")            \
	X(KEY_CHANGES, "global key", "global keys", "changes", "change")             \
	X(KEY_RESTARTS, "global key", "global keys", "replaces the workers one by one", \
	  "replace the workers one by one")

enum conf_change_kind {
#define X(id, one, more, happens, happen) CONF_##id,
	CONF_CHANGE_TABLE(X)
#undef X
	CONF_CHANGE_COUNT
};

struct conf_change {
	enum conf_change_kind kind;
	struct str what; /* "www.example.com on *:443", a path, "limits.connections" */
};

struct conf_diff {
	struct arena arena; /* of the list and its texts */
	struct conf_change *list;
	size_t n, cap;
	size_t counts[CONF_CHANGE_COUNT];
};

/* Fills d, to be given to conf_diff_fini; it borrows nothing of the two. */
void conf_diff(struct conf_diff *d, const struct config *before, const struct config *after);
void conf_diff_fini(struct conf_diff *d);
/* "2 vhosts change, 1 listener opens"; "nothing changes". Without a line's end. */
void conf_diff_summary(const struct conf_diff *d, FILE *out);
/* Each change as a line, blanks in front; after `most` of them, how many more there are. */
void conf_diff_list(const struct conf_diff *d, size_t most, FILE *out);
