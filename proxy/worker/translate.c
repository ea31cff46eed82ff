#include "proxy/worker/translate.h"
#include "proxy/worker/path.h"

/* ---- up ---- */

/*
 * Names that decide something at the upstream. Spelt with '_' for '-' they mean the same to one that
 * makes CGI variables of them, past everything that was checked here: such aliases are dropped.
 */
static bool is_alias(struct str name)
{
	static const char *const aliased[] = {
		"x-forwarded-for",  "x-forwarded-proto", "x-forwarded-host",  "x-forwarded-prefix",
		"x-forwarded-user", "content-length",    "transfer-encoding",
	};

	if (!memchr(name.p, '_', name.n))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(aliased); i++) {
		size_t n = 0;

		while (n < name.n && aliased[i][n] &&
		       (name.p[n] == '_' ? '-' : str_lower_char(name.p[n])) == aliased[i][n])
			n++;
		if (n == name.n && !aliased[i][n])
			return true;
	}
	return false;
}

/*
 * What a client says about others counts only from a trusted proxy, and is dropped where it is told anew
 * below.
 */
static bool is_dropped(const struct field *f, const struct translate_up *t)
{
	switch (f->id) {
	case FIELD_UNKNOWN:
		return is_alias(f->name);
	case FIELD_X_FORWARDED_PROTO:
	case FIELD_X_FORWARDED_HOST:
		return !t->trusted;
	case FIELD_X_FORWARDED_USER:
		return !t->trusted || t->user.p;
	case FIELD_X_FORWARDED_FOR:
	case FIELD_X_FORWARDED_PREFIX:
	case FIELD_FORWARDED:
		return true;
	case FIELD_AUTHORIZATION:
		return t->user.p && !t->keeps_authorization;
	case FIELD_VIA:
		return t->via.n > 0;
	default:
		return false;
	}
}

struct text {
	char *p;
	size_t n, cap;
};

static void text_add(struct text *t, struct str separator, struct str s)
{
	BUG_ON(separator.n + s.n > t->cap - t->n);
	if (t->n) {
		memcpy(t->p + t->n, separator.p, separator.n);
		t->n += separator.n;
	}
	if (s.n)
		memcpy(t->p + t->n, s.p, s.n);
	t->n += s.n;
}

/* Room for all values of this id and `more` bytes, with a separator of two behind each. */
static struct text text_for(struct arena *a, const struct head *h, enum field_id id, size_t more)
{
	size_t n = more;

	head_for_each(f, h)
		if (f->id == id)
			n += f->value.n + 2;
	return (struct text){ .p = arena_alloc(a, n), .cap = n };
}

static bool has_own_cookie(struct str value)
{
	return memmem(value.p, value.n, TRANSLATE_OWN_COOKIE "=", sizeof TRANSLATE_OWN_COOKIE) != NULL;
}

/* Adds the crumbs of one Cookie field that are not our own. */
static void add_crumbs(struct text *t, struct str value)
{
	if (!has_own_cookie(value)) {
		text_add(t, STR("; "), value);
		return;
	}
	while (value.n) {
		const char *semicolon = memchr(value.p, ';', value.n);
		size_t n = semicolon ? (size_t)(semicolon - value.p) : value.n;
		struct str crumb = str_trim(str_of(value.p, n));

		if (crumb.n && !str_starts(crumb, STR(TRANSLATE_OWN_COOKIE "=")))
			text_add(t, STR("; "), crumb);
		n += semicolon != NULL;
		value = str_of(value.p + n, value.n - n);
	}
}

/* All Cookie fields in one (RFC 9113 section 8.2.3). */
static struct str join_cookies(struct arena *a, const struct head *h, const struct field *first)
{
	struct text t;
	unsigned fields = 0;
	size_t semicolons = 0;

	head_for_each(f, h) {
		if (f->id != FIELD_COOKIE)
			continue;
		fields++;
		for (size_t i = 0; i < f->value.n; i++)
			semicolons += f->value.p[i] == ';';
	}
	if (fields == 1 && !has_own_cookie(first->value))
		return first->value;
	/* a crumb that came with ";" goes with "; " */
	t = text_for(a, h, FIELD_COOKIE, semicolons);
	head_for_each(f, h)
		if (f->id == FIELD_COOKIE)
			add_crumbs(&t, f->value);
	return str_of(t.p, t.n);
}

/* All values of this id, and behind them one of our own. */
static struct str continued(struct arena *a, const struct head *h, enum field_id id, struct str own)
{
	struct text all = text_for(a, h, id, own.n + 2);

	head_for_each(f, h)
		if (f->id == id && f->value.n)
			text_add(&all, STR(", "), f->value);
	text_add(&all, STR(", "), own);
	return str_of(all.p, all.n);
}

static struct str continued_if_trusted(struct arena *a, const struct head *h, enum field_id id,
				       struct str own, const struct translate_up *t)
{
	return t->trusted && head_find(h, id) ? continued(a, h, id, own) : own;
}

/* RFC 7239 section 4 */
static struct str forwarded(struct arena *a, struct str authority, const struct translate_up *t)
{
	bool is_ip6 = memchr(t->peer.p, ':', t->peer.n) != NULL;
	bool is_ip = is_ip6 || memchr(t->peer.p, '.', t->peer.n);
	const char *before = is_ip6 ? "\"[" : is_ip ? "" : "_", *behind = is_ip6 ? "]\"" : "";

	return arena_printf(a, "for=%s%.*s%s;host=\"%.*s\";proto=%s", before, STR_ARG(t->peer), behind,
			    STR_ARG(authority), t->tls ? "https" : "http");
}

/* Prefixes nest: the outer proxy's comes first. */
static struct str prefix(struct arena *a, const struct head *h, const struct translate_up *t)
{
	const struct field *outer = t->trusted ? head_find(h, FIELD_X_FORWARDED_PREFIX) : NULL;
	struct str before = outer ? outer->value : STR_NONE;

	while (before.n && before.p[before.n - 1] == '/')
		before.n--;
	return before.n ? arena_printf(a, "%.*s%.*s", STR_ARG(before), STR_ARG(t->prefix)) : t->prefix;
}

int64_t translate_max_forwards(const struct head *h)
{
	const struct field *f = head_find(h, FIELD_MAX_FORWARDS);
	uint64_t n;

	return f && str_to_u64(str_trim(f->value), INT64_MAX, &n) ? (int64_t)n : -1;
}

static void copy_field(struct arena *a, struct head *up, const struct head *h, const struct field *f,
		       struct str authority)
{
	struct field *to = &up->fields[up->nfields];

	*to = *f;
	if (f->id == FIELD_HOST) {
		to->value = authority;
	} else if (f->id == FIELD_COOKIE) {
		if (head_find(up, FIELD_COOKIE))
			return;
		to->value = join_cookies(a, h, f);
		if (!to->value.n)
			return;
	} else if (f->id == FIELD_MAX_FORWARDS && str_eq(h->method, STR("OPTIONS"))) {
		int64_t left = translate_max_forwards(h);

		if (left > 0)
			to->value = arena_printf(a, "%lld", (long long)left - 1);
	}
	up->nfields++;
}

/* What is known here of where the request came from. */
static void add_forwarded(struct arena *a, struct head *up, const struct head *h,
			  const struct translate_up *t)
{
	struct str all, authority = up->authority;

	all = continued_if_trusted(a, h, FIELD_X_FORWARDED_FOR, t->peer, t);
	head_add_id(a, up, FIELD_X_FORWARDED_FOR, all);
	if (!head_find(up, FIELD_X_FORWARDED_PROTO))
		head_add_id(a, up, FIELD_X_FORWARDED_PROTO, t->tls ? STR("https") : STR("http"));
	if (!head_find(up, FIELD_X_FORWARDED_HOST))
		head_add_id(a, up, FIELD_X_FORWARDED_HOST, authority);
	all = prefix(a, h, t);
	if (all.n)
		head_add_id(a, up, FIELD_X_FORWARDED_PREFIX, all);
	if (t->user.p)
		head_add_id(a, up, FIELD_X_FORWARDED_USER, t->user);
	if (t->forwarded) {
		all = continued_if_trusted(a, h, FIELD_FORWARDED, forwarded(a, authority, t), t);
		head_add_id(a, up, FIELD_FORWARDED, all);
	}
	if (t->via.n)
		head_add_id(a, up, FIELD_VIA, continued(a, h, FIELD_VIA, t->via));
}

/* What the answer is, and that nobody keeps it, is for a page of our own to say. */
static bool is_settled(struct str name)
{
	static const enum field_id settled[] = { FIELD_CACHE_CONTROL, FIELD_CONTENT_TYPE, FIELD_LOCATION,
						 FIELD_WWW_AUTHENTICATE };
	enum field_id id = field_lookup(name);

	for (size_t i = 0; i < ARRAY_SIZE(settled); i++)
		if (id == settled[i])
			return true;
	return false;
}

static void apply(struct arena *a, struct head *h, const struct conf_header *rules, size_t n, bool is_ours)
{
	for (size_t i = 0; i < n; i++) {
		const struct conf_header *r = &rules[i];

		if (is_ours && is_settled(r->name))
			continue;
		if (r->op != CONF_HEADER_ADD)
			head_remove_name(h, r->name);
		if (r->op != CONF_HEADER_REMOVE)
			head_add(a, h, r->name, r->value);
	}
}

struct head *translate_request(struct arena *a, const struct head *h, const struct translate_up *t)
{
	struct head *up = head_new(a, HEAD_REQUEST);
	struct str authority = h->authority.n ? h->authority : t->authority;

	*up = *h;
	up->minor = 1;
	up->scheme = STR_NONE;
	up->authority = authority;
	up->path = t->target;
	/* what is copied, Host, and what is told anew */
	up->cap = (uint32_t)(h->nfields + 8 + t->nrules);
	up->nfields = 0;
	up->fields = arena_alloc(a, up->cap * sizeof *up->fields);
	if (!head_find(h, FIELD_HOST))
		head_add_id(a, up, FIELD_HOST, authority);
	head_for_each(f, h)
		if (!is_dropped(f, t))
			copy_field(a, up, h, f, authority);
	add_forwarded(a, up, h, t);
	apply(a, up, t->rules, t->nrules, false);
	return up;
}

/* ---- down ---- */

/*
 * A path of the upstream's as the client must ask for it; false when it is none that the mount shows. A
 * path that already carries the mountpoint (the upstream heeds X-Forwarded-Prefix) stays, unless the base
 * says more.
 */
static bool map_path(struct arena *a, struct str path, struct str suffix, const struct translate_down *t,
		     struct str *out)
{
	size_t base = t->base.n > 1 ? t->base.n : 0, mountpoint = t->mountpoint.n > 1 ? t->mountpoint.n : 0;

	if (!path_normalise(a, path, &path) || !path_is_under(path, t->base))
		return false;
	if (mountpoint > base && path_is_under(path, t->mountpoint))
		return false;
	*out = path_rebase(a, path, t->base, t->mountpoint, suffix);
	return true;
}

/* How much of s is a scheme that HTTP has, with its colon; 0: none of that. */
static size_t scheme_bytes(struct str s, bool *is_https)
{
	*is_https = s.n > 6 && str_eq_nocase(str_of(s.p, 6), STR("https:"));
	if (*is_https)
		return 6;
	return s.n > 5 && str_eq_nocase(str_of(s.p, 5), STR("http:")) ? 5 : 0;
}

static struct str without_port(struct str authority, struct str port)
{
	return str_ends(authority, port) ? str_of(authority.p, authority.n - port.n) : authority;
}

static size_t run_until(struct str s, const char *stops)
{
	size_t n = 0;

	while (n < s.n && !strchr(stops, s.p[n]))
		n++;
	return n;
}

/*
 * How much of a Location comes before its path: "https://example.com", "//example.com" or nothing.
 * SIZE_MAX: it leads elsewhere.
 */
static size_t own_origin_bytes(struct str value, const struct translate_down *t)
{
	bool is_https;
	size_t at = scheme_bytes(value, &is_https), n;
	struct str port = is_https ? STR(":443") : STR(":80"), authority;

	if (!str_starts(str_of(value.p + at, value.n - at), STR("//")))
		return at ? SIZE_MAX : 0;
	at += 2;
	n = run_until(str_of(value.p + at, value.n - at), "/?#");
	authority = str_of(value.p + at, n);
	if (!str_eq_nocase(without_port(authority, port), without_port(t->authority, port)))
		return SIZE_MAX;
	return at + n;
}

struct str translate_location(struct arena *a, struct str value, const struct translate_down *t)
{
	size_t origin = own_origin_bytes(value, t), n;
	struct str rest, path, mapped;

	if (origin == SIZE_MAX)
		return value;
	rest = str_of(value.p + origin, value.n - origin);
	n = run_until(rest, "?#");
	path = origin && !n ? STR("/") : str_of(rest.p, n);
	if (!map_path(a, path, str_of(rest.p + n, rest.n - n), t, &mapped))
		return value;
	if (origin)
		return arena_printf(a, "%.*s%.*s", (int)origin, value.p, STR_ARG(mapped));
	/* RFC 3986 section 4.2: "//x" alone would name a host */
	return str_starts(mapped, STR("//")) ? arena_printf(a, "/.%.*s", STR_ARG(mapped)) : mapped;
}

struct str translate_set_cookie(struct arena *a, struct str value, const struct translate_down *t)
{
	size_t at = run_until(value, ";");

	while (at < value.n) {
		struct str attribute = str_of(value.p + at + 1, value.n - at - 1), path, mapped;
		size_t n = run_until(attribute, ";"), equals = run_until(str_of(attribute.p, n), "=");

		at += 1 + n;
		if (equals == n || !str_eq_nocase(str_trim(str_of(attribute.p, equals)), STR("path")))
			continue;
		path = str_trim(str_of(attribute.p + equals + 1, n - equals - 1));
		if (str_eq(path, STR("/")) && t->base.n <= 1)
			/* without the slash it holds the mountpoint itself, too */
			mapped = t->mountpoint;
		else if (!map_path(a, path, STR_NONE, t, &mapped))
			continue;
		n = (size_t)(path.p - value.p);
		value = arena_printf(a, "%.*s%.*s%.*s", (int)n, value.p, STR_ARG(mapped),
				     (int)(value.n - n - path.n), path.p + path.n);
		at = run_until(str_of(value.p + n, value.n - n), ";") + n;
	}
	return value;
}

static void map_back(struct arena *a, struct head *h, const struct translate_down *t)
{
	head_for_each(f, h) {
		if (f->id == FIELD_LOCATION)
			f->value = translate_location(a, f->value, t);
		else if (f->id == FIELD_SET_COOKIE)
			f->value = translate_set_cookie(a, f->value, t);
	}
}

void translate_response(struct arena *a, struct head *h, const struct translate_down *t)
{
	/* 1xx have their own few fields; 101 belongs to the two that talk by it */
	if (h->kind != HEAD_FINAL || h->status < 200)
		return;
	if (t->is_mapped)
		map_back(a, h, t);
	if (t->sts && !head_find(h, FIELD_STRICT_TRANSPORT_SECURITY))
		head_add_id(a, h, FIELD_STRICT_TRANSPORT_SECURITY,
			    STR("max-age=15768000; includeSubDomains"));
	if (t->via)
		head_add_id(a, h, FIELD_VIA, h->minor ? STR("1.1 gatehouse") : STR("1.0 gatehouse"));
	apply(a, h, t->rules, t->nrules, t->is_ours);
	/* RFC 9110 section 6.6.1 */
	if (!head_find(h, FIELD_DATE))
		head_add_id(a, h, FIELD_DATE, arena_dup(a, t->date));
}
