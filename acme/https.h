/*
 * https.h - a blocking HTTPS client: one request at a time, with a deadline and a limit on what comes back.
 *
 * Knows names, sockets, TLS and HTTP/1.1; nothing of ACME. Keeps one connection for the next request to
 * the same host. Called by ca.c, in an order's own process: it waits, and nobody else is there to be kept
 * waiting.
 */
#pragma once

#include "core/arena.h"
#include "core/head.h"
#include <openssl/ssl.h>

enum {
	ACME_REQUEST_MS = 30000,          /* a request, from the look-up of the name to the last byte */
	ACME_CONNECT_MS = 10000,          /* of which one address gets so much, when there are others */
	ACME_RESPONSE_BYTES = 256 * 1024, /* of a body */
	ACME_URL_BYTES = 2048,
};

/* The parts of an https URL (RFC 8555 section 6.1: there are no others); slices of it. */
struct acme_url {
	struct str host;      /* without brackets */
	struct str authority; /* as it stands in the URL: for Host */
	struct str path;      /* with the query; "/" when there is none */
	uint16_t port;
};

/*
 * False: not an https URL, or one with characters that have no place there (so it may stand in JSON and
 * in a log as it is).
 */
bool acme_url_read(struct str url, struct acme_url *out) MUST_USE;

struct acme_https {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;              /* -1: no connection */
	char peer[300];      /* authority of the connection */
	unsigned served;     /* requests that it has answered */
	uint64_t deadline_ms;
	char error[512];     /* why the last request failed, in words */
};

struct acme_request {
	struct str method, url;
	struct str content_type, accept, body; /* may be empty */
	bool once; /* must not be sent again, even when a kept connection turns out to be closed */
};

struct acme_response {
	unsigned status;
	const struct head *head;
	struct str body;
};

/*
 * trust_pem: the certificates that alone are trusted; empty: the system's. False: c->error says what is wrong
 * with them, and nothing is held.
 */
bool acme_https_open(struct acme_https *c, struct str trust_pem) MUST_USE;
/* Harmless when all is closed. */
void acme_https_close(struct acme_https *c);

/*
 * Sends and waits for the whole answer, which lies in the arena. False: none came; c->error says why, and the
 * connection is closed.
 */
bool acme_https_ask(struct acme_https *c, struct arena *a, const struct acme_request *r,
		    struct acme_response *out) MUST_USE;
