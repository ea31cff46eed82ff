#include "tls/priv.h"
#include <openssl/crypto.h>

struct tls_worker *tls_w;

enum { REKEY_RECORDS = 1 << 23 }; /* full records of AES-GCM: 2^24.5 is the bound of RFC 8446 section 5.5 */

void tls_init(void)
{
	struct tls_ticket_key first;

	BUG_ON(tls_w != NULL);
	/* Reads openssl.cnf, which a sandbox would hide later. */
	BUG_ON(!OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS, NULL));
	tls_w = base_zalloc(sizeof *tls_w);
	tls_w->rekey_records = REKEY_RECORDS;
	tls_w->in = base_alloc(TLS_IN_BYTES);
	tls_w->out = base_alloc(TLS_OUT_BYTES);
	tls_w->plain = base_alloc(TLS_RECORD_BYTES);
	tls_w->bio = tls_bio_method();
	/* Once: OpenSSL would look it up for every ticket. */
	tls_w->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	BUG_ON(!tls_w->ticket_cipher);
	for (size_t i = 0; i < TLS_CONTEXT_BUCKETS; i++)
		list_init(&tls_w->contexts[i]);
	list_init(&tls_w->challenges);
	list_init(&tls_w->clients);
	list_init(&tls_w->trusts);
	tls_ticket_make(&first);
	tls_set_tickets(&first, 1);
	OPENSSL_cleanse(&first, sizeof first);
}

void tls_fini(void)
{
	tls_challenge_fini();
	BUG_ON(tls_w->stats.connections || tls_w->stats.contexts);
	BUG_ON(tls_w->stats.clients || tls_w->stats.trusts);
	BIO_meth_free(tls_w->bio);
	EVP_CIPHER_free(tls_w->ticket_cipher);
	OPENSSL_cleanse(tls_w->plain, TLS_RECORD_BYTES);
	free(tls_w->in);
	free(tls_w->out);
	free(tls_w->plain);
	OPENSSL_cleanse(tls_w, sizeof *tls_w);
	free(tls_w);
	tls_w = NULL;
}

const struct tls_stats *tls_stats(void)
{
	return &tls_w->stats;
}
