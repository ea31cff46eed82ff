#include "conf/priv.h"

enum {
	ON_GLOBAL = 1 << CONF_IN_GLOBAL,
	ON_VHOST = ON_GLOBAL | 1 << CONF_IN_VHOST,
	ON_MOUNT = ON_VHOST | 1 << CONF_IN_MOUNT,
	NAME_BYTES = 64, /* names longer than this are near nothing */
};

/*
 * Where a limit may be written, and the least value that leaves a working server. Below `global`: what is
 * read when a vhost is known; on mounts: what is read when the route is known. What counts for the
 * machine, a worker or an upstream (which mounts share) stands in `global` alone.
 */
#define LIMIT_RULES(X)                                         \
	X(connections, COUNT, ON_GLOBAL, 1)                    \
	X(connections_per_address, COUNT, ON_GLOBAL, 0)        \
	X(undecided, COUNT, ON_GLOBAL, 1)                      \
	X(raw_rate, COUNT, ON_GLOBAL, 0)                       \
	X(request_line_bytes, SIZE, ON_VHOST, 1)               \
	X(request_head_bytes, SIZE, ON_VHOST, 1)               \
	X(request_fields, COUNT, ON_VHOST, 1)                  \
	X(request_body_bytes, SIZE, ON_MOUNT, 0)               \
	X(response_head_bytes, SIZE, ON_MOUNT, 1)              \
	X(trailers_bytes, SIZE, ON_VHOST, 0)                   \
	X(chunk_extensions_bytes, SIZE, ON_VHOST, 0)           \
	X(interim_responses, COUNT, ON_MOUNT, 0)               \
	X(h2_streams, COUNT, ON_VHOST, 1)                      \
	X(h2_connection_buffer_bytes, SIZE, ON_VHOST, 1 << 16) \
	X(h2_windows_bytes, SIZE, ON_GLOBAL, 0)                \
	X(pipe_bytes, SIZE, ON_VHOST, 1 << 12)                 \
	X(memory_bytes, SIZE, ON_GLOBAL, 1 << 20)              \
	X(auth_attempts, COUNT, ON_GLOBAL, 1)                  \
	X(abuse, COUNT, ON_VHOST, 1)                           \
	X(upstream_connections, COUNT, ON_GLOBAL, 1)           \
	X(upstream_idle_connections, COUNT, ON_GLOBAL, 0)

#define TIMEOUT_RULES(X)                       \
	X(handshake_ms, ON_GLOBAL, 1)          \
	X(request_head_ms, ON_VHOST, 1)        \
	X(request_body_ms, ON_MOUNT, 1)        \
	X(write_ms, ON_MOUNT, 1)               \
	X(keepalive_ms, ON_VHOST, 0)           \
	X(h2_idle_ms, ON_VHOST, 1)             \
	X(ping_ms, ON_VHOST, 1)                \
	X(ping_timeout_ms, ON_VHOST, 1)        \
	X(linger_ms, ON_VHOST, 0)              \
	X(upstream_connect_ms, ON_GLOBAL, 1)   \
	X(upstream_response_ms, ON_MOUNT, 1)   \
	X(upstream_idle_ms, ON_MOUNT, 1)       \
	X(upstream_keepalive_ms, ON_GLOBAL, 0) \
	X(ride_out_ms, ON_GLOBAL, 0)           \
	X(resolve_ms, ON_GLOBAL, 1)            \
	X(resolve_interval_ms, ON_GLOBAL, 1)   \
	X(fallback_silence_ms, ON_VHOST, 0)    \
	X(tunnel_idle_ms, ON_MOUNT, 1)         \
	X(tunnel_half_open_ms, ON_MOUNT, 1)    \
	X(drain_ms, ON_GLOBAL, 0)              \
	X(drain_tunnels_ms, ON_GLOBAL, 0)

enum {
#define X(field, kind, levels, least) \
	KIND_##field = CONF_##kind, LEVELS_##field = levels, LEAST_##field = least,
	LIMIT_RULES(X)
#undef X
#define X(field, levels, least) LEVELS_##field = levels, LEAST_##field = least,
	TIMEOUT_RULES(X)
#undef X
};

#define G(member) offsetof(struct conf_global, member)
#define V(member) offsetof(struct conf_vhost_draft, member)
#define M(member) offsetof(struct conf_mount_draft, m.member)
#define D(member) offsetof(struct conf_mount_draft, member)
#define R(member) offsetof(struct conf_raw, member)
#define A(member) offsetof(struct conf_acme_keys, member)

static const struct conf_key keys[CONF_KEY_COUNT] = {
#define X(id_, scope_, name_, aliases_, kind_, state_, flags_, set_, at_, what_) \
	[CONF_KEY_##id_] = { .name = name_,                                      \
			     .aliases = aliases_,                                \
			     .scope = CONF_IN_##scope_,                          \
			     .kind = CONF_##kind_,                               \
			     .state = CONF_##state_,                             \
			     .flags = CONF_##flags_,                             \
			     .set = conf_set_##set_,                             \
			     .at = at_,                                          \
			     .what = what_ },
	CONF_KEY_TABLE(X)
#undef X
#define X(field_, key_, dflt_, what_)                                        \
	[CONF_KEY_LIMIT_##field_] = { .name = key_,                          \
				      .aliases = "",                         \
				      .scope = CONF_IN_LIMITS,               \
				      .kind = (enum conf_kind)KIND_##field_, \
				      .state = CONF_WORKS,                   \
				      .set = conf_set_limit,                 \
				      .at = offsetof(struct limits, field_), \
				      .what = what_,                         \
				      .dflt = dflt_,                         \
				      .least = LEAST_##field_,               \
				      .levels = LEVELS_##field_ },
	LIMIT_TABLE(X)
#undef X
#define X(field_, key_, dflt_, what_)                                            \
	[CONF_KEY_TIMEOUT_##field_] = { .name = key_,                            \
					.aliases = "",                           \
					.scope = CONF_IN_TIMEOUTS,               \
					.kind = CONF_DURATION,                   \
					.state = CONF_WORKS,                     \
					.set = conf_set_timeout,                 \
					.at = offsetof(struct timeouts, field_), \
					.what = what_,                           \
					.dflt = dflt_,                           \
					.least = LEAST_##field_,                 \
					.levels = LEVELS_##field_ },
	TIMEOUT_TABLE(X)
#undef X
};

const struct conf_key *conf_keys(void)
{
	return keys;
}

/* One of the names in a list separated by blanks. */
static bool is_among(const char *names, struct str name)
{
	for (const char *p = names; *p; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");

		if (str_eq(str_of(p, n), name))
			return true;
		p += n;
	}
	return false;
}

const struct conf_key *conf_key_find(enum conf_scope scope, struct str name)
{
	for (size_t i = 0; i < CONF_KEY_COUNT; i++)
		if (keys[i].scope == scope &&
		    (str_eq(str_from_c(keys[i].name), name) || is_among(keys[i].aliases, name)))
			return &keys[i];
	return NULL;
}

const struct conf_key *conf_key_elsewhere(enum conf_scope scope, struct str name)
{
	for (size_t i = 0; i < CONF_KEY_COUNT; i++)
		if (keys[i].scope != scope && str_eq(str_from_c(keys[i].name), name))
			return &keys[i];
	return NULL;
}

/*
 * How many slips (a letter too many, too few, wrong, or two swapped) make b out of a; both up to
 * NAME_BYTES.
 */
static unsigned slips(struct str a, struct str b)
{
	unsigned row[3][NAME_BYTES + 1];
	unsigned *before = row[0], *above = row[1], *at = row[2];

	for (unsigned j = 0; j <= b.n; j++)
		above[j] = j;
	for (unsigned i = 1; i <= a.n; i++) {
		unsigned *recycled = before;

		at[0] = i;
		for (unsigned j = 1; j <= b.n; j++) {
			unsigned change = a.p[i - 1] != b.p[j - 1];

			at[j] = MIN(above[j], at[j - 1]) + 1;
			at[j] = MIN(at[j], above[j - 1] + change);
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
				at[j] = MIN(at[j], before[j - 2] + 1);
		}
		before = above;
		above = at;
		at = recycled;
	}
	return above[b.n];
}

/* The same to the nearest of its names. */
static unsigned slips_to_key(struct str name, const struct conf_key *k)
{
	unsigned least = slips(name, str_from_c(k->name));

	for (const char *p = k->aliases; *p; p += strspn(p, " ")) {
		size_t n = strcspn(p, " ");

		least = MIN(least, slips(name, str_of(p, n)));
		p += n;
	}
	return least;
}

const struct conf_key *conf_key_near(enum conf_scope scope, struct str name)
{
	const struct conf_key *best = NULL;
	unsigned least = (unsigned)MIN(name.n / 3, (size_t)3) + 1; /* as many slips are too many */

	if (name.n > NAME_BYTES)
		return NULL;
	for (size_t i = 0; i < CONF_KEY_COUNT; i++) {
		unsigned n;

		if (keys[i].scope != scope)
			continue;
		n = slips_to_key(name, &keys[i]);
		if (n < least) {
			least = n;
			best = &keys[i];
		}
	}
	return best;
}

const char *conf_scope_text(enum conf_scope scope)
{
	static const char *const texts[] = {
#define X(name, place) [CONF_IN_##name] = place,
		CONF_SCOPE_TABLE(X)
#undef X
	};

	return texts[scope];
}

const char *conf_kind_text(enum conf_kind kind)
{
	static const char *const texts[] = {
#define X(name, called, written) [CONF_##name] = called,
		CONF_KIND_TABLE(X)
#undef X
	};

	return texts[kind];
}

const char *conf_kind_written(enum conf_kind kind)
{
	static const char *const texts[] = {
#define X(name, called, written) [CONF_##name] = written,
		CONF_KIND_TABLE(X)
#undef X
	};

	return texts[kind];
}

const char *conf_state_text(enum conf_state state)
{
	static const char *const texts[] = {
#define X(name, text) [CONF_##name] = text,
		CONF_STATE_TABLE(X)
#undef X
	};

	return texts[state];
}
