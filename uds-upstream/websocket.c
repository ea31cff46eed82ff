/*
 * websocket.c - the two sums of the WebSocket handshake (RFC 6455 section 4).
 */
#include "uds-upstream/priv.h"
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

enum { NONCE_BYTES = 16, ACCEPT_BYTES = 28 };

void up_websocket_make_key(char out[UP_WEBSOCKET_KEY_BYTES])
{
	unsigned char nonce[NONCE_BYTES], text[UP_WEBSOCKET_KEY_BYTES + 1];

	BUG_ON(RAND_bytes(nonce, sizeof nonce) != 1);
	EVP_EncodeBlock(text, nonce, sizeof nonce);
	memcpy(out, text, UP_WEBSOCKET_KEY_BYTES);
}

bool up_websocket_is_accepted(struct str key, struct str accept)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char sum[SHA_DIGEST_LENGTH], text[ACCEPT_BYTES + 1], in[128];

	/* a key is 24 bytes long; what is much longer can be none */
	if (key.n + sizeof guid - 1 > sizeof in)
		return false;
	memcpy(in, key.p, key.n);
	memcpy(in + key.n, guid, sizeof guid - 1);
	SHA1(in, key.n + sizeof guid - 1, sum);
	EVP_EncodeBlock(text, sum, sizeof sum);
	return str_eq(accept, str_of((const char *)text, ACCEPT_BYTES));
}
