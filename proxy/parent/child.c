#include "proxy/parent/child.h"
#include "proxy/parent/hook.h"
#include "proxy/parent/issue.h"
#include "proxy/parent/listen.h"
#include "proxy/parent/logs.h"
#include "proxy/parent/reload.h"
#include "proxy/parent/slot.h"
#include "proxy/source.h"
#include "proxy/parent/tickets.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	UNANSWERED_MAX = 5, /* pings, PING_MS apart (parent.c) */
	EXIT_NO_EXEC = 127,
};

/* ---- birth ---- */

NORETURN static void die(const char *what)
{
	dprintf(STDERR_FILENO, "gatehouse: cannot start a process: %s: %s\n", what, strerror(errno));
	_exit(EXIT_NO_EXEC);
}

/*
 * Between fork and exec. Terminal and service managers signal whole process groups; only the parent acts on
 * that, and it tells its children through their sockets. Ignored signals stay ignored over exec.
 */
NORETURN static void become(struct parent *p, const struct priv_user *user, char *name, int socket)
{
	static const int ignored[] = { SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE };
	char *argv[] = { name, NULL };
	const char *wrong;
	int exe = p->exe;
	sigset_t none;

	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* out of the way of the numbers that are about to be used */
	socket = fcntl(socket, F_DUPFD_CLOEXEC, CHILD_SOCKET + 1);
	exe = fcntl(exe, F_DUPFD_CLOEXEC, CHILD_SOCKET + 1);
	if (socket < 0 || exe < 0)
		die("dup");
	if (dup2(p->null, STDIN_FILENO) < 0 || dup2(p->null, STDOUT_FILENO) < 0 ||
	    (p->error_log && dup2(p->error_log->fd, STDERR_FILENO) < 0) || dup2(socket, CHILD_SOCKET) < 0)
		die("dup2");
	/* whatever the parent itself inherited; where the kernel cannot do it, that stays */
	(void)close_range(CHILD_SOCKET + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	wrong = priv_become(user);
	if (wrong)
		die(wrong);
	fexecve(exe, argv, environ);
	die("exec");
}

static void copy_user(struct priv_user *to, const struct priv_user *from)
{
	size_t bytes = (size_t)from->ngroups * sizeof *from->groups;

	*to = *from;
	if (bytes) {
		to->groups = base_alloc(bytes);
		memcpy(to->groups, from->groups, bytes);
	}
}

static void bury(struct grave *g)
{
	struct child *c = container_of(g, struct child, grave);

	priv_fini(&c->user);
	free(c);
}

const char *child_role_name(enum msg_role role)
{
	switch (role) {
	case MSG_PARENT: return "parent";
	case MSG_WORKER: return "worker";
	case MSG_TRIAL: return "trial";
	case MSG_RESOLVER: return "resolver";
	case MSG_ACME: return "acme";
	case MSG_HELPERS: break;
	}
	BUG_ON(true);
	return NULL;
}

static const char *role_name(const struct child *c, char *out, size_t cap)
{
	if (c->role == MSG_WORKER)
		snprintf(out, cap, "worker %u", c->index);
	else
		snprintf(out, cap, "%s", child_role_name(c->role));
	return out;
}

/*
 * The channel's end: when the child broke its rules it is ended, otherwise it is about to be reaped. One that
 * closed its socket and lives on would be found by the pings, which it cannot answer.
 */
static void channel_ended(struct msg_channel *channel, const char *why)
{
	struct child *c = container_of(channel, struct child, channel);
	char name[32];

	if (!why)
		return;
	log_error("%s (pid %d) is ended: %s", role_name(c, name, sizeof name), (int)c->pid, why);
	child_kill(c);
}

static bool start(struct child *c, int fd[2])
{
	struct parent *p = c->parent;
	char name[32], title[64];

	snprintf(title, sizeof title, CHILD_TITLE "%s", role_name(c, name, sizeof name));
	fflush(NULL);
	c->pid = fork();
	if (c->pid == 0)
		become(p, &c->user, title, fd[1]);
	close(fd[1]);
	if (c->pid < 0) {
		close(fd[0]);
		return false;
	}
	list_push(&p->children, &c->node);
	c->born_ms = loop_now_ms();
	return true;
}

static void introduce(struct child *c)
{
	const struct parent *p = c->parent;
	struct msg_hello hello = { c->index, (uint32_t)c->column, p->options->log_level };
	struct msg_begin begin = { p->options->log_level };

	if (c->role == MSG_WORKER)
		msg_send(&c->channel, MSG_HELLO, &hello, sizeof hello, count_fd(p->count));
	else if (c->role & MSG_HELPERS)
		msg_send(&c->channel, MSG_BEGIN, &begin, sizeof begin, -1);
}

struct child *child_spawn(struct parent *p, enum msg_role role, unsigned index,
			  const struct parent_conf *conf)
{
	struct child *c = base_zalloc(sizeof *c);
	int fd[2], r;

	c->parent = p;
	c->role = role;
	c->index = index;
	c->column = role == MSG_WORKER ? count_take_column(p->count) : -1;
	c->channel.ev.fd = -1;
	copy_user(&c->user, role == MSG_ACME ? &conf->acme_user : &conf->user);
	c->fd_limit = p->fd_limit;
	r = role == MSG_WORKER && c->column < 0 ? -EUSERS : msg_pair(fd);
	if (r == 0 && !start(c, fd))
		r = -errno;
	if (r < 0) {
		log_error("cannot start a process: %s", strerror(-r));
		if (c->column >= 0)
			count_clear_column(p->count, (unsigned)c->column);
		loop_bury(&c->grave, bury);
		return NULL;
	}
	if (msg_open(&c->channel, fd[0], MSG_PARENT, role, &handlers_parent, channel_ended) < 0) {
		child_kill(c);
		return c;
	}
	introduce(c);
	return c;
}

/* ---- life ---- */

/* COUNTS answers it, and says which configuration is served; or ALIVE. */
static void ask(struct child *c)
{
	c->unanswered++;
	msg_send(&c->channel, MSG_STATUS, NULL, 0, -1);
}

void child_load(struct child *c, const struct parent_conf *conf)
{
	struct msg_generation m = { conf->generation };

	c->loading = c->sent = conf->generation;
	msg_send(&c->channel, MSG_LOAD, &m, sizeof m, conf->bundle);
}

void child_commit(struct child *c, const struct parent_conf *conf)
{
	struct msg_generation m = { conf->generation };

	listen_send(c, conf);
	logs_send(c, conf);
	if (!c->committed)
		tickets_send(c);
	msg_send(&c->channel, MSG_COMMIT, &m, sizeof m, -1);
	c->committed = conf->generation;
	ask(c);
}

void child_drain(struct child *c, uint64_t after_ms)
{
	struct msg_drain m = { after_ms };

	c->expected = true;
	msg_send(&c->channel, MSG_DRAIN, &m, sizeof m, -1);
}

/*
 * The parent lacks CAP_KILL: who has the other's user may signal it. By pidfd, because once it has been
 * reaped its number may be another's.
 */
static void kill_as_itself(const struct child *c)
{
	int fd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	pid_t pid = fd < 0 ? -1 : fork();

	if (pid == 0) {
		if (!priv_become(&c->user))
			syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
		_exit(0);
	}
	if (pid < 0)
		log_error("cannot end process %d: %s", (int)c->pid, strerror(errno));
	if (fd >= 0)
		close(fd);
}

void child_kill(struct child *c)
{
	if (kill(c->pid, SIGKILL) < 0 && errno == EPERM)
		kill_as_itself(c);
}

void child_ping(struct parent *p)
{
	list_for_each(n, &p->children) {
		struct child *c = list_entry(n, struct child, node);
		char name[32];

		if (c->role == MSG_TRIAL)
			continue;
		if (c->unanswered < UNANSWERED_MAX) {
			ask(c);
			continue;
		}
		log_error("%s (pid %d) gives no sign of life: ended", role_name(c, name, sizeof name),
			  (int)c->pid);
		child_kill(c);
	}
}

/* ---- what they say: nothing of it is trusted ---- */

/* An answer to what is asked now; one to what has been taken back since is passed over. */
static bool is_answer(const struct child *c, uint64_t generation)
{
	return generation && generation == c->loading && c->parent->state != PARENT_STOPPING;
}

static bool was_asked(const struct child *c, uint64_t generation)
{
	return generation && generation <= c->sent;
}

bool parent_on_ready(struct msg_channel *channel, struct msg_in *m)
{
	struct child *c = container_of(channel, struct child, channel);
	const struct msg_generation *g = m->data;

	if (!is_answer(c, g->generation))
		return was_asked(c, g->generation);
	c->loaded = c->loading;
	c->loading = 0;
	if (c->role == MSG_WORKER)
		slot_loaded(c);
	else if (c == c->parent->reload.trial)
		reload_trial_ready(c->parent);
	return true;
}

bool parent_on_warnings(struct msg_channel *channel, struct msg_in *m)
{
	struct child *c = container_of(channel, struct child, channel);
	const struct msg_generation *g = m->data;
	char text[MSG_TEXT_MAX + 1];

	if (!is_answer(c, g->generation))
		return was_asked(c, g->generation);
	snprintf(text, sizeof text, "%.*s", (int)(m->n - sizeof *g), (const char *)m->data + sizeof *g);
	/* those of a renewal have been told when it was read */
	parent_tell_text(c->parent, c->parent->reload.why == RELOAD_RENEWAL ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
			 text);
	return true;
}

bool parent_on_failed(struct msg_channel *channel, struct msg_in *m)
{
	struct child *c = container_of(channel, struct child, channel);
	struct parent *p = c->parent;
	const struct msg_generation *g = m->data;
	char text[MSG_TEXT_MAX + 1];

	if (!is_answer(c, g->generation))
		return was_asked(c, g->generation);
	c->loading = 0;
	snprintf(text, sizeof text, "%.*s", (int)(m->n - sizeof *g), (const char *)m->data + sizeof *g);
	if (g->generation == p->reload.next.generation) {
		reload_failed(p, text);
	} else if (g->generation == p->current.generation) {
		/* others serve it: something is wrong with this process */
		log_error("worker %u (pid %d) cannot load its configuration: %s", c->index, (int)c->pid,
			  text);
		child_kill(c);
	}
	return true;
}

bool parent_on_counts(struct msg_channel *channel, struct msg_in *m)
{
	struct child *c = container_of(channel, struct child, channel);
	struct parent *p = c->parent;
	const struct msg_counts *counts = m->data;

	if (!c->unanswered)
		return false; /* nobody asked */
	c->unanswered--;
	c->counts = *counts;
	if (p->told != p->current.generation && p->state != PARENT_STOPPING && slot_all_serve(p))
		parent_serves(p);
	return true;
}

/* The key may have gone since it asked. */
bool parent_on_source_wanted(struct msg_channel *channel, struct msg_in *m)
{
	struct child *c = container_of(channel, struct child, channel);
	const struct msg_source_wanted *w = m->data;
	int fd = conf_has_transparent(c->parent->current.conf) ? source_make(w) : -EPERM;
	struct msg_source answer = { .id = w->id, .error = fd < 0 ? -fd : 0 };

	if (fd < 0) {
		msg_send(channel, MSG_SOURCE_FAILED, &answer, sizeof answer, -1);
		return true;
	}
	msg_send(channel, MSG_SOURCE, &answer, sizeof answer, fd);
	close(fd);
	return true;
}

bool parent_on_alive(struct msg_channel *channel, struct msg_in *m)
{
	struct child *c = container_of(channel, struct child, channel);

	(void)m;
	if (!c->unanswered)
		return false; /* nobody asked */
	c->unanswered--;
	return true;
}

/* ---- death ---- */

static void died(struct parent *p, struct child *c, int status)
{
	char name[32];

	role_name(c, name, sizeof name);
	if (c->expected)
		log_info("%s (pid %d) has ended", name, (int)c->pid);
	else if (WIFSIGNALED(status))
		log_error("%s (pid %d) was ended by signal %d (%s)", name, (int)c->pid, WTERMSIG(status),
			  strsignal(WTERMSIG(status)));
	else
		log_error("%s (pid %d) ended with status %d", name, (int)c->pid, WEXITSTATUS(status));
	list_del(&c->node);
	msg_close(&c->channel);
	collect_child_gone(c);
	if (c->column >= 0)
		count_clear_column(p->count, (unsigned)c->column);
	if (c == p->reload.trial) {
		p->reload.trial = NULL;
		reload_failed(p, "the process that tried the configuration died\n");
	} else if (c->slot) {
		slot_died(c);
	}
	issue_child_gone(p, c);
	loop_bury(&c->grave, bury);
	parent_child_gone(p);
}

void child_reap(struct parent *p)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (hook_reaped(&p->issue.hooks, pid, status))
			continue;
		if (upgrade_reaped(p, pid, status)) {
			parent_child_gone(p);
			continue;
		}
		list_for_each_safe(n, tmp, &p->children) {
			struct child *c = list_entry(n, struct child, node);

			if (c->pid == pid) {
				died(p, c, status);
				break;
			}
		}
	}
}
