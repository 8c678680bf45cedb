/* wrap.c - the fault build: the n-th call of a kind fails once, or something happens just before it.
 *
 * Linked into build/fault/drover by the linker's --wrap (calls.h).  What is to happen is written by inject.py
 * into a page that all processes of the daemon have mapped from the file $DROVER_FAULT; without that variable
 * every call goes through.  The page says in return that the point was reached, by whom and from where, and
 * how many calls there were.
 *
 * Everything here calls __real_*: the linker wraps this object's own calls too. */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <sanitizer/lsan_interface.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifdef WITH_STEERING
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#endif

#ifdef WITH_SECCOMP
#include <seccomp.h>
#endif

#define HOOK(name)

enum call {
#define CALL(name) CALL_##name,
#include "calls.h"
#undef CALL
	CALLS
};

enum role { ROLE_MASTER, ROLE_CHECKER, ROLE_WORKER, ROLES };
enum arming { ARMED_NOT, ARMED, ARMED_FIRED };
enum action { ACT_FAIL, ACT_SIGNAL, ACT_KILL_CHILD };

enum { FRAMES = 16, EVERY_CHILD = -1 };

/* The order of the fields is known to fault.py. */
struct page {
	_Atomic uint32_t armed;
	uint32_t roles;                 /* a bit each */
	uint64_t calls;                 /* a bit each */
	_Atomic uint32_t countdown;     /* the n of the n-th call */
	int32_t error;                  /* ACT_FAIL: errno */
	uint32_t action;
	int32_t argument;               /* a signal, or which child */
	_Atomic uint32_t leaks;         /* processes that ended with some */
	uint32_t fired_role, fired_call, frames;
	uint64_t frame[FRAMES];         /* return addresses, counted from the program's start */
	_Atomic uint64_t count[ROLES][CALLS];
};

extern const char __executable_start[];

static struct page *page;               /* NULL: nothing is injected */
static enum role role = ROLE_MASTER, role_of_child = ROLE_WORKER;

/* ---- what happens ----------------------------------------------------------------------------------- */

int __real_open(const char *path, int flags, ...);
ssize_t __real_read(int fd, void *buffer, size_t len);
void *__real_mmap(void *at, size_t len, int protection, int flags, int fd, off_t offset);

static void note_where(enum call call)
{
	void *at[FRAMES];
	int count = backtrace(at, FRAMES);

	page->fired_role = role;
	page->fired_call = call;
	page->frames = 0;
	for (int i = 2; i < count; i++)         /* without this function and `due` */
		page->frame[page->frames++] = (uintptr_t)at[i] - (uintptr_t)__executable_start;
}

/* Our own children, zombies included, by the kernel's list: no pid in it can be somebody else's. */
static void kill_child(int which)
{
	char path[64], text[4096];
	int fd, number = 0;
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	fd = __real_open(path, O_RDONLY | O_CLOEXEC);
	len = fd < 0 ? 0 : __real_read(fd, text, sizeof(text) - 1);
	close(fd);
	text[len > 0 ? len : 0] = '\0';
	for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
		if (number++ == which || which == EVERY_CHILD)
			kill((pid_t)atoi(word), SIGKILL);
}

static bool act(void)
{
	int saved = errno;

	if (page->action == ACT_FAIL) {
		errno = page->error;
		return true;
	}
	if (page->action == ACT_SIGNAL)
		kill(getpid(), page->argument);
	else
		kill_child(page->argument);
	errno = saved;
	return false;
}

/* True when this call has to fail now, with errno set. */
static bool due(enum call call)
{
	uint32_t expected = ARMED;

	if (page == NULL)
		return false;
	atomic_fetch_add(&page->count[role][call], 1);
	if (atomic_load(&page->armed) != ARMED || (page->roles >> role & 1) == 0 ||
	    (page->calls >> call & 1) == 0)
		return false;
	if (atomic_fetch_sub(&page->countdown, 1) != 1)
		return false;
	note_where(call);
	return atomic_compare_exchange_strong(&page->armed, &expected, ARMED_FIRED) && act();
}

/* ---- calls with a fixed number of arguments ----------------------------------------------------------- */

#define WRAP(result, name, failure, parameters, arguments)      \
	result __real_##name parameters;                        \
	result __wrap_##name parameters;                        \
	result __wrap_##name parameters                         \
	{                                                       \
		return due(CALL_##name) ? (failure) : __real_##name arguments; \
	}

WRAP(void *, malloc, NULL, (size_t len), (len))
WRAP(void *, calloc, NULL, (size_t count, size_t len), (count, len))
WRAP(void *, realloc, NULL, (void *at, size_t len), (at, len))
WRAP(void *, reallocarray, NULL, (void *at, size_t count, size_t len), (at, count, len))
WRAP(FILE *, open_memstream, NULL, (char **text, size_t *len), (text, len))
WRAP(int, epoll_create1, -1, (int flags), (flags))
WRAP(int, epoll_wait, -1, (int fd, struct epoll_event *events, int most, int timeout),
     (fd, events, most, timeout))
WRAP(int, signalfd, -1, (int fd, const sigset_t *set, int flags), (fd, set, flags))
WRAP(int, pidfd_open, -1, (pid_t pid, unsigned flags), (pid, flags))
WRAP(int, memfd_create, -1, (const char *name, unsigned flags), (name, flags))
WRAP(void *, mmap, MAP_FAILED, (void *at, size_t len, int protection, int flags, int fd, off_t offset),
     (at, len, protection, flags, fd, offset))
WRAP(int, fstat, -1, (int fd, struct stat *info), (fd, info))
WRAP(int, stat, -1, (const char *path, struct stat *info), (path, info))
WRAP(int, statx, -1, (int root, const char *path, int flags, unsigned wanted, struct statx *info),
     (root, path, flags, wanted, info))
WRAP(int, statfs, -1, (const char *path, struct statfs *info), (path, info))
WRAP(int, fstatfs, -1, (int fd, struct statfs *info), (fd, info))
WRAP(int, inotify_init1, -1, (int flags), (flags))
WRAP(int, inotify_add_watch, -1, (int fd, const char *path, uint32_t mask), (fd, path, mask))
WRAP(char *, crypt_rn, NULL, (const char *phrase, const char *setting, void *data, int size),
     (phrase, setting, data, size))
WRAP(ssize_t, preadv2, -1, (int fd, const struct iovec *parts, int count, off_t offset, int flags),
     (fd, parts, count, offset, flags))
WRAP(ssize_t, pread, -1, (int fd, void *buffer, size_t len, off_t offset), (fd, buffer, len, offset))
WRAP(ssize_t, readlink, -1, (const char *path, char *buffer, size_t len), (path, buffer, len))
WRAP(ssize_t, read, -1, (int fd, void *buffer, size_t len), (fd, buffer, len))
WRAP(ssize_t, write, -1, (int fd, const void *buffer, size_t len), (fd, buffer, len))
WRAP(int, socket, -1, (int family, int type, int protocol), (family, type, protocol))
WRAP(int, socketpair, -1, (int family, int type, int protocol, int ends[2]), (family, type, protocol, ends))
WRAP(int, setsockopt, -1, (int fd, int level, int option, const void *value, socklen_t len),
     (fd, level, option, value, len))
WRAP(int, getsockopt, -1, (int fd, int level, int option, void *value, socklen_t *len),
     (fd, level, option, value, len))
WRAP(int, bind, -1, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))
WRAP(int, listen, -1, (int fd, int backlog), (fd, backlog))
WRAP(int, connect, -1, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))
WRAP(int, accept4, -1, (int fd, struct sockaddr *addr, socklen_t *len, int flags), (fd, addr, len, flags))
WRAP(ssize_t, recv, -1, (int fd, void *buffer, size_t len, int flags), (fd, buffer, len, flags))
WRAP(ssize_t, recvmsg, -1, (int fd, struct msghdr *message, int flags), (fd, message, flags))
WRAP(ssize_t, send, -1, (int fd, const void *buffer, size_t len, int flags), (fd, buffer, len, flags))
WRAP(ssize_t, sendfile, -1, (int out, int in, off_t *offset, size_t len), (out, in, offset, len))
WRAP(int, poll, -1, (struct pollfd *fds, nfds_t count, int timeout), (fds, count, timeout))
WRAP(int, sigaltstack, -1, (const stack_t *stack, stack_t *before), (stack, before))
WRAP(int, sigaction, -1, (int number, const struct sigaction *action, struct sigaction *before),
     (number, action, before))
WRAP(int, pthread_create, errno,
     (pthread_t * thread, const pthread_attr_t *how, void *(*work)(void *), void *of),
     (thread, how, work, of))
WRAP(int, mkdir, -1, (const char *path, mode_t mode), (path, mode))
WRAP(int, setgroups, -1, (size_t count, const gid_t *groups), (count, groups))
WRAP(int, cap_set_proc, -1, (cap_t caps), (caps))
WRAP(int, execv, -1, (const char *path, char *const argv[]), (path, argv))
WRAP(int, setenv, -1, (const char *name, const char *value, int replace), (name, value, replace))

#ifdef WITH_STEERING

WRAP(int, bpf_map_create, -errno,
     (enum bpf_map_type type, const char *name, uint32_t key, uint32_t value, uint32_t most,
      const struct bpf_map_create_opts *options),
     (type, name, key, value, most, options))
WRAP(int, bpf_map_update_elem, -errno, (int fd, const void *key, const void *value, uint64_t flags),
     (fd, key, value, flags))
WRAP(int, bpf_map__reuse_fd, -errno, (struct bpf_map * map, int fd), (map, fd))
WRAP(int, bpf_object__open_skeleton, -errno,
     (struct bpf_object_skeleton * skeleton, const struct bpf_object_open_opts *options), (skeleton, options))
WRAP(int, bpf_object__load_skeleton, -errno, (struct bpf_object_skeleton * skeleton), (skeleton))

#endif

#ifdef WITH_SECCOMP

WRAP(scmp_filter_ctx, seccomp_init, NULL, (uint32_t action), (action))
WRAP(int, seccomp_load, -errno, (const scmp_filter_ctx filter), (filter))

#endif

/* ---- the others --------------------------------------------------------------------------------------- */

int __real_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event);

int __wrap_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
	if (operation == EPOLL_CTL_ADD && due(CALL_epoll_ctl))
		return -1;
	return __real_epoll_ctl(epoll_fd, operation, fd, event);
}

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

/* Only descriptors can be too many references. */
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	bool spared = page != NULL && page->error == ETOOMANYREFS && message->msg_controllen == 0;

	return !spared && due(CALL_sendmsg) ? -1 : __real_sendmsg(fd, message, flags);
}

int __wrap_open(const char *path, int flags, ...);

int __wrap_open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
	va_end(args);
	return due(CALL_open) ? -1 : __real_open(path, flags, mode);
}

int __real_openat(int root, const char *path, int flags, ...);
int __wrap_openat(int root, const char *path, int flags, ...);

int __wrap_openat(int root, const char *path, int flags, ...)
{
	return due(CALL_openat) ? -1 : __real_openat(root, path, flags);     /* never O_CREAT */
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
	va_list args;
	long a, b, c, d;

	va_start(args, number);
	a = va_arg(args, long);
	b = va_arg(args, long);
	c = va_arg(args, long);
	d = va_arg(args, long);
	va_end(args);
	return due(CALL_syscall) ? -1 : __real_syscall(number, a, b, c, d);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);

int __wrap_fcntl(int fd, int command, ...)
{
	va_list args;
	int argument;

	va_start(args, command);
	argument = va_arg(args, int);
	va_end(args);
	if ((command == F_DUPFD_CLOEXEC || command == F_ADD_SEALS) && due(CALL_fcntl))
		return -1;
	return __real_fcntl(fd, command, argument);
}

int __real_prctl(int option, ...);
int __wrap_prctl(int option, ...);

int __wrap_prctl(int option, ...)
{
	va_list args;
	unsigned long a, b, c, d;

	va_start(args, option);
	a = va_arg(args, unsigned long);
	b = va_arg(args, unsigned long);
	c = va_arg(args, unsigned long);
	d = va_arg(args, unsigned long);
	va_end(args);
	return due(CALL_prctl) ? -1 : __real_prctl(option, a, b, c, d);
}

pid_t __real_fork(void);
pid_t __wrap_fork(void);

pid_t __wrap_fork(void)
{
	pid_t pid = due(CALL_fork) ? -1 : __real_fork();

	if (pid == 0)
		role = role_of_child;
	return pid;
}

bool __real_checker_start(void *master, void *err);
bool __wrap_checker_start(void *master, void *err);

bool __wrap_checker_start(void *master, void *err)
{
	bool good;

	role_of_child = ROLE_CHECKER;
	good = __real_checker_start(master, err);
	role_of_child = ROLE_WORKER;
	return good;
}

bool __real_candidate_start(void *master, int state_fd, void *done, void *err);
bool __wrap_candidate_start(void *master, int state_fd, void *done, void *err);

bool __wrap_candidate_start(void *master, int state_fd, void *done, void *err)
{
	bool good;

	role_of_child = ROLE_CHECKER;
	good = __real_candidate_start(master, state_fd, done, err);
	role_of_child = ROLE_WORKER;
	return good;
}

void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));

/* LeakSanitizer looks at exit(3) only.  A checker gives nothing back: it ends with its one answer. */
void __wrap__exit(int status)
{
	__real_prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);      /* setuid(2) cleared it, and LSan traces itself */
	if (page != NULL && role == ROLE_WORKER && __lsan_do_recoverable_leak_check() != 0)
		atomic_fetch_add(&page->leaks, 1);
	__real__exit(status);
}

/* ---- the beginning ------------------------------------------------------------------------------------ */

static void *json_allocate(size_t len)
{
	return due(CALL_json_malloc) ? NULL : __real_malloc(len);
}

/* An upgrade's candidate has a process image of its own; its last argument says what it is. */
static bool is_candidate(int argc, char **argv)
{
	return strcmp(argv[argc - 1], "--candidate") == 0;
}

static void __attribute__((constructor)) map_page(int argc, char **argv)
{
	const char *path = getenv("DROVER_FAULT");
	void *frames[2];
	int fd;

	if (path == NULL)
		return;
	if (is_candidate(argc, argv))
		role = ROLE_CHECKER;
	backtrace(frames, 2);           /* loads libgcc now, not at the fault */
	fd = __real_open(path, O_RDWR | O_CLOEXEC);
	page = __real_mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (page == MAP_FAILED) {
		perror("DROVER_FAULT");
		abort();
	}
	json_set_alloc_funcs(json_allocate, free);
}
