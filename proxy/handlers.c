/* Which function handles which message, by role: one look at what a role listens to. */
#include "proxy/acmechild.h"
#include "proxy/helper.h"
#include "proxy/parent/parent.h"
#include "proxy/resolver.h"
#include "proxy/trial.h"
#include "proxy/worker/worker.h"

const struct msg_handlers handlers_parent = {
#define X(NAME, name, from, to, min, max, fds) .on[MSG_##NAME] = parent_on_##name,
	MSG_UP_TABLE(X)
#undef X
};

const struct msg_handlers handlers_worker = {
#define X(NAME, name, from, to, min, max, fds) .on[MSG_##NAME] = worker_on_##name,
	MSG_DOWN_TABLE(X)
#undef X
};

const struct msg_handlers handlers_trial = {
	.on[MSG_LOAD] = trial_on_load,
};

const struct msg_handlers handlers_resolver = {
	.on[MSG_BEGIN] = helper_on_begin,
	.on[MSG_LOGFILE] = helper_on_logfile,
	.on[MSG_STATUS] = helper_on_status,
	.on[MSG_DRAIN] = helper_on_drain,
	.on[MSG_NAME] = resolver_on_name,
	.on[MSG_NAME_GONE] = resolver_on_name_gone,
};

const struct msg_handlers handlers_acme = {
	.on[MSG_BEGIN] = helper_on_begin,
	.on[MSG_LOGFILE] = helper_on_logfile,
	.on[MSG_STATUS] = helper_on_status,
	.on[MSG_DRAIN] = helper_on_drain,
	.on[MSG_ACME_LOAD] = acmechild_on_acme_load,
	.on[MSG_STORED] = acmechild_on_stored,
	.on[MSG_CHALLENGE_READY] = acmechild_on_challenge_ready,
	.on[MSG_ACME_DO] = acmechild_on_acme_do,
};
