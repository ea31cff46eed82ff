/*
 * rig.h - for the tests of TLS: certificates made on the spot, an OpenSSL client, a server side that counts
 * what it reads and writes. Both ends in one process, over a socket pair; every wait has a deadline.
 *
 * Both directions carry the same endless pattern, so a byte lost, doubled or moved is seen.
 */
#pragma once

#include "core/buf.h"
#include "tls/priv.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

enum { RIG_DEADLINE_MS = 20 * 1000, RIG_DAY_S = 24 * 3600 };

/* Turns the loop and runs the client until `cond` holds. */
#define rig_until(r, cond)                                                                                   \
	do {                                                                                                 \
		uint64_t end_us_ = loop_clock_us() + RIG_DEADLINE_MS * 1000ull;                              \
		while (!(cond)) {                                                                            \
			if (loop_clock_us() > end_us_)                                                       \
				fail_msg("still not so: %s (client: %s, server: %s)", #cond,                 \
					 (r)->client_error, (r)->server.why);                                \
			rig_step(r);                                                                         \
		}                                                                                            \
	} while (0)

/* ---- certificates ---- */

struct rig_cert {
	X509 *x;
	EVP_PKEY *key;
	char *pem, *key_pem;
};

static UNUSED char *rig_text(BIO *b)
{
	char *p, *copy;
	long n = BIO_get_mem_data(b, &p);

	copy = base_alloc((size_t)n + 1);
	memcpy(copy, p, (size_t)n);
	copy[n] = 0;
	BIO_free(b);
	return copy;
}

static UNUSED char *rig_x509_pem(X509 *x)
{
	BIO *b = BIO_new(BIO_s_mem());

	assert_true(PEM_write_bio_X509(b, x));
	return rig_text(b);
}

/* "subjectAltName=DNS:a.test" and the like, divided by blanks. */
static UNUSED void rig_extend(X509 *x, const char *extensions)
{
	char text[512], *rest = text, *one;

	snprintf(text, sizeof text, "%s", extensions);
	while ((one = strsep(&rest, " "))) {
		char *value = strchr(one, '=');
		X509_EXTENSION *e;

		*value++ = 0;
		e = X509V3_EXT_conf(NULL, NULL, one, value);
		assert_non_null(e);
		assert_true(X509_add_ext(x, e, -1));
		X509_EXTENSION_free(e);
	}
}

/*
 * Takes over `key`. Without an issuer it is a root; not_before and not_after count from now. extensions may
 * be NULL.
 */
static UNUSED struct rig_cert rig_cert_with(const char *name, EVP_PKEY *key, const struct rig_cert *issuer,
					    long not_before_s, long not_after_s, const char *extensions)
{
	struct rig_cert c = { .x = X509_new(), .key = key };
	X509_NAME *subject = X509_NAME_new();
	static unsigned serial;
	BIO *b = BIO_new(BIO_s_mem());

	assert_non_null(key);
	assert_true(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1,
					       -1, 0));
	X509_set_version(c.x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(c.x), ++serial);
	X509_set_subject_name(c.x, subject);
	X509_set_issuer_name(c.x, issuer ? X509_get_subject_name(issuer->x) : subject);
	X509_gmtime_adj(X509_getm_notBefore(c.x), not_before_s);
	X509_gmtime_adj(X509_getm_notAfter(c.x), not_after_s);
	X509_set_pubkey(c.x, key);
	if (extensions)
		rig_extend(c.x, extensions);
	assert_true(X509_sign(c.x, issuer ? issuer->key : key,
			      EVP_PKEY_is_a(issuer ? issuer->key : key, "ED25519") ? NULL : EVP_sha256()));
	X509_NAME_free(subject);
	c.pem = rig_x509_pem(c.x);
	assert_true(PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL));
	c.key_pem = rig_text(b);
	return c;
}

static UNUSED struct rig_cert rig_cert_make(const char *name, EVP_PKEY *key, const struct rig_cert *issuer,
					    long not_before_s, long not_after_s)
{
	return rig_cert_with(name, key, issuer, not_before_s, not_after_s, NULL);
}

static UNUSED struct rig_cert rig_cert_self(const char *name)
{
	return rig_cert_make(name, EVP_EC_gen("P-256"), NULL, -RIG_DAY_S, RIG_DAY_S);
}

static UNUSED void rig_cert_fini(struct rig_cert *c)
{
	X509_free(c->x);
	EVP_PKEY_free(c->key);
	free(c->pem);
	free(c->key_pem);
	*c = (struct rig_cert){ 0 };
}

enum { RIG_PAIRS = 3 };

/* Files by name, each with a place of its own: line 1 of "conf", column as below. */
struct rig_files {
	struct tls_pair_files pairs[RIG_PAIRS];
	struct tls_files f;
};

static UNUSED struct tls_file rig_file(const char *name, const char *pem, unsigned column)
{
	return (struct tls_file){
		.name = { pem ? str_from_c(name) : STR_NONE, { "conf", 1, column } },
		.pem = pem ? str_from_c(pem) : STR_NONE,
	};
}

/* The first pair's files are at columns 1 and 2, the second's at 11 and 12 ...; ca at 5, client_ca at 6. */
static UNUSED void rig_files_add(struct rig_files *r, const char *cert, const char *key)
{
	unsigned at = (unsigned)r->f.npairs;

	assert_true(at < RIG_PAIRS);
	r->f.pairs = r->pairs;
	r->pairs[r->f.npairs++] = (struct tls_pair_files){
		rig_file(at ? "second.crt" : "site.crt", cert, 10 * at + 1),
		rig_file(at ? "second.key" : "site.key", key, 10 * at + 2),
	};
}

static UNUSED void rig_files_init(struct rig_files *r, const char *cert, const char *key)
{
	memset(r, 0, sizeof *r);
	rig_files_add(r, cert, key);
}

/* A context that has to come about, without a word. */
static UNUSED struct tls_context *rig_context_of(const struct rig_files *f, struct tls_policy p)
{
	struct conf_report r;
	struct tls_context *x;

	conf_report_init(&r);
	x = tls_context_new(&f->f, &p, &r);
	for (size_t i = 0; i < r.n; i++)
		print_error("%.*s\n", STR_ARG(r.messages[i].reason));
	assert_int_equal(r.n, 0);
	assert_non_null(x);
	conf_report_fini(&r);
	return x;
}

static UNUSED struct tls_context *rig_context(const struct rig_cert *c, struct tls_policy p)
{
	struct rig_files f;

	rig_files_init(&f, c->pem, c->key_pem);
	return rig_context_of(&f, p);
}

/* A listener of one context, which is put. */
static UNUSED struct tls_listener *rig_listener(struct tls_context *c)
{
	struct tls_name name = { STR("a.test"), c };
	struct tls_listener *l = tls_listener_new(&name, 1, false);

	tls_context_put(c);
	return l;
}

/* ---- the two ends ---- */

static UNUSED char rig_pattern(uint64_t at)
{
	return (char)((at * 2654435761u) >> 13);
}

struct rig_side {
	uint64_t read, written, to_write;
	size_t write_max; /* of one call; 0: no bound */
	bool end;	  /* the other side's end was read */
	bool closes;	  /* end own direction once all is written */
	bool closed;
};

struct rig {
	struct stream *s; /* NULL once closed */
	int fd;		  /* the client's */
	SSL *ssl;
	struct rig_side server_side, client;
	char client_error[256];
	bool client_failed;
	size_t client_read_max; /* of one step; 0: all there is */
	bool client_idle;	/* does nothing */
	SSL_SESSION *session;	/* newest ticket */
	unsigned tickets;
	struct {
		unsigned done;
		enum err err;
		char why[256];
		enum err read_error, write_error;
		unsigned reads;	 /* calls that returned bytes */
		size_t read_max; /* of one call; 0: 64 KiB */
		size_t most_unsent;
	} server;
};

static char rig_out[192 * 1024];

static UNUSED void rig_server_read(struct rig *r)
{
	static char in[64 * 1024];
	size_t max = r->server.read_max ? r->server.read_max : sizeof in;
	ssize_t n;

	while ((n = stream_read(r->s, in, max)) > 0) {
		r->server.reads++;
		for (ssize_t i = 0; i < n; i++)
			if (in[i] != rig_pattern(r->server_side.read + (uint64_t)i))
				fail_msg("server: byte %llu differs",
					 (unsigned long long)r->server_side.read + (unsigned long long)i);
		r->server_side.read += (uint64_t)n;
	}
	if (n == 0)
		r->server_side.end = true;
	else if (n != -ERR_AGAIN)
		r->server.read_error = (enum err)(-n);
	if (n != -ERR_AGAIN)
		stream_want_less(r->s, STREAM_IN);
}

/* The next bytes of the pattern, as pieces of growing size: small ones, and such of whole records. */
static UNUSED int rig_pieces(uint64_t at, size_t n, struct iovec *v, int cap)
{
	static const size_t sizes[] = { 1, 300, 16384, 9, 16384, 40000, 2, 0, 16383, 16385 };
	size_t off = 0;
	int k = 0;

	n = MIN(n, sizeof rig_out);
	for (size_t i = 0; i < n; i++)
		rig_out[i] = rig_pattern(at + i);
	for (; off < n && k < cap; k++) {
		size_t len = MIN(sizes[(size_t)k % ARRAY_SIZE(sizes)], n - off);

		v[k] = (struct iovec){ rig_out + off, k == cap - 1 ? n - off : len };
		off += v[k].iov_len;
	}
	return k;
}

static UNUSED void rig_server_write(struct rig *r)
{
	struct rig_side *w = &r->server_side;
	struct iovec v[12];
	ssize_t n;

	while (w->written < w->to_write) {
		size_t len = (size_t)(w->to_write - w->written);

		n = stream_writev(r->s, v,
				  rig_pieces(w->written, w->write_max ? MIN(len, w->write_max) : len, v, 12));
		r->server.most_unsent = MAX(r->server.most_unsent, stream_unsent(r->s));
		if (n == -ERR_AGAIN)
			return;
		if (n < 0) {
			r->server.write_error = (enum err)(-n);
			break;
		}
		assert_true(n > 0);
		w->written += (uint64_t)n;
	}
	stream_want_less(r->s, STREAM_OUT);
	if (w->closes && !w->closed) {
		w->closed = true;
		stream_shutdown(r->s);
	}
}

static UNUSED void rig_on_ready(struct stream *s)
{
	struct rig *r = s->owner;

	if (s->can & s->want & STREAM_IN)
		rig_server_read(r);
	if (s->can & s->want & STREAM_OUT)
		rig_server_write(r);
}

static UNUSED void rig_done(struct stream *s, enum err e, const char *why)
{
	struct rig *r = s->owner;

	r->server.done++;
	r->server.err = e;
	snprintf(r->server.why, sizeof r->server.why, "%s", why ? why : "");
	if (e == ERR_OK)
		stream_want(s, STREAM_IN);
}

/* To send n bytes more. */
static UNUSED void rig_send(struct rig *r, uint64_t n)
{
	r->server_side.to_write += n;
	stream_want_more(r->s, STREAM_OUT);
}

static UNUSED void rig_client_failed(struct rig *r)
{
	unsigned long e = ERR_peek_last_error();

	r->client_failed = true;
	snprintf(r->client_error, sizeof r->client_error, "%s", e ? ERR_reason_error_string(e) : "closed");
	ERR_clear_error();
}

/* False when there is nothing to be done but wait. */
static UNUSED bool rig_client_handle(struct rig *r, int result)
{
	int e = SSL_get_error(r->ssl, result);

	if (e == SSL_ERROR_ZERO_RETURN)
		r->client.end = true;
	else if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
		rig_client_failed(r);
	return false;
}

static UNUSED void rig_client_write(struct rig *r)
{
	struct rig_side *w = &r->client;
	size_t n = 0;

	while (w->written < w->to_write) {
		size_t len = (size_t)MIN(w->to_write - w->written, (uint64_t)16384);

		for (size_t i = 0; i < len; i++)
			rig_out[i] = rig_pattern(w->written + i);
		if (w->write_max)
			len = MIN(len, w->write_max);
		if (!SSL_write_ex(r->ssl, rig_out, len, &n)) {
			rig_client_handle(r, 0);
			return;
		}
		w->written += n;
	}
	if (w->closes && !w->closed) {
		w->closed = true;
		SSL_shutdown(r->ssl);
		shutdown(r->fd, SHUT_WR);
	}
}

static UNUSED void rig_client_read(struct rig *r)
{
	static char in[16384];
	size_t n, left = r->client_read_max ? r->client_read_max : SIZE_MAX;

	while (left && !r->client.end && !r->client_failed) {
		if (!SSL_read_ex(r->ssl, in, MIN(left, sizeof in), &n)) {
			rig_client_handle(r, 0);
			return;
		}
		for (size_t i = 0; i < n; i++)
			if (in[i] != rig_pattern(r->client.read + i))
				fail_msg("client: byte %llu differs",
					 (unsigned long long)(r->client.read + i));
		r->client.read += n;
		left -= n;
	}
}

static UNUSED void rig_step(struct rig *r)
{
	loop_turn(r->ssl && !r->client_failed && !r->client_idle ? 0 : 1);
	if (!r->ssl || r->client_failed || r->client_idle)
		return;
	ERR_clear_error();
	if (!SSL_is_init_finished(r->ssl)) {
		int n = SSL_do_handshake(r->ssl);

		if (n != 1) {
			rig_client_handle(r, n);
			return;
		}
	}
	rig_client_write(r);
	rig_client_read(r);
}

static UNUSED int rig_on_session(SSL *ssl, SSL_SESSION *session)
{
	struct rig *r = SSL_get_app_data(ssl);

	r->tickets++;
	SSL_SESSION_free(r->session);
	r->session = session;
	return 1;
}

/* A client context of one version (0: 1.2 and 1.3); free it. */
static UNUSED SSL_CTX *rig_client_ctx(int version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	assert_non_null(ctx);
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, rig_on_session);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return ctx;
}

/* TCP for what depends on how a socket fills. */
static UNUSED void rig_tcp_pair(int fd[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	socklen_t len = sizeof a;

	assert_int_equal(bind(listening, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(listening, 1), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&a, &len), 0);
	fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd[1], (struct sockaddr *)&a, sizeof a), 0);
	fd[0] = accept(listening, NULL, NULL);
	assert_true(fd[0] >= 0);
	close(listening);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fcntl(fd[i], F_SETFL, O_NONBLOCK), 0);
		assert_int_equal(setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), 0);
	}
}

static bool rig_tcp; /* of the next connections */

/* The server side only; the test plays the client on r->fd. */
static UNUSED void rig_open_raw(struct rig *r, struct tls_listener *l)
{
	int fd[2];

	memset(r, 0, sizeof *r);
	if (rig_tcp)
		rig_tcp_pair(fd);
	else
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	r->fd = fd[1];
	r->s = stream_new(fd[0]);
	assert_non_null(r->s);
	stream_own(r->s, r, rig_on_ready);
	tls_accept(r->s, l, rig_done);
}

/* Nothing has run yet: set up r->ssl further, then rig_connect or rig_until. name and session may be NULL. */
static UNUSED void rig_open(struct rig *r, struct tls_listener *l, SSL_CTX *ctx, const char *name,
			    SSL_SESSION *session)
{
	rig_open_raw(r, l);
	r->ssl = SSL_new(ctx);
	SSL_set_app_data(r->ssl, r);
	SSL_set_fd(r->ssl, r->fd);
	SSL_set_connect_state(r->ssl);
	if (name)
		SSL_set_tlsext_host_name(r->ssl, name);
	if (session)
		SSL_set_session(r->ssl, session);
}

static UNUSED void rig_connect(struct rig *r)
{
	rig_until(r, r->server.done && (r->client_failed || SSL_is_init_finished(r->ssl)));
	assert_string_equal(r->server.why, "");
	assert_int_equal(r->server.err, ERR_OK);
	assert_false(r->client_failed);
}

/* Until it has failed on the server's side and the client has seen what there is to see. */
static UNUSED void rig_fail(struct rig *r)
{
	rig_until(r, r->server.done);
	assert_int_not_equal(r->server.err, ERR_OK);
	stream_close(r->s);
	r->s = NULL;
	if (r->ssl)
		rig_until(r, r->client_failed);
}

static UNUSED void rig_close(struct rig *r)
{
	if (r->s)
		stream_close(r->s);
	if (r->ssl) {
		SSL_shutdown(r->ssl); /* or OpenSSL holds the session to be bad */
		SSL_free(r->ssl);
	}
	ERR_clear_error();
	SSL_SESSION_free(r->session);
	close(r->fd);
	loop_turn(0);
	memset(r, 0, sizeof *r);
}

static UNUSED int rig_setup(void **state)
{
	(void)state;
	rig_tcp = false;
	signal(SIGPIPE, SIG_IGN); /* the client's socket BIO writes without MSG_NOSIGNAL */
	assert_int_equal(loop_open(), 0);
	tls_init();
	return 0;
}

/* Whatever a test did, nothing may be left. */
static UNUSED int rig_teardown(void **state)
{
	(void)state;
	loop_turn(0);
	assert_int_equal(stream_count(), 0);
	assert_int_equal(slab_count(), 0);
	assert_int_equal(tls_stats()->connections, 0);
	assert_int_equal(tls_stats()->contexts, 0);
	tls_fini();
	slab_drop_spares();
	loop_close();
	return 0;
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
