#include "proxy/parent/control.h"
#include "proxy/parent/issue.h"
#include "proxy/parent/logs.h"
#include "proxy/parent/parent.h"
#include "proxy/parent/reload.h"
#include "proxy/parent/upgrade.h"
#include <sys/socket.h>
#include <unistd.h>

enum {
	CLIENTS_MAX = 32,
	ASK_MS = 5000,   /* from a connection to its request */
	TAKE_MS = 10000, /* without taking any of its answer */
	GROUPS_MAX = 256,
};

static const char *const words[CONTROL_COMMAND_COUNT] = {
#define X(id, word) word,
	CONTROL_COMMAND_TABLE(X)
#undef X
};

enum client_state {
	CLIENT_ASKS,         /* its request has not come yet */
	CLIENT_AWAITS_RELOAD, /* another one is under way */
	CLIENT_IN_RELOAD,
	CLIENT_AWAITS_PICTURE,
	CLIENT_AWAITS_SERVED, /* the configuration is committed */
	CLIENT_AWAITS_UPGRADE, /* its end, whatever comes of it */
	CLIENT_AWAITS_END,    /* of this process */
	CLIENT_LEAVES,        /* when it has taken what is queued */
};

struct packet {
	struct list node;
	size_t n;
	char bytes[];
};

struct client {
	struct list node; /* control.clients */
	struct parent *parent;
	struct event ev;
	struct work work;
	struct timer deadline;
	struct list queue; /* struct packet */
	enum client_state state;
	enum control_command command;
	char *changes;     /* AWAITS_SERVED: to be told then */
	pid_t pid;
	uid_t uid;
	bool is_allowed;
	struct grave grave;
};

const char *control_word(enum control_command c)
{
	return words[c];
}

/* ---- clients: leaving ---- */

static void bury_client(struct grave *g)
{
	free(container_of(g, struct client, grave));
}

static void client_close(struct client *c)
{
	struct control *k = &c->parent->control;

	while (!list_empty(&c->queue))
		free(list_entry(list_pop(&c->queue), struct packet, node));
	free(c->changes);
	timer_stop(&c->deadline);
	work_cancel(&c->work);
	loop_del(&c->ev);
	close(c->ev.fd);
	list_del(&c->node);
	k->nclients--;
	if (k->is_full) {
		k->is_full = false;
		loop_post(&k->accept);
	}
	loop_bury(&c->grave, bury_client);
}

static void too_late(struct timer *t)
{
	client_close(container_of(t, struct client, deadline));
}

/* ---- clients: telling ---- */

/* False: nothing more can be sent now; or never, and it is closed. */
static bool send_first(struct client *c)
{
	struct packet *first = list_entry(c->queue.next, struct packet, node);
	ssize_t r = send(c->ev.fd, first->bytes, first->n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (r < 0 && errno != EINTR) {
		if (errno != EAGAIN && errno != ENOBUFS)
			client_close(c);
		return false;
	}
	if (r >= 0) {
		list_del(&first->node);
		free(first);
		if (timer_is_set(&c->deadline))
			timer_set(&c->deadline, TAKE_MS);
	}
	return true;
}

static void flush(struct client *c)
{
	while (!list_empty(&c->queue))
		if (!send_first(c))
			return;
	if (c->state == CLIENT_LEAVES)
		client_close(c);
}

static void queue(struct client *c, enum control_kind kind, uint32_t status, struct str text)
{
	struct control_reply reply = { kind, status };
	struct packet *p = base_alloc(sizeof *p + sizeof reply + text.n);

	p->n = sizeof reply + text.n;
	memcpy(p->bytes, &reply, sizeof reply);
	if (text.n)
		memcpy(p->bytes + sizeof reply, text.p, text.n);
	list_push(&c->queue, &p->node);
	loop_post(&c->work);
}

/* Whole lines as far as they fit a packet. */
static void say(struct client *c, enum control_kind kind, const char *text)
{
	size_t n = strlen(text);

	while (n) {
		size_t most = MIN(n, (size_t)CONTROL_REPLY_BYTES);
		const char *line = most < n ? memrchr(text, '\n', most) : NULL;
		size_t piece = line ? (size_t)(line - text) + 1 : most;

		queue(c, kind, 0, str_of(text, piece));
		text += piece;
		n -= piece;
	}
}

static void over(struct client *c, int status)
{
	queue(c, CONTROL_OVER, (uint32_t)status, STR_NONE);
	c->state = CLIENT_LEAVES;
	timer_set(&c->deadline, TAKE_MS);
}

/* ---- commands ---- */

static void await_reload(struct client *c)
{
	c->state = CLIENT_AWAITS_RELOAD;
	timer_stop(&c->deadline); /* a reload has one of its own */
	control_next(c->parent);
}

static void reopen(struct client *c)
{
	logs_reopen(c->parent);
	log_note("log files are opened anew");
	over(c, EXIT_SUCCESS);
}

static void stop(struct client *c)
{
	char text[96];

	snprintf(text, sizeof text, "stopping: requests in progress get %llu ms (timeouts.drain)\n",
		 (unsigned long long)c->parent->current.conf->global.timeouts.drain_ms);
	say(c, CONTROL_SAYS, text);
	c->state = CLIENT_AWAITS_END;
	timer_stop(&c->deadline); /* the end has one of its own */
	parent_terminate(c->parent);
}

static void tell_certificates(struct client *c)
{
	char *text = issue_tell(c->parent);

	say(c, CONTROL_SAYS, text);
	free(text);
	over(c, EXIT_SUCCESS);
}

static void ask_certificate(struct client *c, enum msg_acme_verb verb, struct str name)
{
	bool ok;
	char *text = issue_ask(c->parent, verb, name, &ok);

	say(c, ok ? CONTROL_SAYS : CONTROL_WARNS, text);
	free(text);
	over(c, ok ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void upgrade(struct client *c)
{
	const char *wrong = upgrade_start(c->parent);

	if (wrong) {
		say(c, CONTROL_WARNS, "gatehouse: no upgrade: ");
		say(c, CONTROL_WARNS, wrong);
		say(c, CONTROL_WARNS, "\n");
		over(c, EXIT_FAILURE);
	} else {
		c->state = CLIENT_AWAITS_UPGRADE;
		timer_stop(&c->deadline); /* an upgrade has one of its own */
	}
}

/* name: of what, where the command is about one of several. */
static void carry_out(struct client *c, struct str name)
{
	log_info("control: %s, asked for by uid %u, pid %d", words[c->command], (unsigned)c->uid,
		 (int)c->pid);
	if (c->parent->state == PARENT_STOPPING) {
		say(c, CONTROL_WARNS, "gatehouse: not now: it is stopping\n");
		over(c, EXIT_FAILURE);
		return;
	}
	switch (c->command) {
	case CONTROL_STATUS:
		c->state = CLIENT_AWAITS_PICTURE;
		/* before that, workers have nothing to tell */
		if (c->parent->state == PARENT_SERVING)
			collect_start(c->parent);
		break;
	case CONTROL_RELOAD:
	case CONTROL_TRY:
		await_reload(c);
		break;
	case CONTROL_REOPEN:
		reopen(c);
		break;
	case CONTROL_CERT:
		tell_certificates(c);
		break;
	case CONTROL_CERT_RENEW:
		ask_certificate(c, MSG_ACME_RENEW, name);
		break;
	case CONTROL_CERT_REVOKE:
		ask_certificate(c, MSG_ACME_REVOKE, name);
		break;
	case CONTROL_STOP:
		stop(c);
		break;
	case CONTROL_UPGRADE:
		upgrade(c);
		break;
	case CONTROL_COMMAND_COUNT:
		break;
	}
}

static bool takes_name(enum control_command c)
{
	return c == CONTROL_CERT_RENEW || c == CONTROL_CERT_REVOKE;
}

static void understand(struct client *c, struct str request)
{
	const char *nul = request.n ? memchr(request.p, 0, request.n) : NULL;
	struct str word = str_of(request.p, nul ? (size_t)(nul - request.p) : request.n);
	struct str name = nul ? str_of(nul + 1, request.n - word.n - 1) : STR_NONE;

	for (size_t i = 0; i < CONTROL_COMMAND_COUNT; i++)
		if (str_eq(word, str_from_c(words[i])) && (name.n || !nul) &&
		    takes_name((enum control_command)i) == (name.n > 0)) {
			c->command = (enum control_command)i;
			carry_out(c, name);
			return;
		}
	say(c, CONTROL_WARNS, "gatehouse: the one that runs does not know this command: it is another "
			      "version\n");
	over(c, EXIT_FAILURE);
}

/* One request; whatever else comes before the end of the connection is its fault. */
static bool receive(struct client *c)
{
	char request[CONTROL_REQUEST_BYTES + 1];
	ssize_t n = recv(c->ev.fd, request, sizeof request, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0 || c->state != CLIENT_ASKS || n > CONTROL_REQUEST_BYTES) {
		client_close(c);
		return false;
	}
	if (c->is_allowed) {
		understand(c, str_of(request, (size_t)n));
	} else {
		/* not before it has asked: what it sends to a closed socket would take the answer away */
		log_warn("control: uid %u may not ask for anything", (unsigned)c->uid);
		over(c, CONTROL_NOT_ALLOWED);
	}
	return true;
}

static void run_client(struct work *w)
{
	struct client *c = container_of(w, struct client, work);

	if (receive(c))
		flush(c);
}

static void client_ready(struct event *ev, uint32_t bits)
{
	(void)bits;
	loop_post(&container_of(ev, struct client, ev)->work);
}

/* ---- clients: coming ---- */

/* The file's mode has let it in; this holds when somebody changed that. */
static bool may_ask(const struct control *k, int fd, const struct ucred *who)
{
	gid_t groups[GROUPS_MAX];
	socklen_t n = sizeof groups;

	if (who->uid == 0 || who->uid == geteuid())
		return true;
	if (k->group == (gid_t)-1)
		return false;
	if (who->gid == k->group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) < 0)
		return false;
	for (size_t i = 0; i < n / sizeof *groups; i++)
		if (groups[i] == k->group)
			return true;
	return false;
}

static void client_new(struct parent *p, int fd)
{
	struct ucred who = { 0 };
	socklen_t n = sizeof who;
	struct client *c;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0) {
		close(fd);
		return;
	}
	c = base_zalloc(sizeof *c);
	c->parent = p;
	c->is_allowed = may_ask(&p->control, fd, &who);
	c->pid = who.pid;
	c->uid = who.uid;
	c->ev = (struct event){ fd, client_ready };
	list_init(&c->queue);
	work_init(&c->work, run_client);
	timer_init(&c->deadline, too_late);
	if (loop_add(&c->ev, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) < 0) {
		close(fd);
		free(c);
		return;
	}
	timer_set(&c->deadline, ASK_MS);
	list_push(&p->control.clients, &c->node);
	p->control.nclients++;
}

/* Edge-triggered: what stays in the backlog is taken when somebody leaves. */
static void accept_all(struct work *w)
{
	struct control *k = container_of(w, struct control, accept);
	struct parent *p = container_of(k, struct parent, control);
	int fd;

	while (k->nclients < CLIENTS_MAX) {
		fd = k->fd ? accept4(k->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;
		if (fd < 0)
			return;
		client_new(p, fd);
	}
	k->is_full = true;
}

/* ---- the whole ---- */

void control_init(struct parent *p)
{
	list_init(&p->control.clients);
	work_init(&p->control.accept, accept_all);
}

void control_close(struct parent *p)
{
	struct control *k = &p->control;

	control_close_socket(p);
	work_cancel(&k->accept);
	list_for_each_safe(n, tmp, &k->clients) {
		struct client *c = list_entry(n, struct client, node);

		if (c->state == CLIENT_AWAITS_END)
			over(c, p->exit_status);
		while (!list_empty(&c->queue) && send_first(c))
			;
	}
	while (!list_empty(&k->clients))
		client_close(list_entry(k->clients.next, struct client, node));
}

/* ---- status ---- */

void control_pictured(struct parent *p, const struct picture *picture)
{
	char *part = base_alloc(CONTROL_REPLY_BYTES);

	list_for_each(n, &p->control.clients) {
		struct client *c = list_entry(n, struct client, node);
		size_t next = 0;

		if (c->state != CLIENT_AWAITS_PICTURE)
			continue;
		while (next < picture->n) {
			size_t bytes = picture_fill(picture, &next, part, CONTROL_REPLY_BYTES);

			queue(c, CONTROL_ROWS, (uint32_t)picture_version(), str_of(part, bytes));
		}
		over(c, EXIT_SUCCESS);
	}
	free(part);
}

/* ---- reloads ---- */

static bool wants(const struct client *c, bool dry)
{
	return c->command == (dry ? CONTROL_TRY : CONTROL_RELOAD);
}

void control_reload_begins(struct parent *p, bool dry)
{
	list_for_each(n, &p->control.clients) {
		struct client *c = list_entry(n, struct client, node);

		if (c->state == CLIENT_AWAITS_RELOAD && wants(c, dry))
			c->state = CLIENT_IN_RELOAD;
	}
}

static uint64_t tunnels(const struct parent *p)
{
	uint64_t sum = 0;

	list_for_each(n, &p->children) {
		const struct child *c = list_entry(n, struct child, node);

		sum += c->counts.tunnels + c->counts.relays;
	}
	return sum;
}

/* The first line says in addition what is not touched. */
static void say_changes(struct client *c, const char *changes)
{
	size_t first = strcspn(changes, "\n");
	uint64_t n = tunnels(c->parent);
	char *text = NULL;
	size_t bytes = 0;
	FILE *f = open_memstream(&text, &bytes);

	BUG_ON(!f);
	fwrite(changes, 1, first, f);
	if (n)
		fprintf(f, ", %llu tunnel%s", (unsigned long long)n, n == 1 ? " stays" : "s stay");
	fputs(changes + first, f);
	BUG_ON(fclose(f) != 0);
	say(c, CONTROL_SAYS, text);
	free(text);
	over(c, EXIT_SUCCESS);
}

void control_reload_over(struct parent *p, const char *said, const char *changes, bool dry)
{
	list_for_each(n, &p->control.clients) {
		struct client *c = list_entry(n, struct client, node);

		if (c->state != CLIENT_IN_RELOAD || !wants(c, dry))
			continue;
		if (said)
			say(c, CONTROL_WARNS, said);
		if (!changes) {
			say(c, CONTROL_WARNS, dry ? "this configuration cannot be served\n" :
						    "the configuration was not reloaded: the one before "
						    "goes on being served\n");
			over(c, EXIT_FAILURE);
		} else if (dry) {
			say_changes(c, changes);
		} else {
			c->changes = strdup(changes);
			c->state = CLIENT_AWAITS_SERVED;
		}
	}
}

void control_served(struct parent *p)
{
	list_for_each(n, &p->control.clients) {
		struct client *c = list_entry(n, struct client, node);

		if (c->state == CLIENT_AWAITS_SERVED)
			say_changes(c, c->changes ? c->changes : "\n");
		else if (c->state == CLIENT_AWAITS_PICTURE)
			collect_start(p);
	}
}

void control_upgrade_over(struct parent *p, const char *said, pid_t pid)
{
	char text[96];

	snprintf(text, sizeof text, "process %d serves now: what is in progress is finished by process %d\n",
		 (int)pid, (int)getpid());
	list_for_each(n, &p->control.clients) {
		struct client *c = list_entry(n, struct client, node);

		if (pid && c->state == CLIENT_AWAITS_RELOAD) {
			say(c, CONTROL_WARNS, "gatehouse: an upgrade came between: ask again\n");
			over(c, EXIT_FAILURE);
		}
		if (c->state != CLIENT_AWAITS_UPGRADE)
			continue;
		if (said)
			say(c, CONTROL_WARNS, said);
		say(c, pid ? CONTROL_SAYS : CONTROL_WARNS, pid ? text : "no upgrade: nothing has changed\n");
		over(c, pid ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	if (pid)
		control_lend(p);
}

void control_next(struct parent *p)
{
	bool real = false, dry = false;

	if (p->reload.phase != RELOAD_IDLE || p->state != PARENT_SERVING)
		return;
	list_for_each(n, &p->control.clients) {
		struct client *c = list_entry(n, struct client, node);

		real |= c->state == CLIENT_AWAITS_RELOAD && wants(c, false);
		dry |= c->state == CLIENT_AWAITS_RELOAD && wants(c, true);
	}
	if (real)
		reload_start(p);
	else if (dry)
		reload_try(p);
}
