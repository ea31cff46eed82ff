/*
 * err.h - the closed table of everything that can go wrong through the peer's or the world's fault.
 *
 * One row says which answer a client gets when the error strikes before the response head (0: none, the
 * connection just ends), and what the log says. A pure function returns -enum err; the one function per
 * connection that may close acts on it.
 * Columns: name, status for the client, text for the log.
 */
#pragma once

#include "core/base.h"

#define ERR_TABLE(X)                                                                                 \
	X(OK, 0, "no error")                                                                         \
	X(AGAIN, 0, "would block")                                                                   \
	/* the peer leaves */                                                                        \
	X(EOF, 0, "closed by the peer")                                                              \
	X(RESET, 0, "reset by the peer")                                                             \
	X(GONE, 0, "client went away")                                                               \
	X(IO, 0, "input/output error")                                                               \
	X(TLS, 0, "TLS error")                                                                       \
	X(NO_CERTIFICATE, 0, "the vhost has no certificate yet")                                     \
	X(H2, 0, "HTTP/2 error (RFC 9113)")                                                          \
	X(DRAIN, 0, "shutting down")                                                                 \
	/* RFC 9112 section 2 to 4: the message cannot be read, or could be read in two ways */      \
	X(BAD_REQUEST_LINE, 400, "malformed request line (RFC 9112 section 3)")                      \
	X(BAD_METHOD, 400, "method is not a token (RFC 9110 section 9.1)")                           \
	X(BAD_TARGET, 400, "malformed request target (RFC 9112 section 3.2)")                        \
	X(BAD_VERSION, 400, "unsupported HTTP version (RFC 9112 section 2.3)")                       \
	X(BAD_LINE_END, 400, "line does not end with CRLF (RFC 9112 section 2.2)")                   \
	X(BAD_FIELD_NAME, 400, "field name is not a token (RFC 9110 section 5.1)")                   \
	X(BAD_FIELD_VALUE, 400, "control character in a field value (RFC 9110 section 5.5)")         \
	X(OBS_FOLD, 400, "folded field line (RFC 9112 section 5.2)")                                 \
	X(BAD_HOST, 400, "missing, repeated or invalid Host (RFC 9112 section 3.2)")                 \
	X(BAD_LENGTH, 400, "invalid or differing Content-Length (RFC 9112 section 6.3)")             \
	X(BAD_TRANSFER_ENCODING, 400, "Transfer-Encoding other than chunked (RFC 9112 section 6.1)") \
	X(TWO_FRAMINGS, 400, "both Content-Length and Transfer-Encoding (RFC 9112 section 6.3)")     \
	X(BAD_CHUNK, 400, "malformed chunk (RFC 9112 section 7.1)")                                  \
	X(BODY_SHORT, 400, "message body shorter than its length")                                   \
	X(CONNECT_REFUSED, 400, "CONNECT is not served here")                                        \
	X(HTTP_ON_TLS, 400, "plain HTTP on a TLS port")                                              \
	X(TRACE_REFUSED, 405, "TRACE is not served here")                                            \
	X(EXPECTATION, 417, "unknown expectation (RFC 9110 section 10.1.1)")                         \
	/* limits */                                                                                 \
	X(REQUEST_LINE_LONG, 414, "request line over limits.request-line")                           \
	X(HEAD_LARGE, 431, "message head over limits.request-head")                                  \
	X(FIELDS_MANY, 431, "more fields than limits.request-fields")                                \
	X(BODY_LARGE, 413, "body over limits.request-body")                                          \
	X(TRAILERS_LARGE, 431, "trailer section over limits.trailers")                               \
	X(CHUNK_EXT_LARGE, 413, "chunk extensions over limits.chunk-extensions")                     \
	X(ABUSE, 0, "limits.abuse is used up")                                                       \
	/* time */                                                                                   \
	X(HANDSHAKE_TIMEOUT, 0, "timeouts.handshake ran out")                                        \
	X(HEAD_TIMEOUT, 408, "timeouts.request-head ran out")                                        \
	X(BODY_TIMEOUT, 408, "timeouts.request-body ran out")                                        \
	X(WRITE_TIMEOUT, 0, "timeouts.write ran out: the client does not read")                      \
	X(PING_TIMEOUT, 0, "timeouts.ping-timeout ran out: the client is silent")                    \
	X(KEEPALIVE_TIMEOUT, 0, "timeouts.keepalive ran out")                                        \
	X(TUNNEL_TIMEOUT, 0, "timeouts.tunnel-idle ran out")                                         \
	X(TUNNEL_HALF_OPEN, 0, "timeouts.tunnel-half-open ran out: one side had ended")              \
	/* routing */                                                                                \
	X(UNAUTHORIZED, 401, "basic-auth: no or wrong credentials")                                  \
	X(AUTH_MANY, 429, "basic-auth: more passwords to check than limits.auth-attempts")           \
	X(FORBIDDEN, 403, "forbidden")                                                               \
	X(REJECTED, 403, "a word of reject-service-keywords is in the User-Agent")                   \
	X(NOT_FOUND, 404, "no mount for this path")                                                  \
	X(MISDIRECTED, 421, "no vhost of this name here (RFC 9110 section 15.5.20)")                 \
	X(OTHER_CLIENT_CA, 421, "this vhost asks clients for other certificates than was proved")    \
	X(INTERNAL, 500, "internal error")                                                           \
	X(NOT_SERVED, 501, "this mount's origin is of a kind that is not served")                    \
	/* upstream down */                                                                          \
	X(UP_ABSENT, 503, "upstream: no such socket file")                                           \
	X(UP_REFUSED, 503, "upstream: connection refused")                                           \
	X(UP_BACKLOG, 503, "upstream: backlog full")                                                 \
	X(UP_PERMISSION, 503, "upstream: permission denied")                                         \
	X(UP_UNREACHABLE, 503, "upstream: unreachable")                                              \
	X(UP_UNRESOLVED, 503, "upstream: its name has no address")                                   \
	X(UP_NO_FD, 503, "out of file descriptors")                                                  \
	X(UP_HANDSHAKE, 503, "upstream: ended within the TLS handshake")                             \
	X(UP_BUSY, 503, "upstream: limits.upstream-connections are in use for too long")             \
	X(UP_CONNECT_TIMEOUT, 504, "upstream: timeouts.upstream-connect ran out")                    \
	X(UP_RESPONSE_TIMEOUT, 504, "upstream: timeouts.upstream-response ran out")                  \
	X(UP_IDLE_TIMEOUT, 504, "upstream: timeouts.upstream-idle ran out within a body")            \
	/* upstream broken */                                                                        \
	X(UP_CLOSED, 502, "upstream: closed before its answer")                                      \
	X(UP_RESET, 502, "upstream: reset before its answer")                                        \
	X(UP_TLS, 502, "upstream: TLS error")                                                        \
	X(UP_CERTIFICATE, 502, "upstream: its certificate is not accepted")                          \
	X(UP_STALE, 502, "upstream: kept-alive connection ended before its answer")                  \
	X(UP_BAD_HEAD, 502, "upstream: malformed response head (RFC 9112)")                          \
	X(UP_HEAD_LARGE, 502, "upstream: response head over limits.response-head")                   \
	X(UP_BAD_FRAMING, 502, "upstream: ambiguous message framing (RFC 9112 section 6.3)")         \
	X(UP_BAD_CHUNK, 502, "upstream: malformed chunk (RFC 9112 section 7.1)")                     \
	X(UP_BODY_SHORT, 502, "upstream: ended within a body")                                       \
	X(UP_BAD_UPGRADE, 502, "upstream: 101 that nobody asked for")                                \
	X(UP_INTERIM_MANY, 502, "upstream: more interim responses than limits.interim-responses")

enum err {
#define X(name, status, text) ERR_##name,
	ERR_TABLE(X)
#undef X
	ERR_COUNT
};

/* Status for the client when the error strikes before the response head; 0: close without an answer. */
int err_status(enum err e);
/* For the log, static. */
const char *err_text(enum err e);
/* The row's name ("BAD_HOST"), static: for tests and for log keys. */
const char *err_name(enum err e);
/* For errno of a socket call: RESET, AGAIN, IO. */
enum err err_from_errno(int e);
