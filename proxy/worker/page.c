#include "proxy/worker/page.h"
#include "proxy/map.h"
#include "proxy/worker/path.h"
#include "proxy/text.h"
#include "proxy/worker/translate.h"

/*
 * Columns: status, its phrase in RFC 9110 section 15, heading, what happened, what to do.
 */
#define TRY_AGAIN "Please try again in a moment."
#define TELL "If it goes on, tell whoever runs this site, with the number below."
#define PAGE_TABLE(X) \
	X(301, "Moved Permanently", "This page has moved", "It has a new address:", "") \
	X(302, "Found", "This page is elsewhere for now", "You will find it here:", "") \
	X(307, "Temporary Redirect", "This page is elsewhere for now", "You will find it here:", "") \
	X(308, "Permanent Redirect", "This page has moved", "It has a new address:", "") \
	X(400, "Bad Request", "This request makes no sense here", \
	  "What your browser or app sent is not valid, so it went no further.", \
	  "Go back and try again. " TELL) \
	X(401, "Unauthorized", "Please sign in", "This page asks for a user name and a password.", \
	  "Load it again and enter them.") \
	X(403, "Forbidden", "This page is not for everyone", "You have no permission to see it.", \
	  "If you think you should, ask whoever runs this site.") \
	X(404, "Not Found", "Nothing is here", "There is no page at this address.", \
	  "Check it for typing errors, or begin at the site's first page.") \
	X(405, "Method Not Allowed", "This cannot be done here", \
	  "The page exists, but not for this kind of request.", \
	  "Go back and use the site's own links and forms.") \
	X(408, "Request Timeout", "That took too long", "Your request did not arrive completely in time.", \
	  "Check your connection and try again.") \
	X(413, "Content Too Large", "That is too large", \
	  "What you sent is larger than this site accepts.", "Send less at once. " TELL) \
	X(414, "URI Too Long", "This address is too long", \
	  "The address is longer than this site accepts.", "Begin at the site's first page.") \
	X(417, "Expectation Failed", "This cannot be promised", \
	  "The request asks in advance for something that is not done here.", \
	  "Send it without an Expect header.") \
	X(421, "Misdirected Request", "This site is not here", \
	  "The request came by a connection that does not belong to this site.", \
	  "Open the address again in a new window.") \
	X(429, "Too Many Requests", "A little slower, please", \
	  "More requests came from you than are accepted at once.", TRY_AGAIN) \
	X(431, "Request Header Fields Too Large", "Too much came along", \
	  "Your browser sent more with its request, usually cookies, than this site accepts.", \
	  "Delete this site's cookies and try again.") \
	X(500, "Internal Server Error", "Something went wrong here", \
	  "The server ran into an error of its own.", TRY_AGAIN " " TELL) \
	X(501, "Not Implemented", "This is not served here", \
	  "The address is set up for something that this server does not do.", TELL) \
	X(502, "Bad Gateway", "The answer made no sense", \
	  "The service behind this page gave an answer that cannot be passed on.", TRY_AGAIN " " TELL) \
	X(503, "Service Unavailable", "Back in a moment", \
	  "The service behind this page is not running right now. It may just be restarting.", TRY_AGAIN) \
	X(504, "Gateway Timeout", "No answer in time", \
	  "The service behind this page is busy or stuck, and did not answer in time.", TRY_AGAIN " " TELL)

static const struct row {
	uint16_t status;
	struct str reason, heading, what, then;
} rows[] = {
#define S(literal) { literal, sizeof literal - 1 }
#define X(status, reason, heading, what, then) { status, S(reason), S(heading), S(what), S(then) },
	PAGE_TABLE(X)
#undef X
#undef S
};

static const struct row *row_of(uint16_t status)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].status == status)
			return &rows[i];
	return NULL;
}

struct str page_reason(uint16_t status)
{
	const struct row *r = row_of(status);

	if (r)
		return r->reason;
	return status == 200 ? STR("OK") : status == 304 ? STR("Not Modified") : STR("Error");
}

/* ---- Accept ---- */

/* A type that a page can be told in. Of equal ones, the one that stands first here. */
static const struct offer {
	enum page_format format;
	struct str type, subtype;
} offers[] = {
	{ PAGE_HTML, { "text", 4 }, { "html", 4 } },
	{ PAGE_JSON, { "application", 11 }, { "json", 4 } },
	{ PAGE_PROBLEM, { "application", 11 }, { "problem+json", 12 } },
	{ PAGE_TEXT, { "text", 4 }, { "plain", 5 } },
};

/* "0.8" in thousandths (RFC 9110 section 12.4.2); what is no weight counts as 0. */
static unsigned weight(struct str s)
{
	unsigned w, unit = 100;

	if (!s.n || (s.p[0] != '0' && s.p[0] != '1') || (s.n > 1 && s.p[1] != '.') || s.n > 5)
		return 0;
	w = s.p[0] == '1' ? 1000 : 0;
	for (size_t i = 2; i < s.n; i++, unit /= 10) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return 0;
		w += (unsigned)(s.p[i] - '0') * unit;
	}
	return MIN(w, 1000u);
}

static struct str cut(struct str *rest, char at)
{
	const char *p = rest->n ? memchr(rest->p, at, rest->n) : NULL;
	struct str piece = p ? str_of(rest->p, (size_t)(p - rest->p)) : *rest;
	size_t used = piece.n + (p != NULL);

	*rest = str_of(rest->p + used, rest->n - used);
	return str_trim(piece);
}

/* How exactly a media range names the offer: 3 type/subtype, 2 type/any, 1 any, 0 not at all. */
static unsigned exactness(struct str type, struct str subtype, const struct offer *o)
{
	if (str_eq(subtype, STR("*")))
		return str_eq(type, STR("*")) ? 1 : str_eq_nocase(type, o->type) ? 2 : 0;
	return str_eq_nocase(type, o->type) && str_eq_nocase(subtype, o->subtype) ? 3 : 0;
}

/*
 * What the client thinks of an offer: 4 * weight + exactness, by the range that names it most exactly; 0:
 * no.
 */
static unsigned score(const struct head *request, const struct offer *o)
{
	unsigned best = 0, q = 0;

	head_for_each(f, request) {
		struct str rest = f->value, element;

		if (f->id != FIELD_ACCEPT)
			continue;
		while (head_list_next(&rest, &element)) {
			struct str range = cut(&element, ';'), type = cut(&range, '/');
			unsigned exact = exactness(type, range, o), w = 1000;

			while (element.n) {
				struct str value = cut(&element, ';'), name = cut(&value, '=');

				if (str_eq_nocase(name, STR("q")))
					w = weight(value);
			}
			if (exact > best) {
				best = exact;
				q = w;
			}
		}
	}
	return q ? 4 * q + best : 0;
}

enum page_format page_choose(const struct head *request)
{
	enum page_format format = PAGE_HTML;
	unsigned best = 0;

	if (!request)
		return format;
	for (size_t i = 0; i < ARRAY_SIZE(offers); i++) {
		unsigned s = score(request, &offers[i]);

		if (s > best) {
			best = s;
			format = offers[i].format;
		}
	}
	return format;
}

/* ---- bodies ---- */

static void body_html(struct text *t, const struct row *r, const struct page_about *about, bool waits)
{
	text_put(t, STR("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>"));
	text_html(t, r->heading);
	text_put(t, STR("</title>\n<link rel=\"stylesheet\" href=\"/error.css\">\n</head>\n"));
	text_put(t, waits ? STR("<body class=\"waits\">\n") : STR("<body>\n"));
	text_put(t, STR("<main>\n<p class=\"status\">"));
	text_number(t, r->status);
	text_put(t, STR("</p>\n<h1>"));
	text_html(t, r->heading);
	text_put(t, STR("</h1>\n<p>"));
	text_html(t, r->what);
	if (about->location.n) {
		text_put(t, STR(" <a href=\""));
		text_html(t, about->location);
		text_put(t, STR("\">"));
		text_html(t, about->location);
		text_put(t, STR("</a>"));
	}
	text_put(t, STR("</p>\n"));
	if (r->then.n) {
		text_put(t, STR("<p class=\"then\">"));
		text_html(t, waits ? STR("This page tries again by itself every few seconds.") : r->then);
		text_put(t, STR("</p>\n"));
	}
	if (about->id.n) {
		text_put(t, STR("<dl>\n"));
		if (about->host.n) {
			text_put(t, STR("<dt>Site</dt><dd>"));
			text_html(t, about->host);
			text_put(t, STR("</dd>\n"));
		}
		text_put(t, STR("<dt>Request</dt><dd>"));
		text_html(t, about->id);
		text_put(t, STR("</dd>\n</dl>\n"));
	}
	text_put(t, STR("</main>\n</body>\n</html>\n"));
}

/* With the members of RFC 9457. */
static void body_json(struct text *t, const struct row *r, const struct page_about *about)
{
	text_put(t, STR("{\"type\":\"about:blank\",\"status\":"));
	text_number(t, r->status);
	text_put(t, STR(",\"title\":"));
	text_json(t, r->reason);
	text_put(t, STR(",\"detail\":"));
	text_json(t, r->what);
	if (about->location.n) {
		text_put(t, STR(",\"location\":"));
		text_json(t, about->location);
	}
	if (about->id.n) {
		text_put(t, STR(",\"request\":"));
		text_json(t, about->id);
	}
	text_put(t, STR("}\n"));
}

static void body_text(struct text *t, const struct row *r, const struct page_about *about)
{
	text_number(t, r->status);
	text_put(t, STR(" "));
	text_put(t, r->reason);
	text_put(t, STR("\n\n"));
	text_put(t, r->what);
	if (about->location.n || r->then.n)
		text_put(t, STR(" "));
	text_put(t, about->location.n ? about->location : r->then);
	text_put(t, STR("\n"));
	if (about->id.n) {
		text_put(t, STR("\nRequest: "));
		text_put(t, about->id);
		text_put(t, STR("\n"));
	}
}

/* ---- heads ---- */

static bool method_is(const struct head *request, struct str method)
{
	return request && str_eq(request->method, method);
}

static struct head *answer(struct arena *a, const struct page_about *about, uint16_t status, struct str type)
{
	struct head *h = head_new(a, HEAD_FINAL);

	h->minor = 1;
	h->status = status;
	h->reason = page_reason(status);
	if (about->server.n)
		head_add_id(a, h, FIELD_SERVER, about->server);
	if (type.n) {
		head_add_id(a, h, FIELD_CONTENT_TYPE, type);
		head_add_id(a, h, FIELD_X_CONTENT_TYPE_OPTIONS, STR("nosniff"));
	}
	return h;
}

/* How often the page has reloaded itself, as its cookie says. */
static unsigned retries_so_far(const struct head *request)
{
	head_for_each(f, request) {
		struct str rest = f->value;

		if (f->id != FIELD_COOKIE)
			continue;
		while (rest.n) {
			struct str value = cut(&rest, ';'), name = cut(&value, '=');
			uint64_t n;

			if (str_eq(name, STR(TRANSLATE_OWN_COOKIE)))
				return str_to_u64(value, PAGE_RETRIES_MAX, &n) ? (unsigned)n
									       : PAGE_RETRIES_MAX;
		}
	}
	return 0;
}

/* The path of the request, as far as it can be a cookie's (RFC 6265 section 4.1.1: no ';'). */
static struct str cookie_path(const struct head *request)
{
	struct str path, query;
	const char *semicolon;

	path_split(request->path, &path, &query);
	semicolon = path.n ? memchr(path.p, ';', path.n) : NULL;
	if (semicolon)
		for (path.n = (size_t)(semicolon - path.p); path.n > 1 && path.p[path.n - 1] != '/'; path.n--)
			;
	/* browsers ignore longer ones */
	return path.n > 1024 ? STR("/") : path;
}

static void add_retry(struct arena *a, struct head *h, const struct head *request,
		      const struct page_about *about)
{
	unsigned n = retries_so_far(request);

	if (n >= PAGE_RETRIES_MAX)
		return;
	head_add_id(a, h, FIELD_REFRESH, arena_printf(a, "%d", PAGE_RETRY_S));
	/* Lax: the first load may have come from another site, and so would count each reload of it */
	head_add_id(a, h, FIELD_SET_COOKIE,
		    arena_printf(a, "%s=%u; Max-Age=%d; Path=%.*s; SameSite=Lax; HttpOnly%s",
				 TRANSLATE_OWN_COOKIE, n + 1, 4 * PAGE_RETRY_S, STR_ARG(cookie_path(request)),
				 about->tls ? "; Secure" : ""));
}

static struct str type_of(enum page_format format)
{
	switch (format) {
	case PAGE_HTML:
		return STR("text/html; charset=utf-8");
	case PAGE_JSON:
		return STR("application/json");
	case PAGE_PROBLEM:
		return STR("application/problem+json");
	case PAGE_TEXT:
		return STR("text/plain; charset=utf-8");
	}
	return STR_NONE;
}

/* RFC 7617 section 2 */
static struct str challenge(struct arena *a, struct str realm)
{
	char *quoted = arena_alloc(a, 2 * realm.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < realm.n; i++) {
		if (realm.p[i] == '"' || realm.p[i] == '\\')
			quoted[n++] = '\\';
		quoted[n++] = realm.p[i];
	}
	return arena_printf(a, "Basic realm=\"%.*s\", charset=\"UTF-8\"", (int)n, quoted);
}

static void add_fields(struct arena *a, struct head *h, const struct page_about *about, bool own)
{
	if (about->location.n)
		head_add_id(a, h, FIELD_LOCATION, about->location);
	else
		head_add_id(a, h, FIELD_CACHE_CONTROL, STR("no-store"));
	if (!own) /* what that needs is for the vhost's headers to say */
		head_add_id(a, h, FIELD_CONTENT_SECURITY_POLICY,
			    STR("default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
				"frame-ancestors 'none'"));
	if (h->status == 401)
		head_add_id(a, h, FIELD_WWW_AUTHENTICATE, challenge(a, about->realm));
	/* RFC 9110 section 15.5.6 */
	if (h->status == 405)
		head_add_id(a, h, FIELD_ALLOW, STR("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
	if (h->status == 503 || h->status == 429)
		head_add_id(a, h, FIELD_RETRY_AFTER,
			    arena_printf(a, "%d", h->status == 503 ? PAGE_RETRY_S : PAGE_SLOWER_S));
}

struct head *page_make(struct arena *a, const struct head *request, const struct page_about *about,
		       struct str *body)
{
	struct row unknown = {about->status, STR("Error"), STR("This did not work"),
			      STR("The request failed."), STR(TRY_AGAIN " " TELL)};
	struct row said = { about->status, about->message, about->message,
			    STR("The operator of this site does not serve this kind of client."), STR_NONE };
	const struct row *known = row_of(about->status);
	const struct row *r = about->message.n ? &said : known ? known : &unknown;
	enum page_format format = page_choose(request);
	bool own = about->own.p && format == PAGE_HTML;
	struct head *h = answer(a, about, about->status, type_of(format));
	size_t reflected = 2 * about->location.n + about->host.n + about->id.n + 2 * about->message.n;
	size_t cap = 2048 + 6 * reflected;
	struct text t = { .arena = a, .p = arena_alloc(a, cap), .cap = cap };

	if (about->message.n)
		h->reason = about->message;
	add_fields(a, h, about, own);
	if (about->status == 503 && !about->message.n &&
	    format == PAGE_HTML && method_is(request, STR("GET")))
		add_retry(a, h, request, about);
	switch (format) {
	case PAGE_HTML:
		body_html(&t, r, about, head_find(h, FIELD_REFRESH) != NULL);
		break;
	case PAGE_JSON:
	case PAGE_PROBLEM:
		body_json(&t, r, about);
		break;
	case PAGE_TEXT:
		body_text(&t, r, about);
		break;
	}
	*body = own ? about->own : str_of(t.p, t.n);
	h->length = (int64_t)body->n;
	return h;
}

struct head *page_make_token(struct arena *a, const struct page_about *about, struct str body)
{
	struct head *h = answer(a, about, 200, STR("application/octet-stream"));

	head_add_id(a, h, FIELD_CACHE_CONTROL, STR("no-store"));
	h->length = (int64_t)body.n;
	return h;
}

struct head *page_make_own(struct arena *a, const struct page_about *about, struct str type,
			   struct str policy, size_t body_bytes)
{
	struct head *h = answer(a, about, 200, type);

	head_add_id(a, h, FIELD_CACHE_CONTROL, STR("no-store"));
	if (policy.n)
		head_add_id(a, h, FIELD_CONTENT_SECURITY_POLICY, policy);
	h->length = (int64_t)body_bytes;
	return h;
}

struct head *page_make_options(struct arena *a, const struct page_about *about)
{
	struct head *h = answer(a, about, 200, STR_NONE);

	head_add_id(a, h, FIELD_ALLOW, STR("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
	h->length = 0;
	return h;
}

/* RFC 9110 section 13.1.2: weak comparison with any of the list. */
static bool has_etag(const struct head *request, struct str etag)
{
	head_for_each(f, request) {
		struct str rest = f->value, element;

		if (f->id != FIELD_IF_NONE_MATCH)
			continue;
		while (head_list_next(&rest, &element)) {
			if (str_starts(element, STR("W/")))
				element = str_of(element.p + 2, element.n - 2);
			if (str_eq(element, etag) || str_eq(element, STR("*")))
				return true;
		}
	}
	return false;
}

struct head *page_make_css(struct arena *a, const struct head *request, const struct page_about *about,
			   struct str css, struct str *body)
{
	struct str sheet = css.p ? css : page_style;
	struct str etag = arena_printf(a, "\"%016llx\"", (unsigned long long)map_hash(sheet));
	bool is_known = has_etag(request, etag);
	struct head *h;

	*body = STR_NONE;
	if (!method_is(request, STR("GET")) && !method_is(request, STR("HEAD"))) {
		struct page_about refusal = *about;

		refusal.status = 405;
		h = page_make(a, request, &refusal, body);
		head_set(a, h, FIELD_ALLOW, STR("GET, HEAD"));
		return h;
	}
	h = answer(a, about, is_known ? 304 : 200, is_known ? STR_NONE : STR("text/css; charset=utf-8"));
	head_add_id(a, h, FIELD_ETAG, etag);
	head_add_id(a, h, FIELD_CACHE_CONTROL, STR("public, max-age=86400"));
	if (!is_known) {
		*body = sheet;
		h->length = (int64_t)sheet.n;
	}
	return h;
}

/* ---- the end ---- */

struct page {
	struct end end;
	struct head *head; /* NULL: not known yet */
	struct str body;   /* what is left of it */
	bool is_small;
	bool is_asked, is_told;
	void (*over)(void *owner); /* NULL: nobody wants to know */
	void *owner;
};

static void push(struct page *p)
{
	struct end *e = &p->end;

	while (p->body.n) {
		size_t n = p->is_small ? x_room_reserve(e, p->body.n) : x_room(e, p->body.n);

		if (!n)
			return;
		x_put(e, p->body.p, n);
		p->body = str_of(p->body.p + n, p->body.n - n);
	}
	x_end(e);
	x_leave(e);
	if (p->over)
		p->over(p->owner);
}

static void tell(struct page *p)
{
	if (!p->is_asked || !p->head || p->is_told)
		return;
	p->is_told = true;
	x_head(&p->end, p->head);
	push(p);
}

/* The request, and perhaps its trailers: what they say was judged when the page was made. */
static void head(struct end *e, struct head *h)
{
	struct page *p = container_of(e, struct page, end);

	(void)h;
	p->is_asked = true;
	tell(p);
}

/* The request's body is not read: it is dropped when the page leaves. */
static void data(struct end *e)
{
	(void)e;
}

static void room(struct end *e)
{
	push(container_of(e, struct page, end));
}

/* The client has gone. The page lies in the exchange's arena. */
static void gone(struct end *e, enum err why)
{
	struct page *p = container_of(e, struct page, end);

	(void)why;
	if (p->over)
		p->over(p->owner);
}

static const struct end_ops ops = { .name = "page", .head = head, .data = data, .room = room, .abort = gone };

static void give(struct page *p, const struct head *request, struct head *h, struct str body)
{
	p->head = h;
	p->body = method_is(request, STR("HEAD")) ? STR_NONE : body;
	p->is_small = body.n <= PAGE_RESERVE_BYTES;
}

void page_open(struct exchange *x, struct head *h, struct str body)
{
	struct page *p = arena_new(&x->arena, struct page);

	p->end.ops = &ops;
	give(p, x->request, h, body);
	x_attach(x, &p->end);
}

struct page *page_open_later(struct exchange *x, void (*over)(void *owner), void *owner)
{
	struct page *p = arena_new(&x->arena, struct page);

	p->end.ops = &ops;
	p->over = over;
	p->owner = owner;
	x_attach(x, &p->end);
	return p;
}

void page_give(struct page *p, struct head *h, struct str body)
{
	give(p, p->end.x->request, h, body);
	tell(p);
}

struct exchange *page_exchange(const struct page *p)
{
	return p->end.x;
}
