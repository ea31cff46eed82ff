/*
 * page.h - what Gatehouse answers itself: error pages, redirects, /error.css; and the end that gives it.
 *
 * One design for every status, as HTML, plain text or JSON by Accept. The HTML works under
 * `default-src 'none'; style-src 'self'` and needs no script. What is reflected from the request is escaped.
 * Knows statuses and heads; not vhosts, not upstreams. Called by route.
 */
#pragma once

#include "core/exchange.h"

/* How the page is told; the first is the default. */
enum page_format { PAGE_HTML, PAGE_JSON, PAGE_PROBLEM, PAGE_TEXT };

/* What an answer is about; all strings are borrowed as long as the exchange, and may be empty. */
struct page_about {
	uint16_t status;
	struct str id;       /* by which the log knows this request */
	struct str host;     /* as the client named it */
	struct str location; /* of a redirect */
	struct str server;   /* the Server field */
	struct str realm;    /* of a 401: where a password is asked for */
	struct str message;  /* instead of what this status says; empty: none */
	struct str own;      /* the HTML to show instead of the built-in page; absent: none */
	bool tls;
};

enum {
	PAGE_RETRY_S = 5,    /* of a 503: Retry-After, and how often its page reloads itself */
	PAGE_RETRIES_MAX = 60,
	PAGE_SLOWER_S = 1,   /* of a 429 */
	/* Pages up to this size, and to that of a pipe, do not wait for memory that others use up. */
	PAGE_RESERVE_BYTES = 16 * 1024,
};

/* ---- pure: heads and bodies, made in a. `request` may be NULL when none could be read. ---- */

/* By Accept (RFC 9110 section 12.5.1): the best quality, then what was named most exactly, then HTML. */
enum page_format page_choose(const struct head *request);

/*
 * A page. The 503 in HTML that answers a GET reloads itself, and counts that in a cookie of its own path that
 * lives 20 s; it stops at PAGE_RETRIES_MAX. (A browser that takes no cookies goes on until it is closed.)
 */
struct head *page_make(struct arena *a, const struct head *request, const struct page_about *about,
		       struct str *body) MUST_USE;

/* The style sheet that the pages link: `css`, or the built-in one when that is absent. 200, 304 or 405. */
struct head *page_make_css(struct arena *a, const struct head *request, const struct page_about *about,
			   struct str css, struct str *body) MUST_USE;

/* The answer to a CA's challenge (RFC 8555 section 8.3). */
struct head *page_make_token(struct arena *a, const struct page_about *about, struct str body) MUST_USE;

/* 200 to an OPTIONS that goes no further (RFC 9110 section 9.3.7). */
struct head *page_make_options(struct arena *a, const struct page_about *about) MUST_USE;

/* "Service Unavailable"; of an unknown status, "Error". */
struct str page_reason(uint16_t status);

/* The built-in style sheet. */
extern const struct str page_style;

/* ---- the end ---- */

struct page;

/* Answers with h and, unless it must have none, body; becomes the up end of x. Both lie in x->arena. */
void page_open(struct exchange *x, struct head *h, struct str body);
/*
 * The same, when it is not known yet what is to be answered: page_give says it. `over` is called once, when
 * the page has left: told wholly, or not wanted any more. Until then the body is borrowed.
 */
struct page *page_open_later(struct exchange *x, void (*over)(void *owner), void *owner);
void page_give(struct page *p, struct head *h, struct str body);
/* The exchange that it answers. */
struct exchange *page_exchange(const struct page *p);
/* 200, and what may be said of an answer that is made anew for each request. policy: may be empty. */
struct head *page_make_own(struct arena *a, const struct page_about *about, struct str type,
			   struct str policy, size_t body_bytes) MUST_USE;
