#include "core/log.h"
#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/*
 * A pipe that poll calls writable takes this much at once, without blocking (PIPE_BUF); so do sockets and
 * terminals in practice.
 */
enum { LINE_BYTES = 4096, ROLE_BYTES = 32 };

enum style {
	STYLE_PLAIN,
	STYLE_JOURNAL,
	STYLE_SYSLOG,
};

static struct state {
	int fd;
	enum style style;
	struct sockaddr_un syslog; /* where it listens */
	enum log_level max;
	char role[ROLE_BYTES];
	uint64_t dropped, told; /* lines dropped since the start, and how many of them a line spoke of */
	bool torn;              /* the last write ended within a line */
} state = { .fd = -1 };

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARN] = "warn",   [LOG_LEVEL_NOTE] = "note",
	[LOG_LEVEL_INFO] = "info",   [LOG_LEVEL_DEBUG] = "debug",
};

/* RFC 5424 section 6.2.1 */
static const int severities[] = {
	[LOG_LEVEL_ERROR] = 3, [LOG_LEVEL_WARN] = 4,  [LOG_LEVEL_NOTE] = 5,
	[LOG_LEVEL_INFO] = 6,  [LOG_LEVEL_DEBUG] = 7,
};

enum { FACILITY_DAEMON = 3 << 3 };

/* systemd.exec(5): "device:inode" of the stream that it made standard error. */
static bool is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char name[64];
	struct stat st;

	if (!stream || fstat(fd, &st) < 0)
		return false;
	snprintf(name, sizeof name, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(stream, name) == 0;
}

static enum style style_of(int fd)
{
	int type = 0;
	socklen_t n = sizeof type, peer_bytes = sizeof state.syslog;

	state.syslog = (struct sockaddr_un){ 0 };
	if (fd < 0)
		return STYLE_PLAIN;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_DGRAM) {
		(void)!getpeername(fd, (struct sockaddr *)&state.syslog, &peer_bytes);
		return STYLE_SYSLOG;
	}
	return is_journal(fd) ? STYLE_JOURNAL : STYLE_PLAIN;
}

void log_open(int fd, enum log_level max, const char *role)
{
	state.max = max;
	log_set_fd(fd);
	snprintf(state.role, sizeof state.role, "%s", role);
	tzset(); /* gmtime_r does it at first use, and that may be too late to read a file */
}

void log_set_fd(int fd)
{
	state.fd = fd;
	state.style = style_of(fd);
	state.torn = false;
}

void log_set_level(enum log_level max)
{
	state.max = max;
}

bool log_is_on(enum log_level l)
{
	return state.fd >= 0 && l <= state.max;
}

uint64_t log_dropped(void)
{
	return state.dropped;
}

/* Escapes from s what is_bad says, into out; an escape that does not fit whole ends it. */
static size_t escape(char *out, size_t cap, struct str s, bool (*is_bad)(unsigned char c))
{
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (n + (is_bad(c) ? 4 : 1) > cap)
			break;
		if (is_bad(c)) {
			memcpy(out + n, (const char[]){ '\\', 'x', digits[c >> 4], digits[c & 15] }, 4);
			n += 4;
		} else {
			out[n++] = (char)c;
		}
	}
	return n;
}

/* Bytes from 0x80 on may be control characters to a terminal. */
static bool breaks_line(unsigned char c)
{
	return c < 0x20 || c >= 0x7f;
}

static bool breaks_quotes(unsigned char c)
{
	return breaks_line(c) || c == '"' || c == '\\';
}

bool log_gate_pass(struct log_gate *g, uint64_t now_ms, unsigned most, uint64_t *unsaid)
{
	if (!g->since_ms || now_ms - g->since_ms >= LOG_GATE_MS) {
		g->since_ms = now_ms;
		g->said = 0;
	}
	if (g->said >= most) {
		g->unsaid++;
		return false;
	}
	g->said++;
	*unsaid = g->unsaid;
	g->unsaid = 0;
	return true;
}

size_t log_escape(char *out, size_t cap, struct str s)
{
	return escape(out, cap, s, breaks_quotes);
}

/* "<29>Jan  9 12:34:56 gatehouse[123]: role: ": RFC 3164 section 4.1; the host is the daemon's to add */
static size_t put_syslog_prefix(char *out, size_t cap, enum log_level l)
{
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t now = time(NULL);
	struct tm tm = { 0 };

	localtime_r(&now, &tm);
	return (size_t)snprintf(out, cap, "<%d>%s %2d %02d:%02d:%02d gatehouse[%d]: %s: ",
				FACILITY_DAEMON | severities[l], months[tm.tm_mon], tm.tm_mday, tm.tm_hour,
				tm.tm_min, tm.tm_sec, (int)getpid(), state.role);
}

/* "2026-01-31T12:34:56.789Z level role: " */
static size_t put_prefix(char *out, size_t cap, enum log_level l)
{
	struct timespec now;
	struct tm tm;
	size_t n;

	if (state.style == STYLE_SYSLOG)
		return put_syslog_prefix(out, cap, l);
	if (state.style == STYLE_JOURNAL)
		return (size_t)snprintf(out, cap, "<%d>%s: ", severities[l], state.role);
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(out, cap, "%Y-%m-%dT%H:%M:%S", &tm);
	return n + (size_t)snprintf(out + n, cap - n, ".%03dZ %s %s: ", (int)(now.tv_nsec / 1000000),
				    level_names[l], state.role);
}

static bool would_block(void)
{
	struct pollfd p = { .fd = state.fd, .events = POLLOUT };

	/* The descriptor may be blocking, and must stay so: it is shared with whoever started us. */
	return poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT);
}

/* The daemon has been restarted: another socket is at its path. All processes share the descriptor. */
static bool reconnect(void)
{
	bool gone = errno == ECONNREFUSED || errno == ENOTCONN || errno == ECONNRESET;

	return gone && state.style == STYLE_SYSLOG &&
	       connect(state.fd, (struct sockaddr *)&state.syslog, sizeof state.syslog) == 0;
}

static void write_line(const char *line, size_t n)
{
	ssize_t r;

	if (would_block()) {
		state.dropped++;
		return;
	}
	do {
		r = write(state.fd, line, n);
	} while (r < 0 && errno == EINTR);
	if (r < 0 && reconnect())
		r = write(state.fd, line, n);
	if (r != (ssize_t)n) {
		state.dropped++;
		state.torn = state.torn || r > 0;
		return;
	}
	state.torn = false;
	state.told = state.dropped;
}

void log_line(enum log_level l, const char *fmt, ...)
{
	char line[LINE_BYTES], text[LINE_BYTES], more[64] = "";
	int saved_errno = errno;
	size_t n = 0, more_bytes, text_bytes;
	va_list args;
	int r;

	if (!log_is_on(l))
		return;
	va_start(args, fmt);
	r = vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	text_bytes = r < 0 ? 0 : MIN((size_t)r, sizeof text - 1);
	if (state.dropped != state.told)
		snprintf(more, sizeof more, " [lines lost before this one: %llu]",
			 (unsigned long long)(state.dropped - state.told));
	more_bytes = strlen(more);

	if (state.torn)
		line[n++] = '\n';
	n += put_prefix(line + n, sizeof line - n, l);
	n += escape(line + n, sizeof line - n - more_bytes - 1, str_of(text, text_bytes), breaks_line);
	memcpy(line + n, more, more_bytes);
	n += more_bytes;
	if (state.style != STYLE_SYSLOG)
		line[n++] = '\n';
	write_line(line, n);
	errno = saved_errno;
}
