#include "proxy/parent/upgrade.h"
#include "proxy/parent/handover.h"
#include "proxy/parent/listen.h"
#include "proxy/parent/logs.h"
#include "proxy/parent/reload.h"
#include "proxy/parent/tickets.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Longer than a reload may take: it reads and tries a configuration, and starts workers. */
enum { DEADLINE_MS = 150 * 1000 };
/* To stop; should it have workers by then, they finish without it. */
enum { STOP_MS = 2000 };
/* Of what it says. */
enum { SAID_BYTES_MAX = 64 * 1024 };

/* ---- where the new binary is ---- */

/*
 * What it was started by, links and all: a link may lead to another version by now. Only if that is this
 * program, and not a script that became it.
 */
static char *path_of_start(const struct parent *p)
{
	const char *by = (const char *)(uintptr_t)getauxval(AT_EXECFN);
	char folder[PATH_MAX], path[2 * PATH_MAX];
	struct stat a, b;

	if (!by || !getcwd(folder, sizeof folder))
		return NULL;
	snprintf(path, sizeof path, "%s%s%s", by[0] == '/' ? "" : folder, by[0] == '/' ? "" : "/", by);
	if (stat(path, &a) < 0 || fstat(p->exe, &b) < 0 || a.st_dev != b.st_dev || a.st_ino != b.st_ino)
		return NULL;
	return strdup(path);
}

void upgrade_init(struct parent *p)
{
	struct upgrade *u = &p->upgrade;
	char path[PATH_MAX];
	ssize_t n;

	u->channel.fd = -1;
	u->path = path_of_start(p);
	if (u->path)
		return;
	n = readlink("/proc/self/exe", path, sizeof path - 1);
	u->path = n > 0 ? strndup(path, (size_t)n) : NULL;
}

/* ---- what is handed over ---- */

static void put_socket(FILE *f, const struct parent_socket *s)
{
	char *hex = handover_hex(&s->addr.ss, s->addr.len);

	handover_put(f, HANDOVER_socket, s->fd, "%s %s", s->given ? "given" : "own", hex);
	free(hex);
}

static void put_tickets(FILE *f, const struct parent *p)
{
	for (size_t i = 0; i < p->ntickets; i++) {
		char *hex = handover_hex(&p->tickets[i], sizeof p->tickets[i]);

		handover_put(f, HANDOVER_ticket, -1, "%s", hex);
		explicit_bzero(hex, strlen(hex));
		free(hex);
	}
	handover_put(f, HANDOVER_rotation, -1, "%llu", (unsigned long long)tickets_due_ms(p));
}

static void put_answered(FILE *f, const struct parent *p)
{
	const struct outage_names *names = count_names(p->count);

	for (size_t i = 0; i < OUTAGE_NAMES; i++)
		if (names->hash[i])
			handover_put(f, HANDOVER_answered, -1, "%llx", (unsigned long long)names->hash[i]);
}

/* In memory to be wiped and freed. */
static struct str describe(const struct parent *p, int channel, int errors)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	BUG_ON(!f);
	handover_put(f, HANDOVER_channel, channel, "-");
	list_for_each(node, &p->sockets)
		put_socket(f, list_entry(node, struct parent_socket, node));
	if (p->control.fd) {
		char *hex = handover_hex(&p->control.addr.ss, p->control.addr.len);

		handover_put(f, HANDOVER_control, p->control.fd, "%s", hex);
		free(hex);
	}
	put_tickets(f, p);
	put_answered(f, p);
	if (errors >= 0)
		handover_put(f, HANDOVER_errors, errors, "-");
	if (store_lock_fd(&p->store) >= 0)
		handover_put(f, HANDOVER_lock, store_lock_fd(&p->store), "-");
	if (p->notify.path)
		handover_put(f, HANDOVER_notify, -1, "%llu %s", (unsigned long long)p->notify.watchdog_us,
			     p->notify.path);
	BUG_ON(fclose(f) != 0);
	return str_of(text, n);
}

static void forget(struct str text)
{
	explicit_bzero((char *)(uintptr_t)text.p, text.n);
	free((char *)(uintptr_t)text.p);
}

/* Returns its descriptor, or -1. */
static int write_down(struct str text)
{
	int fd = memfd_create("gatehouse-handover", MFD_CLOEXEC);

	while (fd >= 0 && text.n) {
		ssize_t n = write(fd, text.p, text.n);

		if (n < 0 && errno != EINTR) {
			close(fd);
			return -1;
		}
		if (n > 0)
			text = str_of(text.p + n, text.n - (size_t)n);
	}
	return fd;
}

/* ---- the new parent ---- */

static void keep_open(int fd)
{
	fcntl(fd, F_SETFD, fcntl(fd, F_GETFD) & ~FD_CLOEXEC);
}

/*
 * Between fork and exec. What it says before its own log is open goes where this parent's lines go. Signals
 * stay blocked: what comes before it listens to them waits.
 */
NORETURN static void become(struct parent *p, int channel, int file, struct str text)
{
	char value[64], why[PATH_MAX + 128];
	struct handover_row row;

	if (p->error_log)
		dup2(p->error_log->fd, STDERR_FILENO);
	keep_open(file);
	while (handover_next(&text, &row))
		if (row.fd >= 0)
			keep_open(row.fd);
	snprintf(value, sizeof value, "%d %d", (int)getpid(), file);
	setenv(HANDOVER_VARIABLE, value, 1);
	priv_pass_on();
	execve(p->upgrade.path, p->options->argv, environ);
	snprintf(why, sizeof why, "0 cannot execute %s: %s\n", p->upgrade.path, strerror(errno));
	handover_say(channel, HANDOVER_TOLD, str_from_c(why));
	_exit(EXIT_FAILURE);
}

static void close_channel(struct upgrade *u)
{
	if (u->channel.fd < 0)
		return;
	timer_stop(&u->deadline);
	work_cancel(&u->hear);
	loop_del(&u->channel);
	close(u->channel.fd);
	u->channel.fd = -1;
}

void upgrade_fini(struct parent *p)
{
	close_channel(&p->upgrade);
	free(p->upgrade.path);
	free(p->upgrade.said);
}

/* ---- how it goes ---- */

static void note(struct upgrade *u, const char *text)
{
	size_t have = u->said ? strlen(u->said) : 0, more = strlen(text);

	if (more > SAID_BYTES_MAX - have)
		return;
	u->said = base_realloc(u->said, have + more + 1);
	memcpy(u->said + have, text, more + 1);
}

static void forget_said(struct upgrade *u)
{
	free(u->said);
	u->said = NULL;
}

static void tell(struct parent *p, struct str rest)
{
	struct str level = handover_cut(&rest);
	char *text = strndup(rest.p ? rest.p : "", rest.n);
	uint64_t n;

	if (text && str_to_u64(level, LOG_LEVEL_DEBUG, &n)) {
		parent_tell_text(p, (enum log_level)n, text);
		note(&p->upgrade, text);
	}
	free(text);
}

static void give_over(struct parent *p)
{
	struct upgrade *u = &p->upgrade;
	pid_t pid = u->pid;

	log_note("process %d serves now: what is in progress here is finished", (int)pid);
	notify_successor(&p->notify, pid);
	handover_say(u->channel.fd, HANDOVER_OVER, STR_NONE);
	close_channel(u);
	u->phase = UPGRADE_OVER;
	if (p->reload.again)
		kill(pid, SIGHUP);
	if (u->reopen)
		kill(pid, SIGUSR1);
	p->reload.again = u->reopen = false;
	control_upgrade_over(p, u->said, pid);
	forget_said(u);
	parent_leave(p);
}

/* What has been asked for meanwhile is done now. */
static void end(struct parent *p)
{
	p->upgrade.phase = UPGRADE_NONE;
	close_channel(&p->upgrade);
	control_upgrade_over(p, p->upgrade.said, 0);
	forget_said(&p->upgrade);
	if (p->state == PARENT_SERVING)
		reload_next(p);
}

static void hear(struct work *w)
{
	struct parent *p = container_of(w, struct parent, upgrade.hear);
	char *buf = base_alloc(HANDOVER_SAY_MAX);
	struct str said, word;

	while (p->upgrade.phase == UPGRADE_STARTED && handover_hear(p->upgrade.channel.fd, buf, &said) > 0) {
		word = handover_cut(&said);
		if (str_eq(word, STR(HANDOVER_TOLD)))
			tell(p, said);
		else if (str_eq(word, STR(HANDOVER_SERVING)))
			give_over(p);
	}
	free(buf);
}

static void channel_ready(struct event *ev, uint32_t bits)
{
	(void)bits;
	loop_post(&container_of(ev, struct parent, upgrade.channel)->upgrade.hear);
}

static void too_late(struct timer *t)
{
	struct parent *p = container_of(t, struct parent, upgrade.deadline);

	if (p->upgrade.phase == UPGRADE_STARTED)
		log_error("upgrade: process %d does not come to serve", (int)p->upgrade.pid);
	upgrade_kill(p);
}

/* ---- beginning ---- */

/* Returns what failed, or NULL. */
static const char *begin(struct parent *p)
{
	struct upgrade *u = &p->upgrade;
	struct str text;
	int fd[2], file, errors;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0)
		return "a pair of sockets";
	errors = p->error_log ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : -1;
	text = describe(p, fd[1], errors);
	file = write_down(text);
	fflush(NULL);
	u->pid = file < 0 ? -1 : fork();
	if (u->pid == 0)
		become(p, fd[1], file, text);
	forget(text);
	if (file >= 0)
		close(file);
	if (errors >= 0)
		close(errors);
	close(fd[1]);
	if (u->pid < 0) {
		close(fd[0]);
		u->pid = 0;
		return "a process";
	}
	u->phase = UPGRADE_STARTED;
	u->channel = (struct event){ fd[0], channel_ready };
	work_init(&u->hear, hear);
	timer_init(&u->deadline, too_late);
	timer_set(&u->deadline, DEADLINE_MS);
	if (loop_add(&u->channel, EPOLLIN | EPOLLET) < 0)
		upgrade_kill(p);
	log_note("upgrade: process %d is started from %s", (int)u->pid, u->path);
	return NULL;
}

void upgrade_go_on(struct parent *p)
{
	const char *wrong;

	if (p->upgrade.phase != UPGRADE_WAITING || p->reload.phase != RELOAD_IDLE)
		return;
	p->upgrade.phase = UPGRADE_NONE;
	wrong = begin(p);
	if (wrong) {
		log_error("upgrade: cannot have %s: %s", wrong, strerror(errno));
		control_upgrade_over(p, NULL, 0);
	}
}

const char *upgrade_start(struct parent *p)
{
	struct upgrade *u = &p->upgrade;

	if (!p->options->path)
		return "`gatehouse proxy` has no configuration that another could read: start that instead";
	if (getpid() == 1)
		return "the first process of a container cannot leave it: start another container";
	if (!u->path)
		return "where this program lies cannot be found out: is there no /proc?";
	if (p->state != PARENT_SERVING || heir_is_waiting(&p->heir))
		return p->state == PARENT_STOPPING ? "it is stopping" : "it is only just starting";
	if (u->phase != UPGRADE_NONE)
		return "an upgrade is under way";
	u->phase = UPGRADE_WAITING;
	upgrade_go_on(p);
	return NULL;
}

/* ---- ending ---- */

/* Of the same user, so that this takes no privilege. */
void upgrade_cancel(struct parent *p, bool at_once)
{
	struct upgrade *u = &p->upgrade;

	if (u->phase == UPGRADE_WAITING || u->phase == UPGRADE_STARTED)
		control_upgrade_over(p, "stopping\n", 0);
	if (u->phase == UPGRADE_WAITING)
		u->phase = UPGRADE_NONE;
	if (u->phase != UPGRADE_STARTED && u->phase != UPGRADE_ENDING)
		return;
	u->phase = UPGRADE_ENDING;
	timer_set(&u->deadline, STOP_MS);
	kill(u->pid, at_once ? SIGINT : SIGTERM);
}

void upgrade_kill(struct parent *p)
{
	if (p->upgrade.pid && p->upgrade.phase != UPGRADE_OVER)
		kill(p->upgrade.pid, SIGKILL);
}

bool upgrade_reaped(struct parent *p, pid_t pid, int status)
{
	struct upgrade *u = &p->upgrade;
	char how[64];

	if (!u->pid || pid != u->pid)
		return false;
	if (u->phase == UPGRADE_STARTED)
		hear(&u->hear); /* its last words */
	u->pid = 0;
	if (WIFSIGNALED(status))
		snprintf(how, sizeof how, "was ended by signal %d", WTERMSIG(status));
	else
		snprintf(how, sizeof how, "ended with status %d", WEXITSTATUS(status));
	switch (u->phase) {
	case UPGRADE_STARTED:
		log_error("upgrade: process %d %s: nothing has changed", (int)pid, how);
		end(p);
		break;
	case UPGRADE_OVER:
		/* in order: it was told to stop, or yet another has taken its place */
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			break;
		log_error("process %d, which serves in the place of this one, %s", (int)pid, how);
		parent_abandon(p);
		break;
	case UPGRADE_NONE:
	case UPGRADE_WAITING:
	case UPGRADE_ENDING:
		u->phase = UPGRADE_NONE;
		break;
	}
	return true;
}
