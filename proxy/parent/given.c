#include "proxy/parent/given.h"
#include "core/log.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_FD = 3, MOST = 1024 };

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t n = sizeof value;

	return getsockopt(fd, level, name, &value, &n) < 0 ? -1 : value;
}

/* What is wrong with it, or NULL. */
static const char *judge(const struct given *g)
{
	int family = g->addr.sa.sa_family;

	if (option(g->fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM ||
	    option(g->fd, SOL_SOCKET, SO_ACCEPTCONN) != 1)
		return "no listening stream socket";
	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return "of no family that is served";
	/* it would take the IPv4 address from the listener that has it */
	if (family == AF_INET6 && option(g->fd, IPPROTO_IPV6, IPV6_V6ONLY) != 1)
		return "takes IPv4, too: BindIPv6Only=ipv6-only makes two sockets of it";
	return NULL;
}

static void drop(struct given *g, const char *why)
{
	char text[ADDR_TEXT_BYTES];

	log_warn("the service manager's socket %s (%s) is closed: %s",
		 addr_text(&g->addr.sa, g->addr.len, text, sizeof text), g->name, why);
	list_del(&g->node);
	close(g->fd);
	free(g);
}

static void add(struct list *all, int fd, struct str name)
{
	struct given *g = base_zalloc(sizeof *g);
	const char *wrong;

	g->fd = fd;
	g->addr.len = sizeof g->addr.ss;
	snprintf(g->name, sizeof g->name, "%.*s", STR_ARG(name));
	list_push(all, &g->node);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (getsockname(fd, &g->addr.sa, &g->addr.len) < 0) {
		drop(g, strerror(errno));
		return;
	}
	wrong = judge(g);
	if (wrong)
		drop(g, wrong);
	else if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		drop(g, strerror(errno));
}

void given_open(struct list *all)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
	uint64_t count, owner;

	list_init(all);
	if (pid && n && str_to_u64(str_from_c(pid), INT_MAX, &owner) && owner == (uint64_t)getpid() &&
	    str_to_u64(str_from_c(n), MOST, &count)) {
		for (int i = 0; i < (int)count; i++) {
			size_t len = names ? strcspn(names, ":") : 0;

			add(all, FIRST_FD + i, str_of(names, len));
			if (names)
				names += len + (names[len] == ':');
		}
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

static bool has_address(const struct given *g, const struct addr *a)
{
	return g->addr.len == a->len && memcmp(&g->addr.ss, &a->ss, a->len) == 0;
}

static bool has_name(const struct given *g, const struct addr *a, uint16_t port)
{
	char name[8];

	snprintf(name, sizeof name, "%u", port);
	return g->addr.sa.sa_family == a->sa.sa_family && a->sa.sa_family != AF_UNIX &&
	       strcmp(g->name, name) == 0;
}

int given_take(struct list *all, const struct addr *a, uint16_t port)
{
	struct given *found = NULL;
	int fd;

	list_for_each(n, all) {
		struct given *g = list_entry(n, struct given, node);

		if (has_address(g, a) || (!found && has_name(g, a, port)))
			found = g;
	}
	if (!found)
		return -1;
	fd = found->fd;
	list_del(&found->node);
	free(found);
	return fd;
}

void given_close(struct list *all)
{
	while (!list_empty(all))
		drop(list_entry(all->next, struct given, node), "no listener has its address");
}
