/*
 * resolver.c - a process for each look-up, so that a slow name delays none: it asks the C library, tells by a
 * pipe, and is ended by its own alarm when that takes too long.
 */
#include "proxy/resolver.h"
#include "core/log.h"
#include "proxy/born.h"
#include "proxy/child.h"
#include "proxy/helper.h"
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <unistd.h>

enum {
	RUNNING_MAX = 64,   /* look-ups at once; more wait */
	GRACE_MS = 500,     /* for a look-up to end by itself */
	APART_MS = 1000,    /* of two look-ups of one name */
};

struct resolver {
	struct msg_channel parent;
	struct list names;
	struct list waiting; /* name.wait */
	unsigned running;
};

struct name {
	struct list node, wait;
	struct resolver *resolver;
	struct msg_name how;
	uint64_t begun_ms;  /* of the last look-up */
	struct event ev;    /* its pipe; -1: none is under way */
	struct work answer;
	struct timer timer; /* the next one; the end of this one */
	struct grave grave;
	struct str text;
	char bytes[];
};

/* ---- the look-up ---- */

/*
 * In the order in which the C library has sorted them (RFC 6724), but one family after the other (RFC 8305
 * section 4): if one leads nowhere, not all of its addresses are tried first.
 */
static void gather(struct msg_addresses *out, const struct addrinfo *list)
{
	const struct addrinfo *next[2] = { list, list };
	size_t turn = list->ai_family == AF_INET6;

	while (out->n < ADDRS_MAX && (next[0] || next[1])) {
		const struct addrinfo **i = &next[turn];
		struct ip ip;
		bool is_new;

		while (*i && (*i)->ai_family != (turn ? AF_INET6 : AF_INET))
			*i = (*i)->ai_next;
		turn = !turn;
		if (!*i)
			continue;
		is_new = ip_from_sockaddr(&ip, (*i)->ai_addr);
		*i = (*i)->ai_next;
		for (uint32_t k = 0; is_new && k < out->n; k++)
			is_new = memcmp(&out->ips[k], &ip, sizeof ip) != 0;
		if (is_new)
			out->ips[out->n++] = ip;
	}
}

void resolver_look_up(const char *name, struct msg_addresses *out)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;

	*out = (struct msg_addresses){ 0 };
	out->error = getaddrinfo(name, NULL, &hints, &list);
	if (out->error == EAI_SYSTEM)
		out->error = errno ? errno : EIO;
	if (out->error == 0) {
		gather(out, list);
		freeaddrinfo(list);
		if (out->n == 0)
			out->error = EAI_NODATA;
	}
}

NORETURN static void be_look_up(struct str text, uint64_t deadline_ms, int fd)
{
	const struct itimerval alarm = {
		.it_value = { (time_t)(deadline_ms / 1000), (suseconds_t)(deadline_ms % 1000 * 1000) },
	};
	struct msg_addresses a;
	char name[MSG_NAME_MAX + 1];

	snprintf(name, sizeof name, "%.*s", STR_ARG(text));
	/* nothing of the resolver's own stays open, nor does this live longer */
	if (dup2(fd, CHILD_SOCKET) < 0 || close_range(CHILD_SOCKET + 1, ~0U, 0) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || setitimer(ITIMER_REAL, &alarm, NULL) < 0)
		_exit(EXIT_FAILURE);
	resolver_look_up(name, &a);
	_exit(write(CHILD_SOCKET, &a, sizeof a) == (ssize_t)sizeof a ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* ---- one after the other ---- */

static void begin(struct name *m);

static void tell(struct name *m, const struct msg_addresses *a)
{
	msg_send2(&m->resolver->parent, MSG_FOUND, a, sizeof *a, m->text, -1);
	timer_set(&m->timer, m->how.interval_ms);
}

static void tell_error(struct name *m, int error)
{
	const struct msg_addresses a = { .error = error };

	tell(m, &a);
}

static void stop(struct name *m)
{
	struct resolver *r = m->resolver;

	timer_stop(&m->timer);
	work_cancel(&m->answer);
	list_del(&m->wait);
	if (m->ev.fd < 0)
		return;
	loop_del(&m->ev);
	close(m->ev.fd);
	m->ev.fd = -1;
	r->running--;
	if (!list_empty(&r->waiting))
		begin(list_entry(list_pop(&r->waiting), struct name, wait));
}

/* It was made by a process that has read what others sent. */
static bool makes_sense(const struct msg_addresses *a, ssize_t bytes)
{
	static const struct ip none = { .is_ip6 = 0 };

	if (bytes != (ssize_t)sizeof *a || a->n > ADDRS_MAX || (a->n == 0) != (a->error != 0))
		return false;
	for (uint32_t i = 0; i < ADDRS_MAX; i++)
		if (i < a->n ? !ip_is_valid(&a->ips[i]) : memcmp(&a->ips[i], &none, sizeof none) != 0)
			return false;
	return true;
}

/* It writes all at once; without a word it has died, mostly by its alarm. */
static void on_answer(struct work *w)
{
	struct name *m = container_of(w, struct name, answer);
	bool is_late = loop_now_ms() - m->begun_ms >= m->how.deadline_ms;
	struct msg_addresses a;
	ssize_t r = read(m->ev.fd, &a, sizeof a);

	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	stop(m);
	if (r == 0)
		tell_error(m, is_late ? ETIMEDOUT : EAI_FAIL);
	else if (makes_sense(&a, r))
		tell(m, &a);
	else
		tell_error(m, EBADMSG);
}

static void on_pipe(struct event *ev, uint32_t bits)
{
	(void)bits;
	loop_post(&container_of(ev, struct name, ev)->answer);
}

static void on_timer(struct timer *t)
{
	struct name *m = container_of(t, struct name, timer);

	if (m->ev.fd < 0) {
		begin(m);
	} else {
		stop(m);
		tell_error(m, ETIMEDOUT);
	}
}

static int start(struct name *m)
{
	int fd[2];
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) < 0)
		return errno;
	m->ev.fd = fd[0];
	if (fcntl(fd[0], F_SETFL, O_NONBLOCK) < 0 || loop_add(&m->ev, EPOLLIN) < 0) {
		pid = -1;
	} else {
		pid = fork();
		if (pid == 0)
			be_look_up(m->text, m->how.deadline_ms, fd[1]);
		if (pid < 0)
			loop_del(&m->ev);
	}
	close(fd[1]);
	if (pid > 0)
		return 0;
	close(fd[0]);
	m->ev.fd = -1;
	return EAGAIN;
}

/* Now, or when another has ended. */
static void begin(struct name *m)
{
	struct resolver *r = m->resolver;
	int e;

	timer_stop(&m->timer);
	if (r->running == RUNNING_MAX) {
		if (list_empty(&m->wait))
			list_push(&r->waiting, &m->wait);
		return;
	}
	m->begun_ms = loop_now_ms();
	e = start(m);
	if (e) {
		tell_error(m, e);
		return;
	}
	r->running++;
	timer_set(&m->timer, m->how.deadline_ms + GRACE_MS);
}

/* ---- which ---- */

static struct resolver *resolver_of(struct msg_channel *c)
{
	return container_of(c, struct resolver, parent);
}

static struct name *find(struct resolver *r, struct str text)
{
	list_for_each(n, &r->names) {
		struct name *m = list_entry(n, struct name, node);

		if (str_eq(m->text, text))
			return m;
	}
	return NULL;
}

static struct name *name_new(struct resolver *r, struct str text)
{
	struct name *m = base_zalloc(sizeof *m + text.n);

	memcpy(m->bytes, text.p, text.n);
	m->text = str_of(m->bytes, text.n);
	m->resolver = r;
	m->ev = (struct event){ -1, on_pipe };
	work_init(&m->answer, on_answer);
	timer_init(&m->timer, on_timer);
	list_init(&m->wait);
	list_push(&r->names, &m->node);
	return m;
}

bool resolver_on_name(struct msg_channel *c, struct msg_in *m)
{
	struct resolver *r = resolver_of(c);
	const struct msg_name *how = m->data;
	struct str text = str_of((const char *)m->data + sizeof *how, m->n - sizeof *how);
	struct name *name = find(r, text);
	uint64_t since_ms;

	if (!name) {
		name = name_new(r, text);
		name->how = *how;
		begin(name);
		return true;
	}
	name->how = *how;
	since_ms = loop_now_ms() - name->begun_ms;
	if (name->ev.fd < 0 && list_empty(&name->wait))
		timer_set(&name->timer, since_ms < APART_MS ? APART_MS - since_ms : 0);
	return true;
}

static void bury(struct grave *g)
{
	free(container_of(g, struct name, grave));
}

static void forget(struct name *m)
{
	list_del(&m->node);
	stop(m);
	loop_bury(&m->grave, bury);
}

bool resolver_on_name_gone(struct msg_channel *c, struct msg_in *m)
{
	struct name *name = find(resolver_of(c), str_of(m->data, m->n));

	if (name)
		forget(name);
	return name;
}

/* ---- the whole ---- */

int resolver_run(void)
{
	struct resolver r = { .running = 0 };

	/* nobody waits for look-ups: their pipes tell */
	signal(SIGCHLD, SIG_IGN);
	list_init(&r.names);
	list_init(&r.waiting);
	if (!born_begin(&r.parent, MSG_RESOLVER, &handlers_resolver, helper_ended))
		return EXIT_FAILURE;
	loop_run();
	msg_close(&r.parent);
	while (!list_empty(&r.waiting))
		list_pop(&r.waiting);
	list_for_each_safe(n, next, &r.names)
		forget(list_entry(n, struct name, node));
	loop_turn(0);
	loop_close();
	return EXIT_SUCCESS;
}
