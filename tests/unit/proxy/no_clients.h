/*
 * no_clients.h - for tests without https:// origins, which make up the rest of tls: what proxy would call for
 * them.
 */
#pragma once

#include "tls/client.h"

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
