#include "proxy/trial.h"
#include "conf/bundle.h"
#include "proxy/born.h"
#include "proxy/worker/site.h"
#include "tls/tls.h"

bool trial_on_load(struct msg_channel *c, struct msg_in *m)
{
	const struct msg_generation *g = m->data;
	struct conf_report r;
	struct config *conf;

	conf_report_init(&r);
	conf = conf_from_bundle_anyhow(m->fd, &r);
	if (conf)
		site_try(conf, &r);
	if (r.counts[CONF_ERROR]) {
		born_failed(c, g->generation, &r);
	} else {
		born_warn(c, g->generation, &r);
		msg_send(c, MSG_READY, g, sizeof *g, -1);
	}
	conf_report_fini(&r);
	return true;
}

static void over(struct msg_channel *c, const char *why)
{
	(void)c, (void)why;
	loop_stop();
}

int trial_run(void)
{
	struct msg_channel parent;

	if (!born_begin(&parent, MSG_TRIAL, &handlers_trial, over))
		return EXIT_FAILURE;
	loop_run();
	tls_fini();
	loop_close();
	return EXIT_SUCCESS;
}
