/* attempt_kernel.c - ways to more rights, to other programs, to the kernel's rarer parts.  Called by
 * escape.c.
 *
 * Where success would do harm the arguments are wrong, in a way that is noticed only after the rights were
 * looked at: then any other failure counts as success (`past`). */
#include "aids/attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, URING_BYTES = 120 };

static long past(long result)
{
	return result < 0 && (errno == EPERM || errno == EACCES || errno == ENOSYS) ? -1 : 0;
}

static long close_it(long fd)
{
	if (fd >= 0)
		close((int)fd);
	return fd;
}

/* ---- rights ---- */

static long become_root(const struct target *target)
{
	(void)target;
	return setuid(0);
}

static long become_root_group(const struct target *target)
{
	gid_t root = 0;

	(void)target;
	return syscall(SYS_setgroups, 1, &root);
}

static long raise_capability(const struct target *target)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .effective = 1U << CAP_NET_ADMIN,
						    .permitted = 1U << CAP_NET_ADMIN } };

	(void)target;
	return syscall(SYS_capset, &header, data);
}

static long raise_limit(const struct target *target)
{
	struct rlimit more;

	(void)target;
	if (getrlimit(RLIMIT_NOFILE, &more) < 0)
		return -1;
	more.rlim_max++;
	return setrlimit(RLIMIT_NOFILE, &more);
}

static long become_readable(const struct target *target)
{
	(void)target;
	return prctl(PR_SET_DUMPABLE, 1);
}

static long gain_privileges_again(const struct target *target)
{
	(void)target;
	return prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
}

/* ---- namespaces and file systems ---- */

static long own_namespace(const struct target *target)
{
	(void)target;
	return unshare(CLONE_NEWUSER);
}

/* The child, if there is one, ends at once. */
static long ended(long pid)
{
	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	return pid;
}

static long child_in_namespace(const struct target *target)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	(void)target;
	return ended(pid);
}

static long mount_something(const struct target *target)
{
	return mount("none", target->root, "tmpfs", 0, NULL);
}

static long unmount(const struct target *target)
{
	return past(umount2(target->root, MNT_DETACH));
}

static long open_tree_of(const struct target *target)
{
	return past(syscall(SYS_open_tree, AT_FDCWD, target->root, 1 /* OPEN_TREE_CLONE */));
}

static long new_file_system(const struct target *target)
{
	(void)target;
	return past(syscall(SYS_fsopen, "tmpfs", 0));
}

static long change_root(const struct target *target)
{
	return chroot(target->root);
}

static long pivot(const struct target *target)
{
	return past(syscall(SYS_pivot_root, target->root, target->root));
}

/* ---- programs ---- */

static long run_program(const struct target *target)
{
	char *const args[] = { "true", NULL }, *const environment[] = { NULL };

	(void)target;
	return execve("/bin/true", args, environment);
}

static long run_by_descriptor(const struct target *target)
{
	char *const args[] = { "true", NULL }, *const environment[] = { NULL };

	(void)target;
	return syscall(SYS_execveat, AT_FDCWD, "/bin/true", args, environment, 0);
}

/* No file system has it, and it is no program: that is noticed last. */
static long run_from_memory(const struct target *target)
{
	int fd = memfd_create("attempt", MFD_CLOEXEC);
	char *const none[] = { NULL };

	(void)target;
	if (fd < 0 || write(fd, "no program", 10) < 0)
		return -1;
	return syscall(SYS_execveat, fd, "", none, none, AT_EMPTY_PATH) < 0 && errno == ENOEXEC ? 0 : -1;
}

static long make_process(const struct target *target)
{
	(void)target;
	return ended(fork());
}

static long make_process_anew(const struct target *target)
{
	uint64_t args[11] = { [4] = SIGCHLD };  /* struct clone_args */
	long pid = syscall(SYS_clone3, args, sizeof(args));

	(void)target;
	return ended(pid);
}

/* ---- code ---- */

static long unmap(void *memory)
{
	return memory == MAP_FAILED ? -1 : munmap(memory, PAGE);
}

static long code_by_mmap(const struct target *target)
{
	(void)target;
	return unmap(mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0));
}

static long code_by_mprotect(const struct target *target)
{
	char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long result;

	(void)target;
	if (memory == MAP_FAILED)
		return -1;
	*memory = (char)0xc3;
	result = mprotect(memory, PAGE, PROT_READ | PROT_EXEC);
	munmap(memory, PAGE);
	return result;
}

static long code_by_pkey(const struct target *target)
{
	char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long result = memory == MAP_FAILED ? -1 : syscall(SYS_pkey_mprotect, memory, PAGE, PROT_EXEC, -1);

	(void)target;
	if (memory != MAP_FAILED)
		munmap(memory, PAGE);
	return result;
}

static long code_in_place(const struct target *target)
{
	uintptr_t page = (uintptr_t)&code_in_place / PAGE * PAGE;

	(void)target;
	/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
	return mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* Written by one mapping, executable by another. */
static long code_by_two_mappings(const struct target *target)
{
	int fd = memfd_create("attempt", MFD_CLOEXEC);
	long result;

	(void)target;
	if (fd < 0)
		return -1;
	result = ftruncate(fd, PAGE);
	if (result == 0)
		result = unmap(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	if (result == 0)
		result = unmap(mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0));
	close_it(fd);
	return result;
}

static long change_personality(const struct target *target)
{
	(void)target;
	return personality(READ_IMPLIES_EXEC);
}

/* ---- the rarer parts ---- */

static long load_bpf(const struct target *target)
{
	union bpf_attr attr = { 0 };

	(void)target;
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = attr.value_size = 4;
	attr.max_entries = 1;
	return close_it(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

static long measure(const struct target *target)
{
	struct perf_event_attr attr = { .size = sizeof(attr), .type = PERF_TYPE_SOFTWARE,
					.config = PERF_COUNT_SW_TASK_CLOCK, .exclude_kernel = 1,
					.exclude_hv = 1 };

	(void)target;
	return close_it(syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
}

static long handle_faults(const struct target *target)
{
	(void)target;
	return close_it(syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */));
}

static long set_up_ring(const struct target *target)
{
	char params[URING_BYTES] __attribute__((aligned(8))) = { 0 };

	(void)target;
	return close_it(syscall(SYS_io_uring_setup, 1, params));
}

static long keep_key(const struct target *target)
{
	(void)target;
	return past(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1));
}

static long load_kernel(const struct target *target)
{
	(void)target;
	return past(syscall(SYS_kexec_load, 0, 17 /* more segments than there may be */, NULL, 0));
}

static long load_module(const struct target *target)
{
	(void)target;
	return past(syscall(SYS_init_module, NULL, 0, ""));
}

static long unload_module(const struct target *target)
{
	(void)target;
	return past(syscall(SYS_delete_module, "no-such-module", O_NONBLOCK));
}

static long restart_machine(const struct target *target)
{
	(void)target;
	return past(syscall(SYS_reboot, 0, 0, 0, NULL));        /* not the magic numbers */
}

static long set_clock(const struct target *target)
{
	struct timex change = { .modes = ADJ_TICK, .tick = -1 };

	(void)target;
	return past(adjtimex(&change));
}

static long set_name_of_host(const struct target *target)
{
	(void)target;
	return past(syscall(SYS_sethostname, "", -1));
}

static long read_kernel_log(const struct target *target)
{
	char text[1];

	(void)target;
	return past(klogctl(4 /* read and clear */, text, -1));
}

static long account(const struct target *target)
{
	return past(acct(target->root));
}

static long swap_on(const struct target *target)
{
	return past(syscall(SYS_swapon, target->root, 0));
}

static long watch_all_files(const struct target *target)
{
	(void)target;
	return close_it(syscall(SYS_fanotify_init, 0x4, O_RDONLY));     /* FAN_CLASS_CONTENT */
}

static long share_memory(const struct target *target)
{
	(void)target;
	return syscall(SYS_shmget, 0, PAGE, 0600);      /* IPC_PRIVATE */
}

static long queue_messages(const struct target *target)
{
	(void)target;
	return syscall(SYS_mq_unlink, "drover-no-such-queue") < 0 && errno == ENOENT ? 0 : -1;
}

const struct attempt attempts_on_kernel[] = {
	{ "setuid", BY_CAPS | BY_SECCOMP | IN_CHILD, become_root },
	{ "setgroups", BY_CAPS | BY_SECCOMP | IN_CHILD, become_root_group },
	{ "capset", BY_CAPS | BY_SECCOMP | IN_CHILD, raise_capability },
	{ "setrlimit", BY_CAPS | BY_SECCOMP | IN_CHILD, raise_limit },
	{ "set_dumpable", BY_SECCOMP | IN_CHILD, become_readable },
	{ "set_new_privs", BY_KERNEL | BY_SECCOMP, gain_privileges_again },
	{ "unshare", BY_SECCOMP | IN_CHILD | MAYBE, own_namespace },
	{ "clone_newuser", BY_SECCOMP | MAYBE, child_in_namespace },
	{ "mount", BY_CAPS | BY_LANDLOCK | BY_SECCOMP | KILLS | IN_CHILD, mount_something },
	{ "umount", BY_CAPS | BY_LANDLOCK | BY_SECCOMP | KILLS | IN_CHILD, unmount },
	{ "open_tree", BY_CAPS | BY_SECCOMP | KILLS, open_tree_of },
	{ "fsopen", BY_CAPS | BY_SECCOMP | KILLS, new_file_system },
	{ "chroot", BY_CAPS | BY_SECCOMP | IN_CHILD, change_root },
	{ "pivot_root", BY_CAPS | BY_LANDLOCK | BY_SECCOMP | KILLS | IN_CHILD, pivot },
	{ "execve", BY_LANDLOCK | BY_SECCOMP | KILLS | IN_CHILD, run_program },
	{ "execveat", BY_LANDLOCK | BY_SECCOMP | KILLS | IN_CHILD, run_by_descriptor },
	{ "exec_memory", BY_SECCOMP | IN_CHILD, run_from_memory },
	{ "fork", BY_SECCOMP, make_process },
	{ "clone3", BY_SECCOMP, make_process_anew },
	{ "mmap_code", BY_SEALS, code_by_mmap },
	{ "mprotect_code", BY_SEALS, code_by_mprotect },
	{ "pkey_code", BY_SEALS | BY_SECCOMP, code_by_pkey },
	{ "write_code", BY_SEALS | IN_CHILD, code_in_place },
	{ "map_code_twice", BY_SECCOMP, code_by_two_mappings },
	{ "personality", BY_SECCOMP | IN_CHILD, change_personality },
	{ "bpf", BY_CAPS | BY_SECCOMP | KILLS, load_bpf },
	{ "perf_event_open", BY_SECCOMP | MAYBE, measure },
	{ "userfaultfd", BY_SECCOMP | MAYBE, handle_faults },
	{ "io_uring", BY_SECCOMP | MAYBE, set_up_ring },
	{ "keyctl", BY_SECCOMP | MAYBE, keep_key },
	{ "kexec", BY_CAPS | BY_SECCOMP | KILLS, load_kernel },
	{ "init_module", BY_CAPS | BY_SECCOMP | KILLS, load_module },
	{ "delete_module", BY_CAPS | BY_SECCOMP | KILLS, unload_module },
	{ "reboot", BY_CAPS | BY_SECCOMP, restart_machine },
	{ "adjtimex", BY_CAPS | BY_SECCOMP, set_clock },
	{ "sethostname", BY_CAPS | BY_SECCOMP, set_name_of_host },
	{ "syslog", BY_CAPS | BY_SECCOMP, read_kernel_log },
	{ "acct", BY_CAPS | BY_SECCOMP, account },
	{ "swapon", BY_CAPS | BY_SECCOMP, swap_on },
	{ "fanotify", BY_CAPS | BY_SECCOMP, watch_all_files },
	{ "shmget", BY_SECCOMP, share_memory },
	{ "mqueue", BY_SECCOMP, queue_messages },
	{ 0 },
};
