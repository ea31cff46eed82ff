#include "proxy/commands/quick.h"
#include "core/target.h"
#include "proxy/commands/cert.h"
#include "proxy/parent/parent.h"
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STATUS_USAGE = 2 };

/* What --from says. */
struct from {
	char host[256];        /* as in the URL, without brackets */
	const char *interface; /* to listen on; empty: all */
	uint16_t port;
	bool is_ip6;
};

PRINTF(1, 2) static int fail(const char *fmt, ...)
{
	va_list ap;

	fputs("gatehouse proxy: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return STATUS_USAGE;
}

/* ---- --from ---- */

/* What a certificate and a file name can carry; conf is stricter. */
static bool is_host(struct str s)
{
	if (!s.n || s.n > 200 || s.p[0] == '.' || s.p[0] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = str_lower_char(s.p[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !strchr(".-:_", c))
			return false;
	}
	return true;
}

static bool parse_from(const char *text, struct from *f)
{
	struct str host = STR("localhost"), port = str_from_c(text);
	const char *colon = strrchr(text, ':');
	struct addr a;
	uint64_t n;

	if (colon) {
		host = str_of(text, (size_t)(colon - text));
		port = str_from_c(colon + 1);
	}
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = str_of(host.p + 1, host.n - 2);
	if (!str_to_u64(port, UINT16_MAX, &n) || n == 0 || !is_host(host))
		return false;
	*f = (struct from){ .port = (uint16_t)n };
	snprintf(f->host, sizeof f->host, "%.*s", STR_ARG(host));
	f->is_ip6 = memchr(host.p, ':', host.n) != NULL;
	f->interface = "";
	if (str_eq_nocase(host, STR("localhost")))
		f->interface = "lo"; /* 127.0.0.1, and ::1 where there is IPv6 */
	else if (addr_from_ip(&a, host, f->port))
		f->interface = f->host;
	return !f->is_ip6 || addr_from_ip(&a, host, f->port);
}

/* ---- --to ---- */

/* Development servers on "localhost" listen on one of two addresses: which of them answers? */
static const char *loopback_of(struct str port)
{
	static const char *const hosts[] = { "127.0.0.1", "::1" };
	uint64_t n;

	for (size_t i = 0; i < ARRAY_SIZE(hosts) && str_to_u64(port, UINT16_MAX, &n); i++) {
		struct addr a;
		bool answers = false;
		int fd;

		if (!addr_from_ip(&a, str_from_c(hosts[i]), (uint16_t)n))
			continue;
		fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0) {
			answers = connect(fd, &a.sa, a.len) == 0;
			close(fd);
		}
		if (answers)
			return i == 0 ? "127.0.0.1" : "[::1]";
	}
	return "127.0.0.1";
}

static bool is_number(struct str s)
{
	uint64_t n;

	return str_to_u64(s, UINT16_MAX, &n);
}

/*
 * What is shorter than an origin becomes one: "3000", "localhost:3000", "127.0.0.1:3000/base",
 * "/run/app.sock", "./app.sock". Anything else is for the configuration's own reader to judge.
 */
static struct str expand_to(struct arena *arena, const char *to)
{
	struct str s = str_from_c(to), rest = s, port;
	char folder[PATH_MAX];

	if (str_starts(s, STR("unix:")) && s.n > 5 && s.p[5] != '@')
		rest = str_of(s.p + 5, s.n - 5);
	if (rest.n && rest.p[0] == '/')
		return arena_printf(arena, "unix:%s", rest.p);
	if ((rest.p != s.p || str_starts(s, STR("./")) || str_starts(s, STR("../"))) &&
	    getcwd(folder, sizeof folder))
		return arena_printf(arena, "unix:%s/%s", folder, rest.p);
	if (is_number(s))
		return arena_printf(arena, "http://%s:%s", loopback_of(s), to);
	if (str_starts(s, STR("http://")))
		rest = str_of(s.p + 7, s.n - 7);
	if (str_starts(rest, STR("localhost:"))) {
		rest = str_of(rest.p + 10, rest.n - 10);
		for (port = rest, port.n = 0; port.n < rest.n && port.p[port.n] != '/'; port.n++)
			;
		return arena_printf(arena, "http://%s:%.*s", loopback_of(port), STR_ARG(rest));
	}
	if (!strstr(to, "://") && s.n && ((s.p[0] >= '0' && s.p[0] <= '9') || s.p[0] == '['))
		return arena_printf(arena, "http://%s", to);
	return arena_dup(arena, s);
}

/* ---- the certificate ---- */

/* Ours, and nobody else's: in /tmp anybody could have made it first. */
static bool make_dir(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return false;
	if (lstat(path, &st) < 0)
		return false;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022)) {
		errno = EPERM;
		return false;
	}
	return true;
}

static struct str state_dir(struct arena *a)
{
	const char *state = getenv("XDG_STATE_HOME");

	if (state && state[0] == '/')
		return arena_printf(a, "%s/gatehouse", state);
	return arena_printf(a, "/tmp/gatehouse-%u", (unsigned)geteuid());
}

static int find_certificate(struct arena *a, const struct quick_options *o, const struct from *f,
			    struct str *cert, struct str *key)
{
	struct str dir = state_dir(a);
	const char *wrong;

	if (o->cert) {
		*cert = str_from_c(o->cert);
		*key = str_from_c(o->key);
		return 0;
	}
	errno = 0;
	if (!make_dir(dir.p))
		return fail("cannot use %s for the certificate: %s", dir.p, strerror(errno));
	wrong = cert_make(dir.p, f->host);
	if (wrong)
		return fail("%s in %s%s%s", wrong, dir.p, errno ? ": " : "", errno ? strerror(errno) : "");
	*cert = arena_printf(a, "%s/%s.crt", dir.p, f->host);
	*key = arena_printf(a, "%s/%s.key", dir.p, f->host);
	return 0;
}

/* ---- the configuration ---- */

static void put_quoted(FILE *f, struct str s)
{
	fputc('"', f);
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < 0x20)
			fprintf(f, "\\u%04x", s.p[i]);
		else if (s.p[i] == '"' || s.p[i] == '\\')
			fprintf(f, "\\%c", s.p[i]);
		else
			fputc(s.p[i], f);
	}
	fputc('"', f);
}

static void put_key(FILE *f, const char *key, struct str value)
{
	fprintf(f, "    \"%s\": ", key);
	put_quoted(f, value);
	fputs(",\n", f);
}

/* As JSON, which is YAML; NULL without memory. Freed by the caller. */
static char *write_configuration(const struct quick_options *o, const struct from *from, struct str to,
				 struct str cert, struct str key)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	if (!f)
		return NULL;
	fputs("{ \"global\": {", f);
	if (o->workers) {
		fputs(" \"count-threads\": ", f);
		put_quoted(f, str_from_c(o->workers));
	}
	fputs(" },\n  \"vhosts\": [ {\n", f);
	put_key(f, "name", from->is_ip6 ? STR("localhost") : str_from_c(from->host));
	fprintf(f, "    \"port\": \"%u\",\n", from->port);
	if (from->interface[0])
		put_key(f, "interface", str_from_c(from->interface));
	put_key(f, "host-ssl-cert", cert);
	put_key(f, "host-ssl-key", key);
	fputs("    \"mounts\": [ { \"mountpoint\": \"/\", \"origin\": ", f);
	put_quoted(f, to);
	fputs(" } ] } ] }\n", f);
	fclose(f);
	return text;
}

/* ---- the whole ---- */

static int run(struct arena *a, const struct quick_options *o, const struct from *from)
{
	struct parent_options parent = { .as_caller = true, .log_level = o->log_level };
	struct str to = expand_to(a, o->to), cert = STR_NONE, key = STR_NONE;
	struct str url = arena_printf(a, "https://%s%s%s:%u/", from->is_ip6 ? "[" : "", from->host,
				      from->is_ip6 ? "]" : "", from->port);
	char *text;
	int status = find_certificate(a, o, from, &cert, &key);

	if (status)
		return status;
	text = write_configuration(o, from, to, cert, key);
	if (!text)
		return EXIT_FAILURE;
	parent.source = (struct conf_source){ STR("(gatehouse proxy)"), str_from_c(text) };
	parent.greeting = o->cert ? arena_printf(a, "curl %s", url.p).p :
				    arena_printf(a, "curl --cacert %s %s", cert.p, url.p).p;
	if (geteuid() == 0)
		fputs("gatehouse proxy: workers run as root too, without its capabilities, so that they reach"
		      " its sockets\n", stderr);
	status = parent_run(&parent);
	free(text);
	return status;
}

int quick_run(const struct quick_options *o)
{
	struct from from;
	struct arena a;
	int status;

	if (!o->from || !o->to)
		return fail("--from HOST:PORT and --to ORIGIN are needed: --from localhost:8443 --to 3000");
	if (!o->cert != !o->key)
		return fail("--cert and --key belong together");
	if (!parse_from(o->from, &from))
		return fail("--from %s: expected HOST:PORT, as in localhost:8443", o->from);
	arena_init(&a);
	status = run(&a, o, &from);
	arena_fini(&a);
	return status;
}
