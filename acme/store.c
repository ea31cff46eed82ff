#include "acme/store.h"
#include "acme/https.h"
#include <jansson.h>

enum { VERSION = 1 };

static json_t *parse(struct str bytes)
{
	json_t *j = NULL;

	if (bytes.n && bytes.n <= ACME_FILE_BYTES)
		j = json_loadb(bytes.p, bytes.n, JSON_REJECT_DUPLICATES, NULL);
	if (j && json_is_object(j))
		return j;
	json_decref(j);
	return NULL;
}

/* Pretty, as an administrator may look at it; with a line's end. */
static struct str print(struct arena *a, json_t *j)
{
	char *text = json_dumps(j, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	struct str s;

	BUG_ON(!text);
	s = arena_printf(a, "%s\n", text);
	free(text);
	json_decref(j);
	return s;
}

/* ---- members, with what stands for a missing one ---- */

static struct str get_text(struct arena *a, json_t *j, const char *name)
{
	json_t *v = json_object_get(j, name);

	if (!json_is_string(v))
		return STR_NONE;
	return arena_dup(a, str_of(json_string_value(v), json_string_length(v)));
}

/* As they are put into requests as they are. */
static struct str get_url(struct arena *a, json_t *j, const char *name)
{
	struct str url = get_text(a, j, name);
	struct acme_url parts;

	return acme_url_read(url, &parts) ? url : STR_NONE;
}

static int64_t get_number(json_t *j, const char *name, int64_t max)
{
	json_t *v = json_object_get(j, name);
	int64_t n = json_is_integer(v) ? (int64_t)json_integer_value(v) : 0;

	return n < 0 || n > max ? 0 : n;
}

static int64_t get_ms(json_t *j, const char *name)
{
	return get_number(j, name, INT64_MAX / 4);
}

/* Absent ones are left out. What is no UTF-8 (a CA's words) is escaped by whoever made the text. */
static void set_text(json_t *j, const char *name, struct str s)
{
	json_t *v = s.n ? json_stringn(s.p, s.n) : NULL;

	if (v)
		BUG_ON(json_object_set_new(j, name, v) != 0);
}

static void set_number(json_t *j, const char *name, int64_t n)
{
	if (n)
		BUG_ON(json_object_set_new(j, name, json_integer(n)) != 0);
}

static void set_object(json_t *j, const char *name, json_t *v)
{
	if (json_object_size(v))
		BUG_ON(json_object_set(j, name, v) != 0);
	json_decref(v);
}

/* ---- the state of a certificate ---- */

static void read_order(struct arena *a, json_t *j, struct acme_order *o)
{
	json_t *names = json_object_get(j, "names"), *name;
	size_t i;

	o->url = get_url(a, j, "url");
	o->directory = get_url(a, j, "directory");
	o->key = get_text(a, j, "key");
	o->chain = get_text(a, j, "chain");
	o->tries = (unsigned)get_number(j, "tries", INT_MAX);
	o->names = arena_zalloc(a, ACME_NAMES_MAX * sizeof *o->names);
	json_array_foreach(names, i, name) {
		if (!json_is_string(name) || o->nnames == ACME_NAMES_MAX)
			break;
		o->names[o->nnames++] =
			arena_dup(a, str_of(json_string_value(name), json_string_length(name)));
	}
	/* without its key, an order is of no use */
	if (!o->key.n || !o->directory.n)
		*o = (struct acme_order){ 0 };
}

static json_t *write_order(const struct acme_order *o)
{
	json_t *j = json_object(), *names = json_array();

	BUG_ON(!j || !names);
	set_text(j, "url", o->url);
	set_text(j, "directory", o->directory);
	for (size_t i = 0; i < o->nnames; i++)
		BUG_ON(json_array_append_new(names, json_stringn(o->names[i].p, o->names[i].n)) != 0);
	if (o->nnames)
		BUG_ON(json_object_set(j, "names", names) != 0);
	json_decref(names);
	set_number(j, "tries", o->tries);
	set_text(j, "key", o->key);
	set_text(j, "chain", o->chain);
	return j;
}

static void read_ari(struct arena *a, json_t *j, struct acme_ari *r)
{
	r->id = get_text(a, j, "id");
	r->start_ms = get_ms(j, "start_ms");
	r->end_ms = get_ms(j, "end_ms");
	r->at_ms = get_ms(j, "at_ms");
	r->check_ms = get_ms(j, "check_ms");
	r->failures = (unsigned)get_number(j, "failures", INT_MAX);
}

static json_t *write_ari(const struct acme_ari *r)
{
	json_t *j = json_object();

	BUG_ON(!j);
	set_text(j, "id", r->id);
	set_number(j, "start_ms", r->start_ms);
	set_number(j, "end_ms", r->end_ms);
	set_number(j, "at_ms", r->at_ms);
	set_number(j, "check_ms", r->check_ms);
	set_number(j, "failures", r->failures);
	return j;
}

static void read_part(struct arena *a, json_t *j, struct acme_part *p)
{
	read_order(a, json_object_get(j, "order"), &p->order);
	p->issued_by = get_url(a, j, "issued_by");
	p->issued_ms = get_ms(j, "issued_ms");
	p->early = (unsigned)get_number(j, "early", INT_MAX);
	p->replaced = get_text(a, j, "replaced");
	read_ari(a, json_object_get(j, "ari"), &p->ari);
}

static json_t *write_part(const struct acme_part *p)
{
	json_t *j = json_object();

	BUG_ON(!j);
	set_object(j, "order", write_order(&p->order));
	set_text(j, "issued_by", p->issued_by);
	set_number(j, "issued_ms", p->issued_ms);
	set_number(j, "early", p->early);
	set_text(j, "replaced", p->replaced);
	set_object(j, "ari", write_ari(&p->ari));
	return j;
}

static void read_waits(struct arena *a, json_t *j, struct acme_state *s)
{
	const char *directory;
	json_t *until;

	json_object_foreach(j, directory, until)
		acme_state_set_wait(s, arena_dup(a, str_from_c(directory)), get_ms(j, directory));
}

static json_t *write_waits(const struct acme_state *s)
{
	json_t *j = json_object();

	BUG_ON(!j);
	for (size_t i = 0; i < s->nwaits; i++)
		BUG_ON(json_object_setn_new(j, s->waits[i].directory.p, s->waits[i].directory.n,
					    json_integer(s->waits[i].until_ms)) != 0);
	return j;
}

static const char *const kinds[CONF_ACME_KINDS] = { "ecdsa", "rsa" };
static const char *const asked[ACME_ASKED_MAX] = { "asked_ms", "asked_before_ms" };

bool acme_state_read(struct arena *a, struct str bytes, struct acme_state *out)
{
	json_t *j = parse(bytes);

	*out = (struct acme_state){ 0 };
	if (!bytes.n)
		return true;
	if (!j || get_number(j, "version", INT_MAX) != VERSION) {
		json_decref(j);
		return false;
	}
	for (size_t i = 0; i < CONF_ACME_KINDS; i++)
		read_part(a, json_object_get(j, kinds[i]), &out->parts[i]);
	out->failures = (unsigned)get_number(j, "failures", INT_MAX);
	out->refused = json_is_true(json_object_get(j, "refused"));
	out->account = (unsigned)get_number(j, "account", INT_MAX);
	out->challenge = (unsigned)get_number(j, "challenge", INT_MAX);
	out->next_ms = get_ms(j, "next_ms");
	for (size_t i = 0; i < ACME_ASKED_MAX; i++)
		out->asked_ms[i] = get_ms(j, asked[i]);
	out->error = get_text(a, j, "error");
	read_waits(a, json_object_get(j, "waits_ms"), out);
	json_decref(j);
	return true;
}

struct str acme_state_write(struct arena *a, const struct acme_state *s)
{
	json_t *j = json_object();

	BUG_ON(!j);
	set_number(j, "version", VERSION);
	for (size_t i = 0; i < CONF_ACME_KINDS; i++)
		set_object(j, kinds[i], write_part(&s->parts[i]));
	set_number(j, "failures", s->failures);
	if (s->refused)
		BUG_ON(json_object_set_new(j, "refused", json_true()) != 0);
	set_number(j, "account", s->account);
	set_number(j, "challenge", s->challenge);
	set_number(j, "next_ms", s->next_ms);
	for (size_t i = 0; i < ACME_ASKED_MAX; i++)
		set_number(j, asked[i], s->asked_ms[i]);
	set_text(j, "error", s->error);
	set_object(j, "waits_ms", write_waits(s));
	return print(a, j);
}

int64_t acme_state_wait(const struct acme_state *s, struct str directory)
{
	for (size_t i = 0; i < s->nwaits; i++)
		if (str_eq(s->waits[i].directory, directory))
			return s->waits[i].until_ms;
	return 0;
}

void acme_state_set_wait(struct acme_state *s, struct str directory, int64_t until_ms)
{
	size_t i = 0;

	while (i < s->nwaits && !str_eq(s->waits[i].directory, directory))
		i++;
	if (i == ACME_WAITS_MAX) { /* as many as there may be directories: those of an older configuration */
		memmove(s->waits, s->waits + 1, (ACME_WAITS_MAX - 1) * sizeof *s->waits);
		i--;
	}
	s->nwaits = MAX(s->nwaits, i + 1);
	s->waits[i] = (struct acme_wait){ directory, until_ms };
}

/* ---- accounts ---- */

bool acme_account_read(struct arena *a, struct str bytes, struct acme_account *out)
{
	json_t *j = parse(bytes), *registrations, *url;
	const char *directory;

	*out = (struct acme_account){ 0 };
	if (j && str_eq(get_text(a, j, "kty"), STR("EC")) && str_eq(get_text(a, j, "crv"), STR("P-256")))
		out->key = acme_jwk_key(get_text(a, j, "x"), get_text(a, j, "y"), get_text(a, j, "d"));
	registrations = json_object_get(j, "registrations");
	if (out->key)
		json_object_foreach(registrations, directory, url)
			acme_account_register(out, arena_dup(a, str_from_c(directory)),
					      get_url(a, registrations, directory));
	json_decref(j);
	return out->key != NULL;
}

struct str acme_account_write(struct arena *a, const struct acme_account *acc)
{
	json_t *j = parse(acme_jwk_private(a, acc->key)), *registrations = json_object();

	BUG_ON(!j || !registrations);
	for (size_t i = 0; i < acc->n; i++)
		BUG_ON(json_object_setn_new(registrations, acc->registrations[i].directory.p,
					    acc->registrations[i].directory.n,
					    json_stringn(acc->registrations[i].url.p,
							 acc->registrations[i].url.n)) != 0);
	set_object(j, "registrations", registrations);
	return print(a, j);
}

struct str acme_account_url(const struct acme_account *acc, struct str directory)
{
	for (size_t i = 0; i < acc->n; i++)
		if (str_eq(acc->registrations[i].directory, directory))
			return acc->registrations[i].url;
	return STR_NONE;
}

void acme_account_register(struct acme_account *acc, struct str directory, struct str url)
{
	size_t i = 0;

	while (i < acc->n && !str_eq(acc->registrations[i].directory, directory))
		i++;
	if (i < acc->n) {
		acc->n--;
		memmove(acc->registrations + i, acc->registrations + i + 1,
			(acc->n - i) * sizeof *acc->registrations);
	}
	if (!url.n)
		return;
	if (acc->n == ACME_WAITS_MAX) {
		acc->n--;
		memmove(acc->registrations, acc->registrations + 1, acc->n * sizeof *acc->registrations);
	}
	acc->registrations[acc->n++] = (struct acme_registration){ directory, url };
}
