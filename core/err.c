#include "core/err.h"

static const struct {
	int status;
	const char *name, *text;
} rows[ERR_COUNT] = {
#define X(name_, status_, text_) [ERR_##name_] = { status_, #name_, text_ },
	ERR_TABLE(X)
#undef X
};

int err_status(enum err e)
{
	BUG_ON((unsigned)e >= ERR_COUNT);
	return rows[e].status;
}

const char *err_text(enum err e)
{
	BUG_ON((unsigned)e >= ERR_COUNT);
	return rows[e].text;
}

const char *err_name(enum err e)
{
	BUG_ON((unsigned)e >= ERR_COUNT);
	return rows[e].name;
}

enum err err_from_errno(int e)
{
	switch (e) {
	case EAGAIN:
		return ERR_AGAIN;
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE:
		return ERR_RESET;
	}
	return ERR_IO;
}
