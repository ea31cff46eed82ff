/*
 * find.h - which files a configuration consists of, and their bytes.
 *
 * A path is a file, or a directory with `conf` and `conf.d/` in it, whose files are taken in the order of
 * their names: not dotfiles, `*~`, `*.dpkg-*`, `*.rpm*`. Called by the parent and by `gatehouse check`,
 * through bundle.h.
 */
#pragma once

#include "conf/load.h"

struct conf_found {
	struct arena arena; /* of paths and bytes */
	struct conf_source *sources;
	size_t n, cap;
};

/* Initialises f, which is to be given to conf_found_fini in either case. False: r says why. */
bool conf_find(struct conf_found *f, const char *path, struct conf_report *r) MUST_USE;
void conf_found_fini(struct conf_found *f);

/*
 * Reads a regular file of at most max bytes into memory of its own (free it); mode is the file's. Returns
 * 0 or an errno; EFBIG: larger, EISDIR or EINVAL: not a regular file.
 */
int conf_read_file(const char *path, size_t max, struct str *out, unsigned *mode) MUST_USE;
/* What to say about such an errno. Borrowed until the next call of strerror. */
const char *conf_read_error(int e);
