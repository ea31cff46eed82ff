/*
 * What lies in the store, and what a CA says in texts: the first byte chooses whose it is.
 *
 * A state or an account that is read and written comes back as the same text; URLs and times never claim
 * more than there is.
 */
#include "acme/cert.h"
#include "acme/https.h"
#include "acme/plan.h"
#include "acme/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void state(struct arena *a, struct str bytes)
{
	struct acme_state s, again;
	struct str text;

	if (!acme_state_read(a, bytes, &s))
		return;
	for (size_t i = 0; i < CONF_ACME_KINDS; i++) {
		struct acme_url url;

		BUG_ON(s.parts[i].order.url.n && !acme_url_read(s.parts[i].order.url, &url));
		BUG_ON(s.parts[i].order.url.n && !s.parts[i].order.key.n);
	}
	text = acme_state_write(a, &s);
	if (text.n > ACME_FILE_BYTES)
		return;
	BUG_ON(!acme_state_read(a, text, &again) || !str_eq(acme_state_write(a, &again), text));
}

static void account(struct arena *a, struct str bytes)
{
	struct acme_account acc, again;
	struct str text;

	if (!acme_account_read(a, bytes, &acc))
		return;
	text = acme_account_write(a, &acc);
	BUG_ON(!acme_account_read(a, text, &again) || !str_eq(acme_account_write(a, &again), text));
	EVP_PKEY_free(acc.key);
	EVP_PKEY_free(again.key);
}

static void url(struct str bytes)
{
	struct acme_url u;

	if (!acme_url_read(bytes, &u))
		return;
	BUG_ON(!u.host.n || !u.path.n || u.path.p[0] != '/' || !u.port || u.authority.n < u.host.n);
	for (size_t i = 0; i < bytes.n; i++)
		BUG_ON(bytes.p[i] == '"' || bytes.p[i] == '\\' || (uint8_t)bytes.p[i] <= ' ');
}

static void times(struct str bytes)
{
	const int64_t now_ms = INT64_C(1800000000000);
	int64_t at_ms = acme_plan_retry_after(bytes, now_ms);

	BUG_ON(at_ms && (at_ms < now_ms || at_ms > now_ms + ACME_WAIT_MAX_MS));
	BUG_ON(acme_plan_time(bytes) < 0);
}

static void chain(struct arena *a, struct str bytes)
{
	struct acme_facts facts;

	(void)!acme_cert_facts(a, bytes, &facts);
	EVP_PKEY_free(acme_key_from_pem(bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena a;
	struct str bytes;

	if (!n)
		return 0;
	arena_init(&a);
	bytes = arena_dup(&a, str_of((const char *)data + 1, n - 1));
	switch (data[0]) {
	case 's': state(&a, bytes); break;
	case 'a': account(&a, bytes); break;
	case 'u': url(bytes); break;
	case 't': times(bytes); break;
	default: chain(&a, bytes); break;
	}
	arena_fini(&a);
	return 0;
}
