/*
 * demo.h - what the files of the demo application share.
 *
 * main.c has the connections, their output and their timers; http.c reads requests; answers.c has what each
 * path answers; websocket.c is the echo. One thread, one epoll loop, no dependence on Gatehouse.
 */
#pragma once

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#define IN_MAX (64 * 1024)	/* a request head must fit */
#define OUT_HIGH (256 * 1024)	/* beyond this nothing more is produced or read */
#define PATTERN 65521

/* Borrowed bytes, not terminated. */
struct span {
	const char *p;
	size_t n;
};

/* What a connection is doing. Each phase has one function that moves it on. */
enum phase {
	READ_HEAD,
	READ_BODY,
	ANSWER,		/* producing a response body */
	FRAMES,		/* a WebSocket */
	LEAVE,		/* all is said: waits for the peer to close, so that nothing is reset away */
};

/* Where the request body stands. */
enum framing { NO_BODY, LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILERS };

/* What fills the response body once the head is out. */
enum source { NOTHING, BYTES, EVENTS, DELAY };

struct request {
	char *text;	/* the head, owned; all spans point into it */
	struct span method, target, path, query, fields;
	bool http10, head, close;
};

struct conn {
	int fd;
	uint32_t interest;
	enum phase phase;
	bool eof;

	struct conn *all_next, **all_link;
	struct conn *next, **link;	/* among those that wait for a time */
	uint64_t due_ms;

	struct request req;
	enum framing framing;
	uint64_t body_left, body_bytes;
	char *trailers;			/* of the request, each line with its CRLF; owned */
	EVP_MD_CTX *hash;		/* of an upload */
	bool echo, answered;

	enum source source;
	bool chunked;
	uint64_t left, at, chunk_bytes, interval_ms, events;

	bool frame_open;		/* FRAMES: inside a frame's payload */
	bool message_open;		/* ... or between the fragments of a message */
	uint64_t frame_left;
	uint8_t mask[4];
	unsigned mask_at;

	char *out;
	size_t out_at, out_n, out_cap;
	size_t in_n;
	char in[IN_MAX];
};

struct demo {
	int epoll, listener, signals;
	struct conn *all, *timed;
	uint8_t pattern[PATTERN];
	uint64_t connections, accepted, requests, events_open, sockets_open, uploads, uploads_broken;
};

extern struct demo demo;

/* main.c */
_Noreturn void die(const char *what);
uint64_t now_ms(void);
/* n bytes at the end of the output, to be filled at once. */
char *out_grow(struct conn *c, size_t n);
size_t out_pending(const struct conn *c);
void out_put(struct conn *c, const void *p, size_t n);
/* At most 1023 bytes. */
void out_printf(struct conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void in_drop(struct conn *c, size_t n);
void timer_clear(struct conn *c);
void timer_set(struct conn *c, uint64_t delay_ms);
/* The request and its answer are complete: the next request, or the end of the connection. */
void finish(struct conn *c);

/* http.c */
bool is(struct span s, const char *text);
/* Splits off what stands before the first c; all of it when there is none. */
struct span split(struct span *s, char c);
struct span trim(struct span s);
/* 1*DIGIT, or 1*HEXDIG, of at most 63 bits and nothing else. */
bool number(struct span s, unsigned base, uint64_t *out);
/* True when the comma-separated list has that token. */
bool has_token(struct span list, const char *token);
/* The next field of a head or trailer section; false at its end. */
bool next_field(struct span *fields, struct span *name, struct span *value);
/* The value of the first such field; .p is NULL when there is none. */
struct span field(const struct request *r, const char *wanted);
/* Two phases. They return false when they wait for more input. */
bool read_head(struct conn *c);
bool read_body(struct conn *c);

/* answers.c */
/* What some paths do before the body comes. expects: the client waits for a 100 before it sends it. */
void answer_before_body(struct conn *c, bool expects);
/* Answers a request whose body, if it has one, is in. */
void answer(struct conn *c);
/* The phase that moves a response body on; false when it waits for a time. */
bool answer_more(struct conn *c);
/* Status line and the fields every answer has; more fields and the empty line follow. */
void start(struct conn *c, unsigned status, const char *type);
void respond_text(struct conn *c, unsigned status);
void chunk(struct conn *c, const void *p, size_t n);
void last_chunk(struct conn *c, const char *trailers);

/* websocket.c */
void answer_upgrade(struct conn *c);
/* The phase of a WebSocket; false when it waits for more input. */
bool read_frames(struct conn *c);
