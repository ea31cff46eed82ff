/*
 * priv.h - inside conf: from bytes to a tree of nodes, from nodes to the configuration.
 *
 *	prepare.c  bytes made fit for libyaml        explain.c  libyaml's errors in plain words
 *	read.c     events into nodes                 value.c    texts into numbers, durations, sizes
 *	keys.c     the key table                     walk.c     a mapping against the key table
 *	load.c     the pass over all files           global.c, vhost.c, listener.c, mount.c, headers.c,
 *	                                             net.c, pages.c, acme.c  the setters
 *	origin.c   what a mount's origin says        map.c      names to objects
 */
#pragma once

#include "conf/keys.h"
#include "conf/load.h"

/* ---- report.c ---- */

/* A configuration file as it was read, for the lines that messages show. */
struct conf_text {
	struct str path, bytes;
};

/* ---- map.c: what was named before; keys are borrowed ---- */

struct conf_map_slot {
	struct str key;
	void *value;
};

struct conf_map {
	struct conf_map_slot *slots;
	size_t n, cap;
};

/* Where the value for key is, NULL inside when it is new (to be set by the caller at once). */
void **conf_map_at(struct arena *a, struct conf_map *m, struct str key);

/* ---- prepare.c ---- */

/* Takes a character off s. False: the bytes there are no UTF-8, or s is empty; s is unchanged then. */
bool conf_take_char(struct str *s, uint32_t *code) MUST_USE;

/* Why a file cannot be read. Texts are static. */
struct conf_fault {
	unsigned line, column;
	const char *reason, *remedy;
};

/*
 * Where a line begins in the original, and its indentation: characters there, columns in the prepared
 * bytes.
 */
struct conf_line {
	const char *at;
	unsigned indent, indent_seen;
};

/*
 * A file's bytes as libyaml takes them: UTF-8 without a mark, tabs in the indentation turned to blanks, in
 * JSON-style files comments cut. A character keeps its line, and all but for the tabs its column.
 */
struct conf_prepared {
	struct str bytes;
	bool json_style;
	bool tabs; /* there are some */
	struct conf_line *lines;
	size_t nlines, lines_cap;
};

bool conf_prepare(struct arena *a, struct str in, struct conf_prepared *out,
		  struct conf_fault *fault) MUST_USE;
/* The column in the original of a column in the prepared bytes, both 1-based. */
unsigned conf_original_column(const struct conf_prepared *p, unsigned line, unsigned column) MUST_USE;
/* Whether a stands left of b, below it or right of it does not depend on how wide tabs are shown. */
bool conf_same_with_any_tab(const struct conf_prepared *p, struct conf_pos a, struct conf_pos b) MUST_USE;

/* ---- read.c ---- */

enum conf_node_kind { CONF_NODE_SCALAR, CONF_NODE_SEQUENCE, CONF_NODE_MAPPING };

struct conf_node {
	enum conf_node_kind kind;
	bool plain; /* a scalar without quotes */
	struct conf_pos pos;
	struct str text;         /* SCALAR */
	struct conf_node *key;   /* of a value in a mapping: the scalar before it */
	struct conf_node *child; /* the first one */
	struct conf_node *next;  /* in the same mapping or sequence */
};

/*
 * Reads one file into nodes, which lie in a; file is what their positions name. What is wrong goes to r.
 * NULL: these bytes cannot be read at all, and r says so. Otherwise: step until it is not MORE, then
 * close.
 */
struct conf_reader;
enum conf_reading {
	CONF_READING_MORE,
	CONF_READING_DONE,
	CONF_READING_STOPPED, /* it cannot be read to its end: what was read is worth nothing */
};
struct conf_reader *conf_reader_open(struct arena *a, struct str bytes, const char *file,
				     struct conf_report *r) MUST_USE;
enum conf_reading conf_reader_step(struct conf_reader *rd, unsigned events) MUST_USE;
/* The root, NULL when the file is empty. */
struct conf_node *conf_reader_close(struct conf_reader *rd);
/* Of all that is written in it; equal for equal texts in equal order. */
uint64_t conf_node_hash(const struct conf_node *node);
/* The value of a key in a mapping, NULL: none, or node is no mapping (or NULL). */
const struct conf_node *conf_node_get(const struct conf_node *node, const char *key);

/* ---- explain.c ---- */

/* What the scanner complains about: libyaml's words, and its places in the prepared bytes. */
struct conf_complaint {
	const char *problem, *context;
	struct conf_pos at, context_at;
	struct conf_pos open_at; /* of the innermost bracket that is open */
	const struct conf_prepared *text;
};

/* A line 0 in context_at or open_at: there is none. */
void conf_explain(const struct conf_complaint *c, struct conf_report *r);

/* ---- value.c: pure ---- */

enum conf_value {
	CONF_VALUE_OK,
	CONF_VALUE_FORM,  /* not written like one */
	CONF_VALUE_ZEROS, /* leading zeros */
	CONF_VALUE_LARGE,
};

enum conf_value conf_to_bool(struct str s, bool *out) MUST_USE;
enum conf_value conf_to_number(struct str s, uint64_t max, uint64_t *out) MUST_USE;
enum conf_value conf_to_ms(struct str s, uint64_t *out) MUST_USE;
enum conf_value conf_to_bytes(struct str s, uint64_t *out) MUST_USE;
#define CONF_COUNT_MAX ((uint64_t)INT32_MAX)
#define CONF_MS_MAX (365ull * 24 * 3600 * 1000)
#define CONF_BYTES_MAX (1ull << 40)

/* ---- origin.c: pure ---- */

enum { CONF_UNIX_PATH_BYTES = 107 };

struct conf_origin {
	enum conf_origin_kind kind;
	bool tls;
	bool is_unix;
	struct str address;  /* socket path, or host as written, without brackets */
	bool is_ip6;
	uint16_t port;
	struct str base;     /* slice, no trailing '/' */
	struct str redirect; /* slice, no trailing '/' */
	struct str redirect_url; /* the same as it was written */
	bool has_query;      /* in redirect_url is a '?' or '#' */
	const char *not_served; /* NOT_SERVED: what is not served */
};

/* NULL, or a static reason why s is no origin; then *remedy may be set. Slices point into s. */
const char *conf_origin_parse(struct str s, struct conf_origin *o, const char **remedy) MUST_USE;
/* The same for a mountpoint: *out is s without trailing '/'. */
const char *conf_mountpoint_parse(struct str s, struct str *out, const char **remedy) MUST_USE;
/* And for a vhost's name: *out has no trailing dot; case is as written. */
const char *conf_name_parse(struct str s, struct str *out, const char **remedy) MUST_USE;
/*
 * And for the host of an upstream that is written without brackets: *out is its canonical text, an IPv4
 * address or a name in lower case.
 */
const char *conf_upstream_parse(struct arena *a, struct str host, struct str *out, bool *is_name,
				const char **remedy) MUST_USE;
/* And where raw connections go, "ipv4:127.0.0.1:22": is_unix, address, is_ip6 and port of *o are set. */
const char *conf_onward_parse(struct str s, struct conf_origin *o, const char **remedy) MUST_USE;
/* Canonical text of a numeric address (no brackets). False: it is none. */
bool conf_address_parse(struct arena *a, struct str host, struct str *out, bool *is_ip6) MUST_USE;

/* ---- net.c: pure ---- */

/* "192.0.2.1", "10.0.0.0/8", "2001:db8::/32". NULL, or a static reason why s is none of that. */
const char *conf_net_parse(struct str s, struct conf_net *out) MUST_USE;

/* ---- load.c, walk.c ---- */

struct conf_entries {
	struct conf_entry *list;
	size_t n, cap;
};

/* The keys about obtaining certificates as they were written, in a vhost or for all of them. */
struct conf_acme_keys {
	struct conf_entries directories, names, challenges, emails;
	struct conf_entry trust, kinds, hook, eab_kid, eab_hmac, eab_file;
	struct conf_entry auth_path, cert_path, key_path, common_name;
};

/* A vhost that has its certificate obtained, until all vhosts are known: some share one. */
struct conf_acme_draft {
	struct conf_vhost *vhost;
	struct conf_acme_keys keys;
	struct conf_acme_cert *cert;
	struct conf_acme_draft *next;
};

/* In this order; a phase ends when there is no more of what it takes one by one. */
enum conf_phase { CONF_PHASE_FILES, CONF_PHASE_GLOBALS, CONF_PHASE_VHOSTS, CONF_PHASE_DONE };

struct conf_loader {
	const struct conf_source *src;
	size_t nsrc, next_src;
	struct conf_reader *reader; /* of the file before next_src, NULL between two files */
	enum conf_phase phase;
	struct config *c;
	struct arena tmp; /* nodes and maps: gone after loading */
	struct conf_report *r;
	struct str data_dir;
	size_t errors_before; /* in the report, of others */
	bool stopped; /* a file could not be read to its end: what is missing may stand there */
	const struct conf_node **globals, **vhost_lists;
	size_t nglobals, globals_cap, nvhost_lists, vhost_lists_cap;
	size_t next_list;
	const struct conf_node *vhost; /* the last one loaded of the list before next_list */
	const struct conf_node *global_seen[CONF_KEY_COUNT];
	bool noted[CONF_KEY_COUNT], plugin_noted;
	struct str default_alpn;
	struct conf_acme_keys acme; /* of `global` */
	bool acme_staging;
	struct conf_acme_draft *acme_first, **acme_end;
	size_t acme_certs_cap, acme_accounts_cap;
	struct conf_map targets, listeners, files, logs, names;
	size_t targets_cap, listeners_cap, vhosts_cap, files_cap, logs_cap, rejects_cap;
};

/* A vhost while it is read. */
struct conf_vhost_draft {
	struct conf_vhost v;
	struct conf_entries certs, keys;
	struct conf_acme_keys acme;
	const struct conf_node *acme_at; /* what says that its certificate is obtained; NULL: nothing does */
	struct conf_entry client_cert_ca;
	struct conf_up_tls up_tls; /* of its mounts, where they do not say otherwise */
	bool client_cert_required;
	struct str unix_user, unix_group;
	unsigned unix_mode;
	size_t listeners_cap, pages_cap;
	uint16_t port;
	bool unix_socket, no_ipv6, only_ipv6;
	bool guarded; /* something that is not enforced yet protects it: 501 */
	const struct conf_node *node, *mounts;
	const struct conf_node *seen[CONF_KEY_COUNT];
};

/* A mount while it is read. */
struct conf_mount_draft {
	struct conf_mount m;
	struct str written;      /* the mountpoint, perhaps with a '/' at its end */
	struct str redirect_url; /* as it was written */
	bool has_query;          /* in there is a '?' or '#' */
	struct conf_origin origin; /* slices of its value */
	struct conf_up_tls tls;
	bool has_origin;         /* one that can be read */
	bool guarded; /* something that is not enforced yet protects it: 501 */
	const struct conf_node *seen[CONF_KEY_COUNT];
};

/*
 * Sets every key of a mapping in object. seen remembers which were there; when it comes back with another
 * file's mapping (the keys of `global`), equal values agree and others are a conflict.
 */
void conf_walk(struct conf_loader *l, enum conf_scope scope, void *object, const struct conf_node *map,
	       const struct conf_node **seen);

/* The setters that key rows name, spread over load.c, global.c, vhost.c and mount.c. */
#define X(id, scope, name, aliases, kind, state, flags, set, at, what)                     \
	void conf_set_##set(struct conf_loader *l, const struct conf_key *k, void *object, \
			    const struct conf_node *value);
CONF_KEY_TABLE(X)
#undef X
void conf_set_limit(struct conf_loader *l, const struct conf_key *k, void *object,
		    const struct conf_node *value);
void conf_set_timeout(struct conf_loader *l, const struct conf_key *k, void *object,
		      const struct conf_node *value);

/* Fetching a value; false: an error was reported. */
bool conf_take_text(struct conf_loader *l, const struct conf_node *v, struct str *out) MUST_USE;
bool conf_take_bool(struct conf_loader *l, const struct conf_node *v, bool *out) MUST_USE;
bool conf_take_number(struct conf_loader *l, const struct conf_key *k, const struct conf_node *v,
		      uint64_t max, uint64_t *out) MUST_USE;
/* False, and an error: a value's key of this name was there before. */
bool conf_first(struct conf_loader *l, struct conf_map *names, struct str name,
		const struct conf_node *value);
/* Each item of a list, or the mapping itself where one is enough: first call with NULL. */
const struct conf_node *conf_next_mapping(struct conf_loader *l, const struct conf_node *v,
					  const struct conf_node *item);
/* The same for texts. */
const struct conf_node *conf_next_text(struct conf_loader *l, const struct conf_node *v,
				       const struct conf_node *item, struct str *out);
struct str conf_lower(struct arena *a, struct str s) MUST_USE;

void conf_error(struct conf_loader *l, const struct conf_node *at, const char *remedy, const char *fmt, ...)
	PRINTF(4, 5);
void conf_warning(struct conf_loader *l, const struct conf_node *at, const char *remedy, const char *fmt, ...)
	PRINTF(4, 5);
void conf_note(struct conf_loader *l, const struct conf_node *at, const char *fmt, ...) PRINTF(3, 4);

/* A place in a sentence: "conf:3:7". Lives as long as the loader. */
const char *conf_place(struct conf_loader *l, struct conf_pos pos);
/* User's text in a message: as much of it as a line bears. */
#define CONF_QUOTE(s) (int)MIN((s).n, (size_t)80), (s).p

/* global.c */
void conf_finish_global(struct conf_loader *l);
/* vhost.c */
void conf_load_vhost(struct conf_loader *l, const struct conf_node *node);
/* files.c: notes that the configuration names a file, to be read by the parent, and for workers. */
void conf_add_file(struct conf_loader *l, struct str path, const struct conf_node *at, bool secret);
/* The same file object, with nothing said about it yet. path lies in the configuration's arena. */
struct conf_file *conf_file_at(struct conf_loader *l, struct str path, struct conf_pos pos);
/* listener.c: d->v.listeners, none when an error was reported */
void conf_load_listeners(struct conf_loader *l, struct conf_vhost_draft *d);
/* tls.c: what the keys of TLS say together */
void conf_finish_tls(struct conf_loader *l, struct conf_vhost_draft *d);
/* acme.c: the options of a mapping that says how a certificate is obtained */
void conf_walk_acme(struct conf_loader *l, struct conf_vhost_draft *d, const struct conf_node *map);
/* Before conf_finish_tls; then, with the vhost in its place; and when all of them are there */
void conf_check_acme(struct conf_loader *l, struct conf_vhost_draft *d);
void conf_add_acme(struct conf_loader *l, const struct conf_vhost_draft *d, struct conf_vhost *v);
void conf_finish_acme(struct conf_loader *l);
/* https.c: what a vhost's keys for https:// origins say together */
void conf_finish_client_tls(struct conf_loader *l, struct conf_vhost_draft *d);
/* The same of a mount, whose origin is o: d->tls is whole then. False: an error was reported. */
bool conf_finish_up_tls(struct conf_loader *l, struct conf_mount_draft *d);
/* The name of the target at that place (its name without TLS) to which TLS is spoken in this way. */
struct str conf_https_name(struct conf_loader *l, struct str place, const struct conf_up_tls *tls);
/* When all vhosts are there: each listener's list of them. */
void conf_finish_listeners(struct conf_loader *l);
/* raw.c: whether the options of this protocol are those of raw connections */
bool conf_is_raw_protocol(const struct conf_vhost_draft *d, struct str name);
/* When all keys of the vhost were read; when all vhosts were */
void conf_check_raw(struct conf_loader *l, const struct conf_vhost_draft *d);
void conf_finish_raw(struct conf_loader *l);
/* mount.c */
void conf_load_mounts(struct conf_loader *l, struct conf_vhost_draft *d);
/* headers.c: the values of the three keys that make rules (NULL: not there), added to the *n rules so far */
struct conf_header_nodes {
	const struct conf_node *remove, *set, *add;
};
void conf_make_headers(struct conf_loader *l, const struct conf_header_nodes *from, bool up,
		       struct conf_header **rules, size_t *n);
/*
 * set.c: the keys of a `limits` or `timeouts` section (scope) that stands at a level: CONF_IN_GLOBAL,
 * _VHOST, _MOUNT.
 */
void conf_walk_section(struct conf_loader *l, enum conf_scope level, enum conf_scope scope, void *object,
		       const struct conf_node *map);
