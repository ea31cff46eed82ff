#include "proxy/sandbox.h"
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- landlock ---- */

/* Rights that came with later versions than this machine's header may know. */
#define ACCESS_TRUNCATE (1ULL << 14)  /* 3 */
#define ACCESS_IOCTL_DEV (1ULL << 15) /* 5 */

static long landlock_version(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static uint64_t landlock_rights(long version)
{
	uint64_t all = LANDLOCK_ACCESS_FS_REFER - 1;

	if (version >= 2)
		all |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		all |= ACCESS_TRUNCATE;
	if (version >= 5)
		all |= ACCESS_IOCTL_DEV;
	return all;
}

/*
 * What is read again and again, as it changes: how names are looked up (getaddrinfo), and what CAs the system
 * trusts. Folders, as files in them are replaced. Columns: folder, roles.
 */
#define FOLDER_TABLE(X)                                                                  \
	X("/etc", MSG_HELPERS)                   /* resolv.conf, hosts, nsswitch.conf */ \
	X("/run/systemd/resolve", MSG_HELPERS)   /* where resolv.conf may lead to */     \
	X("/run/resolvconf", MSG_HELPERS)                                                \
	X("/run/NetworkManager", MSG_HELPERS)                                            \
	X("/run/connman", MSG_HELPERS)                                                   \
	X("/run/systemd", MSG_RESOLVER)          /* names of containers */               \
	X("/run/nscd", MSG_RESOLVER)             /* names that it knows */               \
	X("/lib", MSG_RESOLVER)                  /* modules of nsswitch.conf */          \
	X("/lib64", MSG_RESOLVER)                                                        \
	X("/usr/lib", MSG_RESOLVER)                                                      \
	X("/usr/lib64", MSG_RESOLVER)                                                    \
	X("/usr/local/lib", MSG_RESOLVER)                                                \
	X("/usr/lib/ssl", MSG_ACME)              /* and where /etc/ssl/certs may lead */ \
	X("/usr/share/ca-certificates", MSG_ACME)                                        \
	X("/usr/local/share/ca-certificates", MSG_ACME)

static const struct {
	const char *path;
	unsigned roles;
} folders[] = {
#define X(path, roles) { path, roles },
	FOLDER_TABLE(X)
#undef X
};

/* One that is not there is not missed. */
static bool leave_open(int ruleset, const char *path)
{
	struct landlock_path_beneath_attr attr = {
		.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
		.parent_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC),
	};
	long r;

	if (attr.parent_fd < 0)
		return true;
	r = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attr, 0);
	close(attr.parent_fd);
	return r == 0;
}

/*
 * Without a folder in the table nothing of it is left. Not among the rights: connecting to a Unix socket
 * by its path, which is what workers do.
 */
const char *sandbox_leave_files(enum msg_role role)
{
	struct landlock_ruleset_attr attr = { 0 };
	long version = landlock_version();
	const char *wrong = NULL;
	int fd;

	if (version <= 0)
		return NULL;
	attr.handled_access_fs = landlock_rights(version);
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
	if (fd < 0)
		return "landlock_create_ruleset";
	for (size_t i = 0; i < ARRAY_SIZE(folders) && !wrong; i++)
		if ((folders[i].roles & role) && !leave_open(fd, folders[i].path))
			wrong = folders[i].path;
	if (!wrong && syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		wrong = "landlock_restrict_self";
	close(fd);
	return wrong;
}

/* ---- seccomp ---- */

enum rule {
	ALLOW,
	REFUSE,      /* EACCES: libraries try it, and can do without */
	NOT_EXEC,    /* memory that is never executed */
	LIBRARY,     /* memory that is written, or executed, not both */
	STREAM,      /* a stream socket to an upstream */
	LOOK_UP,     /* the same, and what looks up names */
	WAITING,     /* how much a socket has to be read */
	UNSENT,      /* how much a socket has still to send */
	OWN_PROCESS, /* signals, but to nobody else */
	BY_FD,       /* of an open descriptor */
};

#define ALL (MSG_WORKER | MSG_TRIAL | MSG_HELPERS)
/* Rows that only a build with sanitizers has. */
#define SANITIZER (BASE_SANITIZED ? ALL : 0)

/* Columns: system call, roles, rule, why. One that an architecture does not have is passed over. */
#define SANDBOX_TABLE(X)                                                                                  \
	X(epoll_wait, ALL, ALLOW, "the loop")                                                             \
	X(epoll_pwait, ALL, ALLOW, "the loop, where there is no epoll_wait")                              \
	X(epoll_ctl, ALL, ALLOW, "the loop")                                                              \
	X(read, ALL, ALLOW, "connections")                                                                \
	X(readv, ALL, ALLOW, "connections")                                                               \
	X(recvfrom, ALL, ALLOW, "connections: recv")                                                      \
	X(recvmsg, ALL, ALLOW, "control messages")                                                        \
	X(splice, MSG_WORKER, ALLOW, "relays: large copies")                                              \
	X(pipe2, MSG_WORKER, ALLOW, "relays: what is spliced through")                                    \
	X(write, ALL, ALLOW, "connections, logs")                                                         \
	X(writev, ALL, ALLOW, "connections")                                                              \
	X(sendto, ALL, ALLOW, "connections: send")                                                        \
	X(sendmsg, ALL, ALLOW, "connections, control messages")                                           \
	X(close, ALL, ALLOW, "all descriptors")                                                           \
	X(shutdown, ALL, ALLOW, "connections")                                                            \
	X(accept4, MSG_WORKER, ALLOW, "clients")                                                          \
	X(socket, MSG_WORKER, STREAM, "dialling")                                                         \
	X(connect, MSG_WORKER, ALLOW, "dialling")                                                         \
	X(getsockopt, ALL, ALLOW, "how a dial ended; what kind of socket a log is")                       \
	X(setsockopt, ALL, ALLOW, "TCP_NODELAY, SO_LINGER")                                               \
	X(getsockname, ALL, ALLOW, "which listener a client came to")                                     \
	X(getpeername, ALL, ALLOW, "dialling: connected to itself?")                                      \
	X(ioctl, ALL, UNSENT, "is what was sent acknowledged?")                                           \
	X(poll, ALL, ALLOW, "would the log block?")                                                       \
	X(ppoll, ALL, ALLOW, "the same, where there is no poll")                                          \
	X(fcntl, ALL, ALLOW, "descriptors for messages, seals of a bundle, logs that must not block")     \
	X(dup2, ALL, ALLOW, "the log takes the place of standard error")                                  \
	X(dup3, ALL, ALLOW, "the same, where there is no dup2")                                           \
	X(fstat, ALL, ALLOW, "is a log a file? how long is a bundle?")                                    \
	X(newfstatat, ALL, BY_FD, "the same, as C libraries spell it")                                    \
	X(statx, ALL, BY_FD, "the same, as C libraries spell it")                                         \
	X(lseek, ALL, ALLOW, "memory streams of the C library")                                           \
	X(open, ALL, REFUSE, "the time zone again, when it has changed")                                  \
	X(openat, ALL, REFUSE, "the same; entropy files")                                                 \
	X(stat, ALL, REFUSE, "the same")                                                                  \
	X(access, ALL, REFUSE, "the same")                                                                \
	X(readlink, ALL, REFUSE, "the same")                                                              \
	X(brk, ALL, ALLOW, "memory")                                                                      \
	X(mmap, ALL, NOT_EXEC, "memory, bundles, counters")                                               \
	X(mmap2, ALL, NOT_EXEC, "the same on 32 bits")                                                    \
	X(mprotect, ALL, NOT_EXEC, "memory")                                                              \
	X(mremap, ALL, ALLOW, "memory")                                                                   \
	X(munmap, ALL, ALLOW, "memory")                                                                   \
	X(madvise, ALL, ALLOW, "memory goes back")                                                        \
	X(getrandom, ALL, ALLOW, "OpenSSL; hash seeds")                                                   \
	X(clock_gettime, ALL, ALLOW, "clocks, where the vdso has none")                                   \
	X(gettimeofday, ALL, ALLOW, "the same")                                                           \
	X(time, ALL, ALLOW, "the same")                                                                   \
	X(futex, ALL, ALLOW, "locks of libraries")                                                        \
	X(getpid, ALL, ALLOW, "OpenSSL: forked?; abort")                                                  \
	X(gettid, ALL, ALLOW, "abort")                                                                    \
	X(tgkill, ALL, OWN_PROCESS, "abort")                                                              \
	X(kill, SANITIZER, OWN_PROCESS, "how a sanitizer ends the process")                               \
	X(rt_sigaction, ALL, ALLOW, "abort")                                                              \
	X(rt_sigprocmask, ALL, ALLOW, "abort")                                                            \
	X(rt_sigreturn, ALL, ALLOW, "after a signal's handler")                                           \
	X(restart_syscall, ALL, ALLOW, "a call goes on after SIGCONT")                                    \
	X(exit, ALL, ALLOW, "the end")                                                                    \
	X(exit_group, ALL, ALLOW, "the end")                                                              \
	/* getaddrinfo */                                                                                 \
	X(socket, MSG_HELPERS, LOOK_UP, "name servers")                                                   \
	X(connect, MSG_HELPERS, ALLOW, "name servers; a CA")                                              \
	X(bind, MSG_HELPERS, ALLOW, "which kinds of address are there? (netlink)")                        \
	X(sendmmsg, MSG_HELPERS, ALLOW, "both questions at once")                                         \
	X(ioctl, MSG_HELPERS, WAITING, "how long is the answer?")                                         \
	X(uname, MSG_HELPERS, ALLOW, "the machine's own name")                                            \
	X(open, MSG_HELPERS, ALLOW, "what landlock leaves: resolv.conf, CA certificates")                 \
	X(openat, MSG_HELPERS, ALLOW, "the same")                                                         \
	X(stat, MSG_HELPERS, ALLOW, "the same")                                                           \
	X(newfstatat, MSG_HELPERS, ALLOW, "the same")                                                     \
	X(statx, MSG_HELPERS, ALLOW, "the same")                                                          \
	X(access, MSG_HELPERS, ALLOW, "the same")                                                         \
	X(readlink, MSG_HELPERS, ALLOW, "the same")                                                       \
	X(pread64, MSG_HELPERS, ALLOW, "the same")                                                        \
	X(getdents64, MSG_HELPERS, ALLOW, "the same")                                                     \
	X(mmap, MSG_RESOLVER, LIBRARY, "modules of nsswitch.conf")                                         \
	X(mmap2, MSG_RESOLVER, LIBRARY, "the same on 32 bits")                                            \
	X(recvmmsg, MSG_RESOLVER, ALLOW, "they may use it")                                               \
	X(faccessat, MSG_RESOLVER, ALLOW, "the same")                                                     \
	X(faccessat2, MSG_RESOLVER, ALLOW, "the same")                                                    \
	X(readlinkat, MSG_RESOLVER, ALLOW, "the same")                                                    \
	X(getuid, MSG_RESOLVER, ALLOW, "the same")                                                        \
	X(geteuid, MSG_RESOLVER, ALLOW, "the same")                                                       \
	X(getgid, MSG_RESOLVER, ALLOW, "the same")                                                        \
	X(getegid, MSG_RESOLVER, ALLOW, "the same")                                                       \
	X(clock_nanosleep, MSG_RESOLVER, ALLOW, "the same")                                               \
	X(pipe2, MSG_RESOLVER, ALLOW, "what a look-up tells by")                                          \
	/* a process for each order, or question */                                                       \
	X(clone, MSG_HELPERS, ALLOW, "fork")                                                              \
	X(fork, MSG_HELPERS, ALLOW, "the same, elsewhere")                                                \
	X(set_robust_list, MSG_HELPERS, ALLOW, "fork, in the child")                                      \
	X(rseq, MSG_HELPERS, ALLOW, "the same")                                                           \
	X(wait4, MSG_HELPERS, ALLOW, "its end")                                                           \
	X(prctl, MSG_HELPERS, ALLOW, "which comes with its parent's")                                     \
	X(alarm, MSG_HELPERS, ALLOW, "or in time")                                                        \
	X(setitimer, MSG_HELPERS, ALLOW, "the same")                                                      \
	X(socketpair, MSG_HELPERS, ALLOW, "between the two")                                              \
	X(close_range, MSG_HELPERS, ALLOW, "what is not for the child")                                   \
	X(memfd_create, MSG_ACME, ALLOW, "what the parent is to write")                                   \
	/* the leak checker stops the process from a thread that reads its memory; reports name source */ \
	X(open, SANITIZER, ALLOW, "/proc/self/maps, the program for its symbols")                         \
	X(openat, SANITIZER, ALLOW, "the same")                                                           \
	X(stat, SANITIZER, ALLOW, "the same")                                                             \
	X(newfstatat, SANITIZER, ALLOW, "the same")                                                       \
	X(readlink, SANITIZER, ALLOW, "the same")                                                         \
	X(getdents, SANITIZER, ALLOW, "/proc/self/task, as its own code reads it")                        \
	X(getdents64, SANITIZER, ALLOW, "/proc/self/task")                                                \
	X(clone, SANITIZER, ALLOW, "the leak checker")                                                    \
	X(wait4, SANITIZER, ALLOW, "the leak checker")                                                    \
	X(ptrace, SANITIZER, ALLOW, "the leak checker")                                                   \
	X(prctl, SANITIZER, ALLOW, "the leak checker")                                                    \
	X(getppid, SANITIZER, ALLOW, "the leak checker")                                                  \
	X(sigaltstack, SANITIZER, ALLOW, "the leak checker")                                              \
	X(sched_yield, SANITIZER, ALLOW, "the leak checker")                                              \
	X(sched_getaffinity, SANITIZER, ALLOW, "its mutexes")                                             \
	X(getrlimit, SANITIZER, ALLOW, "where the stack ends")                                            \
	X(prlimit64, SANITIZER, ALLOW, "the same")                                                        \
	X(getrusage, SANITIZER, ALLOW, "statistics")                                                      \
	X(pipe, SANITIZER, ALLOW, "is that memory readable?")                                             \
	X(pipe2, SANITIZER, ALLOW, "the same")                                                            \
	X(socketpair, SANITIZER, ALLOW, "a symbolizer")

static const struct row {
	int call;
	unsigned roles;
	enum rule rule;
} rows[] = {
#define X(call, roles, rule, why) { SCMP_SYS(call), roles, rule },
	SANDBOX_TABLE(X)
#undef X
};

static int allow_if(scmp_filter_ctx c, int call, struct scmp_arg_cmp a)
{
	return seccomp_rule_add_array(c, SCMP_ACT_ALLOW, call, 1, &a);
}

static int allow_sockets(scmp_filter_ctx c, int call)
{
	static const int families[] = { AF_UNIX, AF_INET, AF_INET6 };
	const scmp_datum_t kind = ~(scmp_datum_t)(SOCK_NONBLOCK | SOCK_CLOEXEC) & UINT32_MAX;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(families) && r == 0; i++) {
		const struct scmp_arg_cmp both[] = {
			SCMP_A0_32(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0),
			SCMP_A1_32(SCMP_CMP_MASKED_EQ, kind, SOCK_STREAM),
		};

		r = seccomp_rule_add_array(c, SCMP_ACT_ALLOW, call, ARRAY_SIZE(both), both);
	}
	return r;
}

/* For names: datagrams, and the kernel's list of addresses (rtnetlink). */
static int allow_look_up(scmp_filter_ctx c, int call)
{
	static const struct {
		int family, kind;
	} more[] = { { AF_INET, SOCK_DGRAM }, { AF_INET6, SOCK_DGRAM }, { AF_NETLINK, SOCK_RAW } };
	const scmp_datum_t kind = ~(scmp_datum_t)(SOCK_NONBLOCK | SOCK_CLOEXEC) & UINT32_MAX;
	int r = allow_sockets(c, call);

	for (size_t i = 0; i < ARRAY_SIZE(more) && r == 0; i++) {
		const struct scmp_arg_cmp all[] = {
			SCMP_A0_32(SCMP_CMP_EQ, (scmp_datum_t)more[i].family, 0),
			SCMP_A1_32(SCMP_CMP_MASKED_EQ, kind, (scmp_datum_t)more[i].kind),
			SCMP_A2_32(SCMP_CMP_EQ, 0, 0), /* NETLINK_ROUTE; of the others the usual one */
		};

		r = seccomp_rule_add_array(c, SCMP_ACT_ALLOW, call, ARRAY_SIZE(all), all);
	}
	return r;
}

static int allow_libraries(scmp_filter_ctx c, int call)
{
	int r = allow_if(c, call, SCMP_A2_32(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	return r ? r : allow_if(c, call, SCMP_A2_32(SCMP_CMP_MASKED_EQ, PROT_WRITE | PROT_EXEC, PROT_EXEC));
}

/* By path it is refused, as files are. Both calls have the flag; at different places. */
static int allow_by_fd(scmp_filter_ctx c, int call)
{
	const scmp_datum_t flag = 0x1000; /* AT_EMPTY_PATH */
	struct scmp_arg_cmp set = SCMP_A3_32(SCMP_CMP_MASKED_EQ, flag, flag);
	struct scmp_arg_cmp unset = SCMP_A3_32(SCMP_CMP_MASKED_EQ, flag, 0);
	int r;

	if (call == SCMP_SYS(statx))
		set.arg = unset.arg = 2;
	r = allow_if(c, call, set);
	return r ? r : seccomp_rule_add_array(c, SCMP_ACT_ERRNO(EACCES), call, 1, &unset);
}

static int add(scmp_filter_ctx c, const struct row *row)
{
	switch (row->rule) {
	case ALLOW:
		return seccomp_rule_add_array(c, SCMP_ACT_ALLOW, row->call, 0, NULL);
	case REFUSE:
		return seccomp_rule_add_array(c, SCMP_ACT_ERRNO(EACCES), row->call, 0, NULL);
	case NOT_EXEC:
		return allow_if(c, row->call, SCMP_A2_32(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	case LIBRARY:
		return allow_libraries(c, row->call);
	case STREAM:
		return allow_sockets(c, row->call);
	case LOOK_UP:
		return allow_look_up(c, row->call);
	case WAITING:
		return allow_if(c, row->call, SCMP_A1_32(SCMP_CMP_EQ, FIONREAD, 0));
	case UNSENT:
		return allow_if(c, row->call, SCMP_A1_32(SCMP_CMP_EQ, SIOCOUTQ, 0));
	case OWN_PROCESS:
		return allow_if(c, row->call, SCMP_A0_32(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
	case BY_FD:
		return allow_by_fd(c, row->call);
	}
	return -EINVAL;
}

/* Of several rows for a call the last one that the role has is meant. */
static bool is_meant(const struct row *row, unsigned role)
{
	if (!(row->roles & role))
		return false;
	for (const struct row *later = row + 1; later < rows + ARRAY_SIZE(rows); later++)
		if (later->call == row->call && (later->roles & role))
			return false;
	return true;
}

static bool has_seccomp(void)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/* What looks names up is whatever a machine has: what is denied it is an error, not its end. */
static uint32_t denial(enum msg_role role)
{
	return role & MSG_HELPERS ? SCMP_ACT_ERRNO(ENOSYS) : SCMP_ACT_KILL_PROCESS;
}

static const char *leave_system_calls(enum msg_role role)
{
	scmp_filter_ctx c;
	int r = 0;

	if (!has_seccomp())
		return NULL;
	c = seccomp_init(denial(role));
	if (!c)
		return "seccomp_init";
	for (const struct row *row = rows; row < rows + ARRAY_SIZE(rows) && r == 0; row++)
		if (is_meant(row, role))
			r = add(c, row);
	if (r == 0)
		r = seccomp_load(c);
	seccomp_release(c);
	errno = -r;
	return r < 0 ? "seccomp" : NULL;
}

/* ---- both ---- */

const char *sandbox_missing(void)
{
	bool landlock = landlock_version() > 0, seccomp = has_seccomp();

	if (!landlock && !seccomp)
		return "landlock and seccomp";
	return !landlock ? "landlock" : !seccomp ? "seccomp" : NULL;
}

const char *sandbox_enter(enum msg_role role)
{
	const char *wrong = NULL;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		wrong = "no_new_privs";
	/* the leak checker reads /proc/self */
	if (!wrong && !BASE_SANITIZED)
		wrong = sandbox_leave_files(role);
	if (!wrong)
		wrong = leave_system_calls(role);
	return wrong;
}
