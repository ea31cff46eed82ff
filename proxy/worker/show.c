#include "proxy/worker/show.h"

/* There is one row of it, and no more. */
static bool is_single(enum picture_kind kind)
{
	return kind == PICTURE_INSTANCE || kind == PICTURE_TOTAL;
}

/* ---- for terminals ---- */

static bool has_rows(const struct picture *p, enum picture_kind kind)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->rows[i].kind == kind)
			return true;
	return false;
}

/* What breaks a line or moves a terminal becomes '?'. */
static void put_padded(struct text *t, struct str s, size_t width, bool is_text)
{
	if (!is_text && s.n < width)
		text_printf(t, "%*s", (int)(width - s.n), "");
	for (size_t i = 0; i < s.n; i++)
		text_put(t, s.p[i] >= ' ' && s.p[i] < 0x7f ? str_of(s.p + i, 1) : STR("?"));
	if (is_text && s.n < width)
		text_printf(t, "%*s", (int)(width - s.n), "");
}

static void put_table(struct text *t, const struct picture *p, enum picture_kind kind)
{
	enum { COLUMNS_MAX = 16 };
	size_t n, width[COLUMNS_MAX];
	const struct show_column *c = show_columns(kind, &n);
	struct text cell = { 0 };

	BUG_ON(n > COLUMNS_MAX);
	for (size_t k = 0; k < n; k++)
		width[k] = strlen(c[k].heading);
	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; p->rows[i].kind == kind && k < n; k++) {
			cell.n = 0;
			c[k].cell(&cell, &p->rows[i]);
			width[k] = MAX(width[k], cell.n);
		}
	text_put(t, STR("\n"));
	for (size_t k = 0; k < n; k++) {
		text_put(t, k ? STR("  ") : STR(""));
		put_padded(t, str_from_c(c[k].heading), k + 1 == n && c[k].is_text ? 0 : width[k],
			   c[k].is_text);
	}
	text_put(t, STR("\n"));
	for (size_t i = 0; i < p->n; i++) {
		if (p->rows[i].kind != kind)
			continue;
		for (size_t k = 0; k < n; k++) {
			cell.n = 0;
			c[k].cell(&cell, &p->rows[i]);
			text_put(t, k ? STR("  ") : STR(""));
			put_padded(t, text_str(&cell), k + 1 == n && c[k].is_text ? 0 : width[k],
				   c[k].is_text);
		}
		text_put(t, show_is_alarming(&p->rows[i]) ? STR("  !\n") : STR("\n"));
	}
	free(cell.p);
}

void show_text(struct text *t, const struct picture *p, int64_t now_s)
{
	show_summary(t, p, now_s);
	for (enum picture_kind k = 0; k < PICTURE_KINDS; k++) {
		size_t n;

		if (show_columns(k, &n) && has_rows(p, k))
			put_table(t, p, k);
	}
}

/* ---- JSON ---- */

static void put_json_value(struct text *t, const struct picture_value *v, uint64_t n)
{
	const char *unit = "";

	if (v->format == PICTURE_US || v->format == PICTURE_SECONDS)
		unit = "_seconds";
	else if (v->format == PICTURE_BYTES && !str_ends(str_from_c(v->name), STR("_bytes")))
		unit = "_bytes";
	text_printf(t, ",\"%s%s\":", v->name, unit);
	if (v->format == PICTURE_BOOL)
		text_put(t, n ? STR("true") : STR("false"));
	else if (v->format == PICTURE_US)
		text_printf(t, "%llu.%06llu", (unsigned long long)n / 1000000,
			    (unsigned long long)n % 1000000);
	else
		text_number(t, n);
}

static void put_json_row(struct text *t, const struct picture_row *r)
{
	const struct picture_kind_info *k = &picture_kinds[r->kind];
	size_t begin = t->n;

	for (size_t i = 0; i < PICTURE_TEXTS && k->texts[i][0]; i++) {
		text_printf(t, ",\"%s\":", k->texts[i]);
		text_json(t, r->text[i]);
	}
	if (r->on_disk.p) {
		text_put(t, STR(",\"serial_on_disk\":"));
		text_json(t, r->on_disk);
	}
	for (size_t i = 0; i < k->nvalues; i++)
		put_json_value(t, &k->values[i], r->v[i]);
	t->p[begin] = '{'; /* instead of the first comma */
	text_put(t, STR("}"));
}

void show_json(struct text *t, const struct picture *p)
{
	for (enum picture_kind k = 0; k < PICTURE_KINDS; k++) {
		const char *comma = "";

		text_printf(t, "%s\"%s\":%s", k ? ",\n" : "{", picture_kinds[k].many,
			    is_single(k) ? "" : "[");
		for (size_t i = 0; i < p->n; i++) {
			if (p->rows[i].kind != k)
				continue;
			text_printf(t, "%s%s", comma, is_single(k) ? "" : "\n");
			put_json_row(t, &p->rows[i]);
			comma = ",";
		}
		if (is_single(k) && !has_rows(p, k))
			text_put(t, STR("null"));
		text_put(t, is_single(k) ? STR("") : STR("]"));
	}
	text_put(t, STR("}\n"));
}

/* ---- Prometheus ---- */

/* `NAME="TEXT"`, with what separates it from the one before. */
static void put_label(struct text *t, const char *name, struct str value, bool first)
{
	text_put(t, first ? STR("{") : STR(","));
	text_put(t, str_from_c(name));
	text_put(t, STR("=\""));
	text_label(t, value);
	text_put(t, STR("\""));
}

static void put_labels(struct text *t, const struct picture_row *r, const struct picture_value *v)
{
	const struct picture_kind_info *k = &picture_kinds[r->kind];
	size_t begin = t->n;

	/* the only one of its kind needs no name; its texts are told once */
	for (size_t i = 0; i < PICTURE_TEXTS && k->texts[i][0]; i++)
		if (!is_single(r->kind) || v->sort == PICTURE_ID)
			put_label(t, k->texts[i], r->text[i], t->n == begin);
	if (v->sort == PICTURE_ID) {
		struct text id = { 0 };

		text_number(&id, r->v[v - k->values]);
		put_label(t, v->name, text_str(&id), t->n == begin);
		free(id.p);
	}
	if (v->label[0]) {
		text_put(t, t->n == begin ? STR("{") : STR(","));
		text_put(t, str_from_c(v->label));
	}
	if (t->n > begin)
		text_put(t, STR("}"));
}

static void put_name(struct text *t, enum picture_kind kind, const struct picture_value *v)
{
	text_put(t, STR("gatehouse_"));
	if (!is_single(kind)) {
		text_put(t, str_from_c(picture_kinds[kind].name));
		text_put(t, STR("_"));
	}
	text_put(t, str_from_c(v->metric));
}

/* Microseconds as seconds. */
static void put_us(struct text *t, uint64_t us)
{
	char digits[8];

	text_number(t, us / 1000000);
	snprintf(digits, sizeof digits, ".%06u", (unsigned)(us % 1000000));
	text_put(t, str_of(digits, 7));
}

static void put_sample(struct text *t, const struct picture_row *r, const struct picture_value *v)
{
	uint64_t n = r->v[v - picture_kinds[r->kind].values];

	put_name(t, r->kind, v);
	put_labels(t, r, v);
	text_put(t, STR(" "));
	if (v->sort == PICTURE_ID)
		text_put(t, STR("1"));
	else if (v->format == PICTURE_US)
		put_us(t, n);
	else
		text_number(t, n);
	text_put(t, STR("\n"));
}

/* All values of one metric stand together: they are neighbours in the table. */
static size_t put_metric(struct text *t, const struct picture *p, enum picture_kind kind, size_t first)
{
	const struct picture_kind_info *k = &picture_kinds[kind];
	const struct picture_value *v = &k->values[first];
	size_t last = first + 1;

	while (last < k->nvalues && strcmp(k->values[last].metric, v->metric) == 0)
		last++;
	text_put(t, STR("# HELP "));
	put_name(t, kind, v);
	text_printf(t, " %s\n# TYPE ", v->what);
	put_name(t, kind, v);
	text_put(t, v->sort == PICTURE_COUNTER ? STR(" counter\n") : STR(" gauge\n"));
	for (size_t i = 0; i < p->n; i++)
		for (size_t n = first; p->rows[i].kind == kind && n < last; n++)
			put_sample(t, &p->rows[i], &k->values[n]);
	return last;
}

void show_metrics(struct text *t, const struct picture *p)
{
	for (enum picture_kind k = 0; k < PICTURE_KINDS; k++) {
		if (!has_rows(p, k))
			continue;
		for (size_t i = 0; i < picture_kinds[k].nvalues;)
			i = put_metric(t, p, k, i);
	}
}
