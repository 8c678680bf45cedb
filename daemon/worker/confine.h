/* What system calls a worker may make, and its keeper. */
#ifndef WORKER_CONFINE_H
#define WORKER_CONFINE_H

#include "base/syscalls.h"

struct worker;

extern const struct syscall_list confine_worker_calls, confine_keeper_calls;

/* Confines the worker to its calls, and has those that it tries besides logged, once each, and counted. True
 * too where there is nothing to do it by, which the master says. False with `err`: the worker must not go
 * on. */
bool confine_begin(struct worker *worker, struct err *err);

/* The same of the process that keeps its will; what it tries is neither logged nor counted. */
bool confine_keeper(struct err *err);

#endif
