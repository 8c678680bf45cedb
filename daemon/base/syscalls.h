/* seccomp(2) by libseccomp: the system calls that a process may make, for good.
 *
 * A list is a table of groups, each with its reason. What is in none fails with EPERM and is counted and
 * remembered by its number (SIGSYS's handler), for its owner to log by name; what a process like this would
 * never do (run a program, trace, mount, load one into the kernel ...) ends it. */
#ifndef BASE_SYSCALLS_H
#define BASE_SYSCALLS_H

#include "err.h"

#include <stdint.h>

/* Calls that are always allowed, by their names with spaces between. One that this machine does not have, or
 * that libseccomp has not heard of, is left out. */
struct syscall_group {
	const char *reason;
	const char *calls;
};

/* Argument `arg` (from 0), masked by `mask`, is `value`. */
struct syscall_argument {
	unsigned arg;
	uint64_t mask;                  /* 0: there is nothing to look at */
	uint64_t value;                 /* SYSCALL_SELF: this process's id */
};

/* Allowed with such arguments.  That costs some 100 ns a call, for the kernel cannot remember that it is
 * allowed: not for calls that requests are made of. */
struct syscall_condition {
	const char *call;
	const char *reason;
	struct syscall_argument arguments[2];
};

#define SYSCALL_INT UINT32_MAX          /* the mask of an int: what is above it in the register is nothing */
#define SYSCALL_SELF UINT64_MAX

struct syscall_list {
	const struct syscall_group *groups;
	unsigned group_count;
	const struct syscall_condition *conditions;
	unsigned condition_count;
};

/* Calls that end the process, wherever there is a list; by name, the end is NULL. */
extern const char *const syscalls_deadly[];

/* Can syscalls_confine do anything here?  False with `err`, which is why: "built without libseccomp" ... */
bool syscalls_are_confinable(struct err *err);

/* Confines this thread, and all threads and processes that it makes from now on, to the list. No other thread
 * may be there yet, and PR_SET_NO_NEW_PRIVS must be set. SIGSYS is this file's from then on: whoever blocks
 * it, or ignores it, is ended by a call that is not allowed. `denied` (may be NULL) is counted up for each
 * call that was refused, by any thread. False with `err`: nothing was confined. */
bool syscalls_confine(const struct syscall_list *list, uint64_t *denied, struct err *err);

/* The name of a call that was refused, into `name`: each once a process, for all that follow; false: there is
 * no other one since the last time. By one thread only; cheap when there is none. */
bool syscalls_refused(char *name, unsigned bytes);

#endif
