#include "tls/priv.h"
#include <openssl/err.h>

static size_t iov_bytes(const struct iovec *iov, int n)
{
	size_t total = 0;

	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	return total;
}

/* OpenSSL gave up on this connection: nothing more goes either way. */
static void break_off(struct tls_conn *c)
{
	tls_explain_failure(c);
	if (c->client)
		tls_client_forget_sessions(c->client);
	if (c->rx == ERR_OK)
		c->rx = ERR_TLS;
	if (c->tx == ERR_OK)
		c->tx = ERR_TLS;
}

/* ---- reading ---- */

/* OpenSSL had no plaintext. Sets c->rx when there will be none. */
static void read_nothing(struct tls_conn *c)
{
	int e = SSL_get_error(c->ssl, 0);

	if (e == SSL_ERROR_WANT_READ) {
		c->rx = c->sock_end;
		c->truncated = c->sock_end == ERR_EOF;
	} else if (e == SSL_ERROR_ZERO_RETURN) {
		c->rx = ERR_EOF;
	} else {
		break_off(c);
	}
	ERR_clear_error();
}

static size_t fill_pieces(struct tls_conn *c, const struct iovec *iov, int n)
{
	size_t left = iov_bytes(iov, n), got = 0, off = 0, k;

	for (int i = 0; i < n;) {
		if (off == iov[i].iov_len) {
			i++, off = 0;
			continue;
		}
		/*
		 * Never more than fits, for the rest would have to be stored; and not a system call for each
		 * scrap of room.
		 */
		c->recv_max = left >= TLS_RECV_MIN_BYTES ? left : got ? 0 : TLS_RECV_MIN_BYTES;
		if (!SSL_read_ex(c->ssl, (char *)iov[i].iov_base + off, iov[i].iov_len - off, &k)) {
			read_nothing(c);
			break;
		}
		c->messages = 0;
		off += k;
		got += k;
		left -= k;
		if (!tls_conn_has_input(c))
			break;
	}
	return got;
}

static ssize_t tls_readv(struct stream *s, const struct iovec *iov, int n)
{
	struct tls_conn *c = s->impl;
	size_t got = 0;

	if (!(s->can & STREAM_IN))
		return -ERR_AGAIN;
	if (c->rx == ERR_OK) {
		tls_conn_enter(c, 0);
		got = fill_pieces(c, iov, n);
		tls_conn_leave(c);
		if (c->rx == ERR_OK && tls_conn_is_abused(c)) {
			tls_conn_explain(c, "too many key updates or renegotiations");
			c->rx = c->tx = ERR_ABUSE;
		}
		tls_conn_update(c);
	}
	if (got)
		return (ssize_t)got;
	if (c->rx == ERR_OK)
		return -ERR_AGAIN;
	return c->rx == ERR_EOF ? 0 : -(ssize_t)c->rx;
}

/* ---- writing ---- */

struct source {
	const struct iovec *iov;
	size_t off; /* in the first of them */
};

/* The next n bytes in one piece: where they are, or copied together. */
static const char *take(struct source *from, size_t n)
{
	size_t got = 0;

	while (from->off == from->iov->iov_len)
		from->iov++, from->off = 0;
	if (from->iov->iov_len - from->off >= n) {
		from->off += n;
		return (const char *)from->iov->iov_base + from->off - n;
	}
	while (got < n) {
		size_t k = MIN(n - got, from->iov->iov_len - from->off);

		memcpy(tls_w->plain + got, (const char *)from->iov->iov_base + from->off, k);
		got += k;
		from->off += k;
		if (got < n)
			from->iov++, from->off = 0;
	}
	return tls_w->plain;
}

/*
 * A record can only be read when its last byte has come. So that a client has something to work on after one
 * round trip, the first ones of a burst are small; from then on what counts is their number. A small answer
 * is one record in any case: all of it is in the first segments. A server is near, and waits for nobody.
 */
static size_t record_bytes(struct tls_conn *c, size_t offered, size_t left)
{
	size_t n = TLS_RECORD_BYTES;

	if (!c->client && c->burst_bytes < TLS_SMALL_TOTAL_BYTES && offered > TLS_ONE_RECORD_BYTES)
		n = TLS_SMALL_RECORD_BYTES;
	n = MIN(n, left);
	c->burst_bytes += (uint32_t)n;
	return n;
}

static void note_burst(struct tls_conn *c)
{
	uint32_t now_ms = (uint32_t)loop_now_ms();

	if (now_ms - c->written_ms > TLS_IDLE_MS)
		c->burst_bytes = 0;
	else
		c->burst_bytes = MIN(c->burst_bytes, (uint32_t)TLS_SMALL_TOTAL_BYTES);
	c->written_ms = now_ms;
}

/* New keys before the old ones wear out (RFC 8446 section 5.5); under TLS 1.2 there is no way to. */
static void count_record(struct tls_conn *c)
{
	tls_w->stats.records++;
	if (++c->records < tls_w->rekey_records || c->facts.version < TLS1_3_VERSION)
		return;
	c->records = 0;
	SSL_key_update(c->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
}

static size_t encrypt(struct tls_conn *c, const struct iovec *iov, size_t offered, size_t limit)
{
	struct source from = { .iov = iov };
	size_t done = 0, k;

	while (done < limit) {
		size_t n = record_bytes(c, offered, limit - done);

		if (!SSL_write_ex(c->ssl, take(&from, n), n, &k)) {
			break_off(c);
			break;
		}
		BUG_ON(k != n);
		done += n;
		count_record(c);
	}
	return done;
}

/*
 * What is encrypted and not sent is memory, so no more than the kernel will take; but something in any case,
 * for only a socket that refused to take more tells when it can.
 */
static size_t write_limit(struct tls_conn *c, size_t offered)
{
	const size_t added = TLS_OUT_BYTES - TLS_WRITE_BYTES; /* by records, at most */
	size_t limit = offered <= TLS_WRITE_BYTES + TLS_WRITE_MORE_BYTES ? offered : TLS_WRITE_BYTES, room;

	if (limit <= TLS_WRITE_LAST_BYTES)
		return limit;
	room = tls_conn_room(c, limit + added);
	if (room >= limit + added)
		return limit;
	room = room > added ? (room - added) / TLS_RECORD_BYTES * TLS_RECORD_BYTES : 0;
	return MAX((size_t)TLS_WRITE_LAST_BYTES, room);
}

static ssize_t tls_writev(struct stream *s, const struct iovec *iov, int n)
{
	struct tls_conn *c = s->impl;
	size_t offered, done;

	if (c->has_ended)
		return -ERR_IO;
	if (!(s->can & STREAM_OUT))
		return -ERR_AGAIN;
	if (c->tx != ERR_OK)
		return -(ssize_t)c->tx;
	offered = iov_bytes(iov, n);
	tls_conn_enter(c, 0);
	note_burst(c);
	done = encrypt(c, iov, offered, write_limit(c, offered));
	tls_conn_leave(c);
	tls_conn_update(c);
	return done || c->tx == ERR_OK ? (ssize_t)done : -(ssize_t)c->tx;
}

/* ---- the rest ---- */

static void tls_shutdown(struct stream *s)
{
	struct tls_conn *c = s->impl;

	if (c->state == TLS_STATE_OPEN && c->tx == ERR_OK) {
		tls_conn_enter(c, 0);
		SSL_shutdown(c->ssl); /* close_notify; that of the peer is read, or not, as its end */
		ERR_clear_error();
		tls_conn_leave(c);
	}
	c->has_ended = c->fin_due = true;
	tls_conn_flush(c);
	tls_conn_update(c);
}

static size_t tls_unsent(const struct stream *s)
{
	const struct tls_conn *c = s->impl;

	return buf_len(&c->out);
}

static void tls_woken(struct stream *s)
{
	struct tls_conn *c = s->impl;

	tls_conn_flush(c);
	if (c->state == TLS_STATE_HANDSHAKE && s->sock & STREAM_IN)
		tls_handshake_step(c);
	if (c->state != TLS_STATE_HANDSHAKE && c->done)
		loop_post(&c->work);
	tls_conn_update(c);
}

static void tls_fini_stream(struct stream *s)
{
	tls_conn_free(s->impl);
	s->impl = NULL;
}

const struct stream_ops tls_ops = {
	.name = "tls",
	.readv = tls_readv,
	.writev = tls_writev,
	.shutdown = tls_shutdown,
	.unsent = tls_unsent,
	.woken = tls_woken,
	.fini = tls_fini_stream,
};

const struct tls_facts *tls_stream_facts(const struct stream *s)
{
	const struct tls_conn *c = s->impl;

	return s->ops == &tls_ops && c->state == TLS_STATE_OPEN ? &c->facts : NULL;
}

const char *tls_stream_why(const struct stream *s)
{
	const struct tls_conn *c = s->impl;

	return s->ops == &tls_ops ? c->why : NULL;
}

struct str tls_stream_sni(const struct stream *s)
{
	const struct tls_conn *c = s->impl;

	return s->ops == &tls_ops ? c->facts.sni : STR_NONE;
}

bool tls_stream_truncated(const struct stream *s)
{
	const struct tls_conn *c = s->impl;

	return s->ops == &tls_ops && c->truncated;
}
