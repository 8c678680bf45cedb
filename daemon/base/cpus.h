/* On which CPUs the process may run, and binding one thread of it to a single one of them. */
#ifndef BASE_CPUS_H
#define BASE_CPUS_H

#include "err.h"

enum { CPUS_MAX = 1024 };               /* of a cpu_set_t */

/* The CPUs that the process may run on, in rising order; returns how many, at least 1. Those of the first
 * call count for good, and fork(2) passes them on. */
unsigned cpus_list(unsigned cpus[CPUS_MAX]);

/* The calling thread runs on the CPU with that index in the list alone (beyond its end it begins anew). False
 * with `err`: everything is as before. */
bool cpus_bind(unsigned index, struct err *err);

/* The calling thread may run on all of them again; one that is not bound, and was not made by one that is, is
 * left alone. */
void cpus_unbind(void);

#endif
