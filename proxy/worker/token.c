#include "proxy/worker/token.h"
#include "core/list.h"
#include "core/log.h"
#include "core/msg.h"
#include "tls/tls.h"

#define PLACE STR("/.well-known/acme-challenge/")

struct token {
	struct list node;
	uint32_t id;
	struct str token, content;
	char text[];
};

/* What this worker answers CAs with. */
static struct {
	struct list tokens; /* of http-01 */
	size_t n;
} here;

static void add_http(uint32_t id, struct str token, struct str content)
{
	struct token *t = base_alloc(sizeof *t + token.n + content.n);

	t->id = id;
	memcpy(t->text, token.p, token.n);
	memcpy(t->text + token.n, content.p, content.n);
	t->token = str_of(t->text, token.n);
	t->content = str_of(t->text + token.n, content.n);
	if (!here.n++)
		list_init(&here.tokens);
	list_push(&here.tokens, &t->node);
}

bool token_add(uint32_t id, uint32_t kind, struct str text)
{
	struct str name, token;

	if (!str_take_text(&text, &name) || !str_take_text(&text, &token))
		return false;
	if (kind == MSG_CHALLENGE_HTTP && token.n && text.n)
		add_http(id, token, text);
	else if (kind == MSG_CHALLENGE_TLS_ALPN && !tls_challenge_add(id, name, text))
		log_error("the certificate for the challenge of %.*s cannot be used", STR_ARG(name));
	return kind < MSG_CHALLENGE_KINDS;
}

static void drop(struct token *t)
{
	list_del(&t->node);
	here.n--;
	free(t);
}

void token_drop(uint32_t id)
{
	tls_challenge_drop(id);
	if (!here.n)
		return;
	list_for_each_safe(n, tmp, &here.tokens)
		if (list_entry(n, struct token, node)->id == id)
			drop(list_entry(n, struct token, node));
}

void token_fini(void)
{
	while (here.n)
		drop(list_entry(here.tokens.next, struct token, node));
}

struct str token_find(const struct head *request)
{
	const struct str place = PLACE;
	struct str path = request->path;
	const char *query;

	if (!here.n || !str_starts(path, place) ||
	    (!str_eq(request->method, STR("GET")) && !str_eq(request->method, STR("HEAD"))))
		return STR_NONE;
	path = str_of(path.p + place.n, path.n - place.n);
	query = path.n ? memchr(path.p, '?', path.n) : NULL;
	if (query)
		path.n = (size_t)(query - path.p);
	list_for_each(n, &here.tokens)
		if (str_eq(list_entry(n, struct token, node)->token, path))
			return list_entry(n, struct token, node)->content;
	return STR_NONE;
}
