/* checker_calls.c - the system calls that a checker makes: it reads files, asks for users, gives up its
 * rights and leaves a text.
 *
 * For checker.c. Which user a name is, modules of the C library find out (nsswitch.conf(5)), which may ask a
 * daemon over a socket: hence these. */
#include "checker_calls.h"

#include <sys/prctl.h>
#include <sys/socket.h>

static const struct syscall_group groups[] = {
	{ "files",
	  "openat openat2 open read readv pread64 lseek close fstat newfstatat statx stat lstat access "
	  "faccessat faccessat2 readlink readlinkat getdents64 getcwd statfs fstatfs fcntl ioctl dup "
	  "fadvise64" },
	{ "its text and its log", "write writev pwrite64 ftruncate memfd_create" },
	{ "users, by the C library's modules",
	  "connect sendto sendmsg sendmmsg recvfrom recvmsg shutdown getsockname getpeername getsockopt "
	  "setsockopt bind poll ppoll epoll_create1 epoll_ctl epoll_wait epoll_pwait uname" },
	{ "giving up its rights",
	  "setgroups setresuid setresgid capget capset getuid geteuid getgid getegid getresuid getresgid "
	  "getgroups" },
	{ "memory", "brk mmap munmap mremap mprotect madvise" },
	{ "the machine",
	  "getrlimit sysinfo sched_getaffinity getpid getppid gettid getrandom getpriority" },
	{ "locks and time",
	  "futex set_robust_list rseq sched_yield clock_gettime clock_getres clock_nanosleep nanosleep "
	  "gettimeofday time restart_syscall" },
	{ "signals and the end",
	  "rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack alarm exit exit_group" },
};

/* The first rights that it gives up are bounds; drop_bounds in privilege.c. */
static const struct syscall_condition conditions[] = {
	{ "socket", "the daemons of nss-systemd, nscd, sssd", { { 0, SYSCALL_INT, AF_UNIX } } },
	{ "prctl", "giving up its rights", { { 0, SYSCALL_INT, PR_CAPBSET_READ } } },
	{ "prctl", "giving up its rights", { { 0, SYSCALL_INT, PR_CAPBSET_DROP } } },
	{ "prctl", "giving up its rights", { { 0, SYSCALL_INT, PR_SET_NO_NEW_PRIVS } } },
	{ "prctl", "giving up its rights", { { 0, SYSCALL_INT, PR_GET_SECUREBITS } } },
	{ "prlimit64", "how many descriptors there may be", { { 2, UINT64_MAX, 0 } } },
	{ "tgkill", "a crash of its own", { { 0, SYSCALL_INT, SYSCALL_SELF } } },
	{ "kill", "a crash of its own", { { 0, SYSCALL_INT, SYSCALL_SELF } } },
};

const struct syscall_list checker_calls = {
	groups, sizeof(groups) / sizeof(groups[0]), conditions, sizeof(conditions) / sizeof(conditions[0])
};
