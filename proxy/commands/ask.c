#include "proxy/commands/ask.h"
#include "conf/find.h"
#include "proxy/worker/show.h"
#include "tls/tls.h"
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A reload may take its whole time-out (reload.c), behind another one; who stops may drain for long. */
enum { ANSWER_MS = 300 * 1000 };

/* ---- where ---- */

/* What the configuration says, whatever else may be wrong with it. False: nothing. */
static bool path_in_conf(const char *conf_path, char out[CONTROL_PATH_BYTES])
{
	struct conf_report r;
	struct conf_found f;
	struct conf_loader *l;
	struct config *c;
	bool found = false;

	conf_report_init(&r);
	if (conf_find(&f, conf_path, &r)) {
		l = conf_load_open(f.sources, f.n, NULL, &r);
		conf_load_step(l, 0);
		c = conf_load_close_anyhow(l);
		found = c->global.control_socket.n > 0 &&
			snprintf(out, CONTROL_PATH_BYTES, "%.*s", STR_ARG(c->global.control_socket)) <
				CONTROL_PATH_BYTES;
		conf_put(c);
	}
	conf_found_fini(&f);
	conf_report_fini(&r);
	return found;
}

static bool is_there(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 || errno == EACCES;
}

static void find_path(const struct ask_options *o, char out[CONTROL_PATH_BYTES])
{
	if (o->socket) {
		snprintf(out, CONTROL_PATH_BYTES, "%s", o->socket);
		return;
	}
	if (path_in_conf(o->path, out))
		return;
	/* one's own, else the system's */
	if (!control_default_path(out) || !is_there(out))
		snprintf(out, CONTROL_PATH_BYTES, "%s", CONTROL_SYSTEM_PATH);
}

static int say_why(const char *path, int e)
{
	if (e == EACCES || e == EPERM) {
		fprintf(stderr,
			"gatehouse: %s: permission denied: call as root, as the user it runs as, or as a "
			"member of `control-group`\n",
			path);
		return CONTROL_NOT_ALLOWED;
	}
	if (e == ENOENT || e == ECONNREFUSED || e == ENOTDIR)
		fprintf(stderr,
			"gatehouse: nothing is running at %s (-c PATH or --socket PATH says where else)\n",
			path);
	else
		fprintf(stderr, "gatehouse: %s: %s\n", path, strerror(e));
	return CONTROL_NOT_RUNNING;
}

/* Returns the socket, or -1: it is told and *status is set. */
static int dial(const char *path, int *status)
{
	struct addr a;
	int fd;

	if (!addr_from_unix(&a, str_from_c(path))) {
		*status = say_why(path, ENAMETOOLONG);
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, &a.sa, a.len) == 0)
		return fd;
	*status = say_why(path, errno);
	if (fd >= 0)
		close(fd);
	return -1;
}

/* ---- the answer ---- */

struct packet {
	struct control_reply reply;
	char bytes[CONTROL_REPLY_BYTES];
};

/* False: nothing came that makes sense. */
static bool receive(int fd, int timeout_ms, struct packet *p, size_t *n)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	ssize_t r;

	do
		r = poll(&ready, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		return false;
	r = recv(fd, p, sizeof *p, 0);
	if (r < (ssize_t)sizeof p->reply)
		return false;
	*n = (size_t)r - sizeof p->reply;
	return true;
}

/* False: it was made by another version, and that is told. */
static bool take_rows(const struct packet *p, size_t n, struct picture *picture)
{
	bool ok = p->reply.status == (uint32_t)picture_version() &&
		  picture_take(picture, str_of(p->bytes, n));

	if (!ok)
		fprintf(stderr, "gatehouse: the one that runs is another version: restart or upgrade it\n");
	return ok;
}

static int take_answer(int fd, const char *path, enum control_command c, struct picture *picture)
{
	int timeout_ms = c == CONTROL_STOP ? -1 : ANSWER_MS;
	struct packet *p = base_alloc(sizeof *p);
	int status = -1;
	size_t n;

	while (status < 0 && receive(fd, timeout_ms, p, &n)) {
		switch (p->reply.kind) {
		case CONTROL_SAYS:
			fwrite(p->bytes, 1, n, stdout);
			fflush(stdout);
			break;
		case CONTROL_WARNS:
			fwrite(p->bytes, 1, n, stderr);
			break;
		case CONTROL_ROWS:
			if (!take_rows(p, n, picture)) {
				free(p);
				return EXIT_FAILURE;
			}
			break;
		case CONTROL_OVER:
			status = (int)p->reply.status;
			break;
		default:
			break;
		}
	}
	free(p);
	if (status == CONTROL_NOT_ALLOWED)
		say_why(path, EACCES);
	if (status < 0)
		fprintf(stderr, "gatehouse: it ended without an answer\n");
	return status < 0 ? EXIT_FAILURE : status;
}

static int ask(const struct ask_options *o, enum control_command c, struct picture *picture)
{
	char path[CONTROL_PATH_BYTES], request[CONTROL_REQUEST_BYTES];
	int status, fd, n = snprintf(request, sizeof request, "%s", control_word(c));

	if (o->name)
		n += 1 + snprintf(request + n + 1, sizeof request - (size_t)n - 1, "%s", o->name);
	if (n > (int)sizeof request) {
		fprintf(stderr, "gatehouse: this name is too long\n");
		return EXIT_FAILURE;
	}

	find_path(o, path);
	fd = dial(path, &status);
	if (fd < 0)
		return status;
	/* EPIPE: it has its answer for us already */
	if (send(fd, request, (size_t)n, MSG_NOSIGNAL) < 0 && errno != EPIPE)
		status = say_why(path, errno);
	else
		status = take_answer(fd, path, c, picture);
	close(fd);
	return status;
}

int ask_command(const struct ask_options *o, enum control_command c)
{
	return ask(o, c, NULL);
}

/* ---- status ---- */

/* What the file has now: the caller may read it, or not. */
static void look_at_file(struct picture *p, struct picture_row *r)
{
	char serial[TLS_SERIAL_BYTES], path[PATH_MAX];
	struct str bytes = STR_NONE;
	int64_t ends_s;
	unsigned mode;
	int e;

	snprintf(path, sizeof path, "%.*s", STR_ARG(r->text[0]));
	e = conf_read_file(path, CONF_FILE_BYTES, &bytes, &mode);
	if (e)
		r->on_disk = arena_printf(&p->arena, "(%s)", conf_read_error(e));
	else if (tls_certificate_of(bytes, serial, &ends_s))
		r->on_disk = arena_dup(&p->arena, str_from_c(serial));
	else
		r->on_disk = STR("(no certificate)");
	free((char *)(uintptr_t)bytes.p);
}

int ask_status(const struct ask_options *o, enum ask_form form)
{
	struct text t = { 0 };
	struct picture p;
	int status;

	picture_init(&p);
	status = ask(o, CONTROL_STATUS, &p);
	for (size_t i = 0; i < p.n; i++)
		if (p.rows[i].kind == PICTURE_CERTIFICATE)
			look_at_file(&p, &p.rows[i]);
	switch (form) {
	case ASK_TEXT: show_text(&t, &p, time(NULL)); break;
	case ASK_JSON: show_json(&t, &p); break;
	case ASK_METRICS: show_metrics(&t, &p); break;
	}
	if (status == EXIT_SUCCESS)
		fwrite(t.p, 1, t.n, stdout);
	free(t.p);
	picture_fini(&p);
	return status;
}
