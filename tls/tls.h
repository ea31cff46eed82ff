/*
 * tls.h - TLS under a stream: contexts, the choice among them by SNI, tickets, and the stream operations
 * that put OpenSSL on a socket.
 *
 * Knows OpenSSL, and how to find fault with a certificate; everybody else knows only streams. Called by
 * proxy: accept puts TLS on a stream, a site holds contexts and listeners, the worker hands over ticket keys.
 * Certificates come as bytes, never as paths: a worker cannot read files. State that all connections share
 * (buffers, ticket keys, the contexts that exist) is the worker's, between tls_init and tls_fini.
 */
#pragma once

#include "conf/report.h"
#include "core/stream.h"

struct tls_context;  /* one vhost's certificate and policy; counted */
struct tls_listener; /* what a listener's handshakes choose from, by SNI; counted */

/* Once per process, before any other call here. Until tls_set_tickets a random key encrypts tickets. */
void tls_init(void);
/* Releases the worker's shared buffers and keys. No context, listener or connection may be left. */
void tls_fini(void);

/* ---- contexts ---- */

struct tls_file {
	struct conf_entry name; /* for messages */
	struct str pem;         /* as read from disk */
};

struct tls_files {
	/*
	 * A certificate, then the intermediate ones in any number, with its key: one pair for each kind
	 * of key (ECDSA, RSA ...) of which clients then choose. Without any, handshakes fail:
	 * ERR_NO_CERTIFICATE.
	 */
	const struct tls_pair_files {
		struct tls_file cert, key;
	} *pairs;
	size_t npairs;
	/* Certificates that complete the chain when one of `cert` does not reach up to a root, or no name. */
	struct tls_file ca;
	/* Clients' certificates have to lead up to one of these. Without a name: clients need none. */
	struct tls_file client_ca;
};

/* OpenSSL's numbers, for who does not know OpenSSL. */
enum { TLS_VERSION_12 = 0x0303, TLS_VERSION_13 = 0x0304 };

/*
 * Policy of a vhost; texts empty: the default. min/max_version are TLS_VERSION_*, 0: default (1.2 and 1.3);
 * below 1.2 counts as 1.2.
 */
struct tls_policy {
	struct conf_entry ciphers, tls13_ciphers, curves;
	int min_version, max_version;
	uint64_t options_set, options_clear;
	struct conf_pos set_pos, clear_pos;
	struct str alpn; /* comma-separated, in order of preference; empty: "h2,http/1.1" */
};

/*
 * Builds a context. On failure returns NULL, and r holds all that is wrong. The result is counted: put it.
 *
 * A context is found again by the SHA-256 of all its inputs: as long as one with equal inputs is held
 * anywhere (the configuration in use), it is returned instead of a new one. So a reload builds only what
 * changed.
 */
struct tls_context *tls_context_new(const struct tls_files *f, const struct tls_policy *p,
				    struct conf_report *r) MUST_USE;
struct tls_context *tls_context_get(struct tls_context *c);
/* It has no certificate: who asks for it is refused. */
bool tls_context_is_empty(const struct tls_context *c);
void tls_context_put(struct tls_context *c);

/*
 * Adds warnings of what can be used but will not please clients that ask for `name`: expired, not yet valid,
 * for another name, not for servers, a chain out of order or incomplete. f is what c was made of.
 */
void tls_context_warn(const struct tls_context *c, const struct tls_files *f, struct str name,
		      struct conf_report *r);

/*
 * A fingerprint of client_ca.pem: equal where clients have to prove the same, empty where nothing. Borrowed
 * as long as c.
 */
struct str tls_context_client_ca(const struct tls_context *c);

/*
 * The n-th certificate of it, in the order of its files, from 0 on: its serial number in upper-case
 * hexadecimal digits (cut at cap), and when it ends, in seconds since the epoch. False: there is no such one.
 */
enum { TLS_SERIAL_BYTES = 64 };
bool tls_context_certificate(const struct tls_context *c, size_t n, char serial[TLS_SERIAL_BYTES],
			     int64_t *ends_s) MUST_USE;
/* The same for the first certificate in PEM, for who has no context. */
bool tls_certificate_of(struct str pem, char serial[TLS_SERIAL_BYTES], int64_t *ends_s) MUST_USE;

/* ---- listeners ---- */

/*
 * Names and contexts of one listener, the first being the default. Copies names, holds contexts. The
 * choice is that of a vhost by Host (conf/names.h), else the first. `strict`: instead of the first a client
 * is refused with unrecognized_name (RFC 6066 section 3); one that sends no name still gets the first, and
 * HTTP judges its Host. n > 0.
 */
struct tls_name {
	struct str name; /* exact, or "*.example.com"; any case, a trailing dot is ignored */
	struct tls_context *context;
};
struct tls_listener *tls_listener_new(const struct tls_name *names, size_t n, bool strict) MUST_USE;
struct tls_listener *tls_listener_get(struct tls_listener *l);
void tls_listener_put(struct tls_listener *l);

/* ---- challenges of a CA: tls-alpn-01 (RFC 8737) ---- */

/*
 * What a client offers, and gets, who looks at the certificate alone: the connection is of no use
 * afterwards.
 */
#define TLS_ACME_PROTOCOL STR("acme-tls/1")
/*
 * On every listener, whatever its vhosts are: who offers that protocol alone for this name (lower case)
 * is shown this certificate, its key behind it. id tells it from others, of which there may be several
 * for one name: the last counts. False: it cannot be used.
 */
bool tls_challenge_add(uint32_t id, struct str name, struct str pem) MUST_USE;
/* Harmless when there is none. */
void tls_challenge_drop(uint32_t id);

/* ---- session tickets ---- */

/* Keys made by the parent, newest first: the first one encrypts, all decrypt. */
enum { TLS_TICKET_KEYS = 3 };
struct tls_ticket_key {
	uint8_t name[16], aes[32], hmac[32];
};
/* Copies 0 < n <= TLS_TICKET_KEYS of them in the place of those before. */
void tls_set_tickets(const struct tls_ticket_key *keys, size_t n);
/* Fills one with random bytes: the parent's part; needs no tls_init. */
void tls_ticket_make(struct tls_ticket_key *k);

/* ---- connections ---- */

/* What a finished handshake established. Strings live as long as the stream. */
struct tls_facts {
	struct str sni;  /* lower case, without a trailing dot; empty when none was sent */
	struct str alpn; /* negotiated, empty when none */
	struct str client_ca; /* tls_context_client_ca of the context that let it in */
	int version;     /* TLS1_3_VERSION ... */
	bool resumed;
	const char *cipher;
};

/*
 * Puts TLS (server side) on s; l is borrowed. The handshake runs when the stream becomes ready; `done` is
 * called once, from the loop, never from inside this call: ERR_OK, or why it failed, with a one-line
 * reason for the log in `why` (NULL when all is well; void when the stream is closed). s->owner is left
 * alone. Afterwards the stream is owned as before and reads and writes plaintext; after a failure only
 * stream_close is left, with one exception: with ERR_HTTP_ON_TLS the stream is a plain socket again, the
 * bytes read so far lost, so that the client can be told in plain text. Timing the handshake is the
 * owner's job; closing before `done` is allowed, and then it is not called.
 *
 * A close_notify is read as the end (0); so is the end of the socket without one, since both protocols
 * above know where their messages end (RFC 8446 section 6.1). See tls_stream_truncated.
 */
typedef void tls_done(struct stream *s, enum err e, const char *why);
void tls_accept(struct stream *s, struct tls_listener *l, tls_done *done);
/* NULL when s is not under TLS, or its handshake is not over. */
const struct tls_facts *tls_stream_facts(const struct stream *s);
/* What the client called us, also while it shakes hands or has failed to; empty: nothing. */
struct str tls_stream_sni(const struct stream *s);
/* The reason behind an ERR_TLS from reading or writing, for the log; NULL when there is none. */
const char *tls_stream_why(const struct stream *s);
/* The peer's direction ended without close_notify: somebody may have cut it short. */
bool tls_stream_truncated(const struct stream *s);

/* ---- counters, of the worker since tls_init ---- */

struct tls_stats {
	uint64_t handshakes, resumed, failed;	       /* with clients */
	uint64_t up_handshakes, up_resumed, up_failed; /* with servers */
	uint64_t recvs, sends; /* system calls */
	uint64_t records;      /* of plaintext, sent */
	uint64_t spared;       /* contexts found instead of built */
	size_t contexts;       /* alive now */
	size_t clients, trusts; /* alive now */
	size_t connections;    /* alive now */
};
const struct tls_stats *tls_stats(void);
