#include "tls/priv.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>

enum {
	/*
	 * Keys rotate every 12 hours and two old ones are kept, so that a ticket can be read for a day at
	 * least: it should not promise more.
	 */
	LIFETIME_S = 24 * 3600,
	/*
	 * A ticket is for one connection (RFC 8446 section C.4), and each resumed connection brings a new
	 * one. A second one would serve clients that begin with two connections at once, and costs every
	 * full handshake some 250 bytes and 5 us.
	 */
	TICKETS_FIRST = 1,
};

void tls_ticket_make(struct tls_ticket_key *k)
{
	BUG_ON(RAND_bytes(k->name, sizeof k->name) != 1);
	BUG_ON(RAND_priv_bytes(k->aes, sizeof k->aes) != 1);
	BUG_ON(RAND_priv_bytes(k->hmac, sizeof k->hmac) != 1);
}

void tls_set_tickets(const struct tls_ticket_key *keys, size_t n)
{
	BUG_ON(n == 0 || n > TLS_TICKET_KEYS);
	OPENSSL_cleanse(tls_w->tickets, sizeof tls_w->tickets);
	memcpy(tls_w->tickets, keys, n * sizeof *keys);
	tls_w->ntickets = n;
}

/* The key of this name: 0 is the newest, ntickets when it is unknown. */
static size_t find_key(const unsigned char *name)
{
	size_t i = 0;

	while (i < tls_w->ntickets &&
	       memcmp(tls_w->tickets[i].name, name, sizeof tls_w->tickets[i].name) != 0)
		i++;
	return i;
}

/*
 * Readies cipher and MAC for one ticket; OpenSSL then encrypts and authenticates (RFC 5077 section 4).
 * Returns -1: fatal, 0: unknown key, full handshake; 1: go on; 2: go on and send a new ticket.
 */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		     EVP_MAC_CTX *mac, int encrypt)
{
	size_t i = encrypt ? 0 : find_key(name);
	struct tls_ticket_key *k = &tls_w->tickets[i];
	OSSL_PARAM params[3];

	if (i == tls_w->ntickets)
		return 0;
	if (encrypt) {
		memcpy(name, k->name, sizeof k->name);
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(tls_w->ticket_cipher)) != 1)
			return -1;
	}
	params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k->hmac, sizeof k->hmac);
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){ "SHA256" }, 0);
	params[2] = OSSL_PARAM_construct_end();
	if (!EVP_MAC_CTX_set_params(mac, params) ||
	    !EVP_CipherInit_ex(cipher, tls_w->ticket_cipher, NULL, k->aes, iv, encrypt))
		return -1;
	/*
	 * A TLS 1.3 client uses a ticket once and needs the next one; under TLS 1.2 it goes on using the same
	 * until we replace it.
	 */
	return encrypt || (i == 0 && SSL_version(ssl) < TLS1_3_VERSION) ? 1 : 2;
}

void tls_ticket_setup(SSL_CTX *ctx)
{
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(ctx, LIFETIME_S);
	/* With it OpenSSL would send TLS 1.3 tickets that name an entry of its cache, which is off. */
	SSL_CTX_set_num_tickets(ctx, SSL_CTX_get_options(ctx) & SSL_OP_NO_TICKET ? 0 : TICKETS_FIRST);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
}
