/* workers.c - what `workers = "auto"` means here. Called by the master and by `-T`; cannot fail, falls back
 * to 1. */
#include "config.h"

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

static bool read_line(const char *path, char *line, int bytes)
{
	FILE *file = fopen(path, "re");
	bool good = file != NULL && fgets(line, bytes, file) != NULL;

	if (file != NULL)
		fclose(file);
	return good;
}

/* The path of this process's cgroup in the hierarchy whose line of /proc/self/cgroup has `controller` (v2:
 * ""). */
static bool cgroup_path(const char *controller, char *path, size_t bytes)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[4096];
	bool found = false;

	while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL) {
		char *names = strchr(line, ':'), *at = names != NULL ? strchr(names + 1, ':') : NULL;

		if (at == NULL)
			continue;
		*at++ = '\0';
		at[strcspn(at, "\n")] = '\0';
		found = controller[0] == '\0' ? names[1] == '\0' : strstr(names + 1, controller) != NULL;
		if (found)
			found = (size_t)snprintf(path, bytes, "%s", at) < bytes;
	}
	if (file != NULL)
		fclose(file);
	return found;
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
		/* NOLINTNEXTLINE(cert-err34-c): the kernel's numbers, which are in range */
		if (read_line(file, line, sizeof(line)) && sscanf(line, "%llu %llu", &quota, &period) == 2 &&
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
	if (read_line(file, line, sizeof(line)))
		sscanf(line, "%lld", &quota);   /* NOLINT(cert-err34-c): the same */
	snprintf(file, sizeof(file), "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", path);
	if (read_line(file, line, sizeof(line)))
		sscanf(line, "%lld", &period);  /* NOLINT(cert-err34-c) */
	return quota > 0 && period > 0 ? (unsigned)((quota + period - 1) / period) : ~0U;
}

unsigned config_worker_count(const struct config *config)
{
	unsigned count = config->workers != 0 ? config->workers : allowed_cpus();

	if (config->workers == 0 && quota_v2() < count)
		count = quota_v2();
	if (config->workers == 0 && quota_v1() < count)
		count = quota_v1();
	if (count > CONFIG_MAX_WORKERS)
		count = CONFIG_MAX_WORKERS;
	return count > 0 ? count : 1;
}
