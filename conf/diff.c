#include "conf/diff.h"
#include "conf/keys.h"
#include "conf/priv.h"

static const struct {
	const char *one, *more, *happens, *happen;
} words[CONF_CHANGE_COUNT] = {
#define X(id, one, more, happens, happen) { one, more, happens, happen },
	CONF_CHANGE_TABLE(X)
#undef X
};

static void note(struct conf_diff *d, enum conf_change_kind kind, struct str what)
{
	arena_grow(&d->arena, d->list, d->n, d->cap);
	d->list[d->n++] = (struct conf_change){ kind, arena_dup(&d->arena, what) };
	d->counts[kind]++;
}

/* ---- vhosts ---- */

static struct str vhost_name(struct arena *a, const struct conf_vhost *v)
{
	if (!v->listener)
		return v->name;
	return arena_printf(a, "%.*s on %.*s", STR_ARG(v->name), STR_ARG(v->listener->name));
}

static void diff_vhosts(struct conf_diff *d, const struct config *before, const struct config *after)
{
	struct conf_map old = { 0 }, new = { 0 };
	struct arena *a = &d->arena;

	for (size_t i = 0; i < before->nvhosts; i++)
		*conf_map_at(a, &old, vhost_name(a, before->vhosts[i])) = before->vhosts[i];
	for (size_t i = 0; i < after->nvhosts; i++) {
		const struct conf_vhost *v = after->vhosts[i];
		struct str name = vhost_name(a, v);
		const struct conf_vhost *was = *conf_map_at(a, &old, name);

		*conf_map_at(a, &new, name) = after->vhosts[i];
		if (!was)
			note(d, CONF_VHOST_COMES, name);
		else if (was->hash != v->hash)
			note(d, CONF_VHOST_CHANGES, name);
	}
	for (size_t i = 0; i < before->nvhosts; i++)
		if (!*conf_map_at(a, &new, vhost_name(a, before->vhosts[i])))
			note(d, CONF_VHOST_GOES, vhost_name(a, before->vhosts[i]));
}

/* ---- listeners ---- */

/* Those of `in` that `other` does not have. */
static void diff_listeners(struct conf_diff *d, const struct config *in, const struct config *other,
			   enum conf_change_kind kind)
{
	struct conf_map names = { 0 };

	for (size_t i = 0; i < other->nlisteners; i++)
		*conf_map_at(&d->arena, &names, other->listeners[i]->name) = other->listeners[i];
	for (size_t i = 0; i < in->nlisteners; i++)
		if (!*conf_map_at(&d->arena, &names, in->listeners[i]->name))
			note(d, kind, in->listeners[i]->name);
}

/* ---- files ---- */

static bool has_changed(struct conf_map *old, struct arena *a, const struct conf_file *f)
{
	const struct conf_file *was = *conf_map_at(a, old, f->path);

	return was && !str_eq(was->bytes, f->bytes);
}

/* Once: several vhosts may have it. */
static bool take(struct conf_map *changed, struct arena *a, struct str path)
{
	void **slot = conf_map_at(a, changed, path);
	bool was_there = *slot != NULL;

	*slot = NULL;
	return was_there;
}

/* Files whose names stay; one that is new belongs to a vhost or a key that has changed. */
static void diff_files(struct conf_diff *d, const struct config *before, const struct config *after)
{
	struct conf_map old = { 0 }, changed = { 0 };
	struct arena *a = &d->arena;

	for (size_t i = 0; i < before->nfiles; i++)
		*conf_map_at(a, &old, before->files[i]->path) = before->files[i];
	for (size_t i = 0; i < after->nfiles; i++)
		if (has_changed(&old, a, after->files[i]))
			*conf_map_at(a, &changed, after->files[i]->path) = after->files[i];
	if (!changed.n)
		return;
	for (size_t i = 0; i < after->nvhosts; i++)
		for (size_t k = 0; k < after->vhosts[i]->ncerts; k++) {
			const struct conf_cert *pair = &after->vhosts[i]->certs[k];
			bool cert = take(&changed, a, pair->cert.text);
			bool key = take(&changed, a, pair->key.text);

			if (cert || key)
				note(d, CONF_CERTIFICATE_CHANGES, pair->cert.text);
		}
	for (size_t i = 0; i < after->nfiles; i++)
		if (*conf_map_at(a, &changed, after->files[i]->path))
			note(d, CONF_FILE_CHANGES, after->files[i]->path);
}

/* ---- global ---- */

static uint64_t setting_of(const struct config *c, const struct conf_key *k, bool *is_there)
{
	*is_there = false;
	for (size_t i = 0; i < c->nsettings; i++)
		if (c->settings[i].key == k) {
			*is_there = true;
			return c->settings[i].hash;
		}
	return 0;
}

static void diff_settings(struct conf_diff *d, const struct config *before, const struct config *after)
{
	for (size_t i = 0; i < CONF_KEY_COUNT; i++) {
		const struct conf_key *k = &conf_keys()[i];
		const char *section = k->scope == CONF_IN_LIMITS     ? "limits."
				      : k->scope == CONF_IN_TIMEOUTS ? "timeouts."
								     : "";
		bool was, is;
		uint64_t old = setting_of(before, k, &was), new = setting_of(after, k, &is);

		if (was != is || old != new)
			note(d, k->flags & CONF_NEW_WORKERS ? CONF_KEY_RESTARTS : CONF_KEY_CHANGES,
			     arena_printf(&d->arena, "%s%s", section, k->name));
	}
}

/* ---- the whole ---- */

void conf_diff(struct conf_diff *d, const struct config *before, const struct config *after)
{
	*d = (struct conf_diff){ 0 };
	arena_init(&d->arena);
	diff_vhosts(d, before, after);
	diff_listeners(d, after, before, CONF_LISTENER_OPENS);
	diff_listeners(d, before, after, CONF_LISTENER_CLOSES);
	diff_files(d, before, after);
	diff_settings(d, before, after);
}

void conf_diff_fini(struct conf_diff *d)
{
	arena_fini(&d->arena);
}

void conf_diff_summary(const struct conf_diff *d, FILE *out)
{
	const char *comma = "";

	for (size_t i = 0; i < CONF_CHANGE_COUNT; i++) {
		size_t n = d->counts[i];

		if (!n)
			continue;
		fprintf(out, "%s%zu %s %s", comma, n, n == 1 ? words[i].one : words[i].more,
			n == 1 ? words[i].happens : words[i].happen);
		comma = ", ";
	}
	if (!d->n)
		fputs("nothing changes", out);
}

void conf_diff_list(const struct conf_diff *d, size_t most, FILE *out)
{
	for (size_t i = 0; i < d->n && i < most; i++)
		fprintf(out, "  %s %.*s %s\n", words[d->list[i].kind].one, STR_ARG(d->list[i].what),
			words[d->list[i].kind].happens);
	if (d->n > most)
		fprintf(out, "  ... and %zu more\n", d->n - most);
}
