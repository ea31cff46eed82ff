/*
 * Any bytes as configuration files (several, divided by a line "%%"): loaded or refused with a report that
 * can be printed, the whole in one go and in pieces.
 */
#include "conf/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char mark[] = "\n%%\n";
	struct conf_source src[8];
	struct str rest = str_of((const char *)data, size);
	struct conf_loader *l;
	struct conf_report r;
	struct config *c;
	size_t n = 0;
	FILE *out;

	while (n < ARRAY_SIZE(src)) {
		const char *end = rest.n ? memmem(rest.p, rest.n, mark, sizeof mark - 1) : NULL;
		size_t bytes = end ? (size_t)(end - rest.p) : rest.n;

		src[n++] = (struct conf_source){ STR("conf"), str_of(rest.p, bytes) };
		if (!end)
			break;
		rest = str_of(end + sizeof mark - 1, rest.n - bytes - (sizeof mark - 1));
	}
	conf_report_init(&r);
	c = conf_load(src, n, NULL, &r);
	BUG_ON((c == NULL) != (r.counts[CONF_ERROR] > 0));
	out = fopen("/dev/null", "w");
	if (out) {
		conf_report_print(&r, CONF_NOTE, out);
		fclose(out);
	}
	conf_put(c);
	conf_report_fini(&r);

	conf_report_init(&r);
	l = conf_load_open(src, n, NULL, &r);
	for (size_t steps = size % 16; steps && !conf_load_step(l, 1); steps--)
		;
	conf_put(conf_load_close(l));
	conf_report_fini(&r);
	return 0;
}
