/*
 * The command line. A child of the parent is this program too, under a title instead of arguments.
 */
#include "conf/bundle.h"
#include "conf/check.h"
#include "conf/manual.h"
#include "proxy/acmechild.h"
#include "proxy/commands/ask.h"
#include "proxy/parent/child.h"
#include "proxy/commands/journey.h"
#include "proxy/parent/parent.h"
#include "proxy/commands/probe.h"
#include "proxy/commands/quick.h"
#include "proxy/resolver.h"
#include "proxy/worker/site.h"
#include "proxy/trial.h"
#include "proxy/worker/worker.h"
#include "tls/tls.h"
#include <unistd.h>

#define CONF_PATH "/etc/gatehouse"

enum { STATUS_USAGE = 2 };

/* Columns: name, what it does. The first is meant when none is given. */
#define COMMAND_TABLE(X)                                                                \
	X(run, "serve the configuration at PATH, in the foreground")                    \
	X(check, "say all that is wrong with the configuration at PATH")                \
	X(explain, "say which way a request for the URL takes, and with which headers") \
	X(proxy, "https in front of one origin, without a configuration file")          \
	X(keys, "list all configuration keys: type, default, meaning")                  \
	X(status, "say how the one that runs is doing")                                 \
	X(metrics, "the same for Prometheus, in its text format")                       \
	X(reload, "make the one that runs read its configuration anew, and say what changes") \
	X(cert, "list certificates that are obtained (or renew NAME, revoke NAME: do that now)") \
	X(upgrade, "put the binary that lies there now in its place, and wait for that")    \
	X(reopen, "make it open its log files anew")                                    \
	X(stop, "make it finish what is in progress, and wait for its end")             \
	X(version, "print the version")                                                 \
	X(help, "print this")

/* Columns: id, name, letter, what stands for its value (empty: it has none), commands, what it does. */
#define OPTION_TABLE(X)                                                                                    \
	X(CONFIG, "config", 'c', "PATH", IS(run) | IS(check) | IS(explain) | ASKS,                         \
	  "a file, or a directory with conf and conf.d/ (" CONF_PATH ")")                                  \
	X(SOCKET, "socket", 0, "PATH", ASKS, "its control socket; the one that the configuration names")   \
	X(JSON, "json", 0, "", IS(status), "as JSON")                                                      \
	X(DRY_RUN, "dry-run", 0, "", IS(reload), "only say what would change, or is wrong")                \
	X(STAGING, "staging", 0, "", IS(run), "certificates from Let's Encrypt's practice directory")      \
	X(STRICT, "strict", 0, "", IS(check), "warnings count as errors")                                  \
	X(METHOD, "method", 0, "METHOD", IS(explain), "of the request: GET")                               \
	X(HEADER, "header", 'H', "LINE", IS(explain), "\"Name: value\", as often as there are fields")     \
	X(CLIENT, "client", 0, "ADDRESS", IS(explain), "from where it comes")                              \
	X(LISTENER, "listener", 0, "NAME", IS(explain), "where to: *:443, 127.0.0.1:80, unix:/run/x.sock") \
	X(FROM, "from", 0, "HOST:PORT", IS(proxy), "where clients come to: localhost:8443")                \
	X(TO, "to", 0, "ORIGIN", IS(proxy), "unix:/run/app.sock, http://127.0.0.1:3000, localhost:3000")   \
	X(CERT, "cert", 0, "FILE", IS(proxy), "certificate (PEM); made on the spot when left out")         \
	X(KEY, "key", 0, "FILE", IS(proxy), "its key")                                                     \
	X(WORKERS, "workers", 0, "N", IS(proxy), "worker processes; as many as CPUs when left out")        \
	X(ROFF, "roff", 0, "", IS(keys) | IS(help), "in the language of manual pages")                     \
	X(VERBOSE, "verbose", 'v', "", IS(run) | IS(explain) | IS(proxy), "say more; twice: everything")

enum command {
#define X(name, what) COMMAND_##name,
	COMMAND_TABLE(X)
#undef X
	COMMAND_COUNT
};

enum option {
#define X(id, name, letter, value, commands, what) OPTION_##id,
	OPTION_TABLE(X)
#undef X
	OPTION_COUNT
};

#define IS(command) (1U << COMMAND_##command)
/* Those that ask one that runs. */
#define ASKS \
	(IS(status) | IS(metrics) | IS(cert) | IS(reload) | IS(reopen) | IS(stop) | IS(upgrade))

static const struct {
	const char *name, *what;
} commands[COMMAND_COUNT] = {
#define X(name, what) { #name, what },
	COMMAND_TABLE(X)
#undef X
};

static const struct {
	const char *name, *value;
	char letter;
	unsigned commands;
	const char *what;
} options[OPTION_COUNT] = {
#define X(id, name, letter, value, commands, what) { name, value, letter, commands, what },
	OPTION_TABLE(X)
#undef X
};

struct args {
	enum command command;
	const char *value[OPTION_COUNT]; /* NULL: not given */
	unsigned times[OPTION_COUNT];
	const char *url;
	const char *words[2]; /* of cert */
	size_t nwords;
	const char *headers[JOURNEY_HEADERS_MAX];
	size_t nheaders;
	char **argv;
};

/* ---- what a mistyped word was meant to be ---- */

/* Letters inserted, left out, replaced, or exchanged with their neighbour, from a to b. */
static unsigned distance(const char *a, const char *b)
{
	enum { LONGEST = 31 };
	unsigned d[LONGEST + 1][LONGEST + 1];
	size_t na = strlen(a), nb = strlen(b);

	if (na > LONGEST || nb > LONGEST)
		return UINT_MAX;
	for (size_t i = 0; i <= na; i++) {
		for (size_t k = 0; k <= nb; k++) {
			unsigned best = (unsigned)(i + k);

			if (i && k) {
				best = MIN(d[i - 1][k], d[i][k - 1]) + 1;
				best = MIN(best, d[i - 1][k - 1] + (a[i - 1] != b[k - 1]));
			}
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
				best = MIN(best, d[i - 2][k - 2] + 1);
			d[i][k] = best;
		}
	}
	return d[na][nb];
}

struct nearest {
	const char *word, *name;
	unsigned distance;
};

static void compare(struct nearest *n, const char *name)
{
	unsigned d = distance(n->word, name);

	if (d < n->distance) {
		n->distance = d;
		n->name = name;
	}
}

/* Not farther than a third of its letters. */
static int unknown(const char *what, const char *dashes, struct nearest *n)
{
	fprintf(stderr, "gatehouse: unknown %s %s%s", what, dashes, n->word);
	if (n->name && n->distance <= MAX(strlen(n->word) / 3, 1U))
		fprintf(stderr, ": did you mean %s%s?\n", dashes, n->name);
	else
		fprintf(stderr, "; `gatehouse help` lists them\n");
	return STATUS_USAGE;
}

static int unknown_command(const char *word)
{
	struct nearest n = { word, NULL, UINT_MAX };

	for (size_t i = 0; i < COMMAND_COUNT; i++)
		compare(&n, commands[i].name);
	return unknown("command", "", &n);
}

static int unknown_option(const char *word, enum command c)
{
	struct nearest n = { word, NULL, UINT_MAX };

	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (options[i].commands & (1U << c))
			compare(&n, options[i].name);
	return unknown("option", "--", &n);
}

/* ---- parsing ---- */

static enum option find_option(const char *name, size_t n, enum command c)
{
	enum option o;

	for (o = 0; o < OPTION_COUNT; o++)
		if ((options[o].commands & (1U << c)) && strlen(options[o].name) == n &&
		    memcmp(options[o].name, name, n) == 0)
			break;
	return o;
}

static enum option find_letter(char letter, enum command c)
{
	enum option o;

	for (o = 0; o < OPTION_COUNT; o++)
		if ((options[o].commands & (1U << c)) && options[o].letter == letter)
			break;
	return o;
}

/* One argument (and the next, when that is its value). Returns how many were used, or 0: it is told. */
static int parse_one(struct args *a, char **argv)
{
	const char *arg = argv[0], *equals = strchr(arg, '=');
	const char *value = NULL;
	enum option o;

	if (arg[0] == '-' && arg[1] == '-') {
		arg += 2;
		o = find_option(arg, equals ? (size_t)(equals - arg) : strlen(arg), a->command);
		value = equals ? equals + 1 : NULL;
	} else {
		arg += 1;
		o = find_letter(arg[0], a->command);
		value = arg[1] ? arg + 1 : NULL;
	}
	if (o == OPTION_COUNT) {
		unknown_option(arg, a->command);
		return 0;
	}
	a->times[o]++;
	if (!options[o].value[0]) {
		/* -vv is -v -v */
		for (; value && argv[0][1] != '-' && value[0] == options[o].letter; value++)
			a->times[o]++;
		if (value && value[0]) {
			fprintf(stderr, "gatehouse: --%s takes no value\n", options[o].name);
			return 0;
		}
		return 1;
	}
	a->value[o] = value ? value : argv[1];
	if (!a->value[o]) {
		fprintf(stderr, "gatehouse: --%s needs a value: %s\n", options[o].name, options[o].value);
		return 0;
	}
	if (o == OPTION_HEADER) {
		if (a->nheaders == JOURNEY_HEADERS_MAX) {
			fprintf(stderr, "gatehouse: more than %d headers\n", JOURNEY_HEADERS_MAX);
			return 0;
		}
		a->headers[a->nheaders++] = a->value[o];
	}
	return value ? 1 : 2;
}

static int parse(struct args *a, char **argv)
{
	enum command c = 0;

	if (*argv && argv[0][0] != '-') {
		while (c < COMMAND_COUNT && strcmp(commands[c].name, *argv) != 0)
			c++;
		if (c == COMMAND_COUNT)
			return unknown_command(*argv);
		argv++;
	}
	a->command = c;
	while (*argv) {
		int used;

		if (strcmp(*argv, "--help") == 0 || strcmp(*argv, "-h") == 0) {
			a->command = COMMAND_help;
			return 0;
		}
		if (strcmp(*argv, "--version") == 0) {
			a->command = COMMAND_version;
			return 0;
		}
		if (argv[0][0] != '-' && c == COMMAND_explain && !a->url) {
			a->url = *argv++;
			continue;
		}
		if (argv[0][0] != '-' && c == COMMAND_cert && a->nwords < ARRAY_SIZE(a->words)) {
			a->words[a->nwords++] = *argv++;
			continue;
		}
		if (argv[0][0] != '-' || !argv[0][1]) {
			fprintf(stderr, "gatehouse: unexpected argument %s\n", *argv);
			return STATUS_USAGE;
		}
		used = parse_one(a, argv);
		if (!used)
			return STATUS_USAGE;
		argv += used;
	}
	if (c == COMMAND_explain && !a->url) {
		fprintf(stderr, "gatehouse: explain needs a URL: https://www.example.com/\n");
		return STATUS_USAGE;
	}
	return 0;
}

/* ---- commands ---- */

/* A command as it is typed. */
static const char *typed(size_t c)
{
	return c == COMMAND_explain ? "explain URL" : commands[c].name;
}

/* For the manual page. */
static int help_roff(void)
{
	for (size_t c = 0; c < COMMAND_COUNT; c++) {
		printf(".TP\n.B gatehouse %s\n", typed(c));
		conf_manual_roff_text(commands[c].what, stdout);
		puts(c == 0 ? " (also without a command)." : ".");
		for (size_t o = 0; o < OPTION_COUNT; o++) {
			if (!(options[o].commands & (1U << c)))
				continue;
			puts(".RS\n.TP");
			if (options[o].letter)
				printf("\\fB\\-%c\\fR, ", options[o].letter);
			fputs("\\fB\\-\\-", stdout);
			conf_manual_roff_text(options[o].name, stdout);
			printf("\\fR \\fI%s\\fR\n", options[o].value);
			conf_manual_roff_text(options[o].what, stdout);
			puts(".\n.RE");
		}
	}
	return EXIT_SUCCESS;
}

static int help(void)
{
	puts("Gatehouse: a TLS front door for one machine.\n");
	for (size_t c = 0; c < COMMAND_COUNT; c++) {
		printf("  gatehouse %-11s %s%s\n", typed(c), commands[c].what,
		       c == 0 ? " (also without a command)" : "");
		for (size_t o = 0; o < OPTION_COUNT; o++) {
			char text[64];

			if (!(options[o].commands & (1U << c)))
				continue;
			snprintf(text, sizeof text, "--%s%s%s", options[o].name,
				 options[o].value[0] ? " " : "", options[o].value);
			printf("      %c%c %-18s %s\n", options[o].letter ? '-' : ' ',
			       options[o].letter ? options[o].letter : ' ', text, options[o].what);
		}
	}
	puts("\nExit status: 0 done, 1 refused or wrong, 2 usage, 3 nothing is running, 4 not allowed.");
	puts("Signals: HUP reloads, TERM drains and stops, INT stops, USR1 opens log files anew,");
	puts("USR2 starts the binary that lies there now in the place of this one.");
	return EXIT_SUCCESS;
}

/* What a trial would do with it; its upstreams are asked as its user, the rest is done as whoever calls. */
static int check(const char *path, bool strict)
{
	struct conf_report r;
	struct config *conf = NULL;
	bool good;
	int fd;

	conf_report_init(&r);
	fd = conf_make_bundle(path, NULL, &r, NULL);
	if (fd >= 0)
		conf = conf_from_bundle_anyhow(fd, &r);
	if (conf && !r.counts[CONF_ERROR])
		probe_upstreams(conf, &r, stdout);
	if (conf && loop_open() == 0) {
		tls_init();
		site_try(conf, &r);
		tls_fini();
		loop_close();
	}
	if (fd >= 0)
		close(fd);
	good = conf_check_print(&r, strict, stdout);
	conf_report_fini(&r);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int child(const char *title)
{
	static const struct {
		enum msg_role role;
		int (*run)(void);
	} roles[] = {
		{ MSG_WORKER, worker_run },
		{ MSG_TRIAL, trial_run },
		{ MSG_RESOLVER, resolver_run },
		{ MSG_ACME, acmechild_run },
	};
	const char *role = title + sizeof CHILD_TITLE - 1;
	size_t n = strcspn(role, " ");

	for (size_t i = 0; i < ARRAY_SIZE(roles); i++)
		if (str_eq(str_of(role, n), str_from_c(child_role_name(roles[i].role))))
			return roles[i].run();
	return STATUS_USAGE;
}

static int cert(const struct args *a, struct ask_options *ask)
{
	bool renew = a->nwords && strcmp(a->words[0], "renew") == 0;
	bool revoke = a->nwords && strcmp(a->words[0], "revoke") == 0;

	if (!a->nwords)
		return ask_command(ask, CONTROL_CERT);
	if ((!renew && !revoke) || a->nwords < 2) {
		fprintf(stderr, "gatehouse: cert takes renew NAME, revoke NAME, or nothing\n");
		return STATUS_USAGE;
	}
	ask->name = a->words[1];
	return ask_command(ask, renew ? CONTROL_CERT_RENEW : CONTROL_CERT_REVOKE);
}

static int run(const struct args *a)
{
	const char *path = a->value[OPTION_CONFIG] ? a->value[OPTION_CONFIG] : CONF_PATH;
	enum log_level level = (enum log_level)MIN(LOG_LEVEL_NOTE + a->times[OPTION_VERBOSE],
						   (unsigned)LOG_LEVEL_DEBUG);
	struct parent_options parent = { .path = path, .log_level = level, .argv = a->argv };
	/* as if it were written */
	if (a->times[OPTION_STAGING])
		parent.more = (struct conf_source){ STR("--staging"), STR("global: { acme-staging: yes }") };
	struct quick_options quick = {
		.from = a->value[OPTION_FROM], .to = a->value[OPTION_TO],
		.cert = a->value[OPTION_CERT], .key = a->value[OPTION_KEY],
		.workers = a->value[OPTION_WORKERS], .log_level = level,
	};

	struct journey_options journey = {
		.path = path, .url = a->url, .method = a->value[OPTION_METHOD],
		.client = a->value[OPTION_CLIENT], .listener = a->value[OPTION_LISTENER],
		.headers = a->headers, .nheaders = a->nheaders, .verbose = a->times[OPTION_VERBOSE] > 0,
	};

	struct ask_options ask = { .socket = a->value[OPTION_SOCKET], .path = path };

	switch (a->command) {
	case COMMAND_run: return parent_run(&parent);
	case COMMAND_check: return check(path, a->times[OPTION_STRICT] > 0);
	case COMMAND_explain: return journey_tell(&journey, stdout);
	case COMMAND_proxy: return quick_run(&quick);
	case COMMAND_keys:
		(a->times[OPTION_ROFF] ? conf_manual_roff : conf_manual_print)(stdout);
		return EXIT_SUCCESS;
	case COMMAND_status: return ask_status(&ask, a->times[OPTION_JSON] ? ASK_JSON : ASK_TEXT);
	case COMMAND_metrics: return ask_status(&ask, ASK_METRICS);
	case COMMAND_reload:
		return ask_command(&ask, a->times[OPTION_DRY_RUN] ? CONTROL_TRY : CONTROL_RELOAD);
	case COMMAND_cert: return cert(a, &ask);
	case COMMAND_upgrade: return ask_command(&ask, CONTROL_UPGRADE);
	case COMMAND_reopen: return ask_command(&ask, CONTROL_REOPEN);
	case COMMAND_stop: return ask_command(&ask, CONTROL_STOP);
	case COMMAND_version: return printf("gatehouse %s\n", GATEHOUSE_VERSION) < 0;
	case COMMAND_help:
	case COMMAND_COUNT: break;
	}
	return a->times[OPTION_ROFF] ? help_roff() : help();
}

int main(int argc, char **argv)
{
	struct args a = { .argv = argv };
	int status;

	if (argc == 1 && strncmp(argv[0], CHILD_TITLE, sizeof CHILD_TITLE - 1) == 0)
		return child(argv[0]);
	status = argc ? parse(&a, argv + 1) : STATUS_USAGE;
	return status ? status : run(&a);
}
