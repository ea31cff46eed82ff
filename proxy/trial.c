#include "proxy/trial.h"
#include "core/log.h"
#include "proxy/born.h"
#include "proxy/site.h"
#include "tls/tls.h"

static void warn(void *arg, const char *line)
{
	(void)arg;
	log_warn("%s", line);
}

bool trial_on_load(struct msg_channel *c, struct msg_in *m)
{
	const struct msg_generation *g = m->data;
	struct config *conf = born_load(c, g->generation, m->fd);
	char why[MSG_TEXT_MAX];
	struct site *s;

	if (!conf)
		return true;
	s = site_new(conf, why, sizeof why);
	if (s) {
		site_warnings(s, warn, NULL);
		site_put(s);
		msg_send(c, MSG_READY, g, sizeof *g, -1);
	} else {
		born_failed(c, g->generation, str_from_c(why));
	}
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
