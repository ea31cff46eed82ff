/*
 * bundle.h - every file a configuration needs, read once by the parent, in one sealed memory file.
 *
 * A worker and the trial get the descriptor and build the very same configuration from it; they open no file
 * themselves. Knows files and memory, not what is in them. Called by parent, trial and worker.
 */
#pragma once

#include "conf/load.h"

/* What a record is to its reader. */
enum conf_record_kind {
	CONF_RECORD_SOURCE = 1, /* a configuration file */
	CONF_RECORD_FILE,       /* a file that a configuration names: certificate, key, style sheet */
	/* what is to be said about such a file: path is its path, bytes are reason, NUL, remedy */
	CONF_RECORD_WARNING,
	CONF_RECORD_ERROR,      /* it could not be read */
};

struct conf_record {
	struct str path, bytes;
	enum conf_record_kind kind;
};

/* What the parent knows beside what is on disk. Borrowed. */
struct conf_given {
	struct conf_source more;         /* read as if it were the last file; path absent: there is none */
	const struct conf_record *kept;  /* files of the store that could not be written: these are right */
	size_t nkept;
};

struct conf_bundle {
	struct conf_record *records; /* slices of map; the array itself is allocated */
	size_t n;
	void *map;
	size_t map_bytes;
};

/*
 * A sealed memory file (close-on-exec) that holds the records, or -1 with errno. The caller owns it.
 */
int conf_bundle_write(const struct conf_record *records, size_t n) MUST_USE;
/*
 * Maps it and checks every bound. False: not sealed, or not a bundle; nothing is held then. fd stays the
 * caller's and may be closed.
 */
bool conf_bundle_map(struct conf_bundle *b, int fd) MUST_USE;
void conf_bundle_unmap(struct conf_bundle *b);

/*
 * The parent's side: finds the files at path (find.h), reads them and the files they name, and writes the
 * bundle. Returns its descriptor, owned by the caller, or -1: there is nothing to unpack.
 *
 * What is wrong with the configuration comes out when the bundle is unpacked, by the trial or by who checks
 * it, so that all of it is said in one place. r has only what cannot be seen there. One reference in *out,
 * when out is not NULL; there is none when there are errors.
 */
int conf_make_bundle(const char *path, const struct conf_given *given, struct conf_report *r,
		     struct config **out) MUST_USE;
/* The same for configuration files that are in memory already. */
int conf_make_bundle_from(const struct conf_source *src, size_t n, const struct conf_given *given,
			  struct conf_report *r, struct config **out) MUST_USE;
/*
 * From a bundle that was made so, and its configuration c, for one audience. For workers: the same, but with
 * the store's files as they are now; nothing that the user wrote is looked at again. For acme: the sources,
 * and the files that are for it. -1 with errno: there is no memory for it. The caller owns the result.
 */
int conf_bundle_again(int fd, const struct config *c, enum conf_audience audience,
		      const struct conf_given *given) MUST_USE;
/*
 * The other side: the configuration that the bundle holds, with config.files[]->bytes pointing into its
 * mapping, which conf_put of the last reference ends. NULL: r says why. fd stays the caller's.
 */
struct config *conf_from_bundle(int fd, struct conf_report *r) MUST_USE;
/*
 * The same, with errors too: files that could not be read have no bytes, and it cannot be served. NULL: no
 * bundle.
 */
struct config *conf_from_bundle_anyhow(int fd, struct conf_report *r) MUST_USE;

/*
 * The same a piece at a time, for a worker that has clients to serve: step until it returns true, then close,
 * which returns what conf_from_bundle does. Closing earlier gives up. NULL: no bundle, r says so.
 */
struct conf_unpacking;
struct conf_unpacking *conf_unpack_open(int fd, struct conf_report *r) MUST_USE;
/* Goes on for about max_us (0: to the end). True: done. */
bool conf_unpack_step(struct conf_unpacking *u, uint64_t max_us);
struct config *conf_unpack_close(struct conf_unpacking *u) MUST_USE;
