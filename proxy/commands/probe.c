#include "proxy/commands/probe.h"
#include "core/names.h"
#include "proxy/worker/clients.h"
#include "proxy/explain.h"
#include "proxy/privilege.h"
#include "proxy/seek.h"
#include "proxy/worker/site.h"
#include <sys/wait.h>
#include <unistd.h>

/* Under TLS 1.3 a server tells only behind the handshake that it wants another client certificate, or one. */
enum { AFTERTHOUGHT_MS = 250 };

/* How it went for one target. */
struct probe {
	const struct conf_target *target;
	struct tls_client *client; /* NULL: TLS is not spoken */
	struct place place;
	struct dial dial;
	struct timer timer;
	uint64_t until_ms;
	enum err result; /* ERR_AGAIN: not yet known */
	struct msg_addresses found; /* of one with a name */
	char why[256];   /* of TLS */
};

/* ---- TLS ---- */

static void finish(struct probe *p, enum err e, const char *why)
{
	timer_stop(&p->timer);
	p->result = e;
	snprintf(p->why, sizeof p->why, "%s", why ? why : err_text(e));
}

static void on_late(struct timer *t)
{
	finish(container_of(t, struct probe, timer), ERR_UP_CONNECT_TIMEOUT,
	       "the handshake has no end within timeouts.upstream-connect");
}

static void on_silence(struct timer *t)
{
	finish(container_of(t, struct probe, timer), ERR_OK, NULL);
}

static void on_ready(struct stream *s)
{
	struct probe *p = s->owner;
	char byte;
	ssize_t n = stream_read(s, &byte, 1);

	if (n == -ERR_AGAIN) /* a ticket */
		return;
	stream_want(s, 0);
	finish(p, n == -ERR_TLS ? ERR_TLS : ERR_OK, tls_stream_why(s));
}

static void secured(struct stream *s, enum err e, const char *why)
{
	struct probe *p = s->owner;

	if (e != ERR_OK) {
		finish(p, e, why);
		return;
	}
	p->timer.expired = on_silence;
	timer_set(&p->timer, AFTERTHOUGHT_MS);
	stream_own(s, p, on_ready);
	stream_want(s, STREAM_IN);
}

/* ---- connecting ---- */

static void done(struct dial *d, enum err e)
{
	struct probe *p = container_of(d, struct probe, dial);

	p->result = e;
	if (e != ERR_OK || !p->client)
		return;
	p->result = ERR_AGAIN;
	timer_init(&p->timer, on_late);
	timer_set(&p->timer, p->until_ms - MIN(loop_now_ms(), p->until_ms));
	stream_own(d->stream, p, NULL);
	tls_connect(d->stream, p->client, secured);
}

static void begin(struct probe *p, const struct config *c)
{
	const struct conf_target *t = p->target;
	uint64_t connect_ms = c->global.timeouts.upstream_connect_ms;
	struct place_spec at;

	p->result = ERR_UP_UNREACHABLE;
	if (!site_place(t, &at) || (t->tls && !p->client))
		return;
	place_open(&p->place, &at, NULL);
	p->until_ms = loop_now_ms() + connect_ms;
	p->result = dial_start(&p->dial, &p->place, connect_ms, done);
	if (p->result == ERR_OK)
		done(&p->dial, ERR_OK);
}

/* What is wrong with their files is said elsewhere. */
static void make_clients(const struct config *c, struct probe *probes, size_t n)
{
	struct conf_report unsaid;
	struct clients making;
	struct arena a;
	struct map files;

	arena_init(&a);
	conf_report_init(&unsaid);
	map_init(&files, &a, c->nfiles);
	for (size_t i = 0; i < c->nfiles; i++)
		map_add(&files, map_hash(c->files[i]->path), c->files[i]->path, c->files[i]);
	clients_init(&making, &a, &files, n);
	for (size_t i = 0; i < n; i++)
		if (probes[i].target->tls && clients_are_whole(&making, probes[i].target))
			probes[i].client = clients_make(&making, probes[i].target, &unsaid);
	clients_fini(&making);
	conf_report_fini(&unsaid);
	arena_fini(&a);
}

/* What a worker would be told by its parent. */
static void look_names_up(const struct config *c, struct probe *probes, size_t n)
{
	struct str *names = base_alloc(n * sizeof *names);
	struct msg_addresses *found = base_alloc(n * sizeof *found);
	size_t nnames = 0;

	for (size_t i = 0; i < n; i++)
		if (probes[i].target->is_name)
			names[nnames++] = probes[i].target->address;
	seek_all(names, nnames, c->global.timeouts.resolve_ms, found);
	nnames = 0;
	for (size_t i = 0; i < n; i++)
		if (probes[i].target->is_name) {
			probes[i].found = found[nnames];
			names_set(names[nnames], found[nnames].ips, found[nnames].n);
			nnames++;
		}
	free(names);
	free(found);
}

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

static enum verdict judge(const struct probe *p)
{
	if (p->result == ERR_OK)
		return VERDICT_OK;
	if (p->target->tls && (!p->client || p->result == ERR_TLS || p->result == ERR_UP_CERTIFICATE))
		return VERDICT_FAIL;
	if (p->found.error)
		return seek_is_final(&p->found) ? VERDICT_FAIL : VERDICT_WARN;
	return p->target->is_unix && explain_is_fault(p->dial.sys_errno) ? VERDICT_FAIL : VERDICT_WARN;
}

/* The whole line, when there is none; then true. */
static bool tell_name(const struct probe *p, FILE *out)
{
	static const char *const questions[] = {
		"does the name server of /etc/resolv.conf answer?",
		"is it spelled right, and known to /etc/hosts or the DNS?",
	};
	char text[SEEK_TEXT_BYTES];

	seek_text(&p->found, text);
	if (p->found.error)
		fprintf(out, "the name does not resolve: %s: %s (getent ahosts %.*s)\n", text,
			questions[seek_is_final(&p->found)], STR_ARG(p->target->address));
	else
		fprintf(out, "is %s; ", text);
	return p->found.error;
}

static enum verdict tell(const struct probe *p, const char *user, FILE *out)
{
	static const char *const words[] = { "ok  ", "warn", "FAIL" };
	const struct conf_target *t = p->target;
	enum verdict v = judge(p);
	char path[128], text[EXPLAIN_BYTES];

	fprintf(out, "%s  %.*s (%s:%u:%u): ", words[v], STR_ARG(t->name), t->pos.file, t->pos.line,
		t->pos.column);
	if (t->is_name && tell_name(p, out))
		return v;
	if (v == VERDICT_OK) {
		fprintf(out, "connects as %s%s\n", user, t->tls ? ", over TLS" : "");
	} else if (t->tls && !p->client) {
		fprintf(out, "was not tried: its keys about TLS cannot be used\n");
	} else if (p->why[0]) {
		fprintf(out, "%s%s\n", p->result == ERR_UP_CERTIFICATE ? "" : "no TLS: ", p->why);
	} else if (t->is_unix) {
		snprintf(path, sizeof path, "%.*s", STR_ARG(t->address));
		fprintf(out, "%s\n", explain_unix(path, p->dial.sys_errno, text));
	} else {
		fprintf(out, "%s: is it running, and is this its port?\n", strerror(p->dial.sys_errno));
	}
	return v;
}

/* All at once: one that hangs costs the others nothing. */
static void dial_all(const struct config *c, struct probe *probes, size_t n)
{
	bool waits = true;

	for (size_t i = 0; i < n; i++)
		begin(&probes[i], c);
	while (waits) {
		waits = false;
		for (size_t i = 0; i < n; i++)
			waits |= probes[i].result == ERR_AGAIN;
		if (waits)
			loop_turn(-1);
	}
}

/* Of mounts, and where raw connections go; each once. */
static struct probe *collect(const struct config *c, size_t *n)
{
	struct probe *probes = base_zalloc((c->ntargets + c->nlisteners) * sizeof *probes);

	*n = c->ntargets;
	for (size_t i = 0; i < c->ntargets; i++)
		probes[i].target = c->targets[i];
	for (size_t i = 0; i < c->nlisteners; i++) {
		const struct conf_target *t = c->listeners[i]->vhosts[0]->raw.onward;
		bool is_new = t;

		for (size_t k = 0; is_new && k < *n; k++)
			is_new = !str_eq(probes[k].target->name, t->name);
		if (is_new)
			probes[(*n)++].target = t;
	}
	return probes;
}

/* In a process of its own, for there is no way back. Returns its exit status. */
static int run(const struct config *c, struct probe *probes, size_t n, const struct priv_user *user,
	       unsigned counts[3], FILE *out)
{
	const char *wrong = priv_become(user);

	if (wrong || loop_open() < 0) {
		fprintf(out, "FAIL  cannot become %s: %s: %s\n", user->name, wrong ? wrong : "epoll",
			strerror(errno));
		return EXIT_FAILURE;
	}
	tls_init();
	make_clients(c, probes, n);
	look_names_up(c, probes, n);
	dial_all(c, probes, n);
	for (size_t i = 0; i < n; i++) {
		counts[tell(&probes[i], user->name, out)]++;
		if (probes[i].dial.stream)
			stream_close(probes[i].dial.stream);
		place_close(&probes[i].place);
		if (probes[i].client)
			tls_client_put(probes[i].client);
	}
	names_sweep();
	loop_close();
	tls_fini();
	return EXIT_SUCCESS;
}

static bool fork_and_run(const struct config *c, struct probe *probes, size_t n, const struct priv_user *user,
			 unsigned counts[3], FILE *out)
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
		status = run(c, probes, n, user, counts, out);
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
	size_t n;
	struct probe *probes = collect(c, &n);

	if (found == PRIV_NO_USER || found == PRIV_NO_GROUP)
		conf_report_add(r, CONF_ERROR, (struct conf_pos){ 0 }, NULL, "there is no %s \"%.*s\"",
				found == PRIV_NO_USER ? "user" : "group",
				STR_ARG(found == PRIV_NO_USER ? g->username : g->groupname));
	else if (n && !fork_and_run(c, probes, n, &user, counts, out))
		conf_report_add(r, CONF_ERROR, (struct conf_pos){ 0 }, NULL,
				"the upstreams could not be tried");
	add(r, CONF_WARNING, counts[VERDICT_WARN], "cannot be reached for now");
	add(r, CONF_ERROR, counts[VERDICT_FAIL], "cannot be reached before something is changed");
	priv_fini(&user);
	free(probes);
}
