#include "tls/priv.h"
#include <linux/sock_diag.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <sys/socket.h>

/* ---- ciphertext in ---- */

/* One recv into the shared buffer. False when there is nothing, or this call is to read nothing more. */
static bool refill(struct tls_conn *c)
{
	struct iovec v = { tls_w->in, MIN(c->recv_max, (size_t)TLS_IN_BYTES) };
	ssize_t n;

	if (c->sock_end != ERR_OK || !(c->s->sock & STREAM_IN) || v.iov_len == 0)
		return false;
	n = stream_sock_readv(c->s, &v, 1);
	tls_w->stats.recvs++;
	if (n > 0) {
		tls_w->in_off = 0;
		tls_w->in_end = (size_t)n;
		return true;
	}
	if (n != -ERR_AGAIN)
		c->sock_end = n == 0 ? ERR_EOF : (uint8_t)-n;
	return false;
}

/* What is no TLS is told by how it begins. */
static void note_first(struct tls_conn *c, const char *p, size_t n)
{
	while (n-- && c->nfirst < sizeof c->first)
		c->first[c->nfirst++] = (unsigned char)*p++;
}

/*
 * What was kept from the last call comes first, and only when that is used up the socket is read. The end of
 * the socket is not told to OpenSSL: it would call it a fatal error and then refuse to write, too.
 */
static int bio_read(BIO *b, char *p, int want)
{
	struct tls_conn *c = BIO_get_data(b);
	size_t n = (size_t)want;

	BIO_clear_retry_flags(b);
	if (want <= 0)
		return 0;
	if (tls_conn_is_abused(c)) {
		BIO_set_retry_read(b); /* out of OpenSSL's loop */
		return -1;
	}
	if (buf_len(&c->in)) {
		n = buf_copy(&c->in, p, n);
		buf_drop(&c->in, n);
	} else if (tls_w->in_off < tls_w->in_end || refill(c)) {
		n = MIN(n, tls_w->in_end - tls_w->in_off);
		memcpy(p, tls_w->in + tls_w->in_off, n);
		tls_w->in_off += n;
	} else {
		BIO_set_retry_read(b);
		return -1;
	}
	note_first(c, p, n);
	return (int)n;
}

bool tls_conn_is_abused(const struct tls_conn *c)
{
	return c->messages > TLS_MESSAGES_MAX || buf_len(&c->out) > TLS_ANSWERS_MAX_BYTES;
}

bool tls_conn_has_input(const struct tls_conn *c)
{
	return tls_w->in_off < tls_w->in_end || buf_len(&c->in) || SSL_pending(c->ssl) > 0 ||
	       (c->sock_end == ERR_OK && c->s->sock & STREAM_IN);
}

/* ---- ciphertext out ---- */

/* What does not fit in the shared buffer, or has to wait behind older bytes, is stored. */
static void append(struct tls_conn *c, const char *p, size_t n)
{
	if (buf_len(&c->out) || tls_w->out_n + n > TLS_OUT_BYTES) {
		buf_put(&c->out, tls_w->out, tls_w->out_n);
		tls_w->out_n = 0;
		buf_put(&c->out, p, n);
	} else {
		memcpy(tls_w->out + tls_w->out_n, p, n);
		tls_w->out_n += n;
	}
}

/* Never refuses. */
static int bio_write(BIO *b, const char *p, int n)
{
	struct tls_conn *c = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	if (n <= 0)
		return 0;
	if (c->held_n) {
		append(c, c->held, c->held_n);
		c->held_n = 0;
		free(c->held);
		c->held = NULL;
	}
	append(c, p, (size_t)n);
	return n;
}

void tls_conn_hold(struct tls_conn *c)
{
	if (tls_w->out_n == 0 || tls_w->out_n > TLS_HELD_MAX_BYTES || buf_len(&c->out))
		return;
	c->held = base_alloc(tls_w->out_n);
	memcpy(c->held, tls_w->out, tls_w->out_n);
	c->held_n = tls_w->out_n;
	tls_w->out_n = 0;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b, (void)num, (void)ptr;
	return cmd == BIO_CTRL_FLUSH; /* there is nothing in between; all else is not for us */
}

static int bio_create(BIO *b)
{
	BIO_set_init(b, 1);
	return 1;
}

BIO_METHOD *tls_bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "gatehouse");

	BUG_ON(!m || !BIO_meth_set_read(m, bio_read) || !BIO_meth_set_write(m, bio_write) ||
	       !BIO_meth_set_ctrl(m, bio_ctrl) || !BIO_meth_set_create(m, bio_create));
	return m;
}

/* The kernel takes no more: what is left will never leave, and a writer must find out. */
static void fail_writing(struct tls_conn *c, enum err e)
{
	c->tx = (uint8_t)e;
	buf_fini(&c->out);
}

static void send_shared(struct tls_conn *c)
{
	struct iovec v = { tls_w->out, tls_w->out_n };
	size_t sent = 0;

	tls_w->out_n = 0;
	/* what is left to say after ERR_TLS is the alert */
	if (v.iov_len == 0 || (c->tx != ERR_OK && c->tx != ERR_TLS))
		return;
	if (c->s->sock & STREAM_OUT) {
		ssize_t n = stream_sock_writev(c->s, &v, 1);

		tls_w->stats.sends++;
		if (n < 0 && n != -ERR_AGAIN) {
			fail_writing(c, (enum err)(-n));
			return;
		}
		sent = n < 0 ? 0 : (size_t)n;
	}
	c->room -= (uint32_t)MIN(sent, (size_t)c->room);
	buf_put(&c->out, tls_w->out + sent, v.iov_len - sent);
}

/*
 * The kernel is asked only when what it said last, less what was sent since, is not enough: from then on it
 * can only have more. It counts a little more than the bytes we give it.
 */
size_t tls_conn_room(struct tls_conn *c, size_t want)
{
	uint32_t m[SK_MEMINFO_VARS], queued;
	socklen_t len = sizeof m;

	if (c->room >= want)
		return c->room;
	if (getsockopt(c->s->ev.fd, SOL_SOCKET, SO_MEMINFO, m, &len) < 0 ||
	    len <= SK_MEMINFO_WMEM_QUEUED * sizeof *m)
		return want;
	queued = MAX(m[SK_MEMINFO_WMEM_QUEUED], m[SK_MEMINFO_WMEM_ALLOC]); /* TCP's, and a Unix socket's */
	c->room = m[SK_MEMINFO_SNDBUF] - MIN(queued, m[SK_MEMINFO_SNDBUF]);
	return c->room;
}

void tls_conn_flush(struct tls_conn *c)
{
	struct iovec v[TLS_OUT_BYTES / SLAB_BYTES + 2];

	while (buf_len(&c->out) && c->s->sock & STREAM_OUT) {
		int pieces = buf_peek(&c->out, SIZE_MAX, v, (int)ARRAY_SIZE(v));
		ssize_t n = stream_sock_writev(c->s, v, pieces);

		tls_w->stats.sends++;
		if (n > 0)
			buf_drop(&c->out, (size_t)n);
		else if (n != -ERR_AGAIN)
			fail_writing(c, n == 0 ? ERR_IO : (enum err)(-n));
	}
	if (c->fin_due && buf_len(&c->out) == 0) {
		c->fin_due = false;
		c->below->shutdown(c->s);
	}
}

/* ---- around a call into OpenSSL ---- */

void tls_conn_enter(struct tls_conn *c, size_t recv_max)
{
	BUG_ON(tls_w->in_off < tls_w->in_end || tls_w->out_n);
	c->recv_max = recv_max;
	ERR_clear_error(); /* SSL_get_error looks at what others left */
}

void tls_conn_leave(struct tls_conn *c)
{
	/* After an end OpenSSL takes nothing more. */
	if (c->state != TLS_STATE_FAILED && c->rx == ERR_OK)
		buf_put(&c->in, tls_w->in + tls_w->in_off, tls_w->in_end - tls_w->in_off);
	tls_w->in_off = tls_w->in_end = 0;
	send_shared(c);
}

void tls_conn_update(struct tls_conn *c)
{
	unsigned can = 0;

	if (c->state == TLS_STATE_OPEN && !c->done) {
		if (c->rx != ERR_OK || tls_conn_has_input(c))
			can |= STREAM_IN;
		if (c->tx != ERR_OK || (!c->has_ended && buf_len(&c->out) == 0 && c->s->sock & STREAM_OUT))
			can |= STREAM_OUT;
		if (c->rx != ERR_OK || c->s->sock & STREAM_HUP)
			can |= STREAM_HUP;
		if (c->s->sock & STREAM_BROKEN || (c->rx != ERR_OK && c->rx != ERR_EOF))
			can |= STREAM_BROKEN;
	}
	stream_set_can(c->s, can);
}

void tls_conn_explain(struct tls_conn *c, const char *fmt, ...)
{
	char line[640];
	va_list args;

	if (c->why)
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof line, fmt, args);
	va_end(args);
	/* a certificate may have anything in its names */
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
			*p = '?';
	c->why = base_alloc(strlen(line) + 1);
	memcpy(c->why, line, strlen(line) + 1);
}

void tls_conn_free(struct tls_conn *c)
{
	work_cancel(&c->work);
	/* Else a session would be lost with a connection that ended without close_notify (RFC 5246
	 * section 7.2.1). */
	if (c->client && c->state == TLS_STATE_OPEN)
		SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(c->ssl);
	ERR_clear_error();
	buf_fini(&c->in);
	buf_fini(&c->out);
	if (c->listener)
		tls_listener_put(c->listener);
	if (c->client)
		tls_client_put(c->client);
	free(c->sni);
	free(c->client_ca);
	free(c->why);
	free(c->held);
	free(c);
	tls_w->stats.connections--;
}
