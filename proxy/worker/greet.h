/*
 * greet.h - a new connection's first bytes: a PROXY header where one is due, then what they speak.
 *
 * Bytes that decide are only peeked at, so that whoever takes the connection over finds all of them. A
 * listener where there is nothing to choose from is not looked at. Called by conn.
 */
#pragma once

struct conn;

/* Goes on until it has called one of conn.h's functions for greet. The connection may be gone on return. */
void greet_begin(struct conn *c);
/* Not much longer: its listener or the worker goes. */
void greet_drain(struct conn *c);
/* Forgets it, whether or not it was still looking. */
void greet_end(struct conn *c);
