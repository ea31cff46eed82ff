/*
 * clients.h - how TLS is spoken to the targets of a configuration.
 *
 * Puts together what lies in conf_target and in the bundle's files. Knows no sockets. Called by site, and by
 * probe.
 */
#pragma once

#include "conf/report.h"
#include "proxy/map.h"
#include "tls/client.h"

/* While targets are gone through: each file of CA certificates is read once. */
struct clients {
	struct arena *arena;
	const struct map *files; /* struct conf_file by path */
	struct map trusts;       /* by path; borrowed paths */
	struct clients_trust *first;
};

/* Arena and files are borrowed until clients_fini. */
void clients_init(struct clients *cl, struct arena *a, const struct map *files, size_t ntargets);
/* What was made goes on to live. */
void clients_fini(struct clients *cl);
/* For a target with TLS. NULL: r says why. The caller owns the result (tls_client_put). */
struct tls_client *clients_make(struct clients *cl, const struct conf_target *t,
				struct conf_report *r) MUST_USE;
/* Of a configuration with errors: the files are all there, so that it can be made. */
bool clients_are_whole(const struct clients *cl, const struct conf_target *t);
/* What will not please: certificates that are over. */
void clients_warn(const struct clients *cl, const struct tls_client *client, const struct conf_target *t,
		  struct conf_report *r);
