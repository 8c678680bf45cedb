/* confine.c - the system calls that a worker makes, all of them, and no others.
 *
 * Called by worker.c at the end of its set-up, and by the keeper. The lists were found by tracing every test
 * and reading what the C library does instead where a call fails; drover(8) has them too, and a test holds
 * the two together. Fails like a right that cannot be dropped. */
#include "confine.h"

#include "worker.h"

#include "base/log.h"
#include "config/layers.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static const struct syscall_group groups[] = {
	{ "the loop", "epoll_wait epoll_pwait epoll_ctl eventfd2 poll ppoll" },
	{ "connections and channels",
	  "accept4 recvfrom recvmsg sendto sendmsg sendfile read write writev close "
	  "getsockopt getsockname getpeername listen" },
	{ "files, below directories that are open",
	  "openat openat2 readlink readlinkat getdents64 fstat newfstatat statx stat lstat lseek pread64 "
	  "preadv2 faccessat faccessat2 fstatfs" },
	{ "what has become of files", "inotify_add_watch inotify_rm_watch statfs" },
	{ "memory", "brk munmap mremap mprotect madvise" },
	{ "helper threads",
	  "futex set_robust_list rseq gettid exit sched_yield sched_getaffinity" },
	{ "time", "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time restart_syscall" },
	{ "chance", "getrandom" },
	{ "who it is, what it may", "getpid getppid getuid geteuid getgid getegid getrlimit sysinfo" },
	{ "signals, a crash and the end",
	  "rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack alarm setitimer pause exit_group" },
};

/* A thread has all in common with the others, and no name space of its own. */
#define THREAD_MASK                                                                           \
	(CLONE_THREAD | CLONE_VM | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | \
	 CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

/* What socket(2) takes besides a type. */
#define SOCK_TYPES (SYSCALL_INT & ~(uint64_t)(SOCK_CLOEXEC | SOCK_NONBLOCK))

static const struct syscall_condition conditions[] = {
	/* F_SETFL and more change them for all who hold them: that they do not block, that a log is only
	 * added to, whom they signal */
	{ "fcntl", "what a descriptor is, copies of it",
	  { { 1, SYSCALL_INT & ~UINT64_C(3), 0 } } },           /* F_GETFD, F_SETFD, F_GETFL */
	{ "fcntl", "", { { 1, SYSCALL_INT, F_DUPFD_CLOEXEC } } },
	{ "fcntl", "", { { 1, SYSCALL_INT, F_GET_SEALS } } },
	/* a listening socket that is shut for reading is one by which connections can be made: sendto(2) with
	 * MSG_FASTOPEN does, unseen by Landlock, and to look at its flags would be too dear */
	{ "shutdown", "the end of an answer", { { 1, SYSCALL_INT, SHUT_WR } } },
	/* and no filter, device or program for the sockets that all have */
	{ "setsockopt", "how a connection ends",
	  { { 1, SYSCALL_INT, SOL_SOCKET }, { 2, SYSCALL_INT, SO_LINGER } } },
	{ "setsockopt", "how long a log waits",
	  { { 1, SYSCALL_INT, SOL_SOCKET }, { 2, SYSCALL_INT, SO_SNDTIMEO } } },
	/* a log is open for reading, too, so a mapping would be a way to write over it */
	{ "mmap", "memory of its own", { { 3, MAP_SHARED, 0 } } },
	{ "ioctl", "how much is in a socket", { { 1, SYSCALL_INT, SIOCOUTQ } } },
	{ "ioctl", "", { { 1, SYSCALL_INT, SIOCINQ } } },
	{ "ioctl", "", { { 1, SYSCALL_INT, TCGETS } } },        /* isatty(3), of a stream */
	{ "clone", "helper threads", { { 0, THREAD_MASK, CLONE_THREAD | CLONE_VM } } },
	{ "prctl", "their names", { { 0, SYSCALL_INT, PR_SET_NAME } } },
	{ "sched_setaffinity", "their CPUs, and nobody else's", { { 0, SYSCALL_INT, 0 } } },
	{ "socket", "the journal and syslog",
	  { { 0, SYSCALL_INT, AF_UNIX }, { 1, SOCK_TYPES, SOCK_DGRAM } } },
	{ "prlimit64", "how many descriptors there may be, not how many there shall be",
	  { { 2, UINT64_MAX, 0 } } },
	{ "tgkill", "a crash of its own", { { 0, SYSCALL_INT, SYSCALL_SELF } } },
	{ "kill", "a crash of its own", { { 0, SYSCALL_INT, SYSCALL_SELF } } },
};

const struct syscall_list confine_worker_calls = {
	groups, sizeof(groups) / sizeof(groups[0]), conditions, sizeof(conditions) / sizeof(conditions[0])
};

/* It waits, sends what is left and ends. */
static const struct syscall_group keeper_groups[] = {
	{ "waiting", "poll ppoll restart_syscall getpid clock_gettime" },
	{ "the will", "sendmsg sendto fcntl close" },
	{ "the end", "rt_sigreturn exit exit_group" },
};

const struct syscall_list confine_keeper_calls = {
	keeper_groups, sizeof(keeper_groups) / sizeof(keeper_groups[0]), NULL, 0
};

/* ---- what was tried besides --------------------------------------------------------------------------- */

static void on_turn_end(struct turn_end *hook)
{
	struct worker *worker = LIST_ENTRY(hook, struct worker, refused);
	char name[32];

	while (syscalls_refused(name, sizeof(name)))
		log_event(LEVEL_WARNING, "syscall_denied", log_text("name", name),
			  log_number("slot", worker->slot));
}

bool confine_begin(struct worker *worker, struct err *err)
{
	if (!layer_is_there(LAYER_SECCOMP, err))
		return true;
	worker->refused.run = on_turn_end;
	loop_at_turn_end(&worker->loop, &worker->refused);
	return syscalls_confine(&confine_worker_calls, &worker->engine.counters[COUNT_SYSCALLS_DENIED], err);
}

bool confine_keeper(struct err *err)
{
	return !layer_is_there(LAYER_SECCOMP, err) || syscalls_confine(&confine_keeper_calls, NULL, err);
}
