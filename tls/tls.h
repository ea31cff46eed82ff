/*
 * tls.h - TLS under a stream: contexts, tickets, and the stream operations that put OpenSSL on a socket.
 *
 * Knows OpenSSL; everybody else knows only streams. Called by proxy/accept (server side). Certificates
 * come as bytes, never as paths: a worker cannot read files.
 */
#pragma once

#include "core/stream.h"
#include <sys/socket.h>

struct tls_context; /* one vhost's certificate and policy; counted */
struct tls_listener; /* what a listener's handshakes choose from, by SNI; counted */

struct tls_files { /* PEM, as read from disk; names are for messages */
	struct str cert_name, cert, key_name, key, ca_name, ca;
};

/*
 * Policy of a vhost; strings empty: the default. min/max_version are TLS1_2_VERSION or TLS1_3_VERSION, 0:
 * default (1.2 and 1.3).
 */
struct tls_policy {
	struct str ciphers, tls13_ciphers, curves;
	int min_version, max_version;
	uint64_t options_set, options_clear;
	struct str alpn; /* comma-separated, in order of preference; empty: "http/1.1" until h2 exists */
};

/*
 * Builds a context. On failure returns NULL and writes one line into err (what, where, what to do). The
 * result is counted: put it.
 */
struct tls_context *tls_context_new(const struct tls_files *f, const struct tls_policy *p, char *err, size_t err_cap) MUST_USE;
struct tls_context *tls_context_get(struct tls_context *c);
void tls_context_put(struct tls_context *c);

/* Names and contexts of one listener, the first being the default. Copies names, holds contexts. */
struct tls_name {
	struct str name; /* exact, or "*.example.com" */
	struct tls_context *context;
};
struct tls_listener *tls_listener_new(const struct tls_name *names, size_t n, bool strict) MUST_USE;
struct tls_listener *tls_listener_get(struct tls_listener *l);
void tls_listener_put(struct tls_listener *l);

/* Ticket keys made by the parent, newest first: the first one encrypts, all decrypt. */
enum { TLS_TICKET_KEYS = 3 };
struct tls_ticket_key {
	uint8_t name[16], aes[32], hmac[32];
};
void tls_set_tickets(const struct tls_ticket_key *keys, size_t n);
/* Fills one with random bytes: the parent's part. */
void tls_ticket_make(struct tls_ticket_key *k);

/* What a finished handshake established. Strings live as long as the stream. */
struct tls_facts {
	struct str sni;  /* lower case, empty when none was sent */
	struct str alpn; /* negotiated, empty when none */
	int version;     /* TLS1_3_VERSION ... */
	bool resumed;
	const char *cipher;
};

/*
 * Puts TLS (server side) on s. The handshake runs when the stream becomes ready; `done` is called once
 * from the loop: ERR_OK, or why it failed (a one-line reason for the log in `why`). Afterwards the stream
 * is owned as before and reads and writes plaintext. Timing the handshake is the owner's job.
 */
void tls_accept(struct stream *s, struct tls_listener *l,
		void (*done)(struct stream *s, enum err e, const char *why));
const struct tls_facts *tls_stream_facts(const struct stream *s);

/* Once per process, before any other call here. */
void tls_init(void);
/* Releases the worker's shared buffers and keys. */
void tls_fini(void);
