#include "conf/find.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, size_t max, struct str *out, unsigned *mode)
{
	struct stat st;
	size_t cap, n = 0;
	char *p;

	if (fstat(fd, &st) < 0)
		return errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	if (st.st_size > (off_t)max)
		return EFBIG;
	cap = (size_t)st.st_size + 1; /* one more, to see the end, or that it grew */
	p = base_alloc(cap);
	for (;;) {
		ssize_t got = read(fd, p + n, cap - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int e = errno;

			free(p);
			return e;
		}
		n += (size_t)got;
		if (got == 0)
			break;
		if (n > max) {
			free(p);
			return EFBIG;
		}
		if (n == cap) {
			cap = MIN(2 * cap, max + 1);
			p = base_realloc(p, cap);
		}
	}
	*out = str_of(p, n);
	*mode = st.st_mode;
	return 0;
}

int conf_read_file(const char *path, size_t max, struct str *out, unsigned *mode)
{
	/* non-blocking: nobody waits for the other end of a pipe that stands where a file should */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int e = fd < 0 ? errno : read_all(fd, max, out, mode);

	if (fd >= 0)
		close(fd);
	return e;
}

const char *conf_read_error(int e)
{
	switch (e) {
	case EFBIG: return "larger than 1 MiB";
	case EINVAL: return "not a regular file";
	default: return strerror(e);
	}
}

static void cannot_read(struct conf_report *r, const char *path, int e)
{
	/* the report keeps the path */
	conf_report_add(r, CONF_ERROR, (struct conf_pos){ .file = path },
			e == EACCES   ? "let the user that starts this read the file"
			: e == ENOENT ? "name a configuration with -c PATH"
				      : NULL,
			"cannot read it: %s", conf_read_error(e));
}

static bool add(struct conf_found *f, const char *path, struct conf_report *r)
{
	struct str bytes;
	unsigned mode;
	int e = conf_read_file(path, CONF_FILE_BYTES, &bytes, &mode);

	if (e) {
		cannot_read(r, path, e);
		return false;
	}
	arena_grow(&f->arena, f->sources, f->n, f->cap);
	f->sources[f->n++] = (struct conf_source){
		.path = arena_dup(&f->arena, str_from_c(path)),
		.bytes = arena_dup(&f->arena, bytes),
	};
	free((char *)(uintptr_t)bytes.p);
	return true;
}

/* What editors and package managers leave behind is no configuration. */
static bool is_ignored(const char *name)
{
	struct str s = str_from_c(name);
	const char *dot = strrchr(name, '.');

	return name[0] == '.' || str_ends(s, STR("~")) ||
	       (dot && (strncmp(dot, ".dpkg-", 6) == 0 || strncmp(dot, ".rpm", 4) == 0));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add_directory(struct conf_found *f, const char *path, struct conf_report *r)
{
	char **names = NULL;
	size_t n = 0, cap = 0;
	struct dirent *entry;
	struct stat st;
	bool ok = true;
	DIR *dir = opendir(path);

	if (!dir && errno == ENOENT)
		return true;
	if (!dir) {
		cannot_read(r, path, errno);
		return false;
	}
	while ((entry = readdir(dir))) {
		if (is_ignored(entry->d_name) ||
		    (fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode)))
			continue;
		arena_grow(&f->arena, names, n, cap);
		names[n++] = (char *)(uintptr_t)arena_printf(&f->arena, "%s/%s", path, entry->d_name).p;
	}
	closedir(dir);
	if (n)
		qsort(names, n, sizeof *names, by_name);
	for (size_t i = 0; i < n; i++)
		ok &= add(f, names[i], r);
	return ok;
}

bool conf_find(struct conf_found *f, const char *path, struct conf_report *r)
{
	const char *conf, *conf_d;
	struct stat st;
	bool ok = true;

	*f = (struct conf_found){ 0 };
	arena_init(&f->arena);
	if (stat(path, &st) < 0) {
		cannot_read(r, path, errno);
		return false;
	}
	if (!S_ISDIR(st.st_mode))
		return add(f, path, r);

	path = arena_dup_c(&f->arena, str_from_c(path));
	for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		((char *)(uintptr_t)path)[n - 1] = '\0';
	conf = arena_printf(&f->arena, "%s/conf", path).p;
	conf_d = arena_printf(&f->arena, "%s/conf.d", path).p;
	if (access(conf, F_OK) == 0)
		ok = add(f, conf, r);
	ok &= add_directory(f, conf_d, r);
	if (ok && f->n == 0) {
		conf_report_add(r, CONF_ERROR, (struct conf_pos){ .file = path },
				"a configuration directory has a file \"conf\", or files in \"conf.d\"",
				"there is no configuration in this directory");
		return false;
	}
	return ok;
}

void conf_found_fini(struct conf_found *f)
{
	arena_fini(&f->arena);
	*f = (struct conf_found){ 0 };
}
