/*
 * account.c - accounts (RFC 8555 section 7.3).
 */
#include "acme/priv.h"

enum { SECRET_BYTES = 4096 };

/* The CA's secret of an external account binding, from the configuration or a file of its own. */
static struct str binding_secret(struct acme_flow *f)
{
	const struct conf_acme_account *c = f->conf;
	struct str text = c->eab_file ? c->eab_file->bytes : c->eab_hmac;

	if (text.n > SECRET_BYTES)
		return STR_NONE;
	while (text.n && (uint8_t)text.p[text.n - 1] <= ' ')
		text.n--;
	return acme_b64_decode(&f->ca.arena, text);
}

static bool add_binding(struct acme_flow *f, json_t *payload)
{
	struct str secret, text;
	json_t *binding;

	if (!f->conf->eab_kid.n)
		return !f->ca.binding_required ||
		       acme_flow_refuse(f, "the CA knows its customers: \"eab-kid\" and its key are needed");
	secret = binding_secret(f);
	if (!secret.n)
		return acme_flow_refuse(f, "the key of \"eab-kid\" is no base64url");
	text = acme_jws_bind(&f->ca.arena, f->account->key, f->conf->eab_kid, secret,
			     f->ca.resources[ACME_NEW_ACCOUNT]);
	binding = json_loadb(text.p, text.n, 0, NULL);
	if (!binding)
		return acme_flow_refuse(f, "\"eab-kid\" has characters that cannot be in one");
	BUG_ON(json_object_set_new(payload, "externalAccountBinding", binding) != 0);
	return true;
}

static void add_contacts(struct acme_flow *f, json_t *payload)
{
	json_t *contact = json_array();

	BUG_ON(!contact);
	for (size_t i = 0; i < f->conf->nemails; i++) {
		struct str mail = arena_printf(&f->ca.arena, "mailto:%.*s", STR_ARG(f->conf->emails[i]));
		json_t *text = json_stringn(mail.p, mail.n);

		if (text)
			BUG_ON(json_array_append_new(contact, text) != 0);
	}
	if (json_array_size(contact))
		BUG_ON(json_object_set(payload, "contact", contact) != 0);
	json_decref(contact);
}

static struct str compose(struct acme_flow *f)
{
	json_t *payload = json_object();
	struct str s = STR_NONE;

	BUG_ON(!payload || json_object_set_new(payload, "termsOfServiceAgreed", json_true()) != 0);
	add_contacts(f, payload);
	if (add_binding(f, payload))
		s = acme_ca_compose(&f->ca, payload);
	json_decref(payload);
	return s;
}

/* A key that is known already gets its account: to ask twice makes no second one (section 7.3.1). */
static bool enrol(struct acme_flow *f)
{
	struct str payload = compose(f), url;

	if (!payload.n)
		return false;
	if (!acme_ca_post(&f->ca, f->ca.resources[ACME_NEW_ACCOUNT], payload, ACME_POST_KEY))
		return acme_flow_fail(f);
	url = acme_ca_location(&f->ca);
	if (!url.n)
		return acme_flow_refuse(f, "the CA made an account, but does not say where it is");
	url = arena_dup(&f->arena, url);
	f->ca.kid = url;
	acme_account_register(f->account, f->conf->directory, url);
	url = arena_printf(&f->arena, "%.*s%c%s", STR_ARG(f->conf->directory), 0, url.p);
	acme_flow_keep(f, ACME_LINK_ACCOUNT, url, "the account");
	return true;
}

bool acme_account_ready(struct acme_flow *f)
{
	f->ca.kid = acme_account_url(f->account, f->conf->directory);
	return f->ca.kid.n || enrol(f);
}

void acme_account_forget(struct acme_flow *f)
{
	acme_account_register(f->account, f->conf->directory, STR_NONE);
	f->ca.kid = STR_NONE;
}
