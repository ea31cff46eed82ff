/*
 * https.c - the keys about https:// origins, of a vhost and of its mounts, and what they say together.
 */
#include "conf/priv.h"

/* ---- setters ---- */

/* Whom the certificate has to be for, as SNI has it: a host's name, or an address. */
void conf_set_upstream_name(struct conf_loader *l, const struct conf_key *k, void *object,
			    const struct conf_node *v)
{
	struct conf_up_tls *tls = &((struct conf_mount_draft *)object)->tls;
	const char *remedy = NULL;
	struct str text, name, address;
	bool is_ip6;

	(void)k;
	if (!conf_take_text(l, v, &text))
		return;
	if (conf_address_parse(&l->c->arena, text, &address, &is_ip6))
		tls->name = address;
	else if (!conf_name_parse(text, &name, &remedy) && name.p[0] != '*')
		tls->name = conf_lower(&l->c->arena, name);
	else
		conf_error(l, v, "write one of the names in its certificate's subjectAltName",
			   "\"%.*s\" is neither a host's name nor an address", CONF_QUOTE(text));
}

void conf_set_upstream_verify(struct conf_loader *l, const struct conf_key *k, void *object,
			      const struct conf_node *v)
{
	bool verify;

	(void)k;
	if (conf_take_bool(l, v, &verify))
		((struct conf_mount_draft *)object)->tls.unverified = !verify;
}

/* ---- all of them together ---- */

static bool check_pair(struct conf_loader *l, const struct conf_node *const *seen, enum conf_key_id cert,
		       enum conf_key_id key)
{
	const struct conf_node *there = seen[cert] ? seen[cert] : seen[key];

	if (!seen[cert] == !seen[key])
		return true;
	conf_error(l, there->key, "name both files", "\"%s\" without \"%s\"",
		   conf_keys()[seen[cert] ? cert : key].name, conf_keys()[seen[cert] ? key : cert].name);
	return false;
}

void conf_finish_client_tls(struct conf_loader *l, struct conf_vhost_draft *d)
{
	const struct conf_node *set = d->seen[CONF_KEY_CLIENT_OPTION_SET];
	const struct conf_node *clear = d->seen[CONF_KEY_CLIENT_OPTION_CLEAR];

	check_pair(l, d->seen, CONF_KEY_CLIENT_SSL_CERT, CONF_KEY_CLIENT_SSL_KEY);
	d->up_tls.set_pos = set ? set->pos : d->v.pos;
	d->up_tls.clear_pos = clear ? clear->pos : d->v.pos;
}

/* For who does not speak TLS. */
static bool refuse_all(struct conf_loader *l, const struct conf_mount_draft *d)
{
	static const enum conf_key_id ids[] = {
		CONF_KEY_UPSTREAM_NAME, CONF_KEY_UPSTREAM_CA,	  CONF_KEY_UPSTREAM_CERT,
		CONF_KEY_UPSTREAM_KEY,	CONF_KEY_UPSTREAM_VERIFY,
	};
	bool ok = true;

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		if (!d->seen[ids[i]])
			continue;
		conf_error(l, d->seen[ids[i]]->key, "write https://127.0.0.1:8443 or https://+/run/app.sock",
			   "\"%s\" is for origins that begin with https://", conf_keys()[ids[i]].name);
		ok = false;
	}
	return ok;
}

/* Of an origin that says it. A socket has no name. */
static struct str own_name(struct conf_loader *l, const struct conf_origin *o)
{
	struct str address;
	bool is_ip6;

	if (o->is_unix)
		return STR_NONE;
	if (conf_address_parse(&l->c->arena, o->address, &address, &is_ip6))
		return address;
	address = conf_lower(&l->c->arena, o->address);
	address.n -= address.n > 1 && address.p[address.n - 1] == '.'; /* RFC 6066 section 3 */
	return address;
}

static void finish_trust(struct conf_loader *l, struct conf_mount_draft *d, const struct conf_node *origin)
{
	if (d->tls.unverified) {
		d->tls.ca = (struct conf_entry){ 0 };
		conf_warning(l, d->seen[CONF_KEY_UPSTREAM_VERIFY]->key,
			     "name its CA's certificate, or its own, in \"upstream-ca\"",
			     "whoever answers at this origin is believed to be the application");
		return;
	}
	if (!d->tls.ca.text.n) {
		d->tls.ca = (struct conf_entry){ .text = STR(CONF_SYSTEM_CA), .pos = origin->pos };
		conf_add_file(l, d->tls.ca.text, origin, false);
	}
	if (!d->tls.name.n && !d->seen[CONF_KEY_UPSTREAM_NAME])
		conf_warning(l, origin, "add \"upstream-name\": \"app.example.com\"",
			     "a socket has no name: whom its certificate is for is not checked");
}

bool conf_finish_up_tls(struct conf_loader *l, struct conf_mount_draft *d)
{
	if (!d->origin.tls)
		return refuse_all(l, d);
	if (!check_pair(l, d->seen, CONF_KEY_UPSTREAM_CERT, CONF_KEY_UPSTREAM_KEY))
		return false;
	if (!d->tls.name.n)
		d->tls.name = own_name(l, &d->origin);
	finish_trust(l, d, d->seen[CONF_KEY_ORIGIN]);
	return true;
}

/* ---- targets ---- */

static bool is_same(const struct conf_up_tls *a, const struct conf_up_tls *b)
{
	return str_eq(a->name, b->name) && a->unverified == b->unverified &&
	       str_eq(a->ca.text, b->ca.text) && str_eq(a->cert.text, b->cert.text) &&
	       str_eq(a->key.text, b->key.text) && str_eq(a->ciphers.text, b->ciphers.text) &&
	       str_eq(a->tls13_ciphers.text, b->tls13_ciphers.text) && a->options_set == b->options_set &&
	       a->options_clear == b->options_clear;
}

struct str conf_https_name(struct conf_loader *l, struct str place, const struct conf_up_tls *tls)
{
	struct arena *a = &l->c->arena;
	struct conf_target *other;
	struct str base, name;

	if (str_starts(place, STR("unix:")))
		base = arena_printf(a, "https://+%.*s", (int)place.n - 5, place.p + 5);
	else
		base = arena_printf(a, "https://%.*s", STR_ARG(place));
	name = base;
	for (unsigned i = 2; (other = *conf_map_at(&l->tmp, &l->targets, name)); i++) {
		if (is_same(other->tls, tls))
			break;
		name = arena_printf(a, "%.*s#%u", STR_ARG(base), i);
	}
	return name;
}
