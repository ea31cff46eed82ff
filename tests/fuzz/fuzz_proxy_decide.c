/*
 * What becomes of a request, from the path it asks for to the head that goes up or the page that comes back.
 *
 * The first line is the authority, the second the target, each further one a field "name: value". What must
 * hold whatever they are: a path is normalised once and for all, what goes up is well formed, nothing of the
 * client's own is in the fields that are Gatehouse's, and every page is as long as it says.
 */
#include "proxy/worker/auth.h"
#include "proxy/worker/decide.h"
#include "proxy/worker/page.h"
#include "proxy/worker/path.h"
#include "proxy/worker/trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct conf_header rules[] = {
	{ { "X-Set", 5 }, { "1", 1 }, CONF_HEADER_SET },
	{ { "x-add", 5 }, { "1", 1 }, CONF_HEADER_ADD },
	{ { "X-Gone", 6 }, { "", 0 }, CONF_HEADER_REMOVE },
};

/* A vhost with a mount of each kind; a wildcard; a default. */
static struct conf_mount mounts[] = {
	{ .mountpoint = { "/app/deep", 9 }, .kind = CONF_ORIGIN_PROXY, .base = { "/d", 2 } },
	{ .mountpoint = { "/app/", 5 }, .kind = CONF_ORIGIN_PROXY, .exact = true, .base = { "/one", 4 } },
	{ .mountpoint = { "/app", 4 }, .kind = CONF_ORIGIN_PROXY, .base = { "", 0 }, .headers = rules,
	  .nheaders = 3, .request_headers = rules, .nrequest_headers = 3 },
	{ .mountpoint = { "/old", 4 }, .kind = CONF_ORIGIN_REDIRECT, .redirect = { "https://b.test/x", 16 } },
	{ .mountpoint = { "/cgi", 4 }, .kind = CONF_ORIGIN_NOT_SERVED },
	{ .mountpoint = { "/", 1 }, .kind = CONF_ORIGIN_PROXY, .base = { "/base", 5 } },
};
static struct conf_vhost vhosts[] = {
	{ .name = { "a.test", 6 }, .mounts = mounts, .nmounts = 6, .sts = true },
	{ .name = { "*.b.test", 8 }, .mounts = mounts, .nmounts = 2 },
};
static struct conf_vhost *both[] = { &vhosts[0], &vhosts[1] };
static struct conf_listener listener = { .name = { "*:443", 5 }, .vhosts = both, .nvhosts = 2 };
static struct conf_listener *listeners[] = { &listener };
static struct conf_net nets[] = { { { [10] = 0xff, [11] = 0xff, 10 }, 104 }, { { [15] = 1 }, 128 } };
static const struct conf_global global = { .trusted = { .nets = nets, .n = 2 } };

static struct str take_line(struct str *rest)
{
	const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
	struct str line = str_of(rest->p, end ? (size_t)(end - rest->p) : rest->n);
	size_t used = line.n + (end != NULL);

	*rest = str_of(rest->p + used, rest->n - used);
	return line;
}

/* What the protocols' parsers let through: no control characters, no blanks in a target. */
static bool is_clean(struct str s, char least)
{
	for (size_t i = 0; i < s.n; i++)
		if ((uint8_t)s.p[i] < (uint8_t)least || s.p[i] == 0x7f)
			return false;
	return true;
}

static struct head *read_head(struct arena *a, struct str in)
{
	struct head *h = head_new(a, HEAD_REQUEST);

	h->method = STR("GET");
	h->authority = take_line(&in);
	h->path = take_line(&in);
	if (!is_clean(h->authority, '!') || !is_clean(h->path, '!') || !h->path.n)
		return NULL;
	while (in.n && h->nfields < 50) {
		struct str line = take_line(&in);
		const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
		struct str name = str_of(line.p, colon ? (size_t)(colon - line.p) : 0);

		if (name.n && is_clean(name, '!') && is_clean(line, ' '))
			head_add(a, h, name, str_trim(str_of(colon + 1, line.n - name.n - 1)));
	}
	return h;
}

static void check_path(struct arena *a, struct str path)
{
	struct str once, twice;

	if (!path_normalise(a, path, &once))
		return;
	BUG_ON(!once.n || once.p[0] != '/' || once.n > path.n);
	BUG_ON(!path_normalise(a, once, &twice) || !str_eq(once, twice));
	for (size_t i = 0; i + 1 < once.n; i++)
		BUG_ON(once.p[i] == '/' && once.p[i + 1] == '.' &&
		       (i + 2 == once.n || once.p[i + 2] == '/' ||
			(once.p[i + 2] == '.' && (i + 3 == once.n || once.p[i + 3] == '/'))));
}

static unsigned count(const struct head *h, enum field_id id)
{
	unsigned found = 0;

	head_for_each(f, h)
		found += f->id == id;
	return found;
}

static void check_up(struct arena *a, const struct head *h, const struct decision *d,
		     const struct decide_from *from, bool trusted)
{
	struct translate_up t = { .peer = STR("192.0.2.1"), .trusted = trusted, .forwarded = true,
				  .via = STR("1.1 gatehouse"), .user = STR("alice") };
	struct head *up;

	decide_up(d, from, &t);
	up = translate_request(a, h, &t);
	BUG_ON(up->path.p[0] != '/' || !is_clean(up->path, '!'));
	BUG_ON(count(up, FIELD_COOKIE) > 1 || !head_find(up, FIELD_HOST));
	BUG_ON(count(up, FIELD_X_FORWARDED_FOR) != 1 || count(up, FIELD_VIA) != 1);
	BUG_ON(count(up, FIELD_X_FORWARDED_USER) != 1 || count(up, FIELD_AUTHORIZATION) != 0);
	BUG_ON(!str_ends(head_find(up, FIELD_X_FORWARDED_FOR)->value, STR("192.0.2.1")));
	if (!trusted)
		BUG_ON(!str_eq(head_find(up, FIELD_X_FORWARDED_FOR)->value, STR("192.0.2.1")) ||
		       count(up, FIELD_X_FORWARDED_PROTO) != 1 || count(up, FIELD_FORWARDED) != 1);
}

/* The request's fields as those of an answer: Location, Set-Cookie and whatever there is. */
static void check_down(struct arena *a, const struct head *h, const struct decision *d,
		       const struct decide_from *from)
{
	struct translate_down t = { .date = STR("now") };
	struct head *answer = head_new(a, HEAD_FINAL);

	answer->status = 200;
	head_for_each(f, h)
		head_add(a, answer, f->name, f->value);
	decide_down(d, from, h, &t);
	translate_response(a, answer, &t);
	BUG_ON(!head_find(answer, FIELD_DATE));
	head_for_each(f, answer)
		BUG_ON(!is_clean(f->value, '\t'));
}

static void check_page(struct arena *a, const struct head *h, const struct decision *d)
{
	struct page_about about = { .status = (uint16_t)(d->why ? err_status(d->why) : 503),
				    .id = STR("0123-4567"), .host = h->authority, .realm = h->path,
				    .tls = true };
	struct str body;
	struct head *page;

	if (d->what == DECIDE_REDIRECT) {
		about.status = 301;
		about.location = d->target;
	}
	page = page_make(a, h, &about, &body);
	BUG_ON(page->length != (int64_t)body.n);
	head_for_each(f, page)
		BUG_ON(!is_clean(f->value, ' '));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct conf_vhost **all = both;
	struct config conf = { .listeners = listeners, .nlisteners = 1, .vhosts = all, .nvhosts = 2 };
	struct decide_from from = { .tls = true };
	struct decision d;
	struct tables tables;
	struct arena a;
	struct head *h;
	struct str client, user, password, path, query;
	char text[64];

	arena_init(&a);
	tables_init(&tables, &a, &conf);
	h = read_head(&a, str_of((const char *)data, n));
	if (h) {
		const struct field *f = head_find(h, FIELD_AUTHORIZATION);

		from.listener = &tables.listeners[0];
		from.vhost = &tables.vhosts[0];
		path_split(h->path, &path, &query);
		check_path(&a, path);
		client = trust_client(&global, h, STR("192.0.2.1"));
		BUG_ON(client.n > 64);
		if (f && auth_decode(f->value, text, sizeof text, &user, &password))
			BUG_ON(user.n + 1 + password.n > sizeof text || !is_clean(user, ' '));
		decide_request(&a, h, &from, &d);
		BUG_ON(!d.vhost || (d.what == DECIDE_UP && !d.mount));
		if (d.what == DECIDE_UP) {
			check_up(&a, h, &d, &from, false);
			check_up(&a, h, &d, &from, true);
			check_down(&a, h, &d, &from);
		}
		check_page(&a, h, &d);
	}
	arena_fini(&a);
	return 0;
}
