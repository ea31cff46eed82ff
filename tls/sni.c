#include "tls/priv.h"

struct tls_listener *tls_listener_new(const struct tls_name *names, size_t n, bool strict)
{
	struct tls_listener *l = base_zalloc(sizeof *l);
	struct str *keys = base_alloc(n * sizeof *keys);

	BUG_ON(n == 0);
	l->refs = 1;
	l->strict = strict;
	l->n = n;
	l->contexts = base_alloc(n * sizeof *l->contexts);
	for (size_t i = 0; i < n; i++) {
		l->contexts[i] = tls_context_get(names[i].context);
		keys[i] = names[i].name;
	}
	arena_init(&l->arena);
	l->names = conf_names_new(&l->arena, keys, n);
	free(keys);
	return l;
}

struct tls_listener *tls_listener_get(struct tls_listener *l)
{
	l->refs++;
	return l;
}

void tls_listener_put(struct tls_listener *l)
{
	BUG_ON(l->refs == 0);
	if (--l->refs)
		return;
	for (size_t i = 0; i < l->n; i++)
		tls_context_put(l->contexts[i]);
	free(l->contexts);
	arena_fini(&l->arena);
	free(l);
}

ssize_t tls_sni_parse(const unsigned char *p, size_t n, char *out)
{
	size_t list, len;

	/* ServerNameList: its length, then name_type host_name(0), the name's length, the name. */
	if (n < 5)
		return -1;
	list = (size_t)p[0] << 8 | p[1];
	len = (size_t)p[3] << 8 | p[4];
	/* A list of just one: there are no other types, and no type may come twice. */
	if (list != n - 2 || p[2] != 0 || len != n - 5 || len > CONF_NAME_BYTES)
		return -1;
	if (len && p[5 + len - 1] == '.')
		len--;
	if (len == 0)
		return -1;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = p[5 + i];

		if (c <= 0x20 || c >= 0x7f)
			return -1;
		out[i] = str_lower_char((char)c);
	}
	return (ssize_t)len;
}

/* For the log, when nothing common is found: supported_versions (RFC 8446 section 4.2.1) or the old field. */
static uint16_t highest_version(SSL *ssl)
{
	unsigned highest = SSL_client_hello_get0_legacy_version(ssl);
	const unsigned char *p;
	size_t n;

	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &p, &n) || n < 3)
		return (uint16_t)highest;
	highest = 0;
	for (size_t i = 1; i + 1 < n; i += 2) {
		unsigned v = (unsigned)p[i] << 8 | p[i + 1];

		if (v >> 8 == SSL3_VERSION_MAJOR) /* others are GREASE (RFC 8701) */
			highest = MAX(highest, v);
	}
	return (uint16_t)highest;
}

/* The client's name for the server into c. False when the hello is at fault. */
static bool take_name(SSL *ssl, struct tls_conn *c, int *alert)
{
	const unsigned char *p;
	char name[CONF_NAME_BYTES];
	ssize_t len = 0;
	size_t n;
	bool again = c->has_hello;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n)) {
		len = tls_sni_parse(p, n, name);
		if (len < 0) {
			*alert = SSL_AD_DECODE_ERROR;
			tls_conn_explain(c, "malformed server name (RFC 6066 section 3)");
			return false;
		}
	}
	if (again && !str_eq(c->facts.sni, str_of(name, (size_t)len))) {
		*alert = SSL_AD_ILLEGAL_PARAMETER;
		tls_conn_explain(c, "another server name after HelloRetryRequest (RFC 8446 section 4.1.2)");
		return false;
	}
	c->has_hello = true;
	if (len && !again) {
		c->sni = base_alloc((size_t)len);
		memcpy(c->sni, name, (size_t)len);
		c->facts.sni = str_of(c->sni, (size_t)len);
	}
	return true;
}

int tls_client_hello(SSL *ssl, int *alert, void *arg)
{
	struct tls_conn *c = BIO_get_data(SSL_get_rbio(ssl));
	struct tls_listener *l = c->listener;
	const struct tls_context *chosen;
	ssize_t i = -1;

	(void)arg;
	if (!take_name(ssl, c, alert))
		return SSL_CLIENT_HELLO_ERROR;
	c->offered = highest_version(ssl);
	chosen = tls_challenge_find(ssl, c->facts.sni);
	if (chosen) {
		tls_context_apply(ssl, chosen);
		return SSL_CLIENT_HELLO_SUCCESS;
	}
	if (c->facts.sni.n) {
		i = conf_names_find(l->names, c->facts.sni, NULL);
		if (i < 0 && l->strict) {
			*alert = SSL_AD_UNRECOGNIZED_NAME;
			tls_conn_explain(c, "no vhost of the name %.*s here", STR_ARG(c->facts.sni));
			return SSL_CLIENT_HELLO_ERROR;
		}
	}
	chosen = l->contexts[i < 0 ? 0 : i];
	if (!chosen->npairs) {
		/* RFC 8446 section 6.2: there is nothing that both sides would accept */
		*alert = SSL_AD_HANDSHAKE_FAILURE;
		c->has_no_certificate = true;
		tls_conn_explain(c, "%s", err_text(ERR_NO_CERTIFICATE));
		return SSL_CLIENT_HELLO_ERROR;
	}
	tls_context_apply(ssl, chosen);
	return SSL_CLIENT_HELLO_SUCCESS;
}
