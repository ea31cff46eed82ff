#include "acme/priv.h"
#include "core/log.h"
#include <openssl/rand.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
	/* Waiting for the CA: no longer than this at once, or in all; after that its place is for others. */
	PAUSE_MAX_MS = 20 * 1000,
	WAITING_MAX_MS = 60 * 1000,
	COME_BACK_MS = 30 * 1000,
	/* An order that has been left so often does not keep the next CA waiting. */
	TRIES_MAX = 3,
};

/* ---- ends ---- */

bool acme_flow_fail(struct acme_flow *f)
{
	f->end = f->ca.failure.away ? ACME_END_AWAY : ACME_END_REFUSED;
	f->until_ms = f->ca.failure.until_ms;
	snprintf(f->words, sizeof f->words, "%s", f->ca.failure.words);
	return false;
}

bool acme_flow_refuse(struct acme_flow *f, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(f->words, sizeof f->words, fmt, args);
	va_end(args);
	f->end = ACME_END_REFUSED;
	f->until_ms = 0;
	f->ca.failure = (struct acme_failure){ 0 };
	return false;
}

bool acme_flow_pause(struct acme_flow *f, unsigned tries)
{
	static const int64_t usual_ms[] = { 20, 30, 50, 100, 200, 500, 1000, 2000, 5000 };
	int64_t now_ms = acme_ca_now_ms();
	int64_t ms = usual_ms[MIN(tries, (unsigned)ARRAY_SIZE(usual_ms) - 1)];

	/* "at once" is not obeyed time and again */
	if (f->ca.retry_after_ms > now_ms)
		ms = f->ca.retry_after_ms - now_ms;
	if (ms > PAUSE_MAX_MS || now_ms + ms > f->give_up_ms) {
		int64_t later_ms = COME_BACK_MS * (int64_t)MIN(f->part->order.tries + 1, 100U);

		f->end = ACME_END_WAIT;
		f->until_ms = now_ms + (f->ca.retry_after_ms ? MAX(ms, ACME_SECOND_MS) : later_ms);
		snprintf(f->words, sizeof f->words, "the CA has not finished yet");
		return false;
	}
	acme_link_sleep(f->t->link, ms);
	return true;
}

/* ---- what must outlive the process ---- */

void acme_flow_keep(struct acme_flow *f, enum acme_link_type type, struct str bytes, const char *what)
{
	const struct acme_link_head h = { type, 0, 0 };
	int error = acme_link_ask(f->t->link, &h, bytes);

	if (error)
		log_error("%s: cannot write %s: %s; it is kept in memory", f->t->cert->names[0].p, what,
			  strerror(error));
}

void acme_flow_keep_state(struct acme_flow *f)
{
	struct arena a;

	arena_init(&a);
	acme_flow_keep(f, ACME_LINK_STATE, acme_state_write(&a, f->state), "the state of the order");
	arena_fini(&a);
}

uint64_t acme_flow_random(void)
{
	uint64_t n;

	BUG_ON(RAND_bytes((uint8_t *)&n, sizeof n) != 1);
	return n;
}

/* ---- one CA ---- */

static void converse(struct acme_flow *f, size_t i)
{
	f->conf = f->t->cert->accounts[i];
	f->account = &f->t->accounts[i];
	f->proof_failed = false;
}

static bool open_ca(struct acme_flow *f)
{
	struct str trust = f->conf->trust ? f->conf->trust->bytes : STR_NONE;

	return acme_ca_open(&f->ca, f->conf->directory, trust, f->account->key) || acme_flow_fail(f);
}

static bool order_once(struct acme_flow *f)
{
	bool good = open_ca(f) && acme_account_ready(f) && acme_order_run(f);

	f->no_renewal_info = good && !f->ca.resources[ACME_RENEWAL_INFO].n;
	acme_ca_close(&f->ca);
	return good;
}

/*
 * RFC 8555 section 6.7: a lost account is no reason to go without certificates. Its orders are lost with
 * it.
 */
static bool order_with_account(struct acme_flow *f)
{
	if (order_once(f))
		return true;
	if (f->ca.failure.problem != ACME_PROBLEM_NO_ACCOUNT)
		return false;
	log_warn("%s: the CA does not know the account any more; it is registered again",
		 f->conf->directory.p);
	acme_account_forget(f);
	acme_order_drop(f);
	return order_once(f);
}

/*
 * With one CA; when it could not see the proof, once with another kind of it. From then on each try
 * begins with the other kind.
 */
static bool order_at(struct acme_flow *f, size_t i)
{
	char first[ACME_WORDS_BYTES];

	converse(f, i);
	if (order_with_account(f))
		return true;
	if (f->end != ACME_END_REFUSED)
		return false;
	acme_order_drop(f);
	if (!f->proof_failed || f->t->cert->nchallenges < 2)
		return false;
	f->state->challenge++;
	if (f->state->failures)
		return false;
	log_warn("%s: %s; it is tried in another way", f->t->cert->names[0].p, f->words);
	snprintf(first, sizeof first, "%.500s", f->words);
	converse(f, i);
	if (order_with_account(f))
		return true;
	if (f->end == ACME_END_REFUSED) {
		char second[ACME_WORDS_BYTES];

		acme_order_drop(f);
		snprintf(second, sizeof second, "%.500s", f->words);
		snprintf(f->words, sizeof f->words, "%.500s; and %.500s", first, second);
		f->state->challenge += f->proof_failed;
	}
	return false;
}

/* ---- one after the other ---- */

static size_t first_account(const struct acme_flow *f)
{
	const struct conf_acme_cert *c = f->t->cert;
	const struct acme_order *o = &f->part->order;

	for (size_t i = 0; o->key.n && o->tries < TRIES_MAX && i < c->naccounts; i++)
		if (str_eq(c->accounts[i]->directory, o->directory))
			return i;
	return f->state->account % c->naccounts;
}

/* When any of them can be asked again; 0: now. */
static int64_t soonest(const struct acme_flow *f)
{
	int64_t until_ms = INT64_MAX;

	for (size_t i = 0; i < f->t->cert->naccounts; i++) {
		int64_t wait_ms = acme_state_wait(f->state, f->t->cert->accounts[i]->directory);

		until_ms = MIN(until_ms, acme_plan_bound(wait_ms, acme_ca_now_ms()));
	}
	return until_ms;
}

static bool order_anywhere(struct acme_flow *f)
{
	const struct conf_acme_cert *c = f->t->cert;
	size_t first = first_account(f);
	bool failed = false;

	f->end = ACME_END_AWAY;
	snprintf(f->words, sizeof f->words, "the CA wants to be left alone for now");
	for (size_t i = 0; i < c->naccounts; i++) {
		size_t at = (first + i) % c->naccounts;
		struct str directory = c->accounts[at]->directory;

		if (acme_plan_bound(acme_state_wait(f->state, directory), acme_ca_now_ms()))
			continue;
		if (order_at(f, at)) {
			f->state->account = 0;
			return true;
		}
		f->state->account = (unsigned)at;
		if (f->end == ACME_END_WAIT) {
			f->end = failed ? ACME_END_REFUSED : ACME_END_WAIT;
			return false;
		}
		failed = true;
		f->state->account++;
		acme_state_set_wait(f->state, directory, f->end == ACME_END_AWAY ? f->until_ms : 0);
		if (c->naccounts > 1)
			log_warn("%s at %s: %s", c->names[0].p, directory.p, f->words);
		/* what has begun is not begun anew elsewhere for a moment's sake */
		if (f->part->order.url.n && f->part->order.tries < TRIES_MAX)
			break;
	}
	f->until_ms = soonest(f);
	return false;
}

/* ---- what comes out of it ---- */

/* An order's end: the chain and its key are where they belong, and nothing of what failed counts any more. */
static void deliver(struct acme_flow *f)
{
	struct acme_state *s = f->state;
	struct acme_part *p = f->part;
	enum conf_acme_kind kind = f->t->kind;
	bool is_one_file = f->t->cert->keys[kind] == f->t->cert->certs[kind];
	int64_t now_ms = acme_ca_now_ms(), next_ms;
	struct acme_facts facts = { 0 };
	unsigned early = p->early;

	acme_flow_keep_state(f);
	if (!is_one_file)
		acme_flow_keep(f, ACME_LINK_KEY, p->order.key, "the key");
	acme_flow_keep(f, ACME_LINK_CHAIN,
		       is_one_file ? arena_printf(&f->arena, "%.*s%.*s", STR_ARG(p->order.key),
						  STR_ARG(p->order.chain)) :
				     p->order.chain,
		       "the certificate");
	(void)!acme_cert_facts(&f->arena, p->order.chain, &facts);
	early = acme_plan_is_early(p, &facts, now_ms) ? early + 1 : 0;
	next_ms = acme_plan_retry(early - 1, true, now_ms, 0, (uint32_t)acme_flow_random());
	*s = (struct acme_state){
		.parts = { s->parts[0], s->parts[1] },
		.account = s->account,
		.challenge = s->challenge % (unsigned)f->t->cert->nchallenges,
		.next_ms = early > 1 ? next_ms : 0,
	};
	*p = (struct acme_part){ .issued_by = p->order.directory, .issued_ms = now_ms, .early = early };
	if (f->no_renewal_info)
		p->ari = (struct acme_ari){ .id = facts.ari_id, .check_ms = now_ms + ACME_DAY_MS };
	acme_flow_keep_state(f);
}

NORETURN static void leave(struct acme_flow *f)
{
	acme_link_end(f->t->link, f->end, f->until_ms, str_from_c(f->words));
	_exit(EXIT_SUCCESS);
}

static void run_order(struct acme_flow *f)
{
	if (!f->part->order.chain.n && !order_anywhere(f)) {
		f->part->order.tries++;
		acme_plan_failed(f->state, f->end == ACME_END_WAIT, f->end == ACME_END_REFUSED,
				 str_from_c(f->words), acme_ca_now_ms(),
				 f->t->facts.not_after * ACME_SECOND_MS, f->until_ms,
				 (uint32_t)acme_flow_random());
		acme_flow_keep_state(f);
		leave(f);
	}
	deliver(f);
	f->end = ACME_END_DONE;
}

/* The account that has issued what is in use. */
static bool find_issuer(struct acme_flow *f)
{
	for (size_t i = 0; i < f->t->cert->naccounts; i++)
		if (str_eq(f->t->cert->accounts[i]->directory, f->part->issued_by)) {
			converse(f, i);
			return true;
		}
	return acme_flow_refuse(f, "the CA that has issued the certificate is not configured any more");
}

static void run_ask(struct acme_flow *f)
{
	f->end = ACME_END_DONE;
	if (find_issuer(f)) {
		(void)open_ca(f);
		(void)!acme_ari_ask(f);
		acme_ca_close(&f->ca);
		f->end = ACME_END_DONE;
	} else {
		f->part->ari.id = f->t->facts.ari_id;
		f->part->ari.check_ms = acme_ca_now_ms() + ACME_DAY_MS;
	}
	acme_flow_keep_state(f);
}

/* With the account's key (RFC 8555 section 7.6): the CA knows that it may. */
static void run_revoke(struct acme_flow *f)
{
	struct str der = acme_cert_der(&f->arena, f->t->chain), payload;
	bool good;

	payload = arena_printf(&f->arena, "{\"certificate\":\"%s\"}", acme_b64_encode(&f->arena, der).p);
	good = (der.n || acme_flow_refuse(f, "there is no certificate")) && find_issuer(f);
	if (good) {
		good = open_ca(f) && acme_account_ready(f) &&
		       (acme_ca_post(&f->ca, f->ca.resources[ACME_REVOKE_CERT], payload, ACME_POST_PLAIN) ||
			f->ca.failure.problem == ACME_PROBLEM_ALREADY_REVOKED || acme_flow_fail(f));
		acme_ca_close(&f->ca);
	}
	if (good)
		f->end = ACME_END_DONE;
}

void acme_flow_run(struct acme_task *t)
{
	struct acme_flow f = { .t = t, .state = &t->state, .part = &t->state.parts[t->kind] };

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	arena_init(&f.arena);
	f.give_up_ms = acme_ca_now_ms() + WAITING_MAX_MS;
	switch (t->job) {
	case ACME_JOB_ORDER: run_order(&f); break;
	case ACME_JOB_ASK: run_ask(&f); break;
	case ACME_JOB_REVOKE: run_revoke(&f); break;
	}
	leave(&f);
}
