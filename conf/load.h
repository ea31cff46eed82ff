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
