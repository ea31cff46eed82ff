#include "proxy/parent/issue.h"
#include "proxy/parent/child.h"
#include "proxy/parent/hook.h"
#include "proxy/parent/reload.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	CHALLENGES_MAX = 1024,
	STORE_MAX_BYTES = CONF_FILE_BYTES,
	SILENT_MS = 2000,  /* a worker that has not taken a token by then is started again */
	SILENT_TIMES = 5,  /* and the challenge is given up */
};

/* A CA is to be answered. */
struct challenge {
	struct list node;   /* issue.challenges, by id */
	struct parent *parent;
	uint32_t id;        /* that workers know it by */
	uint32_t acme_id;   /* that the acme process knows it by */
	enum msg_challenge_kind kind;
	bool told;          /* CHALLENGE_READY was sent */
	unsigned waited;    /* times SILENT_MS */
	struct timer silent;
	struct hook *hook;  /* while one runs */
	struct str name, token, content; /* slices of text */
	size_t n;
	struct grave grave;
	char text[];
};

static struct parent *parent_of(struct msg_channel *channel)
{
	return container_of(channel, struct child, channel)->parent;
}

static struct child *acme_child(const struct parent *p)
{
	return p->helpers[PARENT_ACME].child;
}

bool issue_is_needed(const struct parent *p)
{
	return p->current.conf->acme.ncerts > 0;
}

void issue_load(struct child *acme, const struct parent_conf *conf)
{
	struct parent *p = acme->parent;
	struct msg_generation m = { conf->generation };
	struct conf_given given = { .kept = NULL };
	struct conf_record *kept = store_kept(&p->store, &given.nkept);
	int fd;

	given.kept = kept;
	fd = conf_bundle_again(conf->bundle, conf->conf, CONF_FOR_ACME, &given);
	free(kept);
	if (fd < 0) {
		log_error("the acme process cannot be told its configuration: %s", strerror(errno));
		return;
	}
	msg_send(&acme->channel, MSG_ACME_LOAD, &m, sizeof m, fd);
	close(fd);
}

bool issue_do(struct parent *p, enum msg_acme_verb verb, struct str id)
{
	struct child *acme = acme_child(p);
	struct msg_acme_do m = { verb };

	if (!acme || acme->expected || id.n > MSG_NAME_MAX)
		return false;
	msg_send2(&acme->channel, MSG_ACME_DO, &m, sizeof m, id, -1);
	return true;
}

/* ---- files ---- */

/* All of a memory file, whoever made it; the caller frees it. False: it is something else, or too large. */
static bool read_memory(int fd, struct str *out)
{
	struct stat st;
	size_t n = 0;
	char *p;

	/* without seals it may change or shrink while it is read: all that can come of it is other bytes */
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 0 || st.st_size > STORE_MAX_BYTES)
		return false;
	p = base_alloc((size_t)st.st_size + 1);
	while (n < (size_t)st.st_size) {
		ssize_t got = pread(fd, p + n, (size_t)st.st_size - n, (off_t)n);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	*out = str_of(p, n);
	return true;
}

static const struct conf_file *file_of(const struct config *c, struct str path)
{
	for (size_t i = 0; i < c->nfiles; i++)
		if (c->files[i]->is_store && str_eq(c->files[i]->path, path))
			return c->files[i];
	return NULL;
}

/* The key of a certificate comes first, so that with the certificate both are there. */
static bool completes_certificate(const struct config *c, const struct conf_file *f)
{
	for (size_t i = 0; i < c->acme.ncerts; i++)
		for (size_t k = 0; k < CONF_ACME_KINDS; k++)
			if (c->acme.certs[i]->certs[k] == f)
				return true;
	return false;
}

bool parent_on_store(struct msg_channel *channel, struct msg_in *m)
{
	struct parent *p = parent_of(channel);
	const struct msg_store *s = m->data;
	struct str path = str_of((const char *)m->data + sizeof *s, m->n - sizeof *s), bytes;
	struct msg_stored done = { .id = s->id };
	const struct conf_file *f;

	if (!p->current.conf || !read_memory(m->fd, &bytes))
		return false;
	f = file_of(p->current.conf, path);
	/* of a configuration that is gone meanwhile */
	done.error = f ? store_write(&p->store, f->path, bytes) : ENOENT;
	if (f && completes_certificate(p->current.conf, f)) {
		p->issue.certs++;
		reload_renew(p);
	}
	explicit_bzero((char *)(uintptr_t)bytes.p, bytes.n);
	free((char *)(uintptr_t)bytes.p);
	msg_send(channel, MSG_STORED, &done, sizeof done, -1);
	return true;
}

/* ---- challenges ---- */

static void bury(struct grave *g)
{
	free(container_of(g, struct challenge, grave));
}

static void tell(struct challenge *c, int error, const char *why)
{
	struct child *acme = acme_child(c->parent);
	struct msg_challenge_ready m = { c->acme_id, error };
	struct str words = str_of(why, MIN(strlen(why), (size_t)MSG_WORDS_MAX));

	timer_stop(&c->silent);
	c->told = true;
	if (acme)
		msg_send2(&acme->channel, MSG_CHALLENGE_READY, &m, sizeof m, words, -1);
}

static bool is_for_workers(const struct challenge *c)
{
	return c->kind != MSG_CHALLENGE_DNS;
}

static bool takes_tokens(const struct child *c)
{
	return c->role == MSG_WORKER && !c->expected;
}

/* Tokens are sent in order of their numbers, and taken in that order: who has one has those before it. */
static bool have_all(const struct challenge *c)
{
	list_for_each(n, &c->parent->children) {
		const struct child *w = list_entry(n, struct child, node);

		if (takes_tokens(w) && w->token_have < c->id)
			return false;
	}
	return true;
}

static void check_all(struct parent *p)
{
	list_for_each(n, &p->issue.challenges) {
		struct challenge *c = list_entry(n, struct challenge, node);

		if (is_for_workers(c) && !c->told && have_all(c))
			tell(c, 0, "");
	}
}

static void silent(struct timer *t)
{
	struct challenge *c = container_of(t, struct challenge, silent);

	list_for_each(n, &c->parent->children) {
		struct child *w = list_entry(n, struct child, node);

		if (!takes_tokens(w) || w->token_have >= c->id)
			continue;
		log_error("worker %u (pid %d) does not take the token for %.*s: ended", w->index,
			  (int)w->pid, STR_ARG(c->name));
		child_kill(w);
	}
	if (++c->waited < SILENT_TIMES)
		timer_set(t, SILENT_MS);
	else
		tell(c, ETIMEDOUT, "workers do not take the token");
}

static void send_token(struct child *w, const struct challenge *c)
{
	struct msg_challenge m = { c->id, c->kind };

	msg_send2(&w->channel, MSG_TOKEN, &m, sizeof m, str_of(c->text, c->n), -1);
}

void issue_brief(struct child *worker)
{
	list_for_each(n, &worker->parent->issue.challenges) {
		const struct challenge *c = list_entry(n, struct challenge, node);

		if (is_for_workers(c))
			send_token(worker, c);
	}
}

static void hook_ready(void *arg, const char *why)
{
	struct challenge *c = arg;

	c->hook = NULL;
	tell(c, why ? EIO : 0, why ? why : "");
}

/* The program that the configuration names for this name's certificate. */
static struct str program_for(const struct config *conf, struct str record)
{
	const struct str prefix = STR("_acme-challenge.");
	struct str name = str_starts(record, prefix) ? str_of(record.p + prefix.n, record.n - prefix.n) :
						       record;

	for (size_t i = 0; i < conf->acme.ncerts; i++) {
		const struct conf_acme_cert *cert = conf->acme.certs[i];

		for (size_t k = 0; cert->hook.n && k < cert->nnames; k++) {
			struct str n = cert->names[k];

			if (str_starts(n, STR("*.")))
				n = str_of(n.p + 2, n.n - 2);
			if (str_eq(n, name))
				return cert->hook;
		}
	}
	return STR_NONE;
}

static void meet_by_hook(struct challenge *c)
{
	struct parent *p = c->parent;
	struct str program = program_for(p->current.conf, c->name);

	if (!program.n) {
		tell(c, ENOENT, "no acme-hook is configured for this name");
		return;
	}
	c->hook = hook_start(&p->issue.hooks, program, "add", c->name, c->content, hook_ready, c);
}

static void meet(struct challenge *c)
{
	if (!is_for_workers(c)) {
		meet_by_hook(c);
		return;
	}
	list_for_each(n, &c->parent->children) {
		struct child *w = list_entry(n, struct child, node);

		if (takes_tokens(w))
			send_token(w, c);
	}
	timer_set(&c->silent, SILENT_MS);
	check_all(c->parent);
}

static void drop(struct challenge *c)
{
	struct parent *p = c->parent;
	struct msg_challenge_id m = { c->id };
	struct str program;

	timer_stop(&c->silent);
	list_del(&c->node);
	p->issue.nchallenges--;
	if (c->hook)
		hook_forget(c->hook);
	if (is_for_workers(c)) {
		list_for_each(n, &p->children) {
			struct child *w = list_entry(n, struct child, node);

			if (takes_tokens(w))
				msg_send(&w->channel, MSG_TOKEN_GONE, &m, sizeof m, -1);
		}
	} else if (p->current.conf && p->state != PARENT_STOPPING) {
		program = program_for(p->current.conf, c->name);
		if (program.n)
			hook_start(&p->issue.hooks, program, "remove", c->name, c->content, NULL, NULL);
	}
	loop_bury(&c->grave, bury);
}

static void drop_all(struct parent *p)
{
	list_for_each_safe(n, tmp, &p->issue.challenges)
		drop(list_entry(n, struct challenge, node));
}

bool parent_on_challenge(struct msg_channel *channel, struct msg_in *m)
{
	struct parent *p = parent_of(channel);
	const struct msg_challenge *given = m->data;
	size_t n = m->n - sizeof *given;
	struct challenge *c;

	if (given->kind >= MSG_CHALLENGE_KINDS || p->issue.nchallenges >= CHALLENGES_MAX ||
	    !p->current.conf)
		return false;
	c = base_zalloc(sizeof *c + n);
	memcpy(c->text, (const char *)m->data + sizeof *given, n);
	c->n = n;
	c->content = str_of(c->text, n);
	if (!str_take_text(&c->content, &c->name) || !str_take_text(&c->content, &c->token) || !c->name.n) {
		free(c);
		return false;
	}
	c->parent = p;
	c->kind = (enum msg_challenge_kind)given->kind;
	c->acme_id = given->id;
	c->id = ++p->issue.ids;
	timer_init(&c->silent, silent);
	list_push(&p->issue.challenges, &c->node);
	p->issue.nchallenges++;
	meet(c);
	return true;
}

bool parent_on_unchallenge(struct msg_channel *channel, struct msg_in *m)
{
	struct parent *p = parent_of(channel);
	const struct msg_challenge_id *given = m->data;

	list_for_each_safe(n, tmp, &p->issue.challenges) {
		struct challenge *c = list_entry(n, struct challenge, node);

		if (c->acme_id == given->id)
			drop(c);
	}
	return true;
}

bool parent_on_token_have(struct msg_channel *channel, struct msg_in *m)
{
	struct child *w = container_of(channel, struct child, channel);
	const struct msg_challenge_id *have = m->data;

	if (have->id <= w->token_have || have->id > w->parent->issue.ids)
		return false;
	w->token_have = have->id;
	check_all(w->parent);
	return true;
}

/* ---- how they stand ---- */

const char *issue_state_text(uint32_t state)
{
	static const char *const texts[] = {
#define X(NAME, text) text,
		MSG_ACME_STATE_TABLE(X)
#undef X
	};

	return state < ARRAY_SIZE(texts) ? texts[state] : "unknown";
}

const struct issue_state *issue_state(const struct parent *p, struct str id)
{
	list_for_each(n, &p->issue.states) {
		const struct issue_state *s = list_entry(n, struct issue_state, node);

		if (str_eq(str_from_c(s->id), id))
			return s;
	}
	return NULL;
}

static void forget_state(struct issue_state *s)
{
	list_del(&s->node);
	free(s->id);
	free(s->serial);
	free(s->error);
	free(s);
}

static bool is_known(const struct config *c, struct str id)
{
	for (size_t i = 0; i < c->acme.ncerts; i++)
		if (str_eq(c->acme.certs[i]->id, id))
			return true;
	return false;
}

bool parent_on_acme_state(struct msg_channel *channel, struct msg_in *m)
{
	struct parent *p = parent_of(channel);
	struct str rest = str_of((const char *)m->data + sizeof(struct msg_acme_state),
				 m->n - sizeof(struct msg_acme_state));
	struct str id, serial;
	struct issue_state *s;

	if (!str_take_text(&rest, &id) || !str_take_text(&rest, &serial))
		return false;
	list_for_each_safe(n, tmp, &p->issue.states) {
		s = list_entry(n, struct issue_state, node);
		if (str_eq(str_from_c(s->id), id) || !is_known(p->current.conf, str_from_c(s->id)))
			forget_state(s);
	}
	if (!is_known(p->current.conf, id))
		return true; /* of the configuration before */
	s = base_zalloc(sizeof *s);
	memcpy(&s->known, m->data, sizeof s->known);
	s->id = str_dup(id);
	s->serial = str_dup(serial);
	s->error = str_dup(rest);
	list_push(&p->issue.states, &s->node);
	return true;
}

/* ---- the whole ---- */

void issue_child_gone(struct parent *p, const struct child *c)
{
	if (c->role == MSG_ACME)
		drop_all(p);
	else
		check_all(p);
}

void issue_init(struct parent *p)
{
	list_init(&p->issue.challenges);
	list_init(&p->issue.states);
	hook_init(&p->issue.hooks, &p->current.acme_user);
	store_init(&p->store);
}

void issue_fini(struct parent *p)
{
	drop_all(p);
	list_for_each_safe(n, tmp, &p->issue.states)
		forget_state(list_entry(n, struct issue_state, node));
	hook_fini(&p->issue.hooks);
	store_fini(&p->store);
}
