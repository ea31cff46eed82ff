/* One reading of a path, against a guard page; and what mounts make of it. */
#include "proxy/worker/path.h"
#include "tests/unit/guard.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

#define assert_str(s, c) \
	do { \
		struct str got_ = (s); \
		assert_int_equal(got_.n, strlen(c)); \
		assert_memory_equal(got_.p, c, got_.n); \
	} while (0)

/* Columns: path, what is passed on; NULL: refused. */
static const struct {
	const char *in, *out;
} paths[] = {
	/* nothing to do */
	{"/", "/"},
	{"/a", "/a"},
	{"/a/", "/a/"},
	{"/a/b/c", "/a/b/c"},
	{"/index.html", "/index.html"},
	{"/a.b/c..d", "/a.b/c..d"},
	{"/~user", "/~user"},
	{"/a,b;c=d:e@f!g$h&i'j(k)l*m+n", "/a,b;c=d:e@f!g$h&i'j(k)l*m+n"},
	/* empty segments stay */
	{"//", "//"},
	{"//a", "//a"},
	{"/a//b", "/a//b"},
	{"/a//", "/a//"},
	{"///", "///"},
	/* single dots */
	{"/.", "/"},
	{"/./", "/"},
	{"/./a", "/a"},
	{"/a/.", "/a/"},
	{"/a/./", "/a/"},
	{"/a/./b", "/a/b"},
	{"/a/./././b", "/a/b"},
	/* double dots */
	{"/..", "/"},
	{"/../", "/"},
	{"/../a", "/a"},
	{"/../../../a", "/a"},
	{"/a/..", "/"},
	{"/a/../", "/"},
	{"/a/../b", "/b"},
	{"/a/b/..", "/a/"},
	{"/a/b/../", "/a/"},
	{"/a/b/../c", "/a/c"},
	{"/a/b/../../c", "/c"},
	{"/a/b/../../../../c", "/c"},
	{"/a/./../b", "/b"},
	{"/a/.././b", "/b"},
	{"/a//../b", "/a/b"},
	{"//../a", "/a"},
	{"/a//..", "/a/"},
	{"/app/../admin", "/admin"},
	/* what only looks like dots */
	{"/...", "/..."},
	{"/a/.../b", "/a/.../b"},
	{"/.a", "/.a"},
	{"/..a", "/..a"},
	{"/a..", "/a.."},
	{"/.well-known/acme", "/.well-known/acme"},
	{"/..;/a", "/..;/a"},
	{"/.;/a", "/.;/a"},
	{"/..%2fa", "/..%2fa"},
	{"/..%5ca", "/..%5ca"},
	/* unreserved characters are decoded */
	{"/%61", "/a"},
	{"/%41%7a%5A", "/AzZ"},
	{"/%30%39", "/09"},
	{"/%2d%2D%5f%7e", "/--_~"},
	{"/app%6ce", "/apple"},
	/* and dot segments made of them removed */
	{"/%2e", "/"},
	{"/%2E%2e/a", "/a"},
	{"/a/%2e%2E/b", "/b"},
	{"/a/.%2e/b", "/b"},
	{"/a/%2e./b", "/b"},
	{"/a/%2e/b", "/a/b"},
	{"/%2e%2e%2e", "/..."},
	{"/%2e%2e%2fa", "/..%2fa"},
	/* all else stays as it was written */
	{"/%2f", "/%2f"},
	{"/%2F", "/%2F"},
	{"/a%2fb/../c", "/c"},
	{"/%25", "/%25"},
	{"/%252e%252e/a", "/%252e%252e/a"},
	{"/%2561", "/%2561"},
	{"/%00", "/%00"},
	{"/%20%3f%23%3b", "/%20%3f%23%3b"},
	{"/caf%c3%a9", "/caf%c3%a9"},
	{"/%5c%5C", "/%5c%5C"},
	{"/%7f%80%ff", "/%7f%80%ff"},
	/* what has no one reading */
	{"", NULL},
	{"a", NULL},
	{"*", NULL},
	{"/%", NULL},
	{"/%4", NULL},
	{"/%zz", NULL},
	{"/%4g", NULL},
	{"/%g4", NULL},
	{"/a%", NULL},
	{"/%u0041", NULL},
	{"/%%41", NULL},
	{"/a#b", NULL},
	{"/#", NULL},
	{"/a/../#", NULL},
};

static void normalises(void **state)
{
	struct guard g = guard_open(256);

	(void)state;
	assert_true(ARRAY_SIZE(paths) >= 60);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		size_t n = strlen(paths[i].in);
		struct str in = str_of(guard_tail(&g, paths[i].in, n), n), out;
		bool ok = path_normalise(&arena, in, &out);

		if (ok != (paths[i].out != NULL))
			fail_msg("%s: %s", paths[i].in, ok ? "accepted" : "refused");
		if (ok && !str_eq(out, str_from_c(paths[i].out)))
			fail_msg("%s: %.*s instead of %s", paths[i].in, STR_ARG(out), paths[i].out);
	}
	guard_close(&g);
}

/* What was normalised once has nothing left to do: the upstream's own normalising cannot surprise. */
static void normalises_once_for_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct str once, twice;

		if (!path_normalise(&arena, str_from_c(paths[i].in), &once))
			continue;
		assert_true(once.n <= strlen(paths[i].in));
		assert_true(path_normalise(&arena, once, &twice));
		assert_true(str_eq(once, twice));
	}
}

/* Every path of up to six characters of an alphabet that contains all that is special. */
static void normalises_anything(void **state)
{
	static const char alphabet[] = "/.%2eEa";
	struct guard g = guard_open(16);
	size_t n = sizeof alphabet - 1, all = 1;

	(void)state;
	for (size_t length = 1; length <= 6; length++) {
		all *= n;
		for (size_t code = 0; code < all; code++) {
			char text[8] = "/";
			size_t rest = code;
			struct str out;

			for (size_t i = 1; i <= length; i++, rest /= n)
				text[i] = alphabet[rest % n];
			if (!path_normalise(&arena, str_of(guard_tail(&g, text, length + 1), length + 1),
					    &out))
				continue;
			assert_true(out.n >= 1 && out.n <= length + 1 && out.p[0] == '/');
			assert_null(memmem(out.p, out.n, "/../", 4));
			assert_null(memmem(out.p, out.n, "/./", 3));
			assert_false(str_ends(out, STR("/..")) || str_ends(out, STR("/.")));
			assert_null(memmem(out.p, out.n, "%2e", 3));
			assert_null(memmem(out.p, out.n, "%2E", 3));
		}
		arena_fini(&arena);
	}
	guard_close(&g);
}

static void leaves_a_plain_path_where_it_is(void **state)
{
	struct str in = STR("/a/b"), out;

	(void)state;
	assert_true(path_normalise(&arena, in, &out));
	assert_ptr_equal(in.p, out.p);
	assert_int_equal(arena.held_bytes, 0);
}

static void splits(void **state)
{
	struct str path, query;

	(void)state;
	path_split(STR("/a/b?c=d?e"), &path, &query);
	assert_str(path, "/a/b");
	assert_str(query, "?c=d?e");
	path_split(STR("/a"), &path, &query);
	assert_str(path, "/a");
	assert_str(query, "");
	path_split(STR("/?"), &path, &query);
	assert_str(path, "/");
	assert_str(query, "?");
	path_split(STR_NONE, &path, &query);
	assert_int_equal(path.n, 0);
	assert_int_equal(query.n, 0);
}

static void knows_whole_segments(void **state)
{
	(void)state;
	assert_true(path_is_under(STR("/app"), STR("/app")));
	assert_true(path_is_under(STR("/app/"), STR("/app")));
	assert_true(path_is_under(STR("/app/x"), STR("/app")));
	assert_false(path_is_under(STR("/apple"), STR("/app")));
	assert_false(path_is_under(STR("/ap"), STR("/app")));
	assert_false(path_is_under(STR("/App"), STR("/app")));
	assert_false(path_is_under(STR("//app"), STR("/app")));
	assert_true(path_is_under(STR("/x"), STR("/")));
	assert_true(path_is_under(STR("/x"), STR_NONE));
	assert_true(path_is_under(STR("/"), STR_NONE));
	assert_false(path_is_under(STR("x"), STR_NONE));
	assert_false(path_is_under(STR(""), STR("/")));
}

/* Columns: path, from, to, query, result. */
static const struct {
	const char *path, *from, *to, *query, *out;
} rebased[] = {
	{"/app/x", "/app", "", "", "/x"},
	{"/app", "/app", "", "", "/"},
	{"/app/", "/app", "", "", "/"},
	{"/app//x", "/app", "", "", "//x"},
	{"/app/x", "/app", "/base", "?q", "/base/x?q"},
	{"/app", "/app", "/base", "", "/base"},
	{"/app/", "/app", "/base", "", "/base/"},
	{"/", "/", "", "?a=b", "/?a=b"},
	{"/x", "/", "", "", "/x"},
	{"/x", "/", "/", "", "/x"},
	{"/x", "/", "/base", "", "/base/x"},
	{"/", "/", "/base", "", "/base/"},
	{"/app", "/app", "", "?q", "/?q"},
	{"/old/x", "/old", "https://new.example/y", "?q", "https://new.example/y/x?q"},
	{"/old", "/old", "https://new.example", "", "https://new.example"},
	{"/x/y", "/", "https://new.example", "", "https://new.example/x/y"},
};

static void rebases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rebased); i++)
		assert_str(path_rebase(&arena, str_from_c(rebased[i].path), str_from_c(rebased[i].from),
				       str_from_c(rebased[i].to), str_from_c(rebased[i].query)),
			   rebased[i].out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(normalises, setup, teardown),
		cmocka_unit_test_setup_teardown(normalises_once_for_all, setup, teardown),
		cmocka_unit_test_setup_teardown(normalises_anything, setup, teardown),
		cmocka_unit_test_setup_teardown(leaves_a_plain_path_where_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(splits, setup, teardown),
		cmocka_unit_test_setup_teardown(knows_whole_segments, setup, teardown),
		cmocka_unit_test_setup_teardown(rebases, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
