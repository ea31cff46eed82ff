#include "proxy/worker/show.h"

enum { CERTIFICATE_SOON_DAYS = 14 };

/* ---- numbers for readers ---- */

static void put_bytes(struct text *t, uint64_t n)
{
	static const char units[] = "KMGTP";
	double x = (double)n;
	int u = -1;

	for (; x >= 1024 && u < 4; u++)
		x /= 1024;
	if (u < 0)
		text_printf(t, "%llu", (unsigned long long)n);
	else
		text_printf(t, x < 10 ? "%.1f%c" : "%.0f%c", x, units[u]);
}

static void put_us(struct text *t, uint64_t us)
{
	if (us < 1000)
		text_printf(t, "%llu us", (unsigned long long)us);
	else if (us < 1000 * 1000)
		text_printf(t, us < 10000 ? "%.1f ms" : "%.0f ms", (double)us / 1000);
	else
		text_printf(t, "%.1f s", (double)us / 1000000);
}

static void put_mean(struct text *t, uint64_t sum_us, uint64_t n)
{
	if (n)
		put_us(t, sum_us / n);
	else
		text_put(t, STR("-"));
}

static void put_age(struct text *t, uint64_t s)
{
	if (s < 120)
		text_printf(t, "%llu s", (unsigned long long)s);
	else if (s < 2 * 3600)
		text_printf(t, "%llu min", (unsigned long long)s / 60);
	else if (s < 2 * 86400)
		text_printf(t, "%llu h", (unsigned long long)s / 3600);
	else
		text_printf(t, "%llu days", (unsigned long long)s / 86400);
}

/* ---- cells ---- */

#define NUMBER(kind, field)                                                      \
	static void kind##_##field(struct text *t, const struct picture_row *r) \
	{                                                                        \
		text_number(t, r->v[PICTURE_##kind##_##field]);                  \
	}
#define SIZE(kind, field)                                                        \
	static void kind##_##field(struct text *t, const struct picture_row *r) \
	{                                                                        \
		put_bytes(t, r->v[PICTURE_##kind##_##field]);                    \
	}

static void name(struct text *t, const struct picture_row *r)
{
	text_put(t, r->text[0]);
}

static void other(struct text *t, const struct picture_row *r)
{
	text_put(t, r->text[1]);
}

static void worker_state(struct text *t, const struct picture_row *r)
{
	text_put(t, r->v[PICTURE_WORKER_silent]     ? STR("silent")
		    : r->v[PICTURE_WORKER_draining] ? STR("drains")
						    : STR("serves"));
}

static void worker_age(struct text *t, const struct picture_row *r)
{
	put_age(t, r->v[PICTURE_WORKER_age]);
}

static void worker_buffers(struct text *t, const struct picture_row *r)
{
	put_bytes(t, r->v[PICTURE_WORKER_buffers]);
	text_put(t, STR(" of "));
	put_bytes(t, r->v[PICTURE_WORKER_budget]);
}

static void listener_protocol(struct text *t, const struct picture_row *r)
{
	text_put(t, r->v[PICTURE_LISTENER_tls] ? STR("https") : STR("http"));
}

static void vhost_mean(struct text *t, const struct picture_row *r)
{
	put_mean(t, r->v[PICTURE_VHOST_duration],
		 r->v[PICTURE_VHOST_requests] - r->v[PICTURE_VHOST_websockets]);
}

static void target_state(struct text *t, const struct picture_row *r)
{
	text_put(t, r->v[PICTURE_TARGET_down]	   ? STR("down")
		    : r->v[PICTURE_TARGET_answers] ? STR("up")
						   : STR("not used yet"));
}

static void target_mean(struct text *t, const struct picture_row *r)
{
	put_mean(t, r->v[PICTURE_TARGET_first_byte], r->v[PICTURE_TARGET_answers]);
}

static void target_longest(struct text *t, const struct picture_row *r)
{
	put_mean(t, r->v[PICTURE_TARGET_first_byte_max], r->v[PICTURE_TARGET_answers] != 0);
}

static void certificate_on_disk(struct text *t, const struct picture_row *r)
{
	if (r->on_disk.p && str_eq(r->on_disk, r->text[1]))
		text_put(t, STR("the same"));
	else
		text_put(t, r->on_disk.p ? r->on_disk : STR("-"));
}

NUMBER(WORKER, pid)
NUMBER(WORKER, generation)
NUMBER(WORKER, connections)
NUMBER(WORKER, exchanges)
NUMBER(WORKER, tunnels)
NUMBER(WORKER, relays)
SIZE(WORKER, resident)
NUMBER(LISTENER, sockets)
NUMBER(LISTENER, vhosts)
NUMBER(VHOST, requests)
NUMBER(VHOST, in_2xx)
NUMBER(VHOST, in_3xx)
NUMBER(VHOST, in_4xx)
NUMBER(VHOST, in_5xx)
NUMBER(VHOST, websockets)
SIZE(VHOST, request_bytes)
SIZE(VHOST, response_bytes)
NUMBER(TARGET, requests)
NUMBER(TARGET, in_use)
NUMBER(TARGET, idle)
NUMBER(TARGET, queued)
NUMBER(TARGET, failures)
NUMBER(TARGET, lost)
NUMBER(CERTIFICATE, days_left)
NUMBER(LOG, dropped)

/* ---- columns ---- */

static const struct show_column worker_columns[] = {
	{ "Worker", true, name },
	{ "State", true, worker_state },
	{ "Process", false, WORKER_pid },
	{ "Age", false, worker_age },
	{ "Configuration", false, WORKER_generation },
	{ "Connections", false, WORKER_connections },
	{ "Requests", false, WORKER_exchanges },
	{ "WebSockets", false, WORKER_tunnels },
	{ "Raw", false, WORKER_relays },
	{ "Buffers", false, worker_buffers },
	{ "Memory", false, WORKER_resident },
};

static const struct show_column listener_columns[] = {
	{ "Listener", true, name },
	{ "Speaks", true, listener_protocol },
	{ "Addresses", false, LISTENER_sockets },
	{ "Vhosts", false, LISTENER_vhosts },
};

static const struct show_column vhost_columns[] = {
	{ "Vhost", true, name },
	{ "On", true, other },
	{ "Requests", false, VHOST_requests },
	{ "2xx", false, VHOST_in_2xx },
	{ "3xx", false, VHOST_in_3xx },
	{ "4xx", false, VHOST_in_4xx },
	{ "5xx", false, VHOST_in_5xx },
	{ "WebSockets", false, VHOST_websockets },
	{ "Mean", false, vhost_mean },
	{ "Bytes in", false, VHOST_request_bytes },
	{ "Bytes out", false, VHOST_response_bytes },
};

static const struct show_column target_columns[] = {
	{ "Upstream", true, name },
	{ "State", true, target_state },
	{ "Requests", false, TARGET_requests },
	{ "In use", false, TARGET_in_use },
	{ "Idle", false, TARGET_idle },
	{ "Queued", false, TARGET_queued },
	{ "Refused", false, TARGET_failures },
	{ "Lost", false, TARGET_lost },
	{ "First byte", false, target_mean },
	{ "Longest", false, target_longest },
};

static const struct show_column certificate_columns[] = {
	{ "Certificate", true, name },
	{ "Serial", true, other },
	{ "Days left", false, CERTIFICATE_days_left },
	{ "On disk", true, certificate_on_disk }, /* the last one: only who calls from there knows it */
};

static const struct show_column log_columns[] = {
	{ "Access log", true, name },
	{ "Lines lost", false, LOG_dropped },
};

const struct show_column *show_columns(enum picture_kind kind, size_t *n)
{
#define COLUMNS(list)                 \
	do {                          \
		*n = ARRAY_SIZE(list);\
		return list;          \
	} while (0)
	*n = 0;
	switch (kind) {
	case PICTURE_WORKER: COLUMNS(worker_columns);
	case PICTURE_LISTENER: COLUMNS(listener_columns);
	case PICTURE_VHOST: COLUMNS(vhost_columns);
	case PICTURE_TARGET: COLUMNS(target_columns);
	case PICTURE_CERTIFICATE: COLUMNS(certificate_columns);
	case PICTURE_LOG: COLUMNS(log_columns);
	case PICTURE_INSTANCE:
	case PICTURE_TOTAL:
	case PICTURE_KINDS: break;
	}
#undef COLUMNS
	return NULL;
}

bool show_is_alarming(const struct picture_row *r)
{
	switch (r->kind) {
	case PICTURE_WORKER: return r->v[PICTURE_WORKER_silent];
	case PICTURE_TARGET: return r->v[PICTURE_TARGET_down];
	case PICTURE_CERTIFICATE: return r->v[PICTURE_CERTIFICATE_days_left] < CERTIFICATE_SOON_DAYS;
	case PICTURE_LOG: return r->v[PICTURE_LOG_dropped];
	case PICTURE_LISTENER: return !r->v[PICTURE_LISTENER_sockets];
	case PICTURE_INSTANCE:
	case PICTURE_TOTAL:
	case PICTURE_VHOST:
	case PICTURE_KINDS: break;
	}
	return false;
}

/* ---- sentences ---- */

void show_summary(struct text *t, const struct picture *p, int64_t now_s)
{
	uint64_t log_dropped = 0, connections = 0, tunnels = 0, relays = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct picture_row *r = &p->rows[i];

		if (r->kind == PICTURE_INSTANCE) {
			uint64_t started = r->v[PICTURE_INSTANCE_started];

			text_printf(t, "Gatehouse %.*s, process %llu, started ", STR_ARG(r->text[0]),
				    (unsigned long long)r->v[PICTURE_INSTANCE_pid]);
			put_age(t, (uint64_t)now_s > started ? (uint64_t)now_s - started : 0);
			text_printf(t, " ago, serves configuration %llu",
				    (unsigned long long)r->v[PICTURE_INSTANCE_generation]);
			if (r->text[1].n)
				text_printf(t, " of %.*s", STR_ARG(r->text[1]));
			text_put(t, r->v[PICTURE_INSTANCE_loading] ? STR(", loads another.\n") : STR(".\n"));
			log_dropped += r->v[PICTURE_INSTANCE_log_dropped];
		} else if (r->kind == PICTURE_TOTAL) {
			log_dropped += r->v[PICTURE_TOTAL_log_dropped];
		} else if (r->kind == PICTURE_WORKER) {
			connections += r->v[PICTURE_WORKER_connections];
			tunnels += r->v[PICTURE_WORKER_tunnels];
			relays += r->v[PICTURE_WORKER_relays];
		}
	}
	text_printf(t, "Connections: %llu. WebSockets: %llu. Raw: %llu. Lines of the error log lost: %llu.\n",
		    (unsigned long long)connections, (unsigned long long)tunnels,
		    (unsigned long long)relays, (unsigned long long)log_dropped);
}
