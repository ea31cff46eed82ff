#include "proxy/probe.h"
#include "core/target.h"
#include "proxy/explain.h"
#include "proxy/privilege.h"
#include "proxy/site.h"
#include <sys/wait.h>
#include <unistd.h>

/* How it went for one target. */
struct probe {
	const struct conf_target *target;
	struct place place;
	struct dial dial;
	enum err result; /* ERR_AGAIN: not yet known */
};

static void done(struct dial *d, enum err e)
{
	container_of(d, struct probe, dial)->result = e;
}

static void begin(struct probe *p, const struct config *c, const struct conf_target *t)
{
	struct place_spec at;

	p->target = t;
	p->result = ERR_UP_UNREACHABLE;
	if (!site_place(t, &at))
		return;
	place_open(&p->place, &at, NULL);
	p->result = dial_start(&p->dial, &p->place, c->global.timeouts.upstream_connect_ms, done);
}

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

static enum verdict judge(const struct probe *p)
{
	if (p->result == ERR_OK)
		return VERDICT_OK;
	return p->target->is_unix && explain_is_fault(p->dial.sys_errno) ? VERDICT_FAIL : VERDICT_WARN;
}

static enum verdict tell(const struct probe *p, const char *user, FILE *out)
{
	static const char *const words[] = { "ok  ", "warn", "FAIL" };
	const struct conf_target *t = p->target;
	enum verdict v = judge(p);
	char path[128], text[EXPLAIN_BYTES];

	fprintf(out, "%s  %.*s (%s:%u:%u): ", words[v], STR_ARG(t->name), t->pos.file, t->pos.line,
		t->pos.column);
	if (v == VERDICT_OK) {
		fprintf(out, "connects as %s\n", user);
	} else if (t->is_unix) {
		snprintf(path, sizeof path, "%.*s", STR_ARG(t->address));
		fprintf(out, "%s\n", explain_unix(path, p->dial.sys_errno, text));
	} else {
		fprintf(out, "%s: is it running, and is this its port?\n", strerror(p->dial.sys_errno));
	}
	return v;
}

/* All at once: one that hangs costs the others nothing. */
static void dial_all(const struct config *c, struct probe *probes)
{
	bool waits = true;

	for (size_t i = 0; i < c->ntargets; i++)
		begin(&probes[i], c, c->targets[i]);
	while (waits) {
		waits = false;
		for (size_t i = 0; i < c->ntargets; i++)
			waits |= probes[i].result == ERR_AGAIN;
		if (waits)
			loop_turn(-1);
	}
}

/* In a process of its own, for there is no way back. Returns its exit status. */
static int run(const struct config *c, const struct priv_user *user, unsigned counts[3], FILE *out)
{
	struct probe *probes = base_zalloc(c->ntargets * sizeof *probes);
	const char *wrong = priv_become(user);

	if (wrong || loop_open() < 0) {
		fprintf(out, "FAIL  cannot become %s: %s: %s\n", user->name, wrong ? wrong : "epoll",
			strerror(errno));
		return EXIT_FAILURE;
	}
	dial_all(c, probes);
	for (size_t i = 0; i < c->ntargets; i++) {
		counts[tell(&probes[i], user->name, out)]++;
		if (probes[i].result == ERR_OK)
			stream_close(probes[i].dial.stream);
		place_close(&probes[i].place);
	}
	loop_close();
	free(probes);
	return EXIT_SUCCESS;
}

static bool fork_and_run(const struct config *c, const struct priv_user *user, unsigned counts[3], FILE *out)
{
	size_t bytes = 3 * sizeof *counts;
	int fd[2], status;
	bool ok;
	pid_t pid;

	if (pipe(fd) < 0)
		return false;
	fflush(out);
	pid = fork();
	if (pid == 0) {
		status = run(c, user, counts, out);
		fflush(out);
		_exit(write(fd[1], counts, bytes) == (ssize_t)bytes ? status : EXIT_FAILURE);
	}
	close(fd[1]);
	ok = pid > 0 && read(fd[0], counts, bytes) == (ssize_t)bytes;
	close(fd[0]);
	return pid > 0 && waitpid(pid, &status, 0) == pid && ok && status == 0;
}

static void add(struct conf_report *r, enum conf_severity severity, unsigned n, const char *what)
{
	if (n)
		conf_report_add(r, severity, (struct conf_pos){ 0 }, NULL, "%u upstream%s %s", n,
				n == 1 ? "" : "s", what);
}

void probe_upstreams(const struct config *c, struct conf_report *r, FILE *out)
{
	const struct conf_global *g = &c->global;
	unsigned counts[3] = { 0 };
	struct priv_user user;
	enum priv_found found = priv_find(&user, g->username, g->groupname, false);

	if (found == PRIV_NO_USER || found == PRIV_NO_GROUP)
		conf_report_add(r, CONF_ERROR, (struct conf_pos){ 0 }, NULL, "there is no %s \"%.*s\"",
				found == PRIV_NO_USER ? "user" : "group",
				STR_ARG(found == PRIV_NO_USER ? g->username : g->groupname));
	else if (c->ntargets && !fork_and_run(c, &user, counts, out))
		conf_report_add(r, CONF_ERROR, (struct conf_pos){ 0 }, NULL,
				"the upstreams could not be tried");
	add(r, CONF_WARNING, counts[VERDICT_WARN], "cannot be reached for now");
	add(r, CONF_ERROR, counts[VERDICT_FAIL], "cannot be reached before something is changed");
	priv_fini(&user);
}
