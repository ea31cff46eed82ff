#include "proxy/parent/store.h"
#include "core/log.h"
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	KEPT_MAX_BYTES = 32 * 1024 * 1024,
	RETRY_FIRST_MS = 1000,
	RETRY_MAX_MS = 60 * 1000,
};

/* A file that is not on disk as it should be. */
struct store_kept {
	struct list node;
	struct str path, bytes; /* no bytes: it should not be there */
};

/* ---- writing ---- */

/* Those that are missing, for nobody else; what is there stays as it is. */
static int make_dirs(const char *path)
{
	char dir[PATH_MAX];

	snprintf(dir, sizeof dir, "%s", path);
	for (char *p = dir + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = 0;
		if (mkdir(dir, 0700) < 0 && errno != EEXIST)
			return errno;
		*p = '/';
	}
	return mkdir(dir, 0700) < 0 && errno != EEXIST ? errno : 0;
}

static int write_all(int fd, struct str s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		s = str_of(s.p + n, s.n - (size_t)n);
	}
	return fsync(fd) < 0 ? errno : 0;
}

/* Under another name first: a crash leaves the old file or the new one, never half of one. */
static int replace(int dir, const char *name, struct str bytes)
{
	char beside[NAME_MAX + 1];
	int fd, e;

	if (snprintf(beside, sizeof beside, ".%s.new", name) >= (int)sizeof beside)
		return ENAMETOOLONG;
	unlinkat(dir, beside, 0);
	fd = openat(dir, beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno;
	e = write_all(fd, bytes);
	if (close(fd) < 0 && !e)
		e = errno;
	if (!e && renameat(dir, beside, dir, name) < 0)
		e = errno;
	if (e)
		unlinkat(dir, beside, 0);
	return e;
}

/* Directories of our own are made; others have to be there, for a slip of the pen makes none. */
static int write_file(const struct store *s, struct str path, struct str bytes)
{
	size_t n = strlen(s->dir);
	char dir[PATH_MAX];
	char *name;
	int fd, e = 0;

	if (path.n >= sizeof dir)
		return ENAMETOOLONG;
	snprintf(dir, sizeof dir, "%.*s", STR_ARG(path));
	name = strrchr(dir, '/');
	BUG_ON(!name);
	*name++ = 0;
	if (strncmp(dir, s->dir, n) == 0 && dir[n] == '/')
		e = make_dirs(dir);
	if (e)
		return e;
	fd = open(*dir ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	if (bytes.n)
		e = replace(fd, name, bytes);
	else if (unlinkat(fd, name, 0) < 0 && errno != ENOENT)
		e = errno;
	if (!e && fsync(fd) < 0)
		e = errno;
	close(fd);
	return e;
}

/* ---- what could not be written ---- */

static void forget(struct store *s, struct store_kept *k)
{
	list_del(&k->node);
	s->kept_bytes -= k->bytes.n;
	explicit_bzero((char *)(uintptr_t)k->bytes.p, k->bytes.n);
	free((char *)(uintptr_t)k->bytes.p);
	free((char *)(uintptr_t)k->path.p);
	free(k);
}

static void forget_path(struct store *s, struct str path)
{
	list_for_each_safe(n, tmp, &s->kept) {
		struct store_kept *k = list_entry(n, struct store_kept, node);

		if (str_eq(k->path, path))
			forget(s, k);
	}
}

static void keep(struct store *s, struct str path, struct str bytes)
{
	struct store_kept *k;

	if (s->kept_bytes + bytes.n > KEPT_MAX_BYTES) {
		log_error("%.*s is lost: too much waits to be written already", STR_ARG(path));
		return;
	}
	k = base_zalloc(sizeof *k);
	k->path = str_of(str_dup(path), path.n);
	k->bytes = str_of(str_dup(bytes), bytes.n);
	s->kept_bytes += bytes.n;
	list_push(&s->kept, &k->node);
}

static void retry(struct timer *t)
{
	struct store *s = container_of(t, struct store, retry);

	list_for_each_safe(n, tmp, &s->kept) {
		struct store_kept *k = list_entry(n, struct store_kept, node);
		int e = write_file(s, k->path, k->bytes);

		if (e) {
			s->delay_ms = MIN(2 * s->delay_ms, (uint64_t)RETRY_MAX_MS);
			log_error("cannot write %.*s: %s: kept in memory, tried again in %llu s",
				  STR_ARG(k->path), strerror(e), (unsigned long long)s->delay_ms / 1000);
			timer_set(t, s->delay_ms);
			return;
		}
		log_note("%.*s is written now", STR_ARG(k->path));
		forget(s, k);
	}
}

int store_write(struct store *s, struct str path, struct str bytes)
{
	int e = write_file(s, path, bytes);

	forget_path(s, path);
	if (!e)
		return 0;
	keep(s, path, bytes);
	log_error("cannot write %.*s: %s: kept in memory, and lost with this process until it can be written",
		  STR_ARG(path), strerror(e));
	if (!timer_is_set(&s->retry)) {
		s->delay_ms = RETRY_FIRST_MS;
		timer_set(&s->retry, s->delay_ms);
	}
	return e;
}

struct conf_record *store_kept(const struct store *s, size_t *n)
{
	struct conf_record *all;
	size_t count = 0;

	list_for_each(at, &s->kept)
		count++;
	all = base_zalloc((count + 1) * sizeof *all);
	*n = 0;
	list_for_each(at, &s->kept) {
		const struct store_kept *k = list_entry(at, struct store_kept, node);

		all[(*n)++] = (struct conf_record){ k->path, k->bytes, CONF_RECORD_FILE };
	}
	return all;
}

/* ---- whose it is ---- */

/* The n-th word of a line, counted from 0. */
static struct str word(const char *line, unsigned n)
{
	line += strspn(line, " ");
	while (n--) {
		line += strcspn(line, " \n");
		line += strspn(line, " ");
	}
	return str_of(line, strcspn(line, " \n"));
}

/* Who has locked it, for the message: "1: FLOCK ADVISORY WRITE 708 fe:02:1234 0 EOF". 0: unknown. */
static uint64_t holder(int fd)
{
	FILE *f = fopen("/proc/locks", "re");
	char line[256], inode[32];
	uint64_t found = 0;
	struct stat st;

	if (fstat(fd, &st) == 0)
		snprintf(inode, sizeof inode, ":%llu", (unsigned long long)st.st_ino);
	else
		inode[0] = 0;
	while (f && inode[0] && !found && fgets(line, sizeof line, f))
		if (str_eq(word(line, 1), STR("FLOCK")) && str_ends(word(line, 5), str_from_c(inode)) &&
		    !str_to_u64(word(line, 4), INT32_MAX, &found))
			found = 0;
	if (f)
		fclose(f);
	return found;
}

static bool lock(const char *dir, int *out, struct conf_report *r)
{
	const struct conf_pos nowhere = { 0 };
	int e = make_dirs(dir);

	*out = e ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*out < 0) {
		conf_report_add(r, CONF_ERROR, nowhere,
				"let \"state-dir\" name a directory that can be written to",
				"cannot use the directory %s: %s", dir, strerror(e ? e : errno));
		return false;
	}
	if (flock(*out, LOCK_EX | LOCK_NB) == 0)
		return true;
	if (errno == EWOULDBLOCK)
		conf_report_add(r, CONF_ERROR, nowhere, "give each a \"state-dir\" of its own",
				"another gatehouse (pid %llu) uses the directory %s",
				(unsigned long long)holder(*out), dir);
	else
		conf_report_add(r, CONF_ERROR, nowhere, NULL, "cannot lock the directory %s: %s", dir,
				strerror(errno));
	close(*out);
	return false;
}

bool store_open(struct store *s, const struct config *c, struct conf_report *r)
{
	char dir[PATH_MAX];
	struct stat a, b;
	int fd;

	if (!c->acme.ncerts)
		return true;
	if (c->global.state_dir.n >= sizeof dir - 1) {
		conf_report_add(r, CONF_ERROR, (struct conf_pos){ 0 }, NULL, "\"state-dir\" is too long");
		return false;
	}
	snprintf(dir, sizeof dir, "%.*s", STR_ARG(c->global.state_dir));
	while (strlen(dir) > 1 && dir[strlen(dir) - 1] == '/')
		dir[strlen(dir) - 1] = 0;
	if (s->lock >= 0 && fstat(s->lock, &a) == 0 && stat(dir, &b) == 0 && a.st_dev == b.st_dev &&
	    a.st_ino == b.st_ino) {
		snprintf(s->dir, sizeof s->dir, "%s", dir);
		return true;
	}
	if (!lock(dir, &fd, r))
		return false;
	if (s->lock >= 0)
		close(s->lock);
	s->lock = fd;
	snprintf(s->dir, sizeof s->dir, "%s", dir);
	/* the files are nobody else's in any case; nor are their names */
	(void)!fchmodat(fd, "acme", 0700, 0);
	(void)!fchmodat(fd, "acme-staging", 0700, 0);
	return true;
}

int store_lock_fd(const struct store *s)
{
	return s->lock;
}

void store_take_lock(struct store *s, int fd)
{
	BUG_ON(s->lock >= 0);
	s->lock = fd;
}

void store_init(struct store *s)
{
	*s = (struct store){ .lock = -1 };
	list_init(&s->kept);
	timer_init(&s->retry, retry);
}

void store_fini(struct store *s)
{
	timer_stop(&s->retry);
	list_for_each_safe(n, tmp, &s->kept) {
		struct store_kept *k = list_entry(n, struct store_kept, node);

		if (write_file(s, k->path, k->bytes) != 0)
			log_error("%.*s is lost: it could not be written", STR_ARG(k->path));
		forget(s, k);
	}
	if (s->lock >= 0)
		close(s->lock);
	s->lock = -1;
}
