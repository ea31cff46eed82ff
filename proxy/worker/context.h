/*
 * context.h - the TLS context of a vhost, as the configuration wants it.
 *
 * Puts together what lies in conf_vhost and in the bundle's files. Knows no sockets. Called by site.
 */
#pragma once

#include "conf/report.h"
#include "proxy/map.h"
#include "tls/tls.h"

/*
 * files: struct conf_file by path. NULL: r says why. The caller owns the result (tls_context_put).
 */
struct tls_context *context_new(const struct conf_vhost *v, const struct map *files,
				struct conf_report *r) MUST_USE;
/* Of a configuration with errors: its files are all there, so that a context can be made. */
bool context_is_whole(const struct conf_vhost *v, const struct map *files);
/* What clients will not like about it. */
void context_warn(const struct tls_context *c, const struct conf_vhost *v, const struct map *files,
		  struct conf_report *r);
