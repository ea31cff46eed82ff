/*
 * keys.h - every configuration key: one row says where it may stand, what it takes, whether it works,
 * what it is.
 *
 * The reader, "did you mean", notes, and the man page's key list derive from these rows; the rows of
 * `limits` and `timeouts` derive from core/limits.h. Called by conf's own loader, and by whoever prints
 * the list of keys.
 */
#pragma once

#include "conf/config.h"

/* Columns: scope, its place in a sentence. */
#define CONF_SCOPE_TABLE(X)          \
	X(FILE, "at the top level")  \
	X(GLOBAL, "in global")       \
	X(VHOST, "in a vhost")       \
	X(MOUNT, "in a mount")       \
	X(LIMITS, "in limits")       \
	X(TIMEOUTS, "in timeouts")   \
	X(RAW_PROXY, "in raw-proxy") \
	X(ACME, "in acme")

/* Columns: kind, what a value of it is called, how it is written. */
#define CONF_KIND_TABLE(X)                                                                         \
	X(ANY, "a value", "")                                                                      \
	X(TEXT, "a text", "")                                                                      \
	X(TEXTS, "a text, or a list of texts", "write \"a\", or [ \"a\", \"b\" ]")                 \
	X(BOOL, "yes or no", "write yes or no (on and off, true and false, 1 and 0 are the same)") \
	X(COUNT, "a whole number", "write decimal digits, without leading zeros")                  \
	X(DURATION, "a duration", "write 500ms, 5s, 2m, 1h or 7d; a plain number is seconds")      \
	X(SIZE, "a size", "write 64k, 1m or 2g; a plain number is bytes")                          \
	X(PORT, "a port", "write a number from 1 to 65535")                                        \
	X(BITS, "a number of option bits", "write the OpenSSL constant's value in decimal")        \
	X(SECTION, "a mapping of keys", "write { \"key\": value, ... }")                           \
	X(LIST, "a list of mappings", "write [ { \"key\": value, ... }, ... ]")                    \
	X(PAIRS, "names with their values", "write { \"name\": \"value\", ... }")

/* Columns: state, what the list of keys says. */
#define CONF_STATE_TABLE(X)                            \
	X(WORKS, "works")                              \
	X(NOTHING, "accepted: has nothing to do here") \
	X(LATER, "accepted: does nothing yet")         \
	X(GUARD, "not checked yet: what it guards answers 501, with a warning")

enum conf_scope {
#define X(name, place) CONF_IN_##name,
	CONF_SCOPE_TABLE(X)
#undef X
};

enum conf_kind {
#define X(name, called, written) CONF_##name,
	CONF_KIND_TABLE(X)
#undef X
};

enum conf_state {
#define X(name, text) CONF_##name,
	CONF_STATE_TABLE(X)
#undef X
};

enum conf_key_flags {
	CONF_ONCE = 0,
	CONF_REPEATS = 1,     /* may be written several times */
	CONF_NEW_WORKERS = 2, /* a change takes new worker processes */
};

#define CONF_ALIAS(name) name
#define CONF_NO_ALIAS(name) ""

/*
 * How a certificate is obtained, the same in a vhost, for all of them in `global`, and in `acme` in either.
 * Columns as below; ALIAS(name): what it is called there, too.
 */
#define CONF_ACME_TABLE(X, S, ALIAS)                                                                         \
	X(S##_ACME_DIRECTORY_URL, S, "directory-url", ALIAS("acme-directory directory"), TEXTS, WORKS, ONCE, \
	  acme_entries, A(directories), "the CA's ACME directory; of several the next when one fails")       \
	X(S##_ACME_DIRECTORY_CA, S, "directory-ca", ALIAS("acme-directory-ca"), TEXT, WORKS, ONCE,           \
	  acme_entry, A(trust), "CA certificates that the directory's own is checked against, PEM")          \
	X(S##_ACME_KEY, S, "acme-key", ALIAS("key"), TEXT, WORKS, ONCE, acme_entry, A(kinds),                \
	  "kind of the certificate's key: ecdsa, rsa or both; ecdsa without")                                \
	X(S##_ACME_CHALLENGE, S, "acme-challenge", ALIAS("challenge"), TEXTS, WORKS, ONCE, acme_entries,     \
	  A(challenges), "how the CA is shown whose name it is, best first: tls-alpn-01, http-01, dns-01")   \
	X(S##_ACME_HOOK, S, "acme-hook", ALIAS("hook"), TEXT, WORKS, ONCE, acme_entry, A(hook),              \
	  "program that sets a TXT record for dns-01: add|remove NAME VALUE")                                \
	X(S##_ACME_EMAIL, S, "acme-email", ALIAS("email"), TEXTS, WORKS, ONCE, acme_entries, A(emails),      \
	  "whom the CA writes to")                                                                           \
	X(S##_ACME_EAB_KID, S, "eab-kid", ALIAS("acme-eab-kid"), TEXT, WORKS, ONCE, acme_entry, A(eab_kid),  \
	  "key id, where a CA binds accounts to its customers")                                              \
	X(S##_ACME_EAB_HMAC, S, "eab-hmac", ALIAS("acme-eab-hmac"), TEXT, WORKS, ONCE, acme_entry,           \
	  A(eab_hmac), "the key that goes with it, in base64url")                                            \
	X(S##_ACME_EAB_HMAC_FILE, S, "eab-hmac-file", ALIAS("acme-eab-hmac-file"), TEXT, WORKS, ONCE,        \
	  acme_entry, A(eab_file), "file of that key")

/*
 * Columns: id, scope, name, other names (separated by blanks), kind, state, flags, setter, where the
 * setter puts it, what it is. A key that is NOTHING or LATER has no setter: its value is only looked
 * over. For these, the last column completes "NAME has nothing to do here: ..." or "NAME does nothing
 * yet: ...".
 */
#define CONF_KEY_TABLE(X)                                                                                    \
	X(GLOBAL, FILE, "global", "", SECTION, WORKS, ONCE, global, 0, "settings of the whole server")       \
	X(VHOSTS, FILE, "vhosts", "", LIST, WORKS, ONCE, vhosts, 0, "the virtual hosts")                     \
	/* global */                                                                                         \
	X(COUNT_THREADS, GLOBAL, "count-threads", "", COUNT, WORKS, NEW_WORKERS, workers, 0,                 \
	  "worker processes; 0: one a CPU")                                                                  \
	X(USERNAME, GLOBAL, "username", "", TEXT, WORKS, NEW_WORKERS, text, G(username),                     \
	  "user that workers run as")                                                                        \
	X(GROUPNAME, GLOBAL, "groupname", "", TEXT, WORKS, NEW_WORKERS, text, G(groupname),                  \
	  "group that workers run as")                                                                       \
	X(PID_FILE, GLOBAL, "pid-file", "", TEXT, WORKS, ONCE, path, G(pid_file),                            \
	  "file for the parent's pid")                                                                       \
	X(CONTROL_SOCKET, GLOBAL, "control-socket", "", TEXT, WORKS, ONCE, path, G(control_socket),          \
	  "Unix socket for commands; \"\": none; without: control in the runtime directory")                 \
	X(CONTROL_GROUP, GLOBAL, "control-group", "", TEXT, WORKS, ONCE, text, G(control_group),             \
	  "group whose members may use the control socket, too")                                             \
	X(STATE_DIR, GLOBAL, "state-dir", "", TEXT, WORKS, ONCE, path, G(state_dir),                         \
	  "directory for what outlives the process; /var/lib/gatehouse without")                                \
	X(ERROR_LOG, GLOBAL, "error-log", "", TEXT, WORKS, ONCE, error_log, 0,                               \
	  "file for the log, syslog, or stderr, as without")                                                 \
	X(SERVER_STRING, GLOBAL, "server-string", "", TEXT, WORKS, ONCE, text, G(server_string),             \
	  "Server header of Gatehouse's own answers")                                                        \
	X(ERROR_CSS, GLOBAL, "error-css", "", TEXT, WORKS, ONCE, error_css, 0,                               \
	  "style sheet of the error pages, served as /error.css")                                            \
	X(GLOBAL_LIMITS, GLOBAL, "limits", "", SECTION, WORKS, ONCE, global_limits, 0, "limits for all")     \
	X(GLOBAL_TIMEOUTS, GLOBAL, "timeouts", "", SECTION, WORKS, ONCE, global_timeouts, 0,                 \
	  "timeouts for all")                                                                                \
	X(TIMEOUT_SECS, GLOBAL, "timeout-secs", "", DURATION, WORKS, ONCE, timeout_secs, 0,                  \
	  "sets timeouts.handshake, .request-head and .upstream-connect")                                    \
	X(IP_LIMIT_WSI, GLOBAL, "ip-limit-wsi", "", COUNT, WORKS, ONCE, ip_limit, 0,                         \
	  "the same as limits.connections-per-address")                                                      \
	X(GLOBAL_LOG_FORMAT, GLOBAL, "access-log-format", "", TEXT, WORKS, ONCE, log_format,                 \
	  G(access_log_json), "access-log-format of vhosts that have none")                                  \
	X(DEFAULT_ALPN, GLOBAL, "default-alpn", "", TEXT, WORKS, ONCE, default_alpn, 0,                      \
	  "alpn of vhosts that have none")                                                                   \
	X(UID, GLOBAL, "uid", "", COUNT, NOTHING, ONCE, none, 0, "\"username\" decides")                     \
	X(GID, GLOBAL, "gid", "", COUNT, NOTHING, ONCE, none, 0, "\"groupname\" decides")                    \
	X(INIT_SSL, GLOBAL, "init-ssl", "", BOOL, NOTHING, ONCE, none, 0, "TLS is always there")             \
	X(PLUGIN_DIR, GLOBAL, "plugin-dir", "", TEXT, NOTHING, REPEATS, none, 0, "there are no plugins")     \
	X(WS_PINGPONG_SECS, GLOBAL, "ws-pingpong-secs", "", DURATION, NOTHING, ONCE, none, 0,                \
	  "a WebSocket's two ends ping each other")                                                          \
	X(GLOBAL_INTERFACE, GLOBAL, "interface", "", TEXT, NOTHING, ONCE, none, 0, "each vhost has its own") \
	X(IP_LIMIT_AH, GLOBAL, "ip-limit-ah", "", COUNT, NOTHING, ONCE, none, 0,                             \
	  "limits.connections-per-address bounds a client")                                                  \
	X(REJECT_KEYWORDS, GLOBAL, "reject-service-keywords", "", PAIRS, WORKS, REPEATS, rejects, 0,         \
	  "answers for clients with a word in their User-Agent: \"word\": \"404 Not Found\"")                \
	X(RLIMIT_NOFILE, GLOBAL, "rlimit-nofile", "", COUNT, WORKS, NEW_WORKERS, rlimit_nofile, 0,           \
	  "files and connections that a process may have open")                                              \
	X(TRUSTED_PROXIES, GLOBAL, "trusted-proxies", "", TEXTS, WORKS, ONCE, peers, G(trusted),             \
	  "proxies whose X-Forwarded-* is believed: addresses, networks, \"unix\"")                          \
	X(PROXY_PROTOCOL, GLOBAL, "proxy-protocol", "", TEXTS, WORKS, ONCE, peers, G(proxy_protocol),        \
	  "peers that begin with a PROXY header, always: addresses, networks, \"unix\"")                     \
	X(FORWARDED, GLOBAL, "forwarded", "", BOOL, WORKS, ONCE, flag, G(forwarded),                         \
	  "upstreams get a Forwarded field, too (RFC 7239)")                                                 \
	X(VIA, GLOBAL, "via", "", BOOL, WORKS, ONCE, flag, G(via),                                           \
	  "upstreams and clients get a Via field (RFC 9110 section 7.6.3)")                                  \
	X(ACME_USERNAME, GLOBAL, "acme-username", "", TEXT, WORKS, ONCE, text, G(acme_username),             \
	  "user that the acme process and its hooks run as; as workers without")                             \
	X(ACME_STAGING, GLOBAL, "acme-staging", "", BOOL, WORKS, ONCE, acme_staging, 0,                      \
	  "Let's Encrypt's directory for practice instead of the real one; its certificates lie apart")      \
	X(ACME_DEFAULTS, GLOBAL, "acme", "", SECTION, WORKS, ONCE, acme_defaults, 0,                         \
	  "what vhosts with acme begin with")                                                                \
	CONF_ACME_TABLE(X, GLOBAL, CONF_NO_ALIAS)                                                            \
	/* vhost */                                                                                          \
	X(NAME, VHOST, "name", "", TEXT, WORKS, ONCE, vhost_name, 0,                                         \
	  "host name, or *.example.com; what clients ask for")                                               \
	X(PORT, VHOST, "port", "", PORT, WORKS, ONCE, port, 0, "port to listen on")                          \
	X(INTERFACE, VHOST, "interface", "", TEXTS, WORKS, ONCE, later, 0,                                   \
	  "addresses or interfaces to listen on, or the socket's path; none: all addresses")                 \
	X(UNIX_SOCKET, VHOST, "unix-socket", "", BOOL, WORKS, ONCE, flag, V(unix_socket),                    \
	  "listen on the Unix socket that \"interface\" names")                                              \
	X(UNIX_SOCKET_PERMS, VHOST, "unix-socket-perms", "", TEXT, WORKS, ONCE, unix_perms, 0,               \
	  "user:group that own the listening socket, and perhaps :mode; 0600 without")                       \
	X(NOIPV6, VHOST, "noipv6", "", BOOL, WORKS, ONCE, flag, V(no_ipv6), "listen on IPv4 only")           \
	X(IPV6ONLY, VHOST, "ipv6only", "", BOOL, WORKS, ONCE, ipv6only, 0,                                   \
	  "on: listen on IPv6 only; off: on IPv4 only")                                                      \
	X(HOST_SSL_CERT, VHOST, "host-ssl-cert", "", TEXTS, WORKS, ONCE, cert_files, V(certs),               \
	  "certificate and chain, PEM; several, with their keys in the same order, for ECDSA beside RSA")    \
	X(HOST_SSL_KEY, VHOST, "host-ssl-key", "", TEXTS, WORKS, ONCE, cert_files, V(keys),                  \
	  "private key, PEM")                                                                                \
	X(HOST_SSL_CA, VHOST, "host-ssl-ca", "", TEXT, WORKS, ONCE, cert_file, V(v.ca),                      \
	  "CA certificates that complete the chain, PEM")                                                    \
	X(CLIENT_CERT_REQUIRED, VHOST, "client-cert-required", "", BOOL, WORKS, ONCE, flag,                  \
	  V(client_cert_required),                                                                           \
	  "clients must have a certificate of the CA in client-cert-ca, or else in host-ssl-ca")             \
	X(CLIENT_CERT_CA, VHOST, "client-cert-ca", "", TEXT, WORKS, ONCE, cert_file, V(client_cert_ca),      \
	  "CA certificates for clients, PEM")                                                                \
	X(TLS_MIN_VERSION, VHOST, "tls-min-version", "", TEXT, WORKS, ONCE, tls_min, 0,                      \
	  "lowest version of TLS: 1.2 or 1.3; 1.2 without")                                                  \
	X(CIPHERS, VHOST, "ciphers", "", TEXT, WORKS, ONCE, entry, V(v.ciphers), "TLS 1.2 ciphers")          \
	X(TLS13_CIPHERS, VHOST, "tls13-ciphers", "", TEXT, WORKS, ONCE, entry, V(v.tls13_ciphers),           \
	  "TLS 1.3 ciphers")                                                                                 \
	X(ECDH_CURVE, VHOST, "ecdh-curve", "", TEXT, WORKS, ONCE, entry, V(v.curves), "key exchange groups") \
	X(ALPN, VHOST, "alpn", "", TEXT, WORKS, ONCE, alpn, V(v.alpn), "protocols offered, best first")      \
	X(SSL_OPTION_SET, VHOST, "ssl-option-set", "", BITS, WORKS, REPEATS, bits, V(v.ssl_options_set),     \
	  "OpenSSL options to set")                                                                          \
	X(SSL_OPTION_CLEAR, VHOST, "ssl-option-clear",                                                       \
	  "", BITS, WORKS, REPEATS, bits, V(v.ssl_options_clear),                                            \
	  "OpenSSL options to clear")                                                                        \
	X(STRICT_HOST_CHECK, VHOST, "strict-host-check",                                                     \
	  "", BOOL, WORKS, ONCE, flag, V(v.strict_host_check),                                               \
	  "names that no vhost of its port has are refused")                                                 \
	X(STS, VHOST, "sts", "", BOOL, WORKS, ONCE, flag, V(v.sts), "send Strict-Transport-Security")        \
	X(ACCESS_LOG, VHOST, "access-log", "", TEXT, WORKS, ONCE, access_log, 0,                             \
	  "file for a line a request")                                                                       \
	X(ACCESS_LOG_FORMAT, VHOST, "access-log-format", "", TEXT, WORKS, ONCE, log_format,                  \
	  V(v.access_log_json), "combined, as without, or json")                                             \
	X(HEADERS, VHOST, "headers", "", PAIRS, WORKS, ONCE, later, 0, CONF_HEADERS)                         \
	X(HEADERS_ADD, VHOST, "headers-add", "", PAIRS, WORKS, ONCE, later, 0, CONF_HEADERS_ADD)             \
	X(HEADERS_REMOVE, VHOST, "headers-remove", "", TEXTS, WORKS, ONCE, later, 0, CONF_HEADERS_REMOVE)    \
	X(REQUEST_HEADERS, VHOST, "request-headers", "", PAIRS, WORKS, ONCE, later, 0, CONF_REQUEST_HEADERS) \
	X(REQUEST_HEADERS_ADD, VHOST, "request-headers-add", "", PAIRS, WORKS, ONCE, later, 0,               \
	  CONF_REQUEST_HEADERS_ADD)                                                                          \
	X(REQUEST_HEADERS_REMOVE, VHOST, "request-headers-remove", "", TEXTS, WORKS, ONCE, later, 0,         \
	  CONF_REQUEST_HEADERS_REMOVE)                                                                       \
	X(MOUNTS, VHOST, "mounts", "", LIST, WORKS, ONCE, mounts, 0, "what is served under which path")      \
	X(WS_PROTOCOLS, VHOST, "ws-protocols", "", LIST, WORKS, ONCE, ws_protocols, 0,                       \
	  "raw-proxy and lws-acme-client with their options")                                                \
	X(KEEPALIVE_TIMEOUT, VHOST, "keepalive-timeout", "keeplive-timeout keepalive_timeout", DURATION,     \
	  WORKS, ONCE, keepalive_timeout, 0, "the same as timeouts.keepalive")                               \
	X(VHOST_LIMITS, VHOST, "limits", "", SECTION, WORKS, ONCE, vhost_limits, 0, "limits of this vhost")  \
	X(VHOST_TIMEOUTS, VHOST, "timeouts", "", SECTION, WORKS, ONCE, vhost_timeouts, 0,                    \
	  "timeouts of this vhost")                                                                          \
	X(ACME_SWITCH, VHOST, "acme", "", ANY, WORKS, ONCE, acme, 0,                                         \
	  "its certificate is obtained from a CA: yes, or a mapping of how")                                 \
	X(ACME_NAMES, VHOST, "acme-names", "", TEXTS, WORKS, ONCE, acme_entries, A(names), CONF_ACME_NAMES)  \
	CONF_ACME_TABLE(X, VHOST, CONF_NO_ALIAS)                                                             \
	X(IGNORE_MISSING_CERT, VHOST, "ignore-missing-cert", "", BOOL, WORKS, ONCE, flag,                    \
	  V(v.ignore_missing_cert), "without its certificate only its own handshakes fail")                  \
	X(LISTEN_ACCEPT_ROLE, VHOST, "listen-accept-role", "", TEXT, WORKS, ONCE, raw_role, 0,               \
	  "what raw connections are for: raw-proxy")                                                         \
	X(LISTEN_ACCEPT_PROTOCOL, VHOST, "listen-accept-protocol", "", TEXT, WORKS, ONCE, none, 0,           \
	  "which of \"ws-protocols\" says where raw connections go; raw-proxy without")                      \
	X(APPLY_LISTEN_ACCEPT, VHOST, "apply-listen-accept", "", BOOL, WORKS, ONCE, raw_mode, V(v.raw.only), \
	  "every connection of this port is raw")                                                            \
	X(FALLBACK_LISTEN_ACCEPT, VHOST, "fallback-listen-accept", "", BOOL, WORKS, ONCE, raw_mode,          \
	  V(v.raw.fallback), "what is neither TLS nor HTTP is raw")                                          \
	X(ONLYRAW, VHOST, "onlyraw", "", BOOL, WORKS, ONCE, raw_mode, V(v.raw.only),                         \
	  "the same as \"apply-listen-accept\"")                                                             \
	X(ALLOW_NON_TLS, VHOST, "allow-non-tls", "", BOOL, WORKS, ONCE, look, 0,                             \
	  "what the keys that allow something else than TLS imply")                                          \
	X(REDIRECT_HTTP, VHOST, "redirect-http", "", BOOL, WORKS, ONCE, raw_mode, V(v.raw.redirect_http),    \
	  "plain HTTP on a TLS port is sent to https://")                                                    \
	X(ALLOW_HTTP_ON_HTTPS, VHOST, "allow-http-on-https", "", BOOL, WORKS, ONCE, raw_mode,                \
	  V(v.raw.allow_http), "plain HTTP on a TLS port is served")                                         \
	X(ERROR_PAGES, VHOST, "error-pages", "", PAIRS, WORKS, ONCE, error_pages, 0,                         \
	  "files shown instead of the built-in error pages, by status")                                      \
	X(ERROR_DOCUMENT_404, VHOST, "error-document-404", "", TEXT, WORKS, ONCE, error_document, 0,         \
	  "the same for 404 alone")                                                                          \
	X(WEBSOCKET_OVER_H2, VHOST, "websocket-over-h2", "", BOOL, WORKS, ONCE, flag, V(v.websocket_over_h2), \
	  "off: no WebSockets on HTTP/2 connections for this name, browsers then open one of HTTP/1.1")      \
	X(CLIENT_SSL_CERT, VHOST, "client-ssl-cert", "", TEXT, WORKS, ONCE, cert_file, V(up_tls.cert),       \
	  "certificate that https:// origins are shown, PEM")                                                \
	X(CLIENT_SSL_KEY, VHOST, "client-ssl-key", "", TEXT, WORKS, ONCE, cert_file, V(up_tls.key),          \
	  "its private key, PEM")                                                                            \
	X(CLIENT_SSL_CA, VHOST, "client-ssl-ca", "", TEXT, WORKS, ONCE, cert_file, V(up_tls.ca),             \
	  "CA certificates that those of https:// origins are checked against, PEM; the system's without")   \
	X(CLIENT_SSL_CIPHERS, VHOST, "client-ssl-ciphers", "", TEXT, WORKS, ONCE, entry, V(up_tls.ciphers),  \
	  "TLS 1.2 ciphers for https:// origins")                                                            \
	X(CLIENT_TLS13_CIPHERS, VHOST, "client-tls13-ciphers", "", TEXT, WORKS, ONCE, entry,                 \
	  V(up_tls.tls13_ciphers), "TLS 1.3 ciphers for https:// origins")                                   \
	X(CLIENT_OPTION_SET, VHOST, "ssl-client-option-set", "", BITS, WORKS, REPEATS, bits,                 \
	  V(up_tls.options_set), "OpenSSL options to set for https:// origins")                              \
	X(CLIENT_OPTION_CLEAR, VHOST, "ssl-client-option-clear", "", BITS, WORKS, REPEATS, bits,             \
	  V(up_tls.options_clear), "OpenSSL options to clear for https:// origins")                          \
	X(ENABLE_CLIENT_SSL, VHOST, "enable-client-ssl", "", BOOL, NOTHING, ONCE, none, 0,                   \
	  "an origin's https:// says it")                                                                    \
	X(LONG_POLL, VHOST, "h2-half-closed-long-poll", "", BOOL, NOTHING, ONCE, none, 0,                    \
	  "any stream may stay half-closed for long")                                                        \
	X(NO_WS_UPGRADES, VHOST, "disable-no-protocol-ws-upgrades", "", BOOL, NOTHING, ONCE, none, 0,        \
	  "an upstream decides about upgrades")                                                              \
	X(WS_EXTENSIONS, VHOST, "ws-extensions", "", ANY, NOTHING, ONCE, none, 0,                            \
	  "an upstream decides about extensions")                                                            \
	X(FO_LISTEN_QUEUE, VHOST, "fo-listen-queue", "", COUNT, NOTHING, ONCE, none, 0,                      \
	  "TCP fast open is not used")                                                                       \
	/* mount */                                                                                          \
	X(MOUNTPOINT, MOUNT, "mountpoint", "", TEXT, WORKS, ONCE, mountpoint, 0, "path it is served under")  \
	X(ORIGIN, MOUNT, "origin", "", TEXT, WORKS, ONCE, origin, 0, "where it comes from")                  \
	X(UPSTREAM_NAME, MOUNT, "upstream-name", "", TEXT, WORKS, ONCE, upstream_name, 0,                    \
	  "whom an https:// origin's certificate has to be for, and its SNI; the origin's host without")     \
	X(UPSTREAM_CA, MOUNT, "upstream-ca", "", TEXT, WORKS, ONCE, cert_file, D(tls.ca),                    \
	  "CA certificates that an https:// origin's is checked against, PEM; client-ssl-ca without")        \
	X(UPSTREAM_CERT, MOUNT, "upstream-cert", "", TEXT, WORKS, ONCE, cert_file, D(tls.cert),              \
	  "certificate that an https:// origin is shown, PEM; client-ssl-cert without")                      \
	X(UPSTREAM_KEY, MOUNT, "upstream-key", "", TEXT, WORKS, ONCE, cert_file, D(tls.key),                 \
	  "its private key, PEM")                                                                            \
	X(UPSTREAM_VERIFY, MOUNT, "upstream-verify", "", BOOL, WORKS, ONCE, upstream_verify, 0,              \
	  "no: whoever answers at an https:// origin is believed; yes without")                              \
	X(MOUNT_LIMITS, MOUNT, "limits", "", SECTION, WORKS, ONCE, mount_limits, 0, "limits of this mount")  \
	X(MOUNT_TIMEOUTS, MOUNT, "timeouts", "", SECTION, WORKS, ONCE, mount_timeouts, 0,                    \
	  "timeouts of this mount")                                                                          \
	X(EXACT_MATCH, MOUNT, "exact-match", "", BOOL, WORKS, ONCE, flag, M(exact),                          \
	  "for the mountpoint itself, not for what lies below it")                                           \
	X(REDIRECT_CODE, MOUNT, "redirect-code", "", COUNT, WORKS, ONCE, redirect_code, 0,                   \
	  "status of a redirect: 301, 302, 307 or 308; 301 without")                                         \
	X(APPEND_PATH, MOUNT, "append-path", "", BOOL, WORKS, ONCE, append_path, 0,                          \
	  "a redirect's URL is followed by the request's path and query; yes without")                       \
	X(MOUNT_HEADERS, MOUNT, "headers", "", PAIRS, WORKS, ONCE, later, 0, CONF_HEADERS)                   \
	X(MOUNT_HEADERS_ADD, MOUNT, "headers-add", "", PAIRS, WORKS, ONCE, later, 0, CONF_HEADERS_ADD)       \
	X(MOUNT_HEADERS_REMOVE, MOUNT, "headers-remove", "", TEXTS, WORKS, ONCE, later, 0,                   \
	  CONF_HEADERS_REMOVE)                                                                               \
	X(MOUNT_REQUEST_HEADERS, MOUNT, "request-headers", "", PAIRS, WORKS, ONCE, later, 0,                 \
	  CONF_REQUEST_HEADERS)                                                                              \
	X(MOUNT_REQUEST_HEADERS_ADD, MOUNT, "request-headers-add", "", PAIRS, WORKS, ONCE, later, 0,         \
	  CONF_REQUEST_HEADERS_ADD)                                                                          \
	X(MOUNT_REQUEST_HEADERS_REMOVE, MOUNT, "request-headers-remove", "", TEXTS, WORKS, ONCE, later, 0,   \
	  CONF_REQUEST_HEADERS_REMOVE)                                                                       \
	X(BASIC_AUTH, MOUNT, "basic-auth", "", TEXT, WORKS, ONCE, basic_auth, M(auth_path),                  \
	  "file of users and password hashes, as htpasswd -B writes it: nobody else comes in")               \
	X(BASIC_AUTH_REALM, MOUNT, "basic-auth-realm", "", TEXT, WORKS, ONCE, text, M(auth_realm),           \
	  "what a browser calls the place that wants a password; the vhost's name without")                  \
	X(BASIC_AUTH_FORWARD, MOUNT, "basic-auth-forward", "", BOOL, WORKS, ONCE, flag, M(auth_forward),     \
	  "the upstream gets the credentials, too, not just the user's name")                                \
	X(AUTH_MASK, MOUNT, "auth-mask", "", COUNT, GUARD, ONCE, guard, 0, "rights a user needs")            \
	X(DEFAULT, MOUNT, "default", "", TEXT, LATER, ONCE, none, 0, CONF_FILES_LATER)                       \
	X(CACHE_MAX_AGE, MOUNT, "cache-max-age", "", DURATION, LATER, ONCE, none, 0, CONF_FILES_LATER)       \
	X(CACHE_REUSE, MOUNT, "cache-reuse", "", BOOL, LATER, ONCE, none, 0, CONF_FILES_LATER)               \
	X(CACHE_REVALIDATE, MOUNT, "cache-revalidate", "", BOOL, LATER, ONCE, none, 0, CONF_FILES_LATER)     \
	X(CACHE_INTERMEDIARIES, MOUNT, "cache-intermediaries", "", BOOL, LATER, ONCE, none, 0,               \
	  CONF_FILES_LATER)                                                                                  \
	X(CACHE_NO, MOUNT, "cache-no", "", BOOL, LATER, ONCE, none, 0, CONF_FILES_LATER)                     \
	X(EXTRA_MIMETYPES, MOUNT, "extra-mimetypes", "", PAIRS, LATER, ONCE, none, 0, CONF_FILES_LATER)      \
	X(INTERPRET, MOUNT, "interpret", "", PAIRS, LATER, ONCE, none, 0, CONF_FILES_LATER)                  \
	X(CGI_ENV, MOUNT, "cgi-env", "", PAIRS, NOTHING, ONCE, none, 0, "CGI programs are not run")          \
	X(CGI_TIMEOUT, MOUNT, "cgi-timeout", "", DURATION, NOTHING, ONCE, none, 0,                           \
	  "CGI programs are not run")                                                                        \
	X(PMO, MOUNT, "pmo", "", PAIRS, NOTHING, ONCE, none, 0, "there are no plugins")                      \
	X(PROTOCOL, MOUNT, "protocol", "", TEXT, NOTHING, ONCE, none, 0,                                     \
	  "there are no plugins")                                                                            \
	/* ws-protocols: raw-proxy */                                                                        \
	X(RAW_STATUS, RAW_PROXY, "status", "", TEXT, WORKS, ONCE, none, 0, "always \"ok\"")                  \
	X(RAW_ONWARD, RAW_PROXY, "onward", "", TEXT, WORKS, ONCE, onward, 0,                                 \
	  "where raw connections go: ipv4:A:P, ipv6:[A]:P, unix:/path or name:port")                         \
	X(RAW_PROXY_HEADER, RAW_PROXY, "onward-proxy-protocol", "", BOOL, WORKS, ONCE, flag, R(proxy_header), \
	  "it is told the client's address by a PROXY header, version 2")                                    \
	X(RAW_TRANSPARENT, RAW_PROXY, "onward-transparent", "", BOOL, WORKS, ONCE, flag, R(transparent),     \
	  "it sees the client's address as the connection's; takes routing, see the README")                 \
	X(RAW_DEFAULT, RAW_PROXY, "default", "", BOOL, WORKS, ONCE, look, 0, "there is no other")            \
	X(RAW_RAW, RAW_PROXY, "raw", "", BOOL, WORKS, ONCE, look, 0, "always so")                            \
	/* acme, and ws-protocols: lws-acme-client */                                                        \
	CONF_ACME_TABLE(X, ACME, CONF_ALIAS)                                                                 \
	X(ACME_ACME_NAMES, ACME, "names", "acme-names", TEXTS, WORKS, ONCE, acme_entries, A(names),          \
	  CONF_ACME_NAMES)                                                                                   \
	X(ACME_AUTH_PATH, ACME, "auth-path", "", TEXT, WORKS, ONCE, acme_entry, A(auth_path),                \
	  "file of the account's key")                                                                       \
	X(ACME_CERT_PATH, ACME, "cert-path", "", TEXT, WORKS, ONCE, acme_entry, A(cert_path),                \
	  "file of the certificate")                                                                         \
	X(ACME_KEY_PATH, ACME, "key-path", "", TEXT, WORKS, ONCE, acme_entry, A(key_path),                   \
	  "file of the certificate's key")                                                                   \
	X(ACME_COMMON_NAME, ACME, "common-name", "", TEXT, WORKS, ONCE, acme_entry, A(common_name),          \
	  "first name of the certificate; the vhost's without")                                              \
	X(ACME_COUNTRY, ACME, "country", "", TEXT, WORKS, ONCE, none, 0, "not part of the certificate")      \
	X(ACME_STATE, ACME, "state", "", TEXT, WORKS, ONCE, none, 0, "not part of the certificate")          \
	X(ACME_LOCALITY, ACME, "locality", "", TEXT, WORKS, ONCE, none, 0, "not part of the certificate")    \
	X(ACME_ORGANIZATION, ACME, "organization", "", TEXT, WORKS, ONCE, none, 0,                           \
	  "not part of the certificate")

#define CONF_ACME_NAMES "names in the certificate beside the vhost's own"
#define CONF_HEADERS "fields of answers that are set: \"name\": \"value\""
#define CONF_HEADERS_ADD "fields of answers that are added to those there are"
#define CONF_HEADERS_REMOVE "names of fields that no answer keeps"
#define CONF_REQUEST_HEADERS "fields that are set for the upstream"
#define CONF_REQUEST_HEADERS_ADD "fields that are added for the upstream"
#define CONF_REQUEST_HEADERS_REMOVE "names of fields that the upstream does not get"
#define CONF_FILES_LATER "files are not served"

enum conf_key_id {
#define X(id, scope, name, aliases, kind, state, flags, set, at, what) CONF_KEY_##id,
	CONF_KEY_TABLE(X)
#undef X
#define X(field, key, dflt, what) CONF_KEY_LIMIT_##field,
	LIMIT_TABLE(X)
#undef X
#define X(field, key, dflt, what) CONF_KEY_TIMEOUT_##field,
	TIMEOUT_TABLE(X)
#undef X
	CONF_KEY_COUNT
};

struct conf_loader;
struct conf_node;

struct conf_key {
	const char *name;
	const char *aliases;
	enum conf_scope scope;
	enum conf_kind kind;
	enum conf_state state;
	unsigned flags;
	void (*set)(struct conf_loader *l, const struct conf_key *k, void *object,
		    const struct conf_node *value);
	size_t at; /* offset in the object */
	const char *what;
	/* limits and timeouts: */
	uint64_t dflt;   /* bytes, milliseconds or a count */
	uint64_t least;
	unsigned levels; /* bits 1 << CONF_IN_GLOBAL, _VHOST, _MOUNT: whose section may have it */
};

/* All of them, CONF_KEY_COUNT, in the order of enum conf_key_id. */
const struct conf_key *conf_keys(void);
/* By name or other name, NULL: there is none in this scope. */
const struct conf_key *conf_key_find(enum conf_scope scope, struct str name);
/* The name in scope that `name` is most likely a slip of, NULL: none is near. */
const struct conf_key *conf_key_near(enum conf_scope scope, struct str name);
/* A key of that very name in another scope, NULL: none. */
const struct conf_key *conf_key_elsewhere(enum conf_scope scope, struct str name);

/* "in a vhost"; "a duration"; "write 500ms, ..."; "works". Static. */
const char *conf_scope_text(enum conf_scope scope);
const char *conf_kind_text(enum conf_kind kind);
const char *conf_kind_written(enum conf_kind kind);
const char *conf_state_text(enum conf_state state);
