#include "proxy/born.h"
#include "conf/bundle.h"
#include "core/log.h"
#include "proxy/parent/child.h"
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
	log_open(STDERR_FILENO, LOG_LEVEL_NOTE, child_role_name(role));
	if (loop_open() < 0)
		return false;
	if (role != MSG_RESOLVER)
		tls_init();
	wrong = sandbox_enter(role);
	if (wrong) {
		log_error("cannot start without its sandbox: %s: %s", wrong, strerror(errno));
		return false;
	}
	return msg_open(c, CHILD_SOCKET, role, MSG_PARENT, handlers, ended) == 0;
}

bool born_set_error_log(int fd)
{
	bool ok = dup2(fd, STDERR_FILENO) >= 0;

	if (ok)
		log_set_fd(STDERR_FILENO);
	return ok;
}

static void tell(struct msg_channel *c, enum msg_type type, uint64_t generation, const struct conf_report *r)
{
	struct msg_generation m = { generation };
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	BUG_ON(!f);
	conf_report_print(r, CONF_WARNING, f);
	BUG_ON(fclose(f) != 0);
	msg_send2(c, type, &m, sizeof m, str_of(text, MIN(n, (size_t)MSG_TEXT_MAX)), -1);
	free(text);
}

void born_failed(struct msg_channel *c, uint64_t generation, const struct conf_report *r)
{
	BUG_ON(!r->counts[CONF_ERROR]);
	tell(c, MSG_FAILED, generation, r);
}

void born_warn(struct msg_channel *c, uint64_t generation, const struct conf_report *r)
{
	if (r->counts[CONF_WARNING])
		tell(c, MSG_WARNINGS, generation, r);
}
