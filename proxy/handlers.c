/* Which function handles which message, by role: one look at what a role listens to. */
#include "proxy/parent.h"
#include "proxy/trial.h"
#include "proxy/worker.h"

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
