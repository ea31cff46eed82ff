#include "acme/care.h"
#include "acme/ca.h"
#include "acme/plan.h"
#include "core/log.h"
#include "core/loop.h"

enum {
	ORDERS_MAX = 8,
	FAILING_MAX = 4,             /* of those, for names that have failed before */
	LOOK_MS = 20 * 1000,         /* the clock, at least so often */
	STEP_MS = 5 * 1000,          /* it was set */
};

static void tick(struct timer *t);

void acme_agent_wake(struct acme_agent *g)
{
	timer_set(&g->timer, 0);
}

static struct str dup_text(struct str s)
{
	char *p = base_alloc(s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = 0;
	return str_of(p, s.n);
}

/* ---- how a certificate stands ---- */

static bool has_part(const struct acme_care *c, size_t kind)
{
	return c->conf->kinds[kind];
}

/* NULL: nothing that could stay in use. */
static const struct acme_facts *facts_in_use(const struct acme_use *p)
{
	return p->facts.not_after && !p->unfit ? &p->facts : NULL;
}

static struct acme_next next_of_part(const struct acme_care *c, size_t kind)
{
	const struct acme_use *p = &c->parts[kind];
	const struct acme_state *s = &c->state;

	if (p->revoke)
		return (struct acme_next){ ACME_ACT_ORDER, 0 };
	return acme_plan_next(s, &s->parts[kind], p->forced ? NULL : facts_in_use(p), acme_ca_now_ms());
}

/* Of the parts the one that comes first; *kind is which. */
static struct acme_next next_of(const struct acme_care *c, enum conf_acme_kind *kind)
{
	struct acme_next first = { ACME_ACT_ORDER, INT64_MAX };

	for (size_t i = 0; i < CONF_ACME_KINDS; i++) {
		struct acme_next next;

		if (!has_part(c, i))
			continue;
		next = next_of_part(c, i);
		if (next.at_ms < first.at_ms) {
			first = next;
			*kind = (enum conf_acme_kind)i;
		}
	}
	return first;
}

static enum msg_acme_state_id state_id(const struct acme_care *c, bool is_there)
{
	if (c->revoked)
		return MSG_ACME_REVOKED;
	if (c->errand && c->errand->job == ACME_JOB_ORDER)
		return MSG_ACME_ORDERING;
	if (c->state.failures)
		return MSG_ACME_FAILED;
	return is_there ? MSG_ACME_VALID : MSG_ACME_NONE;
}

void acme_care_tell(struct acme_agent *g, struct acme_care *c)
{
	struct msg_acme_state m;
	enum conf_acme_kind kind = CONF_ACME_ECDSA;
	const struct acme_facts *facts = NULL;
	size_t worst = 0;
	struct str error = c->state.error;
	struct arena a;
	struct str words;

	memset(&m, 0, sizeof m);
	for (size_t i = 0; i < CONF_ACME_KINDS; i++)
		if (has_part(c, i) && c->parts[i].facts.not_after &&
		    (!facts || c->parts[i].facts.not_after < facts->not_after)) {
			facts = &c->parts[i].facts;
			worst = i;
		}
	m.state = state_id(c, facts != NULL);
	m.tries = c->state.failures;
	m.next_s = next_of(c, &kind).at_ms / ACME_SECOND_MS;
	if (facts) {
		m.not_before_s = facts->not_before;
		m.not_after_s = facts->not_after;
		m.renew_s = acme_plan_renewal(&c->state.parts[worst], facts) / ACME_SECOND_MS;
	}
	arena_init(&a);
	error.n = MIN(error.n, (size_t)MSG_WORDS_MAX - 64);
	words = arena_printf(&a, "%.*s%c%.*s%c%.*s", STR_ARG(c->id), 0,
			     STR_ARG(facts ? facts->serial : STR("")), 0, STR_ARG(error));
	if (memcmp(&m, &c->told, sizeof m) != 0 || !str_eq(words, c->told_words)) {
		c->told = m;
		free((char *)c->told_words.p);
		c->told_words = dup_text(words);
		msg_send2(g->parent, MSG_ACME_STATE, &m, sizeof m, words, -1);
	}
	arena_fini(&a);
}

/* ---- when ---- */

/* Failing ones leave room for others. */
static bool has_room(const struct acme_agent *g, const struct acme_care *c)
{
	return g->running < ORDERS_MAX && (!c->state.failures || g->failing < FAILING_MAX);
}

/* One registers an account, and the others wait for it. */
static bool waits_for_account(struct acme_agent *g, const struct acme_care *c)
{
	const struct conf_acme_account *conf = c->conf->accounts[c->state.account % c->conf->naccounts];
	struct acme_login *a = acme_login_of(g, conf);

	return a && a->enrols && !acme_account_url(&a->account, conf->directory).n;
}

static void note_enrolment(struct acme_agent *g, struct acme_care *c)
{
	const struct conf_acme_account *conf = c->conf->accounts[c->state.account % c->conf->naccounts];
	struct acme_login *a = acme_login_of(g, conf);

	if (a && c->errand && !acme_account_url(&a->account, conf->directory).n)
		a->enrols = c->errand;
}

/* Starts what is due. Returns when it wants to be looked at again. */
static int64_t look_at(struct acme_agent *g, struct acme_care *c, int64_t now)
{
	enum conf_acme_kind kind = CONF_ACME_ECDSA;
	struct acme_next next = next_of(c, &kind);
	enum acme_job job = ACME_JOB_ORDER;

	if (c->errand)
		return INT64_MAX;
	if (next.at_ms > now)
		return next.at_ms;
	if (!has_room(g, c) || !acme_login_ready(g, c) || waits_for_account(g, c))
		return INT64_MAX;
	if (next.act == ACME_ACT_ASK)
		job = ACME_JOB_ASK;
	if (c->parts[kind].revoke)
		job = ACME_JOB_REVOKE;
	acme_errand_start(g, c, kind, job);
	if (job == ACME_JOB_ORDER)
		note_enrolment(g, c);
	acme_care_tell(g, c);
	return c->errand ? INT64_MAX : c->state.next_ms;
}

static void shift(int64_t *at_ms, int64_t by_ms)
{
	if (*at_ms)
		*at_ms = MAX(*at_ms + by_ms, INT64_C(1));
}

/* When it was set, what is waited for comes as much later, or sooner; what certificates say stays. */
static void look_at_clock(struct acme_agent *g)
{
	int64_t ahead_ms = acme_ca_now_ms() - (int64_t)(loop_clock_us() / 1000);
	int64_t by_ms = ahead_ms - g->clock_ms;

	bool was_set = g->clock_ms && (by_ms > STEP_MS || by_ms < -STEP_MS);

	g->clock_ms = ahead_ms;
	if (!was_set)
		return;
	log_note("the clock was set by %lld s", (long long)(by_ms / ACME_SECOND_MS));
	list_for_each(n, &g->certs) {
		struct acme_state *s = &list_entry(n, struct acme_care, node)->state;

		shift(&s->next_ms, by_ms);
		for (size_t i = 0; i < s->nwaits; i++)
			shift(&s->waits[i].until_ms, by_ms);
		for (size_t i = 0; i < CONF_ACME_KINDS; i++)
			shift(&s->parts[i].ari.check_ms, by_ms);
	}
}

static void tick(struct timer *t)
{
	struct acme_agent *g = container_of(t, struct acme_agent, timer);
	int64_t now = acme_ca_now_ms(), next_ms = now + LOOK_MS;

	acme_errand_reap();
	look_at_clock(g);
	list_for_each(n, &g->certs)
		next_ms = MIN(next_ms, look_at(g, list_entry(n, struct acme_care, node), now));
	timer_set(&g->timer, (uint64_t)MAX(next_ms - acme_ca_now_ms(), INT64_C(1)));
}

/* ---- the configuration ---- */

static struct acme_care *cert_of(struct acme_agent *g, struct str id)
{
	list_for_each(n, &g->certs) {
		struct acme_care *c = list_entry(n, struct acme_care, node);

		if (str_eq(c->id, id))
			return c;
	}
	return NULL;
}

static void cert_free(struct acme_agent *g, struct acme_care *c)
{
	acme_care_withdraw(g, c, c->nchallenges);
	if (c->errand)
		c->errand->cert = NULL; /* it ends when it next wants something */
	list_del(&c->node);
	for (size_t i = 0; i < CONF_ACME_KINDS; i++)
		arena_fini(&c->parts[i].arena);
	arena_fini(&c->arena);
	free((char *)c->told_words.p);
	free((char *)c->id.p);
	free(c);
}

static struct acme_care *cert_new(const struct conf_acme_cert *conf)
{
	struct acme_care *c = base_zalloc(sizeof *c);

	c->id = dup_text(conf->id);
	c->conf = conf;
	list_init(&c->node);
	for (size_t i = 0; i < CONF_ACME_KINDS; i++)
		arena_init(&c->parts[i].arena);
	arena_init(&c->arena);
	if (!acme_keep_read(c, conf->state->bytes))
		log_warn("%s is not the state of a certificate: it is begun anew",
			 conf->state->path.p);
	return c;
}

/*
 * What lies in the files. While an order writes them, what it has written counts: this may have been read
 * before.
 */
static void read_part(struct acme_care *c, size_t kind)
{
	struct acme_use *p = &c->parts[kind];
	EVP_PKEY *key;
	const char *wrong;

	if (c->errand && c->errand->kind == kind && c->errand->job == ACME_JOB_ORDER)
		return;
	if (!has_part(c, kind)) {
		acme_use_set(p, STR_NONE);
		return;
	}
	acme_use_set(p, c->conf->certs[kind]->bytes);
	if (!p->facts.not_after)
		return;
	key = acme_key_from_pem(c->conf->keys[kind]->bytes);
	wrong = key ? acme_cert_wrong(p->chain, key, c->conf->names, c->conf->nnames) : "has lost its key";
	EVP_PKEY_free(key);
	p->unfit = wrong != NULL;
	if (wrong)
		log_note("%s: the certificate that is there %s: a new one is ordered", c->id.p, wrong);
}

void acme_agent_load(struct acme_agent *g, struct config *conf)
{
	struct list old;

	list_init(&old);
	list_splice(&old, &g->certs);
	for (size_t i = 0; i < conf->acme.naccounts; i++)
		acme_login_add(g, conf->acme.accounts[i]);
	for (size_t i = 0; i < conf->acme.ncerts; i++) {
		struct conf_acme_cert *a = conf->acme.certs[i];
		struct acme_care *c = NULL;

		list_for_each(n, &old)
			if (!c && str_eq(list_entry(n, struct acme_care, node)->id, a->id))
				c = list_entry(n, struct acme_care, node);
		if (!c)
			c = cert_new(a);
		list_del(&c->node);
		list_push(&g->certs, &c->node);
		c->conf = a;
		for (size_t k = 0; k < CONF_ACME_KINDS; k++)
			read_part(c, k);
	}
	while (!list_empty(&old))
		cert_free(g, list_entry(old.next, struct acme_care, node));
	list_for_each_safe(n, tmp, &g->accounts) {
		struct acme_login *a = list_entry(n, struct acme_login, node);
		bool used = false;

		for (size_t i = 0; i < conf->acme.naccounts; i++)
			used |= str_eq(conf->acme.accounts[i]->file->path, a->path);
		if (!used)
			acme_login_free(a);
	}
	if (g->conf)
		conf_put(g->conf);
	g->conf = conf;
	list_for_each(n, &g->certs)
		acme_care_tell(g, list_entry(n, struct acme_care, node));
	acme_agent_wake(g);
}

/* ---- what the parent says ---- */

static struct acme_errand *errand_that_asked(struct acme_agent *g, uint32_t id)
{
	list_for_each(n, &g->errands) {
		struct acme_errand *e = list_entry(n, struct acme_errand, node);

		if (e->asked == id && id)
			return e;
	}
	return NULL;
}

void acme_agent_stored(struct acme_agent *g, uint32_t id, int error)
{
	struct acme_errand *e = errand_that_asked(g, id);

	if (e)
		acme_errand_answer(e, error);
	list_for_each(n, &g->accounts) {
		struct acme_login *a = list_entry(n, struct acme_login, node);

		if (!a->unwritten || a->unwritten != id)
			continue;
		if (error)
			log_error("cannot write %s: %s; it is kept in memory", a->path.p, strerror(error));
		a->unwritten = 0;
		acme_agent_wake(g);
	}
}

void acme_agent_challenge_ready(struct acme_agent *g, uint32_t id, int error, struct str words)
{
	struct acme_errand *e = errand_that_asked(g, id);

	if (error)
		log_warn("%s: a challenge could not be met: %.*s", e && e->cert ? e->cert->id.p : "-",
			 STR_ARG(words.n ? words : str_from_c(strerror(error))));
	if (e && !error)
		acme_probe_look(&e->proof);
	if (e)
		acme_errand_answer(e, error);
}

bool acme_agent_do(struct acme_agent *g, enum msg_acme_verb verb, struct str id)
{
	struct acme_care *c = cert_of(g, id);

	if (!c)
		return false;
	c->state.next_ms = 0;
	c->state.nwaits = 0;
	for (size_t i = 0; i < CONF_ACME_KINDS; i++) {
		struct acme_use *p = &c->parts[i];

		if (!has_part(c, i))
			continue;
		if (verb == MSG_ACME_RENEW)
			p->forced = true;
		else
			p->revoke = p->facts.not_after != 0;
	}
	acme_agent_wake(g);
	return true;
}

void acme_agent_open(struct acme_agent *g, struct msg_channel *parent)
{
	*g = (struct acme_agent){ .parent = parent };
	list_init(&g->certs);
	list_init(&g->accounts);
	list_init(&g->errands);
	timer_init(&g->timer, tick);
}

void acme_agent_close(struct acme_agent *g)
{
	while (!list_empty(&g->errands))
		acme_errand_close(list_entry(g->errands.next, struct acme_errand, node));
	while (!list_empty(&g->certs))
		cert_free(g, list_entry(g->certs.next, struct acme_care, node));
	while (!list_empty(&g->accounts))
		acme_login_free(list_entry(g->accounts.next, struct acme_login, node));
	timer_stop(&g->timer);
	if (g->conf)
		conf_put(g->conf);
	g->conf = NULL;
}
