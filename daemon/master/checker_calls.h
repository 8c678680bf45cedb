/* What system calls a checker may make. */
#ifndef MASTER_CHECKER_CALLS_H
#define MASTER_CHECKER_CALLS_H

#include "base/syscalls.h"

extern const struct syscall_list checker_calls;

#endif
