#include "acme/ca.h"
#include "acme/plan.h"
#include <stdarg.h>
#include <time.h>

enum {
	NONCE_BYTES = 512,
	/* a nonce refused again and again: with every second one lost, one request in a million fails */
	NONCE_TRIES = 20,
	SUBPROBLEMS_MAX = 8,
};

static const struct {
	const char *name;
	bool needed;
} resources[ACME_RESOURCE_COUNT] = {
#define X(id, name, needed) { name, needed },
	ACME_RESOURCE_TABLE(X)
#undef X
};

static const struct {
	const char *name;
	enum acme_problem problem;
} problems[] = {
#define X(id, name) { name, ACME_PROBLEM_##id },
	ACME_PROBLEM_TABLE(X)
#undef X
};

#define PROBLEM_PREFIX "urn:ietf:params:acme:error:"

int64_t acme_ca_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * ACME_SECOND_MS + t.tv_nsec / 1000000;
}

/* ---- words ---- */

/* Appends; what others wrote becomes plain ASCII, and a line of it. */
static void append(char words[ACME_WORDS_BYTES], const char *text)
{
	size_t at = strlen(words);

	for (; *text && at < ACME_WORDS_BYTES - 1; text++)
		words[at++] = *text >= ' ' && *text < 0x7f ? *text : '?';
	words[at] = 0;
}

static void describe_one(char words[ACME_WORDS_BYTES], const json_t *problem)
{
	const char *type = json_string_value(json_object_get(problem, "type"));
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	const json_t *identifier = json_object_get(problem, "identifier");
	const char *name = json_string_value(json_object_get(identifier, "value"));

	if (name) {
		append(words, name);
		append(words, ": ");
	}
	if (type && strncmp(type, PROBLEM_PREFIX, sizeof PROBLEM_PREFIX - 1) == 0)
		type += sizeof PROBLEM_PREFIX - 1;
	append(words, detail ? detail : type ? type : "no reason given");
	if (detail && type) {
		append(words, " (");
		append(words, type);
		append(words, ")");
	}
}

void acme_ca_describe(char words[ACME_WORDS_BYTES], const json_t *problem)
{
	const json_t *sub = json_object_get(problem, "subproblems");

	describe_one(words, problem);
	for (size_t i = 0; i < MIN(json_array_size(sub), (size_t)SUBPROBLEMS_MAX); i++) {
		append(words, "; ");
		describe_one(words, json_array_get(sub, i));
	}
}

bool acme_ca_fail(struct acme_ca *ca, bool away, const char *fmt, ...)
{
	char text[ACME_WORDS_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	ca->failure = (struct acme_failure){ .away = away, .status = ca->reply.status,
					     .until_ms = away ? ca->retry_after_ms : 0 };
	append(ca->failure.words, text);
	return false;
}

static enum acme_problem find_problem(const json_t *j)
{
	const char *type = json_string_value(json_object_get(j, "type"));

	if (!type || strncmp(type, PROBLEM_PREFIX, sizeof PROBLEM_PREFIX - 1) != 0)
		return ACME_PROBLEM_OTHER;
	for (size_t i = 0; i < ARRAY_SIZE(problems); i++)
		if (strcmp(type + sizeof PROBLEM_PREFIX - 1, problems[i].name) == 0)
			return problems[i].problem;
	return ACME_PROBLEM_OTHER;
}

/* The reply is none of success. */
static bool fail_by_status(struct acme_ca *ca, struct str url)
{
	unsigned status = ca->reply.status;
	struct acme_failure *f = &ca->failure;
	bool away = status >= 500 || status == 429 || status == 408;
	char head[64];

	*f = (struct acme_failure){ .status = status, .problem = find_problem(ca->json) };
	f->away = away || f->problem == ACME_PROBLEM_RATE_LIMITED || f->problem == ACME_PROBLEM_BAD_NONCE ||
		  f->problem == ACME_PROBLEM_SERVER_INTERNAL;
	f->until_ms = f->away ? ca->retry_after_ms : 0;
	snprintf(head, sizeof head, "the CA answers %u: ", status);
	append(f->words, head);
	if (json_object_get(ca->json, "type") || json_object_get(ca->json, "detail")) {
		acme_ca_describe(f->words, ca->json);
	} else {
		char at[256];

		snprintf(at, sizeof at, "at %.200s", url.p);
		append(f->words, at);
	}
	return false;
}

/* ---- members ---- */

bool acme_ca_is_object(struct acme_ca *ca)
{
	return ca->json || acme_ca_fail(ca, true, "what the CA answers is no JSON object");
}

struct str acme_ca_text(struct acme_ca *ca, json_t *object, const char *name)
{
	json_t *v = json_object_get(object, name);

	if (!json_is_string(v))
		return STR_NONE;
	return arena_dup(&ca->arena, str_of(json_string_value(v), json_string_length(v)));
}

struct str acme_ca_url(struct acme_ca *ca, json_t *object, const char *name)
{
	struct str url = acme_ca_text(ca, object, name);
	struct acme_url parts;

	return acme_url_read(url, &parts) ? url : STR_NONE;
}

static struct str field(struct acme_ca *ca, struct str name)
{
	struct field *f = head_find_name(ca->reply.head, name);

	return f ? f->value : STR_NONE;
}

struct str acme_ca_location(struct acme_ca *ca)
{
	struct str url = field(ca, STR("location"));
	struct acme_url parts;

	return acme_url_read(url, &parts) ? arena_dup(&ca->arena, url) : STR_NONE;
}

/* ---- requests ---- */

static void forget_reply(struct acme_ca *ca)
{
	json_decref(ca->json);
	ca->json = NULL;
	ca->reply = (struct acme_response){ 0 };
	ca->retry_after_ms = 0;
	arena_fini(&ca->last);
	arena_init(&ca->last);
}

/* RFC 8555 section 6.5.1: base64url. Others could not stand in a header as they are. */
static void keep_nonce(struct acme_ca *ca)
{
	struct str nonce = field(ca, STR("replay-nonce"));

	if (nonce.n && nonce.n <= NONCE_BYTES && acme_b64_decode(&ca->last, nonce).p)
		ca->nonce = arena_dup(&ca->arena, nonce);
}

static bool ask(struct acme_ca *ca, const struct acme_request *r)
{
	struct field *after;

	forget_reply(ca);
	if (!acme_https_ask(&ca->https, &ca->last, r, &ca->reply)) {
		ca->reply = (struct acme_response){ 0 };
		return acme_ca_fail(ca, true, "%s: %.400s", "cannot ask the CA", ca->https.error);
	}
	keep_nonce(ca);
	after = head_find(ca->reply.head, FIELD_RETRY_AFTER);
	if (after)
		ca->retry_after_ms = acme_plan_retry_after(after->value, acme_ca_now_ms());
	if (ca->reply.body.n)
		ca->json = json_loadb(ca->reply.body.p, ca->reply.body.n, JSON_REJECT_DUPLICATES, NULL);
	if (ca->json && !json_is_object(ca->json)) {
		json_decref(ca->json);
		ca->json = NULL;
	}
	return true;
}

static bool is_success(const struct acme_ca *ca)
{
	return ca->reply.status >= 200 && ca->reply.status < 300;
}

bool acme_ca_get(struct acme_ca *ca, struct str url)
{
	const struct acme_request r = { .method = STR("GET"), .url = url };

	return ask(ca, &r) && (is_success(ca) || fail_by_status(ca, url));
}

static bool fetch_nonce(struct acme_ca *ca)
{
	const struct acme_request r = { .method = STR("HEAD"), .url = ca->resources[ACME_NEW_NONCE] };

	if (ca->nonce.n)
		return true;
	if (!ask(ca, &r) || (!is_success(ca) && !fail_by_status(ca, r.url)))
		return false;
	return ca->nonce.n || acme_ca_fail(ca, true, "the CA gives no nonce");
}

static bool post_signed(struct acme_ca *ca, struct str url, struct str payload, unsigned how)
{
	struct arena a;
	struct acme_request r = {
		.method = STR("POST"), .url = url, .content_type = STR("application/jose+json"),
		.accept = how & ACME_POST_CHAIN ? STR("application/pem-certificate-chain") : STR_NONE,
		.once = how & ACME_POST_ONCE,
	};
	bool good;

	arena_init(&a);
	r.body = acme_jws_sign(&a, ca->key, how & ACME_POST_KEY ? STR_NONE : ca->kid, ca->nonce, url,
			       payload);
	ca->nonce = STR_NONE;
	good = ask(ca, &r);
	arena_fini(&a);
	return good;
}

/* RFC 8555 section 6.5: a refused nonce comes with a good one, and nothing has been done yet. */
struct str acme_ca_compose(struct acme_ca *ca, const json_t *payload)
{
	char *text = json_dumps(payload, JSON_COMPACT);
	struct str s;

	BUG_ON(!text);
	s = arena_dup(&ca->arena, str_from_c(text));
	free(text);
	return s;
}

bool acme_ca_post(struct acme_ca *ca, struct str url, struct str payload, unsigned how)
{
	for (unsigned i = 0; i < NONCE_TRIES; i++) {
		if (!fetch_nonce(ca) || !post_signed(ca, url, payload, how))
			return false;
		if (is_success(ca))
			return true;
		if (ca->reply.status != 400 || find_problem(ca->json) != ACME_PROBLEM_BAD_NONCE)
			break;
	}
	return fail_by_status(ca, url);
}

/* ---- the directory (RFC 8555 section 7.1.1) ---- */

static bool read_directory(struct acme_ca *ca)
{
	const json_t *meta = json_object_get(ca->json, "meta");

	for (size_t i = 0; i < ACME_RESOURCE_COUNT; i++) {
		ca->resources[i] = acme_ca_url(ca, ca->json, resources[i].name);
		if (resources[i].needed && !ca->resources[i].n)
			return acme_ca_fail(ca, true, "what is at %.*s is no ACME directory: it has no %s",
					    STR_ARG(ca->directory), resources[i].name);
	}
	ca->binding_required = json_is_true(json_object_get(meta, "externalAccountRequired"));
	return true;
}

bool acme_ca_open(struct acme_ca *ca, struct str directory, struct str trust_pem, EVP_PKEY *key)
{
	*ca = (struct acme_ca){ .key = key };
	arena_init(&ca->arena);
	arena_init(&ca->last);
	ca->directory = arena_dup(&ca->arena, directory);
	if (!acme_https_open(&ca->https, trust_pem))
		return acme_ca_fail(ca, false, "%s", ca->https.error);
	return acme_ca_get(ca, ca->directory) && read_directory(ca);
}

void acme_ca_close(struct acme_ca *ca)
{
	json_decref(ca->json);
	ca->json = NULL;
	acme_https_close(&ca->https);
	arena_fini(&ca->last);
	arena_fini(&ca->arena);
}
