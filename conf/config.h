/*
 * config.h - the immutable, counted configuration that a worker runs on.
 *
 * Plain data in one arena, made by conf_load from the bytes of a bundle; nothing in it changes
 * afterwards. Read by proxy (router, accept, parent). Knows nothing of sockets, TLS contexts or
 * processes.
 */
#pragma once

#include "core/arena.h"
#include "core/limits.h"

/* Where a value was written: for messages that come later (bind errors, certificates). */
struct conf_pos {
	const char *file; /* in the configuration's arena */
	unsigned line, column;
};

enum conf_origin_kind {
	CONF_ORIGIN_PROXY,      /* http:// to a target */
	CONF_ORIGIN_REDIRECT,   /* >https://... */
	CONF_ORIGIN_NOT_SERVED, /* file://, cgi://, callback://: 501, with a warning at load */
};

/* A distinct upstream address. */
struct conf_target {
	struct str name;    /* "unix:/run/app.sock", "127.0.0.1:8080", "[::1]:8080": unique */
	bool is_unix;
	struct str address; /* socket path (leading '@': abstract), or numeric host */
	uint16_t port;
	struct conf_pos pos;
};

struct conf_header {
	struct str name, value;
};

struct conf_mount {
	struct str mountpoint;  /* normalised: begins with '/', no trailing '/' except "/" itself */
	enum conf_origin_kind kind;
	struct conf_target *target; /* PROXY */
	struct str base;        /* PROXY: what replaces the mountpoint, no trailing '/' */
	struct str redirect;    /* REDIRECT: absolute URL, no trailing '/' */
	uint16_t redirect_status;
	struct limits limits;   /* the vhost's, with what the mount overrides */
	struct timeouts timeouts;
	struct conf_pos pos;
};

struct conf_vhost {
	struct str name;        /* lower case, no trailing dot */
	struct conf_listener *listener;
	bool tls;
	struct str cert_path, key_path, ca_path; /* bytes: conf_file of the same path */
	struct conf_pos cert_pos, key_pos, ca_pos;
	struct str ciphers, tls13_ciphers, curves, alpn;
	uint64_t ssl_options_set, ssl_options_clear;
	struct conf_mount *mounts; /* longest mountpoint first */
	size_t nmounts;
	struct conf_header *headers; /* set on every answer */
	size_t nheaders;
	bool sts;
	bool strict_host_check; /* of its listener: names that no vhost has are not answered by the first */
	int access_log;         /* index into config.logs, -1: none */
	struct limits limits;
	struct timeouts timeouts;
	struct conf_pos pos;
};

/* One listening socket (two for "*": one a family). Its name is the parent's key over reloads. */
struct conf_listener {
	struct str name;        /* "*:443", "127.0.0.1:8443", "[::1]:443", "unix:/run/x": unique */
	struct str interface;   /* address in canonical form, interface name, socket path; empty: all */
	struct str unix_user, unix_group; /* owner of the socket file; empty: the parent's own */
	bool is_unix;
	bool no_ipv6, only_ipv6;
	uint16_t port;
	bool tls;
	struct conf_vhost **vhosts; /* in order of definition; the first is the default */
	size_t nvhosts;
	struct conf_pos pos;    /* of the port key */
};

/* A file the configuration names and the parent reads: certificates, keys, style sheet. */
struct conf_file {
	struct str path;
	struct str bytes; /* as bundled */
	struct conf_pos pos;
	bool secret;
};

struct conf_log {
	struct str path;
	struct conf_pos pos;
};

struct conf_global {
	unsigned workers;       /* count-threads; 0: as many as CPUs */
	struct str username, groupname;
	struct str pid_file, control_socket, state_dir;
	struct str error_log;   /* empty: stderr */
	struct str server_string;
	struct str error_css;   /* path of a style sheet instead of the built-in one */
	struct limits limits;
	bool connections_per_address_written; /* the default leaves out loopback and Unix peers */
	struct timeouts timeouts;
};

struct config {
	struct arena arena;     /* this object lies in it too */
	unsigned refs;          /* of this process */
	uint64_t generation;
	struct conf_global global;
	struct conf_listener **listeners;
	size_t nlisteners;
	struct conf_vhost **vhosts;
	size_t nvhosts;
	struct conf_target **targets;
	size_t ntargets;
	struct conf_log *logs;
	size_t nlogs;
	struct conf_file **files;
	size_t nfiles;
	void *map; /* the bundle that files[]->bytes lie in; NULL without one */
	size_t map_bytes;
};

struct config *conf_get(struct config *c);
/* The last one frees it. */
void conf_put(struct config *c);
