#include "proxy/helper.h"
#include "core/log.h"
#include "proxy/born.h"
#include "proxy/parent/child.h"
#include <unistd.h>

bool helper_on_begin(struct msg_channel *c, struct msg_in *m)
{
	const struct msg_begin *b = m->data;

	if (b->log_level > LOG_LEVEL_DEBUG)
		return false;
	log_open(STDERR_FILENO, (enum log_level)b->log_level, child_role_name((enum msg_role)c->self));
	return true;
}

bool helper_on_logfile(struct msg_channel *c, struct msg_in *m)
{
	const struct msg_logfile *l = m->data;

	(void)c;
	return l->index == MSG_LOG_ERROR && born_set_error_log(m->fd);
}

bool helper_on_status(struct msg_channel *c, struct msg_in *m)
{
	(void)m;
	msg_send(c, MSG_ALIVE, NULL, 0, -1);
	return true;
}

bool helper_on_drain(struct msg_channel *c, struct msg_in *m)
{
	(void)c, (void)m;
	loop_stop();
	return true;
}

void helper_ended(struct msg_channel *c, const char *why)
{
	(void)c;
	if (why)
		log_error("the parent is not understood: %s", why);
	loop_stop();
}
