#include "core/syntax.h"
#include "h2/priv.h"

/* Every error in here makes the message malformed (RFC 9113 section 8.1.1), unless finish says otherwise. */

enum { SEEN_METHOD = 1, SEEN_SCHEME = 2, SEEN_AUTHORITY = 4, SEEN_PATH = 8, SEEN_PROTOCOL = 16 };

void h2_request_init(struct h2_request *r, struct arena *a, bool trailers, size_t max_fields,
		     struct h2_priority *priority)
{
	*r = (struct h2_request){
		.arena = a,
		.trailers = trailers,
		.length = -1,
		.max_fields = max_fields,
		.priority = priority,
		.head = head_new(a, trailers ? HEAD_TRAILERS : HEAD_REQUEST),
	};
}

static enum err set_pseudo(struct h2_request *r, unsigned bit, struct str *where, const struct hpack_line *l)
{
	/* before all fields, once, and never in trailers (RFC 9113 section 8.3) */
	if (r->seen & bit || r->fields_begun || r->trailers)
		return ERR_BAD_FIELD_NAME;
	r->seen |= (uint8_t)bit;
	*where = l->value;
	return ERR_OK;
}

static enum err pseudo_line(struct h2_request *r, const struct hpack_line *l)
{
	struct head *h = r->head;

	switch (l->pseudo) {
	case HPACK_METHOD: return set_pseudo(r, SEEN_METHOD, &h->method, l);
	case HPACK_SCHEME: return set_pseudo(r, SEEN_SCHEME, &h->scheme, l);
	case HPACK_AUTHORITY: return set_pseudo(r, SEEN_AUTHORITY, &h->authority, l);
	case HPACK_PATH: return set_pseudo(r, SEEN_PATH, &h->path, l);
	case HPACK_PROTOCOL: return set_pseudo(r, SEEN_PROTOCOL, &r->protocol, l);
	default: return ERR_BAD_FIELD_NAME; /* :status, and any other */
	}
}

/* RFC 9113 section 8.2.1: a token, no upper case; a value without control characters or space around it. */
static bool is_valid(const struct hpack_line *l)
{
	struct str v = l->value;

	if (!l->id) {
		if (!syntax_all(l->name, SYNTAX_TCHAR))
			return false;
		for (size_t i = 0; i < l->name.n; i++)
			if (l->name.p[i] >= 'A' && l->name.p[i] <= 'Z')
				return false;
	}
	return syntax_span(v, SYNTAX_VALUE) == v.n && str_trim(v).n == v.n;
}

static enum err set_length(struct h2_request *r, struct str value)
{
	uint64_t n;

	if (!str_to_u64(value, INT64_MAX, &n) || (r->length >= 0 && (uint64_t)r->length != n))
		return ERR_BAD_LENGTH;
	r->length = (int64_t)n;
	return ERR_OK;
}

/* Names that a trailer section must not carry (RFC 9110 section 6.5.1) are dropped. */
static bool is_kept_in_trailers(uint16_t id)
{
	return !(field_flags(id) & (FIELD_NO_NOMINATE | FIELD_SECRET)) && id != FIELD_EXPECT &&
	       id != FIELD_TE && id != FIELD_CONTENT_TYPE && id != FIELD_CONTENT_ENCODING &&
	       id != FIELD_CONTENT_RANGE && id != FIELD_TRAILER && id != FIELD_CACHE_CONTROL &&
	       id != FIELD_MAX_FORWARDS;
}

static enum err known_field(struct h2_request *r, const struct hpack_line *l, bool *keep)
{
	*keep = true;
	switch (l->id) {
	case FIELD_CONNECTION: /* RFC 9113 section 8.2.2 */
	case FIELD_KEEP_ALIVE:
	case FIELD_PROXY_CONNECTION:
	case FIELD_TRANSFER_ENCODING:
	case FIELD_UPGRADE: return ERR_BAD_FIELD_NAME;
	case FIELD_TE:
		*keep = false;
		return str_eq_nocase(l->value, STR("trailers")) ? ERR_OK : ERR_BAD_FIELD_VALUE;
	case FIELD_PROXY_AUTHENTICATE:
	case FIELD_PROXY_AUTHORIZATION: /* hop-by-hop by their meaning, no error */
		*keep = false;
		return ERR_OK;
	case FIELD_HOST: /* only to agree with :authority */
		*keep = false;
		if (r->host.p)
			return ERR_BAD_HOST;
		r->host = l->value;
		return ERR_OK;
	case FIELD_CONTENT_LENGTH: *keep = r->length < 0; return set_length(r, l->value);
	case FIELD_EXPECT:
		if (!str_eq_nocase(l->value, STR("100-continue")))
			return ERR_EXPECTATION;
		r->head->expect_continue = true;
		return ERR_OK;
	case FIELD_PRIORITY: h2_priority_read(r->priority, l->value); return ERR_OK;
	default: return ERR_OK;
	}
}

enum err h2_request_line(void *ctx, const struct hpack_line *l)
{
	struct h2_request *r = ctx;
	enum err e;
	bool keep = true;

	if (l->pseudo)
		return pseudo_line(r, l);
	r->fields_begun = true;
	if (!is_valid(l))
		return syntax_all(l->name, SYNTAX_TCHAR) ? ERR_BAD_FIELD_VALUE : ERR_BAD_FIELD_NAME;
	if (r->trailers) {
		if (field_flags(l->id) & FIELD_HOP)
			return ERR_BAD_FIELD_NAME;
		keep = is_kept_in_trailers(l->id);
	} else if (l->id) {
		e = known_field(r, l, &keep);
		if (e)
			return e;
	}
	if (!keep)
		return ERR_OK;
	if (r->head->nfields >= r->max_fields)
		return ERR_FIELDS_MANY;
	head_add(r->arena, r->head, l->name, l->value)->id = l->id;
	return ERR_OK;
}

static enum err check_target(const struct h2_request *r)
{
	const struct head *h = r->head;

	if (!syntax_all(h->method, SYNTAX_TCHAR))
		return ERR_BAD_METHOD;
	if (!str_eq_nocase(h->scheme, STR("https")) && !str_eq_nocase(h->scheme, STR("http")))
		return ERR_BAD_TARGET;
	if (!syntax_all(h->path, SYNTAX_TARGET))
		return ERR_BAD_TARGET;
	if (str_eq(h->path, STR("*")))
		return str_eq(h->method, STR("OPTIONS")) ? ERR_OK : ERR_BAD_TARGET;
	return h->path.p[0] == '/' ? ERR_OK : ERR_BAD_TARGET;
}

/* RFC 9113 section 8.3.1: :authority decides; a host field that differs is refused. */
static enum err check_authority(struct h2_request *r)
{
	struct head *h = r->head;

	if (r->seen & SEEN_AUTHORITY) {
		if (r->host.p && !str_eq_nocase(r->host, h->authority))
			return ERR_BAD_HOST;
	} else {
		h->authority = r->host;
	}
	if (!syntax_host_is_valid(h->authority))
		return ERR_BAD_HOST;
	head_add_id(r->arena, h, FIELD_HOST, h->authority);
	return ERR_OK;
}

/*
 * RFC 8441 section 4: CONNECT with :protocol has scheme and path too. It has no content, whatever a
 * Content-Length says.
 */
static enum err check_connect(struct h2_request *r, bool websocket_allowed)
{
	struct head *h = r->head;

	if (!(r->seen & SEEN_PROTOCOL)) {
		/* RFC 9113 section 8.5: neither :scheme nor :path */
		if (r->seen & (SEEN_SCHEME | SEEN_PATH) || !(r->seen & SEEN_AUTHORITY))
			return ERR_BAD_TARGET;
		return ERR_CONNECT_REFUSED;
	}
	if (!websocket_allowed)
		return ERR_BAD_FIELD_NAME;
	if (!str_eq_nocase(r->protocol, STR("websocket")))
		return ERR_NOT_SERVED;
	h->websocket = true; /* whoever speaks HTTP/1.1 makes a GET with Upgrade of it */
	head_remove(h, FIELD_CONTENT_LENGTH);
	return ERR_OK;
}

enum err h2_request_finish(struct h2_request *r, bool websocket_allowed)
{
	struct head *h = r->head;
	enum err e = ERR_OK;

	if (r->trailers)
		return ERR_OK;
	if (!(r->seen & SEEN_METHOD))
		return ERR_BAD_METHOD;
	if (str_eq(h->method, STR("CONNECT")))
		e = check_connect(r, websocket_allowed);
	else if (r->seen & SEEN_PROTOCOL)
		e = ERR_BAD_FIELD_NAME;
	if (e)
		return e;
	if ((r->seen & (SEEN_SCHEME | SEEN_PATH)) != (SEEN_SCHEME | SEEN_PATH))
		return ERR_BAD_TARGET;
	e = check_target(r);
	if (!e)
		e = check_authority(r);
	if (!e && str_eq(h->method, STR("TRACE")))
		e = ERR_TRACE_REFUSED;
	h->length = h->websocket ? 0 : r->length >= 0 ? r->length : HEAD_LENGTH_UNKNOWN;
	h->minor = 1;
	return e;
}

void h2_priority_read(struct h2_priority *p, struct str value)
{
	struct str item;

	/* a dictionary (RFC 8941): what is not understood is passed over */
	while (head_list_next(&value, &item)) {
		if (item.n == 3 && str_starts(item, STR("u=")) && item.p[2] >= '0' && item.p[2] <= '7')
			p->urgency = (uint8_t)(item.p[2] - '0');
		else if (str_eq(item, STR("i")) || str_eq(item, STR("i=?1")))
			p->incremental = true;
		else if (str_eq(item, STR("i=?0")))
			p->incremental = false;
	}
}
