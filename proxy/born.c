#include "proxy/born.h"
#include "conf/bundle.h"
#include "core/log.h"
#include "proxy/child.h"
#include "proxy/privilege.h"
#include "proxy/sandbox.h"
#include "tls/tls.h"
#include <sys/prctl.h>
#include <unistd.h>

bool born_begin(struct msg_channel *c, enum msg_role role, const struct msg_handlers *handlers,
		void (*ended)(struct msg_channel *c, const char *why))
{
	const char *wrong;

	/* what `top` shows: exec by descriptor left a number there */
	prctl(PR_SET_NAME, "gatehouse", 0, 0, 0);
	priv_seal();
	log_open(STDERR_FILENO, LOG_LEVEL_NOTE, role == MSG_WORKER ? "worker" : "trial");
	if (loop_open() < 0)
		return false;
	tls_init();
	wrong = sandbox_enter(role == MSG_WORKER ? SANDBOX_WORKER : SANDBOX_TRIAL);
	if (wrong) {
		log_error("cannot start without its sandbox: %s: %s", wrong, strerror(errno));
		return false;
	}
	return msg_open(c, CHILD_SOCKET, role, MSG_PARENT, handlers, ended) == 0;
}

void born_failed(struct msg_channel *c, uint64_t generation, struct str text)
{
	struct msg_generation m = { generation };

	if (!text.n)
		text = STR("it cannot be loaded");
	text.n = MIN(text.n, (size_t)MSG_TEXT_MAX);
	msg_send2(c, MSG_FAILED, &m, sizeof m, text, -1);
}

struct config *born_load(struct msg_channel *c, uint64_t generation, int fd)
{
	struct conf_report r;
	struct config *conf;
	char *text = NULL;
	size_t n = 0;
	FILE *f;

	conf_report_init(&r);
	conf = conf_from_bundle(fd, &r);
	if (conf) {
		conf->generation = generation;
	} else {
		f = open_memstream(&text, &n);
		if (f) {
			conf_report_print(&r, CONF_ERROR, f);
			fclose(f);
		}
		born_failed(c, generation, str_of(text, n));
		free(text);
	}
	conf_report_fini(&r);
	return conf;
}
