/*
 * The page of a `status:` mount: all of it in one answer, allowed by hashes in its policy, readable without
 * the script. The script brings new numbers into the tables that are there, so that nobody loses his place.
 */
#include "proxy/worker/page.h"
#include "proxy/worker/show.h"
#include <openssl/evp.h>
#include <time.h>

enum { ROWS_MAX = 1000 }; /* of a table: who has more, wants the command */

#define STYLE \
	":root { --alarm: #a8321f; --row: #f1efea; }\n" \
	"@media (prefers-color-scheme: dark) { :root { --alarm: #f0907c; --row: #1f2124; } }\n" \
	"html { font-size: .9375rem; }\n" \
	"body { align-items: start; padding: 2.5rem 1.5rem; }\n" \
	"main { max-width: 76rem; min-width: 0; }\n" \
	"h1 { margin: 0 0 .8rem; font-size: 1.7rem; }\n" \
	"h2 { margin: 2.2rem 0 .5rem; font-size: 1.05rem; font-weight: 650; }\n" \
	".summary { color: var(--soft); white-space: pre-line; }\n" \
	".table { overflow-x: auto; }\n" \
	"table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }\n" \
	"th, td { padding: .35rem .9rem .35rem 0; text-align: right; white-space: nowrap; }\n" \
	"th:last-child, td:last-child { padding-right: .4rem; }\n" \
	"th:first-child, td:first-child { padding-left: .4rem; }\n" \
	"th { color: var(--soft); font-weight: 500; font-size: .8125rem; vertical-align: bottom; }\n" \
	".text { text-align: left; }\n" \
	"tbody tr { border-top: 1px solid var(--line); }\n" \
	"tbody tr:hover { background: var(--row); }\n" \
	".alarm td { color: var(--alarm); font-weight: 600; }\n" \
	".stale main { opacity: .5; }\n" \
	"footer { margin-top: 2.5rem; color: var(--soft); font-size: .8125rem; }\n"

#define SCRIPT \
	"'use strict';\n" \
	"setInterval(async () => {\n" \
	"\tif (document.hidden)\n" \
	"\t\treturn;\n" \
	"\ttry {\n" \
	"\t\tconst answer = await fetch(location.href, { headers: { Accept: 'text/html' } });\n" \
	"\t\tif (!answer.ok)\n" \
	"\t\t\tthrow new Error(answer.status);\n" \
	"\t\tconst page = new DOMParser().parseFromString(await answer.text(), 'text/html');\n" \
	"\t\tconst now = document.querySelectorAll('[id]'), next = page.querySelectorAll('[id]');\n" \
	"\t\tconst names = list => Array.from(list, part => part.id).join();\n" \
	"\t\tif (names(now) !== names(next))\n" \
	"\t\t\tdocument.querySelector('main').replaceWith(page.querySelector('main'));\n" \
	"\t\telse\n" \
	"\t\t\tnow.forEach((part, i) => part.replaceChildren(...next[i].childNodes));\n" \
	"\t\tdocument.body.classList.remove('stale');\n" \
	"\t} catch {\n" \
	"\t\tdocument.body.classList.add('stale');\n" \
	"\t}\n" \
	"}, 5000);\n"

/* 'sha256-...' of what stands between the tags (CSP level 3, section 2.3.1). */
static void put_hash(struct text *t, const char *directive, struct str first, struct str second)
{
	unsigned char digest[EVP_MAX_MD_SIZE], base64[64];
	EVP_MD_CTX *m = EVP_MD_CTX_new();
	unsigned n = 0;

	BUG_ON(!m || !EVP_DigestInit_ex(m, EVP_sha256(), NULL) || !EVP_DigestUpdate(m, first.p, first.n) ||
	       (second.n && !EVP_DigestUpdate(m, second.p, second.n)) || !EVP_DigestFinal_ex(m, digest, &n));
	EVP_MD_CTX_free(m);
	EVP_EncodeBlock(base64, digest, (int)n);
	text_printf(t, "%s 'sha256-%s'; ", directive, (const char *)base64);
}

static void put_policy(struct text *t)
{
	text_put(t, STR("default-src 'none'; connect-src 'self'; "));
	put_hash(t, "style-src", page_style, STR(STYLE));
	put_hash(t, "script-src", STR(SCRIPT), STR_NONE);
	text_put(t, STR("base-uri 'none'; form-action 'none'; frame-ancestors 'none'"));
}

static void put_row(struct text *t, const struct picture_row *r, const struct show_column *c, size_t n,
		    struct text *cell)
{
	text_put(t, show_is_alarming(r) ? STR("<tr class=\"alarm\">") : STR("<tr>"));
	for (size_t k = 0; k < n; k++) {
		cell->n = 0;
		c[k].cell(cell, r);
		text_put(t, c[k].is_text ? STR("<td class=\"text\">") : STR("<td>"));
		text_html(t, text_str(cell));
		text_put(t, STR("</td>"));
	}
	text_put(t, STR("</tr>\n"));
}

static void put_table(struct text *t, const struct picture *p, enum picture_kind kind, struct text *cell)
{
	const struct picture_kind_info *info = &picture_kinds[kind];
	size_t n, rows = 0;
	const struct show_column *c = show_columns(kind, &n);

	n -= kind == PICTURE_CERTIFICATE; /* no worker knows what is on disk */
	for (size_t i = 0; i < p->n; i++)
		rows += p->rows[i].kind == kind;
	if (!n || !rows)
		return;
	text_printf(t, "<h2>%c%s</h2>\n<div class=\"table\"><table>\n<thead><tr>", info->many[0] & ~0x20,
		    info->many + 1);
	for (size_t k = 0; k < n; k++)
		text_printf(t, "<th scope=\"col\"%s>%s</th>", c[k].is_text ? " class=\"text\"" : "",
			    c[k].heading);
	text_printf(t, "</tr></thead>\n<tbody id=\"%s\">\n", info->many);
	rows = 0;
	for (size_t i = 0; i < p->n; i++)
		if (p->rows[i].kind == kind && rows++ < ROWS_MAX)
			put_row(t, &p->rows[i], c, n, cell);
	text_put(t, STR("</tbody>\n</table></div>\n"));
	if (rows > ROWS_MAX)
		text_printf(t, "<p>%zu more: <code>gatehouse status</code> tells all.</p>\n",
			    rows - ROWS_MAX);
}

static void put_time(struct text *t, int64_t now_s)
{
	time_t s = (time_t)now_s;
	char text[32] = "";
	struct tm tm;

	if (gmtime_r(&s, &tm))
		strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
	text_printf(t, "<footer id=\"time\">As of %s UTC.</footer>\n", text);
}

void show_html(struct text *t, const struct picture *p, int64_t now_s, struct text *policy)
{
	struct text cell = { 0 };

	put_policy(policy);
	text_put(t, STR("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
			"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
			"<title>Gatehouse</title>\n<style>"));
	text_put(t, page_style);
	text_put(t, STR(STYLE "</style>\n</head>\n<body>\n<main>\n<h1>Gatehouse</h1>\n"
			      "<p class=\"summary\" id=\"summary\">"));
	show_summary(&cell, p, now_s);
	for (size_t i = 0, line; i < cell.n; i += line + 1) {
		line = (size_t)((char *)memchr(cell.p + i, '\n', cell.n - i) - (cell.p + i));
		text_html(t, str_of(cell.p + i, line));
		text_put(t, STR("\n"));
	}
	text_put(t, STR("</p>\n"));
	for (enum picture_kind k = 0; k < PICTURE_KINDS; k++)
		put_table(t, p, k, &cell);
	put_time(t, now_s);
	text_put(t, STR("</main>\n<script>" SCRIPT "</script>\n</body>\n</html>\n"));
	free(cell.p);
}
