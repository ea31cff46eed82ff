/*
 * decide.h - what is to be done with a request: which vhost, which mount, where to. Pure.
 *
 * The one place that reads a request for this; route carries out what comes of it, and `gatehouse explain`
 * tells it. Knows tables, paths and header rules; not exchanges, upstreams or pages.
 */
#pragma once

#include "core/err.h"
#include "proxy/worker/tables.h"
#include "proxy/worker/translate.h"

/* Where a request came in by. */
struct decide_from {
	const struct site_listener *listener; /* NULL: the site has it no more */
	const struct site_vhost *vhost;       /* that of the SNI, else the listener's first */
	const struct conf_global *global;     /* NULL: nobody is rejected */
	struct str sni;
	struct str client_ca; /* what the client's certificate was checked against; empty: nothing */
	bool tls;
};

enum decide_what {
	DECIDE_UP,       /* it goes to the mount's target, asking for `target` */
	DECIDE_REDIRECT, /* to the URL `target` */
	DECIDE_STYLE,    /* the style sheet of the pages */
	DECIDE_PICTURE,  /* how this Gatehouse is doing, as the mount's kind says */
	DECIDE_OPTIONS,  /* what the server can do at all */
	DECIDE_FAIL,     /* the page of `why` */
};

struct decision {
	enum decide_what what;
	enum err why;
	const struct conf_reject *reject; /* of ERR_REJECTED */
	const struct site_vhost *vhost; /* NULL: none has this name here */
	const struct site_mount *mount; /* NULL: none is asked */
	struct str target;
	bool rebased;                   /* the upstream has another path for it */
	unsigned steps;                 /* slots of look-up tables that were looked at */
};

/* Strings lie in a, or are slices of h and of the configuration. */
void decide_request(struct arena *a, const struct head *h, const struct decide_from *from,
		    struct decision *out);

/* What header rules there are by that decision; the caller adds what he knows of the client. */
void decide_up(const struct decision *d, const struct decide_from *from, struct translate_up *t);
/* The same for an answer to the request `up`, as it was sent to the upstream; NULL: it is a page. */
void decide_down(const struct decision *d, const struct decide_from *from, const struct head *up,
		 struct translate_down *t);
