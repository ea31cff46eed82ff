#include "acme/probe.h"
#include "acme/cert.h"
#include "core/log.h"
#include "tls/tls.h"
#include <netdb.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
	LIFE_S = 8,   /* of the process, whatever it waits for */
	WAIT_S = 2,   /* for an address to do the next thing */
	ADDRESSES_MAX = 4,
	ANSWER_BYTES = 8192,
};

struct probe {
	enum conf_acme_challenge challenge;
	char name[256];
	struct str token, content;
	char address[NI_MAXHOST];
};

static const char *port_of(const struct probe *p)
{
	return p->challenge == CONF_ACME_HTTP_01 ? "80" : "443";
}

/* Of one address; why: NULL, all is well. */
static void advise(const struct probe *p, const char *why)
{
	if (!why)
		log_info("%s: its challenge can be seen at %s, port %s", p->name, p->address, port_of(p));
	else
		log_note("%s: advice: at %s, port %s, %s; should the CA find the same: let that port through "
			 "to this machine (behind a NAT it may be different from here)",
			 p->name, p->address, port_of(p), why);
}

/* ---- http-01 ---- */

static const char *look_http(const struct probe *p, int fd)
{
	char text[ANSWER_BYTES + 1];
	const char *body;
	size_t n = 0;
	ssize_t r;
	int asked;

	asked = snprintf(text, sizeof text,
			 "GET /.well-known/acme-challenge/%.*s HTTP/1.1\r\nHost: %s\r\n"
			 "User-Agent: gatehouse\r\nConnection: close\r\n\r\n", STR_ARG(p->token), p->name);
	if (send(fd, text, (size_t)asked, MSG_NOSIGNAL) != asked)
		return "nobody takes a request";
	while (n < ANSWER_BYTES && (r = recv(fd, text + n, ANSWER_BYTES - n, 0)) > 0)
		n += (size_t)r;
	text[n] = 0;
	body = strstr(text, "\r\n\r\n");
	if (strncmp(text, "HTTP/1.", 7) != 0 || !body)
		return "what answers does not speak HTTP";
	return str_eq(str_trim(str_from_c(body + 4)), p->content) ? NULL : "something else answers";
}

/* ---- tls-alpn-01 ---- */

static const char *judge(const struct probe *p, SSL *ssl)
{
	const unsigned char *alpn;
	unsigned n;
	X509 *cert;
	unsigned char *der = NULL;
	struct arena a;
	struct str mine;
	int der_n;
	bool same;

	SSL_get0_alpn_selected(ssl, &alpn, &n);
	if (!str_eq(str_of((const char *)alpn, n), TLS_ACME_PROTOCOL))
		return "something else answers";
	arena_init(&a);
	mine = acme_cert_der(&a, p->content);
	cert = SSL_get0_peer_certificate(ssl);
	der_n = cert ? i2d_X509(cert, &der) : -1;
	same = der_n > 0 && str_eq(mine, str_of((const char *)der, (size_t)der_n));
	OPENSSL_free(der);
	arena_fini(&a);
	return same ? NULL : "somebody else answers the challenge";
}

static const char *look_tls(const struct probe *p, int fd)
{
	static const unsigned char offer[] = "\x0a" "acme-tls/1";
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = ctx ? SSL_new(ctx) : NULL;
	const char *why = "something answers that does not speak TLS, or not for this name";

	if (ssl && SSL_set_fd(ssl, fd) && SSL_set_tlsext_host_name(ssl, p->name) &&
	    SSL_set_alpn_protos(ssl, offer, sizeof offer - 1) == 0 && SSL_connect(ssl) == 1)
		why = judge(p, ssl);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	return why;
}

/* ---- both ---- */

static void look_at(struct probe *p, const struct addrinfo *a)
{
	const struct timeval wait = { .tv_sec = WAIT_S };
	char why[128];
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (getnameinfo(a->ai_addr, a->ai_addrlen, p->address, sizeof p->address, NULL, 0, NI_NUMERICHOST))
		snprintf(p->address, sizeof p->address, "?");
	if (fd < 0)
		return; /* a family that this machine does not have */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	if (connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
		snprintf(why, sizeof why, "nobody answers (%s)",
			 errno == EINPROGRESS ? "timed out" : strerror(errno));
		advise(p, why);
	} else {
		advise(p, p->challenge == CONF_ACME_HTTP_01 ? look_http(p, fd) : look_tls(p, fd));
	}
	close(fd);
}

NORETURN static void run(struct probe *p)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *all = NULL;
	unsigned n = 0;
	int r;

	alarm(LIFE_S);
	r = getaddrinfo(p->name, port_of(p), &hints, &all);
	if (r)
		log_note("%s: advice: this name is not found from here (%s): the CA needs it to lead to this "
			 "machine", p->name, gai_strerror(r));
	for (const struct addrinfo *a = r ? NULL : all; a && n < ADDRESSES_MAX; a = a->ai_next, n++)
		look_at(p, a);
	_exit(EXIT_SUCCESS);
}

void acme_probe_keep(struct acme_proof *p, enum conf_acme_challenge challenge, struct str text)
{
	char *copy = base_alloc(text.n);

	acme_probe_drop(p);
	memcpy(copy, text.p, text.n);
	*p = (struct acme_proof){ challenge, str_of(copy, text.n) };
}

void acme_probe_drop(struct acme_proof *p)
{
	free((char *)(uintptr_t)p->text.p);
	*p = (struct acme_proof){ .text = STR_NONE };
}

void acme_probe_look(struct acme_proof *proof)
{
	struct probe p = { .challenge = proof->challenge };
	struct str name = STR_NONE;
	bool is_whole;

	p.content = proof->text;
	is_whole = str_take_text(&p.content, &name) && str_take_text(&p.content, &p.token);
	snprintf(p.name, sizeof p.name, "%.*s", STR_ARG(name));
	if (is_whole && proof->challenge != CONF_ACME_DNS_01 && fork() == 0) {
		(void)close_range(STDERR_FILENO + 1, ~0U, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		run(&p);
	}
	acme_probe_drop(proof);
}
