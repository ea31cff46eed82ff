#include "proxy/parent/watch.h"
#include "conf/find.h"
#include "proxy/parent/parent.h"
#include "proxy/parent/reload.h"
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	QUIET_MS = 500,    /* after the last change: who writes two files, writes the other one by then */
	UNQUIET_MS = 5000, /* but not longer from the first one on */
	PATIENCE_MS = 5000, /* with half of a pair, before that is told */
	LINKS_MAX = 40,
	EVENT_BYTES = 16 * 1024,
};

/* What may become of a name; in the file's own directory also what becomes of its content. */
enum {
	NAME_MASK = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR | IN_MASK_ADD,
	FILE_MASK = NAME_MASK | IN_CLOSE_WRITE | IN_ATTRIB,
};

/* ---- which directories ---- */

static void cannot(struct watch *w, const char *dir)
{
	if (!w->is_limited)
		log_warn("changes in %s are not noticed (%s%s): SIGHUP takes up what is new", dir,
			 strerror(errno), errno == ENOSPC ? ": fs.inotify.max_user_watches" : "");
	w->is_limited = true;
}

static void add(struct watch *w, const char *dir, const char *name, uint32_t mask)
{
	int wd = inotify_add_watch(w->ev.fd, dir, mask);

	if (wd < 0) {
		cannot(w, dir);
		return;
	}
	if (w->n == w->cap) {
		w->cap = w->cap ? 2 * w->cap : 64;
		w->entries = base_realloc(w->entries, w->cap * sizeof *w->entries);
	}
	w->entries[w->n++] = (struct watch_entry){ wd, arena_dup_c(&w->arena, str_from_c(name)) };
}

/* Cuts the first name off a path. */
static bool next_name(char **path, char name[NAME_MAX + 1])
{
	size_t n;

	*path += strspn(*path, "/");
	n = strcspn(*path, "/");
	snprintf(name, NAME_MAX + 1, "%.*s", (int)MIN(n, (size_t)NAME_MAX), *path);
	*path += n;
	return n > 0;
}

/* Puts what a link leads to in front of what is left of the path. */
static bool follow(const char *link, char *at, char **rest, char whole[PATH_MAX])
{
	char to[2 * PATH_MAX];
	ssize_t n = readlink(link, to, PATH_MAX);
	int all;

	if (n <= 0 || n == PATH_MAX)
		return false;
	all = snprintf(to + n, sizeof to - (size_t)n, "/%s", *rest);
	if (n + all >= PATH_MAX)
		return false;
	if (to[0] == '/')
		at[0] = 0;
	memcpy(whole, to, (size_t)(n + all) + 1);
	*rest = whole;
	return true;
}

static bool is_last(const char *rest)
{
	return rest[strspn(rest, "/")] == 0;
}

/*
 * Every directory on the way, links included: any of them may be made to lead elsewhere. Where the way ends,
 * the rest of it may come.
 */
static void add_way(struct watch *w, const char *path)
{
	char whole[PATH_MAX], at[PATH_MAX] = "", here[2 * PATH_MAX], name[NAME_MAX + 1];
	char *rest = whole;
	unsigned links = 0;
	struct stat st;

	snprintf(whole, sizeof whole, "%s", path);
	if (path[0] != '/' && !getcwd(at, sizeof at))
		return;
	while (next_name(&rest, name)) {
		if (strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0) {
			if (strrchr(at, '/'))
				*strrchr(at, '/') = 0;
			continue;
		}
		snprintf(here, sizeof here, "%s/%s", at, name);
		add(w, at[0] ? at : "/", name, is_last(rest) ? FILE_MASK : NAME_MASK);
		if (lstat(here, &st) < 0)
			return;
		if (S_ISLNK(st.st_mode)) {
			if (++links > LINKS_MAX || !follow(here, at, &rest, whole))
				return;
		} else if (S_ISDIR(st.st_mode) && strlen(here) < sizeof at) {
			memcpy(at, here, strlen(here) + 1);
		} else {
			return;
		}
	}
}

static int by_place(const void *a, const void *b)
{
	const struct watch_entry *x = a, *y = b;

	return x->wd != y->wd ? (x->wd < y->wd ? -1 : 1) : strcmp(x->name, y->name);
}

static bool is_watched(const struct conf_file *f)
{
	return (f->audience & CONF_FOR_WORKERS) && !f->is_store;
}

static void forget(struct watch *w)
{
	if (w->ev.fd) {
		work_cancel(&w->read);
		loop_del(&w->ev);
		close(w->ev.fd);
	}
	w->ev.fd = 0;
	arena_fini(&w->arena);
	arena_init(&w->arena);
	w->n = 0;
}

static void events_ready(struct event *ev, uint32_t bits)
{
	(void)bits;
	loop_post(&container_of(ev, struct watch, ev)->read);
}

/* Anew, for a directory under the same name may be another one by now. */
static void look_around(struct parent *p)
{
	const struct config *c = p->current.conf;
	struct watch *w = &p->watch;
	int fd;

	forget(w);
	fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd < 0) {
		cannot(w, "directories");
		return;
	}
	w->ev = (struct event){ fd, events_ready };
	if (loop_add(&w->ev, EPOLLIN | EPOLLET) < 0) {
		close(fd);
		w->ev.fd = 0;
		return;
	}
	for (size_t i = 0; i < c->nfiles; i++)
		if (is_watched(c->files[i]))
			add_way(w, c->files[i]->path.p);
	if (w->n)
		qsort(w->entries, w->n, sizeof *w->entries, by_place);
}

/* ---- what is new ---- */

static bool differs(const struct conf_file *f)
{
	struct str bytes = STR_NONE;
	unsigned mode;
	int e = conf_read_file(f->path.p, CONF_FILE_BYTES, &bytes, &mode);
	bool is_other = e ? f->bytes.p != NULL : !f->bytes.p || !str_eq(bytes, f->bytes);

	if (!e) {
		explicit_bzero((char *)(uintptr_t)bytes.p, bytes.n);
		free((char *)(uintptr_t)bytes.p);
	}
	return is_other;
}

static bool anything_differs(const struct config *c)
{
	for (size_t i = 0; i < c->nfiles; i++)
		if (is_watched(c->files[i]) && differs(c->files[i]))
			return true;
	return false;
}

static void look(struct timer *t)
{
	struct parent *p = container_of(t, struct parent, watch.timer);
	struct watch *w = &p->watch;
	bool is_enough = w->refused_ms && loop_now_ms() - w->refused_ms >= PATIENCE_MS;

	if (!reload_is_possible(p)) {
		if (p->state != PARENT_STOPPING)
			timer_set(t, QUIET_MS);
		return;
	}
	look_around(p);
	w->since_ms = 0;
	if (anything_differs(p->current.conf))
		reload_files(p, !is_enough);
	else
		w->refused_ms = 0;
}

static void something_happened(struct watch *w)
{
	uint64_t now_ms = loop_now_ms(), until_ms;

	if (!w->since_ms)
		w->since_ms = now_ms;
	until_ms = MIN(now_ms + QUIET_MS, w->since_ms + UNQUIET_MS);
	timer_set(&w->timer, until_ms > now_ms ? until_ms - now_ms : 0);
}

static bool is_meant(const struct watch *w, const struct inotify_event *e)
{
	struct watch_entry key = { e->wd, e->name };

	if (e->mask & IN_Q_OVERFLOW)
		return true;
	return e->len && bsearch(&key, w->entries, w->n, sizeof key, by_place);
}

static void read_events(struct work *work)
{
	struct watch *w = container_of(work, struct watch, read);
	_Alignas(struct inotify_event) char buf[EVENT_BYTES];
	bool any = false;
	ssize_t n;

	while ((n = read(w->ev.fd, buf, sizeof buf)) > 0)
		for (char *at = buf; at < buf + n;) {
			const struct inotify_event *e = (const struct inotify_event *)(void *)at;

			any |= is_meant(w, e);
			at += sizeof *e + e->len;
		}
	if (any)
		something_happened(w);
}

/* ---- the whole ---- */

void watch_init(struct parent *p)
{
	struct watch *w = &p->watch;

	arena_init(&w->arena);
	timer_init(&w->timer, look);
	work_init(&w->read, read_events);
}

void watch_settle(struct parent *p)
{
	struct watch *w = &p->watch;

	look_around(p);
	w->refused_ms = 0;
	/* what came between the reading of the files and this */
	something_happened(w);
}

void watch_refused(struct parent *p, bool was_told)
{
	struct watch *w = &p->watch;
	uint64_t now_ms = loop_now_ms();

	if (was_told) {
		w->refused_ms = 0;
		return;
	}
	if (!w->refused_ms)
		w->refused_ms = now_ms;
	if (!timer_is_set(&w->timer))
		timer_set(&w->timer, MAX(w->refused_ms + PATIENCE_MS, now_ms + 1) - now_ms);
}

void watch_close(struct parent *p)
{
	forget(&p->watch);
	arena_fini(&p->watch.arena);
	timer_stop(&p->watch.timer);
	free(p->watch.entries);
}
