#include "proxy/parent/parent.h"
#include "proxy/parent/child.h"
#include "proxy/parent/given.h"
#include "proxy/parent/issue.h"
#include "proxy/parent/listen.h"
#include "proxy/parent/logs.h"
#include "proxy/parent/lookup.h"
#include "proxy/parent/reload.h"
#include "proxy/sandbox.h"
#include "proxy/parent/slot.h"
#include "proxy/source.h"
#include "proxy/parent/tickets.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
	PING_MS = 2000,
	GRACE_MS = 2000, /* for workers to end after the time for it is over */
};

static const int signals[] = { SIGHUP, SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGCHLD };

/* ---- telling ---- */

/* In the log each line stands for itself; all get the same prefix, so carets stay under what they mean. */
void parent_tell_text(struct parent *p, enum log_level level, const char *text)
{
	reload_note(p, text);
	if (heir_is_waiting(&p->heir) && heir_tell(p, (int)level, text))
		return;
	if (p->state == PARENT_STARTING) {
		fputs(text, stderr);
		return;
	}
	if (p->reload.is_dry || p->reload.is_quiet)
		return;
	while (*text) {
		size_t n = strcspn(text, "\n");

		log_line(level, "%.*s", (int)n, text);
		text += n + (text[n] == '\n');
	}
}

void parent_tell(struct parent *p, const struct conf_report *r)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return;
	conf_report_print(r, CONF_WARNING, f);
	fclose(f);
	parent_tell_text(p, r->counts[CONF_ERROR] ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, text);
	free(text);
}

/* ---- start ---- */

/* False when there is to be none. */
static bool pid_file(const struct parent *p, char name[PATH_MAX])
{
	struct str path = p->current.generation ? p->current.conf->global.pid_file : STR_NONE;

	if (path.n)
		snprintf(name, PATH_MAX, "%.*s", STR_ARG(path));
	return path.n > 0;
}

/* It may have another's number in it: whoever reads it finds the one or the other, but never none. */
static void write_pid_file(struct parent *p)
{
	char name[PATH_MAX];
	int fd, n;

	if (!pid_file(p, name))
		return;
	fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	n = fd < 0 ? -1 : dprintf(fd, "%d\n", (int)getpid());
	if (n < 0 || ftruncate(fd, n) < 0)
		log_warn("cannot write the pid file %s: %s", name, strerror(errno));
	p->has_pid_file = fd >= 0;
	if (fd >= 0)
		close(fd);
}

static void remove_pid_file(const struct parent *p)
{
	char name[PATH_MAX];

	if (p->has_pid_file && pid_file(p, name))
		unlink(name);
}

static void say_started(const struct parent *p)
{
	const struct config *conf = p->current.conf;
	char names[512];
	size_t n = 0;

	names[0] = 0;
	for (size_t i = 0; i < conf->nlisteners && n < sizeof names; i++)
		n += (size_t)snprintf(names + n, sizeof names - n, "%s%.*s", i ? ", " : "",
				      STR_ARG(conf->listeners[i]->name));
	log_note("serving %zu vhost%s on %s, %u worker%s as %s", conf->nvhosts, conf->nvhosts == 1 ? "" : "s",
		 names, p->nslots, p->nslots == 1 ? "" : "s", p->current.user.name);
	if (sandbox_missing())
		log_warn("this kernel has no %s: workers do without", sandbox_missing());
	if (p->options->greeting) {
		puts(p->options->greeting);
		fflush(stdout);
	}
}

void parent_tell_ready(struct parent *p)
{
	const struct config *conf = p->current.conf;
	char status[128];

	snprintf(status, sizeof status, "configuration %llu: vhosts %zu, listeners %zu, workers %u",
		 (unsigned long long)p->current.generation, conf->nvhosts, conf->nlisteners, p->nslots);
	notify_ready(&p->notify, status);
}

void parent_serves(struct parent *p)
{
	p->told = p->current.generation;
	control_served(p);
	if (p->state == PARENT_SERVING) {
		if (p->reload.phase == RELOAD_IDLE)
			parent_tell_ready(p);
		log_note("configuration %llu is served", (unsigned long long)p->told);
		return;
	}
	p->state = PARENT_SERVING;
	if (heir_is_waiting(&p->heir))
		heir_serves(p);
	else
		parent_begin(p);
}

void parent_begin(struct parent *p)
{
	if (p->reload.phase == RELOAD_IDLE)
		parent_tell_ready(p);
	write_pid_file(p);
	say_started(p);
	reload_next(p);
}

/* ---- stop ---- */

static void end_all(struct timer *t)
{
	struct parent *p = container_of(t, struct parent, stop_timer);

	list_for_each(n, &p->children)
		child_kill(list_entry(n, struct child, node));
	upgrade_kill(p);
}

static void stop(struct parent *p, uint64_t after_ms)
{
	bool first = p->state != PARENT_STOPPING;

	p->state = PARENT_STOPPING;
	upgrade_cancel(p, after_ms == 0);
	if (first) {
		notify_stopping(&p->notify, after_ms + GRACE_MS);
		reload_abort(p);
	}
	slot_stop(p);
	list_for_each(n, &p->children) {
		struct child *c = list_entry(n, struct child, node);

		if (c->role != MSG_TRIAL)
			child_drain(c, after_ms);
	}
	timer_set(&p->stop_timer, after_ms + GRACE_MS);
	parent_child_gone(p);
}

void parent_give_up(struct parent *p)
{
	if (p->state == PARENT_STOPPING)
		return;
	p->exit_status = EXIT_FAILURE;
	stop(p, 0);
}

void parent_child_gone(struct parent *p)
{
	bool waits = p->upgrade.pid && !upgrade_is_over(&p->upgrade);

	if (p->state == PARENT_STOPPING && list_empty(&p->children) && !waits)
		loop_stop();
}

void parent_leave(struct parent *p)
{
	p->has_pid_file = false;
	notify_close(&p->notify);
	tickets_stop(p);
	stop(p, p->current.conf->global.timeouts.drain_tunnels_ms);
	listen_leave(p);
}

void parent_abandon(struct parent *p)
{
	p->exit_status = EXIT_FAILURE;
	stop(p, p->current.conf->global.timeouts.drain_ms);
}

/* ---- signals ---- */

/* The second time, and while there is nothing to drain, at once. */
void parent_terminate(struct parent *p)
{
	bool drain = !p->is_terminated && p->current.generation;
	uint64_t after_ms = drain ? p->current.conf->global.timeouts.drain_ms : 0;

	log_note("stopping: requests in progress get %llu ms (timeouts.drain)",
		 (unsigned long long)after_ms);
	p->is_terminated = true;
	stop(p, after_ms);
}

static void upgrade(struct parent *p)
{
	const char *wrong = upgrade_start(p);

	if (wrong)
		log_error("no upgrade: %s", wrong);
}

static void on_signal(struct parent *p, uint32_t signal)
{
	switch (signal) {
	case SIGCHLD:
		child_reap(p);
		break;
	case SIGHUP:
		if (p->state == PARENT_STARTING) {
			p->reload.again = true;
		} else if (p->state == PARENT_SERVING) {
			log_note("reload: reading the configuration");
			reload_start(p);
		}
		break;
	case SIGUSR1:
		if (p->state == PARENT_SERVING) {
			logs_reopen(p);
			p->upgrade.reopen = upgrade_is_under_way(&p->upgrade);
			log_note("log files are opened anew");
		}
		break;
	case SIGUSR2:
		upgrade(p);
		break;
	case SIGTERM:
		parent_terminate(p);
		break;
	case SIGINT:
		log_note("stopping at once");
		stop(p, 0);
		break;
	default:
		break;
	}
}

static void read_signals(struct work *w)
{
	struct parent *p = container_of(w, struct parent, signals_work);
	struct signalfd_siginfo info;

	while (read(p->signals.fd, &info, sizeof info) == sizeof info)
		on_signal(p, info.ssi_signo);
}

static void signals_ready(struct event *ev, uint32_t bits)
{
	(void)bits;
	loop_post(&container_of(ev, struct parent, signals)->signals_work);
}

static bool open_signals(struct parent *p)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaddset(&set, signals[i]);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	work_init(&p->signals_work, read_signals);
	p->signals = (struct event){ signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), signals_ready };
	return p->signals.fd >= 0 && loop_add(&p->signals, EPOLLIN) == 0;
}

/* ---- the whole ---- */

static void ping(struct timer *t)
{
	struct parent *p = container_of(t, struct parent, ping_timer);

	child_ping(p);
	listen_watch(p);
	timer_set(t, PING_MS);
}

/*
 * A connection costs a descriptor, often two. Without the key: as many as it may have. Beyond that it takes a
 * privilege, which only a parent that starts has.
 */
static void set_fd_limit(struct parent *p, uint64_t wanted)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return;
	if (!p->fd_limit_start)
		p->fd_limit_start = l.rlim_max;
	l.rlim_cur = wanted ? wanted : p->fd_limit_start;
	if (l.rlim_cur > l.rlim_max) {
		struct rlimit more = { .rlim_cur = l.rlim_cur, .rlim_max = l.rlim_cur };

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			l = more;
		else
			log_warn("rlimit-nofile: %llu is more than the %llu that may be had (%s)",
				 (unsigned long long)wanted, (unsigned long long)l.rlim_max, strerror(errno));
	}
	l.rlim_cur = MIN(l.rlim_cur, l.rlim_max);
	if (setrlimit(RLIMIT_NOFILE, &l) < 0)
		log_warn("cannot set the limit of open files: %s", strerror(errno));
	else
		p->fd_limit = l.rlim_cur;
}

/* Descriptors 0 to 2 may be closed: nothing else must get their numbers. */
static bool open_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
	return fd >= 0;
}

/* Its owner is set once, when the socket's file is made. */
static bool gives_sockets_away(const struct config *conf)
{
	if (conf->global.control_group.n)
		return true;
	for (size_t i = 0; i < conf->nlisteners; i++)
		if (conf->listeners[i]->unix_user.n || conf->listeners[i]->unix_group.n)
			return true;
	return false;
}

/* Asked for by a reload, or of a parent that never had it. */
static void try_sources(const struct config *conf)
{
	const struct msg_source_wanted wanted = { .ip = { 127, 0, 0, 1 } };
	int fd;

	if (!conf_has_transparent(conf))
		return;
	fd = source_make(&wanted);
	if (fd < 0)
		log_warn("onward-transparent: raw connections will fail: %s: it takes CAP_NET_RAW, and the "
			 "key when Gatehouse starts", strerror(-fd));
	else
		close(fd);
}

static bool keep_privileges(unsigned more)
{
	const char *wrong = priv_keep(more);

	if (wrong)
		log_error("cannot give up privileges: %s: %s", wrong, strerror(errno));
	return !wrong;
}

/* What is not asked for at the start cannot come back with a reload. */
void parent_settle(struct parent *p)
{
	const struct config *conf = p->current.conf;
	unsigned more = 0;

	set_fd_limit(p, conf->global.rlimit_nofile);
	try_sources(conf);
	if (p->state != PARENT_STARTING)
		return;
	given_close(&p->given);
	heir_settle(p);
	if (gives_sockets_away(conf))
		more |= PRIV_CHOWN;
	if (conf_has_transparent(conf))
		more |= PRIV_SOURCE;
	if (!keep_privileges(more))
		parent_give_up(p);
}

static bool open_parent(struct parent *p)
{
	if (!open_standard() || loop_open() < 0)
		return false;
	list_init(&p->children);
	list_init(&p->sockets);
	list_init(&p->logs);
	issue_init(p);
	control_init(p);
	watch_init(p);
	collect_init(p);
	timer_init(&p->stop_timer, end_all);
	timer_init(&p->ping_timer, ping);
	slot_open(p);
	lookup_open(p);
	p->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* by descriptor: a package upgrade puts another file there, and versions must not mix */
	p->exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	p->count = count_make();
	notify_open(&p->notify);
	upgrade_init(p);
	return p->null >= 0 && p->exe >= 0 && p->count && open_signals(p);
}

static void close_parent(struct parent *p)
{
	timer_stop(&p->ping_timer);
	timer_stop(&p->stop_timer);
	tickets_stop(p);
	remove_pid_file(p);
	control_close(p);
	watch_close(p);
	collect_close(p);
	reload_close(p);
	issue_fini(p);
	listen_close(p);
	upgrade_fini(p);
	heir_close(p);
	given_close(&p->given);
	notify_close(&p->notify);
	logs_close(p);
	work_cancel(&p->signals_work);
	loop_del(&p->signals);
	close(p->signals.fd);
	close(p->exe);
	close(p->null);
	count_free(p->count);
	lookup_close(p);
	slot_close(p);
	loop_close();
}

int parent_run(const struct parent_options *o)
{
	struct parent p = { .options = o };

	log_open(STDERR_FILENO, o->log_level, "parent");
	given_open(&p.given);
	set_fd_limit(&p, 0);
	if (!keep_privileges(PRIV_CHOWN | PRIV_RESOURCE | PRIV_SOURCE))
		return EXIT_FAILURE;
	if (!open_parent(&p)) {
		fprintf(stderr, "gatehouse: cannot start: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	if (!heir_open(&p))
		return EXIT_FAILURE;
	heir_begin(&p);
	tickets_start(&p);
	timer_set(&p.ping_timer, PING_MS);
	reload_start(&p);
	/* an error in the configuration has ended it already */
	if (p.state != PARENT_STOPPING || !list_empty(&p.children))
		loop_run();
	if (p.exit_status == 0)
		log_note("stopped");
	close_parent(&p);
	return p.exit_status;
}
