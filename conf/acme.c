/*
 * acme.c - the keys about certificates that are obtained from a CA, and which vhosts share one.
 */
#include "conf/priv.h"

#define REAL	 "https://acme-v02.api.letsencrypt.org/directory"
#define PRACTICE "https://acme-staging-v02.api.letsencrypt.org/directory"

enum {
	NAMES_MAX = 100,       /* in one certificate: what public CAs allow */
	NAME_FILE_BYTES = 230, /* a name is part of a file's name */
	URL_BYTES = 130,       /* and so is a URL, of which some characters take three */
};

/* ---- setters ---- */

/* The same keys stand in `global`, in a vhost, and in a mapping of their own. */
static void *place(struct conf_loader *l, const struct conf_key *k, void *object)
{
	char *keys = k->scope == CONF_IN_GLOBAL	 ? (char *)&l->acme
		     : k->scope == CONF_IN_VHOST ? (char *)&((struct conf_vhost_draft *)object)->acme
						 : object;

	return keys + k->at;
}

void conf_set_acme_entry(struct conf_loader *l, const struct conf_key *k, void *object,
			 const struct conf_node *v)
{
	struct conf_entry *entry = place(l, k, object);
	struct str text;

	if (!conf_take_text(l, v, &text))
		return;
	if (!text.n)
		conf_error(l, v, NULL, "\"%s\" is empty", k->name);
	*entry = (struct conf_entry){ .text = arena_dup(&l->c->arena, text), .pos = v->pos };
}

/* Instead of what was written farther up, not beside it. */
void conf_set_acme_entries(struct conf_loader *l, const struct conf_key *k, void *object,
			   const struct conf_node *v)
{
	struct conf_entries *entries = place(l, k, object), taken = { 0 };
	const struct conf_node *item = NULL;
	struct str text;

	while ((item = conf_next_text(l, v, item, &text))) {
		if (!text.n)
			conf_error(l, item, NULL, "\"%s\" is empty", k->name);
		arena_grow(&l->tmp, taken.list, taken.n, taken.cap);
		taken.list[taken.n++] = (struct conf_entry){ arena_dup(&l->c->arena, text), item->pos };
	}
	*entries = taken;
}

void conf_set_acme_staging(struct conf_loader *l, const struct conf_key *k, void *object,
			   const struct conf_node *v)
{
	(void)k;
	(void)object;
	(void)!conf_take_bool(l, v, &l->acme_staging);
}

void conf_set_acme_defaults(struct conf_loader *l, const struct conf_key *k, void *object,
			    const struct conf_node *v)
{
	static const char *const own[] = { "names", "acme-names", "cert-path", "key-path", "common-name" };
	const struct conf_node *seen[CONF_KEY_COUNT] = { NULL };

	(void)k;
	(void)object;
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (conf_node_get(v, own[i]))
			conf_error(l, conf_node_get(v, own[i])->key, "write it in the vhost",
				   "\"%s\" cannot be set for all vhosts", own[i]);
	conf_walk(l, CONF_IN_ACME, &l->acme, v, seen);
}

void conf_walk_acme(struct conf_loader *l, struct conf_vhost_draft *d, const struct conf_node *map)
{
	const struct conf_node *seen[CONF_KEY_COUNT] = { NULL };

	d->acme_at = map->key;
	conf_walk(l, CONF_IN_ACME, &d->acme, map, seen);
}

void conf_set_acme(struct conf_loader *l, const struct conf_key *k, void *object, const struct conf_node *v)
{
	struct conf_vhost_draft *d = object;
	bool on;

	(void)k;
	if (v->kind == CONF_NODE_MAPPING)
		conf_walk_acme(l, d, v);
	else if (conf_take_bool(l, v, &on) && on)
		d->acme_at = v->key;
}

/* ---- a vhost by itself ---- */

static void say(struct conf_loader *l, const struct conf_entry *at, const char *remedy, const char *reason)
{
	conf_report_add(l->r, CONF_ERROR, at->pos, remedy, "%s", reason);
}

/* The reference has the path of a certificate twice. */
static void check_path(struct conf_loader *l, const struct conf_node *given, const struct conf_entries *files,
		       const struct conf_entry *stored)
{
	if (!given || (files->n == 1 && stored->text.n && str_eq(files->list[0].text, stored->text)))
		return;
	conf_error(l, given->key,
		   stored->text.n ? "write the same path" : "leave it out: it is kept below \"state-dir\"",
		   stored->text.n ? "this certificate is obtained, and kept at another path, \"%.*s\"" :
				    "this certificate is obtained%.*s",
		   CONF_QUOTE(stored->text));
}

void conf_check_acme(struct conf_loader *l, struct conf_vhost_draft *d)
{
	static const enum conf_key_id ids[] = {
#define X(id, ...) CONF_KEY_##id,
		CONF_ACME_TABLE(X, VHOST, CONF_NO_ALIAS)
#undef X
		CONF_KEY_ACME_NAMES,
	};

	if (d->acme_at) {
		const struct conf_node *port = d->seen[CONF_KEY_PORT];

		if (port && str_eq(port->text, STR("80")))
			conf_warning(l, port,
				     "for https write 443; plain HTTP has no certificate, "
				     "and needs none for http-01",
				     "a vhost with \"acme\" speaks TLS, here on port 80");
		check_path(l, d->seen[CONF_KEY_HOST_SSL_CERT], &d->certs, &d->acme.cert_path);
		check_path(l, d->seen[CONF_KEY_HOST_SSL_KEY], &d->keys, &d->acme.key_path);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		if (d->seen[ids[i]])
			conf_warning(l, d->seen[ids[i]]->key, "add \"acme\": \"yes\"",
				     "\"%s\" without \"acme\" does nothing", conf_keys()[ids[i]].name);
}

void conf_add_acme(struct conf_loader *l, const struct conf_vhost_draft *d, struct conf_vhost *v)
{
	struct conf_acme_draft *draft;

	if (!d->acme_at || !v->name.n)
		return;
	draft = arena_new(&l->tmp, struct conf_acme_draft);
	draft->vhost = v;
	draft->keys = d->acme;
	draft->cert = arena_new(&l->c->arena, struct conf_acme_cert);
	draft->cert->pos = d->acme_at->pos;
	*l->acme_end = draft;
	l->acme_end = &draft->next;
}

/* ---- files of the store ---- */

/* Below state-dir; those of practice lie apart, so that nobody takes them for real ones. */
static struct str store_path(struct conf_loader *l, const char *folder, struct str name, const char *suffix)
{
	return arena_printf(&l->c->arena, "%.*s/%s/%s/%.*s%s", STR_ARG(l->c->global.state_dir),
			    l->acme_staging ? "acme-staging" : "acme", folder, STR_ARG(name), suffix);
}

/* Letters, digits, '-' and '.' as they are, others as "_2f": no two texts give the same. */
static struct str as_file_name(struct conf_loader *l, struct str s)
{
	static const char hex[] = "0123456789abcdef";
	char *p = arena_alloc(&l->tmp, 3 * s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		    (c == '.' && i)) {
			p[n++] = (char)c;
		} else {
			p[n++] = '_';
			p[n++] = hex[c >> 4];
			p[n++] = hex[c & 15];
		}
	}
	return str_of(p, n);
}

static struct conf_file *store_file(struct conf_loader *l, struct str path, struct conf_pos pos,
				    unsigned audience)
{
	struct conf_file *f = conf_file_at(l, path, pos);

	f->audience |= audience;
	f->secret = true;
	f->needed = false;
	f->is_store = true;
	return f;
}

static struct conf_file *file_for_acme(struct conf_loader *l, const struct conf_entry *path, bool secret)
{
	struct conf_file *f;

	if (!path->text.n)
		return NULL;
	f = conf_file_at(l, path->text, path->pos);
	f->audience |= CONF_FOR_ACME;
	f->secret |= secret;
	f->needed = true;
	return f;
}

/* ---- accounts ---- */

/* Where a CA's directory is today: the reference's documents name two that are gone. */
static struct str directory_of(struct conf_loader *l, const struct conf_entry *written)
{
	static const struct {
		const char *old, *now;
	} moved[] = {
		{ "https://acme-v01.api.letsencrypt.org/directory", REAL },
		{ "https://acme-staging.api.letsencrypt.org/directory", PRACTICE },
	};
	struct str url = written->text;

	for (size_t i = 0; i < ARRAY_SIZE(moved); i++) {
		if (!str_eq(url, str_from_c(moved[i].old)))
			continue;
		conf_report_add(l->r, CONF_NOTE, written->pos, NULL, "this directory has moved to %s",
				moved[i].now);
		url = str_from_c(moved[i].now);
	}
	return l->acme_staging && str_eq(url, STR(REAL)) ? STR(PRACTICE) : url;
}

static bool check_directory(struct conf_loader *l, const struct conf_entry *written)
{
	struct str rest = written->text;

	if (!str_starts(rest, STR("https://")) || rest.n <= 8 || memchr(rest.p, ' ', rest.n))
		say(l, written, "write it as in \"" REAL "\"", "a CA's directory is an https:// URL");
	else if (rest.n > URL_BYTES)
		say(l, written, NULL, "this URL is too long");
	else
		return true;
	return false;
}

static bool same_text(const struct conf_entry *written, struct str have)
{
	return !written->text.n || str_eq(written->text, have);
}

static void add_emails(struct conf_loader *l, struct conf_acme_account *a, const struct conf_acme_keys *keys)
{
	struct arena *arena = &l->c->arena;
	struct str *all = arena_alloc(arena, (a->nemails + keys->emails.n) * sizeof *all);

	if (a->nemails)
		memcpy(all, a->emails, a->nemails * sizeof *all);
	a->emails = all;
	for (size_t i = 0; i < keys->emails.n; i++) {
		struct str email = keys->emails.list[i].text;
		bool have = false;

		if (str_starts(email, STR("mailto:")))
			email = str_of(email.p + 7, email.n - 7);
		if (!memchr(email.p ? email.p : "", '@', email.n))
			say(l, &keys->emails.list[i], "write it as in admin@example.com",
			    "this is no e-mail address");
		for (size_t k = 0; k < a->nemails; k++)
			have |= str_eq(a->emails[k], email);
		if (!have)
			a->emails[a->nemails++] = email;
	}
}

static struct conf_acme_account *account_new(struct conf_loader *l, const struct conf_acme_keys *keys,
					     const struct conf_entry *written, struct conf_file *file)
{
	struct conf_acme *acme = &l->c->acme;
	struct conf_acme_account *a = arena_new(&l->c->arena, struct conf_acme_account);

	a->directory = arena_dup(&l->c->arena, directory_of(l, written));
	a->pos = written->pos;
	a->file = file;
	a->trust = file_for_acme(l, &keys->trust, false);
	a->eab_kid = keys->eab_kid.text;
	a->eab_hmac = keys->eab_hmac.text;
	a->eab_file = file_for_acme(l, &keys->eab_file, true);
	if (a->eab_kid.n && !a->eab_hmac.n && !a->eab_file)
		say(l, &keys->eab_kid, "add \"eab-hmac-file\"", "a key id without its key");
	if (a->eab_hmac.n && a->eab_file)
		say(l, &keys->eab_hmac, "keep one of them", "\"eab-hmac\" beside \"eab-hmac-file\"");
	if (!a->eab_kid.n && (a->eab_hmac.n || a->eab_file))
		say(l, a->eab_file ? &keys->eab_file : &keys->eab_hmac, "add \"eab-kid\"",
		    "a key without its key id");
	arena_grow(&l->c->arena, acme->accounts, acme->naccounts, l->acme_accounts_cap);
	acme->accounts[acme->naccounts++] = a;
	return a;
}

/* The account that lies in a file is one, whoever names it. */
static struct conf_acme_account *account_in(struct conf_loader *l, const struct conf_acme_keys *keys,
					    const struct conf_entry *written, struct str path)
{
	struct conf_acme *acme = &l->c->acme;
	struct conf_file *file = store_file(l, path, written->pos, CONF_FOR_ACME);
	struct conf_acme_account *a = NULL;
	const char *other = NULL;

	for (size_t i = 0; i < acme->naccounts && !a; i++)
		if (acme->accounts[i]->file == file)
			a = acme->accounts[i];
	if (!a)
		return account_new(l, keys, written, file);
	if (!str_eq(a->directory, directory_of(l, written)))
		other = "directory";
	else if (!same_text(&keys->eab_kid, a->eab_kid))
		other = "eab-kid";
	else if (!same_text(&keys->trust, a->trust ? a->trust->path : STR_NONE))
		other = "directory-ca";
	if (other)
		conf_report_add(l->r, CONF_ERROR, written->pos, "give it an \"auth-path\" of its own",
				"this account has another %s at %s", other, conf_place(l, a->pos));
	return a;
}

static void add_accounts(struct conf_loader *l, const struct conf_acme_keys *keys, struct conf_acme_cert *c)
{
	const struct conf_entry usual = { .text = STR(REAL), .pos = c->pos };
	const struct conf_entry *list = keys->directories.n ? keys->directories.list : &usual;
	size_t n = MAX(keys->directories.n, (size_t)1);

	c->accounts = arena_alloc(&l->c->arena, n * sizeof(struct conf_acme_account *));
	for (size_t i = 0; i < n; i++) {
		struct conf_acme_account *a;
		struct str path;

		if (!check_directory(l, &list[i]))
			continue;
		path = i == 0 && keys->auth_path.text.n ?
			       keys->auth_path.text :
			       store_path(l, "accounts", as_file_name(l, directory_of(l, &list[i])), ".json");
		a = account_in(l, keys, &list[i], path);
		add_emails(l, a, keys);
		c->accounts[c->naccounts++] = a;
	}
}

/* ---- a certificate ---- */

static void add_name(struct conf_loader *l, struct conf_acme_cert *c, struct str text, struct conf_pos pos)
{
	const char *remedy = NULL, *reason;
	struct str name;
	bool is_ip6;

	reason = conf_name_parse(text, &name, &remedy);
	if (!reason && (conf_address_parse(&l->tmp, name, &name, &is_ip6) || name.p[0] == '['))
		reason = "a CA is asked for names, not for addresses";
	if (!reason && name.n > NAME_FILE_BYTES)
		reason = "this name is too long for a certificate";
	if (reason) {
		conf_report_add(l->r, CONF_ERROR, pos, remedy, "%s", reason);
		return;
	}
	name = conf_lower(&l->c->arena, name);
	for (size_t i = 0; i < c->nnames; i++)
		if (str_eq(c->names[i], name))
			return;
	c->names[c->nnames++] = name;
}

static void add_names(struct conf_loader *l, const struct conf_acme_draft *d)
{
	const struct conf_acme_keys *keys = &d->keys;
	struct conf_acme_cert *c = d->cert;

	c->names = arena_alloc(&l->c->arena, (keys->names.n + 1) * sizeof *c->names);
	if (keys->common_name.text.n)
		add_name(l, c, keys->common_name.text, keys->common_name.pos);
	else
		add_name(l, c, d->vhost->name, c->pos);
	for (size_t i = 0; i < keys->names.n; i++)
		add_name(l, c, keys->names.list[i].text, keys->names.list[i].pos);
	if (c->nnames > NAMES_MAX)
		say(l, &keys->names.list[NAMES_MAX], "make several vhosts of it",
		    "a certificate has at most 100 names");
	c->id = c->nnames ? c->names[0] : STR_NONE;
}

static void set_kinds(struct conf_loader *l, const struct conf_acme_keys *keys, struct conf_acme_cert *c)
{
	struct str text = keys->kinds.text;
	bool both = str_eq(text, STR("both"));

	c->kinds[CONF_ACME_ECDSA] = both || !text.n || str_eq(text, STR("ecdsa"));
	c->kinds[CONF_ACME_RSA] = both || str_eq(text, STR("rsa"));
	if (!c->kinds[CONF_ACME_ECDSA] && !c->kinds[CONF_ACME_RSA])
		conf_report_add(l->r, CONF_ERROR, keys->kinds.pos, "write ecdsa, rsa or both",
				"there is no key of the kind \"%.*s\"", CONF_QUOTE(text));
	if (both && keys->cert_path.text.n)
		say(l, &keys->kinds, "leave \"cert-path\" and \"key-path\" out",
		    "two certificates cannot be kept in one file");
}

static bool uses(const struct conf_acme_cert *c, enum conf_acme_challenge challenge)
{
	for (size_t i = 0; i < c->nchallenges; i++)
		if (c->challenges[i] == challenge)
			return true;
	return false;
}

static void add_challenge(struct conf_loader *l, const struct conf_entry *written, struct conf_acme_cert *c)
{
	static const char *const names[] = { "tls-alpn-01", "http-01", "dns-01" };
	enum conf_acme_challenge found = CONF_ACME_CHALLENGES;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eq(written->text, str_from_c(names[i])))
			found = (enum conf_acme_challenge)i;
	if (found == CONF_ACME_CHALLENGES)
		conf_report_add(l->r, CONF_ERROR, written->pos, "write tls-alpn-01, http-01 or dns-01",
				"\"%.*s\" is no challenge that can be met", CONF_QUOTE(written->text));
	else if (uses(c, found))
		say(l, written, NULL, "this challenge is written twice");
	else
		c->challenges[c->nchallenges++] = found;
}

/* Whoever writes a hook program wants it used: other challenges then only on request. */
static void set_challenges(struct conf_loader *l, const struct conf_acme_keys *keys, struct conf_acme_cert *c)
{
	const struct conf_entry *hook = &keys->hook;

	c->hook = hook->text;
	if (hook->text.n && hook->text.p[0] != '/')
		say(l, hook, "write the whole path, from \"/\" on", "a hook is a program's path");
	for (size_t i = 0; i < keys->challenges.n; i++)
		add_challenge(l, &keys->challenges.list[i], c);
	if (!keys->challenges.n && hook->text.n) {
		c->challenges[c->nchallenges++] = CONF_ACME_DNS_01;
	} else if (!keys->challenges.n) {
		c->challenges[c->nchallenges++] = CONF_ACME_TLS_ALPN_01;
		c->challenges[c->nchallenges++] = CONF_ACME_HTTP_01;
	}
	if (uses(c, CONF_ACME_DNS_01) && !hook->text.n)
		say(l, &keys->challenges.list[0], "add \"acme-hook\": \"/usr/local/sbin/dns-hook\"",
		    "dns-01 needs a program that sets the record");
	for (size_t i = 0; i < c->nnames; i++)
		if (str_starts(c->names[i], STR("*.")) && !uses(c, CONF_ACME_DNS_01)) {
			conf_report_add(l->r, CONF_ERROR, c->pos,
					"add \"acme-hook\", a program that sets the record",
					"\"%.*s\": a CA wants dns-01 for a wildcard, because no server can "
					"answer for all names", CONF_QUOTE(c->names[i]));
			return;
		}
}

/* ---- which vhosts share one ---- */

static bool covers(const struct conf_acme_cert *c, const struct conf_acme_cert *other)
{
	for (size_t i = 0; i < other->nnames; i++) {
		bool has = false;

		for (size_t k = 0; k < c->nnames && !has; k++)
			has = str_eq(c->names[k], other->names[i]);
		if (!has)
			return false;
	}
	return true;
}

static bool obtained_alike(const struct conf_acme_draft *a, const struct conf_acme_draft *b)
{
	const struct conf_acme_cert *x = a->cert, *y = b->cert;
	const struct conf_entry *path = &a->keys.cert_path, *key = &a->keys.key_path;

	return x->naccounts == y->naccounts && x->nchallenges == y->nchallenges &&
	       memcmp(x->accounts, y->accounts, x->naccounts * sizeof(struct conf_acme_account *)) == 0 &&
	       memcmp(x->challenges, y->challenges, x->nchallenges * sizeof x->challenges[0]) == 0 &&
	       memcmp(x->kinds, y->kinds, sizeof x->kinds) == 0 && str_eq(x->hook, y->hook) &&
	       same_text(path, b->keys.cert_path.text) && same_text(key, b->keys.key_path.text);
}

/* The one with the most names of those that have this name; of equal ones the first. */
static void note_names(struct conf_loader *l, struct conf_map *largest, struct conf_acme_draft *d)
{
	for (size_t i = 0; i < d->cert->nnames; i++) {
		void **slot = conf_map_at(&l->tmp, largest, d->cert->names[i]);

		if (!*slot || ((struct conf_acme_draft *)*slot)->cert->nnames < d->cert->nnames)
			*slot = d;
	}
}

/* ---- its files ---- */

static struct conf_file *cert_file(struct conf_loader *l, struct str path, const struct conf_acme_cert *c)
{
	struct conf_file *f = conf_file_at(l, path, c->pos);

	if (f->is_store)
		conf_report_add(l->r, CONF_ERROR, c->pos, NULL,
				"\"%.*s\" is where something else is kept already", CONF_QUOTE(path));
	return store_file(l, path, c->pos, CONF_FOR_WORKERS | CONF_FOR_ACME);
}

static void check_paths(struct conf_loader *l, const struct conf_acme_keys *keys)
{
	const struct conf_entry *paths[] = { &keys->auth_path, &keys->cert_path, &keys->key_path };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (paths[i]->text.n && paths[i]->text.p[0] != '/')
			say(l, paths[i], "write the whole path, from \"/\" on",
			    "files of certificates have paths that begin with \"/\"");
	if (!keys->cert_path.text.n && keys->key_path.text.n)
		say(l, &keys->key_path, "add \"cert-path\"", "\"key-path\" without \"cert-path\"");
}

static void add_files(struct conf_loader *l, const struct conf_acme_keys *keys, struct conf_acme_cert *c)
{
	static const char *const suffix[] = { ".pem", ".rsa.pem" };
	struct str name = as_file_name(l, c->id);

	check_paths(l, keys);
	for (size_t i = 0; i < CONF_ACME_KINDS; i++) {
		if (!c->kinds[i])
			continue;
		c->certs[i] = cert_file(l, keys->cert_path.text.n ? keys->cert_path.text :
					store_path(l, "certs", name, suffix[i]), c);
		c->keys[i] = !keys->key_path.text.n || str_eq(keys->key_path.text, c->certs[i]->path) ?
				     c->certs[i] : cert_file(l, keys->key_path.text, c);
	}
	c->state = store_file(l, store_path(l, "orders", name, ".json"), c->pos, CONF_FOR_ACME);
}

static void serve_with(struct conf_loader *l, struct conf_vhost *v, struct conf_acme_cert *c)
{
	v->acme = c;
	v->ncerts = 0;
	v->certs = arena_zalloc(&l->c->arena, CONF_ACME_KINDS * sizeof *v->certs);
	for (size_t i = 0; i < CONF_ACME_KINDS; i++)
		if (c->certs[i])
			v->certs[v->ncerts++] = (struct conf_cert){
				.cert = { c->certs[i]->path, c->pos },
				.key = { c->keys[i]->path, c->pos },
			};
}

/* Each draft has a certificate that is not yet asked for; afterwards each vhost has one that is. */
void conf_finish_acme(struct conf_loader *l)
{
	struct conf_acme *acme = &l->c->acme;
	struct conf_map largest = { 0 }, ids = { 0 };

	for (struct conf_acme_draft *d = l->acme_first; d; d = d->next) {
		add_names(l, d);
		set_kinds(l, &d->keys, d->cert);
		set_challenges(l, &d->keys, d->cert);
		add_accounts(l, &d->keys, d->cert);
		note_names(l, &largest, d);
	}
	for (struct conf_acme_draft *d = l->acme_first; d; d = d->next) {
		struct conf_acme_draft *other = d;
		void **slot;

		if (!d->cert->id.n)
			continue;
		other = *conf_map_at(&l->tmp, &largest, d->cert->id);
		if (other != d && covers(other->cert, d->cert) && obtained_alike(d, other)) {
			d->cert = other->cert;
			continue;
		}
		slot = conf_map_at(&l->tmp, &ids, d->cert->id);
		if (*slot) {
			conf_report_add(l->r, CONF_ERROR, d->cert->pos,
					"write what is to be the same in both, or another \"common-name\"",
					"the certificate for \"%.*s\" is asked for in another way at %s",
					CONF_QUOTE(d->cert->id),
					conf_place(l, ((struct conf_acme_draft *)*slot)->cert->pos));
			continue;
		}
		*slot = d;
		add_files(l, &d->keys, d->cert);
		arena_grow(&l->c->arena, acme->certs, acme->ncerts, l->acme_certs_cap);
		acme->certs[acme->ncerts++] = d->cert;
	}
	for (struct conf_acme_draft *d = l->acme_first; d; d = d->next)
		serve_with(l, d->vhost, d->cert);
}
