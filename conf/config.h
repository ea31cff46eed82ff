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

/* A text, and where it was written: a path, a list of ciphers. Empty: it was not. */
struct conf_entry {
	struct str text;
	struct conf_pos pos;
};

enum conf_origin_kind {
	CONF_ORIGIN_PROXY,      /* http:// to a target */
	CONF_ORIGIN_REDIRECT,   /* >https://... */
	CONF_ORIGIN_STATUS,     /* status: how this Gatehouse is doing, as a page */
	CONF_ORIGIN_METRICS,    /* metrics: the same for Prometheus */
	CONF_ORIGIN_NOT_SERVED, /* file://, cgi://, callback://: 501, with a warning at load */
};

/* Path of a file that the parent looks for where systems have their CA certificates. */
#define CONF_SYSTEM_CA "system"

/* How TLS is spoken to an upstream. */
struct conf_up_tls {
	struct str name;          /* SNI, and whom its certificate has to be for; empty: anybody */
	bool unverified;          /* nothing of its certificate is looked at */
	struct conf_entry ca;     /* path: its certificate has to lead up to one of these */
	struct conf_entry cert, key; /* paths: what it is shown; empty: nothing */
	struct conf_entry ciphers, tls13_ciphers;
	uint64_t options_set, options_clear;
	struct conf_pos set_pos, clear_pos;
};

/* A distinct upstream: an address, and how it is spoken to. */
struct conf_target {
	/* "unix:/run/app.sock", "127.0.0.1:8080", "app:8080", "https://[::1]:8080#2" ...: unique */
	struct str name;
	struct conf_up_tls *tls; /* NULL: it is not */
	bool is_unix, is_name;
	struct str address; /* socket path (leading '@': abstract), numeric host, or a name (lower case) */
	uint16_t port;
	struct conf_pos pos;
};

/* What happens to fields of that name; rules are followed in their order. */
enum conf_header_op {
	CONF_HEADER_SET,    /* this one instead of all there are */
	CONF_HEADER_ADD,    /* this one, too */
	CONF_HEADER_REMOVE,
};

struct conf_header {
	struct str name, value;
	enum conf_header_op op;
};

/* A file that is the body of error pages with this status, for who takes HTML. */
struct conf_page {
	uint16_t status;
	struct str path; /* bytes: conf_file of the same path */
};

/* Addresses whose first bits are these; IPv4 ones as ::ffff:0:0/96 (RFC 4291 section 2.5.5.2). */
struct conf_net {
	uint8_t ip[16];
	uint8_t bits;
};

/* Who is meant by a list of addresses and networks. */
struct conf_peers {
	struct conf_net *nets;
	size_t n;
	bool unix_peers; /* whoever comes by a Unix socket */
};

struct conf_mount {
	struct str mountpoint;  /* normalised: begins with '/', no trailing '/' except "/" itself */
	enum conf_origin_kind kind;
	struct conf_target *target; /* PROXY */
	struct str base;        /* PROXY: what replaces the mountpoint, no trailing '/' */
	bool exact;             /* for this very path: the mountpoint is as it was written */
	struct str redirect;    /* REDIRECT: absolute URL, no trailing '/' */
	bool redirect_as_is;    /* to that URL as it was written, without the request's path and query */
	uint16_t redirect_status;
	struct conf_header *headers, *request_headers; /* the vhost's, then its own */
	size_t nheaders, nrequest_headers;
	struct str auth_path;   /* who may come in; empty: everybody. bytes: conf_file of the same path */
	struct str auth_realm;
	bool auth_forward;      /* the upstream gets the credentials too */
	struct conf_pos auth_pos;
	struct limits limits;   /* the vhost's, with what the mount overrides */
	struct timeouts timeouts;
	struct conf_pos pos;
};

/*
 * What a listener does with connections that do not speak what it is for. Its first vhost says; what the
 * others say has no effect.
 */
struct conf_raw {
	bool only;          /* every connection goes to onward, unseen */
	bool fallback;      /* so do those that are neither TLS nor HTTP */
	bool redirect_http; /* of a TLS listener: plain HTTP is sent to https:// */
	bool allow_http;    /* or is served */
	bool proxy_header;  /* onward is told the client's address */
	bool transparent;   /* or sees it as that of the connection */
	struct conf_target *onward; /* NULL: nowhere; never one of config.targets */
	struct conf_pos pos; /* of the first such key; line 0: there is none */
};

/*
 * A certificate with its chain, and its key: paths. bytes: conf_file of the same path. Both may be one file:
 * the chain first, then the key.
 */
struct conf_cert {
	struct conf_entry cert, key;
};

/* ---- certificates that a CA is asked for (RFC 8555) ---- */

enum conf_acme_kind { CONF_ACME_ECDSA, CONF_ACME_RSA, CONF_ACME_KINDS };

enum conf_acme_challenge {
	CONF_ACME_TLS_ALPN_01, /* RFC 8737 */
	CONF_ACME_HTTP_01,     /* RFC 8555 section 8.3 */
	CONF_ACME_DNS_01,      /* section 8.4: by a hook program */
	CONF_ACME_CHALLENGES,
};

/* An account with a CA. */
struct conf_acme_account {
	struct str directory;         /* URL, https:// */
	struct conf_pos pos;          /* where it was written, or what asks for it */
	struct conf_file *file;       /* its key and what the CA said about it; in the store */
	struct conf_file *trust;      /* CA certificates for the directory's own https; NULL: the system's */
	struct str *emails;           /* contacts, without "mailto:" */
	size_t nemails;
	struct str eab_kid, eab_hmac; /* external account binding (section 7.3.4): key as base64url */
	struct conf_file *eab_file;   /* or it lies there; NULL: none does */
};

/* A certificate to be had, of each kind of key one. */
struct conf_acme_cert {
	struct str id;                /* its first name: unique */
	struct str *names;            /* lower case; what it is to be good for */
	size_t nnames;
	bool kinds[CONF_ACME_KINDS];
	struct conf_file *certs[CONF_ACME_KINDS]; /* in the store; NULL: not that kind */
	struct conf_file *keys[CONF_ACME_KINDS];  /* the same file, or one of its own */
	struct conf_file *state;      /* what is known of orders; in the store */
	enum conf_acme_challenge challenges[CONF_ACME_CHALLENGES]; /* in the order they are tried */
	size_t nchallenges;
	struct str hook;              /* program for dns-01 */
	struct conf_acme_account **accounts; /* in the order they are tried */
	size_t naccounts;
	struct conf_pos pos;
};

struct conf_acme {
	struct conf_acme_cert **certs;
	size_t ncerts;
	struct conf_acme_account **accounts; /* all of them */
	size_t naccounts;
};
struct conf_key;

struct conf_vhost {
	struct str name;        /* lower case, no trailing dot */
	struct conf_listener *listener; /* the first of them */
	struct conf_listener **listeners;
	size_t nlisteners;
	bool tls;
	struct conf_cert *certs;     /* one for each kind of key */
	size_t ncerts;
	struct conf_acme_cert *acme; /* where they come from; NULL: from the user */
	bool ignore_missing_cert;    /* without them: its handshakes fail, and nothing else does */
	struct conf_entry ca;        /* path: completes chains */
	struct conf_entry client_ca; /* path: clients need a certificate that leads up to one of these */
	struct conf_entry ciphers, tls13_ciphers, curves;
	struct str alpn;
	unsigned tls_min;            /* 12 or 13; 0: the default */
	uint64_t ssl_options_set, ssl_options_clear;
	struct conf_pos ssl_set_pos, ssl_clear_pos;
	struct conf_mount *mounts; /* longest mountpoint first */
	size_t nmounts;
	struct conf_header *headers, *request_headers; /* for answers, for requests to upstreams */
	size_t nheaders, nrequest_headers;
	struct conf_page *pages;
	size_t npages;
	struct conf_raw raw;
	bool sts;
	bool websocket_over_h2; /* by the name that a client gave in TLS */
	bool strict_host_check; /* of its listener: names that no vhost has are not answered by the first */
	int access_log;         /* index into config.logs, -1: none */
	bool access_log_json;   /* instead of the combined format */
	struct limits limits;
	struct timeouts timeouts;
	uint64_t hash;               /* of what is written in it, whatever the comments and blanks */
	struct conf_pos pos;
};

/* One listening socket (two for "*": one a family). Its name is the parent's key over reloads. */
struct conf_listener {
	struct str name;        /* "*:443", "127.0.0.1:8443", "[::1]:443", "unix:/run/x": unique */
	struct str interface;   /* address in canonical form, interface name, socket path; empty: all */
	struct str unix_user, unix_group; /* owner of the socket file; empty: the parent's own */
	unsigned unix_mode;     /* of the socket file; 0: 0600 */
	bool is_unix;
	bool no_ipv6, only_ipv6;
	uint16_t port;
	bool tls;
	bool plain_too;         /* of a TLS one: plain HTTP is allowed, and vhosts may want nothing else */
	struct conf_vhost **vhosts; /* in order of definition; the first is the default */
	size_t nvhosts;
	struct conf_pos pos;    /* of the port key */
};

/* Whose bundle a file goes into: bits. */
enum conf_audience { CONF_FOR_WORKERS = 1, CONF_FOR_ACME = 2 };

/* A file the configuration names and the parent reads: certificates, keys, passwords, pages. */
struct conf_file {
	struct str path;
	struct str bytes; /* as bundled; absent: it is not there, or is for others */
	struct conf_pos pos;
	unsigned audience;
	bool secret;
	bool needed;      /* without it the configuration cannot be served */
	bool is_store;    /* written by the parent, on behalf of the acme process */
};

struct conf_log {
	struct str path;
	struct conf_pos pos;
};

/* Clients whose User-Agent has this in it are sent away. */
struct conf_reject {
	struct str keyword; /* any case */
	uint16_t status;
	struct str message; /* empty: the status's own */
};

struct conf_global {
	unsigned workers;       /* count-threads; 0: as many as CPUs */
	struct str username, groupname;
	struct str acme_username; /* whom the acme process and its hooks run as; empty: as workers do */
	struct str pid_file, state_dir;
	struct str control_socket; /* absent: at the default place; empty: there is none */
	struct str control_group;  /* who may use it, too; empty: only its owner */
	bool access_log_json;   /* of vhosts that do not say */
	struct str error_log;   /* a path, "syslog" or "syslog:PATH"; empty: stderr */
	uint64_t rlimit_nofile; /* 0: as many as the parent may have */
	struct str server_string;
	struct str error_css;   /* path of a style sheet instead of the built-in one */
	struct limits limits;
	struct conf_reject *rejects;
	size_t nrejects;
	struct conf_peers trusted;        /* proxies that say truly whom they speak for */
	struct conf_peers proxy_protocol; /* those that begin with a PROXY header, always */
	bool forwarded, via;    /* Forwarded and Via are added */
	bool connections_per_address_written; /* the default leaves out loopback and Unix peers */
	bool raw_rate_written;  /* the same */
	struct timeouts timeouts;
};

/* A key that was written in `global`, or in a section there. */
struct conf_setting {
	const struct conf_key *key;
	uint64_t hash; /* of its value */
};

struct config {
	struct arena arena;     /* this object lies in it too */
	unsigned refs;          /* of this process */
	uint64_t generation;
	struct conf_global global;
	struct conf_setting *settings; /* in the order of the key table */
	size_t nsettings;
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
	struct conf_acme acme;
	void *map; /* the bundle that files[]->bytes lie in; NULL without one */
	size_t map_bytes;
};

struct config *conf_get(struct config *c);
/* Does a listener have the key onward-transparent? */
bool conf_has_transparent(const struct config *c);
/* The last one frees it. */
void conf_put(struct config *c);
