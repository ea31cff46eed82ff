#include "proxy/worker/alog.h"
#include "core/log.h"
#include "proxy/text.h"
#include "tls/tls.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	GATHERED_BYTES = 64 * 1024,
	FIRST_BYTES = 4096,
	/* bounds of what one line may show of a field, escaped */
	CLIENT_BYTES = 128,
	USER_BYTES = 256,
	METHOD_BYTES = 256,
	PATH_BYTES = 16 * 1024,
	REFERER_BYTES = 8 * 1024,
	AGENT_BYTES = 4 * 1024,
	UPSTREAM_BYTES = 1024,
	NAME_BYTES = 512,
	SHORT_BYTES = 128, /* our own words, and OpenSSL's */
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
	int64_t utc_s;         /* what `utc` says */
	char utc[40];
};

struct alog *alog_new(void)
{
	struct alog *l = base_zalloc(sizeof *l);

	l->refs = 1;
	l->fd = -1;
	l->date_s = l->utc_s = -1;
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

static void write_combined(struct alog *l, const struct exchange *x, struct str client)
{
	struct str referer = field(x, FIELD_REFERER), agent = field(x, FIELD_USER_AGENT);
	struct str path = x->request ? x->request->path : STR_NONE;
	char *p = room(l, 256 + CLIENT_BYTES + USER_BYTES + METHOD_BYTES + escaped_bytes(path, PATH_BYTES) +
				  escaped_bytes(referer, REFERER_BYTES) + escaped_bytes(agent, AGENT_BYTES));

	p = put_escaped(p, CLIENT_BYTES, client);
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
}

/* ---- JSON ---- */

/* A member with a text; none when it is empty. */
static char *put_text(char *p, const char *name, size_t cap, struct str s)
{
	if (!s.n)
		return p;
	p = put(p, STR(",\""));
	p = put(p, str_from_c(name));
	p = put(p, STR("\":\""));
	p += text_json_escape(p, cap, s);
	return put(p, STR("\""));
}

static char *put_member(char *p, const char *name, uint64_t n)
{
	p = put(p, STR(",\""));
	p = put(p, str_from_c(name));
	p = put(p, STR("\":"));
	return put_number(p, n);
}

/* In seconds, as all its kind. */
static char *put_time(char *p, const char *name, uint64_t us)
{
	char digits[8];

	p = put_member(p, name, us / 1000000);
	snprintf(digits, sizeof digits, ".%06u", (unsigned)(us % 1000000));
	return put(p, str_of(digits, 7));
}

static struct str protocol_name(const struct exchange *x)
{
	return x->facts.protocol == 20 ? STR("HTTP/2.0")
	       : x->facts.protocol == 10 ? STR("HTTP/1.0") : STR("HTTP/1.1");
}

static char *put_upstream(char *p, const struct x_facts *f)
{
	if (!f->upstream)
		return p;
	p = put_text(p, "upstream", UPSTREAM_BYTES, str_from_c(f->upstream));
	p = put_member(p, "tries", f->tries);
	p = put(p, f->upstream_reused ? STR(",\"reused\":true") : STR(",\"reused\":false"));
	if (f->queue_us)
		p = put_time(p, "queued", f->queue_us);
	if (f->connect_us)
		p = put_time(p, "connected", f->connect_us);
	return f->first_byte_us ? put_time(p, "first_byte", f->first_byte_us) : p;
}

static char *put_tls(char *p, const struct x_facts *f)
{
	if (!f->tls)
		return p;
	p = put_text(p, "tls", SHORT_BYTES,
		     f->tls_version == TLS_VERSION_13 ? STR("TLSv1.3") : STR("TLSv1.2"));
	p = put_text(p, "cipher", SHORT_BYTES, str_from_c(f->tls_cipher));
	return put_text(p, "sni", NAME_BYTES, f->sni);
}

/* RFC 3339, UTC; to the second, made once a second. */
static struct str utc(struct alog *l, int64_t wall_s)
{
	time_t t = (time_t)wall_s;
	struct tm tm;

	if (l->utc_s != wall_s && gmtime_r(&t, &tm)) {
		strftime(l->utc, sizeof l->utc, "%Y-%m-%dT%H:%M:%SZ", &tm);
		l->utc_s = wall_s;
	}
	return str_from_c(l->utc);
}

static size_t json_bytes(struct str s, size_t cap)
{
	return MIN(TEXT_JSON_MOST * s.n, cap);
}

static void write_json(struct alog *l, const struct exchange *x, const struct alog_about *about)
{
	const struct x_facts *f = &x->facts;
	const struct head *h = x->request;
	struct str referer = field(x, FIELD_REFERER), agent = field(x, FIELD_USER_AGENT);
	char *p = room(l, 1024 + CLIENT_BYTES + USER_BYTES + METHOD_BYTES + UPSTREAM_BYTES + 3 * NAME_BYTES +
				  3 * SHORT_BYTES + json_bytes(h ? h->path : STR_NONE, PATH_BYTES) +
				  json_bytes(referer, REFERER_BYTES) + json_bytes(agent, AGENT_BYTES));

	p = put(p, STR("{\"time\":\""));
	p = put(p, utc(l, f->wall_s ? f->wall_s : loop_wall_s()));
	p = put(p, STR("\""));
	p = put_text(p, "client", CLIENT_BYTES, about->client);
	p = put_text(p, "user", USER_BYTES, f->user);
	p = put_text(p, "vhost", NAME_BYTES, about->vhost);
	if (h) {
		p = put_text(p, "host", NAME_BYTES, h->authority);
		p = put_text(p, "method", METHOD_BYTES, h->method);
		p = put_text(p, "target", PATH_BYTES, h->path);
	}
	p = put_text(p, "protocol", SHORT_BYTES, protocol_name(x));
	p = put_member(p, "status", f->status ? f->status : STATUS_GONE);
	p = put_member(p, "request_bytes", f->request_bytes);
	p = put_member(p, "response_bytes", f->response_bytes);
	if (f->begin_us)
		p = put_time(p, "duration", loop_clock_us() - f->begin_us);
	if (x->tunnel)
		p = put(p, STR(",\"websocket\":true"));
	p = put_upstream(p, f);
	p = put_text(p, "error", SHORT_BYTES, f->error ? str_from_c(err_text(f->error)) : STR_NONE);
	p = put_text(p, "id", SHORT_BYTES, about->id);
	p = put_tls(p, f);
	p = put_text(p, "referer", REFERER_BYTES, referer);
	p = put_text(p, "user_agent", AGENT_BYTES, agent);
	p = put(p, STR("}\n"));
	l->n = (size_t)(p - l->bytes);
}

void alog_line(struct alog *l, const struct exchange *x, const struct alog_about *about)
{
	if (l->fd < 0)
		return;
	if (about->json)
		write_json(l, x, about);
	else
		write_combined(l, x, about->client);
	if (!l->hooked)
		loop_hook_add(&l->hook, turn_ends);
	l->hooked = true;
}
