/*
 * How certificates that are obtained stand, in words: `gatehouse cert`.
 */
#include "proxy/parent/issue.h"
#include <time.h>

enum { DAY_S = 86400, HOUR_S = 3600, MINUTE_S = 60 };

/* "in 59 days", "3 hours ago". */
static const char *distance(int64_t seconds, char *out, size_t cap)
{
	int64_t n = seconds < 0 ? -seconds : seconds;
	const char *unit = "second";

	if (n >= 2 * DAY_S)
		n /= DAY_S, unit = "day";
	else if (n >= 2 * HOUR_S)
		n /= HOUR_S, unit = "hour";
	else if (n >= 2 * MINUTE_S)
		n /= MINUTE_S, unit = "minute";
	snprintf(out, cap, "%s%lld %s%s%s", seconds < 0 ? "" : "in ", (long long)n, unit, n == 1 ? "" : "s",
		 seconds < 0 ? " ago" : "");
	return out;
}

static void tell_time(FILE *f, const char *what, int64_t at_s)
{
	char date[32] = "?", far[48];
	time_t t = (time_t)at_s;
	struct tm tm;

	if (gmtime_r(&t, &tm))
		strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
	fprintf(f, "  %-9s %s, %s\n", what, date, distance(at_s - loop_wall_s(), far, sizeof far));
}

static void tell_one(FILE *f, const struct conf_acme_cert *c, const struct issue_state *s, bool runs)
{
	static const char *const kinds[] = { "ecdsa", "rsa" };

	fprintf(f, "%.*s: %s\n  names    ", STR_ARG(c->id),
		s ? issue_state_text(s->known.state) : runs ? "not known yet" : "nobody cares for it");
	for (size_t i = 0; i < c->nnames; i++)
		fprintf(f, " %.*s", STR_ARG(c->names[i]));
	fputc('\n', f);
	for (size_t i = 0; i < CONF_ACME_KINDS; i++)
		if (c->certs[i])
			fprintf(f, "  %-9s %.*s\n", kinds[i], STR_ARG(c->certs[i]->path));
	if (!s)
		return;
	if (s->serial[0])
		fprintf(f, "  serial    %s\n", s->serial);
	if (s->known.not_after_s)
		tell_time(f, "expires", s->known.not_after_s);
	if (s->known.renew_s)
		tell_time(f, "renewal", s->known.renew_s);
	if (s->known.next_s && s->known.next_s < s->known.renew_s && s->known.state == MSG_ACME_VALID)
		tell_time(f, "asks CA", s->known.next_s);
	else if (s->known.next_s && s->known.state != MSG_ACME_VALID)
		tell_time(f, "next try", s->known.next_s);
	if (s->known.tries)
		fprintf(f, "  failed    %u time%s\n", s->known.tries, s->known.tries == 1 ? "" : "s");
	if (s->error[0])
		fprintf(f, "  error     %s\n", s->error);
}

char *issue_tell(const struct parent *p)
{
	const struct conf_acme *acme = &p->current.conf->acme;
	bool runs = p->helpers[PARENT_ACME].child != NULL;
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	BUG_ON(!f);
	for (size_t i = 0; i < acme->ncerts; i++)
		tell_one(f, acme->certs[i], issue_state(p, acme->certs[i]->id), runs);
	if (!acme->ncerts)
		fputs("no vhost has its certificate obtained (\"acme\": \"yes\")\n", f);
	BUG_ON(fclose(f) != 0);
	return text;
}

/* By any of its names. */
static const struct conf_acme_cert *find(const struct conf_acme *acme, struct str name)
{
	for (size_t i = 0; i < acme->ncerts; i++)
		for (size_t k = 0; k < acme->certs[i]->nnames; k++)
			if (str_eq_nocase(acme->certs[i]->names[k], name))
				return acme->certs[i];
	return NULL;
}

char *issue_ask(struct parent *p, enum msg_acme_verb verb, struct str name, bool *ok)
{
	const struct conf_acme_cert *c = find(&p->current.conf->acme, name);
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	BUG_ON(!f);
	*ok = c && issue_do(p, verb, c->id);
	if (*ok)
		fprintf(f, "%.*s: %s\n", STR_ARG(c->id),
			verb == MSG_ACME_RENEW ? "a new certificate is asked for" : "is being revoked");
	else
		fprintf(f, "gatehouse: %.*s: %s\n", STR_ARG(name),
			c ? "the process that obtains certificates does not run" :
			    "no certificate of this name is obtained here; `gatehouse cert` lists them");
	BUG_ON(fclose(f) != 0);
	return text;
}
