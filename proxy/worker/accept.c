#include "proxy/worker/accept.h"
#include "core/log.h"
#include "proxy/worker/conn.h"
#include <netinet/in.h>
#include <unistd.h>

enum {
	AGAIN_FIRST_MS = 20,   /* how long no connections are taken, then twice that ... */
	AGAIN_MAX_MS = 1000,
	NO_FDS_MS = 100,
	QUEUED_MAX = 4096,     /* connections taken at the last moment */
	SHARE_SLACK = 4,       /* connections more than the mean that mean nothing */
};

/* ---- what a socket's connections belong to ---- */

struct row {
	struct list node; /* listening.rows */
	struct door *door;
	uint64_t generation;
	bool is_any;      /* whatever no other row of the socket names */
	uint8_t ip[16];
};

struct listening {
	struct event ev;
	struct work work;
	struct list node; /* accept.sockets */
	struct list rows;
	struct accept *accept;
	uint32_t id;
	bool armed;
};

static struct door *find_door(struct accept *a, struct str name)
{
	struct door *d;

	list_for_each(n, &a->doors) {
		d = list_entry(n, struct door, node);
		if (!d->last && str_eq(d->name, name))
			return d;
	}
	d = base_zalloc(sizeof *d + name.n);
	memcpy(d->bytes, name.p, name.n);
	d->name = str_of(d->bytes, name.n);
	d->accept = a;
	d->admit = &a->admit;
	list_init(&d->conns);
	list_push(&a->doors, &d->node);
	return d;
}

static void free_unused_door(struct door *d)
{
	if (d->rows || !list_empty(&d->conns))
		return;
	if (d->last)
		site_put(d->last);
	list_del(&d->node);
	free(d);
}

static void remove_row(struct row *r)
{
	list_del(&r->node);
	r->door->rows--;
	free(r);
}

/* The local end's address as rows have it. */
static void ip_of(const struct sockaddr_storage *local, uint8_t ip[16])
{
	memset(ip, 0, 16);
	if (local->ss_family == AF_INET6)
		memcpy(ip, &((const struct sockaddr_in6 *)local)->sin6_addr, 16);
	else if (local->ss_family == AF_INET)
		memcpy(ip, &((const struct sockaddr_in *)local)->sin_addr, 4);
}

static struct door *door_of(const struct listening *l, const struct sockaddr_storage *local)
{
	struct door *any = NULL;
	uint8_t ip[16];

	ip_of(local, ip);
	list_for_each(n, &l->rows) {
		struct row *r = list_entry(n, struct row, node);

		if (r->generation != l->accept->generation)
			continue;
		if (r->is_any)
			any = r->door;
		else if (memcmp(r->ip, ip, sizeof ip) == 0)
			return r->door;
	}
	return any;
}

/* Connections can only be taken by the rows of the configuration that is served. */
static bool has_row(const struct listening *l, uint64_t generation)
{
	list_for_each(n, &l->rows)
		if (list_entry(n, struct row, node)->generation == generation)
			return true;
	return false;
}

/* ---- connections ---- */

/* Called by the connection itself when it has ended. */
static void forget(struct conn *c)
{
	struct door *d = c->door;
	struct accept *a = d->accept;

	list_del(&c->node);
	list_del(&c->all_node);
	free_unused_door(d);
	count_sub(a->count);
	admit_leave(&a->admit, c->address_hash);
	a->nconns--;
	a->recheck = true;
}

/* ---- taking connections ---- */

static void welcome(struct listening *l, int fd, const struct sockaddr_storage *peer, socklen_t peer_len)
{
	struct accept *a = l->accept;
	struct sockaddr_storage local = { .ss_family = AF_UNSPEC };
	socklen_t local_len = sizeof local;
	struct door *door;
	struct stream *s;
	struct conn *c;

	a->taken++;
	if (getsockname(fd, (struct sockaddr *)&local, &local_len) < 0 || !(door = door_of(l, &local))) {
		close(fd);
		return;
	}
	s = stream_new(fd);
	if (!s)
		return;
	c = conn_new(s, door, forget);
	site_conn_init(&c->facts, door->name, (const struct sockaddr *)peer, peer_len,
		       (const struct sockaddr *)&local, local_len);
	list_push(&door->conns, &c->node);
	list_push(&a->conns, &c->all_node);
	count_add(a->count);
	a->nconns++;
	a->recheck = true;
	conn_begin(c);
}

static bool is_full(struct accept *a)
{
	uint64_t limit = site_config(site_current())->global.limits.connections;

	if (count_sum(a->count).connections < limit)
		return false;
	if (admit_may_say(&a->admit))
		log_warn("%llu connections (limits.connections): new ones wait", (unsigned long long)limit);
	return true;
}

/* Returns false when there is none, or it is not the time. */
static bool take_one(struct listening *l)
{
	struct accept *a = l->accept;
	struct sockaddr_storage peer = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof peer;
	int fd;

	if (is_full(a)) {
		a->recheck = true;
		return false;
	}
	fd = accept4(l->ev.fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		welcome(l, fd, &peer, len);
		return true;
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
		if (admit_may_say(&a->admit))
			log_error("cannot take connections: %s", strerror(errno));
		a->fds_until_ms = loop_now_ms() + NO_FDS_MS;
		a->recheck = true;
		return false;
	}
	/* an error of the connection that was in front: the next may be fine */
	return errno != EAGAIN && errno != EINVAL;
}

static void ready(struct event *ev, uint32_t bits)
{
	(void)bits;
	loop_post(&container_of(ev, struct listening, ev)->work);
}

static void arm(struct listening *l, bool on)
{
	int r;

	if (l->armed == on)
		return;
	if (!on) {
		loop_del(&l->ev);
		l->armed = false;
		return;
	}
	r = loop_add(&l->ev, EPOLLIN | EPOLLEXCLUSIVE);
	l->armed = r == 0;
	if (r < 0)
		log_error("cannot watch a listening socket: %s", strerror(-r));
}

/*
 * One a turn. Of the workers that sleep, the kernel wakes the one that has watched the socket longest:
 * whoever has more connections than the mean begins to watch anew, behind the others.
 */
static void take(struct work *w)
{
	struct listening *l = container_of(w, struct listening, work);
	struct count_sum sum;

	if (!take_one(l) || !l->armed)
		return;
	sum = count_sum(l->accept->count);
	if ((uint64_t)count_mine(l->accept->count) * sum.workers > sum.shared) {
		arm(l, false);
		arm(l, true);
	}
}

/* ---- whether to take connections: judged before the worker sleeps ---- */

/* An eighth more than the mean: let the others. */
static bool has_its_share(const struct count_sum *sum, unsigned mine)
{
	return mine > SHARE_SLACK &&
	       (uint64_t)(mine - SHARE_SLACK) * sum->workers * 8 > (uint64_t)sum->shared * 9;
}

static void judge(struct accept *a)
{
	const struct config *conf = site_config(site_current());
	struct count_sum sum = count_sum(a->count);
	bool cannot = slab_room() == 0 || loop_now_ms() < a->fds_until_ms ||
		      sum.connections >= conf->global.limits.connections;
	bool held = cannot || has_its_share(&sum, count_mine(a->count));

	count_set_state(a->count, held ? COUNT_WAITS : COUNT_TAKES);
	if (held && !cannot && count_sum(a->count).takers == 0) {
		held = false;
		count_set_state(a->count, COUNT_TAKES);
	}
	if (!held) {
		a->again_ms = 0;
		timer_stop(&a->again);
	} else if (!timer_is_set(&a->again)) {
		/* nobody tells when it is over: look, ever more rarely as long as nothing changes */
		a->again_ms = MIN(MAX(2 * a->again_ms, (uint64_t)AGAIN_FIRST_MS), (uint64_t)AGAIN_MAX_MS);
		timer_set(&a->again, a->again_ms);
	}
	a->held = held;
	list_for_each(n, &a->sockets) {
		struct listening *l = list_entry(n, struct listening, node);

		arm(l, !held && has_row(l, a->generation));
	}
}

static void at_turn_end(struct loop_hook *h)
{
	struct accept *a = container_of(h, struct accept, hook);

	if (a->draining || !a->generation)
		return;
	if (a->recheck) {
		a->recheck = false;
		a->again_ms = 0;
		timer_stop(&a->again);
		judge(a);
	} else if (a->held || slab_room() == 0) {
		judge(a);
	}
}

/*
 * Whoever was held takes one connection more whatever the mean says: the others may be stuck, and then it
 * goes on at this pace.
 */
static void look_again(struct timer *t)
{
	struct accept *a = container_of(t, struct accept, again);

	judge(a);
	if (a->held && loop_now_ms() >= a->fds_until_ms && slab_room())
		list_for_each(n, &a->sockets) {
			struct listening *l = list_entry(n, struct listening, node);

			if (has_row(l, a->generation))
				loop_post(&l->work);
		}
}

/* ---- sockets and rows, as the parent says ---- */

void accept_init(struct accept *a, struct count *count)
{
	*a = (struct accept){ .count = count };
	admit_init(&a->admit, count);
	list_init(&a->sockets);
	list_init(&a->doors);
	list_init(&a->conns);
	timer_init(&a->again, look_again);
	loop_hook_add(&a->hook, at_turn_end);
}

static struct listening *find_socket(struct accept *a, uint32_t id)
{
	list_for_each(n, &a->sockets) {
		struct listening *l = list_entry(n, struct listening, node);

		if (l->id == id)
			return l;
	}
	return NULL;
}

bool accept_add_socket(struct accept *a, uint32_t id, int fd)
{
	struct listening *l;

	if (find_socket(a, id)) {
		close(fd);
		return false;
	}
	l = base_zalloc(sizeof *l);
	l->ev = (struct event){ fd, ready };
	work_init(&l->work, take);
	list_init(&l->rows);
	l->accept = a;
	l->id = id;
	list_push(&a->sockets, &l->node);
	return true;
}

/* What the kernel has queued would be reset with the last descriptor. */
static void take_queued(struct listening *l)
{
	for (int i = 0; i < QUEUED_MAX && take_one(l); i++)
		;
}

static void close_socket(struct listening *l)
{
	arm(l, false);
	work_cancel(&l->work);
	while (!list_empty(&l->rows)) {
		struct door *d = list_entry(l->rows.next, struct row, node)->door;

		remove_row(list_entry(l->rows.next, struct row, node));
		free_unused_door(d);
	}
	list_del(&l->node);
	close(l->ev.fd);
	free(l);
}

bool accept_remove_socket(struct accept *a, uint32_t id)
{
	struct listening *l = find_socket(a, id);

	if (l)
		close_socket(l);
	return l != NULL;
}

bool accept_add_row(struct accept *a, const struct msg_address *m, struct str listener)
{
	struct listening *l = find_socket(a, m->id);
	struct row *r;

	if (!l)
		return false;
	r = base_zalloc(sizeof *r);
	r->door = find_door(a, listener);
	r->door->rows++;
	r->generation = m->generation;
	r->is_any = m->is_any;
	memcpy(r->ip, m->ip, sizeof r->ip);
	list_push(&l->rows, &r->node);
	a->recheck = true;
	return true;
}

/* Removes rows of that generation, or of all others. */
static void sweep(struct accept *a, uint64_t generation, bool others)
{
	list_for_each(n, &a->sockets) {
		struct listening *l = list_entry(n, struct listening, node);

		list_for_each_safe(rn, tmp, &l->rows) {
			struct row *r = list_entry(rn, struct row, node);

			if ((r->generation == generation) != others)
				remove_row(r);
		}
	}
}

static void free_unused_doors(struct accept *a)
{
	list_for_each_safe(n, tmp, &a->doors)
		free_unused_door(list_entry(n, struct door, node));
}

/* Those that no row of the new generation leads to: connections end on the site that still had them. */
static void close_doors(struct accept *a, uint64_t generation)
{
	list_for_each(n, &a->sockets) {
		struct listening *l = list_entry(n, struct listening, node);

		list_for_each(rn, &l->rows) {
			struct row *r = list_entry(rn, struct row, node);

			if (r->generation == generation)
				r->door->generation = generation;
		}
	}
	list_for_each(n, &a->doors) {
		struct door *d = list_entry(n, struct door, node);

		if (d->generation == generation || d->last)
			continue;
		d->last = site_get(site_current());
		d->draining = true;
		d->rows++; /* it lives until this is over */
		list_for_each_safe(cn, tmp, &d->conns)
			conn_drain(list_entry(cn, struct conn, node));
		d->rows--;
	}
}

void accept_commit(struct accept *a, uint64_t generation, struct site *s)
{
	close_doors(a, generation);
	list_for_each(n, &a->sockets) {
		struct listening *l = list_entry(n, struct listening, node);

		if (has_row(l, a->generation) && !has_row(l, generation))
			take_queued(l);
	}
	sweep(a, generation, true);
	site_swap(s);
	a->generation = generation;
	a->recheck = true;
	free_unused_doors(a);
}

void accept_abort(struct accept *a, uint64_t generation)
{
	sweep(a, generation, false);
	free_unused_doors(a);
}

void accept_drain(struct accept *a)
{
	a->draining = true;
	count_set_state(a->count, COUNT_LEAVES);
	timer_stop(&a->again);
	list_for_each(n, &a->doors)
		list_entry(n, struct door, node)->draining = true;
	list_for_each_safe(n, tmp, &a->conns)
		conn_drain(list_entry(n, struct conn, all_node));
	list_for_each_safe(n, tmp, &a->sockets) {
		struct listening *l = list_entry(n, struct listening, node);

		if (has_row(l, a->generation))
			take_queued(l);
		close_socket(l);
	}
}

void accept_cut(struct accept *a)
{
	list_for_each_safe(n, tmp, &a->conns)
		conn_cut(list_entry(n, struct conn, all_node));
}

void accept_fini(struct accept *a)
{
	BUG_ON(a->nconns || !list_empty(&a->sockets));
	timer_stop(&a->again);
	loop_hook_del(&a->hook);
	free_unused_doors(a);
}
