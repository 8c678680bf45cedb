/* cpus.c - the affinity mask.  Called by the master for mode `cpu`, by workers in it, and by helper threads;
 * where the mask cannot be read there is one CPU. */
#include "cpus.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static cpu_set_t all;
static atomic_bool bound;               /* some thread of this process is, or was */

static void look(void)
{
	if (sched_getaffinity(0, sizeof(all), &all) == 0 && CPU_COUNT(&all) > 0)
		return;
	CPU_ZERO(&all);
	CPU_SET(0, &all);
}

unsigned cpus_list(unsigned cpus[CPUS_MAX])
{
	unsigned count = 0;

	pthread_once(&once, look);
	for (unsigned cpu = 0; cpu < CPUS_MAX; cpu++)
		if (CPU_ISSET(cpu, &all))
			cpus[count++] = cpu;
	return count;
}

bool cpus_bind(unsigned index, struct err *err)
{
	unsigned cpus[CPUS_MAX], count = cpus_list(cpus), cpu = cpus[index % count];
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		return err_sys(err, errno, "bind to CPU %u", cpu);
	atomic_store(&bound, true);
	return true;
}

void cpus_unbind(void)
{
	if (atomic_load(&bound))
		sched_setaffinity(0, sizeof(all), &all);
}
