/*
 * client.h - TLS towards servers: what their certificates are checked against, who we are to them, and the
 * handshake on a stream that was dialled.
 *
 * Knows OpenSSL, nothing of what is spoken above. Made by proxy's site from bytes, for a worker cannot read
 * files; used by uds-upstream. Afterwards a stream is like one that tls_accept was called for (tls.h):
 * tls_stream_facts, tls_stream_why, tls_stream_truncated.
 */
#pragma once

#include "tls/tls.h"

struct tls_trust;  /* CA certificates, as OpenSSL searches them; counted */
struct tls_client; /* how one server is spoken to, and the sessions it gave us; counted */

/*
 * NULL: r says what is wrong. Found again by content as long as it is held anywhere: the system's, which
 * takes a megabyte, is there once. The caller owns the result.
 */
struct tls_trust *tls_trust_new(const struct tls_file *f, struct conf_report *r) MUST_USE;
void tls_trust_put(struct tls_trust *t);

struct tls_client_options {
	struct str server; /* whose sessions they are: equal for the same server only */
	/*
	 * SNI, and what its certificate has to be for: a host name, or an address (then there is no SNI,
	 * RFC 6066 section 3). Empty: neither.
	 */
	struct str name;
	struct tls_trust *trust;    /* NULL: whatever certificate it has is taken */
	struct tls_pair_files pair; /* our own; without names: none */
	struct tls_policy policy;   /* alpn has no effect: it is "http/1.1" */
};

/* As tls_context_new: found again by content. Holds its trust. */
struct tls_client *tls_client_new(const struct tls_client_options *o, struct conf_report *r) MUST_USE;
struct tls_client *tls_client_get(struct tls_client *t);
void tls_client_put(struct tls_client *t);
/* Adds warnings: of our own certificate, and of those in the file `ca` that is trusted. o is what t was made
 * of. */
void tls_client_warn(const struct tls_client *t, const struct tls_client_options *o,
		     const struct tls_file *ca, struct conf_report *r);

/*
 * Puts TLS (client side) on s and begins the handshake, as tls_accept does. `done` gets ERR_OK; or
 * ERR_UP_CERTIFICATE: the server's is not accepted; ERR_TLS: one of the two does not want; ERR_EOF,
 * ERR_RESET, ERR_IO: the connection ended before. Timing it is the owner's job. t is held as long as s needs
 * it.
 */
void tls_connect(struct stream *s, struct tls_client *t, tls_done *done);
