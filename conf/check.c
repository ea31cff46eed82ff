#include "conf/check.h"

bool conf_check_print(struct conf_report *r, bool strict, FILE *out)
{
	size_t errors = r->counts[CONF_ERROR], warnings = r->counts[CONF_WARNING];

	conf_report_sort(r);
	conf_report_print(r, CONF_NOTE, out);
	fprintf(out, "%zu error%s, %zu warning%s%s\n", errors, errors == 1 ? "" : "s", warnings,
		warnings == 1 ? "" : "s", strict && warnings ? " (with --strict a warning is an error)" : "");
	return !errors && !(strict && warnings);
}
