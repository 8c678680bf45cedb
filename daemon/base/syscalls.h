/* seccomp(2) by libseccomp: the system calls that a process may make, for good.
 *
 * A list is a table of rows. What is on no row fails with EPERM and is counted and remembered by its number
 * (SIGSYS's handler), for its owner to log by name; what a process like this would never do (run a program,
 * trace, mount, load one into the kernel ...) ends it. */
#ifndef BASE_SYSCALLS_H
#define BASE_SYSCALLS_H

#include "err.h"

#include <stdint.h>

/* A row: allowed always, or when argument `arg` is `value` (masked by `mask`; 0: no condition).  Conditions
 * cost some 100 ns a call: not for calls that requests are made of. */
struct syscall_row {
	int number;                     /* SYS_... */
	unsigned arg;
	uint64_t mask, value;
};

/* Confines this process, all of its threads to come and its children. PR_SET_NO_NEW_PRIVS must be set.
 * `denied` (may be NULL) is counted up for each call that was refused, from whichever thread.  False with
 * `err`: nothing was confined; it is why ("built without libseccomp", ENOSYS ...). */
bool syscalls_confine(const struct syscall_row *rows, unsigned count, uint64_t *denied, struct err *err);

/* The name of a call that was refused since the last time, into `name`; false: none was. Each is told once a
 * process. */
bool syscalls_refused(char *name, unsigned bytes);

#endif
