/*
 * order.c - an order, from the first request or from wherever it was left, to a chain (RFC 8555 section 7.4).
 *
 * Before newOrder is sent it is written down that it will be, with the key that the certificate is to
 * have; its answer is written down before anything else is done. So an order is never lost, but for one
 * whose answer nobody heard: that one is looked for in the account's list, where the CA keeps one.
 */
#include "acme/priv.h"
#include "core/log.h"

enum {
	LOOKED_AT_MAX = 200, /* orders of the account's list */
	FINALIZE_MAX = 3,
	STEPS_MAX = 1000,    /* of any kind: a CA that turns in circles */
	STATUS_BYTES = 16,
};

/* RFC 8555 section 7.1.6 */
#define STATUS_TABLE(X) X(pending) X(ready) X(processing) X(valid) X(invalid)
enum status {
#define X(name) STATUS_##name,
	STATUS_TABLE(X)
#undef X
	STATUS_UNKNOWN
};

/* What an order's object says; in the conversation's arena. */
struct view {
	enum status status;
	struct str *authorizations;
	size_t n;
	struct str finalize, certificate;
	char error[ACME_WORDS_BYTES];
};

static struct acme_order *order(struct acme_flow *f)
{
	return &f->part->order;
}

void acme_order_drop(struct acme_flow *f)
{
	*order(f) = (struct acme_order){ 0 };
	EVP_PKEY_free(f->key);
	f->key = NULL;
}

/* ---- what the CA says ---- */

static enum status read_status(const json_t *j)
{
	static const char *const names[] = {
#define X(name) #name,
		STATUS_TABLE(X)
#undef X
	};
	const char *text = json_string_value(json_object_get(j, "status"));

	for (size_t i = 0; text && i < ARRAY_SIZE(names); i++)
		if (strcmp(text, names[i]) == 0)
			return (enum status)i;
	return STATUS_UNKNOWN;
}

/* The last reply is an order. */
static bool read_view(struct acme_flow *f, struct view *v)
{
	struct arena *a = &f->ca.arena;
	json_t *j = f->ca.json, *error = json_object_get(j, "error");
	json_t *urls = json_object_get(j, "authorizations");

	*v = (struct view){ .status = read_status(j) };
	if (!acme_ca_is_object(&f->ca))
		return acme_flow_fail(f);
	v->n = MIN(json_array_size(urls), (size_t)ACME_NAMES_MAX);
	v->authorizations = arena_alloc(a, v->n * sizeof *v->authorizations);
	for (size_t i = 0; i < v->n; i++) {
		struct str url = str_from_c(json_string_value(json_array_get(urls, i)));
		struct acme_url parts;

		if (!acme_url_read(url, &parts))
			return acme_flow_refuse(f, "an order with a malformed authorization");
		v->authorizations[i] = arena_dup(a, url);
	}
	v->finalize = acme_ca_url(&f->ca, j, "finalize");
	v->certificate = acme_ca_url(&f->ca, j, "certificate");
	if (error)
		acme_ca_describe(v->error, error);
	return v->status != STATUS_UNKNOWN || acme_flow_refuse(f, "an order without a status");
}

static bool fetch(struct acme_flow *f)
{
	return acme_ca_post(&f->ca, order(f)->url, STR_NONE, ACME_POST_PLAIN) || acme_flow_fail(f);
}

/* ---- which order ---- */

static bool has_name(const struct str *names, size_t n, struct str name)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq_nocase(names[i], name))
			return true;
	return false;
}

/* The same set; neither has one twice. */
static bool same_names(const struct str *a, size_t na, const struct str *b, size_t nb)
{
	for (size_t i = 0; i < na; i++)
		if (!has_name(b, nb, a[i]))
			return false;
	return na == nb;
}

static bool is_ours(struct acme_flow *f, const json_t *j)
{
	const json_t *identifiers = json_object_get(j, "identifiers");
	size_t n = json_array_size(identifiers);
	struct str names[ACME_NAMES_MAX];
	enum status status = read_status(j);

	if (n > ACME_NAMES_MAX || (status != STATUS_pending && status != STATUS_ready))
		return false;
	for (size_t i = 0; i < n; i++)
		names[i] = str_from_c(
			json_string_value(json_object_get(json_array_get(identifiers, i), "value")));
	return same_names(names, n, f->t->cert->names, f->t->cert->nnames);
}

static bool is_taken(struct acme_flow *f, struct str url)
{
	for (size_t i = 0; i < f->t->ntaken; i++)
		if (str_eq(f->t->taken[i], url))
			return true;
	return false;
}

static void adopt(struct acme_flow *f, struct str url)
{
	order(f)->url = arena_dup(&f->arena, url);
	acme_flow_keep_state(f);
}

/*
 * newOrder was sent, perhaps, and its answer not heard: the account's list of orders (RFC 8555 section
 * 7.1.2.1) may have it. Not every CA keeps one. The last reply is the order when one was found.
 */
static bool look_for(struct acme_flow *f)
{
	struct acme_ca *ca = &f->ca;
	struct str list, urls[LOOKED_AT_MAX];
	const json_t *all;
	size_t n, first;

	if (!acme_ca_post(ca, ca->kid, STR_NONE, ACME_POST_PLAIN))
		return false;
	list = acme_ca_url(ca, ca->json, "orders");
	if (!list.n || !acme_ca_post(ca, list, STR_NONE, ACME_POST_PLAIN))
		return false;
	all = json_object_get(ca->json, "orders");
	n = json_array_size(all);
	first = n > LOOKED_AT_MAX ? n - LOOKED_AT_MAX : 0;
	for (size_t i = first; i < n; i++) {
		struct str url = str_from_c(json_string_value(json_array_get(all, i)));

		urls[i - first] = arena_dup(&ca->arena, url);
	}
	for (size_t i = n - first; i-- > 0;) {
		struct acme_url parts;

		if (!acme_url_read(urls[i], &parts) || is_taken(f, urls[i]) ||
		    !acme_ca_post(ca, urls[i], STR_NONE, ACME_POST_PLAIN) || !is_ours(f, ca->json))
			continue;
		log_note("%s: goes on with the order whose answer was lost", f->t->cert->names[0].p);
		adopt(f, urls[i]);
		return true;
	}
	return false;
}

static struct str compose(struct acme_flow *f, bool replaces)
{
	json_t *payload = json_object(), *identifiers = json_array();
	struct str s;

	BUG_ON(!payload || !identifiers);
	for (size_t i = 0; i < f->t->cert->nnames; i++)
		BUG_ON(json_array_append_new(identifiers,
					     json_pack("{s:s, s:s%}", "type", "dns", "value",
						       f->t->cert->names[i].p, f->t->cert->names[i].n)) != 0);
	BUG_ON(json_object_set_new(payload, "identifiers", identifiers) != 0);
	if (replaces)
		BUG_ON(json_object_set_new(payload, "replaces", json_string(f->t->facts.ari_id.p)) != 0);
	s = acme_ca_compose(&f->ca, payload);
	json_decref(payload);
	return s;
}

/* RFC 9773 section 5: the certificate in use is from this CA, and nothing else replaces it yet. */
static bool may_replace(const struct acme_flow *f)
{
	struct str id = f->t->facts.ari_id;

	return id.n && f->ca.resources[ACME_RENEWAL_INFO].n && !str_eq(id, f->part->replaced) &&
	       str_eq(f->part->issued_by, f->conf->directory);
}

static bool send_new(struct acme_flow *f)
{
	bool replaces = may_replace(f);
	struct acme_ca *ca = &f->ca;

	if (acme_ca_post(ca, ca->resources[ACME_NEW_ORDER], compose(f, replaces), ACME_POST_ONCE))
		return true;
	if (!replaces || (ca->failure.status != 409 && ca->failure.problem != ACME_PROBLEM_ALREADY_REPLACED))
		return false;
	f->part->replaced = arena_dup(&f->arena, f->t->facts.ari_id);
	return acme_ca_post(ca, ca->resources[ACME_NEW_ORDER], compose(f, false), ACME_POST_ONCE);
}

/* That it will be sent, and the key; both stay should the answer get lost. */
static void intend(struct acme_flow *f)
{
	struct acme_state *s = f->state;

	if (!f->key)
		f->key = acme_key_new(f->t->kind == CONF_ACME_RSA ? ACME_KEY_RSA2048 : ACME_KEY_P256);
	*order(f) = (struct acme_order){
		.directory = f->conf->directory,
		.key = acme_key_to_pem(&f->arena, f->key),
		.names = f->t->cert->names,
		.nnames = f->t->cert->nnames,
	};
	s->asked_ms[1] = s->asked_ms[0];
	s->asked_ms[0] = acme_ca_now_ms();
	acme_flow_keep_state(f);
}

static bool new_order(struct acme_flow *f)
{
	int64_t now_ms = acme_ca_now_ms();
	int64_t at_ms = acme_plan_new_order(f->state, now_ms, f->t->facts.not_after * ACME_SECOND_MS);
	struct str url;

	if (at_ms > now_ms) {
		f->end = ACME_END_WAIT;
		f->until_ms = at_ms;
		return false;
	}
	intend(f);
	if (!send_new(f)) {
		/* refused in so many words: there is none. Without an answer there may be one */
		if (f->ca.failure.status)
			acme_order_drop(f);
		return acme_flow_fail(f);
	}
	url = acme_ca_location(&f->ca);
	if (!url.n) {
		acme_order_drop(f);
		return acme_flow_refuse(f, "the CA made an order, but does not say where it is");
	}
	adopt(f, url);
	return true;
}

/* What was put down can be gone on with. */
static bool is_usable(struct acme_flow *f)
{
	struct acme_order *o = order(f);

	if (!o->key.n || !str_eq(o->directory, f->conf->directory) ||
	    !same_names(o->names, o->nnames, f->t->cert->names, f->t->cert->nnames))
		return false;
	if (!f->key)
		f->key = acme_key_from_pem(o->key);
	return f->key != NULL;
}

/* The last reply is the order. */
static bool open_order(struct acme_flow *f)
{
	if (!is_usable(f))
		acme_order_drop(f);
	if (order(f)->url.n) {
		if (fetch(f)) {
			/* one that failed while nobody was there says nothing about the next */
			if (read_status(f->ca.json) != STATUS_invalid)
				return true;
			log_note("%s: the order has failed meanwhile", f->t->cert->names[0].p);
			acme_order_drop(f);
			return new_order(f);
		}
		/* one that is unknown is gone; whether the account is, is for others to find out */
		if (f->ca.failure.away || f->ca.failure.problem == ACME_PROBLEM_NO_ACCOUNT)
			return false;
		log_note("%s: the order is gone (%s)", f->t->cert->names[0].p, f->words);
		acme_order_drop(f);
	} else if (order(f)->key.n) {
		if (look_for(f))
			return true;
		if (f->ca.failure.away || f->ca.failure.problem == ACME_PROBLEM_NO_ACCOUNT)
			return acme_flow_fail(f);
	}
	return new_order(f);
}

/* ---- the way of an order ---- */

static bool finalize(struct acme_flow *f, const struct view *v)
{
	struct arena *a = &f->ca.arena;
	struct str request = acme_cert_request(a, f->key, f->t->cert->names, f->t->cert->nnames);
	struct str payload = arena_printf(a, "{\"csr\":\"%s\"}", acme_b64_encode(a, request).p);

	if (!v->finalize.n)
		return acme_flow_refuse(f, "an order that cannot be finalized");
	if (acme_ca_post(&f->ca, v->finalize, payload, ACME_POST_PLAIN))
		return true;
	if (f->ca.failure.problem == ACME_PROBLEM_ORDER_NOT_READY)
		return fetch(f);
	return acme_flow_fail(f);
}

static bool download(struct acme_flow *f, const struct view *v)
{
	const char *wrong;

	if (!v->certificate.n)
		return acme_flow_refuse(f, "a valid order without a certificate");
	if (!acme_ca_post(&f->ca, v->certificate, STR_NONE, ACME_POST_CHAIN))
		return acme_flow_fail(f);
	if (f->ca.reply.body.n > ACME_FILE_BYTES / 2)
		return acme_flow_refuse(f, "a chain that is too long");
	wrong = acme_cert_wrong(f->ca.reply.body, f->key, f->t->cert->names, f->t->cert->nnames);
	if (wrong)
		return acme_flow_refuse(f, "what the CA gave as certificate %s", wrong);
	order(f)->chain = arena_dup(&f->arena, f->ca.reply.body);
	return true;
}

bool acme_order_run(struct acme_flow *f)
{
	unsigned waits = 0, finalized = 0;

	if (!open_order(f))
		return false;
	for (unsigned steps = 0; steps < STEPS_MAX; steps++) {
		bool goes_on = false;
		struct view v;

		if (!read_view(f, &v))
			return false;
		switch (v.status) {
		case STATUS_pending:
			/* a second time it is for the CA to notice what it has been shown */
			goes_on = acme_authorize(f, v.authorizations, v.n) &&
				  (!steps || acme_flow_pause(f, waits++)) && fetch(f);
			break;
		case STATUS_ready:
			if (finalized++ < FINALIZE_MAX)
				goes_on = finalize(f, &v);
			else
				acme_flow_refuse(f, "the CA does not take the request");
			break;
		case STATUS_processing:
			goes_on = acme_flow_pause(f, waits++) && fetch(f);
			break;
		case STATUS_valid:
			return download(f, &v);
		case STATUS_invalid:
			return acme_flow_refuse(f, "the order has failed: %s",
						v.error[0] ? v.error : "no reason given");
		case STATUS_UNKNOWN:
			break;
		}
		if (!goes_on)
			return false;
	}
	return acme_flow_refuse(f, "the CA turns in circles");
}
