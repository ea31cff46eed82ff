#include "proxy/worker/clients.h"

/* A file of CA certificates. */
struct clients_trust {
	struct clients_trust *next;
	struct tls_trust *trust; /* NULL: it cannot be used, and that was told */
};

void clients_init(struct clients *cl, struct arena *a, const struct map *files, size_t ntargets)
{
	*cl = (struct clients){ .arena = a, .files = files };
	map_init(&cl->trusts, a, ntargets);
}

void clients_fini(struct clients *cl)
{
	for (struct clients_trust *t = cl->first; t; t = t->next)
		if (t->trust)
			tls_trust_put(t->trust);
	cl->first = NULL;
}

static struct tls_file file(const struct clients *cl, const struct conf_entry *name)
{
	const struct conf_file *f =
		name->text.n ? map_find(cl->files, map_hash(name->text), name->text, NULL) : NULL;

	return (struct tls_file){ .name = *name, .pem = f ? f->bytes : STR_NONE };
}

static struct tls_file ca_file(const struct clients *cl, const struct conf_up_tls *u)
{
	struct tls_file f = file(cl, &u->ca);

	if (str_eq(u->ca.text, STR(CONF_SYSTEM_CA)))
		f.name.text = STR("the system's CA certificates");
	return f;
}

static struct tls_trust *trust_of(struct clients *cl, const struct conf_up_tls *u, struct conf_report *r)
{
	struct str path = u->ca.text;
	struct clients_trust *t = map_find(&cl->trusts, map_hash(path), path, NULL);
	struct tls_file f;

	if (t)
		return t->trust;
	f = ca_file(cl, u);
	t = arena_new(cl->arena, struct clients_trust);
	t->trust = tls_trust_new(&f, r);
	t->next = cl->first;
	cl->first = t;
	map_add(&cl->trusts, map_hash(path), path, t);
	return t->trust;
}

static struct tls_client_options options(const struct clients *cl, const struct conf_target *t)
{
	const struct conf_up_tls *u = t->tls;

	return (struct tls_client_options){
		.server = t->name,
		.name = u->name,
		.pair = { .cert = file(cl, &u->cert), .key = file(cl, &u->key) },
		.policy = { .ciphers = u->ciphers,
			    .tls13_ciphers = u->tls13_ciphers,
			    .options_set = u->options_set,
			    .options_clear = u->options_clear,
			    .set_pos = u->set_pos,
			    .clear_pos = u->clear_pos },
	};
}

struct tls_client *clients_make(struct clients *cl, const struct conf_target *t, struct conf_report *r)
{
	struct tls_client_options o = options(cl, t);

	if (!t->tls->unverified) {
		o.trust = trust_of(cl, t->tls, r);
		if (!o.trust)
			return NULL;
	}
	return tls_client_new(&o, r);
}

static bool is_whole(const struct clients *cl, const struct conf_entry *name)
{
	return !name->text.n || file(cl, name).pem.p;
}

bool clients_are_whole(const struct clients *cl, const struct conf_target *t)
{
	return is_whole(cl, &t->tls->ca) && is_whole(cl, &t->tls->cert) && is_whole(cl, &t->tls->key);
}

void clients_warn(const struct clients *cl, const struct tls_client *client, const struct conf_target *t,
		  struct conf_report *r)
{
	struct tls_client_options o = options(cl, t);
	struct tls_file ca = ca_file(cl, t->tls);

	if (str_eq(t->tls->ca.text, STR(CONF_SYSTEM_CA)))
		ca = (struct tls_file){ 0 }; /* others see to it */
	tls_client_warn(client, &o, &ca, r);
}
