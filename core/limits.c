#include "core/limits.h"

const struct timeouts timeouts_default = {
#define X(field, key, dflt, what) .field = (dflt),
	TIMEOUT_TABLE(X)
#undef X
};

const struct limits limits_default = {
#define X(field, key, dflt, what) .field = (dflt),
	LIMIT_TABLE(X)
#undef X
};
