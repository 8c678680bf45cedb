/* attempt_processes.c - ways to the master and to other workers.  Called by escape.c. */
#include "aids/attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* At the same address in every worker, for all are copies of one process; nobody looks at it. */
static char common[8];

static long close_it(long fd)
{
	int error = errno;

	if (fd >= 0)
		close((int)fd);
	errno = error;
	return fd;
}

/* ---- /proc ---- */

static long open_of(pid_t pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return close_it(open(path, O_RDONLY | O_CLOEXEC));
}

static long init_environ(const struct target *target)
{
	(void)target;
	return open_of(1, "environ");
}

static long master_mem(const struct target *target)
{
	return open_of(target->master, "mem");
}

static long master_maps(const struct target *target)
{
	return open_of(target->master, "maps");
}

static long master_environ(const struct target *target)
{
	return open_of(target->master, "environ");
}

static long master_fds(const struct target *target)
{
	return open_of(target->master, "fd");
}

static long master_fd(const struct target *target)
{
	return open_of(target->master, "fd/0");
}

static long master_command(const struct target *target)
{
	return open_of(target->master, "cmdline");
}

static long sibling_mem(const struct target *target)
{
	return open_of(target->sibling, "mem");
}

static long sibling_maps(const struct target *target)
{
	return open_of(target->sibling, "maps");
}

static long sibling_environ(const struct target *target)
{
	return open_of(target->sibling, "environ");
}

static long sibling_fds(const struct target *target)
{
	return open_of(target->sibling, "fd");
}

static long sibling_fd(const struct target *target)
{
	return open_of(target->sibling, "fd/0");
}

static long sibling_root(const struct target *target)
{
	return open_of(target->sibling, "root/etc/passwd");
}

static long sibling_status(const struct target *target)
{
	return open_of(target->sibling, "status");
}

static long own_mem(const struct target *target)
{
	(void)target;
	return close_it(open("/proc/self/mem", O_RDWR | O_CLOEXEC));
}

/* ---- tracing ---- */

static long seize(pid_t pid)
{
	long result = ptrace(PTRACE_SEIZE, pid, NULL, NULL);

	if (result == 0) {              /* let go: it has to stop first */
		ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
		waitpid(pid, NULL, __WALL);
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
	}
	return result;
}

static long attach(pid_t pid)
{
	long result = ptrace(PTRACE_ATTACH, pid, NULL, NULL);

	if (result == 0) {
		waitpid(pid, NULL, __WALL);
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
	}
	return result;
}

static long trace_master(const struct target *target)
{
	return seize(target->master);
}

static long trace_sibling(const struct target *target)
{
	return seize(target->sibling);
}

static long attach_sibling(const struct target *target)
{
	return attach(target->sibling);
}

static long transfer(pid_t pid, bool write)
{
	char bytes[sizeof(common)] = { 0 };
	struct iovec here = { bytes, sizeof(bytes) }, there = { common, sizeof(common) };

	return write ? process_vm_writev(pid, &here, 1, &there, 1, 0)
		     : process_vm_readv(pid, &here, 1, &there, 1, 0);
}

static long read_master(const struct target *target)
{
	return transfer(target->master, false);
}

static long read_sibling(const struct target *target)
{
	return transfer(target->sibling, false);
}

static long write_sibling(const struct target *target)
{
	return transfer(target->sibling, true);
}

static long take_descriptor(pid_t pid)
{
	int process = (int)syscall(SYS_pidfd_open, pid, 0);
	long result = process < 0 ? -1 : close_it(syscall(SYS_pidfd_getfd, process, 0, 0));

	close_it(process);
	return result;
}

static long take_from_master(const struct target *target)
{
	return take_descriptor(target->master);
}

static long take_from_sibling(const struct target *target)
{
	return take_descriptor(target->sibling);
}

static long compare_with_sibling(const struct target *target)
{
	return syscall(SYS_kcmp, getpid(), target->sibling, KCMP_FILE, 0, 0);
}

static long join_sibling(const struct target *target)
{
	int process = (int)syscall(SYS_pidfd_open, target->sibling, 0);
	long result = process < 0 ? -1 : setns(process, CLONE_NEWNET);

	close_it(process);
	return result;
}

/* ---- signals: one that nobody minds ---- */

static long kill_master(const struct target *target)
{
	return kill(target->master, 0);
}

static long kill_sibling(const struct target *target)
{
	return kill(target->sibling, SIGURG);
}

static long kill_thread(const struct target *target)
{
	return syscall(SYS_tgkill, target->sibling, target->sibling, SIGURG);
}

static long kill_by_pidfd(const struct target *target)
{
	int process = (int)syscall(SYS_pidfd_open, target->sibling, 0);
	long result = process < 0 ? -1 : syscall(SYS_pidfd_send_signal, process, SIGURG, NULL, 0);

	close_it(process);
	return result;
}

static long queue_signal(const struct target *target)
{
	return sigqueue(target->sibling, SIGURG, (union sigval){ 0 });
}

static long queue_to_master(const struct target *target)
{
	siginfo_t info = { .si_code = SI_QUEUE };

	return syscall(SYS_rt_sigqueueinfo, target->master, 0, &info);
}

/* ---- what descriptors have in common with the other processes': tried on one that nobody else has ---- */

/* Stays open: one for all. */
static int no_socket(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return fd;
}

static long on_descriptor(int command, long argument)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	long result = fd < 0 ? -1 : fcntl(fd, command, argument);

	close_it(fd);
	return result < 0 ? -1 : 0;
}

static long make_block(const struct target *target)
{
	(void)target;
	return on_descriptor(F_SETFL, O_RDWR);
}

static long make_block_by_ioctl(const struct target *target)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), no = 0;
	long result = fd < 0 ? -1 : ioctl(fd, FIONBIO, &no);

	(void)target;
	close_it(fd);
	return result;
}

static long signal_when_ready(const struct target *target)
{
	return on_descriptor(F_SETOWN, target->sibling) < 0 ? -1 : on_descriptor(F_SETSIG, SIGURG);
}

static long signal_by_flag(const struct target *target)
{
	(void)target;
	return on_descriptor(F_SETFL, O_RDWR | O_NONBLOCK | O_ASYNC);
}

static long overwrite_log(const struct target *target)
{
	(void)target;
	return on_descriptor(F_SETFL, O_RDWR | O_NONBLOCK);     /* and not O_APPEND */
}

static long map_for_all(const struct target *target)
{
	void *memory = mmap(NULL, sizeof(common), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)target;
	return memory == MAP_FAILED ? -1 : munmap(memory, sizeof(common));
}

/* What is no socket is noticed after the call is allowed. */
static long past_filter(int result)
{
	return result < 0 && errno == ENOTSOCK ? 0 : result;
}

static long lead_elsewhere(const struct target *target)
{
	struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

	(void)target;
	return past_filter(connect(no_socket(), &nowhere, sizeof(nowhere)));
}

static long shut_for_all(const struct target *target)
{
	(void)target;
	return past_filter(shutdown(no_socket(), SHUT_RD));
}

static long set_option(int option)
{
	int value = 1;

	return past_filter(setsockopt(no_socket(), SOL_SOCKET, option, &value, sizeof(value)));
}

static long filter_for_all(const struct target *target)
{
	(void)target;
	return set_option(SO_ATTACH_FILTER);
}

static long lock_filter(const struct target *target)
{
	(void)target;
	return set_option(SO_LOCK_FILTER);
}

static long steer_by_filter(const struct target *target)
{
	(void)target;
	return set_option(SO_ATTACH_REUSEPORT_CBPF);
}

static long bind_to_device(const struct target *target)
{
	(void)target;
	return set_option(SO_BINDTODEVICE);
}

static long lease(const struct target *target)
{
	int fd = open(attempt_path(target->root, "mine"), O_RDONLY | O_CLOEXEC);
	long result = fd < 0 ? -1 : fcntl(fd, F_SETLEASE, F_RDLCK);

	close_it(fd);
	return result;
}

/* ---- the processor, limits ---- */

static long bind_to_cpus(pid_t pid)
{
	cpu_set_t all;

	return sched_getaffinity(0, sizeof(all), &all) < 0 ? -1 : sched_setaffinity(pid, sizeof(all), &all);
}

static long bind_master(const struct target *target)
{
	return bind_to_cpus(target->master);
}

static long bind_sibling(const struct target *target)
{
	return bind_to_cpus(target->sibling);
}

static long schedule_sibling(const struct target *target)
{
	struct sched_param param = { 0 };

	return sched_setscheduler(target->sibling, SCHED_OTHER, &param);
}

static long nice_master(const struct target *target)
{
	return setpriority(PRIO_PROCESS, (id_t)target->master, 0);
}

static long nice_sibling(const struct target *target)
{
	return setpriority(PRIO_PROCESS, (id_t)target->sibling, 0);
}

static long limit(pid_t pid)
{
	struct rlimit now;

	return prlimit(pid, RLIMIT_NOFILE, NULL, &now) < 0 ? -1 : prlimit(pid, RLIMIT_NOFILE, &now, NULL);
}

static long limit_master(const struct target *target)
{
	return limit(target->master);
}

static long limit_sibling(const struct target *target)
{
	return limit(target->sibling);
}

/* ---- sockets ---- */

static long with_socket(int family, int type, int protocol,
			int (*act)(int fd, const struct sockaddr *addr, socklen_t len), const void *addr,
			size_t len)
{
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);
	long result = fd < 0 ? -1 : act == NULL ? 0 : act(fd, addr, (socklen_t)len);

	close_it(fd);
	return result;
}

static struct sockaddr_in local(unsigned port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static long listen_tcp(const struct target *target)
{
	struct sockaddr_in addr = local(0);

	(void)target;
	return with_socket(AF_INET, SOCK_STREAM, 0, bind, &addr, sizeof(addr));
}

static long connect_tcp(const struct target *target)
{
	struct sockaddr_in addr = local(target->port);

	return with_socket(AF_INET, SOCK_STREAM, 0, connect, &addr, sizeof(addr));
}

/* Landlock looks at connect(2) alone. */
static long connect_by_sending(const struct target *target)
{
	struct sockaddr_in addr = local(target->port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	long result = fd < 0 ? -1 : sendto(fd, "", 1, MSG_FASTOPEN, (void *)&addr, sizeof(addr));

	close_it(fd);
	return result;
}

static long send_udp(const struct target *target)
{
	struct sockaddr_in addr = local(target->port);

	return with_socket(AF_INET, SOCK_DGRAM, 0, connect, &addr, sizeof(addr));
}

static long connect_unix(const char *name, bool abstract)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(name), at = abstract ? 1 : 0;

	if (at + len >= sizeof(addr.sun_path))
		return errno = ENAMETOOLONG, -1;
	memcpy(addr.sun_path + at, name, len);
	return with_socket(AF_UNIX, SOCK_STREAM, 0, connect, &addr,
			   offsetof(struct sockaddr_un, sun_path) + at + len);
}

static long connect_control(const struct target *target)
{
	return connect_unix(target->control, false);
}

static long connect_abstract(const struct target *target)
{
	return connect_unix(target->abstract, true);
}

static long packet_socket(const struct target *target)
{
	(void)target;
	return with_socket(AF_PACKET, SOCK_RAW, 0, NULL, NULL, 0);
}

static long raw_socket(const struct target *target)
{
	(void)target;
	return with_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP, NULL, NULL, 0);
}

static long netlink_socket(const struct target *target)
{
	(void)target;
	return with_socket(AF_NETLINK, SOCK_RAW, 0, NULL, NULL, 0);
}

static long socket_pair(const struct target *target)
{
	int ends[2];

	(void)target;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	close_it(ends[0]);
	return close_it(ends[1]);
}

const struct attempt attempts_on_processes[] = {
	{ "init_environ", BY_FILES | BY_LANDLOCK, init_environ },
	{ "master_mem", BY_UID | BY_SECRECY | BY_LANDLOCK, master_mem },
	{ "master_maps", BY_UID | BY_SECRECY | BY_LANDLOCK, master_maps },
	{ "master_environ", BY_UID | BY_SECRECY | BY_LANDLOCK, master_environ },
	{ "master_fds", BY_UID | BY_SECRECY | BY_LANDLOCK, master_fds },
	{ "master_fd", BY_UID | BY_SECRECY | BY_LANDLOCK, master_fd },
	{ "master_command", BY_LANDLOCK, master_command },
	{ "sibling_mem", BY_SECRECY | BY_LANDLOCK, sibling_mem },
	{ "sibling_maps", BY_SECRECY | BY_LANDLOCK, sibling_maps },
	{ "sibling_environ", BY_SECRECY | BY_LANDLOCK, sibling_environ },
	{ "sibling_fds", BY_SECRECY | BY_LANDLOCK, sibling_fds },
	{ "sibling_fd", BY_SECRECY | BY_LANDLOCK, sibling_fd },
	{ "sibling_root", BY_SECRECY | BY_LANDLOCK, sibling_root },
	{ "sibling_status", BY_LANDLOCK, sibling_status },
	{ "own_mem", BY_SECRECY | BY_LANDLOCK, own_mem },
	{ "trace_master", BY_UID | BY_SECRECY | BY_LANDLOCK | BY_SECCOMP | KILLS | IN_CHILD, trace_master },
	{ "trace_sibling", BY_SECRECY | BY_LANDLOCK | BY_SECCOMP | KILLS | IN_CHILD, trace_sibling },
	{ "attach_sibling", BY_SECRECY | BY_LANDLOCK | BY_SECCOMP | KILLS | IN_CHILD, attach_sibling },
	{ "read_master", BY_UID | BY_SECRECY | BY_LANDLOCK | BY_SECCOMP | KILLS, read_master },
	{ "read_sibling", BY_SECRECY | BY_LANDLOCK | BY_SECCOMP | KILLS, read_sibling },
	{ "write_sibling", BY_SECRECY | BY_LANDLOCK | BY_SECCOMP | KILLS, write_sibling },
	{ "take_from_master", BY_UID | BY_SECRECY | BY_LANDLOCK | BY_SECCOMP, take_from_master },
	{ "take_from_sibling", BY_SECRECY | BY_LANDLOCK | BY_SECCOMP, take_from_sibling },
	{ "compare_with_sibling", BY_SECRECY | BY_LANDLOCK | BY_SECCOMP, compare_with_sibling },
	{ "join_sibling", BY_CAPS | BY_SECCOMP, join_sibling },
	{ "kill_master", BY_UID | BY_LANDLOCK | BY_SECCOMP, kill_master },
	{ "kill_sibling", BY_LANDLOCK | BY_SECCOMP, kill_sibling },
	{ "kill_thread", BY_LANDLOCK | BY_SECCOMP, kill_thread },
	{ "kill_by_pidfd", BY_LANDLOCK | BY_SECCOMP, kill_by_pidfd },
	{ "queue_signal", BY_LANDLOCK | BY_SECCOMP, queue_signal },
	{ "queue_to_master", BY_UID | BY_LANDLOCK | BY_SECCOMP, queue_to_master },
	{ "make_block", BY_SECCOMP, make_block },
	{ "make_block_by_ioctl", BY_SECCOMP, make_block_by_ioctl },
	{ "signal_when_ready", BY_SECCOMP, signal_when_ready },
	{ "signal_by_flag", BY_SECCOMP, signal_by_flag },
	{ "overwrite_log", BY_SECCOMP, overwrite_log },
	{ "map_for_all", BY_SECCOMP, map_for_all },
	{ "lead_elsewhere", BY_SECCOMP, lead_elsewhere },
	{ "shut_for_all", BY_SECCOMP, shut_for_all },
	{ "filter_for_all", BY_SECCOMP, filter_for_all },
	{ "lock_filter", BY_SECCOMP, lock_filter },
	{ "steer_by_filter", BY_SECCOMP, steer_by_filter },
	{ "bind_to_device", BY_SECCOMP, bind_to_device },
	{ "lease", BY_SECCOMP, lease },
	{ "bind_master", BY_UID | BY_SECCOMP, bind_master },
	{ "bind_sibling", BY_SECCOMP, bind_sibling },
	{ "schedule_sibling", BY_SECCOMP, schedule_sibling },
	{ "nice_master", BY_UID | BY_SECCOMP, nice_master },
	{ "nice_sibling", BY_SECCOMP, nice_sibling },
	{ "limit_master", BY_UID | BY_SECCOMP, limit_master },
	{ "limit_sibling", BY_SECCOMP, limit_sibling },
	{ "listen_tcp", BY_LANDLOCK | BY_SECCOMP, listen_tcp },
	{ "connect_tcp", BY_LANDLOCK | BY_SECCOMP, connect_tcp },
	{ "connect_by_sending", BY_SECCOMP | MAYBE, connect_by_sending },
	{ "send_udp", BY_SECCOMP, send_udp },
	{ "connect_control", BY_UID | BY_SECCOMP, connect_control },
	{ "connect_abstract", BY_LANDLOCK | BY_SECCOMP, connect_abstract },
	{ "packet_socket", BY_CAPS | BY_SECCOMP, packet_socket },
	{ "raw_socket", BY_CAPS | BY_SECCOMP, raw_socket },
	{ "netlink_socket", BY_SECCOMP, netlink_socket },
	{ "socket_pair", BY_SECCOMP, socket_pair },
	{ 0 },
};
