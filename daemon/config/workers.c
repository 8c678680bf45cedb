/* workers.c - what `workers = "auto"` means here. Called by the master and by `-T`; cannot fail, falls back
 * to 1. */
#include "config.h"

#include "cgroup.h"

#include <sched.h>
#include <stdio.h>

static unsigned allowed_cpus(void)
{
	cpu_set_t cpus;
	int count;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return 1;
	count = CPU_COUNT(&cpus);
	return count > 0 ? (unsigned)count : 1;
}

/* The tightest quota of the cgroup and of those above it, in whole CPUs rounded up; UINT_MAX: none. */
static unsigned quota_v2(void)
{
	char path[4096], file[4200], line[64];
	unsigned long long quota, period;
	unsigned least = ~0U;

	if (!cgroup_path("", path, sizeof(path)))
		return least;
	for (char *slash = path; slash != NULL; slash = strrchr(path, '/')) {
		snprintf(file, sizeof(file), "/sys/fs/cgroup%s/cpu.max", path);
		/* the kernel's numbers are in range */
		if (cgroup_line(file, line, sizeof(line)) &&
		    sscanf(line, "%llu %llu", &quota, &period) == 2 && /* NOLINT(cert-err34-c) */
		    period > 0 && (quota + period - 1) / period < least)
			least = (unsigned)((quota + period - 1) / period);
		if (path[0] == '\0' || strrchr(path, '/') == NULL)
			break;
		*strrchr(path, '/') = '\0';
	}
	return least;
}

static unsigned quota_v1(void)
{
	char path[4096], file[4200], line[64];
	long long quota = -1, period = 0;

	if (!cgroup_path("cpu", path, sizeof(path)))
		return ~0U;
	snprintf(file, sizeof(file), "/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", path);
	if (cgroup_line(file, line, sizeof(line)))
		sscanf(line, "%lld", &quota);   /* NOLINT(cert-err34-c): the same */
	snprintf(file, sizeof(file), "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", path);
	if (cgroup_line(file, line, sizeof(line)))
		sscanf(line, "%lld", &period);  /* NOLINT(cert-err34-c) */
	return quota > 0 && period > 0 ? (unsigned)((quota + period - 1) / period) : ~0U;
}

unsigned config_cpu_count(void)
{
	unsigned count = allowed_cpus(), v1 = quota_v1(), v2 = quota_v2();

	if (v2 < count)
		count = v2;
	if (v1 < count)
		count = v1;
	return count > 0 ? count : 1;
}

unsigned config_worker_count(const struct config *config)
{
	unsigned count = config->workers != 0 ? config->workers : config_cpu_count();

	return count < CONFIG_MAX_WORKERS ? count : CONFIG_MAX_WORKERS;
}
