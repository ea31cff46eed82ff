#include "proxy/parent/hook.h"
#include "core/log.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	RUNNING_MAX = 8,    /* at the same time */
	TIME_S = 120,       /* DNS servers may be slow to take it up */
	OUTPUT_BYTES = 16 * 1024,
	LINE_BYTES = 256,
	EXIT_NO_EXEC = 127,
};

struct hook {
	struct list node;
	struct hooks *all;
	char *program, *host, *value;
	const char *verb;
	pid_t pid;          /* 0: it waits */
	struct event out;   /* what it prints; -1: closed */
	struct work work;
	struct timer deadline;
	size_t read;        /* bytes so far */
	char line[LINE_BYTES];
	size_t n;           /* of the line that is not complete */
	char last[LINE_BYTES]; /* the last complete one */
	char name[128];
	hook_done *done;
	void *arg;
	struct grave grave;
};

/* ---- birth ---- */

NORETURN static void become(const struct priv_user *user, char *const argv[], int out)
{
	static const int changed[] = { SIGPIPE, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const char *wrong;
	sigset_t none;

	for (size_t i = 0; i < ARRAY_SIZE(changed); i++)
		signal(changed[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* a group of its own: it is not told what the terminal tells the parent */
	setsid();
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(out, STDERR_FILENO) < 0)
		_exit(EXIT_NO_EXEC);
	(void)close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	wrong = priv_become(user);
	if (wrong || chdir("/") < 0) {
		dprintf(STDERR_FILENO, "%s: %s\n", wrong ? wrong : "/", strerror(errno));
		_exit(EXIT_NO_EXEC);
	}
	/* the parent, without CAP_KILL, could not end it */
	alarm(TIME_S);
	execv(argv[0], argv);
	dprintf(STDERR_FILENO, "cannot be run: %s\n", strerror(errno));
	_exit(EXIT_NO_EXEC);
}

/* ---- what it prints ---- */

static void end_line(struct hook *h)
{
	if (h->n) {
		h->last[log_escape(h->last, sizeof h->last - 1, str_of(h->line, h->n))] = 0;
		log_note("acme-hook %s: %s", h->name, h->last);
	}
	h->n = 0;
}

static void take(struct hook *h, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n')
			end_line(h);
		else if (h->n < sizeof h->line - 1)
			h->line[h->n++] = p[i];
	}
}

static void close_output(struct hook *h)
{
	if (h->out.fd < 0)
		return;
	end_line(h);
	loop_del(&h->out);
	close(h->out.fd);
	h->out.fd = -1;
}

/* More than that is read by nobody: it stops or is ended by SIGPIPE. */
static void read_output(struct work *w)
{
	struct hook *h = container_of(w, struct hook, work);
	char bytes[1024];
	ssize_t n;

	while (h->out.fd >= 0) {
		n = read(h->out.fd, bytes, sizeof bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n > 0)
			take(h, bytes, (size_t)n);
		h->read += n > 0 ? (size_t)n : 0;
		if (n <= 0 || h->read > OUTPUT_BYTES)
			close_output(h);
	}
}

static void output_ready(struct event *ev, uint32_t bits)
{
	(void)bits;
	loop_post(&container_of(ev, struct hook, out)->work);
}

/* ---- its end ---- */

static void bury(struct grave *g)
{
	struct hook *h = container_of(g, struct hook, grave);

	free(h->program);
	free(h->host);
	free(h->value);
	free(h);
}

static void end(struct hook *h, const char *why)
{
	struct hooks *all = h->all;

	if (h->done)
		h->done(h->arg, why);
	close_output(h);
	work_cancel(&h->work);
	timer_stop(&h->deadline);
	list_del(&h->node);
	all->nrunning -= h->pid != 0;
	if (!list_empty(&all->waiting))
		loop_post(&all->start);
	loop_bury(&h->grave, bury);
}

static void too_late(struct timer *t)
{
	struct hook *h = container_of(t, struct hook, deadline);

	log_error("acme-hook %s: not done within %d s", h->name, TIME_S);
	end(h, "the hook was not done in time");
}

bool hook_reaped(struct hooks *all, int pid, int status)
{
	list_for_each(n, &all->running) {
		struct hook *h = list_entry(n, struct hook, node);
		char why[LINE_BYTES + 96];

		if (h->pid != pid)
			continue;
		read_output(&h->work);
		end_line(h);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
			end(h, NULL);
			return true;
		}
		snprintf(why, sizeof why, "the hook %s %d%s%s",
			 WIFSIGNALED(status) ? "was ended by signal" : "ended with status",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
			 h->last[0] ? ": " : "", h->last);
		log_error("acme-hook %s: %s", h->name, why);
		end(h, why);
		return true;
	}
	return false;
}

void hook_forget(struct hook *h)
{
	h->done = NULL;
}

/* ---- starting ---- */

static bool spawn(struct hook *h)
{
	char *argv[] = { h->program, (char *)(uintptr_t)h->verb, h->host, h->value, NULL };
	int out[2];

	if (pipe2(out, O_CLOEXEC) < 0)
		return false;
	fflush(NULL);
	h->pid = fork();
	if (h->pid == 0)
		become(h->all->user, argv, out[1]);
	close(out[1]);
	(void)fcntl(out[0], F_SETFL, O_NONBLOCK);
	h->out = (struct event){ out[0], output_ready };
	if (h->pid > 0 && loop_add(&h->out, EPOLLIN) == 0)
		return true;
	close(out[0]);
	h->out.fd = -1;
	h->pid = 0;
	return false;
}

static void start(struct work *w)
{
	struct hooks *all = container_of(w, struct hooks, start);

	while (all->nrunning < RUNNING_MAX && !list_empty(&all->waiting)) {
		struct hook *h = list_entry(all->waiting.next, struct hook, node);

		if (!spawn(h)) {
			log_error("acme-hook %s: cannot be started: %s", h->name, strerror(errno));
			end(h, "the hook cannot be started");
			continue;
		}
		list_del(&h->node);
		list_push(&all->running, &h->node);
		all->nrunning++;
		timer_set(&h->deadline, (TIME_S + 5) * 1000);
	}
}

struct hook *hook_start(struct hooks *all, struct str program, const char *verb, struct str name,
			struct str value, hook_done *done, void *arg)
{
	struct hook *h = base_zalloc(sizeof *h);

	h->all = all;
	h->program = str_dup(program);
	h->host = str_dup(name);
	h->value = str_dup(value);
	h->verb = verb;
	h->out.fd = -1;
	h->done = done;
	h->arg = arg;
	snprintf(h->name, sizeof h->name, "%s %.*s", verb, (int)MIN(name.n, (size_t)100), name.p);
	work_init(&h->work, read_output);
	timer_init(&h->deadline, too_late);
	list_push(&all->waiting, &h->node);
	loop_post(&all->start);
	return h;
}

void hook_init(struct hooks *all, const struct priv_user *user)
{
	*all = (struct hooks){ .user = user };
	list_init(&all->running);
	list_init(&all->waiting);
	work_init(&all->start, start);
}

static void end_all(struct list *hooks)
{
	list_for_each_safe(n, tmp, hooks) {
		struct hook *h = list_entry(n, struct hook, node);

		h->done = NULL;
		end(h, NULL);
	}
}

void hook_fini(struct hooks *all)
{
	end_all(&all->waiting);
	end_all(&all->running);
	work_cancel(&all->start);
}
