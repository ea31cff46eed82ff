/*
 * journey.h - `gatehouse explain URL`: which way a request would take, told and not done.
 *
 * Reads the configuration, makes the site of it that a worker would run, lets decide say what is to be done
 * with the request, and translate what would be sent. Connects to nobody. Called by main.
 */
#pragma once

#include "core/base.h"

enum { JOURNEY_HEADERS_MAX = 64 };

struct journey_options {
	const char *path;     /* of the configuration */
	const char *url;      /* "https://www.example.com/x?y" */
	const char *method;   /* NULL: GET */
	const char *client;   /* its address; NULL: one that nobody has */
	const char *listener; /* by its name; NULL: the one that has the URL's port */
	const char *const *headers; /* "Name: value" */
	size_t nheaders;      /* at most JOURNEY_HEADERS_MAX */
	bool verbose;
};

/* Writes to out, what is wrong to standard error. Returns the exit status. */
int journey_tell(const struct journey_options *o, FILE *out);
