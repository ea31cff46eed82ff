#include "conf/bundle.h"
#include "conf/find.h"
#include "conf/priv.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Header, table, then paths and bytes. Numbers are the machine's own: a bundle never leaves it. Behind each
 * path and each file stands a NUL that no length counts.
 */
struct header {
	char magic[8];
	uint64_t records;
	uint64_t total_bytes;
};

struct entry {
	uint64_t kind;
	uint64_t path_at, path_bytes;
	uint64_t at, bytes;
};

static const char magic[8] = { 'G', 'H', 'B', 'U', 'N', 'D', 'L', '1' };
enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL };

/* ---- writing ---- */

static bool write_all(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n) {
		ssize_t put = write(fd, at, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return false;
		at += put;
		n -= (size_t)put;
	}
	return true;
}

static bool write_str(int fd, struct str s)
{
	return write_all(fd, s.p, s.n) && write_all(fd, "", 1);
}

static bool write_bundle(int fd, const struct conf_record *records, size_t n)
{
	struct header h = { .records = n, .total_bytes = sizeof h + n * sizeof(struct entry) };
	bool ok = true;

	memcpy(h.magic, magic, sizeof magic);
	for (size_t i = 0; i < n; i++)
		h.total_bytes += records[i].path.n + 1 + records[i].bytes.n + 1;
	if (!write_all(fd, &h, sizeof h))
		return false;
	h.total_bytes = sizeof h + n * sizeof(struct entry);
	for (size_t i = 0; ok && i < n; i++) {
		struct entry e = { .kind = records[i].kind };

		e.path_at = h.total_bytes;
		e.path_bytes = records[i].path.n;
		e.at = e.path_at + e.path_bytes + 1;
		e.bytes = records[i].bytes.n;
		h.total_bytes = e.at + e.bytes + 1;
		ok = write_all(fd, &e, sizeof e);
	}
	for (size_t i = 0; ok && i < n; i++)
		ok = write_str(fd, records[i].path) && write_str(fd, records[i].bytes);
	return ok;
}

int conf_bundle_write(const struct conf_record *records, size_t n)
{
	int fd = memfd_create("gatehouse-bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (!write_bundle(fd, records, n) || fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
		int e = errno;

		close(fd);
		errno = e;
		return -1;
	}
	return fd;
}

/* ---- mapping ---- */

/* [at, at + n) and the NUL behind it lie within the bundle. */
static bool slice(const struct conf_bundle *b, uint64_t at, uint64_t n, struct str *out)
{
	const char *p = b->map;

	if (at > b->map_bytes || n >= b->map_bytes - at || p[at + n] != '\0')
		return false;
	*out = str_of(p + at, n);
	return true;
}

static bool read_records(struct conf_bundle *b)
{
	struct header h;

	if (b->map_bytes < sizeof h)
		return false;
	memcpy(&h, b->map, sizeof h);
	if (memcmp(h.magic, magic, sizeof magic) != 0 || h.total_bytes != b->map_bytes ||
	    h.records > (b->map_bytes - sizeof h) / sizeof(struct entry))
		return false;
	b->n = h.records;
	b->records = base_zalloc(b->n * sizeof *b->records);
	for (size_t i = 0; i < b->n; i++) {
		struct conf_record *rec = &b->records[i];
		struct entry e;

		memcpy(&e, (const char *)b->map + sizeof h + i * sizeof e, sizeof e);
		if (e.kind != CONF_RECORD_SOURCE && e.kind != CONF_RECORD_FILE)
			return false;
		rec->kind = (enum conf_record_kind)e.kind;
		if (!slice(b, e.path_at, e.path_bytes, &rec->path) || !slice(b, e.at, e.bytes, &rec->bytes) ||
		    rec->path.n == 0 || memchr(rec->path.p, '\0', rec->path.n))
			return false;
	}
	return true;
}

bool conf_bundle_map(struct conf_bundle *b, int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	*b = (struct conf_bundle){ 0 };
	/* sealed: what was checked stays so, and no access beyond a cut can kill the process */
	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 || st.st_size <= 0)
		return false;
	b->map_bytes = (size_t)st.st_size;
	b->map = mmap(NULL, b->map_bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (b->map == MAP_FAILED) {
		*b = (struct conf_bundle){ 0 };
		return false;
	}
	if (read_records(b))
		return true;
	conf_bundle_unmap(b);
	return false;
}

void conf_bundle_unmap(struct conf_bundle *b)
{
	if (b->map)
		munmap(b->map, b->map_bytes);
	free(b->records);
	*b = (struct conf_bundle){ 0 };
}

/* ---- the configuration in a bundle ---- */

/*
 * Gives every file that the configuration names its bytes, and the mapping to the configuration. False: one
 * is missing.
 */
static bool bind_files(struct config *c, struct conf_bundle *b, struct conf_report *r)
{
	struct conf_map files = { 0 };
	struct arena tmp;
	bool ok = true;

	arena_init(&tmp);
	for (size_t i = 0; i < b->n; i++)
		if (b->records[i].kind == CONF_RECORD_FILE)
			*conf_map_at(&tmp, &files, b->records[i].path) = &b->records[i];
	for (size_t i = 0; i < c->nfiles; i++) {
		struct conf_record *rec = *conf_map_at(&tmp, &files, c->files[i]->path);

		if (rec) {
			c->files[i]->bytes = rec->bytes;
			continue;
		}
		conf_report_add(r, CONF_ERROR, c->files[i]->pos, NULL, "\"%.*s\" is not in the bundle",
				CONF_QUOTE(c->files[i]->path));
		ok = false;
	}
	arena_fini(&tmp);
	c->map = b->map;
	c->map_bytes = b->map_bytes;
	b->map = NULL; /* conf_put unmaps it */
	return ok;
}

struct conf_unpacking {
	struct conf_bundle bundle;
	struct conf_source *sources;
	struct conf_loader *loader;
	struct conf_report *r;
};

struct conf_unpacking *conf_unpack_open(int fd, struct conf_report *r)
{
	struct conf_unpacking *u = base_zalloc(sizeof *u);
	size_t n = 0;

	u->r = r;
	if (!conf_bundle_map(&u->bundle, fd)) {
		conf_report_add(r, CONF_ERROR, (struct conf_pos){ 0 }, NULL, "this is no bundle");
		free(u);
		return NULL;
	}
	u->sources = base_zalloc(u->bundle.n * sizeof *u->sources);
	for (size_t i = 0; i < u->bundle.n; i++) {
		const struct conf_record *rec = &u->bundle.records[i];

		if (rec->kind == CONF_RECORD_SOURCE)
			u->sources[n++] = (struct conf_source){ rec->path, rec->bytes };
	}
	u->loader = conf_load_open(u->sources, n, NULL, r);
	return u;
}

bool conf_unpack_step(struct conf_unpacking *u, uint64_t max_us)
{
	return conf_load_step(u->loader, max_us);
}

struct config *conf_unpack_close(struct conf_unpacking *u)
{
	struct config *c = conf_load_close(u->loader);

	if (c && !bind_files(c, &u->bundle, u->r)) {
		conf_put(c);
		c = NULL;
	}
	conf_bundle_unmap(&u->bundle);
	free(u->sources);
	free(u);
	return c;
}

struct config *conf_from_bundle(int fd, struct conf_report *r)
{
	struct conf_unpacking *u = conf_unpack_open(fd, r);

	if (!u)
		return NULL;
	conf_unpack_step(u, 0);
	return conf_unpack_close(u);
}

/* ---- the parent's side ---- */

static bool read_named(const struct conf_file *f, struct conf_record *out, struct conf_report *r)
{
	const char *remedy = NULL;
	struct str bytes;
	unsigned mode;
	char why[128];
	int e = conf_read_file(f->path.p, CONF_FILE_BYTES, &bytes, &mode);

	if (e == EACCES) {
		snprintf(why, sizeof why,
			 "let the user that starts this (uid %u) read it and enter its directories",
			 (unsigned)geteuid());
		remedy = why;
	} else if (e == ENOENT) {
		remedy = "check the path";
	}
	if (e) {
		conf_report_add(r, CONF_ERROR, f->pos, remedy, "cannot read \"%.*s\": %s",
				CONF_QUOTE(f->path), conf_read_error(e));
		return false;
	}
	if (f->secret && mode & S_IROTH)
		conf_report_add(r, CONF_WARNING, f->pos, "chmod o-r",
				"everybody can read \"%.*s\", which holds secrets", CONF_QUOTE(f->path));
	*out = (struct conf_record){ .path = f->path, .bytes = bytes, .kind = CONF_RECORD_FILE };
	return true;
}

/* The configuration's own files first, then those it names. */
static int write_files(const struct conf_source *src, size_t n, struct conf_record *files, size_t nfiles)
{
	struct conf_record *all = base_zalloc((n + nfiles) * sizeof *all);
	int fd, e;

	for (size_t i = 0; i < n; i++)
		all[i] = (struct conf_record){ src[i].path, src[i].bytes, CONF_RECORD_SOURCE };
	if (nfiles)
		memcpy(all + n, files, nfiles * sizeof *all);
	fd = conf_bundle_write(all, n + nfiles);
	e = errno;
	free(all);
	errno = e;
	return fd;
}

/* Keys are not left behind in memory. */
static void forget(struct conf_record *files, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *p = (char *)(uintptr_t)files[i].bytes.p;

		if (p)
			explicit_bzero(p, files[i].bytes.n);
		free(p);
	}
	free(files);
}

/* Reads, writes, and gives c its files from the bundle. -1: r says why. */
static int bundle_of(struct config *c, const struct conf_source *src, size_t n, struct conf_report *r)
{
	struct conf_record *files = base_zalloc(c->nfiles * sizeof *files);
	struct conf_bundle b;
	bool ok = true;
	int fd = -1;

	for (size_t i = 0; i < c->nfiles; i++)
		ok &= read_named(c->files[i], &files[i], r);
	if (ok) {
		fd = write_files(src, n, files, c->nfiles);
		if (fd < 0 || !conf_bundle_map(&b, fd)) {
			conf_report_add(r, CONF_ERROR, (struct conf_pos){ 0 }, NULL,
					"cannot make the bundle: %s", strerror(errno));
			ok = false;
		} else {
			ok = bind_files(c, &b, r);
			conf_bundle_unmap(&b);
		}
	}
	forget(files, c->nfiles);
	if (!ok && fd >= 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int conf_make_bundle_from(const struct conf_source *src, size_t n, struct conf_report *r, struct config **out)
{
	struct config *c = conf_load(src, n, NULL, r);
	int fd;

	if (!c)
		return -1;
	fd = bundle_of(c, src, n, r);
	conf_report_sort(r);
	if (fd >= 0 && out)
		*out = c;
	else
		conf_put(c);
	return fd;
}

int conf_make_bundle(const char *path, struct conf_report *r, struct config **out)
{
	struct conf_found f;
	int fd = -1;

	if (conf_find(&f, path, r))
		fd = conf_make_bundle_from(f.sources, f.n, r, out);
	conf_found_fini(&f);
	return fd;
}
