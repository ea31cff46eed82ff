/*
 * tls.c - the keys of a vhost that are about TLS, and what they say together.
 */
#include "conf/priv.h"

/* ---- setters ---- */

void conf_set_entry(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	struct conf_entry *entry = (void *)((char *)object + k->at);
	struct str text;

	if (conf_take_text(l, v, &text))
		*entry = (struct conf_entry){ .text = arena_dup(&l->c->arena, text), .pos = v->pos };
}

static bool is_private_key(const struct conf_key *k)
{
	ptrdiff_t id = k - conf_keys();

	return id == CONF_KEY_HOST_SSL_KEY || id == CONF_KEY_CLIENT_SSL_KEY || id == CONF_KEY_UPSTREAM_KEY;
}

/* The path of a file that the parent reads. */
static struct conf_entry file(struct conf_loader *l, const struct conf_key *k, const struct conf_node *v,
			      struct str text, bool needed)
{
	const struct conf_entry entry = { .text = arena_dup(&l->c->arena, text), .pos = v->pos };
	struct conf_file *f;

	if (!text.n) {
		conf_error(l, v, NULL, "\"%s\" is empty", k->name);
		return entry;
	}
	f = conf_file_at(l, entry.text, v->pos);
	f->audience |= CONF_FOR_WORKERS;
	f->secret |= is_private_key(k);
	f->needed |= needed;
	return entry;
}

/* Its key may stand behind those of the files. What is wrong with its value is told elsewhere. */
static bool ignores_missing(const struct conf_vhost_draft *d)
{
	const struct conf_node *v = conf_node_get(d->node, "ignore-missing-cert");
	bool on;

	return v && v->kind == CONF_NODE_SCALAR && conf_to_bool(v->text, &on) == CONF_VALUE_OK && on;
}

void conf_set_cert_file(struct conf_loader *l, const struct conf_key *k, void *object,
			const struct conf_node *v)
{
	struct str text;

	if (conf_take_text(l, v, &text))
		*(struct conf_entry *)(void *)((char *)object + k->at) =
			file(l, k, v, text, true);
}

void conf_set_cert_files(struct conf_loader *l, const struct conf_key *k, void *object,
			 const struct conf_node *v)
{
	struct conf_entries *entries = (void *)((char *)object + k->at);
	bool needed = !ignores_missing(object);
	const struct conf_node *item = NULL;
	struct str text;

	while ((item = conf_next_text(l, v, item, &text))) {
		arena_grow(&l->tmp, entries->list, entries->n, entries->cap);
		entries->list[entries->n++] = file(l, k, item, text, needed);
	}
	if (v->kind == CONF_NODE_SEQUENCE && !v->child)
		conf_error(l, v, NULL, "\"%s\" is empty", k->name);
}

void conf_set_tls_min(struct conf_loader *l, const struct conf_key *k, void *object,
		      const struct conf_node *v)
{
	struct conf_vhost_draft *d = object;
	struct str text;

	if (!conf_take_text(l, v, &text))
		return;
	if (str_eq(text, STR("1.2")))
		d->v.tls_min = 12;
	else if (str_eq(text, STR("1.3")))
		d->v.tls_min = 13;
	else if (str_eq(text, STR("1.0")) || str_eq(text, STR("1.1")))
		conf_error(l, v, "write 1.2 or 1.3", "TLS %.*s is never spoken", CONF_QUOTE(text));
	else
		conf_error(l, v, "write 1.2 or 1.3", "\"%.*s\" is no version for \"%s\"", CONF_QUOTE(text),
			   k->name);
}

/* A list of protocols, without blanks. */
static struct str take_alpn(struct conf_loader *l, const struct conf_node *v)
{
	struct str text, name, out;
	char *p;

	if (!conf_take_text(l, v, &text))
		return STR_NONE;
	p = arena_alloc(&l->c->arena, text.n + 1);
	out = str_of(p, 0);
	while (text.n) {
		size_t n = 0;

		while (n < text.n && text.p[n] != ',')
			n++;
		name = str_trim(str_of(text.p, n));
		n += n < text.n;
		text = str_of(text.p + n, text.n - n);
		if (str_eq(name, STR("h2")) || str_eq(name, STR("http/1.1"))) {
			if (out.n)
				p[out.n++] = ',';
			memcpy(p + out.n, name.p, name.n);
			out.n += name.n;
		} else {
			conf_error(l, v, "write h2,http/1.1", "\"%.*s\" is no protocol that is served",
				   CONF_QUOTE(name));
		}
	}
	return out;
}

void conf_set_alpn(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	*(struct str *)(void *)((char *)object + k->at) = take_alpn(l, v);
}

void conf_set_default_alpn(struct conf_loader *l, const struct conf_key *k, void *object,
			   const struct conf_node *v)
{
	(void)k;
	(void)object;
	l->default_alpn = take_alpn(l, v);
}

/* ---- all of them together ---- */

/* Certificates and keys stand in two lists of one order. */
static void pair_up(struct conf_loader *l, struct conf_vhost_draft *d)
{
	const struct conf_node *cert = d->seen[CONF_KEY_HOST_SSL_CERT], *key = d->seen[CONF_KEY_HOST_SSL_KEY];
	size_t n = MIN(d->certs.n, d->keys.n);

	d->v.tls = cert || key || d->acme_at;
	if (cert && !key)
		conf_error(l, cert->key, "add \"host-ssl-key\"", "a certificate without its private key");
	else if (key && !cert)
		conf_error(l, key->key, "add \"host-ssl-cert\"", "a private key without its certificate");
	else if (n && d->certs.n != d->keys.n)
		conf_error(l, key->key, "write both lists in the same order",
			   "%zu certificate%s, but %zu key%s", d->certs.n, d->certs.n == 1 ? "" : "s",
			   d->keys.n, d->keys.n == 1 ? "" : "s");
	d->v.ncerts = n;
	d->v.certs = arena_zalloc(&l->c->arena, n * sizeof *d->v.certs);
	for (size_t i = 0; i < n; i++)
		d->v.certs[i] = (struct conf_cert){ .cert = d->certs.list[i], .key = d->keys.list[i] };
}

#define ADD_CERTIFICATE "add \"host-ssl-cert\" and \"host-ssl-key\""

/* What cannot be done on a plain listener. A guard that does not guard is an error. */
static void check_plain(struct conf_loader *l, struct conf_vhost_draft *d)
{
	static const enum conf_key_id ids[] = {
		CONF_KEY_HOST_SSL_CA, CONF_KEY_CLIENT_CERT_CA, CONF_KEY_TLS_MIN_VERSION,
		CONF_KEY_CIPHERS,     CONF_KEY_TLS13_CIPHERS,  CONF_KEY_ECDH_CURVE,
		CONF_KEY_ALPN,	      CONF_KEY_SSL_OPTION_SET, CONF_KEY_SSL_OPTION_CLEAR,
		CONF_KEY_STS,
	};

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		if (d->seen[ids[i]] && (ids[i] != CONF_KEY_STS || d->v.sts))
			conf_warning(l, d->seen[ids[i]]->key, ADD_CERTIFICATE,
				     "\"%s\" without a certificate does nothing", conf_keys()[ids[i]].name);
	if (d->client_cert_required)
		conf_error(l, d->seen[CONF_KEY_CLIENT_CERT_REQUIRED]->key, ADD_CERTIFICATE,
			   "clients cannot be asked for a certificate without TLS");
	d->v.sts = false; /* RFC 6797 section 7.2: never over plain HTTP */
}

static void check_clients(struct conf_loader *l, struct conf_vhost_draft *d)
{
	const struct conf_node *ca = d->seen[CONF_KEY_CLIENT_CERT_CA];

	if (d->client_cert_required && !d->client_cert_ca.text.n && !d->v.ca.text.n && !ca)
		conf_error(l, d->seen[CONF_KEY_CLIENT_CERT_REQUIRED]->key,
			   "add \"client-cert-ca\": \"/etc/ssl/clients-ca.crt\"",
			   "there is no CA that clients' certificates could be checked against");
	if (d->client_cert_required)
		d->v.client_ca = d->client_cert_ca.text.n ? d->client_cert_ca : d->v.ca;
	else if (ca)
		conf_warning(l, ca->key, "add \"client-cert-required\": \"1\"",
			     "\"client-cert-ca\" does nothing: no client is asked for a certificate");
}

void conf_finish_tls(struct conf_loader *l, struct conf_vhost_draft *d)
{
	const struct conf_node *set = d->seen[CONF_KEY_SSL_OPTION_SET];
	const struct conf_node *clear = d->seen[CONF_KEY_SSL_OPTION_CLEAR];

	pair_up(l, d);
	if (d->v.tls)
		check_clients(l, d);
	else
		check_plain(l, d);
	d->v.ssl_set_pos = set ? set->pos : d->v.pos;
	d->v.ssl_clear_pos = clear ? clear->pos : d->v.pos;
}
