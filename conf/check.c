#include "conf/check.h"
#include "conf/bundle.h"
#include <unistd.h>

bool conf_check_print(struct conf_report *r, bool strict, FILE *out)
{
	size_t errors = r->counts[CONF_ERROR], warnings = r->counts[CONF_WARNING];

	conf_report_sort(r);
	conf_report_print(r, CONF_NOTE, out);
	fprintf(out, "%zu error%s, %zu warning%s%s\n", errors, errors == 1 ? "" : "s", warnings,
		warnings == 1 ? "" : "s", strict && warnings ? " (with --strict a warning is an error)" : "");
	return !errors && !(strict && warnings);
}

bool conf_check(const char *path, bool strict, FILE *out)
{
	struct conf_report r;
	bool ok;
	int fd;

	conf_report_init(&r);
	fd = conf_make_bundle(path, &r, NULL);
	if (fd >= 0)
		close(fd);
	ok = conf_check_print(&r, strict, out);
	conf_report_fini(&r);
	return ok;
}
