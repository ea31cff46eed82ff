#include "tls/priv.h"
#include <ctype.h>
#include <openssl/err.h>

/* ---- why it failed ---- */

static const char *version_name(unsigned v)
{
	switch (v) {
	case TLS1_3_VERSION: return "TLS 1.3";
	case TLS1_2_VERSION: return "TLS 1.2";
	case TLS1_1_VERSION: return "TLS 1.1";
	case TLS1_VERSION: return "TLS 1.0";
	case SSL3_VERSION: return "SSL 3.0";
	}
	return "an unknown version";
}

/* The first error that the TLS part raised, for it knows best what it was doing; else the first of all. */
static unsigned long take_error(void)
{
	unsigned long first = 0, e;

	while ((e = ERR_get_error()))
		if (!first || (ERR_GET_LIB(first) != ERR_LIB_SSL && ERR_GET_LIB(e) == ERR_LIB_SSL))
			first = e;
	return first;
}

/* OpenSSL has no name for the alerts of TLS 1.3 alone, only for the error that each of them is. */
static const char *alert_name(int alert, const char *error)
{
	static const char prefix[] = "tlsv13 alert ";
	const char *name = SSL_alert_desc_string_long(alert);

	if (strcmp(name, "unknown") == 0 && error && strncmp(error, prefix, sizeof prefix - 1) == 0)
		return error + sizeof prefix - 1;
	return name;
}

void tls_explain_failure(struct tls_conn *c)
{
	const char *peer = c->client ? "server" : "client";
	unsigned long e = take_error();
	int reason = ERR_GET_REASON(e);
	const char *text = ERR_reason_error_string(e);

	if (ERR_GET_LIB(e) != ERR_LIB_SSL)
		tls_conn_explain(c, "%s", text ? text : "OpenSSL gives no reason");
	else if (reason >= SSL_AD_REASON_OFFSET)
		tls_conn_explain(c, "the %s sent the alert \"%s\"", peer,
				 alert_name(reason - SSL_AD_REASON_OFFSET, text));
	else if (c->client)
		tls_conn_explain(c, "%s", text ? text : "OpenSSL gives no reason");
	else if (reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_VERSION_TOO_LOW)
		tls_conn_explain(c, "unsupported protocol (client offers at most %s)",
				 version_name(c->offered));
	else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
		tls_conn_explain(c, "the client's certificate is not accepted: %s",
				 X509_verify_cert_error_string(SSL_get_verify_result(c->ssl)));
	else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		tls_conn_explain(c, "the client has sent no certificate (client-cert-required)");
	else if (reason == SSL_R_NO_APPLICATION_PROTOCOL)
		tls_conn_explain(c, "none of the protocols that the client offers (ALPN)");
	else
		tls_conn_explain(c, "%s", text ? text : "OpenSSL gives no reason");
}

/*
 * A method and a space, or the beginning of a long method: RFC 9112 section 3. OpenSSL knows only some
 * methods, and answers others with an alert.
 */
static bool is_http(const struct tls_conn *c)
{
	size_t i = 0;

	if (c->nfirst < sizeof c->first)
		return false;
	while (i < sizeof c->first && c->first[i] >= 'A' && c->first[i] <= 'Z')
		i++;
	return i == sizeof c->first || (i >= 3 && c->first[i] == ' ');
}

static bool is_tls(const struct tls_conn *c)
{
	bool may_begin = c->first[0] == SSL3_RT_HANDSHAKE || (c->client && c->first[0] == SSL3_RT_ALERT);

	return c->nfirst < 2 || (may_begin && c->first[1] == SSL3_VERSION_MAJOR);
}

static void explain_no_tls(struct tls_conn *c)
{
	char text[4 * sizeof c->first + 1];
	size_t n = 0;

	for (size_t i = 0; i < c->nfirst; i++) {
		bool plain = isgraph(c->first[i]) && c->first[i] != '\\' && c->first[i] != '"';

		n += (size_t)snprintf(text + n, sizeof text - n, plain ? "%c" : "\\x%02x", c->first[i]);
	}
	tls_conn_explain(c, "this is no TLS, it begins with \"%s\"", text);
}

/* ---- the handshake ---- */

static void end(struct tls_conn *c, enum tls_state state, enum err e)
{
	BUG_ON(c->state != TLS_STATE_HANDSHAKE || state == TLS_STATE_HANDSHAKE);
	c->state = (uint8_t)state;
	c->err = (uint8_t)e;
	/* A connection in use must not hold the names of a configuration that is replaced. */
	if (c->listener)
		tls_listener_put(c->listener);
	c->listener = NULL;
}

/*
 * KeyUpdate (RFC 8446 section 4.6.3 sets no bound), or renegotiation that is asked for again and again: each
 * costs us work, and maybe an answer.
 */
static void on_message(int is_sent, int version, int type, const void *p, size_t n, SSL *ssl, void *arg)
{
	struct tls_conn *c = arg;

	(void)version, (void)p, (void)n, (void)ssl;
	if (!is_sent && type == SSL3_RT_HANDSHAKE && c->messages <= TLS_MESSAGES_MAX)
		c->messages++;
}

/* What this client has proved, in this handshake or in the one that its ticket is of. */
static void note_client(struct tls_conn *c)
{
	/* the context lives: the listener holds it until the handshake ends */
	struct str ca = tls_context_client_ca(SSL_CTX_get_app_data(SSL_get_SSL_CTX(c->ssl)));

	if (!ca.n || !SSL_get0_peer_certificate(c->ssl) || SSL_get_verify_result(c->ssl) != X509_V_OK)
		return;
	c->client_ca = base_alloc(ca.n);
	memcpy(c->client_ca, ca.p, ca.n);
	c->facts.client_ca = str_of(c->client_ca, ca.n);
}

static void serve(struct tls_conn *c)
{
	note_client(c);
	/*
	 * Under TLS 1.3 what is still to be sent is a ticket, which nobody waits for: it saves a packet to
	 * send it with the first answer.
	 */
	if (c->facts.version >= TLS1_3_VERSION)
		tls_conn_hold(c);
	tls_w->stats.handshakes++;
	tls_w->stats.resumed += c->facts.resumed;
}

static void be_served(struct tls_conn *c)
{
	if (!c->facts.resumed)
		tls_client_note_verified(c->client);
	tls_w->stats.up_handshakes++;
	tls_w->stats.up_resumed += c->facts.resumed;
}

static void establish(struct tls_conn *c)
{
	const unsigned char *alpn;
	unsigned alpn_n;

	SSL_get0_alpn_selected(c->ssl, &alpn, &alpn_n);
	c->facts.alpn = str_of((const char *)alpn, alpn_n);
	c->facts.version = SSL_version(c->ssl);
	c->facts.resumed = SSL_session_reused(c->ssl);
	c->facts.cipher = SSL_get_cipher_name(c->ssl);
	SSL_set_msg_callback(c->ssl, on_message);
	SSL_set_msg_callback_arg(c->ssl, c);
	if (c->client)
		be_served(c);
	else
		serve(c);
	end(c, TLS_STATE_OPEN, ERR_OK);
}

static void fail(struct tls_conn *c, int ssl_error)
{
	enum err e = ERR_TLS;

	if (c->client) {
		tls_w->stats.up_failed++;
		tls_client_forget_sessions(c->client);
	} else {
		tls_w->stats.failed++;
	}
	if (ssl_error == SSL_ERROR_WANT_READ) { /* the socket's end, which OpenSSL does not know of */
		e = (enum err)c->sock_end;
		tls_conn_explain(c, "%s %s", err_text(e),
				 c->nfirst ? "during the handshake" : "before the first byte");
	} else if (!c->client && is_http(c)) {
		e = ERR_HTTP_ON_TLS;
		tls_w->out_n = 0; /* an alert would be no part of the answer in plain text */
		tls_conn_explain(c, "%s", err_text(e));
	} else if (!is_tls(c)) {
		explain_no_tls(c);
	} else if (c->client && SSL_get_verify_mode(c->ssl) != SSL_VERIFY_NONE &&
		   SSL_get_verify_result(c->ssl) != X509_V_OK) {
		e = ERR_UP_CERTIFICATE;
		tls_explain_failure(c);
	} else if (c->has_no_certificate) {
		e = ERR_NO_CERTIFICATE;
	} else {
		tls_explain_failure(c);
	}
	ERR_clear_error();
	end(c, TLS_STATE_FAILED, e);
}

void tls_handshake_step(struct tls_conn *c)
{
	int r, ssl_error;

	tls_conn_enter(c, TLS_RECV_HANDSHAKE_BYTES);
	r = SSL_do_handshake(c->ssl);
	ssl_error = r == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, r);
	if (ssl_error == SSL_ERROR_NONE)
		establish(c);
	else if (ssl_error != SSL_ERROR_WANT_READ || c->sock_end != ERR_OK)
		fail(c, ssl_error);
	tls_conn_leave(c);
}

/* The stream is a plain socket again. */
static void take_off(struct tls_conn *c)
{
	struct stream *s = c->s;

	s->ops = c->below;
	s->impl = NULL;
	tls_conn_free(c);
	s->ops->woken(s);
}

/* From the loop: the first step, whose bytes may have come before us, and the owner's news. */
static void run_work(struct work *w)
{
	struct tls_conn *c = container_of(w, struct tls_conn, work);
	tls_done *done = c->done;
	struct stream *s = c->s;

	if (c->state == TLS_STATE_HANDSHAKE)
		tls_handshake_step(c);
	if (c->state == TLS_STATE_HANDSHAKE || !done)
		return;
	c->done = NULL;
	if (c->err == ERR_HTTP_ON_TLS) {
		take_off(c);
		done(s, ERR_HTTP_ON_TLS, err_text(ERR_HTTP_ON_TLS));
		return;
	}
	tls_conn_update(c);
	done(s, (enum err)c->err, c->why);
}

struct tls_conn *tls_conn_new(struct stream *s, SSL_CTX *ctx, tls_done *done)
{
	struct tls_conn *c = base_zalloc(sizeof *c);
	BIO *b = BIO_new(tls_w->bio);

	BUG_ON(!b || s->impl);
	c->ssl = SSL_new(ctx);
	BUG_ON(!c->ssl);
	BIO_set_data(b, c);
	SSL_set_bio(c->ssl, b, b);
	c->s = s;
	c->below = s->ops;
	c->done = done;
	work_init(&c->work, run_work);
	buf_init(&c->in);
	buf_init(&c->out);
	tls_w->stats.connections++;
	s->ops = &tls_ops;
	s->impl = c;
	tls_conn_update(c);
	return c;
}

void tls_accept(struct stream *s, struct tls_listener *l, tls_done *done)
{
	struct tls_conn *c = tls_conn_new(s, l->contexts[0]->ctx, done);

	c->listener = tls_listener_get(l);
	SSL_set_accept_state(c->ssl);
	if (s->sock & STREAM_IN)
		loop_post(&c->work);
}
