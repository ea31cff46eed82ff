#include "proxy/parent/handover.h"
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/uio.h>

static const struct {
	const char *word;
	bool has_fd;
} words[HANDOVER_COUNT] = {
#define X(word, has_fd) { #word, has_fd },
	HANDOVER_TABLE(X)
#undef X
};

/* ---- writing ---- */

void handover_put(FILE *f, enum handover_word word, int fd, const char *fmt, ...)
{
	char *rest = NULL;
	va_list ap;
	int n;

	BUG_ON((fd >= 0) != words[word].has_fd);
	va_start(ap, fmt);
	n = vasprintf(&rest, fmt, ap);
	va_end(ap);
	BUG_ON(n < 0);
	if (!strchr(rest, '\n'))
		fprintf(f, "%s %d %s\n", words[word].word, fd, rest);
	explicit_bzero(rest, (size_t)n);
	free(rest);
}

char *handover_hex(const void *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *from = bytes;
	char *hex = base_alloc(2 * n + 1);

	for (size_t i = 0; i < n; i++) {
		hex[2 * i] = digits[from[i] >> 4];
		hex[2 * i + 1] = digits[from[i] & 15];
	}
	hex[2 * n] = 0;
	return hex;
}

/* ---- reading ---- */

struct str handover_cut(struct str *rest)
{
	const char *space = rest->n ? memchr(rest->p, ' ', rest->n) : NULL;
	struct str first = space ? str_of(rest->p, (size_t)(space - rest->p)) : *rest;
	size_t used = first.n + (space != NULL);

	*rest = str_of(rest->p + used, rest->n - used);
	return first;
}

static enum handover_word find(struct str word)
{
	enum handover_word w = 0;

	while (w < HANDOVER_COUNT && !str_eq(word, str_from_c(words[w].word)))
		w++;
	return w;
}

/* A line that is not of the form has neither word nor descriptor. */
static struct handover_row parse(struct str line)
{
	struct handover_row row = { HANDOVER_COUNT, -1, STR_NONE };
	struct str word = handover_cut(&line), fd = handover_cut(&line);
	uint64_t n = 0;
	bool has_fd = str_to_u64(fd, INT_MAX, &n);

	if (!has_fd && !str_eq(fd, STR("-1")))
		return row;
	row.word = find(word);
	row.fd = has_fd ? (int)n : -1;
	row.rest = line;
	if (row.word < HANDOVER_COUNT && words[row.word].has_fd != has_fd)
		row.word = HANDOVER_COUNT;
	return row;
}

bool handover_next(struct str *text, struct handover_row *row)
{
	const char *end = text->n ? memchr(text->p, '\n', text->n) : NULL;
	size_t n;

	if (!end)
		return false;
	n = (size_t)(end - text->p);
	*row = parse(str_of(text->p, n));
	*text = str_of(end + 1, text->n - n - 1);
	return true;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool handover_unhex(struct str text, void *out, size_t n)
{
	uint8_t *to = out;

	if (text.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = digit(text.p[2 * i]), low = digit(text.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		to[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* ---- what they say ---- */

void handover_say(int fd, const char *word, struct str text)
{
	struct iovec iov[] = {
		{ (void *)(uintptr_t)word, strlen(word) },
		{ (void *)(uintptr_t)" ", text.n ? 1 : 0 },
		{ (void *)(uintptr_t)text.p, MIN(text.n, (size_t)HANDOVER_SAY_MAX / 2) },
	};
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };

	(void)!sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int handover_hear(int fd, char *buf, struct str *said)
{
	ssize_t n;

	do
		n = recv(fd, buf, HANDOVER_SAY_MAX, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		*said = str_of(buf, (size_t)n);
	return n > 0 ? 1 : n < 0 && errno == EAGAIN ? 0 : -1;
}
