/*
 * priv.h - what the files of the parser share: the rules for targets, and what a finished head means.
 */
#pragma once

#include "core/syntax.h"
#include "h1/h1.h"

/*
 * Reads the target of h->method into scheme, authority and path (RFC 9112 section 3.2). All of its bytes
 * are SYNTAX_TARGET. The parts are borrowed from it or lie in the arena.
 */
enum err h1_read_target(struct arena *a, struct head *h, struct str target) MUST_USE;

/*
 * What the fields of a complete head mean: framing, length, host, persistence, upgrade, expectation; then
 * marks what is not passed on.
 */
enum err h1_finish_request(struct h1_parser *p) MUST_USE;
enum err h1_finish_response(struct h1_parser *p) MUST_USE;

/* For trailer sections; `arena` gets the head. */
void h1_parser_init_trailers(struct h1_parser *p, enum h1_what what, const struct h1_limits *limits,
			     struct arena *arena);

/* The row of the error table for an error in that kind of message: a response's are 502. */
enum err h1_err(enum h1_what what, enum err e);
