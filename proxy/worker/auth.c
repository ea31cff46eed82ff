#include "proxy/worker/auth.h"
#include "core/loop.h"
#include "proxy/map.h"
#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

enum {
	USER_BYTES = 255,
	/* of "user:password"; crypt(3) takes passwords of up to 511 bytes */
	CREDENTIALS_BYTES = USER_BYTES + 1 + 511,
	DIGEST_BYTES = 32,
	TAG_BYTES = 24, /* the rest of a digest chooses its place */
	RIGHT_ONES = 1024,
	WRONG_ONES = 256,
	SHARE = 10, /* one part of so many is for computing */
};

/* A digest for each place; a later one takes an earlier one's. */
struct memory {
	uint32_t places; /* a power of two */
	uint8_t (*tags)[TAG_BYTES];
};

struct user {
	struct str name;
	const char *hash;
};

struct auth {
	unsigned refs;
	struct arena arena;
	struct str path;
	uint8_t digest[DIGEST_BYTES]; /* of the file */
	struct map users;
	const char *some_hash;        /* what one who does not exist is compared with; NULL: nobody does */
	uint8_t key[DIGEST_BYTES];
	struct memory right, wrong;
};

/* ---- the file ---- */

/*
 * What is strong enough, and how long the hash proper is, behind the last '$' (or, of bcrypt, with its salt).
 */
#define SCHEME_TABLE(X) \
	X("$y$", 43)    \
	X("$gy$", 43)   \
	X("$7$", 43)    \
	X("$2a$", 53)   \
	X("$2b$", 53)   \
	X("$2y$", 53)   \
	X("$6$", 86)    \
	X("$5$", 43)

static const struct {
	struct str prefix;
	size_t tail_bytes;
} schemes[] = {
#define X(prefix, tail_bytes) { { prefix, sizeof(prefix) - 1 }, tail_bytes },
	SCHEME_TABLE(X)
#undef X
};

enum verdict { GOOD, PLAIN, WEAK, SHORT };

static enum verdict judge(const char *hash)
{
	/* what servers have called a hash, long ago */
	static const char *const weak[] = { "$1$", "$apr1$", "$md5", "$sha1$", "$3$", "{SHA}", "{SSHA}" };
	struct str s = str_from_c(hash);
	int salt;

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		if (!str_starts(s, schemes[i].prefix))
			continue;
		if (strlen(strrchr(hash, '$') + 1) != schemes[i].tail_bytes)
			return SHORT;
		/* "legacy" to libcrypt is also what is merely not its favourite */
		salt = crypt_checksalt(hash);
		return salt == CRYPT_SALT_OK || salt == CRYPT_SALT_METHOD_LEGACY ? GOOD : WEAK;
	}
	for (size_t i = 0; i < ARRAY_SIZE(weak); i++)
		if (str_starts(s, str_from_c(weak[i])))
			return WEAK;
	return PLAIN;
}

struct reading {
	struct auth *a;
	void (*wrong)(void *arg, unsigned line, struct str what);
	void *arg;
	unsigned line, plain, first_plain, bad;
	size_t nusers;
	struct str plain_user;
	struct arena tmp;
};

#define COMPLAIN(r, ...)                                                               \
	do {                                                                           \
		(r)->bad++;                                                            \
		(r)->wrong((r)->arg, (r)->line, arena_printf(&(r)->tmp, __VA_ARGS__)); \
	} while (0)

static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((uint8_t)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return s.n > 0 && s.n <= USER_BYTES;
}

/* The command that puts it right. */
static struct str command_for(struct reading *r, struct str user)
{
	return arena_printf(&r->tmp, "`htpasswd -B '%.*s' '%.*s'`", STR_ARG(r->a->path), STR_ARG(user));
}

static void add_user(struct reading *r, struct str name, struct str hash)
{
	struct user *u = arena_new(&r->a->arena, struct user);
	struct str remedy = command_for(r, name);

	u->name = arena_dup(&r->a->arena, name);
	u->hash = arena_dup_c(&r->a->arena, hash);
	switch (judge(u->hash)) {
	case GOOD:
		break;
	case PLAIN:
		/* told when the whole file is known */
		if (!r->plain++) {
			r->first_plain = r->line;
			r->plain_user = u->name;
		}
		return;
	case WEAK:
		COMPLAIN(r, "the password of \"%.*s\" is hashed in a way that is too weak: make it anew, "
			 "%.*s", STR_ARG(u->name), STR_ARG(remedy));
		return;
	case SHORT:
		COMPLAIN(r, "the hash of \"%.*s\" is cut short: make it anew, %.*s", STR_ARG(u->name),
			 STR_ARG(remedy));
		return;
	}
	if (!map_add(&r->a->users, map_hash(u->name), u->name, u))
		COMPLAIN(r, "\"%.*s\" is there twice", STR_ARG(u->name));
	else if (!r->a->some_hash)
		r->a->some_hash = u->hash;
}

/* A colon ends the name; what comes behind another one is for people. */
static void read_line(struct reading *r, struct str line)
{
	const char *colon, *end;
	struct str name, hash;

	if (str_ends(line, STR("\r")))
		line.n--;
	if (!line.n || line.p[0] == '#')
		return;
	colon = memchr(line.p, ':', line.n);
	name = str_of(line.p, colon ? (size_t)(colon - line.p) : 0);
	if (!colon || !is_name(name)) {
		COMPLAIN(r, "this is not user:hash");
		return;
	}
	hash = str_of(colon + 1, line.n - name.n - 1);
	end = hash.n ? memchr(hash.p, ':', hash.n) : NULL;
	if (end && hash.p[0] == '$')
		hash.n = (size_t)(end - hash.p);
	r->nusers++;
	add_user(r, name, hash);
}

/* A whole file as other servers want it is converted by one command, a line of it by another. */
static void complain_of_plain(struct reading *r)
{
	struct str path = r->a->path, remedy = command_for(r, r->plain_user);

	r->line = r->first_plain;
	if (r->plain == r->nusers)
		COMPLAIN(r, "passwords are hashed, not written as they are; this turns the file into hashes: "
			 "umask 077; while IFS=: read -r u p; do printf '%%s:%%s\\n' \"$u\" "
			 "\"$(printf '%%s' \"$p\" | openssl passwd -6 -stdin)\"; done <'%.*s' >'%.*s.new' && "
			 "mv '%.*s.new' '%.*s'", STR_ARG(path), STR_ARG(path), STR_ARG(path), STR_ARG(path));
	else
		COMPLAIN(r, "passwords are hashed, not written as they are: %.*s asks for the one of "
			 "\"%.*s\" and writes its hash", STR_ARG(remedy), STR_ARG(r->plain_user));
}

static size_t count_lines(struct str s)
{
	size_t n = 1;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '\n';
	return n;
}

static void read_file(struct reading *r, struct str bytes)
{
	map_init(&r->a->users, &r->a->arena, count_lines(bytes));
	while (bytes.n) {
		const char *end = memchr(bytes.p, '\n', bytes.n);
		size_t n = end ? (size_t)(end - bytes.p) : bytes.n;

		r->line++;
		read_line(r, str_of(bytes.p, n));
		n += end != NULL;
		bytes = str_of(bytes.p + n, bytes.n - n);
	}
	if (r->plain)
		complain_of_plain(r);
}

/* ---- life ---- */

static void memory_init(struct memory *m, struct arena *a, uint32_t places)
{
	m->places = places;
	m->tags = arena_zalloc(a, places * sizeof *m->tags);
}

static void digest_of(struct str s, uint8_t out[DIGEST_BYTES])
{
	BUG_ON(!EVP_Digest(s.n ? s.p : "", s.n, out, NULL, EVP_sha256(), NULL));
}

struct auth *auth_new(struct str path, struct str bytes,
		      void (*wrong)(void *arg, unsigned line, struct str what), void *arg)
{
	struct auth *a = base_zalloc(sizeof *a);
	struct reading r = { .a = a, .wrong = wrong, .arg = arg };

	a->refs = 1;
	arena_init(&a->arena);
	a->path = arena_dup(&a->arena, path);
	digest_of(bytes, a->digest);
	BUG_ON(RAND_bytes(a->key, sizeof a->key) != 1);
	memory_init(&a->right, &a->arena, RIGHT_ONES);
	memory_init(&a->wrong, &a->arena, WRONG_ONES);
	arena_init(&r.tmp);
	read_file(&r, bytes);
	arena_fini(&r.tmp);
	if (!r.bad)
		return a;
	auth_put(a);
	return NULL;
}

struct auth *auth_get(struct auth *a)
{
	a->refs++;
	return a;
}

void auth_put(struct auth *a)
{
	if (!a || --a->refs)
		return;
	arena_fini(&a->arena);
	explicit_bzero(a->key, sizeof a->key);
	free(a);
}

bool auth_is_from(const struct auth *a, struct str path, struct str bytes)
{
	uint8_t digest[DIGEST_BYTES];

	digest_of(bytes, digest);
	return str_eq(a->path, path) && memcmp(a->digest, digest, sizeof digest) == 0;
}

/* ---- credentials ---- */

static int base64_digit(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* RFC 4648 section 4, and only in the one way to write a value. False: it is something else, or too long. */
static bool base64_decode(struct str s, char *out, size_t cap, size_t *n)
{
	unsigned bits = 0;
	uint32_t word = 0;

	*n = 0;
	if (s.n % 4)
		return false;
	for (int i = 0; i < 2 && str_ends(s, STR("=")); i++)
		s.n--;
	for (size_t i = 0; i < s.n; i++) {
		int d = base64_digit(s.p[i]);

		if (d < 0)
			return false;
		word = word << 6 | (uint32_t)d;
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		if (*n == cap)
			return false;
		out[(*n)++] = (char)(word >> bits & 0xff);
	}
	return !(word & ((1u << bits) - 1));
}

bool auth_decode(struct str value, char *out, size_t cap, struct str *user, struct str *password)
{
	static const size_t scheme_bytes = sizeof "Basic" - 1;
	const char *colon;
	size_t n;

	if (value.n <= scheme_bytes || value.p[scheme_bytes] != ' ' ||
	    !str_eq_nocase(str_of(value.p, scheme_bytes), STR("Basic")))
		return false;
	value = str_trim(str_of(value.p + scheme_bytes, value.n - scheme_bytes));
	if (!base64_decode(value, out, cap, &n))
		return false;
	for (size_t i = 0; i < n; i++)
		if ((uint8_t)out[i] < ' ' || out[i] == 0x7f)
			return false;
	colon = n ? memchr(out, ':', n) : NULL;
	if (!colon)
		return false;
	*user = str_of(out, (size_t)(colon - out));
	*password = str_of(colon + 1, n - user->n - 1);
	return true;
}

/* ---- asking ---- */

static uint32_t place_of(const struct memory *m, const uint8_t digest[DIGEST_BYTES])
{
	uint32_t place;

	memcpy(&place, digest + TAG_BYTES, sizeof place);
	return place & (m->places - 1);
}

static bool remembers(const struct memory *m, const uint8_t digest[DIGEST_BYTES])
{
	return CRYPTO_memcmp(m->tags[place_of(m, digest)], digest, TAG_BYTES) == 0;
}

static void remember(struct memory *m, const uint8_t digest[DIGEST_BYTES])
{
	memcpy(m->tags[place_of(m, digest)], digest, TAG_BYTES);
}

/* password is terminated. */
static bool matches(const char *hash, const char *password)
{
	struct crypt_data *d = base_zalloc(sizeof *d);
	const char *out = crypt_r(password, hash, d);
	size_t n = strlen(hash);
	bool same = out && strlen(out) == n && CRYPTO_memcmp(out, hash, n) == 0;

	explicit_bzero(d, sizeof *d);
	free(d);
	return same;
}

static bool may_compute(const struct auth_allowance *w)
{
	return w->due_us <= loop_clock_us() + 1000000;
}

static void spend(struct auth_allowance *w, uint64_t per_second, uint64_t begin_us)
{
	uint64_t now_us = loop_clock_us(), cost_us = MAX(1000000 / per_second, SHARE * (now_us - begin_us));

	w->due_us = MAX(w->due_us, begin_us) + cost_us;
}

/* `text` is "user:password", terminated. */
static enum err ask(struct auth *a, struct auth_allowance *w, uint64_t per_second, struct str user,
		    struct str password, struct str *name)
{
	struct str text = str_of(user.p, user.n + 1 + password.n);
	const struct user *u = map_find(&a->users, map_hash(user), user, NULL);
	uint64_t begin_us = loop_clock_us();
	uint8_t digest[DIGEST_BYTES];
	bool right;

	BUG_ON(!HMAC(EVP_sha256(), a->key, sizeof a->key, (const uint8_t *)text.p, text.n, digest, NULL));
	right = u && remembers(&a->right, digest);
	if (!right) {
		if (!a->some_hash || remembers(&a->wrong, digest))
			return ERR_UNAUTHORIZED;
		if (!may_compute(w))
			return ERR_AUTH_MANY;
		/* of a user that does not exist, too: the time it takes does not tell */
		right = matches(u ? u->hash : a->some_hash, password.p) && u;
		spend(w, per_second, begin_us);
		remember(right ? &a->right : &a->wrong, digest);
	}
	if (!right)
		return ERR_UNAUTHORIZED;
	*name = u->name;
	return ERR_OK;
}

/* The only one: of two, nobody can say which counts. */
static const struct field *credentials(const struct head *request)
{
	const struct field *only = NULL;

	head_for_each(f, request) {
		if (f->id != FIELD_AUTHORIZATION)
			continue;
		if (only)
			return NULL;
		only = f;
	}
	return only;
}

enum err auth_check(struct auth *a, struct auth_allowance *w, uint64_t per_second, const struct head *request,
		    struct str *user)
{
	const struct field *f = credentials(request);
	char text[CREDENTIALS_BYTES + 1] = "";
	struct str name, password;
	enum err e = ERR_UNAUTHORIZED;

	if (f && auth_decode(f->value, text, sizeof text - 1, &name, &password))
		e = ask(a, w, per_second, name, password, user);
	explicit_bzero(text, sizeof text);
	return e;
}
