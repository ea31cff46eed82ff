/*
 * websocket.c - a WebSocket echo (RFC 6455).
 */
#include "examples/demo/demo.h"

/* RFC 6455 section 4.2.2 */
void answer_upgrade(struct conn *c)
{
	struct span key = field(&c->req, "sec-websocket-key");
	struct span offered = field(&c->req, "sec-websocket-protocol");
	char text[256], accept[64];
	unsigned char digest[20];
	size_t digest_n;
	int n;

	if (!is(c->req.method, "GET") || !has_token(field(&c->req, "upgrade"), "websocket") ||
	    !has_token(field(&c->req, "connection"), "upgrade") || !key.n || key.n > 64 ||
	    !is(field(&c->req, "sec-websocket-version"), "13")) {
		start(c, 426, NULL);
		out_printf(c, "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
			      "Content-Length: 0\r\n\r\n");
		return;
	}
	n = snprintf(text, sizeof(text), "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)key.n, key.p);
	EVP_Q_digest(NULL, "SHA1", NULL, text, (size_t)n, digest, &digest_n);
	EVP_EncodeBlock((unsigned char *)accept, digest, (int)digest_n);
	out_printf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		      "Sec-WebSocket-Accept: %s\r\n", accept);
	if (offered.n) {
		offered = trim(split(&offered, ','));
		out_printf(c, "Sec-WebSocket-Protocol: ");
		out_put(c, offered.p, offered.n);
		out_printf(c, "\r\n");
	}
	out_printf(c, "\r\n");
	c->phase = FRAMES;
	c->frame_open = c->message_open = false;
	demo.sockets_open++;
}

static void frame_header(struct conn *c, uint8_t first, uint64_t n)
{
	uint8_t h[10] = { first };
	size_t size = n < 126 ? 2 : n < 65536 ? 4 : 10;

	h[1] = (uint8_t)(size == 2 ? n : size == 4 ? 126 : 127);
	for (size_t i = 0; size > 2 && i < size - 2; i++)
		h[size - 1 - i] = (uint8_t)(n >> 8 * i);
	out_put(c, h, size);
}

/* Ends the WebSocket with a close frame (RFC 6455 section 7.4); code 0: no code. */
static bool close_socket(struct conn *c, unsigned code)
{
	uint8_t body[2] = { (uint8_t)(code >> 8), (uint8_t)code };

	frame_header(c, 0x88, code ? 2 : 0);
	out_put(c, body, code ? 2 : 0);
	c->req.close = true;
	finish(c);
	return true;
}

/* A whole control frame's payload is in (at most 125 bytes). */
static bool control_frame(struct conn *c, uint8_t opcode, const char *payload, size_t n)
{
	unsigned code = n >= 2 ? (unsigned)(uint8_t)payload[0] << 8 | (uint8_t)payload[1] : 0;

	if (opcode == 0x8) {
		if (n == 1 || (n && (code < 1000 || (code >= 1004 && code <= 1006) || code == 1015)))
			code = 1002;
		return close_socket(c, code);
	}
	if (opcode == 0x9) {
		frame_header(c, 0x8a, n);
		out_put(c, payload, n);
	}
	return true;
}

/* RFC 6455 section 5.2. Data is echoed as it comes, fragment by fragment; text is not looked into. */
static bool read_frame_header(struct conn *c)
{
	const uint8_t *h = (const uint8_t *)c->in;
	uint8_t opcode, bits;
	bool control;
	size_t size;
	uint64_t n = 0;
	char payload[125];

	if (c->in_n < 2)
		return false;
	opcode = h[0] & 15;
	control = opcode >= 8;
	bits = h[1] & 127;
	size = 2 + (bits == 126 ? 2 : bits == 127 ? 8 : 0) + 4;
	if (!(h[1] & 128) || (h[0] & 0x70))
		return close_socket(c, 1002);
	if (control ? opcode > 10 || bits > 125 || !(h[0] & 128) : opcode > 2 || !opcode != c->message_open)
		return close_socket(c, 1002);
	if (c->in_n < size)
		return false;
	for (size_t i = 2; i < size - 4; i++)
		n = n << 8 | h[i];
	if (bits < 126)
		n = bits;
	if (n > INT64_MAX)
		return close_socket(c, 1002);
	if (control && c->in_n < size + n)
		return false;
	memcpy(c->mask, h + size - 4, 4);
	if (control) {
		for (size_t i = 0; i < n; i++)
			payload[i] = (char)(h[size + i] ^ c->mask[i % 4]);
		in_drop(c, size + (size_t)n);
		return control_frame(c, opcode, payload, (size_t)n);
	}
	c->message_open = !(h[0] & 128);
	c->frame_left = n;
	c->frame_open = n > 0;
	c->mask_at = 0;
	frame_header(c, h[0], n);
	in_drop(c, size);
	return true;
}

bool read_frames(struct conn *c)
{
	size_t n = c->in_n < c->frame_left ? c->in_n : (size_t)c->frame_left;
	char *to;

	if (!c->frame_open)
		return read_frame_header(c);
	if (!n)
		return false;
	to = out_grow(c, n);
	for (size_t i = 0; i < n; i++)
		to[i] = (char)(c->in[i] ^ c->mask[c->mask_at++ & 3]);
	in_drop(c, n);
	c->frame_left -= n;
	c->frame_open = c->frame_left > 0;
	return true;
}
