/*
 * meaning.c - what the fields of a complete head mean for this connection: framing (RFC 9112 section 6),
 * host, persistence, upgrade, expectation; and which of them are not passed on (RFC 9110 section 7.6.1).
 */
#include "h1/priv.h"

/* What one pass over the fields finds. */
struct findings {
	struct field *host, *key;
	unsigned hosts;
	bool has_length, has_transfer_encoding, has_connection;
	bool expects_continue, expects_else;
	uint64_t length;
};

/* 1*DIGIT within 63 bits; repeated ones are equal, and reduced to the first (RFC 9112 section 6.3). */
static enum err note_length(struct findings *found, struct field *f)
{
	uint64_t length;

	if (!str_to_u64(f->value, INT64_MAX, &length) || (found->has_length && length != found->length))
		return ERR_BAD_LENGTH;
	f->removed = found->has_length;
	found->has_length = true;
	found->length = length;
	return ERR_OK;
}

/* Exactly one field that is exactly "chunked" (RFC 9112 section 6.1). */
static enum err note_transfer_encoding(struct findings *found, const struct field *f)
{
	if (found->has_transfer_encoding || !str_eq_nocase(f->value, STR("chunked")))
		return ERR_BAD_TRANSFER_ENCODING;
	found->has_transfer_encoding = true;
	return ERR_OK;
}

/*
 * Looks at every field once, marks the hop-by-hop ones removed and checks the framing fields, the same
 * way for both directions.
 */
static enum err survey(const struct h1_parser *p, struct findings *found)
{
	struct head *h = p->head;
	enum err e = ERR_OK;

	*found = (struct findings){.length = 0};
	for (struct field *f = h->fields; f < h->fields + h->nfields && e == ERR_OK; f++) {
		if (f->id == FIELD_UNKNOWN)
			continue;
		f->removed = field_flags(f->id) & FIELD_HOP;
		if (f->id == FIELD_CONTENT_LENGTH) {
			e = note_length(found, f);
		} else if (f->id == FIELD_TRANSFER_ENCODING) {
			e = note_transfer_encoding(found, f);
		} else if (f->id == FIELD_CONNECTION) {
			found->has_connection = true;
		} else if (f->id == FIELD_HOST) {
			found->host = f;
			found->hosts++;
		} else if (f->id == FIELD_SEC_WEBSOCKET_KEY) {
			found->key = f;
		} else if (f->id == FIELD_EXPECT) {
			if (str_eq_nocase(f->value, STR("100-continue")))
				found->expects_continue = true;
			else
				found->expects_else = true;
		}
	}
	if (e != ERR_OK)
		return e;
	if (found->has_transfer_encoding && h->minor == 0) /* RFC 9112 section 6.1 */
		return ERR_BAD_TRANSFER_ENCODING;
	if (found->has_transfer_encoding && found->has_length) /* RFC 9112 section 6.3 */
		return ERR_TWO_FRAMINGS;
	return ERR_OK;
}

/* True when a field of that id, removed or not, lists the token. */
static bool lists_token(const struct head *h, enum field_id id, struct str token)
{
	struct str rest, element;

	for (const struct field *f = h->fields; f < h->fields + h->nfields; f++) {
		rest = f->value;
		while (f->id == id && head_list_next(&rest, &element))
			if (str_eq_nocase(element, token))
				return true;
	}
	return false;
}

/*
 * Options of the Connection fields: persistence (RFC 9112 section 9.3), upgrade, and names of fields that
 * go no further (RFC 9110 section 7.6.1). There may be as many as there may be fields: each is compared
 * with all of those.
 */
static enum err read_connection(struct h1_parser *p, bool *upgrades)
{
	struct head *h = p->head;
	bool close = false, keep = false;
	struct str rest, option;
	size_t options = 0;

	for (struct field *f = h->fields; f < h->fields + h->nfields; f++) {
		if (f->id != FIELD_CONNECTION)
			continue;
		rest = f->value;
		while (head_list_next(&rest, &option)) {
			if (++options > p->limits->fields)
				return ERR_FIELDS_MANY;
			if (str_eq_nocase(option, STR("close")))
				close = true;
			else if (str_eq_nocase(option, STR("keep-alive")))
				keep = true;
			else if (str_eq_nocase(option, STR("upgrade")))
				*upgrades = true;
			else if (!(field_flags(field_lookup(option)) & FIELD_NO_NOMINATE))
				head_remove_name(h, option);
		}
	}
	p->keep_alive = !close && (h->minor >= 1 || keep);
	return ERR_OK;
}

/* What Connection and Upgrade say. A WebSocket is all that is ever upgraded to, never h2c. */
static enum err read_persistence(struct h1_parser *p, const struct findings *found)
{
	bool upgrades = false;
	enum err e;

	p->keep_alive = p->head->minor >= 1;
	if (!found->has_connection)
		return ERR_OK;
	e = read_connection(p, &upgrades);
	if (e == ERR_OK && upgrades && p->head->minor >= 1) /* RFC 9110 section 7.8 */
		p->upgrade_websocket = lists_token(p->head, FIELD_UPGRADE, STR("websocket"));
	return e;
}

/*
 * One valid Host (RFC 9112 section 3.2). The authority of an absolute-form target goes before it, and is
 * what is passed on in it (RFC 9112 section 3.2.2).
 */
static enum err read_host(struct h1_parser *p, const struct findings *found)
{
	struct head *h = p->head;

	if (found->hosts > 1 || (found->hosts == 0 && h->minor >= 1))
		return ERR_BAD_HOST;
	if (found->host && !syntax_host_is_valid(found->host->value))
		return ERR_BAD_HOST;
	if (h->authority.n == 0)
		h->authority = found->host ? found->host->value : STR_NONE;
	else if (found->host)
		found->host->value = h->authority;
	else
		head_add_id(p->arena, h, FIELD_HOST, h->authority);
	return ERR_OK;
}

/* RFC 9110 section 10.1.1. To HTTP/1.0 clients no interim response can be sent: theirs is ignored. */
static enum err read_expectation(struct h1_parser *p, const struct findings *found)
{
	if (p->head->minor == 0) {
		head_remove(p->head, FIELD_EXPECT);
		return ERR_OK;
	}
	if (found->expects_else)
		return ERR_EXPECTATION;
	p->head->expect_continue = found->expects_continue && p->head->length != 0;
	return ERR_OK;
}

enum err h1_finish_request(struct h1_parser *p)
{
	struct head *h = p->head;
	struct findings found;
	enum err e = survey(p, &found);

	if (e != ERR_OK)
		return e;
	/* RFC 9112 section 6.3: without either field there is no body */
	p->framing = found.has_transfer_encoding ? H1_CHUNKED : found.has_length ? H1_LENGTH : H1_NO_BODY;
	h->length = found.has_transfer_encoding ? HEAD_LENGTH_UNKNOWN : (int64_t)found.length;

	e = read_host(p, &found);
	if (e == ERR_OK)
		e = read_persistence(p, &found);
	if (e == ERR_OK)
		e = read_expectation(p, &found);
	if (e != ERR_OK)
		return e;
	/* RFC 6455 section 4.1; with a body, which would have to come first, it is an ordinary request */
	p->upgrade_websocket =
		p->upgrade_websocket && found.key && h->length == 0 && str_eq(h->method, STR("GET"));
	h->websocket = p->upgrade_websocket;
	if (h->websocket)
		h->websocket_key = found.key->value;
	return ERR_OK;
}

enum err h1_finish_response(struct h1_parser *p)
{
	struct head *h = p->head;
	struct findings found;
	enum err e = survey(p, &found);

	if (e == ERR_OK)
		e = read_persistence(p, &found);
	if (e != ERR_OK)
		return e;
	h->kind = h->status < 200 && h->status != 101 ? HEAD_INTERIM : HEAD_FINAL;
	h->length = found.has_length ? (int64_t)found.length : HEAD_LENGTH_UNKNOWN;
	if (h->status < 200 || h->status == 204) /* RFC 9110 section 8.6: a length there means nothing */
		h->length = 0;

	/* RFC 9112 section 6.3, in its order */
	if (!head_response_has_body(p->request, h))
		p->framing = H1_NO_BODY;
	else if (found.has_transfer_encoding)
		p->framing = H1_CHUNKED;
	else if (found.has_length)
		p->framing = H1_LENGTH;
	else
		p->framing = H1_UNTIL_CLOSE;
	if (p->framing == H1_UNTIL_CLOSE)
		p->keep_alive = false;
	return ERR_OK;
}
