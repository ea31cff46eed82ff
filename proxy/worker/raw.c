#include "proxy/worker/raw.h"
#include "core/log.h"
#include "proxy/source.h"
#include "raw-fallback/pp.h"
#include "raw-fallback/relay.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum {
	TICK_MS = 25,       /* between two attempts at a target that is down */
	KEEPALIVE_PROBES = 3,
};

/*
 * A target, of one worker. While it is down, those who want it wait in the order in which they came, and the
 * first tries every TICK_MS.
 */
struct raw_target {
	struct list node; /* here.targets */
	unsigned refs;
	struct place place;
	struct outage outage;
	struct list waiting;
	struct timer tick;
	struct grave grave;
	char name[];
};

struct raw {
	struct list node; /* raw_target.waiting, while it waits */
	struct raw_target *target;
	struct stream *down; /* the relay's, once there is one */
	struct dial dial;
	struct source source; /* the dial's, where that is transparent */
	struct relay *relay;
	const struct site_conn *facts;
	bool proxy_header, transparent;
	uint64_t begin_ms, connect_ms, ride_out_ms, idle_ms, ping_ms, ping_timeout_ms;
	char local[ADDR_TEXT_BYTES]; /* our end of the connection to the target */
	void (*closed)(void *owner);
	void *owner;
};

/* The part of the worker's state that raw connections alone know. */
static struct {
	struct list targets;
	struct outage_names *names;
	size_t open;
} here = { .targets = { &here.targets, &here.targets } };

void raw_share(struct outage_names *names)
{
	here.names = names;
}

size_t raw_count(void)
{
	return here.open;
}

/* ---- targets ---- */

static void tick(struct timer *t);

/* Relays go on where they are. */
static void moved(struct place *p)
{
	(void)p;
}

struct raw_target *raw_target_get(struct str name, const struct place_spec *at)
{
	struct raw_target *t;

	list_for_each(n, &here.targets) {
		t = list_entry(n, struct raw_target, node);
		if (str_eq(str_from_c(t->name), name)) {
			t->refs++;
			return t;
		}
	}
	t = base_zalloc(sizeof *t + name.n + 1);
	memcpy(t->name, name.p, name.n);
	t->refs = 1;
	place_open(&t->place, at, moved);
	outage_init(&t->outage, t->name, here.names);
	list_init(&t->waiting);
	timer_init(&t->tick, tick);
	list_push(&here.targets, &t->node);
	return t;
}

static void bury(struct grave *g)
{
	free(container_of(g, struct raw_target, grave));
}

void raw_target_put(struct raw_target *t)
{
	BUG_ON(!t->refs);
	if (--t->refs)
		return;
	list_del(&t->node);
	timer_stop(&t->tick);
	place_close(&t->place);
	loop_bury(&t->grave, bury);
}

/* ---- its end ---- */

/* The down stream is closed, or was the relay's. */
static void end(struct raw *r)
{
	void (*closed)(void *owner) = r->closed;
	void *owner = r->owner;

	list_del(&r->node);
	raw_target_put(r->target);
	here.open--;
	free(r);
	closed(owner);
}

static void give_up(struct raw *r, enum err why)
{
	log_note("%s: no raw connection to %s: %s", r->facts->peer_host, r->target->name, err_text(why));
	dial_cancel(&r->dial);
	source_cancel(&r->source);
	stream_close(r->down);
	end(r);
}

static void relayed(void *owner, enum err why, const struct relay_totals *t)
{
	struct raw *r = owner;
	uint64_t ms = loop_now_ms() - r->begin_ms;
	char client[ADDR_TEXT_BYTES];

	addr_text(&r->facts->peer.sa, sizeof r->facts->peer, client, sizeof client);
	log_note("%s: raw connection to %s from %s ended: %llu bytes up, %llu down, %llu.%03llu s: %s",
		 client, r->target->name, r->local, (unsigned long long)t->up_bytes,
		 (unsigned long long)t->down_bytes, (unsigned long long)ms / 1000,
		 (unsigned long long)ms % 1000, why == ERR_OK ? "closed by both sides" : err_text(why));
	end(r);
}

void raw_abort(struct raw *r, enum err why)
{
	if (r->relay)
		relay_abort(r->relay, why);
	else
		give_up(r, why);
}

/* ---- the relay ---- */

static void set(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof value);
}

/* As the kernel takes it. */
static int in_seconds(uint64_t ms)
{
	return (int)MIN(MAX(ms / 1000, (uint64_t)1), (uint64_t)INT16_MAX);
}

/* A peer that is gone without a word is found out in `ping` and three times `ping-timeout`. */
static void keep_alive(const struct raw *r, const struct stream *s)
{
	int domain = AF_UNIX, fd = s->ev.fd;
	socklen_t len = sizeof domain;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain == AF_UNIX)
		return;
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, in_seconds(r->ping_ms));
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, in_seconds(r->ping_timeout_ms));
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

static void connected(struct raw *r)
{
	struct sockaddr_storage local = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof local;
	uint8_t header[PP_WRITE_MAX];
	struct stream *down = r->down, *up = r->dial.stream;
	struct outage *o = &r->target->outage;

	outage_note_answer(o);
	outage_end(o);
	if (!list_empty(&r->target->waiting))
		timer_set(&r->target->tick, 0);
	if (getsockname(up->ev.fd, (struct sockaddr *)&local, &len) < 0 || local.ss_family == AF_UNIX)
		snprintf(r->local, sizeof r->local, "a Unix socket");
	else
		addr_text((const struct sockaddr *)&local, len, r->local, sizeof r->local);
	keep_alive(r, down);
	keep_alive(r, up);
	r->down = NULL;
	r->relay = relay_open(down, up, header,
			      r->proxy_header ? pp_write(header, &r->facts->peer.sa, &r->facts->local.sa) : 0,
			      r->idle_ms, relayed, r);
	log_info("%s: raw connection to %s from %s", r->facts->peer_host, r->target->name, r->local);
}

/* ---- dialling ---- */

static void queue(struct raw *r)
{
	r->target->outage.held++;
	list_push(&r->target->waiting, &r->node);
}

/* Whoever waited already keeps his place. */
static void failed(struct raw *r, enum err why)
{
	struct raw_target *t = r->target;
	const char *detail = r->dial.sys_errno ? strerror(r->dial.sys_errno) : NULL;

	t->outage.sys_errno = r->dial.sys_errno;
	if (!outage_failed(&t->outage, why, detail, r->ride_out_ms)) {
		give_up(r, why);
		return;
	}
	if (list_empty(&r->node))
		queue(r);
	if (!timer_is_set(&t->tick))
		timer_set(&t->tick, TICK_MS);
}

static void dialled(struct dial *d, enum err e)
{
	struct raw *r = container_of(d, struct raw, dial);

	if (e == ERR_OK) {
		list_del(&r->node);
		connected(r);
	} else {
		failed(r, e);
	}
}

static void begun(struct raw *r, enum err e)
{
	if (e != ERR_AGAIN)
		dialled(&r->dial, e);
}

static void sourced(struct source *s, int fd)
{
	struct raw *r = container_of(s, struct raw, source);

	if (fd >= 0) {
		begun(r, dial_start_on(&r->dial, fd, &r->target->place, r->connect_ms, dialled));
		return;
	}
	log_warn("%s: onward-transparent: no socket with that address: %s", r->facts->peer_host,
		 strerror(-fd));
	give_up(r, fd == -EPERM ? ERR_UP_PERMISSION : ERR_UP_UNREACHABLE);
}

static void dial(struct raw *r)
{
	struct place *to = &r->target->place;

	if (r->transparent && source_is_possible(&r->facts->peer.sa, to))
		source_get(&r->source, &r->facts->peer.sa, sourced);
	else
		begun(r, dial_start(&r->dial, to, r->connect_ms, dialled));
}

static bool is_dialling(const struct raw *r)
{
	return timer_is_set(&r->dial.timer) || source_is_awaited(&r->source);
}

static void refuse_all(struct raw_target *t)
{
	list_for_each_safe(n, next, &t->waiting) {
		t->outage.refused++;
		give_up(list_entry(n, struct raw, node), t->outage.why);
	}
}

/* While it is down the first one tries; when it is back, all may. */
static void tick(struct timer *timer)
{
	struct raw_target *t = container_of(timer, struct raw_target, tick);
	bool down = outage_is_on(&t->outage);

	t->refs++; /* the last of those who wait may end */
	if (down && loop_now_ms() >= t->outage.until_ms)
		refuse_all(t);
	list_for_each_safe(n, next, &t->waiting) {
		struct raw *r = list_entry(n, struct raw, node);

		if (!is_dialling(r))
			dial(r);
		if (down)
			break;
	}
	if (!list_empty(&t->waiting) && !timer_is_set(timer))
		timer_set(timer, TICK_MS);
	raw_target_put(t);
}

/* Nothing is read before there is a target; but a client that has gone need not be kept. */
static void on_down(struct stream *s)
{
	struct raw *r = s->owner;

	give_up(r, ERR_GONE);
}

void raw_open(struct raw **out, struct stream *down, const struct site_conn *facts,
	      const struct raw_plan *plan)
{
	const struct timeouts *t = plan->timeouts;
	struct raw *r = base_zalloc(sizeof *r);

	*r = (struct raw){
		.target = plan->target,
		.down = down,
		.facts = facts,
		.proxy_header = plan->proxy_header,
		.transparent = plan->transparent,
		.begin_ms = loop_now_ms(),
		.connect_ms = t->upstream_connect_ms,
		.ride_out_ms = t->ride_out_ms,
		.idle_ms = t->tunnel_idle_ms,
		.ping_ms = t->ping_ms,
		.ping_timeout_ms = t->ping_timeout_ms,
		.closed = plan->closed,
		.owner = plan->owner,
	};
	*out = r;
	here.open++;
	r->target->refs++;
	list_init(&r->node);
	stream_own(down, r, on_down);
	stream_want(down, STREAM_BROKEN);
	if (list_empty(&r->target->waiting))
		dial(r);
	else
		queue(r);
}
