#include "acme/care.h"
#include "acme/ca.h"
#include "core/log.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

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
uint32_t acme_keep_file(struct acme_agent *g, struct str path, struct str bytes)
{
	struct msg_store m = { ++g->last_id ? g->last_id : ++g->last_id };
	int fd = make_file(bytes);

	if (fd < 0)
		return 0;
	msg_send2(g->parent, MSG_STORE, &m, sizeof m, path, fd);
	close(fd);
	return m.id;
}

uint32_t acme_keep_state(struct acme_agent *g, struct acme_care *c)
{
	struct arena a;
	uint32_t id;

	arena_init(&a);
	id = acme_keep_file(g, c->conf->state->path, acme_state_write(&a, &c->state));
	arena_fini(&a);
	return id;
}

/* Bytes of a state become the state; texts of the one before are gone with it. */
bool acme_keep_read(struct acme_care *c, struct str bytes)
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

struct acme_login *acme_login_of(struct acme_agent *g, const struct conf_acme_account *conf)
{
	list_for_each(n, &g->accounts) {
		struct acme_login *a = list_entry(n, struct acme_login, node);

		if (str_eq(a->path, conf->file->path))
			return a;
	}
	return NULL;
}

void acme_login_add(struct acme_agent *g, const struct conf_acme_account *conf)
{
	struct str bytes = conf->file->bytes;
	struct acme_login *a = acme_login_of(g, conf);

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

void acme_login_free(struct acme_login *a)
{
	list_del(&a->node);
	EVP_PKEY_free(a->account.key);
	arena_fini(&a->arena);
	free(a);
}

uint32_t acme_keep_login(struct acme_agent *g, struct acme_login *a)
{
	struct arena arena;
	uint32_t id;

	arena_init(&arena);
	id = acme_keep_file(g, a->path, acme_account_write(&arena, &a->account));
	arena_fini(&arena);
	return id;
}

bool acme_login_ready(struct acme_agent *g, const struct acme_care *c)
{
	bool ready = true;

	for (size_t i = 0; i < c->conf->naccounts; i++) {
		struct acme_login *a = acme_login_of(g, c->conf->accounts[i]);

		BUG_ON(!a);
		if (!a->account.key) {
			a->account.key = acme_key_new(ACME_KEY_P256);
			a->unwritten = acme_keep_login(g, a);
		}
		ready &= !a->unwritten;
	}
	return ready;
}

/* ---- what is in use ---- */

void acme_use_set(struct acme_use *p, struct str chain)
{
	struct acme_facts facts;
	struct arena a;

	arena_init(&a);
	chain = arena_dup(&a, chain);
	if (!acme_cert_facts(&a, chain, &facts))
		facts = (struct acme_facts){ 0 };
	arena_fini(&p->arena);
	*p = (struct acme_use){ .arena = a, .chain = chain, .facts = facts, .forced = p->forced,
			    .revoke = p->revoke };
}
