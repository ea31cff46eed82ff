#include "proxy/acmechild.h"
#include "acme/agent.h"
#include "conf/bundle.h"
#include "core/log.h"
#include "core/loop.h"
#include "proxy/born.h"
#include "proxy/helper.h"
#include "tls/tls.h"

struct acmechild {
	struct msg_channel parent;
	struct acme_agent agent;
};

static struct acme_agent *agent_of(struct msg_channel *c)
{
	return &container_of(c, struct acmechild, parent)->agent;
}

/* What is behind a message's fixed part of n bytes. */
static struct str rest(const struct msg_in *m, size_t n)
{
	return str_of((const char *)m->data + n, m->n - n);
}

bool acmechild_on_acme_load(struct msg_channel *c, struct msg_in *m)
{
	struct conf_report r;
	struct config *conf;

	conf_report_init(&r);
	/* workers serve it, so it is good; only their files are not in this bundle */
	conf = conf_from_bundle_anyhow(m->fd, &r);
	conf_report_fini(&r);
	if (!conf)
		return false;
	acme_agent_load(agent_of(c), conf);
	return true;
}

bool acmechild_on_stored(struct msg_channel *c, struct msg_in *m)
{
	const struct msg_stored *s = m->data;

	acme_agent_stored(agent_of(c), s->id, s->error);
	return true;
}

bool acmechild_on_challenge_ready(struct msg_channel *c, struct msg_in *m)
{
	const struct msg_challenge_ready *r = m->data;

	acme_agent_challenge_ready(agent_of(c), r->id, r->error, rest(m, sizeof *r));
	return true;
}

bool acmechild_on_acme_do(struct msg_channel *c, struct msg_in *m)
{
	const struct msg_acme_do *d = m->data;
	struct str id = rest(m, sizeof *d);

	if (d->verb > MSG_ACME_REVOKE)
		return false;
	if (!acme_agent_do(agent_of(c), (enum msg_acme_verb)d->verb, id))
		log_warn("there is no certificate %.*s", STR_ARG(id));
	return true;
}

int acmechild_run(void)
{
	struct acmechild a;

	if (!born_begin(&a.parent, MSG_ACME, &handlers_acme, helper_ended))
		return EXIT_FAILURE;
	acme_agent_open(&a.agent, &a.parent);
	loop_run();
	acme_agent_close(&a.agent);
	msg_close(&a.parent);
	tls_fini();
	loop_close();
	return EXIT_SUCCESS;
}
