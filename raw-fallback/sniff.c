#include "raw-fallback/sniff.h"

/*
 * What the first bytes of a text protocol are compared with, each with what it decides. HTTP methods are
 * those of IANA's registry; an unregistered one is served on listeners that do not sniff.
 */
#define SNIFF_TEXTS(X)                                                                         \
	X("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", SNIFF_H2)                                        \
	X("SSH-", SNIFF_SSH)                                                                   \
	X("GET ", SNIFF_HTTP) X("HEAD ", SNIFF_HTTP) X("POST ", SNIFF_HTTP)                    \
	X("PUT ", SNIFF_HTTP) X("DELETE ", SNIFF_HTTP) X("OPTIONS ", SNIFF_HTTP)               \
	X("PATCH ", SNIFF_HTTP) X("CONNECT ", SNIFF_HTTP) X("TRACE ", SNIFF_HTTP)              \
	X("QUERY ", SNIFF_HTTP) X("SEARCH ", SNIFF_HTTP) X("REPORT ", SNIFF_HTTP)              \
	X("PROPFIND ", SNIFF_HTTP) X("PROPPATCH ", SNIFF_HTTP) X("MKCOL ", SNIFF_HTTP)         \
	X("COPY ", SNIFF_HTTP) X("MOVE ", SNIFF_HTTP) X("LOCK ", SNIFF_HTTP)                   \
	X("UNLOCK ", SNIFF_HTTP) X("ACL ", SNIFF_HTTP) X("BIND ", SNIFF_HTTP)                  \
	X("UNBIND ", SNIFF_HTTP) X("REBIND ", SNIFF_HTTP) X("LINK ", SNIFF_HTTP)               \
	X("UNLINK ", SNIFF_HTTP) X("LABEL ", SNIFF_HTTP) X("MERGE ", SNIFF_HTTP)               \
	X("UPDATE ", SNIFF_HTTP) X("CHECKIN ", SNIFF_HTTP) X("CHECKOUT ", SNIFF_HTTP)          \
	X("UNCHECKOUT ", SNIFF_HTTP) X("MKACTIVITY ", SNIFF_HTTP) X("MKCALENDAR ", SNIFF_HTTP) \
	X("MKREDIRECTREF ", SNIFF_HTTP) X("MKWORKSPACE ", SNIFF_HTTP)                          \
	X("BASELINE-CONTROL ", SNIFF_HTTP) X("ORDERPATCH ", SNIFF_HTTP)                        \
	X("UPDATEREDIRECTREF ", SNIFF_HTTP) X("VERSION-CONTROL ", SNIFF_HTTP)

static enum sniff sniff_text(const char *p, size_t n)
{
	static const struct {
		struct str text;
		enum sniff answer;
	} rows[] = {
#define X(text, answer) { { text, sizeof(text) - 1 }, answer },
		SNIFF_TEXTS(X)
#undef X
	};
	enum sniff result = SNIFF_RAW;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct str t = rows[i].text;

		if (memcmp(p, t.p, MIN(n, t.n)) != 0)
			continue;
		if (n >= t.n)
			return rows[i].answer;
		/* "S" and "SS" begin SSH- as well as SEARCH */
		result = SNIFF_AGAIN;
	}
	return result;
}

/* Handshake record, version 3.x, a length that a first record can have, ClientHello: byte by byte. */
static enum sniff sniff_tls(const uint8_t *p, size_t n)
{
	enum { LENGTH_MAX = 16384 };

	if (n >= 2 && p[1] != 3)
		return SNIFF_RAW;
	if (n >= 3 && p[2] > 4)
		return SNIFF_RAW;
	if (n >= 5 && ((p[3] << 8 | p[4]) < 4 || (p[3] << 8 | p[4]) > LENGTH_MAX))
		return SNIFF_RAW;
	if (n < 6)
		return SNIFF_AGAIN;
	return p[5] == 1 ? SNIFF_TLS : SNIFF_RAW;
}

enum sniff sniff_bytes(const void *bytes, size_t n)
{
	const char *p = bytes;
	size_t lines = 0;

	if (n && p[0] == 0x16)
		return sniff_tls(bytes, n);
	/* empty lines before a request line are ignored (RFC 9112 section 2.2), here a few of them */
	while (n && lines < 2 && p[0] == '\r') {
		if (n == 1)
			return SNIFF_AGAIN;
		if (p[1] != '\n')
			return SNIFF_RAW;
		p += 2;
		n -= 2;
		lines++;
	}
	return n ? sniff_text(p, n) : SNIFF_AGAIN;
}

const char *sniff_name(enum sniff s)
{
	switch (s) {
	case SNIFF_AGAIN: return "undecided";
	case SNIFF_TLS: return "TLS";
	case SNIFF_HTTP: return "HTTP/1";
	case SNIFF_H2: return "HTTP/2";
	case SNIFF_SSH: return "ssh";
	case SNIFF_RAW: return "raw";
	}
	return "?";
}
