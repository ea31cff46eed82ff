/*
 * picture.h - what there is to be told of a running Gatehouse, as rows of numbers: tables, and what can be
 * done with rows whatever they mean. Pure.
 *
 * A worker makes rows of what it knows (survey.h), the parent puts those of all workers together (collect.h),
 * and whoever shows them (show.h) walks the same tables. Rows travel between processes of one version only.
 */
#pragma once

#include "core/arena.h"
#include "uds-upstream/up.h"

/*
 * Columns: kind, its name, what several of them are called in JSON and in headings, its texts (they name it;
 * "" where there are fewer).
 */
#define PICTURE_KIND_TABLE(X)                                              \
	X(INSTANCE, instance, "instance", "version", "configuration")      \
	X(TOTAL, total, "totals", "", "")                                  \
	X(WORKER, worker, "workers", "name", "")                           \
	X(LISTENER, listener, "listeners", "name", "")                     \
	X(VHOST, vhost, "vhosts", "name", "listener")                      \
	X(TARGET, upstream, "upstreams", "name", "")                       \
	X(CERTIFICATE, certificate, "certificates", "path", "serial")      \
	X(LOG, log, "logs", "path", "")

/*
 * The values of each kind. Columns: field, metric (behind "gatehouse_KIND_", or "gatehouse_" where there is
 * one row), a label it has in addition, what sort of value it is, how it is written, how those of several
 * workers are put together, what it is.
 */
#define PICTURE_INSTANCE_TABLE(X)                                                                            \
	X(pid, "info", "", ID, COUNT, MAX, "process")                                                        \
	X(started, "start_time_seconds", "", GAUGE, TIME, MAX, "when it began, since the epoch")             \
	X(generation, "generation", "", GAUGE, COUNT, MAX, "configurations loaded so far; the one served")   \
	X(loading, "loading", "", GAUGE, BOOL, MAX, "another configuration is being loaded")                 \
	X(log_dropped, "parent_log_dropped_total", "", COUNTER, COUNT, SUM,                                  \
	  "lines of the error log that the parent lost")

#define PICTURE_TOTAL_TABLE(X)                                                                               \
	X(accepted, "connections_total", "", COUNTER, COUNT, SUM, "connections accepted")                    \
	X(handshakes, "tls_handshakes_total", "", COUNTER, COUNT, SUM, "TLS handshakes done")                \
	X(resumed, "tls_resumed_total", "", COUNTER, COUNT, SUM, "of them, with a session from before")      \
	X(failed, "tls_failed_total", "", COUNTER, COUNT, SUM, "TLS handshakes that failed")                 \
	X(log_dropped, "log_dropped_total", "", COUNTER, COUNT, SUM,                                        \
	  "lines of the error log that workers lost")

#define PICTURE_WORKER_TABLE(X)                                                                              \
	X(pid, "info", "", ID, COUNT, MAX, "process")                                                        \
	X(age, "age_seconds", "", GAUGE, SECONDS, MAX, "since its start")                                    \
	X(generation, "generation", "", GAUGE, COUNT, MAX, "the configuration it serves")                    \
	X(draining, "draining", "", GAUGE, BOOL, MAX, "it takes no more connections")                        \
	X(silent, "silent", "", GAUGE, BOOL, MAX,                                                           \
	  "it did not answer in time: the rest is what it said last")                                       \
	X(connections, "connections", "", GAUGE, COUNT, SUM, "open connections")                             \
	X(exchanges, "exchanges", "", GAUGE, COUNT, SUM, "requests in progress, tunnels included")           \
	X(tunnels, "tunnels", "", GAUGE, COUNT, SUM, "WebSockets")                                           \
	X(relays, "relays", "", GAUGE, COUNT, SUM, "raw connections")                                        \
	X(upstreams, "upstream_connections", "", GAUGE, COUNT, SUM,                                         \
	  "connections to upstreams, idle ones too")                                                        \
	X(contexts, "tls_contexts", "", GAUGE, COUNT, SUM, "certificates with their policies in memory")     \
	X(buffers, "buffer_bytes", "", GAUGE, BYTES, SUM, "memory of buffers in use")                        \
	X(budget, "buffer_limit_bytes", "", GAUGE, BYTES, SUM, "what they may have (limits.memory)")         \
	X(resident, "resident_bytes", "", GAUGE, BYTES, SUM, "memory of the process")

#define PICTURE_LISTENER_TABLE(X)                                                                            \
	X(tls, "tls", "", GAUGE, BOOL, MAX, "it speaks TLS")                                                 \
	X(sockets, "sockets", "", GAUGE, COUNT, SUM, "addresses listened on")                                \
	X(vhosts, "vhosts", "", GAUGE, COUNT, SUM, "vhosts there")

#define PICTURE_VHOST_TABLE(X)                                                                               \
	X(requests, "requests_total", "", COUNTER, COUNT, SUM, "requests that are over")                     \
	X(in_1xx, "responses_total", "class=\"1xx\"", COUNTER, COUNT, SUM,                                  \
	  "answers by the class of their status; "                                                          \
	  "\"none\": the client had gone")                                                                   \
	X(in_2xx, "responses_total", "class=\"2xx\"", COUNTER, COUNT, SUM, "")                               \
	X(in_3xx, "responses_total", "class=\"3xx\"", COUNTER, COUNT, SUM, "")                               \
	X(in_4xx, "responses_total", "class=\"4xx\"", COUNTER, COUNT, SUM, "")                               \
	X(in_5xx, "responses_total", "class=\"5xx\"", COUNTER, COUNT, SUM, "")                               \
	X(gone, "responses_total", "class=\"none\"", COUNTER, COUNT, SUM, "")                                \
	X(websockets, "websockets_total", "", COUNTER, COUNT, SUM, "of them, WebSockets")                    \
	X(request_bytes, "request_body_bytes_total", "", COUNTER, BYTES, SUM,                               \
	  "bytes of bodies taken from clients")                                                             \
	X(response_bytes, "response_body_bytes_total", "", COUNTER, BYTES, SUM,                             \
	  "bytes of bodies given to clients")                                                               \
	X(duration, "request_seconds_total", "", COUNTER, US, SUM,                                          \
	  "time that requests took, WebSockets not counted")

#define PICTURE_TARGET_TABLE(X)                                                                              \
	X(down, "down", "", GAUGE, COUNT, SUM, "workers that cannot reach it")                               \
	X(in_use, "connections", "state=\"in_use\"", GAUGE, COUNT, SUM, "connections to it")                 \
	X(idle, "connections", "state=\"idle\"", GAUGE, COUNT, SUM, "")                                      \
	X(queued, "queued", "", GAUGE, COUNT, SUM, "requests that wait for it")                              \
	X(requests, "requests_total", "", COUNTER, COUNT, SUM, "requests given to it")                       \
	X(connects, "connects_total", "", COUNTER, COUNT, SUM, "connections made")                           \
	X(connect, "connect_seconds_total", "", COUNTER, US, SUM, "time that making them took")              \
	X(connect_max, "connect_max_seconds", "", GAUGE, US, MAX, "the longest of them")                     \
	X(failures, "connect_failures_total", "", COUNTER, COUNT, SUM, "connections that could not be made") \
	X(reuses, "reuses_total", "", COUNTER, COUNT, SUM, "requests on a kept connection")                  \
	X(again, "retries_total", "", COUNTER, COUNT, SUM, "requests sent or dialled for once more")         \
	X(lost, "lost_total", "", COUNTER, COUNT, SUM, "tries that brought no whole answer")                 \
	X(waited, "waits_total", "", COUNTER, COUNT, SUM, "requests that had to wait")                       \
	X(wait, "wait_seconds_total", "", COUNTER, US, SUM, "time that they waited")                         \
	X(answers, "answers_total", "", COUNTER, COUNT, SUM, "answers begun")                                \
	X(first_byte, "first_byte_seconds_total", "", COUNTER, US, SUM, "time to their first byte")          \
	X(first_byte_max, "first_byte_max_seconds", "", GAUGE, US, MAX, "the longest of them")               \
	X(whole, "answers_whole_total", "", COUNTER, COUNT, SUM, "answers read to their end")                \
	X(total, "answer_seconds_total", "", COUNTER, US, SUM, "time to that end")                           \
	X(total_max, "answer_max_seconds", "", GAUGE, US, MAX, "the longest of them")

#define PICTURE_CERTIFICATE_TABLE(X)                                                                         \
	X(expires, "expiry_time_seconds", "", GAUGE, TIME, MAX, "when it ends, since the epoch")             \
	X(days_left, "days_left", "", GAUGE, COUNT, MAX, "whole days until then; 0: none, or it has ended") \
	X(workers, "workers", "", GAUGE, COUNT, SUM, "workers that serve it")

#define PICTURE_LOG_TABLE(X)                                                                                 \
	X(dropped, "dropped_total", "", COUNTER, COUNT, SUM, "lines of the access log lost")

enum picture_kind {
#define X(KIND, kind, many, text, other) PICTURE_##KIND,
	PICTURE_KIND_TABLE(X)
#undef X
	PICTURE_KINDS
};

/* The index of a value among those of its kind: PICTURE_VHOST_requests. */
#define X(field, ...) PICTURE_INSTANCE_##field,
enum { PICTURE_INSTANCE_TABLE(X) PICTURE_INSTANCE_VALUES };
#undef X
#define X(field, ...) PICTURE_TOTAL_##field,
enum { PICTURE_TOTAL_TABLE(X) PICTURE_TOTAL_VALUES };
#undef X
#define X(field, ...) PICTURE_WORKER_##field,
enum { PICTURE_WORKER_TABLE(X) PICTURE_WORKER_VALUES };
#undef X
#define X(field, ...) PICTURE_LISTENER_##field,
enum { PICTURE_LISTENER_TABLE(X) PICTURE_LISTENER_VALUES };
#undef X
#define X(field, ...) PICTURE_VHOST_##field,
enum { PICTURE_VHOST_TABLE(X) PICTURE_VHOST_VALUES };
#undef X
#define X(field, ...) PICTURE_TARGET_##field,
enum { PICTURE_TARGET_TABLE(X) PICTURE_TARGET_VALUES };
#undef X
#define X(field, ...) PICTURE_CERTIFICATE_##field,
enum { PICTURE_CERTIFICATE_TABLE(X) PICTURE_CERTIFICATE_VALUES };
#undef X
#define X(field, ...) PICTURE_LOG_##field,
enum { PICTURE_LOG_TABLE(X) PICTURE_LOG_VALUES };
#undef X
enum { PICTURE_TEXTS = 2, PICTURE_VALUES_MAX = PICTURE_TARGET_VALUES };

enum picture_sort { PICTURE_ID, PICTURE_COUNTER, PICTURE_GAUGE };
enum picture_format {
	PICTURE_COUNT,
	PICTURE_BYTES,
	PICTURE_US,
	PICTURE_SECONDS,
	PICTURE_TIME, /* seconds since the epoch */
	PICTURE_BOOL,
};
enum picture_sum { PICTURE_SUM, PICTURE_MAX };

struct picture_value {
	const char *name, *metric, *label, *what;
	enum picture_sort sort;
	enum picture_format format;
	enum picture_sum sum;
};

/* What the tables say of a kind. */
struct picture_kind_info {
	const char *name, *many;
	const char *texts[PICTURE_TEXTS];
	const struct picture_value *values;
	size_t nvalues;
};
extern const struct picture_kind_info picture_kinds[PICTURE_KINDS];
/* Differs between versions whose tables differ. */
uint64_t picture_version(void);

/* ---- rows ---- */

struct picture_row {
	enum picture_kind kind;
	struct str text[PICTURE_TEXTS];
	struct str on_disk; /* of a certificate: the serial that its file has now. Does not travel */
	uint64_t v[PICTURE_VALUES_MAX];
};

struct picture {
	struct arena arena; /* of everything in it */
	struct picture_row *rows;
	size_t n, cap;
	uint32_t *index; /* by kind and texts: 1 + its number; 0: free */
	size_t mask;
};

void picture_init(struct picture *p);
void picture_fini(struct picture *p);
/* The row that has this kind and these texts (copied when it is new), or NULL when there is none. */
struct picture_row *picture_at(struct picture *p, enum picture_kind kind, struct str text, struct str other);
struct picture_row *picture_find(const struct picture *p, enum picture_kind kind, struct str text,
				 struct str other);
/* Adds up what belongs together: both are of one kind. */
void picture_merge(struct picture_row *to, const struct picture_row *from);

/* ---- bytes ---- */

enum { PICTURE_TEXT_MAX = 4096, PICTURE_ROW_BYTES = 16 + 8 * PICTURE_VALUES_MAX + 2 * PICTURE_TEXT_MAX };

/* Writes it into out (PICTURE_ROW_BYTES are enough); texts that are too long are cut. Returns its bytes. */
size_t picture_write(char *out, const struct picture_row *row);
/* Writes rows from number *next on, as many as fit into cap (at least PICTURE_ROW_BYTES). */
size_t picture_fill(const struct picture *p, size_t *next, char *out, size_t cap);
/* Takes all rows there are into p, each in the place of one with its name. False: some bytes are none. */
bool picture_take(struct picture *p, struct str in) MUST_USE;
/* Takes a row off *in; its texts are slices. False: that is none. */
bool picture_read(struct str *in, struct picture_row *row) MUST_USE;
