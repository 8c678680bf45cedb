/* cgroup.c - limits of the control group.  Called by workers.c and preflight.c; what cannot be read is not
 * known. */
#include "cgroup.h"

#include "base/str.h"

#include <stdio.h>

bool cgroup_line(const char *path, char *line, int bytes)
{
	FILE *file = fopen(path, "re");
	bool good = file != NULL && fgets(line, bytes, file) != NULL;

	if (file != NULL)
		fclose(file);
	return good;
}

/* "cpu" is in "cpu,cpuacct" but not in "cpuset". */
static bool has_word(struct str list, const char *word)
{
	struct str element;

	while (str_next_element(&list, &element))
		if (str_equal(element, str_of(word)))
			return true;
	return false;
}

bool cgroup_path(const char *controller, char *path, size_t bytes)
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
		found = controller[0] == '\0' ? names[1] == '\0' : has_word(str_of(names + 1), controller);
		if (found)
			found = (size_t)snprintf(path, bytes, "%s", at) < bytes;
	}
	if (file != NULL)
		fclose(file);
	return found;
}

/* The root of a hierarchy has no file for its limit: there is none. */
static void tighten(const char *path, struct figure *limit)
{
	char line[64];
	uint64_t value;

	if (!cgroup_line(path, line, sizeof(line)))
		return;
	limit->known = true;
	line[strcspn(line, "\n")] = '\0';
	/* version 1 says "none" by a number just below 2^63 */
	if (str_to_u64(str_of(line), &value) && value < UINT64_C(1) << 62 && value < limit->value)
		limit->value = value;
}

static struct figure walk(const char *mount, char *path, const char *name)
{
	struct figure limit = { strcmp(path, "/") == 0, FIGURE_UNLIMITED };
	char file[4300];

	for (;;) {
		char *slash = strrchr(path, '/');

		snprintf(file, sizeof(file), "%s%s/%s", mount, path[1] != '\0' ? path : "", name);
		tighten(file, &limit);
		if (slash == NULL || path[1] == '\0')
			return limit;
		slash[slash == path] = '\0';    /* "/a" has "/" above it */
	}
}

struct figure cgroup_limit(const char *controller, const char *file_v1, const char *file_v2)
{
	char path[4096], mount[64];

	snprintf(mount, sizeof(mount), "/sys/fs/cgroup/%s", controller);
	if (cgroup_path(controller, path, sizeof(path)) && path[0] == '/')
		return walk(mount, path, file_v1);
	if (cgroup_path("", path, sizeof(path)) && path[0] == '/')
		return walk("/sys/fs/cgroup", path, file_v2);
	return (struct figure){ 0 };
}
