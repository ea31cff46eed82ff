/*
 * global.c - the keys of `global`.
 */
#include "conf/priv.h"

#define STATE_DIR "/var/lib/gatehouse"

void conf_set_global_limits(struct conf_loader *l, const struct conf_key *k, void *object,
			    const struct conf_node *v)
{
	(void)k;
	conf_walk_section(l, CONF_IN_GLOBAL, CONF_IN_LIMITS, &((struct conf_global *)object)->limits, v);
}

void conf_set_global_timeouts(struct conf_loader *l, const struct conf_key *k, void *object,
			      const struct conf_node *v)
{
	(void)k;
	conf_walk_section(l, CONF_IN_GLOBAL, CONF_IN_TIMEOUTS, &((struct conf_global *)object)->timeouts, v);
}

void conf_set_workers(struct conf_loader *l, const struct conf_key *k, void *object,
		      const struct conf_node *v)
{
	uint64_t n;

	if (!conf_take_number(l, k, v, CONF_COUNT_MAX, &n))
		return;
	if (n > 1024)
		conf_error(l, v, "one worker a CPU is enough: write 0, or leave the key out",
			   "at most 1024 workers");
	else
		((struct conf_global *)object)->workers = (unsigned)n;
}

void conf_set_error_log(struct conf_loader *l, const struct conf_key *k, void *object,
			const struct conf_node *v)
{
	struct str text, path;

	(void)k;
	if (!conf_take_text(l, v, &text) || str_eq(text, STR("stderr")))
		return;
	path = text;
	if (str_starts(text, STR("syslog:")))
		path = str_of(text.p + 7, text.n - 7);
	if (!str_eq(text, STR("syslog")) && (!path.n || path.p[0] != '/'))
		conf_error(l, v, "write the whole path, from \"/\" on, or syslog, or stderr",
			   "\"error-log\" is a path that begins with \"/\"");
	((struct conf_global *)object)->error_log = arena_dup(&l->c->arena, text);
}

void conf_set_log_format(struct conf_loader *l, const struct conf_key *k, void *object,
			 const struct conf_node *v)
{
	bool *json = (bool *)(void *)((char *)object + k->at);
	struct str text;

	if (!conf_take_text(l, v, &text))
		return;
	*json = str_eq(text, STR("json"));
	if (!*json && !str_eq(text, STR("combined")))
		conf_error(l, v, "write combined, or json", "\"%.*s\" is no format of an access log",
			   CONF_QUOTE(text));
}

/* Sockets, upstreams and logs of a worker that does nothing yet need some. */
void conf_set_rlimit_nofile(struct conf_loader *l, const struct conf_key *k, void *object,
			    const struct conf_node *v)
{
	uint64_t n;

	if (!conf_take_number(l, k, v, CONF_COUNT_MAX, &n))
		return;
	if (n < 128)
		conf_error(l, v, NULL, "\"rlimit-nofile\" has to be at least 128");
	else
		((struct conf_global *)object)->rlimit_nofile = n;
}

void conf_set_error_css(struct conf_loader *l, const struct conf_key *k, void *object,
			const struct conf_node *v)
{
	struct conf_global *g = object;
	struct str path;

	(void)k;
	if (!conf_take_text(l, v, &path))
		return;
	g->error_css = arena_dup(&l->c->arena, path);
	if (path.n)
		conf_add_file(l, g->error_css, v, false);
}

void conf_set_timeout_secs(struct conf_loader *l, const struct conf_key *k, void *object,
			   const struct conf_node *v)
{
	struct timeouts *t = &((struct conf_global *)object)->timeouts;
	static const struct {
		enum conf_key_id id;
		size_t at;
	} set_by_it[] = {
		{ CONF_KEY_TIMEOUT_handshake_ms, offsetof(struct timeouts, handshake_ms) },
		{ CONF_KEY_TIMEOUT_request_head_ms, offsetof(struct timeouts, request_head_ms) },
		{ CONF_KEY_TIMEOUT_upstream_connect_ms, offsetof(struct timeouts, upstream_connect_ms) },
	};
	uint64_t ms;

	if (!conf_take_number(l, k, v, 0, &ms))
		return;
	if (ms == 0) {
		conf_error(l, v, NULL, "\"timeout-secs\" has to be at least 1");
		return;
	}
	/* a key of `timeouts` says it more closely, before or after this one */
	for (size_t i = 0; i < ARRAY_SIZE(set_by_it); i++)
		if (!l->global_seen[set_by_it[i].id])
			*(uint64_t *)(void *)((char *)t + set_by_it[i].at) = ms;
}

void conf_set_ip_limit(struct conf_loader *l, const struct conf_key *k, void *object,
		       const struct conf_node *v)
{
	(void)k;
	conf_set_limit(l, &conf_keys()[CONF_KEY_LIMIT_connections_per_address],
		       &((struct conf_global *)object)->limits, v);
}

/* ---- reject-service-keywords ---- */

/* "404 Not Found". False: it is no such thing. */
static bool to_rejection(struct str s, struct conf_reject *out)
{
	uint64_t status;

	if (s.n < 3 || (s.n > 3 && s.p[3] != ' ') || !str_to_u64(str_of(s.p, 3), 599, &status) ||
	    status < 400)
		return false;
	out->status = (uint16_t)status;
	out->message = str_trim(str_of(s.p + 3, s.n - 3));
	for (size_t i = 0; i < out->message.n; i++) /* it stands in the status line (RFC 9112 section 4) */
		if ((uint8_t)out->message.p[i] < ' ' || (uint8_t)out->message.p[i] >= 0x7f)
			return false;
	return true;
}

static void add_rejection(struct conf_loader *l, struct conf_global *g, const struct conf_node *v)
{
	struct conf_reject r = { .keyword = v->key->text };
	struct str text;

	if (!conf_take_text(l, v, &text))
		return;
	if (!to_rejection(text, &r)) {
		conf_error(l, v, "write \"404 Not Found\"", "\"%.*s\" is no error status and its message",
			   CONF_QUOTE(text));
		return;
	}
	if (!r.keyword.n) {
		conf_error(l, v->key, NULL, "every client has an empty keyword in its User-Agent");
		return;
	}
	arena_grow(&l->c->arena, g->rejects, g->nrejects, l->rejects_cap);
	r.keyword = arena_dup(&l->c->arena, r.keyword);
	r.message = arena_dup(&l->c->arena, r.message);
	g->rejects[g->nrejects++] = r;
}

void conf_set_rejects(struct conf_loader *l, const struct conf_key *k, void *object,
		      const struct conf_node *v)
{
	const struct conf_node *map = NULL;
	struct conf_map names = { 0 };

	(void)k;
	while ((map = conf_next_mapping(l, v, map)))
		for (const struct conf_node *word = map->child; word; word = word->next)
			if (conf_first(l, &names, word->key->text, word))
				add_rejection(l, object, word);
}

/* What was written, so that two configurations can be compared. */
static void note_settings(struct conf_loader *l)
{
	struct config *c = l->c;

	c->settings = arena_alloc(&c->arena, CONF_KEY_COUNT * sizeof *c->settings);
	for (size_t i = 0; i < CONF_KEY_COUNT; i++) {
		const struct conf_key *k = &conf_keys()[i];

		/* the keys of a section stand for themselves */
		if (l->global_seen[i] && k->kind != CONF_SECTION)
			c->settings[c->nsettings++] =
				(struct conf_setting){ k, conf_node_hash(l->global_seen[i]) };
	}
}

void conf_finish_global(struct conf_loader *l)
{
	const struct conf_node *old = l->global_seen[CONF_KEY_IP_LIMIT_WSI];
	const struct conf_node *new = l->global_seen[CONF_KEY_LIMIT_connections_per_address];
	struct str socket = l->c->global.control_socket;

	note_settings(l);
	if (old && new)
		conf_error(l, old->key, "keep one of them",
			   "\"ip-limit-wsi\" is limits.connections-per-address, which is written at %s",
			   conf_place(l, new->key->pos));
	if (!l->c->global.state_dir.n)
		l->c->global.state_dir = STR(STATE_DIR);
	if (socket.n > CONF_UNIX_PATH_BYTES)
		conf_error(l, l->global_seen[CONF_KEY_CONTROL_SOCKET], NULL,
			   "a socket's path has at most 107 bytes");
}
