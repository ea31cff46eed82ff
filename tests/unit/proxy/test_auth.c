/* Password files, credentials, what is remembered, and how much may be computed. */
#include "proxy/worker/auth.h"
#include "core/loop.h"
#include "tests/unit/guard.h"
#include "tests/unit/proxy/conf.h"
#include <crypt.h>

static struct arena arena;
static struct auth_allowance allowance;
static char told[4096];

static int setup(void **state)
{
	(void)state;
	arena_init(&arena);
	allowance = (struct auth_allowance){ 0 };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static void tell(void *arg, unsigned line, struct str what)
{
	size_t n = strlen(told);

	(void)arg;
	snprintf(told + n, sizeof told - n, "%u: %.*s\n", line, STR_ARG(what));
}

static struct auth *read_file(const char *text)
{
	told[0] = '\0';
	return auth_new(STR("/etc/users"), str_from_c(text), tell, NULL);
}

static struct auth *read_good(const char *text)
{
	struct auth *a = read_file(text);

	assert_string_equal(told, "");
	assert_non_null(a);
	return a;
}

/* As cheap as the scheme goes: tests are many. */
static const char *hash(const char *prefix, unsigned long count, const char *password)
{
	struct crypt_data d = { 0 };
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];

	assert_non_null(crypt_gensalt_rn(prefix, count, NULL, 0, salt, sizeof salt));
	return arena_dup_c(&arena, str_from_c(crypt_r(password, salt, &d)));
}

static struct head *request_with(const char *authorization)
{
	struct head *h = head_new(&arena, HEAD_REQUEST);

	if (authorization)
		head_add_id(&arena, h, FIELD_AUTHORIZATION, str_from_c(authorization));
	return h;
}

static char *base64(const char *text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = strlen(text);
	char *out = arena_alloc(&arena, 4 * (n / 3 + 1) + 1), *p = out;

	for (size_t i = 0; i < n; i += 3) {
		uint32_t w = (uint32_t)(uint8_t)text[i] << 16;

		w |= i + 1 < n ? (uint32_t)(uint8_t)text[i + 1] << 8 : 0;
		w |= i + 2 < n ? (uint8_t)text[i + 2] : 0;
		*p++ = digits[w >> 18];
		*p++ = digits[w >> 12 & 63];
		*p++ = i + 1 < n ? digits[w >> 6 & 63] : '=';
		*p++ = i + 2 < n ? digits[w & 63] : '=';
	}
	*p = '\0';
	return out;
}

static enum err ask_with(struct auth *a, const char *credentials, uint64_t per_second, struct str *user)
{
	struct str value = arena_printf(&arena, "Basic %s", base64(credentials));

	*user = STR_NONE;
	return auth_check(a, &allowance, per_second, request_with(value.p), user);
}

static enum err ask(struct auth *a, const char *credentials)
{
	struct str user;

	allowance.due_us = 0;
	return ask_with(a, credentials, 1000000, &user);
}

/* ---- files ---- */

static void every_scheme_lets_its_user_in(void **state)
{
	static const struct {
		const char *prefix;
		unsigned long count;
	} schemes[] = { { "$y$", 1 }, { "$gy$", 1 }, { "$7$", 6 },    { "$2a$", 4 },
			{ "$2b$", 4 }, { "$2y$", 4 }, { "$6$", 1000 }, { "$5$", 1000 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		const char *h = hash(schemes[i].prefix, schemes[i].count, "pass:wörd");
		struct str file = arena_printf(&arena, "# people\n\nböb:%s\r\nx:%s:a comment\n", h, h);
		struct auth *a = read_good(file.p);
		struct str user;

		allowance.due_us = 0;
		assert_int_equal(ask_with(a, "böb:pass:wörd", 1000000, &user), ERR_OK);
		assert_str(user, "böb");
		assert_int_equal(ask(a, "x:pass:wörd"), ERR_OK);
		assert_int_equal(ask(a, "böb:pass:wörd "), ERR_UNAUTHORIZED);
		assert_int_equal(ask(a, "böb:"), ERR_UNAUTHORIZED);
		assert_int_equal(ask(a, "Böb:pass:wörd"), ERR_UNAUTHORIZED);
		assert_int_equal(ask(a, ":pass:wörd"), ERR_UNAUTHORIZED);
		auth_put(a);
	}
}

#define FULL_COMMAND                                                                                  \
	"passwords are hashed, not written as they are; this turns the file into hashes: umask 077; " \
	"while IFS=: read -r u p; do printf '%s:%s\\n' \"$u\" \"$(printf '%s' \"$p\" | "              \
	"openssl passwd -6 -stdin)\"; done <'/etc/users' >'/etc/users.new' && "                       \
	"mv '/etc/users.new' '/etc/users'\n"
#define WEAK "is hashed in a way that is too weak: make it anew, `htpasswd -B '/etc/users' "
#define SHORT "is cut short: make it anew, `htpasswd -B '/etc/users' "

static void bad_files_say_what_to_do(void **state)
{
	const char *good = hash("$5$", 1000, "x");
	const struct {
		const char *text, *told;
	} rows[] = {
		{ "# as elsewhere\ntestuser:testpass\nmyuser:hispass\n", "2: " FULL_COMMAND },
		{ arena_printf(&arena, "a:%s\nb:plain\nc:too\n", good).p,
		  "2: passwords are hashed, not written as they are: `htpasswd -B '/etc/users' 'b'` asks for "
		  "the one of \"b\" and writes its hash\n" },
		{ "a:$apr1$abc$def\nb:{SHA}x\nc:$1$a$b\n",
		  "1: the password of \"a\" " WEAK "'a'`\n2: the password of \"b\" " WEAK "'b'`\n"
		  "3: the password of \"c\" " WEAK "'c'`\n" },
		{ "a:$6$salt$tooshort\nb:$2y$05$x\nc:$y$\n",
		  "1: the hash of \"a\" " SHORT "'a'`\n2: the hash of \"b\" " SHORT "'b'`\n"
		  "3: the hash of \"c\" " SHORT "'c'`\n" },
		{ "nocolon\n:x\na\tb:x", "1: this is not user:hash\n2: this is not user:hash\n"
					 "3: this is not user:hash\n" },
		{ arena_printf(&arena, "a:%s\n\na:%s", good, good).p, "3: \"a\" is there twice\n" },
		{ "a:", "1: " FULL_COMMAND },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_null(read_file(rows[i].text));
		assert_string_equal(told, rows[i].told);
	}
}

/* What is in a file of words is not shown to whoever sees the log. */
static void no_password_is_shown(void **state)
{
	(void)state;
	assert_null(read_file("a:secret\nb:$6$secret\nc:{SHA}secret\n:secret\n"));
	assert_null(strstr(told, "secret"));
}

static void an_empty_file_lets_nobody_in(void **state)
{
	struct auth *a = read_good("# nobody any more\n");

	(void)state;
	assert_int_equal(ask(a, "a:b"), ERR_UNAUTHORIZED);
	assert_int_equal(allowance.due_us, 0);
	auth_put(a);
}

static void a_file_is_known_again(void **state)
{
	struct auth *a = read_good("#1\n");

	(void)state;
	assert_true(auth_is_from(a, STR("/etc/users"), STR("#1\n")));
	assert_false(auth_is_from(a, STR("/etc/users"), STR("#2\n")));
	assert_false(auth_is_from(a, STR("/etc/others"), STR("#1\n")));
	assert_ptr_equal(auth_get(a), a);
	auth_put(a);
	auth_put(a);
	auth_put(NULL);
}

/* ---- credentials ---- */

static const struct {
	const char *value, *user, *password; /* NULL: refused */
} credentials[] = {
	{ "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame" }, /* RFC 7617 section 2 */
	{ "Basic dGVzdDoxMjPCow==", "test", "123\xc2\xa3" },		    /* RFC 7617 section 2.1 */
	{ "basic YTpi", "a", "b" },
	{ "BASIC   YTpi  ", "a", "b" },
	{ "Basic YTpiOmM=", "a", "b:c" },
	{ "Basic Og==", "", "" },
	{ "Basic YTo=", "a", "" },
	{ "Basic YTpi\t", "a", "b" },
	{ "Basic", NULL, NULL },
	{ "Basic ", NULL, NULL },
	{ "BasicYTpi", NULL, NULL },
	{ "Basic\tYTpi", NULL, NULL },
	{ "Bearer YTpi", NULL, NULL },
	{ "", NULL, NULL },
	{ "Basic YQ==", NULL, NULL },	/* no colon */
	{ "Basic YTp", NULL, NULL },	/* a digit is missing */
	{ "Basic YTo", NULL, NULL },	/* so is the padding */
	{ "Basic YTp=", NULL, NULL },	/* bits that are none of a byte's */
	{ "Basic Oh==", NULL, NULL },
	{ "Basic O===", NULL, NULL },
	{ "Basic ====", NULL, NULL },
	{ "Basic YT=i", NULL, NULL },
	{ "Basic YTpi YTpi", NULL, NULL },
	{ "Basic YTp-", NULL, NULL },
	{ "Basic YTpiAA==", NULL, NULL }, /* NUL */
	{ "Basic YTpiCg==", NULL, NULL }, /* line feed */
	{ "Basic YTpifw==", NULL, NULL }, /* DEL */
};

static void credentials_are_read_in_one_way(void **state)
{
	struct guard in = guard_open(64), out = guard_open(64);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(credentials); i++) {
		size_t n = strlen(credentials[i].value);
		struct str value = str_of(guard_tail(&in, credentials[i].value, n), n), user, password;
		char *to = guard_tail(&out, credentials[0].value, 20);
		bool good = auth_decode(value, to, 20, &user, &password);

		if (good != !!credentials[i].user)
			fail_msg("%s", credentials[i].value);
		if (!good)
			continue;
		assert_str(user, credentials[i].user);
		assert_str(password, credentials[i].password);
	}
	guard_close(&in);
	guard_close(&out);
}

/* "a:b" has three bytes. */
static void credentials_have_a_length(void **state)
{
	struct guard out = guard_open(64);
	struct str user, password;

	(void)state;
	assert_true(auth_decode(STR("Basic YTpi"), guard_tail(&out, "xxx", 3), 3, &user, &password));
	assert_false(auth_decode(STR("Basic YTpi"), guard_tail(&out, "xx", 2), 2, &user, &password));
	guard_close(&out);
}

static void requests_without_credentials_are_refused(void **state)
{
	struct auth *a = read_good(arena_printf(&arena, "a:%s\n", hash("$5$", 1000, "b")).p);
	struct str user;
	struct head *h;
	char *longest = arena_alloc(&arena, 2000);

	(void)state;
	assert_int_equal(auth_check(a, &allowance, 10, request_with(NULL), &user), ERR_UNAUTHORIZED);
	assert_int_equal(auth_check(a, &allowance, 10, request_with("Digest x"), &user), ERR_UNAUTHORIZED);
	/* two of them */
	h = request_with("Basic YTpi");
	head_add_id(&arena, h, FIELD_AUTHORIZATION, STR("Basic YTpi"));
	assert_int_equal(auth_check(a, &allowance, 10, h, &user), ERR_UNAUTHORIZED);
	/* longer than any password */
	snprintf(longest, 2000, "a:%01000d", 0);
	assert_int_equal(ask(a, longest), ERR_UNAUTHORIZED);
	/* none of which cost anything */
	assert_int_equal(allowance.due_us, 0);
	assert_int_equal(auth_check(a, &allowance, 10, request_with("Basic YTpi"), &user), ERR_OK);
	assert_true(allowance.due_us > 0);
	auth_put(a);
}

/* ---- what it costs ---- */

/* At 10 a second a tenth of a second is spent by each; what was answered once costs nothing more. */
static void answers_are_remembered(void **state)
{
	struct auth *a = read_good(arena_printf(&arena, "a:%s\n", hash("$5$", 1000, "b")).p);
	uint64_t due_us;
	struct str user;

	(void)state;
	assert_int_equal(ask_with(a, "a:b", 10, &user), ERR_OK);
	assert_int_equal(ask_with(a, "a:c", 10, &user), ERR_UNAUTHORIZED);
	assert_int_equal(ask_with(a, "z:b", 10, &user), ERR_UNAUTHORIZED);
	due_us = allowance.due_us;
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(ask_with(a, "a:b", 10, &user), ERR_OK);
		assert_str(user, "a");
		assert_int_equal(ask_with(a, "a:c", 10, &user), ERR_UNAUTHORIZED);
		assert_int_equal(ask_with(a, "z:b", 10, &user), ERR_UNAUTHORIZED);
	}
	assert_int_equal(allowance.due_us, due_us);
	auth_put(a);
}

static void guessing_is_slowed_down(void **state)
{
	struct auth *a = read_good(arena_printf(&arena, "a:%s\n", hash("$5$", 1000, "b")).p);
	unsigned computed = 0;
	struct str user;

	(void)state;
	assert_int_equal(ask_with(a, "a:b", 10, &user), ERR_OK);
	for (unsigned i = 0; i < 1000; i++) {
		struct str guess = arena_printf(&arena, i % 2 ? "a:%u" : "z%u:b", i);
		enum err e = ask_with(a, guess.p, 10, &user);

		assert_true(e == ERR_UNAUTHORIZED || e == ERR_AUTH_MANY);
		computed += e == ERR_UNAUTHORIZED;
	}
	/* ten at once, perhaps some more for the time that this takes */
	assert_in_range(computed, 9, 25);
	/* whoever is known is let in all the same */
	assert_int_equal(ask_with(a, "a:b", 10, &user), ERR_OK);
	assert_int_equal(ask_with(a, "b:b", 10, &user), ERR_AUTH_MANY);
	/* and when time has passed, others are asked again */
	allowance.due_us = loop_clock_us();
	assert_int_equal(ask_with(a, "b:b", 10, &user), ERR_UNAUTHORIZED);
	auth_put(a);
}

/* A hash that takes long counts for as many as the time it took would be for: one part in ten. */
static void slow_hashes_count_for_more(void **state)
{
	struct auth *a = read_good(arena_printf(&arena, "a:%s\n", hash("$5$", 100000, "b")).p);
	uint64_t begin_us = loop_clock_us(), took_us;
	struct str user;

	(void)state;
	assert_int_equal(ask_with(a, "a:b", 1000000, &user), ERR_OK);
	took_us = loop_clock_us() - begin_us;
	assert_in_range(allowance.due_us - begin_us, 5 * took_us, 11 * took_us);
	auth_put(a);
}

/* More wrong ones than there are places: the others go on to be told apart. */
static void what_is_forgotten_is_computed_again(void **state)
{
	const char *h = hash("$5$", 1000, "b");
	struct str file = STR(""), user;
	struct auth *a;

	(void)state;
	for (int i = 0; i < 300; i++)
		file = arena_printf(&arena, "%.*sv%d:%s\n", STR_ARG(file), i, h);
	a = read_good(file.p);
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < 300; i++) {
			struct str one = arena_printf(&arena, "v%d:b", i);
			struct str bad = arena_printf(&arena, "v%d:x", i);

			assert_int_equal(ask_with(a, one.p, 1000000000, &user), ERR_OK);
			assert_int_equal(ask_with(a, bad.p, 1000000000, &user), ERR_UNAUTHORIZED);
			allowance.due_us = 0;
		}
	auth_put(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_scheme_lets_its_user_in, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_files_say_what_to_do, setup, teardown),
		cmocka_unit_test_setup_teardown(no_password_is_shown, setup, teardown),
		cmocka_unit_test_setup_teardown(an_empty_file_lets_nobody_in, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_is_known_again, setup, teardown),
		cmocka_unit_test_setup_teardown(credentials_are_read_in_one_way, setup, teardown),
		cmocka_unit_test_setup_teardown(credentials_have_a_length, setup, teardown),
		cmocka_unit_test_setup_teardown(requests_without_credentials_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_are_remembered, setup, teardown),
		cmocka_unit_test_setup_teardown(guessing_is_slowed_down, setup, teardown),
		cmocka_unit_test_setup_teardown(slow_hashes_count_for_more, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_forgotten_is_computed_again, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
