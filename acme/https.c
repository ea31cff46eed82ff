#include "acme/https.h"
#include "core/loop.h"
#include "core/syntax.h"
#include "h1/h1.h"
#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#define USER_AGENT "gatehouse/" GATEHOUSE_VERSION

enum { HTTPS_PORT = 443, IN_BYTES = 32 * 1024, INTERIM_MAX = 16, GRACE_S = 5 };

static const struct h1_limits limits = {
	.line_bytes = 16 * 1024,
	.head_bytes = 64 * 1024,
	.fields = 200,
	.trailers_bytes = 16 * 1024,
	.chunk_extensions_bytes = 16 * 1024,
};

/* ---- URLs ---- */

static bool read_port(struct str text, uint16_t *out)
{
	uint64_t port;

	if (!str_to_u64(text, UINT16_MAX, &port) || port == 0)
		return false;
	*out = (uint16_t)port;
	return true;
}

/* Visible ASCII without what JSON or a header field would need to escape. */
static bool is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || strchr("\"\\<>^`{|}#", s.p[i]))
			return false;
	return true;
}

static bool read_authority(struct str s, struct acme_url *out)
{
	const char *end, *colon;

	out->port = HTTPS_PORT;
	if (s.n && s.p[0] == '[') {
		end = memchr(s.p, ']', s.n);
		if (!end)
			return false;
		out->host = str_of(s.p + 1, (size_t)(end - s.p) - 1);
		s = str_of(end + 1, s.n - (size_t)(end - s.p) - 1);
		colon = s.n ? s.p : NULL;
		if (colon && *colon != ':')
			return false;
	} else {
		colon = memchr(s.p, ':', s.n);
		out->host = str_of(s.p, colon ? (size_t)(colon - s.p) : s.n);
	}
	if (!out->host.n || out->host.n > 255 || memchr(out->host.p, '@', out->host.n))
		return false;
	return !colon || read_port(str_of(colon + 1, s.n - (size_t)(colon - s.p) - 1), &out->port);
}

bool acme_url_read(struct str url, struct acme_url *out)
{
	static const struct str scheme = { "https://", 8 };
	struct str rest;
	const char *slash;

	if (url.n > ACME_URL_BYTES || url.n < scheme.n || !is_plain(url) ||
	    !str_eq_nocase(str_of(url.p, scheme.n), scheme))
		return false;
	rest = str_of(url.p + scheme.n, url.n - scheme.n);
	slash = memchr(rest.p, '/', rest.n);
	out->authority = str_of(rest.p, slash ? (size_t)(slash - rest.p) : rest.n);
	out->path = slash ? str_of(slash, rest.n - out->authority.n) : STR("/");
	return !memchr(out->authority.p, '?', out->authority.n) && read_authority(out->authority, out);
}

/* ---- waiting ---- */

static uint64_t now_ms(void)
{
	return loop_clock_us() / 1000;
}

static bool fail(struct acme_https *c, const char *fmt, ...) PRINTF(2, 3);
static bool fail(struct acme_https *c, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(c->error, sizeof c->error, fmt, args);
	va_end(args);
	return false;
}

static bool wait_until(struct acme_https *c, short events, uint64_t deadline_ms)
{
	for (;;) {
		struct pollfd p = { c->fd, events, 0 };
		uint64_t now = now_ms();
		int r = now < deadline_ms ? poll(&p, 1, (int)(deadline_ms - now)) : 0;

		if (r > 0)
			return true;
		if (r == 0)
			return fail(c, "no answer in time");
		if (errno != EINTR)
			return fail(c, "%s", strerror(errno));
	}
}

/* ---- connecting ---- */

static void hang_up(struct acme_https *c)
{
	SSL_free(c->ssl);
	c->ssl = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->served = 0;
}

static bool add_trusted(SSL_CTX *ctx, struct str pem)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *bio = pem.n < INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	X509 *cert;
	bool any = false;

	while (bio && (cert = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) != NULL) {
		any |= X509_STORE_add_cert(store, cert) == 1;
		X509_free(cert);
	}
	BIO_free(bio);
	ERR_clear_error();
	return any;
}

bool acme_https_open(struct acme_https *c, struct str trust_pem)
{
	*c = (struct acme_https){ .fd = -1 };
	c->ctx = SSL_CTX_new(TLS_client_method());
	BUG_ON(!c->ctx || !SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION));
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(c->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (trust_pem.n ? add_trusted(c->ctx, trust_pem) : SSL_CTX_set_default_verify_paths(c->ctx) == 1)
		return true;
	acme_https_close(c);
	return fail(c, "directory-ca holds no certificate");
}

void acme_https_close(struct acme_https *c)
{
	hang_up(c);
	SSL_CTX_free(c->ctx);
	c->ctx = NULL;
}

/* The reason that OpenSSL has for the last failure, a certificate's before all others. */
static const char *tls_reason(const struct acme_https *c)
{
	long verify = SSL_get_verify_result(c->ssl);
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	if (verify != X509_V_OK)
		return X509_verify_cert_error_string(verify);
	return reason ? reason : "closed by the peer";
}

/* False: over, as c->error says. True: try the call again. */
static bool tls_wait(struct acme_https *c, int result, uint64_t deadline_ms)
{
	switch (SSL_get_error(c->ssl, result)) {
	case SSL_ERROR_WANT_READ: return wait_until(c, POLLIN, deadline_ms);
	case SSL_ERROR_WANT_WRITE: return wait_until(c, POLLOUT, deadline_ms);
	case SSL_ERROR_SYSCALL: return fail(c, "%s", errno ? strerror(errno) : "closed by the peer");
	default: return fail(c, "TLS: %s", tls_reason(c));
	}
}

static bool shake_hands(struct acme_https *c, const char *host, uint64_t deadline_ms)
{
	static const uint8_t alpn[] = "\x08http/1.1";
	X509_VERIFY_PARAM *param;
	int r;

	c->ssl = SSL_new(c->ctx);
	BUG_ON(!c->ssl || !SSL_set_fd(c->ssl, c->fd));
	param = SSL_get0_param(c->ssl);
	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) != 1) {
		ERR_clear_error();
		if (!SSL_set1_host(c->ssl, host) || !SSL_set_tlsext_host_name(c->ssl, host))
			return fail(c, "not a host name");
	}
	BUG_ON(SSL_set_alpn_protos(c->ssl, alpn, sizeof alpn - 1) != 0);
	for (;;) {
		ERR_clear_error();
		errno = 0;
		r = SSL_connect(c->ssl);
		if (r == 1)
			return true;
		if (!tls_wait(c, r, deadline_ms))
			return false;
	}
}

static bool dial(struct acme_https *c, const struct addrinfo *to, uint64_t deadline_ms)
{
	int e = 0;
	socklen_t n = sizeof e;

	c->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return fail(c, "%s", strerror(errno));
	if (connect(c->fd, to->ai_addr, to->ai_addrlen) == 0)
		return true;
	if (errno != EINPROGRESS)
		return fail(c, "%s", strerror(errno));
	if (!wait_until(c, POLLOUT, deadline_ms))
		return false;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0 || e)
		return fail(c, "%s", strerror(e ? e : errno));
	return true;
}

/* All addresses of the host in turn. */
static bool reach(struct acme_https *c, const struct acme_url *url)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *all = NULL;
	char host[256], port[8], why[256];
	bool good = false;
	int r;

	snprintf(host, sizeof host, "%.*s", STR_ARG(url->host));
	snprintf(port, sizeof port, "%u", url->port);
	r = getaddrinfo(host, port, &hints, &all);
	if (r != 0)
		return fail(c, "%s: %s", host, r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
	for (struct addrinfo *to = all; to && !good && now_ms() < c->deadline_ms; to = to->ai_next) {
		uint64_t until = c->deadline_ms;

		if (to->ai_next)
			until = MIN(until, now_ms() + ACME_CONNECT_MS);
		good = dial(c, to, until) && shake_hands(c, host, until);
		if (!good)
			hang_up(c);
	}
	freeaddrinfo(all);
	if (!good) {
		snprintf(why, sizeof why, "%.250s", c->error);
		return fail(c, "%.*s: %s", STR_ARG(url->authority), why);
	}
	snprintf(c->peer, sizeof c->peer, "%.*s", STR_ARG(url->authority));
	return true;
}

/* Nothing but what TLS has to say for itself may wait on a connection that is used again. */
static bool is_usable(struct acme_https *c, struct str authority)
{
	char byte;
	int r;

	if (!c->ssl || !str_eq_nocase(str_from_c(c->peer), authority))
		return false;
	ERR_clear_error();
	r = SSL_peek(c->ssl, &byte, 1);
	return r < 0 && SSL_get_error(c->ssl, r) == SSL_ERROR_WANT_READ;
}

/* ---- one request ---- */

static bool send_all(struct acme_https *c, struct buf *out)
{
	while (buf_len(out)) {
		struct iovec iov;
		int r, n = buf_peek(out, SLAB_BYTES, &iov, 1);

		BUG_ON(n != 1);
		ERR_clear_error();
		errno = 0;
		r = SSL_write(c->ssl, iov.iov_base, (int)iov.iov_len);
		if (r > 0)
			buf_drop(out, (size_t)r);
		else if (!tls_wait(c, r, c->deadline_ms))
			return false;
	}
	return true;
}

static struct head *compose(struct arena *a, const struct acme_request *r, const struct acme_url *url)
{
	struct head *h = head_new(a, HEAD_REQUEST);

	h->method = r->method;
	h->path = url->path;
	h->authority = url->authority;
	h->length = (int64_t)r->body.n;
	head_add(a, h, STR("User-Agent"), STR(USER_AGENT));
	if (r->accept.n)
		head_add(a, h, STR("Accept"), r->accept);
	if (r->content_type.n)
		head_add(a, h, STR("Content-Type"), r->content_type);
	return h;
}

static bool send_request(struct acme_https *c, const struct acme_request *r, const struct head *h)
{
	struct buf out;
	bool good;

	buf_init(&out);
	h1_write_request(&out, h, r->body.n ? H1_LENGTH : H1_NO_BODY);
	buf_put_str(&out, r->body);
	good = send_all(c, &out);
	buf_fini(&out);
	return good;
}

/* An answer on its way in: bytes that are not understood yet, and what they have given so far. */
struct incoming {
	struct acme_https *c;
	struct arena *arena;
	char *in;
	size_t n;
	bool any, at_end;
	char *body;
	size_t body_n, body_cap;
};

/* More bytes, or the end. */
static bool receive(struct incoming *i)
{
	struct acme_https *c = i->c;

	if (i->n == IN_BYTES)
		return fail(c, "an overlong line");
	for (;;) {
		int r;

		ERR_clear_error();
		errno = 0;
		r = SSL_read(c->ssl, i->in + i->n, (int)(IN_BYTES - i->n));
		if (r > 0) {
			i->n += (size_t)r;
			i->any = true;
			return true;
		}
		if (SSL_get_error(c->ssl, r) == SSL_ERROR_ZERO_RETURN) {
			i->at_end = true;
			return true;
		}
		if (!tls_wait(c, r, c->deadline_ms))
			return false;
	}
}

static void drop(struct incoming *i, size_t n)
{
	memmove(i->in, i->in + n, i->n - n);
	i->n -= n;
}

static bool read_head(struct incoming *i, const struct head *request, struct h1_parser *p)
{
	for (unsigned interim = 0; interim < INTERIM_MAX; interim++) {
		h1_parser_init(p, H1_RESPONSE, &limits, i->arena, request);
		for (;;) {
			ssize_t r = h1_parse(p, i->in, i->n);

			if (r < 0)
				return fail(i->c, "%s", err_text((enum err)-r));
			drop(i, (size_t)r);
			if (p->done)
				break;
			if (i->at_end)
				return fail(i->c, "closed before its answer");
			if (!receive(i))
				return false;
		}
		if (p->head->kind != HEAD_INTERIM)
			return true;
	}
	return fail(i->c, "nothing but interim responses");
}

static bool keep(struct incoming *i, struct str piece)
{
	if (piece.n > ACME_RESPONSE_BYTES - i->body_n)
		return fail(i->c, "an answer of more than %d KiB", ACME_RESPONSE_BYTES / 1024);
	while (i->body_cap - i->body_n < piece.n)
		arena_grow(i->arena, i->body, i->body_cap, i->body_cap);
	memcpy(i->body + i->body_n, piece.p, piece.n);
	i->body_n += piece.n;
	return true;
}

static bool read_body(struct incoming *i, const struct h1_parser *p)
{
	struct h1_body b;

	h1_body_init(&b, H1_RESPONSE, p->framing, (uint64_t)MAX(p->head->length, INT64_C(0)), &limits,
		     i->arena);
	while (!b.done) {
		struct str piece = STR_NONE;
		ssize_t r = i->n ? h1_body_decode(&b, i->in, i->n, &piece) : 0;

		if (r < 0)
			return fail(i->c, "%s", err_text((enum err)-r));
		if (piece.n && !keep(i, piece))
			return false;
		drop(i, (size_t)r);
		if (r > 0 || b.done)
			continue;
		if (i->at_end && p->framing == H1_UNTIL_CLOSE && !i->n)
			return true;
		if (i->at_end)
			return fail(i->c, "closed within its answer");
		if (!receive(i))
			return false;
	}
	return true;
}

static bool exchange(struct incoming *i, const struct acme_request *r, const struct acme_url *url,
		     struct acme_response *out)
{
	struct head *request = compose(i->arena, r, url);
	struct h1_parser p;

	if (!send_request(i->c, r, request) || !read_head(i, request, &p))
		return false;
	if (p.framing != H1_NO_BODY && !read_body(i, &p))
		return false;
	*out = (struct acme_response){ p.head->status, p.head, str_of(i->body, i->body_n) };
	i->c->served++;
	if (!p.keep_alive || p.framing == H1_UNTIL_CLOSE || i->n)
		hang_up(i->c);
	return true;
}

bool acme_https_ask(struct acme_https *c, struct arena *a, const struct acme_request *r,
		    struct acme_response *out)
{
	struct incoming i = { .c = c, .arena = a };
	struct acme_url url;
	bool good, is_old;

	c->deadline_ms = now_ms() + ACME_REQUEST_MS;
	if (!acme_url_read(r->url, &url))
		return fail(c, "not an https URL");
	/* the look-up of a name knows no deadline: past all patience, the process ends */
	alarm(ACME_REQUEST_MS / 1000 + GRACE_S);
	i.in = base_alloc(IN_BYTES);
	if (!is_usable(c, url.authority))
		hang_up(c);
	is_old = c->ssl != NULL;
	good = (is_old || reach(c, &url)) && exchange(&i, r, &url, out);
	if (!good && is_old && !i.any && !r->once && now_ms() < c->deadline_ms) {
		hang_up(c);
		i.n = 0;
		i.at_end = false;
		good = reach(c, &url) && exchange(&i, r, &url, out);
	}
	if (!good)
		hang_up(c);
	free(i.in);
	alarm(0);
	return good;
}
