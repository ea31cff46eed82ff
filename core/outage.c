#include "core/outage.h"
#include "core/log.h"
#include "core/loop.h"

enum {
	PROBES_MAX = 64,      /* places looked at for a name */
	TELL_AGAIN_MS = 500,  /* an overloaded target may come and go many times a second */
};

/* The part of the worker's state that outages alone know. */
static struct {
	void (*began)(void *owner, const struct outage *o);
	void *owner;
} here;

void outage_on_beginning(void (*began)(void *owner, const struct outage *o), void *owner)
{
	here.began = began;
	here.owner = owner;
}

/* ---- names ---- */

/* FNV-1a; never 0. The names are the configuration's: nobody chooses them to collide. */
static uint64_t hash_of(struct str name)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (unsigned char)name.p[i]) * 0x100000001b3u;
	return h ? h : 1;
}

void outage_names_add_hash(struct outage_names *names, uint64_t h)
{
	for (uint64_t i = 0; i < PROBES_MAX; i++) {
		uint64_t there = 0;

		if (atomic_compare_exchange_strong(&names->hash[(h + i) % OUTAGE_NAMES], &there, h) ||
		    there == h)
			return;
	}
}

void outage_names_add(struct outage_names *names, struct str name)
{
	outage_names_add_hash(names, hash_of(name));
}

bool outage_names_has(const struct outage_names *names, struct str name)
{
	uint64_t h = hash_of(name);

	for (uint64_t i = 0; i < PROBES_MAX; i++) {
		uint64_t there = atomic_load_explicit(&names->hash[(h + i) % OUTAGE_NAMES],
						      memory_order_relaxed);

		if (there == h || !there)
			return there == h;
	}
	return false;
}

/* ---- an outage ---- */

void outage_init(struct outage *o, const char *name, struct outage_names *names)
{
	*o = (struct outage){ .name = name, .names = names };
}

void outage_note_answer(struct outage *o)
{
	if (o->has_answered)
		return;
	o->has_answered = true;
	if (o->names)
		outage_names_add(o->names, str_from_c(o->name));
}

/* Another worker, or one of an earlier configuration, may have heard of it. */
static bool has_answered(struct outage *o)
{
	if (!o->has_answered && o->names)
		o->has_answered = outage_names_has(o->names, str_from_c(o->name));
	return o->has_answered;
}

/* Somebody listens, or it is we who lack something that comes back. */
static bool is_expected_back(struct outage *o, enum err why)
{
	return why == ERR_UP_BACKLOG || why == ERR_UP_NO_FD || has_answered(o);
}

/* Without "upstream: ", which these lines begin with. */
static const char *bare_text(enum err why)
{
	struct str text = str_from_c(err_text(why)), prefix = STR("upstream: ");

	return str_starts(text, prefix) ? text.p + prefix.n : text.p;
}

static void tell_beginning(struct outage *o, enum err why, const char *detail, uint64_t ride_out_ms)
{
	uint64_t now_ms = loop_now_ms();
	char held[96] = "";

	o->is_told = !o->told_ms || now_ms - o->told_ms >= TELL_AGAIN_MS;
	if (!o->is_told) {
		o->untold++;
		return;
	}
	if (ride_out_ms && is_expected_back(o, why))
		snprintf(held, sizeof held,
			 "; requests wait up to %llu ms for its return (timeouts.ride-out)",
			 (unsigned long long)ride_out_ms);
	log_warn("upstream %s %s: %s%s%s%s", o->name, why == ERR_UP_NO_FD ? "cannot be dialled" : "is down",
		 bare_text(why), detail ? ": " : "", detail ? detail : "", held);
	o->told_ms = now_ms;
	if (here.began)
		here.began(here.owner, o);
}

static void begin(struct outage *o, enum err why, const char *detail, uint64_t ride_out_ms)
{
	o->since_ms = loop_now_ms();
	o->held = o->refused = 0;
	if (__builtin_add_overflow(o->since_ms, ride_out_ms, &o->until_ms))
		o->until_ms = UINT64_MAX;
	tell_beginning(o, why, detail, ride_out_ms);
}

bool outage_failed(struct outage *o, enum err why, const char *detail, uint64_t ride_out_ms)
{
	bool holds;

	/* whatever it was before, now somebody listens */
	if (why == ERR_UP_BACKLOG && o->since_ms && o->why != ERR_UP_BACKLOG)
		outage_end(o);
	if (!o->since_ms)
		begin(o, why, detail, ride_out_ms);
	o->why = why;
	holds = loop_now_ms() < o->until_ms && is_expected_back(o, why);
	o->refused += !holds;
	return holds;
}

void outage_end(struct outage *o)
{
	uint64_t ms = loop_now_ms() - o->since_ms;
	char untold[64] = "";

	if (!o->since_ms)
		return;
	o->since_ms = 0;
	if (!o->is_told)
		return;
	if (o->untold)
		snprintf(untold, sizeof untold, "; %llu more such outages were not logged",
			 (unsigned long long)o->untold);
	o->untold = 0;
	log_note("upstream %s is back after %llu.%03llu s: %llu requests waited, %llu got an error%s",
		 o->name, (unsigned long long)ms / 1000, (unsigned long long)ms % 1000,
		 (unsigned long long)o->held, (unsigned long long)o->refused, untold);
}
