/*
 * ends.h - a test end for either side of an exchange, and a test router.
 *
 * An end writes what it is told into a line of words ("H200 D5 END room abort:UP_RESET"), takes by itself
 * what the test allows, and does nothing else: the test tells for it.
 */
#pragma once

#include "core/exchange.h"

struct test_end {
	struct end e;
	char words[4096];
	size_t len;
	struct head *head;     /* last one told */
	bool hold;             /* do not take bytes in `data` */
	struct buf got;        /* bytes taken */
	bool ended;            /* END was seen */
	enum err aborted;      /* reason, or ERR_OK */
	unsigned heads, datas, rooms, aborts;
	void (*on_data)(struct test_end *t); /* called after the recording, may tell more */
	void (*on_room)(struct test_end *t);
	void (*on_head)(struct test_end *t, struct head *h);
};

extern const struct end_ops test_end_ops;
void test_end_init(struct test_end *t);
void test_end_fini(struct test_end *t);
/* Takes up to n waiting bytes into got, and notes END. */
void test_end_take(struct test_end *t, size_t n);
/* The words so far, and forgets them. */
const char *test_end_words(struct test_end *t);
/* Heads in the exchange's arena. */
struct head *test_request(struct exchange *x, const char *method, const char *path);
struct head *test_response(struct exchange *x, unsigned status);

/*
 * A router that attaches `up` at the request and again after an early abort while `again` is set;
 * otherwise it answers with a bare head of the error's status. Opens the loop too.
 */
struct test_router {
	struct test_end *up;
	unsigned again;
	unsigned heads, aborts, finished;
	enum err last_abort;
	struct end page;
};
extern struct test_router test_router;
void test_loop_open(void);
/* Asserts that nothing is left alive, and closes the loop. */
void test_loop_close(void);
