#include "proxy/parent/heir.h"
#include "proxy/parent/handover.h"
#include "proxy/parent/listen.h"
#include "proxy/parent/slot.h"
#include "proxy/parent/tickets.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_MAX = 16 * 1024 * 1024 };

/* ---- what was handed over ---- */

static bool take_channel(struct parent *p, const struct handover_row *row)
{
	p->heir.channel.fd = row->fd;
	return true;
}

static bool read_address(struct str hex, struct addr *a)
{
	*a = (struct addr){ .len = (socklen_t)(hex.n / 2) };
	return hex.n / 2 <= sizeof a->ss && handover_unhex(hex, &a->ss, hex.n / 2);
}

static bool take_socket(struct parent *p, const struct handover_row *row)
{
	struct str hex = row->rest, whose = handover_cut(&hex);
	struct addr a;

	return read_address(hex, &a) && listen_inherit(p, row->fd, &a, str_eq(whose, STR("given")));
}

static bool take_control(struct parent *p, const struct handover_row *row)
{
	struct addr a;

	if (!read_address(row->rest, &a) || p->control.fd)
		return false;
	control_inherit(p, row->fd, &a);
	return true;
}

static bool take_errors(struct parent *p, const struct handover_row *row)
{
	p->heir.errors = row->fd;
	return true;
}

static bool take_lock(struct parent *p, const struct handover_row *row)
{
	if (store_lock_fd(&p->store) >= 0)
		return false;
	store_take_lock(&p->store, row->fd);
	return true;
}

static bool take_ticket(struct parent *p, const struct handover_row *row)
{
	struct tls_ticket_key key;
	bool is_good = handover_unhex(row->rest, &key, sizeof key);

	if (is_good)
		tickets_inherit(p, &key);
	explicit_bzero(&key, sizeof key);
	return is_good;
}

static bool take_rotation(struct parent *p, const struct handover_row *row)
{
	return str_to_u64(row->rest, UINT32_MAX, &p->tickets_due_ms);
}

static bool take_answered(struct parent *p, const struct handover_row *row)
{
	char text[17], *end;
	uint64_t hash;

	if (row->rest.n >= sizeof text)
		return false;
	snprintf(text, sizeof text, "%.*s", STR_ARG(row->rest));
	hash = strtoull(text, &end, 16);
	if (*end || !hash)
		return false;
	outage_names_add_hash(count_names(p->count), hash);
	return true;
}

static bool take_notify(struct parent *p, const struct handover_row *row)
{
	struct str path = row->rest, us = handover_cut(&path);

	free(p->heir.notify_path);
	p->heir.notify_path = strndup(path.p, path.n);
	return str_to_u64(us, UINT64_MAX, &p->heir.watchdog_us);
}

static bool (*const take[HANDOVER_COUNT])(struct parent *p, const struct handover_row *row) = {
#define X(word, has_fd) take_##word,
	HANDOVER_TABLE(X)
#undef X
};

static bool take_all(struct parent *p, struct str text)
{
	struct handover_row row;

	while (handover_next(&text, &row)) {
		if (row.fd >= 0 && fcntl(row.fd, F_SETFD, FD_CLOEXEC) < 0)
			return false;
		if (row.word < HANDOVER_COUNT && !take[row.word](p, &row))
			return false;
		if (row.word == HANDOVER_COUNT && row.fd > STDERR_FILENO)
			close(row.fd);
	}
	return p->heir.channel.fd >= 0;
}

/* The number of the memory file; -1: nobody hands anything over. */
static int find_file(void)
{
	const char *value = getenv(HANDOVER_VARIABLE);
	struct str rest = str_from_c(value), pid;
	uint64_t n, fd;

	if (!value)
		return -1;
	pid = handover_cut(&rest);
	if (!str_to_u64(pid, INT_MAX, &n) || n != (uint64_t)getpid() || !str_to_u64(rest, INT_MAX, &fd))
		return -1;
	return (int)fd;
}

static char *read_file(int fd, size_t *n)
{
	struct stat st;
	char *text;

	if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > TEXT_MAX)
		return NULL;
	*n = (size_t)st.st_size;
	text = base_alloc(*n);
	if (pread(fd, text, *n, 0) == (ssize_t)*n)
		return text;
	free(text);
	return NULL;
}

bool heir_open(struct parent *p)
{
	int fd = find_file();
	char *text;
	size_t n = 0;
	bool is_good;

	p->heir = (struct heir){ .channel.fd = -1, .errors = -1 };
	unsetenv(HANDOVER_VARIABLE);
	if (fd < 0)
		return true;
	text = read_file(fd, &n);
	close(fd);
	is_good = text && take_all(p, str_of(text, n));
	if (text)
		explicit_bzero(text, n);
	free(text);
	p->heir.waits = is_good;
	if (!is_good)
		log_error("what the other process has handed over is not understood");
	return is_good;
}

/* ---- taking over ---- */

static void end_channel(struct heir *h)
{
	if (h->channel.fd < 0)
		return;
	work_cancel(&h->hear);
	loop_del(&h->channel);
	close(h->channel.fd);
	h->channel.fd = -1;
}

static void take_over(struct parent *p)
{
	struct heir *h = &p->heir;

	end_channel(h);
	h->waits = false;
	listen_own(p);
	control_own(p);
	notify_open_at(&p->notify, h->notify_path, h->watchdog_us);
	/* the other may have got certificates since this one read them */
	p->issue.certs += p->current.conf->acme.ncerts > 0;
	slot_settle(p);
	parent_begin(p);
}

static void hear(struct work *w)
{
	struct parent *p = container_of(w, struct parent, heir.hear);
	struct heir *h = &p->heir;
	char *buf = base_alloc(HANDOVER_SAY_MAX);
	struct str said;
	bool is_over = false;
	int r;

	while ((r = handover_hear(h->channel.fd, buf, &said)) > 0)
		is_over |= str_eq(said, STR(HANDOVER_OVER));
	free(buf);
	/* the other is dead: somebody has to go on */
	if (r < 0 && !is_over)
		log_warn("the parent that started this one is gone");
	if (h->serves && (is_over || r < 0))
		take_over(p);
	else if (r < 0)
		end_channel(h);
}

static void channel_ready(struct event *ev, uint32_t bits)
{
	(void)bits;
	loop_post(&container_of(ev, struct parent, heir.channel)->heir.hear);
}

void heir_begin(struct parent *p)
{
	struct heir *h = &p->heir;

	if (h->channel.fd < 0)
		return;
	h->channel.ready = channel_ready;
	work_init(&h->hear, hear);
	if (loop_add(&h->channel, EPOLLIN | EPOLLET) < 0) {
		close(h->channel.fd);
		h->channel.fd = -1;
	}
}

void heir_close(struct parent *p)
{
	end_channel(&p->heir);
	if (p->heir.errors >= 0)
		close(p->heir.errors);
	free(p->heir.notify_path);
}

void heir_settle(struct parent *p)
{
	struct heir *h = &p->heir;

	if (h->errors < 0)
		return;
	dup2(h->errors, STDERR_FILENO);
	close(h->errors);
	h->errors = -1;
}

void heir_serves(struct parent *p)
{
	struct heir *h = &p->heir;

	h->serves = true;
	if (h->channel.fd >= 0)
		handover_say(h->channel.fd, HANDOVER_SERVING, STR_NONE);
	else
		take_over(p);
}

bool heir_tell(struct parent *p, int level, const char *text)
{
	char *said = NULL;

	if (p->heir.channel.fd < 0)
		return false;
	if (asprintf(&said, "%d %s", level, text) >= 0)
		handover_say(p->heir.channel.fd, HANDOVER_TOLD, str_from_c(said));
	free(said);
	return true;
}
