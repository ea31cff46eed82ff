/*
 * no_tls.h - for tests of proxy without TLS: what it would call, and how many contexts and listeners are
 * alive. Making these is for the tests, which ask about it.
 */
#pragma once

#include "tls/client.h"
#include "tls/tls.h"

static struct {
	int contexts, listeners;
} made_up;

struct tls_trust *tls_trust_new(const struct tls_file *f, struct conf_report *r)
{
	(void)f, (void)r;
	return NULL;
}

void tls_trust_put(struct tls_trust *t)
{
	(void)t;
}

struct tls_client *tls_client_new(const struct tls_client_options *o, struct conf_report *r)
{
	(void)o, (void)r;
	return NULL;
}

void tls_client_put(struct tls_client *t)
{
	(void)t;
}

void tls_client_warn(const struct tls_client *t, const struct tls_client_options *o,
		     const struct tls_file *ca, struct conf_report *r)
{
	(void)t, (void)o, (void)ca, (void)r;
}

struct tls_context *tls_context_get(struct tls_context *c)
{
	return c;
}

bool tls_context_is_empty(const struct tls_context *c)
{
	(void)c;
	return false;
}

bool tls_challenge_add(uint32_t id, struct str name, struct str pem)
{
	(void)id, (void)name, (void)pem;
	return true;
}

void tls_challenge_drop(uint32_t id)
{
	(void)id;
}

struct str tls_context_client_ca(const struct tls_context *c)
{
	(void)c;
	return STR_NONE;
}

void tls_context_put(struct tls_context *c)
{
	made_up.contexts--;
	free(c);
}

void tls_listener_put(struct tls_listener *l)
{
	made_up.listeners--;
	free(l);
}
