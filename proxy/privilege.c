#include "proxy/privilege.h"
#include <grp.h>
#include <pwd.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { GROUPS_FIRST = 64 };

static struct passwd *find_user(struct str name)
{
	char c[sizeof ((struct priv_user *)0)->name];

	if (name.n >= sizeof c)
		return NULL;
	snprintf(c, sizeof c, "%.*s", STR_ARG(name));
	return getpwnam(c);
}

static bool find_group(struct str name, gid_t *gid)
{
	char c[64];
	struct group *g;

	if (name.n >= sizeof c)
		return false;
	snprintf(c, sizeof c, "%.*s", STR_ARG(name));
	g = getgrnam(c);
	if (g)
		*gid = g->gr_gid;
	return g != NULL;
}

/* All groups that initgroups(3) would set. */
static void find_groups(struct priv_user *u)
{
	u->ngroups = GROUPS_FIRST;
	u->groups = base_alloc((size_t)u->ngroups * sizeof *u->groups);
	while (getgrouplist(u->name, u->gid, u->groups, &u->ngroups) < 0)
		u->groups = base_realloc(u->groups, (size_t)u->ngroups * sizeof *u->groups);
}

enum priv_found priv_find(struct priv_user *u, struct str username, struct str groupname, bool as_caller)
{
	enum priv_found found = PRIV_OK;
	struct passwd *pw;

	*u = (struct priv_user){ .uid = geteuid(), .gid = getegid() };
	if (geteuid() != 0 || as_caller) {
		pw = getpwuid(u->uid);
		snprintf(u->name, sizeof u->name, "%s", pw ? pw->pw_name : "?");
		return username.n && !str_eq(username, str_from_c(u->name)) ? PRIV_IGNORED : PRIV_OK;
	}
	if (username.n) {
		pw = find_user(username);
	} else if (!(pw = find_user(STR("gatehouse")))) {
		pw = find_user(STR("nobody"));
		found = PRIV_NOBODY;
	}
	if (!pw)
		return PRIV_NO_USER;
	u->change = true;
	u->uid = pw->pw_uid;
	u->gid = pw->pw_gid;
	snprintf(u->name, sizeof u->name, "%s", pw->pw_name);
	if (groupname.n && !find_group(groupname, &u->gid))
		return PRIV_NO_GROUP;
	find_groups(u);
	return found;
}

void priv_fini(struct priv_user *u)
{
	free(u->groups);
	*u = (struct priv_user){ 0 };
}

bool priv_equal(const struct priv_user *a, const struct priv_user *b)
{
	return a->change == b->change && a->uid == b->uid && a->gid == b->gid && a->ngroups == b->ngroups &&
	       (a->ngroups == 0 || memcmp(a->groups, b->groups, (size_t)a->ngroups * sizeof *a->groups) == 0);
}

/*
 * Best effort, in a container root may lack CAP_SETPCAP: what keeps exec from giving uid 0 (`gatehouse proxy`
 * run by root) its capabilities back is no_new_privs.
 */
static void drop_bounding_set(void)
{
	for (cap_value_t c = 0; cap_get_bound(c) >= 0; c++)
		if (cap_drop_bound(c) < 0)
			return;
}

static const char *drop_capabilities(void)
{
	cap_t none;
	int r;

	if (cap_reset_ambient() < 0)
		return "dropping ambient capabilities";
	none = cap_init();
	if (!none)
		return "cap_init";
	r = cap_set_proc(none);
	cap_free(none);
	return r < 0 ? "dropping capabilities" : NULL;
}

/* Of the kept ones, those that it has: a service manager may have given only some. */
static bool keep_flags(cap_t to, cap_t from, unsigned more)
{
	const struct {
		cap_value_t cap;
		bool wanted;
	} kept[] = {
		{ CAP_NET_BIND_SERVICE, true },
		{ CAP_SETUID, true },
		{ CAP_SETGID, true },
		{ CAP_CHOWN, (more & PRIV_CHOWN) != 0 },
		{ CAP_SYS_RESOURCE, (more & PRIV_RESOURCE) != 0 },
		{ CAP_NET_RAW, (more & PRIV_SOURCE) != 0 },
	};
	/* inheritable: a new binary that takes over is to have them as well */
	const cap_flag_t flags[] = { CAP_PERMITTED, CAP_EFFECTIVE, CAP_INHERITABLE };

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		cap_flag_value_t has = CAP_CLEAR;

		if (!kept[i].wanted || cap_get_flag(from, kept[i].cap, CAP_PERMITTED, &has) < 0)
			continue;
		for (size_t f = 0; f < ARRAY_SIZE(flags); f++)
			if (cap_set_flag(to, flags[f], 1, &kept[i].cap, has) < 0)
				return false;
	}
	return true;
}

/* What is in the bounding set could come back with an exec; without it, it cannot be made inheritable. */
static bool set_inheritable(cap_t now, cap_t kept)
{
	for (cap_value_t c = 0; cap_get_bound(c) >= 0; c++) {
		cap_flag_value_t value;

		if (cap_get_flag(kept, c, CAP_INHERITABLE, &value) < 0 ||
		    cap_set_flag(now, CAP_INHERITABLE, 1, &c, value) < 0)
			return false;
	}
	return cap_set_proc(now) == 0;
}

const char *priv_keep(unsigned more)
{
	cap_t now = cap_get_proc(), kept = cap_init();
	const char *wrong = NULL;

	if (!now || !kept || !keep_flags(kept, now, more))
		wrong = "reading capabilities";
	else if (cap_reset_ambient() < 0)
		wrong = "dropping ambient capabilities";
	else if (!set_inheritable(now, kept))
		wrong = "setting inheritable capabilities";
	if (!wrong) {
		drop_bounding_set();
		if (cap_set_proc(kept) < 0)
			wrong = "dropping capabilities";
	}
	cap_free(now);
	cap_free(kept);
	return wrong;
}

void priv_pass_on(void)
{
	cap_t now = cap_get_proc();

	for (cap_value_t c = 0; now && cap_get_bound(c) >= 0; c++) {
		cap_flag_value_t has = CAP_CLEAR;

		if (cap_get_flag(now, c, CAP_PERMITTED, &has) == 0 && has == CAP_SET)
			(void)cap_set_ambient(c, CAP_SET);
	}
	cap_free(now);
}

static const char *change_user(const struct priv_user *u)
{
	uid_t r, e, s;

	if (setgroups((size_t)u->ngroups, u->groups) < 0)
		return "setgroups";
	if (setresgid(u->gid, u->gid, u->gid) < 0)
		return "setgid";
	if (setresuid(u->uid, u->uid, u->uid) < 0)
		return "setuid";
	errno = EPERM;
	if (getresuid(&r, &e, &s) < 0 || r != u->uid || e != u->uid || s != u->uid)
		return "giving up root";
	return NULL;
}

const char *priv_become(const struct priv_user *u)
{
	const char *wrong = NULL;

	drop_bounding_set();
	if (u->change)
		wrong = change_user(u);
	if (!wrong)
		wrong = drop_capabilities();
	if (!wrong && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		wrong = "no_new_privs";
	return wrong;
}

void priv_seal(void)
{
	/* LeakSanitizer looks at its own process through ptrace */
	if (!BASE_SANITIZED)
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
