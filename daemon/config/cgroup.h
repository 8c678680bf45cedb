/* What the kernel allows this process's control group, in both versions of the hierarchy. */
#ifndef CONFIG_CGROUP_H
#define CONFIG_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A number that may be hidden from us. */
struct figure {
	bool known;
	uint64_t value;                 /* FIGURE_UNLIMITED: there is no limit */
};

#define FIGURE_UNLIMITED UINT64_MAX

/* The first line of a file; false when there is none. */
bool cgroup_line(const char *path, char *line, int bytes);

/* The path of this process's cgroup in the hierarchy whose line of /proc/self/cgroup has `controller` (v2:
 * ""). */
bool cgroup_path(const char *controller, char *path, size_t bytes);

/* The tightest value of a limit in this process's cgroup and those above it: `file_v1` where `controller` has
 * a hierarchy of its own, else `file_v2`. */
struct figure cgroup_limit(const char *controller, const char *file_v1, const char *file_v2);

#endif
