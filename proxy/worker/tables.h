/*
 * tables.h - which vhost a name means, and which mount a path: look-up tables over a configuration. Pure.
 *
 * What a look-up costs depends on the length of the name or path, not on how many vhosts or mounts there are.
 * Made by site, which hangs the running parts (contexts, targets, logs) into the entries; asked by route.
 */
#pragma once

#include "conf/config.h"
#include "conf/names.h"
#include "proxy/map.h"

struct raw_target;
struct up_target;
struct tls_context;
struct tls_listener;
struct alog;
struct tally;
struct auth;

struct site_mount {
	const struct conf_mount *conf;
	struct up_target *target; /* of a proxied one */
	struct auth *auth;        /* NULL: everybody may come in */
};

struct site_vhost {
	const struct conf_vhost *conf;
	struct site_mount *mounts; /* in the order of conf->mounts */
	size_t nmounts;
	struct map mountpoints;    /* "/" is "" here, so that every path is under it */
	struct map exact;          /* those of one path, as they are */
	size_t longest_mountpoint, longest_exact;
	struct tls_context *tls;
	struct str client_ca;     /* what clients' certificates are checked against; empty: nothing */
	struct alog *log;         /* NULL: none */
	struct tally *tally;
	struct str *pages;        /* what conf->pages are */
};

struct site_listener {
	const struct conf_listener *conf;
	struct site_vhost **vhosts; /* as defined; the first is the default */
	size_t nvhosts;
	struct conf_names *names; /* of the vhosts, by their index */
	bool strict;              /* strict-host-check, in any of them: no default */
	struct tls_listener *tls;
	struct raw_target *onward; /* NULL: none */
};

/* What the router chose, for who comes by the exchange (x->mount). */
struct mount_ref {
	const struct site_vhost *vhost;
	const struct site_mount *mount;
};

struct tables {
	struct site_listener *listeners; /* in the order of config.listeners */
	size_t nlisteners;
	struct site_vhost *vhosts;       /* in the order of config.vhosts */
	size_t nvhosts;
	struct map listener_names;
};

/* Makes all tables of c in a. c is borrowed as long as the tables are used. */
void tables_init(struct tables *t, struct arena *a, const struct config *c);

struct site_listener *tables_listener(const struct tables *t, struct str name);

/*
 * The vhost for a host, by the rule of conf/names.h, as tls chooses by SNI; when no name is meant, the
 * first, or NULL when the listener is strict. `host` is an authority ("Example.com.:8443", "[::1]:443") or a
 * server name; its port, case and trailing dot do not count, and an empty one (HTTP/1.0) means the first.
 * *steps (may be NULL) grows by the table slots looked at.
 */
struct site_vhost *tables_vhost(const struct site_listener *l, struct str host, unsigned *steps);

/*
 * The mount of exactly this normalised path, or the one with the longest mountpoint that is whole segments of
 * it; NULL when none is.
 */
struct site_mount *tables_mount(const struct site_vhost *v, struct str path, unsigned *steps);
/* The mount that has this mountpoint and what lies below it, or NULL. */
struct site_mount *tables_mount_at(const struct site_vhost *v, struct str mountpoint);
