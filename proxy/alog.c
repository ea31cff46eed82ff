#include "proxy/alog.h"
#include "core/log.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	GATHERED_BYTES = 64 * 1024,
	FIRST_BYTES = 4096,
	/* bounds of what one line may show of a field, escaped */
	PEER_BYTES = 128,
	USER_BYTES = 256,
	METHOD_BYTES = 256,
	PATH_BYTES = 16 * 1024,
	REFERER_BYTES = 8 * 1024,
	AGENT_BYTES = 4 * 1024,
	/* the client has gone before an answer; the status that nginx's logs have made known for it */
	STATUS_GONE = 499,
};

struct alog {
	unsigned refs;
	int fd;
	struct loop_hook hook; /* linked while something is gathered */
	bool hooked;
	bool is_dropping;      /* since the last write that succeeded: said once in the error log */
	char *bytes;           /* whole lines; before them the rest of one that a pipe took in part */
	size_t n, cap;
	size_t rest_bytes;
	uint64_t dropped;
	int64_t date_s;        /* what `date` says */
	char date[40];
};

struct alog *alog_new(void)
{
	struct alog *l = base_zalloc(sizeof *l);

	l->refs = 1;
	l->fd = -1;
	l->date_s = -1;
	return l;
}

struct alog *alog_get(struct alog *l)
{
	l->refs++;
	return l;
}

uint64_t alog_dropped(const struct alog *l)
{
	return l->dropped;
}

/* ---- writing ---- */

static size_t lines_in(const char *p, size_t n)
{
	size_t lines = 0;

	for (const char *end = p + n; (p = memchr(p, '\n', (size_t)(end - p))); p++)
		lines++;
	return lines;
}

/* Drops what lies behind the first `keep` bytes. */
static void drop(struct alog *l, size_t keep, const char *why)
{
	uint64_t lines = lines_in(l->bytes + keep, l->n - keep);

	l->n = keep;
	l->dropped += lines;
	if (lines && !l->is_dropping)
		log_warn("access log: lines are dropped: %s", why);
	if (lines)
		l->is_dropping = true;
}

static void note_success(struct alog *l)
{
	if (l->is_dropping)
		log_note("access log: written again; %llu lines were dropped since the start",
			 (unsigned long long)l->dropped);
	l->is_dropping = false;
}

/*
 * The file took only so much. A line that was cut there must be finished later; the lines behind it are
 * lost.
 */
static void keep_rest(struct alog *l, size_t written)
{
	bool is_cut = l->bytes[written - 1] != '\n';

	l->n -= written;
	memmove(l->bytes, l->bytes + written, l->n);
	l->rest_bytes = is_cut ? (size_t)((char *)memchr(l->bytes, '\n', l->n) - l->bytes) + 1 : 0;
	drop(l, l->rest_bytes, "only part of them was taken");
}

static void flush(struct alog *l)
{
	ssize_t w;

	if (!l->n)
		return;
	if (l->fd < 0) {
		l->n = l->rest_bytes = 0;
		return;
	}
	do
		w = write(l->fd, l->bytes, l->n);
	while (w < 0 && errno == EINTR);
	if (w == (ssize_t)l->n) {
		l->n = l->rest_bytes = 0;
		note_success(l);
	} else if (w > 0) {
		keep_rest(l, (size_t)w);
	} else {
		drop(l, l->rest_bytes, strerror(errno));
	}
}

static void unhook(struct alog *l)
{
	if (l->hooked)
		loop_hook_del(&l->hook);
	l->hooked = false;
}

static void turn_ends(struct loop_hook *h)
{
	struct alog *l = container_of(h, struct alog, hook);

	unhook(l);
	flush(l);
}

void alog_set_fd(struct alog *l, int fd)
{
	struct stat st;
	int flags;

	flush(l);
	l->n = l->rest_bytes = 0;
	if (l->fd >= 0)
		close(l->fd);
	l->fd = fd;
	if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
		return;
	flags = fcntl(fd, F_GETFL);
	if (flags >= 0 && !(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		log_warn("access log: cannot be made non-blocking: %s", strerror(errno));
}

void alog_put(struct alog *l)
{
	if (!l || --l->refs)
		return;
	alog_set_fd(l, -1);
	unhook(l);
	free(l->bytes);
	free(l);
}

/* ---- a line ---- */

/* Room for n more bytes; they fit because flush leaves at most one line. */
static char *room(struct alog *l, size_t n)
{
	if (l->n + n > GATHERED_BYTES)
		flush(l);
	if (l->n + n > l->cap) {
		while (l->n + n > l->cap)
			l->cap = l->cap ? 2 * l->cap : FIRST_BYTES;
		l->bytes = base_realloc(l->bytes, l->cap);
	}
	return l->bytes + l->n;
}

/* "[10/Oct/2000:13:55:36 -0700]": local time, made once a second. */
static const char *date(struct alog *l, int64_t wall_s)
{
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t t = (time_t)wall_s;
	struct tm tm;
	long zone;

	if (l->date_s == wall_s)
		return l->date;
	if (!localtime_r(&t, &tm))
		return "[-]";
	zone = tm.tm_gmtoff / 60;
	snprintf(l->date, sizeof l->date, "[%02d/%s/%04d:%02d:%02d:%02d %c%02ld%02ld]", tm.tm_mday,
		 months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec, zone < 0 ? '-' : '+',
		 labs(zone) / 60, labs(zone) % 60);
	l->date_s = wall_s;
	return l->date;
}

static char *put(char *p, struct str s)
{
	if (s.n)
		memcpy(p, s.p, s.n);
	return p + s.n;
}

static char *put_escaped(char *p, size_t cap, struct str s)
{
	return s.n ? p + log_escape(p, cap, s) : put(p, STR("-"));
}

static char *put_number(char *p, uint64_t n)
{
	char digits[20], *d = digits + sizeof digits;

	do
		*--d = (char)('0' + n % 10);
	while (n /= 10);
	return put(p, str_of(d, (size_t)(digits + sizeof digits - d)));
}

static char *put_request(char *p, const struct exchange *x)
{
	if (!x->request)
		return put(p, STR("-"));
	p = put_escaped(p, METHOD_BYTES, x->request->method);
	p = put(p, STR(" "));
	p = put_escaped(p, PATH_BYTES, x->request->path);
	switch (x->facts.protocol) {
	case 10:
		return put(p, STR(" HTTP/1.0"));
	case 20:
		return put(p, STR(" HTTP/2.0"));
	default:
		return put(p, STR(" HTTP/1.1"));
	}
}

static struct str field(const struct exchange *x, enum field_id id)
{
	const struct field *f = x->request ? head_find(x->request, id) : NULL;

	return f ? f->value : STR_NONE;
}

/* What an escaped field takes at most: four bytes for one. */
static size_t escaped_bytes(struct str s, size_t cap)
{
	return MIN(4 * s.n + 1, cap);
}

void alog_line(struct alog *l, const struct exchange *x, struct str peer)
{
	struct str referer = field(x, FIELD_REFERER), agent = field(x, FIELD_USER_AGENT);
	struct str path = x->request ? x->request->path : STR_NONE;
	char *p;

	if (l->fd < 0)
		return;
	p = room(l, 256 + PEER_BYTES + USER_BYTES + METHOD_BYTES + escaped_bytes(path, PATH_BYTES) +
			    escaped_bytes(referer, REFERER_BYTES) + escaped_bytes(agent, AGENT_BYTES));
	p = put_escaped(p, PEER_BYTES, peer);
	p = put(p, STR(" - "));
	p = put_escaped(p, USER_BYTES, x->facts.user);
	p = put(p, STR(" "));
	p = put(p, str_from_c(date(l, x->facts.wall_s ? x->facts.wall_s : loop_wall_s())));
	p = put(p, STR(" \""));
	p = put_request(p, x);
	p = put(p, STR("\" "));
	p = put_number(p, x->facts.status ? x->facts.status : STATUS_GONE);
	p = put(p, STR(" "));
	p = x->facts.response_bytes ? put_number(p, x->facts.response_bytes) : put(p, STR("-"));
	p = put(p, STR(" \""));
	p = put_escaped(p, REFERER_BYTES, referer);
	p = put(p, STR("\" \""));
	p = put_escaped(p, AGENT_BYTES, agent);
	p = put(p, STR("\"\n"));
	l->n = (size_t)(p - l->bytes);
	if (!l->hooked)
		loop_hook_add(&l->hook, turn_ends);
	l->hooked = true;
}
