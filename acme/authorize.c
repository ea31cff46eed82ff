/*
 * authorize.c - proofs that the names are ours (RFC 8555 sections 7.5 and 8, RFC 8737).
 */
#include "acme/priv.h"
#include "core/log.h"

enum { TOKEN_BYTES = 256, SHA256_BYTES = 32 };

static const struct {
	enum conf_acme_challenge kind;
	const char *name;
} challenges[CONF_ACME_CHALLENGES] = {
	{ CONF_ACME_TLS_ALPN_01, "tls-alpn-01" },
	{ CONF_ACME_HTTP_01, "http-01" },
	{ CONF_ACME_DNS_01, "dns-01" },
};

/* An authorization that needs a proof. */
struct proof {
	struct str authorization; /* URL */
	struct str name;
	struct str url, token;    /* of the challenge that was chosen */
	enum conf_acme_challenge kind;
	bool told;                /* the CA knows already that it may look */
};

static const char *challenge_name(enum conf_acme_challenge kind)
{
	return challenges[kind].name;
}

static bool is_text(const json_t *object, const char *member, const char *text)
{
	const char *have = json_string_value(json_object_get(object, member));

	return have && strcmp(have, text) == 0;
}

/* RFC 8555 section 8: base64url. It becomes part of a path and of what a hook is given. */
static bool is_token(struct str s)
{
	if (!s.n || s.n > TOKEN_BYTES)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i], lower = str_lower_char(c);

		if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return false;
	}
	return true;
}

/* ---- what to prove ---- */

static const json_t *offered(const json_t *authorization, enum conf_acme_challenge kind)
{
	const json_t *all = json_object_get(authorization, "challenges");

	for (size_t i = 0; i < json_array_size(all); i++)
		if (is_text(json_array_get(all, i), "type", challenge_name(kind)))
			return json_array_get(all, i);
	return NULL;
}

/* The kinds in their order, from the one whose turn it is. */
static const json_t *choose(struct acme_flow *f, const json_t *authorization, struct proof *p)
{
	const struct conf_acme_cert *c = f->t->cert;
	bool is_wildcard = json_is_true(json_object_get(authorization, "wildcard"));

	for (size_t i = 0; i < c->nchallenges; i++) {
		enum conf_acme_challenge kind = c->challenges[(f->state->challenge + i) % c->nchallenges];
		const json_t *challenge = offered(authorization, kind);

		if (!challenge || (is_wildcard && kind != CONF_ACME_DNS_01)) /* RFC 8555 section 7.1.3 */
			continue;
		p->kind = kind;
		return challenge;
	}
	return NULL;
}

/* Why an authorization has failed, as far as the CA says. */
static bool explain(struct acme_flow *f, const struct proof *p)
{
	const json_t *all = json_object_get(f->ca.json, "challenges");
	const char *status = json_string_value(json_object_get(f->ca.json, "status"));
	char words[ACME_WORDS_BYTES] = "";

	for (size_t i = 0; i < json_array_size(all) && !words[0]; i++) {
		const json_t *error = json_object_get(json_array_get(all, i), "error");

		if (error)
			acme_ca_describe(words, error);
	}
	f->proof_failed = true;
	return acme_flow_refuse(f, "%.*s%s%s: %s", STR_ARG(p->name), p->url.n ? " by " : "",
				p->url.n ? challenge_name(p->kind) : "",
				words[0] ? words : status ? status : "the authorization has no status");
}

/* True with p->url empty: there is nothing to prove. */
static bool read_authorization(struct acme_flow *f, struct str url, struct proof *p)
{
	json_t *identifier;
	const json_t *challenge;

	*p = (struct proof){ .authorization = url };
	if (!acme_ca_post(&f->ca, url, STR_NONE, ACME_POST_PLAIN) || !acme_ca_is_object(&f->ca))
		return acme_flow_fail(f);
	identifier = json_object_get(f->ca.json, "identifier");
	p->name = acme_ca_text(&f->ca, identifier, "value");
	if (is_text(f->ca.json, "status", "valid"))
		return true;
	if (!is_text(f->ca.json, "status", "pending"))
		return explain(f, p);
	challenge = choose(f, f->ca.json, p);
	if (!challenge)
		return acme_flow_refuse(f, "%.*s: the CA offers no challenge that can be met here%s",
					STR_ARG(p->name),
					json_is_true(json_object_get(f->ca.json, "wildcard")) ?
						"; a wildcard needs dns-01" : "");
	p->url = acme_ca_url(&f->ca, (json_t *)challenge, "url");
	p->token = acme_ca_text(&f->ca, (json_t *)challenge, "token");
	p->told = !is_text(challenge, "status", "pending");
	if (!p->url.n || !p->name.n || !is_token(p->token))
		return acme_flow_refuse(f, "%.*s: a malformed challenge", STR_ARG(p->name));
	return true;
}

/* ---- the proof ---- */

static struct str content(struct acme_flow *f, const struct proof *p)
{
	struct arena *a = &f->ca.arena;
	struct str thumbprint = acme_jwk_thumbprint(a, f->account->key);
	struct str authorization = arena_printf(a, "%s.%s", p->token.p, thumbprint.p);
	uint8_t hash[SHA256_BYTES];

	switch (p->kind) {
	case CONF_ACME_TLS_ALPN_01: return acme_cert_for_challenge(a, p->name, authorization);
	case CONF_ACME_HTTP_01: return authorization;
	case CONF_ACME_DNS_01: /* RFC 8555 section 8.4 */
		BUG_ON(EVP_Digest(authorization.p, authorization.n, hash, NULL, EVP_sha256(), NULL) != 1);
		return acme_b64_encode(a, str_of((char *)hash, sizeof hash));
	case CONF_ACME_CHALLENGES: break;
	}
	return STR_NONE;
}

/* It can be seen by whoever asks, before the CA is told. */
static bool deploy(struct acme_flow *f, const struct proof *p)
{
	const struct acme_link_head h = { ACME_LINK_CHALLENGE, p->kind, 0 };
	const char *prefix = p->kind == CONF_ACME_DNS_01 ? "_acme-challenge." : "";
	struct str what = content(f, p);
	int error = acme_link_ask(f->t->link, &h,
				  arena_printf(&f->ca.arena, "%s%s%c%s%c%s", prefix, p->name.p, 0,
					       p->kind == CONF_ACME_HTTP_01 ? p->token.p : "", 0, what.p));

	if (!error)
		return true;
	f->proof_failed = true;
	return acme_flow_refuse(f, "%s: the answer to %s could not be put in place: %s", p->name.p,
				challenge_name(p->kind), strerror(error));
}

static bool tell(struct acme_flow *f, const struct proof *p)
{
	if (p->told || acme_ca_post(&f->ca, p->url, STR("{}"), ACME_POST_PLAIN))
		return true;
	/* one that is no longer pending: its authorization says what became of it */
	return (!f->ca.failure.away && f->ca.failure.problem == ACME_PROBLEM_OTHER &&
		f->ca.failure.status == 400) ||
	       acme_flow_fail(f);
}

static bool await(struct acme_flow *f, const struct proof *p)
{
	for (unsigned tries = 0;; tries++) {
		if (!acme_flow_pause(f, tries))
			return false;
		if (!acme_ca_post(&f->ca, p->authorization, STR_NONE, ACME_POST_PLAIN) ||
		    !acme_ca_is_object(&f->ca))
			return acme_flow_fail(f);
		if (is_text(f->ca.json, "status", "valid"))
			return true;
		if (!is_text(f->ca.json, "status", "pending") && !is_text(f->ca.json, "status", "processing"))
			return explain(f, p);
	}
}

/* All are put in place before the first is told, and all are told before the first is waited for. */
bool acme_authorize(struct acme_flow *f, const struct str *urls, size_t n)
{
	struct proof *proofs = arena_alloc(&f->ca.arena, n * sizeof *proofs);
	size_t needed = 0;

	for (size_t i = 0; i < n; i++) {
		if (!read_authorization(f, urls[i], &proofs[needed]))
			return false;
		if (proofs[needed].url.n)
			needed++;
	}
	for (size_t i = 0; i < needed; i++)
		if (!deploy(f, &proofs[i]))
			return false;
	for (size_t i = 0; i < needed; i++)
		if (!tell(f, &proofs[i]))
			return false;
	for (size_t i = 0; i < needed; i++) {
		if (!await(f, &proofs[i]))
			return false;
		log_info("%s: %s is proved by %s", f->t->cert->names[0].p, proofs[i].name.p,
			 challenge_name(proofs[i].kind));
	}
	return true;
}
