#include "conf/bundle.h"
#include "conf/find.h"
#include "conf/priv.h"
#include <fcntl.h>
#include <stdarg.h>
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
		if (e.kind < CONF_RECORD_SOURCE || e.kind > CONF_RECORD_ERROR)
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

static void say(const struct conf_record *rec, const struct conf_file *f, struct conf_report *r)
{
	const char *reason = rec->bytes.p; /* behind it stands a NUL in any case */
	size_t n = strlen(reason);
	const char *remedy = n < rec->bytes.n ? reason + n + 1 : NULL;

	conf_report_add(r, rec->kind == CONF_RECORD_ERROR ? CONF_ERROR : CONF_WARNING, f->pos, remedy, "%s",
			reason);
}

/*
 * Gives every file that the configuration names its bytes, or says why there are none; and the mapping to the
 * configuration.
 */
static void bind_files(struct config *c, struct conf_bundle *b, struct conf_report *r)
{
	struct conf_map files = { 0 }; /* an error is as good as bytes */
	struct arena tmp;

	arena_init(&tmp);
	for (size_t i = 0; i < c->nfiles; i++)
		*conf_map_at(&tmp, &files, c->files[i]->path) = c->files[i];
	for (size_t i = 0; i < b->n; i++) {
		const struct conf_record *rec = &b->records[i];
		void **slot;

		if (rec->kind == CONF_RECORD_SOURCE)
			continue;
		slot = conf_map_at(&tmp, &files, rec->path);
		if (*slot && rec->kind == CONF_RECORD_FILE)
			((struct conf_file *)*slot)->bytes = rec->bytes;
		else if (*slot)
			say(rec, *slot, r);
		if (rec->kind == CONF_RECORD_ERROR)
			*slot = NULL;
	}
	for (size_t i = 0; i < c->nfiles; i++)
		if (!c->files[i]->bytes.p && c->files[i]->needed &&
		    c->files[i]->audience & CONF_FOR_WORKERS &&
		    *conf_map_at(&tmp, &files, c->files[i]->path))
			conf_report_add(r, CONF_ERROR, c->files[i]->pos, NULL,
					"\"%.*s\" is not in the bundle", CONF_QUOTE(c->files[i]->path));
	arena_fini(&tmp);
	conf_report_sort(r);
	c->map = b->map;
	c->map_bytes = b->map_bytes;
	b->map = NULL; /* conf_put unmaps it */
}

struct conf_unpacking {
	struct conf_bundle bundle;
	struct conf_source *sources;
	struct conf_loader *loader;
	struct conf_report *r;
	size_t errors_before; /* in the report, of others */
};

struct conf_unpacking *conf_unpack_open(int fd, struct conf_report *r)
{
	struct conf_unpacking *u = base_zalloc(sizeof *u);
	size_t n = 0;

	u->r = r;
	u->errors_before = r->counts[CONF_ERROR];
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

static struct config *close_anyhow(struct conf_unpacking *u)
{
	struct config *c = conf_load_close_anyhow(u->loader);

	bind_files(c, &u->bundle, u->r);
	conf_bundle_unmap(&u->bundle);
	free(u->sources);
	free(u);
	return c;
}

struct config *conf_unpack_close(struct conf_unpacking *u)
{
	bool done = u->loader->phase == CONF_PHASE_DONE;
	size_t errors_before = u->errors_before;
	struct conf_report *r = u->r;
	struct config *c = close_anyhow(u);

	if (done && r->counts[CONF_ERROR] == errors_before)
		return c;
	conf_put(c);
	return NULL;
}

struct config *conf_from_bundle(int fd, struct conf_report *r)
{
	struct conf_unpacking *u = conf_unpack_open(fd, r);

	if (!u)
		return NULL;
	conf_unpack_step(u, 0);
	return conf_unpack_close(u);
}

struct config *conf_from_bundle_anyhow(int fd, struct conf_report *r)
{
	struct conf_unpacking *u = conf_unpack_open(fd, r);

	if (!u)
		return NULL;
	conf_unpack_step(u, 0);
	return close_anyhow(u);
}

/* ---- the parent's side ---- */

/* Up to two of them a file: its bytes, and what is to be said about it. */
struct records {
	struct conf_record *list;
	size_t n;
};

static void add_remark(struct records *to, struct str path, enum conf_record_kind kind, const char *remedy,
		       const char *fmt, ...) PRINTF(5, 6);

static void add_remark(struct records *to, struct str path, enum conf_record_kind kind, const char *remedy,
		       const char *fmt, ...)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	va_list args;

	BUG_ON(!f);
	va_start(args, fmt);
	vfprintf(f, fmt, args);
	va_end(args);
	if (remedy)
		fprintf(f, "%c%s", '\0', remedy);
	BUG_ON(fclose(f) != 0);
	to->list[to->n++] = (struct conf_record){ .path = path, .bytes = str_of(text, n), .kind = kind };
}

static void forget_last(struct records *to)
{
	const struct conf_record *rec = &to->list[--to->n];
	char *p = (char *)(uintptr_t)rec->bytes.p;

	if (p)
		explicit_bzero(p, rec->bytes.n);
	free(p);
}

/* Where systems have their CA certificates; first, where OpenSSL's own programs would be told to look. */
static int read_system_ca(struct str *bytes, unsigned *mode)
{
	const char *paths[] = {
		secure_getenv("SSL_CERT_FILE"),
		"/etc/ssl/certs/ca-certificates.crt", /* Debian, Arch */
		"/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora */
		"/etc/ssl/ca-bundle.pem",	      /* SUSE */
		"/etc/ssl/cert.pem",		      /* Alpine */
	};
	int e = ENOENT;

	for (size_t i = 0; e == ENOENT && i < ARRAY_SIZE(paths); i++)
		if (paths[i])
			e = conf_read_file(paths[i], CONF_FILE_BYTES, bytes, mode);
	return e;
}

/* As conf_read_file, but what could not be written to the store is taken from memory. */
static int read_file(const struct conf_file *f, const struct conf_given *given, struct str *bytes,
		     unsigned *mode)
{
	for (size_t i = 0; given && f->is_store && i < given->nkept; i++) {
		struct str kept = given->kept[i].bytes;
		char *p;

		if (!str_eq(given->kept[i].path, f->path))
			continue;
		if (!kept.n)
			return ENOENT;
		p = base_alloc(kept.n);
		memcpy(p, kept.p, kept.n);
		*bytes = str_of(p, kept.n);
		*mode = 0600;
		return 0;
	}
	if (str_eq(f->path, STR(CONF_SYSTEM_CA)))
		return read_system_ca(bytes, mode);
	return conf_read_file(f->path.p, CONF_FILE_BYTES, bytes, mode);
}

static void read_named(const struct conf_file *f, const struct conf_given *given, struct records *to)
{
	const char *remedy = NULL;
	struct str bytes;
	unsigned mode;
	char why[128];
	int e;

	if (f->is_store && !(f->audience & CONF_FOR_WORKERS))
		return;
	e = read_file(f, given, &bytes, &mode);
	if (e == ENOENT && f->is_store)
		return;
	if (e == EACCES) {
		snprintf(why, sizeof why,
			 "let the user that starts this (uid %u) read it and enter its directories",
			 (unsigned)geteuid());
		remedy = why;
	} else if (e == ENOENT && str_eq(f->path, STR(CONF_SYSTEM_CA))) {
		remedy = "install ca-certificates, or name CA certificates in \"upstream-ca\"";
	} else if (e == ENOENT) {
		remedy = "check the path";
	}
	if (e) {
		add_remark(to, f->path, f->needed ? CONF_RECORD_ERROR : CONF_RECORD_WARNING, remedy,
			   "cannot read \"%.*s\": %s", CONF_QUOTE(f->path), conf_read_error(e));
		return;
	}
	if (f->secret && mode & S_IROTH)
		add_remark(to, f->path, CONF_RECORD_WARNING, "chmod o-r",
			   "everybody can read \"%.*s\", which holds secrets", CONF_QUOTE(f->path));
	to->list[to->n++] = (struct conf_record){ .path = f->path, .bytes = bytes, .kind = CONF_RECORD_FILE };
	if (!(f->audience & CONF_FOR_WORKERS))
		forget_last(to); /* that it can be read is all that they need */
}

/* The configuration's own files first, then those it names. */
static int write_records(const struct conf_source *src, size_t n, const struct records *named)
{
	struct conf_record *all = base_zalloc((n + named->n + 1) * sizeof *all);
	int fd, e;

	for (size_t i = 0; i < n; i++)
		all[i] = (struct conf_record){ src[i].path, src[i].bytes, CONF_RECORD_SOURCE };
	if (named->n)
		memcpy(all + n, named->list, named->n * sizeof *all);
	fd = conf_bundle_write(all, n + named->n);
	e = errno;
	free(all);
	errno = e;
	return fd;
}

/* Keys are not left behind in memory. */
static void forget(struct records *named)
{
	while (named->n)
		forget_last(named);
	free(named->list);
}

/* Whatever of it can be read, and all that is wrong with it. */
static struct config *load_anyhow(const struct conf_source *src, size_t n, struct conf_report *r)
{
	struct conf_loader *l = conf_load_open(src, n, NULL, r);

	conf_load_step(l, 0);
	return conf_load_close_anyhow(l);
}

int conf_make_bundle_from(const struct conf_source *src, size_t n, const struct conf_given *given,
			  struct conf_report *r, struct config **out)
{
	struct conf_report said; /* for others to say */
	struct records named = { 0 };
	struct conf_bundle b;
	struct config *c;
	int fd;

	conf_report_init(&said);
	c = load_anyhow(src, n, &said);
	named.list = base_zalloc((2 * c->nfiles + 1) * sizeof *named.list);
	for (size_t i = 0; i < c->nfiles; i++)
		read_named(c->files[i], given, &named);
	fd = write_records(src, n, &named);
	if (fd < 0 || !conf_bundle_map(&b, fd)) {
		conf_report_add(r, CONF_ERROR, (struct conf_pos){ 0 }, NULL, "cannot make the bundle: %s",
				strerror(errno));
		if (fd >= 0)
			close(fd);
		fd = -1;
	} else {
		bind_files(c, &b, &said);
		conf_bundle_unmap(&b);
	}
	if (out)
		*out = fd >= 0 && !said.counts[CONF_ERROR] ? conf_get(c) : NULL;
	conf_put(c);
	conf_report_fini(&said);
	forget(&named);
	return fd;
}

int conf_make_bundle(const char *path, const struct conf_given *given, struct conf_report *r,
		     struct config **out)
{
	struct conf_source *all;
	struct conf_found f;
	int fd = -1;

	if (out)
		*out = NULL;
	/* of several files one may be missing: what is in the others is looked at nevertheless */
	if (!conf_find(&f, path, r) && out)
		out = NULL;
	if (f.n) {
		all = base_alloc((f.n + 1) * sizeof *all);
		memcpy(all, f.sources, f.n * sizeof *all);
		if (given && given->more.path.p)
			all[f.n] = given->more;
		fd = conf_make_bundle_from(all, f.n + (given && given->more.path.p), given, r, out);
		free(all);
	}
	conf_found_fini(&f);
	return fd;
}

/* ---- the same once more, with another store, or for others ---- */

int conf_bundle_again(int fd, const struct config *c, enum conf_audience audience,
		      const struct conf_given *given)
{
	struct conf_map files = { 0 };
	struct records named = { 0 };
	struct conf_record *all;
	struct conf_bundle b;
	struct arena tmp;
	size_t n = 0;
	int e;

	if (!conf_bundle_map(&b, fd)) {
		errno = ENOMEM; /* it is ours, and sealed */
		return -1;
	}
	arena_init(&tmp);
	named.list = base_zalloc((2 * c->nfiles + 1) * sizeof *named.list);
	all = base_zalloc((b.n + 2 * c->nfiles + 1) * sizeof *all);
	for (size_t i = 0; i < c->nfiles; i++) {
		const struct conf_file *f = c->files[i];
		bool anew = f->audience & audience && (f->is_store || audience == CONF_FOR_ACME);
		struct str bytes;
		unsigned mode;

		*conf_map_at(&tmp, &files, f->path) = c->files[i];
		if (anew && read_file(f, given, &bytes, &mode) == 0)
			named.list[named.n++] = (struct conf_record){ f->path, bytes, CONF_RECORD_FILE };
	}
	for (size_t i = 0; i < b.n; i++) {
		const struct conf_file *f = *conf_map_at(&tmp, &files, b.records[i].path);

		if (b.records[i].kind == CONF_RECORD_SOURCE ||
		    (audience == CONF_FOR_WORKERS && !(f && f->is_store)))
			all[n++] = b.records[i];
	}
	memcpy(all + n, named.list, named.n * sizeof *all);
	fd = conf_bundle_write(all, n + named.n);
	e = errno;
	free(all);
	forget(&named);
	arena_fini(&tmp);
	conf_bundle_unmap(&b);
	errno = e;
	return fd;
}
