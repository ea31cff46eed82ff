/*
 * Workers open no file: a log is opened here, as who started the parent, once for all of them, and each
 * appends whole lines.
 */
#include "proxy/parent/logs.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Returns the descriptor or -errno. Never waits: a named pipe without a reader is an error. */
static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);

	return fd < 0 ? -errno : fd;
}

/* "syslog", or "syslog:PATH" of its socket. Returns the descriptor or -errno. */
static int open_syslog(const char *name)
{
	const char *path = name[6] ? name + 7 : "/dev/log";
	struct addr to;
	int fd;

	if (!addr_from_unix(&to, str_from_c(path)))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, &to.sa, to.len) < 0) {
		int e = errno;

		close(fd);
		return -e;
	}
	return fd < 0 ? -errno : fd;
}

static int open_named(const char *name)
{
	return name[0] == '/' ? open_file(name) : open_syslog(name);
}

static struct parent_log *find(struct parent *p, struct str path)
{
	list_for_each(n, &p->logs) {
		struct parent_log *l = list_entry(n, struct parent_log, node);

		if (str_eq(str_from_c(l->path), path))
			return l;
	}
	return NULL;
}

static void open_log(struct parent *p, struct str path, struct conf_pos pos, struct conf_report *r)
{
	struct parent_log *l;

	if (!path.n || find(p, path))
		return;
	l = base_zalloc(sizeof *l + path.n + 1);
	memcpy(l->path, path.p, path.n);
	l->fd = open_named(l->path);
	if (l->fd < 0) {
		conf_report_add(r, CONF_ERROR, pos, "the directory must exist; a named pipe needs a reader",
				"cannot open the log file %s: %s", l->path, strerror(-l->fd));
		free(l);
		return;
	}
	list_push(&p->logs, &l->node);
}

bool logs_open(struct parent *p, const struct config *conf, struct conf_report *r)
{
	for (size_t i = 0; i < conf->nlogs; i++)
		open_log(p, conf->logs[i].path, conf->logs[i].pos, r);
	open_log(p, conf->global.error_log, (struct conf_pos){ 0 }, r);
	return r->counts[CONF_ERROR] == 0;
}

static void close_log(struct parent_log *l)
{
	list_del(&l->node);
	close(l->fd);
	free(l);
}

static bool is_named(const struct config *conf, const struct parent_log *l)
{
	struct str path = str_from_c(l->path);

	for (size_t i = 0; i < conf->nlogs; i++)
		if (str_eq(conf->logs[i].path, path))
			return true;
	return str_eq(conf->global.error_log, path);
}

void logs_settle(struct parent *p)
{
	const struct config *conf = p->current.conf;

	p->error_log = conf->global.error_log.n ? find(p, conf->global.error_log) : NULL;
	log_set_fd(p->error_log ? p->error_log->fd : STDERR_FILENO);
	list_for_each_safe(n, tmp, &p->logs) {
		struct parent_log *l = list_entry(n, struct parent_log, node);

		if (!is_named(conf, l))
			close_log(l);
	}
}

void logs_send_error_log(struct child *c, const struct parent_conf *conf)
{
	struct msg_logfile m = { .generation = conf->generation, .index = MSG_LOG_ERROR };
	struct parent_log *error_log = find(c->parent, conf->conf->global.error_log);

	msg_send(&c->channel, MSG_LOGFILE, &m, sizeof m, error_log ? error_log->fd : STDERR_FILENO);
}

void logs_send(struct child *c, const struct parent_conf *conf)
{
	struct parent *p = c->parent;
	struct msg_logfile m = { .generation = conf->generation };

	for (size_t i = 0; i < conf->conf->nlogs; i++) {
		struct parent_log *l = find(p, conf->conf->logs[i].path);

		m.index = (uint32_t)i;
		if (l)
			msg_send(&c->channel, MSG_LOGFILE, &m, sizeof m, l->fd);
	}
	logs_send_error_log(c, conf);
}

void logs_reopen(struct parent *p)
{
	list_for_each(n, &p->logs) {
		struct parent_log *l = list_entry(n, struct parent_log, node);
		int fd = open_named(l->path);

		/* the old file is better than none */
		if (fd < 0) {
			log_error("cannot reopen %s: %s", l->path, strerror(-fd));
			continue;
		}
		close(l->fd);
		l->fd = fd;
	}
	if (p->error_log)
		log_set_fd(p->error_log->fd);
	list_for_each(n, &p->children) {
		struct child *c = list_entry(n, struct child, node);

		if (c->role == MSG_WORKER && c->committed == p->current.generation)
			logs_send(c, &p->current);
		else if (c->role & MSG_HELPERS)
			logs_send_error_log(c, &p->current);
	}
}

void logs_close(struct parent *p)
{
	log_set_fd(STDERR_FILENO);
	p->error_log = NULL;
	while (!list_empty(&p->logs))
		close_log(list_entry(p->logs.next, struct parent_log, node));
}
