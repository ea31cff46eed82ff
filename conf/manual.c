#include "conf/manual.h"
#include "conf/keys.h"

/*
 * Columns: key, what holds without it. Of others that is their limit's or timeout's own default, or what the
 * row in keys.h ends with ("...; 301 without"), or no (of BOOL), or nothing.
 */
#define CONF_DEFAULT_TABLE(X)                            \
	X(COUNT_THREADS, "0")                            \
	X(USERNAME, "gatehouse, else nobody")            \
	X(GROUPNAME, "the user's")                       \
	X(CONTROL_SOCKET, "in the run directory")        \
	X(ERROR_LOG, "stderr")                           \
	X(ERROR_CSS, "built in")                         \
	X(DEFAULT_ALPN, "h2,http/1.1")                   \
	X(RLIMIT_NOFILE, "the hard limit")               \
	X(TRUSTED_PROXIES, "nobody")                     \
	X(PROXY_PROTOCOL, "nobody")                      \
	X(NAME, "required")                              \
	X(PORT, "required")                              \
	X(INTERFACE, "all addresses")                    \
	X(IPV6ONLY, "both families")                     \
	X(CIPHERS, "ECDHE and AEAD")                      \
	X(TLS13_CIPHERS, "all")                          \
	X(ECDH_CURVE, "X25519:P-256:P-384")              \
	X(ALPN, "default-alpn")                          \
	X(KEEPALIVE_TIMEOUT, "60s")                      \
	X(WEBSOCKET_OVER_H2, "yes")                      \
	X(ERROR_PAGES, "built in")                       \
	X(ERROR_DOCUMENT_404, "built in")                \
	X(MOUNTPOINT, "required")                        \
	X(ORIGIN, "required")                            \
	X(BASIC_AUTH, "everybody comes in")

static const char *const defaults[CONF_KEY_COUNT] = {
#define X(id, text) [CONF_KEY_##id] = text,
	CONF_DEFAULT_TABLE(X)
#undef X
};

static const char *kind_name(enum conf_kind kind)
{
	static const char *const names[] = {
#define X(name, called, written) [CONF_##name] = #name,
		CONF_KIND_TABLE(X)
#undef X
	};

	return names[kind];
}

/* ---- one key's columns, in out ---- */

enum { COLUMN_BYTES = 64 };

/* The largest unit that leaves nothing over. */
static void put_units(char out[COLUMN_BYTES], uint64_t n, const uint64_t *units, const char *const *names)
{
	while (n % *units) {
		units++;
		names++;
	}
	snprintf(out, COLUMN_BYTES, "%llu%s", (unsigned long long)(n / *units), *names);
}

/* What a key is, without the default at its end, which comes out in *dflt (empty: none is told). */
static struct str meaning(const struct conf_key *k, struct str *dflt)
{
	struct str what = str_from_c(k->what), end = STR(" without");
	size_t at = what.n;

	*dflt = STR("");
	if (!str_ends(what, end))
		return what;
	while (at && what.p[at - 1] != ';')
		at--;
	if (!at)
		return what;
	*dflt = str_trim(str_of(what.p + at, what.n - at - end.n));
	return str_of(what.p, at - 1);
}

static void put_default(char out[COLUMN_BYTES], const struct conf_key *k)
{
	static const uint64_t sizes[] = { 1 << 30, 1 << 20, 1 << 10, 1 };
	static const uint64_t times[] = { 3600 * 1000, 60 * 1000, 1000, 1 };
	static const char *const size_names[] = { "g", "m", "k", "" };
	static const char *const time_names[] = { "h", "m", "s", "ms" };
	const char *text = defaults[k - conf_keys()];
	struct str told;

	meaning(k, &told);
	if (text)
		snprintf(out, COLUMN_BYTES, "%s", text);
	else if (told.n)
		snprintf(out, COLUMN_BYTES, "%.*s", STR_ARG(told));
	else if (k->scope != CONF_IN_LIMITS && k->scope != CONF_IN_TIMEOUTS)
		snprintf(out, COLUMN_BYTES, "%s",
			 k->kind == CONF_BOOL && k->state == CONF_WORKS ? "no" : "");
	else if (k->dflt == LIMIT_NONE)
		snprintf(out, COLUMN_BYTES, "none");
	else if (k->kind == CONF_DURATION)
		put_units(out, k->dflt, times, time_names);
	else if (k->kind == CONF_SIZE)
		put_units(out, k->dflt, sizes, size_names);
	else
		snprintf(out, COLUMN_BYTES, "%llu", (unsigned long long)k->dflt);
}

/* Where else than in global a limit or timeout may stand. */
static const char *narrowest(const struct conf_key *k)
{
	if (k->scope != CONF_IN_LIMITS && k->scope != CONF_IN_TIMEOUTS)
		return "";
	return k->levels & 1u << CONF_IN_MOUNT	? "; also in a vhost or mount"
	       : k->levels & 1u << CONF_IN_VHOST ? "; also in a vhost"
						 : "";
}

static const char *remark(const struct conf_key *k)
{
	switch (k->state) {
	case CONF_WORKS:
		return "";
	case CONF_NOTHING:
		return "accepted, has nothing to do here: ";
	case CONF_LATER:
		return "accepted, does nothing yet: ";
	case CONF_GUARD:
		return "accepted, the mount answers 501: ";
	}
	return "";
}

static void put_lower(const char *s, FILE *out)
{
	for (; *s; s++)
		fputc(str_lower_char(*s), out);
}

static bool is_of(const struct conf_key *k, size_t scope)
{
	return k->scope == (enum conf_scope)scope;
}

enum {
#define X(name, place) +1
	SCOPES = 0 CONF_SCOPE_TABLE(X),
#undef X
#define X(name, called, written) +1
	KINDS = 0 CONF_KIND_TABLE(X),
#undef X
};

/* ---- as text ---- */

static void print_key(const struct conf_key *k, FILE *out)
{
	char dflt[COLUMN_BYTES];
	struct str told, what = meaning(k, &told);

	put_default(dflt, k);
	fprintf(out, "  %-31s ", k->name);
	put_lower(kind_name(k->kind), out);
	fprintf(out, "%*s %-22s %s%.*s%s", (int)(9 - strlen(kind_name(k->kind))), "", dflt[0] ? dflt : "-",
		remark(k), STR_ARG(what), narrowest(k));
	if (k->aliases[0])
		fprintf(out, " (also: %s)", k->aliases);
	if (k->flags & CONF_NEW_WORKERS)
		fputs(" (a change takes new workers)", out);
	fputc('\n', out);
}

void conf_manual_print(FILE *out)
{
	fputs("Each line: key, type, default, meaning.\n", out);
	for (size_t scope = 0; scope < SCOPES; scope++) {
		fprintf(out, "\n%s:\n", conf_scope_text((enum conf_scope)scope));
		for (size_t i = 0; i < CONF_KEY_COUNT; i++)
			if (is_of(&conf_keys()[i], scope))
				print_key(&conf_keys()[i], out);
	}
	fputs("\ntypes:\n", out);
	for (size_t kind = 0; kind < KINDS; kind++) {
		const char *written = conf_kind_written((enum conf_kind)kind);

		fputs("  ", out);
		put_lower(kind_name((enum conf_kind)kind), out);
		fprintf(out, "%*s %s%s%s\n", (int)(9 - strlen(kind_name((enum conf_kind)kind))), "",
			conf_kind_text((enum conf_kind)kind), written[0] ? ": " : "", written);
	}
}

/* ---- as roff ---- */

static void roff(struct str s, FILE *out)
{
	if (s.n && (s.p[0] == '.' || s.p[0] == '\''))
		fputs("\\&", out);
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\')
			fputs("\\e", out);
		else if (s.p[i] == '-')
			fputs("\\-", out);
		else
			fputc(s.p[i], out);
	}
}

void conf_manual_roff_text(const char *text, FILE *out)
{
	roff(str_from_c(text), out);
}

static void roff_key(const struct conf_key *k, FILE *out)
{
	char dflt[COLUMN_BYTES];
	struct str told, what = meaning(k, &told);

	put_default(dflt, k);
	fputs(".TP\n\\fB", out);
	conf_manual_roff_text(k->name, out);
	fputs("\\fR (", out);
	conf_manual_roff_text(conf_kind_text(k->kind), out);
	if (dflt[0]) {
		fputs(strcmp(dflt, "required") == 0 ? "; " : "; default: ", out);
		conf_manual_roff_text(dflt, out);
	}
	fputs(")\n", out);
	conf_manual_roff_text(remark(k), out);
	roff(what, out);
	conf_manual_roff_text(narrowest(k), out);
	fputs(".\n", out);
	if (k->aliases[0]) {
		fputs("Other spellings: ", out);
		conf_manual_roff_text(k->aliases, out);
		fputs(".\n", out);
	}
	if (k->flags & CONF_NEW_WORKERS)
		fputs("A change takes new workers.\n", out);
}

void conf_manual_roff(FILE *out)
{
	for (size_t scope = 0; scope < SCOPES; scope++) {
		const char *text = conf_scope_text((enum conf_scope)scope);

		fputs(".SS Keys ", out);
		conf_manual_roff_text(text, out);
		fputc('\n', out);
		for (size_t i = 0; i < CONF_KEY_COUNT; i++)
			if (is_of(&conf_keys()[i], scope))
				roff_key(&conf_keys()[i], out);
	}
	fputs(".SS Values\n", out);
	for (size_t kind = 0; kind < KINDS; kind++) {
		const char *written = conf_kind_written((enum conf_kind)kind);

		if (!written[0])
			continue;
		fputs(".TP\n", out);
		conf_manual_roff_text(conf_kind_text((enum conf_kind)kind), out);
		fputc('\n', out);
		conf_manual_roff_text(written, out);
		fputs(".\n", out);
	}
}
