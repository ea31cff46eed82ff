/*
 * The control socket's file: where it lies, whose it is, and how it is replaced by a reload.
 */
#include "proxy/parent/control.h"
#include "proxy/parent/parent.h"
#include "proxy/parent/sockfile.h"
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 16 };

/* What the next configuration wants. */
struct control_socket {
	int fd; /* bound; -1: the one that is open stays */
	struct addr addr;
	gid_t group;
};

bool control_default_path(char out[CONTROL_PATH_BYTES])
{
	const char *runtime = getenv("RUNTIME_DIRECTORY"), *xdg = getenv("XDG_RUNTIME_DIR");
	int n = 0;

	/* systemd.exec(5): a list, separated by colons */
	if (runtime && runtime[0] == '/')
		n = snprintf(out, CONTROL_PATH_BYTES, "%.*s/control", (int)strcspn(runtime, ":"), runtime);
	else if (geteuid() == 0)
		n = snprintf(out, CONTROL_PATH_BYTES, "%s", CONTROL_SYSTEM_PATH);
	else if (xdg && xdg[0] == '/')
		n = snprintf(out, CONTROL_PATH_BYTES, "%s/gatehouse/control", xdg);
	return n > 0 && n < CONTROL_PATH_BYTES;
}

/* Where a configuration wants it; false: nowhere. */
static bool path_of(const struct parent *p, const struct config *conf, char out[CONTROL_PATH_BYTES],
		    bool *is_default)
{
	struct str path = conf->global.control_socket;
	char *slash;

	*is_default = !path.p && p->options->path;
	if (path.n)
		snprintf(out, CONTROL_PATH_BYTES, "%.*s", STR_ARG(path));
	if (!*is_default)
		return path.n > 0;
	if (!control_default_path(out))
		return false;
	slash = strrchr(out, '/');
	*slash = '\0';
	/* who cannot make it, is told by bind */
	(void)!mkdir(out, 0755);
	*slash = '/';
	return true;
}

/* The pid of who listens there; 0: nobody can be asked. */
static pid_t pid_of_listener(const struct addr *a)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred who = { 0 };
	socklen_t n = sizeof who;

	if (fd >= 0 && connect(fd, &a->sa, a->len) == 0)
		(void)!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n);
	if (fd >= 0)
		close(fd);
	return who.pid;
}

static void say_why(struct conf_report *r, enum conf_severity severity, const struct addr *a, int e)
{
	pid_t pid = e == EADDRINUSE ? pid_of_listener(a) : 0;
	char text[64];

	if (pid)
		snprintf(text, sizeof text, "process %d listens there", (int)pid);
	else
		snprintf(text, sizeof text, "%s", strerror(e));
	conf_report_add(r, severity, (struct conf_pos){ 0 },
			"stop who is there, or write another path in `control-socket` (\"\": none)",
			"cannot open the control socket %s: %s", a->un.sun_path, text);
}

static struct sockfile_owner owner_of(const struct config *conf)
{
	struct str group = conf->global.control_group;

	return (struct sockfile_owner){ .group = group, .mode = group.n ? 0660 : 0600 };
}

/* Returns 0 or an errno. */
static int open_socket(struct control_socket *s, struct sockfile_owner owner)
{
	int r;

	s->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return errno;
	r = sockfile_bind(s->fd, &s->addr, owner);
	if (r == 0 && listen(s->fd, BACKLOG) < 0)
		r = errno;
	if (r)
		close(s->fd);
	return r;
}

static bool is_open(const struct control *k, const struct addr *a)
{
	return k->fd && a->len == k->addr.len && memcmp(&a->un, &k->addr.un, a->len) == 0;
}

static bool group_of(struct str name, gid_t *out)
{
	char text[64];
	struct group *g;

	*out = (gid_t)-1;
	if (!name.n)
		return true;
	snprintf(text, sizeof text, "%.*s", STR_ARG(name));
	g = name.n < sizeof text ? getgrnam(text) : NULL;
	if (g)
		*out = g->gr_gid;
	return g != NULL;
}

bool control_open(struct parent *p, const struct config *conf, struct conf_report *r)
{
	struct control *k = &p->control;
	struct control_socket s = { .fd = -1 };
	char path[CONTROL_PATH_BYTES];
	bool is_default;
	int e;

	if (!path_of(p, conf, path, &is_default) || !addr_from_unix(&s.addr, str_from_c(path)))
		return true;
	if (!group_of(conf->global.control_group, &s.group)) {
		conf_report_add(r, CONF_ERROR, (struct conf_pos){ 0 }, NULL,
				"control-group: there is no group \"%.*s\"",
				STR_ARG(conf->global.control_group));
		return false;
	}
	e = is_open(k, &s.addr) ? 0 : open_socket(&s, owner_of(conf));
	if (e) {
		say_why(r, is_default ? CONF_WARNING : CONF_ERROR, &s.addr, e);
		return is_default;
	}
	k->next = base_alloc(sizeof s);
	*k->next = s;
	return true;
}

/* Only its own file: another one's may lie there now. */
static void remove_file(const struct control *k)
{
	const char *path = k->addr.un.sun_path;
	struct stat st;

	if (path[0] && lstat(path, &st) == 0 && st.st_dev == k->dev && st.st_ino == k->ino)
		unlink(path);
}

static void close_socket(struct control *k)
{
	if (!k->fd)
		return;
	if (!k->is_lent) {
		remove_file(k);
		loop_del(&k->ev);
	}
	close(k->fd);
	k->fd = 0;
	k->is_lent = false;
}

static void listener_ready(struct event *ev, uint32_t bits)
{
	(void)bits;
	loop_post(&container_of(ev, struct control, ev)->accept);
}

static void set_socket(struct control *k, int fd, const struct addr *a)
{
	struct stat st = { 0 };

	(void)!lstat(a->un.sun_path, &st);
	k->dev = st.st_dev;
	k->ino = st.st_ino;
	k->fd = fd;
	k->addr = *a;
	k->group = (gid_t)-1;
	k->ev = (struct event){ fd, listener_ready };
}

static void begin_to_listen(struct control *k)
{
	if (loop_add(&k->ev, EPOLLIN | EPOLLET) < 0)
		log_error("the control socket cannot be used: %s", strerror(errno));
}

void control_settle(struct parent *p)
{
	struct control *k = &p->control;
	int e;

	if (!k->next || k->next->fd >= 0)
		close_socket(k);
	if (k->next && k->next->fd >= 0) {
		set_socket(k, k->next->fd, &k->next->addr);
		begin_to_listen(k);
	}
	if (k->next)
		k->group = k->next->group;
	if (k->next && k->next->fd < 0 && !k->is_lent) {
		e = sockfile_settle(&k->addr, owner_of(p->current.conf));
		if (e)
			log_warn("the control socket keeps its group and mode: %s", strerror(e));
	}
	free(k->next);
	k->next = NULL;
}

void control_inherit(struct parent *p, int fd, const struct addr *a)
{
	set_socket(&p->control, fd, a);
	p->control.is_lent = true;
}

void control_own(struct parent *p)
{
	struct control *k = &p->control;
	int e;

	if (!k->is_lent)
		return;
	k->is_lent = false;
	begin_to_listen(k);
	e = sockfile_settle(&k->addr, owner_of(p->current.conf));
	if (e)
		log_warn("the control socket keeps its group and mode: %s", strerror(e));
}

void control_lend(struct parent *p)
{
	struct control *k = &p->control;

	if (!k->fd)
		return;
	loop_del(&k->ev);
	k->is_lent = true;
	close_socket(k);
}

void control_abort(struct parent *p)
{
	struct control *k = &p->control;

	if (k->next && k->next->fd >= 0) {
		unlink(k->next->addr.un.sun_path);
		close(k->next->fd);
	}
	free(k->next);
	k->next = NULL;
}

void control_close_socket(struct parent *p)
{
	control_abort(p);
	close_socket(&p->control);
}
