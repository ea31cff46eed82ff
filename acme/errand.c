#include "acme/care.h"
#include "acme/ca.h"
#include "acme/plan.h"
#include "core/log.h"
#include "core/loop.h"
#include <openssl/rand.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ORDER_MAX_MS = 15 * 60 * 1000 };

/* ---- its process ---- */

/* Everything of this process but its end of the link and standard error. */
static void leave_behind(int link)
{
	if (link > STDERR_FILENO + 1)
		(void)close_range(STDERR_FILENO + 1, (unsigned)link - 1, 0);
	(void)close_range((unsigned)link + 1, ~0U, 0);
}

NORETURN static void be_errand(struct acme_agent *g, struct acme_errand *e, struct acme_account *accounts,
			       int link)
{
	struct acme_care *c = e->cert;
	struct acme_task t = {
		.job = e->job,
		.cert = c->conf,
		.kind = e->kind,
		.accounts = accounts,
		.state = c->state,
		.chain = c->parts[e->kind].chain,
		.facts = c->parts[e->kind].facts,
		.link = link,
	};
	struct str *taken;
	size_t n = 0;

	leave_behind(link);
	list_for_each(node, &g->certs)
		n++;
	taken = base_alloc((n + 1) * CONF_ACME_KINDS * sizeof *taken);
	list_for_each(node, &g->certs) {
		const struct acme_care *other = list_entry(node, struct acme_care, node);

		for (size_t i = 0; i < CONF_ACME_KINDS; i++)
			if ((other != c || i != e->kind) && other->state.parts[i].order.url.n)
				taken[t.ntaken++] = other->state.parts[i].order.url;
	}
	t.taken = taken;
	acme_flow_run(&t);
}

static void on_link(struct event *ev, uint32_t bits)
{
	(void)bits;
	loop_post(&container_of(ev, struct acme_errand, link)->work);
}

static void read_link(struct work *w);
static void on_deadline(struct timer *t);

static void bury(struct grave *grave)
{
	struct acme_errand *e = container_of(grave, struct acme_errand, grave);

	acme_probe_drop(&e->proof);
	free(e);
}

/* Those that have ended. One that is not heard of any more ends with its next request. */
void acme_errand_reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

void acme_errand_close(struct acme_errand *e)
{
	struct acme_agent *g = e->agent;

	list_del(&e->node);
	timer_stop(&e->deadline);
	work_cancel(&e->work);
	loop_del(&e->link);
	close(e->link.fd);
	g->running--;
	g->failing -= e->failing;
	list_for_each(n, &g->accounts) {
		struct acme_login *a = list_entry(n, struct acme_login, node);

		if (a->enrols == e)
			a->enrols = NULL;
	}
	if (e->cert)
		e->cert->errand = NULL;
	loop_bury(&e->grave, bury);
}

void acme_errand_start(struct acme_agent *g, struct acme_care *c, enum conf_acme_kind kind, enum acme_job job)
{
	struct acme_account *accounts = base_alloc(c->conf->naccounts * sizeof *accounts);
	struct acme_errand *e = base_zalloc(sizeof *e);
	int pair[2], r = acme_link_pair(pair);
	pid_t pid = -1;

	*e = (struct acme_errand){ .agent = g, .cert = c, .kind = kind, .job = job };
	e->failing = c->state.failures > 0;
	e->met = c->nchallenges;
	for (size_t i = 0; i < c->conf->naccounts; i++)
		accounts[i] = acme_login_of(g, c->conf->accounts[i])->account;
	if (r == 0) {
		pid = fork();
		if (pid == 0)
			be_errand(g, e, accounts, pair[1]);
		r = pid < 0 ? -errno : 0;
		close(pair[1]);
		e->link = (struct event){ pair[0], on_link };
		if (r == 0)
			r = loop_add(&e->link, EPOLLIN);
		if (r < 0)
			close(pair[0]);
	}
	free(accounts);
	if (r < 0) {
		log_error("%s: cannot start a process for its order: %s", c->id.p, strerror(-r));
		free(e);
		c->state.next_ms = acme_ca_now_ms() + ACME_SECOND_MS;
		return;
	}
	work_init(&e->work, read_link);
	timer_init(&e->deadline, on_deadline);
	timer_set(&e->deadline, ORDER_MAX_MS);
	list_push(&g->errands, &e->node);
	g->running++;
	g->failing += e->failing;
	c->errand = e;
}

/* ---- what an order asks for ---- */

void acme_errand_answer(struct acme_errand *e, int error)
{
	e->asked = 0;
	acme_link_answer(e->link.fd, error);
}

/* The answer is the parent's; without a message there is none. */
static void forward(struct acme_errand *e, uint32_t id)
{
	e->asked = id;
	if (!id)
		acme_errand_answer(e, errno);
}

void acme_care_withdraw(struct acme_agent *g, struct acme_care *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct msg_challenge_id m = { c->challenges[i] };

		msg_send(g->parent, MSG_UNCHALLENGE, &m, sizeof m, -1);
	}
	c->nchallenges -= n;
	if (c->nchallenges) {
		memmove(c->challenges, c->challenges + n, c->nchallenges * sizeof *c->challenges);
	} else {
		free(c->challenges);
		c->challenges = NULL;
	}
}

/*
 * Before the first certificate: who has just set this up may have forgotten to open a port. One look at a
 * time tells that.
 */
static void note_proof(struct acme_errand *e, uint32_t what, struct str bytes)
{
	if (e->cert->parts[e->kind].facts.not_after || loop_now_ms() < e->agent->probe_ms)
		return;
	e->agent->probe_ms = loop_now_ms() + ACME_SECOND_MS;
	acme_probe_keep(&e->proof, (enum conf_acme_challenge)what, bytes);
}

static bool take_challenge(struct acme_errand *e, uint32_t what, struct str bytes)
{
	static const enum msg_challenge_kind kinds[CONF_ACME_CHALLENGES] = {
		[CONF_ACME_TLS_ALPN_01] = MSG_CHALLENGE_TLS_ALPN,
		[CONF_ACME_HTTP_01] = MSG_CHALLENGE_HTTP,
		[CONF_ACME_DNS_01] = MSG_CHALLENGE_DNS,
	};
	struct acme_agent *g = e->agent;
	struct acme_care *c = e->cert;
	struct msg_challenge m;

	if (what >= CONF_ACME_CHALLENGES || bytes.n < 3 || bytes.n > MSG_CHALLENGE_MAX)
		return false;
	m = (struct msg_challenge){ ++g->last_id ? g->last_id : ++g->last_id, kinds[what] };
	c->challenges = base_realloc(c->challenges, (c->nchallenges + 1) * sizeof *c->challenges);
	c->challenges[c->nchallenges++] = m.id;
	msg_send2(g->parent, MSG_CHALLENGE, &m, sizeof m, bytes, -1);
	note_proof(e, what, bytes);
	forward(e, m.id);
	return true;
}

/* Directory NUL URL. */
static bool take_account(struct acme_errand *e, struct str bytes)
{
	const char *nul = memchr(bytes.p, 0, bytes.n);
	struct str directory = str_of(bytes.p, nul ? (size_t)(nul - bytes.p) : bytes.n), url = STR_NONE;

	if (nul)
		url = str_of(nul + 1, bytes.n - directory.n - 1);
	for (size_t i = 0; i < e->cert->conf->naccounts; i++) {
		const struct conf_acme_account *conf = e->cert->conf->accounts[i];
		struct acme_login *a = acme_login_of(e->agent, conf);

		if (!a || !str_eq(conf->directory, directory))
			continue;
		directory = arena_dup(&a->arena, directory);
		acme_account_register(&a->account, directory, arena_dup(&a->arena, url));
		a->enrols = NULL;
		acme_agent_wake(e->agent);
		forward(e, acme_keep_login(e->agent, a));
		return true;
	}
	return false;
}

static bool take_file(struct acme_errand *e, enum acme_link_type type, struct str bytes)
{
	struct acme_care *c = e->cert;
	struct acme_use *p = &c->parts[e->kind];
	struct conf_file *file = type == ACME_LINK_KEY ? c->conf->keys[e->kind] : c->conf->certs[e->kind];

	if (!file) { /* not wanted any more since */
		acme_errand_answer(e, ENOENT);
		return true;
	}
	forward(e, acme_keep_file(e->agent, file->path, bytes));
	if (type == ACME_LINK_CHAIN) {
		acme_use_set(p, bytes);
		p->forced = false;
		c->revoked = false;
		log_note("%s: a new certificate, serial %s, good for %lld s", c->id.p, p->facts.serial.p,
			 (long long)(p->facts.not_after - acme_ca_now_ms() / ACME_SECOND_MS));
	}
	return true;
}

static bool take_state(struct acme_errand *e, struct str bytes)
{
	if (!acme_keep_read(e->cert, bytes))
		return false;
	forward(e, acme_keep_state(e->agent, e->cert));
	return true;
}

/* ---- its end ---- */

static bool has_order(const struct acme_care *c)
{
	for (size_t i = 0; i < CONF_ACME_KINDS; i++)
		if (c->state.parts[i].order.url.n)
			return true;
	return false;
}

/* words: of the last failure; the state is the order's own but when it could not say it any more. */
static void over(struct acme_errand *e, enum acme_end end, struct str words)
{
	struct acme_agent *g = e->agent;
	struct acme_care *c = e->cert;
	struct acme_use *p = &c->parts[e->kind];

	acme_errand_close(e);
	/* while the order goes on the CA may look at any time; what was put in place last is enough */
	if (!has_order(c))
		acme_care_withdraw(g, c, c->nchallenges);
	else if (c->nchallenges > e->met)
		acme_care_withdraw(g, c, e->met);
	if (end == ACME_END_REFUSED || end == ACME_END_AWAY) {
		int64_t wait_ms = MAX(c->state.next_ms - acme_ca_now_ms(), INT64_C(0));

		log_warn("%s: %.*s; next try in %lld s", c->id.p, STR_ARG(words),
			 (long long)((wait_ms + ACME_SECOND_MS - 1) / ACME_SECOND_MS));
	}
	if (e->job == ACME_JOB_REVOKE) {
		p->revoke = false;
		if (end != ACME_END_DONE)
			c->state.error = arena_dup(&c->arena, words);
		if (end == ACME_END_DONE) {
			log_note("%s: the certificate with serial %s is revoked", c->id.p, p->facts.serial.p);
			c->revoked = true;
			p->forced = true;
		}
	}
	acme_care_tell(g, c);
	acme_agent_wake(g);
}

/* It was killed, or hung: what it left can be gone on with. */
static void lost(struct acme_errand *e, const char *why)
{
	struct acme_care *c = e->cert;
	uint32_t random;

	if (!c) {
		acme_errand_close(e);
		return;
	}
	BUG_ON(RAND_bytes((uint8_t *)&random, sizeof random) != 1);
	if (e->job == ACME_JOB_ASK)
		c->state.parts[e->kind].ari.check_ms = acme_ca_now_ms() + ACME_MINUTE_MS;
	else
		acme_plan_failed(&c->state, false, false, str_from_c(why), acme_ca_now_ms(),
				 c->parts[e->kind].facts.not_after * ACME_SECOND_MS, 0, random);
	(void)acme_keep_state(e->agent, c);
	over(e, ACME_END_AWAY, str_from_c(why));
}

static void on_deadline(struct timer *t)
{
	lost(container_of(t, struct acme_errand, deadline), "its process took too long");
}

static bool take(struct acme_errand *e, const struct acme_link_head *h, struct str bytes)
{
	switch ((enum acme_link_type)h->type) {
	case ACME_LINK_STATE: return take_state(e, bytes);
	case ACME_LINK_ACCOUNT: return take_account(e, bytes);
	case ACME_LINK_KEY:
	case ACME_LINK_CHAIN: return take_file(e, (enum acme_link_type)h->type, bytes);
	case ACME_LINK_CHALLENGE: return take_challenge(e, h->what, bytes);
	case ACME_LINK_END:
	case ACME_LINK_TYPES: break;
	}
	return false;
}

static void read_link(struct work *w)
{
	struct acme_errand *e = container_of(w, struct acme_errand, work);
	char *buf = base_alloc(ACME_LINK_BYTES);
	struct acme_link_head h;
	struct str bytes;
	int r = acme_link_read(e->link.fd, buf, &h, &bytes);

	if (r > 0 && h.type == ACME_LINK_END && h.what < ACME_END_ENDS && e->cert)
		over(e, (enum acme_end)h.what, bytes);
	else if (r < 0 || (r > 0 && (!e->cert || e->asked || !take(e, &h, bytes))))
		lost(e, "its process has ended without a word");
	free(buf);
	acme_errand_reap();
}
