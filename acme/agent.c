#include "acme/agent.h"
#include "acme/ca.h"
#include "acme/flow.h"
#include "acme/plan.h"
#include "core/log.h"
#include "core/loop.h"
#include <fcntl.h>
#include <openssl/rand.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	ORDERS_MAX = 8,
	FAILING_MAX = 4,             /* of those, for names that have failed before */
	LOOK_MS = 20 * 1000,         /* the clock, at least so often */
	STEP_MS = 5 * 1000,          /* it was set */
	ORDER_MAX_MS = 15 * 60 * 1000,
};

/* An account's file, whoever uses it. */
struct account {
	struct list node;
	struct arena arena;
	struct str path;
	struct acme_account account;
	struct order *enrols; /* who registers it now; NULL: nobody */
};

/* What is in use, for one kind of key. */
struct part {
	struct arena arena;
	struct str chain;
	struct acme_facts facts; /* not_after 0: there is none */
	bool unfit;              /* not for these names, or not for its key */
	bool forced;             /* somebody wants a new one */
	bool revoke;             /* or this one gone */
};

struct cert {
	struct list node;
	struct str id; /* allocated */
	const struct conf_acme_cert *conf;
	struct arena arena; /* of state */
	struct acme_state state;
	struct part parts[CONF_ACME_KINDS];
	struct order *order; /* NULL: none runs */
	uint32_t *challenges; /* met by the workers at the moment */
	size_t nchallenges;
	bool revoked;
	struct msg_acme_state told; /* to the parent */
	struct str told_words; /* allocated */
};

/* A process at work. */
struct order {
	struct list node;
	struct grave grave;
	struct event link;
	struct work work;
	struct acme_agent *agent;
	struct cert *cert; /* NULL: nobody waits for what it does any more */
	enum conf_acme_kind kind;
	enum acme_job job;
	bool failing;
	uint32_t asked;    /* id of what it waits for; 0: nothing */
	struct timer deadline;
};

static int64_t now_ms(void)
{
	return acme_ca_now_ms();
}

static void tick(struct timer *t);

/* Soon, and by itself: never from inside of what changes things. */
static void wake(struct acme_agent *g)
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

/* ---- what is written ---- */

static int make_file(struct str bytes)
{
	int fd = memfd_create("acme", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	while (bytes.n) {
		ssize_t r = write(fd, bytes.p, bytes.n);

		if (r <= 0) {
			close(fd);
			return -1;
		}
		bytes = str_of(bytes.p + r, bytes.n - (size_t)r);
	}
	if (lseek(fd, 0, SEEK_SET) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Returns the id of what was sent, or 0: errno says why. */
static uint32_t store(struct acme_agent *g, struct str path, struct str bytes)
{
	struct msg_store m = { ++g->last_id ? g->last_id : ++g->last_id };
	int fd = make_file(bytes);

	if (fd < 0)
		return 0;
	msg_send2(g->parent, MSG_STORE, &m, sizeof m, path, fd);
	close(fd);
	return m.id;
}

static uint32_t store_state(struct acme_agent *g, struct cert *c)
{
	struct arena a;
	uint32_t id;

	arena_init(&a);
	id = store(g, c->conf->state->path, acme_state_write(&a, &c->state));
	arena_fini(&a);
	return id;
}

/* Bytes of a state become the state; texts of the one before are gone with it. */
static bool read_state(struct cert *c, struct str bytes)
{
	struct acme_state s;
	struct arena a;
	bool good;

	arena_init(&a);
	good = acme_state_read(&a, bytes, &s);
	arena_fini(&c->arena);
	c->arena = a;
	c->state = s;
	return good;
}

/* ---- accounts ---- */

static struct account *account_of(struct acme_agent *g, const struct conf_acme_account *conf)
{
	list_for_each(n, &g->accounts) {
		struct account *a = list_entry(n, struct account, node);

		if (str_eq(a->path, conf->file->path))
			return a;
	}
	return NULL;
}

static void add_account(struct acme_agent *g, const struct conf_acme_account *conf)
{
	struct str bytes = conf->file->bytes;
	struct account *a = account_of(g, conf);

	if (a)
		return;
	a = base_zalloc(sizeof *a);
	arena_init(&a->arena);
	a->path = arena_dup(&a->arena, conf->file->path);
	if (!acme_account_read(&a->arena, bytes, &a->account) && bytes.n)
		log_warn("%s is no account that can be used (a P-256 key as JWK): a new one takes its place",
			 a->path.p);
	list_push(&g->accounts, &a->node);
}

static void account_free(struct account *a)
{
	list_del(&a->node);
	EVP_PKEY_free(a->account.key);
	arena_fini(&a->arena);
	free(a);
}

static uint32_t store_account(struct acme_agent *g, struct account *a)
{
	struct arena arena;
	uint32_t id;

	arena_init(&arena);
	id = store(g, a->path, acme_account_write(&arena, &a->account));
	arena_fini(&arena);
	return id;
}

/* Each has a key before it is needed, and written down. */
static void ready_accounts(struct acme_agent *g, const struct cert *c, struct acme_account *out)
{
	for (size_t i = 0; i < c->conf->naccounts; i++) {
		struct account *a = account_of(g, c->conf->accounts[i]);

		BUG_ON(!a);
		if (!a->account.key) {
			a->account.key = acme_key_new(ACME_KEY_P256);
			(void)store_account(g, a);
		}
		out[i] = a->account;
	}
}

/* ---- how a certificate stands ---- */

static bool has_part(const struct cert *c, size_t kind)
{
	return c->conf->kinds[kind];
}

/* NULL: nothing that could stay in use. */
static const struct acme_facts *facts_in_use(const struct part *p)
{
	return p->facts.not_after && !p->unfit ? &p->facts : NULL;
}

static struct acme_next next_of_part(const struct cert *c, size_t kind)
{
	const struct part *p = &c->parts[kind];
	const struct acme_state *s = &c->state;

	if (p->revoke)
		return (struct acme_next){ ACME_ACT_ORDER, 0 };
	return acme_plan_next(s, &s->parts[kind], p->forced ? NULL : facts_in_use(p), now_ms());
}

/* Of the parts the one that comes first; *kind is which. */
static struct acme_next next_of(const struct cert *c, enum conf_acme_kind *kind)
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

static enum msg_acme_state_id state_id(const struct cert *c, bool is_there)
{
	if (c->revoked)
		return MSG_ACME_REVOKED;
	if (c->order && c->order->job == ACME_JOB_ORDER)
		return MSG_ACME_ORDERING;
	if (c->state.failures)
		return MSG_ACME_FAILED;
	return is_there ? MSG_ACME_VALID : MSG_ACME_NONE;
}

static void tell(struct acme_agent *g, struct cert *c)
{
	struct msg_acme_state m;
	enum conf_acme_kind kind = CONF_ACME_ECDSA;
	const struct acme_facts *facts = NULL;
	struct str error = c->state.error;
	struct arena a;
	struct str words;

	memset(&m, 0, sizeof m);
	for (size_t i = 0; i < CONF_ACME_KINDS; i++)
		if (has_part(c, i) && c->parts[i].facts.not_after &&
		    (!facts || c->parts[i].facts.not_after < facts->not_after))
			facts = &c->parts[i].facts;
	m.state = state_id(c, facts != NULL);
	m.tries = c->state.failures;
	m.next_s = next_of(c, &kind).at_ms / ACME_SECOND_MS;
	if (facts) {
		m.not_before_s = facts->not_before;
		m.not_after_s = facts->not_after;
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

/* ---- an order's process ---- */

/* Everything of this process but its end of the link and standard error. */
static void leave_behind(int link)
{
	if (link > STDERR_FILENO + 1)
		(void)close_range(STDERR_FILENO + 1, (unsigned)link - 1, 0);
	(void)close_range((unsigned)link + 1, ~0U, 0);
}

NORETURN static void be_order(struct acme_agent *g, struct order *o, struct acme_account *accounts, int link)
{
	struct cert *c = o->cert;
	struct acme_task t = {
		.job = o->job,
		.cert = c->conf,
		.kind = o->kind,
		.accounts = accounts,
		.state = c->state,
		.chain = c->parts[o->kind].chain,
		.facts = c->parts[o->kind].facts,
		.link = link,
	};
	struct str *taken;
	size_t n = 0;

	leave_behind(link);
	list_for_each(node, &g->certs)
		n++;
	taken = base_alloc((n + 1) * CONF_ACME_KINDS * sizeof *taken);
	list_for_each(node, &g->certs) {
		const struct cert *other = list_entry(node, struct cert, node);

		for (size_t i = 0; i < CONF_ACME_KINDS; i++)
			if ((other != c || i != o->kind) && other->state.parts[i].order.url.n)
				taken[t.ntaken++] = other->state.parts[i].order.url;
	}
	t.taken = taken;
	acme_flow_run(&t);
}

static void on_link(struct event *ev, uint32_t bits)
{
	(void)bits;
	loop_post(&container_of(ev, struct order, link)->work);
}

static void read_link(struct work *w);
static void on_deadline(struct timer *t);

static void bury(struct grave *grave)
{
	free(container_of(grave, struct order, grave));
}

/* Those that have ended. One that is not heard of any more ends with its next request. */
static void reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static void order_close(struct order *o)
{
	struct acme_agent *g = o->agent;

	list_del(&o->node);
	timer_stop(&o->deadline);
	work_cancel(&o->work);
	loop_del(&o->link);
	close(o->link.fd);
	g->running--;
	g->failing -= o->failing;
	list_for_each(n, &g->accounts) {
		struct account *a = list_entry(n, struct account, node);

		if (a->enrols == o)
			a->enrols = NULL;
	}
	if (o->cert)
		o->cert->order = NULL;
	loop_bury(&o->grave, bury);
}

static void start(struct acme_agent *g, struct cert *c, enum conf_acme_kind kind, enum acme_job job)
{
	struct acme_account *accounts = base_alloc(c->conf->naccounts * sizeof *accounts);
	struct order *o = base_zalloc(sizeof *o);
	int pair[2], r = acme_link_pair(pair);
	pid_t pid = -1;

	*o = (struct order){ .agent = g, .cert = c, .kind = kind, .job = job };
	o->failing = c->state.failures > 0;
	ready_accounts(g, c, accounts);
	if (r == 0) {
		pid = fork();
		if (pid == 0)
			be_order(g, o, accounts, pair[1]);
		r = pid < 0 ? -errno : 0;
		close(pair[1]);
		o->link = (struct event){ pair[0], on_link };
		if (r == 0)
			r = loop_add(&o->link, EPOLLIN);
		if (r < 0)
			close(pair[0]);
	}
	free(accounts);
	if (r < 0) {
		log_error("%s: cannot start a process for its order: %s", c->id.p, strerror(-r));
		free(o);
		c->state.next_ms = now_ms() + ACME_SECOND_MS;
		return;
	}
	work_init(&o->work, read_link);
	timer_init(&o->deadline, on_deadline);
	timer_set(&o->deadline, ORDER_MAX_MS);
	list_push(&g->orders, &o->node);
	g->running++;
	g->failing += o->failing;
	c->order = o;
}

/* ---- what an order asks for ---- */

static void answer(struct order *o, int error)
{
	o->asked = 0;
	acme_link_answer(o->link.fd, error);
}

/* The answer is the parent's; without a message there is none. */
static void forward(struct order *o, uint32_t id)
{
	o->asked = id;
	if (!id)
		answer(o, errno);
}

static void withdraw(struct acme_agent *g, struct cert *c)
{
	for (size_t i = 0; i < c->nchallenges; i++) {
		struct msg_challenge_id m = { c->challenges[i] };

		msg_send(g->parent, MSG_UNCHALLENGE, &m, sizeof m, -1);
	}
	free(c->challenges);
	c->challenges = NULL;
	c->nchallenges = 0;
}

static bool take_challenge(struct order *o, uint32_t what, struct str bytes)
{
	static const enum msg_challenge_kind kinds[CONF_ACME_CHALLENGES] = {
		[CONF_ACME_TLS_ALPN_01] = MSG_CHALLENGE_TLS_ALPN,
		[CONF_ACME_HTTP_01] = MSG_CHALLENGE_HTTP,
		[CONF_ACME_DNS_01] = MSG_CHALLENGE_DNS,
	};
	struct acme_agent *g = o->agent;
	struct cert *c = o->cert;
	struct msg_challenge m;

	if (what >= CONF_ACME_CHALLENGES || bytes.n < 3 || bytes.n > MSG_CHALLENGE_MAX)
		return false;
	m = (struct msg_challenge){ ++g->last_id ? g->last_id : ++g->last_id, kinds[what] };
	c->challenges = base_realloc(c->challenges, (c->nchallenges + 1) * sizeof *c->challenges);
	c->challenges[c->nchallenges++] = m.id;
	msg_send2(g->parent, MSG_CHALLENGE, &m, sizeof m, bytes, -1);
	forward(o, m.id);
	return true;
}

/* Directory NUL URL. */
static bool take_account(struct order *o, struct str bytes)
{
	const char *nul = memchr(bytes.p, 0, bytes.n);
	struct str directory = str_of(bytes.p, nul ? (size_t)(nul - bytes.p) : bytes.n), url = STR_NONE;

	if (nul)
		url = str_of(nul + 1, bytes.n - directory.n - 1);
	for (size_t i = 0; i < o->cert->conf->naccounts; i++) {
		const struct conf_acme_account *conf = o->cert->conf->accounts[i];
		struct account *a = account_of(o->agent, conf);

		if (!a || !str_eq(conf->directory, directory))
			continue;
		directory = arena_dup(&a->arena, directory);
		acme_account_register(&a->account, directory, arena_dup(&a->arena, url));
		a->enrols = NULL;
		wake(o->agent);
		forward(o, store_account(o->agent, a));
		return true;
	}
	return false;
}

static void set_chain(struct part *p, struct str chain)
{
	struct acme_facts facts;
	struct arena a;

	arena_init(&a);
	chain = arena_dup(&a, chain);
	if (!acme_cert_facts(&a, chain, &facts))
		facts = (struct acme_facts){ 0 };
	arena_fini(&p->arena);
	*p = (struct part){ .arena = a, .chain = chain, .facts = facts, .forced = p->forced,
			    .revoke = p->revoke };
}

static bool take_file(struct order *o, enum acme_link_type type, struct str bytes)
{
	struct cert *c = o->cert;
	struct part *p = &c->parts[o->kind];
	struct conf_file *file = type == ACME_LINK_KEY ? c->conf->keys[o->kind] : c->conf->certs[o->kind];

	forward(o, store(o->agent, file->path, bytes));
	if (type == ACME_LINK_CHAIN) {
		set_chain(p, bytes);
		p->forced = false;
		c->revoked = false;
		log_note("%s: a new certificate, serial %s, good for %lld s", c->id.p, p->facts.serial.p,
			 (long long)(p->facts.not_after - now_ms() / ACME_SECOND_MS));
	}
	return true;
}

static bool take_state(struct order *o, struct str bytes)
{
	if (!read_state(o->cert, bytes))
		return false;
	forward(o, store_state(o->agent, o->cert));
	return true;
}

/* ---- its end ---- */

/* words: of the last failure; the state is the order's own but when it could not say it any more. */
static void over(struct order *o, enum acme_end end, struct str words)
{
	struct acme_agent *g = o->agent;
	struct cert *c = o->cert;
	struct part *p = &c->parts[o->kind];

	order_close(o);
	if (end != ACME_END_WAIT)
		withdraw(g, c);
	if (end == ACME_END_REFUSED || end == ACME_END_AWAY)
		log_warn("%s: %.*s; next try in %lld s", c->id.p, STR_ARG(words),
			 (long long)MAX((c->state.next_ms - now_ms()) / ACME_SECOND_MS, INT64_C(0)));
	if (o->job == ACME_JOB_REVOKE) {
		p->revoke = false;
		if (end != ACME_END_DONE)
			c->state.error = arena_dup(&c->arena, words);
		if (end == ACME_END_DONE) {
			log_note("%s: the certificate with serial %s is revoked", c->id.p, p->facts.serial.p);
			c->revoked = true;
			p->forced = true;
		}
	}
	tell(g, c);
	wake(g);
}

/* It was killed, or hung: what it left can be gone on with. */
static void lost(struct order *o, const char *why)
{
	struct cert *c = o->cert;
	uint32_t random;

	if (!c) {
		order_close(o);
		return;
	}
	BUG_ON(RAND_bytes((uint8_t *)&random, sizeof random) != 1);
	if (o->job == ACME_JOB_ASK)
		c->state.parts[o->kind].ari.check_ms = now_ms() + ACME_MINUTE_MS;
	else
		acme_plan_failed(&c->state, false, false, str_from_c(why), now_ms(),
				 c->parts[o->kind].facts.not_after * ACME_SECOND_MS, 0, random);
	(void)store_state(o->agent, c);
	over(o, ACME_END_AWAY, str_from_c(why));
}

static void on_deadline(struct timer *t)
{
	lost(container_of(t, struct order, deadline), "its process took too long");
}

static bool take(struct order *o, const struct acme_link_head *h, struct str bytes)
{
	switch ((enum acme_link_type)h->type) {
	case ACME_LINK_STATE: return take_state(o, bytes);
	case ACME_LINK_ACCOUNT: return take_account(o, bytes);
	case ACME_LINK_KEY:
	case ACME_LINK_CHAIN: return take_file(o, (enum acme_link_type)h->type, bytes);
	case ACME_LINK_CHALLENGE: return take_challenge(o, h->what, bytes);
	case ACME_LINK_END:
	case ACME_LINK_TYPES: break;
	}
	return false;
}

static void read_link(struct work *w)
{
	struct order *o = container_of(w, struct order, work);
	char *buf = base_alloc(ACME_LINK_BYTES);
	struct acme_link_head h;
	struct str bytes;
	int r = acme_link_read(o->link.fd, buf, &h, &bytes);

	if (r > 0 && h.type == ACME_LINK_END && h.what < ACME_END_ENDS && o->cert)
		over(o, (enum acme_end)h.what, bytes);
	else if (r < 0 || (r > 0 && (!o->cert || o->asked || !take(o, &h, bytes))))
		lost(o, "its process has ended without a word");
	free(buf);
	reap();
}

/* ---- when ---- */

/* Failing ones leave room for others. */
static bool has_room(const struct acme_agent *g, const struct cert *c)
{
	return g->running < ORDERS_MAX && (!c->state.failures || g->failing < FAILING_MAX);
}

/* One registers an account, and the others wait for it. */
static bool waits_for_account(struct acme_agent *g, const struct cert *c)
{
	const struct conf_acme_account *conf = c->conf->accounts[c->state.account % c->conf->naccounts];
	struct account *a = account_of(g, conf);

	return a && a->enrols && !acme_account_url(&a->account, conf->directory).n;
}

static void note_enrolment(struct acme_agent *g, struct cert *c)
{
	const struct conf_acme_account *conf = c->conf->accounts[c->state.account % c->conf->naccounts];
	struct account *a = account_of(g, conf);

	if (a && c->order && !acme_account_url(&a->account, conf->directory).n)
		a->enrols = c->order;
}

/* Starts what is due. Returns when it wants to be looked at again. */
static int64_t look_at(struct acme_agent *g, struct cert *c, int64_t now)
{
	enum conf_acme_kind kind = CONF_ACME_ECDSA;
	struct acme_next next = next_of(c, &kind);
	enum acme_job job = ACME_JOB_ORDER;

	if (c->order)
		return INT64_MAX;
	if (next.at_ms > now)
		return next.at_ms;
	if (!has_room(g, c) || waits_for_account(g, c))
		return INT64_MAX;
	if (next.act == ACME_ACT_ASK)
		job = ACME_JOB_ASK;
	if (c->parts[kind].revoke)
		job = ACME_JOB_REVOKE;
	start(g, c, kind, job);
	if (job == ACME_JOB_ORDER)
		note_enrolment(g, c);
	tell(g, c);
	return c->order ? INT64_MAX : c->state.next_ms;
}

static void look_at_clock(struct acme_agent *g)
{
	int64_t ahead_ms = now_ms() - (int64_t)(loop_clock_us() / 1000), by_ms = ahead_ms - g->clock_ms;

	if (g->clock_ms && (by_ms > STEP_MS || by_ms < -STEP_MS))
		log_note("the clock was set by %lld s; what is due is judged anew",
			 (long long)(by_ms / ACME_SECOND_MS));
	g->clock_ms = ahead_ms;
}

static void tick(struct timer *t)
{
	struct acme_agent *g = container_of(t, struct acme_agent, timer);
	int64_t now = now_ms(), next_ms = now + LOOK_MS;

	reap();
	look_at_clock(g);
	list_for_each(n, &g->certs)
		next_ms = MIN(next_ms, look_at(g, list_entry(n, struct cert, node), now));
	timer_set(&g->timer, (uint64_t)MAX(next_ms - now_ms(), INT64_C(1)));
}

/* ---- the configuration ---- */

static struct cert *cert_of(struct acme_agent *g, struct str id)
{
	list_for_each(n, &g->certs) {
		struct cert *c = list_entry(n, struct cert, node);

		if (str_eq(c->id, id))
			return c;
	}
	return NULL;
}

static void cert_free(struct acme_agent *g, struct cert *c)
{
	withdraw(g, c);
	if (c->order)
		c->order->cert = NULL; /* it ends when it next wants something */
	list_del(&c->node);
	for (size_t i = 0; i < CONF_ACME_KINDS; i++)
		arena_fini(&c->parts[i].arena);
	arena_fini(&c->arena);
	free((char *)c->told_words.p);
	free((char *)c->id.p);
	free(c);
}

static struct cert *cert_new(const struct conf_acme_cert *conf)
{
	struct cert *c = base_zalloc(sizeof *c);

	c->id = dup_text(conf->id);
	c->conf = conf;
	list_init(&c->node);
	for (size_t i = 0; i < CONF_ACME_KINDS; i++)
		arena_init(&c->parts[i].arena);
	arena_init(&c->arena);
	if (!read_state(c, conf->state->bytes))
		log_warn("%s is not the state of a certificate: it is begun anew",
			 conf->state->path.p);
	return c;
}

/* What lies in the files, unless an order is about to replace it. */
static void read_part(struct cert *c, size_t kind)
{
	struct part *p = &c->parts[kind];
	EVP_PKEY *key;
	const char *wrong;

	if (!has_part(c, kind)) {
		set_chain(p, STR_NONE);
		return;
	}
	set_chain(p, c->conf->certs[kind]->bytes);
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
		add_account(g, conf->acme.accounts[i]);
	for (size_t i = 0; i < conf->acme.ncerts; i++) {
		struct conf_acme_cert *a = conf->acme.certs[i];
		struct cert *c = NULL;

		list_for_each(n, &old)
			if (!c && str_eq(list_entry(n, struct cert, node)->id, a->id))
				c = list_entry(n, struct cert, node);
		if (!c)
			c = cert_new(a);
		list_del(&c->node);
		list_push(&g->certs, &c->node);
		c->conf = a;
		for (size_t k = 0; k < CONF_ACME_KINDS; k++)
			read_part(c, k);
	}
	while (!list_empty(&old))
		cert_free(g, list_entry(old.next, struct cert, node));
	list_for_each_safe(n, tmp, &g->accounts) {
		struct account *a = list_entry(n, struct account, node);
		bool used = false;

		for (size_t i = 0; i < conf->acme.naccounts; i++)
			used |= str_eq(conf->acme.accounts[i]->file->path, a->path);
		if (!used)
			account_free(a);
	}
	if (g->conf)
		conf_put(g->conf);
	g->conf = conf;
	list_for_each(n, &g->certs)
		tell(g, list_entry(n, struct cert, node));
	wake(g);
}

/* ---- what the parent says ---- */

static struct order *order_that_asked(struct acme_agent *g, uint32_t id)
{
	list_for_each(n, &g->orders) {
		struct order *o = list_entry(n, struct order, node);

		if (o->asked == id && id)
			return o;
	}
	return NULL;
}

void acme_agent_stored(struct acme_agent *g, uint32_t id, int error)
{
	struct order *o = order_that_asked(g, id);

	if (o)
		answer(o, error);
}

void acme_agent_challenge_ready(struct acme_agent *g, uint32_t id, int error, struct str words)
{
	struct order *o = order_that_asked(g, id);

	if (error)
		log_warn("%s: a challenge could not be met: %.*s", o && o->cert ? o->cert->id.p : "-",
			 STR_ARG(words.n ? words : str_from_c(strerror(error))));
	if (o)
		answer(o, error);
}

bool acme_agent_do(struct acme_agent *g, enum msg_acme_verb verb, struct str id)
{
	struct cert *c = cert_of(g, id);

	if (!c)
		return false;
	c->state.next_ms = 0;
	c->state.nwaits = 0;
	for (size_t i = 0; i < CONF_ACME_KINDS; i++) {
		struct part *p = &c->parts[i];

		if (!has_part(c, i))
			continue;
		if (verb == MSG_ACME_RENEW)
			p->forced = true;
		else
			p->revoke = p->facts.not_after != 0;
	}
	wake(g);
	return true;
}

void acme_agent_open(struct acme_agent *g, struct msg_channel *parent)
{
	*g = (struct acme_agent){ .parent = parent };
	list_init(&g->certs);
	list_init(&g->accounts);
	list_init(&g->orders);
	timer_init(&g->timer, tick);
}

void acme_agent_close(struct acme_agent *g)
{
	while (!list_empty(&g->orders))
		order_close(list_entry(g->orders.next, struct order, node));
	while (!list_empty(&g->certs))
		cert_free(g, list_entry(g->certs.next, struct cert, node));
	while (!list_empty(&g->accounts))
		account_free(list_entry(g->accounts.next, struct account, node));
	timer_stop(&g->timer);
	if (g->conf)
		conf_put(g->conf);
	g->conf = NULL;
}
