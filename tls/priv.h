/*
 * priv.h - the worker's TLS state, and what the files of this folder share.
 *
 * Plaintext and ciphertext pass through three buffers that all connections of the worker share; each is
 * empty between two calls. A connection has memory of its own (slabs) only for ciphertext that OpenSSL or
 * the kernel would not take yet.
 */
#pragma once

#include "conf/names.h"
#include "core/buf.h"
#include "tls/client.h"
#include <openssl/ssl.h>

enum {
	TLS_RECORD_BYTES = 16384, /* RFC 8446 section 5.1 */
	/* Ciphertext of one recv. */
	TLS_IN_BYTES = 64 * 1024,
	/* Plaintext that one writev takes, and a little more when it can then finish. */
	TLS_WRITE_BYTES = 64 * 1024,
	TLS_WRITE_MORE_BYTES = 4 * 1024,
	/* All the same when the socket is full: its ciphertext is to fit into one slab. */
	TLS_WRITE_LAST_BYTES = SLAB_BYTES - 128,
	/* Ciphertext of one send: the above, and what its records add. */
	TLS_OUT_BYTES = 72 * 1024,
	/* Smallest recv: a caller with room for a few bytes must not cost a system call for each few. */
	TLS_RECV_MIN_BYTES = 4 * 1024,
	/* A handshake is not to read much of what follows it: that would have to be stored. */
	TLS_RECV_HANDSHAKE_BYTES = 16 * 1024,

	/* Records at the beginning of a burst fit into a TCP segment, until this much was sent. */
	TLS_SMALL_RECORD_BYTES = 1369,
	TLS_SMALL_TOTAL_BYTES = 16 * 1024,
	/* What is written as a whole with no more than this is one record all the same. */
	TLS_ONE_RECORD_BYTES = 4 * 1024,
	TLS_IDLE_MS = 1000, /* without a write ends a burst */

	TLS_HELD_MAX_BYTES = 2048,
	TLS_MESSAGES_MAX = 32, /* of the handshake after its end, without application data between them */
	TLS_ANSWERS_MAX_BYTES = 2 * TLS_OUT_BYTES, /* unsent: more can only be answers to such messages */
	TLS_CONTEXT_BUCKETS = 1024,
	TLS_SESSIONS_MAX = 8, /* of a server, kept for connections to come */
};

struct tls_worker {
	BIO_METHOD *bio;
	EVP_CIPHER *ticket_cipher;
	struct tls_ticket_key tickets[TLS_TICKET_KEYS];
	size_t ntickets;
	struct list contexts[TLS_CONTEXT_BUCKETS];
	struct list challenges; /* struct tls_challenge */
	struct list clients, trusts;
	struct tls_stats stats;
	/* Records under one key before we change it: RFC 8446 section 5.5. */
	uint32_t rekey_records;

	char *in; /* ciphertext read and not yet taken: in[in_off .. in_end) */
	size_t in_off, in_end;
	char *out; /* ciphertext made and not yet sent */
	size_t out_n;
	char *plain; /* one record gathered from small pieces */
};
extern struct tls_worker *tls_w;

/* A certificate with what stands between it and a root, and its key. */
struct tls_pair {
	X509 *leaf;
	STACK_OF(X509) *chain;
	EVP_PKEY *key;
};

struct tls_context {
	struct list node; /* in tls_w->contexts */
	unsigned refs;
	uint8_t hash[32]; /* of all inputs */
	SSL_CTX *ctx;
	char *groups;
	uint64_t options;
	int min_version, max_version;
	unsigned char *alpn; /* as in the extension: a length byte before each name */
	unsigned alpn_n;
	struct tls_pair *pairs; /* as in the files, without their keys */
	size_t npairs;
	bool asks_client;       /* for a certificate */
	uint8_t client_ca[32];  /* then: a hash of what it is checked against */
	uint8_t sessions[32];   /* tickets are good among contexts in which this is equal */
};

/* Of f->pairs: certificates, chains and keys go into c. False: r says why. */
bool tls_context_set_pairs(struct tls_context *c, const struct tls_files *f, struct conf_report *r) MUST_USE;
void tls_context_free(struct tls_context *c);
/* SHA-256 over parts of which each counts with its length, so that no two lists are the same bytes. */
struct tls_hash {
	EVP_MD_CTX *m;
};
struct tls_hash tls_hash_begin(void);
void tls_hash_bytes(struct tls_hash h, const void *p, size_t n);
void tls_hash_str(struct tls_hash h, struct str s);
void tls_hash_policy(struct tls_hash h, const struct tls_policy *p);
void tls_hash_end(struct tls_hash h, uint8_t out[32]);

/* Makes ssl behave as c says, in every respect. From the client-hello callback only. */
void tls_context_apply(SSL *ssl, const struct tls_context *c);

/* ---- policy.c: what a context does, from the texts of a configuration ---- */

/* False when something was wrong; goes on to the end all the same. */
bool tls_policy_apply(struct tls_context *c, const struct tls_policy *p, struct conf_report *r) MUST_USE;

/* ---- pem.c: certificates and keys from bytes ---- */

/* All certificates of a file, first to last, appended to `to`. False: there is none, or one is broken. */
bool tls_certificates_read(STACK_OF(X509) *to, const struct tls_file *f, struct conf_report *r) MUST_USE;
/*
 * False: the pair is empty, r says why. pool (may be NULL) has certificates that may complete the chain. Free
 * with tls_pair_fini.
 */
bool tls_pair_read(struct tls_pair *pair, const struct tls_pair_files *f, STACK_OF(X509) *pool,
		   struct conf_report *r) MUST_USE;
void tls_pair_fini(struct tls_pair *pair);

/* ---- warn.c: what a certificate says of itself ---- */

enum { TLS_DATE_BYTES = 64, TLS_NAMES_BYTES = 384 };
void tls_date_text(char out[TLS_DATE_BYTES], const ASN1_TIME *t);
/* "a.example, www.a.example and 3 more". Returns how many there are. */
int tls_names_text(X509 *x, char out[TLS_NAMES_BYTES]);
/* Warns of a certificate that is over, or not yet valid; `nth` in its file, from 1. */
void tls_warn_dates(X509 *x, int nth, const struct tls_file *f, struct conf_report *r);

/* ---- sni.c ---- */

struct tls_listener {
	unsigned refs;
	bool strict;
	struct arena arena; /* of names */
	struct conf_names *names;
	struct tls_context **contexts; /* by index of the name */
	size_t n;
};
/* For SSL_CTX_set_client_hello_cb. */
int tls_client_hello(SSL *ssl, int *alert, void *arg);
/*
 * The one host name of a server_name extension's body (RFC 6066 section 3): lower case and without a
 * trailing dot into out, which has CONF_NAME_BYTES bytes. Returns its length, or -1 when it is malformed.
 */
ssize_t tls_sni_parse(const unsigned char *p, size_t n, char *out);

/* ---- challenge.c ---- */

/* The context for who offers nothing but acme-tls/1 in this hello, and names a challenge; else NULL. */
const struct tls_context *tls_challenge_find(SSL *ssl, struct str sni);
/* Drops all of them. */
void tls_challenge_fini(void);

/* ---- ticket.c ---- */

/* Sets callback, lifetime and number of tickets. */
void tls_ticket_setup(SSL_CTX *ctx);

/* ---- conn.c: a connection between OpenSSL and the socket ---- */

enum tls_state { TLS_STATE_HANDSHAKE, TLS_STATE_OPEN, TLS_STATE_FAILED };

struct tls_conn {
	SSL *ssl;
	struct stream *s;
	const struct stream_ops *below; /* what s was before */
	struct tls_listener *listener;	/* of a server, until the handshake ends */
	struct tls_client *client;	/* NULL: we are the server */
	tls_done *done;                 /* until it was called */
	struct work work; /* runs the first step, and calls done */
	struct buf in;    /* ciphertext that OpenSSL has not taken */
	struct buf out;   /* ciphertext that the kernel has not taken */
	char *sni;
	char *client_ca;  /* 32 bytes */
	char *why;
	char *held;       /* a TLS 1.3 ticket, which goes out in front of the next bytes */
	size_t held_n;
	struct tls_facts facts;
	size_t recv_max;         /* what this call may read from the socket */
	uint32_t room;           /* what the socket takes at least */
	uint32_t burst_bytes;    /* plaintext since the last pause, up to TLS_SMALL_TOTAL_BYTES */
	uint32_t written_ms;     /* when last something was written, on the loop's clock */
	uint32_t records;        /* sent under this key */
	uint8_t state;           /* enum tls_state */
	uint8_t err;             /* enum err: why the handshake failed */
	uint8_t sock_end;        /* enum err: how the socket's read side ended; ERR_OK: it has not */
	uint8_t rx, tx;          /* enum err: reading and writing go on (ERR_OK) or ended so */
	uint8_t messages;        /* of the handshake, since application data */
	uint8_t nfirst;
	unsigned char first[5];  /* bytes of the connection */
	uint16_t offered;        /* highest version in the client's hello */
	bool has_hello;
	bool has_no_certificate; /* that could be shown: the handshake has failed */
	bool has_ended;          /* our direction, by the owner */
	bool fin_due;            /* the socket's is to follow once `out` is empty */
	bool truncated;
};

/* Puts itself on s, whose handshake is to begin. */
struct tls_conn *tls_conn_new(struct stream *s, SSL_CTX *ctx, tls_done *done) MUST_USE;
/* Brackets around a call into OpenSSL: how much it may read; afterwards nothing is left in shared buffers. */
void tls_conn_enter(struct tls_conn *c, size_t recv_max);
void tls_conn_leave(struct tls_conn *c);
/* The peer asks for more of our work than anybody needs. */
bool tls_conn_is_abused(const struct tls_conn *c);
/* Bytes that OpenSSL could have without waiting. */
bool tls_conn_has_input(const struct tls_conn *c);
/* Keeps what OpenSSL has just written until there is something else to send. */
void tls_conn_hold(struct tls_conn *c);
/* Sends what waits in c->out, and the FIN behind it. */
void tls_conn_flush(struct tls_conn *c);
/* How much the socket would take, or at least `want`. */
size_t tls_conn_room(struct tls_conn *c, size_t want);
/* Tells the stream what its owner may do now. */
void tls_conn_update(struct tls_conn *c);
/* Keeps one printable line, unless there is one. */
void tls_conn_explain(struct tls_conn *c, const char *fmt, ...) PRINTF(2, 3);
void tls_conn_free(struct tls_conn *c);
BIO_METHOD *tls_bio_method(void);

/* ---- handshake.c ---- */

void tls_handshake_step(struct tls_conn *c);
/* Why OpenSSL failed, for tls_conn_explain; uses up its error queue. */
void tls_explain_failure(struct tls_conn *c);

/* ---- client.c ---- */

/* The server may have forgotten them, or they are not to be trusted any more. */
void tls_client_forget_sessions(struct tls_client *t);
/* A handshake without any of them has shown who the server is. */
void tls_client_note_verified(struct tls_client *t);

/* ---- stream.c ---- */

extern const struct stream_ops tls_ops;
