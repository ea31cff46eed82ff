#include "proxy/parent/sockfile.h"
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODE_DEFAULT = 0600 };

/* ---- stale files ---- */

/* For one that only another user may connect to: does any process here have a socket of that path? */
static bool is_open(const char *path)
{
	FILE *f = fopen("/proc/net/unix", "re");
	char *line = NULL;
	size_t cap = 0;
	bool found = !f; /* nobody can tell: better not to take it away */
	ssize_t n;

	while (!found && f && (n = getline(&line, &cap, f)) > 0) {
		struct str s = str_of(line, (size_t)n - (line[n - 1] == '\n'));

		found = s.n > strlen(path) && s.p[s.n - strlen(path) - 1] == ' ' &&
			str_ends(s, str_from_c(path));
	}
	if (f)
		fclose(f);
	free(line);
	return found;
}

/* A socket file that nobody listens on is what a killed process left. Returns 0 or an errno. */
static int remove_stale(const struct addr *a)
{
	int fd, r;
	struct stat st;

	if (lstat(a->un.sun_path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return ENOTSOCK;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return errno;
	r = connect(fd, &a->sa, a->len) < 0 ? errno : 0;
	close(fd);
	if (r != ECONNREFUSED && (r != EACCES || is_open(a->un.sun_path)))
		return EADDRINUSE;
	return unlink(a->un.sun_path) < 0 ? errno : 0;
}

/* ---- owner and mode ---- */

struct owner {
	uid_t uid;
	gid_t gid;
	mode_t mode;
};

/* NULL: none was named, or there is none. */
static struct passwd *user_of(struct str user)
{
	char name[64];

	snprintf(name, sizeof name, "%.*s", STR_ARG(user));
	return user.n && user.n < sizeof name ? getpwnam(name) : NULL;
}

static struct group *group_of(struct str group)
{
	char name[64];

	snprintf(name, sizeof name, "%.*s", STR_ARG(group));
	return group.n && group.n < sizeof name ? getgrnam(name) : NULL;
}

void sockfile_check(const struct conf_listener *l, struct conf_report *r)
{
	if (l->unix_user.n && !user_of(l->unix_user))
		conf_report_add(r, CONF_ERROR, l->pos, NULL, "%.*s: there is no user \"%.*s\"",
				STR_ARG(l->name), STR_ARG(l->unix_user));
	if (l->unix_group.n && !group_of(l->unix_group))
		conf_report_add(r, CONF_ERROR, l->pos, NULL, "%.*s: there is no group \"%.*s\"",
				STR_ARG(l->name), STR_ARG(l->unix_group));
}

static bool find_owner(struct sockfile_owner wanted, struct owner *o)
{
	struct passwd *pw = user_of(wanted.user);
	struct group *gr = group_of(wanted.group);

	if ((wanted.user.n && !pw) || (wanted.group.n && !gr))
		return false;
	*o = (struct owner){
		.uid = pw ? pw->pw_uid : geteuid(),
		.gid = gr ? gr->gr_gid : getegid(),
		.mode = wanted.mode ? wanted.mode : MODE_DEFAULT,
	};
	return true;
}

static int give(int file, uid_t uid, gid_t gid)
{
	return fchownat(file, "", uid, gid, AT_EMPTY_PATH) < 0 ? errno : 0;
}

/*
 * Only an owner may change a mode, and giving a file away may take more rights than changing it: the file is
 * ours while it is done. `file` names it without following it (O_PATH), which chmod cannot.
 */
static int settle(int file, const struct owner *o)
{
	char name[64];
	struct stat st;
	int r = 0;

	if (fstat(file, &st) < 0)
		return errno;
	if (!S_ISSOCK(st.st_mode))
		return ENOTSOCK;
	if ((st.st_mode & 07777) != o->mode) {
		if (st.st_uid != geteuid())
			r = give(file, geteuid(), (gid_t)-1);
		if (r)
			return r;
		st.st_uid = geteuid();
		snprintf(name, sizeof name, "/proc/self/fd/%d", file);
		if (chmod(name, o->mode) < 0)
			return errno;
	}
	return st.st_uid == o->uid && st.st_gid == o->gid ? 0 : give(file, o->uid, o->gid);
}

int sockfile_settle(const struct addr *a, struct sockfile_owner wanted)
{
	struct owner o;
	int file, r;

	if (!a->un.sun_path[0])
		return 0;
	if (!find_owner(wanted, &o))
		return ENOENT;
	file = open(a->un.sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (file < 0)
		return errno;
	r = settle(file, &o);
	close(file);
	return r;
}

int sockfile_bind(int fd, const struct addr *a, struct sockfile_owner o)
{
	mode_t mask;
	int r;

	if (!a->un.sun_path[0])
		return bind(fd, &a->sa, a->len) < 0 ? errno : 0;
	r = remove_stale(a);
	if (r)
		return r;
	mask = umask(0777 & ~MODE_DEFAULT);
	r = bind(fd, &a->sa, a->len) < 0 ? errno : 0;
	umask(mask);
	if (r)
		return r;
	r = sockfile_settle(a, o);
	if (r)
		unlink(a->un.sun_path);
	return r;
}
