/*
 * privilege.h - whom the children run as, and how they become that.
 *
 * Knows users, groups and capabilities. Called by the parent (who children are to be, and what it keeps
 * itself), by a child between fork and exec (become it), and by every child's main (what exec undid).
 */
#pragma once

#include "core/base.h"

struct priv_user {
	bool change; /* started as root: the rest is to be put on */
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	int ngroups;
	char name[64]; /* for the log */
};

/* What was found out about a user, for the caller to say. */
enum priv_found {
	PRIV_OK,
	PRIV_NOBODY,  /* none was named, and there is no user "gatehouse": it is "nobody" */
	PRIV_IGNORED, /* named, but only root can change to it */
	PRIV_NO_USER, /* no such user */
	PRIV_NO_GROUP,
};

/*
 * Finds who `username` and `groupname` are; both may be empty. Not started as root, or with as_caller: the
 * caller himself. Release with priv_fini in every case.
 */
enum priv_found priv_find(struct priv_user *u, struct str username, struct str groupname,
			  bool as_caller) MUST_USE;
void priv_fini(struct priv_user *u);
/* Would a child be the same one? */
bool priv_equal(const struct priv_user *a, const struct priv_user *b);

/* What the parent may keep beside what it always needs: low ports, and starting children as another user. */
enum priv_more {
	PRIV_CHOWN = 1,    /* a Unix socket's file goes to another user */
	PRIV_RESOURCE = 2, /* more descriptors than it was started with */
	PRIV_SOURCE = 4,   /* sockets with a client's address (IP_TRANSPARENT) */
};

/*
 * Of the capabilities that the caller has, keeps the needed ones and `more`; the others are gone for good,
 * also for what is executed. Returns what failed, or NULL; errno says why.
 */
const char *priv_keep(unsigned more) MUST_USE;

/*
 * Between fork and exec of another parent: capabilities that it is to have as well. Without root a program
 * that is executed gets the ambient ones only. What cannot be passed on is missed later, where it is needed.
 */
void priv_pass_on(void);

/*
 * For good: groups, group, user, no capability in any set, no_new_privs. Called in a fresh child. Returns
 * what failed, or NULL; errno says why.
 */
const char *priv_become(const struct priv_user *u) MUST_USE;
/* After exec: no core dump, no ptrace, no other process of that user reads /proc/self/mem. */
void priv_seal(void);
