/* syscalls.c - the filter of system calls, and what happens to those that it stops.
 *
 * Called by workers, keepers and checkers after rights were dropped; a failure is theirs to judge. The filter
 * is made anew in each process, for it has the process's id in it: that takes less than a millisecond.
 *
 * A call that is not allowed raises SIGSYS in the thread that made it, and the handler answers in place of
 * the kernel. Where it is not known how a register is written, the kernel itself says EPERM: then nobody
 * counts. */
#include "syscalls.h"

#include <errno.h>

#ifdef WITH_SECCOMP

#include "str.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_SANITIZER 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define WITH_SANITIZER 1
#endif

enum {
	NUMBERS = 1024,                 /* that are told apart; what is beyond shares the last one */
	WORD_BITS = 64,
	NAME_BYTES = 40,
	SI_CODE_SECCOMP = 1,            /* SYS_SECCOMP, which older headers do not have */
};

/* What SIGSYS's handler does is lock-free, or it would not be safe there. */
static struct {
	uint64_t *denied;               /* NULL: nobody wants to know */
	uint32_t newest;                /* no call on the list has a higher number */
	_Atomic uint64_t seen[NUMBERS / WORD_BITS];
	uint64_t told[NUMBERS / WORD_BITS];
	atomic_bool is_news;
} refused;

const char *const syscalls_deadly[] = {
	/* another program */
	"execve", "execveat",
	/* another process's memory */
	"ptrace", "process_vm_readv", "process_vm_writev",
	/* another view of the file system */
	"mount", "umount", "umount2", "pivot_root", "move_mount", "open_tree", "fsopen", "fsconfig",
	"fsmount", "fspick", "mount_setattr",
	/* the kernel itself */
	"bpf", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
	NULL
};

/* ---- a call that is not allowed ---------------------------------------------------------------------- */

/* False: not known on this machine. */
static bool set_result(ucontext_t *machine, int result)
{
#if defined(__x86_64__)
	machine->uc_mcontext.gregs[REG_RAX] = result;
#elif defined(__aarch64__)
	machine->uc_mcontext.regs[0] = (unsigned long long)(long long)result;
#else
	(void)machine, (void)result;
	return false;
#endif
	return true;
}

#if defined(__x86_64__) || defined(__aarch64__)
#define REFUSE SCMP_ACT_TRAP
#else
#define REFUSE SCMP_ACT_ERRNO(EPERM)
#endif

static void remember(uint32_t number)
{
	uint32_t at = number < NUMBERS - 1 ? number : NUMBERS - 1;

	if (refused.denied != NULL)
		__atomic_fetch_add(refused.denied, 1, __ATOMIC_RELAXED);
	atomic_fetch_or(&refused.seen[at / WORD_BITS], UINT64_C(1) << at % WORD_BITS);
	atomic_store(&refused.is_news, true);
}

/* A call that is newer than everything on the list is one that a library tries because it may be there; told
 * that it is not, it goes on with an older one. A signal that somebody sent means nothing. */
static void on_sigsys(int number, siginfo_t *info, void *context)
{
	uint32_t call = (uint32_t)info->si_syscall;

	(void)number;
	if (info->si_code != SI_CODE_SECCOMP)
		return;
	set_result(context, call > refused.newest ? -ENOSYS : -EPERM);
	remember(call);
}

/* SA_NODEFER: it stays unblocked in a handler of crashes that interrupts this one. */
static bool catch_sigsys(struct err *err)
{
	struct sigaction action = { .sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO | SA_NODEFER };
	sigset_t sigsys;

	sigemptyset(&action.sa_mask);
	sigemptyset(&sigsys);
	sigaddset(&sigsys, SIGSYS);
	if (sigaction(SIGSYS, &action, NULL) < 0 || sigprocmask(SIG_UNBLOCK, &sigsys, NULL) < 0)
		return err_sys(err, errno, "the handler of SIGSYS");
	return true;
}

/* A number to tell, or NUMBERS. */
static unsigned next_news(void)
{
	for (unsigned i = 0; i < NUMBERS / WORD_BITS; i++) {
		uint64_t news = atomic_load(&refused.seen[i]) & ~refused.told[i];

		if (news == 0)
			continue;
		refused.told[i] |= news & -news;        /* its lowest bit */
		return i * WORD_BITS + (unsigned)__builtin_ctzll(news);
	}
	return NUMBERS;
}

bool syscalls_refused(char *name, unsigned bytes)
{
	unsigned number;
	char *known;

	if (!atomic_load_explicit(&refused.is_news, memory_order_relaxed))
		return false;
	atomic_store(&refused.is_news, false);
	number = next_news();
	if (number == NUMBERS)
		return false;
	atomic_store(&refused.is_news, true);   /* there may be more */
	known = seccomp_syscall_resolve_num_arch(seccomp_arch_native(), (int)number);
	if (known != NULL)
		snprintf(name, bytes, "%s", known);
	else
		snprintf(name, bytes, "%u", number);
	free(known);
	return true;
}

/* ---- making the filter ------------------------------------------------------------------------------- */

/* libseccomp's negative numbers are those of calls that other machines have. */
static int number_of(struct str name)
{
	char text[NAME_BYTES];

	if (name.len >= sizeof(text))
		return -1;
	memcpy(text, name.at, name.len);
	text[name.len] = '\0';
	return seccomp_syscall_resolve_name(text);
}

static bool add(scmp_filter_ctx filter, uint32_t action, struct str name, struct err *err)
{
	int number = number_of(name);
	int result = number < 0 ? 0 : seccomp_rule_add_array(filter, action, number, 0, NULL);

	if (result == 0 && action == SCMP_ACT_ALLOW && number >= 0 && (uint32_t)number > refused.newest)
		refused.newest = (uint32_t)number;
	return result == 0 || err_sys(err, -result, "seccomp rule for %.*s", (int)name.len, name.at);
}

static bool add_group(scmp_filter_ctx filter, const char *calls, struct err *err)
{
	for (size_t len; *calls != '\0'; calls += len) {
		calls += strspn(calls, " ");
		len = strcspn(calls, " ");
		if (len > 0 && !add(filter, SCMP_ACT_ALLOW, (struct str){ calls, len }, err))
			return false;
	}
	return true;
}

static bool add_condition(scmp_filter_ctx filter, const struct syscall_condition *row, struct err *err)
{
	struct scmp_arg_cmp compare[2];
	unsigned count = 0;
	int number = number_of(str_of(row->call)), result = 0;

	for (; count < 2 && row->arguments[count].mask != 0; count++) {
		const struct syscall_argument *wanted = &row->arguments[count];

		compare[count] = (struct scmp_arg_cmp){ .arg = wanted->arg, .op = SCMP_CMP_MASKED_EQ };
		compare[count].datum_a = wanted->mask;
		compare[count].datum_b =
			wanted->value == SYSCALL_SELF ? (uint64_t)getpid() : wanted->value;
	}
	if (number >= 0)
		result = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, count, compare);
	return result == 0 || err_sys(err, -result, "seccomp rule for %s", row->call);
}

#ifdef WITH_SANITIZER
/* What AddressSanitizer does besides, and LeakSanitizer, which traces the process that it looks through. Its
 * tracer blocks SIGSYS: a call too few ends it, and then the process waits for it for ever. */
static const char sanitizer_calls[] =
	"ptrace clone wait4 prctl kill tgkill openat readlink getdents64 mmap mprotect munmap madvise "
	"sigaltstack sched_getaffinity prlimit64 getppid gettid sched_yield process_vm_readv open getdents";

static bool is_deadly(const char *name)
{
	return strstr(sanitizer_calls, name) == NULL;
}
#else
static const char sanitizer_calls[] = "";

static bool is_deadly(const char *name)
{
	(void)name;
	return true;
}
#endif

static bool fill(scmp_filter_ctx filter, const struct syscall_list *list, struct err *err)
{
	bool good = add_group(filter, sanitizer_calls, err);

	for (unsigned i = 0; good && i < list->group_count; i++)
		good = add_group(filter, list->groups[i].calls, err);
	for (unsigned i = 0; good && i < list->condition_count; i++)
		good = add_condition(filter, &list->conditions[i], err);
	for (unsigned i = 0; good && syscalls_deadly[i] != NULL; i++)
		if (is_deadly(syscalls_deadly[i]))
			good = add(filter, SCMP_ACT_KILL_PROCESS, str_of(syscalls_deadly[i]), err);
	/* its flags are behind a pointer, where no filter can see them: the C library then takes clone */
	return good && add(filter, SCMP_ACT_ERRNO(ENOSYS), str_of("clone3"), err);
}

/* A tree of comparisons, not a chain (OPTIMIZE 2): of it the kernel makes its own table at loading. CTL_SSB:
 * not the mitigation that seccomp brought along before Linux 5.16, which is for processes that run others'
 * code. */
static bool load(scmp_filter_ctx filter, struct err *err)
{
	int result;

	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
	seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	result = seccomp_load(filter);
	return result == 0 || err_sys(err, -result, "load the filter of system calls");
}

bool syscalls_are_confinable(struct err *err)
{
	uint32_t action = SECCOMP_RET_TRAP;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0)
		return true;
	return err_sys(err, errno, "the kernel has no seccomp filters");
}

bool syscalls_confine(const struct syscall_list *list, uint64_t *denied, struct err *err)
{
	scmp_filter_ctx filter = seccomp_init(REFUSE);
	bool good;

	if (filter == NULL)
		return err_set(err, "out of memory for the filter of system calls");
	refused.denied = denied;
	good = fill(filter, list, err) && catch_sigsys(err) && load(filter, err);
	seccomp_release(filter);
	return good;
}

#else

#include <stddef.h>

const char *const syscalls_deadly[] = { NULL };

bool syscalls_are_confinable(struct err *err)
{
	return err_set(err, "drover was built without libseccomp");
}

bool syscalls_confine(const struct syscall_list *list, uint64_t *denied, struct err *err)
{
	(void)list, (void)denied;
	return syscalls_are_confinable(err);
}

bool syscalls_refused(char *name, unsigned bytes)
{
	(void)name, (void)bytes;
	return false;
}

#endif
