/*
 * limits.h - every limit and timeout: configuration key, unit, default. The plain structs that carry them.
 *
 * conf's key table, the man page's key list, log texts and tests derive from these rows. What depends on
 * the route is set on the exchange by the router; the rest is read when a connection or worker begins.
 * Columns: field, configuration key, default, what it bounds.
 */
#pragma once

#include "core/base.h"

/* Milliseconds. */
#define TIMEOUT_TABLE(X)                                                                                    \
	X(handshake_ms, "handshake", 10 * 1000, "TLS handshake, total")                                     \
	X(request_head_ms, "request-head", 15 * 1000, "from a request's first byte to the end of its head") \
	X(request_body_ms, "request-body", 60 * 1000, "without progress within a request body")             \
	X(write_ms, "write", 60 * 1000, "without progress while the client does not read")                  \
	X(keepalive_ms, "keepalive", 60 * 1000, "between two requests of a connection")                     \
	X(h2_idle_ms, "h2-idle", 180 * 1000, "an h2 connection without streams")                            \
	X(ping_ms, "ping", 300 * 1000, "h2 connection validity: silence before a PING")                     \
	X(ping_timeout_ms, "ping-timeout", 10 * 1000, "for the answer to a PING")                           \
	X(linger_ms, "linger", 30 * 1000, "discarding a request body after an early answer, total")         \
	X(upstream_connect_ms, "upstream-connect", 5 * 1000, "connecting to an upstream")                   \
	X(upstream_response_ms, "upstream-response", 120 * 1000, "from the request to the response head")   \
	X(upstream_idle_ms, "upstream-idle", 3600 * 1000, "without progress within a response body")        \
	X(upstream_keepalive_ms, "upstream-keepalive", 30 * 1000, "an unused pooled upstream connection")   \
	X(ride_out_ms, "ride-out", 5 * 1000, "holding requests for an upstream that is down")               \
	X(resolve_ms, "resolve", 10 * 1000, "looking an upstream's name up")                                \
	X(resolve_interval_ms, "resolve-interval", 30 * 1000, "before a name in use is looked up again")    \
	X(fallback_silence_ms, "fallback-silence", 2 * 1000, "a silent client before it counts as raw")     \
	X(tunnel_idle_ms, "tunnel-idle", 86400 * 1000, "a tunnel or relay without bytes either way")        \
	X(tunnel_half_open_ms, "tunnel-half-open", 60 * 1000, "silence in a tunnel that one side ended")    \
	X(drain_ms, "drain", 30 * 1000, "finishing requests when a worker ends")                            \
	X(drain_tunnels_ms, "drain-tunnels", 3600 * 1000, "finishing tunnels when a worker ends")

/* Bytes or counts; LIMIT_NONE: unlimited. */
#define LIMIT_NONE UINT64_MAX
#define LIMIT_TABLE(X)                                                                                      \
	X(connections, "connections", 16384, "client connections of the machine")                           \
	X(connections_per_address, "connections-per-address", 512, "client connections of one address")     \
	X(undecided, "undecided", 1024, "connections of undecided protocol")                                \
	X(raw_rate, "raw-rate", 60, "raw connections of one address a minute")                              \
	X(request_line_bytes, "request-line", 16 * 1024, "request line (414)")                              \
	X(request_head_bytes, "request-head", 64 * 1024, "request head (431)")                              \
	X(request_fields, "request-fields", 200, "fields of a request head (431)")                          \
	X(request_body_bytes, "request-body", LIMIT_NONE, "request body (413)")                             \
	X(response_head_bytes, "response-head", 128 * 1024, "response head of an upstream (502)")           \
	X(trailers_bytes, "trailers", 16 * 1024, "trailer section")                                         \
	X(chunk_extensions_bytes, "chunk-extensions", 16 * 1024, "chunk extensions of one body")            \
	X(interim_responses, "interim-responses", 32, "1xx responses before the final one")                 \
	X(h2_streams, "h2-streams", 128, "concurrent streams of an h2 connection")                          \
	X(h2_connection_buffer_bytes, "h2-connection-buffer", 1024 * 1024, "stored bytes of a connection")  \
	X(h2_windows_bytes, "h2-windows", 64 * 1024 * 1024, "upload windows beyond that, all of a worker")   \
	X(pipe_bytes, "pipe", 64 * 1024, "each of the two pipes of an exchange")                            \
	X(memory_bytes, "memory", 256 * 1024 * 1024, "body and output bytes stored by a worker")            \
	X(auth_attempts, "auth-attempts", 10, "passwords checked a second by a worker (429)")               \
	X(abuse, "abuse", 100, "one connection's budget for resets, floods and empty frames")               \
	X(upstream_connections, "upstream-connections", 1024, "connections to one target, per worker")      \
	X(upstream_idle_connections, "upstream-idle-connections", LIMIT_NONE, "unused ones, per target")

struct timeouts {
#define X(field, key, dflt, what) uint64_t field;
	TIMEOUT_TABLE(X)
#undef X
};

struct limits {
#define X(field, key, dflt, what) uint64_t field;
	LIMIT_TABLE(X)
#undef X
};

extern const struct timeouts timeouts_default;
extern const struct limits limits_default;
