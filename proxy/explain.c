#include "proxy/explain.h"
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS_MAX = 16, GROUPS_SHOWN = 16 };

/* A line that grows; what does not fit is cut. */
struct line {
	char *p;
	size_t n;
};

PRINTF(2, 3) static void say(struct line *l, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(l->p + l->n, EXPLAIN_BYTES - l->n, fmt, args);
	va_end(args);
	l->n = MIN(l->n + (size_t)MAX(n, 0), (size_t)EXPLAIN_BYTES - 1);
}

/* ---- who ---- */

static void say_user(struct line *l, uid_t uid)
{
	const struct passwd *pw = getpwuid(uid);

	if (pw)
		say(l, "%s", pw->pw_name);
	else
		say(l, "uid %u", (unsigned)uid);
}

static void say_group(struct line *l, gid_t gid)
{
	const struct group *g = getgrgid(gid);

	if (g)
		say(l, "%s", g->gr_name);
	else
		say(l, "gid %u", (unsigned)gid);
}

/* "nobody (groups nogroup, app)" */
static void say_self(struct line *l)
{
	gid_t groups[256];
	int n = getgroups(ARRAY_SIZE(groups), groups);

	say_user(l, geteuid());
	say(l, " (groups ");
	say_group(l, getegid());
	for (int i = 0; i < n && i < GROUPS_SHOWN; i++)
		if (groups[i] != getegid()) {
			say(l, ", ");
			say_group(l, groups[i]);
		}
	say(l, n > GROUPS_SHOWN ? ", ...)" : ")");
}

static void say_owner(struct line *l, const struct stat *st)
{
	say(l, ", which belongs to user ");
	say_user(l, st->st_uid);
	say(l, " and group ");
	say_group(l, st->st_gid);
	say(l, ", mode %04o", (unsigned)st->st_mode & 07777);
}

static bool is_member(gid_t gid)
{
	gid_t groups[1024];
	int n = getgroups(ARRAY_SIZE(groups), groups);

	for (int i = 0; i < n; i++)
		if (groups[i] == gid)
			return true;
	return getegid() == gid;
}

/* The group has the right already, or is to be given it; then whoever is not in it is to join. */
static void say_remedy(struct line *l, const struct stat *st, const char *path, mode_t group_bit, char letter)
{
	const struct passwd *pw = getpwuid(geteuid());
	const struct group *g = getgrgid(st->st_gid);
	bool joins = !is_member(st->st_gid) && pw && g && st->st_gid != 0;

	say(l, "; ");
	if (!(st->st_mode & group_bit) && joins)
		say(l, "chmod g+%c %s and ", letter, path);
	else if (!joins)
		say(l, "chmod %c+%c %s", is_member(st->st_gid) ? 'g' : 'o', letter, path);
	if (joins)
		say(l, "usermod -aG %s %s, then reload", g->gr_name, pw->pw_name);
}

/* ---- where ---- */

/* What is in the way, and how. */
struct obstacle {
	char path[PATH_MAX];
	bool is_folder;  /* it is one to be passed, or should be */
	int sys_errno;
	struct stat st;  /* of what exists */
};

/* One step of the way, which is no link. */
static bool blocks(struct obstacle *o)
{
	o->sys_errno = 0;
	if (stat(o->path, &o->st) < 0)
		o->sys_errno = errno;
	else if (o->is_folder && !S_ISDIR(o->st.st_mode))
		o->sys_errno = ENOTDIR;
	else if (!o->is_folder && !S_ISSOCK(o->st.st_mode))
		o->sys_errno = ENOTSOCK;
	else if (faccessat(AT_FDCWD, o->path, o->is_folder ? X_OK : W_OK, AT_EACCESS) < 0)
		o->sys_errno = errno;
	return o->sys_errno != 0;
}

static bool walk(const char *path, bool to_folder, unsigned links, struct obstacle *o);

/* What the link o->path leads to lies where the link does, unless it begins with '/'. */
static bool link_blocks(unsigned links, struct obstacle *o)
{
	char target[PATH_MAX], path[2 * PATH_MAX];
	ssize_t n = readlink(o->path, target, sizeof target - 1);
	const char *slash = strrchr(o->path, '/');

	if (n < 0 || links == 0) {
		o->sys_errno = n < 0 ? errno : ELOOP;
		return true;
	}
	target[n] = 0;
	snprintf(path, sizeof path, "%.*s%s", target[0] == '/' ? 0 : (int)(slash - o->path) + 1, o->path,
		 target);
	return walk(path, o->is_folder, links - 1, o);
}

/* Step by step; true at the first that blocks. */
static bool walk(const char *path, bool to_folder, unsigned links, struct obstacle *o)
{
	for (size_t n = 1; n; n = path[n] ? n + 1 : 0) {
		bool is_last = !path[n];
		struct stat st;
		int blocked;

		if ((n > 1 && !is_last && path[n] != '/') || n >= sizeof o->path)
			continue;
		memcpy(o->path, path, n);
		o->path[n] = 0;
		o->is_folder = !is_last || to_folder;
		blocked = lstat(o->path, &st) == 0 && S_ISLNK(st.st_mode) ? link_blocks(links, o) : blocks(o);
		if (blocked)
			return true;
	}
	return false;
}

/* ---- what is said ---- */

static void say_denied(struct line *l, const struct obstacle *o)
{
	mode_t bit = o->is_folder ? S_IXGRP : S_IWGRP;

	say_self(l);
	say(l, " may not %s %s", o->is_folder ? "pass" : "write to", o->path);
	say_owner(l, &o->st);
	say_remedy(l, &o->st, o->path, bit, o->is_folder ? 'x' : 'w');
}

/* systemd gives a service with PrivateTmp=yes a folder of its own in the place of /tmp and /var/tmp. */
static bool has_private_tmp(void)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char text[PATH_MAX + 512];
	bool found = false;

	if (!f)
		return false;
	while (!found && fgets(text, sizeof text, f))
		found = strstr(text, "/systemd-private-") && strstr(text, "/tmp /tmp ");
	fclose(f);
	return found;
}

static void say_missing(struct line *l, const char *path, const struct obstacle *o)
{
	say(l, "there is no %s", o->path);
	if (!o->is_folder)
		say(l, ": the application is not running, or puts its socket elsewhere");
	if (strncmp(path, "/tmp/", 5) != 0 && strncmp(path, "/var/tmp/", 9) != 0)
		return;
	if (has_private_tmp())
		say(l, "; this process has a /tmp of its own (PrivateTmp= in its unit): put the socket into a"
		       " folder below /run");
	else
		say(l, "; an application whose unit says PrivateTmp=yes has another /tmp than this process:"
		       " put the socket into a folder below /run");
}

static const char *kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return "a regular file";
	case S_IFDIR: return "a folder";
	case S_IFIFO: return "a pipe";
	case S_IFSOCK: return "a socket";
	}
	return "a device";
}

static void say_obstacle(struct line *l, const char *path, const struct obstacle *o)
{
	switch (o->sys_errno) {
	case EACCES:
	case EPERM: say_denied(l, o); break;
	case ENOENT: say_missing(l, path, o); break;
	case ENOTDIR: say(l, "%s is %s, not a folder", o->path, kind_of(o->st.st_mode)); break;
	case ENOTSOCK: say(l, "%s is %s, not a socket", o->path, kind_of(o->st.st_mode)); break;
	default: say(l, "%s: %s", o->path, strerror(o->sys_errno)); break;
	}
}

/* Nothing is in the way: it is the socket itself. */
static void say_socket(struct line *l, const char *path, int sys_errno)
{
	switch (sys_errno) {
	case EACCES:
	case EPERM:
		say_self(l);
		say(l,
		    " may write to %s by its mode, but something else forbids it: see what AppArmor or"
		    " SELinux has logged (journalctl -k)",
		    path);
		break;
	case ENOENT: say(l, "it was not there, and is now"); break;
	case EPROTOTYPE: say(l, "%s is a socket of another kind than SOCK_STREAM", path); break;
	case ECONNREFUSED:
		say(l, "nobody listens on %s: the application has ended, or does not listen yet", path);
		break;
	case EAGAIN:
		say(l, "the application does not accept: its listener's queue is full (see its backlog, and"
		       " net.core.somaxconn)");
		break;
	default: say(l, "%s", strerror(sys_errno)); break;
	}
}

char *explain_unix(const char *path, int sys_errno, char *out)
{
	struct line l = { .p = out };
	struct obstacle o;

	out[0] = 0;
	if (path[0] == '@' && sys_errno == ECONNREFUSED)
		say(&l,
		    "nobody listens on the abstract name %s: the application is not running, or lives in"
		    " another network namespace (PrivateNetwork=, a container)",
		    path);
	else if (path[0] != '/')
		say(&l, "%s", strerror(sys_errno));
	else if (walk(path, false, LINKS_MAX, &o))
		say_obstacle(&l, path, &o);
	else
		say_socket(&l, path, sys_errno);
	return out;
}

bool explain_is_fault(int sys_errno)
{
	return sys_errno == EACCES || sys_errno == EPERM || sys_errno == EPROTOTYPE || sys_errno == ENOTDIR ||
	       sys_errno == ELOOP || sys_errno == ENAMETOOLONG;
}
