#include "proxy/translate.h"
#include "proxy/path.h"

/* ---- up ---- */

/*
 * Names that decide something at the upstream. Spelt with '_' for '-' they mean the same to one that
 * makes CGI variables of them, past everything that was checked here: such aliases are dropped.
 */
static bool is_alias(struct str name)
{
	static const char *const aliased[] = {
		"x-forwarded-for",    "x-forwarded-proto", "x-forwarded-host",
		"x-forwarded-prefix", "content-length",    "transfer-encoding",
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

/* What a client says about others. It counts only from a trusted proxy; X-Forwarded-For is then continued. */
static bool is_dropped(const struct field *f, bool trusted)
{
	if (f->id == FIELD_UNKNOWN)
		return is_alias(f->name);
	if (f->id == FIELD_X_FORWARDED_PROTO || f->id == FIELD_X_FORWARDED_HOST)
		return !trusted;
	/* Forwarded (RFC 7239) is not made here: what a client wrote would contradict what is */
	return f->id == FIELD_X_FORWARDED_FOR || f->id == FIELD_X_FORWARDED_PREFIX ||
	       f->id == FIELD_FORWARDED;
}

struct text {
	char *p;
	size_t n;
};

static void text_add(struct text *t, struct str separator, struct str s)
{
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
	return (struct text){ .p = arena_alloc(a, n + 1) };
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

	head_for_each(f, h)
		fields += f->id == FIELD_COOKIE;
	if (fields == 1 && !has_own_cookie(first->value))
		return first->value;
	t = text_for(a, h, FIELD_COOKIE, 0);
	head_for_each(f, h)
		if (f->id == FIELD_COOKIE)
			add_crumbs(&t, f->value);
	return str_of(t.p, t.n);
}

static struct str forwarded_for(struct arena *a, const struct head *h, const struct translate_up *t)
{
	struct text all;

	if (!t->trusted || !head_find(h, FIELD_X_FORWARDED_FOR))
		return t->peer;
	all = text_for(a, h, FIELD_X_FORWARDED_FOR, t->peer.n);
	head_for_each(f, h)
		if (f->id == FIELD_X_FORWARDED_FOR && f->value.n)
			text_add(&all, STR(", "), f->value);
	text_add(&all, STR(", "), t->peer);
	return str_of(all.p, all.n);
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

struct head *translate_request(struct arena *a, const struct head *h, const struct translate_up *t)
{
	struct head *up = head_new(a, HEAD_REQUEST);
	struct str authority = h->authority.n ? h->authority : t->authority;

	*up = *h;
	up->minor = 1;
	up->scheme = STR_NONE;
	up->authority = authority;
	up->path = t->target;
	/* what is copied, Host, and four of our own */
	up->cap = (uint16_t)(h->nfields + 5);
	up->nfields = 0;
	up->fields = arena_alloc(a, up->cap * sizeof *up->fields);
	if (!head_find(h, FIELD_HOST))
		head_add_id(a, up, FIELD_HOST, authority);
	head_for_each(f, h)
		if (!is_dropped(f, t->trusted))
			copy_field(a, up, h, f, authority);
	head_add_id(a, up, FIELD_X_FORWARDED_FOR, forwarded_for(a, h, t));
	if (!head_find(up, FIELD_X_FORWARDED_PROTO))
		head_add_id(a, up, FIELD_X_FORWARDED_PROTO, t->tls ? STR("https") : STR("http"));
	if (!head_find(up, FIELD_X_FORWARDED_HOST))
		head_add_id(a, up, FIELD_X_FORWARDED_HOST, authority);
	if (t->prefix.n)
		head_add_id(a, up, FIELD_X_FORWARDED_PREFIX, t->prefix);
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

/* What the answer is, and that nobody keeps it, is for a page of our own to say. */
static bool is_settled(const struct translate_down *t, struct str name)
{
	return t->is_ours && (str_eq_nocase(name, field_name(FIELD_CACHE_CONTROL)) ||
			      str_eq_nocase(name, field_name(FIELD_CONTENT_TYPE)));
}

static void add_headers(struct arena *a, struct head *h, const struct translate_down *t)
{
	for (size_t i = 0; i < t->nheaders; i++)
		if (!is_settled(t, t->headers[i].name))
			head_remove_name(h, t->headers[i].name);
	for (size_t i = 0; i < t->nheaders; i++)
		if (!is_settled(t, t->headers[i].name))
			head_add(a, h, t->headers[i].name, t->headers[i].value);
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
	add_headers(a, h, t);
	/* RFC 9110 section 6.6.1 */
	if (!head_find(h, FIELD_DATE))
		head_add_id(a, h, FIELD_DATE, arena_dup(a, t->date));
}
