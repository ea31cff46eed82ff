/*
 * client.h - an h2 client for unit tests: sends raw frames to a connection over a socket pair, and turns
 * what comes back into words: "SETTINGS:0", "HEADERS:1:END", "DATA:1:5:END", "RST:3:PROTOCOL_ERROR",
 * "GOAWAY:3:NO_ERROR", "CLOSED".
 */
#pragma once

#include "h2/frame.h"
#include "h2/h2c.h"
#include "h2/hpack.h"
#include "tests/unit/support/ends.h"

enum { CLIENT_UPS = 256 };

struct client {
	int fd;
	struct h2c *c;       /* NULL once closed */
	struct host host;
	struct limits limits;
	struct timeouts timeouts;
	bool draining;
	enum err closed_why;
	uint8_t in[1 << 20]; /* bytes from the server, not yet words */
	size_t n;
	char words[1 << 16];
	size_t body_bytes;   /* of DATA seen */
	struct hpack_decoder decoder;
	char head[8192];     /* last field block, decoded */
	bool eof;
	struct test_end ups[CLIENT_UPS]; /* up ends, in the order of the requests */
	unsigned nups;
};
extern struct client client;

/* Everything at its defaults; then the test may set limits, timeouts and host before it opens. */
void client_init(void);
/*
 * Opens loop, connection and client; sends preface and SETTINGS unless raw. The first words (SETTINGS
 * ...) are dropped then.
 */
void client_open(bool raw);
/* Closes what is left and asserts that nothing lives on. */
void client_close(void);
/* Sends bytes, taking turns while the server does not read. */
void client_send(const void *p, size_t n);
void client_frame(uint8_t type, uint8_t flags, uint32_t stream, const void *p, size_t n);
/*
 * HEADERS with this block; fields are "name: value\n" lines, pseudo-fields among them, encoded as
 * literals.
 */
void client_headers(uint32_t stream, uint8_t flags, const char *fields);
/* A GET of path, ended. */
void client_get(uint32_t stream, const char *path);
void client_window_update(uint32_t stream, uint32_t increment);
/* Takes turns until nothing moves, and returns the words since the last call. */
const char *client_words(void);
/* Takes one turn, and returns the words since the last call. */
const char *client_words_of_a_turn(void);
/* Takes turns until these words came, at most a few seconds; returns all words since the last call. */
const char *client_words_until(const char *what);
/* The up end of request `up`: an answer with so many bytes, to its end; the same without the end; bytes. */
void client_answer(unsigned up, size_t bytes);
void client_begin(unsigned up, size_t bytes);
void client_put(struct end *e, size_t bytes);
/* A field block of literals into out; returns its length. */
size_t client_block(const char *fields, uint8_t *out, size_t cap);

#define GET ":method: GET\n:scheme: http\n:authority: test\n:path: /\n"
#define POST ":method: POST\n:scheme: http\n:authority: test\n:path: /\n"
#define CONNECT                                                                                 \
	":method: CONNECT\n:protocol: websocket\n:scheme: http\n:authority: test\n:path: /ws\n"

/* For cmocka: with the connection open; with nothing sent yet. */
int client_setup(void **state);
int client_setup_raw(void **state);
int client_teardown(void **state);
#define CLIENT_TEST(name) cmocka_unit_test_setup_teardown(name, client_setup, client_teardown)
#define CLIENT_TEST_RAW(name) cmocka_unit_test_setup_teardown(name, client_setup_raw, client_teardown)
