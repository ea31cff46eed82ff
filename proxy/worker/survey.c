#include "proxy/worker/survey.h"
#include "core/log.h"
#include "core/stream.h"
#include "proxy/worker/alog.h"
#include "proxy/worker/raw.h"
#include "proxy/worker/site.h"
#include "proxy/worker/tables.h"
#include "proxy/worker/tally.h"
#include "tls/tls.h"
#include <unistd.h>

static struct str at_of(const struct conf_vhost *v)
{
	return v->listener ? v->listener->name : STR_NONE;
}

/* The second number of statm is resident pages. */
static uint64_t resident_bytes(int statm)
{
	char text[128];
	ssize_t n = statm < 0 || lseek(statm, 0, SEEK_SET) < 0 ? -1 : read(statm, text, sizeof text - 1);
	uint64_t pages = 0;
	const char *p;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	p = strchr(text, ' ');
	if (!p || !str_to_u64(str_of(p + 1, strcspn(p + 1, " ")), UINT64_MAX / 65536, &pages))
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void add_self(struct picture *p, const struct survey_facts *facts)
{
	struct picture_row *w = picture_at(p, PICTURE_WORKER, STR_NONE, STR_NONE), *t;
	const struct site *s = site_current();

	w->v[PICTURE_WORKER_generation] = facts->generation;
	w->v[PICTURE_WORKER_draining] = facts->is_draining;
	w->v[PICTURE_WORKER_connections] = facts->connections;
	w->v[PICTURE_WORKER_exchanges] = x_count();
	w->v[PICTURE_WORKER_tunnels] = x_tunnel_count();
	w->v[PICTURE_WORKER_relays] = raw_count();
	w->v[PICTURE_WORKER_upstreams] = up_count();
	w->v[PICTURE_WORKER_contexts] = tls_stats()->contexts;
	w->v[PICTURE_WORKER_buffers] = slab_count() * (uint64_t)SLAB_BYTES;
	w->v[PICTURE_WORKER_budget] = s ? site_config(s)->global.limits.memory_bytes : 0;
	w->v[PICTURE_WORKER_resident] = resident_bytes(facts->statm);
	t = picture_at(p, PICTURE_TOTAL, STR_NONE, STR_NONE);
	t->v[PICTURE_TOTAL_accepted] = facts->accepted;
	t->v[PICTURE_TOTAL_handshakes] = tls_stats()->handshakes;
	t->v[PICTURE_TOTAL_resumed] = tls_stats()->resumed;
	t->v[PICTURE_TOTAL_failed] = tls_stats()->failed;
	t->v[PICTURE_TOTAL_log_dropped] = log_dropped();
}

static void add_certificates(struct picture *p, const struct site_vhost *v)
{
	for (size_t i = 0; v->tls && i < v->conf->ncerts; i++) {
		char serial[TLS_SERIAL_BYTES];
		struct picture_row *r;
		int64_t ends_s;

		if (!tls_context_certificate(v->tls, i, serial, &ends_s))
			continue;
		r = picture_at(p, PICTURE_CERTIFICATE, v->conf->certs[i].cert.text, str_from_c(serial));
		r->v[PICTURE_CERTIFICATE_expires] = (uint64_t)MAX(ends_s, (int64_t)0);
		r->v[PICTURE_CERTIFICATE_days_left] =
			(uint64_t)MAX((ends_s - loop_wall_s()) / 86400, (int64_t)0);
		r->v[PICTURE_CERTIFICATE_workers] = 1;
	}
}

static void add_site(struct picture *p, const struct site *s)
{
	const struct tables *t = site_tables(s);
	const struct config *c = site_config(s);

	for (size_t i = 0; i < t->nvhosts; i++) {
		const struct site_vhost *v = &t->vhosts[i];
		struct picture_row *r = picture_at(p, PICTURE_VHOST, v->conf->name, at_of(v->conf));

		memcpy(r->v, v->tally->v, sizeof v->tally->v);
		add_certificates(p, v);
	}
	for (size_t i = 0; i < c->nlogs; i++)
		picture_at(p, PICTURE_LOG, c->logs[i].path, STR_NONE)->v[PICTURE_LOG_dropped] =
			alog_dropped(site_log(s, i));
}

/* Two of one name, to which TLS is spoken differently, are one here. */
static void add_targets(struct picture *p)
{
	for (const struct up_target *t = up_target_next(NULL); t; t = up_target_next(t)) {
		const struct up_stats *s = up_target_stats(t);
		const struct up_now now = up_target_now(t);
		const struct picture_row r = {
			.kind = PICTURE_TARGET,
			.v = {
				[PICTURE_TARGET_down] = now.is_down,
				[PICTURE_TARGET_in_use] = now.in_use,
				[PICTURE_TARGET_idle] = now.idle,
				[PICTURE_TARGET_queued] = now.queued,
				[PICTURE_TARGET_requests] = s->requests,
				[PICTURE_TARGET_connects] = s->connects,
				[PICTURE_TARGET_connect] = s->connect_us,
				[PICTURE_TARGET_connect_max] = s->connect_max_us,
				[PICTURE_TARGET_failures] = s->failures,
				[PICTURE_TARGET_reuses] = s->reuses,
				[PICTURE_TARGET_again] = s->again,
				[PICTURE_TARGET_lost] = s->lost,
				[PICTURE_TARGET_waited] = s->waited,
				[PICTURE_TARGET_wait] = s->queue_us,
				[PICTURE_TARGET_answers] = s->answers,
				[PICTURE_TARGET_first_byte] = s->first_byte_us,
				[PICTURE_TARGET_first_byte_max] = s->first_byte_max_us,
				[PICTURE_TARGET_whole] = s->whole,
				[PICTURE_TARGET_total] = s->total_us,
				[PICTURE_TARGET_total_max] = s->total_max_us,
			},
		};

		picture_merge(picture_at(p, PICTURE_TARGET, str_from_c(up_target_name(t)), STR_NONE), &r);
	}
}

void survey_send(struct msg_channel *c, uint32_t id, const struct survey_facts *facts)
{
	char *part = base_alloc(MSG_TEXT_MAX);
	struct picture p;
	size_t next = 0;

	picture_init(&p);
	add_self(&p, facts);
	if (site_current())
		add_site(&p, site_current());
	add_targets(&p);
	while (next < p.n) {
		size_t n = picture_fill(&p, &next, part, MSG_TEXT_MAX);
		struct msg_rows m = { id, next == p.n };

		msg_send2(c, MSG_ROWS, &m, sizeof m, str_of(part, n), -1);
	}
	picture_fini(&p);
	free(part);
}
