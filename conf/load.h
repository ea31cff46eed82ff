/*
 * load.h - from the bytes of configuration files to the immutable struct config.
 *
 * Pure: touches no file. All errors of all files come in one pass. Called by bundle.h's two functions, by
 * `gatehouse proxy` (which makes its configuration up) and by tests.
 */
#pragma once

#include "conf/report.h"

enum {
	CONF_FILE_BYTES = 1024 * 1024, /* a configuration file is not larger */
	CONF_DEPTH = 32,               /* nor nested deeper */
};

/* A configuration file; the order of files is the order of vhosts. */
struct conf_source {
	struct str path;
	struct str bytes;
};

struct conf_options {
	struct str data_dir; /* what _lws_ddir_ stands for; empty: CONF_DATA_DIR */
};
#define CONF_DATA_DIR "/usr/share"

/*
 * Returns a configuration with one reference (conf_put), which borrows nothing; NULL when there was an error.
 * Adds to r, which is initialised and may already hold messages, and sorts it. opt may be NULL.
 */
struct config *conf_load(const struct conf_source *src, size_t n, const struct conf_options *opt,
			 struct conf_report *r) MUST_USE;

/*
 * The same a piece at a time, for a worker that has clients to serve: step until it returns true, then
 * close, which returns what conf_load does. Closing earlier gives up. src and what it points to are
 * borrowed until then.
 */
struct conf_loader;
struct conf_loader *conf_load_open(const struct conf_source *src, size_t n, const struct conf_options *opt,
				   struct conf_report *r) MUST_USE;
/* Goes on for about max_us (0: to the end). True: done. */
bool conf_load_step(struct conf_loader *l, uint64_t max_us);
struct config *conf_load_close(struct conf_loader *l) MUST_USE;
/*
 * The same, but never NULL: with errors, what there is besides them. For who looks for more of them; it
 * cannot be served.
 */
struct config *conf_load_close_anyhow(struct conf_loader *l) MUST_USE;
