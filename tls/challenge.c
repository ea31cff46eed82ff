/*
 * challenge.c - how a CA is shown whose name it is: tls-alpn-01 (RFC 8737).
 */
#include "tls/priv.h"

struct tls_challenge {
	struct list node;
	uint32_t id;
	struct tls_context *context;
	struct str name;
	char text[];
};

bool tls_challenge_add(uint32_t id, struct str name, struct str pem)
{
	const struct tls_file both = { .name = { .text = name }, .pem = pem };
	const struct tls_pair_files pair = { both, both };
	const struct tls_files files = { .pairs = &pair, .npairs = 1 };
	const struct tls_policy policy = { .alpn = TLS_ACME_PROTOCOL };
	struct tls_challenge *c;
	struct tls_context *context;
	struct conf_report r;

	conf_report_init(&r);
	context = tls_context_new(&files, &policy, &r);
	conf_report_fini(&r);
	if (!context)
		return false;
	c = base_zalloc(sizeof *c + name.n);
	c->id = id;
	c->context = context;
	memcpy(c->text, name.p, name.n);
	c->name = str_of(c->text, name.n);
	list_push_front(&tls_w->challenges, &c->node);
	return true;
}

static void drop(struct tls_challenge *c)
{
	list_del(&c->node);
	tls_context_put(c->context);
	free(c);
}

void tls_challenge_drop(uint32_t id)
{
	list_for_each_safe(n, tmp, &tls_w->challenges) {
		struct tls_challenge *c = list_entry(n, struct tls_challenge, node);

		if (c->id == id)
			drop(c);
	}
}

void tls_challenge_fini(void)
{
	list_for_each_safe(n, tmp, &tls_w->challenges)
		drop(list_entry(n, struct tls_challenge, node));
}

/* RFC 8737 section 3: a list of just this one (RFC 7301 section 3.1). */
static bool offers_it_alone(SSL *ssl)
{
	static const unsigned char alone[] = "\x00\x0b\x0a" "acme-tls/1";
	const unsigned char *p;
	size_t n;

	return SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &p, &n) &&
	       n == sizeof alone - 1 && memcmp(p, alone, n) == 0;
}

const struct tls_context *tls_challenge_find(SSL *ssl, struct str sni)
{
	if (list_empty(&tls_w->challenges) || !offers_it_alone(ssl))
		return NULL;
	list_for_each(n, &tls_w->challenges) {
		const struct tls_challenge *c = list_entry(n, struct tls_challenge, node);

		if (str_eq(c->name, sni))
			return c->context;
	}
	return NULL;
}
